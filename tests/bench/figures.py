# SPDX-License-Identifier: LGPL-2.1-or-later
"""Plots of a report, by gnuplot, and its table in doc/performance.md."""

import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
PAGE = TOP / 'doc' / 'performance.md'
BEGIN, END = '<!-- figures: scripts/bench --document writes what follows -->', '<!-- end of figures -->'
NOISE = 0.1  # of a core, from which on others disturb

STYLE = '''set terminal svg size 760,420 font "sans-serif,13" background "#ffffff"
set border 3 lc rgb "#666666"
set tics nomirror
set grid ytics lc rgb "#dddddd" lt 1 lw 0.5
set key outside right top
'''
COLOURS = {'area': '#c0392b', 'bare log': '#222222', 'bare ring': '#888888', 'bare slots': '#222222'}
OTHER_COLOURS = ('#2471a3', '#1e8449', '#b9770e', '#7d3c98', '#148f77', '#a04000', '#5d6d7e', '#d98880')


class Report:

    def __init__(self, report: dict):
        self.cases = {case['name']: case for case in report['cases']}
        self.machine = report['machine']

    def row(self, case: str, variant: str, figure: str = 'ns') -> dict | None:
        rows = self.cases.get(case, {}).get('rows', [])
        return next((row for row in rows if row['variant'] == variant and row['figure'] == figure), None)

    def variants(self, *cases: str) -> list[str]:
        """Those that are not there to explain others, in order."""
        found: dict[str, None] = {}
        for case in cases:
            for row in self.cases.get(case, {}).get('rows', []):
                if row['role'] != 'shown' or case == 'readers':
                    found[row['variant']] = None
        return list(found)

    def having(self, names: list[str]) -> list[str]:
        return [name for name in names if name in self.cases]


def draw(path: Path, commands: str) -> None:
    script = f'{STYLE}set output "{path}"\n{commands}'
    subprocess.run(['gnuplot', '-'], input=script, text=True, check=True)


def styled(names: list[str]) -> dict[str, str]:
    others = iter(OTHER_COLOURS * 2)
    return {name: f'lc rgb "{COLOURS.get(name) or next(others)}" lw {3 if name == "area" else 1.5}' for name in names}


def lines(series: dict[str, list[tuple[float, float]]], extra: str = '') -> str:
    """A line for each series."""
    shown = {name: points for name, points in series.items() if points}
    styles = styled(list(shown))
    blocks = ''.join(f'$d{i} << EOD\n' + ''.join(f'{x} {y}\n' for x, y in points) + 'EOD\n' for i, points in enumerate(shown.values()))
    plots = ', '.join(f'$d{i} using 1:2 with linespoints pt 7 ps 0.6 {styles[name]} title "{name}"' for i, name in enumerate(shown))
    return f'{blocks}{extra}\nplot {plots}\n'


def bars(groups: list[str], series: dict[str, list[float | None]], extra: str = '') -> str:
    """A group of bars for each of `groups`, with a bar for each series."""
    styles = styled(list(series))
    table = ''.join(f'"{group}" ' + ' '.join('nan' if values[i] is None else f'{values[i]:.3f}' for values in series.values()) + '\n'
                    for i, group in enumerate(groups))
    plots = ', '.join(f'$d using {i + 2}:xtic(1) {styles[name]} title "{name}"' for i, name in enumerate(series))
    return (f'$d << EOD\n{table}EOD\nset style data histograms\nset style histogram clustered gap 2\n'
            f'set style fill solid 0.85 noborder\n{extra}\nplot {plots}\n')


def plot_throughput(report: Report, folder: Path) -> None:
    sizes = {'8B': 8, '64B': 64, '1KiB': 1 << 10, '64KiB': 64 << 10, '1MiB': 1 << 20}
    cases = [f'stream-{size}' for size in sizes]
    series = {
        name: [(size, size / row['least']) for text, size in sizes.items() if (row := report.row(f'stream-{text}', name))]
        for name in report.variants(*cases)
    }
    draw(folder / 'throughput.svg', lines(series, 'set logscale xy\nset xlabel "bytes of a message"\nset ylabel "GB/s"\n'
                                          'set xtics ("8" 8, "64" 64, "1 Ki" 1024, "64 Ki" 65536, "1 Mi" 1048576)'))


def plot_latency(report: Report, folder: Path) -> None:
    figures = ['p50', 'p90', 'p99', 'p999']
    series = {name: [row['median'] if (row := report.row('trip-64B', name, figure)) else None for figure in figures]
              for name in ['bare ring', *report.variants('trip-64B')]}
    draw(folder / 'latency.svg', bars(['p50', 'p90', 'p99', 'p99.9'], series, 'set logscale y\nset ylabel "ns there and back"'))


def plot_readers(report: Report, folder: Path) -> None:
    series = {}
    for name in ('bare log', 'area'):
        points = [(count, row['least']) for count in (1, 3, 16) if (row := report.row('readers', f'{name}, {count} reader{"s" if count > 1 else ""}'))]
        series[name] = points
    draw(folder / 'readers.svg', lines(series, 'set yrange [0:*]\nset xlabel "readers"\nset ylabel "ns a message, of the writer"'))


def plot_calls(report: Report, folder: Path) -> None:
    figures = ['p50', 'p999', 'most']
    series = {name: [report.row('compaction', name, figure)['median'] / 1000 for figure in figures] for name in ('bare log', 'area')}
    draw(folder / 'compaction.svg',
         bars(['p50', 'p99.9', 'longest'], series, 'set logscale y\nset ylabel "us for alloc and commit of 1 KiB"'))


