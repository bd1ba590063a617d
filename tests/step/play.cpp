// SPDX-License-Identifier: LGPL-2.1-or-later
#include "play.hpp"

#include <cstdio>
#include <cstring>

#include <unistd.h>

#include "tracee.hpp"

namespace speculo::test {

namespace {

constexpr uint64_t odd = 0x9e3779b97f4a7c15;

template <typename Condition> State without(State state, Condition is_over) {
    for (auto it = state.live.begin(); it != state.live.end();) {
        it = is_over(it->second) ? state.live.erase(it) : std::next(it);
    }
    return state;
}

bool is_transient(const Block &block) { return block.is_transient; }
bool has_deadline(const Block &block) { return block.has_deadline; }

} // namespace

std::string Block::payload() const {
    std::string bytes(size, '\0');
    uint64_t word = (serial + 1) * odd;
    for (size_t at = 0; at < size; at += sizeof word, word = word * odd + id) {
        std::memcpy(bytes.data() + at, &word, size - at < sizeof word ? size - at : sizeof word);
    }
    return bytes;
}

// ---- calls ----------------------------------------------------------------------------------------------------------------------

Play::~Play() { speculo_area_close(area_); }

void Play::be_watched(Ledger &ledger) {
    uint32_t last = uint32_t(states_.size() - 1);
    ledger.attempted = ledger.acknowledged = last;
    ledger_ = &ledger;
}

void Play::end() {
    ledger_->is_done = 1;
    trap();
}

template <typename Call> int Play::call(Call call) {
    if (!ledger_) { return call(); }
    ledger_->inside = 1;
    trap();
    int result = call();
    ledger_->inside = 0;
    return result;
}

template <typename Call> void Play::make(const char *what, int wanted, Call called) {
    if (form_ == Form::model || !complaint_.empty()) { return; }
    if (int got = call(called); got != wanted) { complain(what, wanted, got); }
}

void Play::complain(const char *what, int wanted, int got) {
    complaint_ = std::string(what) + " gave " + std::to_string(got) + ", not " + std::to_string(wanted);
    if (!ledger_) { return; }
    std::snprintf(ledger_->complaint, sizeof ledger_->complaint, "%s", complaint_.c_str());
    _exit(1);
}

// ---- what readers see -----------------------------------------------------------------------------------------------------------

void Play::attempt(State next) {
    states_.push_back(std::move(next));
    if (ledger_) { ledger_->attempted = uint32_t(states_.size() - 1); }
}

void Play::acknowledge() {
    if (ledger_) { ledger_->acknowledged = uint32_t(states_.size() - 1); }
}

State Play::committed() const {
    State next = now();
    for (const Pending &pending : pending_) {
        next.live.erase(pending.ends);
        if (pending.kind == Kind::obsolete) { continue; }
        const Block &block = pending.block;
        next.known[block.id] = block;
        if (!block.is_removal) { next.live[block.id] = block; }
    }
    next.next_id = next_id_;
    return next;
}

void Play::begin_compaction(bool compacts) {
    if (!compacts) { return; }
    generation_ = form_ == Form::model ? 0 : info().generation;
    State next = without(now(), is_transient);
    if (next.live.size() != now().live.size()) { attempt(std::move(next)); }
}

void Play::end_compaction(bool compacts) {
    if (!compacts) { return; }
    acknowledge();
    if (form_ == Form::model || !complaint_.empty()) { return; }
    if (info().generation <= generation_) { complain("compaction that was to come", 1, 0); }
}

// ---- what a writer does -----------------------------------------------------------------------------------------------------------

void Play::create(const speculo_area_options &options, uint32_t flags) {
    State next;
    next.opening = 0;
    if (now().opening == -EBADMSG) { next.next_id = now().next_id; } // it begins anew, with ids going on
    next_id_ = next.next_id;
    attempt(next);
    make("create", 0,
         [&] { return speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | flags, &options, &area_); });
    acknowledge();
}

void Play::open(const speculo_area_options *options) {
    make("open", 0, [&] { return speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE, options, &area_); });
    next_id_ = now().next_id;
}

void Play::close() {
    pending_.clear();
    make("close", 0, [&] { return speculo_area_close(area_) == nullptr ? 0 : 1; });
    area_ = nullptr;
}

void Play::remove() {
    attempt(State());
    make("remove", 0, [&] { return speculo_area_remove(name_.c_str()); });
    acknowledge();
}

