// SPDX-License-Identifier: LGPL-2.1-or-later
// One segment: header, frames, index, successor words. What is wrong may be anything, and a writer may be at work; so the frames
// are walked from the first one on, and nothing but their own commit words says where they end.
#include "check.hpp"

namespace speculo::core {

namespace {

// What is met on the way to the end.
struct Walk {
    uint32_t hint; // loaded first: all commits up to there are visible
    uint32_t prefix_end;
    uint32_t index_page;  // the first one whose entry was not looked at
    uint64_t last_id;     // 0: none yet
    uint64_t prefix_id;   // the last one below the end of the prefix
    uint64_t first_after; // the first one behind it
};

// The frame at a place, whatever stands there. 1, 0 there is none, -EBADMSG, or what the system gave.
int frame_at(SegmentCheck &check, uint32_t place, Frame &frame) {
    for (int i = 0; i < 2; ++i) {
        if (place < check.map().readable) {
            uint32_t commit = observe_commit(check.map().frame(place).commit);
            if (commit == 0) { return 0; }
            if (read_frame(check.map(), place, commit, frame)) { return 1; }
        }
        if (int error = attachment_refresh(check.segment); error < 0) { return error; } // it may have grown meanwhile
    }
    return -EBADMSG;
}

uint32_t index_entry(const SegmentCheck &check, uint32_t page) { return check.map().index_at(page); }

// Pages that a committed frame runs through, without one that begins there.
void check_empty_pages(SegmentCheck &check, Walk &walk, uint32_t page) {
    for (; walk.index_page < page && !check.findings.is_full(); ++walk.index_page) {
        uint32_t entry = index_entry(check, walk.index_page);
        if (entry != 0) { check.bad("index entry % is %, but no frame begins in that page", walk.index_page, entry); }
    }
}

void check_index(SegmentCheck &check, Walk &walk, uint32_t place) {
    uint32_t page = place / places_per_page;
    if (page < walk.index_page) { return; }
    check_empty_pages(check, walk, page);
    uint32_t entry = index_entry(check, page);
    if (entry != place) { check.bad("index entry % is %, but the page's first frame is at place %", page, entry, place); }
    walk.index_page = page + 1;
}

// Nothing is known of pages behind the last committed byte; and in the last one a frame of later may begin.
void check_rest_of_index(SegmentCheck &check, Walk &walk) {
    if (check.end == first_place) { return; }
    uint32_t last = (check.end - 1) / places_per_page;
    check_empty_pages(check, walk, last);
    if (walk.index_page > last) { return; }
    uint32_t entry = index_entry(check, last);
    bool is_later = entry >= check.end && entry / places_per_page == last;
    if (entry != 0 && !is_later) { check.bad("index entry % is %, but no frame begins in that page", last, entry); }
}

void check_chunk(SegmentCheck &check, Walk &walk, const Frame &frame) {
    uint32_t place = frame.place;
    uint64_t id = frame.id;
    if (id <= walk.last_id) { check.bad("place %: chunk % follows chunk %", place, id, walk.last_id); }
    if (frame.is_chunk() && frame.end() > check.map().geometry.chunk_end) {
        check.bad("place %: chunk % reaches beyond the capacity, into the reserve", place, id);
    }
    uint64_t payload = place * place_size + uint64_t(frame.payload - check.map().bytes(place));
    if (frame.alignment != 0 && payload % frame.alignment != 0) {
        check.bad("place %: the payload of chunk % is not aligned to % bytes", place, id, frame.alignment);
    }
    walk.last_id = id;
    if (place < walk.prefix_end) {
        walk.prefix_id = id;
    } else if (walk.first_after == 0) {
        walk.first_after = id;
    }
}

// Walks to the first place where nothing is committed, or END. 0, or an error: then there is no end to judge by.
int find_first_end(SegmentCheck &check, Walk &walk) {
    Frame frame;
    for (check.end = first_place;; check.end = frame.end()) {
        int found = frame_at(check, check.end, frame);
        int error = check.boundaries.make_room(check.map().readable);
        if (error < 0 || found < 0) { return error < 0 ? error : found; }
        check.boundaries.add(check.end);
        check.has_end_frame = found == 1 && frame.flags == control_end;
        if (found == 0 || check.has_end_frame) { break; }
        if (!frame.is_control()) { check_chunk(check, walk, frame); }
        check_index(check, walk, check.end);
    }
    check.end_frame = frame;
    check_rest_of_index(check, walk);
    return 0;
}

void check_header(SegmentCheck &check, const Walk &walk) {
    if (!check.boundaries.has(walk.hint)) {
        check.bad("offset %: no frame begins at the hint, place %", offsetof(SegmentHeader, hint), walk.hint);
    }
    if (!check.boundaries.has(walk.prefix_end)) {
        check.bad("offset %: no frame begins at the end of the prefix, place %", offsetof(SegmentHeader, prefix_end),
                  walk.prefix_end);
    }
    uint64_t next_id = peek(check.map().header().next_id);
    size_t offset = offsetof(SegmentHeader, next_id);
    if (next_id == 0 || next_id > max_id + 1) {
        check.bad("offset %: the next id, %, is none", offset, next_id);
    } else if (walk.prefix_id >= next_id || (walk.first_after != 0 && walk.first_after < next_id)) {
        check.bad("offset %: the next id, %, does not lie between the chunks that were copied and those behind", offset, next_id);
    }
}

void tell_broken_frame(SegmentCheck &check, int error) {
    if (error == -EBADMSG) {
        check.bad("place %: the frame is senseless, or reaches beyond the segment's memory", check.end);
    } else {
        check.findings.add(error, "segment", check.name.text, "place %: could not be looked at", check.end);
    }
}

} // namespace

int Boundaries::make_room(uint32_t places) {
    size_t count = size_t(places / 64) + 1;
    if (count <= count_) { return 0; }
    void *moved = os::operations.resize(words_, count * sizeof(uint64_t));
    if (!moved) { return -ENOMEM; }
    words_ = static_cast<uint64_t *>(moved);
    for (; count_ < count; ++count_) { words_[count_] = 0; }
    return 0;
}

bool check_frames(SegmentCheck &check) {
    const SegmentHeader &header = check.map().header();
    Walk walk{};
    walk.hint = observe_hint(header.hint);
    walk.prefix_end = peek(header.prefix_end);
    if (int error = find_first_end(check, walk); error < 0) {
        tell_broken_frame(check, error);
        return false;
    }
    if (walk.hint > check.end) {
        check.bad("place %: nothing is committed there, but the hint says that commits reach to place %", check.end, walk.hint);
        return false;
    }
    check_header(check, walk);
    return true;
}

// Who looks for live chunks would not find this one.
void check_page(SegmentCheck &check, const Frame &frame) {
    uint32_t page = frame.place / places_per_page, dead = check.map().dead_at(page);
    if (dead >= page_limit(page) && dead < check.end) {
        check.bad("index entry % says that the page is dead since place %, but chunk % at place % is not", page, dead, frame.id,
                  frame.place);
    }
}

void check_successors(SegmentCheck &check) {
    FrameWalk walk(check.map(), first_place, check.end);
    Frame frame;
    while (walk.next(frame) == 1 && !check.findings.is_full()) {
        uint32_t successor = load_successor(check.map().frame(frame.place).successor);
        if (frame.is_chunk() && (successor == 0 || successor >= check.end)) { check_page(check, frame); }
        if (successor >= check.map().geometry.place_end) {
            check.bad("place %: the successor, place %, lies beyond the segment", frame.place, successor);
        } else if (frame.is_control() && successor != 0) {
            check.bad("place %: what is no chunk has a successor, place %", frame.place, successor);
        } else if (successor != 0 && successor < frame.place) {
            check.bad("place %: the successor, place %, is older", frame.place, successor);
        } else if (successor != 0 && successor < check.end && !check.is_frame(successor)) {
            check.bad("place %: no frame begins at the successor, place %", frame.place, successor);
        }
    }
}

} // namespace speculo::core
