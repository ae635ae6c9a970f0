/* anndata_info.c - what an AnnData file is: anndata_info; and what it keeps besides: anndata_scan_uns. */
#include "anndata.h"
#include "listing.h"
#include "text.h"

#include <stdlib.h>

#define VALUE_ITEMS_MAX 100 /* of a list that is shown whole */

/* ---- values as text ------------------------------------------------------------------------- */

static void put_number(struct text_buffer *text, const struct ArrowSchema *schema,
    const struct ArrowArray *array, uint64_t row)
{
    char number[64];
    const void *data = array->buffers[1];
    switch (schema->format[0]) {
    case 'b':
        snprintf(number, sizeof number, "%s",
            ((const uint8_t *)data)[row >> 3] >> (row & 7) & 1 ? "true" : "false");
        break;
    case 'c': snprintf(number, sizeof number, "%d", ((const int8_t *)data)[row]); break;
    case 'C': snprintf(number, sizeof number, "%u", ((const uint8_t *)data)[row]); break;
    case 's': snprintf(number, sizeof number, "%d", ((const int16_t *)data)[row]); break;
    case 'S': snprintf(number, sizeof number, "%u", ((const uint16_t *)data)[row]); break;
    case 'i': snprintf(number, sizeof number, "%" PRId32, ((const int32_t *)data)[row]); break;
    case 'I': snprintf(number, sizeof number, "%" PRIu32, ((const uint32_t *)data)[row]); break;
    case 'l': snprintf(number, sizeof number, "%" PRId64, ((const int64_t *)data)[row]); break;
    case 'L': snprintf(number, sizeof number, "%" PRIu64, ((const uint64_t *)data)[row]); break;
    case 'f': snprintf(number, sizeof number, "%.9g", (double)((const float *)data)[row]); break;
    default: snprintf(number, sizeof number, "%.17g", ((const double *)data)[row]); break;
    }
    put_bytes(text, number, strlen(number));
}

static bool is_shown(const struct ArrowSchema *schema)
{
    return !schema->dictionary && !schema->format[1] && strchr("bcCsSiIlLfguU", schema->format[0]);
}

/* Rows of the table's one column: "3", or "[a, b]" if it is a list. */
static void put_rows(struct text_buffer *text, const struct ArrowSchema *schema,
    const struct ArrowArray *array, bool list)
{
    if (list) put_bytes(text, "[", 1);
    for (uint64_t row = 0; row < (uint64_t)array->length; row++) {
        size_t bytes = 0;
        if (row) put_bytes(text, ", ", 2);
        if (!array_is_valid(array, row)) {
            put_bytes(text, "NULL", 4);
        } else if (strchr("uU", schema->format[0])) {
            const char *value = array_text(schema, array, row, &bytes);
            put_bytes(text, value, bytes);
        } else {
            put_number(text, schema, array, row);
        }
    }
    if (list) put_bytes(text, "]", 1);
}

/* The value of a dataset; NULL: it is too large, or of a type that is not shown. To be freed. */
static char *value_of(basalt_hdf5 *file, const char *path, uint64_t rows, bool list)
{
    basalt_hdf5_table *table = NULL;
    basalt_hdf5_cursor *cursor = NULL;
    basalt_hdf5_scan_options options;
    struct ArrowSchema schema = {0};
    struct ArrowArray array = {0};
    struct text_buffer text = {0};
    if (rows > VALUE_ITEMS_MAX) return NULL;
    basalt_hdf5_scan_options_init(&options, sizeof options);
    options.layout = BASALT_HDF5_LAYOUT_PLAIN;
    options.without_dictionaries = true;
    if (!basalt_hdf5_table_open(file, path, &options, &table, NULL) &&
        !basalt_hdf5_table_schema(table, &schema, NULL) && schema.n_children == 1 &&
        is_shown(schema.children[0]) && !basalt_hdf5_cursor_open(table, NULL, 0, &cursor, NULL) &&
        !basalt_hdf5_cursor_read(cursor, 0, rows, &array, NULL)) {
        put_rows(&text, schema.children[0], array.children[0], list);
    }
    if (array.release) array.release(&array);
    if (schema.release) schema.release(&schema);
    basalt_hdf5_cursor_close(&cursor);
    basalt_hdf5_table_close(&table);
    return text.bytes;
}

/* ---- uns ------------------------------------------------------------------------------------ */

