// SPDX-License-Identifier: LGPL-2.1-or-later
// What a writer that may be killed at any moment has promised: it notes in memory that outlives it what the area will hold after
// its next commit, commits, and acknowledges. Whoever survives it knows what there has to be.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>

#include <speculo/speculo.h>
#include <sys/mman.h>

#include "payload.hpp"

namespace speculo::test {

// Memory that forked processes share, and that a kill does not take away.
template <typename T> class SharedPage {
public:
    SharedPage() {
        void *address = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (address == MAP_FAILED) { std::abort(); }
        content_ = new (address) T();
    }
    ~SharedPage() { munmap(content_, sizeof(T)); }
    SharedPage(const SharedPage &) = delete;
    SharedPage &operator=(const SharedPage &) = delete;

    T *operator->() const { return content_; }
    T &operator*() const { return *content_; }

private:
    T *content_;
};

// Tags of the chunks: in a ring place, where each supersedes the one before by its id; with a key; transient. The value of the
// first two is version << 8 | their place or key.
enum LedgerKind : uint32_t { ledger_ring = 1, ledger_key, ledger_transient };

inline constexpr uint32_t ring_size = 12, key_count = 4;
inline constexpr const char *ledger_keys[key_count] = {"a", "bb", "a key that is longer than the others", "d"};

struct LedgerEntry {
    uint64_t id, stamp, value; // id 0: none
};

// What is live at a commit boundary, transient chunks aside.
struct LedgerState {
    uint64_t last_id;
    LedgerEntry ring[ring_size], keys[key_count];
};

struct Ledger {
    LedgerState states[2]; // of the commit with that parity
    std::atomic<uint64_t> acknowledged{0}, attempted{0};
    std::atomic<uint32_t> is_open{0}, stop{0};
    std::atomic<uint64_t> compactions{0}, refusals{0};
    char complaint[256]{};

    LedgerState &state(uint64_t commit) { return states[commit & 1]; }
    int complain(const char *what, uint64_t a = 0, uint64_t b = 0) {
        std::snprintf(complaint, sizeof complaint, "%s (%llu, %llu)", what, static_cast<unsigned long long>(a),
                      static_cast<unsigned long long>(b));
        return 1;
    }
};

// Whether a chunk is one that the state has; transient ones need only be whole and committed.
inline bool is_in_state(const LedgerState &state, const speculo_chunk &chunk) {
    PayloadHead head;
    if (!check_payload(chunk.data, chunk.size, chunk.id, &head) || chunk.id > state.last_id) { return false; }
    if (chunk.tag == ledger_transient) { return true; }
    uint64_t at = head.value & 0xff;
    if (at >= (chunk.tag == ledger_ring ? ring_size : key_count)) { return false; }
    const LedgerEntry &entry = chunk.tag == ledger_ring ? state.ring[at] : state.keys[at];
    return entry.id == chunk.id && entry.stamp == head.stamp && entry.value == head.value;
}

// What the area holds at its newest commit that the state does not, or the other way round; nullptr: nothing.
inline const char *difference(speculo_area *reader, const LedgerState &state) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    if (speculo_area_get_info(reader, &info) != 0) { return "no info"; }
    if (info.newest_id != state.last_id) { return "another newest id"; }
    uint32_t expected = 0, found = 0;
    for (const LedgerEntry &entry : state.ring) { expected += entry.id != 0; }
    for (const LedgerEntry &entry : state.keys) { expected += entry.id != 0; }
    speculo_snapshot *snapshot;
    if (speculo_snapshot_open(reader, &snapshot) != 0) { return "no snapshot"; }
    const char *wrong = nullptr;
    speculo_chunk chunk{};
    int more;
    while (!wrong && (more = speculo_snapshot_next(snapshot, &chunk)) != 0) {
        if (more < 0) { wrong = "a damaged snapshot"; }
        if (more > 0 && !is_in_state(state, chunk)) { wrong = "a chunk that must not be there"; }
        found += more > 0 && chunk.tag != ledger_transient;
    }
    if (!wrong && found != expected) { wrong = "a chunk is missing"; }
    for (uint32_t i = 0; i < key_count && !wrong; ++i) {
        more = speculo_snapshot_key(snapshot, ledger_keys[i], std::strlen(ledger_keys[i]), &chunk);
        if (more != (state.keys[i].id != 0) || (more == 1 && chunk.id != state.keys[i].id)) { wrong = "a key is wrong"; }
    }
    speculo_snapshot_close(snapshot);
    return wrong;
}

// Does everything that a writer can do, at random, until it is killed.
class LedgerWriter {
public:
    LedgerWriter(Ledger &ledger, speculo_area *area, uint64_t stamp)
        : ledger_(ledger), area_(area), stamp_(stamp), dice_(stamp) {}

