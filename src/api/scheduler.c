/* scheduler.c - schedulers, cancel tokens and jobs of the public interface. */
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

/* ---- jobs ------------------------------------------------------------------------------------- */

basalt_status basalt_job_create(basalt_scheduler *scheduler, basalt_priority priority,
    const basalt_cancel *cancel, basalt_job **out_job, basalt_error *err)
{
    struct bs_job *job = NULL;
    BS_API_NEEDS(out_job);
    *out_job = NULL;
    BS_API_NEEDS(scheduler);
    if (priority != BASALT_FOREGROUND && priority != BASALT_BACKGROUND) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%d is no priority of a job",
            (int)priority);
    }
    const basalt_status status = bs_job_create(scheduler->sched,
        priority == BASALT_BACKGROUND ? BS_PRIORITY_BACKGROUND : BS_PRIORITY_FOREGROUND,
        bs_cancel_of(cancel), &job, err);
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
