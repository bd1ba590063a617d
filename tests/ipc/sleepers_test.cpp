// SPDX-License-Identifier: LGPL-2.1-or-later
// Sleepers in crowds, at rest, in namespaces of their own, and among those who mean them harm: a commit costs the same however many
// sleep, nobody polls, and whoever steals a wake-up makes it late by a slice at most.
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>

#include "area_names.hpp"
#include "asleep.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "peer.hpp"
#include "trace.hpp"
#include "waiting.hpp"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/inotify.h>
#endif

#include "layout.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uid_t stranger = 64007;

#if defined(SPECULO_PORTABLE)
constexpr bool is_portable = true;
#else
constexpr bool is_portable = false;
#endif

struct Tally {
    std::atomic<uint32_t> open{0}, woken{0}, failed{0};
};

// Sleeps until there is a chunk, and reads it.
void sleep_once(const char *name, Tally &tally) {
    speculo_area *reader = open_reader(name);
    if (!reader || read_all(reader) < 0) {
        ++tally.failed;
        return;
    }
    ++tally.open;
    int found = speculo_wait(reader, -1);
    ++(found == 1 && read_all(reader) > 0 ? tally.woken : tally.failed);
    speculo_area_close(reader);
}

int sleep_in_threads(const char *name, Tally &tally, size_t count) {
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) {
        threads.emplace_back([&] { sleep_once(name, tally); });
    }
    for (std::thread &thread : threads) { thread.join(); }
    return tally.failed == 0 ? 0 : 1;
}

// ---- crowds -------------------------------------------------------------------------------------------------------------------

constexpr size_t processes = 10;

// The calls of a writer that commits once to so many sleepers, and then some more to none.
std::vector<std::string> calls_of_commit(size_t sleepers) {
    AreaName name;
    SharedPage<Tally> tally;
    TracedPeer writer(name.text());
    EXPECT_OK(writer.ask("writer 65536"));
    EXPECT_OK(writer.ask("write 1 64 keyed"));
    std::vector<std::unique_ptr<Child>> readers;
    for (size_t i = 0; i < processes; ++i) {
        readers.push_back(std::make_unique<Child>([&] { return sleep_in_threads(name.c_str(), *tally, sleepers / processes); }));
    }
    EXPECT_TRUE(wait_until([&] { return tally->open == sleepers; }, 60 * uint64_t(second_ns)));
    EXPECT_TRUE(wait_until(
        [&] {
            size_t asleep = 0;
            for (auto &reader : readers) { asleep += count_asleep(reader->pid()); }
            // Without a futex each of them looks a hundred times a second, and a thousand are never asleep at once.
            return asleep >= (is_portable ? 1 : sleepers); // and their first threads, which wait for the others
        },
        60 * uint64_t(second_ns)));
    EXPECT_OK(writer.ask("marked write 1"));
    for (auto &reader : readers) { EXPECT_EQ(reader->wait(60000), 0); }
    EXPECT_EQ(tally->woken, sleepers);
    EXPECT_OK(writer.ask("write 1 64")); // some may have been about to sleep once more
    EXPECT_OK(writer.ask("marked write 100"));
    EXPECT_EQ(writer.finish(), 0);
    return writer.marked_calls();
}

TEST(Sleepers, P4_P12_a_thousand_cost_the_writer_one_call_and_none_once_they_are_awake) {
    std::vector<std::string> expected = {"mark", "futex", "mark", "mark", "mark"};
    if (is_portable) { expected = {"mark", "mark", "mark", "mark"}; }
    EXPECT_EQ(calls_of_commit(processes), expected);
    EXPECT_EQ(calls_of_commit((is_portable ? 10 : 100) * processes), expected);
}

// ---- at rest ------------------------------------------------------------------------------------------------------------------

enum class Way { cursor, key, descriptor };

int rest(const char *name, Way way) {
    speculo_area *reader = nullptr;
    uint32_t flags = way == Way::key ? SPECULO_OPEN_NO_CURSOR : SPECULO_OPEN_READ;
    if (speculo_area_open(name, flags, nullptr, &reader) < 0) { return 1; }
    int found = way == Way::descriptor ? wait_by_descriptor(reader) : speculo_wait(reader, -1);
    speculo_area_close(reader);
    return found == 1 ? 0 : 2;
}

// How often it has gone to sleep.
uint64_t sleeps_of(pid_t pid) {
    std::ifstream status(task_of(pid) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.compare(0, 24, "voluntary_ctxt_switches:") == 0) { return std::strtoull(line.c_str() + 24, nullptr, 10); }
    }
    return UINT64_MAX;
}

