// SPDX-License-Identifier: LGPL-2.1-or-later
// Snapshots: the live set at one commit boundary, held fixed whatever the writer does.
#include <gtest/gtest.h>

#include "faults.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;

// A snapshot that closes itself.
class Shot {
public:
    explicit Shot(speculo_area *reader) { EXPECT_EQ(speculo_snapshot_open(reader, &snapshot_), 0); }
    ~Shot() { close(); }
    Shot(const Shot &) = delete;
    Shot &operator=(const Shot &) = delete;

    void close() { snapshot_ = speculo_snapshot_close(snapshot_); }
    int next(speculo_chunk &chunk) { return speculo_snapshot_next(snapshot_, &chunk); }
    int key(const std::string &key, speculo_chunk &chunk) {
        return speculo_snapshot_key(snapshot_, key.data(), key.size(), &chunk);
    }
    std::vector<Seen> rest() {
        std::vector<Seen> all;
        speculo_chunk chunk{};
        int found;
        while ((found = next(chunk)) == 1) { all.push_back(seen(chunk)); }
        EXPECT_EQ(found, 0);
        return all;
    }
    Ids ids() { return ids_of(rest()); }
    std::string value(const std::string &name) {
        speculo_chunk chunk{};
        int found = key(name, chunk);
        EXPECT_GE(found, 0) << speculo_strerror(found);
        return found == 1 ? seen(chunk).payload : no_value;
    }

private:
    speculo_snapshot *snapshot_ = nullptr;
};

class Snapshot : public testing::Test {
protected:
    uint64_t put(const ChunkOptions &options = {}) { return commit_chunk(writer, "x", options); }
    void remove(const std::string &key) {
        EXPECT_EQ(remove_key(writer, key), 0);
        commit(writer);
    }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
};

TEST_F(Snapshot, has_what_is_live_in_commit_order) {
    uint64_t a = put(), b = put(transient()), c = commit_key(writer, "k", "one");
    uint64_t d = commit_key(writer, "k", "two"), e = put(superseding(a));
    commit_key(writer, "gone", "");
    remove("gone");
    uint64_t f = put();
    EXPECT_EQ(speculo_chunk_obsolete(writer, f), 0);
    commit(writer);
    put_chunk(writer, "pending");
    EXPECT_EQ(Shot(reader).ids(), (Ids{b, d, e}));
    EXPECT_EQ(c, 3u);
}

TEST_F(Snapshot, is_at_its_end_once_and_for_all) {
    put();
    Shot shot(reader);
    EXPECT_EQ(shot.ids(), Ids{1});
    put();
    EXPECT_EQ(shot.ids(), Ids{});
    Shot empty(open_reader(name, SPECULO_OPEN_NO_CURSOR));
    EXPECT_EQ(empty.ids(), (Ids{1, 2}));
}

TEST_F(Snapshot, of_an_empty_area_is_empty) {
    Shot shot(reader);
    put();
    EXPECT_EQ(shot.ids(), Ids{});
    EXPECT_EQ(shot.value("k"), no_value);
}

TEST_F(Snapshot, P3_later_commits_change_nothing_in_it) {
    uint64_t a = put(), b = commit_key(writer, "k", "before"), c = commit_key(writer, "removed", "before"), d = put();
    Shot shot(reader);
    put(superseding(a));
    commit_key(writer, "k", "after");
    commit_key(writer, "k", "later");
    remove("removed");
    EXPECT_EQ(speculo_chunk_obsolete(writer, d), 0);
    commit(writer);
    commit_key(writer, "new", "after");
    EXPECT_EQ(shot.value("k"), "before");
    EXPECT_EQ(shot.value("removed"), "before");
    EXPECT_EQ(shot.value("new"), no_value);
    EXPECT_EQ(shot.ids(), (Ids{a, b, c, d}));
    Shot now(reader);
    EXPECT_EQ(now.value("k"), "later");
    EXPECT_EQ(now.value("removed"), no_value);
    EXPECT_EQ(now.ids(), (Ids{5, 7, 9}));
}

TEST_F(Snapshot, P3_a_commit_is_in_it_as_a_whole_or_not_at_all) {
    Ids replaced = {put(), put(), put()};
    Shot before(reader);
    Ids fresh;
    for (uint64_t id : replaced) { fresh.push_back(put_chunk(writer, "y", superseding(id))); }
    Shot between(reader);
    commit(writer);
    Shot after(reader);
    EXPECT_EQ(before.ids(), replaced);
    EXPECT_EQ(between.ids(), replaced);
    EXPECT_EQ(after.ids(), fresh);
}

