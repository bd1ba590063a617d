// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo_area_check on an area that moves under it: at any step of the check the writer goes on, at any step of the writer
// somebody checks, and nothing is wrong.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include <sys/stat.h>
#include <unistd.h>

#include "checking.hpp"
#include "child.hpp"
#include "faults.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// ---- interruptions ----

// Lets something happen right before calls of the system, but for those that it makes itself. One at a time, for one thread.
class Interruption {
public:
    explicit Interruption(std::function<void()> act) : act_(std::move(act)), real_(os::operations) { active = this; }
    ~Interruption() { os::operations = real_; }
    Interruption(const Interruption &) = delete;
    Interruption &operator=(const Interruption &) = delete;

    template <auto member> void before() { put_before<member>(member); }
    // What a check calls, but for the end.
    void before_each_step_of_a_check() {
        before<&os::Operations::allocate>(), before<&os::Operations::resize>();
        before<&os::Operations::open_directory>(), before<&os::Operations::open>(), before<&os::Operations::close>();
        before<&os::Operations::status>(), before<&os::Operations::status_at>();
        before<&os::Operations::map>(), before<&os::Operations::unmap>(), before<&os::Operations::lock>();
    }
    // The same without those that it makes while no other thread may fork: this very process may open and close meanwhile.
    void before_each_step_that_others_may_fork_in() {
        before<&os::Operations::allocate>(), before<&os::Operations::resize>(), before<&os::Operations::open_directory>();
        before<&os::Operations::status>(), before<&os::Operations::status_at>();
        before<&os::Operations::map>(), before<&os::Operations::unmap>();
    }
    // What a writer calls, but for what it does while no other thread may fork.
    void before_each_step_of_a_writer() {
        before<&os::Operations::create>(), before<&os::Operations::create_unnamed>();
        before<&os::Operations::link>(), before<&os::Operations::rename>(), before<&os::Operations::unlink>();
        before<&os::Operations::allocate_space>(), before<&os::Operations::make_huge>();
        before<&os::Operations::set_mode>(), before<&os::Operations::status>();
        before<&os::Operations::map>(), before<&os::Operations::unmap>(), before<&os::Operations::populate>();
    }

private:
    template <auto member, typename Result, typename... Arguments> void put_before(Result (*os::Operations::*)(Arguments...)) {
        os::operations.*member = [](Arguments... arguments) -> Result {
            active->interrupt();
            return (active->real_.*member)(arguments...);
        };
    }
    void interrupt() {
        if (is_acting_) { return; }
        is_acting_ = true;
        act_();
        is_acting_ = false;
    }

    static Interruption *active;
    std::function<void()> act_;
    os::Operations real_;
    bool is_acting_ = false;
};
Interruption *Interruption::active = nullptr;

// ---- the writer ----

AreaOptions growing() {
    AreaOptions options(8 << 10);
    options.max_capacity = 256 << 10;
    return options;
}

// Now there is much to be carried over, and now there is little; so the segments grow, and halve in the end.
void go_on(speculo_area *writer, int step) {
    put_key(writer, "ballast", std::string(step / 8 % 2 ? 5 : 30000, 'b'));
    put_key(writer, "key" + std::to_string(step % 5), std::string(size_t(step % 50), 'k'));
    commit_chunk(writer, "passing", transient());
    compact_now(writer);
}

// In a process of its own, so that it can be told to go on in the middle of anything.
class MovingWriter {
public:
    explicit MovingWriter(const AreaName &name) : child_([&] { return write(name); }) { await(); }
    ~MovingWriter() {
        EXPECT_EQ(::write(tell_.ends[1], "q", 1), 1);
        EXPECT_EQ(child_.wait(), 0);
    }
    MovingWriter(const MovingWriter &) = delete;
    MovingWriter &operator=(const MovingWriter &) = delete;

    void compact(int times) {
        for (int i = 0; i < times; ++i) {
            ASSERT_EQ(::write(tell_.ends[1], "c", 1), 1);
            await();
        }
    }

private:
    struct Pipe {
        Pipe() { EXPECT_EQ(pipe(ends), 0); }
        ~Pipe() { close(ends[0]), close(ends[1]); }
        Pipe(const Pipe &) = delete;
        Pipe &operator=(const Pipe &) = delete;
        int ends[2];
    };

    int write(const AreaName &name) {
        Handle writer = make_area(name, growing());
        char line = 'c';
        for (int step = 0; line == 'c'; ++step) {
            go_on(writer, step);
            if (::write(told_.ends[1], "d", 1) != 1 || read(tell_.ends[0], &line, 1) != 1) { return 1; }
        }
        return testing::Test::HasFailure();
    }
    void await() {
        char line;
        ASSERT_EQ(read(told_.ends[0], &line, 1), 1);
    }

    Pipe tell_, told_;
    Child child_;
};

// ---- a writer goes on beside a check ----

