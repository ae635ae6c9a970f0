/* copy_plan.c - what a COPY is to write: columns, their names and types, options.
 *
 * DuckDB's C API tells a COPY function the types of the columns, not their names. So they are given as an
 * option, or the query has one column, a record (STRUCT), whose fields have names. They are never made up:
 * a file with wrong names would look right. */
#include "copy.h"

#include <stdlib.h>
#include <strings.h>

#define MEMTABLE_BYTES_MIN ((uint64_t)4 << 20)
#define MEMTABLE_BYTES_MAX ((uint64_t)64 << 20)
#define CHUNK_ROWS_MAX ((int64_t)1 << 24)

struct copy_plan *copy_plan_hold(struct copy_plan *plan)
{
    atomic_fetch_add(&plan->holders, 1);
    return plan;
}

void copy_plan_release(void *data)
{
    struct copy_plan *plan = data;
    if (!plan || atomic_fetch_sub(&plan->holders, 1) > 1) return;
    for (size_t i = 0; i < plan->column_count; i++) {
        struct copy_column *column = &plan->columns[i];
        for (size_t k = 0; k < column->word_count; k++) duckdb_free(column->words[k]);
        free(column->words);
        free(column->name);
    }
    free(plan->columns);
    duckdb_destroy_logical_type(&plan->record);
    free(plan->family);
    free(plan);
}

/* ---- types ---------------------------------------------------------------------------------- */

static const struct known_type {
    duckdb_type type;
    const char *name;   /* of one that is not stored */
    const char *format; /* Arrow's, of one that is */
    size_t value_bytes;
} types[] = {
    {DUCKDB_TYPE_BOOLEAN, NULL, "b", 1},
    {DUCKDB_TYPE_TINYINT, NULL, "c", 1},
    {DUCKDB_TYPE_SMALLINT, NULL, "s", 2},
    {DUCKDB_TYPE_INTEGER, NULL, "i", 4},
    {DUCKDB_TYPE_BIGINT, NULL, "l", 8},
    {DUCKDB_TYPE_UTINYINT, NULL, "C", 1},
    {DUCKDB_TYPE_USMALLINT, NULL, "S", 2},
    {DUCKDB_TYPE_UINTEGER, NULL, "I", 4},
    {DUCKDB_TYPE_UBIGINT, NULL, "L", 8},
    {DUCKDB_TYPE_FLOAT, NULL, "f", 4},
    {DUCKDB_TYPE_DOUBLE, NULL, "g", 8},
    {DUCKDB_TYPE_DATE, NULL, "tdD", 4},
    {DUCKDB_TYPE_TIME, NULL, "ttu", 8},
    {DUCKDB_TYPE_TIME_NS, NULL, "ttn", 8},
    {DUCKDB_TYPE_TIMESTAMP, NULL, "tsu:", 8},
    {DUCKDB_TYPE_TIMESTAMP_S, NULL, "tss:", 8},
    {DUCKDB_TYPE_TIMESTAMP_MS, NULL, "tsm:", 8},
    {DUCKDB_TYPE_TIMESTAMP_NS, NULL, "tsn:", 8},
    {DUCKDB_TYPE_TIMESTAMP_TZ, NULL, "tsu:UTC", 8},
    {DUCKDB_TYPE_VARCHAR, NULL, "u", 0},
    {DUCKDB_TYPE_BLOB, NULL, "z", 0},
    {DUCKDB_TYPE_ENUM, NULL, "u", 0},
    {DUCKDB_TYPE_UUID, NULL, "u", 0},
    {DUCKDB_TYPE_INTERVAL, "INTERVAL", NULL, 0},
    {DUCKDB_TYPE_HUGEINT, "HUGEINT", NULL, 0},
    {DUCKDB_TYPE_UHUGEINT, "UHUGEINT", NULL, 0},
    {DUCKDB_TYPE_DECIMAL, "DECIMAL", NULL, 0},
    {DUCKDB_TYPE_LIST, "LIST", NULL, 0},
    {DUCKDB_TYPE_STRUCT, "STRUCT", NULL, 0},
    {DUCKDB_TYPE_MAP, "MAP", NULL, 0},
    {DUCKDB_TYPE_UNION, "UNION", NULL, 0},
    {DUCKDB_TYPE_ARRAY, "ARRAY", NULL, 0},
    {DUCKDB_TYPE_BIT, "BIT", NULL, 0},
    {DUCKDB_TYPE_TIME_TZ, "TIME WITH TIME ZONE", NULL, 0},
    {DUCKDB_TYPE_SQLNULL, "NULL", NULL, 0},
};

