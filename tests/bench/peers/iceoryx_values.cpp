// SPDX-License-Identifier: LGPL-2.1-or-later
// The latest value as iceoryx has it: a queue of one place; the reader keeps what it took until there is something newer.
#include "iceoryx.hpp"

#include "../store.hpp"

namespace {

class Iceoryx {
public:
    explicit Iceoryx(const bench::Plan &) : service_(bench::iceoryx_service(0, getpid())) {}

    void become_writer() {
        bench::join_roudi("writer");
        iox::popo::PublisherOptions options;
        options.historyCapacity = 1;
        publisher_.emplace(service_, options);
        while (!publisher_->hasSubscribers()) { bench::pause(); }
    }
    void become_reader() {
        bench::join_roudi("reader");
        iox::popo::SubscriberOptions options;
        options.queueCapacity = 1;
        options.historyRequest = 1;
        subscriber_.emplace(service_, options);
    }
    void update(uint64_t number) {
        publisher_->loan(bench::value_size, alignof(uint64_t)).and_then([&](void *payload) {
            bench::fill<bench::value_size>(payload, number);
            publisher_->publish(payload);
        });
    }
    bool read(uint64_t &number) {
        subscriber_->take().and_then([&](const void *payload) {
            if (last_) { subscriber_->release(last_); }
            last_ = payload;
        });
        if (!last_) { return false; }
        number = bench::number_of<bench::value_size>(last_);
        return true;
    }

private:
    iox::capro::ServiceDescription service_;
    std::optional<iox::popo::UntypedPublisher> publisher_;
    std::optional<iox::popo::UntypedSubscriber> subscriber_;
    const void *last_ = nullptr;
};

} // namespace

int main(int argc, char **argv) { bench::measure_latest<Iceoryx>(bench::Plan(argc, argv)); }
