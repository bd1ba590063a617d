// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef SPECULO_HPP
#define SPECULO_HPP

/**
 * @file
 * speculo.h as C++17 classes: who owns what, types instead of sizes, errors as exceptions. No logic of its own.
 *
 * @code
 * speculo::writer writer("weather");
 * writer.emplace<sample>(speculo::chunk_options().key("wind"), 12.5, 270.0);
 * writer.commit();
 *
 * speculo::reader reader("weather");
 * for (const speculo::chunk &chunk : reader) { use(chunk.as<sample>()); }
 * @endcode
 *
 * What each call does, costs and returns, and how long views live, is said in speculo.h at the C call of the same name.
 *
 * @par Errors
 * What can fail has two forms. One throws std::system_error; it is there unless exceptions are switched off. The other takes a
 * std::error_code, sets or clears it, and never throws. Codes are of category() and compare with std::errc.
 *
 * @par Threads
 * An object belongs to one thread at a time; a held_chunk may go anywhere.
 */

#include <speculo/speculo.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#if __cplusplus >= 202002L
#include <span>
#endif

namespace speculo {

/* ---- errors ------------------------------------------------------------------------------------------------------------- */

namespace detail {

class error_category final : public std::error_category {
public:
    const char *name() const noexcept override { return "speculo"; }
    std::string message(int value) const override { return speculo_strerror(value); }
    std::error_condition default_error_condition(int value) const noexcept override { return {value, std::generic_category()}; }
};

} // namespace detail

/**
 * The category of the library's codes: positive errno values, with the texts of speculo_strerror().
 *
 * Each shared object has one of its own, since a common one would keep plugins from being unloaded: compare codes with
 * std::errc.
 */
[[gnu::visibility("hidden")]] inline const std::error_category &category() noexcept {
    // Never destroyed: a code may outlive all static objects, and nothing is left to be run at exit.
    alignas(detail::error_category) static unsigned char memory[sizeof(detail::error_category)];
    static const std::error_category *const instance = ::new (static_cast<void *>(memory)) detail::error_category;
    return *instance;
}

/** The code for the result of a C call; none for 0 and above. */
inline std::error_code make_error_code(int result) noexcept {
    return result < 0 ? std::error_code(-result, category()) : std::error_code();
}

namespace detail {

inline int check(int result, std::error_code &ec) noexcept {
    ec = make_error_code(result);
    return result;
}

#if defined(__cpp_exceptions)
[[noreturn]] inline void raise(int result, const char *what) {
    throw std::system_error(make_error_code(result), what ? what : "speculo");
}

inline int check(int result, const char *what) {
    if (result < 0) { raise(result, what); }
    return result;
}
#endif

struct closer {
    void operator()(speculo_area *area) const noexcept { speculo_area_close(area); }
    void operator()(speculo_snapshot *snapshot) const noexcept { speculo_snapshot_close(snapshot); }
};

struct unfilled {};

} // namespace detail

/* ---- clock and version -------------------------------------------------------------------------------------------------- */

/** The area's clock for std::chrono: see speculo_now(). */
struct boot_clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<boot_clock>;
    static constexpr bool is_steady = true;

    static time_point now() noexcept { return time_point(duration(static_cast<rep>(speculo_now()))); }
};

/** The time on the area's clock. */
inline boot_clock::time_point now() noexcept { return boot_clock::now(); }

/** The version of the library that is running, such as "0.1.0". */
inline const char *version() noexcept { return speculo_version(); }

/* ---- parameters --------------------------------------------------------------------------------------------------------- */

/** A parameter: an area's name, from a literal or a std::string; not copied. */
class area_name {
public:
    area_name(const char *name) noexcept : name_(name) {}
    area_name(const std::string &name) noexcept : name_(name.c_str()) {}
    const char *c_str() const noexcept { return name_; }

private:
    const char *name_;
};

/** A parameter: how to open an area, from the constants of writer or reader, or from SPECULO_OPEN_*. */
class open_flags {
public:
    constexpr open_flags(std::uint32_t bits) noexcept : bits_(bits) {}
    constexpr std::uint32_t bits() const noexcept { return bits_; }

private:
    std::uint32_t bits_;
};

