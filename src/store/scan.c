/* scan.c - rows of a view as an Arrow stream.
 *
 * A scan holds its view, so what it reads does not move: first the rows of the file, then those of
 * the frozen memtable, then those of the active one, up to its position. Each get_next builds one
 * array on the calling thread and holds nothing between calls but the view. */
#include "store/store_internal.h"

#include <inttypes.h>

#define ARRAY_BYTES_MAX ((uint64_t)64 << 20) /* of one array, as far as widths tell */
#define ARRAY_ROWS_MIN ((uint64_t)1024)

struct scan {
    struct bs_store *store;
    struct bs_view *view;
    bs_lsn position;
    struct bs_family *family;
    struct bs_schema *schema; /* of what is handed out */
    size_t *fields;           /* of the family, in the order wanted */
    size_t field_count;
    struct bs_column_reader *columns; /* a field each; open once the file part is met */
    bool columns_open;
    uint64_t file_rows;
    uint64_t row, end; /* next row, one past the last */
    uint64_t batch_rows;
    const struct bs_op *op; /* of the memtables: the batch that holds `row` or comes next */
    unsigned memtable;      /* 0 frozen, 1 active, 2 none left */
};

/* ---- the memtables --------------------------------------------------------------------------- */

static const struct bs_op *first_of(const struct scan *scan, unsigned memtable)
{
    struct bs_memtable *const memtables[] = {scan->view->frozen, scan->view->active};
    const struct bs_part *part =
        memtables[memtable] ? bs_memtable_part(memtables[memtable], scan->family) : NULL;
    return part ? bs_op_first(&part->first, scan->position) : NULL;
}

/* The batch that holds `row`: batches are in order of rows, so the search goes on where it was. */
static const struct bs_op *batch_of_row(struct scan *scan)
{
    for (; scan->memtable < 2; scan->memtable++, scan->op = NULL) {
        if (!scan->op) scan->op = first_of(scan, scan->memtable);
        while (scan->op && scan->op->first_row + scan->op->rows <= scan->row) {
            const struct bs_op *next = bs_op_next(scan->op, scan->position);
            if (!next) break;
            scan->op = next;
        }
        if (scan->op && scan->op->first_row <= scan->row &&
            scan->row < scan->op->first_row + scan->op->rows) {
            return scan->op;
        }
    }
    return NULL;
}

static basalt_status put_batch(const struct scan *scan, const struct bs_op *op, uint64_t count,
    struct bs_array_builder *builder, basalt_error *err)
{
    struct bs_batch batch = {0};
    basalt_status status = bs_batch_decode(scan->family->schema, op->block, op->bytes, &batch, err);
    if (status) return status;
    for (size_t i = 0; i < scan->field_count && !status; i++) {
        status = bs_array_builder_put(
            builder, i, &batch.columns[scan->fields[i]], scan->row - op->first_row, count, err);
    }
    bs_batch_clear(&batch);
    return status;
}

/* ---- the file ---------------------------------------------------------------------------------- */

static basalt_status open_columns(struct scan *scan, basalt_error *err)
{
    struct bs_h5_file *h5 = scan->view->root->h5;
    struct bs_family_links ways = {0};
    char **links = NULL;
    basalt_status status = bs_links_create(scan->family->schema, &links, err);
    if (status) return status;
    BS_TRY(bs_family_links_open(h5, scan->family, scan->field_count, &ways, err));
    for (size_t i = 0; i < scan->field_count; i++) {
        BS_TRY(bs_column_reader_open(h5, &ways, scan->family, scan->fields[i],
            links[scan->fields[i]], scan->file_rows, &scan->columns[i], err));
    }
    scan->columns_open = true;
out:
    bs_family_links_close(&ways);
    bs_links_free(links, scan->family->schema->field_count);
    return status;
}

static basalt_status put_file(struct scan *scan, uint64_t count, uint64_t at,
    struct bs_array_builder *builder, basalt_error *err)
{
    basalt_status status = scan->columns_open ? BASALT_OK : open_columns(scan, err);
    for (size_t i = 0; i < scan->field_count && !status; i++) {
        status = bs_column_reader_read(&scan->columns[i], scan->row, count, builder, i, at, err);
    }
    return status;
}

/* ---- the stream ---------------------------------------------------------------------------------- */

static basalt_status fill_array(
    struct scan *scan, uint64_t wanted, struct bs_array_builder *builder, basalt_error *err)
{
    uint64_t done = 0;
    while (done < wanted) {
        uint64_t count;
        basalt_status status;
        if (scan->row < scan->file_rows) {
            count = BS_MIN(wanted - done, scan->file_rows - scan->row);
            status = put_file(scan, count, done, builder, err);
        } else {
            const struct bs_op *op = batch_of_row(scan);
            if (!op) {
                return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                    "row %" PRIu64 " of family \"%.80s\" is neither in the file nor in memory",
                    scan->row, scan->family->name);
            }
            count = BS_MIN(wanted - done, op->first_row + op->rows - scan->row);
            status = put_batch(scan, op, count, builder, err);
        }
        if (status) return status;
        scan->row += count;
        done += count;
    }
    return BASALT_OK;
}

