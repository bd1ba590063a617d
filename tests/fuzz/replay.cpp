// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a fuzz target without libFuzzer: over files and folders of inputs, and over variations of them by chance.
//
//   usage: TARGET [-runs=N] [-seed=N] PATH...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "target.hpp"

namespace {

using Bytes = std::vector<uint8_t>;

std::minstd_rand chance(1);

std::vector<Bytes> inputs_at(const std::string &path) {
    std::vector<std::string> files;
    if (std::filesystem::is_directory(path)) {
        for (const auto &entry : std::filesystem::recursive_directory_iterator(path)) {
            if (entry.is_regular_file()) { files.push_back(entry.path().string()); }
        }
    } else {
        files.push_back(path);
    }
    std::sort(files.begin(), files.end());
    std::vector<Bytes> inputs;
    for (const std::string &file : files) {
        std::ifstream stream(file, std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    }
    return inputs;
}

uint64_t number(const char *text) { return std::strtoull(text, nullptr, 10); }

// The input that is running, for whoever sees it die.
std::string running_file() {
    const char *path = std::getenv("SPECULO_FUZZ_RUNNING");
    return path ? path : "";
}

void run(const Bytes &input) {
    static const std::string file = running_file();
    if (!file.empty()) {
        std::ofstream(file, std::ios::binary | std::ios::trunc)
            .write(reinterpret_cast<const char *>(input.data()), std::streamsize(input.size()));
    }
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

void vary(const std::vector<Bytes> &inputs, uint64_t runs, uint64_t seed) {
    constexpr size_t most = 1024;
    chance.seed(uint32_t(seed));
    Bytes input;
    for (uint64_t i = 0; i < runs; ++i) {
        if (i % 16 == 0) { input = inputs[chance() % inputs.size()]; }
        size_t size = std::min(input.size(), most);
        input.resize(most);
        input.resize(LLVMFuzzerCustomMutator(input.data(), size, most, uint32_t(chance())));
        run(input);
    }
}

} // namespace

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most) {
    if (size < most && chance() % 4 == 0) { data[size++] = 0; }
    for (size_t steps = 1 + chance() % 4; size > 0 && steps > 0; --steps) {
        uint8_t &byte = data[chance() % size];
        byte = chance() % 2 ? uint8_t(byte + chance() % 9 - 4) : uint8_t(chance() >> 8);
    }
    return size;
}

int main(int count, char **arguments) {
    uint64_t runs = 0, seed = 1;
    std::vector<Bytes> inputs;
    for (int i = 1; i < count; ++i) {
        const char *argument = arguments[i];
        if (std::strncmp(argument, "-runs=", 6) == 0) {
            runs = number(argument + 6);
        } else if (std::strncmp(argument, "-seed=", 6) == 0) {
            seed = number(argument + 6);
        } else {
            for (Bytes &input : inputs_at(argument)) { inputs.push_back(std::move(input)); }
        }
    }
    if (inputs.empty()) {
        std::fprintf(stderr, "no inputs\n");
        return 2;
    }
    for (const Bytes &input : inputs) { run(input); }
    vary(inputs, runs, seed);
    std::printf("%zu inputs, %llu variations\n", inputs.size(), static_cast<unsigned long long>(runs));
    return 0;
}
