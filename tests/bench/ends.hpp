// SPDX-License-Identifier: LGPL-2.1-or-later
// The two ends of an area as benchmarks of waiting use them: small messages to a reader that waits in one way or another.
#pragma once

#include <cstring>

#include <poll.h>

#include "area.hpp"

namespace bench {

constexpr size_t payload = 64;

class WriterEnd {
public:
    explicit WriterEnd(uint32_t mode = 0600, const char *suffix = "")
        : name_("speculo-bench-" + std::to_string(getpid()) + suffix) {
        AreaOptions options;
        options.mode = mode;
        options.prefault = 4 << 20; // more than all there is
        check_code(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &area_));
        for (int i = 0; i < 100000; ++i) { send(0); } // around all segments
    }
    ~WriterEnd() {
        speculo_area_close(area_);
        speculo_area_remove(name_.c_str());
    }
    WriterEnd(const WriterEnd &) = delete;

    const char *name() const { return name_.c_str(); }

    uint64_t *alloc() {
        speculo_chunk_options options = {};
        options.struct_size = sizeof options;
        options.flags = SPECULO_CHUNK_TRANSIENT;
        void *data;
        check_code(speculo_chunk_alloc(area_, payload, &options, &data, nullptr));
        return static_cast<uint64_t *>(data);
    }
    void commit() { speculo_commit(area_); }
    void send(uint64_t number) {
        uint64_t *words = alloc();
        for (size_t i = 0; i < payload / sizeof number; ++i) { words[i] = number; }
        commit();
    }

private:
    std::string name_;
    speculo_area *area_ = nullptr;
};

class ReaderEnd {
public:
    void open(const char *name) {
        AreaOptions options;
        options.flags = SPECULO_AREA_TRUST_UID; // root's; that of the same uid as well
        check_code(speculo_area_open(name, SPECULO_OPEN_AT_END, &options, &area_));
    }
    ~ReaderEnd() { speculo_area_close(area_); }

    bool next(uint64_t &number) {
        speculo_chunk chunk;
        int found = speculo_read_next(area_, &chunk);
        check_code(found);
        if (found == 1) { std::memcpy(&number, chunk.data, sizeof number); }
        return found == 1;
    }
    void wait() { check_code(speculo_wait(area_, -1)); }

    uint64_t receive() {
        uint64_t number = 0;
        while (!next(number)) { wait(); }
        return number;
    }
    uint64_t receive_by_poll() {
        uint64_t number = 0;
        while (!next(number)) { bench::pause(); }
        return number;
    }
    // As the header tells programs with an event loop to do.
    uint64_t receive_by_descriptor() {
        uint64_t number = 0;
        while (!next(number)) {
            if (dispatch() == 1) { continue; }
            pollfd readable = {speculo_area_get_fd(area_), POLLIN, 0};
            poll(&readable, 1, -1);
            dispatch();
        }
        return number;
    }

private:
    int dispatch() {
        int found = speculo_area_dispatch(area_);
        check_code(found);
        return found;
    }

    speculo_area *area_ = nullptr;
};

// Waits at random; the same sequence for all that are compared.
class Pauses {
public:
    Pauses(uint64_t least_ns, uint64_t most_ns) : least_(least_ns), range_(most_ns - least_ns) {}
    void pass() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        uint64_t end = now_ns() + least_ + state_ % range_;
        while (now_ns() < end) { bench::pause(); }
    }

private:
    uint64_t least_, range_, state_ = 88172645463325252;
};

} // namespace bench
