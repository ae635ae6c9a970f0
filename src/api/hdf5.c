/* hdf5.c - basalt/hdf5.h. A file has a file system of its own, so that it needs no environment. */
#include "api/api_internal.h"
#include "tables/tables.h"

struct basalt_hdf5 {
    basalt_env *env; /* whose threads and filters it uses; or NULL */
    struct bs_vfs *vfs;
    struct bs_hdf5 *file;
};

void basalt_hdf5_options_init(basalt_hdf5_options *options, size_t options_bytes)
{
    const basalt_hdf5_options defaults = {.struct_bytes = options_bytes,
        .cache_bytes = BS_HDF5_CACHE_BYTES,
        .chunk_memory_bytes = BS_H5_CHUNK_MEMORY};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_hdf5_open(const char *path, basalt_hdf5 **out_file, basalt_error *err)
{
    return basalt_hdf5_open_with(path, NULL, out_file, err);
}

basalt_status basalt_hdf5_open_with(
    const char *path, const basalt_hdf5_options *options, basalt_hdf5 **out_file, basalt_error *err)
{
    basalt_hdf5_options filled;
    basalt_hdf5 *opened;
    basalt_status status = BASALT_OK;
    basalt_hdf5_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    BS_API_NEEDS(out_file);
    *out_file = NULL;
    BS_API_NEEDS(path);
    opened = bs_alloc_zeroed(1, sizeof *opened);
    if (!opened) return bs_fail_memory(err, sizeof *opened);
    BS_TRY(bs_vfs_local_create(&opened->vfs, err));
    if (filled.follow > BASALT_HDF5_FOLLOW_ANYWHERE) {
        status = bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "%d is no rule of what other files to follow", (int)filled.follow);
        goto out;
    }
    BS_TRY(bs_hdf5_open_following(opened->vfs, path, filled.follow, &opened->file, err));
    bs_hdf5_set_cache(opened->file, filled.cache_bytes);
    bs_hdf5_set_chunk_memory(opened->file, filled.chunk_memory_bytes);
    if (filled.env) {
        bs_hdf5_set_filters(opened->file, filled.env->filters);
        bs_hdf5_set_sched(opened->file, filled.env->parts.sched);
        atomic_fetch_add(&filled.env->open_files, 1);
        opened->env = filled.env;
    }
    *out_file = opened;
    opened = NULL;
out:
    basalt_hdf5_close(&opened);
    return status;
}

const char *basalt_hdf5_warning(const basalt_hdf5 *file)
{
    return file ? bs_hdf5_warning(file->file) : NULL;
}

void basalt_hdf5_close(basalt_hdf5 **file)
{
    if (!file || !*file) return;
    bs_hdf5_close((*file)->file);
    bs_vfs_free((*file)->vfs);
    if ((*file)->env) atomic_fetch_sub(&(*file)->env->open_files, 1);
    bs_free(*file);
    *file = NULL;
}

basalt_status basalt_hdf5_walk(basalt_hdf5 *file, const char *path, unsigned depth_max,
    basalt_hdf5_entry_fn each, void *context, basalt_error *err)
{
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    BS_API_NEEDS(each);
    return bs_hdf5_walk(file->file, path, depth_max, each, context, err);
}

basalt_status basalt_hdf5_each_attribute(basalt_hdf5 *file, const char *path,
    basalt_hdf5_attribute_fn each, void *context, basalt_error *err)
{
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    BS_API_NEEDS(each);
    return bs_hdf5_each_attribute(file->file, path, each, context, err);
}

basalt_status basalt_hdf5_each_chunk(basalt_hdf5 *file, const char *path, basalt_hdf5_chunk_fn each,
    void *context, basalt_error *err)
{
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    BS_API_NEEDS(each);
    return bs_hdf5_each_chunk(file->file, path, each, context, err);
}

basalt_status basalt_hdf5_scan(basalt_hdf5 *file, const char *path, uint64_t first_row,
    uint64_t row_count, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    BS_API_NEEDS(out_stream);
    memset(out_stream, 0, sizeof *out_stream);
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    basalt_hdf5_scan_options options;
    basalt_hdf5_scan_options_init(&options, sizeof options);
    options.first_row = first_row;
    options.row_count = row_count;
    return bs_hdf5_scan(file->file, path, &options, out_stream, err);
}

