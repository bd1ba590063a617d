// SPDX-License-Identifier: LGPL-2.1-or-later
// No wake-up is lost: commits come at any moment while readers are about to sleep, and the writer waits until all of them have
// seen the newest one. Nothing else wakes a reader then, so a lost wake-up shows as a slice that ran out.
// SPECULO_TEST_WAKEUPS=N makes it about so many commits.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

#include "area_names.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "mortal.hpp"
#include "payload.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t late_ns = 200000000; // a slice is 250 ms
constexpr size_t most_readers = 8;
constexpr uint32_t last_tag = 7;
constexpr uid_t stranger = 64002;

enum class Way { cursor, key, descriptor };

// The portable descriptor is an alarm once a slice, and nothing else.
uint64_t late_for(Way way) {
#if defined(SPECULO_PORTABLE)
    if (way == Way::descriptor) { return 250000000 + late_ns; }
#endif
    static_cast<void>(way);
    return late_ns;
}

uint64_t commits_to_make() {
    const char *text = std::getenv("SPECULO_TEST_WAKEUPS");
    uint64_t count = text ? std::strtoull(text, nullptr, 10) : 0;
    return count ? count : is_slow_build ? 50000 : 200000;
}

// ---- what the processes share -------------------------------------------------------------------------------------------------

struct Seat {
    std::atomic<uint64_t> seen{0}, sleeps{0}, lost{0}, latest_ns{0};
    std::atomic<uint32_t> is_ready{0};
    char complaint[128]{};

    int complain(const char *what, int error) {
        std::snprintf(complaint, sizeof complaint, "%s: %s", what, speculo_strerror(error));
        return 1;
    }
};

struct Table {
    std::atomic<uint64_t> committed{0}, committed_at{0}; // id of the newest commit, and when it was done
    std::atomic<uint64_t> stalls{0};                     // how often the writer, who never sleeps, stood still
    Seat seats[most_readers];
};

// ---- readers ------------------------------------------------------------------------------------------------------------------

// For how long this process could have run, but others did: no wake-up is lost then.
class RunDelay {
public:
    RunDelay() : fd_(open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC)) {}
    ~RunDelay() { close(fd_); }
    RunDelay(const RunDelay &) = delete;
    RunDelay &operator=(const RunDelay &) = delete;

    uint64_t ns() const {
        char text[64]{};
        if (pread(fd_, text, sizeof text - 1, 0) <= 0) { return 0; }
        char *behind_first;
        std::strtoull(text, &behind_first, 10);
        return std::strtoull(behind_first, nullptr, 10);
    }

private:
    int fd_;
};

class Sleeper {
public:
    Sleeper(Way way, Table &table, Seat &seat) : way_(way), table_(table), seat_(seat) {}
    ~Sleeper() { speculo_area_close(area_); }
    Sleeper(const Sleeper &) = delete;
    Sleeper &operator=(const Sleeper &) = delete;

    int follow(const char *name) {
        uint32_t flags = way_ == Way::key ? SPECULO_OPEN_NO_CURSOR : SPECULO_OPEN_READ;
        if (int error = speculo_area_open(name, with_trust(flags), nullptr, &area_); error != 0) {
            return seat_.complain("open", error);
        }
        if (way_ == Way::descriptor) { fd_ = speculo_area_get_fd(area_); }
        if (fd_ < 0) { return seat_.complain("get_fd", fd_); }
        seat_.is_ready = 1;
        while (!is_over_) {
            uint64_t delay = delay_.ns();
            stalls_ = table_.stalls;
            int found = way_ == Way::descriptor ? wait_for_descriptor() : speculo_wait(area_, -1);
            if (found != 1) { return seat_.complain("wait", found); }
            if (int error = read_all(); error != 0) { return seat_.complain("read", error); }
            judge(delay);
            seat_.seen = newest_;
        }
        rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        seat_.sleeps = uint64_t(usage.ru_nvcsw);
        return 0;
    }

private:
    int wait_for_descriptor() {
        for (;;) {
            if (int found = speculo_area_dispatch(area_); found != 0) { return found; }
            pollfd ready = {fd_, POLLIN, 0};
            if (poll(&ready, 1, 1000) != 1) { return -ETIMEDOUT; }
        }
    }

