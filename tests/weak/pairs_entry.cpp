// SPDX-License-Identifier: LGPL-2.1-or-later
// O7 to O10, O15: the ways into a segment and out of it; objects that appear and go; how many use something.
#include "layout.hpp"
#include "weak.hpp"

namespace weak {

using namespace speculo::core;

namespace {

struct Segment {
    Word<uint64_t> generation{0};
    Word<uint32_t> prefix_end{0}, hint{0}, commit{0};
    Plain copies;
    FileLock lock;

    // A segment that readers may be in already; its copies are those of that generation.
    explicit Segment(uint64_t of_generation, int sharers = 0)
        : generation(of_generation), prefix_end(uint32_t(of_generation)), copies(of_generation), lock(sharers) {}

    void fill(uint64_t for_generation) {
        copies.write(for_generation);
        put(commit, 0u);
        put(prefix_end, uint32_t(for_generation));
        publish_hint(hint, uint32_t(for_generation));
        publish_generation(generation, for_generation);
    }

    bool retake() {
        if (!lock.try_exclusive()) { return false; }
        publish_generation(generation, 0);
        lock.unlock_exclusive();
        return true;
    }

    // True: the reader was inside, and found what belongs to that generation.
    bool visit(uint64_t expected) {
        if (!lock.try_shared()) { return false; }
        bool is_expected = observe_generation(generation) == expected;
        if (is_expected) {
            check(peek(prefix_end) == expected, "a segment's header is that of its generation");
            check(copies.read() == expected, "a segment's chunks are those of its generation");
        }
        lock.unlock_shared();
        return is_expected;
    }
};

// What a reader that was refused finds: each try in vain costs the writer a compaction.
void check_moved(const Word<uint64_t> &current, uint64_t before) {
    check(observe_current(current) != before, "who is refused finds that the current segment is another");
}

// Two segments in turn: the first is used again while readers are on their way into it.
void used_again(Run &run) {
    Segment first{1}, second{0};
    Word<uint64_t> current{pack_current(1, 0)};
    run.thread("writer", [&] {
        second.fill(2);
        publish_current(current, pack_current(2, 1));
        if (!first.retake()) { return; }
        first.fill(3);
        publish_current(current, pack_current(3, 0));
    });
    run.thread("reader", [&] {
        uint64_t before = observe_current(current);
        Segment &segment = current_slot(before) == 0 ? first : second;
        if (!segment.visit(current_generation(before))) { check_moved(current, before); }
    });
    run.go();
}

// An object that is pinned is replaced by a fresh one; who comes through its slot finds either, or that it is none of both.
void replaced(Run &run) {
    Segment old{1}, second{0}, fresh{0};
    Word<uint64_t> current{pack_current(1, 0)}, slot{1}; // the incarnation
    Word<uint32_t> name;                                 // of the fresh object
    run.thread("writer", [&] {
        second.fill(2);
        publish_current(current, pack_current(2, 1));
        publish_slot(slot, 2);
        name.word.store(1, std::memory_order_release); // by the kernel
        publish_generation(old.generation, 0);
        fresh.fill(3);
        publish_current(current, pack_current(3, 0));
    });
    run.thread("reader", [&] {
        uint64_t before = observe_current(current);
        if (current_slot(before) == 1) {
            check(second.visit(2), "the current segment can be entered");
            return;
        }
        uint64_t entry = observe_slot(slot);
        check(current_generation(before) == 1 || entry == 2, "a slot's entry is not older than `current`");
        bool is_there = entry == 1 || name.word.load(std::memory_order_acquire) == 1;
        bool is_inside = is_there && (entry == 1 ? old : fresh).visit(current_generation(before));
        if (!is_inside) { check_moved(current, before); }
    });
    run.go();
}

// From one segment to the next by END: directly, or by way of `current`.
void by_end(Run &run) {
    Segment first{1}, second{0};
    Word<uint64_t> current{pack_current(1, 0)}, slot, id;
    Word<uint32_t> end_commit, end_successor;
    run.thread("writer", [&] {
        publish_slot(slot, 7);
        second.fill(2);
        publish_current(current, pack_current(2, 1));
        put(end_successor, 7u);
        put(id, pack_current(2, 1));
        publish_commit(end_commit, 1);
    });
    run.thread("reader", [&] {
        if (observe_commit(end_commit) == 0) { return; }
        check(peek(id) == pack_current(2, 1), "END names the next segment");
        check(observe_slot(slot) == load_successor(end_successor), "a slot's entry is not older than END");
        check(second.visit(2), "the next segment can be entered");
        check(current_generation(observe_current(current)) > 1, "`current` is not older than END");
    });
    run.go();
}

// A reader that is inside, and leaves; a writer that waits for nobody.
void leaving(Run &run) {
    Segment segment{1, 1};
    run.thread("reader", [&] {
        check(segment.copies.read() == 1, "bytes in use stay as they are");
        segment.lock.unlock_shared();
    });
    run.thread("writer", [&] {
        if (segment.retake()) { segment.fill(3); }
    });
    run.thread("newcomer", [&] {
        for (uint64_t generation : {1, 3}) { segment.visit(generation); }
    });
    run.go();
}

// Objects get their names when they are complete.
void creation(Run &run) {
    Word<uint64_t> magic, field;
    Word<uint32_t> name;
    run.thread("creator", [&] {
        put(field, uint64_t(1));
        put(magic, uint64_t(5));
        name.word.store(1, std::memory_order_release); // by the kernel
    });
    run.thread("opener", [&] {
        if (name.word.load(std::memory_order_acquire) == 0) { return; }
        check(peek(magic) == 5, "an object has its magic");
        check(peek(field) == 1, "an object is complete");
    });
    run.go();
}

// Who sees that the area was removed has seen all that was committed.
void removal(Run &run) {
    Word<uint32_t> commit, marks;
    Plain payload;
    int writer = run.thread("writer", [&] {
        payload.write(1);
        publish_commit(commit, 1);
    });
    run.thread(
        "remover", [&] { publish_mark(marks, 1); }, writer);
    run.thread("reader", [&] {
        if (observe_mark(marks) == 0) { return; }
        check(observe_commit(commit) == 1, "nothing is committed behind a removal");
    });
    run.go();
}

// A segment that two threads hold, and the handle's cache knows. Who lets go last takes it down.
struct Pinned {
    CounterOf<Checked<uint32_t>> users;
    Mutex mutex;
    Plain bytes;
    bool is_cached = true;

