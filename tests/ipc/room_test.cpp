// SPDX-License-Identifier: LGPL-2.1-or-later
// The two waits of a lossless area: its readers sleep until there is a chunk, its writer until there is room.
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>

#include <grp.h>

#include "area_names.hpp"
#include "asleep.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "waiting.hpp"

namespace {

using namespace speculo::test;

struct Count {
    std::atomic<uint32_t> is_open{0}, may_go_on{0};
    std::atomic<uint64_t> chunks{0}, skipped{0};
};

#if defined(SPECULO_PORTABLE)

TEST(Room, P12_only_the_writer_of_a_lossless_area_waits) {
    AreaName name;
    EXPECT_EQ(open_writer(name.c_str(), SPECULO_AREA_LOSSLESS), nullptr);
    speculo_area *writer = open_writer(name.c_str());
    EXPECT_EQ(speculo_wait(writer, 0), -EINVAL);
    speculo_area_close(writer);
}

#else

constexpr uint64_t all = 20000;

// Fails, too, when a wait of half a minute was in vain.
int write_all(speculo_area *writer, uint64_t count, uint64_t &ret_waits) {
    for (uint64_t done = 0; done < count;) {
        int error = commit_one(writer, 200);
        done += error == 0;
        if (error == 0) { continue; }
        if (error != -EAGAIN) { return error; }
        ++ret_waits;
        if (int found = speculo_wait(writer, 30 * second_ns); found != 1) { return found < 0 ? found : -ETIMEDOUT; }
    }
    return 0;
}

int read_by_waiting(const char *name, Count &count, uint64_t most, useconds_t pause) {
    speculo_area *reader = open_reader(name);
    if (!reader) { return 1; }
    count.is_open = 1;
    speculo_chunk chunk{};
    while (count.chunks < most) {
        int found = speculo_wait(reader, 30 * second_ns);
        if (found != 1) { return 2; }
        while ((found = speculo_read_next(reader, &chunk)) == 1) {
            if (!check_payload(chunk.data, chunk.size, chunk.id) || chunk.id != count.chunks + 1) { return 3; }
            ++count.chunks;
            count.skipped += chunk.skipped;
            if (pause && chunk.id % 64 == 0) { usleep(pause); }
        }
        if (found != 0) { return 4; }
    }
    speculo_area_close(reader);
    return 0;
}

TEST(Room, P5_P12_a_stream_through_both_waits_is_complete) {
    AreaName name;
    speculo_area *writer = open_writer(name.c_str(), SPECULO_AREA_LOSSLESS);
    ASSERT_NE(writer, nullptr);
    SharedPage<Count> fast, slow;
    Child fast_reader([&] { return read_by_waiting(name.c_str(), *fast, all, 0); });
    Child slow_reader([&] { return read_by_waiting(name.c_str(), *slow, all, 500); });
    ASSERT_TRUE(wait_until([&] { return fast->is_open && slow->is_open; }));
    uint64_t waits = 0;
    EXPECT_EQ(write_all(writer, all, waits), 0);
    EXPECT_GT(waits, 5u);
    EXPECT_EQ(fast_reader.wait(), 0);
    EXPECT_EQ(slow_reader.wait(), 0);
    EXPECT_EQ(fast->chunks, all);
    EXPECT_EQ(slow->chunks, all);
    EXPECT_EQ(slow->skipped, 0u);
    speculo_area_close(writer);
}

// An owner's reader, and one that can only wake: the writer looks every 2 ms then.
TEST(Room, P4_P12_the_writer_goes_on_when_the_reader_that_it_waits_for_moves_or_dies) {
    for (bool is_stranger : {false, true}) {
        for (bool kill_it : {false, true}) {
            AreaName name;
            speculo_area *writer = open_writer(name.c_str(), SPECULO_AREA_LOSSLESS, 0644);
            ASSERT_NE(writer, nullptr);
            SharedPage<Count> count;
            Child reader([&] {
                constexpr uid_t uid = 64002;
                bool changes = is_stranger && geteuid() == 0;
                if (changes && (setgroups(0, nullptr) != 0 || setresuid(uid, uid, uid) != 0)) { return 9; }
                speculo_area *area = open_reader(name.c_str());
                if (!area) { return 1; }
                count->is_open = 1;
                while (count->may_go_on == 0) { usleep(100); }
                if (kill_it) { raise(SIGKILL); }
                return read_all(area) > 0 ? 0 : 2;
            });
            ASSERT_TRUE(wait_until([&] { return count->is_open != 0; }));
            int error;
            while ((error = commit_one(writer, 200)) == 0) {}
            ASSERT_EQ(error, -EAGAIN);
            EXPECT_EQ(speculo_wait(writer, 1000000), 0);
            count->may_go_on = 1;
            EXPECT_EQ(speculo_wait(writer, 20 * second_ns), 1);
            EXPECT_EQ(commit_one(writer, 200), 0);
            EXPECT_EQ(reader.wait(), kill_it ? killed_by + SIGKILL : 0);
            speculo_area_close(writer);
        }
    }
}

TEST(Room, P4_P12_a_reader_asleep_at_the_end_of_a_segment_holds_nobody_back) {
    AreaName name;
    speculo_area *writer = open_writer(name.c_str(), SPECULO_AREA_LOSSLESS);
    ASSERT_NE(writer, nullptr);
    SharedPage<Count> count;
    Child reader([&] { return read_by_waiting(name.c_str(), *count, 2, 0); });
    ASSERT_TRUE(wait_until([&] { return count->is_open != 0; }));
    EXPECT_EQ(commit_one(writer), 0);
    ASSERT_TRUE(wait_until([&] { return count->chunks == 1; }));
    for (int i = 0; i < 30; ++i) { // far round: nothing but switches, each of which it follows in its sleep
        int error = speculo_area_compact(writer);
        while (error == -EAGAIN && speculo_wait(writer, 20 * second_ns) == 1) { error = speculo_area_compact(writer); }
        ASSERT_EQ(error, 0) << i;
    }
    EXPECT_EQ(count->chunks, 1u);
    EXPECT_EQ(commit_one(writer), 0);
    EXPECT_EQ(reader.wait(), 0);
    EXPECT_EQ(count->chunks, 2u);
    speculo_area_close(writer);
}

#endif

} // namespace
