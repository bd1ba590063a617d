// SPDX-License-Identifier: LGPL-2.1-or-later
#include "compact.hpp"

#include <cerrno>

#include "plain.hpp"

namespace speculo::core {

namespace {

constexpr uint64_t everything = UINT64_MAX;
constexpr uint64_t least_work = (16 << 10) / place_size; // less is done at once
constexpr uint64_t share = (1 << 10) / place_size;       // allocated between two shares of the work

// A tick late does no harm: until then the writer goes on in objects of its own. Before it makes another one it looks in any case (`create`).
bool is_stale(Writer &writer) { return control_is_stale_at(writer.area, os::clock_coarse(), writer.named); }

uint32_t payload_offset_of(const Pending &pending) {
    return frame_shape(field_flags(pending.flags), pending.key_size, pending.has_long_size).payload;
}

// ---- how much there is ----

void add_pending(const Writer &writer, const Room &request, Survey &survey) {
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (pending.has_frame()) { survey.add(pending.length, payload_offset_of(pending), pending.alignment); }
    }
    survey.add(request.length, request.payload_offset, request.alignment);
    survey.keys += writer.pending_keys + request.keys;
}

// What the commits so far have left, by what has been counted.
Survey count(const Writer &writer) {
    Survey survey;
    survey.end += writer.lasting.places;
    survey.keys = writer.lasting.keys;
    return survey;
}

// The same by looking at each frame.
int look(Writer &writer, Survey &ret_survey) {
    FrameWalk walk(writer.current->map, first_place, writer.committed);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1) {
        if (!copy_wants(writer, frame)) { continue; }
        ret_survey.add(frame.length, uint32_t(frame.payload - writer.current->map.bytes(frame.place)), frame.alignment);
        ret_survey.keys += frame.key != nullptr;
    }
    return found;
}

// What has to fit into the next segment, with what is pending and the request. What has expired, or what the commit in progress
// supersedes, is known only by looking; and so is the last place of a segment that is nearly full.
int survey(Writer &writer, const Room &request, Survey &ret_survey) {
    Survey counted = count(writer);
    add_pending(writer, request, counted);
    bool is_easy = counted.bytes() * 2 <= writer.current->map.geometry.capacity;
    if (is_easy && !writer.copy.is_whole && !writer.lasting.expires) {
        ret_survey = counted;
        return 0;
    }
    ret_survey = Survey{};
    if (int error = look(writer, ret_survey); error < 0) { return error; }
    add_pending(writer, request, ret_survey);
    return 0;
}

// ---- the switch ----

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

void publish_segment(Writer &writer, const Copy &copy, uint64_t generation) {
    const SegmentMap &map = copy.segment->map;
    put(map.frame(copy.tail).commit, 0u);
    put(map.header().next_id, writer.first_id);
    put(map.header().prefix_end, copy.tail);
    publish_hint(map.header().hint, copy.tail);
    copy.segment->generation = generation;
    publish_generation(map.header().generation, generation);
    publish_current(writer.area.control->current, pack_current(generation, copy.segment->slot));
}

// Goes on in the segment that has everything now.
void switch_over(Writer &writer) {
    const Copy copy = writer.copy;
    WriterSegment &old = *writer.current;
    publish_segment(writer, copy, old.generation + 1);
    publish_end(old.map, writer.committed, copy.segment->generation, copy.segment->slot, copy.segment->incarnation);
    bool has_to_leave = is_lossless(writer.area); // whoever sleeps there
    if (has_to_leave && is_ring_due(writer.ringer)) { ring(writer.area, writer.ringer); }
    old.has_pending = writer.is_spread = writer.pending_count > 0;
    writer.current = copy.segment;
    writer.copy = Copy{};
    writer.index = copy.index;
    writer.keys = copy.keys;
    ++writer.key_epoch;
    writer.pending_slots = writer.pending_keys; // what had a slot may have been left behind
    writer.committed = writer.tail = copy.tail;
    writer.dead = copy.dead;
    writer.lasting = copy.lasting;
    writer.carried = copy.lasting.places;
    writer.retry_place = 0;
    writer.is_refused = false;
    place_pending(writer);
    compact_plan(writer);
    drop_surplus(writer);
    if (peek(writer.area.control->marks) & mark_writer_unknown) { liveness_show(writer.area); }
}

// ---- at once ----

int compact_at_once(Writer &writer, const Room &request) {
    copy_prepare(writer, has_superseders(writer, request.supersedes), request.supersedes);
    Survey total;
    if (int error = survey(writer, request, total); error < 0) { return error; }
    Geometry geometry;
    if (!next_geometry(writer, total, geometry)) { return -ENOSPC; }
    WriterSegment *next = nullptr;
    int error = next_segment(writer, geometry, total, total.end, &next);
    if (error != 0) {
        writer.is_refused = error == -EAGAIN;
        return error;
    }
    copy_begin(writer, next);
    error = copy_on(writer, everything);
    if (error < 0) { // GCOVR_EXCL_START: all fits, as the survey has seen to; then somebody has damaged the segment meanwhile
        copy_abandon(writer);
        return error;
    } // GCOVR_EXCL_STOP
    count_quiet(writer, total);
    switch_over(writer);
    return 0;
}

