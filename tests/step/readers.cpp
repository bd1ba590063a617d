// SPDX-License-Identifier: LGPL-2.1-or-later
#include "readers.hpp"

#include <cerrno>

namespace speculo::test {

namespace {

constexpr size_t most = 1000; // chunks that a reader may be given before it counts as endless

std::string text(const void *bytes, size_t size) { return size ? std::string(static_cast<const char *>(bytes), size) : ""; }

Delivery delivery(const speculo_chunk &chunk) {
    return {chunk.id, text(chunk.key, chunk.key_size), text(chunk.data, chunk.size), chunk.tag, chunk.flags};
}

std::string number(uint64_t value) { return std::to_string(value); }

// "" if the block is what was delivered.
std::string compare(const Delivery &got, const Block &wanted) {
    bool is_removal = got.flags & SPECULO_CHUNK_REMOVED;
    if (got.id != wanted.id) { return "chunk " + number(got.id) + " instead of " + number(wanted.id); }
    if (is_removal != wanted.is_removal) { return "removal and chunk mixed up: " + number(got.id); }
    if (got.key != wanted.key || got.tag != wanted.tag) { return "key or tag of chunk " + number(got.id); }
    return got.payload == wanted.payload() ? "" : "bytes of chunk " + number(got.id);
}

std::string compare_all(const std::vector<Delivery> &got, const std::map<uint64_t, Block> &wanted) {
    auto next = wanted.begin();
    for (const Delivery &one : got) {
        if (next == wanted.end()) { return "chunk " + number(one.id) + " too much"; }
        if (std::string wrong = compare(one, next->second); !wrong.empty()) { return wrong; }
        ++next;
    }
    return next == wanted.end() ? "" : "chunk " + number(next->first) + " is missing";
}

std::string read_snapshot(speculo_snapshot *snapshot, std::vector<Delivery> &ret_all) {
    speculo_chunk chunk{};
    int got;
    while ((got = speculo_snapshot_next(snapshot, &chunk)) == 1) {
        ret_all.push_back(delivery(chunk));
        if (ret_all.size() > most) { return "an endless snapshot"; }
    }
    return got == 0 ? "" : "snapshot_next: " + std::to_string(got);
}

std::string read_stream(speculo_area *area, std::vector<Delivery> &ret_all, size_t count) {
    speculo_chunk chunk{};
    int got = 1;
    while (ret_all.size() < count && (got = speculo_read_next(area, &chunk)) == 1) {
        if (!ret_all.empty() && chunk.id <= ret_all.back().id) { return "chunk " + number(chunk.id) + " out of order"; }
        ret_all.push_back(delivery(chunk));
        if (ret_all.size() > most) { return "an endless stream"; }
    }
    return got >= 0 ? "" : "read_next: " + std::to_string(got);
}

void read_keys(speculo_area *area, const std::set<std::string> &keys, Sight &sight) {
    for (const std::string &key : keys) {
        speculo_chunk chunk{};
        int got = speculo_read_key(area, key.data(), key.size(), &chunk);
        if (got < 0) { sight.complaint = "read_key: " + std::to_string(got); }
        if (got == 1 && speculo_chunk_is_live(area, &chunk) != 1) { sight.complaint = "a key's chunk is not live: " + key; }
        sight.keys.emplace_back(key, got == 1 ? chunk.id : 0);
    }
}

// The index leads to the first chunk from there on.
std::string check_seek(speculo_area *area, const std::vector<Delivery> &stream, uint64_t id) {
    if (int error = speculo_seek(area, id); error < 0) { return "seek: " + std::to_string(error); }
    speculo_chunk chunk{};
    int got = speculo_read_next(area, &chunk);
    for (const Delivery &one : stream) {
        if (one.id >= id) {
            return got == 1 && chunk.id == one.id ? "" : "seek to " + number(id) + " does not find " + number(one.id);
        }
    }
    return got == 0 ? "" : "seek to " + number(id) + " finds something";
}

} // namespace

std::set<std::string> keys_of(const State &state) {
    std::set<std::string> keys;
    for (const auto &[id, block] : state.known) {
        if (!block.key.empty()) { keys.insert(block.key); }
    }
    return keys;
}

Sight look_at(const std::string &name, const std::set<std::string> &keys, uint64_t seek_to) {
    Sight sight;
    speculo_area *area = nullptr;
    sight.error = speculo_area_open(name.c_str(), SPECULO_OPEN_READ, nullptr, &area);
    if (sight.error < 0) { return sight; }
    sight.complaint = read_stream(area, sight.stream, SIZE_MAX);
    read_keys(area, keys, sight);
    speculo_snapshot *snapshot = nullptr;
    int error = speculo_snapshot_open(area, &snapshot);
    if (error < 0) { sight.complaint = "snapshot_open: " + std::to_string(error); }
    if (snapshot && sight.complaint.empty()) { sight.complaint = read_snapshot(snapshot, sight.snapshot); }
    speculo_snapshot_close(snapshot);
    if (sight.complaint.empty()) { sight.complaint = check_seek(area, sight.stream, seek_to); }
    speculo_area_close(area);
    return sight;
}

std::string difference(const Sight &sight, const State &state) {
    if (sight.error < 0 || !state.exists()) {
        return sight.error == state.opening ? "" : "opening gives " + std::to_string(sight.error);
    }
    std::vector<Delivery> chunks;
    for (const Delivery &one : sight.stream) {
        if (!(one.flags & SPECULO_CHUNK_REMOVED)) {
            chunks.push_back(one);
            continue;
        }
        auto known = state.known.find(one.id);
        if (known == state.known.end()) { return "removal " + number(one.id) + " was not committed"; }
        if (std::string wrong = compare(one, known->second); !wrong.empty()) { return wrong; }
    }
    if (std::string wrong = compare_all(chunks, state.live); !wrong.empty()) { return "stream: " + wrong; }
    if (std::string wrong = compare_all(sight.snapshot, state.live); !wrong.empty()) { return "snapshot: " + wrong; }
    for (const auto &[key, id] : sight.keys) {
        uint64_t wanted = 0;
        for (const auto &[other, block] : state.live) {
            if (block.key == key) { wanted = other; }
        }
        if (id != wanted) { return "key " + key + " leads to " + number(id) + ", not " + number(wanted); }
    }
    return "";
}

// ---- who was there before ---------------------------------------------------------------------------------------------------------

std::string Bystander::come(const std::string &name, const State &state, unsigned share) {
    before_ = state;
    if (int error = speculo_area_open(name.c_str(), SPECULO_OPEN_READ, nullptr, &area_); error < 0) {
        return "open: " + std::to_string(error);
    }
    if (int error = speculo_snapshot_open(area_, &snapshot_); error < 0) { return "snapshot_open: " + std::to_string(error); }
    std::vector<Delivery> read;
    std::string wrong = read_stream(area_, read, state.live.size() * share / 4);
    if (!read.empty()) { last_ = read.back().id; }
    if (!state.live.empty()) {
        speculo_chunk chunk{};
        if (speculo_snapshot_next(snapshot_, &chunk) == 1 && speculo_chunk_hold(area_, &chunk) == 0) { held_ = chunk; }
    }
    return wrong;
}

std::string Bystander::read_on(const State &state) {
    if (!area_) { return ""; }
    std::vector<Delivery> read;
    if (std::string wrong = read_stream(area_, read, SIZE_MAX); !wrong.empty()) { return wrong; }
    std::set<uint64_t> ids;
    for (const Delivery &one : read) {
        auto known = state.known.find(one.id);
        if (one.id <= last_) { return "chunk " + number(one.id) + " again"; }
        if (known == state.known.end()) { return "chunk " + number(one.id) + " was not committed"; }
        if (std::string wrong = compare(one, known->second); !wrong.empty()) { return wrong; }
        ids.insert(one.id);
    }
    for (const auto &[id, block] : state.live) {
        if (id > last_ && !ids.count(id)) { return "chunk " + number(id) + " is missing"; }
    }
    if (!read.empty()) { last_ = read.back().id; }
    return "";
}

std::string Bystander::check_kept() {
    std::vector<Delivery> shot;
    std::string wrong = read_snapshot(snapshot_, shot);
    if (held_.data) { shot.insert(shot.begin(), delivery(held_)); } // the first one
    return wrong.empty() ? compare_all(shot, before_.live) : wrong;
}

std::string Bystander::leave() {
    std::string wrong = area_ ? check_kept() : "";
    close();
    return wrong.empty() ? "" : "what was kept: " + wrong;
}

void Bystander::close() {
    speculo_chunk_release(&held_);
    snapshot_ = speculo_snapshot_close(snapshot_);
    area_ = speculo_area_close(area_);
}

} // namespace speculo::test
