// SPDX-License-Identifier: LGPL-2.1-or-later
// Measures anything that carries messages from a writer to a reader, always in the same way. A transport is a class with
//
//   T(const Plan &)            before the fork
//   become_writer(), become_reader()   behind it, in the process that is to be that
//   void *claim()              the writer: room for a message of plan.size bytes; waits for it if need be
//   void send()                what was claimed is complete
//   const void *look()         the reader: the next message, or null if it is not there yet
//   void release()             what was looked at is done with
//   has_many_readers           whether one channel serves any number of them
//   is_own                     no peer: measured more closely
//
// A program prints its figures as one JSON object; scripts/bench runs it often and compares.
#pragma once

#include <csignal>
#include <cstring>
#include <memory>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "content.hpp"
#include "plan.hpp"

namespace bench {

template <class T> const void *receive(T &transport) {
    const void *message;
    while (!(message = transport.look())) { pause(); }
    return message;
}

template <size_t size, class T> void send(T &transport, uint64_t number) {
    fill<size>(transport.claim(), number);
    transport.send();
}

template <size_t size, class T> void receive_one(T &transport, uint64_t number) {
    check_content<size>(receive(transport), number);
    transport.release();
}

// From message `first` to `last`. Where newer ones replace older ones, those in between may be missing.
template <size_t size, class T> void receive_all(T &transport, uint64_t first, uint64_t last, bool may_miss) {
    for (uint64_t i = first; i <= last; ++i) {
        const void *message = receive(transport);
        if (may_miss) {
            uint64_t number = number_of<size>(message);
            check(number >= i && number <= last, "a message is wrong");
            i = number;
        } else {
            check_content<size>(message, i);
        }
        transport.release();
    }
}

// ---- a stream: the writer sends as fast as it can, the reader reads everything ------------------------------------------------

template <class T, size_t size> void measure_stream(const Plan &plan) {
    auto *meeting = static_cast<Meeting *>(shared_memory(sizeof(Meeting)));
    T transport(plan);
    uint64_t warm = plan.messages / 10;
    run(
        plan.messages, [&] { transport.become_reader(); },
        [&] {
            receive_all<size>(transport, 0, plan.messages - 1, plan.has("key"));
            meeting->ended = now_ns();
        },
        [&] {
            transport.become_writer();
            for (uint64_t i = 0; i < warm; ++i) { send<size>(transport, i); }
            meeting->started = now_ns();
            for (uint64_t i = warm; i < plan.messages; ++i) { send<size>(transport, i); }
        });
    print_figures({{"ns", double(meeting->ended - meeting->started) / double(plan.messages - warm)}});
}

// ---- each side for itself: the writer writes a batch, then the reader reads it ------------------------------------------------

struct Turn {
    alignas(64) std::atomic<uint64_t> written, read;
    uint64_t read_ns;
};

inline void wait_until(const std::atomic<uint64_t> &count, uint64_t wanted) {
    while (count.load(std::memory_order_acquire) < wanted) { pause(); }
}

template <class T, size_t size> void measure_sides(const Plan &plan) {
    constexpr uint64_t least_batch = 2, batch_bytes = 192 << 10;
    constexpr uint64_t batch = batch_bytes / (size + 32) > least_batch ? batch_bytes / (size + 32) : least_batch;
    uint64_t batches = plan.messages / batch + 2, warm = batches / 10 + 1;
    Plan rounded = plan;
    rounded.messages = batches * batch;
    auto *turn = static_cast<Turn *>(shared_memory(sizeof(Turn)));
    T transport(rounded);
    uint64_t write_ns = 0;
    run(
        rounded.messages, [&] { transport.become_reader(); },
        [&] {
            for (uint64_t i = 0; i < batches; ++i) {
                wait_until(turn->written, i + 1);
                uint64_t begin = now_ns();
                receive_all<size>(transport, i * batch, (i + 1) * batch - 1, plan.has("key"));
                if (i >= warm) { turn->read_ns += now_ns() - begin; }
                turn->read.store(i + 1, std::memory_order_release);
            }
        },
        [&] {
            transport.become_writer();
            for (uint64_t i = 0; i < batches; ++i) {
                uint64_t begin = now_ns();
                for (uint64_t k = 0; k < batch; ++k) { send<size>(transport, i * batch + k); }
                if (i >= warm) { write_ns += now_ns() - begin; }
                turn->written.store(i + 1, std::memory_order_release);
                wait_until(turn->read, i + 1);
            }
        });
    double count = double((batches - warm) * batch);
    print_figures({{"write", double(write_ns) / count}, {"read", double(turn->read_ns) / count}});
}

// ---- the writer alone ----------------------------------------------------------------------------------------------------------

template <class T, size_t size> void measure_alone(const Plan &plan) {
    pin(0);
    T transport(plan);
    transport.become_writer();
    uint64_t warm = plan.messages / 10, begin = 0;
    for (uint64_t i = 0; i < plan.messages; ++i) {
        if (i == warm) { begin = now_ns(); }
        send<size>(transport, i);
    }
    print_figures({{"ns", double(now_ns() - begin) / double(plan.messages - warm)}});
}

// ---- there and back ------------------------------------------------------------------------------------------------------------

inline uint64_t ticks() {
#ifdef __x86_64__
    return __rdtsc();
#else
    return now_ns();
#endif
}

template <class T, size_t size> void measure_trip(const Plan &plan) {
    Plan back_plan = plan;
    back_plan.channel = plan.channel + 1;
    T there(plan), back(back_plan);
    Row trips = {"", {}};
    run(
        plan.messages,
        [&] {
            there.become_reader();
            back.become_writer();
        },
        [&] {
            for (uint64_t i = 0; i < plan.messages; ++i) {
                receive_one<size>(there, i);
                send<size>(back, i);
            }
        },
        [&] {
            there.become_writer();
            back.become_reader();
            uint64_t begin_ns = now_ns(), begin = ticks(), before = begin;
            for (uint64_t i = 0; i < plan.messages; ++i) {
                send<size>(there, i);
                receive_one<size>(back, i);
                uint64_t now = ticks();
                if (i >= plan.messages / 10) { trips.ns.push_back(double(now - before)); }
                before = now;
            }
            double each = double(now_ns() - begin_ns) / double(ticks() - begin);
            for (double &trip : trips.ns) { trip *= each; }
        });
    print_figures({{"p50", trips.median()},
                   {"p90", trips.quantile(0.9)},
                   {"p99", trips.quantile(0.99)},
                   {"p999", trips.quantile(0.999)},
                   {"most", *std::max_element(trips.ns.begin(), trips.ns.end())}});
}

// ---- several readers -----------------------------------------------------------------------------------------------------------

struct Crowd {
    std::atomic<uint64_t> ready;
};

// Follows until the last message. Messages may be missing, but none is wrong or comes twice.
template <class T, size_t size> void follow(T &transport, const Plan &plan) {
    for (uint64_t next = 0; next < plan.messages;) {
        uint64_t number = number_of<size>(receive(transport));
        transport.release();
        check(number >= next, "a message came again");
        next = number + 1;
    }
}

// `readers` of them share the other core: each reads what it can, or with `stopped` reads one message and never moves again.
template <class T, size_t size> void measure_crowd(const Plan &plan) {
    auto *crowd = static_cast<Crowd *>(shared_memory(sizeof(Crowd)));
    T transport(plan);
    std::vector<pid_t> readers;
    for (uint64_t i = 0; i < plan.readers; ++i) {
        pid_t reader = fork();
        check(reader >= 0, "no fork");
        if (reader != 0) {
            readers.push_back(reader);
            continue;
        }
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin(1);
        transport.become_reader();
        ++crowd->ready;
        if (plan.has("stopped")) {
            receive(transport);
            raise(SIGSTOP);
        }
        follow<T, size>(transport, plan);
        _exit(0);
    }
    pin(0);
    transport.become_writer();
    wait_until(crowd->ready, plan.readers);
    uint64_t warm = plan.messages / 10, begin = 0;
    for (uint64_t i = 0; i < plan.messages; ++i) {
        if (i == 1 && plan.has("stopped")) {
            for (pid_t reader : readers) { waitpid(reader, nullptr, WUNTRACED); }
        }
        if (i == warm) { begin = now_ns(); }
        send<size>(transport, i);
    }
    double each = double(now_ns() - begin) / double(plan.messages - warm);
    for (pid_t reader : readers) {
        int status = 1;
        if (plan.has("stopped")) { kill(reader, SIGKILL); }
        waitpid(reader, &status, 0);
        check(status == (plan.has("stopped") ? SIGKILL : 0), "a reader found something wrong");
    }
    print_figures({{"ns", each}});
}

// ---- which of them -------------------------------------------------------------------------------------------------------------

template <class T, size_t size> void measure(const Plan &plan) {
    if (plan.what == "stream") { return measure_stream<T, size>(plan); }
    if (plan.what == "trip") { return measure_trip<T, size>(plan); }
    if constexpr (T::is_own) {
        if (plan.what == "sides") { return measure_sides<T, size>(plan); }
        if (plan.what == "alone") { return measure_alone<T, size>(plan); }
    }
    if constexpr (T::has_many_readers) {
        if (plan.what == "crowd") { return measure_crowd<T, size>(plan); }
    }
    fail("cannot measure that");
}

template <class T> void measure(const Plan &plan) {
    switch (plan.size) {
    case 8: return measure<T, 8>(plan);
    case 64: return measure<T, 64>(plan);
    case 1 << 10: return measure<T, 1 << 10>(plan);
    case 64 << 10: return measure<T, 64 << 10>(plan);
    case 1 << 20: return measure<T, 1 << 20>(plan);
    default: fail("sizes are 8, 64, 1024, 65536 and 1048576");
    }
}

} // namespace bench
