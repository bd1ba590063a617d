// SPDX-License-Identifier: LGPL-2.1-or-later
// What waiting costs, beside what the kernel's own means cost in the same run:
//   a commit      with nobody asleep, beside a bare log; with a thousand asleep, beside a bare futex with as many
//   a wake-up     of a reader that sleeps, beside a bare futex, and a bare eventfd in an epoll set
//   a round trip  of two processes that both wait, beside two that both poll
// Pauses between messages are random and spent with looking at the clock: the writer's core is awake, the reader's is not.
#include <climits>
#include <cstring>
#include <thread>

#include <linux/futex.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "ends.hpp"

namespace {

using bench::check;
using bench::now_ns;
using bench::Pauses;
using bench::payload;
using bench::ReaderEnd;
using bench::Row;
using bench::WriterEnd;

constexpr int repetitions = 7;
constexpr uint32_t nobody = 65534;

// ---- the kernel's own means ---------------------------------------------------------------------------------------------------

long futex(std::atomic<uint32_t> &word, int operation, uint32_t value) {
    return syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), operation, value, nullptr, nullptr, 0);
}

// Times of sending, and how many there are. A reader that is late loses none.
struct Bare {
    static constexpr uint64_t capacity = 4096;
    std::atomic<uint32_t> sent;
    alignas(64) uint64_t times[capacity];

    static Bare *make() { return static_cast<Bare *>(bench::shared_memory(sizeof(Bare))); }
    void put() {
        uint32_t number = sent.load(std::memory_order_relaxed);
        times[number % capacity] = now_ns();
        sent.store(number + 1, std::memory_order_release);
    }
    bool has(uint32_t number) const { return sent.load(std::memory_order_acquire) > number; }
};

// ---- a commit with nobody asleep ----------------------------------------------------------------------------------------------

constexpr uint64_t commits = 1000000;

struct Record {
    std::atomic<uint32_t> there;
    uint32_t unused[3];
    uint64_t words[payload / sizeof(uint64_t)];
};

// As many as an area holds, used again and again: the area's memory is warm as well.
constexpr uint64_t records = 32768;

// With `flags`: looks at two words of a page that others could set, as a commit does. Gives how often one was set.
template <bool with_flags> uint64_t write_log(Record *log, const std::atomic<uint32_t> *flags) {
    uint64_t asked = 0;
    for (uint64_t i = 0; i < commits; ++i) {
        Record &record = log[i % records];
        for (uint64_t &word : record.words) { word = i; }
        record.there.store(uint32_t(i), std::memory_order_release);
        if (!with_flags) { continue; }
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (flags[0].load(std::memory_order_relaxed) || flags[1].load(std::memory_order_relaxed)) { ++asked; }
    }
    return asked;
}

template <bool with_flags> double time_log() {
    auto *log = static_cast<Record *>(bench::shared_memory(records * sizeof(Record)));
    auto *flags = static_cast<std::atomic<uint32_t> *>(bench::shared_memory(4096));
    write_log<with_flags>(log, flags);
    uint64_t begin = now_ns();
    check(write_log<with_flags>(log, flags) == 0, "a flag is set");
    double ns = double(now_ns() - begin) / double(commits);
    munmap(log, records * sizeof(Record));
    munmap(flags, 4096);
    return ns;
}

double time_area(uint32_t mode) {
    WriterEnd writer(mode);
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < commits; ++i) { writer.send(i); }
    return double(now_ns() - begin) / double(commits);
}

void bench_commit() {
    std::vector<Row> rows = {
        {"bare log", {}}, {"bare log and two flags", {}}, {"area of mode 0600", {}}, {"area of mode 0644", {}}};
    bench::pin(0);
    for (int i = 0; i < repetitions; ++i) {
        rows[0].ns.push_back(time_log<false>());
        rows[1].ns.push_back(time_log<true>());
        rows[2].ns.push_back(time_area(0600));
        rows[3].ns.push_back(time_area(0644));
    }
    bench::print("a commit of 64 bytes, nobody reads", rows);
}

// ---- waking one that sleeps ---------------------------------------------------------------------------------------------------

using Receive = std::function<uint64_t()>; // gives the time of sending

