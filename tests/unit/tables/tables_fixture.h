/* tables_fixture.h - files that libhdf5 makes for the tests of this floor: one table of each kind. */
#ifndef TABLES_FIXTURE_H
#define TABLES_FIXTURE_H

#include "tables/tables.h"
#include "tests/harness/test.h"

#include <hdf5.h>

/* ---- a file with one of each ---------------------------------------------------------------- */

static inline void put(hid_t parent, const char *name, hid_t type, int rank, const hsize_t *dims,
    const void *data, hid_t properties)
{
    const hid_t space = H5Screate_simple(rank, dims, NULL);
    const hid_t set = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    CHECK(set >= 0);
    CHECK(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    H5Dclose(set);
    H5Sclose(space);
}

static inline void put_attribute(
    hid_t object, const char *name, hid_t type, hsize_t count, const void *data)
{
    const hid_t space = count ? H5Screate_simple(1, &count, NULL) : H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Awrite(attribute, type, data) >= 0);
    H5Aclose(attribute);
    H5Sclose(space);
}

static inline hid_t text_type(size_t bytes)
{
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes ? bytes : H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

static inline hid_t make_group(hid_t parent, const char *name, const char *encoding)
{
    const hid_t group = H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (encoding) {
        const hid_t type = text_type(strlen(encoding));
        put_attribute(group, "encoding-type", type, 0, encoding);
        H5Tclose(type);
    }
    return group;
}

#define ROWS 40 /* of every table */

struct record {
    int32_t number;
    double value;
    char text[4];
};

static inline void put_records(hid_t file)
{
    static struct record records[ROWS];
    const hsize_t dims[] = {ROWS};
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof records[0]), text = text_type(4);
    for (int i = 0; i < ROWS; i++) records[i] = (struct record){i, i / 2.0, "abc"};
    H5Tinsert(type, "number", HOFFSET(struct record, number), H5T_NATIVE_INT32);
    H5Tinsert(type, "value", HOFFSET(struct record, value), H5T_NATIVE_DOUBLE);
    H5Tinsert(type, "text", HOFFSET(struct record, text), text);
    put(file, "records", type, 1, dims, records, H5P_DEFAULT);
    H5Tclose(text);
    H5Tclose(type);
}

static inline void put_frame(hid_t file)
{
    static const char *const categories[] = {"red", "green"}, *const order[] = {"colour", "maybe"};
    int8_t codes[ROWS], mask[ROWS], none[2] = {0};
    int64_t numbers[ROWS];
    const hsize_t rows[] = {ROWS}, two[] = {2};
    const hid_t text = text_type(0), name = text_type(5);
    const hid_t frame = make_group(file, "frame", "dataframe");
    const hid_t colour = make_group(frame, "colour", "categorical");
    const hid_t named = make_group(colour, "categories", "nullable-string-array");
    const hid_t maybe = make_group(frame, "maybe", "nullable-integer");
    for (int i = 0; i < ROWS; i++) {
        codes[i] = (int8_t)(i % 3 - 1);
        mask[i] = i % 4 == 0;
        numbers[i] = i;
    }
    put_attribute(frame, "_index", name, 0, "index");
    put_attribute(frame, "column-order", text, 2, order);
    put(frame, "index", H5T_NATIVE_INT64, 1, rows, numbers, H5P_DEFAULT);
    put(colour, "codes", H5T_NATIVE_INT8, 1, rows, codes, H5P_DEFAULT);
    put(named, "values", text, 1, two, categories, H5P_DEFAULT);
    put(named, "mask", H5T_NATIVE_INT8, 1, two, none, H5P_DEFAULT);
    put(maybe, "values", H5T_NATIVE_INT64, 1, rows, numbers, H5P_DEFAULT);
    put(maybe, "mask", H5T_NATIVE_INT8, 1, rows, mask, H5P_DEFAULT);
    H5Gclose(maybe);
    H5Gclose(named);
    H5Gclose(colour);
    H5Gclose(frame);
    H5Tclose(name);
    H5Tclose(text);
}

static inline void put_datasets(hid_t file)
{
    static int32_t numbers[ROWS * 6];
    static const char *texts[ROWS];
    const hsize_t rows[] = {ROWS}, cube[] = {ROWS, 2, 3}, chunk[] = {7};
    const hid_t text = text_type(0), chunked = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(chunked, 1, chunk);
    H5Pset_shuffle(chunked);
    H5Pset_deflate(chunked, 4);
    for (int i = 0; i < ROWS * 6; i++) numbers[i] = i;
    for (int i = 0; i < ROWS; i++) texts[i] = i % 2 ? "odd \xC3\xA4" : "";
    put(file, "chunked", H5T_NATIVE_INT32, 1, rows, numbers, chunked);
    put(file, "cube", H5T_NATIVE_INT32, 3, cube, numbers, H5P_DEFAULT);
    put(file, "texts", text, 1, rows, texts, H5P_DEFAULT);
    H5Pclose(chunked);
    H5Tclose(text);
}

