# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every function of the C header says what it gives, needs and returns, who may call it, and since when; the pages of the
documentation speak of nothing that the header does not have, and of the format by its version; and what CONTRIBUTING.md says is
somewhere is there.

usage: docs.py HEADER TOP      (TOP: the source tree)
"""

import re
import sys
from pathlib import Path

from header import functions, report


def problems_of(function):
    if not function.doc.strip():
        yield 'has no doc comment'
        return
    if not re.match(r'[\s*]*[A-Z]', function.doc):
        yield 'does not begin with a sentence'
    for tag in ('threads', 'since'):
        if not re.search(rf'@{tag}\s+\S', function.doc):
            yield f'has no @{tag}'
    returns = re.search(r'@return\s+\S', function.doc)
    if (function.type == 'void') == bool(returns):
        yield 'returns nothing, but has @return' if returns else 'has no @return'
    documented = re.findall(r'@param\s+(\w+)', function.doc)
    if documented != function.parameters:
        yield f'has parameters {function.parameters}, but documents {documented}'


def strange_names(header, top):
    """What pages mention of the C interface although it is not there."""
    known = set(re.findall(r'\b(?:speculo|SPECULO)_\w+', Path(header).read_text()))
    for test in (top / 'tests').rglob('*.[ch]pp'):  # variables that make tests longer
        known.update(re.findall(r'"(SPECULO_TEST_\w+)"', test.read_text()))
    for page in [top / 'README.md', *sorted((top / 'doc').rglob('*.md')), top / 'doc/man/speculo.7']:
        for name in sorted(set(re.findall(r'\b(?:speculo_[a-z]\w+|SPECULO_[A-Z]\w+)', page.read_text())) - known):
            yield f'{page.relative_to(top)} speaks of {name}'


def other_formats(top):
    """Pages that name another version of the format than that of the sources."""
    version = re.search(r'\bformat_version = (\d+);', (top / 'src/layout.hpp').read_text())[1]
    for path, forms in {
        'doc/abi.md': [r'^\| the format, (\d+) \|'],
        'doc/format.md': [r'in version (\d+)\. Structs', r'^\| 8 \| 4 \| version \| (\d+) \|$'],
        'NEWS.md': [r'^- Version (\d+)\.'],
    }.items():
        for form in forms:
            said = re.search(form, (top / path).read_text(), re.MULTILINE)
            if not said or said[1] != version:
                yield f'{path} speaks of version {said[1] if said else "?"} of the format, not of {version}'


def missing_places(top):
    """Files in the table of CONTRIBUTING.md that are nowhere. In a row all are in the folder of the first, unless they name one."""
    rows = re.findall(r'^\| (`.*?) \|', (top / 'CONTRIBUTING.md').read_text(), re.MULTILINE)
    if not rows:
        raise SystemExit('CONTRIBUTING.md: no table of the form that the test expects')
    for row in rows:
        names = re.findall(r'`(.*?)`', row)
        folder = names[0].rpartition('/')[0]
        for name in names:
            place = name if '/' in name else f'{folder}/{name}'
            if not any(top.glob(place.rstrip('/'))):
                yield f'CONTRIBUTING.md speaks of {place}'


def main():
    header, top = sys.argv[1], Path(sys.argv[2])
    found = functions(header)
    print(f'{len(found)} functions')
    problems = [f'{function.name} {problem}' for function in found for problem in problems_of(function)]
    report([*problems, *strange_names(header, top), *other_formats(top), *missing_places(top)])


main()