/** speculo_area_options, filled like `area_options().capacity(1 << 20).mode(0644)`; what is not named is default. */
class area_options {
public:
    area_options() noexcept : native_() { native_.struct_size = sizeof native_; }

    area_options &capacity(std::uint64_t bytes) noexcept { return set(native_.capacity, bytes); }
    area_options &max_capacity(std::uint64_t bytes) noexcept { return set(native_.max_capacity, bytes); }
    area_options &mode(std::uint32_t permissions) noexcept { return set(native_.mode, permissions); }
    area_options &compact_percent(std::uint32_t percent) noexcept { return set(native_.compact_percent, percent); }
    area_options &prefault(std::uint64_t bytes) noexcept { return set(native_.prefault, bytes); }
    area_options &segments(std::uint32_t count) noexcept { return set(native_.segments, count); }
    /** Writer: never drop what a cursor has yet to read. */
    area_options &lossless() noexcept { return set(native_.flags, native_.flags | SPECULO_AREA_LOSSLESS); }
    /** Reader: accept an area of this owner too. */
    area_options &trusted_uid(std::uint32_t uid) noexcept {
        native_.flags |= SPECULO_AREA_TRUST_UID;
        return set(native_.trusted_uid, uid);
    }

    speculo_area_options &native() noexcept { return native_; }
    const speculo_area_options &native() const noexcept { return native_; }

private:
    template <typename T> area_options &set(T &field, T value) noexcept {
        field = value;
        return *this;
    }

    speculo_area_options native_;
};

/** speculo_chunk_options, filled like `chunk_options().key("wind").ttl(5s)`; what is not named is default. */
class chunk_options {
public:
    chunk_options() noexcept : native_() { native_.struct_size = sizeof native_; }

    /** Time to live. Zero or less: expires at once. */
    chunk_options &ttl(std::chrono::nanoseconds time) noexcept {
        return set(native_.ttl_ns, time.count() > 0 ? static_cast<std::uint64_t>(time.count()) : std::uint64_t{1});
    }
    chunk_options &supersedes(std::uint64_t id) noexcept { return set(native_.supersedes, id); }
    /** The bytes must stay where they are until the chunk is allocated. */
    chunk_options &key(std::string_view bytes) noexcept {
        native_.key = bytes.data();
        return set(native_.key_size, bytes.size());
    }
    chunk_options &alignment(std::uint32_t bytes) noexcept { return set(native_.alignment, bytes); }
    chunk_options &tag(std::uint32_t mark) noexcept { return set(native_.tag, mark); }
    /** Not carried over by compaction. */
    chunk_options &transient() noexcept { return set(native_.flags, native_.flags | SPECULO_CHUNK_TRANSIENT); }

    speculo_chunk_options &native() noexcept { return native_; }
    const speculo_chunk_options &native() const noexcept { return native_; }

private:
    template <typename T> chunk_options &set(T &field, T value) noexcept {
        field = value;
        return *this;
    }

    speculo_chunk_options native_;
};

/* ---- area --------------------------------------------------------------------------------------------------------------- */

using area_info = speculo_area_info; /**< What info() tells. */

/** Removes an area. (No area_name here: with `using namespace` it must not be mistaken for remove() of stdio.h.) */
inline void remove(const char *name, std::error_code &ec) noexcept { detail::check(speculo_area_remove(name), ec); }
inline void remove(const std::string &name, std::error_code &ec) noexcept { remove(name.c_str(), ec); }
#if defined(__cpp_exceptions)
inline void remove(const char *name) { detail::check(speculo_area_remove(name), name); }
inline void remove(const std::string &name) { remove(name.c_str()); }
#endif

/** Validates everything that an area holds; see speculo_area_check(). Not sound: `bad_message`. */
inline void check(area_name name, speculo_report_fn report, void *user, std::error_code &ec) noexcept {
    detail::check(speculo_area_check(name.c_str(), report, user), ec);
}
#if defined(__cpp_exceptions)
inline void check(area_name name, speculo_report_fn report = nullptr, void *user = nullptr) {
    detail::check(speculo_area_check(name.c_str(), report, user), name.c_str());
}
#endif

