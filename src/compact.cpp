// SPDX-License-Identifier: LGPL-2.1-or-later
// Compaction: the live chunks move to another segment, and readers follow.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

constexpr uint32_t quiet_before_halving = 4; // generations

// What has to go along.
struct Survey {
    uint64_t end = first_place; // place behind it all
    uint64_t keys = 0;

    // Frames are laid one after the other, as the copy will be: it never takes more room than they have now.
    void add(uint64_t length, uint32_t payload_offset, uint32_t alignment) {
        end += padding_before(end, payload_offset, alignment) + length;
    }
    uint64_t bytes() const { return end * place_size; }
};

// Says what is live, at one moment for the whole compaction. Reads the clock only if something expires.
class Judge {
public:
    Judge(Writer &writer, uint64_t supersedes) : writer_(writer), supersedes_(supersedes) {
        has_superseders_ = supersedes != 0;
        for (size_t i = 0; i < writer.pending_count; ++i) { has_superseders_ |= writer.pending[i].supersedes != 0; }
    }

    // Whether a chunk is carried over: it is live, or something of the commit in progress supersedes it. Where several do, it is
    // through this chunk that the later one supersedes the earlier.
    bool is_wanted(const Frame &frame) {
        if (!frame.is_chunk() || load_successor(writer_.current->map.frame(frame.place).successor) != 0) { return false; }
        bool is_over = (frame.flags & frame_transient) || (frame.expires != 0 && has_passed(frame.expires, now()));
        return !is_over || (has_superseders_ && is_awaited(frame.id));
    }

private:
    bool is_awaited(uint64_t id) const {
        if (id == supersedes_) { return true; }
        for (size_t i = 0; i < writer_.pending_count; ++i) {
            if (writer_.pending[i].has_frame() && writer_.pending[i].supersedes == id) { return true; }
        }
        return false;
    }

    uint64_t now() {
        if (!has_asked_ && clock_prepare(writer_.clock) == 0) { now_ = clock_now(writer_.clock); }
        has_asked_ = true;
        return now_;
    }

    Writer &writer_;
    uint64_t supersedes_; // what the chunk supersedes that is being allocated
    bool has_superseders_;
    bool has_asked_ = false;
    uint64_t now_ = 0; // an unknown clock ends nothing
};

uint32_t payload_offset_of(const Pending &pending) {
    return frame_shape(field_flags(pending.flags), pending.key_size, pending.has_long_size).payload;
}

int survey(Writer &writer, Judge &judge, const Room &request, Survey &ret_survey) {
    FrameWalk walk(writer.current->map, first_place, writer.committed);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1) {
        if (!judge.is_wanted(frame)) { continue; }
        ret_survey.add(frame.length, uint32_t(frame.payload - writer.current->map.bytes(frame.place)), frame.alignment);
        ret_survey.keys += frame.key != nullptr;
    }
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (pending.has_frame()) { ret_survey.add(pending.length, payload_offset_of(pending), pending.alignment); }
    }
    ret_survey.add(request.length, request.payload_offset, request.alignment);
    ret_survey.keys += writer.pending_keys + request.keys;
    return found;
}

// ---- size of the next segment ----

uint64_t most_capacity(const ControlPage &control) {
    uint64_t least = peek(control.capacity), most = peek(control.max_capacity);
    return most > least ? most : least;
}

