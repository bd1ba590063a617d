// SPDX-License-Identifier: LGPL-2.1-or-later
#include "output.hpp"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <unistd.h>

#include "errors.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

constexpr size_t buffer_size = 64 << 10;
constexpr size_t gap = 2; // between columns

std::string buffer;

// What an error of write() means; returns if it is to be tried again.
void judge(int fd, int error, std::string_view what) {
    if (error == EPIPE) { throw BrokenPipe(); }
    if (error == EAGAIN) {
        pollfd output = {fd, POLLOUT, 0};
        ::poll(&output, 1, 250);
    } else if (error != EINTR) {
        throw system_failure(what, error);
    }
    if (stopped()) { throw Stopped(); }
}

} // namespace

void write_all(int fd, std::string_view bytes, std::string_view what) {
    while (!bytes.empty()) {
        ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0) {
            judge(fd, errno, what);
        } else {
            bytes.remove_prefix(size_t(written));
        }
    }
}

void print(std::string_view bytes) {
    if (buffer.size() + bytes.size() > buffer_size) { flush_output(); }
    if (bytes.size() >= buffer_size / 2) {
        write_all(STDOUT_FILENO, bytes, "standard output");
    } else {
        buffer += bytes;
    }
}

void flush_output() {
    std::string pending;
    pending.swap(buffer); // what fails is not tried again at the end
    write_all(STDOUT_FILENO, pending, "standard output");
    pending.clear();
    buffer.swap(pending);
}

bool output_is_terminal() {
    static const bool is = is_terminal(STDOUT_FILENO);
    return is;
}

// ---- tables ---------------------------------------------------------------------------------------------------------------------

// The width of each column; 0: left out.
std::vector<size_t> Table::widths(size_t limit) const {
    std::vector<size_t> widths;
    size_t total = 0;
    for (size_t i = 0; i < columns_.size(); ++i) {
        size_t width = width_of(columns_[i].title);
        for (const auto &row : rows_) { width = std::max(width, width_of(row[i])); }
        widths.push_back(width);
        total += width + gap;
    }
    total -= gap;
    while (limit > 0 && total > limit) {
        size_t least = 0;
        for (size_t i = 0; i < columns_.size(); ++i) {
            if (widths[i] > 0 && columns_[i].importance > 0 &&
                (columns_[least].importance == 0 || columns_[i].importance > columns_[least].importance || widths[least] == 0)) {
                least = i;
            }
        }
        if (columns_[least].importance == 0 || widths[least] == 0) { break; }
        total -= widths[least] + gap;
        widths[least] = 0;
    }
    return widths;
}

std::vector<std::string> Table::lines(size_t limit) const {
    std::vector<size_t> wide = widths(limit);
    std::vector<std::string> lines;
    auto add_line = [&](auto cell_of) {
        std::string line;
        for (size_t i = 0; i < columns_.size(); ++i) {
            if (wide[i] == 0) { continue; }
            if (!line.empty()) { line += std::string(gap, ' '); }
            line += padded(cell_of(i), wide[i], columns_[i].to_the_right);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        lines.push_back(limit > 0 ? clipped(line, limit) : line);
    };
    add_line([&](size_t i) { return std::string(columns_[i].title); });
    for (const auto &row : rows_) {
        add_line([&](size_t i) { return row[i]; });
    }
    return lines;
}

void Table::print() const {
    bool is_header = true;
    for (const std::string &line : lines(columns_of(STDOUT_FILENO))) {
        tool::print(styled(line, is_header ? Style::bold : Style::plain, STDOUT_FILENO) + '\n');
        is_header = false;
    }
}

} // namespace speculo::tool
