// SPDX-License-Identifier: LGPL-2.1-or-later
// The values of an area as they change, as watch and top show them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "areas.hpp"
#include "screen.hpp"

namespace speculo::tool {

struct Value {
    uint64_t id = 0, size = 0;
    uint64_t changed_ns = 0; // when we saw it first
    std::string bytes;       // its beginning
};

// What is live in an area: the newest of each key, and the last chunks without a key.
class Values {
public:
    // Without keys: all there are, and the stream.
    Values(std::string name, Trust trust, std::vector<std::string> keys);

    // Looks again if there was a commit. False: nothing has changed. Throws a Failure.
    bool refresh();

    const std::map<std::string, Value> &keys() const { return values_; }
    const std::deque<Value> &stream() const { return stream_; }
    bool is_writing() const { return is_writing_; }
    bool is_removed() const { return !reader_; }
    const std::string &name() const { return name_; }

    // Draws them on what is left of the screen.
    void draw(Screen &screen) const;

private:
    bool open();
    void take(std::map<std::string, Value> &to, const std::string &key, const speculo::chunk &chunk);
    void read_keys(std::map<std::string, Value> &to, std::error_code &ec);
    void read_all(std::map<std::string, Value> &to, std::error_code &ec);

    std::string name_;
    Trust trust_;
    std::vector<std::string> wanted_;
    speculo::reader reader_; // without a cursor: holds nobody up
    std::map<std::string, Value> values_;
    std::deque<Value> stream_;
    uint64_t cost_ns_ = 0, looked_ns_ = 0;
    bool is_writing_ = false, is_overdue_ = true;
};

} // namespace speculo::tool
