// SPDX-License-Identifier: LGPL-2.1-or-later
// Flags, options and names as the C interface takes them: sizes of structs, reserved fields, unknown bits, senseless combinations.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "guarded.hpp"
#include "writing.hpp"

namespace {

using namespace speculo::test;

constexpr int some_errno = 4711;
constexpr uint32_t create_flags = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE;

// A struct as a program of another version has it: `more` bytes behind what this version knows.
template <class T> struct Newer {
    T options{};
    unsigned char more[64] = {};
};

class AbiOptions : public testing::Test {
protected:
    // Opens, and looks that a failure touches nothing.
    int open(const char *path, uint32_t flags, const speculo_area_options *options = nullptr) {
        auto *const untouched = reinterpret_cast<speculo_area *>(this);
        speculo_area *area = untouched;
        errno = some_errno;
        int error = speculo_area_open(path, flags, options, &area);
        EXPECT_EQ(errno, some_errno);
        EXPECT_EQ(area == untouched, error < 0);
        if (error == 0) { speculo_area_close(area); }
        return error;
    }
    int open(uint32_t flags, const speculo_area_options *options = nullptr) { return open(name.c_str(), flags, options); }
    int alloc(const speculo_chunk_options *options) {
        void *data = this;
        uint64_t id = 4711;
        errno = some_errno;
        int error = speculo_chunk_alloc(writer, 8, options, &data, &id);
        EXPECT_EQ(errno, some_errno);
        EXPECT_EQ(data == this && id == 4711, error < 0);
        return error;
    }
    int info(speculo_area *area, speculo_area_info *info, size_t size = sizeof(speculo_area_info)) {
        std::string before(reinterpret_cast<const char *>(info), size);
        errno = some_errno;
        int error = speculo_area_get_info(area, info);
        EXPECT_EQ(errno, some_errno);
        if (error < 0) { EXPECT_EQ(std::memcmp(before.data(), info, size), 0) << "an output that a failure changed"; }
        return error;
    }
    template <typename Change> int open_writer_with(Change change) {
        AreaOptions options(64 << 10);
        change(options);
        writer.close();
        int error = open(create_flags, &options);
        writer = open_writer(name);
        return error;
    }
    template <typename Change> int open_reader_with(Change change) {
        AreaOptions options;
        change(options);
        return open(0, &options);
    }
    template <typename Change> int alloc_with(Change change) {
        ChunkOptions options;
        change(options);
        return alloc(&options);
    }

