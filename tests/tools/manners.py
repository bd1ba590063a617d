# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input, broken pipes, signals, closed descriptors: one line, the right status, nothing lost and nothing left."""

import os
import shutil
import signal
import subprocess
import time

from support import AREAS, PATIENCE, SPECULO, ToolTest, environment, main, soon

COMMANDS = ['list', 'info', 'top', 'check', 'create', 'put', 'rm', 'tail', 'get', 'keys', 'watch', 'record', 'replay', 'bench']


def bench_areas():
    """Others on this machine may have some, too."""
    return set(AREAS.glob('speculo-bench-*'))


class BadInput(ToolTest):
    def test_arguments(self):
        for arguments in ([], ['frobnicate'], ['info'], ['get', 'x'], ['tail', 'x', '--raw', '--json'], ['put', 'x', '--ttl', 'soon'],
                          ['put', 'x', '--lines', '--frames', '3'], ['put', 'x', '--capacity', '12 apples'], ['tail', 'x', '-n', '-1'],
                          ['put', 'x', '--key', 'k' * 256], ['put', 'x', '--key', ''], ['create', 'x', '--mode', '0666'],
                          ['create', 'x', '--mode', '0755'],
                          ['create', 'x', '--segments', '17'], ['replay', 'x', 'y', '--speed', '0'], ['bench', '--time'],
                          ['info', 'x', 'y'], ['put', 'x', '--tag', '4294967296'], ['top', '--interval', '5 fortnights']):
            self.assertRegex(self.fails(2, *arguments), '[Ss]ee .speculo .*--help|--tag')

    def test_zero_is_nothing_to_ask_for(self):
        for arguments in (['put', 'x', '--ttl', '0'], ['put', 'x', '--frames', '0'], ['put', 'x', '--chunk-size', '0B'],
                          ['create', 'x', '--capacity', '0'], ['create', 'x', '--max', '0'], ['tail', 'x', '--for', '0s'],
                          ['top', '-b', '-n', '0'], ['top', '--interval', '0'], ['watch', 'x', '--interval', '0'],
                          ['bench', '--time', '0']):
            self.assertIn('above zero', self.fails(2, *arguments, data=b''))

    def test_what_is_not_there_is_named(self):
        for arguments in (['-x'], ['--frobnicate=1'], ['frobnicate'], ['list', '-x'], ['help', 'frobnicate']):
            self.assertIn(arguments[-1], self.fails(2, *arguments))
        self.fails(2, 'help', 'list', 'info')

    def test_names(self):
        for name in ('', '.hidden', 'a b', 'x' * 201, '/dev/shm/', 'a@lock', '\x1b[31m'):
            for command in (['info'], ['create'], ['tail'], ['rm'], ['check']):
                self.assertNotIn('\x1b', self.fails(2, *command, name))

    def test_no_such_area(self):
        for arguments in (['info', 'speculo-test-none'], ['keys', 'speculo-test-none'], ['tail', 'speculo-test-none'],
                          ['watch', 'speculo-test-none'], ['check', 'speculo-test-none'], ['rm', 'speculo-test-none'],
                          ['info', '/no/such/directory/area'], ['list', '/no/such/directory']):
            self.fails(3, *arguments)

    def test_no_such_directory(self):
        """For an area that is to be made there."""
        for arguments in (['create'], ['put']):
            said = self.fails(3, *arguments, '/no/such/directory/area', data=b'')
            self.assertIn("no directory '/no/such/directory'", said)
            self.assertNotIn('speculo list', said)

    def test_what_is_no_area(self):
        file, link, folder = (self.place() / name for name in ('file', 'link', 'folder'))
        file.touch()
        link.symlink_to(file)
        folder.mkdir()
        for command in (['info'], ['tail'], ['check']):
            self.assertIn('symbolic link, which is not followed', self.fails(4, *command, link))
        for thing in (file, folder):
            self.assertIn('or no area', self.fails(4, 'info', thing))
            self.run_tool('check', thing, status=4)
            self.assertIn('or no area', self.errors)

    def test_no_such_file(self):
        name = self.area()
        self.fails(3, 'put', name, '/no/such/file', data=b'')
        self.fails(2, 'put', name, self.folder)
        self.fails(3, 'replay', '/no/such/file', name)
        self.assertEqual(self.state(name), '')  # nothing was made for it

    def test_sizes_beyond_reason(self):
        name = self.area()
        self.fails(2, 'create', name, '--capacity', '64GiB')
        self.fails(2, 'create', name, '--capacity', '99999999TiB')
        self.assertEqual(self.state(name), '')

    def test_no_permission(self):
        """For somebody else, who need not be able to look into the build."""
        folder = self.place()
        name = folder / 'area'
        self.put(name, b'x')
        closed = folder / 'closed'
        closed.mkdir(mode=0o500)
        if os.geteuid() != 0:
            name.chmod(0)
            self.assertIn('--mode', self.fails(5, 'info', name))
            self.assertIn(f"'{closed}'", self.fails(5, 'create', closed / 'area'))
            return
        shutil.copy(SPECULO, folder)
        shutil.copy(os.environ['SPECULO_LIBRARY'], folder / 'libspeculo.so.0')
        nobody = {'user': 65534, 'group': 65534, 'extra_groups': [], 'cwd': '/', 'command': folder / 'speculo',
                  'env': {**environment, 'LD_LIBRARY_PATH': str(folder)}}
        self.assertIn('--mode', self.fails(5, 'info', name, **nobody))
        self.assertIn('another user', self.fails(5, 'rm', name, **nobody))
        for place in (folder, closed):  # that may be looked into, or not
            for command in ('create', 'put'):
                said = self.fails(5, command, place / 'new', **nobody)
                self.assertIn(f"'{place}'", said)
                self.assertNotIn('--mode', said)
        self.run_tool('create', name, '--mode', '0644')
        self.assertEqual(self.run_tool('tail', name, **nobody), b'x\n')
        for file in folder.glob('area*'):
            os.chown(file, 12345, 12345)
        self.assertIn('--trust', self.fails(5, 'tail', name, **nobody))
        self.assertEqual(self.run_tool('tail', name, '--trust', '12345', **nobody), b'x\n')
        self.fails(2, 'tail', name, '--trust', 'no-such-user', **nobody)
        self.assertIn('--trust', self.fails(5, 'info', name, **nobody))
        for command in ('check', 'create', 'put'):  # which have no such option
            said = self.fails(5, command, name, **nobody)
            self.assertIn('another user', said)
            self.assertNotIn('--trust', said)
            self.assertNotIn('--mode', said)

        # That user can still do no harm: what is read of his area is copied, and may be gone at any time.
        tail = self.start('tail', '-f', name, '--trust', '12345', **nobody)
        self.assertEqual(tail.stdout.readline(), b'x\n')
        for file in folder.glob('area@0*'):
            os.truncate(file, 4096)
        self.assertIn(b'damaged', tail.stderr.readline())
        self.assertEqual(tail.wait(PATIENCE), 4)

    def test_full_shared_memory(self):
        """A file system of its own, of 4 MiB."""
        script = f"""
            mount -t tmpfs -o size=4m tmpfs {self.folder} || exit 99
            "$0" create {self.folder}/area --capacity 32MiB && head -c 32M /dev/zero | "$0" put {self.folder}/area --frames 64KiB
            echo $?; "$0" check {self.folder}/area && "$0" tail {self.folder}/area --raw | wc -c
            """
        done = subprocess.run(['unshare', '-m' if os.geteuid() == 0 else '-Urm', 'sh', '-c', script, SPECULO],
                              capture_output=True, text=True)
        status, sound, size = done.stdout.split('\n')[:3]
        self.assertEqual((status, sound.partition(': ')[2]), ('7', 'sound'), done.stderr)
        self.assertRegex(done.stderr, r'\Aspeculo put: no room [^\n]*\n\Z')
        self.assertGreater(int(size), 2 << 20)  # what was shared before is still there

    def test_output_that_cannot_be_written(self):
        with open('/dev/full', 'wb') as full:
            running = self.start('list', stdout=full)
            running.finish()
            self.assertEqual(running.returncode, 7)
            self.assertIn('standard output', running.errors)


