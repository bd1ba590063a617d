// SPDX-License-Identifier: LGPL-2.1-or-later
// The end that a reader goes by: the walk from the hint, and what happens when the hint moves under it.
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "bare_segment.hpp"

namespace {

using namespace speculo::test;
using namespace speculo::core;

class End : public testing::Test {
protected:
    // Stores frames of `places` places each, committed.
    uint32_t store(uint32_t place, std::initializer_list<uint32_t> frames) {
        for (uint32_t places : frames) {
            FrameSpec spec;
            spec.payload = std::string((places - 1) * place_size, 'x');
            place = store_frame(map, place, spec);
        }
        return place;
    }
    void store_control(uint32_t place, uint32_t kind) {
        put(map.frame(place).id_flags, pack_id(0, kind));
        put(map.frame(place).commit, 1u);
    }
    void set_hint(uint32_t place) { put(map.header().hint, place); }
    int find(uint32_t from, uint32_t &end) {
        auto call = [](void *user) {
            auto &test = *static_cast<End *>(user);
            ++test.refreshed;
            return test.refresh ? test.refresh() : 0;
        };
        return find_end(map, from, call, this, end);
    }
    uint32_t end_from(uint32_t from) {
        uint32_t end = 0;
        EXPECT_EQ(find(from, end), 0);
        return end;
    }
    int failure_from(uint32_t from) {
        uint32_t end = 4711;
        int error = find(from, end);
        EXPECT_EQ(end, 4711u) << "an output that a failure changed";
        return error;
    }

    BareSegment segment{64 << 10};
    SegmentMap &map = segment.map();
    std::function<int()> refresh; // what the system says when it is asked how far the segment has grown
    int refreshed = 0;
};

TEST_F(End, is_the_first_zero_word) {
    EXPECT_EQ(end_from(first_place), first_place);
    uint32_t end = store(first_place, {1, 5, 300, 2});
    EXPECT_EQ(end_from(first_place), end);
    EXPECT_EQ(end_from(2), end); // from any frame that was reached
    EXPECT_EQ(end_from(end), end);
    EXPECT_EQ(refreshed, 0);
}

TEST_F(End, is_the_place_of_END) {
    uint32_t end = store(first_place, {3, 3});
    store_control(end, control_end);
    store(end + 1, {1}); // nobody looks behind it
    EXPECT_EQ(end_from(first_place), end);
    EXPECT_EQ(end_from(end), end);
}

TEST_F(End, padding_and_markers_are_walked_over) {
    uint32_t place = store(first_place, {2});
    store_control(place, control_marker);
    store_control(place + 1, control_padding);
    uint32_t end = store(place + 2, {4});
    EXPECT_EQ(end_from(first_place), end);
}

TEST_F(End, is_walked_to_from_the_hint_if_that_is_further) {
    uint32_t middle = store(first_place, {3, 3}), end = store(middle, {4});
    set_hint(middle);
    put(map.frame(2).id_flags, ~uint64_t(0)); // what lies before is not looked at
    put(map.frame(first_place).id_flags, ~uint64_t(0));
    EXPECT_EQ(end_from(first_place), end);
    set_hint(first_place);
    EXPECT_EQ(end_from(middle), end); // a cursor may be further than the hint
}

TEST_F(End, a_hint_that_moves_under_the_walk_is_the_end) {
    uint32_t b = store(first_place, {2}), c = store(b, {2}), d = store(c, {2});
    store(d, {2}); // of a batch that is being published; only its hint would tell
    map.readable = b;
    refresh = [&] { // the walk stands before b
        map.readable = 1000;
        set_hint(d);
        return 0;
    };
    EXPECT_EQ(end_from(first_place), d);
}

TEST_F(End, a_hint_behind_the_beginning_of_the_walk_is_not_gone_by) {
    uint32_t b = store(first_place, {2}), c = store(b, {2}), end = store(c, {2});
    map.readable = c;
    refresh = [&] {
        map.readable = 1000;
        set_hint(b); // a late one
        return 0;
    };
    EXPECT_EQ(end_from(b), end);
}

TEST_F(End, looks_how_far_the_segment_has_grown_and_no_more_often_than_needed) {
    uint32_t b = store(first_place, {2}), end = store(b, {2});
    map.readable = b;
    refresh = [&] { return map.readable = end + 1, 0; };
    EXPECT_EQ(end_from(first_place), end);
    EXPECT_EQ(refreshed, 1);
    map.readable = b + 1; // the frame's header is there, its payload is not
    EXPECT_EQ(end_from(first_place), end);
    EXPECT_EQ(refreshed, 2);
}

TEST_F(End, P10_beyond_what_is_there_is_damage) {
    uint32_t end = store(first_place, {2, 2});
    map.readable = end;
    EXPECT_EQ(failure_from(first_place), -EBADMSG);
    EXPECT_EQ(refreshed, 1);
    map.readable = end - 1; // in the middle of a frame
    EXPECT_EQ(failure_from(first_place), -EBADMSG);
    map.readable = 1000;
    for (uint32_t hint : {1000u, 1001u, UINT32_MAX}) {
        set_hint(hint);
        EXPECT_EQ(failure_from(first_place), -EBADMSG) << hint;
    }
}

TEST_F(End, P10_a_hint_that_moves_beyond_what_is_there_is_damage) {
    uint32_t b = store(first_place, {2});
    store(b, {2});
    map.readable = b;
    refresh = [&] { return map.readable = 1000, set_hint(1000), 0; };
    EXPECT_EQ(failure_from(first_place), -EBADMSG);
    EXPECT_EQ(refreshed, 2);
}

TEST_F(End, P10_a_senseless_frame_is_damage) {
    uint32_t end = store(first_place, {2, 2});
    store_control(end, frame_control | 0x3f);
    EXPECT_EQ(failure_from(first_place), -EBADMSG);
}

TEST_F(End, errors_of_the_system_are_passed_on) {
    uint32_t end = store(first_place, {2});
    refresh = [] { return -EIO; };
    map.readable = end;
    EXPECT_EQ(failure_from(first_place), -EIO);
    map.readable = end - 1;
    EXPECT_EQ(failure_from(first_place), -EIO);
}

// ---- walks to an end --------------------------------------------------------------------------------------------------------

TEST_F(End, a_walk_gives_each_frame_below_it) {
    uint32_t end = store(first_place, {1, 5, 2});
    store(end, {3}); // committed since
    FrameWalk walk(map, first_place, end);
    Frame frame;
    for (uint32_t place : {1u, 2u, 7u}) {
        ASSERT_EQ(walk.next(frame), 1);
        EXPECT_EQ(frame.place, place);
    }
    EXPECT_EQ(walk.next(frame), 0);
    EXPECT_EQ(walk.next(frame), 0);
}

TEST_F(End, P10_a_walk_refuses_zero_words_and_frames_that_overlap_it) {
    uint32_t end = store(first_place, {2, 4});
    Frame frame;
    FrameWalk overlapping(map, first_place, end - 1);
    EXPECT_EQ(overlapping.next(frame), 1);
    EXPECT_EQ(overlapping.next(frame), -EBADMSG);
    EXPECT_EQ(overlapping.next(frame), -EBADMSG); // and stays there
    FrameWalk unfinished(map, first_place, end + 1);
    EXPECT_EQ(unfinished.next(frame), 1);
    EXPECT_EQ(unfinished.next(frame), 1);
    EXPECT_EQ(unfinished.next(frame), -EBADMSG);
    EXPECT_EQ(FrameWalk(map, first_place, map.readable + 1).next(frame), -EBADMSG);
}

} // namespace
