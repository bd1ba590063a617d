// SPDX-License-Identifier: LGPL-2.1-or-later
// What the library asks of the system, and what it leaves alone: no call where nothing but memory is needed, and nothing of the
// process's own that a library has no business with.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <vector>

#include <dirent.h>

#include "area_names.hpp"
#include "payload.hpp"
#include "peer.hpp"
#include "trace.hpp"

namespace {

using namespace speculo::test;

const std::vector<std::string> nothing = {"mark", "mark"};

// A writer with room for some thousand chunks, already resident.
void start(TracedPeer &writer) {
    ASSERT_OK(writer.ask("writer 1048576"));
    EXPECT_OK(writer.ask("write 1 64 keyed"));
}

// What a traced peer calls between marks while it does something a thousand times.
std::vector<std::string> calls_of(TracedPeer &peer, const std::string &what) {
    EXPECT_OK(peer.ask("marked " + what + " 1000"));
    EXPECT_EQ(peer.finish(), 0);
    return peer.marked_calls();
}

TEST(Quiet, alloc_and_commit_make_no_system_call) {
    AreaName name;
    TracedPeer writer(name.text());
    start(writer);
    EXPECT_OK(writer.ask("write 8000 64")); // some steps of memory further, and no compaction yet
    std::vector<std::string> calls = calls_of(writer, "write");
    // A step of memory is one call, with one to make it resident.
    size_t steps = size_t(std::count(calls.begin(), calls.end(), "fallocate"));
    calls.erase(std::remove_if(calls.begin(), calls.end(),
                               [](const std::string &call) { return call == "fallocate" || call == "madvise"; }),
                calls.end());
    EXPECT_LE(steps, 2u);
    EXPECT_EQ(calls, nothing);
}

TEST(Quiet, alloc_and_commit_in_a_segment_that_is_used_again_make_none_at_all) {
    AreaName name;
    TracedPeer writer(name.text());
    start(writer);
#if defined(SPECULO_PORTABLE)
    EXPECT_OK(writer.ask("write 600 64")); // none is used again: within a step, then
    EXPECT_OK(writer.ask("marked write 1"));
    EXPECT_EQ(writer.finish(), 0);
    EXPECT_EQ(writer.marked_calls(), nothing);
#else
    EXPECT_OK(writer.ask("cross 4 1000"));
    EXPECT_EQ(calls_of(writer, "write"), nothing);
#endif
}

TEST(Quiet, keys_make_no_system_call) {
    AreaName name;
    TracedPeer writer(name.text());
    start(writer);
#if defined(SPECULO_PORTABLE)
    EXPECT_OK(writer.ask("marked write-key 1"));
    EXPECT_EQ(writer.finish(), 0);
    EXPECT_EQ(writer.marked_calls(), nothing);
#else
    EXPECT_OK(writer.ask("cross 4 1000"));
    EXPECT_EQ(calls_of(writer, "write-key"), nothing);
#endif
}

TEST(Quiet, read_next_makes_no_system_call) {
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 1048576"));
    EXPECT_OK(writer.ask("write 3000 64"));
    TracedPeer reader(name.text());
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_EQ(calls_of(reader, "read"), nothing);
}

TEST(Quiet, read_next_looks_how_far_memory_reaches_once_for_each_step) {
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 1048576"));
    EXPECT_OK(writer.ask("write 1 64"));
    TracedPeer reader(name.text());
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_OK(writer.ask("write 3000 64")); // 288 KB, in steps of 64 KiB
    std::vector<std::string> calls = calls_of(reader, "read");
    EXPECT_LE(calls.size(), 2u + 5);
    for (const std::string &call : calls) { EXPECT_TRUE(call == "mark" || call.find("stat") != std::string::npos) << call; }
}

TEST(Quiet, read_key_makes_no_system_call) {
    AreaName name;
    Peer writer(name.text());
    ASSERT_OK(writer.ask("writer 1048576"));
    EXPECT_OK(writer.ask("write 10 64 keyed"));
    TracedPeer reader(name.text());
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_OK(reader.ask("key")); // this one enters the segment
    EXPECT_EQ(calls_of(reader, "read-key"), nothing);
}

// ---- the process that uses it -------------------------------------------------------------------------------------------------

// (That it reads no environment and registers nothing for the exit, abi/needed.py sees in what it links to.)
void use_everything(const char *name) {
    speculo_area *writer = nullptr, *reader = nullptr;
    ASSERT_EQ(speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, nullptr, &writer), 0);
    ASSERT_EQ(speculo_area_open(name, SPECULO_OPEN_READ, nullptr, &reader), 0);
    speculo_chunk_options options{};
    options.struct_size = sizeof options;
    options.ttl_ns = uint64_t(3600) * 1000000000;
    options.key = "key";
    options.key_size = 3;
    void *data;
    uint64_t id;
    for (int i = 0; i < 10; ++i) {
        ASSERT_EQ(speculo_chunk_alloc(writer, 100, &options, &data, &id), 0);
        fill_payload(data, 100, id, 0, 0);
        EXPECT_EQ(speculo_commit(writer), 0);
        EXPECT_EQ(speculo_area_compact(writer), 0);
        speculo_chunk chunk{};
        EXPECT_EQ(speculo_read_next(reader, &chunk), 1);
        EXPECT_EQ(speculo_chunk_hold(reader, &chunk), 0);
        speculo_chunk_release(&chunk);
        speculo_snapshot *snapshot = nullptr;
        EXPECT_EQ(speculo_snapshot_open(reader, &snapshot), 0);
        EXPECT_EQ(speculo_snapshot_key(snapshot, "key", 3, &chunk), 1);
        speculo_snapshot_close(snapshot);
    }
    EXPECT_EQ(speculo_key_remove(writer, "key", 3), 0);
    EXPECT_EQ(speculo_commit(writer), 0);
    speculo_area_close(reader);
    speculo_area_close(writer);
}

size_t count_threads() {
    size_t count = 0;
    DIR *tasks = opendir("/proc/self/task");
    while (const dirent *entry = readdir(tasks)) { count += entry->d_name[0] != '.'; }
    closedir(tasks);
    return count;
}

// What the process does at each signal, and which ones it blocks, as the kernel knows it. SigQ is not the process's own: it counts
// what is queued for all processes of its user.
std::string signal_state() {
    std::ifstream status("/proc/self/status");
    std::string state;
    for (std::string line; std::getline(status, line);) {
        if (line.compare(0, 3, "Sig") == 0 && line.compare(0, 5, "SigQ:") != 0) { state += line + "\n"; }
    }
    for (int number = 1; number < 65; ++number) {
        struct sigaction action = {};
        if (sigaction(number, nullptr, &action) < 0) { continue; }
        uintptr_t handler;
        std::memcpy(&handler, &action.sa_handler, sizeof handler);
        state += std::to_string(number) + " " + std::to_string(handler) + " " + std::to_string(action.sa_flags) + "\n";
    }
    return state;
}

TEST(Quiet, P11_it_has_no_thread_and_no_signal_handler) {
    AreaName name;
    std::string signals = signal_state();
    size_t threads = count_threads();
    use_everything(name.c_str());
    EXPECT_EQ(count_threads(), threads);
    EXPECT_EQ(signal_state(), signals);
}

} // namespace
