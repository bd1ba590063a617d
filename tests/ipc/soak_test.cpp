// SPDX-License-Identifier: LGPL-2.1-or-later
// A long life: a writer that never rests, compacting all the time, and sixteen readers of all kinds, of which one is killed every few
// milliseconds. What each of those that stay has open, and what lies in shared memory, must not grow.
//
// SPECULO_TEST_SOAK=SECONDS for longer than every day.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>

#include <sys/stat.h>

#include "area_names.hpp"
#include "ledger.hpp"
#include "mortal.hpp"
#include "payload.hpp"
#include "waiting.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t capacity = 64 << 10;
constexpr uint32_t segments = 3, most_segments = 32, keys = 24;
constexpr size_t readers = 16, kinds = 4;
constexpr size_t holds = 8;

uint64_t seconds() {
    const char *text = std::getenv("SPECULO_TEST_SOAK");
    uint64_t wanted = text ? std::strtoull(text, nullptr, 10) : 0;
    return wanted ? wanted : 4;
}

struct Log {
    std::atomic<uint64_t> commits{0}, looks{0};
    char complaint[256]{};

    int complain(const char *what, int error) {
        std::snprintf(complaint, sizeof complaint, "%s: %s", what, speculo_strerror(error));
        return 1;
    }
};

std::string key_of(uint64_t i) { return "key " + std::to_string(i % keys); }

// ---- the writer -----------------------------------------------------------------------------------------------------------------

class Restless {
public:
    Restless(speculo_area *area, uint64_t seed) : area_(area), dice_(seed) {}

    // Allocates, removes and obsoletes a few chunks of all kinds. Refusals of a lossless area are to be tried again.
    int step() {
        int error = 0;
        for (uint64_t i = dice_() % 4; i < 4 && error == 0; ++i) { error = change(); }
        return error;
    }

private:
    int change() {
        if (dice_() % 16 == 0) { return forgive(speculo_key_remove(area_, key_.data(), key_.size())); }
        if (dice_() % 16 == 0) { return forgive(speculo_chunk_obsolete(area_, last_)); }
        speculo_chunk_options options{};
        options.struct_size = sizeof options;
        uint64_t kind = dice_() % 16;
        if (kind < 6) {
            key_ = key_of(dice_());
            options.key = key_.data();
            options.key_size = key_.size();
        } else if (kind < 15) {
            options.flags = SPECULO_CHUNK_TRANSIENT;
        } else {
            options.ttl_ns = dice_() % 2000000 + 1;
        }
        if (kind == 8) { options.alignment = 256; }
        size_t size = least_payload + size_t(dice_() % 8 == 0 ? dice_() % 4000 : dice_() % 200);
        void *data;
        int error = speculo_chunk_alloc(area_, size, &options, &data, &last_);
        if (error == 0) { fill_payload(data, size, last_, 0, 0); }
        return error;
    }

    // What is not there cannot be ended.
    static int forgive(int error) { return error == -ENOENT ? 0 : error; }

    speculo_area *area_;
    std::mt19937_64 dice_;
    std::string key_ = "key 0";
    uint64_t last_ = 1;
};

int write_for_ever(const char *name, uint32_t flags, uint64_t seed, Log &log) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = options.max_capacity = capacity;
    options.segments = segments;
    options.flags = flags;
    speculo_area *area;
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area);
    if (error < 0) { return log.complain("open to write", error); }
    Restless writer(area, seed);
    for (uint64_t i = 0;; ++i) {
        error = writer.step();
        if (error == -ENOSPC || (error == -EAGAIN && flags != 0)) { // full of what is to expire, or cursors are behind
            speculo_rollback(area);
            error = error == -EAGAIN ? speculo_wait(area, second_ns) : usleep(1000);
            if (error >= 0) { continue; }
        }
        if (error == 0) { error = speculo_commit(area); }
        if (error == 0 && flags == 0 && i % 64 == 0) { error = speculo_area_compact(area); }
        if (error < 0) { return log.complain("write", error); }
        ++log.commits;
    }
}

// ---- readers --------------------------------------------------------------------------------------------------------------------

