// SPDX-License-Identifier: LGPL-2.1-or-later
// The index of a segment: per page of chunks the place of the first frame that begins there, and whether anything of it lives. Ids
// ascend along a segment, so an id is found by binary search; and what looks for live chunks passes pages that have none.
#pragma once

#include "frame.hpp"

namespace speculo::core {

// The writer's side: notes frames in order, before their commit is published. Entries below the commit stay as they are; those of
// pages that a frame runs through become 0, so that none of a former generation is ever met below an end.
struct IndexWriter {
    uint32_t pages = 0; // entries of these are written
    uint32_t named = 0; // place behind the last of them, if it names a frame: what ends up to here has nothing to note; else 0
};

// What begins or ends beyond the last page that is named.
void index_note_pages(const SegmentMap &map, IndexWriter &index, uint32_t place, uint32_t end);

inline void index_note(const SegmentMap &map, IndexWriter &index, uint32_t place, uint64_t length) {
    uint32_t end = uint32_t(place + length);
    if (__builtin_expect(end > index.named, 0)) { index_note_pages(map, index, place, end); }
}

// A frame is dead by the commit in progress, or no chunk: once for each. `committed`: the end before that commit. Every later end lies
// beyond it, and sees what has superseded frames of the page so far.
void index_count_dead(const SegmentMap &map, uint32_t place, uint64_t length, uint32_t committed);

// Forgets what was counted in the pages below `end`.
void index_forget_dead(const SegmentMap &map, uint32_t end);

// Where to go on from a frame: at the first one of the next page, if nothing of this page is visible at `end`; else at the frame itself.
uint32_t index_pass_dead(const SegmentMap &map, uint32_t place, uint32_t end);

// Takes the index of a segment over whose committed frames end at `end`.
void index_resume(const SegmentMap &map, IndexWriter &index, uint32_t end);

// The first frame with an id of at least `id` among the committed frames below `end`: 1 and the frame, 0 none, or -EBADMSG.
template <class Source> int index_find(const Source &source, uint32_t end, uint64_t id, Frame &ret_frame);

// The last id below `end`; 0 none.
template <class Source> int index_last_id(const Source &source, uint32_t end, uint64_t &ret_id);

} // namespace speculo::core
