// SPDX-License-Identifier: LGPL-2.1-or-later
// The whole protocol between threads of one process, over one mapping, so that a race detector sees it: one thread writes,
// supersedes, removes and compacts, others follow, look up, take snapshots and hold. Every byte that a reader gets is checked.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "one_mapping.hpp"
#include "payload.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 32 << 10;
constexpr int commits = 3000;
constexpr int keys = 5;
constexpr uint64_t payload_sizes = 300;

std::string key_name(uint64_t number) { return "key" + std::to_string(number % keys); }

// Two chunks in each commit: the versions of two keys, which always belong together, and now and then something without key.
class Writing {
public:
    explicit Writing(const AreaName &name) : area_(make_area(name, capacity)) {}

    void run() {
        for (int i = 1; i <= commits; ++i) {
            uint64_t value = uint64_t(i);
            put(value, "left");
            put(value, "right");
            put(value, key_name(value));
            put(value, "");
            if (i % 10 == 0) { EXPECT_EQ(remove_key(area_, key_name(value)), 0); }
            EXPECT_EQ(speculo_commit(area_), 0);
            if (i % 97 == 0) { compact_now(area_); }
        }
        done.store(true, std::memory_order_relaxed);
    }

    std::atomic<bool> done{false};
    uint64_t generation() { return info_of(area_).generation; }

private:
    void put(uint64_t value, const std::string &key) {
        ChunkOptions options = key.empty() ? transient() : ChunkOptions();
        if (!key.empty()) { options.with_key(key); }
        size_t size = least_payload + value * 7 % payload_sizes;
        void *data = nullptr;
        uint64_t id = 0;
        ASSERT_EQ(speculo_chunk_alloc(area_, size, &options, &data, &id), 0);
        fill_payload(data, size, id, 1, value);
    }

    Handle area_;
};

uint64_t checked_value(const speculo_chunk &view) {
    PayloadHead head{};
    EXPECT_TRUE(check_payload(view.data, view.size, view.id, &head)) << view.id;
    return head.value;
}

class Races : public testing::Test {
protected:
    // Runs `reader` again and again while the writer writes, and once more when it is done.
    template <typename Body> void run_beside_writer(int threads, Body body) {
        std::vector<std::thread> readers;
        for (int i = 0; i < threads; ++i) {
            readers.emplace_back([&, i] {
                for (bool is_last = false; !is_last && !HasFailure();) {
                    is_last = writing.done.load(std::memory_order_relaxed);
                    body(i);
                }
            });
        }
        writing.run();
        for (std::thread &reader : readers) { reader.join(); }
        EXPECT_GT(writing.generation(), 20u);
        EXPECT_EQ(mapping.shared() > 0, !are_readers_untrusting()); // or the detector sees nothing
    }

    OneMapping mapping; // first of all
    AreaName name;
    Writing writing{name};
};

TEST_F(Races, P6_P7_cursors_follow_and_hold) {
    struct Following {
        Handle handle;
        uint64_t last = 0;
        speculo_chunk held{};
    } followers[2];
    for (Following &one : followers) { one.handle = open_reader(name); }
    run_beside_writer(2, [&](int i) {
        Following &one = followers[i];
        speculo_chunk view{};
        int found;
        while ((found = speculo_read_next(one.handle, &view)) == 1) {
            EXPECT_GT(view.id, one.last);
            one.last = view.id;
            if (!(view.flags & SPECULO_CHUNK_REMOVED)) { checked_value(view); }
            if (view.id % 50 != 0 || (view.flags & SPECULO_CHUNK_REMOVED)) { continue; }
            if (one.held.data) { checked_value(one.held); } // long after
            speculo_chunk_release(&one.held);
            EXPECT_EQ(speculo_chunk_hold(one.handle, &view), 0);
            one.held = view;
        }
        EXPECT_TRUE(found == 0 || found == -EAGAIN) << found;
    });
    for (Following &one : followers) {
        speculo_chunk view{};
        while (speculo_read_next(one.handle, &view) == 1) { one.last = view.id; }
        EXPECT_EQ(one.last, info_of(one.handle).newest_id); // the last commit removes: its removal is the newest
        speculo_chunk_release(&one.held);
    }
}

TEST_F(Races, P3_snapshots_show_whole_commits) {
    run_beside_writer(2, [&](int) {
        Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
        for (int round = 0; round < 20; ++round) {
            speculo_snapshot *snapshot = nullptr;
            int error = speculo_snapshot_open(reader, &snapshot);
            if (error == -EAGAIN) { continue; }
            ASSERT_EQ(error, 0);
            uint64_t left = 0, right = 0;
            speculo_chunk view{};
            while (speculo_snapshot_next(snapshot, &view) == 1) {
                uint64_t value = checked_value(view);
                if (seen(view).key == "left") { left = value; }
                if (seen(view).key == "right") { right = value; }
            }
            EXPECT_EQ(left, right);
            if (speculo_snapshot_key(snapshot, "left", 4, &view) == 1) { EXPECT_EQ(checked_value(view), left); }
            speculo_snapshot_close(snapshot);
        }
    });
}

TEST_F(Races, keys_never_go_back) {
    struct Looking {
        Handle handle;
        uint64_t left = 0;
    } looking[2];
    for (Looking &one : looking) { one.handle = open_reader(name, SPECULO_OPEN_NO_CURSOR); }
    run_beside_writer(2, [&](int i) {
        Looking &one = looking[i];
        speculo_chunk view{};
        int found = speculo_read_key(one.handle, "left", 4, &view);
        EXPECT_TRUE(found == 0 || found == 1 || found == -EAGAIN) << found;
        if (found == 0) { EXPECT_EQ(one.left, 0u); } // never again without
        if (found == 1) {
            uint64_t value = checked_value(view);
            EXPECT_GE(value, one.left);
            one.left = value;
        }
        std::string key = key_name(one.left);
        found = speculo_read_key(one.handle, key.data(), key.size(), &view);
        if (found == 1) {
            checked_value(view);
            EXPECT_EQ(seen(view).key, key);
            speculo_chunk_is_live(one.handle, &view);
        }
    });
    for (Looking &one : looking) {
        speculo_chunk view{};
        ASSERT_EQ(speculo_read_key(one.handle, "left", 4, &view), 1);
        EXPECT_EQ(checked_value(view), uint64_t(commits));
    }
}

TEST_F(Races, seeks_and_openings_find_a_sound_segment) {
    run_beside_writer(2, [&](int i) {
        speculo_area *reader = nullptr;
        int error = speculo_area_open(name.c_str(), with_trust(i ? SPECULO_OPEN_AT_END : 0), nullptr, &reader);
        if (error == -EAGAIN) { return; }
        ASSERT_EQ(error, 0);
        speculo_area_info info{};
        info.struct_size = sizeof info;
        error = speculo_area_get_info(reader, &info);
        EXPECT_TRUE(error == 0 || error == -EAGAIN) << error;
        uint64_t wanted = info.newest_id / 2 + 1;
        speculo_chunk view{};
        if (speculo_seek(reader, wanted) == 0 && speculo_read_next(reader, &view) == 1) {
            EXPECT_GE(view.id, wanted);
            if (!(view.flags & SPECULO_CHUNK_REMOVED)) { checked_value(view); }
        }
        speculo_area_close(reader);
    });
}

} // namespace
