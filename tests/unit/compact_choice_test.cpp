// SPDX-License-Identifier: LGPL-2.1-or-later
// Which segment a compaction goes to: used again, replaced because somebody looks at it, or waited for.
#include "writer.hpp"

#include <cerrno>

#include <algorithm>

#include "child.hpp"
#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

class CompactChoice : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);

    void reopen(const AreaOptions &options) {
        writer_.close();
        writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    }
    uint64_t generation() { return inside(writer_).current->generation; }
    uint32_t incarnation() { return inside(writer_).current->incarnation; }
    // Each of the segments that come is pinned by a reader of its own.
    std::vector<Handle> pin_each(int count) {
        compact(3);
        std::vector<Handle> readers;
        for (int i = 0; i < count; ++i) {
            readers.push_back(open_reader(name_));
            compact(1);
        }
        return readers;
    }
    // Parked segments are kept for so long; then one goes with each compaction.
    void pass_second(int compactions = 1) {
        Faults faults;
        faults.clock.jump(int64_t(1100 * ms));
        compact(compactions);
    }
    std::vector<std::string> sorted_files() {
        std::vector<std::string> files = name_.files();
        std::sort(files.begin(), files.end());
        return files;
    }
    void compact(int times) {
        for (int i = 0; i < times; ++i) { compact_now(writer_); }
    }
};

// A writer's steady state is two system calls for each segment, where segments are used again.
TEST_F(CompactChoice, P11_the_name_is_looked_for_once_a_tick) {
    Faults faults;
    faults.clock.freeze();
    compact(3);
    if (!os::has_range_locks) { // each compaction makes an object, and looks
        ASSERT_EQ(unlink(name_.path().c_str()), 0);
        EXPECT_EQ(speculo_area_compact(writer_), -ESTALE);
        return;
    }
    faults.reset_counts();
    compact(6);
    EXPECT_EQ(faults.calls(Site::status), 0u);
    faults.clock.tick();
    compact(6);
    EXPECT_EQ(faults.calls(Site::status), 1u);
    ASSERT_EQ(unlink(name_.path().c_str()), 0);
    compact(6);
    faults.clock.tick();
    for (int i = 0; i < 2; ++i) { EXPECT_EQ(speculo_area_compact(writer_), -ESTALE); }
}

// It would be in the way of the next area of that name, or be taken for one of its own.
TEST_F(CompactChoice, no_object_is_made_once_the_name_is_lost) {
    Faults faults;
    faults.clock.freeze();
    compact(1);
    for (const std::string &file : name_.files()) { ASSERT_EQ(unlink((std::string(area_directory()) + "/" + file).c_str()), 0); }
    EXPECT_EQ(speculo_area_compact(writer_), -ESTALE);
    EXPECT_TRUE(name_.files().empty());
    EXPECT_EQ(commit_chunk(writer_, "here"), 1u); // it goes on where it is
}

