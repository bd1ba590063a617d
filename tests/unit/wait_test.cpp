// SPDX-License-Identifier: LGPL-2.1-or-later
// Waiting, seen from one process: what the calls say and when, and that no commit falls between a look and a sleep. Commits are made
// at chosen moments by hooks in the table of operations.
#include "wait.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <functional>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>

#include "child.hpp"
#include "faults.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using Ids = std::vector<uint64_t>;

constexpr uint64_t small = 64 << 10; // capacity
constexpr int64_t soon = 20 * int64_t(ms);
constexpr int64_t long_enough = 20000 * int64_t(ms);

// Runs something right before an operation, once.
class Before {
public:
    using Action = std::function<void()>;

    static void sleeping(Action action) {
        before<&os::Operations::sleep_on>(std::move(action));
        os::operations.sleep_on = [](const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
            return last_ = Hook<&os::Operations::sleep_on>::call(word, expected, timeout_ns);
        };
    }
    static void spinning(Action action) { before<&os::Operations::clock_fine>(std::move(action)); } // as the first look begins
    static void barrier(Action action) { before<&os::Operations::barrier>(std::move(action)); }
    static void opening(Action action) { before<&os::Operations::open>(std::move(action)); }
    static void asking_for_status(Action action) { before<&os::Operations::status>(std::move(action)); }
    static void asking_for_the_writer(Action action) { before<&os::Operations::locked_by_other>(std::move(action)); }
    static int last_sleep() { return last_; }

private:
    template <auto member> struct Hook;
    template <typename Result, typename... Arguments, Result (*os::Operations::*member)(Arguments...)> struct Hook<member> {
        static inline Result (*real)(Arguments...);
        static Result call(Arguments... arguments) {
            if (Action action = std::exchange(action_, nullptr)) { action(); }
            return real(arguments...);
        }
    };
    template <auto member> static void before(Action action) {
        action_ = std::move(action);
        Hook<member>::real = os::operations.*member;
        os::operations.*member = Hook<member>::call;
    }

    static inline Action action_;
    static inline int last_;
};

// A reader as one of another uid is: the bell is not its to write.
Handle open_stranger(const AreaName &name, Faults &faults) {
    AreaOptions options;
    options.flags = SPECULO_AREA_TRUST_UID;
    options.trusted_uid = geteuid();
    faults.set_user(geteuid() + 1);
    return open_area(name, 0, &options);
}

class Wait : public testing::Test {
protected:
    Wait() : before_(os::operations) {}
    ~Wait() override { os::operations = before_; }

    bool is_readable(int fd) {
        pollfd one = {fd, POLLIN, 0};
        return poll(&one, 1, 0) == 1;
    }
    // What a reader has to be told once of a writer that is gone. (Without range locks nobody knows of it.)
    static int gone() { return os::has_range_locks ? -EPIPE : 0; }
    // Where no kernel sleeps on shared words, a reader that copies has a word of its own, which nobody changes: its slice ends.
    static bool has_own_word() { return !os::has_range_locks && are_readers_untrusting(); }
    // What a sleep gives that need not even begin.
    static int sleep_in_vain() { return os::has_range_locks ? -EAGAIN : has_own_word() ? -ETIMEDOUT : 0; }

    os::Operations before_;
    AreaName name_;
    Handle writer_ = make_area(name_, small);
    Handle reader_ = open_reader(name_);
};

// ---- what is said ---------------------------------------------------------------------------------------------------------------

TEST_F(Wait, says_1_as_long_as_there_is_something_to_read) {
    EXPECT_EQ(speculo_wait(reader_, 0), 0);
    commit_chunk(writer_, "a");
    EXPECT_EQ(speculo_wait(reader_, 0), 1);
    EXPECT_EQ(speculo_wait(reader_, -1), 1);
    EXPECT_EQ(ids_of(read_all(reader_)), (Ids{1}));
    EXPECT_EQ(speculo_wait(reader_, 0), 0);
    EXPECT_EQ(speculo_wait(reader_, soon), 0);
}

TEST_F(Wait, never_ends_before_its_time) {
    for (int64_t timeout : {int64_t(1), soon, 300 * int64_t(ms)}) { // longer than a slice, too
        uint64_t begin = os::operations.clock_fine();
        EXPECT_EQ(speculo_wait(reader_, timeout), 0);
        EXPECT_GE(os::operations.clock_fine() - begin, uint64_t(timeout));
    }
}

