// SPDX-License-Identifier: LGPL-2.1-or-later
// Programs whose outcomes are known: the explorer has to find all of them, and no other.
#include "weak.hpp"

namespace weak {

namespace {

using std::memory_order_acq_rel;
using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;
using std::memory_order_seq_cst;

void full_fence() { CheckedFences::full(memory_order_seq_cst); }

// Two stores, two loads of the other's: only a full fence on both sides forbids that neither sees the other.
template <class First, class Second> Known store_buffers(const char *name, bool is_possible, First first, Second second) {
    return {name, is_possible, [=](Run &run) {
                Checked<int> x, y;
                int a = 1, b = 1;
                run.thread("one", [&] {
                    x.store(1, memory_order_release);
                    first();
                    a = y.load(memory_order_acquire);
                });
                run.thread("two", [&] {
                    y.store(1, memory_order_release);
                    second();
                    b = x.load(memory_order_acquire);
                });
                run.go();
                check(a || b, "seen");
            }};
}

Known message(const char *name, bool is_possible, std::memory_order store, std::memory_order load, bool is_fenced = false) {
    return {name, is_possible, [=](Run &run) {
                Checked<int> x, y;
                int a = 0, b = 0;
                run.thread("one", [&] {
                    x.store(1, memory_order_relaxed);
                    if (is_fenced) { full_fence(); }
                    y.store(1, store);
                });
                run.thread("two", [&] {
                    a = y.load(load);
                    if (is_fenced) { full_fence(); }
                    b = x.load(memory_order_relaxed);
                });
                run.go();
                check(!(a == 1 && b == 0), "seen");
            }};
}

Known bytes(const char *name, bool is_possible, std::memory_order store) {
    return {name, is_possible, [=](Run &run) {
                Plain x;
                Checked<int> y;
                run.thread("one", [&] {
                    x.write(1);
                    y.store(1, store);
                });
                run.thread("two", [&] {
                    if (y.load(memory_order_acquire)) { x.read(); }
                });
                run.go();
            }};
}

// Two threads that look at two independent stores may disagree about which came first.
Known disagreement(const char *name, bool is_possible, bool is_fenced) {
    return {name, is_possible, [=](Run &run) {
                Checked<int> x, y;
                int a = 0, b = 1, c = 0, d = 1;
                run.thread("one", [&] { x.store(1, memory_order_release); });
                run.thread("two", [&] { y.store(1, memory_order_release); });
                auto look = [=](const Checked<int> &first, const Checked<int> &second, int &one, int &other) {
                    one = first.load(memory_order_acquire);
                    if (is_fenced) { full_fence(); }
                    other = second.load(memory_order_acquire);
                };
                run.thread("three", [&] { look(x, y, a, b); });
                run.thread("four", [&] { look(y, x, c, d); });
                run.go();
                check(!(a == 1 && b == 0 && c == 1 && d == 0), "seen");
            }};
}

// Whether the last values of two words may come from different threads' first stores.
Known crossing() {
    return {"2+2W", true, [](Run &run) {
                Checked<int> x, y;
                run.thread("one", [&] {
                    x.store(1, memory_order_release);
                    y.store(2, memory_order_release);
                });
                run.thread("two", [&] {
                    y.store(1, memory_order_release);
                    x.store(2, memory_order_release);
                });
                run.go();
                check(!(x.load(memory_order_relaxed) == 1 && y.load(memory_order_relaxed) == 1), "seen");
            }};
}

Known going_back() {
    return {"CoRR", false, [](Run &run) {
                Checked<int> x;
                run.thread("one", [&] { x.store(1, memory_order_relaxed); });
                run.thread("two", [&] { x.store(2, memory_order_relaxed); });
                int a[4] = {};
                auto look = [&](int &first, int &second) {
                    first = x.load(memory_order_relaxed);
                    second = x.load(memory_order_relaxed);
                };
                run.thread("three", [&] { look(a[0], a[1]); });
                run.thread("four", [&] { look(a[2], a[3]); });
                run.go();
                check(!(a[0] == 1 && a[1] == 2 && a[2] == 2 && a[3] == 1), "seen");
            }};
}

Known loads_first() {
    return {"LB", false, [](Run &run) {
                Checked<int> x, y;
                int a = 0, b = 0;
                auto swap = [](Checked<int> &from, Checked<int> &to, int &value) {
                    value = from.load(memory_order_relaxed);
                    to.store(1, memory_order_relaxed);
                };
                run.thread("one", [&] { swap(x, y, a); });
                run.thread("two", [&] { swap(y, x, b); });
                run.go();
                check(!(a && b), "seen");
            }};
}

Known counting() {
    return {"two updates", false, [](Run &run) {
                Checked<int> x;
                run.thread("one", [&] { x.fetch_add(1, memory_order_relaxed); });
                run.thread("two", [&] { x.fetch_add(1, memory_order_relaxed); });
                run.go();
                check(x.load(memory_order_relaxed) == 2, "seen");
            }};
}

Known through_an_update(const char *name, bool is_possible, std::memory_order store) {
    return {name, is_possible, [=](Run &run) {
                Plain x;
                Checked<int> y;
                run.thread("one", [&] {
                    x.write(1);
                    y.store(1, store);
                });
                run.thread("two", [&] { y.fetch_add(1, memory_order_relaxed); });
                run.thread("three", [&] {
                    if (y.load(memory_order_acquire) == 2) { x.read(); }
                });
                run.go();
            }};
}

Known locked(const char *name, bool is_possible, bool is_early) {
    return {name, is_possible, [=](Run &run) {
                Plain x;
                FileLock lock(1);
                run.thread("reader", [&] {
                    if (is_early) { lock.unlock_shared(); }
                    x.read();
                    if (!is_early) { lock.unlock_shared(); }
                });
                run.thread("writer", [&] {
                    if (lock.try_exclusive()) { x.write(1); }
                });
                run.go();
            }};
}

} // namespace

std::vector<Known> known_programs() {
    auto nothing = [] {};
    auto light = [] { CheckedFences::compiler(memory_order_seq_cst); };
    return {
        store_buffers("SB", true, nothing, nothing),
        store_buffers("SB with a fence on one side", true, full_fence, nothing),
        store_buffers("SB with fences", false, full_fence, full_fence),
        store_buffers("SB with a barrier for all", false, light, barrier_for_all),
        store_buffers("SB with a barrier for all, but nothing for the compiler", true, nothing, barrier_for_all),
        message("MP", false, memory_order_release, memory_order_acquire),
        message("MP without release", true, memory_order_relaxed, memory_order_acquire),
        message("MP without acquire", true, memory_order_release, memory_order_relaxed),
        message("MP with fences", false, memory_order_relaxed, memory_order_relaxed, true),
        bytes("bytes", false, memory_order_release),
        bytes("bytes without release", true, memory_order_relaxed),
        disagreement("IRIW", true, false),
        disagreement("IRIW with fences", false, true),
        crossing(),
        going_back(),
        loads_first(),
        counting(),
        through_an_update("bytes through an update", false, memory_order_release),
        through_an_update("bytes through an update without release", true, memory_order_relaxed),
        locked("a lock", false, false),
        locked("a lock that is let go of early", true, true),
    };
}

} // namespace weak