TEST_F(CompactChoice, segments_are_used_in_turn) {
    commit_chunk(writer_, "live");
    fill_segment(writer_, 1000, transient());
    compact(2);
    EXPECT_EQ(info_of(writer_).segments, 3u);
    std::vector<std::string> files = sorted_files();
    for (int i = 0; i < 12; ++i) {
        uint32_t slot = inside(writer_).current->slot;
        fill_segment(writer_, 1000, transient()); // steps of memory are there or are made
        compact(1);
        EXPECT_EQ(inside(writer_).current->slot, (slot + 1) % 3);
        EXPECT_EQ(generation(), uint64_t(i) + 4);
        EXPECT_EQ(info_of(writer_).segments, 3u);
        EXPECT_EQ(sorted_files() == files, os::has_range_locks); // else each is a fresh one
    }
    EXPECT_EQ(incarnation(), os::has_range_locks ? 1u : 5u);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(CompactChoice, memory_does_not_grow) {
    uint64_t memory = 0;
    for (int i = 0; i < 12; ++i) {
        fill_segment(writer_, 1000, transient());
        compact(1);
        if (i == 3) { memory = info_of(writer_).memory; }
        if (i > 3) { EXPECT_LE(info_of(writer_).memory, memory); }
    }
    EXPECT_LE(memory, 3 * (small + (16 << 10)));
}

TEST_F(CompactChoice, P7_P4_pinned_segment_is_passed_by) {
    commit_key(writer_, "k", "pinned");
    Handle reader = open_reader(name_, SPECULO_OPEN_NO_CURSOR);
    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_key(reader, "k", 1, &chunk), 1);
    ASSERT_EQ(speculo_chunk_hold(reader, &chunk), 0);
    for (int i = 0; i < 9; ++i) {
        commit_key(writer_, "k", std::string(6, char('a' + i)));
        fill_segment(writer_, 1000, transient()); // would overwrite everything
        compact(1);
        EXPECT_EQ(info_of(writer_).segments, std::min(i + 2, os::has_range_locks ? 4 : 3) + 0u);
        EXPECT_EQ(seen(chunk).payload, "pinned");
    }
    pass_second();
    EXPECT_EQ(info_of(writer_).segments, 3u); // the one who looks at it keeps it
    EXPECT_EQ(seen(chunk).payload, "pinned");
    speculo_chunk_release(&chunk);
    EXPECT_EQ(value_of(reader, "k"), std::string(6, 'i'));
}

// Readers that take turns, as many of them on one core do: each is inside a segment when its turn comes, and gone soon after.
TEST_F(CompactChoice, P4_parked_segments_serve_again) {
    constexpr int count = 16;
    std::vector<Handle> readers = pin_each(count);
    compact(3);
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? 3u + count : 3u);
    std::vector<std::string> objects = sorted_files();
    for (int i = 0; i < 5 * count; ++i) {
        readers[size_t(i % count)] = open_reader(name_);
        compact(1);
    }
    EXPECT_EQ(sorted_files() == objects, os::has_range_locks); // no fresh one
    readers.clear();
    compact(20);
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? 3u + count : 3u); // one may be needed any moment
    pass_second(count);
    EXPECT_EQ(info_of(writer_).segments, 3u);
    EXPECT_EQ(name_.files().size(), 3u + 3);
}

// Were they kept for as long as any is needed, one reader would keep as many as there ever were.
TEST_F(CompactChoice, P4_parked_segments_that_do_not_serve_go_while_others_do) {
    Faults faults;
    constexpr int count = 16;
    std::vector<Handle> readers = pin_each(count);
    readers.clear();
    for (int i = 0; i < 40; ++i) {
        Handle reader = open_reader(name_);
        compact(3);
        reader.close();
        faults.clock.jump(int64_t(100 * ms));
    }
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? 4u : 3u);
}

// As many as there are slots; then the one that was parked first goes.
TEST_F(CompactChoice, P4_parked_segments_are_few) {
    commit_chunk(writer_, "pinned");
    std::vector<Handle> readers;
    std::vector<std::string> first = name_.files();
    for (int i = 0; i < 40; ++i) {
        readers.push_back(open_reader(name_));
        compact(1);
        EXPECT_LE(info_of(writer_).segments, core::max_slots);
    }
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? core::max_slots : 3u);
    std::vector<std::string> now = name_.files();
    auto is_gone = [&now](const std::string &file) { return std::find(now.begin(), now.end(), file) == now.end(); };
    EXPECT_EQ(std::count_if(first.begin(), first.end(), is_gone), 1);
    for (Handle &reader : readers) { EXPECT_EQ(ids_of(read_all(reader)), Ids{1}); }
}

