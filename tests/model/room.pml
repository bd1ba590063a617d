/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bell of a lossless area's writer: word, flag, fence, try the lock, sleep / unlock, fence, test the flag, wake. Both have a store
 * buffer of one place for their flag or lock; a fence drains it. The writer may not sleep while everybody has left. */

/* What is tried; from the environment, so that one checker serves all. `broken`: one of the rules below is not kept. */
hidden byte broken, readers;

#define FLAG_BEFORE_UNLOCK 1 /* break: a reader tests the flag before it unlocks */
#define NO_BUMP 2            /* break: it wakes, but leaves the word */
#define NO_WRITER_FENCE 3    /* break: the writer does not fence */

c_decl {
\#include <stdlib.h>
static int choice(const char *name, int usual) { const char *text = getenv(name); return text ? atoi(text) : usual; }
}

byte locked; /* readers that have yet to leave */
bool waits;            /* the writer's flag, as others see it */
bool flag_stored;      /* it is in the writer's store buffer */
byte word;
bool asleep;

inline drain_flag() { if :: flag_stored -> waits = true; flag_stored = false :: else -> skip fi }

proctype writer() {
    byte mine;
    do
    :: true ->
        mine = word;
        flag_stored = true;
        if
        :: atomic { broken != NO_WRITER_FENCE -> drain_flag() }
        :: else
        fi;
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

proctype reader() {
    bool is_asked;
    if
    :: broken == FLAG_BEFORE_UNLOCK -> is_asked = waits; locked = locked - 1
    :: else -> locked = locked - 1; is_asked = waits
    fi;
    if
    :: is_asked ->
        if :: broken != NO_BUMP -> word = word + 1 :: else fi;
        asleep = false
    :: else -> skip
    fi
}

init {
    byte i;
    atomic {
        c_code { broken = choice("broken", 0); readers = choice("readers", 2); };
        locked = readers;
        run writer();
        do
        :: i < readers -> run reader(); i = i + 1
        :: else -> break
        od
    }
}
