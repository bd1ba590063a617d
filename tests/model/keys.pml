/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys: batches that put and remove, the table that leads to a key's versions, chunks that expire, a compaction that makes a new table,
 * at once or ahead of the switch, deaths and takeovers, pages of which nothing lives; and a reader that fixes an end and then looks a key up, or walks through all
 * that is live. What it finds is that of one commit, and of no other. Both keys begin their search at the same slot.
 *
 * Steps are as in core.pml; segments are not used again here. */

/* What is tried; from the environment, so that one checker serves all. `broken`: one of the rules below is not kept. */
hidden byte broken, commits, deaths, compactions, batch, mortal, ahead;

#define FIRST_WORD_FIRST 1   /* break: a commit's first word is stored before the others */
#define SLOTS_LATE 2         /* break: key slots after the commit */
#define LINK_LATE 3          /* break: the link to the version before after the commit */
#define PREVIOUS_PENDING 4   /* break: `previous` names a version of the same commit */
#define VERSIONS_LEFT 5      /* break: takeover: versions of a dead commit are left */
#define SLOT_LEFT 6          /* break: takeover: the slot of a dead commit is left */
#define SUCCESSORS_LEFT 7    /* break: takeover: successor words are not undone */
#define CURRENT_EARLY 8      /* break: compaction: `current` before the table */
#define TABLE_NOT_CLEARED 9  /* break: compaction: the table of a dead one is used */
#define COPY_LEFT_LIVE 10    /* break: copied ahead: a copy whose original was superseded is left live */
#define COPY_SLOT_STAYS 11   /* break: copied ahead: a key's slot stays with its first copy */
#define SLOT_FIRST 12        /* break: reader: loads the slot before it fixes the end */
#define LINK_OF_NEWEST 13    /* break: reader: goes back from `newest`, committed or not */
#define SUCCESSOR_FIRST 14   /* break: reader: loads successor words before it fixes the end */
#define FALLS_BACK 15        /* break: reader: takes the version before for one that has expired */
#define WORD_MEANS_COMMIT 16 /* break: reader: a commit word at the successor means that it was committed */
#define PAGE_AT_LIMIT 17     /* break: that a page is dead is said of earlier ends too */
#define REMOVAL_TWICE 18     /* break: a removal that is superseded counts as dead once more */
#define PAGES_LEFT 19        /* break: takeover: what a dead commit counted in pages is left */
#define PAGE_FIRST 20        /* break: reader: loads a page's word before it fixes the end */

c_decl {
\#include <stdlib.h>
static int choice(const char *name, int usual) { const char *text = getenv(name); return text ? atoi(text) : usual; }
}

#define LAST 5          /* frames are in 1 .. LAST */
#define PLACES (LAST + 2)
#define SLOTS 2
#define PAGES 3
#define PAGE(place) (((place) - 1) / 2) /* a page has two frames */
#define LIMIT(page) (2 * (page) + 3)    /* the place behind it */
#define IS_PAGE_BEGIN(place) ((place) % 2 == 1)
#define NONE 255

#define PUT_A 1 /* what a frame is */
#define PUT_B 2
#define PUT_A_MORTAL 3
#define REMOVE_A 4
#define IS_OF_A(what) ((what) != PUT_B)

typedef Segment {
    byte commit[PLACES], successor[PLACES], link[PLACES], what[PLACES];
    byte hint;
    byte dead[PAGES]; /* how many of a page's frames are dead; once all are, the place up to which ends may see some */
    byte frame[SLOTS], newest[SLOTS], previous[SLOTS]; /* newest and previous are one word */
    byte truth_a[PLACES], truth_b[PLACES];             /* for the assertions: by end, the place of the version; NONE: no end */
    byte committed;                                    /* likewise */
}
Segment segment[2];
byte current;
bool late; /* the time that the mortal do not live to see */
byte died;

inline may_die() {
    if
    :: died < deaths -> died = died + 1; goto takeover
    :: true
    fi
}

/* ---- writer ---- */

