// SPDX-License-Identifier: LGPL-2.1-or-later
// What is live at the newest commit: by key, and by id.
#include <gtest/gtest.h>

#include "faults.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;

speculo_chunk view_of(speculo_area *reader, const std::string &key) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(reader, key.data(), key.size(), &chunk), 1) << key;
    return chunk;
}

speculo_chunk next_of(speculo_area *reader) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
    return chunk;
}

class Lookup : public testing::Test {
protected:
    void remove(const std::string &key) {
        EXPECT_EQ(remove_key(writer, key), 0);
        commit(writer);
    }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

// ---- by key -----------------------------------------------------------------------------------------------------------------

TEST_F(Lookup, finds_the_newest_version) {
    EXPECT_EQ(value_of(reader, "k"), no_value);
    for (int i = 0; i < 30; ++i) {
        std::string text = std::to_string(i);
        uint64_t id = commit_key(writer, "k", text);
        commit_key(writer, "other" + text, "x");
        speculo_chunk view = view_of(reader, "k");
        EXPECT_EQ(view.id, id);
        EXPECT_EQ(seen(view).payload, text);
        EXPECT_EQ(seen(view).key, "k");
        if (i % 10 == 9) { compact_now(writer); }
    }
}

TEST_F(Lookup, keys_of_all_sizes_and_bytes_are_told_apart) {
    std::vector<std::string> keys = {std::string(1, '\0'), std::string(2, '\0'), "a", "b", "ab", "ba", "abcdefgh", "abcdefg"};
    for (size_t size : {8u, 9u, 15u, 16u, 17u, 255u}) {
        keys.push_back(std::string(size, 'k'));
        keys.push_back(std::string(size - 1, 'k') + '\xff');
    }
    for (const std::string &key : keys) { commit_key(writer, key, "value of " + key); }
    for (const std::string &key : keys) { EXPECT_EQ(value_of(reader, key), "value of " + key); }
    compact_now(writer);
    for (const std::string &key : keys) { EXPECT_EQ(value_of(reader, key), "value of " + key); }
    EXPECT_EQ(value_of(reader, "a prefix"), no_value);
}

TEST_F(Lookup, many_keys_make_the_table_grow) {
    for (int i = 0; i < 200; ++i) { commit_key(writer, std::to_string(i), std::to_string(i * i)); }
    for (int i = 0; i < 200; ++i) { EXPECT_EQ(value_of(reader, std::to_string(i)), std::to_string(i * i)); }
    EXPECT_GT(info_of(reader).generation, 1u);
}

TEST_F(Lookup, finds_nothing_after_a_removal_until_the_key_is_there_again) {
    commit_key(writer, "k", "one");
    EXPECT_EQ(value_of(reader, "k"), "one");
    remove("k");
    EXPECT_EQ(value_of(reader, "k"), no_value);
    commit_key(writer, "k", "two");
    EXPECT_EQ(value_of(reader, "k"), "two");
    remove("k");
    compact_now(writer);
    EXPECT_EQ(value_of(reader, "k"), no_value);
    commit_key(writer, "k", "three");
    EXPECT_EQ(value_of(reader, "k"), "three");
}

TEST_F(Lookup, finds_nothing_once_the_chunk_was_ended_otherwise) {
    uint64_t a = commit_key(writer, "k", "one");
    EXPECT_EQ(speculo_chunk_obsolete(writer, a), 0);
    commit(writer);
    EXPECT_EQ(value_of(reader, "k"), no_value);
    uint64_t b = commit_key(writer, "k", "two");
    commit_chunk(writer, "without key", superseding(b));
    EXPECT_EQ(value_of(reader, "k"), no_value);
}

TEST_F(Lookup, an_expired_version_does_not_uncover_the_one_before) {
    faults.clock.freeze();
    commit_key(writer, "k", "lasting");
    put_key(writer, "k", "short", living(50 * ms));
    commit(writer);
    EXPECT_EQ(value_of(reader, "k"), "short");
    faults.clock.jump(int64_t(100 * ms));
    EXPECT_EQ(value_of(reader, "k"), no_value);
    commit_key(writer, "k", "again");
    EXPECT_EQ(value_of(reader, "k"), "again");
}

TEST_F(Lookup, P3_pending_versions_are_invisible) {
    commit_key(writer, "k", "one");
    put_key(writer, "k", "two");
    put_key(writer, "new", "x");
    EXPECT_EQ(value_of(reader, "k"), "one");
    EXPECT_EQ(value_of(reader, "new"), no_value);
    put_key(writer, "k", "three");
    commit(writer);
    EXPECT_EQ(value_of(reader, "k"), "three");
    EXPECT_EQ(value_of(reader, "new"), "x");
}

// A reader whose end is older than what the slot names goes back along the links.
TEST_F(Lookup, every_older_end_has_its_own_version) {
    std::vector<std::pair<uint32_t, std::string>> ends;
    ends.push_back({current_segment(name).end(), ""});
    for (int i = 0; i < 12; ++i) {
        std::string text = std::to_string(i);
        if (i == 6) {
            remove("k");
            text = "";
        } else {
            put_key(writer, "k", "overwritten in the same commit");
            commit_key(writer, "k", text);
        }
        ends.push_back({current_segment(name).end(), text});
        commit_key(writer, "between", text);
    }
    SegmentProbe segment = current_segment(name);
    uint64_t seed = core::peek(AreaProbe(name).control().area_id[0]);
    core::Key key{reinterpret_cast<const std::byte *>("k"), 1, core::key_hash(seed, "k", 1)};
    for (const auto &[end, text] : ends) {
        core::Frame frame;
        int found = core::find_key(segment.map(), end, key, frame);
        EXPECT_EQ(found, text.empty() ? 0 : 1) << end;
        if (found == 1) { EXPECT_EQ(std::string(reinterpret_cast<const char *>(frame.payload), frame.size), text); }
    }
}

// The writer died after it had stored the slot, or in the middle of a batch.
TEST_F(Lookup, slots_of_a_dead_batch_hide_nothing) {
    commit_key(writer, "k", "one");
    commit_key(writer, "k", "two");
    SegmentProbe segment = current_segment(name);
    uint32_t end = segment.end(), place = segment.place_of(2);
    for (uint64_t i = 0; i < segment.map().geometry.table_slots; ++i) {
        core::KeySlot &slot = segment.map().table()[i];
        if (core::peek(slot.frame) == 0) { core::key_claim(slot, 7, end); } // of a key that was new
        if (core::newest_version(core::peek(slot.versions)) == place) {
            core::publish_versions(slot.versions, core::pack_versions(end + 2, place));
        }
    }
    core::store_successor(segment.frame_of(2).successor, end + 2);
    EXPECT_EQ(value_of(reader, "k"), "two");
    EXPECT_EQ(value_of(reader, "new"), no_value);
}

// No writer fills it so far.
TEST_F(Lookup, P10_a_table_without_an_empty_slot_is_searched_once) {
    commit_key(writer, "k", "x");
    SegmentProbe segment = current_segment(name);
    for (uint64_t i = 0; i < segment.map().geometry.table_slots; ++i) {
        core::KeySlot &slot = segment.map().table()[i];
        if (core::peek(slot.frame) == 0) { core::key_claim(slot, 7, core::first_place); }
    }
    for (uint32_t flags : {0u, SPECULO_OPEN_UNTRUSTED}) {
        Handle other = open_mapping_reader(name, flags);
        EXPECT_EQ(value_of(other, "k"), "x");
        EXPECT_EQ(value_of(other, "new"), no_value);
    }
}

// ---- by id ------------------------------------------------------------------------------------------------------------------

TEST_F(Lookup, a_view_is_live_until_its_chunk_is_ended) {
    uint64_t a = commit_chunk(writer, "a"), b = commit_chunk(writer, "b");
    commit_key(writer, "k", "c");
    commit_key(writer, "l", "d");
    commit_chunk(writer, "e");
    speculo_chunk views[5];
    for (speculo_chunk &view : views) {
        view = next_of(reader);
        EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
    }
    put_chunk(writer, "y", superseding(a));
    EXPECT_EQ(speculo_chunk_obsolete(writer, b), 0);
    put_key(writer, "k", "z");
    EXPECT_EQ(remove_key(writer, "l"), 0);
    for (speculo_chunk &view : views) { EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1); }
    commit(writer);
    for (int i = 0; i < 4; ++i) { EXPECT_EQ(speculo_chunk_is_live(reader, &views[i]), 0) << i; }
    EXPECT_EQ(speculo_chunk_is_live(reader, &views[4]), 1);
}

