// SPDX-License-Identifier: LGPL-2.1-or-later
// ZeroMQ over a Unix socket: push to pull, with its own threads for input and output.
#include <zmq.h>

#include "../transport.hpp"

namespace {

class Zmq {
public:
    static constexpr bool is_own = false, has_many_readers = false;

    explicit Zmq(const bench::Plan &plan)
        : size_(plan.size), address_("ipc://@speculo-bench-" + std::to_string(getpid()) + "-" + std::to_string(plan.channel)) {}
    ~Zmq() {
        if (!socket_) { return; }
        zmq_close(socket_);
        zmq_ctx_destroy(context_); // waits until everything is out
    }
    Zmq(const Zmq &) = delete;
    Zmq &operator=(const Zmq &) = delete;

    void become_writer() { open(ZMQ_PUSH, zmq_bind); }
    void become_reader() { open(ZMQ_PULL, zmq_connect); }

    void *claim() {
        zmq_msg_init_size(&message_, size_);
        return zmq_msg_data(&message_);
    }
    void send() {
        while (zmq_msg_send(&message_, socket_, ZMQ_DONTWAIT) < 0) { bench::pause(); }
    }
    const void *look() {
        zmq_msg_init(&message_);
        return zmq_msg_recv(&message_, socket_, ZMQ_DONTWAIT) == int(size_) ? zmq_msg_data(&message_) : nullptr;
    }
    void release() { zmq_msg_close(&message_); }

private:
    void open(int type, int (*attach)(void *, const char *)) {
        context_ = zmq_ctx_new();
        socket_ = zmq_socket(context_, type);
        int soon = 1; // a reader that comes before its writer tries again
        zmq_setsockopt(socket_, ZMQ_RECONNECT_IVL, &soon, sizeof soon);
        bench::check(attach(socket_, address_.c_str()) == 0, "no ZeroMQ");
    }

    size_t size_;
    std::string address_;
    void *context_ = nullptr, *socket_ = nullptr;
    zmq_msg_t message_;
};

} // namespace

int main(int argc, char **argv) { bench::measure<Zmq>(bench::Plan(argc, argv)); }
