// SPDX-License-Identifier: LGPL-2.1-or-later
// A sequence of all calls on one area, checked step by step against a model of what each reader must see. What comes next is up to
// whoever runs it: chance, or a fuzzer. A failure tells the sequence.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <list>
#include <memory>
#include <sstream>

#include "checking.hpp"
#include "model.hpp"
#include "writing.hpp"

namespace speculo::test {

inline constexpr uint64_t sequence_tick = 4 * ms; // of the clocks that it is run with

struct HeldView {
    speculo_chunk view;
    std::string payload;
};

struct Shot {
    speculo_snapshot *snapshot = nullptr;
    std::vector<ModelChunk> live;
    size_t next = 0;
};

struct Follower {
    Handle handle;
    std::unique_ptr<ModelCursor> cursor; // null: NO_CURSOR
    std::list<Shot> shots;
    std::vector<speculo_chunk> old_views;
    void close() {
        for (Shot &shot : shots) { speculo_snapshot_close(shot.snapshot); }
        shots.clear();
        handle.close();
    }
};

class Sequence {
public:
    // `choose`: a number below the given one. `pass_time`: on all clocks, which stand still otherwise.
    using Choose = std::function<uint64_t(uint64_t below)>;
    using PassTime = std::function<void(uint64_t ns)>;

    Sequence(Choose choose, PassTime pass_time, const std::string &origin, const std::string &directory = "")
        : choose_(std::move(choose)), pass_time_(std::move(pass_time)), model_(uint32_t(2 + pick(3))),
          largest_(uint64_t(4096) << pick(3)), name_(directory) {
        AreaOptions options(4096);
        options.max_capacity = largest_;
        options.segments = model_.segments();
        options.compact_percent = chance(3) ? uint32_t(30 + pick(70)) : 0;
        writer_ = make_area(name_, options);
        log_ << origin << ", " << options.segments << " segments of up to " << largest_ << " bytes, compact_percent "
             << options.compact_percent << '\n';
        followers_.resize(3);
        tell_time();
    }

    ~Sequence() {
        for (Follower &follower : followers_) { follower.close(); }
        for (HeldView &held : held_) { speculo_chunk_release(&held.view); }
    }

    bool run(int steps) {
        for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) { step(); }
        for (Follower &follower : followers_) {
            if (follower.cursor && !testing::Test::HasFailure()) { read(follower, 1000); }
        }
        check_holds();
        if (!testing::Test::HasFailure()) { expect_sound(name_); }
        if (testing::Test::HasFailure()) { ADD_FAILURE() << log_.str(); }
        return !testing::Test::HasFailure();
    }

private:
    // ---- chance -------------------------------------------------------------------------------------------------------------

    uint64_t pick(uint64_t below) { return choose_(below); }
    bool chance(uint64_t one_in) { return pick(one_in) == 0; }
    std::string some_key() { return std::string(1 + pick(2) * 20, 'k') + char('a' + pick(4)); }
    uint64_t some_id() {
        return chance(4) ? 1 + pick(model_.next_id + 2) : model_.next_id - std::min(model_.next_id - 1, pick(12));
    }

    void step() {
        switch (pick(20)) {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4: alloc(); break;
        case 5:
        case 6:
        case 7: commit(); break;
        case 8: chance(3) ? rollback() : shrink(); break;
        case 9: obsolete(); break;
        case 10: remove(); break;
        case 11: chance(2) ? compact() : wait(); break;
        case 12:
            if (chance(4)) { reopen(); }
            break;
        default: act(followers_[pick(followers_.size())]);
        }
    }

    // ---- the writer ---------------------------------------------------------------------------------------------------------

    void tell_time() { model_.now = speculo_now(); }

    // The writer compacts when it likes; what it carries over is not its own choice.
    void notice_compactions(uint64_t supersedes = 0) {
        for (uint64_t now = inside(writer_).current->generation; model_.generation() < now;) {
            model_.compact(supersedes);
            log_ << "  compacted: generation " << model_.generation() << '\n';
        }
    }

    static void expect_refused(int error, int expected) { EXPECT_EQ(error, expected); }

    void expect_no_room(int error, uint64_t places, const char *what) {
        EXPECT_EQ(error, -ENOSPC) << what;
        EXPECT_GT((model_.places() + places + 1) * core::place_size, largest_) << what << " would have fitted";
    }

