// SPDX-License-Identifier: LGPL-2.1-or-later
// What an area tells about itself.
#pragma once

#include "speculo/speculo.h"

namespace speculo::core {

int area_info(speculo_area &area, uint32_t flags, speculo_area_info &ret_info);

} // namespace speculo::core