/* Records in records, a list, a dictionary, a reference, an array. */
/* References to a slab, to points, to nothing. */
static inline void put_regions(hid_t file)
{
    hdset_reg_ref_t regions[3];
    const hsize_t dims[] = {3}, cube[] = {ROWS, 2, 3}, start[] = {1, 0, 1}, stride[] = {4, 1, 2};
    const hsize_t count[] = {3, 2, 1}, points[2][3] = {{5, 1, 2}, {0, 0, 0}};
    const hid_t space = H5Screate_simple(3, cube, NULL);
    memset(regions, 0, sizeof regions);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start, stride, count, NULL);
    CHECK(H5Rcreate(&regions[0], file, "/cube", H5R_DATASET_REGION, space) >= 0);
    H5Sselect_elements(space, H5S_SELECT_SET, 2, &points[0][0]);
    CHECK(H5Rcreate(&regions[1], file, "/cube", H5R_DATASET_REGION, space) >= 0);
    put(file, "regions", H5T_STD_REF_DSETREG, 1, dims, regions, H5P_DEFAULT);
    put_attribute(file, "region", H5T_STD_REF_DSETREG, 0, regions);
    H5Sclose(space);
}

static inline void put_nested(hid_t file)
{
    struct nested {
        int16_t colour;
        hobj_ref_t where;
        hvl_t list;
        float grid[4];
        struct record inner;
    };
    static struct nested rows[ROWS];
    static int32_t items[3] = {1, 2, 3};
    const int16_t red = 3, blue = -7;
    const hsize_t dims[] = {ROWS}, four[] = {2, 2};
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof rows[0]), text = text_type(4);
    const hid_t inner = H5Tcreate(H5T_COMPOUND, sizeof(struct record));
    const hid_t colour = H5Tenum_create(H5T_NATIVE_INT16), list = H5Tvlen_create(H5T_NATIVE_INT32);
    const hid_t grid = H5Tarray_create2(H5T_NATIVE_FLOAT, 2, four);
    H5Tenum_insert(colour, "red", &red);
    H5Tenum_insert(colour, "blue", &blue);
    H5Tinsert(inner, "number", HOFFSET(struct record, number), H5T_NATIVE_INT32);
    H5Tinsert(inner, "text", HOFFSET(struct record, text), text);
    for (int i = 0; i < ROWS; i++) {
        rows[i].colour = i % 3 ? red : blue;
        rows[i].list = (hvl_t){(size_t)(i % 4), items};
        if (i % 2) H5Rcreate(&rows[i].where, file, "/cube", H5R_OBJECT, -1);
    }
    H5Tinsert(type, "colour", HOFFSET(struct nested, colour), colour);
    H5Tinsert(type, "where", HOFFSET(struct nested, where), H5T_STD_REF_OBJ);
    H5Tinsert(type, "list", HOFFSET(struct nested, list), list);
    H5Tinsert(type, "grid", HOFFSET(struct nested, grid), grid);
    H5Tinsert(type, "inner", HOFFSET(struct nested, inner), inner);
    put(file, "nested", type, 1, dims, rows, H5P_DEFAULT);
    H5Tclose(grid);
    H5Tclose(list);
    H5Tclose(colour);
    H5Tclose(inner);
    H5Tclose(text);
    H5Tclose(type);
}

static inline void put_word(hid_t object, const char *name, const char *word)
{
    const hid_t type = text_type(strlen(word));
    put_attribute(object, name, type, 0, word);
    H5Tclose(type);
}

static inline void put_sparse(hid_t file)
{
    double values[ROWS];
    int32_t columns[ROWS], pointers[12];
    const hsize_t entries[] = {ROWS}, majors[] = {12};
    const hid_t group = make_group(file, "sparse", "csr_matrix");
    for (int i = 0; i < ROWS; i++) {
        values[i] = i / 2.0;
        columns[i] = i % 5;
    }
    for (int i = 0; i < 12; i++) pointers[i] = i < 3 ? 0 : (i - 2) * 4 < ROWS ? (i - 2) * 4 : ROWS;
    pointers[11] = ROWS;
    put(group, "data", H5T_NATIVE_DOUBLE, 1, entries, values, H5P_DEFAULT);
    put(group, "indices", H5T_NATIVE_INT32, 1, entries, columns, H5P_DEFAULT);
    put(group, "indptr", H5T_NATIVE_INT32, 1, majors, pointers, H5P_DEFAULT);
    H5Gclose(group);
}

