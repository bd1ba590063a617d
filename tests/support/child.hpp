// SPDX-License-Identifier: LGPL-2.1-or-later
// Child processes of tests: forked ones that run a piece of the test, and programs that are talked to line by line. None of them
// outlives its object.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace speculo::test {

inline constexpr int child_timeout_ms = 60000; // a hundred processes on a machine that is busy with others' take their time
inline constexpr int timed_out = -1;
inline constexpr int killed_by = 128; // plus the signal

class Process {
public:
    Process(const Process &) = delete;
    Process &operator=(const Process &) = delete;

    pid_t pid() const { return pid_; }
    bool is_running();
    void signal(int number);
    // Its exit status, killed_by + signal, or timed_out: then it was killed.
    int wait(int timeout_ms = child_timeout_ms);

protected:
    Process() = default;
    ~Process(); // kills it
    void take(pid_t pid) { pid_ = pid; }

private:
    bool poll();

    pid_t pid_ = -1; // -1: gone
    int status_ = timed_out;
};

// A fork that runs `body`, whose result becomes the exit status. No destructor of the parent's runs there.
class Child : public Process {
public:
    explicit Child(const std::function<int()> &body);
};

// Runs `body` in a fork, to its end.
int run_in_child(const std::function<int()> &body, int timeout_ms = child_timeout_ms);

// Another program, with pipes to its standard input and output.
class Program : public Process {
public:
    // The path of the program, and its arguments.
    explicit Program(const std::vector<std::string> &command);
    ~Program();

    bool write_line(const std::string &line);
    // The next line of its output, without the newline; "" at the end or when the time is over.
    std::string read_line(int timeout_ms = child_timeout_ms);
    void close_input();

private:
    int input_ = -1, output_ = -1;
    std::string read_ahead_;
};

} // namespace speculo::test
