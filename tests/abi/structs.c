/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The structs of the header have the layout they were released with.
 *
 * Each copy below is that of the release in its name. It is never edited: a release that gives meaning to a reserved field adds a
 * copy of its own.
 */
#include <speculo/speculo.h>

#include <stdio.h>

struct area_options_0_1 {
    size_t struct_size;
    uint64_t capacity;
    uint64_t max_capacity;
    uint32_t mode;
    uint32_t compact_percent;
    uint64_t prefault;
    uint32_t segments;
    uint32_t flags;
    uint32_t trusted_uid;
    uint32_t reserved32;
    uint64_t reserved[4];
};

struct area_info_0_1 {
    size_t struct_size;
    uint32_t flags;
    uint32_t mode;
    uint64_t capacity;
    uint64_t used;
    uint64_t live_chunks;
    uint64_t live_bytes;
    uint64_t expired_chunks;
    uint64_t superseded_chunks;
    uint64_t newest_id;
    uint64_t generation;
    uint64_t segments;
    uint64_t memory;
    uint64_t skipped;
    uint32_t writer_alive;
    uint32_t owner_uid;
    uint64_t jumps;
    uint64_t reserved[7];
};

struct chunk_options_0_1 {
    size_t struct_size;
    uint64_t ttl_ns;
    uint64_t supersedes;
    const void *key;
    size_t key_size;
    uint32_t alignment;
    uint32_t tag;
    uint32_t flags;
    uint32_t reserved32;
    uint64_t reserved[4];
};

struct chunk_0_1 {
    const void *data;
    size_t size;
    uint64_t id;
    const void *key;
    size_t key_size;
    uint64_t expires_ns;
    uint64_t skipped;
    uint32_t tag;
    uint32_t flags;
    uint64_t opaque[4];
};

static int failures;

static void same(const char *what, size_t now, size_t then) {
    if (now == then) return;
    printf("%s: %zu, released as %zu\n", what, now, then);
    failures++;
}

#define SAME_SIZE(type) same("size of " #type, sizeof(speculo_##type), sizeof(struct type##_0_1))
#define SAME_FIELD(type, field)                                                                                                  \
    (same("offset of " #type "." #field, offsetof(speculo_##type, field), offsetof(struct type##_0_1, field)),                   \
     same("size of " #type "." #field, sizeof((speculo_##type *)0)->field, sizeof((struct type##_0_1 *)0)->field))

static void area_options(void) {
    SAME_SIZE(area_options);
    SAME_FIELD(area_options, struct_size);
    SAME_FIELD(area_options, capacity);
    SAME_FIELD(area_options, max_capacity);
    SAME_FIELD(area_options, mode);
    SAME_FIELD(area_options, compact_percent);
    SAME_FIELD(area_options, prefault);
    SAME_FIELD(area_options, segments);
    SAME_FIELD(area_options, flags);
    SAME_FIELD(area_options, trusted_uid);
    SAME_FIELD(area_options, reserved32);
    SAME_FIELD(area_options, reserved);
}

static void area_info(void) {
    SAME_SIZE(area_info);
    SAME_FIELD(area_info, struct_size);
    SAME_FIELD(area_info, flags);
    SAME_FIELD(area_info, mode);
    SAME_FIELD(area_info, capacity);
    SAME_FIELD(area_info, used);
    SAME_FIELD(area_info, live_chunks);
    SAME_FIELD(area_info, live_bytes);
    SAME_FIELD(area_info, expired_chunks);
    SAME_FIELD(area_info, superseded_chunks);
    SAME_FIELD(area_info, newest_id);
    SAME_FIELD(area_info, generation);
    SAME_FIELD(area_info, segments);
    SAME_FIELD(area_info, memory);
    SAME_FIELD(area_info, skipped);
    SAME_FIELD(area_info, writer_alive);
    SAME_FIELD(area_info, owner_uid);
    SAME_FIELD(area_info, jumps);
    SAME_FIELD(area_info, reserved);
}

static void chunk_options(void) {
    SAME_SIZE(chunk_options);
    SAME_FIELD(chunk_options, struct_size);
    SAME_FIELD(chunk_options, ttl_ns);
    SAME_FIELD(chunk_options, supersedes);
    SAME_FIELD(chunk_options, key);
    SAME_FIELD(chunk_options, key_size);
    SAME_FIELD(chunk_options, alignment);
    SAME_FIELD(chunk_options, tag);
    SAME_FIELD(chunk_options, flags);
    SAME_FIELD(chunk_options, reserved32);
    SAME_FIELD(chunk_options, reserved);
}

static void chunk(void) {
    SAME_SIZE(chunk);
    SAME_FIELD(chunk, data);
    SAME_FIELD(chunk, size);
    SAME_FIELD(chunk, id);
    SAME_FIELD(chunk, key);
    SAME_FIELD(chunk, key_size);
    SAME_FIELD(chunk, expires_ns);
    SAME_FIELD(chunk, skipped);
    SAME_FIELD(chunk, tag);
    SAME_FIELD(chunk, flags);
    SAME_FIELD(chunk, opaque);
}

/* Flags are part of the ABI like the structs. */
static void flags(void) {
    same("SPECULO_OPEN_READ", SPECULO_OPEN_READ, 0);
    same("SPECULO_OPEN_WRITE", SPECULO_OPEN_WRITE, 1);
    same("SPECULO_OPEN_CREATE", SPECULO_OPEN_CREATE, 2);
    same("SPECULO_OPEN_EXCLUSIVE", SPECULO_OPEN_EXCLUSIVE, 4);
    same("SPECULO_OPEN_AT_END", SPECULO_OPEN_AT_END, 8);
    same("SPECULO_OPEN_UNTRUSTED", SPECULO_OPEN_UNTRUSTED, 16);
    same("SPECULO_OPEN_NO_CURSOR", SPECULO_OPEN_NO_CURSOR, 32);
    same("SPECULO_AREA_LOSSLESS", SPECULO_AREA_LOSSLESS, 1);
    same("SPECULO_AREA_TRUST_UID", SPECULO_AREA_TRUST_UID, 2);
    same("SPECULO_INFO_QUICK", SPECULO_INFO_QUICK, 1);
    same("SPECULO_CHUNK_REMOVED", SPECULO_CHUNK_REMOVED, 1);
    same("SPECULO_CHUNK_TRANSIENT", SPECULO_CHUNK_TRANSIENT, 2);
    same("SPECULO_CHUNK_JUMPED", SPECULO_CHUNK_JUMPED, 4);
}

int main(void) {
    area_options();
    area_info();
    chunk_options();
    chunk();
    flags();
    return failures != 0;
}
