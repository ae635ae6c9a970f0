/* thread_posix_test.c - threads, conditions, and that the program's signals stay the program's. */
#include "tests/harness/test.h"

#include <signal.h>

struct meeting {
    bs_mutex mutex;
    bs_condition condition;
    unsigned arrived, wanted;
    bool all_blocked;
};

static void arrive(void *argument)
{
    struct meeting *meeting = argument;
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    bs_thread_lower_priority();
    bs_mutex_lock(&meeting->mutex);
    meeting->all_blocked &=
        sigismember(&blocked, SIGINT) == 1 && sigismember(&blocked, SIGSEGV) == 0;
    meeting->arrived++;
    bs_condition_broadcast(&meeting->condition);
    while (meeting->arrived < meeting->wanted) {
        bs_condition_wait(&meeting->condition, &meeting->mutex);
    }
    bs_mutex_unlock(&meeting->mutex);
}

TEST(thread, threads_meet_at_a_condition)
{
    struct meeting meeting = {.wanted = 5, .all_blocked = true};
    struct bs_thread *threads[4] = {0};
    bs_mutex_init(&meeting.mutex);
    bs_condition_init(&meeting.condition);
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(
            bs_thread_start("a name longer than fifteen", arrive, &meeting, &threads[i], err));
    }
    bs_mutex_lock(&meeting.mutex);
    while (meeting.arrived < 4) bs_condition_wait(&meeting.condition, &meeting.mutex);
    meeting.arrived++;
    bs_condition_broadcast(&meeting.condition);
    bs_mutex_unlock(&meeting.mutex);
    for (unsigned i = 0; i < 4; i++) bs_thread_join(threads[i]);
    bs_thread_join(NULL);
    CHECK(meeting.all_blocked);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    CHECK(sigismember(&mine, SIGINT) == 0); /* the caller's mask is as it was */
    bs_condition_destroy(&meeting.condition);
    bs_mutex_destroy(&meeting.mutex);
}

TEST(thread, a_deadline_that_passes_is_told)
{
    struct meeting meeting = {0};
    bs_mutex_init(&meeting.mutex);
    bs_condition_init(&meeting.condition);
    bs_mutex_lock(&meeting.mutex);
    const uint64_t deadline = bs_now_ns() + 2000000;
    while (bs_condition_wait_until(&meeting.condition, &meeting.mutex, deadline)) {
    }
    CHECK(bs_now_ns() >= deadline);
    CHECK(!bs_condition_wait_until(&meeting.condition, &meeting.mutex, 0));
    bs_mutex_unlock(&meeting.mutex);
    bs_condition_destroy(&meeting.condition);
    bs_mutex_destroy(&meeting.mutex);
}

static void nothing(void *argument)
{
    (void)argument;
}

TEST(thread, starting_survives_every_fault)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_thread *thread = NULL;
        basalt_error err = {0};
        if (bs_thread_start("x", nothing, NULL, &thread, &err)) {
            CHECK(thread == NULL);
            CHECK_EQ(err.status, BASALT_NO_MEMORY);
        }
        bs_thread_join(thread);
        CHECK_EQ(test_live_allocations(), before);
    }
    CHECK(bs_processor_count() >= 1);
    bs_thread_yield();
}
