// SPDX-License-Identifier: LGPL-2.1-or-later
// Each operation of the system below, on a file system in memory and on the one of /tmp.
#include "os.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"
#include "os_directory.hpp"

namespace {

using namespace speculo;
using os::Access;
using os::Lock;
using test::run_in_child;

class Os : public test::OsDirectory {};

INSTANTIATE_TEST_SUITE_P(Memory, Os, testing::Values("/dev/shm"));
INSTANTIATE_TEST_SUITE_P(Temporary, Os, testing::Values("/tmp"));

// ---- memory -----------------------------------------------------------------------------------------------------------------

TEST(OsMemory, is_zeroed_resized_and_refused) {
    auto *bytes = static_cast<unsigned char *>(OS(allocate(1000)));
    ASSERT_NE(bytes, nullptr);
    EXPECT_TRUE(std::all_of(bytes, bytes + 1000, [](unsigned char byte) { return byte == 0; }));
    bytes[999] = 7;
    bytes = static_cast<unsigned char *>(OS(resize(bytes, 100000)));
    ASSERT_NE(bytes, nullptr);
    EXPECT_EQ(bytes[999], 7);
    EXPECT_EQ(OS(resize(bytes, SIZE_MAX / 4)), nullptr);
    EXPECT_EQ(OS(allocate(SIZE_MAX / 4)), nullptr);
    OS_VOID(release(bytes));
    OS_VOID(release(nullptr));
}

// ---- names ------------------------------------------------------------------------------------------------------------------

TEST_P(Os, create_makes_a_private_file_once) {
    mode_t before = umask(0777);
    int fd = OS(create(directory_, "a"));
    umask(before);
    ASSERT_GE(fd, 0);
    os::FileStatus status = status_of(fd);
    EXPECT_TRUE(status.regular);
    EXPECT_EQ(status.mode, 0600u);
    EXPECT_EQ(status.links, 1u);
    EXPECT_EQ(status.uid, geteuid());
    EXPECT_EQ(status.size, 0u);
    EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    EXPECT_EQ(OS(create(directory_, "a")), -EEXIST);
    EXPECT_EQ(OS(create(directory_, "no/such")), -ENOENT);
    OS_VOID(close(fd));
}

TEST_P(Os, umask_does_not_change_what_set_mode_sets) {
    mode_t before = umask(077);
    int fd = OS(create(directory_, "a"));
    EXPECT_EQ(OS(set_mode(fd, 0644)), 0);
    umask(before);
    EXPECT_EQ(status_of(fd).mode, 0644u);
    EXPECT_EQ(OS(set_owner(fd, geteuid(), getegid())), 0);
    OS_VOID(close(fd));
    EXPECT_EQ(OS(set_mode(-1, 0644)), -EBADF);
    EXPECT_EQ(OS(set_owner(-1, 0, 0)), -EBADF);
}

TEST_P(Os, open_goes_by_the_access) {
    OS_VOID(close(file("a", 4096)));
    for (Access access : {Access::read, Access::read_write}) {
        int fd = OS(open(directory_, "a", access));
        ASSERT_GE(fd, 0);
        EXPECT_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, access == Access::read ? O_RDONLY : O_RDWR);
        EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        OS_VOID(close(fd));
        EXPECT_EQ(fcntl(fd, F_GETFD), -1);
    }
    EXPECT_EQ(OS(open(directory_, "b", Access::read)), -ENOENT);
    EXPECT_EQ(OS(open_directory(in_directory("a").c_str())), -ENOTDIR);
    EXPECT_EQ(OS(open_directory(in_directory("b").c_str())), -ENOENT);
}

