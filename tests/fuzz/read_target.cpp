// SPDX-License-Identifier: LGPL-2.1-or-later
// A reader over an arbitrary image: chunks or an error code in bounded time, no byte touched that is not there, none written. What
// the check calls sound is sound for every call.
#include "bases.hpp"
#include "image.hpp"
#include "reading.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

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
    system_reset();
    return 0;
}
