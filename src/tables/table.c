/* table.c - what a path of an HDF5 file is as a table, and its rows as Arrow arrays.
 *
 * A table is columns over blocks: a block is a dataset, of which the rows wanted are read once for all
 * columns that are parts of it (members of records, columns of a matrix). Which files of this floor say
 * what the columns are is decided here, in this order; the first that knows the object has it:
 *
 *   any       column of family table_family.c     by its path: with the type and nulls that it has there
 *   dataset   records          table_compound.c   its type is a compound
 *             wide             table_dataset.c    if asked for: two dimensions, a column an index
 *             netCDF variable  table_netcdf.c     its dimensions have scales; unless PLAIN is asked for
 *             dataset          table_dataset.c    one column; further dimensions are lists
 *   group     family           table_family.c     .basalt/ipc_schema
 *             AnnData          table_anndata.c    encoding-type dataframe, categorical, nullable-*
 *             sparse           table_sparse.c     encoding-type csr_matrix, csc_matrix; h5sparse_format
 *             pandas           table_pandas.c     pandas_type frame_table, frame; series
 *             group            table_group.c      one-dimensional datasets of one length
 *
 * Memory: one batch of rows of every block, BS_TABLE_BATCH_BYTES or one row of the dataset, whichever is
 * more; the dictionaries, and the coordinates of a variable. */
#include "tables/tables_internal.h"

#define CHUNK_BYTES_MAX ((uint64_t)64 << 20) /* whole chunks up to this size are read at once */

/* ---- which table ------------------------------------------------------------------------------- */

static basalt_status open_group(
    struct bs_table *table, const struct bs_h5_object *group, basalt_error *err)
{
    static bs_table_open_fn *const known[] = {bs_table_open_family, bs_table_open_anndata,
        bs_table_open_sparse, bs_table_open_pandas, bs_table_open_group};
    bool found = false;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(known); i++) {
        const basalt_status status = known[i](table, group, &found, err);
        if (status || found) return status;
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "it is a group that is no table (no convention that is known here, and no datasets of one "
        "dimension and one length in it): name a dataset in it");
}

/* Takes over `object`. */
static basalt_status open_dataset(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    const bool plain = table->options.layout == BASALT_HDF5_LAYOUT_PLAIN;
    if (!plain && bs_is_variable(object)) return bs_table_open_variable(table, object, err);
    if (bs_h5_object_type(object)->kind == BS_H5_COMPOUND &&
        bs_h5_object_dataset(object)->space.rank <= 1) {
        return bs_table_open_compound(table, object, err);
    }
    return bs_table_open_dataset(table, object, err);
}

/* Takes over `object`. */
static basalt_status open_known(
    struct bs_table *table, struct bs_h5_object *object, basalt_error *err)
{
    basalt_status status;
    switch (bs_h5_object_kind(object)) {
    case BS_H5_GROUP:
        status = open_group(table, object, err);
        bs_h5_object_close(object);
        return status;
    case BS_H5_DATASET: return open_dataset(table, object, err);
    default: bs_h5_object_close(object);
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "it is a type, not data");
}

static basalt_status open_object(struct bs_table *table, const char *path, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    struct bs_bytes found = {0};
    basalt_status status = bs_path_open(table->h5, path, &found, &object, err);
    if (status) return status;
    bool is_column = false;
    table->path = (const char *)found.data;
    status = bs_table_open_family_column(table, table->path, object, &is_column, err);
    if (status || is_column) {
        bs_h5_object_close(object);
    } else {
        table->h5 = bs_h5_object_file(object); /* a link may lead to another */
        status = open_known(table, object, err);
    }
    if (status) bs_error_prefix(err, "\"%.80s\"", table->path);
    table->path = NULL;
    bs_bytes_free(&found);
    return status;
}

basalt_status bs_table_open(struct bs_h5_file *h5, const char *path,
    const basalt_hdf5_scan_options *options, struct bs_table **out_table, basalt_error *err)
{
    *out_table = NULL;
    struct bs_table *table = bs_alloc_zeroed(1, sizeof *table);
    if (!table) return bs_fail_memory(err, sizeof *table);
    table->h5 = h5;
    table->options = *options;
    const basalt_status status = open_object(table, path, err);
    if (status) {
        bs_table_free(table);
        return status;
    }
    *out_table = table;
    return BASALT_OK;
}

