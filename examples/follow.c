/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Follows what publish shares, in three ways:
 *
 *  - the stream: speculo_read_next() delivers chunk after chunk, in the order of the commits;
 *  - by key: speculo_read_key() finds the newest block of a key;
 *  - all at once: a snapshot holds what was live at one commit. All blocks in it are of one round, whatever the publisher does.
 *
 * All of it is looked at where it lies, in memory that this process cannot write to. If the publisher dies, what it has shared
 * stays; when another one takes over, there is nothing to do here: the stream goes on.
 */
#define _POSIX_C_SOURCE 200809L
#include "console.h"
#include "figures.h"

#include <speculo/speculo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct follower {
    const char *name;
    struct console_times times;
    int text; /* write payloads to standard output instead of looking at figures */
    speculo_area *area;
    struct figures_stream stream;
    struct figures_whole whole; /* the newest snapshot */
    uint64_t snapshots, mixed;  /* snapshots taken, and those that were not of one piece: none, if the library keeps its word */
    uint64_t jumped;
};

static const char usage[] =
    "usage: follow [NAME] [--wait TIME] [--duration TIME] [--refresh MS] [--text]\n"
    "\n"
    "Follows the figures that publish shares in the area NAME (default: " FIGURES_NAME "), until Ctrl-C.\n"
    "\n" CONSOLE_TIMES_USAGE
    "  --text           write the payload of every chunk as a line, whatever it is: the counterpart of publish-lines\n"
    "\n"
    "The exit status is 0 if nothing was lost or mixed.\n";

/* ---- the stream ------------------------------------------------------------------------------------------------------------ */

static void note(struct follower *follower, const speculo_chunk *chunk) {
    figures_note_chunk(&follower->stream, chunk->id, chunk->skipped);

    /* Left so far behind that the writer has used the segments in between again. Nothing that is still live is lost by that. Who
     * mirrors the blocks would start over from a snapshot here; this program takes a new snapshot each time anyway. */
    if (chunk->flags & SPECULO_CHUNK_JUMPED) follower->jumped++;

    /* A removal (SPECULO_CHUNK_REMOVED) comes with the key that is gone, and with no payload: the size tells it apart. */
    if (chunk->tag == FIGURES_SAMPLE && chunk->size == sizeof(struct figures_sample))
        figures_note_sample(&follower->stream, chunk->data);
}

/* Reads what is new, so many chunks at most: 1 there was something, 0 nothing, < 0 an error. */
static int read_stream(struct follower *follower, int limit) {
    speculo_chunk chunk;
    int got = 0, count = 0;
    while (count < limit && (got = speculo_read_next(follower->area, &chunk)) == 1) {
        count++;
        if (!follower->text)
            note(follower, &chunk);
        else if (!(chunk.flags & SPECULO_CHUNK_REMOVED)) {
            fwrite(chunk.data, 1, chunk.size, stdout);
            putchar('\n');
        }
    }
    if (follower->text) fflush(stdout);
    return got >= 0 || got == -EAGAIN ? count > 0 : got; /* -EAGAIN: the writer was too quick this time; the cursor stays */
}

/* ---- a snapshot ------------------------------------------------------------------------------------------------------------ */

static int look_at_all(struct follower *follower, int show) {
    speculo_snapshot *snapshot;
    int got = speculo_snapshot_open(follower->area, &snapshot);
    if (got < 0) return got == -EAGAIN ? 0 : got;

    struct figures_whole whole;
    memset(&whole, 0, sizeof whole);
    speculo_chunk chunk;
    while ((got = speculo_snapshot_next(snapshot, &chunk)) == 1) {
        if (chunk.tag == FIGURES_BLOCK && chunk.size == sizeof(struct figures_block)) {
            const struct figures_block *block = chunk.data;
            figures_whole_block(&whole, block);
            if (show)
                console_line(CONSOLE_PLAIN, "  %-12.*s %.*s", (int)chunk.key_size, (const char *)chunk.key,
                             (int)sizeof block->text, block->text);
        } else if (chunk.tag == FIGURES_SAMPLE && chunk.size == sizeof(struct figures_sample))
            figures_whole_sample(&whole, chunk.data);
    }
    speculo_snapshot_close(snapshot);
    if (got < 0) return got;

    follower->whole = whole;
    follower->snapshots++;
    follower->mixed += !figures_is_whole(&whole);
    return 0;
}

/* ---- telling --------------------------------------------------------------------------------------------------------------- */

/* The newest block of a key, as text. The view stays valid until the next speculo_read_key(). */
static const char *newest(struct follower *follower, const char *key) {
    speculo_chunk chunk;
    if (speculo_read_key(follower->area, key, strlen(key), &chunk) != 1 || chunk.size != sizeof(struct figures_block))
        return "unknown";
    const struct figures_block *block = chunk.data;
    return memchr(block->text, '\0', sizeof block->text) != NULL ? block->text : "damaged";
}

