/* deque.pml - the work-stealing deque of src/sched/deque.c, over every interleaving, on a memory that
 * reorders.
 *
 * One owner pushes and takes in any order, thieves steal; the ring has two slots and grows once, to
 * four. What a weak memory may do is a step of its own:
 *   the owner's stores   wait, a place each, until `memory` makes them visible, at any later step and
 *                        in any order, but that a release store (of `bottom`, of the ring pointer)
 *                        waits for all that came before it. A later store to the same place replaces
 *                        one that waits. A fence makes all visible. The owner sees its own.
 *   a thief's loads      of `top` and `bottom` have only the fence to keep them in order; the ring
 *                        pointer and the slot come after `bottom`, which is loaded with acquire.
 * A compare-and-swap is one step on memory itself, and makes no store of others visible.
 *
 * What must hold, whatever happens:
 *   no task comes out twice                 assert in out()
 *   what comes out was pushed               assert in out(): no slot is read that was never written
 *   in the end every task came out          the owner empties the deque, then the last assert counts
 *   everybody ends                          no invalid end state
 *
 * Mutants, each a macro, each must make the check fail (tests/model/run sees to it):
 *   NO_FENCE_IN_TAKE     the owner looks at `top` while its lower `bottom` may still wait
 *   NO_FENCE_IN_STEAL    a thief may load `bottom` before `top`
 *   NO_RELEASE_IN_PUSH   `bottom` may be visible before the slot
 *   NO_RELEASE_IN_GROW   the ring pointer may be visible before what was copied
 *   LAST_WITHOUT_SWAP    the owner takes the last task as it takes the others
 *   SLOT_AFTER_SWAP      a thief reads the slot when it has swapped `top`
 *   FULL_BY_ONE_MORE     the owner pushes one task more than the ring holds
 *   GROW_WITHOUT_COPY    the new ring has the new task alone */

#ifndef TASKS
#define TASKS 4
#endif
#ifndef TAKES
#define TAKES 1               /* at most, before the owner empties the deque */
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#ifndef STEALS
#define STEALS 2              /* attempts of each thief */
#endif

#define NONE 255
#define SIZE(r) (r == 0 -> 2 : 4)
#define PLACE(r, position) (r == 0 -> (position) % 2 : 2 + (position) % 4)

/* Positions count from 1, so that nothing is ever below 0. */
byte top = 1;
byte bottom = 1;
byte ring;                    /* 0: slots 0 and 1; 1: slots 2 to 5 */
byte slots[6];                /* 0: never written */

byte late_slots[6];           /* the owner's stores that wait */
byte late_ring = NONE;
byte late_bottom = NONE;

bool came_out[TASKS + 1];
byte out_count;
byte finished;

#define SLOTS_LATE                                                                                 \
    (late_slots[0] != NONE || late_slots[1] != NONE || late_slots[2] != NONE ||                    \
        late_slots[3] != NONE || late_slots[4] != NONE || late_slots[5] != NONE)

inline out(task)
{
    assert(task != 0);
    assert(!came_out[task]);
    came_out[task] = true;
    out_count++
}

inline show_slot(i)
{
    if
    :: late_slots[i] != NONE -> slots[i] = late_slots[i]; late_slots[i] = NONE
    :: else
    fi
}

inline show_ring()
{
    if
    :: late_ring != NONE -> ring = late_ring; late_ring = NONE
    :: else
    fi
}

inline show_bottom()
{
    if
    :: late_bottom != NONE -> bottom = late_bottom; late_bottom = NONE
    :: else
    fi
}

inline fence()
{
    d_step {
        show_slot(0); show_slot(1); show_slot(2); show_slot(3); show_slot(4); show_slot(5);
        show_ring();
        show_bottom()
    }
}

