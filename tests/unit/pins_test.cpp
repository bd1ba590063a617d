// SPDX-License-Identifier: LGPL-2.1-or-later
// Which bytes of which segment a reader has locked, when, and what that makes the writer do.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>

#include <fcntl.h>

#include "child.hpp"
#include "faults.hpp"
#include "pins.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 16 << 10;
constexpr uint64_t tries = 64;

// Without range locks nobody locks anything, and the writer never uses an object again.
const std::string free_ = "free";
const std::string view = os::has_range_locks ? "view" : free_;
const std::string held_view = are_readers_untrusting() ? free_ : view; // a copy pins nothing
const std::string cursor = os::has_range_locks ? "cursor" : free_;

class Pins : public testing::Test {
protected:
    void SetUp() override { commit_key(writer, "k", "x"); }

    speculo_chunk next_of(speculo_area *reader) {
        speculo_chunk chunk{};
        EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
        return chunk;
    }
    uint64_t objects_made() const { return faults.calls(Site::create_unnamed) + faults.calls(Site::create); }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
};

TEST_F(Pins, a_cursor_locks_both_bytes_of_its_segment) {
    SegmentProbe segment = current_segment(name);
    EXPECT_EQ(segment.locks(), free_);
    Handle reader = open_reader(name);
    EXPECT_EQ(segment.locks(), cursor);
    reader.close();
    EXPECT_EQ(segment.locks(), free_);
}

TEST_F(Pins, a_handle_without_cursor_locks_nothing_until_it_looks_something_up) {
    SegmentProbe segment = current_segment(name);
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(segment.locks(), free_);
    speculo_chunk chunk{};
    chunk.id = 1;
    EXPECT_EQ(speculo_chunk_is_live(reader, &chunk), 1);
    EXPECT_EQ(info_of(reader).live_chunks, 1u);
    EXPECT_EQ(segment.locks(), free_); // only while they run
    value_of(reader, "k");
    EXPECT_EQ(segment.locks(), view);
}

TEST_F(Pins, following_END_moves_both_bytes) {
    Handle reader = open_reader(name);
    SegmentProbe old = current_segment(name);
    compact_now(writer);
    SegmentProbe next = current_segment(name);
    EXPECT_EQ(old.locks(), cursor);
    EXPECT_EQ(next.locks(), free_);
    next_of(reader);
    EXPECT_EQ(old.locks(), cursor); // END comes with the next call
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(reader, &chunk), 0);
    EXPECT_EQ(old.locks(), free_);
    EXPECT_EQ(next.locks(), cursor);
}

// In between, the writer of a lossless area would take the segment for one that a view keeps, and replace it.
TEST_F(Pins, both_bytes_of_a_segment_that_was_left_go_at_once) {
    Handle reader = open_reader(name);
    next_of(reader);
    compact_now(writer);
    speculo_chunk chunk{};
    faults.reset_counts();
    EXPECT_EQ(speculo_read_next(reader, &chunk), 0);
    EXPECT_EQ(faults.calls(Site::unlock), 1u);
    compact_now(writer);
    faults.reset_counts();
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(faults.calls(Site::unlock), 1u);
}

TEST_F(Pins, a_seek_moves_both_bytes) {
    Handle reader = open_reader(name);
    SegmentProbe old = current_segment(name);
    compact_now(writer);
    SegmentProbe next = current_segment(name);
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(old.locks(), free_);
    EXPECT_EQ(next.locks(), cursor);
    EXPECT_EQ(speculo_seek(reader, 0), 0); // stays
    EXPECT_EQ(next.locks(), cursor);
}

// Objects of the area that this process has open, and that have no name any more.
size_t count_nameless(const AreaName &name) {
    size_t count = 0;
    std::error_code error; // there is no such list everywhere
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd", error)) {
        std::string target = std::filesystem::read_symlink(entry.path(), error).string();
        count += target.find(name.text()) != std::string::npos && target.find(" (deleted)") != std::string::npos;
    }
    return count;
}

TEST_F(Pins, P4_readers_let_go_of_objects_that_have_lost_their_names) {
    Handle follower = open_reader(name), looker = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    std::vector<Handle> others;
    auto go_on = [&] {
        compact_now(writer);
        read_all(follower);
        value_of(looker, "k");
    };
    for (int i = 0; i < 8; ++i) {
        others.push_back(open_reader(name));
        go_on();
    }
    others.clear();
    faults.clock.jump(int64_t(1100 * ms)); // then nothing is parked any more
    go_on();
    go_on();
    EXPECT_EQ(count_nameless(name), 0u);
}

