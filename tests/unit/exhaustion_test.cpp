// SPDX-License-Identifier: LGPL-2.1-or-later
// Space, descriptors, memory and file sizes really run out: the call that needed them says so, and everything goes on when there
// is some again.
#include <cerrno>
#include <csignal>
#include <fstream>

#include <sys/resource.h>

#include "small_disk.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t mebibyte = 1 << 20;

// Each chunk says which one it is, everywhere.
std::string payload_of(uint64_t id, size_t size) { return std::string(size, char('a' + id % 26)); }

constexpr size_t chunk_size = 5000;

// Commits chunks until there is no room; the error.
int write_until_refused(speculo_area *writer, uint64_t &next_id) {
    for (;;) {
        void *data = nullptr;
        uint64_t id = 0;
        int error = speculo_chunk_alloc(writer, chunk_size, nullptr, &data, &id);
        if (error < 0) { return error; }
        EXPECT_EQ(id, next_id);
        std::memset(data, payload_of(id, 1)[0], chunk_size);
        commit(writer);
        ++next_id;
    }
}

// All chunks from the first to the last one, to the last byte.
void expect_chunks(const AreaName &name, uint64_t next_id) {
    std::vector<Seen> live = live_chunks(name);
    ASSERT_EQ(live.size(), next_id - 1);
    for (uint64_t id = 1; id < next_id; ++id) {
        EXPECT_EQ(live[id - 1].id, id);
        EXPECT_EQ(live[id - 1].payload, payload_of(id, chunk_size)) << id;
    }
    EXPECT_EQ(read_all(open_reader(name)).size(), next_id - 1);
}

// ---- space ----

TEST(Exhaustion, P9_area_fills_the_file_system_itself) {
    expect_on_small_disk([](SmallDisk &disk) {
        AreaName name(disk.directory());
        AreaOptions options(3 * mebibyte);
        Handle writer = make_area(name, options);
        uint64_t next_id = 1;
        EXPECT_EQ(write_until_refused(writer, next_id), -ENOSPC); // there is no room to compact to, and nothing to leave behind
        EXPECT_GT(next_id, 500u);
        expect_chunks(name, next_id);
        EXPECT_EQ(speculo_area_compact(writer), -ENOSPC);
        for (uint64_t id = 1; id < next_id; id += 2) { EXPECT_EQ(speculo_chunk_obsolete(writer, id), 0); }
        EXPECT_EQ(speculo_rollback(writer), 0);
        expect_chunks(name, next_id);

        disk.resize("16m");
        EXPECT_EQ(speculo_area_compact(writer), 0);
        expect_chunks(name, next_id);
        EXPECT_EQ(speculo_chunk_obsolete(writer, 1), 0);
        commit(writer);
        EXPECT_EQ(commit_chunk(writer, "after all"), next_id);
    });
}

TEST(Exhaustion, P9_somebody_else_fills_the_file_system) {
    expect_on_small_disk([](SmallDisk &disk) {
        AreaName name(disk.directory());
        Handle writer = make_area(name, 2 * mebibyte);
        Handle reader = open_reader(name);
        uint64_t next_id = 1;
        for (int round = 0; round < 4; ++round) {
            Competitor competitor(disk);
            uint64_t before = next_id;
            EXPECT_EQ(write_until_refused(writer, next_id), -ENOSPC);
            EXPECT_LT(next_id, before + 40) << "what was allocated ahead";
            expect_chunks(name, next_id);
            EXPECT_EQ(read_all(reader).size(), next_id - before);
            competitor.give_back();
            put_chunk(writer, payload_of(next_id, chunk_size)); // takes the next step
            commit(writer);
            ++next_id;
            EXPECT_EQ(read_all(reader).size(), 1u);
        }
    });
}

