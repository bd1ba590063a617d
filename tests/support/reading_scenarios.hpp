// SPDX-License-Identifier: LGPL-2.1-or-later
// Scenarios of the reader's side.
#pragma once

#include "writing_scenarios.hpp"

namespace speculo::test::reading_scenarios {

using namespace writing_scenarios;

inline int open_as_reader(Stage &stage) { return open_into(stage, stage.reader, SPECULO_OPEN_READ); }
inline int open_at_end(Stage &stage) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.prefault = small;
    return open_into(stage, stage.reader, SPECULO_OPEN_AT_END, &options);
}
inline int open_without_cursor(Stage &stage) { return open_into(stage, stage.reader, SPECULO_OPEN_NO_CURSOR); }

inline void make_and_close(Stage &stage) {
    make_small(stage);
    stage.writer.close();
}
// What had a deadline is hidden until a writer has seen to it.
inline int read_after_boot(Stage &stage) {
    int error = stage.reader ? 0 : open_as_reader(stage);
    while (error >= 0 && (error = speculo_read_next(stage.reader, &stage.chunk)) == 1) { stage.note(stage.chunk); }
    return error;
}

// ---- the cursor ----

inline void stand_at_the_end(Stage &stage, int compactions) {
    make_small(stage);
    stage.reader = open_reader(stage.name);
    read_all(stage.reader);
    for (int i = 0; i < compactions; ++i) {
        compact_now(stage.writer);
        commit_chunk(stage.writer, std::string("after compaction ") + char('1' + i), transient());
    }
}
inline void be_one_behind(Stage &stage) { stand_at_the_end(stage, 1); }
inline void be_far_behind(Stage &stage) { stand_at_the_end(stage, 6); }

// The segment has grown since the reader measured it.
inline void stand_in_a_growing_segment(Stage &stage) {
    make_roomy(stage);
    stage.reader = open_reader(stage.name);
    read_all(stage.reader);
    put_large(stage), put_large(stage);
}

inline int read_rest(Stage &stage) {
    int found;
    while ((found = speculo_read_next(stage.reader, &stage.chunk)) == 1) { stage.note(stage.chunk); }
    return found;
}

inline int seek_to_third(Stage &stage) {
    int error = stage.log.empty() ? speculo_seek(stage.reader, 3) : 0; // goes on where it failed
    return error < 0 ? error : read_rest(stage);
}

// ---- what is live ----

inline int read_b(Stage &stage) {
    int found = speculo_read_key(stage.reader, "b", 1, &stage.chunk);
    if (found == 1) { stage.note(stage.chunk); }
    return found;
}
inline void have_a_new_reader(Stage &stage) {
    make_small(stage);
    stage.reader = open_reader(stage.name, SPECULO_OPEN_NO_CURSOR);
}
inline void have_read_before_a_switch(Stage &stage) {
    have_a_new_reader(stage);
    EXPECT_EQ(read_b(stage), 1);
    EXPECT_EQ(speculo_chunk_hold(stage.reader, &stage.chunk), 0);
    std::swap(stage.held, stage.chunk);
    compact_now(stage.writer);
    commit_key(stage.writer, "b", "b2");
}
inline int ask_for_life(Stage &stage) {
    int live = speculo_chunk_is_live(stage.reader, &stage.held);
    if (live >= 0) { stage.note("live " + std::to_string(live)); }
    return live;
}

// The deadline makes it ask for the clock.
inline int open_snapshot(Stage &stage) {
    int error = stage.snapshot ? 0 : speculo_snapshot_open(stage.reader, &stage.snapshot);
    if (error < 0) {
        EXPECT_EQ(stage.snapshot, nullptr);
        return error;
    }
    int found;
    while ((found = speculo_snapshot_next(stage.snapshot, &stage.chunk)) == 1) { stage.note(stage.chunk); }
    if (found == 0 && (found = speculo_snapshot_key(stage.snapshot, "b", 1, &stage.chunk)) == 1) { stage.note(stage.chunk); }
    return found;
}

inline void have_two_views(Stage &stage) {
    have_read_before_a_switch(stage);
    stage.reader.close();
    stage.reader = open_reader(stage.name);
    EXPECT_EQ(speculo_read_next(stage.reader, &stage.chunk), 1);
}
inline int hold_and_release(Stage &stage) {
    int error = speculo_chunk_hold(stage.reader, &stage.chunk);
    speculo_chunk_release(&stage.chunk);
    speculo_chunk_release(&stage.held); // of a handle that is closed
    return error;
}

