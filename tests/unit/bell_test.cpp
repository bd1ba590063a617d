// SPDX-License-Identifier: LGPL-2.1-or-later
// The bell: its object, what a commit costs with and without sleepers, and what happens when somebody damages it.
#include "bell.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr int64_t soon = 20 * int64_t(ms);

class BellTest : public testing::Test {
protected:
    struct stat status() {
        struct stat found = {};
        EXPECT_EQ(stat(name_.path("@bell").c_str(), &found), 0);
        return found;
    }
    uint64_t all_calls() {
        uint64_t sum = 0;
        for (size_t i = 0; i < site_count; ++i) { sum += faults_.calls(site_at(i)); }
        return sum;
    }
    core::BellPage &page() { return *inside(writer_).ringer.bell.page; }

    Faults faults_;
    AreaName name_;
    Handle writer_ = make_area(name_);
};

TEST_F(BellTest, has_the_mode_of_the_area) {
    EXPECT_EQ(status().st_mode & 07777, 0600u);
    EXPECT_EQ(status().st_size, 4096);
    writer_.close();
    AreaOptions options;
    options.mode = 0644;
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    EXPECT_EQ(status().st_mode & 07777, 0644u);
    EXPECT_TRUE(inside(writer_).ringer.duties & core::duty_public);
}

TEST_F(BellTest, commit_with_nobody_asleep_calls_nothing) {
    for (int i = 0; i < 3; ++i) { commit_key(writer_, "k", "v"), commit_chunk(writer_, "a"); }
    faults_.reset_counts();
    for (int i = 0; i < 100; ++i) { commit_key(writer_, "k", "v"), commit_chunk(writer_, "a"); }
    EXPECT_EQ(all_calls(), 0u);
}

TEST_F(BellTest, sleepers_are_woken_once_whatever_is_committed) {
    commit_chunk(writer_, "the first one needs memory for its record");
    core::announce_sleep(page().sleepers);
    uint32_t before = core::load_bell_word(page().word);
    faults_.reset_counts();
    for (int i = 0; i < 100; ++i) { commit_chunk(writer_, "a"); }
    EXPECT_EQ(faults_.calls(Site::wake), 1u);
    EXPECT_EQ(all_calls(), 1u);
    EXPECT_FALSE(core::is_flag_set(page().sleepers));
    EXPECT_EQ(core::load_bell_word(page().word), before + 1);
}

TEST_F(BellTest, foreign_readers_are_rung_unasked_but_not_more_often_than_each_millisecond) {
    writer_.close();
    AreaOptions options;
    options.mode = 0644;
    writer_ = open_area(name_, SPECULO_OPEN_WRITE, &options);
    commit_chunk(writer_, "a");
    faults_.reset_counts();
    uint64_t begin = faults_.calls(Site::wake), start = os::operations.clock_fine(), end;
    do {
        commit_chunk(writer_, "a", transient());
        end = os::operations.clock_fine();
    } while (end - start < 20 * ms);
    uint64_t rings = faults_.calls(Site::wake) - begin;
    EXPECT_GE(rings, 1u);
    EXPECT_LE(rings, (end - start) / ms + 1);
    EXPECT_EQ(faults_.calls(Site::touch), rings);
}

TEST_F(BellTest, deleted_one_is_made_anew_by_the_next_writer_and_found_by_sleepers) {
    Handle reader = open_reader(name_);
    EXPECT_EQ(speculo_wait(reader, soon), 0); // has the old one open
    ASSERT_EQ(unlink(name_.path("@bell").c_str()), 0);
    Handle late = open_reader(name_);
    EXPECT_EQ(speculo_wait(late, soon), 0); // does without
    commit_chunk(writer_, "a");
    EXPECT_EQ(speculo_wait(late, -1), 1);
    writer_.close();
    writer_ = open_writer(name_);
    EXPECT_EQ(status().st_size, 4096);
    read_all(reader);
    EXPECT_EQ(speculo_wait(reader, 300 * int64_t(ms)), 0); // a slice goes by, and the old one is given up
    EXPECT_EQ(speculo_wait(reader, soon), 0);
    auto *inner = static_cast<core::Reader *>(static_cast<speculo_area *>(reader));
    EXPECT_FALSE(core::bell_is_stale(inner->waiting.bell));
}

TEST_F(BellTest, truncated_one_is_none_for_readers_and_replaced_by_the_next_writer) {
    writer_.close();
    for (off_t size : {0, 100, 4095}) {
        ASSERT_EQ(truncate(name_.path("@bell").c_str(), size), 0);
        Handle reader = open_reader(name_);
        speculo_wait(reader, soon);
        EXPECT_GE(speculo_area_get_fd(reader), 0);
        EXPECT_EQ(speculo_area_dispatch(reader), 0);
        reader.close();
        writer_ = open_writer(name_);
        EXPECT_EQ(status().st_size, 4096);
        writer_.close();
    }
}

TEST_F(BellTest, rubbish_in_it_costs_a_ring) {
    Handle reader = open_reader(name_);
    commit_chunk(writer_, "the first one needs memory for its record");
    std::memset(static_cast<void *>(&page()), 0xa5, sizeof(core::BellPage));
    faults_.reset_counts();
    commit_chunk(writer_, "a");
    EXPECT_LE(all_calls(), 2u);
    faults_.reset_counts();
    commit_chunk(writer_, "b");
    EXPECT_EQ(all_calls(), 0u);
    EXPECT_EQ(speculo_wait(reader, -1), 1);
    read_all(reader);
    EXPECT_EQ(speculo_wait(reader, soon), 0);
}

TEST_F(BellTest, something_else_at_its_name_is_replaced) {
    writer_.close();
    std::string path = name_.path("@bell");
    ASSERT_EQ(unlink(path.c_str()), 0);
    ASSERT_EQ(symlink("/etc/passwd", path.c_str()), 0);
    Handle reader = open_reader(name_);
    speculo_wait(reader, soon);
    writer_ = open_writer(name_);
    struct stat found = {};
    ASSERT_EQ(lstat(path.c_str(), &found), 0);
    EXPECT_TRUE(S_ISREG(found.st_mode));
    writer_.close();
    ASSERT_EQ(unlink(path.c_str()), 0);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
    writer_ = open_writer(name_);
    EXPECT_TRUE(S_ISREG(status().st_mode));
}

// Who asks is another user, as far as the library can tell; the kernel may not even object.
TEST_F(BellTest, strangers_do_not_write_it) {
    AreaOptions options;
    options.flags = SPECULO_AREA_TRUST_UID;
    options.trusted_uid = status().st_uid;
    faults_.set_user(status().st_uid + 1);
    Handle reader = open_area(name_, 0, &options);
    EXPECT_EQ(speculo_wait(reader, soon), 0);
    const core::Bell &bell = static_cast<core::Reader *>(static_cast<speculo_area *>(reader))->waiting.bell;
    EXPECT_NE(bell.page, nullptr);
    EXPECT_FALSE(bell.is_writable);
    EXPECT_FALSE(core::is_flag_set(page().sleepers));
    faults_.set_user(status().st_uid);
}

} // namespace
