/* sched_test.c - jobs end with the right outcome whoever runs their tasks: workers, waiters, both,
 * or (without a scheduler, or without memory) the caller alone. */
#include "sched/sched.h"

#include "tests/harness/test.h"

struct counted {
    atomic_uint runs;
    unsigned fail_at; /* the run that fails, counted from 1; 0 for none */
};

static basalt_status count_run(void *argument, basalt_error *err)
{
    struct counted *counted = argument;
    const unsigned run = atomic_fetch_add(&counted->runs, 1) + 1;
    if (run != counted->fail_at) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, 4711, "task %u fails", run);
}

/* Without workers, with one, with many. */
static struct bs_sched *sched_of(unsigned threads)
{
    struct bs_sched *sched = NULL;
    if (threads) CHECK_OK(bs_sched_create(threads, &sched, err));
    return sched;
}

TEST(sched, every_task_runs_once)
{
    for (unsigned threads = 0; threads <= 4; threads++) {
        struct bs_sched *sched = sched_of(threads);
        for (int priority = 0; priority < 2; priority++) {
            struct bs_job *job = NULL;
            struct counted counted = {0};
            REQUIRE_OK(bs_job_create(sched, (enum bs_priority)priority, NULL, &job, err));
            CHECK_OK(bs_job_wait(job, err)); /* nothing to wait for */
            for (unsigned i = 0; i < 1000; i++) bs_job_spawn(job, count_run, &counted);
            CHECK_OK(bs_job_wait(job, err));
            CHECK_EQ(atomic_load(&counted.runs), 1000);
            for (unsigned i = 0; i < 10; i++) bs_job_spawn(job, count_run, &counted);
            CHECK_OK(bs_job_wait(job, err)); /* a job can be used again after OK */
            CHECK_EQ(atomic_load(&counted.runs), 1010);
            bs_job_free(job);
        }
        bs_sched_free(sched);
    }
}

TEST(sched, free_waits)
{
    struct bs_sched *sched = sched_of(2);
    struct bs_job *job = NULL;
    struct counted counted = {0};
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &job, err));
    for (unsigned i = 0; i < 100; i++) bs_job_spawn(job, count_run, &counted);
    bs_job_free(job);
    CHECK_EQ(atomic_load(&counted.runs), 100);
    bs_job_free(NULL);
    bs_sched_free(sched);
    bs_sched_free(NULL);
}

TEST(sched, the_first_failure_skips_the_rest)
{
    for (unsigned threads = 0; threads <= 3; threads++) {
        struct bs_sched *sched = sched_of(threads);
        struct bs_job *job = NULL;
        struct counted counted = {.fail_at = 5};
        basalt_error error = {0};
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &job, err));
        for (unsigned i = 0; i < 100000; i++) bs_job_spawn(job, count_run, &counted);
        CHECK_EQ(bs_job_wait(job, &error), BASALT_CORRUPT);
        CHECK_TEXT(error.message, "task 5 fails");
        CHECK_EQ(error.file_offset, 4711);
        const unsigned runs = atomic_load(&counted.runs);
        CHECK(runs >= 5 && runs < 100000);
        if (threads == 0) CHECK_EQ(runs, 5);
        bs_job_spawn(job, count_run, &counted); /* skipped too */
        CHECK_EQ(bs_job_wait(job, NULL), BASALT_CORRUPT);
        CHECK_EQ(atomic_load(&counted.runs), runs);
        bs_job_free(job);
        bs_sched_free(sched);
    }
}

/* A tree of jobs: every task makes a job of its own and waits for it, deeper than there are threads. */
struct tree {
    struct bs_sched *sched;
    unsigned depth;
    atomic_uint *leaves;
    unsigned fail_leaf;
};

