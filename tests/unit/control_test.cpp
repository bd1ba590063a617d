// SPDX-License-Identifier: LGPL-2.1-or-later
// The control page and what every handle knows of its area: creation, owner and mode, staleness, marks, boots, the sign of life.
#include "control.hpp"

#include <gtest/gtest.h>

#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include "area_names.hpp"
#include "faults.hpp"
#include "writing.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;
using namespace speculo::core;

using BootId = std::array<uint8_t, 16>;
constexpr BootId first_boot = {1}, second_boot = {2}, third_boot = {3};

// The control page of an area as one handle has it open.
class Opened : public Area {
public:
    explicit Opened(const AreaName &name) { EXPECT_EQ(place_open(name.c_str(), place), 0); }
    ~Opened() {
        control_close(*this);
        place_close(place);
    }
    Opened(const Opened &) = delete;
    Opened &operator=(const Opened &) = delete;

    int create(uint32_t mode = 0600) { return control_create(*this, Choices{1 << 20, 2 << 20, mode, 50, 5, 1}); }
    int open(os::Access access) { return control_open(*this, access, Trust{os::operations.user(), false, 0, false}); }
};

class Control : public testing::Test {
protected:
    ~Control() override { faults.heal(); }
    mode_t mode_of_file() const {
        struct stat status;
        EXPECT_EQ(stat(name.path().c_str(), &status), 0);
        return status.st_mode & 07777;
    }

    Faults faults;
    AreaName name;
};

TEST_F(Control, is_created_complete) {
    Opened area(name);
    mode_t before = umask(0777);
    ASSERT_EQ(area.create(0640), 0);
    umask(before);
    const ControlPage &page = *area.control;
    EXPECT_EQ(peek(page.magic), control_magic);
    EXPECT_EQ(peek(page.version), format_version);
    EXPECT_EQ(peek(page.byte_order), byte_order_tag);
    EXPECT_EQ(peek(page.size), 4096u);
    EXPECT_EQ(peek(page.capacity), 1u << 20);
    EXPECT_EQ(peek(page.max_capacity), 2u << 20);
    EXPECT_EQ(peek(page.compact_percent), 50u);
    EXPECT_EQ(peek(page.segments), 5u);
    EXPECT_EQ(peek(page.flags), 1u);
    EXPECT_EQ(peek(page.current), 0u);
    EXPECT_EQ(peek(page.writers), 0u);
    EXPECT_EQ(mode_of_file(), 0640u);
    uint32_t mode = 0;
    EXPECT_EQ(control_mode(area, mode), 0);
    EXPECT_EQ(mode, 0640u);
    EXPECT_EQ(area.owner, geteuid());
}

TEST_F(Control, each_area_has_an_id_of_its_own) {
    AreaName other;
    Opened a(name), b(other);
    ASSERT_EQ(a.create(), 0);
    ASSERT_EQ(b.create(), 0);
    EXPECT_NE(peek(a.control->area_id[0]), peek(b.control->area_id[0]));
    EXPECT_NE(peek(a.control->area_id[1]), peek(b.control->area_id[1]));
}

TEST_F(Control, is_not_created_over_another) {
    Opened one(name), other(name);
    ASSERT_EQ(one.create(), 0);
    EXPECT_EQ(other.create(), -EEXIST);
    EXPECT_EQ(other.control, nullptr);
    EXPECT_EQ(name.files().size(), 1u);
}

TEST_F(Control, P9_failing_to_be_created_leaves_nothing) {
    int failures = 0;
    for (size_t i = 0; i < site_count; ++i) {
        for (int error : site_errors(site_at(i))) {
            for (uint64_t call = 1;; ++call) {
                Opened area(name);
                size_t descriptors = faults.descriptors();
                faults.reset_counts();
                faults.fail_from(site_at(i), call, error);
                int result = area.create();
                bool was_tried = faults.fired() > 0;
                faults.heal();
                std::string where = std::string(site_name(site_at(i))) + " " + std::to_string(error);
                if (result == 0) {
                    ASSERT_EQ(unlink(name.path().c_str()), 0) << where;
                    if (!was_tried) { break; }
                    continue;
                }
                ++failures;
                EXPECT_EQ(area.control, nullptr) << where;
                EXPECT_EQ(faults.descriptors(), descriptors) << where;
                EXPECT_EQ(faults.mappings(), 0u) << where;
                unlink(name.path().c_str()); // it may have had its name already; the role's owner takes that back
                EXPECT_TRUE(name.files().empty()) << where;
            }
        }
    }
    EXPECT_GT(failures, 30);
    EXPECT_EQ(faults.leaks(), "");
}

