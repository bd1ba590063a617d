// SPDX-License-Identifier: LGPL-2.1-or-later
#include "terminal.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <cwchar>
#include <fcntl.h>
#include <langinfo.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "units.hpp"

namespace speculo::tool {

// ---- the process ----------------------------------------------------------------------------------------------------------------

namespace {

constexpr uint64_t second = 1000000000, millisecond = 1000000;
constexpr uint64_t slice = 250 * millisecond; // a signal that comes right before a sleep is not overslept for longer

volatile std::sig_atomic_t stop_signal = 0;

void on_stop(int signal) { stop_signal = signal; }

} // namespace

void guard_descriptors() {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        if (::fcntl(fd, F_GETFD) >= 0) { continue; }
        // The lowest free number is this one; the wrong way to open it makes each use an error.
        [[maybe_unused]] int opened = ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); // NOLINT(*-cloexec)
    }
}

void catch_signals() {
    struct sigaction action = {};
    sigemptyset(&action.sa_mask);
    action.sa_handler = SIG_IGN;
    ::sigaction(SIGPIPE, &action, nullptr);
    action.sa_handler = on_stop; // without SA_RESTART: what sleeps or reads ends at once
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction inherited = {};
        ::sigaction(signal, nullptr, &inherited);
        if (inherited.sa_handler != SIG_IGN) { ::sigaction(signal, &action, nullptr); } // not in nohup, nor behind a shell's &
    }
}

int stopped() { return int(stop_signal); }

void end_by(int signal) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
    std::_Exit(128 + signal); // it is blocked
}

void pause_for(uint64_t ns) {
    uint64_t end = monotonic_now() + ns;
    for (uint64_t now = monotonic_now(); now < end && !stopped(); now = monotonic_now()) {
        uint64_t left = end - now < slice ? end - now : slice;
        timespec time = {time_t(left / second), long(left % second)};
        ::nanosleep(&time, nullptr);
    }
}

bool wait_for_input(int fd, uint64_t timeout_ns) {
    uint64_t end = monotonic_now() + timeout_ns;
    while (!stopped()) {
        uint64_t now = monotonic_now();
        if (timeout_ns != 0 && now >= end) { return false; }
        uint64_t most = timeout_ns != 0 && end - now < slice ? end - now : slice;
        pollfd input = {fd, POLLIN, 0};
        int ready = ::poll(&input, 1, int((most + millisecond - 1) / millisecond));
        if (ready > 0) { return true; }
    }
    return false;
}

bool has_input(int fd) {
    pollfd input = {fd, POLLIN, 0};
    return ::poll(&input, 1, 0) > 0;
}

bool is_abandoned(int fd) {
    pollfd output = {fd, 0, 0};
    return ::poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0;
}

uint64_t monotonic_now() {
    timespec now = {};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * second + uint64_t(now.tv_nsec);
}

// ---- the screen -----------------------------------------------------------------------------------------------------------------

bool is_terminal(int fd) { return ::isatty(fd) == 1; }

size_t columns_of(int fd) {
    winsize size = {};
    if (!is_terminal(fd)) { return 0; }
    return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string styled(std::string_view text, Style style, int fd) {
    static constexpr const char *marks[] = {"", "\033[1m", "\033[32m", "\033[1;31m", "\033[2m"};
    const char *refused = std::getenv("NO_COLOR");
    const char *kind = std::getenv("TERM");
    bool is_plain =
        style == Style::plain || !is_terminal(fd) || (refused && *refused != '\0') || !kind || !std::strcmp(kind, "dumb");
    if (is_plain) { return std::string(text); }
    return marks[size_t(style)] + std::string(text) + "\033[0m";
}

bool is_utf8() { return std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0; }

namespace {

// The next character: how many bytes it has, and its columns; -1: it is none, or not to be shown.
size_t next_character(std::string_view text, int &ret_columns) {
    auto first = static_cast<unsigned char>(text[0]);
    ret_columns = first >= ' ' && first < 0x7f ? 1 : -1;
    if (first < 0x80) { return 1; }
    wchar_t character = 0;
    std::mbstate_t state = {};
    size_t size = std::mbrtowc(&character, text.data(), text.size(), &state);
    if (size == 0 || size > text.size()) { return 1; }
    ret_columns = ::wcwidth(character);
    return size;
}

void put_escaped(std::string &to, unsigned char byte) {
    static constexpr char digits[] = "0123456789abcdef";
    switch (byte) {
    case '\n': to += "\\n"; break;
    case '\t': to += "\\t"; break;
    case '\r': to += "\\r"; break;
    default: (((to += "\\x") += digits[byte >> 4]) += digits[byte & 15]);
    }
}

} // namespace

std::string printable(std::string_view bytes) {
    std::string text;
    while (!bytes.empty()) {
        int columns = 0;
        size_t size = next_character(bytes, columns);
        if (columns >= 0) {
            text += bytes.substr(0, size);
        } else {
            for (char byte : bytes.substr(0, size)) { put_escaped(text, static_cast<unsigned char>(byte)); }
        }
        bytes.remove_prefix(size);
    }
    return text;
}

size_t width_of(std::string_view text) {
    size_t width = 0;
    while (!text.empty()) {
        int columns = 0;
        text.remove_prefix(next_character(text, columns));
        width += columns > 0 ? size_t(columns) : 0;
    }
    return width;
}

std::string clipped(std::string_view text, size_t columns) {
    size_t taken = 0, width = 0;
    while (taken < text.size()) {
        int more = 0;
        size_t size = next_character(text.substr(taken), more);
        if (width + size_t(more > 0 ? more : 0) > columns) { break; }
        width += size_t(more > 0 ? more : 0);
        taken += size;
    }
    return std::string(text.substr(0, taken));
}

std::string padded(std::string text, size_t columns, bool to_the_right) {
    size_t width = width_of(text);
    if (width >= columns) { return text; }
    return to_the_right ? std::string(columns - width, ' ') + text : text + std::string(columns - width, ' ');
}

// ---- progress -------------------------------------------------------------------------------------------------------------------

Progress::Progress() : is_live_(is_terminal(STDERR_FILENO)) {}

Progress::~Progress() { clear(); }

bool Progress::is_due() {
    if (!is_live_) { return false; }
    uint64_t now = monotonic_now();
    if (due_ == 0) { due_ = now + second; } // what is done in a second needs no progress
    if (now < due_) { return false; }
    due_ = now + second / 4;
    return true;
}

void Progress::show(const std::string &text) {
    if (!is_live_) { return; }
    size_t columns = columns_of(STDERR_FILENO);
    std::string line = '\r' + clipped(text, columns > 1 ? columns - 1 : 1) + "\033[K";
    is_drawn_ = true;
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

void Progress::clear() {
    if (!is_drawn_) { return; }
    is_drawn_ = false;
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, "\r\033[K", 4);
}

std::string transfer_text(uint64_t bytes, uint64_t total, uint64_t since_ns) {
    uint64_t passed = monotonic_now() - since_ns;
    double rate = passed > 0 ? double(bytes) * double(second) / double(passed) : 0;
    std::string text = format_size(bytes) + ", " + format_size(uint64_t(rate)) + "/s";
    if (total > 0) { text = std::to_string(uint64_t(100.0 * double(bytes) / double(total))) + "%, " + text; }
    return text;
}

} // namespace speculo::tool