TEST_F(Pins, other_users_keep_byte_0_when_the_cursor_leaves) {
    Handle reader = open_reader(name);
    SegmentProbe old = current_segment(name);
    speculo_chunk held = next_of(reader);
    EXPECT_EQ(speculo_chunk_hold(reader, &held), 0);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    value_of(reader, "k");
    compact_now(writer);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_next(reader, &chunk), 0);
    EXPECT_EQ(old.locks(), view);
    value_of(reader, "k"); // moves on
    EXPECT_EQ(old.locks(), view);
    speculo_snapshot_close(snapshot);
    EXPECT_EQ(old.locks(), held_view);
    speculo_chunk_release(&held);
    EXPECT_EQ(old.locks(), free_);
}

TEST_F(Pins, users_of_one_segment_share_one_lock) {
    Handle reader = open_reader(name);
    SegmentProbe segment = current_segment(name);
    faults.reset_counts();
    speculo_chunk first = next_of(reader), second = first;
    EXPECT_EQ(speculo_chunk_hold(reader, &first), 0);
    EXPECT_EQ(speculo_chunk_hold(reader, &second), 0);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    EXPECT_EQ(faults.calls(Site::lock), 0u); // the cursor's does
    speculo_chunk_release(&second);
    speculo_snapshot_close(snapshot);
    EXPECT_EQ(faults.calls(Site::unlock), 0u);
    reader.close();
    EXPECT_EQ(segment.locks(), held_view);
    speculo_chunk_release(&first);
    EXPECT_EQ(segment.locks(), free_);
}

TEST_F(Pins, handles_lock_on_their_own) {
    Handle first = open_reader(name), second = open_reader(name);
    SegmentProbe segment = current_segment(name);
    first.close();
    EXPECT_EQ(segment.locks(), cursor);
    second.close();
    EXPECT_EQ(segment.locks(), free_);
}

TEST_F(Pins, another_process_s_locks_go_when_it_dies) {
    SegmentProbe segment = current_segment(name);
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    Child child([&] {
        speculo_area *reader = nullptr;
        int error = speculo_area_open(name.c_str(), with_trust(0), nullptr, &reader);
        char byte = error == 0 ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) { return 1; }
        pause();
        return 0;
    });
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    EXPECT_EQ(segment.locks(), cursor);
    child.signal(SIGKILL);
    EXPECT_EQ(child.wait(), killed_by + SIGKILL);
    EXPECT_EQ(segment.locks(), free_);
    close(ready[0]);
    close(ready[1]);
}

TEST_F(Pins, P1_readers_cannot_lock_the_writer_or_each_other_out) {
    Handle reader = open_reader(name), other = open_reader(name);
    AreaProbe probe(name);
    int directory = os::operations.open_directory(area_directory());
    for (const std::string &file : name.files()) {
        if (file.find("@lock") != std::string::npos) { continue; }
        int fd = os::operations.open(directory, file.c_str(), os::Access::read); // as a reader has it
        int error = os::operations.lock(fd, os::Lock::exclusive, 0, 2);
        EXPECT_EQ(error, os::has_range_locks ? -EBADF : -EOPNOTSUPP);
        os::operations.close(fd);
    }
    os::operations.close(directory);
}

// ---- what the writer makes of it --------------------------------------------------------------------------------------------

TEST_F(Pins, objects_are_used_in_turn_when_nobody_looks) {
    for (int i = 0; i < 3; ++i) { compact_now(writer); }
    faults.reset_counts();
    for (int i = 0; i < 6; ++i) { compact_now(writer); }
    if (os::has_range_locks) {
        EXPECT_EQ(objects_made(), 0u);
    } else {
        EXPECT_GE(objects_made(), 6u); // never the same again
    }
}

TEST_F(Pins, P4_each_pinned_object_costs_one_fresh_one) {
    for (int i = 0; i < 3; ++i) { compact_now(writer); }
    Handle reader = open_reader(name);
    speculo_chunk held = next_of(reader);
    EXPECT_EQ(speculo_chunk_hold(reader, &held), 0);
    reader.close();
    faults.reset_counts();
    for (int i = 0; i < 6; ++i) { compact_now(writer); }
    if (os::has_range_locks) {
        EXPECT_EQ(objects_made(), are_readers_untrusting() ? 0u : 1u);
    } else {
        EXPECT_GE(objects_made(), 6u); // one for each generation
    }
    EXPECT_EQ(info_of(writer).segments, os::has_range_locks && !are_readers_untrusting() ? 4u : 3u); // the pinned one is parked
    faults.clock.jump(int64_t(1100 * ms));
    compact_now(writer);
    EXPECT_EQ(info_of(writer).segments, 3u); // however many are pinned
    EXPECT_EQ(seen(held).payload, "x");
    speculo_chunk_release(&held);
}

// ---- the way in -------------------------------------------------------------------------------------------------------------

