// SPDX-License-Identifier: LGPL-2.1-or-later
// What a reader that trusts nobody copies: in any order, byte by byte if need be, while the writer goes on in the middle of a copy.
// The views are private, and large ones are refused.
#include <gtest/gtest.h>

#include <functional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checking.hpp"
#include "faults.hpp"
#include "payload.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 64 << 10;

Handle open_untrusted(const AreaName &name, uint32_t flags = 0, uint64_t largest = 0) {
    AreaOptions options;
    options.max_capacity = largest;
    return open_area(name, flags | SPECULO_OPEN_UNTRUSTED, &options);
}

// Copies in pieces: first the bytes from `cut` on, then those before, or the other way round; `between` them something happens, once.
class Torn {
public:
    using Action = std::function<void()>;

    Torn() : before_(os::operations) {
        real_read_ = before_.read_at;
        os::operations.read_at = read_at;
    }
    ~Torn() { os::operations = before_; }
    Torn(const Torn &) = delete;
    Torn &operator=(const Torn &) = delete;

    // From now on: in the copy of that number, counted from 1; 0: in none, or in each.
    static void set(uint64_t number, size_t cut, bool is_backwards, Action between) {
        number_ = number;
        cut_ = cut;
        is_backwards_ = is_backwards;
        between_ = std::move(between);
        count_ = 0;
    }
    static uint64_t count() { return count_; }
    static void stop() { set(0, 0, false, nullptr); }

private:
    static int read_at(int fd, uint64_t offset, void *ret_bytes, size_t size) {
        bool is_chosen = ++count_ == number_ || (number_ == 0 && between_);
        if (!is_chosen || is_busy_) { return real_read_(fd, offset, ret_bytes, size); }
        size_t cut = cut_ < size ? cut_ : size;
        auto *bytes = static_cast<char *>(ret_bytes);
        int first = is_backwards_ ? real_read_(fd, offset + cut, bytes + cut, size - cut) : real_read_(fd, offset, bytes, cut);
        is_busy_ = true;
        between_();
        is_busy_ = false;
        int second = is_backwards_ ? real_read_(fd, offset, bytes, cut) : real_read_(fd, offset + cut, bytes + cut, size - cut);
        return first < 0 ? first : second;
    }

    os::Operations before_;
    static inline int (*real_read_)(int, uint64_t, void *, size_t);
    static inline uint64_t number_, count_;
    static inline size_t cut_;
    static inline bool is_backwards_, is_busy_;
    static inline Action between_;
};

// Two keys that always say the same, and a chunk between them: in one commit.
class Twins {
public:
    explicit Twins(speculo_area *writer) : writer_(writer) {}

    uint64_t value() const { return value_; }
    void write() {
        put("a", ++value_);
        ChunkOptions options = transient();
        put_with(options, value_);
        put("b", value_);
        commit(writer_);
    }

private:
    void put(const char *key, uint64_t value) {
        std::string name = key;
        ChunkOptions options;
        put_with(options.with_key(name), value);
    }
    void put_with(const ChunkOptions &options, uint64_t value) {
        size_t size = least_payload + value * 7 % 600; // commit words of one byte, and of two
        void *data = nullptr;
        uint64_t id = 0;
        ASSERT_EQ(speculo_chunk_alloc(writer_, size, &options, &data, &id), 0);
        fill_payload(data, size, id, 0, value);
    }

    speculo_area *writer_;
    uint64_t value_ = 0;
};

uint64_t value_in(const speculo_chunk &view) {
    PayloadHead head{};
    EXPECT_TRUE(check_payload(view.data, view.size, view.id, &head)) << "a torn chunk " << view.id;
    return head.value;
}

class Copies : public testing::Test {
protected:
    Copies() {
        for (int i = 0; i < 8; ++i) { twins.write(); }
        for (int i = 0; i < 4; ++i) { fill_and_compact(); } // what lies behind an end was a frame before
    }
    void fill_and_compact() {
        uint64_t generation = inside(writer).current->generation;
        while (inside(writer).current->generation == generation) { twins.write(); }
        twins.write();
    }

