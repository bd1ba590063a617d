// SPDX-License-Identifier: LGPL-2.1-or-later
// What stands in for os_linux.cpp elsewhere: POSIX, and nothing that a BSD or macOS lacks.
#include <cstring>
#include <ctime>

#include <dirent.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sys/timerfd.h>
#else
#include <sys/event.h>
#endif

#include "os_impl.hpp"
#include "sync.hpp"

#ifndef SPECULO_DIRECTORY
#define SPECULO_DIRECTORY "/tmp"
#endif

namespace speculo::os {

const char *const shared_memory_directory = SPECULO_DIRECTORY;
const clockid_t coarse_clock = CLOCK_MONOTONIC; // not all have a coarse one

namespace impl {

namespace {

// macOS and OpenBSD have no call for it.
int system_allocate(int fd, uint64_t offset, uint64_t length) {
#if defined(__APPLE__) || defined(__OpenBSD__)
    (void)fd, (void)offset, (void)length;
    return -EOPNOTSUPP;
#else
    ErrnoKeeper keeper;
    int error;
    do { error = ::posix_fallocate(fd, off_t(offset), off_t(length)); } while (error == EINTR);
    return -error;
#endif
}

// Writes zeros behind the end of the file. What lies before it is taken to be there: only this library writes such files.
int allocate_by_writing(int fd, uint64_t offset, uint64_t length) {
    constexpr char zeros[4096] = {};
    struct stat now;
    if (int error = checked([&] { return ::fstat(fd, &now); }); error < 0) { return error; }
    uint64_t end = offset + length, at = uint64_t(now.st_size);
    while (at < end) {
        uint64_t piece = end - at < sizeof zeros ? end - at : sizeof zeros;
        int count = checked([&] { return ::pwrite(fd, zeros, size_t(piece), off_t(at)); });
        if (count < 0) { return count; }
        at += uint64_t(count);
    }
    return 0;
}

} // namespace

// ---- names ------------------------------------------------------------------------------------------------------------------

int create_unnamed(int) { return -EOPNOTSUPP; }

int link(int, int, const char *) { return -EOPNOTSUPP; }

int rename(int directory, const char *from, const char *to) { return rename_if_free(directory, from, to); }

int list(int directory, ListFn each, void *user) {
    // A description of its own: the offset belongs to it, and others may be listing too.
    int fd = checked([=] { return ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) { return fd; }
    ErrnoKeeper keeper;
    DIR *stream = ::fdopendir(fd);
    if (!stream) {
        int error = errno;
        ::close(fd);
        return -error;
    }
    const dirent *entry;
    while (errno = 0, entry = ::readdir(stream)) {
        if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) { each(user, entry->d_name); }
    }
    int error = errno;
    ::closedir(stream);
    return -error;
}

// ---- files ------------------------------------------------------------------------------------------------------------------

// POSIX does not tell file systems apart; the directory is chosen when the library is built.
int file_system(int, Medium *ret_medium) {
    *ret_medium = Medium::memory;
    return 0;
}

int allocate_space(int fd, uint64_t offset, uint64_t length) {
    int error = system_allocate(fd, offset, length);
    // ZFS, for one, says EINVAL.
    return error == -EINVAL || error == -EOPNOTSUPP ? allocate_by_writing(fd, offset, length) : error;
}

// ---- mappings ---------------------------------------------------------------------------------------------------------------

int keep_from_children(void *address, size_t length) {
#if defined(MADV_DONTFORK)
    return checked([=] { return ::madvise(address, length, MADV_DONTFORK); });
#elif defined(__APPLE__)
    return checked([=] { return ::minherit(address, length, VM_INHERIT_NONE); });
#elif defined(INHERIT_NONE)
    return checked([=] { return ::minherit(address, length, INHERIT_NONE); });
#else
    return checked([=] { return ::minherit(address, length, MAP_INHERIT_NONE); });
#endif
}

void *place_to_map(size_t) { return nullptr; }

void populate(void *, size_t, Access) {}

int make_huge(void *) { return -EOPNOTSUPP; }

// ---- locks ------------------------------------------------------------------------------------------------------------------

int lock(int fd, Lock lock, uint64_t first, uint64_t count) {
    if (lock != Lock::none) { return -EOPNOTSUPP; }
    bool is_whole = first == 0 && count == 0; // a forked child that has not run yet still shares what lock_whole() took
    return is_whole ? checked([=] { return ::flock(fd, LOCK_UN); }) : 0;
}

int lock_whole(int fd) {
    int error = checked([=] { return ::flock(fd, LOCK_EX | LOCK_NB); });
    return error == -EWOULDBLOCK ? -EAGAIN : error;
}

int locked_by_other(int, uint64_t, uint64_t) { return -EOPNOTSUPP; }

// ---- sleeping ---------------------------------------------------------------------------------------------------------------

// Looks again and again: soon at first, at last a hundred times a second.
int sleep_on(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    constexpr uint64_t shortest = 50000, longest = 10000000;
    ErrnoKeeper keeper;
    const auto &shared = *reinterpret_cast<const core::Shared<uint32_t> *>(word);
    uint64_t step = shortest;
    while (core::load_bell_word(shared) == expected) {
        if (timeout_ns == 0) { return -ETIMEDOUT; }
        if (step > timeout_ns) { step = timeout_ns; }
        timespec pause = to_timespec(step);
        if (::nanosleep(&pause, nullptr) < 0) { return -errno; }
        timeout_ns -= step;
        if (step < longest) { step *= 2; }
    }
    return 0;
}

void wake(const uint32_t *, uint32_t) {}

int barrier_join() { return -EOPNOTSUPP; }
int barrier() { return -EOPNOTSUPP; }

// ---- descriptors for event loops ----------------------------------------------------------------------------------------------

#if defined(__linux__)

// For trying the variant: an alarm is all there is.
int watch_open(int, Watch *ret_watch) {
    int fd = checked([] { return above_standard(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); });
    if (fd < 0) { return fd; }
    *ret_watch = {fd, -1, fd};
    return 0;
}

int watch_alarm(const Watch *watch, uint64_t after_ns) {
    itimerspec alarm = {};
    alarm.it_value = to_timespec(after_ns ? after_ns : 1); // 0 would switch it off
    return checked([&] { return ::timerfd_settime(watch->alarm, 0, &alarm, nullptr); });
}

void watch_drain(const Watch *watch) {
    ErrnoKeeper keeper;
    uint64_t count;
    while (::read(watch->alarm, &count, sizeof count) > 0) {}
}

#else

int watch_open(int file, Watch *ret_watch) {
    int fd = checked([] { return above_standard(::kqueue()); });
    if (fd < 0) { return fd; }
    struct kevent written;
    EV_SET(&written, file, EVFILT_VNODE, EV_ADD | EV_CLEAR, NOTE_WRITE, 0, 0);
    int error = checked([&] { return ::fcntl(fd, F_SETFD, FD_CLOEXEC); });
    if (error >= 0) {
        error = checked([&] { return ::kevent(fd, &written, 1, nullptr, 0, nullptr); });
    }
    if (error < 0) {
        ErrnoKeeper keeper;
        ::close(fd);
        return error;
    }
    *ret_watch = {fd, -1, fd};
    return 0;
}

int watch_alarm(const Watch *watch, uint64_t after_ns) {
    struct kevent alarm;
    EV_SET(&alarm, 0, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, intptr_t((after_ns + 999999) / 1000000), 0); // milliseconds
    int error = checked([&] { return ::kevent(watch->fd, &alarm, 1, nullptr, 0, nullptr); });
    return error < 0 ? error : 0;
}

void watch_drain(const Watch *watch) {
    ErrnoKeeper keeper;
    struct kevent event;
    constexpr timespec at_once = {};
    while (::kevent(watch->fd, nullptr, 0, &event, 1, &at_once) > 0) {}
}

#endif

void watch_close(Watch *watch) {
    ErrnoKeeper keeper;
    if (watch->fd >= 0) { ::close(watch->fd); }
    *watch = {-1, -1, -1};
}

// ---- clocks and identity ----------------------------------------------------------------------------------------------------

uint64_t clock_boot() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}

uint64_t clock_tick() {
    timespec tick = {};
    ::clock_getres(CLOCK_MONOTONIC, &tick);
    return nanoseconds(tick);
}

int clock_boot_offset(int64_t *ret_offset) {
    *ret_offset = 0;
    return 0;
}

int boot_id(uint8_t ret_id[16]) {
    std::memset(ret_id, 0, 16);
    return 0;
}

} // namespace impl

} // namespace speculo::os
