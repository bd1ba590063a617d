// SPDX-License-Identifier: LGPL-2.1-or-later
#include "screen.hpp"

#include <cstdio>
#include <cstdlib>
#include <unistd.h>

#define NCURSES_NOMACROS
#define NCURSES_WIDECHAR 1
#include <curses.h>

#include "errors.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

constexpr short good_pair = 1, bad_pair = 2;

Pressed meaning_of(int key) {
    switch (key) {
    case ERR: return {};
    case KEY_UP: return {Key::up, '\0'};
    case KEY_DOWN: return {Key::down, '\0'};
    case KEY_PPAGE: return {Key::page_up, '\0'};
    case KEY_NPAGE: return {Key::page_down, '\0'};
    case KEY_HOME: return {Key::home, '\0'};
    case KEY_END: return {Key::end, '\0'};
    case KEY_ENTER:
    case '\r':
    case '\n': return {Key::enter, '\0'};
    case KEY_BACKSPACE:
    case KEY_LEFT:
    case '\b':
    case 0x7f:
    case 0x1b: return {Key::back, '\0'};
    default: return {Key::other, key > 0 && key < 0x80 ? char(key) : '\0'};
    }
}

SCREEN *terminal = nullptr;

} // namespace

Screen::Screen() {
    if (!is_terminal(STDIN_FILENO) || !is_terminal(STDOUT_FILENO)) {
        throw Failure(Status::misused, "this takes a terminal for input and output");
    }
    terminal = ::newterm(nullptr, stdout, stdin);
    if (!terminal) {
        const char *kind = std::getenv("TERM");
        throw Failure(Status::failed, std::string("terminals of the kind '") + (kind ? kind : "") + "' are not known; set TERM");
    }
    const char *refused = std::getenv("NO_COLOR");
    has_colour_ = !(refused && *refused != '\0') && ::has_colors() && ::start_color() == OK;
    if (has_colour_) {
        ::use_default_colors();
        ::init_pair(good_pair, COLOR_GREEN, -1);
        ::init_pair(bad_pair, COLOR_RED, -1);
    }
    ::cbreak();
    ::noecho();
    ::nonl();
    ::keypad(stdscr, TRUE);
    ::set_escdelay(25);
    ::curs_set(0);
}

Screen::~Screen() {
    ::endwin();
    ::delscreen(terminal);
}

size_t Screen::rows() const { return size_t(LINES > 0 ? LINES : 1); }
size_t Screen::columns() const { return size_t(COLS > 0 ? COLS : 1); }

void Screen::begin() {
    ::werase(stdscr);
    row_ = 0;
}

size_t Screen::rows_left() const { return row_ < rows() ? rows() - row_ : 0; }

void Screen::line(const std::string &text, Look look) {
    if (rows_left() == 0) { return; }
    attr_t attributes = A_NORMAL;
    switch (look) {
    case Look::plain: break;
    case Look::bold: attributes = A_BOLD; break;
    case Look::reverse: attributes = A_REVERSE; break;
    case Look::good: attributes = has_colour_ ? COLOR_PAIR(good_pair) : A_NORMAL; break;
    case Look::bad: attributes = has_colour_ ? COLOR_PAIR(bad_pair) | A_BOLD : A_BOLD; break;
    case Look::dim: attributes = A_DIM; break;
    }
    std::string clip = clipped(text, columns());
    if (look == Look::reverse) { clip = padded(clip, columns(), false); }
    ::wattrset(stdscr, int(attributes));
    ::wmove(stdscr, int(row_), 0);
    ::waddnstr(stdscr, clip.c_str(), -1); // in the last corner it is an error, and there all the same
    ::wattrset(stdscr, A_NORMAL);
    ++row_;
}

void Screen::last_line(const std::string &text) {
    if (rows_left() == 0) { return; }
    row_ = rows() - 1;
    line(text, Look::dim);
}

void Screen::show() { ::wrefresh(stdscr); }

Pressed Screen::wait(uint64_t timeout_ns) {
    ::wtimeout(stdscr, int(timeout_ns / 1000000));
    return meaning_of(::wgetch(stdscr));
}

} // namespace speculo::tool
