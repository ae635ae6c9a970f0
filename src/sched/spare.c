/* spare.c - task records that are used again: once a pool is warm a spawn asks the allocator for nothing.
 *
 * Records are kept in batches, linked by `next`; the first one's `argument` links a batch to the next. A
 * worker has one batch that it gives to and takes from, and perhaps a full one, so that a worker which
 * now spawns and now runs goes to the pool for neither. One that only runs gives full batches to
 * the pool, one that only spawns takes them, each under the pool's mutex, once in BATCH tasks. Threads
 * that are no workers take single records under the mutex that they hold anyway. */
#include "sched/sched_internal.h"

#define BATCH 64u
#define POOL_BATCHES_MAX 1024u /* 2 MiB of records */

static struct bs_task *pop(struct bs_spares *spares)
{
    struct bs_task *task = spares->first;
    if (!task) return NULL;
    spares->first = task->next;
    spares->count--;
    return task;
}

static void push(struct bs_spares *spares, struct bs_task *task)
{
    task->next = spares->first;
    spares->first = task;
    spares->count++;
}

static void free_all(struct bs_spares *spares)
{
    for (struct bs_task *task = NULL; (task = pop(spares)) != NULL;) bs_free(task);
}

/* ---- the pool's: all under its mutex ------------------------------------------------------------- */

static bool pool_put_batch(struct bs_pool *pool, struct bs_task *first)
{
    const unsigned count = atomic_load_explicit(&pool->spare_batches, memory_order_relaxed);
    if (count >= POOL_BATCHES_MAX) return false;
    first->argument = pool->batches;
    pool->batches = first;
    atomic_store_explicit(&pool->spare_batches, count + 1, memory_order_relaxed);
    return true;
}

static struct bs_spares pool_take_batch(struct bs_pool *pool)
{
    struct bs_task *first = pool->batches;
    if (!first) return (struct bs_spares){NULL, 0};
    pool->batches = first->argument;
    atomic_fetch_sub_explicit(&pool->spare_batches, 1, memory_order_relaxed);
    return (struct bs_spares){first, BATCH};
}

struct bs_task *bs_spare_take_locked(struct bs_pool *pool)
{
    if (!pool->spares.first) pool->spares = pool_take_batch(pool);
    return pop(&pool->spares);
}

void bs_spare_give_locked(struct bs_pool *pool, struct bs_task *task)
{
    if (pool->spares.count == BATCH) {
        if (!pool_put_batch(pool, pool->spares.first)) {
            bs_free(task);
            return;
        }
        pool->spares = (struct bs_spares){NULL, 0};
    }
    push(&pool->spares, task);
}

void bs_spare_end_pool(struct bs_pool *pool)
{
    free_all(&pool->spares);
    while (pool->batches) {
        struct bs_spares batch = pool_take_batch(pool);
        free_all(&batch);
    }
}

/* ---- a worker's ---------------------------------------------------------------------------------- */

struct bs_task *bs_spare_take(struct bs_worker *worker)
{
    struct bs_pool *pool = worker->pool;
    if (!worker->spares.first && worker->full.first) {
        worker->spares = worker->full;
        worker->full = (struct bs_spares){NULL, 0};
    }
    if (!worker->spares.first &&
        atomic_load_explicit(&pool->spare_batches, memory_order_relaxed) > 0) {
        bs_mutex_lock(&pool->mutex);
        worker->spares = pool_take_batch(pool);
        bs_mutex_unlock(&pool->mutex);
    }
    struct bs_task *task = pop(&worker->spares);
    return task ? task : bs_alloc(sizeof *task);
}

void bs_spare_give(struct bs_worker *worker, struct bs_task *task)
{
    if (worker->spares.count == BATCH) {
        if (worker->full.first) {
            bs_mutex_lock(&worker->pool->mutex);
            if (pool_put_batch(worker->pool, worker->full.first))
                worker->full = (struct bs_spares){NULL, 0};
            bs_mutex_unlock(&worker->pool->mutex);
            free_all(&worker->full); /* the pool has enough */
        }
        worker->full = worker->spares;
        worker->spares = (struct bs_spares){NULL, 0};
    }
    push(&worker->spares, task);
}

void bs_spare_end_worker(struct bs_worker *worker)
{
    free_all(&worker->spares);
    free_all(&worker->full);
}
