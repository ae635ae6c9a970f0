/* txn.c - gathering a transaction: rows are encoded straight into the log records that will carry
 * them, so that a commit has only to number them, copy them into the log and link them. */
#include "store/store_internal.h"

#define RECORD_SLACK_BYTES ((size_t)64) /* of headers and row numbers around one batch */

basalt_status bs_txn_begin(struct bs_store *store, struct bs_txn **out_txn, basalt_error *err)
{
    const basalt_status status = bs_store_check(store, true, err);
    *out_txn = NULL;
    if (status) return status;
    struct bs_txn *txn = bs_alloc_zeroed(1, sizeof *txn);
    if (!txn) return bs_fail_memory(err, sizeof *txn);
    txn->bundle = bs_alloc_zeroed(1, sizeof *txn->bundle);
    if (!txn->bundle) {
        bs_free(txn);
        return bs_fail_memory(err, sizeof *txn->bundle);
    }
    txn->store = store;
    atomic_fetch_add(&store->handles, 1);
    *out_txn = txn;
    return BASALT_OK;
}

void bs_txn_rollback(struct bs_txn **txn)
{
    if (!txn || !*txn) return;
    struct bs_txn *gone = *txn;
    struct bs_store *store = gone->store;
    *txn = NULL;
    for (size_t i = 0; i < gone->created_count; i++) bs_family_free(gone->created[i]);
    bs_free(gone->created);
    bs_free(gone->fills);
    bs_bundle_free(gone->bundle, store->parts.budget);
    bs_free(gone);
    atomic_fetch_sub(&store->handles, 1);
}

uint64_t bs_txn_bytes(const struct bs_txn *txn)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < txn->bundle->record_count; i++) bytes += txn->bundle->records[i].count;
    return bytes;
}

/* ---- going back to where a failed call began ------------------------------------------------------ */

struct mark {
    size_t records, ops, record_bytes;
    uint64_t rows;
    struct bs_txn_fill fill;
};

static struct mark mark_here(const struct bs_txn *txn)
{
    struct mark mark = {
        txn->bundle->record_count, txn->bundle->op_count, 0, txn->bundle->rows, {0, 0}};
    if (mark.records) {
        mark.record_bytes = txn->bundle->records[mark.records - 1].count;
        mark.fill = txn->fills[mark.records - 1];
    }
    return mark;
}

static void back_to(struct bs_txn *txn, const struct mark *mark)
{
    struct bs_bundle *bundle = txn->bundle;
    while (bundle->record_count > mark->records) {
        bs_bytes_free(&bundle->records[--bundle->record_count]);
    }
    if (mark->records) {
        bundle->records[mark->records - 1].count = mark->record_bytes;
        bundle->records[mark->records - 1].failed = false;
        txn->fills[mark->records - 1] = mark->fill;
    }
    bundle->op_count = mark->ops;
    bundle->rows = mark->rows;
}

/* ---- records ---------------------------------------------------------------------------------- */

static basalt_status add_record(struct bs_txn *txn, basalt_error *err)
{
    struct bs_bytes *record;
    const size_t wanted = txn->bundle->record_count + 1;
    if (wanted > txn->fill_capacity) {
        const size_t capacity = txn->fill_capacity ? txn->fill_capacity * 2 : 1;
        void *grown = bs_realloc(txn->fills, capacity * sizeof *txn->fills);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *txn->fills);
        txn->fills = grown;
        txn->fill_capacity = capacity;
    }
    const basalt_status status = bs_bundle_record(txn->bundle, &record, err);
    if (status) return status;
    txn->fills[wanted - 1] = (struct bs_txn_fill){0, 0};
    bs_record_begin(record);
    return BASALT_OK;
}

static struct bs_bytes *last_record(struct bs_txn *txn)
{
    return txn->bundle->record_count ? &txn->bundle->records[txn->bundle->record_count - 1] : NULL;
}

/* Bytes that one more operation may take in the last record; 0 without one. */
static size_t room_left(struct bs_txn *txn)
{
    const struct bs_bytes *record = last_record(txn);
    if (!record) return 0;
    const size_t used = record->count +
        (size_t)txn->fills[txn->bundle->record_count - 1].appends * 8 + RECORD_SLACK_BYTES;
    return used < txn->store->record_bytes_max ? txn->store->record_bytes_max - used : 0;
}

/* Makes sure that the last record has room for an operation of `bytes`. */
static basalt_status make_room(
    struct bs_txn *txn, size_t bytes, const char *what, basalt_error *err)
{
    if (room_left(txn) >= bytes) return BASALT_OK;
    const basalt_status status = add_record(txn, err);
    if (status) return status;
    if (room_left(txn) >= bytes) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "%s takes %zu bytes in the log, where a record has at most %zu", what, bytes,
        txn->store->record_bytes_max);
}

static void count_operation(struct bs_txn *txn, bool append)
{
    struct bs_txn_fill *fill = &txn->fills[txn->bundle->record_count - 1];
    fill->operations++;
    fill->appends += append;
}

