/* SPDX-License-Identifier: LGPL-2.1-or-later
 * One cell of the matrix of processors: writes an area, reads one that another processor has written, or takes it over. Needs the
 * library and libc alone.
 *
 *   usage: cell write NAME     writes, says "ready", goes on with a chunk every 20 ms until its input ends
 *          cell read NAME      reads and checks everything, and is woken
 *          cell take NAME      takes the dead writer's place, checks everything, and writes
 *          cell refuse NAME    sees that the area of the other byte order is refused
 *          cell self NAME      writer and reader in one, with every call of the system that the library knows
 *
 * Ends with 0, or with 1 and what is wrong.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <speculo/speculo.h>

enum { chunks = 900, keys = 7, most_size = 90, beat_tag = 5000, second_ms = 1000 };

static void check_at(int is_right, const char *what, long value, int line) {
    if (is_right) { return; }
    fprintf(stderr, "cell.c:%d: %s (%ld)\n", line, what, value);
    exit(1);
}
#define CHECK(condition, value) check_at((condition), #condition, (long)(value), __LINE__)

/* ---- what is written ----------------------------------------------------------------------------------------------------------- */

static size_t size_of(uint32_t number) { return number % most_size; }
static unsigned char byte_of(uint32_t number, size_t index) { return (unsigned char)(number * 31 + index); }

static int has_key(uint32_t number) { return number % 3 == 0; }
static int is_transient(uint32_t number) { return !has_key(number) && number % 5 == 1; }
static int is_obsoleted(uint32_t number) { return !has_key(number) && number % 8 == 4; }

static speculo_chunk_options options_with(uint32_t tag) {
    speculo_chunk_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.tag = tag;
    return options;
}

static uint64_t put(speculo_area *writer, uint32_t number) {
    speculo_chunk_options options = options_with(number);
    char key[2] = {'k', (char)('a' + number % keys)};
    if (has_key(number)) {
        options.key = key;
        options.key_size = sizeof key;
    }
    if (is_transient(number)) { options.flags = SPECULO_CHUNK_TRANSIENT; }
    if (number % 11 == 2) { options.alignment = 64; }
    if (number % 13 == 3) { options.ttl_ns = (uint64_t)3600 * 1000000000; }
    void *data = NULL;
    uint64_t id = 0;
    int error = speculo_chunk_alloc(writer, size_of(number), &options, &data, &id);
    CHECK(error == 0, error);
    for (size_t i = 0; i < size_of(number); ++i) { ((unsigned char *)data)[i] = byte_of(number, i); }
    return id;
}

static void put_all(speculo_area *writer) {
    for (uint32_t number = 1; number <= chunks; ++number) {
        uint64_t id = put(writer, number);
        CHECK(id == number, id);
        if (number % 4 == 0) { CHECK(speculo_commit(writer) == 0, number); }
        if (is_obsoleted(number)) { CHECK(speculo_chunk_obsolete(writer, id) == 0, id); }
    }
    CHECK(speculo_commit(writer) == 0, 0);
}

static speculo_area *open_writer(const char *name, uint32_t more) {
    speculo_area_options options;
    speculo_area *writer = NULL;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    if (more) {
        options.capacity = 16 << 10; /* some compactions */
        options.max_capacity = 256 << 10;
    }
    int error = speculo_area_open(name, SPECULO_OPEN_WRITE | more, &options, &writer);
    CHECK(error == 0, error);
    return writer;
}

/* ---- what is read -------------------------------------------------------------------------------------------------------------- */

static void check_chunk(const speculo_chunk *chunk) {
    uint32_t number = chunk->tag;
    if (number == beat_tag) { return; }
    CHECK(number == chunk->id, chunk->id);
    CHECK(chunk->size == size_of(number), chunk->size);
    for (size_t i = 0; i < chunk->size; ++i) { CHECK(((const unsigned char *)chunk->data)[i] == byte_of(number, i), number); }
    CHECK((chunk->key != NULL) == has_key(number), number);
    CHECK(((chunk->flags & SPECULO_CHUNK_TRANSIENT) != 0) == is_transient(number), number);
    CHECK((chunk->expires_ns != 0) == (number % 13 == 3), number);
    CHECK(number % 11 != 2 || (uintptr_t)chunk->data % 64 == 0, number);
}

static int is_key_number(uint32_t number, int key) { return has_key(number) && (int)(number % keys) == key; }