static basalt_status grow_tree(void *argument, basalt_error *err)
{
    const struct tree *tree = argument;
    if (tree->depth == 0) {
        const unsigned leaf = atomic_fetch_add(tree->leaves, 1) + 1;
        if (leaf != tree->fail_leaf) return BASALT_OK;
        return bs_fail(err, BASALT_IO_ERROR, BASALT_NO_OFFSET, "leaf %u fails", leaf);
    }
    struct tree child = *tree;
    struct bs_job *job = NULL;
    child.depth--;
    basalt_status status = bs_job_create(tree->sched,
        tree->depth % 2 ? BS_PRIORITY_FOREGROUND : BS_PRIORITY_BACKGROUND, NULL, &job, err);
    if (status) return status;
    for (unsigned i = 0; i < 2; i++) bs_job_spawn(job, grow_tree, &child);
    status = bs_job_wait(job, err);
    bs_job_free(job);
    return status;
}

TEST(sched, waits_nest_deeper_than_there_are_threads)
{
    for (unsigned threads = 0; threads <= 3; threads++) {
        atomic_uint leaves = 0;
        struct tree tree = {sched_of(threads), 12, &leaves, 0};
        CHECK_OK(grow_tree(&tree, err));
        CHECK_EQ(atomic_load(&leaves), 4096);
        tree.fail_leaf = 4096 + 1000;
        basalt_error error = {0};
        CHECK_EQ(grow_tree(&tree, &error), BASALT_IO_ERROR);
        CHECK_TEXT(error.message, "leaf 5096 fails");
        bs_sched_free(tree.sched);
    }
}

/* Tasks that spawn into their own job while its waiter may already sleep. */
struct spreading {
    struct bs_job *job;
    atomic_int left;
};

static basalt_status spread(void *argument, basalt_error *err)
{
    (void)err;
    struct spreading *spreading = argument;
    for (unsigned i = 0; i < 3; i++) {
        if (atomic_fetch_sub(&spreading->left, 1) > 0) {
            bs_job_spawn(spreading->job, spread, spreading);
        }
    }
    return BASALT_OK;
}

TEST(sched, tasks_spawn_into_their_own_job)
{
    for (unsigned threads = 0; threads <= 4; threads++) {
        struct bs_sched *sched = sched_of(threads);
        struct spreading spreading = {.left = 5000};
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &spreading.job, err));
        bs_job_spawn(spreading.job, spread, &spreading);
        CHECK_OK(bs_job_wait(spreading.job, err));
        CHECK(atomic_load(&spreading.left) <= 0);
        bs_job_free(spreading.job);
        bs_sched_free(sched);
    }
}

/* Each of many jobs belongs to its own caller; a waiter must run no other caller's task. */
struct caller {
    struct bs_sched *sched;
    pthread_t self;
    atomic_uint foreign; /* tasks of this caller that another waiter ran */
    atomic_uint runs;
    struct caller *all;
    unsigned count;
};

static basalt_status see_who_runs(void *argument, basalt_error *err)
{
    (void)err;
    struct caller *mine = argument;
    for (unsigned i = 0; i < mine->count; i++) {
        struct caller *other = &mine->all[i];
        if (other != mine && pthread_equal(pthread_self(), other->self)) {
            atomic_fetch_add(&mine->foreign, 1);
        }
    }
    atomic_fetch_add(&mine->runs, 1);
    return BASALT_OK;
}

static void call_often(void *argument)
{
    struct caller *mine = argument;
    for (unsigned round = 0; round < 100; round++) {
        struct bs_job *job = NULL;
        if (bs_job_create(mine->sched, BS_PRIORITY_FOREGROUND, NULL, &job, NULL)) return;
        for (unsigned i = 0; i < 20; i++) bs_job_spawn(job, see_who_runs, mine);
        bs_job_free(job);
    }
}

static atomic_uint callers_ready;

static void call_when_all_are_known(void *argument)
{
    struct caller *mine = argument;
    mine->self = pthread_self();
    atomic_fetch_add(&callers_ready, 1);
    while (atomic_load(&callers_ready) < mine->count) bs_thread_yield();
    call_often(mine);
}

