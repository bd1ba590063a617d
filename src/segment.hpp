// SPDX-License-Identifier: LGPL-2.1-or-later
// One segment: a memory object with its mapping, as the writer makes it and as a reader finds it.
#pragma once

#include "control.hpp"
#include "layout.hpp"

namespace speculo::core {

// A mapped segment. `readable` says how many places may be touched: the size of the object never exceeds what is allocated.
// What is read of it by rules that know SegmentFile too has the same name there.
struct SegmentMap {
    static constexpr bool is_mapped = true;

    std::byte *base = nullptr; // null: it is read as a SegmentFile
    std::byte *chunks = nullptr;
    uint32_t readable = 0;
    Geometry geometry;

    // The geometry is known.
    void put_at(void *address) {
        base = static_cast<std::byte *>(address);
        chunks = base + geometry.chunks_offset;
    }

    SegmentHeader &header() const { return *shared_at<SegmentHeader>(base); }
    IndexEntry *index() const { return shared_at<IndexEntry>(base + page_size); }
    KeySlot *table() const { return shared_at<KeySlot>(base + geometry.table_offset); }
    std::byte *bytes(uint32_t place) const { return chunks + place * place_size; }
    FrameHeader &frame(uint32_t place) const { return *shared_at<FrameHeader>(bytes(place)); }

    uint32_t commit_at(uint32_t place) const { return observe_commit(frame(place).commit); }
    uint32_t successor_at(uint32_t place) const { return load_successor(frame(place).successor); }
    uint64_t id_flags_at(uint32_t place) const { return peek(frame(place).id_flags); }
    // Where a frame is, for its fields.
    using Position = const std::byte *;
    Position position(uint32_t place) const { return bytes(place); }
    template <class T> static T field_at(Position frame, uint32_t offset) { return peek(*shared_at<Shared<T>>(frame + offset)); }
    static const std::byte *key_at(Position frame, uint32_t offset, uint32_t) { return frame + offset; }

    uint32_t hint() const { return observe_hint(header().hint); }
    uint64_t next_id() const { return peek(header().next_id); }
    uint32_t prefix_end() const { return peek(header().prefix_end); }
    uint64_t generation() const { return observe_generation(header().generation); }
    uint32_t index_at(uint32_t page) const { return peek(index()[page].first); }
    uint32_t dead_at(uint32_t page) const { return peek(index()[page].dead); }
    uint32_t slot_frame(uint64_t slot) const { return peek(table()[slot].frame); }
    uint32_t slot_hash(uint64_t slot) const { return peek(table()[slot].hash); }
    // Where to begin looking for the version of a slot's key that was newest at `end`.
    uint32_t slot_version(uint64_t slot, uint32_t end) const {
        uint64_t versions = observe_versions(table()[slot].versions);
        return newest_version(versions) < end ? newest_version(versions) : previous_version(versions);
    }

    void all_is_committed_below(uint32_t) const {}
    int error() const { return 0; }
};

// The writer's side of a segment.
struct WriterSegment {
    SegmentMap map;
    LockDescriptor file; // its locks are held for moments only
    uint32_t slot = 0;
    uint32_t nonce = 0, incarnation = 0;
    uint64_t generation = 0;
    uint64_t parked = 0;      // the generation that was current when its turn had come, but somebody looked at it; 0: not parked
    uint64_t parked_at = 0;   // by the coarse clock
    bool has_pending = false; // callers hold pointers into it
    WriterSegment *next = nullptr; // among those that lost their name but still have pending bytes

    // Places from `first` on that are allocated, the reserve aside.
    uint32_t soft_end() const { return map.readable - reserve_places; }
};

// Makes a complete new object for `slot`, its generation still 0, with room for `places` places and the reserve, and gives it
// its name. The slot's entry in the control page is stored before the name appears.
int segment_create(Area &area, uint32_t slot, const Geometry &geometry, uint64_t places, WriterSegment **ret_segment);

// Maps the object that the control page names for `slot`. -ENOENT if there is none.
int segment_adopt(Area &area, uint32_t slot, WriterSegment **ret_segment);

// Allocates memory so that `places` places and the reserve behind them are really there; in steps, as far as the system gives it.
int segment_extend(WriterSegment &segment, uint64_t places);

// Makes the first `bytes` bytes of the object really there and resident, in huge pages where the system has them; all or nothing, if it is
// not new. `is_new`: hardly anybody looks at it yet, so that what is there may be moved into huge pages as well.
int segment_prefault(WriterSegment &segment, uint64_t bytes, bool is_new);

// Takes the segment for the writer alone: nobody is inside, and nobody enters any more. -EAGAIN if someone is inside.
int segment_retake(WriterSegment &segment);

// Whether a cursor has yet to leave the segment. In a lossless area such a segment is waited for.
bool segment_has_cursor(const WriterSegment &segment);

// While a segment is being replaced no cursor may enter it; -EAGAIN if one is inside.
int segment_shut_out_cursors(WriterSegment &segment);
void segment_let_in_cursors(WriterSegment &segment);

// From now on nobody enters.
void segment_invalidate(WriterSegment &segment);

// Starts a generation: nothing committed, the zero word in place. The key table is to be emptied yet.
void segment_clear(WriterSegment &segment);

// Takes its name from a segment that nobody needs, and frees it.
void segment_remove(Area &area, WriterSegment *segment);

// Lets go of the mapping and frees it. The name stays.
void segment_free(WriterSegment *segment);

// The first thing that is wrong with a segment's header; 0 and null: nothing.
struct Flaw {
    int error;
    const char *text; // in English, static
};
Flaw segment_flaw(const Area &area, const SegmentHeader &header, uint64_t size, uint32_t slot, uint64_t entry,
                  Geometry &ret_geometry);

// What both sides check of an object before they believe its geometry. -EBADMSG, -EPROTONOSUPPORT, or -ESTALE when it is not
// the object that slot and entry say.
int segment_validate(const Area &area, const SegmentHeader &header, uint64_t size, uint32_t slot, uint64_t entry,
                     Geometry &ret_geometry);

// How many places an object of that size has memory for.
uint32_t segment_readable(const Geometry &geometry, uint64_t size);

} // namespace speculo::core
