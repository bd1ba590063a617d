// SPDX-License-Identifier: LGPL-2.1-or-later
#include "name.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include "os.hpp"

namespace speculo::core {

namespace {

constexpr size_t max_path_size = 4095;

bool is_name_byte(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_sound(const char *name, size_t size) {
    if (size == 0 || size > max_name_size || name[0] == '.') { return false; }
    for (size_t i = 0; i < size; ++i) {
        if (!is_name_byte(name[i])) { return false; }
    }
    return true;
}

int open_path(const char *path, size_t size) {
    char text[max_path_size + 1];
    if (size > max_path_size) { return -EINVAL; }
    std::memcpy(text, path, size);
    text[size] = '\0';
    return os::operations.open_directory(text);
}

// Writes `value` as `digits` digits of base 16.
char *put_hex(char *to, uint32_t value, int digits) {
    for (int i = digits - 1; i >= 0; --i) { *to++ = "0123456789abcdef"[(value >> (4 * i)) & 15]; }
    return to;
}

char *put_text(char *to, const char *text) {
    size_t size = std::strlen(text);
    std::memcpy(to, text, size); // NOLINT(bugprone-not-null-terminated-result): what follows ends it
    return to + size;
}

} // namespace

int place_open(const char *name, Place &ret_place) {
    size_t length = std::strlen(name);
    const char *slash = std::strrchr(name, '/');
    const char *last = slash ? slash + 1 : name;
    if (!is_sound(last, size_t(name + length - last)) || (slash && name[0] != '/')) { return -EINVAL; }

    bool is_path = slash && slash != name;
    int directory = is_path ? open_path(name, size_t(slash - name)) : os::operations.open_directory(os::shared_memory_directory);
    if (directory < 0) { return directory; }
    std::memcpy(ret_place.name, last, size_t(name + length - last) + 1);
    ret_place.directory = directory;
    return 0;
}

void place_close(Place &place) {
    if (int directory = std::exchange(place.directory, -1); directory >= 0) { os::operations.close(directory); }
}

ObjectName lock_name(const Place &place) {
    ObjectName name;
    *put_text(put_text(name.text, place.name), "@lock") = '\0';
    return name;
}

ObjectName bell_name(const Place &place) {
    ObjectName name;
    *put_text(put_text(name.text, place.name), "@bell") = '\0';
    return name;
}

ObjectName segment_name(const Place &place, uint32_t slot, uint32_t nonce) {
    ObjectName name;
    char *to = put_text(put_text(name.text, place.name), "@");
    if (slot >= 10) { *to++ = char('0' + slot / 10); }
    *to++ = char('0' + slot % 10);
    *to++ = '.';
    *put_hex(to, nonce, 8) = '\0';
    return name;
}

ObjectName temporary_name(const Place &place, uint32_t nonce) {
    ObjectName name;
    *put_hex(put_text(put_text(name.text, place.name), "@new."), nonce, 8) = '\0';
    return name;
}

bool is_same_name(const ObjectName &object, const char *name) { return std::strcmp(object.text, name) == 0; }

bool is_object_of(const Place &place, const char *name) {
    constexpr size_t longest_kind = 8, nonce_digits = 8;
    size_t size = std::strlen(place.name);
    if (std::strncmp(name, place.name, size) != 0 || name[size] != '@') { return false; }
    const char *suffix = name + size + 1;
    if (std::strcmp(suffix, "lock") == 0 || std::strcmp(suffix, "bell") == 0) { return true; }
    size_t kind = std::strspn(suffix, "0123456789abcdefghijklmnopqrstuvwxyz"); // a slot, new, or what a later version may have
    if (kind == 0 || kind > longest_kind || suffix[kind] != '.') { return false; }
    const char *nonce = suffix + kind + 1;
    return std::strspn(nonce, "0123456789abcdef") == nonce_digits && nonce[nonce_digits] == '\0';
}

} // namespace speculo::core
