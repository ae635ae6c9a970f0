/* write_npy.c - fixed-width columns in NumPy's .npy format: version 1.0; 2.0 where the header is long;
 * 3.0 where a name is not ASCII.
 *
 *    0   6 bytes  \x93NUMPY
 *    6   2        version
 *    8   2 or 4   bytes of the header, little-endian
 *        header   {'descr': ..., 'fortran_order': False, 'shape': (rows,), }, blanks, a newline; it
 *                 ends on a multiple of 64
 *        rows     one after another, little-endian
 *
 * One column is an array of its values, several are a structured array. A null becomes NaN or NaT;
 * where a type has no such value the column is refused. */
#include "names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NPY_ALIGN 64
#define DIMENSIONS_MAX BASALT_HDF5_RANK_MAX
#define ELEMENT_BYTES_MAX ((uint64_t)1 << 24)

struct npy_column {
    const char *name;
    const char *format; /* of one element: inside the fixed-size lists */
    unsigned depth;     /* fixed-size lists around it */
    uint64_t dimensions[DIMENSIONS_MAX];
    uint64_t elements;              /* a row: the product of the dimensions */
    char descr[24];                 /* "<f8" */
    size_t stored_bytes, npy_bytes; /* of an element; bool is a bit in Arrow: 0 stored */
};

static const char *unit_of(const char *format)
{
    switch (format[2]) {
    case 's': return "s";
    case 'm': return "ms";
    case 'u': return "us";
    default: return "ns";
    }
}

static void describe_time(struct npy_column *column)
{
    const char *format = column->format;
    column->npy_bytes = column->stored_bytes = 8;
    if (strcmp(format, "tdD") == 0) {
        column->stored_bytes = 4;
        snprintf(column->descr, sizeof column->descr, "<M8[D]");
    } else if (strcmp(format, "tdm") == 0) {
        snprintf(column->descr, sizeof column->descr, "<M8[ms]");
    } else if (format[1] == 's') {
        snprintf(column->descr, sizeof column->descr, "<M8[%s]", unit_of(format));
    } else if (format[1] == 'D') {
        snprintf(column->descr, sizeof column->descr, "<m8[%s]", unit_of(format));
    } else { /* the time of a day is a duration since midnight */
        if (format[2] == 's' || format[2] == 'm') column->stored_bytes = 4;
        snprintf(column->descr, sizeof column->descr, "<m8[%s]", unit_of(format));
    }
}

static bool describe_element(struct npy_column *column)
{
    static const char *const numbers[] = {"c|i1", "C|u1", "s<i2", "S<u2", "i<i4", "I<u4", "l<i8",
        "L<u8", "e<f2", "f<f4", "g<f8", "b|b1"};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (column->format[0] != numbers[i][0] || column->format[1]) continue;
        snprintf(column->descr, sizeof column->descr, "%s", numbers[i] + 1);
        column->npy_bytes = (size_t)(numbers[i][3] - '0');
        column->stored_bytes = column->format[0] == 'b' ? 0 : column->npy_bytes;
        return true;
    }
    if (column->format[0] == 't') {
        describe_time(column);
        return true;
    }
    if (strncmp(column->format, "w:", 2) != 0) return false;
    column->npy_bytes = column->stored_bytes = (size_t)strtoull(column->format + 2, NULL, 10);
    snprintf(column->descr, sizeof column->descr, "|V%zu", column->npy_bytes);
    return column->npy_bytes > 0;
}

