/* sched.c - worker threads: how they find tasks, sleep, come and go.
 *
 * WHERE TASKS LIE. A task spawned by a worker of the job's own pool goes to that worker's deque, any
 * other to the queue of its job (job.c); the jobs with something in their queues form the pool's ring,
 * which is how foreign threads inject work. A worker takes the youngest task of its own deque, else
 * from the ring, else the oldest of another worker's deque, chosen at random. Every eighth time it
 * looks at the ring first, so that a job that feeds itself does not keep the others out.
 *
 * INVARIANTS
 *   (1) A job's `unfinished` counts its tasks that lie anywhere or run, and those of (6). It is 0
 *       iff the job has ended.
 *   (2) The deque of a thread that is blocked, or is no worker any more, is empty: before a worker
 *       blocks in a wait, parks or leaves, what is left goes to the queues of its jobs.
 *   (3) A waiter blocks only when its job's queue is empty. So by (2) each unfinished task of the job
 *       runs on another thread, or lies in the deque of one that runs. A running thread either
 *       computes; or returns and takes what lies in its deque; or waits in its turn, for tasks spawned
 *       later than the one that it runs, and runs those, or blocks and by (2) gives the rest back,
 *       which wakes the waiter. Unless the program itself waits in a circle, the last thread of each
 *       chain of waits computes: no number of nested waits blocks for good, with however few threads.
 *   (4) No wake-up is lost. A worker counts itself `idle`, then looks at every deque and the ring,
 *       then sleeps, all under the mutex; who pushes looks at `idle` afterwards; there is a full fence
 *       between the two on either side. Who finds `waking` set need not wake anybody: the woken one
 *       clears it before it looks around, and when it has found something it wakes the next while
 *       there is more. tests/model/park.pml has every interleaving.
 *   (5) A job is touched after its last task only under the mutex of the pool, which outlives it. So a
 *       waiter that has seen `unfinished` 0 under that mutex may free the job. The pool itself goes
 *       with the last of: its owner, its jobs, the threads lent to it.
 *   (6) What a worker has ended it counts off later, many tasks at once: before it begins a task of
 *       another job, and before it blocks, parks, leaves or finds nothing. Until then it runs a task of
 *       that job, which is unfinished itself, or it is on its way to one: so no end is late by more
 *       than a look around.
 *
 * A worker's record stays when its thread leaves, and a later thread takes it over.
 * Lock order: `resize`, then a pool's mutex. Neither is held while a task runs. */
#include "sched/sched_internal.h"

#include <stdio.h>

#define STEAL_ROUNDS 3        /* over all workers, before a worker parks */
#define RING_TURN 8           /* how often a worker with tasks of its own looks at the ring */
#define LENT_LOOK_NS 50000000 /* how often a parked lent thread looks at its cancel token */

/* What the calling thread is. Nothing but the thread itself ever looks at it. */
static _Thread_local struct bs_worker *self;

struct bs_worker *bs_worker_any(void)
{
    return self;
}

struct bs_worker *bs_worker_self(const struct bs_pool *pool)
{
    return self && self->pool == pool ? self : NULL;
}

/* ---- wake-ups -------------------------------------------------------------------------------- */

void bs_pool_wake_locked(struct bs_pool *pool)
{
    if (atomic_load(&pool->idle) == 0 || atomic_load(&pool->waking)) return;
    atomic_store(&pool->waking, true);
    bs_condition_signal(&pool->work);
}

void bs_pool_wake(struct bs_pool *pool)
{
    atomic_thread_fence(memory_order_seq_cst); /* the push, then `idle`: invariant 4 */
    if (atomic_load_explicit(&pool->idle, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&pool->waking, memory_order_relaxed)) {
        return;
    }
    bs_mutex_lock(&pool->mutex);
    bs_pool_wake_locked(pool);
    bs_mutex_unlock(&pool->mutex);
}

