/* anndata.c - anndata_scan_*: the parts of an AnnData file as tables, of every generation of the format.
 *
 *   _obs, _var, _raw_var              obs_idx or var_idx, then the frame's columns
 *   _x, _layers, _raw_x               obs_idx, then a column for each variable, by its name; or, with
 *                                     format := 'long', a row for each stored entry: obs, var, value, or
 *                                     format := 'coo', the same by numbers: obs_idx, var_idx, value
 *   _obsm, _varm, _raw_varm           obs_idx or var_idx, then MATRIX_0, MATRIX_1 …, or a frame's columns
 *   _obsp, _varp                      a row for each stored entry: obs_idx_1, obs_idx_2, value
 * Files of before version 0.7 have "raw.X" for "raw/X", records for frames, and in obsm and varm records of
 * arrays: there a matrix is one column, an ARRAY. */
#include "anndata.h"

#include <stdlib.h>

struct about { /* of a function: which part it is of */
    const char *name;
    const char *path, *old_path; /* of the frame or the matrix, or of the group that it is in */
    const char *rows, *columns;  /* of a matrix: "obs" … */
    const char *row_name;        /* "obs_idx" … */
    const char *columns_frame, *columns_old; /* whose index names the columns */
    unsigned parameters;
    duckdb_table_function_bind_t bind;
};

static const struct about *about_of(const struct scan_request *request)
{
    return request->about;
}

static bool missing(struct failure *failure, const struct scan_part *part, const char *path)
{
    return fail(failure, "%s: there is no \"%s\"", part->path, path);
}

/* The path of what is asked for: a group's member, or the thing itself. */
static void whole_path(
    const struct scan_part *part, const struct scan_request *request, char *out, size_t out_bytes)
{
    const struct about *about = about_of(request);
    const char *path = path_of(part->file, about->path, about->old_path);
    if (request->path) {
        snprintf(out, out_bytes, "%s/%s", path, request->path);
    } else {
        snprintf(out, out_bytes, "%s", path);
    }
}

static bool open_path(struct scan_part *part, const struct scan_request *request, const char *path,
    basalt_hdf5_layout layout, struct failure *failure)
{
    struct scan_request named = *request;
    char copy[1024];
    snprintf(copy, sizeof copy, "%s", path);
    named.path = copy;
    named.layout = layout;
    if (!path_exists(part->file, path)) return missing(failure, part, path);
    return open_table(part, &named, failure);
}

/* ---- frames --------------------------------------------------------------------------------- */

static bool open_frame(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    char path[1024];
    whole_path(part, request, path, sizeof path);
    return open_path(part, request, path, BASALT_HDF5_LAYOUT_AUTO, failure);
}

/* ---- matrices, wide ------------------------------------------------------------------------- */

/* Columns of a dense matrix: its first is the row's number, which the scan has by itself. */
static bool open_dense_wide(struct scan_part *part, const struct scan_request *request,
    const char *path, struct failure *failure)
{
    if (!open_path(part, request, path, BASALT_HDF5_LAYOUT_WIDE, failure)) return false;
    free(part->columns[0].name);
    part->columns[0].name = NULL;
    return true;
}

static bool open_wide(struct scan_part *part, const struct scan_request *request, const char *path,
    const struct matrix_shape *shape, size_t *out_first, struct failure *failure)
{
    *out_first = shape->kind == MATRIX_DENSE;
    return shape->kind == MATRIX_DENSE ? open_dense_wide(part, request, path, failure)
                                       : matrix_open_wide(part, path, shape, failure);
}

static bool check_labels(const struct scan_part *part, const struct labels *labels, uint64_t count,
    const char *of, struct failure *failure)
{
    if (labels->count == count) return true;
    return fail(failure, "%s: the matrix has %" PRIu64 " %s, but there are names for %zu",
        part->path, count, of, labels->count);
}

static bool load_columns(struct scan_part *part, const struct scan_request *request,
    uint64_t columns, struct failure *failure)
{
    const struct about *about = about_of(request);
    const char *frame = path_of(part->file, about->columns_frame, about->columns_old);
    return labels_load(
               part->file, part->path, frame, request->argument, true, &part->minor, failure) &&
        check_labels(part, &part->minor, columns, about->columns, failure);
}

/* False, and `failure` says why, for what is no matrix. */
static bool find_matrix(const struct scan_part *part, const char *path,
    struct matrix_shape *out_shape, struct failure *failure)
{
    if (!matrix_look(part->file, part->path, path, out_shape, failure)) return false;
    if (out_shape->kind != MATRIX_NONE) return true;
    return path_exists(part->file, path)
        ? fail(failure, "%s: \"%s\" is no matrix", part->path, path)
        : missing(failure, part, path);
}

