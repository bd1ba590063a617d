// SPDX-License-Identifier: LGPL-2.1-or-later
// The id index of a segment, against a plain list of what was stored.
#include "index.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>

#include <sys/resource.h>

#include "bare_segment.hpp"
#include "child.hpp"

namespace {

using namespace speculo::test;
using namespace speculo::core;

struct Stored {
    uint32_t place;
    uint64_t id; // 0: padding or a marker
};

// Commits frames as the writer does, and keeps a list of them.
class Indexed {
public:
    explicit Indexed(uint64_t capacity) : segment(capacity) {}

    // A frame of so many places, of the batch that is being made.
    void store(uint32_t places, uint64_t id) {
        std::memset(map.bytes(tail), 0, sizeof(FrameHeader));
        if (id == 0 && places == 1) {
            put(map.frame(tail).id_flags, pack_id(0, control_marker));
            put(map.frame(tail).commit, 1u);
        } else if (id == 0) {
            put(map.frame(tail).commit, lay_padding(map, tail, places));
        } else {
            put(map.frame(tail).id_flags, pack_id(id, 0));
            put(map.frame(tail).commit, uint32_t((places - 1) * place_size + 1));
        }
        index_note(map, index, tail, places);
        batch.push_back({tail, id});
        tail += places;
    }
    void chunk(uint32_t places, uint64_t step = 1) { store(places, next_id += step); }
    void other(uint32_t places) { store(places, 0); } // without an id
    void commit() {
        committed.insert(committed.end(), batch.begin(), batch.end());
        batch.clear();
        end = tail;
        ends.push_back(end);
    }
    // The writer dies before the commit, and the next one takes over.
    void die(uint64_t id_before) {
        batch.clear();
        tail = end;
        next_id = id_before;
        index = IndexWriter{};
        index_resume(map, index, end);
    }
    uint32_t left() const { return map.readable - tail; }

    // What a list says.
    uint64_t first_from(uint64_t id, uint32_t at_end) const {
        for (const Stored &one : committed) {
            if (one.place < at_end && one.id >= id && one.id != 0) { return one.id; }
        }
        return 0;
    }
    uint64_t last_before(uint32_t at_end) const {
        uint64_t last = 0;
        for (const Stored &one : committed) {
            if (one.place < at_end && one.id != 0) { last = one.id; }
        }
        return last;
    }

    // What the index says.
    uint64_t find(uint64_t id, uint32_t at_end) const {
        Frame frame;
        int found = index_find(map, at_end, id, frame);
        EXPECT_GE(found, 0);
        return found == 1 ? frame.id : 0;
    }
    uint64_t last_id(uint32_t at_end) const {
        uint64_t id = 4711;
        EXPECT_EQ(index_last_id(map, at_end, id), 0);
        return id;
    }
    void check(uint32_t at_end) const {
        ASSERT_EQ(last_id(at_end), last_before(at_end));
        for (uint64_t id = 1; id <= next_id + 2; ++id) { ASSERT_EQ(find(id, at_end), first_from(id, at_end)) << id; }
    }

