// SPDX-License-Identifier: LGPL-2.1-or-later
// A small file system in memory that nobody else sees, and that is gone with the process that it was made in.
#pragma once

#include <cstdlib>
#include <functional>
#include <string>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "child.hpp"

namespace speculo::test {

inline bool write_text(const char *path, const std::string &text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool is_done = fd >= 0 && write(fd, text.data(), text.size()) == ssize_t(text.size());
    close(fd);
    return is_done;
}

// Mounts of this process are its own from now on. Whoever is not root becomes it, among namespaces of his own.
inline bool leave_mounts() {
    uid_t user = geteuid();
    gid_t group = getegid();
    if (unshare(user == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) { return false; }
    bool is_root = user == 0 || (write_text("/proc/self/setgroups", "deny") &&
                                 write_text("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") &&
                                 write_text("/proc/self/gid_map", "0 " + std::to_string(group) + " 1"));
    return is_root && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// Only in the process that runs the body below.
class SmallDisk {
public:
    explicit SmallDisk(const std::string &directory) : directory_(directory) { mount_it(0, "4m"); }
    const std::string &directory() const { return directory_; }
    void resize(const char *size) { mount_it(MS_REMOUNT, size); }

private:
    void mount_it(unsigned long flags, const std::string &size) {
        ASSERT_EQ(mount("tmpfs", directory_.c_str(), "tmpfs", flags, ("size=" + size).c_str()), 0);
    }
    std::string directory_;
};

// A file of somebody else.
class Competitor {
public:
    explicit Competitor(const SmallDisk &disk) : path_(disk.directory() + "/competitor") { take_all(); }
    ~Competitor() { give_back(); }
    Competitor(const Competitor &) = delete;
    Competitor &operator=(const Competitor &) = delete;

    // Whatever is left, to the last page.
    void take_all() {
        int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        char page[4096] = {};
        while (write(fd, page, sizeof page) > 0) {}
        close(fd);
    }
    void give_back() { unlink(path_.c_str()); }

private:
    std::string path_;
};

// The body runs in a process of its own, whose end by a signal, such as SIGBUS, is a failure too.
inline void expect_in_child(const std::function<void()> &body) {
    int status = run_in_child([&] {
        body();
        return testing::Test::HasFailure() ? 1 : 0;
    });
    EXPECT_EQ(status, 0) << (status > killed_by ? "killed by signal " + std::to_string(status - killed_by) : "");
}

inline void expect_on_small_disk(const std::function<void(SmallDisk &)> &body) {
    char directory[] = "/tmp/speculo-disk-XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    expect_in_child([&] {
        ASSERT_TRUE(leave_mounts());
        SmallDisk disk(directory);
        if (!testing::Test::HasFailure()) { body(disk); }
    });
    rmdir(directory);
}

} // namespace speculo::test
