// SPDX-License-Identifier: LGPL-2.1-or-later
// The writer's role: how it is taken, what it may choose, and how an area is made and removed.
#include "writer.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "child.hpp"
#include "faults.hpp"
#include "pins.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity
constexpr uint32_t write_flag = SPECULO_OPEN_WRITE, create_flags = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE,
                   exclusive_flags = create_flags | SPECULO_OPEN_EXCLUSIVE;

class Open : public testing::Test {
protected:
    AreaName name_;

    uint32_t mode_of(const std::string &file) {
        struct stat status {};
        EXPECT_EQ(stat((std::string(area_directory()) + "/" + file).c_str(), &status), 0) << file;
        return status.st_mode & 07777;
    }

    // All but the lock, which no other uid may open, and the bell, which only the owner may write.
    void expect_modes(uint32_t mode) {
        for (const std::string &file : name_.files()) {
            bool is_lock = file.find("@lock") != std::string::npos;
            EXPECT_EQ(mode_of(file), is_lock ? 0600u : mode) << file;
        }
    }
};

TEST_F(Open, without_CREATE_there_must_be_an_area) {
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -ENOENT);
    EXPECT_EQ(try_open(name_, write_flag), -ENOENT);
    EXPECT_TRUE(name_.files().empty()); // and nothing is made
    EXPECT_EQ(speculo_area_remove(name_.c_str()), -ENOENT);
    EXPECT_TRUE(name_.files().empty());
}

TEST_F(Open, CREATE_makes_one_and_takes_one_that_is_there) {
    EXPECT_EQ(try_open(name_, create_flags), 0);
    commit_chunk(open_area(name_, create_flags), "a");
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(try_open(name_, create_flags), 0);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(try_open(name_, exclusive_flags), -EEXIST);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Open, EXCLUSIVE_makes_one) {
    EXPECT_EQ(try_open(name_, exclusive_flags), 0);
    EXPECT_EQ(try_open(name_, exclusive_flags), -EEXIST);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), 0);
}

TEST_F(Open, there_is_one_writer_at_a_time) {
    Handle writer = make_area(name_);
    EXPECT_EQ(try_open(name_, write_flag), -EBUSY); // in the same process too
    EXPECT_EQ(try_open(name_, create_flags), -EBUSY);
    EXPECT_EQ(run_in_child([&] { return -try_open(name_, write_flag); }), EBUSY);
    commit_chunk(writer, "a"); // the role was not lost by that
    EXPECT_EQ(try_open(name_, write_flag), -EBUSY);
    writer.close();
    EXPECT_EQ(try_open(name_, write_flag), 0);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Open, P8_role_of_a_writer_that_died_is_free) {
    EXPECT_EQ(run_in_child([&] {
                  speculo_area *writer = nullptr;
                  if (speculo_area_open(name_.c_str(), create_flags, nullptr, &writer) < 0) { return 1; }
                  commit_chunk(writer, "a"), put_chunk(writer, "b");
                  return 0; // dies with it
              }),
              0);
    Handle writer = open_writer(name_);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    EXPECT_EQ(put_chunk(writer, "c"), 2u);
}

TEST_F(Open, reader_may_come_before_the_first_chunk) {
    Handle writer = make_area(name_);
    Handle reader = open_reader(name_);
    EXPECT_TRUE(read_all(reader).empty());
    speculo_area_info info = info_of(reader);
    EXPECT_EQ(info.generation, 1u);
    EXPECT_EQ(info.newest_id, 0u);
    EXPECT_EQ(info.capacity, uint64_t(1) << 20); // the default
    EXPECT_EQ(info.mode, 0600u);
    commit_chunk(writer, "a");
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{1}));
}

// The control page is there, `current` is 0: its creator died. What it chose is nothing to who creates the area after all.
TEST_F(Open, half_made_area_is_none_for_readers_and_is_finished_by_writers) {
    for (uint32_t flags : {write_flag, create_flags, exclusive_flags}) {
        make_area(name_, small).close();
        core::Area area;
        ASSERT_EQ(core::place_open(name_.c_str(), area.place), 0);
        ASSERT_EQ(core::control_open(area, os::Access::read_write, core::Trust{geteuid(), false, 0, true}), 0);
        core::put(area.control->current, uint64_t(0));
        ASSERT_EQ(os::operations.set_mode(area.control_fd.fd, 0644), 0);
        EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -ENOENT);
        Handle writer = open_area(name_, flags);
        EXPECT_EQ(commit_chunk(writer, "a"), 1u);
        EXPECT_EQ(info_of(writer).segments, 1u);
        EXPECT_EQ(info_of(writer).capacity, flags == write_flag ? small : uint64_t(1) << 20);
        EXPECT_EQ(info_of(writer).mode, flags == write_flag ? 0644u : 0600u);
        EXPECT_EQ(live_ids(name_), (Ids{1}));
        writer.close();
        core::control_close(area);
        core::place_close(area.place);
        EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
        EXPECT_TRUE(name_.files().empty());
    }
}

