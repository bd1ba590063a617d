// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader over an arbitrary image: chunks or an error code in bounded time, no byte touched that is not there, none written. What
// the check calls sound is sound for every call.
#include <iterator>

#include "bases.hpp"
#include "image.hpp"
#include "reading.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

namespace {

// Another process that makes the input's edits one by one, while somebody reads.
struct Rewriting {
    const Input *input;
    Image image;
    size_t rewritten = 0, copies = 0;
};
Rewriting *rewriting;

// One more edit every few copies: whatever was checked may be something else when it is copied next.
void rewrite() {
    Rewriting &it = *rewriting;
    if (++it.copies % (1 + it.input->mode % 8) != 0 || it.rewritten >= it.input->count) { return; }
    if (const Object *changed = apply(it.image, it.input->edit(it.rewritten++))) { system_overwrite(*changed); }
}

// A reader that trusts nobody: of a damaged area, and of a sound one that is damaged while it reads.
void read_untrusting(const Input &input, const Image &image, bool sound, uint32_t more) {
    uint32_t flags = SPECULO_OPEN_UNTRUSTED | more;
    int error = read_everything(flags, sound);
    expect(error == 0 || !sound, "an area that was found to be sound cannot be opened without trust", error);
    expect(system_is_same(image, "a@bell"), "a reader without trust has written");
    Rewriting own{&input, build(input, 0)};
    rewriting = &own;
    for (const Object &object : own.image) { system_overwrite(object); }
    system_set_rewriter(rewrite);
    read_everything(flags, false);
    system_set_rewriter(nullptr);
    for (const Object &object : image) { system_overwrite(object); }
}

constexpr uint32_t ways[] = {SPECULO_OPEN_READ, SPECULO_OPEN_AT_END, SPECULO_OPEN_NO_CURSOR};

// One way for most inputs, for more of them in the same time.
bool is_for(const Input &input, size_t way) {
    size_t chosen = input.mode / 8 % 16;
    return chosen == 0 || chosen % std::size(ways) == way;
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bases();
    Input input(data, size);
    Image image = build(input);
    system_restore(image);
    prepare(input);
    bool sound = input.failing == 0 && is_sound();
    for (size_t way = 0; way < std::size(ways); ++way) {
        if (!is_for(input, way)) { continue; }
        int error = read_everything(ways[way], sound);
        expect(error == 0 || !sound, "an area that was found to be sound cannot be opened", error);
        expect(system_is_same(image, "a@bell"), "a reader has written");
        read_untrusting(input, image, sound, ways[way]);
    }
    if (input.failing != 0) { is_sound(); }
    system_reset();
    return 0;
}
