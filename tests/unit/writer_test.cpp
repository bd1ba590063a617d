// SPDX-License-Identifier: LGPL-2.1-or-later
// What waits for the commit: chunks, removals, and chunks that are to end.
#include "writer.hpp"

#include <algorithm>
#include <cerrno>
#include <unordered_map>

#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

class WriterTest : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);
};

// ---- alloc ------------------------------------------------------------------------------------------------------------------

TEST_F(WriterTest, ids_start_at_one_and_grow_by_one) {
    for (uint64_t id = 1; id <= 200; ++id) { EXPECT_EQ(put_chunk(writer_, "x"), id); } // more than the first room for records
    commit(writer_);
    EXPECT_EQ(put_key(writer_, "k", "v"), 201u);
    EXPECT_EQ(remove_key(writer_, "k"), 0); // takes an id as well
    EXPECT_EQ(put_chunk(writer_, "y"), 203u);
}

TEST_F(WriterTest, empty_chunk_has_a_pointer_and_is_delivered) {
    void *data = nullptr;
    uint64_t id = 0;
    ASSERT_EQ(speculo_chunk_alloc(writer_, 0, nullptr, &data, &id), 0);
    EXPECT_NE(data, nullptr);
    ChunkOptions options = aligned(64);
    void *other = nullptr;
    ASSERT_EQ(speculo_chunk_alloc(writer_, 0, &options, &other, nullptr), 0);
    EXPECT_NE(other, nullptr);
    commit(writer_);
    std::vector<Seen> all = read_all(open_reader(name_));
    EXPECT_EQ(ids_of(all), (Ids{1, 2}));
    EXPECT_EQ(all[0].payload, "");
    EXPECT_EQ(all[1].payload, "");
}

TEST_F(WriterTest, id_need_not_be_asked_for) {
    void *data = nullptr;
    EXPECT_EQ(speculo_chunk_alloc(writer_, 1, nullptr, &data, nullptr), 0);
    EXPECT_EQ(put_chunk(writer_, "x"), 2u);
}

TEST_F(WriterTest, payloads_are_aligned_as_asked_for) {
    const std::string key = "k", longer(255, 'l');
    for (uint32_t alignment : {0u, 1u, 2u, 8u, 16u, 32u, 64u, 128u, 256u, 512u, 1024u, 2048u, 4096u}) {
        uint64_t wanted = alignment > 16 ? alignment : 16;
        for (const std::string *with : std::initializer_list<const std::string *>{nullptr, &key, &longer}) {
            ChunkOptions options = aligned(alignment);
            options.tag = alignment;
            if (with) { options.with_key(*with); }
            void *data = nullptr;
            ASSERT_EQ(speculo_chunk_alloc(writer_, 5, &options, &data, nullptr), 0);
            EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % wanted, 0u);
            std::memcpy(data, "five!", 5);
        }
    }
    commit(writer_);
    std::vector<Seen> all = read_all(open_reader(name_));
    ASSERT_EQ(all.size(), 13u + 2u); // of each key the newest
    for (const Seen &one : all) {
        EXPECT_EQ(one.payload, "five!");
        EXPECT_EQ(one.address % (one.tag > 16 ? one.tag : 16), 0u) << one.tag;
    }
}

TEST_F(WriterTest, P7_pointers_stay_valid_across_allocs_and_compactions) {
    std::vector<std::pair<char *, char>> pointers;
    AreaOptions options(small);
    options.max_capacity = 16 * small;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    for (int i = 0; i < 200; ++i) { // eight segments' worth in one commit
        void *data = nullptr;
        ASSERT_EQ(speculo_chunk_alloc(writer_, 2500, nullptr, &data, nullptr), 0);
        pointers.emplace_back(static_cast<char *>(data), char('A' + i % 50));
        std::memset(data, pointers.back().second, 1250);
    }
    EXPECT_GE(inside(writer_).current->generation, 3u); // compacted more than once meanwhile
    for (auto &[data, letter] : pointers) {             // the caller goes on filling where it was told to
        EXPECT_EQ(std::string(data, 1250), std::string(1250, letter));
        std::memset(data + 1250, letter + 1, 1250);
    }
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), pointers.size());
    for (size_t i = 0; i < all.size(); ++i) {
        char letter = pointers[i].second;
        EXPECT_EQ(all[i].payload, std::string(1250, letter) + std::string(1250, char(letter + 1)));
    }
}