/* The slot of the key of `what` among frames below `limit`, or the free one. */
inline search(limit, wanted) {
    d_step {
        i = 0;
        do
        :: i < SLOTS && segment[here].frame[i] != 0 && segment[here].frame[i] < limit &&
           IS_OF_A(segment[here].what[segment[here].frame[i]]) != IS_OF_A(wanted) -> i = i + 1
        :: else -> break
        od;
        assert(i < SLOTS);
        is_found = (segment[here].frame[i] != 0 && segment[here].frame[i] < limit);
        before = (is_found -> segment[here].newest[i] : 0)
    }
}

/* A frame of the page is dead by the commit behind `end`, or no chunk. */
inline count_dead(g, p, end) {
    segment[g].dead[PAGE(p)] = segment[g].dead[PAGE(p)] + 1;
    if
    :: segment[g].dead[PAGE(p)] == 2 ->
        segment[g].dead[PAGE(p)] = (broken == PAGE_AT_LIMIT || end < LIMIT(PAGE(p)) -> LIMIT(PAGE(p)) : end)
    :: else
    fi
}

/* The commit's frame number n joins its page. */
inline count_in(n) {
    if
    :: n < size ->
        if :: IS_PAGE_BEGIN(tail + n) -> segment[here].dead[PAGE(tail + n)] = 0 :: else fi;
        if
        :: segment[here].successor[tail + n] != 0 || segment[here].what[tail + n] == REMOVE_A -> count_dead(here, tail + n, tail)
        :: else
        fi
    :: else
    fi
}

/* Of the commit's frame number n: slot, successor word, link. */
inline enter_key(n) {
    if
    :: atomic { n < size -> place = tail + n; search(place, segment[here].what[place]) };
        if
        :: atomic { is_found -> may_die();
            segment[here].previous[i] = (before < tail || broken == PREVIOUS_PENDING -> before : segment[here].previous[i]);
            segment[here].newest[i] = place }
        :: atomic { !is_found -> may_die(); segment[here].newest[i] = place; segment[here].previous[i] = 0 }
        fi;
        atomic { may_die();
            if
            :: is_found && segment[here].successor[before] == 0 ->
                segment[here].successor[before] = place;
                if
                :: before < tail && (segment[here].what[before] != REMOVE_A || broken == REMOVAL_TWICE) -> count_dead(here, before, tail)
                :: else
                fi;
                if /* dead from the start */
                :: before < looked && copy_of[before] != 0 && broken != COPY_LEFT_LIVE ->
                    segment[1].successor[copy_of[before]] = copy_of[before];
                    count_dead(1, copy_of[before], copy_of[before])
                :: else
                fi
            :: !is_found -> segment[here].frame[i] = place
            :: else
            fi };
        atomic { may_die(); if :: broken != LINK_LATE -> segment[here].link[place] = before :: else -> late_link = before fi };
        atomic { is_found = false; before = 0; i = 0; place = 0 }
    :: else
    fi
}

/* What is true from this end on. */
inline note_frame(n) {
    if
    :: n < size ->
        if
        :: segment[here].what[tail + n] == PUT_A || segment[here].what[tail + n] == PUT_A_MORTAL -> a = tail + n
        :: segment[here].what[tail + n] == REMOVE_A -> a = 0
        :: segment[here].what[tail + n] == PUT_B -> b = tail + n
        fi
    :: else
    fi
}
inline note_commit() {
    d_step {
        a = segment[here].truth_a[tail]; b = segment[here].truth_b[tail];
        note_frame(0); note_frame(1);
        segment[here].truth_a[tail + size] = a; segment[here].truth_b[tail + size] = b;
        segment[here].committed = tail + size;
        a = 0; b = 0
    }
}

