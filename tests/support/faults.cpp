// SPDX-License-Identifier: LGPL-2.1-or-later
#include "faults.hpp"

#include <cerrno>
#include <cstring>

#include "times.hpp"

namespace speculo::test {

namespace {

struct SiteInfo {
    const char *name;
    std::vector<int> errors;
};

const SiteInfo &info(Site site) {
    // In the order of Site.
    static const std::array<SiteInfo, site_count> table = {{
        {"allocate", {ENOMEM}},
        {"resize", {ENOMEM}},
        {"release", {}},
        {"open_directory", {ENOENT, ENOTDIR, EACCES, EMFILE, ENFILE, ENOMEM}},
        {"open", {ENOENT, EACCES, ELOOP, EMFILE, ENFILE, ENOMEM, EIO}},
        {"create", {EEXIST, EACCES, EROFS, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EIO}},
        {"create_unnamed", {EOPNOTSUPP, EACCES, EROFS, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EIO}},
        {"link", {EEXIST, ENOENT, EACCES, EPERM, ENOSPC, EDQUOT, ENOMEM, EIO}},
        {"rename", {EEXIST, ENOENT, EACCES, EPERM, ENOSPC, EDQUOT, ENOMEM, EIO}},
        {"unlink", {ENOENT, EACCES, EPERM, EBUSY, EROFS, ENOMEM, EIO}},
        {"list", {EACCES, EMFILE, ENFILE, ENOMEM, EIO}},
        {"close", {}},
        {"status", {ENOMEM, EIO}},
        {"status_at", {ENOENT, EACCES, ENOMEM, EIO}},
        {"file_system", {EOPNOTSUPP, ENOMEM, EIO}},
        {"set_mode", {EPERM, EROFS, EIO}},
        {"set_owner", {EPERM, EROFS, EDQUOT, EIO}},
        {"allocate_space", {ENOSPC, EDQUOT, EFBIG, ENOMEM, EOPNOTSUPP, EIO}},
        {"read_at", {ENODATA, EIO}},
        {"write_at", {ENOSPC, EDQUOT, EIO}},
        {"map", {ENOMEM, ENODEV, EACCES, EPERM, EAGAIN, ENFILE}},
        {"unmap", {}},
        {"populate", {}},
        {"make_huge", {EINVAL, ENOMEM, EBUSY, EAGAIN}},
        {"sync", {ENOMEM, EBUSY, EIO}},
        {"lock", {EAGAIN, ENOLCK}},
        {"unlock", {ENOLCK}},
        {"lock_whole", {EAGAIN, ENOLCK}},
        {"locked_by_other", {EOPNOTSUPP, ENOLCK}},
        {"sleep_on", {EAGAIN, ETIMEDOUT, EINTR}},
        {"wake", {}},
        {"barrier_join", {EOPNOTSUPP}},
        {"barrier", {EOPNOTSUPP}},
        {"watch_open", {EMFILE, ENFILE, ENOMEM, ENOSPC}},
        {"watch_close", {}},
        {"watch_alarm", {EINVAL}},
        {"watch_drain", {}},
        {"touch", {ENOSPC, EDQUOT, EIO}},
        {"clock_fine", {}},
        {"clock_coarse", {}},
        {"clock_boot", {}},
        {"clock_tick", {}},
        {"clock_boot_offset", {EOPNOTSUPP, EMFILE, ENFILE, ENOMEM}},
        {"boot_id", {EMFILE, ENFILE, ENOMEM, EIO}},
        {"random", {ENOSYS, EIO}},
        {"user", {}},
        {"error_text", {}},
        {"at_fork", {ENOMEM}},
    }};
    return table[size_t(site)];
}

Faults *active; // whose table is in place

constexpr bool gives_descriptor(Site site) {
    return site == Site::open_directory || site == Site::open || site == Site::create || site == Site::create_unnamed;
}

} // namespace

const char *site_name(Site site) { return info(site).name; }

const std::vector<int> &site_errors(Site site) { return info(site).errors; }

// What stands in the table.
struct Hooks {
    // For operations that do nothing but say how it went.
    template <auto member, Site site> struct Plain;

    template <typename... Arguments, int (*os::Operations::*member)(Arguments...), Site site> struct Plain<member, site> {
        static int call(Arguments... arguments) {
            if (int error = active->enter(site); error != 0) { return -error; }
            int result = (active->real_.*member)(arguments...);
            if (gives_descriptor(site) && result >= 0) { active->descriptors_.insert(result); }
            return result;
        }
    };

    // ---- what is tracked ----

    static void *allocate(size_t size) {
        if (active->enter(Site::allocate) != 0) { return nullptr; }
        void *memory = active->real_.allocate(size);
        if (memory) { active->allocations_.insert(memory); }
        return memory;
    }

    static void *resize(void *memory, size_t size) {
        if (active->enter(Site::resize) != 0) { return nullptr; }
        if (memory && active->allocations_.count(memory) == 0) { active->complain("resized memory that it does not have"); }
        active->allocations_.erase(memory);
        void *moved = active->real_.resize(memory, size);
        if (moved || memory) { active->allocations_.insert(moved ? moved : memory); }
        return moved;
    }

