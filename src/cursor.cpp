// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader's cursor: the stream of chunks in commit order, across segments.
#include <cerrno>

#include "index.hpp"
#include "reader.hpp"

namespace speculo::core {

namespace {

constexpr int segments_per_call = 64; // a hostile chain of segments must not hold a call for ever

int damaged(Cursor &cursor) {
    cursor.is_damaged = true;
    return -EBADMSG;
}

// The last view's bytes are in use no longer.
void end_view(Cursor &cursor) {
    if (cursor.view) { attachment_unpin(cursor.view); }
    cursor.view = nullptr;
    cursor.has_view = false;
}

void leave(Reader &reader, Attachment *segment) {
    attachment_leave(*segment);
    tell_writer_of_room(reader);
    if (reader.cursor.has_view && !reader.cursor.view) {
        reader.cursor.view = segment;
    } else {
        attachment_unpin(segment);
    }
}

// Puts the cursor into a segment that was entered, and leaves the one before.
void move_to(Reader &reader, Attachment *segment, uint32_t place) {
    Cursor &cursor = reader.cursor;
    if (cursor.segment) { leave(reader, cursor.segment); }
    cursor.segment = segment;
    cursor.place = place;
    cursor.end = first_place;
}

// Enters the successor that END names, behind what was copied: all of that was in the segment that the cursor has read.
int follow_directly(Reader &reader, const Frame &end) {
    Cursor &cursor = reader.cursor;
    uint32_t slot = current_slot(end.id);
    uint64_t entry = observe_slot(reader.area.control->slots[slot]); // after END: not older than it
    if (slot_incarnation(entry) != load_successor(cursor.segment->map.frame(end.place).successor)) { return -ESTALE; }
    Attachment *segment = nullptr;
    int error = attachment_get(reader.area, reader.attachments, slot, entry, &segment);
    if (error == 0) { error = attachment_pin(*segment, current_generation(end.id), Entry::cursor); }
    if (error < 0) { return error; }
    move_to(reader, segment, peek(segment->map.header().prefix_end));
    return 0;
}

// The successor was used again meanwhile: on with the current segment, from its beginning.
int jump(Reader &reader) {
    uint64_t before = reader.cursor.segment->generation;
    Attachment *segment = nullptr;
    if (int error = enter_current(reader, Entry::cursor, &segment); error < 0) { return error; }
    if (segment->generation <= before) { // the chain never leads back
        attachment_leave(*segment);
        attachment_unpin(segment);
        return -EBADMSG;
    }
    move_to(reader, segment, first_place);
    reader.cursor.has_jumped = true;
    ++reader.cursor.jumps;
    return 0;
}

int follow(Reader &reader, const Frame &end) {
    if (current_generation(end.id) <= reader.cursor.segment->generation) { return -EBADMSG; }
    int error = follow_directly(reader, end);
    return error == -ESTALE ? jump(reader) : error;
}

// Whether the chunk was superseded at the newest commit: 1, 0, or -EBADMSG. A word that may come from a batch that died is loaded
// again after the end was fixed.
int is_superseded(Cursor &cursor, const Frame &frame, uint32_t successor) {
    if (successor < cursor.end) { return 1; }
    Attachment &segment = *cursor.segment;
    if (int error = segment_end(segment, cursor.end > frame.place ? cursor.end : frame.place, cursor.end); error < 0) {
        return error;
    }
    successor = load_successor(segment.map.frame(frame.place).successor);
    return successor != 0 && successor < cursor.end;
}

// Reads the frame at the cursor. 1, 0 there is none yet, -EBADMSG.
int frame_at(Cursor &cursor, Frame &frame) {
    Attachment &segment = *cursor.segment;
    for (int i = 0; i < 2; ++i) {
        if (cursor.place < segment.map.readable) {
            uint32_t commit = observe_commit(segment.map.frame(cursor.place).commit);
            if (commit == 0) { return 0; }
            if (read_frame(segment.map, cursor.place, commit, frame)) { return 1; }
        }
        if (int error = attachment_refresh(segment); error < 0) { return error; } // it may have grown meanwhile
    }
    return -EBADMSG;
}

// Whether the chunk is to be passed: superseded, expired, or delivered before a jump.
int is_hidden(Reader &reader, const Frame &frame) {
    Cursor &cursor = reader.cursor;
    if (frame.id <= cursor.passed) { return 1; }
    uint32_t successor = load_successor(cursor.segment->map.frame(frame.place).successor);
    if (successor != 0) {
        if (int superseded = is_superseded(cursor, frame, successor); superseded != 0) { return superseded; }
    }
    return is_expired(reader, frame.expires);
}

void deliver(Reader &reader, const Frame &frame, speculo_chunk *ret_chunk) {
    Cursor &cursor = reader.cursor;
    fill_view(*ret_chunk, frame, *cursor.segment, ViewKind::next, reader.number, reader.next_serial);
    ret_chunk->skipped = frame.id - cursor.delivered - 1;
    cursor.skipped += ret_chunk->skipped;
    cursor.passed = cursor.delivered = frame.id;
    cursor.place = frame.end();
    cursor.has_view = true;
    if (cursor.has_jumped) {
        ret_chunk->flags |= SPECULO_CHUNK_JUMPED;
        cursor.has_jumped = false;
    }
}

// Moves the cursor to the next chunk that is not hidden, across segments. 1 it is there, 0 caught up.
int find_next(Reader &reader, Frame &frame) {
    Cursor &cursor = reader.cursor;
    if (cursor.is_damaged) { return -EBADMSG; }
    for (int segments = 0; segments < segments_per_call;) {
        int found = frame_at(cursor, frame);
        if (found <= 0) { return found == -EBADMSG ? damaged(cursor) : found; }
        if (frame.flags == control_end) {
            int error = follow(reader, frame);
            if (error < 0) { return error == -EBADMSG ? damaged(cursor) : error; }
            ++segments;
            continue;
        }
        int hidden = frame.is_control() ? 1 : is_hidden(reader, frame);
        if (hidden < 0) { return hidden == -EBADMSG ? damaged(cursor) : hidden; }
        if (hidden == 0) { return 1; }
        cursor.place = frame.end();
        if (!frame.is_control() && frame.id > cursor.passed) { cursor.passed = frame.id; }
    }
    return -EAGAIN;
}

// The last id before the first chunk from the cursor on.
int start_counting(Cursor &cursor, uint32_t end) {
    FrameWalk walk(cursor.segment->map, cursor.place, end);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1 && frame.is_control()) {}
    if (found < 0) { return found; }
    uint64_t id = frame.id - 1;
    if (found == 0) {
        if (int error = newest_id(cursor.segment->map, end, id); error < 0) { return error; }
    }
    cursor.passed = cursor.delivered = id;
    return 0;
}

} // namespace

