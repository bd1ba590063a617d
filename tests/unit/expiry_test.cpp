// SPDX-License-Identifier: LGPL-2.1-or-later
// Expiry: when a chunk is hidden, from whom, and what it costs to know the time.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <random>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;
constexpr uint64_t tick = 4 * ms;
constexpr uint64_t ttl = 100 * ms;

class Expiry : public testing::Test {
protected:
    Expiry() {
        faults.clock.set_tick(tick);
        faults.clock.freeze();
    }
    void pass(uint64_t ns) { faults.clock.jump(int64_t(ns)); }
    uint64_t put(uint64_t time_to_live) { return commit_chunk(writer, "x", living(time_to_live)); }
    Ids fresh_ids() { return ids_of(read_all(open_reader(name))); }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

TEST_F(Expiry, never_early_and_at_most_two_ticks_late) {
    uint64_t id = put(ttl);
    EXPECT_EQ(fresh_ids(), Ids{id});
    pass(ttl);
    EXPECT_EQ(fresh_ids(), Ids{id}); // not before its time is over
    pass(2 * tick);
    EXPECT_EQ(fresh_ids(), Ids{});
}

TEST_F(Expiry, is_over_at_the_deadline_itself) {
    put(ttl);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
    uint64_t now = speculo_now();
    EXPECT_GE(view.expires_ns, now + ttl);
    EXPECT_LE(view.expires_ns, now + ttl + 2 * tick);
    pass(view.expires_ns - now - 1);
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 1);
    pass(1);
    EXPECT_EQ(speculo_chunk_is_live(reader, &view), 0);
}

// Chunks with a deadline, and with a tag besides, are laid by short ways, which end with the room and with the segment.
TEST_F(Expiry, fills_segment_after_segment) {
    for (uint32_t number = 1; number <= 3000; ++number) {
        ChunkOptions options = living(ttl);
        options.tag = number > 2000 && number % 3 == 0 ? number : 0;
        std::string text(number % 50, char('a' + number % 26));
        EXPECT_EQ(commit_chunk(writer, text, options), number);
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        EXPECT_EQ(seen(view).payload, text);
        EXPECT_EQ(view.tag, options.tag);
        EXPECT_NE(view.expires_ns, 0u);
        if (number % 10 == 0) { pass(ttl); }
    }
    EXPECT_EQ(speculo_area_check(name.c_str(), nullptr, nullptr), 0);
    EXPECT_GE(info_of(writer).generation, 4u);
}

TEST_F(Expiry, counts_from_alloc_not_from_commit) {
    put_chunk(writer, "x", living(ttl));
    pass(ttl / 2);
    commit(writer);
    pass(ttl / 2 + 2 * tick);
    EXPECT_EQ(fresh_ids(), Ids{});
}

TEST_F(Expiry, counts_time_asleep) {
    put(ttl);
    faults.clock.sleep(int64_t(ttl + 2 * tick));
    faults.clock.tick(); // a machine that wakes up ticks again
    EXPECT_EQ(fresh_ids(), Ids{});
}

TEST_F(Expiry, the_host_s_clock_counts_in_every_namespace) {
    put(ttl);
    faults.clock.set_namespace(int64_t(1000 * ttl)); // another process, in another time namespace
    Handle other = open_reader(name);
    speculo_chunk view{};
    EXPECT_EQ(speculo_read_next(other, &view), 1);
    EXPECT_LE(view.expires_ns, speculo_now() + ttl + 2 * tick);
    faults.clock.set_namespace(-int64_t(10 * ttl));
    pass(ttl + 2 * tick);
    EXPECT_EQ(fresh_ids(), Ids{});
}

