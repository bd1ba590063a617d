/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares figures of this machine. Each round is one commit:
 *
 *  - a block per figure, with a key ("load", "cpu/0", ...): it replaces the block that had the key, so a reader that asks for the
 *    key, or takes a snapshot, finds the newest at once;
 *  - one sample without a key and with a time to live: an entry of the stream, for readers that want the whole course.
 *
 * Readers see all of a round, or none of it. Kill this program in any way and start it again: it goes on where the last commit
 * was, and the readers do not even notice. Follow it with follow, follow-cpp, or host.
 */
#define _POSIX_C_SOURCE 200809L
#include "console.h"
#include "figures.h"
#include "machine.h"

#include <speculo/speculo.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct publisher {
    const char *name;
    uint64_t interval_ms, rounds, capacity, ttl_ns, refresh_ms;
    speculo_area *area;
    struct machine machine;
    uint32_t number;             /* 1: the first one of this area */
    uint64_t first_round, round; /* `round`: the last one committed, by this publisher or by one before it */
    uint64_t refused;            /* rounds for which there was no room */
};

static const char usage[] =
    "usage: publish [NAME] [--interval MS] [--rounds N] [--capacity SIZE] [--ttl TIME] [--refresh MS]\n"
    "       publish --remove [NAME]\n"
    "\n"
    "Shares figures of this machine in the area NAME (default: " FIGURES_NAME "), until Ctrl-C.\n"
    "\n"
    "  --interval MS    time between two rounds (default 100)\n"
    "  --rounds N       stop after so many rounds\n"
    "  --capacity SIZE  bytes for chunks in a segment (default 256KiB: small, so that it is compacted often)\n"
    "  --ttl TIME       how long a sample stays in the stream (default 5s)\n"
    "  --refresh MS     time between two reports (default 250 on a terminal, 1000 elsewhere)\n"
    "  --remove         remove the area instead\n";

/* ---- one round ------------------------------------------------------------------------------------------------------------- */

static int share_block(struct publisher *publisher, const struct machine_figure *figure, uint64_t now) {
    speculo_chunk_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.key = figure->key;
    options.key_size = strlen(figure->key);
    options.tag = FIGURES_BLOCK;

    void *room;
    int error = speculo_chunk_alloc(publisher->area, sizeof(struct figures_block), &options, &room, NULL);
    if (error < 0) return error;

    /* The block is written where the readers will read it. They do not see it before the commit. */
    struct figures_block *block = room;
    memset(block, 0, sizeof *block);
    block->round = publisher->round + 1;
    block->taken_ns = now;
    block->publisher = publisher->number;
    block->blocks = (uint32_t)publisher->machine.present;
    block->value = figure->value;
    memcpy(block->text, figure->text, sizeof block->text);
    return 0;
}

static int share_sample(struct publisher *publisher, uint64_t now) {
    speculo_chunk_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.ttl_ns = publisher->ttl_ns;
    options.tag = FIGURES_SAMPLE;

    void *room;
    int error = speculo_chunk_alloc(publisher->area, sizeof(struct figures_sample), &options, &room, NULL);
    if (error < 0) return error;

    struct figures_sample *sample = room;
    memset(sample, 0, sizeof *sample);
    sample->round = publisher->round + 1;
    sample->taken_ns = now;
    sample->publisher = publisher->number;
    sample->load = publisher->machine.load;
    sample->memory = publisher->machine.memory;
    sample->cpu = publisher->machine.cpu;
    sample->network = publisher->machine.network;
    return 0;
}

/* A network interface may have gone, also while no publisher was there to see it. */
static int remove_block(struct publisher *publisher, const struct machine_figure *figure) {
    int error = speculo_key_remove(publisher->area, figure->key, strlen(figure->key));
    return error == -ENOENT ? 0 : error;
}

static int share_round(struct publisher *publisher) {
    if (!machine_look(&publisher->machine)) return -ENOMEM;

    uint64_t now = speculo_now();
    int error = 0;
    for (size_t i = 0; i < publisher->machine.count && error == 0; i++) {
        const struct machine_figure *figure = &publisher->machine.figures[i];
        error = figure->present ? share_block(publisher, figure, now) : remove_block(publisher, figure);
    }
    if (error == 0) error = share_sample(publisher, now);
    if (error == 0) error = speculo_commit(publisher->area); /* here the round appears, all at once, and the former one is gone */
    if (error < 0) {
        speculo_rollback(publisher->area);
        return error;
    }
    publisher->round++;
    machine_forget_absent(&publisher->machine);
    return 0;
}

