/* scheduler_test.c - a program's own jobs and threads on a scheduler that environments share. */
#include "basalt/basalt.h"

#include "tests/harness/test.h"

#include <stdlib.h>

static basalt_scheduler *scheduler_of(unsigned threads)
{
    basalt_scheduler_options options;
    basalt_scheduler *scheduler = NULL;
    basalt_scheduler_options_init(&options, sizeof options);
    options.threads = threads;
    CHECK_OK(basalt_scheduler_create(&options, &scheduler, err));
    return scheduler;
}

struct counter {
    basalt_job *job;
    basalt_cancel *cancel;
    atomic_uint runs;
    unsigned fail_at, cancel_at;
};

static basalt_status count_run(void *argument, basalt_error *err)
{
    struct counter *counter = argument;
    const unsigned run = atomic_fetch_add(&counter->runs, 1) + 1;
    if (run <= 100) basalt_job_spawn(counter->job, count_run, counter);
    if (run == counter->cancel_at) basalt_cancel_request(counter->cancel);
    if (run != counter->fail_at) return BASALT_OK;
    *err = (basalt_error){.os_errno = 5, .file_offset = 9, .message = "a task of mine fails"};
    return BASALT_IO_ERROR;
}

TEST(api_scheduler, jobs_of_the_program)
{
    for (unsigned threads = 0; threads <= 3; threads++) {
        basalt_scheduler *scheduler = scheduler_of(threads ? threads : BASALT_SCHEDULER_NO_THREADS);
        for (int priority = 0; priority < 2; priority++) {
            struct counter counter = {0};
            basalt_error error = {0};
            REQUIRE_OK(
                basalt_job_create(scheduler, (basalt_priority)priority, NULL, &counter.job, err));
            for (unsigned i = 0; i < 100; i++) basalt_job_spawn(counter.job, count_run, &counter);
            CHECK_OK(basalt_job_wait(counter.job, err));
            CHECK_EQ(atomic_load(&counter.runs), 200);
            CHECK(!basalt_job_is_stopping(counter.job));
            counter.fail_at = 210;
            for (unsigned i = 0; i < 100; i++) basalt_job_spawn(counter.job, count_run, &counter);
            CHECK_EQ(basalt_job_wait(counter.job, &error), BASALT_IO_ERROR);
            CHECK_TEXT(error.message, "a task of mine fails");
            CHECK_EQ(error.status, BASALT_IO_ERROR);
            CHECK_EQ(error.os_errno, 5);
            CHECK_EQ(error.file_offset, 9);
            CHECK(basalt_job_is_stopping(counter.job));
            basalt_job_free(&counter.job);
            CHECK(counter.job == NULL);
        }
        CHECK_OK(basalt_scheduler_free(&scheduler, err));
        CHECK(scheduler == NULL);
    }
}

TEST(api_scheduler, cancel_tokens)
{
    basalt_scheduler *scheduler = scheduler_of(2);
    struct counter counter = {.cancel_at = 7};
    REQUIRE_OK(basalt_cancel_create(&counter.cancel, err));
    CHECK(!basalt_cancel_is_requested(counter.cancel));
    CHECK(!basalt_cancel_is_requested(NULL));
    REQUIRE_OK(basalt_job_create(scheduler, BASALT_FOREGROUND, counter.cancel, &counter.job, err));
    for (unsigned i = 0; i < 100000; i++) basalt_job_spawn(counter.job, count_run, &counter);
    CHECK_EQ(basalt_job_wait(counter.job, NULL), BASALT_CANCELLED);
    CHECK(basalt_cancel_is_requested(counter.cancel));
    CHECK(basalt_job_is_stopping(counter.job));
    CHECK(atomic_load(&counter.runs) < 100000);
    basalt_job_free(&counter.job);
    basalt_cancel_request(NULL);
    basalt_cancel_free(&counter.cancel);
    CHECK(counter.cancel == NULL);
    basalt_cancel_free(&counter.cancel);
    CHECK_OK(basalt_scheduler_free(&scheduler, err));
}

/* Squares of 0, 1, 2, … in order. */
struct line {
    basalt_cancel *cancel;
    uint64_t count, given, taken, discarded, fail_at, cancel_at;
    bool in_order;
};

static basalt_status line_next(void *context, void **out_item, basalt_error *err)
{
    struct line *line = context;
    if (line->given == line->count) return BASALT_OK;
    uint64_t *item = malloc(sizeof *item);
    if (!item) {
        *err = (basalt_error){.message = "no memory for an item of mine"};
        return BASALT_NO_MEMORY;
    }
    *item = line->given++;
    *out_item = item;
    return BASALT_OK;
}

static basalt_status line_square(void *context, void *item, basalt_error *err)
{
    const struct line *line = context;
    uint64_t *number = item;
    if (line->fail_at && *number == line->fail_at) {
        *err = (basalt_error){.message = "a stage of mine fails"};
        return BASALT_CORRUPT;
    }
    *number *= *number;
    return BASALT_OK;
}

