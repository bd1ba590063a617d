/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bell of a lossless area's writer: word, flag, fence, try the lock, sleep / unlock, fence, test the flag, wake. Both have a store
 * buffer of one place for their flag or lock; a fence drains it. The writer may not sleep while everybody has left. */

#ifndef READERS
#define READERS 2
#endif

byte locked = READERS; /* readers that have yet to leave */
bool waits;            /* the writer's flag, as others see it */
bool flag_stored;      /* it is in the writer's store buffer */
byte word;
bool asleep;

inline drain_flag() { if :: flag_stored -> waits = true; flag_stored = false :: else -> skip fi }

active proctype writer() {
    byte mine;
    do
    :: true ->
        mine = word;
        flag_stored = true;
#ifndef NO_WRITER_FENCE
        atomic { drain_flag() };
#endif
        if
        :: locked == 0 -> break
        :: else -> skip
        fi;
        atomic {
            drain_flag(); /* at the latest by the system call */
            if
            :: word == mine -> asleep = true
            :: else -> skip
            fi
        };
        !asleep
    od
}

active [READERS] proctype reader() {
    bool is_asked;
#ifdef FLAG_BEFORE_UNLOCK
    is_asked = waits;
    locked = locked - 1;
#else
    locked = locked - 1;
    is_asked = waits;
#endif
    if
    :: is_asked ->
#ifndef NO_BUMP
        word = word + 1;
#endif
        asleep = false
    :: else -> skip
    fi
}
