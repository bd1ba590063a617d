// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo.hpp: each class and call, in both forms, on areas of this process.
#include <speculo/speculo.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using namespace std::chrono_literals;
using speculo::chunk_options;

struct Sample {
    double value;
    std::uint64_t count;
};

struct Marked {
    explicit Marked(int number) noexcept : mark(number), self(this) {}
    int mark;
    const Marked *self;
};

struct ThrowingConstructor {
    ThrowingConstructor(int number) : mark(number) {}
    int mark;
};

struct alignas(64) Wide {
    std::array<std::byte, 64> bytes;
};

struct alignas(4096) Page {
    std::array<std::byte, 4096> bytes;
};

using Huge = std::array<std::byte, 1 << 20>;

// ---- what the compiler can tell --------------------------------------------------------------------------------------------

template <typename T> constexpr bool is_move_only() {
    return !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T> && std::is_nothrow_move_constructible_v<T> &&
           std::is_nothrow_move_assignable_v<T> && std::is_nothrow_default_constructible_v<T>;
}
static_assert(is_move_only<speculo::writer>());
static_assert(is_move_only<speculo::reader>());
static_assert(is_move_only<speculo::snapshot>());
static_assert(sizeof(speculo::writer) == sizeof(void *) && sizeof(speculo::reader) == sizeof(void *));

static_assert(std::is_copy_constructible_v<speculo::held_chunk> && std::is_copy_assignable_v<speculo::held_chunk>);
static_assert(std::is_nothrow_move_constructible_v<speculo::held_chunk> &&
              std::is_nothrow_move_assignable_v<speculo::held_chunk>);
static_assert(std::is_trivially_copyable_v<speculo::chunk> && std::is_trivially_copyable_v<speculo::buffer>);

static_assert(!std::is_convertible_v<const char *, speculo::writer> && !std::is_convertible_v<const char *, speculo::reader>);
static_assert(!std::is_convertible_v<speculo::writer, bool> && !std::is_convertible_v<speculo::buffer, bool>);
static_assert(!std::is_convertible_v<speculo::reader, speculo::writer> &&
              !std::is_constructible_v<speculo::reader, speculo::writer>);

using Writer = speculo::writer &;
using Error = std::error_code &;
static_assert(noexcept(speculo::writer::open("", 0u, {}, std::declval<Error>())));
static_assert(noexcept(speculo::reader::open("", 0u, {}, std::declval<Error>())));
static_assert(noexcept(std::declval<Writer>().alloc(1, std::declval<Error>())));
static_assert(noexcept(std::declval<Writer>().alloc(1, chunk_options(), std::declval<Error>())));
static_assert(noexcept(std::declval<Writer>().emplace<int>(std::declval<Error>(), 1)));
static_assert(noexcept(std::declval<Writer>().commit(std::declval<Error>())));
static_assert(noexcept(std::declval<speculo::reader &>().next(std::declval<Error>())));
static_assert(noexcept(std::declval<speculo::reader &>().read("", std::declval<Error>())));
static_assert(noexcept(std::declval<speculo::reader &>().snapshot(std::declval<Error>())));
static_assert(noexcept(std::declval<speculo::snapshot &>().next(std::declval<Error>())));
static_assert(noexcept(std::declval<speculo::chunk &>().hold(std::declval<Error>())));

static_assert(std::is_same_v<decltype(std::declval<Writer>().emplace<Sample>(chunk_options(), 1.0, std::uint64_t{1})), Sample &>);
static_assert(std::is_same_v<decltype(std::declval<Writer>().emplace<Sample>(std::declval<Error>())), Sample *>);
static_assert(std::is_same_v<std::iterator_traits<speculo::chunk_iterator<speculo::reader>>::reference, const speculo::chunk &>);

#if defined(__cpp_lib_ranges)
static_assert(std::input_iterator<speculo::chunk_iterator<speculo::reader>>);
static_assert(std::ranges::input_range<speculo::reader> && std::ranges::input_range<speculo::snapshot>);
static_assert(std::ranges::contiguous_range<const speculo::chunk> && std::ranges::contiguous_range<const speculo::buffer>);
static_assert(std::chrono::is_clock_v<speculo::boot_clock>);
#endif

