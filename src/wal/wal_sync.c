/* wal_sync.c - one sync for all who wait.
 *
 * Whoever must wait and finds no leader becomes the leader: takes its target, syncs without the
 * lock, publishes exactly that target, clears leadership and then wakes those it served, each by
 * its own word, and one more, who may lead next. So nobody sleeps while there is no leader:
 * a waiter sleeps only if it saw a leader under the lock, and that leader clears and wakes under
 * the same lock. tests/model/commit.pml holds this to every interleaving.
 *
 * A leader may give the threads that the sync before has released a moment to append their next
 * record, at most 15 % of what that sync took: groups grow by half for it. One thread alone has
 * nobody to wait for and waits for nobody. */
#include "wal/wal_internal.h"

#define YIELD_PERCENT_MAX 15u

/* ---- failure ----------------------------------------------------------------------------------- */

static void wake(struct bs_wal_waiter *waiter)
{
    bs_condition_signal(&waiter->wake);
}

static void wake_all(struct bs_wal_writer *writer)
{
    for (struct bs_wal_waiter *at = writer->first_waiter; at; at = at->next) wake(at);
}

static void poison_locked(struct bs_wal_writer *writer, const basalt_error *failure)
{
    if (!atomic_load_explicit(&writer->poisoned, memory_order_relaxed)) {
        writer->first_failure = *failure;
        atomic_store_explicit(&writer->poisoned, true, memory_order_release);
    }
    wake_all(writer);
}

void bs_wal_poison(struct bs_wal_writer *writer, const basalt_error *failure)
{
    bs_mutex_lock(&writer->sync_lock);
    poison_locked(writer, failure);
    bs_mutex_unlock(&writer->sync_lock);
}

basalt_status bs_wal_check(struct bs_wal_writer *writer, basalt_error *err)
{
    if (!atomic_load_explicit(&writer->poisoned, memory_order_acquire)) return BASALT_OK;
    const basalt_error *first = &writer->first_failure; /* constant from here on */
    bs_fail(err, BASALT_OUTCOME_UNKNOWN, first->file_offset,
        "the log failed, reopen the store to learn what was kept: %s", first->message);
    if (err) err->os_errno = first->os_errno;
    return BASALT_OUTCOME_UNKNOWN;
}

/* ---- leading ----------------------------------------------------------------------------------- */

/* Gives those whom the last sync released the chance to be in this one. Without a lock. */
static void let_released_return(
    struct bs_wal_writer *writer, uint64_t released, uint64_t arrivals_then, uint64_t deadline_ns)
{
    if (released < 2) return;
    while (
        atomic_load_explicit(&writer->arrivals, memory_order_relaxed) - arrivals_then < released &&
        bs_now_ns() < deadline_ns) {
        bs_thread_yield();
    }
}

/* Syncs every segment with frames in [from, target), oldest first. */
static basalt_status sync_range(
    struct bs_wal_writer *writer, bs_lsn from, bs_lsn target, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (bs_lsn at = from; at < target && !status;) {
        struct bs_wal_segment *segment = bs_wal_segment_take(writer, at, target, &at);
        if (!segment) break;
        status = bs_file_sync(segment->file, err);
        bs_wal_segment_release(writer, segment);
    }
    return status;
}

static bool is_served(const struct bs_wal_writer *writer, const struct bs_wal_waiter *waiter)
{
    return atomic_load_explicit(&writer->durable, memory_order_relaxed) >= waiter->end;
}

/* Wakes those who have what they wait for and the first who has not. */
static void wake_served(struct bs_wal_writer *writer)
{
    bool successor = false;
    writer->released_count = 1; /* the leader itself */
    for (struct bs_wal_waiter *at = writer->first_waiter; at; at = at->next) {
        if (is_served(writer, at)) {
            writer->released_count++;
            wake(at);
        } else if (!successor) {
            successor = true;
            wake(at);
        }
    }
}

static void publish(struct bs_wal_writer *writer, bs_lsn target)
{
    atomic_store_explicit(&writer->durable, target, memory_order_release);
}

static void end_lead(struct bs_wal_writer *writer)
{
#ifdef BASALT_MUTANT_notify_before_clear
    wake_served(writer);
    bs_mutex_unlock(&writer->sync_lock);
    bs_thread_yield();
    bs_mutex_lock(&writer->sync_lock);
    writer->leading = false;
#else
    writer->leading = false;
    wake_served(writer);
#endif
}

