/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures of this machine, read from /proc: load, memory, every CPU, every network interface, and the time of day. What the
 * system does not tell is simply not there. No shared memory here: publish.c takes these figures and shares them.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

struct machine_figure {
    char key[48];         /* "load", "cpu/0", "net/eth0", ... */
    char text[64];        /* for people */
    int64_t value;        /* load x 1000, percent x 1000, bytes, seconds */
    uint64_t busy, total; /* a CPU's ticks when `value` was worked out */
    int present;          /* 0: the last look did not find it */
};

struct machine { /* start with all zero */
    struct machine_figure *figures;
    size_t count, room;
    size_t next;                        /* where the next figure is likely to be */
    size_t present;                     /* how many figures the last look found */
    int64_t load, memory, cpu, network; /* over all: load x 1000, bytes in use, busiest CPU in percent x 1000, bytes in and out */
};

int machine_look(struct machine *machine);                                          /* 0 without memory, else 1 */
struct machine_figure *machine_find(struct machine *machine, const char *key);      /* adds it if need be; NULL without memory */
const struct machine_figure *machine_get(struct machine *machine, const char *key); /* NULL if it is not present */
void machine_forget_absent(struct machine *machine);
void machine_free(struct machine *machine);

#endif