static void column_clear(struct bs_column_of *column)
{
    bs_free(column->name);
    bs_value_clear(&column->value);
    bs_free(column->format);
    bs_bytes_free(&column->metadata);
    bs_dictionary_release(column->dictionary);
    bs_free(column->missing);
    bs_h5_object_close(column->object);
    bs_free(column->elements);
}

void bs_table_free(struct bs_table *table)
{
    if (!table) return;
    for (size_t i = 0; i < table->column_count; i++) column_clear(&table->columns[i]);
    for (size_t i = 0; i < table->block_count; i++) {
        bs_h5_object_close(table->blocks[i].object);
        bs_free(table->blocks[i].bytes);
    }
    bs_free(table->columns);
    bs_free(table->blocks);
    bs_paths_free(table->paths);
    bs_bytes_free(&table->metadata);
    bs_free(table);
}

basalt_status bs_table_schema(
    const struct bs_table *table, struct ArrowSchema *out, basalt_error *err)
{
    basalt_status status =
        bs_arrow_schema(out, "+s", "", &table->metadata, table->column_count, false, err);
    if (status) return status;
    for (size_t i = 0; !status && i < table->column_count; i++) {
        const struct bs_column_of *column = &table->columns[i];
        struct ArrowSchema *child = out->children[i];
        if (!column->dictionary) {
            status = bs_value_schema(&column->value, column->name, column->format, column->nullable,
                &column->metadata, child, err);
            continue;
        }
        if (table->options.without_dictionaries) {
            status = bs_value_schema(&column->dictionary->value, column->name, NULL, true,
                &column->metadata, child, err);
            continue;
        }
        status = bs_arrow_schema(
            child, column->value.format, column->name, &column->metadata, 0, true, err);
        if (status) break;
        child->flags =
            ARROW_FLAG_NULLABLE | (column->dictionary->ordered ? ARROW_FLAG_DICTIONARY_ORDERED : 0);
        status = bs_value_schema(
            &column->dictionary->value, "", NULL, false, NULL, child->dictionary, err);
    }
    if (status) out->release(out);
    return status;
}

/* ---- rows of blocks ---------------------------------------------------------------------------- */

uint64_t bs_table_batch_rows(const struct bs_table *table, uint64_t first)
{
    uint64_t bytes = 0, rows_each = 1;
    const struct bs_block *leading = NULL;
    for (size_t i = 0; i < table->block_count; i++) {
        bytes += table->blocks[i].row_bytes;
        rows_each = BS_MAX(rows_each, table->blocks[i].rows_each);
        if (!leading && table->blocks[i].rows == table->rows) leading = &table->blocks[i];
    }
    for (size_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].kind != BS_COLUMN_BLOCK) bytes += 8;
    }
    bytes = BS_MAX(bytes, 1);
    uint64_t rows = BS_MAX(BS_MIN(BS_TABLE_BATCH_BYTES / bytes, BS_TABLE_BATCH_ROWS_MAX), 1);
    if (rows_each > 1) { /* up to the end of a row of the dataset, or of what fits of it */
        return rows < rows_each ? BS_MIN(rows, rows_each - first % rows_each)
                                : rows / rows_each * rows_each - first % rows_each;
    }
    const struct bs_h5_dataset *dataset = leading ? bs_h5_object_dataset(leading->object) : NULL;
    if (!dataset || dataset->layout != BS_H5_CHUNKED || !dataset->chunk_dims[0]) return rows;
    const uint64_t chunk = dataset->chunk_dims[0];
    if (chunk > rows && chunk <= CHUNK_BYTES_MAX / bytes) rows = chunk;
    if (chunk <= rows) rows = rows / chunk * chunk - first % chunk;
    return rows;
}

/* The block holds rows [first, first + count) of the table, as far as it has them. */
static basalt_status load_block(
    struct bs_block *block, uint64_t first, uint64_t count, basalt_error *err)
{
    const uint64_t end = BS_MIN(first + count, block->rows);
    if (first >= end) return BASALT_OK;
    const uint64_t low = first / block->rows_each, high = (end - 1) / block->rows_each + 1;
    if (block->bytes && block->first <= low && high <= block->end) return BASALT_OK;
    const size_t bytes = (size_t)((high - low) * block->rows_each * block->row_bytes);
    bs_free(block->bytes);
    block->bytes = bs_alloc(bytes);
    if (!block->bytes) return bs_fail_memory(err, bytes);
    const basalt_status status = bs_h5_read(
        bs_h5_object_file(block->object), block->object, low, high - low, block->bytes, err);
    block->first = low;
    block->end = status ? low : high;
    return status;
}

