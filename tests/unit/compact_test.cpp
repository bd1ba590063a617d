// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes along when the area compacts, and how large what it goes to is.
#include "writer.hpp"

#include <cerrno>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

class Compact : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);

    void reopen(const AreaOptions &options) {
        writer_.close();
        writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    }
    uint64_t capacity() { return inside(writer_).current->map.geometry.capacity; }
    uint64_t generation() { return inside(writer_).current->generation; }
    uint64_t table_slots() { return inside(writer_).current->map.geometry.table_slots; }
};

// ---- what goes along --------------------------------------------------------------------------------------------------------

TEST_F(Compact, P5_carries_the_live_chunks_over_in_order_with_all_they_have) {
    const std::string key = "key", longer(255, 'l');
    commit_chunk(writer_, "plain");
    ChunkOptions options = aligned(512);
    options.tag = 77;
    put_chunk(writer_, std::string(700, 'p'), options.with_key(key));
    put_chunk(writer_, "");
    put_key(writer_, longer, std::string(5000, 'q'), living(3600 * 1000 * ms));
    commit(writer_);
    std::vector<Seen> before = live_chunks(name_);
    Handle reader = open_reader(name_);
    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_key(reader, longer.data(), 255, &chunk), 1);
    uint64_t expires = chunk.expires_ns;
    for (uint64_t expected = 2; expected <= 5; ++expected) {
        compact_now(writer_);
        EXPECT_EQ(generation(), expected); // grows by one per compaction
        EXPECT_EQ(info_of(reader).generation, expected);
        std::vector<Seen> after = live_chunks(name_);
        EXPECT_TRUE(after == before);
        EXPECT_EQ(ids_of(after), (Ids{1, 2, 3, 4}));
        EXPECT_EQ(after[1].tag, 77u);
        EXPECT_EQ(after[1].address % 512, 0u);
        EXPECT_EQ(value_of(reader, key), std::string(700, 'p'));
        ASSERT_EQ(speculo_read_key(reader, longer.data(), 255, &chunk), 1);
        EXPECT_EQ(chunk.expires_ns, expires);
    }
    EXPECT_EQ(put_chunk(writer_, "next"), 5u);
}

// Wherever it lies, what counts as lasting when it comes has to be what counts when it goes: else what others there are is forgotten.
TEST_F(Compact, P5_what_was_aligned_takes_nothing_along_when_it_goes) {
    for (size_t before = 0; before < 512; before += 16) { // with and without padding
        for (size_t behind : {size_t(0), size_t(16), size_t(32), size_t(80)}) {
            AreaName name;
            Handle writer = make_area(name, small);
            uint64_t first = commit_chunk(writer, std::string(before, 'a'));
            uint64_t between = commit_chunk(writer, "x", aligned(256));
            uint64_t last = commit_chunk(writer, std::string(behind, 'b'));
            EXPECT_EQ(speculo_chunk_obsolete(writer, between), 0);
            commit(writer);
            uint64_t length = (before + behind) / core::place_size + 2;
            EXPECT_EQ(inside(writer).lasting.places, length) << before << ' ' << behind; // what is to be carried over
            compact_now(writer);
            EXPECT_EQ(live_ids(name), (Ids{first, last})) << before << ' ' << behind;
        }
    }
}

TEST_F(Compact, keeps_every_alignment_whatever_lies_before) {
    std::vector<uint32_t> alignments;
    for (uint32_t alignment = 16; alignment <= 4096; alignment *= 2) {
        commit_chunk(writer_, "dropped", transient()); // so that everything moves
        commit_chunk(writer_, std::string(alignment / 3, char('a' + alignments.size())), aligned(alignment));
        alignments.push_back(alignment);
    }
    std::vector<Seen> before = live_chunks(name_);
    for (int i = 0; i < 3; ++i) {
        compact_now(writer_);
        std::vector<Seen> after = live_chunks(name_);
        ASSERT_EQ(after.size(), alignments.size());
        for (size_t k = 0; k < after.size(); ++k) {
            EXPECT_EQ(after[k].address % alignments[k], 0u);
            EXPECT_EQ(after[k].payload, std::string(alignments[k] / 3, char('a' + i + k)));
        }
        EXPECT_EQ(speculo_chunk_obsolete(writer_, after[0].id), 0);
        commit(writer_);
        alignments.erase(alignments.begin());
    }
}

