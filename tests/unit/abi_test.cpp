// SPDX-License-Identifier: LGPL-2.1-or-later
// What every call of the C interface says of misuse, and that a call that fails changes neither its outputs nor errno.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <functional>

#include "writing.hpp"

namespace {

using namespace speculo::test;

constexpr int some_errno = 4711;

// Makes a call that must leave errno alone.
template <typename Call> int quietly(Call call) {
    errno = some_errno;
    int result = call();
    EXPECT_EQ(errno, some_errno);
    return result;
}
#define CALL(expression) quietly([&] { return int(expression); })

// Outputs that a failing call must not touch.
struct Outputs {
    Outputs() { std::memset(static_cast<void *>(this), 0x5a, sizeof *this); }
    bool are_untouched() const {
        const auto *bytes = reinterpret_cast<const unsigned char *>(this);
        for (size_t i = 0; i < sizeof *this; ++i) {
            if (bytes[i] != 0x5a) { return false; }
        }
        return true;
    }
    speculo_area *area;
    speculo_snapshot *snapshot;
    speculo_chunk chunk;
    void *data;
    uint64_t id;
};

class Abi : public testing::Test {
protected:
    ~Abi() override { EXPECT_TRUE(outputs.are_untouched()); }

    // Each call that needs a writer's or a reader's handle, with sound arguments otherwise.
    struct Use {
        const char *call;
        std::function<int(speculo_area *)> make;
    };
    std::vector<Use> writer_calls() {
        return {
            {"compact", [](auto *area) { return speculo_area_compact(area); }},
            {"alloc", [&](auto *area) { return speculo_chunk_alloc(area, 8, nullptr, &outputs.data, &outputs.id); }},
            {"alloc with options",
             [&](auto *area) { return speculo_chunk_alloc(area, 8, &chunk_options, &outputs.data, &outputs.id); }},
            {"shrink", [](auto *area) { return speculo_chunk_shrink(area, 0); }},
            {"obsolete", [](auto *area) { return speculo_chunk_obsolete(area, 1); }},
            {"key_remove", [](auto *area) { return speculo_key_remove(area, "k", 1); }},
            {"commit", [](auto *area) { return speculo_commit(area); }},
            {"rollback", [](auto *area) { return speculo_rollback(area); }},
        };
    }
    std::vector<Use> cursor_calls() {
        return {
            {"read_next", [&](auto *area) { return speculo_read_next(area, &outputs.chunk); }},
            {"seek", [](auto *area) { return speculo_seek(area, 0); }},
        };
    }
    std::vector<Use> reader_calls() {
        std::vector<Use> calls = cursor_calls();
        calls.push_back({"read_key", [&](auto *area) { return speculo_read_key(area, "k", 1, &outputs.chunk); }});
        calls.push_back({"is_live", [&](auto *area) { return speculo_chunk_is_live(area, &view); }});
        calls.push_back({"hold", [&](auto *area) { return speculo_chunk_hold(area, &outputs.chunk); }});
        calls.push_back({"snapshot_open", [&](auto *area) { return speculo_snapshot_open(area, &outputs.snapshot); }});
        return calls;
    }

