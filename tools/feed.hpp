// SPDX-License-Identifier: LGPL-2.1-or-later
// The writer's side of a stream: room for the next chunk, waited for where there is none.
#pragma once

#include <cstdint>
#include <string>

#include "areas.hpp"

namespace speculo::tool {

class Feed {
public:
    Feed(std::string name, const Making &making, const Making &fresh);

    bool is_lossless() const noexcept { return is_lossless_; }

    // In a lossless area: chunks older than this go to history when all cursors allow it. They are transient: nothing expires there
    // before it is read.
    void retain(uint64_t ttl_ns) { retain_ns_ = ttl_ns; }

    // Room for a chunk. Waits for readers of a lossless area, and for chunks with a time to live to expire. Throws Stopped.
    speculo::buffer room(size_t size, const chunk_options &options);
    void commit();
    bool remove_key(std::string_view key); // false: there is none

    // Lets go of what is too old; to be called now and then while nothing comes in.
    void tick();

    uint64_t chunks() const noexcept { return chunks_; }
    uint64_t bytes() const noexcept { return bytes_; }

private:
    void wait_for_room(int error, uint64_t size, uint64_t ttl_ns, uint64_t since_ns);

    std::string name_;
    speculo::writer writer_;
    bool is_lossless_ = false;
    uint64_t retain_ns_ = 0, oldest_ns_ = 0 /* 0: all is gone */, retry_ns_ = 0, generation_ = 0;
    uint64_t pending_ = 0, chunks_ = 0, bytes_ = 0;
};

} // namespace speculo::tool
