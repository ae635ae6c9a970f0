/* matrix.c - sparse matrices with a column for each of their columns: what is not stored is zero.
 *
 * CSR: a batch of rows is `indptr` of those rows, then `indices` and `data` of all their entries, of which
 * those of columns that are wanted are put in place. CSC: `indptr` of the columns that are wanted, then
 * their entries, of which those in the batch's rows are. So one column of a CSC is read as fast as it is
 * stored, and every column of a CSR costs as much as all. Entries that repeat are added up, as scipy does.
 *
 * Memory of a thread: the batch, BATCH_BYTES or so, and the entries at hand. */
#include "anndata.h"

#include <stdlib.h>

#define BATCH_BYTES ((uint64_t)8 << 20)
#define CHUNK_COPIES 4 /* of a chunk, while it is decoded */
#define BATCH_ROWS_MAX ((uint64_t)65536)
#define CSC_BATCH_BYTES ((uint64_t)64 << 20) /* each batch reads whole columns again */
#define ENTRIES_MAX ((uint64_t)1 << 21)      /* of a batch of rows, on average */

struct matrix {
    bool by_row;
    uint64_t rows, columns, entries;
    basalt_hdf5_dataset *data, *indices, *pointers;
    char format[2]; /* Arrow's, of a value */
    char number[4]; /* the library's word for it, "<f4" */
    size_t value_bytes;
    char file_name[512];
};

static void matrix_free(void *context)
{
    struct matrix *matrix = context;
    if (!matrix) return;
    basalt_hdf5_dataset_close(&matrix->data);
    basalt_hdf5_dataset_close(&matrix->indices);
    basalt_hdf5_dataset_close(&matrix->pointers);
    free(matrix);
}

/* ---- what a path is ------------------------------------------------------------------------- */

struct shape_words { /* attributes of a sparse matrix */
    char encoding[32];
    uint64_t dims[2];
    bool has_dims;
};

static bool take_shape(void *context, const char *name, const char *type, const char *value)
{
    struct shape_words *words = context;
    (void)type;
    if (!strcmp(name, "encoding-type") || !strcmp(name, "h5sparse_format")) {
        snprintf(words->encoding, sizeof words->encoding, "%.20s", value);
    }
    if (!strcmp(name, "shape") || !strcmp(name, "h5sparse_shape")) {
        words->has_dims =
            sscanf(value, "[%" SCNu64 ",%" SCNu64 "]", &words->dims[0], &words->dims[1]) == 2;
    }
    return true;
}

bool matrix_look(basalt_hdf5 *file, const char *file_name, const char *path,
    struct matrix_shape *out_shape, struct failure *failure)
{
    basalt_hdf5_dataset *dataset = NULL;
    basalt_hdf5_shape shape;
    struct shape_words words = {"", {0, 0}, false};
    basalt_error error = {0};
    *out_shape = (struct matrix_shape){MATRIX_NONE, 0, 0};
    const basalt_status status = basalt_hdf5_dataset_open(file, path, &dataset, &error);
    if (status == BASALT_NOT_FOUND) return true;
    if (!status) {
        basalt_hdf5_dataset_info(dataset, &shape);
        basalt_hdf5_dataset_close(&dataset);
        if (shape.rank == 2) {
            *out_shape = (struct matrix_shape){MATRIX_DENSE, shape.dims[0], shape.dims[1]};
        }
        return true;
    }
    if (status != BASALT_BAD_ARGUMENT) return fail_file(failure, file_name, &error);
    if (basalt_hdf5_each_attribute(file, path, take_shape, &words, &error)) {
        return fail_file(failure, file_name, &error);
    }
    const bool by_row = strstr(words.encoding, "csr") != NULL;
    if (!by_row && !strstr(words.encoding, "csc")) return true;
    if (!words.has_dims) return fail(failure, "%s: \"%s\" has no shape", file_name, path);
    out_shape->kind = by_row ? MATRIX_CSR : MATRIX_CSC;
    out_shape->rows = words.dims[0];
    out_shape->columns = words.dims[1];
    return true;
}

