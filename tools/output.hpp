// SPDX-License-Identifier: LGPL-2.1-or-later
// Standard output: buffered, its errors noticed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace speculo::tool {

// Writes all of it. A Failure that names `what`; BrokenPipe if the other end has gone; Stopped if asked to stop meanwhile.
void write_all(int fd, std::string_view bytes, std::string_view what);

// Asked to stop in the middle of something.
struct Stopped {};

// To standard output, through a buffer. What is large goes there straight from where it lies.
void print(std::string_view bytes);
void flush_output();
bool output_is_terminal();

// A table that fits the terminal: what does not fit is left out, the least important columns first.
class Table {
public:
    struct Column {
        const char *title;
        bool to_the_right;
        int importance; // 0: stays, and is clipped if need be
    };

    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

    // As lines of at most `limit` columns (0: no limit); the first is the header. Cells must be printable.
    std::vector<std::string> lines(size_t limit) const;
    void print() const;

private:
    std::vector<size_t> widths(size_t limit) const;

    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

} // namespace speculo::tool
