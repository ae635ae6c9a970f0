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

#define BS_SCHED_THREADS_MAX 256

enum bs_priority { BS_PRIORITY_FOREGROUND, BS_PRIORITY_BACKGROUND };

struct bs_sched;

/* `threads` run foreground tasks (0: one a processor); half as many more, of lower priority with the
 * operating system too, run background tasks, so that neither ever waits behind the other. With the
 * last of them gone (fork, shutdown) jobs still end: their waiters run them. */
BS_MUST_USE basalt_status bs_sched_create(
    unsigned threads, struct bs_sched **out_sched, basalt_error *err);
void bs_sched_free(struct bs_sched *sched); /* NULL is fine; joins the threads; no job may live */
unsigned bs_sched_threads(const struct bs_sched *sched); /* that run foreground tasks */

/* Asked to stop at the next opportunity: once a chunk or every 50 ms. Any thread may cancel. */
struct bs_cancel {
    atomic_bool requested;
};
void bs_cancel_request(struct bs_cancel *cancel);
/* CANCELLED if it was requested; `cancel` NULL never is. */
BS_MUST_USE basalt_status bs_cancel_check(const struct bs_cancel *cancel, basalt_error *err);

typedef basalt_status (*bs_task_fn)(void *argument, basalt_error *err);

struct bs_job;
/* `cancel` may be NULL. With `sched` NULL every task runs in bs_job_wait on the calling thread. */
BS_MUST_USE basalt_status bs_job_create(struct bs_sched *sched, enum bs_priority priority,
    const struct bs_cancel *cancel, struct bs_job **out_job, basalt_error *err);
/* Never blocks. A task may spawn into its own job. If no memory is left the task runs at once. */
void bs_job_spawn(struct bs_job *job, bs_task_fn run, void *argument);
/* Helps until every task has ended; the first failure, or OK. More may be spawned afterwards only
 * after OK. No lock may be held by the caller. */
BS_MUST_USE basalt_status bs_job_wait(struct bs_job *job, basalt_error *err);
void bs_job_free(struct bs_job *job); /* NULL is fine; waits first, dropping the outcome */

#endif
