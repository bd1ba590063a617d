// SPDX-License-Identifier: LGPL-2.1-or-later
// A cursor's way from segment to segment: END, jumps, and what happens when the way is barred, damaged or gone.
#include <gtest/gtest.h>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;
constexpr uint32_t default_segments = 3;
constexpr uint64_t tries = 64;

Ids next_ids(speculo_area *reader) { return ids_of(read_all(reader)); }

class Chain : public testing::Test {
protected:
    uint64_t put(const ChunkOptions &options = {}) { return commit_chunk(writer, "x", options); }
    int next(speculo_chunk *ret_chunk = nullptr) {
        speculo_chunk chunk{};
        return speculo_read_next(reader, ret_chunk ? ret_chunk : &chunk);
    }

    Faults faults; // first of all and so last to go
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

TEST_F(Chain, END_leads_through_segments_in_which_nothing_happened) {
    uint64_t a = put();
    for (uint32_t i = 0; i < default_segments; ++i) { compact_now(writer); }
    uint64_t b = put();
    EXPECT_EQ(next_ids(reader), (Ids{a, b}));
    EXPECT_EQ(info_of(reader).jumps, 0u);
}

TEST_F(Chain, P5_transient_chunks_are_seen_unless_a_whole_round_behind) {
    Ids written = {put(transient())};
    for (uint32_t i = 0; i < default_segments; ++i) {
        compact_now(writer);
        written.push_back(put(transient()));
    }
    EXPECT_EQ(next_ids(reader), written);
    EXPECT_EQ(info_of(reader).jumps, 0u);
    EXPECT_EQ(info_of(reader).skipped, 0u);
}

TEST_F(Chain, P5_a_jump_loses_nothing_live_and_is_told_once) {
    uint64_t a = put(transient()), b = put();
    for (uint32_t i = 0; i <= default_segments; ++i) {
        compact_now(writer);
        put(transient());
    }
    uint64_t last = put();
    speculo_chunk view;
    ASSERT_EQ(next(&view), 1);
    EXPECT_EQ(view.id, a);
    EXPECT_EQ(view.flags, SPECULO_CHUNK_TRANSIENT);
    ASSERT_EQ(next(&view), 1);
    EXPECT_EQ(view.id, b);
    ASSERT_EQ(next(&view), 1); // the transient one of the current segment, behind those of three that were jumped over
    EXPECT_EQ(view.id, last - 1);
    EXPECT_EQ(view.flags, SPECULO_CHUNK_TRANSIENT | SPECULO_CHUNK_JUMPED);
    EXPECT_EQ(view.skipped, default_segments);
    ASSERT_EQ(next(&view), 1);
    EXPECT_EQ(view.id, last);
    EXPECT_EQ(view.flags, 0u);
    EXPECT_EQ(info_of(reader).jumps, 1u);
    EXPECT_EQ(info_of(reader).skipped, default_segments);
}

TEST_F(Chain, P6_a_jump_delivers_nothing_again) {
    Ids written;
    for (int i = 0; i < 10; ++i) { written.push_back(put()); }
    EXPECT_EQ(next_ids(reader), written);
    for (uint32_t i = 0; i <= default_segments; ++i) { compact_now(writer); }
    EXPECT_EQ(next_ids(reader), Ids{});
    EXPECT_EQ(info_of(reader).jumps, 1u);
    EXPECT_EQ(info_of(reader).skipped, 0u);
}

TEST_F(Chain, JUMPED_stays_pending_until_a_chunk_is_delivered) {
    for (uint32_t i = 0; i <= default_segments; ++i) { compact_now(writer); }
    EXPECT_EQ(next(), 0);
    EXPECT_EQ(info_of(reader).jumps, 1u); // in a quiet area this alone tells
    compact_now(writer);
    EXPECT_EQ(next(), 0);
    put();
    speculo_chunk view;
    ASSERT_EQ(next(&view), 1);
    EXPECT_EQ(view.flags, SPECULO_CHUNK_JUMPED);
}

TEST_F(Chain, history_shows_what_was_live_when_it_retired) {
    uint64_t a = put();
    compact_now(writer);
    uint64_t b = put(superseding(a));
    EXPECT_EQ(next_ids(reader), (Ids{a, b}));
    Handle late = open_reader(name);
    EXPECT_EQ(next_ids(late), Ids{b});
}

TEST_F(Chain, a_growing_segment_is_followed) {
    AreaName other;
    Handle grown = make_area(other, uint64_t(4) << 20);
    Handle follower = open_reader(other);
    Ids written;
    for (int i = 0; i < 60; ++i) { written.push_back(commit_chunk(grown, std::string(60000, 'x'))); }
    EXPECT_EQ(info_of(grown).generation, 1u);
    EXPECT_EQ(next_ids(follower), written);
}

TEST_F(Chain, larger_segments_are_followed) {
    AreaName other;
    AreaOptions options(4096);
    options.max_capacity = 1 << 20;
    Handle grown = make_area(other, options);
    Handle follower = open_reader(other);
    Ids written;
    for (int i = 0; i < 500; ++i) {
        written.push_back(commit_chunk(grown, std::string(1000, 'x')));
        if (i % 3 == 0) { EXPECT_EQ(ids_of(read_all(follower)).back(), written.back()); }
    }
    EXPECT_GT(info_of(grown).capacity, 500000u);
    EXPECT_EQ(info_of(follower).skipped, 0u);
}

// ---- barred -----------------------------------------------------------------------------------------------------------------

TEST_F(Chain, a_refused_entry_is_tried_a_bounded_number_of_times_and_changes_nothing) {
    uint64_t a = put();
    EXPECT_EQ(next_ids(reader), Ids{a});
    SegmentProbe old = current_segment(name);
    compact_now(writer);
    uint64_t b = put();
    SegmentProbe current = current_segment(name);
    uint64_t generation = current.generation();
    core::publish_generation(current.map().header().generation, 0); // as while it is taken
    faults.reset_counts();
    EXPECT_EQ(next(), -EAGAIN);
    EXPECT_EQ(faults.calls(Site::lock), os::has_range_locks ? 1 + tries : 0);
    if (os::has_range_locks) {
        EXPECT_EQ(old.locks(), "cursor");
        EXPECT_EQ(current.locks(), "free");
    }
    EXPECT_EQ(speculo_seek(reader, 0), -EAGAIN);
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), -EAGAIN);
    EXPECT_EQ(snapshot, nullptr);
    core::publish_generation(current.map().header().generation, generation);
    EXPECT_EQ(next_ids(reader), Ids{b});
    EXPECT_EQ(info_of(reader).jumps, 0u);
}

