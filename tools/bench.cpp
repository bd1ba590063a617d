// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo bench: what sharing costs on this machine, beside a plain copy of the same bytes.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

constexpr uint64_t millisecond = 1000000, second = 1000000000;
constexpr size_t sizes[] = {8, 64, 1 << 10, 16 << 10, 256 << 10, 1 << 20};
constexpr int rounds = 5;
constexpr uint32_t last_tag = 1; // of the chunk that ends a round
constexpr uint64_t capacity = 8 << 20;

struct Options {
    uint64_t time_ns = 5 * second;
    bool json = false;
};

// ---- an area of its own, and a reader in another process ------------------------------------------------------------------------

class BenchArea {
public:
    BenchArea() : name_("speculo-bench-" + std::to_string(::getpid())) {
        area_options options;
        options.capacity(capacity).prefault(UINT64_MAX);
        std::error_code ec;
        options.lossless(); // the reader gets every chunk, so both sides did the same work
        writer = speculo::writer::open(name_, speculo::writer::exclusive, options, ec);
        if (ec == std::errc::operation_not_supported) {
            options = area_options().capacity(capacity).prefault(UINT64_MAX);
            writer = speculo::writer::open(name_, speculo::writer::exclusive, options, ec);
        }
        if (ec) { throw writing_failure(name_, -ec.value()); }
    }
    ~BenchArea() {
        writer.close();
        speculo_area_remove(name_.c_str());
    }
    BenchArea(const BenchArea &) = delete;
    BenchArea &operator=(const BenchArea &) = delete;

    const std::string &name() const { return name_; }

    // Room for a transient chunk, waited for.
    speculo::buffer room(size_t size, uint32_t tag = 0) {
        chunk_options options;
        options.transient().tag(tag);
        for (;;) {
            std::error_code ec;
            speculo::buffer room = writer.alloc(size, options, ec);
            if (!ec) { return room; }
            if (ec != std::errc::resource_unavailable_try_again) { throw area_failure(name_, -ec.value()); }
            writer.wait(std::chrono::milliseconds(100), ec);
            if (stopped()) { throw Stopped(); }
        }
    }

    speculo::writer writer;

private:
    std::string name_;
};

