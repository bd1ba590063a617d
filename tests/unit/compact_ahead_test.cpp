// SPDX-License-Identifier: LGPL-2.1-or-later
// A compaction that is spread over the calls before it: how much each does, and what happens to what was copied already.
#include "compact.hpp"

#include <cerrno>

#include <map>
#include <random>

#include <unistd.h>

#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 1 << 20;
constexpr size_t size = 1000; // of a payload

class CompactAhead : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, capacity);

    core::Writer &inner() { return inside(writer_); }
    bool is_begun() { return inner().copy.segment != nullptr; }
    uint64_t generation() { return inner().current->generation; }

    // Commits something that does not last until the next segment has been begun.
    void fill_until_begun() {
        uint64_t before = generation();
        while (!is_begun() && generation() == before) { commit_chunk(writer_, std::string(size, 't'), transient()); }
        ASSERT_TRUE(is_begun());
    }
    void fill_until_copied() {
        fill_until_begun();
        while (is_begun() && left_to_copy() > 0) { commit_chunk(writer_, std::string(size, 't'), transient()); }
        ASSERT_TRUE(is_begun());
    }
    // Until the writer goes on in that segment.
    void fill_until_switched() {
        core::WriterSegment *next = inner().copy.segment;
        ASSERT_TRUE(next);
        while (is_begun()) { commit_chunk(writer_, std::string(size, 't'), transient()); }
        EXPECT_EQ(inner().current, next); // else what was copied was thrown away
    }
    std::vector<Seen> lasting_chunks() {
        std::vector<Seen> all = live_chunks(name_);
        auto is_transient = [](const Seen &one) { return one.flags & SPECULO_CHUNK_TRANSIENT; };
        all.erase(std::remove_if(all.begin(), all.end(), is_transient), all.end());
        return all;
    }
    Ids lasting_ids() { return ids_of(lasting_chunks()); }
    uint64_t left_to_copy() { // places
        return inner().lasting.end > inner().copy.looked ? inner().lasting.end - inner().copy.looked : 0;
    }
    Ids commit_lasting(int count) {
        Ids ids;
        for (int i = 0; i < count; ++i) { ids.push_back(commit_chunk(writer_, std::string(size, char('a' + i % 26)))); }
        return ids;
    }
};

// ---- how much is done when -----------------------------------------------------------------------------------------------------

TEST_F(CompactAhead, no_alloc_does_more_than_its_share) {
    Ids ids = commit_lasting(400);
    for (int round = 0; round < 5; ++round) {
        uint64_t most = 0, before = generation(), last_left = UINT64_MAX;
        while (generation() == before) {
            uint32_t copied = inner().copy.tail;
            if (is_begun()) { last_left = left_to_copy(); }
            commit_chunk(writer_, std::string(size, 't'), transient());
            if (is_begun() && copied != 0) { most = std::max<uint64_t>(most, inner().copy.tail - copied); }
        }
        uint64_t share = 400 * size / core::place_size / 8; // of all that there is to copy
        EXPECT_GT(most, 0u);
        EXPECT_LT(most, share);
        EXPECT_LT(last_left, share) << "round " << round; // what the switch had to do at once
        EXPECT_EQ(lasting_ids(), ids);
    }
}

TEST_F(CompactAhead, little_is_copied_at_once) {
    commit_lasting(10);
    for (int round = 0; round < 5; ++round) {
        uint64_t before = generation();
        while (generation() == before) {
            EXPECT_FALSE(is_begun());
            commit_chunk(writer_, std::string(size, 't'), transient());
        }
    }
    EXPECT_EQ(lasting_ids().size(), 10u);
}

TEST_F(CompactAhead, a_stream_of_transient_chunks_is_not_even_looked_at) {
    Ids ids = commit_lasting(20);
    uint64_t end = inner().lasting.end;
    fill_segment(writer_, size, transient());
    EXPECT_EQ(inner().lasting.end, end);
    EXPECT_EQ(inner().lasting.keys, 0u);
    compact_now(writer_);
    EXPECT_EQ(lasting_ids(), ids);
}

TEST_F(CompactAhead, what_comes_late_is_begun_late) {
    fill_segment(writer_, capacity / 32, transient());
    compact_now(writer_);
    uint64_t before = generation();
    while (inner().tail < inner().current->map.geometry.chunk_end * 3 / 4) {
        commit_chunk(writer_, std::string(size, 't'), transient());
    }
    Ids ids = commit_lasting(60);
    fill_until_begun();
    EXPECT_EQ(generation(), before);
    fill_until_switched();
    EXPECT_EQ(lasting_ids(), ids);
}

