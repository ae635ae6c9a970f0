/* parameters.c - the parameters that all scans have. */
#include "counters.h"
#include "scan.h"

#include <stdlib.h>

static bool take_flag(duckdb_bind_info info, const char *name, bool otherwise)
{
    duckdb_value value = duckdb_bind_get_named_parameter(info, name);
    const bool flag = value && !duckdb_is_null_value(value) ? duckdb_get_bool(value) : otherwise;
    duckdb_destroy_value(&value);
    return flag;
}

static int64_t take_number(duckdb_bind_info info, const char *name, int64_t otherwise)
{
    duckdb_value value = duckdb_bind_get_named_parameter(info, name);
    const int64_t number =
        value && !duckdb_is_null_value(value) ? duckdb_get_int64(value) : otherwise;
    duckdb_destroy_value(&value);
    return number;
}

/* Creates *out_text; NULL if it was not given. */
static bool take_text(
    duckdb_bind_info info, const char *name, char **out_text, struct failure *failure)
{
    duckdb_value value = duckdb_bind_get_named_parameter(info, name);
    bool fine = true;
    *out_text = NULL;
    if (value && !duckdb_is_null_value(value)) {
        char *text = duckdb_get_varchar(value);
        *out_text = text ? copy_text(text) : NULL;
        fine = *out_text ? true : fail_memory(failure);
        duckdb_free(text);
    }
    duckdb_destroy_value(&value);
    return fine;
}

/* "'a', 'b' or 'c'" */
static void join_words(const char *const *words, size_t count, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < count && used < out_bytes; i++) {
        const char *before = i == 0 ? "" : i + 1 == count ? " or " : ", ";
        const int added = snprintf(out + used, out_bytes - used, "%s'%s'", before, words[i]);
        used += added > 0 ? (size_t)added : 0;
    }
}

/* Which of the words the parameter is; 0 if it was not given. */
static bool take_word(duckdb_bind_info info, const char *name, const char *const *words,
    size_t count, size_t *out_index, struct failure *failure)
{
    char *text = NULL;
    *out_index = 0;
    if (!take_text(info, name, &text, failure)) return false;
    bool fine = !text;
    for (size_t i = 0; text && i < count; i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *out_index = i;
        fine = true;
    }
    if (!fine) {
        char known[128];
        join_words(words, count, known, sizeof known);
        (void)fail(failure, "%s is '%.60s'; it may be %s", name, text, known);
    }
    free(text);
    return fine;
}

static bool take_place(duckdb_bind_info info, idx_t index, char **out_text, struct failure *failure)
{
    duckdb_value value = duckdb_bind_get_parameter(info, index);
    bool fine = value && !duckdb_is_null_value(value);
    *out_text = NULL;
    if (!fine) {
        (void)fail(failure, "parameter %u is NULL", (unsigned)index + 1);
    } else {
        char *text = duckdb_get_varchar(value);
        *out_text = text ? copy_text(text) : NULL;
        fine = *out_text ? true : fail_memory(failure);
        duckdb_free(text);
    }
    duckdb_destroy_value(&value);
    return fine;
}

static bool fill(duckdb_bind_info info, struct scan_request *request, struct failure *failure)
{
    static const char *const modes[] = {"intersection", "union"};
    const idx_t count = duckdb_bind_get_parameter_count(info);
    size_t mode = 0;
    duckdb_value files = duckdb_bind_get_parameter(info, 0);
    const bool fine = files_of(files, &request->files, failure);
    duckdb_destroy_value(&files);
    if (!fine) return false;
    if (count > 1 && !take_place(info, 1, &request->path, failure)) return false;
    if (count > 2 && !take_place(info, 2, &request->argument, failure)) return false;
    if (!take_word(info, "schema_mode", modes, COUNT_OF(modes), &mode, failure)) return false;
    request->union_schema = mode == 1;
    request->filename = take_flag(info, "filename", false);
    request->row_number = take_flag(info, "file_row_number", false);
    request->decode_times = take_flag(info, "decode_times", true);
    if (take_flag(info, "unit_times", false)) request->units = BASALT_HDF5_UNITS_ALL;
    if (!request->decode_times) request->units = BASALT_HDF5_UNITS_NONE;
    request->start = take_number(info, "start", 0);
    request->stop = take_number(info, "stop", INT64_MAX);
    const int64_t step = take_number(info, "step", 1);
    if (step < 1) return fail(failure, "step is %" PRId64 "; it must be 1 or more", step);
    request->step = (uint64_t)step;
    return where_take(info, &request->where, failure);
}

