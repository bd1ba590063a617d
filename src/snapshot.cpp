// SPDX-License-Identifier: LGPL-2.1-or-later
// Snapshots: a segment, an end and a time are all it takes.
#include <cerrno>

#include "fork.hpp"
#include "reader.hpp"

struct speculo_snapshot {
    speculo::core::Attachment *segment;
    speculo::core::SegmentMap map; // a copy: the handle's thread goes on looking how far the segment has grown
    uint32_t end;
    uint32_t place;
    uint64_t now; // expiry is judged at this time
    uint32_t forks;
    uint64_t seed;   // of key hashes
    uint64_t handle; // number of the handle it came from
    uint64_t number; // among that handle's views
    speculo_snapshot *next;
    speculo_snapshot **link; // null: the handle was closed
};

namespace speculo::core {

namespace {

Numbers snapshot_numbers;

bool is_visible(const speculo_snapshot &snapshot, const Frame &frame) {
    uint32_t successor = load_successor(snapshot.map.frame(frame.place).successor);
    bool is_superseded = successor != 0 && successor < snapshot.end;
    bool is_over = frame.expires != 0 && has_passed(frame.expires, snapshot.now);
    return frame.is_chunk() && !is_superseded && !is_over;
}

void fill(const speculo_snapshot &snapshot, const Frame &frame, speculo_chunk *ret_chunk) {
    fill_view(*ret_chunk, frame, *snapshot.segment, ViewKind::snapshot, snapshot.handle, snapshot.number);
}

void enlist(Reader &reader, speculo_snapshot &snapshot) {
    ForkGuard guard;
    snapshot.next = reader.snapshots;
    snapshot.link = &reader.snapshots;
    if (reader.snapshots) { reader.snapshots->link = &snapshot.next; }
    reader.snapshots = &snapshot;
}

void delist(speculo_snapshot &snapshot) {
    ForkGuard guard;
    if (!snapshot.link) { return; }
    *snapshot.link = snapshot.next;
    if (snapshot.next) { snapshot.next->link = snapshot.link; }
}

} // namespace

int snapshot_open(Reader &reader, speculo_snapshot **ret_snapshot) {
    if (is_stale_and_read(reader)) { return -ESTALE; }
    auto *snapshot = static_cast<speculo_snapshot *>(os::operations.allocate(sizeof(speculo_snapshot)));
    if (!snapshot) { return -ENOMEM; }
    int error = borrow_current(reader, &snapshot->segment);
    if (error == 0) {
        error = segment_end(*snapshot->segment, first_place, snapshot->end);
        if (error < 0) { attachment_unpin(snapshot->segment); }
    }
    if (error < 0) {
        os::operations.release(snapshot);
        return error;
    }
    snapshot->map = snapshot->segment->map;
    snapshot->place = first_place;
    snapshot->now = reader_now(reader);
    snapshot->forks = reader.forks;
    snapshot->seed = peek(reader.area.control->area_id[0]);
    snapshot->handle = reader.number;
    snapshot->number = snapshot_numbers.next();
    enlist(reader, *snapshot);
    *ret_snapshot = snapshot;
    return 0;
}

int snapshot_next(speculo_snapshot &snapshot, speculo_chunk *ret_chunk) {
    FrameWalk walk(snapshot.map, snapshot.place, snapshot.end);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1) {
        snapshot.place = frame.end();
        if (!is_visible(snapshot, frame)) { continue; }
        fill(snapshot, frame, ret_chunk);
        break;
    }
    return found;
}

int snapshot_key(speculo_snapshot &snapshot, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    Key wanted{static_cast<const std::byte *>(key), uint32_t(key_size), key_hash(snapshot.seed, key, key_size)};
    Frame frame;
    int found = find_key_in(*snapshot.segment, snapshot.map, snapshot.end, wanted, frame);
    if (found <= 0) { return found; }
    if (!is_visible(snapshot, frame)) { return 0; }
    fill(snapshot, frame, ret_chunk);
    return 1;
}

void snapshot_close(speculo_snapshot *snapshot) {
    delist(*snapshot);
    attachment_unpin(snapshot->segment);
    os::operations.release(snapshot);
}

void snapshots_orphan(Reader &reader) {
    ForkGuard guard;
    for (speculo_snapshot *snapshot = reader.snapshots; snapshot; snapshot = snapshot->next) { snapshot->link = nullptr; }
    reader.snapshots = nullptr;
}

Attachment *snapshot_segment(const Reader &reader, uint64_t number) {
    ForkGuard guard;
    for (speculo_snapshot *snapshot = reader.snapshots; snapshot; snapshot = snapshot->next) {
        if (snapshot->number == number) { return snapshot->segment; }
    }
    return nullptr;
}

uint32_t snapshot_forks(const speculo_snapshot &snapshot) { return snapshot.forks; }

} // namespace speculo::core