TEST_P(Os, open_is_not_fooled_by_what_was_planted) {
    ASSERT_EQ(symlink("a", in_directory("link").c_str()), 0);
    ASSERT_EQ(mkfifo(in_directory("fifo").c_str(), 0600), 0);
    ASSERT_EQ(mkdir(in_directory("directory").c_str(), 0700), 0);
    EXPECT_EQ(OS(open(directory_, "link", Access::read)), -ELOOP);
    EXPECT_EQ(OS(open(directory_, "link", Access::read_write)), -ELOOP);
    EXPECT_EQ(OS(open(directory_, "directory", Access::read_write)), -EISDIR);
    os::FileStatus status;
    for (const char *name : {"fifo", "directory"}) {
        int fd = OS(open(directory_, name, Access::read)); // comes back at once, though nobody writes
        ASSERT_GE(fd, 0);
        EXPECT_FALSE(status_of(fd).regular);
        OS_VOID(close(fd));
    }
    EXPECT_EQ(OS(status_at(directory_, "link", &status)), 0);
    EXPECT_FALSE(status.regular);
    ASSERT_EQ(rmdir(in_directory("directory").c_str()), 0);
}

TEST_P(Os, standard_descriptors_are_left_alone) {
    int status = run_in_child([&] {
        for (int fd = 0; fd < 3; ++fd) { ::close(fd); }
        int made = os::operations.create(directory_, "a");
        int opened = os::operations.open(directory_, "a", Access::read_write);
        int directory = os::operations.open_directory(path_.c_str());
        return made > 2 && opened > 2 && directory > 2 && fcntl(0, F_GETFD) == -1 && (fcntl(made, F_GETFD) & FD_CLOEXEC) ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST_P(Os, a_file_that_can_only_be_a_standard_descriptor_is_not_made) {
    int status = run_in_child([&] {
        for (int fd = 0; fd < 3; ++fd) { ::close(fd); }
        rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) != 0) { return 2; }
        limit.rlim_cur = 3;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) { return 3; }
        int made = os::operations.create(directory_, "a");
        bool is_gone = faccessat(directory_, "a", F_OK, 0) == -1 && errno == ENOENT;
        return made < 0 && is_gone && fcntl(0, F_GETFD) == -1 ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST_P(Os, unnamed_file_gets_its_name_late) {
    mode_t before = umask(0777);
    int fd = OS(create_unnamed(directory_));
    umask(before);
    if (!os::has_range_locks) {
        EXPECT_EQ(fd, -EOPNOTSUPP);
        EXPECT_EQ(OS(link(0, directory_, "a")), -EOPNOTSUPP);
        return;
    }
    if (fd == -EOPNOTSUPP) { // not every file system can
        EXPECT_STRNE(GetParam(), "/dev/shm");
        EXPECT_TRUE(names().empty());
        return;
    }
    ASSERT_GE(fd, 0);
    EXPECT_EQ(status_of(fd).mode, 0600u);
    EXPECT_EQ(status_of(fd).links, 0u);
    EXPECT_TRUE(names().empty());
    OS_VOID(close(file("b", 1)));
    EXPECT_EQ(OS(link(fd, directory_, "b")), -EEXIST);
    EXPECT_EQ(OS(link(fd, directory_, "no/such")), -ENOENT);
    EXPECT_EQ(OS(link(fd, directory_, "a")), 0);
    EXPECT_EQ(status_of(fd).links, 1u);
    EXPECT_EQ(names(), (std::vector<std::string>{"a", "b"}));
    OS_VOID(close(fd));
}

TEST_P(Os, rename_takes_no_name_over) {
    OS_VOID(close(file("a", 1)));
    OS_VOID(close(file("b", 2)));
    EXPECT_EQ(OS(rename(directory_, "a", "b")), -EEXIST);
    EXPECT_EQ(OS(rename(directory_, "x", "c")), -ENOENT);
    EXPECT_EQ(names(), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(OS(rename(directory_, "a", "c")), 0);
    EXPECT_EQ(names(), (std::vector<std::string>{"b", "c"}));
    os::FileStatus status;
    EXPECT_EQ(OS(status_at(directory_, "c", &status)), 0);
    EXPECT_EQ(status.links, 1u);
}

TEST_P(Os, unlink_takes_a_name) {
    int fd = file("a", 1);
    EXPECT_EQ(OS(unlink(directory_, "a")), 0);
    EXPECT_EQ(OS(unlink(directory_, "a")), -ENOENT);
    EXPECT_EQ(status_of(fd).links, 0u);
    OS_VOID(close(fd));
}

TEST_P(Os, list_tells_all_names_again_and_again) {
    std::vector<std::string> expected;
    for (int i = 100; i < 300; ++i) { // more than one buffer
        expected.push_back(std::to_string(i) + std::string(60, 'x'));
        OS_VOID(close(OS(create(directory_, expected.back().c_str()))));
    }
    EXPECT_EQ(names(), expected);
    EXPECT_EQ(names(), expected); // nobody moved the descriptor
    EXPECT_EQ(lseek(directory_, 0, SEEK_CUR), 0);
    auto ignore = [](void *, const char *) {};
    EXPECT_EQ(OS(list(-1, ignore, nullptr)), -EBADF);
}

TEST_P(Os, names_may_go_while_they_are_listed) {
    for (int i = 0; i < 300; ++i) { OS_VOID(close(OS(create(directory_, ("file" + std::to_string(i)).c_str())))); }
    auto take = [](void *user, const char *name) { os::operations.unlink(*static_cast<int *>(user), name); };
    for (int i = 0; i < 4 && !names().empty(); ++i) { EXPECT_EQ(OS(list(directory_, take, &directory_)), 0); }
    EXPECT_TRUE(names().empty());
}

// ---- files ------------------------------------------------------------------------------------------------------------------

TEST_P(Os, status_tells_the_same_both_ways) {
    int fd = file("a", 5 * 4096);
    os::FileStatus here = status_of(fd), there;
    ASSERT_EQ(OS(status_at(directory_, "a", &there)), 0);
    EXPECT_EQ(here.inode, there.inode);
    EXPECT_EQ(here.device, there.device);
    EXPECT_EQ(there.size, 5u * 4096);
    EXPECT_GE(there.allocated, there.size);
    EXPECT_EQ(OS(status_at(directory_, "b", &there)), -ENOENT);
    EXPECT_EQ(OS(status(-1, &there)), -EBADF);
    OS_VOID(close(fd));
}

TEST_P(Os, space_is_really_there) {
    int fd = OS(create(directory_, "a"));
    EXPECT_EQ(OS(allocate_space(fd, 0, 4096)), 0);
    EXPECT_EQ(OS(allocate_space(fd, 4096, 256 << 10)), 0);
    os::FileStatus status = status_of(fd);
    EXPECT_EQ(status.size, 4096u + (256 << 10));
    EXPECT_GE(status.allocated, status.size);
    ASSERT_EQ(pwrite(fd, "x", 1, 5000), 1);
    EXPECT_EQ(OS(allocate_space(fd, 0, status.size)), 0); // changes nothing
    char byte = 0;
    EXPECT_EQ(pread(fd, &byte, 1, 5000), 1);
    EXPECT_EQ(byte, 'x');
    EXPECT_LT(OS(allocate_space(fd, 0, uint64_t(1) << 62)), 0);
    OS_VOID(close(fd));
    EXPECT_EQ(OS(allocate_space(-1, 0, 4096)), -EBADF);
}

TEST_P(Os, copies_are_whole_or_an_error) {
    int fd = OS(create(directory_, "a"));
    std::string text(5000, 'x');
    text[4999] = 'y';
    EXPECT_EQ(OS(write_at(fd, 3, text.data(), text.size())), 0);
    std::string copy(5003, '?');
    EXPECT_EQ(OS(read_at(fd, 0, copy.data(), copy.size())), 0);
    EXPECT_EQ(copy, std::string(3, '\0') + text);
    EXPECT_EQ(OS(read_at(fd, 5002, copy.data(), 1)), 0);
    EXPECT_EQ(copy[0], 'y');
    EXPECT_EQ(OS(read_at(fd, 5002, copy.data(), 2)), -ENODATA); // one of the two
    EXPECT_EQ(OS(read_at(fd, 5003, copy.data(), 1)), -ENODATA);
    EXPECT_EQ(OS(read_at(fd, uint64_t(1) << 40, copy.data(), 1)), -ENODATA);
    EXPECT_EQ(OS(read_at(fd, 9999, copy.data(), 0)), 0);
    OS_VOID(close(fd));
    EXPECT_EQ(OS(read_at(-1, 0, copy.data(), 1)), -EBADF);
    EXPECT_EQ(OS(write_at(-1, 0, copy.data(), 1)), -EBADF);
}

// A profiler's timer must not keep a large allocation from ever ending.
TEST_P(Os, space_is_given_though_signals_keep_coming) {
    int status = run_in_child([&] {
        struct sigaction action = {};
        action.sa_handler = [](int) {};
        sigaction(SIGALRM, &action, nullptr);
        int fd = os::operations.create(directory_, "a");
        itimerval often = {{0, 1000}, {0, 1000}};
        setitimer(ITIMER_REAL, &often, nullptr);
        int error = os::operations.allocate_space(fd, 0, uint64_t(128) << 20);
        itimerval never = {};
        setitimer(ITIMER_REAL, &never, nullptr);
        os::FileStatus found;
        os::operations.status(fd, &found);
        return error == 0 && found.size == uint64_t(128) << 20 && found.allocated >= found.size ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST_P(Os, file_system_is_known_or_refused) {
    int fd = file("a", 1);
    os::Medium medium = os::Medium::disk;
    int error = OS(file_system(fd, &medium));
    bool is_memory = !os::has_range_locks || std::string(GetParam()) == "/dev/shm";
    if (is_memory) {
        EXPECT_EQ(error, 0);
        EXPECT_EQ(medium, os::Medium::memory);
    } else {
        EXPECT_TRUE(error == 0 || error == -EOPNOTSUPP) << error;
    }
    OS_VOID(close(fd));
}

TEST(OsFileSystem, others_are_refused) {
    int fd = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(fd, 0);
    os::Medium medium;
    // POSIX does not tell them apart.
    EXPECT_EQ(OS(file_system(fd, &medium)), os::has_range_locks ? -EOPNOTSUPP : 0);
    EXPECT_EQ(OS(file_system(-1, &medium)), os::has_range_locks ? -EBADF : 0);
    ::close(fd);
}

// ---- mappings ---------------------------------------------------------------------------------------------------------------

TEST_P(Os, mappings_are_shared) {
    constexpr size_t size = 64 << 10;
    int fd = file("a", size);
    int reading_fd = OS(open(directory_, "a", Access::read));
    void *writable = nullptr, *readable = nullptr;
    ASSERT_EQ(OS(map(fd, size, Access::read_write, &writable)), 0);
    ASSERT_EQ(OS(map(reading_fd, size, Access::read, &readable)), 0);
    OS_VOID(populate(writable, size, Access::read_write));
    OS_VOID(populate(static_cast<char *>(writable) + 4096, 4096, Access::read_write));
    OS_VOID(populate(readable, size, Access::read));
    std::strcpy(static_cast<char *>(writable), "shared");
    EXPECT_STREQ(static_cast<char *>(readable), "shared");
    EXPECT_EQ(OS(sync(writable, size)), 0);
    EXPECT_EQ(OS(sync(static_cast<char *>(writable) + 1, 4096)), -EINVAL);
    OS_VOID(unmap(readable, size));
    OS_VOID(unmap(writable, size));
    OS_VOID(populate(writable, size, Access::read_write)); // a hint, whatever happens

    void *untouched = &fd;
    EXPECT_EQ(OS(map(reading_fd, size, Access::read_write, &untouched)), -EACCES);
    EXPECT_EQ(OS(map(-1, size, Access::read, &untouched)), -EBADF);
    EXPECT_EQ(OS(map(fd, 0, Access::read, &untouched)), -EINVAL);
    EXPECT_EQ(untouched, &fd);
    OS_VOID(close(reading_fd));
    OS_VOID(close(fd));
}

TEST_P(Os, a_child_cannot_write_what_its_parent_writes) {
    int fd = file("a", 4096);
    void *writable = nullptr, *readable = nullptr;
    ASSERT_EQ(OS(map(fd, 4096, Access::read_write, &writable)), 0);
    ASSERT_EQ(OS(map(fd, 4096, Access::read, &readable)), 0);
    auto touch = [](void *address, bool store) {
        return run_in_child([=] {
            std::signal(SIGSEGV, [](int) { _exit(99); }); // also where a sanitizer would report it
            auto *byte = static_cast<volatile char *>(address);
            if (store) { *byte = 1; }
            return int(*byte);
        });
    };
    EXPECT_EQ(touch(writable, false), 99);
    EXPECT_EQ(touch(writable, true), 99);
    EXPECT_EQ(touch(readable, false), 0);
    EXPECT_EQ(touch(readable, true), 99);
    OS_VOID(unmap(writable, 4096));
    OS_VOID(unmap(readable, 4096));
    OS_VOID(close(fd));
}

// ---- locks ------------------------------------------------------------------------------------------------------------------

TEST_P(Os, range_locks_belong_to_the_open_file) {
    int writer = file("a", 4096);
    int reader = OS(open(directory_, "a", Access::read)), other = OS(open(directory_, "a", Access::read_write));
    if (!os::has_range_locks) {
        for (Lock lock : {Lock::shared, Lock::exclusive}) { EXPECT_EQ(OS(lock(writer, lock, 0, 1)), -EOPNOTSUPP); }
        EXPECT_EQ(OS(lock(writer, Lock::none, 0, 1)), 0);
        EXPECT_EQ(OS(locked_by_other(reader, 0, 1)), -EOPNOTSUPP);
    } else {
        EXPECT_EQ(OS(locked_by_other(reader, 0, 1)), 0);
        EXPECT_EQ(OS(lock(writer, Lock::exclusive, 0, 2)), 0);
        EXPECT_EQ(OS(lock(reader, Lock::shared, 0, 1)), -EAGAIN);
        EXPECT_EQ(OS(lock(other, Lock::exclusive, 1, 1)), -EAGAIN);
        EXPECT_EQ(OS(lock(other, Lock::exclusive, 2, 1)), 0); // beside it
        EXPECT_EQ(OS(locked_by_other(reader, 0, 1)), 1);
        EXPECT_EQ(OS(locked_by_other(writer, 0, 2)), 0); // its own does not count
        EXPECT_EQ(OS(lock(writer, Lock::none, 0, 1)), 0);
        EXPECT_EQ(OS(lock(reader, Lock::shared, 0, 1)), 0);
        EXPECT_EQ(OS(lock(other, Lock::shared, 0, 1)), 0);
        EXPECT_EQ(OS(locked_by_other(writer, 0, 1)), 0); // shared ones do not count
        EXPECT_EQ(OS(lock(writer, Lock::exclusive, 0, 1)), -EAGAIN);
        EXPECT_EQ(OS(lock(reader, Lock::exclusive, 0, 1)), -EBADF); // needs a descriptor for writing
        OS_VOID(close(other));
        EXPECT_EQ(OS(lock(writer, Lock::exclusive, 0, 1)), -EAGAIN);
        OS_VOID(close(reader)); // lets go of it
        EXPECT_EQ(OS(lock(writer, Lock::exclusive, 0, 1)), 0);
        EXPECT_EQ(OS(lock(-1, Lock::exclusive, 0, 1)), -EBADF);
        EXPECT_EQ(OS(locked_by_other(-1, 0, 1)), -EBADF);
    }
    OS_VOID(close(writer));
}

TEST_P(Os, range_locks_end_with_their_process) {
    int fd = file("a", 4096);
    if (!os::has_range_locks) {
        EXPECT_EQ(OS(lock(fd, Lock::shared, 0, 1)), -EOPNOTSUPP);
        OS_VOID(close(fd));
        return;
    }
    int reader = OS(open(directory_, "a", Access::read));
    test::Child child([&] {
        int own = os::operations.open(directory_, "a", Access::read_write);
        if (os::operations.lock(own, Lock::exclusive, 0, 1) == 0) { pause(); }
        return 1;
    });
    for (int i = 0; i < 5000 && OS(locked_by_other(reader, 0, 1)) == 0; ++i) { usleep(1000); }
    EXPECT_EQ(OS(lock(fd, Lock::exclusive, 0, 1)), -EAGAIN);
    child.signal(SIGKILL);
    EXPECT_EQ(child.wait(), test::killed_by + SIGKILL);
    EXPECT_EQ(OS(lock(fd, Lock::exclusive, 0, 1)), 0);
    OS_VOID(close(reader));
    OS_VOID(close(fd));
}

TEST_P(Os, whole_lock_has_one_holder) {
    int first = file("a", 1), second = OS(open(directory_, "a", Access::read_write));
    EXPECT_EQ(OS(lock_whole(first)), 0);
    EXPECT_EQ(OS(lock_whole(first)), 0);
    EXPECT_EQ(OS(lock_whole(second)), -EAGAIN);
    OS_VOID(close(first));
    EXPECT_EQ(OS(lock_whole(second)), 0);
    OS_VOID(close(second));
    EXPECT_EQ(OS(lock_whole(second)), -EBADF);
}

// ---- sleeping and descriptors for event loops ---------------------------------------------------------------------------------

// Seconds are counted in 32 bits somewhere: where they would be negative, the time is EINVAL.
TEST(OsSleep, takes_any_time) {
    uint32_t word = 1;
    os::Watch watch;
    ASSERT_EQ(OS(watch_open(-1, &watch)), 0);
    for (uint64_t time : {(uint64_t(1) << 31) * 1000000000, (uint64_t(3) << 30) * 1000000000, UINT64_MAX}) {
        EXPECT_EQ(OS(sleep_on(&word, 0, time)), os::sleeps_in_kernel ? -EAGAIN : 0); // has changed already
        EXPECT_EQ(OS(watch_alarm(&watch, time)), 0);
        pollfd readable = {watch.fd, POLLIN, 0};
        EXPECT_EQ(poll(&readable, 1, 0), 0);
    }
    OS_VOID(watch_close(&watch));
}

TEST_P(Os, a_watch_takes_all_its_descriptors_or_none) {
    constexpr int needed = os::has_range_locks ? 3 : 1;
    int fd = file("a", 1);
    int status = run_in_child([&] {
        rlimit before;
        if (getrlimit(RLIMIT_NOFILE, &before) != 0) { return 1; }
        int lowest = dup(fd);
        ::close(lowest);
        for (int room = 0; room < needed; ++room) {
            rlimit limit = {rlim_t(lowest + room), before.rlim_max};
            os::Watch watch = {};
            if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || os::operations.watch_open(fd, &watch) != -EMFILE) { return 2; }
            if (setrlimit(RLIMIT_NOFILE, &before) != 0 || dup(fd) != lowest || ::close(lowest) != 0) { return 3; }
        }
        return 0;
    });
    EXPECT_EQ(status, 0);
    OS_VOID(close(fd));
}

// ---- fork -------------------------------------------------------------------------------------------------------------------

int prepared, resumed, begun;

TEST(OsFork, handlers_run_on_their_side) {
    int status = run_in_child([] { // they would stay for ever
        if (OS(at_fork([] { ++prepared; }, [] { ++resumed; }, [] { ++begun; })) != 0) { return 1; }
        int in_child = run_in_child([] { return 100 * prepared + 10 * resumed + begun; });
        return in_child == 101 && prepared == 1 && resumed == 1 && begun == 0 ? 0 : 2;
    });
    EXPECT_EQ(status, 0);
}

} // namespace
