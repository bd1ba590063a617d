# SPDX-License-Identifier: LGPL-2.1-or-later
"""list, info, create, rm, check and top: areas as a whole."""

import json
import os
import signal
import struct
import time

from support import AREAS, PORTABLE, Terminal, ToolTest, main, soon


class Areas(ToolTest):
    def segment(self, name):
        return max(file for file in AREAS.glob(name + '@*') if file.name.partition('@')[2][0].isdigit())

    def damage(self, name):
        """Overwrites the first frame of the current segment with what none can be."""
        file = self.segment(name)
        data = bytearray(file.read_bytes())
        at = data.index(b'to be damaged') - 16
        data[at:at + 16] = struct.pack('<IIQ', 0x7fffffff, 5, 0xffffffffffffffff)
        with file.open('r+b') as open_file:
            open_file.write(data)

    def test_create_and_info(self):
        name = self.area()
        self.run_tool('create', name, '--capacity', '256KiB', '--max', '1MiB', '--mode', '0644', '--segments', 4)
        info = self.json('info', name)
        self.assertEqual((info['capacity'], info['mode'], info['newest_id'], info['compactions']), (256 << 10, '0644', 0, 0))
        self.assertEqual(info['state'], 'unknown' if PORTABLE else 'idle')
        self.put(name, b'12', '--key', 'wind')
        self.put(name, b'13', '--key', 'wind')
        self.put(name, b'stream')
        info = self.json('info', name)
        self.assertEqual((info['live_chunks'], info['live_bytes'], info['keys'], info['superseded_chunks'], info['newest_id']),
                         (2, 8, 1, 1, 3))
        text = self.run_tool('info', name).decode()
        self.assertRegex(text, rf'(?m)^name +{name}$')
        self.assertRegex(text, r'(?m)^size +256KiB for chunks in a segment$')
        self.assertRegex(text, r'(?m)^keys +1$')

    def test_create_takes_memory_at_once(self):
        sizes = {}
        for prefault in ('4KiB', '1GiB'):
            name = self.area()
            self.run_tool('create', name, '--capacity', '5MiB', '--segments', 2, '--prefault', prefault)
            sizes[prefault] = self.json('info', name)['memory']
        self.assertLess(sizes['4KiB'], 5 << 20)
        self.assertGreater(sizes['1GiB'], 2 * 5 << 20)

    def test_create_changes_what_is_there(self):
        name = self.area()
        self.run_tool('create', name)
        self.run_tool('create', name, '--mode', '0640')
        self.assertEqual(self.json('info', name)['mode'], '0640')

    def test_list(self):
        idle, busy = self.area(), self.area()
        self.put(idle, b'x', '--key', 'k')
        self.writer(busy)
        rows = {row['name']: row for row in self.json('list')}
        self.assertEqual((rows[idle]['live_chunks'], rows[idle]['keys'], rows[busy]['live_chunks']), (1, 1, 0))
        self.assertEqual([rows[idle]['state'], rows[busy]['state']], ['unknown'] * 2 if PORTABLE else ['idle', 'writing'])
        self.assertLess(rows[idle]['age_ns'], 60e9)
        lines = self.run_tool('list').decode().splitlines()
        self.assertRegex(lines[0], r'^NAME +STATE +SIZE +USED +CHUNKS +KEYS +MEMORY +OWNER +AGE$')
        row, = [line.split() for line in lines if line.startswith(idle + ' ')]
        self.assertEqual((row[2], *row[4:6]), ('16MiB', '1', '1'))

    def test_list_does_not_count_for_long(self):
        name = self.area()
        self.put(name, bytes(17 << 20), '--capacity', '32MiB')
        self.assertNotIn('live_chunks', self.json('info', name))
        self.assertRegex(self.run_tool('info', name).decode(), r'(?m)^live +not counted; --count does$')
        self.assertGreater(self.json('info', name, '--count')['live_chunks'], 0)

    def test_list_marks_what_is_damaged(self):
        damaged, partial = self.area(), self.area()
        self.put(damaged, b'x')
        (AREAS / damaged).write_bytes(bytes((AREAS / damaged).stat().st_size))
        (AREAS / f'{partial}@lock').touch(mode=0o600)
        (AREAS / f'{partial}-x@other').touch()  # another program's
        self.addCleanup((AREAS / f'{partial}-x@other').unlink)
        self.assertEqual((self.state(damaged), self.state(partial), self.state(partial + '-x')), ('damaged', 'incomplete', ''))
        self.assertIn('speculo check', self.fails(4, 'info', damaged))

        inside = self.area()
        self.put(inside, b'to be damaged' * 10)
        self.assertNotEqual(self.state(inside), 'damaged')
        self.damage(inside)
        self.assertEqual(self.state(inside), 'damaged')

    def test_areas_in_files(self):
        folder = self.place()
        area = folder / 'weather'
        self.put(str(area), b'x')
        self.assertEqual([row['name'] for row in self.json('list', folder)], [str(area)])
        self.assertEqual(self.run_tool('tail', './weather', cwd=folder), b'x\n')
        self.run_tool('rm', area)
        self.assertEqual(os.listdir(folder), [])

    def test_rm(self):
        names = [self.area() for _ in range(3)]
        for name in names:
            self.run_tool('create', name)
        self.run_tool('rm', *names)
        self.assertEqual([file for name in names for file in AREAS.glob(name + '*')], [])
        self.fails(3, 'rm', names[0])
        self.run_tool('rm', '-f', names[0])

    def test_rm_refuses_while_a_writer_lives(self):
        name = self.area()
        writer = self.writer(name)
        self.assertIn('wait until it ends', self.fails(6, 'rm', name))
        self.assertIn('wait until it ends', self.fails(6, 'put', name, data=b'x'))
        writer.finish()
        self.run_tool('rm', name)

    def test_check(self):
        name = self.area()
        self.put(name, b'to be damaged' * 10)
        self.assertRegex(self.run_tool('check', name).decode(), ': sound\n')
        self.assertEqual(self.json('check', name), {'name': name, 'sound': True, 'problems': []})
        self.damage(name)
        out = self.run_tool('check', name, status=4).decode()
        self.assertRegex(out, rf'\Awrong: .*{self.segment(name).name}.*\n')
        self.assertIn('speculo rm', self.errors)
        told = json.loads(self.run_tool('check', name, '--json', status=4))
        self.assertFalse(told['sound'])
        self.assertIn(self.segment(name).name, told['problems'][0]['message'])
        self.fails(4, 'tail', name)

    def test_check_beside_a_writer(self):
        name = self.area()
        writer = self.writer(name, '--lines')
        writer.stdin.write(b'one\n')
        self.run_tool('check', name)


