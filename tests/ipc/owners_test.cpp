// SPDX-License-Identifier: LGPL-2.1-or-later
// Two users. What a reader of another uid may do, and that nothing it does reaches the writer. Root can be two users; whoever is
// not checks what one user can see of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "area_names.hpp"
#include "child.hpp"
#include "peer.hpp"
#include "trace.hpp"

namespace {

using namespace speculo::test;

constexpr uid_t owner = 64001, stranger = 64002;

// A directory where everybody may make files, like /dev/shm itself.
class SharedDirectory {
public:
    SharedDirectory() {
        if (!mkdtemp(path_.data()) || chmod(path_.c_str(), 01777) < 0) { std::abort(); }
    }
    ~SharedDirectory() { EXPECT_EQ(rmdir(path_.c_str()), 0) << path_; }
    SharedDirectory(const SharedDirectory &) = delete;
    SharedDirectory &operator=(const SharedDirectory &) = delete;

    const std::string &path() const { return path_; }

private:
    std::string path_ = "/dev/shm/speculo-test-owners-XXXXXX";
};

class Owners : public testing::Test {
protected:
    bool can_change_user() const { return geteuid() == 0; }

    Answer become(Peer &peer, uid_t uid) { return peer.ask("uid " + std::to_string(uid)); }

    // Runs a piece of the test as that user.
    static int run_as(uid_t uid, const std::function<int()> &body) {
        return run_in_child([&] {
            bool changed = setgroups(0, nullptr) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
            return changed ? body() : 100;
        });
    }

    // The owner's writer, in an area with that mode.
    void start_writer(Peer &writer, const std::string &mode) {
        ASSERT_OK(become(writer, owner));
        ASSERT_OK(writer.ask("writer 65536 mode=" + mode));
        EXPECT_OK(writer.ask("write 10 100 lasting"));
        EXPECT_OK(writer.ask("write 1 100 keyed"));
    }

    std::vector<std::string> paths() const {
        std::vector<std::string> found;
        for (const std::string &file : name_.files()) { found.push_back(directory_.path() + "/" + file); }
        return found;
    }

    struct stat status_of(const std::string &path) const {
        struct stat status = {};
        EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
        return status;
    }

    // Everything belongs to the owner, and whoever may read the area may read all of it but the lock.
    void check_objects(mode_t mode) const {
        for (const std::string &path : paths()) {
            struct stat status = status_of(path);
            EXPECT_EQ(status.st_uid, owner) << path;
            EXPECT_EQ(status.st_gid, owner) << path;
            EXPECT_EQ(status.st_mode & 07777, path == name_.path("@lock") ? 0600 : mode) << path;
        }
    }

