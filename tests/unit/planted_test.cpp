// SPDX-License-Identifier: LGPL-2.1-or-later
// What may stand at an area's name instead of its control page, and what each side says of it.
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <sstream>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.hpp"
#include "faults.hpp"
#include "probe.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

constexpr uint32_t write_or_create = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE;

class Planted : public testing::Test {
protected:
    ~Planted() override { EXPECT_EQ(faults.leaks(), ""); }

    // What is no area is neither removed, nor does an attempt to write there leave anything beside it.
    void expect_no_area() {
        EXPECT_EQ(speculo_area_remove(name.c_str()), -EBADMSG);
        EXPECT_EQ(name.files().size(), 1u);
        EXPECT_EQ(unlink(name.path().c_str()), 0);
    }

    // What a reader, a writer, and a writer that would create say.
    void expect(int reader, int writer) {
        EXPECT_EQ(try_open(name, 0), reader);
        EXPECT_EQ(try_open(name, SPECULO_OPEN_NO_CURSOR), reader);
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), writer);
        EXPECT_EQ(try_open(name, write_or_create), writer);
    }
    void expect_of_page(std::function<void(core::ControlPage &)> change, int reader, int writer) {
        make_area(name).close();
        page(change);
        expect(reader, writer);
        EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
        EXPECT_TRUE(name.files().empty());
    }
    // Changes the page behind everybody's back.
    void page(const std::function<void(core::ControlPage &)> &change) {
        int fd = open(name.path().c_str(), O_RDWR | O_CLOEXEC);
        core::ControlPage copy;
        ASSERT_EQ(pread(fd, static_cast<void *>(&copy), sizeof copy, 0), ssize_t(sizeof copy));
        change(copy);
        ASSERT_EQ(pwrite(fd, static_cast<const void *>(&copy), sizeof copy, 0), ssize_t(sizeof copy));
        close(fd);
    }
    void plant_file(const std::string &bytes) { std::ofstream(name.path(), std::ios::binary) << bytes; }
    std::string bytes() const {
        std::stringstream all;
        all << std::ifstream(name.path(), std::ios::binary).rdbuf();
        return all.str();
    }
    // A sound control page of another area.
    std::string sound_page() {
        AreaName other;
        make_area(other).close();
        std::stringstream all;
        all << std::ifstream(other.path(), std::ios::binary).rdbuf();
        return all.str();
    }

    Faults faults;
    AreaName name;
};

// ---- other things than files --------------------------------------------------------------------------------------------------

TEST_F(Planted, a_fifo_blocks_nobody) {
    ASSERT_EQ(mkfifo(name.path().c_str(), 0600), 0);
    expect(-EBADMSG, -EBADMSG);
    expect_no_area();
}

TEST_F(Planted, a_directory) {
    ASSERT_EQ(mkdir(name.path().c_str(), 0700), 0);
    expect(-EBADMSG, -EBADMSG);
    EXPECT_EQ(speculo_area_remove(name.c_str()), -EBADMSG);
    ASSERT_EQ(rmdir(name.path().c_str()), 0);
}

TEST_F(Planted, a_socket) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(name.path().size(), sizeof address.sun_path);
    name.path().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
    expect(-ENXIO, -ENXIO);
    expect_no_area();
    close(fd);
}

TEST_F(Planted, a_symbolic_link_is_not_followed) {
    AreaName other;
    make_area(other).close();
    ASSERT_EQ(symlink(other.path().c_str(), name.path().c_str()), 0);
    expect(-ELOOP, -ELOOP);
    expect_no_area();
    EXPECT_EQ(try_open(other, 0), 0) << "what it led to is still there";
}

TEST_F(Planted, nothing_is_created_behind_a_symbolic_link) {
    std::string target = name.path("@target");
    ASSERT_EQ(symlink(target.c_str(), name.path().c_str()), 0);
    expect(-ELOOP, -ELOOP);
    EXPECT_NE(access(target.c_str(), F_OK), 0);
    expect_no_area();
}

TEST_F(Planted, a_hard_link) {
    make_area(name).close();
    std::string second = name.path() + ".link";
    ASSERT_EQ(link(name.path().c_str(), second.c_str()), 0);
    expect(-EPERM, -EPERM);
    ASSERT_EQ(unlink(second.c_str()), 0);
    expect(0, 0);
}

