/* flow_test.c - items go through a pipeline in order, no more of them at once than it may, and each is
 * sunk or discarded, once, whatever fails. */
#include "sched/sched.h"

#include "tests/harness/test.h"

enum part { PART_NONE, PART_SOURCE, PART_STAGE, PART_SINK };

struct belt {
    uint64_t items;  /* that the source has */
    enum part fails; /* at item number `fail_at` */
    uint64_t fail_at;
    struct bs_cancel *cancel_at_sink;
    atomic_uint in_source, in_sink, in_flight, in_flight_most, staged;
    uint64_t made, sunk, discarded, last_discarded;
};

struct item {
    uint64_t number;
    uint64_t square;
};

static basalt_status make_item(void *context, void **out_item, basalt_error *err)
{
    struct belt *belt = context;
    CHECK_EQ(atomic_fetch_add(&belt->in_source, 1), 0);
    struct item *item = NULL;
    basalt_status status = BASALT_OK;
    if (belt->fails == PART_SOURCE && belt->made == belt->fail_at) {
        status = bs_fail(err, BASALT_IO_ERROR, 1, "the source fails");
    } else if (belt->made < belt->items) {
        item = bs_alloc(sizeof *item);
        if (!item) status = bs_fail_memory(err, sizeof *item);
    }
    if (item) {
        *item = (struct item){.number = belt->made++};
        const unsigned now = atomic_fetch_add(&belt->in_flight, 1) + 1;
        if (now > atomic_load(&belt->in_flight_most)) atomic_store(&belt->in_flight_most, now);
    }
    atomic_fetch_sub(&belt->in_source, 1);
    *out_item = item;
    return status;
}

static basalt_status square_item(void *context, void *item, basalt_error *err)
{
    struct belt *belt = context;
    struct item *mine = item;
    if (mine->number % 3 == 0) bs_thread_yield(); /* so that later ones overtake */
    mine->square = mine->number * mine->number;
    atomic_fetch_add(&belt->staged, 1);
    if (belt->fails != PART_STAGE || mine->number != belt->fail_at) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, 2, "the stage fails");
}

static basalt_status sink_item(void *context, void *item, basalt_error *err)
{
    struct belt *belt = context;
    const struct item mine = *(struct item *)item;
    CHECK_EQ(atomic_fetch_add(&belt->in_sink, 1), 0);
    CHECK_EQ(mine.number, belt->sunk);
    CHECK_EQ(mine.square, mine.number * mine.number);
    belt->sunk++;
    bs_free(item);
    atomic_fetch_sub(&belt->in_flight, 1);
    if (belt->cancel_at_sink && mine.number == belt->fail_at) {
        bs_cancel_request(belt->cancel_at_sink);
    }
    const bool fails = belt->fails == PART_SINK && mine.number == belt->fail_at;
    atomic_fetch_sub(&belt->in_sink, 1);
    return fails ? bs_fail(err, BASALT_NO_SPACE, 3, "the sink fails") : BASALT_OK;
}

static void discard_item(void *context, void *item)
{
    struct belt *belt = context;
    const struct item *mine = item;
    CHECK(mine->number >= belt->sunk &&
        (belt->discarded == 0 || mine->number > belt->last_discarded));
    belt->last_discarded = mine->number;
    belt->discarded++;
    bs_free(item);
}

static struct bs_flow flow_of(struct belt *belt, unsigned items_max)
{
    return (struct bs_flow){.context = belt,
        .next = make_item,
        .stage = square_item,
        .sink = sink_item,
        .discard = discard_item,
        .items_max = items_max};
}

static struct bs_sched *sched_of(unsigned threads)
{
    struct bs_sched *sched = NULL;
    if (threads) CHECK_OK(bs_sched_create(threads, &sched, err));
    return sched;
}

