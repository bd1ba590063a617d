/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commits, superseding, compaction, segments used in turn, deaths and takeovers, and cursors that read on meanwhile. Each store to a
 * word that a reader may look at is a step of its own, and the writer may die before any of them, also in a takeover. What nobody can
 * see (loads of the only writer, bytes of a segment under construction) is one step.
 *
 * Chunks are transient, or live: each live one supersedes the one before, so at most one is live. A segment is found by its number,
 * which stands for slot and incarnation, if it is `named`; an object without a name and a reader stands for a fresh one. */

/* What is tried; from the environment, so that one checker serves all. `broken`: one of the rules below is not kept. */
hidden byte broken, ids, deaths, extra, segments;
hidden byte lossless, ahead; /* yes or no */

#define NO_ZERO_BEHIND 1      /* break: a commit leaves old bytes behind it */
#define FIRST_WORD_FIRST 2    /* break: a commit's first word is stored before the others */
#define SUCCESSOR_LATE 3      /* break: successor words after the commit */
#define HINT_EARLY 4          /* break: the hint before the commit */
#define OVERWRITE_FIRST 5     /* break: overwritten before the generation is 0 */
#define LOCK_KEPT 6           /* break: the lock kept until `current` has moved */
#define PINS_IGNORED 7        /* break: used again without asking for the lock */
#define GENERATION_LATE 8     /* break: `current` before the generation */
#define COPIES_LATE 9         /* break: generation and `current` before the copies */
#define END_EARLY 10          /* break: END before `current` */
#define COPY_LEFT_LIVE 11     /* break: copied ahead: a copy whose original was superseded is left live */
#define REST_FORGOTTEN 12     /* break: copied ahead: what was committed since is not copied */
#define ANY_SEGMENT 13        /* break: lossless: not the oldest segment is taken */
#define CURSORS_IGNORED 14    /* break: lossless: replaced under a cursor */
#define IDS_BY_WALK 15        /* break: takeover: the next id by the last frame alone */
#define NO_END_AT_TAKEOVER 16 /* break: takeover: a switch is left half done */
#define SUCCESSORS_LEFT 17    /* break: takeover: successor words are not undone */
#define GENERATION_LEFT 18    /* break: takeover: a generation above `current` is left */
#define OLD_LOCK_FIRST 19     /* break: reader: unlocks the old segment before it has the new one */
#define NO_CHECK 20           /* break: reader: enters without a look at the generation */
#define CHECK_FIRST 21        /* break: reader: looks at the generation before it has the lock */
#define WORD_BELIEVED 22      /* break: reader: a successor word counts, whatever the end */
#define PARKED_IS_FREE 24     /* break: a parked segment is used again without asking for the lock */
#define NO_LAST_LOOK 23       /* break: reader: goes to the next segment at a zero word when `current` has moved */

c_decl {
\#include <stdlib.h>
static int choice(const char *name, int usual) { const char *text = getenv(name); return text ? atoi(text) : usual; }
}

#ifndef READERS
#define READERS 1
#endif
#define OBJECTS (3 + 2 * READERS) /* in turn, and what readers hold of others */
#define PLACES 4 /* the last one is kept for END */
#define NONE 255

#define ZERO 0 /* commit words */
#define CHUNK 1
#define END 2

typedef Object {
    byte generation;
    byte holds; /* for the assertions: the generation whose bytes these are, 0: they are being overwritten */
    byte hint, prefix, next_id;
    byte commit[PLACES], successor[PLACES];
    byte id[PLACES];   /* END: the next generation; its successor: the next segment */
    byte kind[PLACES]; /* 0 transient, 1 live; + 2 for each death before */
}
Object object[OBJECTS];
bool named[OBJECTS];
bool parked[OBJECTS]; /* somebody was inside when its turn came; of the writer's memory */
byte current_generation, current; /* one word */
byte write_lock = NONE;           /* the segment that the writer has locked, for a moment */

/* Readers' locks on byte 0 and 1 of each segment. */
typedef Locks { bool view[OBJECTS]; bool cursor[OBJECTS] }
Locks locks[READERS];