    Outputs outputs;
    ChunkOptions chunk_options;
    speculo_chunk view{};
    AreaName name;
    Handle writer = make_area(name, 64 << 10);
    uint64_t id = commit_key(writer, "k", "payload");
    Handle reader = open_reader(name);
};

// ---- handles ----------------------------------------------------------------------------------------------------------------

TEST_F(Abi, writing_through_a_reader_s_handle_is_EROFS) {
    for (const Use &use : writer_calls()) { EXPECT_EQ(CALL(use.make(reader)), -EROFS) << use.call; }
    Handle other = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    for (const Use &use : writer_calls()) { EXPECT_EQ(CALL(use.make(other)), -EROFS) << use.call; }
}

TEST_F(Abi, reading_through_a_writer_s_handle_is_EINVAL) {
    for (const Use &use : reader_calls()) { EXPECT_EQ(CALL(use.make(writer)), -EINVAL) << use.call; }
}

TEST_F(Abi, no_handle_is_EINVAL) {
    for (const auto &calls : {writer_calls(), reader_calls()}) {
        for (const Use &use : calls) { EXPECT_EQ(CALL(use.make(nullptr)), -EINVAL) << use.call; }
    }
    speculo_area_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(CALL(speculo_area_get_info(nullptr, &info)), -EINVAL);
    EXPECT_EQ(CALL(speculo_wait(nullptr, 0)), -EINVAL);
    EXPECT_EQ(CALL(speculo_area_writer_alive(nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_snapshot_next(nullptr, &outputs.chunk)), -EINVAL);
    EXPECT_EQ(CALL(speculo_snapshot_key(nullptr, "k", 1, &outputs.chunk)), -EINVAL);
}

TEST_F(Abi, a_handle_without_a_cursor_has_nothing_to_move) {
    Handle other = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    for (const Use &use : cursor_calls()) { EXPECT_EQ(CALL(use.make(other)), -EINVAL) << use.call; }
    EXPECT_EQ(value_of(other, "k"), "payload");
}

TEST_F(Abi, close_and_release_take_NULL) {
    EXPECT_EQ(speculo_area_close(nullptr), nullptr);
    EXPECT_EQ(speculo_snapshot_close(nullptr), nullptr);
    EXPECT_EQ(CALL((speculo_chunk_release(nullptr), 0)), 0);
    speculo_chunk unheld{};
    unheld.id = 5;
    EXPECT_EQ(CALL((speculo_chunk_release(&unheld), 0)), 0);
    EXPECT_EQ(unheld.id, 5u) << "nothing happens to what is not held";
}

TEST_F(Abi, close_gives_NULL) {
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(CALL(speculo_snapshot_open(reader, &snapshot)), 0);
    EXPECT_EQ(speculo_snapshot_close(snapshot), nullptr);
    speculo_area *area = nullptr;
    ASSERT_EQ(CALL(speculo_area_open(name.c_str(), with_trust(0), nullptr, &area)), 0);
    EXPECT_EQ(speculo_area_close(area), nullptr);
}

// ---- NULL arguments -----------------------------------------------------------------------------------------------------------

TEST_F(Abi, NULL_arguments_are_EINVAL) {
    EXPECT_EQ(CALL(speculo_area_open(nullptr, 0, nullptr, &outputs.area)), -EINVAL);
    EXPECT_EQ(CALL(speculo_area_open(name.c_str(), 0, nullptr, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_area_remove(nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_area_get_info(reader, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, nullptr, nullptr, &outputs.id)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, &chunk_options, nullptr, &outputs.id)), -EINVAL);
    EXPECT_EQ(CALL(speculo_read_next(reader, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_read_key(reader, "k", 1, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_read_key(reader, nullptr, 1, &outputs.chunk)), -EINVAL);
    EXPECT_EQ(CALL(speculo_key_remove(writer, nullptr, 1)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_is_live(reader, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_hold(reader, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_snapshot_open(reader, nullptr)), -EINVAL);
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    EXPECT_EQ(CALL(speculo_snapshot_next(snapshot, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_snapshot_key(snapshot, "k", 1, nullptr)), -EINVAL);
    EXPECT_EQ(CALL(speculo_snapshot_key(snapshot, nullptr, 1, &outputs.chunk)), -EINVAL);
    speculo_snapshot_close(snapshot);
}

TEST_F(Abi, misuse_moves_nothing) {
    EXPECT_EQ(CALL(speculo_read_next(reader, nullptr)), -EINVAL);
    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_next(reader, &chunk), 1);
    EXPECT_EQ(chunk.id, id) << "the cursor is where it was";
    EXPECT_EQ(CALL(speculo_read_next(reader, nullptr)), -EINVAL);
    EXPECT_EQ(speculo_chunk_hold(reader, &chunk), 0) << "and the view is still valid";
    speculo_chunk_release(&chunk);
}

TEST_F(Abi, an_id_is_not_asked_for_by_NULL) {
    void *data = nullptr;
    EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, nullptr, &data, nullptr)), 0);
    EXPECT_NE(data, nullptr);
}

// ---- keys and ids -----------------------------------------------------------------------------------------------------------

TEST_F(Abi, keys_have_1_to_255_bytes) {
    const std::string longest(255, 'k'), too_long(256, 'k');
    speculo_snapshot *snapshot = nullptr;
    ASSERT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    for (size_t size : {size_t(0), size_t(256), SIZE_MAX}) {
        EXPECT_EQ(CALL(speculo_read_key(reader, too_long.data(), size, &outputs.chunk)), -EINVAL) << size;
        EXPECT_EQ(CALL(speculo_snapshot_key(snapshot, too_long.data(), size, &outputs.chunk)), -EINVAL) << size;
        EXPECT_EQ(CALL(speculo_key_remove(writer, too_long.data(), size)), -EINVAL) << size;
        chunk_options.key = too_long.data();
        chunk_options.key_size = size;
        EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, &chunk_options, &outputs.data, &outputs.id)), -EINVAL) << size;
    }
    chunk_options.key = nullptr;
    chunk_options.key_size = 1;
    EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, &chunk_options, &outputs.data, &outputs.id)), -EINVAL);
    EXPECT_EQ(CALL(speculo_read_key(reader, longest.data(), longest.size(), &outputs.chunk)), 0); // 0 is no success either
    EXPECT_EQ(CALL(speculo_snapshot_key(snapshot, longest.data(), longest.size(), &outputs.chunk)), 0);
    commit_key(writer, longest, "long");
    EXPECT_EQ(value_of(reader, longest), "long");
    speculo_snapshot_close(snapshot);
}