TEST(sched, a_waiter_runs_no_other_callers_task)
{
    struct caller callers[4] = {0};
    struct bs_thread *threads[4] = {0};
    struct bs_sched *sched = sched_of(2);
    atomic_store(&callers_ready, 0);
    for (unsigned i = 0; i < 4; i++) {
        callers[i].sched = sched;
        callers[i].all = callers;
        callers[i].count = 4;
    }
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(
            bs_thread_start("caller", call_when_all_are_known, &callers[i], &threads[i], err));
    }
    for (unsigned i = 0; i < 4; i++) bs_thread_join(threads[i]);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_EQ(atomic_load(&callers[i].foreign), 0);
        CHECK_EQ(atomic_load(&callers[i].runs), 2000);
    }
    bs_sched_free(sched);
}

struct cancelling {
    struct bs_cancel cancel;
    atomic_uint runs;
};

static basalt_status cancel_at_ten(void *argument, basalt_error *err)
{
    (void)err;
    struct cancelling *cancelling = argument;
    if (atomic_fetch_add(&cancelling->runs, 1) + 1 == 10) bs_cancel_request(&cancelling->cancel);
    return BASALT_OK;
}

TEST(sched, cancel_skips_the_rest)
{
    for (unsigned threads = 0; threads <= 2; threads++) {
        struct cancelling cancelling = {0};
        struct bs_sched *sched = sched_of(threads);
        struct bs_job *job = NULL;
        basalt_error error = {0};
        CHECK_OK(bs_cancel_check(&cancelling.cancel, err));
        CHECK_OK(bs_cancel_check(NULL, err));
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, &cancelling.cancel, &job, err));
        for (unsigned i = 0; i < 100000; i++) bs_job_spawn(job, cancel_at_ten, &cancelling);
        CHECK_EQ(bs_job_wait(job, &error), BASALT_CANCELLED);
        CHECK(strlen(error.message) > 0);
        CHECK(atomic_load(&cancelling.runs) >= 10 && atomic_load(&cancelling.runs) < 100000);
        bs_job_free(job);
        bs_sched_free(sched);
    }
}

static basalt_status hold(void *argument, basalt_error *err)
{
    (void)err;
    while (!atomic_load((atomic_bool *)argument)) bs_thread_yield();
    return BASALT_OK;
}

TEST(sched, background_ends_while_the_foreground_is_busy)
{
    struct bs_sched *sched = sched_of(1);
    struct bs_job *busy = NULL, *quiet = NULL;
    struct counted counted = {0};
    atomic_bool release = false;
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &busy, err));
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_BACKGROUND, NULL, &quiet, err));
    for (unsigned i = 0; i < 3; i++) bs_job_spawn(busy, hold, &release);
    for (unsigned i = 0; i < 100; i++) bs_job_spawn(quiet, count_run, &counted);
    while (atomic_load(&counted.runs) < 100) bs_thread_yield(); /* a worker does it: nobody waits */
    atomic_store(&release, true);
    bs_job_free(quiet);
    bs_job_free(busy);
    bs_sched_free(sched);
}

TEST(sched, limits_are_named)
{
    struct bs_sched *sched = NULL;
    basalt_error error = {0};
    CHECK_EQ(bs_sched_create(BS_SCHED_THREADS_MAX + 1, &sched, &error), BASALT_TOO_LARGE);
    CHECK(strstr(error.message, "256") != NULL);
    CHECK(sched == NULL);
    REQUIRE_OK(bs_sched_create(0, &sched, err));
    CHECK_EQ(bs_sched_threads(sched), bs_processor_count());
    bs_sched_free(sched);
}

TEST(sched, every_fault_is_survived)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_sched *sched = NULL;
        struct bs_job *job = NULL;
        struct counted counted = {0};
        if (!bs_sched_create(2, &sched, NULL) &&
            !bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &job, NULL)) {
            for (unsigned i = 0; i < 5; i++) bs_job_spawn(job, count_run, &counted);
            CHECK_OK(bs_job_wait(job, err)); /* without memory a task runs at once */
            CHECK_EQ(atomic_load(&counted.runs), 5);
        }
        bs_job_free(job);
        bs_sched_free(sched);
        CHECK_EQ(test_live_allocations(), before);
    }
}
