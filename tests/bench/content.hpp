// SPDX-License-Identifier: LGPL-2.1-or-later
// What benchmarks send: every word is written, and every word is looked at.
#pragma once

#include "two_processes.hpp"

namespace bench {

// Peers hand out memory of any alignment.
using Word [[gnu::may_alias, gnu::aligned(1)]] = uint64_t;

template <size_t size> void fill(void *data, uint64_t number) {
    auto *words = static_cast<Word *>(data);
    for (size_t i = 0; i < size / sizeof(Word); ++i) { words[i] = number + i; }
}

template <size_t size> bool is_content(const void *data, uint64_t number) {
    constexpr uint64_t count = size / sizeof(Word);
    const auto *words = static_cast<const Word *>(data);
    uint64_t sum = 0;
    for (size_t i = 0; i < count; ++i) { sum += words[i]; }
    return words[0] == number && sum == count * number + count * (count - 1) / 2;
}

template <size_t size> void check_content(const void *data, uint64_t number) {
    check(is_content<size>(data, number), "a message is wrong");
}

// The number that a message begins with, if the rest agrees.
template <size_t size> uint64_t number_of(const void *data) {
    uint64_t number = *static_cast<const Word *>(data);
    check_content<size>(data, number);
    return number;
}

} // namespace bench
