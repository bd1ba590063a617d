# SPDX-License-Identifier: LGPL-2.1-or-later
"""record and replay."""

import json
import os
import signal
import time
import zlib

from support import PORTABLE, ToolTest, main, soon


class Recordings(ToolTest):
    def setUp(self):
        super().setUp()
        self.name, self.other = self.area(), self.area()
        self.file = self.folder / 'recording'

    def record(self, *options):
        self.run_tool('record', self.name, self.file, '--for', '50ms', *options)

    def chunks(self, name):
        rows = [json.loads(line) for line in self.run_tool('tail', name, '--json').splitlines()]
        for row in rows:
            row.pop('id', None)
            row.pop('skipped', None)
            row['lives'] = 'expires_ns' in row and row.pop('expires_ns') > 0
        return rows

    def fill(self):
        self.put(self.name, b'first\nsecond\n', '--lines', '--tag', 3)
        self.put(self.name, os.urandom(300_000), '--frames', 300_000, '--ttl', '1h')
        self.put(self.name, b'12', '--key', 'wind')

    def test_there_and_back(self):
        self.fill()
        self.record()
        self.run_tool('replay', self.file, self.other, '--speed', 'max')
        self.assertEqual(len(self.chunks(self.other)), 4)
        self.assertEqual(self.chunks(self.other), self.chunks(self.name))
        self.assertEqual(self.run_tool('get', self.other, 'wind'), b'12')

    def test_through_a_pipe(self):
        self.fill()
        recorded = self.run_tool('record', self.name, '-', '--for', '50ms')
        self.run_tool('replay', '-', self.other, '--speed', 'max', data=recorded)
        self.assertEqual(self.chunks(self.other), self.chunks(self.name))

    def recorded_over_time(self):
        recording = self.start('record', self.name, self.file, '--wait')
        for word in (b'1\n', b'2\n', b'3\n'):
            self.put(self.name, word, '--lines')
            time.sleep(0.2)
        recording.finish(signal.SIGINT)
        self.assertEqual(recording.returncode, -signal.SIGINT)

    def seconds(self, *options):
        begin = time.monotonic()
        self.run_tool('replay', self.file, self.other, *options)
        return time.monotonic() - begin

    def test_timing(self):
        self.recorded_over_time()
        plain, fast = self.seconds(), self.seconds('--speed', 4)
        self.assertGreater(plain, 0.4)
        self.assertGreater(fast, 0.1)
        self.assertLess(fast, plain - 0.2)
        self.assertEqual(self.run_tool('tail', self.other), b'1\n2\n3\n' * 2)

    def test_a_replay_can_be_stopped(self):
        self.recorded_over_time()
        replay = self.start('replay', self.file, self.other, '--speed', '0.01')
        soon(lambda: self.state(self.other) and self.run_tool('tail', self.other), 'the first chunk')
        replay.finish(signal.SIGTERM)
        self.assertEqual(replay.returncode, -signal.SIGTERM)
        self.assertEqual(self.run_tool('tail', self.other), b'1\n')

    def test_until_closed(self):
        self.fill()
        self.fails(1, 'record', self.name, self.file, '--until-closed') if PORTABLE else \
            self.run_tool('record', self.name, self.file, '--until-closed')
        self.assertEqual(self.file.exists(), not PORTABLE)

    def test_a_file_that_is_there(self):
        self.fill()
        self.file.write_text('precious')
        self.assertIn('--force', self.fails(6, 'record', self.name, self.file))
        self.assertEqual(self.file.read_text(), 'precious')
        self.record('--force')
        self.run_tool('replay', self.file, self.other)

    def test_no_area_no_file(self):
        self.fails(3, 'record', self.name, self.file)
        self.assertFalse(self.file.exists())

    def test_no_area_in_time(self):
        self.record('--wait')
        self.run_tool('replay', self.file, self.other, '--speed', 'max')
        self.assertEqual(self.json('info', self.other)['newest_id'], 0)

    def test_removed_keys_are_removed_again(self):
        self.put(self.name, b'12', '--key', 'wind')
        self.record()
        head, chunk = self.file.read_bytes()[:16], self.file.read_bytes()[16:]
        removal = bytearray(chunk[:48])
        removal[32:40] = bytes(8)  # no payload
        removal[44] = 1  # SPECULO_CHUNK_REMOVED
        self.file.write_bytes(head + chunk + self.summed(removal + b'wind'))
        self.run_tool('replay', self.file, self.other, '--speed', 'max')
        self.fails(3, 'get', self.other, 'wind')

    @staticmethod
    def summed(record):
        record[4:8] = zlib.crc32(record[8:]).to_bytes(4, 'little')
        return bytes(record)


class Damage(ToolTest):
    def setUp(self):
        super().setUp()
        self.name, self.other = self.area(), self.area()
        self.file = self.folder / 'recording'
        self.put(self.name, b'first\nsecond\nthird\n', '--lines')
        self.run_tool('record', self.name, self.file, '--for', '10ms')
        self.whole = self.file.read_bytes()
        self.ends = [16, 16 + 53, 16 + 53 + 54, 16 + 53 + 54 + 53]
        self.assertEqual(len(self.whole), self.ends[-1])

    def replay(self, data, status=4, chunks=2):
        self.file.write_bytes(data)
        self.put(self.other, b'')
        self.run_tool('rm', self.other)
        self.run_tool('replay', self.file, self.other, '--speed', 'max', status=status)
        if status:
            self.assertIn(f'damaged at byte {self.ends[chunks]}; {chunks} chunks', self.errors)
        words = [b'first\n', b'second\n', b'third\n']
        self.assertEqual(self.run_tool('tail', self.other), b''.join(words[:chunks]))

    def test_cut_off(self):
        for end in (self.ends[3] - 1, self.ends[2] + 48, self.ends[2] + 47, self.ends[2] + 1):
            self.replay(self.whole[:end])
        self.replay(self.whole[:self.ends[2]], status=0)
        self.replay(self.whole[:self.ends[0]], status=0, chunks=0)

    def test_each_part_of_a_chunk(self):
        for at in (0, 3, 4, 7, 8, 16, 24, 32, 36, 39, 40, 44, 46, 47, 48, 53):
            data = bytearray(self.whole)
            data[self.ends[1] + at] ^= 0x41
            self.replay(data, chunks=1)

    def test_from_a_pipe(self):
        """Where the end is not known a size is not believed either."""
        data = bytearray(self.whole)
        data[self.ends[1] + 38] = 0xff
        self.run_tool('replay', '-', self.other, '--speed', 'max', data=bytes(data), status=4)
        self.assertEqual(self.run_tool('tail', self.other), b'first\n')

    def test_what_is_none(self):
        self.file.write_bytes(b'SPECULO RECORD 2' + self.whole[16:])
        self.assertIn('no recording', self.fails(4, 'replay', self.file, self.other))
        self.file.write_bytes(b'')
        self.assertIn('no recording', self.fails(4, 'replay', self.file, self.other))
        self.assertEqual(self.state(self.other), '')


if __name__ == '__main__':
    main()