class Top(ToolTest):
    def test_in_lines(self):
        name = self.area()
        writer = self.writer(name, '--lines')
        top = self.start('top', '--interval', '100ms', '-n', 3)
        for _ in range(20):
            writer.stdin.write(b'x' * 1000 + b'\n')
            time.sleep(0.01)
        tables = top.finish().decode().split('\n\n')
        self.assertEqual(len(tables), 3)
        self.assertRegex(tables[0], rf'(?m)\ANAME +STATE +CHUNKS/s +BYTES/s.*\n(.*\n)*{name} ')

    def test_rates(self):
        name = self.area()
        writer = self.writer(name, '--lines')
        top = self.start('top', '--interval', '300ms', '--json')
        samples = []
        top.stdout.readline()  # both are at work
        for _ in range(50):
            writer.stdin.write(b'x' * 1000 + b'\n')
        for _ in range(2):
            rows = {row['name']: row for row in json.loads(top.stdout.readline())['areas']}
            samples.append(rows[name])
        chunks = sum(row['chunks_per_s'] for row in samples) * 0.3
        size = sum(row['bytes_per_s'] for row in samples) * 0.3
        self.assertTrue(25 <= chunks <= 50.5, chunks)  # a late look makes it less
        self.assertTrue(1000 * chunks <= size <= 1100 * chunks, size)
        top.finish(signal.SIGINT)

    def test_on_a_terminal(self):
        first, second = sorted([self.area(), self.area()])
        self.put(first, b'12 knots', '--key', 'wind')
        writer = self.writer(second, '--lines')
        terminal = Terminal(self, 'top', '--interval', '50ms', columns=160, rows=50)
        terminal.expect('CHUNKS/s')
        terminal.expect(first)
        terminal.expect(second)
        for _ in range(20):
            writer.stdin.write(b'line\n')
        terminal.expect('\u2588')  # the busiest moment
        terminal.type('nr')  # by name, turned round
        time.sleep(0.1)
        terminal.type('r')
        self.choose(terminal, first)
        terminal.expect('wind')
        terminal.expect('12 knots')
        terminal.type('q')
        terminal.expect('CHUNKS/s')
        terminal.type('q')
        self.assertEqual(terminal.end(), 0)
        self.assertIn(b'\x1b[?1049l', terminal.seen)

    def choose(self, terminal, name):
        """Goes to an area among all that there are, and opens it."""
        names = sorted(row['name'] for row in self.json('list'))
        terminal.type('\x1b[1~' + 'j' * names.index(name) + '\r')

    def test_twenty_columns(self):
        name = self.area()
        self.put(name, b'12 knots', '--key', 'wind')
        for command in (['top', '--interval', '20ms'], ['watch', name], ['list'], ['info', name], ['keys', name],
                        ['top', '-b', '-n1', '--interval', '20ms']):
            terminal = Terminal(self, *command, columns=20, rows=4)
            if command[0] in ('top', 'watch') and '-b' not in command:
                terminal.expect('q ')
                terminal.resize(1, 1)
                time.sleep(0.05)
                terminal.resize(20, 4)
                terminal.type('q')
            self.assertEqual(terminal.end(), 0, command)
            if command[0] in ('list', 'keys') or '-b' in command:
                lines = terminal.seen.decode().replace('\x1b[1m', '').replace('\x1b[0m', '').split('\r\n')
                self.assertEqual([line for line in lines if len(line) > 20], [])

    def test_no_colour(self):
        self.area()
        coloured = Terminal(self, 'list')
        coloured.end()
        self.assertIn(b'\x1b[1mNAME', coloured.seen)
        plain = Terminal(self, 'list', NO_COLOR='1')
        plain.end()
        self.assertTrue(plain.seen.startswith(b'NAME'), plain.seen)

    def test_a_terminal_that_is_not_known(self):
        terminal = Terminal(self, 'top', TERM='no-such-terminal')
        self.assertEqual(terminal.end(), 1)
        self.assertIn(b'set TERM', terminal.seen)


if __name__ == '__main__':
    main()
