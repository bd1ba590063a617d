// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes the system below the library fail on demand: wraps the table of operations, counts the calls of each, lets chosen ones
// fail before they do anything, and knows what was opened, mapped and allocated and not given back.
//
// For one thread. Make it before the first handle; one at a time; it puts the table back at its end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "os.hpp"

namespace speculo::test {

// The places where something can fail: the operations, but unlocking is one of its own.
enum class Site {
    allocate,
    resize,
    release,
    open_directory,
    open,
    create,
    create_unnamed,
    link,
    rename,
    unlink,
    list,
    close,
    status,
    status_at,
    file_system,
    set_mode,
    set_owner,
    allocate_space,
    read_at,
    write_at,
    map,
    unmap,
    populate,
    make_huge,
    sync,
    lock,
    unlock,
    lock_whole,
    locked_by_other,
    sleep_on,
    wake,
    barrier_join,
    barrier,
    watch_open,
    watch_close,
    watch_alarm,
    watch_drain,
    touch,
    clock_fine,
    clock_coarse,
    clock_boot,
    clock_tick,
    clock_boot_offset,
    boot_id,
    random,
    user,
    error_text,
    at_fork,
};
inline constexpr size_t site_count = size_t(Site::at_fork) + 1;

inline Site site_at(size_t index) { return Site(index); }
const char *site_name(Site site);

// The errors that the system may plausibly give there; none where an operation cannot fail.
const std::vector<int> &site_errors(Site site);

// The clocks as the library sees them: the system's, plus what a test adds.
class FakeClock {
public:
    void freeze(); // until told, time stands still
    void thaw();
    void jump(int64_t ns);  // all clocks
    void sleep(int64_t ns); // the boot clock alone, as when the machine is suspended
    void tick();            // all clocks, by one tick

    void set_tick(uint64_t ns) { tick_ = ns; }
    // As in a time namespace: its clocks are ahead of the host's. With an error instead, nobody knows by how much.
    void set_namespace(int64_t ahead, int error = 0);

private:
    friend struct Hooks;
    uint64_t coarse() const;
    uint64_t boot() const;
    uint64_t tick_length() const;
    int offset(int64_t *ret_offset) const;

    const os::Operations *real_ = nullptr;
    bool frozen_ = false;
    uint64_t frozen_coarse_ = 0, frozen_boot_ = 0;
    int64_t coarse_added_ = 0, boot_added_ = 0, ahead_ = 0;
    uint64_t tick_ = 0; // 0: the system's
    int offset_error_ = 0;
};

class Faults {
public:
    Faults();
    ~Faults();
    Faults(const Faults &) = delete;
    Faults &operator=(const Faults &) = delete;

    // Calls are counted from 1 on, anew after reset_counts(). One fault at a time.
    void fail(Site site, uint64_t call, int error);      // this call alone
    void fail_from(Site site, uint64_t call, int error); // this one and all that follow
    void heal();                                         // no more faults
    void reset_counts();
    uint64_t calls(Site site) const { return calls_[size_t(site)]; }
    uint64_t fired() const { return fired_; } // how many calls have failed since the fault was set

    // What lives, of all that came through the table since.
    size_t descriptors() const { return descriptors_.size(); }
    size_t mappings() const { return mappings_.size(); }
    size_t allocations() const { return allocations_.size(); }
    // What is wrong, in words: what lives, and what was given back twice or never taken. Empty: nothing.
    std::string leaks() const;

    FakeClock clock;
    void set_boot_id(const std::array<uint8_t, 16> &id);
    void set_user(uint32_t uid);

private:
    friend struct Hooks;
    int enter(Site site); // counts; an error if it is to fail
    void complain(const std::string &what) { complaints_ += what + "; "; }

    os::Operations real_;
    std::array<uint64_t, site_count> calls_{};
    Site site_ = Site::allocate;
    uint64_t first_ = 0, last_ = 0, fired_ = 0; // the calls that fail; 0: none
    int error_ = 0;

    std::set<int> descriptors_;
    std::map<void *, size_t> mappings_;
    std::set<void *> allocations_;
    std::string complaints_;

    bool has_boot_id_ = false, has_user_ = false;
    std::array<uint8_t, 16> boot_id_{};
    uint32_t user_ = 0;
};

} // namespace speculo::test