/* A variable of 4 times and 10 places, the first of which has no coordinates. */
static inline void put_variable(hid_t file)
{
    static const char bare[] = "This is a netCDF dimension but not a netCDF variable.        10";
    int16_t values[ROWS];
    double times[4] = {0, 1, 2, 3};
    float nothing[10] = {0};
    const int16_t fill = 7;
    hobj_ref_t scales[2];
    hvl_t lists[2] = {{1, &scales[0]}, {1, &scales[1]}};
    const hsize_t both[] = {4, 10};
    const hid_t group = make_group(file, "climate", NULL);
    const hid_t list = H5Tvlen_create(H5T_STD_REF_OBJ);
    for (int i = 0; i < ROWS; i++) values[i] = (int16_t)i;
    put(group, "time", H5T_NATIVE_DOUBLE, 1, &both[0], times, H5P_DEFAULT);
    put(group, "place", H5T_NATIVE_FLOAT, 1, &both[1], nothing, H5P_DEFAULT);
    put(group, "t", H5T_NATIVE_INT16, 2, both, values, H5P_DEFAULT);
    const hid_t place = H5Dopen2(group, "place", H5P_DEFAULT),
                t = H5Dopen2(group, "t", H5P_DEFAULT);
    put_word(place, "CLASS", "DIMENSION_SCALE");
    put_word(place, "NAME", bare);
    H5Rcreate(&scales[0], group, "time", H5R_OBJECT, -1);
    H5Rcreate(&scales[1], group, "place", H5R_OBJECT, -1);
    put_attribute(t, "DIMENSION_LIST", list, 2, lists);
    put_attribute(t, "_FillValue", H5T_NATIVE_INT16, 1, &fill);
    put_word(t, "units", "K");
    H5Dclose(place);
    H5Dclose(t);
    H5Tclose(list);
    H5Gclose(group);
}

static inline void put_pandas(hid_t file)
{
    static const char names[2][2] = {"b", "a"}, columns[2][2] = {"a", "b"};
    double values[ROWS * 2];
    int64_t index[ROWS];
    const int64_t blocks = 1;
    const hsize_t rows[] = {ROWS}, two[] = {2}, both[] = {ROWS, 2};
    const hid_t group = make_group(file, "pandas", NULL), text = text_type(2);
    for (int i = 0; i < ROWS; i++) values[2 * i] = values[2 * i + 1] = (double)(index[i] = i);
    put_word(group, "pandas_type", "frame");
    put_attribute(group, "nblocks", H5T_NATIVE_INT64, 0, &blocks);
    put(group, "axis0", text, 1, two, columns, H5P_DEFAULT);
    put(group, "axis1", H5T_NATIVE_INT64, 1, rows, index, H5P_DEFAULT);
    put(group, "block0_items", text, 1, two, names, H5P_DEFAULT);
    put(group, "block0_values", H5T_NATIVE_DOUBLE, 2, both, values, H5P_DEFAULT);
    const hid_t axis = H5Dopen2(group, "axis1", H5P_DEFAULT);
    put_word(axis, "kind", "datetime64[ns]");
    H5Dclose(axis);
    H5Tclose(text);
    H5Gclose(group);
}

/* Numbers that count time, as their attributes say, or may. */
static inline void put_times(hid_t file)
{
    static const char *const attributes[][3] = {{"alone", "unit", "ms"}, {"berlin", "unit", "us"},
        {"berlin", "timezone", "Europe/Berlin"}, {"since", "units", "days since 1950-01-01"},
        {"volt", "unit", "V"}, {"volt", "timezone", "UTC"}, {"zoneless", "unit", "ns"},
        {"zoneless", "timezone", ""}};
    static const char *const names[] = {"alone", "berlin", "since", "volt", "zoneless"};
    const int64_t numbers[4] = {0, 1, -1, INT64_MAX};
    const hsize_t rows[] = {4};
    const hid_t group = make_group(file, "times", NULL), text = text_type(0);
    for (size_t i = 0; i < 5; i++) {
        put(group, names[i], H5T_NATIVE_INT64, 1, rows, numbers, H5P_DEFAULT);
    }
    for (size_t i = 0; i < 8; i++) {
        const hid_t dataset = H5Dopen2(group, attributes[i][0], H5P_DEFAULT);
        put_attribute(dataset, attributes[i][1], text, 0, &attributes[i][2]);
        H5Dclose(dataset);
    }
    H5Tclose(text);
    H5Gclose(group);
}

/* What the other conventions make of datasets, in a file of its own. */
static inline const char *conventions_file(void)
{
    static char path[512];
    int32_t cube[6] = {0};
    const hsize_t dims[] = {1, 2, 3};
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("conventions.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    put(file, "cube", H5T_NATIVE_INT32, 3, dims, cube, H5P_DEFAULT);
    put_nested(file);
    put_regions(file);
    put_sparse(file);
    put_variable(file);
    put_pandas(file);
    put_times(file);
    H5Fclose(file);
    return path;
}

/* The path of a file made by libhdf5; the same for all tests of a run. */
static inline const char *foreign_file(void)
{
    static char path[512];
    static const double numbers[] = {1.5, -2};
    static const char *const text = "a \"text\"";
    if (path[0]) return path;
    snprintf(path, sizeof path, "%s", test_path("foreign.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = text_type(0);
    put_datasets(file);
    put_records(file);
    put_frame(file);
    put_attribute(file, "numbers", H5T_NATIVE_DOUBLE, 2, numbers);
    put_attribute(file, "text", type, 0, &text);
    H5Lcreate_hard(file, "/", file, "frame/up again", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/cube", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Tclose(type);
    H5Fclose(file);
    return path;
}

#endif
