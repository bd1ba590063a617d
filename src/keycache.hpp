// SPDX-License-Identifier: LGPL-2.1-or-later
// What a handle remembers of the keys that it has used lately: a reader what it found, a writer what it has written.
#pragma once

#include "keytable.hpp"

namespace speculo::core {

// A short key as numbers, so that two are compared without a loop: of one size, they are equal if their lanes are.
struct KeyLanes {
    static constexpr size_t longest = 32;

    uint64_t lane[4];

    static constexpr bool can_hold(size_t size) { return size - 1 < longest; } // not 0 either
    static constexpr bool is_few(size_t size) { return size < 8; }             // of one lane

    static KeyLanes of(const void *key, size_t size) {
        const char *bytes = static_cast<const char *>(key);
        if (size >= 16) {
            return {{eight_bytes(bytes), eight_bytes(bytes + 8), eight_bytes(bytes + size - 16), eight_bytes(bytes + size - 8)}};
        }
        if (is_few(size)) { return {{few_bytes(bytes, size), 0, 0, 0}}; }
        return {{eight_bytes(bytes), eight_bytes(bytes + size - 8), 0, 0}};
    }
    friend bool operator==(const KeyLanes &a, const KeyLanes &b) {
        return ((a.lane[0] ^ b.lane[0]) | (a.lane[1] ^ b.lane[1]) | (a.lane[2] ^ b.lane[2]) | (a.lane[3] ^ b.lane[3])) == 0;
    }
};

// A key has one place only, so the newer of two that meet there is kept. Nothing is stored for keys that are too long. Entry: a struct with
// `lanes` and `size`; 0: nothing is remembered.
template <class Entry> struct KeyCache {
    static constexpr uint32_t count_log2 = 8;

    Entry keys[1 << count_log2];

    // What is remembered holds no longer. (A writer, for whom that is so after each batch, counts epochs instead: see KnownKey.)
    void forget() {
        for (Entry &entry : keys) { entry.size = 0; }
    }

    // Where a key is, or would go.
    Entry &at(const KeyLanes &lanes) {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the high bits of a product depend on all bits.
        uint64_t sum = lanes.lane[0] ^ (lanes.lane[1] << 1) ^ (lanes.lane[2] << 2) ^ (lanes.lane[3] << 3);
        return keys[(sum * 0x9e3779b97f4a7c15) >> (64 - count_log2)];
    }

    // Whether that is of the key. `is_few`: it is known to have fewer than 8 bytes, and so has one lane.
    template <bool is_few = false> static bool is_of(const Entry &entry, const KeyLanes &lanes, size_t size) {
        return entry.size == size && (is_few ? entry.lanes.lane[0] == lanes.lane[0] : entry.lanes == lanes);
    }
};

} // namespace speculo::core
