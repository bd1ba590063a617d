// SPDX-License-Identifier: LGPL-2.1-or-later
#include "spin.hpp"

#include <gtest/gtest.h>

namespace {

using speculo::core::Spin;

constexpr uint64_t short_sleep = Spin::short_sleep_ns, long_sleep = short_sleep + 1;

TEST(Spin, ends_where_news_is_far_away) {
    Spin spin;
    EXPECT_EQ(spin.ns(), Spin::usual_ns);
    uint64_t before = spin.ns();
    while (spin.ns() > 0) {
        spin.slept(long_sleep);
        ASSERT_LT(spin.ns(), before);
        before = spin.ns();
    }
    spin.slept(long_sleep);
    EXPECT_EQ(spin.ns(), 0u);
}

TEST(Spin, looks_for_longer_once_after_a_short_sleep) {
    Spin spin;
    while (spin.ns() > 0) { spin.slept(long_sleep); }
    spin.slept(short_sleep);
    EXPECT_EQ(spin.ns(), Spin::long_ns);
    spin.paid();
    EXPECT_EQ(spin.ns(), Spin::usual_ns);
}

TEST(Spin, long_looks_in_vain_become_rare) {
    Spin spin;
    uint64_t looked = 0, first = 0;
    for (int i = 0; i < 10000; ++i) {
        spin.slept(short_sleep);
        looked += spin.ns();
        if (i < 10) { first = looked; }
    }
    EXPECT_GT(first, 3 * Spin::long_ns); // often at first
    EXPECT_LT(looked, 10000 * (Spin::usual_ns + Spin::long_ns / 50));
    EXPECT_GT(looked, 10000 * (Spin::usual_ns + Spin::long_ns / 100)); // but never given up
    spin.paid();
    spin.slept(short_sleep);
    EXPECT_EQ(spin.ns(), Spin::long_ns) << "and often again once one has paid";
}

// Two that answer each other: each looks, and where that is in vain sleeps until the other has been woken and has answered.
TEST(Spin, two_that_answer_each_other_find_back_to_looking) {
    constexpr uint64_t wake_up = 30000, answer = 300;
    Spin one, other;
    for (Spin *spin : {&one, &other}) {
        while (spin->ns() > 0) { spin->slept(long_sleep); }
    }
    auto turn = [](Spin &waiting, uint64_t late) { // how much later it goes on itself
        uint64_t until_answer = late + answer;
        bool looked = waiting.ns() >= until_answer;
        looked ? waiting.paid() : waiting.slept(until_answer + wake_up);
        return looked ? 0 : wake_up;
    };
    uint64_t late = wake_up, other_late = wake_up;
    int turns = 0;
    for (; turns < 1000 && late + other_late > 0; ++turns) {
        late = turn(one, other_late);
        other_late = turn(other, late);
    }
    EXPECT_LT(turns, 10);
}

} // namespace
