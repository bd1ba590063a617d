// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo create, check and rm.
#include <cerrno>
#include <unistd.h>
#include <vector>

#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

struct CreateOptions {
    std::string name;
    Making making;
};

struct CheckOptions {
    std::string name;
    bool json = false;
};

struct RmOptions {
    std::vector<std::string> names;
    bool force = false;
};

// An area that exists gets its choices changed, as far as they were named.
Status create(const CreateOptions &options) {
    bool is_new = false;
    open_writer(options.name, options.making, options.making, is_new);
    return Status::done;
}

struct Report {
    bool json;
    Json problems = Json::array();
};

void take_problem(void *user, int error, const char *message) {
    auto &report = *static_cast<Report *>(user);
    if (report.json) {
        report.problems.push_back({{"error", speculo_strerror(error)}, {"message", message}});
    } else {
        print(styled("wrong", Style::bad, STDOUT_FILENO) + ": " + printable(message) + '\n');
    }
}

Status check(const CheckOptions &options) {
    Report report = {options.json, Json::array()};
    int error = speculo_area_check(options.name.c_str(), take_problem, &report);
    if (error < 0 && error != -EBADMSG) { throw area_failure(options.name, error); }
    if (options.json) {
        print_json({{"name", options.name}, {"sound", error == 0}, {"problems", report.problems}});
    } else if (error == 0) {
        print(printable(options.name) + ": " + styled("sound", Style::good, STDOUT_FILENO) + '\n');
    } else {
        note("'" + options.name + "' is damaged, or no area; 'speculo rm " + options.name +
             "' removes it if it is one, and its writer makes it anew");
    }
    return error == 0 ? Status::done : Status::damaged;
}

Status rm(const RmOptions &options) {
    Status worst = Status::done;
    for (const std::string &given : options.names) {
        std::string name = area_name_of(given);
        int error = speculo_area_remove(name.c_str());
        if (error == 0 || (error == -ENOENT && options.force)) { continue; }
        Failure failure = removal_failure(name, error);
        note(failure.what());
        worst = failure.status();
    }
    return worst;
}

} // namespace

void add_create(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<CreateOptions>();
    CLI::App *command = add_command(app, "create", "Make an area, or change the choices of one");
    add_name(command, options->name);
    add_making(command, options->making);
    on_parse(command, ret_run, options, create);
}

void add_check(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<CheckOptions>();
    CLI::App *command = add_command(app, "check", "Validate everything that an area holds");
    add_name(command, options->name);
    add_json(command, options->json);
    on_parse(command, ret_run, options, check);
}

void add_rm(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<RmOptions>();
    CLI::App *command = add_command(app, "rm", "Remove areas; refuses while a writer lives");
    require(add_texts(command, "NAME", options->names, "Names of areas"));
    add_flag(command, "-f,--force", options->force, "Say nothing of those that are not there");
    on_parse(command, ret_run, options, rm);
}

} // namespace speculo::tool
