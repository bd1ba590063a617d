# SPDX-License-Identifier: LGPL-2.1-or-later
"""The functions of the header, of the map and of the built library are the same, and each has its version.

usage: symbols.py HEADER MAP LIBRARY NM...
"""

import subprocess
import sys

from header import functions, in_map, report


def in_library(path, nm):
    """{function: node}"""
    command = nm + ['--dynamic', '--defined-only', '--with-symbol-versions', path]
    result = {}
    for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        _, kind, symbol = line.split()
        name, _, node = symbol.partition('@@')
        if kind == 'A' and name.startswith('SPECULO_'):
            continue  # a node itself
        result[name] = node
    return result


def main():
    header_path, map_path, library_path, *nm = sys.argv[1:]
    header = {function.name for function in functions(header_path)}
    listed = in_map(map_path)
    exported = in_library(library_path, nm)

    problems = [f'{name}: in the header, not in the map' for name in sorted(header - listed.keys())]
    problems += [f'{name}: in the map, not in the header' for name in sorted(listed.keys() - header)]
    problems += [f'{name}: in the map, not in the library' for name in sorted(listed.keys() - exported.keys())]
    problems += [f'{name}: exported, but in no map' for name in sorted(exported.keys() - listed.keys())]
    problems += [
        f'{name}: version {exported[name] or "none"}, but {listed[name]} in the map'
        for name in sorted(exported.keys() & listed.keys()) if exported[name] != listed[name]
    ]
    print(f'{len(header)} functions')
    report(problems)


main()