    void destroy() { bytes.write(0); }

    // As attachment_unpin of src/pins.cpp.
    void unpin() {
        if (users.take_if_more()) { return; }
        mutex.lock();
        bool is_unused = users.take() && !is_cached;
        mutex.unlock();
        if (is_unused) { destroy(); }
    }
    // As uncache there.
    void uncache() {
        mutex.lock();
        is_cached = false;
        bool is_unused = !users.any();
        mutex.unlock();
        if (is_unused) { destroy(); }
    }
};

void users(Run &run) {
    Pinned segment;
    run.thread("handle", [&] {
        segment.users.add();
        segment.users.add();
    });
    auto use = [&] {
        segment.bytes.read();
        segment.unpin();
    };
    auto hold = [&] { // a view is held, and both end
        segment.users.add();
        segment.unpin();
        use();
    };
    run.thread("first", hold, 0);
    run.thread("second", use, 0);
    run.thread(
        "closer", [&] { segment.uncache(); }, 0);
    run.go();
}

// A private copy of a chunk, of the handle and of a hold that another thread lets go. The handle may use it again if nobody else does.
struct Copied {
    CounterOf<Checked<uint32_t>> users;
    Plain bytes;

    // As chunk_copy_release of src/chunk_copy.cpp.
    void release() {
        if (users.take()) { bytes.write(0); }
    }
};

void copy_users(Run &run) {
    Copied copy;
    run.thread("handle", [&] {
        copy.users.add();
        copy.users.add();
    });
    run.thread(
        "holder",
        [&] {
            copy.bytes.read();
            copy.release();
        },
        0);
    run.thread(
        "reader",
        [&] {
            if (copy.users.is_one()) { return copy.bytes.write(1); }
            copy.bytes.read();
            copy.release();
        },
        0);
    run.go();
}

// A reader that maps nothing: the kernel copies for it, in any order, as loads that order nothing.
void copies(Run &run) {
    Word<uint32_t> commit, bytes;
    run.thread("writer", [&] {
        put(bytes, 7u);
        publish_commit(commit, 1);
    });
    run.thread("reader", [&] {
        bool is_there = peek(commit) != 0;
        fence_copies<CheckedFences>();
        check(!is_there || peek(bytes) == 7, "a commit word is not newer than the copy of its frame");
    });
    run.go();
}

} // namespace

std::vector<Pair> entry_pairs() {
    return {
        {"O7, O9", "a segment that is used again", used_again},
        {"O7, O9", "a segment that is replaced", replaced},
        {"O8", "END, and what it leads to", by_end},
        {"O9, O10", "leaving, retaking, entering", leaving},
        {"O15", "an object that appears", creation},
        {"O15", "an area that is removed", removal},
        {"O16", "a frame that is copied", copies},
        {"users", "the last one takes it down", users},
        {"users", "a copy that is used again", copy_users},
    };
}

} // namespace weak
