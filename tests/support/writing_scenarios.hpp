// SPDX-License-Identifier: LGPL-2.1-or-later
// Scenarios of the writer's side: how its role is taken and given up, and everything that alloc and its like may have to do.
#pragma once

#include "probe.hpp"
#include "scenario.hpp"

namespace speculo::test::writing_scenarios {

inline constexpr uint64_t small = 64 << 10, large = 512 << 10; // capacities
inline constexpr uint64_t hour = 3600 * 1000 * ms;
inline constexpr uint32_t create_flags = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE;

inline int open_into(Stage &stage, Handle &handle, uint32_t flags, const speculo_area_options *options = nullptr) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(stage.name.c_str(), with_trust(flags), options, &area);
    if (error < 0) { EXPECT_EQ(area, nullptr); }
    handle = Handle(area);
    return error;
}
inline int open_as_writer(Stage &stage) { return open_into(stage, stage.writer, SPECULO_OPEN_WRITE); }
inline int open_or_create(Stage &stage) { return open_into(stage, stage.writer, create_flags); }

// Allocates and fills. After a failure the outputs are as they were.
inline int put(Stage &stage, const ChunkOptions &options, size_t size) {
    void *data = nullptr;
    uint64_t id = 0;
    int error = speculo_chunk_alloc(stage.writer, size, &options, &data, &id);
    EXPECT_EQ(data == nullptr, error < 0);
    EXPECT_EQ(id == 0, error < 0);
    if (data) { std::memset(data, 'p', size); }
    return error;
}

inline int put_and_commit(Stage &stage, const ChunkOptions &options, size_t size) {
    int error = put(stage, options, size);
    return error < 0 ? error : speculo_commit(stage.writer);
}
inline int put_one(Stage &stage) {
    std::string key = "new";
    return put_and_commit(stage, ChunkOptions().with_key(key), 2000);
}

// Something of everything that may be lost.
inline void commit_some(Stage &stage) {
    commit_key(stage.writer, "a", "a1"), commit_key(stage.writer, "a", "a2"), commit_key(stage.writer, "b", "b1");
    put_key(stage.writer, "c", "c1", living(hour)), put_chunk(stage.writer, "plain");
    commit(stage.writer);
    commit_chunk(stage.writer, "gone"), commit_chunk(stage.writer, "transient", transient());
    EXPECT_EQ(speculo_chunk_obsolete(stage.writer, 6), 0);
    commit(stage.writer);
}

inline void make_with(Stage &stage, const AreaOptions &options) {
    stage.writer = make_area(stage.name, options);
    commit_some(stage);
}
inline void make_small(Stage &stage) { make_with(stage, AreaOptions(small)); }

inline void fill(Stage &stage) { fill_segment(stage.writer, 2000, transient()); }
// Chunks that compaction leaves behind, up to the end.
inline void make_full(Stage &stage, const AreaOptions &options) {
    make_with(stage, options);
    fill(stage);
}

inline void nothing(Stage &) {}

// ---- opening ----

inline int create(Stage &stage) {
    AreaOptions options(small);
    options.mode = 0644;
    return open_into(stage, stage.writer, create_flags | SPECULO_OPEN_EXCLUSIVE, &options);
}
inline int create_resident(Stage &stage) {
    AreaOptions options(small);
    options.prefault = 300 << 10; // in all three segments
    return open_into(stage, stage.writer, create_flags, &options);
}
inline int create_in_huge_pages(Stage &stage) {
    AreaOptions options(os::huge_page);
    options.prefault = os::huge_page; // one of them
    return open_into(stage, stage.writer, create_flags, &options);
}

inline void be_left(Stage &stage) {
    make_small(stage);
    compact_now(stage.writer), compact_now(stage.writer);
    put_chunk(stage.writer, "pending");
    stage.writer.close();
}