    AreaName name;
    Handle writer = make_area(name, 64 << 10);
};

// ---- sizes of structs and reserved fields -------------------------------------------------------------------------------------

TEST_F(AbiOptions, a_struct_that_is_too_small_is_EINVAL) {
    for (size_t size : {size_t(0), size_t(1), size_t(8), sizeof(speculo_area_options) - 1, size_t(4097), SIZE_MAX}) {
        auto set = [=](auto &options) { options.struct_size = size; };
        EXPECT_EQ(open_writer_with(set), -EINVAL) << size;
        EXPECT_EQ(open_reader_with(set), -EINVAL) << size;
    }
    for (size_t size : {size_t(0), size_t(8), sizeof(speculo_chunk_options) - 1, size_t(4097), SIZE_MAX}) {
        EXPECT_EQ(alloc_with([=](auto &options) { options.struct_size = size; }), -EINVAL) << size;
    }
    for (size_t size : {size_t(0), size_t(8), sizeof(speculo_area_info) - 1, size_t(4097), SIZE_MAX}) {
        speculo_area_info result{};
        result.struct_size = size;
        EXPECT_EQ(info(writer, &result), -EINVAL) << size;
    }
}

// A struct of an older caller ends where its size says.
TEST_F(AbiOptions, nothing_is_read_behind_a_struct_that_is_too_short) {
    constexpr size_t size = 8;
    AreaName area;
    Handle writer = make_area(area, 64 << 10);
    Guarded memory(size);
    auto *options = reinterpret_cast<speculo_chunk_options *>(memory.begin());
    options->struct_size = size;
    void *data = nullptr;
    EXPECT_EQ(speculo_chunk_alloc(writer, 1, options, &data, nullptr), -EINVAL);
}

TEST_F(AbiOptions, a_newer_struct_is_fine_while_its_news_are_zero) {
    Newer<speculo_area_options> area;
    Newer<speculo_chunk_options> chunk;
    Newer<speculo_area_info> told;
    area.options.struct_size = sizeof area;
    chunk.options.struct_size = sizeof chunk;
    told.options.struct_size = sizeof told;
    EXPECT_EQ(open(0, &area.options), 0);
    EXPECT_EQ(alloc(&chunk.options), 0);
    EXPECT_EQ(info(writer, &told.options, sizeof told), 0);
    EXPECT_EQ(told.options.struct_size, sizeof told);
    for (unsigned char byte : told.more) { EXPECT_EQ(byte, 0); }
    for (size_t at : {size_t(0), size_t(31), size_t(63)}) {
        area.more[at] = chunk.more[at] = told.more[at] = 1;
        EXPECT_EQ(open(0, &area.options), -E2BIG) << at;
        EXPECT_EQ(open(create_flags, &area.options), -E2BIG) << at;
        EXPECT_EQ(alloc(&chunk.options), -E2BIG) << at;
        EXPECT_EQ(info(writer, &told.options, sizeof told), -E2BIG) << at;
        area.more[at] = chunk.more[at] = told.more[at] = 0;
    }
}

TEST_F(AbiOptions, bytes_behind_the_struct_are_none_of_its_business) {
    Newer<speculo_area_options> area;
    Newer<speculo_chunk_options> chunk;
    Newer<speculo_area_info> told;
    area.options.struct_size = sizeof area.options;
    chunk.options.struct_size = sizeof chunk.options;
    told.options.struct_size = sizeof told.options;
    std::memset(area.more, 0xff, sizeof area.more);
    std::memset(chunk.more, 0xff, sizeof chunk.more);
    std::memset(told.more, 0xff, sizeof told.more);
    EXPECT_EQ(open(0, &area.options), 0);
    EXPECT_EQ(alloc(&chunk.options), 0);
    EXPECT_EQ(info(writer, &told.options), 0);
    for (unsigned char byte : told.more) { EXPECT_EQ(byte, 0xff); }
}

TEST_F(AbiOptions, reserved_fields_that_are_not_zero_are_E2BIG) {
    EXPECT_EQ(open_writer_with([](auto &options) { options.reserved32 = 1; }), -E2BIG);
    EXPECT_EQ(open_reader_with([](auto &options) { options.reserved32 = 1; }), -E2BIG);
    EXPECT_EQ(alloc_with([](auto &options) { options.reserved32 = 1; }), -E2BIG);
    for (int i = 0; i < 4; ++i) {
        EXPECT_EQ(open_writer_with([=](auto &options) { options.reserved[i] = 1; }), -E2BIG);
        EXPECT_EQ(open_reader_with([=](auto &options) { options.reserved[i] = uint64_t(1) << 63; }), -E2BIG);
        EXPECT_EQ(alloc_with([=](auto &options) { options.reserved[i] = 1; }), -E2BIG);
    }
}

// ---- flags --------------------------------------------------------------------------------------------------------------------

TEST_F(AbiOptions, only_sensible_flags_are_taken) {
    Handle busy = std::move(writer); // so that nothing comes of sound flags with WRITE
    for (uint64_t bits = 0; bits < 64; ++bits) {
        uint32_t flags = uint32_t(bits);
        bool writes = flags & SPECULO_OPEN_WRITE, creates = flags & SPECULO_OPEN_CREATE;
        bool excludes = flags & SPECULO_OPEN_EXCLUSIVE, untrusted = flags & SPECULO_OPEN_UNTRUSTED;
        bool at_end = flags & SPECULO_OPEN_AT_END, no_cursor = flags & SPECULO_OPEN_NO_CURSOR;
        bool is_sound = writes ? !at_end && !untrusted && !no_cursor && (creates || !excludes)
                               : !creates && !excludes && !(at_end && no_cursor);
        EXPECT_EQ(open(flags), !is_sound ? -EINVAL : excludes ? -EEXIST : writes ? -EBUSY : 0) << bits;
    }
    for (int bit = 6; bit < 32; ++bit) {
        EXPECT_EQ(open(1u << bit), -EINVAL) << bit;
        EXPECT_EQ(open(1u << bit | SPECULO_OPEN_WRITE), -EINVAL) << bit;
    }
}

TEST_F(AbiOptions, unknown_flags_of_structs_are_EINVAL) {
    for (int bit = 0; bit < 32; ++bit) {
        uint32_t flag = 1u << bit;
        auto set = [=](auto &options) { options.flags = flag; };
        if (flag != SPECULO_AREA_LOSSLESS) { EXPECT_EQ(open_writer_with(set), -EINVAL) << bit; }
        if (flag != SPECULO_AREA_TRUST_UID) { EXPECT_EQ(open_reader_with(set), -EINVAL) << bit; }
        if (flag != SPECULO_CHUNK_TRANSIENT) { EXPECT_EQ(alloc_with(set), -EINVAL) << bit; }
        speculo_area_info told{};
        told.struct_size = sizeof told;
        told.flags = flag;
        if (flag != SPECULO_INFO_QUICK) {
            EXPECT_EQ(info(writer, &told), -EINVAL) << bit;
            EXPECT_EQ(info(open_reader(name), &told), -EINVAL) << bit;
        }
    }
    EXPECT_EQ(alloc_with([](auto &options) { options.flags = SPECULO_CHUNK_TRANSIENT; }), 0);
}

// ---- values -------------------------------------------------------------------------------------------------------------------

TEST_F(AbiOptions, options_of_the_other_role_are_EINVAL) {
    EXPECT_EQ(open_reader_with([](auto &options) { options.capacity = 4096; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.max_capacity = 4096; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.mode = 0600; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.compact_percent = 50; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.segments = 3; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.trusted_uid = 5; }), -EINVAL) << "without its flag";
    EXPECT_EQ(open_writer_with([](auto &options) { options.trusted_uid = 5; }), -EINVAL);
    EXPECT_EQ(open_reader_with([](auto &options) { options.flags = SPECULO_AREA_TRUST_UID, options.trusted_uid = 5; }), 0);
    EXPECT_EQ(open_reader_with([](auto &options) { options.prefault = UINT64_MAX; }), 0);
}

TEST_F(AbiOptions, values_out_of_range_are_EINVAL) {
    constexpr uint64_t limit = uint64_t(63) << 30;
    EXPECT_EQ(open_writer_with([](auto &options) { options.capacity = limit + 1; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.capacity = UINT64_MAX; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.max_capacity = limit + 1; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.max_capacity = options.capacity - 1; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.compact_percent = 101; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.segments = 1; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.segments = 17; }), -EINVAL);
    EXPECT_EQ(open_writer_with([](auto &options) { options.max_capacity = limit; }), 0);
    EXPECT_EQ(open_writer_with([](auto &options) { options.compact_percent = 100; }), 0);
    EXPECT_EQ(open_writer_with([](auto &options) { options.segments = 2; }), 0);
    EXPECT_EQ(open_writer_with([](auto &options) { options.segments = 16; }), 0);
}

TEST_F(AbiOptions, P1_nobody_else_may_write) {
    for (uint32_t bit = 0; bit < 32; ++bit) {
        bool is_allowed = (0644u >> bit) & 1;
        EXPECT_EQ(open_writer_with([=](auto &options) { options.mode = 1u << bit; }), is_allowed ? 0 : -EINVAL) << bit;
    }
}

TEST_F(AbiOptions, alignments_are_powers_of_two_up_to_a_page) {
    for (uint32_t alignment = 0; alignment <= 5000; ++alignment) {
        bool is_sound = (alignment & (alignment - 1)) == 0 && alignment <= 4096;
        int error = alloc_with([=](auto &options) { options.alignment = alignment; });
        ASSERT_EQ(error, is_sound ? 0 : -EINVAL) << alignment;
    }
    EXPECT_EQ(alloc_with([](auto &options) { options.alignment = 1u << 31; }), -EINVAL);
}

TEST_F(AbiOptions, a_failing_open_leaves_the_area_as_it_was) {
    commit_chunk(writer, "x");
    speculo_area_info before = info_of(writer);
    EXPECT_EQ(open_writer_with([](auto &options) { options.mode = 0666; }), -EINVAL);
    EXPECT_EQ(info_of(writer).mode, before.mode);
    EXPECT_EQ(live_ids(name), Ids{1});
    EXPECT_EQ(open(create_flags), -EBUSY);
    EXPECT_EQ(open(create_flags | SPECULO_OPEN_EXCLUSIVE), -EEXIST) << "whether a writer lives or not";
    writer.close();
    EXPECT_EQ(open(create_flags | SPECULO_OPEN_EXCLUSIVE), -EEXIST);
    EXPECT_EQ(live_ids(name), Ids{1});
}

// ---- names --------------------------------------------------------------------------------------------------------------------

TEST_F(AbiOptions, bad_names_are_EINVAL_for_every_call) {
    const std::string too_long(201, 'a');
    for (const char *bad : {"", "/", ".", "..", ".hidden", "a b", "a@lock", "a/b", "./a", "../a", "/tmp/", "/tmp/.a", "a\n",
                            "\xc3\xa4", too_long.c_str()}) {
        EXPECT_EQ(open(bad, 0), -EINVAL) << bad;
        EXPECT_EQ(open(bad, create_flags), -EINVAL) << bad;
        EXPECT_EQ(speculo_area_remove(bad), -EINVAL) << bad;
    }
}

TEST_F(AbiOptions, names_that_lead_nowhere_are_ENOENT) {
    AreaName other;
    EXPECT_EQ(open(other.c_str(), 0), -ENOENT);
    EXPECT_EQ(open(other.c_str(), SPECULO_OPEN_NO_CURSOR), -ENOENT);
    EXPECT_EQ(open(other.c_str(), SPECULO_OPEN_WRITE), -ENOENT);
    EXPECT_EQ(speculo_area_remove(other.c_str()), -ENOENT);
    EXPECT_EQ(open("/speculo-no-such-directory/a", create_flags), -ENOENT);
    EXPECT_TRUE(other.files().empty());
}

} // namespace
