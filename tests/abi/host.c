/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A program that has never heard of speculo loads and unloads what uses it, 100 times in one process. Nothing may be left behind:
 * no descriptor, no mapping of an area, no thread, no signal handler.
 *
 * usage: host PLUGIN
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { rounds = 100 };

struct traces {
    int descriptors, mappings, threads;
    char handlers[32];
};

static int entries(const char *path) {
    int count = 0;
    DIR *directory = opendir(path);
    while (directory != NULL && readdir(directory) != NULL) count++;
    if (directory != NULL) closedir(directory);
    return count;
}

/* The next line of a file that contains a word; 0 at its end. */
static int next_line(FILE *file, const char *word, char *line, int size) {
    while (fgets(line, size, file) != NULL) {
        if (strstr(line, word) != NULL) return 1;
    }
    line[0] = '\0';
    return 0;
}

static int mappings_of(const char *area) {
    char line[4096];
    int count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    if (file == NULL) return -1;
    while (next_line(file, area, line, sizeof line)) count++;
    fclose(file);
    return count;
}

static void find_handlers(char *line, int size) {
    FILE *file = fopen("/proc/self/status", "r");
    if (file == NULL) return;
    next_line(file, "SigCgt:", line, size);
    line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

static struct traces look(const char *area) {
    struct traces traces;
    memset(&traces, 0, sizeof traces);
    traces.descriptors = entries("/proc/self/fd");
    traces.mappings = mappings_of(area);
    traces.threads = entries("/proc/self/task");
    find_handlers(traces.handlers, sizeof traces.handlers);
    return traces;
}

static int same(const struct traces *before, const struct traces *after) {
    printf("descriptors %d, %d; mappings %d, %d; threads %d, %d; handlers %s, %s\n", before->descriptors, after->descriptors,
           before->mappings, after->mappings, before->threads, after->threads, before->handlers, after->handlers);
    return before->descriptors == after->descriptors && before->mappings == after->mappings &&
           before->threads == after->threads && strcmp(before->handlers, after->handlers) == 0;
}

static int load_run_unload(const char *path, const char *area) {
    typedef int run_fn(const char *);
    run_fn *run;
    int result;
    void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
        printf("%s\n", dlerror());
        return 0;
    }
    *(void **)&run = dlsym(plugin, "plugin_run"); /* what POSIX asks for */
    result = run != NULL ? run(area) : 0;
    if (result != 1) printf("plugin_run: %d\n", result);
    dlclose(plugin);
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD) != NULL) {
        printf("the plugin cannot be unloaded\n");
        return 0;
    }
    return result == 1;
}

int main(int argc, char **argv) {
    char area[64];
    struct traces before, after;
    int i;
    if (argc != 2) return 2;
    snprintf(area, sizeof area, "speculo-test-%ld-plugin", (long)getpid());
    before = look(area);
    for (i = 0; i < rounds; i++) {
        if (!load_run_unload(argv[1], area)) {
            printf("failed in round %d\n", i + 1);
            return 1;
        }
    }
    after = look(area);
    return !same(&before, &after);
}
