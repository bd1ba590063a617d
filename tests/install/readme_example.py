#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Compiles the two programs of README.md as a user would, against an installed prefix, and runs them.

usage: readme_example.py PREFIX SOURCE_ROOT

They are compiled as they stand, by the command lines that README.md gives. Only to run them, the area gets a name of its own, so
that nobody else's "hello" is in the way; they have to succeed, say what they should, and leave nothing behind.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile

PROGRAMS = {
    # language of the block: file it is pasted into, what it prints
    "c": ("hello.c", r"chunk 1: hello\n"),
    "cpp": ("hello.cpp", r"chunk 1: 16 bytes\nchunk 2: 5 bytes\nwind: 12\.5 m/s\n"),
}


def fail(message):
    sys.exit(f"readme_example: {message}")


def program(readme, language):
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    if len(blocks) != 1:
        fail(f"README.md has {len(blocks)} blocks of {language}, not one")
    return blocks[0]


def command(readme, source):
    lines = [line for line in readme.splitlines() if "pkg-config" in line and f" {source} " in line]
    if len(lines) != 1:
        fail(f"README.md has {len(lines)} command lines for {source}, not one")
    return lines[0]


def environment(prefix):
    found = glob.glob(f"{prefix}/**/pkgconfig/speculo.pc", recursive=True)
    if len(found) != 1:
        fail(f"{len(found)} files speculo.pc below {prefix}, not one")
    pkgconfig = os.path.dirname(found[0])
    libraries = [os.path.dirname(path) for path in glob.glob(f"{prefix}/**/libspeculo.*", recursive=True)]
    return {
        **os.environ,
        "PKG_CONFIG_PATH": pkgconfig,
        "LD_LIBRARY_PATH": ":".join(dict.fromkeys(libraries)),
    }


def compiled(text, source, line, env, directory):
    """Compiles without a warning; returns the path of the program."""
    with open(os.path.join(directory, source), "w", encoding="utf-8") as file:
        file.write(text)
    strict = line.replace(" -o ", " -Wall -Wextra -Wpedantic -Werror -o ", 1)
    done = subprocess.run(strict, shell=True, cwd=directory, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        fail(f"{strict}\n{done.stderr}")
    return os.path.join(directory, "hello")


def run(path, env, expected):
    done = subprocess.run([path], env=env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        fail(f"{path} ended with status {done.returncode}: {done.stderr}")
    if not re.fullmatch(expected, done.stdout):
        fail(f"{path} printed {done.stdout!r}, not {expected!r}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prefix, root = map(os.path.abspath, sys.argv[1:])
    with open(os.path.join(root, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    env = environment(prefix)
    for language, (source, expected) in PROGRAMS.items():
        text = program(readme, language)
        line = command(readme, source)
        if '"hello"' not in text:
            fail(f"the area in {source} is not called \"hello\" any more")
        area = f"readme-{language}-{os.getpid()}"
        with tempfile.TemporaryDirectory() as directory:
            compiled(text, source, line, env, directory)
            renamed = re.sub(r'(open\(|remove\(|writer\(|reader\()"hello"', rf'\1"{area}"', text)
            run(compiled(renamed, source, line, env, directory), env, expected)
        left = glob.glob(f"/dev/shm/{area}*")
        if left:
            fail(f"{source} leaves {left} behind")
        print(f"{source}: compiled and run")


if __name__ == "__main__":
    main()
