// SPDX-License-Identifier: LGPL-2.1-or-later
// Error codes in words.
#include <gtest/gtest.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <map>
#include <string>

#include <speculo/speculo.h>

namespace {

// The codes that the library gives a meaning of its own.
constexpr int own_codes[] = {EINVAL,   E2BIG,     ENOENT,          EEXIST,  EBUSY,  EACCES, EPERM,      EAGAIN, ENOSPC,
                             EMSGSIZE, EOVERFLOW, EPROTONOSUPPORT, EBADMSG, ESTALE, EROFS,  EOPNOTSUPP, ECHILD};

TEST(Errors, each_own_code_has_its_own_words) {
    std::map<std::string, int> seen;
    for (int code : own_codes) {
        std::string text = speculo_strerror(-code);
        EXPECT_NE(text, "Unknown error") << code;
        EXPECT_NE(text, std::strerror(code)) << "no more than what the system says";
        EXPECT_TRUE(seen.emplace(text, code).second) << code << " and " << seen[text] << " are told apart by nothing";
    }
}

TEST(Errors, words_fit_the_meaning) {
    auto says = [](int error, const char *word) { return std::strstr(speculo_strerror(error), word) != nullptr; };
    EXPECT_TRUE(says(-EBUSY, "writer"));
    EXPECT_TRUE(says(-ESTALE, "removed"));
    EXPECT_TRUE(says(-EBADMSG, "damaged"));
    EXPECT_TRUE(says(-EPROTONOSUPPORT, "version"));
    EXPECT_TRUE(says(-ECHILD, "parent"));
    EXPECT_TRUE(says(-EROFS, "reader"));
    EXPECT_TRUE(says(-E2BIG, "reserved"));
    EXPECT_TRUE(says(-ENOSPC, "room"));
    EXPECT_TRUE(says(-EPERM, "owner"));
    EXPECT_TRUE(says(-EMSGSIZE, "untrusting")); // and not only the writer
}

TEST(Errors, the_sign_does_not_matter) {
    for (int code = 0; code < 200; ++code) { EXPECT_STREQ(speculo_strerror(code), speculo_strerror(-code)) << code; }
    EXPECT_STREQ(speculo_strerror(0), "Success");
}

TEST(Errors, others_are_the_system_s) {
    EXPECT_STREQ(speculo_strerror(-ENOMEM), std::strerror(ENOMEM));
    EXPECT_STREQ(speculo_strerror(-EMFILE), std::strerror(EMFILE));
    EXPECT_STREQ(speculo_strerror(-EIO), std::strerror(EIO));
}

TEST(Errors, unknown_codes_have_words_too) {
    for (int error : {-4000, -4095, -4096, -100000, INT_MIN, INT_MIN + 1, INT_MAX, 4711}) {
        const char *text = speculo_strerror(error);
        ASSERT_NE(text, nullptr) << error;
        EXPECT_NE(*text, '\0') << error;
    }
    EXPECT_STREQ(speculo_strerror(INT_MIN), "Unknown error");
}

TEST(Errors, are_static_and_leave_errno_alone) {
    constexpr int some_errno = 4711;
    for (int error : {0, -EINVAL, -ENOMEM, -4000, INT_MIN}) {
        errno = some_errno;
        const char *text = speculo_strerror(error);
        EXPECT_EQ(errno, some_errno) << error;
        std::string copy = text;
        speculo_strerror(-EBADMSG);
        speculo_strerror(-EIO);
        EXPECT_EQ(copy, text) << error;
    }
}

TEST(Errors, version_is_that_of_the_header) {
    std::string version = std::to_string(SPECULO_VERSION_MAJOR) + "." + std::to_string(SPECULO_VERSION_MINOR) + "." +
                          std::to_string(SPECULO_VERSION_PATCH);
    EXPECT_EQ(speculo_version(), version);
}

} // namespace