TEST_F(Open, that_fails_leaves_no_trace) {
    for (Site site : {Site::create_unnamed, Site::create, Site::link, Site::rename, Site::map, Site::allocate_space,
                      Site::allocate, Site::random, Site::set_mode, Site::file_system}) {
        Faults faults;
        int error = -1;
        for (uint64_t call = 1; error < 0; ++call) {
            faults.reset_counts();
            faults.fail(site, call, site == Site::allocate_space ? ENOSPC : ENOMEM);
            error = try_open(name_, exclusive_flags);
            if (error < 0) { EXPECT_TRUE(name_.files().empty()) << site_name(site) << " " << call; }
            faults.heal();
        }
        EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
        EXPECT_EQ(faults.leaks(), "");
    }
}

// ---- choices ----------------------------------------------------------------------------------------------------------------

TEST_F(Open, senseless_options_are_refused) {
    auto expect_invalid = [&](auto change) {
        AreaOptions options;
        change(options);
        EXPECT_EQ(try_open(name_, create_flags, &options), -EINVAL);
    };
    for (uint32_t mode : {0660u, 0602u, 0606u, 0622u, 0666u, 0700u, 0611u, 04600u}) {
        expect_invalid([&](auto &options) { options.mode = mode; });
    }
    expect_invalid([](auto &options) { options.segments = 1; });
    expect_invalid([](auto &options) { options.segments = 17; });
    expect_invalid([](auto &options) { options.compact_percent = 101; });
    expect_invalid([](auto &options) { options.capacity = (uint64_t(63) << 30) + 1; });
    expect_invalid([](auto &options) { options.max_capacity = UINT64_MAX; });
    expect_invalid([](auto &options) { options.capacity = 8192, options.max_capacity = 4096; });
    expect_invalid([](auto &options) { options.flags = SPECULO_AREA_TRUST_UID; });
    expect_invalid([](auto &options) { options.trusted_uid = 1; });
    EXPECT_TRUE(name_.files().empty());
}

TEST_F(Open, capacity_is_rounded_up_to_whole_pages) {
    Handle writer = make_area(name_, 5000);
    EXPECT_EQ(info_of(writer).capacity, 8192u);
    EXPECT_EQ(try_alloc(writer, 8192 - 32), 0);
}

TEST_F(Open, zero_keeps_what_an_area_has) {
    AreaOptions options(small);
    options.max_capacity = 4 * small, options.segments = 5, options.compact_percent = 30, options.mode = 0640;
    make_area(name_, options).close();
    auto expect = [&](uint64_t capacity, uint64_t most, uint32_t segments, uint32_t percent, const AreaOptions *change) {
        Handle writer = open_area(name_, write_flag, change);
        const core::ControlPage &control = *inside(writer).area.control;
        EXPECT_EQ(core::peek(control.capacity), capacity);
        EXPECT_EQ(core::peek(control.max_capacity), most);
        EXPECT_EQ(core::peek(control.segments), segments);
        EXPECT_EQ(core::peek(control.compact_percent), percent);
        EXPECT_EQ(info_of(writer).mode, 0640u);
    };
    AreaOptions nothing, some;
    some.segments = 4, some.max_capacity = 8 * small;
    expect(small, 4 * small, 5, 30, nullptr);
    expect(small, 4 * small, 5, 30, &nothing);
    expect(small, 8 * small, 4, 30, &some);
    expect(small, 8 * small, 4, 30, &nothing);
}

TEST_F(Open, mode_holds_for_all_objects_whatever_the_umask) {
    mode_t before = umask(077);
    AreaOptions options(small);
    options.mode = 0644;
    Handle writer = make_area(name_, options);
    expect_modes(0644);
    EXPECT_EQ(info_of(writer).mode, 0644u);
    for (int i = 0; i < 4; ++i) { compact_now(writer); } // new objects too
    expect_modes(0644);
    umask(before);
}

