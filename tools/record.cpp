// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo record and replay: a stream with its timing, to a file and back.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unistd.h>

#include "feed.hpp"
#include "follow.hpp"
#include "options.hpp"
#include "output.hpp"
#include "recording.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

struct RecordOptions {
    std::string name, file;
    FollowOptions follow;
    bool force = false;
};

struct ReplayOptions {
    std::string file, name;
    double speed = 1; // 0: as fast as it goes
    Making making;
};

Record record_of(const speculo::chunk &chunk, uint64_t time_ns) {
    const speculo_chunk &native = chunk.native();
    uint64_t now = native.expires_ns != 0 ? speculo_now() : 0;
    Record record;
    record.time_ns = time_ns;
    record.id = chunk.id();
    record.ttl_ns = native.expires_ns == 0 ? 0 : native.expires_ns > now ? native.expires_ns - now : 1;
    record.tag = chunk.tag();
    record.flags = uint16_t(chunk.flags() & (SPECULO_CHUNK_TRANSIENT | SPECULO_CHUNK_REMOVED));
    record.key = chunk.key();
    record.payload = chunk.text();
    return record;
}

Status record(const RecordOptions &options) {
    catch_signals();
    Follower follower(options.name, options.follow);
    follower.open();
    RecordWriter file(options.file, options.force);
    Progress progress;
    uint64_t begin = monotonic_now(), chunks = 0;
    follower.run(
        [&](const speculo::chunk &chunk) {
            file.add(record_of(chunk, monotonic_now() - begin));
            ++chunks;
            if (progress.is_due()) { progress.show(format_count(chunks) + " chunks, " + transfer_text(file.bytes(), 0, begin)); }
        },
        [&] { file.flush(); });
    file.finish();
    progress.clear();
    if (is_terminal(STDERR_FILENO)) {
        note(format_count(chunks) + " chunks in " + options.file + ", " + format_size(file.bytes()));
    }
    return follower.report();
}

// ---- and back -------------------------------------------------------------------------------------------------------------------

void put(Feed &feed, const Record &record) {
    bool has_key = !record.key.empty();
    if ((record.flags & SPECULO_CHUNK_REMOVED) != 0) {
        if (has_key && feed.remove_key(record.key)) { feed.commit(); }
        return;
    }
    chunk_options chunk;
    if (has_key) { chunk.key(record.key); }
    chunk.tag(record.tag);
    bool is_retained = record.ttl_ns != 0 && feed.is_lossless();
    if (is_retained) {
        feed.retain(record.ttl_ns);
    } else if (record.ttl_ns != 0) {
        chunk.ttl(std::chrono::nanoseconds(int64_t(std::min<uint64_t>(record.ttl_ns, INT64_MAX))));
    }
    if (is_retained || (record.flags & SPECULO_CHUNK_TRANSIENT) != 0) { chunk.transient(); }
    speculo::buffer room = feed.room(record.payload.size(), chunk);
    std::copy(record.payload.begin(), record.payload.end(), reinterpret_cast<char *>(room.data()));
    feed.commit();
}

// Sleeps until it is the turn of a chunk.
void wait_for_turn(const Record &record, double speed, uint64_t begin) {
    constexpr double longest = 1e18; // ns, so that the sum fits
    if (speed <= 0) { return; }
    uint64_t turn = begin + uint64_t(std::min(double(record.time_ns) / speed, longest));
    uint64_t now = monotonic_now();
    if (turn > now) { pause_for(turn - now); }
}

Status replay(const ReplayOptions &options) {
    catch_signals();
    RecordReader file(options.file);
    Making fresh = options.making;
    if (fresh.capacity == 0) { fresh.capacity = 16 << 20; }
    if (fresh.max == 0) { fresh.max = std::max<uint64_t>(fresh.capacity, 1 << 30); }
    Feed feed(options.name, options.making, fresh);
    Progress progress;
    Record record;
    uint64_t begin = monotonic_now();
    while (!stopped() && file.next(record)) {
        wait_for_turn(record, options.speed, begin);
        if (stopped()) { break; }
        put(feed, record);
        if (progress.is_due()) { progress.show(transfer_text(file.bytes(), file.total(), begin)); }
    }
    progress.clear();
    if (file.is_damaged()) {
        throw Failure(Status::damaged, options.file + " is damaged at byte " + std::to_string(file.bytes()) + "; " +
                                           std::to_string(feed.chunks()) + " chunks before that were replayed");
    }
    if (is_terminal(STDERR_FILENO)) { note(format_count(feed.chunks()) + " chunks to '" + options.name + '\''); }
    return Status::done;
}

// 0 stands for max.
bool parse_speed(const std::string &text, double &ret_speed) {
    ret_speed = 0;
    if (text == "max") { return true; }
    auto parsed = std::from_chars(text.data(), text.data() + text.size(), ret_speed);
    bool is_all = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    return is_all && std::isfinite(ret_speed) && ret_speed > 0;
}

} // namespace

void add_record(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<RecordOptions>();
    options->follow.follow = true;
    options->follow.prints = false;
    CLI::App *command = add_command(app, "record", "Record the stream of an area in a file, with its timing");
    add_name(command, options->name);
    require(add_text(command, "FILE", options->file, "The recording; - is standard output"));
    add_flag(command, "--force", options->force, "Replace a file that is there");
    add_following(command, options->follow);
    on_parse(command, ret_run, options, record);
}

void add_replay(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<ReplayOptions>();
    CLI::App *command = add_command(app, "replay", "Share a recording again");
    require(add_text(command, "FILE", options->file, "The recording; - is standard input"));
    add_name(command, options->name);
    auto take_speed = [options](const std::string &given) { return parse_speed(given, options->speed); };
    add_taken(command, "--speed", take_speed, "How much faster than it was recorded, or max", "X",
              "a factor such as 2 or 0.5, or max");
    add_making(command, options->making);
    on_parse(command, ret_run, options, replay);
}

} // namespace speculo::tool
