// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader over an arbitrary image: chunks or an error code in bounded time, no byte touched that is not there, none written. What
// the check calls sound is sound for every call.
#include "bases.hpp"
#include "image.hpp"
#include "reading.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

namespace {

const Input *rewriting;
size_t rewritten, copies;

// One more edit every few copies: whatever was checked may be something else when it is copied next.
void rewrite() {
    if (++copies % (1 + rewriting->mode % 8) != 0 || rewritten >= rewriting->count) { return; }
    system_overwrite(build(*rewriting, ++rewritten));
}

// A reader that trusts nobody: of a damaged area, and of a sound one that is damaged while it reads.
void read_untrusting(const Input &input, const Image &image, bool sound) {
    for (uint32_t more : {uint32_t(SPECULO_OPEN_READ), uint32_t(SPECULO_OPEN_AT_END), uint32_t(SPECULO_OPEN_NO_CURSOR)}) {
        uint32_t flags = SPECULO_OPEN_UNTRUSTED | more;
        int error = read_everything(flags, sound);
        expect(error == 0 || !sound, "an area that was found to be sound cannot be opened without trust", error);
        expect(system_is_same(image, "a@bell"), "a reader without trust has written");
        rewriting = &input;
        rewritten = copies = 0;
        system_overwrite(build(input, 0));
        system_set_rewriter(rewrite);
        read_everything(flags, false);
        system_set_rewriter(nullptr);
        system_overwrite(image);
    }
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    bases();
    Input input(data, size);
    Image image = build(input);
    system_restore(image);
    prepare(input);
    bool sound = input.failing == 0 && is_sound();
    for (uint32_t flags : {uint32_t(SPECULO_OPEN_READ), uint32_t(SPECULO_OPEN_AT_END), uint32_t(SPECULO_OPEN_NO_CURSOR)}) {
        int error = read_everything(flags, sound);
        expect(error == 0 || !sound, "an area that was found to be sound cannot be opened", error);
    }
    if (input.failing != 0) { is_sound(); }
    expect(system_is_same(image, "a@bell"), "a reader has written");
    read_untrusting(input, image, sound);
    system_reset();
    return 0;
}
