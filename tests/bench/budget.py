# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts the instructions of the hot paths and holds them against a written budget: a steady figure, however busy the machine is.

usage: budget.py HOT_PATHS VALGRIND BUDGET

HOT_PATHS is the program of hot_paths.cpp; BUDGET a JSON file of instructions for each round, by path. A path that takes more is a
failure, and so is one that takes far less: then the budget is to be lowered, or the next one who spoils it is not noticed.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LOOSE = 0.9  # of the budget, at least


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


def count(program, valgrind, path):
    with tempfile.TemporaryDirectory() as folder:
        said = run([
            valgrind, '--tool=callgrind', f'--callgrind-out-file={Path(folder) / "out"}', '--collect-atstart=no',
            f'--toggle-collect=path_{path}', program, path
        ])
    return int(re.search(r'Collected : (\d+)', said)[1])


def main():
    program, valgrind, budget_file = sys.argv[1:]
    budget = json.loads(Path(budget_file).read_text())
    rounds = {name: int(count) for name, count in (line.split() for line in run([program]).splitlines())}
    problems = [f'{path}: no such path' for path in budget.keys() - rounds.keys()]
    for path, number in rounds.items():
        each, most = count(program, valgrind, path) / number, budget.get(path, 0)
        print(f'{path:16} {each:8.1f} of {most}')
        if each > most:
            problems.append(f'{path}: {each:.1f} instructions, and {most} are allowed')
        elif each < LOOSE * most:
            problems.append(f'{path}: {each:.1f} instructions: lower its budget of {most}')
    print(*problems, sep='\n')
    return 1 if problems else 0


sys.exit(main())
