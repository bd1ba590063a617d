// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pins.hpp"

#include <cerrno>
#include <utility>

namespace speculo::core {

namespace {

constexpr uint64_t view_byte = 0, cursor_byte = 1;

// Without range locks no segment is ever used again, so there is nothing to lock out.
int lock_bytes(const Attachment &attachment, uint64_t first, uint64_t count) {
    if (!os::has_range_locks) { return 0; }
    int error = os::operations.lock(attachment.lock.fd, os::Lock::shared, first, count);
    return error == -EAGAIN ? -ESTALE : error; // the writer is taking it at this moment
}

// A forked child has no locks any more, and must not touch its parent's.
void unlock_bytes(const Attachment &attachment, uint64_t first, uint64_t count) {
    if (attachment.lock.fd >= 0) { os::operations.lock(attachment.lock.fd, os::Lock::none, first, count); }
}

void destroy(Attachment *attachment) {
    if (attachment->map.base) { os::operations.unmap(attachment->map.base, size_t(attachment->map.geometry.size)); }
    lock_descriptor_close(attachment->lock);
    os::operations.release(attachment);
}

// The handle forgets the mapping; it stays while it is pinned.
void uncache(Attachment *attachment) {
    bool is_unused;
    {
        ForkGuard guard;
        attachment->is_cached = false;
        is_unused = !attachment->pins.any();
    }
    if (is_unused) { destroy(attachment); }
}

// A name that is gone, or an object that lost it, was used again meanwhile.
int gone_is_stale(int error) { return error == -ENOENT ? -ESTALE : error; }

int status_of(const Area &area, int fd, os::FileStatus &status) {
    int error = os::operations.status(fd, &status);
    if (error == 0) { error = control_check_object(area, status); }
    return gone_is_stale(error);
}

// The header is complete before the object has its name, but for words that are not looked at here.
int validate(const Area &area, Attachment &attachment, const SegmentHeader &header, uint64_t size, uint64_t entry) {
    SegmentMap &map = attachment.map;
    if (int error = segment_validate(area, header, size, attachment.slot, entry, map.geometry); error < 0) { return error; }
    map.readable = segment_readable(map.geometry, size);
    return 0;
}

int map_through(const Area &area, Attachment &attachment, int fd, uint64_t entry) {
    os::FileStatus status, lock_status;
    int error = status_of(area, fd, status);
    if (error == 0) { error = status_of(area, attachment.lock.fd, lock_status); }
    if (error != 0) { return error; }
    if (status.inode != lock_status.inode) { return -ESTALE; }
    if (status.size < page_size) { return -EBADMSG; }
    SegmentHeader header; // copied, as it says how much there is to map
    error = os::operations.read_at(fd, 0, &header, sizeof header);
    if (error < 0) { return error == -ENODATA ? -EAGAIN : error; } // it was cut short at this moment
    if (error = validate(area, attachment, header, status.size, entry); error < 0) { return error; }
    SegmentMap &map = attachment.map;
    if (map.geometry.size > SIZE_MAX) { return -ENOMEM; }
    void *address = nullptr;
    error = os::operations.map(fd, size_t(map.geometry.size), os::Access::read, &address);
    if (error == 0) { map.put_at(address); }
    return error;
}

int read_through(const Area &area, Attachment &attachment, uint64_t entry) {
    os::FileStatus status;
    int error = status_of(area, attachment.lock.fd, status);
    if (error != 0) { return error; }
    if (status.size < page_size) { return -EBADMSG; }
    SegmentHeader header;
    area.copier->copy(attachment.lock.fd, 0, &header, sizeof header);
    if (area.copier->error() != 0) { return area.copier->error(); }
    if (error = validate(area, attachment, header, status.size, entry); error < 0) { return error; }
    attachment.copier = area.copier;
    area.copier->forget(); // the descriptor's number may have been another object's
    return 0;
}

// Maps through another descriptor than the one for the locks: a mapping keeps its descriptor's locks alive.
int map_object(const Area &area, Attachment &attachment, const char *name, uint64_t entry) {
    int directory = area.place.directory;
    int error = lock_descriptor_open(attachment.lock, directory, name, os::Access::read);
    if (error < 0) { return gone_is_stale(error); }
    if (area.copier) { return read_through(area, attachment, entry); }
    int fd = os::operations.open(directory, name, os::Access::read);
    if (fd < 0) { return gone_is_stale(fd); }
    error = map_through(area, attachment, fd, entry);
    os::operations.close(fd);
    return error;
}

int attach(const Area &area, uint32_t slot, uint64_t entry, Attachment **ret_attachment) {
    auto *attachment = static_cast<Attachment *>(os::operations.allocate(sizeof(Attachment)));
    if (!attachment) { return -ENOMEM; }
    attachment->lock.fd = -1;
    attachment->slot = slot;
    attachment->incarnation = slot_incarnation(entry);
    int error = map_object(area, *attachment, segment_name(area.place, slot, slot_nonce(entry)).text, entry);
    if (error < 0) {
        destroy(attachment);
        return error;
    }
    attachment->is_cached = true;
    *ret_attachment = attachment;
    return 0;
}

uint64_t attachment_generation(const Attachment &attachment) {
    return attachment.copier ? attachment.file().generation() : attachment.map.generation();
}

// Under the guard: takes the locks, then looks whether the generation is still the wanted one.
int enter(Attachment &attachment, uint64_t generation, Entry entry) {
    uint64_t first = view_byte, count = entry == Entry::cursor ? 2 : 1;
    bool was_inside = attachment.pins.any();
    int error = lock_bytes(attachment, first, count);
    if (error == 0 && attachment_generation(attachment) != generation) {
        // Byte 1 cannot be this handle's cursor's: where that still is inside, the generation does not change.
        if (was_inside) { ++first, --count; }
        if (count > 0) { unlock_bytes(attachment, first, count); }
        bool was_read = !attachment.copier || attachment.copier->error() == 0;
        error = was_read ? -ESTALE : attachment.copier->error();
    }
    return error;
}

// One user less, and what that one has locked.
void let_go(Attachment *attachment, Entry entry) {
    bool is_unused;
    {
        ForkGuard guard;
        bool is_last = attachment->pins.take();
        uint64_t first = is_last ? view_byte : cursor_byte, end = (entry == Entry::cursor ? cursor_byte : view_byte) + 1;
        if (first < end) { unlock_bytes(*attachment, first, end - first); }
        is_unused = is_last && !attachment->is_cached;
    }
    if (is_unused) { destroy(attachment); }
}

// A mapping, or a descriptor, keeps the memory of an object that has lost its name: for nothing, unless it is pinned. `wanted` is seen to
// by the caller.
void forget_dropped(const Area &area, Attachments &attachments, uint32_t wanted) {
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        Attachment *&cached = attachments.slots[slot];
        if (!cached || slot == wanted) { continue; }
        uint64_t entry = control_slot(area, slot);
        if (area.copier && area.copier->error() != 0) { return; }
        bool has_name = slot_nonce(entry) != 0 && slot_incarnation(entry) == cached->incarnation;
        if (!has_name) { uncache(std::exchange(cached, nullptr)); }
    }
}

} // namespace