/* ---- opening -------------------------------------------------------------------------------- */

static bool open_member(basalt_hdf5 *file, const char *file_name, const char *path,
    const char *member, basalt_hdf5_dataset **out_dataset, uint64_t *out_count,
    struct failure *failure)
{
    char whole[1024];
    basalt_hdf5_shape shape;
    basalt_error error = {0};
    snprintf(whole, sizeof whole, "%s/%s", path, member);
    if (basalt_hdf5_dataset_open(file, whole, out_dataset, &error)) {
        return fail_file(failure, file_name, &error);
    }
    basalt_hdf5_dataset_info(*out_dataset, &shape);
    *out_count = shape.rank == 1 ? shape.dims[0] : 0;
    if (shape.rank == 1) return true;
    return fail(failure, "%s: \"%s\" is not a row of values", file_name, whole);
}

static void choose_number(struct matrix *matrix)
{
    static const struct {
        const char *word, *format;
        size_t bytes;
    } known[] = {{"f4", "f", 4}, {"f8", "g", 8}, {"i1", "c", 1}, {"u1", "C", 1}, {"i2", "s", 2},
        {"u2", "S", 2}, {"i4", "i", 4}, {"u4", "I", 4}, {"i8", "l", 8}, {"u8", "L", 8}};
    basalt_hdf5_shape shape;
    basalt_hdf5_dataset_info(matrix->data, &shape);
    const char *word = shape.type + strspn(shape.type, "<>|=");
    if (!strcmp(word, "enum bool")) {
        snprintf(matrix->format, sizeof matrix->format, "b");
        snprintf(matrix->number, sizeof matrix->number, "<u1");
        matrix->value_bytes = 1;
        return;
    }
    size_t chosen = 1; /* any other number as a double */
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (!strcmp(known[i].word, word)) chosen = i;
    }
    snprintf(matrix->format, sizeof matrix->format, "%s", known[chosen].format);
    snprintf(matrix->number, sizeof matrix->number, "<%s", known[chosen].word);
    matrix->value_bytes = known[chosen].bytes;
}

static bool matrix_new(basalt_hdf5 *file, const char *file_name, const char *path,
    const struct matrix_shape *shape, struct matrix **out_matrix, struct failure *failure)
{
    uint64_t values = 0, places = 0, pointers = 0;
    struct matrix *matrix = calloc(1, sizeof *matrix);
    *out_matrix = matrix;
    if (!matrix) return fail_memory(failure);
    matrix->by_row = shape->kind == MATRIX_CSR;
    matrix->rows = shape->rows;
    matrix->columns = shape->columns;
    snprintf(matrix->file_name, sizeof matrix->file_name, "%.500s", file_name);
    if (!open_member(file, file_name, path, "data", &matrix->data, &values, failure) ||
        !open_member(file, file_name, path, "indices", &matrix->indices, &places, failure) ||
        !open_member(file, file_name, path, "indptr", &matrix->pointers, &pointers, failure)) {
        return false;
    }
    const uint64_t majors = matrix->by_row ? matrix->rows : matrix->columns;
    if (values != places || pointers != majors + 1) {
        return fail(failure,
            "%s: \"%s\" is damaged: %" PRIu64 " values, %" PRIu64 " indices and %" PRIu64
            " pointers do not go with its shape",
            file_name, path, values, places, pointers);
    }
    matrix->entries = values;
    choose_number(matrix);
    return true;
}

/* A schema of `count` columns of one format, each with its number as its name. */
struct wide_schema {
    struct ArrowSchema *children;
    struct ArrowSchema **pointers;
    char (*names)[24];
};

static void wide_release(struct ArrowSchema *schema)
{
    struct wide_schema *wide = schema->private_data;
    free(wide->children);
    free(wide->pointers);
    free(wide->names);
    free(wide);
    schema->release = NULL;
}

