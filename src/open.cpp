// SPDX-License-Identifier: LGPL-2.1-or-later
// How a writer comes to its area, which may have to be made, and leaves it. Everything here happens under the role's lock.
#include <cerrno>
#include <utility>

#include "writer.hpp"

namespace speculo::core {

namespace {

// ---- choices ----

Choices defaults(const speculo_area_options &options) {
    Choices choices;
    choices.capacity = align_up(options.capacity ? options.capacity : default_capacity, page_size);
    choices.max_capacity = align_up(options.max_capacity, page_size);
    if (choices.max_capacity < choices.capacity) { choices.max_capacity = choices.capacity; }
    choices.mode = options.mode | 0600;
    choices.compact_percent = options.compact_percent;
    choices.segments = options.segments ? options.segments : 3;
    choices.flags = options.flags & SPECULO_AREA_LOSSLESS;
    return choices;
}

// What the options change in an area that exists; the rest stays.
void change_choices(ControlPage &control, const speculo_area_options &options) {
    if (options.capacity) { put(control.capacity, align_up(options.capacity, page_size)); }
    if (options.max_capacity) { put(control.max_capacity, align_up(options.max_capacity, page_size)); }
    if (options.compact_percent) { put(control.compact_percent, options.compact_percent); }
    if (options.segments) { put(control.segments, options.segments); }
    put(control.flags, peek(control.flags) | (options.flags & SPECULO_AREA_LOSSLESS));
}

int change_mode(Writer &writer, uint32_t mode) {
    if (mode == 0) { return 0; }
    int error = os::operations.set_mode(writer.area.control_fd.fd, mode | 0600);
    for (WriterSegment *segment : writer.segments) {
        if (segment && error == 0) { error = os::operations.set_mode(segment->file.fd, mode | 0600); }
    }
    if (error == 0) { error = os::operations.set_mode(writer.ringer.bell.fd, mode | 0600); }
    writer.ringer.set(duty_public, is_public(writer.area));
    return error;
}

// ---- opening ----

Trust trust_of_writer() {
    uint32_t self = os::operations.user();
    return Trust{self, false, 0, self == 0};
}

// An area that somebody began to remove is none any more. One that somebody began to create is none yet: whoever creates it after
// all does so by choices of his own.
bool is_no_area(const Area &area, uint32_t flags) {
    bool is_half_removed = observe_mark(area.control->marks) & mark_removed;
    bool is_half_made = peek(area.control->current) == 0 && (flags & SPECULO_OPEN_CREATE);
    return is_half_removed || is_half_made;
}

int open_or_create_control(Writer &writer, uint32_t flags, const speculo_area_options &options) {
    Area &area = writer.area;
    int error = control_open(area, os::Access::read_write, trust_of_writer());
    if (error == 0 && is_no_area(area, flags)) {
        control_close(area);
        error = os::operations.unlink(area.place.directory, area.place.name);
        if (error == 0) { error = -ENOENT; }
    }
    if (error == -ENOENT && (flags & SPECULO_OPEN_CREATE)) {
        error = control_create(area, defaults(options));
        writer.is_creator = error == 0;
    } else if (error == 0 && (flags & SPECULO_OPEN_EXCLUSIVE)) {
        return -EEXIST;
    }
    // The lock's file was removed by hand, and another writer lives: its sign of life tells.
    return error == 0 && os::operations.locked_by_other(area.control_fd.fd, 0, 1) == 1 ? -EBUSY : error;
}

// -EEXIST if the area that another writer has is a complete one; else that writer is about to create it.
int exclusive_or_busy(Area &area) {
    int error = control_open(area, os::Access::read, trust_of_writer());
    bool exists = error == 0 && observe_current(area.control->current) != 0;
    control_close(area);
    return exists ? -EEXIST : -EBUSY;
}

// Obsoletes every chunk with a deadline, as far as no compaction comes in between.
int obsolete_deadlines(Writer &writer) {
    const WriterSegment *segment = writer.current;
    FrameWalk walk(segment->map, first_place, writer.committed);
    Frame frame;
    int found = 0;
    while (writer.current == segment && (found = walk.next(frame)) == 1) {
        bool is_ended = load_successor(segment->map.frame(frame.place).successor) != 0;
        if (!frame.is_chunk() || frame.expires == 0 || is_ended) { continue; }
        if (int error = writer_obsolete(writer, frame.id); error < 0) { return error; }
    }
    return found < 0 ? found : 0;
}

// Ends every chunk with a deadline: their clock is of a boot before. The first one may have to compact to get its marker in; then
// the others lie elsewhere.
int end_deadlines(Writer &writer) {
    const WriterSegment *segment;
    int error;
    do {
        segment = writer.current;
        error = obsolete_deadlines(writer);
    } while (error == 0 && writer.current != segment);
    if (error == 0) { writer_commit(writer); }
    return error;
}

int take_over_after_boot(Writer &writer, uint32_t flags) {
    Area &area = writer.area;
    Boot boot;
    if (int error = control_boot(area, boot); error < 0) { return error; }
    if (boot == Boot::unclean && !(flags & SPECULO_OPEN_CREATE)) { return -EBADMSG; }
    if (boot == Boot::clean) {
        if (int error = control_begin_recovery(area); error < 0) { return error; }
    }
    if (int error = control_mark_clean(area, false); error < 0) { return error; }
    int error = boot == Boot::unclean ? start_afresh(writer) : take_over(writer);
    if (error == 0 && boot == Boot::clean) { error = end_deadlines(writer); }
    if (error == 0 && boot != Boot::same) { error = control_end_recovery(area); }
    return error;
}

// Called, as it would be larger twice in line.
[[gnu::noinline]] int prefault_one(WriterSegment &segment, uint64_t &bytes, bool is_new) {
    if (int error = segment_prefault(segment, bytes, is_new); error < 0) { return error; }
    bytes -= bytes < segment.map.geometry.size ? bytes : segment.map.geometry.size;
    return 0;
}

// Makes further segments resident, and makes those that there are not yet, as long as they are wanted.
int prefault_others(Writer &writer, uint64_t bytes, uint32_t wanted) {
    const Geometry geometry = writer.current->map.geometry;
    int error = 0;
    for (uint32_t slot = 0; slot < max_slots && bytes > 0 && error == 0; ++slot) {
        WriterSegment *&segment = writer.segments[slot];
        bool is_made = !segment && wanted > 0;
        if (is_made) {
            error = segment_create(writer.area, slot, geometry, first_place, &segment);
            --wanted;
        }
        if (error == 0 && segment && segment != writer.current) { error = prefault_one(*segment, bytes, is_made); }
        if (error < 0 && is_made && segment) { // what there is no memory for is not to keep it from others
            segment_remove(writer.area, std::exchange(segment, nullptr));
        }
    }
    return error;
}

// Memory made resident at open: the current segment's first, then that of further objects, which compaction will find.
int prefault(Writer &writer, uint64_t bytes) {
    uint32_t count = 0, most = peek(writer.area.control->segments);
    for (const WriterSegment *segment : writer.segments) { count += segment != nullptr; }
    if (bytes == 0) { return 0; }
    if (int error = prefault_one(*writer.current, bytes, writer.is_creator); error < 0) { return error; }
    return prefault_others(writer, bytes, count < most ? most - count : 0);
}

int begin_writing(Writer &writer, uint32_t flags, const speculo_area_options &options) {
    if (int error = open_or_create_control(writer, flags, options); error < 0) { return error; }
    ControlPage &control = *writer.area.control;
    if (control_flaw(control)) { return -EBADMSG; }
    if (!os::has_range_locks && ((peek(control.flags) | options.flags) & SPECULO_AREA_LOSSLESS)) { return -EOPNOTSUPP; }
    liveness_show(writer.area);
    if (int error = ringer_open(writer.area, writer.ringer); error < 0) { return error; }
    if (int error = take_over_after_boot(writer, flags); error < 0) {
        writer.current = nullptr; // nothing to write back
        return error;
    }
    if (int error = change_mode(writer, options.mode); error < 0) { return error; }
    change_choices(control, options);
    if (int error = prefault(writer, options.prefault); error < 0) { return error; }
    put(control.writers, peek(control.writers) + 1);
    ring_all(writer.area, writer.ringer); // the one before may have died between a commit and its ring
    return 0;
}

void free_segments(Writer &writer) {
    for (WriterSegment *&segment : writer.segments) {
        if (WriterSegment *old = std::exchange(segment, nullptr)) { segment_free(old); }
    }
}

// Whether there was no area before opening failed.
bool is_to_be_undone(const Writer &writer) {
    if (writer.is_creator) { return true; }
    const Area &area = writer.area;
    os::FileStatus status;
    if (area.control) { return peek(area.control->current) == 0; }
    return os::operations.status_at(area.place.directory, area.place.name, &status) == -ENOENT;
}

// Leaves no trace. Looking for names takes a descriptor; there may be none but the writer's own.
void undo_creation(Writer &writer) {
    const Place &place = writer.area.place;
    writer.current = nullptr;
    free_segments(writer);
    control_close(writer.area);
    if (unlink_area(place) < 0) { unlink_lock(place); }
}

int open_area(Writer &writer, uint32_t flags, const speculo_area_options &options) {
    const Place &place = writer.area.place;
    uint32_t owner = os::operations.user();
    int error = find_owner(place, owner);
    if (error == -ENOENT && (flags & SPECULO_OPEN_CREATE)) { error = 0; }
    if (error == 0) { error = take_role(place, owner, writer.role_lock); }
    if (error == -EBUSY && (flags & SPECULO_OPEN_EXCLUSIVE)) { return exclusive_or_busy(writer.area); }
    if (error < 0) { return error; }
    bool has_made_lock = error == 1;
    error = begin_writing(writer, flags, options);
    if (error == 0) { return 0; }
    if (is_to_be_undone(writer)) {
        undo_creation(writer);
    } else if (has_made_lock) { // beside what may be no area
        unlink_lock(place);
    }
    return error;
}

// In a forked child the mappings are not there, and something else may be.
void disown_mappings(Writer &writer) {
    writer.area.control = nullptr;
    writer.ringer.bell.page = nullptr;
    for (WriterSegment *segment : writer.segments) {
        if (segment) { segment->map.base = nullptr; }
    }
    for (WriterSegment *segment = writer.displaced; segment; segment = segment->next) { segment->map.base = nullptr; }
}

// What is on a disk is written back, so that the area survives a shutdown.
void write_back(Writer &writer) {
    if (writer.area.medium == os::Medium::memory) { return; }
    const SegmentMap &map = writer.current->map;
    size_t size = size_t(map.geometry.chunks_offset + map.readable * place_size);
    if (os::operations.sync(map.base, size) == 0) { control_mark_clean(writer.area, true); }
}

} // namespace

int writer_open(const char *name, uint32_t flags, const speculo_area_options &options, Writer **ret_writer) {
    int error;
    auto *writer = handle_new<Writer>(name, Role::writer, error);
    if (!writer) { return error; }
    writer->role_lock.fd = -1;
    writer->ringer.bell = Bell{};
    error = open_area(*writer, flags, options);
    if (error < 0) {
        writer_close(writer);
        return error;
    }
    *ret_writer = writer;
    return 0;
}

void writer_close(Writer *writer) {
    bool is_own = writer->is_own();
    if (!is_own) { disown_mappings(*writer); }
    if (is_own && writer->current) {
        writer_rollback(*writer);
        drop_parked(*writer);
        write_back(*writer);
    }
    if (writer->area.control && writer->role_lock.fd >= 0) {
        liveness_end(writer->area);
        if (writer->ringer.bell.page) { ring_all(writer->area, writer->ringer); } // nobody is to wait for more
    }
    ringer_close(writer->ringer);
    pending_clear(*writer);
    free_segments(*writer);
    if (Pending *pending = std::exchange(writer->pending, nullptr)) { os::operations.release(pending); }
    if (KnownKeys *keys = std::exchange(writer->known_keys, nullptr)) { os::operations.release(keys); }
    lock_descriptor_close(writer->role_lock);
    handle_end(writer);
}

} // namespace speculo::core
