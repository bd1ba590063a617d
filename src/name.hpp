// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of areas and of the objects that belong to them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace speculo::core {

inline constexpr size_t max_name_size = 200;
inline constexpr size_t object_name_size = max_name_size + 32; // with what follows the '@'

// The last part of an area's name, and the directory it is in, kept open so that all objects come from the same place.
struct Place {
    int directory = -1;
    char name[max_name_size + 1];
};

// Checks a name and opens its directory. -EINVAL for a bad name.
int place_open(const char *name, Place &ret_place);
void place_close(Place &place);

struct ObjectName {
    char text[object_name_size];
};
ObjectName lock_name(const Place &place);
ObjectName bell_name(const Place &place);
ObjectName segment_name(const Place &place, uint32_t slot, uint32_t nonce);
ObjectName temporary_name(const Place &place, uint32_t nonce);

bool is_same_name(const ObjectName &object, const char *name);

// Whether `name` is one that an object of the area can have, beside the control page; so that no other program's file is taken for one.
bool is_object_of(const Place &place, const char *name);

} // namespace speculo::core