TEST_F(Wait, passes_what_is_hidden) {
    uint64_t id = commit_chunk(writer_, "a");
    EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
    commit(writer_);
    EXPECT_EQ(speculo_wait(reader_, 0), 0);
    commit_chunk(writer_, "b");
    EXPECT_EQ(speculo_wait(reader_, 0), 1);
    std::vector<Seen> all = read_all(reader_);
    EXPECT_EQ(ids_of(all), (Ids{2}));
}

TEST_F(Wait, keeps_the_last_view_valid_across_segments) {
    commit_chunk(writer_, "first", transient()); // not copied: others take its place
    speculo_chunk view;
    ASSERT_EQ(speculo_read_next(reader_, &view), 1);
    for (int i = 0; i < 10; ++i) {
        uint64_t id = commit_chunk(writer_, "over before it is read");
        EXPECT_EQ(speculo_chunk_obsolete(writer_, id), 0);
        commit(writer_);
        compact_now(writer_);
        EXPECT_EQ(speculo_wait(reader_, 0), 0) << "it has gone to the next segment";
        EXPECT_EQ(seen(view).payload, "first");
    }
    commit_chunk(writer_, "second");
    ASSERT_EQ(speculo_chunk_hold(reader_, &view), 0);
    read_all(reader_);
    EXPECT_EQ(seen(view).payload, "first");
    speculo_chunk_release(&view);
}

TEST_F(Wait, of_a_writer_whose_area_is_not_lossless_is_EINVAL) {
    EXPECT_EQ(speculo_wait(writer_, 0), -EINVAL);
    EXPECT_EQ(speculo_area_get_fd(writer_), -EINVAL);
    EXPECT_EQ(speculo_area_dispatch(writer_), -EINVAL);
}

TEST_F(Wait, damaged_area_goes_first) {
    commit_chunk(writer_, "a");
    core::put(current_segment(name_).frame_of(1).id_flags, uint64_t(0));
    EXPECT_EQ(speculo_wait(reader_, -1), -EBADMSG);
    EXPECT_EQ(speculo_wait(reader_, -1), -EBADMSG); // until a seek
}

// ---- the writer's end -----------------------------------------------------------------------------------------------------------

TEST_F(Wait, P12_end_of_the_writer_is_told_once_when_all_is_read) {
    commit_chunk(writer_, "a");
    writer_.close();
    EXPECT_EQ(speculo_wait(reader_, -1), 1);
    read_all(reader_);
    EXPECT_EQ(speculo_wait(reader_, os::has_range_locks ? -1 : 0), gone());
    EXPECT_EQ(speculo_wait(reader_, soon), 0); // waits for a later one
    writer_ = open_writer(name_);
    EXPECT_EQ(speculo_wait(reader_, 0), 0);
    commit_chunk(writer_, "b");
    EXPECT_EQ(speculo_wait(reader_, -1), 1);
    writer_.close();
    EXPECT_EQ(speculo_wait(reader_, -1), 1);
    read_all(reader_);
    EXPECT_EQ(speculo_wait(reader_, soon), gone());
}

TEST_F(Wait, P12_end_of_the_writer_goes_behind_what_it_committed_last) {
    Before::asking_for_the_writer([&] {
        commit_chunk(writer_, "a");
        writer_.close();
    });
    EXPECT_EQ(speculo_wait(reader_, long_enough), 1);
    read_all(reader_);
    EXPECT_EQ(speculo_wait(reader_, soon), gone());
}

TEST_F(Wait, late_reader_is_told_of_a_writer_that_was_gone_before) {
    writer_.close();
    for (uint32_t flags : {0u, SPECULO_OPEN_NO_CURSOR, SPECULO_OPEN_AT_END}) {
        Handle late = open_reader(name_, flags);
        EXPECT_EQ(speculo_wait(late, soon), gone());
        EXPECT_EQ(speculo_wait(late, soon), 0);
    }
}

