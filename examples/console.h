/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the example programs need and what has nothing to do with shared memory: a view that refreshes in place on a terminal and
 * is plain lines elsewhere, numbers with units, sleeping, and an orderly end on SIGINT and SIGTERM.
 */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CONSOLE_PRINTF(position, first) __attribute__((format(printf, position, first)))
#else
#define CONSOLE_PRINTF(position, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Prepares standard output; SIGINT and SIGTERM make console_stopped() true from then on. */
void console_open(void);

/* Has the user, or the system, asked for the end? */
int console_stopped(void);

/* Is standard output a terminal that can be drawn on? */
int console_is_live(void);

/* Is it time to show something new? True every `refresh_ms` milliseconds; 0 means 250 on a terminal and 1000 elsewhere. */
int console_is_due(uint64_t refresh_ms);

/* On a terminal: starts a new picture over the former one, adds lines to it, shows it. Lines are cut to the width. */
enum console_style { CONSOLE_PLAIN, CONSOLE_TITLE, CONSOLE_GOOD, CONSOLE_BAD };
void console_begin(void);
void console_line(enum console_style style, const char *format, ...) CONSOLE_PRINTF(2, 3);
void console_end(void);

/* A line that stays. So does the picture above it: the next one starts anew below. */
void console_say(const char *format, ...) CONSOLE_PRINTF(1, 2);

/* A complaint on standard error. */
void console_complain(const char *format, ...) CONSOLE_PRINTF(1, 2);

void console_sleep(uint64_t milliseconds); /* ends early when a signal comes */
uint64_t console_now(void);                /* milliseconds since some moment */

/* The value of option `--name VALUE` or `--name=VALUE` at argv[*index], NULL if there is none. Moves *index on. */
const char *console_option(int argc, char **argv, int *index, const char *name);

/* Options that all followers have. Start with {0}: ten seconds to wait, no end by itself. */
struct console_times {
    uint64_t wait_ns, duration_ns, refresh_ms;
    uint64_t since; /* when the waiting, or the following, began; 0: not yet */
};
#define CONSOLE_TIMES_USAGE                                                                                                      \
    "  --wait TIME      how long to wait for the area to appear (default 10s)\n"                                                 \
    "  --duration TIME  end by itself after this time\n"                                                                         \
    "  --refresh MS     time between two reports (default 250 on a terminal, 1000 elsewhere)\n"

int console_take_times(struct console_times *times, int argc, char **argv, int *index); /* 1 if there was such an option */
int console_may_wait(
    struct console_times *times);                 /* waits a little and returns 1; 0: it was long enough, or the user says stop */
int console_is_over(struct console_times *times); /* has it been going for long enough, or does the user say stop? */

/* Whole numbers with an optional unit. 1, or 0 if the text is not one or does not fit. */
int console_parse_number(const char *text, uint64_t *ret_number);
int console_parse_size(const char *text, uint64_t *ret_bytes);  /* 4096, 256KiB, 1MiB, 2GiB */
int console_parse_duration(const char *text, uint64_t *ret_ns); /* 5s, 250ms, 2min, 1h; a number alone: seconds */

#ifdef __cplusplus
}
#endif

#endif
