// SPDX-License-Identifier: LGPL-2.1-or-later
// What get_info tells either side.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint64_t capacity = 64 << 10;

class Info : public testing::Test {
protected:
    // Both sides tell the same of the area.
    speculo_area_info both() {
        speculo_area_info w = info_of(writer), r = info_of(reader);
        EXPECT_EQ(w.mode, r.mode);
        EXPECT_EQ(w.capacity, r.capacity);
        EXPECT_EQ(w.used, r.used);
        EXPECT_EQ(w.live_chunks, r.live_chunks);
        EXPECT_EQ(w.live_bytes, r.live_bytes);
        EXPECT_EQ(w.expired_chunks, r.expired_chunks);
        EXPECT_EQ(w.superseded_chunks, r.superseded_chunks);
        EXPECT_EQ(w.newest_id, r.newest_id);
        EXPECT_EQ(w.generation, r.generation);
        EXPECT_EQ(w.segments, r.segments);
        EXPECT_EQ(w.memory, r.memory);
        EXPECT_EQ(w.owner_uid, r.owner_uid);
        return w;
    }
    static int try_info(speculo_area *area, uint32_t flags = 0) {
        speculo_area_info info{};
        info.struct_size = sizeof info;
        info.flags = flags;
        return speculo_area_get_info(area, &info);
    }

    Faults faults;
    AreaName name;
    Handle writer = make_area(name, capacity);
    Handle reader = open_reader(name);
};

TEST_F(Info, of_an_empty_area) {
    speculo_area_info info = both();
    EXPECT_EQ(info.mode, 0600u);
    EXPECT_EQ(info.capacity, capacity);
    EXPECT_EQ(info.used, 0u);
    EXPECT_EQ(info.live_chunks, 0u);
    EXPECT_EQ(info.live_bytes, 0u);
    EXPECT_EQ(info.newest_id, 0u);
    EXPECT_EQ(info.generation, 1u);
    EXPECT_EQ(info.segments, 1u);
    EXPECT_EQ(info.owner_uid, geteuid());
    EXPECT_EQ(info.writer_alive, 1u);
    EXPECT_EQ(info.skipped, 0u);
    EXPECT_EQ(info.jumps, 0u);
    for (uint64_t word : info.reserved) { EXPECT_EQ(word, 0u); }
}

TEST_F(Info, counts_each_chunk_as_what_it_is) {
    faults.clock.freeze();
    uint64_t a = commit_chunk(writer, "12345");
    commit_chunk(writer, "1234567", transient());
    commit_chunk(writer, "x", superseding(a));
    commit_key(writer, "k", "one");
    commit_key(writer, "k", "three");
    commit_key(writer, "gone", "?");
    EXPECT_EQ(remove_key(writer, "gone"), 0); // the removal itself is no chunk
    commit(writer);
    uint64_t b = commit_chunk(writer, "obsolete");
    EXPECT_EQ(speculo_chunk_obsolete(writer, b), 0);
    commit(writer);
    commit_chunk(writer, "soon", living(100 * ms));
    commit_chunk(writer, "later", living(1000000 * ms));
    speculo_area_info info = both();
    EXPECT_EQ(info.live_chunks, 5u);
    EXPECT_EQ(info.live_bytes, 7u + 1 + 5 + 4 + 5);
    EXPECT_EQ(info.superseded_chunks, 4u);
    EXPECT_EQ(info.expired_chunks, 0u);
    faults.clock.jump(1000 * ms);
    info = both();
    EXPECT_EQ(info.live_chunks, 4u);
    EXPECT_EQ(info.live_bytes, 7u + 1 + 5 + 5);
    EXPECT_EQ(info.expired_chunks, 1u);
    EXPECT_EQ(info.superseded_chunks, 4u);
}

TEST_F(Info, what_is_superseded_and_expired_counts_once) {
    faults.clock.freeze();
    uint64_t a = commit_chunk(writer, "a", living(100 * ms));
    commit_chunk(writer, "b", superseding(a));
    faults.clock.jump(1000 * ms);
    speculo_area_info info = both();
    EXPECT_EQ(info.superseded_chunks, 1u);
    EXPECT_EQ(info.expired_chunks, 0u);
}