// Doubles until half is free, as far as it may; halves what was mostly empty for several generations. 0: it cannot fit.
uint64_t next_capacity(Writer &writer, uint64_t needed) {
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

void count_quiet(Writer &writer, uint64_t needed) {
    uint64_t capacity = writer.current->map.geometry.capacity;
    bool is_quiet = needed * 4 < capacity && writer.quiet_generations + 1 < quiet_before_halving;
    writer.quiet_generations = is_quiet ? writer.quiet_generations + 1 : 0;
}

// ---- choice of the next segment ----

struct Choice {
    Geometry geometry;
    uint64_t places; // that it must have memory for
    bool is_full;    // the file system has refused another object of that size
};

WriterSegment *oldest_retired(const Writer &writer) {
    WriterSegment *oldest = nullptr;
    for (WriterSegment *segment : writer.segments) {
        if (!segment || segment == writer.current) { continue; }
        if (!oldest || segment->generation < oldest->generation) { oldest = segment; }
    }
    return oldest;
}

uint32_t count_segments(const Writer &writer) {
    uint32_t count = 0;
    for (const WriterSegment *segment : writer.segments) { count += segment != nullptr; }
    return count;
}

int make_another(Writer &writer, const Choice &choice, WriterSegment **ret_segment) {
    uint32_t slot = 0;
    while (writer.segments[slot]) { ++slot; }
    int error = segment_create(writer.area, slot, choice.geometry, choice.places, &writer.segments[slot]);
    if (error == 0) { *ret_segment = writer.segments[slot]; }
    return error;
}

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

// A fresh object takes the place of one that cannot be used again.
int replace(Writer &writer, WriterSegment *old, const Choice &choice, WriterSegment **ret_segment) {
    bool lossless = is_lossless(writer.area);
    if (lossless) {
        if (int error = segment_shut_out_cursors(*old); error < 0) { return error; }
    }
    WriterSegment *fresh = nullptr;
    int error = segment_create(writer.area, old->slot, choice.geometry, choice.places, &fresh);
    if (error == 0) { segment_invalidate(*old); }
    if (lossless) { segment_let_in_cursors(*old); }
    if (error < 0) { return error; }
    writer.segments[old->slot] = fresh;
    discard(writer, old);
    *ret_segment = fresh;
    return 0;
}

// The oldest retired segment, used again if nobody looks at it; -EAGAIN in a lossless area while a cursor has yet to leave it.
int take_retired(Writer &writer, const Choice &choice, WriterSegment **ret_segment) {
    WriterSegment *oldest = oldest_retired(writer);
    if (!oldest) { return -ENOSPC; }
    const Geometry &geometry = oldest->map.geometry;
    bool has_size = geometry.capacity == choice.geometry.capacity && geometry.table_slots == choice.geometry.table_slots;
    if (choice.is_full && !has_size) { return -ENOSPC; } // to wait for cursors would not help
    if (!has_size || oldest->has_pending) { return replace(writer, oldest, choice, ret_segment); }
    if (int error = segment_extend(*oldest, choice.places); error < 0) { return error; }
    int error = segment_retake(*oldest);
    if (error == -EAGAIN) { return replace(writer, oldest, choice, ret_segment); }
    if (error == 0) { *ret_segment = oldest; }
    return error;
}

int take_segment(Writer &writer, Choice &choice, WriterSegment **ret_segment) {
    int error = -ENOSPC;
    if (count_segments(writer) < peek(writer.area.control->segments)) {
        error = make_another(writer, choice, ret_segment);
        choice.is_full = error == -ENOSPC;
    }
    if (error == -ENOSPC) { error = take_retired(writer, choice, ret_segment); }
    return error;
}

// The segment to go on in; where the file system is full, one of the size that there is already.
int take_segment_for(Writer &writer, const Survey &total, WriterSegment **ret_segment) {
    uint64_t needed = total.bytes();
    uint64_t capacity = next_capacity(writer, needed);
    if (capacity == 0) { return -ENOSPC; }
    Choice choice{{}, total.end, false};
    uint64_t slots = key_table_slots(capacity, total.keys, writer.current->map.geometry.table_slots);
    if (!make_geometry(capacity, slots, choice.geometry)) { return -ENOSPC; }
    int error = take_segment(writer, choice, ret_segment);
    WriterSegment *oldest = oldest_retired(writer);
    if (error != -ENOSPC || !oldest) { return error; }
    const Geometry &there = oldest->map.geometry;
    if (needed > there.capacity || key_table_is_full(there.table_slots, total.keys)) { return error; }
    choice.geometry = there;
    return take_retired(writer, choice, ret_segment);
}

// ---- copying ----

// The segment under construction.
struct Copy {
    WriterSegment &segment;
    IndexWriter index{};
    uint32_t tail = first_place;
    uint64_t keys = 0;
};

void copy_padding(Copy &copy, uint32_t places) {
    const SegmentMap &map = copy.segment.map;
    put(map.frame(copy.tail).commit, lay_padding(map, copy.tail, places));
    index_note(map, copy.index, copy.tail, places);
    copy.tail += places;
}

void copy_key(Copy &copy, const Frame &frame, uint32_t place, uint64_t seed) {
    Key key{frame.key, frame.key_size, key_hash(seed, frame.key, frame.key_size)};
    KeySearch search = key_search(copy.segment.map, place, key);
    if (search.found || !search.slot) { return; } // a damaged area has a key twice
    key_claim(*search.slot, key.hash, place);
    ++copy.keys;
}

void copy_frame(Copy &copy, const SegmentMap &from, const Frame &frame, uint64_t seed) {
    const SegmentMap &map = copy.segment.map;
    uint32_t payload_offset = uint32_t(frame.payload - from.bytes(frame.place));
    if (uint32_t padding = padding_before(copy.tail, payload_offset, frame.alignment)) { copy_padding(copy, padding); }
    uint32_t place = copy.tail;
    copy_bytes(map.bytes(place) + sizeof(FrameHeader), from.bytes(frame.place) + sizeof(FrameHeader),
               payload_offset - sizeof(FrameHeader) + size_t(frame.size));
    put(map.frame(place).successor, 0u);
    put(map.frame(place).id_flags, pack_id(frame.id, frame.flags));
    put(map.frame(place).commit, peek(from.frame(frame.place).commit));
    index_note(map, copy.index, place, frame.length);
    copy.tail += uint32_t(frame.length);
    if (frame.key) {
        put_field(map.bytes(place), frame_shape(field_flags(frame.flags), frame.key_size, false).link, 0u);
        copy_key(copy, frame, place, seed);
    }
}

void copy_live(Writer &writer, Judge &judge, Copy &copy) {
    const SegmentMap &from = writer.current->map;
    uint64_t seed = peek(writer.area.control->area_id[0]);
    FrameWalk walk(from, first_place, writer.committed);
    Frame frame;
    while (walk.next(frame) == 1) {
        if (judge.is_wanted(frame)) { copy_frame(copy, from, frame, seed); }
    }
    put(copy.segment.map.frame(copy.tail).commit, 0u);
}

// Pending frames get their second place, behind what was copied. The callers' pointers stay; the commit brings the bytes over.
void place_pending(Writer &writer) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        Pending &pending = writer.pending[i];
        if (!pending.has_frame()) { continue; }
        pending.pad_before = padding_before(writer.tail, payload_offset_of(pending), pending.alignment);
        pending.pad_after = 0;
        pending.place = writer.tail + pending.pad_before;
        writer.tail = pending.end();
    }
}

