// SPDX-License-Identifier: LGPL-2.1-or-later
// How images are varied: edit by edit, at words that mean something, with values that mean something.
#include <algorithm>
#include <iterator>
#include <random>

#include "image.hpp"
#include "target.hpp"

namespace {

using namespace speculo::fuzz;

using Random = std::minstd_rand;

uint32_t pick(Random &random, uint32_t below) { return uint32_t(random() >> 4) % below; }

uint64_t some_value(Random &random) {
    static const uint64_t telling[] = {
        0,      1,       2,       3,          4,          8,           9,    15,   16,   17,          31,         32,
        255,    256,     257,     272,        287,        288,         289,  511,  4096, 8192,        0x7fffffff, 0xfffffffe,
        0xffff, 1 << 20, 1 << 24, 0xffffffff, 0x40000000, 0x100000000, 0x41, 0x42, 0x44, 0xffffffffff};
    uint64_t value = telling[pick(random, uint32_t(std::size(telling)))];
    switch (pick(random, 8)) {
    case 0: return ~value;
    case 1: return value << 32;
    case 2: return value | uint64_t(telling[pick(random, uint32_t(std::size(telling)))]) << 32; // two places
    case 3: return value | uint64_t(1) << (56 + pick(random, 8));                               // an id and a flag
    case 4: return pick(random, 300);
    case 5: return pick(random, 300) | uint64_t(pick(random, 300)) << 32;
    default: return value;
    }
}

uint16_t some_place(Random &random, uint8_t kind) {
    bool is_of_frame = kind == edit_frame || kind == edit_id || kind == edit_fields;
    if (is_of_frame) { return uint16_t(1 + pick(random, 80)); }
    if (kind == edit_header) { return uint16_t(pick(random, 64)); }
    switch (pick(random, 6)) {
    case 0: return uint16_t(pick(random, 128));                        // headers and the control page
    case 1: return uint16_t(1024 + pick(random, 80));                  // index, key table
    case 2: return uint16_t(1040 + pick(random, 16) * 4);              // slots
    case 3: return uint16_t(2048 + pick(random, 80) * 4);              // chunks
    case 4: return uint16_t(pick(random, 4) * 1024 - pick(random, 2)); // ends of pages
    default: return uint16_t(pick(random, 4096));
    }
}

Edit some_edit(Random &random) {
    uint8_t kind = uint8_t(pick(random, edit_kinds));
    if (kind == edit_unname && pick(random, 4) != 0) { kind = edit_add; }
    return {kind, uint8_t(pick(random, 8)), some_place(random, kind), some_value(random)};
}

void put(uint8_t *to, const Edit &edit) {
    to[0] = edit.kind;
    to[1] = edit.object;
    to[2] = uint8_t(edit.where);
    to[3] = uint8_t(edit.where >> 8);
    for (int i = 0; i < 8; ++i) { to[4 + i] = uint8_t(edit.what >> 8 * i); }
}

// One step; the new size.
size_t vary(uint8_t *data, size_t size, size_t most, Random &random) {
    size_t count = (size - head_size) / edit_size;
    uint8_t *at = data + head_size + (count ? pick(random, uint32_t(count)) * edit_size : 0);
    uint8_t *end = data + head_size + count * edit_size;
    bool has_room = size + edit_size <= most && count < most_edits;
    switch (pick(random, 10)) {
    case 0:
    case 1:
        if (!has_room) { return size; }
        std::copy_backward(at, end, end + edit_size);
        put(at, some_edit(random));
        return size + edit_size;
    case 2: // once more, nearby
        if (!has_room || count == 0) { return size; }
        std::copy_backward(at, end, end + edit_size);
        at[2] = uint8_t(at[2] + pick(random, 5) - 2);
        return size + edit_size;
    case 3:
        if (count == 0) { return size; }
        std::copy(at + edit_size, end, at);
        return size - edit_size;
    case 4: data[pick(random, 2)] = uint8_t(pick(random, 256)); return size;
    case 5:
        data[2] = uint8_t(pick(random, 3) ? 0 : pick(random, 100));
        data[3] = uint8_t(pick(random, 16));
        return size;
    case 6:
        if (count > 0) { put(at, some_edit(random)); }
        return size;
    default: // the library's own ways
        if (count > 0) { LLVMFuzzerMutate(at, edit_size, edit_size); }
        return size;
    }
}

} // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    Random random(seed);
    if (most < head_size + edit_size) { return size; }
    if (size < head_size) {
        std::fill(data + size, data + head_size, uint8_t(0));
        size = head_size;
    }
    for (uint32_t steps = 1 + pick(random, 3); steps > 0; --steps) { size = vary(data, size, most, random); }
    return size;
}