proctype memory()
{
    do
    :: d_step { late_slots[0] != NONE -> show_slot(0) }
    :: d_step { late_slots[1] != NONE -> show_slot(1) }
    :: d_step { late_slots[2] != NONE -> show_slot(2) }
    :: d_step { late_slots[3] != NONE -> show_slot(3) }
    :: d_step { late_slots[4] != NONE -> show_slot(4) }
    :: d_step { late_slots[5] != NONE -> show_slot(5) }
#ifdef NO_RELEASE_IN_GROW
    :: d_step { late_ring != NONE -> show_ring() }
#else
    :: d_step { late_ring != NONE && !SLOTS_LATE -> show_ring() }
#endif
#ifdef NO_RELEASE_IN_PUSH
    :: d_step { late_bottom != NONE -> show_bottom() }
#else
    :: d_step { late_bottom != NONE && late_ring == NONE && !SLOTS_LATE -> show_bottom() }
#endif
    :: finished == THIEVES + 1 -> break
    od;
    assert(out_count == TASKS)
}

inline copy(position)
{
    if
    :: t <= position && position < b ->
        late_slots[PLACE(1, position)] =
            (late_slots[PLACE(0, position)] != NONE -> late_slots[PLACE(0, position)]
                                                    : slots[PLACE(0, position)])
    :: else
    fi
}

#ifdef FULL_BY_ONE_MORE
#define IS_FULL (b - t > SIZE(r))
#else
#define IS_FULL (b - t >= SIZE(r))
#endif

/* What it stores is visible only later, so all of it is one step. */
inline push()
{
    t = top;
    d_step {
        assert(b >= t);
        if
        :: IS_FULL ->
            assert(r == 0);
#ifndef GROW_WITHOUT_COPY
            copy(1); copy(2); copy(3); copy(4);
#endif
            r = 1;
            late_ring = 1
        :: else
        fi;
        pushed++;
        late_slots[PLACE(r, b)] = pushed;
        b++;
        late_bottom = b
    }
}

inline take()
{
    dry = false;
    t = top;
    if
    :: t >= b -> dry = true
    :: else ->
        d_step { b--; late_bottom = b };
#ifndef NO_FENCE_IN_TAKE
        fence();
#endif
        t = top;
        task = (late_slots[PLACE(r, b)] != NONE -> late_slots[PLACE(r, b)] : slots[PLACE(r, b)]);
        if
#ifdef LAST_WITHOUT_SWAP
        :: t <= b -> d_step { out(task) }
#else
        :: t < b -> d_step { out(task) }
        :: t == b ->
            d_step {
                if
                :: top == t -> top++; out(task)
                :: else
                fi;
                b++;
                late_bottom = b
            }
#endif
        :: t > b -> d_step { b++; late_bottom = b; dry = true }
        fi
    fi
}

proctype owner()
{
    byte b = 1, r, t, task, pushed, takes;
    bool dry;
    do
    :: pushed < TASKS -> push()
    :: pushed < TASKS && takes < TAKES -> takes++; take()
    :: pushed == TASKS -> break
    od;
    dry = false;
    do
    :: !dry -> take()
    :: dry -> break
    od;
    finished++
}

inline load_in_order()
{
    t = top;
    seen = bottom
}

proctype thief()
{
    byte t, seen, r, task, attempts;
    do
    :: attempts < STEALS ->
        attempts++;
#ifdef NO_FENCE_IN_STEAL
        if
        :: load_in_order()
        :: seen = bottom; t = top
        fi;
#else
        load_in_order();
#endif
        if
        :: t < seen ->
            r = ring;
#ifndef SLOT_AFTER_SWAP
            task = slots[PLACE(r, t)];
            d_step {
                if
                :: top == t -> top++; out(task)
                :: else
                fi
            }
#else
            if
            :: d_step { top == t -> top++ };
                task = slots[PLACE(r, t)];
                d_step { out(task) }
            :: top != t
            fi
#endif
        :: else
        fi
    :: attempts == STEALS -> break
    od;
    finished++
}

init
{
    byte i;
    atomic {
        for (i : 0 .. 5) {
            late_slots[i] = NONE
        }
        run owner();
        run memory();
        for (i : 1 .. THIEVES) {
            run thief()
        }
    }
}