static bool open_x_wide(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    char path[1024];
    struct matrix_shape shape;
    size_t first;
    whole_path(part, request, path, sizeof path);
    if (!find_matrix(part, path, &shape, failure)) return false;
    return open_wide(part, request, path, &shape, &first, failure) &&
        load_columns(part, request, shape.columns, failure) &&
        rename_columns(part, first, &part->minor, failure);
}

/* ---- matrices, long ------------------------------------------------------------------------- */

static bool set_column(struct part_column *column, enum part_column_kind kind, const char *name,
    const struct labels *labels)
{
    column->kind = kind;
    free(column->name);
    column->name = copy_text(name);
    column->labels = labels;
    return column->name != NULL;
}

/* A row for each entry of a sparse matrix, for each element of a dense one; named by labels or numbers. */
static bool open_entries(struct scan_part *part, const struct scan_request *request,
    const char *path, const struct matrix_shape *shape, const char *const names[3],
    const struct labels *rows, const struct labels *columns, struct failure *failure)
{
    const bool dense = shape->kind == MATRIX_DENSE;
    const basalt_hdf5_layout layout = !dense ? BASALT_HDF5_LAYOUT_AUTO
        : shape->columns                     ? BASALT_HDF5_LAYOUT_PLAIN
                         : BASALT_HDF5_LAYOUT_WIDE; /* its rows have no values */
    if (!open_path(part, request, path, layout, failure)) return false;
    if (dense) {
        struct part_column *larger = realloc(part->columns, 3 * sizeof *larger);
        if (!larger) return fail_memory(failure);
        memset(larger + 1, 0, 2 * sizeof *larger);
        part->columns = larger;
        part->column_count = 3;
        part->exploded = shape->columns > 0;
        part->explode = MAX_OF(shape->columns, 1);
        if (!shape->columns) part->rows = 0;
    }
    const bool fine = part->column_count == 3 &&
        set_column(&part->columns[0], dense ? PART_MAJOR : PART_INDEX, names[0], rows) &&
        set_column(&part->columns[1], dense ? PART_MINOR : PART_INDEX, names[1], columns) &&
        set_column(&part->columns[2], PART_VALUES, names[2], NULL);
    if (dense) part->columns[2].table = 0;
    return fine ? true : fail_memory(failure);
}

static bool open_x_long(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    static const char *const names[] = {"obs", "var", "value"};
    char path[1024];
    struct matrix_shape shape;
    whole_path(part, request, path, sizeof path);
    if (!find_matrix(part, path, &shape, failure)) return false;
    return load_columns(part, request, shape.columns, failure) &&
        labels_load(part->file, part->path, "/obs", NULL, false, &part->major, failure) &&
        check_labels(part, &part->major, shape.rows, "obs", failure) &&
        open_entries(part, request, path, &shape, names, &part->major, &part->minor, failure);
}

/* The same by numbers, which join with obs_idx and var_idx of the frames without a text in between. */
static bool open_x_coo(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    static const char *const names[] = {"obs_idx", "var_idx", "value"};
    char path[1024];
    struct matrix_shape shape;
    whole_path(part, request, path, sizeof path);
    return find_matrix(part, path, &shape, failure) &&
        open_entries(part, request, path, &shape, names, NULL, NULL, failure);
}

static bool open_pairs(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    const struct about *about = about_of(request);
    char path[1024], first[32], second[32];
    const char *const names[] = {first, second, "value"};
    struct matrix_shape shape;
    snprintf(first, sizeof first, "%s_idx_1", about->rows);
    snprintf(second, sizeof second, "%s_idx_2", about->rows);
    whole_path(part, request, path, sizeof path);
    if (!matrix_look(part->file, part->path, path, &shape, failure)) return false;
    if (shape.kind == MATRIX_NONE) return missing(failure, part, path);
    return open_entries(part, request, path, &shape, names, NULL, NULL, failure);
}

/* ---- obsm, varm ----------------------------------------------------------------------------- */

static bool name_dims(
    struct scan_part *part, size_t first, const char *name, uint64_t count, struct failure *failure)
{
    const size_t room = strlen(name) + 24;
    part->minor.texts = calloc(count + 1, sizeof *part->minor.texts);
    for (uint64_t i = 0; part->minor.texts && i < count; i++) {
        char *text = malloc(room);
        if (!text) return fail_memory(failure);
        snprintf(text, room, "%s_%" PRIu64, name, i);
        part->minor.texts[part->minor.count++] = text;
    }
    if (!part->minor.texts) return fail_memory(failure);
    return rename_columns(part, first, &part->minor, failure);
}

/* Records of arrays: one member is shown. */
static bool open_member(struct scan_part *part, const struct scan_request *request,
    const char *group, struct failure *failure)
{
    bool found = false;
    if (!open_path(part, request, group, BASALT_HDF5_LAYOUT_AUTO, failure)) return false;
    for (size_t i = 0; i < part->column_count; i++) {
        if (!strcmp(part->schema.children[i]->name, request->path)) {
            found = true;
            continue;
        }
        free(part->columns[i].name);
        part->columns[i].name = NULL;
    }
    return found
        ? true
        : fail(failure, "%s: there is no \"%s\" in \"%s\"", part->path, request->path, group);
}

