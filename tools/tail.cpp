// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo tail: the stream of an area, as it comes.
#include <cerrno>
#include <chrono>
#include <unistd.h>
#include <vector>

#include "follow.hpp"
#include "options.hpp"
#include "output.hpp"
#include "payload.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

struct Options {
    std::string name;
    FollowOptions follow;
    Form form = Form::text;
};

Status run(const Options &options) {
    catch_signals();
    Follower follower(options.name, options.follow);
    follower.run([&](const speculo::chunk &chunk) { print_chunk(chunk, options.form); }, flush_output);
    return follower.report();
}

} // namespace

void add_tail(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<Options>();
    CLI::App *command = add_command(app, "tail", "Print the stream of chunks of an area");
    add_name(command, options->name);
    add_following(command, options->follow);
    add_forms(command, options->form);
    on_parse(command, ret_run, options, run);
}

} // namespace speculo::tool
