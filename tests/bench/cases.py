# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: cases, each with variants that are run in turn, and what is to come out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

MIB = 1 << 20
SIZES = (8, 64, 1 << 10, 64 << 10, MIB)

# Of a stream, by size: messages, and those of peers, which take longer; bytes of memory. All but the largest stay in a core's own
# cache, and all in the last level. An area makes two segments of it: a stream whose one reader keeps up needs no more, and the fewer
# there are, the fewer calls. Messages go around the memory many times: the first accesses to a small page, which `prefault` cannot do
# for a host that makes page tables of its own, are not to count. A log has to be as long as all of them; a small message is measured in
# an area of that kind as well, whose lines come from memory and not from the other core.
MESSAGES = {8: 2_000_000, 64: 1_000_000, 1 << 10: 200_000, 64 << 10: 16_000, MIB: 2_400}
LOG_MESSAGES = MESSAGES | {64 << 10: 4_000, MIB: 300}
PEER_MESSAGES = {8: 200_000, 64: 200_000, 1 << 10: 100_000, 64 << 10: 2_000, MIB: 150}
LARGE_MEMORY = 128 * MIB
MEMORY = {8: MIB, 64: MIB, 1 << 10: MIB, 64 << 10: 4 * MIB, MIB: 4 * (2 * MIB + 4096)}


@dataclass(frozen=True)
class Variant:
    name: str
    program: str
    arguments: tuple[str, ...]
    role: str = 'ours'  # or 'limit', 'peer', 'shown' (neither of them: to explain the others)
    count: int = 0  # messages, before they are scaled
    beside: str = ''  # the variant that is its limit; '': the better one of those that are
    rounds: int = 0  # at most; 0: as many as asked for
    memory: int = 0  # bytes that it takes; not run where there are fewer
    is_brief: bool = True  # enough to be run just to see that it works

    def command(self, scale: float, least: int) -> list[str]:
        counted = [f'messages={max(least, int(self.count * scale))}'] if self.count else []
        return [self.program, *self.arguments, *counted]


@dataclass(frozen=True)
class Target:
    """`judge` gets a function that gives a variant's value: value(variant, figure, 'least' or 'median'). It returns what was reached,
    as text, and whether that is enough."""
    says: str
    judge: Callable[[Callable[..., float]], tuple[str, bool]]


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    unit: str
    variants: tuple[Variant, ...]
    figures: tuple[str, ...] = ('ns',)
    targets: tuple[Target, ...] = ()


@dataclass
class Suite:
    cases: list[Case] = field(default_factory=list)
    programs: frozenset[str] = frozenset()

    def add(self, name: str, title: str, unit: str, variants: list[Variant], **more) -> None:
        there = tuple(variant for variant in variants if variant.program in self.programs)
        self.cases.append(Case(name, title, unit, there, **more))


def name_of(size: int) -> str:
    if size >= MIB:
        return f'{size // MIB} MiB'
    return f'{size >> 10} KiB' if size >= 1 << 10 else f'{size} B'


# ---- targets -------------------------------------------------------------------------------------------------------------------


def ratio(ours: str | list[str], limits: list[str], most: float, figure: str = 'ns', which: str = 'least', says: str = '') -> Target:
    """Of several, the better one counts, on either side. Of ours one may be missing, where it could not be measured; of the limits none."""
    ours = [ours] if isinstance(ours, str) else ours

    def judge(value):
        mine = []
        for name in ours:
            try:
                mine.append(value(name, figure, which))
            except ValueError:
                continue
        reached = min(mine) / min(value(limit, figure, which) for limit in limits)
        return f'{reached:.2f}x', reached <= most

    return Target(says or f'{" or ".join(ours)}: at most {most}x {" or ".join(limits)}', judge)


