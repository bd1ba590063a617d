// SPDX-License-Identifier: LGPL-2.1-or-later
// Pages of which nothing lives are passed by snapshots and compactions; and none other is.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "check.hpp"
#include "index.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using Ids = std::vector<uint64_t>;

constexpr uint64_t small = 64 << 10; // capacity

// What the pages of a writer's current segment hold, by looking at every frame.
struct Pages {
    explicit Pages(speculo_area *writer) : map(inside(writer).current->map), end(inside(writer).committed) {
        core::FrameWalk walk(map, core::first_place, end);
        core::Frame frame;
        while (walk.next(frame) == 1) {
            size_t page = frame.place / core::places_per_page;
            is_live.resize(std::max(is_live.size(), page + 1));
            begins.resize(is_live.size());
            begins[page] = true;
            if (!frame.is_chunk() || core::load_successor(map.frame(frame.place).successor) != 0) { continue; }
            is_live[page] = true;
            live.push_back(frame.id);
        }
    }
    uint32_t dead_at(uint32_t page) const { return map.dead_at(page); }
    bool is_dead(uint32_t page) const { return dead_at(page) >= core::page_limit(page); }

    const core::SegmentMap &map;
    uint32_t end;
    std::vector<bool> begins, is_live;
    Ids live;
};

void expect_exact(const Pages &pages) {
    for (uint32_t page = 0; page < pages.begins.size(); ++page) {
        if (!pages.begins[page]) { continue; }
        bool is_over = core::page_limit(page) <= pages.end && !pages.is_live[page];
        ASSERT_EQ(pages.is_dead(page), is_over) << "page " << page << ": " << pages.dead_at(page) << ", end " << pages.end;
        if (is_over) { ASSERT_LE(pages.dead_at(page), pages.end); }
    }
}

Ids walked(speculo_snapshot *snapshot) {
    Ids ids;
    speculo_chunk chunk{};
    while (speculo_snapshot_next(snapshot, &chunk) == 1) { ids.push_back(chunk.id); }
    return ids;
}

class DeadPages : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);

    const core::SegmentMap &map() { return inside(writer_).current->map; }
    uint32_t end() { return inside(writer_).committed; }
};

// ---- by example -------------------------------------------------------------------------------------------------------------

TEST_F(DeadPages, page_is_passed_once_all_of_it_is_superseded) {
    for (int i = 0; i < 20; ++i) { commit_key(writer_, "other", std::string(1000, 'o')); }
    uint32_t next = core::index_pass_dead(map(), core::first_place, end());
    EXPECT_EQ(next, map().index_at(1));
    EXPECT_EQ(core::index_pass_dead(map(), next, end()), map().index_at(2));
    uint32_t last = map().index_at(uint32_t(Pages(writer_).begins.size() - 1)); // with the newest
    EXPECT_EQ(core::index_pass_dead(map(), last, end()), last);
}

TEST_F(DeadPages, page_stays_with_one_chunk_that_lives) {
    commit_key(writer_, "config", "stays");
    for (int i = 0; i < 20; ++i) { commit_key(writer_, "other", std::string(1000, 'o')); }
    EXPECT_EQ(core::index_pass_dead(map(), core::first_place, end()), core::first_place);
    commit_key(writer_, "config", "goes");
    EXPECT_EQ(core::index_pass_dead(map(), core::first_place, end()), map().index_at(1));
}

TEST_F(DeadPages, snapshot_of_before_still_sees_them) {
    Ids ids;
    for (int i = 0; i < 12; ++i) { ids.push_back(put_key(writer_, "key" + std::to_string(i), std::string(700, 'k'))); }
    commit(writer_);
    Handle reader = open_mapping_reader(name_);
    speculo_snapshot *before = nullptr, *after = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &before), 0);
    for (int round = 0; round < 2; ++round) { // the second is what a later one begins with
        for (int i = 0; i < 12; ++i) { put_key(writer_, "key" + std::to_string(i), "new"); }
        commit(writer_);
    }
    ASSERT_EQ(speculo_snapshot_open(reader, &after), 0);
    EXPECT_TRUE(Pages(writer_).is_dead(0));
    EXPECT_EQ(walked(before), ids);
    EXPECT_EQ(walked(after).size(), ids.size());
    EXPECT_EQ(walked(after).size(), 0u);
    speculo_snapshot_close(before);
    speculo_snapshot_close(after);
}

// A chunk that runs through pages is passed by its own length: they have no entry to go on at.
// Whoever looked into it would find damage.
TEST_F(DeadPages, snapshot_passes_those_behind_a_page_that_lives) {
    uint64_t config = commit_key(writer_, "config", "stays"), newest = 0;
    for (int i = 0; i < 20; ++i) { newest = commit_key(writer_, "other", std::string(1000, 'o')); }
    ASSERT_TRUE(Pages(writer_).is_dead(2));
    core::Shared<uint32_t> &word = map().frame(map().index_at(2)).commit;
    uint32_t whole = core::peek(word);
    core::put(word, 0u);
    EXPECT_EQ(live_ids(name_), (Ids{config, newest}));
    core::put(word, whole);
}

TEST_F(DeadPages, page_before_a_long_chunk_is_walked) {
    commit_key(writer_, "long", std::string(20000, 'l'));
    commit_key(writer_, "long", "short");
    EXPECT_TRUE(Pages(writer_).is_dead(0));
    EXPECT_EQ(core::index_pass_dead(map(), core::first_place, end()), core::first_place);
    EXPECT_EQ(live_ids(name_), (Ids{2}));
}

