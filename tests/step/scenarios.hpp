// SPDX-License-Identifier: LGPL-2.1-or-later
// What writers do while they are killed at every instruction.
#pragma once

#include <ostream>
#include <vector>

#include "play.hpp"

namespace speculo::test {

enum Traits : unsigned {
    ordinary = 0,
    goes_round = 1,    // a segment in which readers may have been is used again: none are there
    is_pinned = 2,     // a reader stands beside the whole time
    on_a_disk = 4,     // the file system outlives the running system
    is_full = 8,       // whoever goes on has to compact first
    was_rebooted = 16, // between what is prepared and what is done
    dies_before = 32,  // who has prepared it, without closing
    is_later = 64,     // when it is done, by more than the deadlines
};

inline constexpr uint64_t hour = uint64_t(3600) * 1000000000; // to live, where a chunk has a deadline

struct Scenario {
    const char *name;
    unsigned traits;
    AreaChoices choices;
    void (*prepare)(Play &, const AreaChoices &);
    void (*act)(Play &, const AreaChoices &); // this is what is watched
};

inline void PrintTo(const Scenario &scenario, std::ostream *out) { *out << scenario.name; }

const std::vector<Scenario> &all_scenarios();

} // namespace speculo::test
