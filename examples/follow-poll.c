/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waits for an area and for standard input at once, by poll(): prints each chunk of text that comes, and each line that is typed.
 * Try it with `some-command | publish-lines NAME`.
 */
#define _DEFAULT_SOURCE
#include <speculo/speculo.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static const char usage[] =
    "usage: follow-poll NAME\n\n"
    "Prints the chunks of the area NAME and the lines of standard input as they come, until the writer is gone or the\n"
    "input ends.\n";

/* Everything that is there; 0 then, or an error. */
static int read_all(speculo_area *area) {
    speculo_chunk chunk;
    int got;
    while ((got = speculo_read_next(area, &chunk)) == 1) printf("%.*s\n", (int)chunk.size, (const char *)chunk.data);
    fflush(stdout);
    return got;
}

/* Reads until dispatch says that there is no more: from then on the descriptor tells of news. */
static int follow(speculo_area *area) {
    int got;
    while ((got = speculo_area_dispatch(area)) == 1) {
        if ((got = read_all(area)) < 0) break;
    }
    return got;
}

/* 1, or 0 at the end. */
static int take_input(void) {
    char text[4096];
    ssize_t size = read(STDIN_FILENO, text, sizeof text);
    if (size > 0) printf("typed: %.*s", (int)size, text);
    fflush(stdout);
    return size > 0;
}

int main(int argc, char **argv) {
    if (argc != 2 || argv[1][0] == '-') {
        fputs(usage, stderr);
        return 2;
    }
    speculo_area *area;
    int got = speculo_area_open(argv[1], SPECULO_OPEN_READ, NULL, &area);
    if (got < 0) {
        fprintf(stderr, "follow-poll: cannot open area '%s': %s\n", argv[1], speculo_strerror(got));
        return 1;
    }
    struct pollfd ready[2] = {{speculo_area_get_fd(area), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    int goes_on = ready[0].fd >= 0;
    got = goes_on ? 0 : ready[0].fd;
    while (goes_on && poll(ready, 2, -1) >= 0) {
        if (ready[0].revents) goes_on = (got = follow(area)) == 0;
        if (goes_on && ready[1].revents) goes_on = take_input();
    }
    if (got < 0) fprintf(stderr, "follow-poll: %s\n", speculo_strerror(got));
    speculo_area_close(area);
    return got < 0 && got != -EPIPE;
}
