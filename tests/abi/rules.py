# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rules of the sources that a compiler does not know.

usage: rules.py RULE TOP      (TOP: the source tree; a RULE is one of the functions at the end)
"""

import re
import sys
from pathlib import Path

from header import in_map, report

# What the rooms may include. Those below the line are the system's, and for src/os* alone (but for the mutex of fork).
HEADERS = {'atomic', 'cerrno', 'climits', 'cstddef', 'cstdint', 'cstring', 'limits', 'type_traits', 'utility',
           'speculo/speculo.h'}
SPECIAL_HEADERS = {('fork.cpp', 'pthread.h')}

# Calls that belong into src/os*: the system, files, memory, clocks, processes.
CALLS = """
    malloc calloc realloc free aligned_alloc posix_memalign strdup strndup alloca
    open openat creat close read write pread pwrite readv writev lseek dup dup2 dup3 fcntl ioctl flock lockf
    stat fstat lstat fstatat statx statfs fstatfs chmod fchmod chown fchown umask access
    link linkat unlink unlinkat rename renameat renameat2 mkdir rmdir opendir fdopendir readdir closedir
    ftruncate truncate fallocate posix_fallocate shm_open shm_unlink memfd_create
    mmap munmap mremap mprotect madvise msync mlock sysconf getpagesize
    clock_gettime clock_getres nanosleep usleep sleep time gettimeofday
    poll ppoll select epoll_create1 epoll_ctl epoll_wait inotify_init1 inotify_add_watch timerfd_create eventfd kqueue kevent
    syscall futex membarrier getrandom getentropy rand random
    getpid getppid getuid geteuid getgid getegid gettid
    fork vfork clone pthread_create pthread_atfork pthread_join
    signal sigaction raise kill abort exit _exit _Exit atexit getenv secure_getenv
    printf fprintf sprintf snprintf vsnprintf puts fputs putchar perror fopen fdopen fclose fread fwrite scanf sscanf strerror
