/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _POSIX_C_SOURCE 200809L
#include "console.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;

static struct {
    int live, colour;
    size_t rows, columns; /* of the terminal */
    size_t drawn;         /* lines of the picture that is on it */
    size_t lines;         /* lines of the new one so far */
    uint64_t due;
} console;

/* ---- the terminal ---------------------------------------------------------------------------------------------------------- */

static void stop(int number) {
    (void)number;
    stopped = 1;
}

void console_open(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = stop; /* without SA_RESTART: sleeping and reading end at once */
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    const char *terminal = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    console.live = isatty(STDOUT_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
    console.colour = console.live && (no_colour == NULL || no_colour[0] == '\0');
    if (console.live) setvbuf(stdout, NULL, _IOFBF, 1 << 14); /* a picture appears at once */
}

int console_stopped(void) { return stopped != 0; }

int console_is_live(void) { return console.live; }

int console_is_due(uint64_t refresh_ms) {
    uint64_t now = console_now();
    if (now < console.due) return 0;
    console.due = now + (refresh_ms != 0 ? refresh_ms : console.live ? 250 : 1000);
    return 1;
}

static void measure(void) {
    console.rows = 24;
    console.columns = 80;
#ifdef TIOCGWINSZ
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        console.rows = size.ws_row;
        console.columns = size.ws_col;
    }
#endif
}

void console_begin(void) {
    if (!console.live) return;
    measure();
    if (console.drawn > 0) printf("\033[%zuA\r", console.drawn);
    console.lines = 0;
}

void console_line(enum console_style style, const char *format, ...) {
    static const char *const marks[] = {"", "\033[1m", "\033[32m", "\033[1;31m"};
    if (!console.live || console.lines + 1 >= console.rows) return;

    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (console.columns - 1 < sizeof text) text[console.columns - 1] = '\0';
    for (char *c = text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~') *c = '?'; /* what comes from elsewhere does not steer the terminal */

    const char *mark = console.colour ? marks[style] : "";
    printf("%s%s%s\033[K\n", mark, text, mark[0] != '\0' ? "\033[0m" : "");
    console.lines++;
}

void console_end(void) {
    if (!console.live) return;
    printf("\033[J");
    console.drawn = console.lines;
    fflush(stdout);
}

void console_say(const char *format, ...) {
    console.drawn = 0;
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

void console_complain(const char *format, ...) {
    fflush(stdout);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

void console_sleep(uint64_t milliseconds) {
    struct timespec time;
    time.tv_sec = (time_t)(milliseconds / 1000);
    time.tv_nsec = (long)(milliseconds % 1000) * 1000000;
    nanosleep(&time, NULL);
}

uint64_t console_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* ---- the command line ------------------------------------------------------------------------------------------------------ */

const char *console_option(int argc, char **argv, int *index, const char *name) {
    const char *argument = argv[*index];
    size_t length = strlen(name);
    if (strncmp(argument, name, length) != 0) return NULL;
    if (argument[length] == '=') return argument + length + 1;
    if (argument[length] == '\0' && *index + 1 < argc) return argv[++*index];
    return NULL;
}

int console_take_times(struct console_times *times, int argc, char **argv, int *index) {
    const char *value;
    if ((value = console_option(argc, argv, index, "--wait")) != NULL) return console_parse_duration(value, &times->wait_ns);
    if ((value = console_option(argc, argv, index, "--duration")) != NULL)
        return console_parse_duration(value, &times->duration_ns);
    if ((value = console_option(argc, argv, index, "--refresh")) != NULL) return console_parse_number(value, &times->refresh_ms);
    return 0;
}

static uint64_t elapsed_ns(struct console_times *times) {
    uint64_t now = console_now();
    if (times->since == 0) times->since = now;
    return (now - times->since) * 1000000;
}

int console_may_wait(struct console_times *times) {
    uint64_t most = times->wait_ns != 0 ? times->wait_ns : 10 * UINT64_C(1000000000);
    if (console_stopped() || elapsed_ns(times) >= most) return 0;
    console_sleep(10);
    return 1;
}

int console_is_over(struct console_times *times) {
    return console_stopped() || (elapsed_ns(times) >= times->duration_ns && times->duration_ns > 0);
}

struct unit {
    const char *name;
    uint64_t factor;
};

static int parse(const char *text, const struct unit *units, uint64_t *ret_number) {
    if (text[0] < '0' || text[0] > '9') return 0;
    char *rest;
    int saved = errno;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, 10);
    int failed = errno != 0;
    errno = saved;
    for (const struct unit *unit = units; !failed && unit->name != NULL; unit++)
        if (strcmp(rest, unit->name) == 0) {
            if (number > UINT64_MAX / unit->factor) return 0;
            *ret_number = (uint64_t)number * unit->factor;
            return 1;
        }
    return 0;
}

int console_parse_number(const char *text, uint64_t *ret_number) {
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    return parse(text, units, ret_number);
}

int console_parse_size(const char *text, uint64_t *ret_bytes) {
    static const struct unit units[] = {{"", 1},          {"B", 1},       {"K", 1 << 10},   {"KiB", 1 << 10}, {"M", 1 << 20},
                                        {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30}, {NULL, 0}};
    return parse(text, units, ret_bytes);
}

int console_parse_duration(const char *text, uint64_t *ret_ns) {
    static const struct unit units[] = {{"", 1000000000},
                                        {"ns", 1},
                                        {"us", 1000},
                                        {"ms", 1000000},
                                        {"s", 1000000000},
                                        {"min", 60000000000},
                                        {"h", 3600000000000},
                                        {"d", 86400000000000},
                                        {NULL, 0}};
    return parse(text, units, ret_ns);
}