TEST_F(Wait, removed_area_is_ESTALE_when_all_is_read) {
    commit_chunk(writer_, "a");
    writer_.close();
    ASSERT_EQ(speculo_area_remove(name_.c_str()), 0);
    EXPECT_EQ(speculo_wait(reader_, -1), 1);
    read_all(reader_);
    EXPECT_EQ(speculo_wait(reader_, -1), -ESTALE);
    EXPECT_EQ(speculo_area_dispatch(reader_), -ESTALE);
}

TEST_F(Wait, writer_alive_tells_of_the_role) {
    int alive = os::has_range_locks ? 1 : -EOPNOTSUPP, none = os::has_range_locks ? 0 : -EOPNOTSUPP;
    EXPECT_EQ(speculo_area_writer_alive(reader_), alive);
    EXPECT_EQ(speculo_area_writer_alive(writer_), alive);
    writer_.close();
    EXPECT_EQ(speculo_area_writer_alive(reader_), none);
}

// ---- without a cursor -----------------------------------------------------------------------------------------------------------

TEST_F(Wait, without_a_cursor_tells_of_a_commit_since_the_last_wait) {
    commit_chunk(writer_, "before");
    Handle keys = open_reader(name_, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(speculo_wait(keys, 0), 0);
    for (int i = 0; i < 3; ++i) {
        commit_key(writer_, "k", "v");
        EXPECT_EQ(speculo_wait(keys, -1), 1);
        EXPECT_EQ(speculo_wait(keys, 0), 0);
    }
    for (int i = 0; i < 7; ++i) {
        compact_now(writer_);
        commit_key(writer_, "k", std::to_string(i));
        EXPECT_EQ(speculo_wait(keys, -1), 1);
        EXPECT_EQ(value_of(keys, "k"), std::to_string(i));
        EXPECT_EQ(speculo_wait(keys, 0), 0);
    }
}

// ---- no wake-up is lost -----------------------------------------------------------------------------------------------------------

TEST_F(Wait, P12_commit_between_the_last_look_and_the_sleep_ends_the_sleep) {
    for (uint32_t flags : {0u, SPECULO_OPEN_NO_CURSOR}) {
        Handle reader = open_reader(name_, flags | (flags ? 0 : SPECULO_OPEN_AT_END));
        Before::sleeping([&] { commit_chunk(writer_, "a"); });
        EXPECT_EQ(speculo_wait(reader, long_enough), 1);
        EXPECT_EQ(Before::last_sleep(), sleep_in_vain());
        os::operations = before_;
    }
}

TEST_F(Wait, commit_while_it_spins_is_seen_without_a_sleep) {
    Handle reader = open_mapping_reader(name_);
    auto &spin = static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->waiting.spin;
    spin.slept(core::Spin::short_sleep_ns); // looks for long once
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        ADD_FAILURE() << "it slept";
        return -ETIMEDOUT;
    };
    Before::spinning([&] { commit_chunk(writer_, "a"); });
    EXPECT_EQ(speculo_wait(reader, -1), 1);
    EXPECT_EQ(spin.ns(), core::Spin::usual_ns) << "that it paid was not noted";
}

TEST_F(Wait, what_is_hidden_already_does_not_end_it_while_it_spins) {
    Handle reader = open_mapping_reader(name_);
    auto &spin = static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->waiting.spin;
    spin.slept(core::Spin::short_sleep_ns); // looks for long once
    Before::spinning([&] {
        EXPECT_EQ(speculo_chunk_obsolete(writer_, commit_chunk(writer_, "a")), 0);
        commit(writer_);
    });
    EXPECT_EQ(speculo_wait(reader, soon), 0);
    EXPECT_EQ(spin.ns(), core::Spin::long_ns) << "nothing came";
}

// The writer does not ring for it.
TEST_F(Wait, P12_commit_before_the_flag_is_seen_without_a_sleep) {
    Before::opening([&] { commit_chunk(writer_, "while the bell is opened"); });
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        ADD_FAILURE() << "it sleeps";
        return -ETIMEDOUT;
    };
    EXPECT_EQ(speculo_wait(reader_, long_enough), 1);
}

// One call of the writer's wakes a few.
TEST_F(Wait, P12_whoever_is_woken_wakes_others) {
    static int wakes;
    wakes = 0;
    static speculo_area *writer;
    writer = writer_;
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        commit_chunk(writer, "a");
        wakes = 0;
        return 0;
    };
    os::operations.wake = [](const uint32_t *, uint32_t) { ++wakes; };
    EXPECT_EQ(speculo_wait(reader_, long_enough), 1);
    EXPECT_EQ(wakes, has_own_word() ? 0 : 1);
}

