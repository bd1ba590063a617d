// SPDX-License-Identifier: LGPL-2.1-or-later
// What the library gets in the place of the C library's functions of these names, so that each run is like the other.
#include <array>
#include <cstdarg>
#include <cstring>
#include <ctime>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "play.hpp"

namespace speculo::test {

namespace {

uint64_t random_state = 1;
bool is_on_disk = false;
bool is_frozen = false;
unsigned boot = 0;
uint64_t later = 0; // ns, whole seconds
std::array<std::pair<clockid_t, timespec>, 3> frozen{{{CLOCK_MONOTONIC, {}}, {CLOCK_MONOTONIC_COARSE, {}}, {CLOCK_BOOTTIME, {}}}};

uint64_t next_random() {
    random_state += 0x9e3779b97f4a7c15;
    uint64_t value = (random_state ^ (random_state >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

} // namespace

void seed_random(uint64_t seed) { random_state = seed; }
void freeze_time() {
    for (auto &[clock, time] : frozen) { syscall(SYS_clock_gettime, clock, &time); }
    is_frozen = true;
}
void pretend_later(uint64_t ns) { later = ns; }
void pretend_boot(unsigned number) { boot = number; }
void pretend_disk(bool is_disk) { is_on_disk = is_disk; }

} // namespace speculo::test

namespace {

constexpr char boot_file[] = "/proc/sys/kernel/random/boot_id";

int open_boot() {
    char text[] = "00000000-0000-4000-8000-000000000000\n";
    text[sizeof text - 3] = char('0' + speculo::test::boot);
    int fd = memfd_create("boot", MFD_CLOEXEC);
    bool is_there = write(fd, text, sizeof text - 1) == ssize_t(sizeof text - 1);
    lseek(fd, 0, SEEK_SET);
    return is_there ? fd : -1;
}

} // namespace

// For files of 64 bits, as the library is compiled.
extern "C" int open64(const char *path, int flags, ...) {
    if (speculo::test::boot != 0 && std::strcmp(path, boot_file) == 0) { return open_boot(); }
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t); // what is not there is not looked at
    va_end(rest);
    return int(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

extern "C" int getentropy(void *bytes, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word = speculo::test::next_random();
        std::memcpy(static_cast<char *>(bytes) + at, &word, size - at < sizeof word ? size - at : sizeof word);
    }
    return 0;
}

extern "C" int clock_gettime(clockid_t clock, timespec *ret_time) noexcept {
    int result = int(syscall(SYS_clock_gettime, clock, ret_time));
    for (const auto &[known, time] : speculo::test::frozen) {
        if (known != clock) { continue; }
        if (speculo::test::is_frozen) { *ret_time = time; }
        ret_time->tv_sec += time_t(speculo::test::later / 1000000000);
    }
    return result;
}

extern "C" int fstatfs(int fd, struct statfs *found) noexcept {
    int result = int(syscall(SYS_fstatfs, fd, found));
    if (result == 0 && speculo::test::is_on_disk) { found->f_type = EXT4_SUPER_MAGIC; }
    return result;
}