static basalt_status describe(
    const struct ArrowSchema *schema, struct npy_column *column, basalt_error *err)
{
    *column = (struct npy_column){.name = schema->name ? schema->name : "", .elements = 1};
    const struct ArrowSchema *at = schema;
    bool known = true;
    while (strncmp(at->format, "+w:", 3) == 0 && column->depth < DIMENSIONS_MAX) {
        const uint64_t width = strtoull(at->format + 3, NULL, 10);
        column->dimensions[column->depth++] = width;
        known &= width <= ELEMENT_BYTES_MAX / column->elements;
        column->elements *= known ? width : 1;
        at = at->children[0];
        if (!column->elements) break;
    }
    column->format = at->format;
    if (!known || schema->dictionary || at->dictionary || !describe_element(column)) {
        return fail(err, BASALT_UNSUPPORTED,
            "npy takes columns of fixed width, and %s has the Arrow "
            "type \"%s\": use --format arrow, json or csv",
            column->name, at->format);
    }
    return BASALT_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

static void put_dimensions(FILE *out, const uint64_t *dims, unsigned rank)
{
    for (unsigned i = 0; i < rank; i++) fprintf(out, "%" PRIu64 ",", dims[i]);
}

static void put_python_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\') fputc('\\', out);
        const unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte == 0x7f) {
            fprintf(out, "\\x%02x", byte);
        } else {
            fputc(*text, out);
        }
    }
    fputc('\'', out);
}

static void put_description(
    FILE *out, const struct npy_column *columns, int64_t count, const struct npy_shape *shape)
{
    fputs("{'descr': ", out);
    if (count == 1) {
        fprintf(out, "'%s'", columns[0].descr);
    } else {
        fputc('[', out);
        for (int64_t i = 0; i < count; i++) {
            fputc('(', out);
            put_python_text(out, columns[i].name);
            fprintf(out, ", '%s'", columns[i].descr);
            if (columns[i].depth) {
                fputs(", (", out);
                put_dimensions(out, columns[i].dimensions, columns[i].depth);
                fputc(')', out);
            }
            fputs("), ", out);
        }
        fputc(']', out);
    }
    fprintf(out, ", 'fortran_order': False, 'shape': (%" PRIu64 ",", shape->rows);
    if (count == 1 && shape->rank) {
        put_dimensions(out, shape->dims, shape->rank);
    } else if (count == 1) {
        put_dimensions(out, columns[0].dimensions, columns[0].depth);
    }
    fputs("), }", out);
}

