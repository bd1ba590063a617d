// SPDX-License-Identifier: LGPL-2.1-or-later
// What readers see of an area, by every way there is, compared with what they must see.
#pragma once

#include <set>
#include <string>
#include <vector>

#include <speculo/speculo.h>

#include "play.hpp"

namespace speculo::test {

// A chunk as it was delivered.
struct Delivery {
    uint64_t id;
    std::string key, payload;
    uint32_t tag, flags;
};

// What a reader that comes now is told.
struct Sight {
    int error = 0; // of opening
    std::vector<Delivery> stream, snapshot;
    std::vector<std::pair<std::string, uint64_t>> keys; // id, 0 none
    std::string complaint;                              // what is wrong whatever was to be seen
};
Sight look_at(const std::string &name, const std::set<std::string> &keys, uint64_t seek_to);

// "" if it is this state that was seen; else what differs.
std::string difference(const Sight &sight, const State &state);

std::set<std::string> keys_of(const State &state);

// A reader that was there before the writer died, in the middle of the stream, with a hold and a snapshot.
class Bystander {
public:
    Bystander() = default;
    ~Bystander() { close(); }
    Bystander(const Bystander &) = delete;
    Bystander &operator=(const Bystander &) = delete;

    // Reads `share` of 4 quarters of what there is. "" or what is wrong.
    std::string come(const std::string &name, const State &state, unsigned share);
    // Reads on to the end: all that is live in `state` and not delivered yet.
    std::string read_on(const State &state);
    // What it held on to has not changed. Then it goes.
    std::string leave();

private:
    void close();
    std::string check_kept();

    speculo_area *area_ = nullptr;
    speculo_snapshot *snapshot_ = nullptr;
    speculo_chunk held_{};
    State before_;
    uint64_t last_ = 0;
};

} // namespace speculo::test
