// SPDX-License-Identifier: LGPL-2.1-or-later
// O1 to O6, O11: commits, ends, keys, and a takeover that undoes half a commit.
#include "sync.hpp"
#include "weak.hpp"

namespace weak {

using namespace speculo::core;

namespace {

constexpr uint32_t old_bytes = 9; // what stands in memory that is used again

struct Frame {
    Word<uint32_t> commit, successor{old_bytes}, link{old_bytes};
    Plain payload;
    explicit Frame(uint32_t word = old_bytes) : commit(word) {}
};

// A frame that was committed long ago.
struct Committed : Frame {
    Committed() : Frame(1) { put(successor, 0u), put(link, 0u); }

private:
    static void put(Word<uint32_t> &word, uint32_t value) { word = Word<uint32_t>(value); }
};

void lay(Frame &frame, uint64_t payload) {
    put(frame.successor, 0u);
    frame.payload.write(payload);
}

// What a reader relies on that has seen a frame's commit word.
void look_at(Frame &frame, uint64_t payload) {
    check(frame.payload.read() == payload, "a committed frame is whole");
    check(load_successor(frame.successor) != old_bytes, "a committed frame has its successor word");
}

void batch(Run &run) {
    Frame first{0}, second, behind;
    run.thread("writer", [&] {
        lay(first, 1);
        lay(second, 2);
        put(behind.commit, 0u);
        put(second.commit, 1u);
        publish_commit(first.commit, 1);
    });
    run.thread("reader", [&] {
        if (observe_commit(first.commit) == 0) { return; }
        look_at(first, 1);
        check(observe_commit(second.commit) == 1, "a commit is seen as a whole");
        look_at(second, 2);
        check(observe_commit(behind.commit) == 0, "a zero word is behind a commit");
    });
    run.go();
}

// Two commits; whoever sees the second one sees the first.
void one_after_the_other(Run &run) {
    Frame first{0}, second, behind;
    run.thread("writer", [&] {
        lay(first, 1);
        put(second.commit, 0u);
        publish_commit(first.commit, 1);
        lay(second, 2);
        put(behind.commit, 0u);
        publish_commit(second.commit, 1);
    });
    run.thread("reader", [&] {
        if (observe_commit(first.commit) == 0) { return; }
        look_at(first, 1);
        uint32_t word = observe_commit(second.commit);
        check(word != old_bytes, "a zero word, or the next commit, is behind a commit");
        if (word != 0) { look_at(second, 2); }
    });
    run.go();
}

// Frames 1 and 2; the second supersedes the first. `fix_end` finds out how far the reader sees.
void successor(Run &run, const std::function<uint32_t(Frame &, Word<uint32_t> &)> &fix_end) {
    Committed first;
    Frame second{0}, behind;
    Word<uint32_t> hint{2};
    run.thread("writer", [&] {
        lay(second, 2);
        put(behind.commit, 0u);
        store_successor(first.successor, 2);
        publish_commit(second.commit, 1);
        publish_hint(hint, 3);
    });
    run.thread("reader", [&] {
        uint32_t end = fix_end(second, hint);
        uint32_t word = load_successor(first.successor);
        bool is_old_visible = word == 0 || word >= end, is_new_visible = end > 2;
        check(is_old_visible != is_new_visible, "either the old version is seen, or the new one");
        if (is_new_visible) { look_at(second, 2); }
    });
    run.go();
}

void successor_by_walk(Run &run) {
    successor(run, [](Frame &second, Word<uint32_t> &) { return observe_commit(second.commit) != 0 ? 3u : 2u; });
}

void successor_by_hint(Run &run) {
    successor(run, [](Frame &, Word<uint32_t> &hint) { return observe_hint(hint); });
}

constexpr uint64_t versions(uint64_t newest, uint64_t previous) { return previous << 32 | newest; }

// The version of a key at an end, as key_version_at of src/keytable.cpp finds it. `frames[place]`
uint32_t version_at(Word<uint64_t> &slot, Frame *const *frames, uint32_t end) {
    uint64_t both = observe_versions(slot);
    uint32_t place = uint32_t(both) < end ? uint32_t(both) : uint32_t(both >> 32);
    while (place >= end) {
        check(observe_commit(frames[place]->commit) == 1, "the previous version is committed");
        uint32_t link = peek(frames[place]->link);
        check(link < place, "a link leads back");
        place = link;
    }
    return place;
}

void commit_version(Word<uint64_t> &slot, Frame *const *frames, uint32_t place) {
    lay(*frames[place], place);
    put(frames[place + 1]->commit, 0u);
    publish_versions(slot, versions(place, place - 1));
    store_successor(frames[place - 1]->successor, place);
    put(frames[place]->link, place - 1);
    publish_commit(frames[place]->commit, 1);
}

// A reader's end may be older than both versions that the slot names.
void key_versions(Run &run) {
    Committed first;
    Frame second{0}, third, fourth;
    Frame *frames[] = {nullptr, &first, &second, &third, &fourth};
    Word<uint64_t> slot{versions(1, 0)};
    run.thread("writer", [&] {
        commit_version(slot, frames, 2);
        commit_version(slot, frames, 3);
    });
    run.thread("reader", [&] {
        uint32_t end = observe_commit(second.commit) == 0 ? 2 : observe_commit(third.commit) == 0 ? 3 : 4;
        uint32_t place = version_at(slot, frames, end);
        check(place == end - 1, "a key's version is the one at the end");
        if (place > 1) { check(frames[place]->payload.read() == place, "a version is whole"); }
    });
    run.go();
}

void new_key(Run &run) {
    constexpr uint32_t hash_of_key = 5;
    Frame frame{0}, behind;
    Word<uint32_t> hash{old_bytes}, slot_frame{0};
    Word<uint64_t> slot{versions(old_bytes, old_bytes)};
    run.thread("writer", [&] { // as key_claim of src/keytable.cpp
        lay(frame, 1);
        put(behind.commit, 0u);
        put(hash, hash_of_key);
        publish_versions(slot, versions(1, 0));
        put(slot_frame, 1u);
        put(frame.link, 0u);
        publish_commit(frame.commit, 1);
    });
    run.thread("reader", [&] {
        uint32_t end = observe_commit(frame.commit) == 0 ? 1 : 2;
        uint32_t place = peek(slot_frame);
        bool is_found = place != 0 && place < end;
        check(is_found == (end == 2), "a key is found from its commit on");
        if (!is_found) { return; }
        check(peek(hash) == hash_of_key, "a slot that counts has its hash");
        check(observe_versions(slot) == versions(1, 0), "a slot that counts has its versions");
        check(frame.payload.read() == 1, "a key's frame is whole");
    });
    run.go();
}

void late_reader(Run &run) {
    Frame first{0}, second, third;
    Word<uint32_t> hint{1};
    run.thread("writer", [&] {
        lay(first, 1);
        put(second.commit, 0u);
        publish_commit(first.commit, 1);
        publish_hint(hint, 2);
        lay(second, 2);
        put(third.commit, 0u);
        publish_commit(second.commit, 1);
        publish_hint(hint, 3);
    });
    run.thread("reader", [&] {
        Frame *frames[] = {nullptr, &first, &second, &third};
        uint32_t end = observe_hint(hint);
        uint32_t word = observe_commit(frames[end]->commit);
        check(word != old_bytes, "a zero word, or the next commit, is at the hint");
        if (word != 0) { check(end < 3, "nothing is committed behind the last commit"), ++end; }
        for (uint32_t place = 1; place < end; ++place) { look_at(*frames[place], place); }
    });
    run.go();
}

// A version of a key, in a commit of two frames, that its writer may not live to complete. The next one undoes it and commits others.
struct Succession {
    Committed first;
    Frame second{0}, third, fourth;
    Word<uint64_t> slot{versions(1, 0)};
    Word<uint32_t> hint{2};