    void alloc() {
        ModelPending one{ModelPending::chunk, {}, 0};
        ModelChunk &chunk = one.chunk_;
        ChunkOptions options;
        chunk.payload = std::string(chance(5) ? pick(1200) : pick(60), char('a' + pick(26)));
        if (chance(2)) { options.with_key(chunk.key = some_key()); }
        if (chance(4)) { options.ttl_ns = 1 + pick(40) * ms; }
        if (chance(4)) { options.supersedes = one.supersedes = some_id(); }
        if (chance(4)) { options.flags = SPECULO_CHUNK_TRANSIENT; }
        if (chance(3)) { options.tag = uint32_t(pick(1000)); }
        if (chance(6)) { options.alignment = 16u << pick(6); }
        bool is_allowed = one.supersedes == 0 || model_.can_end(one.supersedes);
        chunk.expires = options.ttl_ns ? model_.now + sequence_tick + options.ttl_ns : 0;
        chunk.is_transient = options.flags;
        chunk.tag = options.tag;
        chunk.places = places_of(chunk.payload.size(), options);
        void *data = nullptr;
        int error = speculo_chunk_alloc(writer_, chunk.payload.size(), &options, &data, &chunk.id);
        log_ << "alloc " << chunk.payload.size() << " key '" << chunk.key << "' ttl " << options.ttl_ns << " supersedes "
             << one.supersedes << " flags " << options.flags << " alignment " << options.alignment << " = " << error << '\n';
        notice_compactions(one.supersedes);
        if (!is_allowed) { return expect_refused(error, -ENOENT); }
        if (error < 0) { return expect_no_room(error, chunk.places + model_.places_of(one.supersedes), "alloc"); }
        EXPECT_EQ(chunk.id, model_.next_id++);
        std::memcpy(data, chunk.payload.data(), chunk.payload.size());
        model_.pending.push_back(one);
    }

    static uint64_t places_of(uint64_t size, const speculo_chunk_options &options) {
        uint32_t flags = (options.ttl_ns ? core::frame_expiry : 0u) | (options.tag ? core::frame_tag : 0u) |
                         (options.key ? core::frame_key : 0u) | (options.alignment > 16 ? core::frame_aligned : 0u);
        uint64_t length = core::frame_length(core::frame_shape(flags, uint32_t(options.key_size), false).payload, size);
        return length + options.alignment / core::place_size;
    }

    void shrink() {
        ModelPending *last = nullptr;
        for (ModelPending &one : model_.pending) { last = one.kind == ModelPending::chunk ? &one : last; }
        size_t size = last ? pick(last->chunk_.payload.size() + 2) : pick(10);
        log_ << "shrink " << size << '\n';
        bool is_allowed = last && size <= last->chunk_.payload.size();
        EXPECT_EQ(speculo_chunk_shrink(writer_, size), is_allowed ? 0 : -EINVAL);
        if (is_allowed) { last->chunk_.payload.resize(size); }
    }

    void obsolete() {
        uint64_t id = some_id();
        bool is_allowed = model_.can_end(id);
        bool needs_room = model_.pending.empty();
        int error = speculo_chunk_obsolete(writer_, id);
        log_ << "obsolete " << id << " = " << error << '\n';
        notice_compactions();
        if (!is_allowed) { return expect_refused(error, -ENOENT); }
        if (error < 0 && needs_room) { return expect_no_room(error, 1, "obsolete"); }
        EXPECT_EQ(error, 0);
        model_.pending.push_back({ModelPending::obsolete, {}, id});
        model_.pending.back().chunk_.places = needs_room;
    }

    void remove() {
        ModelPending one{ModelPending::removal, {}, 0};
        one.chunk_.key = some_key();
        one.chunk_.is_removal = one.chunk_.is_transient = true;
        ChunkOptions options;
        one.chunk_.places = places_of(0, options.with_key(one.chunk_.key));
        bool is_allowed = model_.can_remove(one.chunk_.key);
        int error = remove_key(writer_, one.chunk_.key);
        log_ << "remove '" << one.chunk_.key << "' = " << error << '\n';
        notice_compactions();
        if (!is_allowed) { return expect_refused(error, -ENOENT); }
        if (error < 0) { return expect_no_room(error, one.chunk_.places, "remove"); }
        one.chunk_.id = model_.next_id++;
        model_.pending.push_back(one);
    }