// ---- the switch ----

void publish_segment(Writer &writer, const Copy &copy, uint64_t generation) {
    SegmentHeader &header = copy.segment.map.header();
    put(header.next_id, writer.first_id);
    put(header.prefix_end, copy.tail);
    publish_hint(header.hint, copy.tail);
    copy.segment.generation = generation;
    publish_generation(header.generation, generation);
    publish_current(writer.area.control->current, pack_current(generation, copy.segment.slot));
}

void switch_to(Writer &writer, const Copy &copy) {
    WriterSegment &old = *writer.current;
    publish_segment(writer, copy, old.generation + 1);
    publish_end(old.map, writer.committed, copy.segment.generation, copy.segment.slot, copy.segment.incarnation);
    if (is_lossless(writer.area)) { ring_if_asked(writer.area, writer.ringer); } // whoever sleeps there is to leave
    old.has_pending = writer.is_spread = writer.pending_count > 0;
    writer.current = &copy.segment;
    writer.index = copy.index;
    writer.keys = copy.keys;
    writer.pending_slots = writer.pending_keys; // what had a slot may have been left behind
    writer.committed = writer.tail = copy.tail;
    writer.dead = 0;
    writer.retry_place = 0;
}

// If fewer segments are wanted than there are. One that cursors have yet to leave waits for the next compaction.
void drop_surplus(Writer &writer) {
    while (count_segments(writer) > peek(writer.area.control->segments)) {
        WriterSegment *oldest = oldest_retired(writer);
        if (!oldest) { return; }
        if (is_lossless(writer.area) && segment_shut_out_cursors(*oldest) < 0) { return; }
        segment_invalidate(*oldest);
        if (is_lossless(writer.area)) { segment_let_in_cursors(*oldest); }
        publish_slot(writer.area.control->slots[oldest->slot], pack_slot(0, oldest->incarnation));
        writer.segments[oldest->slot] = nullptr;
        discard(writer, oldest);
    }
}

} // namespace

void publish_end(const SegmentMap &map, uint32_t place, uint64_t generation, uint32_t slot, uint32_t incarnation) {
    FrameHeader &end = map.frame(place);
    put(end.successor, incarnation);
    put(end.id_flags, pack_id(pack_current(generation, slot), control_end));
    publish_commit(end.commit, commit_word(0));
}

bool compact_has_room(Writer &writer) {
    const WriterSegment *oldest = oldest_retired(writer);
    bool may_make_another = count_segments(writer) < peek(writer.area.control->segments);
    if (writer.is_refused && oldest && !may_make_another) { writer.is_refused = segment_has_cursor(*oldest); }
    return !writer.is_refused || !oldest || may_make_another;
}

int compact(Writer &writer, const Room &request) {
    if (control_is_stale(writer.area)) { return -ESTALE; }
    Judge judge(writer, request.supersedes);
    Survey total;
    if (int error = survey(writer, judge, request, total); error < 0) { return error; }
    WriterSegment *next = nullptr;
    int error = take_segment_for(writer, total, &next);
    writer.is_refused = error == -EAGAIN;
    if (error != 0) { return error; }
    count_quiet(writer, total.bytes());
    segment_clear(*next);
    Copy copy{*next};
    copy_live(writer, judge, copy);
    switch_to(writer, copy);
    place_pending(writer);
    drop_surplus(writer);
    if (peek(writer.area.control->marks) & mark_writer_unknown) { liveness_show(writer.area); }
    return 0;
}

} // namespace speculo::core
