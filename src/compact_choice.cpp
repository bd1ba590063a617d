// SPDX-License-Identifier: LGPL-2.1-or-later
// The choice of the segment that a compaction goes to: how large, and which.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

constexpr uint32_t quiet_before_halving = 4;            // generations
constexpr uint64_t quiet_before_unparking = 1000000000; // ns

uint64_t most_capacity(const ControlPage &control) {
    uint64_t least = peek(control.capacity), most = peek(control.max_capacity);
    return most > least ? most : least;
}

// Doubles until half is free, as far as it may; halves what was mostly empty for several generations. 0: it cannot fit.
uint64_t next_capacity(const Writer &writer, uint64_t needed) {
    const ControlPage &control = *writer.area.control;
    uint64_t least = peek(control.capacity), most = most_capacity(control);
    uint64_t capacity = writer.current->map.geometry.capacity;
    if (capacity < least) { capacity = least; }
    if (capacity > most && needed <= most) { capacity = most; } // never below what there is to keep
    while (needed * 2 > capacity && capacity < most) { capacity = capacity * 2 < most ? capacity * 2 : most; }
    bool is_quiet = needed * 4 < capacity && capacity / 2 >= least;
    if (is_quiet && writer.quiet_generations + 1 >= quiet_before_halving) { capacity = align_up(capacity / 2, page_size); }
    return needed <= capacity ? capacity : 0;
}

struct Choice {
    Geometry geometry;
    uint64_t places; // that it must have memory for
    bool is_full;    // the file system has refused another object of that size
};

// Takes its name from an object. Who is inside stays; it dies with its last user.
void discard(Writer &writer, WriterSegment *segment) {
    os::operations.unlink(writer.area.place.directory, segment_name(writer.area.place, segment->slot, segment->nonce).text);
    if (segment->has_pending) {
        segment->next = writer.displaced;
        writer.displaced = segment;
    } else {
        segment_free(segment);
    }
}

// From now on nobody enters it, and it has no name.
void drop(Writer &writer, WriterSegment *segment) {
    segment_invalidate(*segment);
    if (is_lossless(writer.area)) { segment_let_in_cursors(*segment); }
    publish_slot(writer.area.control->slots[segment->slot], pack_slot(0, segment->incarnation));
    writer.segments[segment->slot] = nullptr;
    discard(writer, segment);
}

bool has_shape(const WriterSegment &segment, const Geometry &geometry) {
    return segment.map.geometry.capacity == geometry.capacity && segment.map.geometry.table_slots == geometry.table_slots;
}

int retake(WriterSegment &segment, const Choice &choice) {
    int error = segment_extend(segment, choice.places);
    return error == 0 ? segment_retake(segment) : error;
}

// ---- parked segments ----
// Where a reader may stand still without holding up the writer, a segment that it pins when its turn comes is parked: nobody enters it any
// more, and once nobody is inside it serves in the place of the next one that is pinned. So many readers that take turns on a core cost no
// fresh pages. One that has not served for a second goes: a reader that is still inside keeps it.

bool may_park(const Writer &writer) { return os::has_range_locks && !is_lossless(writer.area); }

WriterSegment *oldest_parked(const Writer &writer) {
    WriterSegment *oldest = nullptr;
    for (WriterSegment *segment : writer.segments) {
        bool is_parked = segment && segment->parked != 0;
        if (is_parked && (!oldest || segment->parked < oldest->parked)) { oldest = segment; }
    }
    return oldest;
}

// A parked one that nobody looks at any more; null: none. The lower slots serve first, so that the others are seen not to be needed.
WriterSegment *take_parked(const Writer &writer, const Choice &choice) {
    for (WriterSegment *segment : writer.segments) {
        bool is_parked = segment && segment->parked != 0;
        if (is_parked && has_shape(*segment, choice.geometry) && retake(*segment, choice) == 0) {
            segment->parked = 0;
            return segment;
        }
    }
    return nullptr;
}

void park(Writer &writer, WriterSegment &segment) {
    segment_invalidate(segment);
    segment.parked = writer.current->generation;
    segment.parked_at = os::clock_coarse();
}

// One at a time, as it takes long to give much memory back.
void drop_parked_in_vain(Writer &writer) {
    WriterSegment *oldest = oldest_parked(writer);
    if (oldest && os::clock_coarse() - oldest->parked_at >= quiet_before_unparking) { drop(writer, oldest); }
}

// ---- the choice ----

// One of an area that has lost its name would belong to nobody, or to another area of that name.
int create(Writer &writer, uint32_t slot, const Choice &choice, WriterSegment **ret_segment) {
    if (control_is_stale(writer.area)) { return -ESTALE; }
    return segment_create(writer.area, slot, choice.geometry, choice.places, ret_segment);
}

// Beside those that there are.
int make_another(Writer &writer, const Choice &choice, WriterSegment **ret_segment) {
    if (WriterSegment *segment = take_parked(writer, choice)) {
        *ret_segment = segment;
        return 0;
    }
    uint32_t slot = 0;
    while (slot < max_slots && writer.segments[slot]) { ++slot; }
    if (slot == max_slots) {
        WriterSegment *parked = oldest_parked(writer);
        if (!parked) { return -ENOSPC; }
        slot = parked->slot;
        drop(writer, parked);
    }
    int error = create(writer, slot, choice, &writer.segments[slot]);
    if (error == 0) { *ret_segment = writer.segments[slot]; }
    return error;
}

