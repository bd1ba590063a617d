// SPDX-License-Identifier: LGPL-2.1-or-later
// The check of an area: reads everything as a reader may, beside a living writer or behind a dead one, and tells what cannot be.
#pragma once

#include <cerrno>

#include "pins.hpp"
#include "speculo/speculo.h"
#include "text.hpp"

namespace speculo::core {

// ---- check.cpp: the area's objects ----

int area_check(const char *name, speculo_report_fn report, void *user);

// What is wrong, told as it is found.
class Findings {
public:
    Findings(speculo_report_fn report, void *user) : report_(report), user_(user) {}

    // `kind` and `name` of the object, and what is wrong with it.
    template <class... Values> void add(int error, const char *kind, const char *name, const char *pattern, Values... values) {
        const Value all[] = {kind, name, Value(values)...};
        tell(error, pattern, all, all + sizeof...(values) + 2);
    }

    // Nothing more is listed, so nothing more need be looked at.
    bool is_full() const { return count_ > most; }
    // 0, -EBADMSG, or what the system gave first: then nothing was wrong with what could be looked at.
    int result() const { return result_; }

private:
    // `values`: kind, name, and those of the pattern.
    void tell(int error, const char *pattern, const Value *values, const Value *end);

    static constexpr uint32_t most = 100;

    speculo_report_fn report_;
    void *user_;
    uint32_t count_ = 0;
    int result_ = 0;
};

// ---- check_segment.cpp: one segment that is pinned ----

// A bit for each place where a frame begins.
class Boundaries {
public:
    Boundaries() = default;
    ~Boundaries() { os::operations.release(words_); }
    Boundaries(const Boundaries &) = delete;
    Boundaries &operator=(const Boundaries &) = delete;

    int make_room(uint32_t places);
    void add(uint32_t place) { words_[place / 64] |= uint64_t(1) << place % 64; }
    bool has(uint32_t place) const { return place / 64 < count_ && (words_[place / 64] >> place % 64 & 1); }

private:
    uint64_t *words_ = nullptr;
    size_t count_ = 0;
};

// Everything is judged at one end, which was fixed first.
struct SegmentCheck {
    SegmentCheck(Findings &all, const ObjectName &object, Attachment &pinned) : findings(all), name(object), segment(pinned) {}

    template <class... Values> void bad(const char *pattern, Values... values) {
        findings.add(-EBADMSG, "segment", name.text, pattern, values...);
    }
    const SegmentMap &map() const { return segment.map; }
    // A committed frame begins there; the end is no such place.
    bool is_frame(uint32_t place) const { return place < end && boundaries.has(place); }

    Findings &findings;
    const ObjectName &name;
    Attachment &segment;
    Boundaries boundaries; // up to the end, which is one too
    uint32_t end = 0;      // the first place without a committed frame; or that of END
    bool has_end_frame = false;
    Frame end_frame{}; // if it has
};

// Finds the end, and looks at everything that needs no other end. Returns whether the rest can be judged.
bool check_frames(SegmentCheck &check);
// Successor words, and pages of which nothing lives.
void check_successors(SegmentCheck &check);

// ---- check_keys.cpp ----

// The key table, and whether every key leads to its newest version. In history too: snapshots that were opened in time look
// keys up there, and nobody changes it any more.
void check_keys(SegmentCheck &check, uint64_t seed);

} // namespace speculo::core
