// SPDX-License-Identifier: LGPL-2.1-or-later
// Holds: a chunk's bytes stay as they are until released, whatever becomes of views, handles and segments.
#include <gtest/gtest.h>

#include <thread>

#include "child.hpp"
#include "faults.hpp"
#include "payload.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;
// A copy of one's own pins nothing.
const std::string inside =
    os::has_range_locks && !are_readers_untrusting() ? "view" : "free"; // how a segment is locked by a hold
const std::string with_cursor = os::has_range_locks ? "cursor" : "free";

speculo_chunk next_of(speculo_area *reader) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
    return chunk;
}

speculo_chunk key_of(speculo_area *reader, const std::string &key) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(reader, key.data(), key.size(), &chunk), 1);
    return chunk;
}

class Hold : public testing::Test {
protected:
    void SetUp() override { commit_key(writer, "k", "held"); }

    // The writer goes round through all segments, more than once, and writes into each of them.
    void churn() {
        for (int i = 0; i < 8; ++i) {
            fill_segment(writer, 500, transient());
            compact_now(writer);
        }
    }
    void hold(speculo_chunk &view) { EXPECT_EQ(speculo_chunk_hold(reader, &view), 0); }

    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

TEST_F(Hold, P7_bytes_stay_unchanged_through_many_compactions) {
    std::vector<speculo_chunk> held;
    std::vector<uint64_t> ids;
    for (int i = 0; i < 60; ++i) {
        size_t size = least_payload + size_t(i * 17 % 900);
        void *data = nullptr;
        uint64_t id = 0;
        ASSERT_EQ(speculo_chunk_alloc(writer, size, nullptr, &data, &id), 0);
        fill_payload(data, size, id, 1, uint64_t(i));
        commit(writer);
        EXPECT_EQ(speculo_chunk_obsolete(writer, id - 1), 0);
        commit(writer);
        speculo_chunk view{};
        while (speculo_read_next(reader, &view) == 1 && view.id != id) {}
        ASSERT_EQ(view.id, id);
        hold(view);
        held.push_back(view);
        if (i % 4 == 3) { compact_now(writer); }
    }
    churn();
    for (speculo_chunk &view : held) { EXPECT_TRUE(check_payload(view.data, view.size, view.id)) << view.id; }
    reader.close();
    churn();
    for (speculo_chunk &view : held) {
        EXPECT_TRUE(check_payload(view.data, view.size, view.id)) << view.id;
        speculo_chunk_release(&view);
    }
}

TEST_F(Hold, P7_every_kind_of_view_can_be_held) {
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    speculo_chunk next = next_of(reader), key = key_of(reader, "k"), shot{}, shot_key{};
    ASSERT_EQ(speculo_snapshot_next(snapshot, &shot), 1);
    ASSERT_EQ(speculo_snapshot_key(snapshot, "k", 1, &shot_key), 1);
    for (speculo_chunk *view : {&next, &key, &shot, &shot_key}) { hold(*view); }
    speculo_snapshot_close(snapshot);
    reader.close();
    churn();
    for (speculo_chunk *view : {&next, &key, &shot, &shot_key}) {
        EXPECT_EQ(seen(*view).payload, "held");
        EXPECT_EQ(seen(*view).key, "k");
        speculo_chunk_release(view);
    }
}

TEST_F(Hold, may_be_moved_with_its_struct) {
    SegmentProbe segment = current_segment(name);
    speculo_chunk view = next_of(reader);
    hold(view);
    speculo_chunk moved = view;
    view = speculo_chunk{};
    reader.close();
    speculo_chunk_release(&view); // never held
    EXPECT_EQ(segment.locks(), inside);
    churn();
    EXPECT_EQ(seen(moved).payload, "held");
    speculo_chunk_release(&moved);
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Hold, release_clears_the_view_and_is_idle_the_second_time) {
    SegmentProbe segment = current_segment(name);
    speculo_chunk view = next_of(reader), other = key_of(reader, "k");
    hold(view);
    hold(other);
    speculo_chunk_release(&view);
    EXPECT_EQ(view.data, nullptr);
    EXPECT_EQ(view.size, 0u);
    EXPECT_EQ(view.key, nullptr);
    speculo_chunk_release(&view);
    speculo_chunk_release(&view);
    speculo_chunk_release(nullptr);
    reader.close();
    EXPECT_EQ(segment.locks(), inside); // the other one's
    EXPECT_EQ(seen(other).payload, "held");
    speculo_chunk_release(&other);
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Hold, release_of_a_view_that_is_not_held_leaves_it_alone) {
    speculo_chunk view = next_of(reader);
    speculo_chunk_release(&view);
    EXPECT_EQ(seen(view).payload, "held");
}

TEST_F(Hold, on_a_held_view_changes_nothing) {
    SegmentProbe segment = current_segment(name);
    speculo_chunk view = next_of(reader);
    hold(view);
    hold(view);
    EXPECT_EQ(speculo_read_next(reader, &view), 0); // ends the view, not the hold
    hold(view);
    reader.close();
    EXPECT_EQ(segment.locks(), inside);
    speculo_chunk_release(&view); // once is enough
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Hold, may_be_released_in_another_thread) {
    SegmentProbe segment = current_segment(name);
    for (bool is_closed_first : {false, true}) {
        Handle own = open_reader(name);
        std::vector<speculo_chunk> held;
        for (int i = 0; i < 200; ++i) {
            EXPECT_EQ(speculo_seek(own, 0), 0);
            held.push_back(next_of(own));
            EXPECT_EQ(speculo_chunk_hold(own, &held.back()), 0);
        }
        if (is_closed_first) { own.close(); }
        auto release = [&held](size_t first) {
            for (size_t i = first; i < held.size(); i += 2) {
                EXPECT_EQ(seen(held[i]).payload, "held");
                speculo_chunk_release(&held[i]);
            }
        };
        std::thread even(release, 0), odd(release, 1);
        own.close();
        even.join();
        odd.join();
    }
    reader.close();
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Hold, an_outdated_view_is_refused) {
    commit_chunk(writer, "second");
    speculo_chunk first = next_of(reader), second = next_of(reader);
    EXPECT_EQ(speculo_chunk_hold(reader, &first), -EINVAL);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(speculo_chunk_hold(reader, &second), -EINVAL);
    speculo_chunk third = next_of(reader), none{};
    EXPECT_EQ(speculo_read_next(reader, &none), 1);
    EXPECT_EQ(speculo_read_next(reader, &none), 0); // caught up: also this ends the last view
    EXPECT_EQ(speculo_chunk_hold(reader, &none), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(reader, &third), -EINVAL);

    speculo_chunk key = key_of(reader, "k");
    EXPECT_EQ(value_of(reader, "none"), no_value);
    EXPECT_EQ(speculo_chunk_hold(reader, &key), -EINVAL);

    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    speculo_chunk shot{};
    ASSERT_EQ(speculo_snapshot_next(snapshot, &shot), 1);
    speculo_snapshot_close(snapshot);
    EXPECT_EQ(speculo_chunk_hold(reader, &shot), -EINVAL);
}

TEST_F(Hold, kinds_of_views_do_not_outdate_each_other) {
    speculo_chunk next = next_of(reader), key = key_of(reader, "k");
    speculo_snapshot *first = nullptr, *second = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &first), 0);
    ASSERT_EQ(speculo_snapshot_open(reader, &second), 0);
    speculo_chunk shot{};
    ASSERT_EQ(speculo_snapshot_next(first, &shot), 1);
    speculo_snapshot_close(second);
    compact_now(writer);
    for (speculo_chunk *view : {&next, &key, &shot}) {
        hold(*view);
        EXPECT_EQ(seen(*view).payload, "held");
    }
    speculo_snapshot_close(first);
    for (speculo_chunk *view : {&next, &key, &shot}) { speculo_chunk_release(view); }
}