// ---- what can never fit, and what does not fit now --------------------------------------------------------------------------

constexpr uint64_t largest = small - 32; // one place is never used, one is the header's

TEST_F(WriterTest, largest_chunk_fits_and_a_larger_one_never_does) {
    EXPECT_EQ(try_alloc(writer_, largest + 1), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, SIZE_MAX), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, largest), 0);
    EXPECT_EQ(try_alloc(writer_, largest + 1), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, 1), -ENOSPC); // it would fit into an empty segment
    commit(writer_);
    EXPECT_EQ(try_alloc(writer_, largest), -ENOSPC);
    EXPECT_EQ(try_alloc(writer_, 1), -ENOSPC);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    commit(writer_);
    EXPECT_EQ(try_alloc(writer_, largest), 0);
}

TEST_F(WriterTest, fields_and_padding_count_for_what_can_ever_fit) {
    ChunkOptions tagged;
    tagged.tag = 1; // 16 bytes more
    EXPECT_EQ(try_alloc(writer_, largest - 15, tagged), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, largest - 16, tagged), 0);
    EXPECT_EQ(speculo_rollback(writer_), 0);
    // The first payload that can be aligned so begins a page behind the beginning of the chunks.
    EXPECT_EQ(try_alloc(writer_, small - 4096 + 1, aligned(4096)), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, small - 4096, aligned(4096)), 0);
}

TEST_F(WriterTest, growth_counts_for_what_can_ever_fit) {
    AreaOptions options;
    options.max_capacity = 4 * small;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    EXPECT_EQ(try_alloc(writer_, 4 * small - 31), -EMSGSIZE);
    EXPECT_EQ(try_alloc(writer_, 4 * small - 32), 0);
}

TEST_F(WriterTest, failing_alloc_changes_nothing) {
    uint64_t before = put_chunk(writer_, std::string(40000, 'a'));
    speculo_area_info info = info_of(writer_);
    void *data = &info;
    uint64_t id = 4711;
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(speculo_chunk_alloc(writer_, 30000, nullptr, &data, &id), -ENOSPC);
        EXPECT_EQ(speculo_chunk_alloc(writer_, 1 << 20, nullptr, &data, &id), -EMSGSIZE);
    }
    EXPECT_EQ(data, &info);
    EXPECT_EQ(id, 4711u);
    speculo_area_info after = info_of(writer_);
    EXPECT_EQ(std::memcmp(&info, &after, sizeof info), 0);
    EXPECT_EQ(put_chunk(writer_, "b"), before + 1);
    commit(writer_);
    EXPECT_EQ(live_chunks(name_)[0].payload, std::string(40000, 'a'));
}

// ---- ids --------------------------------------------------------------------------------------------------------------------

TEST_F(WriterTest, no_id_comes_after_the_last_one) {
    std::string key = "k";
    uint64_t first = core::max_id - 2;
    inside(writer_).next_id = inside(writer_).first_id = first;
    EXPECT_EQ(put_key(writer_, key, "1"), first);
    EXPECT_EQ(commit_chunk(writer_, "2"), first + 1);
    EXPECT_EQ(commit_chunk(writer_, "3"), core::max_id);
    void *data = nullptr;
    EXPECT_EQ(speculo_chunk_alloc(writer_, 1, nullptr, &data, nullptr), -EOVERFLOW);
    EXPECT_EQ(try_alloc(writer_, 1, transient()), -EOVERFLOW);
    EXPECT_EQ(remove_key(writer_, key), -EOVERFLOW);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, first + 1), 0); // needs none
    commit(writer_);
    compact_now(writer_);
    EXPECT_EQ(try_alloc(writer_, 1), -EOVERFLOW);
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(try_alloc(writer_, 1), -EOVERFLOW);
    EXPECT_EQ(live_ids(name_), (Ids{first, core::max_id}));
}