TEST_F(Wait, P12_commit_between_flag_and_last_look_is_seen) {
    bool was_asked = false;
    Before::barrier([&] {
        was_asked = true;
        commit_chunk(writer_, "a");
    });
    EXPECT_EQ(speculo_wait(reader_, os::has_range_locks ? -1 : soon), os::has_range_locks ? 1 : 0);
    EXPECT_EQ(was_asked, os::has_range_locks);
}

// Right behind a ring the writer may keep the next one to itself.
TEST_F(Wait, P12_stranger_sleeps_for_long_only_while_nobody_rings) {
    Faults faults;
    Handle stranger = open_stranger(name_, faults);
    static std::vector<uint64_t> slices;
    slices.clear();
    static speculo_area *writer;
    writer = writer_;
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t ns) {
        slices.push_back(ns);
        if (slices.size() == 2) { core::bump_word(inside(writer).area.control->bell); } // as the slice ends
        if (slices.size() == 3) { commit_chunk(writer, "a"); }
        return -ETIMEDOUT;
    };
    EXPECT_EQ(speculo_wait(stranger, long_enough), 1);
    uint64_t slice = has_own_word() ? 2 * ms : 250 * ms;
    EXPECT_EQ(slices, (std::vector<uint64_t>{2 * ms, slice, 2 * ms}));
}

TEST_F(Wait, P12_compaction_before_the_sleep_hides_no_commit) {
    Before::sleeping([&] {
        compact_now(writer_);
        commit_chunk(writer_, "in the next segment");
    });
    EXPECT_EQ(speculo_wait(reader_, long_enough), 1);
    EXPECT_EQ(ids_of(read_all(reader_)), (Ids{1}));
}

// The writer before died between a commit and its ring.
TEST_F(Wait, P12_takeover_rings) {
    Handle successor;
    Before::sleeping([&] {
        auto &dead = *static_cast<core::Writer *>(static_cast<speculo_area *>(writer_));
        core::clear_flag(dead.ringer.bell.page->sleepers); // so that it does not ring
        commit_chunk(writer_, "a");
        core::liveness_end(dead.area);
        core::lock_descriptor_close(dead.role_lock);
        successor = open_writer(name_);
    });
    EXPECT_EQ(speculo_wait(reader_, long_enough), 1);
    EXPECT_EQ(Before::last_sleep(), sleep_in_vain());
}

TEST_F(Wait, signal_handler_ends_it) {
    static volatile sig_atomic_t ran;
    for (int flags : {0, SA_RESTART}) {
        int status = run_in_child([&] {
            Handle reader = open_reader(name_);
            ran = 0;
            struct sigaction action = {};
            action.sa_handler = [](int) { ran = 1; };
            action.sa_flags = flags;
            sigaction(SIGALRM, &action, nullptr);
            itimerval timer = {{0, 5000}, {0, 5000}}; // again and again: the first one may come before the sleep
            setitimer(ITIMER_REAL, &timer, nullptr);
            int result = speculo_wait(reader, -1);
            return result == -EINTR && ran ? 0 : 1;
        });
        EXPECT_EQ(status, 0);
    }
}

// ---- lossless areas -----------------------------------------------------------------------------------------------------------------

class WaitLossless : public Wait {
protected:
    void SetUp() override {
        AreaOptions options(small);
        options.flags = SPECULO_AREA_LOSSLESS;
        int error = try_open(lossless_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options);
        ASSERT_EQ(error, os::has_range_locks ? 0 : -EOPNOTSUPP);
        if (error < 0) { return; }
        writer = open_area(lossless_, SPECULO_OPEN_WRITE);
        reader = open_reader(lossless_);
    }
    // Until cursors are in the way.
    void fill() {
        while (try_alloc(writer, 1000, transient()) == 0) { commit(writer); }
        EXPECT_EQ(try_alloc(writer, 1000, transient()), -EAGAIN);
    }
    // Leaves the reader's first segment.
    void leave() {
        speculo_chunk chunk;
        uint64_t before = static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->cursor.segment->generation;
        do {
            ASSERT_EQ(speculo_read_next(reader, &chunk), 1);
        } while (static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->cursor.segment->generation == before);
    }

