# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the pages of section 3 of the manual from the comments of speculo.h.

usage: pages.py HEADER OVERVIEW VERSION FOLDER FUNCTION...      (OVERVIEW: speculo.7, which has the date)

Each function gets FOLDER/FUNCTION.3. Functions that belong together share a page; what the others get leads to it.
"""

import re
import sys
import textwrap
from pathlib import Path

from header import Header

# The functions that share a page, named after the first, and what it is about. All others have one of their own.
TOGETHER = {
    ('speculo_area_open', 'speculo_area_close'): 'open and close an area of shared memory',
    ('speculo_chunk_alloc', 'speculo_chunk_shrink'): 'make room for a chunk, to be filled in place',
    ('speculo_chunk_obsolete', 'speculo_key_remove'): 'end the life of a chunk or a key',
    ('speculo_commit', 'speculo_rollback'): 'publish everything since the last commit, or forget it',
    ('speculo_read_next', 'speculo_seek'): 'follow the stream of chunks',
    ('speculo_chunk_hold', 'speculo_chunk_release'): 'keep the bytes of a chunk valid',
    ('speculo_snapshot_open', 'speculo_snapshot_next', 'speculo_snapshot_key', 'speculo_snapshot_close'):
        'look at the chunks that were live at one moment',
    ('speculo_area_get_fd', 'speculo_area_dispatch'): 'wait for an area in an event loop',
}
# The page that explains a struct and a family of constants; others refer to it.
EXPLAINED_BY = {
    'speculo_area_options': 'speculo_area_open',
    'speculo_area_info': 'speculo_area_get_info',
    'speculo_chunk_options': 'speculo_chunk_alloc',
    'speculo_chunk': 'speculo_read_next',
    'SPECULO_OPEN_': 'speculo_area_open',
    'SPECULO_AREA_': 'speculo_area_open',
    'SPECULO_INFO_': 'speculo_area_get_info',
    'SPECULO_CHUNK_': 'speculo_read_next',
}
HANDLES = ('speculo_area', 'speculo_snapshot')
SYSTEM = {'-ENOMEM': 'there is no memory'} # codes that are not the library's own
WIDTH = 72
WRAPPED = {'break_on_hyphens': False, 'break_long_words': False}


# ---- text --------------------------------------------------------------------------------------------------------------------------

def escape(text):
    return text.replace('\\', r'\e')


def bold(text):
    return r'\fB' + escape(text).replace('-', r'\-') + r'\fP'


def italic(text):
    return r'\fI' + escape(text).replace('-', r'\-') + r'\fP'


def marked(token, own):
    """One word of the comments' markup in that of roff."""
    if function := re.fullmatch(r'(speculo_\w+)\(\)', token):
        return bold(function[1]) + ('()' if function[1] in own else '(3)')
    if token.startswith('@p '):
        return italic(token[3:])
    if token.startswith('#'):
        return bold(token[1:])
    if '::' in token:
        return italic(token.partition('::')[2])
    if token.startswith('*'):
        return italic(token.strip('*'))
    code = token.strip('`')
    return bold(code) if re.match(r'[-A-Z]|speculo_\w+\(', code) else italic(code)


TOKEN = re.compile(r'@p \w+|`[^`]+`|#SPECULO_\w+|speculo_\w+\(\)|speculo_\w+::\w+|(?<!\w)\*[^*`]+\*')


def prose(text, own=()):
    """A paragraph, each sentence on a line of its own."""
    pieces, last = [], 0
    for match in TOKEN.finditer(text):
        pieces += [escape(text[last:match.start()]), marked(match[0], own)]
        last = match.end()
    pieces.append(escape(text[last:]))
    sentences = re.sub(r'(?<=[.:])\s+(?=[A-Z\\])', '\n', ''.join(pieces)).splitlines()
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, 80, **WRAPPED)]
    return [r'\&' + line if line[:1] in ".'" else line for line in lines]


def sentence(text):
    text = re.sub(r'^0(?=\.|$)', '0 on success', text)
    text = text[:1].upper() + text[1:] if not re.match(r'speculo_|`|sizeof|\w+_\w', text) else text
    return text if text.endswith(('.', ')')) and not text.endswith('()') else text + '.'


