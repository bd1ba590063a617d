// SPDX-License-Identifier: LGPL-2.1-or-later
// The system below the library: one table of operations, so that tests can make each of them fail. No other room makes a system
// call, allocates memory or reads a clock.
//
// Unless said otherwise an operation returns 0 (or a descriptor, or a count) on success and a negative errno on failure, leaves
// errno alone, and goes on by itself after EINTR.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>

namespace speculo::os {

#ifdef SPECULO_PORTABLE
inline constexpr bool has_range_locks = false;  // no segment is ever used again
inline constexpr bool sleeps_in_kernel = false; // sleep_on looks at the word itself
#else
inline constexpr bool has_range_locks = true;
inline constexpr bool sleeps_in_kernel = true;
#endif

// Bytes, where pages have 4 KiB. Elsewhere they have more, and the system finds none in so little.
inline constexpr uint64_t huge_page = uint64_t(2) << 20;

struct FileStatus {
    uint64_t device, inode;
    uint64_t size;      // bytes
    uint64_t allocated; // bytes that are really there
    uint32_t mode;      // permission bits (07777)
    uint32_t links;
    uint32_t uid, gid;
    bool regular;
};

enum class Access { read, read_write };
enum class Lock { shared, exclusive, none };
enum class Medium { memory, disk }; // disk: outlives the running system

// What an event loop watches, and what stands behind it.
struct Watch {
    int fd; // for the loop
    int events, alarm;
};

using ListFn = void (*)(void *user, const char *name);

struct Operations {
    // Memory of the process. `allocate` gives zeroed bytes; both give nullptr when there is none.
    void *(*allocate)(size_t size);
    void *(*resize)(void *memory, size_t size);
    void (*release)(void *memory);

    // Names. `open` follows no link, never blocks, and does not create. `create` makes a new file of mode 0600 or says -EEXIST.
    int (*open_directory)(const char *path);
    int (*open)(int directory, const char *name, Access access);
    int (*create)(int directory, const char *name);
    int (*create_unnamed)(int directory);                           // mode 0600; -EOPNOTSUPP where that is not possible
    int (*link)(int fd, int directory, const char *name);           // gives an unnamed file its name; -EEXIST
    int (*rename)(int directory, const char *from, const char *to); // -EEXIST if `to` is there
    int (*unlink)(int directory, const char *name);
    int (*list)(int directory, ListFn each, void *user); // all names in it
    void (*close)(int fd);

    // Files. `file_system` tells the medium, or -EOPNOTSUPP for network, FUSE and copy-on-write file systems.
    int (*status)(int fd, FileStatus *ret_status);
    int (*status_at)(int directory, const char *name, FileStatus *ret_status); // of a link itself, not of what it points at
    int (*file_system)(int fd, Medium *ret_medium);
    int (*set_mode)(int fd, uint32_t mode);
    int (*set_owner)(int fd, uint32_t uid, uint32_t gid);
    int (*allocate_space)(int fd, uint64_t offset, uint64_t length); // makes bytes really there, extends the size

    // Copies through the kernel: where memory that is mapped would be SIGBUS they give an error. `read_at` gives all bytes, or
    // -ENODATA if the file ends before.
    int (*read_at)(int fd, uint64_t offset, void *ret_bytes, size_t size);
    int (*write_at)(int fd, uint64_t offset, const void *bytes, size_t size);

    // Mappings. `populate` makes pages resident in bulk where the system can; it is a hint and does not fail.
    int (*map)(int fd, size_t length, Access access, void **ret_address); // shared; a writable one is not inherited by fork
    void (*unmap)(void *address, size_t length);
    void (*populate)(void *address, size_t length, Access access);
    // Makes one huge page of the memory that is mapped there, of which at least the beginning has to be there, and takes new memory for
    // what is not. `address` is a multiple of `huge_page`. -EAGAIN: some of it is in use at this moment; others: there are none.
    int (*make_huge)(void *address);
    int (*sync)(void *address, size_t length);

    // Locks that belong to the open file description: gone when it is closed or its process dies, never waited for (-EAGAIN).
    // A shared one needs read access, an exclusive one write access. `none` unlocks.
    int (*lock)(int fd, Lock lock, uint64_t first, uint64_t count); // -EOPNOTSUPP without range locks, but for `none`
    int (*lock_whole)(int fd);                                      // exclusive, on a file nobody else can open; everywhere
    int (*locked_by_other)(int fd, uint64_t first, uint64_t count); // 1 someone holds an exclusive one, 0 no; -EOPNOTSUPP

    // Sleeping on a word of shared memory, which may be mapped for reading only. `sleep_on` sleeps while the word is `expected`: 0
    // woken or changed, -EAGAIN changed already, -ETIMEDOUT, -EINTR a signal handler ran, -EFAULT no such memory. `wake` wakes at
    // most `count` of the sleepers. `barrier` makes every process that has called `barrier_join` pass a full memory barrier;
    // -EOPNOTSUPP where that is not possible.
    int (*sleep_on)(const uint32_t *word, uint32_t expected, uint64_t timeout_ns);
    void (*wake)(const uint32_t *word, uint32_t count);
    int (*barrier_join)();
    int (*barrier)();

    // Descriptors for event loops. A watch is readable from the moment that somebody touches the file, or that its alarm goes off,
    // until it is drained; file -1: the alarm alone. `watch_alarm` sets the alarm anew, 0: at once.
    int (*watch_open)(int file, Watch *ret_watch);
    void (*watch_close)(Watch *watch);
    int (*watch_alarm)(const Watch *watch, uint64_t after_ns);
    void (*watch_drain)(const Watch *watch);
    int (*touch)(int file, uint64_t offset);

    // Clocks, in nanoseconds. `clock_fine` is monotonic. `clock_coarse` is for the function of that name below: clock_gettime() itself.
    // `clock_boot` counts from boot, time asleep included, as seen in this time namespace; `clock_boot_offset` is what the namespace adds
    // to the host's.
    uint64_t (*clock_fine)();
    int (*clock_coarse)(clockid_t clock, timespec *ret_time);
    uint64_t (*clock_boot)();
    uint64_t (*clock_tick)();
    int (*clock_boot_offset)(int64_t *ret_offset); // -EOPNOTSUPP where it cannot be known

    int (*boot_id)(uint8_t ret_id[16]); // all zero where there is none
    int (*random)(void *ret_bytes, size_t size);
    uint32_t (*user)();                  // effective uid
    const char *(*error_text)(int code); // in English, static; null for a code that it does not know
    int (*at_fork)(void (*prepare)(), void (*parent)(), void (*child)());
};

extern Operations operations; // tests put their own in

constexpr uint64_t nanoseconds(const timespec &time) { return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec); }

// A monotonic clock that is cheap, and moves once per `clock_tick`. Without a function around the system's: for each chunk with a deadline both
// sides read it, and one call more makes that a quarter longer (24 cycles; 19 so).
extern const clockid_t coarse_clock;
inline uint64_t clock_coarse() {
    timespec now = {};
    operations.clock_coarse(coarse_clock, &now);
    return nanoseconds(now);
}

extern const char *const shared_memory_directory; // where names without a path live

} // namespace speculo::os