// A fresh object takes the place of one that cannot be used again.
int replace(Writer &writer, WriterSegment *old, const Choice &choice, WriterSegment **ret_segment) {
    bool lossless = is_lossless(writer.area);
    if (lossless) {
        if (int error = segment_shut_out_cursors(*old); error < 0) { return error; }
    }
    WriterSegment *fresh = nullptr;
    int error = create(writer, old->slot, choice, &fresh);
    if (error == 0) { segment_invalidate(*old); }
    if (lossless) { segment_let_in_cursors(*old); }
    if (error < 0) { return error; }
    writer.segments[old->slot] = fresh;
    discard(writer, old);
    *ret_segment = fresh;
    return 0;
}

// Tries once more with cursors shut out: one that was in the way may just have left, and a fresh object costs thousands of times as much as
// another try. -EAGAIN: a cursor is inside, or else (`ret_has_view`) somebody looks at a chunk.
int retake_without_cursors(WriterSegment &segment, bool &ret_has_view) {
    ret_has_view = false;
    if (int error = segment_shut_out_cursors(segment); error < 0) { return error; }
    int error = segment_retake(segment);
    ret_has_view = error == -EAGAIN;
    if (error < 0) { segment_let_in_cursors(segment); }
    return error;
}

// Somebody looks at the segment whose turn it is: another one in its place.
int pass_by(Writer &writer, WriterSegment *pinned, const Choice &choice, WriterSegment **ret_segment) {
    int error = may_park(writer) ? make_another(writer, choice, ret_segment) : -ENOSPC;
    if (error == 0) { park(writer, *pinned); }
    return error == -ENOSPC ? replace(writer, pinned, choice, ret_segment) : error;
}

// The oldest retired segment, used again if nobody looks at it; -EAGAIN in a lossless area while a cursor has yet to leave it.
int take_retired(Writer &writer, const Choice &choice, WriterSegment **ret_segment) {
    WriterSegment *oldest = oldest_retired(writer);
    if (!oldest) { return -ENOSPC; }
    bool has_size = has_shape(*oldest, choice.geometry);
    if (choice.is_full && !has_size) { return -ENOSPC; } // to wait for cursors would not help
    if (!has_size || oldest->has_pending) { return replace(writer, oldest, choice, ret_segment); }
    int error = retake(*oldest, choice);
    bool has_view = error == -EAGAIN;
    if (has_view && is_lossless(writer.area)) { error = retake_without_cursors(*oldest, has_view); }
    if (has_view) { return pass_by(writer, oldest, choice, ret_segment); }
    if (error == 0) { *ret_segment = oldest; }
    return error;
}

int take_segment(Writer &writer, Choice &choice, WriterSegment **ret_segment) {
    int error = -ENOSPC;
    if (compact_may_make_another(writer)) {
        error = make_another(writer, choice, ret_segment);
        choice.is_full = error == -ENOSPC;
    }
    if (error == -ENOSPC) { error = take_retired(writer, choice, ret_segment); }
    return error;
}

} // namespace

bool next_geometry(const Writer &writer, const Survey &total, Geometry &ret_geometry) {
    uint64_t capacity = next_capacity(writer, total.bytes());
    if (capacity == 0) { return false; }
    uint64_t slots = key_table_slots(capacity, total.keys, writer.current->map.geometry.table_slots);
    return make_geometry(capacity, slots, ret_geometry);
}

void count_quiet(Writer &writer, const Survey &total) {
    uint64_t capacity = writer.current->map.geometry.capacity;
    bool is_quiet = total.bytes() * 4 < capacity && writer.quiet_generations + 1 < quiet_before_halving;
    writer.quiet_generations = is_quiet ? writer.quiet_generations + 1 : 0;
}

int next_segment(Writer &writer, const Geometry &geometry, const Survey &total, uint64_t places, WriterSegment **ret_segment) {
    Choice choice{geometry, places, false};
    int error = take_segment(writer, choice, ret_segment);
    if (error == -ENOSPC && oldest_parked(writer)) { // what they take may do
        drop_parked(writer);
        choice.is_full = false;
        error = take_segment(writer, choice, ret_segment);
    }
    WriterSegment *oldest = oldest_retired(writer);
    if (error != -ENOSPC || !oldest) { return error; }
    const Geometry &there = oldest->map.geometry;
    if (total.bytes() > there.capacity || key_table_is_full(there.table_slots, total.keys)) { return error; }
    choice.geometry = there;
    return take_retired(writer, choice, ret_segment);
}

WriterSegment *oldest_retired(const Writer &writer) {
    WriterSegment *oldest = nullptr;
    for (WriterSegment *segment : writer.segments) {
        if (!segment || segment == writer.current || segment->parked != 0) { continue; }
        if (!oldest || segment->generation < oldest->generation) { oldest = segment; }
    }
    return oldest;
}

uint32_t count_segments(const Writer &writer) {
    uint32_t count = 0;
    for (const WriterSegment *segment : writer.segments) { count += segment && segment->parked == 0; }
    return count;
}

void drop_parked(Writer &writer) {
    while (WriterSegment *segment = oldest_parked(writer)) { drop(writer, segment); }
}

void drop_surplus(Writer &writer) {
    drop_parked_in_vain(writer);
    while (count_segments(writer) > peek(writer.area.control->segments)) {
        WriterSegment *oldest = oldest_retired(writer);
        if (!oldest) { return; }
        if (is_lossless(writer.area) && segment_shut_out_cursors(*oldest) < 0) { return; }
        drop(writer, oldest);
    }
}

} // namespace speculo::core