static void child_release(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static bool wide_make(const struct matrix *matrix, struct ArrowSchema *out, struct failure *failure)
{
    const size_t count = (size_t)matrix->columns;
    struct wide_schema *wide = calloc(1, sizeof *wide);
    if (!wide) return fail_memory(failure);
    memset(out, 0, sizeof *out);
    out->format = "+s";
    out->name = "";
    out->private_data = wide;
    out->release = wide_release;
    wide->children = calloc(count + 1, sizeof *wide->children);
    wide->pointers = calloc(count + 1, sizeof *wide->pointers);
    wide->names = calloc(count + 1, sizeof *wide->names);
    if (!wide->children || !wide->pointers || !wide->names) return fail_memory(failure);
    for (size_t i = 0; i < count; i++) {
        snprintf(wide->names[i], sizeof wide->names[i], "%zu", i);
        wide->children[i] = (struct ArrowSchema){
            .format = matrix->format, .name = wide->names[i], .release = child_release};
        wide->pointers[i] = &wide->children[i];
    }
    out->n_children = (int64_t)count;
    out->children = wide->pointers;
    return true;
}

/* ---- readers -------------------------------------------------------------------------------- */

struct reader {
    const struct matrix *matrix;
    size_t count;
    size_t *columns; /* of the matrix */
    int32_t *
        slot_of; /* of each column of the matrix: which of `columns` it is, -1: none; by row only */
    uint64_t memory_bytes; /* that the last read took */
    uint64_t entry_bytes;  /* of it, the most entries at once */
};

static void reader_close(void *data)
{
    struct reader *reader = data;
    if (!reader) return;
    free(reader->columns);
    free(reader->slot_of);
    free(reader);
}

static bool reader_open(const struct scan_part *part, const size_t *columns, size_t column_count,
    void **out_reader, struct failure *failure)
{
    const struct matrix *matrix = part->context;
    struct reader *reader = calloc(1, sizeof *reader);
    *out_reader = NULL;
    if (!reader) return fail_memory(failure);
    reader->matrix = matrix;
    reader->count = column_count;
    reader->columns = calloc(column_count + 1, sizeof *reader->columns);
    reader->slot_of = malloc((matrix->columns + 1) * sizeof *reader->slot_of);
    if (!reader->columns || !reader->slot_of) {
        reader_close(reader);
        return fail_memory(failure);
    }
    for (uint64_t i = 0; i < matrix->columns; i++) reader->slot_of[i] = -1;
    for (size_t i = 0; i < column_count; i++) {
        reader->columns[i] = columns[i];
        reader->slot_of[columns[i]] = (int32_t)i;
    }
    *out_reader = reader;
    return true;
}

static uint64_t reader_batch_rows(const void *data)
{
    const struct reader *reader = data;
    const struct matrix *matrix = reader->matrix;
    const uint64_t row_bytes = MAX_OF(reader->count, 1) * matrix->value_bytes;
    if (!matrix->by_row) return MAX_OF(CSC_BATCH_BYTES / row_bytes, 2048);
    const uint64_t row_entries = matrix->entries / MAX_OF(matrix->rows, 1) + 1;
    uint64_t rows = MIN_OF(BATCH_BYTES / row_bytes, BATCH_ROWS_MAX);
    rows = MIN_OF(rows, ENTRIES_MAX / row_entries);
    return MAX_OF(rows, 64);
}

/* To decode chunks of indices and data in, about. */
static uint64_t chunk_needs(const struct matrix *matrix)
{
    basalt_hdf5_shape data, indices;
    basalt_hdf5_dataset_info(matrix->data, &data);
    basalt_hdf5_dataset_info(matrix->indices, &indices);
    return CHUNK_COPIES *
        MAX_OF(
            data.chunk_dims[0] * data.element_bytes, indices.chunk_dims[0] * indices.element_bytes);
}

static void reader_needs(const void *data, basalt_hdf5_needs *out_needs)
{
    const struct reader *reader = data;
    const struct matrix *matrix = reader->matrix;
    *out_needs = (basalt_hdf5_needs){.row_bytes = reader->count * matrix->value_bytes,
        .chunk_bytes = chunk_needs(matrix),
        .memory_bytes = reader->memory_bytes};
    if (matrix->by_row) {
        out_needs->row_bytes +=
            (matrix->entries / MAX_OF(matrix->rows, 1) + 1) * (8 + matrix->value_bytes);
    } else {
        out_needs->chunk_bytes +=
            (matrix->entries / MAX_OF(matrix->columns, 1) + 1) * (8 + matrix->value_bytes);
    }
}

/* ---- arrays --------------------------------------------------------------------------------- */

struct dense { /* one block of memory: columns of `rows` values */
    struct ArrowArray *children;
    struct ArrowArray **pointers;
    const void **buffers; /* two a column */
    const void *none[1];
    uint8_t *values;
};

static void dense_release(struct ArrowArray *array)
{
    struct dense *dense = array->private_data;
    free(dense->children);
    free(dense->pointers);
    free(dense->buffers);
    free(dense->values);
    free(dense);
    array->release = NULL;
}

static void dense_child_release(struct ArrowArray *array)
{
    array->release = NULL;
}

static basalt_status refuse(basalt_error *error, basalt_status status, const char *sentence)
{
    *error = (basalt_error){.status = status, .file_offset = UINT64_MAX};
    snprintf(error->message, sizeof error->message, "%s", sentence);
    return status;
}

static basalt_status dense_make(
    size_t columns, uint64_t rows, size_t value_bytes, struct ArrowArray *out, basalt_error *error)
{
    struct dense *dense = calloc(1, sizeof *dense);
    memset(out, 0, sizeof *out);
    if (!dense) return refuse(error, BASALT_NO_MEMORY, "there is not enough memory");
    dense->children = calloc(columns + 1, sizeof *dense->children);
    dense->pointers = calloc(columns + 1, sizeof *dense->pointers);
    dense->buffers = calloc(columns * 2 + 1, sizeof *dense->buffers);
    dense->values = calloc(columns * rows + 1, value_bytes);
    *out = (struct ArrowArray){.length = (int64_t)rows,
        .n_buffers = 1,
        .n_children = (int64_t)columns,
        .buffers = dense->none,
        .children = dense->pointers,
        .release = dense_release,
        .private_data = dense};
    if (!dense->children || !dense->pointers || !dense->buffers || !dense->values) {
        dense_release(out);
        return refuse(
            error, BASALT_NO_MEMORY, "there is not enough memory for a batch of the matrix");
    }
    for (size_t i = 0; i < columns; i++) {
        dense->buffers[i * 2 + 1] = dense->values + i * rows * value_bytes;
        dense->children[i] = (struct ArrowArray){.length = (int64_t)rows,
            .n_buffers = 2,
            .buffers = dense->buffers + i * 2,
            .release = dense_child_release};
        dense->pointers[i] = &dense->children[i];
    }
    return BASALT_OK;
}

/* ---- entries -------------------------------------------------------------------------------- */

struct entries { /* [first, first + count) of indices and data */
    uint64_t first, count;
    int64_t *places;
    uint8_t *values;
};

static void entries_free(struct entries *entries)
{
    free(entries->places);
    free(entries->values);
}

static basalt_status read_range(const basalt_hdf5_dataset *dataset, const char *type,
    uint64_t first, uint64_t count, void *out, size_t bytes, basalt_error *error)
{
    basalt_hdf5_read_options options;
    basalt_hdf5_read_options_init(&options, sizeof options);
    options.select = BASALT_HDF5_HYPERSLAB;
    options.start = &first;
    options.count = &count;
    options.type = type;
    options.alone = true;
    if (!count) return BASALT_OK;
    return basalt_hdf5_read(dataset, &options, out, count * bytes, error);
}

static basalt_status entries_read(const struct matrix *matrix, uint64_t first, uint64_t count,
    struct entries *out, basalt_error *error)
{
    *out = (struct entries){.first = first, .count = count};
    out->places = malloc((count + 1) * sizeof *out->places);
    out->values = malloc((count + 1) * matrix->value_bytes);
    if (!out->places || !out->values) {
        return refuse(
            error, BASALT_NO_MEMORY, "there is not enough memory for a batch of the matrix");
    }
    const basalt_status status =
        read_range(matrix->indices, "<i8", first, count, out->places, 8, error);
    if (status) return status;
    return read_range(
        matrix->data, matrix->number, first, count, out->values, matrix->value_bytes, error);
}

/* `count` + 1 pointers from `first` on, which must not fall nor leave the entries. */
static basalt_status pointers_read(const struct matrix *matrix, uint64_t first, uint64_t count,
    int64_t **out_pointers, basalt_error *error)
{
    int64_t *pointers = malloc((count + 1) * sizeof *pointers);
    *out_pointers = pointers;
    if (!pointers) return refuse(error, BASALT_NO_MEMORY, "there is not enough memory");
    const basalt_status status =
        read_range(matrix->pointers, "<i8", first, count + 1, pointers, 8, error);
    if (status) return status;
    for (uint64_t i = 0; i <= count; i++) {
        const int64_t low = i ? pointers[i - 1] : 0;
        if (pointers[i] < low || (uint64_t)pointers[i] > matrix->entries) {
            return refuse(
                error, BASALT_CORRUPT, "its indptr is damaged: it falls, or leaves the data");
        }
    }
    return BASALT_OK;
}

static void add_value(const char *format, uint8_t *at, const uint8_t *value)
{
    switch (format[0]) {
    case 'f': *(float *)(void *)at += *(const float *)(const void *)value; break;
    case 'g': *(double *)(void *)at += *(const double *)(const void *)value; break;
    case 'b': *at |= *value != 0; break;
    case 'c':
    case 'C': *at = (uint8_t)(*at + *value); break;
    case 's':
    case 'S': {
        uint16_t *sum = (uint16_t *)(void *)at;
        *sum = (uint16_t)(*sum + *(const uint16_t *)(const void *)value);
        break;
    }
    case 'i':
    case 'I': *(uint32_t *)(void *)at += *(const uint32_t *)(const void *)value; break;
    default: *(uint64_t *)(void *)at += *(const uint64_t *)(const void *)value; break;
    }
}

/* ---- batches -------------------------------------------------------------------------------- */

static basalt_status fill_by_row(const struct reader *reader, uint64_t first, uint64_t rows,
    const int64_t *pointers, const struct entries *entries, struct ArrowArray *out,
    basalt_error *error)
{
    const struct matrix *matrix = reader->matrix;
    const struct dense *dense = out->private_data;
    const size_t width = matrix->value_bytes;
    (void)first;
    for (uint64_t row = 0; row < rows; row++) {
        const uint64_t end = (uint64_t)pointers[row + 1] - entries->first;
        for (uint64_t i = (uint64_t)pointers[row] - entries->first; i < end; i++) {
            const uint64_t column = (uint64_t)entries->places[i];
            if (column >= matrix->columns) {
                return refuse(error, BASALT_CORRUPT, "its indices are damaged: one is no column");
            }
            const int32_t slot = reader->slot_of[column];
            if (slot < 0) continue;
            add_value(matrix->format, dense->values + ((uint64_t)slot * rows + row) * width,
                entries->values + i * width);
        }
    }
    return BASALT_OK;
}

static basalt_status read_by_row(struct reader *reader, uint64_t first, uint64_t rows,
    struct ArrowArray *out, basalt_error *error)
{
    int64_t *pointers = NULL;
    struct entries entries = {0};
    basalt_status status = pointers_read(reader->matrix, first, rows, &pointers, error);
    if (!status) {
        status = entries_read(reader->matrix, (uint64_t)pointers[0],
            (uint64_t)(pointers[rows] - pointers[0]), &entries, error);
    }
    reader->entry_bytes = (entries.count + rows) * 8 + entries.count * reader->matrix->value_bytes;
    if (!status) status = fill_by_row(reader, first, rows, pointers, &entries, out, error);
    entries_free(&entries);
    free(pointers);
    return status;
}

static basalt_status read_column(struct reader *reader, size_t slot, uint64_t first, uint64_t rows,
    struct ArrowArray *out, basalt_error *error)
{
    const struct matrix *matrix = reader->matrix;
    const struct dense *dense = out->private_data;
    const size_t width = matrix->value_bytes;
    int64_t *pointers = NULL;
    struct entries entries = {0};
    basalt_status status = pointers_read(matrix, reader->columns[slot], 1, &pointers, error);
    if (!status) {
        status = entries_read(
            matrix, (uint64_t)pointers[0], (uint64_t)(pointers[1] - pointers[0]), &entries, error);
    }
    reader->entry_bytes = MAX_OF(reader->entry_bytes, entries.count * (8 + width));
    for (uint64_t i = 0; !status && i < entries.count; i++) {
        const uint64_t row = (uint64_t)entries.places[i];
        if (row >= matrix->rows) {
            status = refuse(error, BASALT_CORRUPT, "its indices are damaged: one is no row");
        } else if (row >= first && row < first + rows) {
            add_value(matrix->format, dense->values + (slot * rows + row - first) * width,
                entries.values + i * width);
        }
    }
    entries_free(&entries);
    free(pointers);
    return status;
}

/* Arrow's truths are bits: a byte takes eight that stand at its own place or behind it. */
static void pack_bits(uint8_t *values, uint64_t rows)
{
    for (uint64_t i = 0; i < rows; i += 8) {
        unsigned bits = 0;
        for (uint64_t k = 0; k < 8 && i + k < rows; k++) bits |= (unsigned)values[i + k] << k;
        values[i / 8] = (uint8_t)bits;
    }
}

static basalt_status reader_read(
    void *data, uint64_t first, uint64_t count, struct ArrowArray *out_array, basalt_error *err)
{
    struct reader *reader = data;
    reader->entry_bytes = 0;
    basalt_status status =
        dense_make(reader->count, count, reader->matrix->value_bytes, out_array, err);
    if (status || !count) return status;
    if (reader->matrix->by_row) {
        status = read_by_row(reader, first, count, out_array, err);
    } else {
        for (size_t i = 0; !status && i < reader->count; i++) {
            status = read_column(reader, i, first, count, out_array, err);
        }
    }
    for (size_t i = 0; !status && reader->matrix->format[0] == 'b' && i < reader->count; i++) {
        pack_bits(((struct dense *)out_array->private_data)->values + i * count, count);
    }
    reader->memory_bytes = reader->entry_bytes +
        reader->count * count * reader->matrix->value_bytes + chunk_needs(reader->matrix);
    if (status) out_array->release(out_array);
    return status;
}

static const struct scan_source matrix_source = {
    reader_open, reader_close, reader_batch_rows, reader_read, reader_needs};

bool matrix_open_wide(struct scan_part *part, const char *path, const struct matrix_shape *shape,
    struct failure *failure)
{
    struct matrix *matrix = NULL;
    const bool fine = matrix_new(part->file, part->path, path, shape, &matrix, failure);
    part->context = matrix;
    part->free_context = matrix_free;
    if (!fine || !wide_make(matrix, &part->schema, failure)) return false;
    part->source = &matrix_source;
    part->rows = shape->rows;
    return name_columns(part, failure);
}