    AreaName lossless_;
    Handle writer, reader;
};

TEST_F(WaitLossless, writer_waits_until_a_cursor_has_left) {
    if (!writer) { return; }               // refused: SetUp has seen it
    EXPECT_EQ(speculo_wait(writer, 0), 1); // nothing was refused
    fill();
    EXPECT_EQ(speculo_wait(writer, 0), 0);
    EXPECT_EQ(speculo_wait(writer, soon), 0);
    leave();
    EXPECT_EQ(speculo_wait(writer, -1), 1);
    EXPECT_EQ(try_alloc(writer, 1000, transient()), 0);
    EXPECT_EQ(speculo_wait(writer, -1), 1);
}

TEST_F(WaitLossless, P12_reader_that_leaves_between_the_last_try_and_the_sleep_ends_the_sleep) {
    if (!writer) { return; }
    fill();
    Before::sleeping([&] { leave(); });
    EXPECT_EQ(speculo_wait(writer, long_enough), 1);
    EXPECT_EQ(Before::last_sleep(), -EAGAIN);
}

TEST_F(WaitLossless, reader_that_leaves_while_the_writer_spins_spares_it_the_sleep) {
    if (!writer) { return; }
    fill();
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        ADD_FAILURE() << "it slept";
        return -EINTR;
    };
    Before::spinning([&] { leave(); });
    EXPECT_EQ(speculo_wait(writer, -1), 1);
}

// The reader does not wake it.
TEST_F(WaitLossless, P12_reader_that_leaves_before_the_flag_is_seen_without_a_sleep) {
    if (!writer) { return; }
    fill();
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        ADD_FAILURE() << "it slept";
        return -EINTR;
    };
    Before::asking_for_status([&] { leave(); }); // behind the spinning
    EXPECT_EQ(speculo_wait(writer, -1), 1);
}

TEST_F(WaitLossless, signal_ends_the_writer_s_wait) {
    if (!writer) { return; }
    fill();
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) { return -EINTR; };
    EXPECT_EQ(speculo_wait(writer, soon), -EINTR);
}

TEST_F(WaitLossless, stranger_that_leaves_wakes_the_writer_and_writes_nothing) {
    if (!writer) { return; }
    Faults faults;
    reader = open_stranger(lossless_, faults);
    fill();
    static std::function<void()> leaving;
    leaving = [&] { leave(); };
    os::operations.sleep_on = [](const uint32_t *, uint32_t, uint64_t) {
        leaving();
        return 0;
    };
    static int wakes;
    wakes = 0;
    os::operations.wake = [](const uint32_t *, uint32_t) { ++wakes; };
    const core::BellPage &bell = *inside(writer).ringer.bell.page;
    uint32_t room = core::load_bell_word(bell.room);
    EXPECT_EQ(speculo_wait(writer, long_enough), 1);
    EXPECT_EQ(wakes, 1);
    EXPECT_EQ(core::load_bell_word(bell.room), room);
}

TEST_F(WaitLossless, reader_that_waits_at_the_end_of_a_segment_leaves_it) {
    if (!writer) { return; }
    for (int i = 0; i < 10; ++i) {
        compact_now(writer);
        EXPECT_EQ(speculo_wait(reader, 0), 0);
    }
    EXPECT_EQ(speculo_area_dispatch(reader), 0);
}

TEST_F(WaitLossless, removed_area_ends_it) {
    if (!writer) { return; }
    fill();
    for (const std::string &file : lossless_.files()) { unlink((std::string(area_directory()) + "/" + file).c_str()); }
    EXPECT_EQ(speculo_wait(writer, -1), -ESTALE);
}

// ---- descriptors --------------------------------------------------------------------------------------------------------------------

class Descriptor : public Wait {
protected:
    int fd_ = speculo_area_get_fd(reader_);

    // Within the time that the variant needs.
    bool becomes_readable() {
        pollfd one = {fd_, POLLIN, 0};
        return poll(&one, 1, 20000) == 1;
    }
};

