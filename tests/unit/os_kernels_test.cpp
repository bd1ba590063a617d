// SPDX-License-Identifier: LGPL-2.1-or-later
// What the operations of the system make of kernels that lack something, of /proc, and of clocks.
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "child.hpp"
#include "os_directory.hpp"

namespace {

using namespace speculo;
using os::Lock;
using test::run_in_child;

// ---- other kernels ------------------------------------------------------------------------------------------------------------

#if !defined(SPECULO_PORTABLE) // which makes other calls
// A system call that says an error instead if an argument, as far as `mask` goes, has that value.
struct Refused {
    long call;
    unsigned argument;
    uint32_t mask, value;
    int error;
};

#if defined(SYS_fcntl64)
constexpr long fcntl_call = SYS_fcntl64;
#else
constexpr long fcntl_call = SYS_fcntl;
#endif

#if defined(SYS_mmap2)
constexpr long mmap_call = SYS_mmap2;
#else
constexpr long mmap_call = SYS_mmap;
#endif

// From now on in this process; false where that is not possible.
bool refuse(const Refused &refused) {
    constexpr uint32_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 4;
    sock_filter filter[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 4, uint32_t(refused.call)},
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, uint32_t(offsetof(seccomp_data, args) + 8 * refused.argument + low)},
        {BPF_ALU | BPF_AND | BPF_K, 0, 0, refused.mask},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, refused.value},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | uint32_t(refused.error)},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };
    sock_fprog program = {std::size(filter), filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

class OsRefused : public test::OsDirectory {
protected:
    void expect(const Refused &refused, const std::function<bool()> &look) {
        int status = run_in_child([&] { return !refuse(refused) ? 77 : look() ? 0 : 1; });
        EXPECT_TRUE(status == 0 || status == 77) << status; // an emulator knows no filters
    }
};
INSTANTIATE_TEST_SUITE_P(Memory, OsRefused, testing::Values("/dev/shm"));

TEST_P(OsRefused, what_a_kernel_does_not_know_is_done_otherwise_or_told) {
    for (int error : {ENOSYS, EPERM}) {
        expect({SYS_membarrier, 0, 0, 0, error},
               [] { return os::operations.barrier_join() == -EOPNOTSUPP && os::operations.barrier() == -EOPNOTSUPP; });
    }
    for (int error : {EISDIR, ENOENT}) {
        expect({SYS_openat, 2, O_TMPFILE, O_TMPFILE, error},
               [&] { return os::operations.create_unnamed(directory_) == -EOPNOTSUPP; });
    }
    OS_VOID(close(file("a", 1)));
    OS_VOID(close(file("b", 1)));
    for (int error : {ENOSYS, EINVAL}) {
        expect({SYS_renameat2, 0, 0, 0, error}, [&] {
            return os::operations.rename(directory_, "a", "b") == -EEXIST && os::operations.rename(directory_, "a", "c") == 0 &&
                   os::operations.rename(directory_, "c", "a") == 0;
        });
    }
}

TEST_P(OsRefused, what_is_not_to_be_had_now_is_told) {
    uint8_t id[16];
    int64_t offset;
    expect({SYS_openat, 2, O_RDWR | O_CREAT, 0, ENFILE},
           [&] { return os::operations.boot_id(id) == -ENFILE && os::operations.clock_boot_offset(&offset) == -ENFILE; });
    int fd = file("a", 1);
    expect({fcntl_call, 1, UINT32_MAX, F_OFD_SETLK, EACCES}, [&] { // POSIX leaves it open
        return os::operations.lock(fd, Lock::shared, 0, 1) == -EAGAIN && os::operations.lock_whole(fd) == -EAGAIN;
    });
    OS_VOID(close(fd));
}

TEST_P(OsRefused, there_are_no_huge_pages_or_no_room_to_choose_from) {
    constexpr int collapse = 25; // MADV_COLLAPSE, which C libraries learned later than kernels
    constexpr size_t size = 4 * os::huge_page;
    int fd = file("a", 1);
    void *base = nullptr;
    ASSERT_EQ(os::operations.map(fd, size, os::Access::read_write, &base), 0);
    for (int error : {EINVAL, ENOMEM, EAGAIN}) {
        expect({SYS_madvise, 2, UINT32_MAX, collapse, error}, [&] { return os::operations.make_huge(base) == -error; });
    }
    expect({mmap_call, 2, UINT32_MAX, PROT_NONE, ENOMEM}, [&] {
        void *other = nullptr;
        return os::operations.map(fd, size, os::Access::read, &other) == 0;
    });
    OS_VOID(unmap(base, size));
    OS_VOID(close(fd));
}

TEST_P(OsRefused, a_file_that_cannot_be_made_private_is_not_made) {
    expect({SYS_fchmod, 0, 0, 0, EPERM}, [&] {
        return os::operations.create(directory_, "a") == -EPERM && os::operations.create_unnamed(directory_) == -EPERM;
    });
    EXPECT_TRUE(names().empty());
}
#endif

// ---- clocks and identity ----------------------------------------------------------------------------------------------------

constexpr uint64_t second = 1000000000;

TEST(OsClock, goes_on) {
    uint64_t tick = OS(clock_tick());
    EXPECT_GT(tick, 0u);
    EXPECT_LT(tick, second);
    uint64_t coarse = os::clock_coarse(), boot = OS(clock_boot());
    usleep(30000);
    uint64_t later = os::clock_coarse();
    EXPECT_GT(later, coarse);
    EXPECT_GE(OS(clock_boot()), boot + 30000000);
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    EXPECT_LT(uint64_t(now.tv_sec) * second + uint64_t(now.tv_nsec) - later, second + 2 * tick);
}

// What all processes of the host agree on; 0: unknown.
uint64_t host_clock() {
    int64_t offset = 0;
    return os::operations.clock_boot_offset(&offset) == 0 ? os::operations.clock_boot() - uint64_t(offset) : 0;
}

bool enter_time_namespace(const char *offsets) {
#ifdef CLONE_NEWTIME
    if (unshare(CLONE_NEWTIME) < 0) { return false; }
    int fd = ::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    bool is_set = fd >= 0 && write(fd, offsets, std::strlen(offsets)) > 0;
    ::close(fd);
    return is_set;
#else
    return false;
#endif
}

TEST(OsClock, is_the_host_s_in_every_time_namespace) {
    int64_t offset = 1;
    EXPECT_EQ(OS(clock_boot_offset(&offset)), 0);
    if (!os::has_range_locks) { // namespaces are not looked at
        EXPECT_EQ(offset, 0);
        return;
    }
    for (const char *offsets : {"boottime 100000 500000000", "boottime -10 500000000", "monotonic 5000 0"}) {
        auto *inside =
            static_cast<volatile uint64_t *>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
        int status = run_in_child([=] {
            if (!enter_time_namespace(offsets)) { return 77; }
            int64_t offset;
            // Its own clock is still the old one, and nobody says by how much that one is ahead.
            if (os::operations.clock_boot_offset(&offset) != -EOPNOTSUPP) { return 1; }
            return run_in_child([=] {
                inside[0] = os::operations.clock_boot();
                inside[1] = host_clock();
                return 0;
            });
        });
        uint64_t boot = OS(clock_boot()), host = host_clock(), boot_inside = inside[0], host_inside = inside[1];
        munmap(const_cast<uint64_t *>(inside), 4096);
        if (status == 77) { // not permitted
            EXPECT_NE(geteuid(), 0u);
            return;
        }
        ASSERT_EQ(status, 0);
        EXPECT_LT(host - host_inside, second) << offsets;
        if (std::strstr(offsets, "100000")) { EXPECT_GT(boot_inside, boot + 99999 * second); }
    }
}

// Runs `look` in a child whose root is that directory. 77: not everybody may change it.
int run_in_jail(const char *path, const std::function<int()> &look) {
    return run_in_child([&] {
        int outside = ::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (chroot(path) < 0 || chdir("/") < 0) { return 77; }
        int result = look();
        // Back again: what the child writes at its end, such as what it has covered, is not to stay here.
        return fchdir(outside) == 0 && chroot(".") == 0 ? result : 5;
    });
}

// As in a jail that has no /proc.
TEST(OsClock, is_unknown_without_proc) {
    if (!os::has_range_locks) { // not needed
        int64_t offset = 1;
        EXPECT_EQ(OS(clock_boot_offset(&offset)), 0);
        EXPECT_EQ(offset, 0);
        return;
    }
    char path[] = "/dev/shm/speculo-os-test-XXXXXX";
    ASSERT_NE(mkdtemp(path), nullptr);
    auto look = [] {
        int64_t offset;
        uint8_t id[16] = {1};
        if (os::operations.clock_boot_offset(&offset) != -EOPNOTSUPP) { return 1; }
        if (os::operations.boot_id(id) != 0 || id[0] != 0) { return 2; }
        int directory = os::operations.open_directory("/");
        if (os::operations.create_unnamed(directory) != -EOPNOTSUPP) { return 3; } // it could not be named
        int fd = ::open("/", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        return os::operations.link(fd, directory, "a") == -EOPNOTSUPP ? 0 : 4;
    };
    int status = run_in_jail(path, look);
    EXPECT_EQ(rmdir(path), 0);
    EXPECT_EQ(status, status == 77 && geteuid() != 0 ? 77 : 0);
}

#if !defined(SPECULO_PORTABLE) // which looks at nothing there
// A jail whose /proc says what the test wants.
class OsProc : public testing::Test {
protected:
    OsProc() {
        EXPECT_NE(mkdtemp(root_.data()), nullptr);
        std::filesystem::create_directories(root_ + "/proc/self/ns");
        std::filesystem::create_directories(root_ + "/proc/sys/kernel/random");
        write_namespaces("time:[4026531834]", "time:[4026531834]");
    }
    ~OsProc() override { std::filesystem::remove_all(root_); }

    void write(const char *file, const std::string &text) { std::ofstream(root_ + "/proc/" + file) << text; }
    void write_namespaces(const char *own, const char *children) {
        for (const char *file : {"time", "time_for_children"}) {
            std::string path = root_ + "/proc/self/ns/" + file;
            unlink(path.c_str());
            EXPECT_EQ(symlink(std::strcmp(file, "time") == 0 ? own : children, path.c_str()), 0);
        }
    }
    void expect(const std::function<bool()> &look) {
        int status = run_in_jail(root_.c_str(), [&] { return look() ? 0 : 1; });
        EXPECT_EQ(status, status == 77 && geteuid() != 0 ? 77 : 0);
    }
    void expect_offset(int64_t wanted) {
        int64_t offset = wanted - 1;
        expect([&] { return os::operations.clock_boot_offset(&offset) == 0 && offset == wanted; });
    }
    void expect_no_offset() {
        int64_t offset;
        expect([&] { return os::operations.clock_boot_offset(&offset) == -EOPNOTSUPP; });
    }

    std::string root_ = "/dev/shm/speculo-os-test-XXXXXX";
};

// Deadlines that are judged by a wrong clock are worse than none.
TEST_F(OsProc, offsets_that_are_not_understood_are_none) {
    expect_offset(0); // a kernel without time namespaces
    write("self/timens_offsets", "monotonic           0         0\nboottime       100000 500000000\n");
    expect_offset(100000500000000);
    write_namespaces("time:[4026531834]", "time:[40265318");
    expect_no_offset();
    write_namespaces("time:[4026531834]", "time:[4026531834]");
    write("self/timens_offsets", "boottime\t-9223372036\t0");
    expect_offset(-9223372036000000000);
    for (const char *text : {"", "monotonic 5 0\n", "boottime", "boottime x 0", "boottime 5\n", "boottime 5 -",
                             "boottime 9223372037 0", "boottime 9223372036 999999999", "boottime 9223372036854775808 0",
                             "boottime 99999999999999999999 0", "boottime 0 99999999999999999999"}) {
        SCOPED_TRACE(text);
        write("self/timens_offsets", text);
        expect_no_offset();
    }
    write("self/timens_offsets", std::string(250, ' ') + "boottime 5 0"); // more than anybody reads
    expect_no_offset();
}

// By half an id two boots could be taken for one.
TEST_F(OsProc, an_id_of_the_boot_that_is_not_understood_is_none) {
    auto expect_id = [&](const char *text, const std::array<uint8_t, 16> &wanted) {
        SCOPED_TRACE(text);
        write("sys/kernel/random/boot_id", text);
        std::array<uint8_t, 16> id = {0xee};
        expect([&] { return os::operations.boot_id(id.data()) == 0 && id == wanted; });
    };
    expect_id("01234567-89ab-cdef-0123-456789abcdef\n",
              {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef});
    for (const char *text : {"", "01234567-89ab-cdef-0123-456789abcde", "01234567-89ab-cdef-0123-4567\n", "01234567-89AB",
                             "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123-456789abcd~f", "no id"}) {
        expect_id(text, {});
    }
}
#endif

TEST(OsIdentity, is_as_the_system_says) {
    uint8_t id[16], again[16];
    std::memset(id, 0xee, sizeof id);
    EXPECT_EQ(OS(boot_id(id)), 0);
    EXPECT_EQ(OS(boot_id(again)), 0);
    EXPECT_EQ(std::memcmp(id, again, sizeof id), 0);
    bool is_zero = std::all_of(id, id + 16, [](uint8_t byte) { return byte == 0; });
    EXPECT_EQ(is_zero, !os::has_range_locks || access("/proc/sys/kernel/random/boot_id", R_OK) != 0);
    EXPECT_EQ(OS(user()), geteuid());
    EXPECT_EQ(os::shared_memory_directory[0], '/');
}

TEST(OsIdentity, random_fills_all_bytes) {
    std::vector<uint8_t> bytes(1000, 0), none(1000, 0);
    EXPECT_EQ(OS(random(bytes.data(), 999)), 0);
    EXPECT_EQ(bytes[999], 0);
    for (size_t i = 0; i + 20 < 999; i += 20) {
        EXPECT_TRUE(std::any_of(&bytes[i], &bytes[i + 20], [](uint8_t byte) { return byte != 0; })) << i;
    }
    EXPECT_EQ(OS(random(bytes.data(), 0)), 0);
}

} // namespace