    int take(const speculo_chunk &chunk) {
        if (!check_payload(chunk.data, chunk.size, chunk.id)) { return -EBADMSG; }
        newest_ = chunk.id;
        is_over_ = chunk.tag == last_tag;
        return 0;
    }

    int read_all() {
        speculo_chunk chunk{};
        if (way_ == Way::key) {
            int found = speculo_read_key(area_, "key", 3, &chunk);
            return found == 1 ? take(chunk) : found == 0 ? -ENOENT : found;
        }
        uint64_t before = newest_;
        int found;
        while ((found = speculo_read_next(area_, &chunk)) == 1) {
            if (int error = take(chunk); error != 0) { return error; }
        }
        if (found == 0 && newest_ == before) { return -ENOENT; } // wait said that there is something
        return found;
    }

    // A reader that sees the newest chunk before the writer has noted the time is not late.
    void judge(uint64_t delay_before) {
        uint64_t at = table_.committed_at;
        if (table_.committed != newest_) { return; }
        uint64_t now = monotonic_ns(), latency = now > at ? now - at : 0;
        if (latency > seat_.latest_ns) { seat_.latest_ns = latency; }
        bool was_awake = delay_.ns() - delay_before < latency / 2 && table_.stalls == stalls_;
        if (latency >= late_for(way_) && was_awake) { ++seat_.lost; }
    }

    Way way_;
    Table &table_;
    Seat &seat_;
    RunDelay delay_;
    speculo_area *area_ = nullptr;
    int fd_ = 0;
    uint64_t newest_ = 0, stalls_ = 0;
    bool is_over_ = false;
};

int follow_as(uid_t uid, Way way, const char *name, Table &table, Seat &seat) {
    bool is_other = uid != geteuid();
    bool changed = !is_other || (setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0);
    return changed ? Sleeper(way, table, seat).follow(name) : seat.complain("uid", -errno);
}

// ---- the race -----------------------------------------------------------------------------------------------------------------

class Race {
public:
    explicit Race(uint32_t mode) {
        speculo_area_options options{};
        options.struct_size = sizeof options;
        options.capacity = 64 << 10;
        options.mode = mode;
        EXPECT_EQ(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer_), 0);
    }
    ~Race() { speculo_area_close(writer_); }
    Race(const Race &) = delete;
    Race &operator=(const Race &) = delete;

    void add(Way way, uid_t uid) {
        Seat &seat = table_->seats[readers_.size()];
        readers_.push_back(std::make_unique<Child>([&, uid, way] { return follow_as(uid, way, name_.c_str(), *table_, seat); }));
    }

    // Commits at random moments, each time until all have seen it.
    void run(uint64_t commits) {
        ASSERT_TRUE(all([](const Seat &seat) { return seat.is_ready != 0; }));
        for (uint64_t done = 0; done < commits;) {
            for (uint64_t burst = dice_() % 2 ? 1 : 1 + dice_() % 24; burst > 0; --burst, ++done) { ASSERT_TRUE(commit(0)); }
            uint64_t newest = table_->committed;
            ASSERT_TRUE(all([=](const Seat &seat) { return seat.seen >= newest; })) << "after " << done;
            pause();
            ++rounds_;
        }
        ASSERT_TRUE(commit(last_tag));
        check();
    }

