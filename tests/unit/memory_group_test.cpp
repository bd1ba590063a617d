// SPDX-License-Identifier: LGPL-2.1-or-later
// A control group's limit on memory does not refuse, it kills: then the writer is dead like any other, and nothing is lost.
#include <atomic>
#include <csignal>
#include <fstream>

#include <sys/mman.h>
#include <sys/stat.h>

#include "small_disk.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t mebibyte = 1 << 20;
constexpr uint64_t limit = 16 * mebibyte, capacity = 64 * mebibyte;
constexpr size_t chunk_size = 5000;

// A group of its own for memory, with a limit. Where the system does not let one be made, whoever enters it kills itself in time.
class MemoryGroup {
public:
    MemoryGroup() {
        std::ifstream groups("/proc/self/cgroup");
        for (std::string line; std::getline(groups, line) && path_.empty();) {
            size_t first = line.find(':'), second = line.find(':', first + 1);
            std::string controllers = line.substr(first + 1, second - first - 1), own = line.substr(second + 1);
            if (controllers == "memory") { make("/sys/fs/cgroup/memory" + own, "memory.limit_in_bytes"); }
            if (controllers.empty()) { make("/sys/fs/cgroup" + own, "memory.max"); }
        }
    }
    ~MemoryGroup() {
        if (!path_.empty()) { EXPECT_EQ(rmdir(path_.c_str()), 0) << path_; }
    }
    MemoryGroup(const MemoryGroup &) = delete;
    MemoryGroup &operator=(const MemoryGroup &) = delete;

    void enter() {
        if (!path_.empty()) { has_entered_ = write_text((path_ + "/cgroup.procs").c_str(), std::to_string(getpid())); }
    }
    void use(uint64_t bytes) const {
        if (!has_entered_ && bytes > limit) { raise(SIGKILL); }
    }

private:
    void make(const std::string &parent, const char *file) {
        std::string path = parent + "/speculo-test-" + std::to_string(getpid());
        if (mkdir(path.c_str(), 0755) != 0) { return; }
        bool is_limited = write_text((path + "/" + file).c_str(), std::to_string(limit));
        write_text((path + "/memory.memsw.limit_in_bytes").c_str(), std::to_string(limit)); // nothing goes to disk instead
        write_text((path + "/memory.swap.max").c_str(), "0");
        if (is_limited) { path_ = path; }
        if (!is_limited) { rmdir(path.c_str()); }
    }

    std::string path_;
    bool has_entered_ = false;
};

// A word that a dead child leaves behind.
class Ledger {
public:
    Ledger() {
        void *page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED) { std::abort(); }
        committed_ = new (page) std::atomic<uint64_t>(0);
    }
    ~Ledger() { munmap(committed_, 4096); }
    Ledger(const Ledger &) = delete;
    Ledger &operator=(const Ledger &) = delete;
    std::atomic<uint64_t> &committed() const { return *committed_; }

private:
    std::atomic<uint64_t> *committed_;
};

std::string payload_of(uint64_t id) { return std::string(chunk_size, char('a' + id % 26)); }

// Until an error, or its death.
int write_on(const AreaName &name, MemoryGroup &group, const Ledger &ledger) {
    group.enter();
    Handle writer = open_writer(name);
    for (uint64_t id = 1;; ++id) {
        void *data = nullptr;
        group.use(id * chunk_size);
        if (int error = speculo_chunk_alloc(writer, chunk_size, nullptr, &data, nullptr); error < 0) { return -error; }
        std::memcpy(data, payload_of(id).data(), chunk_size);
        if (speculo_commit(writer) < 0) { return EINVAL; }
        ledger.committed() = id;
    }
}

TEST(MemoryGroup, P8_P9_a_writer_that_it_kills_loses_nothing) {
    AreaName name;
    make_area(name, capacity).close();
    Handle reader = open_reader(name);
    MemoryGroup group;
    Ledger ledger;
    int status = run_in_child([&] { return write_on(name, group, ledger); });
    bool was_refused = status == ENOMEM || status == ENOSPC; // as the kernel likes; but never SIGBUS
    EXPECT_TRUE(status == killed_by + SIGKILL || was_refused) << status;
    EXPECT_GT(ledger.committed(), limit / 4 / chunk_size);
    EXPECT_LT(ledger.committed(), capacity / chunk_size);

    Handle writer = open_writer(name);
    std::vector<Seen> live = live_chunks(name);
    EXPECT_TRUE(live.size() == ledger.committed() || live.size() == ledger.committed() + 1) << live.size();
    for (size_t i = 0; i < live.size(); ++i) {
        EXPECT_EQ(live[i].id, i + 1);
        EXPECT_EQ(live[i].payload, payload_of(i + 1)) << i;
    }
    EXPECT_EQ(read_all(reader).size(), live.size());
    EXPECT_EQ(commit_chunk(writer, "after all"), live.size() + 1);
    EXPECT_EQ(read_all(reader).size(), 1u);
}

} // namespace
