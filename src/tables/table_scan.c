/* table_scan.c - rows of a table as an Arrow stream; a column of lists gets its list here. */
#include "tables/tables_internal.h"

#include <stdio.h>

struct scan {
    struct bs_table *table;
    uint64_t row, end;
    char list_format[32];          /* "+w:N"; "" if the column is not one of lists */
    struct bs_bytes list_metadata; /* of the field, as the C data interface lays it out; or empty */
};

/* ---- lists ------------------------------------------------------------------------------------- */

/* The memory of the list around a column that was moved into it. */
struct list_array {
    const void *buffers[1];
    struct ArrowArray child;
    struct ArrowArray *children[1];
};

static void release_list_array(struct ArrowArray *array)
{
    struct list_array *list = array->private_data;
    if (list->child.release) list->child.release(&list->child);
    bs_free(list);
    array->release = NULL;
}

/* Puts the list around the array's only column. On failure the array is as it was. */
static bool wrap_array(struct ArrowArray *array, uint64_t list_count)
{
    struct list_array *list = bs_alloc_zeroed(1, sizeof *list);
    if (!list) return false;
    struct ArrowArray *column = array->children[0];
    list->child = *column;
    list->children[0] = &list->child;
    array->length /= (int64_t)list_count;
    *column = (struct ArrowArray){
        .length = array->length,
        .n_buffers = 1,
        .n_children = 1,
        .buffers = list->buffers,
        .children = list->children,
        .release = release_list_array,
        .private_data = list,
    };
    return true;
}

struct list_schema {
    char *name, *format, *metadata;
    struct ArrowSchema child;
    struct ArrowSchema *children[1];
};

static void release_list_schema(struct ArrowSchema *schema)
{
    struct list_schema *list = schema->private_data;
    if (list->child.release) list->child.release(&list->child);
    bs_free(list->name);
    bs_free(list->format);
    bs_free(list->metadata);
    bs_free(list);
    schema->release = NULL;
}

static bool wrap_schema(struct ArrowSchema *schema, const struct scan *scan)
{
    struct ArrowSchema *column = schema->children[0];
    struct list_schema *list = bs_alloc_zeroed(1, sizeof *list);
    if (!list) return false;
    const bool has_metadata = scan->list_metadata.count > 0;
    list->name = bs_copy_string(column->name);
    list->format = bs_copy_string(scan->list_format);
    if (has_metadata)
        list->metadata = bs_copy_bytes(scan->list_metadata.data, scan->list_metadata.count);
    if (!list->name || !list->format || (has_metadata && !list->metadata)) {
        struct ArrowSchema partial = {.private_data = list};
        release_list_schema(&partial);
        return false;
    }
    list->child = *column;
    list->child.name = "item";
    list->children[0] = &list->child;
    *column = (struct ArrowSchema){
        .format = list->format,
        .name = list->name,
        .metadata = list->metadata,
        .flags = column->flags,
        .n_children = 1,
        .children = list->children,
        .release = release_list_schema,
        .private_data = list,
    };
    return true;
}

static basalt_status shape_schema(void *context, struct ArrowSchema *schema, basalt_error *err)
{
    const struct scan *scan = context;
    if (!scan->list_format[0] || wrap_schema(schema, scan)) return BASALT_OK;
    return bs_fail_memory(err, sizeof(struct list_schema));
}

static void put_pair(struct bs_bytes *out, const char *key, const char *before, const char *value)
{
    bs_bytes_u32(out, (uint32_t)strlen(key));
    bs_bytes_put(out, key, strlen(key));
    bs_bytes_u32(out, (uint32_t)(strlen(before) + strlen(value) + (*before ? 1 : 0)));
    bs_bytes_text(out, "%s%s%s", before, value, *before ? "}" : "");
}

static basalt_status describe_lists(struct scan *scan, basalt_error *err)
{
    const struct bs_table *table = scan->table;
    if (!table->list_count) return BASALT_OK;
    snprintf(scan->list_format, sizeof scan->list_format, "+w:%" PRIu64, table->list_count);
    if (!table->shape) return BASALT_OK;
    bs_bytes_u32(&scan->list_metadata, 2);
    put_pair(&scan->list_metadata, "ARROW:extension:name", "", "arrow.fixed_shape_tensor");
    put_pair(&scan->list_metadata, "ARROW:extension:metadata", "{\"shape\":", table->shape);
    return bs_bytes_check(&scan->list_metadata, err);
}

/* ---- scan -------------------------------------------------------------------------------------- */

/* An array that would hold too much text is tried again with half the rows. */
static basalt_status next(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct scan *scan = context;
    if (scan->row == scan->end) return BASALT_OK;
    uint64_t rows = BS_MIN(bs_table_batch_rows(scan->table, scan->row), scan->end - scan->row);
    basalt_status status;
    for (;;) {
        status = bs_table_read(scan->table, scan->row, rows, out, err);
        if (status != BASALT_TOO_LARGE || rows == 1) break;
        rows = (rows + 1) / 2;
    }
    if (status) return status;
    if (scan->list_format[0] && !wrap_array(out, scan->table->list_count)) {
        out->release(out);
        return bs_fail_memory(err, sizeof(struct list_array));
    }
    scan->row += rows;
    return BASALT_OK;
}

static void close_scan(void *context)
{
    struct scan *scan = context;
    bs_table_free(scan->table);
    bs_bytes_free(&scan->list_metadata);
    bs_free(scan);
}

/* What a large file has of its own: threads for the chunks of a batch, and the chunk between two. */
static basalt_status prepare(struct bs_hdf5 *file, basalt_error *err)
{
    struct bs_sched *sched = NULL;
    struct bs_h5_cache *cache = NULL;
    uint64_t bytes = 0;
    basalt_status status = bs_file_size(file->file, &bytes, err);
    if (status || bytes <= BS_HDF5_ALONE_BYTES) return status;
    status = bs_hdf5_sched(file, &sched, err);
    if (!status) status = bs_hdf5_cache(file, &cache, err);
    if (!status) bs_h5_file_set_helpers(file->h5, sched, cache);
    return status;
}

basalt_status bs_hdf5_scan(struct bs_hdf5 *file, const char *path, uint64_t first_row,
    uint64_t row_count, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    static const struct bs_stream_source source = {next, close_scan, shape_schema};
    struct bs_table *table = NULL;
    memset(out_stream, 0, sizeof *out_stream);
    basalt_status status = prepare(file, err);
    if (!status) status = bs_table_open(file->h5, path, &table, err);
    if (status) return status;
    struct scan *scan = bs_alloc_zeroed(1, sizeof *scan);
    if (!scan) {
        bs_table_free(table);
        return bs_fail_memory(err, sizeof *scan);
    }
    scan->table = table;
    scan->row = BS_MIN(first_row, table->rows);
    scan->end = scan->row + BS_MIN(row_count, table->rows - scan->row);
    status = describe_lists(scan, err);
    if (!status) return bs_stream_create(table->schema, &source, scan, out_stream, err);
    close_scan(scan);
    return status;
}
