/* table_scan.c - rows of a table as an Arrow stream; a column of lists gets its list here. */
#include "tables/tables_internal.h"

#include <errno.h>
#include <stdio.h>

struct scan {
    struct bs_table *table;
    uint64_t row, end;
};

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
    if (!status) scan->row += rows;
    return status;
}

static void close_scan(void *context)
{
    struct scan *scan = context;
    bs_table_free(scan->table);
    bs_free(scan);
}

/* ---- lists ------------------------------------------------------------------------------------- */

struct list_stream {
    struct ArrowArrayStream inner;
    uint64_t list_count;
    char format[32];
    struct bs_bytes metadata; /* of the field, as the C data interface lays it out; or empty */
};

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

static bool wrap_schema(struct ArrowSchema *schema, const struct list_stream *stream)
{
    struct ArrowSchema *column = schema->children[0];
    struct list_schema *list = bs_alloc_zeroed(1, sizeof *list);
    if (!list) return false;
    const bool has_metadata = stream->metadata.count > 0;
    list->name = bs_copy_string(column->name);
    list->format = bs_copy_string(stream->format);
    if (has_metadata) list->metadata = bs_copy_bytes(stream->metadata.data, stream->metadata.count);
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

static int list_get_schema(struct ArrowArrayStream *arrow, struct ArrowSchema *out)
{
    struct list_stream *stream = arrow->private_data;
    const int code = stream->inner.get_schema(&stream->inner, out);
    if (code) return code;
    if (wrap_schema(out, stream)) return 0;
    out->release(out);
    return ENOMEM;
}

static int list_get_next(struct ArrowArrayStream *arrow, struct ArrowArray *out)
{
    struct list_stream *stream = arrow->private_data;
    const int code = stream->inner.get_next(&stream->inner, out);
    if (code || !out->release) return code;
    if (wrap_array(out, stream->list_count)) return 0;
    out->release(out);
    return ENOMEM;
}

static const char *list_get_last_error(struct ArrowArrayStream *arrow)
{
    struct list_stream *stream = arrow->private_data;
    return stream->inner.get_last_error(&stream->inner);
}

static void list_release(struct ArrowArrayStream *arrow)
{
    struct list_stream *stream = arrow->private_data;
    stream->inner.release(&stream->inner);
    bs_bytes_free(&stream->metadata);
    bs_free(stream);
    arrow->release = NULL;
}

static void put_pair(struct bs_bytes *out, const char *key, const char *before, const char *value)
{
    bs_bytes_u32(out, (uint32_t)strlen(key));
    bs_bytes_put(out, key, strlen(key));
    bs_bytes_u32(out, (uint32_t)(strlen(before) + strlen(value) + (*before ? 1 : 0)));
    bs_bytes_text(out, "%s%s%s", before, value, *before ? "}" : "");
}

/* Takes over `inner`, also when it fails. */
static basalt_status put_lists(struct ArrowArrayStream *inner, uint64_t list_count,
    const char *shape, struct ArrowArrayStream *out, basalt_error *err)
{
    struct list_stream *stream = bs_alloc_zeroed(1, sizeof *stream);
    if (!stream) {
        inner->release(inner);
        return bs_fail_memory(err, sizeof *stream);
    }
    stream->inner = *inner;
    stream->list_count = list_count;
    snprintf(stream->format, sizeof stream->format, "+w:%" PRIu64, list_count);
    *out = (struct ArrowArrayStream){
        .get_schema = list_get_schema,
        .get_next = list_get_next,
        .get_last_error = list_get_last_error,
        .release = list_release,
        .private_data = stream,
    };
    if (shape) {
        bs_bytes_u32(&stream->metadata, 2);
        put_pair(&stream->metadata, "ARROW:extension:name", "", "arrow.fixed_shape_tensor");
        put_pair(&stream->metadata, "ARROW:extension:metadata", "{\"shape\":", shape);
    }
    const basalt_status status = bs_bytes_check(&stream->metadata, err);
    if (status) out->release(out);
    return status;
}

/* ---- scan -------------------------------------------------------------------------------------- */

basalt_status bs_hdf5_scan(struct bs_hdf5 *file, const char *path, uint64_t first_row,
    uint64_t row_count, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    static const struct bs_stream_source source = {next, close_scan};
    struct bs_table *table = NULL;
    struct ArrowArrayStream stream;
    memset(out_stream, 0, sizeof *out_stream);
    basalt_status status = bs_table_open(file->h5, path, &table, err);
    if (status) return status;
    struct scan *scan = bs_alloc_zeroed(1, sizeof *scan);
    if (!scan) {
        bs_table_free(table);
        return bs_fail_memory(err, sizeof *scan);
    }
    scan->table = table;
    scan->row = BS_MIN(first_row, table->rows);
    scan->end = scan->row + BS_MIN(row_count, table->rows - scan->row);
    status = bs_stream_create(table->schema, &source, scan, &stream, err);
    if (status) return status;
    if (table->list_count) {
        return put_lists(&stream, table->list_count, table->shape, out_stream, err);
    }
    *out_stream = stream;
    return BASALT_OK;
}
