// SPDX-License-Identifier: LGPL-2.1-or-later
// What the number of keys costs.
//
// usage: bench-keys snapshot [keys=100] [messages=COMMITS]     all keys at one moment, beside reading them singly; commits at 1 kHz
//        bench-keys growth [keys=COUNT] [messages=UPDATES]     updates and reads of many keys, in no order, in an area
//        bench-keys bare-growth ...                            the same in an array, which shows what the caches do
#include "area.hpp"
#include "bare.hpp"

namespace {

using bench::check;
using bench::check_code;
using bench::Keys;
using bench::now_ns;
using bench::Plan;

constexpr size_t size = 64;

void update(speculo_area *writer, const speculo_chunk_options &options, uint64_t number) {
    void *data;
    check_code(speculo_chunk_alloc(writer, size, &options, &data, nullptr));
    bench::fill<size>(data, number);
}

uint64_t read(speculo_area *reader, const speculo_chunk_options &options) {
    speculo_chunk chunk;
    check(speculo_read_key(reader, options.key, options.key_size, &chunk) == 1, "a key is not there");
    return bench::number_of<size>(chunk.data);
}

speculo_area *open_reader(const bench::WritersArea &area) {
    bench::AreaOptions options;
    options.prefault = UINT64_MAX;
    speculo_area *reader;
    check_code(speculo_area_open(area.name(), SPECULO_OPEN_NO_CURSOR, &options, &reader));
    return reader;
}

// ---- a snapshot ----------------------------------------------------------------------------------------------------------------

struct Rounds {
    std::atomic<uint32_t> is_over;
    uint64_t count, retries, walk_ns, look_up_ns, singly_ns;
};

speculo_snapshot *open_snapshot(speculo_area *reader, uint64_t &retries) {
    speculo_snapshot *snapshot;
    int error;
    while ((error = speculo_snapshot_open(reader, &snapshot)) == -EAGAIN) { ++retries; }
    check_code(error);
    return snapshot;
}

// All keys have what one commit gave them.
void walk(speculo_area *reader, uint64_t keys, uint64_t &retries) {
    speculo_snapshot *snapshot = open_snapshot(reader, retries);
    speculo_chunk chunk;
    uint64_t count = 0, first = 0;
    int found;
    while ((found = speculo_snapshot_next(snapshot, &chunk)) == 1) {
        uint64_t number = bench::number_of<size>(chunk.data);
        if (count++ == 0) { first = number; }
        check(number == first, "a snapshot has keys of different commits");
    }
    check_code(found);
    check(count == keys, "a snapshot lacks keys");
    speculo_snapshot_close(snapshot);
}

void look_up(speculo_area *reader, Keys &keys, uint64_t &retries) {
    speculo_snapshot *snapshot = open_snapshot(reader, retries);
    uint64_t first = 0;
    for (uint64_t i = 0; i < keys.count(); ++i) {
        speculo_chunk chunk;
        check(speculo_snapshot_key(snapshot, keys[i].key, keys[i].key_size, &chunk) == 1, "a snapshot lacks a key");
        uint64_t number = bench::number_of<size>(chunk.data);
        if (i == 0) { first = number; }
        check(number == first, "a snapshot has keys of different commits");
    }
    speculo_snapshot_close(snapshot);
}

void look_at_all(speculo_area *reader, Keys &keys, Rounds &rounds) {
    for (; rounds.is_over == 0; ++rounds.count) {
        uint64_t begin = now_ns();
        walk(reader, keys.count(), rounds.retries);
        uint64_t walked = now_ns();
        look_up(reader, keys, rounds.retries);
        uint64_t looked = now_ns();
        uint64_t least = 0;
        for (uint64_t i = 0; i < keys.count(); ++i) {
            uint64_t number = read(reader, keys[i]);
            check(number >= least, "a key is older than one read before it");
            least = number;
        }
        uint64_t done = now_ns();
        rounds.walk_ns += walked - begin;
        rounds.look_up_ns += looked - walked;
        rounds.singly_ns += done - looked;
    }
}

void measure_snapshot(const Plan &plan) {
    auto *rounds = static_cast<Rounds *>(bench::shared_memory(sizeof(Rounds)));
    bench::AreaOptions options;
    options.capacity = 1 << 20;
    options.segments = 3;
    options.prefault = 4 << 20;
    bench::WritersArea area(options);
    Keys keys(plan.keys);
    speculo_area *reader = nullptr;
    auto commit = [&](uint64_t number) {
        for (uint64_t i = 0; i < keys.count(); ++i) { update(area.handle(), keys[i], number); }
        speculo_commit(area.handle());
    };
    commit(1);
    bench::run(
        1, [&] { reader = open_reader(area); }, [&] { look_at_all(reader, keys, *rounds); },
        [&] {
            uint64_t begin = now_ns();
            for (uint64_t i = 0; i < plan.messages; ++i) {
                while (now_ns() < begin + i * 1000000) { bench::pause(); }
                commit(i + 2);
            }
            rounds->is_over = 1;
        });
    double count = double(rounds->count);
    check(count > 0, "nobody looked");
    bench::print_figures({{"walk", double(rounds->walk_ns) / count},
                          {"look_up", double(rounds->look_up_ns) / count},
                          {"singly", double(rounds->singly_ns) / count},
                          {"retries", double(rounds->retries)}});
}

// ---- many keys -----------------------------------------------------------------------------------------------------------------

// All keys from 0 to below `count`, again and again, in an order that no cache foresees.
class Order {
public:
    explicit Order(uint64_t count) : count_(count) {}
    uint64_t next() {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return ((state_ >> 32) * count_) >> 32;
    }

private:
    uint64_t count_, state_ = 88172645463325252;
};

// A key is the number that it has, and its value begins with that number and how often it was changed: nothing but what is measured takes room
// in a cache for each key.
class Number : public bench::ChunkOptions {
public:
    Number() { key = &number_, key_size = sizeof number_; }
    Number(const Number &) = delete;
    Number &operator=(const Number &) = delete;
    Number &be(uint64_t number) {
        number_ = number;
        return *this;
    }

private:
    uint64_t number_ = 0;
};
constexpr uint64_t value_of(uint64_t key, uint64_t change) { return key << 32 | change; }
constexpr uint64_t key_of(uint64_t value) { return value >> 32; }

// Runs `step` with each key that comes; ns for each.
template <class Step> double in_no_order(uint64_t keys, uint64_t count, Step step) {
    Order order(keys);
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < count; ++i) { step(order.next(), i + 1); }
    return double(now_ns() - begin) / double(count);
}

