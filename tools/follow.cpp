// SPDX-License-Identifier: LGPL-2.1-or-later
#include "follow.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <unistd.h>

#include "output.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

void add_following(CLI::App *command, FollowOptions &options) {
    add_flag(command, "-f,--follow", options.follow, "Wait for more, also from later writers");
    add_flag(command, "--until-closed", options.until_closed, "Wait for more until the writer is gone");
    add_flag(command, "--wait", options.wait, "Wait for the area to appear, and for a writer or a chunk");
    auto take_last = [&options](const std::string &given) {
        options.last = parse_number(given);
        return options.last.has_value();
    };
    add_taken(command, "-n", take_last, "Begin with the last N live chunks; default: with all that are there", "N", "a number");
    add_duration(command, "--for", options.for_ns, "End after this time");
    add_flag(command, "--strict", options.strict, "Exit with status 8 if chunks were passed over");
    add_trust(command, options.trust);
}

Follower::Follower(std::string name, const FollowOptions &options)
    : name_(std::move(name)), options_(options), begin_ns_(monotonic_now()) {}

// False: asked to stop, or the time is over.
bool Follower::open() {
    uint32_t flags = options_.last == 0 ? speculo::reader::at_end : speculo::reader::at_start;
    reader_ = options_.wait ? await_reader(name_, flags, options_.trust, end_ns()) : open_reader(name_, flags, options_.trust);
    if (!reader_) { return false; }
    std::error_code ec;
    reader_.writer_alive(ec);
    if (options_.until_closed && ec) {
        throw Failure(Status::failed, "--until-closed: this system cannot tell whether a writer lives; use --follow");
    }
    if (options_.last.value_or(0) > 0) { begin_near_end(*options_.last); }
    // A writer that was gone before we came is not the one to wait for.
    if (options_.wait) { reader_.wait(std::chrono::nanoseconds(0), ec); }
    return true;
}

void Follower::begin_near_end(uint64_t count) {
    std::error_code ec;
    std::deque<uint64_t> ids;
    speculo::snapshot snapshot = reader_.snapshot(ec);
    if (ec) { throw area_failure(name_, -ec.value()); }
    while (auto chunk = snapshot.next(ec)) {
        ids.push_back(chunk->id());
        if (ids.size() > count) { ids.pop_front(); }
    }
    if (!ec && !ids.empty()) { reader_.seek(ids.front(), ec); }
    if (ec) { throw area_failure(name_, -ec.value()); }
}

// False: the area was removed, and all is read.
bool Follower::read_all(const Take &take) {
    std::error_code ec;
    while (auto chunk = reader_.next(ec)) {
        take(*chunk);
        has_any_ = true;
        if (is_to_end()) { break; }
    }
    if (ec.value() == ESTALE) { return false; }
    if (ec) { throw area_failure(name_, -ec.value()); }
    return true;
}

// When the time is over.
uint64_t Follower::end_ns() const {
    bool has_end = options_.for_ns != 0 && options_.for_ns < UINT64_MAX - begin_ns_;
    return has_end ? begin_ns_ + options_.for_ns : UINT64_MAX;
}

bool Follower::is_to_end() const { return stopped() || monotonic_now() >= end_ns(); }

// How long to sleep before signals and the output are looked at.
uint64_t Follower::slice() const {
    constexpr uint64_t most = 250000000;
    uint64_t now = monotonic_now();
    return end_ns() > now ? std::min(end_ns() - now, most) : 0;
}

// False: there is no more to come.
bool Follower::sleep() {
    std::error_code ec;
    while (!is_to_end()) {
        if (reader_.wait(std::chrono::nanoseconds(int64_t(slice())), ec)) { return true; }
        if (options_.prints && is_abandoned(STDOUT_FILENO)) { throw BrokenPipe(); }
        if (ec == std::errc::broken_pipe && options_.until_closed) { return false; }
        if (ec.value() == ESTALE) { return is_over(); }
        if (ec && ec != std::errc::broken_pipe && ec != std::errc::interrupted) { throw area_failure(name_, -ec.value()); }
    }
    return false;
}

// The area was removed, and all of it is read.
bool Follower::is_over() {
    if (options_.until_closed) { return false; }
    if (!options_.wait) { throw area_failure(name_, -ESTALE); }
    note_skipped();
    return open();
}

// What was passed behind the last chunk that was delivered counts as well.
void Follower::note_skipped() {
    std::error_code ec;
    if (reader_) { skipped_ += reader_.info(SPECULO_INFO_QUICK, ec).skipped; }
}

void Follower::run(const Take &take, const std::function<void()> &pause) {
    if (!reader_ && !open()) { return; }
    try {
        follow(take, pause);
    } catch (const Stopped &) {} // while the output took nothing
    note_skipped();
}

void Follower::follow(const Take &take, const std::function<void()> &pause) {
    bool lasts = options_.follow || options_.until_closed || options_.for_ns != 0;
    while (!is_to_end()) {
        bool is_there = read_all(take);
        pause();
        if (!lasts && (!options_.wait || has_any_)) { break; }
        if (!(is_there ? sleep() : is_over())) { break; }
    }
}

Status Follower::report() const {
    bool is_lasting = options_.follow || options_.until_closed || options_.for_ns != 0 || options_.strict;
    if (skipped_ > 0 && is_lasting) { note(format_count(skipped_) + " chunks passed over: expired, replaced, or overtaken"); }
    return skipped_ > 0 && options_.strict ? Status::missed : Status::done;
}

} // namespace speculo::tool
