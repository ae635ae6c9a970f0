/* copy.c - COPY … TO 'x.h5' (FORMAT basalt): rows of a query as a family of a new file.
 *
 * DuckDB calls for one file from one thread at a time: chunks come in order, are gathered to batches,
 * and go to the store as they come, which writes behind them; so memory is a batch and what the store
 * holds back. The file gets its name when all of it is on disk (basalt/store.h, BASALT_REPLACE).
 * Whatever ends the statement before that, an error of the query, a cancel, a full disk, frees the state
 * here, and what was written goes with it.
 *
 * Where the target exists DuckDB itself hands over "tmp_NAME" beside it and renames that: so NAME is
 * looked at as well, before and after. */
#include "copy.h"

#include <stdlib.h>
#include <sys/stat.h>

struct copy {
    struct copy_plan *plan; /* held */
    char *path;
    basalt_store *store;
    struct copy_rows *rows;
    duckdb_vector *vectors;
    duckdb_vector record;          /* flat, of the chunk at hand; or NULL */
    duckdb_selection_vector whole; /* 0, 1, 2 … */
};

static void copy_free(void *data)
{
    struct copy *copy = data;
    if (!copy) return;
    if (copy->store && basalt_store_discard(&copy->store, NULL)) {
        /* Only a store that is in use elsewhere stays, or a forked child's: neither is this one. */
        copy->store = NULL;
    }
    if (copy->record) duckdb_destroy_vector(&copy->record);
    if (copy->whole) duckdb_destroy_selection_vector(copy->whole);
    copy_rows_free(copy->rows);
    copy_plan_release(copy->plan);
    free(copy->vectors);
    free(copy->path);
    free(copy);
}

/* The name that a file has while it is written is nobody's business. */
static bool fail_store(struct failure *failure, const struct copy *copy, basalt_error *error)
{
    static const char infix[] = ".part-";
    char *at = strstr(error->message, infix);
    if (at) {
        const char *rest = at + strlen(infix);
        rest += strspn(rest, "0123456789abcdef");
        memmove(at, rest, strlen(rest) + 1);
    }
    return fail_file(failure, copy->path, error);
}

/* ---- the target ----------------------------------------------------------------------------- */

/* What DuckDB will rename "tmp_NAME" to; NULL: nothing. To be freed. */
static char *renamed_to(const char *path)
{
    static const char prefix[] = "tmp_";
    const char *slash = strrchr(path, '/');
    const size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    struct stat found;
    if (strncmp(path + folder, prefix, strlen(prefix)) != 0) return NULL;
    char *to = copy_text(path);
    if (!to) return NULL;
    memmove(to + folder, to + folder + strlen(prefix), strlen(path + folder + strlen(prefix)) + 1);
    if (!to[folder] || lstat(to, &found)) {
        free(to);
        return NULL;
    }
    return to;
}

/* A file that a writer of Basalt has open, or whose log is beside it, must not be replaced. */
static bool check_renamed(const char *path, struct failure *failure)
{
    basalt_inspection found = {0};
    char *to = renamed_to(path);
    bool fine = true;
    if (to && !basalt_inspect(to, &found, NULL) && (found.writing || found.log_files)) {
        fine = fail(failure, "%s is a store that %s: it is not replaced", to,
            found.writing ? "somebody writes to" : "has a log beside it");
    }
    free(to);
    return fine;
}

static bool open_store(struct copy *copy, struct failure *failure)
{
    basalt_store_options options;
    basalt_error error = {0};
    struct stat found;
    if (!lstat(copy->path, &found) && !S_ISREG(found.st_mode)) {
        return fail(failure, "%s is no regular file: it is not replaced", copy->path);
    }
    if (!check_renamed(copy->path, failure)) return false;
    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_REPLACE;
    options.memtable_bytes_max = copy->plan->memory_bytes;
    if (basalt_store_open(copy->path, &options, &copy->store, &error) ||
        basalt_family_create(copy->store, copy->plan->family, copy_rows_schema(copy->rows),
            &copy->plan->options, &error)) {
        return fail_store(failure, copy, &error);
    }
    return true;
}

/* ---- the steps ------------------------------------------------------------------------------ */

static void bind(duckdb_copy_function_bind_info info)
{
    struct failure failure = {""};
    struct copy_plan *plan = copy_plan_new(info, &failure);
    if (plan) {
        duckdb_copy_function_bind_set_bind_data(info, plan, copy_plan_release);
    } else {
        duckdb_copy_function_bind_set_error(info, failure.message);
    }
}

static bool begin_record(struct copy *copy, struct failure *failure)
{
    copy->whole = duckdb_create_selection_vector(duckdb_vector_size());
    if (!copy->whole) return fail_memory(failure);
    sel_t *places = duckdb_selection_vector_get_data_ptr(copy->whole);
    for (idx_t i = 0; i < duckdb_vector_size(); i++) places[i] = (sel_t)i;
    return true;
}

