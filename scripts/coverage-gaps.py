# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges what gcovr has counted, and prints "N passed, N failed": files of which every line was run, and others.

usage: coverage-gaps.py SUMMARY      (SUMMARY: of gcovr --json-summary)
"""

import json
import sys
from pathlib import Path


def main(summary: Path) -> int:
    whole = json.loads(summary.read_text())
    failed = [one for one in whole['files'] if one['line_covered'] < one['line_total']]
    for one in failed:
        print(f"{one['filename']}: {one['line_total'] - one['line_covered']} lines were not run")
    lines, branches = whole['line_percent'], whole['branch_percent']
    print(f'{lines} % of the lines, {branches} % of the branches')
    print(f"{len(whole['files']) - len(failed)} passed, {len(failed)} failed")
    return 0 if whole['files'] and not failed else 1


if __name__ == '__main__':
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1])))
