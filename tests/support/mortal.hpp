// SPDX-License-Identifier: LGPL-2.1-or-later
// Processes that are there to be killed: as cheap as a process can be, since thousands of them die.
#pragma once

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <string>

#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace speculo::test {

inline uint64_t monotonic_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1000000000 + uint64_t(now.tv_nsec);
}

// Processes of such builds take many times as long to fork and to die.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool is_slow_build = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool is_slow_build = true;
#else
inline constexpr bool is_slow_build = false;
#endif
#else
inline constexpr bool is_slow_build = false;
#endif

// For runs that are longer than those of every day.
inline uint64_t kill_factor() {
    const char *text = std::getenv("SPECULO_TEST_KILLS");
    uint64_t factor = text ? std::strtoull(text, nullptr, 10) : 1;
    return factor ? factor : 1;
}

// A fork that runs `body`. Its end is by kill_after(), or a failure.
class Mortal {
public:
    template <typename Body> explicit Mortal(Body body) : born_(monotonic_ns()) {
        pid_ = fork();
        if (pid_ < 0) { std::abort(); }
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            _exit(body());
        }
    }
    ~Mortal() { kill_after(0); }
    Mortal(const Mortal &) = delete;
    Mortal &operator=(const Mortal &) = delete;

    uint64_t age() const { return monotonic_ns() - born_; }
    pid_t pid() const { return pid_; }

    // Gives up when it is gone, or nothing happens for too long.
    template <typename Condition> bool wait_until(Condition condition) {
        constexpr uint64_t most = uint64_t(20) * 1000000000;
        uint64_t begun = monotonic_ns();
        while (!condition()) {
            siginfo_t ended{};
            bool is_gone = waitid(P_PID, id_t(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0;
            if (is_gone || monotonic_ns() - begun > most) { return false; }
            timespec pause = {0, 20000};
            nanosleep(&pause, nullptr);
        }
        return true;
    }

    void kill_after(uint64_t ns) {
        if (pid_ < 0) { return; }
        timespec pause = {time_t(ns / 1000000000), long(ns % 1000000000)};
        if (ns > 0) { nanosleep(&pause, nullptr); }
        kill(pid_, SIGKILL);
        waitpid(pid_, &status_, 0);
        pid_ = -1;
    }

    // Rather than having ended by itself.
    bool was_killed() const { return WIFSIGNALED(status_) && WTERMSIG(status_) == SIGKILL; }

private:
    uint64_t born_;
    pid_t pid_;
    int status_ = 0;
};

} // namespace speculo::test