static basalt_status scan_next(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct scan *scan = context;
    struct bs_array_builder *builder = NULL;
    const uint64_t wanted = BS_MIN(scan->batch_rows, scan->end - scan->row);
    memset(out, 0, sizeof *out);
    if (!wanted) return BASALT_OK;
    basalt_status status = bs_store_check(scan->store, false, err);
    if (status) return status;
    BS_TRY(bs_array_builder_create(scan->schema, wanted, &builder, err));
    BS_TRY(fill_array(scan, wanted, builder, err));
    BS_TRY(bs_array_builder_finish(&builder, out, err));
out:
    bs_array_builder_free(builder);
    return status;
}

static void scan_close(void *context)
{
    struct scan *scan = context;
    struct bs_store *store = scan->store;
    for (size_t i = 0; scan->columns && i < scan->field_count; i++) {
        bs_column_reader_close(&scan->columns[i]);
    }
    bs_view_release(scan->view);
    bs_schema_release(scan->schema);
    bs_free(scan->columns);
    bs_free(scan->fields);
    bs_free(scan);
    atomic_fetch_sub(&store->handles, 1);
}

/* ---- making one ---------------------------------------------------------------------------------- */

static basalt_status find_field(
    const struct bs_family *family, const char *name, size_t *out_field, basalt_error *err)
{
    for (size_t i = 0; i < family->schema->field_count; i++) {
        if (strcmp(family->schema->fields[i].name, name) != 0) continue;
        *out_field = i;
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_NOT_FOUND, BASALT_NO_OFFSET,
        "the family \"%.80s\" has no column \"%.80s\"", family->name, name);
}

static basalt_status choose_fields(
    struct scan *scan, const basalt_scan_options *options, basalt_error *err)
{
    const bool all = !options->columns;
    scan->field_count = all ? scan->family->schema->field_count : options->column_count;
    if (!scan->field_count) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "a scan of no column");
    }
    scan->fields = bs_alloc_zeroed(scan->field_count, sizeof *scan->fields);
    scan->columns = bs_alloc_zeroed(scan->field_count, sizeof *scan->columns);
    if (!scan->fields || !scan->columns) {
        return bs_fail_memory(err, scan->field_count * sizeof *scan->columns);
    }
    for (size_t i = 0; i < scan->field_count; i++) {
        scan->fields[i] = i;
        if (all) continue;
        const basalt_status status =
            find_field(scan->family, options->columns[i], &scan->fields[i], err);
        if (status) return status;
    }
    if (!all) {
        return bs_schema_project(
            scan->family->schema, scan->fields, scan->field_count, &scan->schema, err);
    }
    scan->schema = bs_schema_retain(scan->family->schema);
    return BASALT_OK;
}

/* As many rows as were asked for, but no array of much over 64 MiB. */
static uint64_t rows_an_array(const struct scan *scan, uint64_t wanted)
{
    uint64_t row_bytes = 1;
    for (size_t i = 0; i < scan->field_count; i++) {
        const struct bs_field *field = &scan->family->schema->fields[scan->fields[i]];
        row_bytes += field->width_bytes ? field->width_bytes : 16u;
    }
    const uint64_t fit = BS_MAX(ARRAY_BYTES_MAX / row_bytes, ARRAY_ROWS_MIN);
    return BS_MAX(BS_MIN(wanted, fit), 1u);
}

/* Rows that the file has: up to where the memtables of the view begin. */
static basalt_status measure(struct scan *scan, basalt_error *err)
{
    uint64_t rows;
    basalt_status status = bs_view_rows(scan->view, scan->position, scan->family, &rows, err);
    if (status) return status;
    const struct bs_op *first = first_of(scan, 0);
    if (!first) first = first_of(scan, 1);
    scan->file_rows = first ? first->first_row : rows;
    scan->end = rows;
    return BASALT_OK;
}

static basalt_status prepare(
    struct scan *scan, const char *family, const basalt_scan_options *options, basalt_error *err)
{
    basalt_status status = bs_view_family(scan->store, scan->position, family, &scan->family, err);
    if (!status && scan->family->fault) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the family \"%.60s\" can't be read: %s; another program changed it", family,
            scan->family->fault);
    }
    if (!status) status = choose_fields(scan, options, err);
    if (!status) status = measure(scan, err);
    if (status) return status;
    scan->row = BS_MIN(options->first_row, scan->end);
    scan->end = scan->row + BS_MIN(options->row_count, scan->end - scan->row);
    scan->batch_rows = rows_an_array(scan, options->batch_rows);
    return BASALT_OK;
}

basalt_status bs_store_scan(struct bs_store *store, struct bs_snapshot *snapshot,
    const char *family, const basalt_scan_options *options, struct ArrowArrayStream *out_stream,
    basalt_error *err)
{
    static const struct bs_stream_source source = {.next = scan_next, .close = scan_close};
    basalt_scan_options filled;
    memset(out_stream, 0, sizeof *out_stream);
    basalt_status status = bs_store_check(store, false, err);
    if (status) return status;
    bs_scan_options_fill(&filled, options);
    struct scan *scan = bs_alloc_zeroed(1, sizeof *scan);
    if (!scan) return bs_fail_memory(err, sizeof *scan);
    atomic_fetch_add(&store->handles, 1);
    scan->store = store;
    if (snapshot) {
        scan->view = snapshot->view;
        scan->position = snapshot->position;
        bs_shared_retain(&scan->view->shared);
    } else {
        bs_view_take(store, &scan->view, &scan->position);
    }
    status = prepare(scan, family, &filled, err);
    if (status) {
        scan_close(scan);
        return status;
    }
    return bs_stream_create(scan->schema, &source, scan, out_stream, err); /* closes on failure */
}
