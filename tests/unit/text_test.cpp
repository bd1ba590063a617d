// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages: what stands for a %, and what happens where there is too little or too much.
#include "text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace speculo::core;

template <class... Values> std::string text_of(const char *pattern, Values... values) {
    const Value all[] = {Value(values)..., Value("")};
    Text text;
    text.add(pattern, all, all + sizeof...(values));
    return text.c_str();
}

TEST(Text, each_percent_stands_for_the_next_value) {
    EXPECT_EQ(text_of("place %: chunk % of %", 7u, uint64_t(8), "area"), "place 7: chunk 8 of area");
    EXPECT_EQ(text_of("%%", "a", "%"), "a%"); // what a value brings is no pattern
    EXPECT_EQ(text_of("nothing"), "nothing");
}

TEST(Text, numbers_from_the_least_to_the_largest) {
    EXPECT_EQ(text_of("% % %", 0u, 10u, UINT64_MAX), "0 10 18446744073709551615");
    EXPECT_EQ(text_of("% % %", Hex{0}, Hex{0xa5}, Hex{UINT32_MAX}), "00000000 000000a5 ffffffff");
}

TEST(Text, a_percent_without_a_value_stays) { EXPECT_EQ(text_of("% and %", 1u), "1 and %"); }

TEST(Text, what_does_not_fit_is_cut_off) {
    std::string much(1000, 'x');
    Text text;
    const Value value(much.c_str());
    text.add("%", &value, &value + 1);
    EXPECT_EQ(text.c_str(), much.substr(0, 767));
    text.add("more", nullptr, nullptr);
    EXPECT_EQ(text.c_str(), much.substr(0, 767));
}

} // namespace
