/* table.c - what a path of an HDF5 file is as a table, and its rows as an Arrow stream.
 *
 * A dataset of more than one dimension has one column of fixed-size lists: the table's schema and its
 * arrays are those of the values, and the stream puts the list around them. Several further
 * dimensions are one list, whose field says their shape as arrow.fixed_shape_tensor does. */
#include "tables/tables_internal.h"

#include <stdio.h>

#define CHUNK_BYTES_MAX ((uint64_t)64 << 20) /* whole chunks up to this size are read at once */

/* ---- tables ------------------------------------------------------------------------------------ */

static void release_nothing(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

basalt_status bs_schema_of(
    struct ArrowSchema *children, size_t count, struct bs_schema **out_schema, basalt_error *err)
{
    struct ArrowSchema **pointers = bs_alloc_zeroed(count + 1, sizeof *pointers);
    if (!pointers) return bs_fail_memory(err, count * sizeof *pointers);
    for (size_t i = 0; i < count; i++) {
        children[i].release = release_nothing;
        pointers[i] = &children[i];
    }
    const struct ArrowSchema root = {.format = "+s",
        .n_children = (int64_t)count,
        .children = pointers,
        .release = release_nothing};
    const basalt_status status = bs_schema_import(&root, out_schema, err);
    bs_free(pointers);
    return status;
}

void bs_table_free(struct bs_table *table)
{
    if (!table) return;
    for (size_t i = 0; i < table->column_count; i++) bs_column_close(&table->columns[i]);
    bs_free(table->columns);
    bs_h5_object_close(table->compound);
    bs_schema_release(table->schema);
    bs_free(table->shape);
    bs_free(table);
}

basalt_status bs_table_reserve(struct bs_table *table, size_t count, basalt_error *err)
{
    table->columns = bs_alloc_zeroed(count + 1, sizeof *table->columns);
    if (!table->columns) return bs_fail_memory(err, count * sizeof *table->columns);
    table->column_count = count;
    return BASALT_OK;
}

/* "[2,3]", if a row has several dimensions. */
static basalt_status set_shape(
    struct bs_table *table, const struct bs_h5_dataset *dataset, basalt_error *err)
{
    struct bs_bytes shape = {0};
    const struct bs_h5_type *type = dataset->type;
    unsigned count = 0;
    for (unsigned i = 1; i < dataset->space.rank; i++) {
        bs_bytes_text(&shape, "%s%" PRIu64, count++ ? "," : "[", dataset->space.dims[i]);
    }
    for (; type->kind == BS_H5_ARRAY; type = type->base) {
        for (unsigned i = 0; i < type->rank; i++) {
            bs_bytes_text(&shape, "%s%" PRIu32, count++ ? "," : "[", type->dims[i]);
        }
    }
    bs_bytes_text(&shape, "]");
    bs_bytes_u8(&shape, 0);
    const basalt_status status = bs_bytes_check(&shape, err);
    if (status || count < 2) {
        bs_bytes_free(&shape);
        return status;
    }
    table->shape = (char *)shape.data;
    return BASALT_OK;
}

static const char *last_part(const char *path, size_t *out_count)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    *out_count = end - start;
    return path + start;
}

/* The table of one column, called as the last part of the path. */
static basalt_status set_one_schema(struct bs_table *table, const char *path, basalt_error *err)
{
    const struct bs_table_column *column = &table->columns[0];
    size_t count;
    const char *last = last_part(path, &count);
    char *name = bs_alloc(count + 1);
    if (!name) return bs_fail_memory(err, count + 1);
    memcpy(name, last, count);
    name[count] = 0;
    struct ArrowSchema child = {.name = name, .format = column->element.format};
    child.flags = bs_column_nullable(column) ? ARROW_FLAG_NULLABLE : 0;
    const basalt_status status = bs_schema_of(&child, 1, &table->schema, err);
    bs_free(name);
    return status;
}

/* Takes over `object`, a dataset or a group that is a column. */
static basalt_status open_column(
    struct bs_table *table, struct bs_h5_object *object, const char *path, basalt_error *err)
{
    basalt_status status = bs_table_reserve(table, 1, err);
    if (status) {
        bs_h5_object_close(object);
        return status;
    }
    struct bs_table_column *column = &table->columns[0];
    status = bs_column_open(table->h5, object, column, err);
    if (status) return status;
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(column->values);
    if (dataset->space.rank > 1 || dataset->type->kind == BS_H5_ARRAY) {
        if (column->list_count == 0 || bs_column_nullable(column)) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "it has rows of several dimensions that are empty or may be null");
        }
        table->list_count = column->list_count;
        status = set_shape(table, dataset, err);
    }
    return status ? status : set_one_schema(table, path, err);
}

/* Takes over `object`. */
static basalt_status open_dataset(
    struct bs_table *table, struct bs_h5_object *object, const char *path, basalt_error *err)
{
    if (bs_h5_object_type(object)->kind == BS_H5_COMPOUND) {
        return bs_table_open_compound(table, object, err);
    }
    return open_column(table, object, path, err);
}

