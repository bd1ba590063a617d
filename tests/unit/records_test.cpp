// SPDX-License-Identifier: LGPL-2.1-or-later
// Plain chunks that wait for the commit are known by their frames alone, until something joins them that has to have a record.
#include <cerrno>
#include <functional>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t hour = uint64_t(3600) * 1000 * ms;

class Records : public testing::Test {
protected:
    Records() {
        commit_key(writer_, "old", "value");
        make_easy();
        read_all(reader_);
    }
    // There is room, and the clock is known: nothing else keeps a plain chunk from going the short way.
    void make_easy() {
        put_chunk(writer_, "x", living(hour));
        EXPECT_EQ(speculo_rollback(writer_), 0);
    }
    size_t records() const { return inside(writer_).pending_count; }

    // One of each kind that is plain.
    void put_plain() {
        ChunkOptions all;
        all.ttl_ns = hour;
        all.tag = 7;
        all.flags = SPECULO_CHUNK_TRANSIENT;
        ChunkOptions tagged;
        tagged.tag = 9;
        expect(put_chunk(writer_, "bare"), "bare", "");
        expect(put_chunk(writer_, ""), "", "");
        expect(put_chunk(writer_, "transient", transient()), "transient", "");
        expect(put_chunk(writer_, "living", living(hour)), "living", "");
        expect(put_chunk(writer_, std::string(300, 't'), tagged), std::string(300, 't'), "");
        expect(put_key(writer_, "k", "keyed"), "keyed", "k");
        expect(put_key(writer_, std::string(255, 'l'), "long", all), "long", std::string(255, 'l'));
    }
    void expect(uint64_t id, const std::string &payload, const std::string &key) {
        expected_.push_back({id, payload, key, 0, 0, 0, 0});
    }
    void expect_all() {
        commit(writer_);
        std::vector<Seen> seen = read_all(reader_);
        ASSERT_EQ(seen.size(), expected_.size());
        for (size_t i = 0; i < seen.size(); ++i) { EXPECT_TRUE(seen[i] == expected_[i]) << i << ": " << seen[i].payload; }
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
        EXPECT_EQ(value_of(name_, "k"), "keyed");
        expected_.clear();
    }

    AreaName name_;
    Handle writer_ = make_area(name_, 64 << 10);
    Handle reader_ = open_reader(name_);
    std::vector<Seen> expected_;
};

TEST_F(Records, plain_chunks_need_none) {
    read_all(reader_);
    for (int i = 0; i < 20; ++i) {
        put_plain();
        EXPECT_EQ(records(), 0u);
        EXPECT_EQ(inside(writer_).pending_keys, 2u);
        expect_all();
        EXPECT_EQ(inside(writer_).pending_keys, 0u);
        EXPECT_EQ(inside(writer_).pending_slots, 0u);
    }
}

TEST_F(Records, one_key_may_be_anywhere_in_a_plain_batch) {
    for (int before = 0; before < 3; ++before) {
        for (int behind = 0; behind < 3; ++behind) {
            for (int i = 0; i < before; ++i) { expect(put_chunk(writer_, "before"), "before", ""); }
            expect(put_key(writer_, "k", "keyed"), "keyed", "k");
            for (int i = 0; i < behind; ++i) { expect(put_chunk(writer_, "behind"), "behind", ""); }
            EXPECT_EQ(records(), 0u);
            expect_all();
        }
    }
}

// Over several pages, so that the index has to name some of them; and a copy is made of all.
TEST_F(Records, a_plain_batch_is_found_by_id_and_carried_over) {
    std::vector<uint64_t> ids = live_ids(name_);
    for (int i = 0; i < 200; ++i) {
        ids.push_back(i == 100 ? put_key(writer_, "k", "keyed") : put_chunk(writer_, std::string(100, 'p')));
    }
    EXPECT_EQ(records(), 0u);
    commit(writer_);
    ASSERT_GT(inside(writer_).committed, 4 * core::places_per_page);
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
    for (uint64_t id : ids) {
        ASSERT_EQ(speculo_seek(reader_, id), 0);
        speculo_chunk chunk;
        ASSERT_EQ(speculo_read_next(reader_, &chunk), 1);
        EXPECT_EQ(chunk.id, id);
    }
    compact_now(writer_);
    EXPECT_EQ(live_ids(name_), ids);
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
}

