/* table_scan.c - rows of a table as an Arrow stream.
 *
 * The schema may have nested types and dictionaries, for which a bs_schema has no word: the stream is
 * made with an empty one, and the table's own is put in its place when it is handed out. */
#include "store/store.h"
#include "tables/tables_internal.h"

struct scan {
    struct bs_table *table;
    struct bs_table_cursor *cursor;
    uint64_t row, end;
    uint64_t rows_fit; /* of an array that was cut short the last time, twice; 0: it was not */
};

static basalt_status shape_schema(void *context, struct ArrowSchema *schema, basalt_error *err)
{
    const struct scan *scan = context;
    if (schema->release) schema->release(schema);
    return bs_table_schema(scan->table, schema, err);
}

static void release_nothing(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static basalt_status empty_schema(struct bs_schema **out_schema, basalt_error *err)
{
    const struct ArrowSchema root = {.format = "+s", .release = release_nothing};
    return bs_schema_import(&root, out_schema, err);
}

/* ---- scan -------------------------------------------------------------------------------------- */

/* An array that would hold too much text is tried again with half the rows. */
static basalt_status next(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct scan *scan = context;
    if (scan->row == scan->end) return BASALT_OK;
    uint64_t rows = BS_MIN(bs_cursor_batch_rows(scan->cursor, scan->row), scan->end - scan->row);
    bool cut = false;
    basalt_status status;
    if (scan->rows_fit) rows = BS_MIN(rows, scan->rows_fit);
    for (;;) {
        status = bs_cancel_check(scan->cursor->how.cancel, err);
        if (status) return status;
        status = bs_cursor_read(scan->cursor, scan->row, rows, out, err);
        if (status != BASALT_TOO_LARGE || rows == 1) break;
        rows = (rows + 1) / 2;
        cut = true;
    }
    if (status) return status;
    scan->rows_fit = cut ? rows : scan->rows_fit * 2;
    scan->row += rows;
    return BASALT_OK;
}

static void close_scan(void *context)
{
    struct scan *scan = context;
    bs_cursor_close(scan->cursor);
    bs_table_free(scan->table);
    bs_free(scan);
}

/* What a large file has of its own: threads for the chunks of a batch, and the chunk between two. */
static basalt_status prepare(
    struct bs_hdf5 *file, bool alone, struct bs_h5_read_how *out_how, basalt_error *err)
{
    uint64_t bytes = 0;
    *out_how = (struct bs_h5_read_how){0};
    basalt_status status = bs_file_size(file->file, &bytes, err);
    if (status || bytes <= BS_HDF5_ALONE_BYTES) return status;
    if (!alone) status = bs_hdf5_sched(file, &out_how->sched, err);
    return status ? status : bs_hdf5_cache(file, &out_how->cache, err);
}

basalt_status bs_hdf5_scan(struct bs_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    static const struct bs_stream_source source = {next, close_scan, shape_schema};
    struct bs_schema *empty = NULL;
    memset(out_stream, 0, sizeof *out_stream);
    struct scan *scan = bs_alloc_zeroed(1, sizeof *scan);
    if (!scan) return bs_fail_memory(err, sizeof *scan);
    struct bs_h5_read_how how;
    basalt_status status = prepare(file, false, &how, err);
    how.cancel = bs_cancel_of(options->cancel);
    if (!status && how.cache) bs_h5_file_set_helpers(file->h5, how.sched, how.cache);
    if (!status) status = bs_table_open(file->h5, path, options, &scan->table, err);
    if (!status) status = bs_cursor_open(scan->table, NULL, 0, &how, &scan->cursor, err);
    if (!status) status = empty_schema(&empty, err);
    if (status) {
        close_scan(scan);
        return status;
    }
    scan->row = BS_MIN(options->first_row, scan->table->rows);
    scan->end = scan->row + BS_MIN(options->row_count, scan->table->rows - scan->row);
    status = bs_stream_create(empty, &source, scan, out_stream, err);
    bs_schema_release(empty);
    return status;
}

/* ---- tables ------------------------------------------------------------------------------------ */

basalt_status bs_hdf5_table_open(struct bs_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct bs_table **out_table, basalt_error *err)
{
    const basalt_status status = bs_table_open(file->h5, path, options, out_table, err);
    if (status) return status;
    if (options->bounds && file->identity.settled && !bs_part_is_held(file->file)) {
        (*out_table)->identity = &file->identity;
    }
    return BASALT_OK;
}

basalt_status bs_hdf5_cursor_open(struct bs_hdf5 *file, const struct bs_table *table,
    const size_t *columns, size_t column_count, struct bs_table_cursor **out_cursor,
    basalt_error *err)
{
    struct bs_h5_read_how how;
    *out_cursor = NULL;
    for (size_t i = 0; columns && i < column_count; i++) {
        if (columns[i] < table->column_count) continue;
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "column %zu was asked for; the table has %zu", columns[i], table->column_count);
    }
    const basalt_status status = prepare(file, true, &how, err);
    how.cancel = bs_cancel_of(table->options.cancel);
    return status ? status : bs_cursor_open(table, columns, column_count, &how, out_cursor, err);
}

basalt_status bs_hdf5_describe_table(
    struct bs_hdf5 *file, const char *path, basalt_hdf5_table_info *out_info, basalt_error *err)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    struct bs_table *table = NULL;
    memset(out_info, 0, sizeof *out_info);
    const basalt_status status = bs_table_open(file->h5, path, &options, &table, err);
    if (status) return status;
    bs_table_info(table, out_info);
    bs_table_free(table);
    return BASALT_OK;
}