TEST_F(Pins, a_segment_that_is_being_taken_refuses_entry_a_bounded_number_of_times) {
    Handle reader = open_reader(name), keys = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    next_of(reader);
    value_of(keys, "k");
    SegmentProbe old = current_segment(name);
    compact_now(writer);
    uint64_t second = commit_chunk(writer, "second");
    SegmentProbe taken = current_segment(name);
    speculo_chunk chunk{};
    if (!os::has_range_locks) {
        EXPECT_EQ(taken.lock(0, 2), -EOPNOTSUPP);
        faults.reset_counts();
        EXPECT_EQ(next_of(reader).id, second);
        EXPECT_EQ(faults.calls(Site::lock), 0u);
        return;
    }
    ASSERT_EQ(taken.lock(0, 2), 0);
    faults.reset_counts();
    EXPECT_EQ(speculo_read_next(reader, &chunk), -EAGAIN);
    EXPECT_EQ(faults.calls(Site::lock), tries + 1); // END's successor, then `current`
    faults.reset_counts();
    EXPECT_EQ(speculo_read_key(keys, "k", 1, &chunk), -EAGAIN);
    EXPECT_EQ(faults.calls(Site::lock), tries);
    EXPECT_EQ(speculo_seek(reader, 0), -EAGAIN);
    speculo_area *late = nullptr;
    EXPECT_EQ(speculo_area_open(name.c_str(), with_trust(0), nullptr, &late), -EAGAIN);
    EXPECT_EQ(late, nullptr);
    EXPECT_EQ(old.locks(), cursor); // everything is as before
    taken.unlock(0, 2);
    EXPECT_EQ(taken.locks(), free_);
    EXPECT_EQ(next_of(reader).id, second);
    EXPECT_EQ(value_of(keys, "k"), "x");
    EXPECT_EQ(old.locks(), free_);
    EXPECT_EQ(taken.locks(), cursor);
}

TEST_F(Pins, an_entry_that_came_too_late_leaves_no_lock) {
    AreaProbe probe(name);
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    SegmentProbe segment = current_segment(name);
    core::publish_generation(segment.map().header().generation, 7);
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(reader, "k", 1, &chunk), -EAGAIN);
    EXPECT_EQ(segment.locks(), free_);
    core::publish_generation(segment.map().header().generation, 1);
    EXPECT_EQ(value_of(reader, "k"), "x");
    EXPECT_EQ(segment.locks(), view);
}

// As `rm` does: the name that `current` leads to is gone for good, not replaced.
TEST_F(Pins, objects_that_were_removed_by_hand_are_ESTALE) {
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    compact_now(writer); // into an object that the reader does not have
    for (const std::string &file : name.files()) { ASSERT_EQ(unlink((std::string(area_directory()) + "/" + file).c_str()), 0); }
    speculo_chunk chunk{};
    EXPECT_EQ(speculo_read_key(reader, "k", 1, &chunk), -ESTALE);
    EXPECT_EQ(speculo_wait(reader, 0), -ESTALE);
}

