/* memtable.c - rows and other changes that are in the log and not in the file yet.
 *
 * Lists that only grow at their ends. One thread at a time inserts (under the commit lock); readers
 * follow `next` without a lock and stop at the first operation behind their position, so an
 * operation is complete before the release store that links it. Nothing is unlinked: the whole
 * memtable goes when its last view does.
 *
 * What a memtable keeps are the log records themselves: a row is copied once on its way in, from
 * the caller's arrays into the record that is both logged and kept. */
#include "store/store_internal.h"

/* ---- bundles ------------------------------------------------------------------------------- */

void bs_bundle_free(struct bs_bundle *bundle, struct bs_budget *budget)
{
    if (!bundle) return;
    for (size_t i = 0; i < bundle->record_count; i++) bs_bytes_free(&bundle->records[i]);
    if (budget) bs_budget_give(budget, bundle->charged_bytes);
    bs_free(bundle->records);
    bs_free(bundle->ops);
    bs_free(bundle);
}

/* Makes room for one more element of `element_bytes`; the capacity doubles. */
static basalt_status grow(
    void **array, size_t count, size_t *capacity, size_t element_bytes, basalt_error *err)
{
    if (count < *capacity) return BASALT_OK;
    const size_t wanted = *capacity ? *capacity * 2 : 1;
    if (wanted > SIZE_MAX / element_bytes) return bs_fail_memory(err, SIZE_MAX);
    void *grown = bs_realloc(*array, wanted * element_bytes);
    if (!grown) return bs_fail_memory(err, wanted * element_bytes);
    *array = grown;
    *capacity = wanted;
    return BASALT_OK;
}

