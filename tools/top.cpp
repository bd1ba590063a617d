// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo top: all areas at work.
#include <algorithm>
#include <deque>
#include <map>
#include <unistd.h>

#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "screen.hpp"
#include "terminal.hpp"
#include "units.hpp"
#include "values.hpp"

namespace speculo::tool {

namespace {

constexpr size_t history_size = 120;
constexpr uint64_t second = 1000000000;

struct Options {
    uint64_t interval_ns = second, count = 0; // 0: no end
    bool json = false, batch = false;
    Trust trust;
};

// ---- rates ----------------------------------------------------------------------------------------------------------------------

struct Watched {
    Glance glance;
    uint64_t looked_ns = 0;
    double chunks = 0, bytes = 0, compactions = 0; // a second
    std::deque<double> history;                    // of chunks
};

// How much was written in between. What a compaction carried over counts too: it cannot be told apart from here.
double bytes_between(const area_info &before, const area_info &now) {
    if (now.generation == before.generation) { return now.used > before.used ? double(now.used - before.used) : 0; }
    double whole = double(now.generation - before.generation - 1) * double(now.capacity);
    return double(before.capacity - std::min(before.used, before.capacity)) + whole + double(now.used);
}

void update(Watched &watched, const Glance &glance) {
    uint64_t now = monotonic_now();
    const area_info &old = watched.glance.info;
    bool is_same = watched.looked_ns != 0 && glance.error == 0 && watched.glance.error == 0 &&
                   glance.info.newest_id >= old.newest_id && glance.info.generation >= old.generation;
    double passed = double(now - watched.looked_ns) / double(second);
    watched.chunks = is_same ? double(glance.info.newest_id - old.newest_id) / passed : 0;
    watched.bytes = is_same ? bytes_between(old, glance.info) / passed : 0;
    watched.compactions = is_same ? double(glance.info.generation - old.generation) / passed : 0;
    if (watched.looked_ns != 0) { watched.history.push_back(watched.chunks); }
    if (watched.history.size() > history_size) { watched.history.pop_front(); }
    watched.glance = glance;
    watched.looked_ns = now;
}

class Areas {
public:
    explicit Areas(Trust trust) : trust_(std::move(trust)) {}

    void refresh() {
        std::map<std::string, Watched> found;
        for (const std::string &name : areas_in(area_directory())) {
            Watched &watched = found[name];
            auto known = areas_.find(name);
            if (known != areas_.end()) { watched = std::move(known->second); }
            update(watched, glance_at(name, trust_, Count::never));
        }
        areas_.swap(found);
    }

    const std::map<std::string, Watched> &all() const { return areas_; }

private:
    Trust trust_;
    std::map<std::string, Watched> areas_;
};

// ---- the table ------------------------------------------------------------------------------------------------------------------

using Row = const Watched *;

std::vector<Row> sorted(const Areas &areas, char order, bool is_reversed) {
    std::vector<Row> rows;
    for (const auto &[name, watched] : areas.all()) { rows.push_back(&watched); }
    std::stable_sort(rows.begin(), rows.end(), [order](Row a, Row b) {
        switch (order) {
        case 'c': return a->chunks > b->chunks;
        case 'b': return a->bytes > b->bytes;
        case 'm': return a->glance.info.memory > b->glance.info.memory;
        default: return false; // by name, as they are
        }
    });
    if (is_reversed) { std::reverse(rows.begin(), rows.end()); }
    return rows;
}

std::string sparkline(const std::deque<double> &history, size_t columns) {
    static constexpr const char *blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static constexpr const char *signs[] = {" ", "_", ".", ":", "-", "=", "+", "*", "#"};
    const char *const *steps = is_utf8() ? blocks : signs;
    double most = 0;
    for (double rate : history) { most = std::max(most, rate); }
    std::string line;
    size_t from = history.size() > columns ? history.size() - columns : 0;
    for (size_t i = from; i < history.size(); ++i) {
        size_t step = history[i] > 0 ? 1 + size_t(history[i] / most * 7) : 0;
        line += steps[step];
    }
    return line;
}

std::vector<std::string> lines_of(const std::vector<Row> &rows, size_t columns) {
    size_t spark = columns > 100 ? 40 : columns > 80 ? 20 : 10;
    Table table({{"NAME", false, 0},
                 {"STATE", false, 3},
                 {"CHUNKS/s", true, 1},
                 {"BYTES/s", true, 2},
                 {"COMP/s", true, 7},
                 {"USED", true, 5},
                 {"MEMORY", true, 4},
                 {"ACTIVITY", false, 6}});
    for (Row row : rows) {
        const Glance &glance = row->glance;
        bool is_known = glance.error == 0;
        uint64_t percent = glance.info.capacity > 0 ? glance.info.used * 100 / glance.info.capacity : 0;
        table.add({printable(glance.name), state_of(glance), is_known ? format_count(uint64_t(row->chunks + 0.5)) : "-",
                   is_known ? format_size(uint64_t(row->bytes + 0.5)) : "-", is_known ? format_decimal(row->compactions, 1) : "-",
                   is_known ? std::to_string(percent) + '%' : "-", is_known ? format_size(glance.info.memory) : "-",
                   sparkline(row->history, spark)});
    }
    return table.lines(columns);
}

// ---- on a terminal --------------------------------------------------------------------------------------------------------------

class Viewer {
public:
    explicit Viewer(const Options &options) : options_(options), areas_(options.trust) {}

