/* copy_rows.c - DuckDB's vectors as columns of an Arrow array.
 *
 * Rows are gathered into larger batches than DuckDB's chunks of 2,048, since each batch is a transaction of
 * the store. One is full at ROWS_MAX rows, or once its texts have TEXT_BYTES_MAX; a text has at most 1 GiB,
 * so 32-bit offsets do. */
#include "copy.h"

#include <stdlib.h>

#define ROWS_MAX ((size_t)65536)
#define TEXT_BYTES_MAX ((size_t)16 << 20)
#define ONE_TEXT_BYTES_MAX ((size_t)1 << 30)
#define UUID_BYTES 36

struct column_rows {
    const struct copy_column *column;
    uint8_t *values; /* ROWS_MAX of fixed length, or the bytes of texts */
    size_t capacity;
    int32_t *offsets; /* of texts, one more than rows */
    uint8_t *validity;
    size_t nulls;
    struct ArrowSchema schema;
    struct ArrowArray array;
    const void *buffers[3];
};

struct copy_rows {
    const struct copy_plan *plan;
    size_t count;
    size_t text_bytes; /* of all columns */
    bool has_texts;
    struct column_rows *columns;
    struct ArrowSchema schema, **schemas;
    struct ArrowArray array, **arrays;
    const void *buffers[1];
};

/* ---- making --------------------------------------------------------------------------------- */

static void release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL; /* lent */
}

static void release_array(struct ArrowArray *array)
{
    array->release = NULL; /* lent */
}

static bool column_make(struct column_rows *rows, const struct copy_column *column)
{
    rows->column = column;
    rows->validity = malloc(ROWS_MAX / 8);
    if (column->value_bytes) {
        rows->capacity =
            column->type == DUCKDB_TYPE_BOOLEAN ? ROWS_MAX / 8 : ROWS_MAX * column->value_bytes;
    } else {
        rows->capacity = ROWS_MAX;
        rows->offsets = calloc(ROWS_MAX + 1, sizeof *rows->offsets);
    }
    rows->values = malloc(rows->capacity);
    rows->schema = (struct ArrowSchema){.format = column->format,
        .name = column->name,
        .flags = column->not_null ? 0 : ARROW_FLAG_NULLABLE,
        .release = release_schema};
    return rows->validity && rows->values && (column->value_bytes || rows->offsets);
}

struct copy_rows *copy_rows_new(const struct copy_plan *plan)
{
    struct copy_rows *rows = calloc(1, sizeof *rows);
    if (!rows) return NULL;
    rows->plan = plan;
    rows->columns = calloc(plan->column_count + 1, sizeof *rows->columns);
    rows->schemas = calloc(plan->column_count + 1, sizeof(struct ArrowSchema *));
    rows->arrays = calloc(plan->column_count + 1, sizeof(struct ArrowArray *));
    bool fine = rows->columns && rows->schemas && rows->arrays;
    for (size_t i = 0; fine && i < plan->column_count; i++) {
        fine = column_make(&rows->columns[i], &plan->columns[i]);
        rows->has_texts |= !plan->columns[i].value_bytes;
        rows->schemas[i] = &rows->columns[i].schema;
        rows->arrays[i] = &rows->columns[i].array;
    }
    rows->schema = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = (int64_t)plan->column_count,
        .children = rows->schemas,
        .release = release_schema};
    if (fine) {
        copy_rows_clear(rows);
        return rows;
    }
    copy_rows_free(rows);
    return NULL;
}

void copy_rows_free(struct copy_rows *rows)
{
    if (!rows) return;
    for (size_t i = 0; rows->columns && i < rows->plan->column_count; i++) {
        free(rows->columns[i].values);
        free(rows->columns[i].offsets);
        free(rows->columns[i].validity);
    }
    free(rows->columns);
    free(rows->schemas);
    free(rows->arrays);
    free(rows);
}

void copy_rows_clear(struct copy_rows *rows)
{
    rows->count = rows->text_bytes = 0;
    for (size_t i = 0; i < rows->plan->column_count; i++) {
        struct column_rows *column = &rows->columns[i];
        column->nulls = 0;
        memset(column->validity, 0xff, ROWS_MAX / 8);
        if (column->column->type == DUCKDB_TYPE_BOOLEAN) memset(column->values, 0, ROWS_MAX / 8);
    }
}

