/* inspect.c - what is in files: hdf5_ls, hdf5_attributes, hdf5_chunks; and in those that Basalt made:
 * basalt_families, basalt_stats. Each row says of which file it tells. */
#include "listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- hdf5_ls -------------------------------------------------------------------------------- */

static const struct listing_column ls_columns[] = {{"path", CELL_TEXT}, {"kind", CELL_TEXT},
    {"type", CELL_TEXT}, {"shape", CELL_NUMBERS}, {"max_shape", CELL_NUMBERS},
    {"layout", CELL_TEXT}, {"chunks", CELL_NUMBERS}, {"filters", CELL_TEXT},
    {"raw_bytes", CELL_NUMBER}, {"stored_bytes", CELL_NUMBER}, {"attributes", CELL_NUMBER},
    {"target", CELL_TEXT}, {"filename", CELL_TEXT}};

struct ls {
    struct listing *listing;
    const char *file;
};

static const char *text_or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static bool add_entry(void *context, const basalt_hdf5_entry *entry)
{
    static const char *const kinds[] = {"group", "dataset", "type", "soft link", "external link"};
    const struct ls *ls = context;
    struct listing *listing = ls->listing;
    const bool is_dataset = entry->kind == BASALT_HDF5_DATASET && entry->layout && *entry->layout;
    const bool is_chunked = is_dataset && !strcmp(entry->layout, "chunked");
    add_text(listing, entry->path);
    add_text(listing, kinds[entry->kind]);
    add_text(listing, text_or_null(entry->type));
    if (is_dataset) {
        add_numbers(listing, entry->dims, entry->rank);
        add_numbers(listing, entry->max_dims, entry->rank);
    } else {
        add_null(listing);
        add_null(listing);
    }
    add_text(listing, text_or_null(entry->layout));
    if (is_chunked) {
        add_numbers(listing, entry->chunk_dims, entry->rank);
    } else {
        add_null(listing);
    }
    add_text(listing, is_dataset ? entry->filters : NULL);
    if (is_dataset) {
        add_number(listing, entry->raw_bytes);
        add_number(listing, entry->stored_bytes);
    } else {
        add_null(listing);
        add_null(listing);
    }
    add_number(listing, entry->attributes);
    add_text(listing, text_or_null(entry->target));
    add_text(listing, ls->file);
    return !listing->failed;
}

static bool look_ls(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    basalt_hdf5 *file = NULL;
    basalt_error error = {0};
    struct ls ls = {listing, path};
    basalt_status status = basalt_hdf5_open(path, &file, &error);
    if (!status) status = basalt_hdf5_walk(file, inside, UINT32_MAX, add_entry, &ls, &error);
    basalt_hdf5_close(&file);
    return status ? fail_file(failure, path, &error) : true;
}

static void bind_ls(duckdb_bind_info info)
{
    char *inside = NULL;
    if (!request_text(info, "path", &inside)) return;
    if (!inside) inside = copy_text("/");
    listing_bind_files(info, ls_columns, COUNT_OF(ls_columns), inside, look_ls);
}

/* ---- hdf5_attributes ------------------------------------------------------------------------ */

static const struct listing_column attribute_columns[] = {
    {"name", CELL_TEXT}, {"type", CELL_TEXT}, {"value", CELL_TEXT}, {"filename", CELL_TEXT}};

static bool add_attribute(void *context, const char *name, const char *type, const char *value)
{
    const struct ls *ls = context;
    add_text(ls->listing, name);
    add_text(ls->listing, type);
    add_text(ls->listing, value);
    add_text(ls->listing, ls->file);
    return !ls->listing->failed;
}

static bool look_attributes(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    basalt_hdf5 *file = NULL;
    basalt_error error = {0};
    struct ls ls = {listing, path};
    basalt_status status = basalt_hdf5_open(path, &file, &error);
    if (!status) status = basalt_hdf5_each_attribute(file, inside, add_attribute, &ls, &error);
    basalt_hdf5_close(&file);
    return status ? fail_file(failure, path, &error) : true;
}

static void bind_attributes(duckdb_bind_info info)
{
    char *inside = NULL;
    if (!request_place(info, 1, &inside)) return;
    listing_bind_files(
        info, attribute_columns, COUNT_OF(attribute_columns), inside, look_attributes);
}

/* ---- hdf5_chunks ---------------------------------------------------------------------------- */

static const struct listing_column chunk_columns[] = {{"start", CELL_NUMBERS},
    {"file_offset", CELL_NUMBER}, {"stored_bytes", CELL_NUMBER}, {"filter_mask", CELL_NUMBER},
    {"null_count", CELL_NUMBER}, {"has_nan", CELL_FLAG}, {"min", CELL_TEXT}, {"max", CELL_TEXT},
    {"filename", CELL_TEXT}};

/* As text: its type is the dataset's. */
static void add_bound(struct listing *listing, const basalt_hdf5_bound *bound)
{
    char text[40];
    switch (bound->kind) {
    case BASALT_HDF5_BOUND_SIGNED:
        snprintf(text, sizeof text, "%" PRId64, bound->value.as_signed);
        break;
    case BASALT_HDF5_BOUND_UNSIGNED:
        snprintf(text, sizeof text, "%" PRIu64, bound->value.as_unsigned);
        break;
    case BASALT_HDF5_BOUND_FLOAT:
        for (int digits = 15; digits <= 17; digits++) { /* as few as give the same number back */
            snprintf(text, sizeof text, "%.*g", digits, bound->value.as_float);
            if (strtod(text, NULL) == bound->value.as_float) break;
        }
        break;
    default: add_null(listing); return;
    }
    add_text(listing, text);
}