TEST_F(Expiry, needs_a_clock_to_begin_and_none_to_read) {
    put(ttl);
    faults.clock.set_namespace(0, EOPNOTSUPP);
    Handle other = open_reader(name);
    pass(10 * ttl);
    EXPECT_EQ(read_all(other).size(), 1u); // an unknown clock hides nothing
    writer.close();
    writer = open_writer(name);
    EXPECT_EQ(try_alloc(writer, 8, living(ttl)), -EOPNOTSUPP);
    EXPECT_EQ(speculo_now(), 0u);
    commit_chunk(writer, "x");
    EXPECT_EQ(try_alloc(writer, 8, living(ttl)), -EOPNOTSUPP); // where the short ways are open, too
    EXPECT_EQ(read_all(other).size(), 1u);
}

// What is no answer hides nothing that lives, and shows nothing that is over.
class ClockThatFails : public Expiry {
protected:
    ClockThatFails() {
        put_key(writer, "over", "x", living(ttl));
        commit(writer);
        pass(2 * ttl);
        live = put_key(writer, "live", "x", living(ttl));
        commit(writer);
    }
    void expect_failures(const std::vector<std::function<int()>> &calls) {
        faults.reset_counts();
        faults.fail_from(Site::clock_boot_offset, 1, EMFILE);
        for (size_t i = 0; i < calls.size(); ++i) { EXPECT_EQ(calls[i](), -EMFILE) << i; }
        faults.heal();
    }
    int info(speculo_area *area) {
        info_ = {};
        info_.struct_size = sizeof info_;
        return speculo_area_get_info(area, &info_);
    }
    int snapshot(speculo_area *area) {
        speculo_snapshot *opened = nullptr;
        int error = speculo_snapshot_open(area, &opened);
        speculo_snapshot_close(opened);
        return error;
    }
    int key(speculo_area *area, const char *text) { return speculo_read_key(area, text, 4, &view); }

    uint64_t live;
    speculo_chunk view{};

private:
    speculo_area_info info_;
};

TEST_F(ClockThatFails, P5_P9_is_an_error_of_each_call_and_nothing_is_lost) {
    for (uint32_t flags : {0u, uint32_t(SPECULO_OPEN_UNTRUSTED)}) {
        Handle fresh = open_reader(name, flags);
        expect_failures({[&] { return speculo_read_next(fresh, &view); }, [&] { return speculo_wait(fresh, 0); },
                         [&] { return key(fresh, "live"); }, [&] { return key(fresh, "over"); }, [&] { return snapshot(fresh); },
                         [&] { return info(fresh); }});
        EXPECT_EQ(ids_of(read_all(fresh)), Ids{live});
        EXPECT_EQ(value_of(fresh, "live"), "x");
        EXPECT_EQ(value_of(fresh, "over"), no_value);
        EXPECT_EQ(info_of(fresh).expired_chunks, 1u);
    }
}

TEST_F(ClockThatFails, P9_is_an_error_where_the_chunk_is_known_already) {
    faults.clock.set_namespace(0, EOPNOTSUPP);
    Handle fresh = open_reader(name);
    for (int i = 0; i < 3; ++i) { EXPECT_EQ(key(fresh, "live"), 1); } // remembered
    faults.clock.set_namespace(0);
    expect_failures({[&] { return key(fresh, "live"); }, [&] { return speculo_chunk_is_live(fresh, &view); }});
    EXPECT_EQ(key(fresh, "live"), 1);
    EXPECT_EQ(speculo_chunk_is_live(fresh, &view), 1);
    pass(2 * ttl);
    EXPECT_EQ(key(fresh, "live"), 0);
}

TEST_F(ClockThatFails, P9_is_an_error_of_a_writer_that_counts) {
    writer.close();
    writer = open_writer(name);
    expect_failures({[&] { return info(writer); }});
    EXPECT_EQ(info_of(writer).expired_chunks, 1u);
}

TEST_F(Expiry, a_cursor_passes_what_has_expired) {
    put(ttl);
    put(ttl);
    uint64_t c = put(3 * ttl);
    pass(2 * ttl);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.id, c);
    EXPECT_EQ(view.skipped, 2u);
    EXPECT_EQ(info_of(reader).skipped, 2u);
}