TEST_F(Chain, an_error_on_the_way_is_told_and_the_next_try_goes_on) {
    Ids written = {put()};
    compact_now(writer);
    written.push_back(put());
    EXPECT_EQ(next(), 1);
    std::vector<std::pair<Site, uint64_t>> ways = {{Site::allocate, 1}, {Site::open, 1}, {Site::status, 1}};
    std::vector<std::pair<Site, uint64_t>> more = {{Site::open, 2}, {Site::status, 2}, {Site::read_at, 1}, {Site::map, 1}};
    if (are_readers_untrusting()) { more = {{Site::read_at, 1}, {Site::read_at, 2}, {Site::read_at, 5}}; }
    ways.insert(ways.end(), more.begin(), more.end());
    for (auto [site, call] : ways) {
        faults.reset_counts();
        faults.fail(site, call, ENOMEM);
        EXPECT_EQ(next(), -ENOMEM) << site_name(site) << ' ' << call;
        faults.heal();
        EXPECT_EQ(faults.fired(), 1u);
    }
    EXPECT_EQ(next_ids(reader), Ids{written[1]});
}

// ---- damaged ----------------------------------------------------------------------------------------------------------------

TEST_F(Chain, damage_is_told_until_a_seek) {
    put();
    uint64_t b = put(), c = put();
    SegmentProbe segment = current_segment(name);
    core::FrameHeader &frame = segment.frame_of(b);
    uint32_t word = core::peek(frame.commit);
    EXPECT_EQ(next(), 1);
    core::put(frame.commit, core::size_follows - 1);
    EXPECT_EQ(next(), -EBADMSG);
    core::put(frame.commit, word);
    EXPECT_EQ(next(), -EBADMSG); // sticky
    EXPECT_EQ(speculo_seek(reader, b), 0);
    EXPECT_EQ(next_ids(reader), (Ids{b, c}));
}

