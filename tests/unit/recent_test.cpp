// SPDX-License-Identifier: LGPL-2.1-or-later
// Keys that were looked up before: to find them again is short, and must give what a search would.
#include "recent.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <random>

#include "faults.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 64 << 10;

class Recent : public testing::Test {
protected:
    void SetUp() override {
        EXPECT_EQ(value_of(reader, "nothing"), no_value);
    } // only from the second look-up on is anything remembered

    // What a handle says that has looked everything up before; one that never has must say the same.
    std::string value(const std::string &key) {
        std::string known = value_of(reader, key);
        EXPECT_EQ(value_of(reader, key), known) << key;
        EXPECT_EQ(value_of(name, key), known) << key;
        return known;
    }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_mapping_reader(name);
};

TEST_F(Recent, shows_all_that_a_search_shows) {
    faults.clock.freeze();
    ChunkOptions options = living(uint64_t(60000) * ms);
    options.tag = 7;
    options.alignment = 64;
    uint64_t id = put_key(writer, "k", "value", options);
    commit(writer);
    speculo_chunk first{}, again{};
    ASSERT_EQ(speculo_read_key(reader, "k", 1, &first), 1);
    ASSERT_EQ(speculo_read_key(reader, "k", 1, &again), 1);
    EXPECT_TRUE(seen(again) == seen(first));
    EXPECT_EQ(again.id, id);
    EXPECT_EQ(again.data, first.data);
    EXPECT_EQ(again.tag, 7u);
    EXPECT_EQ(again.expires_ns, first.expires_ns);
    EXPECT_NE(again.expires_ns, 0u);
    EXPECT_EQ(again.flags, first.flags);
}

TEST_F(Recent, its_view_takes_the_place_of_the_one_before) {
    commit_key(writer, "k", "value");
    speculo_chunk first{}, again{};
    ASSERT_EQ(speculo_read_key(reader, "k", 1, &first), 1);
    ASSERT_EQ(speculo_read_key(reader, "k", 1, &again), 1);
    EXPECT_EQ(speculo_chunk_hold(reader, &first), -EINVAL);
    ASSERT_EQ(speculo_chunk_hold(reader, &again), 0);
    for (int i = 0; i < 6; ++i) {
        commit_key(writer, "k", std::to_string(i));
        compact_now(writer);
        value("k");
    }
    EXPECT_EQ(seen(again).payload, "value");
    speculo_chunk_release(&again);
}

TEST_F(Recent, a_newer_version_is_seen_at_its_commit_and_not_before) {
    commit_key(writer, "k", "one");
    EXPECT_EQ(value("k"), "one");
    put_key(writer, "k", "two");
    put_key(writer, "k", "three");
    EXPECT_EQ(value("k"), "one");
    commit(writer);
    EXPECT_EQ(value("k"), "three");
    put_key(writer, "k", "four");
    EXPECT_EQ(speculo_rollback(writer), 0);
    EXPECT_EQ(value("k"), "three");
    commit_chunk(writer, "something else");
    EXPECT_EQ(value("k"), "three");
}

TEST_F(Recent, every_way_to_end_a_version_is_seen) {
    faults.clock.freeze();
    uint64_t id = 0;
    auto again = [&](const char *payload) {
        id = commit_key(writer, "k", payload);
        EXPECT_EQ(value("k"), payload);
    };
    again("removed");
    EXPECT_EQ(remove_key(writer, "k"), 0);
    EXPECT_EQ(value("k"), "removed");
    commit(writer);
    EXPECT_EQ(value("k"), no_value);
    again("obsolete");
    EXPECT_EQ(speculo_chunk_obsolete(writer, id), 0);
    EXPECT_EQ(value("k"), "obsolete");
    commit(writer);
    EXPECT_EQ(value("k"), no_value);
    again("superseded by a chunk without a key");
    commit_chunk(writer, "x", superseding(id));
    EXPECT_EQ(value("k"), no_value);
    again("superseded by one with another");
    put_key(writer, "l", "x", superseding(id));
    commit(writer);
    EXPECT_EQ(value("k"), no_value);
    put_key(writer, "k", "expired", living(50 * ms));
    commit(writer);
    EXPECT_EQ(value("k"), "expired");
    faults.clock.jump(int64_t(100 * ms));
    EXPECT_EQ(value("k"), no_value);
}

TEST_F(Recent, other_segments_have_other_places) {
    for (int i = 0; i < 40; ++i) {
        std::string text = std::to_string(i);
        commit_key(writer, "k", text);
        commit_key(writer, "l", "of " + text);
        EXPECT_EQ(value("k"), text);
        if (i % 3 != 0) { compact_now(writer); }
        if (i % 4 == 3) {
            EXPECT_EQ(remove_key(writer, "l"), 0);
            commit(writer);
        }
        EXPECT_EQ(value("k"), text);
        EXPECT_EQ(value("l"), i % 4 == 3 ? no_value : "of " + text);
    }
}

// The writer died between its slots and its commit: the versions are none, until the next writer has put that right.
TEST_F(Recent, what_a_dead_writer_left_changes_nothing) {
    commit_key(writer, "k", "zero");
    commit_key(writer, "k", "one");
    EXPECT_EQ(value("k"), "one");
    SegmentProbe segment = current_segment(name);
    uint32_t end = segment.end(), place = segment.place_of(2);
    for (uint64_t i = 0; i < segment.map().geometry.table_slots; ++i) {
        core::KeySlot &slot = segment.map().table()[i];
        if (core::newest_version(core::peek(slot.versions)) != place) { continue; }
        core::publish_versions(slot.versions, core::pack_versions(end + 2, place));
    }
    core::store_successor(segment.frame_of(2).successor, end + 2);
    EXPECT_EQ(value("k"), "one");
    writer.close();
    writer = open_writer(name);
    EXPECT_EQ(value("k"), "one");
    commit_key(writer, "other", "x");
    EXPECT_EQ(value("k"), "one");
    commit_key(writer, "k", "two");
    EXPECT_EQ(value("k"), "two");
}

