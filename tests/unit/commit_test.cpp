// SPDX-License-Identifier: LGPL-2.1-or-later
// Publication: what a commit shows, what it ends, and what it never touches.
#include "writer.hpp"

#include <algorithm>
#include <cerrno>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

class Commit : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);
    Handle reader_ = open_reader(name_);

    Ids delivered() { return ids_of(read_all(reader_)); }
};

// ---- together ---------------------------------------------------------------------------------------------------------------

TEST_F(Commit, P3_chunks_of_one_commit_appear_together) {
    for (int i = 0; i < 3; ++i) { put_chunk(writer_, std::string(100, 'a')); }
    EXPECT_EQ(delivered(), Ids{});
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(info_of(reader_).newest_id, 0u);
    commit(writer_);
    EXPECT_EQ(delivered(), (Ids{1, 2, 3}));
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3}));
    EXPECT_EQ(info_of(reader_).newest_id, 3u);
}

TEST_F(Commit, P3_what_a_commit_ends_goes_with_what_it_brings) {
    commit_key(writer_, "a", "a1"), commit_key(writer_, "b", "b1"), commit_key(writer_, "c", "c1");
    commit_chunk(writer_, "d1");
    put_key(writer_, "a", "a2");
    EXPECT_EQ(remove_key(writer_, "b"), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 3), 0);
    put_chunk(writer_, "d2", superseding(4));
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3, 4}));
    EXPECT_EQ(value_of(name_, "a"), "a1");
    EXPECT_EQ(value_of(name_, "b"), "b1");
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{5, 7}));
    EXPECT_EQ(value_of(name_, "a"), "a2");
    EXPECT_EQ(value_of(name_, "b"), no_value);
    EXPECT_EQ(value_of(name_, "c"), no_value);
}

TEST_F(Commit, of_nothing_shows_nothing) {
    commit(writer_);
    commit_chunk(writer_, "a");
    speculo_area_info before = info_of(writer_);
    commit(writer_);
    speculo_area_info after = info_of(writer_);
    EXPECT_EQ(std::memcmp(&before, &after, sizeof before), 0);
}

// ---- supersede --------------------------------------------------------------------------------------------------------------

TEST_F(Commit, supersedes_by_id) {
    commit_chunk(writer_, "1");
    commit_chunk(writer_, "2", superseding(1));
    put_chunk(writer_, "3");
    put_chunk(writer_, "4", superseding(3)); // of the same commit
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{2, 4}));
    EXPECT_EQ(delivered(), (Ids{2, 4}));
    EXPECT_EQ(info_of(writer_).superseded_chunks, 2u);
}

TEST_F(Commit, supersedes_by_key) {
    for (int i = 1; i <= 5; ++i) {
        commit_key(writer_, "k", std::to_string(i));
        commit_key(writer_, "other", std::to_string(10 * i));
        EXPECT_EQ(value_of(name_, "k"), std::to_string(i));
        EXPECT_EQ(value_of(name_, "other"), std::to_string(10 * i));
    }
    EXPECT_EQ(live_ids(name_), (Ids{9, 10}));
}

TEST_F(Commit, last_of_several_versions_in_one_batch_wins) {
    commit_key(writer_, "k", "0");
    for (const char *version : {"1", "2", "3"}) { put_key(writer_, "k", version); }
    for (const char *version : {"n1", "n2"}) { put_key(writer_, "new", version); }
    EXPECT_EQ(value_of(name_, "k"), "0");
    EXPECT_EQ(value_of(name_, "new"), no_value);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "k"), "3");
    EXPECT_EQ(value_of(name_, "new"), "n2");
    EXPECT_EQ(live_ids(name_), (Ids{4, 6}));
    EXPECT_EQ(delivered(), (Ids{4, 6}));
    commit_key(writer_, "k", "4");
    EXPECT_EQ(value_of(name_, "k"), "4");
}

TEST_F(Commit, reader_at_an_earlier_end_finds_the_version_of_its_time) {
    std::vector<speculo_snapshot *> snapshots;
    Handle other = open_reader(name_, SPECULO_OPEN_NO_CURSOR);
    for (int i = 0; i < 5; ++i) {
        snapshots.push_back(nullptr);
        EXPECT_EQ(speculo_snapshot_open(other, &snapshots.back()), 0);
        put_key(writer_, "k", "in between");
        put_key(writer_, "k", std::to_string(i));
        commit(writer_);
    }
    for (int i = 0; i < 5; ++i) {
        speculo_chunk chunk{};
        int found = speculo_snapshot_key(snapshots[i], "k", 1, &chunk);
        ASSERT_EQ(found, i > 0);
        if (found) { EXPECT_EQ(seen(chunk).payload, std::to_string(i - 1)); }
        speculo_snapshot_close(snapshots[i]);
    }
}

