// SPDX-License-Identifier: LGPL-2.1-or-later
// A process that is run one instruction at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <sys/types.h>

namespace speculo::test {

class Tracee {
public:
    // Forks. `body` begins with the first go_on(); what it returns is the exit status.
    explicit Tracee(const std::function<int()> &body);
    ~Tracee(); // kills it
    Tracee(const Tracee &) = delete;
    Tracee &operator=(const Tracee &) = delete;

    // Lets it run to its next trap(), or for one instruction. False: it has ended, see ending().
    bool go_on();
    bool step();

    // The instruction that comes next; and whether one is a system call.
    uintptr_t place() const;
    static bool is_system_call(uintptr_t place);

    const std::string &ending() const { return ending_; }

private:
    bool resume(int request);

    pid_t pid_;
    std::string ending_;
};

// What the process that is traced stops at.
inline void trap() { __asm__ volatile("int3" ::: "memory"); }

// Where the code of a shared library lies, in this process and in those that it forks.
struct CodeRange {
    uintptr_t base = 0, begin = 0, end = 0;
    bool contains(uintptr_t place) const { return place >= begin && place < end; }
};
CodeRange code_of(const char *library);

} // namespace speculo::test
