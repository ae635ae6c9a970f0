/* write_space.c - which bytes of the file are free.
 *
 * An extent goes round: taken, in use, given up by the commit that is being built, retired when that
 * commit is durable, free when no reader can be looking at it any more.
 *
 *   (1) Bytes that a committed root reaches are never in `free`: what a commit gives up waits in
 *       `pending` until the commit is durable, then in `retired` until it is reclaimed.
 *   (2) What a commit has taken and not committed may be given back at once (bs_space_untake).
 *   (3) In a file whose extents all start at multiples of 8 an extent owns the bytes up to the next
 *       multiple. Where a stranger has placed something at an odd address it does not: ends are
 *       then rounded down, and a few bytes stay unused until the file is opened again.
 *   (4) Giving space back cannot fail: where there is no memory to remember it, it stays unused
 *       until the file is opened again, when all that no root reaches is free.
 *
 * The free extents are a treap by address; each node knows the largest extent below it, so the
 * lowest one that is large enough is found in a logarithm of steps. The lowest, so that the file's
 * end becomes free and the file can be shortened. */
#include "h5/writer_internal.h"

#define SPACE_ALIGNMENT 8u

struct bs_space_node {
    struct bs_space_node *left, *right;
    uint64_t address, bytes;
    uint64_t largest;  /* of this subtree */
    uint64_t priority; /* a parent's is not below its children's */
};

/* ---- lists of extents ---------------------------------------------------------------------- */

basalt_status bs_extents_add(
    struct bs_extents *extents, uint64_t address, uint64_t bytes, basalt_error *err)
{
    if (extents->count == extents->capacity) {
        const size_t capacity = BS_MAX(extents->capacity * 2, (size_t)8);
        void *grown = bs_realloc(extents->items, capacity * sizeof *extents->items);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *extents->items);
        extents->items = grown;
        extents->capacity = capacity;
    }
    extents->items[extents->count++] = (struct bs_h5_extent){address, bytes};
    return BASALT_OK;
}

void bs_extents_free(struct bs_extents *extents)
{
    bs_free(extents->items);
    *extents = (struct bs_extents){0};
}

/* ---- the treap ----------------------------------------------------------------------------- */

