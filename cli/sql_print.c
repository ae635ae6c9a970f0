/* sql_print.c - results as CSV (RFC 4180) and as JSON arrays of rows.
 *
 * Rows are cast to text some chunks at a time, so that memory does not grow with the result; nothing is
 * printed before the first of these is there, and no end after a failure. */
#include "names.h"
#include "sql.h"

#include <stdlib.h>
#include <string.h>

#define CHUNKS_MAX 64     /* that are cast at once */
#define VALUES_MAX 262144 /* in them, unless one chunk has more */

struct printer {
    size_t columns;
    const char *const *names;
    const struct text_shape *shapes;
    void (*header)(const struct printer *printer);
    void (*row)(struct printer *printer, const struct duckdb *duckdb, duckdb_data_chunk texts,
        uint64_t row);
    const char *end;
    uint64_t rows_done;
    bool begun;
};

static basalt_status print_texts(
    struct sql_session *session, void *context, duckdb_data_chunk texts)
{
    struct printer *printer = context;
    const uint64_t rows = session->duckdb.data_chunk_get_size(texts);
    if (!printer->begun) printer->header(printer);
    printer->begun = true;
    flockfile(stdout); /* once, and not for every piece of a cell */
    for (uint64_t row = 0; row < rows; row++) {
        printer->row(printer, &session->duckdb, texts, row);
        printer->rows_done++;
    }
    funlockfile(stdout);
    return session_check(session);
}

/* *out_count is 0 at the end. */
static basalt_status collect(struct sql_session *session, struct sql_result *result,
    duckdb_data_chunk *chunks, size_t *out_count)
{
    basalt_status status = BASALT_OK;
    uint64_t values = 0;
    *out_count = 0;
    while (!status && *out_count < CHUNKS_MAX && values < VALUES_MAX) {
        status = result_next(session, result, &chunks[*out_count]);
        if (status || !chunks[*out_count]) break;
        values += session->duckdb.data_chunk_get_size(chunks[*out_count]) * result->column_count;
        ++*out_count;
    }
    return status;
}

static basalt_status print_rows(
    struct sql_session *session, struct sql_result *result, struct printer *printer)
{
    duckdb_data_chunk chunks[CHUNKS_MAX];
    basalt_status status = text_begin(session, result, printer->shapes != NULL);
    size_t count = 1;
    printer->columns = result->column_count;
    printer->shapes = status ? NULL : text_shapes(session);
    while (!status && count) {
        status = collect(session, result, chunks, &count);
        if (!status && count) status = text_of(session, chunks, count, print_texts, printer);
        for (size_t i = 0; i < count; i++) session->duckdb.destroy_data_chunk(&chunks[i]);
    }
    text_end(session);
    if (status) return status;
    if (!printer->begun) printer->header(printer);
    fputs(printer->end, stdout);
    return BASALT_OK;
}

/* ---- CSV ------------------------------------------------------------------------------------- */

static void csv_header(const struct printer *printer)
{
    for (size_t i = 0; i < printer->columns; i++) {
        if (i) fputc(',', stdout);
        csv_cell(stdout, printer->names[i], strlen(printer->names[i]));
    }
    fputs("\r\n", stdout);
}

static void csv_row(
    struct printer *printer, const struct duckdb *duckdb, duckdb_data_chunk texts, uint64_t row)
{
    for (size_t i = 0; i < printer->columns; i++) {
        duckdb_vector vector = duckdb->data_chunk_get_vector(texts, i);
        size_t count = 0;
        if (i) fputc(',', stdout);
        if (vector_is_null(duckdb, vector, row)) continue;
        const char *text = vector_text(duckdb, vector, row, &count);
        csv_cell(stdout, text, count);
    }
    fputs("\r\n", stdout);
}

