// SPDX-License-Identifier: LGPL-2.1-or-later
// Names for areas that no other test, nor another run of this one, has; with a guard that leaves nothing behind.
#pragma once

#include <cerrno>
#include <string>
#include <vector>

#include <dirent.h>
#include <gtest/gtest.h>
#include <speculo/speculo.h>
#include <unistd.h>

#include "trust.hpp"

namespace speculo::test {

// Where areas whose name has no path live.
inline const char *area_directory() {
#if !defined(SPECULO_PORTABLE)
    return "/dev/shm";
#elif defined(SPECULO_DIRECTORY)
    return SPECULO_DIRECTORY;
#else
    return "/tmp";
#endif
}

// What there is of an area: NAME itself and NAME@*.
inline std::vector<std::string> area_files(const std::string &directory, const std::string &name) {
    std::vector<std::string> found;
    DIR *stream = opendir(directory.c_str());
    if (!stream) { return found; }
    while (const dirent *entry = readdir(stream)) {
        std::string file = entry->d_name;
        if (file == name || file.compare(0, name.size() + 1, name + "@") == 0) { found.push_back(file); }
    }
    closedir(stream);
    return found;
}

// The name of an area, which is removed when the guard ends.
class AreaName {
public:
    // Without a directory, the area lives where the system keeps shared memory.
    explicit AreaName(const std::string &directory = "") {
        static unsigned count = 0;
        name_ = "speculo-test-" + std::to_string(getpid()) + "-" + std::to_string(++count);
        directory_ = directory.empty() ? area_directory() : directory;
        full_ = directory.empty() ? name_ : directory + "/" + name_;
    }

    ~AreaName() {
        int error = speculo_area_remove(full_.c_str());
        EXPECT_TRUE(error == 0 || error == -ENOENT) << full_ << ": " << speculo_strerror(error);
        for (const std::string &file : files()) {
            ADD_FAILURE() << "left behind: " << file;
            unlink((directory_ + "/" + file).c_str());
        }
    }

    AreaName(const AreaName &) = delete;
    AreaName &operator=(const AreaName &) = delete;

    const char *c_str() const { return full_.c_str(); }
    const std::string &text() const { return full_; }
    std::vector<std::string> files() const { return area_files(directory_, name_); }
    // Path of an object of the area: "" the control page, "@lock" the lock.
    std::string path(const std::string &suffix = "") const { return directory_ + "/" + name_ + suffix; }

private:
    std::string directory_, name_, full_;
};

} // namespace speculo::test
