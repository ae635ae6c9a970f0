/* sched_stress_test.c - everything at once, from fixed seeds: jobs in jobs from several callers, tasks
 * that spawn, fail and cancel, while threads are added, retired and lent; and what is left when the
 * scheduler goes first, or the process forks. */
#include "sched/sched_internal.h"

#include "tests/harness/test.h"

#include <sys/wait.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

/* ---- trees of jobs ---------------------------------------------------------------------------- */

#define CHILDREN_MAX 6
#define DEPTH 4
#define BRANCHES_MAX 1555 /* 1 + 6 + 36 + 216 + 1296 */

struct forest;
struct branch {
    struct forest *forest;
    struct bs_job *job; /* that this task belongs to */
    uint64_t seed;      /* what it does follows from this alone */
    unsigned depth;
};

struct forest {
    struct bs_sched *sched;
    struct bs_cancel cancel;
    uint64_t fail_at, cancel_at; /* the run that does it, counted from 1; 0: none */
    _Atomic uint64_t runs;
    _Atomic uint64_t used;
    struct branch branches[BRANCHES_MAX];
};

static basalt_status grow(void *argument, basalt_error *err);

/* A branch spawns `own` others into its own job, and `inner` into a job that it makes and waits for. */
static uint64_t shape_of(const struct branch *branch, unsigned *out_own, unsigned *out_inner)
{
    uint64_t random = branch->seed;
    const uint64_t choice = test_random(&random);
    *out_own = branch->depth ? (unsigned)(choice % (CHILDREN_MAX / 2 + 1)) : 0;
    *out_inner = branch->depth ? (unsigned)(choice / 16 % (CHILDREN_MAX / 2 + 1)) : 0;
    return random;
}

/* How many runs a branch comes to, itself included. */
static uint64_t size_of(const struct branch *branch)
{
    unsigned own = 0, inner = 0;
    uint64_t random = shape_of(branch, &own, &inner), size = 1;
    for (unsigned i = 0; i < own + inner; i++) {
        const struct branch child = {.seed = test_random(&random), .depth = branch->depth - 1};
        size += size_of(&child);
    }
    return size;
}

static void plant(struct forest *forest, struct bs_job *job, uint64_t seed, unsigned depth)
{
    struct branch *branch = &forest->branches[atomic_fetch_add(&forest->used, 1)];
    *branch = (struct branch){forest, job, seed, depth};
    bs_job_spawn(job, grow, branch);
}

static basalt_status grow(void *argument, basalt_error *err)
{
    const struct branch *branch = argument;
    struct forest *forest = branch->forest;
    unsigned own = 0, inner = 0;
    uint64_t random = shape_of(branch, &own, &inner);
    const uint64_t run = atomic_fetch_add(&forest->runs, 1) + 1;
    if (run == forest->cancel_at) bs_cancel_request(&forest->cancel);
    if (run == forest->fail_at) return bs_fail(err, BASALT_CORRUPT, 7, "this run fails");
    for (unsigned i = 0; i < own; i++) {
        plant(forest, branch->job, test_random(&random), branch->depth - 1);
    }
    if (inner == 0) return BASALT_OK;
    struct bs_job *job = NULL;
    const enum bs_priority priority =
        branch->seed % 4 ? BS_PRIORITY_FOREGROUND : BS_PRIORITY_BACKGROUND;
    basalt_status status = bs_job_create(forest->sched, priority, &forest->cancel, &job, err);
    if (status) return status;
    for (unsigned i = 0; i < inner; i++) {
        plant(forest, job, test_random(&random), branch->depth - 1);
    }
    status = bs_job_wait(job, err);
    bs_job_free(job);
    return status;
}

static void grow_a_forest(struct forest *forest, struct bs_sched *sched, uint64_t *random)
{
    const struct branch root = {.seed = test_random(random), .depth = DEPTH};
    const uint64_t size = size_of(&root), kind = test_random(random) % 4;
    struct bs_job *job = NULL;
    basalt_error error = {0};
    memset(forest, 0, sizeof *forest);
    forest->sched = sched;
    if (kind == 1) forest->fail_at = 1 + test_random(random) % size;
    if (kind == 2) forest->cancel_at = 1 + test_random(random) % size;
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, &forest->cancel, &job, err));
    plant(forest, job, root.seed, root.depth);
    const basalt_status status = bs_job_wait(job, &error);
    const uint64_t runs = atomic_load(&forest->runs);
    if (forest->fail_at) {
        CHECK_EQ(status, BASALT_CORRUPT);
        CHECK_TEXT(error.message, "this run fails");
        CHECK(runs >= forest->fail_at);
    } else if (status) { /* the last of all to run may cancel too late */
        CHECK(forest->cancel_at > 0 && runs >= forest->cancel_at);
        CHECK_EQ(status, BASALT_CANCELLED);
    } else {
        CHECK_EQ(runs, size);
    }
    bs_job_free(job);
}