TEST(Sleepers, P12_an_idle_one_looks_a_few_times_a_second) {
    AreaName name;
    speculo_area *writer = open_writer(name.c_str());
    std::unique_ptr<Child> readers[3];
    uint64_t before[3];
    for (int i = 0; i < 3; ++i) {
        readers[i] = std::make_unique<Child>([&, i] { return rest(name.c_str(), Way(i)); });
        ASSERT_TRUE(wait_until_asleep(readers[i]->pid()));
    }
    usleep(100000); // the first slices are shorter
    for (int i = 0; i < 3; ++i) { before[i] = sleeps_of(readers[i]->pid()); }
    usleep(2000000);
    // Four slices a second; where there is no futex, a look each 10 ms. (More time than asked for may have passed.)
    uint64_t most = is_portable ? 1000 : 20;
    for (int i = 0; i < 3; ++i) { EXPECT_LE(sleeps_of(readers[i]->pid()) - before[i], most) << i; }
    EXPECT_EQ(commit_one(writer), 0);
    for (auto &reader : readers) { EXPECT_EQ(reader->wait(), 0); }
    speculo_area_close(writer);
}

// ---- namespaces ---------------------------------------------------------------------------------------------------------------

#if defined(__linux__)

// A writer whose process ids mean nothing here; it ends with its guard.
std::vector<std::string> in_a_pid_namespace() {
    std::vector<std::string> command = {"/usr/bin/env", "unshare", "--pid", "--fork", "--kill-child"};
    if (geteuid() != 0) { command.insert(command.end(), {"--user", "--map-current-user"}); }
    return command;
}

TEST(Sleepers, P12_writers_of_other_pid_namespaces_are_known_to_live_and_to_die) {
    AreaName name;
    auto writer = std::make_unique<Peer>(name.text(), in_a_pid_namespace());
    ASSERT_OK(writer->ask("writer 65536"));
    EXPECT_OK(writer->ask("write 1 64"));
    speculo_area *reader = open_reader(name.c_str());
    Peer inside(name.text(), in_a_pid_namespace());
    ASSERT_OK(inside.ask("reader 1"));
    EXPECT_EQ(speculo_area_writer_alive(reader), is_portable ? -EOPNOTSUPP : 1);
    EXPECT_EQ(inside.ask("info")["alive"], 1u);
    EXPECT_EQ(read_all(reader), 1);

    writer->signal(SIGKILL);
    EXPECT_EQ(writer->wait(), killed_by + SIGKILL);
    if (is_portable) { // nobody can know
        EXPECT_EQ(speculo_wait(reader, 300000000), 0);
        EXPECT_EQ(inside.ask("info")["alive"], 1u);
    } else {
        EXPECT_EQ(speculo_wait(reader, 20 * second_ns), -EPIPE);
        EXPECT_EQ(speculo_area_writer_alive(reader), 0);
        EXPECT_EQ(inside.ask("info")["alive"], 0u);
    }
    Peer next(name.text());
    EXPECT_TRUE(wait_until([&] { return next.ask("writer 65536").is_ok(); })); // the guarded one dies a moment after its guard
    EXPECT_EQ(inside.ask("info")["alive"], 1u);
    EXPECT_OK(next.ask("write 1 64"));
    EXPECT_EQ(speculo_wait(reader, 20 * second_ns), 1);
    speculo_area_close(reader);
}

// ---- used-up instances --------------------------------------------------------------------------------------------------------

// As a user who has none left.
int wait_without_inotify(const char *name, Tally &tally) {
    bool is_root = geteuid() == 0;
    if (is_root && (setgroups(0, nullptr) < 0 || setresgid(stranger, stranger, stranger) < 0)) { return 1; }
    if (is_root && setresuid(stranger, stranger, stranger) < 0) { return 2; }
    speculo_area *reader = open_reader(name);
    if (!reader) { return 3; }
    while (inotify_init1(IN_CLOEXEC) >= 0) {}
    if (errno != EMFILE) { return 4; }
    if (!is_portable && speculo_area_get_fd(reader) != -EMFILE) { return 5; }
    ++tally.open;
    for (int i = 0; i < 3; ++i) {
        if (speculo_wait(reader, 20 * second_ns) != 1 || read_all(reader) != 1) { return 6; }
        ++tally.woken;
    }
    speculo_area_close(reader);
    return 0;
}

TEST(Sleepers, P12_used_up_inotify_instances_leave_waiting_as_it_is) {
    AreaName name;
    SharedPage<Tally> tally;
    speculo_area *writer = open_writer(name.c_str(), 0, 0644);
    Child reader([&] { return wait_without_inotify(name.c_str(), *tally); });
    ASSERT_TRUE(wait_until([&] { return tally->open == 1; }));
    for (uint32_t i = 1; i <= 3; ++i) {
        EXPECT_EQ(commit_one(writer), 0);
        EXPECT_TRUE(wait_until([&] { return tally->woken == i; }));
    }
    EXPECT_EQ(reader.wait(), 0);
    speculo_area_close(writer);
}

#endif

// ---- thieves ------------------------------------------------------------------------------------------------------------------

#if defined(__linux__) && !defined(SPECULO_PORTABLE)