TEST_F(CompactAhead, grows_ahead) {
    AreaOptions options(capacity);
    options.max_capacity = 4 * capacity;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    Ids ids;
    auto commit_one = [&](int i) {
        uint64_t id = commit_chunk(writer_, std::string(size, 'l'), i % 2 ? transient() : ChunkOptions());
        if (i % 2 == 0) { ids.push_back(id); }
    };
    for (uint64_t wanted : {2 * capacity, 4 * capacity}) { // as is foreseen: not all of it lasts yet
        for (int i = 0; !is_begun(); ++i) { commit_one(i); }
        EXPECT_EQ(inner().copy.segment->map.geometry.capacity, wanted);
        for (int i = 0; is_begun(); ++i) { commit_one(i); }
        EXPECT_EQ(inner().current->map.geometry.capacity, wanted);
        EXPECT_EQ(lasting_ids(), ids);
    }
}

// It is begun again and again, or at the latest done at once.
TEST(CompactAheadFaults, a_beginning_that_fails_changes_nothing) {
    Faults faults;
    AreaName name;
    AreaOptions options(capacity);
    options.segments = 16; // so that each compaction makes another one
    Handle writer = make_area(name, options);
    for (int i = 0; i < 300; ++i) { commit_chunk(writer, std::string(size, 'l')); }
    size_t tried = 0;
    for (Site site : {Site::allocate, Site::create_unnamed, Site::link, Site::set_mode, Site::map, Site::random}) {
        uint64_t before = inside(writer).current->generation;
        size_t files = name.files().size();
        bool fired = false;
        while (!inside(writer).copy.segment && inside(writer).current->generation == before) {
            faults.reset_counts();
            if (!fired) { faults.fail(site, 1, ENOMEM); }
            EXPECT_NE(commit_chunk(writer, std::string(size, 't'), transient()), 0u) << site_name(site);
            if (!fired && faults.fired()) { EXPECT_EQ(name.files().size(), files) << site_name(site); }
            fired |= faults.fired();
            faults.heal();
        }
        tried += fired;
        while (inside(writer).current->generation == before) { commit_chunk(writer, std::string(size, 't'), transient()); }
        compact_now(writer);
        EXPECT_EQ(live_ids(name).size(), 300u);
    }
    EXPECT_GT(tried, 4u);
    writer.close();
    EXPECT_EQ(faults.leaks(), "");
}

// Meanwhile there is more to copy than at the beginning, and no memory for it.
TEST(CompactAheadFaults, P9_a_copy_that_runs_out_of_memory_is_given_up) {
    Faults faults;
    AreaName name;
    AreaOptions options(capacity);
    options.prefault = capacity; // so that allocating takes no more of it
    Handle writer = make_area(name, options);
    Ids ids;
    auto commit_lasting = [&] { ids.push_back(commit_chunk(writer, std::string(size, 'l'))); };
    for (int i = 0; i < 50; ++i) { commit_lasting(); }
    while (!inside(writer).copy.segment) { commit_chunk(writer, std::string(size, 't'), transient()); }
    faults.reset_counts();
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    while (inside(writer).copy.segment) { commit_lasting(); }
    EXPECT_EQ(inside(writer).current->generation, 1u);
    EXPECT_GT(faults.fired(), 0u);
    faults.heal();
    EXPECT_EQ(live_ids(name).back(), ids.back());
    while (inside(writer).current->generation == 1) { commit_chunk(writer, std::string(size, 't'), transient()); }
    compact_now(writer); // what is transient goes
    EXPECT_EQ(live_ids(name), ids);
    writer.close();
    EXPECT_EQ(faults.leaks(), "");
}

// The copy is complete, but there is no memory behind it for the chunk that does not fit here any more.
TEST(CompactAheadFaults, P9_a_copy_without_memory_for_what_follows_is_given_up) {
    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Ids ids;
    for (int i = 0; i < 50; ++i) { ids.push_back(commit_chunk(writer, std::string(size, 'l'))); }
    while (!inside(writer).copy.segment || inside(writer).copy.looked < inside(writer).lasting.end) {
        commit_chunk(writer, std::string(size, 't'), transient());
    }
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    EXPECT_EQ(try_alloc(writer, capacity / 2), -ENOSPC);
    EXPECT_EQ(inside(writer).current->generation, 1u);
    faults.heal();
    ids.push_back(commit_chunk(writer, std::string(capacity / 2, 'l')));
    EXPECT_EQ(inside(writer).current->generation, 2u);
    EXPECT_EQ(live_ids(name), ids);
}

