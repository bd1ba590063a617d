// SPDX-License-Identifier: LGPL-2.1-or-later
#include "values.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "errors.hpp"
#include "payload.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

constexpr size_t kept_bytes = 1024; // of a value: more than a line shows
constexpr size_t kept_chunks = 200; // of the stream: more than a screen shows
constexpr uint64_t share = 10;      // looking takes a tenth of the time at most
constexpr uint64_t fresh_ns = 1000000000;
constexpr size_t widest_key = 24;

} // namespace

Values::Values(std::string name, Trust trust, std::vector<std::string> keys)
    : name_(std::move(name)), trust_(std::move(trust)), wanted_(std::move(keys)),
      reader_(open_reader(name_, speculo::reader::no_cursor, trust_)) {}

void Values::take(std::map<std::string, Value> &to, const std::string &key, const speculo::chunk &chunk) {
    auto known = values_.find(key);
    bool is_same = known != values_.end() && known->second.id == chunk.id();
    to[key] = {chunk.id(), chunk.size(), is_same ? known->second.changed_ns : monotonic_now(),
               std::string(chunk.text().substr(0, kept_bytes))};
}

void Values::read_keys(std::map<std::string, Value> &to, std::error_code &ec) {
    for (const std::string &key : wanted_) {
        if (auto chunk = reader_.read(key, ec)) { take(to, key, *chunk); }
        if (ec) { return; }
    }
}

void Values::read_all(std::map<std::string, Value> &to, std::error_code &ec) {
    speculo::snapshot snapshot = reader_.snapshot(ec);
    std::deque<speculo::chunk> last; // valid as long as the snapshot
    while (auto chunk = ec ? std::optional<speculo::chunk>() : snapshot.next(ec)) {
        if (chunk->native().key_size > 0) {
            take(to, std::string(chunk->key()), *chunk);
            continue;
        }
        last.push_back(*chunk);
        if (last.size() > kept_chunks) { last.pop_front(); }
    }
    if (ec) { return; }
    stream_.clear();
    for (const speculo::chunk &chunk : last) {
        stream_.push_back({chunk.id(), chunk.size(), 0, std::string(chunk.text().substr(0, kept_bytes))});
    }
}

// After the area was removed: whether there is one of that name again.
bool Values::open() {
    std::error_code ec;
    reader_ = try_reader(name_, speculo::reader::no_cursor, trust_, ec);
    is_overdue_ = !ec;
    return !ec;
}

bool Values::refresh() {
    if (!reader_ && !open()) { return false; }
    std::error_code ec;
    bool was_writing = is_writing_;
    is_writing_ = reader_.writer_alive(ec) && !ec;
    uint64_t begin = monotonic_now();
    is_overdue_ = reader_.wait(std::chrono::nanoseconds(0), ec) || is_overdue_;
    if (ec.value() == ESTALE) {
        reader_.close();
        is_writing_ = false;
        return true;
    }
    if (!is_overdue_ || begin - looked_ns_ < share * cost_ns_) { return was_writing != is_writing_; }
    std::map<std::string, Value> found;
    ec.clear();
    wanted_.empty() ? read_all(found, ec) : read_keys(found, ec);
    if (ec.value() == EAGAIN) { return false; } // the writer was faster: next time
    if (ec) { throw area_failure(name_, -ec.value()); }
    values_.swap(found);
    is_overdue_ = false;
    looked_ns_ = monotonic_now();
    cost_ns_ = looked_ns_ - begin;
    return true;
}

void Values::draw(Screen &screen) const {
    size_t columns = screen.columns(), wide = 3;
    for (const auto &[key, value] : values_) { wide = std::max(wide, width_of(printable(key))); }
    wide = std::min({wide, widest_key, columns / 2});
    if (!values_.empty()) { screen.line(padded("KEY", wide, false) + "  VALUE", Screen::Look::bold); }
    uint64_t now = monotonic_now();
    for (const auto &[key, value] : values_) {
        if (screen.rows_left() < 2) { return; }
        std::string line = padded(clipped(printable(key), wide), wide, false) + "  ";
        line += preview(value.bytes, columns > wide + 2 ? columns - wide - 2 : 0);
        screen.line(line, now - value.changed_ns < fresh_ns ? Screen::Look::bold : Screen::Look::plain);
    }
    if (stream_.empty() || screen.rows_left() < 3) { return; }
    screen.line(values_.empty() ? "STREAM" : "STREAM, WITHOUT KEYS", Screen::Look::bold);
    size_t shown = std::min(screen.rows_left() - 1, stream_.size());
    for (size_t i = stream_.size() - shown; i < stream_.size(); ++i) { screen.line(preview(stream_[i].bytes, columns)); }
}

} // namespace speculo::tool
