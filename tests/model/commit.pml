/* commit.pml - the log's promises, over every interleaving.
 *
 * Models src/wal: three writers commit (append, then wait for the sync), a maker makes segments
 * ahead, a teller writes a story, which has a file and syncs of its own. Any sync may fail, any write
 * may fail, making a segment may fail. One step is one hold of a lock or one act outside every lock.
 *
 * What must hold, whatever happens:
 *   acknowledged => on the disk             assert in acknowledge()
 *   durable <= written, marks only grow     asserts in publish()
 *   no mark moves after the first failure   assert in publish()
 *   nobody sleeps unless a leader is at     assert in check_sleepers()
 *     work or somebody awake will look
 *   everybody ends                          no deadlock: no invalid end state; no livelock: no
 *                                           cycle (there are no progress labels, so the check for
 *                                           non-progress cycles finds any), whatever the scheduler
 *   after the first failure every writer    asserts at the end of each; nobody ends well after it
 *     that waits or comes ends in an error  but those whose commit was durable before
 *
 * Mutants, each a macro, each must make the check fail (tests/model/run sees to it):
 *   NOTIFY_BEFORE_CLEAR        wakes before it clears leadership, in two holds of the lock
 *   ACKNOWLEDGED_BEFORE_SYNC   publishes the target, then syncs
 *   TARGET_AFTER_SYNC          takes the target when the sync has ended
 *   FAILURE_WAKES_NOBODY       poisons without waking those who wait
 *   NO_SUCCESSOR               wakes those it served and nobody else
 *   SYNC_TRIED_AGAIN           takes a second sync after a failed one for the truth
 *   ACTIVE_SEGMENT_ONLY        syncs the newest segment and forgets the one before
 *
 * NO_TELLER leaves the teller out, where fewer states are wanted. */

#define WRITERS 3
#ifndef COMMITS_FIRST
#define COMMITS_FIRST 2       /* of writer 0; the others have one */
#endif
#define POSITIONS 4           /* one a commit */
#define CAPACITY 2            /* positions in a segment */
#define SEGMENTS 2

byte written, durable;
bool on_disk[POSITIONS];      /* what a power loss leaves */
#ifdef SYNC_TRIED_AGAIN
bool lost[POSITIONS];         /* pages that a failed sync dropped: no later sync writes them */
#endif
byte current;                 /* number of the segment in use */
bool ready;                   /* the next one is made */

bool poisoned;
bool leading;
bool asleep[WRITERS];         /* in the list of waiters, not signalled */
bool awake[WRITERS];           /* signalled, has not looked yet */
byte wants[WRITERS];          /* the end that each waits for */

byte target, at, upto;        /* the leader's own: there is one at a time */
bool failed;

bool make_failed, make_retry;
bool segment_asleep[WRITERS];

/* ---- checks ------------------------------------------------------------------------------------ */

inline check_sleepers()
{
    assert(leading || awake[0] || awake[1] || awake[2] || !(asleep[0] || asleep[1] || asleep[2]))
}

inline acknowledge(end)
{
    k = 0;
    do
    :: k < end -> assert(on_disk[k]); k++
    :: else -> break
    od;
    k = 0
}

/* ---- under sync_lock --------------------------------------------------------------------------- */

inline signal(who)
{
    if
    :: asleep[who] -> asleep[who] = false; awake[who] = true
    :: else -> skip
    fi
}

#define SERVED(who) (durable >= wants[who])
#define UNSERVED(who) (asleep[who] && durable < wants[who])

inline signal_if_served(who)
{
    if
    :: asleep[who] && SERVED(who) -> signal(who)
    :: else -> skip
    fi
}

/* Those served, and of the others one: any, where the code takes the first. */
inline wake_served()
{
    signal_if_served(0);
    signal_if_served(1);
    signal_if_served(2);
#ifndef NO_SUCCESSOR
    if
    :: UNSERVED(0) -> signal(0)
    :: UNSERVED(1) -> signal(1)
    :: UNSERVED(2) -> signal(2)
    :: else -> skip
    fi
#else
    skip
#endif
}

inline poison()
{
    poisoned = true;
#ifndef FAILURE_WAKES_NOBODY
    signal(0); signal(1); signal(2)
#else
    skip
#endif
}

inline publish()
{
    assert(!poisoned);
    assert(target >= durable);
    assert(target <= written);
    durable = target
}

/* ---- leading, outside the lock but for its ends ------------------------------------------------- */

