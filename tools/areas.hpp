// SPDX-License-Identifier: LGPL-2.1-or-later
// Areas as the command meets them: names, opening with errors explained, and those there are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <speculo/speculo.hpp>

namespace speculo::tool {

// A name as it was given; a relative path with a '/' in it becomes absolute.
std::string area_name_of(const std::string &given);

// Whether the last part of a name is what one may be.
bool is_sound_name(const std::string &name);

// Where areas with a name live.
std::string area_directory();

// The file of an area's control page.
std::string path_of(const std::string &name);

// Whose areas a reader accepts, beside its own and root's: a user's name or number; empty: nobody's.
using Trust = std::string;

// Opens for reading. Somebody else can damage his area, or cut it short, while it is read: what is read of it is copied, never mapped.
speculo::reader try_reader(const std::string &name, uint32_t flags, const Trust &trust, std::error_code &ec);

// As above, but throws a Failure that says what to do.
speculo::reader open_reader(const std::string &name, uint32_t flags, const Trust &trust);

// Waits for the area to appear, until `end_ns` of monotonic_now(). No handle: asked to stop, or it was not there in time.
speculo::reader await_reader(const std::string &name, uint32_t flags, const Trust &trust, uint64_t end_ns = UINT64_MAX);

// What a writer may want of its area; 0: as it is, or the default.
struct Making {
    uint64_t capacity = 0, max = 0, segments = 0, prefault = 0;
    uint32_t mode = 0;
    bool is_lossless = false;
};

// Opens for writing; `ret_created` says that the area was not there, and `fresh` how it is made then.
speculo::writer open_writer(const std::string &name, const Making &making, const Making &fresh, bool &ret_created);

speculo::area_options options_of(const Making &making);

// The names of the areas in a directory, sorted: all that have objects there, sound or not.
std::vector<std::string> areas_in(const std::string &directory);

// An area at a glance.
struct Glance {
    std::string name;
    int error = 0;       // negative: what kept us from looking
    area_info info = {}; // if there is no error; counts only if `is_counted`
    bool is_counted = false;
    uint64_t keys = 0;
    std::optional<bool> is_writing; // nothing: this system cannot tell
    std::optional<uint32_t> owner;
    std::optional<uint64_t> age_ns;
};

// How far a glance goes: counting chunks walks over all of them.
enum class Count { never, cheap, always };

Glance glance_at(const std::string &name, const Trust &trust, Count count);

// The same through a handle that is open.
void glance_through(speculo::reader &reader, Glance &glance);

const char *state_of(const Glance &glance); // "writing", "idle", "damaged", ...
bool is_bad(const Glance &glance);
std::string user_name(uint32_t uid);

} // namespace speculo::tool