namespace detail {

/* What writer and reader have in common. */
class area {
public:
    /** The handle, for C calls; stays with this object. nullptr after close(), a move, or an open() that failed. */
    speculo_area *native_handle() const noexcept { return handle_.get(); }

    /** Whether there is a handle. */
    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /** Does early what the destructor would do. */
    void close() noexcept { handle_.reset(); }

    /** Tells the state of the area. @p flags: SPECULO_INFO_*. */
    area_info info(std::uint32_t flags, std::error_code &ec) const noexcept {
        area_info told{};
        told.struct_size = sizeof told;
        told.flags = flags;
        check(speculo_area_get_info(native_handle(), &told), ec);
        return told;
    }
    area_info info(std::error_code &ec) const noexcept { return info(0, ec); }

    /**
     * Sleeps until there is something to read (writer of a lossless area: room again); false when the time is over. Negative, or
     * without a timeout: for ever. The end of the writer is an error, std::errc::broken_pipe.
     */
    bool wait(std::chrono::nanoseconds timeout, std::error_code &ec) noexcept {
        return check(speculo_wait(native_handle(), timeout.count()), ec) == 1;
    }
    bool wait(std::error_code &ec) noexcept { return check(speculo_wait(native_handle(), -1), ec) == 1; }

    /** Whether a process has the writer's role. */
    bool writer_alive(std::error_code &ec) const noexcept { return check(speculo_area_writer_alive(native_handle()), ec) == 1; }

#if defined(__cpp_exceptions)
    bool wait(std::chrono::nanoseconds timeout) {
        return check(speculo_wait(native_handle(), timeout.count()), "speculo_wait") == 1;
    }
    bool wait() { return check(speculo_wait(native_handle(), -1), "speculo_wait") == 1; }
    bool writer_alive() const { return check(speculo_area_writer_alive(native_handle()), "speculo_area_writer_alive") == 1; }

    area_info info(std::uint32_t flags = 0) const {
        std::error_code ec;
        area_info told = info(flags, ec);
        if (ec) { throw std::system_error(ec, "speculo_area_get_info"); }
        return told;
    }
#endif

protected:
    area() = default;
    area(area &&) = default;
    area &operator=(area &&) = default;
    ~area() = default;

    int acquire(area_name name, std::uint32_t flags, const area_options &options) noexcept {
        speculo_area *opened = nullptr;
        int result = speculo_area_open(name.c_str(), flags, &options.native(), &opened);
        handle_.reset(opened);
        return result;
    }

private:
    std::unique_ptr<speculo_area, closer> handle_;
};

/* Whether emplace() is given values only, and neither options nor an error code before them. */
template <typename...> inline constexpr bool only_values = true;
template <typename First, typename... Rest> inline constexpr bool only_values<First, Rest...> =
    !std::is_same_v<std::decay_t<First>, chunk_options> && !std::is_same_v<std::decay_t<First>, std::error_code>;

template <typename T, typename... Args> constexpr bool nothrow_made() noexcept {
    if constexpr (std::is_constructible_v<T, Args...>) {
        return std::is_nothrow_constructible_v<T, Args...>;
    } else {
        return noexcept(T{std::declval<Args>()...});
    }
}

template <typename T, typename... Args> T *make(void *where, Args &&...args) noexcept {
    if constexpr (std::is_constructible_v<T, Args...>) {
        return ::new (where) T(std::forward<Args>(args)...);
    } else { // an aggregate, before C++20
        return ::new (where) T{std::forward<Args>(args)...};
    }
}

} // namespace detail

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

/**
 * The bytes of a chunk that is not committed yet, to be filled; like a span.
 *
 * Valid until commit, rollback or close. data() is nullptr after an alloc() that failed, and only then.
 */
class buffer {
public:
    buffer() noexcept = default;
    buffer(void *data, std::size_t size, std::uint64_t id) noexcept
        : data_(static_cast<std::byte *>(data)), size_(size), id_(id) {}

    std::byte *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    std::byte *begin() const noexcept { return data_; }
    std::byte *end() const noexcept { return data_ + size_; }
    std::byte &operator[](std::size_t index) const noexcept { return data_[index]; }
    explicit operator bool() const noexcept { return data_ != nullptr; }

