// SPDX-License-Identifier: LGPL-2.1-or-later
// Short words for what tests of the writer's side do all the time, and a look inside a writer's handle.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "area_names.hpp"
#include "writer.hpp"

namespace speculo::test {

inline constexpr uint64_t ms = 1000000;

struct AreaOptions : speculo_area_options {
    AreaOptions() : speculo_area_options{} { struct_size = sizeof(speculo_area_options); }
    explicit AreaOptions(uint64_t bytes) : AreaOptions() { capacity = bytes; }
};

struct ChunkOptions : speculo_chunk_options {
    ChunkOptions() : speculo_chunk_options{} { struct_size = sizeof(speculo_chunk_options); }
    ChunkOptions &with_key(const std::string &text) { // which must outlive the options
        key = text.data();
        key_size = text.size();
        return *this;
    }
};

inline ChunkOptions superseding(uint64_t id) {
    ChunkOptions options;
    options.supersedes = id;
    return options;
}
inline ChunkOptions aligned(uint32_t alignment) {
    ChunkOptions options;
    options.alignment = alignment;
    return options;
}
inline ChunkOptions transient() {
    ChunkOptions options;
    options.flags = SPECULO_CHUNK_TRANSIENT;
    return options;
}
inline ChunkOptions living(uint64_t ttl_ns) {
    ChunkOptions options;
    options.ttl_ns = ttl_ns;
    return options;
}

// A handle that closes itself.
class Handle {
public:
    Handle() = default;
    explicit Handle(speculo_area *area) : area_(area) {}
    Handle(Handle &&other) noexcept : area_(std::exchange(other.area_, nullptr)) {}
    Handle &operator=(Handle &&other) noexcept {
        std::swap(area_, other.area_);
        return *this;
    }
    ~Handle() { close(); }

    void close() { area_ = speculo_area_close(area_); }
    operator speculo_area *() const { return area_; }

private:
    speculo_area *area_ = nullptr;
};

inline int try_open(const AreaName &name, uint32_t flags, const speculo_area_options *options = nullptr) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(name.c_str(), with_trust(flags), options, &area);
    speculo_area_close(area);
    return error;
}

inline Handle open_area(const AreaName &name, uint32_t flags, const speculo_area_options *options = nullptr) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(name.c_str(), with_trust(flags), options, &area);
    EXPECT_EQ(error, 0) << speculo_strerror(error);
    return Handle(area);
}

inline Handle make_area(const AreaName &name, const AreaOptions &options = {}) {
    return open_area(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE, &options);
}
inline Handle make_area(const AreaName &name, uint64_t capacity) { return make_area(name, AreaOptions(capacity)); }
inline Handle open_writer(const AreaName &name) { return open_area(name, SPECULO_OPEN_WRITE); }
inline Handle open_reader(const AreaName &name, uint32_t flags = 0) { return open_area(name, flags); }
// Trusting in any case.
inline Handle open_mapping_reader(const AreaName &name, uint32_t flags = 0) {
    speculo_area *area = nullptr;
    int error = speculo_area_open(name.c_str(), flags, nullptr, &area);
    EXPECT_EQ(error, 0) << speculo_strerror(error);
    return Handle(area);
}

inline core::Writer &inside(speculo_area *writer) { return *static_cast<core::Writer *>(writer); }

// ---- writing ----

// The writer has to look for its keys again.
inline void forget_keys(speculo_area *writer) { ++inside(writer).key_epoch; }

// Allocates and fills a chunk; its id, or 0 after a failure.
inline uint64_t put_chunk(speculo_area *writer, const std::string &payload, const ChunkOptions &options = {}) {
    void *data = nullptr;
    uint64_t id = 0;
    int error = speculo_chunk_alloc(writer, payload.size(), &options, &data, &id);
    EXPECT_EQ(error, 0) << speculo_strerror(error);
    if (error == 0) { std::memcpy(data, payload.data(), payload.size()); }
    return id;
}

inline uint64_t put_key(speculo_area *writer, const std::string &key, const std::string &payload, ChunkOptions options = {}) {
    return put_chunk(writer, payload, options.with_key(key));
}

