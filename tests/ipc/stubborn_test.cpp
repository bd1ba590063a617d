// SPDX-License-Identifier: LGPL-2.1-or-later
// Readers that stand still or die in the middle: the writer goes on as if they were not there, and what they hold stays.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "area_names.hpp"
#include "peer.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t compactions = 1000;

// What a reader is in when its turn comes is parked for so long.
void pass_second() { std::this_thread::sleep_for(std::chrono::milliseconds(1100)); }

// One segment, and two readers that look at it.
class Stubborn : public testing::Test {
protected:
    void SetUp() override {
        ASSERT_OK(writer_.ask("writer 32768"));
        EXPECT_OK(writer_.ask("write 3 100 lasting"));
        EXPECT_OK(writer_.ask("write 1 300 keyed"));
        for (Peer *reader : {&stopped_, &killed_}) {
            ASSERT_OK(reader->ask("reader 1"));
            ASSERT_OK(reader->ask("look"));
        }
    }

    AreaName name_;
    Peer writer_{name_.text()}, stopped_{name_.text()}, killed_{name_.text()};
};

TEST_F(Stubborn, P4_P5_P7_a_stopped_reader_and_a_killed_one_disturb_nobody) {
    stopped_.signal(SIGSTOP);
    uint64_t memory = 0, lasting = 3, version = 1;
    for (uint64_t i = 0; i < compactions; i += 10) {
        if (i == compactions / 2) { killed_.signal(SIGKILL); }
        EXPECT_OK(writer_.ask("cross 9 500"));
        EXPECT_OK(writer_.ask("write 1 100 keyed"));
        ++version;
        EXPECT_OK(writer_.ask("compact 1"));
        if (i % 100 == 0) {
            EXPECT_OK(writer_.ask("write 1 60 lasting"));
            ++lasting;
        }
        if (i == 10) { pass_second(); }
        if (i <= 10) { continue; }
        Answer info = writer_.ask("info");
        if (memory == 0) { memory = info["memory"]; }
        EXPECT_EQ(info["segments"], 3u) << info.text();
        EXPECT_LE(info["memory"], memory) << info.text();
        EXPECT_EQ(name_.files().size(), 3u + 3); // with the control page, the lock and the bell
    }
    EXPECT_GE(writer_.ask("info")["generation"], compactions);
    EXPECT_EQ(killed_.wait(), killed_by + SIGKILL);

    stopped_.signal(SIGCONT);
    EXPECT_OK(stopped_.ask("look-again"));
    Answer seen = stopped_.ask("read"); // "broken lost" if a lasting one were missing
    EXPECT_OK(seen);
    EXPECT_EQ(seen["lasting"], lasting) << seen.text();
    EXPECT_EQ(seen["version"], version) << seen.text();
    EXPECT_EQ(seen["last"], writer_.ask("info")["newest"]);
    Answer info = stopped_.ask("info");
    EXPECT_EQ(info["jumps"], 1u) << info.text();
    EXPECT_EQ(info["skipped"], seen["skipped"]) << info.text();
    EXPECT_OK(stopped_.ask("look-again") /* the snapshot and the key are another matter than the cursor */);
}

// A thousand handles that hold a segment each would be what hurts; those that only lag hold one in all.
TEST_F(Stubborn, P4_what_the_dead_held_is_given_back) {
    EXPECT_OK(writer_.ask("cross 10 500"));
    stopped_.signal(SIGKILL);
    killed_.signal(SIGKILL);
    stopped_.wait();
    killed_.wait();
    pass_second();
    EXPECT_OK(writer_.ask("cross 3 500"));
    std::vector<std::string> before = name_.files();
    EXPECT_EQ(before.size(), 3u + 3);
    EXPECT_OK(writer_.ask("cross 30 500"));
    std::vector<std::string> after = name_.files();
    std::sort(before.begin(), before.end());
    std::sort(after.begin(), after.end());
#if defined(SPECULO_PORTABLE)
    EXPECT_NE(after, before); // no segment is ever used again
    EXPECT_EQ(after.size(), before.size());
#else
    EXPECT_EQ(after, before); // the same objects, used in turn
#endif
}

} // namespace
