// SPDX-License-Identifier: LGPL-2.1-or-later
// A process at the other end, see ipc/peer.cpp, and the answers that it gives.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "child.hpp"

namespace speculo::test {

// One line of a peer's: "ok name=figure...", "error -11 ...", "broken ...".
class Answer {
public:
    explicit Answer(std::string text) : text_(std::move(text)) {}

    const std::string &text() const { return text_; }
    bool is_ok() const { return text_.compare(0, 2, "ok") == 0; }
    int error() const { return text_.compare(0, 6, "error ") == 0 ? std::atoi(text_.c_str() + 6) : 0; }

    uint64_t operator[](const std::string &name) const {
        size_t at = text_.find(" " + name + "=");
        return at == std::string::npos ? UINT64_MAX : std::strtoull(text_.c_str() + at + name.size() + 2, nullptr, 10);
    }

private:
    std::string text_;
};

class Peer : public Program {
public:
    explicit Peer(const std::string &name, std::vector<std::string> before = {}) : Program(command(name, std::move(before))) {}

    // Sends a line. The answer is to be fetched.
    void tell(const std::string &line) { write_line(line); }
    Answer answer(int timeout_ms = child_timeout_ms) { return Answer(read_line(timeout_ms)); }

    Answer ask(const std::string &line, int timeout_ms = child_timeout_ms) {
        tell(line);
        return answer(timeout_ms);
    }

private:
    static std::vector<std::string> command(const std::string &name, std::vector<std::string> before) {
        before.insert(before.end(), {SPECULO_TEST_PEER, name});
        return before;
    }
};

// These say what the answer was.
#define ASSERT_OK(answer)                                                                                                        \
    do {                                                                                                                         \
        auto given = (answer);                                                                                                   \
        ASSERT_TRUE(given.is_ok()) << #answer << ": " << given.text();                                                           \
    } while (false)
#define EXPECT_OK(answer)                                                                                                        \
    do {                                                                                                                         \
        auto given = (answer);                                                                                                   \
        EXPECT_TRUE(given.is_ok()) << #answer << ": " << given.text();                                                           \
    } while (false)

} // namespace speculo::test
