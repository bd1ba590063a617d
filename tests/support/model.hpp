// SPDX-License-Identifier: LGPL-2.1-or-later
// What an area must look like, kept in ordinary memory: the chunks of each generation, and what a reader must see of them. It
// knows the rules and nothing of how they are kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace speculo::test {

struct ModelChunk {
    uint64_t id = 0;
    bool is_removal = false, is_transient = false;
    std::string key, payload;
    uint64_t expires = 0; // 0: never
    uint32_t tag = 0;
    uint64_t places = 0; // at most
    int successor = -1;  // index in its generation; -1: none
};

struct ModelGeneration {
    std::vector<ModelChunk> chunks;
    size_t copied = 0; // from the generation before
};

struct ModelPending {
    enum { chunk, removal, obsolete } kind;
    ModelChunk chunk_;
    uint64_t supersedes = 0; // of an obsolete: its id
};

class Model {
public:
    explicit Model(uint32_t segments) : segments_(segments), generations_(1) {}

    uint64_t now = 0, next_id = 1, first_id = 1;
    std::vector<ModelPending> pending;

    uint64_t generation() const { return generations_.size(); }
    uint32_t segments() const { return segments_; }
    const ModelGeneration &at(uint64_t generation) const { return generations_[generation - 1]; }
    const ModelGeneration &current() const { return generations_.back(); }
    bool is_expired(const ModelChunk &chunk) const { return chunk.expires != 0 && chunk.expires <= now; }
    bool is_live(const ModelChunk &chunk) const { return !chunk.is_removal && chunk.successor < 0 && !is_expired(chunk); }

    const ModelChunk *find(uint64_t id) const {
        for (const ModelChunk &chunk : current().chunks) {
            if (chunk.id == id) { return &chunk; }
        }
        return nullptr;
    }
    const ModelChunk *newest(const std::string &key) const { // whatever became of it
        int index = newest_index(key);
        return index < 0 ? nullptr : &current().chunks[size_t(index)];
    }
    const ModelChunk *live(const std::string &key) const {
        const ModelChunk *chunk = newest(key);
        return chunk && is_live(*chunk) ? chunk : nullptr;
    }
    std::vector<ModelChunk> live_set() const {
        std::vector<ModelChunk> live;
        for (const ModelChunk &chunk : current().chunks) {
            if (is_live(chunk)) { live.push_back(chunk); }
        }
        return live;
    }

    // Whether a chunk may be superseded or obsoleted, a key removed.
    bool can_end(uint64_t id) const {
        for (const ModelPending &one : pending) {
            if (one.kind == ModelPending::chunk && one.chunk_.id == id) { return true; }
        }
        const ModelChunk *chunk = id < first_id ? find(id) : nullptr;
        return chunk && !chunk->is_removal && chunk->successor < 0;
    }
    bool can_remove(const std::string &key) const {
        for (size_t i = pending.size(); i-- > 0;) {
            const ModelPending &one = pending[i];
            if (one.kind != ModelPending::obsolete && one.chunk_.key == key) { return one.kind == ModelPending::chunk; }
        }
        const ModelChunk *chunk = newest(key);
        return chunk && !chunk->is_removal && chunk->successor < 0;
    }

    // Whether compaction carries a chunk over: it is live, or the commit in progress supersedes it.
    bool is_wanted(const ModelChunk &chunk, uint64_t supersedes = 0) const {
        if (is_live(chunk) && !chunk.is_transient) { return true; }
        bool is_awaited = chunk.id == supersedes;
        for (const ModelPending &one : pending) { is_awaited |= one.kind == ModelPending::chunk && one.supersedes == chunk.id; }
        return is_awaited && !chunk.is_removal && chunk.successor < 0;
    }

    // Places that are needed to go on, at most.
    uint64_t places() const {
        uint64_t sum = 0;
        for (const ModelChunk &chunk : current().chunks) { sum += is_wanted(chunk) ? chunk.places : 0; }
        for (const ModelPending &one : pending) { sum += one.chunk_.places; }
        return sum;
    }

    uint64_t places_of(uint64_t id) const {
        const ModelChunk *chunk = find(id);
        return chunk ? chunk->places : 0;
    }

