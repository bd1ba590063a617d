// SPDX-License-Identifier: LGPL-2.1-or-later
// What a new writer does before anything else: whatever instruction the one before died at, the area is sound again. It trusts
// nothing beyond the end, and makes no commit before everything is undone.
#include <cerrno>

#include "writer.hpp"

namespace speculo::core {

namespace {

int no_refresh(void *) { return 0; } // the writer knows how far its segments reach

// A slot whose object is missing, or was never finished, is free.
void forget_slot(Area &area, uint32_t slot) {
    publish_slot(area.control->slots[slot], pack_slot(0, slot_incarnation(peek(area.control->slots[slot]))));
}

int adopt_segments(Writer &writer, uint32_t current) {
    int damage = 0;
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        if (slot_nonce(peek(writer.area.control->slots[slot])) == 0) { continue; }
        int error = segment_adopt(writer.area, slot, &writer.segments[slot]);
        bool is_unusable =
            error == -ENOENT || error == -ESTALE || error == -EBADMSG || error == -EPROTONOSUPPORT || error == -EPERM;
        if (error < 0 && !is_unusable) { return error; }
        if (error < 0 && slot == current) { damage = error == -EPERM ? error : -EBADMSG; }
        if (error < 0 && slot != current) { forget_slot(writer.area, slot); }
    }
    return damage == 0 && !writer.segments[current] ? -EBADMSG : damage;
}

// The one before died between `current` and END: its readers wait at a zero word.
void finish_switch(Writer &writer, WriterSegment &old) {
    uint32_t end;
    if (find_end(old.map, first_place, no_refresh, nullptr, end) < 0) {
        segment_invalidate(old); // damaged history
        return;
    }
    const WriterSegment &current = *writer.current;
    if (observe_commit(old.map.frame(end).commit) == 0) {
        publish_end(old.map, end, current.generation, current.slot, current.incarnation);
    }
}

void sort_out_generations(Writer &writer) {
    uint64_t current = writer.current->generation;
    for (WriterSegment *segment : writer.segments) {
        if (!segment) { continue; }
        if (segment->generation > current) { segment_invalidate(*segment); }
        if (segment->generation + 1 == current && segment->generation != 0) { finish_switch(writer, *segment); }
    }
}

// Undoes the successor words of a batch that was not committed, and counts.
int scan_frames(Writer &writer, uint64_t &last_id) {
    const SegmentMap &map = writer.current->map;
    index_forget_dead(map, writer.committed);
    FrameWalk walk(map, first_place, writer.committed);
    Frame frame;
    int found;
    while ((found = walk.next(frame)) == 1) {
        uint32_t successor = load_successor(map.frame(frame.place).successor);
        if (successor >= writer.committed) {
            store_successor(map.frame(frame.place).successor, 0);
            successor = 0;
        }
        if (successor != 0) {
            writer.dead += frame.length;
        } else {
            writer.lasting.add(frame.place, frame.length, frame.alignment, frame.flags);
        }
        if (successor != 0 || !frame.is_chunk()) { index_count_dead(map, frame.place, frame.length, writer.committed); }
        if (!frame.is_control()) {
            if (frame.id <= last_id) { return -EBADMSG; }
            last_id = frame.id;
        }
    }
    return found;
}

// Undoes the key slots and words of a batch that was not committed, and counts.
int scan_keys(Writer &writer) {
    const SegmentMap &map = writer.current->map;
    for (uint64_t i = 0; i < map.geometry.table_slots; ++i) {
        KeySlot &slot = map.table()[i];
        uint32_t frame = peek(slot.frame);
        if (frame == 0) { continue; }
        if (frame >= writer.committed) {
            put(slot.frame, 0u);
            continue;
        }
        if (newest_version(peek(slot.versions)) >= writer.committed) {
            int64_t version = key_version_at(map, writer.committed, slot); // as readers find it
            if (version <= 0) { return -EBADMSG; }
            publish_versions(slot.versions, pack_versions(uint32_t(version), uint32_t(version)));
        }
        ++writer.keys;
    }
    return 0;
}

int resume(Writer &writer) {
    const SegmentMap &map = writer.current->map;
    if (int error = find_end(map, first_place, no_refresh, nullptr, writer.committed); error < 0) { return error; }
    if (observe_commit(map.frame(writer.committed).commit) != 0) { return -EBADMSG; } // END in the current segment
    uint64_t last_id = 0;
    if (int error = scan_frames(writer, last_id); error < 0) { return error; }
    if (int error = scan_keys(writer); error < 0) { return error; }
    uint64_t next_id = peek(map.header().next_id);
    if (next_id == 0 || next_id > max_id + 1) { return -EBADMSG; }
    writer.next_id = writer.first_id = next_id > last_id ? next_id : last_id + 1;
    index_resume(map, writer.index, writer.committed);
    publish_hint(map.header().hint, writer.committed);
    writer.tail = writer.committed;
    compact_plan(writer);
    return 0;
}

struct Leftovers {
    const Area *area;
    bool found;
};

bool is_named(const Area &area, const char *name) {
    for (uint32_t slot = 0; slot < max_slots; ++slot) {
        uint32_t nonce = slot_nonce(peek(area.control->slots[slot]));
        if (nonce != 0 && is_same_name(segment_name(area.place, slot, nonce), name)) { return true; }
    }
    return is_same_name(lock_name(area.place), name) || is_same_name(bell_name(area.place), name);
}

void unlink_leftover(void *user, const char *name) {
    auto &leftovers = *static_cast<Leftovers *>(user);
    const Area &area = *leftovers.area;
    os::FileStatus status;
    if (!is_object_of(area.place, name) || is_named(area, name)) { return; }
    if (os::operations.status_at(area.place.directory, name, &status) < 0) { return; }
    bool is_ours = status.uid == area.owner || status.uid == os::operations.user();
    if (is_ours && os::operations.unlink(area.place.directory, name) == 0) { leftovers.found = true; }
}

} // namespace

