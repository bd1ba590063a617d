// SPDX-License-Identifier: LGPL-2.1-or-later
// Words that are copied while somebody changes them all the time.
#include "copier.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace {

using namespace speculo;
using core::Copier;

// Each copy of a word is `step` more than the one before.
class Restless : public testing::Test {
protected:
    Restless() : before_(os::operations), copier_(Copier::make(Copier::default_largest)) {
        os::operations.read_at = read_at;
        word_ = 0;
        copies_ = 0;
    }
    ~Restless() override {
        os::operations = before_;
        os::operations.release(copier_);
    }

    static inline uint32_t word_, step_;
    static inline int copies_;

    os::Operations before_;
    Copier *copier_;

private:
    static int read_at(int, uint64_t, void *ret_bytes, size_t size) {
        word_ += step_;
        ++copies_;
        std::memset(ret_bytes, 0, size);
        std::memcpy(ret_bytes, &word_, size < sizeof word_ ? size : sizeof word_);
        return 0;
    }
};

TEST_F(Restless, a_word_that_never_stays_is_EAGAIN_after_a_few_copies) {
    step_ = 1;
    EXPECT_EQ(copier_->load<uint32_t>(0, 0), 0u);
    EXPECT_EQ(copier_->finish(1), -EAGAIN);
    EXPECT_LT(copies_, 5000);
}

TEST_F(Restless, a_place_that_grows_by_little_is_found_all_the_same) {
    step_ = 1;
    uint32_t place = copier_->load_growing(0, 0);
    EXPECT_EQ(copier_->finish(1), 1);
    EXPECT_GT(place, 0u);
    EXPECT_LE(place, word_);
    EXPECT_LE(copies_, 3);
}

TEST_F(Restless, a_place_that_leaps_each_time_is_EAGAIN) {
    step_ = 256;
    EXPECT_EQ(copier_->load_growing(0, 0), 0u);
    EXPECT_EQ(copier_->finish(1), -EAGAIN);
    EXPECT_LT(copies_, 5000);
}

TEST_F(Restless, a_word_of_the_window_that_never_stays_is_EAGAIN) {
    step_ = 1;
    EXPECT_EQ(copier_->word<uint32_t>(0, 0, 4096), 0u);
    EXPECT_EQ(copier_->finish(1), -EAGAIN);
    EXPECT_LT(copies_, 5000);
}

// Only damage could lead there; what an offset is behind its limit by is not to be taken for bytes.
TEST_F(Restless, behind_its_limit_there_is_nothing) {
    step_ = 0;
    word_ = 7;
    EXPECT_EQ(copier_->word<uint32_t>(0, 4092, 4096), 7u);
    EXPECT_EQ(copier_->word<uint32_t>(0, 4096, 4096), 0u);
    EXPECT_EQ(copier_->word<uint32_t>(0, 8000, 4096), 0u);
    EXPECT_EQ(copier_->finish(1), 1);
}

TEST_F(Restless, the_next_call_begins_anew) {
    step_ = 1;
    copier_->load<uint32_t>(0, 0);
    EXPECT_EQ(copier_->load<uint32_t>(0, 0), 0u); // nothing more is copied
    step_ = 0;
    copier_->begin();
    EXPECT_EQ(copier_->load<uint32_t>(0, 0), word_);
    EXPECT_EQ(copier_->finish(1), 1);
}

} // namespace
