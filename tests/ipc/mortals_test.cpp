// SPDX-License-Identifier: LGPL-2.1-or-later
// kill -9 of everybody else: of readers, at any moment, which must not reach the writer, and of those who make and remove areas.
#include <gtest/gtest.h>

#include <csignal>

#include "area_names.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "mortal.hpp"

namespace {

using namespace speculo::test;

constexpr uint64_t capacity = 32 << 10;
constexpr uint32_t segments = 4, most_segments = 32;

struct Progress {
    std::atomic<uint64_t> commits{0}, newest{0};
    std::atomic<uint32_t> opened{0};
    char complaint[256]{};

    int complain(const char *what, int error) {
        std::snprintf(complaint, sizeof complaint, "%s: %s", what, speculo_strerror(error));
        return 1;
    }
};

speculo_area_options options_for(uint32_t flags) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = capacity;
    options.segments = segments;
    options.flags = flags;
    return options;
}

int alloc_one(speculo_area *area, bool has_key, uint64_t *ret_id) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.key = has_key ? "key" : nullptr;
    options.key_size = has_key ? 3 : 0;
    options.flags = has_key ? 0 : SPECULO_CHUNK_TRANSIENT;
    void *data;
    constexpr size_t size = 200;
    int error = speculo_chunk_alloc(area, size, &options, &data, ret_id);
    if (error == 0) { fill_payload(data, size, *ret_id, 0, 0); }
    return error;
}

// ---- readers ------------------------------------------------------------------------------------------------------------------

// Writes for ever. Refusals are none of its trouble in a lossless area, where the next try comes soon.
int write_steadily(const char *name, Progress &progress, uint32_t flags) {
    speculo_area_options options = options_for(flags);
    speculo_area *area;
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area);
    if (error < 0) { return progress.complain("open", error); }
    for (;;) {
        uint64_t id;
        error = alloc_one(area, progress.commits % 50 == 0, &id);
        if (error == -EAGAIN && (flags & SPECULO_AREA_LOSSLESS)) {
            usleep(50);
            continue;
        }
        if (error == 0) { error = speculo_commit(area); }
        if (error < 0) { return progress.complain("write", error); }
        progress.newest = id;
        ++progress.commits;
    }
}

// Everything that a reader can hold, until it is killed.
int read_until_killed(const char *name, Progress &progress) {
    speculo_area *area;
    int error = speculo_area_open(name, SPECULO_OPEN_READ, nullptr, &area);
    if (error < 0) { return progress.complain("open", error); }
    progress.opened = 1;
    speculo_chunk held[16] = {};
    for (uint32_t i = 0;; ++i) {
        speculo_chunk chunk{};
        int found = speculo_read_next(area, &chunk);
        if (found < 0) { return progress.complain("read_next", found); }
        if (found == 1 && !check_payload(chunk.data, chunk.size, chunk.id)) { return progress.complain("payload", 0); }
        speculo_chunk_release(&held[i % 16]);
        if (found == 1 && i % 5 == 0) {
            held[i % 16] = chunk;
            speculo_chunk_hold(area, &held[i % 16]);
        }
        found = speculo_read_key(area, "key", 3, &chunk);
        if (found < 0) { return progress.complain("read_key", found); }
        if (found == 1 && !check_payload(chunk.data, chunk.size, chunk.id)) { return progress.complain("key's payload", 0); }
        speculo_snapshot *snapshot;
        if (i % 7 == 0 && (error = speculo_snapshot_open(area, &snapshot)) < 0) { return progress.complain("snapshot", error); }
        if (i % 14 == 0) { speculo_snapshot_close(snapshot); } // the other half is left to the kernel
    }
}

uint64_t count_segments(speculo_area *witness) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    EXPECT_EQ(speculo_area_get_info(witness, &info), 0);
    return info.segments;
}