    void commit() {
        log_ << "commit\n";
        EXPECT_EQ(speculo_commit(writer_), 0);
        model_.commit();
    }

    void rollback() {
        log_ << "rollback\n";
        EXPECT_EQ(speculo_rollback(writer_), 0);
        model_.rollback();
    }

    void compact() {
        int error = speculo_area_compact(writer_);
        log_ << "compact = " << error << '\n';
        notice_compactions();
        if (!model_.pending.empty()) { return expect_refused(error, -EINVAL); }
        if (error < 0) { expect_no_room(error, 0, "compact"); }
    }

    void wait() {
        uint64_t time = pick(30) * ms;
        log_ << "wait " << time << '\n';
        pass_time_(time);
        tell_time();
    }

    void reopen() {
        log_ << "reopen\n";
        writer_.close();
        writer_ = open_writer(name_);
        model_.rollback();
        EXPECT_EQ(inside(writer_).current->generation, model_.generation());
        EXPECT_EQ(inside(writer_).next_id, model_.next_id);
    }

    // ---- readers ------------------------------------------------------------------------------------------------------------

    void act(Follower &follower) {
        log_ << "reader " << &follower - followers_.data() << ": ";
        if (!follower.handle) { return open(follower); }
        switch (pick(12)) {
        case 0:
        case 1:
        case 2:
        case 3: return follower.cursor ? read(follower, 1 + pick(6)) : look_up(follower);
        case 4: return follower.cursor ? seek(follower) : look_up(follower);
        case 5:
        case 6: return look_up(follower);
        case 7: return open_snapshot(follower);
        case 8: return use_snapshot(follower);
        case 9: return judge(follower);
        case 10: return check_info(follower);
        default: return chance(3) ? close(follower) : release();
        }
    }

    void open(Follower &follower) {
        uint32_t flags = chance(3) ? SPECULO_OPEN_AT_END : chance(3) ? SPECULO_OPEN_NO_CURSOR : 0;
        log_ << "open " << flags << '\n';
        follower.handle = open_reader(name_, flags);
        auto start = flags == SPECULO_OPEN_AT_END ? ModelCursor::Start::end : ModelCursor::Start::beginning;
        if (flags != SPECULO_OPEN_NO_CURSOR) { follower.cursor = std::make_unique<ModelCursor>(model_, start); }
    }

    void close(Follower &follower) {
        log_ << "close\n";
        follower.close();
        follower = Follower{};
    }

    void expect_chunk(const speculo_chunk &view, const ModelChunk &chunk) {
        EXPECT_EQ(view.id, chunk.id);
        Seen found = seen(view);
        EXPECT_EQ(found.payload, chunk.payload);
        EXPECT_EQ(found.key, chunk.key);
        EXPECT_EQ(view.expires_ns, chunk.expires);
        EXPECT_EQ(view.tag, chunk.tag);
        uint32_t flags = (chunk.is_removal ? SPECULO_CHUNK_REMOVED : 0) | (chunk.is_transient ? SPECULO_CHUNK_TRANSIENT : 0);
        EXPECT_EQ(view.flags & ~SPECULO_CHUNK_JUMPED, flags);
    }

    void read(Follower &follower, uint64_t count) {
        ModelCursor &cursor = *follower.cursor;
        for (; count > 0; --count) {
            speculo_chunk view{};
            int found = speculo_read_next(follower.handle, &view);
            const ModelChunk *expected = cursor.next();
            log_ << "next = " << found << " id " << view.id << '\n';
            ASSERT_EQ(found, expected != nullptr) << "expected id " << (expected ? expected->id : 0);
            if (!expected) { break; }
            expect_chunk(view, *expected);
            EXPECT_EQ(view.skipped, cursor.skipped);
            EXPECT_EQ(bool(view.flags & SPECULO_CHUNK_JUMPED), cursor.has_jumped);
            remember(follower, view);
        }
    }

    void seek(Follower &follower) {
        uint64_t id = chance(4) ? 0 : chance(4) ? UINT64_MAX : some_id();
        log_ << "seek " << id << '\n';
        EXPECT_EQ(speculo_seek(follower.handle, id), 0);
        follower.cursor->seek(id);
    }

