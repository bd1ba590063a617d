// SPDX-License-Identifier: LGPL-2.1-or-later
// The writer's handle: what it has allocated but not committed, and the segments it uses in turn.
#pragma once

#include "bell.hpp"
#include "compact.hpp"
#include "handle.hpp"
#include "known.hpp"
#include "speculo/speculo.h"

namespace speculo::core {

// What waits for the commit.
//
// Plain chunks, which are all but those that are large, have an alignment of their own, or name the chunk that they supersede, need
// nothing but their frames, one after the other behind what is committed: until the commit, the successor's word has the commit word
// to come, and the link's the hash of the key. Nobody looks at them before. Once something else joins them, all have records.

// One of those that have. All but obsolete have a frame in the current segment, whose commit word is not stored yet.
enum class PendingKind : uint32_t { chunk, removal, marker, obsolete };

struct Pending {
    PendingKind kind;
    uint32_t flags;      // FrameFlags
    uint32_t place;      // of the frame in the current segment
    uint32_t pad_before; // places of padding in front, for the alignment
    uint32_t pad_after;  // places of padding behind, left by a shrink
    uint32_t key_size;
    uint32_t hash; // of the key
    uint32_t alignment;
    bool has_long_size;
    uint64_t length; // places of the frame
    uint64_t size;   // payload bytes
    uint64_t id;
    uint64_t supersedes; // id, 0 none; of an obsolete: its id
    std::byte *bytes;    // the frame as the caller fills it: it stays where it was when the area compacts

    bool has_frame() const { return kind != PendingKind::obsolete; }
    uint32_t begin() const { return place - pad_before; }
    uint32_t end() const { return uint32_t(place + length + pad_after); }
};

struct Writer : speculo_area {
    LockDescriptor role_lock;
    Ringer ringer;
    bool is_creator; // of the area
    WriterSegment *segments[max_slots];
    WriterSegment *current;
    WriterSegment *displaced; // lost their name, but callers hold pointers into them until commit or rollback
    uint32_t tail;            // place of the next frame
    uint32_t committed;       // place behind the last committed one: the end that readers find
    uint64_t next_id;         // of the next chunk
    uint64_t first_id;        // that the next commit publishes
    uint64_t dead;            // places of committed frames that were superseded, removed or obsoleted
    uint64_t easy_end;        // a plain chunk may be allocated up to here without ado
    uint32_t easy_commit_end; // and one without a key, if it is alone, committed
    uint64_t share_place;     // beyond it, an alloc does its share of the next compaction
    Lasting lasting;          // what that has to copy
    uint64_t carried;         // places that the last one has copied
    Copy copy;                // the next segment, if it was begun
    uint64_t keys;            // slots taken in the key table
    uint64_t pending_keys;    // pending frames that have one
    uint64_t pending_slots;   // that they need more, at most
    KnownKeys *known_keys;    // null until a key is written
    uint64_t key_epoch;       // changes whenever a slot, or a version, may have changed otherwise than by one plain chunk
    KnownKey *pending_known;  // of the last plain chunk with a key; null: not known, or not any more
    IndexWriter index;
    uint32_t last_plain; // place of the last plain chunk, while no record is kept
    Pending *pending;    // records
    size_t pending_count, pending_room;
    bool is_spread;             // what is pending lies in several segments: some were left meanwhile
    uint64_t retry_place;       // compact_percent: not again before the tail is here
    uint32_t quiet_generations; // how many in a row used less than a quarter
    uint64_t named;             // by the coarse clock: when a compaction last saw that the area has its name
    bool is_refused;            // lossless: the last compaction met cursors that had not caught up
};

// ---- role.cpp: who may write ----

// Takes the writer's role: 0, 1 if its lock had to be made, or an error. `owner`: of the area, or of the one that is to be made.
int take_role(const Place &place, uint32_t owner, LockDescriptor &role_lock);
int unlink_lock(const Place &place); // by who has the role

// Who owns the area of that name: -ENOENT if there is none, -EPERM if it is none of the caller's business.
int find_owner(const Place &place, uint32_t &ret_owner);

// ---- open.cpp: how the role is used, and given up ----

int writer_open(const char *name, uint32_t flags, const speculo_area_options &options, Writer **ret_writer);
void writer_close(Writer *writer);

// ---- remove.cpp ----

int area_remove(const char *name);

// Under the role's lock, which goes last: nobody else can make the area meanwhile. As long as it is there, removing can be tried
// again.
int unlink_area(const Place &place);

// ---- takeover.cpp ----

// Makes what a writer left behind sound again: finishes a half-done switch, undoes what was not committed, and finds out where
// to go on. The first segment is made if there is none yet.
int take_over(Writer &writer);

// Gives up all chunks of an area that nobody can vouch for. Ids go on, as far as they can be known.
int start_afresh(Writer &writer);

// Unlinks the area's objects that the control page does not name.
void unlink_leftovers(const Area &area);

// ---- writer.cpp: what waits for the commit ----

int writer_alloc(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id);

int writer_shrink(Writer &writer, uint64_t size);
int writer_obsolete(Writer &writer, uint64_t id);
int writer_key_remove(Writer &writer, const void *key, size_t key_size);
void writer_rollback(Writer &writer);

// ---- commit.cpp ----

int writer_commit(Writer &writer); // 0, to be passed on

// Whether anything waits: there is no record without a frame.
inline bool has_pending(const Writer &writer) { return writer.tail != writer.committed; }

// Room for `more` records, so that the commit needs no memory.
int reserve_records(Writer &writer, size_t more);

// Whether the key table has room for one more key, as if all that are pending were new.
inline bool has_free_slot(const Writer &writer) {
    return !key_table_is_full(writer.current->map.geometry.table_slots, writer.keys + writer.pending_slots + 1);
}

inline uint64_t hash_seed(const Writer &writer) { return peek(writer.area.control->area_id[0]); }

// The key of a record that has one.
inline Key key_of(const Pending &pending) {
    return {pending.bytes + frame_shape(pending.flags, 0, false).key, pending.key_size, pending.hash};
}

// Lays the header and the fields of a pending frame, all but the link.
void lay_frame(const SegmentMap &map, const Pending &pending, const void *key, uint32_t tag, uint64_t expires);

// Forgets what was pending, and lets go of the segments that were kept for it.
void pending_clear(Writer &writer);

} // namespace speculo::core
