// SPDX-License-Identifier: LGPL-2.1-or-later
// The key table of a segment. In the current one a writer may enter versions meanwhile: each word is judged by the rules for a
// reader whose end is older.
#include "check.hpp"
#include "keytable.hpp"

namespace speculo::core {

namespace {

Key key_of(const Frame &frame, uint64_t seed) {
    return Key{frame.key, frame.key_size, key_hash(seed, frame.key, frame.key_size)};
}

bool is_version(const SegmentCheck &check, uint32_t place, const Key &key) {
    return check.is_frame(place) && has_key(check.map(), place, key);
}

// Which version of the slot's key is the newest at the end; the way there may begin behind what was readable. -EBADMSG: there is
// none; another error was told.
int64_t version_at_end(SegmentCheck &check, const KeySlot &slot) {
    for (;;) {
        int64_t place = key_version_at(check.map(), check.end, slot);
        if (place != -EBADMSG) { return place; }
        int grown = attachment_measure(check.segment, check.segment.map);
        if (grown == 0) { return place; }
        if (grown < 0) {
            check.findings.add(grown, "segment", check.name.text, "how far it reaches cannot be known");
            return grown;
        }
    }
}

bool was_told(int64_t place) { return place < 0 && place != -EBADMSG; }

void check_versions(SegmentCheck &check, uint32_t number, uint32_t place, const Key &key) {
    const KeySlot &slot = check.map().table()[number];
    uint64_t versions = observe_versions(slot.versions);
    uint32_t newest = newest_version(versions), previous = previous_version(versions), limit = check.map().geometry.place_end;
    bool is_plausible = newest >= place && newest < limit && previous <= newest && (previous == 0 || previous >= place);
    bool is_newest_sound = newest >= check.end || is_version(check, newest, key);
    bool is_previous_sound = previous == 0 || previous >= check.end || is_version(check, previous, key);
    if (!is_plausible || !is_newest_sound || !is_previous_sound) {
        return check.bad("key slot %: newest and previous, places % and %, are not two versions of its key", number, newest,
                         previous);
    }
    int64_t found = version_at_end(check, slot);
    if (was_told(found)) { return; }
    if (found <= 0 || !is_version(check, uint32_t(found), key)) {
        check.bad("key slot %: the way from newest and previous, places % and %, leads to no version of its key", number, newest,
                  previous);
    }
}

// Returns whether the slot is taken.
bool check_slot(SegmentCheck &check, uint32_t number, uint64_t seed) {
    const KeySlot &slot = check.map().table()[number];
    uint32_t place = peek(slot.frame);
    if (place >= check.map().geometry.place_end) {
        check.bad("key slot %: its frame, place %, lies beyond the segment", number, place);
    }
    if (place == 0 || place >= check.end) { return false; }
    Frame frame;
    if (!check.is_frame(place) || FrameWalk(check.map(), place, check.end).next(frame) != 1 || !frame.key) {
        check.bad("key slot %: no frame with a key begins at place %", number, place);
        return true;
    }
    Key key = key_of(frame, seed);
    uint32_t hash = peek(slot.hash);
    if (hash != key.hash) {
        check.bad("key slot %: its hash is %, but that of its key, at place %, is %", number, Hex{hash}, place, Hex{key.hash});
    } else if (key_search(check.map(), check.end, key).slot != &slot) {
        check.bad("key slot %: a search for its key, at place %, does not come here", number, place);
    }
    check_versions(check, number, place, key);
    return true;
}

void check_link(SegmentCheck &check, const Frame &frame, const Key &key) {
    if (frame.link == 0) { return; } // the first version in this segment
    if (frame.link >= frame.place || !is_version(check, frame.link, key)) {
        check.bad("place %: the link to the version before, place %, leads to none", frame.place, frame.link);
    }
}

// A key leads to its newest version, so that what is live is found, and nothing else of that key is live.
void check_lookup(SegmentCheck &check, const Frame &frame, const Key &key) {
    uint32_t successor = load_successor(check.map().frame(frame.place).successor);
    bool is_live = frame.is_chunk() && (successor == 0 || successor >= check.end);
    KeySearch search = key_search(check.map(), check.end, key);
    int64_t found = search.found ? version_at_end(check, *search.slot) : 0;
    if (was_told(found)) { return; }
    if (!search.found || found < 0) {
        check.bad("place %: the key of chunk % is not found in the key table", frame.place, frame.id);
    } else if (found < frame.place) {
        check.bad("place %: the key of chunk % leads to an older version, place %", frame.place, frame.id, uint32_t(found));
    } else if (is_live && found > frame.place) {
        check.bad("place %: chunk % is live, but its key leads to another, place %", frame.place, frame.id, uint32_t(found));
    }
}

} // namespace

void check_keys(SegmentCheck &check, uint64_t seed) {
    uint64_t slots = check.map().geometry.table_slots, taken = 0;
    for (uint64_t i = 0; i < slots && !check.findings.is_full(); ++i) { taken += check_slot(check, uint32_t(i), seed); }
    if (key_table_is_full(slots, taken)) {
        return check.bad("key table: % of % slots are taken", taken, slots); // and a search would take too long
    }
    FrameWalk walk(check.map(), first_place, check.end);
    Frame frame;
    while (walk.next(frame) == 1 && !check.findings.is_full()) {
        if (!frame.key) { continue; }
        Key key = key_of(frame, seed);
        check_link(check, frame, key);
        check_lookup(check, frame, key);
    }
}

} // namespace speculo::core
