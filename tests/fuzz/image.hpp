// SPDX-License-Identifier: LGPL-2.1-or-later
// Inputs that stand for the objects of an area: a sound one that this program has made, and edits of it.
//
//   byte 0   which of the sound ones           byte 2   the call of the system that fails, 0 none
//   byte 1   what the target is to do with it  byte 3   with which error
//   then edits of 12 bytes: kind, object, 16 bits "where", 64 bits "what"; little-endian
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include "system.hpp"

namespace speculo::fuzz {

inline constexpr const char *area_name = "a";

enum EditKind : uint8_t {
    edit_store32, // at the word "where" of 4 bytes
    edit_store64, // likewise
    edit_add,     // to the 32-bit word
    edit_flip,    // bits of the 64-bit word
    edit_header,  // stores 64 bits at the word "where" of 8 bytes, of the first 512 bytes
    edit_frame,   // stores commit and successor word of the frame at place "where"
    edit_id,      // stores id and flags there
    edit_fields,  // stores what follows
    edit_byte,    // stores one
    edit_resize,  // to "where" times 16 bytes
    edit_copy,    // of another object over this one
    edit_unname,  // the object's name goes
    edit_trait,   // mode, owner or links
    edit_word_of, // stores the 64-bit word at another place of the object
    edit_kinds
};

struct Edit {
    uint8_t kind, object;
    uint16_t where;
    uint64_t what;
};

inline constexpr size_t head_size = 4, edit_size = 12;
inline constexpr size_t most_edits = 64;

// An input taken apart.
struct Input {
    uint8_t base = 0, mode = 0, failing = 0, error = 0;
    const uint8_t *edits = nullptr;
    size_t count = 0;

    Input(const uint8_t *data, size_t size);
    Edit edit(size_t index) const;
};

// The image that the input stands for; with the first `count` of its edits.
Image build(const Input &input);
Image build(const Input &input, size_t count);
// Makes one edit; the object that has other bytes now, if there is one.
const Object *apply(Image &image, const Edit &edit);
// Sees to the rest: the medium, the failing call, and the budget.
void prepare(const Input &input);

int chosen_error(uint8_t index);

} // namespace speculo::fuzz
