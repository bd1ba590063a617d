// SPDX-License-Identifier: LGPL-2.1-or-later
// Measures anything that keeps the latest value: a writer that changes it, and a reader that looks as often as it can. A store is a
// class with
//
//   T(const Plan &)                    before the fork
//   become_writer(), become_reader()   behind it, in the process that is to be that
//   void update(uint64_t number)       the writer: a new value of 64 bytes, all of them written
//   bool read(uint64_t &number)        the reader: what the newest begins with, all of it checked; false: it has to look again
#pragma once

#include "plan.hpp"
#include "transport.hpp"

namespace bench {

constexpr size_t value_size = 64;

struct Looks {
    std::atomic<uint32_t> is_over;
    uint64_t reads, retries, news, longest; // in ticks: the longest time without a new value, which was there all along
    double ns;
};

template <class T> void look(T &store, Looks &looks) {
    uint64_t newest = 0, reads = 0, news = 0, retries = 0, longest = 0, first;
    while (!store.read(first)) {} // that there is none yet is no retry
    uint64_t begin = now_ns(), since = ticks();
    // At least one value: where the machine is busy, the writer may be done before the first look.
    while (looks.is_over.load(std::memory_order_relaxed) == 0 || reads == retries) {
        for (int i = 0; i < 16; ++i) {
            uint64_t number;
            ++reads;
            if (!store.read(number)) {
                ++retries;
                continue;
            }
            check(number >= newest, "a value came after a newer one");
            if (number == newest) { continue; }
            ++news;
            newest = number;
            uint64_t now = ticks();
            longest = std::max(longest, now - since);
            since = now;
        }
    }
    looks.ns = double(now_ns() - begin);
    looks.reads = reads, looks.retries = retries, looks.news = news, looks.longest = longest;
}

// `paced`: a thousand updates a second. Otherwise as many as there can be.
template <class T> void measure_latest(const Plan &plan) {
    bool is_paced = plan.what == "paced";
    auto *looks = static_cast<Looks *>(shared_memory(sizeof(Looks)));
    T store(plan);
    Row updates = {"", {}};
    double each_tick = 1;
    run(
        1, [&] { store.become_reader(); }, [&] { look(store, *looks); },
        [&] {
            store.become_writer();
            store.update(1);
            uint64_t begin_ns = now_ns(), begin = ticks();
            for (uint64_t i = 0; i < plan.messages; ++i) {
                while (is_paced && now_ns() < begin_ns + i * 1000000) { pause(); }
                uint64_t before = is_paced ? now_ns() : 0;
                store.update(i + 2);
                if (is_paced) { updates.ns.push_back(double(now_ns() - before)); }
            }
            uint64_t passed = now_ns() - begin_ns;
            each_tick = double(passed) / double(ticks() - begin);
            if (!is_paced) { updates.ns.push_back(double(passed) / double(plan.messages)); }
            looks->is_over = 1;
        });
    print_figures({{"read", looks->ns / double(looks->reads)},
                   {"update", updates.median()},
                   {"retries", 100 * double(looks->retries) / double(looks->reads)},
                   {"news", 1e9 * double(looks->news) / looks->ns},
                   {"longest", double(looks->longest) * each_tick}});
}

// ---- join: from nothing to the first value ------------------------------------------------------------------------------------

// A process that joins something has allocated before: the heap's first pages are not the price of it.
inline void use_heap() {
    constexpr size_t some = 16 << 10;
    volatile char *bytes = static_cast<char *>(std::malloc(some));
    check(bytes, "no memory");
    for (size_t at = 0; at < some; at += 1024) { bytes[at] = 1; }
    std::free(const_cast<char *>(bytes));
}

// Each time in a new process. `first_value` opens what there is and gives the number of the value in it.
template <class Join> void measure_join(const Plan &plan, Join first_value) {
    auto *times = static_cast<uint64_t *>(shared_memory(plan.messages * sizeof(uint64_t)));
    Row joins = {"", {}};
    for (uint64_t i = 0; i < plan.messages; ++i) {
        pid_t reader = fork();
        check(reader >= 0, "no fork");
        if (reader == 0) {
            pin(1);
            sched_yield();
            use_heap();
            uint64_t begin = now_ns();
            uint64_t number = first_value();
            times[i] = now_ns() - begin;
            check(number == 7, "that is another value");
            _exit(0);
        }
        int status = 1;
        waitpid(reader, &status, 0);
        check(status == 0, "a reader could not join");
        joins.ns.push_back(double(times[i]));
    }
    print_figures({{"ns", joins.median()}, {"least", joins.least()}});
}

} // namespace bench