TEST_F(Lookup, outdated_views_are_judged_by_their_id_alone_after_compactions) {
    uint64_t kept = commit_key(writer, "kept", "x"), ended = commit_key(writer, "ended", "y");
    commit_chunk(writer, "dropped", transient());
    speculo_chunk views[] = {next_of(reader), next_of(reader), next_of(reader)};
    for (speculo_chunk &view : views) {
        EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
        view.key = view.data = reinterpret_cast<const void *>(16); // such pointers dangle
    }
    for (int i = 0; i < 5; ++i) {
        compact_now(writer);
        EXPECT_EQ(speculo_chunk_is_live(reader, &views[0]), 1);
        EXPECT_EQ(speculo_chunk_is_live(reader, &views[1]), i < 3);
        EXPECT_EQ(speculo_chunk_is_live(reader, &views[2]), 0);
        if (i == 2) {
            EXPECT_EQ(speculo_chunk_obsolete(writer, ended), 0);
            commit(writer);
        }
    }
    EXPECT_EQ(kept, views[0].id);
    Handle other = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(speculo_chunk_is_live(other, &views[0]), 1); // any view of the area
    EXPECT_EQ(speculo_chunk_is_live(other, &views[1]), 0);
}

// A view comes back from the caller: its place is a hint, its id counts.
TEST_F(Lookup, a_view_with_another_place_is_judged_by_its_id) {
    commit_chunk(writer, "other");
    speculo_chunk other = next_of(reader);
    uint64_t id = commit_key(writer, "k", "value");
    speculo_chunk view = next_of(reader);
    uint64_t generation = view.opaque[2] >> 32;
    uint32_t end = inside(writer).committed, wrong[] = {0, uint32_t(other.opaque[2]), end, end + 1000, UINT32_MAX};
    for (uint32_t place : wrong) {
        view.opaque[2] = core::pack_place(generation, place);
        EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1) << place;
    }
    EXPECT_EQ(speculo_chunk_obsolete(writer, id), 0);
    commit(writer);
    for (uint32_t place : wrong) {
        view.opaque[2] = core::pack_place(generation, place);
        EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0) << place;
    }
}

