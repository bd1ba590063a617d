// SPDX-License-Identifier: LGPL-2.1-or-later
// Segments as objects: how they are made, found again, checked, grown, and taken to be used again.
#include "segment.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "area_names.hpp"
#include "faults.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using namespace speculo::core;

constexpr uint64_t capacity = 256 << 10;
constexpr Site naming = os::has_range_locks ? Site::link : Site::rename; // what gives a complete object its name

class Segment : public testing::Test {
protected:
    Segment() {
        EXPECT_EQ(place_open(name.c_str(), area.place), 0);
        EXPECT_EQ(control_create(area, Choices{capacity, capacity, 0640, 0, 3, 0}), 0);
        EXPECT_TRUE(make_geometry(capacity, 256, geometry));
    }
    ~Segment() override {
        for (WriterSegment *segment : made) { segment_free(segment); }
        control_close(area);
        place_close(area.place);
        EXPECT_EQ(faults.leaks(), "");
    }

    WriterSegment *create(uint32_t slot, uint64_t places = first_place) {
        WriterSegment *segment = nullptr;
        EXPECT_EQ(segment_create(area, slot, geometry, places, &segment), 0);
        if (segment) { made.push_back(segment); }
        return segment;
    }
    int try_create(uint32_t slot) {
        WriterSegment *segment = nullptr;
        int error = segment_create(area, slot, geometry, first_place, &segment);
        EXPECT_EQ(segment != nullptr, error == 0);
        if (segment) { made.push_back(segment); }
        return error;
    }
    int try_adopt(uint32_t slot, WriterSegment **ret_segment = nullptr) {
        WriterSegment *segment = nullptr;
        int error = segment_adopt(area, slot, &segment);
        if (segment) { made.push_back(segment); }
        if (ret_segment) { *ret_segment = segment; }
        return error;
    }
    uint64_t entry(uint32_t slot) const { return peek(area.control->slots[slot]); }
    std::string path_of(const WriterSegment &segment) const {
        std::string object = segment_name(area.place, segment.slot, segment.nonce).text;
        return name.path(object.substr(object.find('@')));
    }
    struct stat stat_of(const WriterSegment &segment) const {
        struct stat status;
        EXPECT_EQ(stat(path_of(segment).c_str(), &status), 0);
        return status;
    }

    Faults faults;
    AreaName name;
    Area area;
    Geometry geometry;
    std::vector<WriterSegment *> made;
};

// ---- making -----------------------------------------------------------------------------------------------------------------

TEST_F(Segment, is_complete_but_nobody_enters_it_yet) {
    WriterSegment *segment = create(5);
    const SegmentHeader &header = segment->map.header();
    EXPECT_EQ(peek(header.magic), segment_magic);
    EXPECT_EQ(peek(header.version), format_version);
    EXPECT_EQ(peek(header.byte_order), byte_order_tag);
    EXPECT_EQ(peek(header.area_id[0]), peek(area.control->area_id[0]));
    EXPECT_EQ(peek(header.area_id[1]), peek(area.control->area_id[1]));
    EXPECT_EQ(peek(header.slot), 5u);
    EXPECT_EQ(peek(header.incarnation), 1u);
    EXPECT_EQ(peek(header.capacity), capacity);
    EXPECT_EQ(peek(header.table_slots), 256u);
    EXPECT_EQ(peek(header.generation), 0u);
    EXPECT_EQ(entry(5), pack_slot(segment->nonce, 1));
    EXPECT_NE(segment->nonce, 0u);
}

TEST_F(Segment, P9_what_is_readable_is_really_there) {
    WriterSegment *segment = create(0, 1000);
    struct stat status = stat_of(*segment);
    EXPECT_GE(uint64_t(status.st_blocks) * 512, uint64_t(status.st_size)) << "a hole";
    EXPECT_EQ(segment->map.readable, segment_readable(geometry, uint64_t(status.st_size)));
    EXPECT_GE(segment->soft_end(), 1000u);
    EXPECT_LT(uint64_t(status.st_size), geometry.size) << "not more than it takes";
}

TEST_F(Segment, has_the_area_s_mode) {
    EXPECT_EQ(stat_of(*create(0)).st_mode & 07777, 0640u);
    ASSERT_EQ(chmod(name.path().c_str(), 0644), 0);
    EXPECT_EQ(stat_of(*create(1)).st_mode & 07777, 0644u);
}

TEST_F(Segment, each_object_of_a_slot_is_another_incarnation) {
    WriterSegment *first = create(0);
    ASSERT_EQ(unlink(path_of(*first).c_str()), 0);
    WriterSegment *second = create(0);
    EXPECT_EQ(second->incarnation, 2u);
    EXPECT_EQ(peek(second->map.header().incarnation), 2u);
    EXPECT_EQ(entry(0), pack_slot(second->nonce, 2));
}

