// SPDX-License-Identifier: LGPL-2.1-or-later
// Frames: how they are laid out, and that reading them back believes nothing.
#include "frame.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <sstream>

#include "bare_segment.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using namespace speculo::core;

constexpr uint64_t GiB = uint64_t(1) << 30;

bool read_at(const SegmentMap &map, uint32_t place, Frame &frame) {
    return read_frame(map, place, observe_commit(map.frame(place).commit), frame);
}

std::string text(const std::byte *bytes, uint64_t size) {
    return bytes ? std::string(reinterpret_cast<const char *>(bytes), size_t(size)) : std::string();
}

// All combinations of fields, with short and long keys and payloads.
std::vector<FrameSpec> all_specs() {
    std::vector<FrameSpec> specs;
    for (unsigned fields = 0; fields < 16; ++fields) {
        for (size_t size : {0, 1, 15, 16, 17, 300}) {
            for (size_t key_size : {1, 2, 3, 8, 254, 255}) {
                FrameSpec spec;
                spec.id = specs.size() + 1;
                spec.payload = std::string(size, char('a' + size % 26));
                if (fields & 1) { spec.has_expiry = true, spec.expires = 0x1122334455667788; }
                if (fields & 2) { spec.has_tag = true, spec.tag = 0xcafebabe; }
                if (fields & 4) { spec.key = std::string(key_size, char('A' + key_size % 26)), spec.link = 0x01020304; }
                if (fields & 8) { spec.alignment_log2 = 5; }
                if (size == 17) { spec.flags = frame_transient; }
                specs.push_back(spec);
                if (!(fields & 4)) { break; }
            }
        }
    }
    return specs;
}

// ---- shapes -----------------------------------------------------------------------------------------------------------------

TEST(FrameShape, you_pay_for_what_you_use) {
    EXPECT_EQ(frame_shape(0, 0, false).payload, 16u);
    EXPECT_EQ(frame_shape(frame_transient | frame_removed, 0, false).payload, 16u);
    EXPECT_EQ(frame_shape(frame_tag, 0, false).payload, 32u);
    EXPECT_EQ(frame_shape(frame_expiry | frame_tag, 0, false).payload, 32u);
    EXPECT_EQ(frame_shape(frame_key, 11, false).payload, 32u);
    EXPECT_EQ(frame_shape(frame_key, 12, false).payload, 48u);
    EXPECT_EQ(frame_shape(frame_key, 255, false).payload, 288u);
    EXPECT_EQ(frame_shape(0, 0, true).payload, 32u);
}

TEST(FrameShape, parts_follow_each_other_without_overlap) {
    for (uint32_t fields = 0; fields < 16; ++fields) {
        for (uint32_t key_size = fields & frame_key ? 1 : 0; key_size <= (fields & frame_key ? 255u : 0u); ++key_size) {
            for (bool is_long : {false, true}) {
                FrameShape shape = frame_shape(fields, key_size, is_long);
                uint32_t at = 16;
                auto part = [&](bool present, uint32_t offset, uint32_t size, uint32_t alignment) {
                    if (!present) { return; }
                    at = (at + alignment - 1) / alignment * alignment;
                    ASSERT_EQ(offset, at);
                    at += size;
                };
                part(fields & frame_expiry, shape.expiry, 8, 8);
                part(fields & frame_tag, shape.tag, 4, 4);
                part(fields & frame_key, shape.link, 4, 4);
                part(fields & frame_aligned, shape.alignment, 1, 1);
                part(fields & frame_key, shape.key_size, 1, 1);
                part(fields & frame_key, shape.key, key_size, 1);
                part(is_long, shape.size, 8, 8);
                ASSERT_EQ(shape.payload, (at + 15) / 16 * 16);
            }
        }
    }
}

TEST(FrameShape, control_frames_have_no_fields) {
    for (uint32_t kind : {control_padding, control_marker, control_end}) { EXPECT_EQ(field_flags(kind), 0u); }
    EXPECT_EQ(field_flags(0x3f), 0x0fu);
}

