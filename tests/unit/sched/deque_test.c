/* deque_test.c - push, take and steal against a plain array; and under threads: each task comes out
 * once, and thieves meet the tasks in the order in which they were pushed. tests/model/deque.pml has
 * the interleavings that a processor may never show. */
#include "sched/sched_internal.h"

#include "tests/harness/test.h"

#define TASKS 40000

static struct bs_task tasks[TASKS + 2 * BS_DEQUE_SLOTS_MAX];

static size_t number_of(const struct bs_task *task)
{
    return (size_t)(task - tasks);
}

/* The reference: tasks first .. end-1 of `numbers` are in the deque. */
struct reference {
    size_t numbers[TASKS];
    size_t first, end;
};

static void one_step(
    struct bs_deque *deque, struct reference *reference, size_t *pushed, uint64_t choice)
{
    struct bs_task *task = NULL;
    const bool empty = reference->first == reference->end;
    if (choice % 5 < 2) {
        CHECK(bs_deque_push(deque, &tasks[*pushed]));
        reference->numbers[reference->end++] = (*pushed)++;
    } else if (choice % 5 == 2) {
        task = bs_deque_take(deque, NULL);
        CHECK((task == NULL) == empty);
        if (task) CHECK_EQ(number_of(task), reference->numbers[--reference->end]);
    } else {
        const enum bs_steal outcome = bs_deque_steal(deque, NULL, &task);
        CHECK_EQ(outcome, empty ? BS_STEAL_EMPTY : BS_STEAL_TAKEN);
        if (task) CHECK_EQ(number_of(task), reference->numbers[reference->first++]);
    }
    CHECK_EQ(bs_deque_is_empty(deque), reference->first == reference->end);
}

TEST(deque, does_what_an_array_does)
{
    static struct reference reference;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct bs_deque deque;
        uint64_t random = seed;
        size_t pushed = 0;
        reference.first = reference.end = 0;
        REQUIRE_OK(bs_deque_create(&deque, err));
        while (pushed < TASKS - 1000) {
            /* Long runs of pushes make it grow, long runs of the rest empty it. */
            const uint64_t kind = test_random(&random) % 3;
            for (unsigned i = 0; i < 300; i++) {
                uint64_t choice = test_random(&random) % 5;
                if (kind == 0) choice = 0;
                if (kind == 1 && choice < 2) choice = 2;
                one_step(&deque, &reference, &pushed, choice);
            }
        }
        bs_deque_destroy(&deque);
    }
}

TEST(deque, a_job_gets_its_own_tasks_alone)
{
    struct bs_job *const one = (struct bs_job *)(void *)&tasks[0];
    struct bs_job *const other = (struct bs_job *)(void *)&tasks[1];
    struct bs_deque deque;
    struct bs_task *task = NULL;
    REQUIRE_OK(bs_deque_create(&deque, err));
    CHECK_EQ(bs_deque_steal(&deque, one, &task), BS_STEAL_EMPTY);
    CHECK(bs_deque_take(&deque, one) == NULL);
    tasks[0].job = one;
    tasks[1].job = other;
    tasks[2].job = one;
    for (unsigned i = 0; i < 3; i++) CHECK(bs_deque_push(&deque, &tasks[i]));
    CHECK(bs_deque_take(&deque, other) == NULL);
    CHECK_EQ(bs_deque_steal(&deque, other, &task), BS_STEAL_OTHER);
    CHECK(task == NULL);
    CHECK(bs_deque_take(&deque, one) == &tasks[2]);
    CHECK_EQ(bs_deque_steal(&deque, one, &task), BS_STEAL_TAKEN);
    CHECK(task == &tasks[0]);
    CHECK_EQ(bs_deque_steal(&deque, one, &task), BS_STEAL_OTHER);
    CHECK(bs_deque_take(&deque, other) == &tasks[1]);
    CHECK(bs_deque_is_empty(&deque));
    for (unsigned i = 0; i < 3; i++) tasks[i].job = NULL;
    bs_deque_destroy(&deque);
}

