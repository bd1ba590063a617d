// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo: areas of shared memory in people's hands.
#include <clocale>
#include <csignal>
#include <cstring>

#include <CLI/CLI.hpp>

#include "options.hpp"
#include "output.hpp"
#include "terminal.hpp"

using namespace speculo::tool;

namespace {

constexpr const char *footer =
    "'speculo COMMAND --help' says more, and so do the manual pages: man speculo, man speculo-put, ...\n"
    "Sizes are written like 64MiB, times like 250ms or 5s.";

// Options with their kind of value, and nothing of what goes on inside.
class Help : public CLI::Formatter {
public:
    Help() { column_width(26); }
    std::string make_option_opts(const CLI::Option *option) const override {
        return option->get_type_size() == 0 || option->get_type_name().empty() ? "" : ' ' + option->get_type_name();
    }
    std::string make_option_usage(const CLI::Option *option) const override {
        bool is_list = option->get_expected_max() > 1;
        std::string name = option->get_name(true) + (is_list ? "..." : "");
        return option->get_required() ? name : '[' + name + ']';
    }
};

void describe(CLI::App &app, Run &ret_run) {
    app.formatter(std::make_shared<Help>());
    app.get_formatter()->label("SUBCOMMAND", "COMMAND");
    app.set_help_flag("-h,--help", "Print this text");
    app.require_subcommand(1);
    app.set_version_flag("-V,--version", std::string("speculo ") + speculo_version(), "Print the version");
    app.footer(footer);
    for (auto add : {add_list, add_info, add_top, add_watch, add_create, add_put, add_get, add_keys, add_tail, add_record,
                     add_replay, add_check, add_rm, add_bench}) {
        add(app, ret_run);
    }
}

// `speculo help COMMAND` says what `speculo COMMAND --help` does.
Status help(const CLI::App &app, const std::vector<std::string> &names) {
    if (names.size() > 1) { throw Failure(Status::misused, "help is for one command; see 'speculo --help'"); }
    auto is_named = [&](const CLI::App *command) { return command->get_name() == names[0]; };
    auto found = names.empty() ? std::vector<const CLI::App *>{&app} : app.get_subcommands(is_named);
    if (found.empty()) { throw Failure(Status::misused, "there is no command '" + names[0] + "'; see 'speculo --help'"); }
    print(found[0]->help(names.empty() ? "" : "speculo"));
    return Status::done;
}

// What is wrong with the arguments, in one line, or the help that was asked for.
Status parse(CLI::App &app, int argc, char **argv, bool &ret_go_on) {
    ret_go_on = false;
    try {
        app.parse(argc, argv);
        ret_go_on = true;
        return Status::done;
    } catch (const CLI::Success &asked) {
        std::ostringstream text;
        app.exit(asked, text, text);
        print(text.str());
        return Status::done;
    } catch (const CLI::ParseError &error) {
        auto chosen = app.get_subcommands();
        if (!chosen.empty()) { set_command(chosen[0]->get_name()); }
        std::string help = chosen.empty() ? "speculo --help" : "speculo " + chosen[0]->get_name() + " --help";
        std::string message = error.what();
        if (chosen.empty() && argc < 2) { message = "which command?"; }
        if (chosen.empty() && argc >= 2) {
            message = std::string(argv[1][0] == '-' ? "there is no option '" : "there is no command '") + argv[1] + '\'';
        }
        note(message + (message.back() == '?' ? " See '" : "; see '") + help + '\'');
        return Status::misused;
    }
}

// Runs it and says what went wrong.
Status guarded(const std::function<Status()> &run) {
    try {
        Status status = run();
        flush_output();
        return status;
    } catch (const Failure &failure) {
        note(failure.what());
        return failure.status();
    } catch (const std::bad_alloc &) {
        note("not enough memory");
        return Status::full;
    } catch (const std::exception &error) {
        note(error.what());
        return Status::failed;
    }
}

Status whole(int argc, char **argv) {
    Run run;
    CLI::App app("Shared memory made easy: one process writes, any number of others read.", "speculo");
    describe(app, run);
    if (argc >= 2 && std::strcmp(argv[1], "help") == 0) { return help(app, {argv + 2, argv + argc}); }
    bool is_to_run = false;
    Status status = parse(app, argc, argv, is_to_run);
    if (!is_to_run) { return status; }
    set_command(app.get_subcommands()[0]->get_name());
    return run();
}

} // namespace

int main(int argc, char **argv) {
    guard_descriptors();
    std::setlocale(LC_CTYPE, "");
    std::signal(SIGPIPE, SIG_IGN);
    Status status = Status::done;
    try {
        status = guarded([&] { return whole(argc, argv); });
    } catch (const BrokenPipe &) { end_by(SIGPIPE); } catch (const Stopped &) {
    } // the signal is told below
    if (stopped()) { end_by(stopped()); }
    return int(status);
}
