// SPDX-License-Identifier: LGPL-2.1-or-later
// How an area is removed, whatever is left of it, and nothing but an area.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

// -EBADMSG unless what has the name is an area's control page, perhaps a damaged one: it begins like one of any format and byte order,
// or it is a file with the lock beside it, which is there before the page and goes after it.
int check_is_area(const Place &place) {
    os::FileStatus status;
    uint64_t magic = 0;
    int error = os::operations.status_at(place.directory, place.name, &status);
    if (error < 0) { return error; }
    if (!status.regular) { return -EBADMSG; }
    if (os::operations.status_at(place.directory, lock_name(place).text, &status) == 0) { return 0; }
    int fd = os::operations.open(place.directory, place.name, os::Access::read);
    if (fd < 0) { return fd; }
    error = os::operations.read_at(fd, 0, &magic, sizeof magic);
    os::operations.close(fd);
    if (error < 0) { return error == -ENODATA ? -EBADMSG : error; }
    return magic == control_magic || magic == __builtin_bswap64(control_magic) ? 0 : -EBADMSG;
}

// Tells the readers, whatever else the page holds; or takes it back.
void mark_as_removed(const Place &place, bool is_removed) {
    int fd = os::operations.open(place.directory, place.name, os::Access::read_write);
    if (fd < 0) { return; }
    os::FileStatus status;
    void *address = nullptr;
    bool is_whole = os::operations.status(fd, &status) == 0 && status.regular && status.size >= page_size;
    if (is_whole && os::operations.map(fd, page_size, os::Access::read_write, &address) == 0) {
        auto &page = *static_cast<ControlPage *>(address);
        if (peek(page.magic) == control_magic && peek(page.version) == format_version) {
            uint32_t others = observe_mark(page.marks) & ~uint32_t(mark_removed);
            publish_mark(page.marks, is_removed ? others | mark_removed : others);
            if (is_removed) { ring_removed(place, page, status.uid); }
        }
        os::operations.unmap(address, page_size);
    }
    os::operations.close(fd);
}

struct Removal {
    const Place *place;
    bool found;
    int error;
};

void unlink_object(void *user, const char *name) {
    auto &removal = *static_cast<Removal *>(user);
    if (!is_object_of(*removal.place, name) || is_same_name(lock_name(*removal.place), name)) { return; }
    int error = os::operations.unlink(removal.place->directory, name);
    if (error == 0 || error == -ENOENT) {
        removal.found = true; // look again
    } else {
        removal.error = error;
    }
}

int unlink_objects(const Place &place) {
    Removal removal{&place, true, 0};
    for (int i = 0; i < 4 && removal.found; ++i) {
        removal.found = false;
        removal.error = 0; // what was refused is met again
        if (int error = os::operations.list(place.directory, unlink_object, &removal); error < 0) { return error; }
    }
    return removal.error;
}

// -ENOENT if the name leads to nothing, not even to what a dead creator left.
int find_leftovers(const Place &place) {
    struct Search {
        const Place *place;
        bool found;
    } search{&place, false};
    auto look = [](void *user, const char *name) {
        auto &looked = *static_cast<Search *>(user);
        if (is_object_of(*looked.place, name)) { looked.found = true; }
    };
    int error = os::operations.list(place.directory, look, &search);
    return error == 0 && !search.found ? -ENOENT : error;
}

} // namespace

int unlink_area(const Place &place) {
    mark_as_removed(place, true);
    int error = os::operations.unlink(place.directory, place.name);
    if (error < 0 && error != -ENOENT) {
        mark_as_removed(place, false);
        return error;
    }
    error = unlink_objects(place);
    if (error == 0) { error = unlink_lock(place); }
    return error == -ENOENT ? 0 : error;
}

int area_remove(const char *name) {
    Place place;
    if (int error = place_open(name, place); error < 0) { return error; }
    uint32_t owner = os::operations.user();
    int error = find_owner(place, owner);
    bool was_area = error != -ENOENT;
    if (error == 0) { error = check_is_area(place); }
    if (!was_area) { error = find_leftovers(place); }
    LockDescriptor role_lock;
    if (error == 0) { error = take_role(place, owner, role_lock); }
    if (error >= 0) {
        error = unlink_area(place);
        // Others' leftovers stay, but the lock that was needed to try does not.
        if (error < 0 && !was_area) { unlink_lock(place); }
    }
    lock_descriptor_close(role_lock);
    place_close(place);
    return error;
}

} // namespace speculo::core
