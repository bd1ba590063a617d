// SPDX-License-Identifier: LGPL-2.1-or-later
// Keys that a writer knows: an update of one does not look at what it changes, and must do what one that looks does.
#include "known.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include "checking.hpp"
#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using Ids = std::vector<uint64_t>;

class Known : public testing::Test {
protected:
    // From the second update on a key is known.
    uint64_t know(const std::string &key) {
        commit_key(writer, key, "first");
        return commit_key(writer, key, "known");
    }
    bool is_known(const std::string &key) {
        const core::KnownKeys *keys = inside(writer).known_keys;
        if (!keys) { return false; }
        core::KeyLanes lanes = core::KeyLanes::of(key.data(), key.size());
        const core::KnownKey &known = const_cast<core::KnownKeys *>(keys)->at(lanes);
        return core::KnownKeys::is_of(known, lanes, key.size()) && known.epoch == inside(writer).key_epoch;
    }
    // Nothing but these lives, whoever looks, and the area is sound: its counts too.
    void expect_live(const Ids &ids) {
        EXPECT_EQ(live_ids(name), ids);
        expect_sound(name);
    }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, uint64_t(64) << 10);
};

TEST_F(Known, an_update_supersedes_the_version_before) {
    for (size_t size : {1, 3, 4, 7, 8, 15, 16, 31, 32}) {
        std::string key(size, char('a' + size));
        know(key);
        EXPECT_TRUE(is_known(key)) << size;
        uint64_t id = 0;
        for (const char *payload : {"x", "a longer one than those before", ""}) {
            id = commit_key(writer, key, payload);
            EXPECT_EQ(value_of(name, key), payload);
        }
        EXPECT_EQ(live_ids(name).back(), id);
    }
    EXPECT_EQ(live_ids(name).size(), 9u);
    expect_sound(name);
}

TEST_F(Known, long_keys_are_not_and_work_all_the_same) {
    std::string key(core::KeyLanes::longest + 1, 'l');
    know(key);
    EXPECT_FALSE(is_known("k"));
    EXPECT_EQ(inside(writer).known_keys, nullptr);
    uint64_t id = commit_key(writer, key, "x");
    EXPECT_EQ(value_of(name, key), "x");
    expect_live({id});
}

TEST_F(Known, nor_is_any_without_memory) {
    commit_key(writer, "k", "first");
    faults.fail_from(Site::allocate, 1, ENOMEM);
    for (int i = 0; i < 3; ++i) { commit_key(writer, "k", "x"); }
    EXPECT_FALSE(is_known("k"));
    faults.heal();
    uint64_t id = commit_key(writer, "k", "y");
    EXPECT_TRUE(is_known("k"));
    EXPECT_EQ(value_of(name, "k"), "y");
    expect_live({id});
}

// What is dead, and what a compaction has to carry over, is counted without a look at the frame.
TEST_F(Known, versions_are_counted_as_they_are) {
    know("k");
    commit_chunk(writer, "lasts");
    auto length = [](uint64_t size) { return core::frame_length(core::frame_shape(core::frame_key, 1, false).payload, size); };
    core::Lasting before = inside(writer).lasting;
    uint64_t dead = inside(writer).dead;

    commit_key(writer, "k", std::string(100, 'l'));
    EXPECT_EQ(inside(writer).dead, dead + length(5));
    EXPECT_EQ(inside(writer).lasting.places, before.places + length(100) - length(5));
    put_key(writer, "k", "known", transient());
    commit(writer);
    EXPECT_EQ(inside(writer).dead, dead + length(5) + length(100));
    EXPECT_EQ(inside(writer).lasting.keys, before.keys - 1);
    commit_key(writer, "k", "known");
    EXPECT_EQ(inside(writer).lasting.places, before.places);
    EXPECT_EQ(inside(writer).lasting.keys, before.keys);
    EXPECT_EQ(inside(writer).lasting.chunks, before.chunks);
    expect_sound(name);
}

TEST_F(Known, a_batch_is_not_overlooked) {
    know("k");
    put_key(writer, "k", "in a batch");
    put_key(writer, "other", "x");
    commit(writer);
    EXPECT_FALSE(is_known("k"));
    uint64_t other = live_ids(name).back();
    uint64_t id = commit_key(writer, "k", "after it");
    EXPECT_EQ(value_of(name, "k"), "after it");
    expect_live({other, id});
}

TEST_F(Known, a_removal_is_not_overlooked) {
    know("k");
    EXPECT_EQ(remove_key(writer, "k"), 0);
    commit(writer);
    EXPECT_FALSE(is_known("k"));
    EXPECT_EQ(value_of(name, "k"), no_value);
    uint64_t id = commit_key(writer, "k", "again");
    EXPECT_EQ(value_of(name, "k"), "again");
    expect_live({id});
}

// A snapshot in between must go on without it: the word that ended the version stays.
TEST_F(Known, a_version_that_was_obsoleted_stays_so) {
    uint64_t id = know("k");
    EXPECT_EQ(speculo_chunk_obsolete(writer, id), 0);
    commit(writer);
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    commit_key(writer, "k", "again");
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_snapshot_key(snapshot, "k", 1, &chunk), 0);
    EXPECT_EQ(speculo_snapshot_next(snapshot, &chunk), 0);
    speculo_snapshot_close(snapshot);
    EXPECT_EQ(value_of(name, "k"), "again");
}

TEST_F(Known, nothing_is_known_in_another_segment) {
    know("k");
    know("l");
    compact_now(writer);
    EXPECT_FALSE(is_known("k"));
    commit_key(writer, "k", "there");
    EXPECT_EQ(value_of(name, "k"), "there");
    EXPECT_EQ(value_of(name, "l"), "known");
    EXPECT_EQ(live_ids(name).size(), 2u);
    expect_sound(name);
}

TEST_F(Known, what_is_rolled_back_changes_nothing) {
    know("k");
    put_key(writer, "k", "never");
    ASSERT_EQ(speculo_rollback(writer), 0);
    EXPECT_EQ(value_of(name, "k"), "known");
    uint64_t id = commit_key(writer, "k", "next");
    EXPECT_EQ(value_of(name, "k"), "next");
    expect_live({id});
}

// Readers that are behind find the version of their end.
TEST_F(Known, older_ends_see_older_versions) {
    know("k");
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    std::vector<speculo_snapshot *> snapshots;
    for (const char *payload : {"1", "2", "3", "4"}) {
        commit_key(writer, "k", payload);
        snapshots.push_back(nullptr);
        ASSERT_EQ(speculo_snapshot_open(reader, &snapshots.back()), 0);
    }
    for (size_t i = 0; i < snapshots.size(); ++i) {
        speculo_chunk chunk{};
        ASSERT_EQ(speculo_snapshot_key(snapshots[i], "k", 1, &chunk), 1);
        EXPECT_EQ(seen(chunk).payload, std::to_string(i + 1));
        speculo_snapshot_close(snapshots[i]);
    }
}

// More keys than there is room for: whichever is known, the table has all.
TEST_F(Known, keys_that_meet_in_one_place_take_turns) {
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 400; ++i) { commit_key(writer, "key-" + std::to_string(i), std::to_string(round)); }
    }
    for (int i = 0; i < 400; ++i) { EXPECT_EQ(value_of(name, "key-" + std::to_string(i)), "2"); }
    EXPECT_EQ(live_ids(name).size(), 400u);
    expect_sound(name);
}

} // namespace