class CheckBeside : public testing::TestWithParam<int> {};

TEST_P(CheckBeside, a_writer_that_compacts_at_any_step_of_it) {
    AreaName name;
    MovingWriter writer(name);
    writer.compact(5);
    AreaProbe area(name);
    int call = 0, last = 0, replaced = 0;
    std::set<uint64_t> capacities;
    Interruption interruption([&] {
        if (++call == last) { writer.compact(GetParam()); }
    });
    interruption.before_each_step_of_a_check();
    for (bool is_done = false; !is_done && !testing::Test::HasFailure();) {
        SCOPED_TRACE("before call " + std::to_string(++last));
        uint64_t before = objects_made(area);
        call = 0;
        CheckResult result = check(name);
        is_done = call < last; // it made no such call
        EXPECT_EQ(result.error, 0) << result.text();
        EXPECT_EQ(result.messages.size(), 0u) << result.text();
        replaced += objects_made(area) != before;
        capacities.insert(info_of(open_reader(name)).capacity);
    }
    EXPECT_GT(last, 40); // so many calls does a check make
    EXPECT_GT(replaced, 10);
    EXPECT_GT(capacities.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Compactions, CheckBeside, testing::Values(1, 2, 3, 7));

// ---- a check beside each step of a writer ----

TEST(CheckBesideAReplacement, is_sound_at_each_step_of_it) {
    AreaName name;
    Handle writer = make_area(name, growing());
    AreaProbe area(name);
    int checks = 0;
    Interruption interruption([&] { ++checks, expect_sound(name); });
    interruption.before_each_step_of_a_writer();
    for (int step = 0; step < 30 && !testing::Test::HasFailure(); ++step) { go_on(writer, step); }
    EXPECT_GT(checks, 100);
    EXPECT_GT(objects_made(area), 8u);
}

// The slot table names the object before the file system does: that may come between two looks.
TEST(CheckBesideAReplacement, sees_an_object_get_its_name) {
    AreaName name;
    Handle writer = make_area(name, 8 << 10);
    write_everything(writer);
    AreaProbe area(name);
    for (uint32_t slot = 0; slot < 3; ++slot) {
        auto hidden = std::make_unique<Hidden>(name, object_of(area, slot));
        Interruption interruption([&] { hidden.reset(); });
        interruption.before<&os::Operations::status_at>();
        CheckResult result = check(name);
        EXPECT_EQ(result.error, 0) << result.text();
        EXPECT_EQ(hidden, nullptr);
    }
}

// One that is missing may be about to be made, and then another one: what was missing at one time and at another is not two.
TEST(CheckBesideAReplacement, sees_the_slot_table_move_on) {
    AreaName name;
    Handle writer = make_area(name, 8 << 10);
    for (int step = 0; step < 3; ++step) { compact_now(writer); }
    AreaProbe area(name);
    uint32_t oldest = (core::current_slot(area.current()) + 1) % 3, other = (oldest + 1) % 3;
    core::Shared<uint64_t> &slot = area.control().slots[other];
    uint64_t entry = core::peek(slot);
    Hidden hidden(name, object_of(area, oldest)), hidden_too(name, object_of(area, other));
    EXPECT_EQ(check(name).messages.size(), 2u);
    int looks = 0;
    Interruption interruption([&] {
        if (++looks == 3) { core::publish_slot(slot, entry + core::pack_slot(1, 1)); } // when the first is looked for again
    });
    interruption.before<&os::Operations::status_at>();
    CheckResult result = check(name);
    EXPECT_EQ(result.error, 0) << result.text();
    core::publish_slot(slot, entry);
}

// ---- something happens at each step of a check ----

// Of an area that has a history, and no writer any more.
struct Story {
    std::function<void(const AreaName &, AreaProbe &)> prepare, act;
    std::function<void(const CheckResult &)> judge;
};

void tell_at_each_step(const Story &story) {
    int call = 0, last = 0;
    for (bool is_done = false; !is_done && !testing::Test::HasFailure();) {
        SCOPED_TRACE("before call " + std::to_string(++last));
        AreaName name;
        Handle writer = make_area(name, 8 << 10);
        for (int step = 0; step < 3; ++step) { commit_key(writer, "key", "value"), compact_now(writer); }
        writer.close();
        AreaProbe area(name);
        story.prepare(name, area);
        call = 0;
        Interruption interruption([&] {
            if (++call == last) { story.act(name, area); }
        });
        interruption.before_each_step_that_others_may_fork_in();
        CheckResult result = check(name);
        is_done = call < last;
        if (!is_done) { story.judge(result); }
    }
    EXPECT_GT(last, 20);
}

void remove_area(const AreaName &name, AreaProbe &) { EXPECT_EQ(speculo_area_remove(name.c_str()), 0); }

std::string path_of(const AreaName &name, AreaProbe &area, uint32_t behind_current) {
    uint32_t slot = (core::current_slot(area.current()) + 3 - behind_current) % 3;
    return name.path().substr(0, name.path().rfind('/') + 1) + object_of(area, slot);
}

TEST(CheckBesideARemoval, finds_nothing_wrong) {
    int stale = 0;
    tell_at_each_step({[](const AreaName &, AreaProbe &) {}, remove_area,
                       [&](const CheckResult &result) {
                           EXPECT_TRUE(result.error == 0 || result.error == -ENOENT || result.error == -ESTALE) << result.error;
                           EXPECT_EQ(result.messages.size(), 0u) << result.text();
                           stale += result.error == -ESTALE;
                       }});
    EXPECT_GT(stale, 10);
}

// An area that is none any more is not called unsound, whatever was found in it before.
TEST(CheckBesideARemoval, forgets_what_was_wrong) {
    int stale = 0, unsound = 0;
    auto prepare = [](const AreaName &name, AreaProbe &area) {
        core::put(area.control().marks, 1u << 9);
        EXPECT_EQ(unlink(path_of(name, area, 1).c_str()), 0);
    };
    tell_at_each_step({prepare, remove_area, [&](const CheckResult &result) {
                           stale += result.error == -ESTALE;
                           unsound += result.error == -EBADMSG; // all was looked at by then
                           EXPECT_TRUE(result.error == -EBADMSG || result.error == -ENOENT || result.error == -ESTALE);
                       }});
    EXPECT_GT(stale, 10);
    EXPECT_LT(unsound, 10);
}

// It was about to be told, and is the one that may be missing.
TEST(CheckBesideAReplacement, an_object_that_loses_its_name_is_not_judged_any_more) {
    int sound = 0;
    auto prepare = [](const AreaName &name, AreaProbe &area) { EXPECT_EQ(chmod(path_of(name, area, 2).c_str(), 0666), 0); };
    auto act = [](const AreaName &name, AreaProbe &area) { EXPECT_EQ(unlink(path_of(name, area, 2).c_str()), 0); };
    tell_at_each_step({prepare, act, [&](const CheckResult &result) {
                           sound += result.error == 0;
                           EXPECT_TRUE(result.error == 0 || result.tells("others may write it")) << result.text();
                       }});
    EXPECT_GT(sound, 10);
}

// ---- a writer goes on while the check tells ----

// What it tells is that the header's next id is none, before it looks at the keys.
class CheckOfKeys : public testing::Test {
protected:
    // Two more versions: the way from them to that of the end begins in memory that was not there before.
    void go_on() {
        uint64_t id = commit_key(writer_, "key", std::string(100 << 10, 'n'));
        SegmentProbe probe = current_segment(name_);
        between_ = probe.place_of(id);
        commit_key(writer_, "key", "newest");
    }
    template <typename Act> CheckResult check_while(Act act) {
        SegmentProbe probe = current_segment(name_);
        core::put(probe.map().header().next_id, uint64_t(0));
        struct Telling {
            CheckResult result;
            std::function<void()> act;
        } telling{{}, act};
        auto report = [](void *user, int, const char *message) {
            auto &all = *static_cast<Telling *>(user);
            all.result.messages.emplace_back(message);
            if (all.result.messages.size() == 1) { all.act(); }
        };
        telling.result.error = speculo_area_check(name_.c_str(), report, &telling);
        EXPECT_EQ(telling.result.error, -EBADMSG);
        EXPECT_TRUE(telling.result.tells("the next id")) << telling.result.text();
        return telling.result;
    }

    Faults faults_;
    AreaName name_;
    Handle writer_ = make_area(name_, 256 << 10);
    uint64_t other_ = commit_chunk(writer_, "other"), old_ = commit_key(writer_, "key", "old");
    uint32_t between_ = 0; // place
};

TEST_F(CheckOfKeys, finds_the_way_to_a_version_from_behind_what_was_readable) {
    CheckResult result = check_while([&] { go_on(); });
    EXPECT_EQ(result.messages.size(), 1u) << result.text();
}

TEST_F(CheckOfKeys, says_so_where_that_cannot_be_known) {
    CheckResult result = check_while([&] { go_on(), faults_.fail_from(Site::status, 1, EIO); });
    faults_.heal();
    EXPECT_TRUE(result.tells("how far it reaches cannot be known")) << result.text();
    EXPECT_FALSE(result.tells("key slot") || result.tells("chunk")) << result.text();
}

TEST_F(CheckOfKeys, finds_that_the_way_leads_elsewhere) {
    CheckResult result = check_while([&] {
        go_on();
        SegmentProbe probe = current_segment(name_);
        core::put_field(probe.map().bytes(between_), core::frame_shape(core::frame_key, 3, false).link, probe.place_of(other_));
    });
    EXPECT_TRUE(result.tells("the way from newest and previous")) << result.text();
}

} // namespace
