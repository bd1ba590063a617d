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
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"

namespace {

using namespace speculo;
using os::Access;
using os::Lock;
using test::run_in_child;

constexpr int some_errno = 4711;

// Whatever happens, callers do not see errno change.
template <typename Call> auto quietly(Call call) {
    errno = some_errno;
    auto result = call();
    EXPECT_EQ(errno, some_errno);
    return result;
}
#define OS(call) quietly([&] { return os::operations.call; })

template <typename Call> void quietly_void(Call call) {
    quietly([&] { return call(), 0; });
}
#define OS_VOID(call) quietly_void([&] { os::operations.call; })

// A directory of the test's own, empty and gone at its end, on each kind of file system.
class Os : public testing::TestWithParam<const char *> {
protected:
    void SetUp() override {
        path_ = std::string(GetParam()) + "/speculo-os-test-XXXXXX";
        ASSERT_NE(mkdtemp(path_.data()), nullptr);
        directory_ = OS(open_directory(path_.c_str()));
        ASSERT_GE(directory_, 0);
    }

    void TearDown() override {
        for (const std::string &name : names()) { unlinkat(directory_, name.c_str(), 0); }
        OS_VOID(close(directory_));
        rmdir(path_.c_str());
    }

    std::vector<std::string> names() {
        std::vector<std::string> found;
        auto each = [](void *user, const char *name) { static_cast<std::vector<std::string> *>(user)->push_back(name); };
        EXPECT_EQ(OS(list(directory_, each, &found)), 0);
        std::sort(found.begin(), found.end());
        return found;
    }

    os::FileStatus status_of(int fd) {
        os::FileStatus status;
        EXPECT_EQ(OS(status(fd, &status)), 0);
        return status;
    }

    // A file with some bytes that are really there.
    int file(const char *name, uint64_t size) {
        int fd = OS(create(directory_, name));
        EXPECT_GE(fd, 0);
        EXPECT_EQ(OS(allocate_space(fd, 0, size)), 0);
        return fd;
    }

    std::string in_directory(const char *name) const { return path_ + "/" + name; }