class Descriptors(ToolTest):
    def closed(self, fd, *arguments):
        return self.start(*arguments, preexec_fn=lambda: os.close(fd), stdin=None if fd == 0 else subprocess.DEVNULL)

    def test_closed_input(self):
        name = self.area()
        self.run_tool('create', name)
        put = self.closed(0, 'put', name)
        put.finish()
        self.assertEqual(put.returncode, 1)
        self.assertRegex(put.errors, r'\Aspeculo put: standard input is closed[^\n]*\n\Z')
        self.assertEqual(self.json('info', name)['newest_id'], 0)
        for arguments in (['list'], ['info', name], ['tail', name]):
            running = self.closed(0, *arguments)
            running.finish()
            self.assertEqual(running.returncode, 0)

    def test_closed_output(self):
        name = self.area()
        self.put(name, b'x')
        running = self.closed(1, 'tail', name)
        running.finish()
        self.assertEqual(running.returncode, 1)
        self.assertIn('standard output', running.errors)
        self.run_tool('check', name)

    def test_closed_errors(self):
        running = self.closed(2, 'info', 'speculo-test-none')
        self.assertEqual(running.finish(), b'')
        self.assertEqual(running.returncode, 3)

    def test_input_that_does_not_block(self):
        name = self.area()
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        put = self.start('put', name, '--lines', stdin=ours)
        os.close(ours)
        for word in (b'one\n', b'two\n'):
            time.sleep(0.05)
            os.write(theirs, word)
        os.close(theirs)
        put.finish()
        self.assertEqual(put.returncode, 0)
        self.assertEqual(self.run_tool('tail', name), b'one\ntwo\n')