TEST_F(Commit, second_superseder_in_a_batch_supersedes_the_first) {
    commit_chunk(writer_, "x");
    put_chunk(writer_, "first", superseding(1));
    put_chunk(writer_, "second", superseding(1));
    put_chunk(writer_, "third", superseding(1));
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{4}));
}

TEST_F(Commit, superseder_by_id_supersedes_the_new_version_of_the_key_as_well) {
    commit_key(writer_, "k", "x");
    put_key(writer_, "k", "y");
    put_chunk(writer_, "z", superseding(1));
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{3}));
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(remove_key(writer_, "k"), -ENOENT);
    EXPECT_EQ(commit_key(writer_, "k", "again"), 4u);
    EXPECT_EQ(live_ids(name_), (Ids{3, 4}));
    EXPECT_EQ(value_of(name_, "k"), "again");
}

TEST_F(Commit, chunk_can_supersede_by_id_and_by_key_at_once) {
    std::string key = "k";
    commit_key(writer_, key, "old");
    commit_chunk(writer_, "other");
    put_key(writer_, key, "both", superseding(2));
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{3}));
    put_key(writer_, key, "itself twice", superseding(3));
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{4}));
    EXPECT_EQ(value_of(name_, key), "itself twice");
}

TEST_F(Commit, superseding_a_key_by_id_leaves_the_key_without_a_chunk) {
    commit_key(writer_, "k", "x");
    commit_chunk(writer_, "y", superseding(1));
    EXPECT_EQ(value_of(name_, "k"), no_value);
    commit_key(writer_, "k", "z");
    EXPECT_EQ(live_ids(name_), (Ids{2, 3})); // what superseded x goes on
}

// ---- obsolete ---------------------------------------------------------------------------------------------------------------

TEST_F(Commit, obsoleting_a_pending_chunk_ends_it_at_once) {
    put_chunk(writer_, "a");
    put_key(writer_, "k", "b");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 2), 0);
    commit(writer_);
    EXPECT_EQ(delivered(), Ids{});
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(info_of(writer_).newest_id, 2u);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), -ENOENT);
    EXPECT_EQ(commit_key(writer_, "k", "c"), 3u);
    EXPECT_EQ(value_of(name_, "k"), "c");
}

TEST_F(Commit, of_obsoletes_only_takes_one_marker) {
    for (int i = 0; i < 3; ++i) { commit_chunk(writer_, "x"); }
    speculo_snapshot *before = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader_, &before), 0);
    uint64_t used = info_of(writer_).used;
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 3), 0);
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3}));
    commit(writer_);
    EXPECT_EQ(info_of(writer_).used, used + 16);
    EXPECT_EQ(live_ids(name_), (Ids{2}));
    EXPECT_EQ(delivered(), (Ids{2}));
    EXPECT_EQ(info_of(reader_).newest_id, 3u); // a marker has no id
    EXPECT_EQ(commit_chunk(writer_, "y"), 4u);
    EXPECT_EQ(delivered(), (Ids{4}));
    speculo_chunk chunk{};
    for (uint64_t id = 1; id <= 3; ++id) {
        EXPECT_EQ(speculo_snapshot_next(before, &chunk), 1);
        EXPECT_EQ(chunk.id, id);
    }
    speculo_snapshot_close(before);
}

// Nothing is left of it, nor of anything that was committed.
TEST_F(Commit, obsoleting_what_a_compaction_drops_meanwhile) {
    uint64_t last = fill_segment(writer_, 1000, transient()).back();
    EXPECT_EQ(speculo_chunk_obsolete(writer_, last), 0);
    uint64_t next = put_chunk(writer_, std::string(1000, 'n'));
    EXPECT_EQ(inside(writer_).current->generation, 2u);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), Ids{next});
}

// ---- removal ----------------------------------------------------------------------------------------------------------------

