// SPDX-License-Identifier: LGPL-2.1-or-later
// Plain bytes, and what the kernel does for threads.
#include "engine.hpp"

namespace weak {

// ---- plain bytes ----

uint64_t Plain::read() {
    Thread &thread = self();
    auto number = size_t(engine.running);
    for (size_t i = 0; i < most_threads; ++i) {
        check(writes_[i] <= thread.view.clock[i], "no byte is read while it is written");
    }
    reads_[number] = ++thread.view.clock[number];
    return value_;
}

void Plain::write(uint64_t value) {
    Thread &thread = self();
    auto number = size_t(engine.running);
    for (size_t i = 0; i < most_threads; ++i) {
        check(writes_[i] <= thread.view.clock[i], "no byte is written by two");
        check(reads_[i] <= thread.view.clock[i], "no byte is written while it is read");
    }
    writes_[number] = ++thread.view.clock[number];
    value_ = value;
}

// ---- the kernel ----

void FileLock::take_turn() {
    yield();
    join(self().view, view_);
    view_ = self().view;
}

bool FileLock::try_shared() {
    take_turn();
    if (is_exclusive_) { return false; }
    ++sharers_;
    return true;
}

bool FileLock::try_exclusive() {
    take_turn();
    if (sharers_ > 0 || is_exclusive_) { return false; }
    is_exclusive_ = true;
    return true;
}

void FileLock::unlock_shared() {
    take_turn();
    --sharers_;
}

void FileLock::unlock_exclusive() {
    take_turn();
    is_exclusive_ = false;
}

void Mutex::lock() {
    self().waits_while = &is_taken_;
    yield();
    self().waits_while = nullptr;
    is_taken_ = true;
    join(self().view, view_);
}

void Mutex::unlock() {
    view_ = self().view;
    is_taken_ = false;
}

bool Futex::sleep_on(int word, uint64_t expected) {
    yield();
    Thread &thread = self();
    join(thread.view, view_);
    if (note_load(word, choose_store(word, thread.view.seen[size_t(word)], false), std::memory_order_relaxed) != expected) {
        return false;
    }
    thread.state = State::sleeping;
    yield();
    join(thread.view, view_);
    return true;
}

void Futex::wake_all() {
    yield();
    join(view_, self().view);
    for (int i = 0; i < engine.thread_count; ++i) { // a program has one futex
        Thread &thread = engine.threads[size_t(i)];
        if (thread.state == State::sleeping) { thread.state = State::ready; }
    }
}

} // namespace weak
