// SPDX-License-Identifier: LGPL-2.1-or-later
// What a fork must not inherit: handles are of no use in the child, its closing them disturbs nobody, and it keeps none of the
// parent's locks.
#include "fork.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <thread>
#include <unordered_map>
#include <vector>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"
#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// Before all else: later handles of this process find the handlers registered.
const int error_without_handlers = [] {
    Faults faults;
    faults.fail(Site::at_fork, 1, ENOMEM);
    speculo_area *reader = nullptr;
    return speculo_area_open("speculo-test-fork", SPECULO_OPEN_READ, nullptr, &reader);
}();

class Pipe {
public:
    Pipe() { EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0); }
    ~Pipe() {
        close(ends_[0]);
        close_input();
    }
    Pipe(const Pipe &) = delete;
    Pipe &operator=(const Pipe &) = delete;

    template <class T> bool send(const T &value) { return write(ends_[1], &value, sizeof value) == ssize_t(sizeof value); }
    template <class T> bool receive(T &value) { return read(ends_[0], &value, sizeof value) == ssize_t(sizeof value); }
    void close_input() {
        if (ends_[1] >= 0) { close(ends_[1]); }
        ends_[1] = -1;
    }

private:
    int ends_[2];
};

class Fork : public testing::Test {
protected:
    Fork() {
        commit_key(writer, "k", "payload");
        EXPECT_EQ(speculo_read_next(reader, &held), 1);
        EXPECT_EQ(speculo_chunk_hold(reader, &held), 0);
        EXPECT_EQ(speculo_read_key(reader, "k", 1, &view), 1);
        EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    }
    ~Fork() override {
        speculo_snapshot_close(snapshot);
        speculo_chunk_release(&held);
    }

    void close_everything() {
        speculo_snapshot_close(snapshot);
        speculo_chunk_release(&held);
        reader.close();
        writer.close();
    }

    // Everything that the parent opened works, and keeps others out.
    void check_parent() {
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), -EBUSY);
        EXPECT_EQ(info_of(reader).writer_alive, 1u);
        if (os::has_range_locks) { EXPECT_EQ(current_segment(name).locks(), "cursor"); }
        uint64_t id = commit_chunk(writer, "more");
        speculo_chunk chunk{};
        EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
        EXPECT_EQ(chunk.id, id);
        EXPECT_EQ(seen(held).payload, "payload");
        EXPECT_EQ(speculo_snapshot_key(snapshot, "k", 1, &chunk), 1);
    }

    AreaName name;
    Handle writer = make_area(name, 64 << 10);
    Handle reader = open_reader(name);
    speculo_chunk held{}, view{};
    speculo_snapshot *snapshot = nullptr;
};

// ---- calls ----------------------------------------------------------------------------------------------------------------------

TEST_F(Fork, every_call_in_the_child_is_ECHILD) {
    ChunkOptions options;
    void *data = nullptr;
    speculo_chunk chunk{};
    speculo_snapshot *other = nullptr;
    speculo_area_info info{};
    info.struct_size = sizeof info;
    const std::function<int()> calls[] = {
        [&] { return speculo_area_get_info(writer, &info); },
        [&] { return speculo_area_compact(writer); },
        [&] { return speculo_chunk_alloc(writer, 8, nullptr, &data, nullptr); },
        [&] { return speculo_chunk_alloc(writer, 8, &options, &data, nullptr); },
        [&] { return speculo_chunk_shrink(writer, 0); },
        [&] { return speculo_chunk_obsolete(writer, 1); },
        [&] { return speculo_key_remove(writer, "k", 1); },
        [&] { return speculo_commit(writer); },
        [&] { return speculo_rollback(writer); },
        [&] { return speculo_area_get_info(reader, &info); },
        [&] { return speculo_read_next(reader, &chunk); },
        [&] { return speculo_read_key(reader, "k", 1, &chunk); },
        [&] { return speculo_seek(reader, 0); },
        [&] { return speculo_chunk_is_live(reader, &view); },
        [&] { return speculo_chunk_hold(reader, &view); },
        [&] { return speculo_snapshot_open(reader, &other); },
        [&] { return speculo_snapshot_next(snapshot, &chunk); },
        [&] { return speculo_snapshot_key(snapshot, "k", 1, &chunk); },
    };
    uint64_t before = view.opaque[3];
    int wrong = run_in_child([&] {
        int number = 1;
        for (const auto &call : calls) {
            if (call() != -ECHILD) { return number; }
            ++number;
        }
        bool is_untouched = !data && !other && chunk.id == 0 && view.opaque[3] == before;
        return is_untouched ? 0 : 100;
    });
    EXPECT_EQ(wrong, 0) << "number of the call";
    EXPECT_EQ(run_in_child([&] { // and a child of the child
                  return run_in_child(
                      [&] { return speculo_commit(writer) == -ECHILD && speculo_seek(reader, 0) == -ECHILD ? 0 : 1; });
              }),
              0);
    check_parent();
}

