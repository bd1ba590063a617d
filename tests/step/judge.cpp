// SPDX-License-Identifier: LGPL-2.1-or-later
#include "judge.hpp"

#include <cerrno>

#include <dirent.h>

#include "readers.hpp"

namespace speculo::test {

namespace {

constexpr uint64_t serials_of_judges = uint64_t(1) << 40; // blocks that differ from those of any scenario

size_t count_files(const std::string &directory) {
    size_t count = 0;
    DIR *stream = opendir(directory.c_str());
    while (const dirent *entry = readdir(stream)) { count += entry->d_name[0] != '.'; }
    closedir(stream);
    return count;
}

// One judgement. Each step gives "" or what is wrong.
class Case {
public:
    Case(const std::string &directory, const std::string &name, const std::vector<State> &states, unsigned pick)
        : directory_(directory), name_(name), states_(states), pick_(pick) {}

    std::string before_takeover(const Image &image, const Before &before, size_t lowest, size_t highest);
    std::string takeover(const speculo_area_options &options, bool may_be_gone, bool compacts_first);
    size_t seen() const { return seen_; }

private:
    std::string find_state(size_t lowest, size_t highest);
    std::string check(int wanted);
    std::string look(const State &state);
    std::string look_at_writer(const Play &play);

    const std::string &directory_, &name_;
    const std::vector<State> &states_;
    unsigned pick_;
    size_t seen_ = 0;
    Bystander bystander_;
};

// Which of the states is seen; the earliest, where some are alike.
std::string Case::find_state(size_t lowest, size_t highest) {
    Sight sight = look_at(name_, keys_of(states_[highest]), states_[highest].next_id / 2);
    if (!sight.complaint.empty()) { return sight.complaint; }
    std::string wrong;
    for (seen_ = lowest; seen_ <= highest; ++seen_) {
        wrong = difference(sight, states_[seen_]);
        if (wrong.empty()) { return ""; }
    }
    return wrong;
}

std::string Case::check(int wanted) {
    std::string said;
    auto note = [](void *user, int, const char *message) { *static_cast<std::string *>(user) += std::string(message) + "; "; };
    int error = speculo_area_check(name_.c_str(), note, &said);
    return error == wanted ? "" : "check gives " + std::to_string(error) + ": " + said;
}

std::string Case::look(const State &state) {
    Sight sight = look_at(name_, keys_of(state), state.next_id - 1);
    std::string wrong = sight.complaint.empty() ? difference(sight, state) : sight.complaint;
    return wrong.empty() ? bystander_.read_on(state) : wrong;
}

std::string Case::before_takeover(const Image &image, const Before &before, size_t lowest, size_t highest) {
    clear(directory_);
    unsigned share = pick_ % 4; // 0: nobody was there, and everything can be used again
    if (before.image && share != 0) {
        lay(directory_, *before.image);
        std::string wrong = bystander_.come(name_, *before.state, share + pick_ / 4 % 2);
        if (!wrong.empty()) { return "in front of it all: " + wrong; }
        change(directory_, *before.image, image);
    } else {
        lay(directory_, image);
    }
    if (std::string wrong = find_state(lowest, highest); !wrong.empty()) { return wrong; }
    const State &state = states_[seen_];
    if (std::string wrong = check(state.opening); !wrong.empty()) { return wrong; }
    return bystander_.read_on(state.exists() || !before.state ? state : *before.state); // of a removed one what there was
}

std::string Case::look_at_writer(const Play &play) {
    if (!play.complaint().empty()) { return play.complaint(); }
    size_t files = count_files(directory_), wanted = 3 + play.info().segments; // control page, lock and bell
    if (files != wanted) { return std::to_string(files) + " files instead of " + std::to_string(wanted); }
    if (std::string wrong = look(play.now()); !wrong.empty()) { return wrong; }
    return check(0);
}

// The next writer finds what readers saw, goes on, and leaves nothing about.
std::string Case::takeover(const speculo_area_options &options, bool may_be_gone, bool compacts_first) {
    State begin = states_[seen_];
    if (begin.exists() && may_be_gone) { // half removed: that it was not, or that it is new, is both right
        speculo_area *area = nullptr;
        if (speculo_area_open(name_.c_str(), SPECULO_OPEN_WRITE, nullptr, &area) == -ENOENT) { begin = State(); }
        speculo_area_close(area);
    }
    if (!begin.exists()) {
        if (std::string wrong = bystander_.leave(); !wrong.empty()) { return wrong; }
    }
    Play play(Play::Form::real, name_, begin);
    play.count_from(serials_of_judges);
    if (begin.exists()) {
        play.open();
    } else {
        play.create(options);
    }
    if (std::string wrong = look_at_writer(play); !wrong.empty()) { return wrong; }
    go_on(play, pick_, compacts_first);
    if (std::string wrong = look_at_writer(play); !wrong.empty()) { return "having gone on: " + wrong; }
    play.compact();
    if (std::string wrong = look_at_writer(play); !wrong.empty()) { return "having compacted: " + wrong; }
    play.close();
    return bystander_.leave();
}

} // namespace

Verdict Judge::judge(const Image &image, const Before &before, const std::vector<State> &states, size_t lowest, size_t highest,
                     unsigned pick) {
    Case one(directory_, name_, states, pick);
    seed_random(pick);
    Verdict verdict;
    std::string wrong = one.before_takeover(image, before, lowest, highest);
    verdict.state = one.seen();
    if (wrong.empty()) {
        wrong = one.takeover(options_, states[highest].opening == -ENOENT, compacts_first_);
        if (!wrong.empty()) { wrong = "takeover: " + wrong; }
    }
    verdict.complaint = wrong;
    return verdict;
}

} // namespace speculo::test
