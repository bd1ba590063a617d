// SPDX-License-Identifier: LGPL-2.1-or-later
// The C interface: each function checks its arguments and calls a room.
#include <cerrno>
#include <cstring>

#include "ahead.hpp"
#include "check.hpp"
#include "clock.hpp"
#include "errors.hpp"
#include "fork.hpp"
#include "info.hpp"
#include "plain.hpp"
#include "reader.hpp"
#include "speculo/speculo.h"
#include "wait.hpp"

namespace core = speculo::core;

namespace {

constexpr size_t largest_struct = 4096; // more is not a size but garbage

// The tail of a struct that a newer caller knows must be zero.
template <class T> int check_size(const T *from, size_t size) {
    if (size < sizeof(T) || size > largest_struct) { return -EINVAL; }
    const auto *bytes = reinterpret_cast<const unsigned char *>(from);
    for (size_t i = sizeof(T); i < size; ++i) {
        if (bytes[i] != 0) { return -E2BIG; }
    }
    return 0;
}

template <size_t count> bool is_zero(const uint64_t (&words)[count]) {
    uint64_t all = 0;
    for (uint64_t word : words) { all |= word; }
    return all == 0;
}

bool is_foreign(const speculo_area *area) { return !area->is_own(); }

int check_writer(const speculo_area *area) {
    if (!area) { return -EINVAL; }
    if (area->is_own(Role::writer)) { return 0; }
    return is_foreign(area) ? -ECHILD : -EROFS;
}

int check_reader(const speculo_area *area) {
    if (!area) { return -EINVAL; }
    if (area->is_own(Role::reader)) { return 0; }
    return is_foreign(area) ? -ECHILD : -EINVAL;
}

int check_cursor(const speculo_area *area) {
    int error = check_reader(area);
    return error == 0 && !static_cast<const core::Reader *>(area)->cursor.segment ? -EINVAL : error;
}

int check_snapshot(const speculo_snapshot *snapshot) {
    if (!snapshot) { return -EINVAL; }
    return core::snapshot_is_own(*snapshot) ? 0 : -ECHILD;
}

bool is_key(const void *key, size_t key_size) { return key && key_size >= 1 && key_size <= core::max_key_size; }

core::Writer &writer_of(speculo_area *area) { return *static_cast<core::Writer *>(area); }
core::Reader &reader_of(speculo_area *area) { return *static_cast<core::Reader *>(area); }

constexpr uint32_t writer_open_flags = SPECULO_OPEN_WRITE | SPECULO_OPEN_CREATE | SPECULO_OPEN_EXCLUSIVE;
constexpr uint32_t reader_open_flags = SPECULO_OPEN_AT_END | SPECULO_OPEN_UNTRUSTED | SPECULO_OPEN_NO_CURSOR;

int check_open_flags(uint32_t flags) {
    bool writes = flags & SPECULO_OPEN_WRITE;
    if (flags & ~(writes ? writer_open_flags : reader_open_flags)) { return -EINVAL; }
    if ((flags & SPECULO_OPEN_EXCLUSIVE) && !(flags & SPECULO_OPEN_CREATE)) { return -EINVAL; }
    constexpr uint32_t contradiction = SPECULO_OPEN_AT_END | SPECULO_OPEN_NO_CURSOR;
    return (flags & contradiction) == contradiction ? -EINVAL : 0;
}

int check_writer_options(const speculo_area_options &options) {
    constexpr uint32_t mode_bits = 0644; // others may read, nobody else may write, and nothing is to be executed
    if (options.flags & ~SPECULO_AREA_LOSSLESS || options.trusted_uid != 0) { return -EINVAL; }
    if (options.mode & ~mode_bits) { return -EINVAL; }
    if (options.capacity > core::capacity_limit || options.max_capacity > core::capacity_limit) { return -EINVAL; }
    if (options.capacity != 0 && options.max_capacity != 0 && options.max_capacity < options.capacity) { return -EINVAL; }
    if (options.compact_percent > 100) { return -EINVAL; }
    return options.segments == 0 || (options.segments >= 2 && options.segments <= core::max_segments) ? 0 : -EINVAL;
}

int check_reader_options(const speculo_area_options &options, bool is_untrusted) {
    if (options.capacity || options.mode || options.compact_percent || options.segments) { return -EINVAL; }
    if (options.max_capacity > (is_untrusted ? core::capacity_limit : 0)) { return -EINVAL; }
    if (options.flags & ~SPECULO_AREA_TRUST_UID) { return -EINVAL; }
    return options.trusted_uid != 0 && !(options.flags & SPECULO_AREA_TRUST_UID) ? -EINVAL : 0;
}

int check_area_options(const speculo_area_options &options, uint32_t open_flags) {
    if (int error = check_size(&options, options.struct_size); error < 0) { return error; }
    if (options.reserved32 != 0 || !is_zero(options.reserved)) { return -E2BIG; }
    if (open_flags & SPECULO_OPEN_WRITE) { return check_writer_options(options); }
    return check_reader_options(options, open_flags & SPECULO_OPEN_UNTRUSTED);
}

int check_chunk_options(const speculo_chunk_options &options) {
    if (int error = check_size(&options, options.struct_size); error < 0) { return error; }
    if (options.reserved32 != 0 || !is_zero(options.reserved)) { return -E2BIG; }
    if (options.flags & ~SPECULO_CHUNK_TRANSIENT) { return -EINVAL; }
    if (options.key ? !is_key(options.key, options.key_size) : options.key_size != 0) { return -EINVAL; }
    bool is_power_of_two = (options.alignment & (options.alignment - 1)) == 0;
    return is_power_of_two && options.alignment <= core::max_alignment ? 0 : -EINVAL;
}

// Whether the options are sound without a further look, and there is neither alignment nor predecessor. The size first: there may be no
// more than that of the struct.
bool is_plain(const speculo_chunk_options &options) {
    if (options.struct_size != sizeof options) { return false; }
    const uint64_t(&reserved)[4] = options.reserved; // word by word: a loop costs more than the words
    uint64_t odd =
        (options.flags & ~uint32_t(SPECULO_CHUNK_TRANSIENT)) | options.alignment | options.reserved32 | options.supersedes;
    odd |= reserved[0] | reserved[1] | reserved[2] | reserved[3];
    bool has_key = options.key != nullptr || options.key_size != 0;
    return odd == 0 && (!has_key || is_key(options.key, options.key_size));
}

// Apart from the short ways, so that those do without its registers.
[[gnu::noinline]] int alloc_checked(core::Writer &writer, size_t size, const speculo_chunk_options &options, void **ret_data,
                                    uint64_t *ret_id) {
    if (int error = check_chunk_options(options); error < 0) { return error; }
    return core::writer_alloc(writer, size, options, ret_data, ret_id);
}

} // namespace