TEST_F(Fork, the_child_may_close_and_release_everything) {
    put_chunk(writer, "pending");
    EXPECT_EQ(run_in_child([&] { return close_everything(), 0; }), 0);
    EXPECT_EQ(run_in_child([&] { // in the other order
                  writer.close();
                  reader.close();
                  speculo_chunk_release(&held);
                  speculo_snapshot_close(snapshot);
                  return held.data == nullptr ? 0 : 1;
              }),
              0);
    commit(writer);
    EXPECT_EQ(ids_of(read_all(reader)), Ids{2}) << "what the parent has pending is not rolled back";
    check_parent();
}

TEST_F(Fork, the_child_gives_back_all_that_it_inherited) {
    AreaName other;
    int status = run_in_child([&] {
        Faults faults; // tracks what is opened from here on, in a handle of the parent's
        Handle w = make_area(other, 64 << 10), r = open_reader(other);
        compact_now(w);
        read_all(r);
        return run_in_child([&] {
            w.close();
            r.close();
            return faults.descriptors() == 0 && faults.allocations() == 0 ? 0 : 1;
        });
    });
    EXPECT_EQ(status, 0);
}

// In the child something else may be where the parent's mappings are, those of segments that lost their name included.
TEST_F(Fork, the_child_unmaps_nothing_of_the_writer_s) {
    AreaName other;
    int status = run_in_child([&] {
        Faults faults;
        AreaOptions options(64 << 10);
        options.segments = 2;
        Handle w = make_area(other, options);
        put_chunk(w, "pending");
        for (int i = 0; i < 3; ++i) {
            if (core::compact(inside(w), core::Room{}) != 0) { return 1; }
        }
        if (!inside(w).displaced) { return 2; }
        faults.reset_counts();
        return run_in_child([&] {
            w.close();
            return faults.calls(Site::unmap) == 0 && faults.allocations() == 0 ? 0 : 3;
        });
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Fork, the_child_may_open_handles_of_its_own) {
    EXPECT_EQ(run_in_child([&] {
                  Handle mine = open_reader(name);
                  if (read_all(mine).size() != 1 || try_open(name, SPECULO_OPEN_WRITE) != -EBUSY) { return 1; }
                  close_everything();
                  return value_of(mine, "k") == "payload" ? 0 : 2;
              }),
              0);
    check_parent();
}

// Each process has what it made itself, and nobody what was given back.
TEST_F(Fork, a_child_takes_away_the_marks_of_its_parent) {
    core::OwnMark first, middle, last, ended;
    core::own_mark_set(first, 1, core::ForkGuard());
    core::own_mark_set(middle, 2, core::ForkGuard());
    core::own_mark_set(ended, 3, core::ForkGuard());
    core::own_mark_set(last, 4, core::ForkGuard());
    core::own_mark_end(ended, core::ForkGuard());
    EXPECT_EQ(run_in_child([&] {
                  if (first.value || middle.value || last.value || ended.value) { return 1; }
                  core::own_mark_end(middle, core::ForkGuard()); // in any order, and once more than is needed
                  core::own_mark_end(middle, core::ForkGuard());
                  core::OwnMark own;
                  core::own_mark_set(own, 5, core::ForkGuard());
                  int status = run_in_child([&] { return own.value == 0 && last.value == 0 ? 0 : 2; });
                  if (own.value != 5) { return 3; }
                  core::own_mark_end(own, core::ForkGuard());
                  core::own_mark_end(first, core::ForkGuard());
                  core::own_mark_end(last, core::ForkGuard());
                  return status;
              }),
              0);
    EXPECT_EQ(first.value + middle.value + last.value, 7u);
    EXPECT_EQ(ended.value, 0u); // before its handle is given back
    for (core::OwnMark *mark : {&middle, &first, &last}) { core::own_mark_end(*mark, core::ForkGuard()); }
}

// Its children would keep the locks of what it opens.
TEST(ForkWatch, P9_a_process_that_cannot_watch_its_forks_opens_nothing) { EXPECT_EQ(error_without_handlers, -ENOMEM); }

TEST_F(Fork, handlers_are_registered_once) {
    Faults faults;
    for (int i = 0; i < 5; ++i) { open_reader(name); }
    EXPECT_EQ(faults.calls(Site::at_fork), 0u); // by the first handle of the process
}

// ---- locks ----------------------------------------------------------------------------------------------------------------------

// A family: the parent has a writer and a reader, the child outlives it. Both are given up to this process.
TEST_F(Fork, P8_a_parent_s_death_frees_its_role_and_its_pins_though_a_child_lives) {
    AreaName other;
    Pipe born, stay;
    ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    Child parent([&] {
        Handle w = make_area(other, 64 << 10), r = open_reader(other);
        commit_key(w, "k", "x");
        value_of(r, "k");
        pid_t pid = fork();
        if (pid == 0) {
            stay.close_input();
            born.send(getpid()); // it runs, so it has closed what it must not keep
            char nothing;
            _exit(stay.receive(nothing) ? 1 : 0); // until the test ends it
        }
        stay.close_input();
        return pause();
    });
    pid_t child = -1;
    ASSERT_TRUE(born.receive(child));
    EXPECT_EQ(try_open(other, SPECULO_OPEN_WRITE), -EBUSY);
    if (os::has_range_locks) { EXPECT_EQ(current_segment(other).locks(), "cursor"); }
    parent.signal(SIGKILL);
    EXPECT_EQ(parent.wait(), killed_by + SIGKILL);
    int status;
    ASSERT_EQ(waitpid(child, &status, WNOHANG), 0) << "the child lives";
    if (os::has_range_locks) {
        EXPECT_EQ(current_segment(other).locks(), "free");
        EXPECT_EQ(info_of(open_reader(other)).writer_alive, 0u);
    }
    EXPECT_EQ(try_open(other, SPECULO_OPEN_WRITE), 0);
    ASSERT_EQ(waitpid(child, &status, WNOHANG), 0) << "the child lived all the time";
    stay.close_input();
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
}

TEST_F(Fork, what_the_parent_lets_go_is_free_though_a_child_lives) {
    Pipe stay;
    Child child([&] {
        stay.close_input();
        char nothing;
        return stay.receive(nothing) ? 1 : 0;
    });
    close_everything();
    snapshot = nullptr;
    if (os::has_range_locks) { EXPECT_EQ(current_segment(name).locks(), "free"); }
    EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), 0);
    EXPECT_TRUE(child.is_running());
    stay.close_input();
    EXPECT_EQ(child.wait(), 0);
}

