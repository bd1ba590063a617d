// SPDX-License-Identifier: LGPL-2.1-or-later
// Judges what lies in shared memory at the moment of a writer's death: what readers see that come now, and those that were there
// before; what a check says; what the next writer makes of it.
#pragma once

#include <string>
#include <vector>

#include "image.hpp"
#include "play.hpp"

namespace speculo::test {

// Where readers stand that were there before.
struct Before {
    const Image *image = nullptr; // null: there are none
    const State *state = nullptr;
};

struct Verdict {
    size_t state = 0;      // the one that is seen
    std::string complaint; // "" if all is well
};

class Judge {
public:
    // In a directory of its own. `options`: for areas that are still to be made.
    // `compacts_first`: whoever goes on has to.
    Judge(std::string directory, const speculo_area_options &options, bool compacts_first)
        : directory_(std::move(directory)), name_(directory_ + "/area"), options_(options), compacts_first_(compacts_first) {}

    // One of the states from `lowest` to `highest` is to be seen. `pick` varies what is tried.
    Verdict judge(const Image &image, const Before &before, const std::vector<State> &states, size_t lowest, size_t highest,
                  unsigned pick);

private:
    std::string directory_, name_;
    speculo_area_options options_;
    bool compacts_first_;
};

} // namespace speculo::test