    SharedDirectory directory_;
    AreaName name_{directory_.path()};
};

// What can be seen without being two users: files of root's that are no areas.
void check_as_one_user() {
    speculo_area *area = nullptr;
    EXPECT_EQ(speculo_area_open("/etc/passwd", SPECULO_OPEN_WRITE, nullptr, &area), -EPERM);
    EXPECT_EQ(speculo_area_open("/etc/passwd", SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE, nullptr, &area), -EPERM);
    EXPECT_EQ(speculo_area_remove("/etc/passwd"), -EPERM);
    EXPECT_LT(speculo_area_open("/etc/passwd", SPECULO_OPEN_READ, nullptr, &area), 0);
    EXPECT_EQ(speculo_area_open("/etc/shadow", SPECULO_OPEN_READ, nullptr, &area), -EACCES);
    EXPECT_EQ(area, nullptr);
}

TEST_F(Owners, P1_a_stranger_may_read_what_it_trusts_and_is_let) {
    if (!can_change_user()) { return check_as_one_user(); }
    Peer writer(name_.text()), reader(name_.text());
    start_writer(writer, "0644");
    check_objects(0644);
    ASSERT_OK(become(reader, stranger));
    EXPECT_EQ(reader.ask("reader 1").error(), -EPERM);
    EXPECT_EQ(reader.ask("reader 1 trust=" + std::to_string(stranger)).error(), -EPERM);
    ASSERT_OK(reader.ask("reader 1 trust=" + std::to_string(owner)));
    EXPECT_EQ(reader.ask("read")["lasting"], 10u);
    EXPECT_EQ(reader.ask("key")["version"], 1u);
    EXPECT_EQ(reader.ask("info")["owner"], owner);
    EXPECT_OK(writer.ask("cross 5 500"));
    EXPECT_OK(writer.ask("write 10 100 lasting"));
    EXPECT_EQ(reader.ask("read")["lasting"], 20u);
    check_objects(0644);
}

TEST_F(Owners, P1_a_private_area_cannot_be_opened) {
    if (!can_change_user()) { return check_as_one_user(); }
    Peer writer(name_.text()), reader(name_.text());
    start_writer(writer, "0");
    check_objects(0600);
    ASSERT_OK(become(reader, stranger));
    EXPECT_EQ(reader.ask("reader 1 trust=" + std::to_string(owner)).error(), -EACCES);
    EXPECT_EQ(reader.ask("writer 65536").error(), -EPERM);
    EXPECT_OK(writer.ask("write 1 100"));
}

// What a stranger can do with the descriptor of an object that it can open. The number of the first check that fails; 0: none.
int try_to_write(const std::string &path) {
    if (open(path.c_str(), O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES) { return 1; }
    if (truncate(path.c_str(), 0) == 0 || errno != EACCES) { return 2; }
    if (chmod(path.c_str(), 0666) == 0 || errno != EPERM) { return 3; }
    if (unlink(path.c_str()) == 0) { return 4; }
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) { return errno == EACCES ? 0 : 5; }
    if (ftruncate(fd, 0) == 0 || fallocate(fd, 0, 0, 4096) == 0) { return 6; }
    if (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED || errno != EACCES) { return 7; }
    void *map = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) { return 8; }
    if (mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0 || errno != EACCES) { return 9; }
    std::string again = "/proc/self/fd/" + std::to_string(fd);
    if (open(again.c_str(), O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES) { return 10; }
    return 0;
}

TEST_F(Owners, P1_a_stranger_can_write_nowhere) {
    if (!can_change_user()) { return check_as_one_user(); }
    Peer writer(name_.text());
    start_writer(writer, "0644");
    EXPECT_OK(writer.ask("compact 4"));
    EXPECT_EQ(paths().size(), 6u);
    for (const std::string &path : paths()) {
        EXPECT_EQ(run_as(stranger, [&] { return try_to_write(path); }), 0) << path;
    }
    Peer intruder(name_.text());
    ASSERT_OK(become(intruder, stranger));
    EXPECT_OK(writer.ask("close"));
    EXPECT_EQ(intruder.ask("writer 65536").error(), -EPERM);
    EXPECT_EQ(run_as(stranger, [&] { return -speculo_area_remove(name_.c_str()); }), EPERM);
}

// What a dead creator left, where there is no area: whoever may not remove it leaves everything as it was.
TEST_F(Owners, P8_a_refused_removal_leaves_no_trace) {
    std::string path = name_.path() + "@1.01234567";
    auto plant = [&] {
        int fd = open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        return fd >= 0 && close(fd) == 0 ? 0 : 1;
    };
    ASSERT_EQ(run_as(owner, plant), 0);
    EXPECT_EQ(run_as(stranger, [&] { return -speculo_area_remove(name_.c_str()); }), EPERM);
    EXPECT_EQ(paths(), std::vector<std::string>{path});
    EXPECT_EQ(run_as(owner, [&] { return -speculo_area_remove(name_.c_str()); }), 0);
    EXPECT_TRUE(paths().empty());
}

// The library's own mappings of a reader, of whatever user: none that can be written to.
TEST_F(Owners, P1_readers_map_everything_read_only) {
    Peer writer(name_.text()), reader(name_.text());
    ASSERT_OK(writer.ask("writer 65536"));
    EXPECT_OK(writer.ask("write 1 100 lasting"));
    EXPECT_OK(writer.ask("write 1 100 keyed"));
    ASSERT_OK(reader.ask("reader 1"));
    ASSERT_OK(reader.ask("look"));
    EXPECT_OK(writer.ask("cross 2 500"));
    EXPECT_OK(reader.ask("read"));
    EXPECT_OK(reader.ask("key"));
    std::ifstream maps("/proc/" + std::to_string(reader.pid()) + "/maps");
    size_t count = 0;
    for (std::string line; std::getline(maps, line);) {
        if (line.find(name_.path()) == std::string::npos) { continue; }
        ++count;
        EXPECT_NE(line.find(" r--s "), std::string::npos) << line;
    }
    EXPECT_GE(count, 3u); // the control page and two segments
    for (const std::string &path : paths()) {
        for (int fd = 3; fd < 64; ++fd) {
            std::string link = "/proc/" + std::to_string(reader.pid()) + "/fd/" + std::to_string(fd);
            struct stat status, object = status_of(path);
            if (stat(link.c_str(), &status) < 0 || status.st_ino != object.st_ino) { continue; }
            struct stat itself;
            ASSERT_EQ(lstat(link.c_str(), &itself), 0);
            EXPECT_EQ(itself.st_mode & 0222, 0u) << path; // the link's mode tells how it was opened
        }
    }
}

// Every lock that a stranger can get on every object that it can open, until its input ends.
int lock_everything(const std::vector<std::string> &paths) {
    size_t locked = 0;
    for (const std::string &path : paths) {
        int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC), other = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || other < 0) { continue; }
        struct flock all = {};
        all.l_type = F_RDLCK;
        struct flock mine = all;
        if (fcntl(fd, F_OFD_SETLK, &all) < 0 || fcntl(fd, F_SETLK, &mine) < 0 || flock(other, LOCK_EX | LOCK_NB) < 0) {
            return 1;
        }
        ++locked;
    }
    return locked == paths.size() - 1 ? 0 : 2; // all but the lock
}