TEST_F(Open, mode_of_an_existing_area_changes_at_once) {
    Handle writer = make_area(name_, small);
    for (int i = 0; i < 2; ++i) { compact_now(writer); }
    expect_modes(0600);
    Handle reader = open_reader(name_);
    for (uint32_t mode : {0644u, 0640u, 0600u, 0444u}) {
        writer.close();
        AreaOptions options;
        options.mode = mode;
        mode_t before = umask(077);
        writer = open_area(name_, write_flag, &options);
        umask(before);
        expect_modes(mode | 0600); // the owner's own stay
        EXPECT_EQ(info_of(reader).mode, mode | 0600);
    }
    writer.close();
    writer = open_writer(name_); // keeps it
    expect_modes(0644);
    compact_now(writer), compact_now(writer), compact_now(writer);
    expect_modes(0644);
}

// ---- prefault ---------------------------------------------------------------------------------------------------------------

uint64_t size_of_current(speculo_area *writer) {
    return inside(writer).current->map.geometry.chunks_offset + inside(writer).current->map.readable * core::place_size;
}

TEST_F(Open, prefault_makes_the_current_segment_first) {
    Handle writer = make_area(name_); // 1 MiB
    compact_now(writer);
    ASSERT_EQ(inside(writer).current->slot, 1u);
    EXPECT_LT(size_of_current(writer), 512u << 10);
    writer.close();
    AreaOptions options;
    options.prefault = 512 << 10;
    writer = open_area(name_, write_flag, &options);
    EXPECT_GE(size_of_current(writer), 512u << 10);
    EXPECT_EQ(info_of(writer).segments, 2u);
    EXPECT_LT(info_of(writer).memory, 1u << 20); // and nothing else
}

TEST_F(Open, prefault_makes_further_segments) {
    AreaOptions options;
    uint64_t size = 0;
    {
        AreaName other;
        size = inside(make_area(other)).current->map.geometry.size;
    }
    options.prefault = 2 * size + 100;
    Handle writer = make_area(name_, options);
    EXPECT_EQ(info_of(writer).segments, 3u);
    EXPECT_GE(info_of(writer).memory, 2 * size);
    EXPECT_LT(info_of(writer).memory, 3 * size);
    Handle reader = open_reader(name_);
    for (uint64_t generation = 1; generation < 6; ++generation) { // they are found and used
        commit_chunk(writer, "t", transient());
        EXPECT_EQ(info_of(writer).generation, generation);
        compact_now(writer);
        EXPECT_EQ(info_of(writer).segments, 3u);
        EXPECT_EQ(read_all(reader).size(), 1u);
    }
    writer.close();
    writer = open_area(name_, write_flag, &options); // asks for no more than there is
    EXPECT_EQ(info_of(writer).segments, 3u);
}

TEST_F(Open, prefault_stops_at_the_number_of_segments) {
    AreaOptions options(small);
    options.prefault = uint64_t(1) << 40;
    options.segments = 2;
    Handle writer = make_area(name_, options);
    EXPECT_EQ(info_of(writer).segments, 2u);
    EXPECT_EQ(info_of(writer).memory, 2 * inside(writer).current->map.geometry.size);
}

TEST_F(Open, prefault_of_a_reader_goes_as_far_as_is_asked_and_there_is) {
    Handle writer = make_area(name_, small);
    Faults faults; // puts the table back
    static std::vector<uint64_t> sizes;
    sizes.clear();
    os::operations.populate = [](void *, size_t size, os::Access) { sizes.push_back(size); };
    for (uint64_t bytes : {uint64_t(4096), UINT64_MAX}) {
        AreaOptions options;
        options.prefault = bytes;
        open_area(name_, SPECULO_OPEN_READ, &options);
    }
    std::vector<uint64_t> both = {4096, size_of_current(writer)};
    EXPECT_EQ(sizes, are_readers_untrusting() ? std::vector<uint64_t>() : both); // who copies has nothing to populate
}

// ---- remove -----------------------------------------------------------------------------------------------------------------

TEST_F(Open, remove_waits_for_no_reader_but_for_the_writer) {
    Handle writer = make_area(name_, small);
    commit_chunk(writer, "a");
    EXPECT_EQ(speculo_area_remove(name_.c_str()), -EBUSY);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    writer.close();
    Handle reader = open_reader(name_), other = open_reader(name_);
    EXPECT_EQ(read_all(other).size(), 1u);
    EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
    EXPECT_TRUE(name_.files().empty());
    EXPECT_EQ(speculo_area_remove(name_.c_str()), -ENOENT);
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -ENOENT);
    EXPECT_EQ(try_open(name_, write_flag), -ENOENT);

    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_next(reader, &chunk), 1); // keeps what it has
    EXPECT_EQ(seen(chunk).payload, "a");
    EXPECT_EQ(speculo_seek(other, 0), -ESTALE); // has read it all
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(other, &snapshot), -ESTALE);

    writer = make_area(name_, small); // another area of that name
    EXPECT_EQ(commit_chunk(writer, "new"), 1u);
    EXPECT_EQ(seen(chunk).payload, "a");
    EXPECT_EQ(ids_of(read_all(open_reader(name_))), (Ids{1}));
}

