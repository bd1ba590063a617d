// SPDX-License-Identifier: LGPL-2.1-or-later
#include "copier.hpp"

#include <cstring>

namespace speculo::core {

Copier *Copier::make(uint64_t largest) {
    auto *copier = static_cast<Copier *>(os::operations.allocate(sizeof(Copier)));
    if (copier) {
        copier->largest_ = largest;
        copier->begin();
    }
    return copier;
}

void Copier::begin(bool keep) {
    if (!keep || error_ != 0) { forget(); }
    error_ = 0;
    reads_left_ = reads_a_call;
}

void Copier::copy(int fd, uint64_t offset, void *ret_bytes, size_t size) {
    if (reads_left_ == 0) { fail(-EAGAIN); }
    if (error_ == 0) {
        --reads_left_;
        fence_copies();
        int error = os::operations.read_at(fd, offset, ret_bytes, size);
        if (error == 0) { return; }
        fail(error == -ENODATA ? -EBADMSG : error); // it was cut short
    }
    std::memset(ret_bytes, 0, size);
}

uint32_t Copier::load_growing(int fd, uint64_t offset) {
    auto all_but_lowest = [](uint32_t place) { return place >> 8; };
    uint32_t before = copy_of<uint32_t>(fd, offset), now = copy_of<uint32_t>(fd, offset);
    for (int i = 0; i < tries; ++i) {
        if (now == before) { return now; }
        uint32_t after = copy_of<uint32_t>(fd, offset);
        if (all_but_lowest(before) == all_but_lowest(after)) { return now; }
        before = now;
        now = after;
    }
    fail(-EAGAIN);
    return 0;
}

void Copier::forget() {
    fd_ = -1;
    known_ = 0;
    begin_ = end_ = 0;
    is_ahead_ = false;
}

void Copier::know(int fd, uint32_t place) {
    if (fd == fd_ && place <= known_) { return; }
    forget();
    fd_ = fd;
    known_ = place;
}

void Copier::fill(int fd, uint64_t offset, uint64_t limit) {
    if (fd != fd_) {
        forget();
        fd_ = fd;
    }
    uint64_t wanted = is_ahead_ ? window_size : most_at_once;
    size_t size = size_t(offset >= limit ? 0 : limit - offset < wanted ? limit - offset : wanted);
    copy(fd, offset, first_, size);
    copy(fd, offset, second_, size);
    if (size < most_at_once) {
        std::memset(first_ + size, 0, most_at_once - size);
        std::memset(second_ + size, 0, most_at_once - size);
    }
    begin_ = offset;
    end_ = offset + size; // the zeros behind it are for now: the object may grow
    is_ahead_ = true;
}

const std::byte *Copier::bytes(int fd, uint64_t offset, size_t size, uint64_t limit) {
    if (!has(fd, offset, size)) { fill(fd, offset, limit); }
    return second_ + (offset - begin_);
}

} // namespace speculo::core