    void look_up(Follower &follower) {
        std::string key = some_key();
        speculo_chunk view{};
        int found = speculo_read_key(follower.handle, key.data(), key.size(), &view);
        log_ << "key '" << key << "' = " << found << " id " << view.id << '\n';
        const ModelChunk *expected = model_.live(key);
        ASSERT_EQ(found, expected != nullptr);
        if (!expected) { return; }
        expect_chunk(view, *expected);
        remember(follower, view);
    }

    void open_snapshot(Follower &follower) {
        if (follower.shots.size() >= 3) { return use_snapshot(follower); }
        log_ << "snapshot\n";
        Shot shot;
        EXPECT_EQ(speculo_snapshot_open(follower.handle, &shot.snapshot), 0);
        shot.live = model_.live_set();
        follower.shots.push_back(shot);
    }

    void use_snapshot(Follower &follower) {
        log_ << "use snapshot\n";
        if (follower.shots.empty()) { return; }
        Shot &shot = follower.shots.front();
        std::string key = some_key();
        speculo_chunk view{};
        const ModelChunk *expected = nullptr;
        for (const ModelChunk &chunk : shot.live) { expected = chunk.key == key ? &chunk : expected; }
        ASSERT_EQ(speculo_snapshot_key(shot.snapshot, key.data(), key.size(), &view), expected != nullptr) << key;
        if (expected) { expect_chunk(view, *expected); }
        for (uint64_t count = 1 + pick(8); count > 0; --count) {
            int found = speculo_snapshot_next(shot.snapshot, &view);
            ASSERT_EQ(found, shot.next < shot.live.size());
            if (found == 0) { break; }
            expect_chunk(view, shot.live[shot.next++]);
            remember(follower, view);
        }
        if (!chance(3)) { return; }
        speculo_snapshot_close(shot.snapshot);
        follower.shots.pop_front();
    }

    // Old views are asked about later; some are held.
    void remember(Follower &follower, speculo_chunk &view) {
        if (chance(4)) {
            HeldView held{view, seen(view).payload};
            EXPECT_EQ(speculo_chunk_hold(follower.handle, &held.view), 0);
            held_.push_back(held);
        }
        follower.old_views.push_back(view);
    }

    void judge(Follower &follower) {
        log_ << "is_live\n";
        if (follower.old_views.empty()) { return; }
        speculo_chunk &view = follower.old_views[pick(follower.old_views.size())];
        const ModelChunk *chunk = model_.find(view.id);
        EXPECT_EQ(speculo_chunk_is_live(follower.handle, &view), chunk && model_.is_live(*chunk)) << "id " << view.id;
    }

    void check_holds() {
        for (const HeldView &held : held_) { EXPECT_EQ(seen(held.view).payload, held.payload) << "held id " << held.view.id; }
    }

    void release() {
        log_ << "release\n";
        check_holds();
        if (held_.empty()) { return; }
        std::swap(held_[pick(held_.size())], held_.back());
        speculo_chunk_release(&held_.back().view);
        held_.pop_back();
    }

    void check_info(Follower &follower) {
        log_ << "info\n";
        speculo_area_info info = info_of(follower.handle);
        uint64_t live = 0, superseded = 0, expired = 0;
        for (const ModelChunk &chunk : model_.current().chunks) {
            if (chunk.is_removal) { continue; }
            ++(chunk.successor >= 0 ? superseded : model_.is_expired(chunk) ? expired : live);
        }
        EXPECT_EQ(info.live_chunks, live);
        EXPECT_EQ(info.superseded_chunks, superseded);
        EXPECT_EQ(info.expired_chunks, expired);
        EXPECT_EQ(info.newest_id, model_.first_id - 1);
        EXPECT_EQ(info.generation, model_.generation());
        EXPECT_EQ(info.jumps, follower.cursor ? follower.cursor->jumps : 0);
        EXPECT_EQ(info.skipped, follower.cursor ? follower.cursor->all_skipped() : 0);
    }

    Choose choose_;
    PassTime pass_time_;
    Model model_;
    uint64_t largest_;
    std::ostringstream log_;
    AreaName name_;
    Handle writer_;
    std::vector<Follower> followers_;
    std::vector<HeldView> held_;
};

} // namespace speculo::test
