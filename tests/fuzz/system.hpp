// SPDX-License-Identifier: LGPL-2.1-or-later
// A system below the library that is all in memory: one directory of files, their mappings and locks, and clocks that move when
// told. It makes no system call, so that hundreds of thousands of areas can be opened in a second, and is stricter than the real one:
// bytes behind the end of a file are poison to the address sanitizer, whole pages or not.
//
// For one thread, and for areas of a few segments of 4 KiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "os.hpp"

namespace speculo::fuzz {

// Says what went wrong, and ends the process: a finding.
[[noreturn]] void die(const char *what, int64_t value);
inline void expect(bool is_so, const char *what, int64_t value = 0) {
    if (!is_so) { die(what, value); }
}

// A file as it is kept outside of the system.
struct Object {
    std::string name, bytes;
    uint32_t mode = 0600, uid = 0, links = 1;
};
using Image = std::vector<Object>; // in the order of their names

// Puts itself in place of the real one.
void system_begin();

// Forgets every file. Whatever was open, mapped or allocated must have been given back.
void system_reset();

Image system_capture();
void system_restore(const Image &image);
// Another process writes and truncates: the file of that name, if there is one, gets these bytes.
void system_overwrite(const Object &object);
// Called before each copy of bytes of a file; null: nobody is.
void system_set_rewriter(void (*rewrite)());
// Whether the files are as they were.
bool system_is_same(const Image &image, const std::string &but_for);

void system_set_medium(os::Medium medium);
void system_set_boot(uint8_t boot);
void system_pass_time(uint64_t ns);
// The call of that number from now on fails with `error` if it is one that can; 0: none does.
void system_fail(uint64_t call, int error);
// How many calls the library may make until the next reset: more is a hang.
void system_set_budget(uint64_t calls);

} // namespace speculo::fuzz
