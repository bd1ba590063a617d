// SPDX-License-Identifier: LGPL-2.1-or-later
// speculo get and keys: the newest of each key.
#include "json.hpp"
#include "options.hpp"
#include "output.hpp"
#include "payload.hpp"
#include "terminal.hpp"
#include "units.hpp"

namespace speculo::tool {

namespace {

struct GetOptions {
    std::string name, key;
    Form form = Form::raw;
    bool wait = false;
    Trust trust;
};

struct KeysOptions {
    std::string name;
    bool json = false;
    Trust trust;
};

void print_value(const speculo::chunk &chunk, Form form) {
    bool shows_raw = form == Form::raw && output_is_terminal(); // where nothing may steer it
    print_chunk(chunk, shows_raw ? Form::text : form);
}

Status get(const GetOptions &options) {
    catch_signals();
    speculo::reader reader = options.wait ? await_reader(options.name, speculo::reader::no_cursor, options.trust)
                                          : open_reader(options.name, speculo::reader::no_cursor, options.trust);
    std::error_code ec;
    while (!stopped()) {
        if (auto chunk = reader.read(options.key, ec)) {
            print_value(*chunk, options.form);
            return Status::done;
        }
        if (ec) { throw area_failure(options.name, -ec.value()); }
        if (!options.wait) {
            throw Failure(Status::absent, "there is no key '" + options.key + "' in '" + options.name + "'; 'speculo keys " +
                                              options.name + "' shows those there are");
        }
        reader.wait(std::chrono::milliseconds(250), ec);
        // Another writer may come, but not to an area that was removed.
        if (ec && ec != std::errc::broken_pipe && ec != std::errc::interrupted) { throw area_failure(options.name, -ec.value()); }
    }
    return Status::failed;
}

std::string time_left(const speculo::chunk &chunk) {
    if (chunk.native().expires_ns == 0) { return "-"; }
    uint64_t now = speculo_now();
    return format_duration(chunk.native().expires_ns > now ? chunk.native().expires_ns - now : 0);
}

Status keys(const KeysOptions &options) {
    speculo::reader reader = open_reader(options.name, speculo::reader::no_cursor, options.trust);
    std::error_code ec;
    speculo::snapshot snapshot = reader.snapshot(ec);
    Table table({{"KEY", false, 0}, {"SIZE", true, 2}, {"ID", true, 4}, {"EXPIRES IN", true, 5}, {"VALUE", false, 3}});
    Json rows = Json::array();
    while (auto chunk = ec ? std::optional<speculo::chunk>() : snapshot.next(ec)) {
        if (chunk->native().key_size == 0) { continue; }
        if (options.json) {
            rows.push_back(json_of(*chunk));
        } else {
            table.add({printable(chunk->key()), format_size(chunk->size()), std::to_string(chunk->id()), time_left(*chunk),
                       preview(chunk->text(), 40)});
        }
    }
    if (ec) { throw area_failure(options.name, -ec.value()); }
    options.json ? print_json(rows) : table.print();
    return Status::done;
}

} // namespace

void add_get(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<GetOptions>();
    CLI::App *command = add_command(app, "get", "Print the newest value of a key");
    add_name(command, options->name);
    require(add_text(command, "KEY", options->key, "The key"));
    add_flag(command, "--wait", options->wait, "Wait for the area and the key to appear");
    add_forms(command, options->form);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, get);
}

void add_keys(CLI::App &app, Run &ret_run) {
    auto options = std::make_shared<KeysOptions>();
    CLI::App *command = add_command(app, "keys", "List the keys of an area");
    add_name(command, options->name);
    add_json(command, options->json);
    add_trust(command, options->trust);
    on_parse(command, ret_run, options, keys);
}

} // namespace speculo::tool
