# SPDX-License-Identifier: LGPL-2.1-or-later
"""get, keys and watch: values by their keys."""

import json
import signal
from pathlib import Path

from support import Terminal, ToolTest, main, soon


class Values(ToolTest):
    def setUp(self):
        super().setUp()
        self.name = self.area()

    def set(self, key, value, *options):
        self.put(self.name, value, '--key', key, *options)

    def test_get(self):
        self.set('wind', b'12\n')
        self.set('wind', b'13\n')
        self.set('rain', b'\x00\xff')
        self.assertEqual(self.run_tool('get', self.name, 'wind'), b'13\n')
        self.assertEqual(self.run_tool('get', self.name, 'rain'), b'\x00\xff')
        self.assertEqual(json.loads(self.run_tool('get', self.name, 'wind', '--json'))['data'], '13\n')

    def test_get_what_is_not_there(self):
        self.set('wind', b'12')
        self.assertIn('speculo keys', self.fails(3, 'get', self.name, 'sun'))
        self.assertIn('speculo list', self.fails(3, 'get', 'speculo-test-none', 'sun'))

    def test_get_waits(self):
        getting = self.start('get', self.name, 'wind', '--wait')
        self.put(self.name, b'x')
        self.set('wind', b'12')
        self.assertEqual(getting.finish(), b'12')

    def test_get_waits_for_no_area_that_was_removed(self):
        self.put(self.name, b'x')
        getting = self.start('get', self.name, 'wind', '--wait')
        soon(lambda: f'/{self.name}@' in Path(f'/proc/{getting.pid}/maps').read_text(), 'it has the area')
        self.run_tool('rm', self.name)
        getting.finish()
        self.assertEqual(getting.returncode, 3)
        self.assertIn('was removed', getting.errors)

    def test_a_line_replaces_the_last(self):
        self.set('wind', b'1\n2\n3\n', '--lines')
        self.assertEqual(self.run_tool('get', self.name, 'wind'), b'3')
        self.assertEqual(len(self.json('keys', self.name)), 1)

    def test_a_value_with_a_time_to_live(self):
        self.set('wind', b'12', '--ttl', '1h')
        self.assertRegex(self.run_tool('keys', self.name).decode(), r'wind +2B +1 +(1h|60min|59\S+min) +12\n')
        self.set('wind', b'12', '--ttl', '1ns')
        soon(lambda: self.json('keys', self.name) == [], 'the clock by which things expire has moved on')

    def test_keys(self):
        self.set('wind', b'12')
        self.set('a key\n', b'x' * 2048)
        self.put(self.name, b'no key')
        self.assertEqual(self.run_tool('keys', self.name).decode(),
                         'KEY      SIZE  ID  EXPIRES IN  VALUE\n'
                         'wind       2B   1           -  12\n'
                         'a key\\n  2KiB   2           -  ' + 40 * 'x' + '\n')
        self.assertEqual([(row['key'], row['id'], row['size']) for row in self.json('keys', self.name)],
                         [('wind', 1, 2), ('a key\n', 2, 2048)])

    def test_watch_in_lines(self):
        self.set('wind', b'12')
        watch = self.start('watch', self.name, '--interval', '10ms')
        self.assertEqual(watch.stdout.readline(), b'wind\t12\n')
        self.set('wind', b'13')
        self.assertEqual(watch.stdout.readline(), b'wind\t13\n')
        self.put(self.name, b'a line\n', '--lines')
        self.assertEqual(watch.stdout.readline(), b'-\ta line\n')
        watch.finish(signal.SIGINT)
        self.assertEqual(watch.returncode, -signal.SIGINT)

    def test_watch_some_keys_in_json(self):
        self.set('wind', b'12')
        watch = self.start('watch', self.name, 'rain', 'wind', '--interval', '10ms', '--json')
        self.assertEqual(json.loads(watch.stdout.readline()), {'id': 1, 'size': 2, 'key': 'wind', 'data': '12'})
        self.put(self.name, b'not to be seen')
        self.set('rain', b'much', '--ttl', '300ms')
        self.assertEqual(json.loads(watch.stdout.readline())['data'], 'much')
        self.put(self.name, b'a commit')
        self.run_tool('rm', self.name)
        watch.finish()
        self.assertEqual(watch.returncode, 3)

    def test_watch_on_a_terminal(self):
        self.set('wind', b'12 knots')
        terminal = Terminal(self, 'watch', self.name, '--interval', '20ms')
        terminal.expect('wind')
        terminal.expect('12 knots')
        self.set('wind', b'99 knots')
        terminal.expect('99')
        self.put(self.name, b'a line of the stream\n', '--lines')
        terminal.expect('a line of the stream')
        terminal.type('q')
        self.assertEqual(terminal.end(), 0)
        self.assertIn(b'\x1b[?1049l', terminal.seen)  # the screen is as before

    def test_watch_is_as_before_after_a_signal(self):
        self.set('wind', b'12 knots')
        terminal = Terminal(self, 'watch', self.name)
        terminal.expect('12 knots')
        terminal.kill(signal.SIGTERM)
        self.assertEqual(terminal.end(), -signal.SIGTERM)
        self.assertIn(b'\x1b[?1049l', terminal.seen)

    def test_a_value_does_not_steer_the_terminal(self):
        self.set('wind', b'\x1b]0;title\x07 \x1b[31mred')
        terminal = Terminal(self, 'watch', self.name)
        terminal.expect('\\x1b]0;title\\x07 \\x1b[31mred')
        terminal = Terminal(self, 'get', self.name, 'wind')
        terminal.expect('\\x1b]0;title\\x07 \\x1b[31mred')
        self.assertEqual(terminal.end(), 0)
        terminal = Terminal(self, 'tail', self.name)
        terminal.expect('\\x1b]0;title\\x07 \\x1b[31mred')
        self.assertEqual(terminal.end(), 0)


if __name__ == '__main__':
    main()
