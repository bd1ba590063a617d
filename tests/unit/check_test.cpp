// SPDX-License-Identifier: LGPL-2.1-or-later
// What speculo_area_check finds: each damage is named with its place.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include "checking.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;

class Checks : public testing::Test {
protected:
    void SetUp() override { write_everything(writer); }

    // Lets go of the writer, so that nobody tidies up.
    void expect(const std::string &part) {
        CheckResult result = check(name);
        EXPECT_EQ(result.error, -EBADMSG) << result.text();
        EXPECT_EQ(speculo_area_check(name.c_str(), nullptr, nullptr), -EBADMSG);
        EXPECT_TRUE(result.tells(part)) << "expected: " << part << "\n" << result.text();
        EXPECT_TRUE(result.tells(" " + base() + "@") || result.tells(" " + base() + ": ")) << result.text();
    }
    std::string base() const { return name.text(); }

    // Stores another value, expects the message, and puts it back.
    template <typename Word, typename Value> void damage(Word &word, Value value, const std::string &part) {
        auto was = core::peek(word);
        SCOPED_TRACE("was " + std::to_string(was) + ", is " + std::to_string(value));
        core::put(word, decltype(was)(value));
        expect(part);
        core::put(word, was);
        expect_sound(name);
    }

    static std::string at(uint32_t place) { return "place " + std::to_string(place) + ":"; }

    // Finds a frame of the current segment.
    template <typename Is> core::Frame find(const SegmentProbe &probe, Is is) {
        core::FrameWalk walk(probe.map(), core::first_place, probe.end());
        core::Frame frame{};
        while (walk.next(frame) == 1) {
            if (is(frame)) { return frame; }
        }
        ADD_FAILURE() << "no such frame";
        return core::Frame{};
    }
    core::Frame third(const SegmentProbe &probe) {
        return find(probe, [](const core::Frame &frame) {
            return frame.key && std::string(reinterpret_cast<const char *>(frame.key), frame.key_size) == "ccc" &&
                   frame.size == 5 && std::memcmp(frame.payload, "third", 5) == 0;
        });
    }
    core::Frame plain(const SegmentProbe &probe) {
        return find(probe,
                    [](const core::Frame &frame) { return frame.size == 4 && std::memcmp(frame.payload, "last", 4) == 0; });
    }
    // What comes behind a frame's header.
    static core::Shared<uint32_t> &first_field(const SegmentProbe &probe, uint32_t place) {
        return *reinterpret_cast<core::Shared<uint32_t> *>(&probe.map().frame(place) + 1);
    }
    uint32_t slot_of(const SegmentProbe &probe, const core::Frame &frame) {
        for (uint32_t i = 0; i < probe.map().geometry.table_slots; ++i) {
            uint64_t versions = core::peek(probe.map().table()[i].versions);
            if (core::peek(probe.map().table()[i].frame) != 0 && core::newest_version(versions) == frame.place) { return i; }
        }
        ADD_FAILURE() << "no such slot";
        return 0;
    }

    AreaName name;
    Handle writer = make_area(name, capacity);
    AreaProbe area{name};
};

TEST_F(Checks, an_area_with_everything_is_sound) {
    expect_sound(name);
    put_key(writer, "a", "pending"); // and so it is in the middle of a commit
    expect_sound(name);
    commit(writer);
    writer.close();
    expect_sound(name);
}

TEST_F(Checks, errors_to_open_are_those_of_a_reader) {
    EXPECT_EQ(speculo_area_check(nullptr, nullptr, nullptr), -EINVAL);
    EXPECT_EQ(speculo_area_check("a/relative", nullptr, nullptr), -EINVAL);
    AreaName none;
    EXPECT_EQ(check(none).error, -ENOENT);
    core::put(area.control().incompatible, 1u);
    EXPECT_EQ(check(name).error, -EPROTONOSUPPORT);
    core::put(area.control().incompatible, 0u);
    uint64_t current = area.current();
    core::publish_current(area.control().current, 0); // still being created
    EXPECT_EQ(check(name).error, -ENOENT);
    core::publish_current(area.control().current, current);
}

