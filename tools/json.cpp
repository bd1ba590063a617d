// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.hpp"

#include "output.hpp"

namespace speculo::tool {

std::string base64(std::string_view bytes) {
    static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t group = 0;
        for (size_t k = 0; k < 3; ++k) {
            group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0);
        }
        for (size_t k = 0; k < 4; ++k) { text += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63] : '='; }
    }
    return text;
}

namespace {

bool is_text(std::string_view bytes) {
    try {
        [[maybe_unused]] std::string dumped = Json(bytes).dump();
        return true;
    } catch (const Json::type_error &) { return false; }
}

} // namespace

void put_bytes(Json &object, const std::string &name, std::string_view bytes) {
    if (is_text(bytes)) {
        object[name] = bytes;
    } else {
        object[name + "_base64"] = base64(bytes);
    }
}

Json json_of(const speculo::chunk &chunk) {
    Json object = {{"id", chunk.id()}, {"size", chunk.size()}};
    if (chunk.native().key_size > 0) { put_bytes(object, "key", chunk.key()); }
    if (chunk.tag() != 0) { object["tag"] = chunk.tag(); }
    if (chunk.native().expires_ns != 0) { object["expires_ns"] = chunk.native().expires_ns; }
    if (chunk.transient()) { object["transient"] = true; }
    if (chunk.removed()) { object["removed"] = true; }
    return object;
}

Json json_of(const Glance &glance) {
    Json object = {{"name", glance.name}, {"state", state_of(glance)}};
    if (glance.owner) { object["owner"] = user_name(*glance.owner); }
    if (glance.age_ns) { object["age_ns"] = *glance.age_ns; }
    if (glance.error != 0) {
        object["error"] = speculo_strerror(glance.error);
        return object;
    }
    const area_info &info = glance.info;
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", info.mode & 0777);
    object["mode"] = mode;
    object["capacity"] = info.capacity;
    object["used"] = info.used;
    object["newest_id"] = info.newest_id;
    object["compactions"] = info.generation - 1;
    object["segments"] = info.segments;
    object["memory"] = info.memory;
    if (glance.is_counted) {
        object["live_chunks"] = info.live_chunks;
        object["live_bytes"] = info.live_bytes;
        object["expired_chunks"] = info.expired_chunks;
        object["superseded_chunks"] = info.superseded_chunks;
        object["keys"] = glance.keys;
    }
    return object;
}

void print_json(const Json &value) { print(value.dump(2) + '\n'); }

void print_json_line(const Json &value) { print(value.dump() + '\n'); }

} // namespace speculo::tool
