// SPDX-License-Identifier: LGPL-2.1-or-later
// Every operation of the system fails once, and for good, wherever the library calls it: nothing committed is lost, nothing
// leaks, and once the system is well again everything goes on.
#include <cerrno>
#include <cstring>

#include "reading_scenarios.hpp"

namespace {

using namespace speculo;
using namespace speculo::test;

// Those who trust nobody only read.
std::vector<Scenario> all_scenarios() {
    std::vector<Scenario> scenarios;
    if (are_readers_untrusting()) { return reading_scenarios::of_readers(); }
    scenarios = writing_scenarios::all();
    for (const Scenario &scenario : reading_scenarios::all()) { scenarios.push_back(scenario); }
    return scenarios;
}

class Fails : public testing::TestWithParam<Scenario> {};

TEST_P(Fails, P9_without_loss_wherever_the_system_fails) { play_all(GetParam()); }

INSTANTIATE_TEST_SUITE_P(Everywhere, Fails, testing::ValuesIn(all_scenarios()),
                         [](const testing::TestParamInfo<Scenario> &info) { return std::string(info.param.name); });

// ---- the table is covered ----

// Readers either copy or map.
bool is_copying(Site site) { return site == Site::read_at || site == Site::write_at; }

// What the scenarios cannot call: at_fork is called once in a process, see below; and portable systems never link, nor do they have
// a barrier for sleepers. The second time it is the copies that count.
bool is_out_of_reach(Site site) {
    if (is_copying(site) != are_readers_untrusting()) { return true; }
    return site == Site::at_fork || (!os::has_range_locks && is_one_of(int(site), {int(Site::link), int(Site::barrier)}));
}

TEST(Faults, P9_every_operation_that_can_fail_has_failed_somewhere) {
    Calls total{};
    for (const Scenario &scenario : all_scenarios()) {
        Calls calls{};
        play(scenario, nullptr, &calls);
        for (size_t i = 0; i < site_count; ++i) { total[i] += calls[i]; }
    }
    for (size_t i = 0; i < site_count; ++i) {
        Site site = site_at(i);
        if (site_errors(site).empty() || is_out_of_reach(site)) { continue; }
        EXPECT_GT(total[i], 0u) << "no scenario calls " << site_name(site);
    }
}

TEST(Faults, scenarios_find_the_segment_that_they_are_to_find) {
    for (const Scenario &scenario : all_scenarios()) {
        Calls calls{};
        play(scenario, nullptr, &calls);
        if ((scenario.traits & compacts) == 0) { continue; }
        bool is_old = (scenario.traits & was_begun) || (os::has_range_locks && (scenario.traits & uses_again));
        EXPECT_EQ(calls[size_t(Site::create_unnamed)], is_old ? 0u : 1u) << scenario.name;
    }
}

// Unlocking is a site of its own.
static_assert(sizeof(os::Operations) == (site_count - 1) * sizeof(void (*)()), "an operation that no test makes fail");

TEST(Faults, stand_before_every_operation) {
    using Table = std::array<void (*)(), site_count - 1>;
    Table real, hooked;
    std::memcpy(real.data(), &os::operations, sizeof real);
    Faults faults;
    std::memcpy(hooked.data(), &os::operations, sizeof hooked);
    for (size_t i = 0; i < real.size(); ++i) { EXPECT_NE(real[i], hooked[i]) << "operation " << i; }
    for (size_t i = 0; i < hooked.size(); ++i) {
        for (size_t j = 0; j < i; ++j) { EXPECT_NE(hooked[i], hooked[j]) << "operations " << i << " and " << j; }
    }
}

// ---- while it fails ----

// The reader comes from a segment that has lost its name; the next one is pinned, and is to be replaced.
TEST(Faults, P9_readers_still_enter_a_segment_that_could_not_be_replaced) {
    Faults faults;
    AreaName name;
    AreaOptions options(64 << 10);
    Handle writer = make_area(name, options);
    commit_chunk(writer, "first");
    Handle behind = open_reader(name);
    EXPECT_EQ(read_all(behind).size(), 1u);
    compact_now(writer);
    commit_chunk(writer, "only here", transient());
    Handle pin = open_reader(name);
    for (int i = 0; i < 2; ++i) { compact_now(writer); }
    faults.fail_from(Site::create_unnamed, faults.calls(Site::create_unnamed) + 1, ENOMEM);
    EXPECT_EQ(speculo_area_compact(writer), -ENOMEM);
    EXPECT_EQ(ids_of(read_all(behind)), (Ids{2}));
    EXPECT_EQ(info_of(behind).jumps, 0u);
    faults.heal();
    compact_now(writer);
}

// ---- what happens once in a process ----

int open_first() {
    Faults faults;
    AreaName name;
    faults.fail(Site::at_fork, 1, ENOMEM);
    int refused = try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    bool is_clean = faults.leaks().empty() && name.files().empty();
    faults.heal();
    int error = try_open(name, SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE);
    return refused == -ENOMEM && is_clean && error == 0 && faults.calls(Site::at_fork) == 2 && faults.leaks().empty() ? 0 : 1;
}

TEST(FaultsDeathTest, P9_first_open_of_a_process_without_fork_handlers) {
    GTEST_FLAG_SET(death_test_style, "threadsafe"); // in a process in which nothing was opened yet
    EXPECT_EXIT(_exit(open_first()), testing::ExitedWithCode(0), "");
}

} // namespace