def ahead(ours: str, peers: list[str], figure: str = 'ns', which: str = 'least') -> Target:

    def judge(value):
        mine = value(ours, figure, which)

        def is_ahead(peer):
            try:
                return value(peer, figure, which) <= mine
            except ValueError:  # it could not be measured here
                return False

        faster = [peer for peer in peers if is_ahead(peer)]
        return 'behind ' + ', '.join(faster) if faster else 'yes', not faster

    return Target(f'{ours}: {figure} ahead of every peer', judge)


def more(ours: str, base: str, figure: str, most: float, clock: str = '') -> Target:

    def judge(value):
        reached = value(ours, figure) - value(base, figure)
        allowed = value(clock, 'ns') if clock else most
        return f'{reached:+.1f} ns of {allowed:.1f}', reached <= allowed

    return Target(f'{ours}: {figure} at most {"one coarse clock reading" if clock else f"{most} ns"} more than {base}', judge)


def at_most(ours: str, figure: str, most: float, unit: str, which: str = 'median') -> Target:

    def judge(value):
        reached = value(ours, figure, which)
        return f'{reached:.2f} {unit}', reached <= most

    return Target(f'{ours}: {figure} at most {most} {unit}', judge)


def growth(ours: str, bare: str, least: str, larger: str, most: float) -> Target:
    """How the cost grows: of what it takes with more, what it takes beside the bare one with the least is no part, as it is the same."""

    def judge(value):
        own = max(0, value(f'{ours}, {least}', 'ns') - value(f'{bare}, {least}', 'ns'))
        reached = (value(f'{ours}, {larger}', 'ns') - own) / value(f'{bare}, {larger}', 'ns')
        return f'{reached:.2f}x', reached <= most

    return Target(f'{ours}, {larger}: but for what {least} takes beside it, at most {most}x {bare}, {larger}', judge)


def worst_call(ours: str, bare: str, most_ns: float) -> Target:

    def judge(value):
        reached, noise = value(ours, 'most', 'median'), value(bare, 'most', 'median')
        has_compacted = value(ours, 'compactions') >= 1  # or it says nothing
        return f'{reached / 1000:.1f} us, where the {bare} has {noise / 1000:.1f}', has_compacted and reached <= most_ns + noise

    return Target(f'{ours}: at most {most_ns / 1000:.0f} us and what the {bare} shows', judge)


# ---- cases ---------------------------------------------------------------------------------------------------------------------


def readers_of(count: int) -> str:
    return f'{count} reader' + ('s' if count != 1 else '')


def stream(program_words: list[str], what: str, size: int, *words: str) -> tuple[str, ...]:
    divided = ['segments=2'] if what in ('stream', 'sides') else []
    return (*program_words, what, f'size={size}', f'bytes={MEMORY[size]}', *divided, *words)


def own(name: str, transport: str, what: str, size: int, *words: str, role: str = 'ours', count: int = 0) -> Variant:
    counts = LOG_MESSAGES if transport == 'log' else MESSAGES
    return Variant(name, 'bench-streams', stream([transport], what, size, *words), role, count or counts[size])


