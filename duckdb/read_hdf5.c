/* read_hdf5.c - read_hdf5(files, path): a path of HDF5 files as a table; FROM 'x.h5/path', which is the
 * same; and FROM 'x.h5': the one table that a file has. */
#include "contents.h"

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
#define FILE_BYTES_MAX 4096

struct tables {
    size_t count;
    char first[512];
    char shown[700];
};

static bool note_table(void *context, const char *path)
{
    struct tables *tables = context;
    if (tables->count == 0) snprintf(tables->first, sizeof tables->first, "%s", path);
    if (tables->count < TABLES_SHOWN) {
        const size_t used = strlen(tables->shown);
        snprintf(tables->shown + used, sizeof tables->shown - used, "%s\"%s\"",
            tables->count ? ", " : "", path);
    }
    tables->count++;
    return true;
}

/* Opens what the request names, or the one table that the file has. */
static bool open_only(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    struct tables tables = {0};
    struct scan_request named = *request;
    if (!each_table(part->file, part->path, note_table, &tables, failure)) return false;
    if (!tables.count) {
        return fail(failure, "%s has no table; hdf5_ls shows what it has", part->path);
    }
    if (tables.count > 1) {
        return fail(failure, "%s has %zu tables: %s%s: say which, as in read_hdf5(file, '%s')",
            part->path, tables.count, tables.shown, tables.count > TABLES_SHOWN ? ", …" : "",
            tables.first);
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

/* Whether the first `bytes` of `name` end as the name of a HDF5 file. */
static bool has_ending(const char *name, size_t bytes)
{
    static const char *const endings[] = {
        ".h5", ".hdf5", ".he5", ".h5ad", ".nc", ".nc4", ".cdf", ".mat", ".nxs"};
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        const size_t ending = strlen(endings[i]);
        if (bytes > ending && !strncasecmp(name + bytes - ending, endings[i], ending)) return true;
    }
    return false;
}

/* How much of "FILE/PATH" is the file: the longest part that ends as one and is one, or is a pattern.
 * 0: there is none. */
static size_t file_bytes(const char *name)
{
    for (size_t bytes = strlen(name); bytes > 0; bytes--) {
        char file[FILE_BYTES_MAX];
        if (name[bytes] && name[bytes] != '/') continue;
        if (bytes >= sizeof file || !has_ending(name, bytes)) continue;
        memcpy(file, name, bytes);
        file[bytes] = 0;
        if (is_file(file) || is_pattern(file)) return bytes;
    }
    return 0;
}

static void add_text_parameter(duckdb_replacement_scan_info info, const char *text, size_t bytes)
{
    duckdb_value value = duckdb_create_varchar_length(text, bytes);
    duckdb_replacement_scan_add_parameter(info, value);
    duckdb_destroy_value(&value);
}

/* FROM 'x.h5' and FROM 'x.h5/a/b'. */
static void replace(duckdb_replacement_scan_info info, const char *name, void *data)
{
    const size_t all = strlen(name), file = file_bytes(name);
    (void)data;
    if (file && file < all) {
        duckdb_replacement_scan_set_function_name(info, "read_hdf5");
        add_text_parameter(info, name, file);
        add_text_parameter(info, name + file, all - file);
    } else if (has_ending(name, all)) {
        duckdb_replacement_scan_set_function_name(info, "read_hdf5_table");
        add_text_parameter(info, name, all);
    }
}

void register_replacement(duckdb_database database)
{
    duckdb_add_replacement_scan(database, replace, NULL, NULL);
}

bool register_read(duckdb_connection connection, struct scan_counters *counters)
{
    duckdb_table_function function = scan_function(counters, "read_hdf5", 2, bind, NULL);
    add_named_parameter(function, "layout", DUCKDB_TYPE_VARCHAR);
    return register_and_free(connection, function) &&
        register_and_free(
            connection, scan_function(counters, "read_hdf5_table", 1, bind_only, NULL));
}
