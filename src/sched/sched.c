/* sched.c - worker threads, jobs and their tasks.
 *
 * A pool is the threads of one priority, one mutex, and a ring of the jobs that have tasks waiting.
 * A worker takes one task of the first job and puts that job last, so jobs share the threads evenly
 * however many tasks each has. A waiter takes tasks of its own job from the same queue.
 *
 * INVARIANTS (a job's fields are guarded by its pool's mutex; without a pool, by its own)
 *   (1) `unfinished` counts the tasks that are queued or running. It is 0 iff the job has ended.
 *   (2) A job is in the ring iff its queue is not empty.
 *   (3) Whoever waits for a job blocks only while all of its unfinished tasks are running on other
 *       threads. Each of those either computes or waits in the same way for tasks deeper down, so
 *       some thread always goes on: no number of nested waits can block for good.
 *   (4) Once `failure` is set the queue is empty and stays so: what was queued has been counted off.
 *   (5) A job is touched after its last task only under the mutex of the pool, which outlives it. So
 *       a waiter that has seen `unfinished` 0 under that mutex may free the job.
 *
 * One mutex a pool is enough while a task is a chunk of work (tens of microseconds and more): it is
 * held for a few pointer moves, twice a task. */
#include "sched/sched.h"

#include <stdio.h>

struct task {
    struct task *next;
    bs_task_fn run;
    void *argument;
};

struct pool {
    bs_mutex mutex;
    bs_condition work;           /* the ring is not empty, or `stopping` */
    struct bs_job *first, *last; /* ring of jobs with queued tasks */
    unsigned idle;               /* workers that wait for `work` */
    unsigned jobs;               /* alive */
    bool stopping;
    enum bs_priority priority;
    unsigned thread_count;
    struct bs_thread **threads;
};

struct bs_sched {
    struct pool pools[2]; /* by enum bs_priority */
};

struct bs_job {
    struct pool *pool; /* NULL: every task runs in bs_job_wait */
    bs_mutex own_mutex;
    bs_mutex *mutex;      /* the pool's, or own_mutex */
    bs_condition changed; /* it ended, or a task was queued that a waiter can run */
    const struct bs_cancel *cancel;
    struct bs_job *next_in_ring, *previous_in_ring;
    struct task *first, *last;
    uint64_t unfinished;
    unsigned waiting; /* threads in `changed` */
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

static void ring_append(struct pool *pool, struct bs_job *job)
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

static void ring_remove(struct pool *pool, struct bs_job *job)
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

static void queue_push(struct bs_job *job, struct task *task)
{
    task->next = NULL;
    if (!job->first) {
        job->first = task;
        if (job->pool) ring_append(job->pool, job);
    } else {
        job->last->next = task;
    }
    job->last = task;
    job->unfinished++;
    if (job->pool && job->pool->idle) bs_condition_signal(&job->pool->work);
    if (job->waiting) bs_condition_signal(&job->changed);
}

static struct task *queue_pop(struct bs_job *job)
{
    struct task *task = job->first;
    job->first = task->next;
    if (!job->first) {
        job->last = NULL;
        if (job->pool) ring_remove(job->pool, job);
    }
    return task;
}

static void job_finish_tasks(struct bs_job *job, uint64_t count)
{
    assert(job->unfinished >= count);
    job->unfinished -= count;
    if (job->unfinished == 0 && job->waiting) bs_condition_broadcast(&job->changed);
}

/* The first failure stays; what is queued is skipped. */
static void job_note_failure(struct bs_job *job, basalt_status status, const basalt_error *error)
{
    if (job->failure) return;
    job->failure = status;
    job->error = *error;
    job->error.status = status;
    uint64_t skipped = 0;
    for (; job->first; skipped++) bs_free(queue_pop(job));
    job_finish_tasks(job, skipped);
}

static basalt_status task_call(
    const struct bs_job *job, bs_task_fn run, void *argument, basalt_error *err)
{
    const basalt_status cancelled = bs_cancel_check(job->cancel, err);
    return cancelled ? cancelled : run(argument, err);
}

/* Takes the first task of the queue and runs it. The mutex is held before and after, not during. */
static void job_run_one(struct bs_job *job)
{
    bs_mutex *mutex = job->mutex; /* the job may be gone once its last task is counted off */
    struct task *task = queue_pop(job);
    bs_mutex_unlock(mutex);
    basalt_error error = {0};
    error.file_offset = BASALT_NO_OFFSET;
    const basalt_status status = task_call(job, task->run, task->argument, &error);
    bs_free(task);
    bs_mutex_lock(mutex);
    if (status) job_note_failure(job, status, &error);
    job_finish_tasks(job, 1);
}

/* ---- workers --------------------------------------------------------------------------------- */

static void worker(void *argument)
{
    struct pool *pool = argument;
    if (pool->priority == BS_PRIORITY_BACKGROUND) bs_thread_lower_priority();
    bs_mutex_lock(&pool->mutex);
    while (!pool->stopping) {
        struct bs_job *job = pool->first;
        if (!job) {
            pool->idle++;
            bs_condition_wait(&pool->work, &pool->mutex);
            pool->idle--;
            continue;
        }
        ring_remove(pool, job); /* to the end: the next worker serves the next job */
        ring_append(pool, job);
        job_run_one(job);
    }
    bs_mutex_unlock(&pool->mutex);
}

static void pool_stop(struct pool *pool)
{
    if (!pool->threads) return;
    assert(pool->jobs == 0);
    bs_mutex_lock(&pool->mutex);
    pool->stopping = true;
    bs_condition_broadcast(&pool->work);
    bs_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++) bs_thread_join(pool->threads[i]);
    bs_condition_destroy(&pool->work);
    bs_mutex_destroy(&pool->mutex);
    bs_free(pool->threads);
}