// ---- files of others --------------------------------------------------------------------------------------------------------

TEST_F(Planted, what_others_may_write_is_not_believed) {
    make_area(name).close();
    for (mode_t mode : {0620, 0602, 0622, 0666, 0660}) {
        ASSERT_EQ(chmod(name.path().c_str(), mode), 0);
        expect(-EPERM, -EPERM);
    }
    for (mode_t mode : {0600, 0640, 0644}) {
        ASSERT_EQ(chmod(name.path().c_str(), mode), 0);
        expect(0, 0);
    }
}

// Who asks is another user, as far as the library can tell.
TEST_F(Planted, the_owner_decides) {
    make_area(name).close();
    os::FileStatus status;
    int directory = os::operations.open_directory(area_directory());
    ASSERT_EQ(os::operations.status_at(directory, name.path().substr(std::strlen(area_directory()) + 1).c_str(), &status), 0);
    os::operations.close(directory);
    bool is_root = status.uid == 0;
    faults.set_user(status.uid + 1);
    expect(is_root ? 0 : -EPERM, -EPERM); // readers believe root
    AreaOptions options;
    options.flags = SPECULO_AREA_TRUST_UID;
    options.trusted_uid = status.uid;
    EXPECT_EQ(try_open(name, 0, &options), 0);
    options.trusted_uid = status.uid + 2;
    EXPECT_EQ(try_open(name, 0, &options), is_root ? 0 : -EPERM);
    EXPECT_EQ(speculo_area_remove(name.c_str()), -EPERM);
    faults.set_user(status.uid);
}

// Root's are everybody's, so its page is given away here.
TEST_F(Planted, the_owner_of_the_page_is_believed_by_himself_and_by_who_names_him) {
    make_area(name).close();
    uid_t owner = geteuid() == 0 ? 1000 : geteuid();
    ASSERT_EQ(chown(name.path().c_str(), owner, gid_t(-1)), 0);
    faults.set_user(owner);
    expect(0, 0);
    faults.set_user(owner + 1);
    auto expect_reader = [&](uint32_t flags, uid_t trusted, int expected) {
        AreaOptions options;
        options.flags = flags;
        options.trusted_uid = trusted;
        speculo_area *reader = nullptr;
        EXPECT_EQ(speculo_area_open(name.c_str(), 0, &options, &reader), expected);
        speculo_area_close(reader);
    };
    expect_reader(0, 0, -EPERM);
    expect_reader(SPECULO_AREA_TRUST_UID, owner, 0);
    expect_reader(SPECULO_AREA_TRUST_UID, owner + 2, -EPERM);
    EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), -EPERM);
    faults.set_user(owner);
}

// What is locked there would be nobody's role.
TEST_F(Planted, a_fifo_in_place_of_the_lock) {
    make_area(name).close();
    std::string lock = name.path("@lock");
    ASSERT_EQ(unlink(lock.c_str()), 0);
    ASSERT_EQ(mkfifo(lock.c_str(), 0600), 0);
    expect(0, -EPERM);
    EXPECT_EQ(speculo_area_remove(name.c_str()), -EPERM);
    ASSERT_EQ(unlink(lock.c_str()), 0);
}

// ---- other contents -----------------------------------------------------------------------------------------------------------

TEST_F(Planted, P10_a_file_that_is_too_short) {
    const std::string page = sound_page();
    for (size_t size : {0, 1, 8, 16, 64, 4095}) {
        plant_file(page.substr(0, size));
        expect(-EBADMSG, -EBADMSG);
        EXPECT_EQ(bytes(), page.substr(0, size)) << "it was somebody's";
        bool begins_like_one = size >= sizeof core::control_magic;
        EXPECT_EQ(speculo_area_remove(name.c_str()), begins_like_one ? 0 : -EBADMSG);
        EXPECT_EQ(unlink(name.path().c_str()), begins_like_one ? -1 : 0);
    }
}

