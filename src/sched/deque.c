/* deque.c - the work-stealing deque of Chase and Lev, with the memory orders of Lê, Pop, Cohen and
 * Zappa Nardelli ("Correct and Efficient Work-Stealing for Weak Memory Models", PPoPP 2013).
 *
 * A ring of slots between `top` and `bottom`, both of which count from 0 and are taken modulo the
 * ring's size. The owner pushes and takes at the bottom, thieves take at the top by compare-and-swap.
 *
 *   (1) Slots top .. bottom-1 hold tasks. `top` only grows.
 *   (2) Slot i is written again only for task i + slots, which is pushed only when the owner has seen
 *       top > i. So a thief may read a slot first and swap `top` afterwards: if the swap succeeds
 *       the slot had not been written meanwhile. That holds for both words of it.
 *   (3) The owner lowers `bottom` before it looks at `top`, a thief looks at `top` before `bottom`,
 *       each with a full fence between: of the two at least one sees the other. For the last task
 *       both swap `top`.
 *   (4) A grown ring has the same tasks at the same numbers. The old ring is not written any more and
 *       is kept until the deque ends, because a thief may still read there; all of them together
 *       are smaller than the newest.
 *
 * Where the paper has a release fence before a relaxed store of `bottom`, here the store itself is a
 * release, and so is every store of `bottom`: the thread sanitizer knows stores but not fences, and the
 * processors that we build for make no difference. The job stands beside its task in the slot, so
 * that a thief who wants the tasks of one job need not touch a task that may be gone.
 *
 * tests/model/deque.pml has every interleaving of this, with the stores and loads that a weak memory
 * may reorder as steps of their own. */
#include "sched/sched_internal.h"

struct slot {
    _Atomic(struct bs_task *) task;
    _Atomic(struct bs_job *) job;
};

struct bs_deque_array {
    struct bs_deque_array *older;
    int64_t slots; /* a power of two */
    struct slot ring[];
};

static struct slot *slot_at(struct bs_deque_array *array, int64_t number)
{
    return &array->ring[number & (array->slots - 1)];
}

static void slot_set(struct slot *slot, struct bs_task *task, struct bs_job *job)
{
    atomic_store_explicit(&slot->task, task, memory_order_relaxed);
    atomic_store_explicit(&slot->job, job, memory_order_relaxed);
}

static struct bs_deque_array *array_of(int64_t slots, struct bs_deque_array *older)
{
    struct bs_deque_array *array = bs_alloc(sizeof *array + (size_t)slots * sizeof array->ring[0]);
    if (!array) return NULL;
    array->older = older;
    array->slots = slots;
    for (int64_t i = 0; i < slots; i++) {
        atomic_init(&array->ring[i].task, NULL);
        atomic_init(&array->ring[i].job, NULL);
    }
    return array;
}

basalt_status bs_deque_create(struct bs_deque *deque, basalt_error *err)
{
    atomic_init(&deque->top, 0);
    atomic_init(&deque->bottom, 0);
    struct bs_deque_array *array = array_of(BS_DEQUE_SLOTS_MIN, NULL);
    atomic_init(&deque->array, array);
    if (array) return BASALT_OK;
    return bs_fail_memory(err, BS_DEQUE_SLOTS_MIN * sizeof array->ring[0]);
}

void bs_deque_destroy(struct bs_deque *deque)
{
    struct bs_deque_array *array = atomic_load(&deque->array);
    while (array) {
        struct bs_deque_array *older = array->older;
        bs_free(array);
        array = older;
    }
}

/* By the owner: a ring twice as large, or NULL. */
static struct bs_deque_array *grow(
    struct bs_deque *deque, struct bs_deque_array *old, int64_t top, int64_t bottom)
{
    if (old->slots >= BS_DEQUE_SLOTS_MAX) return NULL;
    struct bs_deque_array *array = array_of(2 * old->slots, old);
    if (!array) return NULL;
    for (int64_t i = top; i < bottom; i++) {
        const struct slot *from = slot_at(old, i);
        slot_set(slot_at(array, i), atomic_load_explicit(&from->task, memory_order_relaxed),
            atomic_load_explicit(&from->job, memory_order_relaxed));
    }
    atomic_store_explicit(&deque->array, array, memory_order_release);
    return array;
}

bool bs_deque_push(struct bs_deque *deque, struct bs_task *task)
{
    const int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed);
    const int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    struct bs_deque_array *array = atomic_load_explicit(&deque->array, memory_order_relaxed);
    assert(bottom >= top && bottom - top <= array->slots);
    if (bottom - top >= array->slots) {
        array = grow(deque, array, top, bottom);
        if (!array) return false;
    }
    slot_set(slot_at(array, bottom), task, task->job);
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return true;
}

struct bs_task *bs_deque_take(struct bs_deque *deque, const struct bs_job *job)
{
    const int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_relaxed) - 1;
    struct bs_deque_array *array = atomic_load_explicit(&deque->array, memory_order_relaxed);
    if (atomic_load_explicit(&deque->top, memory_order_relaxed) > bottom) return NULL;
    struct slot *slot = slot_at(array, bottom); /* written by this thread alone */
    if (job && atomic_load_explicit(&slot->job, memory_order_relaxed) != job) return NULL;
    atomic_store_explicit(&deque->bottom, bottom, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    int64_t top = atomic_load_explicit(&deque->top, memory_order_relaxed);
    struct bs_task *task = NULL;
    if (top <= bottom) {
        task = atomic_load_explicit(&slot->task, memory_order_relaxed);
        if (top < bottom) return task;
        if (!atomic_compare_exchange_strong_explicit(
                &deque->top, &top, top + 1, memory_order_seq_cst, memory_order_relaxed)) {
            task = NULL; /* a thief had it */
        }
    }
    atomic_store_explicit(&deque->bottom, bottom + 1, memory_order_release);
    return task;
}

enum bs_steal bs_deque_steal(
    struct bs_deque *deque, const struct bs_job *job, struct bs_task **out_task)
{
    *out_task = NULL;
    int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    atomic_thread_fence(memory_order_seq_cst);
    const int64_t bottom = atomic_load_explicit(&deque->bottom, memory_order_acquire);
    if (top >= bottom) return BS_STEAL_EMPTY;
    /* The paper consumes this pointer, which compilers take for an acquire anyway. */
    struct bs_deque_array *array = atomic_load_explicit(&deque->array, memory_order_acquire);
    struct slot *slot = slot_at(array, top);
    struct bs_task *task = atomic_load_explicit(&slot->task, memory_order_relaxed);
    if (job && atomic_load_explicit(&slot->job, memory_order_relaxed) != job) {
        return BS_STEAL_OTHER; /* or it is gone: either way, not ours to wait for */
    }
    if (!atomic_compare_exchange_strong_explicit(
            &deque->top, &top, top + 1, memory_order_seq_cst, memory_order_relaxed)) {
        return BS_STEAL_LOST;
    }
    *out_task = task;
    return BS_STEAL_TAKEN;
}

int64_t bs_deque_count(const struct bs_deque *deque)
{
    return atomic_load_explicit(&deque->bottom, memory_order_relaxed) -
        atomic_load_explicit(&deque->top, memory_order_relaxed);
}

bool bs_deque_is_empty(const struct bs_deque *deque)
{
    const int64_t top = atomic_load_explicit(&deque->top, memory_order_acquire);
    return top >= atomic_load_explicit(&deque->bottom, memory_order_acquire);
}
