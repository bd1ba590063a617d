// SPDX-License-Identifier: LGPL-2.1-or-later
// The shared format: what lies where in the objects of an area. Native byte order, the same for 32- and 64-bit processes.
//
//   NAME                   control page: identity, the owner's choices, which segment is current
//   NAME@lock              empty; carries the writer's exclusion lock
//   NAME@bell              one page: who sleeps, and the words that they sleep on
//   NAME@<slot>.<nonce>    segments: one current, the others history, used in turn
//
//   segment:   0      4096     aligned 64     aligned 4096                                   + capacity    + 512 bytes
//              | header | index  | key table    | chunks ...                                   | reserve     |
//
//   frame:     | commit 4 | successor 4 | id 7, flags 1 | fields the flags ask for | payload at its alignment |
//
// Places count 16 bytes from the beginning of the chunks; place 0 is never used. The reserve takes END, a marker and one removal.
#pragma once

#include "sync.hpp"

namespace speculo::core {

inline constexpr uint64_t control_magic = 0x314c4f5243504553; // "SEPCROL1" in memory of a little-endian machine
inline constexpr uint64_t segment_magic = 0x314745534c505345; // "ESPLSEG1"
inline constexpr uint32_t format_version = 3;
inline constexpr uint32_t byte_order_tag = 0x01020304;

inline constexpr uint64_t page_size = 4096; // of the format, not of the machine
inline constexpr uint64_t place_size = 16;
inline constexpr uint64_t reserve_size = 512;
inline constexpr uint32_t reserve_places = reserve_size / place_size;
inline constexpr uint32_t places_per_page = page_size / place_size;
inline constexpr uint32_t slot_bits = 5;
inline constexpr uint32_t max_slots = 1u << slot_bits;
inline constexpr uint32_t max_segments = 16; // used in turn; the other slots are for those that take the place of pinned ones
inline constexpr uint32_t max_key_size = 255;
inline constexpr uint32_t max_alignment_log2 = 12;
inline constexpr uint32_t max_alignment = 1u << max_alignment_log2;
inline constexpr uint64_t max_id = (uint64_t(1) << 56) - 1;
inline constexpr uint64_t default_capacity = uint64_t(1) << 20;
inline constexpr uint64_t capacity_limit = uint64_t(63) << 30; // keeps places within 32 bits

// ---- control page --------------------------------------------------------------------------------------------------------

enum Marks : uint32_t { // ControlPage::marks
    mark_removed = 1u << 0,
    mark_clean = 1u << 1,          // closed by its writer, everything written back
    mark_writer_unknown = 1u << 2, // the writer could not take the liveness lock
    mark_barrier = 1u << 3         // the writer leaves the fence of O12 to those who sleep
};

struct ControlPage {
    Shared<uint64_t> magic; // frozen, like version
    Shared<uint32_t> version;
    Shared<uint32_t> byte_order;
    Shared<uint64_t> area_id[2];
    Shared<uint64_t> boot_id[2];
    Shared<uint32_t> compatible;      // unknown bits: ignore
    Shared<uint32_t> read_compatible; // unknown bits: reading is fine, writing is not
    Shared<uint32_t> incompatible;    // unknown bits: refuse
    Shared<uint32_t> size;            // of this page
    // the owner's choices
    Shared<uint64_t> capacity;
    Shared<uint64_t> max_capacity;
    Shared<uint32_t> compact_percent;
    Shared<uint32_t> segments;
    Shared<uint32_t> flags; // SPECULO_AREA_LOSSLESS
    Shared<uint32_t> marks;
    Shared<uint32_t> writers; // how many there were so far
    uint8_t unused1[4];
    Shared<uint64_t> recovery_boot_id[2]; // the boot whose first writer has begun to end what had a deadline before it
    uint8_t unused5[8];
    Shared<uint64_t> current; // generation << 5 | slot; 0: still being created
    uint8_t unused2[56];
    Shared<uint32_t> bell; // for waiting readers of another uid
    uint8_t unused3[60];
    Shared<uint64_t> slots[max_slots]; // nonce << 32 | incarnation; nonce 0: no object
    uint8_t unused4[3584];
};
static_assert(sizeof(ControlPage) == page_size);
static_assert(offsetof(ControlPage, version) == 8 && offsetof(ControlPage, area_id) == 16 &&
              offsetof(ControlPage, boot_id) == 32);
static_assert(offsetof(ControlPage, byte_order) == 12 && offsetof(ControlPage, compatible) == 48);
static_assert(offsetof(ControlPage, read_compatible) == 52 && offsetof(ControlPage, incompatible) == 56);
static_assert(offsetof(ControlPage, size) == 60 && offsetof(ControlPage, capacity) == 64);
static_assert(offsetof(ControlPage, max_capacity) == 72 && offsetof(ControlPage, segments) == 84);
static_assert(offsetof(ControlPage, flags) == 88 && offsetof(ControlPage, recovery_boot_id) == 104);
static_assert(offsetof(ControlPage, compact_percent) == 80 && offsetof(ControlPage, marks) == 92);
static_assert(offsetof(ControlPage, writers) == 96 && offsetof(ControlPage, current) == 128);
static_assert(offsetof(ControlPage, bell) == 192 && offsetof(ControlPage, slots) == 256);

// ---- bell ------------------------------------------------------------------------------------------------------------------

// Only the owner may write it, so only readers of the owner's uid sleep on it. The flags are set by those who sleep, and cleared by
// who wakes them. Whatever stands in it, the worst that comes of it is a wake-up in vain, or one that is a slice late.
struct BellPage {
    Shared<uint32_t> sleepers; // flag: a reader sleeps on `word`
    Shared<uint32_t> watchers; // flag: a descriptor wants to hear of the next commit
    Shared<uint32_t> word;
    uint8_t unused1[52];
    Shared<uint32_t> writer_waits; // flag: a lossless area's writer sleeps on `room`
    Shared<uint32_t> room;
    uint8_t unused2[4024];
};
static_assert(sizeof(BellPage) == page_size);
static_assert(offsetof(BellPage, word) == 8 && offsetof(BellPage, writer_waits) == 64 && offsetof(BellPage, room) == 68);
inline constexpr uint64_t bell_touch_offset = page_size - 1; // a write here tells descriptors

constexpr uint64_t pack_current(uint64_t generation, uint32_t slot) { return generation << slot_bits | slot; }
constexpr uint64_t current_generation(uint64_t current) { return current >> slot_bits; }
constexpr uint32_t current_slot(uint64_t current) { return uint32_t(current & (max_slots - 1)); }
// END has the next one in the place of an id, which is what limits generations.
constexpr bool can_be_current(uint64_t current) { return current <= max_id - max_slots; }

constexpr uint64_t pack_slot(uint32_t nonce, uint32_t incarnation) { return uint64_t(nonce) << 32 | incarnation; }
constexpr uint32_t slot_nonce(uint64_t entry) { return uint32_t(entry >> 32); }
constexpr uint32_t slot_incarnation(uint64_t entry) { return uint32_t(entry); }

// Incarnations begin at 1, and wrap around.
constexpr uint32_t next_incarnation(uint32_t incarnation) { return incarnation == UINT32_MAX ? 1 : incarnation + 1; }
constexpr bool can_have_been(uint32_t incarnation, uint32_t newest) {
    return incarnation != 0 && int32_t(newest - incarnation) >= 0;
}

// ---- segment -------------------------------------------------------------------------------------------------------------

struct SegmentHeader {
    Shared<uint64_t> magic;
    Shared<uint32_t> version;
    Shared<uint32_t> byte_order;
    Shared<uint64_t> area_id[2];
    Shared<uint32_t> slot;
    Shared<uint32_t> incarnation; // which object of its slot this is
    Shared<uint64_t> capacity;
    Shared<uint64_t> table_slots;
    Shared<uint64_t> next_id;    // at the switch to this segment
    Shared<uint32_t> prefix_end; // place behind the chunks that were copied
    uint8_t unused1[4];
    Shared<uint64_t> generation; // 0: being overwritten, or not to be entered any more
    uint8_t unused2[48];
    Shared<uint32_t> hint; // an end not older than the last commit but one
    uint8_t unused3[60];
};
static_assert(sizeof(SegmentHeader) == 192); // the rest of its page is unused
static_assert(offsetof(SegmentHeader, version) == 8 && offsetof(SegmentHeader, byte_order) == 12);
static_assert(offsetof(SegmentHeader, area_id) == 16 && offsetof(SegmentHeader, incarnation) == 36);
static_assert(offsetof(SegmentHeader, table_slots) == 48);
static_assert(offsetof(SegmentHeader, slot) == 32 && offsetof(SegmentHeader, capacity) == 40);
static_assert(offsetof(SegmentHeader, next_id) == 56 && offsetof(SegmentHeader, prefix_end) == 64);
static_assert(offsetof(SegmentHeader, generation) == 72 && offsetof(SegmentHeader, hint) == 128);

struct IndexEntry {         // of a page of chunks
    Shared<uint32_t> first; // place of the first frame that begins there, 0 none
    Shared<uint32_t> dead; // places of its frames that are dead; once all are, a place behind the page: no end beyond it sees any
};
static_assert(sizeof(IndexEntry) == 8 && offsetof(IndexEntry, dead) == 4);

struct KeySlot {
    Shared<uint32_t> hash;
    Shared<uint32_t> frame;    // a frame that has the key; 0: empty
    Shared<uint64_t> versions; // previous << 32 | newest
};
static_assert(sizeof(KeySlot) == 16 && offsetof(KeySlot, frame) == 4 && offsetof(KeySlot, versions) == 8);

constexpr uint64_t pack_versions(uint32_t newest, uint32_t previous) { return uint64_t(previous) << 32 | newest; }
constexpr uint32_t newest_version(uint64_t versions) { return uint32_t(versions); }
constexpr uint32_t previous_version(uint64_t versions) { return uint32_t(versions >> 32); }

// ---- frame ---------------------------------------------------------------------------------------------------------------

enum FrameFlags : uint32_t {
    frame_expiry = 1u << 0,    // 64 bits: deadline in nanoseconds of host boot time
    frame_tag = 1u << 1,       // 32 bits
    frame_key = 1u << 2,       // 32 bits: place of the key's version before; a byte: size of the key; the key
    frame_aligned = 1u << 3,   // a byte, before that of the key: log2 of the payload's alignment
    frame_transient = 1u << 4, // not carried over by compaction
    frame_removed = 1u << 5,   // the key is removed
    frame_control = 1u << 6,   // no chunk: the other bits are a ControlKind
};
inline constexpr uint32_t frame_known_flags = 0x7f;
// Whether a frame is a chunk with a payload, which may be live: neither control frame nor removal.
constexpr bool is_chunk(uint32_t flags) { return (flags & (frame_control | frame_removed)) == 0; }

enum ControlKind : uint32_t {
    control_padding = frame_control | 1u << 0,
    control_marker = frame_control | 1u << 1, // stands for a commit that only obsoletes
    control_end = frame_control | 1u << 2     // successor: incarnation; id: `current` of the next segment
};

struct FrameHeader {
    Shared<uint32_t> commit;    // 0: not yet; else payload size + 1; size_follows: a 64-bit size ends the fields
    Shared<uint32_t> successor; // 0: live; else the place of what superseded this chunk
    Shared<uint64_t> id_flags;  // flags << 56 | id
};
static_assert(sizeof(FrameHeader) == place_size && offsetof(FrameHeader, successor) == 4 && offsetof(FrameHeader, id_flags) == 8);

inline constexpr uint32_t size_follows = 0xffffffff;
inline constexpr uint32_t first_place = 1;

constexpr uint64_t pack_id(uint64_t id, uint32_t flags) { return uint64_t(flags) << 56 | id; }
constexpr uint64_t frame_id(uint64_t id_flags) { return id_flags & max_id; }
constexpr uint32_t frame_flags(uint64_t id_flags) { return uint32_t(id_flags >> 56); }

// ---- geometry --------------------------------------------------------------------------------------------------------------

// Where a page of chunks ends.
constexpr uint32_t page_limit(uint32_t page) { return (page + 1) * places_per_page; }

constexpr uint64_t align_up(uint64_t value, uint64_t alignment) { return (value + alignment - 1) & ~(alignment - 1); }

// Where the parts of a segment lie; follows from two numbers that never change during an object's life.
struct Geometry {
    uint64_t capacity = 0;    // multiple of page_size
    uint64_t table_slots = 0; // power of two
    uint64_t table_offset = 0, chunks_offset = 0;
    uint64_t size = 0;      // of the whole object
    uint32_t chunk_end = 0; // place where chunks must end
    uint32_t place_end = 0; // place where the reserve ends
};

constexpr bool make_geometry(uint64_t capacity, uint64_t table_slots, Geometry &ret) {
    if (capacity == 0 || capacity > capacity_limit || capacity % page_size != 0) { return false; }
    if (table_slots == 0 || table_slots > uint64_t(1) << 31 || (table_slots & (table_slots - 1)) != 0) { return false; }
    uint64_t index_size = (capacity / page_size + 1) * sizeof(IndexEntry);
    ret.capacity = capacity;
    ret.table_slots = table_slots;
    ret.table_offset = align_up(page_size + index_size, 64);
    ret.chunks_offset = align_up(ret.table_offset + table_slots * sizeof(KeySlot), page_size);
    ret.size = align_up(ret.chunks_offset + capacity + reserve_size, page_size);
    ret.chunk_end = uint32_t(capacity / place_size);
    ret.place_end = ret.chunk_end + reserve_places;
    return true;
}

} // namespace speculo::core