/* Every column has as many rows as the first. */
static basalt_status count_rows(struct bs_table *table, basalt_error *err)
{
    for (size_t i = 0; !table->compound && i < table->column_count; i++) {
        const uint64_t rows = bs_column_rows(&table->columns[i]);
        if (i == 0) table->rows = rows;
        if (rows == table->rows) continue;
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "column \"%.60s\" has %" PRIu64 " rows, the first column %" PRIu64,
            table->schema->fields[i].name, rows, table->rows);
    }
    return BASALT_OK;
}

/* Takes over `group`. */
static basalt_status open_group(
    struct bs_table *table, struct bs_h5_object *group, const char *path, basalt_error *err)
{
    enum bs_encoding encoding;
    bool found;
    basalt_status status = bs_table_open_group(table, group, &found, err);
    if (status || found) goto out;
    BS_TRY(bs_group_encoding(table->h5, group, &encoding, err));
    if (encoding == BS_ENCODING_CATEGORICAL || encoding == BS_ENCODING_MASKED) {
        status = open_column(table, group, path, err);
        group = NULL;
    } else {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "it is a group that is no table (neither Basalt's nor AnnData's dataframe): name a "
            "dataset in it");
    }
out:
    bs_h5_object_close(group);
    return status;
}

static basalt_status open_object(struct bs_table *table, const char *path, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_bytes found = {0};
    basalt_status status = bs_path_open(table->h5, path, &found, &object, err);
    if (status) return status;
    const char *shown = (const char *)found.data;
    table->h5 = bs_h5_object_file(object); /* a link may lead to another */
    switch (bs_h5_object_kind(object)) {
    case BS_H5_GROUP: status = open_group(table, object, shown, err); break;
    case BS_H5_DATASET: status = open_dataset(table, object, shown, err); break;
    default:
        bs_h5_object_close(object);
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it is a type, not data");
        break;
    }
    if (!status) status = count_rows(table, err);
    if (status) bs_error_prefix(err, "\"%.80s\"", shown);
    bs_bytes_free(&found);
    return status;
}

basalt_status bs_table_open(
    struct bs_h5_file *h5, const char *path, struct bs_table **out_table, basalt_error *err)
{
    *out_table = NULL;
    struct bs_table *table = bs_alloc_zeroed(1, sizeof *table);
    if (!table) return bs_fail_memory(err, sizeof *table);
    table->h5 = h5;
    const basalt_status status = open_object(table, path, err);
    if (status) {
        bs_table_free(table);
        return status;
    }
    *out_table = table;
    return BASALT_OK;
}

static uint64_t row_bytes(const struct bs_table *table)
{
    uint64_t bytes = 0;
    if (table->compound) return BS_MAX(bs_h5_object_type(table->compound)->size_bytes, 1);
    for (size_t i = 0; i < table->column_count; i++) {
        const struct bs_table_column *column = &table->columns[i];
        const struct bs_h5_dataset *dataset = bs_h5_object_dataset(column->values);
        bytes += dataset->type->size_bytes / column->element.array_count * column->list_count;
    }
    return BS_MAX(bytes, 1);
}

uint64_t bs_table_batch_rows(const struct bs_table *table, uint64_t first)
{
    const uint64_t bytes = row_bytes(table);
    uint64_t rows = BS_MAX(BS_MIN(BS_TABLE_BATCH_BYTES / bytes, BS_TABLE_BATCH_ROWS_MAX), 1);
    const struct bs_h5_object *object = table->compound;
    if (!object && table->column_count > 0) object = table->columns[0].values;
    const struct bs_h5_dataset *dataset = object ? bs_h5_object_dataset(object) : NULL;
    if (!dataset || dataset->layout != BS_H5_CHUNKED || !dataset->chunk_dims[0]) return rows;
    const uint64_t chunk = dataset->chunk_dims[0];
    if (chunk > rows && chunk <= CHUNK_BYTES_MAX / bytes) rows = chunk;
    if (chunk <= rows) rows = rows / chunk * chunk - first % chunk;
    return rows;
}

static basalt_status read_columns(struct bs_table *table, uint64_t first, uint64_t count,
    struct bs_array_builder *builder, basalt_error *err)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const basalt_status status =
            bs_column_read(table->h5, &table->columns[i], first, count, builder, i, err);
        if (status) {
            bs_error_prefix(err, "column \"%.80s\"", table->schema->fields[i].name);
            return status;
        }
    }
    return BASALT_OK;
}

basalt_status bs_table_read(struct bs_table *table, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    struct bs_array_builder *builder = NULL;
    const uint64_t values = table->list_count ? count * table->list_count : count;
    basalt_status status = bs_array_builder_create(table->schema, values, &builder, err);
    if (status) return status;
    status = table->compound ? bs_table_read_compound(table, first, count, builder, err)
                             : read_columns(table, first, count, builder, err);
    if (!status) return bs_array_builder_finish(&builder, out, err);
    bs_array_builder_free(builder);
    return status;
}