TEST_F(DeadPages, compaction_takes_one_step_for_each) {
    for (int i = 0; i < 60; ++i) { commit_key(writer_, "other", std::string(960, 'o')); }
    core::Writer &writer = inside(writer_);
    core::WriterSegment copy = *writer.current; // nothing is copied before the last page
    copy_prepare(writer, true, 0);
    writer.copy.segment = &copy;
    writer.copy.looked = core::first_place;
    writer.copy.wiped = copy.map.geometry.table_slots;
    EXPECT_EQ(copy_on(writer, 10), 0);
    EXPECT_EQ(writer.copy.looked, map().index_at(10));
    copy_abandon(writer);
}

// Keys in turn, so that whole pages of copies are dead when the writer switches to them.
TEST(DeadPagesOfCopies, are_told_exactly) {
    AreaName name;
    Handle writer = make_area(name, 1 << 20);
    uint64_t generation = 0;
    bool has_some = false;
    for (int i = 0; i < 6000 && !testing::Test::HasFatalFailure(); ++i) {
        commit_key(writer, "key" + std::to_string(i % 400), std::string(1000, 'k'));
        if (inside(writer).current->generation == generation) { continue; }
        generation = inside(writer).current->generation;
        Pages pages(writer);
        expect_exact(pages);
        for (uint32_t page = 0; core::page_limit(page) <= pages.map.prefix_end(); ++page) { has_some |= pages.is_dead(page); }
    }
    EXPECT_TRUE(has_some);
}

TEST_F(DeadPages, check_finds_a_page_that_is_not_dead) {
    for (int i = 0; i < 10; ++i) { commit_chunk(writer_, std::string(1000, 'c')); }
    core::Shared<uint32_t> &dead = map().index()[0].dead;
    ASSERT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
    for (uint32_t place : {core::page_limit(0), end() - 1}) {
        core::put(dead, place);
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), -EBADMSG) << place;
    }
    for (uint32_t place :
         {0u, 7u, core::page_limit(0) - 1, end(), UINT32_MAX}) { // of a commit to come, for all that a reader knows
        core::put(dead, place);
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0) << place;
    }
}

TEST_F(DeadPages, takeover_counts_anew) {
    for (int i = 0; i < 20; ++i) { commit_key(writer_, "other", std::string(1000, 'o')); }
    commit_key(writer_, "config", "stays");
    for (uint32_t page = 0; page < end() / core::places_per_page; ++page) { core::put(map().index()[page].dead, 1000u + page); }
    writer_.close();
    writer_ = open_writer(name_);
    expect_exact(Pages(writer_));
}

// ---- whatever is written ------------------------------------------------------------------------------------------------------

// One commit after another of all that there is; some snapshots stay open meanwhile.
class Anything {
public:
    explicit Anything(unsigned seed) : random_(seed) {}
    ~Anything() {
        for (Fixed &one : fixed_) { speculo_snapshot_close(one.snapshot); }
    }

    void run(int commits) {
        for (int i = 0; i < commits && !testing::Test::HasFatalFailure(); ++i) {
            for (uint32_t steps = 1 + below(below(8) == 0 ? 40 : 4); steps > 0; --steps) { step(); }
            if (below(20) == 0) {
                EXPECT_EQ(speculo_rollback(writer_), 0);
            } else {
                commit(writer_);
            }
            if (below(100) == 0) { compact_now(writer_); }
            if (below(150) == 0) {
                writer_.close();
                writer_ = open_writer(name_);
            }
            look();
        }
    }

private:
    struct Fixed {
        speculo_snapshot *snapshot;
        Ids ids;
    };

    uint32_t below(uint32_t limit) { return uint32_t(random_() % limit); }
    std::string key() { return "key" + std::to_string(below(below(3) == 0 ? 40 : 6)); }

    // What is refused, because it is full or not there, is refused.
    void step() {
        ChunkOptions options = below(9) == 0 ? aligned(32u << below(6)) : below(12) == 0 ? transient() : ChunkOptions();
        size_t size = below(50) == 0 ? below(9000) : below(400);
        std::string text = key();
        void *data = nullptr;
        uint64_t newest = inside(writer_).next_id - 1;
        switch (below(16)) {
        case 0: remove_key(writer_, text); return;
        case 1: speculo_chunk_obsolete(writer_, newest - below(uint32_t(std::min<uint64_t>(newest, 60)) + 1)); return;
        case 2: options.supersedes = newest - below(uint32_t(std::min<uint64_t>(newest, 60)) + 1); break;
        case 3: break;
        default: options.with_key(text);
        }
        if (speculo_chunk_alloc(writer_, size, &options, &data, nullptr) == 0 && below(20) == 0) {
            speculo_chunk_shrink(writer_, size / 2);
        }
    }

    void look() {
        Pages pages(writer_);
        expect_exact(pages);
        speculo_snapshot *now = nullptr;
        ASSERT_EQ(speculo_snapshot_open(reader_, &now), 0);
        if (below(10) != 0) {
            ASSERT_EQ(walked(now), pages.live);
            speculo_snapshot_close(now);
        } else {
            fixed_.push_back({now, pages.live});
        }
        while (fixed_.size() > 3) {
            Fixed oldest = fixed_.front();
            fixed_.erase(fixed_.begin());
            Ids ids = walked(oldest.snapshot);
            speculo_snapshot_close(oldest.snapshot);
            ASSERT_EQ(ids, oldest.ids);
        }
    }

    std::mt19937 random_;
    AreaName name_;
    Handle writer_ = make_area(name_, small);
    Handle reader_ = open_mapping_reader(name_, SPECULO_OPEN_NO_CURSOR);
    std::vector<Fixed> fixed_;
};

class DeadPagesOf : public testing::TestWithParam<unsigned> {};

TEST_P(DeadPagesOf, anything_are_told_exactly) { Anything(GetParam()).run(3000); }

INSTANTIATE_TEST_SUITE_P(Seeds, DeadPagesOf, testing::Range(1u, 9u));

} // namespace