    // Every copy that `call` makes is torn once, at every place that matters, while the writer commits.
    template <typename Call> void tear_every_copy(Call call) {
        for (size_t cut :
             {size_t(1), size_t(2), size_t(3), size_t(4), size_t(5), size_t(8), size_t(12), size_t(20), size_t(100)}) {
            for (bool is_backwards : {false, true}) {
                for (uint64_t number = 1;; ++number) {
                    SCOPED_TRACE("copy " + std::to_string(number) + " at " + std::to_string(cut) + (is_backwards ? " back" : ""));
                    Torn::set(number, cut, is_backwards, [&] { twins.write(), twins.write(); });
                    call();
                    bool is_over = Torn::count() < number;
                    Torn::stop();
                    if (is_over || HasFailure()) { break; }
                }
            }
        }
    }

    AreaName name;
    Handle writer = make_area(name, capacity);
    Twins twins{writer};
    Torn torn;
};

// ---- torn ---------------------------------------------------------------------------------------------------------------------

TEST_F(Copies, P3_a_cursor_gets_whole_chunks_in_order) {
    Handle reader = open_untrusted(name);
    uint64_t last = 0, seen_value = 0;
    tear_every_copy([&] {
        twins.write(); // so that there is more to copy than a commit word
        speculo_chunk view{};
        int found;
        while ((found = speculo_read_next(reader, &view)) == 1) {
            EXPECT_GT(view.id, last);
            last = view.id;
            seen_value = value_in(view);
        }
        ASSERT_EQ(found, 0);
        EXPECT_LE(seen_value, twins.value());
    });
    speculo_chunk view{};
    while (speculo_read_next(reader, &view) == 1) {
        seen_value = value_in(view);
        last = view.id;
    }
    EXPECT_EQ(seen_value, twins.value());
    EXPECT_EQ(info_of(reader).newest_id, last);
}

TEST_F(Copies, P3_a_key_is_as_new_as_when_it_was_asked_for) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_NO_CURSOR);
    tear_every_copy([&] {
        uint64_t before = twins.value();
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_key(reader, "a", 1, &view), 1);
        EXPECT_GE(value_in(view), before);
        before = twins.value();
        ASSERT_EQ(speculo_read_key(reader, "b", 1, &view), 1);
        EXPECT_GE(value_in(view), before);
        ASSERT_GE(speculo_chunk_is_live(reader, &view), 0);
        EXPECT_EQ(speculo_read_key(reader, "c", 1, &view), 0);
    });
}

TEST_F(Copies, P3_a_snapshot_is_a_boundary) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_NO_CURSOR);
    tear_every_copy([&] {
        uint64_t before = twins.value();
        speculo_snapshot *snapshot = nullptr;
        ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
        std::vector<uint64_t> keyed;
        speculo_chunk view{};
        int found;
        while ((found = speculo_snapshot_next(snapshot, &view)) == 1) {
            uint64_t value = value_in(view);
            if (view.key) { keyed.push_back(value); }
        }
        EXPECT_EQ(found, 0);
        ASSERT_EQ(keyed.size(), 2u); // neither both versions nor none
        EXPECT_EQ(keyed[0], keyed[1]);
        EXPECT_GE(keyed[0], before);
        for (const char *key : {"a", "b"}) {
            EXPECT_EQ(speculo_snapshot_key(snapshot, key, 1, &view), 1);
            EXPECT_EQ(value_in(view), keyed[0]);
        }
        speculo_snapshot_close(snapshot);
    });
}

#if !defined(SPECULO_PORTABLE) // each compaction makes an object there, and this one thread is in the guard of forks already
TEST_F(Copies, P6_seeking_and_counting_find_a_sound_segment) {
    Handle reader = open_untrusted(name);
    tear_every_copy([&] {
        speculo_area_info info{};
        info.struct_size = sizeof info;
        ASSERT_EQ(speculo_area_get_info(reader, &info), 0);
        EXPECT_EQ(info.newest_id % 3, 0u); // of each commit the last
        uint64_t wanted = info.newest_id - 4;
        ASSERT_EQ(speculo_seek(reader, wanted), 0);
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        EXPECT_GE(view.id, wanted);
        value_in(view);
    });
}
#endif

