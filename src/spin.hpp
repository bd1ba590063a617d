// SPDX-License-Identifier: LGPL-2.1-or-later
// For how long to look before a sleep. Usually a few microseconds, and not at all where news is far away.
//
// Two processes that answer each other would both sleep for ever once one of them has slept: each is woken later than the other
// looks. So after a sleep that was hardly longer than a wake-up takes, one look lasts longer than that; where it is in vain, ever
// fewer of them do.
#pragma once

#include <cstdint>

namespace speculo::core {

class Spin {
public:
    static constexpr uint64_t usual_ns = 5000, least_ns = 500;
    static constexpr uint64_t long_ns = 50000; // longer than the kernel takes to wake a process
    static constexpr uint64_t short_sleep_ns = 4 * long_ns;
    static constexpr uint32_t most_skipped = 63;

    // For how long to look before the next sleep.
    uint64_t ns() const { return ns_; }

    // Something came while it looked.
    void paid() { *this = Spin{}; }

    void slept(uint64_t ns) {
        bool was_long = ns_ == long_ns;
        if (ns > short_sleep_ns) {
            uint64_t half = (was_long ? usual_ns : ns_) / 2;
            ns_ = half < least_ns ? 0 : half;
            return;
        }
        if (was_long) { to_skip_ = patience_ = patience_ < most_skipped ? 2 * patience_ + 1 : most_skipped; }
        ns_ = to_skip_ == 0 ? long_ns : usual_ns;
        if (to_skip_ > 0) { --to_skip_; }
    }

private:
    uint64_t ns_ = usual_ns;
    uint32_t to_skip_ = 0;  // short sleeps until the next long look
    uint32_t patience_ = 0; // how many of them lie between two
};

} // namespace speculo::core
