// SPDX-License-Identifier: LGPL-2.1-or-later
// Reading objects whose writer is not to be trusted: all bytes are copied through the kernel, so that nothing that becomes of an
// object is a signal. What is checked is the copy, and only the copy is used.
#pragma once

#include <cerrno>

#include "os.hpp"
#include "sync.hpp"

namespace speculo::core {

// Reads for one handle, or for one snapshot. An error is remembered until the next call of the interface, and all that is read
// from then on is 0: rules stop at a zero, so they need not ask after each word.
class Copier {
public:
    static constexpr uint64_t default_largest = uint64_t(64) << 20;

    // Null: no memory. `largest`: bytes that a chunk may have.
    static Copier *make(uint64_t largest);

    // A call of the interface begins. `keep`: what was read ahead stays good, as nothing newer is asked for.
    void begin(bool keep = false);
    // What the call gives: an error goes before whatever followed from the zeros.
    int finish(int result) const { return error_ != 0 ? error_ : result; }
    int error() const { return error_; }
    uint64_t largest() const { return largest_; }

    // All bytes, or zeros.
    void copy(int fd, uint64_t offset, void *ret_bytes, size_t size);

    // A word as it was at one moment.
    template <class T> T load(int fd, uint64_t offset) {
        T word = copy_of<T>(fd, offset);
        for (int i = 0; i < few_tries; ++i) {
            T again = copy_of<T>(fd, offset);
            if (again == word) { return word; }
            word = again;
        }
        fail(-EAGAIN);
        return 0;
    }

    // A place that grows, perhaps with each commit, so that no two copies ever agree. Where all of it but the lowest byte is the same
    // before and after a copy, that one has it as it was at one moment.
    uint32_t load_growing(int fd, uint64_t offset);

    // ---- the window: a piece of one file, copied twice ----

    // From here on another object is looked at, or this one anew.
    void forget();
    // Of the file `fd`: whatever lies below `place` is committed, and was before anything that the window will have is copied.
    void know(int fd, uint32_t place);
    uint32_t known(int fd) const { return fd == fd_ ? known_ : 0; }

    bool has(int fd, uint64_t offset, size_t size) const {
        return fd == fd_ && offset >= begin_ && offset < end_ && size <= end_ - offset;
    }
    // Copies what there is from `offset` on, up to `limit`.
    void fill(int fd, uint64_t offset, uint64_t limit);
    // Bytes that do not change any more, or are the writer's to answer for; at most `most_at_once`. Valid until the next call.
    const std::byte *bytes(int fd, uint64_t offset, size_t size, uint64_t limit);
    // A word that may change, as it was when the window was filled.
    template <class T> T word(int fd, uint64_t offset, uint64_t limit) {
        for (int i = 0; i < few_tries; ++i) {
            const std::byte *second = bytes(fd, offset, sizeof(T), limit);
            T word, before;
            copy_bytes(&word, second, sizeof word);
            copy_bytes(&before, second - second_ + first_, sizeof before);
            if (word == before) { return word; }
            fill(fd, offset, limit);
        }
        fail(-EAGAIN);
        return 0;
    }

    static constexpr size_t most_at_once = 512; // header and fields of a frame

private:
    static constexpr int few_tries = 64;
    static constexpr int tries = 4096;                // a writer at full speed pauses sooner, if only to change segments
    static constexpr uint32_t reads_a_call = 1 << 18; // a hostile writer can make a call take no longer
    static constexpr size_t window_size = 4096;

    void fail(int error) { error_ = error_ != 0 ? error_ : error; }
    template <class T> T copy_of(int fd, uint64_t offset) {
        T word;
        copy(fd, offset, &word, sizeof word);
        return word;
    }

    int error_;
    uint32_t reads_left_;
    uint64_t largest_;
    int fd_; // of the window
    uint32_t known_;
    uint64_t begin_, end_; // what of the file is in the window
    bool is_ahead_;        // it was filled before: more will be wanted
    std::byte first_[window_size], second_[window_size];
};

} // namespace speculo::core
