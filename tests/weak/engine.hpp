// SPDX-License-Identifier: LGPL-2.1-or-later
// The inside of the explorer: the state of one run, and the way that the choices have led to it.
#pragma once

#include <ucontext.h>

#include "explorer.hpp"

namespace weak {

constexpr size_t stack_size = 64 << 10;

struct Store {
    uint64_t value;
    View view;                // what a load that acquires it takes over
    bool is_followed = false; // by an update that has read it: nothing comes in between
};

struct Location {
    std::vector<Store> stores;               // in the order of time
    std::array<uint8_t, most_stores> rank{}; // their places in the order that all agree on
};

enum class State { ready, sleeping, done };

struct Thread {
    std::string name;
    std::function<void()> body;
    int before;
    State state;
    const bool *waits_while;       // a mutex that another holds
    View view, acquired, released; // what it knows; would know by a fence; knew at its last fence
    View at_light_fence;           // what it knew at its last compiler's fence
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(stack_size);
};

struct Choice {
    int taken, ways;
};

// There is one run at a time.
struct Engine {
    std::vector<Location> words = std::vector<Location>(most_words);
    int word_count = 0;
    std::array<Thread, most_threads> threads;
    int thread_count = 0;
    int running = -1; // -1: the program itself, before and after its threads
    ucontext_t main;
    View fences;   // what full fences know, in their order
    View barriers; // what membarriers do
    std::vector<Choice> choices;
    size_t depth = 0;
    std::string broken;
    Verdict *verdict = nullptr;
    const Site *weaker = nullptr;
    std::memory_order weaker_order = std::memory_order_relaxed;
};
extern Engine engine;

inline Thread &self() { return engine.threads[size_t(engine.running)]; }

// Lets others have their turn, and this thread if it is chosen again.
void yield();

// The later of two views; `join_words` leaves the clocks of plain bytes alone.
void join_words(View &view, const View &other);
void join(View &view, const View &other);

// The store that a load reads: any that is not older than `oldest`.
int choose_store(int word, uint8_t oldest, bool for_update);
uint64_t note_load(int word, int number, std::memory_order order);

} // namespace weak