    /** Id of the chunk. */
    std::uint64_t id() const noexcept { return id_; }

#if defined(__cpp_lib_span)
    std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
#endif

private:
    std::byte *data_ = nullptr;
    std::size_t size_ = 0;
    std::uint64_t id_ = 0;
};

/** The writer of an area. */
class writer : public detail::area {
public:
    /** How to open. */
    enum : std::uint32_t {
        existing = SPECULO_OPEN_WRITE,               /**< An area that is there. */
        create = existing | SPECULO_OPEN_CREATE,     /**< Create it if there is none. */
        exclusive = create | SPECULO_OPEN_EXCLUSIVE, /**< Create it; error if there is one. */
    };

    /** No writer yet: calls fail. */
    writer() noexcept = default;

    /** Takes the writer's role. */
    [[nodiscard]] static writer open(area_name name, open_flags flags, const area_options &options,
                                     std::error_code &ec) noexcept {
        writer opened;
        detail::check(opened.acquire(name, flags.bits() | SPECULO_OPEN_WRITE, options), ec);
        return opened;
    }

    /** Makes room for a chunk, to be filled in place and then committed. */
    buffer alloc(std::size_t size, std::error_code &ec) noexcept {
        buffer room;
        detail::check(allocate(size, nullptr, room), ec);
        return room;
    }
    buffer alloc(std::size_t size, const chunk_options &options, std::error_code &ec) noexcept {
        buffer room;
        detail::check(allocate(size, &options.native(), room), ec);
        return room;
    }

    /**
     * Makes a chunk that is a T, constructed in place from @p args.
     *
     * The std::error_code goes before the arguments.
     *
     * @return The T, valid until commit, rollback or close; nullptr on failure.
     */
    template <typename T, typename... Args> T *emplace(std::error_code &ec, Args &&...args) noexcept {
        T *made = nullptr;
        detail::check(construct(nullptr, made, std::forward<Args>(args)...), ec);
        return made;
    }
    template <typename T, typename... Args>
    T *emplace(const chunk_options &options, std::error_code &ec, Args &&...args) noexcept {
        T *made = nullptr;
        detail::check(construct(&options.native(), made, std::forward<Args>(args)...), ec);
        return made;
    }

    /** Publishes everything since the last commit. */
    void commit(std::error_code &ec) noexcept { detail::check(speculo_commit(native_handle()), ec); }

    /** Forgets everything since the last commit. */
    void rollback(std::error_code &ec) noexcept { detail::check(speculo_rollback(native_handle()), ec); }

    /** Makes the last allocated chunk smaller: keeps its first @p size bytes. */
    void shrink(std::size_t size, std::error_code &ec) noexcept {
        detail::check(speculo_chunk_shrink(native_handle(), size), ec);
    }

    /** Ends a chunk's life with the next commit. */
    void obsolete(std::uint64_t id, std::error_code &ec) noexcept {
        detail::check(speculo_chunk_obsolete(native_handle(), id), ec);
    }

    /** Removes a key, and the chunk that has it, with the next commit. */
    void remove_key(std::string_view key, std::error_code &ec) noexcept {
        detail::check(speculo_key_remove(native_handle(), key.data(), key.size()), ec);
    }

    /** Copies the live chunks into another segment now. */
    void compact(std::error_code &ec) noexcept { detail::check(speculo_area_compact(native_handle()), ec); }

#if defined(__cpp_exceptions)
    explicit writer(area_name name, const area_options &options = {}) : writer(name, create, options) {}
    writer(area_name name, open_flags flags, const area_options &options = {}) {
        detail::check(acquire(name, flags.bits() | SPECULO_OPEN_WRITE, options), name.c_str());
    }

    buffer alloc(std::size_t size) {
        buffer room;
        detail::check(allocate(size, nullptr, room), "speculo_chunk_alloc");
        return room;
    }
    buffer alloc(std::size_t size, const chunk_options &options) {
        buffer room;
        detail::check(allocate(size, &options.native(), room), "speculo_chunk_alloc");
        return room;
    }

