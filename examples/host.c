/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program with plugins: loads plugin.c's shared object, lets it read an area, and unloads it again. The host itself is not
 * linked to libspeculo.
 */
#define _DEFAULT_SOURCE
#include "console.h"
#include "figures.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

struct host {
    const char *path, *area;
    struct console_times times;
};

static const char usage[] =
    "usage: host PLUGIN [NAME] [--wait TIME] [--duration TIME] [--refresh MS]\n"
    "\n"
    "Loads PLUGIN (such as ./plugin.so), which follows the figures in the area NAME (default: " FIGURES_NAME "), until Ctrl-C.\n"
    "\n" CONSOLE_TIMES_USAGE "\n"
    "The exit status is 0 if nothing was lost or mixed, and the plugin could be unloaded.\n";

static int begin(struct host *host, const struct figures_plugin *plugin) {
    char text[256] = "";
    int opened, told = 0;
    do {
        opened = plugin->open(host->area, text, sizeof text);
        if (opened == 0 && !told) console_say("host: waiting for area '%s'", host->area);
        told = 1;
    } while (opened == 0 && console_may_wait(&host->times));
    host->times.since = console_now();
    if (opened == 1)
        console_say("host: %s", text);
    else
        console_complain("host: cannot open area '%s': %s", host->area, text);
    return opened == 1;
}

/* Returns 1 if all was well. */
static int run(struct host *host, const struct figures_plugin *plugin) {
    char text[512] = "";
    int state, last;
    do {
        last = console_is_over(&host->times);
        state = plugin->step(text, sizeof text);
        if (state == 1 && console_is_due(host->times.refresh_ms)) {
            if (console_is_live()) {
                console_begin();
                console_line(CONSOLE_PLAIN, "host: %s", text);
                console_end();
            } else
                console_say("host: %s", text);
        }
        struct pollfd ready = {plugin->descriptor(), POLLIN, 0};
        if (!last) poll(&ready, 1, 100);
    } while (state == 1 && !last);

    if (state < 0)
        console_complain("host: area '%s': %s", host->area, text);
    else if (state == 0)
        console_say("host: %s", text);
    int ok = plugin->result(text, sizeof text);
    console_say("%s", text);
    return ok && state >= 0;
}

static int load(struct host *host) {
    void *object = dlopen(host->path, RTLD_NOW | RTLD_LOCAL);
    const struct figures_plugin *plugin = object != NULL ? dlsym(object, "figures_plugin") : NULL;
    if (plugin == NULL) {
        console_complain("host: cannot load the plugin: %s", dlerror());
        return 0;
    }
    int ok = 0;
    if (begin(host, plugin)) {
        ok = run(host, plugin);
        plugin->close();
    }
    dlclose(object);
#ifdef RTLD_NOLOAD
    if (dlopen(host->path, RTLD_NOW | RTLD_NOLOAD) != NULL) {
        console_complain("host: the plugin stays in memory");
        return 0;
    }
#endif
    return ok;
}

int main(int argc, char **argv) {
    struct host host;
    memset(&host, 0, sizeof host);
    host.area = FIGURES_NAME;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (argv[i][0] != '-' && host.path == NULL)
            host.path = argv[i];
        else if (argv[i][0] != '-')
            host.area = argv[i];
        else if (!console_take_times(&host.times, argc, argv, &i)) {
            console_complain("host: cannot make sense of '%s'\n\n%s", argv[i], usage);
            return 2;
        }
    }
    if (host.path == NULL) {
        console_complain("host: which plugin?\n\n%s", usage);
        return 2;
    }
    console_open();
    return load(&host) ? 0 : 1;
}
