// SPDX-License-Identifier: LGPL-2.1-or-later
// What is live at the newest commit: by key, and by id.
#include "ahead.hpp"
#include "index.hpp"
#include "reader.hpp"

namespace speculo::core {

namespace {

// Whether a frame below `end` was not superseded at `end`.
template <class Source> inline bool is_current(const Source &source, const Frame &frame, uint32_t end) {
    uint32_t successor = source.successor_at(frame.place);
    return successor == 0 || successor >= end;
}

// Keeps the handle in the current segment between look-ups.
int move_key_segment(Reader &reader) {
    if (reader.key_segment && reader.key_current == control_current(reader.area)) { return 0; }
    Attachment *segment = nullptr;
    if (int error = borrow_current(reader, &segment); error < 0) { return error; }
    Attachment *old = reader.key_segment;
    reader.key_segment = segment;
    reader.key_current = pack_current(segment->generation, segment->slot);
    reader.key_end = first_place;
    if (reader.recent_keys) { reader.recent_keys->forget(); }
    if (old) { attachment_unpin(old); }
    return 0;
}

// Whether what was found last time is the newest version still, and live. A commit that the reader may know of, and that replaced or
// ended it, has stored its successor before; and so may one that is still being made.
bool is_as_it_was(const Reader &reader, const RecentKey &recent) {
    return reader.key_current == observe_current(reader.area.control->current) && load_successor(*recent.successor) == 0;
}

Key key_of(const Reader &reader, const void *key, size_t size) {
    return {static_cast<const std::byte *>(key), uint32_t(size), key_hash(peek(reader.area.control->area_id[0]), key, size)};
}

// The newest version of a key, expiry aside: 1, 0, or an error.
template <class Form> int find_newest(Reader &reader, const void *key, size_t size, Frame &ret_frame) {
    if (int error = move_key_segment(reader); error < 0) { return error; }
    Attachment &segment = *reader.key_segment;
    if (int error = segment_end<Form>(segment, reader.key_end, reader.key_end); error < 0) { return error; }
    const auto &source = Form::source(segment);
    Key wanted = key_of(reader, key, size);
    if constexpr (!Form::copies) {
        if (key_find_at_once(segment.map, reader.key_end, wanted, ret_frame)) {
            return is_current(source, ret_frame, reader.key_end);
        }
    }
    int found = find_key_in(segment, segment.map, source, reader.key_end, wanted, ret_frame);
    return source.error() < 0 ? 0 : found; // the copier tells
}

// 1, 0 if it has expired, or an error.
int lasts(Reader &reader, uint64_t expires) {
    int is_over = is_expired(reader, expires);
    return is_over < 0 ? is_over : !is_over;
}

void show(const Reader &reader, const Frame &frame, speculo_chunk *ret_chunk) {
    fill_view(*ret_chunk, frame, *reader.key_segment, ViewKind::key, reader.number, reader.key_serial);
}

int copy_key_chunk(Reader &reader, const void *key, size_t size, speculo_chunk *ret_chunk) {
    Frame frame;
    if (int found = find_newest<Copied>(reader, key, size, frame); found <= 0) { return found; }
    if (int lasting = lasts(reader, frame.expires); lasting <= 0) { return lasting; }
    if (int error = chunk_copy(reader.key_segment->file(), frame, reader.key_copy); error < 0) { return error; }
    show(reader, frame, ret_chunk);
    ret_chunk->opaque[3] = pack_copy(reader.key_copy);
    return 1;
}

// Whatever is not the short way is a function of its own, so that the short way does without its registers.

[[gnu::noinline]] int read_copied(Reader &reader, const void *key, size_t size, speculo_chunk *ret_chunk) {
    reader.area.copier->begin();
    return reader.area.copier->finish(copy_key_chunk(reader, key, size, ret_chunk));
}

// Who looks once does without the 40 kB, whose first touch takes longer than the look-up. Without the memory nothing is remembered.
RecentKeys *recent_keys_of(Reader &reader) {
    bool is_first = reader.key_serial == 1;
    if (!reader.recent_keys && !is_first) {
        reader.recent_keys = static_cast<RecentKeys *>(os::operations.allocate(sizeof(RecentKeys)));
    }
    return reader.recent_keys;
}

// Looks for it, and remembers it if the key is short enough.
[[gnu::noinline]] int look_up(Reader &reader, const void *key, size_t size, speculo_chunk *ret_chunk) {
    if (__builtin_expect(reader.area.copier != nullptr, 0)) { return read_copied(reader, key, size, ret_chunk); }
    Frame frame;
    if (int found = find_newest<Mapped>(reader, key, size, frame); found <= 0) { return found; }
    if (int lasting = lasts(reader, frame.expires); lasting <= 0) { return lasting; }
    show(reader, frame, ret_chunk);
    RecentKeys *keys = KeyLanes::can_hold(size) ? recent_keys_of(reader) : nullptr;
    if (!keys) { return 1; }
    KeyLanes lanes = KeyLanes::of(key, size);
    RecentKey &recent = keys->at(lanes);
    recent.lanes = lanes;
    recent.size = size;
    recent.successor = &reader.key_segment->map.frame(frame.place).successor;
    recent.view = *ret_chunk;
    return 1;
}

int show_again(const Reader &reader, const RecentKey &recent, speculo_chunk *ret_chunk) {
    *ret_chunk = recent.view;
    ret_chunk->opaque[1] = pack_serial(ViewKind::key, reader.key_serial);
    return 1;
}

[[gnu::noinline]] int show_until_expired(Reader &reader, const RecentKey &recent, speculo_chunk *ret_chunk) {
    int lasting = lasts(reader, recent.view.expires_ns);
    return lasting <= 0 ? lasting : show_again(reader, recent, ret_chunk);
}

template <bool is_few> inline int read_again(Reader &reader, const void *key, size_t size, speculo_chunk *ret_chunk) {
    if (KeyLanes::is_few(size) != is_few) { __builtin_unreachable(); }
    KeyLanes lanes = KeyLanes::of(key, size);
    const RecentKey &recent = reader.recent_keys->at(lanes);
    if (!RecentKeys::is_of<is_few>(recent, lanes, size) || !is_as_it_was(reader, recent)) {
        return look_up(reader, key, size, ret_chunk);
    }
    bool lasts = recent.view.expires_ns == 0;
    return lasts ? show_again(reader, recent, ret_chunk) : show_until_expired(reader, recent, ret_chunk);
}

// Apart, so that keys of fewer than 8 bytes do without its registers.
[[gnu::noinline]] int read_longer_again(Reader &reader, const void *key, size_t size, speculo_chunk *ret_chunk) {
    return read_again<false>(reader, key, size, ret_chunk);
}

// The chunk of that id, presumably at `place` (0: anywhere): 1, 0, or an error.
template <class Source> int find_chunk(const Source &source, uint32_t end, uint64_t id, uint32_t place, Frame &frame) {
    if (place != 0 && frame_below(source, place, end, frame) == 1 && frame.id == id) { return 1; }
    int found = index_find(source, end, id, frame);
    return found == 1 && frame.id != id ? 0 : found;
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
    if (found == 1) { found = frame.is_chunk() && is_current(source, frame, end) ? lasts(reader, frame.expires) : 0; }
    attachment_unpin(segment);
    return found;
}

} // namespace

template <class Source> int find_key(const Source &source, uint32_t end, const Key &key, Frame &ret_frame) {
    int64_t place = key_find(source, end, key);
    if (place <= 0) { return int(place); }
    int found = FrameWalk(source, uint32_t(place), end).next(ret_frame);
    if (found <= 0) { return found; }
    return ret_frame.is_chunk() && is_current(source, ret_frame, end);
}

int reader_read_key(Reader &reader, const void *key, size_t key_size, speculo_chunk *ret_chunk) {
    ++reader.key_serial;
    return look_up(reader, key, key_size, ret_chunk);
}

[[gnu::aligned(cache_line)]] int reader_read_short_key(Reader &reader, const void *key, size_t key_size,
                                                       speculo_chunk *ret_chunk) {
    ++reader.key_serial;
    if (!reader.recent_keys) { return look_up(reader, key, key_size, ret_chunk); }
    return KeyLanes::is_few(key_size) ? read_again<true>(reader, key, key_size, ret_chunk)
                                      : read_longer_again(reader, key, key_size, ret_chunk);
}

int reader_is_live(Reader &reader, const speculo_chunk &chunk) {
    return in_form(reader.area.copier, [&](auto form) { return is_live<decltype(form)>(reader, chunk); });
}

template int find_key(const SegmentMap &, uint32_t, const Key &, Frame &);
template __attribute__((cold)) int find_key(const SegmentFile &, uint32_t, const Key &, Frame &);

} // namespace speculo::core
