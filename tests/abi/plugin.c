/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plugin that shares a chunk with itself. host.c loads and unloads it. */
#include <speculo/speculo.h>

#include <string.h>

static const char text[] = "hello from a plugin";

static int publish(const char *name, speculo_area **ret_writer) {
    speculo_area_options options;
    void *data;
    int error;

    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = 64 << 10;
    error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE, &options, ret_writer);
    if (error < 0) return error;
    error = speculo_chunk_alloc(*ret_writer, sizeof text, NULL, &data, NULL);
    if (error < 0) return error;
    memcpy(data, text, sizeof text);
    return speculo_commit(*ret_writer);
}

/* 1: the chunk is there. */
static int read_back(const char *name) {
    speculo_area *reader;
    speculo_chunk chunk;
    int result = speculo_area_open(name, SPECULO_OPEN_READ, NULL, &reader);
    if (result < 0) return result;
    result = speculo_read_next(reader, &chunk);
    if (result == 1 && (chunk.size != sizeof text || memcmp(chunk.data, text, sizeof text) != 0)) result = 0;
    speculo_area_close(reader);
    return result;
}

/* 1: all went well; else a negative error code, or 0. */
SPECULO_API extern int plugin_run(const char *name);
int plugin_run(const char *name) {
    speculo_area *writer = NULL;
    int result = publish(name, &writer);
    int removed;
    if (result == 0) result = read_back(name);
    speculo_area_close(writer);
    removed = speculo_area_remove(name);
    return result == 1 && removed < 0 ? removed : result;
}
