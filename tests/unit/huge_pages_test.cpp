// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory in huge pages: where the system has them, prefault takes them, and readers map them; where it has none, all is as without.
#include <fstream>

#include <sys/mman.h>

#include "os_directory.hpp"
#include "reader.hpp"
#include "small_disk.hpp"
#include "writer.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using os::Access;

constexpr uint64_t huge_page = uint64_t(2) << 20;
constexpr uint64_t kibibyte = 1 << 10;

constexpr uint64_t floor_of(uint64_t bytes) { return bytes / huge_page * huge_page; }
constexpr uint64_t ceiling_of(uint64_t bytes) { return floor_of(bytes + huge_page - 1); }

bool is_at_huge_page(const void *address) { return reinterpret_cast<uintptr_t>(address) % huge_page == 0; }

// As the kernel tells: bytes of the mapping that begins there that are mapped by huge pages.
uint64_t huge_bytes(const void *address) {
    std::ifstream mappings("/proc/self/smaps");
    char first[32];
    std::snprintf(first, sizeof first, "%08lx-", reinterpret_cast<unsigned long>(address));
    std::string line;
    bool is_it = false;
    while (std::getline(mappings, line)) {
        if (line.find('-') < line.find(' ')) { is_it = line.rfind(first, 0) == 0; }
        unsigned long long kilobytes;
        if (is_it && std::sscanf(line.c_str(), "ShmemPmdMapped: %llu", &kilobytes) == 1) { return kilobytes * kibibyte; }
    }
    return 0;
}