/* For the assertions: what was committed. */
byte newest, live;
byte kinds[9];
bool rests;
byte died;

inline is_viewed(o, yes) {
    yes = locks[0].view[o];
#if READERS > 1
    yes = yes || locks[1].view[o];
#endif
}
inline has_cursor(o, yes) {
    yes = locks[0].cursor[o];
#if READERS > 1
    yes = yes || locks[1].cursor[o];
#endif
}

/* ---- writer ---- */

/* Before a step: dies, and the next writer comes, when the kernel has freed the lock. */
inline may_die() {
    if
    :: died < deaths ->
        died = died + 1;
        write_lock = NONE;
        goto takeover
    :: true
    fi
}

/* The oldest segment but the current one, the lowest generation first. */
inline find_oldest() {
    d_step {
        o = NONE; count = 0;
        for (i : 0 .. OBJECTS - 1) {
            if
            :: named[i] && !parked[i] ->
                count = count + 1;
                if
                :: i != here && (o == NONE || object[i].generation < object[o].generation) -> o = i
                :: else
                fi
            :: else
            fi
        }
        if
        :: broken == ANY_SEGMENT -> /* the youngest */
            for (i : 0 .. OBJECTS - 1) {
                if
                :: named[i] && i != here && object[i].generation > object[o].generation -> o = i
                :: else
                fi
            }
        :: else
        fi
    }
}

/* A fresh object: all zero. */
inline find_fresh() {
    d_step {
        fresh = NONE;
        for (i : 0 .. OBJECTS - 1) {
            is_viewed(i, yes);
            if
            :: !named[i] && !yes && fresh == NONE -> fresh = i
            :: else
            fi
        }
        assert(fresh != NONE);
        object[fresh].generation = 0; object[fresh].holds = 0; object[fresh].hint = 0; object[fresh].prefix = 0;
        object[fresh].next_id = 0;
        for (i : 0 .. PLACES - 1) {
            object[fresh].commit[i] = ZERO; object[fresh].successor[i] = 0; object[fresh].id[i] = 0; object[fresh].kind[i] = 0
        }
    }
}

/* A parked segment that nobody is inside. */
inline find_parked() {
    d_step {
        fresh = NONE;
        for (i : 0 .. OBJECTS - 1) {
            is_viewed(i, yes);
            if
            :: parked[i] && (!yes || broken == PARKED_IS_FREE) && fresh == NONE -> fresh = i
            :: else
            fi
        }
        yes = false
    }
}

inline clear() { object[next].holds = 0; object[next].commit[0] = ZERO; object[next].hint = 0; object[next].prefix = 0 }

/* Copies the frame at `from`, if it is live. */
inline copy_one() {
    d_step {
        if
        :: object[here].kind[from] % 2 == 1 && object[here].successor[from] == 0 ->
            object[next].id[to] = object[here].id[from];
            object[next].kind[to] = object[here].kind[from];
            object[next].successor[to] = 0;
            object[next].commit[to] = CHUNK;
            to = to + 1
        :: else
        fi;
        from = from + 1
    }
}

/* A copy whose original is superseded is dead from the start. */
inline supersede(place) {
    if
    :: last != NONE ->
        object[here].successor[last] = place + 1;
        i = 0;
        do
        :: i < to && object[next].id[i] != object[here].id[last] -> i = i + 1
        :: else -> break
        od;
        if
        :: i < to && broken != COPY_LEFT_LIVE -> object[next].successor[i] = i + 1
        :: else
        fi;
        i = 0
    :: else
    fi;
    last = place
}

/* What a commit makes visible. */
inline note_commit() {
    newest = newest + 1; kinds[newest] = first_kind;
    if :: first_kind % 2 == 1 -> live = newest :: else fi;
    if
    :: size == 2 ->
        newest = newest + 1; kinds[newest] = second_kind;
        if :: second_kind % 2 == 1 -> live = newest :: else fi
    :: else
    fi
}

