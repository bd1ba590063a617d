// SPDX-License-Identifier: LGPL-2.1-or-later
// A writer that breaks every rule while a reader reads that trusts it in nothing: another process cuts the area's objects short, makes
// them longer, punches holes, overwrites words and whole pages, and takes names away and gives them back. The reader's every call
// has to end soon, with an error or a view that stays as it is; no signal, no crash.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>

#include <fcntl.h>
#include <speculo/speculo.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "area_names.hpp"
#include "child.hpp"

namespace {

using namespace speculo::test;
using Clock = std::chrono::steady_clock;
using Random = std::mt19937_64;

constexpr auto longest_call = std::chrono::seconds(30); // on a machine that is busy with others'; a few milliseconds are usual
constexpr uint64_t largest_object = 1 << 20;

double seconds_to_run() {
    const char *wanted = std::getenv("SPECULO_TEST_HOSTILE");
    return wanted ? std::atof(wanted) : 1.0;
}

// ---- the writer -------------------------------------------------------------------------------------------------------------------

// Commits what a reader of everything would want to see, then goes: what is left is in anybody's hands.
bool make_area(const char *name, uint32_t flags) {
    speculo_area_options options{};
    options.struct_size = sizeof options;
    options.capacity = 64 << 10;
    options.flags = flags;
    speculo_area *writer = nullptr;
    if (speculo_area_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options, &writer) < 0) { return false; }
    for (int i = 0; i < 60; ++i) {
        speculo_chunk_options chunk{};
        chunk.struct_size = sizeof chunk;
        chunk.key = i % 3 ? "a" : "bb";
        chunk.key_size = i % 3 ? 1 : 2;
        chunk.ttl_ns = i % 5 ? 0 : uint64_t(1) << 50;
        void *data = nullptr;
        for (size_t size : {size_t(i), size_t(i) * 20}) {
            if (speculo_chunk_alloc(writer, size, size ? &chunk : nullptr, &data, nullptr) == 0) { std::memset(data, 'x', size); }
        }
        speculo_commit(writer);
        if (i % 20 == 19) { speculo_area_compact(writer); }
    }
    speculo_area_close(writer);
    return true;
}

class Vandal {
public:
    Vandal(const AreaName &name, uint64_t seed) : random_(seed) {
        for (const std::string &file : name.files()) {
            Object object;
            object.path = std::string(area_directory()) + "/" + file;
            object.fd = open(object.path.c_str(), O_RDWR | O_CLOEXEC);
            struct stat status {};
            if (object.fd < 0 || fstat(object.fd, &status) < 0 || status.st_size == 0) { continue; }
            object.bytes.resize(size_t(status.st_size));
            if (pread(object.fd, object.bytes.data(), object.bytes.size(), 0) != status.st_size) { _exit(2); }
            objects_.push_back(object);
        }
    }

    // Until it is killed.
    void rage() {
        for (;;) {
            Object &object = objects_[random_() % objects_.size()];
            for (uint64_t i = random_() % 4; i > 0; --i) { harm(object); }
            if (random_() % 3 == 0) { repair(object); }
        }
    }

private:
    struct Object {
        std::string path, bytes;
        int fd;
    };

    void harm(Object &object) {
        uint64_t at = random_() % object.bytes.size();
        switch (random_() % 8) {
        case 0: ignore(ftruncate(object.fd, off_t(at))); return;
        case 1: ignore(ftruncate(object.fd, off_t(random_() % largest_object))); return;
        case 2: punch(object.fd, at); return;
        case 3: return rename_away(object);
        default: return overwrite(object, at);
        }
    }