static const uint8_t *block_row(const struct bs_block *block, uint64_t row)
{
    if (!block->bytes) return (const uint8_t *)"";
    return block->bytes + (row - block->first * block->rows_each) * block->row_bytes;
}

/* ---- columns ----------------------------------------------------------------------------------- */

/* Rows that the mask does not have are there. */
static basalt_status apply_mask(struct bs_table *table, const struct bs_column_of *column,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    struct bs_block *block = &table->blocks[column->mask];
    basalt_status status = load_block(block, first, count, err);
    const uint64_t end = BS_MIN(count, block->rows > first ? block->rows - first : 0);
    for (uint64_t i = 0; !status && i < end; i++) {
        if ((*block_row(block, first + i) != 0) != column->mask_means_missing) continue;
        status = bs_array_null(out, (int64_t)i, err);
    }
    return status;
}

static basalt_status apply_missing(const struct bs_column_of *column, const uint8_t *bytes,
    uint64_t stride, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const size_t width = (size_t)column->value.element_bytes;
    basalt_status status = BASALT_OK;
    for (uint64_t i = 0; !status && i < count; i++) {
        bool missing = false;
        for (size_t k = 0; k < column->missing_count; k++) {
            missing |= !memcmp(bytes + i * stride, column->missing + k * width, width);
        }
        if (missing) status = bs_array_null(out, (int64_t)i, err);
    }
    return status;
}

static basalt_status read_elements(struct bs_table *table, const struct bs_column_of *column,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    struct bs_block *block = &table->blocks[column->block];
    const struct bs_value_source source = {bs_h5_object_file(block->object), &table->paths};
    basalt_status status = load_block(block, first, count, err);
    if (status) return status;
    const uint8_t *bytes = block_row(block, first) + (count ? column->offset : 0);
    if (column->dictionary) {
        return bs_table_read_codes(table, column, bytes, block->row_bytes, first, count, out, err);
    }
    status = bs_value_array(&source, &column->value, bytes, block->row_bytes, count, out, err);
    if (status) return status;
    if (column->mask != SIZE_MAX) status = apply_mask(table, column, first, count, out, err);
    if (!status && column->missing_count) {
        status = apply_missing(column, bytes, block->row_bytes, count, out, err);
    }
    if (status) out->release(out);
    return status;
}

static basalt_status number_rows(const struct bs_column_of *column, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    uint8_t *data;
    basalt_status status = bs_array_make(out, 2, 0, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    status = bs_array_buffer(out, 1, (size_t)count * 8, &data, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        bs_store_u64(data + i * 8, (first + i) / column->divide % column->modulo);
    }
    if (status) out->release(out);
    return status;
}

static basalt_status read_coordinates(struct bs_table *table, const struct bs_column_of *column,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const struct bs_value_source source = {bs_h5_object_file(column->object), &table->paths};
    const uint64_t width = column->value.element_bytes;
    uint8_t *bytes = bs_alloc((size_t)(count * width));
    if (!bytes) return bs_fail_memory(err, (size_t)(count * width));
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = (first + i) / column->divide % column->modulo;
        memcpy(bytes + i * width, column->elements + at * width, (size_t)width);
    }
    const basalt_status status =
        bs_value_array(&source, &column->value, bytes, width, count, out, err);
    bs_free(bytes);
    return status;
}

static basalt_status read_column(struct bs_table *table, struct bs_column_of *column,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    switch (column->kind) {
    case BS_COLUMN_BLOCK: return read_elements(table, column, first, count, out, err);
    case BS_COLUMN_ROW: return number_rows(column, first, count, out, err);
    case BS_COLUMN_COORDINATE: return read_coordinates(table, column, first, count, out, err);
    case BS_COLUMN_MAJOR: break;
    }
    return bs_sparse_read_major(column, first, count, out, err);
}

basalt_status bs_table_read(struct bs_table *table, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    basalt_status status = bs_array_make(out, 1, table->column_count, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    for (size_t i = 0; !status && i < table->column_count; i++) {
        struct bs_column_of *column = &table->columns[i];
        status = read_column(table, column, first, count, out->children[i], err);
        if (status) bs_error_prefix(err, "column \"%.80s\"", column->name);
    }
    if (status) out->release(out);
    for (size_t i = 0; i < table->block_count; i++) { /* kept only where the next rows are in it */
        if (table->blocks[i].rows_each > 1) continue;
        bs_free(table->blocks[i].bytes);
        table->blocks[i].bytes = NULL;
    }
    return status;
}
