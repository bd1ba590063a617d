// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether another process sleeps in a wait: what the kernel tells of it, so that no test has to guess for how long to pause.
#pragma once

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

#include <dirent.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "mortal.hpp"

namespace speculo::test {

// Reading a pipe, as peers do between two commands, is no wait.
inline bool is_call_a_wait(long call) {
    constexpr std::array waits = {
        SYS_futex,
        SYS_clock_nanosleep,
        SYS_ppoll,
        SYS_epoll_pwait,
#if defined(SYS_nanosleep)
        SYS_nanosleep,
#endif
#if defined(SYS_poll)
        SYS_poll,
#endif
#if defined(SYS_epoll_wait)
        SYS_epoll_wait,
#endif
    };
    for (long wait : waits) {
        if (call == wait) { return true; }
    }
    return false;
}

// A process or a thread of it.
inline bool is_asleep(const std::string &task) {
    std::ifstream file(task + "/syscall");
    std::string word; // "running", or the call's number
    if (!(file >> word) || word.find_first_not_of("0123456789") != std::string::npos) { return false; }
    return is_call_a_wait(std::atol(word.c_str()));
}

inline std::string task_of(pid_t pid) { return "/proc/" + std::to_string(pid); }

template <typename Condition> bool wait_until(Condition condition, uint64_t most_ns = uint64_t(20) * 1000000000) {
    uint64_t begun = monotonic_ns();
    while (!condition()) {
        if (monotonic_ns() - begun > most_ns) { return false; }
        usleep(100);
    }
    return true;
}

inline bool wait_until_asleep(pid_t pid) {
    return wait_until([=] { return is_asleep(task_of(pid)); });
}

// How many of a process's threads sleep.
inline size_t count_asleep(pid_t pid) {
    std::string tasks = task_of(pid) + "/task";
    size_t count = 0;
    DIR *stream = opendir(tasks.c_str());
    if (!stream) { return 0; }
    while (const dirent *entry = readdir(stream)) { count += entry->d_name[0] != '.' && is_asleep(tasks + "/" + entry->d_name); }
    closedir(stream);
    return count;
}

} // namespace speculo::test
