# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the built library asks of those who load it: libc alone, little text, no surprises.

usage: needed.py SONAME LIBRARY MOST_TEXT READELF SIZE NM      (MOST_TEXT in bytes; 0: any)
"""

import re
import subprocess
import sys

from header import report

# Calls that a library for everybody must not make: they end the process, start something, read the environment, or take over what
# belongs to the program.
FORBIDDEN = {
    'abort', 'exit', '_exit', '_Exit', 'quick_exit', '__assert_fail', 'atexit', '__cxa_atexit', 'at_quick_exit', 'getenv',
    'secure_getenv', 'setenv', 'signal', 'sigaction', 'pthread_create', 'thrd_create', 'fork', 'system', 'printf', 'puts',
    'fprintf', 'fwrite', 'perror', 'dlopen', 'setlocale',
}
POINTER = {'ELF32': 4, 'ELF64': 8}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def dynamic(readelf, library):
    """[(tag, rest of the line)]"""
    lines = run(readelf, '--dynamic', '--wide', library).splitlines()
    return [match.groups() for match in (re.match(r'\s*0x[0-9a-f]+\s+\((\w+)\)\s*(.*)', line) for line in lines) if match]


def values(entries, tag):
    return [rest for name, rest in entries if name == tag]


def dynamic_problems(entries, soname, pointer):
    needed = [re.search(r'\[(.*)\]', rest)[1] for rest in values(entries, 'NEEDED')]
    if not (len(needed) == 1 and re.match(r'libc\.', needed[0])):
        yield f'needs {", ".join(needed) or "nothing"} instead of libc alone'
    if not any(f'[{soname}]' in rest for rest in values(entries, 'SONAME')):
        yield f'soname is not {soname}: {values(entries, "SONAME")}'
    for tag in ('TEXTREL', 'RPATH', 'RUNPATH'):
        if values(entries, tag):
            yield f'has {tag}'
    flags = ' '.join(values(entries, 'FLAGS') + values(entries, 'FLAGS_1'))
    for flag in ('NOW', 'NODELETE'):
        if flag not in flags.split():
            yield f'is not linked with -z {flag.lower()}'
    # One entry is the compiler's own.
    for tag in ('INIT_ARRAYSZ', 'FINI_ARRAYSZ'):
        for rest in values(entries, tag):
            if int(rest.split()[0]) > pointer:
                yield f'runs code when loaded or unloaded: {tag} {rest}'


def segment_problems(readelf, library):
    lines = run(readelf, '--program-headers', '--wide', library).splitlines()
    stack = [line for line in lines if 'GNU_STACK' in line]
    if not stack or 'E' in stack[0].split()[-2]:
        yield f'has an executable stack: {stack}'
    if not any('GNU_RELRO' in line for line in lines):
        yield 'has no RELRO segment'
    if any(line.split()[:1] == ['TLS'] for line in lines):
        yield 'has thread-local variables, so loading it late may fail'


def text_size(size, library):
    return sum(int(line.split()[1]) for line in run(size, '-A', library).splitlines() if line.startswith('.text'))


def import_problems(nm, library):
    for line in run(nm, '--dynamic', '--undefined-only', library).splitlines():
        name = line.split()[-1].split('@')[0]
        if name in FORBIDDEN or name.startswith('_Z'):
            yield f'calls {name}'


def main():
    soname, library, most_text, readelf, size, nm = sys.argv[1:]
    pointer = POINTER[re.search(r'Class:\s*(\w+)', run(readelf, '--file-header', library))[1]]
    problems = list(dynamic_problems(dynamic(readelf, library), soname, pointer))
    problems += segment_problems(readelf, library)
    problems += import_problems(nm, library)
    text = text_size(size, library)
    print(f'{text} bytes of text')
    if text == 0 or 0 < int(most_text) <= text:
        problems.append(f'{text} bytes of text; the limit is {most_text}')
    report(problems)


main()
