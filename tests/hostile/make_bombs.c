/* make_bombs.c - makes, with libhdf5, small files that claim to be large, and files in which many things
 * lead to one: each once made a reader take memory or time out of all proportion.
 *
 *   make_bombs FOLDER */
#include <hdf5.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((hsize_t)1 << 20)

static int failures;

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0) {                                                                          \
            fprintf(stderr, "make_bombs:%d: %s failed\n", __LINE__, #call);                        \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static hid_t begin(const char *name, int newest)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (newest) H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    hid_t file = H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    MUST(file);
    H5Pclose(access);
    return file;
}

/* A dataset of which nothing is stored; `chunk` 0: contiguous. */
static hid_t empty(
    hid_t place, const char *name, hid_t type, hsize_t rows, hsize_t row, hsize_t chunk)
{
    const hsize_t dims[2] = {rows, row}, chunks[2] = {chunk, row};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    hid_t space = H5Screate_simple(row ? 2 : 1, dims, NULL);
    if (chunk) H5Pset_chunk(properties, row ? 2 : 1, chunks);
    hid_t dataset = H5Dcreate2(place, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    MUST(dataset);
    H5Sclose(space);
    H5Pclose(properties);
    return dataset;
}

static void put_text(hid_t place, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, strlen(text));
    hid_t attribute = H5Acreate2(place, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    MUST(H5Awrite(attribute, type, text));
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(type);
}

static void put_bytes(hid_t place, const char *name, hsize_t count)
{
    uint8_t *bytes = calloc(1, (size_t)count);
    hid_t space = H5Screate_simple(1, &count, NULL);
    hid_t attribute = H5Acreate2(place, name, H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT);
    MUST(H5Awrite(attribute, H5T_STD_U8LE, bytes));
    H5Aclose(attribute);
    H5Sclose(space);
    free(bytes);
}

/* ---- what is not there ------------------------------------------------------------------------- */

static void make_empty(void)
{
    hid_t file = begin("empty.h5", 0);
    hid_t opaque = H5Tcreate(H5T_OPAQUE, 1 << 30), text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, 1 << 20);
    H5Dclose(empty(file, "long", H5T_IEEE_F64LE, 1000000000, 0, 0));
    H5Dclose(empty(file, "wide", H5T_IEEE_F32LE, 4, 100 * MIB, 0));
    H5Dclose(empty(file, "grains", H5T_STD_I16LE, 1000000000000, 0, 1));
    H5Dclose(empty(file, "elements", opaque, 3, 0, 0));
    H5Dclose(empty(file, "texts", text, 1000, 0, 10));
    H5Tclose(text);
    H5Tclose(opaque);
    H5Fclose(file);
}

static void make_conventions(void)
{
    hid_t file = begin("conventions.h5", 0), text = H5Tcopy(H5T_C_S1);
    const hsize_t one = 1;
    H5Tset_size(text, 16);
    hid_t group = H5Gcreate2(file, "categorical", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_text(group, "encoding-type", "categorical");
    H5Dclose(empty(group, "codes", H5T_STD_I8LE, 1000000, 0, 0));
    H5Dclose(empty(group, "categories", text, 16 * MIB, 0, 0));
    H5Gclose(group);
    group = H5Gcreate2(file, "sparse", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    put_text(group, "encoding-type", "csr_matrix");
    H5Dclose(empty(group, "data", H5T_IEEE_F64LE, 100000000, 0, 0));
    H5Dclose(empty(group, "indices", H5T_STD_I32LE, 100000000, 0, 0));
    H5Dclose(empty(group, "indptr", H5T_STD_I64LE, 100000000, 0, 0));
    H5Gclose(group);
    hid_t scale = empty(file, "scale", H5T_IEEE_F64LE, 8 * MIB, 0, 0);
    hid_t variable = empty(file, "variable", H5T_IEEE_F32LE, 8 * MIB, 0, 0);
    hid_t list = H5Tvlen_create(H5T_STD_REF_OBJ), space = H5Screate_simple(1, &one, NULL);
    hobj_ref_t reference;
    hvl_t scales = {1, &reference};
    put_text(scale, "CLASS", "DIMENSION_SCALE");
    MUST(H5Rcreate(&reference, file, "scale", H5R_OBJECT, -1));
    hid_t attribute = H5Acreate2(variable, "DIMENSION_LIST", list, space, H5P_DEFAULT, H5P_DEFAULT);
    MUST(H5Awrite(attribute, list, &scales));
    H5Aclose(attribute);
    H5Sclose(space);
    H5Tclose(list);
    H5Dclose(variable);
    H5Dclose(scale);
    H5Tclose(text);
    H5Fclose(file);
}

/* ---- what is there once, and is very regular --------------------------------------------------- */

static void put_zeros(hid_t file, const char *name, hsize_t chunk_bytes, int filters)
{
    const hsize_t dims[1] = {2 * chunk_bytes / 8}, chunk[1] = {chunk_bytes / 8};
    double *zeros = calloc(1, (size_t)(2 * chunk_bytes));
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, dims, NULL);
    H5Pset_chunk(properties, 1, chunk);
    if (filters & 1) H5Pset_shuffle(properties);
    if (filters & 2) H5Pset_deflate(properties, 1);
    if (filters & 4) H5Pset_deflate(properties, 1);
    if (filters & 8) H5Pset_fletcher32(properties);
    hid_t dataset =
        H5Dcreate2(file, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    MUST(dataset);
    MUST(H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros));
    H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(properties);
    free(zeros);
}

static void make_zeros(void)
{
    hid_t file = begin("zeros.h5", 1);
    put_zeros(file, "deflate", 48 * MIB, 2);
    put_zeros(file, "shuffle", 32 * MIB, 1 | 2);
    put_zeros(file, "twice", 24 * MIB, 1 | 2 | 4 | 8);
    put_zeros(file, "small", MIB / 2, 1 | 2);
    H5Fclose(file);
}

/* ---- many things that lead to one -------------------------------------------------------------- */

static uint8_t *load(const char *name, size_t *out_count)
{
    FILE *in = fopen(name, "rb");
    fseek(in, 0, SEEK_END);
    *out_count = (size_t)ftell(in);
    rewind(in);
    uint8_t *bytes = malloc(*out_count);
    if (fread(bytes, 1, *out_count, in) != *out_count) failures++;
    fclose(in);
    return bytes;
}

static void save(const char *name, const uint8_t *bytes, size_t count)
{
    FILE *out = fopen(name, "wb");
    if (fwrite(bytes, 1, count, out) != count) failures++;
    fclose(out);
}

/* Texts whose references all name the first one's, 60 KB. */
static void make_texts(void)
{
    const hsize_t count = 100000;
    hid_t file = begin("texts.h5", 0), text = H5Tcopy(H5T_C_S1);
    hid_t space = H5Screate_simple(1, &count, NULL);
    char *large = malloc(60001), **values = calloc(count, sizeof *values);
    size_t size;

    memset(large, 'x', 60000);
    large[60000] = 0;
    for (hsize_t i = 0; i < count; i++) values[i] = i ? (char *)(uintptr_t) "y" : large;
    H5Tset_size(text, H5T_VARIABLE);
    hid_t dataset = H5Dcreate2(file, "texts", text, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    MUST(H5Dwrite(dataset, text, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
    const haddr_t at = H5Dget_offset(dataset);
    H5Dclose(dataset);
    H5Sclose(space);
    H5Tclose(text);
    H5Fclose(file);
    uint8_t *bytes = load("texts.h5", &size);
    for (hsize_t i = 1; i < count; i++) memcpy(bytes + at + 16 * i, bytes + at, 16);
    save("texts.h5", bytes, size);
    free(bytes);
    free(values);
    free(large);
}

/* Thousands of links to a dataset with a large header: as a group, and as numbered sources. */
static void make_links(void)
{
    const hsize_t one[1] = {1}, all[1] = {H5S_UNLIMITED}, none[1] = {0}, start[1] = {0};
    hid_t file = begin("links.h5", 0);
    hid_t dataset = empty(file, "large", H5T_STD_I32LE, 1, 0, 0);
    hid_t group = H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), source = H5Screate_simple(1, one, NULL);
    hid_t target = H5Screate_simple(1, none, all);
    char name[40];

    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "attribute %d", i);
        put_bytes(dataset, name, 60000);
    }
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "%d", i);
        H5Lcreate_hard(dataset, ".", group, name, H5P_DEFAULT, H5P_DEFAULT);
    }
    hid_t few = H5Gcreate2(file, "few", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "%d", i);
        H5Lcreate_hard(dataset, ".", few, name, H5P_DEFAULT, H5P_DEFAULT);
    }
    MUST(H5Sselect_hyperslab(target, H5S_SELECT_SET, start, one, all, one));
    MUST(H5Pset_virtual(properties, target, ".", "/group/%b", source));
    MUST(H5Dclose(
        H5Dcreate2(file, "numbered", H5T_STD_I32LE, target, H5P_DEFAULT, properties, H5P_DEFAULT)));
    H5Sclose(target);
    H5Sclose(source);
    H5Pclose(properties);
    H5Gclose(few);
    H5Gclose(group);
    H5Dclose(dataset);
    H5Fclose(file);
}

