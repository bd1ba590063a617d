// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bell.hpp"

#include <cerrno>
#include <utility>

namespace speculo::core {

namespace {

constexpr uint64_t public_interval_ns = 1000000;
constexpr uint32_t foreign_bits = 0077;

int map_page(const Area &area, int fd, os::Access access, BellPage *&ret_page) {
    os::FileStatus status;
    int error = os::operations.status(fd, &status);
    if (error == 0) { error = control_check_object(area, status); }
    if (error == 0 && status.size < page_size) { error = -ENOENT; } // to touch it would be SIGBUS
    void *address = nullptr;
    if (area.copier) { access = os::Access::read; } // for the kernel alone, which sleeps and wakes there
    if (error == 0) { error = os::operations.map(fd, page_size, access, &address); }
    if (error == 0) { ret_page = static_cast<BellPage *>(address); }
    return error;
}

int open_for(const Area &area, os::Access access, Bell &bell) {
    int fd = os::operations.open(area.place.directory, bell_name(area.place).text, access);
    if (fd < 0) { return fd; }
    int error = map_page(area, fd, access, bell.page);
    if (error != 0) {
        os::operations.close(fd);
        return error;
    }
    bell.fd = fd;
    bell.is_writable = access == os::Access::read_write;
    return 0;
}

int create(const Area &area) {
    Unnamed object;
    int error = object_begin(area.place, object);
    if (error == 0) { error = os::operations.allocate_space(object.fd, 0, page_size); }
    if (error == 0) { error = control_dress(area, object.fd); }
    if (error == 0) { error = object_publish(area.place, object, bell_name(area.place).text); }
    object_abandon(area.place, object);
    return error;
}

// Not an object of this area's, damaged, or not there.
bool is_unusable(int error) {
    return error == -ENOENT || error == -EPERM || error == -EBADMSG || error == -EACCES || error == -ELOOP;
}

template <class Word> void ring_word(Word &word) {
    bump_word(word);
    os::operations.wake(address_of(word), wake_at_once);
}

void ring_public(const Area &area, const Ringer &ringer) {
    ring_word(area.control->bell);
    os::operations.touch(ringer.bell.fd, bell_touch_offset);
}

} // namespace

int bell_open(const Area &area, Bell &ret_bell) {
    uint32_t user = os::operations.user();
    bool may_write = user == area.owner || user == 0;
    return open_for(area, may_write ? os::Access::read_write : os::Access::read, ret_bell);
}

int bell_make(const Area &area, Bell &ret_bell) {
    int error = open_for(area, os::Access::read_write, ret_bell);
    if (!is_unusable(error)) { return error; }
    error = os::operations.unlink(area.place.directory, bell_name(area.place).text);
    if (error == 0 || error == -ENOENT) { error = create(area); }
    return error == 0 ? open_for(area, os::Access::read_write, ret_bell) : error;
}

void bell_close(Bell &bell) {
    Bell old = std::exchange(bell, Bell{});
    if (old.page) { os::operations.unmap(old.page, page_size); }
    if (old.fd >= 0) { os::operations.close(old.fd); }
}

bool bell_is_stale(const Bell &bell) {
    os::FileStatus status;
    return os::operations.status(bell.fd, &status) == 0 && status.links == 0;
}

bool is_public(const Area &area) {
    uint32_t mode;
    return control_mode(area, mode) < 0 || (mode & foreign_bits) != 0; // not to be known: to ring in vain does no harm
}

int ringer_open(Area &area, Ringer &ringer) {
    ringer.bell = Bell{};
    if (int error = bell_make(area, ringer.bell); error < 0) { return error; }
    bool sleepers_pay = os::operations.barrier_join() == 0;
    ringer.duties = 0;
    ringer.set(duty_fence, !sleepers_pay);
    ringer.set(duty_public, is_public(area));
    uint32_t marks = observe_mark(area.control->marks) & ~uint32_t(mark_barrier);
    publish_mark(area.control->marks, sleepers_pay ? marks | mark_barrier : marks);
    full_fence(); // a sleeper that has set its flag and did not see the mark is seen by the commits to come
    return 0;
}

void ringer_close(Ringer &ringer) { bell_close(ringer.bell); }

void ring(const Area &area, Ringer &ringer) {
    fence_before_flags(!(ringer.duties & duty_fence));
    BellPage &page = *ringer.bell.page;
    if (is_flag_set(page.sleepers)) {
        clear_flag(page.sleepers);
        ring_word(page.word);
    }
    if (is_flag_set(page.watchers)) {
        clear_flag(page.watchers);
        os::operations.touch(ringer.bell.fd, bell_touch_offset);
    }
    if (!(ringer.duties & duty_public)) { return; }
    uint64_t now = os::operations.clock_fine();
    if (now - ringer.public_ring < public_interval_ns) { return; }
    ringer.public_ring = now;
    ring_public(area, ringer);
}

void ring_all(const Area &area, Ringer &ringer) {
    BellPage &page = *ringer.bell.page;
    clear_flag(page.sleepers);
    clear_flag(page.watchers);
    ring_word(page.word);
    ring_public(area, ringer);
}

void ring_removed(const Place &place, ControlPage &control, uint32_t owner) {
    Area area;
    area.place = place;
    area.control = &control;
    area.owner = owner;
    Ringer ringer{};
    if (bell_open(area, ringer.bell) == 0 && ringer.bell.is_writable) {
        ring_all(area, ringer);
    } else {
        ring_word(control.bell);
    }
    bell_close(ringer.bell);
}

} // namespace speculo::core
