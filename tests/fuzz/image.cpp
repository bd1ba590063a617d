// SPDX-License-Identifier: LGPL-2.1-or-later
#include "image.hpp"

#include <cerrno>
#include <iterator>

#include "bases.hpp"
#include "layout.hpp"

namespace speculo::fuzz {

namespace {

constexpr uint64_t largest_object = 256 << 10;
constexpr uint64_t calls_of_a_run = 300000;

// Where chunks begin in segments of 4 KiB.
constexpr uint64_t chunks_offset = 2 * core::page_size;

void store(std::string &bytes, uint64_t offset, uint64_t value, size_t size) {
    if (bytes.size() < size) { return; }
    offset %= bytes.size() - size + 1;
    uint32_t half = uint32_t(value);
    if (size == 8) { std::memcpy(&bytes[offset], &value, 8); }
    if (size == 4) { std::memcpy(&bytes[offset], &half, 4); }
    if (size == 1) { bytes[offset] = char(value); }
}

template <class T> T load(const std::string &bytes, uint64_t offset) {
    T value = 0;
    if (bytes.size() >= sizeof(T)) { std::memcpy(&value, &bytes[offset % (bytes.size() - sizeof(T) + 1)], sizeof(T)); }
    return value;
}

void change_trait(Object &object, const Edit &edit) {
    switch (edit.where % 3) {
    case 0: object.mode = edit.what & 0777; break;
    case 1: object.uid = uint32_t(edit.what & 3); break;
    default: object.links = 1 + uint32_t(edit.what & 1);
    }
}

// Makes an edit of an object's bytes.
void change_bytes(const Image &image, std::string &bytes, const Edit &edit) {
    uint64_t word = uint64_t(edit.where) * 4, frame = chunks_offset + uint64_t(edit.where) * core::place_size;
    switch (edit.kind % edit_kinds) {
    case edit_store32: return store(bytes, word, edit.what, 4);
    case edit_store64: return store(bytes, word, edit.what, 8);
    case edit_add: return store(bytes, word, load<uint32_t>(bytes, word) + edit.what, 4);
    case edit_flip: return store(bytes, word, load<uint64_t>(bytes, word) ^ edit.what, 8);
    case edit_header: return store(bytes, edit.where % 64 * 8u, edit.what, 8);
    case edit_frame: return store(bytes, frame, edit.what, 8);
    case edit_id: return store(bytes, frame + 8, edit.what, 8);
    case edit_fields: return store(bytes, frame + 16, edit.what, 8);
    case edit_byte: return store(bytes, edit.where, edit.what, 1);
    case edit_resize: bytes.resize(uint64_t(edit.where) * 16 % largest_object); return;
    case edit_copy: bytes = std::string(image[edit.what % image.size()].bytes); return;
    default: return store(bytes, word, load<uint64_t>(bytes, (edit.what & 0xffff) * 4), 8);
    }
}

} // namespace

Input::Input(const uint8_t *data, size_t size) {
    if (size < head_size) { return; }
    base = data[0];
    mode = data[1];
    failing = data[2];
    error = data[3];
    edits = data + head_size;
    count = (size - head_size) / edit_size;
    if (count > most_edits) { count = most_edits; }
}

Edit Input::edit(size_t index) const {
    const uint8_t *from = edits + index * edit_size;
    Edit edit{from[0], from[1], uint16_t(from[2] | from[3] << 8), 0};
    for (int i = 7; i >= 0; --i) { edit.what = edit.what << 8 | from[4 + i]; }
    return edit;
}

const Object *apply(Image &image, const Edit &edit) {
    if (image.empty()) { return nullptr; }
    Object &object = image[edit.object % image.size()];
    switch (edit.kind % edit_kinds) {
    case edit_unname: image.erase(image.begin() + (&object - image.data())); return nullptr;
    case edit_trait: change_trait(object, edit); return nullptr;
    default: change_bytes(image, object.bytes, edit); return &object;
    }
}

Image build(const Input &input) { return build(input, input.count); }

Image build(const Input &input, size_t count) {
    const Base &base = bases()[input.base % bases().size()];
    Image image = base.image;
    for (size_t i = 0; i < count; ++i) { apply(image, input.edit(i)); }
    return image;
}

void prepare(const Input &input) {
    const Base &base = bases()[input.base % bases().size()];
    system_set_medium(base.medium);
    system_set_boot(base.boot);
    system_set_budget(calls_of_a_run);
    system_fail(input.failing, chosen_error(input.error));
}

int chosen_error(uint8_t index) {
    static const int errors[] = {EIO,   ENOMEM, ENOSPC, EMFILE, EACCES, EAGAIN, ENOENT,    EEXIST,
                                 EPERM, ENOLCK, EFBIG,  EDQUOT, ENODEV, EINTR,  EOPNOTSUPP};
    return errors[index % std::size(errors)];
}

} // namespace speculo::fuzz