TEST_F(Checks, let_go_of_what_they_have_pinned) {
    expect_sound(name);
    for (uint32_t slot = 0; slot < 3; ++slot) { EXPECT_EQ(area.segment(slot).locks(), "free"); }
}

TEST_F(Checks, find_what_is_wrong_with_the_control_page) {
    core::ControlPage &control = area.control();
    uint64_t current = area.current();
    uint64_t generation = core::current_generation(current);
    damage(control.magic, 1, "magic");
    damage(control.capacity, 1, "capacity is out of range");
    damage(control.max_capacity, 1, "max_capacity is out of range");
    damage(control.compact_percent, 101, "compact_percent is out of range");
    damage(control.segments, 17, "segments is out of range");
    damage(control.flags, 1u << 7, "unknown flags");
    damage(control.marks, 1u << 9, "unknown marks");
    damage(control.current, core::pack_current(generation, 9), "a slot without an object");
    damage(control.current, core::max_id - core::max_slots + 1, "a generation that no history reaches");
    damage(control.current, current + core::max_slots, "cannot be entered as generation " + std::to_string(generation + 1));
}

TEST_F(Checks, find_what_is_wrong_with_a_segment_header) {
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe probe = area.segment(slot);
        core::SegmentHeader &header = probe.map().header();
        damage(header.magic, 1, "offset 0:");
        damage(header.version, 9, "offset 8:");
        damage(header.byte_order, 9, "offset 12:");
        damage(header.area_id[1], 9, "offset 16:");
        damage(header.slot, 9, "offset 32:");
        damage(header.incarnation, 9, "offset 36:");
        damage(header.capacity, 9, "offset 40:");
        damage(header.table_slots, 1 << 20, "offset 40:");
        damage(header.hint, core::peek(header.hint) - 1, "hint");
        damage(header.hint, probe.end() + 1, at(probe.end()) + " nothing is committed there");
        damage(header.prefix_end, 0, "end of the prefix");
        damage(header.prefix_end, probe.end() + 1, "end of the prefix");
        damage(header.next_id, 0, "offset 56:");
        if (core::peek(header.next_id) != 1) { damage(header.next_id, 1, "offset 56:"); } // but of the first generation
        damage(header.next_id, uint64_t(1) << 40, "offset 56:");
        damage(header.generation, probe.generation() + 5, "offset 72:");
    }
}

TEST_F(Checks, find_what_is_wrong_with_a_frame) {
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe probe = area.segment(slot);
        core::Frame chunk = find(probe, [](const core::Frame &frame) { return frame.is_chunk() && frame.place > 8; });
        core::FrameHeader &header = probe.map().frame(chunk.place);
        damage(header.commit, 0, at(chunk.place) + " nothing is committed there");
        damage(header.commit, 1 << 20, at(chunk.place) + " the frame is senseless");
        damage(header.id_flags, core::pack_id(chunk.id, 0x80), at(chunk.place) + " the frame is senseless");
        damage(header.id_flags, core::pack_id(1, chunk.flags), at(chunk.place) + " chunk 1 follows chunk ");
        damage(header.successor, chunk.place - 1, at(chunk.place) + " the successor");
        damage(header.successor, probe.map().geometry.place_end, at(chunk.place) + " the successor");
        core::Frame large = find(probe, [&](const core::Frame &frame) { return frame.place >= chunk.place && frame.length > 1; });
        damage(header.successor, large.place + 1, at(chunk.place) + " no frame begins");
    }
}

TEST_F(Checks, find_a_successor_of_what_is_no_chunk) {
    SegmentProbe probe = area.current_segment();
    core::Frame control = find(probe, [](const core::Frame &frame) { return frame.is_control(); });
    damage(probe.map().frame(control.place).successor, control.place + 1,
           at(control.place) + " what is no chunk has a successor");
}