void basalt_hdf5_scan_options_init(basalt_hdf5_scan_options *options, size_t options_bytes)
{
    const basalt_hdf5_scan_options defaults = {
        .struct_bytes = options_bytes, .row_count = UINT64_MAX};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_hdf5_scan_with(basalt_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    basalt_hdf5_scan_options filled;
    BS_API_NEEDS(out_stream);
    memset(out_stream, 0, sizeof *out_stream);
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    basalt_hdf5_scan_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    return bs_hdf5_scan(file->file, path, &filled, out_stream, err);
}

basalt_status basalt_hdf5_describe_table(
    basalt_hdf5 *file, const char *path, basalt_hdf5_table_info *out_info, basalt_error *err)
{
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    BS_API_NEEDS(out_info);
    return bs_hdf5_describe_table(file->file, path, out_info, err);
}

/* ---- tables and cursors -------------------------------------------------------------------------- */

struct basalt_hdf5_table {
    struct bs_hdf5 *file; /* lent */
    struct bs_table *table;
};

struct basalt_hdf5_cursor {
    struct bs_table_cursor *cursor;
};

basalt_status basalt_hdf5_table_open(basalt_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, basalt_hdf5_table **out_table, basalt_error *err)
{
    basalt_hdf5_scan_options filled;
    BS_API_NEEDS(out_table);
    *out_table = NULL;
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    basalt_hdf5_scan_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    basalt_hdf5_table *opened = bs_alloc_zeroed(1, sizeof *opened);
    if (!opened) return bs_fail_memory(err, sizeof *opened);
    opened->file = file->file;
    const basalt_status status = bs_hdf5_table_open(file->file, path, &filled, &opened->table, err);
    if (status) {
        bs_free(opened);
        return status;
    }
    *out_table = opened;
    return BASALT_OK;
}

void basalt_hdf5_table_close(basalt_hdf5_table **table)
{
    if (!table || !*table) return;
    bs_table_free((*table)->table);
    bs_free(*table);
    *table = NULL;
}

basalt_status basalt_hdf5_table_schema(
    const basalt_hdf5_table *table, struct ArrowSchema *out_schema, basalt_error *err)
{
    BS_API_NEEDS(out_schema);
    memset(out_schema, 0, sizeof *out_schema);
    BS_API_NEEDS(table);
    return bs_table_schema(table->table, out_schema, err);
}

void basalt_hdf5_table_get_info(const basalt_hdf5_table *table, basalt_hdf5_table_info *out_info)
{
    bs_table_info(table->table, out_info);
}

basalt_status basalt_hdf5_cursor_open(const basalt_hdf5_table *table, const size_t *columns,
    size_t column_count, basalt_hdf5_cursor **out_cursor, basalt_error *err)
{
    BS_API_NEEDS(out_cursor);
    *out_cursor = NULL;
    BS_API_NEEDS(table);
    basalt_hdf5_cursor *opened = bs_alloc_zeroed(1, sizeof *opened);
    if (!opened) return bs_fail_memory(err, sizeof *opened);
    const basalt_status status =
        bs_hdf5_cursor_open(table->file, table->table, columns, column_count, &opened->cursor, err);
    if (status) {
        bs_free(opened);
        return status;
    }
    *out_cursor = opened;
    return BASALT_OK;
}

void basalt_hdf5_cursor_close(basalt_hdf5_cursor **cursor)
{
    if (!cursor || !*cursor) return;
    bs_cursor_close((*cursor)->cursor);
    bs_free(*cursor);
    *cursor = NULL;
}

uint64_t basalt_hdf5_cursor_batch_rows(const basalt_hdf5_cursor *cursor, uint64_t first_row)
{
    return bs_cursor_batch_rows(cursor->cursor, first_row);
}

void basalt_hdf5_cursor_get_needs(const basalt_hdf5_cursor *cursor, basalt_hdf5_needs *out_needs)
{
    bs_cursor_needs(cursor->cursor, out_needs);
}

basalt_status basalt_hdf5_cursor_read(basalt_hdf5_cursor *cursor, uint64_t first_row,
    uint64_t row_count, struct ArrowArray *out_array, basalt_error *err)
{
    BS_API_NEEDS(out_array);
    memset(out_array, 0, sizeof *out_array);
    BS_API_NEEDS(cursor);
    return bs_cursor_read(cursor->cursor, first_row, row_count, out_array, err);
}

basalt_status basalt_hdf5_bounds_create(
    uint64_t bytes_max, basalt_hdf5_bounds **out_bounds, basalt_error *err)
{
    BS_API_NEEDS(out_bounds);
    return bs_bounds_create(bytes_max ? bytes_max : BS_BOUNDS_BYTES, out_bounds, err);
}

void basalt_hdf5_bounds_free(basalt_hdf5_bounds **bounds)
{
    if (!bounds) return;
    bs_bounds_free(*bounds);
    *bounds = NULL;
}

basalt_status basalt_hdf5_cursor_set_ranges(basalt_hdf5_cursor *cursor,
    const basalt_hdf5_range *ranges, size_t range_count, basalt_error *err)
{
    BS_API_NEEDS(cursor);
    if (range_count) BS_API_NEEDS(ranges);
    return bs_cursor_set_ranges(cursor->cursor, ranges, range_count, err);
}

basalt_status basalt_hdf5_cursor_find(basalt_hdf5_cursor *cursor, uint64_t first_row,
    uint64_t end_row, uint64_t step, basalt_hdf5_found *out_found, basalt_error *err)
{
    BS_API_NEEDS(out_found);
    memset(out_found, 0, sizeof *out_found);
    BS_API_NEEDS(cursor);
    return bs_cursor_find(cursor->cursor, first_row, end_row, step, out_found, err);
}

/* ---- elements into memory ------------------------------------------------------------------------ */

struct basalt_hdf5_dataset {
    struct bs_hdf5_dataset *dataset;
};

basalt_status basalt_hdf5_dataset_open(
    basalt_hdf5 *file, const char *path, basalt_hdf5_dataset **out_dataset, basalt_error *err)
{
    basalt_hdf5_dataset *opened;
    basalt_status status = BASALT_OK;
    BS_API_NEEDS(out_dataset);
    *out_dataset = NULL;
    BS_API_NEEDS(file);
    BS_API_NEEDS(path);
    opened = bs_alloc_zeroed(1, sizeof *opened);
    if (!opened) return bs_fail_memory(err, sizeof *opened);
    BS_TRY(bs_hdf5_dataset_open(file->file, path, &opened->dataset, err));
    *out_dataset = opened;
    opened = NULL;
out:
    basalt_hdf5_dataset_close(&opened);
    return status;
}

void basalt_hdf5_dataset_close(basalt_hdf5_dataset **dataset)
{
    if (!dataset || !*dataset) return;
    bs_hdf5_dataset_close((*dataset)->dataset);
    bs_free(*dataset);
    *dataset = NULL;
}

void basalt_hdf5_dataset_info(const basalt_hdf5_dataset *dataset, basalt_hdf5_shape *out_shape)
{
    bs_hdf5_dataset_info(dataset->dataset, out_shape);
}

void basalt_hdf5_read_options_init(basalt_hdf5_read_options *options, size_t options_bytes)
{
    const basalt_hdf5_read_options defaults = {.struct_bytes = options_bytes};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

/* Those of a caller compiled against an older header, with what they lack. */
static void fill_options(
    basalt_hdf5_read_options *out_filled, const basalt_hdf5_read_options *options)
{
    basalt_hdf5_read_options_init(out_filled, sizeof *out_filled);
    if (options) memcpy(out_filled, options, BS_MIN(options->struct_bytes, sizeof *out_filled));
}

basalt_status basalt_hdf5_read_size(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, uint64_t *out_count, uint64_t *out_element_bytes,
    basalt_error *err)
{
    basalt_hdf5_read_options filled;
    BS_API_NEEDS(out_count);
    BS_API_NEEDS(out_element_bytes);
    *out_count = *out_element_bytes = 0;
    BS_API_NEEDS(dataset);
    fill_options(&filled, options);
    return bs_hdf5_read_size(dataset->dataset, &filled, out_count, out_element_bytes, err);
}

basalt_status basalt_hdf5_read(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, void *out, uint64_t out_bytes, basalt_error *err)
{
    basalt_hdf5_read_options filled;
    BS_API_NEEDS(dataset);
    if (out_bytes) BS_API_NEEDS(out);
    fill_options(&filled, options);
    return bs_hdf5_read(dataset->dataset, &filled, out, out_bytes, err);
}

basalt_status basalt_hdf5_read_variable(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, basalt_hdf5_element_fn each, void *context,
    basalt_error *err)
{
    basalt_hdf5_read_options filled;
    BS_API_NEEDS(dataset);
    BS_API_NEEDS(each);
    fill_options(&filled, options);
    return bs_hdf5_read_variable(dataset->dataset, &filled, each, context, err);
}

basalt_status basalt_hdf5_resolve(const basalt_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err)
{
    basalt_hdf5_read_options filled;
    BS_API_NEEDS(out_target);
    memset(out_target, 0, sizeof *out_target);
    BS_API_NEEDS(dataset);
    BS_API_NEEDS(element);
    fill_options(&filled, options);
    return bs_hdf5_dataset_resolve(dataset->dataset, &filled, element, out_target, err);
}

void basalt_hdf5_target_release(basalt_hdf5_target *target)
{
    if (target) bs_hdf5_target_release(target);
}

basalt_status basalt_hdf5_map(
    const basalt_hdf5_dataset *dataset, basalt_hdf5_mapping *out_mapping, basalt_error *err)
{
    struct bs_file_map map = {0};
    BS_API_NEEDS(out_mapping);
    memset(out_mapping, 0, sizeof *out_mapping);
    BS_API_NEEDS(dataset);
    const basalt_status status = bs_hdf5_map(dataset->dataset, &map, err);
    if (status || !map.start) return status;
    out_mapping->bytes = map.bytes;
    out_mapping->byte_count = map.start_bytes - (uint64_t)(map.bytes - (uint8_t *)map.start);
    out_mapping->private_data[0] = map.start;
    return BASALT_OK;
}

void basalt_hdf5_unmap(const basalt_hdf5_dataset *dataset, basalt_hdf5_mapping *mapping)
{
    if (!mapping || !mapping->private_data[0]) return;
    struct bs_file_map map = {.bytes = mapping->bytes, .start = mapping->private_data[0]};
    map.start_bytes = (size_t)(mapping->byte_count + (uint64_t)(map.bytes - (uint8_t *)map.start));
    bs_hdf5_unmap(dataset->dataset, &map);
    memset(mapping, 0, sizeof *mapping);
}

void basalt_hdf5_get_stats(basalt_hdf5 *file, basalt_hdf5_stats *out_stats)
{
    bs_hdf5_get_stats(file->file, out_stats);
}
