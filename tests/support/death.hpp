// SPDX-License-Identifier: LGPL-2.1-or-later
// Processes that die at a chosen operation of the system below: right before it, without a trace of their own.
#pragma once

#include <cstdint>
#include <functional>

#include <sys/mman.h>
#include <unistd.h>

#include "child.hpp"
#include "os.hpp"

namespace speculo::test {

inline constexpr int has_died = 99; // exit status
inline constexpr int has_lived = 0;

// In the process that is to die. Nothing takes it back.
class Death {
public:
    // Before the call number `call`, counted from now on.
    static void come_before(uint64_t call) {
        using O = os::Operations;
        left = call;
        real = os::operations;
        install<&O::allocate, &O::resize, &O::open_directory, &O::open, &O::create, &O::create_unnamed, &O::link, &O::rename,
                &O::unlink, &O::list, &O::close, &O::status, &O::status_at, &O::file_system, &O::set_mode, &O::set_owner,
                &O::allocate_space, &O::map, &O::unmap, &O::populate, &O::make_huge, &O::sync, &O::lock, &O::lock_whole,
                &O::boot_id, &O::random>();
    }

private:
    template <auto member> struct Hook;
    template <typename Result, typename... Arguments, Result (*os::Operations::*member)(Arguments...)> struct Hook<member> {
        static Result call(Arguments... arguments) {
            if (--left == 0) { _exit(has_died); }
            return (real.*member)(arguments...);
        }
    };
    template <auto... members> static void install() { ((os::operations.*members = Hook<members>::call), ...); }

    static inline uint64_t left = 0;
    static inline os::Operations real{};
};

// A number that a child leaves behind.
class SharedNumber {
public:
    SharedNumber()
        : number_(static_cast<uint64_t *>(
              mmap(nullptr, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
    ~SharedNumber() { munmap(number_, sizeof(uint64_t)); }
    SharedNumber(const SharedNumber &) = delete;
    SharedNumber &operator=(const SharedNumber &) = delete;
    uint64_t &value() { return *number_; }

private:
    uint64_t *number_;
};

// Runs `body` in children that die before the first, the second, ... operation, and `after` behind each, until one lives on.
// Returns how many died.
inline uint64_t die_everywhere(const std::function<void()> &body, const std::function<void(uint64_t)> &after) {
    for (uint64_t call = 1;; ++call) {
        int status = run_in_child([&] {
            Death::come_before(call);
            body();
            return has_lived;
        });
        after(call);
        if (status != has_died) { return status == has_lived ? call - 1 : 0; }
    }
}

} // namespace speculo::test
