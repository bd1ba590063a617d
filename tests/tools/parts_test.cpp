// SPDX-License-Identifier: LGPL-2.1-or-later
// The parts of the command that are no processes: numbers, text, tables, sums.
#include <clocale>

#include <gtest/gtest.h>

#include "areas.hpp"
#include "errors.hpp"
#include "output.hpp"
#include "payload.hpp"
#include "recording.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {
namespace {

TEST(Units, SizesAreParsed) {
    EXPECT_EQ(parse_size("0"), 0);
    EXPECT_EQ(parse_size("4096"), 4096);
    EXPECT_EQ(parse_size("64MiB"), 64 << 20);
    EXPECT_EQ(parse_size("64M"), 64 << 20);
    EXPECT_EQ(parse_size("64MB"), 64000000);
    EXPECT_EQ(parse_size("1.5KiB"), 1536);
    EXPECT_EQ(parse_size("7B"), 7);
    EXPECT_EQ(parse_size("2GiB"), uint64_t(2) << 30);
    EXPECT_EQ(parse_size("18446744073709551615"), UINT64_MAX);
}

TEST(Units, WhatIsNoSizeIsNone) {
    for (const char *text : {"", "MiB", "-1", "+1", " 1", "1 ", "1 MiB", "1mib", "1.", ".5", "1MiB2", "1e3", "0x10",
                             "18446744073709551616", "16777216TiB", "99999999999999999999999"}) {
        EXPECT_EQ(parse_size(text), std::nullopt) << text;
    }
}

TEST(Units, DurationsAreParsed) {
    EXPECT_EQ(parse_duration("250ms"), 250000000);
    EXPECT_EQ(parse_duration("5"), 5000000000);
    EXPECT_EQ(parse_duration("0.5s"), 500000000);
    EXPECT_EQ(parse_duration("1h30min"), uint64_t(5400) * 1000000000);
    EXPECT_EQ(parse_duration("2m"), uint64_t(120) * 1000000000);
    EXPECT_EQ(parse_duration("10us"), 10000);
    EXPECT_EQ(parse_duration("7ns"), 7);
    EXPECT_EQ(parse_duration("1d"), uint64_t(86400) * 1000000000);
}

TEST(Units, WhatIsNoDurationIsNone) {
    for (const char *text : {"", "s", "-1s", "1 s", "1s ", "1s-", "1S", "1.s", "300000d", "1ms2x", "18446744073709551615ns1ns"}) {
        EXPECT_EQ(parse_duration(text), std::nullopt) << text;
    }
}

TEST(Units, NumbersAndModes) {
    EXPECT_EQ(parse_number("12"), 12);
    EXPECT_EQ(parse_number("-1"), std::nullopt);
    EXPECT_EQ(parse_number("1x"), std::nullopt);
    EXPECT_EQ(parse_number(""), std::nullopt);
    EXPECT_EQ(parse_mode("0644"), 0644);
    EXPECT_EQ(parse_mode("644"), 0644);
    for (const char *text : {"", "0", "0666", "0620", "0755", "0700", "0010", "1777", "8", "rw", "644 "}) {
        EXPECT_EQ(parse_mode(text), std::nullopt) << text;
    }
}

TEST(Units, SizesArePrinted) {
    EXPECT_EQ(format_size(0), "0B");
    EXPECT_EQ(format_size(999), "999B");
    EXPECT_EQ(format_size(1000), "0.98KiB");
    EXPECT_EQ(format_size(1024), "1KiB");
    EXPECT_EQ(format_size(1536), "1.5KiB");
    EXPECT_EQ(format_size(64 << 20), "64MiB");
    EXPECT_EQ(format_size((uint64_t(5) << 30) + (uint64_t(300) << 20)), "5.29GiB");
    EXPECT_EQ(format_size(UINT64_MAX), "16EiB");
}

TEST(Units, DurationsArePrinted) {
    EXPECT_EQ(format_duration(0), "0ns");
    EXPECT_EQ(format_duration(999), "999ns");
    EXPECT_EQ(format_duration(1500), "1.5us");
    EXPECT_EQ(format_duration(250000000), "250ms");
    EXPECT_EQ(format_duration(uint64_t(90) * 1000000000), "1.5min");
    EXPECT_EQ(format_duration(uint64_t(86400) * 1000000000), "1d");
    EXPECT_EQ(format_duration(uint64_t(100) * 86400 * 1000000000), "100d");
}

TEST(Units, CountsArePrinted) {
    EXPECT_EQ(format_count(0), "0");
    EXPECT_EQ(format_count(999), "999");
    EXPECT_EQ(format_count(1000), "1k");
    EXPECT_EQ(format_count(1234567), "1.23M");
}

class Text : public testing::Test {
protected:
    void SetUp() override { ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr); }
};

TEST_F(Text, NothingSteersTheTerminal) {
    EXPECT_EQ(printable("plain"), "plain");
    EXPECT_EQ(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
    EXPECT_EQ(printable("\x1b[31m"), "\\x1b[31m");
    EXPECT_EQ(printable(std::string_view("\0x", 2)), "\\x00x");
    EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
    EXPECT_EQ(printable("\xc3"), "\\xc3");
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "\\xc2\\x9b"
              "31m"); // a control character of eight bits
}

