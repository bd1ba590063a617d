#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compiles the programs of README.md, of doc/ and of the manual as a user would, against an installed prefix, and runs them.

usage: doc_examples.py PREFIX SOURCE_ROOT

In the pages, a block marked

    ```c            is a whole program in C (```cpp: in C++); it compiles without a warning,
    ```c glib-2.0   is one that needs another library, by its pkg-config name,
    ```c fragment   is none.

A program that is followed by a block ```output runs, succeeds, prints exactly that, and leaves nothing behind. Only to run it, its
areas get names of their own, so that nobody else's are in the way.
"""
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Calls that fail, one at a time, and leave outputs untouched, as they may: the compiler sees what is used then, and was never set.
INCLUDE = "#include <speculo/speculo.h>\n"
OPENING = re.compile(r"\bspeculo_(?:area|snapshot)_open\(")
LANGUAGES = {"c": "cc -std=c99", "cpp": "c++ -std=c++17"}
STRICT = "-Wall -Wextra -Wpedantic -Werror"
# Where the name of an area stands.
NAME = re.compile(r'((?:_open|_remove|_check|::open|::remove|writer|reader)(?: \w+)?[({])"([\w./-]+)"')
# Lines that README.md tells a user to type.
COMMAND = re.compile(r"^c(?:c|\+\+) -std=\S+ -o hello hello\.(\w+) \$\(pkg-config --cflags --libs speculo\)$", re.MULTILINE)
PAGES = ["README.md", "doc/*.md", "doc/*/*.md"]


def fail(message):
    sys.exit(f"doc_examples: {message}")


class Program:
    def __init__(self, page, line, language, needs, text):
        self.where = f"{page}:{line}"
        self.language, self.needs, self.text = language, needs, text
        self.output = None  # what it prints, if it is to run


def programs_in(page, text):
    found = []
    last = None
    for block in BLOCK.finditer(text):
        language, mark, body = block[1], block[2].split(), block[3]
        if language == "output":
            if last is None:
                fail(f"{page}: an output without a program in front of it")
            last.output = body
        last = None
        if language not in LANGUAGES:
            continue
        if mark == ["fragment"]:
            if "main(" in body:
                fail(f"{page}: a fragment with a main()")
            continue
        last = Program(page, text[:block.start()].count("\n") + 1, language, mark, body)
        if "main(" not in body:
            fail(f"{last.where}: a program without a main(); fragments are to be marked as such")
        found.append(last)
    return found


def example_of(manual):
    """The program on a page of the manual."""
    text = re.search(r"^\.EX\n(.*?)^\.EE$", manual, re.MULTILINE | re.DOTALL)[1]
    program = Program("speculo.7", manual[:manual.index(".EX")].count("\n") + 1, "c", [], text.replace("\\e", "\\"))
    program.output = "chunk 1: hello\n"
    return program


def environment(prefix):
    found = glob.glob(f"{prefix}/**/pkgconfig/speculo.pc", recursive=True)
    if len(found) != 1:
        fail(f"{len(found)} files speculo.pc below {prefix}, not one")
    libraries = [os.path.dirname(path) for path in glob.glob(f"{prefix}/**/libspeculo.*", recursive=True)]
    return {
        **os.environ,
        "PKG_CONFIG_PATH": os.path.dirname(found[0]),
        "LD_LIBRARY_PATH": ":".join(dict.fromkeys(libraries)),
    }


def is_there(package):
    tool = os.environ.get("PKG_CONFIG", "pkg-config")
    return subprocess.run([tool, "--exists", package], check=False).returncode == 0


def compiled(program, text, env, directory):
    """Compiles without a warning; returns the path of the program."""
    source, binary = (os.path.join(directory, name) for name in (f"program.{program.language}", "program"))
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    packages = " ".join(["speculo", *map(shlex.quote, program.needs)])
    line = f"{LANGUAGES[program.language]} {STRICT} -o {binary} {source} $(pkg-config --cflags --libs {packages})"
    done = subprocess.run(line, shell=True, cwd=directory, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{program.where}: {line}\n{done.stderr}")
    return binary


def check_failures(program, env, directory):
    """Compiles a program in C as if something could not be opened: it may not use what it was not given."""
    if program.language != "c":
        return
    text = program.text.replace(INCLUDE, INCLUDE + "#define FAILS(...) (-2)\n", 1)
    source = os.path.join(directory, "failing.c")
    packages = " ".join(["speculo", *map(shlex.quote, program.needs)])
    line = f"{LANGUAGES['c']} -O2 -Werror=uninitialized -Werror=maybe-uninitialized -c -o {source}.o {source} " \
           f"$(pkg-config --cflags {packages})"
    for opening in OPENING.finditer(text):
        with open(source, "w", encoding="utf-8") as file:
            file.write(text[:opening.start()] + "FAILS(" + text[opening.end():])
        done = subprocess.run(line, shell=True, cwd=directory, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            fail(f"{program.where} does not do where a call fails:\n{done.stderr}")


def run(program, path, env):
    done = subprocess.run([path], env=env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        fail(f"{program.where} ended with status {done.returncode}: {done.stderr}{done.stdout}")
    if done.stdout != program.output:
        fail(f"{program.where} printed {done.stdout!r}, not {program.output!r}")


def try_out(program, env, number):
    mark = f"-doc-{os.getpid()}-{number}"
    text = program.text if program.output is None else NAME.sub(rf'\1"\2{mark}"', program.text)
    with tempfile.TemporaryDirectory() as directory:
        path = compiled(program, text, env, directory)
        check_failures(program, env, directory)
        if program.output is None:
            return "compiled"
        if mark not in text:
            fail(f"{program.where}: no area found in it")
        run(program, path, env)
    left = glob.glob(f"/dev/shm/*{mark}*")
    if left:
        fail(f"{program.where} leaves {left} behind")
    return "compiled and run"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prefix, root = map(os.path.abspath, sys.argv[1:])
    env = environment(prefix)
    programs = []
    for path in sorted(path for pattern in PAGES for path in glob.glob(os.path.join(root, pattern))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        page = os.path.relpath(path, root)
        found = programs_in(page, text)
        if page == "README.md" and [p.language for p in found] != COMMAND.findall(text):
            fail(f"README.md has programs {[p.language for p in found]}, but commands for {COMMAND.findall(text)}")
        programs += found
    with open(os.path.join(root, "doc/man/speculo.7"), encoding="utf-8") as file:
        programs.append(example_of(file.read()))
    for number, program in enumerate(programs):
        missing = [package for package in program.needs if not is_there(package)]
        what = f"needs {', '.join(missing)}, which is not here" if missing else try_out(program, env, number)
        print(f"{program.where}: {what}")


if __name__ == "__main__":
    main()