static const struct listing_column uns_columns[] = {{"key", CELL_TEXT}, {"type", CELL_TEXT},
    {"dtype", CELL_TEXT}, {"shape", CELL_NUMBERS}, {"value", CELL_TEXT}, {"filename", CELL_TEXT}};

struct uns {
    struct listing *listing;
    basalt_hdf5 *file;
    const char *file_name;
    unsigned
        inside; /* depth of the encoded group at hand, whose parts are no rows; UINT32_MAX: none */
};

/* How many numbers of `out_shape` there are for a group that stands for one value; 0: it is none. */
static size_t shape_of_encoded(const struct uns *uns, const char *path, const char *encoding,
    uint64_t out_shape[2], bool *out_list)
{
    basalt_hdf5_table_info info;
    struct matrix_shape matrix;
    struct failure failure;
    *out_list = !strcmp(encoding, "categorical") || !strncmp(encoding, "nullable-", 9);
    if (*out_list || !strcmp(encoding, "dataframe")) {
        if (basalt_hdf5_describe_table(uns->file, path, &info, NULL)) return 0;
        out_shape[0] = info.rows;
        out_shape[1] = info.columns;
        return *out_list ? 1 : 2;
    }
    if (!matrix_look(uns->file, uns->file_name, path, &matrix, &failure)) return 0;
    out_shape[0] = matrix.rows;
    out_shape[1] = matrix.columns;
    return matrix.kind == MATRIX_NONE ? 0 : 2;
}

/* A group that is a categorical, a frame …: one row. What is no such group is left to its members. */
static void add_encoded(struct uns *uns, const basalt_hdf5_entry *entry)
{
    struct listing *listing = uns->listing;
    uint64_t shape[2];
    bool list;
    char encoding[64];
    if (!attribute_text(uns->file, entry->path, "encoding-type", encoding, sizeof encoding)) return;
    const size_t rank = shape_of_encoded(uns, entry->path, encoding, shape, &list);
    if (!rank) return;
    char *value = list ? value_of(uns->file, entry->path, shape[0], true) : NULL;
    uns->inside = entry->depth;
    add_text(listing, entry->path + strlen("/uns/"));
    add_text(listing, encoding);
    add_null(listing);
    add_numbers(listing, shape, rank);
    add_text(listing, value);
    add_text(listing, uns->file_name);
    free(value);
}

static bool add_uns(void *context, const basalt_hdf5_entry *entry)
{
    struct uns *uns = context;
    struct listing *listing = uns->listing;
    if (entry->depth > uns->inside) return true;
    uns->inside = UINT32_MAX;
    if (entry->depth > 0 && entry->kind == BASALT_HDF5_GROUP) add_encoded(uns, entry);
    if (entry->depth == 0 || entry->kind != BASALT_HDF5_DATASET) return !listing->failed;
    char *value = entry->rank <= 1
        ? value_of(uns->file, entry->path, entry->rank ? entry->dims[0] : 1, entry->rank == 1)
        : NULL;
    add_text(listing, entry->path + strlen("/uns/"));
    add_text(listing, entry->rank == 0 ? "scalar" : "array");
    add_text(listing, entry->type);
    add_numbers(listing, entry->dims, entry->rank);
    add_text(listing, value);
    add_text(listing, uns->file_name);
    free(value);
    return !listing->failed;
}

static bool look_uns(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    (void)inside;
    basalt_hdf5 *file = NULL;
    basalt_error error = {0};
    if (basalt_hdf5_open(path, &file, &error)) return fail_file(failure, path, &error);
    struct uns uns = {listing, file, path, UINT32_MAX};
    const basalt_status status = basalt_hdf5_walk(file, "/uns", UINT32_MAX, add_uns, &uns, &error);
    basalt_hdf5_close(&file);
    return status && status != BASALT_NOT_FOUND ? fail_file(failure, path, &error) : true;
}

/* ---- info ----------------------------------------------------------------------------------- */

static const struct listing_column info_columns[] = {
    {"property", CELL_TEXT}, {"value", CELL_TEXT}, {"filename", CELL_TEXT}};

static void add_property(
    struct listing *listing, const char *name, const char *value, const char *file_name)
{
    add_text(listing, name);
    add_text(listing, value);
    add_text(listing, file_name);
}

struct names {
    struct text_buffer text;
    unsigned depth;
};