static basalt_status put_header(FILE *out, const struct npy_column *columns, int64_t count,
    const struct npy_shape *shape, basalt_error *err)
{
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (!memory) return fail(err, BASALT_NO_MEMORY, "no memory for the header");
    put_description(memory, columns, count, shape);
    if (fclose(memory)) {
        free(text);
        return fail(err, BASALT_NO_MEMORY, "no memory for the header");
    }
    bool ascii = true;
    for (size_t i = 0; i < length; i++) ascii &= !(text[i] & 0x80);
    const bool long_header = !ascii || length + 10 + NPY_ALIGN > 65535;
    const size_t fixed = long_header ? 12 : 10;
    const size_t whole = (fixed + length + 1 + NPY_ALIGN - 1) / NPY_ALIGN * NPY_ALIGN;
    const size_t field = whole - fixed;
    fwrite("\x93NUMPY", 1, 6, out);
    fputc(!ascii ? 3 : long_header ? 2 : 1, out);
    fputc(0, out);
    for (unsigned i = 0; i < (long_header ? 4u : 2u); i++)
        fputc((int)(field >> (8 * i) & 255), out);
    fwrite(text, 1, length, out);
    for (size_t i = length; i + 1 < field; i++) fputc(' ', out);
    fputc('\n', out);
    free(text);
    return BASALT_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A null as NumPy says it; false if the type has no such value. */
static bool put_null(FILE *out, const struct npy_column *column)
{
    static const uint8_t nan8[] = {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, nan4[] = {0, 0, 0xc0, 0x7f},
                         nan2[] = {0, 0x7e}, not_a_time[] = {0, 0, 0, 0, 0, 0, 0, 0x80};
    switch (column->format[0]) {
    case 'g': return fwrite(nan8, 1, 8, out) == 8;
    case 'f': return fwrite(nan4, 1, 4, out) == 4;
    case 'e': return fwrite(nan2, 1, 2, out) == 2;
    case 't': return fwrite(not_a_time, 1, 8, out) == 8;
    default: return false;
    }
}

static void put_element(
    FILE *out, const struct npy_column *column, const struct ArrowArray *array, int64_t at)
{
    const uint8_t *values = array->buffers[1];
    if (column->format[0] == 'b') {
        fputc(values[at / 8] >> (at % 8) & 1, out);
        return;
    }
    fwrite(values + (size_t)at * column->stored_bytes, 1, column->stored_bytes, out);
    if (column->stored_bytes < column->npy_bytes) { /* 32 bits of time to 64 */
        const int extension = values[(size_t)at * 4 + 3] & 0x80 ? 0xff : 0;
        for (size_t i = column->stored_bytes; i < column->npy_bytes; i++) fputc(extension, out);
    }
}

static basalt_status put_value(FILE *out, const struct npy_column *column,
    const struct ArrowArray *array, int64_t row, basalt_error *err)
{
    bool null = value_is_null(array, row);
    int64_t first = row + array->offset;
    for (unsigned i = 0; i < column->depth; i++) {
        array = array->children[0];
        first = first * (int64_t)column->dimensions[i] + array->offset;
    }
    for (uint64_t i = 0; i < column->elements; i++) {
        const int64_t at = first + (int64_t)i;
        if (!null && !(column->depth && value_is_null(array, at - array->offset))) {
            put_element(out, column, array, at);
        } else if (!put_null(out, column)) {
            return fail(err, BASALT_UNSUPPORTED,
                "column %s has nulls, which npy can't say for its "
                "type: use --format arrow, json or csv",
                column->name);
        }
    }
    return BASALT_OK;
}

static basalt_status put_rows(struct ArrowArrayStream *stream, const struct npy_column *columns,
    int64_t count, uint64_t rows, FILE *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint64_t seen = 0;
    while (!status) {
        struct ArrowArray array;
        status = stream_next(stream, &array, err);
        if (status || !array.release) break;
        seen += (uint64_t)array.length;
        for (int64_t row = 0; row < array.length && !status; row++) {
            for (int64_t i = 0; i < count && !status; i++) {
                status = put_value(out, &columns[i], array.children[i], row + array.offset, err);
            }
        }
        array.release(&array);
        if (!status && ferror(out)) status = fail_write(err);
    }
    if (!status && seen != rows) {
        status = fail(err, BASALT_CONFLICT, "the header says %" PRIu64 " rows and %" PRIu64 " came",
            rows, seen);
    }
    return status;
}

static bool shape_fits(
    const struct npy_shape *shape, const struct npy_column *columns, int64_t count)
{
    uint64_t elements = 1;
    for (unsigned i = 0; i < shape->rank; i++) {
        if (shape->dims[i] && elements > ELEMENT_BYTES_MAX / shape->dims[i]) return false;
        elements *= shape->dims[i];
    }
    return !shape->rank || (count == 1 && elements == columns[0].elements);
}

basalt_status write_npy(
    struct ArrowArrayStream *stream, const struct npy_shape *shape, FILE *out, basalt_error *err)
{
    struct ArrowSchema schema;
    struct npy_column *columns = NULL;
    struct unique_names names = {.count = 0};
    basalt_status status = stream_schema(stream, &schema, err);
    if (status) return status;
    if (schema.n_children < 1)
        status = fail(err, BASALT_UNSUPPORTED, "there is no column to write");
    if (!status) status = unique_names_make(&schema, true, &names, err);
    if (!status) columns = calloc((size_t)schema.n_children, sizeof *columns);
    if (!status && !columns) status = fail(err, BASALT_NO_MEMORY, "no memory for the header");
    for (int64_t i = 0; i < schema.n_children && !status; i++) {
        status = describe(names.schema.children[i], &columns[i], err);
    }
    if (!status && !shape_fits(shape, columns, schema.n_children)) {
        status = fail(err, BASALT_CONFLICT, "the rows do not have the shape that the dataset says");
    }
    if (!status) status = put_header(out, columns, schema.n_children, shape, err);
    if (!status) status = put_rows(stream, columns, schema.n_children, shape->rows, out, err);
    free(columns);
    unique_names_free(&names);
    schema.release(&schema);
    return status;
}