void kill_readers(uint32_t flags, uint64_t rounds) {
    AreaName name;
    SharedPage<Progress> writing, reading;
    Mortal writer([&] { return write_steadily(name.c_str(), *writing, flags); });
    ASSERT_TRUE(writer.wait_until([&] { return writing->newest > 100; })) << writing->complaint;
    speculo_area *witness = nullptr;
    ASSERT_EQ(speculo_area_open(name.c_str(), SPECULO_OPEN_NO_CURSOR, nullptr, &witness), 0);
    std::mt19937_64 dice(4711);
    for (uint64_t round = 0; round < rounds && !testing::Test::HasFailure(); ++round) {
        reading->opened = 0;
        Mortal reader([&] { return read_until_killed(name.c_str(), *reading); });
        if (round % 4 != 0) {
            EXPECT_TRUE(reader.wait_until([&] { return reading->opened != 0; })) << reading->complaint;
        }
        reader.kill_after(dice() % 1000000);
        EXPECT_TRUE(reader.was_killed()) << reading->complaint;
        EXPECT_LE(count_segments(witness), flags & SPECULO_AREA_LOSSLESS ? segments : most_segments); // parked ones are named
    }
    uint64_t commits = writing->commits;
    EXPECT_TRUE(writer.wait_until([&] { return writing->commits > commits + 1000; })) << "the dead hold the writer back";
    // Counted by their names: who asks for them is inside one itself for a moment, and so may keep others.
    constexpr size_t others = 3; // objects that are no segments
    EXPECT_TRUE(writer.wait_until([&] { return name.files().size() == segments + others; }))
        << "what the dead have pinned is kept";
    writer.kill_after(0);
    EXPECT_TRUE(writer.was_killed()) << writing->complaint;
    speculo_area_close(witness);
}

TEST(Mortals, P4_P8_killed_readers_are_not_noticed) { kill_readers(0, 1000 * kill_factor()); }

#if !defined(SPECULO_PORTABLE)
TEST(Mortals, P4_P8_nor_are_killed_cursors_of_a_lossless_area) { kill_readers(SPECULO_AREA_LOSSLESS, 1000 * kill_factor()); }
#else
TEST(Mortals, P4_P8_a_lossless_area_is_refused_for_want_of_locks) {
    AreaName name;
    speculo_area_options options = options_for(SPECULO_AREA_LOSSLESS);
    speculo_area *area;
    EXPECT_EQ(speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area), -EOPNOTSUPP);
}
#endif

// ---- areas that are made and removed ------------------------------------------------------------------------------------------

// Makes the area, or takes it over, commits once, closes and removes it, again and again.
int make_and_remove(const char *name, Progress &progress) {
    speculo_area_options options = options_for(0);
    for (;;) {
        speculo_area *area;
        int error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area);
        if (error < 0) { return progress.complain("open", error); }
        uint64_t id;
        error = alloc_one(area, false, &id);
        if (error == 0) { error = speculo_commit(area); }
        if (error < 0) { return progress.complain("write", error); }
        speculo_area_close(area);
        error = speculo_area_remove(name);
        if (error < 0) { return progress.complain("remove", error); }
        ++progress.commits;
    }
}

// An area that is there is whole; of a half-made or half-removed one nothing is seen.
void check_reader(const char *name) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(name, SPECULO_OPEN_READ, nullptr, &area);
    EXPECT_TRUE(error == 0 || error == -ENOENT) << speculo_strerror(error);
    if (error < 0) { return; }
    speculo_chunk chunk{};
    int found = speculo_read_next(area, &chunk);
    EXPECT_GE(found, 0);
    if (found == 1) { EXPECT_TRUE(check_payload(chunk.data, chunk.size, chunk.id)); }
    speculo_area_close(area);
}

TEST(Mortals, P8_areas_half_made_or_half_removed_are_no_trouble) {
    AreaName name;
    SharedPage<Progress> progress;
    std::mt19937_64 dice(4711);
    for (uint64_t round = 0; round < 1000 * kill_factor() && !HasFailure(); ++round) {
        uint64_t before = progress->commits;
        Mortal maker([&] { return make_and_remove(name.c_str(), *progress); });
        if (round % 2 == 0) {
            EXPECT_TRUE(maker.wait_until([&] { return progress->commits > before; })) << progress->complaint;
        }
        maker.kill_after(dice() % 1000000);
        EXPECT_TRUE(maker.was_killed()) << progress->complaint;
        check_reader(name.c_str());
        if (round % 20 == 0) {
            int error = speculo_area_remove(name.c_str());
            EXPECT_TRUE(error == 0 || error == -ENOENT) << speculo_strerror(error);
            EXPECT_TRUE(name.files().empty()) << name.files()[0] << " in round " << round;
        }
    }
    EXPECT_GT(progress->commits, 400u);
}

} // namespace