static uint64_t priority_of(uint64_t address) /* splitmix64's mixer: addresses are not random */
{
    uint64_t z = address + 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t largest_of(const struct bs_space_node *node)
{
    return node ? node->largest : 0;
}

static void refresh(struct bs_space_node *node)
{
    const uint64_t below = BS_MAX(largest_of(node->left), largest_of(node->right));
    node->largest = BS_MAX(node->bytes, below);
}

static struct bs_space_node *merge(struct bs_space_node *low, struct bs_space_node *high)
{
    if (!low) return high;
    if (!high) return low;
    if (low->priority >= high->priority) {
        low->right = merge(low->right, high);
        refresh(low);
        return low;
    }
    high->left = merge(low, high->left);
    refresh(high);
    return high;
}

/* Those below `address` into *low, the others into *high. */
static void split(struct bs_space_node *node, uint64_t address, struct bs_space_node **low,
    struct bs_space_node **high)
{
    if (!node) {
        *low = *high = NULL;
    } else if (node->address < address) {
        split(node->right, address, &node->right, high);
        refresh(node);
        *low = node;
    } else {
        split(node->left, address, low, &node->left);
        refresh(node);
        *high = node;
    }
}

static struct bs_space_node *take_first(struct bs_space_node *node, struct bs_space_node **out)
{
    if (node->left) {
        node->left = take_first(node->left, out);
        refresh(node);
        return node;
    }
    *out = node;
    return node->right;
}

static struct bs_space_node *take_last(struct bs_space_node *node, struct bs_space_node **out)
{
    if (node->right) {
        node->right = take_last(node->right, out);
        refresh(node);
        return node;
    }
    *out = node;
    return node->left;
}

/* A damaged file may name the same bytes twice: then they are given back once. */
static bool overlaps(const struct bs_space_node *node, uint64_t address, uint64_t bytes)
{
    while (node) {
        if (address + bytes <= node->address) {
            node = node->left;
        } else if (node->address + node->bytes <= address) {
            node = node->right;
        } else {
            return true;
        }
    }
    return false;
}

static void insert_free(struct bs_space *space, uint64_t address, uint64_t bytes)
{
    struct bs_space_node *low, *high, *near = NULL, *kept = NULL;
    if (bytes == 0 || address + bytes > space->end || overlaps(space->free, address, bytes)) return;
    space->free_bytes += bytes;
    split(space->free, address, &low, &high);
    if (low) {
        low = take_last(low, &near);
        if (near->address + near->bytes == address) {
            kept = near;
            kept->bytes += bytes;
        } else {
            near->left = near->right = NULL;
            refresh(near);
            low = merge(low, near);
        }
    }
    if (high) {
        const uint64_t end = address + bytes;
        high = take_first(high, &near);
        if (near->address == end && kept) {
            kept->bytes += near->bytes;
            bs_free(near);
        } else if (near->address == end) {
            kept = near;
            kept->address = address;
            kept->bytes += bytes;
            kept->priority = priority_of(address);
        } else {
            near->left = near->right = NULL;
            refresh(near);
            high = merge(near, high);
        }
    }
    if (!kept) {
        kept = bs_alloc(sizeof *kept);
        if (!kept) { /* invariant 4 */
            space->free_bytes -= bytes;
            space->free = merge(low, high);
            return;
        }
        kept->address = address;
        kept->bytes = bytes;
        kept->priority = priority_of(address);
    }
    kept->left = kept->right = NULL;
    refresh(kept);
    space->free = merge(merge(low, kept), high);
}

/* The lowest extent of at least `bytes`; takes its front. */
static struct bs_space_node *take_front(
    struct bs_space_node *node, uint64_t bytes, uint64_t *out_address)
{
    if (largest_of(node->left) >= bytes) {
        node->left = take_front(node->left, bytes, out_address);
    } else if (node->bytes >= bytes) {
        *out_address = node->address;
        node->address += bytes;
        node->bytes -= bytes;
        if (node->bytes == 0) {
            struct bs_space_node *rest = merge(node->left, node->right);
            bs_free(node);
            return rest;
        }
    } else {
        node->right = take_front(node->right, bytes, out_address);
    }
    refresh(node);
    return node;
}

static void free_all(struct bs_space_node *node)
{
    if (!node) return;
    free_all(node->left);
    free_all(node->right);
    bs_free(node);
}

/* ---- taking and giving --------------------------------------------------------------------- */

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + SPACE_ALIGNMENT - 1) & ~(uint64_t)(SPACE_ALIGNMENT - 1);
}

/* The whole units of 8 that belong to an extent in use (invariant 3). */
static struct bs_h5_extent whole_units(
    const struct bs_space *space, uint64_t address, uint64_t bytes)
{
    const uint64_t from = round_up(address);
    uint64_t to = address + bytes;
    to = space->aligned ? round_up(to) : to & ~(uint64_t)(SPACE_ALIGNMENT - 1);
    return (struct bs_h5_extent){from, to > from ? to - from : 0};
}

void bs_space_init(struct bs_space *space, uint64_t end)
{
    *space = (struct bs_space){0};
    bs_mutex_init(&space->lock);
    space->end = round_up(end);
    space->aligned = true;
}

void bs_space_destroy(struct bs_space *space)
{
    free_all(space->free);
    bs_extents_free(&space->pending);
    bs_free(space->retired);
    bs_mutex_destroy(&space->lock);
}

static uint64_t take_free_locked(struct bs_space *space, uint64_t bytes)
{
    uint64_t address = BS_H5_UNDEFINED;
    if (bytes == 0 || largest_of(space->free) < bytes) return BS_H5_UNDEFINED;
    space->free = take_front(space->free, bytes, &address);
    space->free_bytes -= bytes;
    return address;
}

uint64_t bs_space_take_free(struct bs_space *space, uint64_t bytes)
{
    bs_mutex_lock(&space->lock);
    const uint64_t address = take_free_locked(space, round_up(bytes));
    bs_mutex_unlock(&space->lock);
    return address;
}

