/* reading_fixture.h - arrays compared value by value, and a larger file, for tests of who reads tables. */
#ifndef READING_FIXTURE_H
#define READING_FIXTURE_H

#include "tests/unit/tables/tables_fixture.h"

#include <stdlib.h>

#define CHUNK_ROWS 512
#define WIDE_ROWS 6000 /* the file is large enough for a cache of chunks */
#define WIDE_COLUMNS 12

/* ---- arrays compared --------------------------------------------------------------------------- */

static inline bool is_valid(const struct ArrowArray *array, int64_t row)
{
    const uint8_t *map = array->n_buffers ? array->buffers[0] : NULL;
    return !map || (map[row >> 3] >> (row & 7) & 1);
}

static inline bool bit(const struct ArrowArray *array, int64_t row)
{
    return ((const uint8_t *)array->buffers[1])[row >> 3] >> (row & 7) & 1;
}

static inline int64_t offset_at(const struct ArrowArray *array, int64_t row)
{
    return ((const int32_t *)array->buffers[1])[row];
}

static inline size_t width_of(const char *format)
{
    const bool short_time =
        !strcmp(format, "tdD") || !strcmp(format, "tts") || !strcmp(format, "ttm");
    switch (short_time ? 'i' : format[0]) {
    case 'c':
    case 'C': return 1;
    case 's':
    case 'S':
    case 'e': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'w': return (size_t)strtoull(format + 2, NULL, 10);
    default: return 8; /* l L g, times */
    }
}

static inline int64_t large_offset_at(const struct ArrowArray *array, int64_t row)
{
    return ((const int64_t *)array->buffers[1])[row];
}

static inline bool same_text(
    bool large, const struct ArrowArray *a, int64_t i, const struct ArrowArray *b, int64_t j)
{
    int64_t (*const offset)(const struct ArrowArray *, int64_t) =
        large ? large_offset_at : offset_at;
    const int64_t at = offset(a, i), of = offset(b, j), count = offset(a, i + 1) - at;
    if (count != offset(b, j + 1) - of) return false;
    return !count ||
        !memcmp((const char *)a->buffers[2] + at, (const char *)b->buffers[2] + of, (size_t)count);
}

static inline bool same_value(const struct ArrowSchema *schema, const struct ArrowArray *a,
    int64_t i, const struct ArrowArray *b, int64_t j);

static inline bool same_range(const struct ArrowSchema *schema, const struct ArrowArray *a,
    int64_t i, const struct ArrowArray *b, int64_t j, int64_t count)
{
    for (int64_t k = 0; k < count; k++)
        if (!same_value(schema, a, i + k, b, j + k)) return false;
    return true;
}

static inline bool same_nested(const struct ArrowSchema *schema, const struct ArrowArray *a,
    int64_t i, const struct ArrowArray *b, int64_t j)
{
    if (schema->format[1] == 'w') {
        const int64_t count = (int64_t)strtoll(schema->format + 3, NULL, 10);
        return same_range(
            schema->children[0], a->children[0], i * count, b->children[0], j * count, count);
    }
    if (schema->format[1] == 'l') {
        const int64_t at = offset_at(a, i), count = offset_at(a, i + 1) - at;
        return count == offset_at(b, j + 1) - offset_at(b, j) &&
            same_range(
                schema->children[0], a->children[0], at, b->children[0], offset_at(b, j), count);
    }
    for (int64_t k = 0; k < schema->n_children; k++)
        if (!same_value(schema->children[k], a->children[k], i, b->children[k], j)) return false;
    return true;
}

static inline bool same_value(const struct ArrowSchema *schema, const struct ArrowArray *a,
    int64_t i, const struct ArrowArray *b, int64_t j)
{
    const size_t width = width_of(schema->format);
    if (is_valid(a, i) != is_valid(b, j)) return false;
    if (!is_valid(a, i)) return true;
    switch (schema->format[0]) {
    case '+': return same_nested(schema, a, i, b, j);
    case 'b': return bit(a, i) == bit(b, j);
    case 'u':
    case 'z': return same_text(false, a, i, b, j);
    case 'U':
    case 'Z': return same_text(true, a, i, b, j);
    default:
        return !memcmp((const char *)a->buffers[1] + (size_t)i * width,
            (const char *)b->buffers[1] + (size_t)j * width, width);
    }
}

