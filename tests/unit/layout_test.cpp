// SPDX-License-Identifier: LGPL-2.1-or-later
// The shared format is frozen: every offset, size and value once more, by hand. Who changes one of them makes another version.
#include "layout.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>

#include "writing.hpp"

namespace {

using namespace speculo::core;
using speculo::test::AreaName;

// A field has exactly this place and size.
#define EXPECT_FIELD(type, field, offset, size)                                                                                  \
    EXPECT_EQ(offsetof(type, field), size_t(offset)) << #field;                                                                  \
    EXPECT_EQ(sizeof(type::field), size_t(size)) << #field

TEST(Layout, control_page_is_frozen) {
    EXPECT_EQ(sizeof(ControlPage), 4096u);
    EXPECT_EQ(alignof(ControlPage), 8u);
    EXPECT_FIELD(ControlPage, magic, 0, 8);
    EXPECT_FIELD(ControlPage, version, 8, 4);
    EXPECT_FIELD(ControlPage, byte_order, 12, 4);
    EXPECT_FIELD(ControlPage, area_id, 16, 16);
    EXPECT_FIELD(ControlPage, boot_id, 32, 16);
    EXPECT_FIELD(ControlPage, compatible, 48, 4);
    EXPECT_FIELD(ControlPage, read_compatible, 52, 4);
    EXPECT_FIELD(ControlPage, incompatible, 56, 4);
    EXPECT_FIELD(ControlPage, size, 60, 4);
    EXPECT_FIELD(ControlPage, capacity, 64, 8);
    EXPECT_FIELD(ControlPage, max_capacity, 72, 8);
    EXPECT_FIELD(ControlPage, compact_percent, 80, 4);
    EXPECT_FIELD(ControlPage, segments, 84, 4);
    EXPECT_FIELD(ControlPage, flags, 88, 4);
    EXPECT_FIELD(ControlPage, marks, 92, 4);
    EXPECT_FIELD(ControlPage, writers, 96, 4);
    EXPECT_FIELD(ControlPage, recovery_boot_id, 104, 16);
    EXPECT_FIELD(ControlPage, current, 128, 8);
    EXPECT_FIELD(ControlPage, bell, 192, 4);
    EXPECT_FIELD(ControlPage, slots, 256, 256);
}

TEST(Layout, bell_is_frozen) {
    EXPECT_EQ(sizeof(BellPage), 4096u);
    EXPECT_EQ(alignof(BellPage), 4u);
    EXPECT_FIELD(BellPage, sleepers, 0, 4);
    EXPECT_FIELD(BellPage, watchers, 4, 4);
    EXPECT_FIELD(BellPage, word, 8, 4);
    EXPECT_FIELD(BellPage, writer_waits, 64, 4);
    EXPECT_FIELD(BellPage, room, 68, 4);
    EXPECT_EQ(bell_touch_offset, 4095u);
}

TEST(Layout, segment_header_is_frozen) {
    EXPECT_EQ(sizeof(SegmentHeader), 192u);
    EXPECT_EQ(alignof(SegmentHeader), 8u);
    EXPECT_FIELD(SegmentHeader, magic, 0, 8);
    EXPECT_FIELD(SegmentHeader, version, 8, 4);
    EXPECT_FIELD(SegmentHeader, byte_order, 12, 4);
    EXPECT_FIELD(SegmentHeader, area_id, 16, 16);
    EXPECT_FIELD(SegmentHeader, slot, 32, 4);
    EXPECT_FIELD(SegmentHeader, incarnation, 36, 4);
    EXPECT_FIELD(SegmentHeader, capacity, 40, 8);
    EXPECT_FIELD(SegmentHeader, table_slots, 48, 8);
    EXPECT_FIELD(SegmentHeader, next_id, 56, 8);
    EXPECT_FIELD(SegmentHeader, prefix_end, 64, 4);
    EXPECT_FIELD(SegmentHeader, generation, 72, 8);
    EXPECT_FIELD(SegmentHeader, hint, 128, 4);
}

TEST(Layout, slots_entries_and_headers_of_frames_are_frozen) {
    EXPECT_EQ(sizeof(IndexEntry), 8u);
    EXPECT_FIELD(IndexEntry, first, 0, 4);
    EXPECT_FIELD(IndexEntry, dead, 4, 4);
    EXPECT_EQ(sizeof(KeySlot), 16u);
    EXPECT_FIELD(KeySlot, hash, 0, 4);
    EXPECT_FIELD(KeySlot, frame, 4, 4);
    EXPECT_FIELD(KeySlot, versions, 8, 8);
    EXPECT_EQ(sizeof(FrameHeader), 16u);
    EXPECT_FIELD(FrameHeader, commit, 0, 4);
    EXPECT_FIELD(FrameHeader, successor, 4, 4);
    EXPECT_FIELD(FrameHeader, id_flags, 8, 8);
}

TEST(Layout, values_are_frozen) {
    EXPECT_EQ(control_magic, 0x314c4f5243504553u);
    EXPECT_EQ(segment_magic, 0x314745534c505345u);
    EXPECT_EQ(format_version, 3u);
    EXPECT_EQ(byte_order_tag, 0x01020304u);
    EXPECT_EQ(page_size, 4096u);
    EXPECT_EQ(place_size, 16u);
    EXPECT_EQ(reserve_size, 512u);
    EXPECT_EQ(reserve_places, 32u);
    EXPECT_EQ(places_per_page, 256u);
    EXPECT_EQ(slot_bits, 5u);
    EXPECT_EQ(max_slots, 32u);
    EXPECT_EQ(max_segments, 16u);
    EXPECT_EQ(max_key_size, 255u);
    EXPECT_EQ(max_alignment_log2, 12u);
    EXPECT_EQ(max_alignment, 4096u);
    EXPECT_EQ(default_capacity, 0x100000u);
    EXPECT_EQ(capacity_limit, 0xfc0000000u);
    EXPECT_EQ(max_id, 0xffffffffffffffu);
    EXPECT_EQ(first_place, 1u);
    EXPECT_EQ(size_follows, 0xffffffffu);
    EXPECT_EQ(mark_removed, 1);
    EXPECT_EQ(mark_clean, 2);
    EXPECT_EQ(mark_writer_unknown, 4);
    EXPECT_EQ(mark_barrier, 8);
    EXPECT_EQ(frame_expiry, 0x01);
    EXPECT_EQ(frame_tag, 0x02);
    EXPECT_EQ(frame_key, 0x04);
    EXPECT_EQ(frame_aligned, 0x08);
    EXPECT_EQ(frame_transient, 0x10);
    EXPECT_EQ(frame_removed, 0x20);
    EXPECT_EQ(frame_control, 0x40);
    EXPECT_EQ(frame_known_flags, 0x7fu);
    EXPECT_EQ(control_padding, 0x41);
    EXPECT_EQ(control_marker, 0x42);
    EXPECT_EQ(control_end, 0x44);
}

TEST(Layout, packed_words_are_frozen) {
    EXPECT_EQ(pack_current(0x123456789abcdef, 31), 0x2468acf13579bdffu);
    EXPECT_EQ(current_generation(0x2468acf13579bdff), 0x123456789abcdefu);
    EXPECT_EQ(current_slot(0x2468acf13579bdff), 31u);
    EXPECT_EQ(pack_slot(0xdeadbeef, 0x01020304), 0xdeadbeef01020304u);
    EXPECT_EQ(slot_nonce(0xdeadbeef01020304), 0xdeadbeefu);
    EXPECT_EQ(slot_incarnation(0xdeadbeef01020304), 0x01020304u);
    EXPECT_EQ(pack_versions(0x11111111, 0x22222222), 0x2222222211111111u);
    EXPECT_EQ(newest_version(0x2222222211111111), 0x11111111u);
    EXPECT_EQ(previous_version(0x2222222211111111), 0x22222222u);
    EXPECT_EQ(pack_id(max_id, 0x7f), 0x7fffffffffffffffu);
    EXPECT_EQ(frame_id(0x7f00000000000005), 5u);
    EXPECT_EQ(frame_flags(0x7f00000000000005), 0x7fu);
}

TEST(Layout, incarnations_wrap_around_and_leave_out_0) {
    EXPECT_EQ(next_incarnation(0), 1u);
    EXPECT_EQ(next_incarnation(UINT32_MAX - 1), UINT32_MAX);
    EXPECT_EQ(next_incarnation(UINT32_MAX), 1u);
    EXPECT_TRUE(can_have_been(1, 1));
    EXPECT_TRUE(can_have_been(3, 7));
    EXPECT_TRUE(can_have_been(UINT32_MAX, 2));
    EXPECT_FALSE(can_have_been(8, 7));
    EXPECT_FALSE(can_have_been(99, 0));
    EXPECT_FALSE(can_have_been(2, UINT32_MAX));
    EXPECT_FALSE(can_have_been(0, 0));
    EXPECT_FALSE(can_have_been(0, 5));
}

// ---- geometry ---------------------------------------------------------------------------------------------------------------

TEST(Geometry, is_frozen) {
    Geometry geometry;
    ASSERT_TRUE(make_geometry(4096, 16, geometry));
    EXPECT_EQ(geometry.table_offset, 4096u + 64);
    EXPECT_EQ(geometry.chunks_offset, 8192u);
    EXPECT_EQ(geometry.size, 16384u);
    EXPECT_EQ(geometry.chunk_end, 256u);
    EXPECT_EQ(geometry.place_end, 288u);
    ASSERT_TRUE(make_geometry(1 << 20, 1024, geometry));
    EXPECT_EQ(geometry.table_offset, 4096u + 2112); // 257 entries, to the next 64
    EXPECT_EQ(geometry.chunks_offset, 24576u);
    EXPECT_EQ(geometry.size, 24576u + (1 << 20) + 4096);
}

void check_geometry(const Geometry &geometry, uint64_t capacity, uint64_t slots) {
    ASSERT_EQ(geometry.capacity, capacity);
    ASSERT_EQ(geometry.table_slots, slots);
    uint64_t pages = (capacity + reserve_size + page_size - 1) / page_size; // that a frame can begin in
    ASSERT_GE(geometry.table_offset, page_size + pages * 4) << "the index needs room";
    ASSERT_EQ(geometry.table_offset % 64, 0u);
    ASSERT_GE(geometry.chunks_offset, geometry.table_offset + slots * 16);
    ASSERT_EQ(geometry.chunks_offset % page_size, 0u);
    ASSERT_LT(geometry.chunks_offset - geometry.table_offset - slots * 16, page_size) << "no page is wasted";
    ASSERT_EQ(uint64_t(geometry.chunk_end) * place_size, capacity);
    ASSERT_EQ(uint64_t(geometry.place_end) * place_size, capacity + reserve_size);
    ASSERT_GE(geometry.size, geometry.chunks_offset + capacity + reserve_size);
    ASSERT_LT(geometry.size, geometry.chunks_offset + capacity + reserve_size + page_size);
    ASSERT_EQ(geometry.size % page_size, 0u);
}

TEST(Geometry, parts_never_overlap_whatever_the_capacity) {
    std::mt19937_64 random(9);
    for (int i = 0; i < 50000; ++i) {
        uint64_t capacity = (1 + random() % (capacity_limit / page_size >> random() % 24)) * page_size;
        uint64_t slots = uint64_t(1) << random() % 32;
        Geometry geometry;
        ASSERT_TRUE(make_geometry(capacity, slots, geometry));
        ASSERT_NO_FATAL_FAILURE(check_geometry(geometry, capacity, slots)) << capacity << " " << slots;
    }
    Geometry largest;
    ASSERT_TRUE(make_geometry(capacity_limit, uint64_t(1) << 31, largest));
    check_geometry(largest, capacity_limit, uint64_t(1) << 31);
    EXPECT_GT(largest.place_end, largest.chunk_end) << "places fit into 32 bits";
}

TEST(Geometry, P10_senseless_numbers_are_refused) {
    Geometry geometry;
    for (uint64_t capacity : {uint64_t(0), uint64_t(1), uint64_t(4095), uint64_t(4097), capacity_limit + 4096, UINT64_MAX,
                              UINT64_MAX - 4095, uint64_t(1) << 63}) {
        EXPECT_FALSE(make_geometry(capacity, 16, geometry)) << capacity;
    }
    for (uint64_t slots : {uint64_t(0), uint64_t(3), uint64_t(17), uint64_t(1) << 32, uint64_t(1) << 63, UINT64_MAX}) {
        EXPECT_FALSE(make_geometry(4096, slots, geometry)) << slots;
    }
}

TEST(Geometry, align_up) {
    EXPECT_EQ(align_up(0, 16), 0u);
    EXPECT_EQ(align_up(1, 16), 16u);
    EXPECT_EQ(align_up(16, 16), 16u);
    EXPECT_EQ(align_up(capacity_limit + 1, 4096), capacity_limit + 4096);
}

// ---- a whole area -----------------------------------------------------------------------------------------------------------

std::string bytes_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

uint64_t word_at(const std::string &bytes, size_t offset, size_t size) {
    uint64_t word = 0;
    uint32_t half;
    if (size == sizeof word) {
        std::memcpy(&word, bytes.data() + offset, sizeof word);
        return word;
    }
    std::memcpy(&half, bytes.data() + offset, sizeof half);
    return half;
}

// What a writer leaves in the files, looked at without the library: offsets and values are those of version 1.
TEST(Layout, what_a_writer_writes_is_frozen) {
    AreaName name;
    {
        using namespace speculo::test;
        Handle writer = make_area(name, 64 << 10);
        ChunkOptions options;
        const std::string key = "key";
        options.tag = 0xcafebabe;
        put_chunk(writer, "one", options.with_key(key));
        commit(writer);
        ChunkOptions second = options;
        second.flags = SPECULO_CHUNK_TRANSIENT;
        second.alignment = 64;
        put_chunk(writer, "second", second);
        commit(writer);
    }
    std::string control = bytes_of(name.path());
    ASSERT_EQ(control.size(), 4096u);
    EXPECT_EQ(word_at(control, 0, 8), 0x314c4f5243504553u);
    EXPECT_EQ(word_at(control, 8, 4), 3u);
    EXPECT_EQ(word_at(control, 12, 4), 0x01020304u);
    EXPECT_EQ(word_at(control, 60, 4), 4096u);
    EXPECT_EQ(word_at(control, 64, 8), 65536u);
    EXPECT_EQ(word_at(control, 84, 4), 3u);
    EXPECT_EQ(word_at(control, 96, 4), 1u);
    EXPECT_EQ(word_at(control, 128, 8), 0x20u); // generation 1 in slot 0
    char suffix[20];
    std::snprintf(suffix, sizeof suffix, "@0.%08x", unsigned(word_at(control, 260, 4)));
    EXPECT_EQ(word_at(control, 256, 4), 1u); // first incarnation

    std::string segment = bytes_of(name.path(suffix));
    ASSERT_GT(segment.size(), 12288u);
    EXPECT_EQ(word_at(segment, 0, 8), 0x314745534c505345u);
    EXPECT_EQ(segment.substr(16, 16), control.substr(16, 16)) << "the area's id";
    EXPECT_EQ(word_at(segment, 40, 8), 65536u);
    EXPECT_EQ(word_at(segment, 48, 8), 64u); // slots
    EXPECT_EQ(word_at(segment, 56, 8), 1u);
    EXPECT_EQ(word_at(segment, 72, 8), 1u);
    EXPECT_EQ(word_at(segment, 4096, 4), 1u); // index: the first frame
    size_t chunks = 8192;                     // 4096, 17 entries to 4224, 64 slots to 5248
    size_t at = chunks + 16;
    EXPECT_EQ(word_at(segment, at, 4), 4u);                           // commit word: 3 bytes
    EXPECT_EQ(word_at(segment, at + 4, 4), 6u);                       // superseded by the frame at place 6, behind padding
    EXPECT_EQ(word_at(segment, at + 8, 8), uint64_t(0x06) << 56 | 1); // tag, key; id 1
    EXPECT_EQ(word_at(segment, at + 16, 4), 0xcafebabeu);
    EXPECT_EQ(word_at(segment, at + 20, 4), 0u); // no version before
    EXPECT_EQ(segment.substr(at + 24, 4), "\3key");
    EXPECT_EQ(segment.substr(at + 32, 3), "one");
    EXPECT_EQ(word_at(segment, at + 48, 4), 17u); // padding: two places
    EXPECT_EQ(word_at(segment, at + 56, 8), uint64_t(0x41) << 56);
    at = chunks + 6 * 16;
    EXPECT_EQ(word_at(segment, at, 4), 7u);
    EXPECT_EQ(word_at(segment, at + 4, 4), 0u);
    EXPECT_EQ(word_at(segment, at + 8, 8), uint64_t(0x1e) << 56 | 2); // tag, key, aligned, transient; id 2
    EXPECT_EQ(word_at(segment, at + 20, 4), 1u);                      // the version before
    EXPECT_EQ(segment.substr(at + 24, 5), "\6\3key");
    EXPECT_EQ(segment.substr(at + 32, 6), "second");
    EXPECT_EQ((at + 32 - chunks) % 64, 0u);
    EXPECT_EQ(word_at(segment, at + 48, 4), 0u); // nothing behind
}

} // namespace