enum class Kind { waiting, watching, looking, holding };

class Reading {
public:
    Reading(const char *name, Kind kind, Log &log) : name_(name), kind_(kind), log_(log) {}

    int run() {
        uint32_t flags = kind_ == Kind::looking ? SPECULO_OPEN_NO_CURSOR : SPECULO_OPEN_READ;
        for (;;) {
            int error = speculo_area_open(name_, flags, nullptr, &area_);
            if (error < 0) { return log_.complain("open", error); }
            last_id_ = 0; // a new cursor begins with the oldest
            for (int i = 0; i < 200 && error >= 0; ++i) {
                error = round();
                ++log_.looks;
            }
            // Opened anew now and then, with something held and a snapshot open, both of which outlive the handle.
            speculo_area_close(area_);
            for (speculo_chunk &held : held_) { speculo_chunk_release(&held); }
            if (error < 0) { return log_.complain(what_, error); }
        }
    }

private:
    int round() {
        if (kind_ == Kind::looking) { return look(); }
        what_ = "wait";
        int found = kind_ == Kind::watching ? wait_by_descriptor(area_) : speculo_wait(area_, second_ns);
        if (found == -EPIPE) { return 0; } // its writer was killed; there will be another
        if (found < 0) { return found; }
        return follow();
    }

    int follow() {
        what_ = "read_next";
        speculo_chunk chunk{};
        int found;
        while ((found = speculo_read_next(area_, &chunk)) == 1) {
            if (!is_sound(chunk)) { return fault("content"); }
            if (chunk.id <= last_id_) { return fault("order"); }
            last_id_ = chunk.id;
            if (kind_ == Kind::holding && chunk.id % 50 == 0) { hold(chunk); }
        }
        return found;
    }

    // What this test finds wrong, rather than the library.
    int fault(const char *what) {
        what_ = what;
        return -EBADMSG;
    }

    // A removal has no payload.
    static bool is_sound(const speculo_chunk &chunk) {
        return (chunk.flags & SPECULO_CHUNK_REMOVED) || check_payload(chunk.data, chunk.size, chunk.id);
    }

    void hold(const speculo_chunk &chunk) {
        speculo_chunk &held = held_[next_held_++ % holds];
        speculo_chunk_release(&held);
        held = chunk;
        speculo_chunk_hold(area_, &held);
    }

    int look() {
        what_ = "snapshot";
        speculo_snapshot *snapshot;
        int error = speculo_snapshot_open(area_, &snapshot);
        if (error < 0) { return error; }
        speculo_chunk chunk{};
        int found;
        while ((found = speculo_snapshot_next(snapshot, &chunk)) == 1) {
            if (!is_sound(chunk)) { found = fault("content of a snapshot"); }
            if (found < 0) { break; }
        }
        speculo_snapshot_close(snapshot);
        what_ = "read_key";
        for (uint64_t i = 0; i < keys && found >= 0; ++i) {
            std::string key = key_of(i);
            found = speculo_read_key(area_, key.data(), key.size(), &chunk);
            if (found == 1 && !is_sound(chunk)) { found = fault("content of a key"); }
        }
        return found;
    }

    const char *name_, *what_ = "";
    Kind kind_;
    Log &log_;
    speculo_area *area_ = nullptr;
    speculo_chunk held_[holds] = {};
    size_t next_held_ = 0;
    uint64_t last_id_ = 0;
};

// ---- what is measured -----------------------------------------------------------------------------------------------------------

size_t count_descriptors(pid_t pid) {
    std::error_code error;
    std::filesystem::directory_iterator entries("/proc/" + std::to_string(pid) + "/fd", error);
    return error ? 0 : size_t(std::distance(entries, {}));
}

// Those of the area's objects.
size_t count_mappings(pid_t pid, const AreaName &name) {
    std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
    size_t count = 0;
    for (std::string line; std::getline(maps, line);) { count += line.find(name.text()) != std::string::npos; }
    return count;
}

uint64_t bytes_of(const AreaName &name) {
    uint64_t bytes = 0;
    struct stat status;
    for (const std::string &file : name.files()) {
        if (stat((area_directory() + ("/" + file)).c_str(), &status) == 0) { bytes += uint64_t(status.st_blocks) * 512; }
    }
    return bytes;
}