static bool take_words(
    struct copy_column *column, duckdb_logical_type type, struct failure *failure)
{
    const size_t count = duckdb_enum_dictionary_size(type);
    column->code_type = duckdb_enum_internal_type(type);
    column->words = calloc(count + 1, sizeof *column->words);
    if (!column->words) return fail_memory(failure);
    for (; column->word_count < count; column->word_count++) {
        char *word = duckdb_enum_dictionary_value(type, column->word_count);
        if (!word) return fail_memory(failure);
        column->words[column->word_count] = word;
    }
    return true;
}

static bool take_type(struct copy_column *column, duckdb_logical_type type, struct failure *failure)
{
    const struct known_type *known = NULL;
    column->type = duckdb_get_type_id(type);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (types[i].type == column->type) known = &types[i];
    }
    if (!known || !known->format) {
        return fail(failure,
            "column \"%.100s\" has the type %s, which Basalt does not store in a column: cast it, to "
            "DOUBLE or VARCHAR for example",
            column->name, known ? known->name : "of a newer DuckDB");
    }
    column->format = known->format;
    column->value_bytes = known->value_bytes;
    return column->type != DUCKDB_TYPE_ENUM || take_words(column, type, failure);
}

/* ---- options -------------------------------------------------------------------------------- */

static const char options_known[] =
    "columns, family, not_null, compression, compression_level, chunk_rows, row_index";

struct given {
    duckdb_value columns, not_null; /* NULL: not given */
};

static bool take_number(const char *name, duckdb_value value, int64_t low, int64_t high,
    int64_t *out_number, struct failure *failure)
{
    char *text = duckdb_get_varchar(value), *end = NULL;
    const long long number = text ? strtoll(text, &end, 10) : 0;
    const bool fine = text && end != text && !*end && number >= low && number <= high;
    if (!fine) {
        (void)fail(failure, "%s is %.40s; it may be %" PRId64 " to %" PRId64, name,
            text ? text : "NULL", low, high);
    }
    duckdb_free(text);
    *out_number = number;
    return fine;
}

static bool take_flag(const char *name, duckdb_value value, bool *out_flag, struct failure *failure)
{
    static const char *const words[] = {"false", "0", "true", "1"};
    *out_flag = true;
    if (duckdb_is_null_value(value)) return true; /* named without a value */
    char *text = duckdb_get_varchar(value);
    size_t found = COUNT_OF(words);
    for (size_t i = 0; text && i < COUNT_OF(words); i++) {
        if (!strcasecmp(text, words[i])) found = i;
    }
    if (found == COUNT_OF(words)) {
        (void)fail(failure, "%s is '%.40s'; it may be true or false", name, text ? text : "NULL");
    }
    duckdb_free(text);
    *out_flag = found >= 2;
    return found < COUNT_OF(words);
}

static bool take_family(struct copy_plan *plan, duckdb_value value, struct failure *failure)
{
    char *text = duckdb_is_null_value(value) ? NULL : duckdb_get_varchar(value);
    const bool fine = text && *text;
    free(plan->family);
    plan->family = fine ? copy_text(text) : NULL;
    duckdb_free(text);
    if (!fine) return fail(failure, "family is empty; it is the name of the group to write");
    return plan->family ? true : fail_memory(failure);
}

static bool take_compression(struct copy_plan *plan, duckdb_value value, struct failure *failure)
{
    char *text = duckdb_is_null_value(value) ? NULL : duckdb_get_varchar(value);
    const bool none = text && (!strcasecmp(text, "none") || !strcasecmp(text, "uncompressed"));
    const bool fine = none || (text && (!strcasecmp(text, "gzip") || !strcasecmp(text, "deflate")));
    if (none) plan->options.compression_level = 0;
    if (!fine) {
        (void)fail(failure, "compression is '%.40s'; it may be 'none' or 'gzip'", text ? text : "");
    }
    duckdb_free(text);
    return fine;
}