TEST_F(Segment, another_name_is_taken_when_one_is_taken_already) {
    faults.reset_counts();
    faults.fail(naming, 1, EEXIST);
    WriterSegment *segment = create(0);
    EXPECT_EQ(faults.fired(), 1u);
    EXPECT_EQ(entry(0), pack_slot(segment->nonce, 1));
    EXPECT_EQ(access(path_of(*segment).c_str(), F_OK), 0);
}

TEST_F(Segment, never_has_the_name_that_means_none) {
    os::operations.random = [](void *bytes, size_t size) {
        std::memset(bytes, 0, size);
        return 0;
    };
    EXPECT_EQ(create(0)->nonce, 1u);
    EXPECT_EQ(entry(0), pack_slot(1, 1));
    EXPECT_EQ(try_adopt(0), 0);
}

TEST_F(Segment, gives_up_when_all_names_are_taken) {
    faults.reset_counts();
    faults.fail_from(naming, 1, EEXIST);
    uint64_t before = entry(0);
    EXPECT_EQ(try_create(0), -EEXIST);
    EXPECT_GT(faults.fired(), 2u);
    EXPECT_LT(faults.fired(), 100u);
    EXPECT_EQ(entry(0), before);
    faults.heal();
}

// Each operation in turn says each of its errors: nothing is left behind, and the slot is as before.
TEST_F(Segment, P9_failing_to_be_made_leaves_nothing) {
    create(3); // another slot, not to be touched
    auto files = name.files();
    size_t descriptors = faults.descriptors(), mappings = faults.mappings(), allocations = faults.allocations();
    int failures = 0;
    for (size_t i = 0; i < site_count; ++i) {
        for (int error : site_errors(site_at(i))) {
            for (uint64_t call = 1;; ++call) {
                faults.reset_counts();
                faults.fail_from(site_at(i), call, error);
                uint64_t before = entry(1);
                int result = try_create(1);
                bool was_tried = faults.fired() > 0;
                faults.heal();
                if (result == 0) { // it got along without, or was not asked
                    ASSERT_EQ(unlink(path_of(*made.back()).c_str()), 0);
                    segment_free(made.back());
                    made.pop_back();
                    publish_slot(area.control->slots[1], before);
                    if (!was_tried) { break; }
                    continue;
                }
                ++failures;
                std::string where = std::string(site_name(site_at(i))) + " " + std::to_string(error);
                EXPECT_EQ(entry(1), before) << where;
                EXPECT_EQ(name.files(), files) << where;
                EXPECT_EQ(faults.descriptors(), descriptors) << where;
                EXPECT_EQ(faults.mappings(), mappings) << where;
                EXPECT_EQ(faults.allocations(), allocations) << where;
            }
        }
    }
    EXPECT_GT(failures, 30);
}

// ---- growing ----------------------------------------------------------------------------------------------------------------

TEST_F(Segment, grows_in_steps_up_to_its_geometry) {
    WriterSegment *segment = create(0);
    uint32_t before = segment->map.readable;
    EXPECT_EQ(segment_extend(*segment, segment->soft_end()), 0);
    EXPECT_EQ(segment->map.readable, before) << "there was room";
    uint64_t calls = faults.calls(Site::allocate_space);
    for (uint32_t places = 1; places <= geometry.chunk_end; ++places) {
        ASSERT_EQ(segment_extend(*segment, places), 0);
        ASSERT_GE(segment->soft_end(), places);
        ASSERT_EQ(segment->map.readable, segment_readable(geometry, uint64_t(stat_of(*segment).st_size)));
    }
    EXPECT_LE(faults.calls(Site::allocate_space) - calls, 16u) << "steps, not single pages";
    EXPECT_EQ(segment->map.readable, geometry.place_end);
    EXPECT_EQ(uint64_t(stat_of(*segment).st_size), geometry.size);
    std::memset(segment->map.bytes(geometry.chunk_end), 1, reserve_size); // the reserve is there too
}

TEST_F(Segment, P9_takes_what_little_is_left) {
    WriterSegment *segment = create(0);
    uint32_t before = segment->map.readable, places = segment->soft_end() + 1;
    faults.reset_counts();
    faults.fail(Site::allocate_space, 1, ENOSPC); // a whole step
    EXPECT_EQ(segment_extend(*segment, places), 0);
    EXPECT_EQ(faults.calls(Site::allocate_space), 2u);
    EXPECT_GE(segment->soft_end(), places);
    EXPECT_LE(segment->map.readable, before + 2 * places_per_page);
}