TEST_F(Control, P1_readers_map_it_read_only) {
    Opened writer(name), reader(name);
    ASSERT_EQ(writer.create(), 0);
    ASSERT_EQ(reader.open(os::Access::read), 0);
    EXPECT_DEATH(put(reader.control->marks, 1u), "");
    put(writer.control->marks, 5u);
    EXPECT_EQ(peek(reader.control->marks), 5u);
}

TEST_F(Control, objects_are_dressed_like_the_area) {
    Opened area(name);
    ASSERT_EQ(area.create(0644), 0);
    Unnamed object;
    ASSERT_EQ(object_begin(area.place, object), 0);
    EXPECT_EQ(control_dress(area, object.fd), 0);
    os::FileStatus status;
    EXPECT_EQ(os::operations.status(object.fd, &status), 0);
    EXPECT_EQ(status.mode, 0644u);
    EXPECT_EQ(faults.calls(Site::set_owner), 0u) << "it is the owner's already";
    area.owner += 1;                        // root took over somebody's area
    faults.fail(Site::set_owner, 1, EPERM); // not root: at least it was asked for
    EXPECT_EQ(control_dress(area, object.fd), -EPERM);
    EXPECT_EQ(faults.calls(Site::set_owner), 1u);
    area.owner -= 1;
    object_abandon(area.place, object);
    EXPECT_EQ(name.files().size(), 1u);
}

TEST_F(Control, objects_of_others_are_not_the_area_s) {
    Opened area(name);
    ASSERT_EQ(area.create(), 0);
    auto check = [&](auto change) {
        os::FileStatus status{};
        status.uid = area.owner;
        status.mode = 0600;
        status.links = 1;
        status.regular = true;
        change(status);
        return control_check_object(area, status);
    };
    EXPECT_EQ(check([](auto &) {}), 0);
    EXPECT_EQ(check([](auto &status) { status.uid = 0; }), 0); // root may have written for the owner
    EXPECT_EQ(check([](auto &status) { status.uid += 7; }), -EPERM);
    EXPECT_EQ(check([](auto &status) { status.links = 0; }), -ENOENT);
    EXPECT_EQ(check([](auto &status) { status.links = 2; }), -EPERM);
    EXPECT_EQ(check([](auto &status) { status.mode = 0620; }), -EPERM);
    EXPECT_EQ(check([](auto &status) { status.mode = 0602; }), -EPERM);
    EXPECT_EQ(check([](auto &status) { status.mode = 0644; }), 0);
    EXPECT_EQ(check([](auto &status) { status.regular = false; }), -EBADMSG);
}

// ---- staleness --------------------------------------------------------------------------------------------------------------

TEST_F(Control, is_stale_when_its_name_is_gone_or_it_is_marked) {
    Opened area(name);
    ASSERT_EQ(area.create(), 0);
    EXPECT_FALSE(control_is_stale(area));
    publish_mark(area.control->marks, mark_removed);
    EXPECT_TRUE(control_is_stale(area));
    publish_mark(area.control->marks, 0);
    ASSERT_EQ(unlink(name.path().c_str()), 0);
    EXPECT_TRUE(control_is_stale(area));
    faults.fail_from(Site::status, faults.calls(Site::status) + 1, EIO);
    EXPECT_FALSE(control_is_stale(area)) << "not to be known";
}

