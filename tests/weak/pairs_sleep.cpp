// SPDX-License-Identifier: LGPL-2.1-or-later
// O12 to O14: nobody sleeps on what has come. There are no slices here.
#include "sync.hpp"
#include "weak.hpp"

namespace weak {

using namespace speculo::core;

namespace {

constexpr const char *awake = "nobody sleeps on what has come";

struct Bell {
    Word<uint32_t> sleepers, word, marks;
    Word<uint32_t> commits[2];
    Futex futex;

    // As is_ring_due of src/bell.hpp and ring of src/bell.cpp.
    void ring_if_asked(bool sleepers_pay) {
        fence_before_flags<CheckedFences>(sleepers_pay);
        if (!is_flag_set(sleepers)) { return; }
        clear_flag(sleepers);
        bump_word(word);
        futex.wake_all();
    }

    // As sleep_once of src/wait.cpp.
    void wait_for(const Word<uint32_t> &commit) {
        if (observe_commit(commit) != 0) { return; }
        uint32_t seen = load_bell_word(word);
        announce_sleep(sleepers);
        full_fence<CheckedFences>();
        if (observe_mark(marks) != 0) { barrier_for_all(); }
        if (observe_commit(commit) == 0) { futex.sleep_on(word, seen); }
    }
};

void one_commit(Run &run, bool sleepers_pay) {
    Bell bell;
    if (sleepers_pay) { bell.marks = Word<uint32_t>(1); }
    int sleeper = run.thread("sleeper", [&] { bell.wait_for(bell.commits[0]); });
    run.thread("writer", [&] {
        publish_commit(bell.commits[0], 1);
        bell.ring_if_asked(sleepers_pay);
    });
    run.go();
    check(!run.is_stuck(sleeper), awake);
}

// A writer comes that leaves its fence to the sleepers; it says so first.
void writer_comes(Run &run) {
    Bell bell;
    int sleeper = run.thread("sleeper", [&] { bell.wait_for(bell.commits[0]); });
    run.thread("writer", [&] { // as ringer_open of src/bell.cpp
        publish_mark(bell.marks, 1);
        full_fence<CheckedFences>();
        publish_commit(bell.commits[0], 1);
        bell.ring_if_asked(true);
    });
    run.go();
    check(!run.is_stuck(sleeper), awake);
}

// The flag of a sleep must not fall to the clearing for the one before, which ended with a look.
void two_commits(Run &run) {
    Bell bell;
    int sleeper = run.thread("sleeper", [&] {
        announce_sleep(bell.sleepers);
        bell.wait_for(bell.commits[1]);
    });
    run.thread("writer", [&] {
        for (auto &commit : bell.commits) {
            publish_commit(commit, 1);
            bell.ring_if_asked(false);
        }
    });
    run.go();
    check(!run.is_stuck(sleeper), awake);
}

// A lossless area's writer, and a reader that leaves the segment that it needs. The kernel's unlocking is taken for no more than a
// release here, and its trying for no more than an acquire.
struct Room {
    Word<uint32_t> waits, word, lock{1};
    Futex futex;

    // As writer_wait of src/wait.cpp.
    void wait() {
        uint32_t seen = load_bell_word(word);
        announce_sleep(waits);
        full_fence<CheckedFences>();
        if (lock.word.load(std::memory_order_acquire) != 0) { futex.sleep_on(word, seen); }
        clear_flag(waits);
    }

    // As tell_writer_of_room there.
    void leave() {
        lock.word.store(0, std::memory_order_release);
        full_fence<CheckedFences>();
        if (is_flag_set(waits)) { ring(); }
    }

    void ring() {
        bump_word(word);
        futex.wake_all();
    }
};

// `late`: another reader, which has left before, comes to its ring only now, and changes the word at the same time.
void room(Run &run, bool late) {
    Room room;
    int writer = run.thread("waiting writer", [&] { room.wait(); });
    run.thread("leaving reader", [&] { room.leave(); });
    if (late) {
        run.thread("late reader", [&] { room.ring(); });
    }
    run.go();
    check(!run.is_stuck(writer), "nobody waits for those who have left");
}

} // namespace

std::vector<Pair> sleep_pairs() {
    return {
        {"O12", "a sleeper that pays for the writer", [](Run &run) { one_commit(run, true); }},
        {"O12", "a writer that fences itself", [](Run &run) { one_commit(run, false); }},
        {"O12, O15", "a writer that comes", writer_comes},
        {"O13", "two sleeps", two_commits},
        {"O14", "a writer that waits for one reader", [](Run &run) { room(run, false); }},
        {"O14", "a writer that waits for one of two", [](Run &run) { room(run, true); }},
    };
}

} // namespace weak