TEST_F(CompactAhead, compact_now_uses_what_was_begun) {
    Ids ids = commit_lasting(400);
    fill_until_begun();
    core::WriterSegment *next = inner().copy.segment;
    compact_now(writer_);
    EXPECT_EQ(inner().current, next);
    EXPECT_FALSE(is_begun());
    EXPECT_EQ(lasting_ids(), ids);
}

TEST_F(CompactAhead, compact_percent_begins_at_once_and_switches_when_all_is_copied) {
    AreaOptions options(capacity);
    options.compact_percent = 30;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    Ids ids = commit_lasting(200);
    for (int i = 0; !is_begun(); ++i) { commit_key(writer_, "key", std::string(size, 'k')); }
    EXPECT_LT(inner().tail, capacity / core::place_size / 2);
    EXPECT_FALSE(core::copy_is_complete(inner()));
    fill_until_switched();
    EXPECT_LT(inner().tail, capacity / core::place_size / 2); // it did not wait until the segment was full
    ids.push_back(ids_of(lasting_chunks()).back());
    EXPECT_EQ(lasting_ids(), ids);
}

TEST_F(CompactAhead, compact_percent_hurries_what_was_begun) {
    AreaOptions options(capacity);
    options.compact_percent = 50;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    commit_lasting(60);
    Ids passing;
    for (int i = 0; i < 400; ++i) { passing.push_back(commit_chunk(writer_, std::string(size, 't'), transient())); }
    fill_until_begun();
    for (int i = 0; i < 30; ++i) { put_chunk(writer_, std::string(size, 'r')); }
    EXPECT_EQ(speculo_rollback(writer_), 0);
    for (uint64_t id : passing) { EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0); }
    commit(writer_);
    core::WriterSegment *next = inner().copy.segment;
    uint32_t looked = inner().copy.looked;
    commit_chunk(writer_, std::string(size, 't'), transient());
    EXPECT_EQ(inner().copy.segment, next);
    EXPECT_EQ(inner().copy.looked, looked); // what was rolled back has done that share
    EXPECT_TRUE(inner().copy.is_impatient);
    uint64_t left = inner().current->map.geometry.chunk_end - inner().tail, before = inner().next_id;
    fill_until_switched();
    EXPECT_LT((inner().next_id - before) * size / core::place_size, left * 3 / 4); // it did not wait until the segment was full
    EXPECT_EQ(lasting_ids().size(), 60u);
}

// As if nothing had been committed since the switch, though there is more to copy.
TEST_F(CompactAhead, P10_a_damaged_end_of_the_prefix_foretells_nothing) {
    Ids ids = commit_lasting(60);
    while (!is_begun()) {
        core::put(inner().current->map.header().prefix_end, inner().committed);
        commit_chunk(writer_, std::string(size, 't'), transient());
    }
    fill_until_switched();
    EXPECT_EQ(lasting_ids(), ids);
}

// ---- what was begun will not do --------------------------------------------------------------------------------------------

TEST_F(CompactAhead, P5_a_smaller_segment_is_given_up_when_more_is_to_last) {
    AreaOptions options(capacity / 8);
    options.max_capacity = capacity / 8;
    writer_.close();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    Ids ids = commit_lasting(20);
    fill_until_begun();
    EXPECT_EQ(inner().copy.segment->map.geometry.capacity, capacity / 8);
    uint64_t before = generation();
    for (uint64_t id : commit_lasting(150)) { ids.push_back(id); }
    EXPECT_EQ(generation(), before);
    compact_now(writer_);
    EXPECT_EQ(inner().current->map.geometry.capacity, capacity);
    EXPECT_EQ(lasting_ids(), ids);
}

