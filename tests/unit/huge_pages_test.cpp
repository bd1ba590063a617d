// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory in huge pages: where the system has them, prefault takes them, and readers map them; where it has none, all is as without.
#include <fstream>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "death.hpp"
#include "faults.hpp"
#include "os_directory.hpp"
#include "reader.hpp"
#include "small_disk.hpp"
#include "writer.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using os::Access;
using os::huge_page;

constexpr uint64_t floor_of(uint64_t bytes) { return bytes / huge_page * huge_page; }
constexpr uint64_t ceiling_of(uint64_t bytes) { return floor_of(bytes + huge_page - 1); }

bool is_at_huge_page(const void *address) { return reinterpret_cast<uintptr_t>(address) % huge_page == 0; }

// As the kernel tells: bytes of the mapping that begins there that are mapped by huge pages.
uint64_t huge_bytes(const void *address) {
    std::ifstream mappings("/proc/self/smaps");
    char first[32];
    std::snprintf(first, sizeof first, "%08lx-", static_cast<unsigned long>(reinterpret_cast<uintptr_t>(address)));
    std::string line;
    bool is_it = false;
    while (std::getline(mappings, line)) {
        if (line.find('-') < line.find(' ')) { is_it = line.rfind(first, 0) == 0; }
        unsigned long long kilobytes;
        if (is_it && std::sscanf(line.c_str(), "ShmemPmdMapped: %llu", &kilobytes) == 1) { return kilobytes << 10; }
    }
    return 0;
}

