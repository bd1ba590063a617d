// SPDX-License-Identifier: LGPL-2.1-or-later
// Memory whose end is flush with a page that nobody may touch: one byte too far is a crash.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include <sys/mman.h>
#include <unistd.h>

#include "os.hpp"

namespace speculo::test {

class Guarded {
public:
    explicit Guarded(size_t size) : page_(size_t(sysconf(_SC_PAGESIZE))), size_(size) {
        whole_ = (size + page_ - 1) / page_ * page_ + page_;
        void *address = mmap(nullptr, whole_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (address == MAP_FAILED) { std::abort(); }
        base_ = static_cast<std::byte *>(address);
        if (mprotect(base_ + whole_ - page_, page_, PROT_NONE) < 0) { std::abort(); }
    }
    ~Guarded() { munmap(base_, whole_); }
    Guarded(const Guarded &) = delete;
    Guarded &operator=(const Guarded &) = delete;

    std::byte *begin() const { return end() - size_; }
    std::byte *end() const { return base_ + whole_ - page_; }

private:
    size_t page_, size_, whole_;
    std::byte *base_;
};

// Lets every mapping of the library end at such a page.
class GuardedMappings {
public:
    GuardedMappings() : before_(os::operations) {
        real() = before_;
        os::operations.map = map;
        os::operations.unmap = unmap;
    }
    ~GuardedMappings() { os::operations = before_; }
    GuardedMappings(const GuardedMappings &) = delete;
    GuardedMappings &operator=(const GuardedMappings &) = delete;

private:
    static os::Operations &real() {
        static os::Operations operations;
        return operations;
    }
    static size_t whole(size_t length) {
        size_t page = size_t(sysconf(_SC_PAGESIZE));
        return (length + page - 1) / page * page + page;
    }
    static int map(int fd, size_t length, os::Access access, void **ret_address) {
        void *room = mmap(nullptr, whole(length), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) { return -ENOMEM; }
        int protection = access == os::Access::read ? PROT_READ : PROT_READ | PROT_WRITE;
        if (mmap(room, length, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
            int error = errno;
            munmap(room, whole(length));
            return -error;
        }
        *ret_address = room;
        return 0;
    }
    static void unmap(void *address, size_t length) { munmap(address, whole(length)); }

    os::Operations before_;
};

} // namespace speculo::test
