// SPDX-License-Identifier: LGPL-2.1-or-later
// The limits: what carries messages from one process to another with the least that this takes. Both have a commit word of 8 bytes
// before each message, by which the reader knows that it is there, and how long it is: only then the place of the next one is known,
// as in an area. Readers map the messages PROT_READ, and every page is mapped before it counts.
//
//   Log   memory that is written once, from front to back: each line comes from memory, and nobody ever waits for room.
//   Ring  memory that is used again and again: it stays in cache, but the writer has to know how far the reader is. The reader says
//         so in a page of its own, every eighth of the way around, and the writer looks there only when it has to.
#pragma once

#include <cstddef>

#include "transport.hpp"

namespace bench {

// One object, mapped by each process as it needs it. In huge pages where the system has them, as an area has with `prefault`: in small
// ones the first accesses would count, as a host may make page tables of its own for them only then.
class Memory {
public:
    Memory(size_t size, int access) : size_(size), file_(memfd_create("bench", MFD_CLOEXEC)) {
        check(file_ >= 0 && ftruncate(file_, off_t(size)) == 0, "no memory");
        map(PROT_READ | PROT_WRITE);
        take_huge_pages();
        is_taken_ = true;
        map(access);
    }
    ~Memory() {
        unmap();
        close(file_);
    }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    void map(int access) {
        unmap();
        void *room = mmap(nullptr, size_ + huge_page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        check(room != MAP_FAILED, "no room for a mapping");
        munmap(room, size_ + huge_page);
        auto first = (reinterpret_cast<uintptr_t>(room) + huge_page - 1) / huge_page * huge_page;
        int flags = is_taken_ ? MAP_SHARED | MAP_POPULATE : MAP_SHARED;
        void *bytes = mmap(reinterpret_cast<void *>(first), size_, access, flags, file_, 0);
        check(bytes != MAP_FAILED, "cannot map");
        bytes_ = static_cast<std::byte *>(bytes);
    }
    std::byte *bytes() const { return bytes_; }

private:
    static constexpr size_t huge_page = 2 << 20;

    void take_huge_pages() {
        constexpr int collapse = 25; // MADV_COLLAPSE, which C libraries learned later than kernels
        for (size_t at = 0; at + huge_page <= size_; at += huge_page) {
            bytes_[at] = std::byte{}; // the kernel adds to what is there
            if (madvise(bytes_ + at, huge_page, collapse) != 0) { return; }
        }
    }
    void unmap() {
        if (bytes_) { munmap(bytes_, size_); }
        bytes_ = nullptr;
    }

    size_t size_;
    int file_;
    bool is_taken_ = false;
    std::byte *bytes_ = nullptr;
};

using CommitWord = std::atomic<uint64_t>;

inline CommitWord &word_at(std::byte *place) { return *reinterpret_cast<CommitWord *>(place); }

class Log {
public:
    static constexpr bool is_own = true, has_many_readers = true;

    explicit Log(const Plan &plan)
        : size_(plan.size), memory_(length_of(plan.size) * (plan.messages + 1), PROT_READ | PROT_WRITE) {}
    void become_writer() { place_ = memory_.bytes(); }
    void become_reader() {
        memory_.map(PROT_READ);
        place_ = memory_.bytes();
    }

    void *claim() { return place_ + header; }
    void send() {
        word_at(place_).store(size_ + 1, std::memory_order_release);
        place_ += length_of(size_);
    }
    const void *look() {
        uint64_t word = word_at(place_).load(std::memory_order_acquire);
        if (word == 0) { return nullptr; }
        size_ = word - 1;
        return place_ + header;
    }
    void release() { place_ += length_of(size_); }

private:
    static constexpr size_t header = sizeof(CommitWord);
    static size_t length_of(size_t size) { return (header + size + 7) / 8 * 8; }