TEST_F(Checks, find_a_payload_that_is_not_aligned) {
    SegmentProbe probe = area.current_segment();
    core::Frame chunk =
        find(probe, [](const core::Frame &frame) { return frame.alignment == 64 && !frame.key && frame.place % 256 < 200; });
    core::Shared<uint32_t> &word = first_field(probe, chunk.place);
    damage(word, (core::peek(word) & ~0xffu) | 12, at(chunk.place) + " the payload of chunk " + std::to_string(chunk.id));
}

TEST_F(Checks, find_a_chunk_in_the_reserve) {
    fill_segment(writer, 200);
    SegmentProbe probe = area.current_segment();
    core::Frame last = find(probe, [&](const core::Frame &frame) { return frame.end() == probe.end(); });
    core::Shared<uint32_t> &commit = probe.map().frame(last.place).commit;
    uint32_t missing = probe.map().geometry.chunk_end - last.end();
    damage(commit, core::peek(commit) + (missing + 1) * core::place_size, at(last.place) + " chunk " + std::to_string(last.id));
}

// Where the next one would begin there is no memory.
TEST_F(Checks, find_a_chunk_up_to_the_end_of_the_memory) {
    SegmentProbe probe = area.current_segment();
    core::Frame last = plain(probe);
    core::Shared<uint32_t> &commit = probe.map().frame(last.place).commit;
    uint32_t missing = probe.map().readable - last.end();
    damage(commit, core::peek(commit) + missing * core::place_size, at(probe.map().readable) + " the frame is senseless");
}

TEST_F(Checks, allow_what_a_writer_may_have_left) {
    SegmentProbe probe = area.current_segment();
    core::Frame live = plain(probe), keyed = third(probe);
    core::KeySlot &slot = probe.map().table()[slot_of(probe, keyed)];
    uint64_t versions = core::peek(slot.versions);
    for (uint32_t place : {probe.end(), probe.end() + 3}) { // of a batch that died
        core::put(probe.map().frame(live.place).successor, place);
        expect_sound(name);
        core::put(probe.map().frame(live.place).successor, 0u);
        core::put(slot.versions, core::pack_versions(place, core::newest_version(versions)));
        expect_sound(name);
    }
    core::put(slot.versions, core::pack_versions(core::newest_version(versions), core::newest_version(versions))); // undone
    expect_sound(name);
    core::put(slot.versions, versions);
}

TEST_F(Checks, find_what_is_wrong_with_the_index) {
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe probe = area.segment(slot);
        for (uint32_t page = 0; page <= (probe.end() - 1) / core::places_per_page; ++page) {
            core::Shared<uint32_t> &entry = probe.map().index()[page].first;
            std::string where = "index entry " + std::to_string(page) + " is";
            damage(entry, core::peek(entry) == 0 ? page * core::places_per_page + 1 : 0, where);
            damage(entry, core::peek(entry) + 1, where);
        }
    }
}

// The last page, in which no frame begins, but one of a batch that died may.
TEST_F(Checks, find_what_is_wrong_with_the_index_behind_the_last_frame) {
    commit_chunk(writer, std::string(5000, 'l'));
    SegmentProbe probe = area.current_segment();
    uint32_t end = probe.end(), page = (end - 1) / core::places_per_page;
    ASSERT_EQ(end / core::places_per_page, page);
    core::Shared<uint32_t> &entry = probe.map().index()[page].first;
    ASSERT_EQ(core::peek(entry), 0u);
    core::put(entry, end);
    expect_sound(name);
    core::put(entry, 0u);
    std::string where = "index entry " + std::to_string(page) + " is";
    damage(entry, end - 1, where);
    damage(entry, (page + 1) * core::places_per_page, where);
}

