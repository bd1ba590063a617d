// SPDX-License-Identifier: LGPL-2.1-or-later
// The id index of a segment: per page of chunks the place of the first frame that begins there. Ids ascend along a segment, so
// an id is found by binary search.
#pragma once

#include "frame.hpp"

namespace speculo::core {

// The writer's side: notes frames in order, before their commit is published. Entries below the commit stay as they are; those of
// pages that a frame runs through become 0, so that none of a former generation is ever met below an end.
struct IndexWriter {
    uint32_t pages = 0;         // entries of these are written
    bool last_is_named = false; // the last of them names a frame
};

inline void index_note(const SegmentMap &map, IndexWriter &index, uint32_t place, uint64_t length) {
    uint32_t page = place / places_per_page;
    uint32_t last_page = uint32_t((place + length - 1) / places_per_page);
    if (last_page < index.pages && index.last_is_named) { return; }
    if (page >= index.pages || !index.last_is_named) { put(map.index()[page], place); }
    for (uint32_t through = page + 1; through <= last_page; ++through) { put(map.index()[through], 0u); }
    index.last_is_named = last_page == page;
    index.pages = last_page + 1;
}

// Takes the index of a segment over whose committed frames end at `end`.
void index_resume(const SegmentMap &map, IndexWriter &index, uint32_t end);

// The first frame with an id of at least `id` among the committed frames below `end`: 1 and the frame, 0 none, or -EBADMSG.
template <class Source> int index_find(const Source &source, uint32_t end, uint64_t id, Frame &ret_frame);

// The last id below `end`; 0 none.
template <class Source> int index_last_id(const Source &source, uint32_t end, uint64_t &ret_id);

} // namespace speculo::core
