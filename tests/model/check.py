# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks a Spin model completely, and that the checker finds each of its seeded breaks.

usage: check.py SPIN CC MODEL FORM... -- BREAK...     FORM: 'sound', or macros of a sound variant, joined by '+'; BREAK: macros
"""

import re
import subprocess
import sys
import tempfile


def run(spin, cc, model, macros):
    """(errors, states, complete) of one variant."""
    flags = [] if macros == 'sound' else [f'-D{macro}' for macro in macros.split('+')]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([spin, *flags, '-a', model], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*cc.split(), '-O2', '-w', '-DSAFETY', '-DCOLLAPSE', '-o', 'pan', 'pan.c'], cwd=folder, check=True)
        out = subprocess.run(['./pan', '-m1000000', '-w22'], cwd=folder, capture_output=True, text=True).stdout
    errors = re.search(r'errors: (\d+)', out)
    states = re.search(r'([\d.e+]+) states, stored', out)
    if not errors or not states:
        raise SystemExit(f'{model} {macros}: the checker said\n{out}')
    complete = 'Search not completed' not in out and 'max search depth too small' not in out
    return int(errors[1]), int(float(states[1])), complete


def main():
    spin, cc, model, *rest = sys.argv[1:]
    split = rest.index('--') if '--' in rest else len(rest)
    bad = 0
    for form in rest[:split]:
        errors, states, complete = run(spin, cc, model, form)
        good = errors == 0 and complete
        bad += not good
        print(f'{form:32} {states:10} states, {"complete" if complete else "NOT complete"}, {errors} errors')
    for break_ in rest[split + 1:]:
        errors, states, _ = run(spin, cc, model, break_)
        bad += errors == 0
        print(f'{break_:32} {states:10} states, {"found" if errors else "NOT FOUND"}')
    return 1 if bad else 0


sys.exit(main())
