// SPDX-License-Identifier: LGPL-2.1-or-later
// Eight keys that one commit always sets together are never seen mixed, however fast the writer goes and whatever it compacts.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "area_names.hpp"
#include "child.hpp"
#include "ledger.hpp"
#include "mortal.hpp"

namespace {

using namespace speculo::test;

constexpr uint32_t keys = 8;
#if defined(SPECULO_PORTABLE)
constexpr uint64_t least_snapshots = 4000, least_compactions = 500; // each with a fresh object
#else
constexpr uint64_t least_snapshots = 20000, least_compactions = 5000;
#endif

struct Report {
    std::atomic<uint32_t> is_open{0}, is_failed{0};
    char text[256]{};

    int say(const char *what, uint64_t a = 0, uint64_t b = 0) {
        if (is_failed.exchange(1) == 0) { std::snprintf(text, sizeof text, "%s (%lu, %lu)", what, ulong(a), ulong(b)); }
        return 1;
    }
};

std::string key_of(uint32_t key) { return "key " + std::to_string(key); }

// ---- the writer ---------------------------------------------------------------------------------------------------------------

int set_all(speculo_area *area, uint64_t value) {
    for (uint32_t i = 0; i < keys; ++i) {
        std::string key = key_of(i);
        speculo_chunk_options options{};
        options.struct_size = sizeof options;
        options.key = key.data();
        options.key_size = key.size();
        options.tag = i;
        void *data;
        uint64_t id;
        size_t size = least_payload + (value * 13 + i * 29) % 200;
        if (int error = speculo_chunk_alloc(area, size, &options, &data, &id); error < 0) { return error; }
        fill_payload(data, size, id, 0, value);
    }
    return 0;
}

int remove_all(speculo_area *area) {
    for (uint32_t i = 0; i < keys; ++i) {
        std::string key = key_of(i);
        if (int error = speculo_key_remove(area, key.data(), key.size()); error < 0) { return error; }
    }
    return 0;
}

// Sets all to 1, 2, ...; some are set again or removed by the same commit, and now and then all are removed.
int write_flat_out(const char *name, Report &report, bool with_removals) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = 64 << 10;
    speculo_area *area;
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area);
    if (error == 0) { error = set_all(area, 1); }
    if (error == 0) { error = speculo_commit(area); }
    report.is_open = 1;
    for (uint64_t value = 2; error == 0; ++value) {
        bool is_twice = value % 16 == 3;
        error = is_twice ? set_all(area, value) : 0;
        if (error == 0 && with_removals && value % 4 == 3) { error = remove_all(area); }
        if (error == 0 && (!with_removals || value % 4 != 3 || value % 8 == 7)) { error = set_all(area, value); }
        if (error == 0) { error = speculo_commit(area); }
        if (error == 0 && with_removals && value % 4 == 3 && value % 8 != 7) { error = set_all(area, value); }
        if (error == 0) { error = speculo_commit(area); }
    }
    return report.say("the writer failed", uint64_t(-error));
}

// ---- readers ------------------------------------------------------------------------------------------------------------------

class Reader {
public:
    Reader(const char *name, Report &report, bool with_removals) : report_(report), with_removals_(with_removals) {
        error_ = speculo_area_open(name, with_trust(SPECULO_OPEN_NO_CURSOR), nullptr, &area_);
    }

    // Exit status.
    int run() {
        if (error_ < 0) { return report_.say("open", uint64_t(-error_)); }
        uint64_t first = generation(), snapshots = 0, absent = 0;
        uint64_t share = are_readers_untrusting() ? 10 : 1; // they copy each snapshot
        while (snapshots < least_snapshots / share || generation() < first + least_compactions / share) {
            int failure = look(absent);
            if (failure == 0) { failure = look_up_one_by_one(); }
            if (failure != 0 || report_.is_failed) { return 1; }
            ++snapshots;
        }
        if (with_removals_ != (absent != 0)) { return report_.say("removals seen", absent); }
        speculo_area_close(area_);
        return 0;
    }

private:
    uint64_t generation() {
        speculo_area_info info{};
        info.struct_size = sizeof info;
        info.flags = SPECULO_INFO_QUICK;
        int error = speculo_area_get_info(area_, &info);
        if (error < 0) { report_.say("info", uint64_t(-error)); }
        return error < 0 ? UINT64_MAX : info.generation;
    }