extern "C" {

int speculo_area_open(const char *name, uint32_t flags, const speculo_area_options *options, speculo_area **ret_area) noexcept {
    if (!name || !ret_area) { return -EINVAL; }
    if (int error = check_open_flags(flags); error < 0) { return error; }
    speculo_area_options choices{};
    if (options) {
        if (int error = check_area_options(*options, flags); error < 0) { return error; }
        choices = *options;
    }
    if (flags & SPECULO_OPEN_WRITE) {
        core::Writer *writer = nullptr;
        int error = core::writer_open(name, flags, choices, &writer);
        if (error == 0) { *ret_area = writer; }
        return error;
    }
    core::Reader *reader = nullptr;
    int error = core::reader_open(name, flags, choices, &reader);
    if (error == 0) { *ret_area = reader; }
    return error;
}

speculo_area *speculo_area_close(speculo_area *area) noexcept {
    if (!area) { return nullptr; }
    if (area->role == Role::writer) {
        core::writer_close(&writer_of(area));
    } else {
        core::reader_close(&reader_of(area));
    }
    return nullptr;
}

int speculo_area_remove(const char *name) noexcept { return name ? core::area_remove(name) : -EINVAL; }

int speculo_area_check(const char *name, speculo_report_fn report, void *user) noexcept {
    return name ? core::area_check(name, report, user) : -EINVAL;
}

int speculo_area_get_info(speculo_area *area, speculo_area_info *info) noexcept {
    if (!area || !info) { return -EINVAL; }
    if (is_foreign(area)) { return -ECHILD; }
    if (int error = check_size(info, info->struct_size); error < 0) { return error; }
    if (info->flags & ~SPECULO_INFO_QUICK) { return -EINVAL; }
    speculo_area_info result{};
    result.struct_size = info->struct_size;
    result.flags = info->flags;
    int error = core::area_info(*area, info->flags, result);
    if (error == 0) { *info = result; }
    return error;
}

int speculo_area_compact(speculo_area *area) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    return core::has_pending(writer_of(area)) ? -EINVAL : core::compact(writer_of(area), core::Room{});
}

[[gnu::aligned(core::cache_line)]] int speculo_chunk_alloc(speculo_area *area, size_t size, const speculo_chunk_options *options,
                                                           void **ret_data, uint64_t *ret_id) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    if (!ret_data) { return -EINVAL; }
    core::Writer &writer = writer_of(area);
    if (!options) { return core::writer_alloc_bare(writer, size, 0, ret_data, ret_id); }
    if (!is_plain(*options)) { return alloc_checked(writer, size, *options, ret_data, ret_id); }
    uint64_t others = options->tag | options->key_size;
    if ((options->ttl_ns | others) == 0) { return core::writer_alloc_bare(writer, size, options->flags, ret_data, ret_id); }
    return others == 0 ? core::writer_alloc_timed(writer, size, *options, ret_data, ret_id)
                       : core::writer_alloc_plain(writer, size, *options, ret_data, ret_id);
}

