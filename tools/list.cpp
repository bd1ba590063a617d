// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo list and info: what areas there are, and how they are.
#include <unistd.h>

#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

struct ListOptions {
    std::string directory;
    bool json = false, count = false;
    Trust trust;
};

struct InfoOptions {
    std::string name;
    bool json = false, count = false;
    Trust trust;
};

constexpr const char *count_text = "Count chunks and keys of large areas too: walks over all chunks";

std::string owner_of(const Glance &glance) { return glance.owner ? printable(user_name(*glance.owner)) : "-"; }
std::string age_of(const Glance &glance) { return glance.age_ns ? format_duration(*glance.age_ns) : "-"; }

std::vector<std::string> row_of(const Glance &glance) {
    std::string name = printable(glance.name);
    if (glance.error != 0) { return {name, state_of(glance), "-", "-", "-", "-", "-", owner_of(glance), age_of(glance)}; }
    const area_info &info = glance.info;
    auto counted = [&](uint64_t number) { return glance.is_counted ? format_count(number) : "?"; };
    return {name,
            state_of(glance),
            format_size(info.capacity),
            format_size(info.used),
            counted(info.live_chunks),
            counted(glance.keys),
            format_size(info.memory),
            owner_of(glance),
            age_of(glance)};
}

Status list(const ListOptions &options) {
    bool is_elsewhere = !options.directory.empty();
    std::string directory = is_elsewhere ? area_name_of(options.directory + "/x") : area_directory();
    if (is_elsewhere) { directory.erase(directory.size() - 2); }
    Table table({{"NAME", false, 0},
                 {"STATE", false, 1},
                 {"SIZE", true, 2},
                 {"USED", true, 3},
                 {"CHUNKS", true, 4},
                 {"KEYS", true, 5},
                 {"MEMORY", true, 6},
                 {"OWNER", false, 8},
                 {"AGE", true, 7}});
    Json rows = Json::array();
    for (const std::string &area : areas_in(directory.empty() ? "/" : directory)) {
        std::string name = is_elsewhere ? directory + '/' + area : area;
        Glance glance = glance_at(name, options.trust, options.count ? Count::always : Count::cheap);
        options.json ? rows.push_back(json_of(glance)) : table.add(row_of(glance));
    }
    options.json ? print_json(rows) : table.print();
    return Status::done;
}

void print_field(const char *name, const std::string &value) { print(padded(name, 13, false) + ' ' + value + '\n'); }

std::string several(uint64_t number, const std::string &what) {
    return std::to_string(number) + ' ' + what + (number == 1 ? "" : "s");
}

void print_info(const Glance &glance) {
    const area_info &info = glance.info;
    char mode[8];
    std::snprintf(mode, sizeof mode, "%04o", info.mode & 0777);
    print_field("name", printable(glance.name));
    Style style = glance.is_writing.value_or(false) ? Style::good : Style::plain;
    print_field("state", styled(state_of(glance), style, STDOUT_FILENO));
    print_field("owner", owner_of(glance) + ", mode " + mode);
    print_field("age", age_of(glance));
    print_field("size", format_size(info.capacity) + " for chunks in a segment");
    print_field("used",
                format_size(info.used) + " (" + std::to_string(info.capacity > 0 ? info.used * 100 / info.capacity : 0) + "%)");
    print_field("memory", format_size(info.memory) + " in " + several(info.segments, "segment"));
    print_field("newest id", std::to_string(info.newest_id));
    print_field("compactions", std::to_string(info.generation - 1));
    if (!glance.is_counted) { return print_field("live", "not counted; --count does"); }
    print_field("live", several(info.live_chunks, "chunk") + ", " + format_size(info.live_bytes));
    print_field("keys", std::to_string(glance.keys));
    print_field("expired", several(info.expired_chunks, "chunk"));
    print_field("superseded", several(info.superseded_chunks, "chunk"));
}

Status info(const InfoOptions &options) {
    Glance glance = glance_at(options.name, options.trust, options.count ? Count::always : Count::cheap);
    if (glance.error != 0) { throw reading_failure(options.name, glance.error); }
    options.json ? print_json(json_of(glance)) : print_info(glance);
    return Status::done;
}

} // namespace

void add_list(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<ListOptions>();
    CLI::App *command = add_command(app, "list", "List the areas on this machine");
    add_text(command, "DIRECTORY", options->directory, "Where to look for areas in plain files instead");
    add_flag(command, "--count", options->count, count_text);
    add_json(command, options->json);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, list);
}

void add_info(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<InfoOptions>();
    CLI::App *command = add_command(app, "info", "Show the state of an area");
    add_name(command, options->name);
    add_flag(command, "--count", options->count, count_text);
    add_json(command, options->json);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, info);
}

} // namespace speculo::tool
