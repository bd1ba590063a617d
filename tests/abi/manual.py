# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every public symbol has a page of the manual that says what there is to say, and the pages are sound.

usage: manual.py MAP PAGE OVERVIEW      (PAGE: one of those of section 3; the others lie beside it)
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from header import report, without_comments

SECTIONS = ['NAME', 'LIBRARY', 'SYNOPSIS', 'DESCRIPTION', 'RETURN VALUE', 'ERRORS', 'THREADS', 'LIFETIME', 'HISTORY', 'SEE ALSO']
# What checks a page, where it is installed.
CHECKERS = {
    'mandoc': ['mandoc', '-T', 'lint'],
    'groff': ['groff', '-man', '-Tutf8', '-ww', '-z'],
}


def symbols(path):
    return re.findall(r'\b(speculo_\w+);', without_comments(Path(path).read_text()))


def sections(text):
    """{title: body}"""
    parts = re.split(r'^\.SH (.*)\n', text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def page_of(folder, name):
    """The text of the page that a name leads to."""
    text = (folder / f'{name}.3').read_text()
    link = re.fullmatch(r'\.so man3/(\w+\.3)\n', text)
    return (folder / link[1]).read_text() if link else text


def problems_of(folder, name, text):
    found = sections(text)
    if list(found) != SECTIONS:
        yield f'has the sections {list(found)}'
        return
    for title, body in found.items():
        if not body.strip():
            yield f'says nothing under {title}'
    if not re.search(rf'\b{name}\b', found['NAME']):
        yield 'is not named by the page that it leads to'
    if not re.search(rf'\b{name}\(', found['SYNOPSIS']):
        yield 'is not declared there'
    for other in set(re.findall(r'(speculo_\w+)(?:\\fP\(3\)| \(3\))', text)):
        if not (folder / f'{other}.3').exists():
            yield f'refers to {other}(3), which is not there'


def complaints(checker, pages):
    done = subprocess.run(CHECKERS[checker] + [str(page) for page in pages], capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip():
            yield line


def main():
    map_path, first, overview = sys.argv[1:]
    folder = Path(first).parent
    names = symbols(map_path)
    problems = []
    for name in names:
        if not (folder / f'{name}.3').exists():
            problems.append(f'{name} has no page')
            continue
        problems += [f'{name} {problem}' for problem in problems_of(folder, name, page_of(folder, name))]
    pages = [folder / f'{name}.3' for name in names if (folder / f'{name}.3').exists()]
    whole = [page for page in pages if not page.read_text().startswith('.so ')]
    checkers = [name for name in CHECKERS if shutil.which(name)]
    for checker in checkers:
        problems += complaints(checker, [*whole, Path(overview)])
    print(f'{len(names)} symbols, {len(whole)} pages, looked at by {", ".join(checkers) or "nobody"}')
    report(problems if names else ['no symbols found'])


main()
