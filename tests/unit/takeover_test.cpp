// SPDX-License-Identifier: LGPL-2.1-or-later
// What a writer finds that follows one that died: everything committed, and nothing of the rest.
#include "writer.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

// The words of a batch that its writer died in are stored by hand: a whole commit is made, and then taken back but for the words
// that came before the last store.
class Takeover : public testing::Test {
protected:
    AreaName name_;
    Handle writer_ = make_area(name_, small);

    core::SegmentMap &map() { return inside(writer_).current->map; }
    core::ControlPage &control() { return *inside(writer_).area.control; }

    std::string bytes() {
        return std::string(reinterpret_cast<const char *>(map().base),
                           map().geometry.chunks_offset + map().readable * core::place_size);
    }

    void take_over() {
        writer_.close();
        writer_ = open_writer(name_);
    }

    // As if the writer had died right before the store that publishes. `end`, `hint`: of before the batch.
    void unpublish(uint32_t end, uint32_t hint) {
        core::put(map().frame(end).commit, 0u);
        core::put(map().header().hint, hint);
    }

    void prepare() {
        commit_key(writer_, "a", "a1"), commit_key(writer_, "a", "a2"), commit_key(writer_, "b", "b1"),
            commit_key(writer_, "c", "c1");
        commit_chunk(writer_, "d1"), commit_chunk(writer_, "e1");
        commit_key(writer_, "copy", "copy");
    }

    // One of everything that stores words outside its own frames.
    void die_in_a_batch() {
        uint32_t end = inside(writer_).committed, hint = core::peek(map().header().hint);
        put_key(writer_, "a", "a3"), put_key(writer_, "a", "a4");
        put_key(writer_, "new", "n1"), put_key(writer_, "new", "n2"), put_key(writer_, "newer", "m1");
        EXPECT_EQ(remove_key(writer_, "b"), 0);
        put_chunk(writer_, "d2", superseding(5));
        EXPECT_EQ(speculo_chunk_obsolete(writer_, 6), 0);
        put_key(writer_, "copy", std::string(9000, 'x')); // through several pages of the index
        commit(writer_);
        unpublish(end, hint);
    }

    void expect_prepared() {
        EXPECT_EQ(live_ids(name_), (Ids{2, 3, 4, 5, 6, 7}));
        EXPECT_EQ(value_of(name_, "a"), "a2");
        EXPECT_EQ(value_of(name_, "b"), "b1");
        EXPECT_EQ(value_of(name_, "c"), "c1");
        EXPECT_EQ(value_of(name_, "copy"), "copy");
        EXPECT_EQ(value_of(name_, "new"), no_value);
        EXPECT_EQ(value_of(name_, "newer"), no_value);
    }

    void expect_usable() {
        EXPECT_EQ(commit_key(writer_, "new", "n3"), 8u);
        EXPECT_EQ(remove_key(writer_, "newer"), -ENOENT);
        EXPECT_EQ(remove_key(writer_, "b"), 0);
        put_key(writer_, "a", "a5", superseding(5));
        EXPECT_EQ(speculo_chunk_obsolete(writer_, 6), 0);
        commit(writer_);
        EXPECT_EQ(live_ids(name_), (Ids{4, 7, 8, 10}));
        EXPECT_EQ(value_of(name_, "a"), "a5");
        EXPECT_EQ(value_of(name_, "b"), no_value);
        EXPECT_EQ(value_of(name_, "new"), "n3");
        for (uint64_t id = 1; id <= 10; ++id) { EXPECT_EQ(speculo_seek(open_reader(name_), id), 0); }
        compact_now(writer_);
        EXPECT_EQ(live_ids(name_), (Ids{4, 7, 8, 10}));
        EXPECT_EQ(value_of(name_, "new"), "n3");
    }
};