TEST(FrameShape, sizes_from_4_gib_on_are_long) {
    EXPECT_FALSE(needs_long_size(0));
    EXPECT_FALSE(needs_long_size(4 * GiB - 3));
    EXPECT_TRUE(needs_long_size(4 * GiB - 2)); // its word would mean that a size follows
    EXPECT_TRUE(needs_long_size(60 * GiB));
    EXPECT_EQ(commit_word(0), 1u); // never 0, which means "not yet"
    EXPECT_EQ(commit_word(4 * GiB - 3), 0xfffffffeu);
    EXPECT_EQ(commit_word(4 * GiB - 2), 0xffffffffu);
    EXPECT_EQ(frame_length(16, 0), 1u);
    EXPECT_EQ(frame_length(16, 1), 2u);
    EXPECT_EQ(frame_length(32, 5 * GiB), 2 + 5 * GiB / 16);
}

TEST(FrameShape, padding_brings_the_payload_to_its_alignment) {
    for (uint32_t alignment = 1; alignment <= max_alignment; alignment *= 2) {
        for (uint64_t place : {1u, 2u, 255u, 256u, 0xfffffff0u}) {
            for (uint32_t offset : {16u, 32u, 288u}) {
                uint64_t padding = padding_before(place, offset, alignment);
                ASSERT_EQ(((place + padding) * place_size + offset) % (alignment < 16 ? 16 : alignment), 0u);
                ASSERT_LT(padding * place_size, alignment < 16 ? 16 : alignment) << "more than is needed";
            }
        }
    }
    EXPECT_EQ(padding_before(1, 16, 0), 0u);
}

// ---- reading back -----------------------------------------------------------------------------------------------------------

TEST(Frame, reads_back_what_the_format_says) {
    BareSegment segment(64 << 10);
    for (const FrameSpec &spec : all_specs()) {
        uint32_t end = store_frame(segment.map(), 3, spec);
        Frame frame;
        ASSERT_TRUE(read_at(segment.map(), 3, frame));
        EXPECT_EQ(frame.id, spec.id);
        EXPECT_EQ(frame.end(), end);
        EXPECT_EQ(text(frame.payload, frame.size), spec.payload);
        EXPECT_EQ(text(frame.key, frame.key_size), spec.key);
        EXPECT_EQ(frame.link, spec.key.empty() ? 0 : spec.link);
        EXPECT_EQ(frame.tag, spec.has_tag ? spec.tag : 0);
        EXPECT_EQ(frame.expires, spec.has_expiry ? spec.expires : 0);
        EXPECT_EQ(frame.alignment, spec.alignment_log2 < 0 ? 0 : 1u << spec.alignment_log2);
        EXPECT_EQ(frame.flags, spec.all_flags());
        EXPECT_TRUE(frame.is_chunk());
        const std::byte *key;
        uint32_t key_size;
        ASSERT_EQ(read_key_of(segment.map(), 3, key, key_size), !spec.key.empty());
        if (!spec.key.empty()) { EXPECT_EQ(text(key, key_size), spec.key); }
    }
}

TEST(Frame, ends_flush_with_what_is_readable_and_not_a_byte_further) {
    BareSegment segment(64 << 10, 16, 1);
    const SegmentMap &map = segment.map();
    for (const FrameSpec &spec : all_specs()) {
        std::string bytes = spec.encode();
        uint32_t places = uint32_t(bytes.size() / place_size), place = map.readable - places;
        store_frame(map, place, bytes);
        Frame frame;
        ASSERT_TRUE(read_at(map, place, frame));
        for (uint32_t cut = 1; cut < places; ++cut) { // the same frame with its tail beyond the end
            std::memcpy(map.bytes(place + cut), bytes.data(), bytes.size() - cut * place_size);
            ASSERT_FALSE(read_at(map, place + cut, frame)) << cut << " of " << places;
            const std::byte *key;
            uint32_t size;
            if (read_key_of(map, place + cut, key, size)) {
                ASSERT_LE(key + size, map.base + map.geometry.chunks_offset + segment.chunk_bytes());
            }
        }
    }
}

