// SPDX-License-Identifier: LGPL-2.1-or-later
#include "units.hpp"

#include <charconv>
#include <cmath>
#include <iterator>

namespace speculo::tool {

namespace {

struct Unit {
    std::string_view name;
    uint64_t factor;
};

constexpr uint64_t kibi = 1024, mebi = kibi * 1024, gibi = mebi * 1024, tebi = gibi * 1024;
constexpr uint64_t us = 1000, ms = us * 1000, s = ms * 1000, min = s * 60, h = min * 60, d = h * 24;

constexpr Unit sizes[] = {
    {"", 1},       {"B", 1},        {"K", kibi},        {"k", kibi},           {"KiB", kibi}, {"M", mebi},
    {"MiB", mebi}, {"G", gibi},     {"GiB", gibi},      {"T", tebi},           {"TiB", tebi}, {"kB", 1000},
    {"KB", 1000},  {"MB", 1000000}, {"GB", 1000000000}, {"TB", 1000000000000},
};
constexpr Unit times[] = {{"", s}, {"ns", 1}, {"us", us}, {"ms", ms}, {"s", s}, {"m", min}, {"min", min}, {"h", h}, {"d", d}};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

size_t count_digits(std::string_view text, size_t from) {
    size_t end = from;
    while (end < text.size() && is_digit(text[end])) { ++end; }
    return end - from;
}

// Takes "12" or "1.5" off the front of `text`: the whole part, and the part behind the point as a fraction.
bool take_amount(std::string_view &text, uint64_t &ret_whole, double &ret_fraction) {
    size_t whole = count_digits(text, 0);
    if (whole == 0) { return false; }
    auto parsed = std::from_chars(text.data(), text.data() + whole, ret_whole);
    if (parsed.ec != std::errc()) { return false; }
    text.remove_prefix(whole);
    ret_fraction = 0;
    if (text.empty() || text[0] != '.') { return true; }
    size_t digits = count_digits(text, 1);
    if (digits == 0) { return false; }
    double weight = 1;
    for (size_t i = 1; i <= digits; ++i) { ret_fraction += (weight /= 10) * (text[i] - '0'); }
    text.remove_prefix(digits + 1);
    return true;
}

const Unit *take_unit(std::string_view &text, const Unit *units, size_t count) {
    size_t end = 0;
    while (end < text.size() && !is_digit(text[end])) { ++end; }
    for (const Unit *unit = units; unit != units + count; ++unit) {
        if (unit->name == text.substr(0, end)) {
            text.remove_prefix(end);
            return unit;
        }
    }
    return nullptr;
}

// One amount with its unit, added to `sum`.
bool take_term(std::string_view &text, const Unit *units, size_t count, uint64_t &sum) {
    uint64_t whole = 0;
    double fraction = 0;
    if (!take_amount(text, whole, fraction)) { return false; }
    const Unit *unit = take_unit(text, units, count);
    if (!unit || whole > UINT64_MAX / unit->factor) { return false; }
    uint64_t term = whole * unit->factor;
    auto rest = uint64_t(std::llround(fraction * double(unit->factor)));
    if (rest > UINT64_MAX - term || term + rest > UINT64_MAX - sum) { return false; }
    sum += term + rest;
    return true;
}

// At most three digits that count, without zeros at the end behind a point.
std::string scaled(double value, const char *unit) {
    std::string text = format_decimal(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
    if (text.find('.') != std::string::npos) {
        text.erase(text.find_last_not_of('0') + 1);
        if (text.back() == '.') { text.pop_back(); }
    }
    return text + unit;
}

} // namespace

std::optional<uint64_t> parse_size(std::string_view text) {
    uint64_t bytes = 0;
    if (!take_term(text, sizes, std::size(sizes), bytes) || !text.empty()) { return {}; }
    return bytes;
}

std::optional<uint64_t> parse_duration(std::string_view text) {
    uint64_t ns = 0;
    do {
        if (!take_term(text, times, std::size(times), ns)) { return {}; }
    } while (!text.empty());
    return ns;
}

std::optional<uint64_t> parse_number(std::string_view text) {
    uint64_t number = 0;
    if (text.empty() || count_digits(text, 0) != text.size()) { return {}; }
    auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc()) { return {}; }
    return number;
}

std::optional<uint32_t> parse_mode(std::string_view text) {
    constexpr uint32_t readable = 0644; // nobody but the owner writes, and nothing is to be executed
    uint32_t mode = 0;
    auto parsed = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || mode == 0 || (mode & ~readable) != 0) {
        return {};
    }
    return mode;
}

std::string format_decimal(double number, int places) {
    char text[64];
    auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::fixed, places);
    return {text, end.ptr};
}

std::string format_size(uint64_t bytes) {
    static constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    auto value = double(bytes);
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(units)) {
        value /= 1024;
        ++unit;
    }
    return scaled(value, units[unit]);
}

std::string format_duration(uint64_t ns) {
    static constexpr Unit steps[] = {{"d", d}, {"h", h}, {"min", min}, {"s", s}, {"ms", ms}, {"us", us}};
    for (const Unit &step : steps) {
        if (ns >= step.factor) { return scaled(double(ns) / double(step.factor), step.name.data()); }
    }
    return std::to_string(ns) + "ns";
}

std::string format_count(uint64_t number) {
    static constexpr const char *units[] = {"", "k", "M", "G", "T", "P", "E"};
    auto value = double(number);
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < std::size(units)) {
        value /= 1000;
        ++unit;
    }
    return scaled(value, units[unit]);
}

} // namespace speculo::tool
