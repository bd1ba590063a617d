# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nothing of the public structs, nor of the shared format, goes without a frozen copy: every field and every constant is named by
the test that knows its place and value.

usage: frozen.py HEADER STRUCTS LAYOUT LAYOUT_TEST      (speculo.h, structs.c, layout.hpp, layout_test.cpp)
"""

import re
import sys
from pathlib import Path

from header import report, without_comments

FIELD = re.compile(r'(\w+)(?:\[\w+\])?\s*[;,]')


def structs(text, form):
    """{struct: fields}"""
    found = {match[1]: FIELD.findall(match[2]) for match in re.finditer(form, text, re.DOTALL | re.MULTILINE)}
    if not found or not all(found.values()):
        raise SystemExit(f'structs not of the form that the test expects: {found}')
    return found


def public(header, test):
    """What is missing of the C interface."""
    for struct, fields in structs(header, r'typedef struct speculo_(\w+) \{(.*?)\}').items():
        wanted = [f'SAME_SIZE({struct});'] + [f'SAME_FIELD({struct}, {field});' for field in fields]
        yield from (line for line in wanted if line not in test)
    for name in re.findall(r'#define (SPECULO_(?:OPEN|AREA|INFO|CHUNK)_\w+)', header):
        if f'same("{name}", {name}, ' not in test:
            yield f'same("{name}", {name}, ...)'


def shared(layout, test):
    """What is missing of the format."""
    for struct, fields in structs(layout, r'^struct (\w+) \{((?:(?!^\}).)*?Shared<.*?)^\};').items():
        if f'sizeof({struct}), ' not in test:
            yield f'sizeof({struct})'
        yield from (f'EXPECT_FIELD({struct}, {field}, ...)' for field in fields
                    if not re.fullmatch(r'unused\d', field) and f'EXPECT_FIELD({struct}, {field}, ' not in test)
    values = re.findall(r'^inline constexpr \w+ (\w+) = ', layout, re.MULTILINE)
    for body in re.findall(r'^enum \w+ : \w+ \{(.*?)\};', layout, re.MULTILINE | re.DOTALL):
        values += re.findall(r'(\w+) = ', body)
    yield from (f'EXPECT_EQ({value}, ...)' for value in values if f'EXPECT_EQ({value}, ' not in test)


def main():
    header, copies, layout, layout_test = [without_comments(Path(path).read_text()) for path in sys.argv[1:]]
    layout = re.sub(r'//[^\n]*', '', layout)
    report([f'{sys.argv[2]}: {line} is missing' for line in public(header, copies)] +
           [f'{sys.argv[4]}: {line} is missing' for line in shared(layout, layout_test)])


main()