// Far more than are remembered, and each like many others.
TEST_F(Recent, keys_of_all_sizes_are_told_apart_at_every_byte) {
    std::mt19937 random(7);
    for (size_t size = 1; size <= core::KeyLanes::longest + 3; ++size) {
        AreaName own;
        Handle area = make_area(own, 1 << 20);
        std::vector<std::string> keys = {std::string(size, 'a')};
        if (size > 1) { keys.push_back(std::string(size - 1, 'a')); }
        for (size_t i = 0; i < size; ++i) {
            keys.push_back(keys[0]);
            keys.back()[i] = 'b';
            keys.push_back(keys[0]);
            keys.back()[i] = '\0';
        }
        for (const std::string &key : keys) { commit_key(area, key, "value of " + key); }
        Handle handle = open_mapping_reader(own);
        for (int i = 0; i < 500; ++i) {
            const std::string &key = keys[random() % keys.size()];
            ASSERT_EQ(value_of(handle, key), "value of " + key);
            ASSERT_EQ(value_of(handle, key), "value of " + key);
        }
        std::string longer = keys[0] + '\0';
        EXPECT_EQ(value_of(handle, longer), no_value);
    }
}

TEST_F(Recent, lanes_of_keys_of_one_size_are_equal_for_equal_keys_only) {
    for (size_t size = 1; size <= core::KeyLanes::longest; ++size) {
        std::string key(size, 'a');
        core::KeyLanes lanes = core::KeyLanes::of(key.data(), size);
        EXPECT_TRUE(lanes == core::KeyLanes::of(std::string(key).data(), size));
        for (size_t i = 0; i < size; ++i) {
            std::string other = key;
            other[i] = '\0';
            EXPECT_FALSE(lanes == core::KeyLanes::of(other.data(), size)) << size << ", byte " << i;
        }
    }
}

TEST_F(Recent, another_key_in_the_same_place_is_looked_up) {
    std::vector<std::string> keys;
    for (int i = 0; i < 300; ++i) {
        keys.push_back("key " + std::to_string(i));
        commit_key(writer, keys.back(), std::to_string(i));
    }
    for (int round = 0; round < 2; ++round) {
        for (size_t i = 0; i < keys.size(); ++i) {
            ASSERT_EQ(value_of(reader, keys[i]), std::to_string(i));
            ASSERT_EQ(value_of(reader, keys[i / 2]), std::to_string(i / 2));
        }
    }
}

// Where it was in the segment before there is something else that lives, or nothing.
TEST_F(Recent, the_same_place_elsewhere_says_nothing) {
    for (size_t dead : {1u, 5u, 40u}) {
        for (size_t i = 0; i < dead; ++i) { commit_key(writer, "other", "x"); }
        commit_key(writer, "k", "before " + std::to_string(dead));
        value("k");
        compact_now(writer);
        commit_key(writer, "k", "after " + std::to_string(dead));
        EXPECT_EQ(value("k"), "after " + std::to_string(dead));
        commit_key(writer, "l", "y");
    }
}

TEST_F(Recent, a_search_that_failed_leaves_nothing_behind) {
    commit_key(writer, "k", "x");
    Handle keys = open_mapping_reader(name, SPECULO_OPEN_NO_CURSOR);
    faults.reset_counts();
    faults.fail(Site::lock, 1, ENOLCK);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(keys, "k", 1, &chunk), os::has_range_locks ? -ENOLCK : 1); // else there is nothing to fail
    faults.heal();
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_EQ(value_of(keys, "nothing"), no_value);
    EXPECT_EQ(value_of(keys, "nothing"), no_value);
    commit_key(writer, "nothing", "something");
    EXPECT_EQ(value_of(keys, "nothing"), "something");
}

TEST_F(Recent, who_looks_once_takes_no_memory_and_who_gets_none_searches) {
    commit_key(writer, "k", "x");
    Handle keys = open_mapping_reader(name, SPECULO_OPEN_NO_CURSOR);
    const core::Reader &inner = *static_cast<core::Reader *>(static_cast<speculo_area *>(keys));
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_EQ(inner.recent_keys, nullptr);
    faults.reset_counts();
    faults.fail_from(Site::allocate, 1, ENOMEM);
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_EQ(inner.recent_keys, nullptr);
    faults.heal();
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_NE(inner.recent_keys, nullptr);
    commit_key(writer, "k", "y");
    EXPECT_EQ(value_of(keys, "k"), "y");
}

// What was found is of one stay in a segment: a hostile writer may lead back into it, and it is mapped somewhere else by then.
TEST_F(Recent, nothing_is_remembered_of_the_segment_before) {
    core::Reader &inner = *static_cast<core::Reader *>(static_cast<speculo_area *>(reader));
    auto remembered = [&inner] {
        const auto &keys = inner.recent_keys->keys;
        return std::count_if(std::begin(keys), std::end(keys), [](const core::RecentKey &key) { return key.size != 0; });
    };
    commit_key(writer, "k", "x");
    commit_key(writer, "l", "y");
    EXPECT_EQ(value("k"), "x");
    EXPECT_EQ(value("l"), "y");
    EXPECT_EQ(remembered(), 2);
    compact_now(writer);
    EXPECT_EQ(value("k"), "x");
    EXPECT_EQ(remembered(), 1);
}

} // namespace