const struct ArrowSchema *copy_rows_schema(const struct copy_rows *rows)
{
    return &rows->schema;
}

bool copy_rows_full(const struct copy_rows *rows)
{
    return rows->count == ROWS_MAX || rows->text_bytes >= TEXT_BYTES_MAX;
}

uint64_t copy_rows_count(const struct copy_rows *rows)
{
    return rows->count;
}

/* ---- texts ---------------------------------------------------------------------------------- */

struct bytes {
    const char *at;
    size_t count;
};

static void uuid_text(const void *value, char out[UUID_BYTES + 1])
{
    duckdb_hugeint number;
    memcpy(&number, value, sizeof number);
    const uint64_t high = (uint64_t)number.upper ^ (uint64_t)1 << 63, low = number.lower;
    snprintf(out, UUID_BYTES + 1, "%08x-%04x-%04x-%04x-%012" PRIx64, (unsigned)(high >> 32),
        (unsigned)(high >> 16 & 0xffff), (unsigned)(high & 0xffff), (unsigned)(low >> 48),
        low & 0xffffffffffff);
}

static uint32_t code_at(const struct copy_column *column, const void *data, idx_t row)
{
    switch (column->code_type) {
    case DUCKDB_TYPE_UTINYINT: return ((const uint8_t *)data)[row];
    case DUCKDB_TYPE_USMALLINT: return ((const uint16_t *)data)[row];
    default: return ((const uint32_t *)data)[row];
    }
}

/* The text of a row that is not null; `scratch` is for one that has to be made. */
static struct bytes text_at(
    const struct copy_column *column, void *data, idx_t row, char scratch[UUID_BYTES + 1])
{
    if (column->type == DUCKDB_TYPE_UUID) {
        uuid_text((const char *)data + row * sizeof(duckdb_hugeint), scratch);
        return (struct bytes){scratch, UUID_BYTES};
    }
    if (column->type == DUCKDB_TYPE_ENUM) {
        const uint32_t code = code_at(column, data, row);
        const char *word = code < column->word_count ? column->words[code] : "";
        return (struct bytes){word, strlen(word)};
    }
    duckdb_string_t *text = (duckdb_string_t *)data + row;
    return (struct bytes){duckdb_string_t_data(text), duckdb_string_t_length(*text)};
}

static bool add_text(
    struct column_rows *rows, size_t at, struct bytes text, struct failure *failure)
{
    const size_t used = (size_t)rows->offsets[at], needed = used + text.count;
    if (text.count > ONE_TEXT_BYTES_MAX) {
        return fail(failure, "column \"%.100s\" has a value of %zu bytes; 1 GiB is the limit",
            rows->column->name, text.count);
    }
    if (rows->column->type != DUCKDB_TYPE_BLOB && text.count && memchr(text.at, 0, text.count)) {
        return fail(failure,
            "column \"%.100s\" has a text with a NUL byte, which ends a text in HDF5: cast it to BLOB",
            rows->column->name);
    }
    if (needed > rows->capacity) {
        size_t capacity = rows->capacity * 2;
        if (capacity < needed) capacity = needed;
        uint8_t *larger = realloc(rows->values, capacity);
        if (!larger) return fail_memory(failure);
        rows->values = larger;
        rows->capacity = capacity;
    }
    if (text.count) memcpy(rows->values + used, text.at, text.count);
    rows->offsets[at + 1] = (int32_t)needed;
    return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

struct source { /* a column's vector */
    void *data;
    const uint64_t *validity, *record; /* NULL: all are there */
};

static bool is_there(const struct source *source, idx_t row)
{
    const uint64_t bit = (uint64_t)1 << row % 64;
    return (!source->validity || source->validity[row / 64] & bit) &&
        (!source->record || source->record[row / 64] & bit);
}

static bool note_null(struct column_rows *rows, size_t at, struct failure *failure)
{
    if (rows->column->not_null) {
        return fail(failure, "column \"%.100s\" has a NULL, which not_null says it has not",
            rows->column->name);
    }
    rows->validity[at / 8] &= (uint8_t) ~(1u << at % 8);
    rows->nulls++;
    return true;
}

static bool note_nulls(struct column_rows *rows, size_t at, const struct source *source,
    idx_t first, size_t count, struct failure *failure)
{
    if (!source->validity && !source->record) return true;
    for (size_t i = 0; i < count; i++) {
        if (!is_there(source, first + i) && !note_null(rows, at + i, failure)) return false;
    }
    return true;
}

static void add_fixed(
    struct column_rows *rows, size_t at, const struct source *source, idx_t first, size_t count)
{
    const size_t width = rows->column->value_bytes;
    const uint8_t *values = (const uint8_t *)source->data + first * width;
    if (rows->column->type != DUCKDB_TYPE_BOOLEAN) {
        memcpy(rows->values + at * width, values, count * width);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i] && is_there(source, first + i)) {
            rows->values[(at + i) / 8] |= (uint8_t)(1u << (at + i) % 8);
        }
    }
}

