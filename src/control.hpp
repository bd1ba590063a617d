// SPDX-License-Identifier: LGPL-2.1-or-later
// The control page of an area, and what every handle knows of its area.
#pragma once

#include "copier.hpp"
#include "fork.hpp"
#include "layout.hpp"
#include "name.hpp"
#include "os.hpp"

namespace speculo::core {

// An area as one handle has it open.
struct Area {
    Place place;
    ControlPage *control = nullptr; // mapped; for an untrusted area a copy, of which only what never changes is to be used
    Copier *copier = nullptr;       // null: the area is trusted
    LockDescriptor control_fd;      // the writer's liveness lock; for fstat by both sides
    os::Medium medium = os::Medium::memory;
    uint32_t owner = 0;
};

// Whose areas a handle believes, beside root's.
struct Trust {
    uint32_t self;
    bool has_other;
    uint32_t other;
    bool anyone; // to write, root, which may take over anybody's area; to read, who copies and checks everything
};

// Opens and checks the control page of the area in `area.place`. -ENOENT no such area; -EPERM, -EBADMSG, -EPROTONOSUPPORT.
int control_open(Area &area, os::Access access, const Trust &trust);

// Makes the control page of a new area, `current` still 0, gives it its name, and opens it for writing.
struct Choices {
    uint64_t capacity, max_capacity;
    uint32_t mode, compact_percent, segments, flags;
};
int control_create(Area &area, const Choices &choices);

// Which of an area's choices no writer can go by: its name, or null.
const char *control_flaw(const ControlPage &control);

// Lets go of the control page.
void control_close(Area &area);

// What changes in it, for those who read: in an untrusted area it is copied each time.
inline uint64_t control_current(const Area &area) {
    if (!area.copier) { return observe_current(area.control->current); }
    return area.copier->load<uint64_t>(area.control_fd.fd, offsetof(ControlPage, current));
}
inline uint64_t control_slot(const Area &area, uint32_t slot) {
    if (!area.copier) { return observe_slot(area.control->slots[slot]); }
    return area.copier->load<uint64_t>(area.control_fd.fd, offsetof(ControlPage, slots) + slot * sizeof(uint64_t));
}
uint32_t control_marks(const Area &area);
uint32_t control_writers(const Area &area);

// Whether the area lost its name: removed, or replaced by another of the same name.
bool control_is_stale(const Area &area);
// The same, but that it lost its name by hand, which takes a system call to see, is looked for once in each tick of the clock. `now`: a
// reading that stays as it is for a tick; 0: none. `named`: the caller's, the reading at which the area was last seen to have its name.
bool control_is_stale_at(const Area &area, uint64_t now, uint64_t &named);

// Whether nothing is dropped that a cursor has yet to read.
bool is_lossless(const Area &area);

int control_mode(const Area &area, uint32_t &ret_mode);

// Gives a new object the owner, group and mode of the area.
int control_dress(const Area &area, int fd);

// Whether an open object can be one of the area: keeps out what others may have planted. -ENOENT: it lost its name.
int control_check_object(const Area &area, const os::FileStatus &status);

// A plain file outlives the running system, its deadlines do not.
enum class Boot {
    same,  // written since the system was booted, or in memory that did not outlive it
    clean, // closed before a clean shutdown: what has a deadline counts as expired
    unclean
};
int control_boot(const Area &area, Boot &ret_boot);

// After a clean shutdown: the first writer begins, before it changes anything, and is done.
int control_begin_recovery(Area &area);
int control_end_recovery(Area &area);

// Notes whether everything is written back. Does nothing for areas that do not outlive the system.
int control_mark_clean(Area &area, bool is_clean);

// The writer's sign of life: a lock that readers query. Gone with the process.
void liveness_show(Area &area);
void liveness_end(Area &area);
// 1 a writer lives, or that cannot be ruled out; 0 none; -EOPNOTSUPP where it cannot be known at all.
int liveness_query(const Area &area);

// Makes an object without a name, or with a temporary one where the system knows no other way, and names it once complete.
struct Unnamed {
    int fd = -1;
    bool has_temporary_name = false;
    ObjectName temporary;
};
int object_begin(const Place &place, Unnamed &ret_object);
int object_publish(const Place &place, Unnamed &object, const char *name);
void object_abandon(const Place &place, Unnamed &object);

} // namespace speculo::core
