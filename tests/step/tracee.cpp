// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tracee.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <link.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace speculo::test {

Tracee::Tracee(const std::function<int()> &body) {
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) { std::abort(); }
    if (pid_ == 0) {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) < 0) { _exit(126); }
        trap();
        _exit(body());
    }
    int status;
    if (waitpid(pid_, &status, 0) != pid_ || !WIFSTOPPED(status)) {
        std::fprintf(stderr, "processes cannot be traced here\n");
        std::abort();
    }
    ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_EXITKILL);
}

Tracee::~Tracee() {
    if (pid_ < 0) { return; }
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

bool Tracee::resume(int request) {
    if (pid_ < 0) { return false; }
    int status = 0;
    if (ptrace(__ptrace_request(request), pid_, nullptr, nullptr) < 0) { std::abort(); }
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGCHLD) { return resume(request); }
    if (WIFSTOPPED(status)) {
        if (WSTOPSIG(status) == SIGTRAP) { return true; }
        ending_ = std::string("a signal: ") + strsignal(WSTOPSIG(status));
        return false;
    }
    ending_ = WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status)) : "killed";
    pid_ = -1;
    return false;
}

bool Tracee::go_on() { return resume(PTRACE_CONT); }

bool Tracee::step() { return resume(PTRACE_SINGLESTEP); }

uintptr_t Tracee::place() const {
    return uintptr_t(ptrace(PTRACE_PEEKUSER, pid_, reinterpret_cast<void *>(offsetof(user, regs.rip)), nullptr));
}

// A fork has its code where this process has it.
bool Tracee::is_system_call(uintptr_t place) { return std::memcmp(reinterpret_cast<const void *>(place), "\x0f\x05", 2) == 0; }

CodeRange code_of(const char *library) {
    struct Search {
        const char *library;
        CodeRange found;
    } search{library, {}};
    dl_iterate_phdr(
        [](dl_phdr_info *info, size_t, void *user) {
            auto &wanted = *static_cast<Search *>(user);
            if (!std::strstr(info->dlpi_name, wanted.library)) { return 0; }
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto &header = info->dlpi_phdr[i];
                if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) { continue; }
                wanted.found = {info->dlpi_addr, info->dlpi_addr + header.p_vaddr,
                                info->dlpi_addr + header.p_vaddr + header.p_memsz};
            }
            return 1;
        },
        &search);
    return search.found;
}

} // namespace speculo::test
