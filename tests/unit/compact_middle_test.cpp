// SPDX-License-Identifier: LGPL-2.1-or-later
// Compaction in the middle of a commit: the pending chunks get their place in the next segment, and nobody notices.
#include "writer.hpp"

#include <algorithm>
#include <cerrno>

#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

class CompactMiddle : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);
    uint64_t kept_ = commit_chunk(writer_, "kept");

    uint64_t generation() { return inside(writer_).current->generation; }

    // Makes the next alloc of `size` bytes compact: what is there is transient.
    void fill(size_t size) { fill_segment(writer_, size, transient()); }

    // Pending chunks until the area has compacted once more; their ids.
    Ids allocate_until_compacted(size_t size) {
        Ids ids;
        uint64_t before = generation();
        while (generation() == before) { ids.push_back(put_chunk(writer_, std::string(size, char('A' + ids.size() % 26)))); }
        return ids;
    }
};

TEST_F(CompactMiddle, P3_P6_batch_in_two_segments_is_one_commit) {
    fill(3000);
    Handle reader = open_reader(name_);
    size_t stored = read_all(reader).size();
    EXPECT_GT(stored, 20u);
    uint64_t first = put_chunk(writer_, "old segment", aligned(64));
    uint64_t keyed = put_key(writer_, "k", "v");
    Ids ids = allocate_until_compacted(3000);
    EXPECT_EQ(ids.size(), 1u);
    uint64_t last = put_chunk(writer_, "new segment");
    EXPECT_EQ(generation(), 2u);
    EXPECT_EQ(ids_of(read_all(reader)), Ids{}); // follows END, finds nothing
    EXPECT_EQ(live_ids(name_), (Ids{kept_}));
    EXPECT_EQ(value_of(name_, "k"), no_value);
    commit(writer_);
    std::vector<Seen> all = read_all(reader);
    EXPECT_EQ(ids_of(all), (Ids{first, keyed, ids[0], last}));
    EXPECT_EQ(all[0].payload, "old segment");
    EXPECT_EQ(all[0].address % 64, 0u);
    EXPECT_EQ(all[1].payload, "v");
    EXPECT_EQ(all[2].payload, std::string(3000, 'A'));
    EXPECT_EQ(all[3].payload, "new segment");
    EXPECT_EQ(info_of(reader).jumps, 0u);
    EXPECT_EQ(value_of(name_, "k"), "v");
    EXPECT_EQ(live_ids(name_), (Ids{kept_, first, keyed, ids[0], last}));
}

TEST_F(CompactMiddle, caller_fills_where_it_was_told_to_until_the_commit) {
    fill(3000);
    void *data[3] = {};
    ASSERT_EQ(speculo_chunk_alloc(writer_, 100, nullptr, &data[0], nullptr), 0);
    ASSERT_EQ(speculo_chunk_alloc(writer_, 3000, nullptr, &data[1], nullptr), 0);
    ASSERT_EQ(generation(), 2u);
    ASSERT_EQ(speculo_chunk_alloc(writer_, 200, nullptr, &data[2], nullptr), 0);
    std::memset(data[0], 'x', 100), std::memset(data[1], 'y', 3000), std::memset(data[2], 'z', 200);
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), 4u);
    EXPECT_EQ(all[1].payload, std::string(100, 'x'));
    EXPECT_EQ(all[2].payload, std::string(3000, 'y'));
    EXPECT_EQ(all[3].payload, std::string(200, 'z'));
}

TEST_F(CompactMiddle, twice_in_one_commit) {
    AreaOptions options;
    options.max_capacity = 16 * small;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    Ids ids;
    std::vector<std::string> payloads;
    for (int i = 0; generation() < 3; ++i) { // from small to 4 and to 16 times that
        ASSERT_LT(i, 300);
        payloads.push_back(std::string(2000, char('a' + i % 26)));
        ids.push_back(put_chunk(writer_, payloads.back(), i % 5 ? ChunkOptions{} : aligned(128)));
        EXPECT_EQ(live_ids(name_), (Ids{kept_}));
    }
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), ids.size() + 1);
    for (size_t i = 0; i < ids.size(); ++i) {
        EXPECT_EQ(all[i + 1].id, ids[i]);
        EXPECT_EQ(all[i + 1].payload, payloads[i]);
        if (i % 5 == 0) { EXPECT_EQ(all[i + 1].address % 128, 0u); }
    }
    EXPECT_EQ(inside(writer_).displaced, nullptr);
    for (const core::WriterSegment *segment : inside(writer_).segments) { EXPECT_TRUE(!segment || !segment->has_pending); }
}