proctype writer() {
    byte here, tail, last; /* the current segment, its end, and the place of the live chunk */
    byte i, o, count, fresh;
    byte next = NONE, from, to; /* a segment under construction */
    byte size, first_kind, second_kind, did;
    bool yes;
    byte end;

    goto takeover;

work:
    do
    :: atomic { newest < ids && tail + 1 < PLACES -> size = 1; may_die(); goto commit }
    :: atomic { newest + 1 < ids && tail + 2 < PLACES -> size = 2; may_die(); goto commit }
    :: atomic { newest < ids && tail + 1 == PLACES -> goto compact }
    :: atomic { did < extra && tail > 0 -> did = did + 1; goto compact }
    :: atomic { ahead && next == NONE && newest < ids && tail > 0 -> yes = false; goto begin_ahead }
    :: atomic { next != NONE && from < tail && newest < ids -> may_die(); copy_one() }
    :: atomic { ahead && next != NONE && newest < ids -> next = NONE; from = 0; to = 0 } /* given up */
    :: atomic { newest == ids && died == deaths -> rests = true; goto over }
    :: atomic { newest == ids && died < deaths -> /* the last death may come when all is done, or not at all */
        if :: rests = true; goto over :: may_die(); skip fi }
    od;

commit:
    atomic {
        may_die();
        if :: first_kind = 2 * died :: first_kind = 2 * died + 1 fi;
        object[here].id[tail] = newest + 1; object[here].kind[tail] = first_kind; object[here].successor[tail] = 0;
        if
        :: size == 2 ->
            if :: second_kind = 2 * died :: second_kind = 2 * died + 1 fi;
            object[here].id[tail + 1] = newest + 2; object[here].kind[tail + 1] = second_kind; object[here].successor[tail + 1] = 0
        :: else
        fi
    };
    atomic { may_die(); if :: broken != NO_ZERO_BEHIND -> object[here].commit[tail + size] = ZERO :: else fi };
    atomic { may_die(); if :: broken == HINT_EARLY -> object[here].hint = tail + size :: else fi };
    atomic { may_die(); if :: broken == FIRST_WORD_FIRST -> object[here].commit[tail] = CHUNK; note_commit() :: else fi };
    if
    :: atomic { broken != SUCCESSOR_LATE && first_kind % 2 == 1 -> may_die(); supersede(tail) }
    :: else
    fi;
    if
    :: atomic { broken != SUCCESSOR_LATE && size == 2 && second_kind % 2 == 1 -> may_die(); supersede(tail + 1) }
    :: else
    fi;
    if
    :: atomic { size == 2 -> may_die(); object[here].commit[tail + 1] = CHUNK }
    :: else
    fi;
    atomic { may_die(); if :: broken != FIRST_WORD_FIRST -> object[here].commit[tail] = CHUNK; note_commit() :: else fi };
    if
    :: atomic { broken == SUCCESSOR_LATE && first_kind % 2 == 1 -> may_die(); supersede(tail) }
    :: else
    fi;
    if
    :: atomic { broken == SUCCESSOR_LATE && size == 2 && second_kind % 2 == 1 -> may_die(); supersede(tail + 1) }
    :: else
    fi;
    atomic {
        may_die(); tail = tail + size; object[here].hint = tail;
        first_kind = 0; second_kind = 0; size = 0;
        goto work
    };

    /* Takes a segment: a new one, the oldest if nobody is inside, or else a parked or a fresh one, while that one is parked or loses its name. */
begin_ahead:
compact:
    atomic {
        if
        :: next != NONE -> goto finish_copies /* begun before */
        :: else
        fi;
        may_die();
        find_oldest();
        if
        :: count < segments -> find_fresh(); next = fresh; named[next] = true; clear(); from = 0; to = 0; goto taken
        :: else
        fi
    };
    atomic {
        has_cursor(o, yes);
        if
        :: lossless && yes && broken != CURSORS_IGNORED -> yes = false; goto work /* -EAGAIN */
        :: else
        fi;
        is_viewed(o, yes);
        if
        :: yes && broken != PINS_IGNORED -> goto replace
        :: else
        fi;
        may_die();
        yes = false;
        write_lock = o
    };
    if
    :: atomic { broken == OVERWRITE_FIRST -> may_die(); next = o; clear() }
    :: else
    fi;
    atomic { may_die(); object[o].generation = 0 };
    atomic { may_die(); if :: broken != LOCK_KEPT -> write_lock = NONE :: else fi };
    atomic { may_die(); next = o; clear(); from = 0; to = 0; goto taken };

replace:
    if
    :: atomic { lossless -> may_die(); yes = false; find_fresh(); named[fresh] = true; named[o] = false }
    :: atomic { !lossless -> find_parked(); if :: fresh != NONE -> may_die(); write_lock = fresh; goto unpark :: else -> may_die(); find_fresh(); named[fresh] = true; parked[o] = true fi }
    fi;
replaced:
    atomic {
        may_die(); object[o].generation = 0;
        next = fresh; clear(); from = 0; to = 0; goto taken
    };
unpark:
    atomic { may_die(); object[fresh].generation = 0 };
    atomic { may_die(); write_lock = NONE; parked[fresh] = false; parked[o] = true; goto replaced };
taken:
    atomic {
        if
        :: ahead -> goto work
        :: else
        fi
    };

finish_copies:
    atomic {
        may_die();
        if
        :: broken == COPIES_LATE || broken == REST_FORGOTTEN
        :: else -> do :: from < tail -> copy_one() :: else -> break od
        fi;
        object[next].commit[to] = ZERO;
        object[next].next_id = newest + 1; object[next].prefix = to; object[next].hint = to;
        object[next].holds = current_generation + 1
    };
    atomic { may_die(); if :: broken == END_EARLY -> goto end_first :: else fi };
    atomic { may_die(); if :: broken != GENERATION_LATE -> object[next].generation = current_generation + 1 :: else fi };
    atomic { may_die(); current_generation = current_generation + 1; current = next };
    atomic { may_die(); if :: broken == LOCK_KEPT -> write_lock = NONE :: else fi };
    atomic { may_die(); if :: broken == GENERATION_LATE -> object[next].generation = current_generation :: else fi };
    if
    :: atomic { broken == COPIES_LATE -> may_die(); do :: from < tail -> copy_one() :: else -> break od; object[next].commit[to] = ZERO; object[next].prefix = to; object[next].hint = to }
    :: else
    fi;
    atomic { may_die(); object[here].id[tail] = current_generation; object[here].successor[tail] = next };
    atomic { may_die(); object[here].commit[tail] = END };
switched:
    atomic {
        here = next; tail = to; next = NONE; from = 0; to = 0;
        last = NONE;
        for (i : 0 .. PLACES - 1) {
            if
            :: i < tail && object[here].kind[i] % 2 == 1 && object[here].successor[i] == 0 -> last = i
            :: else
            fi
        };
        i = 0; o = 0; fresh = 0; count = 0;
        goto work
    };

end_first:
    atomic { may_die(); object[here].id[tail] = current_generation + 1; object[here].successor[tail] = next };
    atomic { may_die(); object[here].commit[tail] = END };
    atomic { may_die(); object[next].generation = current_generation + 1 };
    atomic { may_die(); current_generation = current_generation + 1; current = next; goto switched };

    /* The next writer. It knows what it finds in memory. */
takeover:
    atomic {
        d_step {
            next = NONE; from = 0; to = 0; size = 0; first_kind = 0; second_kind = 0; did = 0; yes = false;
            last = NONE; fresh = 0; count = 0; tail = 0;
            for (i : 0 .. OBJECTS - 1) { parked[i] = false }
            here = current;
            o = NONE;
            for (i : 0 .. OBJECTS - 1) {
                if
                :: named[i] && object[i].generation > current_generation -> o = i
                :: else
                fi
            }
        }
        if
        :: o != NONE && broken != GENERATION_LEFT -> may_die(); object[o].generation = 0
        :: else
        fi
    };
    atomic {
        d_step {
            o = NONE;
            for (i : 0 .. OBJECTS - 1) {
                if
                :: named[i] && object[i].generation + 1 == current_generation && object[i].generation != 0 -> o = i
                :: else
                fi
            }
            end = 0;
            do
            :: o != NONE && end < PLACES && object[o].commit[end] == CHUNK -> end = end + 1
            :: else -> break
            od
        }
        if
        :: o != NONE && object[o].commit[end] == ZERO && broken != NO_END_AT_TAKEOVER ->
            may_die(); object[o].id[end] = current_generation; object[o].successor[end] = here
        :: else -> o = NONE
        fi
    };
    atomic {
        if
        :: o != NONE -> may_die(); object[o].commit[end] = END
        :: else
        fi
    };
    atomic {
        d_step {
            o = NONE;
            tail = object[here].hint;
            do
            :: object[here].commit[tail] == CHUNK -> tail = tail + 1
            :: else -> break
            od;
            assert(object[here].commit[tail] == ZERO);
            for (i : 0 .. PLACES - 1) {
                if
                :: i < tail && object[here].successor[i] > tail -> assert(o == NONE); o = i
                :: else
                fi
            }
        }
        if
        :: o != NONE && broken != SUCCESSORS_LEFT -> may_die(); object[here].successor[o] = 0
        :: else
        fi
    };
    atomic {
        may_die();
        object[here].hint = tail;
        d_step {
            end = (broken == IDS_BY_WALK -> 0 : object[here].next_id - 1);
            for (i : 0 .. PLACES - 1) {
                if
                :: i < tail ->
                    end = (object[here].id[i] > end -> object[here].id[i] : end);
                    if
                    :: object[here].kind[i] % 2 == 1 && object[here].successor[i] == 0 -> assert(last == NONE); last = i
                    :: else
                    fi
                :: else
                fi
            }
            assert(end == newest); /* the next id is the one behind it */
            assert(live == 0 || (last != NONE && object[here].id[last] == live));
            i = 0; o = 0; end = 0
        }
    };
    do /* what was parked is one too many */
    :: atomic {
        find_oldest();
        if
        :: count > segments -> may_die(); object[o].generation = 0; named[o] = false
        :: else -> i = 0; o = 0; count = 0; goto work
        fi }
    od;
over:
    skip
}

