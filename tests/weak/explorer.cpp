// SPDX-License-Identifier: LGPL-2.1-or-later
#include "engine.hpp"

#include <cstdio>
#include <cstdlib>

namespace weak {

Engine engine;

namespace {

[[noreturn]] void give_up(const char *why) {
    std::fprintf(stderr, "the explorer cannot go on: %s\n", why);
    std::abort();
}

// ---- views ----

int rank_of(int word, uint8_t store) { return engine.words[word].rank[store]; }

} // namespace

void join_words(View &view, const View &other) {
    for (int word = 0; word < engine.word_count; ++word) {
        if (rank_of(word, other.seen[word]) > rank_of(word, view.seen[word])) { view.seen[word] = other.seen[word]; }
    }
}

void join(View &view, const View &other) {
    join_words(view, other);
    for (int i = 0; i < most_threads; ++i) {
        if (other.clock[i] > view.clock[i]) { view.clock[i] = other.clock[i]; }
    }
}

namespace {

// ---- sites ----

bool is_in_sync(const Caller &caller) {
    const char *slash = std::strrchr(caller.file, '/');
    return std::strcmp(slash ? slash + 1 : caller.file, "sync.hpp") == 0;
}

// The order that counts: that of the source, unless it is the one to be weakened.
std::memory_order order_at(const Caller &caller, std::memory_order order, bool is_fence) {
    if (order == std::memory_order_relaxed || !is_in_sync(caller) || engine.running < 0) { return order; }
    Site site{caller.function, caller.line, is_fence ? self().name : "", order};
    if (engine.weaker && engine.weaker->is_same(site)) { return engine.weaker_order; }
    for (const Site &known : engine.verdict->sites) {
        if (known.is_same(site)) { return order; }
    }
    engine.verdict->sites.push_back(site);
    return order;
}

bool releases(std::memory_order order) {
    return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
bool acquires(std::memory_order order) {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}

} // namespace

// ---- threads ----

void yield() {
    if (engine.running >= 0) { swapcontext(&self().context, &engine.main); }
}

namespace {

void enter_thread() {
    self().body();
    self().state = State::done;
    swapcontext(&self().context, &engine.main);
}

void resume(int thread) {
    engine.running = thread;
    swapcontext(&engine.main, &self().context);
    engine.running = -1;
}

bool is_ready(const Thread &thread) {
    if (thread.waits_while && *thread.waits_while) { return false; }
    return thread.state == State::ready;
}

void start(int number) {
    Thread &thread = engine.threads[size_t(number)];
    if (thread.before >= 0) { // by the kernel's lock, which is free when that one is gone
        const Thread &before = engine.threads[size_t(thread.before)];
        join(thread.view, before.view);
    }
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack.data();
    thread.context.uc_stack.ss_size = thread.stack.size();
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, enter_thread, 0);
    resume(number); // up to its first choice
}

} // namespace

// ---- words ----

int choose_store(int word, uint8_t oldest, bool for_update) {
    const Location &location = engine.words[size_t(word)];
    int candidates[most_stores], count = 0;
    for (int i = int(location.stores.size()) - 1; i >= 0; --i) {
        bool is_possible = location.rank[size_t(i)] >= location.rank[oldest];
        if (is_possible && !(for_update && location.stores[size_t(i)].is_followed)) { candidates[count++] = i; }
    }
    return candidates[choose(count)];
}

namespace {

// Puts a store right behind the one of that rank.
uint8_t insert(int word, int rank, uint64_t value) {
    Location &location = engine.words[size_t(word)];
    size_t number = location.stores.size();
    if (number >= most_stores) { give_up("too many stores of one word"); }
    for (size_t i = 0; i < number; ++i) {
        if (location.rank[i] > rank) { ++location.rank[i]; }
    }
    location.rank[number] = uint8_t(rank + 1);
    location.stores.push_back({value, View{}});
    return uint8_t(number);
}

// The ranks behind which a store of this thread may come.
int choose_rank(int word) {
    const Location &location = engine.words[size_t(word)];
    int ranks[most_stores], count = 0;
    for (int rank = int(location.stores.size()) - 1; rank >= rank_of(word, self().view.seen[size_t(word)]); --rank) {
        bool is_taken = false;
        for (size_t i = 0; i < location.stores.size(); ++i) {
            is_taken |= location.rank[i] == rank && location.stores[i].is_followed;
        }
        if (!is_taken) { ranks[count++] = rank; }
    }
    return ranks[choose(count)];
}

void note_store(int word, uint8_t number, std::memory_order order) {
    Thread &thread = self();
    thread.view.seen[size_t(word)] = number;
    thread.acquired.seen[size_t(word)] = number;
    View &view = engine.words[size_t(word)].stores[number].view;
    join(view, releases(order) ? thread.view : thread.released);
    view.seen[size_t(word)] = number;
}

} // namespace

uint64_t note_load(int word, int number, std::memory_order order) {
    Thread &thread = self();
    const Store &store = engine.words[size_t(word)].stores[size_t(number)];
    thread.view.seen[size_t(word)] = uint8_t(number);
    join(thread.acquired, store.view);
    if (acquires(order)) { join(thread.view, store.view); }
    return store.value;
}

namespace {

uint64_t newest(int word) {
    const Location &location = engine.words[size_t(word)];
    for (size_t i = 0; i < location.stores.size(); ++i) {
        if (location.rank[i] + 1u == location.stores.size()) { return location.stores[i].value; }
    }
    return 0;
}

// ---- one run after the other ----

// Goes on to the next way that was not tried.
bool advance() {
    while (!engine.choices.empty() && engine.choices.back().taken + 1 == engine.choices.back().ways) {
        engine.choices.pop_back();
    }
    if (engine.choices.empty()) { return false; }
    ++engine.choices.back().taken;
    return true;
}

void begin() {
    engine.word_count = engine.thread_count = 0;
    engine.running = -1;
    engine.fences = engine.barriers = View{};
    engine.depth = 0;
    engine.broken.clear();
}

} // namespace

// ---- words ----

int new_word(uint64_t value) {
    if (engine.word_count == most_words) { give_up("too many words"); }
    Location &location = engine.words[size_t(engine.word_count)];
    location.stores.clear();
    location.stores.push_back({value, View{}});
    location.rank[0] = 0;
    return engine.word_count++;
}

uint64_t load_word(int word, std::memory_order order, const Caller &caller) {
    if (engine.running < 0) { return newest(word); }
    order = order_at(caller, order, false);
    yield();
    return note_load(word, choose_store(word, self().view.seen[size_t(word)], false), order);
}

void store_word(int word, uint64_t value, std::memory_order order, const Caller &caller) {
    order = order_at(caller, order, false);
    note_store(word, insert(word, choose_rank(word), value), order);
}

uint64_t update_word(int word, const std::function<uint64_t(uint64_t)> &value, const std::function<bool(uint64_t)> &is_wanted,
                     std::memory_order order, const Caller &caller) {
    order = order_at(caller, order, false);
    yield();
    int read = choose_store(word, self().view.seen[size_t(word)], true);
    Location &location = engine.words[size_t(word)];
    uint64_t old = location.stores[size_t(read)].value;
    if (!is_wanted(old)) { return note_load(word, read, std::memory_order_relaxed); }
    note_load(word, read, order);
    location.stores[size_t(read)].is_followed = true;
    View passed_on = location.stores[size_t(read)].view;
    uint8_t number = insert(word, location.rank[size_t(read)], value(old));
    note_store(word, number, order);
    join(location.stores[number].view, passed_on);
    return old;
}

// ---- fences ----

void CheckedFences::full(std::memory_order order, const char *file, const char *function, int line) {
    if (order_at({file, function, line}, order, true) == std::memory_order_relaxed) { return; }
    yield();
    Thread &thread = self();
    join(thread.view, thread.acquired);
    join_words(thread.view, engine.fences);
    join_words(engine.fences, thread.view);
    thread.released = thread.view;
}

void CheckedFences::compiler(std::memory_order order, const char *file, const char *function, int line) {
    if (order_at({file, function, line}, order, true) == std::memory_order_relaxed) { return; }
    yield();
    Thread &thread = self();
    join_words(thread.view, engine.barriers);
    thread.at_light_fence = thread.view;
}

void barrier_for_all() {
    yield();
    Thread &thread = self();
    for (int i = 0; i < engine.thread_count; ++i) { join_words(thread.view, engine.threads[size_t(i)].at_light_fence); }
    join_words(thread.view, engine.fences);
    join_words(engine.fences, thread.view);
    join_words(engine.barriers, thread.view);
    thread.released = thread.view;
}

// ---- programs ----

int Run::thread(const char *name, std::function<void()> body, int before) {
    if (engine.thread_count == most_threads) { give_up("too many threads"); }
    Thread &thread = engine.threads[size_t(engine.thread_count)];
    thread.name = name;
    thread.body = std::move(body);
    thread.before = before;
    thread.state = State::ready;
    thread.waits_while = nullptr;
    thread.view = thread.acquired = thread.released = thread.at_light_fence = View{};
    return engine.thread_count++;
}

void Run::go() {
    std::array<bool, most_threads> is_started{};
    for (;;) {
        int ready[most_threads], count = 0;
        for (int i = 0; i < engine.thread_count && engine.broken.empty(); ++i) {
            Thread &thread = engine.threads[size_t(i)];
            bool may_start = thread.before < 0 || engine.threads[size_t(thread.before)].state == State::done;
            if (!is_started[size_t(i)] && may_start) {
                is_started[size_t(i)] = true;
                start(i);
            }
            if (is_started[size_t(i)] && is_ready(thread)) { ready[count++] = i; }
        }
        if (count == 0 || !engine.broken.empty()) { return; }
        resume(ready[choose(count)]);
    }
}

bool Run::is_stuck(int thread) const { return engine.broken.empty() && engine.threads[size_t(thread)].state != State::done; }

int choose(int ways) {
    if (ways == 1) { return 0; }
    if (engine.depth == engine.choices.size()) { engine.choices.push_back({0, ways}); }
    if (engine.choices[engine.depth].ways != ways) { give_up("a run cannot be repeated"); }
    return engine.choices[engine.depth++].taken;
}

void die() {
    self().state = State::done;
    yield();
}

void check(bool holds, const char *rule) {
    if (holds || !engine.broken.empty()) { return; }
    engine.broken = rule;
    if (engine.running >= 0) { die(); }
}

Verdict explore(const Program &program, const Site *weaker, std::memory_order order) {
    Verdict verdict;
    engine.choices.clear();
    engine.verdict = &verdict;
    engine.weaker = weaker;
    engine.weaker_order = order;
    do {
        begin();
        Run run;
        program(run);
        ++verdict.runs;
    } while (engine.broken.empty() && advance());
    verdict.broken = engine.broken;
    return verdict;
}

} // namespace weak
