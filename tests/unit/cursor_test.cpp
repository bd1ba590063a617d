// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader's cursor: what it delivers, in which order, what it says it has passed, and where a seek puts it.
#include <gtest/gtest.h>

#include <random>

#include "faults.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;
constexpr uint64_t above_all_ids = (uint64_t(1) << 56) + 1;

Ids next_ids(speculo_area *reader) { return ids_of(read_all(reader)); }

// The next view, which must be there.
speculo_chunk next_of(speculo_area *reader) {
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
    return chunk;
}

void expect_same(const speculo_chunk &one, const speculo_chunk &other) {
    EXPECT_EQ(one.id, other.id);
    EXPECT_EQ(one.size, other.size);
    EXPECT_EQ(one.key_size, other.key_size);
    EXPECT_EQ(one.expires_ns, other.expires_ns);
    EXPECT_EQ(one.tag, other.tag);
    EXPECT_EQ(one.flags, other.flags);
    EXPECT_EQ(one.skipped, other.skipped);
}

uint64_t skipped_by(speculo_area *reader) { return info_of(reader).skipped; }

class Cursor : public testing::Test {
protected:
    uint64_t put(const ChunkOptions &options = {}) { return commit_chunk(writer, "x", options); }

    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

// ---- the stream -------------------------------------------------------------------------------------------------------------

TEST_F(Cursor, P6_delivers_in_commit_order_each_once) {
    Ids written;
    for (int i = 0; i < 50; ++i) {
        for (int j = 0; j <= i % 3; ++j) { written.push_back(put_chunk(writer, std::to_string(i))); }
        commit(writer);
    }
    EXPECT_EQ(next_ids(reader), written);
    EXPECT_EQ(next_ids(reader), Ids{});
    EXPECT_EQ(skipped_by(reader), 0u);
}

TEST_F(Cursor, P6_delivers_in_commit_order_each_once_across_compactions) {
    Ids written, read;
    for (int i = 0; i < 40; ++i) {
        written.push_back(put());
        if (i % 5 == 4) { compact_now(writer); }
        if (i % 7 == 6) {
            for (uint64_t id : next_ids(reader)) { read.push_back(id); }
        }
    }
    for (uint64_t id : next_ids(reader)) { read.push_back(id); }
    EXPECT_EQ(read, written);
    EXPECT_EQ(info_of(reader).jumps, 0u);
    EXPECT_EQ(skipped_by(reader), 0u);
}

TEST_F(Cursor, shows_what_the_writer_said_of_a_chunk) {
    std::string key = "name";
    ChunkOptions options;
    options.with_key(key);
    options.tag = 77;
    options.alignment = 256;
    options.flags = SPECULO_CHUNK_TRANSIENT;
    uint64_t before = speculo_now();
    options.ttl_ns = 3600 * uint64_t(1000000000);
    commit_chunk(writer, "payload", options);
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(seen(view).payload, "payload");
    EXPECT_EQ(seen(view).key, key);
    EXPECT_EQ(view.tag, 77u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % 256, 0u);
    EXPECT_EQ(view.flags, SPECULO_CHUNK_TRANSIENT);
    EXPECT_GE(view.expires_ns, before + options.ttl_ns);
    commit_chunk(writer, "");
    view = next_of(reader);
    EXPECT_EQ(view.size, 0u);
    EXPECT_NE(view.data, nullptr);
    EXPECT_EQ(view.key, nullptr);
    EXPECT_EQ(view.expires_ns, 0u);
    EXPECT_EQ(view.flags, 0u);
}

TEST_F(Cursor, outputs_stay_untouched_when_nothing_is_there) {
    speculo_chunk chunk{};
    chunk.id = 4711;
    EXPECT_EQ(speculo_read_next(reader, &chunk), 0);
    EXPECT_EQ(chunk.id, 4711u);
}

TEST_F(Cursor, does_not_see_what_is_not_committed) {
    put_chunk(writer, "a");
    put_chunk(writer, "b");
    EXPECT_EQ(next_ids(reader), Ids{});
    EXPECT_EQ(speculo_rollback(writer), 0);
    EXPECT_EQ(next_ids(reader), Ids{});
    put_chunk(writer, "c");
    commit(writer);
    EXPECT_EQ(next_ids(reader), Ids{1});
}

TEST_F(Cursor, passes_padding_and_markers_unseen) {
    uint64_t a = put(aligned(4096));
    uint64_t b = put(aligned(1024));
    EXPECT_EQ(next_ids(reader), (Ids{a, b}));
    EXPECT_EQ(speculo_chunk_obsolete(writer, a), 0);
    commit(writer);
    uint64_t c = put();
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, c);
    EXPECT_EQ(view.skipped, 0u);
}

