// SPDX-License-Identifier: LGPL-2.1-or-later
#include "frame.hpp"

#include <cerrno>

namespace speculo::core {

namespace {

bool sound_chunk(const Frame &frame) {
    bool removal_of_a_key = !(frame.flags & frame_removed) || (frame.flags & frame_key);
    return (frame.flags & ~frame_known_flags) == 0 && frame.id != 0 && removal_of_a_key;
}

constexpr bool known_control(uint32_t flags) {
    return flags == control_padding || flags == control_marker || flags == control_end;
}

} // namespace

bool read_fields(const SegmentMap &map, uint32_t commit, Frame &frame) {
    const std::byte *bytes = map.bytes(frame.place);
    uint64_t available = (map.readable - frame.place) * place_size;
    bool is_control = frame.flags & frame_control;
    if (is_control ? !known_control(frame.flags) : !sound_chunk(frame)) { return false; }

    uint32_t flags = is_control ? 0 : frame.flags; // control frames have no fields
    bool has_long_size = commit == size_follows;
    FrameShape shape = frame_shape(flags, 0, false);
    if (shape.key > available) { return false; }
    frame.key_size = flags & frame_key ? field_at<uint8_t>(bytes, shape.key_size) : 0;
    frame.key = flags & frame_key ? bytes + shape.key : nullptr;
    frame.link = flags & frame_key ? field_at<uint32_t>(bytes, shape.link) : 0;
    frame.tag = flags & frame_tag ? field_at<uint32_t>(bytes, shape.tag) : 0;
    frame.expires = flags & frame_expiry ? field_at<uint64_t>(bytes, shape.expiry) : 0;
    if ((flags & frame_key) && frame.key_size == 0) { return false; }
    uint32_t log2 = flags & frame_aligned ? field_at<uint8_t>(bytes, shape.alignment) : 0;
    if (log2 > max_alignment_log2) { return false; }
    frame.alignment = log2 ? 1u << log2 : 0;

    shape = frame_shape(flags, frame.key_size, has_long_size);
    if (shape.payload > available) { return false; }
    frame.size = has_long_size ? field_at<uint64_t>(bytes, shape.size) : commit - 1;
    if (frame.size > available - shape.payload) { return false; }
    frame.payload = bytes + shape.payload;
    frame.length = frame_length(shape.payload, frame.size);
    return frame.length <= map.readable - frame.place;
}

uint32_t lay_padding(const SegmentMap &map, uint32_t place, uint32_t places) {
    put(map.frame(place).successor, 0u);
    put(map.frame(place).id_flags, pack_id(0, control_padding));
    uint64_t size = (places - 1) * place_size;
    if (needs_long_size(size)) { // which takes a place itself
        put_field(map.bytes(place), frame_shape(0, 0, true).size, size - place_size);
    }
    return commit_word(size);
}

bool read_key_of(const SegmentMap &map, uint32_t place, const std::byte *&key, uint32_t &key_size) {
    const std::byte *bytes = map.bytes(place);
    uint32_t flags = frame_flags(peek(map.frame(place).id_flags));
    if ((flags & (frame_control | frame_key)) != frame_key) { return false; }
    FrameShape shape = frame_shape(flags, 0, false);
    uint64_t available = (map.readable - place) * place_size;
    if (shape.key > available) { return false; }
    key_size = field_at<uint8_t>(bytes, shape.key_size);
    key = bytes + shape.key;
    return key_size <= available - shape.key;
}

int FrameWalk::next(Frame &frame) {
    if (place_ >= end_) { return 0; }
    if (end_ > map_.readable) { return -EBADMSG; }
    uint32_t commit = observe_commit(map_.frame(place_).commit);
    if (commit == 0 || !read_frame(map_, place_, commit, frame) || frame.length > end_ - place_) { return -EBADMSG; }
    place_ = frame.end();
    return 1;
}

int find_end(const SegmentMap &map, uint32_t from, RefreshFn refresh, void *user, uint32_t &ret_end) {
    uint32_t hint = observe_hint(map.header().hint);
    uint32_t place = hint > from ? hint : from;
    uint32_t start = place;
    for (;;) {
        if (place >= map.readable) {
            if (int error = refresh(user); error < 0) { return error; }
            if (place >= map.readable) { return -EBADMSG; }
        }
        uint32_t commit = observe_commit(map.frame(place).commit);
        if (commit == 0) { break; }
        Frame frame;
        if (!read_frame(map, place, commit, frame)) {
            uint32_t seen = map.readable;
            if (int error = refresh(user); error < 0) { return error; }
            if (map.readable == seen || !read_frame(map, place, commit, frame)) { return -EBADMSG; }
        }
        if (frame.flags == control_end) { break; }
        place = frame.end();
        uint32_t moved = observe_hint(map.header().hint);
        if (moved != hint && moved > start) { // a flat-out writer: its hint is a boundary, and the walk stays short
            if (moved >= map.readable) {
                if (int error = refresh(user); error < 0) { return error; }
                if (moved >= map.readable) { return -EBADMSG; }
            }
            place = moved;
            break;
        }
    }
    ret_end = place;
    return 0;
}

} // namespace speculo::core