TEST_F(Planted, P10_another_magic) {
    for (const std::string &content : {std::string(4096, '\0'), std::string(8192, 'x'), "\x7f" + std::string(4096, 'E')}) {
        plant_file(content);
        expect(-EBADMSG, -EBADMSG);
        EXPECT_EQ(bytes(), content);
        expect_no_area();
    }
}

TEST_F(Planted, P10_a_page_without_its_segments) {
    plant_file(sound_page());
    chmod(name.path().c_str(), 0600);
    EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), -EBADMSG);
    EXPECT_LT(try_open(name, 0), 0);
}

TEST_F(Planted, another_byte_order) {
    expect_of_page([](auto &page) { put(page.magic, __builtin_bswap64(core::control_magic)); }, -EPROTONOSUPPORT,
                   -EPROTONOSUPPORT);
    expect_of_page([](auto &page) { put(page.byte_order, 0x04030201u); }, -EBADMSG, -EBADMSG); // contradicts the magic
}

TEST_F(Planted, another_version) {
    for (uint32_t version : {0u, core::format_version - 1, core::format_version + 1, UINT32_MAX}) {
        expect_of_page([=](auto &page) { put(page.version, version); }, -EPROTONOSUPPORT, -EPROTONOSUPPORT);
    }
}

TEST_F(Planted, each_flag_of_a_later_release_says_who_may_go_on) {
    for (int bit = 0; bit < 32; ++bit) {
        uint32_t flag = 1u << bit;
        expect_of_page([=](auto &page) { put(page.incompatible, flag); }, -EPROTONOSUPPORT, -EPROTONOSUPPORT);
        expect_of_page([=](auto &page) { put(page.read_compatible, flag); }, 0, -EPROTONOSUPPORT);
        expect_of_page([=](auto &page) { put(page.compatible, flag); }, 0, 0);
    }
}

TEST_F(Planted, P10_another_size_of_the_page) {
    for (uint32_t size : {0u, 4095u, 8192u, UINT32_MAX}) {
        expect_of_page([=](auto &page) { put(page.size, size); }, -EBADMSG, -EBADMSG);
    }
}

TEST_F(Planted, P10_choices_that_nobody_can_have_made) {
    auto damaged = [&](std::function<void(core::ControlPage &)> change) { expect_of_page(change, 0, -EBADMSG); };
    damaged([](auto &page) { put(page.segments, 0u); });
    damaged([](auto &page) { put(page.segments, 1u); });
    damaged([](auto &page) { put(page.segments, 17u); });
    damaged([](auto &page) { put(page.capacity, uint64_t(0)); });
    damaged([](auto &page) { put(page.capacity, uint64_t(4097)); });
    damaged([](auto &page) { put(page.capacity, UINT64_MAX); });
    damaged([](auto &page) { put(page.max_capacity, UINT64_MAX); });
    damaged([](auto &page) { put(page.max_capacity, uint64_t(4097)); });
    damaged([](auto &page) { put(page.compact_percent, 101u); });
}

TEST_F(Planted, P10_a_current_segment_that_is_none) {
    for (uint64_t current :
         {core::pack_current(1, 1), core::pack_current(1, core::max_slots - 1), core::pack_current(2, 0), UINT64_MAX}) {
        make_area(name).close();
        page([=](auto &page) { put(page.current, current); });
        int error = try_open(name, 0);
        EXPECT_TRUE(error == -EAGAIN || error == -ENOENT || error == -EBADMSG) << error;
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), -EBADMSG);
        EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    }
}

