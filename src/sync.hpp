// SPDX-License-Identifier: LGPL-2.1-or-later
// Every access to a word of shared memory, and the only file that names a memory order.
//
// One writer stores, many readers load; nobody does a read-modify-write, so readers can map everything read-only. Each pair
// below says what the load may rely on and which reordering it forbids. The numbers O1..O15 are those of doc/protocol.md.
//
// The operations are templates over the word's type, so that they can be run on a checked atomic.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace speculo::core {

// A word in shared memory. Its value is reached through the operations below only.
template <class T> struct Shared { std::atomic<T> word; };

// A lock-based atomic would use a lock of this process only, and a wider one a compare-exchange, which writes.
static_assert(std::atomic<uint32_t>::is_always_lock_free && sizeof(Shared<uint32_t>) == 4);
static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(Shared<uint64_t>) == 8 && alignof(Shared<uint64_t>) == 8);

// What the format puts at these bytes, where it is aligned as it must be.
template <class T> T *shared_at(std::byte *bytes) { return static_cast<T *>(static_cast<void *>(bytes)); }
template <class T> const T *shared_at(const std::byte *bytes) { return static_cast<const T *>(static_cast<const void *>(bytes)); }

// ---- words covered by another pair ----------------------------------------------------------------------------------------
// Stored before the release store of the pair that covers them, loaded after its acquire load: relaxed is enough. Always one
// load into a local, so that what was checked is what is used.

template <class Word> auto peek(const Word &word) { return word.word.load(std::memory_order_relaxed); }
template <class Word, class Value> void put(Word &word, Value value) { word.word.store(value, std::memory_order_relaxed); }

// ---- O1, O8: the commit word ----------------------------------------------------------------------------------------------
// Pair: publish_commit (writer) / observe_commit (reader). Seeing a word that is not 0, the reader may read its frame, the other
// frames of the commit, and the zero word behind them; of an END frame: `current` (O7) has moved on.
// Forbids: store the word; reader loads it and reads the frame; fill the frame (a torn chunk).
// Not weaker: on the reader's side any word may be a commit's first. Not stronger: nothing later needs to wait for it.