TEST_F(CompactChoice, P7_P4_pinned_segment_is_replaced_where_no_slot_is_left) {
    put(inside(writer_).area.control->segments, core::max_slots); // as only somebody else can have written
    commit_chunk(writer_, "pinned");
    Handle reader = open_reader(name_);
    compact(int(core::max_slots));
    EXPECT_EQ(inside(writer_).current->slot, 0u);
    EXPECT_EQ(incarnation(), 2u);
    EXPECT_EQ(info_of(writer_).segments, core::max_slots);
    EXPECT_EQ(ids_of(read_all(reader)), Ids{1});
}

TEST_F(CompactChoice, parked_segment_of_another_size_does_not_serve) {
    AreaOptions growing(small);
    growing.max_capacity = 2 * small;
    reopen(growing);
    compact(2);
    Handle reader = open_reader(name_);
    compact(3);
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? 4u : 3u);
    reader.close();
    commit_chunk(writer_, std::string(small / 2, 'x'));
    compact(3);
    reader = open_reader(name_);
    for (int i = 0; i < 4; ++i) {
        compact(1);
        EXPECT_EQ(inside(writer_).current->map.geometry.capacity, 2 * small);
    }
}

TEST_F(CompactChoice, parked_segments_go_when_the_writer_closes) {
    Handle reader = open_reader(name_);
    compact(3);
    EXPECT_EQ(info_of(writer_).segments, os::has_range_locks ? 4u : 3u);
    writer_.close();
    EXPECT_EQ(name_.files().size(), 3u + 3);
}

TEST(CompactChoiceAfterDeath, a_new_writer_parks_nothing) {
    AreaName name;
    EXPECT_EQ(run_in_child([&name] { // which dies without closing
                  Handle writer = make_area(name, small), reader = open_reader(name);
                  for (int i = 0; i < 3; ++i) { compact_now(writer); }
                  _exit(int(info_of(writer).segments));
                  return 0;
              }),
              os::has_range_locks ? 4 : 3);
    Handle next = open_writer(name);
    EXPECT_EQ(info_of(next).segments, 3u);
    EXPECT_EQ(name.files().size(), 3u + 3);
}

TEST(CompactChoiceFaults, P9_parked_segments_go_where_the_file_system_is_full) {
    Faults faults;
    AreaName name;
    AreaOptions options(small);
    options.max_capacity = 2 * small;
    Handle writer = make_area(name, options);
    Handle reader = open_reader(name);
    for (int i = 0; i < 3; ++i) { compact_now(writer); }
    EXPECT_EQ(info_of(writer).segments, os::has_range_locks ? 4u : 3u);
    commit_chunk(writer, std::string(small / 2, 'x'));
    faults.reset_counts();
    if (os::has_range_locks) { faults.fail(Site::create_unnamed, 1, ENOSPC); }
    compact_now(writer);
    EXPECT_EQ(inside(writer).current->map.geometry.capacity, 2 * small); // in what the parked one took
    EXPECT_EQ(info_of(writer).segments, 3u);
}

TEST_F(CompactChoice, parked_object_is_not_entered_any_more) {
    commit_chunk(writer_, "a");
    Handle pinning = open_reader(name_);
    const core::WriterSegment &pinned = *inside(writer_).current;
    size_t size = pinned.map.geometry.size;
    void *address = nullptr;
    ASSERT_EQ(os::operations.map(pinned.file.fd, size, os::Access::read, &address), 0);
    const auto &header = *static_cast<const core::SegmentHeader *>(address);
    compact(2);
    EXPECT_EQ(core::peek(header.generation), 1u); // history
    compact(1);
    EXPECT_EQ(core::peek(header.generation), 0u);
    EXPECT_EQ(ids_of(read_all(pinning)), (Ids{1}));
    os::operations.unmap(address, size);
}

TEST_F(CompactChoice, segment_of_another_size_is_replaced) {
    compact(2);
    AreaOptions larger(2 * small);
    reopen(larger);
    for (int i = 0; i < 3; ++i) {
        compact(1);
        EXPECT_EQ(inside(writer_).current->map.geometry.capacity, 2 * small);
        EXPECT_EQ(incarnation(), 2u);
    }
    compact(1);
    EXPECT_EQ(incarnation(), os::has_range_locks ? 2u : 3u);
    EXPECT_EQ(info_of(writer_).segments, 3u);
}