/* Groups that all have the links of one, and datasets that all have the chunks of one: for walks over the
 * whole file; whoever reads each of them himself has asked for it. */
static void make_shared(void)
{
    hid_t file = begin("walk-shared.h5", 0);
    hid_t large = H5Gcreate2(file, "a", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hsize_t count[1] = {20000}, chunk[1] = {1};
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, count, NULL);
    uint8_t *values = calloc(1, count[0]);
    size_t size, groups = 0, datasets = 0;
    uint64_t tree = 0, heap = 0, index = 0;
    char name[40];

    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%d", i);
        MUST(H5Lcreate_soft("nowhere", large, name, H5P_DEFAULT, H5P_DEFAULT));
    }
    H5Gclose(large);
    H5Pset_chunk(properties, 1, chunk);
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof name, "group %d", i);
        H5Gclose(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
        snprintf(name, sizeof name, "dataset %d", i);
        hid_t dataset =
            H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, properties, H5P_DEFAULT);
        if (!i) MUST(H5Dwrite(dataset, H5T_STD_U8LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values));
        H5Dclose(dataset);
    }
    H5Sclose(space);
    H5Pclose(properties);
    H5Fclose(file);
    uint8_t *bytes = load("walk-shared.h5", &size);
    for (size_t at = 0; at + 32 < size; at += 8) {
        static const uint8_t table[] = {0x11, 0, 16, 0}, layout[] = {3, 2, 2};
        if (!memcmp(bytes + at, table, 4)) { /* a symbol table message: tree and heap */
            if (groups++ == 1) memcpy(&tree, bytes + at + 8, 8), memcpy(&heap, bytes + at + 16, 8);
            if (groups > 2) memcpy(bytes + at + 8, &tree, 8), memcpy(bytes + at + 16, &heap, 8);
        }
        if (!memcmp(bytes + at, layout, 3)) { /* a layout: the address of the index */
            if (!datasets++) memcpy(&index, bytes + at + 3, 8);
            memcpy(bytes + at + 3, &index, 8);
        }
    }
    if (groups < 1500 || datasets < 1500) failures++;
    save("walk-shared.h5", bytes, size);
    free(bytes);
    free(values);
}