""".split()
CALL = re.compile(r'(?<![\w.>:])(?:::|std::)?(' + '|'.join(CALLS) + r')\s*\(')

# Words that would bring in the C++ runtime. (Placement new would be fine, but nobody needs it.)
WORDS = re.compile(r'\b(new|delete|throw|try|catch|dynamic_cast|typeid|thread_local|virtual)\b(?!\s*;)')
DEFAULTED = re.compile(r'=\s*(delete|default)\b')

LITERAL = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)


def code_lines(path):
    """(number, line) of a source without its comments and literals."""
    text = LITERAL.sub(lambda match: '\n' * match[0].count('\n') or ' ', path.read_text())
    return enumerate(text.splitlines(), 1)


def rooms(top):
    found = sorted(path for path in (top / 'src').iterdir() if path.suffix in ('.cpp', '.hpp'))
    if not found:
        raise SystemExit('no sources found')
    return found


def above_the_system(top):
    return [path for path in rooms(top) if not re.match(r'os(_|\.)', path.name)]


def memory_order(top):
    """Memory orders have one home, where each is explained."""
    for path in rooms(top):
        if path.name == 'sync.hpp':
            continue
        for number, line in code_lines(path):
            if re.search(r'memory_order|\batomic_(thread|signal)_fence|__atomic_|__sync_', line):
                yield f'src/{path.name}:{number}: memory orders belong into src/sync.hpp'
            if re.search(r'\bvolatile\b', line):
                yield f'src/{path.name}:{number}: volatile orders nothing'


def system_calls(top):
    """Everything the system does goes through the table in os.hpp, so that tests can make it fail."""
    for path in above_the_system(top):
        for number, line in code_lines(path):
            for call in CALL.findall(line):
                yield f'src/{path.name}:{number}: {call}() belongs into src/os*'
            for word in WORDS.findall(DEFAULTED.sub('', line)):
                yield f'src/{path.name}:{number}: the core does without "{word}"'
        for header in re.findall(r'^\s*#\s*include\s*<(.*?)>', path.read_text(), re.MULTILINE):
            if header not in HEADERS and (path.name, header) not in SPECIAL_HEADERS:
                yield f'src/{path.name}: <{header}> is not for rooms above src/os*'


def spdx(top):
    """Every file says first under which license it is."""
    kinds = {'.c', '.cpp', '.h', '.hpp', '.py', '.sh', '.map', '.build', '.in', '.wrap', '.md', '.supp', '.dox', ''}
    folders = ['.ci', 'bench', 'doc', 'examples', 'include', 'scripts', 'src', 'subprojects', 'tests', 'tools']
    packages = ['debian', 'packaging']  # whatever their files are called
    bare = {'COPYING', 'changelog', 'copyright', 'format', 'libspeculo-doc.doc-base'}  # know no comments
    files = [path for path in top.iterdir() if path.is_file() and path.name != '.git']  # a file in a worktree
    for folder in folders + packages:
        files += [path for path in (top / folder).rglob('*') if path.is_file()]
    for path in sorted(files):
        inside = path.relative_to(top)
        foreign = inside.parts[0] == 'subprojects' and len(inside.parts) > 2
        strange = path.suffix not in kinds and inside.parts[0] not in packages
        if foreign or strange or path.name in bare or '__pycache__' in inside.parts:
            continue
        head = path.read_bytes()[:400].decode(errors='replace').splitlines()[:2]
        if not any('SPDX-License-Identifier: LGPL-2.1-or-later' in line for line in head):
            yield f'{inside}: no SPDX line at the beginning'


def packages(top):
    """What packages say of the version and of the symbols is so (a symbol stays with the version that brought it), and README.md
    names each of them."""
    version = re.search(r"^    version: '(.*)',$", (top / 'meson.build').read_text(), re.MULTILINE)[1]
    said = {
        'debian/changelog': r'^speculo \((.*)-',
        'packaging/speculo.spec': r'^Version: +(.*)$',
    }
    for path, form in said.items():
        found = re.search(form, (top / path).read_text(), re.MULTILINE)[1]
        if found != version:
            yield f'{path} is about version {found}, not {version}'
    named = set(re.findall(r'`([\w-]+)`', (top / 'README.md').read_text().partition('\n## Packages\n')[2].partition('\n## ')[0]))
    spec = (top / 'packaging/speculo.spec').read_text()
    made = re.findall(r'^Package: (.*)$', (top / 'debian/control').read_text(), re.MULTILINE)
    made += [f'speculo-{part}' for part in re.findall(r'^%package (\w+)$', spec, re.MULTILINE)]
    yield from (f'README.md does not name the package {name}' for name in made if name not in named)
    symbols = (top / 'debian/libspeculo0.symbols').read_text()
    listed = set(re.findall(r'^ (\S+@\S+) \S+$', symbols, re.MULTILINE))
    mapped = {f'{name}@{node}' for name, node in in_map(top / 'src/speculo.map').items()}
    mapped |= {f'{node}@{node}' for node in in_map(top / 'src/speculo.map').values()}
    yield from (f'debian/libspeculo0.symbols: {name} is in one of this and src/speculo.map' for name in sorted(listed ^ mapped))


def mutants(top):
    """Each bug to be planted has its place: a list that was left behind would be noticed only when all of them are planted."""
    sys.path.insert(0, str(top / 'tests/mutants'))
    from mutants import MUTANTS
    for mutant in MUTANTS:
        count = (top / mutant.file).read_text().count(mutant.old)
        if count != 1:
            yield f'tests/mutants/mutants.py: {mutant.name}: {mutant.file} has its text {count} times'


RULES = {rule.__name__.replace('_', '-'): rule for rule in (memory_order, system_calls, spdx, packages, mutants)}

if __name__ == '__main__':
    report(list(RULES[sys.argv[1]](Path(sys.argv[2]))))