// As readers do, a writer that does not know the time hides nothing.
TEST_F(Info, nothing_has_expired_for_a_writer_that_does_not_know_the_time) {
    commit_chunk(writer, "a", living(50 * ms));
    writer.close();
    faults.clock.jump(int64_t(100 * ms));
    faults.clock.set_namespace(0, EOPNOTSUPP);
    writer = open_writer(name);
    EXPECT_EQ(info_of(writer).live_chunks, 1u);
    EXPECT_EQ(info_of(writer).expired_chunks, 0u);
    faults.clock.set_namespace(0);
    EXPECT_EQ(info_of(writer).live_chunks, 0u);
    EXPECT_EQ(info_of(writer).expired_chunks, 1u);
}

TEST_F(Info, quick_walks_nothing) {
    commit_chunk(writer, "12345");
    for (speculo_area *area : {static_cast<speculo_area *>(writer), static_cast<speculo_area *>(reader)}) {
        speculo_area_info info{};
        info.struct_size = sizeof info;
        info.flags = SPECULO_INFO_QUICK;
        std::memset(&info.live_chunks, 0xff, 4 * sizeof info.live_chunks); // whatever stood there
        ASSERT_EQ(speculo_area_get_info(area, &info), 0);
        EXPECT_EQ(info.flags, SPECULO_INFO_QUICK);
        EXPECT_EQ(info.live_chunks, 0u);
        EXPECT_EQ(info.live_bytes, 0u);
        EXPECT_EQ(info.expired_chunks, 0u);
        EXPECT_EQ(info.superseded_chunks, 0u);
        EXPECT_EQ(info.newest_id, 1u);
        EXPECT_GT(info.used, 0u);
    }
}

TEST_F(Info, used_grows_by_what_chunks_take) {
    commit_chunk(writer, std::string(16, 'x'));
    EXPECT_EQ(both().used, 32u);
    commit_chunk(writer, "");
    EXPECT_EQ(both().used, 48u);
    uint64_t a = commit_chunk(writer, std::string(100, 'x'));
    EXPECT_EQ(both().used, 48u + 16 + 112);
    commit_chunk(writer, "", superseding(a));
    EXPECT_EQ(both().used, 48u + 16 + 112 + 16) << "dead ones still take what they took";
    compact_now(writer);
    EXPECT_EQ(both().used, 64u) << "compaction gives it back";
}

TEST_F(Info, pending_chunks_count_in_the_writer_s_used_only) {
    commit_chunk(writer, "x");
    speculo_area_info before = info_of(writer);
    put_chunk(writer, std::string(100, 'x'));
    speculo_area_info after = info_of(writer);
    EXPECT_EQ(after.used, before.used + 128);
    EXPECT_EQ(after.live_chunks, 1u);
    EXPECT_EQ(after.newest_id, 1u);
    EXPECT_EQ(info_of(reader).used, before.used);
    EXPECT_EQ(speculo_rollback(writer), 0);
    EXPECT_EQ(both().used, before.used);
}

TEST_F(Info, newest_id_outlives_the_chunk) {
    commit_chunk(writer, "a", transient());
    uint64_t b = commit_chunk(writer, "b", transient());
    compact_now(writer);
    speculo_area_info info = both();
    EXPECT_EQ(info.newest_id, b);
    EXPECT_EQ(info.live_chunks, 0u);
    EXPECT_EQ(info.generation, 2u);
}

TEST_F(Info, names_the_memory_objects_and_their_bytes) {
    for (uint64_t segments = 1; segments <= 3; ++segments) {
        speculo_area_info info = both();
        EXPECT_EQ(info.segments, segments);
        uint64_t bytes = 0;
        for (const std::string &file : name.files()) {
            struct stat status;
            std::string path = std::string(area_directory()) + "/" + file;
            ASSERT_EQ(stat(path.c_str(), &status), 0);
            bool is_segment = path != name.path() && path != name.path("@lock") && path != name.path("@bell");
            if (is_segment) { bytes += uint64_t(status.st_size); }
        }
        EXPECT_EQ(info.memory, bytes);
        compact_now(writer);
    }
    faults.clock.jump(int64_t(1100 * ms)); // what the reader is in was parked so long
    compact_now(writer);
    EXPECT_EQ(both().segments, 3u) << "not more than are used in turn";
}

TEST_F(Info, the_mode_is_what_it_is_now) {
    ASSERT_EQ(chmod(name.path().c_str(), 0644), 0);
    EXPECT_EQ(both().mode, 0644u);
}

// ---- the reader's own -----------------------------------------------------------------------------------------------------------