// Adds to `row` the time from each sending to its receiver having it.
void time_wakes(Row &row, uint32_t count, Pauses pauses, const std::function<void()> &prepare, const Receive &receive,
                const std::function<void()> &send) {
    auto *times = static_cast<double *>(bench::shared_memory(count * sizeof(double)));
    bench::run(
        count, prepare,
        [&] {
            for (uint32_t i = 0; i < count; ++i) {
                uint64_t sent = receive();
                times[i] = double(now_ns() - sent);
            }
        },
        [&] {
            for (uint32_t i = 0; i < count; ++i) {
                pauses.pass();
                send();
            }
        });
    row.ns.insert(row.ns.end(), times, times + count);
    munmap(times, count * sizeof(double));
}

void time_futex(Row &row, uint32_t count, Pauses pauses) {
    Bare *bare = Bare::make();
    uint32_t next = 0;
    time_wakes(
        row, count, pauses, [] {},
        [&] {
            while (!bare->has(next)) { futex(bare->sent, FUTEX_WAIT, next); }
            return bare->times[next++ % Bare::capacity];
        },
        [&] {
            bare->put();
            futex(bare->sent, FUTEX_WAKE, 1);
        });
    munmap(bare, sizeof(Bare));
}

void time_eventfd(Row &row, uint32_t count, Pauses pauses) {
    Bare *bare = Bare::make();
    int event = eventfd(0, EFD_NONBLOCK), set = epoll_create1(0);
    epoll_event readable = {};
    readable.events = EPOLLIN;
    check(event >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, event, &readable) == 0, "no eventfd");
    uint32_t next = 0;
    time_wakes(
        row, count, pauses, [] {},
        [&] {
            eventfd_t drained;
            while (!bare->has(next)) {
                epoll_wait(set, &readable, 1, -1);
                eventfd_read(event, &drained);
            }
            return bare->times[next++ % Bare::capacity];
        },
        [&] {
            bare->put();
            eventfd_write(event, 1);
        });
    close(set);
    close(event);
    munmap(bare, sizeof(Bare));
}

void become(uint32_t uid) {
    if (uid == getuid()) { return; }
    check(setresuid(uid, uid, uid) == 0, "no other uid");
    prctl(PR_SET_DUMPABLE, 1); // its own /proc/self, which a program that was started has too
}

void time_reader(Row &row, uint32_t count, Pauses pauses, uint32_t mode, uint32_t uid, uint64_t (ReaderEnd::*receive)()) {
    WriterEnd writer(mode);
    ReaderEnd reader;
    time_wakes(
        row, count, pauses,
        [&] {
            become(uid);
            reader.open(writer.name());
        },
        [&] { return (reader.*receive)(); },
        [&] {
            uint64_t *words = writer.alloc();
            words[0] = now_ns();
            writer.commit();
        });
}

void bench_wakes() {
    constexpr uint32_t count = 1500;
    const Pauses pauses(300000, 500000);
    std::vector<Row> waits = {{"bare futex", {}}, {"speculo_wait", {}}};
    std::vector<Row> descriptors = {{"bare eventfd in an epoll set", {}}, {"poll and speculo_area_dispatch", {}}};
    for (int i = 0; i < repetitions; ++i) {
        time_futex(waits[0], count, pauses);
        time_reader(waits[1], count, pauses, 0600, getuid(), &ReaderEnd::receive);
        time_eventfd(descriptors[0], count, pauses);
        time_reader(descriptors[1], count, pauses, 0600, getuid(), &ReaderEnd::receive_by_descriptor);
    }
    bench::print_quantiles("from commit to reader, commits 300 to 500 us apart, asleep", waits);
    bench::print_quantiles("from commit to reader, commits 300 to 500 us apart, in an event loop", descriptors);
}

void bench_foreign() {
    if (geteuid() != 0) {
        std::printf("\na reader of another uid: not measured, as this is not root\n");
        return;
    }
    constexpr uint32_t count = 300;
    const Pauses pauses(50000, 6000000);
    std::vector<Row> rows = {{"owner, speculo_wait", {}}, {"another uid, speculo_wait", {}}, {"another uid, descriptor", {}}};
    for (int i = 0; i < repetitions; ++i) {
        time_reader(rows[0], count, pauses, 0644, getuid(), &ReaderEnd::receive);
        time_reader(rows[1], count, pauses, 0644, nobody, &ReaderEnd::receive);
        time_reader(rows[2], count, pauses, 0644, nobody, &ReaderEnd::receive_by_descriptor);
    }
    bench::print_quantiles("from commit to reader, commits 50 to 6000 us apart, mode 0644", rows);
}

