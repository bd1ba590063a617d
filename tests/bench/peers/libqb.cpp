// SPDX-License-Identifier: LGPL-2.1-or-later
// libqb: a ring buffer for one reader, which writes its own position. Filled and read in place.
#include <qb/qbrb.h>

#include "../transport.hpp"

namespace {

class Libqb {
public:
    static constexpr bool is_own = false, has_many_readers = false;

    explicit Libqb(const bench::Plan &plan)
        : name_("speculo-bench-qb-" + std::to_string(getpid()) + "-" + std::to_string(plan.channel)), size_(plan.size),
          bytes_(plan.bytes) {
        ring_ = qb_rb_open(name_.c_str(), bytes_, QB_RB_FLAG_CREATE | flags, 0);
        bench::check(ring_, "no libqb ring");
    }
    ~Libqb() {
        qb_rb_close(ring_);
        // Closing removes it only if the reader has closed it as well, and that may have been killed.
        for (const char *part : {"-header", "-data"}) { shm_unlink(("/qb-" + name_ + part).c_str()); }
    }
    Libqb(const Libqb &) = delete;
    Libqb &operator=(const Libqb &) = delete;

    void become_writer() {}
    void become_reader() {
        ring_ = qb_rb_open(name_.c_str(), bytes_, flags, 0);
        bench::check(ring_, "cannot open the libqb ring");
    }

    void *claim() {
        void *room;
        while (!(room = qb_rb_chunk_alloc(ring_, size_))) { bench::pause(); }
        return room;
    }
    void send() { bench::check(qb_rb_chunk_commit(ring_, size_) == 0, "libqb did not commit"); }
    const void *look() {
        void *message;
        return qb_rb_chunk_peek(ring_, &message, 0) == ssize_t(size_) ? message : nullptr;
    }
    void release() { qb_rb_chunk_reclaim(ring_); }

private:
    static constexpr uint32_t flags = QB_RB_FLAG_SHARED_PROCESS | QB_RB_FLAG_NO_SEMAPHORE;
    std::string name_;
    size_t size_, bytes_; // opening sets the size, whoever does
    qb_ringbuffer_t *ring_;
};

} // namespace

int main(int argc, char **argv) { bench::measure<Libqb>(bench::Plan(argc, argv)); }
