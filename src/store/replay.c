/* replay.c - log records back into the memtable.
 *
 * A transaction is put in only when its last record has been met; what the log holds of an
 * unfinished one is dropped. Every append names the number of its first row: rows that the family
 * has already are skipped, a gap is refused. Records are copied, because the log's memory is lent
 * for the call only; batches are decoded once here, so that what a checkpoint or a scan meets later
 * is known to be whole. */
#include "store/store_internal.h"

#include <inttypes.h>

struct replay {
    struct bs_store *store;
    bs_replay_full_fn full;
    uint64_t bytes_max;
    struct bs_family **by_id;
    size_t by_id_count;
    struct bs_bundle *bundle;   /* of the transaction under way */
    struct bs_family **created; /* by it; in the catalogue once it commits */
    size_t created_count;
    const uint8_t *record; /* the copy that operations point into */
};

/* ---- families by number ------------------------------------------------------------------------ */

static basalt_status set_family(
    struct replay *replay, uint32_t id, struct bs_family *family, basalt_error *err)
{
    if (id >= replay->by_id_count) {
        const size_t count = BS_MAX((size_t)id + 1, replay->by_id_count * 2);
        if (id > BS_STORE_FAMILIES_MAX * 16) {
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "the log names a family %" PRIu32 ", which is out of range", id);
        }
        void *grown = bs_realloc(replay->by_id, count * sizeof *replay->by_id);
        if (!grown) return bs_fail_memory(err, count * sizeof *replay->by_id);
        replay->by_id = grown;
        for (size_t i = replay->by_id_count; i < count; i++) replay->by_id[i] = NULL;
        replay->by_id_count = count;
    }
    replay->by_id[id] = family;
    return BASALT_OK;
}

static basalt_status get_family(
    const struct replay *replay, uint32_t id, struct bs_family **out_family, basalt_error *err)
{
    *out_family = id < replay->by_id_count ? replay->by_id[id] : NULL;
    if (*out_family) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "the log has rows of family number %" PRIu32 ", which neither it nor the file made", id);
}

/* ---- operations ---------------------------------------------------------------------------------- */

static basalt_status take_creation(
    struct replay *replay, const struct bs_record_op *op, basalt_error *err)
{
    const struct bs_record_creation *from = &op->creation;
    struct bs_schema *schema = NULL;
    struct bs_family *family = NULL;
    struct bs_op *made;
    basalt_status status = BASALT_OK;
    const basalt_family_options options = {.struct_bytes = sizeof options,
        .compression_level = from->compression_level,
        .chunk_rows = from->chunk_rows,
        .row_index = from->row_index};
    if (op->family_id < replay->by_id_count && replay->by_id[op->family_id]) return BASALT_OK;
    BS_TRY(bs_schema_decode(from->schema, from->schema_bytes, &schema, err));
    BS_TRY(bs_family_new(from->name, op->family_id, schema, &options, &family, err));
    family->created_wall_ns = from->created_wall_ns;
    BS_TRY(bs_family_count_natural(family, err));
    void *grown =
        bs_realloc(replay->created, (replay->created_count + 1) * sizeof *replay->created);
    if (!grown) {
        status = bs_fail_memory(err, (replay->created_count + 1) * sizeof *replay->created);
        goto out;
    }
    replay->created = grown;
    BS_TRY(bs_bundle_op(replay->bundle, BS_OP_CREATE, family, &made, err));
    BS_TRY(set_family(replay, op->family_id, family, err));
    replay->created[replay->created_count++] = family;
    family = NULL;
out:
    bs_family_free(family);
    bs_schema_release(schema);
    return status;
}

static basalt_status take_append(
    struct replay *replay, const struct bs_record_op *op, basalt_error *err)
{
    struct bs_family *family;
    struct bs_batch batch = {0};
    struct bs_op *made;
    basalt_status status = get_family(replay, op->family_id, &family, err);
    if (status) return status;
    status = bs_batch_decode(family->schema, op->block, op->block_bytes, &batch, err);
    if (status) return status;
    const uint64_t rows = batch.rows;
    bs_batch_clear(&batch);
    if (rows != op->rows || !rows) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the log says %" PRIu64 " rows of a batch that has %" PRIu64, op->rows, rows);
    }
    status = bs_bundle_op(replay->bundle, BS_OP_APPEND, family, &made, err);
    if (status) return status;
    made->first_row = op->first_row;
    made->rows = rows;
    made->offset = (size_t)(op->block - replay->record);
    made->bytes = op->block_bytes;
    return BASALT_OK;
}

static basalt_status take_operation(void *context, const struct bs_record_op *op, basalt_error *err)
{
    struct replay *replay = context;
    struct bs_family *family = NULL;
    struct bs_op *made;
    basalt_status status = BASALT_OK;
    if (op->kind == BS_OP_CREATE) return take_creation(replay, op, err);
    if (op->kind == BS_OP_APPEND) return take_append(replay, op, err);
    if (op->family_id) status = get_family(replay, op->family_id, &family, err);
    if (!status) status = bs_bundle_op(replay->bundle, BS_OP_ATTRIBUTE, family, &made, err);
    if (status) return status;
    made->name_offset = (size_t)((const uint8_t *)op->name - replay->record);
    made->value_offset = (size_t)((const uint8_t *)op->value - replay->record);
    return BASALT_OK;
}

