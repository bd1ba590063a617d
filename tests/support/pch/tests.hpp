// SPDX-License-Identifier: LGPL-2.1-or-later
// What most tests include. A compiler that gains by it reads this once instead of once for each of them (tests/meson.build); a test
// includes what it uses nevertheless.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>