basalt_status print_csv(struct sql_session *session, struct sql_result *result)
{
    struct printer printer = {
        .names = result->names, .header = csv_header, .row = csv_row, .end = ""};
    return print_rows(session, result, &printer);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_value(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row);

/* JSON has no word for what is not a number: they are the texts that `basalt cat` gives too. */
static void json_number(FILE *out, const char *text, size_t count)
{
    static const char *const words[][2] = {{"nan", "\"NaN\""}, {"-nan", "\"NaN\""},
        {"inf", "\"Infinity\""}, {"-inf", "\"-Infinity\""}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (count == strlen(words[i][0]) && memcmp(text, words[i][0], count) == 0) {
            fputs(words[i][1], out);
            return;
        }
    }
    const size_t sign = count && text[0] == '-';
    fwrite(text, 1, sign, out);
    if (count > sign && text[sign] == '.') fputc('0', out); /* DECIMAL(1,1) */
    fwrite(text + sign, 1, count - sign, out);
}

static size_t letters(const char *text, size_t count)
{
    size_t length = 0;
    while (length < count && (text[length] | 32) >= 'a' && (text[length] | 32) <= 'z') length++;
    return length;
}

/* A value of DuckDB's type JSON: it is written as it is, but DuckDB takes those words in it bare. */
static void json_raw(FILE *out, const char *text, size_t count)
{
    bool quoted = false;
    for (size_t i = 0; i < count;) {
        const size_t sign = text[i] == '-',
                     word = quoted ? 0 : letters(text + i + sign, count - i - sign);
        const char first = word >= 3 ? (char)(text[i + sign] | 32) : '\0';
        const bool infinite = first == 'i', nan = first == 'n' && word == 3;
        size_t taken = sign + word ? sign + word : 1;
        if (infinite || nan) {
            fputs(nan ? "\"NaN\"" : sign ? "\"-Infinity\"" : "\"Infinity\"", out);
        } else {
            if (text[i] == '"') quoted = !quoted;
            if (text[i] == '\\' && i + 1 < count) taken = 2;
            fwrite(text + i, 1, taken, out);
        }
        i += taken;
    }
}

static void json_list(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row)
{
    const duckdb_list_entry *entry = (duckdb_list_entry *)duckdb->vector_get_data(vector) + row;
    duckdb_vector child = duckdb->list_vector_get_child(vector);
    fputc('[', out);
    for (uint64_t i = 0; i < entry->length; i++) {
        if (i) fputc(',', out);
        json_value(out, shape->children, duckdb, child, entry->offset + i);
    }
    fputc(']', out);
}

/* A map is a list of structs of a key and a value. */
static void json_map(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row)
{
    const duckdb_list_entry *entry = (duckdb_list_entry *)duckdb->vector_get_data(vector) + row;
    duckdb_vector pairs = duckdb->list_vector_get_child(vector);
    duckdb_vector keys = duckdb->struct_vector_get_child(pairs, 0);
    duckdb_vector values = duckdb->struct_vector_get_child(pairs, 1);
    fputc('{', out);
    for (uint64_t i = entry->offset; i < entry->offset + entry->length; i++) {
        size_t count = 0;
        const char *key = vector_text(duckdb, keys, i, &count);
        if (i > entry->offset) fputc(',', out);
        json_bytes(out, key, count);
        fputc(':', out);
        json_value(out, shape->children, duckdb, values, i);
    }
    fputc('}', out);
}

static void json_struct(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row)
{
    fputc('{', out);
    for (size_t i = 0; i < shape->count; i++) {
        if (i) fputc(',', out);
        if (shape->names[i][0]) {
            json_text(out, shape->names[i]);
        } else {
            fprintf(out, "\"v%zu\"", i + 1);
        }
        fputc(':', out);
        json_value(
            out, &shape->children[i], duckdb, duckdb->struct_vector_get_child(vector, i), row);
    }
    fputc('}', out);
}

/* An object of the one member that it is. The vector is a struct that begins with the tag. */
static void json_union(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row)
{
    const uint8_t *tags = duckdb->vector_get_data(duckdb->struct_vector_get_child(vector, 0));
    const size_t tag = tags[row] < shape->count ? tags[row] : 0;
    fputc('{', out);
    json_text(out, shape->names[tag]);
    fputc(':', out);
    json_value(
        out, &shape->children[tag], duckdb, duckdb->struct_vector_get_child(vector, tag + 1), row);
    fputc('}', out);
}

static void json_value(FILE *out, const struct text_shape *shape, const struct duckdb *duckdb,
    duckdb_vector vector, uint64_t row)
{
    size_t count = 0;
    if (vector_is_null(duckdb, vector, row)) {
        fputs("null", out);
        return;
    }
    switch (shape->kind) {
    case SHAPE_LIST: json_list(out, shape, duckdb, vector, row); return;
    case SHAPE_MAP: json_map(out, shape, duckdb, vector, row); return;
    case SHAPE_STRUCT: json_struct(out, shape, duckdb, vector, row); return;
    case SHAPE_UNION: json_union(out, shape, duckdb, vector, row); return;
    default: break;
    }
    const char *text = vector_text(duckdb, vector, row, &count);
    if (shape->kind == SHAPE_NUMBER) {
        json_number(out, text, count);
    } else if (shape->kind == SHAPE_RAW) {
        json_raw(out, text, count);
    } else {
        json_bytes(out, text, count);
    }
}

static void json_header(const struct printer *printer)
{
    (void)printer;
    fputc('[', stdout);
}

static void json_row(
    struct printer *printer, const struct duckdb *duckdb, duckdb_data_chunk texts, uint64_t row)
{
    fputs(printer->rows_done ? ",\n {" : "{", stdout);
    for (size_t i = 0; i < printer->columns; i++) {
        if (i) fputc(',', stdout);
        json_text(stdout, printer->names[i]);
        fputc(':', stdout);
        json_value(
            stdout, &printer->shapes[i], duckdb, duckdb->data_chunk_get_vector(texts, i), row);
    }
    fputc('}', stdout);
}

basalt_status print_json(struct sql_session *session, struct sql_result *result)
{
    static const struct text_shape nested;
    struct unique_names names;
    basalt_error error;
    struct ArrowSchema schema = {.format = "+s", .n_children = (int64_t)result->column_count};
    struct ArrowSchema *fields = calloc(result->column_count + 1, sizeof *fields);
    schema.children = calloc(result->column_count + 1, sizeof *schema.children);
    if (!fields || !schema.children) {
        free(fields);
        free(schema.children);
        return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for the columns");
    }
    for (size_t i = 0; i < result->column_count; i++) {
        fields[i].name = result->names[i];
        schema.children[i] = &fields[i];
    }
    basalt_status status = unique_names_make(&schema, false, &names, &error);
    if (status) {
        sql_fail(&session->failure, status, "%s", error.message);
    } else {
        struct printer printer = {.names = (const char *const *)names.texts,
            .shapes = &nested,
            .header = json_header,
            .row = json_row,
            .end = "]\n"};
        status = print_rows(session, result, &printer);
    }
    unique_names_free(&names);
    free(fields);
    free(schema.children);
    return status;
}