// With a full file system a retired segment is there to be used again; where that is not possible nothing gets further.
TEST(Exhaustion, P9_compaction_goes_on_in_a_full_file_system) {
    expect_on_small_disk([](SmallDisk &disk) {
        AreaName name(disk.directory());
        AreaOptions options(mebibyte / 2);
        options.max_capacity = 8 * mebibyte;
        Handle writer = make_area(name, options);
        for (int i = 0; i < 2; ++i) { compact_now(writer); }
        commit_key(writer, "stays", "there");
        fill_segment(writer, chunk_size, transient());
        compact_now(writer); // full segments, all of them
        fill_segment(writer, chunk_size, transient());
        compact_now(writer);
        fill_segment(writer, chunk_size, transient());
        Competitor competitor(disk);
        for (int i = 0; i < 500; ++i) {
            int error = try_alloc(writer, chunk_size, transient());
            EXPECT_EQ(error == 0 || (error == -ENOSPC && !os::has_range_locks), true) << i << ' ' << speculo_strerror(error);
            commit(writer);
            EXPECT_EQ(value_of(name, "stays"), "there");
        }
        competitor.give_back();
        EXPECT_EQ(try_alloc(writer, chunk_size), 0);
    });
}

TEST(Exhaustion, P9_readers_pins_fill_the_file_system) {
    expect_on_small_disk([](SmallDisk &disk) {
        AreaName name(disk.directory());
        AreaOptions options(mebibyte / 4);
        options.segments = 2;
        Handle writer = make_area(name, options);
        Handle reader = open_reader(name, SPECULO_OPEN_NO_CURSOR);
        std::vector<speculo_chunk> holds;
        int error = 0;
        for (int i = 0; i < 100 && error == 0; ++i) {
            commit_key(writer, "k", payload_of(uint64_t(i), chunk_size));
            speculo_chunk chunk{};
            EXPECT_EQ(speculo_read_key(reader, "k", 1, &chunk), 1);
            EXPECT_EQ(speculo_chunk_hold(reader, &chunk), 0);
            holds.push_back(chunk);
            error = speculo_area_compact(writer);
        }
        EXPECT_EQ(error, -ENOSPC);
        EXPECT_GT(holds.size(), 10u);
        for (size_t i = 0; i < holds.size(); ++i) { EXPECT_EQ(seen(holds[i]).payload, payload_of(i, chunk_size)); }
        EXPECT_EQ(value_of(name, "k"), payload_of(holds.size() - 1, chunk_size));
        while (try_alloc(writer, chunk_size) == 0) { commit(writer); } // as far as the segment goes

        for (speculo_chunk &hold : holds) { speculo_chunk_release(&hold); }
        reader.close();
        EXPECT_EQ(remove_key(writer, "k"), 0);
        commit(writer);
        EXPECT_EQ(speculo_area_compact(writer), 0);
        EXPECT_EQ(value_of(name, "k"), no_value);
    });
}

TEST(Exhaustion, P9_a_full_file_system_takes_no_new_area) {
    expect_on_small_disk([](SmallDisk &disk) {
        AreaName name(disk.directory());
        Competitor competitor(disk);
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE), -ENOSPC);
        EXPECT_EQ(name.files(), std::vector<std::string>{});
        competitor.give_back();
        AreaOptions options(3 * mebibyte / 2);
        options.prefault = 16 * mebibyte;
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options), -ENOSPC);
        EXPECT_EQ(name.files(), std::vector<std::string>{});
        make_area(name, mebibyte);
    });
}

// ---- limits ----

// Of this process, until the end of the scope.
class Limit {
public:
    Limit(int resource, uint64_t value) : resource_(resource) {
        EXPECT_EQ(getrlimit(__rlimit_resource_t(resource_), &before_), 0);
        rlimit now = {rlim_t(value), before_.rlim_max};
        EXPECT_EQ(setrlimit(__rlimit_resource_t(resource_), &now), 0);
    }
    ~Limit() { setrlimit(__rlimit_resource_t(resource_), &before_); }
    Limit(const Limit &) = delete;
    Limit &operator=(const Limit &) = delete;

private:
    int resource_;
    rlimit before_{};
};

