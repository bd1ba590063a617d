# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs the cases of cases.py and compares. Called by scripts/bench, which builds first and explains the options."""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from cases import Case, Variant, suite_of
from figures import write_documents
from roudi import Roudi

TIMEOUT = 120  # seconds for one program
CANNOT = 77  # the status of a program that this user or this system does not allow


class Failure(Exception):
    pass


class Cannot(Exception):
    pass


def busy_seconds() -> float:
    """What all processes have used of all cores, ever; with what the host took away."""
    names = 'user nice system idle iowait irq softirq steal'.split()
    times = dict(zip(names, map(int, Path('/proc/stat').read_text().split()[1:])))
    return sum(times[name] for name in ('user', 'nice', 'system', 'irq', 'softirq', 'steal')) / os.sysconf('SC_CLK_TCK')


def own_seconds() -> float:
    kinds = (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, kinds))


def free_memory() -> int:
    lines = dict(line.split(':') for line in Path('/proc/meminfo').read_text().splitlines())
    shared = os.statvfs('/dev/shm')
    return min(int(lines['MemAvailable'].split()[0]) * 1024, shared.f_bavail * shared.f_frsize)


class Runner:

    def __init__(self, folder: Path, scale: float, least: int, roudi: Roudi):
        self.folder, self.scale, self.least, self.roudi = folder, scale, least, roudi

    def path(self, program: str) -> Path:
        return next(path for path in (self.folder / program, self.folder / 'peers' / program) if path.exists())

    def measure(self, variant: Variant) -> dict[str, float]:
        command = variant.command(self.scale, self.least)
        command[0] = str(self.path(command[0]))
        with self.roudi.awake('iceoryx' in variant.program):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
            try:
                out, error = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                out, error = process.communicate()
                error += 'took too long'
        if process.returncode == CANNOT:
            raise Cannot(error.strip())
        if process.returncode != 0:
            for left in Path('/dev/shm').glob(f'*speculo-bench*-{process.pid}-*'):
                left.unlink(missing_ok=True)
            raise Failure(f'{variant.name}: {" ".join(command)}: {error.strip()}')
        return json.loads(out.splitlines()[-1])


class Result:
    """What came out of one case: per variant and figure the values of all rounds."""

    def __init__(self, case: Case):
        self.case = case
        self.values: dict[str, dict[str, list[float]]] = {variant.name: defaultdict(list) for variant in case.variants}
        self.others = 0.0  # how much of a core others used meanwhile
        self.failures: list[str] = []  # of peers: they do not spoil the figures of the others

    def run(self, runner: Runner, rounds: int, is_brief: bool) -> None:
        variants = [variant for variant in self.case.variants if self.is_possible(variant, is_brief)]
        begin, busy, own = time.monotonic(), busy_seconds(), own_seconds()
        for number in range(rounds):
            for variant in list(variants if number % 2 == 0 else reversed(variants)):
                if variant.rounds and number >= variant.rounds:
                    continue
                try:
                    for figure, value in runner.measure(variant).items():
                        self.values[variant.name][figure].append(value)
                except Cannot as reason:
                    print(f'\n{self.case.name}: without {variant.name}: {reason}')
                    variants.remove(variant)
                except Failure as failure:
                    if variant.role != 'peer':
                        raise
                    self.failures.append(f'{self.case.name}: {failure}')
                    self.values[variant.name].clear()
                    variants.remove(variant)
        runner.roudi.stop()
        used = busy_seconds() - busy - (own_seconds() - own)
        self.others = max(0.0, used / (time.monotonic() - begin))

    def is_possible(self, variant: Variant, is_brief: bool) -> bool:
        if variant.memory > free_memory():
            print(f'\n{self.case.name}: without {variant.name}, which takes {variant.memory >> 20} MiB of memory')
            return False
        return variant.is_brief or not is_brief

    def value(self, variant: str, figure: str = 'ns', which: str = 'least') -> float:
        values = self.values[variant][figure]
        return statistics.median(values) if which == 'median' else min(values)

    def limit(self, of: Variant, figure: str, which: str) -> float:
        limits = [variant.name for variant in self.case.variants if variant.role == 'limit']
        names = [of.beside] if of.beside else limits
        return min((self.value(name, figure, which) for name in names if self.values[name][figure]), default=0.0)

    def judged(self) -> list[dict]:
        found = []
        for target in self.case.targets:
            try:
                reached, is_met = target.judge(self.value)
            except (KeyError, ValueError, statistics.StatisticsError):  # something that is not there
                continue
            found.append({'target': target.says, 'reached': reached, 'met': is_met})
        return found

    def rows(self) -> list[dict]:
        rows = []
        for variant in self.case.variants:
            for figure in self.case.figures:
                values = self.values[variant.name][figure]
                if not values:
                    continue
                row = {'variant': variant.name, 'role': variant.role, 'figure': figure, 'median': statistics.median(values),
                       'least': min(values), 'values': values}
                for which in ('median', 'least'):
                    limit = self.limit(variant, figure, which)
                    row[f'ratio_of_{which}'] = row[which] / limit if limit > 0 else None
                rows.append(row)
        return rows

    def as_json(self) -> dict:
        return {'name': self.case.name, 'title': self.case.title, 'unit': self.case.unit, 'others': round(self.others, 2),
                'rows': self.rows(), 'targets': self.judged()}

    def print(self) -> None:
        rounds = max((len(row['values']) for row in self.rows()), default=0)
        note = f', others used {self.others:.2f} of a core' if self.others > 0.1 else ''
        print(f'\n{self.case.name}: {self.case.title}\n  {self.case.unit}; {rounds} rounds{note}')
        print(f'  {"":28} {"":14} {"median":>12} {"least":>12} {"ratio":>9} {"of least":>9}')
        for row in self.rows():
            ratios = [f'{row[key]:8.2f}x' if row[key] is not None else f'{"":9}' for key in ('ratio_of_median', 'ratio_of_least')]
            print(f'  {row["variant"]:28} {row["figure"]:14} {row["median"]:12.1f} {row["least"]:12.1f} {" ".join(ratios)}')
        for target in self.judged():
            print(f'  {"met   " if target["met"] else "MISSED"} {target["target"]}: {target["reached"]}')
        sys.stdout.flush()