TEST_F(Lookup, an_expired_view_is_not_live) {
    faults.clock.freeze();
    commit_chunk(writer, "a", living(50 * ms));
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
    faults.clock.jump(int64_t(100 * ms));
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
}

TEST_F(Lookup, a_removal_is_never_live) {
    commit_key(writer, "k", "x");
    remove("k");
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.flags & SPECULO_CHUNK_REMOVED, SPECULO_CHUNK_REMOVED);
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
}

TEST_F(Lookup, ids_that_never_were_are_not_live) {
    commit_chunk(writer, "a");
    speculo_chunk view{};
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
    view.id = 2;
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
    view.id = UINT64_MAX;
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
    view.id = 1;
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
}

// What lies at a view's place is its chunk only if it says so.
TEST_F(Lookup, P10_a_view_whose_chunk_has_become_another_is_not_live) {
    uint64_t id = commit_chunk(writer, "a");
    speculo_chunk view = next_of(reader);
    SegmentProbe segment = current_segment(name);
    core::put(segment.frame_of(id).id_flags, core::pack_id(id + 1, 0));
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
}

// ---- cost -------------------------------------------------------------------------------------------------------------------

// Of readers that map.
class Cost : public Lookup {
protected:
    void SetUp() override { reader = open_mapping_reader(name); }
    uint64_t calls() const {
        uint64_t sum = 0;
        for (size_t i = 0; i < site_count; ++i) { sum += faults.calls(site_at(i)); }
        return sum;
    }
};

