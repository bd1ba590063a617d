# SPDX-License-Identifier: LGPL-2.1-or-later
"""put and tail: a stream through an area."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from support import PORTABLE, ToolTest, main, soon


class Cutting(ToolTest):
    def chunks(self, name):
        return [json.loads(line) for line in self.run_tool('tail', name, '--json').splitlines()]

    def test_lines(self):
        name = self.area()
        self.put(name, b'one\n\nthree\nno newline', '--lines')
        self.assertEqual([chunk['data'] for chunk in self.chunks(name)], ['one', '', 'three', 'no newline'])
        self.assertTrue(all(chunk['transient'] for chunk in self.chunks(name)))
        self.assertEqual(self.run_tool('tail', name), b'one\n\nthree\nno newline\n')
        self.assertEqual(self.run_tool('tail', name, '--raw'), b'onethreeno newline')

    def test_long_line(self):
        name, line = self.area(), b'x' * 3_000_000
        self.put(name, b'short\n' + line + b'\nlast\n', '--lines', '--capacity', '1MiB')
        self.assertEqual(self.run_tool('tail', name, '-n', 2), line + b'\nlast\n')

    def test_frames(self):
        name = self.area()
        self.put(name, b'abcdefgh', '--frames', 3)
        self.assertIn('2 of 3 bytes', self.errors)
        self.assertEqual([chunk['data'] for chunk in self.chunks(name)], ['abc', 'def', 'gh'])

    def test_frames_come_in_pieces(self):
        name = self.area()
        writer = self.writer(name, '--frames', 4)
        writer.stdin.write(b'ab')
        time.sleep(0.05)
        writer.stdin.write(b'cdef')
        soon(lambda: self.chunks(name), 'a frame')
        self.assertEqual([chunk['data'] for chunk in self.chunks(name)], ['abcd'])

    def test_blocks(self):
        name, data = self.area(), os.urandom(1_000_000)
        file = self.folder / 'input'
        file.write_bytes(data)
        self.run_tool('put', name, file, '--chunk-size', '300000')
        self.assertEqual([chunk['size'] for chunk in self.chunks(name)], [300000, 300000, 300000, 100000])
        self.assertEqual(self.run_tool('tail', name, '--raw'), data)

    def test_a_block_does_not_wait_to_be_full(self):
        name = self.area()
        writer = self.writer(name)
        writer.stdin.write(b'early')
        soon(lambda: self.chunks(name), 'a chunk')
        self.assertEqual([chunk['data'] for chunk in self.chunks(name)], ['early'])

    def test_empty_input(self):
        name = self.area()
        self.put(name, b'')
        self.assertEqual(self.run_tool('tail', name), b'')

    def test_tag_and_ttl(self):
        name = self.area()
        self.put(name, b'x', '--tag', 7, '--ttl', '1h')
        chunk, = self.chunks(name)
        self.assertEqual(chunk['tag'], 7)
        self.assertGreater(chunk['expires_ns'], 3.5e12)
        self.assertNotIn('transient', chunk)

    def test_a_ttl_ends(self):
        name = self.area()
        self.put(name, b'x', '--ttl', '100ms')
        soon(lambda: self.chunks(name) == [], 'the end of its time')

    def test_full_of_what_has_yet_to_expire(self):
        """The input waits, and everything gets its time."""
        name = self.area()
        begin = time.monotonic()
        self.put(name, bytes(256 << 10), '--chunk-size', '32KiB', '--ttl', '400ms', '--capacity', '128KiB', '--max', '128KiB')
        self.assertGreater(time.monotonic() - begin, 0.35)

    def test_full_of_what_stays(self):
        name = self.area()
        self.put(name, bytes(100 << 10), '--key', 'k', '--capacity', '128KiB', '--max', '128KiB')
        self.assertIn('no room', self.fails(7, 'put', name, '--key', 'other', data=bytes(100 << 10)))
        self.assertEqual(len(self.run_tool('get', name, 'k')), 100 << 10)

    def test_too_large_a_chunk(self):
        name = self.area()
        self.run_tool('create', name, '--capacity', '64KiB')
        self.assertIn('--max', self.fails(7, 'put', name, '--frames', '1MiB', data=bytes(1 << 20)))


class Tail(ToolTest):
    def lines(self, count):
        name = self.area()
        self.put(name, b''.join(b'%d\n' % i for i in range(count)), '--lines')
        return name

    def test_last(self):
        name = self.lines(5)
        self.assertEqual(self.run_tool('tail', name, '-n', 2), b'3\n4\n')
        self.assertEqual(self.run_tool('tail', name, '-n', 0), b'')
        self.assertEqual(self.run_tool('tail', name, '-n', 9), b'0\n1\n2\n3\n4\n')

    def test_hex(self):
        name = self.area()
        self.put(name, bytes(range(18)) + b'A', '--key', 'k', '--tag', 3)
        self.assertEqual(self.run_tool('tail', name, '--hex').decode(),
                         'chunk 1: 19 bytes, key k, tag 3\n'
                         '00000000  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|\n'
                         '00000010  10 11 41                                          |..A|\n')

    def test_json_of_bytes(self):
        name = self.area()
        self.put(name, b'\xff\x00\xfe\x01')
        self.assertEqual(json.loads(self.run_tool('tail', name, '--json'))['data_base64'], '/wD+AQ==')

    def test_follow_goes_on_with_the_next_writer(self):
        name = self.area()
        tail = self.start('tail', name, '-f', '--wait')
        for word in (b'first\n', b'second\n'):
            self.put(name, word, '--lines')
            self.assertEqual(tail.stdout.readline(), word)
        tail.finish(signal.SIGTERM)
        self.assertEqual(tail.returncode, -signal.SIGTERM)

    def test_follow_ends_when_the_area_is_removed(self):
        name = self.lines(1)
        tail = self.start('tail', name, '-f')
        self.assertEqual(tail.stdout.readline(), b'0\n')
        self.run_tool('rm', name)
        tail.finish()
        self.assertEqual(tail.returncode, 3)
        self.assertIn('removed', tail.errors)

    def test_wait_and_follow_survive_a_removal(self):
        name = self.lines(1)
        tail = self.start('tail', name, '-f', '--wait')
        self.assertEqual(tail.stdout.readline(), b'0\n')
        self.run_tool('rm', name)
        self.put(name, b'again\n', '--lines')
        self.assertEqual(tail.stdout.readline(), b'again\n')

    def test_wait_alone_ends_after_the_first(self):
        name = self.area()
        tail = self.start('tail', name, '--wait')
        self.put(name, b'x')
        self.assertEqual(tail.finish(), b'x\n')
        self.assertEqual(tail.returncode, 0)

    def test_for_a_time(self):
        name = self.lines(2)
        begin = time.monotonic()
        self.assertEqual(self.run_tool('tail', name, '--for', '200ms'), b'0\n1\n')
        self.assertGreater(time.monotonic() - begin, 0.19)

    def test_for_a_time_in_which_no_area_comes(self):
        name = self.area()
        begin = time.monotonic()
        self.assertEqual(self.run_tool('tail', name, '--wait', '--for', '200ms'), b'')
        self.assertGreater(time.monotonic() - begin, 0.19)
        tail = self.start('tail', name, '--wait', '--for', '2s')
        self.put(name, b'x')
        self.assertEqual(tail.stdout.readline(), b'x\n')
        self.run_tool('rm', name)  # and none comes again
        self.assertEqual(tail.finish(), b'')
        self.assertEqual(tail.returncode, 0)

    def test_what_was_passed_over(self):
        name, output = self.area(), self.folder / 'output'
        self.run_tool('create', name, '--capacity', '128KiB')
        with output.open('wb') as file:
            tail = self.start('tail', name, '-f', '--raw', stdout=file)
        self.put(name, b'begin')
        soon(lambda: output.read_bytes() == b'begin', 'a chunk')
        tail.send_signal(signal.SIGSTOP)
        self.put(name, bytes(2 << 20), '--chunk-size', '16KiB')
        self.put(name, b'end')
        tail.send_signal(signal.SIGCONT)
        soon(lambda: output.read_bytes().endswith(b'end'), 'the last chunk')
        tail.finish(signal.SIGTERM)
        self.assertRegex(tail.errors, r'\Aspeculo tail: \d+ chunks passed over')

    def test_strict(self):
        name = self.area()
        self.put(name, b'1\n2\n3\n', '--lines', '--key', 'k')
        self.put(name, b'x\n', '--lines')
        self.assertEqual(self.run_tool('tail', name, '--strict', status=8)[-2:], b'x\n')
        self.assertIn('passed over', self.errors)


class UntilClosed(ToolTest):
    """On Linux; elsewhere nobody knows whether a writer lives."""

    def test_ends_with_the_writer(self):
        name = self.area()
        self.run_tool('create', name)  # a writer that was gone before does not count
        tail = self.start('tail', name, '--wait', '--until-closed')
        writer = self.writer(name, '--lines')
        writer.stdin.write(b'one\n')
        self.assertEqual(tail.stdout.readline(), b'one\n')
        writer.finish()
        self.assertEqual(tail.finish(), b'')
        self.assertEqual(tail.returncode, 0)

    def test_ends_at_once_without_one(self):
        name = self.area()
        self.put(name, b'x')
        self.assertEqual(self.run_tool('tail', name, '--until-closed'), b'x\n')


class Lossless(ToolTest):
    """On Linux."""

    def tails(self, name, count):
        tails = [self.start('tail', name, '--wait', '--until-closed', '--raw', '--strict') for _ in range(count)]
        soon(lambda: all(self.has_open(tail.pid, name) for tail in tails), 'readers')
        return tails

    @staticmethod
    def has_open(pid, name):
        return f'/{name}@' in Path(f'/proc/{pid}/maps').read_text()

    def test_three_readers_get_every_byte(self):
        """Also one that is slower than the time to live of what it reads."""
        name, data = self.area(), os.urandom(1 << 20) * 6
        self.run_tool('create', name, '--lossless', '--capacity', '256KiB')
        tails = self.tails(name, 3)
        put = self.start('put', name, '--frames', 50_000, '--ttl', '20ms', stdin=subprocess.PIPE)
        feeding = threading.Thread(target=lambda: put.finish(data=data))
        feeding.start()
        got = [bytearray() for _ in range(3)]

        def read(i):
            while piece := os.read(tails[i].stdout.fileno(), 1 << 20):
                got[i] += piece
                if i == 0 and len(got[i]) < 2 << 20:
                    time.sleep(0.01)
        threads = [threading.Thread(target=read, args=(i,)) for i in range(3)]
        for thread in threads:
            thread.start()
        for thread in [*threads, feeding]:
            thread.join()
        self.assertEqual(put.returncode, 0)
        for tail, bytes_got in zip(tails, got):
            self.assertTrue(bytes_got == data, f'{len(bytes_got)} of {len(data)} bytes')
            tail.wait()
            self.assertEqual(tail.returncode, 0)

    def test_it_is_the_flag_that_makes_the_area_so(self):
        name = self.area()
        with open(self.folder / 'output', 'wb') as output:
            tail = self.start('tail', name, '--wait', '--until-closed', '--raw', '--strict', stdout=output)
        self.put(name, bytes(8 << 20), '--lossless', '--capacity', '256KiB', '--chunk-size', '64KiB')
        tail.finish()
        self.assertEqual(tail.returncode, 0)
        self.assertEqual((self.folder / 'output').stat().st_size, 8 << 20)

    def test_what_is_too_old_is_not_for_those_who_come_later(self):
        name = self.area()
        writer = self.writer(name, '--lines', '--lossless', '--ttl', '100ms')
        writer.stdin.write(b'old\n')
        soon(lambda: self.run_tool('tail', name) == b'old\n', 'a line')
        soon(lambda: self.run_tool('tail', name) == b'', 'the end of its time')
        self.assertEqual(self.json('info', name)['compactions'], 1)
        writer.stdin.write(b'new\n')
        soon(lambda: self.run_tool('tail', name) == b'new\n', 'another line')

    def test_a_signal_while_there_is_no_room(self):
        name = self.area()
        self.run_tool('create', name, '--lossless', '--capacity', '64KiB')
        tail, = self.tails(name, 1)
        tail.send_signal(signal.SIGSTOP)
        put = self.start('put', name, '--chunk-size', '32KiB', '/dev/zero')
        soon(lambda: self.json('info', name)['compactions'] >= 2, 'a full area')
        time.sleep(0.1)
        put.finish(signal.SIGINT)
        self.assertEqual(put.returncode, -signal.SIGINT)
        self.assertIn('32KiB of the input were not put', put.errors)
        tail.send_signal(signal.SIGCONT)
        self.assertEqual(len(tail.finish()), 3 * 32 << 10)  # one in each segment


if PORTABLE:
    class UntilClosed(ToolTest):
        def test_nobody_can_tell(self):
            name = self.area()
            self.put(name, b'x')
            self.assertIn('--follow', self.fails(1, 'tail', name, '--until-closed'))

    class Lossless(ToolTest):
        def test_is_not_possible(self):
            name = self.area()
            self.assertIn('cannot do that', self.fails(1, 'create', name, '--lossless'))
            self.assertIn('cannot do that', self.fails(1, 'put', name, '--lossless', data=b''))


if __name__ == '__main__':
    main()
