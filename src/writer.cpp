// SPDX-License-Identifier: LGPL-2.1-or-later
// What waits for the commit: chunks, removals, and chunks that are to end; by records.
#include "writer.hpp"

#include <cerrno>
#include <utility>

#include "plain.hpp"

namespace speculo::core {

int reserve_records(Writer &writer, size_t more) {
    constexpr size_t least_room = 64;
    if (writer.pending_room - writer.pending_count >= more) { return 0; }
    size_t room = writer.pending_room ? 2 * writer.pending_room : least_room;
    while (room - writer.pending_count < more) { room *= 2; }
    auto *records = static_cast<Pending *>(os::operations.allocate(room * sizeof(Pending)));
    if (!records) { return -ENOMEM; }
    for (size_t i = 0; i < writer.pending_count; ++i) { records[i] = writer.pending[i]; }
    Pending *old = std::exchange(writer.pending, records);
    writer.pending_room = room;
    if (old) { os::operations.release(old); }
    return 0;
}

namespace {

// A frame that is asked for, before it has a place.
struct Request {
    Pending pending;
    const void *key;
    uint32_t tag;
    uint64_t expires;
    uint32_t payload_offset;
};

// Where the frame would end; chunks never go beyond the capacity.
uint64_t end_at(const Request &request, uint32_t place) {
    return uint64_t(place) + padding_before(place, request.payload_offset, request.pending.alignment) + request.pending.length;
}

bool needs_slot(const Request &request) { return field_flags(request.pending.flags) & frame_key; }

// What the pending records say of a key: the last one that has it, or nullptr.
const Pending *find_pending_key(const Writer &writer, const Key &key) {
    for (size_t i = writer.pending_count; i-- > 0;) {
        const Pending &pending = writer.pending[i];
        if ((field_flags(pending.flags) & frame_key) == 0 || pending.hash != key.hash || pending.key_size != key.size) {
            continue;
        }
        const std::byte *bytes = pending.bytes + frame_shape(pending.flags, 0, false).key;
        if (equal_keys(bytes, key.bytes, key.size)) { return &pending; }
    }
    return nullptr;
}

// Whether a key has its slot in the table already.
bool has_slot(const Writer &writer, const Key &key) { return key_search(writer.current->map, writer.committed, key).found; }

// How many slots the commit needs at most.
uint64_t count_new_keys(const Writer &writer) {
    uint64_t count = 0;
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        count += (field_flags(pending.flags) & frame_key) && !has_slot(writer, key_of(pending));
    }
    return count;
}

// Keys are counted as new while there is room for as many; only then it is found out which of them are.
bool needs_larger_table(Writer &writer, const Request &request) {
    if (!needs_slot(request) || has_free_slot(writer)) { return false; }
    Key key{static_cast<const std::byte *>(request.key), request.pending.key_size, request.pending.hash};
    if (has_slot(writer, key) || find_pending_key(writer, key)) { return false; }
    writer.pending_slots = count_new_keys(writer);
    return !has_free_slot(writer);
}

// Whether enough is dead to compact before the segment is full.
bool is_worth_compacting(const Writer &writer) {
    uint32_t percent = peek(writer.area.control->compact_percent);
    if (percent == 0 || writer.tail < writer.retry_place) { return false; }
    if (writer.tail < writer.current->map.geometry.chunk_end / 4) { return false; }
    return writer.dead * 100 >= uint64_t(writer.tail) * percent;
}

Room room_for(const Request &request) {
    const Pending &pending = request.pending;
    return {pending.length, request.payload_offset, pending.alignment, needs_slot(request) ? 1u : 0u, pending.supersedes};
}

int compact_for(Writer &writer, const Request &request) { return compact(writer, room_for(request)); }

// Sees to it that the frame fits at the tail, with the reserve behind it really there.
int find_room(Writer &writer, const Request &request) {
    if (needs_larger_table(writer, request)) {
        if (int error = compact_for(writer, request); error < 0) { return error; }
    }
    uint64_t end = end_at(request, writer.tail);
    if (end > writer.share_place) {
        compact_ahead(writer, room_for(request), end);
        if (compact_is_due(writer)) { compact_for(writer, request); } // if it cannot be, there is still room here
        end = end_at(request, writer.tail);
    }
    if (end <= writer.current->soft_end()) { return 0; }
    if (end <= writer.current->map.geometry.chunk_end) {
        int error = segment_extend(*writer.current, end);
        if (error != -ENOSPC) { return error; }
    }
    return compact_for(writer, request);
}

int make_room(Writer &writer, const Request &request) {
    if (is_worth_compacting(writer)) {
        writer.retry_place = uint64_t(writer.tail) + writer.current->map.geometry.chunk_end / 16;
        compact_early(writer, room_for(request));
    }
    return find_room(writer, request);
}

// Lays the frame at the tail and notes it for the commit.
Pending &append(Writer &writer, Request &request) {
    const SegmentMap &map = writer.current->map;
    Pending &pending = request.pending;
    pending.pad_before = padding_before(writer.tail, request.payload_offset, pending.alignment);
    pending.place = writer.tail + pending.pad_before;
    pending.bytes = map.bytes(pending.place);
    lay_frame(map, pending, request.key, request.tag, request.expires);
    writer.tail = pending.end();
    if (field_flags(pending.flags) & frame_key) {
        ++writer.pending_keys;
        ++writer.pending_slots;
    }
    close_short_ways(writer);
    writer.pending[writer.pending_count] = pending;
    return writer.pending[writer.pending_count++];
}

uint32_t flags_of(const speculo_chunk_options &options, bool expires) {
    uint32_t flags = 0;
    if (expires) { flags |= frame_expiry; }
    if (options.tag != 0) { flags |= frame_tag; }
    if (options.key) { flags |= frame_key; }
    if (options.alignment > place_size) { flags |= frame_aligned; }
    if (options.flags & SPECULO_CHUNK_TRANSIENT) { flags |= frame_transient; }
    return flags;
}

// Whether a frame of that size could ever fit, whatever is removed.
bool can_ever_fit(const Writer &writer, uint64_t size, uint32_t payload_offset, uint32_t alignment) {
    const ControlPage &control = *writer.area.control;
    uint64_t most = peek(control.max_capacity);
    if (peek(control.capacity) > most) { most = peek(control.capacity); }
    if (writer.current->map.geometry.capacity > most) { most = writer.current->map.geometry.capacity; }
    uint64_t begin = first_place + padding_before(first_place, payload_offset, alignment);
    return size <= most && begin + frame_length(payload_offset, size) <= most / place_size;
}

Pending *find_pending(Writer &writer, uint64_t id) {
    for (size_t i = writer.pending_count; i-- > 0;) {
        Pending &pending = writer.pending[i];
        if (pending.has_frame() && pending.id == id) { return &pending; }
    }
    return nullptr;
}

// -ENOENT unless the id is that of a chunk, stored and ended by no earlier commit.
int check_live(Writer &writer, uint64_t id) {
    if (id >= writer.first_id) {
        Pending *pending = id < writer.next_id ? find_pending(writer, id) : nullptr;
        return pending && pending->kind == PendingKind::chunk ? 0 : -ENOENT;
    }
    const SegmentMap &map = writer.current->map;
    Frame frame;
    int found = index_find(map, writer.committed, id, frame);
    if (found < 0) { return found; }
    if (found == 0 || frame.id != id || !frame.is_chunk()) { return -ENOENT; }
    return load_successor(map.frame(frame.place).successor) == 0 ? 0 : -ENOENT;
}

// -ENOENT unless a chunk has the key.
int check_key(const Writer &writer, const Key &key) {
    if (const Pending *pending = writer.pending_keys ? find_pending_key(writer, key) : nullptr) {
        return pending->kind == PendingKind::chunk ? 0 : -ENOENT;
    }
    const SegmentMap &map = writer.current->map;
    KeySearch search = key_search(map, writer.committed, key);
    if (!search.found) { return -ENOENT; }
    uint32_t place = newest_version(peek(search.slot->versions));
    if (place == 0 || place >= writer.committed) { return -EBADMSG; }
    bool is_removed = frame_flags(peek(map.frame(place).id_flags)) & frame_removed;
    return is_removed || load_successor(map.frame(place).successor) != 0 ? -ENOENT : 0;
}

// Claims room for a frame of the writer's own: within the capacity, or in the reserve up to `reserve_end`, or after a compaction.
// The key of a removal has its slot already.
int make_room_in_reserve(Writer &writer, const Request &request, uint32_t reserve_end) {
    uint64_t end = end_at(request, writer.tail);
    if (end <= writer.current->soft_end()) { return 0; }
    if (end <= writer.current->map.geometry.chunk_end && segment_extend(*writer.current, end) == 0) { return 0; }
    if (end <= reserve_end) { return 0; }
    int error = compact_for(writer, request);
    if (error != -ENOSPC) { return error; }
    return compact(writer, Room{0, 0, 0, 0, 0}); // then it goes into the reserve, which is empty again
}

int append_marker(Writer &writer) {
    Request request{};
    request.pending.kind = PendingKind::marker;
    request.pending.flags = control_marker;
    request.pending.length = 1;
    uint32_t end_frame = writer.current->map.readable - 1; // the last place is kept for END
    if (int error = make_room_in_reserve(writer, request, end_frame); error < 0) { return error; }
    append(writer, request);
    return 0;
}

} // namespace

