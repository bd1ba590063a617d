// SPDX-License-Identifier: LGPL-2.1-or-later
// How long single calls take, and what a stream that goes on and on takes from the system.
//
// usage: bench-calls area bytes=LIVE messages=COUNT     alloc, fill and commit of 1 KiB, among LIVE bytes that compactions copy
//        bench-calls log messages=COUNT                 the same into bare memory: what is long there is the machine's doing
//        bench-calls steady messages=COUNT              faults and memory of a lossless stream that goes around its segments
//        bench-calls clock messages=COUNT               one reading of the coarse clock, which a time to live is judged by
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <dirent.h>

#include "area.hpp"
#include "bare.hpp"

namespace {

using bench::check;
using bench::check_code;
using bench::now_ns;
using bench::Plan;
using bench::Row;

constexpr size_t size = 1 << 10;

void print_calls(const Row &calls, double compactions) {
    bench::print_figures({{"p50", calls.median()},
                          {"p999", calls.quantile(0.999)},
                          {"most", *std::max_element(calls.ns.begin(), calls.ns.end())},
                          {"compactions", compactions}});
}

template <class Send> Row time_calls(uint64_t count, Send send) {
    Row calls = {"", {}};
    calls.ns.reserve(count);
    bench::pin(0);
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t begin = now_ns();
        send(i);
        calls.ns.push_back(double(now_ns() - begin));
    }
    return calls;
}

uint64_t generation_of(speculo_area *writer) {
    speculo_area_info info = {};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    check_code(speculo_area_get_info(writer, &info));
    return info.generation;
}

void write(speculo_area *writer, const speculo_chunk_options *options, uint64_t number) {
    void *data;
    check_code(speculo_chunk_alloc(writer, size, options, &data, nullptr));
    bench::fill<size>(data, number);
    check_code(speculo_commit(writer));
}

void measure_area(const Plan &plan) {
    bench::AreaOptions options;
    options.capacity = 2 * plan.bytes;
    options.segments = 3;
    options.prefault = 4 * options.capacity;
    bench::WritersArea area(options);
    for (uint64_t i = 0; i < plan.bytes / (size + 16); ++i) { write(area.handle(), nullptr, i); }
    bench::ChunkOptions transient;
    transient.flags = SPECULO_CHUNK_TRANSIENT;
    uint64_t before = generation_of(area.handle());
    Row calls = time_calls(plan.messages, [&](uint64_t i) { write(area.handle(), &transient, i); });
    print_calls(calls, double(generation_of(area.handle()) - before));
}

void measure_log(const Plan &plan) {
    bench::Log log(plan);
    log.become_writer();
    print_calls(time_calls(plan.messages, [&](uint64_t i) { bench::send<size>(log, i); }), 0);
}

// ---- steady --------------------------------------------------------------------------------------------------------------------

uint64_t faults() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return uint64_t(usage.ru_minflt + usage.ru_majflt);
}

// What this process has in memory of what it shares, in bytes.
double resident_shared() {
    double kilobytes = 0;
    char line[256];
    std::FILE *status = std::fopen("/proc/self/status", "r");
    check(status, "no /proc");
    while (std::fgets(line, sizeof line, status)) {
        if (std::sscanf(line, "RssShmem: %lf", &kilobytes) == 1) { break; }
    }
    std::fclose(status);
    return kilobytes * 1024;
}

// What the area's objects take of the memory file system.
double allocated(const std::string &name) {
    double bytes = 0;
    DIR *folder = opendir("/dev/shm");
    check(folder, "no /dev/shm");
    while (const dirent *entry = readdir(folder)) {
        struct stat status;
        bool is_ours = std::strncmp(entry->d_name, name.c_str(), name.size()) == 0;
        if (is_ours && fstatat(dirfd(folder), entry->d_name, &status, 0) == 0) { bytes += double(status.st_blocks) * 512; }
    }
    closedir(folder);
    return bytes;
}

struct Faults {
    uint64_t reader;
};

void measure_steady(const Plan &plan) {
    auto *found = static_cast<Faults *>(bench::shared_memory(sizeof(Faults)));
    bench::AreaOptions options;
    options.capacity = plan.bytes / plan.segments;
    options.segments = uint32_t(plan.segments);
    options.flags = SPECULO_AREA_LOSSLESS;
    double before_all = resident_shared();
    bench::WritersArea area(options);
    area.go_around(options);
    speculo_area *reader = nullptr;
    uint64_t warm = plan.messages / 2, before = 0, writer_faults = 0, generation = 0;
    auto receive = [&](uint64_t wanted) {
        speculo_chunk chunk;
        while (speculo_read_next(reader, &chunk) == 0) { bench::pause(); }
        bench::check_content<size>(chunk.data, wanted);
    };
    bench::ChunkOptions transient;
    transient.flags = SPECULO_CHUNK_TRANSIENT;
    auto send = [&](uint64_t number) {
        void *data;
        int error;
        while ((error = speculo_chunk_alloc(area.handle(), size, &transient, &data, nullptr)) == -EAGAIN) { bench::pause(); }
        check_code(error);
        bench::fill<size>(data, number);
        speculo_commit(area.handle());
    };
    bench::run(
        plan.messages, [&] { check_code(speculo_area_open(area.name(), SPECULO_OPEN_AT_END, nullptr, &reader)); },
        [&] {
            for (uint64_t i = 0; i < plan.messages; ++i) {
                if (i == warm) { before = faults(); }
                receive(i);
            }
            found->reader = faults() - before;
        },
        [&] {
            for (uint64_t i = 0; i < plan.messages; ++i) {
                if (i == warm) { before = faults(), generation = generation_of(area.handle()); }
                send(i);
            }
            writer_faults = faults() - before;
        });
    double segments = double(options.segments);
    bench::print_figures({{"writer_faults", double(writer_faults)},
                          {"reader_faults", double(found->reader)},
                          {"segments_used", double(generation_of(area.handle()) - generation)},
                          {"resident", resident_shared() - before_all},
                          {"allocated", allocated(area.name())},
                          {"tables", segments * (double(options.capacity) + double(options.capacity) / 1024 * 16)}});
}

void measure_clock(const Plan &plan) {
    bench::pin(0);
    uint64_t begin = now_ns(), all = 0;
    for (uint64_t i = 0; i < plan.messages; ++i) {
        timespec time;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
        all |= uint64_t(time.tv_sec);
    }
    double each = double(now_ns() - begin) / double(plan.messages);
    check(all != 0, "the clock stands still");
    bench::print_figures({{"ns", each}});
}

} // namespace

int main(int argc, char **argv) {
    Plan plan(argc, argv);
    plan.size = size;
    if (plan.what == "area") {
        measure_area(plan);
    } else if (plan.what == "log") {
        measure_log(plan);
    } else if (plan.what == "steady") {
        measure_steady(plan);
    } else if (plan.what == "clock") {
        measure_clock(plan);
    } else {
        bench::fail("usage: bench-calls area|log|steady|clock [NAME=NUMBER]...");
    }
}
