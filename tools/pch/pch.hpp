// SPDX-License-Identifier: LGPL-2.1-or-later
// What takes long to compile, once. No file relies on it.
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