/* One sync. Called and left with sync_lock held; gives it up in between. */
static void lead(struct bs_wal_writer *writer)
{
    basalt_error failure = {0};
    const uint64_t deadline_ns = bs_now_ns() + writer->last_sync_ns / 100 * YIELD_PERCENT_MAX;
    const uint64_t released = writer->released_count, arrivals_then = writer->arrivals_then;
    writer->leading = true;
    bs_mutex_unlock(&writer->sync_lock);
    let_released_return(writer, released, arrivals_then, deadline_ns);

    /* Before the sync: what is appended while it runs may miss it. */
    const bs_lsn target = bs_wal_written(writer);
#ifdef BASALT_MUTANT_acknowledged_before_sync
    bs_mutex_lock(&writer->sync_lock);
    publish(writer, target);
    wake_served(writer);
    bs_mutex_unlock(&writer->sync_lock);
    const bs_lsn from = writer->start;
#else
    const bs_lsn from = bs_wal_durable(writer);
#endif
    const uint64_t began_ns = bs_now_ns();
    const basalt_status status = sync_range(writer, from, target, &failure);
    const uint64_t ended_ns = bs_now_ns();

    bs_mutex_lock(&writer->sync_lock);
    writer->syncs++;
    writer->last_sync_ns = ended_ns - began_ns;
    writer->last_sync_at_ns = ended_ns;
    writer->arrivals_then = atomic_load_explicit(&writer->arrivals, memory_order_relaxed);
    if (status) {
        poison_locked(writer, &failure);
    } else if (!atomic_load_explicit(&writer->poisoned, memory_order_relaxed)) {
        publish(writer, target);
    }
    end_lead(writer);
}

/* ---- waiting ----------------------------------------------------------------------------------- */

static void wait_turn(struct bs_wal_writer *writer, struct bs_wal_waiter *waiter)
{
    waiter->previous = writer->last_waiter;
    waiter->next = NULL;
    if (writer->last_waiter)
        writer->last_waiter->next = waiter;
    else
        writer->first_waiter = waiter;
    writer->last_waiter = waiter;
    bs_condition_wait(&waiter->wake, &writer->sync_lock);
    if (waiter->previous)
        waiter->previous->next = waiter->next;
    else
        writer->first_waiter = waiter->next;
    if (waiter->next)
        waiter->next->previous = waiter->previous;
    else
        writer->last_waiter = waiter->previous;
}

/* Until everything before `end` is durable, or nothing will be. Called and left with sync_lock
 * held. */
static basalt_status await(struct bs_wal_writer *writer, bs_lsn end, basalt_error *err)
{
    struct bs_wal_waiter waiter = {.end = end};
    basalt_status status = BASALT_OK;
    bool waited = false;
    bs_condition_init(&waiter.wake);
    atomic_fetch_add_explicit(&writer->arrivals, 1, memory_order_relaxed);
    while (!is_served(writer, &waiter)) {
        status = bs_wal_check(writer, err);
        if (status) break;
        if (!writer->leading) {
            lead(writer);
        } else {
            waited = true;
            wait_turn(writer, &waiter);
        }
    }
    writer->sync_waits += waited;
    bs_condition_destroy(&waiter.wake);
    return status;
}

basalt_status bs_wal_sync_to(struct bs_wal_writer *writer, bs_lsn end, basalt_error *err)
{
    assert(end <= bs_wal_written(writer));
    if (bs_wal_durable(writer) >= end) return BASALT_OK;
    atomic_store_explicit(&writer->syncs_asked, true, memory_order_relaxed);
    bs_mutex_lock(&writer->sync_lock);
    const basalt_status status = await(writer, end, err);
    bs_mutex_unlock(&writer->sync_lock);
    return status;
}

/* ---- figures ----------------------------------------------------------------------------------- */

void bs_wal_stats(struct bs_wal_writer *writer, struct bs_wal_stats *out_stats)
{
    memset(out_stats, 0, sizeof *out_stats);
    bs_mutex_lock(&writer->lock);
    for (struct bs_wal_segment *at = writer->oldest; at; at = at->next) {
        out_stats->log_bytes += at->file_bytes;
    }
    for (struct bs_wal_segment *at = writer->ready; at; at = at->next) {
        out_stats->log_bytes += at->file_bytes;
    }
    out_stats->mapped = writer->active->memory.bytes != NULL;
    bs_mutex_unlock(&writer->lock);

    bs_mutex_lock(&writer->sync_lock);
    out_stats->durable = bs_wal_durable(writer);
    out_stats->syncs = writer->syncs;
    out_stats->sync_waits = writer->sync_waits;
    out_stats->last_sync_ns = writer->last_sync_ns;
    out_stats->last_sync_at_ns = writer->last_sync_at_ns;
    bs_mutex_unlock(&writer->sync_lock);

    /* After durable, so that durable <= written holds in the answer too. */
    out_stats->written = bs_wal_written(writer);
    out_stats->appends = atomic_load_explicit(&writer->appends, memory_order_relaxed);
    out_stats->written_bytes = out_stats->written - writer->start;
    out_stats->synced_bytes = out_stats->durable - writer->start;
}