static void begin(duckdb_copy_function_global_init_info info)
{
    struct failure failure = {""};
    struct copy_plan *plan = duckdb_copy_function_global_init_get_bind_data(info);
    struct copy *copy = calloc(1, sizeof *copy);
    if (!copy) {
        duckdb_copy_function_global_init_set_error(info, "there is not enough memory");
        return;
    }
    copy->plan = copy_plan_hold(plan);
    copy->path = copy_text(duckdb_copy_function_global_init_get_file_path(info));
    copy->rows = copy_rows_new(plan);
    copy->vectors = calloc(plan->column_count + 1, sizeof *copy->vectors);
    bool fine = copy->path && copy->rows && copy->vectors ? true : fail_memory(&failure);
    if (fine && plan->is_record) fine = begin_record(copy, &failure);
    if (fine) fine = open_store(copy, &failure);
    if (fine) {
        duckdb_copy_function_global_init_set_global_state(info, copy, copy_free);
    } else {
        copy_free(copy);
        duckdb_copy_function_global_init_set_error(info, failure.message);
    }
}

static bool write_batch(struct copy *copy, struct failure *failure)
{
    basalt_error error = {0};
    if (!copy_rows_count(copy->rows)) return true;
    if (basalt_append(copy->store, copy->plan->family, copy_rows_array(copy->rows), NULL,
            BASALT_VOLATILE, &error)) {
        return fail_store(failure, copy, &error);
    }
    copy_rows_clear(copy->rows);
    return true;
}

/* The fields of a record may be constants or parts of something: a copy is flat all through. */
static bool take_fields(struct copy *copy, duckdb_vector from, idx_t count, struct failure *failure)
{
    if (copy->record) duckdb_destroy_vector(&copy->record);
    copy->record = duckdb_create_vector(copy->plan->record, duckdb_vector_size());
    if (!copy->record) return fail_memory(failure);
    duckdb_vector_copy_sel(from, copy->record, copy->whole, count, 0, 0);
    for (size_t i = 0; i < copy->plan->column_count; i++) {
        copy->vectors[i] = duckdb_struct_vector_get_child(copy->record, i);
    }
    return true;
}

static bool take_chunk(struct copy *copy, duckdb_data_chunk chunk, struct failure *failure)
{
    const size_t expected = copy->plan->is_record ? 1 : copy->plan->column_count;
    const idx_t count = duckdb_data_chunk_get_size(chunk);
    const uint64_t *record = NULL;
    if (!copy->store) return fail(failure, "%s: the statement has ended already", copy->path);
    if (duckdb_data_chunk_get_column_count(chunk) != expected) {
        return fail(failure, "%s: DuckDB gives other columns than it said", copy->path);
    }
    if (copy->plan->is_record) {
        duckdb_vector whole = duckdb_data_chunk_get_vector(chunk, 0);
        if (!take_fields(copy, whole, count, failure)) return false;
        record = duckdb_vector_get_validity(copy->record);
    } else {
        for (size_t i = 0; i < expected; i++) {
            copy->vectors[i] = duckdb_data_chunk_get_vector(chunk, i);
        }
    }
    for (idx_t row = 0; row < count;) {
        if (!copy_rows_add(copy->rows, copy->vectors, record, count, &row, failure)) return false;
        if (copy_rows_full(copy->rows) && !write_batch(copy, failure)) return false;
    }
    return true;
}

static void sink(duckdb_copy_function_sink_info info, duckdb_data_chunk chunk)
{
    struct failure failure = {""};
    if (!take_chunk(duckdb_copy_function_sink_get_global_state(info), chunk, &failure)) {
        duckdb_copy_function_sink_set_error(info, failure.message);
    }
}

static void finish(duckdb_copy_function_finalize_info info)
{
    struct failure failure = {""};
    struct copy *copy = duckdb_copy_function_finalize_get_global_state(info);
    basalt_error error = {0};
    bool fine = write_batch(copy, &failure) && check_renamed(copy->path, &failure);
    if (fine && basalt_store_close(&copy->store, &error)) fine = fail_store(&failure, copy, &error);
    if (!fine) duckdb_copy_function_finalize_set_error(info, failure.message);
}

bool register_copy(duckdb_connection connection)
{
    if (!host_has_new_functions()) return true; /* DuckDB says that it knows no such format */
    duckdb_copy_function function = duckdb_create_copy_function();
    duckdb_copy_function_set_name(function, "basalt");
    duckdb_copy_function_set_bind(function, bind);
    duckdb_copy_function_set_global_init(function, begin);
    duckdb_copy_function_set_sink(function, sink);
    duckdb_copy_function_set_finalize(function, finish);
    const bool fine = duckdb_register_copy_function(connection, function) != DuckDBError;
    duckdb_destroy_copy_function(&function);
    return fine;
}