// The writer commits in each copy: no word that moves with a commit is ever the same twice.
TEST_F(Copies, P4_a_writer_at_full_speed_starves_nobody) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_NO_CURSOR);
    std::string key = "fast";
    uint64_t written = 0;
    auto write = [&] { commit_key(writer, key, std::to_string(++written)); };
    write();
    for (bool is_backwards : {false, true}) {
        for (size_t cut : {size_t(1), size_t(2), size_t(4), size_t(9)}) {
            Torn::set(0, cut, is_backwards, write);
            for (int i = 0; i < 50; ++i) {
                uint64_t before = written;
                speculo_chunk view{};
                ASSERT_EQ(speculo_read_key(reader, key.data(), key.size(), &view), 1) << "at " << cut;
                EXPECT_GE(std::stoull(seen(view).payload), before);
                ASSERT_GE(speculo_chunk_is_live(reader, &view), 0);
            }
            Torn::stop();
        }
    }
}

// Who takes over takes the words of a batch back that died: at any moment of the look.
TEST_F(Copies, P5_a_successor_that_is_taken_back_hides_nothing) {
    SegmentProbe segment = current_segment(name);
    uint64_t id = info_of(writer).newest_id;
    core::FrameHeader &frame = segment.frame_of(id);
    bool is_over = false;
    for (uint64_t number = 1; !is_over && !HasFailure(); ++number) {
        Handle reader = open_untrusted(name);
        speculo_chunk view{};
        ASSERT_EQ(speculo_seek(reader, id), 0);
        core::store_successor(frame.successor, segment.end() + 2);
        Torn::set(number, 4, false, [&] { core::store_successor(frame.successor, 0); });
        EXPECT_EQ(speculo_read_next(reader, &view), 1) << number;
        EXPECT_EQ(view.id, id) << number;
        is_over = Torn::count() < number;
        Torn::stop();
    }
    core::store_successor(frame.successor, 0);
}

// On a long way the hint is taken for an end: a damaged one would let a successor hide that was never committed.
TEST_F(Copies, P10_a_hint_behind_the_segment_is_no_end) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_AT_END);
    SegmentProbe segment = current_segment(name);
    const core::SegmentMap &map = segment.map();
    uint32_t place = segment.end();
    auto forge = [&](uint64_t id_flags, uint32_t successor) {
        core::put(map.frame(place).successor, successor);
        core::put(map.frame(place).id_flags, id_flags);
        core::put(map.frame(place++).commit, 1u);
    };
    core::put(map.frame(place + 41).commit, 0u);
    for (int i = 0; i < 40; ++i) { forge(core::pack_id(0, core::control_marker), 0); }
    forge(core::pack_id(info_of(writer).newest_id + 1, 0), map.readable + 1);
    core::publish_hint(map.header().hint, map.readable + 2);
    speculo_chunk view{};
    EXPECT_EQ(speculo_read_next(reader, &view), -EBADMSG); // 0: it was hidden
}

// A successor word is to be judged by an end that was fixed before it was copied.
TEST_F(Copies, what_was_copied_before_the_end_was_fixed_is_copied_again) {
    AreaProbe area(name);
    SegmentProbe segment = area.current_segment();
    uint32_t slot = core::current_slot(area.current());
    int fd = os::operations.open(area.area().place.directory, object_of(area, slot).c_str(), os::Access::read);
    ASSERT_GE(fd, 0);
    core::Copier *copier = core::Copier::make(capacity);
    core::SegmentFile file(segment.map(), fd, *copier);
    uint32_t place = segment.place_of(info_of(writer).newest_id);
    file.all_is_committed_below(place);
    ASSERT_NE(file.commit_at(place), 0u);
    EXPECT_EQ(file.successor_at(place), 0u);
    core::store_successor(segment.map().frame(place).successor, 7);
    file.all_is_committed_below(segment.end());
    EXPECT_EQ(file.successor_at(place), 7u);
    EXPECT_EQ(copier->finish(0), 0);
    core::store_successor(segment.map().frame(place).successor, 0);
    os::operations.release(copier);
    os::operations.close(fd);
}

