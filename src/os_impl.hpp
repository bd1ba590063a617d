// SPDX-License-Identifier: LGPL-2.1-or-later
// What the files behind the table of operations share. For os*.cpp only.
#pragma once

#include <cerrno>
#include <cstdio>
#include <ctime>

#include <fcntl.h>
#include <sys/stat.h>
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

inline timespec to_timespec(uint64_t ns) {
    constexpr uint64_t second = 1000000000, most = uint64_t(1) << 30; // seconds: fits wherever time is counted in 32 bits
    timespec time = {};
    time.tv_sec = time_t(ns / second < most ? ns / second : most);
    time.tv_nsec = long(ns % second);
    return time;
}

// -EEXIST if `to` is there. For systems that cannot look and rename in one step. Linking and unlinking could, but a process that
// is killed in between would leave an object with two names, which nobody trusts. Whoever makes objects has the writer's lock, so
// what takes the name between the two steps is no object of the area.
// GCOVR_EXCL_START: what is measured is Linux; tests of the library for other systems are run on this, too
inline int rename_if_free(int directory, const char *from, const char *to) {
    auto is_there = [=](const char *name) {
        struct stat found;
        return checked([&] { return ::fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW); }) == 0;
    };
    if (is_there(to)) { return is_there(from) ? -EEXIST : -ENOENT; }
    int error = checked([=] { return ::renameat(directory, from, directory, to); });
    bool is_refused = error == -EPERM || error == -EACCES;
    return is_refused && is_there(to) ? -EEXIST : error;
} // GCOVR_EXCL_STOP

// ---- what os_linux.cpp and os_portable.cpp define; see os.hpp -----------------------------------------------------------------

int create_unnamed(int directory);
int link(int fd, int directory, const char *name);
int rename(int directory, const char *from, const char *to);
int list(int directory, ListFn each, void *user);
int file_system(int fd, Medium *ret_medium);
int allocate_space(int fd, uint64_t offset, uint64_t length);

// Where a mapping of that length had better begin, so that huge pages in it are mapped as such; null: anywhere. May change errno.
void *place_to_map(size_t length);
// Sees to it that a forked child does not have the mapping.
int keep_from_children(void *address, size_t length);
void populate(void *address, size_t length, Access access);
int make_huge(void *address);

int lock(int fd, Lock lock, uint64_t first, uint64_t count);
int lock_whole(int fd);
int locked_by_other(int fd, uint64_t first, uint64_t count);

int sleep_on(const uint32_t *word, uint32_t expected, uint64_t timeout_ns);
void wake(const uint32_t *word, uint32_t count);
int barrier_join();
int barrier();

int watch_open(int file, Watch *ret_watch);
void watch_close(Watch *watch);
int watch_alarm(const Watch *watch, uint64_t after_ns);
void watch_drain(const Watch *watch);

uint64_t clock_boot();
uint64_t clock_tick();
int clock_boot_offset(int64_t *ret_offset);
int boot_id(uint8_t ret_id[16]);

} // namespace speculo::os::impl