// ---- helpers ---------------------------------------------------------------------------------------------------------------

std::string new_area_name() {
    static int count = 0;
    return "speculo-test-" + std::to_string(getpid()) + "-hpp-" + std::to_string(++count);
}

template <typename Call> std::error_code thrown(Call call) {
    try {
        call();
    } catch (const std::system_error &error) { return error.code(); }
    return {};
}

void put(speculo::writer &writer, std::string_view text, const chunk_options &options = {}) {
    speculo::buffer room = writer.alloc(text.size(), options);
    std::memcpy(room.data(), text.data(), text.size());
}

template <typename Source> std::vector<std::string> texts(Source &source) {
    std::vector<std::string> all;
    for (const speculo::chunk &chunk : source) { all.emplace_back(chunk.text()); }
    return all;
}

using Texts = std::vector<std::string>;

class Hpp : public testing::Test {
protected:
    void TearDown() override {
        writer.close();
        std::error_code ignored;
        speculo::remove(name, ignored);
    }

    const std::string name = new_area_name();
    speculo::writer writer{name, speculo::area_options().capacity(1 << 16)};
    std::error_code ec = std::make_error_code(std::errc::io_error); // every call is to set or clear it
};

// ---- errors, clock, options ------------------------------------------------------------------------------------------------

TEST(HppError, HasTheTextsOfTheLibraryAndComparesWithErrc) {
    std::error_code code = speculo::make_error_code(-ENOSPC);
    EXPECT_EQ(&code.category(), &speculo::category());
    EXPECT_STREQ(code.category().name(), "speculo");
    EXPECT_EQ(code.value(), ENOSPC);
    EXPECT_EQ(code.message(), speculo_strerror(-ENOSPC));
    EXPECT_EQ(code, std::errc::no_space_on_device);
    EXPECT_NE(code, std::errc::invalid_argument);
    EXPECT_FALSE(speculo::make_error_code(0));
    EXPECT_FALSE(speculo::make_error_code(1));
}

TEST(HppError, SaysWhichAreaCouldNotBeOpened) {
    const std::string name = new_area_name();
    try {
        speculo::reader reader(name);
        FAIL() << "there is no such area";
    } catch (const std::system_error &error) {
        EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
        EXPECT_NE(std::string(error.what()).find(name), std::string::npos);
    }
    EXPECT_EQ(thrown([] { speculo::writer writer(static_cast<const char *>(nullptr)); }), std::errc::invalid_argument);
}

TEST(HppClock, IsTheOneOfTheLibrary) {
    auto before = static_cast<std::int64_t>(speculo_now());
    auto now = speculo::now().time_since_epoch().count();
    auto after = static_cast<std::int64_t>(speculo_now());
    EXPECT_LE(before, now);
    EXPECT_LE(now, after);
    EXPECT_STREQ(speculo::version(), speculo_version());
}

TEST(HppOptions, FillTheStructsOfC) {
    auto area =
        speculo::area_options().capacity(1).max_capacity(2).mode(0640).compact_percent(3).prefault(4).segments(5).lossless();
    EXPECT_EQ(area.native().struct_size, sizeof(speculo_area_options));
    EXPECT_EQ(area.native().capacity, 1u);
    EXPECT_EQ(area.native().max_capacity, 2u);
    EXPECT_EQ(area.native().mode, 0640u);
    EXPECT_EQ(area.native().compact_percent, 3u);
    EXPECT_EQ(area.native().prefault, 4u);
    EXPECT_EQ(area.native().segments, 5u);
    EXPECT_EQ(area.native().flags, SPECULO_AREA_LOSSLESS);
    EXPECT_EQ(area.native().trusted_uid, 0u);

    auto trusting = speculo::area_options().trusted_uid(1000);
    EXPECT_EQ(trusting.native().flags, SPECULO_AREA_TRUST_UID);
    EXPECT_EQ(trusting.native().trusted_uid, 1000u);

    auto chunk = chunk_options().ttl(2ms).supersedes(3).key("key").alignment(64).tag(4).transient();
    EXPECT_EQ(chunk.native().struct_size, sizeof(speculo_chunk_options));
    EXPECT_EQ(chunk.native().ttl_ns, 2000000u);
    EXPECT_EQ(chunk.native().supersedes, 3u);
    EXPECT_EQ(std::string_view(static_cast<const char *>(chunk.native().key), chunk.native().key_size), "key");
    EXPECT_EQ(chunk.native().alignment, 64u);
    EXPECT_EQ(chunk.native().tag, 4u);
    EXPECT_EQ(chunk.native().flags, SPECULO_CHUNK_TRANSIENT);
}

