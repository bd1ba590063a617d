// SPDX-License-Identifier: LGPL-2.1-or-later
#include "index.hpp"

#include <cerrno>

namespace speculo::core {

namespace {

// A page's entry; 0 if no committed frame below `end` begins in it.
template <class Source> uint32_t entry_of(const Source &source, uint32_t page, uint32_t end) {
    uint32_t place = source.index_at(page);
    return place / places_per_page == page && place < end ? place : 0;
}

bool has_id(const Frame &frame) { return !frame.is_control(); }

// The first frame from `place` on that has an id, and at least `id`.
template <class Source> int walk_to(const Source &source, uint32_t place, uint32_t end, uint64_t id, Frame &frame) {
    FrameWalk walk(source, place, end);
    int found;
    while ((found = walk.next(frame)) == 1) {
        if (has_id(frame) && frame.id >= id) { return 1; }
    }
    return found;
}

// The last page of [first, last] with an entry.
template <class Source> bool last_named(const Source &source, uint32_t first, uint32_t last, uint32_t end, uint32_t &page) {
    for (page = last;; --page) {
        if (entry_of(source, page, end) != 0) { return true; }
        if (page == first) { return false; }
    }
}

void put_entry(const SegmentMap &map, uint32_t page, uint32_t first) {
    put(map.index()[page].first, first);
    put(map.index()[page].dead, 0u);
}

} // namespace

void index_resume(const SegmentMap &map, IndexWriter &index, uint32_t end) {
    index = IndexWriter{};
    if (end == first_place) { return; }
    uint32_t last = (end - 1) / places_per_page;
    index.pages = last + 1;
    index.named = entry_of(map, last, end) != 0 ? index.pages * places_per_page : 0;
}

void index_note_pages(const SegmentMap &map, IndexWriter &index, uint32_t place, uint32_t end) {
    uint32_t page = place / places_per_page, last_page = (end - 1) / places_per_page;
    if (page >= index.pages || index.named == 0) { put_entry(map, page, place); }
    for (uint32_t through = page + 1; through <= last_page; ++through) { put_entry(map, through, 0); }
    index.pages = last_page + 1;
    index.named = last_page == page ? index.pages * places_per_page : 0;
}

void index_count_dead(const SegmentMap &map, uint32_t place, uint64_t length, uint32_t committed) {
    uint32_t page = place / places_per_page, limit = page_limit(page);
    IndexEntry &entry = map.index()[page];
    uint32_t dead = peek(entry.dead) + (length < limit - place ? uint32_t(length) : limit - place);
    if (dead == limit - peek(entry.first)) { dead = committed < limit ? limit : committed; }
    put(entry.dead, dead);
}

void index_forget_dead(const SegmentMap &map, uint32_t end) {
    for (uint32_t page = 0; page * places_per_page < end; ++page) { put(map.index()[page].dead, 0u); }
}

// The page behind is asked for its first frame rather than a loop over those that a large one runs through: that one is passed sooner.
uint32_t index_pass_dead(const SegmentMap &map, uint32_t place, uint32_t end) {
    uint32_t page = place / places_per_page, dead = map.dead_at(page);
    if (dead < page_limit(page) || dead >= end) { return place; }
    uint32_t next = entry_of(map, page + 1, end);
    return next != 0 ? next : place;
}

template <class Source> int index_find(const Source &source, uint32_t end, uint64_t id, Frame &ret_frame) {
    if (end <= first_place) { return 0; }
    source.all_is_committed_below(end);
    uint32_t start = first_place; // a frame begins there, and no wanted one before it
    uint32_t low = 0, count = (end - 1) / places_per_page + 1;
    while (count > 0) {
        uint32_t half = count / 2, page;
        if (!last_named(source, low, low + half, end, page)) {
            low += half + 1;
            count -= half + 1;
            continue;
        }
        uint32_t place = entry_of(source, page, end);
        int found = walk_to(source, place, end, 1, ret_frame);
        if (found < 0) { return found; }
        if (found == 1 && ret_frame.id < id) {
            start = place;
            count -= half + 1;
            low += half + 1;
        } else {
            count = page - low;
        }
    }
    return walk_to(source, start, end, id, ret_frame);
}

template <class Source> int index_last_id(const Source &source, uint32_t end, uint64_t &ret_id) {
    ret_id = 0;
    if (end <= first_place) { return 0; }
    uint32_t limit = end; // no id from here on
    for (uint32_t page = (end - 1) / places_per_page;; --page) {
        uint32_t place = entry_of(source, page, end);
        if (page == 0 && place == 0) { place = first_place; }
        if (place != 0) {
            FrameWalk walk(source, place, limit);
            Frame frame;
            int found;
            while ((found = walk.next(frame)) == 1) {
                if (has_id(frame)) { ret_id = frame.id; }
            }
            if (found < 0) { return found; }
            if (ret_id != 0) { return 0; }
            limit = place;
        }
        if (page == 0) { return 0; }
    }
}

template int index_find(const SegmentMap &, uint32_t, uint64_t, Frame &);
template __attribute__((cold)) int index_find(const SegmentFile &, uint32_t, uint64_t, Frame &);
template int index_last_id(const SegmentMap &, uint32_t, uint64_t &);
template __attribute__((cold)) int index_last_id(const SegmentFile &, uint32_t, uint64_t &);

} // namespace speculo::core
