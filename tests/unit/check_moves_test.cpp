// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo_area_check on an area that moves under it: at any step of the check the writer goes on, at any step of the writer
// somebody checks, and nothing is wrong.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include <unistd.h>

#include "checking.hpp"
#include "child.hpp"

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
    // What a writer calls, but for what it does while no other thread may fork.
    void before_each_step_of_a_writer() {
        before<&os::Operations::create>(), before<&os::Operations::create_unnamed>();
        before<&os::Operations::link>(), before<&os::Operations::rename>(), before<&os::Operations::unlink>();
        before<&os::Operations::allocate_space>(), before<&os::Operations::set_mode>(), before<&os::Operations::status>();
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

} // namespace