/* ---- callers, threads that come and go ------------------------------------------------------------- */

struct caller {
    struct bs_sched *sched;
    uint64_t seed;
    unsigned rounds;
    atomic_uint *left; /* callers that still go on */
};

static void call(void *argument)
{
    struct caller *caller = argument;
    struct forest *forest = bs_alloc(sizeof *forest);
    uint64_t random = caller->seed;
    REQUIRE(forest != NULL);
    for (unsigned i = 0; i < caller->rounds; i++) grow_a_forest(forest, caller->sched, &random);
    bs_free(forest);
    atomic_fetch_sub(caller->left, 1);
}

static void resize(void *argument)
{
    struct caller *caller = argument;
    uint64_t random = caller->seed;
    while (atomic_load(caller->left) > 0) {
        const unsigned threads = (unsigned)(test_random(&random) % 5);
        CHECK_OK(bs_sched_set_threads(caller->sched, threads ? threads : BS_SCHED_NO_THREADS, err));
        bs_sleep_ns(test_random(&random) % 2000000);
    }
}

struct lender {
    struct caller caller;
    struct bs_cancel cancel;
};

static void lend(void *argument)
{
    struct lender *lender = argument;
    CHECK_OK(bs_sched_work(lender->caller.sched, &lender->cancel, err));
}

/* Lends a thread for a moment, again and again. */
static void lend_often(void *argument)
{
    struct caller *caller = argument;
    uint64_t random = caller->seed;
    while (atomic_load(caller->left) > 0) {
        struct lender lender = {.caller = *caller};
        struct bs_thread *thread = NULL;
        REQUIRE_OK(bs_thread_start("lender", lend, &lender, &thread, err));
        bs_sleep_ns(test_random(&random) % 3000000);
        bs_cancel_request(&lender.cancel);
        bs_thread_join(thread);
    }
}

TEST(sched_stress, callers_and_threads_that_come_and_go)
{
    const int64_t before = test_live_allocations();
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct caller callers[6];
        struct bs_thread *threads[6] = {0};
        struct bs_sched *sched = NULL;
        atomic_uint left = 4;
        REQUIRE_OK(bs_sched_create((unsigned)seed, &sched, err));
        for (unsigned i = 0; i < 6; i++) {
            callers[i] = (struct caller){sched, 100 * seed + i, 60, &left};
            REQUIRE_OK(bs_thread_start("caller",
                i < 4        ? call
                    : i == 4 ? resize
                             : lend_often,
                &callers[i], &threads[i], err));
        }
        for (unsigned i = 0; i < 6; i++) bs_thread_join(threads[i]);
        CHECK_EQ(bs_sched_use(sched).jobs, 0);
        CHECK_EQ(bs_sched_use(sched).lent_threads, 0);
        bs_sched_free(sched);
    }
    CHECK_EQ(test_live_allocations(), before);
}

/* ---- more tasks than a deque holds ------------------------------------------------------------ */

struct flood {
    struct bs_job *job;
    atomic_uint runs;
    uint64_t count;
};

static basalt_status drop_in(void *argument, basalt_error *err)
{
    (void)err;
    atomic_fetch_add((atomic_uint *)argument, 1);
    return BASALT_OK;
}

static basalt_status flood(void *argument, basalt_error *err)
{
    (void)err;
    struct flood *mine = argument;
    for (uint64_t i = 0; i < mine->count; i++) bs_job_spawn(mine->job, drop_in, &mine->runs);
    return BASALT_OK;
}

TEST(sched_stress, a_task_spawns_more_than_a_deque_holds)
{
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct flood mine = {.count = 3 * BS_DEQUE_SLOTS_MAX};
        struct bs_sched *sched = NULL;
        REQUIRE_OK(bs_sched_create(threads, &sched, err));
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, err));
        bs_job_spawn(mine.job, flood, &mine);
        while (atomic_load(&mine.runs) == 0)
            bs_thread_yield(); /* a worker has it, not the waiter */
        CHECK_OK(bs_job_wait(mine.job, err));
        CHECK_EQ(atomic_load(&mine.runs), mine.count);
        bs_job_free(mine.job);
        bs_sched_free(sched);
    }
}

/* ---- threads ---------------------------------------------------------------------------------- */