// ---- private --------------------------------------------------------------------------------------------------------------------

// Overwrites everything that the segment holds of chunks.
void overwrite(const AreaName &name) {
    SegmentProbe segment = current_segment(name);
    const core::SegmentMap &map = segment.map();
    std::memset(map.bytes(0), 0xee, size_t(map.readable * core::place_size));
}

TEST_F(Copies, P7_views_do_not_change_whatever_the_writer_does) {
    Handle reader = open_untrusted(name);
    speculo_chunk next{}, key{}, held{}, shot{};
    ASSERT_EQ(speculo_read_next(reader, &held), 1);
    ASSERT_EQ(speculo_chunk_hold(reader, &held), 0);
    ASSERT_EQ(speculo_read_next(reader, &next), 1);
    ASSERT_EQ(speculo_read_key(reader, "a", 1, &key), 1);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    std::vector<speculo_chunk> shots;
    while (speculo_snapshot_next(snapshot, &shot) == 1) { shots.push_back(shot); }
    ASSERT_GE(shots.size(), 2u);
    overwrite(name);
    for (const speculo_chunk &view : {next, key, held}) { value_in(view); }
    for (const speculo_chunk &view : shots) { value_in(view); }
    EXPECT_EQ(seen(key).key, "a");
    ASSERT_EQ(speculo_chunk_hold(reader, &shots[1]), 0);
    speculo_snapshot_close(snapshot);
    reader.close();
    value_in(held), value_in(shots[1]);
    speculo_chunk_release(&held), speculo_chunk_release(&shots[1]);
    EXPECT_EQ(held.data, nullptr);
}

TEST_F(Copies, a_held_copy_is_not_used_again) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_AT_END);
    for (int i = 0; i < 6; ++i) { twins.write(); }
    std::vector<speculo_chunk> held;
    speculo_chunk view{};
    while (speculo_read_next(reader, &view) == 1) {
        ASSERT_EQ(speculo_chunk_hold(reader, &view), 0);
        held.push_back(view);
    }
    ASSERT_GT(held.size(), 5u);
    for (speculo_chunk &one : held) {
        value_in(one);
        speculo_chunk_release(&one);
    }
}

TEST_F(Copies, memory_of_a_large_chunk_is_given_back_and_small_ones_share_theirs) {
    Faults faults;
    AreaName other;
    Handle second = make_area(other, uint64_t(4) << 20);
    commit_chunk(second, std::string(1 << 20, 'l'));
    for (int i = 0; i < 10; ++i) { commit_chunk(second, std::string(size_t(100 - i), 's')); }
    Handle reader = open_untrusted(other);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    size_t allocations = faults.allocations();
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(faults.allocations(), allocations);
    EXPECT_EQ(faults.calls(Site::allocate) > 0, true);
    faults.reset_counts();
    EXPECT_EQ(read_all(reader).size(), 9u);
    EXPECT_EQ(faults.calls(Site::allocate), 0u);
    reader.close();
    second.close();
    EXPECT_EQ(faults.leaks(), "");
}

TEST_F(Copies, alignment_is_kept) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_AT_END);
    for (uint32_t alignment : {16u, 32u, 256u, 4096u}) {
        commit_chunk(writer, "aligned", aligned(alignment));
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_next(reader, &view), 1);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data) % alignment, 0u);
        EXPECT_EQ(seen(view).payload, "aligned");
    }
}

// ---- refused --------------------------------------------------------------------------------------------------------------------

