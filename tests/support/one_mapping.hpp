// SPDX-License-Identifier: LGPL-2.1-or-later
// Gives every handle of this process the same mapping of an object, so that a race detector, which knows addresses and not
// objects, sees both sides. It also tells the detector what it cannot know: a lock that the kernel gives orders what was done
// before it was let go. Nothing else is ordered here: what a race needs to be ordered must come from the library.
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "os.hpp"

namespace speculo::test {

class OneMapping {
public:
    OneMapping() : real_(os::operations) {
        active() = this;
        os::operations.map = map;
        os::operations.unmap = unmap;
        os::operations.lock = lock;
    }
    ~OneMapping() { os::operations = real_; }
    OneMapping(const OneMapping &) = delete;
    OneMapping &operator=(const OneMapping &) = delete;

    // How many mappings were another handle's already.
    size_t shared() {
        std::lock_guard<std::mutex> guard(mutex_);
        return shared_;
    }

private:
    struct Mapping {
        uint64_t inode;
        void *address;
        size_t length, users;
    };

    static OneMapping *&active() {
        static OneMapping *one;
        return one;
    }

    static uint64_t inode_of(int fd) {
        os::FileStatus status{};
        active()->real_.status(fd, &status);
        return status.inode;
    }

    static int map(int fd, size_t length, os::Access access, void **ret_address) {
        OneMapping &self = *active();
        uint64_t inode = inode_of(fd);
        std::lock_guard<std::mutex> guard(self.mutex_);
        for (Mapping &mapping : self.mappings_) {
            if (mapping.inode != inode || mapping.length < length) { continue; }
            ++mapping.users;
            ++self.shared_;
            *ret_address = mapping.address;
            return 0;
        }
        int error = self.real_.map(fd, length, access, ret_address);
        if (error == 0) { self.mappings_.push_back({inode, *ret_address, length, 1}); }
        return error;
    }

    static void unmap(void *address, size_t) {
        OneMapping &self = *active();
        std::lock_guard<std::mutex> guard(self.mutex_);
        for (size_t i = 0; i < self.mappings_.size(); ++i) {
            Mapping mapping = self.mappings_[i];
            if (mapping.address != address) { continue; }
            if (--self.mappings_[i].users > 0) { return; }
            self.mappings_.erase(self.mappings_.begin() + long(i));
            return self.real_.unmap(mapping.address, mapping.length);
        }
    }

    static int lock(int fd, os::Lock lock, uint64_t first, uint64_t count) {
        OneMapping &self = *active();
        std::atomic<uint64_t> &order = self.order_[inode_of(fd) % self.order_.size()];
        if (lock == os::Lock::none) { order.fetch_add(1, std::memory_order_release); }
        int error = self.real_.lock(fd, lock, first, count);
        if (lock != os::Lock::none && error == 0) { order.fetch_add(1, std::memory_order_acquire); }
        return error;
    }

    os::Operations real_;
    std::mutex mutex_;
    std::vector<Mapping> mappings_;
    size_t shared_ = 0;
    std::array<std::atomic<uint64_t>, 1021> order_{};
};

} // namespace speculo::test