static bool pool_has_tasks(const struct bs_pool *pool)
{
    if (atomic_load(&pool->ring_jobs) > 0) return true;
    const unsigned count = atomic_load(&pool->slot_count);
    for (unsigned i = 0; i < count; i++) {
        if (!bs_deque_is_empty(&atomic_load(&pool->workers[i])->deque)) return true;
    }
    return false;
}

/* ---- finding a task -------------------------------------------------------------------------- */

static uint64_t next_chance(uint64_t *chance)
{
    *chance ^= *chance << 13; /* xorshift64 */
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    return *chance;
}

struct bs_task *bs_pool_steal(
    struct bs_pool *pool, struct bs_worker *thief, const struct bs_job *job)
{
    const unsigned count = atomic_load_explicit(&pool->slot_count, memory_order_acquire);
    if (count == 0) return NULL;
    unsigned at = thief ? (unsigned)(next_chance(&thief->chance) % count) : 0;
    for (unsigned i = 0; i < count; i++, at = at + 1 < count ? at + 1 : 0) {
        struct bs_worker *victim = atomic_load_explicit(&pool->workers[at], memory_order_acquire);
        struct bs_task *task = NULL;
        if (victim == thief) continue;
        /* Each loss is another thread's gain, so this ends. */
        while (bs_deque_steal(&victim->deque, job, &task) == BS_STEAL_LOST) continue;
        if (task) return task;
    }
    return NULL;
}

static struct bs_task *take_from_ring(struct bs_pool *pool, struct bs_worker *worker)
{
    if (atomic_load_explicit(&pool->ring_jobs, memory_order_relaxed) == 0) return NULL;
    bs_mutex_lock(&pool->mutex);
    struct bs_task *task = bs_ring_take(pool, worker);
    bs_mutex_unlock(&pool->mutex);
    return task;
}

static struct bs_task *find_task(struct bs_worker *worker)
{
    struct bs_pool *pool = worker->pool;
    struct bs_task *task = NULL;
    if (++worker->turn % RING_TURN == 0) task = take_from_ring(pool, worker);
    if (!task) task = bs_deque_take(&worker->deque, NULL);
    if (!task) task = take_from_ring(pool, worker);
    if (!task) task = bs_pool_steal(pool, worker, NULL);
    return task;
}

/* ---- a worker's life ------------------------------------------------------------------------- */

static bool is_to_leave(const struct bs_worker *worker)
{
    return worker->pool->stopping || worker->state == BS_WORKER_LEAVES ||
        (worker->cancel && atomic_load(&worker->cancel->requested));
}

/* Sleeps until there may be a task. True if the worker was asleep; *out_leave: it is to go. */
static bool park(struct bs_worker *worker, bool *out_leave)
{
    struct bs_pool *pool = worker->pool;
    bs_mutex_lock(&pool->mutex);
    *out_leave = is_to_leave(worker);
    bool slept = false;
    if (!*out_leave) {
        atomic_fetch_add(&pool->idle, 1);
        atomic_thread_fence(memory_order_seq_cst); /* `idle`, then the deques: invariant 4 */
        if (!pool_has_tasks(pool)) {
            slept = true;
            if (worker->lent) {
                (void)bs_condition_wait_until(
                    &pool->work, &pool->mutex, bs_now_ns() + LENT_LOOK_NS);
            } else {
                bs_condition_wait(&pool->work, &pool->mutex);
            }
            atomic_store(&pool->waking, false);
            atomic_thread_fence(memory_order_seq_cst); /* `waking`, then all there is */
        }
        atomic_fetch_sub(&pool->idle, 1);
        *out_leave = is_to_leave(worker);
    }
    bs_mutex_unlock(&pool->mutex);
    return slept;
}

/* True at the latest when the worker has parked since it was told to go. */
static bool told_to_leave(struct bs_worker *worker)
{
    if (worker->cancel && atomic_load(&worker->cancel->requested)) return true;
    if (worker->turn % RING_TURN != 0) return false;
    bs_mutex_lock(&worker->pool->mutex);
    const bool leave = is_to_leave(worker);
    bs_mutex_unlock(&worker->pool->mutex);
    return leave;
}

