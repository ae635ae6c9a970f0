/* pace.c - writers that outrun the checkpoints are slowed a little each, instead of all at once.
 *
 * Without this they fill both memtables at full speed and then stand still until a whole checkpoint
 * is over, hundreds of milliseconds. So each commit is delayed by its share of the time that the
 * checkpoint still needs, judged by the one before, as its bytes are to the room that is left:
 *
 *     delay = time left * bytes / room
 *
 * With the estimate right, the room is used up when the checkpoint ends. With time left too short
 * the delays grow as the room shrinks. Whoever meets no room at all waits for it as ever. A writer
 * that was slowed lets the next checkpoint begin at half a memtable, so that the disk does not wait
 * for one to fill. */
#include "store/store_internal.h"

#define DELAY_NS_MIN ((uint64_t)1000000u)  /* a shorter sleep costs more than it delays */
#define DELAY_NS_MAX ((uint64_t)10000000u) /* of one commit */
#define LEFT_NS_MAX ((uint64_t)10000000000u)
#define LEFT_PARTS 4u    /* an overdue checkpoint is thought to need this part of it again */
#define RESERVE_PARTS 8u /* of a memtable, that pacing leaves for estimates that are wrong */
#define NS_PER_MIB_FIRST ((uint64_t)10000000u) /* before anything was measured: 100 MiB/s */

uint64_t bs_pace_threshold(const struct bs_store *store)
{
    const uint64_t bytes = store->options.memtable_bytes_max;
    return store->pace.pressed ? bytes / 2 : bytes;
}

/* What the active memtable may hold: as much as two, less the frozen one. */
static uint64_t active_max(const struct bs_store *store)
{
    const uint64_t each = store->options.memtable_bytes_max;
    return store->frozen ? each : 2 * each;
}

bool bs_pace_is_full(const struct bs_store *store)
{
    return atomic_load_explicit(&store->active->bytes, memory_order_relaxed) >= active_max(store);
}

void bs_pace_frozen(struct bs_store *store)
{
    store->pace.frozen_at_ns = bs_now_ns();
    store->pace.pressed = false;
}

void bs_pace_note(struct bs_store *store, uint64_t bytes, uint64_t took_ns)
{
    if (bytes >> 20) store->pace.ns_per_mib = took_ns / (bytes >> 20);
}

/* Of the checkpoint that is under way, or is about to begin. */
static uint64_t time_left(const struct bs_store *store, uint64_t active_bytes)
{
    const uint64_t rate = store->pace.ns_per_mib ? store->pace.ns_per_mib : NS_PER_MIB_FIRST;
    if (!store->frozen) return BS_MIN((active_bytes >> 20) * rate, LEFT_NS_MAX);
    const uint64_t bytes = atomic_load_explicit(&store->frozen->bytes, memory_order_relaxed);
    const uint64_t expected = BS_MIN((bytes >> 20) * rate, LEFT_NS_MAX);
    const uint64_t elapsed = bs_now_ns() - store->pace.frozen_at_ns;
    const uint64_t left = elapsed < expected ? expected - elapsed : 0;
    return BS_MAX(left, expected / LEFT_PARTS);
}

uint64_t bs_pace_delay_ns(struct bs_store *store, uint64_t bytes)
{
    const uint64_t most = active_max(store);
    if (store->poison.status || store->closing) return 0;
    const uint64_t active = atomic_load_explicit(&store->active->bytes, memory_order_relaxed);
    if (active < most / 2) return 0;
    const uint64_t target = most - most / RESERVE_PARTS;
    const uint64_t room = active < target ? target - active : 0;
    uint64_t delay = DELAY_NS_MAX;
    store->pace.pressed = true;
    if (room > bytes && bytes < (uint64_t)1 << 30) {
        delay = BS_MIN(delay, time_left(store, active) * bytes / room);
    }
    store->pace.debt_ns += delay;
    if (store->pace.debt_ns < DELAY_NS_MIN) return 0;
    delay = BS_MIN(store->pace.debt_ns, DELAY_NS_MAX);
    store->pace.debt_ns = 0;
    return delay;
}
