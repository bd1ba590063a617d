// SPDX-License-Identifier: LGPL-2.1-or-later
// Every call that a reader has, on an area that may be anything.
#pragma once

#include <string>
#include <vector>

#include <speculo/speculo.h>

namespace speculo::fuzz {

// A chunk as it was seen.
struct Copy {
    uint64_t id;
    std::string payload, key;
    bool operator==(const Copy &other) const { return id == other.id && payload == other.payload && key == other.key; }
};

// Reads with all that there is, and ends the process where a promise is broken. `flags`: of the open. `is_sound`: then nothing is
// damaged. Returns the error of the open.
int read_everything(uint32_t flags, bool is_sound);

// What is live, or nothing if that cannot be said.
std::vector<Copy> live_chunks();

// Whether the check finds nothing wrong. Bounded, whatever there is.
bool is_sound();
// That it finds nothing; otherwise what, and the end.
void expect_sound(const char *when);

} // namespace speculo::fuzz