/* ---- finding a family ---------------------------------------------------------------------------- */

static struct bs_family *find_created(const struct bs_txn *txn, const char *name)
{
    for (size_t i = 0; i < txn->created_count; i++) {
        if (!strcmp(txn->created[i]->name, name)) return txn->created[i];
    }
    return NULL;
}

static basalt_status find_family(
    const struct bs_txn *txn, const char *name, struct bs_family **out_family, basalt_error *err)
{
    struct bs_family *family = find_created(txn, name);
    if (!family) family = bs_catalogue_find(&txn->store->catalogue, name);
    *out_family = family;
    if (!family) {
        return bs_fail(
            err, BASALT_NOT_FOUND, BASALT_NO_OFFSET, "there is no family \"%.100s\"", name);
    }
    if (family->fault) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the family \"%.60s\" can't be used: %s; another program changed it", name,
            family->fault);
    }
    return BASALT_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* The usual case, without a copy of the schema: the same fields in the same order. */
static bool schema_is(const struct bs_schema *schema, const struct ArrowSchema *arrow)
{
    if (!arrow->format || strcmp(arrow->format, "+s") != 0 || arrow->n_children < 0 ||
        (uint64_t)arrow->n_children != schema->field_count || !arrow->children) {
        return false;
    }
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct ArrowSchema *child = arrow->children[i];
        const struct bs_field *field = &schema->fields[i];
        if (!child || !child->format || child->dictionary || child->n_children ||
            strcmp(child->format, field->format) != 0 ||
            strcmp(child->name ? child->name : "", field->name) != 0 ||
            ((child->flags & ARROW_FLAG_NULLABLE) != 0) != field->nullable) {
            return false;
        }
    }
    return true;
}

static basalt_status check_schema(
    const struct bs_family *family, const struct ArrowSchema *arrow, basalt_error *err)
{
    struct bs_schema *schema = NULL;
    if (!arrow || schema_is(family->schema, arrow)) return BASALT_OK;
    basalt_status status = bs_schema_import(arrow, &schema, err);
    if (!status) status = bs_schema_match(family->schema, schema, err);
    bs_schema_release(schema);
    return status;
}

static basalt_status append_block(struct bs_txn *txn, struct bs_family *family,
    const struct ArrowArray *array, uint64_t first, uint64_t rows, basalt_error *err)
{
    struct bs_bytes *record = last_record(txn);
    struct bs_op *op = NULL;
    basalt_status status = bs_bundle_op(txn->bundle, BS_OP_APPEND, family, &op, err);
    if (status) return status;
    const size_t at = bs_record_op_begin(record, BS_OP_APPEND, family->id);
    bs_bytes_u64(record, rows);
    op->offset = record->count;
    op->rows = rows;
    status = bs_batch_encode(family->schema, array, first, rows, record, err);
    if (status) return status;
    op->bytes = record->count - op->offset;
    bs_record_op_end(record, at);
    status = bs_bytes_check(record, err);
    if (status) return status;
    count_operation(txn, true);
    txn->bundle->rows += rows;
    return BASALT_OK;
}

/* As many rows from `first` on as the last record, or a new one, takes. */
static basalt_status append_some(struct bs_txn *txn, struct bs_family *family,
    const struct ArrowArray *array, uint64_t first, uint64_t *out_rows, basalt_error *err)
{
    const uint64_t left = (uint64_t)array->length - first;
    const size_t room = room_left(txn);
    basalt_status status = BASALT_TOO_LARGE;
    basalt_error full = {.status = BASALT_TOO_LARGE};
    if (room) status = bs_batch_fit(family->schema, array, first, room, out_rows, &full);
    if (status == BASALT_TOO_LARGE || (!status && *out_rows < left && !*out_rows)) {
        status = add_record(txn, err);
        if (status) return status;
        status = bs_batch_fit(family->schema, array, first, room_left(txn), out_rows, err);
    } else if (status) {
        if (err) *err = full;
    }
    if (status) return status;
    *out_rows = BS_MIN(*out_rows, left);
    assert(*out_rows > 0);
    return append_block(txn, family, array, first, *out_rows, err);
}

basalt_status bs_txn_append(struct bs_txn *txn, const char *family_name,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_error *err)
{
    const struct mark mark = mark_here(txn);
    struct bs_family *family;
    basalt_status status = bs_store_check(txn->store, true, err);
    if (!status) status = find_family(txn, family_name, &family, err);
    if (!status) status = check_schema(family, schema, err);
    if (!status && array->length < 0) {
        status =
            bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the array has a negative length");
    }
    if (status) return status;
    for (uint64_t first = 0, rows = 0; first < (uint64_t)array->length; first += rows) {
        BS_TRY(append_some(txn, family, array, first, &rows, err));
    }
out:
    if (status) back_to(txn, &mark);
    return status;
}