/* Texts of one row of all columns; their bytes are added to *bytes. */
static bool add_texts(struct copy_rows *rows, size_t at, const struct source *sources, idx_t row,
    struct failure *failure)
{
    char scratch[UUID_BYTES + 1];
    for (size_t i = 0; i < rows->plan->column_count; i++) {
        struct column_rows *column = &rows->columns[i];
        struct bytes text = {"", 0};
        if (column->column->value_bytes) continue;
        if (is_there(&sources[i], row)) {
            text = text_at(column->column, sources[i].data, row, scratch);
        }
        if (!add_text(column, at, text, failure)) return false;
        rows->text_bytes += text.count;
    }
    return true;
}

static bool add_rows(struct copy_rows *rows, const struct source *sources, idx_t count, idx_t *row,
    struct failure *failure)
{
    size_t taken = rows->has_texts ? 0 : MIN_OF(count - *row, ROWS_MAX - rows->count);
    if (!rows->has_texts) rows->count += taken;
    while (rows->has_texts && *row + taken < count && !copy_rows_full(rows)) {
        if (!add_texts(rows, rows->count, sources, *row + taken, failure)) return false;
        rows->count++;
        taken++;
    }
    const size_t at = rows->count - taken;
    for (size_t i = 0; i < rows->plan->column_count; i++) {
        struct column_rows *column = &rows->columns[i];
        if (column->column->value_bytes) add_fixed(column, at, &sources[i], *row, taken);
        if (!note_nulls(column, at, &sources[i], *row, taken, failure)) return false;
    }
    *row += taken;
    return true;
}

bool copy_rows_add(struct copy_rows *rows, const duckdb_vector *vectors, const uint64_t *record,
    idx_t count, idx_t *row, struct failure *failure)
{
    struct source *sources = calloc(rows->plan->column_count + 1, sizeof *sources);
    if (!sources) return fail_memory(failure);
    for (size_t i = 0; i < rows->plan->column_count; i++) {
        sources[i] = (struct source){
            duckdb_vector_get_data(vectors[i]), duckdb_vector_get_validity(vectors[i]), record};
    }
    const bool fine = add_rows(rows, sources, count, row, failure);
    free(sources);
    return fine;
}

const struct ArrowArray *copy_rows_array(struct copy_rows *rows)
{
    for (size_t i = 0; i < rows->plan->column_count; i++) {
        struct column_rows *column = &rows->columns[i];
        const bool is_text = !column->column->value_bytes;
        column->buffers[0] = column->nulls ? column->validity : NULL;
        column->buffers[1] = is_text ? (const void *)column->offsets : column->values;
        column->buffers[2] = column->values;
        column->array = (struct ArrowArray){.length = (int64_t)rows->count,
            .null_count = (int64_t)column->nulls,
            .n_buffers = is_text ? 3 : 2,
            .buffers = column->buffers,
            .release = release_array};
    }
    rows->array = (struct ArrowArray){.length = (int64_t)rows->count,
        .n_buffers = 1,
        .n_children = (int64_t)rows->plan->column_count,
        .buffers = rows->buffers,
        .children = rows->arrays,
        .release = release_array};
    return &rows->array;
}
