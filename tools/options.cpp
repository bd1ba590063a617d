// SPDX-License-Identifier: LGPL-2.1-or-later
#include "options.hpp"

#include "units.hpp"

namespace speculo::tool {

namespace {

// An option whose text `parse` makes a value of; what it cannot is an error with an example of what it could.
template <class Value, class Parse> CLI::Option *add_parsed(CLI::App *command, const std::string &option, Value &value,
                                                            Parse parse, const std::string &text, const char *kind,
                                                            const char *example) {
    auto take = [&value, parse, option, example](const std::string &given) {
        auto parsed = parse(given);
        if (!parsed) { throw CLI::ValidationError(option, "'" + given + "' should be " + example); }
        value = *parsed;
    };
    return command->add_option_function<std::string>(option, take, text)->type_name(kind);
}

} // namespace

CLI::Option *add_name(CLI::App *command, std::string &name) {
    return command
        ->add_option_function<std::string>(
            "NAME", [&name](const std::string &given) { name = area_name_of(given); },
            "Name of the area, or path of one in a file")
        ->required()
        ->type_name("");
}

CLI::Option *add_size(CLI::App *command, const std::string &option, uint64_t &bytes, const std::string &text) {
    return add_parsed(command, option, bytes, parse_size, text, "SIZE", "a size, such as 64MiB");
}

CLI::Option *add_duration(CLI::App *command, const std::string &option, uint64_t &ns, const std::string &text) {
    return add_parsed(command, option, ns, parse_duration, text, "TIME", "a time, such as 250ms or 5s");
}

CLI::Option *add_number(CLI::App *command, const std::string &option, uint64_t &number, const std::string &text) {
    return add_parsed(command, option, number, parse_number, text, "N", "a number");
}

void add_json(CLI::App *command, bool &json) { command->add_flag("--json", json, "Print JSON instead of a table"); }

void add_trust(CLI::App *command, Trust &trust) {
    command->add_option("--trust", trust, "Accept an area of this user too")->type_name("USER");
}

void add_making(CLI::App *command, Making &making) {
    add_size(command, "--capacity", making.capacity, "Room for chunks in a segment");
    add_size(command, "--max", making.max, "What a segment may grow to");
    add_number(command, "--segments", making.segments, "Memory objects used in turn, 2 to 16")
        ->check(CLI::Range(2, 16).description(""));
    add_parsed(command, "--mode", making.mode, parse_mode, "Permissions for readers", "MODE",
               "permission bits such as 0644, none for others to write");
    command->add_flag("--lossless", making.is_lossless, "Wait for slow readers instead of dropping what they have yet to read");
}

} // namespace speculo::tool
