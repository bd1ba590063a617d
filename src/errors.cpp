// SPDX-License-Identifier: LGPL-2.1-or-later
#include "errors.hpp"

#include <cerrno>

#include "os.hpp"

namespace speculo::core {

namespace {

struct Text {
    int error;
    const char *text;
};

constexpr Text texts[] = {
    {0, "Success"},
    {EINVAL, "Invalid argument, or a call that this handle cannot take"},
    {E2BIG, "An unknown or reserved field is not zero"},
    {ENOENT, "No such area, id or key"},
    {EEXIST, "The area exists already"},
    {EBUSY, "Another writer has the area"},
    {EACCES, "The system refused access"},
    {EPERM, "The area's owner is not to be trusted, or you are not its owner"},
    {EAGAIN, "Cursors have not caught up, or gave up after a bounded number of tries"},
    {ENOSPC, "No room in the area, or the file system is full"},
    {EMSGSIZE, "The chunk can never fit, or is larger than an untrusting reader wants"},
    {EOVERFLOW, "All ids have been given"},
    {EPROTONOSUPPORT, "The area has another format version or byte order"},
    {EBADMSG, "The area is damaged"},
    {ESTALE, "The area was removed or replaced"},
    {EROFS, "Writing through a reader's handle"},
    {EOPNOTSUPP, "This system or file system cannot do that"},
    {EINTR, "A signal handler ran"},
    {EPIPE, "The writer is gone, and everything is read"},
    {ECHILD, "The handle belongs to the parent process"},
};

} // namespace

const char *error_text(int error) {
    if (error < -4095) { return "Unknown error"; } // no system has such codes; spares -INT_MIN
    int code = error < 0 ? -error : error;
    for (const Text &entry : texts) {
        if (entry.error == code) { return entry.text; }
    }
    const char *text = os::operations.error_text(code);
    return text ? text : "Unknown error";
}

} // namespace speculo::core
