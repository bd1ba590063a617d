// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo_area_check under stress: no false alarm beside a writer that runs flat out or behind one that died, and no step outside of
// the mappings whatever they hold.
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

void write_flat_out(speculo_area *area, std::atomic<bool> &done, size_t most = 300) {
    std::mt19937_64 random(1);
    for (uint64_t i = 1; !done.load(std::memory_order_relaxed); ++i) {
        std::string key = "key" + std::to_string(random() % 8), name = "by id" + std::to_string(i % 3);
        put_key(area, key, std::string(random() % most, 'k'));
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
        put_key(area, key, "pending over a compaction");
        put_chunk(area, std::string(5000, 'c'), transient());
        if (i % 100 == 0) { EXPECT_EQ(speculo_rollback(area), 0); }
        commit(area);
        compact_now(area);
    }
}

// Gives the capacity that it has come to.
uint64_t check_beside_a_writer(const AreaOptions &options, size_t most) {
    constexpr int checks = 100;
    AreaName name;
    Handle writer = make_area(name, options);
    std::atomic<bool> done{false};
    std::thread writing([&] { write_flat_out(writer, done, most); });
    int sound = 0, busy = 0;
    for (int i = 0; i < checks && !testing::Test::HasFailure(); ++i) {
        CheckResult result = check(name);
        EXPECT_EQ(result.messages.size(), 0u) << result.text();
        busy += result.error == -EAGAIN;
        sound += result.error == 0;
    }
    done.store(true);
    writing.join();
    EXPECT_EQ(sound + busy, checks);
    EXPECT_GT(sound, checks / 2);
    EXPECT_GT(info_of(writer).generation, 5u);
    expect_sound(name);
    return info_of(writer).capacity;
}

TEST(Check, raises_no_false_alarm_beside_a_writer) { check_beside_a_writer(AreaOptions(16 << 10), 300); }

TEST(Check, raises_no_false_alarm_while_segments_grow) {
    AreaOptions options(8 << 10);
    options.max_capacity = 1 << 20;
    options.segments = 5;
    EXPECT_GT(check_beside_a_writer(options, 2000), options.capacity);
}

// A writer that is killed at any moment leaves what is sound.
TEST(Check, raises_no_false_alarm_behind_a_writer_that_was_killed) {
    for (int i = 0; i < 40 && !testing::Test::HasFailure(); ++i) {
        AreaName name;
        pid_t child = fork();
        if (child == 0) {
            std::atomic<bool> done{false};
            Handle writer = make_area(name, 16 << 10);
            write_flat_out(writer, done);
        }
        while (try_open(name, SPECULO_OPEN_NO_CURSOR) < 0) { std::this_thread::yield(); }
        for (int spins = i * i * 4; spins > 0; --spins) { std::this_thread::yield(); }
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
            if (was == 0 && random() % 16 != 0) { continue; }
            for (uint32_t wrong : {~was, was + 1, uint32_t(random() % 1024)}) {
                ASSERT_EQ(pwrite(fd, &wrong, 4, offset), 4);
                int error = speculo_area_check(name.c_str(), nullptr, nullptr);
                // Another version, an area that is not there yet, or is to be removed: that is what such words say.
                bool is_said = error == -EPROTONOSUPPORT || error == -ENOENT;
                EXPECT_TRUE(error == 0 || error == -EBADMSG || is_said) << file << " offset " << offset << ": " << error;
                found += error == -EBADMSG;
            }
            ASSERT_EQ(pwrite(fd, &was, 4, offset), 4);
        }
        close(fd);
    }
    EXPECT_GT(found, 500);
    expect_sound(name);
}

} // namespace
