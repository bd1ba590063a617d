/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A plugin that reads an area inside a host (host.c) that has never heard of speculo. It brings libspeculo along, which needs the
 * C library and nothing else, starts no thread and touches no signal; the host may unload the plugin whenever it likes.
 *
 * Beside following the stream it keeps the newest sample by a hold, and looks up some keys in a snapshot.
 */
#include "figures.h"

#include <speculo/speculo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const struct figures_plugin figures_plugin;

static struct {
    speculo_area *area;
    struct figures_stream stream;
    speculo_chunk newest; /* held: stays valid and unchanged while the cursor moves on */
    uint64_t snapshots, mixed;
} plugin;

static int fail(int error, char *text, size_t size) {
    snprintf(text, size, "%s", speculo_strerror(error));
    return -1;
}

static int plugin_open(const char *area, char *text, size_t size) {
    memset(&plugin, 0, sizeof plugin);
    int error = speculo_area_open(area, SPECULO_OPEN_READ, NULL, &plugin.area);
    if (error == -ENOENT || error == -EAGAIN) return fail(error, text, size) + 1; /* 0: not there yet */
    if (error < 0) return fail(error, text, size);
    snprintf(text, size, "reading with libspeculo %s", speculo_version());
    return 1;
}

static int read_stream(void) {
    speculo_chunk chunk;
    int got;
    while ((got = speculo_read_next(plugin.area, &chunk)) == 1) {
        figures_note_chunk(&plugin.stream, chunk.id, chunk.skipped);
        if (chunk.tag != FIGURES_SAMPLE || chunk.size != sizeof(struct figures_sample)) continue;
        figures_note_sample(&plugin.stream, chunk.data);
        speculo_chunk_release(&plugin.newest);
        int error = speculo_chunk_hold(plugin.area, &chunk);
        if (error < 0) return error;
        plugin.newest = chunk;
    }
    return got == -EAGAIN ? 0 : got;
}

/* Blocks of different keys, looked up one after the other: the snapshot stands still meanwhile, so they are of one round. */
static int look_up(void) {
    static const char *const keys[] = {"time", "load", "memory", "cpu/0", "net/lo"};
    speculo_snapshot *snapshot;
    int got = speculo_snapshot_open(plugin.area, &snapshot);
    if (got < 0) return got == -EAGAIN ? 0 : got;

    struct figures_whole whole;
    memset(&whole, 0, sizeof whole);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && got >= 0; i++) {
        speculo_chunk chunk;
        got = speculo_snapshot_key(snapshot, keys[i], strlen(keys[i]), &chunk);
        if (got == 1 && chunk.tag == FIGURES_BLOCK && chunk.size == sizeof(struct figures_block))
            figures_whole_block(&whole, chunk.data);
    }
    speculo_snapshot_close(snapshot);
    plugin.snapshots++;
    plugin.mixed += whole.strangers > 0;
    return got < 0 ? got : 0;
}

static int plugin_descriptor(void) {
    int fd = speculo_area_get_fd(plugin.area);
    return fd < 0 ? -1 : fd;
}

static int plugin_step(char *text, size_t size) {
    int error = read_stream();
    speculo_area_dispatch(plugin.area); /* the descriptor is to tell of what comes from here on */
    if (error == 0) error = look_up();
    if (error == -ESTALE) return fail(error, text, size) + 1; /* 0: the area is gone */
    if (error < 0) return fail(error, text, size);

    const struct figures_stream *stream = &plugin.stream;
    const struct figures_sample *sample = plugin.newest.data;
    snprintf(text, size,
             "publisher %" PRIu32 ", round %" PRIu64 "; samples %" PRIu64 ", missing %" PRIu64 "; snapshots %" PRIu64
             ", mixed %" PRIu64 "; memory %" PRId64 " MiB",
             stream->publisher, stream->last, stream->samples, stream->missing, plugin.snapshots, plugin.mixed,
             sample != NULL ? sample->memory >> 20 : 0);
    return 1;
}

static int plugin_result(char *text, size_t size) {
    const struct figures_stream *stream = &plugin.stream;
    int ok = stream->missing == 0 && stream->disorder == 0 && plugin.mixed == 0;
    snprintf(text, size,
             "result role=reader reader=plugin chunks=%" PRIu64 " passed=%" PRIu64 " samples=%" PRIu64 " first=%" PRIu64
             " last=%" PRIu64 " missing=%" PRIu64 " disorder=%" PRIu64 " publishers=%" PRIu64 " snapshots=%" PRIu64
             " mixed=%" PRIu64 " ok=%d",
             stream->chunks, stream->passed, stream->samples, stream->first, stream->last, stream->missing, stream->disorder,
             stream->publishers, plugin.snapshots, plugin.mixed, ok);
    return ok;
}

static void plugin_close(void) {
    speculo_chunk_release(&plugin.newest);
    plugin.area = speculo_area_close(plugin.area);
}

const struct figures_plugin figures_plugin = {plugin_open, plugin_descriptor, plugin_step, plugin_result, plugin_close};