int speculo_chunk_shrink(speculo_area *area, size_t size) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    return core::writer_shrink(writer_of(area), size);
}

int speculo_chunk_obsolete(speculo_area *area, uint64_t id) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    return id != 0 ? core::writer_obsolete(writer_of(area), id) : -EINVAL;
}

int speculo_key_remove(speculo_area *area, const void *key, size_t key_size) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    return is_key(key, key_size) ? core::writer_key_remove(writer_of(area), key, key_size) : -EINVAL;
}

[[gnu::aligned(core::cache_line)]] int speculo_commit(speculo_area *area) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    return core::writer_commit(writer_of(area));
}

int speculo_rollback(speculo_area *area) noexcept {
    if (int error = check_writer(area); error < 0) { return error; }
    core::writer_rollback(writer_of(area));
    return 0;
}

[[gnu::aligned(core::cache_line)]] int speculo_read_next(speculo_area *area, speculo_chunk *ret_chunk) noexcept {
    if (int error = check_cursor(area); error < 0) { return error; }
    return ret_chunk ? core::cursor_next(reader_of(area), ret_chunk) : -EINVAL;
}

[[gnu::aligned(core::cache_line)]] int speculo_read_key(speculo_area *area, const void *key, size_t key_size,
                                                        speculo_chunk *ret_chunk) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    if (!key || !ret_chunk) { return -EINVAL; }
    if (core::KeyLanes::can_hold(key_size)) { return core::reader_read_short_key(reader_of(area), key, key_size, ret_chunk); }
    return is_key(key, key_size) ? core::reader_read_key(reader_of(area), key, key_size, ret_chunk) : -EINVAL;
}

int speculo_seek(speculo_area *area, uint64_t id) noexcept {
    if (int error = check_cursor(area); error < 0) { return error; }
    return core::cursor_seek(reader_of(area), id);
}

int speculo_chunk_is_live(speculo_area *area, const speculo_chunk *chunk) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    return chunk ? core::reader_is_live(reader_of(area), *chunk) : -EINVAL;
}

int speculo_chunk_hold(speculo_area *area, speculo_chunk *chunk) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    return chunk ? core::view_hold(reader_of(area), *chunk) : -EINVAL;
}

void speculo_chunk_release(speculo_chunk *chunk) noexcept {
    if (chunk) { core::view_release(*chunk); }
}

int speculo_snapshot_open(speculo_area *area, speculo_snapshot **ret_snapshot) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    return ret_snapshot ? core::snapshot_open(reader_of(area), ret_snapshot) : -EINVAL;
}

int speculo_snapshot_next(speculo_snapshot *snapshot, speculo_chunk *ret_chunk) noexcept {
    if (int error = check_snapshot(snapshot); error < 0) { return error; }
    return ret_chunk ? core::snapshot_next(*snapshot, ret_chunk) : -EINVAL;
}

int speculo_snapshot_key(speculo_snapshot *snapshot, const void *key, size_t key_size, speculo_chunk *ret_chunk) noexcept {
    if (int error = check_snapshot(snapshot); error < 0) { return error; }
    if (!is_key(key, key_size) || !ret_chunk) { return -EINVAL; }
    return core::snapshot_key(*snapshot, key, key_size, ret_chunk);
}

speculo_snapshot *speculo_snapshot_close(speculo_snapshot *snapshot) noexcept {
    if (snapshot) { core::snapshot_close(snapshot); }
    return nullptr;
}

int speculo_wait(speculo_area *area, int64_t timeout_ns) noexcept {
    if (!area) { return -EINVAL; }
    if (is_foreign(area)) { return -ECHILD; }
    if (area->role == Role::reader) { return core::reader_wait(reader_of(area), timeout_ns); }
    return core::is_lossless(area->area) ? core::writer_wait(writer_of(area), timeout_ns) : -EINVAL;
}

int speculo_area_get_fd(speculo_area *area) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    return core::reader_get_fd(reader_of(area));
}

int speculo_area_dispatch(speculo_area *area) noexcept {
    if (int error = check_reader(area); error < 0) { return error; }
    return core::reader_dispatch(reader_of(area));
}

int speculo_area_writer_alive(speculo_area *area) noexcept {
    if (!area) { return -EINVAL; }
    if (is_foreign(area)) { return -ECHILD; }
    return core::writer_alive(*area);
}

uint64_t speculo_now(void) noexcept {
    core::Clock clock{};
    return core::clock_prepare(clock) == 0 ? core::clock_now(clock) : 0;
}

const char *speculo_strerror(int error) noexcept { return core::error_text(error); }

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *speculo_version(void) noexcept {
    return VERSION_TEXT(SPECULO_VERSION_MAJOR, SPECULO_VERSION_MINOR, SPECULO_VERSION_PATCH);
}

} // extern "C"