TEST_F(Records, all_have_one_once_something_joins_them) {
    const std::string old = "old";
    uint64_t committed = commit_chunk(writer_, "to end");
    struct Joiner {
        const char *what;
        std::function<void()> join;
    };
    auto put = [&](const std::string &payload, const ChunkOptions &options) {
        expect(put_chunk(writer_, payload, options), payload, "");
    };
    const Joiner joiners[] = {
        {"an alignment", [&] { put("aligned", aligned(256)); }},
        {"a predecessor", [&] { put("superseding", superseding(committed)); }},
        {"a predecessor that waits",
         [&] {
             put("superseding", superseding(expected_[0].id));
             expected_.erase(expected_.begin());
         }},
        {"the end of one that waits",
         [&] {
             EXPECT_EQ(speculo_chunk_obsolete(writer_, expected_[2].id), 0);
             expected_.erase(expected_.begin() + 2);
         }},
        {"the end of one that is committed", [&] { EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), 0); }},
        {"a removal",
         [&] {
             put_key(writer_, "gone", "at once");
             EXPECT_EQ(remove_key(writer_, "gone"), 0);
             expect(expected_.back().id + 2, "", "gone");
         }},
        {"a compaction", [&] { put(std::string(40000, 'c'), transient()); }},
    };
    for (const Joiner &joiner : joiners) {
        SCOPED_TRACE(joiner.what);
        compact_now(writer_);
        make_easy();
        if (joiner.what == std::string("a compaction")) { put(std::string(20000, 'b'), transient()); }
        read_all(reader_);
        put_plain();
        ASSERT_EQ(records(), 0u);
        joiner.join();
        EXPECT_GE(records(), 7u);
        put("and another", {});
        expect_all();
        EXPECT_EQ(records(), 0u);
    }
}

TEST_F(Records, more_plain_chunks_than_there_is_room_for) {
    constexpr int count = 1000;
    for (int i = 0; i < count; ++i) { put_chunk(writer_, std::to_string(i)); }
    ASSERT_EQ(records(), 0u);
    uint64_t last = put_chunk(writer_, "aligned", aligned(64));
    EXPECT_EQ(records(), count + 1u);
    commit(writer_);
    std::vector<Seen> seen = read_all(reader_);
    ASSERT_EQ(seen.size(), count + 1u);
    for (int i = 0; i < count; ++i) { EXPECT_EQ(seen[size_t(i)].payload, std::to_string(i)); }
    EXPECT_EQ(seen.back().id, last);
}

TEST_F(Records, without_memory_for_them_what_joins_is_refused_and_the_others_stay) {
    constexpr int count = 1000; // more than there has been room for
    Faults faults;
    for (int i = 0; i < count; ++i) { put_chunk(writer_, std::to_string(i)); }
    faults.fail_from(Site::allocate, 1, ENOMEM);
    EXPECT_EQ(try_alloc(writer_, 5, aligned(64)), -ENOMEM);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, 1), -ENOMEM);
    EXPECT_EQ(remove_key(writer_, "old"), -ENOMEM);
    EXPECT_EQ(records(), 0u);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 2), 0) << "needs none";
    put_chunk(writer_, "another");
    commit(writer_);
    faults.heal();
    std::vector<Seen> seen = read_all(reader_);
    ASSERT_EQ(seen.size(), count + 1u);
    EXPECT_EQ(seen[count - 1].payload, "99");
    EXPECT_EQ(seen[count].payload, "another");
    EXPECT_EQ(value_of(name_, "old"), "value");
}

