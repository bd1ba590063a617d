/* SPDX-License-Identifier: LGPL-2.1-or-later
 * What inject.py makes calls of the system fail for, or kills: a writer and readers in one process, in the same order each time. A
 * call that fails is made once more, and then has to do what it would have done.
 *
 *   usage: subject run NAME              says "committed N" as it goes, and "CALL: error" of what has failed
 *          subject after NAME N          what was there at "committed N" is there, and goes on; removes the area
 *          subject gone NAME             after "removing": ends what was begun
 *
 * Between write(-1, "begin") and write(-1, "end") every call of the system is the library's.
 */
#define _GNU_SOURCE // clock_gettime
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <speculo/speculo.h>

static void mark(const char *text) {
    ssize_t nothing = write(-1, text, strlen(text));
    (void)nothing;
}

static void say(const char *what, long number) {
    char line[100];
    int size = snprintf(line, sizeof line, "%s %ld\n", what, number);
    if (write(STDOUT_FILENO, line, (size_t)size) != size) { _exit(3); }
}

static void need_at(int is_right, const char *what, long value, int line) {
    if (is_right) { return; }
    fprintf(stderr, "subject.c:%d: %s (%ld)\n", line, what, value);
    _exit(1);
}
#define NEED(condition, value) need_at((condition), #condition, (long)(value), __LINE__)

/* The result of a call, made again if it failed. */
#define TRY(result, call)                                                                                                        \
    do {                                                                                                                         \
        (result) = (call);                                                                                                       \
        if ((result) < 0) {                                                                                                      \
            say(#call " failed:", (result));                                                                                     \
            (result) = (call);                                                                                                   \
        }                                                                                                                        \
        NEED((result) >= 0, result);                                                                                             \
    } while (0)

enum { rounds = 4, capacity = 64 << 10 };

static speculo_area *open_area(const char *name, uint32_t flags, const speculo_area_options *options) {
    speculo_area *area = NULL;
    int error;
    TRY(error, speculo_area_open(name, flags, options, &area));
    return area;
}

static void put(speculo_area *writer, uint64_t number) {
    speculo_chunk_options options;
    void *data = NULL;
    int error;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.key = "key";
    options.key_size = number % 2 ? 3 : 0;
    if (number % 2 == 0) { options.key = NULL; }
    options.ttl_ns = number % 3 ? 0 : (uint64_t)3600 * 1000000000;
    TRY(error, speculo_chunk_alloc(writer, 9000, &options, &data, NULL));
    memset(data, (int)(number % 251), 9000);
    memcpy(data, &number, sizeof number);
    NEED(speculo_commit(writer) == 0, number);
    say("committed", (long)number);
}

static uint64_t number_of(const speculo_chunk *chunk) {
    uint64_t number;
    NEED(chunk->size == 9000, chunk->size);
    memcpy(&number, chunk->data, sizeof number);
    for (size_t i = sizeof number; i < chunk->size; i += 100) {
        NEED(((const unsigned char *)chunk->data)[i] == number % 251, number);
    }
    return number;
}

/* Every number up to `newest`, each once: none of them was compacted away, as they lie in what the cursor has yet to read. */
static uint64_t read_on(speculo_area *reader, uint64_t last, uint64_t newest) {
    speculo_chunk chunk;
    int found;
    memset(&chunk, 0, sizeof chunk);
    for (;;) {
        TRY(found, speculo_read_next(reader, &chunk));
        if (found == 0) { break; }
        uint64_t number = number_of(&chunk);
        NEED(number > last, number);
        last = number;
    }
    NEED(last == newest, last);
    return last;
}

// Whether an area has its name is looked for once a tick: each run is to make the same calls.
static void await_tick(void) {
    struct timespec before, now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
    do { clock_gettime(CLOCK_MONOTONIC_COARSE, &now); } while (now.tv_nsec == before.tv_nsec);
}

static void look(speculo_area *reader, uint64_t newest) {
    speculo_chunk chunk;
    speculo_snapshot *snapshot = NULL;
    int found;
    memset(&chunk, 0, sizeof chunk);
    TRY(found, speculo_read_key(reader, "key", 3, &chunk));
    NEED(found == 1 && number_of(&chunk) == (newest % 2 ? newest : newest - 1), found);
    await_tick();
    TRY(found, speculo_snapshot_open(reader, &snapshot));
    uint64_t last = 0;
    while (speculo_snapshot_next(snapshot, &chunk) == 1) { last = number_of(&chunk); }
    NEED(last == newest, last);
    speculo_snapshot_close(snapshot);
    TRY(found, speculo_chunk_is_live(reader, &chunk));
    TRY(found, speculo_area_writer_alive(reader));
}

static void run(const char *name) {
    speculo_area_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = capacity;
    options.prefault = 3 * capacity;
    uint64_t number = 0, read = 0;
    int error;
    mark("begin");
    speculo_area *writer = open_area(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options);
    say("committed", 0);
    speculo_area *reader = open_area(name, SPECULO_OPEN_READ, NULL);
    for (int round = 0; round < rounds; ++round) {
        put(writer, ++number);
        put(writer, ++number);
        read = read_on(reader, read, number);
        look(reader, number);
        TRY(error, speculo_area_compact(writer));
        if (round == 0) { TRY(error, speculo_area_get_fd(reader)); }
        error = speculo_wait(reader, 5000000); /* which a signal may end, and others too */
        NEED(error == 0 || error == -EINTR || error < 0, error);
        TRY(error, speculo_area_dispatch(reader));
    }
    speculo_area_close(writer);
    writer = open_area(name, SPECULO_OPEN_WRITE, NULL);
    put(writer, ++number);
    read_on(reader, read, number);
    look(reader, number);
    speculo_area_close(reader);
    speculo_area_close(writer);
    TRY(error, speculo_area_check(name, NULL, NULL));
    say("removing", 0);
    TRY(error, speculo_area_remove(name));
    mark("end");
}

static void gone(const char *name) {
    int error = speculo_area_remove(name);
    NEED(error == 0 || error == -ENOENT, error);
}

/* The last commit may have been made without a word of it. The keyed chunks before the last one are superseded. */
static void after(const char *name, uint64_t committed) {
    speculo_area *writer = NULL, *reader = NULL;
    speculo_chunk chunk;
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, NULL, &writer);
    NEED(error == 0, error);
    error = speculo_area_open(name, SPECULO_OPEN_READ, NULL, &reader);
    NEED(error == 0, error);
    uint64_t last = 0, even = 0;
    memset(&chunk, 0, sizeof chunk);
    while ((error = speculo_read_next(reader, &chunk)) == 1) {
        uint64_t number = number_of(&chunk);
        NEED(number > last, number);
        even += number % 2 == 0;
        last = number;
    }
    NEED(error == 0, error);
    NEED(last == committed || last == committed + 1, last);
    NEED(even == last / 2, even);
    put(writer, last + 1);
    read_on(reader, last, last + 1);
    error = speculo_area_check(name, NULL, NULL);
    NEED(error == 0, error);
    speculo_area_close(reader);
    speculo_area_close(writer);
    error = speculo_area_remove(name);
    NEED(error == 0, error);
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "run") == 0) {
        run(arguments[2]);
        return 0;
    }
    if (count == 4 && strcmp(arguments[1], "after") == 0) {
        after(arguments[2], strtoull(arguments[3], NULL, 10));
        return 0;
    }
    if (count == 3 && strcmp(arguments[1], "gone") == 0) {
        gone(arguments[2]);
        return 0;
    }
    fprintf(stderr, "usage: subject run NAME | after NAME N | gone NAME\n");
    return 2;
}
