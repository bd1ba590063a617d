/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the publisher and its followers agree on: the layout of the payloads, and how a follower tells that nothing was lost or
 * mixed. No call of the library is made here.
 *
 * A payload is read by other programs, in the byte order of the machine, where it lies. So: fixed-width types, no pointers, no
 * holes; what a program computes with is a number, what a person reads is text. The tag of a chunk says which struct it is; a
 * reader checks the tag and the size before it looks inside.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stddef.h>
#include <stdint.h>

#define FIGURES_NAME "figures" /* name of the area, if the command line has none */
#define FIGURES_BLOCK 1u       /* tag: struct figures_block, a changeable block; its key is "load", "cpu/0", "net/eth0", ... */
#define FIGURES_SAMPLE 2u      /* tag: struct figures_sample, an entry of the stream, without key, gone after a while */

/* One figure. In every round all blocks are replaced, in one commit, together with one sample. */
struct figures_block {
    uint64_t round;     /* counts on over all publishers of the area; the same in all blocks of one commit */
    uint64_t taken_ns;  /* speculo_now() at the start of the round */
    uint32_t publisher; /* 1 for the first one, 2 for the one that took over from it, ... */
    uint32_t blocks;    /* how many blocks this round has */
    int64_t value;      /* load x 1000, percent x 1000, or bytes */
    char text[64];      /* the same for people; ends with a zero byte */
};

struct figures_sample {
    uint64_t round, taken_ns;
    uint32_t publisher, reserved;
    int64_t load, memory, cpu, network; /* load x 1000, bytes in use, busiest CPU in percent x 1000, bytes in and out */
};

typedef char figures_block_has_no_holes[sizeof(struct figures_block) == 96 ? 1 : -1];
typedef char figures_sample_has_no_holes[sizeof(struct figures_sample) == 56 ? 1 : -1];

/* What a cursor has seen of the stream. Start with all zero. */
struct figures_stream {
    uint64_t chunks;      /* delivered, of any kind */
    uint64_t last_id;     /* of the newest one delivered */
    uint64_t passed;      /* ids that the library says it passed over */
    uint64_t samples;     /* delivered */
    uint64_t first, last; /* rounds of the first and the newest sample */
    uint64_t missing;     /* samples that should have come and did not */
    uint64_t disorder;    /* chunks that came too late, twice, or with a wrong count of ids passed over */
    uint64_t publishers;  /* how many wrote the samples seen */
    uint32_t publisher;   /* the newest of them */
};

/* Notes a chunk that a cursor delivered. Ids grow by one, so every gap must be one that the library has told of. */
static inline void figures_note_chunk(struct figures_stream *stream, uint64_t id, uint64_t passed) {
    if (stream->chunks++ > 0 && (id <= stream->last_id || id - stream->last_id - 1 != passed)) stream->disorder++;
    stream->passed += passed;
    stream->last_id = id;
}

/* Notes a sample. There is one in every round: a gap between two of them is a loss, unless they were left unread for so long that
 * they expired. Blocks may be passed over: a block that has a successor is of no use to anyone. */
static inline void figures_note_sample(struct figures_stream *stream, const struct figures_sample *sample) {
    if (stream->samples++ == 0)
        stream->first = sample->round;
    else if (sample->round <= stream->last)
        stream->disorder++;
    else
        stream->missing += sample->round - stream->last - 1;
    stream->last = sample->round;
    if (sample->publisher != stream->publisher) stream->publishers++;
    stream->publisher = sample->publisher;
}

/* What one snapshot holds. Start with all zero, note every chunk, then ask figures_is_whole(). */
struct figures_whole {
    uint64_t round; /* of the first block */
    uint32_t publisher;
    uint32_t expected;  /* blocks that the round has */
    uint32_t blocks;    /* blocks found */
    uint32_t strangers; /* blocks of another round, samples newer than the blocks */
    uint64_t samples, newest_sample;
};

static inline void figures_whole_block(struct figures_whole *whole, const struct figures_block *block) {
    if (whole->blocks++ == 0) {
        whole->round = block->round;
        whole->publisher = block->publisher;
        whole->expected = block->blocks;
    } else if (block->round != whole->round || block->publisher != whole->publisher)
        whole->strangers++;
}

static inline void figures_whole_sample(struct figures_whole *whole, const struct figures_sample *sample) {
    whole->samples++;
    whole->newest_sample = sample->round;
}

/* All blocks of one round, none of another, and no sample from the future of that round? */
static inline int figures_is_whole(const struct figures_whole *whole) {
    return whole->strangers == 0 && whole->blocks == whole->expected && whole->newest_sample <= whole->round;
}

/* What host.c asks of a plugin: a symbol `figures_plugin` of this type. Calls with a `text` leave a line there. */
struct figures_plugin {
    int (*open)(const char *area, char *text, size_t size); /* 1 open, 0 the area is not there yet, -1 failed */
    int (*descriptor)(void);                                /* readable when there is something for `step`; -1 none */
    int (*step)(char *text, size_t size);                   /* read what is new: 1 all is well, 0 the area is gone, -1 failed */
    int (*result)(char *text, size_t size);                 /* 1 nothing was lost or mixed, 0 something was */
    void (*close)(void);
};

#endif
