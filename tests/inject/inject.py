# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes calls of the system fail, or kill who makes them, from outside: what the table of operations cannot hide.

usage: inject.py STRACE SUBJECT DIRECTORY [STRIDE]

SUBJECT (subject.c) is run in strace once for every call that it makes and every error that the system may give there, with that one
call failing; and once more for every call that it dies at. With STRIDE, every STRIDE-th of these. DIRECTORY is where areas live. Ends
with how many runs there were.
"""

import errno
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

# What the operations of src/os.hpp call, with what the system may say there. Nothing else may be called.
ERRORS = {
    'brk': [],
    'close': ['EIO', 'EINTR'],
    'epoll_create1': ['EMFILE', 'ENFILE', 'ENOMEM'],
    'epoll_ctl': ['ENOMEM', 'ENOSPC'],
    'epoll_wait': ['EINTR'],
    'faccessat': ['ENOENT', 'EACCES'],
    'faccessat2': ['ENOENT', 'EACCES'],
    'fallocate': ['ENOSPC', 'EDQUOT', 'EFBIG', 'ENOMEM', 'EIO', 'EINTR'],
    'fchmod': ['EPERM', 'EROFS', 'EIO'],
    'fchown': ['EPERM', 'EIO'],
    'fcntl': ['ENOLCK', 'EAGAIN', 'EINTR'],
    'fstat': ['ENOMEM', 'EIO'],
    'fstatfs': ['ENOMEM', 'EIO', 'EINTR'],
    'futex': ['EAGAIN', 'EINTR', 'ETIMEDOUT'],
    'getdents64': ['EIO', 'ENOMEM'],
    'geteuid': [],
    'getrandom': ['ENOSYS', 'EINTR'],
    'inotify_add_watch': ['ENOSPC', 'ENOMEM', 'EACCES'],
    'inotify_init1': ['EMFILE', 'ENFILE', 'ENOMEM'],
    'linkat': ['EEXIST', 'ENOSPC', 'ENOMEM', 'EACCES', 'EIO'],
    'madvise': ['ENOMEM', 'EINVAL', 'EFAULT', 'EAGAIN', 'EBUSY'],
    'membarrier': ['ENOSYS', 'EPERM'],
    'mmap': ['ENOMEM', 'EAGAIN', 'ENODEV'],
    'munmap': ['ENOMEM'],
    'newfstatat': ['ENOMEM', 'EIO'],
    'openat': ['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES', 'EINTR'],
    'pread64': ['EIO', 'EINTR'],
    'pwrite64': ['ENOSPC', 'EDQUOT', 'EIO', 'EINTR'],
    'read': ['EIO', 'EINTR'],
    'readlink': ['ENOENT', 'EACCES'],
    'timerfd_create': ['EMFILE', 'ENFILE', 'ENOMEM'],
    'timerfd_settime': ['EINVAL'],
    'unlinkat': ['EACCES', 'EPERM', 'EBUSY', 'EIO'],
}
OWN = ('write',)  # of the subject

# What a call of the library makes of an error, where it does not pass it on.
MEANINGS = {
    ('fallocate', 'EDQUOT'): 'ENOSPC',
    ('fallocate', 'EFBIG'): 'ENOSPC',
    ('fcntl', 'EAGAIN'): 'EBUSY',
    ('openat', 'EACCES'): 'ENOTSUP',  # nobody may know the time of the host
    ('read', 'EIO'): 'ENOTSUP',  # nobody knows the time of the host
    ('readlink', 'ENOENT'): 'ENOTSUP',
    ('readlink', 'EACCES'): 'ENOTSUP',
}


class Run(NamedTuple):
    call: str
    number: int  # of the calls of that name, from the beginning of the process
    fault: str   # an error, or KILL


class Injection:
    def __init__(self, strace: str, subject: str, directory: Path):
        self.strace, self.subject, self.directory = strace, subject, directory

    def start(self, name: str, *options: str) -> subprocess.CompletedProcess:
        command = [self.strace, '-qq', '-e', 'signal=none', *options, self.subject, 'run', name]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def plan(self) -> list[Run]:
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / 'trace'
            result = self.start(f'speculo-inject-{os.getpid()}', '-o', str(trace))
            if result.returncode != 0:
                raise SystemExit(f'strace: {result.stderr}')
            lines = trace.read_text().splitlines()
        begin = next(i for i, line in enumerate(lines) if line.startswith('write(-1, "begin"'))
        end = next(i for i, line in enumerate(lines) if line.startswith('write(-1, "end"'))
        seen: Counter[str] = Counter()
        runs = []
        for index, line in enumerate(lines[:end]):
            call = line.split('(')[0]
            seen[call] += 1
            if index <= begin or call in OWN:
                continue
            if call not in ERRORS:
                raise SystemExit(f'the library calls {call}, which src/os.hpp does not speak of: {line}')
            runs += [Run(call, seen[call], error) for error in ERRORS[call] + ['KILL']]
        return runs

    def judge(self, run: Run) -> Optional[str]:
        name = f'speculo-inject-{os.getpid()}-{run.call}-{run.number}-{run.fault}'
        what = f'signal={run.fault}' if run.fault == 'KILL' else f'error={run.fault}'
        result = self.start(name, '-o', '/dev/null', '-e', f'inject={run.call}:{what}:when={run.number}')
        try:
            return self.judge_death(name, result) if run.fault == 'KILL' else self.judge_error(run, name, result)
        finally:
            for left in self.objects(name):
                left.unlink(missing_ok=True)

    def objects(self, name: str) -> list[Path]:
        return [path for path in self.directory.iterdir() if path.name == name or path.name.startswith(name + '@')]

    def judge_error(self, run: Run, name: str, result: subprocess.CompletedProcess) -> Optional[str]:
        if result.returncode != 0:
            return f'ends with {result.returncode}: {result.stderr}'
        failures = re.findall(r'(\w+)\(.* failed: -(\d+)', result.stdout)
        if len(failures) > 1:
            return f'one fault, and several calls fail: {failures}'
        for call, number in failures:
            error = errno.errorcode[int(number)]
            if error not in (run.fault, MEANINGS.get((run.call, run.fault))):
                return f'{call} says {error}'
        return self.left_behind(name)

    def judge_death(self, name: str, result: subprocess.CompletedProcess) -> Optional[str]:
        if result.returncode != -9:
            return f'was not killed: {result.returncode} {result.stderr}'
        committed = re.findall(r'committed (\d+)', result.stdout)
        form = ['gone', name] if 'removing' in result.stdout else ['after', name, committed[-1] if committed else '0']
        then = subprocess.run([self.subject, *form], capture_output=True, text=True, timeout=60)
        if then.returncode != 0:
            return f'{form} ends with {then.returncode}: {then.stderr}'
        return self.left_behind(name)

    def left_behind(self, name: str) -> Optional[str]:
        left = [path.name for path in self.objects(name)]
        return f'left behind: {left}' if left else None


def main(strace: str, subject: str, directory: str, stride: str = '1') -> int:
    injection = Injection(strace, subject, Path(directory))
    runs = injection.plan()
    calls = len({(run.call, run.number) for run in runs})
    runs = runs[::int(stride)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [(run, problem) for run, problem in zip(runs, pool.map(injection.judge, runs)) if problem]
    for run, problem in problems:
        print(f'{run.call} {run.number} {run.fault}: {problem}')
    print(f'{calls} calls, {len(runs)} runs, {len(problems)} problems')
    return 1 if problems or not runs else 0


if __name__ == '__main__':
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
