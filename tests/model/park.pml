/* park.pml - how the workers of src/sched/sched.c sleep and are woken, over every interleaving.
 *
 * One thread pushes to a deque, without the lock, and wakes; another to the ring, under the lock. The
 * workers look at the deque, then at the ring, and park when they find nothing. A task that has begun
 * ends only when all others have begun too: so a wake-up that is lost, or comes too late to put
 * every worker to work that is needed, leaves everybody stuck, and that is an invalid end state. Worker
 * 0 leaves as soon as it was asleep, and takes no task then; NOBODY_LEAVES is without. Any sleeper may wake by itself, a
 * few times: lent threads do.
 *
 * What a weak memory may do: the push is visible only after the fence in wake(); without the fence
 * in park() its load of the deque may come before its store of `idle`.
 *
 * Mutants, each a macro, each must make the check fail (tests/model/run sees to it):
 *   NO_FENCE_IN_WAKE      who pushed looks at `idle` before the push is visible
 *   NO_FENCE_IN_PARK      a worker looks at the deque before it is counted as idle
 *   WAKES_NO_NEXT         a woken worker that has found something wakes nobody
 *   CLEARS_LATE           a woken worker clears `waking` only when it has found something
 *   WAKES_UNLOCKED        who pushed signals without taking the lock
 *   LEAVES_SILENTLY       a worker that leaves does not pass its wake-up on */

#define WORKERS 3
#ifdef NOBODY_LEAVES
#define PUSHES 2              /* to the deque; one more to the ring: work for all */
#else
#define PUSHES 1              /* work for all but worker 0 */
#endif
#define TASKS (PUSHES + 1)
#ifndef WAKES_BY_ITSELF
#define WAKES_BY_ITSELF 1
#endif

byte deque, late;             /* tasks in the deque that all see, and that only the pusher sees */
byte ring;
byte idle;
bool waking;
bool locked;
bool asleep[WORKERS];
byte begun;
byte by_itself;

inline lock()
{
    atomic { !locked -> locked = true }
}

inline unlock()
{
    locked = false
}

inline signal()
{
    if
    :: asleep[0] -> asleep[0] = false
    :: asleep[1] -> asleep[1] = false
    :: asleep[2] -> asleep[2] = false
    :: !asleep[0] && !asleep[1] && !asleep[2]
    fi
}

inline wake_locked()
{
    atomic {
        if
        :: idle > 0 && !waking -> waking = true; must_signal = true
        :: else
        fi
    };
    if
    :: must_signal -> atomic { signal(); must_signal = false }
    :: else
    fi
}

inline wake()
{
#ifndef NO_FENCE_IN_WAKE
    atomic { deque = deque + late; late = 0 };
#endif
    if
    :: idle > 0 ->
        if
        :: !waking ->
#ifdef WAKES_UNLOCKED
            wake_locked()
#else
            lock();
            wake_locked();
            unlock()
#endif
        :: waking
        fi
    :: idle == 0
    fi
}

proctype pusher()
{
    byte left = PUSHES;
    bool must_signal;
    do
    :: left > 0 ->
        left--;
        late++;
        wake()
    :: left == 0 -> break
    od;
    atomic { deque = deque + late; late = 0 }
}

proctype injector()
{
    bool must_signal;
    lock();
    ring++;
    wake_locked();
    unlock()
}

inline find()
{
    found = false;
    atomic {
        if
        :: deque > 0 -> deque--; found = true
        :: else
        fi
    };
    if
    :: !found ->
        atomic {
            if
            :: ring > 0 -> ring--; found = true
            :: else
            fi
        }
    :: else
    fi
}

inline look()
{
    more = deque > 0;
    more = more || ring > 0
}

inline park()
{
    lock();
#ifdef NO_FENCE_IN_PARK
    look();
    idle++;
#else
    idle++;
    look();
#endif
    if
    :: !more ->
        atomic { asleep[me] = true; unlock() };
        if
        :: !asleep[me]
        :: atomic { asleep[me] && by_itself < WAKES_BY_ITSELF -> asleep[me] = false; by_itself++ }
        :: begun == TASKS -> goto ended
        fi;
        lock();
        slept = true;
#ifndef CLEARS_LATE
        waking = false
#endif
    :: more
    fi;
    idle--;
    unlock()
}

proctype worker(byte me)
{
    bool found, more, slept, must_signal;
    do
    :: find();
        if
        :: found -> break
        :: else
        fi;
        park();
#ifndef NOBODY_LEAVES
        if
        :: me == 0 && slept -> goto leaves
        :: else
        fi
#endif
    od;
#ifdef CLEARS_LATE
    if
    :: slept -> waking = false
    :: else
    fi;
#endif
#ifndef WAKES_NO_NEXT
    look();
    if
    :: slept && more -> wake()
    :: else
    fi;
#endif
    begun++;
    begun == TASKS;
    goto ended;
leaves:
#ifndef LEAVES_SILENTLY
    look();
    if
    :: more -> wake()
    :: else
    fi;
#endif
ended:
    skip
}

init
{
    byte i;
    atomic {
        run pusher();
        run injector();
        for (i : 0 .. WORKERS - 1) {
            run worker(i)
        }
    }
}
