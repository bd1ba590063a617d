// SPDX-License-Identifier: LGPL-2.1-or-later
// A writer that dies right before any one of its system calls: while it makes an area, takes over, writes, compacts, removes.
#include "death.hpp"

#include <algorithm>
#include <cerrno>

#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t small = 64 << 10; // capacity

AreaOptions choices() {
    AreaOptions options(small);
    options.max_capacity = 4 * small;
    return options;
}

// What is there is what the area names.
void expect_no_leftovers(const AreaName &name, speculo_area *writer) {
    core::Writer &inner = inside(writer);
    for (const std::string &file : name.files()) {
        size_t at = file.find('@');
        if (at == std::string::npos || file[at + 1] < '0' || file[at + 1] > '9') { continue; } // no segment
        bool is_named = false;
        for (const core::WriterSegment *segment : inner.segments) {
            is_named |= segment && file == core::segment_name(inner.area.place, segment->slot, segment->nonce).text;
        }
        EXPECT_TRUE(is_named) << file;
    }
    for (const std::string &file : name.files()) { EXPECT_EQ(file.find("@new."), std::string::npos) << file; }
}

// One commit after the other, each of two chunks, and one version of a key that says how many; compactions come by themselves.
void write_on(speculo_area *writer, int commits, uint64_t &acknowledged) {
    for (int i = 0; i < commits; ++i) {
        uint64_t next = inside(writer).next_id;
        std::string number = std::to_string(next);
        void *data = nullptr;
        static const std::string key = "count";
        ChunkOptions options;
        options.with_key(key);
        if (speculo_chunk_alloc(writer, number.size(), &options, &data, nullptr) < 0) { _exit(1); }
        std::memcpy(data, number.data(), number.size());
        ChunkOptions other = transient();
        if (speculo_chunk_alloc(writer, 20000, &other, &data, nullptr) < 0) { _exit(2); }
        std::memset(data, 'x', 20000);
        if (speculo_commit(writer) < 0) { _exit(3); }
        acknowledged = next + 1;
    }
}

TEST(Death, P8_of_a_creator_leaves_nothing_that_is_in_the_way) {
    bool was_half_made = false;
    AreaName name;
    uint64_t deaths = die_everywhere(
        [&] {
            AreaOptions options = choices();
            speculo_area *area = nullptr;
            int error = speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE,
                                          &options, &area);
            if (error < 0) { _exit(1); }
        },
        [&](uint64_t call) {
            int error = try_open(name, SPECULO_OPEN_READ);
            EXPECT_TRUE(error == 0 || error == -ENOENT) << call << ": " << error;
            AreaOptions options = choices();
            uint32_t flags = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE;
            if (error == 0) { // it was ready
                EXPECT_EQ(try_open(name, flags, &options), -EEXIST);
                flags = SPECULO_OPEN_WRITE;
            } else if (!name.files().empty()) {
                was_half_made = true;
            }
            Handle writer = open_area(name, flags, &options);
            ASSERT_NE(static_cast<speculo_area *>(writer), nullptr);
            expect_no_leftovers(name, writer);
            EXPECT_EQ(commit_chunk(writer, "a"), 1u);
            EXPECT_EQ(live_ids(name), (Ids{1}));
            writer.close();
            EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
            EXPECT_TRUE(name.files().empty());
        });
    EXPECT_GT(deaths, 20u);
    EXPECT_TRUE(was_half_made);
}

TEST(Death, P8_of_a_creator_leaves_what_remove_removes) {
    AreaName name;
    die_everywhere(
        [&] {
            speculo_area *area = nullptr;
            if (speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, nullptr, &area) < 0) { _exit(1); }
        },
        [&](uint64_t call) {
            int error = speculo_area_remove(name.c_str());
            EXPECT_TRUE(error == 0 || error == -ENOENT) << call << ": " << error;
            EXPECT_EQ(name.files(), std::vector<std::string>{}) << call;
        });
}

TEST(Death, P8_of_a_writer_loses_nothing_that_was_committed) {
    AreaName name;
    AreaOptions options = choices();
    commit_chunk(make_area(name, options), "first");
    Handle reader = open_reader(name);
    EXPECT_EQ(read_all(reader).size(), 1u);
    SharedNumber acknowledged;
    acknowledged.value() = 1;
    uint64_t seen_by_cursor = 1, generations = 0;
    uint64_t deaths = die_everywhere(
        [&] {
            speculo_area *writer = nullptr;
            if (speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE, nullptr, &writer) < 0) { _exit(4); }
            write_on(writer, 7, acknowledged.value()); // two or three segments, and the next one goes on
            speculo_area_close(writer);
        },
        [&](uint64_t call) {
            for (const Seen &one : read_all(reader)) { // undisturbed, before the takeover
                EXPECT_GT(one.id, seen_by_cursor);
                if (one.key == "count") { EXPECT_EQ(one.payload, std::to_string(one.id)); }
                seen_by_cursor = one.id;
            }
            EXPECT_LE(seen_by_cursor, acknowledged.value()) << call;
            Handle writer = open_writer(name);
            ASSERT_NE(static_cast<speculo_area *>(writer), nullptr) << call;
            expect_no_leftovers(name, writer);
            EXPECT_EQ(inside(writer).next_id, acknowledged.value() + 1) << call;
            EXPECT_EQ(live_ids(name).front(), 1u);
            if (acknowledged.value() > 1) { EXPECT_EQ(value_of(name, "count"), std::to_string(acknowledged.value() - 1)); }
            generations = inside(writer).current->generation;
            write_on(writer, 1, acknowledged.value());
            writer.close();
            std::vector<Seen> rest = read_all(reader);
            ASSERT_FALSE(rest.empty()) << call;
            EXPECT_EQ(rest.back().id, acknowledged.value()) << call;
            seen_by_cursor = rest.back().id;
        });
    EXPECT_GT(deaths, 40u);
    EXPECT_GT(generations, 40u);
}

TEST(Death, P8_of_a_remover_can_be_followed_up) {
    AreaName name;
    die_everywhere(
        [&] {
            speculo_area *writer = nullptr;
            if (speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, nullptr, &writer) < 0) { _exit(1); }
            write_on(writer, 1, SharedNumber().value());
            speculo_area_compact(writer);
            speculo_area_close(writer);
            if (speculo_area_remove(name.c_str()) < 0) { _exit(2); }
        },
        [&](uint64_t call) {
            Handle writer = open_area(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE); // whatever is left of it
            ASSERT_NE(static_cast<speculo_area *>(writer), nullptr) << call;
            expect_no_leftovers(name, writer);
            commit_chunk(writer, "a");
            EXPECT_GE(live_ids(name).size(), 1u);
            writer.close();
            EXPECT_EQ(speculo_area_remove(name.c_str()), 0) << call;
            EXPECT_EQ(name.files(), std::vector<std::string>{}) << call;
        });
}

} // namespace
