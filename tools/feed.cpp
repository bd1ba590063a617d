// SPDX-License-Identifier: LGPL-2.1-or-later
#include "feed.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "errors.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

constexpr uint64_t millisecond = 1000000, second = 1000000000;

// Who waits for an area to appear needs a moment to come in, or it misses what is overwritten until then.
constexpr uint64_t welcome_ns = 100 * millisecond;

} // namespace

Feed::Feed(std::string name, const Making &making, const Making &fresh) : name_(std::move(name)) {
    bool is_new = false;
    writer_ = open_writer(name_, making, fresh, is_new);
    std::error_code ec;
    writer_.wait(std::chrono::nanoseconds(0), ec);
    is_lossless_ = ec != std::errc::invalid_argument; // only there a writer can wait
    if (is_lossless_ && is_new) { pause_for(welcome_ns); }
}

void Feed::wait_for_room(int error, uint64_t size, uint64_t ttl_ns, uint64_t since_ns) {
    if (error == -EAGAIN && is_lossless_) {
        std::error_code ec;
        writer_.wait(std::chrono::milliseconds(250), ec);
        if (ec && ec != std::errc::interrupted) { throw area_failure(name_, -ec.value()); }
    } else if (error == -ENOSPC && ttl_ns != 0) {
        // Nothing else in the area need expire at all.
        if (monotonic_now() - since_ns > ttl_ns + 2 * second) {
            throw Failure(Status::full,
                          "no room in '" + name_ + "' for " + format_size(size) + ": other chunks fill it, and stay");
        }
        pause_for(std::clamp<uint64_t>(ttl_ns / 16, millisecond, 50 * millisecond));
    } else {
        throw area_failure(name_, error);
    }
    if (stopped()) { throw Stopped(); }
}

speculo::buffer Feed::room(size_t size, const chunk_options &options) {
    uint64_t since = 0;
    for (;;) {
        std::error_code ec;
        speculo::buffer room = writer_.alloc(size, options, ec);
        if (!ec) {
            ++pending_;
            bytes_ += size;
            return room;
        }
        if (since == 0) { since = monotonic_now(); }
        wait_for_room(-ec.value(), size, options.native().ttl_ns, since);
    }
}

void Feed::commit() {
    writer_.commit();
    chunks_ += pending_;
    pending_ = 0;
    if (retain_ns_ != 0 && oldest_ns_ == 0) {
        oldest_ns_ = monotonic_now();
        generation_ = writer_.info(SPECULO_INFO_QUICK).generation;
    }
    tick();
}

bool Feed::remove_key(std::string_view key) {
    uint64_t since = monotonic_now();
    for (;;) {
        std::error_code ec;
        writer_.remove_key(key, ec);
        if (!ec || ec == std::errc::no_such_file_or_directory) { return !ec; }
        wait_for_room(-ec.value(), 0, 0, since);
    }
}

// A compaction leaves transient chunks behind, where the cursors that are there already still get them.
void Feed::tick() {
    if (oldest_ns_ == 0) { return; }
    uint64_t now = monotonic_now();
    if (now - oldest_ns_ < retain_ns_ || now < retry_ns_) { return; }
    uint64_t generation = writer_.info(SPECULO_INFO_QUICK).generation;
    if (generation != generation_) { // there was one meanwhile, for want of room
        generation_ = generation;
        oldest_ns_ = now;
        return;
    }
    std::error_code ec;
    writer_.compact(ec);
    if (!ec) { oldest_ns_ = 0; }
    retry_ns_ = now + std::max(retain_ns_ / 8, millisecond); // a cursor is in the way
}

} // namespace speculo::tool