/* Copies the frame at `looked`, if it is live, and has not expired. A copy's slot names it alone; the newest copy of a key counts. */
inline copy_one() {
    d_step {
        if
        :: IS_PAGE_BEGIN(looked) && segment[0].dead[PAGE(looked)] >= LIMIT(PAGE(looked)) && segment[0].dead[PAGE(looked)] < tail ->
            looked = LIMIT(PAGE(looked)) - 1
        :: else ->
        if
        :: segment[0].what[looked] != REMOVE_A && segment[0].successor[looked] == 0 &&
           !(late && segment[0].what[looked] == PUT_A_MORTAL) ->
            segment[1].what[to] = segment[0].what[looked];
            segment[1].commit[to] = 1; segment[1].successor[to] = 0; segment[1].link[to] = 0;
            i = 0;
            do
            :: i < SLOTS && segment[1].frame[i] != 0 && segment[1].frame[i] < to &&
               IS_OF_A(segment[1].what[segment[1].frame[i]]) != IS_OF_A(segment[1].what[to]) -> i = i + 1
            :: else -> break
            od;
            assert(i < SLOTS);
            if
            :: segment[1].frame[i] == 0 || segment[1].frame[i] >= to -> segment[1].frame[i] = to; segment[1].newest[i] = to
            :: else ->
                if :: broken != COPY_SLOT_STAYS -> segment[1].newest[i] = to :: else fi
            fi;
            segment[1].previous[i] = 0;
            copy_of[looked] = to;
            if :: IS_PAGE_BEGIN(to) -> segment[1].dead[PAGE(to)] = 0 :: else fi;
            to = to + 1; i = 0
        :: else
        fi
        fi;
        looked = looked + 1
    }
}

inline begin_copy() {
    d_step {
        to = 1; looked = 1;
        for (i : 0 .. SLOTS - 1) {
            if :: broken != TABLE_NOT_CLEARED -> segment[1].frame[i] = 0 :: else fi
        }
        i = 0
    }
}

inline finish_copy() {
    d_step {
        segment[1].commit[to] = 0;
        a = segment[0].truth_a[tail]; b = segment[0].truth_b[tail];
        segment[1].truth_a[to] = (a != 0 -> copy_of[a] : 0); segment[1].truth_b[to] = (b != 0 -> copy_of[b] : 0);
        segment[1].committed = to; segment[1].hint = to;
        a = 0; b = 0
    }
}

inline forget_copy() {
    d_step {
        to = 0; looked = 0; i = 0;
        do
        :: i < PLACES -> copy_of[i] = 0; i = i + 1
        :: else -> i = 0; break
        od
    }
}

