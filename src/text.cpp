// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text.hpp"

namespace speculo::core {

void Text::add(const char *pattern, const Value *values, const Value *end) {
    for (; *pattern != 0; ++pattern) {
        if (*pattern == '%' && values != end) {
            add_value(*values++);
        } else {
            add_byte(*pattern);
        }
    }
}

void Text::add_value(const Value &value) {
    if (value.text_) {
        for (const char *text = value.text_; *text != 0; ++text) { add_byte(*text); }
        return;
    }
    char digits[20]; // of the largest number
    uint32_t count = 0;
    for (uint64_t rest = value.number_; rest != 0 || count < value.digits_; rest /= value.base_) {
        digits[count++] = "0123456789abcdef"[rest % value.base_];
    }
    while (count > 0) { add_byte(digits[--count]); }
}

} // namespace speculo::core
