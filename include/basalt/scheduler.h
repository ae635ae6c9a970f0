/* scheduler.h - the threads that work is spread over: lend yours, share ours, or use them yourself.
 *
 * Every environment has a scheduler, its own unless it is given one. A scheduler owns worker threads,
 * for foreground work (reads that somebody waits for) and, with lower priority in the operating
 * system, for background work (checkpoints). Threads of the program may work for it too.
 *
 * Work comes as jobs: sets of tasks that end together. Whoever waits for a job runs that job's own tasks
 * meanwhile, and no other's, so nobody ever waits for a thread that he needs himself, jobs may be
 * waited for inside tasks, and with no threads at all everything still ends. The first task that fails
 * ends its job: tasks that have not begun are skipped.
 *
 * Any thread may call everything here, also from a task, unless a function says otherwise. A task should
 * not block for anything but a job. In a forked child jobs run on the thread that waits for them. */
#ifndef BASALT_SCHEDULER_H
#define BASALT_SCHEDULER_H

#include "basalt/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_scheduler basalt_scheduler;
typedef struct basalt_job basalt_job;
typedef struct basalt_cancel basalt_cancel;

/* ---- cancel tokens ---------------------------------------------------------------------------- */

/* Creates *out_cancel: asks whatever it is passed to to stop at the next chunk, or within 50 ms. */
BASALT_CHECKED basalt_status basalt_cancel_create(basalt_cancel **out_cancel, basalt_error *err);
BASALT_API void basalt_cancel_request(
    basalt_cancel *cancel); /* any number of times; NULL is fine */
BASALT_API bool basalt_cancel_is_requested(const basalt_cancel *cancel); /* NULL never is */
/* Frees it, sets NULL. Nothing that it was passed to may still run. */
BASALT_API void basalt_cancel_free(basalt_cancel **cancel);

/* ---- the scheduler ---------------------------------------------------------------------------- */

#define BASALT_SCHEDULER_THREADS_MAX 256 /* of each priority, lent ones included */
#define BASALT_SCHEDULER_NO_THREADS UINT32_MAX

typedef struct basalt_scheduler_options {
    size_t struct_bytes; /* set by _init; lets the struct grow without breaking the ABI */
    unsigned threads; /* foreground workers; 0 (default): one a processor. Half as many more for the
                          * background. BASALT_SCHEDULER_NO_THREADS: neither; only lent threads, and
                          * those that wait, do any work. */
} basalt_scheduler_options;

BASALT_API void basalt_scheduler_options_init(
    basalt_scheduler_options *options, size_t options_bytes);

/* Creates *out_scheduler. TOO_LARGE: more than BASALT_SCHEDULER_THREADS_MAX threads. */
BASALT_CHECKED basalt_status basalt_scheduler_create(
    const basalt_scheduler_options *options, basalt_scheduler **out_scheduler, basalt_error *err);

/* BUSY, naming how many environments, jobs or lent threads still use it, and *scheduler stays; else joins
 * its threads, frees it, sets NULL. Not from one of its tasks. */
BASALT_CHECKED basalt_status basalt_scheduler_free(basalt_scheduler **scheduler, basalt_error *err);

/* `threads` as in the options, also while work is running. Workers that are too many go at the end of
 * their task, which may be later than this call. If it fails, some may have been started. */
BASALT_CHECKED basalt_status basalt_scheduler_set_threads(
    basalt_scheduler *scheduler, unsigned threads, basalt_error *err);

/* Lends the calling thread: it runs foreground tasks until `cancel` is requested, then returns OK, after
 * its task or within 50 ms. BAD_ARGUMENT: the thread is in a task of this scheduler. */
BASALT_CHECKED basalt_status basalt_scheduler_work(
    basalt_scheduler *scheduler, const basalt_cancel *cancel, basalt_error *err);

typedef struct basalt_scheduler_stats {
    unsigned threads;      /* that run foreground tasks now, lent ones among them */
    unsigned lent_threads; /* in basalt_scheduler_work */
    unsigned jobs;         /* alive, Basalt's own ones among them */
    unsigned environments; /* that it was given to */
} basalt_scheduler_stats;
BASALT_API void basalt_scheduler_get_stats(
    const basalt_scheduler *scheduler, basalt_scheduler_stats *out_stats);

/* ---- jobs ------------------------------------------------------------------------------------- */

/* `argument` is what was given to the spawn. A failure ends the job, and `err` is what the waiter gets. */
typedef basalt_status (*basalt_task)(void *argument, basalt_error *err);

typedef enum basalt_priority { BASALT_FOREGROUND = 0, BASALT_BACKGROUND = 1 } basalt_priority;

/* Creates *out_job. `cancel` (may be NULL) is looked at before each task, and must outlive the job. */
BASALT_CHECKED basalt_status basalt_job_create(basalt_scheduler *scheduler,
    basalt_priority priority, const basalt_cancel *cancel, basalt_job **out_job, basalt_error *err);

/* Adds a task and returns at once; without memory for it the task runs first. `argument` must live until
 * it has run. By who created the job, or by its tasks; nobody may free it meanwhile. */
BASALT_API void basalt_job_spawn(basalt_job *job, basalt_task run, void *argument);

/* Runs the job's tasks beside the workers until all have ended. OK: more may be spawned. Else the first
 * failure, or CANCELLED. Hold no lock that a task may want. */
BASALT_CHECKED basalt_status basalt_job_wait(basalt_job *job, basalt_error *err);

/* True once a task has failed or the job was cancelled: what a long task looks at, once in 50 ms. */
BASALT_API bool basalt_job_is_stopping(const basalt_job *job);

/* Waits, drops the outcome, frees, sets NULL. */
BASALT_API void basalt_job_free(basalt_job **job);

/* ---- pipelines -------------------------------------------------------------------------------- */

#define BASALT_PIPELINE_ITEMS_MAX 4096

/* Items go from a source through a stage that many threads run to a sink that takes them in the order of
 * the source. No thread waits inside: for want of room the source is left and resumed. */
typedef struct basalt_pipeline {
    size_t struct_bytes; /* set by _init */
    void *context;       /* is passed to all four; borrowed */
    /* The next item, or NULL at the end; by one thread at a time, any of them. */
    basalt_status (*next)(void *context, void **out_item, basalt_error *err);
    /* By many threads at once, each with another item. NULL: nothing to do. */
    basalt_status (*stage)(void *context, void *item, basalt_error *err);
    /* Takes the item over, also when it fails; by one thread at a time, any of them. */
    basalt_status (*sink)(void *context, void *item, basalt_error *err);
    void (*discard)(
        void *context, void *item); /* each item that never reached the sink; NULL: nothing */
    unsigned items_max; /* from source to sink at any time; 0 (default): four a foreground thread */
} basalt_pipeline;
BASALT_API void basalt_pipeline_init(basalt_pipeline *pipeline, size_t pipeline_bytes);

/* Runs it to its end, on the calling thread and the workers. The first failure of any part, or CANCELLED,
 * stops it; what was on its way is discarded, in order, before this returns. `cancel` may be NULL. Hold
 * no lock that the parts may want. BAD_ARGUMENT: no source, no sink, too many items. */
BASALT_CHECKED basalt_status basalt_pipeline_run(basalt_scheduler *scheduler,
    basalt_priority priority, const basalt_cancel *cancel, const basalt_pipeline *pipeline,
    basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