TEST_F(Compact, drops_what_is_transient_superseded_removed_or_obsoleted) {
    commit_chunk(writer_, "live");
    commit_chunk(writer_, "transient", transient());
    commit_chunk(writer_, "superseded");
    commit_chunk(writer_, "live", superseding(3));
    commit_key(writer_, "k", "removed"), commit_key(writer_, "l", "old"), commit_key(writer_, "l", "live");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    commit(writer_);
    commit_chunk(writer_, "obsoleted");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 9), 0);
    commit(writer_);
    compact_now(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{1, 4, 7}));
    EXPECT_EQ(ids_of(read_all(open_reader(name_))), (Ids{1, 4, 7})); // nothing else is stored
    EXPECT_EQ(info_of(writer_).superseded_chunks, 0u);
    EXPECT_EQ(info_of(writer_).used, 16 + 16 + 16 + 16 + 2 * 16 + 16u);
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(value_of(name_, "l"), "live");
    EXPECT_EQ(commit_key(writer_, "k", "again"), 10u);
    EXPECT_EQ(value_of(name_, "k"), "again");
}

TEST(CompactClock, drops_what_has_expired) {
    Faults faults;
    AreaName name;
    Handle writer = make_area(name, small);
    commit_chunk(writer, "soon", living(1000 * ms));
    commit_chunk(writer, "later", living(3000 * ms));
    faults.clock.jump(2000 * ms);
    compact_now(writer);
    EXPECT_EQ(info_of(writer).expired_chunks, 0u);
    EXPECT_EQ(live_ids(name), (Ids{2}));
    faults.clock.jump(2000 * ms);
    EXPECT_EQ(info_of(writer).expired_chunks, 1u); // expiry only hides
    compact_now(writer);
    EXPECT_EQ(info_of(writer).expired_chunks, 0u);
    EXPECT_EQ(info_of(writer).used, 0u);
    writer.close();
    EXPECT_EQ(faults.leaks(), "");
}

TEST_F(Compact, keeps_the_next_id_when_the_newest_were_dropped) {
    commit_chunk(writer_, "a");
    for (int i = 0; i < 5; ++i) { commit_chunk(writer_, "t", transient()); }
    compact_now(writer_);
    EXPECT_EQ(info_of(writer_).newest_id, 6u);
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(put_chunk(writer_, "b"), 7u);
    EXPECT_EQ(speculo_rollback(writer_), 0);
    compact_now(writer_), compact_now(writer_);
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(put_chunk(writer_, "b"), 7u);
}

TEST_F(Compact, needs_nothing_pending) {
    put_chunk(writer_, "a");
    EXPECT_EQ(speculo_area_compact(writer_), -EINVAL);
    EXPECT_EQ(speculo_rollback(writer_), 0);
    commit_chunk(writer_, "b");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    EXPECT_EQ(speculo_area_compact(writer_), -EINVAL);
    commit(writer_);
    compact_now(writer_);
    EXPECT_EQ(live_ids(name_), Ids{});
}

TEST_F(Compact, found_ids_stay_found) {
    for (int i = 0; i < 600; ++i) { commit_chunk(writer_, std::string(60, 'x'), i % 3 ? transient() : ChunkOptions{}); }
    compact_now(writer_);
    EXPECT_EQ(info_of(writer_).live_chunks, 200u);
    Handle reader = open_reader(name_);
    for (uint64_t id = 1; id <= 598; ++id) {
        ASSERT_EQ(speculo_seek(reader, id), 0);
        speculo_chunk chunk{};
        ASSERT_EQ(speculo_read_next(reader, &chunk), 1);
        EXPECT_EQ(chunk.id, (id + 1) / 3 * 3 + 1);
    }
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), -ENOENT);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 598), 0);
}

// What has a deadline is looked at one by one.
TEST_F(Compact, P10_nothing_is_left_behind_because_a_frame_is_damaged) {
    uint64_t id = commit_chunk(writer_, "damaged", living(3600 * 1000 * ms)), last = commit_chunk(writer_, "behind");
    SegmentProbe probe = current_segment(name_);
    core::Shared<uint32_t> &word = probe.frame_of(id).commit;
    uint32_t right = core::peek(word);
    core::put(word, 1u << 20);
    EXPECT_EQ(speculo_area_compact(writer_), -EBADMSG);
    EXPECT_EQ(generation(), 1u);
    core::put(word, right);
    compact_now(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{id, last}));
}

// ---- when -------------------------------------------------------------------------------------------------------------------

TEST_F(Compact, alloc_compacts_only_when_the_segment_is_full) {
    size_t count = fill_segment(writer_, 1000, transient()).size();
    EXPECT_GT(count, 60u);
    EXPECT_EQ(generation(), 1u);
    commit_chunk(writer_, std::string(1000, 'x'), transient());
    EXPECT_EQ(generation(), 2u);
    EXPECT_EQ(live_ids(name_), (Ids{count + 1}));
}

