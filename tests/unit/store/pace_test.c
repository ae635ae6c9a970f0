/* pace_test.c - how long a commit is delayed, over the ways in which a checkpoint can go. */
#include "tests/harness/test.h"

#include "store/store_internal.h"

#define MIB ((uint64_t)1 << 20)
#define COMMIT ((uint64_t)64 << 10)

static struct bs_store store; /* only what pace.c looks at */

static void begin(uint64_t active, uint64_t frozen, uint64_t ns_per_mib)
{
    memset(&store, 0, sizeof store);
    store.options.memtable_bytes_max = 64 * MIB;
    REQUIRE_OK(bs_memtable_create(NULL, 1, &store.active, err));
    atomic_store(&store.active->bytes, active);
    bs_pace_note(&store, 10 * MIB, 10 * ns_per_mib);
    if (!frozen) return;
    REQUIRE_OK(bs_memtable_create(NULL, 2, &store.frozen, err));
    atomic_store(&store.frozen->bytes, frozen);
    bs_pace_frozen(&store);
}

static void end(void)
{
    bs_memtable_release(store.active);
    if (store.frozen) bs_memtable_release(store.frozen);
}

/* The sum over `count` commits, none of which fills anything; of one the longest in *out_longest. */
static uint64_t delays(unsigned count, uint64_t *out_longest)
{
    uint64_t sum = 0;
    *out_longest = 0;
    for (unsigned i = 0; i < count; i++) {
        const uint64_t delay = bs_pace_delay_ns(&store, COMMIT);
        *out_longest = BS_MAX(*out_longest, delay);
        sum += delay;
    }
    return sum;
}

TEST(pace, nobody_is_slowed_without_need)
{
    uint64_t longest;
    begin(63 * MIB, 0, 5000000);
    CHECK_EQ(delays(100, &longest), 0);
    CHECK_EQ(bs_pace_threshold(&store), 64 * MIB);
    end();
    begin(31 * MIB, 64 * MIB, 5000000);
    CHECK_EQ(delays(100, &longest), 0);
    store.closing = true;
    atomic_store(&store.active->bytes, 63 * MIB);
    CHECK_EQ(delays(100, &longest), 0); /* it must not wait */
    end();
}

TEST(pace, delays_share_out_the_time_that_is_left)
{
    uint64_t longest;
    begin(40 * MIB, 64 * MIB, 5000000); /* 320 ms for the checkpoint, 16 MiB of room: 256 commits */
    const uint64_t sum = delays(256, &longest);
    CHECK(sum > 200000000 && sum < 330000000);
    CHECK(longest >= 1000000 && longest < 4000000);
    CHECK_EQ(bs_pace_threshold(&store), 32 * MIB); /* the next one may begin early */
    bs_pace_frozen(&store);
    CHECK_EQ(bs_pace_threshold(&store), 64 * MIB);
    end();
}

TEST(pace, no_delay_is_long_and_the_room_outlasts_a_wrong_estimate)
{
    uint64_t longest, slept = 0;
    begin(32 * MIB, 64 * MIB, 1000); /* it was told that a checkpoint takes no time */
    while (!bs_pace_is_full(&store)) {
        slept += delays(1, &longest);
        CHECK(longest <= 10000000);
        atomic_fetch_add(&store.active->bytes, COMMIT);
    }
    CHECK(slept > 1000000000); /* a second for the checkpoint all the same */
    CHECK_EQ(atomic_load(&store.active->bytes), 64 * MIB);
    end();
}

TEST(pace, what_recovery_froze_leaves_a_whole_memtable)
{
    uint64_t longest;
    begin(20 * MIB, 512 * MIB, 5000000);
    CHECK(!bs_pace_is_full(&store));
    CHECK_EQ(delays(10, &longest), 0);
    end();
    begin(127 * MIB, 0, 5000000);
    CHECK(!bs_pace_is_full(&store)); /* a checkpoint is due, and has not begun */
    CHECK(delays(10, &longest) > 0);
    atomic_store(&store.active->bytes, 128 * MIB);
    CHECK(bs_pace_is_full(&store));
    end();
}
