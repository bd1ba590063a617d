// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ header alone, twice.
#include <speculo/speculo.hpp>