TEST(Frame, long_sizes_are_read_and_bounded) {
    BareSegment segment(63 * GiB, 16, 1); // memory for the headers alone
    SegmentMap map = segment.map();
    map.readable = map.geometry.place_end;
    for (uint64_t size : {4 * GiB - 2, 4 * GiB, 5 * GiB + 7, 60 * GiB}) {
        std::string bytes = FrameSpec{}.encode() + std::string(16, '\0');
        uint32_t word = size_follows;
        std::memcpy(bytes.data(), &word, 4);
        std::memcpy(bytes.data() + 16, &size, 8);
        store_frame(map, 1, bytes);
        Frame frame;
        ASSERT_TRUE(read_at(map, 1, frame)) << size;
        EXPECT_EQ(frame.size, size);
        EXPECT_EQ(frame.payload, map.bytes(3));
        EXPECT_EQ(frame.length, 2 + (size + 15) / 16);
        SegmentMap shorter = map; // one place less than it needs
        shorter.readable = uint32_t(frame.length);
        EXPECT_FALSE(read_at(shorter, 1, frame));
        shorter.readable += 1;
        EXPECT_TRUE(read_at(shorter, 1, frame));
    }
    for (uint64_t size : {64 * GiB, UINT64_MAX, UINT64_MAX - 15, UINT64_MAX - 31, UINT64_MAX / 2, uint64_t(1) << 36}) {
        std::memcpy(map.bytes(2), &size, 8);
        Frame frame;
        EXPECT_FALSE(read_at(map, 1, frame)) << size;
    }
}

TEST(Frame, senseless_ones_are_refused) {
    BareSegment segment(64 << 10);
    const SegmentMap &map = segment.map();
    Frame frame;
    auto is_read = [&](uint64_t id, uint32_t flags, uint32_t commit = 1) {
        std::memset(map.bytes(1), 0, 256);
        put(map.frame(1).id_flags, pack_id(id, flags));
        return read_frame(map, 1, commit, frame);
    };
    EXPECT_TRUE(is_read(1, 0));
    EXPECT_TRUE(is_read(max_id, frame_transient));
    EXPECT_FALSE(is_read(0, 0)) << "a chunk without an id";
    EXPECT_FALSE(is_read(0, frame_tag));
    EXPECT_FALSE(is_read(1, 0x80)) << "a flag that nobody knows";
    EXPECT_FALSE(is_read(1, 0x80 | frame_control));
    EXPECT_FALSE(is_read(1, frame_key)) << "a key of no bytes";
    EXPECT_FALSE(is_read(1, frame_removed)) << "the removal of no key";
    EXPECT_FALSE(is_read(1, 0, UINT32_MAX - 1)) << "longer than the segment";
    for (uint32_t bits = 0; bits < 64; ++bits) {
        bool is_known = bits == 1 || bits == 2 || bits == 4; // padding, marker, END
        EXPECT_EQ(is_read(5, frame_control | bits), is_known) << bits;
        EXPECT_EQ(is_read(0, frame_control | bits), is_known) << bits;
    }
    for (uint32_t log2 = 0; log2 < 256; ++log2) {
        FrameSpec spec;
        spec.alignment_log2 = int(log2);
        store_frame(map, 1, spec);
        EXPECT_EQ(read_at(map, 1, frame), log2 <= max_alignment_log2) << log2;
    }
}

TEST(Frame, padding_fills_the_places_it_is_given) {
    BareSegment segment(63 * GiB, 16, 1);
    SegmentMap map = segment.map();
    map.readable = map.geometry.place_end;
    for (uint32_t places : {1u, 2u, 3u, 255u, 0x0fffffffu, 0x10000000u, 0x10000001u, 0xe0000000u}) {
        std::memset(map.bytes(5), 0xee, 64); // what was there before
        Frame frame;
        put(map.frame(5).commit, lay_padding(map, 5, places));
        ASSERT_TRUE(read_at(map, 5, frame)) << places;
        EXPECT_EQ(frame.length, places);
        EXPECT_TRUE(frame.is_control());
        EXPECT_FALSE(frame.is_chunk());
        EXPECT_EQ(frame.flags, control_padding);
        EXPECT_EQ(peek(map.frame(5).successor), 0u);
    }
}

