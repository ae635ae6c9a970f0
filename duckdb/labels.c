/* labels.c - the names of an AnnData's rows and columns, out of its frames. */
#include "anndata.h"

#include <stdlib.h>

static bool stop_at_attribute(void *context, const char *name, const char *type, const char *value)
{
    (void)context;
    (void)name;
    (void)type;
    (void)value;
    return false;
}

bool path_exists(basalt_hdf5 *file, const char *path)
{
    return !basalt_hdf5_each_attribute(file, path, stop_at_attribute, NULL, NULL);
}

const char *path_of(basalt_hdf5 *file, const char *path, const char *old_path)
{
    return !path_exists(file, path) && path_exists(file, old_path) ? old_path : path;
}

struct wanted_attribute {
    const char *name;
    char *out;
    size_t out_bytes;
    bool found;
};

static bool take_attribute(void *context, const char *name, const char *type, const char *value)
{
    struct wanted_attribute *wanted = context;
    const size_t bytes = strlen(value);
    (void)type;
    if (strcmp(name, wanted->name) != 0) return true;
    if (bytes >= 2 && value[0] == '"' && value[bytes - 1] == '"' && bytes <= wanted->out_bytes &&
        !strchr(value, '\\')) {
        memcpy(wanted->out, value + 1, bytes - 2);
        wanted->out[bytes - 2] = 0;
        wanted->found = true;
    }
    return false;
}

bool attribute_text(
    basalt_hdf5 *file, const char *path, const char *name, char *out, size_t out_bytes)
{
    struct wanted_attribute wanted = {name, out, out_bytes, false};
    return !basalt_hdf5_each_attribute(file, path, take_attribute, &wanted, NULL) && wanted.found;
}

/* ---- a column as labels --------------------------------------------------------------------- */

static char *text_copy(const char *text, size_t bytes)
{
    char *copy = calloc(bytes + 1, 1);
    if (copy && bytes) memcpy(copy, text, bytes);
    return copy;
}

/* Row `row` as text: of texts, integers and dictionaries of them. NULL: no memory. */
static char *label_at(
    const struct ArrowSchema *schema, const struct ArrowArray *array, uint64_t row)
{
    char number[32];
    size_t bytes = 0;
    if (!array_is_valid(array, row)) return text_copy("", 0);
    if (schema->dictionary) {
        return label_at(schema->dictionary, array->dictionary, array_code(schema, array, row));
    }
    if (strchr("uUzZ", schema->format[0])) {
        const char *text = array_text(schema, array, row, &bytes);
        return text_copy(text, bytes);
    }
    if (schema->format[0] == 'i') {
        snprintf(number, sizeof number, "%" PRId32, ((const int32_t *)array->buffers[1])[row]);
    } else {
        snprintf(number, sizeof number, "%" PRId64, ((const int64_t *)array->buffers[1])[row]);
    }
    return copy_text(number);
}

static bool can_be_label(const struct ArrowSchema *schema)
{
    if (schema->dictionary) return can_be_label(schema->dictionary);
    return !schema->format[1] && strchr("uUzZil", schema->format[0]);
}

/* The table's column: of that name, or the index. SIZE_MAX: there is none. */
static size_t find_column(const struct ArrowSchema *schema, const char *index, const char *column)
{
    const char *names[] = {
        column ? column : index, column ? NULL : "index", column ? NULL : "_index"};
    for (size_t k = 0; k < COUNT_OF(names); k++) {
        for (int64_t i = 0; names[k] && *names[k] && i < schema->n_children; i++) {
            if (!strcmp(schema->children[i]->name, names[k])) return (size_t)i;
        }
    }
    return column || !schema->n_children ? SIZE_MAX : 0;
}

