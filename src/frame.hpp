// SPDX-License-Identifier: LGPL-2.1-or-later
// One frame: how it is laid out, and how it is read back without believing it.
#pragma once

#include "segment_file.hpp"

namespace speculo::core {

// The parts of a frame by their offset from its beginning. Fields in the order of the flags, the key, a 64-bit size if the
// commit word cannot hold it, then the payload.
struct FrameShape {
    uint32_t expiry, tag, link, alignment, key_size, key, size;
    uint32_t payload;
};

// As far as the key, which is of one size for all of those flags.
constexpr FrameShape shape_to_key(uint32_t flags) {
    FrameShape shape{};
    uint32_t offset = sizeof(FrameHeader);
    auto field = [&](bool present, uint32_t size) {
        uint32_t at = offset;
        if (present) { offset += size; }
        return at;
    };
    shape.expiry = field(flags & frame_expiry, 8);
    shape.tag = field(flags & frame_tag, 4);
    shape.link = field(flags & frame_key, 4);
    shape.alignment = field(flags & frame_aligned, 1);
    shape.key_size = field(flags & frame_key, 1);
    shape.key = offset;
    return shape;
}

inline constexpr uint32_t frame_field_flags = frame_expiry | frame_tag | frame_key | frame_aligned;

struct ShapesToKey {
    FrameShape of[frame_field_flags + 1];
};
constexpr ShapesToKey make_shapes() {
    ShapesToKey shapes{};
    for (uint32_t flags = 0; flags <= frame_field_flags; ++flags) { shapes.of[flags] = shape_to_key(flags); }
    return shapes;
}
inline constexpr ShapesToKey shapes_to_key = make_shapes();

// What lies behind the key, which may be of no bytes.
constexpr void shape_behind_key(FrameShape &shape, uint32_t key_size, bool has_long_size) {
    uint32_t offset = shape.key + key_size;
    if (has_long_size) { offset = uint32_t(align_up(offset, 8)); }
    shape.size = offset;
    if (has_long_size) { offset += 8; }
    shape.payload = uint32_t(align_up(offset, place_size));
}

// The payload's offset where nothing lies between it and the key.
constexpr uint32_t payload_behind_key(const FrameShape &shape, uint32_t key_size) {
    return uint32_t(align_up(shape.key + key_size, place_size));
}

constexpr FrameShape frame_shape(uint32_t flags, uint32_t key_size, bool has_long_size) {
    FrameShape shape = shapes_to_key.of[flags & frame_field_flags];
    shape_behind_key(shape, flags & frame_key ? key_size : 0, has_long_size);
    return shape;
}

// The flags that ask for fields; control frames have none.
constexpr uint32_t field_flags(uint32_t flags) { return flags & frame_control ? 0 : flags & frame_field_flags; }

constexpr bool needs_long_size(uint64_t size) { return size >= size_follows - 1; }
constexpr uint32_t commit_word(uint64_t size) { return needs_long_size(size) ? size_follows : uint32_t(size + 1); }

// Places of a frame.
constexpr uint64_t frame_length(uint32_t payload_offset, uint64_t size) {
    return (payload_offset + size + place_size - 1) / place_size;
}

// Places of padding that a frame at `place` needs in front for its payload's alignment.
constexpr uint32_t padding_before(uint64_t place, uint32_t payload_offset, uint32_t alignment) {
    if (alignment <= place_size) { return 0; }
    uint64_t payload = place * place_size + payload_offset;
    return uint32_t((align_up(payload, alignment) - payload) / place_size);
}

// A frame, every shared field loaded once.
struct Frame {
    uint32_t place;
    uint32_t flags;
    uint64_t id;
    uint64_t length;          // places
    uint64_t size;            // payload bytes
    const std::byte *payload; // null, like the key: in a SegmentFile
    const std::byte *key;
    uint32_t payload_offset; // from the frame's beginning; in a SegmentFile only
    uint32_t key_size;
    uint32_t link;
    uint32_t tag;
    uint32_t alignment; // 0: of a place
    uint64_t expires;   // 0: never