// Lock descriptors that were opened, in a list from which any may be taken.
TEST_F(Fork, all_lock_descriptors_are_closed_in_the_child) {
    core::Place place;
    ASSERT_EQ(core::place_open(name.c_str(), place), 0);
    core::LockDescriptor all[5];
    for (auto &one : all) { ASSERT_EQ(core::lock_descriptor_open(one, place.directory, place.name, os::Access::read), 0); }
    core::lock_descriptor_close(all[2]); // from the middle,
    core::lock_descriptor_close(all[4]); // the first,
    core::lock_descriptor_close(all[0]); // and the last
    core::lock_descriptor_close(all[0]); // twice
    EXPECT_EQ(core::lock_descriptor_open(all[2], place.directory, place.name, os::Access::read), 0);
    int fds[] = {all[1].fd, all[2].fd, all[3].fd};
    EXPECT_EQ(all[0].fd, -1);
    int status = run_in_child([&] {
        for (int fd : fds) {
            if (fcntl(fd, F_GETFD) != -1) { return 1; }
        }
        for (auto &one : all) {
            if (one.fd != -1) { return 2; }
            core::lock_descriptor_close(one);
        }
        core::LockDescriptor mine; // and the list begins anew
        if (core::lock_descriptor_open(mine, place.directory, place.name, os::Access::read) != 0) { return 3; }
        core::lock_descriptor_close(mine);
        return 0;
    });
    EXPECT_EQ(status, 0);
    for (int fd : fds) { EXPECT_NE(fcntl(fd, F_GETFD), -1); }
    for (auto &one : all) { core::lock_descriptor_close(one); }
    core::place_close(place);
}