    template <typename T, typename... Args> auto emplace(Args &&...args) -> std::enable_if_t<detail::only_values<Args...>, T &> {
        T *made = nullptr;
        detail::check(construct(nullptr, made, std::forward<Args>(args)...), "speculo_chunk_alloc");
        return *made;
    }
    template <typename T, typename... Args> auto emplace(const chunk_options &options, Args &&...args)
        -> std::enable_if_t<detail::only_values<Args...>, T &> {
        T *made = nullptr;
        detail::check(construct(&options.native(), made, std::forward<Args>(args)...), "speculo_chunk_alloc");
        return *made;
    }

    void commit() { detail::check(speculo_commit(native_handle()), "speculo_commit"); }
    void rollback() { detail::check(speculo_rollback(native_handle()), "speculo_rollback"); }
    void shrink(std::size_t size) { detail::check(speculo_chunk_shrink(native_handle(), size), "speculo_chunk_shrink"); }
    void obsolete(std::uint64_t id) { detail::check(speculo_chunk_obsolete(native_handle(), id), "speculo_chunk_obsolete"); }
    void remove_key(std::string_view key) {
        detail::check(speculo_key_remove(native_handle(), key.data(), key.size()), "speculo_key_remove");
    }
    void compact() { detail::check(speculo_area_compact(native_handle()), "speculo_area_compact"); }
#endif

private:
    int allocate(std::size_t size, const speculo_chunk_options *options, buffer &ret_room) noexcept {
        void *data = nullptr;
        std::uint64_t id = 0;
        int result = speculo_chunk_alloc(native_handle(), size, options, &data, &id);
        if (result >= 0) { ret_room = buffer(data, size, id); }
        return result;
    }

    template <typename T, typename... Args>
    int construct(const speculo_chunk_options *options, T *&ret_made, Args &&...args) noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "other processes get the bytes of a T and nothing else");
        static_assert(!std::is_array_v<T>, "use std::array");
        static_assert(alignof(T) <= 4096, "no chunk is aligned like that");
#if defined(__cpp_exceptions)
        static_assert(detail::nothrow_made<T, Args...>(),
                      "nothing half-made may be committed: make the constructor noexcept, or pass a T that is made already");
#endif
        constexpr std::uint32_t alignment = alignof(T) > 16 ? alignof(T) : 16; // 16: what a chunk has anyway
        speculo_chunk_options aligned;
        if (options || alignment > 16) {
            aligned = options ? *options : chunk_options().native();
            if (aligned.alignment < alignment) { aligned.alignment = alignment; }
            options = &aligned;
        }
        void *data = nullptr;
        int result = speculo_chunk_alloc(native_handle(), sizeof(T), options, &data, nullptr);
        if (result >= 0) { ret_made = detail::make<T>(data, std::forward<Args>(args)...); }
        return result;
    }
};

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

class held_chunk;

/** A view of a chunk, like speculo_chunk: owns nothing, lives as long as is said there; hold() keeps its bytes. */
class chunk {
public:
    /** No chunk: no bytes, id 0. */
    chunk() noexcept : native_(), area_(nullptr) {}
    explicit chunk(detail::unfilled) noexcept {} // for reader and snapshot, who fill it at once

    const std::byte *data() const noexcept { return static_cast<const std::byte *>(native_.data); }
    std::size_t size() const noexcept { return native_.size; }
    bool empty() const noexcept { return native_.size == 0; }
    const std::byte *begin() const noexcept { return data(); }
    const std::byte *end() const noexcept { return data() + size(); }
    const std::byte &operator[](std::size_t index) const noexcept { return data()[index]; }
#if defined(__cpp_lib_span)
    std::span<const std::byte> bytes() const noexcept { return {data(), size()}; }
#endif

    /** The payload as text. */
    std::string_view text() const noexcept { return {static_cast<const char *>(native_.data), native_.size}; }

