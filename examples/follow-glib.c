/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An area as a source of a GLib main loop, by an ordinary watch of its descriptor. Prints each chunk of text that comes.
 * Try it with `some-command | publish-lines NAME`. Loops of Qt and libuv take the descriptor in the same way.
 */
#include <speculo/speculo.h>

#include <errno.h>
#include <glib-unix.h>
#include <glib.h>
#include <stdio.h>

struct follower {
    speculo_area *area;
    GMainLoop *loop;
    int status;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer user) {
    struct follower *follower = user;
    speculo_chunk chunk;
    int got;
    (void)fd, (void)condition;
    while ((got = speculo_area_dispatch(follower->area)) == 1) {
        while ((got = speculo_read_next(follower->area, &chunk)) == 1)
            g_print("%.*s\n", (int)chunk.size, (const char *)chunk.data);
        if (got < 0) break;
    }
    if (got == 0) return G_SOURCE_CONTINUE;
    g_printerr("follow-glib: %s\n", speculo_strerror(got));
    follower->status = got != -EPIPE;
    g_main_loop_quit(follower->loop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv) {
    struct follower follower = {NULL, NULL, 0};
    if (argc != 2 || argv[1][0] == '-') {
        g_printerr("usage: follow-glib NAME\n\nPrints the chunks of the area NAME as they come, until the writer is gone.\n");
        return 2;
    }
    int error = speculo_area_open(argv[1], SPECULO_OPEN_READ, NULL, &follower.area);
    int fd = error < 0 ? error : speculo_area_get_fd(follower.area);
    if (fd < 0) {
        g_printerr("follow-glib: cannot follow area '%s': %s\n", argv[1], speculo_strerror(fd));
        speculo_area_close(follower.area);
        return 1;
    }
    follower.loop = g_main_loop_new(NULL, FALSE);
    g_unix_fd_add(fd, G_IO_IN, on_readable, &follower);
    g_main_loop_run(follower.loop);
    g_main_loop_unref(follower.loop);
    speculo_area_close(follower.area);
    return follower.status;
}