// A child has the parent's descriptors until it runs for the first time.
TEST_F(Fork, closing_unlocks_whoever_shares_the_descriptor) {
    core::Place place;
    ASSERT_EQ(core::place_open(name.c_str(), place), 0);
    core::LockDescriptor mine, other;
    ASSERT_EQ(core::lock_descriptor_open(mine, place.directory, place.name, os::Access::read_write), 0);
    ASSERT_EQ(core::lock_descriptor_open(other, place.directory, place.name, os::Access::read_write), 0);
    writer.close(); // whose sign of life is a lock here
    ASSERT_EQ(os::operations.lock_whole(mine.fd), 0);
    int shared = fcntl(mine.fd, F_DUPFD_CLOEXEC, 0);
    EXPECT_EQ(os::operations.lock_whole(other.fd), -EAGAIN);
    core::lock_descriptor_close(mine);
    EXPECT_EQ(os::operations.lock_whole(other.fd), 0);
    close(shared);
    core::lock_descriptor_close(other);
    core::place_close(place);
}

TEST_F(Fork, a_descriptor_that_cannot_be_opened_is_none) {
    core::Place place;
    ASSERT_EQ(core::place_open(name.c_str(), place), 0);
    core::LockDescriptor none;
    EXPECT_EQ(core::lock_descriptor_open(none, place.directory, "speculo-no-such-file", os::Access::read), -ENOENT);
    EXPECT_EQ(none.fd, -1);
    core::lock_descriptor_close(none);
    core::place_close(place);
}

// Handles come and go in a thread while another forks: no child keeps a lock, wherever the fork fell.
TEST_F(Fork, no_child_keeps_a_lock_wherever_the_fork_falls) {
    close_everything();
    snapshot = nullptr;
    Pipe stay;
    std::atomic<bool> is_over{false};
    std::atomic<unsigned> opened{0};
    std::thread thread([&] {
        while (!is_over) {
            Handle w = open_area(name, SPECULO_OPEN_WRITE), r = open_reader(name);
            value_of(r, "k");
            ++opened;
        }
    });
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < 60; ++i) {
        children.push_back(std::make_unique<Child>([&] {
            stay.close_input();
            char nothing;
            return stay.receive(nothing) ? 1 : 0;
        }));
    }
    while (opened < 20) { std::this_thread::yield(); }
    is_over = true;
    thread.join();
    if (os::has_range_locks) { EXPECT_EQ(current_segment(name).locks(), "free"); }
    EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), 0);
    for (auto &child : children) { EXPECT_TRUE(child->is_running()); }
    stay.close_input();
    for (auto &child : children) { EXPECT_EQ(child->wait(), 0); }
}

