# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checks a Spin model completely, and that the checker finds each of its seeded breaks.

usage: check.py SPIN CC MODEL FORM... [-- BREAK[:FORM]...]

A FORM says what is tried: 'ids=3,deaths=1'; what it does not say is as usual ('usual': all of it). A BREAK is one of the model's rules
that is not kept, tried in a FORM of its own, or in the first one. The checker finds all of this in its environment, so that one serves
all; but for forms that begin with a macro ('-DREADERS=2,ids=2'), which have one of their own.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MEMORY = '24'  # log2 of the places in its table


class Checkers:
    """Those that were compiled, by their macros."""

    def __init__(self, spin, cc, model, folder):
        self.spin, self.cc, self.model, self.folder, self.made = spin, cc, model, folder, {}

    def make(self, macros):
        name = f'pan{len(self.made)}'
        subprocess.run([self.spin, *macros, '-a', self.model], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([*self.cc.split(), '-O1', '-w', '-DSAFETY', '-DCOLLAPSE', '-o', name, 'pan.c'], cwd=self.folder, check=True)
        self.made[macros] = name

    def run(self, form, broken=0):
        """(errors, states, complete) of one form."""
        parts = [] if form == 'usual' else form.split(',')
        macros = tuple(part for part in parts if part.startswith('-D'))
        choices = dict(part.split('=') for part in parts if part not in macros)
        if macros not in self.made:
            self.make(macros)
        table = '18' if broken else MEMORY
        out = subprocess.run([f'./{self.made[macros]}', '-m1000000', f'-w{table}'], cwd=self.folder, capture_output=True, text=True,
                             env={**os.environ, **choices, 'broken': str(broken)}).stdout
        errors = re.search(r'errors: (\d+)', out)
        states = re.search(r'([\d.e+]+) states, stored', out)
        if not errors or not states:
            raise SystemExit(f'{form}: the checker said\n{out}')
        complete = 'Search not completed' not in out and 'max search depth too small' not in out
        return int(errors[1]), int(float(states[1])), complete


def rules_of(model):
    """Number of each rule that can be broken."""
    return {name: int(number) for name, number in re.findall(r'#define (\w+) +(\d+) +/\* break', Path(model).read_text())}


def main():
    spin, cc, model, *rest = sys.argv[1:]
    split = rest.index('--') if '--' in rest else len(rest)
    forms, breaks = rest[:split], rest[split + 1:]
    rules = rules_of(model)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        checkers = Checkers(spin, cc, Path(model).resolve(), folder)
        for form in forms:
            errors, states, complete = checkers.run(form)
            good = errors == 0 and complete
            bad += not good
            print(f'{form:52} {states:10} states, {"complete" if complete else "NOT complete"}, {errors} errors', flush=True)
        for entry in breaks:
            name, _, form = entry.partition(':')
            errors, states, _ = checkers.run(form or forms[0], rules.pop(name))
            bad += errors == 0
            print(f'{entry:52} {states:10} states, {"found" if errors else "NOT FOUND"}', flush=True)
    if breaks and rules:
        print('not tried:', *rules)
        bad += len(rules)
    return 1 if bad else 0


sys.exit(main())
