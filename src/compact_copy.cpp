// SPDX-License-Identifier: LGPL-2.1-or-later
// The segment under construction: the live frames of the current one, copied in order with their ids.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

bool is_awaited(const Writer &writer, uint64_t id) {
    if (id == writer.copy.supersedes) { return true; }
    for (size_t i = 0; i < writer.pending_count; ++i) {
        if (writer.pending[i].has_frame() && writer.pending[i].supersedes == id) { return true; }
    }
    return false;
}

// By one time for the whole compaction. Reads the clock only if something expires; an unknown clock ends nothing.
bool has_expired(Writer &writer, const Frame &frame) {
    if (frame.expires == 0) { return false; }
    if (writer.copy.now == 0 && clock_prepare(writer.clock) == 0) { writer.copy.now = clock_now(writer.clock); }
    return has_passed(frame.expires, writer.copy.now);
}

void copy_padding(Copy &copy, uint32_t places) {
    const SegmentMap &map = copy.segment->map;
    put(map.frame(copy.tail).commit, lay_padding(map, copy.tail, places));
    index_note(map, copy.index, copy.tail, places);
    index_count_dead(map, copy.tail, places, copy.tail);
    copy.tail += places;
}

// The newest copy that has a key is its version: an older one was superseded after it was copied.
void copy_key(Copy &copy, const Frame &frame, uint32_t place, uint64_t seed) {
    Key key{frame.key, frame.key_size, key_hash(seed, frame.key, frame.key_size)};
    KeySearch search = key_search(copy.segment->map, place, key);
    if (search.found) {
        publish_versions(search.slot->versions, pack_versions(place, 0));
    } else if (search.slot) {
        key_claim(*search.slot, key.hash, place);
        ++copy.keys;
    }
}

int copy_frame(Writer &writer, const Frame &frame) {
    Copy &copy = writer.copy;
    const SegmentMap &map = copy.segment->map, &from = writer.current->map;
    uint32_t payload_offset = uint32_t(frame.payload - from.bytes(frame.place));
    uint32_t padding = padding_before(copy.tail, payload_offset, frame.alignment);
    uint64_t end = copy.tail + padding + frame.length;
    bool is_full = frame.key && key_table_is_full(map.geometry.table_slots, copy.keys + 1);
    if (end > map.geometry.chunk_end || is_full) { return -ENOSPC; }
    if (end > copy.segment->soft_end()) {
        if (int error = segment_extend(*copy.segment, end); error < 0) { return error; }
    }
    if (padding != 0) { copy_padding(copy, padding); }
    uint32_t place = copy.tail;
    copy_bytes(map.bytes(place) + sizeof(FrameHeader), from.bytes(frame.place) + sizeof(FrameHeader),
               payload_offset - sizeof(FrameHeader) + size_t(frame.size));
    put(map.frame(place).successor, 0u);
    put(map.frame(place).id_flags, pack_id(frame.id, frame.flags));
    put(map.frame(place).commit, peek(from.frame(frame.place).commit));
    index_note(map, copy.index, place, frame.length);
    copy.tail = uint32_t(end);
    if (frame.key) {
        put_field(map.bytes(place), frame_shape(field_flags(frame.flags), frame.key_size, false).link, 0u);
        copy_key(copy, frame, place, peek(writer.area.control->area_id[0]));
    }
    copy.lasting.add(place, frame.length, frame.alignment, frame.flags);
    return 0;
}

// Empties the key table, slot by slot. Returns what is left of the places that there is time for.
uint64_t wipe(Copy &copy, uint64_t places) {
    const SegmentMap &map = copy.segment->map;
    uint64_t end = map.geometry.table_slots;
    if (end - copy.wiped > places) { end = copy.wiped + places; }
    places -= end - copy.wiped;
    KeySlot *const table = map.table();
    for (uint64_t i = copy.wiped; i < end; ++i) { put(table[i].frame, 0u); }
    copy.wiped = end;
    return places;
}

// The place of the copy of a chunk, 0 if there is none.
uint32_t place_in_copy(const Copy &copy, uint64_t id, Frame &frame) {
    return index_find(copy.segment->map, copy.tail, id, frame) == 1 && frame.id == id ? frame.place : 0;
}

