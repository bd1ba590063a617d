// SPDX-License-Identifier: LGPL-2.1-or-later
// The cost of a message from a writer to a reader that keeps up on another core, beside what the machine allows:
//   64 bytes   against a bare append log with a commit word per record, in memory that both have touched
//   1 MiB      against a memcpy of them within one process, and against a bare ring, over as much memory
// The writer fills every byte. The reader checks every word of the small ones, and of the large ones the first or each cache line.
#include <cstring>

#include <speculo/speculo.h>

#include "two_processes.hpp"

namespace {

using bench::check;

constexpr int repetitions = 9;

// ---- 64 bytes -----------------------------------------------------------------------------------------------------------------

constexpr size_t small_words = 8;
constexpr uint64_t small_messages = 1000000;

void fill_small(uint64_t *words, uint64_t number) {
    for (size_t i = 0; i < small_words; ++i) { words[i] = number + i; }
}

void check_small(const uint64_t *words, uint64_t number) {
    uint64_t sum = 0;
    for (size_t i = 0; i < small_words; ++i) { sum += words[i]; }
    check(sum == small_words * number + small_words * (small_words - 1) / 2, "a message is wrong");
}

// The limit: records behind each other, each with a word that says that it is there.
struct Record {
    std::atomic<uint32_t> there;
    uint32_t unused[3];
    uint64_t words[small_words];
};

void write_log(Record *log) {
    for (uint64_t i = 0; i < small_messages; ++i) {
        fill_small(log[i].words, i);
        log[i].there.store(1, std::memory_order_release);
    }
}

double small_log() {
    auto *log = static_cast<Record *>(bench::shared_memory(small_messages * sizeof(Record)));
    double ns = bench::run(
        small_messages,
        [=] { // its own page tables
            for (uint64_t i = 0; i < small_messages; ++i) { check(log[i].there == 0, "the log is not empty"); }
        },
        [=] {
            for (uint64_t i = 0; i < small_messages; ++i) {
                while (log[i].there.load(std::memory_order_acquire) == 0) { bench::pause(); }
                check_small(log[i].words, i);
            }
        },
        [=] { write_log(log); });
    munmap(log, small_messages * sizeof(Record));
    return ns;
}

double small_log_alone() {
    auto *log = static_cast<Record *>(bench::shared_memory(small_messages * sizeof(Record)));
    uint64_t begin = bench::now_ns();
    write_log(log);
    double ns = double(bench::now_ns() - begin) / double(small_messages);
    munmap(log, small_messages * sizeof(Record));
    return ns;
}

// ---- an area --------------------------------------------------------------------------------------------------------------------

struct AreaBench {
    std::string name = "speculo-bench-" + std::to_string(getpid());
    speculo_area *writer = nullptr, *reader = nullptr;

    AreaBench(uint64_t capacity, uint32_t segments, uint32_t flags) {
        speculo_area_options options = {};
        options.struct_size = sizeof options;
        options.capacity = capacity;
        options.segments = segments;
        options.flags = flags;
        options.prefault = (capacity + capacity / 8) * segments; // more than the tables take
        int error = speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer);
        check(error == 0, speculo_strerror(error));
    }
    ~AreaBench() {
        speculo_area_close(writer);
        speculo_area_remove(name.c_str());
    }
    AreaBench(const AreaBench &) = delete;

    void open_reader() {
        speculo_area_options options = {};
        options.struct_size = sizeof options;
        options.prefault = UINT64_MAX;
        int error = speculo_area_open(name.c_str(), SPECULO_OPEN_AT_END, &options, &reader);
        check(error == 0, speculo_strerror(error));
    }

    void *alloc(size_t size) {
        speculo_chunk_options options = {};
        options.struct_size = sizeof options;
        options.flags = SPECULO_CHUNK_TRANSIENT;
        void *data;
        int error;
        while ((error = speculo_chunk_alloc(writer, size, &options, &data, nullptr)) == -EAGAIN) { bench::pause(); }
        check(error == 0, speculo_strerror(error));
        return data;
    }

    void next(speculo_chunk &chunk) {
        int found;
        while ((found = speculo_read_next(reader, &chunk)) == 0) { bench::pause(); }
        check(found == 1, speculo_strerror(found));
    }
};

void warm_up(AreaBench &area, size_t size, uint64_t messages) {
    for (uint64_t i = 0; i < messages; ++i) {
        std::memset(area.alloc(size), 0, size);
        speculo_commit(area.writer);
    }
}

void write_small(AreaBench &area) {
    for (uint64_t i = 0; i < small_messages; ++i) {
        fill_small(static_cast<uint64_t *>(area.alloc(64)), i);
        speculo_commit(area.writer);
    }
}

double small_area_alone(uint64_t capacity, uint32_t segments) {
    AreaBench area(capacity, segments, 0);
    warm_up(area, 64, capacity * segments / 64);
    uint64_t begin = bench::now_ns();
    write_small(area);
    return double(bench::now_ns() - begin) / double(small_messages);
}

