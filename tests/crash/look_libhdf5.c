/* look_libhdf5.c - reads the file as any HDF5 program would: libhdf5 over the bytes in memory. */
#include "tests/crash/look.h"

#include "tests/harness/harness_memory.h"

#include <hdf5.h>
#include <inttypes.h>

#define SUPERBLOCK_BYTES ((size_t)48)
#define IMAGE_GROWS_BYTES ((size_t)1 << 20)

bool superblock_is_whole(const uint8_t *bytes, size_t count)
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};
    return count >= SUPERBLOCK_BYTES && memcmp(bytes, signature, sizeof signature) == 0 &&
        bs_lookup3(bytes, SUPERBLOCK_BYTES - 4, 0) == bs_load_u32(bytes + SUPERBLOCK_BYTES - 4);
}

static basalt_status wrong(basalt_error *err, const char *what, unsigned family, uint64_t row)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "libhdf5: %s of %s, row %" PRIu64, what,
        family_sketches[family].name, row);
}

/* Reads a whole 1-D dataset as `type` into *out_values: harness_free them. */
static basalt_status read_column(hid_t group, unsigned family, const char *name, hid_t type,
    size_t width_bytes, void **out_values, uint64_t *out_rows, basalt_error *err)
{
    hsize_t rows = 0;
    basalt_status status = BASALT_OK;
    *out_values = NULL;
    *out_rows = 0;
    const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    if (dataset < 0) return wrong(err, "cannot open a column", family, 0);
    const hid_t space = H5Dget_space(dataset);
    if (space < 0 || H5Sget_simple_extent_ndims(space) != 1 ||
        H5Sget_simple_extent_dims(space, &rows, NULL) != 1) {
        status = wrong(err, "cannot see the extent", family, 0);
    } else {
        *out_values = harness_zeroed((size_t)rows, width_bytes);
        *out_rows = rows;
        if (rows && H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *out_values) < 0) {
            status = wrong(err, "cannot read a column", family, rows);
        }
    }
    if (space >= 0) H5Sclose(space);
    H5Dclose(dataset);
    return status;
}

static basalt_status check_sequence(
    hid_t group, unsigned family, uint64_t *out_rows, basalt_error *err)
{
    void *values = NULL;
    basalt_status status = read_column(
        group, family, "seq", H5T_NATIVE_INT64, sizeof(int64_t), &values, out_rows, err);
    for (uint64_t row = 0; !status && row < *out_rows; row++) {
        if (((int64_t *)values)[row] != row_sequence(family, row)) {
            status = wrong(err, "another sequence", family, row);
        }
    }
    harness_free(values);
    return status;
}

/* The form that a null takes in the file: an empty text; any value where there is a mask. */
static bool second_is_right(unsigned family, const void *values, uint64_t row)
{
    char text[ROW_TEXT_BYTES];
    switch (family) {
    case PAIR_A: return ((const double *)values)[row] == row_value(row);
    case SOLO: return ((const int8_t *)values)[row] == row_flag(row);
    default: {
        const char *found = ((char *const *)values)[row];
        const bool there = row_text(row, text);
        return there ? found && strcmp(found, text) == 0 : !found || !found[0];
    }
    }
}

static basalt_status check_second(hid_t group, unsigned family, uint64_t rows, basalt_error *err)
{
    void *values = NULL;
    uint64_t found = 0;
    if (family == LATE) return BASALT_OK; /* nullable integers are a group of their own */
    const hid_t text = H5Tcopy(H5T_C_S1);
    H5Tset_size(text, H5T_VARIABLE);
    H5Tset_cset(text, H5T_CSET_UTF8);
    const hid_t type = family == PAIR_A ? H5T_NATIVE_DOUBLE
        : family == SOLO                ? H5T_NATIVE_INT8
                                        : text;
    const size_t width = family == PAIR_A ? sizeof(double) : family == SOLO ? 1 : sizeof(char *);
    basalt_status status = read_column(
        group, family, family_sketches[family].columns[1], type, width, &values, &found, err);
    if (!status && found != rows) status = wrong(err, "another length", family, found);
    for (uint64_t row = 0; !status && row < rows; row++) {
        if (!second_is_right(family, values, row))
            status = wrong(err, "another value", family, row);
    }
    for (uint64_t row = 0; family == PAIR_B && values && row < found; row++) {
        H5free_memory(((char **)values)[row]);
    }
    harness_free(values);
    H5Tclose(text);
    return status;
}

static basalt_status check_family(
    hid_t file, unsigned family, uint64_t *out_rows, basalt_error *err)
{
    const char *name = family_sketches[family].name;
    *out_rows = UINT64_MAX;
    const htri_t exists = H5Lexists(file, name, H5P_DEFAULT);
    if (exists < 0) return wrong(err, "cannot list the root", family, 0);
    if (exists == 0) return BASALT_OK;
    const hid_t group = H5Gopen2(file, name, H5P_DEFAULT);
    if (group < 0) return wrong(err, "cannot open the group", family, 0);
    uint64_t rows = 0;
    basalt_status status = check_sequence(group, family, &rows, err);
    if (!status) status = check_second(group, family, rows, err);
    if (!status) *out_rows = rows;
    H5Gclose(group);
    return status;
}

/* Files of before the mark have none; all of these do. */
static basalt_status read_mark(hid_t file, bool *out_closed, basalt_error *err)
{
    uint64_t closed = UINT64_MAX, features = 0;
    const hid_t group = H5Gopen2(file, ".basalt", H5P_DEFAULT);
    const hid_t at = group < 0 ? -1 : H5Aopen(group, "closed", H5P_DEFAULT);
    const hid_t mask = group < 0 ? -1 : H5Aopen(group, "feature_read_only", H5P_DEFAULT);
    const bool read = at >= 0 && mask >= 0 && H5Aread(at, H5T_NATIVE_UINT64, &closed) >= 0 &&
        H5Aread(mask, H5T_NATIVE_UINT64, &features) >= 0;
    if (mask >= 0) H5Aclose(mask);
    if (at >= 0) H5Aclose(at);
    if (group >= 0) H5Gclose(group);
    *out_closed = closed == 1;
    if (read && closed <= 1 && (features & 1)) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "libhdf5: the file does not say whether it was closed");
}

basalt_status look_with_libhdf5(
    const uint8_t *bytes, size_t count, struct seen *out_seen, basalt_error *err)
{
    *out_seen = (struct seen){0};
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_fapl_core(access, IMAGE_GROWS_BYTES, 0);
    uint8_t *copy = harness_copy(bytes, count); /* its argument is not const */
    H5Pset_file_image(access, copy, count);
    const hid_t file = H5Fopen("image", H5F_ACC_RDONLY, access);
    basalt_status status = BASALT_OK;
    if (file < 0) {
        status = bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "libhdf5 cannot open the file");
    }
    for (unsigned f = 0; !status && f < FAMILIES; f++) {
        status = check_family(file, f, &out_seen->rows[f], err);
    }
    if (!status) status = read_mark(file, &out_seen->closed, err);
    if (file >= 0) H5Fclose(file);
    H5Pclose(access);
    harness_free(copy);
    return status;
}