static void work(struct bs_worker *worker)
{
    struct bs_pool *pool = worker->pool;
    bool slept = false, leave = false;
    unsigned misses = 0;
    while (!leave) {
        struct bs_task *task = find_task(worker);
        if (!task) bs_worker_settle(worker); /* invariant 6 */
        if (!task && ++misses < STEAL_ROUNDS) {
            bs_thread_yield();
            continue;
        }
        misses = 0;
        if (!task) {
            slept = park(worker, &leave);
            continue;
        }
        if (slept && pool_has_tasks(pool)) bs_pool_wake(pool); /* invariant 4: wakes the next */
        slept = false;
        bs_task_run(worker, task);
        leave = told_to_leave(worker);
    }
    bs_worker_settle(worker);
    bs_worker_empty(worker);
    if (pool_has_tasks(pool)) bs_pool_wake(pool); /* the wake-up may have been for this one */
}

static void worker_main(void *argument)
{
    struct bs_worker *worker = argument;
    struct bs_pool *pool = worker->pool;
    self = worker;
    if (pool->priority == BS_PRIORITY_BACKGROUND) bs_thread_lower_priority();
    for (bool again = true; again;) {
        work(worker);
        bs_mutex_lock(&pool->mutex);
        again = !is_to_leave(worker); /* it was to go, and then to stay */
        if (!again) {
            bs_spare_end_worker(worker);
            worker->state = BS_WORKER_LEFT;
        }
        bs_mutex_unlock(&pool->mutex);
    }
}

/* ---- threads added and retired --------------------------------------------------------------- */

/* A record for a new thread: one that is free, or a new one. Not held: the mutex. */
static basalt_status slot_take(
    struct bs_pool *pool, bool lent, struct bs_worker **out_worker, basalt_error *err)
{
    *out_worker = NULL;
    struct bs_worker *fresh = bs_alloc_zeroed(1, sizeof *fresh), *worker = NULL;
    if (!fresh) return bs_fail_memory(err, sizeof *fresh);
    basalt_status status = bs_deque_create(&fresh->deque, err);
    if (status) {
        bs_free(fresh);
        return status;
    }
    fresh->pool = pool;
    bs_mutex_lock(&pool->mutex);
    const unsigned count = atomic_load(&pool->slot_count);
    for (unsigned i = 0; i < count && !worker; i++) {
        struct bs_worker *old = atomic_load(&pool->workers[i]);
        if (old->state == BS_WORKER_FREE) worker = old;
    }
    if (!worker && count < BS_SCHED_THREADS_MAX) {
        worker = fresh;
        fresh = NULL;
        worker->chance = 0x9e3779b97f4a7c15u * (count + 1); /* any value but 0 */
        atomic_store(&pool->workers[count], worker);
        atomic_store(&pool->slot_count, count + 1);
    }
    if (worker) {
        worker->state = BS_WORKER_RUNS;
        worker->lent = lent;
        worker->cancel = NULL;
        atomic_fetch_add(&pool->threads, 1);
    }
    bs_mutex_unlock(&pool->mutex);
    if (fresh) {
        bs_deque_destroy(&fresh->deque);
        bs_free(fresh);
    }
    *out_worker = worker;
    if (worker) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the scheduler has %d threads already, lent ones included: that is its limit",
        BS_SCHED_THREADS_MAX);
}

static void slot_give(struct bs_worker *worker)
{
    struct bs_pool *pool = worker->pool;
    bs_mutex_lock(&pool->mutex);
    if (worker->state == BS_WORKER_RUNS) atomic_fetch_sub(&pool->threads, 1);
    worker->state = BS_WORKER_FREE;
    bs_mutex_unlock(&pool->mutex);
}