    // A word near what it was, or anything; often the words that headers and frames begin with.
    void overwrite(Object &object, uint64_t at) {
        uint64_t word = 0, place = random_() % 3 ? at / 16 * 16 + random_() % 2 * 8 : random_() % 64 * 8;
        if (place + sizeof word > object.bytes.size()) { return; }
        std::memcpy(&word, object.bytes.data() + place, sizeof word);
        switch (random_() % 4) {
        case 0: word ^= uint64_t(1) << random_() % 64; break;
        case 1: word += random_() % 17 - 8; break;
        case 2: word = random_() >> random_() % 64; break;
        default: word = ~word; break;
        }
        for (uint64_t i = 1 + random_() % 50; i > 0; --i) { // there and back, as fast as it goes
            ignore(int(pwrite(object.fd, &word, sizeof word, off_t(place))));
            ignore(int(pwrite(object.fd, object.bytes.data() + place, sizeof word, off_t(place))));
        }
        if (random_() % 2) { ignore(int(pwrite(object.fd, &word, sizeof word, off_t(place)))); }
    }

    static void punch(int fd, uint64_t at) {
#if defined(FALLOC_FL_PUNCH_HOLE)
        ignore(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off_t(at / 4096 * 4096), 4096));
#else
        ignore(ftruncate(fd, off_t(at)));
#endif
    }

    static void rename_away(const Object &object) {
        std::string other = object.path + ".away";
        ignore(rename(object.path.c_str(), other.c_str()));
        ignore(rename(other.c_str(), object.path.c_str()));
    }

    static void repair(const Object &object) {
        ignore(int(pwrite(object.fd, object.bytes.data(), object.bytes.size(), 0)));
        ignore(ftruncate(object.fd, off_t(object.bytes.size())));
    }

    static void ignore(int) {}

    Random random_;
    std::vector<Object> objects_;
};

// ---- the reader -------------------------------------------------------------------------------------------------------------------

uint64_t sum_of(const speculo_chunk &view) {
    uint64_t sum = view.size * 31 + view.key_size;
    const auto *data = static_cast<const unsigned char *>(view.data);
    const auto *key = static_cast<const unsigned char *>(view.key);
    for (size_t i = 0; i < view.size; ++i) { sum = sum * 31 + data[i]; }
    for (size_t i = 0; i < view.key_size; ++i) { sum = sum * 31 + key[i]; }
    return sum;
}

class Victim {
public:
    Victim(const AreaName &name, uint64_t seed) : name_(name), random_(seed) {}

    // Opens, makes some calls of every kind, and closes.
    void live() {
        constexpr uint32_t ways[] = {0, SPECULO_OPEN_AT_END, SPECULO_OPEN_NO_CURSOR};
        uint32_t flags = ways[random_() % 3];
        speculo_area *reader = nullptr;
        int opened = timed([&] { return speculo_area_open(name_.c_str(), flags | SPECULO_OPEN_UNTRUSTED, nullptr, &reader); });
        if (opened < 0) { return; }
        ++opened_;
        has_cursor_ = flags != SPECULO_OPEN_NO_CURSOR;
        speculo_chunk held{};
        for (int i = 0; i < 40 && !testing::Test::HasFatalFailure(); ++i) { use(reader, held); }
        speculo_area_close(reader);
        speculo_chunk_release(&held);
    }

    uint64_t opened() const { return opened_; }
    uint64_t delivered() const { return delivered_; }
    uint64_t refused() const { return refused_; }

private:
    template <typename Call> int timed(Call call) {
        Clock::time_point begin = Clock::now();
        int result = call();
        EXPECT_LT(Clock::now() - begin, longest_call);
        EXPECT_LE(result, 1);
        EXPECT_GT(result, -4096);
        refused_ += result < 0;
        return result;
    }

    // A view is whole, and stays as it is.
    void look_at(const speculo_chunk &view) {
        ++delivered_;
        uint64_t sum = sum_of(view);
        if (random_() % 16 == 0) { usleep(50); }
        EXPECT_EQ(sum_of(view), sum);
    }

