// SPDX-License-Identifier: LGPL-2.1-or-later
// A steady stream goes round in the same memory: after the first round nothing more is taken from the system, nor faulted in.
#include <gtest/gtest.h>

#include "area_names.hpp"
#include "mortal.hpp"
#include "peer.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t compactions = 1000, first_round = 3;

uint64_t faults_of(Peer &peer) { return peer.ask("faults")["faults"]; }

// Sends the stream through so many segments. Gives the faults of both.
struct Faults {
    uint64_t writer, reader;
};
Faults go_round(Peer &writer, Peer &reader, uint64_t count, uint64_t memory) {
    Faults before{faults_of(writer), faults_of(reader)};
    for (uint64_t i = 0; i < count; ++i) {
        Answer written = writer.ask("cross 1 500");
        EXPECT_OK(written);
        EXPECT_EQ(reader.ask("read")["last"], written["newest"]);
        if (i % 100 == 50) { EXPECT_EQ(writer.ask("info")["memory"], memory); }
    }
    return {faults_of(writer) - before.writer, faults_of(reader) - before.reader};
}

TEST(Steady, P4_a_thousand_compactions_take_no_more_memory_and_fault_nothing_in) {
    AreaName name;
    Peer writer(name.text()), reader(name.text());
    ASSERT_OK(writer.ask("writer 65536"));
    ASSERT_OK(reader.ask("reader 1"));
    for (uint64_t i = 0; i <= first_round; ++i) {
        EXPECT_OK(writer.ask("cross 1 500"));
        EXPECT_OK(reader.ask("read"));
    }
    uint64_t memory = writer.ask("info")["memory"];
    Faults faults = go_round(writer, reader, compactions, memory);
#if defined(SPECULO_PORTABLE)
    EXPECT_GT(faults.writer, compactions); // each segment is a fresh one
    EXPECT_GT(faults.reader, compactions);
#else
    // A few are the process's own; a single fresh page in each segment would be a hundred times as many. (A sanitizer does not give
    // memory that was freed to the next who asks, so there each small object faults.) A busy system takes pages back now and then,
    // but not each time; what the library faults in, it does each time.
    uint64_t most = is_slow_build ? 2 * compactions : compactions / 100;
    for (int again = 0; again < 2 && (faults.writer >= most || faults.reader >= most); ++again) {
        faults = go_round(writer, reader, compactions, memory);
    }
    EXPECT_LT(faults.writer, most);
    EXPECT_LT(faults.reader, most);
#endif
    EXPECT_EQ(writer.ask("info")["memory"], memory);
    EXPECT_EQ(writer.ask("info")["segments"], first_round);
    EXPECT_EQ(reader.ask("info")["jumps"], 0u);
}

TEST(Steady, P4_an_area_that_grew_gives_memory_back) {
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 65536 max=1048576"));
    EXPECT_OK(writer.ask("cross 5 500"));
    uint64_t small = writer.ask("info")["memory"];
    uint64_t big = writer.ask("write 1 400000 lasting")["newest"];
    EXPECT_OK(writer.ask("cross 5 500"));
    EXPECT_GT(writer.ask("info")["memory"], 5 * small);
    EXPECT_OK(writer.ask("write 1 100 supersedes=" + std::to_string(big)));
    EXPECT_OK(writer.ask("compact 40"));
    EXPECT_LE(writer.ask("info")["memory"], small);
}

} // namespace
