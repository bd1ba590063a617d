// SPDX-License-Identifier: LGPL-2.1-or-later
// The operations that every POSIX system has, and the table of all of them.
#include "os.hpp"

#include <cstdlib>
#include <cstring>

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#ifdef __APPLE__
#include <sys/random.h>
#endif

#include "os_impl.hpp"

namespace speculo::os {

namespace {

using impl::checked;
using impl::ErrnoKeeper;

// ---- memory -----------------------------------------------------------------------------------------------------------------

void *allocate(size_t size) {
    ErrnoKeeper keeper;
    return std::calloc(1, size);
}

void *resize(void *memory, size_t size) {
    ErrnoKeeper keeper;
    return std::realloc(memory, size);
}

void release(void *memory) {
    ErrnoKeeper keeper; // free() of older C libraries does not keep it
    std::free(memory);
}

// ---- names ------------------------------------------------------------------------------------------------------------------

int open_directory(const char *path) {
    return checked([=] { return impl::above_standard(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)); });
}

// Systems differ in what they say of a symbolic link.
int name_link_error(int error) {
#ifdef EFTYPE
    if (error == -EFTYPE) { return -ELOOP; }
#endif
    return error == -EMLINK ? -ELOOP : error;
}

int open(int directory, const char *name, Access access) {
    int flags = (access == Access::read ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    return name_link_error(checked([=] { return impl::above_standard(::openat(directory, name, flags)); }));
}

int create(int directory, const char *name) {
    constexpr int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int made = checked([=] { return ::openat(directory, name, flags, impl::private_mode); });
    if (made < 0) { return made; }
    int fd = checked([=] { return impl::above_standard(made); });
    // The umask took its share of the mode.
    int error = fd < 0 ? fd : checked([=] { return ::fchmod(fd, impl::private_mode); });
    if (error == 0) { return fd; }
    ErrnoKeeper keeper;
    if (fd >= 0) { ::close(fd); }
    ::unlinkat(directory, name, 0);
    return error;
}

int unlink(int directory, const char *name) {
    return checked([=] { return ::unlinkat(directory, name, 0); });
}

void close(int fd) {
    ErrnoKeeper keeper;
    ::close(fd); // not again after EINTR: the descriptor is gone all the same
}

// ---- files ------------------------------------------------------------------------------------------------------------------

void convert(const struct stat &from, FileStatus &to) {
    constexpr uint64_t block = 512; // what st_blocks counts, whatever st_blksize says
    to.device = uint64_t(from.st_dev);
    to.inode = uint64_t(from.st_ino);
    to.size = uint64_t(from.st_size);
    to.allocated = uint64_t(from.st_blocks) * block;
    to.mode = uint32_t(from.st_mode & 07777);
    to.links = uint32_t(from.st_nlink);
    to.uid = uint32_t(from.st_uid);
    to.gid = uint32_t(from.st_gid);
    to.regular = S_ISREG(from.st_mode);
}

int status(int fd, FileStatus *ret_status) {
    struct stat found;
    int error = checked([&] { return ::fstat(fd, &found); });
    if (error == 0) { convert(found, *ret_status); }
    return error;
}

int status_at(int directory, const char *name, FileStatus *ret_status) {
    struct stat found;
    int error = checked([&] { return ::fstatat(directory, name, &found, AT_SYMLINK_NOFOLLOW); });
    if (error == 0) { convert(found, *ret_status); }
    return error;
}

int set_mode(int fd, uint32_t mode) {
    return checked([=] { return ::fchmod(fd, mode_t(mode)); });
}

int set_owner(int fd, uint32_t uid, uint32_t gid) {
    return checked([=] { return ::fchown(fd, uid_t(uid), gid_t(gid)); });
}

// ---- copies -----------------------------------------------------------------------------------------------------------------

constexpr size_t largest_copy = size_t(1) << 30; // some systems take no more at once

int read_at(int fd, uint64_t offset, void *ret_bytes, size_t size) {
    char *to = static_cast<char *>(ret_bytes);
    while (size > 0) {
        size_t piece = size < largest_copy ? size : largest_copy;
        int count = checked([=] { return ::pread(fd, to, piece, off_t(offset)); });
        if (count <= 0) { return count < 0 ? count : -ENODATA; }
        to += count;
        offset += uint64_t(count);
        size -= size_t(count);
    }
    return 0;
}

int write_at(int fd, uint64_t offset, const void *bytes, size_t size) {
    const char *from = static_cast<const char *>(bytes);
    while (size > 0) {
        int count = checked([=] { return ::pwrite(fd, from, size < largest_copy ? size : largest_copy, off_t(offset)); });
        if (count < 0) { return count; }
        from += count;
        offset += uint64_t(count);
        size -= size_t(count);
    }
    return 0;
}

// ---- mappings ---------------------------------------------------------------------------------------------------------------

int map(int fd, size_t length, Access access, void **ret_address) {
    ErrnoKeeper keeper;
    bool is_writable = access == Access::read_write;
    void *address =
        ::mmap(impl::place_to_map(length), length, is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) { return -errno; }
    int error = is_writable ? impl::keep_from_children(address, length) : 0;
    if (error < 0) {
        ::munmap(address, length);
        return error;
    }
    *ret_address = address;
    return 0;
}

void unmap(void *address, size_t length) {
    ErrnoKeeper keeper;
    ::munmap(address, length);
}

int sync(void *address, size_t length) {
    return checked([=] { return ::msync(address, length, MS_SYNC); });
}

int touch(int file, uint64_t offset) {
    constexpr char nothing = 0;
    int count = checked([=] { return ::pwrite(file, &nothing, 1, off_t(offset)); });
    return count < 0 ? count : 0;
}

uint64_t clock_fine() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}

// ---- the rest ---------------------------------------------------------------------------------------------------------------

int random(void *ret_bytes, size_t size) {
    constexpr size_t most = 256; // that getentropy() gives at once
    char *to = static_cast<char *>(ret_bytes);
    while (size > 0) {
        size_t piece = size < most ? size : most;
        if (int error = checked([=] { return ::getentropy(to, piece); }); error < 0) { return error; }
        to += piece;
        size -= piece;
    }
    return 0;
}

uint32_t user() { return uint32_t(::geteuid()); }

const char *error_text(int code) {
    ErrnoKeeper keeper;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    return ::strerrordesc_np(code);
#else
    return ::strerror(code);
#endif
}

int at_fork(void (*prepare)(), void (*parent)(), void (*child)()) {
    ErrnoKeeper keeper;
    return -::pthread_atfork(prepare, parent, child);
}

} // namespace

Operations operations = {
    allocate,
    resize,
    release,

    open_directory,
    open,
    create,
    impl::create_unnamed,
    impl::link,
    impl::rename,
    unlink,
    impl::list,
    close,

    status,
    status_at,
    impl::file_system,
    set_mode,
    set_owner,
    impl::allocate_space,

    read_at,
    write_at,

    map,
    unmap,
    impl::populate,
    impl::make_huge,
    sync,

    impl::lock,
    impl::lock_whole,
    impl::locked_by_other,

    impl::sleep_on,
    impl::wake,
    impl::barrier_join,
    impl::barrier,

    impl::watch_open,
    impl::watch_close,
    impl::watch_alarm,
    impl::watch_drain,
    touch,

    clock_fine,
    ::clock_gettime,
    impl::clock_boot,
    impl::clock_tick,
    impl::clock_boot_offset,

    impl::boot_id,
    random,
    user,
    error_text,
    at_fork,
};

} // namespace speculo::os
