// SPDX-License-Identifier: LGPL-2.1-or-later
// Random sequences of all calls, checked step by step against a model of what each reader must see. A failure tells the seed and
// the sequence.
#include <gtest/gtest.h>

#include <random>

#include "faults.hpp"
#include "sequence.hpp"

namespace {

using namespace speculo::test;

// Each part is a test of its own, so that they can be run alone.
class ModelOf : public testing::TestWithParam<uint64_t> {};

constexpr uint64_t sequences = 250;

TEST_P(ModelOf, P5_P6_P7_readers_see_what_they_must) {
    Faults faults;
    faults.clock.set_tick(sequence_tick);
    faults.clock.freeze();
    for (uint64_t i = 0; i < sequences; ++i) {
        uint64_t seed = GetParam() * sequences + i;
        std::mt19937_64 random(seed);
        Sequence sequence([&](uint64_t below) { return random() % below; }, [&](uint64_t ns) { faults.clock.jump(int64_t(ns)); },
                          "seed " + std::to_string(seed));
        if (!sequence.run(int(10 + i % 90))) { return; }
    }
    EXPECT_EQ(faults.leaks(), "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelOf, testing::Range(uint64_t(0), uint64_t(4)));

} // namespace