TEST_F(CompactChoice, number_of_segments_can_change) {
    commit_chunk(writer_, "live");
    for (uint32_t segments : {5u, 2u, 16u, 3u}) {
        AreaOptions options;
        options.segments = segments;
        reopen(options);
        compact(1); // fewer: from now on; more: one by one
        EXPECT_LE(info_of(writer_).segments, segments);
        compact(16);
        EXPECT_EQ(info_of(writer_).segments, segments);
        EXPECT_EQ(size_t(std::count_if(std::begin(inside(writer_).segments), std::end(inside(writer_).segments),
                                       [](auto *segment) { return segment != nullptr; })),
                  segments);
        EXPECT_EQ(live_ids(name_), (Ids{1}));
    }
    writer_.close();
    writer_ = open_writer(name_);
    compact(3);
    EXPECT_EQ(info_of(writer_).segments, 3u);
}

// Then only the current one is left, whatever the control page says.
TEST_F(CompactChoice, P10_a_damaged_number_of_segments_costs_no_more_than_history) {
    commit_chunk(writer_, "live");
    compact(2);
    core::put(inside(writer_).area.control->segments, 0u);
    compact(1);
    EXPECT_EQ(core::count_segments(inside(writer_)), 1u);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    core::put(inside(writer_).area.control->segments, 3u);
    compact(3);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

// It has the bytes, but too few slots for keys.
TEST(CompactChoiceFaults, a_full_file_system_does_not_make_a_small_key_table_do) {
    Faults faults;
    AreaName name;
    AreaOptions options(small);
    options.segments = 2;
    Handle writer = make_area(name, options);
    compact_now(writer);
    int keys = 0;
    auto put_next = [&] {
        std::string key = "key " + std::to_string(keys);
        ChunkOptions chunk;
        int error = try_alloc(writer, 8, chunk.with_key(key));
        keys += error == 0;
        return error;
    };
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    int error;
    while ((error = put_next()) == 0) { commit(writer); }
    EXPECT_EQ(error, -ENOSPC);
    EXPECT_EQ(keys, 48); // three quarters of 64
    faults.heal();
    EXPECT_EQ(put_next(), 0);
    commit(writer);
    EXPECT_EQ(inside(writer).current->map.geometry.table_slots, 128u);
    EXPECT_EQ(live_ids(name).size(), 49u);
}

// A cursor in generation g finds its successor until g + n + 1 is begun.
TEST_F(CompactChoice, P5_cursor_finds_its_successor_for_a_whole_round) {
    for (uint32_t behind = 1; behind <= 4; ++behind) {
        Handle reader = open_reader(name_, SPECULO_OPEN_AT_END);
        uint64_t first = inside(writer_).next_id;
        for (uint32_t i = 0; i < behind; ++i) {
            commit_chunk(writer_, "t", transient());
            compact(1);
        }
        commit_chunk(writer_, "t", transient());
        Ids expected;
        for (uint64_t id = first; id <= first + behind; ++id) { expected.push_back(id); }
        Ids found = ids_of(read_all(reader));
        bool is_round_behind = behind > 3;
        EXPECT_EQ(info_of(reader).jumps, is_round_behind ? 1u : 0u);
        EXPECT_EQ(found, is_round_behind ? (Ids{first, first + behind}) : expected);
    }
}

// ---- lossless ---------------------------------------------------------------------------------------------------------------

class CompactLossless : public testing::Test {
protected:
    AreaName name_;
    Handle writer_;

    // Where it cannot be, says so and is done.
    bool make(uint32_t segments) {
        AreaOptions options(small);
        options.flags = SPECULO_AREA_LOSSLESS;
        options.segments = segments;
        if (os::has_range_locks) {
            writer_ = make_area(name_, options);
            return true;
        }
        EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options), -EOPNOTSUPP);
        EXPECT_TRUE(name_.files().empty());
        return false;
    }

    void next_segment() {
        commit_chunk(writer_, "t", transient());
        compact_now(writer_);
    }
    uint64_t generation() { return inside(writer_).current->generation; }
};

