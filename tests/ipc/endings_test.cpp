// SPDX-License-Identifier: LGPL-2.1-or-later
// Sleeping readers learn when there is no more to come: the writer died or closed, the area was removed, a signal handler ran.
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <memory>

#include <sys/time.h>

#include "area_names.hpp"
#include "asleep.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "waiting.hpp"

namespace {

using namespace speculo::test;

#if defined(SPECULO_PORTABLE)
constexpr bool knows_writers = false;
#else
constexpr bool knows_writers = true;
#endif

// What a process has come to.
struct Diary {
    std::atomic<int> chunks{0}, result{1};
    std::atomic<uint32_t> is_open{0}, may_close{0};
};

// A writer that commits so many chunks, and closes when it is told to.
int write_and_stay(const char *name, Diary &diary, int commits) {
    speculo_area *writer = open_writer(name);
    if (!writer) { return 1; }
    for (int i = 0; i < commits; ++i) {
        if (commit_one(writer) != 0) { return 2; }
        ++diary.chunks;
    }
    diary.is_open = 1;
    while (diary.may_close == 0) { usleep(100); }
    speculo_area_close(writer);
    return 0;
}

// Reads everything until a wait gives something else than 1.
int follow(speculo_area *reader, Diary &diary) {
    if (!reader) { return 1; }
    diary.is_open = 1;
    int found;
    while ((found = speculo_wait(reader, -1)) == 1) {
        int count = read_all(reader);
        if (count <= 0) { return 2; }
        diary.chunks += count;
    }
    diary.result = found;
    speculo_area_close(reader);
    return 0;
}

class Endings : public testing::Test {
protected:
    std::unique_ptr<Child> start_writer(Diary &diary, int commits) {
        auto writer = std::make_unique<Child>([&diary, commits, this] { return write_and_stay(name_.c_str(), diary, commits); });
        EXPECT_TRUE(wait_until([&] { return diary.is_open != 0; }));
        return writer;
    }

    // A reader that is asleep.
    std::unique_ptr<Child> start_reader(Diary &diary) {
        auto reader = std::make_unique<Child>([&diary, this] { return follow(open_reader(name_.c_str()), diary); });
        EXPECT_TRUE(wait_until([&] { return diary.is_open != 0; }));
        EXPECT_TRUE(wait_until_asleep(reader->pid()));
        return reader;
    }

