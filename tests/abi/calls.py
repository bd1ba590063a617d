# SPDX-License-Identifier: LGPL-2.1-or-later
"""Only the rooms os* call the system: the compiled objects of all others ask for each other, and for nothing that could do more
than look at memory and take a mutex.

usage: calls.py ARCHIVE NM...
"""

import re
import subprocess
import sys

from header import report

# (bcmp is what clang makes of a memcmp of which only 0 matters.)
ALLOWED = re.compile(
    r'_ZNK?7speculo.*|_ZTV.*|speculo_\w+|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail(_local)?|__stack_chk_guard'
    r'|(__)?(mem(cpy|move|set|cmp|chr)|bcmp|str(n?len|n?cmp|r?chr|c?spn))(_chk)?|pthread_mutex_(lock|unlock)|__tls_get_addr')


def main():
    archive, *nm = sys.argv[1:]
    lines = subprocess.run(nm + ['--undefined-only', '--print-file-name', archive], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    asked = [(re.search(r'([^:/]+)\.cpp\.o:', line), line.split()[-1]) for line in lines if ' U ' in line]
    problems = [
        f'{room[1]} calls {name}' for room, name in asked if not re.match(r'(.*_)?os(_|$)', room[1]) and not ALLOWED.fullmatch(name)
    ]
    print(f'{len({room[1] for room, _ in asked})} objects')
    report(problems if asked else ['no objects found'])


main()