TEST_F(WriterTest, rollback_gives_ids_and_room_again) {
    EXPECT_EQ(commit_key(writer_, "k", "old"), 1u);
    uint64_t used = info_of(writer_).used;
    EXPECT_EQ(put_key(writer_, "k", "new"), 2u);
    EXPECT_EQ(put_chunk(writer_, "x", superseding(1)), 3u);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    EXPECT_GT(info_of(writer_).used, used);
    EXPECT_EQ(speculo_rollback(writer_), 0);
    EXPECT_EQ(info_of(writer_).used, used);
    commit(writer_); // of nothing
    EXPECT_EQ(value_of(name_, "k"), "old");
    EXPECT_EQ(remove_key(writer_, "k"), 0); // as if nothing had been
    EXPECT_EQ(speculo_rollback(writer_), 0);
    EXPECT_EQ(commit_chunk(writer_, "y"), 2u);
    EXPECT_EQ(live_ids(name_), (Ids{1, 2}));
}

TEST_F(WriterTest, close_rolls_back) {
    commit_chunk(writer_, "a");
    put_chunk(writer_, "b");
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(put_chunk(writer_, "c"), 2u);
}

// ---- shrink -----------------------------------------------------------------------------------------------------------------

TEST_F(WriterTest, shrink_keeps_the_first_bytes_and_gives_room_back) {
    uint64_t used = info_of(writer_).used;
    put_chunk(writer_, std::string(1000, 'a') + std::string(1000, 'b'));
    EXPECT_EQ(speculo_chunk_shrink(writer_, 2000), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 1001), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 1002), -EINVAL);
    EXPECT_EQ(info_of(writer_).used, used + 16 + 1008);
    put_chunk(writer_, "next");
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), 0);
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].payload, std::string(1000, 'a') + "b");
    EXPECT_EQ(all[1].payload, "");
}

TEST_F(WriterTest, shrink_needs_a_pending_chunk) {
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL);
    commit_key(writer_, "k", "v");
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL); // a removal is none
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL);
}

TEST_F(WriterTest, shrink_that_a_removal_follows_leaves_padding) {
    commit_key(writer_, "k", "v");
    put_chunk(writer_, std::string(5000, 'a'));
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    uint64_t used = info_of(writer_).used;
    EXPECT_EQ(speculo_chunk_shrink(writer_, 3000), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 10), 0);
    EXPECT_EQ(info_of(writer_).used, used); // the removal stays where it is
    put_chunk(writer_, "next");
    commit(writer_);
    std::vector<Seen> all = read_all(open_reader(name_));
    EXPECT_EQ(ids_of(all), (Ids{2, 3, 4}));
    EXPECT_EQ(all[0].payload, std::string(10, 'a'));
    EXPECT_EQ(all[1].flags & SPECULO_CHUNK_REMOVED, SPECULO_CHUNK_REMOVED);
    EXPECT_EQ(all[2].payload, "next");
    for (uint64_t id = 2; id <= 4; ++id) { // the index knows its way through the padding
        Handle reader = open_reader(name_);
        EXPECT_EQ(speculo_seek(reader, id), 0);
        EXPECT_EQ(read_all(reader)[0].id, id);
    }
}

TEST_F(WriterTest, shrink_after_an_obsolete_gives_room_back) {
    commit_chunk(writer_, "x");
    uint64_t used = info_of(writer_).used;
    put_chunk(writer_, std::string(5000, 'a'));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0); // has no frame
    EXPECT_EQ(speculo_chunk_shrink(writer_, 16), 0);
    EXPECT_EQ(info_of(writer_).used, used + 32);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{2}));
}