    // The value of a chunk; 0 after a complaint.
    uint64_t value_of(const speculo_chunk &chunk, uint32_t key) {
        PayloadHead head{};
        std::string expected = key_of(key);
        bool is_whole = check_payload(chunk.data, chunk.size, chunk.id, &head);
        bool has_key = chunk.key_size == expected.size() && std::memcmp(chunk.key, expected.data(), expected.size()) == 0;
        if (!is_whole || !has_key) { report_.say("a torn chunk", chunk.id, key); }
        return is_whole && has_key ? head.value : 0;
    }

    // One snapshot, walked and looked up in.
    int look(uint64_t &absent) {
        speculo_snapshot *snapshot;
        int error = speculo_snapshot_open(area_, &snapshot);
        if (error < 0) { return report_.say("snapshot_open", uint64_t(-error)); }
        uint64_t value = 0;
        int failure = walk(snapshot, value);
        for (uint32_t i = keys; i-- > 0 && failure == 0;) {
            speculo_chunk chunk{};
            std::string key = key_of(i);
            int found = speculo_snapshot_key(snapshot, key.data(), key.size(), &chunk);
            if (found < 0) { return report_.say("snapshot_key", uint64_t(-found), i); }
            if (found != (value != 0)) { return report_.say("a key of some", value, i); }
            if (found == 1 && value_of(chunk, i) != value) { return report_.say("mixed look-ups", value, i); }
        }
        absent += value == 0;
        if (value != 0 && value < newest_) { return report_.say("an old snapshot", value, newest_); }
        if (value != 0) { newest_ = value; }
        speculo_snapshot_close(snapshot);
        return failure;
    }

    // All or none, of one value, which is 0 for none.
    int walk(speculo_snapshot *snapshot, uint64_t &ret_value) {
        uint32_t count = 0;
        speculo_chunk chunk{};
        int found;
        while ((found = speculo_snapshot_next(snapshot, &chunk)) == 1) {
            uint64_t value = value_of(chunk, count++ % keys); // in the order of the commit
            if (ret_value != 0 && value != ret_value) { return report_.say("mixed", value, ret_value); }
            ret_value = value;
        }
        if (found < 0) { return report_.say("snapshot_next", uint64_t(-found)); }
        return count == 0 || count == keys ? 0 : report_.say("some of them", count, ret_value);
    }

    // Each is a moment of its own, but none goes back.
    int look_up_one_by_one() {
        for (uint32_t i = 0; i < keys; ++i) {
            speculo_chunk chunk{};
            std::string key = key_of(i);
            int found = speculo_read_key(area_, key.data(), key.size(), &chunk);
            if (found < 0) { return report_.say("read_key", uint64_t(-found)); }
            if (found == 0 && !with_removals_) { return report_.say("a key is gone", i); }
            if (found == 0) { continue; }
            uint64_t value = value_of(chunk, i);
            if (value < newest_) { return report_.say("back to an older version", value, newest_); }
            newest_ = value;
        }
        return 0;
    }

    Report &report_;
    bool with_removals_;
    int error_;
    speculo_area *area_ = nullptr;
    uint64_t newest_ = 0;
};

void watch(bool with_removals) {
    AreaName name;
    SharedPage<Report> report;
    Mortal writer([&] { return write_flat_out(name.c_str(), *report, with_removals); });
    ASSERT_TRUE(writer.wait_until([&] { return report->is_open != 0; })) << report->text;
    std::vector<std::unique_ptr<Child>> readers;
    for (int i = 0; i < 2; ++i) {
        readers.push_back(std::make_unique<Child>([&] { return Reader(name.c_str(), *report, with_removals).run(); }));
    }
    for (auto &reader : readers) { EXPECT_EQ(reader->wait(120000), 0) << report->text; }
    writer.kill_after(0);
    EXPECT_TRUE(writer.was_killed()) << report->text;
}

TEST(Snapshots, P3_keys_that_are_set_together_are_never_mixed) { watch(false); }

TEST(Snapshots, P3_nor_are_keys_that_are_removed_together) { watch(true); }

} // namespace
