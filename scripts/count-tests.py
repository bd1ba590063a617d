# SPDX-License-Identifier: LGPL-2.1-or-later
"""Counts what "meson test" ran, case by case, and prints "PASSED FAILED SKIPPED".

usage: count-tests.py BUILD

Meson's testlog.json (testlog-SETUP.json) has the verdict on each program; the .junit.xml beside it has the cases of those that
speak GoogleTest. A program that was killed, timed out or complained behind its last case is one more failure; any other program is
one case.
"""

import json
import sys
import xml.etree.ElementTree
from pathlib import Path

GOOD = ('OK', 'EXPECTEDFAIL')


def program_of(suite):
    """Meson names them "project.program.suite" or "project.project:suite / program.suite"."""
    return suite.get('name', '').partition('.')[2].rpartition('.')[0].split(' / ')[-1]


def cases_of(suites, program):
    """(passed, failed, skipped) cases that a program reported."""
    passed = failed = skipped = 0
    for suite in suites:
        if program_of(suite) != program:
            continue
        bad = int(suite.get('failures', 0)) + int(suite.get('errors', 0))
        left_out = int(suite.get('skipped', 0)) + int(suite.get('disabled', 0))
        failed += bad
        skipped += left_out
        passed += int(suite.get('tests', 0)) - bad - left_out
    return passed, failed, skipped


def count(verdict, cases):
    passed, failed, skipped = cases
    if verdict == 'SKIP':
        return 0, 0, 1
    if verdict in GOOD:
        return cases if any(cases) else (1, 0, 0)
    return passed, failed or 1, skipped


def main():
    logs = Path(sys.argv[1]) / 'meson-logs'
    verdicts = sorted(logs.glob('testlog*.json'))
    if not verdicts:
        print('0 0 0')  # there was nothing to run
        return
    suites = xml.etree.ElementTree.parse(verdicts[-1].with_suffix('.junit.xml')).getroot().findall('testsuite')
    total = [0, 0, 0]
    for line in verdicts[-1].read_text().splitlines():
        entry = json.loads(line)
        program = entry['name'].split(' / ')[-1]
        for i, number in enumerate(count(entry['result'], cases_of(suites, program))):
            total[i] += number
    print(*total)


main()
