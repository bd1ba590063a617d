// SPDX-License-Identifier: LGPL-2.1-or-later
// The terminal, signals, and the descriptors that we were given.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace speculo::tool {

// ---- the process ----------------------------------------------------------------------------------------------------------------

// Puts something unusable in the place of a standard descriptor that is closed, so that no area gets its number.
void guard_descriptors();

// From here on SIGINT, SIGTERM and SIGHUP ask to stop, and a broken pipe is an error code.
void catch_signals();

// The signal that asked to stop; 0: none.
int stopped();

// Ends the process as `signal` would have done, so that a shell sees why.
[[noreturn]] void end_by(int signal);

// Sleeps, but not on when asked to stop.
void pause_for(uint64_t ns);

// Waits until `fd` has input, or its end. False: asked to stop, or `timeout_ns` (if not 0) is over.
bool wait_for_input(int fd, uint64_t timeout_ns = 0);

// Whether there is input, or its end, at once.
bool has_input(int fd);

// Whether whoever reads from `fd` has gone.
bool is_abandoned(int fd);

uint64_t monotonic_now();

// ---- the screen -----------------------------------------------------------------------------------------------------------------

bool is_terminal(int fd);

// Columns of the terminal; 0: `fd` is none, so there is no limit.
size_t columns_of(int fd);

enum class Style { plain, bold, good, bad, dim };

// Marks a text for the terminal on `fd`: only if it is one, and nobody said NO_COLOR.
std::string styled(std::string_view text, Style style, int fd);

bool is_utf8(); // what the locale takes

// Nothing in it steers a terminal, and it is all one line: other bytes become \x1b, \n and the like.
std::string printable(std::string_view bytes);

// How many columns a printable text takes, and its beginning that fits into `columns`.
size_t width_of(std::string_view text);
std::string clipped(std::string_view text, size_t columns);
std::string padded(std::string text, size_t columns, bool to_the_right);

// ---- progress -------------------------------------------------------------------------------------------------------------------

// A line on standard error that is drawn over, where that is a terminal.
class Progress {
public:
    Progress();
    ~Progress();
    Progress(const Progress &) = delete;
    Progress &operator=(const Progress &) = delete;

    bool is_due(); // at most some times a second
    void show(const std::string &text);
    void clear();

private:
    bool is_live_;
    bool is_drawn_ = false;
    uint64_t due_ = 0;
};

// "1.2GiB, 300MiB/s" and, where the end is known, "24%".
std::string transfer_text(uint64_t bytes, uint64_t total, uint64_t since_ns);

} // namespace speculo::tool