TEST_F(CompactLossless, waits_exactly_while_a_cursor_is_in_the_oldest) {
    for (uint32_t segments : {2u, 3u, 4u}) {
        if (!make(segments)) { return; }
        Handle reader = open_reader(name_);
        for (uint32_t i = 1; i < segments; ++i) { next_segment(); }
        ASSERT_EQ(generation(), segments);
        commit_chunk(writer_, "t", transient());
        for (int i = 0; i < 3; ++i) {
            EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
            EXPECT_EQ(generation(), segments);
        }
        speculo_chunk chunk{};
        EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
        EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN); // it has read all of it, but not left it
        EXPECT_EQ(speculo_read_next(reader, &chunk), 1);   // now it has
        compact_now(writer_);
        EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN); // until it leaves the next one
        EXPECT_EQ(read_all(reader).size(), segments - 2);
        EXPECT_EQ(info_of(reader).skipped, 0u);
        writer_.close(), reader.close();
        EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
    }
}

TEST_F(CompactLossless, alloc_gives_EAGAIN_and_changes_nothing) {
    if (!make(2)) { return; }
    Handle reader = open_reader(name_);
    fill_segment(writer_, 1000, transient());
    commit_chunk(writer_, std::string(1000, 'x'), transient()); // in the second one
    fill_segment(writer_, 1000, transient());
    uint64_t pending = put_chunk(writer_, "pending");
    uint64_t used = info_of(writer_).used;
    EXPECT_EQ(try_alloc(writer_, 1000), -EAGAIN);
    EXPECT_EQ(info_of(writer_).used, used);
    EXPECT_EQ(generation(), 2u);
    commit(writer_);
    EXPECT_EQ(try_alloc(writer_, 1000), -EAGAIN);
    Ids all = ids_of(read_all(reader));
    EXPECT_EQ(all.size(), pending); // transient ones, all of them
    EXPECT_EQ(try_alloc(writer_, 1000), 0);
    EXPECT_EQ(generation(), 3u);
}

TEST_F(CompactLossless, ENOSPC_goes_first_where_waiting_would_not_help) {
    if (!make(2)) { return; }
    commit_chunk(writer_, std::string(40000, 'l'));
    Handle reader = open_reader(name_);
    compact_now(writer_);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(try_alloc(writer_, 30000), -ENOSPC);
    EXPECT_EQ(try_alloc(writer_, small), -EMSGSIZE);
}

// The file system has no room for another object, and none of those there are is large enough, whoever leaves it.
TEST_F(CompactLossless, ENOSPC_goes_first_where_the_file_system_is_full) {
    Faults faults;
    if (!make(3)) { return; }
    commit_chunk(writer_, std::string(40000, 'l'));
    Handle reader = open_reader(name_);
    compact_now(writer_);
    writer_.close();
    AreaOptions options(2 * small);
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    EXPECT_EQ(try_alloc(writer_, 30000), -ENOSPC);
    faults.heal();
    EXPECT_EQ(try_alloc(writer_, 30000), 0);
    writer_.close();
}

// An alloc would be refused again at once: whoever waits in between is not to go round and round.
TEST_F(CompactLossless, P12_a_cursor_is_waited_for_where_the_file_system_is_full) {
    Faults faults;
    if (!make(3)) { return; }
    Handle reader = open_reader(name_);
    next_segment();
    faults.fail_from(Site::create_unnamed, 1, ENOSPC);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(speculo_wait(writer_, 0), 0);
    read_all(reader);
    EXPECT_EQ(speculo_wait(writer_, 0), 1);
    compact_now(writer_);
    writer_.close(), reader.close();
}