// Tried without the library: whether a piece of a file in that directory can be one.
bool can_have_huge_pages(const std::string &directory) {
    constexpr int collapse = 25; // MADV_COLLAPSE, which C libraries learned later than kernels
    if (!os::has_range_locks) { return false; }
    std::string path = directory + "/speculo-huge-XXXXXX";
    int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    unlink(path.c_str());
    EXPECT_EQ(ftruncate(fd, huge_page), 0);
    void *room = mmap(nullptr, 2 * huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *aligned = reinterpret_cast<char *>(ceiling_of(reinterpret_cast<uintptr_t>(room)));
    bool is_mapped = mmap(aligned, huge_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == aligned;
    EXPECT_TRUE(is_mapped);
    if (is_mapped) { *aligned = 1; }
    bool is_huge =
        is_mapped && madvise(aligned, huge_page, collapse) == 0 && huge_bytes(aligned) == huge_page; // or it was but emulated
    munmap(room, 2 * huge_page);
    close(fd);
    return is_huge;
}

// ---- the operation --------------------------------------------------------------------------------------------------------------

class HugePages : public OsDirectory {
protected:
    void SetUp() override {
        OsDirectory::SetUp();
        fd_ = OS(create(directory_, "a"));
        ASSERT_EQ(OS(map(fd_, size, Access::read_write, &base_)), 0);
    }
    void TearDown() override {
        OS_VOID(unmap(base_, size));
        OS_VOID(close(fd_));
        OsDirectory::TearDown();
    }

    // Memory that is not there would be a signal, on a full file system.
    void expect_no_holes() {
        os::FileStatus status = status_of(fd_);
        EXPECT_GE(status.allocated, status.size);
    }

    static constexpr size_t size = 5 * huge_page / 2;
    int fd_ = -1;
    void *base_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Memory, HugePages, testing::Values("/dev/shm"));
INSTANTIATE_TEST_SUITE_P(Temporary, HugePages, testing::Values("/tmp"));

TEST_P(HugePages, are_taken_as_far_as_they_fit) {
    bool is_there = can_have_huge_pages(path_);
    constexpr uint64_t before = 100 * kibibyte;
    ASSERT_EQ(OS(allocate_space(fd_, 0, before)), 0);
    std::memset(base_, 'x', before);
    OS_VOID(allocate_huge(fd_, base_, before, size - before));
    expect_no_holes();
    if (is_there) { EXPECT_EQ(status_of(fd_).size, 2 * huge_page); }
    ASSERT_EQ(OS(allocate_space(fd_, 0, size)), 0);
    OS_VOID(populate(base_, size, Access::read_write));
    EXPECT_EQ(huge_bytes(base_), is_there ? huge_page : 0); // what was there before stays in small ones
    auto *bytes = static_cast<const char *>(base_);
    for (size_t i = 0; i < size; ++i) { ASSERT_EQ(bytes[i], i < before ? 'x' : 0) << i; }
}

TEST_P(HugePages, are_made_of_what_is_there_too) {
    bool is_there = can_have_huge_pages(path_);
    constexpr uint64_t before = 100 * kibibyte;
    ASSERT_EQ(OS(allocate_space(fd_, 0, before)), 0);
    std::memset(base_, 'x', before);
    OS_VOID(allocate_huge(fd_, base_, 0, size));
    expect_no_holes();
    ASSERT_EQ(OS(allocate_space(fd_, 0, size)), 0);
    OS_VOID(populate(base_, size, Access::read_write));
    EXPECT_EQ(huge_bytes(base_), is_there ? 2 * huge_page : 0);
    auto *bytes = static_cast<const char *>(base_);
    for (size_t i = 0; i < size; ++i) { ASSERT_EQ(bytes[i], i < before ? 'x' : 0) << i; }
}

TEST_P(HugePages, are_not_taken_where_none_fits) {
    OS_VOID(allocate_huge(fd_, base_, 0, huge_page - 1));
    EXPECT_EQ(status_of(fd_).size, 0u);
    constexpr uint64_t before = 4096;
    ASSERT_EQ(OS(allocate_space(fd_, 0, before)), 0);
    OS_VOID(allocate_huge(fd_, base_, before, 2 * huge_page - before - 1));
    EXPECT_EQ(status_of(fd_).size, before);
}

TEST_P(HugePages, mappings_begin_where_one_could) {
    EXPECT_TRUE(!os::has_range_locks || is_at_huge_page(base_));
    int fd = OS(open(directory_, "a", Access::read));
    void *readable = nullptr;
    ASSERT_EQ(OS(map(fd, size, Access::read, &readable)), 0);
    EXPECT_TRUE(!os::has_range_locks || is_at_huge_page(readable));
    OS_VOID(unmap(readable, size));
    EXPECT_EQ(OS(map(fd, SIZE_MAX - huge_page / 2, Access::read, &readable)), -ENOMEM);
    OS_VOID(close(fd));
}

#if !defined(SPECULO_PORTABLE)
TEST_P(HugePages, P9_end_where_memory_does) {
    if (std::string(GetParam()) != "/dev/shm") { return; }
    expect_on_small_disk([&](SmallDisk &disk) { // 4 MiB
        int directory = os::operations.open_directory(disk.directory().c_str());
        int fd = os::operations.create(directory, "a");
        void *base = nullptr;
        constexpr uint64_t more = 4 * huge_page;
        ASSERT_EQ(os::operations.map(fd, more, Access::read_write, &base), 0);
        OS_VOID(allocate_huge(fd, base, 0, more));
        os::FileStatus status;
        ASSERT_EQ(os::operations.status(fd, &status), 0);
        EXPECT_GE(status.allocated, status.size);
        EXPECT_LE(status.size, 2 * huge_page);
        if (can_have_huge_pages("/dev/shm")) { EXPECT_GE(status.size, huge_page); }
        std::memset(base, 'x', status.size); // no signal
        EXPECT_EQ(OS(allocate_space(fd, 0, more)), -ENOSPC);
    });
}
#endif

// ---- an area --------------------------------------------------------------------------------------------------------------------

class HugeArea : public testing::Test {
protected:
    HugeArea() : has_huge_pages_(can_have_huge_pages(area_directory())) { options_.capacity = 5 * huge_page; }

    // What of a mapped segment has to lie in huge pages, if its first `small` bytes need not.
    void expect_huge(const core::SegmentMap &map, uint64_t small = 0) {
        uint64_t end = floor_of(map.geometry.size), begin = ceiling_of(small);
        EXPECT_EQ(huge_bytes(map.base), has_huge_pages_ && begin < end ? end - begin : 0);
        EXPECT_TRUE(!os::has_range_locks || is_at_huge_page(map.base));
    }

    AreaName name_;
    bool has_huge_pages_;
    AreaOptions options_;
};

TEST_F(HugeArea, prefault_takes_them_for_all_segments) {
    options_.prefault = UINT64_MAX;
    Handle writer = make_area(name_, options_);
    int count = 0;
    for (const core::WriterSegment *segment : inside(writer).segments) {
        if (!segment) { continue; }
        ++count;
        expect_huge(segment->map);
    }
    EXPECT_EQ(count, 3);
    std::string payload(300000, 'x');
    for (int i = 0; i < 100; ++i) { commit_chunk(writer, payload, transient()); } // around them all
    EXPECT_EQ(info_of(writer).memory, 3 * inside(writer).current->map.geometry.size);
    AreaOptions options;
    options.prefault = UINT64_MAX;
    Handle reader = open_area(name_, SPECULO_OPEN_READ, &options);
    if (!are_readers_untrusting()) {
        expect_huge(static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->cursor.segment->map);
    }
    for (const Seen &seen : read_all(reader)) { EXPECT_EQ(seen.payload, payload); }
}

TEST_F(HugeArea, prefault_of_one_that_is_there_takes_them_for_what_is_not_yet) {
    Handle writer = make_area(name_, options_);
    commit_chunk(writer, "a");
    const core::SegmentMap *map = &inside(writer).current->map;
    uint64_t there = map->geometry.chunks_offset + map->readable * core::place_size;
    expect_huge(*map, map->geometry.size);
    Handle reader = open_reader(name_);
    writer.close();
    options_.prefault = UINT64_MAX;
    for (int i = 0; i < 2; ++i) { // once it is there, all stays as it is
        writer = open_area(name_, SPECULO_OPEN_WRITE, &options_);
        expect_huge(inside(writer).current->map, there);
        writer.close();
    }
    EXPECT_EQ(read_all(reader).size(), 1u);
}

TEST_F(HugeArea, without_prefault_takes_none) {
    Handle writer = make_area(name_, options_);
    std::string payload(300000, 'x');
    for (int i = 0; i < 100; ++i) { commit_chunk(writer, payload, transient()); }
    for (const core::WriterSegment *segment : inside(writer).segments) {
        if (segment) { expect_huge(segment->map, segment->map.geometry.size); }
    }
}

} // namespace
