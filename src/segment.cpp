// SPDX-License-Identifier: LGPL-2.1-or-later
#include "segment.hpp"

#include <cerrno>

namespace speculo::core {

namespace {

constexpr uint64_t cursor_byte = 1;
constexpr int nonce_tries = 8; // a name that is taken by chance or on purpose

uint64_t bytes_for(const Geometry &geometry, uint64_t places) {
    uint64_t size = align_up(geometry.chunks_offset + places * place_size + reserve_size, page_size);
    return size < geometry.size ? size : geometry.size;
}

// Allocated ahead in steps of a sixteenth, so that most allocs make no system call and none makes a long one.
uint64_t step_of(const Geometry &geometry) {
    constexpr uint64_t least = 64 << 10, most = 4 << 20;
    uint64_t step = geometry.capacity / 16;
    return step < least ? least : step > most ? most : step;
}

// A quota, or a limit on the size of files, is as good as a full file system.
int allocate(const WriterSegment &segment, uint64_t from, uint64_t to) {
    int error = os::operations.allocate_space(segment.file.fd, from, to - from);
    return error == -EDQUOT || error == -EFBIG ? -ENOSPC : error;
}

// Takes what lies between two offsets in huge pages, as long as the system has any. What is not there yet comes with them, which is how
// they cost least: the kernel has nothing to copy, but for the first small page, which it asks for. Between any two calls all below the object's size is there.
void take_huge_pages(const WriterSegment &segment, uint64_t from, uint64_t to) {
    for (uint64_t at = align_up(from, os::huge_page); at + os::huge_page <= to; at += os::huge_page) {
        if (allocate(segment, at, at + 1) < 0) { return; }
        int error = os::operations.make_huge(segment.map.base + at);
        if (error < 0 && error != -EAGAIN) { return; } // one that is busy stays in small pages
        if (allocate(segment, at, at + os::huge_page) < 0) { return; }
    }
}

void fill_header(const Area &area, const WriterSegment &segment) {
    SegmentHeader &header = segment.map.header();
    put(header.version, format_version);
    put(header.byte_order, byte_order_tag);
    for (int i = 0; i < 2; ++i) { put(header.area_id[i], peek(area.control->area_id[i])); }
    put(header.slot, segment.slot);
    put(header.incarnation, segment.incarnation);
    put(header.capacity, segment.map.geometry.capacity);
    put(header.table_slots, segment.map.geometry.table_slots);
    put(header.magic, segment_magic);
}

int map_segment(WriterSegment &segment) {
    if (segment.map.geometry.size > SIZE_MAX) { return -ENOMEM; }
    void *address = nullptr;
    int error = os::operations.map(segment.file.fd, size_t(segment.map.geometry.size), os::Access::read_write, &address);
    if (error == 0) { segment.map.put_at(address); }
    return error;
}

int name_object(Area &area, WriterSegment &segment, Unnamed &object) {
    Shared<uint64_t> &entry = area.control->slots[segment.slot];
    uint64_t before = peek(entry);
    int error = -EEXIST;
    for (int i = 0; i < nonce_tries && error == -EEXIST; ++i) {
        error = os::operations.random(&segment.nonce, sizeof segment.nonce);
        if (error < 0) { break; }
        if (segment.nonce == 0) { segment.nonce = 1; } // 0 means "no object"
        publish_slot(entry, pack_slot(segment.nonce, segment.incarnation));
        error = object_publish(area.place, object, segment_name(area.place, segment.slot, segment.nonce).text);
    }
    if (error < 0) { publish_slot(entry, before); }
    return error;
}

int build(Area &area, WriterSegment &segment, Unnamed &object, uint64_t places) {
    int error = object_begin(area.place, object);
    if (error < 0) { return error; }
    segment.file.fd = object.fd;
    error = map_segment(segment);
    if (error == 0) { error = segment_extend(segment, places); }
    if (error == 0) { error = control_dress(area, segment.file.fd); }
    if (error != 0) { return error; }
    fill_header(area, segment);
    return name_object(area, segment, object);
}

WriterSegment *new_segment(uint32_t slot) {
    auto *segment = static_cast<WriterSegment *>(os::operations.allocate(sizeof(WriterSegment)));
    if (segment) {
        *segment = WriterSegment{};
        segment->slot = slot;
    }
    return segment;
}

int adopt(Area &area, WriterSegment &segment, uint64_t entry) {
    ObjectName name = segment_name(area.place, segment.slot, slot_nonce(entry));
    int error = lock_descriptor_open(segment.file, area.place.directory, name.text, os::Access::read_write);
    if (error < 0) { return error; }
    os::FileStatus status;
    error = os::operations.status(segment.file.fd, &status);
    if (error == 0) { error = control_check_object(area, status); }
    if (error == 0 && status.size < page_size) { error = -EBADMSG; }
    if (error < 0) { return error; }
    void *address = nullptr; // the header first: it says how much there is to map
    error = os::operations.map(segment.file.fd, page_size, os::Access::read_write, &address);
    if (error < 0) { return error; }
    auto &header = *static_cast<SegmentHeader *>(address);
    error = segment_validate(area, header, status.size, segment.slot, entry, segment.map.geometry);
    segment.generation = observe_generation(header.generation);
    os::operations.unmap(address, page_size);
    if (error < 0) { return error; }
    // Somebody may have punched holes; what is not there would be SIGBUS on a full file system.
    uint64_t size = align_up(status.size, page_size);
    error = os::operations.allocate_space(segment.file.fd, 0, size);
    segment.map.readable = segment_readable(segment.map.geometry, size);
    segment.nonce = slot_nonce(entry);
    segment.incarnation = slot_incarnation(entry);
    return error == 0 ? map_segment(segment) : error;
}

} // namespace

uint32_t segment_readable(const Geometry &geometry, uint64_t size) {
    if (size < geometry.chunks_offset) { return 0; }
    uint64_t places = (size - geometry.chunks_offset) / place_size;
    return places < geometry.place_end ? uint32_t(places) : geometry.place_end;
}

Flaw segment_flaw(const Area &area, const SegmentHeader &header, uint64_t size, uint32_t slot, uint64_t entry,
                  Geometry &ret_geometry) {
    if (peek(header.magic) != segment_magic) { return {-EBADMSG, "offset 0: the magic is wrong"}; }
    if (peek(header.version) != format_version) { return {-EPROTONOSUPPORT, "offset 8: another format version"}; }
    if (peek(header.byte_order) != byte_order_tag) { return {-EBADMSG, "offset 12: another byte order"}; }
    for (int i = 0; i < 2; ++i) {
        bool is_of_area = peek(header.area_id[i]) == peek(area.control->area_id[i]);
        if (!is_of_area) { return {-EBADMSG, "offset 16: it is of another area"}; }
    }
    if (peek(header.slot) != slot) { return {-ESTALE, "offset 32: it is of another slot"}; }
    if (peek(header.incarnation) != slot_incarnation(entry)) { return {-ESTALE, "offset 36: it is of another incarnation"}; }
    if (!make_geometry(peek(header.capacity), peek(header.table_slots), ret_geometry)) {
        return {-EBADMSG, "offset 40: capacity or slots of the key table are out of range"};
    }
    bool fits = size >= ret_geometry.chunks_offset + reserve_size && size <= ret_geometry.size;
    if (!fits) { return {-EBADMSG, "offset 40: capacity and slots of the key table do not fit the object's size"}; }
    return {0, nullptr};
}

int segment_validate(const Area &area, const SegmentHeader &header, uint64_t size, uint32_t slot, uint64_t entry,
                     Geometry &ret_geometry) {
    return segment_flaw(area, header, size, slot, entry, ret_geometry).error;
}

int segment_create(Area &area, uint32_t slot, const Geometry &geometry, uint64_t places, WriterSegment **ret_segment) {
    WriterSegment *segment = new_segment(slot);
    if (!segment) { return -ENOMEM; }
    segment->map.geometry = geometry;
    segment->incarnation = next_incarnation(slot_incarnation(peek(area.control->slots[slot])));
    Unnamed object;
    int error = build(area, *segment, object, places);
    if (error < 0) {
        segment->file.fd = -1; // it is the object's
        object_abandon(area.place, object);
        segment_free(segment);
        return error;
    }
    lock_descriptor_adopt(segment->file, object.fd);
    *ret_segment = segment;
    return 0;
}

int segment_adopt(Area &area, uint32_t slot, WriterSegment **ret_segment) {
    uint64_t entry = peek(area.control->slots[slot]);
    if (slot_nonce(entry) == 0) { return -ENOENT; }
    WriterSegment *segment = new_segment(slot);
    if (!segment) { return -ENOMEM; }
    int error = adopt(area, *segment, entry);
    if (error < 0) {
        segment_free(segment);
        return error;
    }
    *ret_segment = segment;
    return 0;
}

int segment_extend(WriterSegment &segment, uint64_t places) {
    const Geometry &geometry = segment.map.geometry;
    uint64_t there = segment.map.readable ? bytes_for(geometry, segment.soft_end()) : 0;
    uint64_t needed = bytes_for(geometry, places);
    if (needed <= there) { return 0; }
    uint64_t wanted = needed < there + step_of(geometry) ? there + step_of(geometry) : needed;
    if (wanted > geometry.size) { wanted = geometry.size; }
    int error = allocate(segment, there, wanted);
    if (error == -ENOSPC && wanted > needed) {
        wanted = needed; // little is left
        error = allocate(segment, there, wanted);
    }
    if (error < 0) { return error; }
    segment.map.readable = segment_readable(geometry, wanted);
    os::operations.populate(segment.map.base + there, size_t(wanted - there), os::Access::read_write);
    return 0;
}

int segment_prefault(WriterSegment &segment, uint64_t bytes, bool is_new) {
    const Geometry &geometry = segment.map.geometry;
    if (bytes > geometry.size) { bytes = geometry.size; }
    uint64_t there = bytes_for(geometry, segment.soft_end());
    if (is_new) { take_huge_pages(segment, 0, bytes); }
    if (int error = segment_extend(segment, segment_readable(geometry, bytes)); error < 0) { return error; }
    if (!is_new) { take_huge_pages(segment, there, bytes); }
    os::operations.populate(segment.map.base, size_t(bytes), os::Access::read_write);
    return 0;
}

int segment_retake(WriterSegment &segment) {
    if (!os::has_range_locks) { return -EAGAIN; }
    // Not the two bytes alone: locks elsewhere pin nothing, but the kernel would have to look through them each time.
    constexpr uint64_t all = 0;
    int error = os::operations.lock(segment.file.fd, os::Lock::exclusive, 0, all);
    if (error < 0) { return error; }
    segment_invalidate(segment);
    // If it could not be unlocked no reader would get in: another object in its place.
    return os::operations.lock(segment.file.fd, os::Lock::none, 0, all) < 0 ? -EAGAIN : 0;
}

bool segment_has_cursor(const WriterSegment &segment) {
    int error = os::operations.lock(segment.file.fd, os::Lock::exclusive, cursor_byte, 1);
    if (error == 0) { os::operations.lock(segment.file.fd, os::Lock::none, cursor_byte, 1); }
    return error == -EAGAIN;
}

int segment_shut_out_cursors(WriterSegment &segment) {
    return os::operations.lock(segment.file.fd, os::Lock::exclusive, cursor_byte, 1);
}

void segment_let_in_cursors(WriterSegment &segment) { os::operations.lock(segment.file.fd, os::Lock::none, cursor_byte, 1); }

void segment_invalidate(WriterSegment &segment) {
    publish_generation(segment.map.header().generation, 0);
    segment.generation = 0;
}

void segment_clear(WriterSegment &segment) {
    const SegmentMap &map = segment.map;
    put(map.frame(first_place).commit, 0u);
    put(map.header().hint, first_place);
    put(map.header().prefix_end, first_place);
}

void segment_remove(Area &area, WriterSegment *segment) {
    publish_slot(area.control->slots[segment->slot], pack_slot(0, segment->incarnation));
    os::operations.unlink(area.place.directory, segment_name(area.place, segment->slot, segment->nonce).text);
    segment_free(segment);
}

void segment_free(WriterSegment *segment) {
    if (segment->map.base) { os::operations.unmap(segment->map.base, size_t(segment->map.geometry.size)); }
    lock_descriptor_close(segment->file);
    os::operations.release(segment);
}

} // namespace speculo::core