TEST_F(Abi, ids_that_are_not_stored_are_ENOENT) {
    for (uint64_t wrong : {uint64_t(2), uint64_t(1) << 55, uint64_t(1) << 56, UINT64_MAX}) {
        EXPECT_EQ(CALL(speculo_chunk_obsolete(writer, wrong)), -ENOENT) << wrong;
        chunk_options.supersedes = wrong;
        EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 8, &chunk_options, &outputs.data, &outputs.id)), -ENOENT) << wrong;
    }
    EXPECT_EQ(CALL(speculo_chunk_obsolete(writer, 0)), -EINVAL) << "0 is no id";
    EXPECT_EQ(CALL(speculo_key_remove(writer, "other", 5)), -ENOENT);
}

TEST_F(Abi, seek_takes_any_id) {
    for (uint64_t any : {uint64_t(0), id, id + 1, uint64_t(1) << 56, UINT64_MAX}) {
        EXPECT_EQ(CALL(speculo_seek(reader, any)), 0);
    }
}

// ---- sizes ------------------------------------------------------------------------------------------------------------------

TEST_F(Abi, what_can_never_fit_is_EMSGSIZE) {
    for (size_t size : {size_t(64) << 10, size_t(1) << 20, SIZE_MAX / 2, SIZE_MAX - 15, SIZE_MAX}) {
        EXPECT_EQ(CALL(speculo_chunk_alloc(writer, size, nullptr, &outputs.data, &outputs.id)), -EMSGSIZE) << size;
        EXPECT_EQ(CALL(speculo_chunk_alloc(writer, size, &chunk_options, &outputs.data, &outputs.id)), -EMSGSIZE) << size;
    }
}

TEST_F(Abi, a_shrink_needs_a_chunk_and_never_grows) {
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 0)), -EINVAL);
    put_chunk(writer, "12345678");
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 9)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, SIZE_MAX)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 8)), 0);
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 3)), 0);
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 4)), -EINVAL);
    commit(writer);
    EXPECT_EQ(CALL(speculo_chunk_shrink(writer, 0)), -EINVAL) << "committed bytes never change";
    EXPECT_EQ(read_all(reader).back().payload, "123");
}