proctype writer() {
    byte here, tail = 1, size, done;
    byte i, place, before, late_link, a, b;
    byte to, looked, copy_of[PLACES]; /* a copy, if `looked` is not 0 */
    bool is_found;

work:
    do
    :: atomic { done < commits && tail <= LAST -> size = 1; goto commit }
    :: atomic { done < commits && tail < LAST && batch > 1 -> size = 2; goto commit }
    :: atomic { here == 0 && compactions > 0 && tail > 1 -> goto compact }
    :: atomic { here == 0 && compactions > 0 && ahead == 1 && tail > 1 && looked == 0 -> may_die(); begin_copy() }
    :: atomic { looked != 0 && looked < tail -> may_die(); copy_one() }
    :: atomic { done == commits -> may_die(); goto over }
    od;

commit:
    atomic {
        may_die();
        done = done + 1;
        i = 0;
        do
        :: i < size ->
            segment[here].successor[tail + i] = 0;
            if
            :: segment[here].what[tail + i] = PUT_A
            :: segment[here].what[tail + i] = PUT_B
            :: mortal == 1 -> segment[here].what[tail + i] = PUT_A_MORTAL
            :: segment[here].truth_a[tail] != 0 && i == 0 -> segment[here].what[tail + i] = REMOVE_A
            :: i == 1 && (segment[here].what[tail] == PUT_A || segment[here].what[tail] == PUT_A_MORTAL) ->
                segment[here].what[tail + i] = REMOVE_A
            fi;
            i = i + 1
        :: else -> break
        od;
        i = 0
    };
    atomic { may_die(); segment[here].commit[tail + size] = 0 };
    atomic { may_die(); if :: broken == FIRST_WORD_FIRST || broken == SLOTS_LATE -> segment[here].commit[tail] = 1; note_commit() :: else fi };
    enter_key(0);
    enter_key(1);
    if
    :: atomic { size == 2 -> may_die(); segment[here].commit[tail + 1] = 1 }
    :: else
    fi;
    atomic { may_die(); count_in(0); count_in(1) };
    atomic { may_die(); if :: broken != FIRST_WORD_FIRST && broken != SLOTS_LATE -> segment[here].commit[tail] = 1; note_commit() :: else fi };
    atomic { may_die(); if :: broken == LINK_LATE -> segment[here].link[tail + size - 1] = late_link; late_link = 0 :: else fi };
    atomic { may_die(); tail = tail + size; segment[here].hint = tail; size = 0; goto work };

compact:
    atomic { may_die(); if :: broken == CURRENT_EARLY -> current = 1 :: else fi };
    if
    :: atomic { looked == 0 -> may_die(); begin_copy() }
    :: else
    fi;
    atomic { may_die(); do :: looked < tail -> copy_one() :: else -> break od; finish_copy() };
    atomic { may_die(); current = 1; here = 1; tail = to; forget_copy(); goto work };

takeover:
    atomic {
        d_step {
            here = current;
            tail = segment[here].hint; size = 0; i = 0; place = 0; before = 0; late_link = 0; is_found = false;
            do
            :: segment[here].commit[tail] != 0 -> tail = tail + 1
            :: else -> break
            od
        }
        forget_copy();
        assert(tail == segment[here].committed)
    };
    atomic {
        may_die();
        i = 0;
        do
        :: i < PAGES && broken != PAGES_LEFT && LIMIT(i) - 2 < tail -> segment[here].dead[i] = 0; i = i + 1
        :: else -> i = 1; break
        od
    };
undo:
    do
    :: atomic { i < PLACES && i < tail && segment[here].successor[i] >= tail && broken != SUCCESSORS_LEFT ->
        may_die(); segment[here].successor[i] = 0 }
    :: atomic { i < tail && (segment[here].successor[i] < tail || broken == SUCCESSORS_LEFT) ->
        if
        :: broken != PAGES_LEFT && (segment[here].successor[i] != 0 || segment[here].what[i] == REMOVE_A) -> count_dead(here, i, tail)
        :: else
        fi;
        i = i + 1 }
    :: atomic { i >= tail -> i = 0; break }
    od;
    do
    :: atomic { i < SLOTS ->
        if
        :: segment[here].frame[i] >= tail && broken != SLOT_LEFT -> may_die(); segment[here].frame[i] = 0
        :: segment[here].frame[i] != 0 && segment[here].frame[i] < tail && segment[here].newest[i] >= tail && broken != VERSIONS_LEFT ->
            may_die();
            assert(segment[here].previous[i] != 0 && segment[here].previous[i] < tail);
            segment[here].newest[i] = segment[here].previous[i]
        :: else
        fi;
        i = i + 1 }
    :: atomic { i == SLOTS -> i = 0; break }
    od;
    atomic { may_die(); i = 0; segment[here].hint = tail; goto work };
over:
    skip
}

/* ---- reader ---- */

/* The version that was found is the one at the end; one that expires is hidden when it has, and not before. */
inline check_found(result, version) {
    if
    :: result == version -> assert(version == 0 || segment[here].what[version] != PUT_A_MORTAL || !was_late)
    :: else -> assert(result == 0 && segment[here].what[version] == PUT_A_MORTAL && late)
    fi
}

inline is_visible(p) {
    word = segment[here].successor[p];
    if
    :: broken == WORD_MEANS_COMMIT && word != 0 -> is_found = (segment[here].commit[word] == 0)
    :: else -> is_found = (word == 0 || word >= end)
    fi;
    word = 0;
    is_found = is_found && segment[here].what[p] != REMOVE_A && !(segment[here].what[p] == PUT_A_MORTAL && late)
}

/* A page of which nothing lives at the end. */
#define DEAD_AT(place) (early != NONE && broken == PAGE_FIRST && place == 1 -> early : segment[here].dead[PAGE(place)])
#define is_passed(place) (IS_PAGE_BEGIN(place) && DEAD_AT(place) >= LIMIT(PAGE(place)) && DEAD_AT(place) < end)