// ---- hostile bytes ------------------------------------------------------------------------------------------------------------

// A word that is as often nearly right as it is nonsense.
uint64_t bad_word(std::mt19937_64 &random, uint64_t nearly) {
    switch (random() % 6) {
    case 0: return random();
    case 1: return nearly;
    case 2: return nearly + random() % 3 - 1;
    case 3: return random() % 64;
    case 4: return UINT64_MAX - random() % 64;
    default: return random() >> random() % 64;
    }
}

// Reads every byte that a frame claims to have.
unsigned touch(const std::byte *bytes, uint64_t size) {
    unsigned sum = 0;
    for (uint64_t i = 0; i < size; ++i) { sum += unsigned(bytes[i]); }
    return sum;
}

TEST(Frame, P10_random_bytes_give_frames_within_the_segment_or_nothing) {
    std::mt19937_64 random(3);
    BareSegment segment(64 << 10, 16, 1);
    const SegmentMap &map = segment.map();
    const std::byte *end = segment.chunks() + segment.chunk_bytes();
    unsigned read = 0, sum = 0;
    for (int i = 0; i < 100000; ++i) {
        uint32_t left = 1 + uint32_t(random() % (i % 2 ? 4 : map.readable - 1)), place = map.readable - left;
        for (std::byte *at = map.bytes(place); at < end && at < map.bytes(place) + 64; at += 8) {
            uint64_t word = bad_word(random, left * place_size - 16);
            std::memcpy(at, &word, 8);
        }
        uint64_t flags = random() % 4 ? random() % 32 : random() % 256;
        put(map.frame(place).id_flags, (bad_word(random, 1) & max_id) | flags << 56);
        uint32_t commit = random() % 8 ? uint32_t(bad_word(random, left * place_size - 31)) : size_follows;
        if (commit == 0) { commit = 1; }
        Frame frame;
        if (read_frame(map, place, commit, frame)) {
            ++read;
            ASSERT_LE(frame.length, left);
            ASSERT_GE(frame.length, 1u);
            ASSERT_LE(frame.payload + frame.size, end);
            ASSERT_LE(frame.payload + frame.size, map.bytes(place) + frame.length * place_size);
            ASSERT_TRUE(frame.is_control() || (frame.id != 0 && frame.id <= max_id));
            sum += touch(frame.payload, frame.size) + touch(frame.key, frame.key_size);
        }
        const std::byte *key;
        uint32_t key_size;
        if (read_key_of(map, place, key, key_size)) { sum += touch(key, key_size); }
    }
    EXPECT_GT(read, 5000u) << "nothing but nonsense tests little";
    EXPECT_LT(read, 95000u);
    EXPECT_NE(sum, 0u);
}

// What both tell of a frame, and whether there is one.
std::string told(int found, const Frame &frame) {
    if (found != 1) { return std::to_string(found); }
    std::ostringstream text;
    text << frame.place << ' ' << frame.flags << ' ' << frame.id << ' ' << frame.length << ' ' << frame.size << ' '
         << static_cast<const void *>(frame.payload) << ' ' << static_cast<const void *>(frame.key) << ' ' << frame.key_size
         << ' ' << frame.tag << ' ' << frame.alignment << ' ' << frame.expires;
    return text.str();
}

std::string told_by_a_walk(const SegmentMap &map, uint32_t place, uint32_t end) {
    Frame frame;
    int found = FrameWalk(map, place, end).next(frame);
    return told(found, frame);
}

std::string told_of_a_place(const SegmentMap &map, uint32_t place, uint32_t end) {
    Frame frame;
    int found = frame_below(map, place, end, frame);
    return told(found, frame);
}

TEST(Frame, one_at_a_given_place_is_the_one_that_a_walk_finds) {
    BareSegment segment(64 << 10, 16, 1);
    const SegmentMap &map = segment.map();
    for (const FrameSpec &spec : all_specs()) {
        std::string bytes = spec.encode();
        store_frame(map, 1, bytes);
        uint32_t end = 1 + uint32_t(bytes.size() / place_size);
        EXPECT_NE(told_of_a_place(map, 1, end), std::to_string(-EBADMSG));
        for (uint32_t limit : {0u, 1u, end - 1, end, end + 1, map.readable, map.readable + 1}) {
            EXPECT_EQ(told_of_a_place(map, 1, limit), told_by_a_walk(map, 1, limit)) << spec.id << ", below " << limit;
        }
    }
}