    AreaName name_;
};

TEST_F(Endings, P12_what_is_left_is_read_before_the_writers_end_is_told) {
    for (bool kill_it : {true, false}) {
        SharedPage<Diary> diary;
        auto writer = start_writer(*diary, 5);
        speculo_area *reader = open_reader(name_.c_str());
        ASSERT_NE(reader, nullptr);
        EXPECT_EQ(speculo_area_writer_alive(reader), knows_writers ? 1 : -EOPNOTSUPP);
        diary->may_close = !kill_it;
        if (kill_it) { writer->signal(SIGKILL); }
        EXPECT_EQ(writer->wait(), kill_it ? killed_by + SIGKILL : 0);
        EXPECT_EQ(speculo_area_writer_alive(reader), knows_writers ? 0 : -EOPNOTSUPP); // right at once
        EXPECT_EQ(speculo_wait(reader, -1), 1);
        EXPECT_GE(read_all(reader), 5);
        EXPECT_EQ(speculo_wait(reader, 0), knows_writers ? -EPIPE : 0);
        EXPECT_EQ(speculo_wait(reader, 1000000), 0); // once for each writer
        SharedPage<Diary> later;
        auto next = start_writer(*later, 1);
        EXPECT_EQ(speculo_wait(reader, second_ns), 1);
        EXPECT_EQ(read_all(reader), 1);
        EXPECT_EQ(speculo_area_writer_alive(reader), knows_writers ? 1 : -EOPNOTSUPP);
        speculo_area_close(reader);
    }
}

TEST_F(Endings, P12_sleepers_are_told_of_the_writers_end) {
    for (bool kill_it : {true, false}) {
        SharedPage<Diary> written, read;
        auto writer = start_writer(*written, 3);
        auto reader = start_reader(*read);
        written->may_close = !kill_it;
        if (kill_it) { writer->signal(SIGKILL); }
        EXPECT_EQ(writer->wait(), kill_it ? killed_by + SIGKILL : 0);
        if (knows_writers) {
            EXPECT_EQ(reader->wait(), 0);
            EXPECT_EQ(read->result, -EPIPE);
        } else {
            SharedPage<Diary> later;
            int before = read->chunks;
            auto next = start_writer(*later, 1); // which it would not have waited for
            EXPECT_TRUE(wait_until([&] { return read->chunks == before + 1; }));
            EXPECT_EQ(read->result, 1);
        }
    }
}

TEST_F(Endings, P12_a_stopped_writer_is_alive) {
    SharedPage<Diary> diary;
    auto writer = start_writer(*diary, 1);
    speculo_area *reader = open_reader(name_.c_str());
    EXPECT_EQ(read_all(reader), 1);
    writer->signal(SIGSTOP);
    EXPECT_TRUE(wait_until([&] {
        std::ifstream stat(task_of(writer->pid()) + "/stat");
        std::string text((std::istreambuf_iterator<char>(stat)), {});
        return text.find(") T ") != std::string::npos;
    }));
    EXPECT_EQ(speculo_area_writer_alive(reader), knows_writers ? 1 : -EOPNOTSUPP);
    EXPECT_EQ(speculo_wait(reader, 300000000), 0); // longer than a slice
    writer->signal(SIGKILL);
    EXPECT_EQ(writer->wait(), killed_by + SIGKILL);
    EXPECT_EQ(speculo_wait(reader, 300000000), knows_writers ? -EPIPE : 0);
    speculo_area_close(reader);
}

TEST_F(Endings, P12_removal_ends_the_sleep) {
    SharedPage<Diary> written, read[3];
    auto writer = start_writer(*written, 3);
    written->may_close = 1;
    EXPECT_EQ(writer->wait(), 0);
    std::unique_ptr<Child> readers[3];
    for (int i = 0; i < 3; ++i) {
        readers[i] = std::make_unique<Child>([&, i] {
            speculo_area *reader = open_reader(name_.c_str());
            if (speculo_wait(reader, -1) != 1 || read_all(reader) != 3) { return 3; }
            if (knows_writers && speculo_wait(reader, -1) != -EPIPE) { return 4; }
            return follow(reader, *read[i]);
        });
        ASSERT_TRUE(wait_until([&] { return read[i]->is_open != 0; }));
        ASSERT_TRUE(wait_until_asleep(readers[i]->pid()));
    }
    EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(readers[i]->wait(), 0);
        EXPECT_EQ(read[i]->result, -ESTALE);
    }
}

// ---- signals ------------------------------------------------------------------------------------------------------------------

TEST_F(Endings, P12_a_signal_handler_ends_the_sleep_also_one_that_restarts_calls) {
    SharedPage<Diary> written;
    auto writer = start_writer(*written, 0);
    for (int flags : {0, SA_RESTART}) {
        SharedPage<Diary> diary;
        Child reader([&] {
            struct sigaction action = {};
            action.sa_handler = [](int) {};
            action.sa_flags = flags;
            sigaction(SIGALRM, &action, nullptr);
            return follow(open_reader(name_.c_str()), *diary);
        });
        ASSERT_TRUE(wait_until([&] { return diary->is_open != 0; }));
        // A handler that runs between two slices ends none, so it may take more than one.
        EXPECT_TRUE(wait_until([&] {
            if (wait_until_asleep(reader.pid())) { reader.signal(SIGALRM); }
            return wait_until([&] { return diary->result != 1; }, 100000000);
        }));
        EXPECT_EQ(reader.wait(), 0);
        EXPECT_EQ(diary->result, -EINTR) << flags;
    }
}

TEST_F(Endings, P12_stopping_and_going_on_neither_ends_a_sleep_nor_loses_anything) {
    SharedPage<Diary> diary;
    speculo_area *writer = open_writer(name_.c_str());
    auto reader = start_reader(*diary);
    for (int i = 1; i <= 20; ++i) {
        ASSERT_TRUE(wait_until_asleep(reader->pid()));
        reader->signal(SIGSTOP);
        if (i % 2) { EXPECT_EQ(commit_one(writer), 0); }
        reader->signal(SIGCONT);
        if (i % 2 == 0) { EXPECT_EQ(commit_one(writer), 0); }
        ASSERT_TRUE(wait_until([&] { return diary->chunks == i; })) << diary->result;
    }
    EXPECT_EQ(diary->result, 1);
    speculo_area_close(writer);
}

} // namespace