static bool add_name(void *context, const basalt_hdf5_entry *entry)
{
    struct names *names = context;
    const char *last = strrchr(entry->path, '/');
    if (entry->depth != names->depth) return true;
    if (names->text.count) put_bytes(&names->text, ", ", 2);
    put_bytes(&names->text, last ? last + 1 : entry->path, strlen(last ? last + 1 : entry->path));
    return true;
}

/* What is in a group, as a list; nothing if it is not there. */
static void add_members(
    struct listing *listing, basalt_hdf5 *file, const char *group, const char *file_name)
{
    struct names names = {.depth = 1};
    if (!basalt_hdf5_walk(file, group, 1, add_name, &names, NULL) && names.text.count) {
        add_property(listing, group + 1, names.text.bytes, file_name);
    }
    free(names.text.bytes);
}

static void add_frame(struct listing *listing, basalt_hdf5 *file, const char *frame,
    const char *count_name, const char *file_name)
{
    basalt_hdf5_table *table = NULL;
    basalt_hdf5_table_info info;
    struct ArrowSchema schema = {0};
    struct text_buffer text = {0};
    char number[32];
    if (basalt_hdf5_table_open(file, frame, NULL, &table, NULL)) return;
    basalt_hdf5_table_get_info(table, &info);
    snprintf(number, sizeof number, "%" PRIu64, info.rows);
    add_property(listing, count_name, number, file_name);
    if (!basalt_hdf5_table_schema(table, &schema, NULL)) {
        for (int64_t i = 0; i < schema.n_children; i++) {
            if (i) put_bytes(&text, ", ", 2);
            put_bytes(&text, schema.children[i]->name, strlen(schema.children[i]->name));
        }
        add_property(listing, frame + 1, text.bytes, file_name);
        schema.release(&schema);
    }
    free(text.bytes);
    basalt_hdf5_table_close(&table);
}

static bool add_matrix(struct listing *listing, basalt_hdf5 *file, const char *path,
    const char *file_name, struct failure *failure)
{
    static const char *const kinds[] = {"", "dense", "csr", "csc"};
    struct matrix_shape shape;
    char text[96];
    if (!matrix_look(file, file_name, path, &shape, failure)) return false;
    if (shape.kind == MATRIX_NONE) return true;
    snprintf(text, sizeof text, "%s %" PRIu64 " x %" PRIu64, kinds[shape.kind], shape.rows,
        shape.columns);
    add_property(listing, path + 1, text, file_name);
    return true;
}

static bool look_info(
    struct listing *listing, const char *path, const char *inside, struct failure *failure)
{
    (void)inside;
    static const char *const groups[] = {
        "/layers", "/obsm", "/varm", "/obsp", "/varp", "/uns", "/raw/varm"};
    basalt_hdf5 *file = NULL;
    basalt_error error = {0};
    char version[64] = "";
    if (basalt_hdf5_open(path, &file, &error)) return fail_file(failure, path, &error);
    bool fine = path_exists(file, "/obs") && path_exists(file, "/var");
    if (!fine) {
        (void)fail(failure, "%s is no AnnData: it has no \"/obs\" and \"/var\"", path);
    } else {
        if (attribute_text(file, "/", "encoding-version", version, sizeof version)) {
            add_property(listing, "encoding-version", version, path);
        }
        add_frame(listing, file, "/obs", "n_obs", path);
        add_frame(listing, file, "/var", "n_vars", path);
        fine = add_matrix(listing, file, "/X", path, failure) &&
            add_matrix(listing, file, path_of(file, "/raw/X", "/raw.X"), path, failure);
    }
    for (size_t i = 0; fine && i < COUNT_OF(groups); i++) {
        add_members(listing, file, groups[i], path);
    }
    basalt_hdf5_close(&file);
    return fine;
}

/* ---- functions ------------------------------------------------------------------------------ */

static void bind_uns(duckdb_bind_info info)
{
    listing_bind_files(info, uns_columns, COUNT_OF(uns_columns), NULL, look_uns);
}

static void bind_info(duckdb_bind_info info)
{
    listing_bind_files(info, info_columns, COUNT_OF(info_columns), NULL, look_info);
}

bool register_anndata_info(duckdb_connection connection)
{
    return register_and_free(connection, listing_function("anndata_scan_uns", 1, bind_uns)) &&
        register_and_free(connection, listing_function("anndata_info", 1, bind_info));
}