// Under the name of the area's segment, and sound in itself.
TEST_F(Planted, P10_a_segment_of_something_else) {
    auto expect_of_header = [&](std::function<void(core::SegmentHeader &)> change, int reader, int writer) {
        Handle maker = make_area(name);
        commit_chunk(maker, "x");
        maker.close();
        {
            SegmentProbe segment = current_segment(name);
            change(segment.map().header());
        }
        EXPECT_EQ(try_open(name, 0), reader);
        EXPECT_EQ(try_open(name, SPECULO_OPEN_WRITE), writer);
        EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    };
    expect_of_header([](auto &header) { put(header.magic, core::control_magic); }, -EBADMSG, -EBADMSG);
    expect_of_header([](auto &header) { put(header.version, core::format_version + 1); }, -EPROTONOSUPPORT, -EBADMSG);
    expect_of_header([](auto &header) { put(header.byte_order, 0x04030201u); }, -EBADMSG, -EBADMSG);
    for (int half : {0, 1}) {
        expect_of_header([=](auto &header) { put(header.area_id[half], ~core::peek(header.area_id[half])); }, -EBADMSG, -EBADMSG);
    }
    expect_of_header([](auto &header) { put(header.slot, 1u); }, -EAGAIN, -EBADMSG);
    expect_of_header([](auto &header) { put(header.incarnation, 2u); }, -EAGAIN, -EBADMSG);
    expect_of_header([](auto &header) { put(header.table_slots, core::peek(header.table_slots) + 1); }, -EBADMSG, -EBADMSG);
    expect_of_header([](auto &header) { put(header.capacity, UINT64_MAX); }, -EBADMSG, -EBADMSG);
}

// ---- remove -----------------------------------------------------------------------------------------------------------------

TEST_F(Planted, remove_works_on_any_version_and_whatever_else_there_is) {
    const std::function<void(core::ControlPage &)> changes[] = {
        [](auto &page) { put(page.version, 99u); },
        [](auto &page) { put(page.incompatible, UINT32_MAX); },
        [](auto &page) { put(page.read_compatible, UINT32_MAX); },
        [](auto &page) { put(page.magic, __builtin_bswap64(core::control_magic)); },
        [](auto &page) { put(page.magic, uint64_t(0)); },
        [](auto &page) { std::memset(static_cast<void *>(&page), 0xff, sizeof page); },
    };
    for (const auto &change : changes) {
        Handle writer = make_area(name);
        compact_now(writer);
        std::ofstream(name.path("@later.0123abcd")) << "x";
        page(change);
        EXPECT_EQ(speculo_area_remove(name.c_str()), -EBUSY) << "a writer lives";
        EXPECT_GE(name.files().size(), 4u);
        writer.close();
        EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
        EXPECT_TRUE(name.files().empty());
        EXPECT_EQ(speculo_area_remove(name.c_str()), -ENOENT);
    }
}

// Where the lock was taken away by hand, the beginning tells.
TEST_F(Planted, remove_knows_a_page_alone_in_either_byte_order) {
    plant_file(sound_page());
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    plant_file(sound_page());
    page([](auto &page) { put(page.magic, __builtin_bswap64(core::control_magic)); });
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
}

TEST_F(Planted, P9_what_cannot_be_looked_at_is_not_removed) {
    const std::pair<Site, int> failures[] = {{Site::open, EMFILE}, {Site::read_at, EIO}};
    for (auto [site, error] : failures) {
        plant_file(sound_page());
        faults.reset_counts();
        faults.fail(site, 1, error);
        EXPECT_EQ(speculo_area_remove(name.c_str()), -error);
        faults.heal();
        EXPECT_EQ(name.files().size(), 1u);
        EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    }
    plant_file(sound_page());
    faults.reset_counts();
    faults.fail(Site::status_at, 2, ENOENT); // it goes between two looks
    EXPECT_EQ(speculo_area_remove(name.c_str()), -ENOENT);
    faults.heal();
}

TEST_F(Planted, remove_marks_no_page_of_another_version) {
    make_area(name).close();
    page([](auto &page) { put(page.version, core::format_version + 1); });
    std::string before = bytes();
    int fd = open(name.path().c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    std::string after(before.size(), '\0');
    EXPECT_EQ(pread(fd, after.data(), after.size(), 0), ssize_t(after.size()));
    EXPECT_EQ(after, before) << "nobody knows what its bytes mean";
    close(fd);
}

TEST_F(Planted, remove_takes_nothing_of_other_areas) {
    std::string stranger = name.path() + "x@0.00000001", almost = name.path() + ".x";
    std::ofstream(stranger) << "x";
    std::ofstream(almost) << "x";
    make_area(name).close();
    EXPECT_EQ(speculo_area_remove(name.c_str()), 0);
    EXPECT_EQ(unlink(stranger.c_str()), 0);
    EXPECT_EQ(unlink(almost.c_str()), 0);
}

} // namespace
