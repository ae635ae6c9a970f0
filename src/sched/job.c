/* job.c - jobs: their queues, their ends, and who waits for them. The invariants are in sched.c.
 *
 * A job's queue, its failure and its place in the ring are guarded by its pool's mutex; without a
 * pool, by its own. `unfinished` is counted without the mutex, but for the last task: who may be the
 * last counts down under it (invariant 5).
 *
 * A waiter looks for its own job's tasks in three places: the youngest of its own deque, if it is a
 * worker; the job's queue; the oldest of each other worker's deque. Tasks deeper down in a deque it
 * does not see, and need not: by invariants 2 and 3 a running thread is certain to come to them. For
 * the same reason a waiter need not be told of a task that goes to a deque; it is, when no worker
 * sleeps, so that it helps. */
#include "sched/sched_internal.h"

#define RING_BATCH_MAX 8  /* tasks that a worker takes from a job's queue at once */
#define NUDGE_TASKS_MIN 3 /* in a deque */

struct bs_job {
    _Atomic uint64_t unfinished; /* all others are seldom written, and read with each task */
    char between[BS_CACHE_LINE_BYTES - sizeof(uint64_t)];
    struct bs_sched *sched;
    struct bs_pool *pool; /* NULL: every task runs in bs_job_wait */
    bs_mutex own_mutex;
    bs_mutex *mutex;      /* the pool's, or own_mutex */
    bs_condition changed; /* it ended, or there is a task that a waiter can run */
    const struct bs_cancel *cancel;
    struct bs_job *next_in_ring, *previous_in_ring;
    struct bs_task *first, *last;
    atomic_uint queued;  /* tasks from first to last; written under the mutex */
    atomic_uint waiting; /* threads in `changed`; written under the mutex */
    atomic_bool nudged;  /* one of them was told to look around; written under the mutex */
    atomic_bool failed;  /* `failure` is set */
    basalt_status failure;
    basalt_error error;
};

/* ---- cancel ---------------------------------------------------------------------------------- */

void bs_cancel_request(struct bs_cancel *cancel)
{
    atomic_store(&cancel->requested, true);
}

basalt_status bs_cancel_check(const struct bs_cancel *cancel, basalt_error *err)
{
    if (!cancel || !atomic_load(&cancel->requested)) return BASALT_OK;
    return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "the operation was cancelled");
}

/* ---- the ring of jobs and a job's queue: all under the job's mutex --------------------------- */

static void ring_append(struct bs_pool *pool, struct bs_job *job)
{
    job->previous_in_ring = pool->last;
    job->next_in_ring = NULL;
    if (pool->last) {
        pool->last->next_in_ring = job;
    } else {
        pool->first = job;
    }
    pool->last = job;
}

static void ring_remove(struct bs_pool *pool, struct bs_job *job)
{
    if (job->previous_in_ring) {
        job->previous_in_ring->next_in_ring = job->next_in_ring;
    } else {
        pool->first = job->next_in_ring;
    }
    if (job->next_in_ring) {
        job->next_in_ring->previous_in_ring = job->previous_in_ring;
    } else {
        pool->last = job->previous_in_ring;
    }
    job->next_in_ring = job->previous_in_ring = NULL;
}

static void queue_push(struct bs_job *job, struct bs_task *task)
{
    task->next = NULL;
    if (!job->first) {
        job->first = task;
        if (job->pool) {
            ring_append(job->pool, job);
            atomic_fetch_add(&job->pool->ring_jobs, 1);
        }
    } else {
        job->last->next = task;
    }
    job->last = task;
    atomic_fetch_add_explicit(&job->queued, 1, memory_order_relaxed);
    if (job->pool) bs_pool_wake_locked(job->pool);
    if (atomic_load(&job->waiting)) bs_condition_signal(&job->changed);
}

