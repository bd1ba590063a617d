// SPDX-License-Identifier: LGPL-2.1-or-later
// The area's clock: nanoseconds since the host was booted, whatever the time namespace.
#pragma once

#include <cstdint>

#include "os.hpp"

namespace speculo::core {

// Remembers the last reading: a cheap coarse clock tells whether a tick has passed since. What it says is never ahead of the
// time and at most one tick behind. One thread at a time; all zero is a good beginning.
struct Clock {
    uint64_t coarse, host;
    int64_t offset;
    uint64_t tick;
    bool known;
};

// Makes the clock usable. -EOPNOTSUPP where the host's clock cannot be known.
int clock_prepare(Clock &clock);

// The time of a clock that need not be prepared: 0 where it cannot be known. What else fails is an error, as it may pass.
int clock_first_now(Clock &clock, uint64_t &ret_now);

// The coarse clock has moved: reads the fine one.
uint64_t clock_read(Clock &clock, uint64_t coarse);

// The time, for judging expiry. The clock must be prepared.
inline uint64_t clock_now(Clock &clock) {
    uint64_t coarse = os::clock_coarse(); // read first: a tick in between makes the next call read again
    return __builtin_expect(coarse == clock.coarse, 1) ? clock.host : clock_read(clock, coarse);
}

// When something ends that is to live for `ttl_ns` from now on: never early. 0: never.
inline uint64_t clock_deadline(Clock &clock, uint64_t ttl_ns) {
    uint64_t latest = clock_now(clock) + clock.tick; // the reading may be a tick old
    return ttl_ns > UINT64_MAX - latest ? 0 : latest + ttl_ns;
}

// Whether a deadline (not 0) has passed.
constexpr bool has_passed(uint64_t deadline, uint64_t now) { return deadline <= now; }

} // namespace speculo::core