TEST_F(Expiry, hides_in_history_too) {
    put(ttl);
    uint64_t b = put(0);
    compact_now(writer);
    pass(2 * ttl);
    EXPECT_EQ(ids_of(read_all(reader)), Ids{b});
    EXPECT_EQ(info_of(reader).skipped, 1u);
}

TEST_F(Expiry, a_view_keeps_its_bytes) {
    put(ttl);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    pass(2 * ttl);
    EXPECT_EQ(seen(view).payload, "x");
    EXPECT_EQ(speculo_chunk_hold(reader, &view), 0);
    for (int i = 0; i < 4; ++i) { compact_now(writer); }
    EXPECT_EQ(seen(view).payload, "x");
    speculo_chunk_release(&view);
}

TEST_F(Expiry, compaction_drops_what_has_expired_and_keeps_the_deadlines_of_the_rest) {
    put(ttl);
    uint64_t b = put(3 * ttl);
    pass(2 * ttl);
    speculo_area_info info = info_of(reader);
    EXPECT_EQ(info.live_chunks, 1u);
    EXPECT_EQ(info.expired_chunks, 1u);
    compact_now(writer);
    info = info_of(reader);
    EXPECT_EQ(info.live_chunks, 1u);
    EXPECT_EQ(info.expired_chunks, 0u);
    EXPECT_EQ(fresh_ids(), Ids{b});
    pass(2 * ttl);
    EXPECT_EQ(fresh_ids(), Ids{});
}

TEST_F(Expiry, an_endless_time_to_live_is_none) {
    put(UINT64_MAX);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.expires_ns, 0u);
    put(UINT64_MAX - 2 * speculo_now());
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_GT(view.expires_ns, UINT64_MAX / 2);
    pass(uint64_t(1) << 61);
    EXPECT_EQ(fresh_ids().size(), 2u);
}

// Where the time is known already, short ways lay what has a deadline; what has none, after all, is not their business. (In memory that was
// used before: a deadline that nobody stored would be what stood there.)
TEST_F(Expiry, an_endless_time_to_live_is_none_either_where_the_time_is_known) {
    for (uint32_t number = 1; number <= 3000; ++number) {
        bool is_endless = number % 3 == 0;
        ChunkOptions options = living(is_endless ? UINT64_MAX : ttl);
        options.tag = number % 2;                // another short way
        options.flags = SPECULO_CHUNK_TRANSIENT; // or the endless ones would fill the area
        uint64_t id = commit_chunk(writer, "x", options);
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        EXPECT_EQ(view.id, id);
        EXPECT_EQ(view.expires_ns == 0, is_endless);
        if (number % 10 == 0) { pass(ttl); }
    }
}

TEST_F(Expiry, an_endless_time_to_live_takes_no_room) {
    put(ttl); // the time is known
    uint64_t before = info_of(reader).used;
    commit_chunk(writer, "x");
    uint64_t each = info_of(reader).used - before;
    commit_chunk(writer, "x", living(UINT64_MAX));
    EXPECT_EQ(info_of(reader).used - before, 2 * each);
    commit_chunk(writer, "x", living(ttl));
    EXPECT_GT(info_of(reader).used - before, 3 * each);
}

TEST_F(Expiry, an_expired_chunk_that_is_still_stored_can_be_superseded_or_obsoleted) {
    uint64_t a = put(ttl), b = put(ttl), c = put(ttl);
    pass(2 * ttl);
    commit_chunk(writer, "y", superseding(a));
    EXPECT_EQ(speculo_chunk_obsolete(writer, b), 0);
    commit(writer);
    compact_now(writer);
    EXPECT_EQ(speculo_chunk_obsolete(writer, c), -ENOENT);
    EXPECT_EQ(fresh_ids(), Ids{4});
}

