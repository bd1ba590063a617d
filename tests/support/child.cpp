// SPDX-License-Identifier: LGPL-2.1-or-later
#include "child.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SPECULO_TEST_COVERAGE
extern "C" void __gcov_dump(); // NOLINT(bugprone-reserved-identifier): gcc's
#endif

namespace speculo::test {

namespace {

// What a child has run counts too, where that is counted.
void keep_counts() {
#ifdef SPECULO_TEST_COVERAGE
    __gcov_dump();
#endif
}

using Clock = std::chrono::steady_clock;

constexpr int cannot_start = 127;

int remaining_ms(Clock::time_point end) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    return left > 0 ? int(left) : 0;
}

// Short at first, so that quick children cost little.
void pause_before_retry(unsigned retry) { usleep(retry < 20 ? 50 : retry < 100 ? 500 : 5000); }

pid_t fork_cleanly() {
    std::fflush(nullptr); // or both would print what is buffered
    pid_t pid = fork();
    if (pid < 0) { std::abort(); }
    return pid;
}

struct Pipe {
    int ends[2];
    Pipe() {
        if (pipe2(ends, O_CLOEXEC) < 0) { std::abort(); }
    }
};

} // namespace

// ---- any process ------------------------------------------------------------------------------------------------------------

Process::~Process() {
    if (is_running()) {
        signal(SIGKILL);
        wait();
    }
}

bool Process::poll() {
    int status;
    if (pid_ < 0) { return true; }
    if (waitpid(pid_, &status, WNOHANG) != pid_) { return false; }
    status_ = WIFSIGNALED(status) ? killed_by + WTERMSIG(status) : WEXITSTATUS(status);
    pid_ = -1;
    return true;
}

bool Process::is_running() { return !poll(); }

void Process::signal(int number) {
    if (pid_ > 0) { kill(pid_, number); }
}

int Process::wait(int timeout_ms) {
    auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (unsigned retry = 0; !poll(); ++retry) {
        if (Clock::now() >= end) {
            signal(SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
            return timed_out;
        }
        pause_before_retry(retry);
    }
    return status_;
}

// ---- forks --------------------------------------------------------------------------------------------------------------------

Child::Child(const std::function<int()> &body) {
    pid_t pid = fork_cleanly();
    if (pid == 0) {
        int status = body();
        std::fflush(nullptr);
        keep_counts();
        _exit(status);
    }
    take(pid);
}

int run_in_child(const std::function<int()> &body, int timeout_ms) { return Child(body).wait(timeout_ms); }

// ---- programs -----------------------------------------------------------------------------------------------------------------

Program::Program(const std::vector<std::string> &command) {
    std::vector<char *> arguments;
    for (const std::string &argument : command) { arguments.push_back(const_cast<char *>(argument.c_str())); }
    arguments.push_back(nullptr);
    std::signal(SIGPIPE, SIG_IGN); // a program that is gone is an error of write_line()
    Pipe input, output;
    pid_t pid = fork_cleanly();
    if (pid == 0) {
        std::signal(SIGPIPE, SIG_DFL);
        dup2(input.ends[0], STDIN_FILENO);
        dup2(output.ends[1], STDOUT_FILENO);
        execv(arguments[0], arguments.data());
        _exit(cannot_start);
    }
    take(pid);
    close(input.ends[0]);
    close(output.ends[1]);
    input_ = input.ends[1];
    output_ = output.ends[0];
}

Program::~Program() {
    close_input();
    close(output_);
}

bool Program::write_line(const std::string &line) {
    std::string text = line + "\n";
    return write(input_, text.data(), text.size()) == ssize_t(text.size());
}

std::string Program::read_line(int timeout_ms) {
    auto end = Clock::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
        size_t newline = read_ahead_.find('\n');
        if (newline != std::string::npos) {
            std::string line = read_ahead_.substr(0, newline);
            read_ahead_.erase(0, newline + 1);
            return line;
        }
        pollfd ready = {output_, POLLIN, 0};
        if (::poll(&ready, 1, remaining_ms(end)) <= 0) { return ""; }
        char bytes[512];
        ssize_t count = read(output_, bytes, sizeof bytes);
        if (count <= 0) { return ""; }
        read_ahead_.append(bytes, size_t(count));
    }
}

void Program::close_input() {
    if (input_ >= 0) { close(input_); }
    input_ = -1;
}

} // namespace speculo::test
