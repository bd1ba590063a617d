// SPDX-License-Identifier: LGPL-2.1-or-later
// kill -9 at any moment. Ten thousand writers die here, most while they write, many while they take over from the one before.
// SPECULO_TEST_KILLS=N makes it so many times as many.
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "area_names.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "mortal.hpp"

namespace {

using namespace speculo::test;

constexpr uint32_t segments = 3;

#if defined(SPECULO_PORTABLE)
constexpr uint64_t most_kills = 2000, further_kills = 500; // each compaction makes an object there
#else
constexpr uint64_t most_kills = is_slow_build ? 1400 : 7000, further_kills = is_slow_build ? 600 : 3000;
#endif

speculo_area_options options_for(uint32_t flags) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = 32 << 10;
    options.max_capacity = 128 << 10;
    options.compact_percent = 80;
    options.segments = segments;
    options.flags = flags;
    return options;
}

int write_until_killed(const char *name, Ledger &ledger, uint32_t flags, uint64_t stamp) {
    speculo_area_options options = options_for(flags);
    speculo_area *area;
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE, &options, &area);
    if (error < 0) { return ledger.complain("open for writing", uint64_t(-error)); }
    ledger.is_open = 1;
    LedgerWriter writer(ledger, area, stamp);
    while (writer.step() == 0) {
        if (writer.was_refused()) { usleep(20); }
    }
    return 1;
}

// ---- the reader that is there all the time ------------------------------------------------------------------------------------

class Follower {
public:
    Follower(const char *name, Ledger &ledger, uint32_t flags) : ledger_(ledger), is_lossless_(flags & SPECULO_AREA_LOSSLESS) {
        error_ = speculo_area_open(name, SPECULO_OPEN_READ, nullptr, &area_);
    }

    // Exit status.
    int run() {
        if (error_ < 0) { return ledger_.complain("open for reading", uint64_t(-error_)); }
        while (!ledger_.stop) {
            int found = next();
            if (found < 0) { return 1; }
            if (found == 0) { usleep(100); }
        }
        int found;
        while ((found = next()) == 1) {}
        if (found < 0) { return 1; }
        speculo_chunk_release(&held_);
        int failure = compare();
        speculo_area_close(area_);
        return failure;
    }

private:
    // 1, 0, or -1 after a complaint.
    int next() {
        speculo_chunk chunk{};
        int found = speculo_read_next(area_, &chunk);
        if (found < 0) { return -ledger_.complain("read_next", uint64_t(-found)); }
        if (found == 0) { return 0; }
        if (chunk.id <= last_id_) { return -ledger_.complain("order", chunk.id, last_id_); }
        if (last_id_ != 0 && chunk.id != last_id_ + 1 + chunk.skipped) {
            return -ledger_.complain("skipped", chunk.id, last_id_);
        }
        last_id_ = chunk.id;
        if (chunk.flags & SPECULO_CHUNK_REMOVED) { return 1; }
        PayloadHead head;
        if (!check_payload(chunk.data, chunk.size, chunk.id, &head)) { return -ledger_.complain("a torn chunk", chunk.id); }
        if (chunk.tag == ledger_ring) { seen_.ring[head.value & 0xff] = {chunk.id, head.stamp, head.value}; }
        if (chunk.tag == ledger_key) { seen_.keys[head.value & 0xff] = {chunk.id, head.stamp, head.value}; }
        return keep(chunk);
    }

    // Every so many chunks one is held until it is the next one's turn.
    int keep(const speculo_chunk &chunk) {
        if (++count_ % 257 != 0) { return 1; }
        if (held_.id != 0 && !check_payload(held_.data, held_.size, held_.id)) {
            return -ledger_.complain("a held chunk has changed", held_.id);
        }
        speculo_chunk_release(&held_);
        held_ = chunk;
        return speculo_chunk_hold(area_, &held_) == 0 ? 1 : -ledger_.complain("hold", chunk.id);
    }

    // It has been given everything that is live at the end.
    int compare() {
        const LedgerState &state = ledger_.state(ledger_.acknowledged);
        for (uint32_t i = 0; i < ring_size; ++i) {
            if (state.ring[i].id != 0 && state.ring[i].id != seen_.ring[i].id) {
                return ledger_.complain("lost a chunk", state.ring[i].id, seen_.ring[i].id);
            }
        }
        for (uint32_t i = 0; i < key_count; ++i) {
            if (state.keys[i].id != 0 && state.keys[i].id != seen_.keys[i].id) {
                return ledger_.complain("lost a key's chunk", state.keys[i].id, seen_.keys[i].id);
            }
        }
        speculo_area_info info{};
        info.struct_size = sizeof info;
        speculo_area_get_info(area_, &info);
        return is_lossless_ && info.jumps != 0 ? ledger_.complain("jumped", info.jumps) : 0;
    }

