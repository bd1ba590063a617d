// SPDX-License-Identifier: LGPL-2.1-or-later
// Plain chunks: the short ways, on which nothing is kept of what waits for the commit but the frames themselves.
#pragma once

#include "writer.hpp"

namespace speculo::core {

// As writer_alloc, for a chunk that is plain but, perhaps, for its size.
int writer_alloc_plain(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id);
// The same for one that has a time to live and nothing else.
int writer_alloc_timed(Writer &writer, uint64_t size, const speculo_chunk_options &options, void **ret_data, uint64_t *ret_id);
// The same for one that has no fields at all. `flags`: SPECULO_CHUNK_TRANSIENT or 0.
int writer_alloc_bare(Writer &writer, uint64_t size, uint32_t flags, void **ret_data, uint64_t *ret_id);
// Of the last one, while all are plain.
int shrink_plain(Writer &writer, uint64_t size);

// Nothing but plain chunks wait.
inline bool is_all_plain(const Writer &writer) { return has_pending(writer) && writer.pending_count == 0; }
// Gives them records, as something joins them that has to have one.
int record_plain(Writer &writer);

// How far chunks go the short ways: anew when nothing waits any more, not at all while records are kept.
void open_short_ways(Writer &writer);
inline void close_short_ways(Writer &writer) { writer.easy_end = writer.easy_commit_end = 0; }

// A plain chunk that waits, as its frame tells it.
struct PlainFrame {
    uint32_t place, flags, word, key_size;
    uint64_t length;

    uint64_t size() const { return word - 1; }
    uint32_t end() const { return uint32_t(place + length); }
    // Of one that has a key.
    Key key(const SegmentMap &map) const {
        const std::byte *bytes = map.bytes(place);
        const FrameShape &shape = shapes_to_key.of[flags & frame_field_flags];
        return {bytes + shape.key, key_size, field_at<uint32_t>(bytes, shape.link)};
    }
};
inline PlainFrame plain_frame(const SegmentMap &map, uint32_t place, uint32_t word) {
    uint32_t flags = frame_flags(peek(map.frame(place).id_flags)), key_size = plain_key_size(map, place, flags);
    return {place, flags, word, key_size, plain_length(flags, key_size, word)};
}
// One that waits, by its place and the id that it has. A caller that wrote beyond a payload may have spoilt the header behind it, which
// the id tells as a rule: where headers do not lead to the tail, one chunk without fields takes the rest, so that nothing else suffers.
PlainFrame mended_frame(const Writer &writer, uint32_t place, uint64_t id);
inline PlainFrame waiting_frame(const Writer &writer, const SegmentMap &map, uint32_t place, uint64_t id) {
    const FrameHeader &header = map.frame(place);
    PlainFrame frame = plain_frame(map, place, peek(header.successor));
    uint32_t most = writer.tail - place;
    bool is_its_own = (peek(header.id_flags) & ~pack_id(0, plain_flags)) == id && frame.word - 1 < size_follows - 1;
    bool is_sound = is_its_own && (frame.length < most ? id + 1 != writer.next_id : frame.length == most);
    if (__builtin_expect(!is_sound, 0)) { return mended_frame(writer, place, id); }
    return frame;
}

} // namespace speculo::core
