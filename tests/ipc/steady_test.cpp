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

TEST(Steady, P4_a_thousand_compactions_take_no_more_memory_and_fault_nothing_in) {
    AreaName name;
    Peer writer(name.text()), reader(name.text());
    ASSERT_OK(writer.ask("writer 65536"));
    ASSERT_OK(reader.ask("reader 1"));
    uint64_t memory = 0, writer_faults = 0, reader_faults = 0;
    for (uint64_t i = 0; i < compactions; ++i) {
        if (i == first_round + 1) {
            memory = writer.ask("info")["memory"];
            writer_faults = faults_of(writer);
            reader_faults = faults_of(reader);
        }
        Answer written = writer.ask("cross 1 500");
        EXPECT_OK(written);
        EXPECT_EQ(reader.ask("read")["last"], written["newest"]);
        if (i % 100 == 50) { EXPECT_EQ(writer.ask("info")["memory"], memory); }
    }
    EXPECT_EQ(writer.ask("info")["memory"], memory);
    EXPECT_EQ(writer.ask("info")["segments"], first_round);
    EXPECT_EQ(reader.ask("info")["jumps"], 0u);
    uint64_t rest = compactions - first_round - 1;
    writer_faults = faults_of(writer) - writer_faults;
    reader_faults = faults_of(reader) - reader_faults;
#if defined(SPECULO_PORTABLE)
    EXPECT_GT(writer_faults, rest); // each segment is a fresh one
    EXPECT_GT(reader_faults, rest);
#else
    // A few are the process's own, or of pages that a busy system took back meanwhile; a single fresh page in each segment would be
    // ten times as many. (A sanitizer does not give memory that was freed to the next who asks, so there each small object faults.)
    uint64_t most = is_slow_build ? 2 * rest : rest / 10;
    EXPECT_LT(writer_faults, most);
    EXPECT_LT(reader_faults, most);
#endif
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