    BareSegment segment;
    SegmentMap &map = segment.map();
    IndexWriter index;
    uint32_t tail = first_place, end = first_place;
    uint64_t next_id = 0;
    std::vector<Stored> batch, committed;
    std::vector<uint32_t> ends;
};

TEST(Index, of_nothing_has_nothing) {
    Indexed area(64 << 10);
    area.check(first_place);
    area.check(0);
}

TEST(Index, finds_each_chunk_and_the_one_behind_a_gap) {
    Indexed area(64 << 10);
    for (int i = 0; i < 300; ++i) { area.chunk(1 + i % 20, 1 + i % 3); } // ids of chunks that are gone leave gaps
    area.commit();
    area.check(area.end);
}

TEST(Index, frames_may_span_many_pages) {
    Indexed area(1 << 20);
    for (uint32_t places : {10u, 3000u, 5u, 256u, 255u, 257u, 5000u, 1u, 1u, 10000u, 2u}) {
        area.chunk(places);
        area.commit();
        area.check(area.end);
    }
}

TEST(Index, frames_that_end_at_a_page_s_edge) {
    Indexed area(64 << 10);
    area.chunk(places_per_page - first_place); // to the edge exactly
    area.commit();
    area.check(area.end);
    area.chunk(places_per_page);
    area.commit();
    area.check(area.end);
    area.chunk(places_per_page + 1); // one place further
    area.commit();
    area.check(area.end);
    area.chunk(1);
    area.commit();
    area.check(area.end);
}

TEST(Index, pages_of_nothing_but_padding_are_passed) {
    Indexed area(1 << 20);
    area.other(700); // also at the beginning
    area.chunk(3);
    area.other(2000);
    area.chunk(3);
    for (int i = 0; i < 600; ++i) { area.other(1); } // markers
    area.commit();
    area.check(area.end);
    area.chunk(700);
    for (int i = 0; i < 300; ++i) { area.other(1); }
    area.commit();
    area.check(area.end);
}

TEST(Index, names_the_first_frame_that_begins_in_a_page) {
    Indexed area(64 << 10);
    area.chunk(100);
    area.chunk(100);
    area.chunk(600); // from page 0 through 1 and 2 into 3
    area.chunk(5);
    area.chunk(5);
    area.commit();
    std::vector<uint32_t> entries;
    for (int page = 0; page < 4; ++page) { entries.push_back(peek(area.map.index()[page].first)); }
    EXPECT_EQ(entries, (std::vector<uint32_t>{1, 0, 0, 801}));
}

TEST(Index, entries_of_a_former_generation_are_never_met) {
    Indexed area(1 << 20);
    for (uint32_t page = 0; page <= 256; ++page) { put(area.map.index()[page].first, page * places_per_page + 7); }
    for (uint32_t places : {10u, 3000u, 5u, 256u, 512u, 1u, 4000u}) {
        area.chunk(places);
        area.commit();
        area.check(area.end);
    }
}

TEST(Index, entries_of_a_dead_batch_are_never_met) {
    Indexed area(1 << 20);
    area.chunk(100);
    area.commit();
    uint64_t id = area.next_id;
    for (int i = 0; i < 90; ++i) { area.chunk(50); } // begins in many pages
    area.die(id);
    area.check(area.end);
    area.chunk(2500); // runs through them
    area.commit();
    area.check(area.end);
    area.chunk(10);
    area.commit();
    area.check(area.end);
}

TEST(Index, a_batch_that_died_in_the_last_page_leaves_its_entry_to_the_next) {
    Indexed area(64 << 10);
    area.chunk(300); // into page 1, where nothing begins yet
    area.commit();
    area.other(3);
    area.chunk(5);
    area.die(1);
    area.chunk(9);
    area.chunk(9);
    area.commit();
    area.check(area.end);
    EXPECT_EQ(peek(area.map.index()[1].first), 301u);
}

TEST(Index, an_entry_beyond_the_end_is_not_gone_by) {
    Indexed area(64 << 10);
    area.chunk(300);
    area.commit();
    put(area.map.index()[1].first, 305u); // in the middle of what comes next
    area.die(1);
    area.chunk(9);
    area.chunk(9);
    area.commit();
    area.check(area.end);
    EXPECT_EQ(peek(area.map.index()[1].first), 301u);
}

TEST(Index, readers_with_an_older_end_see_what_was_there_then) {
    Indexed area(1 << 20);
    for (int i = 0; i < 60; ++i) {
        area.chunk(1 + i * 31 % 700);
        area.commit();
    }
    for (uint32_t end : area.ends) { area.check(end); }
}

TEST(Index, resumes_anywhere_as_if_nothing_had_happened) {
    std::mt19937 random(5);
    Indexed one(1 << 20), other(1 << 20);
    while (one.left() > 800) {
        uint32_t places = 1 + random() % (random() % 4 ? 20 : 700);
        one.chunk(places), one.commit();
        other.chunk(places), other.commit();
        other.die(other.next_id); // with nothing pending
        ASSERT_EQ(one.index.pages, other.index.pages);
        ASSERT_EQ(one.index.named, other.index.named);
    }
    for (uint32_t page = 0; page < one.index.pages; ++page) {
        ASSERT_EQ(peek(one.map.index()[page].first), peek(other.map.index()[page].first)) << page;
    }
}

uint32_t random_places(std::mt19937 &random) {
    switch (random() % 8) {
    case 0: return 1 + random() % 3000;
    case 1: return places_per_page - 1 + random() % 3;
    default: return 1 + random() % 30;
    }
}

TEST(Index, is_right_whatever_is_committed_and_whoever_dies) {
    std::mt19937 random(6);
    for (int round = 0; round < 40; ++round) {
        Indexed area(512 << 10);
        for (int page = 0; page <= 128; ++page) { put(area.map.index()[page].first, uint32_t(random())); }
        while (area.left() > 16000) {
            uint64_t id = area.next_id;
            for (unsigned i = 0, count = 1 + random() % 4; i < count; ++i) {
                uint32_t places = random_places(random);
                random() % 5 ? area.chunk(places, 1 + random() % 2) : area.other(places);
            }
            random() % 4 ? area.commit() : area.die(id);
        }
        for (int i = 0; i < 3; ++i) { area.check(area.ends[random() % area.ends.size()]); }
        area.check(area.end);
    }
}

// ---- hostile bytes ------------------------------------------------------------------------------------------------------------

TEST(Index, P10_any_bytes_give_an_answer_within_the_segment) {
    std::mt19937_64 random(7);
    BareSegment segment(64 << 10);
    const SegmentMap &map = segment.map();
    int answers[3] = {};
    for (int round = 0; round < 3000; ++round) {
        for (uint32_t place = 0; place < map.readable; ++place) {
            put(map.frame(place).commit, random() % 200 ? uint32_t(1 + random() % 100) : uint32_t(random()));
            put(map.frame(place).id_flags, random() % 200 ? random() % 1000 + 1 : random());
        }
        for (uint32_t page = 0; page <= 16; ++page) {
            bool is_near = random() % 8;
            put(map.index()[page].first, is_near ? uint32_t(page * places_per_page + random() % 256) : uint32_t(random()));
            put(map.index()[page].dead, is_near ? uint32_t(random() % map.readable) : uint32_t(random()));
        }
        uint32_t end = uint32_t(random() % (map.readable + 1));
        Frame frame;
        int found = index_find(map, end, random() % 2000, frame);
        ASSERT_TRUE(found == 0 || found == 1 || found == -EBADMSG) << found;
        if (found == 1) { ASSERT_LE(frame.place + frame.length, end); }
        ++answers[found == -EBADMSG ? 2 : found];
        uint64_t id;
        int error = index_last_id(map, end, id);
        ASSERT_TRUE(error == 0 || error == -EBADMSG);
        for (uint32_t place = first_place; place < end; place += 100) {
            uint32_t next = index_pass_dead(map, place, end);
            ASSERT_TRUE(next == place || (next >= page_limit(place / places_per_page) && next < end)) << place << ": " << next;
        }
    }
    for (int count : answers) { EXPECT_GT(count, 10); }
}

// Each frame is walked over once, not once for each page before it: a bound in steps, measured as time of the processor.
TEST(Index, P10_last_id_before_many_frames_without_one_is_found_soon) {
    Indexed area(uint64_t(16) << 20);
    area.chunk(1);
    while (area.left() > 0) { area.other(1); }
    area.commit();
    int status = run_in_child(
        [&] {
            rlimit few_seconds = {2, 2};
            setrlimit(RLIMIT_CPU, &few_seconds);
            return area.last_id(area.end) == 1 ? 0 : 1;
        },
        60000);
    EXPECT_EQ(status, 0);
}

} // namespace
