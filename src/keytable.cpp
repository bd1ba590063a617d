// SPDX-License-Identifier: LGPL-2.1-or-later
#include "keytable.hpp"

#include <cerrno>

namespace speculo::core {

namespace {

constexpr uint64_t bytes_per_slot = 1024;
constexpr uint64_t least_slots = 16;
constexpr uint64_t far_too_large = 8;

// The finalizer of MurmurHash3 (public domain, Austin Appleby): each bit of the input moves half of the output's.
constexpr uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 33)) * 0xff51afd7ed558ccd;
    value = (value ^ (value >> 33)) * 0xc4ceb9fe1a85ec53;
    return value ^ (value >> 33);
}

} // namespace

uint32_t key_hash(uint64_t seed, const void *bytes, size_t size) {
    const char *from = static_cast<const char *>(bytes);
    uint64_t hash = seed ^ size;
    for (; size >= 8; from += 8, size -= 8) {
        uint64_t lane;
        copy_bytes(&lane, from, 8);
        hash = mix(hash ^ lane);
    }
    if (size > 0) {
        uint64_t lane = 0;
        copy_bytes(&lane, from, size);
        hash = mix(hash ^ lane);
    }
    return uint32_t(hash);
}

bool has_key(const SegmentMap &map, uint32_t place, const Key &key) {
    const std::byte *bytes;
    uint32_t size;
    return read_key_of(map, place, bytes, size) && size == key.size && equal_bytes(bytes, key.bytes, size);
}

KeySearch key_search(const SegmentMap &map, uint32_t end, const Key &key) {
    KeySlot *table = map.table();
    uint64_t mask = map.geometry.table_slots - 1;
    for (uint64_t i = 0; i <= mask; ++i) {
        KeySlot &slot = table[(key.hash + i) & mask];
        uint32_t place = peek(slot.frame);
        if (place == 0 || place >= end) { return {&slot, false}; }
        if (peek(slot.hash) == key.hash && has_key(map, place, key)) { return {&slot, true}; }
    }
    return {nullptr, false};
}

int64_t key_version_at(const SegmentMap &map, uint32_t end, const KeySlot &slot) {
    uint64_t versions = observe_versions(slot.versions);
    uint32_t place = newest_version(versions) < end ? newest_version(versions) : previous_version(versions);
    while (place >= end) { // committed since `end`: back along the links
        if (place >= map.readable) { return -EBADMSG; }
        uint32_t commit = observe_commit(map.frame(place).commit);
        Frame frame;
        if (commit == 0 || !read_frame(map, place, commit, frame) || !(frame.flags & frame_key)) { return -EBADMSG; }
        if (frame.link >= place) { return -EBADMSG; }
        place = frame.link;
    }
    return place;
}

void key_claim(KeySlot &slot, uint32_t hash, uint32_t place) {
    put(slot.hash, hash);
    publish_versions(slot.versions, pack_versions(place, 0));
    put(slot.frame, place);
}

uint64_t key_table_slots(uint64_t capacity, uint64_t keys, uint64_t before) {
    uint64_t slots = least_slots;
    while (slots < capacity / bytes_per_slot || slots < 2 * keys) { slots *= 2; }
    return before > slots && before <= slots * far_too_large ? before : slots;
}

} // namespace speculo::core
