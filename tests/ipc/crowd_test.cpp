// SPDX-License-Identifier: LGPL-2.1-or-later
// A thousand readers at one writer: all of them get what is live, and the writer does not do one operation more for it.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include "area_names.hpp"
#include "peer.hpp"
#include "trace.hpp"

namespace {

using namespace speculo::test;

constexpr size_t processes = 100, handles = 10;      // in each
constexpr auto tick = std::chrono::milliseconds(20); // of the coarse clock, at least

using Peers = std::vector<std::unique_ptr<Peer>>;

Peers start_readers(const AreaName &name, size_t count) {
    Peers peers;
    for (size_t i = 0; i < count; ++i) { peers.push_back(std::make_unique<Peer>(name.text())); }
    for (auto &peer : peers) { peer->tell("reader " + std::to_string(handles)); }
    for (auto &peer : peers) { EXPECT_OK(peer->answer()); }
    return peers;
}

// Every handle of every process reads all that there is. Gives what they have come to.
void read_all(Peers &peers, uint64_t newest, uint64_t lasting) {
    for (auto &peer : peers) { peer->tell("read"); }
    for (auto &peer : peers) {
        Answer answer = peer->answer();
        EXPECT_OK(answer);
        EXPECT_EQ(answer["last"], newest) << answer.text();
        EXPECT_EQ(answer["lasting"], lasting) << answer.text();
    }
}

TEST(Crowd, P4_P5_a_thousand_readers_get_every_live_chunk) {
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 65536 max=1048576"));
    Peers peers = start_readers(name, processes);
    uint64_t lasting = 0;
    for (int round = 0; round < 5; ++round) {
        EXPECT_OK(writer.ask("write 100 200"));
        EXPECT_OK(writer.ask("write 20 300 lasting"));
        EXPECT_OK(writer.ask("write 3 100 keyed"));
        if (round != 2) { EXPECT_OK(writer.ask("cross 2 500")); } // once, nothing is in between
        lasting += 20;
        Answer info = writer.ask("info");
        read_all(peers, info["newest"], lasting);
    }
    for (auto &peer : peers) { EXPECT_EQ(peer->ask("key")["version"], 15u); }
}

// Calls of a writer that crosses some segments, with so many processes of readers that follow or stand still.
std::vector<std::string> calls_of_writer(size_t readers, bool they_follow) {
    AreaName name;
    TracedPeer writer(name.text());
    EXPECT_OK(writer.ask("writer 65536"));
    Peers peers = start_readers(name, readers);
    for (int i = 0; i < 6; ++i) {
        std::this_thread::sleep_for(tick); // each compaction looks for the area's name, which is done once a tick
        EXPECT_OK(writer.ask("marked compact 1"));
        EXPECT_OK(writer.ask("marked write 300"));
        if (they_follow) { read_all(peers, 300 * uint64_t(i + 1), 0); }
    }
    peers.clear();
    EXPECT_EQ(writer.finish(), 0);
    return writer.marked_calls();
}

TEST(Crowd, P4_readers_that_follow_cost_the_writer_nothing) {
    std::vector<std::string> alone = calls_of_writer(0, true);
    EXPECT_FALSE(alone.empty());
    EXPECT_EQ(calls_of_writer(processes, true), alone);
}

TEST(Crowd, P4_a_thousand_that_stand_still_cost_as_much_as_one) {
    std::vector<std::string> one = calls_of_writer(1, false);
    EXPECT_FALSE(one.empty());
    EXPECT_EQ(calls_of_writer(processes, false), one);
}

} // namespace