TEST_F(Abi, compact_with_chunks_pending_is_EINVAL) {
    put_chunk(writer, "pending");
    EXPECT_EQ(CALL(speculo_area_compact(writer)), -EINVAL);
    EXPECT_EQ(CALL(speculo_rollback(writer)), 0);
    EXPECT_EQ(CALL(speculo_chunk_obsolete(writer, id)), 0);
    EXPECT_EQ(CALL(speculo_area_compact(writer)), -EINVAL);
    EXPECT_EQ(CALL(speculo_commit(writer)), 0);
    EXPECT_EQ(CALL(speculo_area_compact(writer)), 0);
}

// ---- views of others ----------------------------------------------------------------------------------------------------------

TEST_F(Abi, a_view_that_is_not_this_handle_s_is_EINVAL) {
    Handle other = open_reader(name);
    speculo_chunk chunk{};
    ASSERT_EQ(speculo_read_next(other, &chunk), 1);
    speculo_chunk before = chunk;
    EXPECT_EQ(CALL(speculo_chunk_hold(reader, &chunk)), -EINVAL);
    EXPECT_EQ(CALL(speculo_chunk_hold(reader, &view)), -EINVAL) << "no view at all";
    EXPECT_EQ(CALL(speculo_chunk_hold(writer, &chunk)), -EINVAL);
    EXPECT_EQ(std::memcmp(&chunk, &before, sizeof chunk), 0);
    EXPECT_EQ(CALL(speculo_read_next(other, &outputs.chunk)), 0);
    EXPECT_EQ(CALL(speculo_chunk_hold(other, &chunk)), -EINVAL) << "outdated";
}

// ---- successes --------------------------------------------------------------------------------------------------------------

TEST_F(Abi, what_succeeds_leaves_errno_alone_too) {
    speculo_chunk chunk{};
    speculo_snapshot *snapshot = nullptr;
    void *data = nullptr;
    EXPECT_EQ(CALL(speculo_chunk_alloc(writer, 0, nullptr, &data, nullptr)), 0);
    EXPECT_NE(data, nullptr) << "also of 0 bytes";
    EXPECT_EQ(CALL(speculo_commit(writer)), 0);
    EXPECT_EQ(CALL(speculo_commit(writer)), 0) << "an empty one";
    EXPECT_EQ(CALL(speculo_rollback(writer)), 0);
    EXPECT_EQ(CALL(speculo_area_compact(writer)), 0);
    EXPECT_EQ(CALL(speculo_read_next(reader, &chunk)), 1);
    EXPECT_EQ(CALL(speculo_chunk_hold(reader, &chunk)), 0);
    EXPECT_EQ(CALL(speculo_chunk_is_live(reader, &chunk)), 1);
    EXPECT_EQ(CALL((speculo_chunk_release(&chunk), 0)), 0);
    EXPECT_EQ(chunk.data, nullptr);
    EXPECT_EQ(CALL(speculo_read_key(reader, "k", 1, &chunk)), 1);
    EXPECT_EQ(CALL(speculo_snapshot_open(reader, &snapshot)), 0);
    EXPECT_EQ(CALL(speculo_snapshot_next(snapshot, &chunk)), 1);
    EXPECT_EQ(CALL(speculo_snapshot_key(snapshot, "k", 1, &chunk)), 1);
    EXPECT_EQ(CALL((speculo_snapshot_close(snapshot), 0)), 0);
    EXPECT_EQ(CALL((reader.close(), 0)), 0);
    EXPECT_EQ(CALL(speculo_area_remove(name.c_str())), -EBUSY);
    EXPECT_EQ(CALL((writer.close(), 0)), 0);
    EXPECT_EQ(CALL(speculo_area_remove(name.c_str())), 0);
    EXPECT_EQ(CALL(speculo_area_remove(name.c_str())), -ENOENT);
    EXPECT_GT(CALL(speculo_now() > 0), 0);
}

} // namespace
