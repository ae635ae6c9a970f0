/* sched.h - how work is spread over threads.   floor 2: may include base
 *
 * A scheduler owns worker threads. A job is a set of tasks that end together: whoever waits for a
 * job runs that job's own tasks meanwhile and never another's, so that a waiter never waits for a
 * thread it needs itself (design, I4), and one caller's memory, errors and latency stay its own.
 * The first task that fails ends the job: tasks not yet begun are skipped. Because a waiter runs its
 * own tasks alone, waits nest only as deep as the program itself does. */
#ifndef BS_SCHED_H
#define BS_SCHED_H

#include "base/base.h"

#define BS_SCHED_THREADS_MAX 256 /* of each priority, lent ones included */
#define BS_SCHED_NO_THREADS UINT32_MAX

enum bs_priority { BS_PRIORITY_FOREGROUND, BS_PRIORITY_BACKGROUND };

struct bs_sched;
struct bs_cancel;

/* `threads` run foreground tasks (0: one a processor); half as many more, of lower priority with the
 * operating system too, run background tasks, so that neither ever waits behind the other. With the
 * last of them gone (fork, shutdown), or with none (BS_SCHED_NO_THREADS), jobs still end: their
 * waiters run them. TOO_LARGE over BS_SCHED_THREADS_MAX. */
BS_MUST_USE basalt_status bs_sched_create(
    unsigned threads, struct bs_sched **out_sched, basalt_error *err);
/* NULL is fine. Joins its own threads, each at the end of its task, and sends lent ones home. Jobs may
 * live: their waiters run what is left, and the last one frees the rest. Not from one of its tasks.
 * In a forked child it does nothing: threads and locks are the parent's. */
void bs_sched_free(struct bs_sched *sched);
unsigned bs_sched_threads(
    const struct bs_sched *sched); /* that run foreground tasks, lent ones too */

/* As in bs_sched_create, at any time, by any thread, also from a task. Who is too many goes at the end
 * of its task, later than this call perhaps. On failure some may have been started. */
BS_MUST_USE basalt_status bs_sched_set_threads(
    struct bs_sched *sched, unsigned threads, basalt_error *err);

/* Lends the calling thread: it runs foreground tasks until `cancel` (NULL: never) is requested, which it
 * sees after its task or within 50 ms, or the scheduler is freed. BAD_ARGUMENT if it works for this
 * scheduler already, or in a forked child. */
BS_MUST_USE basalt_status bs_sched_work(
    struct bs_sched *sched, const struct bs_cancel *cancel, basalt_error *err);

struct bs_sched_use {
    unsigned threads, lent_threads, jobs; /* foreground ones, lent ones among them; jobs alive */
};
struct bs_sched_use bs_sched_use(const struct bs_sched *sched);

/* Asked to stop at the next opportunity: once a chunk or every 50 ms. Any thread may cancel. */
struct bs_cancel {
    atomic_bool requested;
};
/* The public token; of NULL, none. */
struct basalt_cancel {
    struct bs_cancel cancel;
};
static inline const struct bs_cancel *bs_cancel_of(const struct basalt_cancel *given)
{
    return given ? &given->cancel : NULL;
}
void bs_cancel_request(struct bs_cancel *cancel);
/* CANCELLED if it was requested; `cancel` NULL never is. */
BS_MUST_USE basalt_status bs_cancel_check(const struct bs_cancel *cancel, basalt_error *err);

typedef basalt_status (*bs_task_fn)(void *argument, basalt_error *err);

struct bs_job;
/* `cancel` may be NULL. With `sched` NULL, and in a forked child, every task runs in bs_job_wait on the
 * calling thread, which must then be the one that spawned it. */
BS_MUST_USE basalt_status bs_job_create(struct bs_sched *sched, enum bs_priority priority,
    const struct bs_cancel *cancel, struct bs_job **out_job, basalt_error *err);
/* Never blocks. By whoever made the job, or one of its tasks; nobody may free it meanwhile. If no memory
 * is left the task runs at once. */
void bs_job_spawn(struct bs_job *job, bs_task_fn run, void *argument);
/* Helps until every task has ended; the first failure, or OK. More may be spawned afterwards only
 * after OK. No lock may be held by the caller. */
BS_MUST_USE basalt_status bs_job_wait(struct bs_job *job, basalt_error *err);
void bs_job_free(struct bs_job *job); /* NULL is fine; waits first, dropping the outcome */
/* It has failed or was cancelled: a long task looks once a chunk, or every 50 ms, and returns. */
bool bs_job_is_stopping(const struct bs_job *job);

/* ---- pipelines: a source, a stage that runs in parallel, an ordered sink ---------------------- */

/* Items go through in the order in which `next` gave them. `next` is called by one thread at a time, and
 * so is `sink`; `stage` by many. Nothing blocks: for want of room the source returns and is resumed
 * when the sink has taken an item. */
struct bs_flow {
    void *context;
    /* The next item, or NULL at the end. */
    basalt_status (*next)(void *context, void **out_item, basalt_error *err);
    basalt_status (*stage)(void *context, void *item, basalt_error *err); /* NULL: nothing to do */
    /* Takes the item over, also when it fails. */
    basalt_status (*sink)(void *context, void *item, basalt_error *err);
    void (*discard)(void *context, void *item); /* each item that never reached the sink */
    unsigned items_max; /* between source and sink, 1 to BS_FLOW_ITEMS_MAX */
    /* `item_bytes` are taken from `budget` (may be NULL) for each item before `next` is called, and given
     * back after its sink. While it is refused there are fewer items; refused with none in flight it is
     * the outcome. */
    struct bs_budget *budget;
    uint64_t item_bytes;
};
#define BS_FLOW_ITEMS_MAX 4096

/* Runs it to its end, on the calling thread and the workers. The first failure of any part, or
 * CANCELLED, stops it; whatever was on its way is discarded, in order, before this returns. */
BS_MUST_USE basalt_status bs_flow_run(struct bs_sched *sched, enum bs_priority priority,
    const struct bs_cancel *cancel, const struct bs_flow *flow, basalt_error *err);

#endif
