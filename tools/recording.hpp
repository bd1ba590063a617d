// SPDX-License-Identifier: LGPL-2.1-or-later
// Recordings: a stream of chunks in a file, with the time of each.
//
//   "SPECULO RECORD 1"                                       16 bytes
//   for each chunk, numbers little-endian:
//     0  mark "CHNK"        4  CRC-32 of all that follows
//     8  ns since the beginning of the recording
//     16 id                 24 ns to live, 0: no end         32 size
//     40 tag                44 flags, SPECULO_CHUNK_*        46 size of the key
//     48 key, payload
//
// A recording that was cut off, or overwritten in the middle, is good up to there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <speculo/speculo.hpp>

namespace speculo::tool {

uint32_t crc32(uint32_t seed, std::string_view bytes);

struct Record {
    uint64_t time_ns = 0, id = 0, ttl_ns = 0;
    uint32_t tag = 0;
    uint16_t flags = 0;
    std::string_view key, payload;
};

// The bytes in front of key and payload.
std::string head_of(const Record &record);

// Writes a file, or standard output for "-".
class RecordWriter {
public:
    RecordWriter(const std::string &file, bool may_replace);
    ~RecordWriter();
    RecordWriter(const RecordWriter &) = delete;
    RecordWriter &operator=(const RecordWriter &) = delete;

    void add(const Record &record);
    void flush();  // to the system
    void finish(); // to the disk
    uint64_t bytes() const { return bytes_; }

private:
    std::string name_, buffer_;
    int fd_ = -1;
    uint64_t bytes_ = 0;
};

// Reads one.
class RecordReader {
public:
    explicit RecordReader(const std::string &file);
    ~RecordReader();
    RecordReader(const RecordReader &) = delete;
    RecordReader &operator=(const RecordReader &) = delete;

    // The next one, valid until the next call; false: the end, or damage.
    bool next(Record &ret_record);

    bool is_damaged() const { return is_damaged_; }
    uint64_t bytes() const { return good_; }  // up to the end, or the damage
    uint64_t total() const { return total_; } // 0: not known

private:
    bool fill(std::vector<char> &to, size_t from, uint64_t size);
    bool damaged();

    std::string name_;
    int fd_ = -1;
    std::vector<char> head_, body_;
    uint64_t good_ = 0, total_ = 0;
    bool is_damaged_ = false;
};

} // namespace speculo::tool
