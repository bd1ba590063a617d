// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chunk_copy.hpp"

#include <cerrno>
#include <utility>

namespace speculo::core {

namespace {

constexpr size_t always_kept = 64 << 10; // a larger one goes when far less is wanted

bool suits(const ChunkCopy *copy, size_t room) {
    return copy && copy->users.is_one() && copy->room >= room && (copy->room <= always_kept || copy->room / 8 <= room);
}

ChunkCopy *make(size_t room) {
    auto *copy = static_cast<ChunkCopy *>(os::operations.allocate(sizeof(ChunkCopy) + room));
    if (copy) {
        copy->users.add();
        copy->room = room;
    }
    return copy;
}

std::byte *aligned_within(ChunkCopy *copy, size_t alignment) {
    auto *begin = reinterpret_cast<std::byte *>(copy + 1);
    return begin + (-reinterpret_cast<uintptr_t>(begin) & (alignment - 1));
}

} // namespace

int chunk_copy(const SegmentFile &file, Frame &frame, ChunkCopy *&copy) {
    if (int error = file.error(); error < 0) { return error; }
    size_t alignment = frame.alignment > place_size ? frame.alignment : size_t(place_size);
    if (frame.size > file.largest() || frame.size > SIZE_MAX / 2) { return -EMSGSIZE; }
    size_t room = alignment + size_t(frame.size) + frame.key_size;
    ChunkCopy *to = suits(copy, room) ? copy : make(room);
    if (!to) { return -ENOMEM; }
    std::byte *payload = aligned_within(to, alignment), *key = payload + frame.size;
    uint32_t key_offset = frame_shape(field_flags(frame.flags), 0, false).key;
    copy_bytes(key, file.key_at(frame.place, key_offset, frame.key_size), frame.key_size);
    file.copy_payload(frame.place, frame.payload_offset, payload, frame.size);
    if (int error = file.error(); error < 0) {
        if (to != copy) { chunk_copy_release(to); }
        return error;
    }
    ChunkCopy *old = std::exchange(copy, to);
    if (old && old != to) { chunk_copy_release(old); }
    frame.payload = payload;
    frame.key = frame.key_size != 0 ? key : nullptr;
    return 0;
}

void chunk_copy_release(ChunkCopy *copy) {
    if (copy->users.take()) { os::operations.release(copy); }
}

} // namespace speculo::core
