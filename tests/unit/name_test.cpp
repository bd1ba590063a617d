// SPDX-License-Identifier: LGPL-2.1-or-later
// Names of areas, where they lead to, and the names of the objects that belong to them.
#include "name.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

#include "area_names.hpp"
#include "faults.hpp"
#include "layout.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using core::Place;

class Name : public testing::Test {
protected:
    // What place_open says; nothing stays open.
    int check(const std::string &name) {
        Place place;
        int error = core::place_open(name.c_str(), place);
        if (error == 0) { last = place.name; }
        if (error == 0) { directory = inode_of(place.directory); }
        if (error < 0) { EXPECT_EQ(place.directory, -1) << name; }
        core::place_close(place);
        EXPECT_EQ(faults.leaks(), "") << name;
        return error;
    }
    uint64_t inode_of(int fd) {
        os::FileStatus status;
        EXPECT_EQ(os::operations.status(fd, &status), 0);
        return status.inode;
    }
    uint64_t inode_of(const char *path) {
        int fd = os::operations.open_directory(path);
        uint64_t inode = inode_of(fd);
        os::operations.close(fd);
        return inode;
    }

    Faults faults;
    std::string last;   // the last part of the last good name
    uint64_t directory; // where it leads to
};

TEST_F(Name, plain_names_live_with_shared_memory) {
    for (const char *name : {"weather", "/weather"}) {
        ASSERT_EQ(check(name), 0);
        EXPECT_EQ(last, "weather");
        EXPECT_EQ(directory, inode_of(area_directory()));
    }
}

TEST_F(Name, paths_lead_to_their_directory) {
    ASSERT_EQ(check("/tmp/weather"), 0);
    EXPECT_EQ(last, "weather");
    EXPECT_EQ(directory, inode_of("/tmp"));
    ASSERT_EQ(check("//weather"), 0); // a slash further on: a file of the root
    EXPECT_EQ(directory, inode_of("/"));
    ASSERT_EQ(check("/tmp/../tmp/./weather"), 0); // only the last part is the area's
    EXPECT_EQ(directory, inode_of("/tmp"));
}

TEST_F(Name, relative_paths_are_refused) {
    for (const char *name : {"tmp/weather", "./weather", "../weather", "weather/", "a/", "weather/x"}) {
        EXPECT_EQ(check(name), -EINVAL) << name;
    }
}

TEST_F(Name, has_1_to_200_bytes) {
    EXPECT_EQ(check(""), -EINVAL);
    EXPECT_EQ(check("/"), -EINVAL);
    EXPECT_EQ(check("/tmp/"), -EINVAL);
    EXPECT_EQ(check("a"), 0);
    EXPECT_EQ(check(std::string(200, 'a')), 0);
    EXPECT_EQ(last, std::string(200, 'a'));
    EXPECT_EQ(check("/" + std::string(200, 'a')), 0);
    EXPECT_EQ(check("/tmp/" + std::string(200, 'a')), 0);
    EXPECT_EQ(check(std::string(201, 'a')), -EINVAL);
    EXPECT_EQ(check("/tmp/" + std::string(201, 'a')), -EINVAL);
    EXPECT_EQ(check(std::string(100000, 'a')), -EINVAL);
}

TEST_F(Name, is_made_of_plain_bytes) {
    const std::string allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    for (int byte = 1; byte < 256; ++byte) {
        if (byte == '/') { continue; }
        bool is_allowed = allowed.find(char(byte)) != std::string::npos;
        EXPECT_EQ(check(std::string("a") + char(byte)), is_allowed ? 0 : -EINVAL) << byte;
        EXPECT_EQ(check(std::string("/tmp/a") + char(byte)), is_allowed ? 0 : -EINVAL) << byte;
    }
}

TEST_F(Name, does_not_begin_with_a_dot) {
    for (const char *name : {".", "..", ".weather", "/.", "/..", "/.weather", "/tmp/.", "/tmp/..", "/tmp/.weather"}) {
        EXPECT_EQ(check(name), -EINVAL) << name;
    }
}

TEST_F(Name, says_what_is_wrong_with_the_directory) {
    EXPECT_EQ(check("/speculo-no-such-directory/weather"), -ENOENT);
    EXPECT_EQ(check("/etc/passwd/weather"), -ENOTDIR);
    EXPECT_EQ(check("/" + std::string(5000, 'a') + "/weather"), -EINVAL); // longer than any path
}