TEST_F(Takeover, P8_batch_that_was_not_committed_is_undone) {
    prepare();
    Handle reader = open_reader(name_);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{2, 3, 4, 5, 6, 7}));
    die_in_a_batch();
    expect_prepared(); // readers do not mind, before the takeover either
    take_over();
    EXPECT_EQ(inside(writer_).next_id, 8u);
    EXPECT_EQ(inside(writer_).keys, 4u);
    expect_prepared();
    EXPECT_EQ(read_all(reader).size(), 0u);
    core::FrameWalk walk(map(), core::first_place, inside(writer_).committed);
    core::Frame frame;
    while (walk.next(frame) == 1) { // not one word is left of it
        EXPECT_EQ(core::load_successor(map().frame(frame.place).successor) != 0, frame.id == 1) << frame.id;
    }
    for (uint64_t i = 0; i < map().geometry.table_slots; ++i) {
        const core::KeySlot &slot = map().table()[i];
        if (core::peek(slot.frame) == 0) { continue; }
        EXPECT_LT(core::newest_version(core::peek(slot.versions)), inside(writer_).committed);
        EXPECT_LT(core::previous_version(core::peek(slot.versions)), inside(writer_).committed);
    }
    expect_usable();
}

// Damage, but such as nobody can tell from a writer that is ahead; so the takeover goes back as far as readers do.
TEST_F(Takeover, key_whose_last_commits_are_lost_has_the_value_before) {
    commit_key(writer_, "a", "a1");
    uint32_t end = inside(writer_).committed, hint = core::peek(map().header().hint);
    commit_chunk(writer_, "lost"), commit_key(writer_, "a", "a2"), commit_key(writer_, "a", "a3");
    unpublish(end, hint);
    ASSERT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
    EXPECT_EQ(value_of(name_, "a"), "a1");
    take_over();
    EXPECT_EQ(value_of(name_, "a"), "a1");
    commit_key(writer_, "a", "a4");
    EXPECT_EQ(value_of(name_, "a"), "a4");
    EXPECT_EQ(live_ids(name_), (Ids{2}));
}

TEST_F(Takeover, P8_batch_in_copied_chunks_is_undone) {
    prepare();
    compact_now(writer_); // copies have no previous version
    die_in_a_batch();
    take_over();
    expect_prepared();
    expect_usable();
}

TEST_F(Takeover, twice_is_as_good_as_once) {
    prepare();
    die_in_a_batch();
    take_over();
    std::string once = bytes();
    take_over();
    EXPECT_TRUE(bytes() == once);
    expect_prepared();
    die_in_a_batch(); // again, over the old bytes
    take_over(), take_over();
    expect_prepared();
    expect_usable();
}

// Whatever part of the words outside its own frames the batch had stored.
TEST_F(Takeover, P8_any_part_of_a_batch_is_undone) {
    prepare();
    uint32_t end = inside(writer_).committed;
    std::string before = bytes();
    die_in_a_batch();
    std::string after = bytes();
    const size_t table = map().geometry.table_offset, chunks = map().geometry.chunks_offset;
    std::vector<size_t> differing; // pairs of words
    for (size_t at = 0; at < chunks + end * core::place_size; at += 8) {
        if (before.compare(at, 8, after, at, 8) != 0) { differing.push_back(at); }
    }
    EXPECT_GE(std::count_if(differing.begin(), differing.end(), [&](size_t at) { return at >= chunks; }), 5);
    EXPECT_GE(std::count_if(differing.begin(), differing.end(), [&](size_t at) { return at >= table && at < chunks; }), 6);
    ASSERT_LT(differing.size(), 24u);
    for (size_t stored = 0; stored <= 2 * differing.size(); ++stored) { // a beginning or an end of them
        char *base = reinterpret_cast<char *>(map().base);
        std::memcpy(base, after.data(), after.size());
        for (size_t i = 0; i < differing.size(); ++i) {
            bool is_new_key =
                differing[i] >= table && differing[i] < chunks && before.substr(differing[i], 8) == std::string(8, '\0');
            bool is_stored = stored <= differing.size() ? i < stored : i >= stored - differing.size();
            if (!is_stored && !is_new_key) { std::memcpy(base + differing[i], before.data() + differing[i], 8); }
        }
        take_over();
        expect_prepared();
        EXPECT_EQ(inside(writer_).next_id, 8u);
    }
    expect_usable();
}

