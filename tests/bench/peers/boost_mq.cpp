// SPDX-License-Identifier: LGPL-2.1-or-later
// Boost.Interprocess: a queue of messages that are copied in and out, under a mutex.
#include <boost/interprocess/ipc/message_queue.hpp>

#include "../transport.hpp"

namespace {

namespace ipc = boost::interprocess;

class BoostQueue {
public:
    static constexpr bool is_own = false, has_many_readers = false;

    explicit BoostQueue(const bench::Plan &plan)
        : name_("speculo-bench-mq-" + std::to_string(getpid()) + "-" + std::to_string(plan.channel)), buffer_(plan.size),
          places_(plan.bytes / plan.size < 4096 ? plan.bytes / plan.size : 4096),
          queue_(ipc::create_only, name_.c_str(), places_, plan.size), owner_(getpid()) {}
    ~BoostQueue() {
        if (getpid() == owner_) { ipc::message_queue::remove(name_.c_str()); }
    }
    BoostQueue(const BoostQueue &) = delete;
    BoostQueue &operator=(const BoostQueue &) = delete;

    void become_writer() {}
    void become_reader() {}

    void *claim() { return buffer_.data(); }
    void send() {
        while (!queue_.try_send(buffer_.data(), buffer_.size(), 0)) { bench::pause(); }
    }
    const void *look() {
        size_t size;
        unsigned priority;
        return queue_.try_receive(buffer_.data(), buffer_.size(), size, priority) ? buffer_.data() : nullptr;
    }
    void release() {}

private:
    std::string name_;
    std::vector<char> buffer_;
    size_t places_;
    ipc::message_queue queue_;
    pid_t owner_;
};

} // namespace

int main(int argc, char **argv) { bench::measure<BoostQueue>(bench::Plan(argc, argv)); }