    size_t size_; // of the message at hand
    Memory memory_;
    std::byte *place_ = nullptr;
};

// A word is the message's size, or that it goes on at the beginning, below a number that tells this lap from the one before: enough where
// all messages are of one size. With headers as long as an area's, the writer stores besides what any ring needs whose messages are of any
// size, as the bytes of an old one may look like a word: the next word is cleared before this one is set. And each message has a number.
template <size_t header> class RingOf {
public:
    static constexpr bool is_own = true, has_many_readers = false;

    explicit RingOf(const Plan &plan)
        : size_(plan.size), capacity_(plan.bytes / alignment * alignment), is_free_(plan.has("alone")),
          is_cold_(plan.has("cold")), memory_(capacity_, PROT_READ | PROT_WRITE), reader_page_(4096, PROT_READ | PROT_WRITE) {
        check(length_of(size_) + header <= capacity_, "the ring is too small");
    }
    void become_writer() {
        if (!is_cold_) { std::memset(memory_.bytes(), 0, capacity_); } // as an area goes around its segments
        begin();
    }
    void become_reader() {
        memory_.map(PROT_READ);
        begin();
    }

    void *claim() {
        size_t length = length_of(size_);
        if (size_t(end_ - place_) < length) { wrap(); }
        wait_for_room(has_long_headers ? length + header : length);
        return place_ + header;
    }
    void send() {
        if constexpr (has_long_headers) {
            word_at(place_ + sizeof(CommitWord)).store(count_, std::memory_order_relaxed);
            std::byte *next = place_ + length_of(size_);
            if (next != end_) { word_at(next).store(0, std::memory_order_relaxed); }
        }
        word_at(place_).store(word_of(size_), std::memory_order_release);
        pass(length_of(size_));
    }
    const void *look() {
        uint64_t word = word_at(place_).load(std::memory_order_acquire);
        if (word >> 32 != uint32_t(count_)) { return nullptr; }
        size_ = uint32_t(word);
        if (size_ != to_begin) { return place_ + header; }
        pass(size_t(end_ - place_));
        return nullptr;
    }
    void release() {
        pass(length_of(size_));
        if (position_ < next_report_) { return; }
        reached().store(position_, std::memory_order_release);
        next_report_ = position_ + capacity_ / 8;
    }

private:
    static constexpr uint32_t to_begin = UINT32_MAX;
    static constexpr bool has_long_headers = header > sizeof(CommitWord);
    static constexpr size_t alignment = has_long_headers ? 16 : 8;
    static size_t length_of(size_t size) { return (header + size + alignment - 1) / alignment * alignment; }
    uint64_t word_of(size_t size) const { return uint64_t(uint32_t(count_)) << 32 | size; }

    void begin() {
        place_ = memory_.bytes();
        end_ = place_ + capacity_;
        limit_ = capacity_;
        next_report_ = capacity_ / 8;
    }
    void pass(size_t length) {
        ++count_;
        position_ += length;
        place_ += length;
        if (place_ == end_) { place_ = memory_.bytes(); }
    }
    void wait_for_room(size_t length) {
        while (position_ + length > limit_ && !is_free_) {
            limit_ = reached().load(std::memory_order_acquire) + capacity_;
            if (position_ + length > limit_) { pause(); }
        }
    }
    void wrap() {
        size_t rest = size_t(end_ - place_);
        wait_for_room(rest);
        word_at(place_).store(word_of(to_begin), std::memory_order_release);
        pass(rest);
    }
    CommitWord &reached() { return word_at(reader_page_.bytes()); }

    size_t size_; // of the message at hand
    uint64_t capacity_;
    bool is_free_; // of readers
    bool is_cold_;
    Memory memory_, reader_page_;
    std::byte *place_ = nullptr, *end_ = nullptr;
    uint64_t count_ = 1, position_ = 0, limit_ = 0, next_report_ = 0;
};

using Ring = RingOf<8>;
using WideRing = RingOf<16>;

} // namespace bench