// ---- what is hidden ---------------------------------------------------------------------------------------------------------

TEST_F(Cursor, P5_passes_superseded_ones_and_tells_how_many) {
    uint64_t a = put(), b = put(), c = put(superseding(a));
    put(superseding(b));
    uint64_t e = put(superseding(c));
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, 4u);
    EXPECT_EQ(view.skipped, 3u);
    view = next_of(reader);
    EXPECT_EQ(view.id, e);
    EXPECT_EQ(view.skipped, 0u);
    EXPECT_EQ(skipped_by(reader), 3u);
}

TEST_F(Cursor, P5_counts_hidden_ones_at_the_end_before_another_is_delivered) {
    uint64_t a = put(), b = put();
    EXPECT_EQ(speculo_chunk_obsolete(writer, a), 0);
    EXPECT_EQ(speculo_chunk_obsolete(writer, b), 0);
    commit(writer);
    EXPECT_EQ(next_ids(reader), Ids{});
    EXPECT_EQ(skipped_by(reader), 2u); // passed, though no view has told yet
    put();
    EXPECT_EQ(next_of(reader).skipped, 2u);
    EXPECT_EQ(skipped_by(reader), 2u); // not twice
}

TEST_F(Cursor, what_was_delivered_is_not_taken_back) {
    uint64_t a = put();
    EXPECT_EQ(next_of(reader).id, a);
    uint64_t b = put(superseding(a));
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, b);
    EXPECT_EQ(view.skipped, 0u);
}

TEST_F(Cursor, tells_removals) {
    commit_key(writer, "k", "value");
    EXPECT_EQ(next_ids(reader), Ids{1});
    EXPECT_EQ(remove_key(writer, "k"), 0);
    commit(writer);
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, 2u);
    EXPECT_EQ(view.flags & SPECULO_CHUNK_REMOVED, SPECULO_CHUNK_REMOVED);
    EXPECT_EQ(seen(view).key, "k");
    EXPECT_EQ(view.size, 0u);
    EXPECT_EQ(view.skipped, 0u);
}

TEST_F(Cursor, a_removal_is_superseded_by_the_next_version) {
    commit_key(writer, "k", "one");
    EXPECT_EQ(remove_key(writer, "k"), 0);
    commit(writer);
    uint64_t last = commit_key(writer, "k", "two");
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, last);
    EXPECT_EQ(view.skipped, 2u);
}

// A word may come from a batch that died before it was committed: what it names lies at or beyond the end.
TEST_F(Cursor, successor_word_of_a_dead_batch_hides_nothing) {
    uint64_t a = put(), b = put();
    SegmentProbe segment = current_segment(name);
    core::store_successor(segment.frame_of(a).successor, segment.end());
    core::store_successor(segment.frame_of(b).successor, segment.end() + 2);
    EXPECT_EQ(next_ids(reader), (Ids{a, b}));
}

TEST_F(Cursor, successor_word_hides_once_its_batch_is_committed) {
    uint64_t a = put();
    SegmentProbe segment = current_segment(name);
    core::store_successor(segment.frame_of(a).successor, segment.end());
    uint64_t b = put(); // lies where the word points
    EXPECT_EQ(next_ids(reader), Ids{b});
    EXPECT_EQ(skipped_by(reader), 1u);
}

// ---- the short way: the next chunk lies in the segment of the last one -------------------------------------------------------------

