/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bell of readers: flag, look again, sleep / publish, test the flag, wake. Nobody may sleep on something to read, and there are no
 * slices here to help. One writer that publishes, moves on to another segment (END) and may die between any two steps, one takeover,
 * two readers. The writer has a store buffer: what it publishes may arrive after it has loaded the flag, unless a sleeper's barrier, or
 * its own fence (`fences`), comes in between. A wake-up wakes one sleeper, who wakes the next. */

/* What is tried; from the environment, so that one checker serves all. `broken`: one of the rules below is not kept. */
hidden byte broken, readers, fences;

#define NO_BARRIER 1       /* break: nobody fences */
#define WORD_LATE 2        /* break: the word is loaded after the look */
#define CLEAR_AFTER_WAKE 3 /* break: the flag is cleared after the wake */
#define CLEAR_BETWEEN 4    /* break: the flag is cleared between word and wake */
#define SHALLOW_LOOK 5     /* break: a look ends at END */
#define NO_TAKEOVER_RING 6 /* break: a takeover does not ring */
#define NOT_PASSED_ON 7    /* break: who is woken wakes nobody */

c_decl {
\#include <stdlib.h>
static int choice(const char *name, int usual) { const char *text = getenv(name); return text ? atoi(text) : usual; }
}

#define READERS 2
#define PUBLICATIONS 3
#define BEFORE_END 1 /* so many of them are in the first segment */

byte data[2];    /* publications that are visible, by segment */
bool ended;      /* END is visible in the first segment */
byte issued;     /* publications that the writer has stored, visible or not */
bool end_issued;
bool buffered;   /* the last store of these is in the writer's store buffer */
bool sleepers;
byte word;
bool asleep[READERS];
bool over, died; /* the writer rests; before its time */

#define SEGMENT_OF(number) ((number) <= BEFORE_END -> 0 : 1)

inline drain() {
    if
    :: buffered && end_issued && !ended && issued == BEFORE_END -> ended = true
    :: buffered && !(end_issued && !ended && issued == BEFORE_END) -> data[SEGMENT_OF(issued)] = data[SEGMENT_OF(issued)] + 1
    :: else -> skip
    fi;
    buffered = false
}

inline wake_one() {
    atomic {
        if
        :: asleep[0] -> asleep[0] = false
        :: asleep[1] -> asleep[1] = false
        :: !asleep[0] && !asleep[1]
        fi
    }
}

inline ring() {
    if
    :: broken == CLEAR_BETWEEN -> word = word + 1; sleepers = false; wake_one()
    :: broken == CLEAR_AFTER_WAKE -> word = word + 1; wake_one(); sleepers = false
    :: else -> sleepers = false; word = word + 1; wake_one()
    fi
}

/* Stores reach memory in order: before another one is made, the one in the buffer is there. */
inline ring_if_asked() {
    if
    :: atomic { fences == 1 -> drain() }
    :: else
    fi;
    if
    :: sleepers ->
        if
        :: atomic { drain() }; ring()
        :: died = true /* between the publication and the ring */
        fi
    :: else -> skip
    fi
}

proctype writer() {
    do
    :: died -> break
    :: !died && issued < PUBLICATIONS && (issued != BEFORE_END || end_issued) ->
        atomic { drain(); issued = issued + 1; buffered = true };
        ring_if_asked()
    :: !died && issued == BEFORE_END && !end_issued ->
        atomic { drain(); end_issued = true; buffered = true }
    :: issued == PUBLICATIONS -> break
    :: issued > 0 -> died = true; break /* what it has stored arrives all the same */
    od;
    atomic { drain() };
    over = true
}

proctype takeover() {
end:
    over && died;
    if
    :: broken != NO_TAKEOVER_RING -> ring()
    :: else
    fi
}

proctype store_buffer() {
end:
    do
    :: atomic { buffered -> drain() }
    od
}

/* What there is to read: through END into the next segment. */
inline look(found) {
    atomic {
        found = false;
        if
        :: segment == 0 && seen < data[0] -> found = true; seen = data[0]
        :: segment == 0 && seen >= data[0] && ended ->
            segment = 1;
            if
            :: data[1] > 0 && broken != SHALLOW_LOOK -> found = true; seen = seen + data[1]
            :: else -> skip
            fi
        :: segment == 1 && seen < data[0] + data[1] -> found = true; seen = data[0] + data[1]
        :: else -> skip
        fi
    }
}

proctype reader(byte me) {
    byte seen, segment, mine;
    bool found;
    do
    :: true ->
end_idle:
        look(found);
        if
        :: found -> goto next
        :: else -> skip
        fi;
        if :: broken != WORD_LATE -> mine = word :: else fi;
        sleepers = true;
        if
        :: atomic { broken != NO_BARRIER && fences == 0 -> drain() }
        :: else
        fi;
        look(found);
        if
        :: found -> goto next
        :: else -> skip
        fi;
        if :: broken == WORD_LATE -> mine = word :: else fi;
        atomic {
            if
            :: word == mine -> asleep[me] = true
            :: else -> goto next
            fi
        };
        /* Asleep: fine for ever only if there is nothing to read. */
        if
        :: !asleep[me] -> skip
        :: asleep[me] && over && timeout ->
            assert(seen == data[0] + data[1]);
            goto gone
        fi;
        if :: broken != NOT_PASSED_ON -> wake_one() :: else fi;
next:
        skip
    od;
gone:
    skip
}

init {
    atomic {
        c_code { broken = choice("broken", 0); readers = choice("readers", 2); fences = choice("fences", 0); };
        run writer(); run takeover(); run store_buffer(); run reader(0);
        if :: readers == 2 -> run reader(1) :: else fi
    }
}