TEST(deque, is_full_at_its_limit)
{
    struct bs_deque deque;
    struct bs_task *task = NULL;
    REQUIRE_OK(bs_deque_create(&deque, err));
    for (size_t i = 0; i < BS_DEQUE_SLOTS_MAX; i++) REQUIRE(bs_deque_push(&deque, &tasks[i]));
    CHECK(!bs_deque_push(&deque, &tasks[BS_DEQUE_SLOTS_MAX]));
    CHECK_EQ(bs_deque_steal(&deque, NULL, &task), BS_STEAL_TAKEN);
    CHECK_EQ(number_of(task), 0);
    CHECK(bs_deque_push(&deque, &tasks[BS_DEQUE_SLOTS_MAX]));
    CHECK_EQ(number_of(bs_deque_take(&deque, NULL)), BS_DEQUE_SLOTS_MAX);
    for (size_t i = BS_DEQUE_SLOTS_MAX - 1; i > 0; i--) {
        CHECK_EQ(number_of(bs_deque_take(&deque, NULL)), i);
    }
    CHECK(bs_deque_is_empty(&deque));
    bs_deque_destroy(&deque);
}

TEST(deque, without_memory_it_stays_as_it_is)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_deque deque;
        size_t count = 0;
        const basalt_status status = bs_deque_create(&deque, NULL);
        for (; !status && count < 1000 && bs_deque_push(&deque, &tasks[count]);) count++;
        CHECK(status || count >= BS_DEQUE_SLOTS_MIN);
        for (; count > 0; count--) CHECK_EQ(number_of(bs_deque_take(&deque, NULL)), count - 1);
        bs_deque_destroy(&deque);
        CHECK_EQ(test_live_allocations(), before);
    }
}

/* ---- many thieves --------------------------------------------------------------------------------- */

#define THIEVES 3

struct heist {
    struct bs_deque deque;
    atomic_uint came_out[TASKS];
    atomic_bool over;
    atomic_uint ready;
};

static void note(struct heist *heist, const struct bs_task *task)
{
    CHECK_EQ((uintptr_t)task->argument, number_of(task)); /* what the owner wrote is seen whole */
    atomic_fetch_add(&heist->came_out[number_of(task)], 1);
}

static void thief(void *argument)
{
    struct heist *heist = argument;
    size_t next = 0;
    atomic_fetch_add(&heist->ready, 1);
    for (bool over = false; !over;) {
        struct bs_task *task = NULL;
        over = atomic_load(&heist->over); /* one more look after the owner's last push */
        while (bs_deque_steal(&heist->deque, NULL, &task) >= BS_STEAL_LOST) {
            if (!task) continue;
            CHECK(number_of(task) >= next);
            next = number_of(task) + 1;
            note(heist, task);
        }
    }
}

TEST(deque, each_task_comes_out_once)
{
    static struct heist heist;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct bs_thread *threads[THIEVES] = {0};
        uint64_t random = seed;
        memset(&heist, 0, sizeof heist);
        REQUIRE_OK(bs_deque_create(&heist.deque, err));
        for (unsigned i = 0; i < THIEVES; i++) {
            REQUIRE_OK(bs_thread_start("thief", thief, &heist, &threads[i], err));
        }
        while (atomic_load(&heist.ready) < THIEVES) bs_thread_yield();
        for (size_t pushed = 0; pushed < TASKS;) {
            const uint64_t choice = test_random(&random);
            for (uint64_t i = choice % (seed * 20); i > 0 && pushed < TASKS; i--) {
                tasks[pushed].argument = (void *)(uintptr_t)pushed;
                REQUIRE(bs_deque_push(&heist.deque, &tasks[pushed]));
                pushed++;
            }
            for (uint64_t i = (choice >> 32) % (seed * 20); i > 0; i--) {
                const struct bs_task *task = bs_deque_take(&heist.deque, NULL);
                if (!task) break;
                note(&heist, task);
            }
        }
        atomic_store(&heist.over, true);
        for (unsigned i = 0; i < THIEVES; i++) bs_thread_join(threads[i]);
        CHECK(bs_deque_is_empty(&heist.deque));
        for (size_t i = 0; i < TASKS; i++) CHECK_EQ(atomic_load(&heist.came_out[i]), 1);
        bs_deque_destroy(&heist.deque);
    }
}