// A key table that has become far too large is followed by a small one, which many keys may come too late for.
TEST(CompactAheadKeys, P5_a_smaller_table_is_given_up_when_there_are_more_keys) {
    for (bool wait : {false, true}) { // for the commit
        AreaName name;
        Handle writer = make_area(name, capacity / 8);
        auto key = [](int i) { return "key " + std::to_string(i); };
        for (int i = 0; i < 800; ++i) { commit_key(writer, key(i), ""); }
        for (int i = 0; i < 800; ++i) { EXPECT_EQ(remove_key(writer, key(i)), 0); }
        for (int i = 0; i < 20; ++i) { commit_chunk(writer, std::string(size, 'l')); }
        while (!inside(writer).copy.segment) { commit_chunk(writer, std::string(size, 't'), transient()); }
        uint64_t slots = inside(writer).copy.segment->map.geometry.table_slots, before = inside(writer).current->generation;
        EXPECT_LT(slots, 200u);
        for (int i = 0; i < 200; ++i) { wait ? put_key(writer, key(i), "new") : commit_key(writer, key(i), "new"); }
        EXPECT_EQ(inside(writer).current->generation, before);
        while (inside(writer).current->generation == before) { put_chunk(writer, std::string(size, 't'), transient()); }
        commit(writer);
        EXPECT_GT(inside(writer).current->map.geometry.table_slots, slots);
        Handle reader = open_reader(name);
        for (int i = 0; i < 200; ++i) { ASSERT_EQ(value_of(reader, key(i)), "new") << i; }
        compact_now(writer);
        EXPECT_EQ(live_ids(name).size(), 220u);
    }
}

// ---- what was copied already ends ------------------------------------------------------------------------------------------------

TEST_F(CompactAhead, P5_a_copy_whose_original_ends_is_dead) {
    Ids ids = commit_lasting(400);
    commit_key(writer_, "updated", std::string(size, 'o')), commit_key(writer_, "removed", "gone"),
        commit_key(writer_, "kept", "k");
    fill_until_copied();
    uint64_t heir = commit_chunk(writer_, "heir", superseding(ids[1]));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, ids[3]), 0);
    EXPECT_EQ(remove_key(writer_, "removed"), 0);
    commit(writer_);
    for (int i = 0; i < 3; ++i) { commit_key(writer_, "updated", "new " + std::to_string(i)); }
    std::vector<Seen> before = lasting_chunks();
    fill_until_switched();
    EXPECT_TRUE(lasting_chunks() == before);
    EXPECT_EQ(before.size(), 400u + 3 - 2); // two of 400 and a key less; the heir is more
    Handle reader = open_reader(name_);
    EXPECT_EQ(value_of(reader, "updated"), "new 2");
    EXPECT_EQ(value_of(reader, "removed"), no_value);
    EXPECT_EQ(value_of(reader, "kept"), "k");
    EXPECT_TRUE(read_all(reader).front() == before.front());
    EXPECT_EQ(remove_key(writer_, "removed"), -ENOENT);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, ids[3]), -ENOENT);
    commit_key(writer_, "removed", "back"), commit_key(writer_, "updated", "newest");
    uint64_t last = commit_chunk(writer_, "heir of the heir", superseding(heir));
    EXPECT_EQ(lasting_ids().back(), last);
    compact_now(writer_);
    EXPECT_EQ(lasting_chunks().size(), before.size() + 1);
    EXPECT_EQ(value_of(name_, "updated"), "newest");
    EXPECT_EQ(value_of(name_, "removed"), "back");
}

// The key's copy is that of a version which ended before: it is not counted out once more with a later one that was passed over.
TEST_F(CompactAhead, P5_a_copy_ends_with_its_own_original) {
    commit_lasting(400);
    commit_key(writer_, "k", "copied");
    fill_until_copied();
    put_key(writer_, "k", "passed over", transient());
    commit(writer_);
    EXPECT_GT(inner().copy.dead, 0u);
    uint32_t passed_over = inner().committed;
    commit_lasting(1);
    while (is_begun() && inner().copy.looked < passed_over) { commit_chunk(writer_, std::string(size, 't'), transient()); }
    ASSERT_TRUE(is_begun());
    uint64_t dead = inner().copy.dead, chunks = inner().copy.lasting.chunks;
    commit_key(writer_, "k", "newest");
    EXPECT_EQ(inner().copy.dead, dead);
    EXPECT_EQ(inner().copy.lasting.chunks, chunks);
    fill_until_switched();
    EXPECT_EQ(value_of(name_, "k"), "newest");
    EXPECT_EQ(lasting_ids().size(), 402u);
}

TEST_F(CompactAhead, the_next_writer_finds_the_same) {
    Ids ids = commit_lasting(400);
    fill_until_copied();
    EXPECT_EQ(speculo_chunk_obsolete(writer_, ids[0]), 0);
    commit(writer_);
    fill_until_switched();
    core::Lasting lasting = inner().lasting;
    uint64_t dead = inner().dead;
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(inner().lasting.places, lasting.places);
    EXPECT_EQ(inner().lasting.keys, lasting.keys);
    EXPECT_EQ(inner().dead, dead);
    EXPECT_EQ(lasting_ids(), Ids(ids.begin() + 1, ids.end()));
}