def peers(what: str, size: int, count: int) -> list[Variant]:
    found = [('iceoryx', 'bench-peer-iceoryx', []), ('Boost.Interprocess', 'bench-peer-boost-mq', []),
             ('libqb', 'bench-peer-libqb', []), ('ZeroMQ', 'bench-peer-zmq', []),
             ('pipe', 'bench-peer-kernel', ['pipe']), ('seqpacket', 'bench-peer-kernel', ['seqpacket'])]
    if size <= 8192:  # larger ones only the administrator may allow
        found.append(('POSIX mq', 'bench-peer-kernel', ['posix-mq']))
    slow = {'ZeroMQ': 10} if what == 'trip' else {}
    return [Variant(name, program, stream(words, what, size), 'peer', count // slow.get(name, 1)) for name, program, words in found]


def add_streams(suite: Suite) -> None:
    for size in SIZES:
        others = peers('stream', size, PEER_MESSAGES[size])
        limits = [own('bare log', 'log', 'stream', size, role='limit'), own('bare ring', 'ring', 'stream', size, role='limit')]
        is_small = size <= 1 << 10
        large = f'area, {name_of(LARGE_MEMORY)}'
        larger = [Variant(large, 'bench-streams', ('area', 'stream', f'size={size}', f'bytes={LARGE_MEMORY}', 'segments=2'), 'ours',
                          MESSAGES[size], memory=600 * MIB, is_brief=False)] if is_small else []
        shown = [own('bare ring, 16 B headers', 'wide-ring', 'stream', size, role='shown'),
                 own('area, default options', 'area', 'stream', size, 'default', role='shown'),
                 own('area, its reader rests', 'area', 'stream', size, 'rest=64', role='shown')] if is_small else []
        there = [peer.name for peer in others if peer.program in suite.programs]
        suite.add(f'stream-{name_of(size).replace(" ", "")}', f'lossless stream of {name_of(size)}, one reader reads everything',
                  'ns a message', [*limits, own('area', 'area', 'stream', size), *larger, *shown, *others],
                  targets=(ratio(['area', large], ['bare log', 'bare ring'], 1.2) if is_small else ratio('area', ['bare ring'], 1.2),
                           ahead('area', there)))


def add_large_streams(suite: Suite) -> None:
    """What no cache holds, in huge pages where the system has them."""
    variants = []
    for size, count in ((64, 4_000_000), (1 << 10, 400_000), (64 << 10, 8_000), (MIB, 600)):
        words = ('stream', f'size={size}', f'bytes={LARGE_MEMORY}', 'segments=2')
        for name, transport, role in (('bare ring', 'ring', 'limit'), ('area', 'area', 'ours')):
            variants.append(Variant(f'{name}, {name_of(size)}', 'bench-streams', (transport, *words), role, count,
                                    f'bare ring, {name_of(size)}', memory=600 * MIB, is_brief=False))
    suite.add('stream-large', f'lossless streams in {name_of(LARGE_MEMORY)} of memory', 'ns a message', variants)


def add_sides(suite: Suite) -> None:
    for size in SIZES:
        suite.add(f'sides-{name_of(size).replace(" ", "")}', f'each side of such a stream for itself, {name_of(size)}, in batches',
                  'ns a message',
                  [own('bare log', 'log', 'sides', size, role='limit'), own('bare ring', 'ring', 'sides', size, role='limit'),
                   own('area', 'area', 'sides', size)], figures=('write', 'read'))
    suite.add('fields', 'what a time to live and a key cost, 64 B', 'ns a message', [
        own('area', 'area', 'sides', 64, role='limit'),
        own('area, ttl', 'area', 'sides', 64, 'ttl'),
        own('area, 100 keys', 'area', 'sides', 64, 'key'),
        Variant('coarse clock', 'bench-calls', ('clock', ), 'shown', 2_000_000),
    ], figures=('write', 'read', 'ns'), targets=(
        more('area, ttl', 'area', 'write', 0, 'coarse clock'), more('area, ttl', 'area', 'read', 0, 'coarse clock'),
        more('area, 100 keys', 'area', 'write', 25), more('area, 100 keys', 'area', 'read', 1)))
    suite.add('stream-fields', 'lossless stream of 64 B with a time to live, or a key', 'ns a message', [
        own('area', 'area', 'stream', 64, role='limit'), own('area, ttl', 'area', 'stream', 64, 'ttl'),
        own('area, 100 keys', 'area', 'stream', 64, 'key')])


def add_readers(suite: Suite) -> None:
    counts = (1, 3, 16)
    # Readers on one core take turns of some ms, and there are to be many turns; of a log so long there would be gigabytes.
    stores = (('bare log', 'log', 'shown', MESSAGES[64]), ('area', 'area', 'ours', 8 * MESSAGES[64]))
    variants = [own(f'{name}, {readers_of(readers)}', transport, 'crowd', 64, 'free', f'readers={readers}', role=role, count=count)
                for name, transport, role, count in stores for readers in counts]
    suite.add('readers', 'not lossless, 64 B: the writer with several readers on the other core', 'ns a message, of the writer',
              variants, targets=tuple(ratio(f'area, {readers_of(count)}', ['area, 1 reader'], 1.05) for count in counts[1:]))
    suite.add('stopped', 'not lossless, 64 B: the writer while a reader stands still with an old segment',
              'ns a message, of the writer',
              [own('area, nobody', 'area', 'crowd', 64, 'free', 'readers=0', role='limit'),
               own('area, stopped reader', 'area', 'crowd', 64, 'free', 'readers=1', 'stopped')],
              targets=(ratio('area, stopped reader', ['area, nobody'], 1.1), ))


def add_trips(suite: Suite) -> None:
    for size in (64, 64 << 10):
        others = peers('trip', size, 20_000 if size == 64 else 5_000)
        count = 100_000 if size == 64 else 10_000
        there = [peer.name for peer in others if peer.program in suite.programs]
        suite.add(f'trip-{name_of(size).replace(" ", "")}', f'there and back, {name_of(size)}, both sides poll', 'ns',
                  [own('bare log', 'log', 'trip', size, role='limit', count=count if size == 64 else 2_000),
                   own('bare ring', 'ring', 'trip', size, role='shown', count=count),
                   own('area', 'area', 'trip', size, count=count), *others],
                  figures=('p50', 'p90', 'p99', 'p999', 'most'),
                  targets=(ratio('area', ['bare log'], 1.1, 'p50'), ahead('area', there, 'p99', 'median')) if size == 64 else ())


def add_values(suite: Suite) -> None:
    for what, title in (('paced', 'a thousand updates a second'), ('flat', 'as many updates as there can be')):
        count = {'slots': 10_000_000, 'seqlock': 10_000_000, 'area': 2_000_000, 'iceoryx': 100_000, 'lmdb': 100_000}
        if what == 'paced':
            count = dict.fromkeys(count, 200)
        there = [Variant('bare slots', 'bench-values', ('slots', what), 'limit', count['slots']),
                 Variant('bare seqlock', 'bench-values', ('seqlock', what), 'shown', count['seqlock']),
                 Variant('area', 'bench-values', ('area', what), 'ours', count['area'])]
        others = [Variant('iceoryx', 'bench-peer-iceoryx-values', (what, ), 'peer', count['iceoryx']),
                  Variant('LMDB', 'bench-peer-lmdb', (what, ), 'peer', count['lmdb']),
                  Variant('LMDB, writable map', 'bench-peer-lmdb', (what, 'wmap'), 'peer', count['lmdb'])]
        suite.add(f'latest-{what}', f'the latest value of 64 B, {title}', 'ns; retries in %, new values a second',
                  [*there, *others], figures=('read', 'update', 'retries', 'news', 'longest'),
                  targets=(ratio('area', ['bare slots'], 3, 'read'), ) if what == 'paced' else
                  (ratio('area', ['bare slots'], 5, 'update'), at_most('area', 'retries', 2, '%')))
    suite.add('snapshot', 'all of 100 keys of 64 B, while they change a thousand times a second', 'ns for all of them',
              [Variant('area', 'bench-keys', ('snapshot', ), 'ours', 200)], figures=('singly', 'walk', 'look_up', 'retries'),
              targets=(inside('area', 'walk', 'singly', 2), inside('area', 'look_up', 'singly', 2), at_most('area', 'retries', 0, '')))
    suite.add('join', 'open, and read the first value', 'ns',
              [Variant('bare shared memory', 'bench-values', ('slots', 'join'), 'limit', 100),
               Variant('area', 'bench-values', ('area', 'join'), 'ours', 100), Variant('LMDB', 'bench-peer-lmdb', ('join', ), 'peer', 100)],
              figures=('ns', 'least'), targets=(ratio('area', ['bare shared memory'], 2), ahead('area', ['LMDB'])))


def inside(ours: str, figure: str, base: str, most: float) -> Target:

    def judge(value):
        reached = value(ours, figure) / value(ours, base)
        return f'{reached:.2f}x', reached <= most

    return Target(f'{ours}: {figure} at most {most}x {base}', judge)


def add_calls(suite: Suite) -> None:
    suite.add('compaction', 'the longest single alloc and commit of 1 KiB among 64 MiB of live data', 'ns',
              [Variant('bare log', 'bench-calls', ('log', ), 'limit', 300_000),
               Variant('area', 'bench-calls', ('area', f'bytes={64 * MIB}'), 'ours', 300_000, memory=900 * MIB)],
              figures=('p50', 'p999', 'most', 'compactions'), targets=(worst_call('area', 'bare log', 50_000), ))
    suite.add('steady', 'a lossless stream of 1 KiB that goes around its segments', 'faults; bytes',
              [Variant('area', 'bench-calls', ('steady', f'bytes={4 * MIB}'), 'ours', 100_000, rounds=3)],
              figures=('writer_faults', 'reader_faults', 'segments_used', 'resident', 'allocated', 'tables'),
              targets=(at_most('area', 'writer_faults', 0, 'faults'), at_most('area', 'reader_faults', 0, 'faults'),
                       memory_target('area')))


def memory_target(ours: str) -> Target:

    def judge(value):
        over = value(ours, 'allocated') - value(ours, 'tables')
        return f'{over / MIB:+.2f} MiB', over <= MIB

    return Target(f'{ours}: resident at most its capacities and key tables, and 1 MiB', judge)


def add_capacities(suite: Suite) -> None:
    variants, capacities = [], [1 << exponent for exponent in range(20, 33, 2)]
    least, *larger = capacities
    for capacity in capacities:
        words = (f'size={1 << 10}', f'bytes={2 * capacity}', 'segments=2', *(['cold'] if capacity > 64 * MIB else []))
        for name, transport, role in (('bare ring', 'ring', 'limit'), ('area', 'area', 'ours')):
            beside = f'bare ring, {name_of(capacity)}'
            variants.append(Variant(f'{name}, {name_of(capacity)}', 'bench-streams', (transport, 'alone', *words, 'alone'), role, 400_000,
                                    beside, 0 if capacity <= 64 * MIB else 3, int(2.5 * capacity), capacity <= 16 * MIB))
    suite.add('capacity', 'the writer alone, 1 KiB, twice that much memory', 'ns a message', variants,
              targets=(ratio(f'area, {name_of(least)}', [f'bare ring, {name_of(least)}'], 1.2),
                       *(growth('area', 'bare ring', name_of(least), name_of(capacity), 1.2) for capacity in larger)))


def add_keys(suite: Suite) -> None:
    variants, counts = [], [10**exponent for exponent in range(1, 7)]
    for keys in counts:
        for name, what, role in (('bare array', 'bare-growth', 'limit'), ('area', 'growth', 'ours')):
            variants.append(Variant(f'{name}, {keys}', 'bench-keys', (what, f'keys={keys}'), role, max(1_200_000, 4 * keys),
                                    f'bare array, {keys}', 0 if keys < 100_000 else 5, keys * 1500, keys <= 10_000))
    suite.add('keys', '64 B by key, updates and reads of so many keys in no order', 'ns', variants, figures=('update', 'read'),
              targets=tuple(ratio(f'area, {counts[-1]}', [f'area, {counts[0]}'], 2, figure,
                                  says=f'area: {figure} with {counts[-1]} keys at most 2x that with {counts[0]}')
                            for figure in ('update', 'read')))


def suite_of(programs: set[str]) -> list[Case]:
    suite = Suite(programs=frozenset(programs))
    for add in (add_streams, add_large_streams, add_sides, add_readers, add_trips, add_values, add_calls, add_capacities, add_keys):
        add(suite)
    return suite.cases