TEST_F(Checks, find_what_is_wrong_with_the_key_table) {
    SegmentProbe probe = area.current_segment();
    core::Frame newest = third(probe);
    uint32_t number = slot_of(probe, newest);
    core::KeySlot &slot = probe.map().table()[number];
    std::string where = "key slot " + std::to_string(number) + ":";
    uint32_t second = newest.link, other = plain(probe).place;
    damage(slot.hash, core::peek(slot.hash) + 1, where + " its hash is");
    damage(slot.frame, probe.map().geometry.place_end, where + " its frame");
    damage(slot.frame, other, where + " no frame with a key");
    damage(slot.frame, core::peek(slot.frame) + 1, where + " no frame with a key");
    damage(slot.frame, 0, at(newest.place) + " the key of chunk " + std::to_string(newest.id) + " is not found");
    damage(slot.versions, core::pack_versions(newest.place, probe.end()), where + " newest and previous");
    damage(slot.versions, core::pack_versions(second, newest.place), where + " newest and previous");
    damage(slot.versions, core::pack_versions(other, second), where + " newest and previous");
    damage(slot.versions, core::pack_versions(newest.place, second - 1), where + " newest and previous");
    for (uint32_t previous : {0u, probe.end()}) { // which is nothing, or not committed
        damage(slot.versions, core::pack_versions(probe.end(), previous), where + " the way from newest and previous");
    }
    damage(slot.versions, core::pack_versions(second, 0), at(newest.place) + " the key of chunk");
    uint32_t first = core::peek(slot.frame);
    core::put(slot.frame, second);
    damage(slot.versions, core::pack_versions(newest.place, first), where + " newest and previous"); // older than the slot
    core::put(slot.frame, first);
    damage(probe.map().frame(second).successor, 0, at(second) + " chunk ");
    core::Shared<uint32_t> &word = first_field(probe, newest.place);
    ASSERT_EQ(core::peek(word), second);
    damage(word, newest.place, at(newest.place) + " the link");
    damage(word, other, at(newest.place) + " the link");
    damage(word, second + 1, at(newest.place) + " the link");
}

// Snapshots that were opened in time look keys up there.
TEST_F(Checks, find_what_is_wrong_with_the_key_tables_of_history) {
    uint64_t current = core::current_generation(area.current());
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe probe = area.segment(slot);
        if (probe.generation() == current) { continue; }
        core::Frame keyed = find(probe, [](const core::Frame &frame) { return frame.is_chunk() && frame.key; });
        uint32_t number = 0;
        while (core::peek(probe.map().table()[number].frame) != keyed.place) { ++number; }
        core::KeySlot &entry = probe.map().table()[number];
        damage(entry.hash, core::peek(entry.hash) + 1, "key slot " + std::to_string(number) + ": its hash is");
        damage(entry.frame, 0, at(keyed.place) + " the key of chunk " + std::to_string(keyed.id) + " is not found");
    }
}

TEST_F(Checks, find_a_key_table_that_is_too_full) {
    SegmentProbe probe = area.current_segment();
    core::KeySlot *table = probe.map().table();
    uint32_t place = third(probe).place;
    for (uint64_t i = 0; i < probe.map().geometry.table_slots; ++i) {
        if (core::peek(table[i].frame) == 0) { core::put(table[i].frame, place); }
    }
    expect("key table: " + std::to_string(probe.map().geometry.table_slots) + " of");
}

TEST_F(Checks, find_what_is_wrong_with_END) {
    uint64_t generation = core::current_generation(area.current());
    for (uint32_t slot = 0; slot < 3; ++slot) {
        SegmentProbe probe = area.segment(slot);
        uint32_t end = probe.end();
        core::FrameHeader &header = probe.map().frame(end);
        if (probe.generation() == generation) {
            core::put(header.id_flags, core::pack_id(core::pack_current(generation + 1, 0), core::control_end));
            damage(header.commit, 1, at(end) + " END in the segment that is current");
            continue;
        }
        core::put(probe.map().frame(end + 1).commit, 0u); // so that its flags alone are wrong
        uint64_t id = core::frame_id(core::peek(header.id_flags));
        damage(header.id_flags, core::pack_id(id - core::max_slots, core::control_end), at(end) + " END names generation");
        damage(header.id_flags, core::pack_id(id + core::max_slots, core::control_end), at(end) + " END names generation");
        damage(header.successor, 99, at(end) + " END names incarnation 99");
        if (probe.generation() + 1 == generation) {
            core::put(header.commit, 0u); // a writer died in the middle of the switch
            expect_sound(name);
            core::put(header.commit, 1u);
        } else {
            damage(header.commit, 0, at(end) + " END is missing");
        }
    }
}

