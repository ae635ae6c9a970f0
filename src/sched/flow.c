/* flow.c - pipelines over a job: source, parallel stage, ordered sink.
 *
 * A ring of `items_max` places; item i lies in place i modulo its size from the moment that the source
 * is asked for it until the sink has taken it. Three kinds of work, all tasks of one job: the source
 * fills places while there is room, and spawns each item's stage; a stage that ends marks its place
 * ready; and whoever finds the oldest item ready, and nobody at the sink, is the sink until the
 * oldest is not ready.
 *
 *   (1) taken <= asked <= taken + items_max. Places taken .. asked-1 are in use.
 *   (2) `at_source` and `at_sink` are true while a task pulls or sinks: one thread each.
 *   (3) Nobody waits. The source that finds no room clears `at_source` under the mutex; the sink that
 *       makes room sees that under the same mutex, and spawns the source again.
 *   (4) The mutex is held for a few assignments, never during a call of the user's.
 *   (5) After the first failure no task of the job begins, so what lies in places when the job has
 *       ended is touched by nobody else, and is discarded. */
#include "sched/sched.h"

enum place_state { PLACE_EMPTY, PLACE_FILLED, PLACE_READY };

struct run;
struct place {
    struct run *run;
    void *item;
    enum place_state state;
};

struct run {
    const struct bs_flow *flow;
    struct bs_job *job;
    const struct bs_cancel *cancel;
    bs_mutex mutex;
    uint64_t asked, taken; /* items */
    bool at_source, at_sink, ended;
    struct place *places;
};

static basalt_status pull(void *argument, basalt_error *err);

static struct place *place_of(struct run *run, uint64_t item)
{
    return &run->places[item % run->flow->items_max];
}

/* Is the calling task to sink the oldest item? */
static struct place *sink_begin(struct run *run, bool already)
{
    struct place *place = place_of(run, run->taken);
    if (run->at_sink != already) return NULL;
    run->at_sink = run->taken < run->asked && place->state == PLACE_READY;
    return run->at_sink ? place : NULL;
}

static basalt_status drain(struct run *run, basalt_error *err)
{
    const struct bs_flow *flow = run->flow;
    bs_mutex_lock(&run->mutex);
    struct place *place = sink_begin(run, false);
    bs_mutex_unlock(&run->mutex);
    while (place) {
        void *item = place->item;
        place->item = NULL;
        const basalt_status status = flow->sink(flow->context, item, err);
        if (flow->budget) bs_budget_give(flow->budget, flow->item_bytes);
        bs_mutex_lock(&run->mutex);
        place->state = PLACE_EMPTY;
        run->taken++;
        const bool resume = !status && !run->at_source && !run->ended;
        if (resume) run->at_source = true;
        place = status ? NULL : sink_begin(run, true); /* after a failure nobody sinks any more */
        bs_mutex_unlock(&run->mutex);
        if (status) return status;
        if (resume) bs_job_spawn(run->job, pull, run);
    }
    return BASALT_OK;
}

static basalt_status process(void *argument, basalt_error *err)
{
    struct place *place = argument;
    struct run *run = place->run;
    const struct bs_flow *flow = run->flow;
    const basalt_status status =
        flow->stage ? flow->stage(flow->context, place->item, err) : BASALT_OK;
    if (status) return status;
    bs_mutex_lock(&run->mutex);
    place->state = PLACE_READY;
    bs_mutex_unlock(&run->mutex);
    return drain(run, err);
}

/* A place for the next item, or NULL: there is no room now (the source has left then), or, with a
 * failure in *out_status, there never will be. */
static struct place *source_begin(struct run *run, basalt_status *out_status, basalt_error *err)
{
    const struct bs_flow *flow = run->flow;
    struct place *place = NULL;
    *out_status = BASALT_OK;
    bs_mutex_lock(&run->mutex);
    bool room = run->asked - run->taken < flow->items_max;
    if (room && flow->budget) {
        *out_status = bs_budget_take(flow->budget, flow->item_bytes, err);
        room = *out_status == BASALT_OK;
        if (!room && run->asked > run->taken) *out_status = BASALT_OK; /* the sink resumes it */
    }
    if (room) {
        place = place_of(run, run->asked);
    } else {
        run->at_source = false;
    }
    bs_mutex_unlock(&run->mutex);
    return place;
}

/* `item` NULL: the source has ended, well or not. */
static void source_end(struct run *run, struct place *place, void *item)
{
    bs_mutex_lock(&run->mutex);
    if (item) {
        place->item = item;
        place->state = PLACE_FILLED;
        run->asked++;
    } else {
        run->ended = true;
        run->at_source = false;
    }
    bs_mutex_unlock(&run->mutex);
    if (!item && run->flow->budget) bs_budget_give(run->flow->budget, run->flow->item_bytes);
}

/* A loop and not a task an item: without memory for tasks each spawn below is a call. */
static basalt_status pull(void *argument, basalt_error *err)
{
    struct run *run = argument;
    const struct bs_flow *flow = run->flow;
    while (!bs_job_is_stopping(run->job)) {
        basalt_status status = BASALT_OK;
        void *item = NULL;
        struct place *place = source_begin(run, &status, err);
        if (!place) return status;
        status = flow->next(flow->context, &item, err);
        source_end(run, place, status ? NULL : item);
        if (status || !item) return status;
        bs_job_spawn(run->job, process, place);
    }
    return bs_cancel_check(
        run->cancel, err); /* of a job that was cancelled this is the first to know */
}

/* What a failure left on its way. The job has ended. */
static void discard_rest(struct run *run)
{
    const struct bs_flow *flow = run->flow;
    for (; run->taken < run->asked; run->taken++) {
        struct place *place = place_of(run, run->taken);
        if (!place->item) continue; /* the sink had it */
        if (flow->budget) bs_budget_give(flow->budget, flow->item_bytes);
        flow->discard(flow->context, place->item);
    }
}

basalt_status bs_flow_run(struct bs_sched *sched, enum bs_priority priority,
    const struct bs_cancel *cancel, const struct bs_flow *flow, basalt_error *err)
{
    assert(flow->items_max > 0 && flow->items_max <= BS_FLOW_ITEMS_MAX);
    struct run run = {.flow = flow, .cancel = cancel, .at_source = true};
    run.places = bs_alloc_zeroed(flow->items_max, sizeof *run.places);
    if (!run.places) return bs_fail_memory(err, flow->items_max * sizeof *run.places);
    for (unsigned i = 0; i < flow->items_max; i++) run.places[i].run = &run;
    bs_mutex_init(&run.mutex);
    basalt_status status = BASALT_OK;
    BS_TRY(bs_job_create(sched, priority, cancel, &run.job, err));
    bs_job_spawn(run.job, pull, &run);
    status = bs_job_wait(run.job, err);
    discard_rest(&run);
    assert(status || run.ended);
out:
    bs_job_free(run.job);
    bs_mutex_destroy(&run.mutex);
    bs_free(run.places);
    return status;
}
