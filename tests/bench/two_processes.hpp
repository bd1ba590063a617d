// SPDX-License-Identifier: LGPL-2.1-or-later
// What benchmarks share: a writer and a reader in processes of their own, each on its own core, that start together; the time from
// the first send to the end of the last receive; medians, minima, and ratios to a limit that was measured in the same run.
#pragma once

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bench {

inline uint64_t now_ns() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec);
}

inline bool is_alone() { // on one core the other side gets nowhere while this one looks
    static const bool alone = sysconf(_SC_NPROCESSORS_ONLN) == 1;
    return alone;
}

inline void pause() {
    if (is_alone()) { sched_yield(); }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

[[noreturn]] inline void fail(const char *what) {
    std::fprintf(stderr, "bench: %s\n", what);
    _exit(1);
}

// Something that this machine or this user may not do: no figure, and no failure.
[[noreturn]] inline void give_up(const char *what) {
    std::fprintf(stderr, "%s\n", what);
    _exit(77);
}

inline void check(bool good, const char *what) {
    if (!good) { fail(what); }
}

// One core is enough to run, two are needed for figures that mean something.
inline void pin(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core % int(sysconf(_SC_NPROCESSORS_ONLN)), &cores);
    sched_setaffinity(0, sizeof cores, &cores);
}

// Memory that both processes have.
inline void *shared_memory(size_t size) {
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    check(memory != MAP_FAILED, "no shared memory");
    return memory;
}

struct Meeting {
    std::atomic<uint32_t> ready, is_over;
    std::atomic<uint64_t> started, ended;
};

// A side that found something wrong has ended, and nobody has to wait for it.
inline void end_with_child(int) {
    siginfo_t child = {};
    if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) != 0 || child.si_pid == 0) { return; }
    if (child.si_code != CLD_EXITED || child.si_status != 0) { _exit(1); }
}

// Runs both sides once; gives the nanoseconds per message. The writer runs here, the reader in a fork.
inline double run(uint64_t messages, const std::function<void()> &prepare_reader, const std::function<void()> &read,
                  const std::function<void()> &write) {
    auto *meeting = static_cast<Meeting *>(shared_memory(sizeof(Meeting)));
    struct sigaction before, ending = {};
    ending.sa_handler = end_with_child;
    ending.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &ending, &before);
    pid_t reader = fork();
    check(reader >= 0, "no fork");
    if (reader == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        prepare_reader();
        meeting->ready = 1;
        read();
        meeting->ended = now_ns();
        // What some have sent is on its way only while they live, and some have to say good-bye.
        while (meeting->is_over == 0) { usleep(1000); }
        std::exit(0);
    }
    pin(0);
    int status = 1;
    while (meeting->ready == 0) {
        check(waitpid(reader, &status, WNOHANG) == 0, "the reader ended before it began");
        sched_yield(); // it may have to get away from this core first
    }
    meeting->started = now_ns();
    write();
    meeting->is_over = 1;
    waitpid(reader, &status, 0);
    check(status == 0, "the reader found something wrong");
    sigaction(SIGCHLD, &before, nullptr);
    double each = double(meeting->ended - meeting->started) / double(messages);
    munmap(meeting, sizeof(Meeting));
    return each;
}

// Figures of one row, one a repetition.
struct Row {
    std::string name;
    std::vector<double> ns;

    double quantile(double share) const {
        std::vector<double> sorted = ns;
        std::sort(sorted.begin(), sorted.end());
        return sorted[size_t(double(sorted.size()) * share)];
    }
    double median() const { return quantile(0.5); }
    double least() const { return *std::min_element(ns.begin(), ns.end()); }
};

// The first row is the limit that the others are measured by.
inline void print(const char *title, const std::vector<Row> &rows) {
    std::printf("\n%s\n  %-34s %12s %12s %9s %9s\n", title, "", "median ns", "least ns", "ratio", "of least");
    for (const Row &row : rows) {
        std::printf("  %-34s %12.1f %12.1f %8.2fx %8.2fx\n", row.name.c_str(), row.median(), row.least(),
                    row.median() / rows[0].median(), row.least() / rows[0].least());
    }
}

// For times of which each is one of its own, such as latencies: all of them count, also the longest.
inline void print_quantiles(const char *title, const std::vector<Row> &rows) {
    std::printf("\n%s\n  %-42s %12s %12s %9s %9s\n", title, "", "median ns", "p99 ns", "ratio", "of p99");
    for (const Row &row : rows) {
        double limit = rows[0].median(), late = rows[0].quantile(0.99);
        std::printf("  %-42s %12.0f %12.0f %8.2fx %8.2fx\n", row.name.c_str(), row.median(), row.quantile(0.99),
                    row.median() / limit, row.quantile(0.99) / late);
    }
}

} // namespace bench