TEST_F(CompactAhead, what_was_begun_is_of_no_consequence_if_the_writer_goes) {
    Ids ids = commit_lasting(400);
    fill_until_begun();
    uint64_t before = generation();
    writer_.close();
    EXPECT_EQ(lasting_ids(), ids);
    writer_ = open_writer(name_);
    EXPECT_EQ(generation(), before);
    fill_until_begun();
    fill_until_switched();
    EXPECT_EQ(lasting_ids(), ids);
    EXPECT_LE(info_of(writer_).segments, 3u);
}

TEST_F(CompactAhead, rollback_takes_nothing_from_it) {
    Ids ids = commit_lasting(400);
    fill_until_begun();
    for (int i = 0; i < 20; ++i) { put_chunk(writer_, std::string(size, 'r')); }
    EXPECT_EQ(speculo_rollback(writer_), 0);
    fill_until_switched();
    EXPECT_EQ(lasting_ids(), ids);
}

// ---- a commit in its middle --------------------------------------------------------------------------------------------------------

TEST_F(CompactAhead, P2_a_commit_may_span_the_switch) {
    Ids ids = commit_lasting(400);
    commit_key(writer_, "key", "old");
    fill_until_copied();
    put_key(writer_, "key", "new");
    uint64_t heir = put_chunk(writer_, "heir", superseding(ids[0]));
    put_chunk(writer_, "heir of the heir", superseding(heir));
    EXPECT_EQ(speculo_chunk_obsolete(writer_, ids[1]), 0);
    core::WriterSegment *next = inner().copy.segment;
    while (is_begun()) { put_chunk(writer_, std::string(size, 't'), transient()); }
    EXPECT_EQ(inner().current, next);
    EXPECT_EQ(lasting_ids().size(), 401u);
    EXPECT_EQ(value_of(name_, "key"), "old");
    commit(writer_);
    EXPECT_EQ(value_of(name_, "key"), "new");
    EXPECT_EQ(lasting_ids().front(), ids[2]);
    EXPECT_EQ(lasting_ids().size(), 400u);
}

// Both supersede a chunk that was passed over, so that only the later one may be live.
TEST_F(CompactAhead, P2_two_superseders_of_what_was_passed_over_are_not_both_live) {
    commit_lasting(400);
    uint64_t passing = commit_chunk(writer_, "passing", transient());
    fill_until_copied();
    uint64_t first = put_chunk(writer_, "first", superseding(passing));
    uint64_t before = generation();
    while (generation() == before) { put_chunk(writer_, std::string(size, 't'), transient()); }
    uint64_t second = put_chunk(writer_, "second", superseding(passing));
    commit(writer_);
    Ids live = live_ids(name_);
    EXPECT_EQ(std::count(live.begin(), live.end(), first), 0);
    EXPECT_EQ(std::count(live.begin(), live.end(), second), 1);
}

// The same where the first of them is what makes the area compact.
TEST_F(CompactAhead, P2_what_was_passed_over_comes_along_if_it_is_to_be_superseded) {
    commit_lasting(400);
    uint64_t passing = commit_chunk(writer_, "passing", transient());
    fill_until_copied();
    while (inner().tail + 2 * size / core::place_size < inner().current->map.geometry.chunk_end) {
        commit_chunk(writer_, std::string(size, 't'), transient());
    }
    ASSERT_TRUE(is_begun());
    uint64_t before = generation(), first = put_chunk(writer_, std::string(3 * size, 'f'), superseding(passing));
    EXPECT_EQ(generation(), before + 1);
    uint64_t second = put_chunk(writer_, "second", superseding(passing));
    commit(writer_);
    Ids live = live_ids(name_);
    EXPECT_EQ(std::count(live.begin(), live.end(), first), 0);
    EXPECT_EQ(std::count(live.begin(), live.end(), second), 1);
}

TEST_F(CompactAhead, nothing_is_begun_in_an_area_that_was_removed) {
    commit_lasting(400);
    for (const std::string &file : name_.files()) { unlink((area_directory() + ("/" + file)).c_str()); }
    while (inner().tail + 100 < inner().current->map.geometry.chunk_end) {
        ASSERT_NE(commit_chunk(writer_, std::string(size, 't'), transient()), 0u);
    }
    EXPECT_EQ(name_.files().size(), 0u); // no object that nobody would ever find
    EXPECT_EQ(try_alloc(writer_, size), -ESTALE);
}

// ---- what is not to be had ---------------------------------------------------------------------------------------------------------