int attachment_get(const Area &area, Attachments &attachments, uint32_t slot, uint64_t entry, Attachment **ret_attachment) {
    forget_dropped(area, attachments, slot);
    Attachment *&cached = attachments.slots[slot];
    if (slot_nonce(entry) == 0) { return -ESTALE; }
    if (!cached || cached->incarnation != slot_incarnation(entry)) {
        Attachment *made = nullptr;
        if (int error = attach(area, slot, entry, &made); error < 0) { return error; }
        Attachment *old = cached;
        cached = made;
        if (old) { uncache(old); }
    }
    *ret_attachment = cached;
    return 0;
}

int attachment_pin(Attachment &attachment, uint64_t generation, Entry entry) {
    ForkGuard guard;
    if (int error = enter(attachment, generation, entry); error < 0) { return error; }
    attachment.generation = generation;
    attachment.pins.add();
    return 0;
}

void attachment_pin_again(Attachment &attachment) { attachment.pins.add(); }

void attachment_leave(Attachment &attachment) { unlock_bytes(attachment, cursor_byte, 1); }

void attachment_unpin(Attachment *attachment) {
    if (!attachment->pins.take_if_more()) { let_go(attachment, Entry::view); }
}

void attachment_leave_unpinned(Attachment *attachment) { let_go(attachment, Entry::cursor); }

int attachment_refresh(Attachment &attachment) {
    int grown = attachment_measure(attachment, attachment.map);
    return grown < 0 ? grown : 0;
}

int attachment_measure(const Attachment &attachment, SegmentMap &map) {
    os::FileStatus status;
    if (int error = os::operations.status(attachment.lock.fd, &status); error < 0) { return error; }
    uint32_t readable = segment_readable(map.geometry, status.size);
    if (readable <= map.readable) { return 0; }
    map.readable = readable;
    return 1;
}

void attachments_close(Attachments &attachments) {
    for (Attachment *&attachment : attachments.slots) {
        if (Attachment *old = std::exchange(attachment, nullptr)) { uncache(old); }
    }
}

} // namespace speculo::core
