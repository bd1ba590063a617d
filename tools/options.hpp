// SPDX-License-Identifier: LGPL-2.1-or-later
// Arguments that several subcommands take, and how a subcommand comes into the command.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <CLI/CLI.hpp>

#include "areas.hpp"
#include "errors.hpp"

namespace speculo::tool {

using Run = std::function<Status()>;

// Adds a subcommand. When it is the one that was asked for, `run` goes to `ret_run` with the options it was bound to.
template <class Options>
void on_parse(CLI::App *command, Run &ret_run, const std::shared_ptr<Options> &options, Status (*run)(const Options &)) {
    command->final_callback([&ret_run, options, run] { ret_run = [options, run] { return run(*options); }; });
}

CLI::Option *add_name(CLI::App *command, std::string &name);
CLI::Option *add_size(CLI::App *command, const std::string &option, uint64_t &bytes, const std::string &text);
CLI::Option *add_duration(CLI::App *command, const std::string &option, uint64_t &ns, const std::string &text);
CLI::Option *add_number(CLI::App *command, const std::string &option, uint64_t &number, const std::string &text);
void add_json(CLI::App *command, bool &json);
void add_trust(CLI::App *command, Trust &trust);
void add_making(CLI::App *command, Making &making);

void add_list(CLI::App &app, Run &ret_run);
void add_info(CLI::App &app, Run &ret_run);
void add_create(CLI::App &app, Run &ret_run);
void add_put(CLI::App &app, Run &ret_run);
void add_get(CLI::App &app, Run &ret_run);
void add_keys(CLI::App &app, Run &ret_run);
void add_tail(CLI::App &app, Run &ret_run);
void add_watch(CLI::App &app, Run &ret_run);
void add_top(CLI::App &app, Run &ret_run);
void add_record(CLI::App &app, Run &ret_run);
void add_replay(CLI::App &app, Run &ret_run);
void add_check(CLI::App &app, Run &ret_run);
void add_rm(CLI::App &app, Run &ret_run);
void add_bench(CLI::App &app, Run &ret_run);

} // namespace speculo::tool
