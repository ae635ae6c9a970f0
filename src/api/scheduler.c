/* scheduler.c - schedulers, cancel tokens, jobs and pipelines of the public interface. */
#include "api/api_internal.h"

/* A job of the public interface is the job itself: there is nothing to add. */
static struct bs_job *job_of(const basalt_job *job)
{
    return (struct bs_job *)(uintptr_t)job;
}

basalt_status basalt_cancel_create(basalt_cancel **out_cancel, basalt_error *err)
{
    BS_API_NEEDS(out_cancel);
    *out_cancel = bs_alloc_zeroed(1, sizeof **out_cancel);
    return *out_cancel ? BASALT_OK : bs_fail_memory(err, sizeof **out_cancel);
}

void basalt_cancel_request(basalt_cancel *cancel)
{
    if (cancel) bs_cancel_request(&cancel->cancel);
}

bool basalt_cancel_is_requested(const basalt_cancel *cancel)
{
    return bs_cancel_check(bs_cancel_of(cancel), NULL) != BASALT_OK;
}

void basalt_cancel_free(basalt_cancel **cancel)
{
    if (!cancel) return;
    bs_free(*cancel);
    *cancel = NULL;
}

/* ---- the scheduler ---------------------------------------------------------------------------- */

void basalt_scheduler_options_init(basalt_scheduler_options *options, size_t options_bytes)
{
    const basalt_scheduler_options defaults = {.struct_bytes = options_bytes};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_scheduler_create(
    const basalt_scheduler_options *options, basalt_scheduler **out_scheduler, basalt_error *err)
{
    basalt_scheduler_options filled;
    BS_API_NEEDS(out_scheduler);
    *out_scheduler = NULL;
    basalt_scheduler_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    basalt_scheduler *scheduler = bs_alloc_zeroed(1, sizeof *scheduler);
    if (!scheduler) return bs_fail_memory(err, sizeof *scheduler);
    const basalt_status status = bs_sched_create(filled.threads, &scheduler->sched, err);
    if (status) {
        bs_free(scheduler);
        return status;
    }
    *out_scheduler = scheduler;
    return BASALT_OK;
}

basalt_status basalt_scheduler_free(basalt_scheduler **scheduler, basalt_error *err)
{
    BS_API_NEEDS(scheduler);
    if (!*scheduler) return BASALT_OK;
    basalt_scheduler_stats stats;
    basalt_scheduler_get_stats(*scheduler, &stats);
    if (stats.environments || stats.jobs || stats.lent_threads) {
        return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
            "the scheduler still has %u environments, %u jobs and %u lent threads",
            stats.environments, stats.jobs, stats.lent_threads);
    }
    bs_sched_free((*scheduler)->sched);
    bs_free(*scheduler);
    *scheduler = NULL;
    return BASALT_OK;
}

basalt_status basalt_scheduler_set_threads(
    basalt_scheduler *scheduler, unsigned threads, basalt_error *err)
{
    BS_API_NEEDS(scheduler);
    return bs_sched_set_threads(scheduler->sched, threads, err);
}

basalt_status basalt_scheduler_work(
    basalt_scheduler *scheduler, const basalt_cancel *cancel, basalt_error *err)
{
    BS_API_NEEDS(scheduler);
    BS_API_NEEDS(cancel);
    return bs_sched_work(scheduler->sched, &cancel->cancel, err);
}

void basalt_scheduler_get_stats(
    const basalt_scheduler *scheduler, basalt_scheduler_stats *out_stats)
{
    memset(out_stats, 0, sizeof *out_stats);
    if (!scheduler) return;
    const struct bs_sched_use use = bs_sched_use(scheduler->sched);
    out_stats->threads = use.threads;
    out_stats->lent_threads = use.lent_threads;
    out_stats->jobs = use.jobs;
    out_stats->environments = atomic_load(&scheduler->environments);
}

static basalt_status priority_of(
    basalt_priority priority, enum bs_priority *out_priority, basalt_error *err)
{
    *out_priority = priority == BASALT_BACKGROUND ? BS_PRIORITY_BACKGROUND : BS_PRIORITY_FOREGROUND;
    if (priority == BASALT_FOREGROUND || priority == BASALT_BACKGROUND) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%d is no priority", (int)priority);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

basalt_status basalt_job_create(basalt_scheduler *scheduler, basalt_priority priority,
    const basalt_cancel *cancel, basalt_job **out_job, basalt_error *err)
{
    struct bs_job *job = NULL;
    BS_API_NEEDS(out_job);
    *out_job = NULL;
    BS_API_NEEDS(scheduler);
    enum bs_priority of_job;
    basalt_status status = priority_of(priority, &of_job, err);
    if (!status) status = bs_job_create(scheduler->sched, of_job, bs_cancel_of(cancel), &job, err);
    *out_job = (basalt_job *)(void *)job;
    return status;
}

void basalt_job_spawn(basalt_job *job, basalt_task run, void *argument)
{
    if (job && run) bs_job_spawn(job_of(job), run, argument);
}

basalt_status basalt_job_wait(basalt_job *job, basalt_error *err)
{
    BS_API_NEEDS(job);
    return bs_job_wait(job_of(job), err);
}

bool basalt_job_is_stopping(const basalt_job *job)
{
    return job && bs_job_is_stopping(job_of(job));
}

void basalt_job_free(basalt_job **job)
{
    if (!job) return;
    bs_job_free(job_of(*job));
    *job = NULL;
}

/* ---- pipelines -------------------------------------------------------------------------------- */

#define ITEMS_A_THREAD 4 /* so that nobody is idle while the sink is held up for a moment */

void basalt_pipeline_init(basalt_pipeline *pipeline, size_t pipeline_bytes)
{
    const basalt_pipeline defaults = {.struct_bytes = pipeline_bytes};
    memset(pipeline, 0, pipeline_bytes);
    memcpy(pipeline, &defaults, BS_MIN(pipeline_bytes, sizeof defaults));
}

static void discard_nothing(void *context, void *item)
{
    (void)context;
    (void)item;
}

static unsigned items_max_of(const basalt_pipeline *pipeline, const basalt_scheduler *scheduler)
{
    basalt_scheduler_stats stats;

    if (pipeline->items_max) return pipeline->items_max;
    basalt_scheduler_get_stats(scheduler, &stats);
    return BS_MIN(ITEMS_A_THREAD * (stats.threads + 1), BASALT_PIPELINE_ITEMS_MAX);
}

basalt_status basalt_pipeline_run(basalt_scheduler *scheduler, basalt_priority priority,
    const basalt_cancel *cancel, const basalt_pipeline *pipeline, basalt_error *err)
{
    basalt_pipeline filled;
    enum bs_priority of_job;
    BS_API_NEEDS(scheduler);
    BS_API_NEEDS(pipeline);
    basalt_pipeline_init(&filled, sizeof filled);
    memcpy(&filled, pipeline, BS_MIN(pipeline->struct_bytes, sizeof filled));
    if (!filled.next || !filled.sink || filled.items_max > BASALT_PIPELINE_ITEMS_MAX)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a pipeline needs `next` and `sink`, and has at most %d items",
            BASALT_PIPELINE_ITEMS_MAX);
    const basalt_status status = priority_of(priority, &of_job, err);
    if (status) return status;
    const struct bs_flow flow = {.context = filled.context,
        .next = filled.next,
        .stage = filled.stage,
        .sink = filled.sink,
        .discard = filled.discard ? filled.discard : discard_nothing,
        .items_max = items_max_of(&filled, scheduler)};
    return bs_flow_run(scheduler->sched, of_job, bs_cancel_of(cancel), &flow, err);
}
