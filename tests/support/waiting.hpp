// SPDX-License-Identifier: LGPL-2.1-or-later
// Handles for tests of waiting, and commits of one small transient chunk that checks itself.
#pragma once

#include <poll.h>
#include <speculo/speculo.h>

#include "payload.hpp"

namespace speculo::test {

constexpr int64_t second_ns = 1000000000;

inline speculo_area *open_writer(const char *name, uint32_t flags = 0, uint32_t mode = 0) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = 64 << 10;
    options.flags = flags;
    options.mode = mode;
    speculo_area *area = nullptr;
    speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area);
    return area;
}

inline speculo_area *open_reader(const char *name, uint32_t trusted_uid = 0) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.flags = trusted_uid ? SPECULO_AREA_TRUST_UID : 0;
    options.trusted_uid = trusted_uid;
    speculo_area *area = nullptr;
    speculo_area_open(name, SPECULO_OPEN_READ, &options, &area);
    return area;
}

inline int commit_one(speculo_area *writer, size_t size = 64) {
    void *data;
    uint64_t id;
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.flags = SPECULO_CHUNK_TRANSIENT;
    if (int error = speculo_chunk_alloc(writer, size, &options, &data, &id); error != 0) { return error; }
    fill_payload(data, size, id, 0, 0);
    return speculo_commit(writer);
}

// How many there were to read, or an error.
inline int read_all(speculo_area *reader) {
    speculo_chunk chunk{};
    int count = 0, found;
    while ((found = speculo_read_next(reader, &chunk)) == 1) {
        if (!check_payload(chunk.data, chunk.size, chunk.id)) { return -EBADMSG; }
        ++count;
    }
    return found < 0 ? found : count;
}

// Lets the descriptor say when to look. 1, or what went wrong.
inline int wait_by_descriptor(speculo_area *reader) {
    int fd = speculo_area_get_fd(reader);
    if (fd < 0) { return fd; }
    for (;;) {
        if (int found = speculo_area_dispatch(reader); found != 0) { return found; }
        pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, 1000) != 1) { return -ETIMEDOUT; }
    }
}

} // namespace speculo::test