TEST_F(Cursor, views_of_the_short_way_can_be_held) {
    put();
    commit_chunk(writer, "second");
    commit_key(writer, "k", "third");
    next_of(reader);
    for (const char *payload : {"second", "third"}) {
        speculo_chunk before = next_of(reader), chunk = before;
        EXPECT_EQ(speculo_chunk_hold(reader, &chunk), 0);
        EXPECT_EQ(speculo_read_next(reader, &before), chunk.id < 3 ? 1 : 0);
        EXPECT_EQ(speculo_seek(reader, chunk.id + 1), 0);
        EXPECT_EQ(seen(chunk).payload, payload);
        speculo_chunk_release(&chunk);
    }
}

TEST_F(Cursor, a_view_of_the_short_way_ends_with_the_next_look) {
    put();
    put();
    next_of(reader);
    speculo_chunk chunk = next_of(reader), other;
    EXPECT_EQ(speculo_read_next(reader, &other), 0);
    EXPECT_EQ(speculo_chunk_hold(reader, &chunk), -EINVAL);
    EXPECT_EQ(speculo_read_next(reader, &other), 0);
    put();
    chunk = next_of(reader);
    EXPECT_EQ(speculo_chunk_hold(reader, &chunk), 0);
    speculo_chunk_release(&chunk);
}

TEST_F(Cursor, the_short_way_shows_the_same_fields) {
    std::string key = "key";
    ChunkOptions full = living(uint64_t(3600) * 1000 * ms);
    full.with_key(key);
    full.flags = SPECULO_CHUNK_TRANSIENT;
    ChunkOptions tagged = full;
    tagged.tag = 5;
    tagged.key = nullptr;
    tagged.key_size = 0;
    for (const ChunkOptions &options : {ChunkOptions(), transient(), living(3600 * 1000 * ms), full, tagged, aligned(64)}) {
        put(options);
    }
    Handle other = open_reader(name);
    for (int i = 0; i < 6; ++i) {
        speculo_chunk one = next_of(reader);
        EXPECT_EQ(speculo_wait(other, 0), 1); // takes the long way, and so does what follows
        speculo_chunk two = next_of(other);
        EXPECT_EQ(seen(one), seen(two));
        EXPECT_EQ(one.flags, two.flags);
        EXPECT_EQ(one.tag, two.tag);
        EXPECT_EQ(one.expires_ns, two.expires_ns);
        EXPECT_EQ(one.skipped, two.skipped);
        EXPECT_EQ(one.key == nullptr, two.key == nullptr);
        EXPECT_EQ(one.opaque[2], two.opaque[2]);
    }
}

TEST_F(Cursor, P10_what_is_wrong_with_a_frame_is_seen_by_the_short_way_too) {
    constexpr int rounds = 4000;
    std::string key = "key";
    ChunkOptions kinds[4] = {ChunkOptions(), living(uint64_t(3600) * 1000 * ms)}; // each has a short way of its own
    for (int i = 0; i < 4; ++i) {
        if (i >= 2) { (kinds[i] = kinds[i - 2]).with_key(key); }
        kinds[i].flags = SPECULO_CHUNK_TRANSIENT;
    }
    std::mt19937 random(1);
    int refused = 0;
    for (int i = 0; i < rounds; ++i) {
        Handle one = open_reader(name, SPECULO_OPEN_AT_END), other = open_reader(name, SPECULO_OPEN_AT_END);
        put(transient());
        next_of(one);
        next_of(other);
        put(kinds[i % 4]);
        uint64_t newest = info_of(writer).newest_id;
        SegmentProbe segment = current_segment(name);
        std::byte *frame = segment.map().bytes(segment.place_of(newest));
        std::byte sound[48];
        std::memcpy(sound, frame, sizeof sound);
        frame[random() % sizeof sound] = std::byte(random() % 4 ? 1u << random() % 8 : random());
        speculo_chunk short_way{}, long_way{};
        int found = speculo_read_next(one, &short_way);
        int waited = speculo_wait(other, 0);
        EXPECT_EQ(found, waited);
        EXPECT_EQ(speculo_read_next(other, &long_way), waited);
        expect_same(short_way, long_way);
        refused += found < 0;
        std::memcpy(frame, sound, sizeof sound);
        if (HasFailure()) { break; }
    }
    EXPECT_GT(refused, rounds / 50);
}

