// SPDX-License-Identifier: LGPL-2.1-or-later
#include "reading.hpp"

#include <cstdio>
#include <cstring>

#include "image.hpp"
#include "layout.hpp"

namespace speculo::fuzz {

namespace {

constexpr uint64_t most_chunks = 64 * 1024; // of all segments that an image can hold
constexpr size_t most_findings = 101;

// Each byte is really loaded, whatever the compiler thinks of the result.
void touch(const void *bytes, size_t size) {
    const auto *from = static_cast<const volatile unsigned char *>(bytes);
    for (size_t i = 0; i < size; ++i) { (void)from[i]; }
}

void look_at(const speculo_chunk &view) {
    expect(view.id >= 1 && view.id <= core::max_id, "an id that is none");
    expect((view.key != nullptr) == (view.key_size != 0), "a key without a size, or the other way round");
    expect(view.key_size <= core::max_key_size, "a key that is too long");
    expect((view.flags & ~uint32_t(SPECULO_CHUNK_REMOVED | SPECULO_CHUNK_TRANSIENT | SPECULO_CHUNK_JUMPED)) == 0,
           "a flag that is none");
    touch(view.data, view.size);
    touch(view.key, view.key_size);
}

class Reading {
public:
    Reading(speculo_area *reader, bool has_cursor, bool is_sound)
        : reader_(reader), has_cursor_(has_cursor), is_sound_(is_sound) {}

    void run() {
        if (has_cursor_) { follow(); }
        for (const char *key : {"a", "bb", "ccc", "none"}) { look_up(key); }
        take_snapshot();
        if (has_cursor_) { seek(); }
        ask();
    }

private:
    // 1 something, 0 nothing, or an error; none where everything is sound.
    bool found(int result) const {
        expect(result <= 1 && result > -4096, "a result that is none", result);
        expect(result >= 0 || !is_sound_, "an error in an area that was found to be sound", result);
        return result == 1;
    }

    void follow() {
        speculo_chunk view{};
        uint64_t count = 0, last = 0;
        while (found(speculo_read_next(reader_, &view))) {
            expect(++count < most_chunks, "a stream without an end");
            expect(view.id > last, "ids that do not ascend");
            expect(view.skipped < view.id, "more skipped than there were");
            last = view.id;
            look_at(view);
            speculo_chunk_is_live(reader_, &view);
            if (count % 3 != 0 || speculo_chunk_hold(reader_, &view) != 0) { continue; }
            if (count % 2 == 0) { held_.push_back(view); }
            if (count % 2 != 0) { speculo_chunk_release(&view); }
        }
        speculo_wait(reader_, 0);
    }

    void look_up(const char *key) {
        speculo_chunk view{};
        if (!found(speculo_read_key(reader_, key, std::strlen(key), &view))) { return; }
        look_at(view);
        bool has_key = view.key_size == std::strlen(key) && std::memcmp(view.key, key, view.key_size) == 0;
        expect(has_key || !is_sound_, "the chunk of another key");
        expect((view.flags & SPECULO_CHUNK_REMOVED) == 0, "a removal taken for a value");
        int live = speculo_chunk_is_live(reader_, &view);
        expect(live == 1 || !is_sound_, "a key's value that is not live");
    }

    void take_snapshot() {
        speculo_snapshot *snapshot = nullptr;
        if (speculo_snapshot_open(reader_, &snapshot) < 0) { return; }
        speculo_chunk view{};
        uint64_t count = 0;
        while (found(speculo_snapshot_next(snapshot, &view))) {
            expect(++count < most_chunks, "a snapshot without an end");
            look_at(view);
        }
        for (const char *key : {"a", "ccc"}) {
            if (found(speculo_snapshot_key(snapshot, key, std::strlen(key), &view))) { look_at(view); }
        }
        snapshot_ = snapshot;
    }

    void seek() {
        speculo_chunk view{};
        for (uint64_t id : {uint64_t(0), uint64_t(5), uint64_t(9), core::max_id, UINT64_MAX}) {
            if (speculo_seek(reader_, id) == 0 && found(speculo_read_next(reader_, &view))) {
                expect(id > core::max_id || view.id >= id || !is_sound_, "a chunk before the one that was sought");
                look_at(view);
            }
        }
    }

    void ask() {
        speculo_area_info info{};
        info.struct_size = sizeof info;
        found(speculo_area_get_info(reader_, &info) < 0 ? -1 : 0);
        found(speculo_area_writer_alive(reader_));
        if (speculo_area_get_fd(reader_) >= 0) { speculo_area_dispatch(reader_); }
        speculo_wait(reader_, 1000000);
        speculo_area_close(reader_);
        for (speculo_chunk &view : held_) { // valid after the close
            look_at(view);
            speculo_chunk_release(&view);
        }
        speculo_snapshot_close(snapshot_);
    }

    speculo_area *reader_;
    bool has_cursor_, is_sound_;
    std::vector<speculo_chunk> held_;
    speculo_snapshot *snapshot_ = nullptr;
};

Copy copy_of(const speculo_chunk &view) {
    std::string key = view.key ? std::string(static_cast<const char *>(view.key), view.key_size) : std::string();
    return {view.id, std::string(static_cast<const char *>(view.data), view.size), key};
}

} // namespace

int read_everything(uint32_t flags, bool is_sound) {
    speculo_area *reader = nullptr;
    int error = speculo_area_open(area_name, flags, nullptr, &reader);
    expect(error <= 0 && error > -4096, "a result that is none", error);
    if (error == 0) { Reading(reader, (flags & SPECULO_OPEN_NO_CURSOR) == 0, is_sound).run(); }
    return error;
}

std::vector<Copy> live_chunks() {
    std::vector<Copy> all;
    speculo_area *reader = nullptr;
    speculo_snapshot *snapshot = nullptr;
    if (speculo_area_open(area_name, SPECULO_OPEN_NO_CURSOR, nullptr, &reader) < 0) { return all; }
    speculo_chunk view{};
    if (speculo_snapshot_open(reader, &snapshot) == 0) {
        while (speculo_snapshot_next(snapshot, &view) == 1) { all.push_back(copy_of(view)); }
    }
    speculo_snapshot_close(snapshot);
    speculo_area_close(reader);
    return all;
}

bool is_sound() {
    size_t count = 0;
    auto report = [](void *user, int error, const char *message) {
        expect(error < 0 && message && std::strlen(message) > 0, "a finding without words");
        expect(++*static_cast<size_t *>(user) <= most_findings, "findings without an end");
    };
    int error = speculo_area_check(area_name, report, &count);
    expect(error <= 0 && error > -4096, "a result that is none", error);
    expect(error != 0 || count == 0, "sound, with findings");
    return error == 0;
}

void expect_sound(const char *when) {
    if (is_sound()) { return; }
    auto tell = [](void *, int, const char *message) { std::fprintf(stderr, "%s\n", message); };
    die(when, speculo_area_check(area_name, tell, nullptr));
}

} // namespace speculo::fuzz