TEST_F(Cost, P4_nothing_is_asked_of_the_system_while_the_segment_lasts) {
    for (int i = 0; i < 2; ++i) { commit_key(writer, "k", "x"); }
    for (int i = 0; i < 2; ++i) { value_of(reader, "k"); } // enters, and allocates what keys are remembered in
    read_all(reader);
    faults.reset_counts();
    speculo_chunk view{};
    for (int i = 0; i < 50; ++i) {
        void *data;
        ASSERT_EQ(speculo_chunk_alloc(writer, 16, nullptr, &data, nullptr), 0);
        ASSERT_EQ(speculo_commit(writer), 0);
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        ASSERT_EQ(speculo_chunk_is_live(reader, &view), 1);
        ChunkOptions options;
        std::string key = "k";
        ASSERT_EQ(speculo_chunk_alloc(writer, 16, &options.with_key(key), &data, nullptr), 0);
        ASSERT_EQ(speculo_commit(writer), 0);
        ASSERT_EQ(speculo_read_key(reader, "k", 1, &view), 1);
        ASSERT_EQ(speculo_chunk_hold(reader, &view), 0);
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        ASSERT_EQ(speculo_read_next(reader, &view), 0);
    }
    EXPECT_EQ(calls(), 0u);
}

TEST_F(Cost, deadlines_cost_a_look_at_the_coarse_clock) {
    faults.clock.freeze();
    put_key(writer, "k", "x", living(uint64_t(1) << 60));
    commit(writer);
    for (int i = 0; i < 2; ++i) { value_of(reader, "k"); }
    faults.reset_counts();
    for (int i = 0; i < 10; ++i) { value_of(reader, "k"); }
    EXPECT_EQ(calls(), 10u);
    EXPECT_EQ(faults.calls(Site::clock_coarse), 10u);
}

TEST_F(Cost, a_compaction_costs_the_next_look_up_once_and_lets_go_of_the_old_segment) {
    Handle keys = open_mapping_reader(name, SPECULO_OPEN_NO_CURSOR);
    commit_key(writer, "k", "x");
    SegmentProbe first = current_segment(name);
    reader.close();
    EXPECT_EQ(first.locks(), "free"); // no look-up yet
    value_of(keys, "k");
    std::string inside = os::has_range_locks ? "view" : "free";
    EXPECT_EQ(first.locks(), inside);
    compact_now(writer);
    SegmentProbe second = current_segment(name);
    EXPECT_EQ(first.locks(), inside); // it has not noticed
    EXPECT_EQ(second.locks(), "free");
    value_of(keys, "nothing");
    EXPECT_EQ(first.locks(), "free");
    EXPECT_EQ(second.locks(), inside);
    value_of(keys, "k");
    faults.reset_counts();
    value_of(keys, "k");
    EXPECT_EQ(calls(), 0u);
    keys.close();
    EXPECT_EQ(second.locks(), "free");
}

TEST_F(Cost, going_round_through_known_segments_maps_nothing) {
    if (os::has_range_locks) {
        for (int i = 0; i < 6; ++i) {
            commit_key(writer, "k", "x"), compact_now(writer), read_all(reader), value_of(reader, "k");
        }
        faults.reset_counts();
        for (int i = 0; i < 6; ++i) {
            commit_key(writer, "k", "x"), compact_now(writer), read_all(reader), value_of(reader, "k");
        }
        EXPECT_EQ(faults.calls(Site::map) + faults.calls(Site::open) + faults.calls(Site::create_unnamed), 0u);
        EXPECT_EQ(faults.calls(Site::allocate), 0u);
    } else {
        for (int i = 0; i < 6; ++i) { compact_now(writer); }
        faults.reset_counts();
        for (int i = 0; i < 6; ++i) { compact_now(writer); }
        EXPECT_EQ(faults.calls(Site::create), 6u); // never the same object again
    }
}

// ---- misuse -----------------------------------------------------------------------------------------------------------------

TEST_F(Lookup, refuses_misuse) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(reader, "", 0, &chunk), -EINVAL);
    EXPECT_EQ(speculo_read_key(reader, nullptr, 1, &chunk), -EINVAL);
    std::string large(256, 'k');
    EXPECT_EQ(speculo_read_key(reader, large.data(), large.size(), &chunk), -EINVAL);
    EXPECT_EQ(speculo_read_key(reader, "k", 1, nullptr), -EINVAL);
    EXPECT_EQ(speculo_read_key(writer, "k", 1, &chunk), -EINVAL);
    EXPECT_EQ(speculo_chunk_is_live(writer, &chunk), -EINVAL);
    EXPECT_EQ(speculo_chunk_is_live(reader, nullptr), -EINVAL);
    Handle keys = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(speculo_read_next(keys, &chunk), -EINVAL);
    EXPECT_EQ(speculo_seek(keys, 0), -EINVAL);
}

} // namespace
