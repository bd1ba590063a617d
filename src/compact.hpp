// SPDX-License-Identifier: LGPL-2.1-or-later
// Compaction: the live chunks move to another segment, and readers follow. What there is to copy is copied bit by bit while the
// current segment fills its last quarter, so that no call takes long; what little is left, and the switch, come when it is full.
#pragma once

#include "index.hpp"

namespace speculo::core {

struct Writer;

// A frame that needs room.
struct Room {
    uint64_t length; // places
    uint32_t payload_offset;
    uint32_t alignment;  // of the payload
    uint64_t keys;       // slots in the key table
    uint64_t supersedes; // id; 0 none
};

// What a compaction would carry over, at most: what has expired since still counts.
struct Lasting {
    uint64_t chunks;
    uint64_t places; // of their frames, and what their alignment may take
    uint64_t keys;   // how many of them have one
    uint32_t begin;  // place of the first one
    uint32_t end;    // place behind the last one; 0: there is none
    bool expires;    // one of them has a deadline

    uint64_t span() const { return end - begin; }

    void add(uint32_t place, uint64_t length, uint32_t alignment, uint32_t flags) {
        if (!lasts(flags)) { return; }
        if (end == 0) { begin = place; }
        end = uint32_t(place + length);
        ++chunks;
        places += most_places(length, alignment);
        keys += (flags & frame_key) != 0;
        expires |= (flags & frame_expiry) != 0;
    }
    // It is superseded. In a damaged segment more may be than has been counted.
    void take(uint64_t length, uint32_t alignment, uint32_t flags) {
        if (!lasts(flags) || chunks == 0) { return; }
        uint64_t most = most_places(length, alignment);
        places -= most < places ? most : places;
        keys -= (flags & frame_key) != 0 && keys != 0;
        if (--chunks == 0) { *this = Lasting{}; }
    }

private:
    static bool lasts(uint32_t flags) { return (flags & (frame_control | frame_removed | frame_transient)) == 0; }
    static uint64_t most_places(uint64_t length, uint32_t alignment) {
        return length + (alignment > place_size ? alignment / place_size : 0);
    }
};

// A segment under construction.
struct Copy {
    WriterSegment *segment; // null: none
    IndexWriter index;
    uint32_t tail;       // place of the next copy
    uint32_t looked;     // place in the current segment: what lies before it is copied, or not wanted
    bool is_whole;       // looks also at what does not last
    uint64_t supersedes; // id that the chunk being allocated supersedes
    uint64_t wiped;      // slots of the key table that are empty
    uint64_t keys;       // slots taken
    uint64_t dead;       // places of copies whose originals were superseded meanwhile
    uint64_t now;        // what has expired by then is not wanted; 0: the clock was not needed yet
    Lasting lasting;     // among the copies
    uint64_t pace;       // places to look at for each one that is allocated
    uint64_t paced;      // where the alloc ended that did so last
    bool is_impatient;   // switch as soon as everything is copied
};

// ---- compact.cpp: when, and the switch ----

// Copies what is live into another segment and switches to it, if what is pending and `request` then fit behind it. After a
// failure nothing has changed.
int compact(Writer &writer, const Room &request);

// The request is to end at place `end`, beyond share_place: does its share of the compaction to come, which it may begin.
void compact_ahead(Writer &writer, const Room &request, uint64_t end);
// The same for one that is to come early: begins now, and switches when everything is copied.
void compact_early(Writer &writer, const Room &request);
bool compact_is_due(const Writer &writer);

// Says where the first share is due in a segment that the writer has just switched to or taken over.
void compact_plan(Writer &writer);

// Lossless: whether a compaction that cursors were in the way of may succeed now.
bool compact_has_room(Writer &writer);
// Whether there are fewer segments than there may be.
bool compact_may_make_another(const Writer &writer);

// Publishes END in a retired segment: readers go on in the segment of `generation` in `slot`.
void publish_end(const SegmentMap &map, uint32_t place, uint64_t generation, uint32_t slot, uint32_t incarnation);

// ---- compact_copy.cpp ----

// Forgets what was copied before, and judges anew what is wanted. `is_whole`: also what the commit in progress supersedes, with a
// chunk that supersedes `supersedes`.
void copy_prepare(Writer &writer, bool is_whole, uint64_t supersedes);
// Whether a committed frame is carried over.
bool copy_wants(Writer &writer, const Frame &frame);

void copy_begin(Writer &writer, WriterSegment *segment);
// Goes on, over `places` places of the current segment or a little more. An error: there is no memory for more, or what there is to
// copy is damaged; the copy is as it was.
int copy_on(Writer &writer, uint64_t places);
bool copy_is_complete(const Writer &writer);
// Gives it up: the segment is one that nobody needs.
void copy_abandon(Writer &writer);

// Tells the copy, which there is, that an original of it was superseded.
void copy_supersede(Writer &writer, uint32_t original);

// Whether the commit in progress, with a chunk that supersedes `supersedes`, supersedes anything.
bool has_superseders(const Writer &writer, uint64_t supersedes);
// Whether it supersedes a chunk that the copy does not have though nothing else ended it. Where several supersede that chunk, it is
// through it that the later one supersedes the earlier: it has to come along, transient or expired as it may be.
bool copy_misses_something(const Writer &writer, uint64_t supersedes);

// ---- compact_choice.cpp ----

// What has to go along: exactly, or at most.
struct Survey {
    uint64_t end = first_place; // place behind it all
    uint64_t keys = 0;

    // Frames are laid one after the other, as the copy will be: it never takes more room than they have now.
    void add(uint64_t length, uint32_t payload_offset, uint32_t alignment) {
        end += padding_before(end, payload_offset, alignment) + length;
    }
    uint64_t bytes() const { return end * place_size; }
};

// The shape of a segment for that much; false if it cannot fit.
bool next_geometry(const Writer &writer, const Survey &total, Geometry &ret_geometry);
// Half of a segment that was mostly empty for several generations is given back.
void count_quiet(Writer &writer, const Survey &total);

// The segment to go on in, of that shape, with memory for `places`; where the file system is full, one of those there are already, if
// it has room for the total. -EAGAIN in a lossless area while a cursor has yet to leave the one whose turn it is.
int next_segment(Writer &writer, const Geometry &geometry, const Survey &total, uint64_t places, WriterSegment **ret_segment);

// The retired segment whose turn is next, or has come if the copy is under construction there, and that is not parked; null if there is none.
WriterSegment *oldest_retired(const Writer &writer);
uint32_t count_segments(const Writer &writer); // the parked ones aside

// Gives back what is parked; whoever is inside keeps it.
void drop_parked(Writer &writer);
// Gives back those that are more than wanted, and one of the parked ones if it has not served for long. One that cursors have yet to leave
// waits for the next compaction.
void drop_surplus(Writer &writer);

} // namespace speculo::core
