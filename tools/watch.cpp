// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo watch: values as they change.
#include <algorithm>
#include <unistd.h>

#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "payload.hpp"
#include "screen.hpp"
#include "terminal.hpp"
#include "values.hpp"

namespace speculo::tool {

namespace {

struct Options {
    std::string name;
    std::vector<std::string> keys;
    uint64_t interval_ns = 250000000;
    bool json = false, wait = false;
    Trust trust;
};

void draw(Screen &screen, const Values &values) {
    const char *state = values.is_removed() ? "removed" : values.is_writing() ? "writing" : "no writer";
    screen.begin();
    screen.line(printable(values.name()) + ": " + state, values.is_removed() ? Screen::Look::bad : Screen::Look::reverse);
    values.draw(screen);
    screen.last_line("q quit");
    screen.show();
}

void watch_on_screen(Values &values, uint64_t interval_ns) {
    Screen screen;
    while (!stopped()) {
        values.refresh();
        draw(screen, values);
        Pressed pressed = screen.wait(interval_ns);
        if (pressed.letter == 'q' || pressed.key == Key::back) { return; }
    }
}

// Where there is no terminal each change is a line.
class Printer {
public:
    explicit Printer(bool json) : json_(json) {}

    void print_changes(const Values &values) {
        for (const auto &[key, value] : values.keys()) {
            uint64_t &known = known_[key];
            if (known != value.id) { print_value(&key, value); }
            known = value.id;
        }
        for (const Value &value : values.stream()) {
            if (value.id > newest_) { print_value(nullptr, value); }
            newest_ = std::max(newest_, value.id);
        }
        for (auto it = known_.begin(); it != known_.end();) {
            bool is_gone = values.keys().count(it->first) == 0;
            if (is_gone) { print_gone(it->first); }
            it = is_gone ? known_.erase(it) : std::next(it);
        }
        flush_output();
    }

private:
    void print_value(const std::string *key, const Value &value) const {
        if (json_) {
            Json line = {{"id", value.id}, {"size", value.size}};
            if (key) { put_bytes(line, "key", *key); }
            put_bytes(line, "data", value.bytes);
            if (value.bytes.size() < value.size) { line["is_clipped"] = true; }
            return print_json_line(line);
        }
        print((key ? printable(*key) : "-") + '\t' + preview(value.bytes, SIZE_MAX) + '\n');
    }

    void print_gone(const std::string &key) const {
        if (!json_) { return print(printable(key) + "\t(removed)\n"); }
        Json line;
        put_bytes(line, "key", key);
        line["removed"] = true;
        print_json_line(line);
    }

    bool json_;
    std::map<std::string, uint64_t> known_;
    uint64_t newest_ = 0;
};

void watch_in_lines(Values &values, const Options &options) {
    Printer printer(options.json);
    while (!stopped()) {
        if (values.refresh()) { printer.print_changes(values); }
        if (values.is_removed()) { throw area_failure(values.name(), -ESTALE); }
        if (is_abandoned(STDOUT_FILENO)) { throw BrokenPipe(); }
        pause_for(options.interval_ns);
    }
}

Status run(const Options &options) {
    catch_signals();
    if (options.wait && !await_reader(options.name, speculo::reader::no_cursor, options.trust)) { return Status::failed; }
    Values values(options.name, options.trust, options.keys);
    bool is_live = output_is_terminal() && is_terminal(STDIN_FILENO) && !options.json;
    is_live ? watch_on_screen(values, options.interval_ns) : watch_in_lines(values, options);
    return Status::done;
}

} // namespace

void add_watch(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<Options>();
    CLI::App *command = add_command(app, "watch", "Show the values of an area as they change");
    add_name(command, options->name);
    add_texts(command, "KEY", options->keys, "Keys to watch; default: all, and the end of the stream");
    add_duration(command, "--interval", options->interval_ns, "How often to look, default 250ms");
    add_flag(command, "--wait", options->wait, "Wait for the area to appear");
    add_json(command, options->json);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, run);
}

} // namespace speculo::tool