TEST_F(Segment, P9_stays_as_it_is_where_nothing_is_left) {
    WriterSegment *segment = create(0);
    uint32_t before = segment->map.readable;
    faults.reset_counts();
    faults.fail_from(Site::allocate_space, 1, ENOSPC);
    EXPECT_EQ(segment_extend(*segment, before), -ENOSPC);
    EXPECT_EQ(segment->map.readable, before);
    EXPECT_EQ(segment_extend(*segment, segment->soft_end()), 0) << "what is there needs nothing";
    faults.heal();
    EXPECT_EQ(segment_extend(*segment, before), 0);
}

TEST_F(Segment, prefault_makes_it_there_up_to_the_whole) {
    WriterSegment *segment = create(0);
    EXPECT_EQ(segment_prefault(*segment, 100000, false), 0);
    EXPECT_GE(uint64_t(stat_of(*segment).st_size), 100000u);
    EXPECT_EQ(segment_prefault(*segment, UINT64_MAX, false), 0);
    EXPECT_EQ(uint64_t(stat_of(*segment).st_size), geometry.size);
    EXPECT_EQ(segment->map.readable, geometry.place_end);
}

TEST_F(Segment, readable_places_follow_from_the_size) {
    EXPECT_EQ(segment_readable(geometry, 0), 0u);
    EXPECT_EQ(segment_readable(geometry, geometry.chunks_offset - 1), 0u);
    EXPECT_EQ(segment_readable(geometry, geometry.chunks_offset + 15), 0u);
    EXPECT_EQ(segment_readable(geometry, geometry.chunks_offset + 16), 1u);
    EXPECT_EQ(segment_readable(geometry, geometry.chunks_offset + 4096), 256u);
    EXPECT_EQ(segment_readable(geometry, geometry.size), geometry.place_end);
    EXPECT_EQ(segment_readable(geometry, UINT64_MAX), geometry.place_end);
}

// ---- finding again ------------------------------------------------------------------------------------------------------------

TEST_F(Segment, is_adopted_as_it_was) {
    WriterSegment *segment = create(2, 1000), *again = nullptr;
    publish_generation(segment->map.header().generation, 77);
    std::memset(segment->map.bytes(5), 0xab, 16);
    ASSERT_EQ(try_adopt(2, &again), 0);
    EXPECT_EQ(again->generation, 77u);
    EXPECT_EQ(again->slot, 2u);
    EXPECT_EQ(again->nonce, segment->nonce);
    EXPECT_EQ(again->incarnation, 1u);
    EXPECT_EQ(again->map.readable, segment->map.readable);
    EXPECT_EQ(again->map.geometry.size, geometry.size);
    EXPECT_EQ(std::memcmp(again->map.bytes(5), segment->map.bytes(5), 16), 0);
    EXPECT_EQ(try_adopt(3), -ENOENT);
}

TEST_F(Segment, P9_holes_are_filled_when_it_is_adopted) {
    WriterSegment *segment = create(0, 8000), *again = nullptr;
    std::string path = path_of(*segment);
    off_t size = stat_of(*segment).st_size;
    ASSERT_EQ(truncate(path.c_str(), off_t(geometry.chunks_offset) + 4096), 0);
    ASSERT_EQ(truncate(path.c_str(), size), 0); // the same size, but nothing behind it
    ASSERT_LT(uint64_t(stat_of(*segment).st_blocks) * 512, uint64_t(size));
    ASSERT_EQ(try_adopt(0, &again), 0);
    if (os::has_range_locks) { EXPECT_GE(uint64_t(stat_of(*again).st_blocks) * 512, uint64_t(size)); }
    EXPECT_EQ(again->map.readable, segment->map.readable);
}

// ---- checking ---------------------------------------------------------------------------------------------------------------

TEST_F(Segment, P10_what_is_damaged_is_not_believed) {
    WriterSegment *segment = create(0);
    SegmentHeader &header = segment->map.header();
    auto adopt_with = [&](auto &word, auto value) {
        auto before = peek(word);
        put(word, decltype(before)(value));
        int error = try_adopt(0);
        put(word, before);
        return error;
    };
    EXPECT_EQ(adopt_with(header.magic, 0u), -EBADMSG);
    EXPECT_EQ(adopt_with(header.magic, control_magic), -EBADMSG);
    EXPECT_EQ(adopt_with(header.version, format_version + 1), -EPROTONOSUPPORT);
    EXPECT_EQ(adopt_with(header.byte_order, 0x04030201u), -EBADMSG);
    EXPECT_EQ(adopt_with(header.area_id[0], 1u), -EBADMSG);
    EXPECT_EQ(adopt_with(header.area_id[1], 1u), -EBADMSG);
    EXPECT_EQ(adopt_with(header.slot, 1u), -ESTALE);
    EXPECT_EQ(adopt_with(header.incarnation, 2u), -ESTALE);
    for (uint64_t wrong : {uint64_t(0), uint64_t(4096), capacity + 1, capacity_limit + 4096, UINT64_MAX}) {
        EXPECT_EQ(adopt_with(header.capacity, wrong), -EBADMSG) << wrong;
    }
    for (uint64_t wrong : {uint64_t(0), uint64_t(255), uint64_t(1) << 31, UINT64_MAX}) {
        EXPECT_EQ(adopt_with(header.table_slots, wrong), -EBADMSG) << wrong;
    }
    EXPECT_EQ(try_adopt(0), 0);
}

