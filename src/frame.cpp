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

template <class Source> bool read_fields(const Source &source, uint32_t commit, Frame &frame) {
    auto at = source.position(frame.place);
    uint64_t available = (source.readable - frame.place) * place_size;
    uint32_t flags = field_flags(frame.flags); // control frames have no fields
    if (frame.flags & frame_control ? !known_control(frame.flags) : !sound_chunk(frame)) { return false; }

    FrameShape shape = shapes_to_key.of[flags & frame_field_flags];
    if (shape.key > available) { return false; }
    frame.key = nullptr;
    frame.key_size = frame.link = frame.alignment = 0;
    if (flags & frame_key) {
        frame.key_size = source.template field_at<uint8_t>(at, shape.key_size);
        frame.link = source.template field_at<uint32_t>(at, shape.link);
        if constexpr (Source::is_mapped) { frame.key = at + shape.key; }
        if (frame.key_size == 0) { return false; }
    }
    frame.tag = flags & frame_tag ? source.template field_at<uint32_t>(at, shape.tag) : 0;
    frame.expires = flags & frame_expiry ? source.template field_at<uint64_t>(at, shape.expiry) : 0;
    if (flags & frame_aligned) {
        uint32_t log2 = source.template field_at<uint8_t>(at, shape.alignment);
        if (log2 > max_alignment_log2) { return false; }
        frame.alignment = log2 ? 1u << log2 : 0;
    }

    bool has_long_size = commit == size_follows;
    shape_behind_key(shape, frame.key_size, has_long_size);
    if (shape.payload > available) { return false; }
    frame.size = has_long_size ? source.template field_at<uint64_t>(at, shape.size) : commit - 1;
    if (frame.size > available - shape.payload) { return false; }
    note_payload<Source>(at, shape.payload, frame);
    frame.length = frame_length(shape.payload, frame.size);
    return frame.length <= source.readable - frame.place;
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

template <class Source> int FrameWalk<Source>::next(Frame &frame) {
    if (place_ >= end_) { return 0; }
    if (end_ > source_.readable) { return -EBADMSG; }
    uint32_t commit = source_.commit_at(place_);
    if (commit == 0 || !read_frame(source_, place_, commit, frame) || frame.length > end_ - place_) { return -EBADMSG; }
    place_ = frame.end();
    return 1;
}

template <class Source> int find_end(const Source &source, uint32_t from, RefreshFn refresh, void *user, uint32_t &ret_end) {
    uint32_t hint = source.hint();
    uint32_t place = hint > from ? hint : from;
    uint32_t start = place;
    for (;;) {
        if (place >= source.readable) {
            if (int error = refresh(user); error < 0) { return error; }
            if (place >= source.readable) { return -EBADMSG; }
        }
        uint32_t commit = source.commit_at(place);
        if (commit == 0) { break; }
        Frame frame;
        if (!read_frame(source, place, commit, frame)) {
            uint32_t seen = source.readable;
            if (int error = refresh(user); error < 0) { return error; }
            if (source.readable == seen || !read_frame(source, place, commit, frame)) { return -EBADMSG; }
        }
        if (frame.flags == control_end) { break; }
        place = frame.end();
        uint32_t moved = source.hint();
        if (moved != hint && moved > start) { // a flat-out writer: its hint is a boundary, and the walk stays short
            if (moved >= source.readable) {
                if (int error = refresh(user); error < 0) { return error; }
                if (moved >= source.readable) { return -EBADMSG; }
            }
            place = moved;
            break;
        }
    }
    if (int error = source.error(); error < 0) { return error; } // the zero word was none
    source.all_is_committed_below(place);
    ret_end = place;
    return 0;
}

// ---- for both kinds of sources ----
// What is copied takes a system call now and then: better small, so cold.

template bool read_fields(const SegmentMap &, uint32_t, Frame &);
template __attribute__((cold)) bool read_fields(const SegmentFile &, uint32_t, Frame &);
template class FrameWalk<SegmentMap>;
template class FrameWalk<SegmentFile>;
template int find_end(const SegmentMap &, uint32_t, RefreshFn, void *, uint32_t &);
template __attribute__((cold)) int find_end(const SegmentFile &, uint32_t, RefreshFn, void *, uint32_t &);

} // namespace speculo::core