/* The whole table as one array, by a stream: the tables here fit in one batch. */
static inline basalt_status whole(struct bs_hdf5 *file, const char *path,
    const basalt_hdf5_scan_options *options, struct ArrowArray *out, basalt_error *error)
{
    struct ArrowArrayStream stream;
    bool end = false;
    basalt_status status = bs_hdf5_scan(file, path, options, &stream, error);
    if (status) return status;
    status = bs_stream_next(&stream, out, &end, error);
    if (!status) CHECK(!end);
    stream.release(&stream);
    return status;
}

/* ---- larger tables, of which only parts are read ------------------------------------------------ */

/* 12 columns in chunks of 512 rows and 2 columns: element (r, c) is r * 100 + c. A frame of a categorical
 * column and numbers. */
static inline const char *wide_file(void)
{
    static char path[512];
    static const char *const categories[] = {"low", "high", "none"};
    static const hsize_t dims[] = {WIDE_ROWS, WIDE_COLUMNS}, chunk[] = {CHUNK_ROWS, 2},
                         three[] = {3};
    static double values[WIDE_ROWS][WIDE_COLUMNS];
    static int8_t codes[WIDE_ROWS];
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("wide.h5"));
    for (int i = 0; i < WIDE_ROWS; i++) {
        codes[i] = (int8_t)(i % 4 - 1);
        for (int k = 0; k < WIDE_COLUMNS; k++) values[i][k] = i * 100 + k;
    }
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), text = text_type(0);
    H5Pset_chunk(chunked, 2, chunk);
    H5Pset_fletcher32(chunked);
    put(file, "matrix", H5T_NATIVE_DOUBLE, 2, dims, values, chunked);
    put(file, "contiguous", H5T_NATIVE_DOUBLE, 2, dims, values, H5P_DEFAULT);
    H5Pset_chunk(chunked, 1, chunk);
    const hid_t level = make_group(file, "level", "categorical");
    put(level, "codes", H5T_NATIVE_INT8, 1, dims, codes, chunked);
    put(level, "categories", text, 1, three, categories, H5P_DEFAULT);
    H5Gclose(level);
    H5Tclose(text);
    H5Pclose(chunked);
    H5Fclose(file);
    return path;
}

/* A byte of each of these places is another, 9 behind where it begins. */
static inline void copy_with_wrong_bytes(
    const char *whole_path, const char *path, const haddr_t *places, unsigned count)
{
    FILE *from = fopen(whole_path, "rb"), *to = fopen(path, "wb");
    CHECK(from && to);
    for (haddr_t at = 0; from && to; at++) {
        int byte = fgetc(from);
        if (byte == EOF) break;
        for (unsigned i = 0; i < count; i++) byte ^= at == places[i] + 9;
        fputc(byte, to);
    }
    if (from) fclose(from);
    if (to) fclose(to);
}

/* A copy of the file in which a byte of every chunk of the matrix's columns 4 and 5 is wrong. */
static inline const char *damaged_file(void)
{
    static char path[512];
    const char *whole_path = wide_file();
    snprintf(path, sizeof path, "%s", test_path("damaged.h5"));
    const hid_t file = H5Fopen(whole_path, H5F_ACC_RDONLY, H5P_DEFAULT);
    const hid_t matrix = H5Dopen2(file, "matrix", H5P_DEFAULT);
    haddr_t places[16];
    unsigned count = 0;
    for (hsize_t row = 0; row < WIDE_ROWS; row += CHUNK_ROWS) {
        const hsize_t offset[] = {row, 4};
        unsigned mask;
        hsize_t bytes;
        CHECK(H5Dget_chunk_info_by_coord(matrix, offset, &mask, &places[count++], &bytes) >= 0);
    }
    H5Dclose(matrix);
    H5Fclose(file);
    copy_with_wrong_bytes(whole_path, path, places, count);
    return path;
}

static const basalt_hdf5_scan_options wide_options = {
    .row_count = UINT64_MAX, .layout = BASALT_HDF5_LAYOUT_WIDE};

#endif