/* Threads that have left are joined, and their records are free again. `resize` is held. */
static void join_left(struct bs_pool *pool)
{
    const unsigned count = atomic_load(&pool->slot_count);
    for (unsigned i = 0; i < count; i++) {
        struct bs_worker *worker = atomic_load(&pool->workers[i]);
        bs_mutex_lock(&pool->mutex);
        const bool left = worker->state == BS_WORKER_LEFT;
        bs_mutex_unlock(&pool->mutex);
        if (!left) continue;
        bs_thread_join(worker->thread);
        worker->thread = NULL;
        slot_give(worker);
    }
}

/* The last ones are told to go, or those that were told are told to stay, until `wanted` are left or
 * no more can be had so. Gives how many own threads there are then. `resize` is held. */
static unsigned tell_workers(struct bs_pool *pool, unsigned wanted)
{
    bs_mutex_lock(&pool->mutex);
    unsigned own = 0;
    for (unsigned i = 0; i < atomic_load(&pool->slot_count); i++) {
        struct bs_worker *worker = atomic_load(&pool->workers[i]);
        if (worker->lent) continue;
        if (worker->state == BS_WORKER_LEAVES && own < wanted) {
            worker->state = BS_WORKER_RUNS;
            atomic_fetch_add(&pool->threads, 1);
        } else if (worker->state == BS_WORKER_RUNS && own >= wanted) {
            worker->state = BS_WORKER_LEAVES;
            atomic_fetch_sub(&pool->threads, 1);
        }
        if (worker->state == BS_WORKER_RUNS) own++;
    }
    bs_condition_broadcast(&pool->work);
    bs_mutex_unlock(&pool->mutex);
    return own;
}

static basalt_status pool_resize(struct bs_pool *pool, unsigned wanted, basalt_error *err)
{
    static const char *const letters[] = {"fore", "back"};
    for (unsigned own = tell_workers(pool, wanted); own < wanted; own++) {
        struct bs_worker *worker = NULL;
        join_left(pool);
        basalt_status status = slot_take(pool, false, &worker, err);
        if (status) return status;
        char name[32];
        snprintf(name, sizeof name, "basalt-%s-%u", letters[pool->priority], own);
        status = bs_thread_start(name, worker_main, worker, &worker->thread, err);
        if (status) {
            slot_give(worker);
            return status;
        }
    }
    join_left(pool);
    return BASALT_OK;
}

basalt_status bs_sched_set_threads(struct bs_sched *sched, unsigned threads, basalt_error *err)
{
    if (threads == BS_SCHED_NO_THREADS) {
        threads = 0;
    } else if (threads == 0) {
        threads = BS_MIN(bs_processor_count(), (unsigned)BS_SCHED_THREADS_MAX);
    } else if (threads > BS_SCHED_THREADS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%u threads were asked for, a scheduler has at most %d", threads, BS_SCHED_THREADS_MAX);
    }
    bs_mutex_lock(&sched->resize);
    basalt_status status = pool_resize(&sched->pools[BS_PRIORITY_FOREGROUND], threads, err);
    if (!status) {
        status = pool_resize(&sched->pools[BS_PRIORITY_BACKGROUND], (threads + 1) / 2, err);
    }
    bs_mutex_unlock(&sched->resize);
    return status;
}

static void pool_stop(struct bs_pool *pool)
{
    bs_mutex_lock(&pool->mutex);
    pool->stopping = true;
    bs_condition_broadcast(&pool->work);
    bs_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < atomic_load(&pool->slot_count); i++) {
        struct bs_worker *worker = atomic_load(&pool->workers[i]);
        bs_thread_join(worker->thread);
        worker->thread = NULL;
    }
}

/* ---- lent threads ---------------------------------------------------------------------------- */

