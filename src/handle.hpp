// SPDX-License-Identifier: LGPL-2.1-or-later
// What every handle begins with.
#pragma once

#include "clock.hpp"
#include "control.hpp"
#include "fork.hpp"

enum class Role : uint32_t { reader = 1, writer };

struct speculo_area {
    speculo::core::OwnMark own; // the role, in the process that opened it
    Role role;
    uint64_t number; // no two handles of a process have the same
    speculo::core::Area area;
    speculo::core::Clock clock;

    bool is_own() const { return own.value != 0; }
    bool is_own(Role as) const { return own.value == uint32_t(as); }
};

namespace speculo::core {

// A zeroed handle of type T with an open directory; null, and the error.
speculo_area *handle_begin(const char *name, Role role, size_t size, int &ret_error);
void handle_end(speculo_area *handle);

template <class T> T *handle_new(const char *name, Role role, int &ret_error) {
    return static_cast<T *>(handle_begin(name, role, sizeof(T), ret_error));
}

} // namespace speculo::core