double small_area(uint64_t capacity, uint32_t segments) {
    AreaBench area(capacity, segments, SPECULO_AREA_LOSSLESS);
    warm_up(area, 64, capacity * segments / 64);
    return bench::run(
        small_messages, [&] { area.open_reader(); },
        [&] {
            speculo_chunk chunk;
            for (uint64_t i = 0; i < small_messages; ++i) {
                area.next(chunk);
                check_small(static_cast<const uint64_t *>(chunk.data), i);
            }
        },
        [&] { write_small(area); });
}

// ---- 1 MiB ----------------------------------------------------------------------------------------------------------------------

constexpr size_t large_size = 1 << 20;
constexpr uint64_t large_messages = 2000;
constexpr uint64_t large_capacity = 4 * (large_size + 64);
constexpr uint32_t large_segments = 3;

char source[large_size];

// Copies only: the same number of places to copy to as the area has.
double large_copy() {
    constexpr uint64_t places = 4 * large_segments;
    auto *memory = static_cast<char *>(bench::shared_memory(places * large_size));
    bench::pin(0);
    uint64_t begin = 0;
    for (uint64_t i = 0; i < large_messages + places; ++i) {
        if (i == places) { begin = bench::now_ns(); }
        std::memcpy(source, &i, sizeof i);
        std::memcpy(memory + i % places * large_size, source, large_size);
    }
    double ns = double(bench::now_ns() - begin) / double(large_messages);
    munmap(memory, places * large_size);
    return ns;
}

void check_large(const void *data, uint64_t message, size_t stride) {
    uint64_t number, sum = 0;
    std::memcpy(&number, data, sizeof number);
    for (size_t at = stride; at < large_size; at += stride) { sum += static_cast<const unsigned char *>(data)[at]; }
    check(number == message && sum == (large_size - 1) / stride * 7, "a message is wrong");
}

void fill_large(void *data, uint64_t message) {
    std::memcpy(source, &message, sizeof message);
    std::memcpy(data, source, large_size);
}

// A writer that waits for the reader's word before it overwrites a place.
double large_ring(size_t stride) {
    constexpr uint64_t places = 4 * large_segments;
    struct Counts {
        alignas(64) std::atomic<uint64_t> written;
        alignas(64) std::atomic<uint64_t> read;
    };
    auto *memory = static_cast<char *>(bench::shared_memory(places * large_size));
    auto *counts = static_cast<Counts *>(bench::shared_memory(sizeof(Counts)));
    double ns = bench::run(
        large_messages, [=] { madvise(memory, places * large_size, MADV_POPULATE_READ); },
        [=] {
            for (uint64_t i = 0; i < large_messages; ++i) {
                while (counts->written.load(std::memory_order_acquire) == i) { bench::pause(); }
                check_large(memory + i % places * large_size, i, stride);
                counts->read.store(i + 1, std::memory_order_release);
            }
        },
        [=] {
            for (uint64_t i = 0; i < large_messages; ++i) {
                while (i - counts->read.load(std::memory_order_acquire) >= places) { bench::pause(); }
                fill_large(memory + i % places * large_size, i);
                counts->written.store(i + 1, std::memory_order_release);
            }
        });
    munmap(memory, places * large_size);
    munmap(counts, sizeof(Counts));
    return ns;
}

double large_area(size_t stride) {
    AreaBench area(large_capacity, large_segments, SPECULO_AREA_LOSSLESS);
    warm_up(area, large_size, 4 * large_segments + 1);
    return bench::run(
        large_messages, [&] { area.open_reader(); },
        [&] {
            speculo_chunk chunk;
            for (uint64_t i = 0; i < large_messages; ++i) {
                area.next(chunk);
                check_large(chunk.data, i, stride);
            }
        },
        [&] {
            for (uint64_t i = 0; i < large_messages; ++i) {
                fill_large(area.alloc(large_size), i);
                speculo_commit(area.writer);
            }
        });
}

} // namespace

int main() {
    std::memset(source, 7, sizeof source);
    std::vector<bench::Row> alone = {{"bare log", {}}, {"area, 3 segments of 256 KiB", {}}, {"area, 3 segments of 4 MiB", {}}};
    std::vector<bench::Row> small = alone, large = {{"memcpy", {}}, {"bare ring", {}}, {"area", {}}}, whole = large;
    for (int i = 0; i < repetitions; ++i) {
        alone[0].ns.push_back(small_log_alone());
        alone[1].ns.push_back(small_area_alone(256 << 10, 3));
        alone[2].ns.push_back(small_area_alone(4 << 20, 3));
        small[0].ns.push_back(small_log());
        small[1].ns.push_back(small_area(256 << 10, 3));
        small[2].ns.push_back(small_area(4 << 20, 3));
        large[0].ns.push_back(large_copy());
        large[1].ns.push_back(large_ring(large_size));
        large[2].ns.push_back(large_area(large_size));
        whole[1].ns.push_back(large_ring(64));
        whole[2].ns.push_back(large_area(64));
    }
    whole[0].ns = large[0].ns;
    bench::print("64 bytes, nobody reads", alone);
    bench::print("64 bytes, lossless, a reader checks every word", small);
    bench::print("1 MiB, lossless, a reader checks the first cache line", large);
    bench::print("1 MiB, lossless, a reader checks every cache line", whole);
}
