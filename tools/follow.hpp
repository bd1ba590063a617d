// SPDX-License-Identifier: LGPL-2.1-or-later
// Following the stream of an area: tail and record.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "options.hpp"

namespace speculo::tool {

struct FollowOptions {
    bool follow = false, wait = false, until_closed = false, strict = false;
    uint64_t for_ns = 0;          // 0: no end
    std::optional<uint64_t> last; // begin with the last so many chunks
    bool prints = true;           // to standard output: without a reader there it ends
    Trust trust;
};

void add_following(CLI::App *command, FollowOptions &options);

class Follower {
public:
    using Take = std::function<void(const speculo::chunk &)>;

    Follower(std::string name, const FollowOptions &options);

    // Opens the area; run() does so otherwise. False: asked to stop, or the time is over.
    bool open();

    // Gives every chunk to `take`, and calls `pause` before each sleep and at the end. Returns when all is read, the writer is
    // gone, or someone asked to stop, as the options say.
    void run(const Take &take, const std::function<void()> &pause);

    // Tells of chunks that were passed over.
    Status report() const;

private:
    void begin_near_end(uint64_t count);
    void follow(const Take &take, const std::function<void()> &pause);
    bool read_all(const Take &take);
    bool sleep();
    bool is_over();
    uint64_t end_ns() const;
    bool is_to_end() const;
    uint64_t slice() const;
    void note_skipped();

    std::string name_;
    const FollowOptions &options_;
    speculo::reader reader_;
    uint64_t begin_ns_;
    uint64_t skipped_ = 0;
    bool has_any_ = false;
};

} // namespace speculo::tool
