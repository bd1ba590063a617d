// SPDX-License-Identifier: LGPL-2.1-or-later
#include "control.hpp"

#include <cerrno>
#include <utility>

#include "speculo/speculo.h"

namespace speculo::core {

namespace {

constexpr uint32_t foreign_write_bits = 0022;

// What others may have planted at a name is refused before it is looked into.
int check_object(const os::FileStatus &status, const Trust &trust) {
    bool is_own = status.uid == 0 || status.uid == trust.self;
    if (!is_own && !trust.anyone && !(trust.has_other && status.uid == trust.other)) { return -EPERM; }
    if (!status.regular) { return -EBADMSG; }
    if (status.links == 0) { return -ENOENT; }
    if (status.links > 1 || (status.mode & foreign_write_bits) != 0) { return -EPERM; }
    return 0;
}

int check_page(const ControlPage &page, os::Access access) {
    uint64_t magic = peek(page.magic);
    if (magic == __builtin_bswap64(control_magic)) { return -EPROTONOSUPPORT; }
    if (magic != control_magic) { return -EBADMSG; }
    if (peek(page.version) != format_version || peek(page.incompatible) != 0) { return -EPROTONOSUPPORT; }
    if (access == os::Access::read_write && peek(page.read_compatible) != 0) { return -EPROTONOSUPPORT; }
    if (peek(page.byte_order) != byte_order_tag || peek(page.size) != page_size) { return -EBADMSG; }
    return 0;
}

int map_page(int fd, os::Access access, ControlPage *&ret_page) {
    void *address = nullptr;
    int error = os::operations.map(fd, page_size, access, &address);
    if (error == 0) { ret_page = static_cast<ControlPage *>(address); }
    return error;
}

void release_page(const Area &area, ControlPage *page) {
    if (area.copier) {
        os::operations.release(page);
    } else if (page) {
        os::operations.unmap(page, page_size);
    }
}

// Objects get their name when they are complete: what never changes is there from the beginning.
int copy_page(Copier &copier, int fd, ControlPage *&ret_page) {
    ret_page = static_cast<ControlPage *>(os::operations.allocate(page_size));
    if (!ret_page) { return -ENOMEM; }
    copier.copy(fd, 0, ret_page, page_size);
    return copier.error();
}

int map_through(Area &area, int fd, os::Access access, const Trust &trust, os::FileStatus &status) {
    int error = os::operations.status(fd, &status);
    if (error == 0) { error = check_object(status, trust); }
    if (error == 0) { error = os::operations.file_system(fd, &area.medium); }
    if (error == 0 && status.size < page_size) { error = -EBADMSG; }
    ControlPage *page = nullptr;
    if (error == 0) { error = area.copier ? copy_page(*area.copier, fd, page) : map_page(fd, access, page); }
    if (error == 0) { error = check_page(*page, access); }
    if (error < 0) {
        release_page(area, page);
        return error;
    }
    area.control = page;
    area.owner = status.uid;
    return 0;
}

int open_descriptor(Area &area, os::Access access) {
    return lock_descriptor_open(area.control_fd, area.place.directory, area.place.name, access);
}

// A reader locks nothing here.
int open_for_reading(Area &area, const Trust &trust) {
    os::FileStatus status;
    int error = open_descriptor(area, os::Access::read);
    return error == 0 ? map_through(area, area.control_fd.fd, os::Access::read, trust, status) : error;
}

int check_same(int fd, const os::FileStatus &other) {
    os::FileStatus status;
    if (int error = os::operations.status(fd, &status); error < 0) { return error; }
    return status.inode == other.inode && status.device == other.device ? 0 : -EAGAIN;
}

// Maps the page through a descriptor of its own: a mapping keeps the locks of its descriptor alive. -EAGAIN: the name was given to
// another area between the two openings.
int open_for_writing(Area &area, const Trust &trust) {
    int fd = os::operations.open(area.place.directory, area.place.name, os::Access::read_write);
    if (fd < 0) { return fd; }
    os::FileStatus status;
    int error = map_through(area, fd, os::Access::read_write, trust, status);
    os::operations.close(fd);
    if (error == 0) { error = open_descriptor(area, os::Access::read_write); }
    return error == 0 ? check_same(area.control_fd.fd, status) : error;
}

void fill_page(ControlPage &page, const Choices &choices, const uint64_t area_id[2], const uint64_t boot_id[2]) {
    put(page.version, format_version);
    put(page.byte_order, byte_order_tag);
    put(page.size, uint32_t(page_size));
    for (int i = 0; i < 2; ++i) {
        put(page.area_id[i], area_id[i]);
        put(page.boot_id[i], boot_id[i]);
    }
    put(page.capacity, choices.capacity);
    put(page.max_capacity, choices.max_capacity);
    put(page.compact_percent, choices.compact_percent);
    put(page.segments, choices.segments);
    put(page.flags, choices.flags);
    put(page.magic, control_magic);
}

uint32_t load_word(const Area &area, const Shared<uint32_t> &word, uint64_t offset) {
    return area.copier ? area.copier->load<uint32_t>(area.control_fd.fd, offset) : peek(word);
}

int make_page(int fd, const Choices &choices) {
    uint64_t area_id[2], boot_id[2];
    int error = os::operations.random(area_id, sizeof area_id);
    if (error == 0) { error = os::operations.boot_id(reinterpret_cast<uint8_t *>(boot_id)); }
    if (error == 0) { error = os::operations.allocate_space(fd, 0, page_size); }
    if (error != 0) { return error; }
    ControlPage *page = nullptr;
    error = map_page(fd, os::Access::read_write, page);
    if (error != 0) { return error; }
    fill_page(*page, choices, area_id, boot_id);
    os::operations.unmap(page, page_size);
    return os::operations.set_mode(fd, choices.mode);
}

// Whether the id in the control page, at that offset, is `boot_id`.
bool is_boot_of(const Area &area, const Shared<uint64_t> stored[2], uint64_t offset, const uint64_t boot_id[2]) {
    for (uint32_t i = 0; i < 2; ++i) {
        uint64_t half = area.copier ? area.copier->load<uint64_t>(area.control_fd.fd, offset + i * sizeof half) : peek(stored[i]);
        if (half != boot_id[i]) { return false; }
    }
    return true;
}

int store_boot(Shared<uint64_t> to[2]) {
    uint64_t boot_id[2];
    int error = os::operations.boot_id(reinterpret_cast<uint8_t *>(boot_id));
    if (error < 0) { return error; }
    for (int i = 0; i < 2; ++i) { put(to[i], boot_id[i]); }
    return 0;
}

} // namespace

int control_open(Area &area, os::Access access, const Trust &trust) {
    constexpr int tries = 8;
    int error = -EAGAIN;
    for (int i = 0; i < tries && error == -EAGAIN; ++i) {
        error = access == os::Access::read ? open_for_reading(area, trust) : open_for_writing(area, trust);
        if (error != 0) { control_close(area); }
    }
    return error == -EISDIR ? -EBADMSG : error; // as a directory that can be opened
}

int control_create(Area &area, const Choices &choices) {
    Unnamed object;
    int error = object_begin(area.place, object);
    if (error < 0) { return error; }
    error = make_page(object.fd, choices);
    if (error == 0) { error = object_publish(area.place, object, area.place.name); }
    object_abandon(area.place, object);
    if (error < 0) { return error; }
    error = control_open(area, os::Access::read_write, Trust{os::operations.user(), false, 0, false});
    if (error < 0) { os::operations.unlink(area.place.directory, area.place.name); } // under the role's lock: it is ours
    return error;
}

const char *control_flaw(const ControlPage &control) {
    uint32_t segments = peek(control.segments);
    uint64_t capacity = peek(control.capacity), most = peek(control.max_capacity);
    if (capacity == 0 || capacity > capacity_limit || capacity % page_size != 0) { return "capacity"; }
    if (most > capacity_limit || most % page_size != 0) { return "max_capacity"; }
    if (peek(control.compact_percent) > 100) { return "compact_percent"; }
    return segments < 2 || segments > max_segments ? "segments" : nullptr;
}

void control_close(Area &area) {
    release_page(area, std::exchange(area.control, nullptr));
    lock_descriptor_close(area.control_fd);
}

uint32_t control_marks(const Area &area) {
    if (!area.copier) { return observe_mark(area.control->marks); }
    return area.copier->load<uint32_t>(area.control_fd.fd, offsetof(ControlPage, marks));
}

uint32_t control_writers(const Area &area) { return load_word(area, area.control->writers, offsetof(ControlPage, writers)); }

bool control_is_stale(const Area &area) {
    os::FileStatus status;
    if (control_marks(area) & mark_removed) { return true; }
    return os::operations.status(area.control_fd.fd, &status) == 0 && status.links == 0;
}

bool control_is_stale_at(const Area &area, uint64_t now, uint64_t &named) {
    bool is_looked_for = now != 0 && now == named;
    if (is_looked_for && !(control_marks(area) & mark_removed)) { return false; }
    if (control_is_stale(area)) { return true; }
    named = now;
    return false;
}

bool is_lossless(const Area &area) {
    return (load_word(area, area.control->flags, offsetof(ControlPage, flags)) & SPECULO_AREA_LOSSLESS) != 0;
}

int control_mode(const Area &area, uint32_t &ret_mode) {
    os::FileStatus status;
    int error = os::operations.status(area.control_fd.fd, &status);
    if (error == 0) { ret_mode = status.mode & 0777; }
    return error;
}

int control_dress(const Area &area, int fd) {
    os::FileStatus model, made;
    int error = os::operations.status(area.control_fd.fd, &model);
    if (error == 0) { error = os::operations.status(fd, &made); }
    if (error != 0) { return error; }
    if (made.uid != area.owner || made.gid != model.gid) { error = os::operations.set_owner(fd, area.owner, model.gid); }
    return error == 0 ? os::operations.set_mode(fd, model.mode & 0777) : error;
}

int control_check_object(const Area &area, const os::FileStatus &status) {
    return check_object(status, Trust{area.owner, false, 0, false}); // root may have written for the owner
}

int control_boot(const Area &area, Boot &ret_boot) {
    ret_boot = Boot::same;
    if (area.medium == os::Medium::memory) { return 0; }
    uint64_t boot_id[2];
    if (int error = os::operations.boot_id(reinterpret_cast<uint8_t *>(boot_id)); error < 0) { return error; }
    if (is_boot_of(area, area.control->boot_id, offsetof(ControlPage, boot_id), boot_id)) { return 0; }
    bool is_clean = control_marks(area) & mark_clean;
    bool is_recovering = is_boot_of(area, area.control->recovery_boot_id, offsetof(ControlPage, recovery_boot_id), boot_id);
    ret_boot = is_clean || is_recovering ? Boot::clean : Boot::unclean;
    return area.copier ? area.copier->error() : 0;
}

int control_begin_recovery(Area &area) {
    if (int error = store_boot(area.control->recovery_boot_id); error < 0) { return error; }
    return os::operations.sync(area.control, page_size);
}

int control_end_recovery(Area &area) { return store_boot(area.control->boot_id); }

int control_mark_clean(Area &area, bool is_clean) {
    uint32_t marks = observe_mark(area.control->marks);
    uint32_t wanted = is_clean ? marks | mark_clean : marks & ~uint32_t(mark_clean);
    if (area.medium == os::Medium::memory || wanted == marks) { return 0; }
    publish_mark(area.control->marks, wanted);
    return os::operations.sync(area.control, page_size);
}

void liveness_show(Area &area) {
    uint32_t marks = observe_mark(area.control->marks);
    int error = os::operations.lock(area.control_fd.fd, os::Lock::exclusive, 0, 1);
    uint32_t shown = error < 0 ? marks | mark_writer_unknown : marks & ~uint32_t(mark_writer_unknown);
    if (shown != marks) { publish_mark(area.control->marks, shown); }
}

void liveness_end(Area &area) {
    uint32_t marks = observe_mark(area.control->marks);
    publish_mark(area.control->marks, marks & ~uint32_t(mark_writer_unknown));
    os::operations.lock(area.control_fd.fd, os::Lock::none, 0, 1);
}

int liveness_query(const Area &area) {
    int alive = os::operations.locked_by_other(area.control_fd.fd, 0, 1);
    return alive == 0 && (control_marks(area) & mark_writer_unknown) ? 1 : alive;
}

int object_begin(const Place &place, Unnamed &ret_object) {
    ret_object.fd = os::operations.create_unnamed(place.directory);
    if (ret_object.fd != -EOPNOTSUPP) { return ret_object.fd < 0 ? ret_object.fd : 0; }
    uint32_t nonce;
    if (int error = os::operations.random(&nonce, sizeof nonce); error < 0) { return error; }
    ret_object.temporary = temporary_name(place, nonce);
    ret_object.fd = os::operations.create(place.directory, ret_object.temporary.text);
    ret_object.has_temporary_name = ret_object.fd >= 0;
    return ret_object.fd < 0 ? ret_object.fd : 0;
}

int object_publish(const Place &place, Unnamed &object, const char *name) {
    if (!object.has_temporary_name) { return os::operations.link(object.fd, place.directory, name); }
    int error = os::operations.rename(place.directory, object.temporary.text, name);
    object.has_temporary_name = error < 0;
    return error;
}

void object_abandon(const Place &place, Unnamed &object) {
    if (object.has_temporary_name) { os::operations.unlink(place.directory, object.temporary.text); }
    if (object.fd >= 0) { os::operations.close(object.fd); }
    object.fd = -1;
}

} // namespace speculo::core