TEST_F(Checks, find_two_segments_of_one_generation) {
    uint64_t current = area.current();
    SegmentProbe probe = area.segment((core::current_slot(current) + 1) % 3);
    damage(probe.map().header().generation, core::current_generation(current), "offset 72:");
}

TEST_F(Checks, find_objects_that_are_missing) {
    uint64_t current = core::current_generation(area.current());
    for (uint32_t slot = 0; slot < 3; ++slot) {
        bool is_oldest = area.segment(slot).generation() + 2 == current;
        std::string object = object_of(area, slot);
        Hidden hidden(name, object);
        if (is_oldest) {
            expect_sound(name); // it might be one that a writer was about to make when it died
        } else {
            expect(object + ": there is no such object");
        }
    }
    for (const char *object : {"@bell", "@lock"}) {
        Hidden hidden(name, base() + object);
        expect(base() + object + ": there is none");
    }
    expect_sound(name);
}

TEST_F(Checks, find_objects_that_others_may_write_and_those_cut_short) {
    std::string object = object_of(area, (core::current_slot(area.current()) + 1) % 3);
    std::string path = name.path().substr(0, name.path().rfind('/') + 1) + object;
    ASSERT_EQ(chmod(path.c_str(), 0666), 0);
    expect(object + ": it has another owner");
    ASSERT_EQ(chmod(path.c_str(), 0600), 0);
    expect_sound(name);
    ASSERT_EQ(truncate(path.c_str(), 100), 0);
    expect(object + ": it is shorter");
    ASSERT_EQ(truncate(name.path("@bell").c_str(), 100), 0);
    expect(base() + "@bell: it is shorter");
}

TEST_F(Checks, find_something_else_in_the_place_of_an_object) {
    std::string object = object_of(area, (core::current_slot(area.current()) + 1) % 3);
    std::string path = name.path().substr(0, name.path().rfind('/') + 1) + object;
    Hidden hidden(name, object);
    ASSERT_EQ(mkdir(path.c_str(), 0700), 0);
    expect(object + ": it is no regular file");
    ASSERT_EQ(rmdir(path.c_str()), 0);
}

TEST_F(Checks, list_a_bounded_number_of_problems) {
    SegmentProbe probe = area.current_segment();
    for (uint64_t i = 0; i < probe.map().geometry.table_slots; ++i) { core::put(probe.map().table()[i].frame, UINT32_MAX); }
    for (int i = 0; i < 120; ++i) { commit_chunk(writer, "more"); }
    core::FrameWalk walk(probe.map(), core::first_place, probe.end());
    core::Frame frame;
    while (walk.next(frame) == 1) { core::put(probe.map().frame(frame.place).successor, UINT32_MAX); }
    Hidden bell(name, base() + "@bell"); // is looked at last
    CheckResult result = check(name);
    EXPECT_EQ(result.error, -EBADMSG);
    ASSERT_EQ(result.messages.size(), 101u);
    EXPECT_EQ(result.messages.back(), "further problems are not listed");
}

// After four thousand million objects in one slot.
TEST(CheckOfOldAreas, P8_incarnations_wrap_around) {
    AreaName name;
    AreaOptions options(capacity);
    options.segments = 2;
    Handle writer = make_area(name, options), follower = open_reader(name);
    AreaProbe area(name);
    core::publish_slot(area.control().slots[1], core::pack_slot(0, UINT32_MAX - 1));
    std::vector<Handle> pins; // each generation takes a fresh object; when no slot is left, in that of the one parked first
    for (uint32_t i = 0; i < core::max_slots + 8; ++i) {
        pins.push_back(open_reader(name));
        compact_now(writer);
        uint64_t id = commit_chunk(writer, "chunk");
        expect_sound(name);
        EXPECT_EQ(ids_of(read_all(follower)), Ids{id});
    }
    EXPECT_LT(core::slot_incarnation(core::observe_slot(area.control().slots[1])), core::max_slots);
}

} // namespace