    // One commit, rollback, or compaction. 0, or 1 when something went wrong: then the ledger says what.
    int step() {
        next_ = ledger_.state(ledger_.acknowledged);
        refused_ = 0;
        if (one_in(40)) { return compact(); }
        for (uint32_t i = one_in(3) ? 1 + roll(6) : 1; i > 0 && refused_ == 0; --i) {
            if (int failure = add(); failure != 0) { return failure; }
        }
        if (refused_ != 0 || one_in(20)) {
            speculo_rollback(area_);
            if (refused_ == -ENOSPC) { return make_room(); }
            ledger_.refusals += refused_ == -EAGAIN;
            return 0;
        }
        return commit();
    }
    bool was_refused() const { return refused_ == -EAGAIN; }

private:
    uint32_t roll(uint32_t sides) { return uint32_t(dice_() % sides); }
    bool one_in(uint32_t sides) { return roll(sides) == 0; }

    // Most are small; some need several pages, which makes segments grow, and shrink when they are gone.
    size_t some_size() { return least_payload + (one_in(60) ? roll(12000) : roll(400)); }

    bool is_refusal(int error) {
        bool is_one = error == -ENOSPC || error == -EAGAIN;
        if (is_one) { refused_ = error; }
        return is_one;
    }

    int alloc(LedgerKind kind, uint64_t value, speculo_chunk_options &options, LedgerEntry &entry) {
        void *data;
        uint64_t id;
        size_t size = some_size();
        options.struct_size = sizeof options;
        options.tag = kind;
        options.flags = kind == ledger_transient ? SPECULO_CHUNK_TRANSIENT : 0;
        options.alignment = one_in(8) ? 64 : 0;
        options.ttl_ns = one_in(8) ? uint64_t(3600) * 1000000000 : 0;
        int error = speculo_chunk_alloc(area_, size, &options, &data, &id);
        if (is_refusal(error)) { return 0; }
        if (error < 0) { return ledger_.complain("alloc", uint64_t(-error), kind); }
        if (id != next_.last_id + 1) { return ledger_.complain("an id", id, next_.last_id); }
        if (one_in(8)) {
            size = least_payload + roll(uint32_t(size - least_payload + 1));
            if (speculo_chunk_shrink(area_, size) != 0) { return ledger_.complain("shrink", size); }
        }
        fill_payload(data, size, id, stamp_, value);
        next_.last_id = id;
        entry = {id, stamp_, value};
        return 0;
    }

    int add() {
        switch (roll(8)) {
        case 0:
        case 1:
        case 2: return add_to_ring();
        case 3:
        case 4: return set_key();
        case 5: return remove_key();
        case 6: return obsolete(next_.ring[roll(ring_size)]);
        default: {
            speculo_chunk_options options{};
            LedgerEntry nobody;
            return alloc(ledger_transient, 0, options, nobody);
        }
        }
    }

    int add_to_ring() {
        uint32_t at = roll(ring_size);
        speculo_chunk_options options{};
        options.supersedes = next_.ring[at].id;
        return alloc(ledger_ring, ++version_ << 8 | at, options, next_.ring[at]);
    }

    int set_key() {
        uint32_t at = roll(key_count);
        speculo_chunk_options options{};
        options.key = ledger_keys[at];
        options.key_size = std::strlen(ledger_keys[at]);
        return alloc(ledger_key, ++version_ << 8 | at, options, next_.keys[at]);
    }

    int remove_key() {
        uint32_t at = roll(key_count);
        int error = speculo_key_remove(area_, ledger_keys[at], std::strlen(ledger_keys[at]));
        if (is_refusal(error)) { return 0; }
        if (error != (next_.keys[at].id ? 0 : -ENOENT)) { return ledger_.complain("key_remove", uint64_t(-error), at); }
        next_.last_id += error == 0;
        next_.keys[at] = {};
        return 0;
    }

    int obsolete(LedgerEntry &entry) {
        if (entry.id == 0) { return 0; }
        int error = speculo_chunk_obsolete(area_, entry.id);
        if (is_refusal(error)) { return 0; }
        if (error != 0) { return ledger_.complain("obsolete", uint64_t(-error), entry.id); }
        entry = {};
        return 0;
    }

    // After a refusal for want of room: the first of the ring that is there goes.
    int make_room() {
        next_ = ledger_.state(ledger_.acknowledged);
        refused_ = 0;
        uint32_t from = roll(ring_size);
        for (uint32_t i = 0; i < ring_size; ++i) {
            LedgerEntry &entry = next_.ring[(from + i) % ring_size];
            if (entry.id == 0) { continue; }
            int failure = obsolete(entry);
            return failure != 0 || refused_ != 0 ? failure : commit();
        }
        return ledger_.complain("no room, and nothing there");
    }

    int commit() {
        uint64_t number = ledger_.acknowledged + 1;
        ledger_.state(number) = next_;
        ledger_.attempted = number;
        if (speculo_commit(area_) != 0) { return ledger_.complain("commit"); }
        ledger_.acknowledged = number;
        return 0;
    }

    int compact() {
        int error = speculo_area_compact(area_);
        ledger_.compactions += error == 0;
        return error == 0 || is_refusal(error) ? 0 : ledger_.complain("compact", uint64_t(-error));
    }

    Ledger &ledger_;
    speculo_area *area_;
    uint64_t stamp_;
    std::mt19937_64 dice_;
    LedgerState next_{};
    uint64_t version_ = 0;
    int refused_ = 0;
};

} // namespace speculo::test
