// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader's way into segments. While it is inside it holds the kernel's read lock on two bytes of the object: byte 0 as long as
// any bytes are in use, byte 1 as long as a cursor has yet to leave. The writer never takes a segment that is locked, and the
// kernel lets go of the locks of a reader that dies.
#pragma once

#include "frame.hpp"

namespace speculo::core {

// One segment object as one handle has it mapped. Stays mapped while it is cached or pinned.
struct Attachment {
    SegmentMap map;
    Copier *copier; // the handle's, if the area is untrusted: nothing is mapped, see file()
    LockDescriptor lock;
    uint32_t slot, incarnation;
    uint64_t generation; // while pinned
    Counter pins;        // users of byte 0: cursor, views, holds, snapshots
    bool is_cached;

    SegmentFile file() const { return SegmentFile(map, lock.fd, *copier); }
};

// The mappings of one handle, by slot.
struct Attachments {
    Attachment *slots[max_slots];
};

// Finds or makes the attachment of the object that `entry` names for `slot`. -ESTALE if that object is gone. Those of others that have lost
// their names go.
int attachment_get(const Area &area, Attachments &attachments, uint32_t slot, uint64_t entry, Attachment **ret_attachment);

// Enters the segment: one more user. -ESTALE if it is not, or no longer, the one of `generation`. With `cursor` byte 1 is locked too.
enum class Entry { view, cursor };
int attachment_pin(Attachment &attachment, uint64_t generation, Entry entry);

// Another user where there is one already, such as a hold of a view.
void attachment_pin_again(Attachment &attachment);

// The cursor leaves: byte 1 is free at once. Its user of byte 0 stays until attachment_unpin.
void attachment_leave(Attachment &attachment);

// One user less; any thread. With the last one the lock goes, and the mapping too if it is cached no longer.
void attachment_unpin(Attachment *attachment);

// The cursor leaves, and its user of byte 0 too: at once, as a segment with byte 0 alone is one that the writer replaces.
void attachment_leave_unpinned(Attachment *attachment);

// A commit word as it is now; its place is readable.
inline uint32_t attachment_commit(const Attachment &attachment, uint32_t place) {
    return attachment.copier ? attachment.file().commit_at(place) : attachment.map.commit_at(place);
}
// The same for the hint. The attachment need not be pinned: it is only to be seen whether the hint moves.
inline uint32_t attachment_hint(const Attachment &attachment) {
    return attachment.copier ? attachment.file().hint() : attachment.map.hint();
}

// Looks how far the object has grown.
int attachment_refresh(Attachment &attachment);
// The same for a map that may be a copy of the attachment's: 1 it has grown, 0, or an error.
int attachment_measure(const Attachment &attachment, SegmentMap &map);

// Forgets the cached mappings; those that are pinned stay until unpinned.
void attachments_close(Attachments &attachments);

} // namespace speculo::core
