// SPDX-License-Identifier: LGPL-2.1-or-later
// An area as a transport: transient chunks in `segments` segments that share plan.bytes. Words of the plan:
//   free      not lossless: readers get what they are in time for
//   ttl       every chunk has a time to live
//   key       every chunk has one of plan.keys keys
//   default   capacity and number of segments as the library chooses them
#pragma once

#include <speculo/speculo.h>

#include "transport.hpp"

namespace bench {

inline void check_code(int error) {
    if (error < 0) { fail(speculo_strerror(error)); }
}

struct AreaOptions : speculo_area_options {
    AreaOptions() : speculo_area_options{} { struct_size = sizeof(speculo_area_options); }
};

struct ChunkOptions : speculo_chunk_options {
    ChunkOptions() : speculo_chunk_options{} { struct_size = sizeof(speculo_chunk_options); }
};

// A writer's handle, and with it the area. Whichever process is to write opens it.
class WritersArea {
public:
    explicit WritersArea(int channel = 0) : name_("speculo-bench-" + std::to_string(getpid()) + "-" + std::to_string(channel)) {}
    explicit WritersArea(const AreaOptions &options) : WritersArea() { open(options); }
    ~WritersArea() {
        speculo_area_close(handle_);
        speculo_area_remove(name_.c_str());
    }
    WritersArea(const WritersArea &) = delete;
    WritersArea &operator=(const WritersArea &) = delete;

    void open(const AreaOptions &options) {
        check_code(speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &handle_));
    }
    speculo_area *handle() const { return handle_; }
    const char *name() const { return name_.c_str(); }

    // All segments have been used once: what comes is steady.
    void go_around(const AreaOptions &options) const {
        ChunkOptions transient;
        transient.flags = SPECULO_CHUNK_TRANSIENT;
        speculo_area_info info = {};
        info.struct_size = sizeof info;
        info.flags = SPECULO_INFO_QUICK;
        constexpr size_t size = 1 << 14;
        for (uint64_t written = 0; written < (options.segments + 1) * options.capacity; written += size) {
            void *data;
            check_code(speculo_chunk_alloc(handle_, size, &transient, &data, nullptr));
            std::memset(data, 0, size);
            check_code(speculo_commit(handle_));
        }
    }

private:
    std::string name_;
    speculo_area *handle_ = nullptr;
};

// All keys in order, as options that are ready to use.
class Keys {
public:
    explicit Keys(uint64_t count) : names_(count), options_(count) {
        for (uint64_t i = 0; i < count; ++i) {
            names_[i] = "key-" + std::to_string(i);
            options_[i].key = names_[i].data();
            options_[i].key_size = names_[i].size();
        }
    }
    ChunkOptions &operator[](uint64_t i) { return options_[i]; }
    uint64_t count() const { return options_.size(); }

private:
    std::vector<std::string> names_;
    std::vector<ChunkOptions> options_;
};

class Area {
public:
    static constexpr bool is_own = true, has_many_readers = true;

    explicit Area(const Plan &plan)
        : size_(plan.size), rest_(plan.rest), options_(options_for(plan)), area_(plan.channel),
          keys_(plan.has("key") ? plan.keys : 1) {
        for (uint64_t i = 0; i < keys_.count(); ++i) {
            keys_[i].flags = SPECULO_CHUNK_TRANSIENT;
            if (!plan.has("key")) { keys_[i].key = nullptr, keys_[i].key_size = 0; }
            if (plan.has("ttl")) { keys_[i].ttl_ns = uint64_t(3600) * 1000000000; }
        }
        is_cold_ = plan.has("cold");
        if (plan.channel == 0) { open(); } // the way back is the other process's to open
    }
    ~Area() { speculo_area_close(reader_); }
    Area(const Area &) = delete;
    Area &operator=(const Area &) = delete;

    void become_writer() {
        if (!area_.handle()) { open(); }
        writer_ = area_.handle();
    }
    void become_reader() {
        AreaOptions options;
        options.prefault = UINT64_MAX;
        check_code(speculo_area_open(area_.name(), SPECULO_OPEN_AT_END, &options, &reader_));
    }

    void *claim() {
        void *data;
        int error;
        while ((error = speculo_chunk_alloc(writer_, size_, &keys_[key_], &data, nullptr)) == -EAGAIN) { pause(); }
        check_code(error);
        if (++key_ == keys_.count()) { key_ = 0; }
        return data;
    }
    void send() { speculo_commit(writer_); }

    const void *look() {
        speculo_chunk chunk;
        int found = speculo_read_next(reader_, &chunk);
        check_code(found);
        if (found == 1) { return chunk.data; }
        for (uint64_t i = 0; i < rest_; ++i) { pause(); }
        return nullptr;
    }
    void release() {}

private:
    static AreaOptions options_for(const Plan &plan) {
        AreaOptions options;
        bool is_default = plan.has("default");
        options.segments = is_default ? 3 : uint32_t(plan.segments);
        options.capacity = is_default ? 1 << 20 : plan.bytes / plan.segments;
        uint64_t tables = options.capacity / 8 + (64 << 10);
        options.prefault = (options.capacity + tables) * options.segments;
        options.flags = plan.has("free") || plan.has("alone") ? 0 : SPECULO_AREA_LOSSLESS;
        return options;
    }

    void open() {
        area_.open(options_);
        if (!is_cold_) { area_.go_around(options_); }
    }

    size_t size_;
    uint64_t rest_;
    AreaOptions options_;
    WritersArea area_;
    Keys keys_;
    bool is_cold_ = false;
    uint64_t key_ = 0;
    speculo_area *writer_ = nullptr, *reader_ = nullptr;
};

} // namespace bench
