// SPDX-License-Identifier: LGPL-2.1-or-later
// The room behind the capacity: however full an area is, it can be emptied.
#include "writer.hpp"

#include <cerrno>

#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

std::string key_of(size_t number, size_t size) {
    std::string key = std::to_string(number);
    return key + std::string(size - key.size(), '-');
}

// An area of live chunks with keys of `key_size` bytes, not a place of it free.
class FullArea : public testing::Test {
protected:
    size_t fill(size_t count, size_t key_size) {
        core::Writer &writer = inside(writer_);
        size_t places = writer.current->map.geometry.chunk_end - core::first_place;
        size_t offset = core::frame_shape(core::frame_key, uint32_t(key_size), false).payload;
        for (size_t i = 0; i < count; ++i) {
            size_t length = places / count + (i < places % count);
            put_key(writer_, key_of(i, key_size), std::string(length * core::place_size - offset, char('a' + i % 26)));
        }
        commit(writer_);
        EXPECT_EQ(writer.tail, writer.current->map.geometry.chunk_end);
        EXPECT_EQ(writer.current->generation, 1u);
        return count;
    }

    uint64_t generation() { return inside(writer_).current->generation; }

    AreaName name_;
    Handle writer_ = make_area(name_, small);
};

TEST_F(FullArea, takes_one_removal_with_the_longest_key_without_compaction) {
    fill(40, 255);
    EXPECT_EQ(try_alloc(writer_, 0), -ENOSPC);
    EXPECT_EQ(remove_key(writer_, key_of(7, 255)), 0);
    EXPECT_EQ(generation(), 1u);
    commit(writer_);
    EXPECT_EQ(value_of(name_, key_of(7, 255)), no_value);
    EXPECT_EQ(live_ids(name_).size(), 39u);
}

TEST_F(FullArea, second_removal_of_a_batch_may_not_fit) {
    fill(40, 255);
    EXPECT_EQ(remove_key(writer_, key_of(0, 255)), 0);
    EXPECT_EQ(remove_key(writer_, key_of(1, 255)), -ENOSPC);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 3), 0); // needs no marker besides the removal
    commit(writer_);
    EXPECT_EQ(live_ids(name_).size(), 38u);
    EXPECT_EQ(remove_key(writer_, key_of(1, 255)), 0); // compacts
    EXPECT_EQ(generation(), 2u);
}

TEST_F(FullArea, takes_a_removal_and_a_marker_that_only_obsoletes) {
    fill(40, 255);
    EXPECT_EQ(remove_key(writer_, key_of(0, 255)), 0);
    commit(writer_);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), 0);
    commit(writer_);
    EXPECT_EQ(generation(), 1u);
    EXPECT_EQ(live_ids(name_).size(), 38u);
    Handle reader = open_reader(name_);
    EXPECT_EQ(read_all(reader).size(), 39u); // with the removal
}

TEST_F(FullArea, marker_first_leaves_room_for_a_removal) {
    fill(40, 255);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), 0);
    commit(writer_);
    EXPECT_EQ(remove_key(writer_, key_of(0, 255)), 0);
    commit(writer_);
    EXPECT_EQ(generation(), 1u);
    EXPECT_EQ(live_ids(name_).size(), 38u);
}

TEST_F(FullArea, can_be_emptied_by_removals) {
    size_t count = fill(40, 255);
    for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(remove_key(writer_, key_of(i, 255)), 0) << i;
        commit(writer_);
        ASSERT_EQ(live_ids(name_).size(), count - i - 1);
    }
    EXPECT_GT(generation(), 2u);
    EXPECT_LE(generation(), count + 1); // at most one compaction for each
}

TEST_F(FullArea, can_be_emptied_by_obsoleting) {
    size_t count = fill(40, 3);
    for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(speculo_chunk_obsolete(writer_, i + 1), 0) << i;
        commit(writer_);
    }
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(generation(), 2u); // the reserve takes 31 markers beside END
}

TEST_F(FullArea, full_key_table_does_not_keep_a_removal_out) {
    uint64_t slots = inside(writer_).current->map.geometry.table_slots;
    size_t keys = slots * 3 / 4; // the next new key would compact
    fill(keys, 10);
    EXPECT_EQ(remove_key(writer_, key_of(0, 10)), 0);
    EXPECT_EQ(generation(), 1u);
    commit(writer_);
    EXPECT_EQ(value_of(name_, key_of(0, 10)), no_value);
    EXPECT_NE(value_of(name_, key_of(1, 10)), no_value);
}