TEST(sched_stress, threads_are_added_and_retired)
{
    struct bs_sched *sched = NULL;
    basalt_error error = {0};
    REQUIRE_OK(bs_sched_create(2, &sched, err));
    CHECK_EQ(bs_sched_threads(sched), 2);
    CHECK_OK(bs_sched_set_threads(sched, 7, err));
    CHECK_EQ(bs_sched_threads(sched), 7);
    CHECK_OK(bs_sched_set_threads(sched, BS_SCHED_NO_THREADS, err));
    CHECK_EQ(bs_sched_threads(sched), 0);
    struct flood mine = {.count = 100};
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, err));
    bs_job_spawn(mine.job, flood, &mine);
    CHECK_OK(bs_job_wait(mine.job, err)); /* the waiter alone */
    CHECK_EQ(atomic_load(&mine.runs), 100);
    CHECK_OK(bs_sched_set_threads(sched, BS_SCHED_THREADS_MAX, err));
    CHECK_EQ(bs_sched_threads(sched), BS_SCHED_THREADS_MAX);
    CHECK_EQ(bs_sched_set_threads(sched, BS_SCHED_THREADS_MAX + 1, &error), BASALT_TOO_LARGE);
    CHECK_EQ(bs_sched_work(sched, NULL, &error), BASALT_TOO_LARGE); /* no room for one more */
    CHECK_OK(bs_sched_set_threads(sched, 1, err));
    CHECK_EQ(bs_sched_threads(sched), 1);
    bs_job_spawn(mine.job, flood, &mine);
    while (atomic_load(&mine.runs) < 200) bs_thread_yield(); /* the one that is left does it */
    bs_job_free(mine.job);
    bs_sched_free(sched);
}

static basalt_status lend_again(void *argument, basalt_error *err)
{
    return bs_sched_work(argument, NULL, err);
}

TEST(sched_stress, a_lent_thread_works_until_it_is_cancelled)
{
    struct bs_sched *sched = NULL;
    struct bs_thread *thread = NULL;
    basalt_error error = {0};
    REQUIRE_OK(bs_sched_create(BS_SCHED_NO_THREADS, &sched, err));
    struct lender lender = {.caller = {.sched = sched}};
    struct flood mine = {.count = 1000};
    REQUIRE_OK(bs_thread_start("lender", lend, &lender, &thread, err));
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, err));
    bs_job_spawn(mine.job, flood, &mine);
    while (atomic_load(&mine.runs) < 1000)
        bs_thread_yield(); /* nobody waits: the lent one does it */
    CHECK_EQ(bs_sched_use(sched).lent_threads, 1);
    CHECK_OK(bs_job_wait(mine.job, err));
    bs_job_spawn(mine.job, lend_again, sched);
    while (bs_sched_use(sched).lent_threads && !bs_job_is_stopping(mine.job)) bs_thread_yield();
    CHECK_EQ(bs_job_wait(mine.job, &error), BASALT_BAD_ARGUMENT);
    bs_cancel_request(&lender.cancel);
    bs_thread_join(thread);
    CHECK_EQ(bs_sched_use(sched).lent_threads, 0);
    bs_job_free(mine.job);
    /* And one that stays until the scheduler goes. */
    struct lender stays = {.caller = {.sched = sched}};
    REQUIRE_OK(bs_thread_start("lender", lend, &stays, &thread, err));
    while (bs_sched_use(sched).lent_threads == 0) bs_thread_yield();
    bs_sched_free(sched);
    bs_thread_join(thread);
}

TEST(sched_stress, jobs_end_after_their_scheduler)
{
    const int64_t before = test_live_allocations();
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct bs_sched *sched = NULL;
        struct bs_job *never_waited = NULL;
        struct flood mine = {.count = 1000};
        REQUIRE_OK(bs_sched_create(threads, &sched, err));
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, err));
        REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_BACKGROUND, NULL, &never_waited, err));
        for (unsigned i = 0; i < 20; i++) bs_job_spawn(mine.job, flood, &mine);
        bs_sched_free(sched);
        bs_job_spawn(mine.job, flood, &mine);
        bs_job_spawn(never_waited, drop_in, &mine.runs);
        CHECK_OK(bs_job_wait(mine.job, err));
        CHECK_EQ(atomic_load(&mine.runs), 21000);
        bs_job_free(mine.job);
        bs_job_free(never_waited);
        CHECK_EQ(atomic_load(&mine.runs), 21001);
    }
    CHECK_EQ(test_live_allocations(), before);
}

/* ---- what a waiter is promised ------------------------------------------------------------------ */

/* All workers sleep in waits, and the tasks that those wait for lie in deques beneath: each must come
 * out again, whoever spawned it. */
struct knot {
    struct bs_sched *sched;
    struct bs_job *outer;
    atomic_uint *runs;
};

