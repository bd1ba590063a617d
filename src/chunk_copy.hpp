// SPDX-License-Identifier: LGPL-2.1-or-later
// Private copies of chunks, for the views of readers that map nothing.
#pragma once

#include "frame.hpp"

namespace speculo::core {

// Key and payload of one chunk. The handle, or the snapshot, is one user; each hold is another, and the last one frees it.
struct ChunkCopy {
    Counter users;
    size_t room;     // bytes behind this
    ChunkCopy *next; // of a snapshot's
};

// Copies the chunk, and lets the frame point at the copy. `copy`: one to be used again if nobody holds it and it suits, or null;
// replaced. -EMSGSIZE: it is larger than wanted; -ENOMEM; or what reading gave.
int chunk_copy(const SegmentFile &file, Frame &frame, ChunkCopy *&copy);

// One user less; any thread.
void chunk_copy_release(ChunkCopy *copy);

// What a view of a copy has among its opaque words: the copy, and whether it is held.
constexpr uint64_t copy_mark = 1, copy_held = 2;
static_assert(alignof(ChunkCopy) > (copy_mark | copy_held));
inline uint64_t pack_copy(const ChunkCopy *copy) { return reinterpret_cast<uintptr_t>(copy) | copy_mark; }
inline ChunkCopy *packed_copy(uint64_t word) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a view has room for numbers only, the same for 32 and 64 bits
    return reinterpret_cast<ChunkCopy *>(uintptr_t(word & ~(copy_mark | copy_held)));
}

} // namespace speculo::core