TEST_F(Snapshot, P7_outlives_compactions_and_stays_as_it_was) {
    std::vector<Seen> expected;
    for (int i = 0; i < 20; ++i) {
        std::string text(size_t(i * 7), char('a' + i));
        expected.push_back(
            Seen{commit_key(writer, "key" + std::to_string(i), text), text, "key" + std::to_string(i), 0, 0, 0, 0});
    }
    Shot shot(reader);
    for (int i = 0; i < 20; ++i) {
        commit_key(writer, "key" + std::to_string(i), "other");
        compact_now(writer);
    }
    for (const Seen &one : expected) { EXPECT_EQ(shot.value(one.key), one.payload); }
    EXPECT_EQ(shot.rest(), expected);
}

// The versions since lie beyond what the snapshot knew to be readable.
TEST_F(Snapshot, finds_keys_when_the_segment_has_grown_since) {
    AreaName other;
    Handle grown = make_area(other, uint64_t(4) << 20);
    Handle looking = open_reader(other, SPECULO_OPEN_NO_CURSOR);
    commit_key(grown, "k", "old");
    Shot shot(looking);
    for (int i = 0; i < 20; ++i) { commit_chunk(grown, std::string(60000, 'x')); }
    for (int i = 0; i < 3; ++i) { commit_key(grown, "k", "new"); }
    EXPECT_EQ(info_of(grown).generation, 1u);
    EXPECT_EQ(shot.value("k"), "old");
    looking.close();
    for (int i = 0; i < 20; ++i) { commit_chunk(grown, std::string(60000, 'x')); }
    for (int i = 0; i < 3; ++i) { commit_key(grown, "k", "newest"); }
    faults.fail_from(Site::status, 1, EIO); // nobody can tell how far it has grown
    speculo_chunk chunk{};
    EXPECT_EQ(shot.key("k", chunk), -EIO);
    faults.heal();
    EXPECT_EQ(shot.value("k"), "old"); // also without its handle
    EXPECT_EQ(shot.ids(), Ids{1});
}

// The cursor stands where what it knew to be readable ends; one more chunk lies behind that.
TEST_F(Snapshot, of_a_removed_area_is_refused_only_when_all_is_read_that_the_segment_has_grown_by) {
    AreaName other;
    Handle grown = make_area(other, uint64_t(4) << 20);
    Handle looking = open_reader(other);
    const core::Cursor &cursor = static_cast<core::Reader *>(static_cast<speculo_area *>(looking))->cursor;
    uint32_t places = cursor.segment->map.readable - inside(grown).tail;
    commit_chunk(grown, std::string((places - 1) * core::place_size, 'x'));
    commit_chunk(grown, "more");
    grown.close();
    ASSERT_EQ(speculo_area_remove(other.c_str()), 0);
    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_next(looking, &chunk), 1);
    ASSERT_EQ(cursor.place, cursor.segment->map.readable);
    faults.reset_counts();
    faults.fail(Site::status, 1, EIO);
    EXPECT_EQ(Shot(looking).ids(), (Ids{1, 2})) << "nobody can tell whether all is read";
    EXPECT_EQ(faults.fired(), 1u);
    faults.heal();
    ASSERT_EQ(speculo_seek(looking, 0), 0);
    EXPECT_EQ(ids_of(read_all(looking)), (Ids{1, 2}));
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(looking, &snapshot), -ESTALE);
}

TEST_F(Snapshot, judges_expiry_at_its_opening) {
    faults.clock.set_tick(ms);
    faults.clock.freeze();
    uint64_t a = put(living(10 * ms)), b = put_key(writer, "k", "v", living(20 * ms));
    commit(writer);
    Shot both(reader);
    faults.clock.jump(15 * ms);
    Shot one(reader);
    faults.clock.jump(15 * ms);
    Shot none(reader);
    EXPECT_EQ(both.value("k"), "v");
    EXPECT_EQ(one.value("k"), "v");
    EXPECT_EQ(none.value("k"), no_value);
    EXPECT_EQ(both.ids(), (Ids{a, b}));
    EXPECT_EQ(one.ids(), Ids{b});
    EXPECT_EQ(none.ids(), Ids{});
}

TEST_F(Snapshot, several_walk_on_their_own) {
    Ids all = {put(), put(), put()};
    Shot first(reader), second(reader);
    speculo_chunk chunk{};
    EXPECT_EQ(first.next(chunk), 1);
    EXPECT_EQ(second.ids(), all);
    EXPECT_EQ(first.ids(), (Ids{all[1], all[2]}));
}

TEST_F(Snapshot, outlives_its_handle_and_pins_its_segment) {
    commit_key(writer, "k", "kept");
    SegmentProbe segment = current_segment(name);
    uint64_t generation = segment.generation();
    Shot shot(reader), another(reader);
    reader.close();
    EXPECT_EQ(segment.locks(), os::has_range_locks ? "view" : "free");
    for (int i = 0; i < 10; ++i) { commit_key(writer, "k", "other"), compact_now(writer); }
    EXPECT_NE(segment.generation(), generation); // nobody enters any more; another object has taken its place
    EXPECT_EQ(shot.value("k"), "kept");
    shot.close();
    EXPECT_EQ(segment.locks(), os::has_range_locks ? "view" : "free");
    EXPECT_EQ(another.value("k"), "kept");
    another.close();
    EXPECT_EQ(segment.locks(), "free");
}

