// SPDX-License-Identifier: LGPL-2.1-or-later
// The hot paths one by one, each in a function of its own, for budget.py to count instructions in. Nothing compacts meanwhile, and
// every reader stands in the segment already.
//
// usage: hot-paths            prints the names of the paths
//        hot-paths PATH       runs that one, as often as was printed with its name, in path_PATH()
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <unistd.h>

#include <speculo/speculo.h>

namespace {

constexpr uint64_t rounds = 10000;
constexpr size_t keys = 100;

void check(bool is_good, const char *what) {
    if (is_good) { return; }
    std::fprintf(stderr, "hot-paths: %s\n", what);
    std::exit(1);
}

// What a program has at hand: the options of each key.
std::vector<speculo_chunk_options> keyed() {
    static char names[keys][8];
    std::vector<speculo_chunk_options> all(keys);
    for (size_t i = 0; i < keys; ++i) {
        all[i].struct_size = sizeof all[i];
        all[i].key = names[i];
        all[i].key_size = size_t(std::snprintf(names[i], sizeof names[i], "key%zu", i));
    }
    return all;
}

class Area {
public:
    Area() {
        speculo_area_options options{};
        options.struct_size = sizeof options;
        options.capacity = 64 << 20;
        options.prefault = options.capacity;
        check(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer) == 0, "create");
    }
    ~Area() {
        speculo_area_close(reader);
        speculo_area_close(writer);
        speculo_area_remove(name_.c_str());
    }
    Area(const Area &) = delete;
    Area &operator=(const Area &) = delete;

    void fill(size_t size, const speculo_chunk_options &options, uint64_t count) {
        for (uint64_t i = 0; i < count; ++i) { write(size, &options); }
    }
    void fill_keys() {
        for (const speculo_chunk_options &options : keyed_) { write(64, &options); }
    }
    void open_reader() { check(speculo_area_open(name_.c_str(), SPECULO_OPEN_READ, nullptr, &reader) == 0, "open"); }

    // The payload is the caller's affair, so nothing is copied.
    void write(size_t size, const speculo_chunk_options *options) {
        void *data;
        check(speculo_chunk_alloc(writer, size, options, &data, nullptr) == 0, "alloc");
        check(speculo_commit(writer) == 0, "commit");
    }
    void fill_key(size_t key) { write(64, &keyed_[key]); }
    void read_next() { check(speculo_read_next(reader, &seen) == 1, "read_next"); }
    speculo_snapshot *open_snapshot() {
        speculo_snapshot *snapshot = nullptr;
        check(speculo_snapshot_open(reader, &snapshot) == 0, "snapshot_open");
        return snapshot;
    }

    speculo_area *writer = nullptr, *reader = nullptr;
    speculo_chunk seen = {}; // the last one

private:
    std::vector<speculo_chunk_options> keyed_ = keyed();
    std::string name_ = "speculo-hot-paths-" + std::to_string(getpid());
};

speculo_chunk_options options_with(uint32_t flags, uint64_t ttl_ns) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.flags = flags;
    options.ttl_ns = ttl_ns;
    return options;
}

const speculo_chunk_options transient = options_with(SPECULO_CHUNK_TRANSIENT, 0);
const speculo_chunk_options lasting_an_hour = options_with(SPECULO_CHUNK_TRANSIENT, uint64_t(3600) * 1000000000);

} // namespace

// ---- what is counted ------------------------------------------------------------------------------------------------------------

