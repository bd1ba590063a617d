// SPDX-License-Identifier: LGPL-2.1-or-later
// The writer's role: the kernel's lock on NAME@lock, which no other uid can open.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

constexpr int lock_tries = 64; // the file may be removed and made again while it is being locked

// Makes the lock's file, and locks it before it has its name: what fails leaves none, which only its holder may take away.
int make_lock(const Place &place, uint32_t owner, LockDescriptor &role_lock) {
    Unnamed object;
    if (int error = object_begin(place, object); error < 0) { return error; }
    lock_descriptor_adopt(role_lock, object.fd);
    int error = os::operations.user() != owner ? os::operations.set_owner(object.fd, owner, UINT32_MAX) : 0;
    if (error == 0) { error = os::operations.lock_whole(object.fd); }
    if (error == 0) { error = object_publish(place, object, lock_name(place).text); }
    object.fd = -1; // it is the role's
    object_abandon(place, object);
    return error == -EEXIST || error == -ENOENT ? -EAGAIN : error; // somebody was first, or tidied up
}

// Whether the locked file is still the one that the name leads to.
int check_lock(const Place &place, int fd, uint32_t owner) {
    os::FileStatus locked, named;
    if (int error = os::operations.status(fd, &locked); error < 0) { return error; }
    if (!locked.regular || (locked.uid != owner && locked.uid != 0)) { return -EPERM; }
    int error = os::operations.status_at(place.directory, lock_name(place).text, &named);
    if (error < 0) { return error == -ENOENT ? -EAGAIN : error; }
    return locked.links == 1 && locked.inode == named.inode && locked.device == named.device ? 0 : -EAGAIN;
}

} // namespace

int unlink_lock(const Place &place) { return os::operations.unlink(place.directory, lock_name(place).text); }

int take_role(const Place &place, uint32_t owner, LockDescriptor &role_lock) {
    int error = -EAGAIN;
    bool is_made = false;
    for (int i = 0; i < lock_tries && error == -EAGAIN; ++i) {
        error = lock_descriptor_open(role_lock, place.directory, lock_name(place).text, os::Access::read_write);
        is_made = error == -ENOENT;
        if (is_made) {
            error = make_lock(place, owner, role_lock);
        } else if (error == 0) {
            error = os::operations.lock_whole(role_lock.fd);
            if (error == -EAGAIN) { error = -EBUSY; }
        }
        bool is_locked = error == 0;
        if (is_locked) { error = check_lock(place, role_lock.fd, owner); }
        bool is_named = is_made && is_locked && error != -EAGAIN;
        if (error < 0 && is_named) { unlink_lock(place); }
        if (error < 0) { lock_descriptor_close(role_lock); }
    }
    return error < 0 ? error : is_made;
}

int find_owner(const Place &place, uint32_t &ret_owner) {
    os::FileStatus status;
    int error = os::operations.status_at(place.directory, place.name, &status);
    if (error < 0) { return error; }
    uint32_t self = os::operations.user();
    if (self != 0 && status.uid != self) { return -EPERM; }
    ret_owner = status.uid;
    return 0;
}

} // namespace speculo::core