TEST_F(Takeover, first_batch_of_an_area_is_undone) {
    uint32_t end = inside(writer_).committed;
    put_key(writer_, "k", "v"), put_chunk(writer_, std::string(10000, 'x'));
    commit(writer_);
    unpublish(end, end);
    take_over();
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(value_of(name_, "k"), no_value);
    EXPECT_EQ(inside(writer_).keys, 0u);
    EXPECT_EQ(commit_key(writer_, "k", "w"), 1u);
    EXPECT_EQ(value_of(name_, "k"), "w");
}

// The slot of a new key of the dead batch must not be taken for a part of a probe sequence, nor hide one behind it.
TEST_F(Takeover, keys_of_a_dead_batch_do_not_hide_others) {
    for (int i = 0; i < 20; ++i) { commit_key(writer_, "old" + std::to_string(i), "v"); }
    uint32_t end = inside(writer_).committed, hint = core::peek(map().header().hint);
    for (int i = 0; i < 28; ++i) { put_key(writer_, "dead" + std::to_string(i), "v"); }
    commit(writer_);
    unpublish(end, hint);
    take_over();
    EXPECT_EQ(inside(writer_).keys, 20u);
    for (int i = 0; i < 28; ++i) { commit_key(writer_, "new" + std::to_string(i), "v"); }
    Handle reader = open_reader(name_);
    for (int i = 0; i < 28; ++i) {
        if (i < 20) { EXPECT_EQ(value_of(reader, "old" + std::to_string(i)), "v"); }
        EXPECT_EQ(value_of(reader, "new" + std::to_string(i)), "v");
        EXPECT_EQ(value_of(reader, "dead" + std::to_string(i)), no_value);
    }
}

// ---- a switch that was not finished -----------------------------------------------------------------------------------------

TEST_F(Takeover, P8_missing_END_is_stored) {
    commit_chunk(writer_, "a");
    Handle reader = open_reader(name_);
    core::WriterSegment &old = *inside(writer_).current;
    uint32_t end = inside(writer_).committed;
    compact_now(writer_);
    std::string END(reinterpret_cast<const char *>(old.map.bytes(end)), 16);
    core::put(old.map.frame(end).commit, 0u);
    core::put(old.map.frame(end).successor, 0u);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{1})); // and waits at the zero word
    take_over();
    uint64_t id = commit_chunk(writer_, "b");
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{id}));
    EXPECT_EQ(info_of(reader).jumps, 0u);
    for (core::WriterSegment *segment : inside(writer_).segments) {
        if (!segment || segment == inside(writer_).current) { continue; }
        EXPECT_EQ(std::string(reinterpret_cast<const char *>(segment->map.bytes(end)), 16), END);
    }
}

TEST_F(Takeover, generation_above_current_is_taken_back) {
    commit_chunk(writer_, "a");
    Handle reader = open_reader(name_);
    core::WriterSegment &old = *inside(writer_).current;
    uint32_t end = inside(writer_).committed;
    uint64_t current = core::peek(control().current);
    compact_now(writer_);
    uint32_t slot = inside(writer_).current->slot;
    core::put(control().current, current); // died between the generation and `current`
    core::put(old.map.frame(end).commit, 0u);
    take_over();
    EXPECT_EQ(inside(writer_).current->generation, 1u);
    ASSERT_NE(inside(writer_).segments[slot], nullptr);
    EXPECT_EQ(core::peek(inside(writer_).segments[slot]->map.header().generation), 0u);
    EXPECT_EQ(commit_chunk(writer_, "b"), 2u);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{1, 2}));
    compact_now(writer_);
    EXPECT_EQ(inside(writer_).current->generation, 2u);
    EXPECT_EQ(commit_chunk(writer_, "c"), 3u);
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{3}));
    EXPECT_EQ(info_of(reader).jumps, 0u);
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3}));
}

TEST_F(Takeover, segment_that_was_being_overwritten_is_no_part_of_history) {
    commit_chunk(writer_, "a");
    compact_now(writer_);
    for (core::WriterSegment *segment : inside(writer_).segments) {
        if (!segment || segment == inside(writer_).current) { continue; }
        core::put(segment->map.header().generation, uint64_t(0)); // taken
        std::memset(segment->map.bytes(0), 0xff, 4096);           // and half overwritten
    }
    take_over();
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    for (int i = 0; i < 4; ++i) { compact_now(writer_); }
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(inside(writer_).current->generation, 6u);
}

