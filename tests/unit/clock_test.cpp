// SPDX-License-Identifier: LGPL-2.1-or-later
// The area's clock, on clocks that stand still until they are told to move.
#include "clock.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <random>

#include "faults.hpp"
#include "times.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// The clocks of a machine: the coarse one moves once per tick, and not at all while the machine sleeps.
struct Machine {
    uint64_t awake, asleep, tick, reads; // reads of the boot clock
    int64_t ahead;                       // of this process's time namespace
    int error;
    uint64_t host() const { return awake + asleep; }
};
Machine machine;

class Clock : public testing::Test {
protected:
    Clock() {
        machine = {1000000, 0, 4000, 0, 0, 0};
        os::operations.clock_coarse = [](clockid_t, timespec *ret_time) {
            *ret_time = time_of(machine.awake / machine.tick * machine.tick);
            return 0;
        };
        os::operations.clock_boot = [] { return ++machine.reads, machine.host() + uint64_t(machine.ahead); };
        os::operations.clock_tick = [] { return machine.tick; };
        os::operations.clock_boot_offset = [](int64_t *ret_offset) {
            if (machine.error == 0) { *ret_offset = machine.ahead; }
            return -machine.error;
        };
    }
    ~Clock() override { os::operations = real; }

    core::Clock prepared() {
        core::Clock clock{};
        EXPECT_EQ(core::clock_prepare(clock), 0);
        return clock;
    }

    const os::Operations real = os::operations;
};

TEST_F(Clock, is_never_ahead_and_at_most_a_tick_behind) {
    std::mt19937 random(1);
    core::Clock clock = prepared();
    for (int i = 0; i < 20000; ++i) {
        machine.awake += random() % (i % 2 ? 100 : 10000);
        uint64_t now = core::clock_now(clock);
        ASSERT_LE(now, machine.host());
        ASSERT_GT(now + machine.tick, machine.host());
    }
}

TEST_F(Clock, reads_the_exact_clock_once_per_tick) {
    core::Clock clock = prepared();
    for (int i = 0; i < 1000; ++i) {
        core::clock_now(clock);
        core::clock_deadline(clock, 1);
    }
    EXPECT_EQ(machine.reads, 1u);
    machine.awake += machine.tick;
    core::clock_now(clock);
    core::clock_now(clock);
    EXPECT_EQ(machine.reads, 2u);
}

// The first moment, by steps, at which the deadline has passed for that clock.
uint64_t moment_of_passing(core::Clock &clock, uint64_t deadline, uint64_t step) {
    while (!core::has_passed(deadline, core::clock_now(clock))) { machine.awake += step; }
    return machine.host();
}

TEST_F(Clock, deadlines_are_never_early_and_at_most_two_ticks_late) {
    std::mt19937 random(2);
    core::Clock writer = prepared();
    for (int i = 0; i < 3000; ++i) {
        machine.awake += random() % 20000;
        if (random() % 2) { core::clock_now(writer); } // the reading may be old by then
        machine.awake += random() % machine.tick;
        uint64_t ttl = 1 + random() % 30000, begin = machine.host();
        uint64_t deadline = core::clock_deadline(writer, ttl);
        core::Clock reader = prepared();
        core::clock_now(reader);
        uint64_t passed = moment_of_passing(reader, deadline, 1 + random() % 37);
        ASSERT_GE(passed, begin + ttl);
        ASSERT_LE(passed, begin + ttl + 2 * machine.tick + 37);
    }
}

TEST_F(Clock, a_deadline_has_passed_when_it_is_reached) {
    EXPECT_FALSE(core::has_passed(1000, 999));
    EXPECT_TRUE(core::has_passed(1000, 1000));
    EXPECT_TRUE(core::has_passed(1000, 1001));
}

TEST_F(Clock, counts_time_asleep) {
    core::Clock clock = prepared();
    uint64_t begin = core::clock_now(clock);
    machine.asleep += 1000000000;
    machine.awake += machine.tick; // it ticks again
    EXPECT_GE(core::clock_now(clock), begin + 1000000000);
    EXPECT_LE(core::clock_now(clock), machine.host());
}

TEST_F(Clock, a_deadline_made_right_after_sleep_may_not_be_early) {
    core::Clock clock = prepared();
    core::clock_now(clock);
    machine.asleep += 1000000000; // no tick since; the machine cannot tell yet
    machine.awake += machine.tick;
    uint64_t begin = machine.host();
    EXPECT_GE(core::clock_deadline(clock, 5), begin + 5);
}

