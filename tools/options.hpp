// SPDX-License-Identifier: LGPL-2.1-or-later
// How a subcommand comes into the command, and its options.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "areas.hpp"
#include "errors.hpp"

// The parser of arguments takes seconds to compile: it is options.cpp and main.cpp alone that do.
namespace CLI {
class App;
class Option;
} // namespace CLI

namespace speculo::tool {

using Run = std::function<Status()>;

CLI::App *add_command(CLI::App &app, const char *name, const char *text);
void on_chosen(CLI::App *command, std::function<void()> then);

// When `command` is the one that was asked for, `run` goes to `ret_run` with the options it was bound to.
template <class Options>
void on_parse(CLI::App *command, Run &ret_run, const std::shared_ptr<Options> &options, Status (*run)(const Options &)) {
    on_chosen(command, [&ret_run, options, run] { ret_run = [options, run] { return run(*options); }; });
}

// Options, by names such as "-n,--name", and arguments, by names such as "FILE". Sizes, times and counts of zero are refused: inside,
// they stand for what was not given.
CLI::Option *add_flag(CLI::App *command, const char *option, bool &flag, const char *text);
CLI::Option *add_choice(CLI::App *command, const char *option, const std::function<void()> &choose, const char *text);
CLI::Option *add_text(CLI::App *command, const char *option, std::string &value, const char *text);
CLI::Option *add_texts(CLI::App *command, const char *option, std::vector<std::string> &values, const char *text);
CLI::Option *add_size(CLI::App *command, const char *option, uint64_t &bytes, const char *text);
CLI::Option *add_duration(CLI::App *command, const char *option, uint64_t &ns, const char *text);
CLI::Option *add_number(CLI::App *command, const char *option, uint64_t &number, const char *text);
CLI::Option *add_count(CLI::App *command, const char *option, uint64_t &count, const char *text);

// An option whose text `take` makes something of, or gives back false: the user is told what it should be, `example`.
CLI::Option *add_taken(CLI::App *command, const char *option, const std::function<bool(const std::string &)> &take,
                       const char *text, const char *kind, const char *example);

void require(CLI::Option *option);
void exclude_each_other(std::initializer_list<CLI::Option *> options);

// Those that several subcommands take.
void add_name(CLI::App *command, std::string &name);
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
