// SPDX-License-Identifier: LGPL-2.1-or-later
// Plays a piece of an area's life again and again, each time with another operation of the system failing: nothing committed may
// be lost, and once the system is well again the same call must lead to what it would have led to without the failure.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <initializer_list>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>

#include "faults.hpp"
#include "reader.hpp"
#include "writing.hpp"

namespace speculo::test {

// What a scenario needs the system to be like, and what is peculiar to it.
enum Traits : unsigned {
    ordinary = 0,
    on_a_disk = 1,       // the file system outlives the running system
    without_tmpfile = 2, // no file begins without a name
    never_fails = 4,
    believes_names = 8, // what the system says is not there is given up, or not counted
    compacts = 16,
    uses_again = 32,       // a segment, where that is possible
    may_stop_halfway = 64, // what failed may have ended the area; but it can be called again
    was_begun = 128        // the compaction has its segment already
};

// The system that the faults come on top of. Restored at the end.
class SystemSetting {
public:
    explicit SystemSetting(unsigned traits) : real_(os::operations) {
        if (traits & on_a_disk) { os::operations.file_system = says_disk; }
        if (traits & without_tmpfile) { os::operations.create_unnamed = says_unsupported; }
        original() = real_;
        owner() = nobody;
        os::operations.status = status;
        os::operations.status_at = status_at;
        os::operations.set_owner = set_owner;
        os::operations.clock_fine = clock_fine;
        os::operations.sleep_on = sleep_on;
    }
    ~SystemSetting() { os::operations = real_; }
    SystemSetting(const SystemSetting &) = delete;
    SystemSetting &operator=(const SystemSetting &) = delete;

    // From now on every file with a name belongs to that user, and those without one to root.
    static void pretend_owner(uint32_t uid) { owner() = uid; }

private:
    static constexpr uint32_t nobody = UINT32_MAX;
    static os::Operations &original() {
        static os::Operations operations;
        return operations;
    }
    static uint32_t &owner() {
        static uint32_t uid;
        return uid;
    }
    // Time passes by looking at the clock and by sleeping, so that a scenario does the same each time, however long it takes.
    static uint64_t &time() {
        static uint64_t ns;
        return ns;
    }
    static uint64_t clock_fine() { return time() += 1000; }
    static int sleep_on(const uint32_t *word, uint32_t expected, uint64_t timeout_ns) {
        if (*static_cast<const volatile uint32_t *>(word) != expected) { return -EAGAIN; }
        time() += timeout_ns;
        return -ETIMEDOUT;
    }
    static int says_disk(int fd, os::Medium *ret_medium) {
        int error = original().file_system(fd, ret_medium);
        *ret_medium = os::Medium::disk;
        return error;
    }
    static int says_unsupported(int) { return -EOPNOTSUPP; }
    static int pretend(int error, os::FileStatus *status) {
        if (error == 0 && owner() != nobody) { status->uid = status->links > 0 ? owner() : 0; }
        return error;
    }
    static int status(int fd, os::FileStatus *ret_status) { return pretend(original().status(fd, ret_status), ret_status); }
    static int status_at(int directory, const char *name, os::FileStatus *ret_status) {
        return pretend(original().status_at(directory, name, ret_status), ret_status);
    }
    static int set_owner(int fd, uint32_t uid, uint32_t gid) {
        return owner() == nobody ? original().set_owner(fd, uid, gid) : 0;
    }

    os::Operations real_;
};

inline const std::string no_area = "no area";

// What a scenario works with.
struct Stage {
    explicit Stage(unsigned traits) : setting(traits) {}

    SystemSetting setting;
    Faults faults;
    AreaName name;
    Handle writer, reader;
    speculo_snapshot *snapshot = nullptr;
    speculo_chunk chunk{}, held{};
    std::string log; // what was read or given, so that nothing is told twice or not at all
    std::array<uint8_t, 16> boot_id{};

    void boot() {
        boot_id[0] = uint8_t(boot_id[0] + 1);
        faults.set_boot_id(boot_id);
    }

    void note(const std::string &text) { log += text + '\n'; }
    void note(const speculo_chunk &view) {
        Seen one = seen(view);
        note(std::to_string(one.id) + ' ' + one.key + '=' + one.payload.substr(0, 20) + '/' + std::to_string(one.payload.size()) +
             " skipped " + std::to_string(one.skipped));
    }

    // What a reader that comes now finds.
    std::string state() const {
        speculo_area *fresh = nullptr;
        int error = speculo_area_open(name.c_str(), SPECULO_OPEN_NO_CURSOR, nullptr, &fresh);
        if (error < 0) { return error == -ENOENT ? no_area : std::string("cannot open: ") + speculo_strerror(error); }
        Handle guard(fresh);
        speculo_snapshot *all = nullptr;
        error = speculo_snapshot_open(fresh, &all);
        if (error < 0) { return std::string("no snapshot: ") + speculo_strerror(error); }
        std::string text;
        speculo_chunk view{};
        while ((error = speculo_snapshot_next(all, &view)) == 1) {
            Seen one = seen(view);
            text += std::to_string(one.id) + ' ' + one.key + '=' + one.payload + '\n';
        }
        speculo_snapshot_close(all);
        return error == 0 ? text : "damaged";
    }

    bool has_cursor() const { return static_cast<core::Reader &>(*static_cast<speculo_area *>(reader)).cursor.segment; }

    uint64_t generation() const { return writer ? inside(writer).current->generation : 0; }