TEST_F(Segment, P10_sizes_that_do_not_fit_are_refused) {
    WriterSegment *segment = create(0);
    const SegmentHeader &header = segment->map.header();
    Geometry found;
    auto validate = [&](uint64_t size) { return segment_validate(area, header, size, 0, entry(0), found); };
    EXPECT_EQ(validate(geometry.size), 0);
    EXPECT_EQ(found.size, geometry.size);
    EXPECT_EQ(validate(geometry.chunks_offset + reserve_size), 0);
    EXPECT_EQ(validate(geometry.chunks_offset + reserve_size - 1), -EBADMSG);
    EXPECT_EQ(validate(0), -EBADMSG);
    EXPECT_EQ(validate(geometry.size + 1), -EBADMSG);
    EXPECT_EQ(segment_validate(area, header, geometry.size, 0, entry(0) + 1, found), -ESTALE);
    EXPECT_EQ(segment_validate(area, header, geometry.size, 1, entry(0), found), -ESTALE);
}

// ---- using again ------------------------------------------------------------------------------------------------------------

// A reader's descriptor with a lock on some of the two bytes.
class Pin {
public:
    Pin(const std::string &path, uint64_t first, uint64_t count) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        error = os::operations.lock(fd_, os::Lock::shared, first, count);
    }
    ~Pin() { close(fd_); }
    Pin(const Pin &) = delete;
    Pin &operator=(const Pin &) = delete;
    int error;

private:
    int fd_;
};

TEST_F(Segment, is_retaken_when_nobody_is_inside) {
    WriterSegment *segment = create(0);
    publish_generation(segment->map.header().generation, 5);
    segment->generation = 5;
    if (!os::has_range_locks) { // without locks nobody can know
        EXPECT_EQ(segment_retake(*segment), -EAGAIN);
        EXPECT_EQ(peek(segment->map.header().generation), 5u);
        return;
    }
    for (uint64_t first : {0u, 1u}) {
        Pin pin(path_of(*segment), first, 1);
        EXPECT_EQ(segment_retake(*segment), -EAGAIN);
        EXPECT_EQ(segment->generation, 5u);
        EXPECT_EQ(peek(segment->map.header().generation), 5u) << "readers may still enter";
    }
    EXPECT_EQ(segment_retake(*segment), 0);
    EXPECT_EQ(segment->generation, 0u);
    EXPECT_EQ(peek(segment->map.header().generation), 0u);
    EXPECT_EQ(Pin(path_of(*segment), 0, 2).error, 0) << "unlocked before it is overwritten";
}

TEST_F(Segment, tells_cursors_from_views) {
    WriterSegment *segment = create(0);
    EXPECT_FALSE(segment_has_cursor(*segment));
    if (!os::has_range_locks) {
        EXPECT_EQ(segment_shut_out_cursors(*segment), -EOPNOTSUPP);
        return;
    }
    Pin view(path_of(*segment), 0, 1);
    EXPECT_FALSE(segment_has_cursor(*segment));
    EXPECT_EQ(segment_shut_out_cursors(*segment), 0);
    EXPECT_EQ(Pin(path_of(*segment), 1, 1).error, -EAGAIN);
    EXPECT_EQ(Pin(path_of(*segment), 0, 1).error, 0);
    segment_let_in_cursors(*segment);
    Pin cursor(path_of(*segment), 1, 1);
    EXPECT_EQ(cursor.error, 0);
    EXPECT_TRUE(segment_has_cursor(*segment));
    EXPECT_EQ(segment_shut_out_cursors(*segment), -EAGAIN);
}

TEST_F(Segment, begins_a_generation_with_nothing) {
    WriterSegment *segment = create(0);
    const SegmentMap &map = segment->map;
    put(map.frame(first_place).commit, 5u);
    put(map.header().hint, 99u);
    put(map.header().prefix_end, 88u);
    segment_clear(*segment);
    EXPECT_EQ(peek(map.frame(first_place).commit), 0u);
    EXPECT_EQ(peek(map.header().hint), first_place);
    EXPECT_EQ(peek(map.header().prefix_end), first_place);
}

} // namespace