TEST_F(Owners, P1_P4_a_stranger_with_every_lock_that_it_can_get_is_in_nobodys_way) {
    if (!can_change_user()) { return check_as_one_user(); }
    Peer writer(name_.text()), next(name_.text());
    start_writer(writer, "0644");
    ASSERT_OK(become(next, owner));
    EXPECT_OK(writer.ask("close"));
    int ready[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    std::vector<std::string> objects = paths();
    Child hostile([&] {
        bool changed = setgroups(0, nullptr) == 0 && setresgid(stranger, stranger, stranger) == 0 &&
                       setresuid(stranger, stranger, stranger) == 0;
        int failure = changed ? lock_everything(objects) : 100;
        char byte = char(failure);
        if (write(ready[1], &byte, 1) != 1) { return 101; }
        return pause();
    });
    char failure = -1;
    ASSERT_EQ(read(ready[0], &failure, 1), 1);
    ASSERT_EQ(failure, 0);
    close(ready[0]);
    close(ready[1]);

    ASSERT_OK(writer.ask("writer 0")); // opens,
    EXPECT_OK(writer.ask("write 10 100 lasting"));
    EXPECT_OK(writer.ask("compact 10"));           // compacts,
    EXPECT_LE(writer.ask("info")["segments"], 6u); // three of them parked
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
    EXPECT_OK(writer.ask("compact 1"));
    EXPECT_EQ(writer.ask("info")["segments"], 3u);
    writer.signal(SIGKILL);
    writer.wait();
    ASSERT_OK(next.ask("writer 0")); // and is taken over from, all the same
    EXPECT_EQ(next.ask("info")["live"], 21u);
    EXPECT_OK(next.ask("compact 10"));
    EXPECT_TRUE(hostile.is_running());
    Peer reader(name_.text());
    ASSERT_OK(become(reader, owner));
    ASSERT_OK(reader.ask("reader 1"));
    EXPECT_EQ(reader.ask("info")["alive"], 1u);
    EXPECT_OK(next.ask("close"));
}

void plant(const std::string &path, uid_t uid, mode_t mode = 0644) {
    int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0) << path;
    EXPECT_EQ(ftruncate(fd, 1 << 20), 0);
    EXPECT_EQ(fchmod(fd, mode), 0);
    EXPECT_EQ(fchown(fd, uid, uid), 0);
    close(fd);
}