TEST_F(Records, without_memory_for_its_record_a_removal_is_refused) {
    Faults faults;
    put_chunk(writer_, "aligned", aligned(64));
    while (records() < inside(writer_).pending_room) { put_chunk(writer_, "x"); }
    faults.fail_from(Site::allocate, 1, ENOMEM);
    EXPECT_EQ(remove_key(writer_, "old"), -ENOMEM);
    faults.heal();
    EXPECT_EQ(remove_key(writer_, "old"), 0);
    commit(writer_);
    EXPECT_EQ(value_of(name_, "old"), no_value);
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
}

TEST_F(Records, the_last_plain_chunk_shrinks) {
    std::string key = "k";
    ChunkOptions full = living(hour);
    full.with_key(key);
    full.tag = 3;
    for (const ChunkOptions &options : {ChunkOptions(), transient(), living(hour), full}) {
        put_chunk(writer_, "first", options);
        put_chunk(writer_, std::string(1000, 's'), options);
        uint64_t used = info_of(writer_).used;
        EXPECT_EQ(speculo_chunk_shrink(writer_, 1001), -EINVAL);
        EXPECT_EQ(speculo_chunk_shrink(writer_, 1000), 0);
        EXPECT_EQ(info_of(writer_).used, used);
        EXPECT_EQ(speculo_chunk_shrink(writer_, 40), 0);
        EXPECT_EQ(speculo_chunk_shrink(writer_, 41), -EINVAL);
        EXPECT_LE(info_of(writer_).used, used - 944);
        put_chunk(writer_, "third", options);
        EXPECT_EQ(records(), 0u);
        commit(writer_);
        EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL) << "nothing is pending";
        std::vector<Seen> seen = read_all(reader_);
        if (options.key) { // the others are superseded
            ASSERT_EQ(seen.size(), 1u);
        } else {
            ASSERT_EQ(seen.size(), 3u);
            EXPECT_EQ(seen[1].payload, std::string(40, 's'));
        }
        EXPECT_EQ(seen.back().payload, "third");
    }
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
}

TEST_F(Records, the_first_of_a_plain_batch_may_be_superseded_in_it) {
    uint64_t dead = inside(writer_).dead;
    for (const char *payload : {"1", "2", "keyed"}) { put_key(writer_, "k", payload); }
    put_chunk(writer_, "between");
    EXPECT_EQ(records(), 0u);
    commit(writer_);
    EXPECT_EQ(inside(writer_).dead, dead + 2 * 3) << "places of what was superseded";
    std::vector<Seen> seen = read_all(reader_);
    ASSERT_EQ(seen.size(), 2u);
    EXPECT_EQ(seen[0].payload, "keyed");
    EXPECT_EQ(seen[0].skipped, 2u);
    EXPECT_EQ(value_of(name_, "k"), "keyed");
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
}

TEST_F(Records, a_damaged_version_does_not_spoil_what_is_counted) {
    for (uint32_t word : {0x7fffffffu, 0u}) {
        commit_key(writer_, "k", "1");
        SegmentProbe segment = current_segment(name_);
        core::Writer &writer = inside(writer_);
        uint64_t dead = writer.dead, places = writer.lasting.places;
        core::FrameHeader &version = segment.frame_of(writer.next_id - 1);
        uint32_t before = core::observe_commit(version.commit);
        core::put(version.commit, word);
        forget_keys(writer_);
        commit_key(writer_, "k", "2");
        EXPECT_EQ(writer.dead, dead);
        EXPECT_EQ(writer.lasting.places, places + 3) << "the new one's, and those of the old one";
        core::put(version.commit, before);
    }
}

// Nobody has to write 4 GiB for that: the word may say so of a small one as well.
TEST_F(Records, a_version_whose_size_follows_is_counted_by_it) {
    uint64_t id = commit_key(writer_, "k", std::string(100, 'k'));
    SegmentProbe segment = current_segment(name_);
    const core::SegmentMap &map = segment.map();
    core::put_field(map.bytes(segment.place_of(id)), core::frame_shape(core::frame_key, 1, true).size, uint64_t(100));
    core::put(segment.frame_of(id).commit, core::size_follows);
    uint64_t dead = inside(writer_).dead;
    forget_keys(writer_);
    commit_key(writer_, "k", "2");
    EXPECT_EQ(inside(writer_).dead, dead + 2 + 7);
    EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
}