static bool take_option(struct copy_plan *plan, struct given *given, const char *name,
    duckdb_value value, struct failure *failure)
{
    int64_t number = 0;
    if (!strcasecmp(name, "columns") || !strcasecmp(name, "not_null")) {
        duckdb_value *place = strcasecmp(name, "columns") ? &given->not_null : &given->columns;
        if (*place) duckdb_destroy_value(place);
        *place = value;
        return true;
    }
    bool fine = false;
    if (!strcasecmp(name, "family")) {
        fine = take_family(plan, value, failure);
    } else if (!strcasecmp(name, "compression")) {
        fine = take_compression(plan, value, failure);
    } else if (!strcasecmp(name, "compression_level")) {
        fine = take_number("compression_level", value, 0, 9, &number, failure);
        plan->options.compression_level = (int)number;
    } else if (!strcasecmp(name, "chunk_rows")) {
        fine = take_number("chunk_rows", value, 1, CHUNK_ROWS_MAX, &number, failure);
        plan->options.chunk_rows = (uint64_t)number;
    } else if (!strcasecmp(name, "row_index")) {
        fine = take_flag("row_index", value, &plan->options.row_index, failure);
    } else {
        (void)fail(
            failure, "the format basalt has no option %.60s; it has %s", name, options_known);
    }
    duckdb_destroy_value(&value);
    return fine;
}

static bool take_options(struct copy_plan *plan, duckdb_copy_function_bind_info info,
    struct given *given, struct failure *failure)
{
    duckdb_value options = duckdb_copy_function_bind_get_options(info);
    bool fine = true;
    if (options && !duckdb_is_null_value(options)) {
        duckdb_logical_type type = duckdb_get_value_type(options); /* lent by the value */
        const idx_t count = duckdb_struct_type_child_count(type);
        for (idx_t i = 0; fine && i < count; i++) {
            char *name = duckdb_struct_type_child_name(type, i);
            duckdb_value value = duckdb_get_struct_child(options, i);
            fine = name && value ? take_option(plan, given, name, value, failure)
                                 : fail_memory(failure);
            duckdb_free(name);
        }
    }
    if (options) duckdb_destroy_value(&options);
    return fine;
}

/* ---- names ---------------------------------------------------------------------------------- */

/* The texts of a list, or of one text. */
static bool take_texts(
    duckdb_value value, struct file_list *out, const char *option, struct failure *failure)
{
    duckdb_logical_type type = duckdb_get_value_type(value);
    const duckdb_type kind = duckdb_get_type_id(type);
    const bool is_list = kind == DUCKDB_TYPE_LIST;
    const bool is_record = kind == DUCKDB_TYPE_STRUCT;
    const size_t count = is_list ? duckdb_get_list_size(value)
        : is_record              ? duckdb_struct_type_child_count(type)
                                 : 1;
    *out = (struct file_list){0};
    if (!count) return fail(failure, "%s names no column", option);
    out->paths = calloc(count + 1, sizeof *out->paths);
    if (!out->paths) return fail_memory(failure);
    for (size_t i = 0; i < count; i++) {
        duckdb_value one = is_list ? duckdb_get_list_child(value, i)
            : is_record            ? duckdb_get_struct_child(value, i)
                                   : value;
        char *text = one && !duckdb_is_null_value(one) ? duckdb_get_varchar(one) : NULL;
        if (text) out->paths[out->count] = copy_text(text);
        const bool fine = text && out->paths[out->count++];
        duckdb_free(text);
        if (one != value && one) duckdb_destroy_value(&one);
        if (!fine) return fail(failure, "%s has a NULL among its names", option);
    }
    return true;
}

static bool make_columns(struct copy_plan *plan, size_t count, struct failure *failure)
{
    plan->columns = calloc(count + 1, sizeof *plan->columns);
    plan->column_count = plan->columns ? count : 0;
    return plan->columns ? true : fail_memory(failure);
}

static bool name_given(struct copy_plan *plan, duckdb_copy_function_bind_info info,
    duckdb_value columns, struct failure *failure)
{
    struct file_list names;
    const size_t count = duckdb_copy_function_bind_get_column_count(info);
    bool fine = take_texts(columns, &names, "columns", failure);
    if (fine && names.count != count) {
        fine = fail(failure, "columns names %zu columns; the query has %zu", names.count, count);
    }
    fine = fine && make_columns(plan, count, failure);
    for (size_t i = 0; fine && i < count; i++) {
        duckdb_logical_type type = duckdb_copy_function_bind_get_column_type(info, i);
        plan->columns[i].name = names.paths[i];
        names.paths[i] = NULL;
        fine = take_type(&plan->columns[i], type, failure);
        duckdb_destroy_logical_type(&type);
    }
    files_clear(&names);
    return fine;
}