// ---- there and back -----------------------------------------------------------------------------------------------------------

double time_round_trip(uint64_t (ReaderEnd::*receive)()) {
    constexpr uint64_t count = 20000;
    struct Name {
        char text[128];
    };
    auto *name_back = static_cast<Name *>(bench::shared_memory(sizeof(Name)));
    WriterEnd there(0600, "-there");
    WriterEnd *back = nullptr;
    ReaderEnd reader;
    double ns = bench::run(
        count,
        [&] {
            reader.open(there.name());
            back = new WriterEnd(0600, "-back");
            std::strncpy(name_back->text, back->name(), sizeof name_back->text - 1);
        },
        [&] {
            for (uint64_t i = 0; i < count; ++i) { back->send((reader.*receive)()); }
            delete back;
        },
        [&] {
            reader.open(name_back->text);
            for (uint64_t i = 0; i < count; ++i) {
                there.send(i);
                check((reader.*receive)() == i, "another message came back");
            }
        });
    munmap(name_back, sizeof(Name));
    return ns;
}

void bench_round_trip() {
    std::vector<Row> rows = {{"speculo_read_next alone", {}}, {"speculo_wait on both sides", {}}};
    for (int i = 0; i < repetitions; ++i) {
        rows[0].ns.push_back(time_round_trip(&ReaderEnd::receive_by_poll));
        rows[1].ns.push_back(time_round_trip(&ReaderEnd::receive));
    }
    bench::print("64 bytes there and back, both sides busy", rows);
}

// ---- a crowd that sleeps ------------------------------------------------------------------------------------------------------

constexpr int crowd_processes = 250, crowd_threads = 4, crowd = crowd_processes * crowd_threads;
constexpr uint64_t the_end = UINT64_MAX;

struct Crowd {
    std::atomic<uint32_t> ready;
    std::atomic<uint64_t> woken;
};

void wait_for(const std::atomic<uint64_t> &number, uint64_t wanted) {
    while (number < wanted) { usleep(500); }
}

// Forks the crowd. `sleep` is run by each thread, and calls its argument when it begins and whenever it woke.
void start_crowd(Crowd &all, const std::function<void(const std::function<void()> &)> &sleep) {
    auto woke = [&] { ++all.woken; };
    for (int i = 0; i < crowd_processes; ++i) {
        pid_t process = fork();
        check(process >= 0, "no fork");
        if (process != 0) { continue; }
        std::vector<std::thread> threads;
        for (int thread = 0; thread < crowd_threads; ++thread) {
            threads.emplace_back([&] { sleep(woke); });
        }
        for (std::thread &thread : threads) { thread.join(); }
        _exit(0);
    }
    wait_for(all.woken, crowd);
}

// The processor time that this thread has used. Whoever is woken may run here first, which is no work of the writer's.
uint64_t used_ns() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return uint64_t(time.tv_sec) * 1000000000 + uint64_t(time.tv_nsec);
}

// What the writer needs, each time when everybody sleeps again.
struct Among {
    Row used, passed;
};

void time_among(Among &rows, Crowd &all, bool is_there, const std::function<void()> &prepare, const std::function<void()> &ring) {
    constexpr uint64_t rounds = 20;
    for (uint64_t i = 0; i < rounds; ++i) {
        if (is_there) { wait_for(all.woken, (i + 1) * crowd); }
        usleep(3000);
        prepare();
        uint64_t begin = now_ns(), begin_used = used_ns();
        ring();
        rows.used.ns.push_back(double(used_ns() - begin_used));
        rows.passed.ns.push_back(double(now_ns() - begin));
    }
    if (is_there) { wait_for(all.woken, (rounds + 1) * crowd); }
}

void end_crowd() {
    while (wait(nullptr) > 0) {}
}

// Woken ones wake some more here too, or it would be another measure.
void time_bare_crowd(Among &rows) {
    auto *all = static_cast<Crowd *>(bench::shared_memory(sizeof(Crowd)));
    constexpr uint32_t stop = UINT32_MAX;
    start_crowd(*all, [&](const std::function<void()> &woke) {
        for (uint32_t seen = all->ready; seen != stop; seen = all->ready) {
            woke();
            while (all->ready == seen) { futex(all->ready, FUTEX_WAIT, seen); }
            futex(all->ready, FUTEX_WAKE, 4);
        }
    });
    time_among(
        rows, *all, true, [] {},
        [&] {
            all->ready.fetch_add(1);
            futex(all->ready, FUTEX_WAKE, 4);
        });
    all->ready = stop;
    futex(all->ready, FUTEX_WAKE, INT_MAX);
    end_crowd();
    munmap(all, sizeof(Crowd));
}