static void show(struct follower *follower, const speculo_area_info *info) {
    const struct figures_stream *stream = &follower->stream;
    console_begin();
    console_line(CONSOLE_TITLE, "follow: area '%s', publisher %" PRIu32 " %s", follower->name, stream->publisher,
                 info->writer_alive ? "is alive" : "is gone; waiting for another");
    console_line(stream->missing + stream->disorder == 0 ? CONSOLE_GOOD : CONSOLE_BAD,
                 "samples   %" PRIu64 ", rounds %" PRIu64 " to %" PRIu64 ": %" PRIu64 " missing, %" PRIu64 " out of order",
                 stream->samples, stream->first, stream->last, stream->missing, stream->disorder);
    console_line(CONSOLE_PLAIN, "chunks    %" PRIu64 " delivered, %" PRIu64 " passed over (replaced before they were read)",
                 stream->chunks, stream->passed);
    console_line(CONSOLE_PLAIN, "segments  generation %" PRIu64 ", %" PRIu64 " jumps", info->generation, info->jumps);
    console_line(CONSOLE_PLAIN, "by key    load %s", newest(follower, "load"));
    console_line(CONSOLE_PLAIN, "by key    memory %s", newest(follower, "memory"));
    console_line(follower->mixed == 0 ? CONSOLE_GOOD : CONSOLE_BAD,
                 "snapshots %" PRIu64 ", %" PRIu64 " mixed; now round %" PRIu64 ", %" PRIu32 " of %" PRIu32 " blocks",
                 follower->snapshots, follower->mixed, follower->whole.round, follower->whole.blocks, follower->whole.expected);
    look_at_all(follower, 1);
    console_end();
}

static void report(struct follower *follower) {
    const struct figures_stream *stream = &follower->stream;
    speculo_area_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    if (follower->text || !console_is_due(follower->times.refresh_ms) || speculo_area_get_info(follower->area, &info) < 0) return;
    if (console_is_live())
        show(follower, &info);
    else
        console_say("follow: publisher %" PRIu32 "%s, round %" PRIu64 "; samples %" PRIu64 ", missing %" PRIu64
                    "; chunks %" PRIu64 ", passed over %" PRIu64 "; snapshots %" PRIu64 ", mixed %" PRIu64 "; load %s",
                    stream->publisher, info.writer_alive ? "" : " is gone", stream->last, stream->samples, stream->missing,
                    stream->chunks, stream->passed, follower->snapshots, follower->mixed, newest(follower, "load"));
}

/* The last line is for programs. Returns 1 if nothing was lost or mixed. */
static int conclude(struct follower *follower) {
    const struct figures_stream *stream = &follower->stream;
    int ok = stream->missing == 0 && stream->disorder == 0 && follower->mixed == 0;
    if (!follower->text)
        console_say("result role=reader reader=follow chunks=%" PRIu64 " passed=%" PRIu64 " samples=%" PRIu64 " first=%" PRIu64
                    " last=%" PRIu64 " missing=%" PRIu64 " disorder=%" PRIu64 " publishers=%" PRIu64 " jumped=%" PRIu64
                    " snapshots=%" PRIu64 " mixed=%" PRIu64 " ok=%d",
                    stream->chunks, stream->passed, stream->samples, stream->first, stream->last, stream->missing,
                    stream->disorder, stream->publishers, follower->jumped, follower->snapshots, follower->mixed, ok);
    return ok;
}

/* ---- the program ----------------------------------------------------------------------------------------------------------- */

static int begin(struct follower *follower) {
    int error, told = 0;
    do {
        error = speculo_area_open(follower->name, SPECULO_OPEN_READ, NULL, &follower->area);
        if (error == -ENOENT && !told && !follower->text) console_say("follow: waiting for area '%s'", follower->name);
        told = 1;
    } while ((error == -ENOENT || error == -EAGAIN) && console_may_wait(&follower->times));
    follower->times.since = console_now();
    if (error < 0) console_complain("follow: cannot open area '%s': %s", follower->name, speculo_strerror(error));
    return error;
}

static int run(struct follower *follower) {
    for (;;) {
        /* Asked to stop: once more, so that what was shared until now has been read. */
        int last = console_is_over(&follower->times);
        int got = read_stream(follower, last ? 1000000 : 10000);
        if (got == 1 && !follower->text) got = look_at_all(follower, 0);
        if (got == -ESTALE) {
            if (!follower->text) console_say("follow: area '%s' was removed, and all of it is read", follower->name);
            return 0;
        }
        if (got < 0) {
            console_complain("follow: area '%s': %s", follower->name, speculo_strerror(got));
            return got;
        }
        report(follower);
        if (last) return 0;
        /* Until there is more; at times anyway, for the picture. What it says of the writer is told by the next report. */
        speculo_wait(follower->area, INT64_C(100000000));
    }
}

/* 1: an option was taken; 0: it is not known, or its value is no good. */
static int take_option(struct follower *follower, int argc, char **argv, int *index) {
    if (strcmp(argv[*index], "--text") != 0) return console_take_times(&follower->times, argc, argv, index);
    follower->text = 1;
    return 1;
}

int main(int argc, char **argv) {
    struct follower follower;
    memset(&follower, 0, sizeof follower);
    follower.name = FIGURES_NAME;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (argv[i][0] != '-')
            follower.name = argv[i];
        else if (!take_option(&follower, argc, argv, &i)) {
            console_complain("follow: cannot make sense of '%s'\n\n%s", argv[i], usage);
            return 2;
        }
    }
    console_open();
    if (begin(&follower) < 0) return 1;
    int error = run(&follower);
    int ok = conclude(&follower);
    speculo_area_close(follower.area);
    return error == 0 && ok ? 0 : 1;
}
