// SPDX-License-Identifier: LGPL-2.1-or-later
// Error codes in words.
#pragma once

namespace speculo::core {

const char *error_text(int error);

} // namespace speculo::core
