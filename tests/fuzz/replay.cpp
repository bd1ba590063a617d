// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs a fuzz target without libFuzzer: over files and folders of inputs, and over variations of them by chance.
//
//   usage: TARGET [-runs=N] [-seed=N] PATH...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <dirent.h>

#include "target.hpp"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
template class std::basic_string<char>; // the one of the C++ library has been compiled without it
#endif
#endif

namespace {

using Bytes = std::vector<uint8_t>;

std::minstd_rand chance(1);

// Files by the C library alone, which the memory sanitizer knows.
Bytes content(const std::string &file) {
    Bytes bytes;
    std::FILE *stream = std::fopen(file.c_str(), "rb");
    if (!stream) {
        std::perror(file.c_str());
        std::exit(2);
    }
    uint8_t block[4096];
    while (size_t size = std::fread(block, 1, sizeof block, stream)) { bytes.insert(bytes.end(), block, block + size); }
    std::fclose(stream);
    return bytes;
}

void add_inputs(const std::string &path, std::vector<Bytes> &inputs) {
    DIR *folder = opendir(path.c_str());
    if (!folder) { return inputs.push_back(content(path)); }
    std::vector<std::string> files;
    while (const dirent *entry = readdir(folder)) {
        if (entry->d_name[0] != '.') { files.push_back(path + "/" + entry->d_name); }
    }
    closedir(folder);
    std::sort(files.begin(), files.end());
    for (const std::string &file : files) { inputs.push_back(content(file)); }
}

uint64_t number(const char *text) { return std::strtoull(text, nullptr, 10); }

// SPECULO_FUZZ_RUNNING names a file for the input that is running: what it is when the program dies.
void run(const Bytes &input) {
    static const char *const file = std::getenv("SPECULO_FUZZ_RUNNING");
    if (std::FILE *stream = file ? std::fopen(file, "wb") : nullptr) {
        std::fwrite(input.data(), 1, input.size(), stream);
        std::fclose(stream);
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
            add_inputs(argument, inputs);
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
