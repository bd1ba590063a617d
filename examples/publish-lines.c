/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares each line of standard input as a chunk, without its newline: `some-command | publish-lines NAME`. Read them with
 * `follow --text NAME`.
 *
 * Lines may be of any length and hold any bytes. With --ttl they stay for that time; without, they are transient: they stay for
 * as long as there is room, and make way for newer ones.
 */
#define _POSIX_C_SOURCE 200809L
#include "console.h"

#include <speculo/speculo.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lines {
    const char *name;
    uint64_t ttl_ns, capacity, max_capacity;
    speculo_area *area;
    char *bytes; /* what was read and is not shared yet: at most the beginning of a line, between two reads */
    size_t size, room;
    size_t scanned; /* bytes known to have no newline */
    uint64_t shared, first_id, last_id;
};

static const char usage[] =
    "usage: some-command | publish-lines NAME [--ttl TIME] [--capacity SIZE] [--max-capacity SIZE]\n"
    "\n"
    "Shares each line of standard input as a chunk in the area NAME, until the input ends.\n"
    "\n"
    "  --ttl TIME           how long a line stays, such as 5s (default: as long as there is room)\n"
    "  --capacity SIZE      bytes for lines in a segment (default 1MiB)\n"
    "  --max-capacity SIZE  what a segment may grow to, for very long lines or a long --ttl (default 1GiB)\n";

/* Makes room for a line. Lines with a ttl cannot be pushed out: when they fill the area, the input waits until some expire. */
static int make_room(struct lines *lines, size_t size, void **ret_data, uint64_t *ret_id) {
    speculo_chunk_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.ttl_ns = lines->ttl_ns;
    options.flags = lines->ttl_ns == 0 ? SPECULO_CHUNK_TRANSIENT : 0;

    int error = speculo_chunk_alloc(lines->area, size, &options, ret_data, ret_id);
    while (error == -ENOSPC) {
        /* What is not committed yet can neither expire nor make way. */
        if ((error = speculo_commit(lines->area)) < 0) break;
        error = speculo_chunk_alloc(lines->area, size, &options, ret_data, ret_id);
        if (error != -ENOSPC || lines->ttl_ns == 0 || console_stopped()) break;
        console_sleep(10);
    }
    return error;
}

static int share(struct lines *lines, const char *line, size_t size) {
    void *room;
    uint64_t id;
    int error = make_room(lines, size, &room, &id);
    if (error < 0) {
        if (!console_stopped())
            console_complain("publish-lines: line %" PRIu64 ", %zu bytes: %s", lines->shared + 1, size, speculo_strerror(error));
        return error;
    }
    memcpy(room, line, size);
    if (lines->shared++ == 0) lines->first_id = id;
    lines->last_id = id;
    return 0;
}

/* Shares the whole lines that are there, in one commit, and keeps the rest. */
static int share_lines(struct lines *lines) {
    size_t start = 0;
    char *newline;
    while (lines->scanned < lines->size &&
           (newline = memchr(lines->bytes + lines->scanned, '\n', lines->size - lines->scanned)) != NULL) {
        size_t end = (size_t)(newline - lines->bytes);
        int error = share(lines, lines->bytes + start, end - start);
        if (error < 0) return error;
        start = lines->scanned = end + 1;
    }
    if (start > 0) {
        memmove(lines->bytes, lines->bytes + start, lines->size - start);
        lines->size -= start;
    }
    lines->scanned = lines->size;
    return speculo_commit(lines->area);
}

/* Reads some more: 1, 0 at the end of the input, < 0 an error. */
static int read_some(struct lines *lines) {
    if (lines->room - lines->size < 1 << 15) {
        size_t room = lines->room * 2 + (1 << 16);
        char *bytes = realloc(lines->bytes, room);
        if (bytes == NULL) return -ENOMEM;
        lines->bytes = bytes;
        lines->room = room;
    }
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 250) == 0) /* looks up now and then, so that no signal is overslept */
        if (console_stopped()) return 0;
    if (console_stopped()) return 0;
    ssize_t count = read(STDIN_FILENO, lines->bytes + lines->size, lines->room - lines->size);
    if (count < 0) return errno == EINTR || errno == EAGAIN ? 1 : -errno;
    lines->size += (size_t)count;
    return count > 0;
}

static int run(struct lines *lines) {
    int got;
    while ((got = read_some(lines)) == 1) {
        int error = share_lines(lines);
        if (error < 0) return console_stopped() ? 0 : error;
    }
    if (got < 0) {
        console_complain("publish-lines: cannot read: %s", strerror(-got));
        return got;
    }
    if (lines->size == 0 || console_stopped()) return 0;
    int error = share(lines, lines->bytes, lines->size); /* a last line without newline */
    return error < 0 ? error : speculo_commit(lines->area);
}

static int begin(struct lines *lines) {
    speculo_area_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = lines->capacity;
    options.max_capacity = lines->max_capacity > lines->capacity ? lines->max_capacity : lines->capacity;
    int error = speculo_area_open(lines->name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &lines->area);
    if (error < 0) console_complain("publish-lines: cannot open area '%s': %s", lines->name, speculo_strerror(error));
    return error;
}

/* 1: an option was taken; 0: it is not known, or its value is no good. */
static int take_option(struct lines *lines, int argc, char **argv, int *index) {
    const char *value;
    if ((value = console_option(argc, argv, index, "--ttl")) != NULL) return console_parse_duration(value, &lines->ttl_ns);
    if ((value = console_option(argc, argv, index, "--capacity")) != NULL)
        return console_parse_size(value, &lines->capacity) && lines->capacity > 0;
    if ((value = console_option(argc, argv, index, "--max-capacity")) != NULL)
        return console_parse_size(value, &lines->max_capacity);
    return 0;
}

int main(int argc, char **argv) {
    struct lines lines;
    memset(&lines, 0, sizeof lines);
    lines.capacity = 1 << 20;
    lines.max_capacity = 1 << 30;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (argv[i][0] != '-' && lines.name == NULL)
            lines.name = argv[i];
        else if (argv[i][0] == '-' && take_option(&lines, argc, argv, &i))
            continue;
        else {
            console_complain("publish-lines: cannot make sense of '%s'\n\n%s", argv[i], usage);
            return 2;
        }
    }
    if (lines.name == NULL) {
        console_complain("publish-lines: which area?\n\n%s", usage);
        return 2;
    }
    console_open();
    int error = begin(&lines);
    if (error == 0) error = run(&lines);
    lines.area = speculo_area_close(lines.area);
    free(lines.bytes);
    if (lines.shared > 0)
        console_complain("publish-lines: %" PRIu64 " lines shared in area '%s', ids %" PRIu64 " to %" PRIu64, lines.shared,
                         lines.name, lines.first_id, lines.last_id);
    return error < 0 ? 1 : 0;
}