    // `supersedes`: by the chunk that is being allocated.
    void compact(uint64_t supersedes = 0) {
        ModelGeneration next;
        for (const ModelChunk &chunk : current().chunks) {
            if (is_wanted(chunk, supersedes)) { next.chunks.push_back(chunk); }
        }
        next.copied = next.chunks.size();
        generations_.push_back(std::move(next));
    }

    void commit() {
        first_ = current().chunks.size();
        for (const ModelPending &one : pending) {
            if (one.kind != ModelPending::obsolete) { enter(one); }
        }
        for (const ModelPending &one : pending) {
            if (one.kind == ModelPending::obsolete) { end_life(index_of(one.supersedes), 0); }
        }
        pending.clear();
        first_id = next_id;
    }
    void rollback() {
        pending.clear();
        next_id = first_id;
    }

private:
    int newest_index(const std::string &key) const {
        for (size_t i = current().chunks.size(); i-- > 0;) {
            if (current().chunks[i].key == key) { return int(i); }
        }
        return -1;
    }
    int index_of(uint64_t id) const {
        const ModelChunk *chunk = find(id);
        return chunk ? int(chunk - current().chunks.data()) : -1;
    }
    // Returns what ended it before; -1 if nothing had.
    int end_life(int index, int successor) {
        if (index < 0) { return -1; }
        int before = generations_.back().chunks[size_t(index)].successor;
        if (before < 0) { generations_.back().chunks[size_t(index)].successor = successor; }
        return before;
    }
    // One of the keys, then by id: whatever this same commit put in its place is superseded in turn.
    void enter(const ModelPending &one) {
        int before = one.chunk_.key.empty() ? -1 : newest_index(one.chunk_.key);
        int own = int(current().chunks.size());
        generations_.back().chunks.push_back(one.chunk_);
        end_life(before, own);
        int ended = one.supersedes ? index_of(one.supersedes) : -1;
        while (ended >= 0 && ended != own && !current().chunks[size_t(ended)].is_removal) {
            ended = end_life(ended, own);
            if (ended < int(first_)) { break; }
        }
    }

    uint32_t segments_;
    std::vector<ModelGeneration> generations_;
    size_t first_ = 0; // of the commit
};

// Where a cursor is, and what it must deliver next.
class ModelCursor {
public:
    enum class Start { beginning, end };
    explicit ModelCursor(const Model &model, Start start) : model_(model) {
        put(start == Start::end ? model.current().chunks.size() : 0);
    }

    uint64_t jumps = 0, skipped = 0; // `skipped` by the last delivery
    bool has_jumped = false;         // told by the last delivery
    uint64_t all_skipped() const { return skipped_ + (passed_ - delivered_); }

    const ModelChunk *next() {
        for (;;) {
            const ModelGeneration &here = model_.at(generation_);
            if (index_ < here.chunks.size()) {
                const ModelChunk &chunk = here.chunks[index_++];
                if (chunk.id > passed_ && chunk.successor < 0 && !model_.is_expired(chunk)) { return deliver(chunk); }
                passed_ = std::max(passed_, chunk.id);
            } else if (generation_ == model_.generation()) {
                return nullptr;
            } else if (model_.generation() <= generation_ + model_.segments()) {
                index_ = model_.at(++generation_).copied;
            } else { // a whole round behind
                generation_ = model_.generation();
                index_ = 0;
                ++jumps;
                is_jump_pending_ = true;
            }
        }
    }

    void seek(uint64_t id) {
        skipped_ = all_skipped();
        const std::vector<ModelChunk> &chunks = model_.current().chunks;
        size_t index = 0;
        while (id != 0 && index < chunks.size() && chunks[index].id < id) { ++index; }
        put(index);
    }

private:
    void put(size_t index) {
        const std::vector<ModelChunk> &chunks = model_.current().chunks;
        generation_ = model_.generation();
        index_ = index;
        passed_ = delivered_ = (index < chunks.size() ? chunks[index].id : model_.first_id) - 1;
    }
    const ModelChunk *deliver(const ModelChunk &chunk) {
        skipped = chunk.id - delivered_ - 1;
        skipped_ += skipped;
        passed_ = delivered_ = chunk.id;
        has_jumped = std::exchange(is_jump_pending_, false);
        return &chunk;
    }

    const Model &model_;
    uint64_t generation_ = 1;
    size_t index_ = 0;
    uint64_t passed_ = 0, delivered_ = 0, skipped_ = 0;
    bool is_jump_pending_ = false;
};

} // namespace speculo::test
