// SPDX-License-Identifier: LGPL-2.1-or-later
// Areas on a disk, which outlive the running system: what is left of them after the next boot.
#include "writer.hpp"

#include <cerrno>

#include <cstdlib>

#include "death.hpp"
#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity
constexpr uint64_t hour = 3600 * 1000 * ms;

int is_on_a_disk(int, os::Medium *ret_medium) {
    *ret_medium = os::Medium::disk;
    return 0;
}

// A directory whose file system counts as one on a disk, and a system that can be booted.
class Reboot : public testing::Test {
protected:
    Reboot() {
        os::operations.file_system = is_on_a_disk;
        boot();
    }

    void boot() {
        boot_id_[0] = uint8_t(boot_id_[0] + 1);
        faults_.set_boot_id(boot_id_);
    }

    void make() { writer_ = make_area(name_, small); }
    void open() { writer_ = open_writer(name_); }

    // Nobody has written back what the memory holds.
    void crash_and_boot() {
        core::put(inside(writer_).area.control->marks,
                  core::peek(inside(writer_).area.control->marks) & ~uint32_t(core::mark_clean));
        core::Writer &inner = inside(writer_);
        inner.area.medium = os::Medium::memory; // closes without the mark
        writer_.close();
        boot();
    }
    void shut_down_and_boot() {
        writer_.close();
        boot();
    }

    Faults faults_;
    std::array<uint8_t, 16> boot_id_{};
    AreaName name_{"/tmp"};
    Handle writer_;
};

TEST_F(Reboot, area_survives_a_clean_shutdown) {
    make();
    commit_key(writer_, "k", "v"), commit_chunk(writer_, "transient", transient());
    put_chunk(writer_, "pending");
    shut_down_and_boot();
    EXPECT_EQ(live_ids(name_), (Ids{1, 2})); // without a writer
    open();
    EXPECT_EQ(live_ids(name_), (Ids{1, 2}));
    EXPECT_EQ(value_of(name_, "k"), "v");
    EXPECT_EQ(put_chunk(writer_, "next"), 3u);
}

TEST_F(Reboot, what_had_a_deadline_counts_as_expired) {
    make();
    commit_chunk(writer_, "a");
    put_key(writer_, "k", "v", living(hour)), put_chunk(writer_, "b", living(hour));
    commit(writer_);
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3}));
    shut_down_and_boot();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(value_of(name_, "k"), no_value);
    Handle reader = open_reader(name_);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{1}));
    open();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(info_of(writer_).superseded_chunks, 2u); // ended in one commit
    EXPECT_EQ(put_chunk(writer_, "c", living(hour)), 4u);
    commit(writer_);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{4})); // deadlines of this boot count
    EXPECT_EQ(live_ids(name_), (Ids{1, 4}));
    writer_.close();
    open(); // the same boot
    EXPECT_EQ(live_ids(name_), (Ids{1, 4}));
}

// Whether the deadlines are of this boot is asked again when the answer did not come.
TEST_F(Reboot, P5_P9_boot_that_is_not_to_be_known_for_a_moment_hides_nothing) {
    make();
    shut_down_and_boot();
    for (uint32_t flags : {0u, uint32_t(SPECULO_OPEN_UNTRUSTED)}) {
        Handle reader = open_reader(name_, flags | SPECULO_OPEN_AT_END);
        open();
        uint64_t id = put_chunk(writer_, "c", living(hour));
        commit(writer_);
        writer_.close();
        speculo_chunk view{};
        faults_.reset_counts();
        faults_.fail(Site::boot_id, 1, EMFILE);
        EXPECT_EQ(speculo_read_next(reader, &view), -EMFILE);
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        EXPECT_EQ(view.id, id);
        shut_down_and_boot();
    }
}

TEST_F(Reboot, after_an_unclean_end_nobody_believes_the_area) {
    make();
    commit_chunk(writer_, "a"), commit_chunk(writer_, "b");
    crash_and_boot();
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -EBADMSG);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE), -EBADMSG);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ | SPECULO_OPEN_NO_CURSOR), -EBADMSG);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE), -EEXIST);
    EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
}

TEST_F(Reboot, CREATE_after_an_unclean_end_starts_empty_with_ids_going_on) {
    make();
    for (int i = 0; i < 3; ++i) { commit_key(writer_, "k", "v"); }
    compact_now(writer_);
    commit_chunk(writer_, "t", transient());
    crash_and_boot();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(info_of(writer_).generation, 3u); // goes on as well
    EXPECT_EQ(info_of(writer_).segments, 1u);
    EXPECT_EQ(info_of(writer_).capacity, small);
    EXPECT_EQ(commit_chunk(writer_, "next"), 5u);
    EXPECT_EQ(ids_of(read_all(open_reader(name_))), (Ids{5}));
    shut_down_and_boot();
    EXPECT_EQ(live_ids(name_), (Ids{5})); // sound again
}

TEST_F(Reboot, CREATE_finds_the_ids_although_the_last_compaction_dropped_them) {
    make();
    for (int i = 0; i < 3; ++i) { commit_chunk(writer_, "t", transient()); }
    compact_now(writer_);
    crash_and_boot();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    EXPECT_EQ(commit_chunk(writer_, "next"), 4u);
}

// Ids that leave none behind them are not believed: they would end the area.
TEST_F(Reboot, CREATE_after_an_unclean_end_passes_damaged_ids) {
    make();
    for (int i = 0; i < 3; ++i) { commit_chunk(writer_, "a"); }
    const core::SegmentMap &map = inside(writer_).current->map;
    core::put(map.header().next_id, uint64_t(0));
    core::put(map.frame(core::first_place + 2 * 2).id_flags, core::max_id); // the third
    crash_and_boot();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    EXPECT_EQ(commit_chunk(writer_, "next"), 3u);
}

