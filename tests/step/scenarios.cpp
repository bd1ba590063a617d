// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scenarios.hpp"

#include <cerrno>

namespace speculo::test {

namespace {

using Choices = const AreaChoices &;

constexpr uint64_t small = 4096, roomy = 16384, large = 32768;

AreaChoices with(uint64_t capacity, uint64_t most, uint32_t segments = 3, uint32_t flags = 0) {
    AreaChoices choices(capacity);
    choices.max_capacity = most;
    choices.segments = segments;
    choices.flags = flags;
    return choices;
}

AreaChoices readable_by_all() {
    AreaChoices choices(small);
    choices.mode = 0644;
    return choices;
}

AreaChoices resident() {
    AreaChoices choices(small);
    choices.prefault = 4 * small;
    return choices;
}

// ---- what is there before -------------------------------------------------------------------------------------------------------

void nothing(Play &, Choices) {}

void an_empty_area(Play &play, Choices choices) { play.create(choices); }

// A bit of everything: ids 1 to 6, of which 2 is superseded, and 3 and 4 have keys.
void a_few(Play &play, Choices choices) {
    play.create(choices);
    play.add(Wish(64));
    uint64_t old = play.add(Wish(10));
    play.commit();
    play.add(Wish(40).key("one"));
    play.add(Wish(0).key("two").tag(2));
    play.commit();
    play.add(Wish(33).supersedes(old));
    play.add(Wish(100).transient());
    play.commit();
}

// So full that not even a small chunk fits any more.
void a_full_one(Play &play, Choices choices) {
    a_few(play, choices);
    play.add(Wish(1800).transient());
    play.add(Wish(1600).key("big"));
    play.commit();
}

// So full that there is room for a few small chunks more.
void a_filled_one(Play &play, Choices choices) {
    a_few(play, choices);
    play.add(Wish(2500).transient());
    play.commit();
}

// Behind several compactions, so that all segments are there and the next one is used again.
void a_used_one(Play &play, Choices choices) {
    a_few(play, choices);
    for (uint32_t i = 0; i <= choices.segments; ++i) {
        play.add(Wish(50).transient());
        play.add(Wish(20).key("round"));
        play.commit();
        play.compact();
    }
    play.add(Wish(70).transient());
    play.commit();
}

void one_of_the_past(Play &play, Choices choices) {
    a_few(play, choices);
    play.close();
}

void one_with_deadlines(Play &play, Choices choices) {
    a_few(play, choices);
    play.add(Wish(30).lives(hour));
    play.add(Wish(30).key("soon").lives(hour));
    play.add(Wish(30).key("one"));
    play.commit();
}

void one_that_is_old(Play &play, Choices choices) {
    one_with_deadlines(play, choices);
    play.grow_old();
}

void one_of_another_boot(Play &play, Choices choices) {
    one_with_deadlines(play, choices);
    play.close();
    play.reboot(true);
}

void one_that_a_power_cut_left(Play &play, Choices choices) {
    a_few(play, choices);
    play.reboot(false);
}

// What lasts lies so far apart, and the last quarter is so near, that copying begins with the next few chunks.
void one_to_be_copied_ahead(Play &play, Choices choices) {
    a_few(play, choices);
    play.add(Wish(17000).transient());
    play.add(Wish(90).key("far"));
    play.add(Wish(5600).transient());
    play.add(Wish(500));
    play.commit();
}

// Grown for a large chunk that is gone, and quiet since.
void a_grown_one(Play &play, Choices choices) {
    a_few(play, choices);
    uint64_t large = play.add(Wish(6000).compacts());
    play.commit();
    play.obsolete(large);
    play.commit();
    for (int i = 0; i < 3; ++i) { play.compact(); }
}

// ---- what is done -----------------------------------------------------------------------------------------------------------------

void create(Play &play, Choices choices) { play.create(choices); }

void create_anew(Play &play, Choices choices) {
    play.create(choices, SPECULO_OPEN_EXCLUSIVE);
    play.add(Wish(8));
    play.commit();
}

template <size_t size> void commit(Play &play, Choices) {
    for (int i = 0; i < 2; ++i) {
        play.add(Wish(size));
        play.commit();
    }
}

void commit_batch(Play &play, Choices) {
    play.add(Wish(0));
    play.add(Wish(1).tag(1));
    play.add(Wish(64).aligned(64));
    play.add(Wish(300).transient());
    play.add(Wish(17).aligned(256).tag(9));
    play.commit();
    play.add(Wish(5).aligned(64));
    play.add(Wish(5));
    play.commit();
}

void commit_large_batch(Play &play, Choices) {
    for (int i = 0; i < 2; ++i) { play.add(Wish(4096)); }
    play.add(Wish(1));
    play.commit();
}

void commit_with_deadline(Play &play, Choices) {
    play.add(Wish(30).lives(hour));
    play.add(Wish(30).key("soon").lives(hour));
    play.commit();
    play.compact();
}

void supersede(Play &play, Choices) {
    uint64_t next = play.add(Wish(30).supersedes(1));
    play.commit();
    play.add(Wish(7));
    next = play.add(Wish(31).supersedes(next));
    play.add(Wish(32).supersedes(next)); // in the same commit
    play.add(Wish(1).supersedes(5));
    play.commit();
}

void obsolete(Play &play, Choices) {
    play.obsolete(1);
    play.commit();
    play.add(Wish(9));
    play.obsolete(5);
    play.obsolete(4);
    play.commit();
}

void update_keys(Play &play, Choices) {
    play.add(Wish(41).key("one"));
    play.commit();
    play.add(Wish(42).key("one"));
    play.add(Wish(43).key("three"));
    play.add(Wish(44).key("one")); // again in the same commit
    play.add(Wish(45).key("two"));
    play.commit();
    play.add(Wish(0).key("three"));
    play.commit();
}

void remove_keys(Play &play, Choices) {
    play.remove_key("one");
    play.commit();
    play.add(Wish(12).key("one"));
    play.remove_key("two");
    play.commit();
    play.remove_key("one");
    play.add(Wish(13).key("one"));
    play.add(Wish(14).key("four"));
    play.commit();
}

void change_the_mind(Play &play, Choices) {
    play.add(Wish(100));
    play.shrink(30);
    play.add(Wish(20).key("one"));
    play.add(Wish(200).key("five"));
    play.shrink(0);
    play.commit();
    play.add(Wish(50).key("one"));
    play.obsolete(1);
    play.rollback();
    play.add(Wish(500).supersedes(1));
    play.shrink(2);
    play.commit();
}

void compact(Play &play, Choices) {
    play.compact();
    play.add(Wish(24).key("one"));
    play.commit();
    play.compact();
}

void compact_in_a_commit(Play &play, Choices) {
    play.add(Wish(200).key("one"));
    play.add(Wish(100).supersedes(1));
    play.obsolete(5);
    play.add(Wish(900).key("new").compacts());
    play.add(Wish(1));
    play.commit();
}

void compact_twice_in_a_commit(Play &play, Choices) {
    play.add(Wish(500).key("two"));
    play.add(Wish(2000).compacts());
    play.add(Wish(6000).compacts());
    play.remove_key("one");
    play.commit();
    play.add(Wish(1));
    play.commit();
}

// A little is copied by each chunk; what was copied is superseded before the switch, and so is what was not yet.
void begin_a_spread_compaction(Play &play) {
    play.add(Wish(1500).key("far"));
    play.commit();
    play.add(Wish(20).key("one"));
    play.add(Wish(20).supersedes(1));
    play.obsolete(5);
    play.commit();
    play.add(Wish(1200));
    play.remove_key("two");
    play.commit();
    play.add(Wish(1800).transient());
    play.add(Wish(20).key("one"));
    play.add(Wish(20).key("late"));
    play.commit();
}

void spread_a_compaction(Play &play, Choices) {
    begin_a_spread_compaction(play);
    play.add(Wish(6000).compacts());
    play.commit();
    play.add(Wish(1).key("late"));
    play.commit();
}

void spread_a_compaction_into_a_commit(Play &play, Choices) {
    begin_a_spread_compaction(play);
    play.add(Wish(10).key("late"));
    play.add(Wish(30).key("new"));
    play.add(Wish(6000).compacts());
    play.add(Wish(10).key("new"));
    play.commit();
}

void outgrow_the_key_table(Play &play, Choices) {
    for (int i = 0; i < 10; ++i) { play.add(Wish(1).key("key " + std::to_string(i))); }
    play.commit();
    play.add(Wish(2).key("one more").compacts());
    play.add(Wish(3).key("key 3"));
    play.commit();
}

void grow(Play &play, Choices) {
    play.add(Wish(5000).key("large").compacts());
    play.commit();
    play.add(Wish(16000).compacts());
    play.commit();
}

void use_the_reserve(Play &play, Choices) {
    play.remove_key("one");
    play.commit();
    play.obsolete(1);
    play.commit();
    play.obsolete(5);
    play.commit();
}

void close(Play &play, Choices) {
    play.add(Wish(10).key("one")); // never committed
    play.close();
}

void open(Play &play, Choices choices) {
    AreaChoices others(2 * choices.capacity);
    others.segments = 2;
    play.open(&others);
    play.add(Wish(10).key("one"));
    play.commit();
    play.compact();
    play.close();
}

void open_to_all(Play &play, Choices choices) {
    AreaChoices others(choices.capacity);
    others.mode = 0644;
    play.open(&others);
    play.add(Wish(1));
    play.commit();
}

void open_resident(Play &play, Choices choices) { play.open(&choices); }

void remove(Play &play, Choices) { play.remove(); }

void live_on_a_disk(Play &play, Choices choices) {
    play.open();
    play.add(Wish(10).key("one"));
    play.commit();
    play.close();
    play.open(&choices);
}

void go_on_behind_deadlines(Play &play, Choices) {
    play.add(Wish(10).supersedes(7));
    play.add(Wish(10).key("soon").lives(hour));
    play.commit();
    play.compact();
    play.add(Wish(10).key("soon"));
    play.commit();
}

void open_after_a_boot(Play &play, Choices) {
    play.open();
    play.add(Wish(10).key("soon"));
    play.commit();
    play.close();
}

// The second compaction is refused until the reader has left.
void wait_for_a_reader(Play &play, Choices) {
    play.add(Wish(10).key("one"));
    play.commit();
    play.compact();
    play.add(Wish(2500).transient());
    play.add(Wish(100).transient());
    play.commit();
    play.refuse(Wish(2000), -EAGAIN);
    play.let_reader_go_on();
    play.add(Wish(2000).compacts());
    play.commit();
}

} // namespace

const std::vector<Scenario> &all_scenarios() {
    static const std::vector<Scenario> all = {
        {"create", ordinary, AreaChoices(small), nothing, create},
        {"create_anew", ordinary, readable_by_all(), nothing, create_anew},
        {"create_on_a_disk", on_a_disk, AreaChoices(small), nothing, create},
        {"commit_0", ordinary, AreaChoices(small), an_empty_area, commit<0>},
        {"commit_1", ordinary, AreaChoices(small), an_empty_area, commit<1>},
        {"commit_64", ordinary, AreaChoices(small), a_few, commit<64>},
        {"commit_4096", ordinary, AreaChoices(roomy), a_few, commit<4096>},
        {"commit_batch", ordinary, AreaChoices(small), a_few, commit_batch},
        {"commit_large_batch", ordinary, AreaChoices(roomy), a_few, commit_large_batch},
        {"commit_with_deadline", ordinary, AreaChoices(small), a_few, commit_with_deadline},
        {"commit_behind_deadlines", is_later, AreaChoices(small), one_that_is_old, go_on_behind_deadlines},
        {"commit_to_all", ordinary, readable_by_all(), a_few, commit_batch},
        {"supersede", ordinary, AreaChoices(small), a_few, supersede},
        {"obsolete", ordinary, AreaChoices(small), a_few, obsolete},
        {"update_keys", ordinary, AreaChoices(small), a_few, update_keys},
        {"remove_keys", ordinary, AreaChoices(small), a_few, remove_keys},
        {"change_the_mind", ordinary, AreaChoices(small), a_few, change_the_mind},
        {"compact", ordinary, AreaChoices(small), a_few, compact},
        {"compact_into_a_used_segment", goes_round, AreaChoices(small), a_used_one, compact},
        {"compact_beside_a_reader", is_pinned, with(small, small, 2), a_used_one, compact},
        {"compact_in_a_commit", ordinary, with(small, 2 * small), a_filled_one, compact_in_a_commit},
        {"compact_twice_in_a_commit", goes_round, with(small, 4 * small, 2), a_filled_one, compact_twice_in_a_commit},
        {"compact_what_was_large", goes_round, with(small, 8 * small), a_grown_one, compact},
        {"spread_a_compaction", ordinary, AreaChoices(large), one_to_be_copied_ahead, spread_a_compaction},
        {"spread_a_compaction_into_a_commit", ordinary, AreaChoices(large), one_to_be_copied_ahead,
         spread_a_compaction_into_a_commit},
        {"outgrow_the_key_table", ordinary, AreaChoices(small), a_few, outgrow_the_key_table},
        {"grow", ordinary, with(small, 16 * small), a_few, grow},
        {"use_the_reserve", is_full, AreaChoices(small), a_full_one, use_the_reserve},
        {"close", ordinary, AreaChoices(small), a_few, close},
        {"open", goes_round, with(small, 4 * small, 4), one_of_the_past, open},
        {"open_to_all", ordinary, AreaChoices(small), one_of_the_past, open_to_all},
        {"open_resident", ordinary, resident(), one_of_the_past, open_resident},
        {"remove", ordinary, AreaChoices(small), one_of_the_past, remove},
        {"live_on_a_disk", on_a_disk, AreaChoices(small), one_of_the_past, live_on_a_disk},
        {"open_after_a_boot", on_a_disk | was_rebooted, AreaChoices(small), one_of_another_boot, open_after_a_boot},
        {"begin_anew_after_a_boot", on_a_disk | was_rebooted | dies_before, AreaChoices(small), one_that_a_power_cut_left,
         create},
        {"lossless", ordinary, with(small, small, 3, SPECULO_AREA_LOSSLESS), a_few, compact},
        {"lossless_waits_for_a_reader", is_pinned | goes_round, with(small, small, 2, SPECULO_AREA_LOSSLESS), a_few,
         wait_for_a_reader},
    };
    return all;
}

} // namespace speculo::test