/* ---- transactions --------------------------------------------------------------------------------- */

static void drop_transaction(struct replay *replay)
{
    for (size_t i = 0; i < replay->created_count; i++) {
        replay->by_id[replay->created[i]->id] = NULL;
        bs_family_free(replay->created[i]);
    }
    replay->created_count = 0;
    bs_bundle_free(replay->bundle, replay->store->parts.budget);
    replay->bundle = NULL;
}

static basalt_status charge(struct replay *replay, basalt_error *err)
{
    struct bs_store *store = replay->store;
    const uint64_t bytes = bs_bundle_memory(replay->bundle);
    basalt_status status = BASALT_OK;
    if (store->parts.budget) status = bs_budget_take(store->parts.budget, bytes, err);
    if (status && replay->full) {
        status = replay->full(store, err);
        if (!status) status = bs_budget_take(store->parts.budget, bytes, err);
    }
    if (!status) replay->bundle->charged_bytes = bytes;
    return status;
}

/* Numbers must go on where the family is; operations whose rows it has are taken out. */
static basalt_status settle_rows(struct replay *replay, basalt_error *err)
{
    struct bs_bundle *bundle = replay->bundle;
    size_t kept = 0;
    for (size_t i = 0; i < bundle->op_count; i++) {
        const struct bs_op *op = &bundle->ops[i];
        if (op->kind == BS_OP_APPEND) {
            struct bs_family *family = op->family;
            if (op->first_row + op->rows <= family->next_row && op->first_row < UINT64_MAX / 2) {
                continue;
            }
            if (op->first_row != family->next_row) {
                return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                    "the family \"%.60s\" has %" PRIu64 " rows, the log goes on at row %" PRIu64,
                    family->name, family->next_row, op->first_row);
            }
            const basalt_status status = bs_memtable_touch(replay->store->active, family, err);
            if (status) return status;
            family->next_row += op->rows;
            bundle->rows += op->rows;
        }
        if (kept != i) memcpy(&bundle->ops[kept], op, sizeof *op);
        kept++;
    }
    bundle->op_count = kept;
    return BASALT_OK;
}

static basalt_status note_attributes(struct replay *replay, basalt_error *err)
{
    for (size_t i = 0; i < replay->bundle->op_count; i++) {
        const struct bs_op *op = &replay->bundle->ops[i];
        if (op->kind != BS_OP_ATTRIBUTE) continue;
        struct bs_name_set *set =
            op->family ? &op->family->attributes : &replay->store->root_attributes;
        if (bs_name_set_has(set, op->name)) continue;
        const basalt_status status = bs_name_set_add(set, op->name, err);
        if (status) return status;
    }
    return BASALT_OK;
}

static basalt_status commit_transaction(struct replay *replay, bs_lsn end, basalt_error *err)
{
    struct bs_store *store = replay->store;
    struct bs_bundle *bundle = replay->bundle;
    basalt_status status = charge(replay, err);
    if (status) return status;
    bs_bundle_resolve(bundle);
    status = settle_rows(replay, err);
    if (!status) status = note_attributes(replay, err);
    if (status) return status;
    for (size_t i = 0; i < replay->created_count; i++) {
        replay->created[i]->created = end;
        bs_catalogue_add(&store->catalogue, replay->created[i]);
    }
    replay->created_count = 0;
    store->recovery.rows_replayed += bundle->rows;
    store->recovery.transactions_replayed++;
    store->rows_appended += bundle->rows;
    replay->bundle = NULL;
    bs_memtable_insert(store->active, bundle, end);
    store->appended = end;
    atomic_store(&store->rows_visible, store->rows_appended);
    atomic_store(&store->visible, end);
    if (!replay->full || bs_store_memtable_bytes(store) < replay->bytes_max) {
        return BASALT_OK;
    }
    return replay->full(store, err);
}

static basalt_status take_record(void *context, bs_lsn start, bs_lsn end, const void *bytes,
    size_t count, bool commit, basalt_error *err)
{
    struct replay *replay = context;
    struct bs_bytes *record;
    basalt_status status;
    (void)start;
    if (!replay->bundle) {
        replay->bundle = bs_alloc_zeroed(1, sizeof *replay->bundle);
        if (!replay->bundle) return bs_fail_memory(err, sizeof *replay->bundle);
    }
    status = bs_bundle_record(replay->bundle, &record, err);
    if (status) return status;
    bs_bytes_put(record, bytes, count);
    status = bs_bytes_check(record, err);
    if (status) return status;
    replay->record = record->data;
    status = bs_record_each(record->data, record->count, take_operation, replay, err);
    if (!status && commit) status = commit_transaction(replay, end, err);
    replay->store->recovery.bytes_replayed += count;
    return status;
}

basalt_status bs_replay(struct bs_store *store, bs_lsn from, uint64_t bytes_max,
    bs_replay_full_fn full, bs_lsn *out_end, basalt_error *err)
{
    struct replay replay = {.store = store, .full = full, .bytes_max = bytes_max};
    basalt_status status = BASALT_OK;
    *out_end = from;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        BS_TRY(set_family(&replay, family->id, family, err));
    }
    BS_TRY(bs_wal_replay(store->parts.vfs, store->path, from, take_record, &replay, out_end, err));
out:
    drop_transaction(&replay);
    bs_free(replay.created);
    bs_free(replay.by_id);
    return status;
}
