/* published_test.c - readers hold what they took; the last reference destroys, exactly once. */
#include "tests/harness/test.h"

struct item {
    struct bs_shared shared;
    uint64_t value, inverse; /* always each other's complement while it lives */
    atomic_int *alive;
};

static void item_destroy(struct bs_shared *shared)
{
    struct item *item = (struct item *)shared;
    atomic_fetch_sub(item->alive, 1);
    item->inverse = item->value; /* a use after this is seen even without a sanitizer */
    bs_free(item);
}

static struct bs_shared *item_create(uint64_t value, atomic_int *alive)
{
    struct item *item = bs_alloc(sizeof *item);
    if (!item) return NULL;
    bs_shared_init(&item->shared, item_destroy);
    item->value = value;
    item->inverse = ~value;
    item->alive = alive;
    atomic_fetch_add(alive, 1);
    return &item->shared;
}

TEST(published, the_last_reference_destroys)
{
    atomic_int alive = 0;
    struct bs_published published = {0};
    CHECK(bs_published_take(&published) == NULL);
    bs_published_set(&published, item_create(1, &alive));
    struct bs_shared *held = bs_published_take(&published);
    bs_published_set(&published, item_create(2, &alive));
    CHECK_EQ(atomic_load(&alive), 2);
    CHECK_EQ(((struct item *)held)->value, 1);
    bs_shared_retain(held);
    bs_shared_release(held);
    CHECK_EQ(atomic_load(&alive), 2);
    bs_shared_release(held);
    CHECK_EQ(atomic_load(&alive), 1);
    bs_published_set(&published, NULL);
    CHECK_EQ(atomic_load(&alive), 0);
    bs_shared_release(NULL);
}

struct race {
    struct bs_published published;
    atomic_bool stop;
    atomic_uint torn, taken, backwards;
};

static void read_on(void *argument)
{
    struct race *race = argument;
    uint64_t last = 0;
    while (!atomic_load(&race->stop)) {
        struct item *item = (struct item *)bs_published_take(&race->published);
        if (!item) continue;
        if (item->value != ~item->inverse) atomic_fetch_add(&race->torn, 1);
        if (item->value < last) atomic_fetch_add(&race->backwards, 1);
        last = item->value;
        bs_shared_release(&item->shared);
        atomic_fetch_add(&race->taken, 1);
    }
}

TEST(published, readers_and_a_publisher_race)
{
    struct race race = {0};
    atomic_int alive = 0;
    struct bs_thread *threads[4] = {0};
    bs_published_set(&race.published, item_create(1, &alive));
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(bs_thread_start("reader", read_on, &race, &threads[i], err));
    }
    for (uint64_t value = 2; value < 20000 || atomic_load(&race.taken) < 1000; value++) {
        bs_published_set(&race.published, item_create(value, &alive));
    }
    atomic_store(&race.stop, true);
    for (unsigned i = 0; i < 4; i++) bs_thread_join(threads[i]);
    CHECK_EQ(atomic_load(&race.torn), 0);
    CHECK_EQ(atomic_load(&race.backwards), 0);
    CHECK_EQ(atomic_load(&alive), 1);
    bs_published_set(&race.published, NULL);
    CHECK_EQ(atomic_load(&alive), 0);
}
