// SPDX-License-Identifier: LGPL-2.1-or-later
// Calls of speculo_area_check with all that it tells, and areas that have everything for it to look at.
#pragma once

#include <gtest/gtest.h>

#include "probe.hpp"
#include "writing.hpp"

namespace speculo::test {

struct CheckResult {
    int error = 0;
    std::vector<std::string> messages;

    std::string text() const {
        std::string all = "result " + std::to_string(error) + "\n";
        for (const std::string &message : messages) { all += message + "\n"; }
        return all;
    }
    bool tells(const std::string &part) const { return text().find(part) != std::string::npos; }
};

inline CheckResult check(const AreaName &name) {
    CheckResult result;
    auto report = [](void *user, int error, const char *message) {
        EXPECT_LT(error, 0);
        static_cast<CheckResult *>(user)->messages.emplace_back(message);
    };
    result.error = speculo_area_check(name.c_str(), report, &result);
    return result;
}

inline void expect_sound(const AreaName &name) {
    CheckResult result = check(name);
    EXPECT_EQ(result.error, 0) << result.text();
    EXPECT_EQ(result.messages.size(), 0u) << result.text();
    EXPECT_EQ(speculo_area_check(name.c_str(), nullptr, nullptr), 0);
}

inline std::string object_of(AreaProbe &area, uint32_t slot) {
    return core::segment_name(area.area().place, slot, core::slot_nonce(core::peek(area.control().slots[slot]))).text;
}

// Takes an object's name away for a moment.
class Hidden {
public:
    Hidden(const AreaName &area, const std::string &object) : path_(area.path().substr(0, area.path().rfind('/') + 1) + object) {
        EXPECT_EQ(rename(path_.c_str(), (path_ + ".hidden").c_str()), 0) << path_;
    }
    ~Hidden() { EXPECT_EQ(rename((path_ + ".hidden").c_str(), path_.c_str()), 0); }
    Hidden(const Hidden &) = delete;
    Hidden &operator=(const Hidden &) = delete;

private:
    std::string path_;
};

// How many segment objects there have been; it grows when one is replaced.
inline uint64_t objects_made(AreaProbe &area) {
    uint64_t sum = 0;
    for (core::Shared<uint64_t> &slot : area.control().slots) { sum += core::slot_incarnation(core::observe_slot(slot)); }
    return sum;
}

// Every kind of frame and field, versions, removals, what was superseded and obsoleted, in several generations.
inline void write_everything(speculo_area *writer, int rounds = 20) {
    for (int i = 0; i < rounds; ++i) {
        uint64_t plain = commit_chunk(writer, "plain");
        put_key(writer, i % 3 == 0 ? "a" : "bb", std::to_string(i));
        put_chunk(writer, std::string(size_t(i * 5), 'x'), i % 2 ? transient() : aligned(64));
        put_chunk(writer, "instead", superseding(plain));
        ChunkOptions options = living(uint64_t(1) << 50);
        options.tag = 7;
        uint64_t tagged = commit_chunk(writer, "tagged", options);
        if (i % 4 == 1) { EXPECT_EQ(remove_key(writer, "bb"), 0); }
        if (i % 2) { EXPECT_EQ(speculo_chunk_obsolete(writer, tagged), 0); }
        commit(writer);
        if (i % 4 == 3) { EXPECT_EQ(speculo_chunk_obsolete(writer, commit_chunk(writer, "gone")), 0); }
        commit(writer);
        if (i % 7 == 6) { compact_now(writer); }
    }
    commit_chunk(writer, std::string(5000, 'l')); // a page in which no frame begins
    commit_key(writer, "ccc", "first");
    commit_key(writer, "ccc", "second");
    commit_key(writer, "ccc", "third");
    commit_chunk(writer, "last");
}

} // namespace speculo::test