TEST(HppOptions, NoTimeLeftIsNotForever) {
    EXPECT_EQ(chunk_options().native().ttl_ns, 0u);
    EXPECT_EQ(chunk_options().ttl(0s).native().ttl_ns, 1u);
    EXPECT_EQ(chunk_options().ttl(-5s).native().ttl_ns, 1u);
}

// ---- opening and moving ----------------------------------------------------------------------------------------------------

TEST_F(Hpp, OpensByFlags) {
    using speculo::writer;
    const std::string other = new_area_name();
    EXPECT_EQ(thrown([&] { writer w(other, writer::existing); }), std::errc::no_such_file_or_directory);
    EXPECT_EQ(thrown([&] { writer w(name); }), std::errc::device_or_resource_busy);

    EXPECT_TRUE(writer(other.c_str(), {}));
    EXPECT_TRUE(writer(other, writer::existing));
    EXPECT_EQ(thrown([&] { writer w(other, writer::exclusive); }), std::errc::file_exists);
    EXPECT_TRUE(writer(other, SPECULO_OPEN_CREATE, speculo::area_options().mode(0600)));

    EXPECT_FALSE(writer::open(name, writer::create, {}, ec));
    EXPECT_EQ(ec, std::errc::device_or_resource_busy);
    EXPECT_TRUE(writer::open(other.c_str(), writer::existing, {}, ec));
    EXPECT_FALSE(ec);

    speculo::check(name);
    speculo::check(other.c_str(), nullptr, nullptr, ec);
    EXPECT_FALSE(ec);
    speculo::remove(other);
    EXPECT_EQ(thrown([&] { speculo::check(other); }), std::errc::no_such_file_or_directory);
    speculo::check(other, nullptr, nullptr, ec);
    EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
    EXPECT_EQ(thrown([&] { speculo::remove(other.c_str()); }), std::errc::no_such_file_or_directory);
    speculo::remove(other, ec);
    EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
    speculo::remove(name.c_str(), ec);
    EXPECT_EQ(ec, std::errc::device_or_resource_busy);
}

TEST_F(Hpp, ReaderOpensByFlags) {
    put(writer, "old");
    writer.commit();
    speculo::reader from_start(name);
    speculo::reader from_end(name, speculo::reader::at_end);
    speculo::reader keys(name, speculo::reader::no_cursor);
    speculo::reader other = speculo::reader::open(name, speculo::reader::at_start, {}, ec);
    EXPECT_FALSE(ec);
    put(writer, "new");
    writer.commit();
    EXPECT_EQ(texts(from_start), (Texts{"old", "new"}));
    EXPECT_EQ(texts(from_end), (Texts{"new"}));
    EXPECT_EQ(texts(other), (Texts{"old", "new"}));
    EXPECT_EQ(thrown([&] { keys.next(); }), std::errc::invalid_argument);

    EXPECT_FALSE(speculo::reader::open(name, speculo::reader::at_start, speculo::area_options().capacity(1), ec));
    EXPECT_EQ(ec, std::errc::invalid_argument);
}

TEST_F(Hpp, MovesTheHandle) {
    speculo_area *handle = writer.native_handle();
    ASSERT_NE(handle, nullptr);
    speculo::writer moved = std::move(writer);
    EXPECT_FALSE(writer);
    EXPECT_EQ(writer.native_handle(), nullptr);
    EXPECT_EQ(moved.native_handle(), handle);
    put(moved, "still the same");
    writer = std::move(moved);
    writer.commit();

    speculo::reader first(name);
    std::optional<speculo::chunk> chunk = first.next();
    speculo::reader second = std::move(first);
    EXPECT_EQ(chunk->text(), "still the same");
    EXPECT_FALSE(first);
    EXPECT_TRUE(chunk->hold());
    EXPECT_FALSE(second.next());

    second = speculo::reader(name);
    EXPECT_EQ(texts(second), (Texts{"still the same"}));

    speculo::snapshot taken = second.snapshot();
    speculo::snapshot kept = std::move(taken);
    EXPECT_FALSE(taken);
    EXPECT_EQ(texts(kept), (Texts{"still the same"}));
}

