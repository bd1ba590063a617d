// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader's handle: its cursor, key look-ups, snapshots and holds.
#pragma once

#include <cerrno>

#include "chunk_copy.hpp"
#include "handle.hpp"
#include "keytable.hpp"
#include "pins.hpp"
#include "recent.hpp"
#include "speculo/speculo.h"
#include "wait.hpp"

namespace speculo::core {

// Where a handle reads the stream.
struct Cursor {
    Attachment *segment; // null: the handle has no cursor
    uint32_t place;      // of the next frame
    uint32_t end;        // an end of this segment, found earlier; may be older than the newest
    uint32_t easy_end;   // up to here chunks are delivered the short way; 0 whenever something else is to be minded, if only once
    uint64_t passed;     // the last id behind the cursor
    uint64_t delivered;  // the last id delivered, or where the cursor was put
    uint64_t skipped;    // ids passed without delivery, up to `delivered`
    uint64_t jumps;
    Attachment *view; // the last view's segment, pinned, if the cursor has left it meanwhile
    bool has_view;
    bool has_jumped; // not yet told by a view
    bool is_damaged; // until a seek
};

struct Reader : speculo_area {
    Attachments attachments;
    bool was_rebooted; // deadlines are of a boot before, until a writer has seen to it
    Cursor cursor;
    Waiting waiting;
    Attachment *key_segment;          // of the last read_key; pinned
    uint32_t key_end;                 // an end of it, found earlier
    uint64_t key_current;             // as the control page names it
    RecentKeys *recent_keys;          // of the one it is in; null until the second look-up, and where chunks are copied
    uint64_t next_serial, key_serial; // of the last views
    ChunkCopy *next_copy, *key_copy;  // theirs, if the area is untrusted
    uint64_t named;                   // when a snapshot last saw that the area has its name
    speculo_snapshot *snapshots;      // still open; changed under the ForkGuard
};

// ---- how segments are read: mapped, or copied because the area is untrusted ----

struct Mapped {
    static constexpr bool copies = false;
    static const SegmentMap &source(const Attachment &segment) { return segment.map; }
};
struct Copied {
    static constexpr bool copies = true;
    static SegmentFile source(const Attachment &segment) { return segment.file(); }
};

// Runs what a call does in the form that the handle, or snapshot, reads in. Copies take system calls: better small than fast. `keep`: see
// Copier::begin.
template <class Work> [[gnu::cold, gnu::noinline]] int in_copies(Copier &copier, Work work, bool keep) {
    copier.begin(keep);
    return copier.finish(work(Copied{}));
}
template <class Work> inline int in_form(Copier *copier, Work work, bool keep = false) {
    return __builtin_expect(copier != nullptr, 0) ? in_copies(*copier, work, keep) : work(Mapped{});
}

// ---- reader.cpp: open, close, and the way into segments ----

int reader_open(const char *name, uint32_t flags, const speculo_area_options &options, Reader **ret_reader);
void reader_close(Reader *reader);

// Enters the current segment. -ENOENT if the area is still being created, -ESTALE if it was removed, -EAGAIN after too many tries.
int enter_current(Reader &reader, Entry entry, Attachment **ret_segment);

// The current segment with one more user, without a system call if the handle is in it already. attachment_unpin when done.
int borrow_current(Reader &reader, Attachment **ret_segment);

// The end of a segment that the reader is in; `from`: an end, or a place, that it has reached.
template <class Form> int segment_end(Attachment &segment, uint32_t from, uint32_t &ret_end);

// The newest id below `end`.
template <class Source> int newest_id(const Source &source, uint32_t end, uint64_t &ret_id);

// Whether the area was removed, and the cursor has read all that is there.
bool is_stale_and_read(const Reader &reader);

// The time by which expiry is judged: 0, which hides nothing, where the clock of the host cannot be known. Returns 0 or an error.
int reader_first_now(Reader &reader, uint64_t &ret_now); // the same, while that is not settled yet
inline int reader_now(Reader &reader, uint64_t &ret_now) {
    if (!reader.clock.known) { return reader_first_now(reader, ret_now); }
    ret_now = clock_now(reader.clock);
    return 0;
}

// Whether a deadline (0: none) has passed: 1, 0, or an error.
inline int is_expired(Reader &reader, uint64_t expires) {
    if (expires == 0) { return 0; }
    uint64_t now;
    int error = reader_now(reader, now);
    return error < 0 ? error : has_passed(expires, now);
}

// ---- cursor.cpp ----

int cursor_next(Reader &reader, speculo_chunk *ret_chunk);
// Goes to the next chunk that cursor_next would deliver: 1 it is there, 0 caught up. Views stay valid.
int cursor_peek(Reader &reader);
int cursor_seek(Reader &reader, uint64_t id);

// Puts the cursor at its first position.
enum class Position { beginning, end };
int cursor_start(Reader &reader, Position position);
void cursor_end(Reader &reader);

// ---- lookup.cpp ----

// The version of a key that is visible at `end`, expiry aside: 1 and its frame, 0 none, or -EBADMSG.
template <class Source> int find_key(const Source &source, uint32_t end, const Key &key, Frame &ret_frame);
// The same, with a map of the attachment's, read as `source`, that may be too short by now: the way to the version begins at newer
// ones.
template <class Source> inline int find_key_in(const Attachment &attachment, SegmentMap &map, const Source &source, uint32_t end,
                                               const Key &key, Frame &ret_frame) {
    for (;;) {
        int found = find_key(source, end, key, ret_frame);
        int grown = found == -EBADMSG ? attachment_measure(attachment, map) : 0;
        if (grown <= 0) { return grown < 0 ? grown : found; }
    }
}

int reader_read_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk);
// The same for a key that can be remembered.
int reader_read_short_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk);
int reader_is_live(Reader &reader, const speculo_chunk &chunk);

