// SPDX-License-Identifier: LGPL-2.1-or-later
// The keys that a handle has looked up lately, and what it found. Whoever reads the same keys again and again, which is what blocks
// are for, is spared the search: what was found is still right if it has no successor.
#pragma once

#include "keycache.hpp"
#include "speculo/speculo.h"

namespace speculo::core {

struct RecentKey {
    KeyLanes lanes;
    size_t size;
    const Shared<uint32_t> *successor; // of the chunk that was found
    speculo_chunk view;                // the one that showed it
};

using RecentKeys = KeyCache<RecentKey>;

} // namespace speculo::core