static bool fill_labels(basalt_hdf5_cursor *cursor, const struct ArrowSchema *schema, uint64_t rows,
    struct labels *labels, basalt_error *error)
{
    const uint64_t step = 65536;
    labels->texts = calloc(rows + 1, sizeof *labels->texts);
    if (!labels->texts) return false;
    for (uint64_t row = 0; row < rows; row += step) {
        struct ArrowArray array;
        if (basalt_hdf5_cursor_read(cursor, row, MIN_OF(step, rows - row), &array, error)) {
            return false;
        }
        for (uint64_t i = 0; i < (uint64_t)array.length; i++) {
            labels->texts[labels->count] = label_at(schema, array.children[0], i);
            if (!labels->texts[labels->count]) break;
            labels->count++;
        }
        const bool whole = labels->count == row + (uint64_t)array.length;
        array.release(&array);
        if (!whole) return false;
    }
    return true;
}

static bool load(basalt_hdf5_table *table, const struct ArrowSchema *schema, size_t column,
    const char *file_name, struct labels *labels, struct failure *failure)
{
    basalt_hdf5_cursor *cursor = NULL;
    basalt_error error = {0};
    basalt_hdf5_table_info info;
    basalt_hdf5_table_get_info(table, &info);
    bool fine = !basalt_hdf5_cursor_open(table, &column, 1, &cursor, &error) &&
        fill_labels(cursor, schema->children[column], info.rows, labels, &error);
    basalt_hdf5_cursor_close(&cursor);
    if (!fine && error.status) return fail_file(failure, file_name, &error);
    return fine ? true : fail_memory(failure);
}

/* The column of the frame, its index if that is NULL, as it is there. */
static bool load_column(basalt_hdf5 *file, const char *file_name, const char *frame,
    const char *column, struct labels *out_labels, struct failure *failure)
{
    char index[512] = "";
    basalt_hdf5_table *table = NULL;
    struct ArrowSchema schema = {0};
    basalt_error error = {0};
    bool fine = true;
    memset(out_labels, 0, sizeof *out_labels);
    (void)attribute_text(file, frame, "_index", index, sizeof index);
    if (basalt_hdf5_table_open(file, frame, NULL, &table, &error) ||
        basalt_hdf5_table_schema(table, &schema, &error)) {
        fine = fail_file(failure, file_name, &error);
    }
    const size_t found = fine ? find_column(&schema, index, column) : SIZE_MAX;
    if (fine && found == SIZE_MAX) {
        fine = fail(failure, "%s: \"%s\" has no column \"%s\"", file_name, frame,
            column ? column : "index");
    } else if (fine && !can_be_label(schema.children[found])) {
        fine = fail(failure,
            "%s: column \"%s\" of \"%s\" has neither texts nor integers, so it "
            "can't name the columns",
            file_name, schema.children[found]->name, frame);
    }
    if (fine) fine = load(table, &schema, found, file_name, out_labels, failure);
    if (schema.release) schema.release(&schema);
    basalt_hdf5_table_close(&table);
    if (!fine) labels_free(out_labels);
    return fine;
}

/* A row that has no name in the column keeps that of the index: a gene without a symbol has an
 * identifier. */
static bool fill_gaps(basalt_hdf5 *file, const char *file_name, const char *frame,
    struct labels *labels, struct failure *failure)
{
    struct labels index = {0};
    size_t gaps = 0;
    for (size_t i = 0; i < labels->count; i++) gaps += !labels->texts[i][0];
    if (!gaps) return true;
    if (!load_column(file, file_name, frame, NULL, &index, failure)) return false;
    for (size_t i = 0; i < MIN_OF(labels->count, index.count); i++) {
        char *gap = labels->texts[i];
        if (gap[0]) continue;
        labels->texts[i] = index.texts[i];
        index.texts[i] = gap;
    }
    labels_free(&index);
    return true;
}

bool labels_load(basalt_hdf5 *file, const char *file_name, const char *frame, const char *column,
    bool number, struct labels *out_labels, struct failure *failure)
{
    bool fine = load_column(file, file_name, frame, column, out_labels, failure);
    if (fine && column) fine = fill_gaps(file, file_name, frame, out_labels, failure);
    if (fine) fine = labels_finish(out_labels, number, failure);
    if (!fine) labels_free(out_labels);
    return fine;
}