    /** The payload as a T; nullptr if its size is not that of a T, or its alignment is not enough for one. */
    template <typename T> const T *as() const noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "a chunk has the bytes of a T and nothing else");
        bool fits = native_.size == sizeof(T) && reinterpret_cast<std::uintptr_t>(native_.data) % alignof(T) == 0;
        return fits ? static_cast<const T *>(native_.data) : nullptr;
    }

    std::uint64_t id() const noexcept { return native_.id; }
    /** The key, empty without. */
    std::string_view key() const noexcept { return {static_cast<const char *>(native_.key), native_.key_size}; }
    /** The writer's own type mark. */
    std::uint32_t tag() const noexcept { return native_.tag; }
    /** SPECULO_CHUNK_*. */
    std::uint32_t flags() const noexcept { return native_.flags; }
    /** Says that the key was removed. */
    bool removed() const noexcept { return (native_.flags & SPECULO_CHUNK_REMOVED) != 0; }
    /** Not carried over by compaction. */
    bool transient() const noexcept { return (native_.flags & SPECULO_CHUNK_TRANSIENT) != 0; }
    /** Segments were jumped over right before it. */
    bool jumped() const noexcept { return (native_.flags & SPECULO_CHUNK_JUMPED) != 0; }
    /** Ids that the cursor passed right before it without delivery. */
    std::uint64_t skipped() const noexcept { return native_.skipped; }
    /** When it expires; time_point::max(): never. */
    boot_clock::time_point expires() const noexcept {
        constexpr auto never = boot_clock::time_point::max();
        bool ever = native_.expires_ns - 1 < static_cast<std::uint64_t>(never.time_since_epoch().count());
        return ever ? boot_clock::time_point(boot_clock::duration(static_cast<boot_clock::rep>(native_.expires_ns))) : never;
    }

    /** Keeps the bytes. The reader that the view, or its snapshot, came from must still be open. */
    [[nodiscard]] held_chunk hold(std::error_code &ec) const noexcept;
#if defined(__cpp_exceptions)
    [[nodiscard]] held_chunk hold() const;
#endif

    /** The view as it is in C; not to be held there. */
    const speculo_chunk &native() const noexcept { return native_; }

private:
    friend class held_chunk;
    friend class snapshot;
    friend class reader;

    speculo_chunk native_;
    speculo_area *area_;
};

/**
 * A chunk with its bytes kept, also when the reader is gone; shared by all copies, like std::shared_ptr<const chunk>.
 *
 * Costs one small allocation, besides what speculo_chunk_hold() says. The last copy releases it.
 *
 * @threads  Copies may be used and destroyed in any thread, one thread per copy.
 */
class held_chunk {
public:
    /** Holds nothing. */
    held_chunk() noexcept = default;
    held_chunk(const held_chunk &other) noexcept : shared_(other.shared_) {
        if (shared_) { ++shared_->owners; }
    }
    held_chunk(held_chunk &&other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    held_chunk &operator=(held_chunk other) noexcept {
        std::swap(shared_, other.shared_);
        return *this;
    }
    ~held_chunk() { reset(); }

    /** Holds nothing any more. */
    void reset() noexcept {
        shared *last = std::exchange(shared_, nullptr);
        if (!last || --last->owners != 0) { return; }
        speculo_chunk_release(&last->hold);
        delete last;
    }

    explicit operator bool() const noexcept { return shared_ != nullptr; }
    /** The view, for as long as it is held; nullptr if nothing is. Copy the held_chunk instead of calling hold() on it. */
    const chunk *get() const noexcept { return shared_ ? &shared_->view : nullptr; }
    const chunk &operator*() const noexcept { return shared_->view; }
    const chunk *operator->() const noexcept { return &shared_->view; }

private:
    friend class chunk;

    struct shared {
        explicit shared(const chunk &held) noexcept : hold(held.native_), view(held), owners(1) { view.area_ = nullptr; }

        speculo_chunk hold; // the one copy that is held and will be released
        chunk view;
        std::atomic<std::size_t> owners;
    };

    int take(const chunk &held) noexcept {
        std::unique_ptr<shared> made(new (std::nothrow) shared(held));
        int result = made ? speculo_chunk_hold(held.area_, &made->hold) : -ENOMEM;
        if (result >= 0) { shared_ = made.release(); }
        return result;
    }

    shared *shared_ = nullptr;
};

inline held_chunk chunk::hold(std::error_code &ec) const noexcept {
    held_chunk held;
    detail::check(held.take(*this), ec);
    return held;
}

#if defined(__cpp_exceptions)
inline held_chunk chunk::hold() const {
    held_chunk held;
    detail::check(held.take(*this), "speculo_chunk_hold");
    return held;
}

/** Input iterator over what a reader or a snapshot has left. Moves the cursor; throws; `*it` lives until `++it`. */
template <typename Source> class chunk_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = chunk;
    using difference_type = std::ptrdiff_t;
    using pointer = const chunk *;
    using reference = const chunk &;

