// SPDX-License-Identifier: LGPL-2.1-or-later
// What a fork must not inherit: the child closes every descriptor that carries a lock, so that the parent's death frees its role
// and its pins, and finds that its handles are no longer its own. It may close them, whatever another thread was doing with them when
// it was forked: so what is given back is out of its handle's reach before.
#pragma once

#include <cstdint>

#include "os.hpp"

namespace speculo::core {

// A descriptor that carries locks. -1: none, or closed by a fork.
struct LockDescriptor {
    int fd = -1;
    LockDescriptor *next = nullptr;
    LockDescriptor **link = nullptr;
};

// Registers the handlers, once in a process.
int fork_watch();

// What says that a handle is this process's own: not 0, but for a child it becomes 0 before any of its code runs.
struct OwnMark {
    uint32_t value = 0;
    OwnMark *next = nullptr;
    OwnMark **link = nullptr; // null: not listed
};

// Opens an existing file for its locks, so that no fork can fall in between. 0 or a negative errno.
int lock_descriptor_open(LockDescriptor &descriptor, int directory, const char *name, os::Access access);

// Takes over an open descriptor that carries no lock yet.
void lock_descriptor_adopt(LockDescriptor &descriptor, int fd);

// Unlocks and closes. Does nothing in a forked child, whose descriptors are closed and whose parent may still need the locks.
void lock_descriptor_close(LockDescriptor &descriptor);

// Held around fork(), and while counts of users and kernel locks change together. Short: never across anything that waits.
class ForkGuard {
public:
    ForkGuard();
    ~ForkGuard();
    ForkGuard(const ForkGuard &) = delete;
    ForkGuard &operator=(const ForkGuard &) = delete;
};

void own_mark_set(OwnMark &mark, uint32_t value, const ForkGuard &);
void own_mark_end(OwnMark &mark, const ForkGuard &);

} // namespace speculo::core
