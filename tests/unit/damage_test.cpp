// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever bytes are in the shared memory, every call returns chunks or an error code in bounded time. A sound area is damaged
// word by word, at random and by system, and every call is made; nothing but a crash, a hang or an endless stream is wrong.
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <random>
#include <sstream>

#include <fcntl.h>
#include <sys/resource.h>

#include "guarded.hpp"
#include "index.hpp"
#include "probe.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 8 << 10;
constexpr uint64_t most_chunks = 4 * (capacity + core::reserve_size) / core::place_size; // of all segments together
constexpr uint64_t largest_file = 4 << 20;

// Those who copy every word take ten times as long.
uint64_t share_of(uint64_t rounds) { return are_readers_untrusting() ? rounds / 10 : rounds; }

using Random = std::mt19937_64;

// What a word may be made: near what it was, near what matters, or anything.
uint64_t wrong(Random &random, uint64_t was) {
    static const uint64_t telling[] = {0,
                                       1,
                                       2,
                                       3,
                                       15,
                                       16,
                                       255,
                                       256,
                                       511,
                                       512,
                                       543,
                                       544,
                                       545,
                                       4095,
                                       4096,
                                       0x7fffffff,
                                       0xfffffffe,
                                       0xffffffff,
                                       0x100000000,
                                       core::max_id,
                                       core::max_id + 1,
                                       UINT64_MAX - 1,
                                       UINT64_MAX};
    switch (random() % 6) {
    case 0: return telling[random() % std::size(telling)];
    case 1: return was + random() % 9 - 4;
    case 2: return was ^ uint64_t(1) << random() % 64;
    case 3: return was << random() % 4;
    case 4: return was >> random() % 4;
    default: return random() >> random() % 64;
    }
}

// All objects of an area that was left by its writer, and how to put them back.
class Specimen {
public:
    explicit Specimen(const AreaName &name) : name_(name) {
        for (const std::string &file : name.files()) {
            int fd = open((directory() + file).c_str(), O_RDONLY | O_CLOEXEC);
            std::string bytes(size_t(lseek(fd, 0, SEEK_END)), '\0');
            EXPECT_EQ(pread(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
            close(fd);
            if (!bytes.empty()) { files_[file] = bytes; } // not the lock
        }
    }

    std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto &[file, bytes] : files_) { names.push_back(file); }
        return names;
    }
    uint64_t words(const std::string &file) const { return files_.at(file).size() / 8; }
    uint64_t word(const std::string &file, uint64_t index) const {
        uint64_t value;
        std::memcpy(&value, files_.at(file).data() + index * 8, 8);
        return value;
    }
    bool is_control(const std::string &file) const { return file.find('@') == std::string::npos; }

    void damage(const std::string &file, uint64_t index, uint64_t value) const {
        int fd = open((directory() + file).c_str(), O_WRONLY | O_CLOEXEC);
        EXPECT_EQ(pwrite(fd, &value, 8, off_t(index * 8)), 8);
        close(fd);
    }