TEST_F(Copies, a_chunk_above_the_limit_is_told_once_and_skipped) {
    Handle reader = open_untrusted(name, SPECULO_OPEN_AT_END, 1000);
    uint64_t first = commit_chunk(writer, std::string(1000, 'x'));
    commit_key(writer, "big", std::string(1001, 'x'));
    uint64_t last = commit_chunk(writer, "small");
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.id, first);
    EXPECT_EQ(speculo_wait(reader, 0), 1);
    EXPECT_EQ(speculo_read_next(reader, &view), -EMSGSIZE);
    EXPECT_EQ(info_of(reader).skipped, 1u);
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.id, last);
    EXPECT_EQ(view.skipped, 1u);
    EXPECT_EQ(speculo_read_key(reader, "big", 3, &view), -EMSGSIZE);
    EXPECT_EQ(speculo_read_key(reader, "big", 3, &view), -EMSGSIZE);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    int refused = 0;
    bool saw_last = false;
    for (int found; (found = speculo_snapshot_next(snapshot, &view)) != 0;) {
        ASSERT_TRUE(found == 1 || found == -EMSGSIZE) << found;
        found == 1 ? void(saw_last = view.id == last) : void(++refused);
    }
    EXPECT_EQ(refused, 1);
    EXPECT_TRUE(saw_last);
    EXPECT_EQ(speculo_snapshot_key(snapshot, "big", 3, &view), -EMSGSIZE);
    speculo_snapshot_close(snapshot);
}

TEST_F(Copies, without_memory_the_cursor_stays) {
    Faults faults;
    AreaName other;
    Handle second = make_area(other, capacity);
    uint64_t id = commit_key(second, "k", "x");
    Handle reader = open_untrusted(other);
    speculo_chunk view{};
    faults.reset_counts();
    faults.fail_from(Site::allocate, 1, ENOMEM);
    EXPECT_EQ(speculo_read_next(reader, &view), -ENOMEM);
    EXPECT_EQ(speculo_read_key(reader, "k", 1, &view), -ENOMEM);
    EXPECT_EQ(view.id, 0u);
    faults.heal();
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.id, id);
}

// Each copy of a call fails once: nothing is taken for hidden, and no cursor moves.
TEST_F(Copies, P9_what_could_not_be_copied_is_looked_at_again) {
    Faults faults;
    AreaName other;
    Handle second = make_area(other, capacity);
    Ids ids = {commit_chunk(second, "x"), commit_chunk(second, "y")};
    SegmentProbe segment = current_segment(other);
    core::store_successor(segment.frame_of(ids[0]).successor, segment.end() + 2); // of a batch that died
    auto fail_each_copy = [&](auto call) {
        int result = -EIO;
        for (uint64_t number = 1; result == -EIO; ++number) {
            Handle reader = open_untrusted(other);
            faults.reset_counts();
            faults.fail(Site::read_at, number, EIO);
            result = call(reader);
            EXPECT_EQ(result == -EIO, faults.fired() > 0) << number;
            faults.heal();
            if (result == -EIO) { EXPECT_EQ(ids_of(read_all(reader)), ids) << number; }
        }
        return result;
    };
    speculo_chunk view{};
    EXPECT_EQ(fail_each_copy([&](speculo_area *reader) { return speculo_read_next(reader, &view); }), 1);
    EXPECT_EQ(fail_each_copy([&](speculo_area *reader) { return speculo_seek(reader, ids[1]); }), 0);
    EXPECT_EQ(fail_each_copy([&](speculo_area *reader) { return speculo_seek(reader, ids[1] + 1); }), 0);
}

// Behind two that were superseded comes one whose header ends what was read ahead; its tag comes with the next piece, or not.
// It would forget which segment it has looked at, and take that for news.
TEST_F(Copies, P9_a_wait_whose_copies_fail_says_nothing_new_the_next_time) {
    compact_now(writer); // not in slot 0
    Handle reader = open_untrusted(name, SPECULO_OPEN_NO_CURSOR);
    uint64_t call = 0;
    for (bool has_failed = true; has_failed;) {
        ASSERT_EQ(speculo_wait(reader, 0), 0) << call;
        Faults faults;
        faults.fail(Site::read_at, ++call, EIO);
        int waited = speculo_wait(reader, 0);
        has_failed = faults.fired() != 0;
        EXPECT_EQ(waited, has_failed ? -EIO : 0) << call;
    }
    EXPECT_GT(call, 1u);
}

