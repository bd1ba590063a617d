// SPDX-License-Identifier: LGPL-2.1-or-later
#include "wait.hpp"

#include <cerrno>
#include <utility>

#include "reader.hpp"
#include "writer.hpp"

namespace speculo::core {

namespace {

constexpr uint64_t slice_ns = 250000000;       // the longest that a lost wake-up can be late
constexpr uint64_t unheard_slice_ns = 2000000; // where the writer may have kept a ring to itself: longer than it may do so
constexpr int looks_per_clock = 16;

// ---- time ---------------------------------------------------------------------------------------------------------------------

// The end of a wait on the fine clock.
class Deadline {
public:
    explicit Deadline(int64_t timeout_ns) : is_never_(timeout_ns < 0) {
        if (timeout_ns > 0) { end_ = os::operations.clock_fine() + uint64_t(timeout_ns); }
    }

    // How much is left of it, at most `most`; 0: it has passed.
    uint64_t left(uint64_t most) const {
        if (is_never_) { return most; }
        uint64_t now = end_ ? os::operations.clock_fine() : 0;
        if (now >= end_) { return 0; }
        return end_ - now < most ? end_ - now : most;
    }

private:
    bool is_never_;
    uint64_t end_ = 0;
};

// ---- looking ------------------------------------------------------------------------------------------------------------------

// The hint of the segment that `current` names, which is not pinned: it can be looked at, whatever becomes of the chunks.
int hint_of(Reader &reader, uint64_t current, uint32_t &ret_hint) {
    uint32_t slot = current_slot(current);
    Attachment *segment = nullptr;
    uint64_t entry = control_slot(reader.area, slot);
    int error = attachment_get(reader.area, reader.attachments, slot, entry, &segment);
    if (error != 0) { return error; }
    ret_hint = attachment_hint(*segment);
    return reader.area.copier ? reader.area.copier->error() : 0;
}

bool has_new_commit(const Reader &reader) {
    const Waiting &waiting = reader.waiting;
    if (control_current(reader.area) != waiting.seen_current) { return true; }
    const Attachment *segment = reader.attachments.slots[current_slot(waiting.seen_current)];
    return !segment || attachment_hint(*segment) != waiting.seen_hint;
}

// Whether a call would find something, at the cost of a load or two. True too where only a closer look can tell.
bool has_news(const Reader &reader) {
    const Cursor &cursor = reader.cursor;
    if (!cursor.segment) { return has_new_commit(reader); }
    const SegmentMap &map = cursor.segment->map;
    return cursor.is_damaged || cursor.place >= map.readable || map.commit_at(cursor.place) != 0;
}

int note_newest(Reader &reader) {
    constexpr int tries = 64; // each one in vain costs the writer a compaction
    for (int i = 0; i < tries; ++i) {
        uint64_t current = control_current(reader.area);
        uint32_t hint = 0;
        int error = hint_of(reader, current, hint);
        if (error == -ESTALE) { continue; }
        if (error != 0) { return error; }
        reader.waiting.seen_current = current;
        reader.waiting.seen_hint = hint;
        return 0;
    }
    return control_is_stale(reader.area) ? -ESTALE : -EAGAIN;
}

// 1 there is something to read, 0 nothing, or an error.
int look(Reader &reader) {
    if (reader.cursor.segment) { return cursor_peek(reader); }
    return in_form(reader.area.copier, [&](auto) {
        if (!has_new_commit(reader)) { return 0; }
        int error = note_newest(reader);
        return error < 0 ? error : 1;
    });
}

// -ESTALE or -EPIPE if nothing more is to come, but for what is there already.
int ask_for_end(const Reader &reader, uint32_t &ret_writers) {
    const Area &area = reader.area;
    return in_form(area.copier, [&](auto) {
        ret_writers = control_writers(area);
        if (control_is_stale(area)) { return -ESTALE; }
        return ret_writers != reader.waiting.told_writers && liveness_query(area) == 0 ? -EPIPE : 0;
    });
}

// When there was nothing to read: whether there can be no more.
int look_for_end(Reader &reader) {
    uint32_t writers;
    int end = ask_for_end(reader, writers);
    if (end == 0) { return 0; }
    if (int found = look(reader); found != 0) { return found; } // committed before it went
    if (end == -EPIPE) { reader.waiting.told_writers = writers; }
    return end;
}

// ---- spinning -------------------------------------------------------------------------------------------------------------------

// Looks for a short time without sleeping. True: there is news.
template <class Look> bool spin(uint64_t spin_ns, Look has_come) {
    if (spin_ns == 0) { return false; }
    uint64_t end = os::operations.clock_fine() + spin_ns;
    do {
        for (int i = 0; i < looks_per_clock; ++i) {
            if (has_come()) { return true; }
            spin_pause();
        }
    } while (os::operations.clock_fine() < end);
    return false;
}

// ---- sleeping ---------------------------------------------------------------------------------------------------------------------

// A word that the writer stores and a reader sleeps on, or a flag that a reader stores. In an untrusted area it is copied from and to
// the file; the mapping is for the kernel alone, which tells of an object that was cut short by an error.
struct BellWord {
    Shared<uint32_t> *word; // null: not mapped
    int fd;
    uint64_t offset;
};

uint32_t load(const Reader &reader, const BellWord &bell) {
    if (!reader.area.copier) { return load_bell_word(*bell.word); }
    uint32_t value = 0; // a hint, whatever it is
    os::operations.read_at(bell.fd, bell.offset, &value, sizeof value);
    return value;
}

// Sets a flag. A copy to the file tells everybody who watches it, so none is made in vain; who finds the flag set is heard as well as
// who set it, as the word was loaded before. False: it could not be set.
bool announce(const Reader &reader, const BellWord &flag) {
    if (!reader.area.copier) {
        announce_sleep(*flag.word);
        return true;
    }
    constexpr uint32_t set = 1;
    return load(reader, flag) != 0 || os::operations.write_at(flag.fd, flag.offset, &set, sizeof set) == 0;
}

// Opens the bell when it is needed first, and again if it was replaced.
void find_bell(Reader &reader) {
    Waiting &waiting = reader.waiting;
    if (!waiting.bell.page) { bell_open(reader.area, waiting.bell); } // without one there are still the slices
    if (!reader.area.copier || waiting.control) { return; }
    void *address = nullptr;
    if (os::operations.map(reader.area.control_fd.fd, page_size, os::Access::read, &address) == 0) {
        waiting.control = static_cast<ControlPage *>(address);
    }
}

// The reader's side of O12, behind the flag. False: the writer may not see the flag for a while.
bool pay_for_writer(const Reader &reader) {
    full_fence();
    bool writer_joined = control_marks(reader.area) & mark_barrier;
    if (reader.area.copier && reader.area.copier->error() < 0) { return false; }
    return !writer_joined || os::operations.barrier() == 0;
}

// Whoever was woken wakes some of the others.
int sleep_and_pass_on(const Reader &reader, const BellWord &bell, uint32_t seen, uint64_t ns) {
    bool is_there = bell.word && (os::sleeps_in_kernel || !reader.area.copier);
    int error = is_there ? os::operations.sleep_on(address_of(*bell.word), seen, ns) : -EFAULT;
    if (error == 0) { os::operations.wake(address_of(*bell.word), wake_at_once); }
    if (error != -EFAULT) { return error; }
    // There is no such word, or none any more, and nobody rings.
    return os::operations.sleep_on(&reader.waiting.nobodys, 0, ns < unheard_slice_ns ? ns : unheard_slice_ns);
}

// Whether a slice has passed without a ring. Right after one the writer may keep another to itself.
struct Silence {
    bool has_lasted = false;
    uint32_t word = 0; // the bell's during that slice
};

bool may_ask(const Reader &reader) { return reader.waiting.bell.page && reader.waiting.bell.is_writable; }

// The one that is rung for those who ask, or for strangers.
BellWord word_to_sleep_on(const Reader &reader) {
    const Bell &bell = reader.waiting.bell;
    if (may_ask(reader)) { return {&bell.page->word, bell.fd, offsetof(BellPage, word)}; }
    constexpr uint64_t offset = offsetof(ControlPage, bell);
    if (!reader.area.copier) { return {&reader.area.control->bell, reader.area.control_fd.fd, offset}; }
    ControlPage *control = reader.waiting.control;
    return {control ? &control->bell : nullptr, reader.area.control_fd.fd, offset};
}

// Sleeps once, for a slice at most. What it gives is that of a look, or -EINTR.
int sleep_once(Reader &reader, Silence &silence, const Deadline &deadline) {
    find_bell(reader);
    const Bell &bell = reader.waiting.bell;
    BellWord word = word_to_sleep_on(reader);
    uint32_t seen = load(reader, word);
    bool is_silent = silence.has_lasted && silence.word == seen;
    bool is_heard = false;
    if (may_ask(reader)) {
        is_heard = announce(reader, {&bell.page->sleepers, bell.fd, offsetof(BellPage, sleepers)}) && pay_for_writer(reader);
    }
    if (int found = look(reader); found != 0) { return found; }
    uint64_t ns = deadline.left(is_heard || is_silent ? slice_ns : unheard_slice_ns);
    int error = ns ? sleep_and_pass_on(reader, word, seen, ns) : -ETIMEDOUT;
    silence = {error == -ETIMEDOUT, seen};
    if (error == -ETIMEDOUT && bell.page && bell_is_stale(bell)) {
        bell_close(reader.waiting.bell);
        silence.has_lasted = false;
    }
    if (int found = look(reader); found != 0) { return found; }
    return error == -EINTR ? -EINTR : 0;
}

int sleep_until_news(Reader &reader, const Deadline &deadline) {
    uint64_t begin = os::operations.clock_fine();
    int found = 0;
    Silence silence;
    while (found == 0) {
        found = look_for_end(reader);
        if (found == 0 && deadline.left(slice_ns) == 0) { return 0; }
        if (found == 0) { found = sleep_once(reader, silence, deadline); }
    }
    reader.waiting.spin.slept(os::operations.clock_fine() - begin);
    return found;
}

// ---- descriptors ------------------------------------------------------------------------------------------------------------------

// Asks the writer to tell of its next commit. False: it may not hear of that for a while.
bool ask_to_be_told(Reader &reader) {
    const Bell &bell = reader.waiting.bell;
    if (!may_ask(reader)) { return false; }
    return announce(reader, {&bell.page->watchers, bell.fd, offsetof(BellPage, watchers)}) && pay_for_writer(reader);
}

// The asking may make the descriptor readable, so it comes first. But then a ring may be drained that cleared the flag, and was for
// a chunk that is read already: the flag has to be there still.
bool ask_and_drain(Reader &reader) {
    constexpr int tries = 4;
    const Bell &bell = reader.waiting.bell;
    for (int i = 0; i < tries; ++i) {
        bool is_heard = ask_to_be_told(reader);
        if (reader.waiting.has_watch) { os::operations.watch_drain(&reader.waiting.watch); }
        if (!is_heard || load(reader, {&bell.page->watchers, bell.fd, offsetof(BellPage, watchers)}) != 0) { return is_heard; }
    }
    return false; // rung at all the time: as if nobody had heard
}

// When the descriptor becomes readable by itself. `word`: the bell's, from before the look.
uint64_t next_alarm(Waiting &waiting, int found, bool is_heard, uint32_t word) {
    if (found == 1) { return 0; }
    if (is_heard) { return slice_ns; }
    uint64_t now = os::operations.clock_fine();
    if (waiting.silent_since == 0 || waiting.silent_word != word) {
        waiting.silent_word = word;
        waiting.silent_since = now;
    }
    return now - waiting.silent_since >= unheard_slice_ns ? slice_ns : unheard_slice_ns;
}

} // namespace

// ---- readers ----------------------------------------------------------------------------------------------------------------------

void waiting_begin(Waiting &waiting) {
    waiting = Waiting{};
    waiting.watch = {-1, -1, -1};
}

void waiting_end(Waiting &waiting, bool has_mappings) {
    if (!has_mappings && waiting.bell.is_writable) { waiting.bell.page = nullptr; }
    bell_close(waiting.bell);
    if (auto *control = std::exchange(waiting.control, nullptr)) { os::operations.unmap(control, page_size); }
    if (std::exchange(waiting.has_watch, false)) { os::operations.watch_close(&waiting.watch); }
}

int wait_note_newest(Reader &reader) {
    return in_form(reader.area.copier, [&](auto) { return note_newest(reader); });
}

int reader_wait(Reader &reader, int64_t timeout_ns) {
    if (int found = look(reader); found != 0) { return found; }
    Deadline deadline(timeout_ns);
    bool is_cheap_to_look = !reader.area.copier; // else it is a system call, as a sleep is
    uint64_t spin_ns = timeout_ns != 0 && is_cheap_to_look ? deadline.left(reader.waiting.spin.ns()) : 0;
    if (spin(spin_ns, [&] { return has_news(reader); })) {
        if (int found = look(reader); found != 0) {
            reader.waiting.spin.paid();
            return found;
        }
    }
    return sleep_until_news(reader, deadline);
}

int reader_get_fd(Reader &reader) {
    Waiting &waiting = reader.waiting;
    if (waiting.has_watch) { return waiting.watch.fd; }
    find_bell(reader);
    os::Watch watch;
    int error = os::operations.watch_open(waiting.bell.fd, &watch);
    if (error < 0) { return error; }
    error = os::operations.watch_alarm(&watch, 0); // the first dispatch finds out what there is
    if (error < 0) {
        os::operations.watch_close(&watch);
        return error;
    }
    waiting.watch = watch;
    waiting.has_watch = true;
    return watch.fd;
}

int reader_dispatch(Reader &reader) {
    Waiting &waiting = reader.waiting;
    uint32_t word = load(reader, word_to_sleep_on(reader));
    int found = look(reader);
    bool is_heard = false;
    if (found == 0) {
        is_heard = ask_and_drain(reader);
        found = look(reader);
    } else if (found < 0 && waiting.has_watch) { // with something to read it had better stay readable
        os::operations.watch_drain(&waiting.watch);
    }
    if (found == 0) { found = look_for_end(reader); }
    if (!waiting.has_watch) { return found; }
    int error = os::operations.watch_alarm(&waiting.watch, next_alarm(waiting, found, is_heard, word));
    return error < 0 && found == 0 ? error : found;
}

int writer_alive(const speculo_area &area) {
    int alive = liveness_query(area.area);
    return alive >= 0 && area.role == Role::writer ? 1 : alive; // one's own lock is no other's
}

// ---- lossless areas -----------------------------------------------------------------------------------------------------------------

static void tell_by_copies(const Reader &reader) {
    const Bell &bell = reader.waiting.bell;
    if (load(reader, {nullptr, bell.fd, offsetof(BellPage, writer_waits)}) == 0) { return; }
    uint32_t bumped = load(reader, {nullptr, bell.fd, offsetof(BellPage, room)}) + 1;
    if (bell.is_writable) { os::operations.write_at(bell.fd, offsetof(BellPage, room), &bumped, sizeof bumped); }
    os::operations.wake(address_of(bell.page->room), 1);
}

void tell_writer_of_room(Reader &reader) {
    if (!reader.is_own()) { return; } // a forked child leaves nothing, and has no bell
    if (!is_lossless(reader.area)) { return; }
    find_bell(reader);
    const Bell &bell = reader.waiting.bell;
    full_fence();
    if (!bell.page) { return; }
    if (reader.area.copier) { return tell_by_copies(reader); }
    if (!is_flag_set(bell.page->writer_waits)) { return; }
    if (bell.is_writable) { bump_word(bell.page->room); }
    os::operations.wake(address_of(bell.page->room), 1);
}

int writer_wait(Writer &writer, int64_t timeout_ns) {
    BellPage &page = *writer.ringer.bell.page;
    Deadline deadline(timeout_ns);
    if (compact_has_room(writer) || spin(deadline.left(Spin::usual_ns), [&] { return compact_has_room(writer); })) { return 1; }
    for (;;) {
        if (control_is_stale(writer.area)) { return -ESTALE; }
        uint32_t seen = load_bell_word(page.room);
        announce_sleep(page.writer_waits);
        full_fence();
        bool has_room = compact_has_room(writer);
        uint64_t ns = deadline.left(writer.ringer.duties & duty_public ? unheard_slice_ns : slice_ns);
        int error = has_room || ns == 0 ? 0 : os::operations.sleep_on(address_of(page.room), seen, ns);
        clear_flag(page.writer_waits);
        if (has_room || compact_has_room(writer)) { return 1; }
        if (ns == 0) { return 0; }
        if (error == -EINTR) { return -EINTR; }
        // The file system was full, and nobody says when it no longer is: the next alloc has to try.
        if (error == -ETIMEDOUT && compact_may_make_another(writer)) { return 1; }
    }
}

} // namespace speculo::core