private:
    bool commit(uint32_t tag) {
        speculo_chunk_options options{};
        options.struct_size = sizeof options;
        options.tag = tag;
        options.key = "key";
        options.key_size = 3;
        void *data;
        uint64_t id;
        size_t size = least_payload + dice_() % 64;
        if (int error = speculo_chunk_alloc(writer_, size, &options, &data, &id); error != 0) {
            ADD_FAILURE() << speculo_strerror(error);
            return false;
        }
        fill_payload(data, size, id, 0, 0);
        bool committed = speculo_commit(writer_) == 0;
        table_->committed_at = monotonic_ns();
        table_->committed = id;
        return committed;
    }

    template <typename Condition> bool all(Condition is_met) {
        constexpr uint64_t stall_ns = 50000000; // the whole machine stood still, as far as the writer can tell
        uint64_t last = monotonic_ns(), end = last + uint64_t(20) * 1000000000;
        for (size_t i = 0; i < readers_.size(); ++i) {
            for (uint64_t looks = 0; !is_met(table_->seats[i]); ++looks) {
                sched_yield();
                uint64_t now = monotonic_ns();
                if (now - last > stall_ns) { ++table_->stalls; }
                last = now;
                bool is_gone = looks % 1024 == 1023 && !readers_[i]->is_running();
                if (is_gone || monotonic_ns() > end) {
                    ADD_FAILURE() << "reader " << i << " is silent; " << table_->seats[i].complaint;
                    return false;
                }
            }
        }
        return true;
    }

    // Around the time that it takes a reader to go to sleep, and now and then far beyond.
    void pause() {
        uint64_t most = rounds_ % 500 == 0 ? 5000000 : dice_() % 5 == 0 ? 200000 : dice_() % 2 ? 30000 : 5000;
        uint64_t end = monotonic_ns() + dice_() % most;
        while (monotonic_ns() < end) {}
    }

    void check() {
        for (size_t i = 0; i < readers_.size(); ++i) {
            const Seat &seat = table_->seats[i];
            EXPECT_EQ(readers_[i]->wait(), 0) << "reader " << i << ": " << seat.complaint;
            EXPECT_EQ(seat.seen, table_->committed) << "reader " << i;
            EXPECT_EQ(seat.lost, 0u) << "reader " << i << ", latest after ns: " << seat.latest_ns;
            EXPECT_GT(seat.sleeps, rounds_ / 20) << "reader " << i << " hardly slept";
        }
    }

    AreaName name_;
    speculo_area *writer_ = nullptr;
    SharedPage<Table> table_;
    std::vector<std::unique_ptr<Child>> readers_;
    std::mt19937_64 dice_{1};
    uint64_t rounds_ = 0;
};

// Two processors for two processes: where they race most closely.
TEST(Wakeups, P12_none_of_a_single_reader_is_lost) {
    for (Way way : {Way::cursor, Way::key}) {
        Race race(0600);
        race.add(way, geteuid());
        race.run(commits_to_make() / 4);
    }
}

TEST(Wakeups, P12_none_of_several_readers_is_lost) {
    Race race(0600);
    for (int i = 0; i < 3; ++i) { race.add(Way::cursor, geteuid()); }
    race.add(Way::key, geteuid());
#if !defined(SPECULO_PORTABLE)
    race.add(Way::descriptor, geteuid());
#endif
    race.run(commits_to_make() / 2);
}

TEST(Wakeups, P12_none_of_a_descriptor_is_lost) {
    Race race(0600);
    race.add(Way::descriptor, geteuid());
#if defined(SPECULO_PORTABLE)
    race.run(100);
#else
    race.run(commits_to_make() / 4);
#endif
}

// Those of another user are woken unasked, at most once a millisecond, and find the rest in their first slice. One user alone has
// an area that others may read.
TEST(Wakeups, P12_none_of_strangers_is_lost) {
    Race race(0644);
    uid_t uid = geteuid() == 0 ? stranger : geteuid();
    race.add(Way::cursor, uid);
    race.add(Way::cursor, uid);
    race.add(Way::key, uid);
#if !defined(SPECULO_PORTABLE)
    race.add(Way::descriptor, uid);
#endif
    race.run(commits_to_make() / 20);
}

} // namespace