// A row of superseded ones is passed by a way of its own, which has to see what the long one sees: that of a reader that copies.
TEST_F(Cursor, P10_a_row_of_superseded_ones_is_passed_as_the_long_way_would) {
    constexpr int rounds = 3000, row = 8, rows_in_a_segment = 8;
    std::string keys[2] = {"key", "a longer key"};
    std::mt19937 random(1);
    uint64_t without_key = 0;
    int refused = 0, passed = 0;
    for (int i = 0; i < rounds && !HasFailure(); ++i) {
        if (i % rows_in_a_segment == 0) {
            compact_now(writer);
            without_key = 0; // transient
        }
        Handle mapping = open_mapping_reader(name, SPECULO_OPEN_AT_END);
        Handle copying = open_mapping_reader(name, SPECULO_OPEN_AT_END | SPECULO_OPEN_UNTRUSTED);
        uint64_t ids[row];
        for (uint64_t &id : ids) {
            std::string &key = keys[random() % 2];
            ChunkOptions options = random() % 2 ? living(uint64_t(3600) * 1000 * ms) : ChunkOptions();
            options.flags = SPECULO_CHUNK_TRANSIENT;
            options.tag = random() % 2;
            options.alignment = random() % 16 ? 0 : 64;
            bool has_key = random() % 4;
            has_key ? void(options.with_key(key)) : void(options.supersedes = without_key);
            id = commit_chunk(writer, std::string(random() % 40, 'x'), options);
            if (!has_key) { without_key = id; }
            if (random() % 16 == 0 && remove_key(writer, key) == 0) { commit(writer); }
        }
        SegmentProbe segment = current_segment(name);
        std::byte *frame = segment.map().bytes(segment.place_of(ids[random() % row]));
        std::byte sound[48];
        std::memcpy(sound, frame, sizeof sound);
        unsigned values[] = {1u << random() % 8, 1u << random() % 8, 0u, unsigned(random())};
        if (random() % 8) { frame[random() % sizeof sound] = std::byte(values[random() % 4]); }
        int found;
        do {
            speculo_chunk view{}, copy{};
            found = speculo_read_next(mapping, &view);
            EXPECT_EQ(speculo_read_next(copying, &copy), found);
            expect_same(view, copy);
        } while (found > 0 && !HasFailure());
        std::memcpy(frame, sound, sizeof sound);
        EXPECT_EQ(skipped_by(mapping), skipped_by(copying));
        refused += found < 0;
        passed += skipped_by(mapping) > 1;
    }
    EXPECT_GT(refused, rounds / 50);
    EXPECT_GT(passed, rounds / 2);
}

// A frame that begins in the last place that there is, and says that it has fields, or a payload: behind it is SIGBUS.
TEST_F(Cursor, P10_the_short_way_looks_for_nothing_behind_the_last_place) {
    for (uint32_t flags : {0u, uint32_t(core::frame_expiry), uint32_t(core::frame_key), uint32_t(core::frame_tag)}) {
        AreaName other;
        Handle second = make_area(other, uint64_t(1) << 20), mapping = open_mapping_reader(other);
        commit_chunk(second, "x");
        next_of(mapping);
        SegmentProbe segment = current_segment(other);
        uint32_t place = segment.end(), last = segment.map().readable - 1;
        ASSERT_LT(last + 1, segment.map().geometry.place_end);
        auto forge = [&](uint32_t at, uint64_t id, uint32_t its_flags, uint32_t commit) {
            core::put(segment.map().frame(at).id_flags, core::pack_id(id, its_flags));
            core::put(segment.map().frame(at).commit, commit);
        };
        forge(last, 3, flags, flags == 0 ? core::commit_word(1) : core::commit_word(0));
        forge(place, 2, 0, core::commit_word((last - place - 1) * core::place_size));
        EXPECT_EQ(next_of(mapping).id, 2u);
        speculo_chunk chunk{};
        EXPECT_EQ(speculo_read_next(mapping, &chunk), -EBADMSG) << flags;
    }
}