static basalt_status pool_start(
    struct pool *pool, enum bs_priority priority, unsigned threads, basalt_error *err)
{
    static const char *const letters[] = {"fore", "back"};
    pool->priority = priority;
    pool->threads = bs_alloc_zeroed(threads, sizeof *pool->threads);
    if (!pool->threads) return bs_fail_memory(err, threads * sizeof *pool->threads);
    bs_mutex_init(&pool->mutex);
    bs_condition_init(&pool->work);
    for (; pool->thread_count < threads; pool->thread_count++) {
        char name[32];
        snprintf(name, sizeof name, "basalt-%s-%u", letters[priority], pool->thread_count);
        const basalt_status status =
            bs_thread_start(name, worker, pool, &pool->threads[pool->thread_count], err);
        if (status) return status;
    }
    return BASALT_OK;
}

basalt_status bs_sched_create(unsigned threads, struct bs_sched **out_sched, basalt_error *err)
{
    *out_sched = NULL;
    if (threads > BS_SCHED_THREADS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%u threads were asked for, a scheduler has at most %d", threads, BS_SCHED_THREADS_MAX);
    }
    if (threads == 0) threads = BS_MIN(bs_processor_count(), (unsigned)BS_SCHED_THREADS_MAX);
    struct bs_sched *sched = bs_alloc_zeroed(1, sizeof *sched);
    if (!sched) return bs_fail_memory(err, sizeof *sched);
    basalt_status status = BASALT_OK;
    BS_TRY(pool_start(&sched->pools[BS_PRIORITY_FOREGROUND], BS_PRIORITY_FOREGROUND, threads, err));
    BS_TRY(pool_start(
        &sched->pools[BS_PRIORITY_BACKGROUND], BS_PRIORITY_BACKGROUND, (threads + 1) / 2, err));
    *out_sched = sched;
    sched = NULL;
out:
    bs_sched_free(sched);
    return status;
}

void bs_sched_free(struct bs_sched *sched)
{
    if (!sched) return;
    pool_stop(&sched->pools[BS_PRIORITY_FOREGROUND]);
    pool_stop(&sched->pools[BS_PRIORITY_BACKGROUND]);
    bs_free(sched);
}

unsigned bs_sched_threads(const struct bs_sched *sched)
{
    return sched->pools[BS_PRIORITY_FOREGROUND].thread_count;
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
    if (sched) {
        job->pool = &sched->pools[priority];
        job->mutex = &job->pool->mutex;
        bs_mutex_lock(job->mutex);
        job->pool->jobs++;
        bs_mutex_unlock(job->mutex);
    }
    *out_job = job;
    return BASALT_OK;
}

/* Without memory for a queue entry the caller's thread does the work itself. */
static void run_at_once(struct bs_job *job, bs_task_fn run, void *argument)
{
    bs_mutex_lock(job->mutex);
    const bool skip = job->failure != BASALT_OK;
    if (!skip) job->unfinished++;
    bs_mutex_unlock(job->mutex);
    if (skip) return;
    basalt_error error = {0};
    error.file_offset = BASALT_NO_OFFSET;
    const basalt_status status = task_call(job, run, argument, &error);
    bs_mutex_lock(job->mutex);
    if (status) job_note_failure(job, status, &error);
    job_finish_tasks(job, 1);
    bs_mutex_unlock(job->mutex);
}

void bs_job_spawn(struct bs_job *job, bs_task_fn run, void *argument)
{
    struct task *task = bs_alloc(sizeof *task);
    if (!task) {
        run_at_once(job, run, argument);
        return;
    }
    *task = (struct task){.run = run, .argument = argument};
    bs_mutex_lock(job->mutex);
    const bool queued = job->failure == BASALT_OK;
    if (queued) queue_push(job, task);
    bs_mutex_unlock(job->mutex);
    if (!queued) bs_free(task);
}

basalt_status bs_job_wait(struct bs_job *job, basalt_error *err)
{
    bs_mutex_lock(job->mutex);
    while (job->unfinished > 0) {
        if (job->first) {
            job_run_one(job);
            continue;
        }
        job->waiting++;
        bs_condition_wait(&job->changed, job->mutex);
        job->waiting--;
    }
    const basalt_status status = job->failure;
    if (status && err) *err = job->error;
    bs_mutex_unlock(job->mutex);
    return status;
}

void bs_job_free(struct bs_job *job)
{
    if (!job) return;
    (void)!bs_job_wait(job, NULL);
    if (job->pool) {
        bs_mutex_lock(job->mutex);
        job->pool->jobs--;
        bs_mutex_unlock(job->mutex);
    }
    bs_condition_destroy(&job->changed);
    bs_mutex_destroy(&job->own_mutex);
    bs_free(job);
}
