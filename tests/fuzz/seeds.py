# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes the inputs that fuzzing begins with.

usage: seeds.py CORPUS      (CORPUS: the folder tests/fuzz/corpus)
"""

import struct
import sys
from pathlib import Path

# As in image.hpp.
(STORE32, STORE64, ADD, FLIP, HEADER, FRAME, ID, FIELDS, BYTE, RESIZE, COPY, UNNAME, TRAIT, WORD_OF) = range(14)
BASES = 9
CONTROL, FIRST_SEGMENT = 0, 1
CHUNKS = 8192

END, MARKER, PADDING = 0x44, 0x42, 0x41


def image(base: int, *edits: tuple[int, int, int, int], mode: int = 0, failing: int = 0, error: int = 0) -> bytes:
    head = bytes((base, mode, failing, error))
    return head + b''.join(struct.pack('<BBHQ', kind, object_, where, what) for kind, object_, where, what in edits)


def images() -> dict[str, bytes]:
    seeds = {f'base-{base}': image(base, mode=1 << base % 6) for base in range(BASES)}
    for base in range(BASES):  # failures of the system, early and late
        seeds[f'failing-{base}'] = image(base, mode=0x11, failing=5 + 9 * base, error=base)
    words = {  # of the control page and of segments, in units of 8 bytes
        'magic': (CONTROL, 0), 'version': (CONTROL, 1), 'incompatible': (CONTROL, 7), 'capacity': (CONTROL, 8),
        'segments': (CONTROL, 10), 'flags': (CONTROL, 11), 'current': (CONTROL, 16), 'slot': (CONTROL, 32),
        'segment-slot': (FIRST_SEGMENT, 4), 'segment-capacity': (FIRST_SEGMENT, 5), 'table-slots': (FIRST_SEGMENT, 6),
        'next-id': (FIRST_SEGMENT, 7), 'prefix-end': (FIRST_SEGMENT, 8), 'generation': (FIRST_SEGMENT, 9),
        'hint': (FIRST_SEGMENT, 16),
    }
    for number, (name, (object_, word)) in enumerate(words.items()):
        seeds[name] = image(1 + number % 6, (HEADER, object_, word, (1 << 64) - 1 if number % 2 else 0x10000), mode=1)
    frames = {
        'end-of-chunks': (0x1_0000_0001, END << 56 | 0x41),
        'end-to-itself': (0x1_0000_0001, END << 56 | 0x21),
        'padding': (0x11, PADDING << 56),
        'marker': (1, MARKER << 56),
        'long': (0xffffffff, 0x01),
        'largest': (0xfffffffe, 0x01),
        'all-fields': (9, 0x3f << 56 | 0x7f),
        'superseded-by-itself': (0x5_0000_0005, 3),
    }
    for number, (name, (words_, id_flags)) in enumerate(frames.items()):
        place = 1 + 2 * number
        seeds['frame-' + name] = image(1 + number % 3, (FRAME, FIRST_SEGMENT, place, words_), (ID, FIRST_SEGMENT, place, id_flags),
                                       mode=0x10)
    for place in (1040, 1042, 1044):  # slots of the key table, in units of 4 bytes
        seeds[f'keys-{place}'] = image(6, (STORE64, FIRST_SEGMENT, place, 0x0000_0005_0000_0009), mode=1)
    seeds['index'] = image(5, (STORE32, FIRST_SEGMENT, 1024, 0x105), (STORE32, FIRST_SEGMENT, 1025, 0x7fffffff))
    seeds['dead-page'] = image(5, (STORE32, FIRST_SEGMENT, 1025, 0x100))  # with live chunks
    seeds['short'] = image(1, (RESIZE, FIRST_SEGMENT, CHUNKS // 16 + 20, 0))
    seeds['empty'] = image(2, (RESIZE, CONTROL, 0, 0))
    seeds['copied'] = image(3, (COPY, 1, 0, 2))
    seeds['no-segment'] = image(3, (UNNAME, 1, 0, 0), mode=1)
    seeds['foreign'] = image(1, (TRAIT, CONTROL, 1, 3))
    seeds['two-names'] = image(1, (TRAIT, FIRST_SEGMENT, 2, 1), mode=1)
    return seeds


def calls() -> dict[str, bytes]:
    seeds = {}
    state = 1
    for number in range(12):
        data = bytearray()
        for _ in range(100 + 40 * number):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
            data.append(state >> 56)
        seeds[f'chance-{number}'] = bytes(data)
    return seeds


def options() -> dict[str, bytes]:
    names = ['weather', '/weather', '/run/there/weather', 'no/slash', '.hidden', '', 'x' * 200, 'x' * 201, 'a@b', '/', '/run/../x',
             '/run/' + 'd/' * 2100 + 'x']
    whole = 0xc0000000  # structs of the known size
    seeds = {}
    for number, name in enumerate(names):
        flags = (0, 1, 3, 7, 8, 32)[number % 6] | (whole if number % 2 else 0)
        seeds[f'name-{number}'] = struct.pack('<I', flags) + name.encode() + b'\0'
    chunk = struct.pack('<HQQQQQIII', 0, 0, 0, 0, 0, 0, 64, 7, 1) + bytes(36) + b'\x40\0'
    keyed = struct.pack('<HQQQQQIII', 0, 0, 1 << 30, 0, 1, 5, 16, 0, 0) + bytes(36) + b'\x40\0'
    area = struct.pack('<HQQQIIQIIII', 0, 0, 4096, 8192, 0o644, 50, 4096, 3, 1, 0, 0) + bytes(32)
    for number, flags in enumerate((3, 7, 0)):
        seeds[f'structs-{number}'] = struct.pack('<I', flags | whole) + b'n\0' + chunk + keyed + chunk + keyed + bytes(200) + area
    return seeds


def main(corpus: Path) -> int:
    for target, seeds in {'image': images(), 'calls': calls(), 'options': options()}.items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / f'{name}.input').write_bytes(data)
        print(f'{target}: {len(seeds)} inputs')
    return 0


if __name__ == '__main__':
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(Path(sys.argv[1])))
