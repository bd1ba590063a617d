// SPDX-License-Identifier: LGPL-2.1-or-later
// What waits for the commit: chunks, removals, and chunks that are to end.
#include "writer.hpp"

#include <cerrno>
#include <utility>

namespace speculo::core {

namespace {

constexpr size_t least_room = 64; // pending records

// A frame that is asked for, before it has a place.
struct Request {
    Pending pending;
    const void *key;
    uint32_t tag;
    uint64_t expires;
    uint32_t payload_offset;
};

// Room for `more` records, so that the commit needs no memory.
int reserve_records(Writer &writer, size_t more) {
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

// Nothing but plain chunks wait.
bool is_all_plain(const Writer &writer) { return has_pending(writer) && writer.pending_count == 0; }

} // namespace

PlainFrame mended_frame(const Writer &writer, uint32_t place, uint64_t id) {
    constexpr uint64_t largest = (size_follows - 2) / place_size * place_size;
    uint64_t size = (writer.tail - place) * place_size - sizeof(FrameHeader);
    const SegmentMap &map = writer.current->map;
    put(map.frame(place).id_flags, pack_id(id, 0));
    return plain_frame(map, place, commit_word(size < largest ? size : largest));
}

namespace {

// Gives them records, as something joins them that has to have one.
int record_plain(Writer &writer) {
    if (!is_all_plain(writer)) { return 0; }
    if (int error = reserve_records(writer, size_t(writer.next_id - writer.first_id)); error < 0) { return error; }
    close_short_ways(writer);
    const SegmentMap &map = writer.current->map;
    uint64_t id = writer.first_id;
    for (uint32_t place = writer.committed; place < writer.tail; ++id) {
        PlainFrame frame = waiting_frame(writer, place, id);
        FrameHeader &header = map.frame(place);
        Pending &pending = writer.pending[writer.pending_count++];
        pending = Pending{};
        pending.flags = frame.flags;
        pending.place = place;
        pending.key_size = frame.key_size;
        pending.hash = frame.hash;
        pending.length = frame.length;
        pending.size = frame.size();
        pending.id = frame_id(peek(header.id_flags));
        pending.bytes = map.bytes(place);
        put(header.successor, 0u);
        place = frame.end();
    }
    return 0;
}

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
        if (equal_bytes(bytes, key.bytes, key.size)) { return &pending; }
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

// Whether the key table has room for one more key, as if all that are pending were new.
bool has_free_slot(const Writer &writer) {
    return !key_table_is_full(writer.current->map.geometry.table_slots, writer.keys + writer.pending_slots + 1);
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

uint64_t hash_seed(const Writer &writer) { return peek(writer.area.control->area_id[0]); }

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

// ---- plain chunks ----

// Whether one that would end there fits without ado.
bool is_easy(const Writer &writer, uint64_t size, uint64_t end) { return size < default_capacity && end <= writer.easy_end; }

// Lays the header at the tail. `flags`: as the id has them. Returns the frame.
inline std::byte *append_plain(Writer &writer, uint64_t size, uint64_t end, uint64_t flags, uint64_t *ret_id) {
    uint32_t place = writer.tail;
    uint64_t id = writer.next_id;
    writer.last_plain = place;
    writer.tail = uint32_t(end);
    writer.next_id = id + 1;
    if (ret_id) { *ret_id = id; }
    std::byte *bytes = writer.current->map.bytes(place);
    auto &header = *shared_at<FrameHeader>(bytes);
    put(header.successor, commit_word(size));
    put(header.id_flags, id | flags);
    return bytes;
}

int shrink_plain(Writer &writer, uint64_t size) {
    const SegmentMap &map = writer.current->map;
    PlainFrame frame = plain_frame(map, writer.last_plain, peek(map.frame(writer.last_plain).successor));
    bool is_sound = frame.length == writer.tail - writer.last_plain; // else the chunk before was written beyond its end
    if (!is_sound || size > frame.size()) { return -EINVAL; }
    put(writer.current->map.frame(frame.place).successor, commit_word(size));
    writer.tail = uint32_t(frame.place + frame_length(frame.shape.payload, size));
    return 0;
}

constexpr uint64_t transient_flag(uint32_t chunk_flags) {
    static_assert(pack_id(0, frame_transient) == uint64_t(SPECULO_CHUNK_TRANSIENT) << 59);
    return uint64_t(chunk_flags) << 59;
}

[[gnu::noinline]] int alloc_bare_with_ado(Writer &writer, uint64_t size, uint32_t flags, void **ret_data, uint64_t *ret_id) {
    speculo_chunk_options options{};
    options.flags = flags;
    return writer_alloc(writer, size, options, ret_data, ret_id);
}

template <bool has_key> [[gnu::noinline]] int alloc_plain(Writer &writer, uint64_t size, const speculo_chunk_options &options,
                                                          void **ret_data, uint64_t *ret_id) {
    uint32_t fields = (options.ttl_ns ? uint32_t(frame_expiry) : 0) | (options.tag ? uint32_t(frame_tag) : 0) |
                      (has_key ? uint32_t(frame_key) : 0);
    const FrameShape &shape = shapes_to_key.of[fields];
    uint32_t payload = payload_behind_key(shape, has_key ? uint32_t(options.key_size) : 0);
    uint64_t end = writer.tail + frame_length(payload, size);
    bool is_common =
        is_easy(writer, size, end) && (!has_key || has_free_slot(writer)) && (options.ttl_ns == 0 || writer.clock.known);
    uint64_t expires = is_common && options.ttl_ns != 0 ? clock_deadline(writer.clock, options.ttl_ns) : 0;
    if (!is_common || (options.ttl_ns != 0 && expires == 0)) { return writer_alloc(writer, size, options, ret_data, ret_id); }
    std::byte *bytes = append_plain(writer, size, end, transient_flag(options.flags) | pack_id(0, fields), ret_id);
    if (expires != 0) { put_field(bytes, shape.expiry, expires); }
    if (options.tag != 0) { put_field(bytes, shape.tag, options.tag); }
    if constexpr (has_key) {
        put_field(bytes, shape.link, key_hash(hash_seed(writer), options.key, options.key_size));
        put_field(bytes, shape.key_size, uint8_t(options.key_size));
        copy_bytes(bytes + shape.key, options.key, options.key_size);
        ++writer.pending_keys;
        ++writer.pending_slots;
        writer.easy_commit_end = 0;
    }
    *ret_data = bytes + payload;
    return 0;
}

} // namespace

int writer_alloc_bare(Writer &writer, uint64_t size, uint32_t flags, void **ret_data, uint64_t *ret_id) {
    uint64_t end = writer.tail + frame_length(sizeof(FrameHeader), size);
    if (__builtin_expect(!is_easy(writer, size, end), 0)) { return alloc_bare_with_ado(writer, size, flags, ret_data, ret_id); }
    *ret_data = append_plain(writer, size, end, transient_flag(flags), ret_id) + sizeof(FrameHeader);
    return 0;
}

int writer_alloc_plain(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {
    return options.key ? alloc_plain<true>(writer, size, options, ret_data, ret_id)
                       : alloc_plain<false>(writer, size, options, ret_data, ret_id);
}

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

void open_short_ways(Writer &writer) {
    bool is_watched = peek(writer.area.control->compact_percent) != 0;
    bool is_odd = is_watched || writer.next_id > max_id - UINT32_MAX; // a segment has no more chunks than that
    uint64_t end = writer.current->soft_end();
    writer.easy_end = is_odd ? 0 : writer.share_place < end ? writer.share_place : end;
    writer.easy_commit_end = writer.index.named;
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