    /** The end. */
    chunk_iterator() noexcept = default;
    explicit chunk_iterator(Source &source) : source_(&source) { ++*this; }

    reference operator*() const noexcept { return current_; }
    pointer operator->() const noexcept { return &current_; }
    chunk_iterator &operator++() {
        if (detail::check(source_->fetch(current_), Source::fetch_name) == 0) { source_ = nullptr; }
        return *this;
    }
    void operator++(int) { ++*this; }

    friend bool operator==(const chunk_iterator &a, const chunk_iterator &b) noexcept { return a.source_ == b.source_; }
    friend bool operator!=(const chunk_iterator &a, const chunk_iterator &b) noexcept { return a.source_ != b.source_; }

private:
    Source *source_ = nullptr;
    chunk current_;
};
#endif

/** The chunks that were live at one commit boundary, held fixed; made by reader::snapshot(), outlives the reader. */
class snapshot {
public:
    /** No snapshot: calls fail. */
    snapshot() noexcept = default;

    /** The next chunk, in commit order; nothing when that was all. */
    std::optional<chunk> next(std::error_code &ec) noexcept {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found), ec) <= 0) { found.reset(); }
        return found;
    }

    /** The chunk that had a key; nothing if none had it. */
    std::optional<chunk> read(std::string_view key, std::error_code &ec) noexcept {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found, key), ec) <= 0) { found.reset(); }
        return found;
    }

#if defined(__cpp_exceptions)
    std::optional<chunk> next() {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found), fetch_name) == 0) { found.reset(); }
        return found;
    }
    std::optional<chunk> read(std::string_view key) {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found, key), "speculo_snapshot_key") == 0) { found.reset(); }
        return found;
    }

    /** Iterates over what next() has yet to give. */
    chunk_iterator<snapshot> begin() { return chunk_iterator<snapshot>(*this); }
    chunk_iterator<snapshot> end() noexcept { return {}; }
#endif

    /** The handle, for C calls; stays with this object. */
    speculo_snapshot *native_handle() const noexcept { return handle_.get(); }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /** Does early what the destructor would do. */
    void close() noexcept { handle_.reset(); }

private:
    friend class reader;
    template <typename> friend class chunk_iterator;
    static constexpr const char *fetch_name = "speculo_snapshot_next";

    int fetch(chunk &ret_chunk) noexcept {
        ret_chunk.area_ = area_;
        return speculo_snapshot_next(native_handle(), &ret_chunk.native_);
    }
    int fetch(chunk &ret_chunk, std::string_view key) noexcept {
        ret_chunk.area_ = area_;
        return speculo_snapshot_key(native_handle(), key.data(), key.size(), &ret_chunk.native_);
    }

    std::unique_ptr<speculo_snapshot, detail::closer> handle_;
    speculo_area *area_ = nullptr; // what its chunks are held through
};

/** A reader of an area, with its cursor. */
class reader : public detail::area {
public:
    /** How to open. */
    enum : std::uint32_t {
        at_start = SPECULO_OPEN_READ,       /**< The cursor starts at the beginning of the current segment. */
        at_end = SPECULO_OPEN_AT_END,       /**< It starts after the newest chunk. */
        untrusted = SPECULO_OPEN_UNTRUSTED, /**< The writer may be hostile: everything is copied and checked. */
        no_cursor = SPECULO_OPEN_NO_CURSOR, /**< Keys and snapshots only. */
    };

    /** No reader yet: calls fail. */
    reader() noexcept = default;

