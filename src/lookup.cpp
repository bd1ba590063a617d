// SPDX-License-Identifier: LGPL-2.1-or-later
// What is live at the newest commit: by key, and by id.
#include <cerrno>

#include "index.hpp"
#include "reader.hpp"

namespace speculo::core {

namespace {

// Whether a frame below `end` was not superseded at `end`.
template <class Source> inline bool is_current(const Source &source, const Frame &frame, uint32_t end) {
    uint32_t successor = source.successor_at(frame.place);
    return successor == 0 || successor >= end;
}

// The frame of a place below `end`, whichever way it was found.
template <class Source> inline int frame_below(const Source &source, uint32_t place, uint32_t end, Frame &frame) {
    return FrameWalk(source, place, end).next(frame);
}

// Keeps the handle in the current segment between look-ups.
int move_key_segment(Reader &reader) {
    uint64_t generation = current_generation(control_current(reader.area));
    if (reader.key_segment && reader.key_segment->generation == generation) { return 0; }
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    if (reader.key_segment) { attachment_unpin(reader.key_segment); }
    reader.key_segment = segment;
    reader.key_end = first_place;
    return 0;
}

// The chunk of that id, presumably at `place` (0: anywhere): 1, 0, or an error.
template <class Source> int find_chunk(const Source &source, uint32_t end, uint64_t id, uint32_t place, Frame &frame) {
    if (place != 0 && place < end && frame_below(source, place, end, frame) == 1 && frame.id == id) { return 1; }
    int found = index_find(source, end, id, frame);
    return found == 1 && frame.id != id ? 0 : found;
}

int provide(Reader &, Frame &, Mapped) { return 0; }
int provide(Reader &reader, Frame &frame, Copied form) {
    return chunk_copy(form.source(*reader.key_segment), frame, reader.key_copy);
}

template <class Form> int read_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    if (int error = move_key_segment(reader); error < 0) { return error; }
    ++reader.key_serial;
    Attachment &segment = *reader.key_segment;
    if (int error = segment_end<Form>(segment, reader.key_end, reader.key_end); error < 0) { return error; }
    Key wanted{static_cast<const std::byte *>(key), uint32_t(key_size),
               key_hash(peek(reader.area.control->area_id[0]), key, key_size)};
    Frame frame;
    const auto &source = Form::source(segment);
    int found = find_key_in(segment, segment.map, source, reader.key_end, wanted, frame);
    if (found <= 0 || source.error() < 0) { return found; }
    if (is_expired(reader, frame.expires)) { return 0; }
    if (int error = provide(reader, frame, Form{}); error < 0) { return error; }
    fill_view(*ret_chunk, frame, segment, ViewKind::key, reader.number, reader.key_serial);
    if constexpr (Form::copies) { ret_chunk->opaque[3] = pack_copy(reader.key_copy); }
    return 1;
}

template <class Form> int is_live(Reader &reader, const speculo_chunk &chunk) {
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    uint32_t end;
    Frame frame;
    uint32_t place = view_place(chunk, reader.number, segment->generation);
    int error = segment_end<Form>(*segment, first_place, end);
    const auto &source = Form::source(*segment);
    int found = error < 0 ? error : find_chunk(source, end, chunk.id, place, frame);
    if (found == 1) { found = frame.is_chunk() && is_current(source, frame, end) && !is_expired(reader, frame.expires); }
    attachment_unpin(segment);
    return found;
}

} // namespace

template <class Source> int find_key(const Source &source, uint32_t end, const Key &key, Frame &ret_frame) {
    int64_t place = key_find(source, end, key);
    if (place <= 0) { return int(place); }
    int found = frame_below(source, uint32_t(place), end, ret_frame);
    if (found <= 0) { return found; }
    return ret_frame.is_chunk() && is_current(source, ret_frame, end);
}

int reader_read_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    return in_form(reader.area.copier, [&reader, key, key_size, ret_chunk](auto form) {
        return read_key<decltype(form)>(reader, key, key_size, ret_chunk);
    });
}

int reader_is_live(Reader &reader, const speculo_chunk &chunk) {
    return in_form(reader.area.copier, [&](auto form) { return is_live<decltype(form)>(reader, chunk); });
}

template int find_key(const SegmentMap &, uint32_t, const Key &, Frame &);
template int find_key(const SegmentFile &, uint32_t, const Key &, Frame &);

} // namespace speculo::core