basalt_status bs_bundle_op(struct bs_bundle *bundle, enum bs_op_kind kind, struct bs_family *family,
    struct bs_op **out_op, basalt_error *err)
{
    void *ops = bundle->ops;
    *out_op = NULL;
    const basalt_status status =
        grow(&ops, bundle->op_count, &bundle->op_capacity, sizeof *bundle->ops, err);
    bundle->ops = ops;
    if (status) return status;
    struct bs_op *op = &bundle->ops[bundle->op_count++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->family = family;
    op->record = bundle->record_count ? bundle->record_count - 1 : 0;
    *out_op = op;
    return BASALT_OK;
}

basalt_status bs_bundle_record(
    struct bs_bundle *bundle, struct bs_bytes **out_record, basalt_error *err)
{
    void *records = bundle->records;
    *out_record = NULL;
    const basalt_status status = grow(
        &records, bundle->record_count, &bundle->record_capacity, sizeof *bundle->records, err);
    bundle->records = records;
    if (status) return status;
    *out_record = &bundle->records[bundle->record_count++];
    **out_record = (struct bs_bytes){0};
    return BASALT_OK;
}

void bs_bundle_resolve(struct bs_bundle *bundle)
{
    for (size_t i = 0; i < bundle->op_count; i++) {
        struct bs_op *op = &bundle->ops[i];
        const uint8_t *record = bundle->records[op->record].data;
        if (op->kind == BS_OP_APPEND) op->block = record + op->offset;
        if (op->kind == BS_OP_ATTRIBUTE) {
            op->name = (const char *)record + op->name_offset;
            op->value = (const char *)record + op->value_offset;
        }
    }
}

uint64_t bs_bundle_memory(const struct bs_bundle *bundle)
{
    uint64_t bytes = sizeof *bundle + bundle->op_capacity * sizeof *bundle->ops +
        bundle->record_capacity * sizeof *bundle->records;
    for (size_t i = 0; i < bundle->record_count; i++) bytes += bundle->records[i].capacity;
    return bytes;
}

/* ---- memtable -------------------------------------------------------------------------------- */

static void memtable_destroy(struct bs_shared *shared)
{
    struct bs_memtable *memtable = (struct bs_memtable *)(void *)shared;
    for (struct bs_part *part = atomic_load(&memtable->parts), *next; part; part = next) {
        next = atomic_load(&part->next);
        bs_free(part);
    }
    for (struct bs_bundle *bundle = memtable->bundles, *next; bundle; bundle = next) {
        next = bundle->next;
        bs_bundle_free(bundle, memtable->budget);
    }
    bs_free(memtable);
}

basalt_status bs_memtable_create(
    struct bs_budget *budget, uint64_t number, struct bs_memtable **out_memtable, basalt_error *err)
{
    struct bs_memtable *memtable = bs_alloc_zeroed(1, sizeof *memtable);
    *out_memtable = NULL;
    if (!memtable) return bs_fail_memory(err, sizeof *memtable);
    bs_shared_init(&memtable->shared, memtable_destroy);
    memtable->budget = budget;
    memtable->number = number;
    atomic_init(&memtable->sealed, UINT64_MAX);
    *out_memtable = memtable;
    return BASALT_OK;
}

void bs_memtable_release(struct bs_memtable *memtable)
{
    if (memtable) bs_shared_release(&memtable->shared);
}

struct bs_part *bs_memtable_part(struct bs_memtable *memtable, const struct bs_family *family)
{
    struct bs_part *part = atomic_load_explicit(
        &memtable->buckets[family->id % BS_PART_BUCKETS], memory_order_acquire);
    while (part && part->family != family) part = part->hash_next;
    return part;
}

basalt_status bs_memtable_touch(
    struct bs_memtable *memtable, struct bs_family *family, basalt_error *err)
{
    if (family->part_memtable == memtable->number) return BASALT_OK;
    struct bs_part *part = bs_memtable_part(memtable, family);
    if (!part) {
        _Atomic(struct bs_part *) *bucket = &memtable->buckets[family->id % BS_PART_BUCKETS];
        part = bs_alloc_zeroed(1, sizeof *part);
        if (!part) return bs_fail_memory(err, sizeof *part);
        part->family = family;
        part->first_row = family->next_row;
        part->hash_next = atomic_load_explicit(bucket, memory_order_relaxed);
        atomic_store_explicit(bucket, part, memory_order_release);
        if (memtable->last_part) {
            atomic_store_explicit(&memtable->last_part->next, part, memory_order_release);
        } else {
            atomic_store_explicit(&memtable->parts, part, memory_order_release);
        }
        memtable->last_part = part;
    }
    family->part = part;
    family->part_memtable = memtable->number;
    return BASALT_OK;
}

static void list_append(_Atomic(struct bs_op *) *first, struct bs_op **last, struct bs_op *op)
{
    if (*last) {
        atomic_store_explicit(&(*last)->next, op, memory_order_release);
    } else {
        atomic_store_explicit(first, op, memory_order_release);
    }
    *last = op;
}

void bs_memtable_insert(struct bs_memtable *memtable, struct bs_bundle *bundle, bs_lsn end)
{
    for (size_t i = 0; i < bundle->op_count; i++) {
        struct bs_op *op = &bundle->ops[i];
        op->end = end;
        if (op->kind == BS_OP_APPEND) {
            assert(op->family->part_memtable == memtable->number);
            list_append(&op->family->part->first, &op->family->part->last, op);
        } else {
            struct bs_op_list *list =
                op->kind == BS_OP_CREATE ? &memtable->creations : &memtable->attributes;
            list_append(&list->first, &list->last, op);
        }
    }
    if (!memtable->bundles) memtable->oldest_ns = bs_now_ns();
    bundle->next = memtable->bundles;
    memtable->bundles = bundle;
    memtable->last_end = end;
    atomic_fetch_add_explicit(&memtable->bytes, bundle->charged_bytes, memory_order_relaxed);
}

static struct bs_op *if_visible(struct bs_op *op, bs_lsn position)
{
    return op && op->end <= position ? op : NULL;
}

struct bs_op *bs_op_first(const _Atomic(struct bs_op *) *first, bs_lsn position)
{
    return if_visible(atomic_load_explicit(first, memory_order_acquire), position);
}

struct bs_op *bs_op_next(const struct bs_op *op, bs_lsn position)
{
    return if_visible(atomic_load_explicit(&op->next, memory_order_acquire), position);
}
