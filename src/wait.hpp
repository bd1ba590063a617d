// SPDX-License-Identifier: LGPL-2.1-or-later
// Sleeping until there is something to read, or room to write; descriptors for event loops; whether a writer lives.
#pragma once

#include "bell.hpp"
#include "handle.hpp"
#include "spin.hpp"

namespace speculo::core {

struct Reader;
struct Writer;

// What a reader's handle remembers for waiting.
struct Waiting {
    Bell bell;
    ControlPage *control; // of an untrusted area, mapped for the kernel to sleep there; null: not yet
    uint32_t nobodys;     // a word to sleep on where there is no other
    bool has_watch;
    os::Watch watch;
    uint32_t silent_word;  // the descriptor's: what the bell's word has been
    uint64_t silent_since; // from then on
    Spin spin;
    uint32_t told_writers; // -EPIPE comes once for each writer
    uint64_t seen_current; // without a cursor: what the last call saw
    uint32_t seen_hint;
};

void waiting_begin(Waiting &waiting);
// `has_mappings`: not those that a forked child does not have.
void waiting_end(Waiting &waiting, bool has_mappings);

// 1 something to read, 0 timeout, -EPIPE, -EINTR, -ESTALE, -EBADMSG. `timeout_ns` < 0: for ever.
int reader_wait(Reader &reader, int64_t timeout_ns);
// 1 there is room again, 0 timeout, -EINTR, -ESTALE.
int writer_wait(Writer &writer, int64_t timeout_ns);

// 1 a writer lives, 0 none, or an error.
int writer_alive(const speculo_area &area);

int reader_get_fd(Reader &reader);
int reader_dispatch(Reader &reader);

// Without a cursor: from here on commits count as news.
int wait_note_newest(Reader &reader);

// The cursor has left a segment: a lossless area's writer may wait for that.
void tell_writer_of_room(Reader &reader);

} // namespace speculo::core