TEST_F(Compact, alloc_does_not_compact_if_the_request_then_would_not_fit) {
    commit_chunk(writer_, std::string(40000, 'a'));
    commit_chunk(writer_, std::string(10000, 'b'), transient());
    EXPECT_EQ(try_alloc(writer_, 30000), -ENOSPC);
    EXPECT_EQ(generation(), 1u);
    EXPECT_EQ(live_ids(name_), (Ids{1, 2}));
    EXPECT_EQ(try_alloc(writer_, 20000), 0); // the transient one makes room
    EXPECT_EQ(generation(), 2u);
}

TEST_F(Compact, compact_percent_compacts_early) {
    AreaOptions options;
    options.compact_percent = 50;
    reopen(options);
    commit_chunk(writer_, std::string(8000, 'l'));
    uint64_t generations = generation();
    for (int i = 0; i < 3; ++i) { commit_key(writer_, "k", std::string(2400, 'k')); } // dead: 4800 of 15000
    EXPECT_EQ(generation(), generations);                                             // and not a quarter used either
    while (generation() == generations) {
        core::Writer &writer = inside(writer_);
        ASSERT_LT(writer.tail, writer.current->map.geometry.chunk_end / 2);
        bool is_worth = writer.tail >= writer.current->map.geometry.chunk_end / 4 && writer.dead * 2 >= writer.tail;
        commit_key(writer_, "k", std::string(2400, 'k'));
        EXPECT_EQ(generation() > generations, is_worth);
    }
    EXPECT_EQ(info_of(writer_).superseded_chunks, 1u); // by the one that is behind the copies
    EXPECT_EQ(value_of(name_, "k"), std::string(2400, 'k'));
}

TEST_F(Compact, compact_percent_waits_until_a_quarter_is_used) {
    AreaOptions options;
    options.compact_percent = 1;
    reopen(options);
    while (inside(writer_).tail < inside(writer_).current->map.geometry.chunk_end / 4) {
        ASSERT_EQ(generation(), 1u);
        commit_key(writer_, "k", std::string(1000, 'k'));
    }
    EXPECT_EQ(generation(), 1u);
    commit_key(writer_, "k", "next");
    EXPECT_EQ(generation(), 2u);
}

TEST_F(Compact, compact_percent_counts_what_was_dead_before_a_takeover) {
    for (int i = 0; i < 20; ++i) { commit_key(writer_, "k", std::string(1000, 'k')); }
    uint64_t dead = inside(writer_).dead;
    EXPECT_EQ(dead, 19u * 65);
    AreaOptions options;
    options.compact_percent = 90;
    reopen(options);
    EXPECT_EQ(inside(writer_).dead, dead);
    commit_chunk(writer_, "x");
    EXPECT_EQ(generation(), 2u);
}

// ---- how large --------------------------------------------------------------------------------------------------------------

TEST_F(Compact, grows_up_to_max_capacity) {
    AreaOptions options;
    options.max_capacity = 5 * small;
    reopen(options);
    std::vector<uint64_t> capacities{capacity()};
    Ids ids;
    for (;;) {
        void *data = nullptr;
        uint64_t id = 0;
        if (int error = speculo_chunk_alloc(writer_, 5000, nullptr, &data, &id); error < 0) {
            EXPECT_EQ(error, -ENOSPC);
            break;
        }
        commit(writer_);
        ids.push_back(id);
        if (capacity() != capacities.back()) {
            uint64_t used = info_of(writer_).used;
            if (capacity() < 5 * small) { EXPECT_LE(2 * used, capacity()); } // half is free
            capacities.push_back(capacity());
        }
    }
    EXPECT_EQ(capacities, (Ids{small, 4 * small, 5 * small}));
    EXPECT_EQ(live_ids(name_), ids);
    EXPECT_EQ(ids.size(), 5 * small / 5024); // with its header a chunk takes 5024 bytes at least
}

TEST_F(Compact, doubles_until_the_request_fits) {
    AreaOptions options;
    options.max_capacity = 64 * small;
    reopen(options);
    commit_chunk(writer_, "x");
    commit_chunk(writer_, std::string(3 * small, 'y'));
    EXPECT_EQ(generation(), 2u);
    EXPECT_EQ(capacity(), 8 * small); // half is free
    EXPECT_EQ(live_ids(name_), (Ids{1, 2}));
}