TEST_F(Control, P11_its_name_is_looked_for_once_a_tick) {
    Opened area(name);
    ASSERT_EQ(area.create(), 0);
    uint64_t named = 0, calls = faults.calls(Site::status);
    EXPECT_FALSE(control_is_stale_at(area, 7, named));
    EXPECT_FALSE(control_is_stale_at(area, 7, named));
    EXPECT_EQ(faults.calls(Site::status), calls + 1);
    publish_mark(area.control->marks, mark_removed);
    EXPECT_TRUE(control_is_stale_at(area, 7, named)) << "a removal is told at once";
    publish_mark(area.control->marks, 0);
    ASSERT_EQ(unlink(name.path().c_str()), 0);
    EXPECT_FALSE(control_is_stale_at(area, 7, named));
    for (int i = 0; i < 2; ++i) { EXPECT_TRUE(control_is_stale_at(area, 8, named)); }
    uint64_t never = 0;
    EXPECT_TRUE(control_is_stale_at(area, 0, never)) << "without a clock each time";
}

TEST_F(Control, may_be_closed_twice) {
    Opened area(name);
    ASSERT_EQ(area.create(), 0);
    control_close(area);
    control_close(area);
    place_close(area.place);
    EXPECT_EQ(faults.leaks(), "");
}

// ---- boots --------------------------------------------------------------------------------------------------------------------

// An area on a disk, as far as the library can tell.
class ControlOnDisk : public Control {
protected:
    ControlOnDisk() {
        faults.set_boot_id(first_boot);
        EXPECT_EQ(area.create(), 0);
        area.medium = os::Medium::disk;
    }
    Opened area{name};
};

Boot boot_of(const Area &area) {
    Boot boot = Boot::unclean;
    EXPECT_EQ(control_boot(area, boot), 0);
    return boot;
}

TEST_F(ControlOnDisk, tells_boots_apart) {
    EXPECT_EQ(boot_of(area), Boot::same);
    faults.set_boot_id(second_boot);
    EXPECT_EQ(boot_of(area), Boot::unclean);
    EXPECT_EQ(control_mark_clean(area, true), 0);
    EXPECT_EQ(boot_of(area), Boot::clean);
    EXPECT_EQ(control_mark_clean(area, false), 0);
    EXPECT_EQ(boot_of(area), Boot::unclean);
    area.medium = os::Medium::memory; // which outlived nothing
    EXPECT_EQ(boot_of(area), Boot::same);
}

TEST_F(ControlOnDisk, P9_says_when_boots_cannot_be_told_apart) {
    faults.set_boot_id(second_boot);
    faults.fail_from(Site::boot_id, faults.calls(Site::boot_id) + 1, EMFILE);
    Boot boot;
    EXPECT_EQ(control_boot(area, boot), -EMFILE); // rather than believe what a power cut left, or disbelieve what is sound
}

TEST_F(ControlOnDisk, P8_a_recovery_that_was_begun_may_be_begun_again) {
    EXPECT_EQ(control_mark_clean(area, true), 0);
    faults.set_boot_id(second_boot);
    EXPECT_EQ(control_begin_recovery(area), 0);
    EXPECT_EQ(control_mark_clean(area, false), 0);
    EXPECT_EQ(boot_of(area), Boot::clean) << "its writer died before it was done";
    faults.set_boot_id(third_boot);
    EXPECT_EQ(boot_of(area), Boot::unclean) << "and the machine too";
    faults.set_boot_id(second_boot);
    EXPECT_EQ(control_end_recovery(area), 0);
    EXPECT_EQ(boot_of(area), Boot::same);
}

TEST_F(ControlOnDisk, marks_are_written_back_once_and_only_on_disks) {
    faults.reset_counts();
    EXPECT_EQ(control_mark_clean(area, true), 0);
    EXPECT_EQ(control_mark_clean(area, true), 0);
    EXPECT_EQ(faults.calls(Site::sync), 1u);
    faults.fail_from(Site::sync, 2, EIO);
    EXPECT_EQ(control_mark_clean(area, false), -EIO);
    EXPECT_EQ(control_begin_recovery(area), -EIO);
    area.medium = os::Medium::memory;
    EXPECT_EQ(control_mark_clean(area, true), 0);
    EXPECT_FALSE(peek(area.control->marks) & mark_clean);
}