def tagged(tag, text, own=()):
    return ['.TP', tag, *prose(sentence(text), own)]


# ---- sections ----------------------------------------------------------------------------------------------------------------------

def prototype(function):
    head = f'{function.type} {function.name}('.replace('* ', '*')
    lines, line = [], head
    parameters = function.parameters or ['void']
    for i, parameter in enumerate(parameters):
        end = ');' if i + 1 == len(parameters) else ','
        if line != head and len(line) + len(parameter) + 2 > WIDTH:
            lines.append(line.rstrip())
            line = ' ' * (4 if len(head) > 36 else len(head))
        line += parameter + end + ('' if end == ');' else ' ')
    return lines + [line]


def styled(line):
    """A line of a prototype: the names of parameters in italics, the rest bold."""
    return r'\fB' + re.sub(r'(\w+)(?=[,)])', lambda m: m[0] if m[0] == 'void' else rf'\fI{m[0]}\fB', line) + r'\fP'


def synopsis(page):
    yield from ['.SH SYNOPSIS', '.nf', '.B #include <speculo/speculo.h>']
    for name, (text, _) in page.callbacks():
        yield from ['.PP', r'\fBtypedef ' + text + r';\fP']
    for function in page.functions:
        yield from ['.PP', *map(styled, prototype(function))]
    yield '.fi'


def arguments(function, own):
    for name, text in function.arguments:
        yield from tagged(italic(name), text, own)


def description(page):
    yield '.SH DESCRIPTION'
    for function in page.functions:
        if len(page.functions) > 1:
            yield f'.SS {function.name}()'
        for i, paragraph in enumerate(function.prose):
            yield from (['.PP'] if i else []) + prose(paragraph, page.names)
        yield from arguments(function, page.names)
    for name, (_, paragraphs) in page.callbacks():
        yield f'.SS {name}'
        for i, paragraph in enumerate(paragraphs):
            yield from (['.PP'] if i else []) + prose(paragraph, page.names)
    for prefix, names in page.constants():
        yield f'.SS {prefix}*'
        for name in names:
            yield from tagged(bold(name), page.header.constants[name], page.names)
    for struct in page.structs():
        yield f'.SS struct {struct.name}'
        for i, paragraph in enumerate(struct.prose):
            yield from (['.PP'] if i else []) + prose(paragraph, page.names)
        for declaration, text in struct.fields:
            if not re.search(r'\breserved', declaration):
                yield from tagged(bold(declaration), text, page.names)


def return_value(page):
    yield '.SH RETURN VALUE'
    told = [(function, *function.results()) for function in page.functions]
    can_fail = any(errors for _, _, errors, _ in told)
    for i, (function, good, _, _) in enumerate(told):
        good = sentence(good) if good else 'Nothing.'
        if len(told) > 1:
            yield from ['.TP', bold(function.name) + '()', *prose(good, page.names)]
        else:
            yield from prose(good, page.names)
    if can_fail:
        yield from ['.PP', 'On failure a negative error code is returned; outputs and', r'.I errno', 'are left untouched.']


def errors(page):
    """Each code once, with the reasons that the functions of the page have for it."""
    reasons, failing = {}, [function for function in page.functions if function.results()[1]]
    for function in failing:
        for code, text in function.results()[1]:
            reasons.setdefault(code, {}).setdefault(text.strip('() ') or {**SYSTEM, **page.header.errors}[code], []).append(function.name)
    yield '.SH ERRORS'
    if not reasons:
        refer = [f'As for {name}().' for f in page.functions for name in sorted(f.mentions()) if 'errors of' in f.tags.get('return', '')]
        yield from prose(' '.join(refer) or 'None.')
        return
    for code, texts in reasons.items():
        yield from ['.TP', bold(code)]
        for i, (text, names) in enumerate(texts.items()):
            where = '' if len(names) == len(failing) else ' (' + ', '.join(name + '()' for name in names) + ')'
            yield from (['.br'] if i else []) + prose(sentence(text)[:-1] + where + '.', page.names)
    if any(function.results()[2] for function in failing):
        yield from ['.TP', 'others', 'As the system gave them:', rf'{bold("-ENOMEM")}, {bold("-EMFILE")}, and the like.']


