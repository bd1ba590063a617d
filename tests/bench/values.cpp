// SPDX-License-Identifier: LGPL-2.1-or-later
// The latest value, by key in an area, beside what the machine allows; and how long it takes to get there from nothing.
//
// usage: bench-values slots|seqlock|area paced|flat|join [NAME=NUMBER]...
#include <fcntl.h>
#include <sys/stat.h>

#include "area.hpp"
#include "bare.hpp"
#include "store.hpp"

namespace {

using bench::check;
using bench::Plan;
using bench::value_size;

// Slots in turn, and the number of the newest: what a reader looks at stays as it is for 63 updates.
class Slots {
public:
    explicit Slots(const Plan &) : memory_(4096 + count * value_size, PROT_READ | PROT_WRITE) {}
    void become_writer() { newest_ = reinterpret_cast<std::atomic<uint64_t> *>(memory_.bytes()); }
    void become_reader() {
        memory_.map(PROT_READ);
        become_writer();
    }
    void update(uint64_t number) {
        bench::fill<value_size>(slot(next_), number);
        newest_->store(next_, std::memory_order_release);
        ++next_;
    }
    bool read(uint64_t &number) const {
        uint64_t newest = newest_->load(std::memory_order_acquire);
        number = *static_cast<const bench::Word *>(slot(newest));
        bool is_good = bench::is_content<value_size>(slot(newest), number);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (newest_->load(std::memory_order_relaxed) - newest >= count - 1) { return false; }
        check(is_good || newest == 0, "a value is wrong");
        return newest != 0;
    }

private:
    static constexpr uint64_t count = 64;
    void *slot(uint64_t number) const { return memory_.bytes() + 4096 + number % count * value_size; }

    bench::Memory memory_;
    std::atomic<uint64_t> *newest_ = nullptr;
    uint64_t next_ = 1;
};

// One place and a counter that is odd while it changes: the reader copies, and looks again if it was disturbed.
class Seqlock {
public:
    explicit Seqlock(const Plan &) : memory_(4096, PROT_READ | PROT_WRITE) {}
    void become_writer() { place_ = reinterpret_cast<Place *>(memory_.bytes()); }
    void become_reader() {
        memory_.map(PROT_READ);
        become_writer();
    }
    void update(uint64_t number) {
        uint64_t count = place_->count.load(std::memory_order_relaxed);
        place_->count.store(count + 1, std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_release);
        for (size_t i = 0; i < words; ++i) { place_->words[i].store(number + i, std::memory_order_relaxed); }
        place_->count.store(count + 2, std::memory_order_release);
    }
    bool read(uint64_t &number) const {
        uint64_t copy[words];
        uint64_t before = place_->count.load(std::memory_order_acquire);
        for (size_t i = 0; i < words; ++i) { copy[i] = place_->words[i].load(std::memory_order_relaxed); }
        std::atomic_thread_fence(std::memory_order_acquire);
        if (before % 2 != 0 || before == 0 || place_->count.load(std::memory_order_relaxed) != before) { return false; }
        number = bench::number_of<value_size>(copy);
        return true;
    }

private:
    static constexpr size_t words = value_size / sizeof(uint64_t);
    struct Place {
        std::atomic<uint64_t> count;
        alignas(64) std::atomic<uint64_t> words[Seqlock::words];
    };
    bench::Memory memory_;
    Place *place_ = nullptr;
};

class Area {
public:
    explicit Area(const Plan &plan) : options_(options_for()), area_(options_), keys_(plan.keys) { area_.go_around(options_); }
    ~Area() { speculo_area_close(reader_); }
    Area(const Area &) = delete;
    Area &operator=(const Area &) = delete;

    void become_writer() {}
    void become_reader() {
        bench::AreaOptions options;
        options.prefault = UINT64_MAX;
        bench::check_code(speculo_area_open(area_.name(), SPECULO_OPEN_NO_CURSOR, &options, &reader_));
    }
    void update(uint64_t number) {
        void *data;
        bench::check_code(speculo_chunk_alloc(area_.handle(), value_size, &keys_[0], &data, nullptr));
        bench::fill<value_size>(data, number);
        speculo_commit(area_.handle());
    }
    bool read(uint64_t &number) const {
        speculo_chunk chunk;
        int found = speculo_read_key(reader_, keys_[0].key, keys_[0].key_size, &chunk);
        check(found >= 0 || found == -EAGAIN, "the key cannot be read");
        if (found != 1) { return false; }
        number = bench::number_of<value_size>(chunk.data);
        return true;
    }
    uint64_t join() {
        speculo_area *reader;
        bench::check_code(speculo_area_open(area_.name(), SPECULO_OPEN_NO_CURSOR, nullptr, &reader));
        reader_ = reader;
        uint64_t number = 0;
        check(read(number), "the key is not there");
        return number;
    }

private:
    static bench::AreaOptions options_for() {
        bench::AreaOptions options;
        options.capacity = 1 << 20;
        options.segments = 3;
        options.prefault = 4 << 20;
        return options;
    }
    bench::AreaOptions options_;
    bench::WritersArea area_;
    mutable bench::Keys keys_;
    speculo_area *reader_ = nullptr;
};

// What nobody can do without who joins shared memory that another process has made.
void measure_bare_join(const Plan &plan) {
    std::string name = "/speculo-bench-" + std::to_string(getpid()) + "-join";
    constexpr size_t size = 1 << 20;
    int file = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    check(file >= 0 && ftruncate(file, size) == 0, "no shared memory");
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    check(memory != MAP_FAILED, "cannot map");
    bench::fill<value_size>(memory, 7);
    bench::measure_join(plan, [&] {
        int there = shm_open(name.c_str(), O_RDONLY, 0);
        struct stat status;
        check(there >= 0 && fstat(there, &status) == 0, "it is not there");
        const void *seen = mmap(nullptr, size_t(status.st_size), PROT_READ, MAP_SHARED, there, 0);
        check(seen != MAP_FAILED, "cannot map");
        close(there);
        return bench::number_of<value_size>(seen);
    });
    shm_unlink(name.c_str());
}

void measure_join(const Plan &plan) {
    Area area(plan);
    area.update(7);
    bench::measure_join(plan, [&] { return area.join(); });
}

} // namespace

int main(int argc, char **argv) {
    check(argc > 2, "usage: bench-values slots|seqlock|area paced|flat|join [NAME=NUMBER]...");
    Plan plan(argc - 1, argv + 1);
    std::string store = argv[1];
    bool is_join = plan.what == "join";
    if (store == "slots") {
        is_join ? measure_bare_join(plan) : bench::measure_latest<Slots>(plan);
    } else if (store == "seqlock") {
        bench::measure_latest<Seqlock>(plan);
    } else if (store == "area") {
        is_join ? measure_join(plan) : bench::measure_latest<Area>(plan);
    } else {
        bench::fail("no such store");
    }
}