inline void commit(speculo_area *writer) { EXPECT_EQ(speculo_commit(writer), 0); }

inline uint64_t commit_chunk(speculo_area *writer, const std::string &payload, const ChunkOptions &options = {}) {
    uint64_t id = put_chunk(writer, payload, options);
    commit(writer);
    return id;
}

inline uint64_t commit_key(speculo_area *writer, const std::string &key, const std::string &payload) {
    uint64_t id = put_key(writer, key, payload);
    commit(writer);
    return id;
}

inline int try_alloc(speculo_area *writer, size_t size, const ChunkOptions &options = {}) {
    void *data = nullptr;
    return speculo_chunk_alloc(writer, size, &options, &data, nullptr);
}

inline int remove_key(speculo_area *writer, const std::string &key) { return speculo_key_remove(writer, key.data(), key.size()); }

inline void compact_now(speculo_area *writer) { EXPECT_EQ(speculo_area_compact(writer), 0); }

// Commits chunks of `size` bytes until the next one would need another segment; their ids.
inline std::vector<uint64_t> fill_segment(speculo_area *writer, size_t size, const ChunkOptions &options = {}) {
    std::vector<uint64_t> ids;
    core::Writer &inner = inside(writer);
    uint64_t length = core::frame_length(sizeof(core::FrameHeader), size);
    while (inner.tail + length <= inner.current->map.geometry.chunk_end) {
        ids.push_back(commit_chunk(writer, std::string(size, char('a' + ids.size() % 26)), options));
    }
    return ids;
}

// ---- reading ----

struct Seen {
    uint64_t id;
    std::string payload, key;
    uint32_t flags;
    uint64_t skipped;
    uint64_t address; // of the payload
    uint32_t tag;
};
inline bool operator==(const Seen &a, const Seen &b) { return a.id == b.id && a.payload == b.payload && a.key == b.key; }

inline Seen seen(const speculo_chunk &chunk) {
    std::string key = chunk.key ? std::string(static_cast<const char *>(chunk.key), chunk.key_size) : std::string();
    return {chunk.id,      std::string(static_cast<const char *>(chunk.data), chunk.size),
            key,           chunk.flags,
            chunk.skipped, reinterpret_cast<uintptr_t>(chunk.data),
            chunk.tag};
}

inline std::vector<Seen> read_all(speculo_area *reader) {
    std::vector<Seen> all;
    speculo_chunk chunk{};
    int found;
    while ((found = speculo_read_next(reader, &chunk)) == 1) { all.push_back(seen(chunk)); }
    EXPECT_EQ(found, 0) << speculo_strerror(found);
    return all;
}

inline std::vector<uint64_t> ids_of(const std::vector<Seen> &all) {
    std::vector<uint64_t> ids;
    for (const Seen &one : all) { ids.push_back(one.id); }
    return ids;
}

// What is live at the newest commit, in order.
inline std::vector<Seen> live_chunks(const AreaName &name) {
    Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    speculo_snapshot *snapshot = nullptr;
    EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
    std::vector<Seen> all;
    speculo_chunk chunk{};
    while (snapshot && speculo_snapshot_next(snapshot, &chunk) == 1) { all.push_back(seen(chunk)); }
    speculo_snapshot_close(snapshot);
    return all;
}
inline std::vector<uint64_t> live_ids(const AreaName &name) { return ids_of(live_chunks(name)); }

// Payload of the live chunk with that key.
inline constexpr const char *no_value = "(none)";
inline std::string value_of(speculo_area *reader, const std::string &key) {
    speculo_chunk chunk{};
    int found = speculo_read_key(reader, key.data(), key.size(), &chunk);
    EXPECT_GE(found, 0) << speculo_strerror(found);
    return found == 1 ? seen(chunk).payload : no_value;
}
inline std::string value_of(const AreaName &name, const std::string &key) {
    return value_of(open_reader(name, SPECULO_OPEN_NO_CURSOR), key);
}

inline speculo_area_info info_of(speculo_area *area) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    EXPECT_EQ(speculo_area_get_info(area, &info), 0);
    return info;
}

using Ids = std::vector<uint64_t>;

} // namespace speculo::test
