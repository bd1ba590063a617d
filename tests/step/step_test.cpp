// SPDX-License-Identifier: LGPL-2.1-or-later
// A writer that is killed at every instruction: while it makes an area, commits, supersedes, changes keys, compacts, grows, takes over,
// closes, removes. At each instruction behind which other bytes are shared, readers look, a check looks, and another writer takes over
// and goes on; now and then that one is killed at every instruction too.
//
// SPECULO_TEST_STEP=N      every N-th takeover is walked through, 1: all of them
// SPECULO_TEST_DEPTH=N     so deep: takeovers of takeovers
// SPECULO_TEST_IMAGE=WHERE what a failure names, such as compact:17 or compact:17.5, alone
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "walk.hpp"

namespace {

using namespace speculo::test;

constexpr unsigned takeovers_of_every_day = 300;

unsigned number_in(const char *variable, unsigned otherwise) {
    const char *text = std::getenv(variable);
    return text ? unsigned(std::strtoul(text, nullptr, 10)) : otherwise;
}

// The numbers behind the colon of SPECULO_TEST_IMAGE; "" for another scenario.
bool parse_image(const char *text, const std::string &scenario, std::vector<unsigned> &ret_numbers) {
    if (std::strncmp(text, scenario.c_str(), scenario.size()) != 0 || text[scenario.size()] != ':') { return false; }
    const char *at = text + scenario.size();
    while (*at == ':' || *at == '.') {
        char *end;
        ret_numbers.push_back(unsigned(std::strtoul(at + 1, &end, 10)));
        at = end;
    }
    return true;
}

void say_where(int signal) {
    auto say = [](const char *text) { return write(STDERR_FILENO, text, std::strlen(text)); };
    bool is_said = say(signal == SIGALRM ? "it hangs at " : "it crashes at ") > 0 && say(whereabouts()) > 0 && say("\n") > 0;
    _exit(is_said ? 1 : 2);
}

class Step : public testing::TestWithParam<Scenario> {
protected:
    static void SetUpTestSuite() {
        for (int signal : {SIGALRM, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) { std::signal(signal, say_where); }
    }
    static void TearDownTestSuite() {
        std::printf("%llu points, %llu images, %llu takeovers walked through\n", static_cast<unsigned long long>(all.points),
                    static_cast<unsigned long long>(all.images), static_cast<unsigned long long>(all.takeovers));
    }
    static inline Totals all;
};

TEST_P(Step, P8_may_die_at_any_instruction) {
    Extent extent;
    extent.takeovers = number_in("SPECULO_TEST_STEP", takeovers_of_every_day);
    extent.depth = number_in("SPECULO_TEST_DEPTH", 1);
    const char *image = std::getenv("SPECULO_TEST_IMAGE");
    if (image && !parse_image(image, GetParam().name, extent.only)) { return; }
    Totals totals = walk(GetParam(), extent);
    for (const std::string &complaint : totals.complaints) { ADD_FAILURE() << complaint; }
    EXPECT_GT(totals.points, image ? 0u : 200u);
    EXPECT_GT(totals.images, image ? 0u : 2u);
    RecordProperty("points", std::to_string(totals.points));
    RecordProperty("images", std::to_string(totals.images));
    all.points += totals.points;
    all.images += totals.images;
    all.takeovers += totals.takeovers;
}

INSTANTIATE_TEST_SUITE_P(Through, Step, testing::ValuesIn(all_scenarios()),
                         [](const testing::TestParamInfo<Scenario> &info) { return std::string(info.param.name); });

} // namespace
