// SPDX-License-Identifier: LGPL-2.1-or-later
#include "areas.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <dirent.h>
#include <memory>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errors.hpp"
#include "terminal.hpp"
#include "units.hpp"

#ifndef SPECULO_DIRECTORY
#define SPECULO_DIRECTORY "/dev/shm"
#endif

namespace speculo::tool {

// ---- names ----------------------------------------------------------------------------------------------------------------------

std::string area_name_of(const std::string &given) {
    if (given.find('/') == std::string::npos || given[0] == '/') { return given; }
    std::unique_ptr<char, decltype(&std::free)> folder(::getcwd(nullptr, 0), std::free);
    if (!folder) { throw system_failure("current directory", errno); }
    return std::string(folder.get()) + '/' + given;
}

bool is_sound_name(const std::string &name) {
    std::string last = name.substr(name.rfind('/') + 1);
    return !last.empty() && last.size() <= 200 && last[0] != '.' &&
           last.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == std::string::npos;
}

std::string area_directory() { return SPECULO_DIRECTORY; }

std::string path_of(const std::string &name) {
    size_t slash = name.rfind('/');
    if (slash == std::string::npos) { return area_directory() + '/' + name; }
    return slash == 0 ? area_directory() + name : name;
}

namespace {

uint32_t uid_of(const Trust &trust) {
    if (auto number = parse_number(trust); number && *number < UINT32_MAX) { return uint32_t(*number); }
    const passwd *user = ::getpwnam(trust.c_str()); // NOLINT(concurrency-mt-unsafe): one thread
    if (!user) { throw Failure(Status::misused, "--trust: there is no user '" + trust + "'"); }
    return user->pw_uid;
}

} // namespace

std::string user_name(uint32_t uid) {
    const passwd *user = ::getpwuid(uid); // NOLINT(concurrency-mt-unsafe): one thread
    return user ? user->pw_name : std::to_string(uid);
}

// ---- opening --------------------------------------------------------------------------------------------------------------------

speculo::reader try_reader(const std::string &name, uint32_t flags, const Trust &trust, std::error_code &ec) {
    constexpr uint64_t largest_copy = uint64_t(1) << 30;
    area_options options;
    if (trust.empty()) { return speculo::reader::open(name, flags, options, ec); }
    options.trusted_uid(uid_of(trust)).max_capacity(largest_copy);
    return speculo::reader::open(name, flags | speculo::reader::untrusted, options, ec);
}

speculo::reader open_reader(const std::string &name, uint32_t flags, const Trust &trust) {
    std::error_code ec;
    speculo::reader reader = try_reader(name, flags, trust, ec);
    if (ec) { throw reading_failure(name, -ec.value()); }
    return reader;
}

speculo::reader await_reader(const std::string &name, uint32_t flags, const Trust &trust, uint64_t end_ns) {
    constexpr uint64_t look_again_ns = 10000000;
    for (uint64_t now = monotonic_now(); !stopped() && now < end_ns; now = monotonic_now()) {
        std::error_code ec;
        speculo::reader reader = try_reader(name, flags, trust, ec);
        if (!ec) { return reader; }
        if (ec != std::errc::no_such_file_or_directory) { throw reading_failure(name, -ec.value()); }
        pause_for(std::min(look_again_ns, end_ns - now));
    }
    return {};
}

area_options options_of(const Making &making) {
    area_options options;
    options.capacity(making.capacity).max_capacity(making.max).segments(uint32_t(making.segments)).mode(making.mode);
    options.prefault(making.prefault);
    if (making.is_lossless) { options.lossless(); }
    return options;
}

speculo::writer open_writer(const std::string &name, const Making &making, const Making &fresh, bool &ret_created) {
    std::error_code ec;
    ret_created = false;
    speculo::writer writer = speculo::writer::open(name, speculo::writer::existing, options_of(making), ec);
    if (ec == std::errc::no_such_file_or_directory) {
        writer = speculo::writer::open(name, speculo::writer::exclusive, options_of(fresh), ec);
        ret_created = !ec;
        if (ec == std::errc::file_exists) { // another process was faster
            writer = speculo::writer::open(name, speculo::writer::existing, options_of(making), ec);
        }
    }
    if (ec) { throw writing_failure(name, -ec.value()); }
    return writer;
}

// ---- those there are ------------------------------------------------------------------------------------------------------------

namespace {

// Whether what follows the '@' is that of an area's object, so that it is no other program's file.
bool is_object_suffix(const std::string &suffix) {
    if (suffix == "lock" || suffix == "bell") { return true; }
    size_t dot = suffix.find('.');
    if (dot == std::string::npos || suffix.size() != dot + 9) { return false; }
    std::string kind = suffix.substr(0, dot);
    bool is_slot = !kind.empty() && kind.size() <= 2 && kind.find_first_not_of("0123456789") == std::string::npos;
    return (is_slot || kind == "new") && suffix.find_first_not_of("0123456789abcdef", dot + 1) == std::string::npos;
}

std::optional<uint64_t> age_of(const std::string &path) {
    struct stat file = {};
    timespec now = {};
    // The lock is made with the area, and never written to.
    if (::stat((path + "@lock").c_str(), &file) < 0 && ::stat(path.c_str(), &file) < 0) { return {}; }
    ::clock_gettime(CLOCK_REALTIME, &now);
    int64_t ns = (now.tv_sec - file.st_mtim.tv_sec) * 1000000000 + (now.tv_nsec - file.st_mtim.tv_nsec);
    return ns > 0 ? uint64_t(ns) : 0;
}

struct CloseDirectory {
    void operator()(DIR *directory) const { ::closedir(directory); }
};

// Keys and chunks, at one moment.
void count(speculo::reader &reader, Glance &glance) {
    std::error_code ec;
    area_info counted = reader.info(0, ec);
    speculo::snapshot snapshot = ec ? speculo::snapshot() : reader.snapshot(ec);
    uint64_t keys = 0;
    while (auto chunk = ec ? std::nullopt : snapshot.next(ec)) { keys += chunk->native().key_size > 0; }
    if (ec == std::errc::bad_message) { glance.error = -EBADMSG; }
    if (ec) { return; }
    glance.info = counted;
    glance.keys = keys;
    glance.is_counted = true;
}

} // namespace

std::vector<std::string> areas_in(const std::string &directory) {
    std::unique_ptr<DIR, CloseDirectory> listing(::opendir(directory.c_str()));
    if (!listing) { throw system_failure(directory, errno); }
    std::vector<std::string> names;
    while (const dirent *entry = ::readdir(listing.get())) { // NOLINT(concurrency-mt-unsafe): one thread
        std::string file = entry->d_name;
        size_t at = file.rfind('@');
        if (at == std::string::npos || at == 0 || !is_object_suffix(file.substr(at + 1))) { continue; }
        names.push_back(file.substr(0, at));
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
}

void glance_through(speculo::reader &reader, Glance &glance) {
    std::error_code ec;
    glance.info = reader.info(SPECULO_INFO_QUICK, ec);
    glance.error = -ec.value();
    if (ec) { return; }
    bool is_writing = reader.writer_alive(ec);
    glance.is_writing = ec ? std::optional<bool>() : is_writing;
    glance.owner = glance.info.owner_uid;
}

Glance glance_at(const std::string &name, const Trust &trust, Count how) {
    constexpr uint64_t cheap = 16 << 20; // bytes to walk over: some milliseconds
    Glance glance;
    glance.name = name;
    glance.age_ns = age_of(path_of(name));
    struct stat file = {};
    if (::lstat(path_of(name).c_str(), &file) == 0) { glance.owner = file.st_uid; }
    std::error_code ec;
    speculo::reader reader = try_reader(name, speculo::reader::no_cursor, trust, ec);
    glance.error = -ec.value();
    if (ec) { return glance; }
    glance_through(reader, glance);
    bool is_wanted = how == Count::always || (how == Count::cheap && glance.info.used <= cheap);
    if (glance.error == 0 && is_wanted) { count(reader, glance); }
    return glance;
}

const char *state_of(const Glance &glance) {
    switch (-glance.error) {
    case 0: return !glance.is_writing ? "unknown" : *glance.is_writing ? "writing" : "idle";
    case EBADMSG: return "damaged";
    case EPROTONOSUPPORT: return "other version";
    case EPERM: return "other user";
    case EACCES: return "no access";
    case ENOENT: return "incomplete"; // being made, or what is left of one
    case ESTALE: return "removed";
    default: return "unreadable";
    }
}

bool is_bad(const Glance &glance) { return glance.error == -EBADMSG || glance.error == -ENOENT; }

} // namespace speculo::tool
