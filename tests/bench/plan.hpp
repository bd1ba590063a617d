// SPDX-License-Identifier: LGPL-2.1-or-later
// What a program is to measure, from its command line, and how it tells what it found.
#pragma once

#include <cinttypes>
#include <initializer_list>
#include <utility>

#include "two_processes.hpp"

namespace bench {

// WHAT [NAME=NUMBER | WORD]...
struct Plan {
    std::string what;
    size_t size = 64;
    uint64_t messages = 1000;
    uint64_t bytes = 1 << 20; // of memory, all in all
    uint64_t segments = 4;    // that an area divides it into
    uint64_t readers = 1;
    uint64_t keys = 100;
    uint64_t rest = 0; // pauses of an area's reader after a look in vain, besides the one that all take
    int channel = 0;
    std::vector<std::string> words;

    Plan(int argc, char **argv) {
        check(argc > 1, "what is to be measured?");
        what = argv[1];
        for (int i = 2; i < argc; ++i) { add(argv[i]); }
    }
    bool has(const char *word) const { return std::find(words.begin(), words.end(), word) != words.end(); }

private:
    void add(const std::string &text) {
        size_t equals = text.find('=');
        if (equals == std::string::npos) { return words.push_back(text); }
        std::string name = text.substr(0, equals);
        uint64_t value = std::strtoull(text.c_str() + equals + 1, nullptr, 10);
        if (name == "size") {
            size = value;
        } else if (name == "messages") {
            messages = value;
        } else if (name == "bytes") {
            bytes = value;
        } else if (name == "segments") {
            segments = value;
        } else if (name == "readers") {
            readers = value;
        } else if (name == "keys") {
            keys = value;
        } else if (name == "rest") {
            rest = value;
        } else {
            fail("what is that number?");
        }
    }
};

inline void print_figures(std::initializer_list<std::pair<const char *, double>> figures) {
    const char *before = "{";
    for (const auto &[name, value] : figures) {
        std::printf("%s\"%s\": %.3f", before, name, value);
        before = ", ";
    }
    std::printf("}\n");
}

} // namespace bench