// ---- ids and hint -----------------------------------------------------------------------------------------------------------

TEST_F(Takeover, next_id_is_the_larger_of_the_headers_and_the_last_ones_successor) {
    EXPECT_EQ(commit_chunk(writer_, "a"), 1u);
    core::put(map().header().next_id, uint64_t(100));
    take_over();
    EXPECT_EQ(commit_chunk(writer_, "b"), 100u);
    take_over();
    EXPECT_EQ(commit_chunk(writer_, "c"), 101u);
    EXPECT_EQ(ids_of(read_all(open_reader(name_))), (Ids{1, 100, 101}));
}

TEST_F(Takeover, hint_that_is_behind_is_stored_before_the_first_commit) {
    for (int i = 0; i < 3; ++i) { commit_chunk(writer_, "a"); }
    uint32_t hint = core::peek(map().header().hint);
    EXPECT_EQ(hint, inside(writer_).committed);
    core::put(map().header().hint, hint - 2); // one commit behind, as after a death between the two stores
    EXPECT_EQ(live_ids(name_), (Ids{1, 2, 3}));
    take_over();
    EXPECT_EQ(core::peek(map().header().hint), hint);
    EXPECT_EQ(inside(writer_).committed, hint);
    EXPECT_EQ(commit_chunk(writer_, "b"), 4u);
}

TEST_F(Takeover, counts_writers) {
    EXPECT_EQ(core::peek(control().writers), 1u);
    take_over();
    take_over();
    EXPECT_EQ(core::peek(control().writers), 3u);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE), -EBUSY);
    EXPECT_EQ(core::peek(control().writers), 3u);
}

// ---- leftovers --------------------------------------------------------------------------------------------------------------