TEST(flow, items_come_in_order)
{
    const int64_t before = test_live_allocations();
    for (unsigned threads = 0; threads <= 4; threads++) {
        struct bs_sched *sched = sched_of(threads);
        for (unsigned items_max = 1; items_max <= 64; items_max *= 4) {
            for (uint64_t items = 0; items <= 1000; items = items * 10 + (items == 0)) {
                struct belt belt = {.items = items};
                const struct bs_flow flow = flow_of(&belt, items_max);
                CHECK_OK(bs_flow_run(sched, (enum bs_priority)(items_max & 1), NULL, &flow, err));
                CHECK_EQ(belt.sunk, items);
                CHECK_EQ(atomic_load(&belt.staged), items);
                CHECK_EQ(belt.discarded, 0);
                CHECK(atomic_load(&belt.in_flight_most) <= items_max);
            }
        }
        bs_sched_free(sched);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(flow, the_first_failure_stops_it)
{
    const int64_t before = test_live_allocations();
    for (unsigned threads = 0; threads <= 3; threads++) {
        struct bs_sched *sched = sched_of(threads);
        for (enum part part = PART_SOURCE; part <= PART_SINK; part++) {
            for (uint64_t fail_at = 0; fail_at < 200; fail_at += 33) {
                struct belt belt = {.items = 100000, .fails = part, .fail_at = fail_at};
                const struct bs_flow flow = flow_of(&belt, 8);
                basalt_error error = {0};
                const basalt_status status =
                    bs_flow_run(sched, BS_PRIORITY_FOREGROUND, NULL, &flow, &error);
                static const struct {
                    basalt_status status;
                    const char *message;
                } wanted[] = {{BASALT_OK, ""}, {BASALT_IO_ERROR, "the source fails"},
                    {BASALT_CORRUPT, "the stage fails"}, {BASALT_NO_SPACE, "the sink fails"}};
                CHECK_EQ(status, wanted[part].status);
                CHECK_TEXT(error.message, wanted[part].message);
                CHECK(belt.sunk <= fail_at + (part == PART_SINK));
                if (part == PART_SINK) CHECK_EQ(belt.sunk, fail_at + 1);
                CHECK(belt.made <= fail_at + 16); /* it was noticed soon */
                CHECK_EQ(belt.made, belt.sunk + belt.discarded);
            }
        }
        bs_sched_free(sched);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(flow, cancel_stops_it)
{
    const int64_t before = test_live_allocations();
    for (unsigned threads = 0; threads <= 3; threads++) {
        struct bs_sched *sched = sched_of(threads);
        struct bs_cancel cancel = {0};
        struct belt belt = {.items = 1000000, .fail_at = 50, .cancel_at_sink = &cancel};
        const struct bs_flow flow = flow_of(&belt, 8);
        basalt_error error = {0};
        CHECK_EQ(
            bs_flow_run(sched, BS_PRIORITY_FOREGROUND, &cancel, &flow, &error), BASALT_CANCELLED);
        CHECK(belt.sunk > 50 && belt.made < 200);
        CHECK_EQ(belt.made, belt.sunk + belt.discarded);
        struct belt late = {.items = 10};
        const struct bs_flow none = flow_of(&late, 8);
        CHECK_EQ(
            bs_flow_run(sched, BS_PRIORITY_FOREGROUND, &cancel, &none, NULL), BASALT_CANCELLED);
        CHECK_EQ(late.made, 0);
        bs_sched_free(sched);
    }
    CHECK_EQ(test_live_allocations(), before);
}

TEST(flow, the_budget_bounds_what_is_in_flight)
{
    for (unsigned threads = 0; threads <= 3; threads++) {
        struct bs_sched *sched = sched_of(threads);
        struct bs_budget *budget = NULL;
        REQUIRE_OK(bs_budget_create(NULL, "items", 350, &budget, err));
        struct belt belt = {.items = 500};
        struct bs_flow flow = flow_of(&belt, 16);
        flow.budget = budget;
        flow.item_bytes = 100;
        CHECK_OK(bs_flow_run(sched, BS_PRIORITY_FOREGROUND, NULL, &flow, err));
        CHECK_EQ(belt.sunk, 500);
        CHECK(bs_budget_peak(budget) <= 300);
        CHECK_EQ(bs_budget_taken(budget), 0);
        struct belt stops = {.items = 500, .fails = PART_STAGE, .fail_at = 100};
        flow.context = &stops;
        CHECK_EQ(bs_flow_run(sched, BS_PRIORITY_FOREGROUND, NULL, &flow, NULL), BASALT_CORRUPT);
        CHECK_EQ(bs_budget_taken(budget), 0);
        flow.item_bytes = 351; /* not even one */
        struct belt none = {.items = 500};
        flow.context = &none;
        CHECK_EQ(bs_flow_run(sched, BS_PRIORITY_FOREGROUND, NULL, &flow, NULL), BASALT_NO_MEMORY);
        CHECK_EQ(none.made, 0);
        CHECK_EQ(bs_budget_taken(budget), 0);
        bs_budget_free(budget);
        bs_sched_free(sched);
    }
}

TEST(flow, every_fault_is_survived)
{
    const int64_t before = test_live_allocations();
    for (unsigned threads = 0; threads <= 2; threads += 2) {
        EACH_FAULT (step) {
            struct bs_sched *sched = NULL;
            if (threads && bs_sched_create(threads, &sched, NULL)) continue;
            struct belt belt = {.items = 12};
            const struct bs_flow flow = flow_of(&belt, 3);
            const basalt_status status =
                bs_flow_run(sched, BS_PRIORITY_FOREGROUND, NULL, &flow, NULL);
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            if (!status) CHECK_EQ(belt.sunk, 12);
            CHECK_EQ(belt.made, belt.sunk + belt.discarded);
            bs_sched_free(sched);
            CHECK_EQ(test_live_allocations(), before);
        }
    }
}
