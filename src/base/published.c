/* published.c - a pointer that many read and one replaces.
 *
 * A reader that loads the pointer and then counts a reference may count it in memory that was freed
 * in between. So a reader first stands in one of two counters, then loads and counts, then leaves;
 * the publisher, after the swap, waits until each counter was seen at 0 once.
 *
 * INVARIANTS (all steps are sequentially consistent, so "before" is one order for all)
 *   (1) A reader that loaded the old pointer stood in a counter before the swap. So a counter that
 *       is seen at 0 after the swap holds no such reader, and whoever enters later loads the new one.
 *   (2) Both counters are waited for. A reader may read the phase, sleep, and stand in a counter that
 *       readers of its time have long left: the phase alone would miss it one publication later.
 *   (3) The publisher turns the phase before it waits, so the counter that it waits for is not
 *       entered again by new readers and reaches 0: readers cannot starve it.
 *   (4) A reader stands in a counter for a few instructions and never waits there. */
#include "base/base.h"

#define SPINS_BEFORE_YIELD 64

void bs_shared_init(struct bs_shared *shared, void (*destroy)(struct bs_shared *))
{
    atomic_init(&shared->references, 1);
    shared->destroy = destroy;
}

void bs_shared_retain(struct bs_shared *shared)
{
    const uint64_t before = atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void bs_shared_release(struct bs_shared *shared)
{
    if (!shared) return;
    const uint64_t before = atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) shared->destroy(shared);
}

struct bs_shared *bs_published_take(struct bs_published *published)
{
    _Atomic uint64_t *readers = &published->readers[atomic_load(&published->phase) & 1];
    atomic_fetch_add(readers, 1);
    struct bs_shared *current = atomic_load(&published->current);
    if (current) bs_shared_retain(current);
    atomic_fetch_sub(readers, 1);
    return current;
}

static void wait_for_readers(_Atomic uint64_t *readers)
{
    for (unsigned spins = 0; atomic_load(readers) > 0; spins++) {
        if (spins >= SPINS_BEFORE_YIELD) bs_thread_yield(); /* a reader was preempted */
    }
}

void bs_published_set(struct bs_published *published, struct bs_shared *next)
{
    struct bs_shared *old = atomic_exchange(&published->current, next);
    if (!old) return;
    for (unsigned turn = 0; turn < 2; turn++) {
        const uint64_t phase = atomic_fetch_add(&published->phase, 1);
        wait_for_readers(&published->readers[phase & 1]);
    }
    bs_shared_release(old);
}