def system_calls(runner: Runner) -> dict[str, float]:
    """Which system calls both sides of a steady stream make for each segment: by how many more a longer stream makes."""
    counts, segments = [], []
    waiting = {'sched_yield', 'wait4'}  # of the program, for its other side
    for messages in (20_000, 60_000):
        with tempfile.NamedTemporaryFile('r') as trace:
            command = [str(runner.path('bench-calls')), 'steady', f'messages={messages}', f'bytes={4 << 20}']
            done = subprocess.run(['strace', '-f', '-qq', '-o', trace.name, *command], capture_output=True, text=True, timeout=TIMEOUT)
            if done.returncode != 0:
                raise Failure(f'{" ".join(command)}: {done.stderr.strip()}')
            names = re.findall(r'^\d+ +(\w+)\(', trace.read(), re.MULTILINE)
        counts.append(Counter(name for name in names if name not in waiting))
        segments.append(json.loads(done.stdout.splitlines()[-1])['segments_used'] * 2)  # of which the second half was counted
    more, used = counts[1] - counts[0], segments[1] - segments[0]
    return {name: count / used for name, count in more.most_common() if count / used >= 0.05}


def machine() -> dict:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    model = next((line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')), platform.machine())
    return {'processor': model, 'cores': os.cpu_count(), 'kernel': '.'.join(platform.release().split('.')[:2]),
            'memory': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'), 'load': os.getloadavg()[0]}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument('build', type=Path)
    for name in ('quick', 'smoke', 'list', 'document'):
        parser.add_argument(f'--{name}', action='store_true')
    parser.add_argument('--case', action='append', default=[])
    parser.add_argument('--rounds', type=int, default=0)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--plots', type=Path)
    return parser.parse_args()


def wanted(options: argparse.Namespace, cases: list[Case]) -> list[Case]:
    unknown = [name for name in options.case if not any(case.name.startswith(name) for case in cases)]
    if unknown:
        sys.exit(f'bench: no case begins with {", ".join(unknown)}: see --list')
    return [case for case in cases if not options.case or any(case.name.startswith(name) for name in options.case)]


def run_all(options: argparse.Namespace, cases: list[Case], runner: Runner) -> tuple[list[Result], list[str]]:
    rounds = options.rounds or (1 if options.smoke else 5 if options.quick else 20)
    results, failures = [], []
    for case in cases:
        result = Result(case)
        try:
            result.run(runner, rounds, options.smoke)
        except (Failure, OSError, RuntimeError) as failure:
            runner.roudi.stop()
            failures.append(f'{case.name}: {failure}')
            print(f'\n{failures[-1]}')
            continue
        failures += result.failures
        results.append(result)
        result.print()
    return results, failures


def main() -> int:
    options = parse_options()
    folder = options.build / 'tests' / 'bench'
    programs = {path.name for path in [*folder.glob('bench-*'), *folder.glob('peers/bench-*')] if path.is_file()}
    cases = wanted(options, suite_of(programs))
    if options.list:
        print('\n'.join(f'{case.name:18} {case.title}' for case in cases))
        return 0
    scale, least = (0.001, 40) if options.smoke else (0.25, 40) if options.quick else (1.0, 1)
    began = machine()
    with Roudi(any('iceoryx' in program for program in programs)) as roudi:
        runner = Runner(folder, scale, least, roudi)
        results, failures = run_all(options, cases, runner)
        if not options.case and not failures:
            calls = ', '.join(f'{count:.1f} {name}' for name, count in system_calls(runner).items())
            print(f'\nsystem calls of a lossless stream, both sides, for each segment: {calls or "none"}')
    report = {'machine': began, 'cases': [result.as_json() for result in results]}
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + '\n')
    if options.plots or options.document:
        write_documents(report, options.plots, options.document)
    judged = [target for result in results for target in result.judged()]
    if failures:
        print('failed:', *failures, sep='\n  ')
    if options.smoke:
        print(f'{len(results)} passed, {len(failures)} failed')
    else:
        print(f'\n{sum(target["met"] for target in judged)} of {len(judged)} targets met')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