    static void release(void *memory) {
        active->enter(Site::release);
        if (memory && active->allocations_.erase(memory) == 0) { active->complain("released memory that it does not have"); }
        active->real_.release(memory);
    }

    static void close(int fd) {
        active->enter(Site::close);
        if (active->descriptors_.erase(fd) == 0) { active->complain("closed descriptor " + std::to_string(fd) + " in vain"); }
        active->real_.close(fd);
    }

    static int map(int fd, size_t length, os::Access access, void **ret_address) {
        if (int error = active->enter(Site::map); error != 0) { return -error; }
        int error = active->real_.map(fd, length, access, ret_address);
        if (error == 0) { active->mappings_[*ret_address] = length; }
        return error;
    }

    static void unmap(void *address, size_t length) {
        active->enter(Site::unmap);
        auto found = active->mappings_.find(address);
        if (found == active->mappings_.end() || found->second != length) {
            active->complain("unmapped what is not mapped so");
        } else {
            active->mappings_.erase(found);
        }
        active->real_.unmap(address, length);
    }

    static void populate(void *address, size_t length, os::Access access) {
        active->enter(Site::populate);
        active->real_.populate(address, length, access);
    }

    static int lock(int fd, os::Lock lock, uint64_t first, uint64_t count) {
        int error = active->enter(lock == os::Lock::none ? Site::unlock : Site::lock);
        return error != 0 ? -error : active->real_.lock(fd, lock, first, count);
    }

    static void wake(const uint32_t *word, uint32_t count) {
        active->enter(Site::wake);
        active->real_.wake(word, count);
    }

    static int watch_open(int file, os::Watch *ret_watch) {
        if (int error = active->enter(Site::watch_open); error != 0) { return -error; }
        int error = active->real_.watch_open(file, ret_watch);
        if (error == 0) { active->descriptors_.insert(ret_watch->fd); }
        return error;
    }

    static void watch_close(os::Watch *watch) {
        active->enter(Site::watch_close);
        if (active->descriptors_.erase(watch->fd) == 0) { active->complain("closed a watch in vain"); }
        active->real_.watch_close(watch);
    }

    static void watch_drain(const os::Watch *watch) {
        active->enter(Site::watch_drain);
        active->real_.watch_drain(watch);
    }

    static uint64_t clock_fine() {
        active->enter(Site::clock_fine);
        return active->real_.clock_fine();
    }

    // ---- what tests may set ----

    static int clock_coarse(clockid_t, timespec *ret_time) {
        active->enter(Site::clock_coarse);
        *ret_time = time_of(active->clock.coarse());
        return 0;
    }

    static uint64_t clock_boot() {
        active->enter(Site::clock_boot);
        return active->clock.boot();
    }

    static uint64_t clock_tick() {
        active->enter(Site::clock_tick);
        return active->clock.tick_length();
    }

    static int clock_boot_offset(int64_t *ret_offset) {
        int error = active->enter(Site::clock_boot_offset);
        return error != 0 ? -error : active->clock.offset(ret_offset);
    }

    static int boot_id(uint8_t ret_id[16]) {
        if (int error = active->enter(Site::boot_id); error != 0) { return -error; }
        if (!active->has_boot_id_) { return active->real_.boot_id(ret_id); }
        std::memcpy(ret_id, active->boot_id_.data(), active->boot_id_.size());
        return 0;
    }

    static uint32_t user() {
        active->enter(Site::user);
        return active->has_user_ ? active->user_ : active->real_.user();
    }

    static const char *error_text(int code) {
        active->enter(Site::error_text);
        return active->real_.error_text(code);
    }

