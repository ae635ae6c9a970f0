/* sql_text.c - DuckDB turns values into text.
 *
 * A table function on a connection of its own hands out chunks of the user's result, and a query over it
 * casts them: any statement's result so becomes text as DuckDB has it, of any type, and none is
 * formatted here. The function has the columns c0, c1 ... and n, the number of a row among the chunks. */
#include "sql.h"

#include <stdlib.h>
#include <string.h>

#define FUNCTION_NAME "basalt_result_rows"
#define NESTING_MAX 64

struct sql_text {
    const struct sql_result *result;
    struct text_shape *shapes; /* a column each */
    char *casts;               /* "SELECT CAST(c0 AS VARCHAR), CAST(c1 ..." */
    const duckdb_data_chunk *chunks;
    size_t chunk_count, chunks_done;
    uint64_t rows_done;
    duckdb_prepared_statement all_rows; /* of the chunks; NULL until it is needed */
};

/* ---- the table function ---------------------------------------------------------------------- */

/* What a callback is given can be asked for its session only by a function of the library, so they need
 * that first. The same in every session of a process; set before a callback is registered. */
static const struct duckdb *library;

static void bind_rows(duckdb_bind_info info)
{
    const struct sql_session *session = library->bind_get_extra_info(info);
    char name[32];
    if (!session->text) {
        library->bind_set_error(info, FUNCTION_NAME " is for the command alone");
        return;
    }
    const struct sql_result *result = session->text->result;
    for (size_t i = 0; i < result->column_count; i++) {
        snprintf(name, sizeof name, "c%zu", i);
        library->bind_add_result_column(info, name, result->types[i]);
    }
    duckdb_logical_type number = library->create_logical_type(DUCKDB_TYPE_UBIGINT);
    library->bind_add_result_column(info, "n", number);
    library->destroy_logical_type(&number);
}

static void init_rows(duckdb_init_info info)
{
    const struct sql_session *session = library->init_get_extra_info(info);
    library->init_set_max_threads(info, 1); /* so that rows stay in their order */
    if (!session->text) return;
    session->text->chunks_done = 0;
    session->text->rows_done = 0;
}

static void give_rows(duckdb_function_info info, duckdb_data_chunk output)
{
    const struct sql_session *session = library->function_get_extra_info(info);
    struct sql_text *text = session->text;
    if (!text || text->chunks_done == text->chunk_count) {
        library->data_chunk_set_size(output, 0);
        return;
    }
    duckdb_data_chunk chunk = text->chunks[text->chunks_done++];
    const uint64_t rows = library->data_chunk_get_size(chunk);
    const size_t columns = text->result->column_count;
    for (size_t i = 0; i < columns; i++) {
        library->vector_reference_vector(
            library->data_chunk_get_vector(output, i), library->data_chunk_get_vector(chunk, i));
    }
    uint64_t *numbers = library->vector_get_data(library->data_chunk_get_vector(output, columns));
    for (uint64_t row = 0; row < rows; row++) numbers[row] = text->rows_done++;
    library->data_chunk_set_size(output, rows);
}

