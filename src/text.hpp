// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages: a pattern, each % of which stands for a value. Without the C library's formatting, which depends on locales.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace speculo::core {

struct Hex {
    uint32_t value; // shown with eight digits
};

// What a % stands for.
class Value {
public:
    Value(const char *text) : text_(text) {}
    Value(Hex hex) : number_(hex.value), base_(16), digits_(8) {}
    template <class Number> Value(Number number) : number_(number) {
        static_assert(std::is_unsigned_v<Number>, "there is no sign");
    }

private:
    friend class Text;
    const char *text_ = nullptr; // null: the number
    uint64_t number_ = 0;
    uint32_t base_ = 10, digits_ = 1;
};

// A line that is built up. What does not fit is cut off.
class Text {
public:
    // A % for which there is no value stays.
    void add(const char *pattern, const Value *values, const Value *end);
    const char *c_str() const { return bytes_; }

private:
    void add_value(const Value &value);
    void add_byte(char byte) {
        if (size_ + 1 < sizeof bytes_) { bytes_[size_++] = byte; }
    }

    char bytes_[768] = {}; // the longest name and the longest message
    size_t size_ = 0;
};

} // namespace speculo::core