    static void may_die() {
        if (may()) { die(); }
    }

    void commit(uint64_t payload, void (*between)()) {
        lay(second, payload), between();
        lay(third, payload + 1), between();
        put(fourth.commit, 0u), between();
        publish_versions(slot, versions(2, 1)), between();
        store_successor(first.successor, 2), between();
        put(second.link, 1u), between();
        put(third.commit, 1u), between();
        publish_commit(second.commit, 1), between();
        publish_hint(hint, 4);
    }

    void take_over() {
        bool is_committed = observe_commit(second.commit) != 0;
        uint32_t end = is_committed ? 4 : 2;
        if (load_successor(first.successor) >= end) { store_successor(first.successor, 0); }
        uint64_t both = peek(slot);
        uint32_t previous = uint32_t(both >> 32);
        if (uint32_t(both) >= end) { publish_versions(slot, versions(previous, previous)); }
        publish_hint(hint, end);
        if (!is_committed) {
            commit(20, [] {});
        }
    }

    void read() {
        Frame *frames[] = {nullptr, &first, &second, &third};
        uint32_t hinted = observe_hint(hint);
        bool is_second = hinted > 2 || observe_commit(second.commit) != 0;
        uint32_t end = is_second ? 4 : 2;
        uint32_t word = load_successor(first.successor);
        check((word == 0 || word >= end) != is_second, "either the old version is seen, or the new one");
        check(version_at(slot, frames, end) == (is_second ? 2 : 1), "a key's version is the one at the end");
        if (!is_second) { return; }
        uint64_t payload = second.payload.read();
        check(third.payload.read() == payload + 1, "a commit is all of one writer's");
    }
};

void takeover(Run &run) {
    Succession succession;
    int writer = run.thread("writer", [&] { succession.commit(10, Succession::may_die); });
    run.thread(
        "next writer", [&] { succession.take_over(); }, writer);
    run.thread("reader", [&] { succession.read(); });
    run.go();
}

// Chunk 1 is alone in its page, which ends at place 2. A commit that supersedes it may die; the next writer's is of something else.
void page_of_a_dead_commit(Run &run, bool is_end_fixed_first) {
    constexpr uint32_t page_limit = 2;
    Committed first;
    Frame second{0}, third;
    Word<uint32_t> dead{0}, hint{2};
    int writer = run.thread("writer", [&] {
        lay(second, 2), Succession::may_die();
        put(third.commit, 0u), Succession::may_die();
        store_successor(first.successor, 2), Succession::may_die();
        put(dead, page_limit), Succession::may_die(); // as index_count_dead of src/index.cpp
        publish_commit(second.commit, 1), Succession::may_die();
        publish_hint(hint, 3);
    });
    run.thread(
        "next writer",
        [&] {
            if (observe_commit(second.commit) != 0) { return publish_hint(hint, 3); }
            store_successor(first.successor, 0);
            put(dead, 0u);
            publish_hint(hint, 2);
            lay(second, 20);
            put(third.commit, 0u);
            publish_commit(second.commit, 1);
            publish_hint(hint, 3);
        },
        writer);
    run.thread("reader", [&] {
        uint32_t early = is_end_fixed_first ? 0 : peek(dead);
        uint32_t end = observe_hint(hint);
        if (end == 2 && observe_commit(second.commit) != 0) { end = 3; }
        uint32_t place = is_end_fixed_first ? peek(dead) : early; // as index_pass_dead
        bool is_passed = place >= page_limit && place < end;
        uint32_t word = load_successor(first.successor);
        bool is_live = word == 0 || word >= end;
        check(!(is_passed && is_live), "a page of which something lives is not passed");
    });
    run.go();
}

// Chunks 1 and 2 make a page. One commit ends the first, the next one the second: who sees only that one passes nothing.
void page_of_two(Run &run) {
    constexpr uint32_t page_limit = 3;
    Committed first, second;
    Frame third{0}, fourth, fifth;
    Word<uint32_t> dead{0};
    run.thread("writer", [&] {
        lay(third, 3);
        put(fourth.commit, 0u);
        store_successor(first.successor, 3);
        put(dead, 1u);
        publish_commit(third.commit, 1);
        lay(fourth, 4);
        put(fifth.commit, 0u);
        store_successor(second.successor, 4);
        put(dead, 4u);
        publish_commit(fourth.commit, 1);
    });
    run.thread("reader", [&] {
        uint32_t end = observe_commit(third.commit) == 0 ? 3 : observe_commit(fourth.commit) == 0 ? 4 : 5;
        uint32_t place = peek(dead);
        bool is_passed = place >= page_limit && place < end;
        uint32_t words[] = {load_successor(first.successor), load_successor(second.successor)};
        for (uint32_t word : words) {
            check(!is_passed || (word != 0 && word < end), "a page of which something lives is not passed");
        }
        if (end == 5) { check(is_passed, "a page of which nothing lives is passed"); }
    });
    run.go();
}

} // namespace

std::vector<Known> mistaken_programs() {
    return {{"a page's word is loaded before the end", true, [](Run &run) { page_of_a_dead_commit(run, false); }}};
}

std::vector<Pair> publication_pairs() {
    return {
        {"O1", "a commit of two frames", batch},
        {"O1", "two commits", one_after_the_other},
        {"O2", "the successor word, the end found by walking", successor_by_walk},
        {"O2, O6", "the successor word, the end found by the hint", successor_by_hint},
        {"O2", "a page of a commit that died", [](Run &run) { page_of_a_dead_commit(run, true); }},
        {"O2", "a page of two chunks", page_of_two},
        {"O3, O4", "versions of a key, for an older end", key_versions},
        {"O5", "a new key's slot", new_key},
        {"O6", "a late reader at the hint", late_reader},
        {"O11", "a takeover after a death anywhere in a commit", takeover},
    };
}

} // namespace weak