// The same for the original's place. One that has a key is found by it: a search by id walks through a page of frames. No later version
// of the key has been copied, as the original is current until now.
uint32_t place_of_copy(const Writer &writer, uint32_t original, Frame &frame) {
    const SegmentMap &from = writer.current->map, &map = writer.copy.segment->map;
    uint64_t id = frame_id(peek(from.frame(original).id_flags));
    const std::byte *bytes;
    uint32_t size;
    if (!read_key_of(from, original, bytes, size)) { return place_in_copy(writer.copy, id, frame); }
    KeySearch search = key_search(map, writer.copy.tail, {bytes, size, key_hash(hash_seed(writer), bytes, size)});
    uint32_t place = search.found ? newest_version(peek(search.slot->versions)) : 0;
    return place != 0 && FrameWalk(map, place, writer.copy.tail).next(frame) == 1 && frame.id == id ? place : 0;
}

bool misses(const Writer &writer, uint64_t id) {
    if (id == 0 || id >= writer.first_id) { return false; }
    const SegmentMap &map = writer.current->map;
    Frame frame;
    bool is_there = index_find(map, writer.committed, id, frame) == 1 && frame.id == id && frame.is_chunk();
    if (!is_there || load_successor(map.frame(frame.place).successor) != 0) { return false; }
    return place_in_copy(writer.copy, id, frame) == 0;
}

} // namespace

void copy_prepare(Writer &writer, bool is_whole, uint64_t supersedes) {
    writer.copy = Copy{};
    writer.copy.is_whole = is_whole;
    writer.copy.supersedes = supersedes;
}

bool copy_wants(Writer &writer, const Frame &frame) {
    if (!frame.is_chunk() || load_successor(writer.current->map.frame(frame.place).successor) != 0) { return false; }
    bool is_over = (frame.flags & frame_transient) || has_expired(writer, frame);
    return !is_over || (writer.copy.is_whole && is_awaited(writer, frame.id));
}

void copy_begin(Writer &writer, WriterSegment *segment) {
    Copy &copy = writer.copy;
    copy.segment = segment;
    copy.tail = first_place;
    copy.looked = writer.lasting.end ? writer.lasting.begin : writer.committed;
    if (copy.is_whole) { copy.looked = first_place; }
    segment_clear(*segment);
}

int copy_on(Writer &writer, uint64_t places) {
    Copy &copy = writer.copy;
    places = wipe(copy, places);
    const SegmentMap &map = writer.current->map;
    uint32_t end = copy.is_whole ? writer.committed : writer.lasting.end, limit = 0;
    Frame frame;
    int found = 1;
    while (places > 0) {
        uint32_t next = copy.looked < limit ? copy.looked : index_pass_dead(map, copy.looked, writer.committed);
        if (next != copy.looked) { // a page in one step
            copy.looked = next;
            --places;
            continue;
        }
        limit = page_limit(copy.looked / places_per_page);
        if ((found = FrameWalk(map, copy.looked, end).next(frame)) != 1) { break; }
        if (copy_wants(writer, frame)) {
            if (int error = copy_frame(writer, frame); error < 0) { return error; }
        }
        copy.looked = frame.end();
        places -= frame.length < places ? frame.length : places;
    }
    if (found == 0) { copy.looked = writer.committed; } // nothing lasting lies behind
    return found < 0 ? found : 0;
}

bool copy_is_complete(const Writer &writer) {
    const Copy &copy = writer.copy;
    return copy.looked == writer.committed && copy.wiped == copy.segment->map.geometry.table_slots;
}

void copy_abandon(Writer &writer) { writer.copy = Copy{}; }

void copy_supersede(Writer &writer, uint32_t original) {
    Copy &copy = writer.copy;
    if (original >= copy.looked) { return; }
    Frame frame;
    uint32_t place = place_of_copy(writer, original, frame);
    if (place == 0) { return; }
    store_successor(copy.segment->map.frame(place).successor, place); // dead from the start
    index_count_dead(copy.segment->map, place, frame.length, place);
    copy.dead += frame.length;
    copy.lasting.take(frame.length, frame.alignment, frame.flags);
}

bool has_superseders(const Writer &writer, uint64_t supersedes) {
    bool has_some = supersedes != 0;
    for (size_t i = 0; i < writer.pending_count; ++i) { has_some |= writer.pending[i].supersedes != 0; }
    return has_some;
}

bool copy_misses_something(const Writer &writer, uint64_t supersedes) {
    if (misses(writer, supersedes)) { return true; }
    for (size_t i = 0; i < writer.pending_count; ++i) {
        const Pending &pending = writer.pending[i];
        if (pending.has_frame() && misses(writer, pending.supersedes)) { return true; }
    }
    return false;
}

} // namespace speculo::core
