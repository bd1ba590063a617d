// SPDX-License-Identifier: LGPL-2.1-or-later
// Areas that released versions have left behind are read as they were meant, and written on. For a format that is no longer read
// this becomes a test that it is refused.
//
// Nothing in the files is changed before: in shared memory nobody asks for the boot, and their owner is whoever lays them out. On a
// disk they are of a boot before, and closed.
#include <gtest/gtest.h>

#include <cerrno>
#include <sys/stat.h>

#include "checking.hpp"
#include "golden.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

bool is_little_endian() {
    uint16_t word = 1;
    unsigned char first;
    std::memcpy(&first, &word, 1);
    return first == 1;
}

const std::map<std::string, Image> &images() {
    static const std::map<std::string, Image> all = [] {
        std::ifstream in(SPECULO_GOLDEN);
        return parse(in);
    }();
    return all;
}

void lay_out(const AreaName &name, const std::string &what) {
    ASSERT_EQ(images().count(what), 1u) << what << " in " << SPECULO_GOLDEN;
    for (const auto &[suffix, bytes] : images().at(what)) {
        std::ofstream(name.path(suffix), std::ios::binary) << bytes;
        ASSERT_EQ(chmod(name.path(suffix).c_str(), 0600), 0);
    }
}

struct Expected {
    uint64_t id;
    std::string key, payload;
    uint32_t tag = 0, flags = 0;
    bool has_deadline = false;
};

// As write_present() leaves them.
const std::vector<Expected> live{
    {6, "config", "third"},
    {7, long_key(), "", 0xfedcba98},
    {8, "", "aligned"},
    {9, "", "for two"},
    {10, "", "passing", 0, SPECULO_CHUNK_TRANSIENT, true},
    {14, "", large_payload()},
    {15, "", "short"},
    {16, "state", "lasting", 0, 0, true},
};
const uint64_t next_id = 17;

std::vector<Expected> without(std::vector<Expected> all, const std::vector<uint64_t> &ids) {
    auto is_one = [&](const Expected &one) { return std::find(ids.begin(), ids.end(), one.id) != ids.end(); };
    all.erase(std::remove_if(all.begin(), all.end(), is_one), all.end());
    return all;
}

void expect_chunk(const speculo_chunk &chunk, const Expected &expected) {
    SCOPED_TRACE(expected.id);
    Seen found = seen(chunk);
    EXPECT_EQ(found.id, expected.id);
    EXPECT_EQ(found.key, expected.key);
    EXPECT_EQ(found.payload, expected.payload);
    EXPECT_EQ(found.tag, expected.tag);
    EXPECT_EQ(found.flags, expected.flags);
    EXPECT_EQ(chunk.expires_ns != 0, expected.has_deadline);
    if (expected.has_deadline) { EXPECT_GT(chunk.expires_ns, golden_ages); }
    EXPECT_EQ(found.address % (expected.payload == "aligned" ? 4096 : 16), 0u);
}

void expect_snapshot(const AreaName &name, const std::vector<Expected> &all) {
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    speculo_chunk chunk{};
    for (const Expected &one : all) {
        ASSERT_EQ(speculo_snapshot_next(snapshot, &chunk), 1) << one.id;
        expect_chunk(chunk, one);
    }
    EXPECT_EQ(speculo_snapshot_next(snapshot, &chunk), 0);
    speculo_snapshot_close(snapshot);
    for (const Expected &one : all) {
        if (!one.key.empty()) { EXPECT_EQ(value_of(reader, one.key), one.payload); }
    }
    for (const char *key : {"gone", "none"}) { EXPECT_EQ(value_of(reader, key), no_value); }
}

