# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the command share.

Environment: SPECULO is the command, SPECULO_LIBRARY what it is linked to, SPECULO_AREAS the directory that areas live in, SPECULO_PORTABLE 1 where the library keeps to
POSIX (no lossless areas, and nobody knows whether a writer lives)."""

import fcntl
import itertools
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest
from pathlib import Path
from typing import Any

SPECULO = os.environ['SPECULO']
AREAS = Path(os.environ['SPECULO_AREAS'])
PORTABLE = os.environ.get('SPECULO_PORTABLE') == '1'
PATIENCE = 60.0  # seconds; for machines that have much to do

numbers = itertools.count(1)
environment = {**os.environ, 'LC_ALL': 'C.UTF-8', 'TERM': 'xterm'}
environment.pop('NO_COLOR', None)

# Whoever runs the tests behind nohup, or in the background of a script, has the command ignore these.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


def soon(condition: Any, what: str) -> Any:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError(f'not in {PATIENCE} s: {what}')


class Running(subprocess.Popen):
    """The command, at work."""

    def finish(self, number: int = 0, data: bytes | None = None) -> bytes:
        """Sends a signal, if there is a number, and gives the output when it has ended."""
        if number:
            self.send_signal(number)
        out, err = self.communicate(data, timeout=PATIENCE)
        self.errors = (err or b'').decode()
        return out


class ToolTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def area(self) -> str:
        """A name that nobody has; what gets it is removed at the end."""
        name = f'speculo-test-{os.getpid()}-{next(numbers)}'
        self.addCleanup(self.forget, name)
        return name

    def place(self) -> Path:
        """A folder in memory for areas in files, that everybody may look into."""
        folder = tempfile.TemporaryDirectory(dir='/dev/shm', prefix=f'speculo-test-{os.getpid()}-')
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        return Path(folder.name)

    @staticmethod
    def forget(name: str) -> None:
        for file in [AREAS / name, *AREAS.glob(name + '@*')]:
            file.unlink(missing_ok=True)

    def start(self, *arguments: Any, **options: Any) -> Running:
        options = {'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'env': environment, **options}
        running = Running([options.pop('command', SPECULO), *map(str, arguments)], **options)

        def end() -> None:
            if running.poll() is None:
                running.kill()
            for stream in (running.stdin, running.stdout, running.stderr):
                if stream:
                    stream.close()
            running.wait()
        self.addCleanup(end)
        return running

    def run_tool(self, *arguments: Any, data: bytes | None = None, status: int = 0, **options: Any) -> bytes:
        """The output of the command, which has to end with that status; what it said besides is self.errors."""
        running = self.start(*arguments, **({} if data is None else {'stdin': subprocess.PIPE}), **options)
        out = running.finish(data=data)
        self.errors = running.errors
        self.assertEqual(running.returncode, status, f'{arguments}: {self.errors}')
        return out

    def fails(self, status: int, *arguments: Any, data: bytes | None = None, **options: Any) -> str:
        """A failure is one line on standard error, after the command's name, and nothing else."""
        out = self.run_tool(*arguments, data=data, status=status, **options)
        self.assertEqual(out, b'')
        self.assertRegex(self.errors, r'\Aspeculo[^\n]*: [^\n]+\n\Z')
        return self.errors

    def json(self, *arguments: Any) -> Any:
        return json.loads(self.run_tool(*arguments, '--json'))

    def put(self, name: str, data: bytes, *options: Any) -> None:
        self.run_tool('put', name, *options, data=data)

    def writer(self, name: str, *options: Any) -> Running:
        """A put that has the area, and waits for its input."""
        running = self.start('put', name, *options, stdin=subprocess.PIPE, bufsize=0)
        soon(lambda: PORTABLE and (AREAS / f'{name}@lock').exists() or self.state(name) == 'writing', 'the writer has the area')
        return running

    def state(self, name: str) -> str:
        rows = [row for row in self.json('list') if row['name'] == name]
        return rows[0]['state'] if rows else ''


def resize(fd: int, columns: int, rows: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, test: ToolTest, *arguments: Any, columns: int = 80, rows: int = 24, **more: str) -> None:
        self.seen = b''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            resize(1, columns, rows)
            os.execve(SPECULO, [SPECULO, *map(str, arguments)], {**environment, **more})
        test.addCleanup(self.close)

    def resize(self, columns: int, rows: int) -> None:
        """The system tells it by SIGWINCH."""
        resize(self.fd, columns, rows)

    def read(self, timeout: float = 0.01) -> bool:
        """Takes what was printed; False when it has ended."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other end has gone
            data = b''
        self.seen += data
        return data != b''

    def expect(self, text: str) -> None:
        """Waits until it has printed something; what came before is forgotten."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.seen:
            if not self.read() or time.monotonic() > end:
                raise AssertionError(f'{text!r} did not come: {self.seen!r}')
        self.seen = self.seen.partition(text.encode())[2]

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def end(self) -> int:
        """Waits for the end: the exit status, or a signal as a negative number."""
        end = time.monotonic() + PATIENCE
        while self.read():
            if time.monotonic() > end:
                raise AssertionError(f'it does not end: {self.seen!r}')
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


def main() -> None:
    unittest.main(module=sys.modules['__main__'], verbosity=2)
