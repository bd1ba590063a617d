// SPDX-License-Identifier: LGPL-2.1-or-later
// What the subcommands print with --json.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "areas.hpp"

namespace speculo::tool {

using Json = nlohmann::ordered_json;

std::string base64(std::string_view bytes);

// Bytes as text where they are, else in base64: `name` or `name`_base64.
void put_bytes(Json &object, const std::string &name, std::string_view bytes);

// All that a view tells, but its payload.
Json json_of(const speculo::chunk &chunk);
Json json_of(const Glance &glance);

// One value, on lines of its own.
void print_json(const Json &value);

// One value in one line.
void print_json_line(const Json &value);

} // namespace speculo::tool