/* One fdatasync: all that was written into the segment when it began. */
inline sync_segment()
{
    upto = (at / CAPACITY + 1) * CAPACITY;
    if
    :: written < upto -> upto = written
    :: else -> skip
    fi;
    if
    :: k = at;
        do
#ifdef SYNC_TRIED_AGAIN
        :: k < upto -> on_disk[k] = on_disk[k] || !lost[k]; k++
#else
        :: k < upto -> on_disk[k] = true; k++
#endif
        :: else -> break
        od
    :: failed = true;
#ifdef SYNC_TRIED_AGAIN
        k = at;
        do
        :: k < upto -> lost[k] = !on_disk[k]; k++
        :: else -> break
        od
#endif
    fi;
    k = 0;
    upto = 0
}

inline sync_range()
{
    do
    :: atomic { at < target && !failed ->
        sync_segment();
#ifdef SYNC_TRIED_AGAIN
        if
        :: failed -> failed = false; sync_segment()
        :: else -> skip
        fi;
#endif
        at = (at / CAPACITY + 1) * CAPACITY
    }
    :: atomic { at >= target || failed -> at = 0; break }
    od
}

inline lead()
{
    atomic {
        target = written;
        at = durable;
#ifdef ACTIVE_SEGMENT_ONLY
        if
        :: at < current * CAPACITY && current * CAPACITY < target -> at = current * CAPACITY
        :: else -> skip
        fi;
#endif
#ifdef ACKNOWLEDGED_BEFORE_SYNC
        if
        :: !poisoned -> publish(); wake_served()
        :: else -> skip
        fi
#endif
    }
    sync_range();
    atomic {
#ifdef TARGET_AFTER_SYNC
        target = written;
#endif
        if
        :: failed -> poison()
        :: !failed && !poisoned -> publish()
        :: else -> skip
        fi;
#ifdef NOTIFY_BEFORE_CLEAR
        wake_served()
    }
    atomic {
        leading = false;
#else
        leading = false;
        wake_served();
#endif
        check_sleepers();
        target = 0;
        failed = false
    }
}

/* sync_to. Sets `done` or `refused`. */
inline await(is_served)
{
    do
    :: atomic {
        awake[me] = false;
        if
        :: is_served -> done = true; break
        :: !(is_served) && poisoned -> refused = true; break
        :: !(is_served) && !poisoned && !leading -> leading = true
        :: !(is_served) && !poisoned && leading -> asleep[me] = true
        fi
    }
        if
        :: asleep[me] || awake[me] -> awake[me]
        :: else -> lead()
        fi
    od
}

/* ---- appending, under the commit lock; segments ------------------------------------------------- */

#define ROOM (written < (current + 1) * CAPACITY)

proctype writer(byte me)
{
    byte commits, k;
    bool done, refused, no_space;

    commits = (me == 0 -> COMMITS_FIRST : 1);
    do
    :: atomic { commits == 0 || refused -> break }
    :: atomic { commits > 0 && !refused && poisoned -> refused = true }
    :: atomic { commits > 0 && !refused && !poisoned && (ROOM || ready) ->
        if
        :: !ROOM -> current++; ready = false
        :: else -> skip
        fi;
        if
        :: written++; wants[me] = written
        :: poison(); refused = true /* the write failed */
        fi
    }
        if
        :: atomic { refused -> skip }
        :: else ->
            await(SERVED(me));
            atomic {
                if
                :: done -> acknowledge(wants[me]); done = false
                :: else -> assert(poisoned)
                fi;
                wants[me] = 0; /* fewer states to tell apart */
                commits--
            }
        fi
    :: atomic { commits > 0 && !refused && !poisoned && !ROOM && !ready ->
        make_retry = true;
        segment_asleep[me] = true
    }
        atomic {
            !segment_asleep[me];
            if
            :: make_failed && !ready -> refused = true; no_space = true /* no space: nothing was appended */
            :: else -> skip
            fi
        }
    od;
    atomic {
        assert(!refused || poisoned || no_space);
        refused = false;
        no_space = false;
        commits = 0
    }
}

inline tell_makers_waiters()
{
    segment_asleep[0] = false;
    segment_asleep[1] = false;
    segment_asleep[2] = false
}

active proctype maker()
{
end_idle:
    do
    :: atomic { !ready && current < SEGMENTS - 1 && (!make_failed || make_retry) ->
        make_retry = false }
        if
        :: atomic { ready = true; make_failed = false; tell_makers_waiters() }
        :: atomic { make_failed = true; tell_makers_waiters() }
        fi
    od
}

/* To the rest of the log a story is a failure that may come at any time. */
proctype teller()
{
#ifndef NO_TELLER
    if
    :: skip
    :: atomic { poison() }
    fi
#else
    skip
#endif
}

init
{
    atomic { run writer(0); run writer(1); run writer(2); run teller() }
}