void time_area_crowd(Among &rows, bool is_there) {
    auto *all = static_cast<Crowd *>(bench::shared_memory(sizeof(Crowd)));
    WriterEnd writer;
    if (is_there) {
        start_crowd(*all, [&](const std::function<void()> &woke) {
            ReaderEnd reader;
            reader.open(writer.name());
            do { woke(); } while (reader.receive() != the_end);
        });
    }
    time_among(
        rows, *all, is_there, [&] { *writer.alloc() = 0; }, [&] { writer.commit(); });
    writer.send(the_end);
    end_crowd();
    munmap(all, sizeof(Crowd));
}

void bench_crowd() {
    auto named = [](const char *name) { return Among{{name, {}}, {name, {}}}; };
    Among bare = named("bare futex, 4 woken of 1000"), full = named("commit, 1000 asleep"),
          empty = named("commit, nobody asleep");
    for (int i = 0; i < 3; ++i) {
        time_bare_crowd(bare);
        time_area_crowd(full, true);
        time_area_crowd(empty, false);
    }
    bench::print_quantiles("a thousand asleep: processor time that the writer uses", {bare.used, full.used, empty.used});
    bench::print_quantiles("a thousand asleep: time that passes for the writer", {bare.passed, full.passed, empty.passed});
}

// ---- one that hardly gets to sleep --------------------------------------------------------------------------------------------

struct Sleeps {
    std::atomic<uint64_t> count;
};

uint64_t sleeps_so_far() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return uint64_t(usage.ru_nvcsw);
}

// Commits at a steady pace; the time of each goes to `row`, with that of a clock.
void commit_at(Row &row, WriterEnd &writer, uint64_t every_ns, uint64_t count) {
    uint64_t next = now_ns();
    for (uint64_t i = 0; i < count; ++i) {
        uint64_t begin;
        while ((begin = now_ns()) < next) { bench::pause(); }
        writer.send(i + 1 == count ? the_end : i);
        row.ns.push_back(double(now_ns() - begin));
        next += every_ns;
    }
}

// Gives how often the reader slept for each commit. It asks to be woken more often: it may find something before it sleeps.
double time_pace(Row &row, uint64_t every_ns, uint64_t count, bool has_reader) {
    WriterEnd writer;
    if (!has_reader) {
        commit_at(row, writer, every_ns, count);
        return 0;
    }
    auto *sleeps = static_cast<Sleeps *>(bench::shared_memory(sizeof(Sleeps)));
    ReaderEnd reader;
    bench::run(
        count, [&] { reader.open(writer.name()); },
        [&] {
            uint64_t before = sleeps_so_far();
            while (reader.receive() != the_end) {}
            sleeps->count = sleeps_so_far() - before;
        },
        [&] { commit_at(row, writer, every_ns, count); });
    double each = double(sleeps->count) / double(count);
    munmap(sleeps, sizeof(Sleeps));
    return each;
}

void bench_pace(const char *title, uint64_t every_ns, uint64_t count) {
    std::vector<Row> rows = {{"nobody reads", {}}, {"a reader waits", {}}};
    Row sleeps = {"", {}};
    for (int i = 0; i < 5; ++i) {
        time_pace(rows[0], every_ns, count, false);
        sleeps.ns.push_back(time_pace(rows[1], every_ns, count, true));
    }
    bench::print_quantiles(title, rows);
    std::printf("  sleeps of the reader for each commit: median %.6f, least %.6f\n", sleeps.median(), sleeps.least());
}

} // namespace

int main(int argc, char **argv) {
    auto is_wanted = [&](const char *part) { return argc < 2 || std::strcmp(argv[1], part) == 0; };
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    if (is_wanted("commit")) { bench_commit(); }
    if (is_wanted("wakes")) { bench_wakes(); }
    if (is_wanted("foreign")) { bench_foreign(); }
    if (is_wanted("trip")) { bench_round_trip(); }
    if (is_wanted("crowd")) { bench_crowd(); }
    if (is_wanted("pace")) {
        bench_pace("the writer's time, a commit every us", 1000, 1000000);
        bench_pace("the writer's time, a commit every 10 us", 10000, 50000);
    }
}