class Soak {
public:
    Soak(uint32_t flags, uint64_t ns) : flags_(flags), end_(monotonic_ns() + ns) {}

    void run() {
        writer_ = start_writer();
        ASSERT_TRUE(writer_->wait_until([&] { return logs_[readers].commits > 100; })) << logs_[readers].complaint;
        for (size_t i = 0; i < readers; ++i) { all_[i] = start_reader(i); }
        size_t own_descriptors = count_descriptors(getpid());
        while (monotonic_ns() < end_ && !testing::Test::HasFailure()) {
            kill_one();
            measure(own_descriptors);
        }
        EXPECT_GT(logs_[readers].commits, 1000u);
        for (size_t i = 0; i < readers; ++i) { EXPECT_GT(logs_[i].looks, 0u) << "reader " << i << ": " << logs_[i].complaint; }
        stop("writer", writer_, logs_[readers]);
        for (size_t i = 0; i < readers; ++i) { stop("reader", all_[i], logs_[i]); }
    }

private:
    using Process = std::unique_ptr<Mortal>;

    Process start_writer() {
        return std::make_unique<Mortal>([this] { return write_for_ever(name_.c_str(), flags_, dice_(), logs_[readers]); });
    }
    Process start_reader(size_t i) {
        return std::make_unique<Mortal>([this, i] { return Reading(name_.c_str(), Kind(i % kinds), logs_[i]).run(); });
    }

    // One reader of each kind stays for all the time, and so does the writer of a lossless area.
    void kill_one() {
        constexpr uint64_t most_pause_ns = 20000000;
        size_t victim = kinds + dice_() % (readers - kinds + 1);
        bool is_writer = victim == readers;
        if (is_writer && flags_ != 0) { return; }
        Process &process = is_writer ? writer_ : all_[victim];
        process->kill_after(dice_() % most_pause_ns);
        EXPECT_TRUE(process->was_killed()) << (is_writer ? "writer: " : "reader: ") << logs_[victim].complaint;
        process = is_writer ? start_writer() : start_reader(victim);
    }

    // Bounds, not comparisons: whoever leaks something for each compaction is far beyond them within a second.
    void measure(size_t own_descriptors) {
        constexpr size_t most_descriptors = 4 + 2 * (most_segments + holds), most_mappings = 2 + 2 * (most_segments + holds);
        // Segments that readers are in when the writer needs them are parked, as long as there are slots; in a lossless area they live on
        // without a name.
        uint64_t most_bytes = (flags_ != 0 ? segments : most_segments) * (capacity + (80 << 10)) + (16 << 10);
        EXPECT_LE(bytes_of(name_), most_bytes);
        for (size_t i = 0; i < kinds; ++i) {
            EXPECT_LE(count_descriptors(all_[i]->pid()), own_descriptors + most_descriptors) << "reader " << i;
            EXPECT_LE(count_mappings(all_[i]->pid(), name_), most_mappings) << "reader " << i;
        }
        EXPECT_LE(count_descriptors(writer_->pid()), own_descriptors + most_descriptors) << "writer";
    }

    static void stop(const char *what, Process &process, const Log &log) {
        process->kill_after(0);
        EXPECT_TRUE(process->was_killed()) << what << ": " << log.complaint;
    }

    uint32_t flags_;
    uint64_t end_;
    AreaName name_;
    std::mt19937_64 dice_{4711};
    SharedPage<std::array<Log, readers + 1>> shared_;
    std::array<Log, readers + 1> &logs_ = *shared_; // the writer's is the last
    Process writer_, all_[readers];
};

constexpr uint64_t second = 1000000000;

TEST(Soak, P4_P8_nothing_grows) { Soak(0, seconds() * second / 2).run(); }

#if !defined(SPECULO_PORTABLE)
TEST(Soak, P4_P5_P8_nothing_grows_in_a_lossless_area) { Soak(SPECULO_AREA_LOSSLESS, seconds() * second / 2).run(); }
#endif

} // namespace
