// SPDX-License-Identifier: LGPL-2.1-or-later
// The operations that Linux does in its own way.
#include <array>
#include <cstring>
#include <ctime>

#include <dirent.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

#include "os_impl.hpp"

#ifndef MADV_POPULATE_READ // Linux 5.14
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE // Linux 6.1
#define MADV_COLLAPSE 25
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#endif

namespace speculo::os {

const char *const shared_memory_directory = "/dev/shm";
const clockid_t coarse_clock = CLOCK_MONOTONIC_COARSE;

namespace impl {

namespace {

// ---- the text of /proc -------------------------------------------------------------------------------------------------------

// "/proc/self/fd/N": the only way to name an unnamed file without privileges.
struct DescriptorPath {
    char text[32] = "/proc/self/fd/";

    explicit DescriptorPath(int fd) {
        char digits[12];
        int count = 0;
        do { digits[count++] = char('0' + fd % 10); } while ((fd /= 10) > 0);
        char *to = text + std::strlen(text);
        while (count > 0) { *to++ = digits[--count]; }
        *to = '\0';
    }
};

bool is_there(const char *path) {
    return checked([=] { return ::faccessat(AT_FDCWD, path, F_OK, 0); }) == 0;
}

// Reads a small file as text that ends with 0. Gives its size.
int read_text(const char *path, char *ret_text, size_t room) {
    int fd = checked([=] { return ::open(path, O_RDONLY | O_CLOEXEC); });
    if (fd < 0) { return fd; }
    size_t size = 0;
    int count;
    do {
        count = checked([=] { return ::read(fd, ret_text + size, room - 1 - size); });
        if (count > 0) { size += size_t(count); }
    } while (count > 0 && size < room - 1);
    ErrnoKeeper keeper;
    ::close(fd);
    ret_text[size] = '\0';
    return count < 0 ? count : int(size);
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads a number with blanks in front, and gives the text behind it; nullptr if there is none.
const char *parse_number(const char *text, int64_t &ret_value) {
    while (*text == ' ' || *text == '\t') { ++text; }
    bool is_negative = *text == '-';
    if (is_negative) { ++text; }
    if (!is_digit(*text)) { return nullptr; }
    int64_t value = 0;
    for (; is_digit(*text); ++text) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value)) { return nullptr; }
    }
    ret_value = is_negative ? -value : value;
    return text;
}

// Finds "boottime SECONDS NANOSECONDS".
bool parse_offsets(const char *text, int64_t &ret_offset) {
    constexpr char word[] = "boottime";
    const char *line = std::strstr(text, word);
    int64_t seconds, nanoseconds;
    if (!line || !(line = parse_number(line + sizeof word - 1, seconds)) || !parse_number(line, nanoseconds)) { return false; }
    return !__builtin_mul_overflow(seconds, int64_t(1000000000), &ret_offset) &&
           !__builtin_add_overflow(ret_offset, nanoseconds, &ret_offset);
}

// A process that has unshared still runs in the old time namespace, but the offsets that it is told are those of the new one.
bool is_in_own_namespace() {
    char now[64], children[64];
    int now_size = checked([&] { return ::readlink("/proc/self/ns/time", now, sizeof now); });
    int size = checked([&] { return ::readlink("/proc/self/ns/time_for_children", children, sizeof children); });
    return now_size > 0 && now_size == size && std::memcmp(now, children, size_t(size)) == 0;
}

int hex_value(char c) {
    if (is_digit(c)) { return c - '0'; }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_id(const char *text, uint8_t ret_id[16]) {
    for (int i = 0; i < 16; ++i) {
        while (*text == '-') { ++text; }
        int high = hex_value(text[0]), low = high < 0 ? -1 : hex_value(text[1]);
        if (low < 0) { return false; }
        ret_id[i] = uint8_t(high << 4 | low);
        text += 2;
    }
    return true;
}

// Errors that say something of this moment, not of this system.
bool is_passing(int error) { return error == -EMFILE || error == -ENFILE || error == -ENOMEM; }

// ---- locks and clocks -----------------------------------------------------------------------------------------------------------

struct flock lock_request(int type, uint64_t first, uint64_t count) {
    struct flock request = {};
    request.l_type = short(type);
    request.l_whence = SEEK_SET;
    request.l_start = off_t(first);
    request.l_len = off_t(count);
    return request;
}

int set_lock(int fd, struct flock request) {
    int error = checked([&] { return ::fcntl(fd, F_OFD_SETLK, &request); });
    return error == -EACCES ? -EAGAIN : error;
}

// Where time has 64 bits and a register 32, another call takes it.
#if defined(SYS_futex_time64) && defined(SYS_futex)
constexpr long futex_call = sizeof(time_t) > sizeof(long) ? SYS_futex_time64 : SYS_futex;
#elif defined(SYS_futex_time64)
constexpr long futex_call = SYS_futex_time64;
#else
constexpr long futex_call = SYS_futex;
#endif

uint64_t read_clock(clockid_t clock) {
    timespec now = {};
    ::clock_gettime(clock, &now);
    return nanoseconds(now);
}

// The records that getdents64() gives.
struct DirectoryRecord {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[1];
};

void tell_names(const char *records, int size, ListFn each, void *user) {
    for (int at = 0; at < size;) {
        uint16_t record_size;
        std::memcpy(&record_size, records + at + offsetof(DirectoryRecord, size), sizeof record_size);
        const char *name = records + at + offsetof(DirectoryRecord, name);
        if (std::strcmp(name, ".") != 0 && std::strcmp(name, "..") != 0) { each(user, name); }
        at += record_size;
    }
}

} // namespace

// ---- names ------------------------------------------------------------------------------------------------------------------

int create_unnamed(int directory) {
    constexpr int flags = O_TMPFILE | O_RDWR | O_CLOEXEC;
    int fd = checked([=] { return above_standard(::openat(directory, ".", flags, private_mode)); });
    if (fd == -EISDIR || fd == -ENOENT) { return -EOPNOTSUPP; } // what kernels say that do not know the flag
    if (fd < 0) { return fd; }
    int error = checked([=] { return ::fchmod(fd, private_mode); }); // the umask took its share
    // Without /proc it would never get a name.
    if (error == 0 && !is_there(DescriptorPath(fd).text)) { error = -EOPNOTSUPP; }
    if (error == 0) { return fd; }
    ErrnoKeeper keeper;
    ::close(fd);
    return error;
}

int link(int fd, int directory, const char *name) {
    DescriptorPath path(fd);
    int error = checked([&] { return ::linkat(AT_FDCWD, path.text, directory, name, AT_SYMLINK_FOLLOW); });
    return error == -ENOENT && !is_there(path.text) ? -EOPNOTSUPP : error;
}

int rename(int directory, const char *from, const char *to) {
    int error = checked([=] { return ::syscall(SYS_renameat2, directory, from, directory, to, RENAME_NOREPLACE); });
    return error == -EINVAL || error == -ENOSYS ? rename_if_free(directory, from, to) : error;
}

int list(int directory, ListFn each, void *user) {
    // A description of its own: the offset belongs to it, and others may be listing too.
    int fd = checked([=] { return ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (fd < 0) { return fd; }
    alignas(uint64_t) char records[4096];
    int size;
    while ((size = checked([&] { return ::syscall(SYS_getdents64, fd, records, sizeof records); })) > 0) {
        tell_names(records, size, each, user);
    }
    ErrnoKeeper keeper;
    ::close(fd);
    return size;
}

// ---- files ------------------------------------------------------------------------------------------------------------------

int file_system(int fd, Medium *ret_medium) {
    struct statfs found;
    if (int error = checked([&] { return ::fstatfs(fd, &found); }); error < 0) { return error; }
    switch (uint32_t(found.f_type)) { // a signed word on some machines
    case TMPFS_MAGIC: *ret_medium = Medium::memory; return 0;
    case EXT4_SUPER_MAGIC: // of ext2 and ext3 too
    case XFS_SUPER_MAGIC: *ret_medium = Medium::disk; return 0;
    default: return -EOPNOTSUPP;
    }
}

int allocate_space(int fd, uint64_t offset, uint64_t length) {
    // tmpfs undoes everything at a signal; where signals keep coming, such as a profiler's, only smaller pieces get through.
    constexpr uint64_t least = 64 << 10;
    ErrnoKeeper keeper;
    uint64_t piece = length;
    do {
        if (piece > length) { piece = length; }
        if (::fallocate(fd, 0, off_t(offset), off_t(piece)) == 0) {
            offset += piece;
            length -= piece;
        } else if (errno != EINTR) {
            return -errno;
        } else if (piece / 2 >= least) {
            piece = piece / 2 / least * least; // GCOVR_EXCL_LINE: tests/ipc/storms comes here, as chance has it
        }
    } while (length > 0);
    return 0;
}

// ---- mappings ---------------------------------------------------------------------------------------------------------------

namespace {

int advise(void *address, size_t length, int advice) {
    return checked([=] { return ::madvise(address, length, advice); });
}

} // namespace

int keep_from_children(void *address, size_t length) { return advise(address, length, MADV_DONTFORK); }

void *place_to_map(size_t length) {
    if (length < huge_page) { return nullptr; }
    size_t room = length + size_t(huge_page); // where that is too much, so is the length
    void *found = ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found == MAP_FAILED) { return nullptr; }
    ::munmap(found, room); // another thread may be faster now: then the mapping is elsewhere
    return static_cast<char *>(found) + (0 - reinterpret_cast<uintptr_t>(found)) % uintptr_t(huge_page); // the next multiple
}

void populate(void *address, size_t length, Access access) {
    // The format's pages may be smaller than the machine's.
    size_t before = size_t(reinterpret_cast<uintptr_t>(address) % uintptr_t(::sysconf(_SC_PAGESIZE)));
    char *first = static_cast<char *>(address) - before;
    advise(first, length + before, access == Access::read ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
}

// Whether the file system is mounted for huge pages makes no difference to it.
int make_huge(void *address) { return advise(address, size_t(huge_page), MADV_COLLAPSE); }

// ---- locks ------------------------------------------------------------------------------------------------------------------

int lock(int fd, Lock lock, uint64_t first, uint64_t count) {
    int type = lock == Lock::shared ? F_RDLCK : lock == Lock::exclusive ? F_WRLCK : F_UNLCK;
    return set_lock(fd, lock_request(type, first, count));
}

int lock_whole(int fd) { return set_lock(fd, lock_request(F_WRLCK, 0, 0)); }

int locked_by_other(int fd, uint64_t first, uint64_t count) {
    struct flock request = lock_request(F_RDLCK, first, count); // only an exclusive one is in its way
    int error = checked([&] { return ::fcntl(fd, F_OFD_GETLK, &request); });
    return error < 0 ? error : request.l_type != F_UNLCK;
}

// ---- sleeping ---------------------------------------------------------------------------------------------------------------

int sleep_on(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    ErrnoKeeper keeper;
    timespec timeout = to_timespec(timeout_ns);
    // Not a private futex: the others are other processes.
    return ::syscall(futex_call, word, FUTEX_WAIT, expected, &timeout, nullptr, 0) == 0 ? 0 : -errno;
}

void wake(const uint32_t *word, uint32_t count) {
    ErrnoKeeper keeper;
    ::syscall(futex_call, word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

int barrier_join() {
    int error = checked([] { return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0); });
    return error < 0 ? -EOPNOTSUPP : 0;
}

int barrier() {
    int error = checked([] { return ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0); });
    return error < 0 ? -EOPNOTSUPP : 0;
}

// ---- descriptors for event loops ----------------------------------------------------------------------------------------------

namespace {

int add_to(int set, int fd) {
    epoll_event readable = {};
    readable.events = EPOLLIN;
    return checked([&] { return ::epoll_ctl(set, EPOLL_CTL_ADD, fd, &readable); });
}

int watch_file(int events, int file) {
    if (file < 0) { return 0; } // the alarm alone
    DescriptorPath path(file);  // the object itself, whatever became of its name
    int error = checked([&] { return ::inotify_add_watch(events, path.text, IN_MODIFY); });
    return error < 0 ? error : 0;
}

} // namespace

int watch_open(int file, Watch *ret_watch) {
    Watch watch = {-1, -1, -1};
    int error = watch.fd = checked([] { return above_standard(::epoll_create1(EPOLL_CLOEXEC)); });
    if (error >= 0) {
        error = watch.events = checked([] { return above_standard(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)); });
    }
    if (error >= 0) { error = watch_file(watch.events, file); }
    if (error >= 0) {
        error = watch.alarm =
            checked([] { return above_standard(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)); });
    }
    if (error >= 0) { error = add_to(watch.fd, watch.events); }
    if (error >= 0) { error = add_to(watch.fd, watch.alarm); }
    if (error < 0) {
        watch_close(&watch);
        return error;
    }
    *ret_watch = watch;
    return 0;
}

void watch_close(Watch *watch) {
    ErrnoKeeper keeper;
    for (int fd : std::array{watch->fd, watch->events, watch->alarm}) {
        if (fd >= 0) { ::close(fd); }
    }
    *watch = {-1, -1, -1};
}

int watch_alarm(const Watch *watch, uint64_t after_ns) {
    epoll_event event;
    bool is_readable = after_ns == 0 && checked([&] { return ::epoll_wait(watch->fd, &event, 1, 0); }) > 0;
    if (is_readable) { return 0; } // without a timer, which costs an interrupt
    itimerspec alarm = {};
    alarm.it_value = to_timespec(after_ns ? after_ns : 1); // 0 would switch it off
    return checked([&] { return ::timerfd_settime(watch->alarm, 0, &alarm, nullptr); });
}

void watch_drain(const Watch *watch) {
    ErrnoKeeper keeper;
    alignas(uint64_t) char bytes[4096];
    while (::read(watch->events, bytes, sizeof bytes) == sizeof bytes) {} // what is less was all
    while (::read(watch->alarm, bytes, sizeof(uint64_t)) > 0) {}
}

// ---- clocks and identity ----------------------------------------------------------------------------------------------------

uint64_t clock_boot() { return read_clock(CLOCK_BOOTTIME); }

uint64_t clock_tick() {
    timespec tick = {};
    ::clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    return nanoseconds(tick);
}

int clock_boot_offset(int64_t *ret_offset) {
    char text[256];
    int size = read_text("/proc/self/timens_offsets", text, sizeof text);
    if (size == -ENOENT && is_there("/proc/self")) {
        *ret_offset = 0; // a kernel without time namespaces. GCOVR_EXCL_LINE: this one has them
        return 0;        // GCOVR_EXCL_LINE
    }
    if (size < 0) { return is_passing(size) ? size : -EOPNOTSUPP; }
    int64_t offset;
    if (!is_in_own_namespace() || !parse_offsets(text, offset)) { return -EOPNOTSUPP; }
    *ret_offset = offset;
    return 0;
}

int boot_id(uint8_t ret_id[16]) {
    char text[64];
    uint8_t id[16];
    int size = read_text("/proc/sys/kernel/random/boot_id", text, sizeof text);
    if (is_passing(size) || size == -EIO) { return size; }
    bool is_known = size > 0 && parse_id(text, id);
    for (int i = 0; i < 16; ++i) { ret_id[i] = is_known ? id[i] : 0; }
    return 0;
}

} // namespace impl

} // namespace speculo::os
