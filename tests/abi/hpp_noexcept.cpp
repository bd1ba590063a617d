// SPDX-License-Identifier: LGPL-2.1-or-later
// Compiled with -fno-exceptions -fno-rtti: every call of speculo.hpp in the form that takes a std::error_code.
#include <speculo/speculo.hpp>

#include <cstdio>
#include <cstring>
#include <string>
#include <unistd.h>

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "compile this with -fno-exceptions -fno-rtti"
#endif

namespace {

struct Sample {
    double value;
    std::uint64_t count;
};

int failures = 0;

void expect(bool good, const char *what) {
    if (good) { return; }
    ++failures;
    std::fprintf(stderr, "failed: %s\n", what);
}

#define EXPECT(condition) expect((condition), #condition)

void write(speculo::writer &writer) {
    std::error_code ec;
    speculo::buffer plain = writer.alloc(5, ec);
    EXPECT(!ec && plain && plain.size() == 5);
    if (!plain) { return; }
    std::memcpy(plain.data(), "plain", 5);
    writer.shrink(3, ec);
    EXPECT(!ec);

    EXPECT(writer.alloc(1, speculo::chunk_options().key("gone"), ec) && !ec);
    EXPECT(writer.emplace<Sample>(ec, 1.5, std::uint64_t{7}) && !ec);
    EXPECT(writer.emplace<Sample>(speculo::chunk_options().key("sample").tag(3), ec, 2.5, std::uint64_t{8}) && !ec);
    EXPECT(writer.info(ec).used > 0 && !ec);
    writer.commit(ec);
    EXPECT(!ec);

    writer.obsolete(plain.id(), ec);
    EXPECT(!ec);
    writer.rollback(ec);
    EXPECT(!ec);
    writer.remove_key("gone", ec);
    EXPECT(!ec);
    writer.commit(ec);
    EXPECT(!ec);
    writer.remove_key("gone", ec);
    EXPECT(ec == std::errc::no_such_file_or_directory);
}

speculo::held_chunk read(speculo::reader &reader) {
    std::error_code ec;
    std::optional<speculo::chunk> first = reader.next(ec);
    EXPECT(!ec && first && first->text() == "pla");
    EXPECT(first && reader.is_live(*first, ec) && !ec);
    while (reader.next(ec)) {}
    EXPECT(!ec);
    reader.seek(0, ec);
    EXPECT(!ec && reader.next(ec) && !ec);

    std::optional<speculo::chunk> found = reader.read("sample", ec);
    EXPECT(!ec && found && found->as<Sample>() && found->as<Sample>()->count == 8);
    speculo::held_chunk held = found ? found->hold(ec) : speculo::held_chunk();
    EXPECT(!ec && held);
    EXPECT(!reader.read("gone", ec) && !ec);
    EXPECT(reader.info(SPECULO_INFO_QUICK, ec).newest_id > 0 && !ec);

    speculo::snapshot snapshot = reader.snapshot(ec);
    EXPECT(!ec && snapshot && snapshot.next(ec) && snapshot.read("sample", ec) && !ec);
    while (snapshot.next(ec)) {}
    EXPECT(!ec);

    return held;
}

} // namespace

int main() {
    const std::string name = "speculo-test-" + std::to_string(getpid()) + "-noexcept";
    std::error_code ec;
    {
        speculo::reader none = speculo::reader::open(name, speculo::reader::at_start, {}, ec);
        EXPECT(!none && ec == std::errc::no_such_file_or_directory && ec.message() == speculo_strerror(-ENOENT));
        none.next(ec);
        EXPECT(ec == std::errc::invalid_argument);
    }
    {
        auto options = speculo::area_options().capacity(1 << 16);
        speculo::writer writer = speculo::writer::open(name, speculo::writer::exclusive, options, ec);
        EXPECT(writer && !ec);
        write(writer);
        speculo::reader reader = speculo::reader::open(name, speculo::reader::at_start, {}, ec);
        EXPECT(reader && !ec);
        speculo::held_chunk held = read(reader);
        writer.compact(ec);
        EXPECT(!ec);
        reader.close();
        EXPECT(held && held->key() == "sample" && held->tag() == 3);
    }
    speculo::remove(name, ec);
    EXPECT(!ec);
    EXPECT(speculo::version() && speculo::now() >= speculo::boot_clock::time_point());
    return failures == 0 ? 0 : 1;
}