int writer_alloc(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {
    if (writer.next_id > max_id) { return -EOVERFLOW; }
    if (int error = record_plain(writer); error < 0) { return error; }
    Request request{};
    if (options.ttl_ns != 0) {
        if (int error = clock_prepare(writer.clock); error < 0) { return error; }
        request.expires = clock_deadline(writer.clock, options.ttl_ns);
    }
    if (options.supersedes != 0) {
        if (int error = check_live(writer, options.supersedes); error < 0) { return error; }
    }
    Pending &wanted = request.pending;
    wanted.flags = flags_of(options, request.expires != 0);
    wanted.key_size = uint32_t(options.key_size);
    wanted.alignment = options.alignment;
    wanted.size = size;
    wanted.id = writer.next_id;
    wanted.supersedes = options.supersedes;
    request.key = options.key;
    request.tag = options.tag;
    wanted.has_long_size = needs_long_size(size);
    request.payload_offset = frame_shape(field_flags(wanted.flags), wanted.key_size, wanted.has_long_size).payload;
    if (!can_ever_fit(writer, size, request.payload_offset, wanted.alignment)) { return -EMSGSIZE; }
    wanted.length = frame_length(request.payload_offset, size);
    if (options.key) { wanted.hash = key_hash(hash_seed(writer), options.key, options.key_size); }
    if (int error = reserve_records(writer, 1); error < 0) { return error; }
    if (int error = make_room(writer, request); error < 0) { return error; }

    Pending &pending = append(writer, request);
    *ret_data = pending.bytes + request.payload_offset;
    if (ret_id) { *ret_id = pending.id; }
    ++writer.next_id;
    return 0;
}

int writer_shrink(Writer &writer, uint64_t size) {
    if (is_all_plain(writer)) { return shrink_plain(writer, size); }
    for (size_t i = writer.pending_count; i-- > 0;) {
        Pending &pending = writer.pending[i];
        if (pending.kind != PendingKind::chunk) { continue; }
        if (size > pending.size) { return -EINVAL; }
        FrameShape shape = frame_shape(field_flags(pending.flags), pending.key_size, pending.has_long_size);
        uint64_t length = frame_length(shape.payload, size);
        bool is_last = pending.end() == writer.tail;
        pending.pad_after += uint32_t(pending.length - length);
        pending.length = length;
        pending.size = size;
        if (pending.has_long_size) { put_field(pending.bytes, shape.size, size); }
        if (is_last) {
            pending.pad_after = 0;
            writer.tail = pending.end();
        }
        return 0;
    }
    return -EINVAL;
}

int writer_obsolete(Writer &writer, uint64_t id) {
    if (int error = record_plain(writer); error < 0) { return error; }
    if (int error = check_live(writer, id); error < 0) { return error; }
    if (int error = reserve_records(writer, 2); error < 0) { return error; }
    if (writer.pending_count == 0) {
        if (int error = append_marker(writer); error < 0) { return error; }
    }
    Pending &pending = writer.pending[writer.pending_count++];
    pending = Pending{};
    pending.kind = PendingKind::obsolete;
    pending.supersedes = id;
    return 0;
}

int writer_key_remove(Writer &writer, const void *key, size_t key_size) {
    if (writer.next_id > max_id) { return -EOVERFLOW; }
    if (int error = record_plain(writer); error < 0) { return error; }
    Key wanted{static_cast<const std::byte *>(key), uint32_t(key_size), key_hash(hash_seed(writer), key, key_size)};
    if (int error = check_key(writer, wanted); error < 0) { return error; }
    if (int error = reserve_records(writer, 1); error < 0) { return error; }
    Request request{};
    request.pending.kind = PendingKind::removal;
    request.pending.flags = frame_key | frame_removed | frame_transient;
    request.pending.key_size = wanted.size;
    request.pending.hash = wanted.hash;
    request.pending.id = writer.next_id;
    request.key = key;
    request.payload_offset = frame_shape(request.pending.flags, wanted.size, false).payload;
    request.pending.length = frame_length(request.payload_offset, 0);
    uint32_t marker = writer.current->map.readable - 2; // the last places are kept for a marker and END
    if (int error = make_room_in_reserve(writer, request, marker); error < 0) { return error; }
    append(writer, request);
    ++writer.next_id;
    return 0;
}

void writer_rollback(Writer &writer) {
    writer.tail = writer.committed;
    writer.next_id = writer.first_id;
    pending_clear(writer);
    open_short_ways(writer);
}

void pending_clear(Writer &writer) {
    writer.pending_count = 0;
    writer.pending_keys = writer.pending_slots = 0;
    if (!writer.is_spread) { return; }
    writer.is_spread = false;
    for (WriterSegment *segment : writer.segments) {
        if (segment) { segment->has_pending = false; }
    }
    while (WriterSegment *segment = writer.displaced) {
        writer.displaced = segment->next;
        segment_free(segment);
    }
}

} // namespace speculo::core