static struct bs_task *queue_pop(struct bs_job *job)
{
    struct bs_task *task = job->first;
    if (!task) return NULL;
    job->first = task->next;
    atomic_fetch_sub_explicit(&job->queued, 1, memory_order_relaxed);
    if (!job->first) {
        job->last = NULL;
        if (job->pool) {
            ring_remove(job->pool, job);
            atomic_fetch_sub(&job->pool->ring_jobs, 1);
        }
    }
    return task;
}

/* A share of the queue: a worker alone gets all the more of it, many get little each. */
static unsigned batch_of(const struct bs_pool *pool, const struct bs_job *job)
{
    const unsigned share = atomic_load(&job->queued) / (2 * BS_MAX(1, atomic_load(&pool->threads)));
    return BS_MIN(share, RING_BATCH_MAX);
}

struct bs_task *bs_ring_take(struct bs_pool *pool, struct bs_worker *worker)
{
    struct bs_job *job = pool->first;
    if (!job) return NULL;
    struct bs_task *task = queue_pop(job);
    if (!job->first) return task;
    ring_remove(pool, job); /* to the end: the next worker serves the next job */
    ring_append(pool, job);
    if (!bs_deque_is_empty(&worker->deque)) return task;
    for (unsigned i = batch_of(pool, job); i > 1 && job->first; i--) {
        const bool pushed = bs_deque_push(&worker->deque, queue_pop(job));
        assert(pushed); /* an empty deque has room for a batch */
        (void)pushed;
    }
    return task;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void bs_worker_empty(struct bs_worker *worker)
{
    struct bs_task *task = NULL;
    while ((task = bs_deque_take(&worker->deque, NULL)) != NULL) {
        bs_mutex_lock(&worker->pool->mutex);
        queue_push(task->job, task);
        bs_mutex_unlock(&worker->pool->mutex);
    }
}

/* Counts `count` tasks off. The mutex is held. */
static void finish_locked(struct bs_job *job, uint64_t count)
{
    const uint64_t before =
        atomic_fetch_sub_explicit(&job->unfinished, count, memory_order_acq_rel);
    assert(before >= count);
    if (before == count) bs_condition_broadcast(&job->changed);
}

/* Counts `count` tasks off; the job may be gone afterwards. */
static void finish(struct bs_job *job, uint64_t count)
{
    bs_mutex *mutex = job->mutex;
    uint64_t unfinished = atomic_load_explicit(&job->unfinished, memory_order_relaxed);
    while (unfinished > count) {
        if (atomic_compare_exchange_weak_explicit(&job->unfinished, &unfinished, unfinished - count,
                memory_order_release, memory_order_relaxed)) {
            return;
        }
    }
    bs_mutex_lock(mutex);
    finish_locked(job, count);
    bs_mutex_unlock(mutex);
}

void bs_worker_settle(struct bs_worker *worker)
{
    const unsigned owed = worker->owed;
    worker->owed = 0; /* the job may be gone afterwards */
    if (owed) finish(worker->owed_job, owed);
}

static void finish_one(struct bs_worker *worker, struct bs_job *job)
{
    if (!worker) {
        finish(job, 1);
        return;
    }
    if (worker->owed && (worker->owed_job != job || worker->owed == BS_OWED_MAX))
        bs_worker_settle(worker);
    worker->owed_job = job;
    worker->owed++;
}

/* Counts one more: what the worker has ended and not counted off is as good. */
static void begin_one(struct bs_worker *worker, struct bs_job *job)
{
    if (worker && worker->owed && worker->owed_job == job) {
        worker->owed--;
        return;
    }
    atomic_fetch_add_explicit(&job->unfinished, 1, memory_order_relaxed);
}

/* The first failure stays. What is queued is skipped now, what lies in deques when it is taken. */
static void note_failure(struct bs_job *job, basalt_status status, const basalt_error *error)
{
    uint64_t skipped = 0;
    bs_mutex_lock(job->mutex);
    if (!job->failure) {
        job->failure = status;
        job->error = *error;
        job->error.status = status;
        atomic_store(&job->failed, true);
        for (; job->first; skipped++) bs_free(queue_pop(job));
        if (skipped) finish_locked(job, skipped);
    }
    bs_mutex_unlock(job->mutex);
}

/* Of a task that is counted in `unfinished`. */
static void run_and_finish(
    struct bs_worker *worker, struct bs_job *job, bs_task_fn run, void *argument)
{
    if (!atomic_load_explicit(&job->failed, memory_order_relaxed)) {
        basalt_error error;
        error.status = BASALT_OK;
        error.os_errno = 0;
        error.file_offset = BASALT_NO_OFFSET;
        error.message[0] = '\0';
        basalt_status status = bs_cancel_check(job->cancel, &error);
        if (!status) status = run(argument, &error);
        if (status) note_failure(job, status, &error);
    }
    finish_one(worker, job);
}

static void run_copy(struct bs_worker *worker, const struct bs_task *task)
{
    if (worker && worker->owed && worker->owed_job != task->job)
        bs_worker_settle(worker); /* invariant 6 */
    run_and_finish(worker, task->job, task->run, task->argument);
}

void bs_task_run(struct bs_worker *worker, struct bs_task *task)
{
    const struct bs_task copy = *task;
    bs_spare_give(worker, task);
    run_copy(worker, &copy);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

basalt_status bs_job_create(struct bs_sched *sched, enum bs_priority priority,
    const struct bs_cancel *cancel, struct bs_job **out_job, basalt_error *err)
{
    *out_job = NULL;
    struct bs_job *job = bs_alloc_zeroed(1, sizeof *job);
    if (!job) return bs_fail_memory(err, sizeof *job);
    job->cancel = cancel;
    bs_condition_init(&job->changed);
    bs_mutex_init(&job->own_mutex);
    job->mutex = &job->own_mutex;
    if (sched && sched->process_id == bs_process_id()) {
        bs_sched_retain(sched);
        atomic_fetch_add(&sched->jobs, 1);
        job->sched = sched;
        job->pool = &sched->pools[priority];
        job->mutex = &job->pool->mutex;
    }
    *out_job = job;
    return BASALT_OK;
}

/* The task is in the deque of a worker: somebody else may take it, if there is anybody. A waiter is called
 * only to a heap: for a task or two the call costs more than they. */
static void tell_of_push(struct bs_job *job, struct bs_pool *pool, const struct bs_deque *deque)
{
    bs_pool_wake(pool);
    if (atomic_load_explicit(&pool->idle, memory_order_relaxed) > 0 ||
        bs_deque_count(deque) < NUDGE_TASKS_MIN ||
        atomic_load_explicit(&job->waiting, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&job->nudged, memory_order_relaxed)) {
        return;
    }
    bs_mutex_lock(job->mutex);
    atomic_store(&job->nudged, true);
    bs_condition_signal(&job->changed);
    bs_mutex_unlock(job->mutex);
}

/* Puts the work into the job's queue, in `task`, or if that is NULL in a spare of the pool's. False: there
 * was none. `*task` is NULL afterwards if it was used. */
static bool enqueue(struct bs_job *job, struct bs_task **task, bs_task_fn run, void *argument)
{
    bool done = true;
    bs_mutex_lock(job->mutex);
    if (job->failure) {
        finish_locked(job, 1);
    } else {
        if (!*task && job->pool) *task = bs_spare_take_locked(job->pool);
        done = *task != NULL;
        if (done) {
            **task = (struct bs_task){.job = job, .run = run, .argument = argument};
            queue_push(job, *task);
            *task = NULL;
        }
    }
    bs_mutex_unlock(job->mutex);
    return done;
}

void bs_job_spawn(struct bs_job *job, bs_task_fn run, void *argument)
{
    if (atomic_load_explicit(&job->failed, memory_order_relaxed)) return;
    struct bs_pool *pool = job->pool;
    struct bs_worker *worker = pool ? bs_worker_self(pool) : NULL;
    struct bs_task *task = worker ? bs_spare_take(worker) : NULL;
    begin_one(worker, job);
    if (task) {
        *task = (struct bs_task){.job = job, .run = run, .argument = argument};
        if (bs_deque_push(&worker->deque, task)) {
            tell_of_push(job, pool, &worker->deque);
            return;
        }
    } else if (!worker) {
        const bool spares =
            pool && (atomic_load_explicit(&pool->spare_batches, memory_order_relaxed) > 0);
        if (spares && enqueue(job, &task, run, argument)) return;
        task = bs_alloc(sizeof *task);
    }
    if (!task) { /* without memory the caller's thread does the work itself */
        run_and_finish(
            NULL, job, run, argument); /* counted off now: the caller goes on with its own */
        return;
    }
    (void)!enqueue(job, &task, run, argument);
    bs_free(task); /* the job has failed */
}

/* Takes a task of this job that the calling thread can run now. False: each runs elsewhere, or will. */
static bool find_own(struct bs_job *job, struct bs_worker *worker, struct bs_task *out_task)
{
    struct bs_task *task = worker ? bs_deque_take(&worker->deque, job) : NULL;
    if (!task && atomic_load_explicit(&job->queued, memory_order_relaxed) > 0) {
        bs_mutex_lock(job->mutex);
        task = queue_pop(job);
        if (task && !worker && job->pool) {
            *out_task = *task;
            bs_spare_give_locked(job->pool, task);
            bs_mutex_unlock(job->mutex);
            return true;
        }
        bs_mutex_unlock(job->mutex);
    }
    if (!task && job->pool) task = bs_pool_steal(job->pool, worker, job);
    if (!task) return false;
    *out_task = *task;
    if (worker) {
        bs_spare_give(worker, task);
    } else {
        bs_free(task);
    }
    return true;
}

/* Sleeps until the job has ended (true) or there may be a task to run. */
static bool block(struct bs_job *job)
{
    struct bs_worker *self = bs_worker_any();
    if (self) {
        bs_worker_settle(self); /* invariant 6 */
        bs_worker_empty(self);  /* invariant 2 */
    }
    bs_mutex_lock(job->mutex);
    bool ended = atomic_load(&job->unfinished) == 0;
    if (!ended && !job->first) {
        atomic_fetch_add(&job->waiting, 1);
        bs_condition_wait(&job->changed, job->mutex);
        atomic_fetch_sub(&job->waiting, 1);
        atomic_store(&job->nudged, false);
        ended = atomic_load(&job->unfinished) == 0;
    }
    bs_mutex_unlock(job->mutex);
    return ended;
}

basalt_status bs_job_wait(struct bs_job *job, basalt_error *err)
{
    struct bs_worker *worker = job->pool ? bs_worker_self(job->pool) : NULL;
    assert(bs_mutexes_held() == 0);
    for (bool ended = false; !ended;) {
        struct bs_task task;
        if (atomic_load_explicit(&job->unfinished, memory_order_relaxed) > 0 &&
            find_own(job, worker, &task)) {
            run_copy(worker, &task);
        } else {
            ended = block(job);
        }
    }
    if (!job->failure) return BASALT_OK;
    if (err) *err = job->error;
    return job->failure;
}

bool bs_job_is_stopping(const struct bs_job *job)
{
    return atomic_load(&job->failed) || (job->cancel && atomic_load(&job->cancel->requested));
}

void bs_job_free(struct bs_job *job)
{
    if (!job) return;
    struct bs_sched *sched = job->sched;
    (void)!bs_job_wait(job, NULL);
    bs_condition_destroy(&job->changed);
    bs_mutex_destroy(&job->own_mutex);
    bs_free(job);
    if (sched) {
        atomic_fetch_sub(&sched->jobs, 1);
        bs_sched_release(sched);
    }
}