    Ledger &ledger_;
    bool is_lossless_;
    int error_;
    speculo_area *area_ = nullptr;
    uint64_t last_id_ = 0, count_ = 0;
    LedgerState seen_{};
    speculo_chunk held_{};
};

// ---- the test -----------------------------------------------------------------------------------------------------------------

class Kills {
public:
    explicit Kills(uint32_t flags) : flags_(flags) {
        speculo_area_options options = options_for(flags);
        speculo_area *area = nullptr;
        EXPECT_EQ(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area), 0);
        speculo_area_close(area);
        EXPECT_EQ(speculo_area_open(name_.c_str(), SPECULO_OPEN_NO_CURSOR, nullptr, &reader_), 0);
    }
    ~Kills() { speculo_area_close(reader_); }

    void run(uint64_t rounds) {
        Child follower([&] { return Follower(name_.c_str(), *ledger_, flags_).run(); });
        uint64_t in_takeover = 0;
        for (round_ = 1; round_ <= rounds && !testing::Test::HasFailure(); ++round_) {
            kill_one();
            in_takeover += ledger_->is_open == 0;
            settle();
            if (round_ % 100 == 0) { rest(); }
        }
        rest();
        ledger_->stop = 1;
        EXPECT_EQ(follower.wait(), 0) << ledger_->complaint;
        // It was worth it only if all of this happened.
        EXPECT_GT(ledger_->acknowledged, rounds);
        EXPECT_GT(ledger_->compactions, rounds / 50);
        EXPECT_GT(in_takeover, rounds / 50);
    }

private:
    // Every other writer is killed while it opens, as far as can be told beforehand.
    void kill_one() {
        ledger_->is_open = 0;
        Mortal writer([&] { return write_until_killed(name_.c_str(), *ledger_, flags_, round_); });
        uint64_t delay = dice_() % 1000000;
        if (round_ % 2 == 0) {
            EXPECT_TRUE(writer.wait_until([&] { return ledger_->is_open != 0; })) << "a writer cannot take over";
            opening_ = (15 * opening_ + writer.age()) / 16;
        } else {
            delay = dice_() % (opening_ + opening_ / 4);
        }
        writer.kill_after(delay);
        EXPECT_TRUE(writer.was_killed()) << "round " << round_ << ": " << ledger_->complaint;
    }

    // The area holds the last acknowledged commit, or the one that was being made: from now on that is the last one.
    void settle() {
        uint64_t acknowledged = ledger_->acknowledged;
        const char *wrong = difference(reader_, ledger_->state(acknowledged));
        if (wrong && ledger_->attempted > acknowledged && !difference(reader_, ledger_->state(acknowledged + 1))) {
            ledger_->acknowledged = acknowledged + 1;
            return;
        }
        ledger_->attempted = acknowledged;
        EXPECT_STREQ(wrong, nullptr) << "round " << round_ << ", commit " << acknowledged;
    }

    // A writer that is not killed finds the same, and leaves nothing about.
    void rest() {
        speculo_area *area = nullptr;
        ASSERT_EQ(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE, nullptr, &area), 0);
        speculo_area_info info{};
        info.struct_size = sizeof info;
        EXPECT_EQ(speculo_area_get_info(area, &info), 0);
        EXPECT_LE(info.segments, segments);
        EXPECT_EQ(name_.files().size(), 3 + info.segments); // control page, lock and bell
        speculo_area_close(area);
        EXPECT_STREQ(difference(reader_, ledger_->state(ledger_->acknowledged)), nullptr) << "round " << round_;
    }

    AreaName name_;
    uint32_t flags_;
    SharedPage<Ledger> ledger_;
    speculo_area *reader_ = nullptr;
    std::mt19937_64 dice_{4711};
    uint64_t round_ = 0, opening_ = 500000; // ns that a writer takes to open
};

TEST(Kills, P8_no_killed_writer_loses_a_commit_or_shows_a_part_of_one) { Kills(0).run(most_kills * kill_factor()); }

#if !defined(SPECULO_PORTABLE)
TEST(Kills, P8_nor_does_one_of_a_lossless_area) { Kills(SPECULO_AREA_LOSSLESS).run(further_kills * kill_factor()); }
#else
TEST(Kills, P8_nor_does_one_without_flow_control) {
    Kills(0).run(further_kills * kill_factor());
    AreaName name;
    speculo_area_options options = options_for(SPECULO_AREA_LOSSLESS);
    speculo_area *area;
    EXPECT_EQ(speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area), -EOPNOTSUPP);
}
#endif

} // namespace