long futex(const uint32_t *word, int operation, uint32_t value, uint64_t more = 0, const uint32_t *other = nullptr) {
    return syscall(SYS_futex, word, operation, value, more, other, *word);
}

// What a process that may read the area can see of it.
class Spy {
public:
    explicit Spy(const std::string &path) {
        int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        map_ = mmap(nullptr, core::page_size, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    ~Spy() { munmap(map_, core::page_size); }
    Spy(const Spy &) = delete;
    Spy &operator=(const Spy &) = delete;

    const uint32_t *word(size_t offset) const {
        return reinterpret_cast<const uint32_t *>(static_cast<const char *>(map_) + offset);
    }

private:
    void *map_;
};

// One reader, who reads whatever comes.
class Victim {
public:
    explicit Victim(const AreaName &name) : reader_([&name, this] { return suffer(name.c_str()); }) {
        EXPECT_TRUE(wait_until([&] { return tally_->open == 1; }));
    }

    bool falls_asleep() { return wait_until_asleep(reader_.pid()); }
    bool has_read(uint32_t count) {
        return wait_until([&] { return tally_->woken >= count; });
    }

private:
    int suffer(const char *name) {
        speculo_area *reader = open_reader(name);
        if (!reader) { return 1; }
        ++tally_->open;
        for (;;) {
            int found = speculo_wait(reader, -1);
            if (found == 1) { tally_->woken += uint32_t(read_all(reader)); }
            if (found != 1 && found != -EPIPE) { return 2; }
        }
    }

    SharedPage<Tally> tally_;
    Child reader_;
};

TEST(Sleepers, P12_whoever_is_moved_to_another_word_is_late_and_no_more) {
    AreaName name;
    speculo_area *writer = open_writer(name.c_str());
    Spy spy(name.path("@bell"));
    const uint32_t *word = spy.word(offsetof(core::BellPage, word));
    auto *elsewhere =
        static_cast<uint32_t *>(mmap(nullptr, core::page_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    Victim victim(name);
    uint32_t moved = 0;
    for (uint32_t i = 1; i <= 10; ++i) {
        ASSERT_TRUE(victim.falls_asleep());
        moved += uint32_t(futex(word, FUTEX_CMP_REQUEUE, 0, INT32_MAX, elsewhere));
        EXPECT_EQ(commit_one(writer), 0);
        ASSERT_TRUE(victim.has_read(i));
    }
    EXPECT_GT(moved, 5u); // now and then it is between two slices
    munmap(elsewhere, core::page_size);
    speculo_area_close(writer);
}

TEST(Sleepers, P12_those_who_swallow_wake_ups_make_others_late_and_no_more) {
    AreaName name;
    SharedPage<Tally> tally;
    speculo_area *writer = open_writer(name.c_str());
    Spy spy(name.path("@bell"));
    const uint32_t *word = spy.word(offsetof(core::BellPage, word));
    constexpr size_t thieves = 32;
    Child den([&] {
        std::vector<std::thread> threads;
        for (size_t i = 0; i < thieves; ++i) {
            threads.emplace_back([&] {
                for (;;) {
                    tally->failed += futex(word, FUTEX_WAIT, *word) == 0;
                    ++tally->open;
                }
            });
        }
        for (std::thread &thread : threads) { thread.join(); }
        return 0;
    });
    ASSERT_TRUE(wait_until([&] { return count_asleep(den.pid()) >= thieves; }));
    Victim victim(name);
    for (uint32_t i = 1; i <= 20; ++i) {
        ASSERT_TRUE(victim.falls_asleep());
        EXPECT_EQ(commit_one(writer), 0);
        ASSERT_TRUE(victim.has_read(i));
    }
    EXPECT_GT(tally->failed, 20u) << "nothing was stolen";
    speculo_area_close(writer);
}

// Those who come later find no bell, and look more often.
TEST(Sleepers, P12_a_bell_that_is_deleted_while_they_sleep_loses_nothing) {
    AreaName name;
    speculo_area *writer = open_writer(name.c_str());
    Victim before(name);
    ASSERT_TRUE(before.falls_asleep());
    ASSERT_EQ(unlink(name.path("@bell").c_str()), 0);
    Victim after(name);
    for (uint32_t i = 1; i <= 10; ++i) {
        ASSERT_TRUE(before.falls_asleep());
        ASSERT_TRUE(after.falls_asleep());
        EXPECT_EQ(commit_one(writer), 0);
        ASSERT_TRUE(before.has_read(i));
        ASSERT_TRUE(after.has_read(i));
    }
    speculo_area_close(writer);
    writer = open_writer(name.c_str()); // makes another one
    EXPECT_EQ(access(name.path("@bell").c_str(), F_OK), 0);
    for (uint32_t i = 11; i <= 20; ++i) {
        EXPECT_EQ(commit_one(writer), 0);
        ASSERT_TRUE(before.has_read(i));
        ASSERT_TRUE(after.has_read(i));
    }
    speculo_area_close(writer);
}

#endif

} // namespace