// Nobody says so: who waits is to try again now and then.
TEST_F(CompactLossless, P12_a_file_system_that_is_no_longer_full_is_not_missed) {
    if (!make(3)) { return; }
    Handle reader = open_reader(name_);
    next_segment();
    {
        Faults faults;
        faults.fail_from(Site::create_unnamed, 1, ENOSPC);
        EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    }
    auto sleep = std::exchange(os::operations.sleep_on, [](const uint32_t *, uint32_t, uint64_t) { return -ETIMEDOUT; });
    EXPECT_EQ(speculo_wait(writer_, 20 * ms), 1);
    compact_now(writer_);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(speculo_wait(writer_, ms), 0); // there are three now
    os::operations.sleep_on = sleep;
    writer_.close(), reader.close();
}

// The refusal is over, however the next segment has come about.
TEST_F(CompactLossless, P12_a_copy_made_ahead_ends_the_wait_as_well) {
    if (!make(2)) { return; }
    for (int i = 0; i < 4; ++i) { commit_chunk(writer_, std::string(small / 16, 'l')); }
    Handle reader = open_reader(name_);
    compact_now(writer_);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    read_all(reader);
    uint64_t before = generation();
    while (generation() == before) { commit_chunk(writer_, std::string(500, 't'), transient()); }
    EXPECT_EQ(try_alloc(writer_, 500), 0);
    EXPECT_EQ(speculo_wait(writer_, 0), 1);
    writer_.close(), reader.close();
}

TEST_F(CompactLossless, a_segment_too_many_stays_while_a_cursor_is_in_it) {
    if (!make(3)) { return; }
    next_segment();
    Handle reader = open_reader(name_);
    next_segment();
    writer_.close();
    AreaOptions options;
    options.segments = 2;
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    next_segment();
    EXPECT_EQ(generation(), 4u);
    EXPECT_EQ(info_of(writer_).segments, 3u);
    EXPECT_EQ(read_all(reader).size(), 2u);
    EXPECT_EQ(info_of(reader).skipped, 0u);
    next_segment();
    EXPECT_EQ(info_of(writer_).segments, 2u);
}

TEST_F(CompactLossless, closing_reader_lets_the_writer_go_on) {
    if (!make(2)) { return; }
    Handle reader = open_reader(name_);
    next_segment();
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    reader.close();
    next_segment();
    EXPECT_EQ(generation(), 3u);
    EXPECT_EQ(inside(writer_).current->incarnation, 1u); // used again
}

namespace leaving {

speculo_area *reader; // null: it has left
int (*real)(int, os::Lock, uint64_t, uint64_t);

// A cursor leaves as soon as it has been in the writer's way.
int lock(int fd, os::Lock how, uint64_t first, uint64_t count) {
    int error = real(fd, how, first, count);
    if (error == -EAGAIN) { reader = speculo_area_close(reader); }
    return error;
}

} // namespace leaving

// Another object would cost thousands of fresh pages; and a writer that tries again and again is likely to meet that moment.
TEST_F(CompactLossless, a_cursor_that_leaves_during_the_try_costs_no_object) {
    if (!make(2)) { return; }
    speculo_area *reader = nullptr;
    ASSERT_EQ(speculo_area_open(name_.c_str(), SPECULO_OPEN_READ, nullptr, &reader), 0);
    next_segment();
    leaving::reader = reader;
    leaving::real = std::exchange(os::operations.lock, leaving::lock);
    int error = speculo_area_compact(writer_);
    os::operations.lock = leaving::real;
    EXPECT_EQ(leaving::reader, nullptr);
    EXPECT_EQ(error, 0);
    EXPECT_EQ(inside(writer_).current->incarnation, 1u); // used again
    EXPECT_EQ(SegmentProbe(inside(writer_).area, 0).locks(), "free");
}

TEST_F(CompactLossless, seek_leaves_the_segment) {
    if (!make(2)) { return; }
    Handle reader = open_reader(name_);
    next_segment();
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    compact_now(writer_);
}