static void check_content(const char *name) {
    speculo_area *reader = NULL;
    speculo_snapshot *snapshot = NULL;
    speculo_chunk chunk;
    uint64_t last = 0, found = 0;
    memset(&chunk, 0, sizeof chunk);
    int error = speculo_area_open(name, SPECULO_OPEN_READ, NULL, &reader);
    CHECK(error == 0, error);
    error = speculo_snapshot_open(reader, &snapshot);
    CHECK(error == 0, error);
    while (speculo_snapshot_next(snapshot, &chunk) == 1) {
        check_chunk(&chunk);
        CHECK(chunk.id > last, chunk.id);
        CHECK(!is_obsoleted((uint32_t)chunk.id) || chunk.tag == beat_tag, chunk.id);
        last = chunk.id;
        ++found;
    }
    CHECK(found > chunks / 3, found);
    for (int key = 0; key < keys; ++key) {
        char text[2] = {'k', (char)('a' + key)};
        uint32_t newest = chunks;
        while (!is_key_number(newest, key)) { --newest; }
        CHECK(speculo_snapshot_key(snapshot, text, sizeof text, &chunk) == 1, key);
        CHECK(chunk.id == newest, chunk.id);
        check_chunk(&chunk);
        CHECK(speculo_read_key(reader, text, sizeof text, &chunk) == 1, key);
        CHECK(chunk.id == newest, chunk.id);
        CHECK(speculo_chunk_is_live(reader, &chunk) == 1, key);
    }
    speculo_snapshot_close(snapshot);
    last = 0;
    while ((error = speculo_read_next(reader, &chunk)) == 1) {
        check_chunk(&chunk);
        CHECK(chunk.id > last, chunk.id);
        last = chunk.id;
    }
    CHECK(error == 0, error);
    CHECK(last >= chunks - 4, last);
    CHECK(speculo_seek(reader, chunks / 2) == 0, 0);
    CHECK(speculo_read_next(reader, &chunk) == 1 && chunk.id >= chunks / 2, chunk.id);
    CHECK(speculo_chunk_hold(reader, &chunk) == 0, 0);
    speculo_area_close(reader);
    check_chunk(&chunk);
    speculo_chunk_release(&chunk);
    error = speculo_area_check(name, NULL, NULL);
    CHECK(error == 0, error);
}

static void beat(speculo_area *writer) {
    speculo_chunk_options options = options_with(beat_tag);
    void *data = NULL;
    options.flags = SPECULO_CHUNK_TRANSIENT;
    CHECK(speculo_chunk_alloc(writer, 1, &options, &data, NULL) == 0, 0);
    CHECK(speculo_commit(writer) == 0, 0);
}

/* By sleeping, and by a descriptor. The writer commits all the time. */
static void check_waking(const char *name) {
    speculo_area *reader = NULL;
    speculo_chunk chunk;
    memset(&chunk, 0, sizeof chunk);
    int error = speculo_area_open(name, SPECULO_OPEN_AT_END, NULL, &reader);
    CHECK(error == 0, error);
    CHECK(speculo_area_writer_alive(reader) == 1, speculo_area_writer_alive(reader));
    for (int i = 0; i < 5; ++i) {
        int woken = speculo_wait(reader, (int64_t)10 * 1000000000);
        CHECK(woken == 1, woken);
        CHECK(speculo_read_next(reader, &chunk) == 1, 0);
        while (speculo_read_next(reader, &chunk) == 1) {}
    }
    struct pollfd event = {speculo_area_get_fd(reader), POLLIN, 0};
    CHECK(event.fd >= 0, event.fd);
    int ready = 0;
    for (int i = 0; i < 100 && ready == 0; ++i) {
        int count = poll(&event, 1, 10 * second_ms);
        CHECK(count == 1, count);
        ready = speculo_area_dispatch(reader);
    }
    CHECK(ready == 1, ready);
    CHECK(speculo_read_next(reader, &chunk) == 1, 0);
    speculo_area_close(reader);
}

