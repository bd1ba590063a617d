// SPDX-License-Identifier: LGPL-2.1-or-later
// The keys that a writer has written lately, one to a commit, and where it did so. An update of one of them only stores: neither its slot nor
// the version before is loaded, whose lines readers have in their caches.
#pragma once

#include "keycache.hpp"

namespace speculo::core {

struct KnownKey {
    KeyLanes lanes;
    size_t size;
    uint64_t epoch; // Writer::key_epoch when it was written: holds no longer if that has changed
    KeySlot *slot;
    uint64_t versions; // what the slot has
    uint32_t hash;
    uint32_t length; // of the newest version, which is a plain chunk and has no successor: places
    uint32_t flags;
};

using KnownKeys = KeyCache<KnownKey>;

} // namespace speculo::core
