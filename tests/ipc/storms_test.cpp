// SPDX-License-Identifier: LGPL-2.1-or-later
// Signals that keep coming, forks that fall anywhere, and wake-ups for nothing: no call fails for it, and nothing is lost.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "area_names.hpp"
#include "child.hpp"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#include "layout.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// SPECULO_TEST_STORM=N makes storms N times as long.
uint64_t storm_factor() {
    const char *text = std::getenv("SPECULO_TEST_STORM");
    return text ? std::strtoull(text, nullptr, 10) : 1;
}

speculo_area *open_or_null(const char *name, uint32_t flags) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    if (flags & SPECULO_OPEN_CREATE) { options.capacity = 64 << 10; }
    speculo_area *area = nullptr;
    EXPECT_EQ(speculo_area_open(name, flags, &options, &area), 0);
    return area;
}

constexpr size_t chunk_size = 3000;

int put(speculo_area *writer, uint64_t number) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    std::string key = "key" + std::to_string(number % 5);
    options.key = key.data();
    options.key_size = key.size();
    void *data = nullptr;
    int error = speculo_chunk_alloc(writer, chunk_size, &options, &data, nullptr);
    if (error == 0) {
        std::memset(data, int(number % 251), chunk_size);
        error = speculo_commit(writer);
    }
    return error;
}

bool is_whole(const speculo_chunk &chunk) {
    const auto *bytes = static_cast<const unsigned char *>(chunk.data);
    for (size_t i = 0; i < chunk.size; ++i) {
        if (bytes[i] != chunk.id % 251) { return false; }
    }
    return chunk.size == chunk_size;
}

// All that there is; the last id, or an error.
int64_t follow(speculo_area *reader, uint64_t last) {
    speculo_chunk chunk{};
    int found;
    while ((found = speculo_read_next(reader, &chunk)) == 1) {
        EXPECT_EQ(chunk.id, last + 1);
        EXPECT_TRUE(is_whole(chunk));
        last = chunk.id;
    }
    return found < 0 ? found : int64_t(last);
}

// ---- signals ------------------------------------------------------------------------------------------------------------------

std::atomic<uint64_t> signals{0};

void count_signal(int) { ++signals; }

// A signal every hundred microseconds; calls are not restarted.
class SignalStorm {
public:
    SignalStorm() {
        struct sigaction action = {};
        action.sa_handler = count_signal;
        sigaction(SIGALRM, &action, &before_);
        itimerval every = {{0, 100}, {0, 100}};
        setitimer(ITIMER_REAL, &every, nullptr);
    }
    ~SignalStorm() {
        itimerval never = {};
        setitimer(ITIMER_REAL, &never, nullptr);
        sigaction(SIGALRM, &before_, nullptr);
    }
    SignalStorm(const SignalStorm &) = delete;
    SignalStorm &operator=(const SignalStorm &) = delete;

private:
    struct sigaction before_ {};
};