TEST(Frame, P10_random_bytes_at_a_given_place_are_what_a_walk_makes_of_them) {
    std::mt19937_64 random(5);
    BareSegment segment(64 << 10, 16, 1);
    const SegmentMap &map = segment.map();
    std::byte *end = segment.chunks() + segment.chunk_bytes();
    unsigned sound = 0;
    for (int i = 0; i < 100000; ++i) {
        uint32_t left = 1 + uint32_t(random() % 8), place = map.readable - left;
        for (std::byte *at = map.bytes(place); at < end; at += 8) {
            uint64_t word = random() % 3 ? random() % (left * place_size) : bad_word(random, left * place_size - 16);
            std::memcpy(at, &word, 8);
        }
        uint64_t flags = random() % 4 ? random() % 32 : random() % 256, id = random() % 8 ? 1 + random() % 9 : random() % 2;
        put(map.frame(place).id_flags, id | flags << 56);
        put(map.frame(place).commit,
            random() % 8 ? uint32_t(random() % (left * place_size)) : size_follows - uint32_t(random() % 3));
        uint32_t limit = place + uint32_t(random() % (left + 2));
        std::string expected = told_by_a_walk(map, place, limit);
        ASSERT_EQ(told_of_a_place(map, place, limit), expected) << "flags " << flags;
        sound += expected.size() > 4;
    }
    EXPECT_GT(sound, 3000u) << "nothing but nonsense tests little";
}

TEST(Frame, P10_no_commit_word_below_an_end_is_damage_however_large_the_segment) {
    BareSegment segment(63 * GiB, 16, 1); // memory for the headers alone
    SegmentMap map = segment.map();
    map.readable = map.geometry.place_end;
    std::string bytes = FrameSpec{}.encode();
    std::memset(bytes.data(), 0, 4);
    store_frame(map, 1, bytes);
    EXPECT_EQ(told_of_a_place(map, 1, map.readable - 1), std::to_string(-EBADMSG));
}

TEST(Frame, P10_walks_over_random_bytes_end) {
    std::mt19937_64 random(4);
    BareSegment segment(64 << 10, 16, 2);
    const SegmentMap &map = segment.map();
    auto refresh = [](void *) { return 0; };
    unsigned sound = 0, damaged = 0;
    for (int i = 0; i < 3000; ++i) {
        std::byte *at = segment.chunks();
        for (size_t offset = 0; offset < segment.chunk_bytes(); offset += 16) { // chains of frames, seldom broken
            uint32_t words[2] = {random() % 300 ? uint32_t(1 + random() % 200) : uint32_t(random()), uint32_t(random())};
            uint64_t id = random() % 500 ? 1 + random() % 1000 : random();
            std::memcpy(at + offset, words, 8);
            std::memcpy(at + offset + 8, &id, 8);
        }
        uint32_t stop = 1 + uint32_t(random() % map.readable);
        if (stop < map.readable) { put(map.frame(stop).commit, 0u); }
        put(map.header().hint, random() % 3 ? first_place : uint32_t(random() % (2 * map.readable)));
        uint32_t end = 0, steps = 0;
        int found = find_end(map, first_place, refresh, nullptr, end);
        ASSERT_TRUE(found == 0 || found == -EBADMSG);
        if (found == 0) { ASSERT_LT(end, map.readable); }
        FrameWalk walk(map, first_place, uint32_t(random() % (map.readable + 5)));
        Frame frame;
        while ((found = walk.next(frame)) == 1) {
            touch(frame.payload, frame.size);
            ASSERT_LE(++steps, map.readable);
        }
        ASSERT_TRUE(found == 0 || found == -EBADMSG);
        ++(found == 0 ? sound : damaged);
    }
    EXPECT_GT(sound, 20u);
    EXPECT_GT(damaged, 20u);
}

} // namespace