TEST_F(Copies, a_field_that_cannot_be_read_is_not_taken_for_none) {
    Faults faults;
    AreaName other;
    Handle second = make_area(other, capacity);
    uint64_t first = put_chunk(second, "first");
    uint64_t ahead = put_chunk(second, std::string(core::Copier::most_at_once - 2 * sizeof(core::FrameHeader), 'x'));
    ChunkOptions options = superseding(ahead);
    options.tag = 7;
    put_chunk(second, "tagged", options), put_chunk(second, "last", superseding(first));
    commit(second);
    bool has_failed = true;
    for (uint64_t call = 1; has_failed; ++call) {
        Handle reader = open_untrusted(other);
        speculo_chunk view{};
        faults.reset_counts();
        faults.fail(Site::read_at, call, EIO);
        int found = speculo_read_next(reader, &view);
        has_failed = faults.fired() != 0;
        faults.heal();
        EXPECT_EQ(found, has_failed ? -EIO : 1);
        if (has_failed) { EXPECT_EQ(speculo_read_next(reader, &view), 1); }
        EXPECT_EQ(view.tag, 7u);
    }
}

// ---- nothing is mapped ------------------------------------------------------------------------------------------------------------

// Headers lie at the end of what is copied at once, their fields behind it: then the header has to be copied again.
TEST_F(Copies, P9_a_snapshot_tells_of_every_copy_that_fails) {
    AreaName other;
    Handle own = make_area(other, capacity);
    auto put = [&](const char *key, size_t places) {
        return put_key(own, key, std::string((places - 2) * core::place_size, 'x'));
    };
    put("k", 31);
    uint64_t second = put("l", 225);
    commit(own);
    uint64_t newest = put("k", 3);
    commit(own);
    ASSERT_EQ(inside(own).committed, core::first_place + 31 + 225 + 3);
    Faults faults;
    Handle reader = open_untrusted(other, SPECULO_OPEN_NO_CURSOR);
    auto fail_each_copy = [&](uint64_t wanted, auto step) {
        bool is_over = false;
        for (uint64_t call = 1; !is_over && !HasFailure(); ++call) {
            SCOPED_TRACE(call);
            speculo_snapshot *snapshot = nullptr;
            ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
            speculo_chunk chunk{};
            faults.reset_counts();
            faults.fail(Site::read_at, call, EIO);
            int found = step(snapshot, &chunk);
            is_over = faults.fired() == 0;
            faults.heal();
            EXPECT_EQ(found, is_over ? 1 : -EIO);
            if (!is_over) { EXPECT_EQ(step(snapshot, &chunk), 1); }
            EXPECT_EQ(chunk.id, wanted);
            speculo_snapshot_close(snapshot);
        }
    };
    fail_each_copy(second, speculo_snapshot_next);
    fail_each_copy(newest, [](auto *snapshot, auto *chunk) { return speculo_snapshot_key(snapshot, "k", 1, chunk); });
}

TEST_F(Copies, P10_nothing_is_mapped_until_it_sleeps) {
    Faults faults;
    AreaName other;
    Handle second = make_area(other, capacity);
    commit_key(second, "k", "x");
    faults.reset_counts();
    Handle reader = open_untrusted(other);
    EXPECT_EQ(read_all(reader).size(), 1u);
    EXPECT_EQ(value_of(reader, "k"), "x");
    compact_now(second);
    uint64_t of_the_writer = faults.calls(Site::map);
    commit_key(second, "k", "y");
    EXPECT_EQ(read_all(reader).size(), 1u);
    EXPECT_EQ(value_of(reader, "k"), "y");
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(info_of(reader).live_chunks, 1u);
    EXPECT_EQ(speculo_wait(reader, 0), 1);
    EXPECT_LE(of_the_writer, 1u); // a fresh segment
    EXPECT_EQ(faults.calls(Site::map), of_the_writer);
}