TEST_F(WriterTest, shrink_works_after_a_compaction_in_the_middle) {
    fill_segment(writer_, 4000, transient());
    put_chunk(writer_, std::string(500, 'p'));
    put_chunk(writer_, std::string(3000, 'q'));
    put_chunk(writer_, std::string(5000, 'r')); // the last two do not fit any more
    EXPECT_EQ(inside(writer_).current->generation, 2u);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 100), 0);
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[0].payload, std::string(500, 'p'));
    EXPECT_EQ(all[1].payload, std::string(3000, 'q'));
    EXPECT_EQ(all[2].payload, std::string(100, 'r'));
}

// ---- what is not there ------------------------------------------------------------------------------------------------------

TEST_F(WriterTest, what_is_not_stored_cannot_be_superseded_nor_obsoleted) {
    auto expect_gone = [&](uint64_t id) {
        EXPECT_EQ(try_alloc(writer_, 1, superseding(id)), -ENOENT) << id;
        EXPECT_EQ(speculo_chunk_obsolete(writer_, id), -ENOENT) << id;
    };
    expect_gone(1); // not yet
    commit_chunk(writer_, "a");
    uint64_t superseded = commit_key(writer_, "k", "v");
    uint64_t removed = commit_key(writer_, "k", "w");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    commit(writer_);
    uint64_t removal = removed + 1;
    uint64_t obsoleted = commit_chunk(writer_, "b");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, obsoleted), 0);
    commit(writer_);
    expect_gone(superseded);
    expect_gone(removed);
    expect_gone(removal); // is no chunk
    expect_gone(obsoleted);
    expect_gone(obsoleted + 1);
    expect_gone(core::max_id);
    expect_gone(UINT64_MAX);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 0), -EINVAL);
    commit_chunk(writer_, "t", transient());
    compact_now(writer_);
    expect_gone(obsoleted + 1); // left behind
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
}

TEST_F(WriterTest, what_an_earlier_commit_ended_is_gone_but_this_one_may_end_it_twice) {
    uint64_t id = commit_chunk(writer_, "a");
    put_chunk(writer_, "b", superseding(id));
    put_chunk(writer_, "c", superseding(id));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{3}));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, id), -ENOENT);
}

TEST_F(WriterTest, key_that_is_not_there_cannot_be_removed) {
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    put_key(writer_, "k", "v");
    EXPECT_EQ(remove_key(writer_, "k"), 0); // pending counts
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    EXPECT_EQ(remove_key(writer_, "kk"), -ENOENT);
    commit(writer_);
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    uint64_t id = commit_key(writer_, "k", "w");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
    commit(writer_);
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    uint64_t last = commit_key(writer_, "k", "x");
    commit_chunk(writer_, "y", superseding(last));
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    compact_now(writer_);
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
}

TEST_F(WriterTest, keys_are_compared_whole) {
    std::string zeros(3, '\0'), longer(255, 'x'), other = std::string(254, 'x') + 'y';
    commit_key(writer_, zeros, "zeros");
    commit_key(writer_, longer, "long");
    EXPECT_EQ(remove_key(writer_, std::string(2, '\0')), -ENOENT);
    EXPECT_EQ(remove_key(writer_, other), -ENOENT);
    EXPECT_EQ(remove_key(writer_, longer), 0);
    commit(writer_);
    EXPECT_EQ(value_of(name_, longer), no_value);
    EXPECT_EQ(value_of(name_, zeros), "zeros");
}

// Two keys of one size, or of two, whose hashes are the same in this area.
std::pair<std::string, std::string> keys_of_one_hash(speculo_area *writer, bool same_size) {
    uint64_t seed = core::peek(inside(writer).area.control->area_id[0]);
    std::unordered_map<uint32_t, std::string> seen;
    for (uint32_t i = 0;; ++i) {
        std::string key = "key" + std::to_string(1000000 + i) + (i % 2 ? "" : "+");
        auto [other, is_new] = seen.emplace(core::key_hash(seed, key.data(), key.size()), key);
        if (!is_new && (other->second.size() == key.size()) == same_size) { return {other->second, key}; }
    }
}

