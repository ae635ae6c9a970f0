/* read_hdf5.c - read_hdf5(files, path): a path of HDF5 files as a table; and FROM 'x.h5': the one table
 * that a file has. */
#include "extension.h"

#include <stdlib.h>
#include <strings.h>

static void bind(duckdb_bind_info info)
{
    static const char *const layouts[] = {"auto", "plain", "wide"};
    size_t layout = 0;
    struct scan_request *request = request_new(info);
    if (!request) return;
    if (!request_word(info, "layout", layouts, COUNT_OF(layouts), &layout)) {
        request_free(request);
        return;
    }
    request->layout = (basalt_hdf5_layout)layout;
    scan_bind(info, request);
}

/* ---- the one table of a file ---------------------------------------------------------------- */

#define TABLES_SHOWN 20

/* What is inside a table is not one of its own, but for groups in a plain group of datasets. */
struct tables {
    basalt_hdf5 *file;
    size_t count;
    unsigned inside; /* depth of the table at hand; UINT32_MAX: none */
    unsigned group;  /* the same of a plain group: its datasets are its columns */
    char first[512];
    char shown[700];
};

/* A group of which each dataset is a column. */
static bool is_whole(const struct tables *tables, const char *path)
{
    basalt_hdf5_table *table = NULL;
    struct ArrowSchema schema = {0};
    size_t bytes;
    bool whole = false;
    if (!basalt_hdf5_table_open(tables->file, path, NULL, &table, NULL) &&
        !basalt_hdf5_table_schema(table, &schema, NULL)) {
        whole = !metadata_find(schema.metadata, "basalt.left_out", &bytes);
    }
    if (schema.release) schema.release(&schema);
    basalt_hdf5_table_close(&table);
    return whole;
}

static bool note_table(void *context, const basalt_hdf5_entry *entry)
{
    struct tables *tables = context;
    basalt_hdf5_table_info info;
    const bool is_group = entry->kind == BASALT_HDF5_GROUP;
    if (entry->depth > tables->inside) return true;
    tables->inside = UINT32_MAX;
    if (entry->depth <= tables->group) tables->group = UINT32_MAX;
    if (!is_group && entry->kind != BASALT_HDF5_DATASET) return true;
    if (!is_group && tables->group != UINT32_MAX && entry->depth == tables->group + 1) return true;
    if (strstr(entry->path, "/.basalt")) return true; /* what Basalt keeps for itself */
    if (basalt_hdf5_describe_table(tables->file, entry->path, &info, NULL)) return true;
    if (is_group && !strcmp(info.kind, "group")) {
        if (!is_whole(tables, entry->path)) return true;
        tables->group = entry->depth;
    } else {
        tables->inside = entry->depth;
    }
    if (tables->count == 0) snprintf(tables->first, sizeof tables->first, "%s", entry->path);
    if (tables->count < TABLES_SHOWN) {
        const size_t used = strlen(tables->shown);
        snprintf(tables->shown + used, sizeof tables->shown - used, "%s\"%s\"",
            tables->count ? ", " : "", entry->path);
    }
    tables->count++;
    return true;
}

/* Opens what the request names, or the one table that the file has. */
static bool open_only(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    struct tables tables = {.file = part->file, .inside = UINT32_MAX, .group = UINT32_MAX};
    struct scan_request named = *request;
    basalt_error error = {0};
    if (basalt_hdf5_walk(part->file, "/", UINT32_MAX, note_table, &tables, &error)) {
        return fail_file(failure, part->path, &error);
    }
    if (tables.count != 1) {
        return fail(failure, "%s has %zu tables%s%s%s: say which with read_hdf5('%s', path)",
            part->path, tables.count, tables.count ? ": " : "", tables.shown,
            tables.count > TABLES_SHOWN ? ", …" : "", part->path);
    }
    named.path = tables.first;
    return open_table(part, &named, failure);
}

static void bind_only(duckdb_bind_info info)
{
    struct scan_request *request = request_new(info);
    if (!request) return;
    request->open = open_only;
    scan_bind(info, request);
}

static void replace(duckdb_replacement_scan_info info, const char *name, void *data)
{
    static const char *const endings[] = {
        ".h5", ".hdf5", ".he5", ".h5ad", ".nc", ".nc4", ".cdf", ".mat", ".nxs"};
    const size_t bytes = strlen(name);
    bool known = false;
    (void)data;
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        const size_t ending = strlen(endings[i]);
        known |= bytes > ending && !strcasecmp(name + bytes - ending, endings[i]);
    }
    if (!known) return;
    duckdb_value file = duckdb_create_varchar(name);
    duckdb_replacement_scan_set_function_name(info, "read_hdf5_table");
    duckdb_replacement_scan_add_parameter(info, file);
    duckdb_destroy_value(&file);
}

void register_replacement(duckdb_database database)
{
    duckdb_add_replacement_scan(database, replace, NULL, NULL);
}

bool register_read(duckdb_connection connection)
{
    duckdb_table_function function = scan_function("read_hdf5", 2, bind);
    add_named_parameter(function, "layout", DUCKDB_TYPE_VARCHAR);
    return register_and_free(connection, function) &&
        register_and_free(connection, scan_function("read_hdf5_table", 1, bind_only));
}
