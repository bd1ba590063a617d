// SPDX-License-Identifier: LGPL-2.1-or-later
// What the kernel has for messages: pipe, a Unix socket that keeps their bounds, POSIX message queue. Both sides poll, as all do here.
//
// usage: bench-peer-kernel pipe|seqpacket|posix-mq WHAT...
#include <cerrno>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/socket.h>

#include "../transport.hpp"

namespace {

class Buffered {
public:
    static constexpr bool is_own = false, has_many_readers = false;

    explicit Buffered(const bench::Plan &plan) : buffer_(plan.size) {}
    Buffered(const Buffered &) = delete;
    Buffered &operator=(const Buffered &) = delete;
    void become_writer() {}
    void become_reader() {}
    void *claim() { return buffer_.data(); }
    void release() {}

protected:
    // How many bytes a call that does not block moved.
    static size_t moved(ssize_t count) {
        bench::check(count >= 0 || errno == EAGAIN || errno == ENOBUFS, "a system call failed");
        return count > 0 ? size_t(count) : 0;
    }
    std::vector<char> buffer_;
};

class Pipe : public Buffered {
public:
    explicit Pipe(const bench::Plan &plan) : Buffered(plan) {
        bench::check(pipe2(ends_, O_NONBLOCK | O_CLOEXEC) == 0, "no pipe");
        fcntl(ends_[1], F_SETPIPE_SZ, 1 << 20);
    }
    ~Pipe() {
        close(ends_[0]);
        close(ends_[1]);
    }

    void send() {
        for (size_t done = 0; done < buffer_.size();) {
            done += moved(write(ends_[1], buffer_.data() + done, buffer_.size() - done));
        }
    }
    const void *look() { // what is large comes in parts
        received_ += moved(read(ends_[0], buffer_.data() + received_, buffer_.size() - received_));
        if (received_ < buffer_.size()) { return nullptr; }
        received_ = 0;
        return buffer_.data();
    }

private:
    int ends_[2];
    size_t received_ = 0;
};

class Seqpacket : public Buffered {
public:
    explicit Seqpacket(const bench::Plan &plan) : Buffered(plan) {
        bench::check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_) == 0, "no sockets");
        int room = 8 << 20, most = 0;
        socklen_t size = sizeof most;
        setsockopt(ends_[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        setsockopt(ends_[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room); // the administrator's
        getsockopt(ends_[0], SOL_SOCKET, SO_SNDBUF, &most, &size);
        if (size_t(most) < plan.size + 4096) { bench::give_up("sockets may not have messages of that size"); }
    }
    ~Seqpacket() {
        close(ends_[0]);
        close(ends_[1]);
    }

    void send() {
        while (moved(::send(ends_[0], buffer_.data(), buffer_.size(), MSG_NOSIGNAL)) == 0) { bench::pause(); }
    }
    const void *look() { return moved(recv(ends_[1], buffer_.data(), buffer_.size(), 0)) != 0 ? buffer_.data() : nullptr; }

private:
    int ends_[2];
};

class PosixQueue : public Buffered {
public:
    explicit PosixQueue(const bench::Plan &plan) : Buffered(plan) {
        std::string name = "/speculo-bench-" + std::to_string(getpid()) + "-" + std::to_string(plan.channel);
        mq_attr attributes = {};
        attributes.mq_maxmsg = 10; // what anybody may have
        attributes.mq_msgsize = long(plan.size);
        queue_ = mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0600, &attributes);
        if (queue_ < 0) { bench::give_up("no POSIX message queue of that size"); }
        mq_unlink(name.c_str());
    }
    ~PosixQueue() { mq_close(queue_); }

    void send() {
        while (mq_send(queue_, buffer_.data(), buffer_.size(), 0) != 0) {
            bench::check(errno == EAGAIN, "mq_send failed");
            bench::pause();
        }
    }
    const void *look() {
        return moved(mq_receive(queue_, buffer_.data(), buffer_.size(), nullptr)) != 0 ? buffer_.data() : nullptr;
    }

private:
    mqd_t queue_;
};

} // namespace

int main(int argc, char **argv) {
    bench::check(argc > 2, "usage: bench-peer-kernel pipe|seqpacket|posix-mq WHAT...");
    bench::Plan plan(argc - 1, argv + 1);
    std::string transport = argv[1];
    if (transport == "pipe") {
        bench::measure<Pipe>(plan);
    } else if (transport == "seqpacket") {
        bench::measure<Seqpacket>(plan);
    } else if (transport == "posix-mq") {
        bench::measure<PosixQueue>(plan);
    } else {
        bench::fail("no such transport");
    }
}
