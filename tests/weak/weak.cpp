// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs the operations of src/sync.hpp under C++'s memory model: no rule may break as they are; each of their memory orders, made
// weaker, has to break one; and none may be left out.
//
// usage: weak SYNC_HPP
#include <cstdio>
#include <cstring>
#include <set>

#include "weak.hpp"

namespace weak {

namespace {

uint64_t runs = 0;
int failures = 0;

void fail(const char *name, const std::string &what) {
    std::printf("FAILED  %s: %s\n", name, what.c_str());
    ++failures;
}

Verdict try_out(const Program &program, const Site *weaker = nullptr, std::memory_order order = std::memory_order_relaxed) {
    Verdict verdict = explore(program, weaker, order);
    runs += verdict.runs;
    return verdict;
}

void try_known() {
    for (auto programs : {known_programs(), mistaken_programs()}) {
        for (const Known &known : programs) {
            Verdict verdict = try_out(known.program);
            if (verdict.broken.empty() == known.is_possible) { fail(known.name, known.is_possible ? "not found" : "found"); }
        }
    }
}

const char *name_of(std::memory_order order) {
    switch (order) {
    case std::memory_order_acquire: return "acquire";
    case std::memory_order_release: return "release";
    case std::memory_order_acq_rel: return "acq_rel";
    case std::memory_order_seq_cst: return "seq_cst";
    default: return "relaxed";
    }
}

// A pair with what it came by when all was as it should be.
struct Sound {
    Pair pair;
    std::vector<Site> sites;

    bool has(const Site &site) const {
        for (const Site &own : sites) {
            if (own.is_same(site)) { return true; }
        }
        return false;
    }
};

std::vector<Sound> try_pairs() {
    std::vector<Sound> sound;
    for (auto pairs : {publication_pairs(), entry_pairs(), sleep_pairs()}) {
        for (const Pair &pair : pairs) {
            Verdict verdict = try_out(pair.program);
            std::printf("%-9s %-52s %8llu runs\n", pair.name, pair.what, static_cast<unsigned long long>(verdict.runs));
            if (!verdict.broken.empty()) { fail(pair.what, verdict.broken); }
            sound.push_back({pair, verdict.sites});
        }
    }
    return sound;
}

std::string describe(const Site &site, std::memory_order order) {
    std::string text = site.function.substr(0, site.function.find('<')) + ", line " + std::to_string(site.line);
    if (!site.thread.empty()) { text += ", " + site.thread; }
    return text + ": " + name_of(site.order) + " -> " + name_of(order);
}

// What comes of a weaker order, in all programs that come by it.
void weaken(const std::vector<Sound> &sound, const Site &site, std::memory_order order) {
    std::set<std::string> broken;
    for (const Sound &one : sound) {
        if (!one.has(site)) { continue; }
        if (!try_out(one.pair.program, &site, order).broken.empty()) { broken.insert(one.pair.name); }
    }
    std::string what = describe(site, order);
    std::printf("%-62s breaks", what.c_str());
    for (const std::string &name : broken) { std::printf("  %s", name.c_str()); }
    std::printf("\n");
    if (broken.empty()) { fail(what.c_str(), "it is needless, or a rule is not checked"); }
}

void weaken_all(const std::vector<Sound> &sound) {
    std::vector<Site> done;
    for (const Sound &one : sound) {
        for (const Site &site : one.sites) {
            bool is_done = false;
            for (const Site &other : done) { is_done |= other.is_same(site); }
            if (is_done) { continue; }
            done.push_back(site);
            if (site.order == std::memory_order_acq_rel) {
                weaken(sound, site, std::memory_order_acquire);
                weaken(sound, site, std::memory_order_release);
            } else {
                weaken(sound, site, std::memory_order_relaxed);
            }
        }
    }
    std::printf("%zu orders were made weaker, each once\n", done.size());
}

// Every line of the header that names a stronger order than relaxed was tried.
void find_untried(const std::vector<Sound> &sound, const char *header) {
    std::set<int> lines;
    for (const Sound &one : sound) {
        for (const Site &site : one.sites) { lines.insert(site.line); }
    }
    std::FILE *file = std::fopen(header, "r");
    char text[512];
    int found = 0;
    for (int line = 1; file && std::fgets(text, sizeof text, file); ++line) {
        if (char *comment = std::strstr(text, "//")) { *comment = 0; }
        bool is_strong = std::strstr(text, "_acquire") || std::strstr(text, "_release") || std::strstr(text, "_acq_rel") ||
                         std::strstr(text, "_seq_cst") || std::strstr(text, "_consume");
        if (!is_strong) { continue; }
        ++found;
        if (lines.count(line) == 0) { fail("sync.hpp", "nothing tries line " + std::to_string(line)); }
    }
    if (file) { std::fclose(file); }
    if (found == 0) { fail("sync.hpp", "no memory orders in it"); }
}

} // namespace

} // namespace weak

int main(int count, char **arguments) {
    if (count != 2) { return 2; }
    weak::try_known();
    std::vector<weak::Sound> sound = weak::try_pairs();
    weak::weaken_all(sound);
    weak::find_untried(sound, arguments[1]);
    std::printf("%llu runs in all, %d failures\n", static_cast<unsigned long long>(weak::runs), weak::failures);
    return weak::failures == 0 ? 0 : 1;
}