static bool name_fields(struct copy_plan *plan, struct failure *failure)
{
    const size_t count = duckdb_struct_type_child_count(plan->record);
    bool fine = make_columns(plan, count, failure);
    plan->is_record = true;
    for (size_t i = 0; fine && i < count; i++) {
        duckdb_logical_type type = duckdb_struct_type_child_type(plan->record, i);
        char *name = duckdb_struct_type_child_name(plan->record, i);
        plan->columns[i].name = name ? copy_text(name) : NULL;
        duckdb_free(name);
        fine = plan->columns[i].name ? true : fail_memory(failure);
        if (fine && !*plan->columns[i].name) {
            fine = fail(failure, "the fields of the record have no names: give columns ('a', 'b')");
        }
        fine = fine && take_type(&plan->columns[i], type, failure);
        duckdb_destroy_logical_type(&type);
    }
    return fine;
}

static bool take_columns(struct copy_plan *plan, duckdb_copy_function_bind_info info,
    duckdb_value columns, struct failure *failure)
{
    if (columns) return name_given(plan, info, columns, failure);
    if (duckdb_copy_function_bind_get_column_count(info) == 1) {
        plan->record = duckdb_copy_function_bind_get_column_type(info, 0);
        if (duckdb_get_type_id(plan->record) == DUCKDB_TYPE_STRUCT) {
            return name_fields(plan, failure);
        }
    }
    return fail(failure,
        "DuckDB does not tell a COPY of this format what the columns are called: give their names, "
        "COPY … TO … (FORMAT basalt, columns ('a', 'b')), or copy a record, COPY (SELECT t FROM (…) "
        "t) TO … (FORMAT basalt)");
}

static bool check_names(const struct copy_plan *plan, struct failure *failure)
{
    struct name_set met = {0};
    bool fine = true;
    for (size_t i = 0; fine && i < plan->column_count; i++) {
        bool is_new = false;
        if (!name_set_add(&met, plan->columns[i].name, &is_new)) {
            fine = fail_memory(failure);
        } else if (!is_new) {
            fine = fail(failure, "two columns are called \"%.100s\"", plan->columns[i].name);
        }
    }
    name_set_free(&met);
    return fine;
}

/* A list of names; a flag says it of all. */
static bool take_not_null(struct copy_plan *plan, duckdb_value value, struct failure *failure)
{
    struct file_list names = {0};
    bool all = false;
    if (!value) return true;
    const bool is_flag = duckdb_is_null_value(value) ||
        duckdb_get_type_id(duckdb_get_value_type(value)) == DUCKDB_TYPE_BOOLEAN;
    bool fine = is_flag ? take_flag("not_null", value, &all, failure)
                        : take_texts(value, &names, "not_null", failure);
    for (size_t i = 0; i < plan->column_count; i++) plan->columns[i].not_null = all;
    for (size_t i = 0; fine && i < names.count; i++) {
        bool found = false;
        for (size_t k = 0; k < plan->column_count; k++) {
            if (strcasecmp(plan->columns[k].name, names.paths[i]) != 0) continue;
            plan->columns[k].not_null = found = true;
        }
        if (!found)
            fine = fail(failure, "not_null: no column is called \"%.100s\"", names.paths[i]);
    }
    files_clear(&names);
    return fine;
}

struct copy_plan *copy_plan_new(duckdb_copy_function_bind_info info, struct failure *failure)
{
    struct given given = {NULL, NULL};
    struct copy_plan *plan = calloc(1, sizeof *plan);
    bool fine = plan ? true : fail_memory(failure);
    if (!plan) return NULL;
    atomic_store(&plan->holders, 1);
    basalt_family_options_init(&plan->options, sizeof plan->options);
    plan->family = copy_text("data");
    if (!plan->family) fine = fail_memory(failure);
    duckdb_client_context context = duckdb_copy_function_bind_get_client_context(info);
    plan->memory_bytes = memory_budget(context) / 4;
    plan->memory_bytes = MAX_OF(plan->memory_bytes, MEMTABLE_BYTES_MIN);
    plan->memory_bytes = MIN_OF(plan->memory_bytes, MEMTABLE_BYTES_MAX);
    duckdb_destroy_client_context(&context);
    fine = fine && take_options(plan, info, &given, failure) &&
        take_columns(plan, info, given.columns, failure) && check_names(plan, failure) &&
        take_not_null(plan, given.not_null, failure);
    if (given.columns) duckdb_destroy_value(&given.columns);
    if (given.not_null) duckdb_destroy_value(&given.not_null);
    if (fine) return plan;
    copy_plan_release(plan);
    return NULL;
}