TEST_F(Owners, P1_planted_objects_are_refused) {
    if (!can_change_user()) { return check_as_one_user(); }
    for (const char *suffix : {"", "@lock"}) {
        std::string path = name_.path(suffix);
        plant(path, stranger, 0666);
        Peer writer(name_.text());
        ASSERT_OK(become(writer, owner));
        EXPECT_EQ(writer.ask("writer 65536").error(), -EPERM) << path;
        EXPECT_EQ(unlink(path.c_str()), 0);
    }
    // A link of the stranger's to what is the owner's, and the other way round.
    std::string other = directory_.path() + "/other";
    plant(other, owner);
    for (auto link : {&symlink, &::link}) {
        ASSERT_EQ(link(other.c_str(), name_.path().c_str()), 0);
        EXPECT_EQ(lchown(name_.path().c_str(), stranger, stranger), 0);
        Peer writer(name_.text()), reader(name_.text());
        ASSERT_OK(become(writer, owner));
        ASSERT_OK(become(reader, owner));
        EXPECT_LT(writer.ask("writer 65536").error(), 0);
        EXPECT_LT(reader.ask("reader 1").error(), 0);
        EXPECT_EQ(unlink(name_.path().c_str()), 0);
        EXPECT_EQ(chown(other.c_str(), owner, owner), 0);
    }
    EXPECT_EQ(unlink(other.c_str()), 0);
}

TEST_F(Owners, P1_planted_segments_are_never_believed) {
    if (!can_change_user()) { return check_as_one_user(); }
    std::vector<std::string> planted;
    for (int slot = 0; slot < 3; ++slot) {
        planted.push_back(name_.path("@" + std::to_string(slot) + ".0badcafe"));
        plant(planted.back(), stranger);
    }
    Peer writer(name_.text()), reader(name_.text());
    start_writer(writer, "0644");
    ASSERT_OK(become(reader, owner));
    ASSERT_OK(reader.ask("reader 1"));
    for (int i = 0; i < 5; ++i) {
        EXPECT_OK(writer.ask("cross 1 500"));
        EXPECT_OK(reader.ask("read"));
    }
    EXPECT_EQ(reader.ask("read")["lasting"], 10u);
    EXPECT_OK(writer.ask("close"));
    for (const std::string &path : planted) { EXPECT_EQ(unlink(path.c_str()), 0); } // in a sticky directory nobody else can
}

TEST_F(Owners, P8_root_may_take_over_without_locking_the_owner_out) {
    if (!can_change_user()) { return check_as_one_user(); }
    Peer first(name_.text()), root(name_.text()), last(name_.text()), reader(name_.text());
    start_writer(first, "0640");
    ASSERT_OK(become(reader, owner));
    ASSERT_OK(reader.ask("reader 1"));
    first.signal(SIGKILL);
    first.wait();
    ASSERT_OK(root.ask("writer 0 max=1048576"));
    EXPECT_OK(root.ask("write 300 500"));
    EXPECT_OK(root.ask("compact 5"));
    check_objects(0640);
    EXPECT_OK(reader.ask("read"));
    root.signal(SIGKILL);
    root.wait();
    ASSERT_OK(become(last, owner));
    ASSERT_OK(last.ask("writer 0"));
    EXPECT_EQ(last.ask("info")["live"], 11u);
    EXPECT_OK(last.ask("compact 5"));
    check_objects(0640);
    EXPECT_OK(last.ask("close"));
    EXPECT_EQ(run_as(owner, [&] { return -speculo_area_remove(name_.c_str()); }), 0);
}

// Where fs.protected_regular is set, opening another user's file in a sticky directory with O_CREAT fails, so it is never done
// without O_EXCL.
TEST_F(Owners, P1_nothing_is_created_over_what_is_there) {
    TracedPeer writer(name_.text());
    ASSERT_OK(writer.ask("writer 65536"));
    EXPECT_OK(writer.ask("marked compact 5"));
    EXPECT_OK(writer.ask("close"));
    ASSERT_OK(writer.ask("writer 0"));
    ASSERT_OK(writer.ask("reader 1"));
    EXPECT_OK(writer.ask("read"));
    EXPECT_EQ(writer.finish(), 0);
    size_t created = 0;
    for (const std::string &line : writer.calls()) {
        if (line.find(".gcda") != std::string::npos) { continue; } // where it is counted what runs
        bool is_creation = line.find("O_CREAT") != std::string::npos;
        created += is_creation || line.find("O_TMPFILE") != std::string::npos;
        if (is_creation) { EXPECT_NE(line.find("O_EXCL"), std::string::npos) << line; }
    }
    EXPECT_GE(created, 4u); // the lock, the control page, three segments in turn
}

} // namespace