struct scan_extra {                 /* of a function */
    struct scan_counters *counters; /* held */
    const void *about;
};

static void extra_free(void *data)
{
    struct scan_extra *extra = data;
    counters_release(extra->counters);
    free(extra);
}

struct scan_request *request_new(duckdb_bind_info info)
{
    struct failure failure = {""};
    struct scan_request *request = calloc(1, sizeof *request);
    if (!request) {
        duckdb_bind_set_error(info, "there is not enough memory");
        return NULL;
    }
    const struct scan_extra *extra = duckdb_bind_get_extra_info(info);
    request->counters = counters_hold(extra->counters);
    request->about = extra->about;
    memory_of_query(info, &request->budget_bytes, &request->threads);
    request->open = open_table;
    if (fill(info, request, &failure)) return request;
    duckdb_bind_set_error(info, failure.message);
    request_free(request);
    return NULL;
}

bool request_word(duckdb_bind_info info, const char *name, const char *const *words, size_t count,
    size_t *out_index)
{
    struct failure failure = {""};
    if (take_word(info, name, words, count, out_index, &failure)) return true;
    duckdb_bind_set_error(info, failure.message);
    return false;
}

bool request_text(duckdb_bind_info info, const char *name, char **out_text)
{
    struct failure failure = {""};
    if (take_text(info, name, out_text, &failure)) return true;
    duckdb_bind_set_error(info, failure.message);
    return false;
}

bool request_place(duckdb_bind_info info, idx_t index, char **out_text)
{
    struct failure failure = {""};
    if (take_place(info, index, out_text, &failure)) return true;
    duckdb_bind_set_error(info, failure.message);
    return false;
}

/* ---- registration --------------------------------------------------------------------------- */

void add_named_parameter(duckdb_table_function function, const char *name, duckdb_type type)
{
    duckdb_logical_type made = duckdb_create_logical_type(type);
    duckdb_table_function_add_named_parameter(function, name, made);
    duckdb_destroy_logical_type(&made);
}

duckdb_table_function make_function(
    const char *name, unsigned parameters, duckdb_table_function_bind_t bind)
{
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_table_function_set_name(function, name);
    for (unsigned i = 0; i < parameters; i++) { /* the first: a text or a list of texts */
        duckdb_logical_type type =
            duckdb_create_logical_type(i ? DUCKDB_TYPE_VARCHAR : DUCKDB_TYPE_ANY);
        duckdb_table_function_add_parameter(function, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_table_function_set_bind(function, bind);
    return function;
}

duckdb_table_function scan_function(struct scan_counters *counters, const char *name,
    unsigned parameters, duckdb_table_function_bind_t bind, const void *about)
{
    struct scan_extra *extra = calloc(1, sizeof *extra);
    if (!extra) return NULL;
    duckdb_table_function function = make_function(name, parameters, bind);
    *extra = (struct scan_extra){counters_hold(counters), about};
    duckdb_table_function_set_extra_info(function, extra, extra_free);
    add_named_parameter(function, "filename", DUCKDB_TYPE_BOOLEAN);
    add_named_parameter(function, "file_row_number", DUCKDB_TYPE_BOOLEAN);
    add_named_parameter(function, "decode_times", DUCKDB_TYPE_BOOLEAN);
    add_named_parameter(function, "unit_times", DUCKDB_TYPE_BOOLEAN);
    add_named_parameter(function, "schema_mode", DUCKDB_TYPE_VARCHAR);
    add_named_parameter(function, "start", DUCKDB_TYPE_BIGINT);
    add_named_parameter(function, "stop", DUCKDB_TYPE_BIGINT);
    add_named_parameter(function, "step", DUCKDB_TYPE_BIGINT);
    add_named_parameter(function, "where_column", DUCKDB_TYPE_ANY);
    add_named_parameter(function, "min", DUCKDB_TYPE_ANY);
    add_named_parameter(function, "max", DUCKDB_TYPE_ANY);
    duckdb_table_function_set_init(function, scan_init);
    duckdb_table_function_set_local_init(function, scan_init_thread);
    duckdb_table_function_set_function(function, scan_rows);
    duckdb_table_function_supports_projection_pushdown(function, true);
    return function;
}

bool register_and_free(duckdb_connection connection, duckdb_table_function function)
{
    const bool fine = duckdb_register_table_function(connection, function) != DuckDBError;
    duckdb_destroy_table_function(&function);
    return fine;
}