TEST_F(Descriptor, P12_is_readable_from_a_commit_until_all_is_read_and_dispatched) {
    ASSERT_GE(fd_, 0);
    EXPECT_EQ(speculo_area_get_fd(reader_), fd_);
    EXPECT_EQ(fcntl(fd_, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    EXPECT_TRUE(is_readable(fd_)); // whoever begins is to look first
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    EXPECT_FALSE(is_readable(fd_));
    for (uint64_t id = 1; id <= 5; ++id) {
        commit_chunk(writer_, "a");
        EXPECT_TRUE(becomes_readable());
        EXPECT_EQ(speculo_area_dispatch(reader_), 1);
        EXPECT_TRUE(becomes_readable()); // not all is read
        EXPECT_EQ(ids_of(read_all(reader_)), (Ids{id}));
        EXPECT_EQ(speculo_area_dispatch(reader_), 0);
        EXPECT_FALSE(is_readable(fd_));
    }
}

// As event loops do that are told of changes only.
TEST_F(Descriptor, P12_edge_triggered_watch_is_told_of_each_commit) {
    int loop = epoll_create1(EPOLL_CLOEXEC);
    epoll_event change = {};
    change.events = EPOLLIN | EPOLLET;
    ASSERT_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, fd_, &change), 0);
    for (uint64_t id = 0; id <= 10; ++id) {
        if (id > 0) { commit_chunk(writer_, "a"); }
        Ids got;
        do {
            ASSERT_EQ(epoll_wait(loop, &change, 1, 20000), 1) << id;
            while (speculo_area_dispatch(reader_) == 1) { got = ids_of(read_all(reader_)); }
        } while (id > 0 && got.empty()); // readable for nothing
        EXPECT_EQ(got, id > 0 ? Ids{id} : Ids{});
    }
    close(loop);
}

// Else two of them would wake each other for ever.
TEST_F(Descriptor, is_not_readable_because_another_reader_asks) {
    Handle other = open_reader(name_);
    int fd = speculo_area_get_fd(other);
    ASSERT_GE(fd, 0);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(speculo_area_dispatch(reader_), 0);
        EXPECT_EQ(speculo_area_dispatch(other), 0);
        EXPECT_FALSE(is_readable(fd_));
        EXPECT_FALSE(is_readable(fd));
    }
}

TEST_F(Descriptor, stays_readable_until_a_dispatch_gives_0) {
    ASSERT_EQ(speculo_area_dispatch(reader_), 0);
    commit_chunk(writer_, "a");
    commit_chunk(writer_, "b");
    speculo_chunk chunk{};
    for (int i = 0; i < 2; ++i) {
        for (int j = 0; j < 3; ++j) {
            EXPECT_EQ(speculo_area_dispatch(reader_), 1);
            EXPECT_TRUE(becomes_readable());
        }
        EXPECT_EQ(speculo_read_next(reader_, &chunk), 1);
    }
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    EXPECT_FALSE(is_readable(fd_));
}

TEST_F(Descriptor, commit_before_the_dispatch_is_not_forgotten) {
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    commit_chunk(writer_, "a");
    read_all(reader_);
    commit_chunk(writer_, "b"); // after the last read, before the drain
    EXPECT_EQ(speculo_area_dispatch(reader_), 1);
    EXPECT_TRUE(becomes_readable());
}

// The ring of a commit that was read already comes while the reader asks for the next one.
TEST_F(Descriptor, P12_a_late_ring_does_not_silence_the_next) {
    if (!os::has_range_locks) { return; } // rings for nobody
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    commit_chunk(writer_, "a");
    EXPECT_EQ(ids_of(read_all(reader_)), (Ids{1}));
    auto &writer = *static_cast<core::Writer *>(static_cast<speculo_area *>(writer_));
    bool was_late = false;
    Before::barrier([&] {
        was_late = true;
        if (core::is_ring_due(writer.ringer)) { core::ring(writer.area, writer.ringer); }
    });
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    EXPECT_TRUE(was_late);
    commit_chunk(writer_, "b");
    EXPECT_TRUE(is_readable(fd_));
}