    uint32_t end() const { return uint32_t(place + length); }
    bool is_control() const { return flags & frame_control; }
    bool is_chunk() const { return core::is_chunk(flags); }
};

template <class T> T field_at(const std::byte *frame, uint32_t offset) { return peek(*shared_at<Shared<T>>(frame + offset)); }
template <class T> void put_field(std::byte *frame, uint32_t offset, T value) {
    put(*shared_at<Shared<T>>(frame + offset), value);
}

// Chunks that are plain have neither an alignment of their own nor a 64-bit size, and are no removals: most are, and there are short ways
// for them.
inline constexpr uint32_t plain_flags = frame_expiry | frame_tag | frame_key | frame_transient;
inline constexpr uint32_t plain_places_to_key = 3; // what their headers and fields reach into, up to the key
static_assert(shape_to_key(plain_flags).key <= plain_places_to_key * place_size);
// Whether a committed one was, by its flags and its commit word.
constexpr bool may_be_plain(uint32_t flags, uint32_t word) {
    return (flags & ~plain_flags) == 0 && word != 0 && word != size_follows;
}
// Its key's size, in bytes, and its length, in places.
inline uint32_t plain_key_size(const SegmentMap &map, uint32_t place, uint32_t flags) {
    return flags & frame_key ? field_at<uint8_t>(map.bytes(place), shapes_to_key.of[flags & frame_field_flags].key_size) : 0;
}
constexpr uint64_t plain_length(uint32_t flags, uint32_t key_size, uint32_t word) {
    return frame_length(payload_behind_key(shapes_to_key.of[flags & frame_field_flags], key_size), word - 1);
}

// The rules from here on read a mapped segment, or a file by copies. Source: SegmentMap or SegmentFile.

// Reads the frames that ask for fields; see read_frame.
template <class Source> bool read_fields(const Source &source, uint32_t commit, Frame &frame);

template <class Source> inline void note_payload(typename Source::Position at, uint32_t offset, Frame &frame) {
    if constexpr (Source::is_mapped) {
        frame.payload = at + offset;
    } else {
        frame.payload = nullptr;
        frame.payload_offset = offset;
    }
}

// The rest of a frame whose commit word has the size, and that has no fields but, perhaps, a deadline.
template <class Source> inline bool read_rest(const Source &source, uint32_t commit, uint32_t payload_offset, Frame &frame) {
    frame.size = commit - 1;
    note_payload<Source>(source.position(frame.place), payload_offset, frame);
    frame.length = frame_length(payload_offset, frame.size);
    frame.key = nullptr;
    frame.key_size = frame.link = frame.tag = frame.alignment = 0;
    return frame.length <= source.readable - frame.place && frame.id != 0;
}

// Reads the frame at `place`, whose commit word was observed as `commit` (not 0). False if it reaches beyond the readable places
// or is senseless. The caller has made sure that a header at `place` is readable.
template <class Source> inline bool read_frame(const Source &source, uint32_t place, uint32_t commit, Frame &frame) {
    uint64_t id_flags = source.id_flags_at(place);
    frame.place = place;
    frame.flags = frame_flags(id_flags);
    frame.id = frame_id(id_flags);
    uint32_t fields = frame.flags & ~uint32_t(frame_transient);
    if (__builtin_expect(fields == 0 && commit != size_follows, 1)) {
        frame.expires = 0;
        return read_rest(source, commit, sizeof(FrameHeader), frame);
    }
    if (fields != frame_expiry || commit == size_follows) { return read_fields(source, commit, frame); }
    constexpr FrameShape shape = frame_shape(frame_expiry, 0, false);
    if (!read_rest(source, commit, shape.payload, frame)) { return false; }
    frame.expires = source.template field_at<uint64_t>(source.position(place), shape.expiry);
    return true;
}

// Most frames are chunks without a tag, an alignment of their own or a 64-bit size: read where they are mapped, by a short way.
inline constexpr uint32_t common_flags = frame_transient | frame_expiry | frame_key;

inline constexpr uint32_t any_fields = UINT32_MAX;

// Reads the rest of one, whose place, flags and id are there, and nothing else; all but the link. `fields`: the flags of those that it is known
// to have, of expiry and key. It ends at `limit`, a readable place, at the latest. `is_over` judges the deadline (0: none) before anything else
// is read, which would have to outlive that call in registers. False: it is over, none, or damaged.
template <uint32_t fields, class IsOver>
inline bool read_common(const std::byte *at, uint32_t limit, uint32_t commit, Frame &frame, IsOver is_over) {
    uint64_t available = (limit - frame.place) * place_size;
    uint32_t present = fields == any_fields ? frame.flags & (frame_expiry | frame_key) : fields;
    FrameShape shape = fields == any_fields ? shapes_to_key.of[present] : shape_to_key(fields);
    if (fields != 0 && available < 2 * place_size) { return false; }
    if (present & frame_expiry) {
        frame.expires = field_at<uint64_t>(at, shape.expiry);
        if (is_over(frame.expires)) { return false; }
    }
    if (present & frame_key) {
        frame.key = at + shape.key;
        frame.key_size = field_at<uint8_t>(at, shape.key_size);
        if (frame.key_size == 0) { return false; }
    }
    shape_behind_key(shape, frame.key_size, false);
    frame.size = commit - 1;
    frame.payload = at + shape.payload;
    frame.length = frame_length(shape.payload, frame.size);
    // The word is neither 0 nor does it say that a size follows.
    return frame.size < size_follows - 1 && shape.payload + frame.size <= available;
}

// Lays a padding frame, all but its commit word, which it returns.
uint32_t lay_padding(const SegmentMap &map, uint32_t place, uint32_t places);

// The key of the frame at `place`, which need not be committed (the writer's own). False if there is none.
template <class Source>
inline bool read_key_of(const Source &source, uint32_t place, const std::byte *&ret_key, uint32_t &ret_size) {
    uint32_t flags = frame_flags(source.id_flags_at(place));
    if ((flags & (frame_control | frame_key)) != frame_key) { return false; }
    const FrameShape &shape = shapes_to_key.of[flags & frame_field_flags];
    uint64_t available = (source.readable - place) * place_size;
    if (shape.key > available) { return false; }
    auto at = source.position(place);
    ret_size = source.template field_at<uint8_t>(at, shape.key_size);
    if (ret_size > available - shape.key) { return false; }
    ret_key = source.key_at(at, shape.key, ret_size);
    return true;
}

// Walks the frames of [place, end) of a segment. An end is a commit boundary, so every commit word below it is set.
template <class Source> class FrameWalk {
public:
    FrameWalk(const Source &source, uint32_t place, uint32_t end) : source_(source), place_(place), end_(end) {
        source.all_is_committed_below(end);
    }
    // 1 next frame, 0 at the end, -EBADMSG
    int next(Frame &frame);

private:
    const Source &source_;
    uint32_t place_, end_;
};

// The frame at a place that is given, as a walk would tell it; but for its link.
[[gnu::always_inline]] inline int frame_below(const SegmentMap &map, uint32_t place, uint32_t end, Frame &frame) {
    if (place >= end) { return 0; }
    const std::byte *at = map.position(place);
    const FrameHeader &header = *shared_at<FrameHeader>(at);
    uint32_t commit = observe_commit(header.commit);
    uint64_t id_flags = peek(header.id_flags);
    frame = {};
    frame.place = place;
    frame.flags = frame_flags(id_flags);
    frame.id = frame_id(id_flags);
    auto is_never_over = [](uint64_t) { return false; };
    bool is_common = (frame.flags & ~common_flags) == 0 && frame.id != 0 && end <= map.readable;
    if (__builtin_expect(is_common && read_common<any_fields>(at, end, commit, frame, is_never_over), 1)) { return 1; }
    return FrameWalk(map, place, end).next(frame);
}
inline int frame_below(const SegmentFile &file, uint32_t place, uint32_t end, Frame &frame) {
    return FrameWalk(file, place, end).next(frame);
}

// The end that a reader goes by: walks from `from` (a place it has reached, or first_place) or the hint, whichever is further, to
// the first zero word or END; if the hint moves meanwhile, that is the end. Either is a commit boundary. `readable` grows through
// `refresh` where the walk needs it. Returns 0 or a negative errno.
using RefreshFn = int (*)(void *user);
template <class Source> int find_end(const Source &source, uint32_t from, RefreshFn refresh, void *user, uint32_t &ret_end);

} // namespace speculo::core
