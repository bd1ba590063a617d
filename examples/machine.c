/* SPDX-License-Identifier: LGPL-2.1-or-later */
#define _POSIX_C_SOURCE 200809L
#include "machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint64_t cpu_window = 25; /* ticks of time after which a CPU's share is worked out anew */

/* ---- the table ------------------------------------------------------------------------------------------------------------- */

struct machine_figure *machine_find(struct machine *machine, const char *key) {
    /* The system lists things in the same order each time, so what is wanted is mostly the one behind the last. */
    for (size_t i = 0; i < machine->count; i++) {
        size_t at = (machine->next + i) % machine->count;
        if (strcmp(machine->figures[at].key, key) == 0) {
            machine->next = at + 1;
            return &machine->figures[at];
        }
    }
    if (machine->count == machine->room) {
        size_t room = machine->room * 2 + 16;
        struct machine_figure *figures = realloc(machine->figures, room * sizeof *figures);
        if (figures == NULL) return NULL;
        machine->figures = figures;
        machine->room = room;
    }
    struct machine_figure *figure = &machine->figures[machine->count++];
    memset(figure, 0, sizeof *figure);
    snprintf(figure->key, sizeof figure->key, "%s", key);
    machine->next = machine->count;
    return figure;
}

const struct machine_figure *machine_get(struct machine *machine, const char *key) {
    for (size_t i = 0; i < machine->count; i++)
        if (machine->figures[i].present && strcmp(machine->figures[i].key, key) == 0) return &machine->figures[i];
    return NULL;
}

void machine_forget_absent(struct machine *machine) {
    size_t kept = 0;
    for (size_t i = 0; i < machine->count; i++)
        if (machine->figures[i].present) machine->figures[kept++] = machine->figures[i];
    machine->count = kept;
}

void machine_free(struct machine *machine) {
    free(machine->figures);
    memset(machine, 0, sizeof *machine);
}

static struct machine_figure *found(struct machine *machine, const char *key) {
    struct machine_figure *figure = machine_find(machine, key);
    if (figure != NULL && !figure->present) {
        figure->present = 1;
        machine->present++;
    }
    return figure;
}

/* ---- looking --------------------------------------------------------------------------------------------------------------- */

static int look_at_time(struct machine *machine) {
    struct machine_figure *figure = found(machine, "time");
    if (figure == NULL) return 0;
    time_t now = time(NULL);
    struct tm parts;
    figure->value = (int64_t)now;
    if (localtime_r(&now, &parts) == NULL || strftime(figure->text, sizeof figure->text, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        figure->text[0] = '\0';
    return 1;
}

static int look_at_load(struct machine *machine) {
    FILE *file = fopen("/proc/loadavg", "re");
    if (file == NULL) return 1;
    double load[3];
    int fields = fscanf(file, "%lf %lf %lf", &load[0], &load[1], &load[2]);
    fclose(file);
    if (fields != 3) return 1;
    struct machine_figure *figure = found(machine, "load");
    if (figure == NULL) return 0;
    machine->load = figure->value = (int64_t)(load[0] * 1000);
    snprintf(figure->text, sizeof figure->text, "%.2f %.2f %.2f", load[0], load[1], load[2]);
    return 1;
}

static int look_at_memory(struct machine *machine) {
    FILE *file = fopen("/proc/meminfo", "re");
    if (file == NULL) return 1;
    char line[128];
    uint64_t total = 0, available = 0;
    while ((total == 0 || available == 0) && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "MemTotal: %" SCNu64, &total);
        sscanf(line, "MemAvailable: %" SCNu64, &available);
    }
    fclose(file);
    if (total == 0 || available > total) return 1;
    struct machine_figure *figure = found(machine, "memory");
    if (figure == NULL) return 0;
    machine->memory = figure->value = (int64_t)((total - available) * 1024);
    snprintf(figure->text, sizeof figure->text, "%.2f of %.2f GiB in use", (double)(total - available) / (1 << 20),
             (double)total / (1 << 20));
    return 1;
}

static int note_cpu(struct machine *machine, unsigned number, const uint64_t *ticks) {
    char key[48];
    snprintf(key, sizeof key, "cpu/%u", number);
    struct machine_figure *figure = found(machine, key);
    if (figure == NULL) return 0;
    uint64_t total = 0;
    for (int i = 0; i < 8; i++) total += ticks[i];
    uint64_t busy = total - ticks[3] - ticks[4];      /* idle, and waiting for input and output */
    if (total < figure->total || busy < figure->busy) /* it was away meanwhile */
        figure->total = figure->busy = 0;
    if (total - figure->total >= cpu_window) {
        double share = 100.0 * (double)(busy - figure->busy) / (double)(total - figure->total);
        figure->value = (int64_t)(share * 1000);
        snprintf(figure->text, sizeof figure->text, "%.1f %% busy", share);
        figure->busy = busy;
        figure->total = total;
    }
    if (figure->value > machine->cpu) machine->cpu = figure->value;
    return 1;
}

static int look_at_cpus(struct machine *machine) {
    FILE *file = fopen("/proc/stat", "re");
    if (file == NULL) return 1;
    char line[512];
    int going = 1;
    machine->cpu = 0;
    while (going && fgets(line, sizeof line, file) != NULL && strncmp(line, "cpu", 3) == 0) {
        unsigned number;
        uint64_t ticks[8] = {0};
        if (line[3] == ' ') continue; /* the sum of all */
        if (sscanf(line, "cpu%u %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64,
                   &number, &ticks[0], &ticks[1], &ticks[2], &ticks[3], &ticks[4], &ticks[5], &ticks[6], &ticks[7]) >= 5)
            going = note_cpu(machine, number, ticks);
    }
    fclose(file);
    return going;
}

static int look_at_network(struct machine *machine) {
    FILE *file = fopen("/proc/net/dev", "re");
    if (file == NULL) return 1;
    char line[512];
    int going = 1;
    machine->network = 0;
    while (going && fgets(line, sizeof line, file) != NULL) {
        uint64_t in, out;
        char *colon = strrchr(line, ':'); /* the two lines of headings have none */
        if (colon == NULL || sscanf(colon + 1, "%" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &in, &out) != 2) continue;
        *colon = '\0';
        char key[48];
        snprintf(key, sizeof key, "net/%.40s", line + strspn(line, " "));
        struct machine_figure *figure = found(machine, key);
        if (figure == NULL) {
            going = 0;
            break;
        }
        figure->value = (int64_t)(in + out);
        machine->network += figure->value;
        snprintf(figure->text, sizeof figure->text, "%.1f MiB in, %.1f MiB out", (double)in / (1 << 20), (double)out / (1 << 20));
    }
    fclose(file);
    return going;
}

int machine_look(struct machine *machine) {
    for (size_t i = 0; i < machine->count; i++) machine->figures[i].present = 0;
    machine->present = 0;
    machine->next = 0;
    return look_at_time(machine) && look_at_load(machine) && look_at_memory(machine) && look_at_cpus(machine) &&
           look_at_network(machine);
}
