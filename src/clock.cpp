// SPDX-License-Identifier: LGPL-2.1-or-later
#include "clock.hpp"

#include <cerrno>

namespace speculo::core {

int clock_prepare(Clock &clock) {
    if (clock.known) { return 0; }
    if (int error = os::operations.clock_boot_offset(&clock.offset); error < 0) { return error; }
    clock.tick = os::operations.clock_tick();
    clock.known = true;
    return 0;
}

int clock_first_now(Clock &clock, uint64_t &ret_now) {
    int error = clock_prepare(clock);
    if (error == 0) { ret_now = clock_now(clock); }
    if (error != -EOPNOTSUPP) { return error; }
    ret_now = 0;
    return 0;
}

uint64_t clock_read(Clock &clock, uint64_t coarse) {
    clock.coarse = coarse;
    clock.host = os::operations.clock_boot() - uint64_t(clock.offset);
    return clock.host;
}

} // namespace speculo::core
