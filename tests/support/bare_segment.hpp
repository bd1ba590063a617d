// SPDX-License-Identifier: LGPL-2.1-or-later
// A segment in memory of the test's own, without an object behind it: what is readable ends flush at a page that nobody may
// touch. And frames, encoded by hand.
#pragma once

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <sys/mman.h>

#include "frame.hpp"

namespace speculo::test {

class BareSegment {
public:
    // `pages` of the chunks are there; the geometry may claim more.
    explicit BareSegment(uint64_t capacity, uint64_t table_slots = 16, uint64_t pages = 0) {
        if (!core::make_geometry(capacity, table_slots, map_.geometry)) { std::abort(); }
        if (pages == 0) { pages = capacity / core::page_size; }
        there_ = size_t(map_.geometry.chunks_offset + pages * core::page_size);
        void *memory = mmap(nullptr, there_ + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) { std::abort(); }
        map_.put_at(memory);
        if (mprotect(map_.base + there_, guard, PROT_NONE) != 0) { std::abort(); }
        map_.readable = uint32_t(pages * core::places_per_page);
        core::put(map_.header().hint, core::first_place);
    }
    ~BareSegment() { munmap(map_.base, there_ + guard); }
    BareSegment(const BareSegment &) = delete;
    BareSegment &operator=(const BareSegment &) = delete;

    core::SegmentMap &map() { return map_; }
    std::byte *chunks() { return map_.base + map_.geometry.chunks_offset; }
    size_t chunk_bytes() const { return there_ - size_t(map_.geometry.chunks_offset); }

private:
    static constexpr size_t guard = 64 << 10; // whatever the machine's page is

    core::SegmentMap map_;
    size_t there_;
};

// What a frame is to hold, and how the format encodes it; written a second time, so that no flaw of the library's is repeated.
struct FrameSpec {
    uint64_t id = 1;
    std::string payload{};
    uint32_t flags = 0; // transient, removed; the others follow from the fields
    std::string key{};
    uint32_t link = 0;
    bool has_expiry = false, has_tag = false;
    uint64_t expires = 0;
    uint32_t tag = 0;
    int alignment_log2 = -1; // -1: none

    std::string encode() const {
        std::string bytes;
        auto add = [&](auto value) { bytes.append(reinterpret_cast<const char *>(&value), sizeof value); };
        add(uint32_t(payload.size() + 1));
        add(uint32_t(0));
        add(uint64_t(all_flags()) << 56 | id);
        if (has_expiry) { add(expires); }
        if (has_tag) { add(tag); }
        if (!key.empty()) { add(link); }
        if (alignment_log2 >= 0) { add(uint8_t(alignment_log2)); }
        if (!key.empty()) { add(uint8_t(key.size())); }
        bytes += key;
        bytes.resize((bytes.size() + 15) / 16 * 16);
        bytes += payload;
        bytes.resize((bytes.size() + 15) / 16 * 16);
        return bytes;
    }
    uint32_t all_flags() const {
        uint32_t fields = (has_expiry ? 1u : 0) | (has_tag ? 2u : 0) | (key.empty() ? 0 : 4u);
        return flags | fields | (alignment_log2 < 0 ? 0 : 8u);
    }
};

// Stores a frame at `place`; the place behind it.
inline uint32_t store_frame(const core::SegmentMap &map, uint32_t place, const std::string &bytes) {
    std::memcpy(map.bytes(place), bytes.data(), bytes.size());
    return place + uint32_t(bytes.size() / core::place_size);
}
inline uint32_t store_frame(const core::SegmentMap &map, uint32_t place, const FrameSpec &spec) {
    return store_frame(map, place, spec.encode());
}

} // namespace speculo::test
