// SPDX-License-Identifier: LGPL-2.1-or-later
// What a clock that is set by a test gives to those who read it as clock_gettime() does.
#pragma once

#include <cstdint>
#include <ctime>

namespace speculo::test {

inline timespec time_of(uint64_t ns) {
    constexpr uint64_t second = 1000000000;
    return {time_t(ns / second), long(ns % second)};
}

} // namespace speculo::test