// Each object cut short at every page, under a reader that has it open: errors, or what was there.
TEST_F(Copies, P10_objects_that_are_cut_short_under_a_reader_are_no_signal) {
    for (const std::string &file : name.files()) {
        std::string path = std::string(area_directory()) + "/" + file;
        for (uint64_t size : {0u, 1u, 4096u, 8192u, 20000u}) {
            SCOPED_TRACE(file + " of " + std::to_string(size));
            Handle reader = open_untrusted(name);
            speculo_chunk view{};
            ASSERT_EQ(speculo_read_next(reader, &view), 1);
            int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
            struct stat was {};
            ASSERT_EQ(fstat(fd, &was), 0);
            std::string bytes(size_t(was.st_size), '\0');
            ASSERT_EQ(pread(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
            bool is_cut = uint64_t(was.st_size) > size;
            if (is_cut) { ASSERT_EQ(ftruncate(fd, off_t(size)), 0); }
            for (int found = 1; found == 1;) {
                value_in(view);
                found = speculo_read_next(reader, &view);
                EXPECT_TRUE(found == 1 || found == 0 || found == -EBADMSG) << found;
            }
            for (auto result : {speculo_read_key(reader, "a", 1, &view), speculo_seek(reader, 0),
                                speculo_wait(reader, 5 * int64_t(ms)), speculo_area_dispatch(reader)}) {
                EXPECT_TRUE(result >= 0 || result == -EBADMSG) << result;
            }
            ASSERT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
            close(fd);
        }
    }
}

// The reader has seen so far and no further, and that is where the next frame's fields begin.
TEST_F(Copies, a_frame_that_goes_on_in_new_memory_is_read_whole) {
    AreaName other;
    Handle second = make_area(other, uint64_t(1) << 20);
    commit_key(second, "first", "1");
    Handle reader = open_untrusted(other, SPECULO_OPEN_NO_CURSOR);
    EXPECT_EQ(value_of(reader, "first"), "1");
    uint32_t seen = static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->key_segment->map.readable;
    commit_chunk(second, std::string((seen - 1 - inside(second).tail - 1) * core::place_size, 'x'));
    ASSERT_EQ(inside(second).tail, seen - 1);
    commit_key(second, "second", "2");
    core::publish_hint(inside(second).current->map.header().hint, seen - 1); // as right before the writer stores it
    EXPECT_EQ(value_of(reader, "second"), "2");
}

// ---- how long it may take ---------------------------------------------------------------------------------------------------------

// A segment full of dead frames, of the smallest size: the call ends, says so, and the next one goes on.
TEST_F(Copies, P10_a_long_way_is_gone_in_steps) {
    AreaName other;
    constexpr uint32_t markers = 140000; // each is looked at by two copies
    Handle second = make_area(other, uint64_t(16) << 20);
    commit_chunk(second, "first");
    Handle reader = open_untrusted(other);
    EXPECT_EQ(read_all(reader).size(), 1u);
    SegmentProbe segment = current_segment(other);
    const core::SegmentMap &map = inside(second).current->map;
    ASSERT_EQ(core::segment_extend(*inside(second).current, markers + 100), 0);
    uint32_t place = segment.end();
    for (uint32_t i = 0; i < markers; ++i, ++place) {
        core::put(map.frame(place).successor, 0u);
        core::put(map.frame(place).id_flags, core::pack_id(0, core::control_marker));
        core::put(map.frame(place).commit, 1u);
    }
    int found, calls = 0;
    speculo_chunk view{};
    while ((found = speculo_read_next(reader, &view)) == -EAGAIN && ++calls < 10) {}
    EXPECT_EQ(found, 0);
    EXPECT_GE(calls, 1);
    EXPECT_LE(calls, 2);
}

} // namespace