uint64_t bs_space_end(struct bs_space *space)
{
    bs_mutex_lock(&space->lock);
    const uint64_t end = space->end;
    bs_mutex_unlock(&space->lock);
    return end;
}

uint64_t bs_space_take(struct bs_space *space, uint64_t bytes)
{
    bs_mutex_lock(&space->lock);
    uint64_t address = take_free_locked(space, round_up(bytes));
    if (address == BS_H5_UNDEFINED) {
        address = space->end;
        space->end += round_up(bytes);
    }
    bs_mutex_unlock(&space->lock);
    return address;
}

void bs_space_untake(struct bs_space *space, uint64_t address, uint64_t bytes)
{
    if (address == BS_H5_UNDEFINED) return;
    bs_mutex_lock(&space->lock);
    insert_free(space, address, round_up(bytes));
    bs_mutex_unlock(&space->lock);
}

void bs_space_give_up(struct bs_space *space, uint64_t address, uint64_t bytes)
{
    if (address == BS_H5_UNDEFINED) return;
    bs_mutex_lock(&space->lock);
    const struct bs_h5_extent extent = whole_units(space, address, bytes);
#ifdef BASALT_MUTANT_reuse_one_commit_early
    /* Retired by the next commit, treated as if by the one in force. */
    if (space->reclaimed >= space->commit) {
        insert_free(space, extent.address, extent.bytes);
        bs_mutex_unlock(&space->lock);
        return;
    }
#endif
    if (extent.bytes > 0) {
        (void)!bs_extents_add(&space->pending, extent.address, extent.bytes, NULL);
    }
    bs_mutex_unlock(&space->lock);
}

static bool retired_reserve(struct bs_space *space, size_t more)
{
    const size_t live = space->retired_count - space->retired_first;
    if (space->retired_first > 0 && live > 0) {
        memmove(
            space->retired, space->retired + space->retired_first, live * sizeof *space->retired);
    }
    space->retired_first = 0;
    space->retired_count = live;
    if (live + more <= space->retired_capacity) return true;
    const size_t capacity = BS_MAX(2 * space->retired_capacity, live + more);
    void *grown = bs_realloc(space->retired, capacity * sizeof *space->retired);
    if (!grown) return false; /* invariant 4 */
    space->retired = grown;
    space->retired_capacity = capacity;
    return true;
}

void bs_space_retire(struct bs_space *space, uint64_t commit)
{
    bs_mutex_lock(&space->lock);
    space->commit = commit;
    if (space->pending.count > 0 && retired_reserve(space, space->pending.count)) {
        for (size_t i = 0; i < space->pending.count; i++) {
            space->retired[space->retired_count++] =
                (struct bs_retired){space->pending.items[i], commit};
            space->retired_bytes += space->pending.items[i].bytes;
        }
    }
    space->pending.count = 0;
    bs_mutex_unlock(&space->lock);
}

void bs_space_reclaim(struct bs_space *space, uint64_t commit)
{
    bs_mutex_lock(&space->lock);
    space->reclaimed = BS_MAX(space->reclaimed, commit);
    while (space->retired_first < space->retired_count &&
        space->retired[space->retired_first].commit <= commit) {
        const struct bs_h5_extent extent = space->retired[space->retired_first++].extent;
        space->retired_bytes -= extent.bytes;
        insert_free(space, extent.address, extent.bytes);
    }
    bs_mutex_unlock(&space->lock);
}

uint64_t bs_space_trim(struct bs_space *space)
{
    bs_mutex_lock(&space->lock);
    if (space->free) {
        struct bs_space_node *last;
        struct bs_space_node *rest = take_last(space->free, &last);
        if (last->address + last->bytes == space->end) {
            space->end = last->address;
            space->free_bytes -= last->bytes;
            bs_free(last);
            space->free = rest;
        } else {
            last->left = last->right = NULL;
            refresh(last);
            space->free = merge(rest, last);
        }
    }
    const uint64_t end = space->end;
    bs_mutex_unlock(&space->lock);
    return end;
}
