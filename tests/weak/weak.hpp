// SPDX-License-Identifier: LGPL-2.1-or-later
// What weak.cpp runs.
#pragma once

#include "explorer.hpp"

namespace weak {

// A program whose outcomes are known: whether the rule that it checks can be broken.
struct Known {
    const char *name;
    bool is_possible;
    Program program;
};
std::vector<Known> known_programs();
// Pairs with a mistake that no memory order makes good.
std::vector<Known> mistaken_programs();

// The operations of src/sync.hpp, used as the library uses them.
struct Pair {
    const char *name; // O1 to O15, as in doc/protocol.md
    const char *what;
    Program program;
};
std::vector<Pair> publication_pairs();
std::vector<Pair> entry_pairs();
std::vector<Pair> sleep_pairs();

} // namespace weak