TEST_F(Expiry, one_that_expires_between_alloc_and_commit_is_never_seen) {
    put_chunk(writer, "x", living(ttl));
    pass(2 * ttl);
    commit(writer);
    EXPECT_EQ(read_all(reader).size(), 0u);
    put(0);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.skipped, 1u);
}

// ---- what it costs ----------------------------------------------------------------------------------------------------------

TEST_F(Expiry, only_a_compaction_looks_at_the_clock_where_nothing_has_a_deadline) {
    faults.reset_counts();
    for (int i = 0; i < 10; ++i) { commit_key(writer, "k", "x"); }
    read_all(reader);
    value_of(reader, "k");
    for (Site site : {Site::clock_coarse, Site::clock_boot, Site::clock_boot_offset}) { EXPECT_EQ(faults.calls(site), 0u); }
    compact_now(writer);
    EXPECT_EQ(faults.calls(Site::clock_coarse), 1u); // whether it is time to look for the area's name
    EXPECT_EQ(faults.calls(Site::clock_boot) + faults.calls(Site::clock_boot_offset), 0u);
}

TEST_F(Expiry, the_boot_clock_is_read_once_per_tick) {
    for (int i = 0; i < 20; ++i) { put(1000 * ttl); }
    read_all(reader);
    faults.reset_counts();
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(speculo_seek(reader, 0), 0);
        EXPECT_EQ(read_all(reader).size(), 20u);
    }
    EXPECT_EQ(faults.calls(Site::clock_coarse), 100u);
    EXPECT_EQ(faults.calls(Site::clock_boot), 0u);
    faults.clock.tick();
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    read_all(reader);
    EXPECT_EQ(faults.calls(Site::clock_boot), 1u);
}

TEST_F(Expiry, a_compaction_asks_for_the_time_once) {
    for (int i = 0; i < 20; ++i) { put(1000 * ttl); }
    faults.clock.tick();
    faults.reset_counts();
    compact_now(writer);
    EXPECT_EQ(faults.calls(Site::clock_coarse), 2u); // of all chunks one moment; the other reading is for the area's name
    EXPECT_EQ(faults.calls(Site::clock_boot), 1u);
}

// It may run ahead, stand still, go back, or be anything: what has no deadline stays, and no byte changes that somebody holds.
TEST_F(Expiry, P7_P8_whatever_the_clocks_do_time_only_hides) {
    std::mt19937_64 random(1);
    Ids lasting;
    std::vector<speculo_chunk> holds;
    int64_t ahead = 0;
    for (uint64_t i = 0; i < 400; ++i) {
        auto far = int64_t(random() >> (3 + random() % 61));
        int64_t next = random() % 2 ? far : -far;
        faults.clock.jump(next - ahead);
        ahead = next;
        if (random() % 8 == 0) { faults.clock.sleep(int64_t(random() >> 14)); }
        put(1 + (random() >> random() % 64));
        if (i % 8 == 0) { lasting.push_back(commit_key(writer, std::to_string(i), std::string(50, char('a' + i % 26)))); }
        speculo_chunk view{};
        if (i % 16 == 0 && speculo_read_key(reader, std::to_string(i).data(), std::to_string(i).size(), &view) == 1) {
            ASSERT_EQ(speculo_chunk_hold(reader, &view), 0);
            holds.push_back(view);
        }
        if (i % 5 == 0) { compact_now(writer); }
        Ids live = live_ids(name);
        EXPECT_TRUE(std::includes(live.begin(), live.end(), lasting.begin(), lasting.end())) << "round " << i;
    }
    EXPECT_EQ(holds.size(), 25u);
    for (size_t i = 0; i < holds.size(); ++i) {
        EXPECT_EQ(seen(holds[i]).payload, std::string(50, char('a' + i * 16 % 26)));
        speculo_chunk_release(&holds[i]);
    }
    reader.close();
    writer.close();
    writer = open_writer(name);
    Ids live = live_ids(name);
    EXPECT_TRUE(std::includes(live.begin(), live.end(), lasting.begin(), lasting.end()));
}

} // namespace
