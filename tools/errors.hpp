// SPDX-License-Identifier: LGPL-2.1-or-later
// What goes wrong: one line that says what to do, and the exit status.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace speculo::tool {

// Exit statuses; speculo(1) lists them.
enum class Status {
    done = 0,
    failed = 1,
    misused = 2, // arguments
    absent = 3,  // no such area, or key
    damaged = 4, // an area, or a recording
    denied = 5,
    busy = 6,   // a writer lives, or the name is taken
    full = 7,   // no room
    missed = 8, // --strict: chunks were passed over
};

class Failure : public std::runtime_error {
public:
    Failure(Status status, const std::string &message) : std::runtime_error(message), status_(status) {}
    Status status() const noexcept { return status_; }

private:
    Status status_;
};

// Whoever reads our output has gone: nothing to complain of.
struct BrokenPipe {};

// What the library's `error` says of the area `name`.
Failure area_failure(std::string_view name, int error);

// The same where it was to be read by a command that has --trust, to be made or written, to be removed: what helps is not the same.
Failure reading_failure(std::string_view name, int error);
Failure writing_failure(std::string_view name, int error);
Failure removal_failure(std::string_view name, int error);

// What the system's `error` says of `what`, commonly a file.
Failure system_failure(std::string_view what, int error);

// Says something on standard error, behind the command's name.
void set_command(std::string_view command);
void note(std::string_view message);

} // namespace speculo::tool