TEST_F(Clock, is_the_host_s_in_every_namespace) {
    core::Clock here = prepared();
    uint64_t now = core::clock_now(here);
    for (int64_t ahead : {int64_t(1) << 50, -int64_t(900000), int64_t(1), -int64_t(1)}) {
        machine.ahead = ahead;
        core::Clock there = prepared();
        EXPECT_EQ(core::clock_now(there), now);
        EXPECT_EQ(core::clock_deadline(there, 77), core::clock_deadline(here, 77));
    }
}

TEST_F(Clock, saturates_to_never) {
    core::Clock clock = prepared();
    uint64_t most = UINT64_MAX - core::clock_now(clock) - machine.tick;
    EXPECT_EQ(core::clock_deadline(clock, most), UINT64_MAX);
    EXPECT_EQ(core::clock_deadline(clock, most + 1), 0u);
    EXPECT_EQ(core::clock_deadline(clock, UINT64_MAX), 0u);
}

TEST_F(Clock, is_asked_for_its_offset_once_it_is_known) {
    core::Clock clock{};
    for (int error : {EOPNOTSUPP, EMFILE, EOPNOTSUPP}) {
        machine.error = error;
        EXPECT_EQ(core::clock_prepare(clock), -error);
    }
    machine.error = 0;
    machine.ahead = 5000;
    EXPECT_EQ(core::clock_prepare(clock), 0);
    machine.error = EOPNOTSUPP; // known by now
    EXPECT_EQ(core::clock_prepare(clock), 0);
    EXPECT_EQ(core::clock_now(clock), machine.host());
}

TEST_F(Clock, now_is_0_where_it_cannot_be_known) {
    EXPECT_EQ(speculo_now(), machine.host());
    machine.error = EOPNOTSUPP;
    EXPECT_EQ(speculo_now(), 0u);
}

// ---- in areas -----------------------------------------------------------------------------------------------------------------

class ClockOfAnArea : public testing::Test {
protected:
    uint64_t clock_reads() { return faults.calls(Site::clock_coarse) + faults.calls(Site::clock_boot); }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, 64 << 10);
    Handle reader = open_reader(name);
};

TEST_F(ClockOfAnArea, a_ttl_needs_a_known_clock_and_nothing_else_does) {
    faults.clock.set_namespace(0, EOPNOTSUPP);
    uint64_t a = put_chunk(writer, "pending");
    uint64_t kept = 4711;
    void *data = &kept;
    ChunkOptions options = living(5);
    EXPECT_EQ(speculo_chunk_alloc(writer, 8, &options, &data, &kept), -EOPNOTSUPP);
    EXPECT_EQ(data, &kept); // outputs are untouched,
    EXPECT_EQ(kept, 4711u);
    uint64_t b = put_chunk(writer, "pending too"); // and so is what is pending
    EXPECT_EQ(b, a + 1);
    commit(writer);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{a, b}));
    faults.clock.set_namespace(0);
    EXPECT_EQ(try_alloc(writer, 8, options), 0); // once it is known
}

TEST_F(ClockOfAnArea, passing_errors_are_passed_on) {
    faults.fail(Site::clock_boot_offset, faults.calls(Site::clock_boot_offset) + 1, EMFILE);
    EXPECT_EQ(try_alloc(writer, 8, living(5)), -EMFILE);
    EXPECT_EQ(try_alloc(writer, 8, living(5)), 0);
}

TEST_F(ClockOfAnArea, only_a_compaction_looks_at_the_clock_where_no_chunk_has_a_deadline) {
    faults.reset_counts();
    uint64_t generation = inside(writer).current->generation;
    for (int i = 0; i < 200; ++i) {
        commit_key(writer, "k", std::string(100, 'x'));
        commit_chunk(writer, std::string(300, 'y'), transient());
        if (i % 50 == 0) { compact_now(writer); }
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        ASSERT_EQ(speculo_read_key(reader, "k", 1, &view), 1);
        ASSERT_EQ(speculo_chunk_is_live(reader, &view), 1);
    }
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    // These ask whether it is time to look for the area's name.
    uint64_t compactions = inside(writer).current->generation - generation;
    EXPECT_EQ(faults.calls(Site::clock_coarse), compactions);
    EXPECT_EQ(clock_reads(), compactions);
    put_chunk(writer, "z", living(1000 * ms)); // and the counting would have noticed
    EXPECT_GT(clock_reads(), compactions);
}

} // namespace
