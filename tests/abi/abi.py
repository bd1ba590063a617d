# SPDX-License-Identifier: LGPL-2.1-or-later
"""The binary interface as the compiler made it: functions, their parameters, and the structs that these lead to.

usage: abi.py check BASELINE LIBRARY HEADERS ABIDW ABIDIFF   what was there is still there, and the same; more may have come
       abi.py write BASELINE LIBRARY HEADERS ABIDW           makes the baseline anew: for a release that adds something
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from header import report

# abidiff wants to see the beginning of its own first line.
NOTE = '<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->\n<!-- Made by abidw: "meson compile -C BUILD abi-baseline" -->\n'
# Nothing that depends on where the library was built, or on what is inside it.
WRITE = """--exported-interfaces-only --drop-undefined-syms --drop-private-types --no-corpus-path --no-comp-dir-path --no-show-locs
    --no-parameter-names --no-elf-needed --type-id-style hash""".split()


def run(*command):
    return subprocess.run(command, check=False, capture_output=True, text=True)


def write(baseline, library, headers, abidw):
    done = run(abidw, *WRITE, '--headers-dir', headers, library)
    functions = len(re.findall(r'<function-decl ', done.stdout))
    if done.returncode != 0 or functions == 0:
        raise SystemExit(f'{done.stderr}{abidw}: status {done.returncode}, {functions} functions (is there debug information?)')
    first, rest = re.sub(r" path='[^']*'", '', done.stdout).split('\n', 1)
    Path(baseline).write_text(f'{first}\n{NOTE}{rest}')
    print(f'{baseline}: {functions} functions')


def check(baseline, library, headers, abidw, abidiff):
    """abidiff's status is a set of bits; without what was added, every one of them is a break or an error."""
    with tempfile.TemporaryDirectory() as folder:
        now = f'{folder}/now.abi'  # abidiff finds less when it reads the library itself, and is told which types are private
        write(now, library, headers, abidw)
        done = run(abidiff, '--no-added-syms', '--harmless', baseline, now)
    print(done.stdout + done.stderr)
    report([f'{abidiff}: status {done.returncode}'] if done.returncode != 0 else [])


if __name__ == '__main__':
    {'check': check, 'write': write}[sys.argv[1]](*sys.argv[2:])