extern "C" {

__attribute__((noinline)) void path_write_plain(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { area.write(64, nullptr); }
}

__attribute__((noinline)) void path_write_transient(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { area.write(64, &transient); }
}

__attribute__((noinline)) void path_write_ttl(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { area.write(64, &lasting_an_hour); }
}

__attribute__((noinline)) void path_write_key(Area &area) {
    for (uint64_t i = 0; i < rounds / keys; ++i) { area.fill_keys(); }
}

__attribute__((noinline)) void path_write_batch(Area &area) { // 10 chunks in each commit
    void *data;
    for (uint64_t i = 0; i < rounds; ++i) {
        check(speculo_chunk_alloc(area.writer, 64, &transient, &data, nullptr) == 0, "alloc");
        if (i % 10 == 9) { check(speculo_commit(area.writer) == 0, "commit"); }
    }
}

__attribute__((noinline)) void path_read_next(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { area.read_next(); }
}

__attribute__((noinline)) void path_read_next_ttl(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { area.read_next(); }
}

__attribute__((noinline)) void path_read_nothing(Area &area) {
    speculo_chunk chunk;
    for (uint64_t i = 0; i < rounds; ++i) { check(speculo_read_next(area.reader, &chunk) == 0, "caught up"); }
}

__attribute__((noinline)) void path_read_key(Area &area) {
    speculo_chunk chunk;
    for (uint64_t i = 0; i < rounds; ++i) { check(speculo_read_key(area.reader, "key7", 4, &chunk) == 1, "read_key"); }
}

__attribute__((noinline)) void path_read_key_again(Area &area) { // a commit before each, so there is something newer to find
    speculo_chunk chunk;
    for (uint64_t i = 0; i < rounds; ++i) {
        area.fill_key(7);
        check(speculo_read_key(area.reader, "key7", 4, &chunk) == 1, "read_key");
    }
}

__attribute__((noinline)) void path_read_next_key(Area &area) {
    for (uint64_t i = 0; i < keys; ++i) { area.read_next(); }
}

__attribute__((noinline)) void path_read_superseded(Area &area) { // all that it passes to get to one that is live
    area.read_next();
}

__attribute__((noinline)) void path_is_live(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { check(speculo_chunk_is_live(area.reader, &area.seen) == 1, "is_live"); }
}

__attribute__((noinline)) void path_wait_nothing(Area &area) {
    for (uint64_t i = 0; i < rounds; ++i) { check(speculo_wait(area.reader, 0) == 0, "wait"); }
}

__attribute__((noinline)) void path_snapshot(Area &area) { // no more than opened and closed
    for (uint64_t i = 0; i < rounds; ++i) { speculo_snapshot_close(area.open_snapshot()); }
}

__attribute__((noinline)) void path_snapshot_next(Area &area) { // of 100 keys
    for (uint64_t i = 0; i < rounds / keys; ++i) {
        speculo_snapshot *snapshot = area.open_snapshot();
        speculo_chunk chunk;
        for (uint64_t k = 0; k < keys; ++k) { check(speculo_snapshot_next(snapshot, &chunk) == 1, "snapshot_next"); }
        speculo_snapshot_close(snapshot);
    }
}

__attribute__((noinline)) void path_snapshot_key(Area &area) {
    speculo_snapshot *snapshot = area.open_snapshot();
    speculo_chunk chunk;
    for (uint64_t i = 0; i < rounds; ++i) { check(speculo_snapshot_key(snapshot, "key7", 4, &chunk) == 1, "snapshot_key"); }
    speculo_snapshot_close(snapshot);
}

__attribute__((noinline)) void path_compact(Area &area) { // of the 100 chunks of the keys
    for (uint64_t i = 0; i < rounds / keys; ++i) { check(speculo_area_compact(area.writer) == 0, "compact"); }
}

} // extern "C"

namespace {

struct Path {
    const char *name;
    void (*run)(Area &);
    void (*prepare)(Area &);
    uint64_t rounds = ::rounds;
};

void prepare_writer(Area &area) { area.fill(64, transient, 100); }

void prepare_keys(Area &area) {
    area.fill_keys();
    area.open_reader();
}

const std::vector<Path> paths = {
    {"write_plain", path_write_plain, prepare_writer},
    {"write_transient", path_write_transient, prepare_writer},
    {"write_ttl", path_write_ttl, [](Area &area) { area.fill(64, lasting_an_hour, 100); }},
    {"write_key", path_write_key, prepare_keys},
    {"write_batch", path_write_batch, prepare_writer},
    {"read_next", path_read_next,
     [](Area &area) {
         area.open_reader();
         area.fill(64, transient, rounds);
     }},
    {"read_next_ttl", path_read_next_ttl,
     [](Area &area) {
         area.open_reader();
         area.fill(64, lasting_an_hour, rounds);
     }},
    {"read_nothing", path_read_nothing, [](Area &area) { area.open_reader(); }},
    {"read_key", path_read_key,
     [](Area &area) {
         speculo_chunk chunk;
         prepare_keys(area);
         for (int i = 0; i < 2; ++i) { // the first one enters the segment, the second one remembers
             check(speculo_read_key(area.reader, "key7", 4, &chunk) == 1, "read_key");
         }
     }},
    {"read_key_again", path_read_key_again,
     [](Area &area) {
         prepare_keys(area);
         path_read_key(area);
     }},
    {"read_next_key", path_read_next_key, prepare_keys, keys},
    {"read_superseded", path_read_superseded,
     [](Area &area) {
         area.open_reader();
         for (uint64_t i = 0; i < rounds; ++i) { area.fill_key(7); }
     }},
    {"is_live", path_is_live,
     [](Area &area) {
         prepare_keys(area);
         area.read_next();
     }},
    {"wait_nothing", path_wait_nothing, [](Area &area) { area.open_reader(); }},
    {"snapshot", path_snapshot, prepare_keys},
    {"snapshot_next", path_snapshot_next, prepare_keys},
    {"snapshot_key", path_snapshot_key, prepare_keys},
    {"compact", path_compact, prepare_keys, rounds / keys},
};

} // namespace

int main(int argc, char **argv) {
    for (const Path &path : paths) {
        if (argc < 2) { std::printf("%s %llu\n", path.name, static_cast<unsigned long long>(path.rounds)); }
        if (argc < 2 || std::strcmp(argv[1], path.name) != 0) { continue; }
        Area area;
        path.prepare(area);
        path.run(area);
        return 0;
    }
    check(argc < 2, "no such path");
}
