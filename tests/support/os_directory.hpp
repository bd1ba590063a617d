// SPDX-License-Identifier: LGPL-2.1-or-later
// The operations of the system called as they are, in a directory of the test's own.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include <unistd.h>

#include "os.hpp"

namespace speculo::test {

inline constexpr int some_errno = 4711;

// Whatever happens, callers do not see errno change.
template <typename Call> auto quietly(Call call) {
    errno = some_errno;
    auto result = call();
    EXPECT_EQ(errno, some_errno);
    return result;
}
#define OS(call) ::speculo::test::quietly([&] { return os::operations.call; })

template <typename Call> void quietly_void(Call call) {
    quietly([&] { return call(), 0; });
}
#define OS_VOID(call) ::speculo::test::quietly_void([&] { os::operations.call; })

// A directory of the test's own, empty and gone at its end, on each kind of file system.
class OsDirectory : public testing::TestWithParam<const char *> {
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

} // namespace speculo::test
