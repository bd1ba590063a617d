// SPDX-License-Identifier: LGPL-2.1-or-later
// A writer takes over an arbitrary image, writes, and readers read: no harm, and no end of it. What the check calls sound stays
// sound, and nothing of it is lost.
#include <cerrno>
#include <cstring>

#include "bases.hpp"
#include "image.hpp"
#include "reading.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

namespace {

enum Mode : uint8_t { with_create = 1, with_options = 2, lossless = 4, exclusive = 8, with_reader = 16, remove_it = 32 };

speculo_area_options options_of(const Input &input) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    if (input.mode & with_options) {
        options.segments = 2 + input.mode % 3;
        options.max_capacity = 16384;
        options.compact_percent = 50;
    }
    if (input.mode & lossless) { options.flags = SPECULO_AREA_LOSSLESS; }
    if (input.mode & exclusive) { options.prefault = 40000; }
    return options;
}

uint64_t put(speculo_area *writer, size_t size, const speculo_chunk_options &options) {
    void *data = nullptr;
    uint64_t id = 0;
    int error = speculo_chunk_alloc(writer, size, &options, &data, &id);
    if (error == 0) { std::memset(data, 'w', size); }
    return error == 0 ? id : 0;
}

// Whatever fails, the next call is as welcome.
void write_something(speculo_area *writer) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    for (uint64_t id : {uint64_t(3), uint64_t(9), uint64_t(13)}) {
        options.supersedes = id;
        options.key = "bb";
        options.key_size = 2;
        put(writer, 100, options);
        options.supersedes = 0;
        uint64_t own = put(writer, 10, options);
        options.key = nullptr;
        options.key_size = 0;
        options.alignment = 128;
        put(writer, 700, options);
        speculo_chunk_shrink(writer, 300);
        speculo_chunk_obsolete(writer, id + 1);
        if (own) { speculo_chunk_obsolete(writer, own); }
        speculo_key_remove(writer, "a", 1);
        id % 2 ? speculo_commit(writer) : speculo_rollback(writer);
        speculo_area_compact(writer);
    }
    speculo_area_info info{};
    info.struct_size = sizeof info;
    speculo_area_get_info(writer, &info);
    speculo_wait(writer, 0);
}

// A new key's value is found by whoever comes, if it could be written at all.
void write_and_find(speculo_area *writer, bool is_whole) {
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.key = "fresh";
    options.key_size = 5;
    uint64_t id = put(writer, 5, options);
    speculo_commit(writer);
    speculo_area *reader = nullptr;
    if (!id || speculo_area_open(area_name, SPECULO_OPEN_NO_CURSOR, nullptr, &reader) < 0) { return; }
    speculo_chunk view{};
    int found = speculo_read_key(reader, "fresh", 5, &view);
    expect(found == 1 || !is_whole, "what was committed cannot be found");
    expect(found != 1 || view.id == id || !is_whole, "another chunk than the one that was committed");
    speculo_area_close(reader);
}

bool contains(const std::vector<Copy> &all, const Copy &one) {
    for (const Copy &other : all) {
        if (one == other) { return true; }
    }
    return false;
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bases();
    Input input(data, size);
    system_restore(build(input));
    Input quiet = input;
    quiet.failing = 0;
    prepare(quiet);
    bool sound = is_sound();
    std::vector<Copy> before = sound ? live_chunks() : std::vector<Copy>();
    prepare(input);

    speculo_area *reader = nullptr, *writer = nullptr;
    if (input.mode & with_reader) { speculo_area_open(area_name, SPECULO_OPEN_READ, nullptr, &reader); }
    uint32_t flags = SPECULO_OPEN_WRITE | (input.mode & with_create ? uint32_t(SPECULO_OPEN_CREATE) : 0);
    speculo_area_options options = options_of(input);
    int error = speculo_area_open(area_name, flags, &options, &writer);
    expect(error <= 0 && error > -4096, "a result that is none", error);
    bool is_whole = sound && input.failing == 0;
    bool is_newer = error == -EPROTONOSUPPORT;                              // of a format that may be read, but not written
    bool is_beyond = error == -EOPNOTSUPP && !speculo::os::has_range_locks; // lossless: may be read there, but not written
    expect(error == 0 || is_newer || is_beyond || !is_whole, "an area that was found to be sound cannot be taken over", error);
    if (writer) {
        if (is_whole) {
            expect_sound("not sound after a takeover");
            std::vector<Copy> after = live_chunks();
            for (const Copy &one : before) { expect(contains(after, one), "a live chunk was lost by a takeover"); }
            expect(after.size() == before.size(), "a takeover has brought chunks to life");
        }
        write_something(writer);
        write_and_find(writer, is_whole);
        if (is_whole) { expect_sound("not sound after writing"); }
        speculo_area_close(writer);
    }
    speculo_chunk view{};
    for (int i = 0; reader && speculo_read_next(reader, &view) == 1; ++i) { expect(i < 100000, "a stream without an end"); }
    speculo_area_close(reader);
    read_everything(SPECULO_OPEN_READ, is_whole);
    if (input.mode & remove_it) {
        error = speculo_area_remove(area_name);
        expect(error != 0 || input.failing != 0 || system_capture().empty(), "something is left of an area that was removed");
    }
    system_reset();
    return 0;
}
