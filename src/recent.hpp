// SPDX-License-Identifier: LGPL-2.1-or-later
// The keys that a handle has looked up lately, and what it found. Whoever reads the same keys again and again, which is what blocks
// are for, is spared the search: what was found is still right if it has no successor.
#pragma once

#include "keytable.hpp"
#include "speculo/speculo.h"

namespace speculo::core {

// A short key as numbers, so that two are compared without a loop: of one size, they are equal if their lanes are.
struct KeyLanes {
    static constexpr size_t longest = 32;

    uint64_t lane[4];

    static constexpr bool can_hold(size_t size) { return size - 1 < longest; } // not 0 either

    static KeyLanes of(const void *key, size_t size) {
        const char *bytes = static_cast<const char *>(key);
        if (size >= 16) {
            return {{eight_bytes(bytes), eight_bytes(bytes + 8), eight_bytes(bytes + size - 16), eight_bytes(bytes + size - 8)}};
        }
        if (size >= 8) { return {{eight_bytes(bytes), eight_bytes(bytes + size - 8), 0, 0}}; }
        return {{few_bytes(bytes, size), 0, 0, 0}};
    }
    friend bool operator==(const KeyLanes &a, const KeyLanes &b) {
        return ((a.lane[0] ^ b.lane[0]) | (a.lane[1] ^ b.lane[1]) | (a.lane[2] ^ b.lane[2]) | (a.lane[3] ^ b.lane[3])) == 0;
    }
};

struct RecentKey {
    KeyLanes lanes;
    size_t size;                       // 0: nothing is remembered
    const Shared<uint32_t> *successor; // of the chunk that was found
    speculo_chunk view;                // the one that showed it

    // `is_few`: it is known to have fewer than 8 bytes, and so has one lane.
    template <bool is_few> bool is_of(const KeyLanes &other, size_t other_size) const {
        return size == other_size && (is_few ? lanes.lane[0] == other.lane[0] : lanes == other);
    }
};

// A key has one place only, so the newer of two that meet there is kept. Nothing is stored for keys that are too long.
struct RecentKeys {
    static constexpr uint32_t count_log2 = 8;

    RecentKey keys[1 << count_log2];

    // The handle has entered another segment.
    void forget() {
        for (RecentKey &key : keys) { key.size = 0; }
    }

    RecentKey &at(const KeyLanes &lanes) {
        // Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4): the high bits of a product depend on all bits.
        uint64_t sum = lanes.lane[0] ^ (lanes.lane[1] << 1) ^ (lanes.lane[2] << 2) ^ (lanes.lane[3] << 3);
        return keys[(sum * 0x9e3779b97f4a7c15) >> (64 - count_log2)];
    }
};

} // namespace speculo::core
