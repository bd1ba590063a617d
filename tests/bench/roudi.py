# SPDX-License-Identifier: LGPL-2.1-or-later
"""iceoryx's daemon, as long as it is needed. It stands still while others are measured."""

import contextlib
import grp
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

# Sizes and counts of chunks; a queue of the adapters must fit.
POOLS = ((128, 2048), (2048, 2048), (65664, 256), (1049088, 32))


def configuration() -> str:
    pools = ''.join(f'[[segment.mempool]]\nsize = {size}\ncount = {count}\n' for size, count in POOLS)
    return f'[general]\nversion = 1\n\n[[segment]]\n\n{pools}'


class Roudi:

    def __init__(self, is_wanted: bool):
        self.program = shutil.which('iox-roudi') if is_wanted else None
        self.process: subprocess.Popen | None = None
        self.folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> 'Roudi':
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        self.folder.cleanup()

    def stop(self) -> None:
        """At the end of a case, too, so that nothing is left of a case that failed."""
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            if self.process.wait(timeout=30) != 0:  # it gives up over a client that died
                for name in ('iceoryx_mgmt', grp.getgrgid(os.getgid()).gr_name):
                    (Path('/dev/shm') / name).unlink(missing_ok=True)
        self.process = None

    def start(self) -> None:
        if not self.program:
            raise FileNotFoundError('iox-roudi is not installed')
        config, log = Path(self.folder.name) / 'roudi.toml', Path(self.folder.name) / 'log'
        config.write_text(configuration())
        with log.open('w') as output:
            self.process = subprocess.Popen([self.program, '-m', 'off', '-c', str(config)], stdout=output, stderr=output)
        until = time.monotonic() + 20
        while 'ready for clients' not in log.read_text():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f'RouDi did not start:\n{log.read_text()}')
            time.sleep(0.05)

    @contextlib.contextmanager
    def awake(self, is_needed: bool):
        if not is_needed:
            yield
            return
        if self.process:
            self.process.send_signal(signal.SIGCONT)
        else:
            self.start()
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)