def threads(page):
    yield '.SH THREADS'
    told = {}
    for function in page.functions:
        told.setdefault(function.tags['threads'], []).append(function.name)
    for text, names in told.items():
        if len(told) == 1:
            yield from prose(text)
        else:
            yield from ['.TP', ', '.join(bold(name) + '()' for name in names), *prose(text)]


def lifetime(page):
    """What the types say of their lives, and the arguments of what they lead to."""
    said = []
    for name in HANDLES:
        if any(re.search(rf'\b{name}\b', ' '.join([f.type, *f.parameters])) for f in page.functions):
            said.append(f'*{name}*: ' + ' '.join(page.header.structs[name].prose[1:]))
    if any('speculo_chunk *' in p for f in page.functions for p in f.parameters):
        said.append('*speculo_chunk*: ' + ' '.join(page.header.structs['speculo_chunk'].prose[1:]))
    for function in page.functions:
        said += [f'*{name}*: ' + text for name, text in function.arguments if 'valid until' in text and name == 'ret_data']
    if not said and page.functions[0].type == 'const char *':
        said.append('The text is static: it stays as long as the library is loaded.')
    yield '.SH LIFETIME'
    for i, text in enumerate(said or ['Nothing is kept of what is passed.']):
        yield from (['.PP'] if i else []) + prose(text, page.names)


def see_also(page):
    related = {name for function in page.functions for name in function.mentions() | set(page.header.groups[function.name])}
    names = sorted((related - set(page.names)) & page.header.functions.keys())
    yield '.SH SEE ALSO'
    yield from [f'.BR {name} (3),' for name in names] + ['.BR speculo (7)']


# ---- pages -------------------------------------------------------------------------------------------------------------------------

class Page:
    def __init__(self, header, names):
        self.header, self.names = header, names
        self.functions = [header.functions[name] for name in names]

    def text_of_parameters(self):
        return ' '.join(parameter for function in self.functions for parameter in function.parameters)

    def structs(self):
        return [s for name, s in self.header.structs.items() if EXPLAINED_BY.get(name) == self.names[0]]

    def callbacks(self):
        return [(name, told) for name, told in self.header.callbacks.items() if name in self.text_of_parameters()]

    def constants(self):
        for prefix, page in EXPLAINED_BY.items():
            names = [name for name in self.header.constants if name.startswith(prefix)]
            if page == self.names[0] and prefix.isupper() and names:
                yield prefix, names

    def summary(self):
        if self.names in TOGETHER:
            return TOGETHER[self.names]
        first = re.split(r'[.:;] |, at |\.$', self.functions[0].prose[0])[0]
        return first[0].lower() + re.sub(r'[#`]|\(\)', '', first[1:])

    def text(self, version, date):
        yield from [r'.\" SPDX-License-Identifier: LGPL-2.1-or-later', r'.\" Made from speculo.h.']
        yield f'.TH {self.names[0].upper()} 3 "{date}" "speculo {version}" "Library Functions Manual"'
        yield from ['.SH NAME', *textwrap.wrap(', '.join(self.names) + rf' \- {self.summary()}', 80, **WRAPPED)]
        yield from ['.SH LIBRARY', r'libspeculo (\fI\-lspeculo\fP)']
        for section in (synopsis, description, return_value, errors, threads, lifetime):
            yield from section(self)
        yield from ['.SH HISTORY', f'Since version {self.functions[0].tags["since"]}.']
        yield from see_also(self)


def main():
    header_path, overview, version, folder, *wanted = sys.argv[1:]
    header = Header(header_path)
    date = re.search(r'^\.TH SPECULO 7 "([-\d]+)"', Path(overview).read_text(), re.MULTILINE)[1]
    if missing := set(wanted) - header.functions.keys():
        raise SystemExit(f'{header_path}: no comment, or no declaration, of {", ".join(sorted(missing))}')
    shared = {name: names for names in TOGETHER for name in names}
    for name in wanted:
        names = shared.get(name, (name,))
        lines = Page(header, names).text(version, date) if name == names[0] else [f'.so man3/{names[0]}.3']
        (Path(folder) / f'{name}.3').write_text('\n'.join(lines) + '\n')


main()
