// SPDX-License-Identifier: LGPL-2.1-or-later
// The forms in which chunks are printed.
#pragma once

#include <string>

#include <speculo/speculo.hpp>

#include "options.hpp"

namespace speculo::tool {

enum class Form { text, raw, hex, json };

// --raw, --text, --hex, --json.
void add_forms(CLI::App *command, Form &form);

// text: the payload, ended by a newline; to a terminal nothing that steers it. raw: the payload alone. hex: a header and a dump.
// json: a line with everything.
void print_chunk(const speculo::chunk &chunk, Form form);

// The beginning of a payload in one printable line.
std::string preview(std::string_view payload, size_t columns);

} // namespace speculo::tool
