// SPDX-License-Identifier: LGPL-2.1-or-later
#include "recording.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.hpp"
#include "output.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

constexpr std::string_view magic = "SPECULO RECORD 1";
constexpr uint32_t mark = 0x4b4e4843; // "CHNK"
constexpr size_t head_size = 48, checked_from = 8;
constexpr size_t buffer_size = 256 << 10;
constexpr uint64_t step = 4 << 20; // what is taken on trust at once of a size that may be damaged

// ---- CRC-32, eight bytes at a time ------------------------------------------------------------------------------------------------

using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables make_tables() {
    Tables tables = {};
    for (uint32_t i = 0; i < 256; ++i) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit) { value = value >> 1 ^ (value & 1 ? 0xedb88320 : 0); }
        tables[0][i] = value;
    }
    for (size_t k = 1; k < 8; ++k) {
        for (size_t i = 0; i < 256; ++i) { tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 255]; }
    }
    return tables;
}

constexpr Tables tables = make_tables();

// ---- numbers ----------------------------------------------------------------------------------------------------------------------

void put_number(std::string &to, uint64_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) { to += char(number >> (8 * i) & 255); }
}

uint64_t number_at(const char *from, int bytes) {
    uint64_t number = 0;
    for (int i = bytes - 1; i >= 0; --i) { number = number << 8 | static_cast<unsigned char>(from[i]); }
    return number;
}

} // namespace

uint32_t crc32(uint32_t seed, std::string_view bytes) {
    uint32_t crc = ~seed;
    const char *at = bytes.data();
    size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = number_at(at, 8) ^ crc;
        crc = 0;
        for (size_t k = 0; k < 8; ++k) { crc ^= tables[7 - k][word >> (8 * k) & 255]; }
    }
    for (; left > 0; --left, ++at) { crc = crc >> 8 ^ tables[0][(crc ^ static_cast<unsigned char>(*at)) & 255]; }
    return ~crc;
}

std::string head_of(const Record &record) {
    std::string rest;
    put_number(rest, record.time_ns, 8);
    put_number(rest, record.id, 8);
    put_number(rest, record.ttl_ns, 8);
    put_number(rest, record.payload.size(), 8);
    put_number(rest, record.tag, 4);
    put_number(rest, record.flags, 2);
    put_number(rest, record.key.size(), 2);
    std::string head;
    put_number(head, mark, 4);
    put_number(head, crc32(crc32(crc32(0, rest), record.key), record.payload), 4);
    return head + rest;
}

// ---- writing ----------------------------------------------------------------------------------------------------------------------

RecordWriter::RecordWriter(const std::string &file, bool may_replace) : name_(file == "-" ? "standard output" : file) {
    if (file == "-") {
        if (is_terminal(STDOUT_FILENO)) { throw Failure(Status::misused, "a recording is not for a terminal; name a file"); }
        fd_ = STDOUT_FILENO;
    } else {
        fd_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (may_replace ? O_TRUNC : O_EXCL), 0666);
        if (fd_ < 0 && errno == EEXIST) { throw Failure(Status::busy, file + " is there already; --force replaces it"); }
        if (fd_ < 0) { throw system_failure(file, errno); }
    }
    buffer_ = magic;
}

RecordWriter::~RecordWriter() {
    if (fd_ > STDERR_FILENO) { ::close(fd_); }
}

void RecordWriter::add(const Record &record) {
    buffer_ += head_of(record);
    buffer_ += record.key;
    if (record.payload.size() >= buffer_size) {
        flush();
        write_all(fd_, record.payload, name_);
        bytes_ += record.payload.size();
    } else {
        buffer_ += record.payload;
    }
    if (buffer_.size() >= buffer_size) { flush(); }
}

void RecordWriter::flush() {
    std::string pending;
    pending.swap(buffer_);
    write_all(fd_, pending, name_);
    bytes_ += pending.size();
}

void RecordWriter::finish() {
    flush();
    bool is_unable = ::fsync(fd_) < 0 && errno != EINVAL && errno != EROFS; // a pipe cannot
    if (is_unable) { throw system_failure(name_, errno); }
}

// ---- reading ----------------------------------------------------------------------------------------------------------------------

RecordReader::RecordReader(const std::string &file) : name_(file == "-" ? "standard input" : file) {
    fd_ = file == "-" ? STDIN_FILENO : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status = {};
    if (fd_ < 0 || ::fstat(fd_, &status) < 0) { throw system_failure(name_, errno); }
    if (S_ISREG(status.st_mode)) { total_ = uint64_t(status.st_size); }
    if (!fill(head_, 0, magic.size()) || std::string_view(head_.data(), magic.size()) != magic) {
        throw Failure(Status::damaged, name_ + " is no recording of speculo, or of another version");
    }
    good_ = magic.size();
}

RecordReader::~RecordReader() {
    if (fd_ > STDERR_FILENO) { ::close(fd_); }
}

// Puts `size` bytes behind the first `from`. False: there are less, and `to` ends with those there are.
bool RecordReader::fill(std::vector<char> &to, size_t from, uint64_t size) {
    size_t filled = from;
    while (filled < from + size) {
        size_t most = size_t(std::min(from + size - filled, step));
        to.resize(filled + most);
        bool is_there = wait_for_input(fd_);
        ssize_t count = is_there ? ::read(fd_, to.data() + filled, most) : 0;
        if (!is_there) { throw Stopped(); }
        if (count < 0 && errno != EINTR && errno != EAGAIN) { throw system_failure(name_, errno); }
        filled += count > 0 ? size_t(count) : 0;
        to.resize(filled);
        if (count == 0) { return false; }
    }
    return true;
}

bool RecordReader::damaged() {
    is_damaged_ = true;
    return false;
}

bool RecordReader::next(Record &ret_record) {
    if (is_damaged_) { return false; }
    head_.clear();
    if (!fill(head_, 0, head_size)) { return head_.empty() ? false : damaged(); }
    const char *head = head_.data();
    uint64_t size = number_at(head + 32, 8), key_size = number_at(head + 46, 2);
    bool is_possible = number_at(head, 4) == mark && key_size <= 255 && size <= UINT64_MAX - head_size - key_size - good_ &&
                       (total_ == 0 || good_ + head_size + key_size + size <= total_);
    if (!is_possible || !fill(body_, 0, key_size + size)) { return damaged(); }
    std::string_view body(body_.data(), size_t(key_size + size));
    uint32_t crc = crc32(crc32(0, {head + checked_from, head_size - checked_from}), body);
    if (crc != number_at(head + 4, 4)) { return damaged(); }
    ret_record = {number_at(head + 8, 8),
                  number_at(head + 16, 8),
                  number_at(head + 24, 8),
                  uint32_t(number_at(head + 40, 4)),
                  uint16_t(number_at(head + 44, 2)),
                  body.substr(0, size_t(key_size)),
                  body.substr(size_t(key_size))};
    good_ += head_size + key_size + size;
    return true;
}

} // namespace speculo::tool
