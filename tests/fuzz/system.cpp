// SPDX-License-Identifier: LGPL-2.1-or-later
#include "system.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/mman.h>

#include "times.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ADDRESS_SANITIZER
#endif
#ifdef HAS_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace speculo::fuzz {

namespace {

using os::Access;
using os::Lock;

constexpr uint64_t largest_file = 512 << 10, all_files = 2 << 20;
// Room for what a file's header may ask for; where addresses are few, or each page costs an emulator something, for less.
#ifdef __x86_64__
constexpr size_t region_size = size_t(1) << 37;
#else
constexpr size_t region_size = 2 * largest_file;
#endif
constexpr int max_files = 40, max_descriptors = 128, first_descriptor = 100;
constexpr uint64_t tick = 4000000;
constexpr uint64_t page = 4096;

struct File {
    std::byte *bytes = nullptr; // a region of its own: what is read beyond it is read nowhere
    uint64_t size = 0;
    uint32_t mode = 0, uid = 0, gid = 0, links = 0;
    int users = 0; // descriptions
    bool exists() const { return links > 0 || users > 0; }
};

// An open file description: it lives as long as its descriptor or a mapping, and so do its locks.
struct Description {
    File *file = nullptr; // null: the directory
    Access access = Access::read;
    bool is_open = false;
    int mappings = 0;
    std::array<Lock, 3> locks{}; // byte 0, byte 1, the rest
    bool exists() const { return is_open || mappings > 0; }
};

struct Mapping {
    void *address;
    size_t length;
    int description;
};

struct Name {
    std::string text;
    File *file;
};

struct System {
    std::array<File, max_files> files;
    std::array<Description, max_descriptors> descriptions;
    size_t used = 0; // of these, at most, since the last reset
    std::vector<Mapping> mappings;
    std::vector<Name> names;
    int watches = 0;
    std::vector<void *> allocations;
    os::Medium medium = os::Medium::memory;
    uint8_t boot = 1;
    uint64_t now = uint64_t(1) << 50, fine = 0, random = 1;
    uint64_t calls = 0, budget = UINT64_MAX, failing = 0;
    int error = 0;
    void (*rewrite)() = nullptr;
};

System &system() {
    static System only;
    return only;
}

// ---- files ------------------------------------------------------------------------------------------------------------------

// Everything behind the end is poison at all times.
void resize_file(File &file, uint64_t size) {
    if (size > file.size) { ASAN_UNPOISON_MEMORY_REGION(file.bytes + file.size, size_t(size - file.size)); }
    if (size < file.size) {
        std::memset(file.bytes + size, 0, size_t(file.size - size));
        ASAN_POISON_MEMORY_REGION(file.bytes + size, size_t(file.size - size));
    }
    file.size = size;
}

void make_region(File &file) {
    if (file.bytes) { return; }
    void *room = mmap(nullptr, region_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool is_made = room != MAP_FAILED && mprotect(room, largest_file, PROT_READ | PROT_WRITE) == 0;
    expect(is_made, "no memory for the files of the test");
    file.bytes = static_cast<std::byte *>(room);
    ASAN_POISON_MEMORY_REGION(file.bytes, largest_file);
}

File *new_file() {
    for (File &file : system().files) {
        if (file.exists()) { continue; }
        make_region(file);
        resize_file(file, 0);
        file.mode = 0600;
        file.uid = file.gid = 0;
        return &file;
    }
    return nullptr;
}

Name *find_name(const std::string &text) {
    for (Name &name : system().names) {
        if (name.text == text) { return &name; }
    }
    return nullptr;
}

int open_file(File *file, Access access) {
    for (int i = 0; i < max_descriptors; ++i) {
        Description &description = system().descriptions[size_t(i)];
        if (description.exists()) { continue; }
        description = Description{};
        description.locks.fill(Lock::none);
        description.file = file;
        description.access = access;
        description.is_open = true;
        if (file) { ++file->users; }
        system().used = std::max(system().used, size_t(i) + 1);
        return first_descriptor + i;
    }
    return -EMFILE;
}

Description &description_of(int fd) {
    bool is_one = fd >= first_descriptor && fd < first_descriptor + max_descriptors &&
                  system().descriptions[size_t(fd - first_descriptor)].is_open;
    expect(is_one, "a descriptor that is not open");
    return system().descriptions[size_t(fd - first_descriptor)];
}

File &file_of(int fd) {
    File *file = description_of(fd).file;
    expect(file != nullptr, "a directory taken for a file");
    return *file;
}

void drop(Description &description) {
    if (description.exists()) { return; }
    description.locks.fill(Lock::none);
    if (description.file) { --description.file->users; }
    description.file = nullptr;
}

// ---- the operations ---------------------------------------------------------------------------------------------------------

// Counts; the error if this call is to fail.
int enter() {
    System &sys = system();
    expect(++sys.calls <= sys.budget, "more calls of the system than any operation takes: a hang");
    return sys.failing != 0 && --sys.failing == 0 ? -sys.error : 0;
}
#define ENTER                                                                                                                    \
    if (int error = enter(); error < 0) { return error; }

void *allocate(size_t size) {
    if (enter() < 0 || size > largest_file) { return nullptr; }
    system().allocations.push_back(std::calloc(1, size));
    return system().allocations.back();
}

void forget(void *memory) {
    std::vector<void *> &all = system().allocations;
    auto found = std::find(all.rbegin(), all.rend(), memory);
    expect(found != all.rend(), "memory given back that was not taken");
    all.erase(std::next(found).base());
}

void *resize(void *memory, size_t size) {
    if (enter() < 0 || size > all_files) { return nullptr; }
    if (memory) { forget(memory); }
    system().allocations.push_back(std::realloc(memory, size));
    return system().allocations.back();
}

void release(void *memory) {
    if (memory) { forget(memory); }
    std::free(memory);
}

int open_directory(const char *path) {
    ENTER
    bool is_known = std::strcmp(path, os::shared_memory_directory) == 0 || std::strncmp(path, "/run/", 5) == 0;
    return is_known ? open_file(nullptr, Access::read) : -ENOENT;
}

int open(int directory, const char *name, Access access) {
    ENTER
    expect(!description_of(directory).file, "a file taken for a directory");
    Name *found = find_name(name);
    return found ? open_file(found->file, access) : -ENOENT;
}

int create_unnamed(int directory) {
    ENTER
    expect(!description_of(directory).file, "a file taken for a directory");
    File *file = new_file();
    return file ? open_file(file, Access::read_write) : -ENFILE;
}

int link(int fd, int, const char *name) {
    ENTER
    if (find_name(name)) { return -EEXIST; }
    ++file_of(fd).links;
    system().names.push_back({name, &file_of(fd)});
    return 0;
}

int create(int directory, const char *name) {
    if (find_name(name)) { return -EEXIST; }
    int fd = create_unnamed(directory);
    if (fd < 0) { return fd; }
    ++file_of(fd).links;
    system().names.push_back({name, &file_of(fd)});
    return fd;
}

int rename(int, const char *from, const char *to) {
    ENTER
    Name *found = find_name(from);
    if (!found || find_name(to)) { return found ? -EEXIST : -ENOENT; }
    found->text = to;
    return 0;
}

int unlink(int, const char *name) {
    ENTER
    Name *found = find_name(name);
    if (!found) { return -ENOENT; }
    --found->file->links;
    system().names.erase(system().names.begin() + (found - system().names.data()));
    return 0;
}

int list(int, os::ListFn each, void *user) {
    ENTER
    std::vector<std::string> names;
    for (const Name &name : system().names) { names.push_back(name.text); }
    for (const std::string &name : names) { each(user, name.c_str()); }
    return 0;
}

void close(int fd) {
    Description &description = description_of(fd);
    description.is_open = false;
    drop(description);
}

void describe(const File &file, os::FileStatus *ret_status) {
    *ret_status = {};
    ret_status->inode = uint64_t(&file - system().files.data()) + 1;
    ret_status->size = ret_status->allocated = file.size;
    ret_status->mode = file.mode;
    ret_status->links = file.links;
    ret_status->uid = file.uid;
    ret_status->gid = file.gid;
    ret_status->regular = true;
}

int status(int fd, os::FileStatus *ret_status) {
    ENTER
    describe(file_of(fd), ret_status);
    return 0;
}

int status_at(int, const char *name, os::FileStatus *ret_status) {
    ENTER
    Name *found = find_name(name);
    if (!found) { return -ENOENT; }
    describe(*found->file, ret_status);
    return 0;
}

int file_system(int, os::Medium *ret_medium) {
    ENTER
    *ret_medium = system().medium;
    return 0;
}

int set_mode(int fd, uint32_t mode) {
    ENTER
    file_of(fd).mode = mode;
    return 0;
}

int set_owner(int fd, uint32_t uid, uint32_t gid) {
    ENTER
    file_of(fd).uid = uid;
    if (gid != UINT32_MAX) { file_of(fd).gid = gid; }
    return 0;
}

int allocate_space(int fd, uint64_t offset, uint64_t length) {
    ENTER
    File &file = file_of(fd);
    expect(description_of(fd).access == Access::read_write, "a file extended that was opened for reading");
    if (offset > largest_file || length > largest_file - offset) { return -ENOSPC; }
    uint64_t sum = 0;
    for (const File &one : system().files) { sum += one.exists() ? one.size : 0; }
    if (offset + length <= file.size) { return 0; }
    if (sum - file.size + offset + length > all_files) { return -ENOSPC; }
    resize_file(file, offset + length);
    return 0;
}

int map(int fd, size_t length, Access access, void **ret_address) {
    ENTER
    Description &description = description_of(fd);
    if (length > region_size) { return -ENOMEM; }
    if (access == Access::read_write && description.access == Access::read) { return -EACCES; }
    ++description.mappings;
    system().mappings.push_back({file_of(fd).bytes, length, fd - first_descriptor});
    *ret_address = file_of(fd).bytes;
    return 0;
}

void unmap(void *address, size_t length) {
    std::vector<Mapping> &all = system().mappings;
    auto found = std::find_if(all.rbegin(), all.rend(),
                              [=](const Mapping &one) { return one.address == address && one.length == length; });
    expect(found != all.rend(), "unmapped what is not mapped so");
    Description &description = system().descriptions[size_t(found->description)];
    --description.mappings;
    all.erase(std::next(found).base());
    drop(description);
}

void populate(void *, size_t, Access) {}

int make_huge(void *) { return -EINVAL; }

int sync(void *, size_t) {
    ENTER
    return 0;
}

std::array<bool, 3> cells(uint64_t first, uint64_t count) {
    auto reaches = [=](uint64_t byte) { return count == 0 || first + count > byte; };
    return {first == 0 && reaches(0), first <= 1 && reaches(1), reaches(2)};
}

bool is_in_the_way(const Description &own, size_t cell, Lock wanted) {
    for (size_t i = 0; i < system().used; ++i) {
        const Description &other = system().descriptions[i];
        if (&other == &own || !other.exists() || other.file != own.file || other.locks[cell] == Lock::none) { continue; }
        if (wanted == Lock::exclusive || other.locks[cell] == Lock::exclusive) { return true; }
    }
    return false;
}

int lock(int fd, Lock wanted, uint64_t first, uint64_t count) {
    ENTER
    Description &own = description_of(fd);
    if (wanted == Lock::exclusive && own.access == Access::read) { return -EBADF; }
    std::array<bool, 3> range = cells(first, count);
    for (size_t i = 0; i < range.size(); ++i) {
        if (range[i] && wanted != Lock::none && is_in_the_way(own, i, wanted)) { return -EAGAIN; }
    }
    for (size_t i = 0; i < range.size(); ++i) {
        if (range[i]) { own.locks[i] = wanted; }
    }
    return 0;
}

int lock_whole(int fd) { return lock(fd, Lock::exclusive, 0, 0); }

int locked_by_other(int fd, uint64_t first, uint64_t count) {
    ENTER
    std::array<bool, 3> range = cells(first, count);
    for (size_t i = 0; i < range.size(); ++i) {
        if (range[i] && is_in_the_way(description_of(fd), i, Lock::shared)) { return 1; }
    }
    return 0;
}

// The kernel looks for itself: it reads zeros between the end of a file and that of its page, and beyond finds nothing.
int look_at(const uint32_t *word, uint32_t &ret_value) {
    auto *bytes = reinterpret_cast<const std::byte *>(word);
    for (const File &file : system().files) {
        if (!file.bytes || bytes < file.bytes || bytes >= file.bytes + largest_file) { continue; }
        auto offset = uint64_t(bytes - file.bytes);
        if (offset >= (file.size + page - 1) / page * page) { return -EFAULT; }
        ret_value = offset + sizeof *word <= file.size ? *static_cast<const volatile uint32_t *>(word) : 0;
        return 0;
    }
    ret_value = *static_cast<const volatile uint32_t *>(word);
    return 0;
}

int sleep_on(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
    ENTER
    uint32_t value;
    if (int error = look_at(word, value); error < 0) { return error; }
    if (value != expected) { return -EAGAIN; }
    system_pass_time(timeout_ns);
    return -ETIMEDOUT;
}

void wake(const uint32_t *, uint32_t) { enter(); }

int barrier() {
    ENTER
    return 0;
}

int watch_open(int, os::Watch *ret_watch) {
    ENTER
    ++system().watches;
    *ret_watch = {1000, -1, -1};
    return 0;
}

void watch_close(os::Watch *) { --system().watches; }

int watch_alarm(const os::Watch *, uint64_t) {
    ENTER
    return 0;
}

void watch_drain(const os::Watch *) {}

int read_at(int fd, uint64_t offset, void *ret_bytes, size_t size) {
    ENTER
    if (system().rewrite) { system().rewrite(); }
    const File &file = file_of(fd);
    if (offset > file.size || size > file.size - offset) { return -ENODATA; }
    std::memcpy(ret_bytes, file.bytes + offset, size);
    return 0;
}

int write_at(int fd, uint64_t offset, const void *bytes, size_t size) {
    ENTER
    File &file = file_of(fd);
    expect(description_of(fd).access == Access::read_write, "a file written that was opened for reading");
    if (offset > file.size || size > file.size - offset) { return -ENOSPC; }
    std::memcpy(file.bytes + offset, bytes, size);
    return 0;
}

int touch(int fd, uint64_t offset) {
    ENTER
    expect(offset < file_of(fd).size, "a byte written behind the end");
    return 0;
}

uint64_t clock_fine() { return system().now + (system().fine += 1000); } // moves, for those who spin
uint64_t clock_boot() { return system().now; }
int clock_coarse(clockid_t, timespec *ret_time) {
    *ret_time = test::time_of(clock_boot());
    return 0;
}
uint64_t clock_tick() { return tick; }

int clock_boot_offset(int64_t *ret_offset) {
    ENTER
    *ret_offset = 0;
    return 0;
}

int boot_id(uint8_t ret_id[16]) {
    ENTER
    std::memset(ret_id, system().boot, 16);
    return 0;
}

int random(void *ret_bytes, size_t size) {
    ENTER
    auto *to = static_cast<unsigned char *>(ret_bytes);
    for (size_t i = 0; i < size; ++i) {
        system().random = system().random * 6364136223846793005u + 1442695040888963407u;
        to[i] = static_cast<unsigned char>(system().random >> 56);
    }
    return 0;
}

uint32_t user() { return 0; }
const char *error_text(int) { return nullptr; }
int at_fork(void (*)(), void (*)(), void (*)()) { return 0; }

} // namespace

void die(const char *what, int64_t value) {
    std::fprintf(stderr, "found: %s (%lld)\n", what, static_cast<long long>(value));
    std::abort();
}

void system_begin() {
    os::Operations &table = os::operations;
    table.allocate = allocate;
    table.resize = resize;
    table.release = release;
    table.open_directory = open_directory;
    table.open = open;
    table.create = create;
    table.create_unnamed = create_unnamed;
    table.link = link;
    table.rename = rename;
    table.unlink = unlink;
    table.list = list;
    table.close = close;
    table.status = status;
    table.status_at = status_at;
    table.file_system = file_system;
    table.set_mode = set_mode;
    table.set_owner = set_owner;
    table.allocate_space = allocate_space;
    table.map = map;
    table.unmap = unmap;
    table.populate = populate;
    table.make_huge = make_huge;
    table.sync = sync;
    table.lock = lock;
    table.lock_whole = lock_whole;
    table.locked_by_other = locked_by_other;
    table.sleep_on = sleep_on;
    table.wake = wake;
    table.watch_open = watch_open;
    table.watch_close = watch_close;
    table.watch_alarm = watch_alarm;
    table.watch_drain = watch_drain;
    table.touch = touch;
    table.read_at = read_at;
    table.write_at = write_at;
    table.clock_fine = clock_fine;
    table.clock_coarse = clock_coarse;
    table.clock_tick = clock_tick;
    table.clock_boot_offset = clock_boot_offset;
    table.boot_id = boot_id;
    table.random = random;
    table.user = user;
    table.error_text = error_text;
    table.at_fork = at_fork;
    table.barrier_join = table.barrier = barrier;
    table.clock_boot = clock_boot;
}

void system_reset() {
    System &sys = system();
    expect(sys.mappings.empty(), "a mapping was not given back");
    expect(sys.allocations.empty(), "memory was not given back");
    expect(sys.watches == 0, "a watch was not given back");
    for (const Description &description : sys.descriptions) { expect(!description.exists(), "a descriptor was not given back"); }
    sys.used = 0;
    for (File &file : sys.files) { file.links = 0; }
    sys.names.clear();
    sys.medium = os::Medium::memory;
    sys.boot = 1;
    sys.now = uint64_t(1) << 50;
    sys.fine = sys.calls = sys.failing = 0;
    sys.random = 1;
    sys.budget = UINT64_MAX;
}

Image system_capture() {
    Image image;
    for (const Name &name : system().names) {
        const File &file = *name.file;
        image.push_back({name.text, std::string(reinterpret_cast<const char *>(file.bytes), size_t(file.size)), file.mode,
                         file.uid, file.links});
    }
    std::sort(image.begin(), image.end(), [](const Object &a, const Object &b) { return a.name < b.name; });
    return image;
}

void system_restore(const Image &image) {
    for (const Object &object : image) {
        File *file = new_file();
        expect(file && object.bytes.size() <= largest_file, "too much for the test");
        resize_file(*file, object.bytes.size());
        std::memcpy(file->bytes, object.bytes.data(), object.bytes.size());
        file->mode = object.mode;
        file->uid = object.uid;
        file->links = object.links;
        system().names.push_back({object.name, file});
    }
}

void system_overwrite(const Object &object) {
    Name *found = find_name(object.name);
    if (!found || object.bytes.size() > largest_file) { return; }
    resize_file(*found->file, object.bytes.size());
    std::memcpy(found->file->bytes, object.bytes.data(), object.bytes.size());
}

bool system_is_same(const Image &image, const std::string &but_for) {
    if (system().names.size() != image.size()) { return false; }
    for (const Object &object : image) {
        Name *found = find_name(object.name);
        if (!found || found->file->size != object.bytes.size() || found->file->mode != object.mode) { return false; }
        bool is_equal = std::memcmp(found->file->bytes, object.bytes.data(), object.bytes.size()) == 0;
        if (!is_equal && object.name != but_for) { return false; }
    }
    return true;
}

void system_set_medium(os::Medium medium) { system().medium = medium; }
void system_set_boot(uint8_t boot) { system().boot = boot; }
void system_pass_time(uint64_t ns) { system().now += ns; }

void system_fail(uint64_t call, int error) {
    system().failing = call;
    system().error = error;
}

void system_set_rewriter(void (*rewrite)()) { system().rewrite = rewrite; }

void system_set_budget(uint64_t calls) {
    system().calls = 0;
    system().budget = calls;
}

} // namespace speculo::fuzz