TEST_F(FullArea, of_aligned_chunks_can_be_emptied) {
    // Payloads at page boundaries, not a place between them: compaction must not count with more padding than there is.
    std::string key(255, 'x');
    size_t offset = core::frame_shape(core::frame_key | core::frame_aligned, 255, false).payload;
    put_chunk(writer_, std::string(4096 - 2 * 16 - offset, 'a')); // so that the first one needs no padding either
    for (int i = 0; i < 14; ++i) { put_key(writer_, key_of(i, 255), std::string(4096 - offset, 'b'), aligned(4096)); }
    put_key(writer_, key_of(14, 255), std::string(4096, 'c'), aligned(4096));
    commit(writer_);
    ASSERT_EQ(inside(writer_).tail, inside(writer_).current->map.geometry.chunk_end);
    for (int i = 0; i < 15; ++i) {
        ASSERT_EQ(remove_key(writer_, key_of(i, 255)), 0) << i;
        commit(writer_);
        std::vector<Seen> all = live_chunks(name_);
        ASSERT_EQ(all.size(), size_t(15 - i));
        for (size_t k = 1; k < all.size(); ++k) { EXPECT_EQ(all[k].address % 4096, 0u); }
    }
    EXPECT_EQ(generation(), 2u); // then there is room
}

// The segment might grow, but the file system is full.
TEST(Reserve, takes_a_removal_where_there_is_no_more_memory) {
    Faults faults;
    AreaName name;
    Handle handle = make_area(name, uint64_t(1) << 20);
    core::Writer &writer = inside(handle);
    commit_key(handle, "k", "v");
    commit_chunk(handle, std::string((writer.current->soft_end() - writer.tail - 1) * core::place_size, 'x'));
    ASSERT_EQ(writer.tail, writer.current->soft_end());
    ASSERT_LT(writer.tail, writer.current->map.geometry.chunk_end);
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    EXPECT_EQ(remove_key(handle, "k"), 0);
    EXPECT_GT(faults.fired(), 0u);
    faults.heal();
    commit(handle);
    EXPECT_EQ(writer.current->generation, 1u);
    EXPECT_EQ(value_of(name, "k"), no_value);
    EXPECT_EQ(live_ids(name), (Ids{2}));
}

TEST_F(FullArea, ends_properly_when_it_compacts) {
    fill(40, 255);
    EXPECT_EQ(remove_key(writer_, key_of(0, 255)), 0);
    commit(writer_);
    while (inside(writer_).tail < inside(writer_).current->map.readable - 1) { // to the last place but that for END
        uint64_t id = live_ids(name_)[0];
        ASSERT_EQ(speculo_chunk_obsolete(writer_, id), 0);
        commit(writer_);
    }
    ASSERT_EQ(generation(), 1u);
    Handle reader = open_reader(name_);
    size_t before = read_all(reader).size();
    EXPECT_GT(before, 20u);
    uint64_t id = commit_chunk(writer_, "next");
    EXPECT_EQ(generation(), 2u);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{id}));
    EXPECT_EQ(info_of(reader).jumps, 0u);
}

// Nothing in it dies by a removal whose frame is as large as the chunk: the one before has used up the reserve.
TEST_F(FullArea, can_be_emptied_whatever_the_order_of_long_and_short_keys) {
    std::string longest(core::max_key_size, 'k');
    put_key(writer_, longest, "long");
    for (int i = 0; i < 7; ++i) { put_key(writer_, std::string(1, char('a' + i)), "short"); }
    while (try_alloc(writer_, 0) == 0) {}
    commit(writer_);
    for (int i = 0; i < 7; ++i) {
        EXPECT_EQ(remove_key(writer_, std::string(1, char('a' + i))), 0);
        commit(writer_);
    }
    EXPECT_EQ(remove_key(writer_, longest), 0);
    commit(writer_);
    EXPECT_EQ(value_of(name_, longest), no_value);
    EXPECT_EQ(try_alloc(writer_, 0), 0);
}

} // namespace
