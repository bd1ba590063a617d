# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests know about speculo.h and the map, read from their text."""

import re
from pathlib import Path

COMMENT = re.compile(r'/\*.*?\*/', re.DOTALL)
# A doc comment, if there is one, and the declaration behind it.
DECLARATION = re.compile(
    r'(?:/\*\*(?P<doc>(?:(?!\*/).)*)\*/\s*)?SPECULO_API\s+(?P<type>[^;(]*?)\b(?P<name>speculo_\w+)\s*\((?P<parameters>[^;]*)\)'
    r'\s*SPECULO_NOTHROW;', re.DOTALL)


def without_comments(text):
    return COMMENT.sub(' ', text)


class Function:
    def __init__(self, match):
        self.name = match['name']
        self.type = match['type'].strip()
        self.doc = match['doc'] or ''
        parameters = match['parameters'].strip()
        self.parameters = [] if parameters == 'void' else [re.search(r'(\w+)$', p.strip())[1] for p in parameters.split(',')]


def functions(path):
    """The functions that a header exports, in its order."""
    text = Path(path).read_text()
    found = [Function(match) for match in DECLARATION.finditer(text)]
    # Whatever looks like a declaration must have been understood.
    marks = len(re.findall(r'^SPECULO_API\b', without_comments(text), re.MULTILINE))
    if not found or len(found) != marks:
        raise SystemExit(f'{path}: {marks} declarations, of which {len(found)} are of the form that the tests expect')
    return found


def in_map(path):
    """{function: node}"""
    text = without_comments(Path(path).read_text())
    result = {}
    for node, body in re.findall(r'(SPECULO_[\d.]+)\s*\{(.*?)\}', text, re.DOTALL):
        exported = re.search(r'global:(.*?)(?:local:|$)', body, re.DOTALL)
        for name in re.findall(r'([^\s;]+);', exported[1] if exported else ''):
            if name in result:
                raise SystemExit(f'{path}: {name} is listed twice')
            result[name] = node
    return result


def report(problems):
    for problem in problems:
        print(problem)
    raise SystemExit(1 if problems else 0)