TEST_F(Commit, removal_is_told_to_cursors_and_never_live) {
    commit_key(writer_, "k", "v");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    commit(writer_);
    std::vector<Seen> all = read_all(reader_);
    ASSERT_EQ(ids_of(all), (Ids{2}));
    EXPECT_EQ(all[0].flags, SPECULO_CHUNK_REMOVED | SPECULO_CHUNK_TRANSIENT);
    EXPECT_EQ(all[0].key, "k");
    EXPECT_EQ(all[0].payload, "");
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(value_of(name_, "k"), no_value);
    speculo_area_info info = info_of(writer_);
    EXPECT_EQ(info.live_chunks, 0u);
    EXPECT_EQ(info.superseded_chunks, 1u);
}

TEST_F(Commit, new_version_supersedes_a_removal) {
    commit_key(writer_, "k", "1");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    commit(writer_);
    commit_key(writer_, "k", "2");
    EXPECT_EQ(value_of(name_, "k"), "2");
    EXPECT_EQ(delivered(), (Ids{3})); // who has seen neither need not be told
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(delivered(), (Ids{4}));
}

TEST_F(Commit, removal_and_new_version_in_one_batch) {
    commit_key(writer_, "k", "1");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    put_key(writer_, "k", "2");
    commit(writer_);
    EXPECT_EQ(value_of(name_, "k"), "2");
    EXPECT_EQ(live_ids(name_), (Ids{3}));
    put_key(writer_, "k", "3");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    put_key(writer_, "new", "4");
    EXPECT_EQ(remove_key(writer_, "new"), 0);
    commit(writer_);
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(value_of(name_, "new"), no_value);
    EXPECT_EQ(delivered(), (Ids{5, 7}));
}

TEST_F(Commit, superseding_what_the_batch_removes_leaves_the_removal_to_be_told) {
    commit_key(writer_, "k", "1");
    EXPECT_EQ(remove_key(writer_, "k"), 0);
    put_chunk(writer_, "2", superseding(1));
    commit(writer_);
    EXPECT_EQ(delivered(), (Ids{2, 3}));
    EXPECT_EQ(live_ids(name_), (Ids{3}));
    EXPECT_EQ(value_of(name_, "k"), no_value);
}

// ---- what is damaged meanwhile ----------------------------------------------------------------------------------------------

// Of a frame that cannot be read nothing is counted; its key leads to the next version all the same.
TEST_F(Commit, P10_a_version_whose_frame_is_damaged_is_superseded) {
    std::string key = "nine char", payload = "this is no size, but will be read as one";
    for (uint32_t wrong : {0u, core::size_follows}) {
        uint64_t id = commit_key(writer_, key, payload), dead = inside(writer_).dead;
        SegmentProbe probe = current_segment(name_);
        core::Shared<uint32_t> &word = probe.frame_of(id).commit;
        uint32_t right = core::peek(word);
        core::put(word, wrong);
        forget_keys(writer_);
        uint64_t next = commit_key(writer_, key, "next");
        EXPECT_EQ(inside(writer_).dead, dead);
        core::put(word, right);
        EXPECT_EQ(live_ids(name_), Ids{next});
        EXPECT_EQ(value_of(name_, key), "next");
    }
}

TEST_F(Commit, P10_superseding_what_cannot_be_found_any_more_ends_nothing) {
    uint64_t lost = commit_chunk(writer_, "lost"), heir = put_chunk(writer_, "heir", superseding(lost));
    SegmentProbe probe = current_segment(name_);
    core::Shared<uint32_t> &word = probe.frame_of(lost).commit;
    uint32_t right = core::peek(word);
    core::put(word, 1u << 20);
    commit(writer_);
    core::put(word, right);
    EXPECT_EQ(core::peek(probe.map().frame(0).successor), 0u); // nor anything else
    EXPECT_EQ(live_ids(name_), (Ids{lost, heir}));
}

// ---- P2 ---------------------------------------------------------------------------------------------------------------------

// The committed frames of a segment, word by word, without their successor words.
std::vector<uint32_t> committed_words(const core::SegmentMap &map, uint32_t end) {
    const auto *words = reinterpret_cast<const uint32_t *>(map.bytes(0));
    std::vector<uint32_t> copy(words + 4 * core::first_place, words + 4 * end);
    core::FrameWalk walk(map, core::first_place, end);
    core::Frame frame;
    while (walk.next(frame) == 1) { copy[4 * (frame.place - core::first_place) + 1] = 0; }
    return copy;
}

