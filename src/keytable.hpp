// SPDX-License-Identifier: LGPL-2.1-or-later
// The key table of a segment: open addressing, never a deletion. A slot names a frame that has the key, its newest version, and
// the newest one of the commits before.
#pragma once

#include "frame.hpp"

namespace speculo::core {

struct Key {
    const std::byte *bytes;
    uint32_t size;
    uint32_t hash;
};

// The first bytes of a key, as numbers.
inline uint64_t eight_bytes(const char *from) {
    uint64_t lane;
    copy_bytes(&lane, from, sizeof lane);
    return lane;
}
// 1..7 of them, as parts that overlap: a copy of a few bytes costs more than they do. Different bytes make different numbers, so the
// bytes that both parts have must come to lie on each other, in either byte order.
[[gnu::always_inline]] inline uint64_t few_bytes(const char *from, size_t size) {
    if (size >= 4) {
        uint32_t first, last;
        copy_bytes(&first, from, sizeof first);
        copy_bytes(&last, from + size - 4, sizeof last);
        size_t shift = 8 * (size - 4);
        return is_little_endian ? first | uint64_t(last) << shift : uint64_t(first) << shift | last;
    }
    auto byte = [from](size_t i) { return uint64_t(static_cast<unsigned char>(from[i])) << 8 * i; };
    return byte(0) | byte(size / 2) | byte(size - 1);
}

// Whether two keys of one size are the same: most are so short that a call would cost more.
inline bool equal_keys(const void *a, const void *b, size_t size) {
    const char *one = static_cast<const char *>(a), *other = static_cast<const char *>(b);
    if (size < 8) { return size == 0 || few_bytes(one, size) == few_bytes(other, size); }
    for (size_t at = 0; at < size - 8; at += 8) {
        if (eight_bytes(one + at) != eight_bytes(other + at)) { return false; }
    }
    return eight_bytes(one + size - 8) == eight_bytes(other + size - 8);
}

// The same for a copy of one.
inline void copy_key(std::byte *to, const void *key, size_t size) {
    const auto *from = static_cast<const std::byte *>(key);
    if (size >= 8) {
        for (size_t at = 0; at < size - 8; at += 8) { copy_bytes(to + at, from + at, 8); }
        copy_bytes(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        copy_bytes(to, from, 4);
        copy_bytes(to + size - 4, from + size - 4, 4);
    } else {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

// Hash of a key in the area that `seed` (its id) belongs to.
uint32_t key_hash(uint64_t seed, const void *bytes, size_t size);

// Whether the frame at `place`, which need not be committed, has that key.
template <class Source> inline bool has_key(const Source &source, uint32_t place, const Key &key) {
    const std::byte *bytes;
    uint32_t size;
    return read_key_of(source, place, bytes, size) && size == key.size && equal_keys(bytes, key.bytes, size);
}

// For a key whose hash another one has, or whose version is damaged.
template <class Source>
[[gnu::cold, gnu::noinline]] bool has_key_after_all(const Source &source, uint32_t place, const Key &key) {
    return has_key(source, place, key);
}

// Whether a slot with that frame counts as empty at `end`. One that was claimed since does, and so does an emptied one, whose hash and versions
// may be of a former generation.
constexpr bool is_empty_slot(uint32_t frame, uint32_t end) { return frame == 0 || frame >= end; }

struct SlotSearch {
    uint64_t slot; // the key's, or the empty one where it would go; no_slot: the table is full
    bool found;
    uint32_t version; // if found: where to begin looking for the version that was newest at the end
};
constexpr uint64_t no_slot = UINT64_MAX;

// Looks for a key among the frames below `end`. All versions of a slot have the same key: it is compared with that of a version which is
// looked at next anyhow, and not with that of the slot's frame, which is in no cache where there are many keys.
template <class Source> [[gnu::always_inline]] inline SlotSearch find_slot(const Source &source, uint32_t end, const Key &key) {
    uint64_t mask = source.geometry.table_slots - 1;
    for (uint64_t i = 0; i <= mask; ++i) {
        uint64_t slot = (key.hash + i) & mask;
        uint32_t place = source.slot_frame(slot);
        if (is_empty_slot(place, end)) { return {slot, false, 0}; }
        if (source.slot_hash(slot) != key.hash) { continue; }
        uint32_t version = source.slot_version(slot, end);
        if (has_key(source, version < end ? version : place, key)) { return {slot, true, version}; }
        if (has_key_after_all(source, place, key)) {
            return {slot, true, version};
        } // whoever reads the version finds what is wrong
    }
    return {no_slot, false, 0}; // GCOVR_EXCL_LINE: counted as the end of the loop
}

struct KeySearch {
    KeySlot *slot; // the key's, or the empty one where it would go; nullptr: the table is full
    bool found;
};

// For the writer of a key, where readers have what is going to be changed in their caches: its slot, as far as the hash alone tells; and,
// once that is there, the header of the version that is going to be superseded.
inline const KeySlot &first_slot(const SegmentMap &map, uint32_t hash) {
    return map.table()[hash & (map.geometry.table_slots - 1)];
}
inline void prefetch_slot(const SegmentMap &map, uint32_t hash) { prefetch_to_write(&first_slot(map, hash)); }
inline void prefetch_version(const SegmentMap &map, uint32_t hash) {
    prefetch_to_write(map.bytes(newest_version(peek(first_slot(map, hash).versions))));
}

// The same in a mapped segment; in line, for the commit of a key.
KeySearch key_search(const SegmentMap &map, uint32_t end, const Key &key);
[[gnu::always_inline]] inline KeySearch key_search_inline(const SegmentMap &map, uint32_t end, const Key &key) {
    SlotSearch search = find_slot(map, end, key);
    if (search.found) { return {&map.table()[search.slot], true}; }
    return {search.slot == no_slot ? nullptr : &map.table()[search.slot], false};
}

// The version that was newest at `end`, from one at `place` that was committed since: its place, 0 none, or -EBADMSG.
template <class Source> int64_t version_before(const Source &source, uint32_t place, uint32_t end);

// The same from a version of any commit.
template <class Source> inline int64_t version_below(const Source &source, uint32_t place, uint32_t end) {
    return __builtin_expect(place < end, 1) ? place : version_before(source, place, end);
}

// The version of a slot's key that was newest at `end`: its place, 0 none, or -EBADMSG.
int64_t key_version_at(const SegmentMap &map, uint32_t end, const KeySlot &slot);

// The version of a key that was newest at `end`: its place, 0 none, or -EBADMSG.
inline int64_t key_find(const SegmentMap &map, uint32_t end, const Key &key) {
    KeySearch search = key_search(map, end, key);
    return search.found ? key_version_at(map, end, *search.slot) : 0;
}
// By copies, so better small.
[[gnu::cold]] inline int64_t key_find(const SegmentFile &file, uint32_t end, const Key &key) {
    file.all_is_committed_below(end);
    SlotSearch search = find_slot(file, end, key);
    return search.found ? version_below(file, search.version, end) : 0;
}

// The same for most keys, and the frame: a common chunk of no commit since `end`, which is a readable place. False: it takes key_find to tell.
[[gnu::always_inline]] inline bool key_find_at_once(const SegmentMap &map, uint32_t end, const Key &key, Frame &frame) {
    uint64_t mask = map.geometry.table_slots - 1, slot = key.hash & mask;
    for (uint64_t i = 0;; slot = (slot + 1) & mask) {
        if (is_empty_slot(map.slot_frame(slot), end)) { return false; }
        if (map.slot_hash(slot) == key.hash) { break; }
        if (i++ == mask) { return false; }
    }
    uint32_t place = newest_version(observe_versions(map.table()[slot].versions));
    if (place >= end) { return false; }
    const std::byte *at = map.position(place);
    const FrameHeader &header = *shared_at<FrameHeader>(at);
    uint32_t commit = observe_commit(header.commit);
    uint64_t id_flags = peek(header.id_flags);
    constexpr uint32_t other_flags = common_flags & ~uint32_t(frame_key);
    frame = {};
    frame.place = place;
    frame.flags = (frame_flags(id_flags) & other_flags) | frame_key;
    frame.id = frame_id(id_flags);
    bool is_common = (frame_flags(id_flags) & ~other_flags) == frame_key && frame.id != 0;
    auto is_never_over = [](uint64_t) { return false; };
    return is_common && read_common<any_fields>(at, end, commit, frame, is_never_over) && frame.key_size == key.size &&
           equal_keys(frame.key, key.bytes, key.size);
}

// Claims an empty slot for the key of the frame at `place`, which the next commit publishes.
void key_claim(KeySlot &slot, uint32_t hash, uint32_t place);

// Whether a table of that many slots is as full as it may be, `keys` of them taken.
constexpr bool key_table_is_full(uint64_t slots, uint64_t keys) { return keys * 4 > slots * 3; }

// Slots for a segment that begins with `keys` keys: at least twice as many, and one for each KiB of capacity. Keeps what there
// was unless it has become far too large, so that segments of one size follow each other.
uint64_t key_table_slots(uint64_t capacity, uint64_t keys, uint64_t before);

} // namespace speculo::core
