// SPDX-License-Identifier: LGPL-2.1-or-later
// The C header alone, twice, in C++.
#include <speculo/speculo.h>

static_assert(noexcept(speculo_now()), "the C calls throw nothing");