inline void have_everything(Stage &stage) {
    have_read_before_a_switch(stage);
    EXPECT_EQ(speculo_snapshot_open(stage.reader, &stage.snapshot), 0);
    EXPECT_EQ(read_b(stage), 1);
}
inline int close_all(Stage &stage) {
    stage.reader.close();
    stage.snapshot = speculo_snapshot_close(stage.snapshot);
    speculo_chunk_release(&stage.held);
    return 0;
}

inline int ask_for_info(Stage &stage, speculo_area *area) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    int error = speculo_area_get_info(area, &info);
    if (error < 0) { return error; }
    stage.note(std::to_string(info.live_chunks) + " live, newest " + std::to_string(info.newest_id) + ", mode " +
               std::to_string(info.mode) + ", segments " + std::to_string(info.segments) + ", alive " +
               std::to_string(info.writer_alive != 0));
    return 0;
}
inline int ask_reader(Stage &stage) { return ask_for_info(stage, stage.reader); }
inline int ask_writer(Stage &stage) { return ask_for_info(stage, stage.writer); }

inline void be_caught_up(Stage &stage) {
    make_small(stage);
    stage.reader = open_reader(stage.name);
    read_all(stage.reader);
}
inline int wait_a_little(Stage &stage) {
    int64_t timeout = are_readers_untrusting() ? 3 : 50; // they have far more to fail
    return speculo_wait(stage.reader, timeout * int64_t(ms));
}
inline int use_descriptor(Stage &stage) {
    int fd = speculo_area_get_fd(stage.reader);
    return fd < 0 ? fd : speculo_area_dispatch(stage.reader);
}

// Everything that a check looks at: history, keys, END.
inline void have_history(Stage &stage) {
    make_small(stage);
    for (int i = 0; i < 3; ++i) {
        compact_now(stage.writer);
        commit_key(stage.writer, "a", "again"), commit_key(stage.writer, "new", "key");
    }
}
inline int check_all(Stage &stage) {
    int error = speculo_area_check(stage.name.c_str(), nullptr, nullptr);
    if (error == 0) { stage.note("sound"); }
    return error;
}

inline int ask_for_time(Stage &) {
    speculo_now();
    EXPECT_NE(speculo_strerror(-ENOENT), nullptr);
    return 0;
}

// Those in which a reader reads.
inline std::vector<Scenario> of_readers() {
    return {
        {"open_as_reader", ordinary, make_small, open_as_reader},
        {"open_at_end", ordinary, make_roomy, open_at_end},
        {"open_without_cursor", ordinary, make_small, open_without_cursor},
        {"open_on_a_disk", on_a_disk, make_and_close, open_as_reader},
        {"read_after_a_boot", on_a_disk, be_shut_down, read_after_boot},
        {"read_next_into_the_successor", ordinary, be_one_behind, read_rest},
        {"read_next_that_jumps", ordinary, be_far_behind, read_rest},
        {"read_next_in_a_growing_segment", ordinary, stand_in_a_growing_segment, read_rest},
        {"seek_after_a_switch", ordinary, be_one_behind, seek_to_third},
        {"first_read_key", ordinary, have_a_new_reader, read_b},
        {"read_key_after_a_switch", ordinary, have_read_before_a_switch, read_b},
        {"is_live_after_a_switch", ordinary, have_read_before_a_switch, ask_for_life},
        {"hold_and_release", never_fails, have_two_views, hold_and_release},
        {"snapshot", ordinary, have_read_before_a_switch, open_snapshot},
        {"info_of_a_reader", believes_names, have_read_before_a_switch, ask_reader},
        {"close_of_a_reader", never_fails, have_everything, close_all},
        {"wait", ordinary, be_caught_up, wait_a_little},
        {"descriptor", ordinary, be_caught_up, use_descriptor},
    };
}

inline std::vector<Scenario> all() {
    std::vector<Scenario> scenarios = of_readers();
    scenarios.insert(scenarios.end(), {
                                          {"info_of_a_writer", believes_names, make_small, ask_writer},
                                          {"check", ordinary, have_history, check_all},
                                          {"check_of_what_is_left", ordinary, be_left_by_a_crash, check_all},
                                          {"check_on_a_disk", on_a_disk, make_and_close, check_all},
                                          {"now", never_fails, nothing, ask_for_time},
                                      });
    return scenarios;
}

} // namespace speculo::test::reading_scenarios