// A child that works on the area and sends numbers back. It is gone when this is.
class Child {
public:
    template <class Work> explicit Child(Work work) {
        int ends[2];
        if (::pipe(ends) < 0) { throw system_failure("pipe", errno); } // NOLINT(*-cloexec): nothing is executed
        pid_ = ::fork();
        if (pid_ == 0) {
            ::close(ends[0]);
            try {
                work([&](const void *bytes, size_t size) {
                    write_all(ends[1], {static_cast<const char *>(bytes), size}, "pipe");
                });
            } catch (...) { ::_exit(1); }
            ::_exit(0);
        }
        ::close(ends[1]);
        from_ = ends[0];
        if (pid_ < 0) {
            ::close(from_);
            throw system_failure("fork", errno);
        }
    }
    ~Child() {
        ::close(from_);
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    Child(const Child &) = delete;
    Child &operator=(const Child &) = delete;

    template <class T> T receive() {
        T value = {};
        size_t filled = 0;
        while (filled < sizeof value) {
            if (!wait_for_input(from_)) { throw Stopped(); }
            ssize_t count = ::read(from_, reinterpret_cast<char *>(&value) + filled, sizeof value - filled);
            if (count == 0) { throw Failure(Status::failed, "the reader's process has died"); }
            filled += count > 0 ? size_t(count) : 0;
        }
        return value;
    }

private:
    pid_t pid_ = -1;
    int from_ = -1;
};

// Reads until the last chunk of a round; tells the sum of what it has looked at.
uint64_t read_round(speculo::reader &reader) {
    uint64_t sum = 0;
    for (;;) {
        std::error_code ec;
        while (auto chunk = reader.next(ec)) {
            for (size_t i = 0; i + 8 <= chunk->size(); i += 8) {
                uint64_t word = 0;
                std::memcpy(&word, chunk->data() + i, 8);
                sum += word;
            }
            if (chunk->tag() == last_tag) { return sum; }
        }
        if (ec) { throw std::system_error(ec); }
        reader.wait(ec);
    }
}

// ---- measuring ------------------------------------------------------------------------------------------------------------------

struct Figure {
    double median = 0, least = 0, most = 0; // ns
};

Figure figure_of(std::vector<double> runs) {
    std::sort(runs.begin(), runs.end());
    return {runs[runs.size() / 2], runs.front(), runs.back()};
}

// ns for one of what `step` does, in rounds that take about `round_ns` each.
template <class Step, class Finish> Figure measure(uint64_t round_ns, Step step, Finish finish) {
    std::vector<double> runs;
    for (int round = -1; round < rounds; ++round) { // the first makes everything warm
        uint64_t begin = monotonic_now(), count = 0, passed = 0;
        for (uint64_t batch = 1; passed < round_ns; batch = std::min<uint64_t>(batch * 2, 1024)) {
            for (uint64_t i = 0; i < batch; ++i) { step(); }
            count += batch;
            passed = monotonic_now() - begin;
            if (stopped()) { throw Stopped(); }
        }
        finish();
        if (round >= 0) { runs.push_back(double(monotonic_now() - begin) / double(count)); }
    }
    return figure_of(runs);
}

void nothing() {}

Figure measure_copy(size_t size, uint64_t round_ns) {
    // As much memory as an area goes through, so that the caches have it no easier.
    std::vector<char> from(size, 'x'), to(3 * capacity);
    size_t at = 0;
    return measure(
        round_ns,
        [&] {
            std::memcpy(to.data() + at, from.data(), size);
            asm volatile("" ::"r"(to.data()) : "memory"); // so that it is not left out
            at = at + 2 * size <= to.size() ? at + size : 0;
        },
        nothing);
}

void share(BenchArea &area, const std::vector<char> &bytes, uint32_t tag = 0) {
    speculo::buffer room = area.room(bytes.size(), tag);
    std::memcpy(room.data(), bytes.data(), bytes.size());
    area.writer.commit();
}

Figure measure_write(size_t size, uint64_t round_ns) {
    BenchArea area;
    std::vector<char> bytes(size, 'x');
    return measure(
        round_ns, [&] { share(area, bytes); }, nothing);
}

// Until the reader has seen all of it.
Figure measure_share(size_t size, uint64_t round_ns) {
    BenchArea area;
    std::vector<char> bytes(size, 'x');
    Child child([&](auto send) {
        speculo::reader reader(area.name());
        for (int i = 0;; ++i) {
            send(&i, sizeof i);
            uint64_t sum = read_round(reader);
            asm volatile("" ::"r"(sum));
        }
    });
    child.receive<int>();
    return measure(
        round_ns, [&] { share(area, bytes); },
        [&] {
            share(area, bytes, last_tag);
            child.receive<int>();
        });
}

// From a commit to a reader that was asleep: half of the samples are below the median, one in a hundred above the most.
Figure measure_wake_up(uint64_t time_ns) {
    BenchArea area;
    Child child([&](auto send) {
        speculo::reader reader(area.name());
        uint64_t waited = 0;
        send(&waited, sizeof waited);
        for (;;) {
            std::error_code ec;
            reader.wait(ec);
            while (auto chunk = reader.next(ec)) {
                uint64_t sent = 0;
                std::memcpy(&sent, chunk->data(), sizeof sent);
                waited = monotonic_now() - sent;
                send(&waited, sizeof waited);
            }
        }
    });
    child.receive<uint64_t>();
    std::vector<double> samples;
    for (uint64_t begin = monotonic_now(); monotonic_now() - begin < time_ns || samples.empty();) {
        pause_for(2 * millisecond); // it falls asleep
        if (stopped()) { throw Stopped(); }
        speculo::buffer room = area.room(sizeof(uint64_t));
        uint64_t now = monotonic_now();
        std::memcpy(room.data(), &now, sizeof now);
        area.writer.commit();
        samples.push_back(double(child.receive<uint64_t>()));
    }
    std::sort(samples.begin(), samples.end());
    return {samples[samples.size() / 2], samples.front(), samples[samples.size() * 99 / 100]};
}

// ---- telling --------------------------------------------------------------------------------------------------------------------

struct Line {
    size_t size;
    Figure copy, write, share;
};

Json json_of(const Figure &figure) {
    return {{"median_ns", figure.median}, {"least_ns", figure.least}, {"most_ns", figure.most}};
}

std::string time_of(double ns) { return ns < 1000 ? format_decimal(ns, 1) + "ns" : format_duration(uint64_t(ns)); }

void print_lines(const std::vector<Line> &lines, const Figure &wake_up) {
    Table table({{"CHUNK", true, 0},
                 {"COPY", true, 4},
                 {"WRITE", true, 2},
                 {"SHARE", true, 1},
                 {"CHUNKS/s", true, 3},
                 {"BYTES/s", true, 1},
                 {"SPREAD", true, 5}});
    for (const Line &line : lines) {
        double rate = double(second) / line.share.median;
        double spread = (line.share.most - line.share.least) / line.share.median;
        table.add({format_size(line.size), time_of(line.copy.median), time_of(line.write.median), time_of(line.share.median),
                   format_count(uint64_t(rate)), format_size(uint64_t(rate * double(line.size))),
                   format_decimal(100 * spread, 0) + '%'});
    }
    table.print();
    print("\nwake-up of a sleeping reader: " + time_of(wake_up.median) + ", one in a hundred above " + time_of(wake_up.most) +
          '\n');
    print("COPY: memcpy of a chunk; WRITE: sharing it with nobody there; SHARE: until another\n"
          "process has read it all; SPREAD: between the slowest and the fastest of five.\n");
}

void note_load() {
    double load = 0;
    long processors = ::sysconf(_SC_NPROCESSORS_ONLN);
    if (::getloadavg(&load, 1) == 1 && load > 0.5 * double(processors)) {
        note("the machine is busy (load " + format_decimal(load, 1) + ", " + std::to_string(processors) +
             " processors): these figures are worse than it can do");
    }
}

Status run(const Options &options) {
    catch_signals();
    note_load();
    Progress progress;
    uint64_t wake_up_ns = options.time_ns / 6;
    uint64_t round_ns = std::max<uint64_t>((options.time_ns - wake_up_ns) / (std::size(sizes) * 3 * (rounds + 1)), 1);
    std::vector<Line> lines;
    for (size_t size : sizes) {
        if (progress.is_due()) { progress.show("chunks of " + format_size(size)); }
        lines.push_back({size, measure_copy(size, round_ns), measure_write(size, round_ns), measure_share(size, round_ns)});
    }
    progress.show("waking up");
    Figure wake_up = measure_wake_up(wake_up_ns);
    progress.clear();
    if (!options.json) {
        print_lines(lines, wake_up);
        return Status::done;
    }
    Json report = {{"version", speculo_version()}, {"chunks", Json::array()}, {"wake_up", json_of(wake_up)}};
    for (const Line &line : lines) {
        report["chunks"].push_back(
            {{"size", line.size}, {"copy", json_of(line.copy)}, {"write", json_of(line.write)}, {"share", json_of(line.share)}});
    }
    print_json(report);
    return Status::done;
}

} // namespace

void add_bench(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<Options>();
    CLI::App *command = add_command(app, "bench", "Measure what sharing costs on this machine");
    add_duration(command, "--time", options->time_ns, "How long to measure, default 5s");
    add_json(command, options->json);
    on_parse(command, ret_run, options, run);
}

} // namespace speculo::tool