// As many compactions as there are segments and more: those with pending bytes are replaced, never overwritten.
TEST_F(CompactMiddle, P7_segments_with_pending_bytes_are_replaced) {
    AreaOptions options;
    options.max_capacity = 64 * small;
    options.segments = 2;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    std::vector<char *> pointers;
    while (generation() < 4) {
        void *data = nullptr;
        ASSERT_EQ(speculo_chunk_alloc(writer_, 8000, nullptr, &data, nullptr), 0);
        pointers.push_back(static_cast<char *>(data));
        std::memset(data, int('a' + pointers.size() % 26), 8000);
    }
    EXPECT_NE(inside(writer_).displaced, nullptr);
    EXPECT_EQ(info_of(writer_).segments, 2u);
    for (size_t i = 0; i < pointers.size(); ++i) {
        EXPECT_EQ(std::string(pointers[i], 8000), std::string(8000, char('a' + (i + 1) % 26)));
    }
    commit(writer_);
    EXPECT_EQ(inside(writer_).displaced, nullptr);
    EXPECT_EQ(live_ids(name_).size(), pointers.size() + 1);
}

TEST_F(CompactMiddle, rollback_after_it) {
    commit_key(writer_, "k", "old");
    fill(3000);
    uint64_t next = inside(writer_).next_id;
    put_key(writer_, "k", "new");
    put_chunk(writer_, "x", superseding(kept_));
    allocate_until_compacted(3000);
    uint64_t used = info_of(writer_).used;
    EXPECT_EQ(speculo_rollback(writer_), 0);
    EXPECT_LT(info_of(writer_).used, used);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{kept_, kept_ + 1}));
    EXPECT_EQ(value_of(name_, "k"), "old");
    EXPECT_EQ(commit_key(writer_, "k", "newer"), next); // the id again
    EXPECT_EQ(live_ids(name_), (Ids{kept_, next}));
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(put_chunk(writer_, "y"), next + 1);
}

TEST_F(CompactMiddle, next_id_does_not_count_pending_chunks) {
    fill(3000);
    uint64_t next = inside(writer_).next_id;
    put_chunk(writer_, "x");
    allocate_until_compacted(3000);
    EXPECT_EQ(core::peek(inside(writer_).current->map.header().next_id), next);
    writer_.close(); // like a death: nothing of it was committed
    writer_ = open_writer(name_);
    EXPECT_EQ(put_chunk(writer_, "x"), next);
}

TEST_F(CompactMiddle, supersedes_obsoletes_and_removals_find_their_chunks_in_the_next_segment) {
    uint64_t a = commit_chunk(writer_, "a"), b = commit_chunk(writer_, "b");
    commit_key(writer_, "k", "k1"), commit_key(writer_, "r", "r1");
    fill(3000);
    uint64_t a2 = put_chunk(writer_, "a2", superseding(a));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, b), 0);
    uint64_t k2 = put_key(writer_, "k", "k2");
    EXPECT_EQ(remove_key(writer_, "r"), 0);
    uint64_t x = put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    EXPECT_EQ(live_ids(name_).size(), 5u);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{kept_, a2, k2, x}));
    EXPECT_EQ(value_of(name_, "k"), "k2");
    EXPECT_EQ(value_of(name_, "r"), no_value);
    EXPECT_EQ(remove_key(writer_, "r"), -ENOENT);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, a), -ENOENT);
}

TEST_F(CompactMiddle, what_the_compaction_dropped_is_passed_over) {
    uint64_t gone = commit_chunk(writer_, "gone", transient()), also = commit_chunk(writer_, "also", transient());
    uint64_t keyed = put_key(writer_, "k", "transient", transient());
    commit(writer_);
    fill(3000);
    uint64_t successor = put_chunk(writer_, "successor", superseding(gone));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, also), 0);
    uint64_t version = put_key(writer_, "k", "new", superseding(keyed));
    uint64_t x = put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    commit(writer_); // no error
    EXPECT_EQ(live_ids(name_), (Ids{kept_, successor, version, x}));
    EXPECT_EQ(value_of(name_, "k"), "new");
    commit_key(writer_, "k", "newer");
    EXPECT_EQ(value_of(name_, "k"), "newer");
    EXPECT_EQ(live_ids(name_), (Ids{kept_, successor, x, x + 1}));
}

TEST_F(CompactMiddle, removal_whose_chunk_the_compaction_dropped) {
    put_key(writer_, "k", "transient", transient());
    commit(writer_);
    fill(3000);
    Handle reader = open_reader(name_, SPECULO_OPEN_AT_END);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "k"), no_value);
    std::vector<Seen> all = read_all(reader);
    ASSERT_EQ(all.size(), 2u);
    EXPECT_TRUE(all[0].flags & SPECULO_CHUNK_REMOVED);
    commit_key(writer_, "k", "new");
    EXPECT_EQ(value_of(name_, "k"), "new");
}

TEST_F(CompactMiddle, marker_alone_moves_along) {
    uint64_t a = commit_chunk(writer_, "a");
    fill(3000);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, a), 0); // its marker is what pends
    put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    EXPECT_EQ(live_ids(name_), (Ids{kept_, a}));
    commit(writer_);
    EXPECT_EQ(live_ids(name_).size(), 2u);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, a), -ENOENT);
}

