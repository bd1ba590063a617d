// SPDX-License-Identifier: LGPL-2.1-or-later
#include "clock.hpp"

#include "os.hpp"

namespace speculo::core {

int clock_prepare(Clock &clock) {
    if (clock.known) { return 0; }
    if (int error = os::operations.clock_boot_offset(&clock.offset); error < 0) { return error; }
    clock.tick = os::operations.clock_tick();
    clock.known = true;
    return 0;
}

uint64_t clock_now(Clock &clock) {
    uint64_t coarse = os::operations.clock_coarse();
    if (coarse != clock.coarse) {
        clock.coarse = coarse; // read first: a tick in between makes the next call read again
        clock.host = os::operations.clock_boot() - uint64_t(clock.offset);
    }
    return clock.host;
}

uint64_t clock_deadline(Clock &clock, uint64_t ttl_ns) {
    uint64_t latest = clock_now(clock) + clock.tick; // the reading may be a tick old
    return ttl_ns > UINT64_MAX - latest ? 0 : latest + ttl_ns;
}

} // namespace speculo::core
