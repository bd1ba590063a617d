// SPDX-License-Identifier: LGPL-2.1-or-later
// Areas that a released version has left behind, byte by byte: what is in them, and how they are kept in a text file.
#pragma once

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <sstream>

#include "faults.hpp"
#include "writing.hpp"

namespace speculo::test {

inline constexpr uint64_t golden_capacity = 16 << 10;
inline constexpr uint64_t golden_ages = uint64_t(1) << 62; // a time to live of 146 years, in nanoseconds

inline std::string long_key() { return std::string(255, 'k'); }
inline std::string large_payload() { // most of it zeros, which take no room in the file
    std::string text(5000, '\0');
    for (size_t i = 0; i + 4 <= text.size(); i += 499) { text.replace(i, 4, std::to_string(1000 + i)); }
    return text;
}

// ---- what is in the area ----------------------------------------------------------------------------------------------------

// Three generations of history, and what the current one begins with: chunks 1, 2 and 4.
inline void write_history(speculo_area *writer) {
    put_key(writer, "config", "first");
    ChunkOptions tagged;
    tagged.tag = 7;
    put_chunk(writer, "two", tagged);
    put_chunk(writer, "left behind", transient());
    put_chunk(writer, "expired", living(ms));
    commit(writer);
    for (int i = 0; i < 3; ++i) { compact_now(writer); }
}

// One of everything that a frame may be.
inline void write_present(speculo_area *writer) {
    put_key(writer, "config", "second"); // 5
    put_key(writer, "config", "third");  // 6: two versions in one commit
    ChunkOptions tagged;
    tagged.tag = 0xfedcba98;
    put_key(writer, long_key(), "", tagged); // 7
    commit(writer);
    commit_chunk(writer, "aligned", aligned(4096)); // 8: padding in front
    put_chunk(writer, "for two", superseding(2));   // 9
    ChunkOptions passing = living(golden_ages);
    passing.flags = SPECULO_CHUNK_TRANSIENT;
    put_chunk(writer, "passing", passing); // 10
    commit(writer);
    commit_key(writer, "gone", "soon"); // 11
    EXPECT_EQ(remove_key(writer, "gone"), 0);
    commit(writer);                                           // 12: the removal
    commit_chunk(writer, "useless");                          // 13
    EXPECT_EQ(speculo_chunk_obsolete(writer, 13), 0);         // a marker
    commit(writer);                                           //
    commit_chunk(writer, large_payload());                    // 14: no frame begins in the page behind
    put_chunk(writer, "short" + std::string(800, '\0'));      // 15
    EXPECT_EQ(speculo_chunk_shrink(writer, 5), 0);            //
    put_key(writer, "state", "lasting", living(golden_ages)); // 16
    commit(writer);
    put_key(writer, "state", "never seen"); // given back, but its bytes stay
    speculo_rollback(writer);
}

// A commit of chunks 17 and 18, whose writer dies right before its last store: the one to the first commit word.
inline void tear_commit(speculo_area *writer) {
    core::Writer &inner = inside(writer);
    const core::SegmentMap &map = inner.current->map;
    uint32_t place = inner.tail, hint = core::peek(map.header().hint);
    put_key(writer, "config", "torn");
    put_chunk(writer, "torn too", superseding(9));
    commit(writer);
    core::put(map.frame(place).commit, 0u);
    core::put(map.header().hint, hint);
}

// A compaction, whose writer dies between `current` and END.
inline void tear_switch(speculo_area *writer) {
    core::Writer &inner = inside(writer);
    const core::SegmentMap &map = inner.current->map;
    uint32_t end = inner.committed;
    compact_now(writer);
    std::memset(map.bytes(end), 0, sizeof(core::FrameHeader));
}

// ---- how it is kept -----------------------------------------------------------------------------------------------------------

using Image = std::map<std::string, std::string>; // bytes of each object, by what its name has behind the area's

inline Image image_of(const AreaName &name) {
    Image image;
    size_t length = name.path().substr(name.path().rfind('/') + 1).size();
    for (const std::string &file : name.files()) {
        std::ifstream in(name.path(file.substr(length)), std::ios::binary);
        std::stringstream bytes;
        bytes << in.rdbuf();
        image[file.substr(length)] = bytes.str();
    }
    return image;
}

inline constexpr size_t row = 32; // bytes; a row of zeros is left out

inline void print(std::ostream &out, const Image &image) {
    char text[8];
    for (const auto &[suffix, bytes] : image) {
        out << "object " << (suffix.empty() ? "." : suffix) << ' ' << bytes.size() << '\n';
        for (size_t at = 0; at < bytes.size(); at += row) {
            std::string part = bytes.substr(at, row);
            if (part.find_first_not_of('\0') == std::string::npos) { continue; }
            out << at << ' ';
            for (char byte : part) {
                std::snprintf(text, sizeof text, "%02x", unsigned(static_cast<unsigned char>(byte)));
                out << text;
            }
            out << '\n';
        }
    }
}

// All images of a file, by their names.
inline std::map<std::string, Image> parse(std::istream &in) {
    std::map<std::string, Image> images;
    Image *image = nullptr;
    std::string *bytes = nullptr, line, word, rest;
    while (std::getline(in, line)) {
        std::istringstream words(line);
        size_t number = 0;
        words >> word >> rest;
        if (line.empty() || line[0] == '#') { continue; }
        if (word == "area") {
            image = &images[rest];
        } else if (word == "object") {
            words >> number;
            bytes = &(*image)[rest == "." ? "" : rest];
            bytes->resize(number);
        } else {
            size_t at = std::stoul(word);
            for (size_t i = 0; i < rest.size() / 2; ++i) {
                bytes->at(at + i) = char(std::stoi(rest.substr(2 * i, 2), nullptr, 16));
            }
        }
    }
    return images;
}

} // namespace speculo::test
