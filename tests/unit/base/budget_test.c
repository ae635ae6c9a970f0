/* budget_test.c - a tree of limits: no level is ever passed, and a refusal takes nothing. */
#include "tests/harness/test.h"

TEST(budget, a_child_takes_from_every_ancestor)
{
    struct bs_budget *root = NULL, *store = NULL, *family = NULL;
    REQUIRE_OK(bs_budget_create(NULL, "the environment", 100, &root, err));
    REQUIRE_OK(bs_budget_create(root, "the store", 80, &store, err));
    REQUIRE_OK(bs_budget_create(store, "the family", 200, &family, err));
    CHECK_OK(bs_budget_take(family, 50, err));
    CHECK_OK(bs_budget_take(root, 30, err));
    CHECK_EQ(bs_budget_taken(root), 80);
    CHECK_EQ(bs_budget_taken(store), 50);

    basalt_error refusal = {0};
    CHECK_EQ(bs_budget_take(family, 31, &refusal), BASALT_NO_MEMORY); /* over at the store */
    CHECK(strstr(refusal.message, "the store") != NULL);
    CHECK_EQ(bs_budget_take(family, 21, &refusal), BASALT_NO_MEMORY); /* over at the environment */
    CHECK(strstr(refusal.message, "the environment") != NULL);
    CHECK_EQ(bs_budget_take(family, UINT64_MAX, &refusal), BASALT_NO_MEMORY);
    CHECK_EQ(bs_budget_taken(family), 50);
    CHECK_EQ(bs_budget_taken(store), 50);
    CHECK_EQ(bs_budget_taken(root), 80);
    CHECK_OK(bs_budget_take(family, 20, err)); /* to the brim */

    bs_budget_give(family, 70);
    bs_budget_give(root, 30);
    CHECK_EQ(bs_budget_taken(root), 0);
    CHECK_EQ(bs_budget_peak(root), 100);
    CHECK_EQ(bs_budget_peak(store), 70);
    CHECK_EQ(bs_budget_limit(family), 200);
    bs_budget_free(family);
    bs_budget_free(store);
    bs_budget_free(root);
    bs_budget_free(NULL);
}

TEST(budget, creation_survives_every_fault)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_budget *root = NULL, *child = NULL;
        if (!bs_budget_create(NULL, "a", 1, &root, NULL)) {
            if (bs_budget_create(root, "b", 1, &child, NULL)) CHECK(child == NULL);
        }
        bs_budget_free(child);
        bs_budget_free(root);
        CHECK_EQ(test_live_allocations(), before);
    }
}

struct taker {
    struct bs_budget *budget;
    atomic_uint refused, passed;
};

static void take_and_give(void *argument)
{
    struct taker *taker = argument;
    for (unsigned i = 0; i < 20000; i++) {
        if (bs_budget_take(taker->budget, 7, NULL)) {
            atomic_fetch_add(&taker->refused, 1);
            bs_thread_yield();
            continue;
        }
        if (bs_budget_taken(taker->budget) > 20) atomic_fetch_add(&taker->passed, 1);
        bs_budget_give(taker->budget, 7);
    }
}

TEST(budget, threads_never_pass_the_limit)
{
    struct taker taker = {0};
    struct bs_thread *threads[4] = {0};
    struct bs_budget *root = NULL;
    REQUIRE_OK(bs_budget_create(NULL, "root", 20, &root, err));
    REQUIRE_OK(bs_budget_create(root, "child", 20, &taker.budget, err));
    for (unsigned i = 0; i < 4; i++) {
        CHECK_OK(bs_thread_start("taker", take_and_give, &taker, &threads[i], err));
    }
    for (unsigned i = 0; i < 4; i++) bs_thread_join(threads[i]);
    CHECK_EQ(atomic_load(&taker.passed), 0);
    CHECK_EQ(bs_budget_taken(root), 0);
    CHECK(bs_budget_peak(root) <= 20 && bs_budget_peak(root) >= 7);
    bs_budget_free(taker.budget);
    bs_budget_free(root);
}