TEST_F(Name, passes_on_what_the_system_says) {
    for (int error : site_errors(Site::open_directory)) {
        faults.fail_from(Site::open_directory, 1, error);
        EXPECT_EQ(check("weather"), -error);
        EXPECT_EQ(check("/tmp/weather"), -error);
        faults.heal();
        faults.reset_counts();
    }
}

TEST_F(Name, a_bad_one_asks_nothing_of_the_system) {
    for (const char *name : {"", "a/b", ".a", "a@b", "/tmp/a b"}) { check(name); }
    EXPECT_EQ(faults.calls(Site::open_directory), 0u);
}

TEST_F(Name, a_place_may_be_closed_twice) {
    Place place;
    ASSERT_EQ(core::place_open("weather", place), 0);
    core::place_close(place);
    core::place_close(place);
    EXPECT_EQ(faults.leaks(), "");
}

// ---- objects ----------------------------------------------------------------------------------------------------------------

Place place_named(const std::string &name) {
    Place place;
    name.copy(place.name, name.size());
    place.name[name.size()] = '\0';
    return place;
}

TEST(ObjectNames, are_the_area_s_with_an_at_sign) { // frozen: `remove` works on any version
    Place place = place_named("weather");
    EXPECT_STREQ(core::lock_name(place).text, "weather@lock");
    EXPECT_STREQ(core::segment_name(place, 0, 1).text, "weather@0.00000001");
    EXPECT_STREQ(core::segment_name(place, 9, 0xdeadbeef).text, "weather@9.deadbeef");
    EXPECT_STREQ(core::segment_name(place, 10, 0x0badcafe).text, "weather@10.0badcafe");
    EXPECT_STREQ(core::segment_name(place, 20, 0).text, "weather@20.00000000");
    EXPECT_STREQ(core::segment_name(place, core::max_slots - 1, 0xffffffff).text, "weather@31.ffffffff");
    EXPECT_STREQ(core::temporary_name(place, 0x1234).text, "weather@new.00001234");
}

TEST(ObjectNames, have_room_for_the_longest) {
    std::string name(core::max_name_size, 'x');
    Place place = place_named(name);
    EXPECT_EQ(core::segment_name(place, core::max_slots - 1, 0xffffffff).text, name + "@31.ffffffff");
    EXPECT_EQ(core::temporary_name(place, 0xffffffff).text, name + "@new.ffffffff");
    EXPECT_EQ(core::lock_name(place).text, name + "@lock");
    EXPECT_LE((name + "@new.ffffffff").size(), size_t(255)); // what file systems take
}

TEST(ObjectNames, no_two_are_the_same) {
    std::set<std::string> names;
    Place place = place_named("a");
    for (uint32_t slot = 0; slot < core::max_slots; ++slot) {
        for (int bit = 0; bit < 32; ++bit) { names.insert(core::segment_name(place, slot, 1u << bit).text); }
    }
    for (int bit = 0; bit < 32; ++bit) { names.insert(core::temporary_name(place, 1u << bit).text); }
    names.insert(core::lock_name(place).text);
    EXPECT_EQ(names.size(), core::max_slots * 32u + 32 + 1);
}

TEST(ObjectNames, belong_to_one_area) {
    Place place = place_named("weather");
    for (const char *name : {"weather@lock", "weather@bell", "weather@0.00000001", "weather@15.89abcdef", "weather@new.0123abcd",
                             "weather@later.01234567"}) {
        EXPECT_TRUE(core::is_object_of(place, name)) << name;
    }
    // What other programs may call their files.
    for (const char *name :
         {"weather@", "weather@home", "weather@lock2", "weather@bel", "weather@1", "weather@1.", "weather@.01234567",
          "weather@1.0123456", "weather@1.012345678", "weather@1.0123456g", "weather@1.ABCDEF01", "weather@a-b.01234567",
          "weather@ninechars.01234567", "weather@2024.01.02", "weather@1.01234567~"}) {
        EXPECT_FALSE(core::is_object_of(place, name)) << name;
    }
    for (const char *name : {"weather", "weather2@lock", "weathe@lock", "weather.@lock", "w", "", "@lock", "Weather@lock"}) {
        EXPECT_FALSE(core::is_object_of(place, name)) << name;
    }
    EXPECT_TRUE(core::is_same_name(core::lock_name(place), "weather@lock"));
    EXPECT_FALSE(core::is_same_name(core::lock_name(place), "weather@lock2"));
    EXPECT_FALSE(core::is_same_name(core::lock_name(place), "weather@loc"));
}

} // namespace
