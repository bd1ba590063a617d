// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.hpp"

#include <CLI/CLI.hpp>

#include "units.hpp"

namespace speculo::tool {

CLI::App *add_command(CLI::App &app, const char *name, const char *text) {
    return app.add_subcommand(name, text)->group("Commands");
}

void on_chosen(CLI::App *command, std::function<void()> then) { command->final_callback(std::move(then)); }

CLI::Option *add_flag(CLI::App *command, const char *option, bool &flag, const char *text) {
    return command->add_flag(option, flag, text);
}

CLI::Option *add_choice(CLI::App *command, const char *option, const std::function<void()> &choose, const char *text) {
    return command->add_flag_callback(option, choose, text);
}

CLI::Option *add_text(CLI::App *command, const char *option, std::string &value, const char *text) {
    return command->add_option(option, value, text)->type_name("");
}

CLI::Option *add_texts(CLI::App *command, const char *option, std::vector<std::string> &values, const char *text) {
    return command->add_option(option, values, text)->type_name("");
}

CLI::Option *add_taken(CLI::App *command, const char *option, const std::function<bool(const std::string &)> &take,
                       const char *text, const char *kind, const char *example) {
    auto checked = [take, option, example](const std::string &given) {
        if (!take(given)) { throw CLI::ValidationError(option, "'" + given + "' should be " + example); }
    };
    return command->add_option_function<std::string>(option, checked, text)->type_name(kind);
}

namespace {

template <class Value> CLI::Option *add_parsed(CLI::App *command, const char *option, Value &value,
                                               std::optional<Value> (*parse)(std::string_view), Value least, const char *text,
                                               const char *kind, const char *example) {
    auto take = [&value, parse, least](const std::string &given) {
        auto parsed = parse(given);
        value = parsed.value_or(value);
        return parsed && *parsed >= least;
    };
    return add_taken(command, option, take, text, kind, example);
}

} // namespace

CLI::Option *add_size(CLI::App *command, const char *option, uint64_t &bytes, const char *text) {
    return add_parsed(command, option, bytes, parse_size, uint64_t(1), text, "SIZE", "a size above zero, such as 64MiB");
}

CLI::Option *add_duration(CLI::App *command, const char *option, uint64_t &ns, const char *text) {
    return add_parsed(command, option, ns, parse_duration, uint64_t(1), text, "TIME", "a time above zero, such as 250ms or 5s");
}

CLI::Option *add_number(CLI::App *command, const char *option, uint64_t &number, const char *text) {
    return add_parsed(command, option, number, parse_number, uint64_t(0), text, "N", "a number");
}

CLI::Option *add_count(CLI::App *command, const char *option, uint64_t &count, const char *text) {
    return add_parsed(command, option, count, parse_number, uint64_t(1), text, "N", "a number above zero");
}

void require(CLI::Option *option) { option->required(); }

void exclude_each_other(std::initializer_list<CLI::Option *> options) {
    for (CLI::Option *option : options) {
        for (CLI::Option *other : options) {
            if (other != option) { option->excludes(other); }
        }
    }
}

void add_name(CLI::App *command, std::string &name) {
    auto take = [&name](const std::string &given) {
        name = area_name_of(given);
        return true;
    };
    require(add_taken(command, "NAME", take, "Name of the area, or path of one in a file", "", ""));
}

void add_json(CLI::App *command, bool &json) { add_flag(command, "--json", json, "Print JSON instead of a table"); }

void add_trust(CLI::App *command, Trust &trust) {
    command->add_option("--trust", trust, "Accept an area of this user too")->type_name("USER");
}

void add_making(CLI::App *command, Making &making) {
    add_size(command, "--capacity", making.capacity, "Room for chunks in a segment");
    add_size(command, "--max", making.max, "What a segment may grow to");
    add_number(command, "--segments", making.segments, "Memory objects used in turn, 2 to 16")
        ->check(CLI::Range(2, 16).description(""));
    add_size(command, "--prefault", making.prefault, "Take so much of its memory at once, in huge pages where there are such");
    add_parsed(command, "--mode", making.mode, parse_mode, uint32_t(1), "Permissions for readers", "MODE",
               "permission bits such as 0644, none for others to write or for anybody to execute");
    add_flag(command, "--lossless", making.is_lossless, "Wait for slow readers instead of dropping what they have yet to read");
}

} // namespace speculo::tool