basalt_status text_register(struct sql_session *session)
{
    library = &session->duckdb;
    duckdb_table_function function = library->create_table_function();
    library->table_function_set_name(function, FUNCTION_NAME);
    library->table_function_set_extra_info(function, session, NULL);
    library->table_function_set_bind(function, bind_rows);
    library->table_function_set_init(function, init_rows);
    library->table_function_set_function(function, give_rows);
    const bool fine = library->register_table_function(session->casts, function) == DuckDBSuccess;
    library->destroy_table_function(&function);
    return fine ? BASALT_OK : sql_fail_duckdb(&session->failure, NULL);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static void shape_clear(struct text_shape *shape)
{
    for (size_t i = 0; i < shape->count; i++) {
        if (shape->children) shape_clear(&shape->children[i]);
        if (shape->names) free(shape->names[i]);
    }
    free(shape->children);
    free(shape->names);
}

static bool shape_make(
    const struct duckdb *duckdb, duckdb_logical_type type, int depth, struct text_shape *out_shape);

/* Takes over `child`. */
static bool make_child(
    const struct duckdb *duckdb, duckdb_logical_type child, int depth, struct text_shape *out_shape)
{
    const bool fine = shape_make(duckdb, child, depth + 1, out_shape);
    duckdb->destroy_logical_type(&child);
    return fine;
}

static bool shape_room(struct text_shape *shape, size_t count)
{
    shape->children = calloc(count + 1, sizeof *shape->children);
    shape->names = calloc(count + 1, sizeof *shape->names);
    if (!shape->children || !shape->names) return false;
    shape->count = count;
    return true;
}

static bool make_members(
    const struct duckdb *duckdb, duckdb_logical_type type, int depth, struct text_shape *shape)
{
    const bool is_struct = shape->kind == SHAPE_STRUCT;
    const size_t count =
        is_struct ? duckdb->struct_type_child_count(type) : duckdb->union_type_member_count(type);
    if (!shape_room(shape, count)) return false;
    for (size_t i = 0; i < count; i++) {
        char *name = is_struct ? duckdb->struct_type_child_name(type, i)
                               : duckdb->union_type_member_name(type, i);
        shape->names[i] = strdup(name ? name : "");
        duckdb->free(name);
        duckdb_logical_type child = is_struct ? duckdb->struct_type_child_type(type, i)
                                              : duckdb->union_type_member_type(type, i);
        if (!make_child(duckdb, child, depth, &shape->children[i]) || !shape->names[i]) {
            return false;
        }
    }
    return true;
}

bool type_is_number(duckdb_type id)
{
    switch (id) {
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL:
    case DUCKDB_TYPE_BIGNUM: return true;
    default: return false;
    }
}

static enum text_kind leaf_kind(
    const struct duckdb *duckdb, duckdb_logical_type type, duckdb_type id)
{
    if (id == DUCKDB_TYPE_BOOLEAN || type_is_number(id)) return SHAPE_NUMBER;
    if (id != DUCKDB_TYPE_VARCHAR) return SHAPE_TEXT;
    char *alias = duckdb->logical_type_get_alias(type);
    const bool json = alias && strcmp(alias, "JSON") == 0;
    if (alias) duckdb->free(alias);
    return json ? SHAPE_RAW : SHAPE_TEXT;
}

/* What is nested deeper than NESTING_MAX is one text. False: no memory. */
static bool shape_make(
    const struct duckdb *duckdb, duckdb_logical_type type, int depth, struct text_shape *out_shape)
{
    const duckdb_type id = depth < NESTING_MAX ? duckdb->get_type_id(type) : DUCKDB_TYPE_INVALID;
    duckdb_logical_type child = NULL;
    switch (id) {
    case DUCKDB_TYPE_STRUCT:
    case DUCKDB_TYPE_UNION:
        out_shape->kind = id == DUCKDB_TYPE_STRUCT ? SHAPE_STRUCT : SHAPE_UNION;
        return make_members(duckdb, type, depth, out_shape);
    case DUCKDB_TYPE_LIST: child = duckdb->list_type_child_type(type); break;
    case DUCKDB_TYPE_ARRAY: child = duckdb->array_type_child_type(type); break;
    case DUCKDB_TYPE_MAP: child = duckdb->map_type_value_type(type); break;
    default: out_shape->kind = leaf_kind(duckdb, type, id); return true;
    }
    out_shape->kind = id == DUCKDB_TYPE_MAP ? SHAPE_MAP : SHAPE_LIST;
    if (shape_room(out_shape, 1)) return make_child(duckdb, child, depth, out_shape->children);
    duckdb->destroy_logical_type(&child);
    return false;
}

/* The type to which DuckDB casts: arrays are lists there, and structs without names get some. */
static void put_type(FILE *out, const struct text_shape *shape)
{
    const bool is_struct = shape->kind == SHAPE_STRUCT;
    switch (shape->kind) {
    case SHAPE_LIST:
        put_type(out, shape->children);
        fputs("[]", out);
        break;
    case SHAPE_MAP:
        fputs("MAP(VARCHAR, ", out);
        put_type(out, shape->children);
        fputc(')', out);
        break;
    case SHAPE_STRUCT:
    case SHAPE_UNION:
        fputs(is_struct ? "STRUCT(" : "UNION(", out);
        for (size_t i = 0; i < shape->count; i++) {
            fputs(i ? ", " : "", out);
            if (shape->names[i][0]) {
                put_quoted(out, shape->names[i], '"');
            } else {
                fprintf(out, "v%zu", i + 1);
            }
            fputc(' ', out);
            put_type(out, &shape->children[i]);
        }
        fputc(')', out);
        break;
    default: fputs("VARCHAR", out);
    }
}

/* ---- queries --------------------------------------------------------------------------------- */

static bool make_casts(struct sql_text *text)
{
    size_t bytes = 0;
    FILE *out = open_memstream(&text->casts, &bytes);
    if (!out) return false;
    fputs("SELECT ", out);
    for (size_t i = 0; i < text->result->column_count; i++) {
        fprintf(out, "%sCAST(c%zu AS ", i ? ", " : "", i);
        put_type(out, &text->shapes[i]);
        fputc(')', out);
    }
    return fclose(out) == 0;
}

basalt_status text_begin(struct sql_session *session, const struct sql_result *result, bool nested)
{
    struct sql_text *text = session->text = calloc(1, sizeof *text);
    bool fine = text != NULL;
    if (text) {
        text->result = result;
        text->shapes = calloc(result->column_count + 1, sizeof *text->shapes);
        fine = text->shapes != NULL;
    }
    for (size_t i = 0; fine && nested && i < result->column_count; i++) {
        fine = shape_make(&session->duckdb, result->types[i], 0, &text->shapes[i]);
    }
    if (fine && make_casts(text)) return BASALT_OK;
    return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for the columns");
}

void text_end(struct sql_session *session)
{
    struct sql_text *text = session->text;
    session->text = NULL;
    if (!text) return;
    for (size_t i = 0; text->shapes && i < text->result->column_count; i++) {
        shape_clear(&text->shapes[i]);
    }
    session->duckdb.destroy_prepare(&text->all_rows);
    free(text->shapes);
    free(text->casts);
    free(text);
}

const struct text_shape *text_shapes(const struct sql_session *session)
{
    return session->text->shapes;
}

static basalt_status visit_all(struct sql_session *session, duckdb_prepared_statement prepared,
    text_visit_fn visit, void *context)
{
    const struct duckdb *duckdb = &session->duckdb;
    struct sql_result result = {.column_count = 0};
    basalt_status status = sql_execute(session, prepared, &result.result);
    while (!status) {
        duckdb_data_chunk chunk = NULL;
        status = result_next(session, &result, &chunk);
        if (status || !chunk) break;
        status = visit(session, context, chunk);
        duckdb->destroy_data_chunk(&chunk);
    }
    duckdb->destroy_result(&result.result);
    return status;
}

/* `rest` follows the list of what is selected. */
static basalt_status prepare(struct sql_session *session, const char *select, const char *rest,
    duckdb_prepared_statement *out_prepared)
{
    const struct duckdb *duckdb = &session->duckdb;
    char *sql = NULL;
    if (asprintf(&sql, "%s FROM " FUNCTION_NAME "() %s", select, rest) < 0) {
        return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for a query");
    }
    basalt_status status = BASALT_OK;
    if (duckdb->prepare(session->casts, sql, out_prepared) != DuckDBSuccess) {
        status = sql_fail_duckdb(&session->failure, duckdb->prepare_error(*out_prepared));
    }
    free(sql);
    return status;
}

static void take_chunks(struct sql_text *text, const duckdb_data_chunk *chunks, size_t count)
{
    text->chunks = chunks;
    text->chunk_count = count;
    text->chunks_done = 0;
    text->rows_done = 0;
}

basalt_status text_of(struct sql_session *session, const duckdb_data_chunk *chunks, size_t count,
    text_visit_fn visit, void *context)
{
    struct sql_text *text = session->text;
    basalt_status status = BASALT_OK;
    if (!text->all_rows) status = prepare(session, text->casts, "", &text->all_rows);
    take_chunks(text, chunks, count);
    if (!status) status = visit_all(session, text->all_rows, visit, context);
    take_chunks(text, NULL, 0);
    return status;
}

basalt_status text_of_edges(struct sql_session *session, const duckdb_data_chunk *chunks,
    size_t count, uint64_t head_end, uint64_t tail_begin, text_visit_fn visit, void *context)
{
    duckdb_prepared_statement some_rows = NULL;
    char rest[96];
    snprintf(rest, sizeof rest, "WHERE n < %" PRIu64 " OR n >= %" PRIu64, head_end, tail_begin);
    basalt_status status = prepare(session, session->text->casts, rest, &some_rows);
    take_chunks(session->text, chunks, count);
    if (!status) status = visit_all(session, some_rows, visit, context);
    take_chunks(session->text, NULL, 0);
    session->duckdb.destroy_prepare(&some_rows);
    return status;
}

basalt_status text_types(struct sql_session *session, text_visit_fn visit, void *context)
{
    duckdb_prepared_statement types = NULL;
    basalt_status status = prepare(session, "SELECT column_type FROM (DESCRIBE", ")", &types);
    if (!status) status = visit_all(session, types, visit, context);
    session->duckdb.destroy_prepare(&types);
    return status;
}

/* ---- vectors --------------------------------------------------------------------------------- */

bool vector_is_null(const struct duckdb *duckdb, duckdb_vector vector, uint64_t row)
{
    const uint64_t *valid = duckdb->vector_get_validity(vector);
    return valid && !(valid[row / 64] >> (row % 64) & 1);
}

const char *vector_text(
    const struct duckdb *duckdb, duckdb_vector vector, uint64_t row, size_t *out_count)
{
    const duckdb_string_t *text = (const duckdb_string_t *)duckdb->vector_get_data(vector) + row;
    *out_count = text->value.inlined.length;
    const bool inlined = text->value.inlined.length <= sizeof text->value.inlined.inlined;
    return inlined ? text->value.inlined.inlined : text->value.pointer.ptr;
}