TEST_F(Chain, an_END_that_leads_back_is_damage) {
    put();
    EXPECT_EQ(next(), 1);
    SegmentProbe old = current_segment(name);
    uint64_t own = AreaProbe(name).current();
    compact_now(writer);
    core::put(old.map().frame(old.end()).id_flags, core::pack_id(own, core::control_end));
    EXPECT_EQ(next(), -EBADMSG);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(next_ids(reader), Ids{1});
}

TEST_F(Chain, a_current_that_went_back_is_damage) {
    uint64_t own = AreaProbe(name).current();
    SegmentProbe old = current_segment(name);
    compact_now(writer);
    uint64_t now = AreaProbe(name).current();
    core::FrameHeader &end = old.map().frame(old.end());
    core::store_successor(end.successor, core::peek(end.successor) + 1); // so it cannot be followed directly
    AreaProbe probe(name);
    core::publish_current(probe.control().current, own);
    EXPECT_EQ(next(), -EBADMSG);
    if (os::has_range_locks) { EXPECT_EQ(old.is_locked(0), true); }
    core::publish_current(probe.control().current, now);
}

// ---- gone -------------------------------------------------------------------------------------------------------------------

class Removed : public Chain {
protected:
    void remove() {
        writer.close();
        ASSERT_EQ(speculo_area_remove(name.c_str()), 0);
    }
    int open_snapshot() {
        speculo_snapshot *snapshot = nullptr;
        int error = speculo_snapshot_open(reader, &snapshot);
        speculo_snapshot_close(snapshot);
        return error;
    }
};

TEST_F(Removed, area_is_read_to_its_end_before_ESTALE) {
    Ids written = {put(), put()};
    remove();
    EXPECT_EQ(open_snapshot(), 0);
    EXPECT_EQ(speculo_seek(reader, written[0]), 0);
    EXPECT_EQ(next_ids(reader), written);
    EXPECT_EQ(open_snapshot(), -ESTALE);
    EXPECT_EQ(speculo_seek(reader, 0), -ESTALE);
    EXPECT_EQ(next(), 0);
}

TEST_F(Removed, segments_that_are_gone_are_ESTALE_when_the_cursor_would_go_there) {
    uint64_t a = put();
    compact_now(writer);
    put();
    remove();
    speculo_chunk view;
    ASSERT_EQ(next(&view), 1);
    EXPECT_EQ(view.id, a);
    EXPECT_EQ(next(), -ESTALE);
    EXPECT_EQ(next(), -ESTALE);
}

TEST_F(Removed, a_segment_that_the_handle_has_open_can_still_be_reached) {
    put();
    compact_now(writer);
    uint64_t b = commit_key(writer, "k", "value");
    EXPECT_EQ(value_of(reader, "k"), "value"); // maps the current one
    remove();
    EXPECT_EQ(next_ids(reader), (Ids{1, b}));
    EXPECT_EQ(value_of(reader, "k"), "value");
    EXPECT_EQ(open_snapshot(), -ESTALE);
}

TEST_F(Removed, and_made_anew_is_another_area) {
    put();
    remove();
    Handle again = make_area(name, capacity);
    commit_chunk(again, "new");
    EXPECT_EQ(next_ids(reader), Ids{1});
    EXPECT_EQ(speculo_seek(reader, 0), -ESTALE);
    EXPECT_EQ(next(), 0);
    EXPECT_EQ(read_all(open_reader(name))[0].payload, "new");
}

TEST_F(Removed, readers_without_cursor_are_told_at_once) {
    commit_key(writer, "k", "value");
    Handle keys = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(value_of(keys, "k"), "value");
    remove();
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(keys, &snapshot), -ESTALE);
    EXPECT_EQ(value_of(keys, "k"), "value"); // what it has, it keeps
}

} // namespace