static basalt_status tie(void *argument, basalt_error *err)
{
    struct knot *knot = argument;
    struct bs_job *inner = NULL;
    /* Tasks of the outer job beneath those of the inner one, in this thread's deque. */
    for (unsigned i = 0; i < 20; i++) bs_job_spawn(knot->outer, drop_in, knot->runs);
    const basalt_status status =
        bs_job_create(knot->sched, BS_PRIORITY_FOREGROUND, NULL, &inner, err);
    if (status) return status;
    for (unsigned i = 0; i < 20; i++) {
        bs_job_spawn(inner, drop_in, knot->runs);
        bs_job_spawn(knot->outer, drop_in, knot->runs);
    }
    const basalt_status waited = bs_job_wait(inner, err);
    bs_job_free(inner);
    return waited;
}

TEST(sched_stress, nobody_waits_for_what_lies_in_a_blocked_deque)
{
    for (unsigned threads = 1; threads <= 3; threads++) {
        struct bs_sched *sched = NULL;
        REQUIRE_OK(bs_sched_create(threads, &sched, err));
        for (unsigned round = 0; round < 200; round++) {
            atomic_uint runs = 0;
            struct knot knot = {sched, NULL, &runs};
            REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &knot.outer, err));
            for (unsigned i = 0; i < 4; i++) bs_job_spawn(knot.outer, tie, &knot);
            CHECK_OK(bs_job_wait(knot.outer, err));
            CHECK_EQ(atomic_load(&runs), 4 * 60);
            bs_job_free(knot.outer);
        }
        bs_sched_free(sched);
    }
}

TEST(sched_stress, held_mutexes_are_counted)
{
    bs_mutex one, two;
    bs_mutex_init(&one);
    bs_mutex_init(&two);
    CHECK_EQ(bs_mutexes_held(), 0);
    bs_mutex_lock(&one);
    bs_mutex_lock(&two);
#ifdef NDEBUG
    CHECK_EQ(bs_mutexes_held(), 0);
#else
    CHECK_EQ(bs_mutexes_held(), 2);
#endif
    bs_mutex_unlock(&one);
    bs_mutex_unlock(&two);
    CHECK_EQ(bs_mutexes_held(), 0);
    bs_mutex_destroy(&one);
    bs_mutex_destroy(&two);
}

/* ---- fork ------------------------------------------------------------------------------------- */

#ifndef UNDER_THREAD_SANITIZER
static basalt_status hold(void *argument, basalt_error *err)
{
    (void)err;
    while (!atomic_load((atomic_bool *)argument)) bs_thread_yield();
    return BASALT_OK;
}

static int use_after_fork(struct bs_sched *sched)
{
    struct flood mine = {.count = 100};
    if (bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, NULL)) return 2;
    bs_job_spawn(mine.job, flood, &mine);
    if (bs_job_wait(mine.job, NULL) || atomic_load(&mine.runs) != 100) return 3;
    bs_job_free(mine.job);
    if (bs_sched_work(sched, NULL, NULL) != BASALT_BAD_ARGUMENT) return 4;
    bs_sched_free(sched); /* joins nobody: there is nobody */
    return 0;
}

TEST(sched_stress, a_forked_child_runs_its_own_jobs)
{
    struct bs_sched *sched = NULL;
    struct bs_job *busy = NULL;
    atomic_bool release = false;
    REQUIRE_OK(bs_sched_create(2, &sched, err));
    REQUIRE_OK(bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &busy, err));
    bs_job_spawn(busy, hold, &release);
    const pid_t child = fork();
    if (child == 0) _exit(use_after_fork(sched));
    atomic_store(&release, true);
    int outcome = -1;
    CHECK_EQ(waitpid(child, &outcome, 0), child);
    CHECK(WIFEXITED(outcome));
    CHECK_EQ(WEXITSTATUS(outcome), 0);
    bs_job_free(busy);
    bs_sched_free(sched);
}
#endif

/* ---- faults ----------------------------------------------------------------------------------- */

TEST(sched_stress, every_fault_of_resizing_is_survived)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_sched *sched = NULL;
        struct flood mine = {.count = 300};
        if (bs_sched_create(1, &sched, NULL)) continue;
        basalt_status status = bs_sched_set_threads(sched, 3, NULL);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        const struct bs_cancel at_once = {true};
        status = bs_sched_work(sched, &at_once, NULL);
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        if (!bs_job_create(sched, BS_PRIORITY_FOREGROUND, NULL, &mine.job, NULL)) {
            bs_job_spawn(mine.job, flood, &mine);
            CHECK_OK(bs_job_wait(mine.job, err));
            CHECK_EQ(atomic_load(&mine.runs), 300);
        }
        bs_job_free(mine.job);
        bs_sched_free(sched);
        CHECK_EQ(test_live_allocations(), before);
    }
}