TEST(ForkDescriptors, child_has_none_of_the_writer_s_descriptors_that_carry_locks) {
    AreaName name;
    Handle writer = make_area(name);
    compact_now(writer);
    int status = run_in_child([&] {
        for (const core::WriterSegment *segment : inside(writer).segments) {
            if (segment && segment->file.fd != -1) { return 1; }
        }
        return 0;
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(speculo_area_compact(writer), 0); // the parent has them
}

// ---- in the middle of a call --------------------------------------------------------------------------------------------------------

// What is given back stays, and reads as something with one user, so that whoever still has it gives it back as he would. Freed memory
// may say anything.
class Kept {
public:
    Kept() : before_(os::operations) {
        before = &before_;
        os::operations.allocate = [](size_t size) {
            void *memory = before->allocate(size);
            sizes[memory] = size;
            return memory;
        };
        os::operations.release = [](void *memory) {
            std::fill_n(static_cast<uint32_t *>(memory), sizes[memory] / sizeof(uint32_t), 1u);
            if (memory) { released.push_back(memory); }
        };
    }
    ~Kept() {
        os::operations = before_;
        std::sort(released.begin(), released.end());
        released.erase(std::unique(released.begin(), released.end()), released.end());
        for (void *memory : released) { os::operations.release(memory); }
        released.clear();
        sizes.clear();
    }
    static bool has_something_twice() {
        return std::any_of(released.begin(), released.end(),
                           [](void *memory) { return std::count(released.begin(), released.end(), memory) > 1; });
    }
    Kept(const Kept &) = delete;
    Kept &operator=(const Kept &) = delete;

private:
    os::Operations before_;
    static inline const os::Operations *before;
    static inline std::unordered_map<void *, size_t> sizes;
    static inline std::vector<void *> released;
};

// Whenever something has been given back a child is made, as another thread might make one, and closes the handles.
class AfterGivingBack {
public:
    explicit AfterGivingBack(std::function<void()> close_handles) : before_(os::operations) {
        close_handles_ = std::move(close_handles);
        children_ = 0;
        os::operations.release = release;
        os::operations.unmap = unmap;
    }
    ~AfterGivingBack() { os::operations = before_; }
    AfterGivingBack(const AfterGivingBack &) = delete;
    AfterGivingBack &operator=(const AfterGivingBack &) = delete;
    static int children() { return children_; }

private:
    static void release(void *memory) {
        real_->release(memory);
        if (memory) { fork_here(); }
    }
    static void unmap(void *address, size_t length) {
        real_->unmap(address, length);
        fork_here();
    }
    static void fork_here() {
        ++children_;
        int status = run_in_child([] {
            os::operations = *real_; // and nothing more is forked
            close_handles_();
            std::string text = faults_->leaks(); // what the child does not reach may stay
            bool is_bad = text.find("does not have") != text.npos || text.find("not mapped so") != text.npos;
            return is_bad || text.find("in vain") != text.npos ? 1 : 0;
        });
        EXPECT_EQ(status, 0) << "something was given back twice, by child " << children_;
    }

    os::Operations before_;
    static inline std::function<void()> close_handles_;
    static inline int children_;

public:
    static inline Faults *faults_;
    static inline const os::Operations *real_;
};

// Right before a handle is given back a child is made, which closes it as well.
class BeforeGivingBack {
public:
    BeforeGivingBack(const void *handle, std::function<void()> close_it) {
        before_ = os::operations;
        handle_ = handle;
        close_it_ = std::move(close_it);
        status_ = -1;
        os::operations.release = release;
    }
    ~BeforeGivingBack() {
        os::operations = before_;
        EXPECT_EQ(status_, 0);
    }
    BeforeGivingBack(const BeforeGivingBack &) = delete;
    BeforeGivingBack &operator=(const BeforeGivingBack &) = delete;

private:
    static void release(void *memory) {
        if (memory && memory == handle_) {
            status_ = run_in_child([] {
                os::operations = before_;
                close_it_();
                return Kept::has_something_twice() ? 1 : 0;
            });
        }
        before_.release(memory);
    }

    static inline os::Operations before_;
    static inline const void *handle_;
    static inline std::function<void()> close_it_;
    static inline int status_;
};

TEST(ForkInACall, P11_the_child_closes_what_is_being_closed) {
    Kept kept;
    AreaName name;
    {
        Handle writer = make_area(name);
        commit_key(writer, "k", "v");
    }
    for (uint32_t flags : {uint32_t(SPECULO_OPEN_WRITE), uint32_t(SPECULO_OPEN_READ), uint32_t(SPECULO_OPEN_UNTRUSTED)}) {
        speculo_area *area = nullptr;
        ASSERT_EQ(speculo_area_open(name.c_str(), flags, nullptr, &area), 0);
        if (flags & SPECULO_OPEN_WRITE) {                               // each part that there may be is there
            for (int i = 0; i < 2; ++i) { commit_key(area, "k", "v"); } // from then on it is known
            put_chunk(area, "waits"), put_chunk(area, "has a record", aligned(64));
        } else {
            for (int i = 0; i < 2; ++i) { EXPECT_EQ(value_of(area, "k"), "v"); } // the second time it remembers
            EXPECT_GE(speculo_area_get_fd(area), 0);
            read_all(area);
            speculo_wait(area, ms); // for a writer that is gone: it says so, or sleeps
        }
        BeforeGivingBack before(area, [=] { speculo_area_close(area); });
        speculo_area_close(area);
    }
    Handle reader = open_reader(name);
    speculo_snapshot *snapshots[3];
    for (speculo_snapshot *&snapshot : snapshots) { ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0); }
    {
        BeforeGivingBack before(snapshots[1], [&] {
            for (speculo_snapshot *snapshot : snapshots) { speculo_snapshot_close(snapshot); }
            reader.close();
        });
        speculo_snapshot_close(snapshots[1]);
    }
    speculo_snapshot_close(snapshots[0]);
    speculo_snapshot_close(snapshots[2]);
}

TEST(ForkInACall, P11_the_child_gives_nothing_back_twice) {
    Kept kept;
    Faults faults;
    os::Operations real = os::operations;
    AfterGivingBack::faults_ = &faults;
    AfterGivingBack::real_ = &real;
    AreaName name;
    AreaOptions growing(64 << 10);
    growing.max_capacity = 256 << 10;
    Handle writer = make_area(name, growing);
    Handle follower = open_reader(name), keys = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    AfterGivingBack after([&] {
        writer.close();
        follower.close();
        keys.close();
    });
    for (int round = 0; round < 15; ++round) {
        speculo_chunk held{};
        for (int i = 0; i < 70 + 70 * (round % 2); ++i) { put_chunk(writer, std::to_string(i), transient()); }
        put_key(writer, "k",
                std::string(size_t(100) << (round % 8), 'x')); // more than there is room for in copies of smaller ones
        commit(writer);
        EXPECT_NE(value_of(keys, "k"), no_value);
        EXPECT_EQ(speculo_read_next(follower, &held), 1);
        EXPECT_EQ(speculo_chunk_hold(follower, &held), 0); // whoever is inside has the object parked
        speculo_snapshot *snapshot = nullptr;
        EXPECT_EQ(speculo_snapshot_open(keys, &snapshot), 0);
        if (round % 3 == 0) { EXPECT_EQ(speculo_wait(follower, 0), 1); }
        read_all(follower);
        for (int i = 0; i < 4; ++i) { compact_now(writer); }
        if (round % 3 != 2) { faults.clock.jump(int64_t(1100 * ms)); } // and given up
        compact_now(writer);
        EXPECT_NE(value_of(keys, "k"), no_value);
        commit_chunk(writer, "more");
        read_all(follower);
        EXPECT_EQ(speculo_seek(follower, 0), 0);
        speculo_snapshot_close(snapshot);
        speculo_chunk_release(&held);
    }
    // Others have had them parked, where these two have been: of objects that are given up then, only mappings are left.
    {
        std::vector<Handle> others;
        for (int i = 0; i < 4; ++i) {
            others.push_back(open_reader(name));
            compact_now(writer);
            EXPECT_NE(value_of(keys, "k"), no_value);
            read_all(follower);
        }
    }
    faults.clock.jump(int64_t(1100 * ms));
    for (int i = 0; i < 6; ++i) {
        if (i == 2) { commit_chunk(writer, std::string(40 << 10, 'x')); } // larger ones take the places of what there is
        compact_now(writer);
        EXPECT_NE(value_of(keys, "k"), no_value);
        read_all(follower);
    }
    // Nothing but the cursor, and the last look-up, keeps the objects that the writer replaces meanwhile, once around.
    for (int round = 0; round < 3; ++round) {
        EXPECT_NE(value_of(keys, "k"), no_value);
        read_all(follower);
        EXPECT_EQ(speculo_seek(follower, UINT64_MAX), 0);
        for (int i = 0; i < 3; ++i) { compact_now(writer); }
        EXPECT_NE(value_of(keys, "k"), no_value);
        commit_chunk(writer, "more", transient());
        EXPECT_EQ(read_all(follower).size(), 1u);
    }
    EXPECT_GT(AfterGivingBack::children(), 30);
}

} // namespace