proctype reader() {
    byte here, end, start, seen, word;
    byte i, place, found_a, found_b, newest = NONE, previous, early = NONE;
    bool of_a, was_late, is_found;

    atomic { here = current; was_late = late };
    if
    :: atomic { broken == SLOT_FIRST -> newest = segment[here].newest[0]; previous = segment[here].previous[0] }
    :: atomic { broken == SUCCESSOR_FIRST -> early = segment[here].successor[1] }
    :: atomic { broken == PAGE_FIRST -> early = segment[here].dead[0] }
    :: else
    fi;
    atomic { seen = segment[here].hint; end = seen; start = end };
    do
    :: atomic { segment[here].commit[end] == 0 -> break }
    :: atomic { segment[here].commit[end] != 0 -> end = end + 1 };
        atomic {
        if
        :: segment[here].hint != seen && segment[here].hint > start -> end = segment[here].hint; break
        :: else
        fi }
    od;
    atomic {
        assert(end < PLACES && segment[here].truth_a[end] != NONE); /* the boundary of a commit */
        seen = 0; start = 0;
        if
        :: of_a = true
        :: of_a = false
        :: goto walk
        fi
    };

    /* Looks the key up. */
    do
    :: atomic {
        i == SLOTS || segment[here].frame[i] == 0 || segment[here].frame[i] >= end -> goto looked_up }
    :: atomic {
        i < SLOTS && segment[here].frame[i] != 0 && segment[here].frame[i] < end ->
        if
        :: IS_OF_A(segment[here].what[segment[here].frame[i]]) == of_a -> break
        :: else -> i = i + 1
        fi }
    od;
    atomic {
        if
        :: newest == NONE || i != 0 -> newest = segment[here].newest[i]; previous = segment[here].previous[i]
        :: else
        fi;
        place = (newest < end || broken == LINK_OF_NEWEST -> newest : previous);
        newest = NONE; previous = 0
    };
    do
    :: atomic { place < end -> break }
    :: atomic {
        place >= end ->
        assert(place < segment[here].committed || broken == LINK_OF_NEWEST); /* nothing else is followed */
        assert(segment[here].link[place] < place);
        place = segment[here].link[place] }
    od;
    atomic {
        if
        :: place != 0 ->
            is_visible(place);
            if
            :: !is_found && broken == FALLS_BACK && segment[here].what[place] == PUT_A_MORTAL && late -> place = segment[here].link[place]
            :: !is_found -> place = 0
            :: else
            fi
        :: else
        fi
    };
looked_up:
    atomic {
        if
        :: of_a -> check_found(place, segment[here].truth_a[end])
        :: else -> check_found(place, segment[here].truth_b[end])
        fi;
        goto over
    };

    /* Walks through what is live. */
walk:
    atomic { place = 1 };
    do
    :: atomic {
        place < end && is_passed(place) -> place = LIMIT(PAGE(place)) }
    :: atomic {
        place < end && !is_passed(place) ->
        is_visible(place);
        if :: early != NONE && broken == SUCCESSOR_FIRST && place == 1 -> is_found = (early == 0 || early >= end) && segment[here].what[1] != REMOVE_A :: else fi;
        if
        :: is_found && IS_OF_A(segment[here].what[place]) -> assert(found_a == 0); found_a = place
        :: is_found && !IS_OF_A(segment[here].what[place]) -> assert(found_b == 0); found_b = place
        :: else
        fi;
        place = place + 1 }
    :: atomic { place >= end -> break }
    od;
    atomic {
        check_found(found_a, segment[here].truth_a[end]);
        check_found(found_b, segment[here].truth_b[end])
    };
over:
    skip
}

proctype clock() { late = true }

init {
    byte i;
    d_step {
        c_code {
            broken = choice("broken", 0); commits = choice("commits", 2); deaths = choice("deaths", 1);
            compactions = choice("compactions", 1); batch = choice("batch", 2); mortal = choice("mortal", 0);
            ahead = choice("ahead", 0);
        };
        for (i : 0 .. PLACES - 1) {
            segment[0].truth_a[i] = NONE; segment[0].truth_b[i] = NONE;
            segment[1].truth_a[i] = NONE; segment[1].truth_b[i] = NONE
        }
        segment[0].truth_a[1] = 0; segment[0].truth_b[1] = 0;
        segment[0].hint = 1; segment[0].committed = 1;
        i = 0
    }
    atomic { run writer(); run reader(); if :: mortal == 1 -> run clock() :: else fi }
}
