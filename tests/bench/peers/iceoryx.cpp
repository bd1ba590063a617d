// SPDX-License-Identifier: LGPL-2.1-or-later
#include "iceoryx.hpp"

#include "../transport.hpp"

namespace {

// Lossless: the writer waits for a reader whose queue is full.
class Iceoryx {
public:
    static constexpr bool is_own = false, has_many_readers = false;

    explicit Iceoryx(const bench::Plan &plan)
        : size_(uint32_t(plan.size)), service_(bench::iceoryx_service(plan.channel, getpid())) {
        // What waits must fit into the pools of scripts/bench.
        queue_ = plan.size >= (1 << 20) ? 8 : plan.size >= (1 << 16) ? 64 : 256;
    }

    void become_writer() {
        bench::join_roudi("writer");
        iox::popo::PublisherOptions options;
        options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
        publisher_.emplace(service_, options);
    }
    void become_reader() {
        bench::join_roudi("reader");
        iox::popo::SubscriberOptions options;
        options.queueCapacity = queue_;
        options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
        subscriber_.emplace(service_, options);
    }

    void *claim() {
        while (!is_connected_) { is_connected_ = publisher_->hasSubscribers(); }
        publisher_->loan(size_, alignof(uint64_t)).and_then([&](void *payload) { payload_ = payload; }).or_else([](auto &) {
            bench::fail("iceoryx has no chunk left");
        });
        return payload_;
    }
    void send() { publisher_->publish(payload_); }

    const void *look() {
        received_ = nullptr;
        subscriber_->take().and_then([&](const void *payload) { received_ = payload; });
        return received_;
    }
    void release() { subscriber_->release(received_); }

private:
    uint32_t size_;
    uint64_t queue_;
    iox::capro::ServiceDescription service_;
    std::optional<iox::popo::UntypedPublisher> publisher_;
    std::optional<iox::popo::UntypedSubscriber> subscriber_;
    bool is_connected_ = false;
    void *payload_ = nullptr;
    const void *received_ = nullptr;
};

} // namespace

int main(int argc, char **argv) { bench::measure<Iceoryx>(bench::Plan(argc, argv)); }