int cursor_peek(Reader &reader) {
    Frame frame;
    return find_next(reader, frame);
}

int cursor_next(Reader &reader, speculo_chunk *ret_chunk) {
    ++reader.next_serial;
    end_view(reader.cursor);
    Frame frame;
    int found = find_next(reader, frame);
    if (found == 1) { deliver(reader, frame, ret_chunk); }
    return found;
}

int cursor_start(Reader &reader, Position position) {
    Cursor &cursor = reader.cursor;
    if (int error = enter_current(reader, Entry::cursor, &cursor.segment); error < 0) { return error; }
    cursor.place = cursor.end = first_place;
    uint32_t end;
    if (int error = segment_end(*cursor.segment, first_place, end); error < 0) { return error; }
    if (position == Position::end) { cursor.place = end; }
    return start_counting(cursor, end);
}

int cursor_seek(Reader &reader, uint64_t id) {
    if (is_stale_and_read(reader)) { return -ESTALE; }
    Cursor next = reader.cursor;
    Attachment *segment = nullptr;
    if (int error = enter_current(reader, Entry::cursor, &segment); error < 0) { return error; }
    next.segment = segment;
    Frame frame;
    uint32_t end = first_place;
    int error = segment_end(*segment, first_place, end);
    int found = error < 0 || id == 0 || id > max_id ? 0 : index_find(segment->map, end, id, frame);
    if (error == 0 && found < 0) { error = found; }
    next.place = id == 0 ? first_place : found == 1 ? frame.place : end;
    next.end = end;
    if (error == 0) { error = start_counting(next, end); }
    bool is_same = segment == reader.cursor.segment;
    if (error < 0 && !is_same) { attachment_leave(*segment); }
    if (error < 0 || is_same) { attachment_unpin(segment); } // counted twice, or not to be used
    if (error < 0) { return error; }
    ++reader.next_serial;
    end_view(reader.cursor);
    if (!is_same) { leave(reader, reader.cursor.segment); }
    next.view = nullptr;
    next.has_view = false;
    next.skipped += reader.cursor.passed - reader.cursor.delivered;
    next.is_damaged = false;
    reader.cursor = next;
    return 0;
}

void cursor_end(Reader &reader) {
    end_view(reader.cursor);
    if (!reader.cursor.segment) { return; }
    leave(reader, reader.cursor.segment);
    reader.cursor.segment = nullptr;
}

} // namespace speculo::core