TEST_F(Text, WidthsAreThoseOfTheScreen) {
    EXPECT_EQ(width_of("abc"), 3);
    EXPECT_EQ(width_of("\xc3\xbc"), 1);
    EXPECT_EQ(width_of("\xe6\xbc\xa2"), 2); // a wide character
    EXPECT_EQ(clipped("\xe6\xbc\xa2\xe6\xbc\xa2", 3), "\xe6\xbc\xa2");
    EXPECT_EQ(clipped("abc", 2), "ab");
    EXPECT_EQ(padded("\xc3\xbc", 3, true), "  \xc3\xbc");
    EXPECT_EQ(padded("abc", 2, true), "abc");
}

TEST_F(Text, ATableFitsAnyWidth) {
    Table table({{"NAME", false, 0}, {"SIZE", true, 1}, {"MORE", false, 2}});
    table.add({"a-long-name", "1KiB", "x"});
    table.add({"b", "512B", "longer"});
    EXPECT_EQ(table.lines(0),
              (std::vector<std::string>{"NAME         SIZE  MORE", "a-long-name  1KiB  x", "b            512B  longer"}));
    EXPECT_EQ(table.lines(25), table.lines(0));
    EXPECT_EQ(table.lines(24), (std::vector<std::string>{"NAME         SIZE", "a-long-name  1KiB", "b            512B"}));
    EXPECT_EQ(table.lines(16), (std::vector<std::string>{"NAME", "a-long-name", "b"}));
    EXPECT_EQ(table.lines(3), (std::vector<std::string>{"NAM", "a-l", "b"}));
}

TEST_F(Text, APreviewIsOneLine) {
    EXPECT_EQ(preview("a line\n", 80), "a line");
    EXPECT_EQ(preview("two\nlines", 80), "two\\nlines");
    EXPECT_EQ(preview("clipped", 3), "cli");
    EXPECT_EQ(preview("", 80), "");
}

TEST(Recording, SumsAreThoseOfEveryoneElse) {
    EXPECT_EQ(crc32(0, "123456789"), 0xcbf43926);
    EXPECT_EQ(crc32(0, ""), 0);
    EXPECT_EQ(crc32(crc32(0, "1234"), "56789"), 0xcbf43926);
    EXPECT_EQ(crc32(0, "The quick brown fox jumps over the lazy dog"), 0x414fa339);
}

TEST(Errors, EachSaysWhatToDo) {
    EXPECT_EQ(area_failure("x", -ENOENT).status(), Status::absent);
    EXPECT_EQ(area_failure("x", -EBUSY).status(), Status::busy);
    EXPECT_EQ(area_failure("x", -EBADMSG).status(), Status::damaged);
    EXPECT_EQ(area_failure("x", -EACCES).status(), Status::denied);
    EXPECT_EQ(area_failure("x", -ENOSPC).status(), Status::full);
    EXPECT_EQ(area_failure("x", -EMFILE).status(), Status::failed);
    EXPECT_EQ(area_failure("a b", -EINVAL).status(), Status::misused);
    EXPECT_NE(std::string(area_failure("cam", -EBADMSG).what()).find("speculo rm cam"), std::string::npos);
    EXPECT_NE(std::string(area_failure("a b", -EINVAL).what()).find("a name is"), std::string::npos);
    EXPECT_EQ(std::string(area_failure("cam", -EINVAL).what()).find("a name is"), std::string::npos);
}

bool says(const Failure &failure, const char *text) { return std::string(failure.what()).find(text) != std::string::npos; }

TEST(Errors, OnlyWhatCanBeDoneIsAdvised) {
    EXPECT_TRUE(says(reading_failure("cam", -EPERM), "--trust"));
    EXPECT_FALSE(says(area_failure("cam", -EPERM), "--trust"));
    EXPECT_TRUE(says(reading_failure("cam", -EACCES), "--mode"));
    EXPECT_FALSE(says(writing_failure("/none/cam", -EACCES), "--mode"));
    EXPECT_FALSE(says(writing_failure("/none/cam", -ENOENT), "speculo list"));
    EXPECT_EQ(removal_failure("cam", -EBADMSG).status(), Status::damaged);
    EXPECT_FALSE(says(removal_failure("cam", -EBADMSG), "speculo rm")); // that has just been tried
    EXPECT_TRUE(says(removal_failure("cam", -EBUSY), "another process"));
}

TEST(Names, AreWhatTheLibraryTakes) {
    for (const char *name : {"weather", "/weather", "/run/x/weather", "A-z_0.9"}) { EXPECT_TRUE(is_sound_name(name)) << name; }
    for (const char *name : {"", ".x", "a b", "a@lock", "/run/x/", "\xc3\xbc"}) { EXPECT_FALSE(is_sound_name(name)) << name; }
    EXPECT_TRUE(is_sound_name(std::string(200, 'x')));
    EXPECT_FALSE(is_sound_name(std::string(201, 'x')));
    EXPECT_EQ(area_name_of("weather"), "weather");
    EXPECT_EQ(area_name_of("/run/weather"), "/run/weather");
    EXPECT_EQ(area_name_of("./weather").front(), '/');
}

} // namespace
} // namespace speculo::tool