TEST_F(Hold, a_refused_one_leaves_the_view_as_it_was) {
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(speculo_read_next(reader, &view), 0);
    speculo_chunk before = view;
    EXPECT_EQ(speculo_chunk_hold(reader, &view), -EINVAL);
    EXPECT_EQ(std::memcmp(&view, &before, sizeof view), 0);
}

TEST_F(Hold, another_handle_s_view_is_refused) {
    Handle other = open_reader(name);
    speculo_chunk view = next_of(other);
    EXPECT_EQ(next_of(reader).id, view.id);
    EXPECT_EQ(speculo_chunk_hold(reader, &view), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(other, &view), 0);
    EXPECT_EQ(speculo_chunk_hold(reader, &view), -EINVAL); // also when it is held
    speculo_chunk_release(&view);
}

TEST_F(Hold, a_writer_s_handle_and_nothing_are_refused) {
    speculo_chunk view = next_of(reader), empty{};
    EXPECT_EQ(speculo_chunk_hold(writer, &view), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(nullptr, &view), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(reader, nullptr), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(reader, &empty), -EINVAL);
}

TEST_F(Hold, outlives_the_area) {
    speculo_chunk view = next_of(reader);
    hold(view);
    writer.close();
    ASSERT_EQ(speculo_area_remove(name.c_str()), 0);
    reader.close();
    EXPECT_EQ(seen(view).payload, "held");
    speculo_chunk_release(&view);
}

TEST_F(Hold, is_the_parent_s_alone_after_a_fork) {
    SegmentProbe segment = current_segment(name);
    speculo_chunk view = next_of(reader);
    hold(view);
    EXPECT_EQ(run_in_child([&] {
                  bool is_refused = speculo_chunk_hold(reader, &view) == -ECHILD;
                  speculo_chunk_release(&view); // frees the child's memory only
                  reader.close();
                  return is_refused ? 0 : 1;
              }),
              0);
    EXPECT_EQ(segment.locks(), with_cursor);
    reader.close();
    EXPECT_EQ(segment.locks(), inside);
    churn();
    EXPECT_EQ(seen(view).payload, "held");
    speculo_chunk_release(&view);
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Hold, gives_everything_back) {
    Faults faults;
    AreaName other;
    {
        Handle second = make_area(other, capacity);
        Handle own = open_reader(other);
        std::vector<speculo_chunk> held;
        for (int i = 0; i < 10; ++i) {
            commit_chunk(second, "x", transient());
            held.push_back(next_of(own));
            EXPECT_EQ(speculo_chunk_hold(own, &held.back()), 0);
            compact_now(second);
        }
        for (size_t i = 0; i < 5; ++i) { speculo_chunk_release(&held[i]); }
        own.close();
        for (size_t i = 5; i < 10; ++i) { speculo_chunk_release(&held[i]); }
    }
    EXPECT_EQ(faults.leaks(), "");
}

} // namespace
