// SPDX-License-Identifier: LGPL-2.1-or-later
// Processes of different time namespaces agree on what has expired.
#include <gtest/gtest.h>

#include "area_names.hpp"
#include "peer.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t second = 1000000000;

constexpr uint64_t ttl = second / 2, two_ticks = second / 50;

// An area with a chunk that lives long and one that does not; and readers, inside and outside, who watch it go.
void check_expiry(Peer &writer, Peer *const (&readers)[2]) {
    ASSERT_OK(writer.ask("writer 65536"));
    EXPECT_OK(writer.ask("write 1 100 lasting ttl=3600000"));
    uint64_t earliest = speculo_now() + ttl;
    EXPECT_OK(writer.ask("write 1 100 ttl=500"));
    uint64_t latest = speculo_now() + ttl + two_ticks;
    for (Peer *reader : readers) {
        ASSERT_OK(reader->ask("reader 1"));
        uint64_t asked = speculo_now(), count;
        while ((count = reader->ask("count")["count"]) == 2 && asked <= latest) {
            asked = speculo_now();
            usleep(1000);
        }
        EXPECT_EQ(count, 1u);
        EXPECT_GE(speculo_now(), earliest);
        EXPECT_EQ(reader->ask("read")["last"], 1u); // the cursor does not show it either
    }
    EXPECT_OK(writer.ask("compact 1")); // and the writer judges as they do
    for (Peer *reader : readers) { EXPECT_EQ(reader->ask("count")["count"], 1u); }
    EXPECT_EQ(writer.ask("info")["live"], 1u);
    EXPECT_OK(writer.ask("close")); // what runs in another namespace outlives its guard by a moment
}

#if defined(SPECULO_PORTABLE)

// There are no time namespaces elsewhere: every clock is the system's.
TEST(OtherTime, processes_agree_on_expiry) {
    AreaName name;
    Peer writer(name.text()), one(name.text()), other(name.text());
    check_expiry(writer, {&one, &other});
}

#else

constexpr const char *ahead = "other-time 100000"; // seconds

TEST(OtherTime, all_clocks_are_the_hosts) {
    AreaName name;
    Peer inside(name.text());
    ASSERT_OK(inside.ask(ahead));
    uint64_t before = speculo_now(), there = inside.ask("now")["now"];
    EXPECT_GE(there, before);
    EXPECT_LT(there, speculo_now() + second);
}

TEST(OtherTime, a_writer_outside_and_readers_inside_agree_on_expiry) {
    AreaName name;
    Peer writer(name.text()), outside(name.text()), inside(name.text());
    ASSERT_OK(inside.ask(ahead));
    check_expiry(writer, {&inside, &outside});
}

TEST(OtherTime, so_do_a_writer_inside_and_readers_outside) {
    AreaName name;
    Peer writer(name.text()), outside(name.text()), inside(name.text());
    ASSERT_OK(writer.ask(ahead));
    ASSERT_OK(inside.ask(ahead));
    check_expiry(writer, {&outside, &inside});
}

#endif

} // namespace