// As a writer leaves it that dies in the middle of a switch: without END, and with an object that has no place in the table.
inline void be_left_by_a_crash(Stage &stage) {
    be_left(stage);
    AreaProbe area(stage.name);
    uint64_t generation = core::current_generation(area.current());
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe segment = area.segment(slot);
        if (segment.generation() + 1 == generation) { core::put(segment.map().frame(segment.end()).commit, 0u); }
    }
    close(::open(stage.name.path("@7.0badcafe").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

inline void be_half_made(Stage &stage) {
    make_area(stage.name, small).close();
    AreaProbe area(stage.name);
    core::publish_current(area.control().current, 0);
}

inline void be_half_removed(Stage &stage) {
    make_area(stage.name, small).close();
    AreaProbe area(stage.name);
    core::publish_mark(area.control().marks, core::mark_removed);
}

inline int open_with_choices(Stage &stage) {
    AreaOptions options(2 * small);
    options.mode = 0640;
    options.segments = 2;
    return open_into(stage, stage.writer, SPECULO_OPEN_WRITE, &options);
}

inline void belong_to_another(Stage &stage) {
    be_left(stage);
    EXPECT_EQ(::unlink(stage.name.path("@lock").c_str()), 0);
    stage.faults.set_user(0);
    SystemSetting::pretend_owner(1000);
}
inline int open_and_compact(Stage &stage) {
    int error = stage.writer ? 0 : open_as_writer(stage);
    return error < 0 ? error : speculo_area_compact(stage.writer);
}

inline void be_shut_down(Stage &stage) {
    stage.boot();
    be_left(stage);
    stage.boot();
}
inline void be_switched_off(Stage &stage) {
    stage.boot();
    make_small(stage);
    inside(stage.writer).area.medium = os::Medium::memory; // closes without the mark
    stage.writer.close();
    stage.boot();
}

// ---- alloc ----

inline void make_roomy(Stage &stage) { make_with(stage, AreaOptions(large)); }
inline int put_large(Stage &stage) { return put_and_commit(stage, {}, 100 << 10); }
inline int put_living(Stage &stage) { return put_and_commit(stage, living(hour), 10); }
inline void reopen(Stage &stage) {
    make_small(stage);
    stage.writer.close();
    open_as_writer(stage);
}
inline void put_records(Stage &stage) {
    make_small(stage);
    for (int i = 0; i < 64; ++i) { put_chunk(stage.writer, "p"); }
}

inline void fill_first(Stage &stage) { make_full(stage, AreaOptions(small)); }
inline void fill_fourth(Stage &stage) {
    make_small(stage);
    for (int i = 0; i < 3; ++i) { compact_now(stage.writer); }
    fill(stage);
}

// Two segments, and a reader that keeps the older one: its cursor is there, or only a chunk is held.
inline void keep_older(Stage &stage, const AreaOptions &options) {
    make_with(stage, options);
    stage.reader = open_reader(stage.name);
    EXPECT_EQ(speculo_read_next(stage.reader, &stage.held), 1);
    EXPECT_EQ(speculo_chunk_hold(stage.reader, &stage.held), 0);
    stage.note(stage.held);
    compact_now(stage.writer);
    fill(stage);
}
inline AreaOptions two_segments() {
    AreaOptions options(small);
    options.segments = 2;
    return options;
}
inline AreaOptions lossless(AreaOptions options) {
    if (os::has_range_locks) { options.flags = SPECULO_AREA_LOSSLESS; } // elsewhere there is no such area
    return options;
}
inline void keep_older(Stage &stage) { keep_older(stage, two_segments()); }
inline void keep_older_lossless(Stage &stage) {
    keep_older(stage, lossless(two_segments()));
    read_all(stage.reader); // all but the hold has gone on
}
inline void fill_lossless(Stage &stage) {
    make_with(stage, lossless(two_segments()));
    stage.reader = open_reader(stage.name);
    compact_now(stage.writer);
    fill(stage);
    read_all(stage.reader);
}

inline AreaOptions growing() {
    AreaOptions options(small);
    options.max_capacity = 4 * small;
    return options;
}
inline void be_ready_to_grow(Stage &stage) {
    make_with(stage, growing());
    for (int i = 0; i < 2; ++i) { compact_now(stage.writer); }
    fill_segment(stage.writer, 2000);
}

// Half of a full segment is pending.
inline void wait_for_commit(Stage &stage) {
    make_small(stage);
    core::Writer &writer = inside(stage.writer);
    while (writer.tail * core::place_size < small / 2) { commit_chunk(stage.writer, std::string(2000, 't'), transient()); }
    put_key(stage.writer, "a", "a3"), put_chunk(stage.writer, "instead", superseding(5));
    while (writer.tail + 130 <= writer.current->map.geometry.chunk_end) { put_chunk(stage.writer, std::string(1000, 'q')); }
}

inline void be_mostly_dead(Stage &stage) {
    AreaOptions options(small);
    options.compact_percent = 10;
    make_with(stage, options);
    EXPECT_EQ(speculo_chunk_obsolete(stage.writer, 7), 0); // the transient one, which tells whether there was a compaction
    const core::Writer &writer = inside(stage.writer);
    std::string payload(2000, 'd');
    while (writer.tail < writer.current->map.geometry.chunk_end / 4) { commit_key(stage.writer, "dying", payload); }
}

inline int compact_on_demand(Stage &stage) { return speculo_area_compact(stage.writer); }
inline void want_fewer(Stage &stage) {
    make_small(stage);
    for (int i = 0; i < 3; ++i) { compact_now(stage.writer); }
    stage.writer.close();
    AreaOptions options;
    options.segments = 2;
    EXPECT_EQ(open_into(stage, stage.writer, SPECULO_OPEN_WRITE, &options), 0);
}

// ---- copying ahead ----

// Enough that lasts, and the next chunk begins the next segment.
inline void be_about_to_begin(Stage &stage) {
    make_with(stage, AreaOptions(large));
    for (int i = 0; i < 100; ++i) { commit_chunk(stage.writer, std::string(2000, 'l')); }
    while (inside(stage.writer).tail + 256 < inside(stage.writer).share_place) {
        commit_chunk(stage.writer, std::string(2000, 't'), transient());
    }
    EXPECT_FALSE(inside(stage.writer).copy.segment);
}
inline int put_what_begins(Stage &stage) {
    int error = 0;
    for (int i = 0; i < 3 && error == 0; ++i) { error = put_and_commit(stage, transient(), 2000); }
    return error;
}
inline void be_copying(Stage &stage) {
    be_about_to_begin(stage);
    put_what_begins(stage);
    EXPECT_TRUE(inside(stage.writer).copy.segment);
}

// ---- ends ----

// Not even in the reserve is there room any more.
inline void fill_with_markers(Stage &stage) {
    make_small(stage);
    std::vector<uint64_t> ids = fill_segment(stage.writer, 200, transient());
    for (uint64_t id : ids) {
        if (inside(stage.writer).tail + 1 == inside(stage.writer).current->map.readable) { return; }
        EXPECT_EQ(speculo_chunk_obsolete(stage.writer, id), 0);
        commit(stage.writer);
    }
    ADD_FAILURE() << "never full";
}
inline int remove_and_commit(Stage &stage) {
    int error = remove_key(stage.writer, "b");
    return error < 0 ? error : speculo_commit(stage.writer);
}

inline int obsolete_and_commit(Stage &stage) {
    int error = speculo_chunk_obsolete(stage.writer, 5);
    return error < 0 ? error : speculo_commit(stage.writer);
}

// Pending chunks in a segment that has lost its name meanwhile, and in the one before.
inline void displace(Stage &stage) {
    make_with(stage, two_segments());
    for (int i = 0; i < 3; ++i) {
        put_key(stage.writer, "a", std::string(20000, 'd'));
        put_chunk(stage.writer, "x", superseding(5));
    }
    for (int i = 0; i < 2; ++i) { EXPECT_EQ(core::compact(inside(stage.writer), core::Room{}), 0); }
    EXPECT_EQ(inside(stage.writer).displaced != nullptr || !os::has_range_locks, true);
}
inline int commit_now(Stage &stage) { return speculo_commit(stage.writer); }
inline int roll_back_now(Stage &stage) { return speculo_rollback(stage.writer); }
inline int close_writer(Stage &stage) {
    stage.writer.close();
    return 0;
}

inline int remove_now(Stage &stage) {
    stage.writer.close();
    return speculo_area_remove(stage.name.c_str());
}

inline std::vector<Scenario> all() {
    return {
        {"create", ordinary, nothing, create},
        {"create_without_tmpfile", without_tmpfile, nothing, create},
        {"create_resident", ordinary, nothing, create_resident},
        {"create_in_huge_pages", ordinary, nothing, create_in_huge_pages},
        {"create_on_a_disk", on_a_disk, nothing, create},
        {"create_again", ordinary, be_half_made, open_or_create},
        {"create_half_removed", ordinary, be_half_removed, open_or_create},
        {"take_over", ordinary, be_left, open_as_writer},
        {"take_over_after_a_crash", ordinary, be_left_by_a_crash, open_as_writer},
        {"take_over_with_other_choices", ordinary, be_left, open_with_choices},
        {"take_over_for_another_owner", ordinary, belong_to_another, open_and_compact},
        {"first_writer_after_a_boot", on_a_disk, be_shut_down, open_as_writer},
        {"first_writer_after_a_power_cut", on_a_disk | believes_names, be_switched_off, open_or_create},
        {"alloc_that_extends", ordinary, make_roomy, put_large},
        {"alloc_with_a_deadline", ordinary, reopen, put_living},
        {"alloc_of_a_65th_record", ordinary, put_records, put_one},
        {"alloc_that_makes_a_segment", compacts, fill_first, put_one},
        {"alloc_that_uses_a_segment_again", compacts | uses_again, fill_fourth, put_one},
        {"alloc_that_replaces_a_pinned_one", compacts, keep_older, put_one},
        {"alloc_that_grows", compacts, be_ready_to_grow, put_one},
        {"alloc_that_compacts_in_a_commit", compacts, wait_for_commit, put_one},
        {"alloc_that_compacts_early", never_fails | compacts, be_mostly_dead, put_one},
        {"alloc_that_begins_the_next_segment", 0, be_about_to_begin, put_what_begins},
        {"alloc_that_goes_on_copying", 0, be_copying, put_what_begins},
        {"compact_that_was_begun", compacts | was_begun, be_copying, compact_on_demand},
        {"alloc_in_a_lossless_area", compacts | uses_again, fill_lossless, put_one},
        {"alloc_in_a_lossless_area_with_a_hold", compacts, keep_older_lossless, put_one},
        {"compact", compacts, make_small, compact_on_demand},
        {"compact_to_fewer_segments", compacts | uses_again, want_fewer, compact_on_demand},
        {"key_remove_that_compacts", compacts, fill_with_markers, remove_and_commit},
        {"obsolete_that_compacts", compacts, fill_with_markers, obsolete_and_commit},
        {"commit", never_fails, displace, commit_now},
        {"rollback", never_fails, displace, roll_back_now},
        {"close", never_fails, displace, close_writer},
        {"close_on_a_disk", on_a_disk | never_fails, make_small, close_writer},
        {"remove", may_stop_halfway, be_left_by_a_crash, remove_now},
        {"remove_half_made", may_stop_halfway, be_half_made, remove_now},
    };
}

} // namespace speculo::test::writing_scenarios
