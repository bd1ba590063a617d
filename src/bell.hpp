// SPDX-License-Identifier: LGPL-2.1-or-later
// The bell: how a writer wakes those who sleep until there is something to read. Two ways, by what a reader may do:
//   the owner's uid   sets a flag in NAME@bell and sleeps on a word there; a commit with nobody asleep costs two loads
//   foreign uids      sleep on a word of the control page, which they can only read; the writer of an area that others may read
//                     rings it unasked, at most once a millisecond
// A wake-up is only a hint: whoever sleeps does so in slices, and looks again.
#pragma once

#include "control.hpp"

namespace speculo::core {

// How many sleepers a ring wakes. Each of them wakes as many more, so that a commit's cost does not depend on how many sleep.
inline constexpr uint32_t wake_at_once = 4;

struct Bell {
    BellPage *page = nullptr; // null: there is none; in an untrusted area nobody touches it but the kernel
    int fd = -1;
    bool is_writable = false; // for the owner's uid and root
};

// Opens the area's bell, for writing if that is allowed. -ENOENT if there is none, or none to be used.
int bell_open(const Area &area, Bell &ret_bell);
// Under the writer's lock: makes the bell if there is none to be used.
int bell_make(const Area &area, Bell &ret_bell);
void bell_close(Bell &bell);

// Whether the object lost its name: somebody removed it, and the next writer makes another.
bool bell_is_stale(const Bell &bell);

// What a commit has to do besides looking whether somebody asked for it.
enum RingDuties : uint32_t {
    duty_fence = 1 << 0,  // the fence of O12: the sleepers do not pay for it
    duty_public = 1 << 1, // readers of other uids may sleep
};

// The writer's side.
struct Ringer {
    Bell bell;
    uint32_t duties;      // RingDuties
    uint64_t public_ring; // when they were woken last, on the fine clock

    void set(uint32_t duty, bool has_it) { duties = has_it ? duties | duty : duties & ~duty; }
};

// Whether others than the owner may read the area.
bool is_public(const Area &area);

int ringer_open(Area &area, Ringer &ringer);
void ringer_close(Ringer &ringer);

// After a publication: wakes those who asked for it, and foreign readers if it is time.
void ring(const Area &area, Ringer &ringer);
// Wakes everybody: the writer comes or goes.
void ring_all(const Area &area, Ringer &ringer);
// Wakes everybody: the area is going to be removed. Under the writer's lock.
void ring_removed(const Place &place, ControlPage &control, uint32_t owner);

// Whether there is a reason to.
inline bool is_ring_due(const Ringer &ringer) {
    if (__builtin_expect(ringer.duties != 0, 0)) { return true; }
    fence_before_flags(true);
    const BellPage &page = *ringer.bell.page;
    return __builtin_expect(is_either_flag_set(page.sleepers, page.watchers), 0);
}

} // namespace speculo::core