// ---- the sign of life -------------------------------------------------------------------------------------------------------

constexpr int alive = os::has_range_locks ? 1 : -EOPNOTSUPP, none = os::has_range_locks ? 0 : -EOPNOTSUPP;

TEST_F(Control, readers_see_the_writer_s_sign_of_life) {
    Opened writer(name), reader(name);
    ASSERT_EQ(writer.create(), 0);
    ASSERT_EQ(reader.open(os::Access::read), 0);
    EXPECT_EQ(liveness_query(reader), none);
    liveness_show(writer);
    EXPECT_EQ(liveness_query(reader), alive);
    liveness_end(writer);
    EXPECT_EQ(liveness_query(reader), none);
}

TEST_F(Control, a_writer_that_cannot_show_itself_is_said_to_live) {
    Opened writer(name), reader(name);
    ASSERT_EQ(writer.create(), 0);
    ASSERT_EQ(reader.open(os::Access::read), 0);
    os::operations.lock(reader.control_fd.fd, os::Lock::shared, 0, 1); // hostile, and first
    liveness_show(writer);
    EXPECT_EQ(peek(writer.control->marks), mark_writer_unknown);
    EXPECT_EQ(liveness_query(reader), alive);
    os::operations.lock(reader.control_fd.fd, os::Lock::none, 0, 1);
    liveness_show(writer); // once more
    EXPECT_EQ(peek(writer.control->marks), os::has_range_locks ? 0u : mark_writer_unknown);
    EXPECT_EQ(liveness_query(reader), alive);
    liveness_end(writer);
    EXPECT_EQ(peek(writer.control->marks), 0u);
    EXPECT_EQ(liveness_query(reader), none);
}

// As a group that may read: not the one that the writer happens to have.
TEST_F(Control, objects_take_the_group_of_the_control_page) {
    Handle writer = make_area(name);
    gid_t group = geteuid() == 0 ? 1000 : getegid(); // whoever is not root can give files to groups of his own only
    ASSERT_EQ(chown(name.path().c_str(), uid_t(-1), group), 0);
    compact_now(writer);
    os::FileStatus status;
    ASSERT_EQ(os::operations.status(inside(writer).current->file.fd, &status), 0);
    EXPECT_EQ(status.gid, group);
}

namespace replaced {

const AreaName *first, *second;
int opened;
int (*real)(int, const char *, os::Access);

// Between a writer's first opening of the control page and its second, the name is given to another area.
int open(int directory, const char *file, os::Access access) {
    bool is_control = std::string(file).find('@') == std::string::npos;
    if (is_control && ++opened == 2) {
        for (const std::string &each : first->files()) { unlinkat(directory, each.c_str(), 0); }
        for (const std::string &each : second->files()) {
            std::string suffix = each.substr(second->text().size());
            renameat(directory, each.c_str(), directory, (first->text() + suffix).c_str());
        }
    }
    return real(directory, file, access);
}

} // namespace replaced

TEST(ControlOpen, page_and_descriptor_are_of_one_area) {
    AreaName first, second;
    for (const AreaName *name : {&first, &second}) {
        Handle writer = make_area(*name);
        commit_key(writer, "k", name == &first ? "first" : "second");
    }
    replaced::first = &first;
    replaced::second = &second;
    replaced::opened = 0;
    replaced::real = os::operations.open;
    os::operations.open = replaced::open;
    Handle writer = open_writer(first);
    os::operations.open = replaced::real;
    EXPECT_GE(replaced::opened, 2);
    EXPECT_EQ(value_of(open_reader(first, SPECULO_OPEN_NO_CURSOR), "k"), "second");
    commit_key(writer, "k", "third");
    EXPECT_EQ(value_of(open_reader(first, SPECULO_OPEN_NO_CURSOR), "k"), "third");
}

} // namespace
