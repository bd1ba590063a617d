// SPDX-License-Identifier: LGPL-2.1-or-later
#include "payload.hpp"

#include <algorithm>
#include <unistd.h>

#include "json.hpp"
#include "output.hpp"
#include "terminal.hpp"

namespace speculo::tool {

namespace {

constexpr size_t bytes_per_line = 16;
constexpr char digits[] = "0123456789abcdef";

std::string hex_line(std::string_view bytes, size_t offset) {
    std::string line, text;
    for (int shift = 28; shift >= 0; shift -= 4) { line += digits[offset >> shift & 15]; }
    line += ' ';
    for (size_t i = 0; i < bytes_per_line; ++i) {
        if (i % 8 == 0) { line += ' '; }
        if (i < bytes.size()) {
            auto byte = static_cast<unsigned char>(bytes[i]);
            ((line += digits[byte >> 4]) += digits[byte & 15]) += ' ';
            text += byte >= ' ' && byte < 0x7f ? char(byte) : '.';
        } else {
            line += "   ";
        }
    }
    return line + " |" + text + "|\n";
}

void print_hex(const speculo::chunk &chunk) {
    std::string head = "chunk " + std::to_string(chunk.id()) + ": " + std::to_string(chunk.size()) + " bytes";
    if (chunk.native().key_size > 0) { head += ", key " + printable(chunk.key()); }
    if (chunk.tag() != 0) { head += ", tag " + std::to_string(chunk.tag()); }
    if (chunk.removed()) { head += ", removed"; }
    print(styled(head, Style::bold, STDOUT_FILENO) + '\n');
    std::string_view payload = chunk.text();
    for (size_t at = 0; at < payload.size(); at += bytes_per_line) { print(hex_line(payload.substr(at, bytes_per_line), at)); }
}

void print_text(std::string_view text) {
    if (!output_is_terminal()) {
        print(text);
        if (text.empty() || text.back() != '\n') { print("\n"); }
        return;
    }
    while (!text.empty()) {
        size_t end = text.find('\n');
        std::string line;
        std::string_view rest = text.substr(0, end);
        for (size_t tab = rest.find('\t'); tab != std::string_view::npos; tab = rest.find('\t')) {
            line += printable(rest.substr(0, tab)) + '\t';
            rest.remove_prefix(tab + 1);
        }
        print(line + printable(rest) + '\n');
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

} // namespace

void add_forms(CLI::App *command, Form &form) {
    auto add = [&](const char *option, Form which, const char *text) {
        return add_choice(
            command, option, [&form, which] { form = which; }, text);
    };
    exclude_each_other({
        add("--text", Form::text, "Payloads as text, each ended by a newline"),
        add("--raw", Form::raw, "Payloads alone, byte by byte"),
        add("--hex", Form::hex, "Payloads in hexadecimal"),
        add("--json", Form::json, "A line of JSON for each chunk, with all about it"),
    });
}

void print_chunk(const speculo::chunk &chunk, Form form) {
    if (form == Form::hex) {
        print_hex(chunk);
    } else if (form == Form::json) {
        Json line = json_of(chunk);
        if (chunk.skipped() > 0) { line["skipped"] = chunk.skipped(); }
        if (!chunk.removed()) { put_bytes(line, "data", chunk.text()); }
        print_json_line(line);
    } else if (chunk.removed()) {
        return; // there is no payload
    } else if (form == Form::raw) {
        print(chunk.text());
    } else {
        print_text(chunk.text());
    }
}

std::string preview(std::string_view payload, size_t columns) {
    constexpr size_t enough = 4096; // of bytes, for any terminal
    payload = payload.substr(0, enough);
    while (!payload.empty() && (payload.back() == '\n' || payload.back() == '\0')) { payload.remove_suffix(1); }
    return clipped(printable(payload), columns);
}

} // namespace speculo::tool