/* ---- beginning ------------------------------------------------------------------------------------------------------------- */

/* Looks at what publishers before this one have left: where they stopped, and the keys, so that none stays for ever. */
static int learn_from_snapshot(struct publisher *publisher, speculo_snapshot *snapshot) {
    speculo_chunk chunk;
    int got;
    while ((got = speculo_snapshot_next(snapshot, &chunk)) == 1) {
        char key[sizeof publisher->machine.figures->key];
        if (chunk.tag != FIGURES_BLOCK || chunk.size != sizeof(struct figures_block) || chunk.key_size >= sizeof key) continue;
        memcpy(key, chunk.key, chunk.key_size);
        key[chunk.key_size] = '\0';
        if (machine_find(&publisher->machine, key) == NULL) return -ENOMEM;
        const struct figures_block *block = chunk.data;
        publisher->round = block->round;
        publisher->number = block->publisher;
    }
    return got;
}

/* A writer's handle does not read; a second handle does. */
static int learn(struct publisher *publisher) {
    speculo_area *reader;
    speculo_snapshot *snapshot;
    int error = speculo_area_open(publisher->name, SPECULO_OPEN_READ | SPECULO_OPEN_NO_CURSOR, NULL, &reader);
    if (error < 0) return error;
    error = speculo_snapshot_open(reader, &snapshot);
    if (error == 0) {
        error = learn_from_snapshot(publisher, snapshot);
        speculo_snapshot_close(snapshot);
    }
    speculo_area_close(reader);
    publisher->number++;
    publisher->first_round = publisher->round + 1;
    return error;
}

static int begin(struct publisher *publisher) {
    speculo_area_options options;
    memset(&options, 0, sizeof options);
    options.struct_size = sizeof options;
    options.capacity = publisher->capacity;
    options.max_capacity = publisher->capacity * 16; /* grows on a machine with very many CPUs, or with a long --ttl */

    int error = speculo_area_open(publisher->name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &publisher->area);
    if (error == -EBUSY) {
        console_complain("publish: area '%s' has a publisher already", publisher->name);
        return error;
    }
    if (error == 0) error = learn(publisher);
    if (error < 0) {
        console_complain("publish: cannot open area '%s': %s", publisher->name, speculo_strerror(error));
        return error;
    }
    if (publisher->number > 1)
        console_say("publish: taking over area '%s' as publisher %" PRIu32 ", going on after round %" PRIu64, publisher->name,
                    publisher->number, publisher->round);
    else
        console_say("publish: sharing figures of this machine in area '%s', every %" PRIu64 " ms", publisher->name,
                    publisher->interval_ms);
    return 0;
}

/* ---- telling --------------------------------------------------------------------------------------------------------------- */

static void show(struct publisher *publisher, const speculo_area_info *info) {
    console_begin();
    console_line(CONSOLE_TITLE, "publish: area '%s', publisher %" PRIu32 ", round %" PRIu64, publisher->name, publisher->number,
                 publisher->round);
    console_line(CONSOLE_PLAIN, "chunks   %" PRIu64 " so far, %" PRIu64 " live, %" PRIu64 " superseded, %" PRIu64 " expired",
                 info->newest_id, info->live_chunks, info->superseded_chunks, info->expired_chunks);
    console_line(CONSOLE_PLAIN, "memory   %" PRIu64 " of %" PRIu64 " KiB used, %" PRIu64 " segments, %" PRIu64 " compactions",
                 info->used / 1024, info->capacity / 1024, info->segments, info->generation - 1);
    if (publisher->refused > 0)
        console_line(CONSOLE_BAD, "no room  for %" PRIu64 " rounds: choose a larger --capacity", publisher->refused);
    for (size_t i = 0; i < publisher->machine.count; i++)
        console_line(CONSOLE_PLAIN, "  %-12s %s", publisher->machine.figures[i].key, publisher->machine.figures[i].text);
    console_end();
}