TEST(CompactAheadClock, what_lasts_longer_than_last_time_is_copied_at_once) {
    Faults faults;
    AreaName name;
    AreaOptions options(capacity);
    options.max_capacity = 4 * capacity;
    Handle writer = make_area(name, options);
    Ids ids;
    for (int i = 0; i < 2500; ++i) { ids.push_back(commit_chunk(writer, std::string(size, 'l'), living(3600 * 1000 * ms))); }
    EXPECT_EQ(live_ids(name), ids);
    EXPECT_EQ(inside(writer).current->map.geometry.capacity, 4 * capacity);
    faults.clock.jump(2 * 3600 * 1000 * ms);
    for (int i = 0; i < 10000; ++i) { // gone soon, but not known to be
        commit_chunk(writer, std::string(size, 's'), living(ms));
        if (i % 100 == 0) { faults.clock.jump(100 * ms); }
    }
    EXPECT_EQ(inside(writer).lasting.expires, true);
    faults.clock.jump(1000 * ms);
    compact_now(writer);
    EXPECT_EQ(live_ids(name), Ids());
    EXPECT_EQ(inside(writer).lasting.places, 0u);
}

#if !defined(SPECULO_PORTABLE)
TEST(CompactAheadLossless, P4_a_cursor_delays_the_beginning_not_the_alloc) {
    AreaName name;
    AreaOptions options(capacity);
    options.flags = SPECULO_AREA_LOSSLESS;
    options.segments = 2;
    Handle writer = make_area(name, options);
    for (int i = 0; i < 300; ++i) { commit_chunk(writer, std::string(size, 'l')); }
    Handle reader = open_reader(name);
    uint64_t before = inside(writer).current->generation;
    compact_now(writer);
    while (inside(writer).tail + 100 < inside(writer).current->map.geometry.chunk_end) {
        ASSERT_NE(commit_chunk(writer, std::string(size, 't'), transient()), 0u);
        EXPECT_FALSE(inside(writer).copy.segment); // the only other one has the reader in it
    }
    EXPECT_EQ(try_alloc(writer, size), -EAGAIN);
    EXPECT_EQ(inside(writer).current->generation, before + 1);
    EXPECT_GE(read_all(reader).size(), 900u);
    EXPECT_EQ(try_alloc(writer, size), 0);
    EXPECT_EQ(inside(writer).current->generation, before + 2);
}
#endif

// ---- anything --------------------------------------------------------------------------------------------------------------------

// Keys and single chunks come, change and go, for many rounds of segments; the area must hold what a map of all that is live says.
TEST_F(CompactAhead, P5_whatever_happens_meanwhile) {
    std::mt19937_64 dice(4711);
    std::map<std::string, uint64_t> keys;
    std::map<uint64_t, bool> loose; // live chunks without a key
    for (int i = 0; i < 6000; ++i) {
        std::string key = "key " + std::to_string(dice() % 150);
        switch (dice() % 8) {
        case 0: loose[commit_chunk(writer_, std::string(dice() % 3000, 'c'))] = true; break;
        case 1:
            if (keys.erase(key)) { EXPECT_EQ(remove_key(writer_, key), 0); }
            commit(writer_);
            break;
        case 2:
            if (loose.size() > 50) {
                auto chosen = std::next(loose.begin(), int64_t(dice() % loose.size()));
                bool replaces = dice() % 2;
                if (replaces) { loose[commit_chunk(writer_, "heir", superseding(chosen->first))] = true; }
                if (!replaces) { EXPECT_EQ(speculo_chunk_obsolete(writer_, chosen->first), 0); }
                commit(writer_);
                loose.erase(chosen);
            }
            break;
        case 3: commit_chunk(writer_, std::string(dice() % 5000, 't'), transient()); break;
        default: keys[key] = commit_key(writer_, key, std::string(dice() % 2000, 'k'));
        }
        while (loose.size() > 200) {
            EXPECT_EQ(speculo_chunk_obsolete(writer_, loose.begin()->first), 0);
            commit(writer_);
            loose.erase(loose.begin());
        }
        if (i % 100 != 99) { continue; }
        Ids expected;
        for (const auto &[name, id] : keys) { expected.push_back(id); }
        for (const auto &[id, is_live] : loose) { expected.push_back(id); }
        std::sort(expected.begin(), expected.end());
        ASSERT_EQ(lasting_ids(), expected) << "after " << i;
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
    }
    EXPECT_GT(generation(), 5u);
}

} // namespace