// Then it looks again soon, as if nobody had heard it ask.
TEST_F(Descriptor, rings_at_every_asking_do_not_hold_a_dispatch) {
    if (!os::has_range_locks) { return; } // rings for nobody
    static core::Writer *writer;
    writer = &inside(writer_);
    static int asked;
    asked = 0;
    os::operations.barrier = [] {
        ++asked;
        core::ring(writer->area, writer->ringer);
        return 0;
    };
    static uint64_t alarm;
    os::operations.watch_alarm = [](const os::Watch *, uint64_t after_ns) {
        alarm = after_ns;
        return 0;
    };
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    EXPECT_EQ(asked, 4);
    EXPECT_EQ(alarm, 2 * ms);
}

TEST_F(Descriptor, of_a_stranger_is_readable_seldom_only_while_nobody_rings) {
    Faults faults;
    Handle stranger = open_stranger(name_, faults);
    ASSERT_GE(speculo_area_get_fd(stranger), 0);
    static uint64_t now, alarm;
    now = 1;
    os::operations.clock_fine = [] { return now; };
    os::operations.watch_alarm = [](const os::Watch *, uint64_t after_ns) {
        alarm = after_ns;
        return 0;
    };
    auto alarm_after = [&](uint64_t ns) {
        now += ns;
        EXPECT_EQ(speculo_area_dispatch(stranger), 0);
        return alarm;
    };
    EXPECT_EQ(alarm_after(0), 2 * ms);
    EXPECT_EQ(alarm_after(2 * ms - 1), 2 * ms);
    EXPECT_EQ(alarm_after(1), 250 * ms);
    core::bump_word(inside(writer_).area.control->bell);
    EXPECT_EQ(alarm_after(250 * ms), 2 * ms);
}

TEST_F(Descriptor, alarm_that_cannot_be_set_hides_nothing) {
    Faults faults;
    faults.fail_from(Site::watch_alarm, 1, EINVAL);
    EXPECT_EQ(speculo_area_dispatch(reader_), -EINVAL);
    commit_chunk(writer_, "a");
    EXPECT_EQ(speculo_area_dispatch(reader_), 1);
}

TEST_F(Descriptor, writer_tells_it_only_when_asked) {
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    Faults faults;
    for (int i = 0; i < 10; ++i) { commit_chunk(writer_, "a"); }
    EXPECT_EQ(faults.calls(Site::touch), 1u);
    EXPECT_EQ(faults.calls(Site::wake), 0u);
}

TEST_F(Descriptor, end_of_the_writer_is_told_once) {
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    writer_.close();
    EXPECT_TRUE(becomes_readable());
    EXPECT_EQ(speculo_area_dispatch(reader_), gone());
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
}

TEST_F(Descriptor, used_up_instances_leave_waiting_as_it_is) {
    commit_chunk(writer_, "the first one needs memory for its record");
    Faults faults;
    Handle reader = open_reader(name_, SPECULO_OPEN_AT_END);
    faults.fail_from(Site::watch_open, 1, EMFILE);
    EXPECT_EQ(speculo_area_get_fd(reader), -EMFILE);
    faults.heal();
    Before::sleeping([&] { commit_chunk(writer_, "a"); });
    EXPECT_EQ(speculo_wait(reader, long_enough), 1);
    EXPECT_EQ(speculo_area_dispatch(reader), 1);
    reader.close();
    EXPECT_EQ(faults.leaks(), "");
}

TEST_F(Descriptor, nothing_of_it_is_left_after_close) {
    Faults faults;
    Handle reader = open_reader(name_);
    int fd = speculo_area_get_fd(reader);
    EXPECT_EQ(speculo_wait(reader, 1), 0);
    reader.close();
    EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    EXPECT_EQ(faults.leaks(), "");
}

TEST_F(Descriptor, child_that_closes_its_copy_disturbs_nothing) {
    EXPECT_EQ(speculo_area_dispatch(reader_), 0);
    int status = run_in_child([&] {
        bool is_refused = speculo_wait(reader_, 0) == -ECHILD && speculo_area_get_fd(reader_) == -ECHILD &&
                          speculo_area_dispatch(reader_) == -ECHILD && speculo_area_writer_alive(reader_) == -ECHILD;
        reader_.close();
        writer_.close();
        return is_refused ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
    commit_chunk(writer_, "a");
    EXPECT_TRUE(becomes_readable());
    EXPECT_EQ(speculo_area_dispatch(reader_), 1);
}

} // namespace