basalt_status bs_sched_work(
    struct bs_sched *sched, const struct bs_cancel *cancel, basalt_error *err)
{
    struct bs_pool *pool = &sched->pools[BS_PRIORITY_FOREGROUND];
    struct bs_worker *worker = NULL;
    for (const struct bs_worker *outer = self; outer; outer = outer->outer) {
        if (outer->pool->sched == sched) {
            return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
                "this thread works for the scheduler already: a task cannot lend it again");
        }
    }
    if (sched->process_id != bs_process_id()) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the scheduler was made by the process that forked this one: make one here");
    }
    bs_sched_retain(sched);
    const basalt_status status = slot_take(pool, true, &worker, err);
    if (!status) {
        atomic_fetch_add(&sched->lent, 1);
        worker->cancel = cancel;
        worker->outer = self;
        self = worker;
        work(worker);
        self = worker->outer;
        worker->outer = NULL;
        bs_spare_end_worker(worker);
        slot_give(worker);
        atomic_fetch_sub(&sched->lent, 1);
    }
    bs_sched_release(sched);
    return status;
}

/* ---- the scheduler --------------------------------------------------------------------------- */

static void pool_init(struct bs_pool *pool, struct bs_sched *sched, enum bs_priority priority)
{
    pool->sched = sched;
    pool->priority = priority;
    bs_mutex_init(&pool->mutex);
    bs_condition_init(&pool->work);
}

static void pool_destroy(struct bs_pool *pool)
{
    assert(!pool->first);
    for (unsigned i = 0; i < atomic_load(&pool->slot_count); i++) {
        struct bs_worker *worker = atomic_load(&pool->workers[i]);
        assert(bs_deque_is_empty(&worker->deque));
        bs_deque_destroy(&worker->deque);
        bs_free(worker);
    }
    bs_spare_end_pool(pool);
    bs_condition_destroy(&pool->work);
    bs_mutex_destroy(&pool->mutex);
}

void bs_sched_retain(struct bs_sched *sched)
{
    atomic_fetch_add(&sched->references, 1);
}

void bs_sched_release(struct bs_sched *sched)
{
    if (atomic_fetch_sub(&sched->references, 1) != 1) return;
    for (unsigned i = 0; i < BS_ARRAY_LENGTH(sched->pools); i++) pool_destroy(&sched->pools[i]);
    bs_mutex_destroy(&sched->resize);
    bs_free(sched);
}

basalt_status bs_sched_create(unsigned threads, struct bs_sched **out_sched, basalt_error *err)
{
    *out_sched = NULL;
    struct bs_sched *sched = bs_alloc_zeroed(1, sizeof *sched);
    if (!sched) return bs_fail_memory(err, sizeof *sched);
    sched->process_id = bs_process_id();
    atomic_store(&sched->references, 1);
    bs_mutex_init(&sched->resize);
    pool_init(&sched->pools[BS_PRIORITY_FOREGROUND], sched, BS_PRIORITY_FOREGROUND);
    pool_init(&sched->pools[BS_PRIORITY_BACKGROUND], sched, BS_PRIORITY_BACKGROUND);
    const basalt_status status = bs_sched_set_threads(sched, threads, err);
    if (status) {
        bs_sched_free(sched);
        return status;
    }
    *out_sched = sched;
    return BASALT_OK;
}

void bs_sched_free(struct bs_sched *sched)
{
    if (!sched || sched->process_id != bs_process_id()) return;
    bs_mutex_lock(&sched->resize);
    for (unsigned i = 0; i < BS_ARRAY_LENGTH(sched->pools); i++) pool_stop(&sched->pools[i]);
    bs_mutex_unlock(&sched->resize);
    bs_sched_release(sched);
}

unsigned bs_sched_threads(const struct bs_sched *sched)
{
    return atomic_load(&sched->pools[BS_PRIORITY_FOREGROUND].threads);
}

struct bs_sched_use bs_sched_use(const struct bs_sched *sched)
{
    return (struct bs_sched_use){.threads = bs_sched_threads(sched),
        .lent_threads = atomic_load(&sched->lent),
        .jobs = atomic_load(&sched->jobs)};
}