static void report(struct publisher *publisher) {
    speculo_area_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    if (!console_is_due(publisher->refresh_ms) || speculo_area_get_info(publisher->area, &info) < 0) return;
    if (console_is_live()) {
        show(publisher, &info);
        return;
    }
    const struct machine_figure *load = machine_get(&publisher->machine, "load");
    console_say("publish: publisher %" PRIu32 ", round %" PRIu64 ": %zu blocks and a sample; chunk %" PRIu64 ", %" PRIu64
                " live, %" PRIu64 " compactions; load %s",
                publisher->number, publisher->round, publisher->machine.present, info.newest_id, info.live_chunks,
                info.generation - 1, load != NULL ? load->text : "unknown");
}

/* The last line is for programs. A round is a commit, so the number of the last round counts the commits of all publishers. */
static void conclude(struct publisher *publisher) {
    speculo_area_info info;
    memset(&info, 0, sizeof info);
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    if (speculo_area_get_info(publisher->area, &info) == 0)
        console_say("result role=publisher publisher=%" PRIu32 " first=%" PRIu64 " last=%" PRIu64 " chunks=%" PRIu64
                    " compactions=%" PRIu64 " refused=%" PRIu64,
                    publisher->number, publisher->first_round, publisher->round, info.newest_id, info.generation - 1,
                    publisher->refused);
}

/* ---- the program ----------------------------------------------------------------------------------------------------------- */

static int run(struct publisher *publisher) {
    uint64_t due = console_now();
    uint64_t done = 0;
    while (!console_stopped() && (publisher->rounds == 0 || done < publisher->rounds)) {
        int error = share_round(publisher);
        if (error == -ENOSPC)
            publisher->refused++; /* nothing has changed; samples expire, so there will be room again */
        else if (error < 0) {
            console_complain("publish: round %" PRIu64 ": %s", publisher->round + 1, speculo_strerror(error));
            return error;
        } else
            done++;
        report(publisher);

        uint64_t now = console_now();
        due = due + publisher->interval_ms > now ? due + publisher->interval_ms : now;
        if (due > now) console_sleep(due - now);
    }
    conclude(publisher);
    return 0;
}

static int remove_area(const char *name) {
    int error = speculo_area_remove(name);
    if (error < 0) {
        console_complain("publish: cannot remove area '%s': %s", name, speculo_strerror(error));
        return 1;
    }
    console_say("publish: area '%s' is removed", name);
    return 0;
}

/* 1: an option was taken; 0: it is not known, or its value is no good. */
static int take_option(struct publisher *publisher, int argc, char **argv, int *index) {
    const char *value;
    if ((value = console_option(argc, argv, index, "--interval")) != NULL)
        return console_parse_number(value, &publisher->interval_ms) && publisher->interval_ms <= 3600000;
    if ((value = console_option(argc, argv, index, "--rounds")) != NULL) return console_parse_number(value, &publisher->rounds);
    if ((value = console_option(argc, argv, index, "--capacity")) != NULL)
        return console_parse_size(value, &publisher->capacity) && publisher->capacity > 0 && publisher->capacity <= UINT32_MAX;
    if ((value = console_option(argc, argv, index, "--ttl")) != NULL) return console_parse_duration(value, &publisher->ttl_ns);
    if ((value = console_option(argc, argv, index, "--refresh")) != NULL)
        return console_parse_number(value, &publisher->refresh_ms);
    return 0;
}

int main(int argc, char **argv) {
    struct publisher publisher;
    memset(&publisher, 0, sizeof publisher);
    publisher.name = FIGURES_NAME;
    publisher.interval_ms = 100;
    publisher.capacity = 256 * 1024;
    publisher.ttl_ns = 5 * UINT64_C(1000000000);

    int removing = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--remove") == 0)
            removing = 1;
        else if (argv[i][0] != '-')
            publisher.name = argv[i];
        else if (!take_option(&publisher, argc, argv, &i)) {
            console_complain("publish: cannot make sense of '%s'\n\n%s", argv[i], usage);
            return 2;
        }
    }
    console_open();
    if (removing) return remove_area(publisher.name);

    int error = begin(&publisher);
    if (error == 0) error = run(&publisher);
    speculo_area_close(publisher.area);
    machine_free(&publisher.machine);
    return error < 0 ? 1 : 0;
}