    /** Opens an area for reading. */
    [[nodiscard]] static reader open(area_name name, open_flags flags, const area_options &options,
                                     std::error_code &ec) noexcept {
        reader opened;
        detail::check(opened.acquire(name, flags.bits(), options), ec);
        return opened;
    }

    /** The next chunk of the stream; nothing when caught up. Ends the last one's view. */
    std::optional<chunk> next(std::error_code &ec) noexcept {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found), ec) <= 0) { found.reset(); }
        return found;
    }

    /** The newest chunk with a key; nothing if no live one has it. Ends the last read()'s view. */
    std::optional<chunk> read(std::string_view key, std::error_code &ec) noexcept {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found, key), ec) <= 0) { found.reset(); }
        return found;
    }

    /** Moves the cursor to the first chunk of the current segment with an id of at least @p id. */
    void seek(std::uint64_t id, std::error_code &ec) noexcept { detail::check(speculo_seek(native_handle(), id), ec); }

    /** Whether a chunk is still live. */
    bool is_live(const chunk &view, std::error_code &ec) const noexcept {
        return detail::check(speculo_chunk_is_live(native_handle(), &view.native_), ec) == 1;
    }

    /** Takes a snapshot. */
    [[nodiscard]] speculo::snapshot snapshot(std::error_code &ec) noexcept {
        speculo::snapshot taken;
        detail::check(take(taken), ec);
        return taken;
    }

    /** A descriptor for event loops, readable when there may be something to read; stays with this object. */
    int fd(std::error_code &ec) noexcept { return detail::check(speculo_area_get_fd(native_handle()), ec); }

    /** Drains the descriptor and arms it again; whether there is something to read. */
    bool dispatch(std::error_code &ec) noexcept { return detail::check(speculo_area_dispatch(native_handle()), ec) == 1; }

#if defined(__cpp_exceptions)
    explicit reader(area_name name, const area_options &options = {}) : reader(name, at_start, options) {}
    reader(area_name name, open_flags flags, const area_options &options = {}) {
        detail::check(acquire(name, flags.bits(), options), name.c_str());
    }

    std::optional<chunk> next() {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found), fetch_name) == 0) { found.reset(); }
        return found;
    }
    std::optional<chunk> read(std::string_view key) {
        std::optional<chunk> found(std::in_place, detail::unfilled());
        if (detail::check(fetch(*found, key), "speculo_read_key") == 0) { found.reset(); }
        return found;
    }
    void seek(std::uint64_t id) { detail::check(speculo_seek(native_handle(), id), "speculo_seek"); }
    bool is_live(const chunk &view) const {
        return detail::check(speculo_chunk_is_live(native_handle(), &view.native_), "speculo_chunk_is_live") == 1;
    }
    int fd() { return detail::check(speculo_area_get_fd(native_handle()), "speculo_area_get_fd"); }
    bool dispatch() { return detail::check(speculo_area_dispatch(native_handle()), "speculo_area_dispatch") == 1; }
    [[nodiscard]] speculo::snapshot snapshot() {
        speculo::snapshot taken;
        detail::check(take(taken), "speculo_snapshot_open");
        return taken;
    }

    /** Iterates until caught up. */
    chunk_iterator<reader> begin() { return chunk_iterator<reader>(*this); }
    chunk_iterator<reader> end() noexcept { return {}; }
#endif

private:
    template <typename> friend class chunk_iterator;
    static constexpr const char *fetch_name = "speculo_read_next";

    int fetch(chunk &ret_chunk) noexcept {
        ret_chunk.area_ = native_handle();
        return speculo_read_next(native_handle(), &ret_chunk.native_);
    }
    int fetch(chunk &ret_chunk, std::string_view key) noexcept {
        ret_chunk.area_ = native_handle();
        return speculo_read_key(native_handle(), key.data(), key.size(), &ret_chunk.native_);
    }
    int take(speculo::snapshot &ret_taken) noexcept {
        speculo_snapshot *opened = nullptr;
        int result = speculo_snapshot_open(native_handle(), &opened);
        ret_taken.handle_.reset(opened);
        ret_taken.area_ = native_handle();
        return result;
    }
};

} // namespace speculo

#endif // SPECULO_HPP