TEST_F(Compact, halves_after_quiet_generations_but_not_below_capacity) {
    AreaOptions options;
    options.max_capacity = 16 * small;
    reopen(options);
    commit_chunk(writer_, std::string(6 * small, 'x'));
    ASSERT_EQ(capacity(), 16 * small);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    commit(writer_);
    commit_chunk(writer_, "live");
    std::vector<uint64_t> capacities;
    for (int i = 0; i < 24; ++i) {
        compact_now(writer_);
        if (capacities.empty() || capacities.back() != capacity()) { capacities.push_back(capacity()); }
        if (i < 2) { EXPECT_EQ(capacity(), 16 * small); } // one quiet generation is not several
    }
    EXPECT_EQ(capacities, (Ids{16 * small, 8 * small, 4 * small, 2 * small, small}));
    EXPECT_EQ(live_ids(name_), (Ids{2}));
}

TEST_F(Compact, busy_generation_puts_halving_off) {
    AreaOptions options;
    options.max_capacity = 4 * small;
    reopen(options);
    commit_chunk(writer_, std::string(small + 100, 'x'));
    ASSERT_EQ(capacity(), 4 * small);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    commit(writer_);
    for (int round = 0; round < 4; ++round) {
        compact_now(writer_), compact_now(writer_);
        EXPECT_EQ(capacity(), 4 * small);
        uint64_t id = commit_chunk(writer_, std::string(small + 100, 'x')); // more than a quarter
        compact_now(writer_);
        EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
        commit(writer_);
    }
    EXPECT_EQ(capacity(), 4 * small);
}

TEST_F(Compact, new_capacity_holds_from_the_next_compaction_on) {
    commit_chunk(writer_, std::string(3 * 4096, 'x'));
    AreaOptions larger(4 * small);
    reopen(larger);
    EXPECT_EQ(capacity(), small);
    EXPECT_EQ(info_of(writer_).capacity, small);
    compact_now(writer_);
    EXPECT_EQ(capacity(), 4 * small);
    AreaOptions smaller(4096);
    smaller.max_capacity = 8192;
    reopen(smaller);
    compact_now(writer_);
    EXPECT_GE(capacity(), 4 * 4096u); // never below what is live
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(try_alloc(writer_, 4 * small), -EMSGSIZE);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    commit(writer_);
    compact_now(writer_);
    EXPECT_EQ(capacity(), 8192u);
}

// ---- keys -------------------------------------------------------------------------------------------------------------------

TEST_F(Compact, key_table_grows_when_three_quarters_are_taken) {
    ASSERT_EQ(table_slots(), small / 1024);
    for (int i = 0; i < 48; ++i) { put_key(writer_, "k" + std::to_string(i), "v" + std::to_string(i)); }
    EXPECT_EQ(generation(), 1u); // pending ones count, and this is three quarters
    put_key(writer_, "one", "more");
    EXPECT_EQ(generation(), 2u);
    EXPECT_EQ(table_slots(), 128u); // at least twice the keys
    commit(writer_);
    for (int i = 0; i < 48; ++i) { EXPECT_EQ(value_of(name_, "k" + std::to_string(i)), "v" + std::to_string(i)); }
    EXPECT_EQ(value_of(name_, "one"), "more");
    compact_now(writer_);
    EXPECT_EQ(table_slots(), 128u); // segments of one size follow each other
    EXPECT_EQ(inside(writer_).keys, 49u);
}

TEST_F(Compact, keys_that_are_gone_free_their_slots) {
    for (int i = 0; i < 500; ++i) {
        std::string key = "k" + std::to_string(i);
        commit_key(writer_, key, "v");
        EXPECT_EQ(remove_key(writer_, key), 0);
        commit(writer_);
        ASSERT_LE(inside(writer_).keys, table_slots() * 3 / 4);
    }
    EXPECT_GT(generation(), 5u);
    EXPECT_EQ(table_slots(), small / 1024);
    compact_now(writer_);
    EXPECT_EQ(inside(writer_).keys, 0u);
}

TEST_F(Compact, many_keys_are_all_found) {
    AreaOptions options;
    options.max_capacity = 16 * small;
    reopen(options);
    for (int i = 0; i < 3000; ++i) { put_key(writer_, std::to_string(i), std::to_string(i * 7)); }
    commit(writer_);
    for (int i = 0; i < 3000; i += 3) { put_key(writer_, std::to_string(i), "new"); }
    commit(writer_);
    compact_now(writer_);
    EXPECT_GE(table_slots(), 6000u);
    Handle reader = open_reader(name_);
    for (int i = 0; i < 3000; ++i) { EXPECT_EQ(value_of(reader, std::to_string(i)), i % 3 ? std::to_string(i * 7) : "new"); }
    EXPECT_EQ(value_of(reader, "3000"), no_value);
}

} // namespace
