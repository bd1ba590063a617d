// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader's cursor: the stream of chunks in commit order, across segments.
#include <cerrno>
#include <utility>

#include "ahead.hpp"
#include "index.hpp"
#include "reader.hpp"

namespace speculo::core {

namespace {

constexpr int segments_per_call = 64; // a hostile chain of segments must not hold a call for ever
constexpr uint32_t many_hidden = 16;  // on a long way it pays to know how far the segment is committed

// What is damaged stays so until a seek; what could not be read is tried again.
template <class Form> int damaged(Cursor &cursor) {
    cursor.is_damaged = Form::source(*cursor.segment).error() == 0;
    return -EBADMSG;
}

// The last view's bytes are in use no longer.
void end_view(Cursor &cursor) {
    cursor.has_view = false;
    if (Attachment *old = std::exchange(cursor.view, nullptr)) { attachment_unpin(old); }
}

void leave(Reader &reader, Attachment *segment) {
    if (reader.cursor.has_view && !reader.cursor.view) {
        attachment_leave(*segment);
        reader.cursor.view = segment;
    } else {
        attachment_leave_unpinned(segment);
    }
    tell_writer_of_room(reader);
}

// Puts the cursor into a segment that was entered, and leaves the one before.
void move_to(Reader &reader, Attachment *segment, uint32_t place) {
    Cursor &cursor = reader.cursor;
    Attachment *old = std::exchange(cursor.segment, segment);
    cursor.place = place;
    cursor.end = first_place;
    leave(reader, old);
}

// Enters the successor that END names, behind what was copied: all of that was in the segment that the cursor has read.
template <class Form> int follow_directly(Reader &reader, const Frame &end) {
    uint32_t incarnation = Form::source(*reader.cursor.segment).successor_at(end.place);
    uint32_t slot = current_slot(end.id);
    uint64_t entry = control_slot(reader.area, slot); // after END: not older than it
    if (slot_incarnation(entry) != incarnation) { return -ESTALE; }
    Attachment *segment = nullptr;
    int error = attachment_get(reader.area, reader.attachments, slot, entry, &segment);
    if (error == 0) { error = attachment_pin(*segment, current_generation(end.id), Entry::cursor); }
    if (error < 0) { return error; }
    const auto &source = Form::source(*segment);
    uint32_t place = source.prefix_end();
    if (source.error() < 0) {
        attachment_leave_unpinned(segment); // it is not to be the cursor's after all
        return source.error();
    }
    move_to(reader, segment, place);
    return 0;
}

// The successor was used again meanwhile: on with the current segment, from its beginning.
int jump(Reader &reader) {
    uint64_t before = reader.cursor.segment->generation;
    Attachment *segment = nullptr;
    if (int error = enter_current(reader, Entry::cursor, &segment); error < 0) { return error; }
    if (segment->generation <= before) {    // the chain never leads back
        attachment_leave_unpinned(segment); // it is not to be the cursor's after all
        return -EBADMSG;
    }
    move_to(reader, segment, first_place);
    reader.cursor.has_jumped = true;
    ++reader.cursor.jumps;
    return 0;
}

template <class Form> int follow(Reader &reader, const Frame &end) {
    if (current_generation(end.id) <= reader.cursor.segment->generation) { return -EBADMSG; }
    int error = follow_directly<Form>(reader, end);
    return error == -ESTALE ? jump(reader) : error;
}

// Whether the chunk was superseded at the newest commit: 1, 0, or -EBADMSG. A word that may come from a batch that died is loaded
// again after the end was fixed.
template <class Form> int is_superseded(Cursor &cursor, const Frame &frame, uint32_t successor) {
    if (successor < cursor.end) { return 1; }
    Attachment &segment = *cursor.segment;
    uint32_t from = cursor.end > frame.place ? cursor.end : frame.place;
    if (int error = segment_end<Form>(segment, from, cursor.end); error < 0) { return error; }
    successor = Form::source(segment).successor_at(frame.place);
    return successor != 0 && successor < cursor.end;
}

// Reads the frame at the cursor. 1, 0 there is none yet, -EBADMSG.
template <class Form> int frame_at(Cursor &cursor, Frame &frame) {
    Attachment &segment = *cursor.segment;
    const auto &source = Form::source(segment);
    for (int i = 0; i < 2; ++i) {
        if (cursor.place < source.readable) {
            uint32_t commit = source.commit_at(cursor.place);
            if (commit == 0) { return 0; }
            if (read_frame(source, cursor.place, commit, frame)) { return 1; }
        }
        if (int error = attachment_refresh(segment); error < 0) { return error; } // it may have grown meanwhile
    }
    return -EBADMSG;
}

// Whether the chunk is to be passed: superseded, expired, or delivered before a jump.
template <class Form> int is_hidden(Reader &reader, const Frame &frame) {
    Cursor &cursor = reader.cursor;
    if (frame.id <= cursor.passed) { return 1; }
    uint32_t successor = Form::source(*cursor.segment).successor_at(frame.place);
    if (successor != 0) {
        if (int superseded = is_superseded<Form>(cursor, frame, successor); superseded != 0) { return superseded; }
    }
    return is_expired(reader, frame.expires);
}

inline void deliver(Reader &reader, const Frame &frame, speculo_chunk *ret_chunk) {
    Cursor &cursor = reader.cursor;
    fill_view(*ret_chunk, frame, *cursor.segment, ViewKind::next, reader.number, reader.next_serial);
    ret_chunk->skipped = frame.id - cursor.delivered - 1;
    cursor.skipped += ret_chunk->skipped;
    cursor.passed = cursor.delivered = frame.id;
    cursor.place = frame.end();
}

// Whatever lies below the hint can be copied in large pieces.
void look_ahead(Cursor &cursor) {
    uint32_t hint = Copied::source(*cursor.segment).hint();
    if (hint > cursor.end && hint < cursor.segment->map.readable) { cursor.end = hint; }
}

// Passes superseded chunks, as many as follow one another: a reader that is late finds many. All that is not plain, or looks damaged, is
// left to the long way.
[[gnu::noinline]] void pass_superseded(Cursor &cursor) {
    const SegmentMap map = cursor.segment->map;
    while (uint64_t(cursor.place) + plain_places_to_key <= cursor.end) {
        uint32_t word = map.commit_at(cursor.place), successor = map.successor_at(cursor.place);
        uint64_t id_flags = map.id_flags_at(cursor.place), id = frame_id(id_flags);
        uint32_t flags = frame_flags(id_flags);
        bool is_passed = successor != 0 && successor < cursor.end;
        if (!is_passed || !may_be_plain(flags, word) || id <= cursor.passed) { return; }
        uint32_t key_size = plain_key_size(map, cursor.place, flags);
        uint64_t length = plain_length(flags, key_size, word);
        bool is_sound = length <= cursor.end - cursor.place && ((flags & frame_key) == 0 || key_size != 0);
        if (!is_sound) { return; }
        cursor.place += uint32_t(length);
        cursor.passed = id;
    }
}

// Moves the cursor to the next chunk that is not hidden, across segments. 1 it is there, 0 caught up.
template <class Form> int find_next(Reader &reader, Frame &frame) {
    Cursor &cursor = reader.cursor;
    [[maybe_unused]] uint32_t passed = 0;
    cursor.easy_end = 0;
    if (cursor.is_damaged) { return -EBADMSG; }
    for (int segments = 0; segments < segments_per_call;) {
        Form::source(*cursor.segment).all_is_committed_below(cursor.end);
        int found = frame_at<Form>(cursor, frame);
        if (found <= 0) { return found == -EBADMSG ? damaged<Form>(cursor) : found; }
        if (frame.flags == control_end) {
            int error = follow<Form>(reader, frame);
            if (error < 0) { return error == -EBADMSG ? damaged<Form>(cursor) : error; }
            ++segments;
            continue;
        }
        int hidden = frame.is_control() ? 1 : is_hidden<Form>(reader, frame);
        if (hidden < 0) { return hidden == -EBADMSG ? damaged<Form>(cursor) : hidden; }
        if (hidden == 0) { return 1; }
        cursor.place = frame.end();
        if (!frame.is_control() && frame.id > cursor.passed) { cursor.passed = frame.id; }
        if constexpr (Form::copies) {
            if (++passed % many_hidden == 0) { look_ahead(cursor); }
        } else {
            pass_superseded(cursor);
        }
    }
    return -EAGAIN; // GCOVR_EXCL_LINE: takes a writer that makes segments faster than they are passed
}

// The last id before the first chunk from the cursor on.
template <class Form> int start_counting(Cursor &cursor, uint32_t end) {
    const auto &source = Form::source(*cursor.segment);
    FrameWalk walk(source, cursor.place, end);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1 && frame.is_control()) {}
    if (found < 0) { return found; }
    uint64_t id = frame.id - 1;
    if (found == 0) {
        if (int error = newest_id(source, end, id); error < 0) { return error; }
    }
    cursor.passed = cursor.delivered = id;
    return 0;
}

// The view's bytes: where they lie, and pinned until the view ends; or a private copy. A chunk that is too large for one is passed.
int provide(Reader &reader, Frame &, Mapped) {
    reader.cursor.has_view = true;
    return 0;
}
int provide(Reader &reader, Frame &frame, Copied form) {
    Cursor &cursor = reader.cursor;
    int error = chunk_copy(form.source(*cursor.segment), frame, reader.next_copy);
    if (error == -EMSGSIZE) {
        cursor.place = frame.end();
        cursor.passed = frame.id;
    }
    return error;
}

template <class Form> int next(Reader &reader, speculo_chunk *ret_chunk) {
    Cursor &cursor = reader.cursor;
    Frame frame;
    ++reader.next_serial;
    end_view(cursor);
    int found = find_next<Form>(reader, frame);
    if (found < 0) { return found; }
    if (found == 1) {
        if (int error = provide(reader, frame, Form{}); error < 0) { return error; }
        deliver(reader, frame, ret_chunk);
        prefetch_pages(frame.payload, frame.size);
        if (cursor.has_jumped) { ret_chunk->flags |= SPECULO_CHUNK_JUMPED; }
        cursor.has_jumped = false;
        if constexpr (Form::copies) { ret_chunk->opaque[3] = pack_copy(reader.next_copy); }
    }
    cursor.easy_end = Form::copies || cursor.has_jumped ? 0 : cursor.segment->map.readable;
    return found;
}

[[gnu::noinline]] int next_by_the_long_way(Reader &reader, speculo_chunk *ret_chunk) {
    return in_form(reader.area.copier, [&reader, ret_chunk](auto form) { return next<decltype(form)>(reader, ret_chunk); });
}

// ---- the short way: the next chunk lies in the segment of the last one, and there is nothing else to be minded ----

// The frame at `at`, as far as it is loaded, which has those fields.
template <uint32_t fields> [[gnu::always_inline]] inline int
deliver_near(Reader &reader, speculo_chunk *ret_chunk, const std::byte *at, uint32_t commit, uint64_t id_flags) {
    Cursor &cursor = reader.cursor;
    constexpr uint32_t known_flags = fields == any_fields ? common_flags : fields | frame_transient;
    if constexpr (fields == any_fields) { // the other forms are chosen by these very flags
        if ((frame_flags(id_flags) & ~known_flags) != 0) { return next_by_the_long_way(reader, ret_chunk); }
    }
    Frame frame{};
    frame.place = cursor.place;
    frame.flags = frame_flags(id_flags) & known_flags;
    frame.id = frame_id(id_flags);
    auto is_over = [&reader](uint64_t expires) { return is_expired(reader, expires) != 0; };
    if (!read_common<fields>(at, cursor.segment->map.readable, commit, frame, is_over) || frame.id <= cursor.passed ||
        load_successor(shared_at<FrameHeader>(at)->successor) != 0) {
        return next_by_the_long_way(reader, ret_chunk);
    }
    ++reader.next_serial;
    cursor.has_view = true;
    deliver(reader, frame, ret_chunk);
    if constexpr (fields != 0) { prefetch_pages(frame.payload, frame.size); }
    return 1;
}

// Apart, so that each kind does without the registers of the others.
template <uint32_t fields> [[gnu::noinline, gnu::aligned(cache_line)]] int
deliver_near_odd(Reader &reader, speculo_chunk *ret_chunk, const std::byte *at, uint32_t commit, uint64_t id_flags) {
    return deliver_near<fields>(reader, ret_chunk, at, commit, id_flags);
}

inline int next_near(Reader &reader, speculo_chunk *ret_chunk) {
    Cursor &cursor = reader.cursor;
    const std::byte *at = cursor.segment->map.position(cursor.place);
    const FrameHeader &header = *shared_at<FrameHeader>(at);
    uint32_t commit = observe_commit(header.commit);
    if (commit == 0) {
        ++reader.next_serial;
        cursor.has_view = false;
        return 0;
    }
    uint64_t id_flags = peek(header.id_flags);
    uint32_t fields = frame_flags(id_flags) & ~uint32_t(frame_transient);
    bool is_odd = (fields | commit / uint32_t(page_size)) != 0;
    if (!is_odd) { return deliver_near<0>(reader, ret_chunk, at, commit, id_flags); }
    if (fields == frame_key) { return deliver_near_odd<frame_key>(reader, ret_chunk, at, commit, id_flags); }
    if (fields == frame_expiry) { return deliver_near_odd<frame_expiry>(reader, ret_chunk, at, commit, id_flags); }
    return deliver_near_odd<any_fields>(reader, ret_chunk, at, commit, id_flags);
}

template <class Form> int start(Reader &reader, Position position) {
    Cursor &cursor = reader.cursor;
    if (int error = enter_current(reader, Entry::cursor, &cursor.segment); error < 0) { return error; }
    cursor.place = cursor.end = first_place;
    uint32_t end;
    if (int error = segment_end<Form>(*cursor.segment, first_place, end); error < 0) { return error; }
    if (position == Position::end) { cursor.place = end; }
    return start_counting<Form>(cursor, end);
}

// Where a seek in a segment that was entered leads to.
template <class Form> int find_id(Cursor &next, uint64_t id) {
    Frame frame;
    uint32_t end = first_place;
    if (int error = segment_end<Form>(*next.segment, first_place, end); error < 0) { return error; }
    const auto &source = Form::source(*next.segment);
    int found = id == 0 || id > max_id ? 0 : index_find(source, end, id, frame);
    if (found < 0) { return found; }
    next.place = id == 0 ? first_place : found == 1 ? frame.place : end;
    next.end = end;
    int error = start_counting<Form>(next, end);
    return source.error() < 0 ? source.error() : error;
}

template <class Form> int seek(Reader &reader, uint64_t id) {
    if (is_stale_and_read(reader)) { return -ESTALE; }
    Cursor next = reader.cursor;
    if (int error = enter_current(reader, Entry::cursor, &next.segment); error < 0) { return error; }
    bool is_same = next.segment == reader.cursor.segment;
    int error = find_id<Form>(next, id);
    if (is_same) {
        attachment_unpin(next.segment); // counted twice
    } else if (error < 0) {
        attachment_leave_unpinned(next.segment);
    }
    if (error < 0) { return error; }
    ++reader.next_serial;
    end_view(reader.cursor);
    next.view = nullptr;
    next.has_view = false;
    next.easy_end = 0;
    next.skipped += reader.cursor.passed - reader.cursor.delivered;
    next.is_damaged = false;
    Attachment *old = reader.cursor.segment;
    reader.cursor = next;
    if (!is_same) { leave(reader, old); }
    return 0;
}

} // namespace

int cursor_peek(Reader &reader) {
    return in_form(reader.area.copier, [&](auto form) {
        Frame frame;
        return find_next<decltype(form)>(reader, frame);
    });
}

[[gnu::aligned(cache_line)]] int cursor_next(Reader &reader, speculo_chunk *ret_chunk) {
    bool is_near = reader.cursor.place < reader.cursor.easy_end;
    return is_near ? next_near(reader, ret_chunk) : next_by_the_long_way(reader, ret_chunk);
}

// Once in a while, as the seek below, and so better small.
[[gnu::cold]] int cursor_start(Reader &reader, Position position) {
    return in_form(reader.area.copier, [&](auto form) { return start<decltype(form)>(reader, position); });
}

[[gnu::cold]] int cursor_seek(Reader &reader, uint64_t id) {
    return in_form(reader.area.copier, [&](auto form) { return seek<decltype(form)>(reader, id); });
}

void cursor_end(Reader &reader) {
    end_view(reader.cursor);
    if (Attachment *old = std::exchange(reader.cursor.segment, nullptr)) { leave(reader, old); }
}

} // namespace speculo::core
