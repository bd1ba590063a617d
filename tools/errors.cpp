// SPDX-License-Identifier: LGPL-2.1-or-later
#include "errors.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/stat.h>
#include <unistd.h>

#include <speculo/speculo.h>

#include "areas.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

std::string command_name = "speculo";

struct Meaning {
    int error;
    Status status;
    const char *text; // % is the area
};

constexpr Meaning meanings[] = {
    {ENOENT, Status::absent, "there is no area '%'; 'speculo list' shows those there are"},
    {EEXIST, Status::busy, "there is an area '%' already"},
    {EBUSY, Status::busy, "another process writes to '%'; wait until it ends"},
    {EACCES, Status::denied, "no access to '%'; its owner can allow it with 'speculo create % --mode 0644'"},
    {EPERM, Status::denied, "'%' belongs to another user"},
    {EROFS, Status::denied, "'%' cannot be written to"},
    {ENOSPC, Status::full, "no room for '%': the area, or the file system that it is in, is full"},
    {EDQUOT, Status::full, "no room for '%': your quota is used up"},
    {ENOMEM, Status::full, "not enough memory for '%'"},
    {EMSGSIZE, Status::full, "too large for '%'; 'speculo create % --max SIZE' lets it grow"},
    {EPROTONOSUPPORT, Status::damaged, "'%' was made by another version of speculo; 'speculo rm %' removes it"},
    {EBADMSG, Status::damaged, "'%' is damaged, or no area; 'speculo check %' says more, 'speculo rm %' removes it if it is one"},
    {ELOOP, Status::damaged, "'%' is a symbolic link, which is not followed"},
    {ESTALE, Status::absent, "'%' was removed"},
    {EINVAL, Status::misused, "'%' cannot be an area: a name is 1 to 200 of A-Z a-z 0-9 . _ - and does not begin with a dot"},
    {ENOTDIR, Status::misused, "'%' cannot be an area: part of the path is no directory"},
    {EOPNOTSUPP, Status::failed, "'%': this system, or the file system, cannot do that"},
    {EAGAIN, Status::failed, "'%' changes too fast; try again"},
};

std::string fill_in(const char *text, std::string_view name) {
    std::string filled;
    for (; *text != '\0'; ++text) {
        if (*text == '%') {
            filled += name;
        } else {
            filled += *text;
        }
    }
    return filled;
}

} // namespace

Failure area_failure(std::string_view name, int error) {
    if (error == -EINVAL && is_sound_name(std::string(name))) {
        return {Status::misused,
                "'" + std::string(name) + "': these sizes do not go together, or are beyond what an area can have"};
    }
    for (const Meaning &meaning : meanings) {
        if (meaning.error == -error) { return {meaning.status, fill_in(meaning.text, name)}; }
    }
    return {Status::failed, std::string(name) + ": " + speculo_strerror(error)};
}

Failure reading_failure(std::string_view name, int error) {
    if (error != -EPERM) { return area_failure(name, error); }
    return {Status::denied, fill_in("'%' belongs to another user; --trust USER accepts that", name)};
}

// Who may not write cannot be helped by the area's mode; and if it is not there, it is the directory that refuses.
Failure writing_failure(std::string_view name, int error) {
    std::string path = path_of(std::string(name)), directory = path.substr(0, std::max<size_t>(path.rfind('/'), 1));
    if (error == -ENOENT) { return {Status::absent, "there is no directory '" + directory + "' for an area"}; }
    if (error != -EACCES && error != -EPERM) { return area_failure(name, error); }
    struct stat file = {};
    bool is_there = ::lstat(path.c_str(), &file) == 0;
    if (!is_there) { return {Status::denied, "no access to the directory '" + directory + "', where the area is to be made"}; }
    bool is_foreign = file.st_uid != ::geteuid();
    return {Status::denied, fill_in(is_foreign ? "'%' belongs to another user: only the owner and root can write to it"
                                               : "no access to '%', or to the directory that it is in",
                                    name)};
}

Failure removal_failure(std::string_view name, int error) {
    if (error == -EPERM || error == -EACCES) {
        return {Status::denied, fill_in("'%' belongs to another user: only the owner and root can remove it", name)};
    }
    if (error == -EBADMSG) { return {Status::damaged, fill_in("'%' is no area, and is left as it is", name)}; }
    return area_failure(name, error);
}

Failure system_failure(std::string_view what, int error) {
    Status status = Status::failed;
    if (error == ENOENT) { status = Status::absent; }
    if (error == EACCES || error == EPERM) { status = Status::denied; }
    if (error == ENOSPC || error == EDQUOT) { status = Status::full; }
    return {status, std::string(what) + ": " + std::strerror(error)}; // NOLINT(concurrency-mt-unsafe): one thread
}

void set_command(std::string_view command) { command_name = "speculo " + std::string(command); }

void note(std::string_view message) {
    std::string line = command_name + ": " + printable(message) + '\n';
    // Nobody can be told that this failed.
    [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace speculo::tool