static bool open_multi(
    struct scan_part *part, const struct scan_request *request, struct failure *failure)
{
    const struct about *about = about_of(request);
    const char *group = path_of(part->file, about->path, about->old_path);
    char path[1024];
    struct matrix_shape shape;
    size_t first;
    basalt_hdf5_dataset *records = NULL;
    if (!basalt_hdf5_dataset_open(part->file, group, &records, NULL)) {
        basalt_hdf5_dataset_close(&records);
        return open_member(part, request, group, failure);
    }
    whole_path(part, request, path, sizeof path);
    if (!matrix_look(part->file, part->path, path, &shape, failure)) return false;
    if (shape.kind == MATRIX_NONE) {
        return open_path(part, request, path, BASALT_HDF5_LAYOUT_AUTO, failure);
    }
    return open_wide(part, request, path, &shape, &first, failure) &&
        name_dims(part, first, request->path, shape.columns, failure);
}

/* ---- functions ------------------------------------------------------------------------------ */

static void bind_rows(duckdb_bind_info info, open_part_fn *open)
{
    struct scan_request *request = request_new(info);
    if (!request) return;
    request->row_name = about_of(request)->row_name;
    request->open = open;
    scan_bind(info, request);
}

static void bind_frame(duckdb_bind_info info)
{
    bind_rows(info, open_frame);
}

static void bind_multi(duckdb_bind_info info)
{
    bind_rows(info, open_multi);
}

static void bind_matrix(duckdb_bind_info info)
{
    static const char *const formats[] = {"wide", "long", "coo"};
    static open_part_fn *const opens[] = {open_x_wide, open_x_long, open_x_coo};
    size_t format = 0;
    struct scan_request *request = request_new(info);
    if (!request) return;
    if (!request_word(info, "format", formats, COUNT_OF(formats), &format) ||
        !request_text(info, "var_name_column", &request->argument)) {
        request_free(request);
        return;
    }
    request->open = opens[format];
    if (request->open == open_x_wide) request->row_name = about_of(request)->row_name;
    if (request->open == open_x_coo && request->argument) {
        duckdb_bind_set_error(
            info, "format 'coo' gives numbers: var_name_column is of no use there");
        request_free(request);
        return;
    }
    scan_bind(info, request);
}

static void bind_pairs(duckdb_bind_info info)
{
    struct scan_request *request = request_new(info);
    if (!request) return;
    request->open = open_pairs;
    scan_bind(info, request);
}

static const struct about functions[] = {
    {"anndata_scan_obs", "/obs", "/obs", NULL, NULL, "obs_idx", NULL, NULL, 1, bind_frame},
    {"anndata_scan_var", "/var", "/var", NULL, NULL, "var_idx", NULL, NULL, 1, bind_frame},
    {"anndata_scan_raw_var", "/raw/var", "/raw.var", NULL, NULL, "var_idx", NULL, NULL, 1,
        bind_frame},
    {"anndata_scan_x", "/X", "/X", "obs", "var", "obs_idx", "/var", "/var", 1, bind_matrix},
    {"anndata_scan_raw_x", "/raw/X", "/raw.X", "obs", "var", "obs_idx", "/raw/var", "/raw.var", 1,
        bind_matrix},
    {"anndata_scan_layers", "/layers", "/layers", "obs", "var", "obs_idx", "/var", "/var", 2,
        bind_matrix},
    {"anndata_scan_obsm", "/obsm", "/obsm", "obs", NULL, "obs_idx", NULL, NULL, 2, bind_multi},
    {"anndata_scan_varm", "/varm", "/varm", "var", NULL, "var_idx", NULL, NULL, 2, bind_multi},
    {"anndata_scan_raw_varm", "/raw/varm", "/raw.varm", "var", NULL, "var_idx", NULL, NULL, 2,
        bind_multi},
    {"anndata_scan_obsp", "/obsp", "/obsp", "obs", NULL, NULL, NULL, NULL, 2, bind_pairs},
    {"anndata_scan_varp", "/varp", "/varp", "var", NULL, NULL, NULL, NULL, 2, bind_pairs},
};

bool register_anndata(duckdb_connection connection, struct scan_counters *counters)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++) {
        const struct about *about = &functions[i];
        duckdb_table_function function =
            scan_function(counters, about->name, about->parameters, about->bind, about);
        if (about->bind == bind_matrix) {
            add_named_parameter(function, "format", DUCKDB_TYPE_VARCHAR);
            add_named_parameter(function, "var_name_column", DUCKDB_TYPE_VARCHAR);
        }
        if (!register_and_free(connection, function)) return false;
    }
    return true;
}
