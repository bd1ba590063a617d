# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plants the bugs of mutants.py one at a time and looks whether the suite notices.

usage: run.py TREE BUILD [NAME...]

TREE is a copy of the checkout that may be written to, BUILD its configured build folder. Ends with "N passed, N failed"."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

from mutants import MUTANTS

TIME_LIMIT = 120  # seconds; a test that hangs has noticed too


UNTRUSTED = '_untrusted'  # the program with readers that trust nobody


def program(tree, name):
    name = name.removesuffix(UNTRUSTED)
    for suite in ('unit', 'ipc', 'step'):
        if (tree / 'tests' / suite / f'{name}_test.cpp').exists():
            return f'tests/{suite}/{name}_test'
    raise SystemExit(f'there is no test program {name}')


def compile_all(build, targets):
    return subprocess.run(['ninja', '-C', build, *targets], capture_output=True, text=True)


def first_failure(output):
    failed = [line for line in output.splitlines() if line.startswith('[  FAILED  ]')]
    return failed[0].removeprefix('[  FAILED  ]').split('(')[0].strip() if failed else 'it crashed'


def clean_up(pid):
    """Removes the areas of a test program that was not given the time to."""
    for left in pathlib.Path('/dev/shm').glob(f'speculo-test-{pid}-*'):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def run(command, settings):
    """Exit status, None if it hung, and output."""
    with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          errors='replace') as process:
        try:
            output, _ = process.communicate(timeout=TIME_LIMIT)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            process.kill()
            return None, ''
        finally:
            clean_up(process.pid)


def kill(tree, build, killers):
    """What noticed, or None."""
    for killer in killers:
        settings = {'SPECULO_TEST_UNTRUSTED': '1'} if killer.endswith(UNTRUSTED) else {}
        status, output = run([build / program(tree, killer), '--gtest_fail_fast'], settings)
        if status is None:
            return f'{killer}: it hung'
        if status != 0:
            return f'{killer}: {first_failure(output)}'
    return None


def try_one(mutant, tree, build):
    """Whether the mutant was noticed, and what is to be said of it."""
    path = tree / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        return False, f'its text occurs {text.count(mutant.old)} times in {mutant.file}'
    killers = mutant.killers.split()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        compiled = compile_all(build, [*(program(tree, killer) for killer in killers), 'tests/ipc/peer'])
        if compiled.returncode != 0:
            return False, 'it does not compile:\n' + '\n'.join(line for line in compiled.stdout.splitlines() if 'error' in line)
        killer = kill(tree, build, killers)
    finally:
        path.write_text(text)
    return killer is not None, killer or f'nobody noticed ({mutant.killers})'


def main():
    tree, build = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    wanted = sys.argv[3:]
    unknown = set(wanted) - {mutant.name for mutant in MUTANTS}
    if unknown:
        raise SystemExit(f'there is no mutant {" ".join(unknown)}')
    passed = failed = 0
    for mutant in MUTANTS:
        if wanted and mutant.name not in wanted:
            continue
        begin = time.monotonic()
        noticed, what = try_one(mutant, tree, build)
        passed, failed = passed + noticed, failed + (not noticed)
        print(f'{"killed " if noticed else "ESCAPED"} {mutant.name}: {what} ({time.monotonic() - begin:.0f} s)', flush=True)
    print(f'{passed} passed, {failed} failed')
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
