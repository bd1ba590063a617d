// SPDX-License-Identifier: LGPL-2.1-or-later
// A segment of which nothing is mapped: what the rules read of it is copied (O16). The names are those of SegmentMap.
//
// Why a copy may stand for each of the loads there:
//   commit word    goes from 0 to its value, once. Behind what is known to be committed it is looked at anew each time: of the two
//                  copies of the window the first has the word, so the second, behind a fence, has all of its frame.
//   fields         never change once their frame is committed: any copy that begins behind the word's will do.
//   successor      goes from 0 to its value, once (takeover's undoing aside, of what lies beyond every end). The window was filled
//                  after the end was fixed: know() empties it.
//   hint           as it was at some moment of the call, which is all that a load says. The walk begins there, or ends.
//   versions       `newest`, then `previous`: where newest lies beyond the end, the version before it is one of the end's, also if
//                  both have moved on in between; so they need not be of one moment.
//   generation     looked at behind the kernel's read lock, which keeps it as it is. next_id and prefix_end lie behind that.
//   index, slot    what lies below the end is final; the rest is torn or not, and is told by its place.
// The lock keeps an honest writer from using the segment again. What a hostile one stores meanwhile is as good as what it stored
// before: whatever was copied is checked.
#pragma once

#include "copier.hpp"
#include "segment.hpp"

namespace speculo::core {

class SegmentFile {
public:
    static constexpr bool is_mapped = false;

    // `map` without a mapping: its geometry, and how far it is readable; it has to outlive this.
    SegmentFile(const SegmentMap &map, int fd, Copier &copier)
        : geometry(map.geometry), readable(map.readable), fd_(fd), copier_(copier) {}

    const Geometry &geometry;
    const uint32_t &readable; // may grow

    uint32_t commit_at(uint32_t place) const {
        if (place >= copier_.known(fd_)) { copier_.fill(fd_, offset_of(place), chunks_end()); }
        return copier_.word<uint32_t>(fd_, offset_of(place), chunks_end());
    }
    uint32_t successor_at(uint32_t place) const {
        return copier_.word<uint32_t>(fd_, offset_of(place) + offsetof(FrameHeader, successor), chunks_end());
    }
    uint64_t id_flags_at(uint32_t place) const { return field_at<uint64_t>(place, offsetof(FrameHeader, id_flags)); }

    using Position = uint32_t;
    static Position position(uint32_t place) { return place; }
    template <class T> T field_at(Position frame, uint32_t offset) const {
        T value;
        copy_bytes(&value, key_at(frame, offset, sizeof value), sizeof value);
        return value;
    }
    // Valid until something else is read.
    const std::byte *key_at(Position frame, uint32_t offset, uint32_t size) const {
        return copier_.bytes(fd_, offset_of(frame) + offset, size, chunks_end());
    }
    void copy_payload(uint32_t place, uint32_t offset, void *ret_bytes, uint64_t size) const {
        copier_.copy(fd_, offset_of(place) + offset, ret_bytes, size_t(size));
    }
    uint64_t largest() const { return copier_.largest(); }

    uint32_t hint() const { return copier_.load_growing(fd_, offsetof(SegmentHeader, hint)); }
    uint64_t next_id() const { return copier_.load<uint64_t>(fd_, offsetof(SegmentHeader, next_id)); }
    uint32_t prefix_end() const { return copier_.load<uint32_t>(fd_, offsetof(SegmentHeader, prefix_end)); }
    uint64_t generation() const { return copier_.load<uint64_t>(fd_, offsetof(SegmentHeader, generation)); }
    uint32_t index_at(uint32_t page) const {
        constexpr uint64_t piece = Copier::most_at_once; // the search goes backwards, too
        uint64_t offset = page_size + page * sizeof(IndexEntry);
        if (!copier_.has(fd_, offset, sizeof(IndexEntry))) { copier_.fill(fd_, offset / piece * piece, geometry.table_offset); }
        return copier_.word<uint32_t>(fd_, offset, geometry.table_offset);
    }
    uint32_t slot_frame(uint64_t slot) const { return slot_word(slot, offsetof(KeySlot, frame)); }
    uint32_t slot_hash(uint64_t slot) const { return slot_word(slot, offsetof(KeySlot, hash)); }
    uint32_t slot_version(uint64_t slot, uint32_t end) const {
        uint64_t low = slot_offset(slot) + offsetof(KeySlot, versions) + (is_little_endian ? 0 : 4), high = low ^ 4;
        uint32_t newest = copier_.load_growing(fd_, low);
        return newest < end ? newest : copier_.load_growing(fd_, high);
    }

    // What is copied from here on was committed below that place.
    void all_is_committed_below(uint32_t place) const { copier_.know(fd_, place); }
    int error() const { return copier_.error(); }

private:
    uint64_t offset_of(uint32_t place) const { return geometry.chunks_offset + place * place_size; }
    uint64_t chunks_end() const { return offset_of(readable); }
    uint64_t slot_offset(uint64_t slot) const { return geometry.table_offset + slot * sizeof(KeySlot); }
    uint32_t slot_word(uint64_t slot, uint64_t offset) const {
        return copier_.word<uint32_t>(fd_, slot_offset(slot) + offset, geometry.chunks_offset);
    }

    int fd_;
    Copier &copier_;
};

} // namespace speculo::core