static void add_statistics(struct listing *listing, const basalt_hdf5_chunk *chunk)
{
    if (!chunk->has_statistics) {
        for (unsigned i = 0; i < 4; i++) add_null(listing);
        return;
    }
    add_number(listing, chunk->null_count);
    add_flag(listing, chunk->has_nan);
    add_bound(listing, &chunk->min);
    add_bound(listing, &chunk->max);
}

static bool add_chunk(void *context, const basalt_hdf5_chunk *chunk)
{
    const struct ls *ls = context;
    add_numbers(ls->listing, chunk->offset, chunk->rank);
    add_number(ls->listing, chunk->file_offset);
    add_number(ls->listing, chunk->stored_bytes);
    add_number(ls->listing, chunk->filter_mask);
    add_statistics(ls->listing, chunk);
    add_text(ls->listing, ls->file);
    return !ls->listing->failed;
}

static bool look_chunks(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    basalt_hdf5 *file = NULL;
    basalt_error error = {0};
    struct ls ls = {listing, path};
    basalt_status status = basalt_hdf5_open(path, &file, &error);
    if (!status) status = basalt_hdf5_each_chunk(file, inside, add_chunk, &ls, &error);
    basalt_hdf5_close(&file);
    return status ? fail_file(failure, path, &error) : true;
}

static void bind_chunks(duckdb_bind_info info)
{
    char *inside = NULL;
    if (!request_place(info, 1, &inside)) return;
    listing_bind_files(info, chunk_columns, COUNT_OF(chunk_columns), inside, look_chunks);
}

/* ---- basalt_families, basalt_stats ---------------------------------------------------------- */

static const struct listing_column family_columns[] = {{"family", CELL_TEXT}, {"rows", CELL_NUMBER},
    {"columns", CELL_NUMBER}, {"chunk_rows", CELL_NUMBER}, {"compression_level", CELL_NUMBER},
    {"filename", CELL_TEXT}};

static bool add_family(void *context, const basalt_family_info *info)
{
    const struct ls *ls = context;
    add_text(ls->listing, info->name);
    add_number(ls->listing, info->rows);
    add_number(ls->listing, info->columns);
    add_number(ls->listing, info->chunk_rows);
    add_number(ls->listing, (uint64_t)info->compression_level);
    add_text(ls->listing, ls->file);
    return !ls->listing->failed;
}

/* As the last checkpoint shows it: that is what read_hdf5 reads. */
static basalt_status open_store(const char *path, basalt_store **out_store, basalt_error *err)
{
    basalt_store_options options;
    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_READ_CHECKPOINT;
    return basalt_store_open(path, &options, out_store, err);
}

static bool look_families(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    basalt_store *store = NULL;
    basalt_error error = {0};
    struct ls ls = {listing, path};
    (void)inside;
    basalt_status status = open_store(path, &store, &error);
    if (!status) status = basalt_each_family(store, add_family, &ls, &error);
    if (store) {
        const basalt_status closed = basalt_store_close(&store, status ? NULL : &error);
        if (!status) status = closed;
    }
    return status ? fail_file(failure, path, &error) : true;
}

static void bind_families(duckdb_bind_info info)
{
    listing_bind_files(info, family_columns, COUNT_OF(family_columns), NULL, look_families);
}

static const struct listing_column stats_columns[] = {{"writing", CELL_FLAG},
    {"crashed", CELL_FLAG}, {"holder", CELL_TEXT}, {"warning", CELL_TEXT}, {"commit", CELL_NUMBER},
    {"families", CELL_NUMBER}, {"rows", CELL_NUMBER}, {"file_bytes", CELL_NUMBER},
    {"log_bytes", CELL_NUMBER}, {"log_files", CELL_NUMBER}, {"filename", CELL_TEXT}};

static bool look_stats(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    basalt_store *store = NULL;
    basalt_error error = {0};
    basalt_store_stats stats = {0};
    basalt_inspection found = {0};
    (void)inside;
    basalt_status status = basalt_inspect(path, &found, &error);
    if (!status) status = open_store(path, &store, &error);
    if (!status) status = basalt_store_get_stats(store, &stats, &error);
    if (store) {
        const basalt_status closed = basalt_store_close(&store, status ? NULL : &error);
        if (!status) status = closed;
    }
    if (status) return fail_file(failure, path, &error);
    add_flag(listing, found.writing);
    add_flag(listing, found.crashed);
    add_text(listing, text_or_null(found.holder));
    add_text(listing, text_or_null(found.warning));
    add_number(listing, found.commit_number);
    add_number(listing, stats.families);
    add_number(listing, stats.rows);
    add_number(listing, found.file_bytes);
    add_number(listing, found.log_bytes);
    add_number(listing, found.log_files);
    add_text(listing, path);
    return true;
}

static void bind_stats(duckdb_bind_info info)
{
    listing_bind_files(info, stats_columns, COUNT_OF(stats_columns), NULL, look_stats);
}

bool register_inspect(duckdb_connection connection)
{
    duckdb_table_function ls = listing_function("hdf5_ls", 1, bind_ls);
    add_named_parameter(ls, "path", DUCKDB_TYPE_VARCHAR);
    return register_and_free(connection, ls) &&
        register_and_free(connection, listing_function("hdf5_attributes", 2, bind_attributes)) &&
        register_and_free(connection, listing_function("hdf5_chunks", 2, bind_chunks)) &&
        register_and_free(connection, listing_function("basalt_families", 1, bind_families)) &&
        register_and_free(connection, listing_function("basalt_stats", 1, bind_stats));
}