/* ---- readers ---- */

/* A load of a frame's word: the bytes must be those that the reader believes to read. */
#define look_at(place) assert(object[here].holds == generation)

inline lock_new(o) { locks[me].view[o] = true; locks[me].cursor[o] = true }
inline unlock_old(o) { locks[me].view[o] = false; locks[me].cursor[o] = false }

/* The chunk at `place` is passed, because of `why`: 0 delivered, 1 superseded. */
inline pass(why) {
    assert(id <= newest && object[here].kind[place] == kinds[id]); /* it is committed, and no other of that id */
    assert(id > passed);
    if
    :: why == 1 -> assert(id != live) /* nothing live is hidden */
    :: else
    fi;
    assert(!(passed < live && live < id)); /* nothing live is passed over */
    if
    :: lossless && id > since -> assert(id == passed + 1) /* nothing at all */
    :: else
    fi;
    passed = id
}

proctype reader(byte me) {
    byte here = NONE, generation, place, passed; /* passed: the last id */
    byte there, wanted;                          /* the segment to enter */
    byte end, seen, id, word;
    byte since; /* the first id that came after the cursor */

    /* Enters the current segment, from its beginning. */
enter:
    atomic { wanted = current_generation; there = current };
    if
    :: atomic { broken == CHECK_FIRST -> if :: object[there].generation != wanted -> goto refused :: else fi }
    :: else
    fi;
    if
    :: atomic { broken == OLD_LOCK_FIRST && here != NONE -> unlock_old(here); here = NONE }
    :: else
    fi;
    atomic {
        if
        :: !named[there] || write_lock == there -> goto refused
        :: else -> lock_new(there)
        fi
    };
    atomic {
        if
        :: object[there].generation != wanted && broken != NO_CHECK && broken != CHECK_FIRST ->
            if :: there != here -> unlock_old(there) :: else fi;
            goto refused
        :: else
        fi;
        if
        :: here != NONE -> assert(wanted > generation) /* a jump never leads back */
        :: else
        fi
    };
    atomic {
        if :: here != NONE && here != there -> unlock_old(here) :: else fi;
        if
        :: lossless && generation != 0 -> assert(false) /* a jump */
        :: else
        fi;
        here = there; generation = wanted; place = 0; there = 0; wanted = 0;
        since = (since -> since : object[here].next_id);
        goto read
    };

refused:
    atomic { assert(current_generation != wanted); goto enter }; /* each try in vain costs the writer a compaction */

read:
    do
    :: atomic {
        object[here].commit[place] == CHUNK ->
        look_at(place);
        id = object[here].id[place];
        if
        :: id <= passed -> place = place + 1; id = 0
        :: else -> goto judge
        fi }
    :: atomic {
        object[here].commit[place] == END ->
        look_at(place);
        wanted = object[here].id[place]; there = object[here].successor[place];
        goto follow }
    :: atomic {
        object[here].commit[place] == ZERO && rests ->
        look_at(place);
        assert(here == current && generation == current_generation); /* who waits, waits in the right place */
        assert(passed >= live);
        goto over }
    :: atomic { broken == NO_LAST_LOOK && object[here].commit[place] == ZERO && !rests -> goto leave }
    od;

judge:
    atomic {
        look_at(place);
        word = object[here].successor[place];
        if
        :: word == 0 -> pass(0); place = place + 1; id = 0; goto read
        :: word != 0 && broken == WORD_BELIEVED -> pass(1); place = place + 1; id = 0; word = 0; goto read
        :: else -> word = 0
        fi
    };
    atomic { /* fixes the end, then loads the word again */
        seen = object[here].hint;
        end = (seen > place -> seen : place)
    };
    do
    :: atomic {
        look_at(end);
        if
        :: object[here].commit[end] == CHUNK -> end = end + 1
        :: else -> break
        fi };
        atomic {
        if
        :: object[here].hint != seen && object[here].hint > end - 1 -> end = object[here].hint; break
        :: else
        fi }
    od;
    atomic {
        look_at(place);
        word = object[here].successor[place];
        if
        :: word != 0 && word <= end -> pass(1)
        :: else -> pass(0)
        fi;
        place = place + 1; id = 0; word = 0; end = 0; seen = 0;
        goto read
    };

leave:
    atomic {
        if
        :: current_generation != generation -> there = current; wanted = current_generation; goto follow
        :: else -> goto read
        fi
    };

    /* Goes where END leads to, behind the copies. */
follow:
    if
    :: atomic { broken == OLD_LOCK_FIRST -> unlock_old(here) }
    :: else
    fi;
    atomic {
        if
        :: !named[there] || write_lock == there -> goto jump
        :: else -> lock_new(there)
        fi
    };
    atomic {
        if
        :: object[there].generation != wanted && broken != NO_CHECK -> unlock_old(there); goto jump
        :: else
        fi
    };
    atomic {
        unlock_old(here);
        here = there; generation = wanted; place = object[there].prefix; there = 0; wanted = 0;
        goto read
    };
jump:
    atomic { assert(current_generation > generation); there = 0; wanted = 0; goto enter };
over:
    skip
}

init {
    atomic {
        c_code {
            broken = choice("broken", 0); ids = choice("ids", 3); deaths = choice("deaths", 1); extra = choice("extra", 1);
            segments = choice("segments", 2); lossless = choice("lossless", 0); ahead = choice("ahead", 0);
        };
        named[0] = true;
        object[0].generation = 1; object[0].holds = 1; object[0].next_id = 1;
        current_generation = 1; current = 0;
        run writer();
        run reader(0);
#if READERS > 1
        run reader(1)
#endif
    }
}