    void use(speculo_area *reader, speculo_chunk &held) {
        speculo_chunk view{};
        constexpr const char *keys[] = {"a", "bb", "none"};
        const char *key = keys[random_() % 3];
        switch (random_() % 10) {
        case 0: {
            int found = timed([&] { return speculo_read_key(reader, key, std::strlen(key), &view); });
            if (found == 1) { look_at(view); }
            return;
        }
        case 1: return use_snapshot(reader, key);
        case 2:
            if (has_cursor_) {
                timed([&] { return speculo_seek(reader, random_() % 80); });
            }
            return;
        case 3: {
            speculo_area_info info{};
            info.struct_size = sizeof info;
            timed([&] { return speculo_area_get_info(reader, &info); });
            return;
        }
        case 4: timed([&] { return speculo_wait(reader, 200000); }); return;
        case 5:
            if (random_() % 8 == 0 && speculo_area_get_fd(reader) < 0) { ++refused_; }
            timed([&] { return speculo_area_dispatch(reader); });
            timed([&] { return speculo_area_writer_alive(reader); });
            return;
        default: break;
        }
        if (!has_cursor_ || timed([&] { return speculo_read_next(reader, &view); }) != 1) { return; }
        look_at(view);
        timed([&] { return speculo_chunk_is_live(reader, &view); });
        if (random_() % 4 == 0) {
            speculo_chunk_release(&held);
            EXPECT_EQ(speculo_chunk_hold(reader, &view), 0);
            held = view;
            held_sum_ = sum_of(held);
        } else if (held.data) {
            EXPECT_EQ(sum_of(held), held_sum_);
        }
    }

    void use_snapshot(speculo_area *reader, const char *key) {
        speculo_snapshot *snapshot = nullptr;
        if (timed([&] { return speculo_snapshot_open(reader, &snapshot); }) < 0) { return; }
        speculo_chunk view{}, first{};
        uint64_t first_sum = 0;
        for (int i = 0; i < 100 && timed([&] { return speculo_snapshot_next(snapshot, &view); }) == 1; ++i) {
            look_at(view);
            if (i == 0) { first = view, first_sum = sum_of(view); }
        }
        if (timed([&] { return speculo_snapshot_key(snapshot, key, std::strlen(key), &view); }) == 1) { look_at(view); }
        if (first.data) { EXPECT_EQ(sum_of(first), first_sum); }
        speculo_snapshot_close(snapshot);
    }

    const AreaName &name_;
    Random random_;
    bool has_cursor_ = false;
    uint64_t opened_ = 0, delivered_ = 0, refused_ = 0, held_sum_ = 0;
};

class HostileWriter : public testing::TestWithParam<uint32_t> {};

TEST_P(HostileWriter, P10_harms_no_reader_that_trusts_nobody) {
    std::random_device entropy;
    uint64_t seed = entropy();
    SCOPED_TRACE("seed " + std::to_string(seed));
    AreaName name;
    ASSERT_TRUE(make_area(name.c_str(), GetParam()));
    Child vandal([&] {
        Vandal(name, seed).rage();
        return 0;
    });
    Victim victim(name, seed + 1);
    Clock::time_point end =
        Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds_to_run()));
    while (Clock::now() < end && !HasFailure()) { victim.live(); }
    vandal.signal(SIGKILL);
    vandal.wait();
    for (const std::string &file : area_files(area_directory(), name.text())) {
        if (file.find(".away") != std::string::npos) { unlink((std::string(area_directory()) + "/" + file).c_str()); }
    }
    unlink((std::string(area_directory()) + "/" + name.text() + ".away").c_str());
    EXPECT_GT(victim.opened(), 0u);
    EXPECT_GT(victim.delivered(), 0u); // the area was not beyond repair all the time
    EXPECT_GT(victim.refused(), 0u);
    std::printf("opened %llu, delivered %llu, refused %llu\n", static_cast<unsigned long long>(victim.opened()),
                static_cast<unsigned long long>(victim.delivered()), static_cast<unsigned long long>(victim.refused()));
}

#if defined(SPECULO_PORTABLE)
INSTANTIATE_TEST_SUITE_P(Areas, HostileWriter, testing::Values(0u));
#else
INSTANTIATE_TEST_SUITE_P(Areas, HostileWriter, testing::Values(0u, SPECULO_AREA_LOSSLESS));
#endif

} // namespace
