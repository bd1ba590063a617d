// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handle.hpp"

#include <cerrno>

namespace speculo::core {

namespace {

Numbers handle_numbers;

} // namespace

speculo_area *handle_begin(const char *name, Role role, size_t size, int &ret_error) {
    ret_error = fork_watch();
    if (ret_error < 0) { return nullptr; }
    auto *handle = static_cast<speculo_area *>(os::operations.allocate(size));
    if (!handle) {
        ret_error = -ENOMEM;
        return nullptr;
    }
    handle->role = role;
    handle->number = handle_numbers.next();
    handle->area.control_fd.fd = -1;
    ret_error = place_open(name, handle->area.place);
    if (ret_error < 0) {
        os::operations.release(handle);
        return nullptr;
    }
    own_mark_set(handle->own, uint32_t(role), ForkGuard());
    return handle;
}

void handle_end(speculo_area *handle) {
    control_close(handle->area);
    place_close(handle->area.place);
    own_mark_end(handle->own, ForkGuard());
    os::operations.release(handle);
}

} // namespace speculo::core
