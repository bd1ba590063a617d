// SPDX-License-Identifier: LGPL-2.1-or-later
// Numbers as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace speculo::tool {

// "64MiB", "64M" and "1.5G" count in 1024s, "64MB" in 1000s, "4096" is bytes. Nothing if it is no size, or beyond 64 bits.
std::optional<uint64_t> parse_size(std::string_view text);

// "250ms", "5s", "1h30min", in nanoseconds; a bare number is seconds.
std::optional<uint64_t> parse_duration(std::string_view text);

// Decimal digits and nothing else.
std::optional<uint64_t> parse_number(std::string_view text);

// Permission bits of an area, where only the owner writes: "0644", "644".
std::optional<uint32_t> parse_mode(std::string_view text);

std::string format_size(uint64_t bytes);               // "64MiB", "1.5GiB", "512B"
std::string format_duration(uint64_t ns);              // "250ms", "1.2s", "3.5min"
std::string format_count(uint64_t number);             // "999", "1.2k", "3.4M"
std::string format_decimal(double number, int places); // without a locale

} // namespace speculo::tool
