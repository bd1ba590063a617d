// SPDX-License-Identifier: LGPL-2.1-or-later
// How far readers trust in this run.
#pragma once

#include <cstdint>
#include <cstdlib>

#include <speculo/speculo.h>

namespace speculo::test {

// Every test of readers is run a second time with this set: then they trust the writer in nothing.
inline bool are_readers_untrusting() {
    static const bool is_set = std::getenv("SPECULO_TEST_UNTRUSTED");
    return is_set;
}
inline uint32_t with_trust(uint32_t flags) {
    return (flags & SPECULO_OPEN_WRITE) || !are_readers_untrusting() ? flags : flags | SPECULO_OPEN_UNTRUSTED;
}

} // namespace speculo::test