TEST_F(CompactLossless, P4_views_and_holds_cost_an_object_but_do_not_hold_back) {
    if (!make(2)) { return; }
    commit_key(writer_, "k", "v");
    Handle reader = open_reader(name_, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(value_of(reader, "k"), "v"); // stays in that segment
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    for (int i = 0; i < 6; ++i) { next_segment(); }
    EXPECT_EQ(generation(), 7u);
    EXPECT_EQ(core::slot_incarnation(core::peek(inside(writer_).area.control->slots[0])), 2u);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_snapshot_next(snapshot, &chunk), 1);
    EXPECT_EQ(seen(chunk).payload, "v");
    speculo_snapshot_close(snapshot);
}

TEST_F(CompactLossless, P5_cursor_gets_every_transient_chunk) {
    if (!make(3)) { return; }
    Handle reader = open_reader(name_);
    Ids written, read;
    for (int i = 0; i < 2000; ++i) {
        ChunkOptions options = transient();
        void *data = nullptr;
        uint64_t id = 0;
        int error;
        while ((error = speculo_chunk_alloc(writer_, 900, &options, &data, &id)) == -EAGAIN) {
            speculo_chunk chunk{};
            ASSERT_EQ(speculo_read_next(reader, &chunk), 1);
            EXPECT_EQ(chunk.skipped, 0u);
            read.push_back(chunk.id);
        }
        ASSERT_EQ(error, 0);
        commit(writer_);
        written.push_back(id);
    }
    for (uint64_t id : ids_of(read_all(reader))) { read.push_back(id); }
    EXPECT_EQ(read, written);
    EXPECT_GT(generation(), 20u);
    EXPECT_EQ(info_of(writer_).segments, 3u);
    EXPECT_EQ(info_of(reader).jumps, 0u);
}

// Other sizes and fewer segments do not take anything from a cursor either.
TEST_F(CompactLossless, change_of_size_or_number_waits_as_well) {
    if (!make(3)) { return; }
    Handle reader = open_reader(name_);
    next_segment(), next_segment();
    writer_.close();
    AreaOptions options(2 * small);
    options.segments = 2;
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(read_all(reader).size(), 2u);
    Handle second = open_reader(name_);
    next_segment();
    EXPECT_EQ(inside(writer_).current->map.geometry.capacity, 2 * small);
    EXPECT_EQ(info_of(writer_).segments, 2u);
    EXPECT_EQ(speculo_area_compact(writer_), -EAGAIN);
    EXPECT_EQ(read_all(second).size(), 1u);
    EXPECT_EQ(read_all(reader).size(), 1u);
    compact_now(writer_);
}

// They pin no bytes, but the kernel would have to look through all of them at each compaction.
TEST_F(CompactChoice, P4_locks_elsewhere_count_as_pins) {
    const core::WriterSegment &segment = *inside(writer_).current;
    const core::Place &place = inside(writer_).area.place;
    int fd = os::operations.open(place.directory, core::segment_name(place, 0, segment.nonce).text, os::Access::read);
    ASSERT_GE(fd, 0);
    int error = os::operations.lock(fd, os::Lock::shared, 100, 1);
    EXPECT_EQ(error, os::has_range_locks ? 0 : -EOPNOTSUPP);
    compact(3);
    if (os::has_range_locks) {
        EXPECT_EQ(inside(writer_).current->slot, 3u); // the first one is parked
        EXPECT_NE(segment.parked, 0u);
    } else {
        EXPECT_EQ(inside(writer_).current->slot, 0u);
        EXPECT_EQ(incarnation(), 2u); // never used again
    }
    os::operations.close(fd);
    Handle reader = open_reader(name_);
    compact(3);
    EXPECT_EQ(inside(writer_).current->slot, 0u); // used again, for the one that is pinned now
    EXPECT_EQ(incarnation(), os::has_range_locks ? 1u : 3u);
}

} // namespace