// Else the reader would lock the one and read the other.
TEST_F(Pins, an_object_that_is_replaced_between_its_two_openings_is_gone) {
    AreaProbe probe(name);
    uint64_t entry = core::peek(probe.control().slots[0]);
    static std::string path;
    path = std::string(area_directory()) + "/" + core::segment_name(probe.area().place, 0, core::slot_nonce(entry)).text;
    static int openings;
    openings = 0;
    static decltype(os::operations.open) real;
    real = os::operations.open;
    os::operations.open = [](int directory, const char *file, os::Access access) {
        if (++openings == 2) {
            EXPECT_EQ(std::rename(path.c_str(), (path + ".away").c_str()), 0);
            close(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
        }
        return real(directory, file, access);
    };
    core::Attachments attachments{};
    core::Attachment *attachment = nullptr;
    EXPECT_EQ(core::attachment_get(probe.area(), attachments, 0, entry, &attachment), -ESTALE);
    EXPECT_EQ(std::rename((path + ".away").c_str(), path.c_str()), 0);
    EXPECT_EQ(core::attachment_get(probe.area(), attachments, 0, entry, &attachment), 0);
    core::attachments_close(attachments);
}

TEST_F(Pins, a_failing_lock_is_told_as_it_is) {
    if (!os::has_range_locks) {
        faults.fail_from(Site::lock, 1, ENOLCK);
        EXPECT_EQ(try_open(name, 0), 0); // never asks for one
        return;
    }
    faults.reset_counts();
    faults.fail(Site::lock, 1, ENOLCK);
    EXPECT_EQ(try_open(name, 0), -ENOLCK);
    faults.heal();
    EXPECT_EQ(current_segment(name).locks(), free_);
    EXPECT_EQ(try_open(name, 0), 0);
}

TEST_F(Pins, pin_and_unpin_count_users) {
    AreaProbe probe(name);
    core::Attachments attachments{};
    core::Attachment *attachment = nullptr;
    uint32_t slot = core::current_slot(probe.current());
    uint64_t generation = core::current_generation(probe.current());
    uint64_t entry = core::peek(probe.control().slots[slot]);
    SegmentProbe segment(probe.area(), slot);
    ASSERT_EQ(core::attachment_get(probe.area(), attachments, slot, entry, &attachment), 0);
    EXPECT_EQ(segment.locks(), free_);
    EXPECT_EQ(core::attachment_pin(*attachment, generation + 1, core::Entry::cursor), -ESTALE);
    EXPECT_EQ(segment.locks(), free_);
    EXPECT_EQ(core::attachment_pin(*attachment, generation, core::Entry::view), 0);
    EXPECT_EQ(segment.locks(), view);
    EXPECT_EQ(core::attachment_pin(*attachment, generation + 1, core::Entry::cursor), -ESTALE);
    EXPECT_EQ(segment.locks(), view); // the user inside keeps his
    EXPECT_EQ(core::attachment_pin(*attachment, generation, core::Entry::cursor), 0);
    EXPECT_EQ(segment.locks(), cursor);
    EXPECT_EQ(core::attachment_pin(*attachment, generation + 1, core::Entry::view), -ESTALE);
    EXPECT_EQ(segment.locks(), cursor); // there was nothing to take back
    core::attachment_pin_again(*attachment);
    core::attachment_leave(*attachment);
    EXPECT_EQ(segment.locks(), view);
    core::attachment_unpin(attachment);
    core::attachment_unpin(attachment);
    EXPECT_EQ(segment.locks(), view);
    core::attachments_close(attachments); // forgotten, but pinned
    EXPECT_EQ(segment.locks(), view);
    core::attachment_unpin(attachment);
    EXPECT_EQ(segment.locks(), free_);
}

TEST_F(Pins, an_object_that_took_the_slot_is_another_attachment) {
    AreaProbe probe(name);
    core::Attachments attachments{};
    core::Attachment *first = nullptr, *again = nullptr;
    uint64_t entry = core::peek(probe.control().slots[0]);
    ASSERT_EQ(core::attachment_get(probe.area(), attachments, 0, entry, &first), 0);
    ASSERT_EQ(core::attachment_get(probe.area(), attachments, 0, entry, &again), 0);
    EXPECT_EQ(first, again);
    ASSERT_EQ(core::attachment_pin(*first, 1, core::Entry::view), 0);
    for (int i = 0; i < 3; ++i) { compact_now(writer); } // parks it,
    faults.clock.jump(int64_t(1100 * ms));
    compact_now(writer); // and gives it up
    Handle reader = open_reader(name);
    for (int i = 0; i < 3; ++i) { compact_now(writer); } // parks the reader's; another one takes the slot
    uint64_t fresh = core::peek(probe.control().slots[0]);
    EXPECT_NE(fresh, entry);
    ASSERT_EQ(core::attachment_get(probe.area(), attachments, 0, fresh, &again), 0);
    EXPECT_NE(first, again);
    EXPECT_EQ(core::peek(first->map.frame(core::first_place).id_flags) & core::max_id, 1u); // still mapped
    uint64_t gone = core::pack_slot(core::slot_nonce(entry), 99);
    EXPECT_EQ(core::attachment_get(probe.area(), attachments, 0, gone, &again), -ESTALE);
    EXPECT_EQ(core::attachment_get(probe.area(), attachments, 5, 0, &again), -ESTALE);
    core::attachment_unpin(first);
    core::attachments_close(attachments);
}

// ---- the count of users ---------------------------------------------------------------------------------------------------------

// Another thread lets go between the load and the exchange.
struct Beaten {
    uint32_t count = 0;
    static inline uint32_t others = 0;

    uint32_t load(std::memory_order) const { return count; }
    bool compare_exchange_weak(uint32_t &expected, uint32_t wanted, std::memory_order) {
        if (others > 0) { --others, --count; }
        bool is_same = count == expected;
        if (is_same) { count = wanted; }
        expected = is_same ? expected : count;
        return is_same;
    }
    uint32_t fetch_add(uint32_t more, std::memory_order) { return std::exchange(count, count + more); }
};

TEST(Users, one_who_is_beaten_looks_again) {
    core::CounterOf<Beaten> many{}, last{};
    for (int i = 0; i < 3; ++i) { many.add(); }
    Beaten::others = 1;
    EXPECT_TRUE(many.take_if_more());
    EXPECT_TRUE(many.is_one());
    for (int i = 0; i < 2; ++i) { last.add(); }
    Beaten::others = 1;
    EXPECT_FALSE(last.take_if_more()); // the other one was not the last
    EXPECT_TRUE(last.is_one());
}

} // namespace