TEST_F(Takeover, leftovers_are_unlinked_and_nothing_else) {
    commit_chunk(writer_, "a");
    compact_now(writer_);
    std::vector<std::string> files = name_.files();
    std::sort(files.begin(), files.end());
    auto make = [&](const char *suffix) {
        int fd = open(name_.path(suffix).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
        EXPECT_GE(fd, 0) << suffix;
        close(fd);
    };
    for (const char *leftover : {"@new.0123abcd", "@0.00000001", "@2.deadbeef", "@15.ffffffff"}) { make(leftover); }
    const char *others[] = {".other", "2", "2@lock", "@home", "@1.txt", "@lock.old"};
    for (const char *other : others) { make(other); }
    take_over();
    for (const char *other : others) { EXPECT_EQ(unlink(name_.path(other).c_str()), 0) << other; }
    std::vector<std::string> now = name_.files();
    std::sort(now.begin(), now.end());
    EXPECT_EQ(now, files);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

// Root's that has written for the owner, as far as this process can play it.
TEST_F(Takeover, leftovers_of_the_writer_s_own_uid_are_unlinked_too) {
    Faults faults;
    core::Area area;
    area.place = inside(writer_).area.place;
    area.control = &control();
    area.owner = geteuid() + 1;
    close(open(name_.path("@1.00000001").c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    faults.set_user(geteuid() + 2);
    core::unlink_leftovers(area);
    EXPECT_EQ(access(name_.path("@1.00000001").c_str(), F_OK), 0) << "somebody else's";
    faults.set_user(geteuid());
    core::unlink_leftovers(area);
    EXPECT_EQ(access(name_.path("@1.00000001").c_str(), F_OK), -1);
}

TEST_F(Takeover, leftovers_that_come_as_fast_as_they_go_do_not_hold_it) {
    Faults faults; // puts the table back
    static std::string path;
    path = name_.path("@1.00000001");
    static decltype(os::operations.list) real;
    real = os::operations.list;
    os::operations.list = [](int directory, os::ListFn each, void *user) {
        close(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
        return real(directory, each, user);
    };
    faults.reset_counts();
    core::unlink_leftovers(inside(writer_).area);
    EXPECT_EQ(faults.calls(Site::list), 4u);
}

// ---- damage -----------------------------------------------------------------------------------------------------------------

TEST_F(Takeover, damaged_history_is_forgotten) {
    commit_chunk(writer_, "a");
    compact_now(writer_);
    core::WriterSegment *old = inside(writer_).segments[0];
    ASSERT_NE(old, inside(writer_).current);
    core::put(old->map.header().magic, uint64_t(0));
    take_over();
    EXPECT_EQ(inside(writer_).segments[0], nullptr);
    EXPECT_EQ(info_of(writer_).segments, 1u);
    for (int i = 0; i < 4; ++i) { compact_now(writer_); }
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Takeover, missing_history_is_forgotten) {
    commit_chunk(writer_, "a");
    uint32_t nonce = inside(writer_).current->nonce;
    core::ObjectName file = core::segment_name(inside(writer_).area.place, 0, nonce);
    compact_now(writer_);
    ASSERT_EQ(unlinkat(inside(writer_).area.place.directory, file.text, 0), 0);
    take_over();
    for (int i = 0; i < 4; ++i) { compact_now(writer_); }
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Takeover, damaged_area_is_refused_and_can_be_removed) {
    commit_key(writer_, "a", "a"), commit_chunk(writer_, "b");
    uint32_t end = inside(writer_).committed;
    uint64_t current = core::peek(control().current);
    core::Place place = inside(writer_).area.place; // the directory stays open as long as the reader
    core::ObjectName file = core::segment_name(place, 0, inside(writer_).current->nonce);
    Handle keeps = open_reader(name_);
    core::Area probe;
    ASSERT_EQ(core::place_open(name_.c_str(), probe.place), 0);
    writer_.close();
    ASSERT_EQ(core::control_open(probe, os::Access::read_write, core::Trust{geteuid(), false, 0, true}), 0);
    core::WriterSegment *segment = nullptr;
    ASSERT_EQ(core::segment_adopt(probe, 0, &segment), 0);
    auto expect_refused = [&](auto &word, auto value) {
        auto before = core::peek(word);
        core::put(word, value);
        EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE), -EBADMSG);
        EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE), -EBADMSG);
        core::put(word, before);
    };
    const core::SegmentMap &damaged = segment->map;
    expect_refused(damaged.header().magic, uint64_t(1));
    expect_refused(damaged.header().generation, uint64_t(2));
    expect_refused(damaged.header().generation, uint64_t(0));
    expect_refused(damaged.header().incarnation, 7u);
    expect_refused(damaged.header().capacity, uint64_t(4097));
    expect_refused(damaged.header().next_id, uint64_t(0));
    expect_refused(damaged.header().next_id, core::max_id + 2);
    expect_refused(damaged.header().hint, damaged.readable);
    expect_refused(damaged.frame(core::first_place).commit, 0xfffffffeu);
    core::KeySlot *slot = std::find_if(damaged.table(), damaged.table() + damaged.geometry.table_slots,
                                       [](const core::KeySlot &one) { return core::peek(one.frame) != 0; });
    for (uint32_t previous : {0u, end, end + 1}) { // nothing to go back to
        expect_refused(slot->versions, core::pack_versions(end, previous));
    }
    expect_refused(damaged.frame(core::first_place).id_flags, uint64_t(0));
    expect_refused(damaged.frame(core::first_place).id_flags, uint64_t(2)); // not ascending
    expect_refused(probe.control->current, core::pack_current(1, 5));
    constexpr uint64_t last_generation = core::max_id >> core::slot_bits; // END could not name the one behind it
    core::put(damaged.header().generation, last_generation);
    expect_refused(probe.control->current, core::pack_current(last_generation, 0));
    core::put(damaged.header().generation, uint64_t(1));
    expect_refused(probe.control->segments, 17u);
    expect_refused(probe.control->capacity, uint64_t(0));
    core::put(damaged.frame(end).id_flags, core::pack_id(current, core::control_end));
    expect_refused(damaged.frame(end).commit, 1u); // END where the area goes on
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE), 0);
    ASSERT_EQ(unlinkat(probe.place.directory, file.text, 0), 0);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_WRITE), -EBADMSG);
    core::segment_free(segment);
    core::control_close(probe);
    core::place_close(probe.place);
    EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
    EXPECT_EQ(ids_of(read_all(keeps)), (Ids{1, 2}));
}

} // namespace
