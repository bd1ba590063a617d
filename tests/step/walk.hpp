// SPDX-License-Identifier: LGPL-2.1-or-later
// Walks a writer through a scenario, instruction by instruction, and has every image judged that it leaves in shared memory.
#pragma once

#include <string>
#include <vector>

#include "judge.hpp"
#include "scenarios.hpp"

namespace speculo::test {

// How far to go.
struct Extent {
    unsigned takeovers = 0;     // every so many images, the takeover is walked through too; 0: never
    unsigned depth = 1;         // takeovers of takeovers of ...
    std::vector<unsigned> only; // one image alone: its number, that of the image in its takeover, ...
};

struct Totals {
    uint64_t points =
        0; // where it could have been killed: after each instruction of the library, and each change of what is shared
    uint64_t images = 0; // different ones, all judged
    uint64_t takeovers = 0;
    std::vector<std::string> complaints;
};

// Where the walk is, for who has to say so in the end: signal handlers too.
const char *whereabouts();

Totals walk(const Scenario &scenario, const Extent &extent);

} // namespace speculo::test
