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
    for (; size >= 8; from += 8, size -= 8) { hash = mix(hash ^ eight_bytes(from)); }
    if (size > 0) { hash = mix(hash ^ few_bytes(from, size)); }
    return uint32_t(hash);
}

// Back along the links.
template <class Source> int64_t version_before(const Source &source, uint32_t place, uint32_t end) {
    while (place >= end) {
        if (place >= source.readable) { return -EBADMSG; }
        uint32_t commit = source.commit_at(place);
        Frame frame;
        if (commit == 0 || !read_frame(source, place, commit, frame) || !(frame.flags & frame_key)) { return -EBADMSG; }
        if (frame.link >= place) { return -EBADMSG; }
        place = frame.link;
    }
    return place;
}

KeySearch key_search(const SegmentMap &map, uint32_t end, const Key &key) { return key_search_inline(map, end, key); }

int64_t key_version_at(const SegmentMap &map, uint32_t end, const KeySlot &slot) {
    return version_below(map, map.slot_version(uint64_t(&slot - map.table()), end), end);
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

template int64_t version_before(const SegmentMap &, uint32_t, uint32_t);
template __attribute__((cold)) int64_t version_before(const SegmentFile &, uint32_t, uint32_t);

} // namespace speculo::core