def plot_latest(report: Report, folder: Path) -> None:
    wanted = [('latest-paced', 'read'), ('latest-flat', 'read'), ('latest-flat', 'update')]
    series = {name: [row['least'] if (row := report.row(case, name, figure)) else None for case, figure in wanted]
              for name in report.variants('latest-paced', 'latest-flat')}
    draw(folder / 'latest.svg', bars(['read, 1000 updates/s', 'read, writer flat out', 'update, flat out'], series,
                                     'set logscale y\nset ylabel "ns"'))


def plot_capacities(report: Report, folder: Path) -> None:
    names = {'1 MiB': 1, '4 MiB': 4, '16 MiB': 16, '64 MiB': 64, '256 MiB': 256, '1024 MiB': 1024, '4096 MiB': 4096}
    series = {transport: [(size, row['least']) for name, size in names.items() if (row := report.row('capacity', f'{transport}, {name}'))]
              for transport in ('bare ring', 'area')}
    draw(folder / 'capacity.svg', lines(series, 'set logscale x 4\nset yrange [0:*]\nset xlabel "capacity, MiB"\n'
                                        'set ylabel "ns for 1 KiB, of the writer"'))


def plot_keys(report: Report, folder: Path) -> None:
    keys = [10, 100, 1_000, 10_000, 100_000, 1_000_000]
    series = {
        f'{name}, {figure}': [(count, row['least']) for count in keys if (row := report.row('keys', f'{name}, {count}', figure))]
        for name in ('area', 'bare array') for figure in ('update', 'read')
    }
    draw(folder / 'keys.svg', lines(series, 'set logscale xy\nset xlabel "keys"\nset ylabel "ns"'))


PLOTS = (
    ('throughput', plot_throughput, ['stream-8B', 'stream-64B'], 'Throughput, by size of a message'),
    ('latency', plot_latency, ['trip-64B'], 'There and back, 64 bytes: percentiles'),
    ('readers', plot_readers, ['readers'], 'What a message of 64 bytes costs the writer, by number of readers'),
    ('compaction', plot_calls, ['compaction'], 'Single calls while 64 MiB of live data are compacted'),
    ('latest', plot_latest, ['latest-paced', 'latest-flat'], 'Reading and updating the latest value'),
    ('capacity', plot_capacities, ['capacity'], 'What a message of 1 KiB costs the writer, by capacity'),
    ('keys', plot_keys, ['keys'], 'Updates and reads, by number of keys'),
)


def draw_all(report: Report, folder: Path) -> list[tuple[str, str]]:
    """Gives the names of the plots, and what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, plot, needed, title in PLOTS:
        if report.having(needed) == needed:
            plot(report, folder)
            drawn.append((name, title))
    return drawn


# ---- the page ------------------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    return f'{value:.1f}' if value < 100 else f'{value:,.0f}'


def table_of(case: dict) -> str:
    rows = case['rows']
    figures = list(dict.fromkeys(row['figure'] for row in rows))
    variants = list(dict.fromkeys(row['variant'] for row in rows))
    cells = {(row['variant'], row['figure']): row for row in rows}
    text = f'| {case["unit"]} | ' + ' | '.join(figures) + ' |\n|---|' + '---|' * len(figures) + '\n'
    for variant in variants:
        line = []
        for figure in figures:
            row = cells.get((variant, figure))
            ratio = row and row['ratio_of_least']
            line.append((f'{number(row["median"])} / {number(row["least"])}' + (f' ({ratio:.2f}x)' if ratio else '')) if row else '')
        text += f'| {variant} | ' + ' | '.join(line) + ' |\n'
    return text


def targets_of(report: Report) -> str:
    lines = [f'| {case["name"]} | {target["target"]} | {target["reached"]} | {"yes" if target["met"] else "**no**"} |\n'
             for case in report.cases.values() for target in case['targets']]
    return '| case | target | reached | met |\n|---|---|---|---|\n' + ''.join(lines) if lines else ''


def section(report: Report, drawn: list[tuple[str, str]]) -> str:
    machine = report.machine
    noise = max((case['others'] for case in report.cases.values()), default=0)
    text = (f'Cells are median / least of all rounds, and the least as a multiple of the better limit of the same run. '
            f'Machine: {machine["processor"]}, {machine["cores"]} cores, Linux {machine["kernel"]}.\n\n')
    if noise > NOISE:
        text += (f'**A noisy run**: other processes used up to {noise:.2f} of a core while a case was measured. Trust what is least, '
                 'and ratios above 2.\n\n')
    text += f'{targets_of(report)}\n'
    text += ''.join(f'![{title}](performance/{name}.svg)\n\n' for name, title in drawn)
    for case in report.cases.values():
        text += f'### {case["name"]}: {case["title"]}\n\n{table_of(case)}\n'
    return text


def write_documents(data: dict, plots: Path | None, is_document: bool) -> None:
    report = Report(data)
    if plots:
        draw_all(report, plots)
    if is_document:
        drawn = draw_all(report, PAGE.with_suffix(''))
        pattern = re.compile(re.escape(BEGIN) + '.*' + re.escape(END), re.DOTALL)
        PAGE.write_text(pattern.sub(lambda _: f'{BEGIN}\n\n{section(report, drawn)}{END}', PAGE.read_text()))
