// SPDX-License-Identifier: LGPL-2.1-or-later
// Snapshots: a segment, an end and a time are all it takes.
#include <cerrno>
#include <utility>

#include "fork.hpp"
#include "index.hpp"
#include "reader.hpp"

struct speculo_snapshot {
    speculo::core::Attachment *segment;
    speculo::core::SegmentMap map; // a copy: the handle's thread goes on looking how far the segment has grown
    speculo::core::Copier *copier; // its own, if the area is untrusted
    speculo::core::ChunkCopy *copies;
    uint32_t end;
    uint32_t place;
    uint32_t page_end; // of the page that was looked at last; whether the next one is passed is yet to be seen
    uint64_t now;      // expiry is judged at this time
    speculo::core::OwnMark own;
    uint64_t seed;   // of key hashes
    uint64_t handle; // number of the handle it came from
    uint64_t number; // among that handle's views
    speculo_snapshot *next;
    speculo_snapshot **link; // null: the handle was closed
};

namespace speculo::core {

namespace {

Numbers snapshot_numbers;

const SegmentMap &source_of(const speculo_snapshot &snapshot, Mapped) { return snapshot.map; }
SegmentFile source_of(const speculo_snapshot &snapshot, Copied) {
    return SegmentFile(snapshot.map, snapshot.segment->lock.fd, *snapshot.copier);
}

template <class Source> inline bool is_visible(const speculo_snapshot &snapshot, const Source &source, const Frame &frame) {
    uint32_t successor = source.successor_at(frame.place);
    bool is_superseded = successor != 0 && successor < snapshot.end;
    bool is_over = frame.expires != 0 && has_passed(frame.expires, snapshot.now);
    return frame.is_chunk() && !is_superseded && !is_over;
}

[[gnu::always_inline]] inline void fill(const speculo_snapshot &snapshot, const Frame &frame, speculo_chunk *ret_chunk) {
    fill_view(*ret_chunk, frame, *snapshot.segment, ViewKind::snapshot, snapshot.handle, snapshot.number);
}

int give(speculo_snapshot &snapshot, Frame &frame, speculo_chunk *ret_chunk, Mapped) {
    fill(snapshot, frame, ret_chunk);
    return 1;
}
// Each view has a copy of its own, as they all stay valid until the snapshot is closed.
int give(speculo_snapshot &snapshot, Frame &frame, speculo_chunk *ret_chunk, Copied form) {
    ChunkCopy *copy = nullptr;
    if (int error = chunk_copy(source_of(snapshot, form), frame, copy); error < 0) { return error; }
    copy->next = snapshot.copies;
    snapshot.copies = copy;
    fill(snapshot, frame, ret_chunk);
    ret_chunk->opaque[3] = pack_copy(copy);
    return 1;
}

// Where nothing is mapped no page is passed: its word would have to be copied, with more care than it takes to pass its frames.
uint32_t pass_dead(const SegmentMap &map, uint32_t place, uint32_t end) {
    for (uint32_t next; (next = index_pass_dead(map, place, end)) != place;) { place = next; }
    return place;
}
uint32_t pass_dead(const SegmentFile &, uint32_t place, uint32_t) { return place; }

// What is too large to be copied is passed; what could not be copied is tried again.
template <class Form> int next(speculo_snapshot &snapshot, speculo_chunk *ret_chunk) {
    const auto &source = source_of(snapshot, Form{});
    Frame frame;
    for (;;) {
        if (snapshot.place >= snapshot.page_end) {
            snapshot.place = pass_dead(source, snapshot.place, snapshot.end);
            snapshot.page_end = page_limit(snapshot.place / places_per_page);
        }
        int found = frame_below(source, snapshot.place, snapshot.end, frame);
        if (found != 1) { return found; }
        int given = is_visible(snapshot, source, frame) ? give(snapshot, frame, ret_chunk, Form{}) : 0;
        if (given >= 0 || given == -EMSGSIZE) { snapshot.place = frame.end(); }
        if (given != 0) { return given; }
    }
}

template <class Form> [[gnu::noinline]] int look_up(speculo_snapshot &snapshot, const Key &key, speculo_chunk *ret_chunk) {
    const auto &source = source_of(snapshot, Form{});
    Frame frame;
    int found = find_key_in(*snapshot.segment, snapshot.map, source, snapshot.end, key, frame);
    if (found <= 0) { return found; }
    return is_visible(snapshot, source, frame) ? give(snapshot, frame, ret_chunk, Form{}) : 0;
}

[[gnu::cold, gnu::noinline]] int look_up_in_copies(speculo_snapshot &snapshot, const Key &key, speculo_chunk *ret_chunk) {
    snapshot.copier->begin(true);
    return snapshot.copier->finish(look_up<Copied>(snapshot, key, ret_chunk));
}

// Whether the area was removed and all is read.
bool is_stale(Reader &reader, uint64_t now) {
    return control_is_stale_at(reader.area, reader.clock.known ? now : 0, reader.named) && is_stale_and_read(reader);
}

// The time, the segment and the end.
int fix(Reader &reader, speculo_snapshot &snapshot) {
    if (reader.area.copier) {
        snapshot.copier = Copier::make(reader.area.copier->largest());
        if (!snapshot.copier) { return -ENOMEM; }
    }
    return in_form(reader.area.copier, [&](auto form) {
        int error = reader_now(reader, snapshot.now);
        if (error < 0) { return error; }
        if (is_stale(reader, snapshot.now)) { return -ESTALE; }
        error = borrow_current(reader, &snapshot.segment);
        if (error < 0) { return error; }
        error = segment_end<decltype(form)>(*snapshot.segment, first_place, snapshot.end);
        if (error < 0) { attachment_unpin(snapshot.segment); }
        return error;
    });
}

void destroy(speculo_snapshot *snapshot) {
    while (ChunkCopy *copy = snapshot->copies) {
        snapshot->copies = copy->next;
        chunk_copy_release(copy);
    }
    os::operations.release(std::exchange(snapshot->copier, nullptr));
    os::operations.release(snapshot);
}

void enlist(Reader &reader, speculo_snapshot &snapshot) {
    ForkGuard guard;
    own_mark_set(snapshot.own, 1, guard);
    snapshot.next = reader.snapshots;
    snapshot.link = &reader.snapshots;
    if (reader.snapshots) { reader.snapshots->link = &snapshot.next; }
    reader.snapshots = &snapshot;
}

void delist(speculo_snapshot &snapshot) {
    ForkGuard guard;
    own_mark_end(snapshot.own, guard);
    if (!snapshot.link) { return; }
    *snapshot.link = snapshot.next;
    if (snapshot.next) { snapshot.next->link = snapshot.link; }
    snapshot.link = nullptr;
}

} // namespace

int snapshot_open(Reader &reader, speculo_snapshot **ret_snapshot) {
    auto *snapshot = static_cast<speculo_snapshot *>(os::operations.allocate(sizeof(speculo_snapshot)));
    if (!snapshot) { return -ENOMEM; }
    if (int error = fix(reader, *snapshot); error < 0) {
        destroy(snapshot);
        return error;
    }
    snapshot->map = snapshot->segment->map;
    snapshot->place = first_place;
    snapshot->seed = peek(reader.area.control->area_id[0]);
    snapshot->handle = reader.number;
    snapshot->number = snapshot_numbers.next();
    enlist(reader, *snapshot);
    *ret_snapshot = snapshot;
    return 0;
}

int snapshot_next(speculo_snapshot &snapshot, speculo_chunk *ret_chunk) {
    return in_form(
        snapshot.copier, [&](auto form) { return next<decltype(form)>(snapshot, ret_chunk); }, true);
}

int snapshot_key(speculo_snapshot &snapshot, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    Key wanted{static_cast<const std::byte *>(key), uint32_t(key_size), key_hash(snapshot.seed, key, key_size)};
    if (__builtin_expect(snapshot.copier != nullptr, 0)) { return look_up_in_copies(snapshot, wanted, ret_chunk); }
    Frame frame;
    if (!key_find_at_once(snapshot.map, snapshot.end, wanted, frame)) { return look_up<Mapped>(snapshot, wanted, ret_chunk); }
    if (!is_visible(snapshot, snapshot.map, frame)) { return 0; }
    fill(snapshot, frame, ret_chunk);
    return 1;
}

void snapshot_close(speculo_snapshot *snapshot) {
    delist(*snapshot);
    if (Attachment *segment = std::exchange(snapshot->segment, nullptr)) { attachment_unpin(segment); }
    destroy(snapshot);
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

bool snapshot_is_own(const speculo_snapshot &snapshot) { return snapshot.own.value != 0; }

} // namespace speculo::core