TEST_F(WriterTest, keys_of_one_hash_wait_together) {
    for (bool same_size : {true, false}) {
        auto [one, other] = keys_of_one_hash(writer_, same_size);
        put_key(writer_, other, "0");
        EXPECT_EQ(remove_key(writer_, one), -ENOENT);
        EXPECT_EQ(speculo_rollback(writer_), 0);
        commit_key(writer_, one, "1");
        put_key(writer_, other, "2");
        EXPECT_EQ(remove_key(writer_, one), 0) << "it is not the one that waits";
        commit(writer_);
        EXPECT_EQ(value_of(name_, one), no_value);
        EXPECT_EQ(value_of(name_, other), "2");
        put_key(writer_, one, "3"), put_key(writer_, other, "4");
        commit(writer_);
        EXPECT_EQ(value_of(name_, one), "3");
        EXPECT_EQ(value_of(name_, other), "4");
        put_key(writer_, other, "5");
        EXPECT_EQ(remove_key(writer_, other), 0) << "it is the one that waits";
        commit(writer_);
        EXPECT_EQ(value_of(name_, one), "3");
        EXPECT_EQ(value_of(name_, other), no_value);
    }
}

TEST_F(WriterTest, last_slot_of_the_key_table_is_for_a_key_whatever_else_waits) {
    uint64_t most = inside(writer_).current->map.geometry.table_slots * 3 / 4;
    for (uint64_t i = 1; i < most; ++i) { put_key(writer_, "key" + std::to_string(i), "v"); }
    commit(writer_);
    put_chunk(writer_, "no key", aligned(64));
    put_key(writer_, "key1", "has its slot");
    put_key(writer_, "last", "v");
    EXPECT_EQ(inside(writer_).current->generation, 1u);
    Faults faults;
    faults.fail_from(Site::create_unnamed, 1, ENOSPC); // no larger table
    std::string more = "one more";
    EXPECT_EQ(try_alloc(writer_, 1, ChunkOptions().with_key(more)), -ENOSPC);
    faults.heal();
    EXPECT_EQ(inside(writer_).current->generation, 1u);
    put_key(writer_, more, "v");
    EXPECT_EQ(inside(writer_).current->generation, 2u);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "key1"), "has its slot");
    EXPECT_EQ(value_of(name_, "last"), "v");
    EXPECT_EQ(value_of(name_, more), "v");
}

TEST_F(WriterTest, P10_what_is_damaged_cannot_be_ended) {
    commit_key(writer_, "k", "v"), commit_chunk(writer_, "a");
    const core::SegmentMap &map = inside(writer_).current->map;
    core::KeySlot &slot = *std::find_if(map.table(), map.table() + map.geometry.table_slots,
                                        [](const core::KeySlot &one) { return core::peek(one.frame) != 0; });
    uint64_t versions = core::peek(slot.versions);
    for (uint32_t nowhere : {0u, inside(writer_).committed, UINT32_MAX}) {
        core::put(slot.versions, core::pack_versions(nowhere, 0));
        EXPECT_EQ(remove_key(writer_, "k"), -EBADMSG) << nowhere;
    }
    core::put(slot.versions, versions);
    uint32_t word = core::peek(map.frame(core::first_place).commit);
    core::put(map.frame(core::first_place).commit, 0x7fffffffu);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), -EBADMSG); // on the way to it
    EXPECT_EQ(try_alloc(writer_, 1, superseding(2)), -EBADMSG);
    core::put(map.frame(core::first_place).commit, word);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), 0);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), Ids{});
}

TEST(WriterClock, expired_chunk_that_is_still_stored_can_be_superseded) {
    Faults faults;
    AreaName name;
    Handle writer = make_area(name, small);
    uint64_t id = commit_chunk(writer, "a", living(1000 * ms));
    uint64_t second = commit_chunk(writer, "b", living(1000 * ms));
    faults.clock.jump(2000 * ms);
    EXPECT_TRUE(live_ids(name).empty());
    put_chunk(writer, "c", superseding(id));
    EXPECT_EQ(speculo_chunk_obsolete(writer, second), 0);
    commit(writer);
    EXPECT_EQ(try_alloc(writer, 1, superseding(id)), -ENOENT);
    EXPECT_EQ(info_of(writer).superseded_chunks, 2u);
}

} // namespace