TEST(Storms, no_call_fails_for_a_signal) {
    AreaName name;
    uint64_t number = 0;
    SignalStorm storm;
    for (uint64_t wanted = 3000 * storm_factor(); signals < wanted && !testing::Test::HasFailure();) {
        speculo_area *writer = open_or_null(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
        speculo_area *reader = open_or_null(name.c_str(), SPECULO_OPEN_AT_END);
        EXPECT_GE(speculo_area_get_fd(reader), 0);
        uint64_t last = number;
        for (int i = 0; i < 30; ++i) { // through some compactions
            EXPECT_EQ(put(writer, ++number), 0);
            EXPECT_EQ(follow(reader, last), int64_t(number));
            last = number;
            int woken = speculo_wait(reader, 1000);
            EXPECT_TRUE(woken == 0 || woken == -EINTR) << woken;
            EXPECT_EQ(speculo_area_dispatch(reader), 0);
        }
        EXPECT_EQ(speculo_area_compact(writer), 0);
        EXPECT_EQ(speculo_area_check(name.c_str(), nullptr, nullptr), 0);
        speculo_area_close(reader);
        speculo_area_close(writer);
    }
}

// ---- forks --------------------------------------------------------------------------------------------------------------------

// Eight threads, each with handles of its own, while children are made at any moment: nobody is disturbed, and a child that ends its
// parent's handles as it may, or dies with them, takes nothing along.
TEST(Storms, forks_fall_anywhere) {
    constexpr size_t threads = 8;
    std::vector<std::unique_ptr<AreaName>> names;
    for (size_t i = 0; i < threads / 2; ++i) { names.push_back(std::make_unique<AreaName>()); }
    for (auto &name : names) { speculo_area_close(open_or_null(name->c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE)); }
    std::atomic<bool> is_over{false};
    std::atomic<uint64_t> failures{0}, steps{0};
    std::vector<speculo_area *> handles(threads);
    auto write = [&](size_t i) {
        for (uint64_t number = 1; !is_over; ++number, ++steps) { failures += put(handles[i], number) != 0; }
    };
    auto read = [&](size_t i) {
        for (; !is_over; ++steps) {
            speculo_chunk chunk{};
            int found = speculo_read_key(handles[i], "key1", 4, &chunk);
            failures += found < 0 || (found == 1 && !is_whole(chunk));
            failures += found == 1 && speculo_chunk_hold(handles[i], &chunk) != 0;
            speculo_chunk_release(&chunk);
            speculo_snapshot *snapshot = nullptr;
            failures += speculo_snapshot_open(handles[i], &snapshot) != 0;
            speculo_snapshot_close(snapshot);
        }
    };
    for (size_t i = 0; i < threads; ++i) {
        bool writes = i < threads / 2;
        handles[i] =
            open_or_null(names[i % names.size()]->c_str(), writes ? uint32_t(SPECULO_OPEN_WRITE) : SPECULO_OPEN_NO_CURSOR);
    }
    std::vector<std::thread> running;
    for (size_t i = 0; i < threads; ++i) {
        running.emplace_back([&, i] { i < threads / 2 ? write(i) : read(i); });
    }
    for (uint64_t i = 0; i < 40 * storm_factor(); ++i) {
        int status = run_in_child([&] {
            int wrong = put(handles[0], 1) != -ECHILD;
            for (speculo_area *handle : handles) { speculo_area_close(handle); }
            return wrong;
        });
        EXPECT_EQ(status, 0);
    }
    while (steps < 100 * threads) { std::this_thread::yield(); }
    is_over = true;
    for (std::thread &thread : running) { thread.join(); }
    for (speculo_area *handle : handles) { speculo_area_close(handle); }
    EXPECT_EQ(failures, 0u);
    for (auto &name : names) { EXPECT_EQ(speculo_area_check(name->c_str(), nullptr, nullptr), 0); }
}

// ---- wake-ups -----------------------------------------------------------------------------------------------------------------

#if defined(__linux__) && !defined(SPECULO_PORTABLE)

// Somebody who may write the bell wakes whoever sleeps, all the time, and lets its word run through all that it can be.
TEST(Storms, P12_a_wake_up_for_nothing_is_no_news) {
    AreaName name;
    speculo_area *writer = open_or_null(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    speculo_area *reader = open_or_null(name.c_str(), SPECULO_OPEN_AT_END);
    Child alarmist([&] {
        int fd = open(name.path("@bell").c_str(), O_RDWR | O_CLOEXEC);
        void *page = mmap(nullptr, core::page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        auto *word = reinterpret_cast<std::atomic<uint32_t> *>(static_cast<char *>(page) + offsetof(core::BellPage, word));
        for (uint32_t i = UINT32_MAX - 100;; ++i) {
            *word = i;
            syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
            usleep(100);
        }
        return 0;
    });
    for (int i = 0; i < 3; ++i) {
        auto begin = std::chrono::steady_clock::now();
        EXPECT_EQ(speculo_wait(reader, 100000000), 0);
        EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(100));
    }
    for (uint64_t i = 1; i <= 20; ++i) { // and what is news is told all the same
        EXPECT_EQ(put(writer, i), 0);
        EXPECT_EQ(speculo_wait(reader, -1), 1);
        EXPECT_EQ(follow(reader, i - 1), int64_t(i));
    }
    EXPECT_TRUE(alarmist.is_running());
    speculo_area_close(reader);
    speculo_area_close(writer);
}

#endif

} // namespace