uint64_t Play::add(const Wish &wish) {
    Block block{next_id_++, wish.key_text, wish.tag_mark, wish.size, ++serial_, wish.flags != 0, false, wish.ttl != 0};
    begin_compaction(wish.makes_room);
    uint64_t ends = wish.superseded;
    for (const auto &[id, other] : committed().live) {
        if (!block.key.empty() && other.key == block.key) { ends = id; }
    }
    pending_.push_back({Kind::chunk, block, ends});
    void *data = nullptr;
    uint64_t id = block.id;
    make("alloc", 0, [&] {
        speculo_chunk_options options{};
        options.struct_size = sizeof options;
        options.key = wish.key_text.empty() ? nullptr : wish.key_text.data();
        options.key_size = wish.key_text.size();
        options.supersedes = wish.superseded;
        options.ttl_ns = wish.ttl;
        options.alignment = wish.alignment;
        options.tag = wish.tag_mark;
        options.flags = wish.flags;
        return speculo_chunk_alloc(area_, wish.size, &options, &data, &id);
    });
    if (id != block.id) { complain("id of a chunk", int(block.id), int(id)); }
    if (data) { std::memcpy(data, block.payload().data(), block.size); }
    end_compaction(wish.makes_room);
    return block.id;
}

void Play::refuse(const Wish &wish, int error) {
    make("alloc", error, [&] {
        void *data;
        speculo_chunk_options options{};
        options.struct_size = sizeof options;
        return speculo_chunk_alloc(area_, wish.size, &options, &data, nullptr);
    });
}

void Play::shrink(size_t size) {
    pending_.back().block.size = size;
    make("shrink", 0, [&] { return speculo_chunk_shrink(area_, size); });
}

void Play::obsolete(uint64_t id, bool compacts) {
    begin_compaction(compacts);
    pending_.push_back({Kind::obsolete, {}, id});
    make("obsolete", 0, [&] { return speculo_chunk_obsolete(area_, id); });
    end_compaction(compacts);
}

void Play::remove_key(const std::string &key, bool compacts) {
    begin_compaction(compacts);
    Block block{next_id_++, key, 0, 0, ++serial_, true, true, false};
    uint64_t ends = 0;
    for (const auto &[id, other] : committed().live) {
        if (other.key == key) { ends = id; }
    }
    pending_.push_back({Kind::removal, block, ends});
    make("remove a key", 0, [&] { return speculo_key_remove(area_, key.data(), key.size()); });
    end_compaction(compacts);
}

void Play::commit() {
    attempt(committed());
    pending_.clear();
    make("commit", 0, [&] { return speculo_commit(area_); });
    acknowledge();
}

void Play::rollback() {
    next_id_ = now().next_id;
    pending_.clear();
    make("rollback", 0, [&] { return speculo_rollback(area_); });
}

void Play::compact() {
    begin_compaction(true);
    make("compact", 0, [&] { return speculo_area_compact(area_); });
    end_compaction(true);
}

void Play::let_reader_go_on() {
    if (!ledger_) { return; }
    ledger_->wants_reader_to_go_on = 1;
    trap();
}

// Deadlines of a boot before have passed. What nobody closed is not believed.
void Play::reboot(bool is_clean) {
    State next = without(now(), has_deadline);
    if (!is_clean) {
        next.opening = -EBADMSG;
        next.live.clear();
        next.known.clear();
    }
    attempt(std::move(next));
    acknowledge();
}

void Play::grow_old() {
    attempt(without(now(), has_deadline));
    acknowledge();
}

speculo_area_info Play::info() const {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    speculo_area_get_info(area_, &info);
    return info;
}

// ---- going on -------------------------------------------------------------------------------------------------------------------

namespace {

// Of what is live the one whose turn it is, with a key or without one; 0: there is none.
uint64_t choose(const State &state, unsigned pick, bool has_key) {
    std::vector<uint64_t> ids;
    for (const auto &[id, block] : state.live) {
        if (block.key.empty() != has_key) { ids.push_back(id); }
    }
    return ids.empty() ? 0 : ids[pick % ids.size()];
}

} // namespace

void go_on(Play &play, unsigned pick, bool compacts_first) {
    if (compacts_first) { play.compact(); }
    uint64_t named = choose(play.now(), pick, true);
    std::string key = named ? play.now().live.at(named).key : "first of all";
    play.add(Wish(20).key(key).tag(7));
    play.commit();
    uint64_t plain = choose(play.now(), pick, false);
    play.add(plain ? Wish(300).supersedes(plain) : Wish(300));
    uint64_t other = choose(play.now(), pick + 1, false);
    if (other && other != plain) { play.obsolete(other); }
    named = choose(play.now(), pick + 1, true);
    if (named) { play.remove_key(play.now().live.at(named).key); }
    play.add(Wish(1));
    play.commit();
}

} // namespace speculo::test
