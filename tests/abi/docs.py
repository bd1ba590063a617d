# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every function of the C header says what it gives, needs and returns, who may call it, and since when.

usage: docs.py HEADER
"""

import re
import sys

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


def main():
    found = functions(sys.argv[1])
    print(f'{len(found)} functions')
    report([f'{function.name} {problem}' for function in found for problem in problems_of(function)])


main()