class Pipes(ToolTest):
    def test_broken_pipe_is_quiet(self):
        name = self.area()
        self.put(name, b'line\n' * 200_000, '--lines')
        tail = self.start('tail', name)
        self.assertEqual(tail.stdout.readline(), b'line\n')
        tail.stdout.close()
        tail.stdout = None
        tail.finish()
        self.assertEqual(tail.returncode, -signal.SIGPIPE)
        self.assertEqual(tail.errors, '')

    def test_broken_pipe_is_noticed_while_nothing_comes(self):
        name = self.area()
        self.put(name, b'12', '--key', 'wind')
        for arguments in (['tail', name, '-f'], ['watch', name, '--interval', '10ms'], ['top', '--interval', '10ms']):
            running = self.start(*arguments)
            self.assertNotEqual(running.stdout.readline(), b'')
            running.stdout.close()
            running.stdout = None
            running.finish()
            self.assertEqual((running.returncode, running.errors), (-signal.SIGPIPE, ''))


class Signals(ToolTest):
    def test_what_was_read_is_shared(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            name = self.area()
            put = self.writer(name, '--lines')
            put.stdin.write(b'one\ntwo\nthr')
            soon(lambda: self.run_tool('tail', name) == b'one\ntwo\n', 'two lines')
            put.send_signal(number)
            put.wait()
            self.assertEqual(put.returncode, -number)
            self.assertEqual(self.run_tool('tail', name), b'one\ntwo\nthr\n')
            self.run_tool('check', name)

    def test_half_a_value_is_none(self):
        name = self.area()
        put = self.writer(name, '--key', 'k')
        put.stdin.write(b'half')
        time.sleep(0.05)
        put.send_signal(signal.SIGTERM)
        put.wait()
        self.assertEqual(put.returncode, -signal.SIGTERM)
        self.assertEqual(self.json('keys', name), [])

    def test_a_killed_writer_loses_nothing(self):
        name = self.area()
        put = self.writer(name, '--lines')
        put.stdin.write(b'one\n')
        soon(lambda: self.run_tool('tail', name), 'a line')
        put.kill()
        put.wait()
        self.put(name, b'two\n', '--lines')
        self.assertEqual(self.run_tool('tail', name), b'one\ntwo\n')

    def test_signals_while_waiting(self):
        before = bench_areas()
        name = self.area()
        for arguments in (['tail', name, '--wait'], ['get', name, 'k', '--wait'], ['watch', name, '--wait'],
                          ['record', name, self.folder / 'x', '--wait'], ['top', '--interval', '1h'], ['bench', '--time', '1h']):
            running = self.start(*arguments)
            time.sleep(0.1)
            running.finish(signal.SIGINT)
            self.assertEqual((running.returncode, running.errors.splitlines()[1:]), (-signal.SIGINT, []), arguments)
        self.assertEqual(bench_areas() - before, set())

    def test_signals_that_are_ignored(self):
        """As behind nohup, or a shell's &."""
        name = self.area()
        tail = self.start('tail', name, '--wait', preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        time.sleep(0.1)
        tail.send_signal(signal.SIGINT)
        self.put(name, b'x')
        self.assertEqual(tail.finish(), b'x\n')
        self.assertEqual(tail.returncode, 0)


class Bench(ToolTest):
    def test_figures(self):
        before = bench_areas()
        report = self.json('bench', '--time', '300ms')
        self.assertEqual([row['size'] for row in report['chunks']], [8, 64, 1024, 16384, 262144, 1048576])
        for row in report['chunks']:
            for part in ('copy', 'write', 'share'):
                self.assertTrue(0 < row[part]['least_ns'] <= row[part]['median_ns'] <= row[part]['most_ns'])
        self.assertGreater(report['chunks'][-1]['share']['median_ns'], 10_000)  # nobody shares a megabyte faster than that
        self.assertGreater(report['wake_up']['median_ns'], 0)
        self.assertRegex(self.run_tool('bench', '--time', '100ms').decode(), r'\A *CHUNK +COPY +WRITE +SHARE')
        self.assertEqual(bench_areas() - before, set())


if __name__ == '__main__':
    main()