    // Everything that the scenario has led to, and that one can go on.
    std::string report() {
        std::string text = log + "finds\n" + state();
        if (writer) {
            text += "next " + std::to_string(commit_key(writer, "last", "end")) + '\n';
            if (reader && has_cursor()) {
                for (const Seen &one : read_all(reader)) { text += "reads " + std::to_string(one.id) + '\n'; }
            }
        }
        return text;
    }

    void finish() {
        speculo_chunk_release(&held);
        snapshot = speculo_snapshot_close(snapshot);
        reader.close();
        writer.close();
        EXPECT_EQ(faults.leaks(), "");
        int error = speculo_area_remove(name.c_str());
        EXPECT_TRUE(error == 0 || error == -ENOENT) << speculo_strerror(error);
        EXPECT_EQ(name.files(), std::vector<std::string>{});
        EXPECT_EQ(faults.leaks(), "");
    }
};

struct Scenario {
    const char *name;
    unsigned traits;
    void (*prepare)(Stage &);
    int (*act)(Stage &); // 0 and more: success; after a failure it is called again
};

inline void PrintTo(const Scenario &scenario, std::ostream *out) { *out << scenario.name; }

struct Fault {
    Site site;
    uint64_t call;
    int error;
    bool lasts;

    std::string text() const {
        return std::string(site_name(site)) + " call " + std::to_string(call) + (lasts ? " and all behind it: " : ": ") +
               speculo_strerror(-error);
    }
};

using Calls = std::array<uint64_t, site_count>;

inline bool is_one_of(int number, std::initializer_list<int> numbers) {
    return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// What the system said is what the caller gets, but where it has a meaning to the library.
inline bool is_translation(const Fault &fault, int result) {
    switch (fault.error) {
    case EDQUOT:
    case EFBIG: return result == -ENOSPC; // a full file system by another name
    case EAGAIN: return fault.site == Site::lock_whole && result == -EBUSY;
    // A name that was there a moment ago is gone, or the other way round: the name has moved on, or the area is damaged.
    case ENODATA: return result == -EBADMSG || result == -EAGAIN; // it was cut short, or is being
    case ENOENT: return is_one_of(result, {-ESTALE, -EBADMSG, -EEXIST}) || (fault.lasts && result == -EAGAIN);
    case EEXIST: return fault.lasts && result == -EAGAIN;
    default: return false;
    }
}

inline bool is_allowed(const Scenario &scenario, const Fault &fault, int result) {
    if (result >= 0) { return true; } // it was a hint, or there was another way
    return (scenario.traits & never_fails) == 0 && (result == -fault.error || is_translation(fault, result));
}

// Returns the report. Without a fault, also how often each operation was called.
inline std::string play(const Scenario &scenario, const Fault *fault, Calls *ret_calls = nullptr) {
    Stage stage(scenario.traits);
    scenario.prepare(stage);
    std::string before = stage.state();
    size_t had_files = stage.name.files().size();
    uint64_t generation = stage.generation();
    stage.faults.clock.freeze(); // what is done once a tick is due, and comes once
    stage.faults.clock.tick();
    stage.faults.reset_counts();
    if (fault) {
        auto fail = fault->lasts ? &Faults::fail_from : &Faults::fail;
        (stage.faults.*fail)(fault->site, fault->call, fault->error);
    }
    int result = scenario.act(stage);
    for (size_t i = 0; ret_calls && i < site_count; ++i) { (*ret_calls)[i] = stage.faults.calls(site_at(i)); }
    stage.faults.heal();
    if (!fault && (scenario.traits & compacts)) { EXPECT_GT(stage.generation(), generation) << scenario.name; }
    if (fault) {
        EXPECT_GE(stage.faults.fired(), 1u) << "the scenario does not do the same each time";
        EXPECT_TRUE(is_allowed(scenario, *fault, result)) << speculo_strerror(result);
        if (result < 0) {
            std::string state = stage.state();
            bool is_half_done = (scenario.traits & may_stop_halfway) && state == no_area;
            if (had_files == 0 && fault->error != ENOENT) { EXPECT_EQ(stage.name.files().size(), 0u) << "traces of an area"; }
            if (!is_half_done) { EXPECT_EQ(state, before) << "after " << speculo_strerror(result); }
            result = scenario.act(stage);
        }
    }
    EXPECT_GE(result, 0) << speculo_strerror(result);
    std::string report = stage.report();
    stage.finish();
    return report;
}

// Errors that the library may answer by trying again, or in another way. The others all go the same way when they last.
inline bool is_retried(int error) { return is_one_of(error, {ENOENT, EEXIST, EAGAIN, EOPNOTSUPP, ENOSPC}); }

// All operations that the scenario calls, each call of them, each error, once and from then on.
inline void play_all(const Scenario &scenario) {
    Calls calls{};
    std::string expected = play(scenario, nullptr, &calls);
    for (size_t i = 0; i < site_count; ++i) {
        for (uint64_t call = 1; call <= calls[i]; ++call) {
            for (int error : site_errors(site_at(i))) {
                for (bool lasts : {false, true}) {
                    if (lasts && !is_retried(error) && error != site_errors(site_at(i)).front()) { continue; }
                    Fault fault{site_at(i), call, error, lasts};
                    SCOPED_TRACE(fault.text());
                    std::string report = play(scenario, &fault);
                    if ((scenario.traits & believes_names) == 0 || error != ENOENT) { EXPECT_EQ(report, expected); }
                    if (testing::Test::HasFatalFailure()) { return; }
                }
            }
        }
    }
}

} // namespace speculo::test