// Of an area that its creator did not live to name.
TEST_F(Open, P9_leftovers_that_cannot_be_removed_get_no_lock) {
    Faults faults;
    close(open(name_.path("@0.00000001").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    faults.fail(Site::list, 1, EIO);
    EXPECT_EQ(speculo_area_remove(name_.c_str()), -EIO);
    faults.reset_counts();
    faults.fail(Site::unlink, 2, EPERM); // the first is of the area itself
    EXPECT_EQ(speculo_area_remove(name_.c_str()), -EPERM);
    EXPECT_EQ(name_.files().size(), 1u);
    faults.heal();
    EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
    EXPECT_TRUE(name_.files().empty());
}

TEST_F(Open, writer_whose_name_is_gone_is_told_at_its_next_change_of_segment) {
    Handle writer = make_area(name_, small);
    commit_chunk(writer, "a");
    Handle reader = open_reader(name_);
    ASSERT_EQ(unlink(name_.path().c_str()), 0);
    EXPECT_EQ(commit_chunk(writer, "b"), 2u); // not before
    fill_segment(writer, 1000, transient());
    uint64_t pending = put_chunk(writer, "");
    EXPECT_EQ(try_alloc(writer, 2000), -ESTALE);
    commit(writer);
    EXPECT_EQ(speculo_area_compact(writer), -ESTALE);
    EXPECT_EQ(ids_of(read_all(reader)).size(), pending);
    EXPECT_EQ(try_open(name_, create_flags), -EBUSY); // it still has the role
    writer.close();
    EXPECT_EQ(try_open(name_, create_flags), 0); // finds no area, but leftovers
    Handle next = open_writer(name_);
    EXPECT_EQ(info_of(next).segments, 1u);
    EXPECT_EQ(commit_chunk(next, "c"), 1u);
}

TEST_F(Open, writer_whose_area_was_replaced_by_hand_does_not_touch_the_new_one) {
    Handle old = make_area(name_, small);
    commit_chunk(old, "old");
    for (const std::string &file : name_.files()) { EXPECT_EQ(unlink((std::string(area_directory()) + "/" + file).c_str()), 0); }
    Handle fresh = make_area(name_, small);
    commit_chunk(fresh, "new");
    EXPECT_EQ(speculo_area_compact(old), -ESTALE);
    old.close();
    EXPECT_EQ(live_chunks(name_)[0].payload, "new");
    compact_now(fresh);
    EXPECT_EQ(try_open(name_, write_flag), -EBUSY);
}

TEST_F(Open, area_that_somebody_began_to_remove_is_none) {
    Handle reader;
    {
        Handle writer = make_area(name_, small);
        commit_chunk(writer, "a");
        reader = open_reader(name_);
        core::put(inside(writer).area.control->marks, uint32_t(core::mark_removed));
    }
    EXPECT_EQ(try_open(name_, SPECULO_OPEN_READ), -ENOENT);
    EXPECT_EQ(try_open(name_, write_flag), -ENOENT);
    EXPECT_EQ(try_open(name_, exclusive_flags), 0);
    EXPECT_EQ(live_ids(name_), Ids{});
    EXPECT_EQ(ids_of(read_all(reader)), (Ids{1}));
}

TEST_F(Open, area_that_is_removed_while_it_is_opened_is_none) {
    make_area(name_, small).close();
    Faults faults; // puts the table back
    static const char *area;
    area = name_.c_str();
    static decltype(os::operations.allocate) real;
    real = os::operations.allocate;
    os::operations.allocate = [](size_t size) {
        bool has_looked = size == sizeof(core::Attachment); // the control page said that there is an area, and where
        if (area && has_looked) { EXPECT_EQ(speculo_area_remove(std::exchange(area, nullptr)), 0); }
        return real(size);
    };
    for (uint32_t flags : {uint32_t(SPECULO_OPEN_READ), uint32_t(SPECULO_OPEN_NO_CURSOR)}) {
        if (!area) { make_area(name_, small).close(); }
        area = name_.c_str();
        EXPECT_EQ(try_open(name_, flags), -ENOENT) << flags;
        EXPECT_EQ(area, nullptr);
    }
}

TEST_F(Open, that_fails_in_prefault_undoes_what_it_made) {
    Faults faults;
    AreaOptions options(small);
    options.prefault = 16 * small;
    faults.fail_from(Site::allocate_space, 4, ENOSPC);
    EXPECT_EQ(try_open(name_, exclusive_flags, &options), -ENOSPC);
    EXPECT_TRUE(name_.files().empty());
    faults.heal();
    make_area(name_, small).close();
    size_t before = name_.files().size();
    faults.reset_counts();
    faults.fail_from(Site::allocate_space, 3, ENOSPC);
    options.capacity = 0;
    EXPECT_EQ(try_open(name_, write_flag, &options), -ENOSPC);
    EXPECT_EQ(name_.files().size(), before);
    faults.heal();
    EXPECT_EQ(try_open(name_, write_flag, &options), 0);
}

// What there was is not thrown away for want of memory to make more of it.
TEST_F(Open, that_fails_in_prefault_keeps_what_it_found) {
    Faults faults;
    Handle writer = make_area(name_); // 1 MiB
    commit_chunk(writer, "a");
    compact_now(writer);
    writer.close();
    size_t before = name_.files().size();
    AreaOptions options;
    options.prefault = uint64_t(16) << 20;
    options.segments = 2;
    int error = -ENOSPC;
    for (uint64_t call = 1; error < 0; ++call) {
        faults.reset_counts();
        faults.fail(Site::allocate_space, call, ENOSPC);
        error = try_open(name_, write_flag, &options);
        EXPECT_TRUE(error == 0 || error == -ENOSPC) << error;
        EXPECT_EQ(name_.files().size(), before) << call;
    }
    EXPECT_EQ(live_ids(name_), (Ids{1}));
}

TEST_F(Open, EXCLUSIVE_says_EEXIST_whether_a_writer_lives_or_not) {
    Handle writer = make_area(name_);
    EXPECT_EQ(try_open(name_, create_flags), -EBUSY);
    EXPECT_EQ(try_open(name_, exclusive_flags), -EEXIST);
    writer.close();
    EXPECT_EQ(try_open(name_, exclusive_flags), -EEXIST);
}

TEST_F(Open, EXCLUSIVE_says_EBUSY_while_another_creates_or_removes) {
    Handle writer = make_area(name_);
    core::Shared<uint64_t> &current = inside(writer).area.control->current;
    uint64_t before = core::peek(current);
    core::put(current, uint64_t(0));
    EXPECT_EQ(try_open(name_, exclusive_flags), -EBUSY);
    core::put(current, before);
    EXPECT_EQ(try_open(name_, exclusive_flags), -EEXIST);
    ASSERT_EQ(unlink(name_.path().c_str()), 0);
    EXPECT_EQ(try_open(name_, exclusive_flags), -EBUSY);
}

namespace moved {

std::string lock; // "": it was moved already
int (*real)(int);

// While its lock is being taken, the file is moved away, and somebody makes another.
int lock_whole(int fd) {
    int error = real(fd);
    if (!lock.empty()) {
        rename(lock.c_str(), (lock + ".moved").c_str());
        close(open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    }
    lock.clear();
    return error;
}

} // namespace moved

TEST_F(Open, P8_the_role_is_the_lock_that_has_the_name) {
    make_area(name_).close();
    moved::lock = name_.path("@lock");
    moved::real = os::operations.lock_whole;
    os::operations.lock_whole = moved::lock_whole;
    Handle writer = open_writer(name_);
    os::operations.lock_whole = moved::real;
    EXPECT_TRUE(moved::lock.empty());
    EXPECT_EQ(unlink(name_.path("@lock.moved").c_str()), 0);
    int fd = open(name_.path("@lock").c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_EQ(os::operations.lock_whole(fd), -EAGAIN);
    close(fd);
}

// The sign of life is there all the same. (Without range locks there is none.)
TEST_F(Open, lock_file_removed_by_hand_lets_no_second_writer_in) {
    Handle writer = make_area(name_);
    ASSERT_EQ(unlink(name_.path("@lock").c_str()), 0);
    EXPECT_EQ(try_open(name_, write_flag), os::has_range_locks ? -EBUSY : 0);
}

TEST_F(Open, hard_link_of_a_retired_segment_keeps_nobody_out) {
    Handle writer = make_area(name_, small);
    commit_chunk(writer, "a");
    uint32_t nonce = inside(writer).current->nonce;
    const core::Place &place = inside(writer).area.place;
    compact_now(writer);
    std::string another = name_.path() + ".link";
    ASSERT_EQ(linkat(place.directory, core::segment_name(place, 0, nonce).text, AT_FDCWD, another.c_str(), 0), 0);
    writer.close();
    writer = open_writer(name_);
    EXPECT_EQ(live_ids(name_), (Ids{1}));
    unlink(another.c_str());
}

} // namespace
