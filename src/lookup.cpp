// SPDX-License-Identifier: LGPL-2.1-or-later
// What is live at the newest commit: by key, and by id.
#include <cerrno>

#include "index.hpp"
#include "reader.hpp"

namespace speculo::core {

namespace {

// Whether a frame below `end` was not superseded at `end`.
bool is_current(const SegmentMap &map, const Frame &frame, uint32_t end) {
    uint32_t successor = load_successor(map.frame(frame.place).successor);
    return successor == 0 || successor >= end;
}

// The frame of a place below `end`, whichever way it was found.
int frame_below(const SegmentMap &map, uint32_t place, uint32_t end, Frame &frame) {
    return FrameWalk(map, place, end).next(frame);
}

// Keeps the handle in the current segment between look-ups.
int move_key_segment(Reader &reader) {
    uint64_t generation = current_generation(observe_current(reader.area.control->current));
    if (reader.key_segment && reader.key_segment->generation == generation) { return 0; }
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    if (reader.key_segment) { attachment_unpin(reader.key_segment); }
    reader.key_segment = segment;
    reader.key_end = first_place;
    return 0;
}

// The chunk of that id, presumably at `place` (0: anywhere): 1, 0, or an error.
int find_chunk(const SegmentMap &map, uint32_t end, uint64_t id, uint32_t place, Frame &frame) {
    if (place != 0 && place < end && frame_below(map, place, end, frame) == 1 && frame.id == id) { return 1; }
    int found = index_find(map, end, id, frame);
    return found == 1 && frame.id != id ? 0 : found;
}

} // namespace

int find_key(const SegmentMap &map, uint32_t end, const Key &key, Frame &ret_frame) {
    KeySearch search = key_search(map, end, key);
    if (!search.found) { return 0; }
    int64_t place = key_version_at(map, end, *search.slot);
    if (place <= 0) { return int(place); }
    int found = frame_below(map, uint32_t(place), end, ret_frame);
    if (found <= 0) { return found; }
    return ret_frame.is_chunk() && is_current(map, ret_frame, end);
}

int find_key_in(const Attachment &attachment, SegmentMap &map, uint32_t end, const Key &key, Frame &ret_frame) {
    for (;;) {
        int found = find_key(map, end, key, ret_frame);
        int grown = found == -EBADMSG ? attachment_measure(attachment, map) : 0;
        if (grown <= 0) { return grown < 0 ? grown : found; }
    }
}

int reader_read_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    if (int error = move_key_segment(reader); error < 0) { return error; }
    ++reader.key_serial;
    Attachment &segment = *reader.key_segment;
    if (int error = segment_end(segment, reader.key_end, reader.key_end); error < 0) { return error; }
    Key wanted{static_cast<const std::byte *>(key), uint32_t(key_size),
               key_hash(peek(reader.area.control->area_id[0]), key, key_size)};
    Frame frame;
    int found = find_key_in(segment, segment.map, reader.key_end, wanted, frame);
    if (found <= 0) { return found; }
    if (is_expired(reader, frame.expires)) { return 0; }
    fill_view(*ret_chunk, frame, segment, ViewKind::key, reader.number, reader.key_serial);
    return 1;
}

int reader_is_live(Reader &reader, const speculo_chunk &chunk) {
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    uint32_t end;
    Frame frame;
    uint32_t place = view_place(chunk, reader.number, segment->generation);
    int error = segment_end(*segment, first_place, end);
    int found = error < 0 ? error : find_chunk(segment->map, end, chunk.id, place, frame);
    if (found == 1) { found = frame.is_chunk() && is_current(segment->map, frame, end) && !is_expired(reader, frame.expires); }
    attachment_unpin(segment);
    return found;
}

} // namespace speculo::core