// ---- hold.cpp: views ----

enum class ViewKind : uint64_t { next, key, snapshot };
constexpr uint64_t pack_place(uint64_t generation, uint32_t place) { return generation << 32 | place; }
constexpr uint64_t pack_serial(ViewKind kind, uint64_t serial) { return serial << 2 | uint64_t(kind); }

// Fills a view. `number`: of the handle; `serial`: of the view, or of its snapshot.
inline void fill_view(speculo_chunk &view, const Frame &frame, const Attachment &segment, ViewKind kind, uint64_t number,
                      uint64_t serial) {
    view.data = frame.payload;
    view.size = size_t(frame.size);
    view.id = frame.id;
    view.key = frame.key;
    view.key_size = frame.key_size;
    view.expires_ns = frame.expires;
    view.skipped = 0;
    view.tag = frame.tag;
    view.flags =
        (frame.flags & frame_removed ? SPECULO_CHUNK_REMOVED : 0) | (frame.flags & frame_transient ? SPECULO_CHUNK_TRANSIENT : 0);
    view.opaque[0] = number;
    view.opaque[1] = pack_serial(kind, serial);
    view.opaque[2] = pack_place(segment.generation, frame.place);
    view.opaque[3] = 0;
}

// The place of a view in the segment of that generation; 0 if it is of another.
uint32_t view_place(const speculo_chunk &view, uint64_t number, uint64_t generation);

int view_hold(Reader &reader, speculo_chunk &chunk);
void view_release(speculo_chunk &chunk);

// ---- snapshot.cpp ----

int snapshot_open(Reader &reader, speculo_snapshot **ret_snapshot);
int snapshot_next(speculo_snapshot &snapshot, speculo_chunk *ret_chunk);
int snapshot_key(speculo_snapshot &snapshot, const void *key, size_t key_size, speculo_chunk *ret_chunk);
void snapshot_close(speculo_snapshot *snapshot);

// Snapshots outlive their handle.
void snapshots_orphan(Reader &reader);
// The segment of an open snapshot of this handle; null if there is none of that number.
Attachment *snapshot_segment(const Reader &reader, uint64_t number);
bool snapshot_is_own(const speculo_snapshot &snapshot);

} // namespace speculo::core
