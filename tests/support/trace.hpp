// SPDX-License-Identifier: LGPL-2.1-or-later
// A peer in strace: what it asks of the system between the marks that "marked ..." makes.
#pragma once

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "peer.hpp"

namespace speculo::test {

// A file that is gone at the end.
class TraceFile {
public:
    TraceFile() {
        int fd = mkstemp(path_.data());
        if (fd < 0) { std::abort(); }
        close(fd);
    }
    ~TraceFile() { unlink(path_.c_str()); }
    TraceFile(const TraceFile &) = delete;
    TraceFile &operator=(const TraceFile &) = delete;

    const std::string &path() const { return path_; }

private:
    std::string path_ = "/tmp/speculo-trace-XXXXXX";
};

class TracedPeer {
public:
    explicit TracedPeer(const std::string &name) : peer_(name, before(file_.path())) {}

    Answer ask(const std::string &line) { return peer_.ask(line); }

    // Lets the peer end, so that the trace is complete.
    int finish() {
        peer_.close_input();
        return peer_.wait();
    }

    // All of its calls, as strace writes them.
    std::vector<std::string> calls() const {
        std::vector<std::string> lines;
        std::ifstream file(file_.path());
        for (std::string line; std::getline(file, line);) { lines.push_back(line); }
        return lines;
    }

    // The names of those between marks.
    std::vector<std::string> marked_calls() const {
        std::vector<std::string> names;
        bool is_marked = false;
        for (const std::string &line : calls()) {
            std::string name = line.substr(0, line.find('('));
            if (name == "getppid") {
                is_marked = !is_marked;
                names.push_back("mark");
            } else if (is_marked) {
                names.push_back(name);
            }
        }
        return names;
    }

private:
    // The leak checker cannot work in a process that is traced.
    static std::vector<std::string> before(const std::string &path) {
        const char *options = std::getenv("ASAN_OPTIONS");
        std::string sanitizer = "ASAN_OPTIONS=" + std::string(options ? options : "") + ":detect_leaks=0";
        return {"/usr/bin/env", sanitizer, "strace", "-o", path, "-a", "0"};
    }

    TraceFile file_;
    Peer peer_;
};

} // namespace speculo::test
