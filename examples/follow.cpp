// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The same as follow.c, in C++ and shorter: who closes what follows from the scopes, and errors are exceptions.
#include "console.h"
#include "figures.h"

#include <speculo/speculo.hpp>

#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>

namespace {

struct follower {
    std::string name = FIGURES_NAME;
    console_times times{};
    figures_stream stream{};
    figures_whole whole{}; // the newest snapshot
    std::uint64_t snapshots = 0, mixed = 0;
};

constexpr char usage[] = "usage: follow-cpp [NAME] [--wait TIME] [--duration TIME] [--refresh MS]\n"
                         "\n"
                         "Follows the figures that publish shares in the area NAME (default: " FIGURES_NAME "), until Ctrl-C.\n"
                         "\n" CONSOLE_TIMES_USAGE "\n"
                         "The exit status is 0 if nothing was lost or mixed.\n";

template <typename T> const T *payload(const speculo::chunk &chunk, std::uint32_t tag) {
    return chunk.tag() == tag ? chunk.as<T>() : nullptr;
}

void read_stream(follower &self, speculo::reader &reader) {
    for (const speculo::chunk &chunk : reader) { // until caught up
        figures_note_chunk(&self.stream, chunk.id(), chunk.skipped());
        if (auto *sample = payload<figures_sample>(chunk, FIGURES_SAMPLE)) { figures_note_sample(&self.stream, sample); }
    }
}

// All blocks that were live at one commit: of one round, and complete.
void look_at_all(follower &self, speculo::reader &reader) {
    figures_whole whole{};
    speculo::snapshot snapshot = reader.snapshot();
    for (const speculo::chunk &chunk : snapshot) {
        if (auto *block = payload<figures_block>(chunk, FIGURES_BLOCK)) { figures_whole_block(&whole, block); }
        if (auto *sample = payload<figures_sample>(chunk, FIGURES_SAMPLE)) { figures_whole_sample(&whole, sample); }
    }
    self.whole = whole;
    self.snapshots++;
    self.mixed += !figures_is_whole(&whole);
}

// The newest block of a key, whatever the cursor has read.
std::string newest(speculo::reader &reader, const char *key) {
    std::optional<speculo::chunk> chunk = reader.read(key);
    auto *block = chunk ? payload<figures_block>(*chunk, FIGURES_BLOCK) : nullptr;
    return block ? std::string(block->text, strnlen(block->text, sizeof block->text)) : "unknown";
}

void report(const follower &self, speculo::reader &reader) {
    if (!console_is_due(self.times.refresh_ms)) { return; }
    char line[512];
    std::snprintf(line, sizeof line,
                  "follow-cpp: publisher %" PRIu32 "%s, round %" PRIu64 "; samples %" PRIu64 ", missing %" PRIu64
                  "; blocks %" PRIu32 " of %" PRIu32 "; snapshots %" PRIu64 ", mixed %" PRIu64 "; load %s",
                  self.stream.publisher, reader.info(SPECULO_INFO_QUICK).writer_alive ? "" : " is gone", self.stream.last,
                  self.stream.samples, self.stream.missing, self.whole.blocks, self.whole.expected, self.snapshots, self.mixed,
                  newest(reader, "load").c_str());
    if (!console_is_live()) {
        console_say("%s", line);
        return;
    }
    console_begin();
    console_line(self.stream.missing + self.mixed == 0 ? CONSOLE_PLAIN : CONSOLE_BAD, "%s", line);
    console_end();
}

// The last line is for programs.
bool conclude(const follower &self) {
    const figures_stream &stream = self.stream;
    bool ok = stream.missing == 0 && stream.disorder == 0 && self.mixed == 0;
    console_say("result role=reader reader=follow-cpp chunks=%" PRIu64 " passed=%" PRIu64 " samples=%" PRIu64 " first=%" PRIu64
                " last=%" PRIu64 " missing=%" PRIu64 " disorder=%" PRIu64 " publishers=%" PRIu64 " snapshots=%" PRIu64
                " mixed=%" PRIu64 " ok=%d",
                stream.chunks, stream.passed, stream.samples, stream.first, stream.last, stream.missing, stream.disorder,
                stream.publishers, self.snapshots, self.mixed, ok);
    return ok;
}

bool may_pass(const std::error_code &ec) {
    return ec == std::errc::no_such_file_or_directory || ec == std::errc::resource_unavailable_try_again;
}

speculo::reader wait_for(follower &self) {
    for (bool told = false;; told = true) {
        std::error_code ec;
        speculo::reader reader = speculo::reader::open(self.name, speculo::reader::at_start, {}, ec);
        if (!ec) { return reader; }
        if (!told && may_pass(ec)) { console_say("follow-cpp: waiting for area '%s'", self.name.c_str()); }
        if (!may_pass(ec) || !console_may_wait(&self.times)) {
            throw std::system_error(ec, "cannot open area '" + self.name + "'");
        }
    }
}

// One look at what is new; false when the area was removed and all of it is read.
bool step(follower &self, speculo::reader &reader) {
    try {
        read_stream(self, reader);
        look_at_all(self, reader);
        report(self, reader);
    } catch (const std::system_error &error) {
        if (error.code().value() == ESTALE) { return false; }
        if (error.code() != std::errc::resource_unavailable_try_again) { throw; } // else the writer was too quick this time
    }
    return true;
}

bool run(follower &self) {
    speculo::reader reader = wait_for(self);
    self.times.since = console_now();
    bool last = false;
    while (!last) {
        last = console_is_over(&self.times) != 0;
        if (!step(self, reader)) {
            console_say("follow-cpp: area '%s' was removed, and all of it is read", self.name.c_str());
            break;
        }
        std::error_code ec; // such as "a signal handler ran", or "the writer is gone": another may come
        if (!last) { reader.wait(std::chrono::milliseconds(100), ec); }
    }
    return conclude(self);
}

} // namespace

int main(int argc, char **argv) {
    follower self;
    for (int i = 1; i < argc; i++) {
        if (std::strcmp(argv[i], "--help") == 0) {
            std::fputs(usage, stdout);
            return 0;
        }
        if (argv[i][0] != '-') {
            self.name = argv[i];
        } else if (!console_take_times(&self.times, argc, argv, &i)) {
            console_complain("follow-cpp: cannot make sense of '%s'\n\n%s", argv[i], usage);
            return 2;
        }
    }
    console_open();
    try {
        return run(self) ? 0 : 1;
    } catch (const std::exception &error) {
        console_complain("follow-cpp: %s", error.what());
        return 1;
    }
}