int lowest_free_descriptor() {
    int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

// Allows one descriptor more each time, until `call` succeeds. How many it took.
int grant_descriptors(const std::function<int()> &call) {
    for (int count = 0;; ++count) {
        int error;
        {
            Limit limit(RLIMIT_NOFILE, uint64_t(lowest_free_descriptor() + count));
            error = call();
        }
        if (error == 0) { return count; }
        EXPECT_EQ(error, -EMFILE) << "with " << count;
        if (error != -EMFILE || count == 100) { return -1; }
    }
}

TEST(Exhaustion, P9_no_descriptors_to_open_with) {
    expect_in_child([] {
        AreaName name;
        AreaOptions options(mebibyte);
        options.prefault = 8 * mebibyte; // several segments: those that were made go with the last that could not be
        EXPECT_GE(grant_descriptors([&] {
                      if (int error = try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options)) {
                          EXPECT_EQ(name.files(), std::vector<std::string>{});
                          return error;
                      }
                      return 0;
                  }),
                  3);
        Handle writer = open_writer(name);
        for (int i = 0; i < 2; ++i) { compact_now(writer); }
        commit_key(writer, "k", "v");
        EXPECT_GE(grant_descriptors([&] { return try_open(name, SPECULO_OPEN_READ); }), 3);
        writer.close();
        EXPECT_GE(grant_descriptors([&] { return try_open(name, SPECULO_OPEN_WRITE); }), 5);
        EXPECT_EQ(value_of(name, "k"), "v");
        EXPECT_GE(grant_descriptors([&] { return speculo_area_remove(name.c_str()); }), 3);
        EXPECT_EQ(name.files(), std::vector<std::string>{});
    });
}

TEST(Exhaustion, P9_no_descriptors_to_go_on_with) {
    expect_in_child([] {
        AreaName name;
        Handle writer = make_area(name, mebibyte), reader = open_reader(name);
        commit_key(writer, "k", "v");
        EXPECT_EQ(read_all(reader).size(), 1u);
        EXPECT_GE(grant_descriptors([&] { return speculo_area_compact(writer); }), 1);
        commit_key(writer, "l", "w");
        speculo_chunk chunk{};
        EXPECT_GE(grant_descriptors([&] {
                      int found = speculo_read_next(reader, &chunk);
                      return found == 1 ? 0 : found;
                  }),
                  2);
        EXPECT_EQ(seen(chunk).key, "l"); // neither lost nor delivered twice
        EXPECT_EQ(read_all(reader).size(), 0u);
        EXPECT_EQ(live_ids(name), (Ids{1, 2}));
    });
}

uint64_t address_space() {
    uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages * uint64_t(sysconf(_SC_PAGESIZE));
}

// Large segments, so that there is enough for everything but for them.
TEST(Exhaustion, P9_no_address_space) {
    expect_in_child([] {
        AreaName name;
        AreaOptions options(256 * mebibyte);
        constexpr uint64_t rest = 128 * mebibyte;
        {
            Limit limit(RLIMIT_AS, address_space() + rest);
            EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, &options), -ENOMEM);
            EXPECT_EQ(name.files(), std::vector<std::string>{});
        }
        Handle writer = make_area(name, options), reader = open_reader(name);
        commit_key(writer, "k", "v");
        EXPECT_EQ(read_all(reader).size(), 1u);
        {
            Limit limit(RLIMIT_AS, address_space() + rest);
            EXPECT_EQ(try_open(name, SPECULO_OPEN_READ), -ENOMEM);
            EXPECT_EQ(speculo_area_compact(writer), -ENOMEM);
            commit_key(writer, "l", "w");
        }
        compact_now(writer);
        commit_key(writer, "m", "x");
        speculo_chunk chunk{};
        {
            Limit limit(RLIMIT_AS, address_space() + rest);
            EXPECT_EQ(speculo_read_next(reader, &chunk), 1); // in the segment where it is
            EXPECT_EQ(speculo_read_next(reader, &chunk), -ENOMEM);
        }
        EXPECT_EQ(ids_of(read_all(reader)), (Ids{3}));
        EXPECT_EQ(live_ids(name), (Ids{1, 2, 3}));
    });
}

// The system sends SIGXFSZ along with the error; whoever limits files has to ignore it, as with every file that grows.
TEST(Exhaustion, P9_files_must_not_grow) {
    expect_in_child([] {
        signal(SIGXFSZ, SIG_IGN);
        AreaName name;
        Handle writer = make_area(name, mebibyte);
        uint64_t next_id = 1;
        {
            Limit limit(RLIMIT_FSIZE, mebibyte / 2);
            EXPECT_EQ(write_until_refused(writer, next_id), -ENOSPC);
            expect_chunks(name, next_id);
        }
        EXPECT_EQ(put_chunk(writer, payload_of(next_id, chunk_size)), next_id);
        commit(writer);
        expect_chunks(name, next_id + 1);
    });
}

} // namespace
