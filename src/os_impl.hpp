// SPDX-License-Identifier: LGPL-2.1-or-later
// What the files behind the table of operations share. For os*.cpp only.
#pragma once

#include <cerrno>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include "os.hpp"

namespace speculo::os::impl {

static_assert(sizeof(off_t) == 8, "compile with -D_FILE_OFFSET_BITS=64");

inline constexpr mode_t private_mode = 0600;

// Callers never see errno change, whatever went wrong inside.
class ErrnoKeeper {
public:
    ErrnoKeeper() : saved(errno) {}
    ~ErrnoKeeper() {
        __asm__("" ::: "memory"); // compilers think that calloc() leaves errno alone, and would leave the store out
        errno = saved;
    }
    ErrnoKeeper(const ErrnoKeeper &) = delete;
    ErrnoKeeper &operator=(const ErrnoKeeper &) = delete;

private:
    int saved;
};

// Makes a call that says -1 and errno, again after EINTR. Gives its result or the negative errno.
template <typename Call> int checked(Call call) {
    ErrnoKeeper keeper;
    for (;;) {
        auto result = call();
        if (result >= 0) { return int(result); }
        if (errno != EINTR) { return -errno; }
    }
}

// A process may have closed its standard descriptors; what it prints must not land in an area.
inline int above_standard(int fd) {
    if (fd < 0 || fd > STDERR_FILENO) { return fd; }
    int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int error = errno;
    ::close(fd);
    errno = error;
    return moved;
}

// Takes no name over; -EEXIST if `to` is there. For systems that cannot rename so.
inline int rename_by_link(int directory, const char *from, const char *to) {
    int error = checked([&] { return ::linkat(directory, from, directory, to, 0); });
    if (error < 0) { return error; }
    error = checked([&] { return ::unlinkat(directory, from, 0); });
    if (error == 0) { return 0; }
    checked([&] { return ::unlinkat(directory, to, 0); }); // one name only, even so
    return error;
}

// ---- what os_linux.cpp and os_portable.cpp define; see os.hpp -----------------------------------------------------------------

int create_unnamed(int directory);
int link(int fd, int directory, const char *name);
int rename(int directory, const char *from, const char *to);
int list(int directory, ListFn each, void *user);
int file_system(int fd, Medium *ret_medium);
int allocate_space(int fd, uint64_t offset, uint64_t length);

// Sees to it that a forked child does not have the mapping.
int keep_from_children(void *address, size_t length);
void populate(void *address, size_t length, Access access);

int lock(int fd, Lock lock, uint64_t first, uint64_t count);
int lock_whole(int fd);
int locked_by_other(int fd, uint64_t first, uint64_t count);

uint64_t clock_coarse();
uint64_t clock_boot();
uint64_t clock_tick();
int clock_boot_offset(int64_t *ret_offset);
int boot_id(uint8_t ret_id[16]);

} // namespace speculo::os::impl