TEST_F(Hpp, EmptyObjectsGiveErrors) {
    speculo::writer no_writer;
    speculo::reader no_reader;
    speculo::snapshot no_snapshot;
    speculo::chunk no_chunk;
    EXPECT_FALSE(no_writer);
    EXPECT_FALSE(no_reader);
    EXPECT_FALSE(no_snapshot);
    EXPECT_EQ(thrown([&] { no_writer.alloc(1); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { no_writer.commit(); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { no_reader.next(); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { texts(no_reader); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { texts(no_snapshot); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { no_reader.info(); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { (void)no_chunk.hold(); }), std::errc::invalid_argument);
    EXPECT_EQ(no_chunk.id(), 0u);
    EXPECT_TRUE(no_chunk.empty());
    no_writer.close();
}

// ---- writing ---------------------------------------------------------------------------------------------------------------

TEST_F(Hpp, BufferIsASpanOfTheChunk) {
    speculo::buffer room = writer.alloc(4);
    EXPECT_TRUE(room);
    EXPECT_EQ(room.size(), 4u);
    EXPECT_EQ(room.end() - room.begin(), 4);
    EXPECT_EQ(room.data(), room.begin());
    EXPECT_GT(room.id(), 0u);
    std::fill(room.begin(), room.end(), std::byte{'a'});
    room[2] = std::byte{'b'};

    speculo::buffer none = writer.alloc(0, ec);
    EXPECT_FALSE(ec);
    EXPECT_TRUE(none);
    EXPECT_TRUE(none.empty());
    EXPECT_EQ(none.id(), room.id() + 1);

    writer.commit(ec);
    EXPECT_FALSE(ec);
    speculo::reader reader(name);
    EXPECT_EQ(texts(reader), (Texts{"aaba", ""}));
}

TEST_F(Hpp, AllocTakesOptions) {
    put(writer, "a", chunk_options().key("k").tag(7).transient());
    speculo::buffer second = writer.alloc(1, chunk_options().alignment(4096), ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second.data()) % 4096, 0u);
    writer.commit();

    speculo::reader reader(name);
    std::optional<speculo::chunk> chunk = reader.next();
    ASSERT_TRUE(chunk);
    EXPECT_EQ(chunk->key(), "k");
    EXPECT_EQ(chunk->tag(), 7u);
    EXPECT_TRUE(chunk->transient());
    EXPECT_FALSE(chunk->removed());
    EXPECT_FALSE(chunk->jumped());
    EXPECT_EQ(chunk->flags(), SPECULO_CHUNK_TRANSIENT);
    EXPECT_EQ(chunk->expires(), speculo::boot_clock::time_point::max());

    EXPECT_EQ(thrown([&] { writer.alloc(1, chunk_options().alignment(3)); }), std::errc::invalid_argument);
    EXPECT_FALSE(writer.alloc(1 << 20, ec));
    EXPECT_EQ(ec, std::errc::message_size);
}

TEST_F(Hpp, TellsWhenAChunkExpires) {
    auto before = speculo::now();
    if (!writer.alloc(1, chunk_options().ttl(1h), ec)) {
        EXPECT_EQ(ec, std::errc::operation_not_supported); // where the host's clock is not known
        return;
    }
    put(writer, "over", chunk_options().ttl(0s));
    writer.commit();
    speculo::reader reader(name);
    std::optional<speculo::chunk> chunk = reader.next();
    ASSERT_TRUE(chunk);
    EXPECT_GE(chunk->expires(), before + 1h);
    EXPECT_LE(chunk->expires(), speculo::now() + 1h + 1min);
}

TEST_F(Hpp, CommitRollbackShrinkObsolete) {
    speculo::reader reader(name);
    put(writer, "first");
    writer.shrink(2);
    writer.commit();
    EXPECT_EQ(texts(reader), (Texts{"fi"}));

    put(writer, "never");
    writer.rollback();
    writer.commit();
    EXPECT_EQ(texts(reader), Texts());

    put(writer, "x");
    speculo::buffer passed = writer.alloc(1);
    writer.obsolete(passed.id());
    put(writer, "z");
    writer.commit();
    EXPECT_EQ(reader.next()->text(), "x");
    std::optional<speculo::chunk> last = reader.next();
    EXPECT_EQ(last->text(), "z");
    EXPECT_EQ(last->skipped(), 1u);

    EXPECT_EQ(thrown([&] { writer.shrink(1); }), std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { writer.obsolete(passed.id()); }), std::errc::no_such_file_or_directory);
    writer.shrink(1, ec);
    EXPECT_EQ(ec, std::errc::invalid_argument);
    writer.rollback(ec);
    EXPECT_FALSE(ec);
}

TEST_F(Hpp, RemovesKeys) {
    put(writer, "value", chunk_options().key("k"));
    writer.commit();
    speculo::reader reader(name, speculo::reader::at_end);
    EXPECT_EQ(reader.read("k")->text(), "value");
    writer.remove_key("k");
    writer.commit();
    EXPECT_FALSE(reader.read("k"));
    std::optional<speculo::chunk> removal = reader.next();
    ASSERT_TRUE(removal);
    EXPECT_TRUE(removal->removed());
    EXPECT_EQ(removal->key(), "k");
    EXPECT_TRUE(removal->empty());
    EXPECT_EQ(removal->as<char>(), nullptr);

    EXPECT_EQ(thrown([&] { writer.remove_key("k"); }), std::errc::no_such_file_or_directory);
    writer.remove_key("", ec);
    EXPECT_EQ(ec, std::errc::invalid_argument);
}

TEST_F(Hpp, ReadsWithoutTrust) {
    put(writer, "small", chunk_options().key("k"));
    put(writer, std::string(100, 'l'));
    writer.commit();
    speculo::reader reader(name, speculo::reader::untrusted, speculo::area_options().max_capacity(10));
    EXPECT_EQ(reader.next()->text(), "small");
    speculo::held_chunk held = reader.read("k")->hold();
    EXPECT_EQ(thrown([&] { reader.next(); }), std::errc::message_size);
    EXPECT_FALSE(reader.next());
    reader = speculo::reader();
    EXPECT_EQ(held->text(), "small");
}

TEST_F(Hpp, CompactsAndInforms) {
    put(writer, "live");
    put(writer, "transient", chunk_options().transient());
    EXPECT_EQ(thrown([&] { writer.compact(); }), std::errc::invalid_argument);
    writer.commit();
    EXPECT_EQ(writer.info().live_chunks, 2u);
    EXPECT_EQ(writer.info(SPECULO_INFO_QUICK).live_chunks, 0u);
    writer.compact();
    writer.compact(ec);
    EXPECT_FALSE(ec);

    speculo::reader reader(name);
    speculo::area_info info = reader.info(ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(info.struct_size, sizeof info);
    EXPECT_EQ(info.live_chunks, 1u);
    EXPECT_EQ(info.generation, 3u);
    EXPECT_EQ(reader.info(SPECULO_INFO_QUICK, ec).newest_id, 2u);
    EXPECT_EQ(texts(reader), (Texts{"live"}));
}

// ---- emplace and as --------------------------------------------------------------------------------------------------------

TEST_F(Hpp, EmplaceMakesObjectsInPlace) {
    Sample &zero = writer.emplace<Sample>();
    EXPECT_EQ(zero.value, 0.0);
    EXPECT_EQ(zero.count, 0u);
    Sample &sample = writer.emplace<Sample>(1.5, std::uint64_t{2});
    sample.count = 3;
    Marked &marked = writer.emplace<Marked>(4);
    EXPECT_EQ(marked.self, &marked);
    writer.emplace<ThrowingConstructor>(ThrowingConstructor(5)); // made before it is placed
    Wide &wide = writer.emplace<Wide>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&wide) % alignof(Wide), 0u);
    writer.commit();

    speculo::reader reader(name);
    EXPECT_EQ(reader.next()->as<Sample>()->count, 0u);
    EXPECT_EQ(reader.next()->as<Sample>()->count, 3u);
    EXPECT_EQ(reader.next()->as<Marked>()->mark, 4);
    EXPECT_EQ(reader.next()->as<ThrowingConstructor>()->mark, 5);
    EXPECT_NE(reader.next()->as<Wide>(), nullptr);
    EXPECT_FALSE(reader.next());
}

TEST_F(Hpp, EmplaceTakesOptionsAndErrorCodes) {
    chunk_options keyed;
    keyed.key("k").tag(9);
    writer.emplace<Sample>(keyed, 1.5, std::uint64_t{1});
    writer.emplace<Wide>(chunk_options().key("wide").alignment(1));
    EXPECT_EQ(keyed.native().alignment, 0u);
    Sample *sample = writer.emplace<Sample>(keyed, ec, 2.5, std::uint64_t{2});
    EXPECT_FALSE(ec);
    ASSERT_NE(sample, nullptr);
    sample->count = 3;
    EXPECT_NE(writer.emplace<int>(ec), nullptr);
    writer.commit();

    speculo::reader reader(name);
    EXPECT_EQ(reader.read("k")->as<Sample>()->count, 3u);
    EXPECT_EQ(reader.read("k")->tag(), 9u);
    EXPECT_NE(reader.read("wide")->as<Wide>(), nullptr);

    EXPECT_EQ(writer.emplace<Huge>(ec), nullptr);
    EXPECT_EQ(ec, std::errc::message_size);
    EXPECT_EQ(writer.emplace<Huge>(keyed, ec), nullptr);
    EXPECT_EQ(ec, std::errc::message_size);
    EXPECT_EQ(thrown([&] { writer.emplace<Huge>(); }), std::errc::message_size);
    EXPECT_EQ(thrown([&] { writer.emplace<Huge>(keyed); }), std::errc::message_size);
}

TEST_F(Hpp, AsRefusesWhatDoesNotFit) {
    put(writer, "12345678");
    writer.alloc(sizeof(Page));
    writer.alloc(sizeof(Page)); // behind the other's header: at most one of the two is aligned by chance
    writer.commit();
    speculo::reader reader(name);
    std::optional<speculo::chunk> chunk = reader.next();
    EXPECT_NE(chunk->as<std::uint64_t>(), nullptr);
    EXPECT_NE((chunk->as<std::array<char, 8>>()), nullptr);
    EXPECT_EQ(static_cast<const void *>(chunk->as<std::uint64_t>()), chunk->data());
    EXPECT_EQ(chunk->as<std::uint32_t>(), nullptr);
    EXPECT_EQ(chunk->as<Sample>(), nullptr);

    int aligned = 0;
    while ((chunk = reader.next())) {
        bool good = reinterpret_cast<std::uintptr_t>(chunk->data()) % alignof(Page) == 0;
        EXPECT_EQ(chunk->as<Page>() != nullptr, good);
        aligned += good ? 1 : 0;
    }
    EXPECT_LE(aligned, 1);
}

// ---- reading ---------------------------------------------------------------------------------------------------------------

TEST_F(Hpp, NextGivesChunksUntilCaughtUp) {
    put(writer, "one");
    put(writer, "two");
    writer.commit();
    speculo::reader reader(name);
    std::optional<speculo::chunk> chunk = reader.next(ec);
    EXPECT_FALSE(ec);
    ASSERT_TRUE(chunk);
    EXPECT_EQ(chunk->id(), 1u);
    EXPECT_EQ(chunk->text(), "one");
    EXPECT_EQ(chunk->size(), 3u);
    EXPECT_EQ((*chunk)[1], std::byte{'n'});
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(chunk->begin()), 3), "one");
    EXPECT_EQ(chunk->end() - chunk->begin(), 3);
    EXPECT_EQ(chunk->key(), "");
    EXPECT_EQ(chunk->native().id, 1u);
    EXPECT_EQ(reader.next()->text(), "two");
    ec = std::make_error_code(std::errc::io_error);
    EXPECT_FALSE(reader.next(ec));
    EXPECT_FALSE(ec);
    EXPECT_FALSE(reader.next());
}

TEST_F(Hpp, RangeForGoesOnWhereItStopped) {
    speculo::reader reader(name);
    EXPECT_EQ(texts(reader), Texts());
    put(writer, "a");
    put(writer, "b");
    put(writer, "c");
    writer.commit();
    for (const speculo::chunk &chunk : reader) {
        if (chunk.text() == "a") { break; }
    }
    EXPECT_EQ(texts(reader), (Texts{"b", "c"}));
    EXPECT_EQ(texts(reader), Texts());
    put(writer, "d");
    writer.commit();
    auto it = reader.begin();
    EXPECT_EQ(it->text(), "d");
    EXPECT_NE(it, reader.end());
    it++;
    EXPECT_EQ(it, reader.end());

    reader.seek(0);
    EXPECT_EQ(std::count_if(reader.begin(), reader.end(), [](const speculo::chunk &chunk) { return chunk.size() == 1; }), 4);
}

TEST_F(Hpp, SeeksAndKnowsWhatIsLive) {
    put(writer, "a", chunk_options().key("k"));
    put(writer, "b");
    writer.commit();
    speculo::reader reader(name);
    speculo::chunk first = *reader.next();
    EXPECT_TRUE(reader.is_live(first));
    put(writer, "c", chunk_options().key("k"));
    writer.commit();
    EXPECT_FALSE(reader.is_live(first, ec));
    EXPECT_FALSE(ec);

    reader.seek(3);
    EXPECT_EQ(texts(reader), (Texts{"c"}));
    reader.seek(0, ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(texts(reader), (Texts{"b", "c"}));
    speculo::reader keys(name, speculo::reader::no_cursor);
    EXPECT_EQ(thrown([&] { keys.seek(0); }), std::errc::invalid_argument);
}

TEST_F(Hpp, ReadsTheNewestOfAKey) {
    speculo::reader reader(name, speculo::reader::no_cursor);
    EXPECT_FALSE(reader.read("k"));
    put(writer, "1", chunk_options().key("k"));
    writer.commit();
    EXPECT_EQ(reader.read("k", ec)->text(), "1");
    EXPECT_FALSE(ec);
    put(writer, "2", chunk_options().key("k"));
    EXPECT_EQ(reader.read("k")->text(), "1");
    writer.commit();
    EXPECT_EQ(reader.read("k")->text(), "2");
    EXPECT_EQ(thrown([&] { reader.read(std::string(300, 'k')); }), std::errc::invalid_argument);
    EXPECT_FALSE(reader.read("", ec));
    EXPECT_EQ(ec, std::errc::invalid_argument);
}

// ---- snapshots and holds ---------------------------------------------------------------------------------------------------

TEST_F(Hpp, SnapshotStaysAsItWas) {
    put(writer, "a", chunk_options().key("k"));
    put(writer, "b");
    writer.commit();
    speculo::reader reader(name);
    speculo::snapshot snapshot = reader.snapshot();
    ASSERT_NE(snapshot.native_handle(), nullptr);
    put(writer, "c", chunk_options().key("k"));
    writer.commit();
    writer.compact();
    reader.close();

    EXPECT_EQ(snapshot.read("k")->text(), "a");
    EXPECT_EQ(snapshot.read("k", ec)->text(), "a");
    EXPECT_FALSE(ec);
    EXPECT_FALSE(snapshot.read("none"));
    EXPECT_EQ(snapshot.next()->text(), "a");
    EXPECT_EQ(texts(snapshot), (Texts{"b"}));
    EXPECT_FALSE(snapshot.next(ec));
    EXPECT_FALSE(ec);
    EXPECT_EQ(thrown([&] { snapshot.read(""); }), std::errc::invalid_argument);
    snapshot.close();
    EXPECT_FALSE(snapshot);
}

TEST_F(Hpp, SnapshotWithErrorCode) {
    put(writer, "a");
    writer.commit();
    speculo::reader reader(name);
    speculo::snapshot snapshot = reader.snapshot(ec);
    EXPECT_FALSE(ec);
    EXPECT_TRUE(snapshot);
    speculo::held_chunk held = snapshot.next()->hold(ec);
    EXPECT_FALSE(ec);
    snapshot.close();
    EXPECT_EQ(held->text(), "a");
    EXPECT_FALSE(speculo::reader().snapshot(ec));
    EXPECT_EQ(ec, std::errc::invalid_argument);
}

void churn(speculo::writer &writer) {
    for (int round = 0; round < 8; ++round) {
        for (int i = 0; i < 32; ++i) {
            speculo::buffer room = writer.alloc(1024, chunk_options().transient());
            std::fill(room.begin(), room.end(), std::byte{0xee});
        }
        writer.commit();
        writer.compact();
    }
}

TEST_F(Hpp, HeldChunkOutlivesReader) {
    const std::string text(500, 'x');
    put(writer, text, chunk_options().key("k").tag(5).transient());
    writer.commit();
    speculo::held_chunk held;
    EXPECT_FALSE(held);
    EXPECT_EQ(held.get(), nullptr);
    {
        speculo::reader reader(name);
        speculo::chunk view = *reader.next();
        held = view.hold();
        EXPECT_TRUE(reader.is_live(*held));
        EXPECT_FALSE(reader.next());
    }
    churn(writer);
    ASSERT_TRUE(held);
    EXPECT_EQ(held->text(), text);
    EXPECT_EQ((*held).key(), "k");
    EXPECT_EQ(held.get()->tag(), 5u);
    writer.close();
    speculo::remove(name);
    EXPECT_EQ(held->text(), text);
}

TEST_F(Hpp, HeldChunkIsShared) {
    put(writer, "shared");
    writer.commit();
    speculo::reader reader(name);
    speculo::held_chunk first = reader.next()->hold();
    speculo::held_chunk second = first;
    speculo::held_chunk third = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(second.get(), third.get());
    const speculo::held_chunk &itself = second;
    second = itself;
    EXPECT_EQ(second->text(), "shared");
    third.reset();
    EXPECT_FALSE(third);
    third = second;
    reader.close();

    second.reset();
    std::thread([last = std::move(third)]() mutable {
        EXPECT_EQ(last->text(), "shared");
        last.reset();
    }).join();
}

TEST_F(Hpp, HoldingTwiceGivesTwoHolds) {
    put(writer, "twice");
    writer.commit();
    speculo::reader reader(name);
    speculo::chunk view = *reader.next();
    speculo::held_chunk first = view.hold();
    speculo::held_chunk second = view.hold(ec);
    EXPECT_FALSE(ec);
    EXPECT_NE(first.get(), second.get());
    // What a held_chunk shows is not to be held: two owners of one hold would both release it.
    speculo::chunk copy = *first;
    EXPECT_FALSE(copy.hold(ec));
    EXPECT_EQ(ec, std::errc::invalid_argument);
    first.reset();
    reader.close();
    churn(writer);
    EXPECT_EQ(second->text(), "twice");
}

TEST_F(Hpp, OutdatedViewCannotBeHeld) {
    put(writer, "a");
    put(writer, "b");
    writer.commit();
    speculo::reader reader(name);
    speculo::chunk first = *reader.next();
    EXPECT_TRUE(reader.next());
    EXPECT_FALSE(first.hold(ec));
    EXPECT_EQ(ec, std::errc::invalid_argument);
    EXPECT_EQ(thrown([&] { (void)first.hold(); }), std::errc::invalid_argument);
}

TEST_F(Hpp, HandlesGoWithTheCallsOfC) {
    put(writer, "c");
    EXPECT_EQ(speculo_commit(writer.native_handle()), 0);
    speculo::reader reader(name);
    speculo_chunk chunk;
    ASSERT_EQ(speculo_read_next(reader.native_handle(), &chunk), 1);
    EXPECT_EQ(std::memcmp(chunk.data, "c", 1), 0);
    speculo::snapshot snapshot = reader.snapshot();
    EXPECT_EQ(speculo_snapshot_next(snapshot.native_handle(), &chunk), 1);
}

#if defined(__cpp_lib_span)
TEST_F(Hpp, GivesSpans) {
    std::span<std::byte> room = writer.alloc(3).bytes();
    std::fill(room.begin(), room.end(), std::byte{'s'});
    writer.commit();
    speculo::reader reader(name);
    speculo::chunk chunk = *reader.next();
    EXPECT_EQ(chunk.bytes().size(), 3u);
    EXPECT_EQ(std::span<const std::byte>(chunk).data(), chunk.data());
}
#endif

} // namespace
