/* tables.h - any HDF5 file as Arrow tables.   floor 8: may include store and below
 *
 * The bodies of basalt/hdf5.h. What a path is as a table, and which convention is asked first, is at the
 * top of table.c. */
#ifndef BS_TABLES_H
#define BS_TABLES_H

#include "arrow/arrow.h"
#include "basalt/hdf5.h"
#include "h5/h5.h"

struct bs_hdf5; /* a bs_h5_file and the file under it */

BS_MUST_USE basalt_status bs_hdf5_open(
    struct bs_vfs *vfs, const char *path, struct bs_hdf5 **out_file, basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_open_following(struct bs_vfs *vfs, const char *path,
    basalt_hdf5_follow follow, struct bs_hdf5 **out_file, basalt_error *err);
const char *bs_hdf5_warning(const struct bs_hdf5 *file); /* or NULL */
void bs_hdf5_close(struct bs_hdf5 *file);                /* NULL is fine */
/* Filters of the user: borrowed, must outlive the file. Before anything is read. */
void bs_hdf5_set_filters(struct bs_hdf5 *file, const struct bs_filter_registry *filters);
/* Threads for it, instead of its own: borrowed, must outlive the file. Before anything is read. */
void bs_hdf5_set_sched(struct bs_hdf5 *file, struct bs_sched *sched);
/* How much of decoded chunks it may keep. Before anything is read. */
#define BS_HDF5_CACHE_BYTES ((uint64_t)256 << 20) /* unless it is said */
void bs_hdf5_set_cache(struct bs_hdf5 *file, uint64_t bytes_max);
/* As bs_h5_file_set_chunk_memory. Before anything is read. */
void bs_hdf5_set_chunk_memory(struct bs_hdf5 *file, uint64_t bytes);
BS_MUST_USE basalt_status bs_hdf5_walk(struct bs_hdf5 *file, const char *path, unsigned depth_max,
    basalt_hdf5_entry_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_each_attribute(struct bs_hdf5 *file, const char *path,
    basalt_hdf5_attribute_fn each, void *context, basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_each_chunk(struct bs_hdf5 *file, const char *path,
    basalt_hdf5_chunk_fn each, void *context, basalt_error *err);
/* `options` are whole: all that the struct has. */
BS_MUST_USE basalt_status bs_hdf5_scan(struct bs_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct ArrowArrayStream *out_stream,
    basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_describe_table(
    struct bs_hdf5 *file, const char *path, basalt_hdf5_table_info *out_info, basalt_error *err);

/* A table that any number of threads read at once, each through a cursor of its own (table_cursor.c). The
 * window of the options is the scan's alone. */
struct bs_table;
struct bs_table_cursor;
BS_MUST_USE basalt_status bs_hdf5_table_open(struct bs_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct bs_table **out_table, basalt_error *err);
void bs_table_free(struct bs_table *table); /* NULL is fine; no cursor may be open */
BS_MUST_USE basalt_status bs_table_schema(
    const struct bs_table *table, struct ArrowSchema *out, basalt_error *err);
void bs_table_info(const struct bs_table *table, basalt_hdf5_table_info *out_info);
/* Of these columns, in that order; `columns` NULL: all. What it reads it reads on its caller's thread. */
BS_MUST_USE basalt_status bs_hdf5_cursor_open(struct bs_hdf5 *file, const struct bs_table *table,
    const size_t *columns, size_t column_count, struct bs_table_cursor **out_cursor,
    basalt_error *err);
void bs_cursor_close(struct bs_table_cursor *cursor); /* NULL is fine */
/* How many rows from `first` on one array should have: whole chunks, BS_TABLE_BATCH_BYTES or so. */
uint64_t bs_cursor_batch_rows(const struct bs_table_cursor *cursor, uint64_t first);
void bs_cursor_needs(const struct bs_table_cursor *cursor, basalt_hdf5_needs *out_needs);
/* Rows [first, first + count) as one struct array. */
BS_MUST_USE basalt_status bs_cursor_read(struct bs_table_cursor *cursor, uint64_t first,
    uint64_t count, struct ArrowArray *out, basalt_error *err);

/* What was learnt of the values of chunks (table_bounds.c). */
#define BS_BOUNDS_BYTES ((uint64_t)16 << 20)
BS_MUST_USE basalt_status bs_bounds_create(
    uint64_t bytes_max, struct basalt_hdf5_bounds **out_bounds, basalt_error *err);
void bs_bounds_free(struct basalt_hdf5_bounds *bounds); /* NULL is fine */

/* Rows by their values (table_where.c). */
BS_MUST_USE basalt_status bs_cursor_set_ranges(struct bs_table_cursor *cursor,
    const basalt_hdf5_range *ranges, size_t range_count, basalt_error *err);
BS_MUST_USE basalt_status bs_cursor_find(struct bs_table_cursor *cursor, uint64_t first,
    uint64_t end, uint64_t step, basalt_hdf5_found *out_found, basalt_error *err);

/* One dataset, whose elements are read into memory (hdf5_dataset.c). */
struct bs_hdf5_dataset;
BS_MUST_USE basalt_status bs_hdf5_dataset_open(struct bs_hdf5 *file, const char *path,
    struct bs_hdf5_dataset **out_dataset, basalt_error *err);
void bs_hdf5_dataset_close(struct bs_hdf5_dataset *dataset); /* NULL is fine */
void bs_hdf5_dataset_info(const struct bs_hdf5_dataset *dataset, basalt_hdf5_shape *out_shape);
BS_MUST_USE basalt_status bs_hdf5_read_size(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, uint64_t *out_count, uint64_t *out_element_bytes,
    basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_read(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, void *out, uint64_t out_bytes, basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_read_variable(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, basalt_hdf5_element_fn each, void *context,
    basalt_error *err);
BS_MUST_USE basalt_status bs_hdf5_dataset_resolve(const struct bs_hdf5_dataset *dataset,
    const basalt_hdf5_read_options *options, const void *element, basalt_hdf5_target *out_target,
    basalt_error *err);
void bs_hdf5_target_release(basalt_hdf5_target *target);
BS_MUST_USE basalt_status bs_hdf5_map(
    const struct bs_hdf5_dataset *dataset, struct bs_file_map *out_map, basalt_error *err);
void bs_hdf5_unmap(const struct bs_hdf5_dataset *dataset, struct bs_file_map *map);
void bs_hdf5_get_stats(struct bs_hdf5 *file, basalt_hdf5_stats *out_stats);

#endif
