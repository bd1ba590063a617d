# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the manual pages are made of, read from speculo.h: its functions, types and constants, each with its comment."""

import re
from pathlib import Path

COMMENT = r'/\*\*(?!<)(?P<doc>(?:(?!\*/).)*)\*/\s*'
FUNCTION = re.compile(
    COMMENT + r'SPECULO_API\s+(?P<type>[^;(]*?)\b(?P<name>speculo_\w+)\s*\((?P<parameters>[^;]*)\)\s*SPECULO_NOTHROW;', re.DOTALL)
STRUCT = re.compile(COMMENT + r'typedef struct (?P<name>speculo_\w+)\s*(?:\{(?P<body>.*?)\}\s*\w+|speculo_\w+);', re.DOTALL)
CALLBACK = re.compile(COMMENT + r'typedef (?P<text>\w+ \(\*(?P<name>speculo_\w+)\)\([^;]*\));', re.DOTALL)
CONSTANT = re.compile(r'^#define (?P<name>SPECULO_[A-Z]+_\w+) (?P<value>[^\n]*?)\s*/\*\*<(?P<doc>.*?)\*/', re.DOTALL | re.MULTILINE)
FIELD = re.compile(r'(?P<declaration>[^;/]+);\s*/\*\*<(?P<doc>.*?)\*/', re.DOTALL)
ERROR = re.compile(r'^\s*\*\s*\| `(-E\w+)`\s*\|\s*(.*?)\s*\|$', re.MULTILINE)
GROUP = re.compile(r'@defgroup (\w+) ([^\n]*)')


def paragraphs(doc):
    """The paragraphs of a comment, each on one line."""
    text = '\n'.join(re.sub(r'^\s*\* ?', '', line) for line in doc.splitlines())
    return [' '.join(part.split()) for part in re.split(r'\n\s*\n', text) if part.strip()]


def line_of(doc):
    return ' '.join(paragraphs(doc))


class Function:
    def __init__(self, match):
        self.name = match['name']
        self.type = match['type'].strip()
        text = match['parameters'].strip()
        self.parameters = [] if text == 'void' else [' '.join(p.split()) for p in text.split(',')]
        prose, *tags = re.split(r'\n\s*\*\s*@(?=param|return|threads|since)', match['doc'])
        self.prose = paragraphs(prose)
        self.arguments, self.tags = [], {}
        for tag in tags:
            kind, rest = tag.split(None, 1)
            if kind == 'param':
                name, said = rest.split(None, 1)
                self.arguments.append((name, line_of(said)))
            else:
                self.tags[kind] = line_of(rest)

    def mentions(self):
        """The functions that the comment speaks of."""
        said = self.prose + [text for _, text in self.arguments] + list(self.tags.values())
        return set(re.findall(r'\b(speculo_\w+)\(\)', ' '.join(said))) - {self.name}

    def results(self):
        """(what success gives, [(code, what it means here)], whether the system's own codes come through)"""
        good, _, bad = self.tags.get('return', '').replace('; or: ', ', or: ').partition(', or: ')
        listed, _, rest = re.sub(r'\.\s+(?=[A-Z])', '.\n', bad).partition('\n')
        parts = re.split(r'[;,] (?=`-E|or as)', listed.rstrip('.'))
        errors = [re.match(r'`(-E\w+)`\s*(.*)', part).groups() for part in parts if part.startswith('`-E')]
        good = good if not bad else good + '.'
        return ' '.join(filter(None, [good, ' '.join(rest.split())])), errors, 'as the system gave it' in listed


class Struct:
    def __init__(self, match):
        self.name = match['name']
        self.prose = paragraphs(match['doc'])
        self.fields = [(' '.join(f['declaration'].split()), line_of(f['doc'])) for f in FIELD.finditer(match['body'] or '')]


class Header:
    def __init__(self, path):
        text = Path(path).read_text()
        self.functions = {match['name']: Function(match) for match in FUNCTION.finditer(text)}
        self.structs = {match['name']: Struct(match) for match in STRUCT.finditer(text)}
        self.callbacks = {match['name']: (match['text'], paragraphs(match['doc'])) for match in CALLBACK.finditer(text)}
        plain = text.replace('\\\n', ' ')
        self.constants = {m['name']: line_of(m['doc']) for m in CONSTANT.finditer(plain)}
        self.errors = dict(ERROR.findall(text))
        self.groups = self._groups(text)

    @staticmethod
    def _groups(text):
        """{function: the functions of its group, in the header's order}"""
        result = {}
        for part in GROUP.split(text)[3::3]:
            names = [match['name'] for match in FUNCTION.finditer(part.split('@}')[0])]
            result.update({name: names for name in names})
        return result