    void run() {
        areas_.refresh();
        uint64_t due = monotonic_now() + std::min(options_.interval_ns, second / 5); // the first rates come soon
        while (!stopped() && !is_over_) {
            uint64_t now = monotonic_now();
            if (now >= due) {
                areas_.refresh();
                due = now + options_.interval_ns;
                is_over_ = options_.count > 0 && ++shown_ >= options_.count;
            }
            opened_ ? draw_opened() : draw_list();
            obey(screen_.wait(std::min(due > now ? due - now : 0, second / 4)));
        }
    }

private:
    void draw_list() {
        rows_ = sorted(areas_, order_, is_reversed_);
        select(0);
        std::vector<std::string> lines = lines_of(rows_, screen_.columns());
        screen_.begin();
        screen_.line("speculo top: " + std::to_string(rows_.size()) + (rows_.size() == 1 ? " area" : " areas"));
        screen_.line(lines[0], Screen::Look::bold);
        size_t room = screen_.rows_left() > 1 ? screen_.rows_left() - 1 : 0;
        size_t first = selected_ >= room && room > 0 ? selected_ + 1 - room : 0;
        for (size_t i = first; i < rows_.size() && i < first + room; ++i) {
            Screen::Look look = is_bad(rows_[i]->glance) ? Screen::Look::bad : Screen::Look::plain;
            screen_.line(lines[i + 1], i == selected_ ? Screen::Look::reverse : look);
        }
        if (rows_.empty()) { screen_.line("none yet"); }
        screen_.last_line("q quit  Enter open  sort: n c b m, r turns round");
        screen_.show();
    }

    void draw_opened() {
        screen_.begin();
        screen_.line(printable(opened_->name()) + (opened_->is_removed()   ? ": removed"
                                                   : opened_->is_writing() ? ": writing"
                                                                           : ": idle"),
                     Screen::Look::reverse);
        auto known = areas_.all().find(opened_->name());
        if (known != areas_.all().end()) {
            const Watched &area = known->second;
            screen_.line(format_count(uint64_t(area.chunks + 0.5)) + " chunks/s, " + format_size(uint64_t(area.bytes + 0.5)) +
                         "/s, " + format_size(area.glance.info.memory) + ", " + std::to_string(area.glance.info.generation - 1) +
                         " compactions");
            screen_.line(sparkline(area.history, screen_.columns()), Screen::Look::good);
        }
        try {
            opened_->refresh();
            opened_->draw(screen_);
        } catch (const Failure &failure) { screen_.line(failure.what(), Screen::Look::bad); }
        screen_.last_line("q back");
        screen_.show();
    }

