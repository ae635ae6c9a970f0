/* store_crash.c - every crash of the whole store.
 *
 * A store lives several lives over the power-loss file system: made, killed at any point, recovered,
 * closed, opened again; four families, transactions over two of them, both durabilities, checkpoints,
 * segments of 64 KiB that rotate, space that is reused at once. Then every image that a kill or a
 * power loss may leave at any point of the trace is examined: see examine.c. */
#include "tests/crash/examine.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define SYNC_NS 100000 /* of a sync while there is a crowd */
#define IMAGES_MIN 20000u
#define ALL_STAGES ((1u << STAGES) - 1)

/* BASALT_SEED makes other histories of all of them; how much they reach is then not demanded. */
static uint64_t seed_of(uint64_t history)
{
    const char *text = getenv("BASALT_SEED");
    return history + (text ? strtoull(text, NULL, 10) : 0);
}

static bool is_seeded(void)
{
    return getenv("BASALT_SEED") != NULL;
}

/* `stages`: bits of those that some image must be of. */
static void examine_history(
    struct history *history, const struct plan *plan, uint64_t images_min, unsigned stages)
{
    struct report report = {0};
    const uint64_t start = bs_now_ns();
    printf("%s: %" PRIu64 " events, %zu promises\n", plan->name,
        powerloss_event_count(history->vfs), history->promise_count);
    CHECK(examine_all(history, plan, &report));
    examine_print(&report, plan->name, bs_now_ns() - start);
    CHECK_EQ(report.tally.failures, 0);
    CHECK_EQ(report.second.failures, 0);
    if (is_seeded()) return;
    CHECK(report.tally.distinct >= images_min);
    CHECK(report.second.distinct > 0);
    for (unsigned i = 0; i < STAGES; i++) {
        if (stages >> i & 1) CHECK(report.tally.by_stage[i] > 0);
    }
    CHECK(report.closed > 0 && report.fresh > 0 && report.restored > 0);
    CHECK(report.say_closed > 0 && report.say_open > 0);
    CHECK(report.refused > 0 && report.moved >= report.refused);
}

TEST(store_crash, one_thread_and_several_lives)
{
    const struct plan plan = {"crashes of the store", seed_of(1), 512,
        {.each_max = 40, .seed = seed_of(1), .guarded_path = STORE_PATH}};
    struct history *history = NULL;
    REQUIRE_OK((history = history_create(plan.seed, err)) ? BASALT_OK : err->status);
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live(history, 140, err));
    history_kill(history);
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live(history, 200, err));
    REQUIRE_OK(history_close(history, err));
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live(history, 200, err));
    REQUIRE_OK(history_kill_in_flip(history, err));
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live(history, 20, err));
    history_kill(history);
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_close(history, err));
    examine_history(history, &plan, IMAGES_MIN / 2, ALL_STAGES & ~(1u << STAGE_SEGMENT_GONE));
    history_free(history);
}

/* Large commits, so that segments rotate and old ones go with a checkpoint; every life ends with a
 * close, which has holes to give back. */
TEST(store_crash, segments_rotate_and_closes_compact)
{
    const struct plan plan = {"crashes of the store, large commits", seed_of(9), 256,
        {.each_max = 16, .seed = seed_of(9), .guarded_path = STORE_PATH}};
    struct history *history = NULL;
    REQUIRE_OK((history = history_create(plan.seed, err)) ? BASALT_OK : err->status);
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE_OK(history_open(history, err));
        REQUIRE_OK(i == 1 ? history_rotate(history, 3, err) : history_live(history, 60, err));
        REQUIRE_OK(history_close(history, err));
    }
    examine_history(history, &plan, 1000,
        1u << STAGE_SEGMENT_GONE | 1u << STAGE_CLOSE_COMPACTING | 1u << STAGE_CLOSE_TRUNCATED);
    history_free(history);
}

TEST(store_crash, a_crowd)
{
    const struct plan plan = {"crashes of the store, three threads", seed_of(2), 512,
        {.each_max = 60, .seed = seed_of(2), .guarded_path = STORE_PATH}};
    struct history *history = NULL;
    REQUIRE_OK((history = history_create(plan.seed, err)) ? BASALT_OK : err->status);
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live_in_a_crowd(history, 120, SYNC_NS, err));
    history_kill(history);
    REQUIRE_OK(history_open(history, err));
    REQUIRE_OK(history_live_in_a_crowd(history, 100, SYNC_NS, err));
    REQUIRE_OK(history_close(history, err));
    examine_history(history, &plan, IMAGES_MIN / 2, 0);
    history_free(history);
}

/* A sync fails: nothing is acknowledged any more, the process is killed, and the next one must not
 * believe what the page cache says it holds. */
TEST(store_crash, a_sync_that_fails)
{
    static const uint64_t failing[] = {3, 8, 15, 21};
    for (size_t i = 0; i < BS_ARRAY_LENGTH(failing); i++) {
        const struct plan plan = {"crashes of the store, a sync failed", seed_of(3 + i), 64,
            {.each_max = 8, .seed = seed_of(i), .guarded_path = STORE_PATH}};
        struct history *history = NULL;
        basalt_error error = {0};
        REQUIRE_OK((history = history_create(plan.seed, err)) ? BASALT_OK : err->status);
        REQUIRE_OK(history_open(history, err));
        REQUIRE_OK(history_live(history, 20, err));
        powerloss_fail_sync(history->vfs, failing[i]);
        CHECK(history_live(history, 500, &error) != BASALT_OK);
        CHECK(history_live(history, 100, &error) != BASALT_OK); /* and so it stays */
        history_kill(history);
        REQUIRE_OK(history_open(history, err));
        REQUIRE_OK(history_adopt(history, err));
        REQUIRE_OK(history_live(history, 20, err));
        REQUIRE_OK(history_close(history, err));
        examine_history(history, &plan, 500, 0);
        history_free(history);
    }
}
