/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A C program outside the project: shares one chunk and reads it back. Plain C99. */
#include <speculo/speculo.h>

#include <stdio.h>
#include <string.h>

static int check(const char *what, int result) {
    if (result < 0) fprintf(stderr, "%s: %s\n", what, speculo_strerror(result));
    return result;
}

static int publish(const char *name, speculo_area **ret_writer) {
    void *data;
    int result = check("open", speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, NULL, ret_writer));
    if (result < 0) return result;
    result = check("alloc", speculo_chunk_alloc(*ret_writer, 6, NULL, &data, NULL));
    if (result < 0) return result;
    memcpy(data, "hello", 6);
    return check("commit", speculo_commit(*ret_writer));
}

static int read_back(const char *name) {
    speculo_area *reader;
    speculo_chunk chunk;
    int result = check("open to read", speculo_area_open(name, SPECULO_OPEN_READ, NULL, &reader));
    if (result < 0) return result;
    result = check("read_next", speculo_read_next(reader, &chunk));
    if (result == 1) printf("%s %.*s\n", speculo_version(), (int)chunk.size, (const char *)chunk.data);
    speculo_area_close(reader);
    return result;
}

int main(int argc, char **argv) {
    speculo_area *writer = NULL;
    int result;
    if (argc != 2) return 2;
    result = publish(argv[1], &writer);
    if (result == 0) result = read_back(argv[1]);
    speculo_area_close(writer);
    if (check("remove", speculo_area_remove(argv[1])) < 0) return 1;
    return result == 1 ? 0 : 1;
}