    // Moves the choice, and keeps it on the same area when the order changes.
    void select(int by) {
        for (size_t i = 0; i < rows_.size(); ++i) {
            if (rows_[i]->glance.name == name_) { selected_ = i; }
        }
        size_t last = rows_.empty() ? 0 : rows_.size() - 1;
        if (by < 0) { selected_ -= std::min(selected_, size_t(-by)); }
        if (by > 0) { selected_ += size_t(by); }
        selected_ = std::min(selected_, last);
        name_ = rows_.empty() ? "" : rows_[selected_]->glance.name;
    }

    void open() {
        if (rows_.empty() || rows_[selected_]->glance.error != 0) { return; }
        try {
            opened_ = std::make_unique<Values>(name_, options_.trust, std::vector<std::string>());
        } catch (const Failure &) { opened_.reset(); } // it has gone meanwhile
    }

    void obey(const Pressed &pressed) {
        if (pressed.key == Key::none) { return; }
        if (opened_) {
            if (pressed.letter == 'q' || pressed.key == Key::back) { opened_.reset(); }
            return;
        }
        switch (pressed.key) {
        case Key::up: return select(-1);
        case Key::down: return select(1);
        case Key::page_up: return select(-10);
        case Key::page_down: return select(10);
        case Key::home: return select(-1000000);
        case Key::end: return select(1000000);
        case Key::enter: return open();
        default: obey_letter(pressed.letter);
        }
    }

    void obey_letter(char letter) {
        switch (letter) {
        case 'q': is_over_ = true; break;
        case 'r': is_reversed_ = !is_reversed_; break;
        case 'k': select(-1); break;
        case 'j': select(1); break;
        case 'n':
        case 'c':
        case 'b':
        case 'm':
            order_ = letter;
            is_reversed_ = false;
            break;
        default: break;
        }
    }

    const Options &options_;
    Areas areas_;
    Screen screen_;
    std::unique_ptr<Values> opened_;
    std::vector<Row> rows_;
    std::string name_;
    size_t selected_ = 0;
    uint64_t shown_ = 0;
    char order_ = 'n';
    bool is_reversed_ = false, is_over_ = false;
};

// ---- elsewhere ------------------------------------------------------------------------------------------------------------------

void print_sample(const Areas &areas, bool json) {
    std::vector<Row> rows = sorted(areas, 'n', false);
    if (json) {
        Json line = {{"time_ns", speculo_now()}, {"areas", Json::array()}};
        for (Row row : rows) {
            Json area = json_of(row->glance);
            area["chunks_per_s"] = row->chunks;
            area["bytes_per_s"] = row->bytes;
            area["compactions_per_s"] = row->compactions;
            line["areas"].push_back(area);
        }
        return print_json_line(line);
    }
    for (const std::string &line : lines_of(rows, columns_of(STDOUT_FILENO))) { print(line + '\n'); }
}

void print_samples(const Options &options) {
    Areas areas(options.trust);
    areas.refresh();
    for (uint64_t shown = 0; options.count == 0 || shown < options.count; ++shown) {
        pause_for(options.interval_ns);
        if (stopped()) { return; }
        areas.refresh();
        if (shown > 0 && !options.json) { print("\n"); }
        print_sample(areas, options.json);
        flush_output();
        if (is_abandoned(STDOUT_FILENO)) { throw BrokenPipe(); }
    }
}

Status run(const Options &options) {
    catch_signals();
    bool is_live = output_is_terminal() && is_terminal(STDIN_FILENO) && !options.json && !options.batch;
    if (is_live) {
        Viewer(options).run();
    } else {
        print_samples(options);
    }
    return Status::done;
}

} // namespace

void add_top(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<Options>();
    CLI::App *command = add_command(app, "top", "Show all areas at work, live");
    add_duration(command, "--interval", options->interval_ns, "How often to look, default 1s");
    add_count(command, "-n", options->count, "End after so many looks");
    add_flag(command, "-b,--batch", options->batch, "Print table after table, as where there is no terminal");
    add_json(command, options->json);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, run);
}

} // namespace speculo::tool
