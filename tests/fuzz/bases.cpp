// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bases.hpp"

#include <cstring>

#include <speculo/speculo.h>

#include "image.hpp"

namespace speculo::fuzz {

namespace {

speculo_area *open_writer(const speculo_area_options &options) {
    speculo_area *writer = nullptr;
    int error = speculo_area_open(area_name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer);
    expect(error == 0, "cannot make an area to begin with");
    return writer;
}

speculo_area_options small(uint32_t segments, uint64_t max_capacity = 4096) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = 4096;
    options.max_capacity = max_capacity;
    options.segments = segments;
    return options;
}

speculo_chunk_options plain() {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    return options;
}

uint64_t put(speculo_area *writer, const std::string &payload, const speculo_chunk_options &options = plain()) {
    void *data = nullptr;
    uint64_t id = 0;
    expect(speculo_chunk_alloc(writer, payload.size(), &options, &data, &id) == 0, "no room in an area to begin with");
    std::memcpy(data, payload.data(), payload.size());
    return id;
}

void put_key(speculo_area *writer, const std::string &key, const std::string &payload) {
    speculo_chunk_options options = plain();
    options.key = key.data();
    options.key_size = key.size();
    put(writer, payload, options);
}

// Every kind of frame and field, versions, removals, what was superseded and obsoleted.
void write_everything(speculo_area *writer) {
    uint64_t first = put(writer, "plain");
    put_key(writer, "a", "one");
    put_key(writer, "bb", "two");
    speculo_commit(writer);
    speculo_chunk_options options = plain();
    options.supersedes = first;
    options.tag = 7;
    options.ttl_ns = uint64_t(1) << 50;
    uint64_t second = put(writer, "instead", options);
    put_key(writer, "a", std::string(40, '1'));
    speculo_key_remove(writer, "bb", 2);
    speculo_commit(writer);
    options = plain();
    options.alignment = 256;
    put(writer, std::string(100, 'x'), options);
    options.flags = SPECULO_CHUNK_TRANSIENT;
    options.alignment = 0;
    put(writer, "passing", options);
    speculo_commit(writer);
    speculo_chunk_obsolete(writer, second);
    speculo_commit(writer);
    put_key(writer, "ccc", "three");
    speculo_commit(writer);
}

// Frames and keys laid, but not committed: its writer dies here.
void leave_pending(speculo_area *writer) {
    put_key(writer, "a", "never");
    put_key(writer, "new", "never");
    put(writer, "never");
    speculo_key_remove(writer, "ccc", 3);
}

enum class End { close, die };

Base finish(speculo_area *writer, End end) {
    Base base;
    if (end == End::die) { base.image = system_capture(); } // as it is at this moment
    speculo_area_close(writer);
    if (end == End::close) { base.image = system_capture(); }
    system_reset();
    return base;
}

Base empty() { return finish(open_writer(small(3)), End::close); }

Base everything(uint32_t segments, int compactions, End end) {
    speculo_area *writer = open_writer(small(segments));
    for (int i = 0; i <= compactions; ++i) {
        if (i > 0) { expect(speculo_area_compact(writer) == 0, "no compaction of an area to begin with"); }
        write_everything(writer);
    }
    if (end == End::die) { leave_pending(writer); }
    return finish(writer, end);
}

// Where there can be none, one that drops.
Base lossless() {
    speculo_area_options options = small(2);
    if (os::has_range_locks) { options.flags = SPECULO_AREA_LOSSLESS; }
    speculo_area *writer = open_writer(options);
    write_everything(writer);
    speculo_area_compact(writer);
    put(writer, std::string(300, 'l'));
    speculo_commit(writer);
    return finish(writer, End::close);
}

Base grown() {
    speculo_area_options options = small(3, 16384);
    options.mode = 0644;
    speculo_area *writer = open_writer(options);
    write_everything(writer);
    for (int i = 0; i < 6; ++i) {
        put(writer, std::string(1500, char('a' + i))); // pages in which no frame begins
        speculo_commit(writer);
    }
    return finish(writer, End::close);
}

Base many_keys() {
    speculo_area *writer = open_writer(small(4));
    for (int i = 0; i < 30; ++i) {
        put_key(writer, "key" + std::to_string(i % 14), std::to_string(i));
        if (i % 3 == 0) { speculo_commit(writer); }
    }
    speculo_commit(writer);
    return finish(writer, End::die);
}

// On a disk, after another boot.
Base rebooted(End end) {
    system_set_medium(os::Medium::disk);
    Base base = everything(2, 1, end);
    base.medium = os::Medium::disk;
    base.boot = 2;
    return base;
}

std::vector<Base> make() {
    system_begin();
    return {
        empty(),     everything(3, 0, End::close), everything(3, 1, End::die), everything(2, 5, End::close), lossless(), grown(),
        many_keys(), rebooted(End::close),         rebooted(End::die),
    };
}

} // namespace

const std::vector<Base> &bases() {
    static const std::vector<Base> all = make();
    return all;
}

} // namespace speculo::fuzz