static void make_types(void)
{
    hid_t file = begin("types.h5", 1), space = H5Screate(H5S_SCALAR);
    hid_t record = H5Tcreate(H5T_COMPOUND, 3000), number = H5Tenum_create(H5T_STD_I32LE);
    char name[40];

    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "%x", i);
        MUST(H5Tinsert(record, name, (size_t)i, H5T_STD_I8LE));
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%x", i);
        MUST(H5Tenum_insert(number, name, &i));
    }
    for (int i = 0; i < 40; i++) {
        uint8_t *values = calloc(1, 3000);
        snprintf(name, sizeof name, "record %d", i);
        hid_t attribute = H5Acreate2(file, name, record, space, H5P_DEFAULT, H5P_DEFAULT);
        MUST(H5Awrite(attribute, record, values));
        H5Aclose(attribute);
        free(values);
    }
    H5Dclose(empty(file, "records", record, 100000, 0, 0));
    H5Dclose(empty(file, "numbers", number, 1000000, 0, 0));
    H5Tclose(number);
    H5Tclose(record);
    H5Sclose(space);
    H5Fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1])) return 2;
    make_empty();
    make_conventions();
    make_zeros();
    make_texts();
    make_links();
    make_shared();
    make_types();
    return failures ? 1 : 0;
}