/* ---- families and attributes ----------------------------------------------------------------------- */

static basalt_status keep_created(struct bs_txn *txn, struct bs_family *family, basalt_error *err)
{
    if (txn->created_count == txn->created_capacity) {
        const size_t capacity = txn->created_capacity ? txn->created_capacity * 2 : 1;
        void *grown = bs_realloc(txn->created, capacity * sizeof *txn->created);
        if (!grown) return bs_fail_memory(err, capacity * sizeof *txn->created);
        txn->created = grown;
        txn->created_capacity = capacity;
    }
    txn->created[txn->created_count++] = family;
    return BASALT_OK;
}

static basalt_status put_creation(struct bs_txn *txn, struct bs_family *family, basalt_error *err)
{
    struct bs_bytes schema = {0};
    struct bs_op *op;
    basalt_status status = BASALT_OK;
    BS_TRY(bs_schema_encode(family->schema, &schema, err));
    BS_TRY(bs_bytes_check(&schema, err));
    BS_TRY(
        make_room(txn, schema.count + strlen(family->name) + 128, "the schema of a family", err));
    BS_TRY(bs_bundle_op(txn->bundle, BS_OP_CREATE, family, &op, err));
    const struct bs_record_creation creation = {family->name, schema.data, schema.count,
        family->compression_level, family->chunk_rows, family->row_index, family->created_wall_ns};
    bs_record_creation_put(last_record(txn), family->id, &creation);
    BS_TRY(bs_bytes_check(last_record(txn), err));
    count_operation(txn, false);
out:
    bs_bytes_free(&schema);
    return status;
}

static basalt_status family_exists(const char *name, basalt_error *err)
{
    return bs_fail(
        err, BASALT_EXISTS, BASALT_NO_OFFSET, "the family \"%.100s\" is there already", name);
}

basalt_status bs_txn_create_family(struct bs_txn *txn, const char *name,
    const struct ArrowSchema *arrow, const basalt_family_options *options, basalt_error *err)
{
    const struct mark mark = mark_here(txn);
    basalt_family_options filled;
    struct bs_schema *schema = NULL;
    struct bs_family *family = NULL;
    struct bs_store *store = txn->store;
    basalt_status status = bs_store_check(store, true, err);
    if (status) return status;
    if (find_created(txn, name) || bs_catalogue_find(&store->catalogue, name)) {
        return family_exists(name, err);
    }
    if (atomic_load(&store->catalogue.count) + txn->created_count >= BS_STORE_FAMILIES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "a store has at most %zu families",
            BS_STORE_FAMILIES_MAX);
    }
    bs_family_options_fill(&filled, options);
    BS_TRY(bs_schema_import(arrow, &schema, err));
    BS_TRY(bs_family_new(
        name, atomic_fetch_add(&store->catalogue.id_next, 1), schema, &filled, &family, err));
    family->created_wall_ns = bs_wall_ns();
    BS_TRY(bs_family_count_natural(family, err));
    BS_TRY(put_creation(txn, family, err));
    BS_TRY(keep_created(txn, family, err));
    family = NULL;
out:
    if (status) back_to(txn, &mark);
    bs_family_free(family);
    bs_schema_release(schema);
    return status;
}

static basalt_status check_attribute(const char *name, const char *value, basalt_error *err)
{
    const size_t bytes = strlen(value);
    basalt_status status = bs_check_name(name, "the attribute", err);
    if (status) return status;
    if (bs_attribute_is_layout(name)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" describes the layout of the file and is not the user's to set",
            name);
    }
    if (bytes + strlen(name) > BS_STORE_ATTRIBUTE_BYTES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the attribute \"%.60s\" has %zu bytes with its name, at most %d are allowed", name,
            bytes + strlen(name), BS_STORE_ATTRIBUTE_BYTES_MAX);
    }
    if (!bs_utf8_valid(value, bytes)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the value of the attribute \"%.60s\" is not UTF-8", name);
    }
    return BASALT_OK;
}

basalt_status bs_txn_set_attribute(struct bs_txn *txn, const char *family_name, const char *name,
    const char *value, basalt_error *err)
{
    const struct mark mark = mark_here(txn);
    struct bs_family *family = NULL;
    struct bs_op *op;
    basalt_status status = bs_store_check(txn->store, true, err);
    if (!status && family_name) status = find_family(txn, family_name, &family, err);
    if (!status) status = check_attribute(name, value, err);
    if (status) return status;
    BS_TRY(make_room(txn, strlen(name) + strlen(value) + 64, "an attribute", err));
    BS_TRY(bs_bundle_op(txn->bundle, BS_OP_ATTRIBUTE, family, &op, err));
    bs_record_attribute_put(last_record(txn), family ? family->id : 0, name, value,
        &op->name_offset, &op->value_offset);
    BS_TRY(bs_bytes_check(last_record(txn), err));
    count_operation(txn, false);
out:
    if (status) back_to(txn, &mark);
    return status;
}