// One of everything, more than a page of it, and something pending at last.
void commit_of_every_kind(speculo_area *writer, int round) {
    std::string n = std::to_string(round);
    uint64_t plain = put_chunk(writer, "plain" + n), page = put_chunk(writer, std::string(700, 'p'), aligned(1024));
    uint64_t key = put_key(writer, "k", "key" + n);
    put_key(writer, "k", "again" + n), put_key(writer, "own" + n, "own" + n);
    commit(writer);
    commit_chunk(writer, "short", living(1)), commit_chunk(writer, "transient", transient());
    commit_chunk(writer, "by id", superseding(plain));
    EXPECT_EQ(speculo_chunk_obsolete(writer, page), 0);
    commit(writer);
    EXPECT_EQ(speculo_chunk_obsolete(writer, key), -ENOENT);
    EXPECT_EQ(remove_key(writer, round % 2 ? "k" : "own" + n), 0);
    commit(writer);
    put_chunk(writer, std::string(300, 'z'));
    EXPECT_EQ(speculo_chunk_shrink(writer, 20), 0);
    if (round % 3 == 0) { EXPECT_EQ(speculo_rollback(writer), 0); }
    commit(writer);
}

TEST_F(Commit, P2_committed_bytes_never_change) {
    std::vector<uint32_t> seen_words;
    for (int round = 0; round < 12; ++round) {
        commit_of_every_kind(writer_, round);
        const core::SegmentMap &map = inside(writer_).current->map;
        ASSERT_EQ(inside(writer_).current->generation, 1u);
        std::vector<uint32_t> now = committed_words(map, inside(writer_).committed);
        ASSERT_GT(now.size(), seen_words.size());
        EXPECT_TRUE(std::equal(seen_words.begin(), seen_words.end(), now.begin())) << "round " << round;
        seen_words = std::move(now);
    }
}

TEST_F(Commit, P2_compaction_leaves_the_old_segment_as_history) {
    for (int round = 0; round < 12; ++round) { commit_of_every_kind(writer_, round); }
    fill_segment(writer_, 3000, transient());
    core::WriterSegment &old = *inside(writer_).current;
    uint32_t end = inside(writer_).committed;
    const auto *bytes = reinterpret_cast<const char *>(old.map.base);
    size_t size = old.map.geometry.chunks_offset + end * core::place_size; // header, index and table too
    std::string before(bytes, size);
    put_chunk(writer_, "pending", superseding(live_ids(name_)[0])); // behind END; its words go to the other segment
    put_key(writer_, "k", "pending");
    put_chunk(writer_, std::string(3000, 'x'));
    ASSERT_NE(inside(writer_).current, &old);
    for (int round = 0; round < 3; ++round) { commit_of_every_kind(writer_, round); }
    ASSERT_EQ(inside(writer_).current->generation, 2u);
    EXPECT_TRUE(std::string(bytes, size) == before);
}

TEST_F(Commit, P2_successor_words_are_stored_once) {
    auto words = [&] {
        std::vector<uint32_t> all;
        core::Frame frame;
        const core::SegmentMap &map = inside(writer_).current->map;
        core::FrameWalk walk(map, core::first_place, inside(writer_).committed);
        while (walk.next(frame) == 1) { all.push_back(core::load_successor(map.frame(frame.place).successor)); }
        return all;
    };
    std::vector<uint32_t> before;
    for (int round = 0; round < 12; ++round) {
        commit_of_every_kind(writer_, round);
        std::vector<uint32_t> after = words();
        for (size_t i = 0; i < before.size(); ++i) {
            if (before[i] != 0) { EXPECT_EQ(after[i], before[i]); }
        }
        before = after;
    }
}

TEST_F(Commit, makes_no_system_call) {
    writer_.close(), reader_.close();
    Faults faults;
    Handle writer = open_writer(name_);
    for (int round = 0; round < 3; ++round) {
        put_key(writer, "k", "v"), put_chunk(writer, "x"), put_chunk(writer, "t", living(5));
        faults.reset_counts();
        commit(writer);
        EXPECT_EQ(speculo_rollback(writer), 0);
        for (size_t i = 0; i < site_count; ++i) { EXPECT_EQ(faults.calls(site_at(i)), 0u) << site_name(site_at(i)); }
    }
    writer.close();
    EXPECT_EQ(faults.leaks(), "");
}

} // namespace
