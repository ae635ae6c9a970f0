/* budget.c - a tree of byte limits.
 *
 * INVARIANTS
 *   (1) `taken` of a node is at least the sum of what its children have taken: taking goes from the
 *       leaf to the root and giving does too, each level by one atomic step.
 *   (2) `taken` never passes `limit`, not even for an instant: a level is raised by compare and
 *       swap. So a taker that fails at a level above may briefly make another one fail at a level
 *       below, which is the safe side. */
#include "base/base.h"

#include <inttypes.h>

struct bs_budget {
    struct bs_budget *parent; /* outlives this one */
    char *purpose;
    uint64_t limit_bytes;
    _Atomic uint64_t taken_bytes, peak_bytes;
    _Atomic uint64_t children; /* alive */
};

basalt_status bs_budget_create(struct bs_budget *parent, const char *purpose, uint64_t bytes_max,
    struct bs_budget **out_budget, basalt_error *err)
{
    *out_budget = NULL;
    struct bs_budget *budget = bs_alloc_zeroed(1, sizeof *budget);
    if (!budget) return bs_fail_memory(err, sizeof *budget);
    budget->purpose = bs_copy_string(purpose);
    if (!budget->purpose) {
        bs_free(budget);
        return bs_fail_memory(err, strlen(purpose) + 1);
    }
    budget->parent = parent;
    budget->limit_bytes = bytes_max;
    if (parent) atomic_fetch_add(&parent->children, 1);
    *out_budget = budget;
    return BASALT_OK;
}

void bs_budget_free(struct bs_budget *budget)
{
    if (!budget) return;
    assert(atomic_load(&budget->taken_bytes) == 0);
    assert(atomic_load(&budget->children) == 0);
    if (budget->parent) atomic_fetch_sub(&budget->parent->children, 1);
    bs_free(budget->purpose);
    bs_free(budget);
}

static bool level_take(struct bs_budget *level, uint64_t bytes)
{
    uint64_t taken = atomic_load_explicit(&level->taken_bytes, memory_order_relaxed);
    do {
        if (bytes > level->limit_bytes - taken) return false;
    } while (!atomic_compare_exchange_weak(&level->taken_bytes, &taken, taken + bytes));
    return true;
}

static void level_give(struct bs_budget *level, uint64_t bytes)
{
    const uint64_t before = atomic_fetch_sub(&level->taken_bytes, bytes);
    assert(before >= bytes);
    (void)before;
}

static void level_note_peak(struct bs_budget *level)
{
    const uint64_t taken = atomic_load(&level->taken_bytes);
    uint64_t peak = atomic_load_explicit(&level->peak_bytes, memory_order_relaxed);
    while (taken > peak && !atomic_compare_exchange_weak(&level->peak_bytes, &peak, taken)) {
    }
}

basalt_status bs_budget_take(struct bs_budget *budget, uint64_t bytes, basalt_error *err)
{
    struct bs_budget *level = budget;
    while (level && level_take(level, bytes)) level = level->parent;
    if (!level) {
        for (level = budget; level; level = level->parent) level_note_peak(level);
        return BASALT_OK;
    }
    for (struct bs_budget *low = budget; low != level; low = low->parent) level_give(low, bytes);
    return bs_fail(err, BASALT_NO_MEMORY, BASALT_NO_OFFSET,
        "the budget of %s has %" PRIu64 " of %" PRIu64 " bytes taken, %" PRIu64 " more do not fit",
        level->purpose, atomic_load(&level->taken_bytes), level->limit_bytes, bytes);
}

void bs_budget_give(struct bs_budget *budget, uint64_t bytes)
{
    for (struct bs_budget *level = budget; level; level = level->parent) level_give(level, bytes);
}

uint64_t bs_budget_taken(const struct bs_budget *budget)
{
    return atomic_load(&budget->taken_bytes);
}

uint64_t bs_budget_peak(const struct bs_budget *budget)
{
    return atomic_load(&budget->peak_bytes);
}

uint64_t bs_budget_limit(const struct bs_budget *budget)
{
    return budget->limit_bytes;
}