TEST_F(Info, skipped_counts_what_was_passed_and_not_what_was_sought) {
    for (int i = 0; i < 3; ++i) { commit_chunk(writer, "x", superseding(uint64_t(i))); } // 1, 2 are superseded
    EXPECT_EQ(info_of(reader).skipped, 0u);
    speculo_chunk view{};
    ASSERT_EQ(speculo_read_next(reader, &view), 1);
    EXPECT_EQ(view.id, 3u);
    EXPECT_EQ(info_of(reader).skipped, 2u);
    uint64_t last = commit_chunk(writer, "gone");
    EXPECT_EQ(speculo_chunk_obsolete(writer, last), 0);
    commit(writer);
    EXPECT_EQ(speculo_read_next(reader, &view), 0);
    EXPECT_EQ(info_of(reader).skipped, 3u) << "also where nothing came behind it";
    EXPECT_EQ(speculo_seek(reader, 0), 0);
    EXPECT_EQ(info_of(reader).skipped, 3u);
    EXPECT_EQ(speculo_seek(reader, UINT64_MAX), 0);
    EXPECT_EQ(info_of(reader).skipped, 3u);
    EXPECT_EQ(info_of(writer).skipped, 0u);
    EXPECT_EQ(info_of(open_reader(name, SPECULO_OPEN_NO_CURSOR)).skipped, 0u);
}

TEST_F(Info, jumps_are_counted) {
    commit_chunk(writer, "x");
    for (int i = 0; i < 6; ++i) { compact_now(writer); }
    EXPECT_EQ(info_of(reader).jumps, 0u) << "it has not moved";
    EXPECT_EQ(read_all(reader).size(), 1u);
    EXPECT_EQ(info_of(reader).jumps, 1u);
    EXPECT_EQ(info_of(reader).generation, 7u);
}

TEST_F(Info, a_reader_in_history_is_told_of_the_current_segment) {
    commit_chunk(writer, "x");
    compact_now(writer);
    commit_chunk(writer, "yy");
    speculo_area_info info = both();
    EXPECT_EQ(info.generation, 2u);
    EXPECT_EQ(info.live_chunks, 2u);
    EXPECT_EQ(info.live_bytes, 3u);
    EXPECT_EQ(read_all(reader).size(), 2u) << "and stays where it was";
}

TEST_F(Info, writer_alive_ends_with_the_writer) {
    EXPECT_EQ(info_of(reader).writer_alive, 1u);
    writer.close();
    EXPECT_EQ(info_of(reader).writer_alive, os::has_range_locks ? 0u : 1u); // not to be known: alive
    writer = open_writer(name);
    EXPECT_EQ(info_of(reader).writer_alive, 1u);
}

TEST_F(Info, pins_nothing) {
    Handle other = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    reader.close();
    info_of(other);
    if (os::has_range_locks) { EXPECT_EQ(current_segment(name).locks(), "free"); }
    size_t descriptors = faults.descriptors(), mappings = faults.mappings();
    for (int i = 0; i < 10; ++i) { info_of(other); }
    EXPECT_EQ(faults.descriptors(), descriptors);
    EXPECT_EQ(faults.mappings(), mappings);
}

TEST_F(Info, outlives_the_area_s_name) {
    commit_chunk(writer, "x");
    writer.close();
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    speculo_area_info info = info_of(reader);
    EXPECT_EQ(info.live_chunks, 1u);
    EXPECT_EQ(info.segments, 0u);
    EXPECT_EQ(info.memory, 0u);
}

TEST_F(Info, P10_damage_is_told) {
    uint64_t id = commit_chunk(writer, "x");
    commit_chunk(writer, "y");
    SegmentProbe segment = current_segment(name);
    put(segment.frame_of(id).id_flags, core::pack_id(id, 0x80));
    EXPECT_EQ(try_info(writer), -EBADMSG);
    EXPECT_EQ(try_info(reader), -EBADMSG);
}

TEST_F(Info, P9_tells_what_the_system_refused) {
    Handle other = open_reader(name, SPECULO_OPEN_NO_CURSOR);
    compact_now(writer); // it has to enter a segment that it does not know
    faults.reset_counts();
    faults.fail_from(are_readers_untrusting() ? Site::read_at : Site::map, 1, ENOMEM);
    EXPECT_EQ(try_info(other), -ENOMEM);
    faults.heal();
    EXPECT_EQ(try_info(other), 0);
}

} // namespace