TEST_F(Reboot, CREATE_after_an_unclean_end_passes_a_damaged_generation) {
    make();
    for (int i = 0; i < 3; ++i) { commit_chunk(writer_, "a"); }
    core::put(inside(writer_).area.control->current, UINT64_MAX);
    crash_and_boot();
    writer_ = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    EXPECT_EQ(info_of(writer_).generation, 1u);
    EXPECT_EQ(commit_chunk(writer_, "next"), 4u);
    compact_now(writer_);
    EXPECT_EQ(live_ids(name_), Ids{4});
}

TEST_F(Reboot, writer_that_dies_in_the_same_boot_loses_nothing) {
    make();
    commit_chunk(writer_, "a", living(hour));
    inside(writer_).area.medium = os::Medium::memory; // no mark
    writer_.close();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    open();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Reboot, mark_is_not_there_while_somebody_writes) {
    make();
    auto is_clean = [&] {
        core::Area area;
        EXPECT_EQ(core::place_open(name_.c_str(), area.place), 0);
        EXPECT_EQ(core::control_open(area, os::Access::read, core::Trust{geteuid(), false, 0, true}), 0);
        bool result = core::peek(area.control->marks) & core::mark_clean;
        core::control_close(area);
        core::place_close(area.place);
        return result;
    };
    EXPECT_FALSE(is_clean());
    writer_.close();
    EXPECT_TRUE(is_clean());
    open();
    EXPECT_FALSE(is_clean());
    faults_.fail_from(Site::sync, faults_.calls(Site::sync) + 1, EIO); // it could not be written back
    writer_.close();
    faults_.heal();
    EXPECT_FALSE(is_clean());
    boot();
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -EBADMSG);
}

// The first writer of a boot dies before it is done: the next one must not take the deadlines for its own boot's.
TEST_F(Reboot, P8_death_of_the_first_writer_of_a_boot) {
    make();
    commit_chunk(writer_, "a"), commit_chunk(writer_, "b", living(hour));
    writer_.close();
    boot();
    uint64_t deaths = die_everywhere(
        [&] {
            speculo_area *writer = nullptr;
            if (speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE, nullptr, &writer) < 0) { _exit(1); }
            speculo_area_close(writer);
        },
        [&](uint64_t call) {
            EXPECT_EQ(live_ids(name_), (Ids{1})) << call;
            open();
            ASSERT_NE(static_cast<speculo_area *>(writer_), nullptr) << call;
            EXPECT_EQ(live_ids(name_), (Ids{1})) << call;
            writer_.close();
            EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
            make(); // anew, of the boot before
            commit_chunk(writer_, "a"), commit_chunk(writer_, "b", living(hour));
            shut_down_and_boot();
        });
    EXPECT_GT(deaths, 20u);
}

// Not a place is free for the marker that ends what had a deadline, so that the area compacts right then.
TEST_F(Reboot, full_area_with_deadlines_is_taken_over) {
    make();
    std::string key(255, 'k');
    commit_chunk(writer_, "small", living(hour));
    put_chunk(writer_, "transient", [] {
        auto options = transient();
        options.ttl_ns = hour;
        return options;
    }());
    put_key(writer_, key, "v");
    commit(writer_);
    for (int i = 0; i < 20; ++i) { commit_chunk(writer_, "x"); }
    for (int i = 0; i < 10; ++i) { commit_chunk(writer_, std::string(300, 'y'), living(hour)); }
    core::Writer &inner = inside(writer_);
    uint64_t left = (inner.current->map.geometry.chunk_end - inner.tail) * core::place_size;
    commit_chunk(writer_, std::string(left - 16, 'f'));
    EXPECT_EQ(remove_key(writer_, key), 0); // in the reserve
    commit(writer_);
    for (uint64_t id = 4; inner.tail < inner.current->map.readable - 1; ++id) {
        ASSERT_EQ(speculo_chunk_obsolete(writer_, id), 0);
        commit(writer_);
    }
    ASSERT_EQ(inner.current->generation, 1u);
    size_t before = live_ids(name_).size();
    EXPECT_GT(before, 15u);
    shut_down_and_boot();
    EXPECT_EQ(live_ids(name_).size(), before - 12);
    open();
    ASSERT_NE(static_cast<speculo_area *>(writer_), nullptr);
    EXPECT_EQ(inside(writer_).current->generation, 2u);
    EXPECT_EQ(live_ids(name_).size(), before - 12);
    EXPECT_EQ(info_of(writer_).live_chunks, before - 12);
}

TEST_F(Reboot, opening_that_fails_late_keeps_the_mark) {
    make();
    commit_chunk(writer_, "a");
    writer_.close();
    AreaOptions options;
    options.prefault = 4 * small;
    faults_.reset_counts();
    faults_.fail_from(Site::allocate_space, 3, ENOSPC); // the first ones are the takeover's
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE, &options), -ENOSPC);
    EXPECT_GT(faults_.fired(), 0u);
    faults_.heal();
    boot();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Reboot, ids_are_not_forgotten_when_starting_afresh_fails) {
    make();
    for (int i = 0; i < 5; ++i) { commit_chunk(writer_, "a"); }
    crash_and_boot();
    for (Site site : {Site::allocate_space, Site::map, Site::random, Site::set_mode}) {
        for (uint64_t call = 1; call <= 4; ++call) {
            faults_.reset_counts();
            faults_.fail_from(site, call, ENOSPC);
            if (try_open(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE) == 0) { break; }
        }
        faults_.heal();
    }
    writer_ = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    EXPECT_EQ(commit_chunk(writer_, "next"), 6u);
}

} // namespace
