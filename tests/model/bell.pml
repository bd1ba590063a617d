/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bell of readers: flag, look again, sleep / publish, test the flag, wake. Nobody may sleep on something to read, and there are no
 * slices here to help. One writer that publishes, moves on to another segment (END) and may die between any two steps, one takeover,
 * READERS readers. The writer has a store buffer: what it publishes may arrive after it has loaded the flag, unless a sleeper's
 * barrier, or its own fence (WRITER_FENCES), comes in between. A wake-up wakes one sleeper, who wakes the next.
 *
 * Each of these macros breaks a rule of src/wait.cpp or src/bell.cpp; check.py sees to it that each is found. */

#ifndef READERS
#define READERS 2
#endif
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
        :: READERS > 1 && asleep[1] -> asleep[1] = false
        :: !asleep[0] && (READERS == 1 || !asleep[1]) -> skip
        fi
    }
}

inline ring() {
#ifdef CLEAR_BETWEEN
    word = word + 1; sleepers = false; wake_one()
#else
#ifdef CLEAR_AFTER_WAKE
    word = word + 1; wake_one(); sleepers = false
#else
    sleepers = false; word = word + 1; wake_one()
#endif
#endif
}

/* Stores reach memory in order: before another one is made, the one in the buffer is there. */
inline ring_if_asked() {
#ifdef WRITER_FENCES
    atomic { drain() };
#endif
    if
    :: sleepers ->
        if
        :: atomic { drain() }; ring()
        :: died = true /* between the publication and the ring */
        fi
    :: else -> skip
    fi
}

active proctype writer() {
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

active proctype takeover() {
end:
    over && died;
#ifndef NO_TAKEOVER_RING
    ring()
#endif
}

active proctype store_buffer() {
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
#ifndef SHALLOW_LOOK
            if
            :: data[1] > 0 -> found = true; seen = seen + data[1]
            :: else -> skip
            fi
#endif
        :: segment == 1 && seen < data[0] + data[1] -> found = true; seen = data[0] + data[1]
        :: else -> skip
        fi
    }
}

active [READERS] proctype reader() {
    byte me = _pid - 3; /* the first of them is process 3 */
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
#ifndef WORD_LATE
        mine = word;
#endif
        sleepers = true;
#if !defined(NO_BARRIER) && !defined(WRITER_FENCES)
        atomic { drain() };
#endif
        look(found);
        if
        :: found -> goto next
        :: else -> skip
        fi;
#ifdef WORD_LATE
        mine = word;
#endif
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
#ifndef NOT_PASSED_ON
        wake_one();
#endif
next:
        skip
    od;
gone:
    skip
}