// ---- ahead ----

// Switches, if what was begun ahead will do.
bool finish_ahead(Writer &writer, const Room &request) {
    Copy &copy = writer.copy;
    if (copy_on(writer, everything) < 0 || copy_misses_something(writer, request.supersedes)) { return false; }
    const Geometry &geometry = copy.segment->map.geometry;
    Survey total;
    total.end = copy.tail;
    total.keys = copy.keys;
    add_pending(writer, request, total);
    bool fits = total.bytes() <= geometry.capacity && !key_table_is_full(geometry.table_slots, total.keys);
    if (!fits || segment_extend(*copy.segment, total.end) < 0) { return false; }
    count_quiet(writer, total);
    switch_over(writer);
    return true;
}

// What there will be to carry over when `left` more places are filled: it goes on growing as it has since the last switch. Of what
// expires it is not known how much has, so that is taken to be as much as last time.
Survey foresee(const Writer &writer, uint64_t left, const Room &request) {
    Survey survey = count(writer);
    uint64_t prefix = peek(writer.current->map.header().prefix_end);
    uint64_t before = writer.carried, now = writer.lasting.places;
    if (writer.lasting.expires) {
        survey.end = first_place + before;
    } else if (now > before && writer.committed > prefix) {
        survey.end += (now - before) * left / (writer.committed - prefix);
    }
    add_pending(writer, request, survey);
    return survey;
}

// Takes a segment for a copy that is to be complete when `left` more places are filled. Nothing happens if there is little to copy,
// or no segment to be had: there is time.
void begin_ahead(Writer &writer, uint64_t left, const Room &request) {
    uint64_t work = writer.lasting.end ? writer.lasting.span() : 0;
    if (work < least_work) { return; }
    Survey total = foresee(writer, left, request);
    Geometry geometry;
    WriterSegment *next = nullptr;
    copy_prepare(writer, false, 0);
    if (!next_geometry(writer, total, geometry) || next_segment(writer, geometry, total, first_place, &next) != 0) { return; }
    copy_begin(writer, next);
    writer.copy.pace = 2 + 3 * (work + geometry.table_slots + left) / (2 * left); // half as much again as it takes
    writer.copy.paced = writer.tail;
}

} // namespace

void publish_end(const SegmentMap &map, uint32_t place, uint64_t generation, uint32_t slot, uint32_t incarnation) {
    FrameHeader &end = map.frame(place);
    put(end.successor, incarnation);
    put(end.id_flags, pack_id(pack_current(generation, slot), control_end));
    publish_commit(end.commit, commit_word(0));
}

bool compact_may_make_another(const Writer &writer) { return count_segments(writer) < peek(writer.area.control->segments); }

bool compact_has_room(Writer &writer) {
    if (writer.is_refused) {
        const WriterSegment *oldest = oldest_retired(writer);
        writer.is_refused = oldest && segment_has_cursor(*oldest);
    }
    return !writer.is_refused;
}

int compact(Writer &writer, const Room &request) {
    if (is_stale(writer)) { return -ESTALE; }
    if (writer.copy.segment && finish_ahead(writer, request)) { return 0; }
    copy_abandon(writer);
    return compact_at_once(writer, request);
}

void compact_plan(Writer &writer) {
    uint64_t end = writer.current->map.geometry.chunk_end;
    writer.share_place = end - (end - writer.committed) / 4;
    close_short_ways(writer);
}

void compact_ahead(Writer &writer, const Room &request, uint64_t end) {
    uint64_t chunk_end = writer.current->map.geometry.chunk_end;
    Copy &copy = writer.copy;
    if (end > chunk_end) { return; }
    if (!copy.segment) { begin_ahead(writer, chunk_end - writer.tail, request); }
    if (!copy.segment) {
        uint64_t left = (chunk_end - end) / 2;
        writer.share_place = left >= least_work ? end + left : UINT64_MAX;
        return;
    }
    if (end > copy.paced) {
        if (copy_on(writer, (end - copy.paced) * copy.pace) < 0) {
            copy_abandon(writer);
            writer.share_place = UINT64_MAX; // more than there is memory for: all at once, when it must be
            return;
        }
        copy.paced = end;
    }
    writer.share_place = end + share;
}

void compact_early(Writer &writer, const Room &request) {
    uint64_t chunk_end = writer.current->map.geometry.chunk_end;
    if (!writer.copy.segment) { begin_ahead(writer, chunk_end / 16, request); }
    writer.copy.is_impatient = writer.copy.segment != nullptr;
    if (writer.copy.segment) {
        writer.share_place = writer.tail;
    } else {
        compact(writer, request); // if it cannot be, there is still room here
    }
}

bool compact_is_due(const Writer &writer) { return writer.copy.is_impatient && copy_is_complete(writer); }

} // namespace speculo::core