// What the system does of itself, and on request, tried without the library on a file in that directory.
struct System {
    bool gives_them, has_them;
};
System try_system(const std::string &directory) {
    constexpr int collapse = 25; // MADV_COLLAPSE, which C libraries learned later than kernels
    if (!os::has_range_locks) { return {false, false}; }
    std::string path = directory + "/speculo-huge-XXXXXX";
    int fd = mkstemp(path.data());
    EXPECT_GE(fd, 0);
    EXPECT_EQ(ftruncate(fd, off_t(huge_page)), 0);
    void *room = mmap(nullptr, 2 * huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *aligned = reinterpret_cast<void *>(uintptr_t(ceiling_of(reinterpret_cast<uintptr_t>(room))));
    bool is_mapped = mmap(aligned, huge_page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == aligned;
    EXPECT_TRUE(is_mapped);
    if (is_mapped) { *static_cast<char *>(aligned) = 1; }
    System system;
    system.gives_them = is_mapped && huge_bytes(aligned) == huge_page;
    // An emulator may say that it is done, and do nothing.
    system.has_them = is_mapped && madvise(aligned, huge_page, collapse) == 0 && huge_bytes(aligned) == huge_page;
    munmap(room, 2 * huge_page);
    close(fd);
    unlink(path.c_str());
    return system;
}

// ---- the operations -------------------------------------------------------------------------------------------------------------

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

    static constexpr size_t size = 5 * huge_page / 2;
    int fd_ = -1;
    void *base_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Memory, HugePages, testing::Values("/dev/shm"));
INSTANTIATE_TEST_SUITE_P(Temporary, HugePages, testing::Values("/tmp"));

TEST_P(HugePages, one_is_made_of_what_is_there_and_of_new_memory) {
    constexpr uint64_t before = 100 << 10;
    ASSERT_EQ(OS(allocate_space(fd_, 0, before)), 0);
    std::memset(base_, 'x', before);
    bool is_made = OS(make_huge(base_)) == 0;
    EXPECT_EQ(status_of(fd_).size, before);
    bool has_them = try_system(path_).has_them;
    if (has_them) {
        EXPECT_TRUE(is_made);
        EXPECT_GE(status_of(fd_).allocated, huge_page);
    }
    ASSERT_EQ(OS(allocate_space(fd_, 0, huge_page)), 0);
    OS_VOID(populate(base_, huge_page, Access::read_write));
    if (has_them) { EXPECT_EQ(huge_bytes(base_), huge_page); }
    auto *bytes = static_cast<const char *>(base_);
    for (size_t i = 0; i < huge_page; ++i) { ASSERT_EQ(bytes[i], i < before ? 'x' : 0) << i; }
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

// ---- an area --------------------------------------------------------------------------------------------------------------------

class HugeArea : public testing::Test {
public:
    HugeArea() {
        options_.capacity = 5 * huge_page / 2;
        options_.segments = 2;
    }

    Handle open_prefaulted(uint32_t flags) {
        AreaOptions options;
        if (flags & SPECULO_OPEN_WRITE) { options = options_; }
        options.prefault = UINT64_MAX;
        return open_area(name_, flags, &options);
    }

    // What of a mapped segment lies in huge pages, if its first `small` bytes need not.
    void expect_huge(const core::SegmentMap &map, uint64_t small = 0) {
        uint64_t end = floor_of(map.geometry.size), begin = ceiling_of(small);
        System system = try_system(area_directory());
        if (!system.gives_them) { EXPECT_EQ(huge_bytes(map.base), system.has_them && begin < end ? end - begin : 0); }
        EXPECT_TRUE(!os::has_range_locks || is_at_huge_page(map.base));
    }
    static uint64_t size_of(const core::SegmentMap &map) { return map.geometry.chunks_offset + map.readable * core::place_size; }
    // Memory that is not there would be a signal on a full file system.
    void expect_no_holes() {
        for (const std::string &file : name_.files()) {
            struct stat status {};
            ASSERT_EQ(stat((std::string(area_directory()) + "/" + file).c_str(), &status), 0) << file;
            EXPECT_GE(status.st_blocks * 512, status.st_size) << file;
        }
    }
    void expect_area_works(uint64_t chunks) {
        expect_no_holes();
        Handle writer = open_area(name_, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options_);
        commit_chunk(writer, std::string(options_.capacity / 10 * 9, 'y'));
        EXPECT_EQ(read_all(open_reader(name_)).size(), chunks + 1);
        EXPECT_EQ(speculo_area_check(name_.c_str(), nullptr, nullptr), 0);
    }

    AreaName name_;
    AreaOptions options_;
};

TEST_F(HugeArea, prefault_takes_them_for_all_segments) {
    Handle writer = open_prefaulted(SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    int count = 0;
    for (const core::WriterSegment *segment : inside(writer).segments) {
        if (!segment) { continue; }
        ++count;
        EXPECT_EQ(segment->map.readable, segment->map.geometry.place_end);
        expect_huge(segment->map);
    }
    EXPECT_EQ(count, 2);
    std::string payload(300000, 'x');
    Handle reader = open_prefaulted(SPECULO_OPEN_READ);
    for (int i = 0; i < 40; ++i) { // around them all
        commit_chunk(writer, payload, transient());
        speculo_chunk chunk;
        ASSERT_EQ(speculo_read_next(reader, &chunk), 1);
        EXPECT_EQ(std::string(static_cast<const char *>(chunk.data), chunk.size), payload);
    }
    expect_huge(static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->cursor.segment->map);
}

TEST_F(HugeArea, prefault_of_one_that_is_there_moves_nothing_that_readers_look_at) {
    Handle writer = make_area(name_, options_);
    commit_chunk(writer, "a");
    uint64_t there = size_of(inside(writer).current->map);
    Handle reader = open_reader(name_);
    writer.close();
    for (int i = 0; i < 2; ++i) { // the second time all is there
        writer = open_prefaulted(SPECULO_OPEN_WRITE);
        EXPECT_EQ(inside(writer).current->map.readable, inside(writer).current->map.geometry.place_end);
        expect_huge(inside(writer).current->map, there);
        writer.close();
    }
    EXPECT_EQ(read_all(reader).size(), 1u);
}

TEST_F(HugeArea, without_prefault_takes_none) {
    Handle writer = make_area(name_, options_);
    std::string payload(300000, 'x');
    for (int i = 0; i < 40; ++i) { commit_chunk(writer, payload, transient()); }
    for (const core::WriterSegment *segment : inside(writer).segments) {
        if (segment) { expect_huge(segment->map, segment->map.geometry.size); }
    }
}

// Answers instead of the kernel, and none from the last one on.
class AskedFor {
public:
    explicit AskedFor(const std::vector<int> &answers) {
        pages.clear();
        given = answers;
        os::operations.make_huge = [](void *address) {
            pages.push_back(static_cast<char *>(address));
            return pages.size() <= given.size() ? given[pages.size() - 1] : -ENOMEM;
        };
    }
    static inline std::vector<char *> pages;

private:
    static inline std::vector<int> given;
    Faults faults_; // puts the table back
};

TEST_F(HugeArea, a_page_that_is_busy_is_passed) {
    options_.capacity = 7 * huge_page / 2; // three of them
    {
        AskedFor asked({-EAGAIN, 0, -EAGAIN, -ENOMEM});
        Handle writer = open_prefaulted(SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
        char *first = AskedFor::pages.at(0), *other = AskedFor::pages.back();
        std::vector<char *> expected = {first, first + huge_page, first + 2 * huge_page, other};
        EXPECT_EQ(AskedFor::pages, expected); // of the other segment none, as there are no more
        expect_no_holes();
    }
    expect_area_works(0);
}

TEST_F(HugeArea, there_are_no_holes_while_they_are_taken) {
    options_.capacity = 7 * huge_page / 2;
    static HugeArea *test;
    test = this;
    Faults faults; // puts the table back
    os::operations.make_huge = [](void *) {
        test->expect_no_holes();
        return -EAGAIN;
    };
    open_prefaulted(SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
}

TEST_F(HugeArea, P8_who_takes_them_may_die_anywhere) {
    options_.capacity = 9 * huge_page / 8;
    uint64_t deaths = die_everywhere([&] { open_prefaulted(SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE); },
                                     [&](uint64_t) {
                                         expect_area_works(0);
                                         EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
                                     });
    EXPECT_GT(deaths, 20u);
}

TEST_F(HugeArea, P8_who_takes_them_for_an_area_that_is_there_may_die_anywhere) {
    options_.capacity = 9 * huge_page / 8;
    uint64_t deaths = die_everywhere([&] { open_prefaulted(SPECULO_OPEN_WRITE); },
                                     [&](uint64_t call) {
                                         if (call > 1) {
                                             expect_area_works(1);
                                             EXPECT_EQ(speculo_area_remove(name_.c_str()), 0);
                                         }
                                         commit_chunk(make_area(name_, options_), "a");
                                     });
    EXPECT_GT(deaths, 20u);
}

TEST(HugeAreaOnSmallDisk, P9_prefault_that_does_not_fit_leaves_all_as_it_was) {
    expect_on_small_disk([](SmallDisk &disk) {
        disk.resize("16m");
        auto free_blocks = [&] {
            struct statvfs found {};
            EXPECT_EQ(statvfs(disk.directory().c_str(), &found), 0);
            return found.f_bavail;
        };
        AreaName name(disk.directory());
        AreaOptions options(20 << 20), all = options;
        all.prefault = UINT64_MAX;
        auto before = free_blocks();
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &all), -ENOSPC);
        EXPECT_EQ(free_blocks(), before);
        commit_chunk(make_area(name, options), "a");
        before = free_blocks();
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE, &all), -ENOSPC);
        EXPECT_EQ(free_blocks(), before);
        EXPECT_EQ(live_ids(name), (Ids{1}));
        commit_chunk(open_area(name, SPECULO_OPEN_WRITE), "b");
    });
}

} // namespace
