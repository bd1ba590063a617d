// SPDX-License-Identifier: LGPL-2.1-or-later
// Sequences of all calls, chosen by the input, against a model of what each reader must see.
#include "sequence.hpp"
#include "system.hpp"
#include "target.hpp"

using namespace speculo::fuzz;

namespace {

// Bytes of the input, one by one; zeros behind the end.
class Bytes {
public:
    Bytes(const uint8_t *data, size_t size) : data_(data), end_(data + size) {}
    uint64_t below(uint64_t limit) {
        uint64_t value = next();
        if (limit > 256) { value |= next() << 8; }
        return value % limit;
    }

private:
    uint64_t next() { return data_ < end_ ? *data_++ : 0; }
    const uint8_t *data_, *end_;
};

constexpr size_t bytes_per_step = 4, most_steps = 150;
constexpr uint64_t calls_of_a_run = 100000;

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static bool has_begun = (system_begin(), true);
    (void)has_begun;
    system_set_budget(calls_of_a_run);
    Bytes bytes(data, size);
    size_t steps = size / bytes_per_step;
    {
        speculo::test::Sequence sequence([&](uint64_t limit) { return bytes.below(limit); }, system_pass_time, "input",
                                         "/run/none");
        bool is_right = sequence.run(int(steps < most_steps ? steps : most_steps));
        expect(is_right, "readers do not see what they must, see above");
    }
    expect(system_capture().empty(), "an object was left behind");
    system_reset();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned) { return LLVMFuzzerMutate(data, size, most); }