    std::string path_;
    int directory_ = -1;
};

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

// ---- other kernels ------------------------------------------------------------------------------------------------------------

#if !defined(SPECULO_PORTABLE) // which makes other calls
// A system call that says an error instead if an argument, as far as `mask` goes, has that value.
struct Refused {
    long call;
    unsigned argument;
    uint32_t mask, value;
    int error;
};

#if defined(SYS_fcntl64)
constexpr long fcntl_call = SYS_fcntl64;
#else
constexpr long fcntl_call = SYS_fcntl;
#endif

// From now on in this process; false where that is not possible.
bool refuse(const Refused &refused) {
    constexpr uint32_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
    sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, uint32_t(refused.call)},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, uint32_t(offsetof(seccomp_data, args) + 8 * refused.argument + low)},
        {BPF_ALU | BPF_AND | BPF_K, 0, 0, refused.mask},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, refused.value},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | uint32_t(refused.error)},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    sock_fprog program = {std::size(filter), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class OsRefused : public Os {
protected:
    void expect(const Refused &refused, const std::function<bool()> &look) {
        int status = run_in_child([&] { return !refuse(refused) ? 77 : look() ? 0 : 1; });
        EXPECT_TRUE(status == 0 || status == 77) << status; // an emulator knows no filters
    }
};
INSTANTIATE_TEST_SUITE_P(Memory, OsRefused, testing::Values("/dev/shm"));

TEST_P(OsRefused, what_a_kernel_does_not_know_is_done_otherwise_or_told) {
    for (int error : {ENOSYS, EPERM}) {
        expect({SYS_membarrier, 0, 0, 0, error},
               [] { return os::operations.barrier_join() == -EOPNOTSUPP && os::operations.barrier() == -EOPNOTSUPP; });
    }
    for (int error : {EISDIR, ENOENT}) {
        expect({SYS_openat, 2, O_TMPFILE, O_TMPFILE, error},
               [&] { return os::operations.create_unnamed(directory_) == -EOPNOTSUPP; });
    }
    OS_VOID(close(file("a", 1)));
    OS_VOID(close(file("b", 1)));
    for (int error : {ENOSYS, EINVAL}) {
        expect({SYS_renameat2, 0, 0, 0, error}, [&] {
            return os::operations.rename(directory_, "a", "b") == -EEXIST && os::operations.rename(directory_, "a", "c") == 0 &&
                   os::operations.rename(directory_, "c", "a") == 0;
        });
    }
}

TEST_P(OsRefused, what_is_not_to_be_had_now_is_told) {
    uint8_t id[16];
    int64_t offset;
    expect({SYS_openat, 2, O_RDWR | O_CREAT, 0, ENFILE},
           [&] { return os::operations.boot_id(id) == -ENFILE && os::operations.clock_boot_offset(&offset) == -ENFILE; });
    int fd = file("a", 1);
    expect({fcntl_call, 1, UINT32_MAX, F_OFD_SETLK, EACCES}, [&] { // POSIX leaves it open
        return os::operations.lock(fd, Lock::shared, 0, 1) == -EAGAIN && os::operations.lock_whole(fd) == -EAGAIN;
    });
    OS_VOID(close(fd));
}

TEST_P(OsRefused, a_file_that_cannot_be_made_private_is_not_made) {
    expect({SYS_fchmod, 0, 0, 0, EPERM}, [&] {
        return os::operations.create(directory_, "a") == -EPERM && os::operations.create_unnamed(directory_) == -EPERM;
    });
    EXPECT_TRUE(names().empty());
}
#endif

// ---- clocks and identity ----------------------------------------------------------------------------------------------------

constexpr uint64_t second = 1000000000;

TEST(OsClock, goes_on) {
    uint64_t tick = OS(clock_tick());
    EXPECT_GT(tick, 0u);
    EXPECT_LT(tick, second);
    uint64_t coarse = OS(clock_coarse()), boot = OS(clock_boot());
    usleep(30000);
    uint64_t later = OS(clock_coarse());
    EXPECT_GT(later, coarse);
    EXPECT_GE(OS(clock_boot()), boot + 30000000);
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    EXPECT_LT(uint64_t(now.tv_sec) * second + uint64_t(now.tv_nsec) - later, second + 2 * tick);
}

// What all processes of the host agree on; 0: unknown.
uint64_t host_clock() {
    int64_t offset = 0;
    return os::operations.clock_boot_offset(&offset) == 0 ? os::operations.clock_boot() - uint64_t(offset) : 0;
}

bool enter_time_namespace(const char *offsets) {
#ifdef CLONE_NEWTIME
    if (unshare(CLONE_NEWTIME) < 0) { return false; }
    int fd = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    bool is_set = fd >= 0 && write(fd, offsets, std::strlen(offsets)) > 0;
    ::close(fd);
    return is_set;
#else
    return false;
#endif
}

TEST(OsClock, is_the_host_s_in_every_time_namespace) {
    int64_t offset = 1;
    EXPECT_EQ(OS(clock_boot_offset(&offset)), 0);
    if (!os::has_range_locks) { // namespaces are not looked at
        EXPECT_EQ(offset, 0);
        return;
    }
    for (const char *offsets : {"boottime 100000 500000000", "boottime -10 500000000", "monotonic 5000 0"}) {
        auto *inside =
            static_cast<volatile uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        int status = run_in_child([=] {
            if (!enter_time_namespace(offsets)) { return 77; }
            int64_t offset;
            // Its own clock is still the old one, and nobody says by how much that one is ahead.
            if (os::operations.clock_boot_offset(&offset) != -EOPNOTSUPP) { return 1; }
            return run_in_child([=] {
                inside[0] = os::operations.clock_boot();
                inside[1] = host_clock();
                return 0;
            });
        });
        uint64_t boot = OS(clock_boot()), host = host_clock(), boot_inside = inside[0], host_inside = inside[1];
        munmap(const_cast<uint64_t *>(inside), 4096);
        if (status == 77) { // not permitted
            EXPECT_NE(geteuid(), 0u);
            return;
        }
        ASSERT_EQ(status, 0);
        EXPECT_LT(host - host_inside, second) << offsets;
        if (std::strstr(offsets, "100000")) { EXPECT_GT(boot_inside, boot + 99999 * second); }
    }
}

// Runs `look` in a child whose root is that directory. 77: not everybody may change it.
int run_in_jail(const char *path, const std::function<int()> &look) {
    return run_in_child([&] {
        int outside = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (chroot(path) < 0 || chdir("/") < 0) { return 77; }
        int result = look();
        // Back again: what the child writes at its end, such as what it has covered, is not to stay here.
        return fchdir(outside) == 0 && chroot(".") == 0 ? result : 5;
    });
}

// As in a jail that has no /proc.
TEST(OsClock, is_unknown_without_proc) {
    if (!os::has_range_locks) { // not needed
        int64_t offset = 1;
        EXPECT_EQ(OS(clock_boot_offset(&offset)), 0);
        EXPECT_EQ(offset, 0);
        return;
    }
    char path[] = "/dev/shm/speculo-os-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    auto look = [] {
        int64_t offset;
        uint8_t id[16] = {1};
        if (os::operations.clock_boot_offset(&offset) != -EOPNOTSUPP) { return 1; }
        if (os::operations.boot_id(id) != 0 || id[0] != 0) { return 2; }
        int directory = os::operations.open_directory("/");
        if (os::operations.create_unnamed(directory) != -EOPNOTSUPP) { return 3; } // it could not be named
        int fd = ::open("/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return os::operations.link(fd, directory, "a") == -EOPNOTSUPP ? 0 : 4;
    };
    int status = run_in_jail(path, look);
    EXPECT_EQ(rmdir(path), 0);
    EXPECT_EQ(status, status == 77 && geteuid() != 0 ? 77 : 0);
}

#if !defined(SPECULO_PORTABLE) // which looks at nothing there
// A jail whose /proc says what the test wants.
class OsProc : public testing::Test {
protected:
    OsProc() {
        EXPECT_NE(mkdtemp(root_.data()), nullptr);
        std::filesystem::create_directories(root_ + "/proc/self/ns");
        std::filesystem::create_directories(root_ + "/proc/sys/kernel/random");
        write_namespaces("time:[4026531834]", "time:[4026531834]");
    }
    ~OsProc() override { std::filesystem::remove_all(root_); }

    void write(const char *file, const std::string &text) { std::ofstream(root_ + "/proc/" + file) << text; }
    void write_namespaces(const char *own, const char *children) {
        for (const char *file : {"time", "time_for_children"}) {
            std::string path = root_ + "/proc/self/ns/" + file;
            unlink(path.c_str());
            EXPECT_EQ(symlink(std::strcmp(file, "time") == 0 ? own : children, path.c_str()), 0);
        }
    }
    void expect(const std::function<bool()> &look) {
        int status = run_in_jail(root_.c_str(), [&] { return look() ? 0 : 1; });
        EXPECT_EQ(status, status == 77 && geteuid() != 0 ? 77 : 0);
    }
    void expect_offset(int64_t wanted) {
        int64_t offset = wanted - 1;
        expect([&] { return os::operations.clock_boot_offset(&offset) == 0 && offset == wanted; });
    }
    void expect_no_offset() {
        int64_t offset;
        expect([&] { return os::operations.clock_boot_offset(&offset) == -EOPNOTSUPP; });
    }

    std::string root_ = "/dev/shm/speculo-os-test-XXXXXX";
};

// Deadlines that are judged by a wrong clock are worse than none.
TEST_F(OsProc, offsets_that_are_not_understood_are_none) {
    expect_offset(0); // a kernel without time namespaces
    write("self/timens_offsets", "monotonic           0         0\nboottime       100000 500000000\n");
    expect_offset(100000500000000);
    write_namespaces("time:[4026531834]", "time:[40265318");
    expect_no_offset();
    write_namespaces("time:[4026531834]", "time:[4026531834]");
    write("self/timens_offsets", "boottime\t-9223372036\t0");
    expect_offset(-9223372036000000000);
    for (const char *text : {"", "monotonic 5 0\n", "boottime", "boottime x 0", "boottime 5\n", "boottime 5 -",
                             "boottime 9223372037 0", "boottime 9223372036 999999999", "boottime 9223372036854775808 0",
                             "boottime 99999999999999999999 0", "boottime 0 99999999999999999999"}) {
        SCOPED_TRACE(text);
        write("self/timens_offsets", text);
        expect_no_offset();
    }
    write("self/timens_offsets", std::string(250, ' ') + "boottime 5 0"); // more than anybody reads
    expect_no_offset();
}

// By half an id two boots could be taken for one.
TEST_F(OsProc, an_id_of_the_boot_that_is_not_understood_is_none) {
    auto expect_id = [&](const char *text, const std::array<uint8_t, 16> &wanted) {
        SCOPED_TRACE(text);
        write("sys/kernel/random/boot_id", text);
        std::array<uint8_t, 16> id = {0xee};
        expect([&] { return os::operations.boot_id(id.data()) == 0 && id == wanted; });
    };
    expect_id("01234567-89ab-cdef-0123-456789abcdef\n",
              {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef});
    for (const char *text : {"", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-4567\n", "01234567-89AB",
                             "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123-456789abcd~f", "no id"}) {
        expect_id(text, {});
    }
}
#endif

TEST(OsIdentity, is_as_the_system_says) {
    uint8_t id[16], again[16];
    std::memset(id, 0xee, sizeof id);
    EXPECT_EQ(OS(boot_id(id)), 0);
    EXPECT_EQ(OS(boot_id(again)), 0);
    EXPECT_EQ(std::memcmp(id, again, sizeof id), 0);
    bool is_zero = std::all_of(id, id + 16, [](uint8_t byte) { return byte == 0; });
    EXPECT_EQ(is_zero, !os::has_range_locks || access("/proc/sys/kernel/random/boot_id", R_OK) != 0);
    EXPECT_EQ(OS(user()), geteuid());
    EXPECT_EQ(os::shared_memory_directory[0], '/');
}

TEST(OsIdentity, random_fills_all_bytes) {
    std::vector<uint8_t> bytes(1000, 0), none(1000, 0);
    EXPECT_EQ(OS(random(bytes.data(), 999)), 0);
    EXPECT_EQ(bytes[999], 0);
    for (size_t i = 0; i + 20 < 999; i += 20) {
        EXPECT_TRUE(std::any_of(&bytes[i], &bytes[i + 20], [](uint8_t byte) { return byte != 0; })) << i;
    }
    EXPECT_EQ(OS(random(bytes.data(), 0)), 0);
}

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