// Counts that wrapped around would ask for a key table without an end.
TEST_F(Records, what_is_superseded_again_in_a_damaged_segment_does_not_spoil_what_is_counted) {
    uint64_t id = commit_key(writer_, "k", std::string(1000, 'k'));
    for (int i = 0; i < 20; ++i) { commit_chunk(writer_, "lasts"); }
    SegmentProbe segment = current_segment(name_);
    const core::Lasting &lasting = inside(writer_).lasting;
    for (int i = 0; i < 5; ++i) {
        core::Lasting before = lasting;
        core::put(segment.frame_of(id).successor, 0u);
        ASSERT_EQ(speculo_chunk_obsolete(writer_, id), 0);
        commit(writer_);
        EXPECT_EQ(lasting.chunks, before.chunks - 1);
        EXPECT_EQ(lasting.keys, before.keys ? before.keys - 1 : 0);
        EXPECT_LE(lasting.places, before.places);
    }
    ASSERT_EQ(lasting.keys, 0u);
    ASSERT_EQ(speculo_area_compact(writer_), 0);
    EXPECT_EQ(value_of(name_, "old"), "value");
    commit_key(writer_, "k", "2");
    EXPECT_EQ(value_of(name_, "k"), "2");
}

TEST(Lasting, nothing_is_taken_from_nothing) {
    core::Lasting lasting{};
    lasting.take(5, 0, core::frame_key);
    EXPECT_EQ(lasting.chunks + lasting.places + lasting.keys, 0u);
    lasting.add(10, 5, 0, 0);
    EXPECT_EQ(lasting.chunks, 1u);
    EXPECT_EQ(lasting.span(), 5u);
}

// A caller that writes beyond a payload spoils the header behind it. Whatever it makes of it, all that suffers is what waits behind:
// the area stays sound, and no word or record is written to but those of the commit.
class RecordsOverrun : public testing::Test {
protected:
    RecordsOverrun() { begin(); }
    void begin() {
        writer_.close();
        speculo_area_remove(name_.c_str());
        writer_ = make_area(name_, 16 << 10);
        commit_key(writer_, "old", "value");
        put_chunk(writer_, "x"); // from then on there is room without records
        EXPECT_EQ(speculo_rollback(writer_), 0);
    }
    std::byte *alloc(size_t size) {
        void *data = nullptr;
        EXPECT_EQ(speculo_chunk_alloc(writer_, size, nullptr, &data, nullptr), 0);
        return static_cast<std::byte *>(data);
    }
    // A header that waits, of a chunk with a key.
    static void lay_keyed_header(std::byte *at, uint64_t id, uint32_t key) {
        core::put_field(at, 0, 0u);
        core::put_field(at, 4, 1u);
        core::put_field(at, 8, core::pack_id(id, core::frame_key));
        const core::FrameShape &shape = core::shapes_to_key.of[core::frame_key];
        core::put_field(at, shape.link, key);
        core::put_field(at, shape.key_size, uint8_t(4));
        core::copy_bytes(at + shape.key, &key, 4);
    }
    void expect_sound(uint64_t first, bool is_joined) {
        if (is_joined) { put_chunk(writer_, "aligned", aligned(64)); }
        commit(writer_);
        EXPECT_EQ(inside(writer_).committed, inside(writer_).tail);
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
        EXPECT_EQ(value_of(name_, "old"), "value");
        Ids ids = live_ids(name_);
        EXPECT_NE(std::find(ids.begin(), ids.end(), first), ids.end());
        commit_key(writer_, "new", "works");
        EXPECT_EQ(value_of(name_, "new"), "works");
    }

    AreaName name_;
    Handle writer_;
};

