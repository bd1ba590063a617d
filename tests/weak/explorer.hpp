// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs small programs of a few threads in every way that C++'s memory model allows: all schedules, and for each load all stores that
// it may read from.
//
// The model is RC11 without read-modify-writes that fail spuriously: release, acquire, relaxed, and fences that are sequentially
// consistent; a value never depends on itself (no load is reordered behind a store that follows it). It is run as a machine with views.
// A word is the list of its stores, in the order that all agree on; a thread's view says for each word the oldest store that it may
// still read. A store takes any place behind that one, and carries a view: the thread's if it is a release; a load that acquires takes
// that view over. Plain bytes have clocks: two accesses, one of them a store, that nothing orders are an error.
//
// A store is made as soon as its thread comes to it: others may still read older ones, so no outcome is lost. Between loads, fences,
// locks and calls of the kernel every schedule is tried.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace weak {

constexpr int most_words = 40;
constexpr int most_threads = 4;
constexpr int most_stores = 16; // of one word

// What a thread, or the reader of a store, may rely on.
struct View {
    std::array<uint8_t, most_words> seen{};    // number of a store
    std::array<uint8_t, most_threads> clock{}; // plain accesses that came before
};

// One place in the sources where a memory order stands.
struct Site {
    std::string function;
    int line;
    std::string thread; // of a fence: who calls it is a place of its own
    std::memory_order order;

    bool is_same(const Site &other) const { return line == other.line && thread == other.thread && order == other.order; }
};

// Where an operation was called from; only places in sync.hpp are sites.
struct Caller {
    const char *file, *function;
    int line;
};

enum class Access { load, store, update, fence };

// ---- what the words below are made of ----

int new_word(uint64_t value);
uint64_t load_word(int word, std::memory_order order, const Caller &caller);
void store_word(int word, uint64_t value, std::memory_order order, const Caller &caller);
// Stores `value(old)` right behind the store that it has read; or only reads, if `is_wanted(old)` is false.
uint64_t update_word(int word, const std::function<uint64_t(uint64_t)> &value, const std::function<bool(uint64_t)> &is_wanted,
                     std::memory_order order, const Caller &caller);

// A word that sync.hpp can work on in the place of a std::atomic.
template <class T> class Checked {
public:
    explicit Checked(T value = 0) : number_(new_word(uint64_t(value))) {}

    T load(std::memory_order order, const char *file = __builtin_FILE(), const char *function = __builtin_FUNCTION(),
           int line = __builtin_LINE()) const {
        return T(load_word(number_, order, {file, function, line}));
    }
    void store(T value, std::memory_order order, const char *file = __builtin_FILE(), const char *function = __builtin_FUNCTION(),
               int line = __builtin_LINE()) {
        store_word(number_, uint64_t(value), order, {file, function, line});
    }
    T fetch_add(T more, std::memory_order order, const char *file = __builtin_FILE(), const char *function = __builtin_FUNCTION(),
                int line = __builtin_LINE()) {
        return T(update_word(
            number_, [&](uint64_t old) { return T(T(old) + more); }, [](uint64_t) { return true; }, order,
            {file, function, line}));
    }
    T fetch_sub(T less, std::memory_order order, const char *file = __builtin_FILE(), const char *function = __builtin_FUNCTION(),
                int line = __builtin_LINE()) {
        return fetch_add(T(0) - less, order, file, function, line);
    }
    bool compare_exchange_weak(T &expected, T value, std::memory_order order, const char *file = __builtin_FILE(),
                               const char *function = __builtin_FUNCTION(), int line = __builtin_LINE()) {
        T wanted = expected;
        expected = T(update_word(
            number_, [&](uint64_t) { return value; }, [&](uint64_t old) { return T(old) == wanted; }, order,
            {file, function, line}));
        return expected == wanted;
    }

    int number() const { return number_; }

private:
    int number_;
};

template <class T> struct Word {
    Checked<T> word;
    explicit Word(T value = 0) : word(value) {}
};

// In the place of core::Fences.
struct CheckedFences {
    static void full(std::memory_order order, const char *file = __builtin_FILE(), const char *function = __builtin_FUNCTION(),
                     int line = __builtin_LINE());
    static void compiler(std::memory_order order, const char *file = __builtin_FILE(),
                         const char *function = __builtin_FUNCTION(), int line = __builtin_LINE());
};

// Bytes that are no atomics: keys and payloads.
class Plain {
public:
    explicit Plain(uint64_t value = 0) : value_(value) {}
    uint64_t read();
    void write(uint64_t value);

private:
    uint64_t value_;
    std::array<uint8_t, most_threads> reads_{}, writes_{};
};

// ---- the kernel ----

// A lock that several may share. All calls on it, also those that fail, are in one order, as the kernel has a lock of its own around it.
class FileLock {
public:
    explicit FileLock(int sharers = 0) : sharers_(sharers) {}
    bool try_shared();
    bool try_exclusive();
    void unlock_shared();
    void unlock_exclusive();

private:
    void take_turn();
    int sharers_;
    bool is_exclusive_ = false;
    View view_;
};

// Blocks while another holds it.
class Mutex {
public:
    void lock();
    void unlock();

private:
    bool is_taken_ = false;
    View view_;
};

// FUTEX_WAIT and FUTEX_WAKE on one word.
class Futex {
public:
    // Sleeps if the word still has that value. False: it has not.
    template <class T> bool sleep_on(const Word<T> &word, T expected) { return sleep_on(word.word.number(), uint64_t(expected)); }
    void wake_all();

private:
    bool sleep_on(int word, uint64_t expected);
    View view_;
};

// What membarrier does to the other threads: each passes a full fence at the last place where the compiler kept the order, or the next.
void barrier_for_all();

// ---- programs ----

// One run of a program.
class Run {
public:
    // Runs `body` as a thread; after `before`, if that is one: with the kernel in between, as a takeover after a death.
    int thread(const char *name, std::function<void()> body, int before = -1);
    void go(); // until nobody can go on
    bool is_stuck(int thread) const;
};

// Either of n ways; all are tried.
int choose(int ways);
inline bool may() { return choose(2) == 1; }
// Ends the calling thread.
void die();
// A rule that has to hold.
void check(bool holds, const char *rule);

using Program = std::function<void(Run &)>;

struct Verdict {
    uint64_t runs = 0;
    std::string broken;      // the first rule that did not hold; empty: none
    std::vector<Site> sites; // of orders that are not relaxed, that the program came by
};

// All runs of the program, until one breaks a rule. `weaker`: a site, and the order that stands there instead.
Verdict explore(const Program &program, const Site *weaker = nullptr, std::memory_order order = std::memory_order_relaxed);

} // namespace weak
