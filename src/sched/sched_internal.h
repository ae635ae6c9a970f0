/* sched_internal.h - what deque.c, sched.c, job.c and spare.c share.
 *
 * A pool is the threads of one priority and the jobs they serve. A task lies in exactly one place: in
 * the deque of the worker that spawned it, or in its job's queue. The rules are in sched.c. */
#ifndef BS_SCHED_INTERNAL_H
#define BS_SCHED_INTERNAL_H

#include "sched/sched.h"

#define BS_CACHE_LINE_BYTES 64
#define BS_DEQUE_SLOTS_MIN 64
#define BS_DEQUE_SLOTS_MAX (1 << 16) /* beyond it tasks go to their job's queue */
#define BS_OWED_MAX 64               /* tasks that a worker has ended and not yet counted off */

struct bs_task {
    struct bs_task *next; /* in a job's queue, or among spares */
    struct bs_job *job;
    bs_task_fn run;
    void *argument;
};

struct bs_spares { /* records for the next spawns (spare.c) */
    struct bs_task *first;
    unsigned count;
};

/* ---- deque.c: one owner at the bottom, any number of thieves at the top ----------------------- */

struct bs_deque_array;
struct bs_deque {
    _Atomic int64_t top;
    char between[BS_CACHE_LINE_BYTES - sizeof(int64_t)]; /* thieves and owner do not share a line */
    _Atomic int64_t bottom;
    _Atomic(struct bs_deque_array *) array;
};

enum bs_steal {
    BS_STEAL_EMPTY,
    BS_STEAL_LOST,  /* somebody else took it first: there may be more */
    BS_STEAL_OTHER, /* the oldest task is of another job than the one asked for */
    BS_STEAL_TAKEN
};

BS_MUST_USE basalt_status bs_deque_create(struct bs_deque *deque, basalt_error *err);
void bs_deque_destroy(struct bs_deque *deque); /* all zero is fine; tasks in it are not freed */
/* By the owner. False, and nothing done, if it is full and cannot grow. */
BS_MUST_USE bool bs_deque_push(struct bs_deque *deque, struct bs_task *task);
/* By the owner: the youngest, or NULL. With `job`, NULL too if the youngest is of another job. */
struct bs_task *bs_deque_take(struct bs_deque *deque, const struct bs_job *job);
/* By anybody: the oldest; with `job`, only if it is of that job. */
enum bs_steal bs_deque_steal(
    struct bs_deque *deque, const struct bs_job *job, struct bs_task **out_task);
int64_t bs_deque_count(const struct bs_deque *deque); /* by the owner; thieves may have had some */
bool bs_deque_is_empty(const struct bs_deque *deque); /* at some instant of the call */

/* ---- pools and workers ------------------------------------------------------------------------ */

enum bs_worker_state { BS_WORKER_FREE, BS_WORKER_RUNS, BS_WORKER_LEAVES, BS_WORKER_LEFT };

/* Made once and kept until the scheduler ends, since a thief may be looking at it. */
struct bs_worker {
    struct bs_deque deque;
    struct bs_pool *pool;
    struct bs_thread *thread;   /* NULL for a lent one; guarded by the scheduler's `resize` */
    enum bs_worker_state state; /* guarded by the pool's mutex */
    bool lent;                  /* likewise */
    /* The rest is its thread's own. */
    const struct bs_cancel *cancel; /* ends a lent thread's work */
    struct bs_worker *outer;        /* what the thread was before it was lent, for nested lending */
    uint64_t chance;
    unsigned turn;
    struct bs_spares spares, full;
    struct bs_job *owed_job; /* of the tasks that it has ended and not counted off (job.c) */
    unsigned owed;
};

struct bs_pool {
    struct bs_sched *sched;
    enum bs_priority priority;
    bs_mutex mutex;
    bs_condition work;           /* for parked workers */
    struct bs_job *first, *last; /* ring of jobs with tasks in their queues */
    atomic_uint ring_jobs;       /* how many; written under the mutex, a hint outside it */
    atomic_uint idle;            /* parked workers; written under the mutex */
    atomic_bool waking;          /* one was woken and has not looked around yet */
    struct bs_spares spares;     /* for threads that are no workers; guarded by the mutex */
    struct bs_task *batches;     /* full ones; likewise */
    atomic_uint spare_batches;   /* how many; written under the mutex */
    bool stopping;
    atomic_uint threads;    /* that run and are not to leave; written under the mutex */
    atomic_uint slot_count; /* workers[0 .. slot_count) are there */
    _Atomic(struct bs_worker *) workers[BS_SCHED_THREADS_MAX];
};

struct bs_sched {
    struct bs_pool pools[2];     /* by enum bs_priority */
    bs_mutex resize;             /* one call at a time starts and joins threads */
    atomic_uint jobs;            /* alive */
    atomic_uint lent;            /* threads in bs_sched_work */
    _Atomic uint64_t references; /* its owner, each job, each lent thread */
    uint64_t process_id;         /* a forked child has none of its threads */
};

void bs_sched_retain(struct bs_sched *sched);
void bs_sched_release(struct bs_sched *sched);
/* The calling thread as a worker of `pool`, or NULL if it is none. */
struct bs_worker *bs_worker_self(const struct bs_pool *pool);
/* The same of whatever pool. */
struct bs_worker *bs_worker_any(void);
/* After a push that a parked worker should see. Without the mutex, and with it. */
void bs_pool_wake(struct bs_pool *pool);
void bs_pool_wake_locked(struct bs_pool *pool);
/* A task of `job` (NULL: any) from another worker's deque, or NULL if none was seen. */
struct bs_task *bs_pool_steal(
    struct bs_pool *pool, struct bs_worker *thief, const struct bs_job *job);

/* ---- spare.c ---------------------------------------------------------------------------------- */

/* By the worker's thread. NULL: no memory. */
struct bs_task *bs_spare_take(struct bs_worker *worker);
void bs_spare_give(struct bs_worker *worker, struct bs_task *task);
void bs_spare_end_worker(struct bs_worker *worker);
/* With the pool's mutex held. NULL: there are none. */
struct bs_task *bs_spare_take_locked(struct bs_pool *pool);
void bs_spare_give_locked(struct bs_pool *pool, struct bs_task *task);
void bs_spare_end_pool(struct bs_pool *pool); /* nobody uses it any more */

/* ---- job.c ------------------------------------------------------------------------------------ */

/* Takes a task of the ring's first job and puts that job last; NULL if the ring is empty. Moves a
 * few more of its tasks to the deque of `worker` if that is empty. The mutex is held. */
struct bs_task *bs_ring_take(struct bs_pool *pool, struct bs_worker *worker);
/* Runs `task`, of whatever job, on the worker's thread. */
void bs_task_run(struct bs_worker *worker, struct bs_task *task);
/* Moves what is left in the worker's deque to the queues of its jobs: it is about to block. */
void bs_worker_empty(struct bs_worker *worker);
/* Counts off the tasks that the worker has ended: before it looks elsewhere, blocks or leaves. No mutex is
 * held. */
void bs_worker_settle(struct bs_worker *worker);

#endif