TEST_F(CompactMiddle, shrunk_chunk_before_a_removal_needs_no_padding_any_more) {
    commit_key(writer_, "k", "v");
    fill(3000);
    void *data = nullptr;
    ASSERT_EQ(speculo_chunk_alloc(writer_, 1000, nullptr, &data, nullptr), 0);
    std::memset(data, 's', 1000);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 10), 0);
    put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 2000), 0);
    commit(writer_);
    std::vector<Seen> all = live_chunks(name_);
    ASSERT_EQ(all.size(), 3u);
    EXPECT_EQ(all[1].payload, std::string(10, 's'));
    EXPECT_EQ(all[2].payload, std::string(2000, 'x'));
    EXPECT_EQ(info_of(writer_).used, (2 + 2 + 3 + 2 + 126) * 16u); // "kept", "v", then 10 bytes, the removal, 2000 bytes
}

TEST_F(CompactMiddle, key_search_sees_pending_keys_of_the_segment_before) {
    fill(3000);
    put_key(writer_, "k", "v");
    put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_EQ(generation(), 2u);
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    put_key(writer_, "k", "w");
    commit(writer_);
    EXPECT_EQ(value_of(name_, "k"), "w");
}

// Of the operations that make another object, each call in turn.
TEST_F(CompactMiddle, failing_one_changes_nothing) {
    writer_.close();
    Faults faults;
    AreaOptions options;
    options.segments = 16; // so that each compaction makes another one
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    Handle reader = open_reader(name_);
    size_t tried = 0;
    for (Site site : {Site::allocate, Site::create_unnamed, Site::create, Site::link, Site::rename, Site::set_mode,
                      Site::allocate_space, Site::map, Site::random}) {
        fill(3000);
        put_key(writer_, "k", site_name(site));
        read_all(reader);
        speculo_area_info before = info_of(writer_);
        size_t files = name_.files().size();
        int error = -1;
        for (uint64_t call = 1; error < 0; ++call) {
            faults.reset_counts();
            faults.fail(site, call, ENOMEM);
            error = try_alloc(writer_, 3000, transient()); // too little lasts to be copied ahead
            EXPECT_EQ(error, faults.fired() ? -ENOMEM : 0) << site_name(site);
            faults.heal();
            if (error == 0) { continue; }
            ++tried;
            speculo_area_info after = info_of(writer_);
            EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0) << site_name(site);
            EXPECT_EQ(name_.files().size(), files); // no leftovers
            EXPECT_EQ(read_all(reader).size(), 0u);
        }
        EXPECT_EQ(info_of(writer_).generation, before.generation + 1);
        EXPECT_EQ(inside(writer_).pending_count, 2u);
        commit(writer_);
        EXPECT_EQ(value_of(reader, "k"), site_name(site));
        EXPECT_EQ(read_all(reader).size(), 2u);
    }
    EXPECT_GT(tried, 6u);
    writer_.close(), reader.close();
    EXPECT_EQ(faults.leaks(), "");
}

// The first superseder finds the chunk by id or by key; the second one has to find the first.
TEST_F(CompactMiddle, second_superseder_of_a_dropped_chunk_supersedes_the_first) {
    for (bool by_key : {false, true}) {
        uint64_t gone = put_key(writer_, "k", "gone", transient());
        commit(writer_);
        fill(3000);
        uint64_t first = by_key ? put_key(writer_, "k", "first") : put_chunk(writer_, "first", superseding(gone));
        uint64_t before = generation();
        uint64_t second = put_chunk(writer_, std::string(3000, 'x'), superseding(gone)); // this one compacts
        ASSERT_EQ(generation(), before + 1);
        commit(writer_);
        Ids live = live_ids(name_);
        EXPECT_EQ(std::count(live.begin(), live.end(), first), 0);
        EXPECT_EQ(std::count(live.begin(), live.end(), second), 1);
        EXPECT_EQ(speculo_chunk_obsolete(writer_, second), 0);
        commit(writer_);
    }
}

TEST_F(CompactMiddle, versions_of_one_key_need_one_slot) {
    commit_key(writer_, "known", "v");
    uint64_t slots = inside(writer_).current->map.geometry.table_slots;
    for (uint64_t i = 0; i < slots; ++i) { put_key(writer_, "known", "v"); }
    for (uint64_t i = 0; i < slots; ++i) { put_key(writer_, "new", "v"); }
    EXPECT_EQ(generation(), 1u);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "new"), "v");
    EXPECT_EQ(live_ids(name_).size(), 3u);
}

TEST_F(CompactMiddle, compact_percent_counts_what_dies_within_its_own_commit) {
    AreaName name;
    AreaOptions options(small);
    options.compact_percent = 50;
    Handle writer = make_area(name, options);
    while (inside(writer).tail < inside(writer).current->map.geometry.chunk_end / 2) {
        for (int i = 0; i < 10; ++i) { put_key(writer, "k", std::string(100, 'v')); }
        commit(writer);
        if (inside(writer).current->generation == 2) { return; }
    }
    FAIL() << "nine out of ten are dead, and nothing was compacted";
}

} // namespace