// The change that each key has seen last.
std::vector<uint64_t> last_changes(uint64_t keys, uint64_t count) {
    std::vector<uint64_t> last(keys);
    in_no_order(keys, count, [&](uint64_t key, uint64_t change) { last[key] = change; });
    return last;
}

// `warm`: all memory is used once, so that what counts are the keys.
template <class Update, class Warm, class Read> void measure_growth(const Plan &plan, Update update, Warm warm, Read read) {
    for (uint64_t key = 0; key < plan.keys; ++key) { update(key, 0); }
    warm();
    double update_ns = in_no_order(plan.keys, plan.messages, update);
    double read_ns = in_no_order(plan.keys, plan.messages, [&](uint64_t key, uint64_t) {
        check(key_of(read(key)) == key, "a key has the value of another");
    });
    std::vector<uint64_t> last = last_changes(plan.keys, plan.messages);
    for (uint64_t key = 0; key < plan.keys; ++key) { check(read(key) == value_of(key, last[key]), "a key has another value"); }
    bench::print_figures({{"update", update_ns}, {"read", read_ns}});
}

void measure_area_growth(const Plan &plan) {
    constexpr uint64_t frame = 112;
    bench::AreaOptions options;
    options.capacity = std::max<uint64_t>(1 << 20, 4 * plan.keys * frame);
    options.segments = 2;
    options.prefault = options.segments * (options.capacity + options.capacity / 8 + (64 << 10));
    bench::WritersArea area(options);
    bench::pin(0);
    Number number;
    speculo_area *reader = nullptr;
    measure_growth(
        plan,
        [&](uint64_t key, uint64_t change) {
            update(area.handle(), number.be(key), value_of(key, change));
            speculo_commit(area.handle());
        },
        [&] { area.go_around(options); },
        [&](uint64_t key) {
            if (!reader) { reader = open_reader(area); }
            return read(reader, number.be(key));
        });
    speculo_area_close(reader);
}

void measure_bare_growth(const Plan &plan) {
    bench::pin(0);
    bench::Memory memory(plan.keys * size, PROT_READ | PROT_WRITE);
    measure_growth(
        plan, [&](uint64_t key, uint64_t change) { bench::fill<size>(memory.bytes() + key * size, value_of(key, change)); },
        [] {}, [&](uint64_t key) { return bench::number_of<size>(memory.bytes() + key * size); });
}

} // namespace

int main(int argc, char **argv) {
    Plan plan(argc, argv);
    if (plan.what == "snapshot") {
        measure_snapshot(plan);
    } else if (plan.what == "growth") {
        measure_area_growth(plan);
    } else if (plan.what == "bare-growth") {
        measure_bare_growth(plan);
    } else {
        bench::fail("usage: bench-keys snapshot|growth|bare-growth [NAME=NUMBER]...");
    }
}