TEST_F(Snapshot, leaves_nothing_behind_whatever_the_order) {
    put();
    size_t mappings = faults.mappings(), descriptors = faults.descriptors(), allocations = faults.allocations();
    for (int i = 0; i < 6; ++i) {
        Handle own = open_reader(name, SPECULO_OPEN_NO_CURSOR);
        Shot first(own), second(own), third(own);
        if (i % 2 == 0) { own.close(); }
        if (i % 3 == 0) { second.close(), first.close(); }
        if (i % 3 == 1) { third.close(), first.close(); }
        compact_now(writer);
    }
    for (int i = 0; i < 3; ++i) { compact_now(writer); }
    EXPECT_EQ(faults.descriptors(), descriptors + 2); // of the writer's other two segments
    EXPECT_EQ(faults.mappings(), mappings + 2);
    EXPECT_EQ(faults.allocations(), allocations + 2);
}

TEST_F(Snapshot, opening_fails_cleanly) {
    put();
    std::vector<std::pair<Site, uint64_t>> ways = {{Site::allocate, 1}, {Site::allocate, 2}, {Site::open, 1}, {Site::status, 2}};
    std::vector<std::pair<Site, uint64_t>> more = {{Site::open, 2}, {Site::read_at, 1}, {Site::map, 1}};
    if (are_readers_untrusting()) { more = {{Site::allocate, 3}, {Site::read_at, 1}, {Site::read_at, 4}, {Site::read_at, 6}}; }
    ways.insert(ways.end(), more.begin(), more.end());
    for (auto [site, call] : ways) {
        Handle own = open_reader(name, SPECULO_OPEN_NO_CURSOR);
        compact_now(writer); // it has to enter a segment that it does not know
        size_t allocations = faults.allocations(), descriptors = faults.descriptors();
        speculo_snapshot *snapshot = nullptr;
        faults.reset_counts();
        faults.fail(site, call, ENOMEM);
        EXPECT_EQ(speculo_snapshot_open(own, &snapshot), -ENOMEM) << site_name(site);
        faults.heal();
        EXPECT_EQ(snapshot, nullptr);
        EXPECT_EQ(faults.allocations(), allocations);
        EXPECT_EQ(faults.descriptors(), descriptors);
        EXPECT_EQ(Shot(own).ids(), Ids{1});
    }
}

// Looking for the name takes a system call, which costs more than all the rest of an opening.
TEST_F(Snapshot, P11_whether_the_area_has_its_name_is_looked_for_once_a_tick) {
    put();
    faults.clock.freeze();
    Shot(reader).ids();
    faults.reset_counts();
    for (int i = 0; i < 3; ++i) { EXPECT_EQ(Shot(reader).ids(), Ids{1}); }
    EXPECT_EQ(faults.calls(Site::status), 0u);
    ASSERT_EQ(unlink(name.path().c_str()), 0);
    EXPECT_EQ(Shot(reader).ids(), Ids{1});
    faults.clock.tick();
    speculo_snapshot *snapshot = nullptr;
    for (int i = 0; i < 3; ++i) { EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), -ESTALE); }
}

TEST_F(Snapshot, a_removal_is_told_at_once) {
    put();
    faults.clock.freeze();
    EXPECT_EQ(Shot(reader).ids(), Ids{1});
    writer.close();
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), -ESTALE);
}

TEST_F(Snapshot, where_no_clock_is_known_the_name_is_looked_for_each_time) {
    put();
    faults.clock.freeze();
    faults.clock.set_namespace(0, EOPNOTSUPP);
    EXPECT_EQ(Shot(reader).ids(), Ids{1});
    ASSERT_EQ(unlink(name.path().c_str()), 0);
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), -ESTALE);
}

TEST_F(Snapshot, misuse_is_refused) {
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(writer, &snapshot), -EINVAL);
    EXPECT_EQ(speculo_snapshot_open(reader, nullptr), -EINVAL);
    EXPECT_EQ(speculo_snapshot_open(nullptr, &snapshot), -EINVAL);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_snapshot_next(nullptr, &chunk), -EINVAL);
    Shot shot(reader);
    EXPECT_EQ(shot.key("", chunk), -EINVAL);
    EXPECT_EQ(shot.key(std::string(256, 'k'), chunk), -EINVAL);
    EXPECT_EQ(speculo_snapshot_close(nullptr), nullptr);
}

} // namespace