TEST_F(RecordsOverrun, leaves_the_area_sound) {
    for (uint32_t pattern : {0u, 1u, 0x11u, 0x7fffffffu, 0xfffffffeu, 0xffffffffu, 0x04040404u, 0x20u}) {
        for (size_t size : {size_t(0), size_t(40), size_t(3000)}) {
            for (int words = 1; words <= 4; ++words) {
                begin();
                bool is_joined = (words + size) % 2;
                uint64_t first = inside(writer_).next_id;
                std::byte *data = alloc(16), *next = alloc(size);
                for (size_t i = 0; i + 4 <= size; i += 4) { core::copy_bytes(next + i, &pattern, 4); }
                put_chunk(writer_, "last");
                for (int i = 0; i < words; ++i) { core::copy_bytes(data + 16 + 4 * i, &pattern, 4); }
                expect_sound(first, is_joined);
            }
        }
    }
}

// Headers that are right in all but their keys, of which there are more than slots.
TEST_F(RecordsOverrun, brings_no_more_keys_than_there_are_slots) {
    uint64_t slots = current_segment(name_).map().geometry.table_slots;
    for (uint64_t i = 1; i < slots * 3 / 4; ++i) { commit_key(writer_, "key " + std::to_string(i), "v"); }
    std::byte *data = alloc(16);
    for (uint32_t i = 0; i < slots; ++i) {
        uint64_t id = inside(writer_).next_id;
        std::byte *next = alloc(16);
        lay_keyed_header(data + 16, id, i);
        data = next;
    }
    commit(writer_);
    EXPECT_EQ(value_of(name_, "old"), "value");
    EXPECT_EQ(value_of(name_, "key 1"), "v");
    EXPECT_EQ(speculo_area_compact(writer_), 0);
    EXPECT_EQ(value_of(name_, "old"), "value");
}

// What the chunk has in it would be headers by the thousand, were they believed.
TEST_F(RecordsOverrun, brings_no_more_chunks_than_there_were) {
    uint64_t first = inside(writer_).next_id;
    std::byte *data = alloc(16), *next = alloc(3000);
    for (uint32_t i = 0; 16 * i + 16 < 3000; ++i) {
        core::put_field(next + 16 * i, 4, 1u);
        core::put_field(next + 16 * i, 8, first + 2 + i);
    }
    core::put_field(data + 16, 4, 1u);
    expect_sound(first, true);
}

TEST_F(RecordsOverrun, ends_a_last_chunk_where_the_commit_ends) {
    uint64_t first = inside(writer_).next_id;
    std::byte *data = alloc(16);
    alloc(0);
    core::put_field(data + 24 - 16, 16, core::pack_id(first + 1, core::frame_expiry)); // its deadline would lie behind the tail
    expect_sound(first, false);
    EXPECT_EQ(read_all(open_reader(name_)).size(), 4u);
}

TEST_F(RecordsOverrun, takes_away_what_it_hides) {
    std::byte *data = alloc(16);
    uint64_t spoilt = put_chunk(writer_, "spoilt"), hidden = put_chunk(writer_, "hidden");
    std::memset(data, 0, 32);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, hidden), -ENOENT);
    EXPECT_EQ(try_alloc(writer_, 1, superseding(hidden)), -ENOENT);
    EXPECT_EQ(speculo_chunk_obsolete(writer_, spoilt), 0);
    EXPECT_EQ(speculo_rollback(writer_), 0);
    EXPECT_EQ(commit_chunk(writer_, "a"), spoilt - 1);
}

TEST_F(RecordsOverrun, lets_nothing_shrink_that_is_not_known) {
    std::byte *data = alloc(16);
    put_chunk(writer_, "spoilt");
    std::memset(data, 0, 32);
    EXPECT_EQ(speculo_chunk_shrink(writer_, 0), -EINVAL);
}

TEST_F(Records, what_waits_is_left_behind_when_the_writer_dies) {
    put_plain();
    SegmentProbe segment = current_segment(name_);
    uint32_t end = segment.end();
    EXPECT_EQ(core::observe_commit(segment.map().frame(end).commit), 0u);
    EXPECT_EQ(read_all(reader_).size(), 0u);
    writer_.close(); // which does no more to the segment than a death
    writer_ = open_writer(name_);
    EXPECT_EQ(segment.end(), end);
    expected_.clear();
    put_plain();
    expect_all();
}

} // namespace
