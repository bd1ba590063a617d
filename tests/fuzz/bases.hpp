// SPDX-License-Identifier: LGPL-2.1-or-later
// Sound areas to begin with, each made by the library itself: what its writer left behind.
#pragma once

#include <vector>

#include "system.hpp"

namespace speculo::fuzz {

struct Base {
    Image image;
    os::Medium medium = os::Medium::memory;
    uint8_t boot = 1; // now
};

// Made at the first call, which must come before anything else uses the system.
const std::vector<Base> &bases();

} // namespace speculo::fuzz
