// SPDX-License-Identifier: LGPL-2.1-or-later
#include "plain.hpp"

#include <cerrno>

#include "ahead.hpp"

namespace speculo::core {

namespace {

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
    prefetch_lines_to_come(bytes, size);
    auto &header = *shared_at<FrameHeader>(bytes);
    put(header.successor, commit_word(size));
    put(header.id_flags, id | flags);
    return bytes;
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

// What is known of a key; null: nothing.
inline KnownKey *known_key(Writer &writer, const void *key, size_t size) {
    if (!writer.known_keys || !KeyLanes::can_hold(size)) { return nullptr; }
    KeyLanes lanes = KeyLanes::of(key, size);
    KnownKey &known = writer.known_keys->at(lanes);
    return KnownKeys::is_of(known, lanes, size) && known.epoch == writer.key_epoch ? &known : nullptr;
}

// The lines that the commit of the key is going to change, and that readers have in their caches.
inline void prefetch_key(const Writer &writer, const KnownKey *known, uint32_t hash) {
    const SegmentMap &map = writer.current->map;
    if (known) {
        prefetch_to_write(known->slot);
        prefetch_to_write(map.bytes(newest_version(known->versions)));
    } else {
        prefetch_slot(map, hash);
    }
}

template <bool has_key> [[gnu::noinline, gnu::aligned(cache_line)]] int
alloc_plain(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {
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
        KnownKey *known = writer.pending_known = known_key(writer, options.key, options.key_size);
        uint32_t hash = known ? known->hash : key_hash(hash_seed(writer), options.key, options.key_size);
        prefetch_key(writer, known, hash);
        put_field(bytes, shape.link, hash);
        put_field(bytes, shape.key_size, uint8_t(options.key_size));
        copy_key(bytes + shape.key, options.key, options.key_size);
        ++writer.pending_keys;
        ++writer.pending_slots;
        writer.easy_commit_end = 0;
    }
    *ret_data = bytes + payload;
    return 0;
}

} // namespace

[[gnu::aligned(cache_line)]] int writer_alloc_bare(Writer &writer, uint64_t size, uint32_t flags, void **ret_data,
                                                   uint64_t *ret_id) {
    uint64_t end = writer.tail + frame_length(sizeof(FrameHeader), size);
    if (__builtin_expect(!is_easy(writer, size, end), 0)) { return alloc_bare_with_ado(writer, size, flags, ret_data, ret_id); }
    *ret_data = append_plain(writer, size, end, transient_flag(flags), ret_id) + sizeof(FrameHeader);
    return 0;
}

// The clock last: the less outlives that call, the fewer registers are to be saved.
[[gnu::aligned(cache_line)]] int writer_alloc_timed(Writer &writer, uint64_t size, const speculo_chunk_options &options,
                                                    void **ret_data, uint64_t *ret_id) {
    constexpr FrameShape shape = frame_shape(frame_expiry, 0, false);
    uint64_t ttl_ns = options.ttl_ns, end = writer.tail + frame_length(shape.payload, size);
    bool may_be_endless = ttl_ns > UINT64_MAX / 2; // a clock's reading is less than that, and so their sum has room
    if (!writer.clock.known || may_be_endless || !is_easy(writer, size, end)) {
        return writer_alloc(writer, size, options, ret_data, ret_id);
    }
    std::byte *bytes = append_plain(writer, size, end, transient_flag(options.flags) | pack_id(0, frame_expiry), ret_id);
    *ret_data = bytes + shape.payload;
    put_field(bytes, shape.expiry, clock_deadline(writer.clock, ttl_ns));
    return 0;
}

int writer_alloc_plain(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id) {
    return options.key ? alloc_plain<true>(writer, size, options, ret_data, ret_id)
                       : alloc_plain<false>(writer, size, options, ret_data, ret_id);
}

int shrink_plain(Writer &writer, uint64_t size) {
    const SegmentMap &map = writer.current->map;
    PlainFrame frame = plain_frame(map, writer.last_plain, peek(map.frame(writer.last_plain).successor));
    bool is_sound = frame.length == writer.tail - writer.last_plain; // else the chunk before was written beyond its end
    if (!is_sound || size > frame.size()) { return -EINVAL; }
    uint32_t word = commit_word(size);
    put(map.frame(frame.place).successor, word);
    writer.tail = uint32_t(frame.place + plain_length(frame.flags, frame.key_size, word));
    return 0;
}

PlainFrame mended_frame(const Writer &writer, uint32_t place, uint64_t id) {
    constexpr uint64_t largest = (size_follows - 2) / place_size * place_size;
    uint64_t size = (writer.tail - place) * place_size - sizeof(FrameHeader);
    const SegmentMap &map = writer.current->map;
    put(map.frame(place).id_flags, pack_id(id, 0));
    return plain_frame(map, place, commit_word(size < largest ? size : largest));
}

// Once for each commit that has both kinds, so better small.
[[gnu::cold]] int record_plain(Writer &writer) {
    if (!is_all_plain(writer)) { return 0; }
    if (int error = reserve_records(writer, size_t(writer.next_id - writer.first_id)); error < 0) { return error; }
    close_short_ways(writer);
    const SegmentMap &map = writer.current->map;
    uint64_t id = writer.first_id;
    for (uint32_t place = writer.committed; place < writer.tail; ++id) {
        PlainFrame frame = waiting_frame(writer, map, place, id);
        FrameHeader &header = map.frame(place);
        Pending &pending = writer.pending[writer.pending_count++];
        pending = Pending{};
        pending.flags = frame.flags;
        pending.place = place;
        pending.key_size = frame.key_size;
        if (frame.flags & frame_key) { pending.hash = frame.key(map).hash; }
        pending.length = frame.length;
        pending.size = frame.size();
        pending.id = frame_id(peek(header.id_flags));
        pending.bytes = map.bytes(place);
        put(header.successor, 0u);
        place = frame.end();
    }
    return 0;
}

void open_short_ways(Writer &writer) {
    bool is_watched = peek(writer.area.control->compact_percent) != 0;
    bool is_odd = is_watched || writer.next_id > max_id - UINT32_MAX; // a segment has no more chunks than that
    uint64_t end = writer.current->soft_end();
    writer.easy_end = is_odd ? 0 : writer.share_place < end ? writer.share_place : end;
    writer.easy_commit_end = writer.index.named;
}

} // namespace speculo::core
