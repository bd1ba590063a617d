# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints the files that Ninja has to make before "meson test" can run some suites, one a line.

usage: needed-targets.py BUILD [--no-suite SUITE] SUITE...
"""

import json
import subprocess
import sys
from pathlib import Path


def introspect(build, what):
    return json.loads(subprocess.run(['meson', 'introspect', what, build], check=True, capture_output=True, text=True).stdout)


def main():
    build, *suites = sys.argv[1:]
    unwanted = {suites.pop(1)} if suites[0] == '--no-suite' else set()
    needed = set()
    for test in introspect(build, '--tests'):
        of = {suite.split(':')[-1] for suite in test['suite']}
        if of & set(suites) and not of & unwanted:
            needed.update(test['depends'])
    top = Path(build).resolve()
    for target in introspect(build, '--targets'):
        if target['id'] in needed:
            print(*(Path(file).resolve().relative_to(top) for file in target['filename']), sep='\n')


main()