static basalt_status line_take(void *context, void *item, basalt_error *err)
{
    struct line *line = context;
    (void)err;
    line->in_order &= *(uint64_t *)item == line->taken * line->taken;
    line->taken++;
    if (line->cancel_at && line->taken == line->cancel_at) basalt_cancel_request(line->cancel);
    free(item);
    return BASALT_OK;
}

static void line_discard(void *context, void *item)
{
    ((struct line *)context)->discarded++;
    free(item);
}

static basalt_status line_run(basalt_scheduler *scheduler, struct line *line, basalt_error *err)
{
    basalt_pipeline pipeline;
    basalt_pipeline_init(&pipeline, sizeof pipeline);
    pipeline.context = line;
    pipeline.next = line_next;
    pipeline.stage = line_square;
    pipeline.sink = line_take;
    pipeline.discard = line_discard;
    line->in_order = true;
    return basalt_pipeline_run(scheduler, BASALT_FOREGROUND, line->cancel, &pipeline, err);
}

TEST(api_scheduler, pipelines_of_the_program)
{
    for (unsigned threads = 0; threads <= 3; threads++) {
        basalt_scheduler *scheduler = scheduler_of(threads ? threads : BASALT_SCHEDULER_NO_THREADS);
        basalt_error error = {0};
        struct line all = {.count = 3000}, failing = {.count = 3000, .fail_at = 777};
        struct line cancelled = {.count = 3000, .cancel_at = 500};
        CHECK_OK(line_run(scheduler, &all, err));
        CHECK_EQ(all.taken, all.count);
        CHECK(all.in_order && !all.discarded);
        CHECK_EQ(line_run(scheduler, &failing, &error), BASALT_CORRUPT);
        CHECK_TEXT(error.message, "a stage of mine fails");
        CHECK(failing.in_order && failing.taken <= 777);
        CHECK_EQ(failing.taken + failing.discarded, failing.given);
        CHECK_OK(basalt_cancel_create(&cancelled.cancel, err));
        CHECK_EQ(line_run(scheduler, &cancelled, NULL), BASALT_CANCELLED);
        CHECK(cancelled.in_order && cancelled.taken < cancelled.count);
        CHECK_EQ(cancelled.taken + cancelled.discarded, cancelled.given);
        basalt_cancel_free(&cancelled.cancel);
        CHECK_OK(basalt_scheduler_free(&scheduler, err));
    }
}

TEST(api_scheduler, is_shared_by_environments)
{
    basalt_scheduler *scheduler = scheduler_of(3);
    basalt_env *envs[2] = {NULL, NULL};
    basalt_env_options options;
    basalt_env_stats env_stats;
    basalt_scheduler_stats stats;
    basalt_error error = {0};
    basalt_env_options_init(&options, sizeof options);
    CHECK(options.scheduler == NULL);
    options.scheduler = scheduler;
    options.threads = 17; /* not looked at */
    for (unsigned i = 0; i < 2; i++) REQUIRE_OK(basalt_env_create(&options, &envs[i], err));
    basalt_env_get_stats(envs[0], &env_stats);
    CHECK_EQ(env_stats.threads, 3);
    CHECK_OK(basalt_scheduler_set_threads(scheduler, 5, err));
    basalt_env_get_stats(envs[1], &env_stats);
    CHECK_EQ(env_stats.threads, 5);
    basalt_scheduler_get_stats(scheduler, &stats);
    CHECK_EQ(stats.environments, 2);
    CHECK_EQ(stats.threads, 5);
    CHECK_EQ(stats.jobs, 0);
    CHECK_EQ(basalt_scheduler_free(&scheduler, &error), BASALT_BUSY);
    CHECK(strstr(error.message, "2 environments") != NULL);
    REQUIRE(scheduler != NULL);
    CHECK_OK(basalt_env_close(&envs[0], err));
    CHECK_OK(basalt_env_close(&envs[1], err));
    CHECK_OK(basalt_scheduler_free(&scheduler, err));
    CHECK_OK(basalt_scheduler_free(&scheduler, err)); /* NULL by now */
}

struct lender {
    basalt_scheduler *scheduler;
    basalt_cancel *cancel;
};

static void lend(void *argument)
{
    struct lender *lender = argument;
    CHECK_OK(basalt_scheduler_work(lender->scheduler, lender->cancel, err));
}