    static os::Operations table();
    static void set_real(FakeClock &clock, const os::Operations &real) { clock.real_ = &real; }
};

os::Operations Hooks::table() {
    using O = os::Operations;
    O table;
    table.allocate = allocate;
    table.resize = resize;
    table.release = release;
    table.open_directory = Plain<&O::open_directory, Site::open_directory>::call;
    table.open = Plain<&O::open, Site::open>::call;
    table.create = Plain<&O::create, Site::create>::call;
    table.create_unnamed = Plain<&O::create_unnamed, Site::create_unnamed>::call;
    table.link = Plain<&O::link, Site::link>::call;
    table.rename = Plain<&O::rename, Site::rename>::call;
    table.unlink = Plain<&O::unlink, Site::unlink>::call;
    table.list = Plain<&O::list, Site::list>::call;
    table.close = close;
    table.status = Plain<&O::status, Site::status>::call;
    table.status_at = Plain<&O::status_at, Site::status_at>::call;
    table.file_system = Plain<&O::file_system, Site::file_system>::call;
    table.set_mode = Plain<&O::set_mode, Site::set_mode>::call;
    table.set_owner = Plain<&O::set_owner, Site::set_owner>::call;
    table.allocate_space = Plain<&O::allocate_space, Site::allocate_space>::call;
    table.read_at = Plain<&O::read_at, Site::read_at>::call;
    table.write_at = Plain<&O::write_at, Site::write_at>::call;
    table.map = map;
    table.unmap = unmap;
    table.populate = populate;
    table.make_huge = Plain<&O::make_huge, Site::make_huge>::call;
    table.sync = Plain<&O::sync, Site::sync>::call;
    table.lock = lock;
    table.lock_whole = Plain<&O::lock_whole, Site::lock_whole>::call;
    table.locked_by_other = Plain<&O::locked_by_other, Site::locked_by_other>::call;
    table.sleep_on = Plain<&O::sleep_on, Site::sleep_on>::call;
    table.wake = wake;
    table.barrier_join = Plain<&O::barrier_join, Site::barrier_join>::call;
    table.barrier = Plain<&O::barrier, Site::barrier>::call;
    table.watch_open = watch_open;
    table.watch_close = watch_close;
    table.watch_alarm = Plain<&O::watch_alarm, Site::watch_alarm>::call;
    table.watch_drain = watch_drain;
    table.touch = Plain<&O::touch, Site::touch>::call;
    table.clock_fine = clock_fine;
    table.clock_coarse = clock_coarse;
    table.clock_boot = clock_boot;
    table.clock_tick = clock_tick;
    table.clock_boot_offset = clock_boot_offset;
    table.boot_id = boot_id;
    table.random = Plain<&O::random, Site::random>::call;
    table.user = user;
    table.error_text = error_text;
    table.at_fork = Plain<&O::at_fork, Site::at_fork>::call;
    return table;
}

// ---- clocks -----------------------------------------------------------------------------------------------------------------

void FakeClock::freeze() {
    frozen_coarse_ = coarse() - uint64_t(coarse_added_);
    frozen_boot_ = boot() - uint64_t(boot_added_ + ahead_);
    frozen_ = true;
}

void FakeClock::thaw() { frozen_ = false; }

void FakeClock::jump(int64_t ns) {
    coarse_added_ += ns;
    boot_added_ += ns;
}

void FakeClock::sleep(int64_t ns) { boot_added_ += ns; }

void FakeClock::tick() { jump(int64_t(tick_length())); }

void FakeClock::set_namespace(int64_t ahead, int error) {
    ahead_ = ahead;
    offset_error_ = error;
}

uint64_t FakeClock::coarse() const {
    uint64_t read = frozen_coarse_;
    if (!frozen_) {
        timespec now;
        real_->clock_coarse(os::coarse_clock, &now);
        read = os::nanoseconds(now);
    }
    return read + uint64_t(coarse_added_);
}

uint64_t FakeClock::boot() const { return (frozen_ ? frozen_boot_ : real_->clock_boot()) + uint64_t(boot_added_ + ahead_); }

uint64_t FakeClock::tick_length() const { return tick_ ? tick_ : real_->clock_tick(); }

// `ahead_` comes on top of the namespace that the test itself runs in.
int FakeClock::offset(int64_t *ret_offset) const {
    if (offset_error_ != 0) { return -offset_error_; }
    int64_t offset;
    if (int error = real_->clock_boot_offset(&offset); error < 0) { return error; }
    *ret_offset = offset + ahead_;
    return 0;
}

// ---- faults -----------------------------------------------------------------------------------------------------------------

Faults::Faults() : real_(os::operations) {
    Hooks::set_real(clock, real_);
    active = this;
    os::operations = Hooks::table();
}

Faults::~Faults() {
    os::operations = real_;
    active = nullptr;
}

void Faults::fail(Site site, uint64_t call, int error) {
    site_ = site;
    first_ = last_ = call;
    error_ = error;
    fired_ = 0;
}

void Faults::fail_from(Site site, uint64_t call, int error) {
    fail(site, call, error);
    last_ = UINT64_MAX;
}

void Faults::heal() { first_ = last_ = 0; }

void Faults::reset_counts() { calls_.fill(0); }

int Faults::enter(Site site) {
    uint64_t call = ++calls_[size_t(site)];
    bool is_chosen = first_ != 0 && site == site_ && call >= first_ && call <= last_;
    if (!is_chosen) { return 0; }
    ++fired_;
    return error_;
}

std::string Faults::leaks() const {
    std::string text = complaints_;
    if (!descriptors_.empty()) {
        text += "descriptors";
        for (int fd : descriptors_) { text += ' ' + std::to_string(fd); }
        text += "; ";
    }
    if (!mappings_.empty()) { text += std::to_string(mappings_.size()) + " mappings; "; }
    if (!allocations_.empty()) { text += std::to_string(allocations_.size()) + " allocations; "; }
    return text;
}

void Faults::set_boot_id(const std::array<uint8_t, 16> &id) {
    boot_id_ = id;
    has_boot_id_ = true;
}

void Faults::set_user(uint32_t uid) {
    user_ = uid;
    has_user_ = true;
}

} // namespace speculo::test
