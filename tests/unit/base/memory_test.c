/* memory_test.c - allocation, its refusals, and the counting that the other tests rest on. */
#include "tests/harness/test.h"

TEST(memory, blocks_are_counted_and_refused_in_turn)
{
    const int64_t before = test_live_allocations();
    unsigned failures_seen = 0, runs = 0;
    EACH_FAULT (step) {
        runs++;
        char *a = bs_alloc(0), *b = bs_alloc_zeroed(3, 5), *c = bs_copy_string("abc");
        char *d = bs_copy_bytes("wxyz", 4), *e = bs_realloc(NULL, 10);
        char *all[] = {a, b, c, d, e};
        for (size_t i = 0; i < 5; i++) failures_seen += all[i] == NULL;
        if (b) CHECK(memcmp(b, (char[15]){0}, 15) == 0);
        if (c) CHECK_TEXT(c, "abc");
        if (d) CHECK(memcmp(d, "wxyz", 4) == 0);
        for (size_t i = 0; i < 5; i++) bs_free(all[i]);
        CHECK_EQ(test_live_allocations(), before);
    }
    CHECK_EQ(failures_seen, 5);
    CHECK_EQ(runs, 6);
}

TEST(memory, a_failed_realloc_leaves_the_old_block)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        char *old = bs_copy_string("stays");
        if (!old) continue;
        char *grown = bs_realloc(old, 4096);
        CHECK_TEXT(grown ? grown : old, "stays");
        bs_free(grown ? grown : old);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(memory, products_that_overflow_are_refused)
{
    CHECK(bs_alloc_zeroed(SIZE_MAX / 2, 3) == NULL);
    CHECK(bs_alloc_zeroed(3, SIZE_MAX / 2) == NULL);
    char *empty = bs_alloc_zeroed(0, SIZE_MAX);
    CHECK(empty != NULL);
    bs_free(empty);
    bs_free(NULL);
    basalt_error err = {0};
    CHECK_EQ(bs_fail_memory(&err, 12345), BASALT_NO_MEMORY);
    CHECK(strstr(err.message, "12345") != NULL);
}