/* Keys that differ in one byte, wherever it is: numbers that are made of their bytes are compared. */
static void check_keys_apart(const char *name) {
    enum { longest = 17, letters = 8 };
    speculo_area *writer = open_writer(name, SPECULO_OPEN_CREATE), *reader = NULL;
    for (int round = 0; round < 4; ++round) { /* writes, then looks: searches, and what is remembered */
        uint32_t number = 0;
        for (size_t size = 1; size <= longest; ++size) {
            for (size_t at = 0; at < size; ++at) {
                for (char letter = 'a'; letter < 'a' + letters; ++letter) {
                    char key[longest];
                    memset(key, 'n', sizeof key);
                    key[at] = letter;
                    ++number;
                    if (round == 0) {
                        speculo_chunk_options options = options_with(number);
                        void *data = NULL;
                        options.key = key;
                        options.key_size = size;
                        CHECK(speculo_chunk_alloc(writer, 0, &options, &data, NULL) == 0, number);
                    } else {
                        speculo_chunk chunk;
                        CHECK(speculo_read_key(reader, key, size, &chunk) == 1, number);
                        CHECK(chunk.tag == number, chunk.tag);
                    }
                }
            }
        }
        CHECK(speculo_commit(writer) == 0, 0);
        if (round == 0) { CHECK(speculo_area_open(name, SPECULO_OPEN_NO_CURSOR, NULL, &reader) == 0, 0); }
    }
    speculo_area_close(reader);
    speculo_area_close(writer);
    CHECK(speculo_area_remove(name) == 0, 0);
}

/* ---- the forms --------------------------------------------------------------------------------------------------------------- */

static void write_on(speculo_area *writer) {
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (poll(&input, 1, 20) == 0) { beat(writer); }
}

static void write_area(const char *name) {
    speculo_area *writer = open_writer(name, SPECULO_OPEN_CREATE);
    put_all(writer);
    puts("ready");
    fflush(stdout);
    write_on(writer);
    speculo_area_close(writer);
}

static void take(const char *name) {
    speculo_area *writer = open_writer(name, 0);
    check_content(name);
    for (int i = 0; i < 2000; ++i) { beat(writer); } /* compactions of what another processor has written */
    check_content(name);
    speculo_area_close(writer);
}

static void refuse(const char *name) {
    speculo_area *area = NULL;
    int error = speculo_area_open(name, SPECULO_OPEN_READ, NULL, &area);
    CHECK(error == -EPROTONOSUPPORT, error);
    error = speculo_area_open(name, SPECULO_OPEN_WRITE, NULL, &area);
    CHECK(error == -EPROTONOSUPPORT || error == -EBUSY, error); /* busy: the other one lives */
    error = speculo_area_check(name, NULL, NULL);
    CHECK(error == -EPROTONOSUPPORT, error);
    CHECK(area == NULL, 0);
}

static void self(const char *name) {
    int channel[2];
    CHECK(pipe(channel) == 0, errno);
    pid_t child = fork();
    CHECK(child >= 0, errno);
    if (child == 0) {
        dup2(channel[0], STDIN_FILENO);
        close(channel[1]);
        speculo_area *writer = open_writer(name, SPECULO_OPEN_CREATE);
        put_all(writer);
        write_on(writer);
        speculo_area_close(writer);
        _exit(0);
    }
    close(channel[0]);
    speculo_area *reader = NULL;
    for (int i = 0; i < 600 && !reader; ++i) { /* until everything is there */
        if (speculo_area_open(name, SPECULO_OPEN_NO_CURSOR, NULL, &reader) < 0) {
            poll(NULL, 0, 50);
            continue;
        }
        speculo_area_info info;
        memset(&info, 0, sizeof info);
        info.struct_size = sizeof info;
        CHECK(speculo_area_get_info(reader, &info) == 0, 0);
        if (info.newest_id < chunks) { reader = speculo_area_close(reader); }
    }
    CHECK(reader != NULL, 0);
    speculo_area_close(reader);
    check_content(name);
    check_waking(name);
    speculo_area *second = NULL;
    CHECK(speculo_area_open(name, SPECULO_OPEN_WRITE, NULL, &second) == -EBUSY, 0);
    close(channel[1]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0, status);
    take(name);
    CHECK(speculo_area_remove(name) == 0, 0);
    check_keys_apart(name);
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        void (*run)(const char *);
    } forms[] = {{"write", write_area}, {"read", check_content}, {"take", take}, {"refuse", refuse}, {"self", self}};
    for (size_t i = 0; count == 3 && i < sizeof forms / sizeof *forms; ++i) {
        if (strcmp(arguments[1], forms[i].name) != 0) { continue; }
        forms[i].run(arguments[2]);
        if (strcmp(arguments[1], "read") == 0) { check_waking(arguments[2]); }
        return 0;
    }
    fprintf(stderr, "usage: cell write|read|take|refuse|self NAME\n");
    return 2;
}