// `all`: live chunks. The removal of a key comes in between.
void expect_stream(const AreaName &name, std::vector<Expected> all, bool has_removal) {
    Handle reader = open_reader(name);
    if (has_removal) {
        auto behind = std::find_if(all.begin(), all.end(), [](const Expected &one) { return one.id > 12; });
        all.insert(behind, {12, "gone", "", 0, SPECULO_CHUNK_REMOVED | SPECULO_CHUNK_TRANSIENT});
    }
    speculo_chunk chunk{};
    for (const Expected &one : all) {
        ASSERT_EQ(speculo_read_next(reader, &chunk), 1) << one.id;
        expect_chunk(chunk, one);
    }
    EXPECT_EQ(speculo_read_next(reader, &chunk), 0);
}

void expect_all(const AreaName &name, const std::vector<Expected> &all, bool has_removal = true) {
    expect_sound(name);
    expect_snapshot(name, all);
    expect_stream(name, all, has_removal);
}

// The next writer undoes what was not committed, gives the next id, and gets along with all that there is.
void write_on(const AreaName &name, std::vector<Expected> all, bool has_removal = true) {
    Handle writer = open_writer(name);
    ASSERT_NE(static_cast<speculo_area *>(writer), nullptr);
    expect_all(name, all, has_removal);
    EXPECT_EQ(commit_key(writer, "config", "new"), next_id);
    EXPECT_EQ(commit_chunk(writer, "newer", superseding(9)), next_id + 1);
    all = without(all, {6, 9});
    all.push_back({next_id, "config", "new"});
    all.push_back({next_id + 1, "", "newer"});
    expect_all(name, all, has_removal);
    for (int i = 0; i < 4; ++i) { // each segment once more
        compact_now(writer);
        expect_all(name, without(all, {10}), false);
    }
}

class Golden : public testing::Test {
protected:
    // Whether there is more to be looked at: this machine's byte order is that of the files.
    bool begin(const std::string &what) {
        lay_out(name, what);
        if (is_little_endian()) { return true; }
        EXPECT_EQ(try_open(name, SPECULO_OPEN_READ), -EPROTONOSUPPORT);
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), -EPROTONOSUPPORT);
        return false;
    }
    AreaName name;
};

TEST_F(Golden, area_that_was_closed_is_read) {
    if (!begin("closed")) { return; }
    expect_all(name, live);
    speculo_area_info info = info_of(open_reader(name));
    EXPECT_EQ(info.capacity, golden_capacity);
    EXPECT_EQ(info.generation, 4u);
    EXPECT_EQ(info.segments, 3u);
    EXPECT_EQ(info.newest_id, next_id - 1);
    EXPECT_EQ(info.live_chunks, live.size());
    EXPECT_EQ(info.expired_chunks, 1u);
}

TEST_F(Golden, area_that_was_closed_is_written_on) {
    if (begin("closed")) { write_on(name, live); }
}

TEST_F(Golden, P8_commit_that_was_not_completed_is_not_seen) {
    if (begin("torn")) { expect_all(name, live); }
}

TEST_F(Golden, P8_commit_that_was_not_completed_is_undone) {
    if (begin("torn")) { write_on(name, live); }
}

TEST_F(Golden, P8_compaction_that_was_not_completed_is_read) {
    if (begin("switched")) { expect_all(name, without(live, {10}), false); }
}

TEST_F(Golden, P8_compaction_that_was_not_completed_is_finished) {
    if (begin("switched")) { write_on(name, without(live, {10}), false); }
}

// The table that the tests go by is right about areas of this version, too.
TEST_F(Golden, area_of_today_reads_the_same) {
    Faults faults;
    faults.clock.freeze();
    {
        Handle writer = make_area(name, golden_capacity);
        write_history(writer);
        write_present(writer);
    }
    faults.clock.jump(10 * ms);
    expect_all(name, live);
    write_on(name, live);
}

TEST(GoldenOnDisk, what_had_a_deadline_ended_with_the_boot) {
    Faults faults;
    os::operations.file_system = [](int, os::Medium *ret_medium) {
        *ret_medium = os::Medium::disk;
        return 0;
    };
    AreaName name{"/tmp"};
    lay_out(name, "closed");
    if (!is_little_endian()) { return; }
    expect_all(name, without(live, {10, 16}));
    write_on(name, without(live, {10, 16}));
}

} // namespace
