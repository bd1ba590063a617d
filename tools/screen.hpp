// SPDX-License-Identifier: LGPL-2.1-or-later
// A whole terminal, for what is redrawn in place. It is as before when this ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace speculo::tool {

enum class Key { none, other, up, down, page_up, page_down, home, end, enter, back };

struct Pressed {
    Key key = Key::none;
    char letter = '\0'; // for Key::other
};

class Screen {
public:
    Screen(); // a Failure where there is no terminal, or one that is not known
    ~Screen();
    Screen(const Screen &) = delete;
    Screen &operator=(const Screen &) = delete;

    size_t rows() const;
    size_t columns() const;

    enum class Look { plain, bold, reverse, good, bad, dim };

    // A picture is begun, gets lines from the top down, and appears as a whole.
    void begin();
    void line(const std::string &text, Look look = Look::plain); // printable; clipped to the width
    size_t rows_left() const;
    void last_line(const std::string &text);
    void show();

    // Waits for a key. A window that changed its size ends it as well.
    Pressed wait(uint64_t timeout_ns);

private:
    size_t row_ = 0;
    bool has_colour_ = false;
};

} // namespace speculo::tool
