// SPDX-License-Identifier: LGPL-2.1-or-later
#include "walk.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <unordered_map>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tracee.hpp"

namespace speculo::test {

namespace {

constexpr size_t enough_complaints = 3;
constexpr size_t unknown = SIZE_MAX;
constexpr unsigned most_seconds = 120; // for one image

char where_now[256] = "nowhere";

class SharedLedger {
public:
    SharedLedger()
        : ledger_(
              static_cast<Ledger *>(mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
    ~SharedLedger() { munmap(ledger_, sizeof(Ledger)); }
    SharedLedger(const SharedLedger &) = delete;
    SharedLedger &operator=(const SharedLedger &) = delete;
    Ledger &operator*() const { return *ledger_; }
    Ledger *operator->() const { return ledger_; }

private:
    Ledger *ledger_;
};

// What is the same for a walk and for those through takeovers on its way.
struct Trip {
    const Scenario &scenario;
    const Extent &extent;
    Workshop workshop;
    Totals totals{};
    CodeRange library = code_of("libspeculo.so");
};

// What one process does.
struct Task {
    State begin;
    const Image *start; // null: nothing is there
    std::function<void(Play &)> prepare, act;
    unsigned traits;
    bool has(Traits trait) const { return (traits & trait) != 0; }
};

class Walk {
public:
    Walk(Trip &trip, Task task, std::string path, unsigned depth)
        : trip_(trip), task_(std::move(task)), path_(std::move(path)), depth_(depth),
          live_(trip.workshop.room("live" + std::to_string(depth))), watch_(live_),
          judge_(trip.workshop.room("judged"), trip.scenario.choices, (trip.scenario.traits & is_full) != 0) {}

    void run();

private:
    int be_watched();
    void prepare_by_another();
    void step_through_call(Tracee &tracee);
    void note_change(uintptr_t place, bool is_system_call);
    void examine();
    bool is_wanted() const;
    bool is_over() const;
    void judge_image();
    void walk_takeover(size_t state);
    void serve_reader();
    void note_where();
    void complain(const std::string &what);
    std::string name() const { return live_ + "/area"; }

    Trip &trip_;
    Task task_;
    std::string path_;
    unsigned depth_;
    std::string live_;
    Watch watch_;
    Judge judge_;
    SharedLedger ledger_;
    std::vector<State> states_;
    Image base_;
    size_t base_state_ = 0, floor_ = 0;
    speculo_area *reader_ = nullptr;
    uint64_t stops_ = 0;
    uintptr_t place_ = 0;
    unsigned number_ = 0;          // of the image
    unsigned changes_outside_ = 0; // in a row, by functions of the C library
    bool is_postponed_ = false;
    std::unordered_map<uint64_t, size_t> judged_; // images by hash: the state that is seen in them
};

// The process that is walked.
int Walk::be_watched() {
    seed_random(depth_ * 1000 + 1);
    freeze_time();
    if (task_.has(was_rebooted)) { pretend_boot(0); }
    if (task_.has(is_later)) { pretend_later(0); }
    if (task_.has(dies_before)) { prepare_by_another(); }
    Play play(task_.has(dies_before) ? Play::Form::model : Play::Form::real, name(), task_.begin);
    play.count_from(uint64_t(depth_) << 32);
    task_.prepare(play);
    play.go_live();
    if (task_.has(was_rebooted)) { pretend_boot(1); }
    if (task_.has(is_later)) { pretend_later(2 * hour); }
    play.be_watched(*ledger_);
    trap();
    task_.act(play);
    play.end();
    return play.complaint().empty() ? 0 : 1;
}

void Walk::prepare_by_another() {
    pid_t other = fork();
    if (other == 0) {
        Play play(Play::Form::real, name(), task_.begin);
        task_.prepare(play);
        _exit(0);
    }
    waitpid(other, nullptr, 0);
    seed_random(2); // the names that it chose are taken
}

void Walk::run() {
    if (task_.start) { lay(live_, *task_.start); }
    Play model(Play::Form::model, name(), task_.begin);
    model.count_from(uint64_t(depth_) << 32);
    task_.prepare(model);
    base_state_ = floor_ = model.states().size() - 1;
    task_.act(model);
    states_ = model.states();

    Tracee tracee([this] { return be_watched(); });
    if (!tracee.go_on()) { return complain("preparing ended with " + tracee.ending()); }
    watch_.look(true);
    base_ = watch_.image();
    if (task_.has(is_pinned)) { speculo_area_open(name().c_str(), SPECULO_OPEN_READ, nullptr, &reader_); }
    examine();
    bool lives = true;
    while (lives && (lives = tracee.go_on())) {
        if (watch_.look(true) || ledger_->acknowledged == ledger_->attempted) { examine(); }
        if (ledger_->is_done || is_over()) { break; }
        if (ledger_->wants_reader_to_go_on) {
            serve_reader();
            continue;
        }
        step_through_call(tracee);
        lives = tracee.ending().empty();
    }
    speculo_area_close(reader_);
    if (!lives) { complain("it ended with " + tracee.ending() + " " + ledger_->complaint); }
}

void Walk::step_through_call(Tracee &tracee) {
    uintptr_t place = tracee.place();
    while (ledger_->inside) {
        bool is_system_call = Tracee::is_system_call(place);
        if (!tracee.step()) { return; }
        place = place_ = tracee.place();
        ++stops_;
        bool is_changed = watch_.look(is_system_call);
        trip_.totals.points += is_changed || trip_.library.contains(place);
        if (is_changed) { note_change(place, is_system_call); }
        if (is_postponed_ && trip_.library.contains(place)) { examine(); }
        if (is_over()) { return; }
    }
    if (is_postponed_) { examine(); }
}

// The C library's functions change many bytes one after the other that nobody looks at yet: some of these images are judged, and always
// the last.
void Walk::note_change(uintptr_t place, bool is_system_call) {
    constexpr unsigned often = 64;
    bool is_outside = !trip_.library.contains(place) && !is_system_call;
    changes_outside_ = is_outside ? changes_outside_ + 1 : 0;
    is_postponed_ = is_outside && (changes_outside_ & (changes_outside_ - 1)) != 0 && changes_outside_ % often != 0;
    if (!is_postponed_) { examine(); }
}

bool Walk::is_wanted() const {
    const std::vector<unsigned> &only = trip_.extent.only;
    return only.size() <= depth_ || only[depth_] == number_;
}

// Whether the rest does not matter.
bool Walk::is_over() const {
    const std::vector<unsigned> &only = trip_.extent.only;
    return trip_.totals.complaints.size() >= enough_complaints || (only.size() > depth_ && number_ > only[depth_]);
}

void Walk::examine() {
    is_postponed_ = false;
    size_t lowest = std::max<size_t>(ledger_->acknowledged, floor_), highest = ledger_->attempted;
    auto [known, is_new] = judged_.try_emplace(watch_.image().hash(), unknown);
    number_ += is_new;
    if (is_new) {
        if (is_wanted()) { judge_image(); }
        return;
    }
    if (known->second != unknown && (known->second < lowest || known->second > highest)) {
        complain("an image that shows state " + std::to_string(known->second) + " when " + std::to_string(lowest) + " is over");
    }
}

void Walk::judge_image() {
    size_t lowest = std::max<size_t>(ledger_->acknowledged, floor_), highest = ledger_->attempted;
    note_where();
    alarm(most_seconds);
    const std::vector<unsigned> &only = trip_.extent.only;
    Before before;
    if (!task_.has(goes_round) && states_[base_state_].exists()) { before = {&base_, &states_[base_state_]}; }
    Verdict verdict = judge_.judge(watch_.image(), before, states_, lowest, highest, number_);
    ++trip_.totals.images;
    if (!verdict.complaint.empty()) { return complain(verdict.complaint); }
    judged_[watch_.image().hash()] = verdict.state;
    floor_ = std::max(floor_, verdict.state);
    bool is_on_the_way = only.size() > depth_ + 1;
    unsigned every = trip_.extent.takeovers; // not the same images of each scenario
    bool is_its_turn = every != 0 && (number_ + std::hash<std::string>()(path_)) % every == 0 && depth_ < trip_.extent.depth;
    if (is_on_the_way || (only.empty() && is_its_turn)) { walk_takeover(verdict.state); }
}

void Walk::walk_takeover(size_t state) {
    const Scenario &scenario = trip_.scenario;
    unsigned pick = number_;
    auto act = [&scenario, pick](Play &play) {
        if (play.now().exists()) {
            play.open();
        } else {
            play.create(scenario.choices);
        }
        go_on(play, pick, (scenario.traits & is_full) != 0);
    };
    // A half-removed area may be made anew or not: which of the two is not to be told beforehand.
    if (states_[ledger_->attempted].opening == -ENOENT && states_[state].exists()) { return; }
    ++trip_.totals.takeovers;
    Image start = watch_.image();
    Task task{states_[state], &start, [](Play &) {}, act, ordinary};
    Walk(trip_, task, path_ + std::to_string(number_) + ".", depth_ + 1).run();
}

void Walk::note_where() {
    bool is_inside = trip_.library.contains(place_);
    std::snprintf(where_now, sizeof where_now, "%s%u (stop %" PRIu64 ", %s + 0x%" PRIxPTR ")", path_.c_str(), number_, stops_,
                  is_inside ? "library" : "elsewhere", is_inside ? place_ - trip_.library.base : place_);
}

// The reader that stands beside reads on.
void Walk::serve_reader() {
    speculo_chunk chunk{};
    while (speculo_read_next(reader_, &chunk) == 1) {}
    ledger_->wants_reader_to_go_on = 0;
}

void Walk::complain(const std::string &what) {
    note_where();
    trip_.totals.complaints.push_back(std::string(where_now) + ": " + what);
}

} // namespace

const char *whereabouts() { return where_now; }

Totals walk(const Scenario &scenario, const Extent &extent) {
    Trip trip{scenario, extent, {}};
    pretend_disk(scenario.traits & on_a_disk);
    pretend_boot(scenario.traits & was_rebooted ? 1 : 0);
    pretend_later(scenario.traits & is_later ? 2 * hour : 0);
    auto bind = [&scenario](void (*part)(Play &, const AreaChoices &)) {
        return [part, &scenario](Play &play) { part(play, scenario.choices); };
    };
    Task task{State(), nullptr, bind(scenario.prepare), bind(scenario.act), scenario.traits};
    Walk(trip, task, std::string(scenario.name) + ":", 0).run();
    alarm(0);
    pretend_disk(false);
    pretend_boot(0);
    pretend_later(0);
    return trip.totals;
}

} // namespace speculo::test