void unlink_leftovers(const Area &area) {
    constexpr int rounds = 4; // a directory that changes while it is listed may hide a name
    Leftovers leftovers{&area, true};
    for (int i = 0; i < rounds && leftovers.found; ++i) {
        leftovers.found = false;
        os::operations.list(area.place.directory, unlink_leftover, &leftovers);
    }
}

namespace {

// Makes the first segment of an area, or the first one after everything was given up.
int start_segment(Writer &writer, uint32_t slot, uint64_t generation, uint64_t next_id) {
    ControlPage &control = *writer.area.control;
    uint64_t capacity = peek(control.capacity);
    Geometry geometry;
    if (!make_geometry(capacity, key_table_slots(capacity, 0, 0), geometry)) { return -EBADMSG; }
    if (int error = segment_create(writer.area, slot, geometry, first_place, &writer.segments[slot]); error < 0) { return error; }
    writer.current = writer.segments[slot];
    writer.current->generation = generation;
    segment_clear(*writer.current);
    SegmentHeader &header = writer.current->map.header();
    put(header.next_id, next_id);
    publish_generation(header.generation, generation);
    publish_current(control.current, pack_current(generation, slot));
    return resume(writer);
}

uint64_t last_known_id(const Writer &writer) {
    uint64_t last = 0;
    for (const WriterSegment *segment : writer.segments) {
        if (!segment) { continue; }
        uint64_t before = peek(segment->map.header().next_id) - 1;
        if (before < max_id && before > last) { last = before; }
        FrameWalk walk(segment->map, first_place, segment->map.readable - 1);
        Frame frame;
        while (walk.next(frame) == 1) {
            if (!frame.is_control() && frame.id < max_id && frame.id > last) { last = frame.id; }
        }
    }
    return last;
}

} // namespace

int take_over(Writer &writer) {
    ControlPage &control = *writer.area.control;
    uint64_t current = peek(control.current);
    if (current == 0) {
        for (uint32_t slot = 0; slot < max_slots; ++slot) { forget_slot(writer.area, slot); }
        unlink_leftovers(writer.area);
        return start_segment(writer, 0, 1, 1);
    }
    if (!can_be_current(current)) { return -EBADMSG; }
    uint32_t slot = current_slot(current);
    if (int error = adopt_segments(writer, slot); error < 0) { return error; }
    writer.current = writer.segments[slot];
    if (writer.current->generation != current_generation(current)) { return -EBADMSG; }
    sort_out_generations(writer);
    if (int error = resume(writer); error < 0) { return error; }
    drop_surplus(writer); // what was parked
    unlink_leftovers(writer.area);
    return 0;
}

int start_afresh(Writer &writer) {
    uint64_t current = peek(writer.area.control->current);
    int error = adopt_segments(writer, current_slot(current));
    if (error < 0 && error != -EBADMSG) { return error; } // the ids may well be known later
    uint64_t last_id = last_known_id(writer);
    for (WriterSegment *&segment : writer.segments) {
        if (segment) { segment_free(segment); }
        segment = nullptr;
    }
    // In another slot, and nothing is given up before it is there: if this fails, the ids are still known.
    uint32_t slot = (current_slot(current) + 1) % max_slots;
    uint64_t generation = can_be_current(current) ? current_generation(current) : 0;
    error = start_segment(writer, slot, generation + 1, last_id + 1);
    if (error < 0) { return error; }
    for (uint32_t other = 0; other < max_slots; ++other) {
        if (other != slot) { forget_slot(writer.area, other); }
    }
    unlink_leftovers(writer.area);
    return 0;
}

} // namespace speculo::core