template <class Word> void publish_commit(Word &word, uint32_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint32_t observe_commit(const Word &word) { return word.word.load(std::memory_order_acquire); }

// ---- O2: the successor word ------------------------------------------------------------------------------------------------
// Pair: store_successor before its batch's publish_commit / load_successor after the observe_commit or observe_hint that gave
// the end E. Relaxed, as O1 or O6 covers it; a value >= E means "not yet". The load must come after E was fixed, which the
// acquire there guarantees.
// Forbids: load the word (0); fix E behind the successor; deliver both old and new.
// A page's `dead` (put / peek) is covered likewise: stored before the commit's word, loaded after E was fixed. Loaded before, it could be
// that of a commit that died, and E one behind the takeover that undid it: live chunks would be passed.

template <class Word> void store_successor(Word &word, uint32_t place) { word.word.store(place, std::memory_order_relaxed); }
template <class Word> uint32_t load_successor(const Word &word) { return word.word.load(std::memory_order_relaxed); }

// ---- O3, O4: the two versions of a key -------------------------------------------------------------------------------------
// Pair: publish_versions (writer) / observe_versions (reader). Both places in one word, so that they belong together. The reader
// may follow `previous` also when its own end E is older than that frame, so E's acquire does not cover it: hence release.
// Forbids: store (newest, previous); reader with an old E reads the frame at `previous`; the frame's bytes arrive.

template <class Word> void publish_versions(Word &word, uint64_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint64_t observe_versions(const Word &word) { return word.word.load(std::memory_order_acquire); }

// ---- O6: the tail hint -----------------------------------------------------------------------------------------------------
// Pair: publish_hint after publish_commit (writer) / observe_hint (reader). Seeing a hint, the reader finds the zero word, or a
// newer commit, at that place, and all commits before it.
// Forbids: store the hint; late reader loads it and takes old bytes at that place for a commit word; zero the word.

template <class Word> void publish_hint(Word &word, uint32_t place) { word.word.store(place, std::memory_order_release); }
template <class Word> uint32_t observe_hint(const Word &word) { return word.word.load(std::memory_order_acquire); }

// ---- O7, O9: the way into a segment ----------------------------------------------------------------------------------------
// Pair: publish_generation, then publish_slot, then publish_current (writer) / observe_current, then observe_slot, then
// observe_generation (reader). The reader finds a complete segment, or a generation that is not the expected one.
// Forbids: store `current`; reader enters; copy the live chunks.
// A segment is used again in the order: kernel's write lock, generation := 0, unlock, overwrite. The unlocking system call keeps
// the compiler from moving an overwriting store up; a reader that got the kernel's read lock afterwards sees the 0.

template <class Word> void publish_generation(Word &word, uint64_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint64_t observe_generation(const Word &word) { return word.word.load(std::memory_order_acquire); }
template <class Word> void publish_slot(Word &word, uint64_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint64_t observe_slot(const Word &word) { return word.word.load(std::memory_order_acquire); }
template <class Word> void publish_current(Word &word, uint64_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint64_t observe_current(const Word &word) { return word.word.load(std::memory_order_acquire); }

// ---- O15: creation, marks --------------------------------------------------------------------------------------------------
// Pair: publish_mark (writer, remover) / observe_mark: what was stored before the mark is there.
// Forbids: store the mark; reader takes the area for removed; the last commit arrives.
// A magic needs no order: an object is given its name when it is complete, and the kernel orders that before its opening.

template <class Word> void publish_mark(Word &word, uint32_t value) { word.word.store(value, std::memory_order_release); }
template <class Word> uint32_t observe_mark(const Word &word) { return word.word.load(std::memory_order_acquire); }

// ---- O12, O13: sleeping readers and the writer ---------------------------------------------------------------------------------
// Pair: announce_sleep, then the sleeper's barrier, then look again (reader) / publish_commit, then fence_before_flags, then
// is_flag_set (writer). A store followed by a load on both sides: only a full fence on both orders them, and the reader pays for the
// writer's: its barrier makes every thread of the writer's process pass one (membarrier). Where the writer could not register for
// that, it fences itself.
// Forbids: writer loads the flag (0); reader sets the flag, finds nothing; writer's commit arrives; the reader sleeps on it.
//
// Pair: load_bell_word, then announce_sleep (reader) / clear_flag, then bump_word, then wake (writer). The acquire of the word puts
// the reader's flag behind the clearing that came before that word.
// Forbids: bump; reader loads the new word and sets the flag; clear; the reader sleeps, and the next commit sees no flag.

template <class Word> bool is_flag_set(const Word &word) { return word.word.load(std::memory_order_relaxed) != 0; }
template <class Word> bool is_either_flag_set(const Word &a, const Word &b) {
    return (a.word.load(std::memory_order_relaxed) | b.word.load(std::memory_order_relaxed)) != 0;
}
template <class Word> void announce_sleep(Word &word) { word.word.store(1, std::memory_order_relaxed); }
template <class Word> void clear_flag(Word &word) { word.word.store(0, std::memory_order_relaxed); }
template <class Word> uint32_t load_bell_word(const Word &word) { return word.word.load(std::memory_order_acquire); }
// By one writer, or by whichever readers leave: that the word changes is all that matters.
template <class Word> void bump_word(Word &word) {
    word.word.store(word.word.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

// The processor's fence and the compiler's; a parameter of the operations, as words are.
struct Fences {
    // Not an atomic_thread_fence where thread sanitizers do not know it: a read-modify-write of a word of one's own.
    static void full(std::memory_order order) {
#if defined(__SANITIZE_THREAD__)
        std::atomic<uint32_t> own{0};
        own.exchange(1, order);
#else
        std::atomic_thread_fence(order);
#endif
    }
    static void compiler(std::memory_order order) { std::atomic_signal_fence(order); }
};

template <class F = Fences> void full_fence() { F::full(std::memory_order_seq_cst); }

// The writer's side of O12. Where the sleepers pay, it keeps the compiler's order; the processor's is their barrier.
template <class F = Fences> void fence_before_flags(bool sleepers_pay) {
    if (sleepers_pay) {
        F::compiler(std::memory_order_seq_cst);
    } else {
        F::full(std::memory_order_seq_cst);
    }
}

// ---- O14: a lossless area's writer waits for readers to leave ---------------------------------------------------------------------
// Pair: unlock, then full_fence, then is_flag_set (reader) / load_bell_word, then announce_sleep, then full_fence, then try the lock
// (writer). As O12, the other way round. The system calls in it may or may not be fences; this does not depend on them.
// Forbids: reader loads the flag (0); writer sets it, finds the lock taken; the unlock takes effect; the writer sleeps.

// ---- O16: words and bytes that are copied through the kernel ------------------------------------------------------------------------
// Pair: any of the publishing stores above (writer) / a copy, fence_copies, another copy (a reader that maps nothing). A copy reads
// its bytes in any order, and a word perhaps byte by byte; so
//   a word counts when two copies of it agree: if the first has but one byte of a new value, the second has all of them;
//   what a word covers is taken from a copy that began after one that had the word.
// Forbids: copy half of a commit word; or copy the frame's bytes, fill the frame, publish, then copy its commit word.
// Not weaker: a system call may or may not be a fence. Acquire would do; this is the fence that thread sanitizers know.

template <class F = Fences> void fence_copies() { full_fence<F>(); }

// ---- waiting for a word ---------------------------------------------------------------------------------------------------------

// For system calls that sleep on a word.
template <class Word> const uint32_t *address_of(const Word &word) { return reinterpret_cast<const uint32_t *>(&word.word); }

// Between two looks of a spinning loop: lets the other core, or the other thread of this one, have its turn.
inline void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield");
#endif
}

// ---- asking for a cache line ---------------------------------------------------------------------------------------------------
// Hints, which order nothing and never fault.

// One that is going to be written is taken from the other cores. By its name on x86-64, where every processor has it (AMD64 Architecture
// Programmer's Manual 3, PREFETCHW): there compilers make a prefetch for reading of the builtin, after which the store still has to ask.
inline void prefetch_to_write(const void *line) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*static_cast<const char *>(line)));
#else
    __builtin_prefetch(line, 1);
#endif
}
inline void prefetch_to_read(const void *line) { __builtin_prefetch(line); }

// ---- bytes -----------------------------------------------------------------------------------------------------------------
// Keys and payloads: written before O1 (or O7) of their frame and read after it, never changed in between.

inline void copy_bytes(void *to, const void *from, size_t size) { std::memcpy(to, from, size); }

// Where numbers are made of bytes.
inline constexpr bool is_little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

// ---- within one process ----------------------------------------------------------------------------------------------------

// Counts the users of something that several threads may let go of. What happens at 0 is done under a mutex.
template <class Atomic> class CounterOf {
public:
    // One less, unless it is the last: then the caller takes the mutex. Release, paired with the acquire in `take`: this thread's
    // last use comes before whatever is done at 0.
    bool take_if_more() {
        uint32_t count = count_.load(std::memory_order_relaxed);
        while (count > 1) {
            if (count_.compare_exchange_weak(count, count - 1, std::memory_order_release)) { return true; }
        }
        return false;
    }
    // Under the mutex, or where nobody is added from nothing: one more, one less (true: that was the last). Relaxed: whoever adds one
    // without the mutex has one already. The acquire is for those who did without; the release for the last one, if that one does.
    void add() { count_.fetch_add(1, std::memory_order_relaxed); }
    bool take() { return count_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
    bool any() const { return count_.load(std::memory_order_relaxed) != 0; }
    // Whether the caller is the only user; the others' last uses come before what it does next.
    bool is_one() const { return count_.load(std::memory_order_acquire) == 1; }

private:
    Atomic count_;
};
using Counter = CounterOf<std::atomic<uint32_t>>;

// Gives each number once. Relaxed: only that they differ matters.
class Numbers {
public:
    uint64_t next() { return last_.fetch_add(1, std::memory_order_relaxed) + 1; }

private:
    std::atomic<uint64_t> last_;
};

} // namespace speculo::core