// As before, and the frame says that it is superseded, in a row with the one before.
TEST_F(Cursor, P10_a_row_of_superseded_ones_ends_before_the_last_places) {
    AreaName other;
    Handle second = make_area(other, uint64_t(1) << 20), mapping = open_mapping_reader(other);
    commit_chunk(second, "x");
    next_of(mapping);
    SegmentProbe segment = current_segment(other);
    uint32_t place = segment.end(), end = segment.map().readable - 1, last = end - 1;
    ASSERT_LT(end + 1, segment.map().geometry.place_end);
    auto forge = [&](uint32_t at, uint64_t id, uint32_t flags, uint64_t size, uint32_t successor) {
        core::put(segment.map().frame(at).successor, successor);
        core::put(segment.map().frame(at).id_flags, core::pack_id(id, flags));
        core::put(segment.map().frame(at).commit, core::commit_word(size));
    };
    forge(last, 3, core::plain_flags, 0, place);
    forge(place, 2, 0, (last - place - 1) * core::place_size, last);
    core::put(segment.map().header().hint, end);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(mapping, &chunk), -EBADMSG);
    EXPECT_EQ(static_cast<core::Reader *>(static_cast<speculo_area *>(mapping))->cursor.place, last); // the one before was passed
}

// A segment of more than 4 GiB, as far as the cursor is told.
TEST_F(Cursor, a_long_size_is_left_to_the_long_way) {
    Handle mapping = open_mapping_reader(name);
    put();
    put();
    next_of(mapping);
    core::Cursor &cursor = static_cast<core::Reader *>(static_cast<speculo_area *>(mapping))->cursor;
    cursor.segment->map.readable = cursor.easy_end = UINT32_MAX;
    SegmentProbe segment = current_segment(name);
    uint32_t place = segment.place_of(2);
    core::put_field(segment.map().bytes(place), core::frame_shape(0, 0, true).size, uint64_t(5));
    core::put(segment.map().frame(place).commit, core::size_follows);
    EXPECT_EQ(next_of(mapping).size, 5u);
}

// Only a hostile writer could lead it beyond the end of a smaller segment.
TEST_F(Cursor, the_short_way_of_one_segment_is_not_gone_in_another) {
    put();
    next_of(reader);
    compact_now(writer);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->cursor.easy_end, 0u);
}

// ---- where it begins --------------------------------------------------------------------------------------------------------

TEST_F(Cursor, late_one_begins_with_what_is_stored) {
    uint64_t a = put(), b = put(transient()), c = put();
    compact_now(writer);
    uint64_t d = put();
    Handle late = open_reader(name);
    EXPECT_EQ(next_of(late).skipped, 0u); // ids before its first position do not count
    speculo_chunk view = next_of(late);
    EXPECT_EQ(view.id, c);
    EXPECT_EQ(view.skipped, 1u); // the transient one between them was dropped
    EXPECT_EQ(next_ids(late), Ids{d});
    EXPECT_EQ(next_ids(reader), (Ids{a, b, c, d}));
}

TEST_F(Cursor, first_position_counts_from_the_first_frame_there) {
    uint64_t a = put();
    put();
    put(superseding(a));
    compact_now(writer); // 1 is gone, 2 the first
    Handle late = open_reader(name);
    speculo_chunk view = next_of(late);
    EXPECT_EQ(view.id, 2u);
    EXPECT_EQ(view.skipped, 0u);
    EXPECT_EQ(skipped_by(late), 0u);
}

TEST_F(Cursor, in_an_emptied_area_counts_from_the_next_id) {
    for (int i = 0; i < 5; ++i) { put(transient()); }
    compact_now(writer);
    Handle late = open_reader(name);
    EXPECT_EQ(next_ids(late), Ids{});
    uint64_t id = put();
    EXPECT_EQ(id, 6u);
    EXPECT_EQ(next_of(late).skipped, 0u);
}

TEST_F(Cursor, AT_END_begins_behind_the_newest_chunk) {
    put();
    uint64_t b = put();
    Handle late = open_reader(name, SPECULO_OPEN_AT_END);
    EXPECT_EQ(next_ids(late), Ids{});
    uint64_t c = put(superseding(b));
    speculo_chunk view = next_of(late);
    EXPECT_EQ(view.id, c);
    EXPECT_EQ(view.skipped, 0u);
}

