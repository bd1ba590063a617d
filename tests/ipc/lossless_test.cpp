// SPDX-License-Identifier: LGPL-2.1-or-later
// A lossless area: whoever is attached gets everything, in order, and the writer waits for the slowest, but not for the dead.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "area_names.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "peer.hpp"

namespace {

using namespace speculo::test;

#if defined(SPECULO_PORTABLE)

TEST(Lossless, P5_is_refused_where_nobody_can_wait_for_a_cursor) {
    AreaName name;
    Peer writer(name.text());
    EXPECT_EQ(writer.ask("writer 65536 lossless").error(), -EOPNOTSUPP);
    EXPECT_TRUE(name.files().empty());
    ASSERT_OK(writer.ask("writer 65536"));
    EXPECT_OK(writer.ask("write 1 100"));
    EXPECT_OK(writer.ask("close"));
    EXPECT_EQ(writer.ask("writer 0 lossless").error(), -EOPNOTSUPP);
    Peer reader(name.text());
    EXPECT_OK(reader.ask("reader 1"));
}

#else

constexpr uint64_t capacity = 64 << 10;

// Writes so many chunks, waiting where it must. Gives how often it had to.
uint64_t write_all(Peer &writer, uint64_t count, const std::string &how) {
    uint64_t waits = 0;
    while (count > 0) {
        Answer answer = writer.ask("write " + std::to_string(count) + how);
        count -= answer.is_ok() ? count : answer["done"];
        if (answer.is_ok()) { break; }
        if (answer.error() != -EAGAIN) {
            ADD_FAILURE() << answer.text();
            break;
        }
        ++waits;
        usleep(200);
    }
    return waits;
}

TEST(Lossless, P5_P6_readers_of_every_speed_get_every_chunk) {
    constexpr uint64_t half = 6000, all = 2 * half;
    const char *pauses[] = {"0", "0", "0", "10", "20", "50", "100", "200"};
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 65536 lossless"));
    std::vector<std::unique_ptr<Peer>> readers;
    for (const char *pause : pauses) {
        readers.push_back(std::make_unique<Peer>(name.text()));
        ASSERT_OK(readers.back()->ask("reader 1"));
        readers.back()->tell("read-until " + std::to_string(all) + " " + pause);
    }
    EXPECT_GT(write_all(writer, half, " 100"), 0u);
    readers.back()->signal(SIGKILL);
    EXPECT_EQ(readers.back()->wait(), killed_by + SIGKILL);
    readers.pop_back();

    Peer late(name.text());
    ASSERT_OK(late.ask("reader 1 at-end"));
    uint64_t late_first = writer.ask("info")["newest"];
    EXPECT_EQ(late_first, half);
    late.tell("read-until " + std::to_string(all) + " 0");
    write_all(writer, half, " 100");

    for (auto &reader : readers) {
        Answer answer = reader->answer(60000);
        EXPECT_OK(answer);
        EXPECT_EQ(answer["chunks"], all) << answer.text();
        EXPECT_EQ(answer["skipped"], 0u) << answer.text();
        EXPECT_EQ(reader->ask("info")["jumps"], 0u);
    }
    Answer answer = late.answer(60000);
    EXPECT_OK(answer);
    EXPECT_EQ(answer["chunks"], all - late_first) << answer.text();
    EXPECT_GT(writer.ask("info")["generation"], 15u);
}

TEST(Lossless, P4_P5_the_writer_waits_for_a_cursor_until_it_moves_or_dies) {
    AreaName name;
    Peer writer(name.text()), slow(name.text());
    ASSERT_OK(writer.ask("writer 65536 lossless"));
    ASSERT_OK(slow.ask("reader 1"));
    Answer refused = writer.ask("write 100000 100");
    ASSERT_EQ(refused.error(), -EAGAIN) << refused.text();
    uint64_t stored = refused["newest"];
    EXPECT_GT(stored, 3 * capacity / 200); // three segments of them
    EXPECT_EQ(writer.ask("write 1 100").error(), -EAGAIN);
    EXPECT_EQ(writer.ask("info")["newest"], stored); // nothing of a refused one is committed

    // One segment further: as much again can be written, and no more.
    EXPECT_OK(slow.ask("read " + std::to_string(stored / 3 + 20)));
    refused = writer.ask("write 100000 100");
    EXPECT_EQ(refused.error(), -EAGAIN);
    EXPECT_NEAR(double(refused["done"]), double(stored / 3), double(stored / 30)) << refused.text();

    Peer witness(name.text());
    ASSERT_OK(witness.ask("reader 1 at-end"));
    slow.signal(SIGKILL);
    slow.wait();
    EXPECT_OK(writer.ask("write 500 100")); // at once
    Answer seen = witness.ask("read");
    EXPECT_EQ(seen["chunks"], 500u) << seen.text();
    EXPECT_EQ(writer.ask("info")["segments"], 3u);
}

TEST(Lossless, P4_a_reader_that_never_reads_keys_only_holds_nobody_back) {
    AreaName name;
    Peer writer(name.text()), reader(name.text());
    ASSERT_OK(writer.ask("writer 65536 lossless"));
    EXPECT_OK(writer.ask("write 1 100 keyed"));
    ASSERT_OK(reader.ask("reader 1 no-cursor"));
    EXPECT_EQ(reader.ask("key")["version"], 1u);
    EXPECT_OK(writer.ask("write 20000 100")); // the look-up's segment is replaced when it is its turn
    EXPECT_EQ(reader.ask("key")["version"], 1u);
    EXPECT_EQ(writer.ask("info")["segments"], 3u);
}

// Superseded in the segment that is current: hidden. In history: shown as what was live then.
TEST(Lossless, P5_only_superseded_chunks_are_passed_over) {
    AreaName name;
    Peer writer(name.text()), reader(name.text());
    ASSERT_OK(writer.ask("writer 65536 lossless"));
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_OK(writer.ask("write 10 100 lasting"));
    EXPECT_OK(writer.ask("write 5 100 keyed"));
    EXPECT_OK(writer.ask("write 1 100"));
    Answer seen = reader.ask("read");
    EXPECT_EQ(seen["chunks"], 12u) << seen.text();
    EXPECT_EQ(seen["skipped"], 4u) << seen.text();
    EXPECT_EQ(seen["version"], 5u) << seen.text();

    EXPECT_OK(writer.ask("write 5 100 keyed"));
    EXPECT_OK(writer.ask("compact 2"));
    EXPECT_OK(writer.ask("write 3 100 keyed")); // these supersede the copy of the one before
    seen = reader.ask("read");
    EXPECT_EQ(seen["last"], 24u) << seen.text();
    EXPECT_EQ(seen["chunks"], 12u + 1 + 1) << seen.text(); // version 10 in history, 13 in the current segment
    EXPECT_EQ(seen["skipped"], 4u + 4 + 2) << seen.text();
}

TEST(Lossless, P5_a_superseded_chunk_is_told_by_its_id) {
    AreaName name;
    Peer writer(name.text()), reader(name.text());
    ASSERT_OK(writer.ask("writer 65536 lossless"));
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_OK(writer.ask("write 1 100"));
    EXPECT_OK(writer.ask("write 1 100 supersedes=1"));
    EXPECT_EQ(writer.ask("write 1 100 supersedes=1").error(), -ENOENT);
    EXPECT_OK(writer.ask("write 1 100 supersedes=2"));
    Answer seen = reader.ask("read");
    EXPECT_EQ(seen["chunks"], 1u) << seen.text();
    EXPECT_EQ(seen["last"], 3u) << seen.text();
}

#endif

} // namespace
