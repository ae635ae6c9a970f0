/* table.c - what a path of an HDF5 file is as a table. Its rows: table_cursor.c.
 *
 * A table is columns over blocks: a block is a dataset, of which columns are parts (members of records,
 * columns of a matrix). Which files of this floor say what the columns are is decided here, in this
 * order; the first that knows the object has it:
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
 * Memory: the dictionaries, and the coordinates of a variable. */
#include "tables/tables_internal.h"

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
    bs_paths_free(table->paths);
    table->paths = NULL;
    bs_bytes_free(&found);
    return status;
}

basalt_status bs_table_open(struct bs_h5_file *h5, const char *path,
    const basalt_hdf5_scan_options *options, struct bs_table **out_table, basalt_error *err)
{
    *out_table = NULL;
    struct bs_table *table = bs_alloc_zeroed(1, sizeof *table);
    if (!table) return bs_fail_memory(err, sizeof *table);
    table->given = table->h5 = h5;
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
    bs_dictionary_free(column->dictionary);
    bs_free(column->missing);
    bs_h5_object_close(column->object);
    bs_free(column->elements);
    bs_known_release(atomic_load(&column->known));
}

void bs_table_free(struct bs_table *table)
{
    if (!table) return;
    for (size_t i = 0; i < table->column_count; i++) column_clear(&table->columns[i]);
    for (size_t i = 0; i < table->block_count; i++) bs_h5_object_close(table->blocks[i].object);
    bs_free(table->columns);
    bs_free(table->blocks);
    bs_bytes_free(&table->metadata);
    bs_h5_object_close(table->own);
    bs_schema_release(table->schema);
    bs_free(table);
}

void bs_table_info(const struct bs_table *table, basalt_hdf5_table_info *out_info)
{
    *out_info = (basalt_hdf5_table_info){table->kind, table->rows, table->column_count};
}

basalt_status bs_column_schema(
    const struct bs_table *table, size_t index, struct ArrowSchema *out, basalt_error *err)
{
    const struct bs_column_of *column = &table->columns[index];
    if (!column->dictionary) {
        return bs_value_schema(&column->value, column->name, column->format, column->nullable,
            &column->metadata, out, err);
    }
    if (table->options.without_dictionaries) {
        return bs_value_schema(
            &column->dictionary->value, column->name, NULL, true, &column->metadata, out, err);
    }
    basalt_status status =
        bs_arrow_schema(out, column->value.format, column->name, &column->metadata, 0, true, err);
    if (status) return status;
    out->flags =
        ARROW_FLAG_NULLABLE | (column->dictionary->ordered ? ARROW_FLAG_DICTIONARY_ORDERED : 0);
    status =
        bs_value_schema(&column->dictionary->value, "", NULL, false, NULL, out->dictionary, err);
    if (status) out->release(out);
    return status;
}

basalt_status bs_table_schema(
    const struct bs_table *table, struct ArrowSchema *out, basalt_error *err)
{
    basalt_status status =
        bs_arrow_schema(out, "+s", "", &table->metadata, table->column_count, false, err);
    if (status) return status;
    for (size_t i = 0; !status && i < table->column_count; i++) {
        status = bs_column_schema(table, i, out->children[i], err);
    }
    if (status) out->release(out);
    return status;
}

/* ---- memory ------------------------------------------------------------------------------------ */

#define ROOM_BYTES_FREE                                                                            \
    ((uint64_t)60 << 20) /* of all that a scan takes, whatever the file: docs/format/coverage.md */
#define ROOM_TO_FILE 8

basalt_status bs_room_take(struct bs_room *room, uint64_t bytes, basalt_error *err)
{
    if (bytes > room->left) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the rows of one array would take over 60 MiB and 8 times the file of memory");
    }
    room->left -= bytes;
    return BASALT_OK;
}

basalt_status bs_room_check_text(const struct bs_room *room, uint64_t bytes, basalt_error *err)
{
    struct bs_room copy = *room;
    if (bytes <= BS_TABLE_TEXT_BYTES_MAX) return bs_room_take(&copy, 3 * bytes, err);
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the texts are more than %" PRIu64 " bytes in one array", BS_TABLE_TEXT_BYTES_MAX);
}

/* Dictionaries and coordinates. */
static uint64_t held_bytes(const struct bs_column_of *column)
{
    const struct bs_dictionary_values *values =
        column->dictionary ? atomic_load(&column->dictionary->values) : NULL;
    const uint64_t coordinates =
        column->elements ? column->modulo * column->value.element_bytes : 0;
    return coordinates + (values ? values->bytes : 0);
}

uint64_t bs_table_room(const struct bs_table *table)
{
    const uint64_t allowed = bs_h5_file_chunk_memory(table->h5) - BS_H5_CHUNK_MEMORY;
    const uint64_t all = ROOM_BYTES_FREE + allowed + ROOM_TO_FILE * bs_h5_file_bytes(table->h5);
    uint64_t taken = bs_hdf5_cache_bytes_free(table->h5), work = 0;
    for (size_t i = 0; i < table->block_count; i++) {
        work = BS_MAX(work, bs_h5_work_bytes(table->blocks[i].object));
    }
    taken += work;
    for (size_t i = 0; i < table->column_count; i++) taken += held_bytes(&table->columns[i]);
    return all > taken ? all - taken : 0;
}
