// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo_area_check under stress: no false alarm beside a writer that runs flat out or behind one that died, and no step
// outside of the mappings whatever they hold.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <random>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>

#include "checking.hpp"
#include "guarded.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// ---- no false alarm ----

// `ballast`: so many bytes have to be carried over now and then.
void write_flat_out(speculo_area *area, std::atomic<bool> &done, size_t ballast = 1) {
    std::mt19937_64 random(1);
    for (uint64_t i = 1; !done.load(std::memory_order_relaxed); ++i) {
        std::string key = "key" + std::to_string(random() % 8), name = "by id" + std::to_string(i % 3);
        put_key(area, key, std::string(random() % 300, 'k'));
        uint64_t id = put_key(area, name, "aligned", aligned(256));
        put_chunk(area, std::string(random() % 600, 't'), transient());
        put_key(area, key, "later in the same commit");
        if (i % 5 == 0) { EXPECT_EQ(remove_key(area, key), 0); }
        commit(area);
        if (i % 3 == 0) { put_key(area, "another", "instead", superseding(id)); }
        if (i % 3 == 1) { EXPECT_EQ(speculo_chunk_obsolete(area, id), 0); }
        if (i % 7 == 0) { EXPECT_EQ(speculo_rollback(area), 0); }
        commit(area);
        if (i % 50 != 0) { continue; }
        put_key(area, "ballast", std::string(i / 400 % 2 ? 1 : ballast, 'b')); // eight generations of each: segments halve slowly
        put_key(area, key, "pending over a compaction");
        put_chunk(area, std::string(5000, 'c'), transient());
        if (i % 250 == 0) { EXPECT_EQ(speculo_rollback(area), 0); }
        commit(area);
        compact_now(area);
    }
}

// How far an area has moved.
struct Position {
    uint64_t generation, objects, capacity;
};

Position position_of(speculo_area *reader, AreaProbe &area) {
    speculo_area_info info{};
    info.struct_size = sizeof info;
    info.flags = SPECULO_INFO_QUICK;
    EXPECT_EQ(speculo_area_get_info(reader, &info), 0);
    return {info.generation, objects_made(area), info.capacity};
}

// Goes on until all has happened that often during checks: a switch, an object made, and another size.
void check_beside_a_writer(const AreaOptions &options, size_t ballast, int wanted_objects, int wanted_sizes) {
    AreaName name;
    Handle writer = make_area(name, options), reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    AreaProbe area(name);
    std::atomic<bool> done{false};
    std::thread writing([&] { write_flat_out(writer, done, ballast); });
    int checks = 0, sound = 0, switches = 0, objects = 0, sizes = 0;
    while ((switches < 20 || objects < wanted_objects || sizes < wanted_sizes) && !testing::Test::HasFailure()) {
        Position before = position_of(reader, area);
        CheckResult result = check(name);
        Position after = position_of(reader, area);
        EXPECT_TRUE(result.error == 0 || result.error == -EAGAIN) << result.text();
        EXPECT_EQ(result.messages.size(), 0u) << result.text();
        ++checks, sound += result.error == 0;
        switches += after.generation != before.generation;
        objects += after.objects != before.objects;
        sizes += after.capacity != before.capacity;
    }
    done.store(true);
    writing.join();
    EXPECT_GT(sound, checks / 2);
    expect_sound(name);
}

TEST(Check, raises_no_false_alarm_beside_a_writer) { check_beside_a_writer(AreaOptions(16 << 10), 1, 0, 0); }

TEST(Check, raises_no_false_alarm_while_segments_grow) {
    AreaOptions options(8 << 10);
    options.max_capacity = 1 << 20;
    options.segments = 5;
    check_beside_a_writer(options, 60000, 10, 3);
}

// A writer that is killed at any moment leaves what is sound.
TEST(Check, raises_no_false_alarm_behind_a_writer_that_was_killed) {
    for (int i = 0; i < 15 && !testing::Test::HasFailure(); ++i) {
        AreaName name;
        pid_t child = fork();
        if (child == 0) {
            std::atomic<bool> done{false};
            Handle writer = make_area(name, 16 << 10);
            write_flat_out(writer, done);
        }
        while (try_open(name, SPECULO_OPEN_NO_CURSOR) < 0) { std::this_thread::yield(); }
        for (int spins = i * i * i; spins > 0; --spins) { std::this_thread::yield(); }
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        expect_sound(name);
        Handle next = open_writer(name);
        expect_sound(name);
        write_everything(next, 5);
        expect_sound(name);
    }
}

// ---- any damage ----

TEST(CheckOfDamage, P10_is_bounded_and_stays_inside) {
    GuardedMappings guarded;
    AreaName name;
    Handle writer = make_area(name, 8 << 10);
    write_everything(writer);
    writer.close();
    std::string directory = name.path().substr(0, name.path().rfind('/') + 1);
    int found = 0;
    std::mt19937_64 random(7);
    for (const std::string &file : name.files()) {
        int fd = open((directory + file).c_str(), O_RDWR | O_CLOEXEC);
        off_t size = lseek(fd, 0, SEEK_END);
        for (off_t offset = 0; offset + 4 <= size && !testing::Test::HasFailure(); offset += 4) {
            uint32_t was = 0;
            ASSERT_EQ(pread(fd, &was, 4, offset), 4);
            if (random() % (was == 0 ? 32 : 2) != 0) { continue; }
            uint32_t wrong = random() % 2 ? ~was : random() % 2 ? was + 1 : uint32_t(random() % 1024);
            ASSERT_EQ(pwrite(fd, &wrong, 4, offset), 4);
            int error = speculo_area_check(name.c_str(), nullptr, nullptr);
            // Another version, an area that is not there yet, or is to be removed: that is what such words say.
            bool is_said = error == -EPROTONOSUPPORT || error == -ENOENT;
            EXPECT_TRUE(error == 0 || error == -EBADMSG || is_said) << file << " offset " << offset << ": " << error;
            found += error == -EBADMSG;
            ASSERT_EQ(pwrite(fd, &was, 4, offset), 4);
        }
        close(fd);
    }
    EXPECT_GT(found, 200);
    expect_sound(name);
}

} // namespace