TEST_F(Cursor, AT_END_of_an_empty_area_misses_nothing) {
    Handle late = open_reader(name, SPECULO_OPEN_AT_END);
    put();
    EXPECT_EQ(next_of(late).skipped, 0u);
}

TEST_F(Cursor, AT_END_behind_markers_counts_from_the_newest_id) {
    for (int i = 0; i < 3; ++i) { put(); }
    for (uint64_t id = 1; id <= 3; ++id) {
        EXPECT_EQ(speculo_chunk_obsolete(writer, id), 0);
        commit(writer);
    }
    Handle late = open_reader(name, SPECULO_OPEN_AT_END);
    put();
    EXPECT_EQ(next_of(late).skipped, 0u);
}

// ---- seek -------------------------------------------------------------------------------------------------------------------

TEST_F(Cursor, seek_to_0_goes_to_the_beginning_of_the_current_segment) {
    Ids written = {put(), put(), put()};
    EXPECT_EQ(next_ids(reader), written);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(next_ids(reader), written);
    EXPECT_EQ(speculo_chunk_obsolete(writer, written[0]), 0);
    commit(writer);
    compact_now(writer);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(next_ids(reader), (Ids{written[1], written[2]}));
    EXPECT_EQ(skipped_by(reader), 0u);
}

TEST_F(Cursor, seek_goes_to_the_first_id_not_below) {
    Ids written;
    for (int i = 0; i < 100; ++i) { written.push_back(commit_chunk(writer, std::string(size_t(i), 'x'))); }
    for (uint64_t id : {2u, 50u, 100u, 1u, 77u}) {
        EXPECT_EQ(speculo_seek(reader, id), 0);
        speculo_chunk view = next_of(reader);
        EXPECT_EQ(view.id, id);
        EXPECT_EQ(view.skipped, 0u);
    }
    EXPECT_EQ(speculo_seek(reader, 101), 0);
    EXPECT_EQ(next_ids(reader), Ids{});
    EXPECT_EQ(skipped_by(reader), 0u);
}

TEST_F(Cursor, seek_to_a_gone_id_goes_to_the_next_one_stored) {
    put();
    for (int i = 0; i < 5; ++i) { put(transient()); }
    uint64_t last = put();
    compact_now(writer);
    EXPECT_EQ(speculo_seek(reader, 3), 0);
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, last);
    EXPECT_EQ(view.skipped, 0u);
}

TEST_F(Cursor, seek_above_all_ids_goes_to_the_end) {
    put();
    put();
    for (uint64_t id : {above_all_ids, UINT64_MAX, core::max_id}) {
        EXPECT_EQ(speculo_seek(reader, id), 0);
        EXPECT_EQ(next_ids(reader), Ids{});
    }
    uint64_t c = put();
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, c);
    EXPECT_EQ(view.skipped, 0u);
}

TEST_F(Cursor, seek_keeps_what_was_counted_before_and_does_not_count_itself) {
    uint64_t a = put(), b = put();
    put(superseding(a));
    EXPECT_EQ(next_of(reader).skipped, 1u);
    EXPECT_EQ(speculo_chunk_obsolete(writer, b + 1), 0);
    commit(writer);
    EXPECT_EQ(next_ids(reader), Ids{}); // one more passed
    EXPECT_EQ(skipped_by(reader), 2u);
    EXPECT_EQ(speculo_seek(reader, UINT64_MAX), 0);
    EXPECT_EQ(skipped_by(reader), 2u);
    put();
    EXPECT_EQ(next_of(reader).skipped, 0u);
    EXPECT_EQ(skipped_by(reader), 2u);
}

TEST_F(Cursor, seek_to_a_hidden_chunk_passes_it) {
    uint64_t a = put(), b = put();
    put(superseding(a));
    EXPECT_EQ(speculo_seek(reader, a), 0);
    speculo_chunk view = next_of(reader);
    EXPECT_EQ(view.id, b);
    EXPECT_EQ(view.skipped, 1u);
}

} // namespace