    // Puts everything back as it was, names included.
    void restore() const {
        for (const std::string &file : name_.files()) {
            bool is_known = files_.count(file) != 0 || file.find("@lock") != std::string::npos;
            if (!is_known) { unlink((directory() + file).c_str()); }
        }
        for (const auto &[file, bytes] : files_) {
            int fd = open((directory() + file).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            EXPECT_EQ(pwrite(fd, bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
            EXPECT_EQ(ftruncate(fd, off_t(bytes.size())), 0);
            close(fd);
        }
    }

private:
    static std::string directory() { return std::string(area_directory()) + "/"; }

    const AreaName &name_;
    std::map<std::string, std::string> files_;
};

// A word that a frame, slot or header begins with matters more than a payload's; most of the mutations go there.
uint64_t some_word(Random &random, const Specimen &specimen, const std::string &file) {
    uint64_t words = specimen.words(file);
    for (int i = 0; i < 20; ++i) {
        uint64_t index = random() % words;
        if (specimen.word(file, index) != 0) { return index; }
    }
    return random() % words;
}

// Touches what a view promises: each byte is really loaded, whatever the compiler thinks of the result.
void touch(const speculo_chunk &view) {
    const auto *data = static_cast<const volatile unsigned char *>(view.data);
    const auto *key = static_cast<const volatile unsigned char *>(view.key);
    for (size_t i = 0; i < view.size; ++i) { (void)data[i]; }
    for (size_t i = 0; i < view.key_size; ++i) { (void)key[i]; }
}

void expect_bounded(int result, uint64_t &count) {
    EXPECT_LE(result, 1);
    EXPECT_GT(result, -4096);
    ASSERT_LT(++count, most_chunks) << "an endless stream";
}

void use_snapshot(speculo_area *reader) {
    speculo_snapshot *snapshot = nullptr;
    if (speculo_snapshot_open(reader, &snapshot) < 0) { return; }
    speculo_chunk view{};
    uint64_t count = 0;
    for (int found; (found = speculo_snapshot_next(snapshot, &view)) == 1; touch(view)) { expect_bounded(found, count); }
    for (const char *key : {"a", "bb", "ccc", "none"}) {
        if (speculo_snapshot_key(snapshot, key, std::strlen(key), &view) == 1) { touch(view); }
    }
    speculo_snapshot_close(snapshot);
}

void use_reader(speculo_area *reader, bool has_cursor) {
    speculo_chunk view{};
    uint64_t count = 0;
    for (int found; has_cursor && (found = speculo_read_next(reader, &view)) == 1;) {
        expect_bounded(found, count);
        touch(view);
        speculo_chunk_is_live(reader, &view);
        if (speculo_chunk_hold(reader, &view) == 0) { touch(view); }
        speculo_chunk_release(&view);
        if (testing::Test::HasFatalFailure()) { return; }
    }
    for (const char *key : {"a", "bb", "ccc", "none"}) {
        if (speculo_read_key(reader, key, std::strlen(key), &view) == 1) { touch(view); }
    }
    use_snapshot(reader);
    for (uint64_t id : {uint64_t(0), uint64_t(5), uint64_t(40), UINT64_MAX}) {
        if (has_cursor && speculo_seek(reader, id) == 0 && speculo_read_next(reader, &view) == 1) { touch(view); }
    }
    speculo_area_info info{};
    info.struct_size = sizeof info;
    speculo_area_get_info(reader, &info);
}

void read_everything(const AreaName &name) {
    for (uint32_t flags : {0u, SPECULO_OPEN_AT_END, SPECULO_OPEN_NO_CURSOR}) {
        speculo_area *reader = nullptr;
        if (speculo_area_open(name.c_str(), with_trust(flags), nullptr, &reader) < 0) { continue; }
        use_reader(reader, flags != SPECULO_OPEN_NO_CURSOR);
        speculo_area_close(reader);
    }
}

void write_something(const AreaName &name) {
    speculo_area *writer = nullptr;
    if (speculo_area_open(name.c_str(), SPECULO_OPEN_WRITE, nullptr, &writer) < 0) { return; }
    for (uint64_t id : {5u, 40u, 59u}) {
        void *data = nullptr;
        ChunkOptions options = superseding(id);
        std::string key = "bb";
        options.with_key(key);
        if (speculo_chunk_alloc(writer, 100, &options, &data, nullptr) == 0) { std::memset(data, 1, 100); }
        if (speculo_chunk_alloc(writer, 10, nullptr, &data, nullptr) == 0) { std::memset(data, 2, 10); }
        speculo_chunk_obsolete(writer, id + 1);
        speculo_key_remove(writer, "a", 1);
        speculo_commit(writer);
        speculo_area_compact(writer);
    }
    speculo_area_info info{};
    info.struct_size = sizeof info;
    speculo_area_get_info(writer, &info);
    speculo_area_close(writer);
}

// Files may not grow without bounds because a word says so.
class FileLimit {
public:
    FileLimit() {
        before_ = std::signal(SIGXFSZ, SIG_IGN);
        getrlimit(RLIMIT_FSIZE, &limit_);
        rlimit lower = {largest_file, limit_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &lower);
    }
    ~FileLimit() {
        setrlimit(RLIMIT_FSIZE, &limit_);
        std::signal(SIGXFSZ, before_);
    }
    FileLimit(const FileLimit &) = delete;
    FileLimit &operator=(const FileLimit &) = delete;

private:
    rlimit limit_{};
    void (*before_)(int);
};

class Damage : public testing::Test {
protected:
    // Several generations, every kind of frame and field, versions, removals, and dead ones.
    void SetUp() override {
        Handle writer = make_area(name, capacity);
        for (int i = 0; i < 20; ++i) {
            put_key(writer, i % 3 == 0 ? "a" : "bb", std::to_string(i));
            put_chunk(writer, std::string(size_t(i * 5), 'x'), i % 2 ? transient() : aligned(64));
            if (i % 5 == 0) { put_chunk(writer, "plain"); }
            ChunkOptions options = living(uint64_t(1) << 50);
            options.tag = 7;
            commit_chunk(writer, "tagged", options);
            if (i % 4 == 1) { EXPECT_EQ(remove_key(writer, "bb"), 0); }
            commit(writer);
            if (i % 7 == 6) { compact_now(writer); }
        }
        commit_key(writer, "ccc", "last");
    }

    // Damages `count` words, uses everything, and puts it back.
    template <typename Use> void mutate(const Specimen &specimen, uint64_t seed, bool writes, Use use) {
        Random random(seed);
        std::vector<std::pair<std::string, uint64_t>> damaged;
        std::vector<std::string> files = specimen.files();
        uint64_t count = 1 + random() % 3;
        std::ostringstream what;
        for (uint64_t i = 0; i < count; ++i) {
            const std::string &file = files[random() % files.size()];
            uint64_t index = random() % 4 == 0 ? random() % 50 : some_word(random, specimen, file);
            uint64_t value = wrong(random, specimen.word(file, index));
            specimen.damage(file, index, value);
            damaged.emplace_back(file, index);
            what << file << " word " << index << " = " << value << "; ";
        }
        SCOPED_TRACE("seed " + std::to_string(seed) + ": " + what.str());
        use(name);
        if (writes) { return specimen.restore(); }
        for (const auto &[file, index] : damaged) { specimen.damage(file, index, specimen.word(file, index)); }
    }

    GuardedMappings guarded;
    AreaName name;
};

TEST_F(Damage, P10_random_words_never_harm_a_reader) {
    Specimen specimen(name);
    for (uint64_t seed = 1; seed <= share_of(3000) && !HasFailure(); ++seed) { mutate(specimen, seed, false, read_everything); }
    EXPECT_EQ(live_ids(name).empty(), false); // sound again
}

TEST_F(Damage, P10_random_words_never_harm_a_writer) {
    FileLimit limit;
    Specimen specimen(name);
    auto use = [](const AreaName &area) {
        write_something(area);
        read_everything(area);
    };
    for (uint64_t seed = 1; seed <= share_of(300) && !HasFailure(); ++seed) { mutate(specimen, seed, true, use); }
    EXPECT_EQ(live_ids(name).empty(), false);
}

// Every word of every object that is not 0 anyway.
TEST_F(Damage, P10_no_single_word_harms_a_reader) {
    Specimen specimen(name);
    for (const std::string &file : specimen.files()) {
        for (uint64_t index = 0; index < specimen.words(file) && !HasFailure(); ++index) {
            uint64_t was = specimen.word(file, index);
            if (was == 0 || (are_readers_untrusting() && index % 10 != 0)) { continue; }
            SCOPED_TRACE(file + " word " + std::to_string(index));
            specimen.damage(file, index, ~was);
            read_everything(name);
            specimen.damage(file, index, was);
        }
    }
}

TEST_F(Damage, P10_a_header_that_promises_more_than_there_is_is_refused) {
    Specimen specimen(name);
    for (const std::string &file : specimen.files()) {
        if (specimen.is_control(file)) { continue; }
        for (size_t offset : {offsetof(core::SegmentHeader, capacity), offsetof(core::SegmentHeader, table_slots)}) {
            for (int shift = 1; shift <= 16; ++shift) {
                uint64_t was = specimen.word(file, offset / 8);
                specimen.damage(file, offset / 8, was << shift);
                read_everything(name);
                specimen.damage(file, offset / 8, was);
            }
        }
    }
}

TEST_F(Damage, P10_objects_that_were_cut_short_are_refused) {
    Specimen specimen(name);
    for (const std::string &file : specimen.files()) {
        for (uint64_t size : {0u, 1u, 100u, 4095u, 4096u, 5000u, 8192u, 8193u, 12288u, 12300u}) {
            if (size >= specimen.words(file) * 8) { continue; }
            SCOPED_TRACE(file + " of " + std::to_string(size) + " bytes");
            ASSERT_EQ(truncate((std::string(area_directory()) + "/" + file).c_str(), off_t(size)), 0);
            read_everything(name);
            write_something(name);
            read_everything(name);
            specimen.restore();
        }
    }
}

// ---- inside -----------------------------------------------------------------------------------------------------------------

void expect_inside(const core::SegmentMap &map, const core::Frame &frame) {
    const std::byte *end = map.bytes(0) + map.readable * core::place_size;
    EXPECT_LE(frame.payload + frame.size, end);
    EXPECT_GE(frame.payload, map.bytes(frame.place));
    if (frame.key) { EXPECT_LE(frame.key + frame.key_size, end); }
}

void walk(const core::SegmentMap &map, uint32_t end) {
    core::FrameWalk all(map, core::first_place, end);
    core::Frame frame;
    while (all.next(frame) == 1) { expect_inside(map, frame); }
}

void look_everywhere(const core::SegmentMap &map, uint64_t seed) {
    uint32_t end = 0;
    core::Frame frame;
    uint64_t id;
    if (core::find_end(
            map, core::first_place, [](void *) { return 0; }, nullptr, end) < 0) {
        end = map.readable;
    }
    for (uint32_t one : {end, map.readable, map.readable / 2}) {
        walk(map, one);
        for (uint64_t wanted : {1u, 30u, 60u}) {
            if (core::index_find(map, one, wanted, frame) == 1) { expect_inside(map, frame); }
        }
        core::index_last_id(map, one, id);
        for (const char *text : {"a", "bb", "ccc"}) {
            core::Key key{reinterpret_cast<const std::byte *>(text), uint32_t(std::strlen(text)), 0};
            key.hash = core::key_hash(seed, text, key.size);
            if (core::find_key(map, one, key, frame) == 1) { expect_inside(map, frame); }
            if (core::key_find_at_once(map, one, key, frame)) { expect_inside(map, frame); }
        }
    }
}

// The mapping ends where the last readable place does.
TEST_F(Damage, P10_nothing_behind_the_readable_places_is_touched) {
    SegmentProbe probe = current_segment(name);
    uint64_t seed = core::peek(AreaProbe(name).control().area_id[0]);
    const core::SegmentMap &sound = probe.map();
    Random random(1);
    uint32_t end = probe.end();
    for (uint32_t readable : {end + 1, end, end - 1, end / 2, sound.geometry.place_end, core::first_place + 1}) {
        size_t size = size_t(sound.geometry.chunks_offset + readable * core::place_size);
        Guarded memory(size);
        core::SegmentMap map = sound;
        map.put_at(memory.begin());
        map.readable = readable;
        for (int i = 0; i < 2000 && !HasFailure(); ++i) {
            std::memcpy(map.base, sound.base, size);
            for (uint64_t count = i == 0 ? 0 : 1 + random() % 4; count > 0; --count) {
                uint64_t index = random() % (size / 8), was;
                std::memcpy(&was, map.base + index * 8, 8);
                was = wrong(random, was);
                std::memcpy(map.base + index * 8, &was, 8);
            }
            look_everywhere(map, seed);
        }
    }
}

} // namespace
