# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is said of the command keeps up with it: help, manual pages, completion, exit statuses.

usage: pages.py TOP      (TOP: the source tree)
"""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from manners import COMMANDS
from support import ToolTest, main

TOP = Path(sys.argv.pop(1))
GROUPS = {'list': ['list', 'info', 'top', 'check'], 'put': ['create', 'put', 'rm'], 'tail': ['tail', 'get', 'keys', 'watch'],
          'record': ['record', 'replay'], 'bench': ['bench']}
COMPLETION = TOP / 'tools/completion'


class Pages(ToolTest):
    def options(self, command: str) -> set[str]:
        """Those that --help tells of."""
        text = self.run_tool(command, '--help').decode()
        return {option for line in re.findall(r'(?m)^  (-[-a-z,]+)', text) for option in line.split(',')}

    def test_help(self):
        text = self.run_tool('--help').decode()
        for command in COMMANDS:
            self.assertRegex(text, rf'(?m)^  {command} +\w')
            self.assertIn('--help', self.options(command))
        self.assertRegex(self.run_tool('--version').decode(), r'\Aspeculo \d+\.\d+\.\d+\n\Z')
        self.assertEqual(self.run_tool('-V'), self.run_tool('--version'))

    def test_help_is_a_command_too(self):
        self.assertEqual(self.run_tool('help'), self.run_tool('--help'))
        for command in COMMANDS:
            self.assertEqual(self.run_tool('help', command), self.run_tool(command, '--help'))

    def test_manual(self):
        for page, commands in GROUPS.items():
            text = (TOP / f'tools/man/speculo-{page}.1').read_text().replace('\\-', '-')
            plain = re.sub(r'\\f.|[",]', ' ', text)
            for command in commands:
                self.assertIn(f'speculo {command}', plain)
                for option in self.options(command):
                    self.assertRegex(plain, rf'(?<![-\w]){option}(?![-\w])', f'{command} in speculo-{page}.1')
            known = set().union(*(self.options(command) for command in commands))
            options = text.partition('.SH OPTIONS')[2].partition('.SH EXIT')[0]
            told = set(re.findall(r'(?m)(?<![-\w])(--?[a-z][-a-z]*)', '\n'.join(re.findall(r'\.TP\n(.*)', options))))
            self.assertEqual(told - known, set(), f'speculo-{page}.1 tells of what is not there')

    def test_manual_is_well_formed(self):
        for page in sorted((TOP / 'tools/man').glob('*.1')):
            said = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', page], capture_output=True, text=True)
            self.assertEqual(said.stdout, '')

    def test_manual_tells_of_each_exit_status(self):
        header = (TOP / 'tools/errors.hpp').read_text()
        statuses = re.findall(r'(?m)^    \w+ = (\d+),', header)
        page = (TOP / 'tools/man/speculo.1').read_text()
        told = re.findall(r'(?m)^\.B (\d+)$', page.partition('.SH EXIT STATUS')[2].partition('.SH ENV')[0])
        self.assertEqual(told, statuses)
        self.assertGreater(len(told), 5)

    # ---- completion ---------------------------------------------------------------------------------------------------------------

    def bash(self, *words: str) -> list[str]:
        """What bash offers for the last word."""
        script = textwrap.dedent('''
            . "$1"; shift
            COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _speculo
            printf '%s\\n' "${COMPREPLY[@]}"
            ''')
        command = ['bash', '-euc', script, 'bash', COMPLETION / 'speculo.bash', 'speculo', *words]
        said = subprocess.run(command, capture_output=True, text=True, env=self.with_command(), check=True, cwd=self.folder)
        self.assertEqual(said.stderr, '')
        return sorted(said.stdout.split())

    def with_command(self) -> dict[str, str]:
        return {**os.environ, 'PATH': os.path.dirname(os.environ['SPECULO']) + ':' + os.environ['PATH']}

    def test_bash(self):
        name = self.area()
        self.put(name, b'12', '--key', 'wind')
        (self.folder / 'file').touch()
        self.assertEqual(self.bash(''), sorted([*COMMANDS, 'help']))
        self.assertEqual(self.bash('help', ''), sorted(COMMANDS))
        self.assertEqual(self.bash('-'), ['--help', '--version', '-V', '-h'])
        self.assertEqual(self.bash('t'), ['tail', 'top'])
        for command in COMMANDS:
            self.assertEqual(set(self.bash(command, '-')), self.options(command), command)
        self.assertIn(name, self.bash('info', ''))
        self.assertEqual(self.bash('get', '--wait', name, 'w'), ['wind'])
        self.assertEqual(self.bash('put', '--ttl', '5s', name, ''), ['file'])
        self.assertEqual(self.bash('replay', 'fi'), ['file'])
        self.assertEqual(self.bash('put', name, '--key', ''), [])
        self.assertEqual(self.bash('replay', 'file', 'x', '--speed', 'm'), ['max'])

    def zsh(self, line: str) -> str:
        """What zsh shows for a line, on a terminal."""
        script = textwrap.dedent(r'''
            zmodload zsh/zpty
            zpty z zsh -f -i
            zpty -w z "PS1=; fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word"
            zpty -w z "zstyle ':completion:*' list-prompt ''; zstyle ':completion:*' menu no; LISTMAX=10000; stty columns 200"
            zpty -w z "print -r rea''dy"
            zpty -r z said '*ready*'
            zpty -n -w z "$2"$'\t\t'
            sleep 0.1
            while zpty -r -t z said; do print -rn -- $said; sleep 0.1; done
            ''')
        said = subprocess.run(['zsh', '-fc', script, 'zsh', COMPLETION, line], capture_output=True, text=True,
                              env=self.with_command(), timeout=60)
        return said.stdout

    def test_zsh(self):
        subprocess.run(['zsh', '-n', COMPLETION / '_speculo'], check=True)
        text = (COMPLETION / '_speculo').read_text()
        for command in COMMANDS:
            self.assertRegex(text, rf"'{command}:\w")
            for option in self.options(command):
                self.assertRegex(text, rf'(?<![-\w]){option}(?![-\w])')

    def test_zsh_at_work(self):
        name = self.area()
        self.put(name, b'12', '--key', 'wind')
        self.assertIn('--until-closed', self.zsh('speculo tail --u'))
        self.assertIn('wind', self.zsh(f'speculo get {name} w'))


if __name__ == '__main__':
    main()
