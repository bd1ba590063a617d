# SPDX-License-Identifier: LGPL-2.1-or-later
"""Judges what gcovr has counted: every line of src/ is to be run, and every branch taken, or tests/coverage/untaken.txt says why not.
Prints "N passed, N failed": files without and with something else.

usage: coverage-gaps.py ROOT COUNTS      (COUNTS: of gcovr --json)
"""

import json
import sys
from collections import Counter
from pathlib import Path


def reasons(root: Path) -> dict[str, list[str]]:
    """What may stay untaken, by file: parts of source lines. Each has to be there, once, and to have a reason."""
    listed: dict[str, list[str]] = {}
    file = text = part = ''
    for line in [*(root / 'tests/coverage/untaken.txt').read_text().splitlines(), '[]']:
        if line.startswith('    '):
            part = ''
        elif part:
            raise SystemExit(f'untaken.txt: {file}: no reason for: {part}')
        elif line.startswith('[') and line != '[]':
            file = line.strip('[]')
            text = (root / 'src' / file).read_text()
            listed[file] = []
        elif line not in ('', '[]') and not line.startswith('#'):
            part = line
            if text.count(part) != 1:
                raise SystemExit(f'untaken.txt: {file} has this {text.count(part)} times: {part}')
            listed[file].append(part)
    return listed


def main(root: Path, counts: Path) -> int:
    may_be_untaken = reasons(root)
    gaps: Counter[str] = Counter()
    lines = lines_run = branches = branches_taken = 0
    files = json.loads(counts.read_text())['files']
    for file in files:
        name = Path(file['file']).name
        source = (root / file['file']).read_text().splitlines()
        for line in file['lines']:
            if line.get('gcovr/noncode'):
                continue
            text = source[line['line_number'] - 1]
            untaken = sum(branch['count'] == 0 for branch in line.get('branches', []))
            lines += 1
            lines_run += line['count'] > 0
            branches += len(line.get('branches', []))
            branches_taken += len(line.get('branches', [])) - untaken
            if (line['count'] == 0 or untaken) and not any(part in text for part in may_be_untaken.get(name, [])):
                gaps[name] += 1
                what = 'was not run' if line['count'] == 0 else f'has {untaken} branches that were not taken'
                print(f"{file['file']}:{line['line_number']}: {what}: {text.strip()}")
    print(f'{100 * lines_run / lines:.1f} % of the lines, {100 * branches_taken / branches:.1f} % of the branches; '
          f'{sum(map(len, may_be_untaken.values()))} lines with a reason in tests/coverage/untaken.txt')
    print(f'{len(files) - len(gaps)} passed, {len(gaps)} failed')
    return 0 if files and not gaps else 1


if __name__ == '__main__':
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1]), Path(sys.argv[2])))