TEST(api_scheduler, a_thread_is_lent)
{
    struct lender lender = {scheduler_of(BASALT_SCHEDULER_NO_THREADS), NULL};
    struct counter counter = {0};
    struct bs_thread *thread = NULL;
    basalt_scheduler_stats stats;
    basalt_error error = {0};
    REQUIRE_OK(basalt_cancel_create(&lender.cancel, err));
    REQUIRE_OK(bs_thread_start("lender", lend, &lender, &thread, err));
    REQUIRE_OK(basalt_job_create(lender.scheduler, BASALT_FOREGROUND, NULL, &counter.job, err));
    basalt_job_spawn(counter.job, count_run, &counter);
    while (atomic_load(&counter.runs) < 101) bs_thread_yield(); /* nobody waits */
    basalt_scheduler_get_stats(lender.scheduler, &stats);
    CHECK_EQ(stats.lent_threads, 1);
    CHECK_EQ(stats.threads, 1);
    CHECK_EQ(basalt_scheduler_free(&lender.scheduler, &error), BASALT_BUSY);
    CHECK(strstr(error.message, "1 jobs and 1 lent") != NULL);
    basalt_job_free(&counter.job);
    basalt_cancel_request(lender.cancel);
    bs_thread_join(thread);
    basalt_cancel_free(&lender.cancel);
    CHECK_OK(basalt_scheduler_free(&lender.scheduler, err));
}

TEST(api_scheduler, wrong_arguments_are_named)
{
    basalt_scheduler *scheduler = NULL;
    basalt_scheduler_options options;
    basalt_job *job = NULL;
    basalt_error error = {0};
    basalt_scheduler_options_init(&options, sizeof options);
    options.threads = BASALT_SCHEDULER_THREADS_MAX + 1;
    CHECK_EQ(basalt_scheduler_create(&options, &scheduler, &error), BASALT_TOO_LARGE);
    CHECK(scheduler == NULL && strstr(error.message, "256") != NULL);
    CHECK_EQ(basalt_scheduler_create(NULL, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(basalt_job_create(NULL, BASALT_FOREGROUND, NULL, &job, &error), BASALT_BAD_ARGUMENT);
    CHECK(strstr(error.message, "scheduler") != NULL);
    CHECK_EQ(basalt_scheduler_set_threads(NULL, 1, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(basalt_scheduler_work(NULL, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(basalt_job_wait(NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(basalt_cancel_create(NULL, NULL), BASALT_BAD_ARGUMENT);
    REQUIRE_OK(basalt_scheduler_create(NULL, &scheduler, err));
    CHECK_EQ(basalt_scheduler_work(scheduler, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(
        basalt_job_create(scheduler, (basalt_priority)2, NULL, &job, NULL), BASALT_BAD_ARGUMENT);
    CHECK(job == NULL);
    basalt_pipeline pipeline;
    basalt_pipeline_init(&pipeline, sizeof pipeline);
    CHECK_EQ(
        basalt_pipeline_run(scheduler, BASALT_FOREGROUND, NULL, NULL, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(basalt_pipeline_run(scheduler, BASALT_FOREGROUND, NULL, &pipeline, &error),
        BASALT_BAD_ARGUMENT);
    CHECK(strstr(error.message, "sink") != NULL);
    pipeline.next = line_next;
    pipeline.sink = line_take;
    pipeline.items_max = BASALT_PIPELINE_ITEMS_MAX + 1;
    CHECK_EQ(basalt_pipeline_run(scheduler, BASALT_FOREGROUND, NULL, &pipeline, NULL),
        BASALT_BAD_ARGUMENT);
    pipeline.items_max = 1;
    CHECK_EQ(basalt_pipeline_run(scheduler, (basalt_priority)7, NULL, &pipeline, NULL),
        BASALT_BAD_ARGUMENT);
    CHECK_EQ(
        basalt_pipeline_run(NULL, BASALT_FOREGROUND, NULL, &pipeline, NULL), BASALT_BAD_ARGUMENT);
    basalt_job_spawn(NULL, count_run, NULL);
    basalt_job_free(&job);
    basalt_job_free(NULL);
    basalt_scheduler_get_stats(NULL, &(basalt_scheduler_stats){0});
    CHECK_OK(basalt_scheduler_free(&scheduler, err));
}

TEST(api_scheduler, every_fault_is_survived)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        basalt_scheduler *scheduler = NULL;
        basalt_env *env = NULL;
        basalt_env_options options;
        struct counter counter = {0};
        basalt_env_options_init(&options, sizeof options);
        if (!basalt_scheduler_create(NULL, &scheduler, NULL)) {
            options.scheduler = scheduler;
            if (!basalt_env_create(&options, &env, NULL)) CHECK_OK(basalt_env_close(&env, err));
            if (!basalt_job_create(scheduler, BASALT_FOREGROUND, NULL, &counter.job, NULL)) {
                basalt_job_spawn(counter.job, count_run, &counter);
                CHECK_OK(basalt_job_wait(counter.job, err));
                CHECK_EQ(atomic_load(&counter.runs), 101);
            }
            basalt_job_free(&counter.job);
            struct line line = {.count = 50};
            if (!line_run(scheduler, &line, NULL)) CHECK_EQ(line.taken, line.count);
            CHECK_EQ(line.taken + line.discarded, line.given);
            CHECK_OK(basalt_scheduler_free(&scheduler, err));
        }
        CHECK_EQ(test_live_allocations(), before);
    }
}
