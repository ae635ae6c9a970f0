/* rows_read.c - the rows of a file, as Basalt and as libhdf5 see them. */
#include "tests/kill/rows.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- through the public API --------------------------------------------------------------------- */

static void tally_array(struct tally *tally, const struct ArrowArray *array)
{
    const int64_t *numbers[COLUMN_TEXT];
    for (unsigned i = 0; i < COLUMN_TEXT; i++) {
        const struct ArrowArray *column = array->children[i];
        numbers[i] = (const int64_t *)column->buffers[1] + column->offset + array->offset;
    }
    const struct ArrowArray *texts = array->children[COLUMN_TEXT];
    const int32_t *ends = (const int32_t *)texts->buffers[1] + texts->offset + array->offset;
    const char *text = texts->buffers[2];
    for (int64_t row = 0; row < array->length; row++) {
        const char *start = text ? text + ends[row] : "";
        tally_row(tally, numbers[COLUMN_WRITER][row], numbers[COLUMN_COMMIT][row],
            numbers[COLUMN_ROW][row], numbers[COLUMN_SUM][row], start,
            (size_t)(ends[row + 1] - ends[row]));
    }
}

static void tally_stream(struct tally *tally, struct ArrowArrayStream *stream)
{
    for (;;) {
        struct ArrowArray array = {0};
        if (stream->get_next(stream, &array) != 0) {
            const char *why = stream->get_last_error(stream);
            snprintf(tally->fault, sizeof tally->fault, "the scan failed: %.150s", why ? why : "?");
            return;
        }
        if (!array.release) return;
        if (array.n_children == COLUMN_COUNT) {
            tally_array(tally, &array);
        } else {
            snprintf(tally->fault, sizeof tally->fault, "an array of the scan has other columns");
        }
        array.release(&array);
    }
}

static void tally_family(struct tally *tally, basalt_store *store, basalt_snapshot *snapshot)
{
    basalt_scan_options options;
    struct ArrowArrayStream stream = {0};
    basalt_error err = {0};
    basalt_scan_options_init(&options, sizeof options);
    options.columns = column_names;
    options.column_count = COLUMN_COUNT;
    const basalt_status status =
        basalt_scan(store, snapshot, family_names[tally->family], &options, &stream, &err);
    if (status == BASALT_NOT_FOUND) return;
    if (status) {
        snprintf(tally->fault, sizeof tally->fault, "no scan: %.150s", err.message);
        return;
    }
    tally_stream(tally, &stream);
    stream.release(&stream);
}

void found_in_store(basalt_store *store, struct found *out_found)
{
    struct tally tallies[FAMILY_COUNT];
    basalt_snapshot *snapshot = NULL;
    basalt_error err = {0};
    *out_found = (struct found){0};
    if (basalt_snapshot_create(store, &snapshot, &err)) {
        snprintf(out_found->fault, sizeof out_found->fault, "no snapshot: %.150s", err.message);
        return;
    }
    for (unsigned family = 0; family < FAMILY_COUNT; family++) {
        tally_begin(&tallies[family], family);
        tally_family(&tallies[family], store, snapshot);
        tally_end(&tallies[family]);
    }
    basalt_snapshot_close(&snapshot);
    found_from_tallies(tallies, out_found);
}

void found_in_path(const char *path, basalt_access access, struct found *out_found)
{
    basalt_store_options options;
    basalt_store *store = NULL;
    basalt_error err = {0};
    basalt_store_options_init(&options, sizeof options);
    options.access = access;
    options.grace_ms = 0; /* no stock reader is here: a close need not wait for one */
    options.log_segment_bytes = 64 << 10;
    *out_found = (struct found){0};
    if (basalt_store_open(path, &options, &store, &err)) {
        snprintf(out_found->fault, sizeof out_found->fault, "cannot open: %.170s", err.message);
        return;
    }
    found_in_store(store, out_found);
    if (basalt_store_close(&store, &err) && !out_found->fault[0])
        snprintf(out_found->fault, sizeof out_found->fault, "cannot close: %.170s", err.message);
}

/* ---- through libhdf5 ------------------------------------------------------------------------------ */

/* A 1-D column as int64, or NULL; the caller frees it. */
static int64_t *read_numbers(hid_t group, const char *name, hsize_t *out_rows)
{
    int64_t *numbers = NULL;
    *out_rows = 0;
    const hid_t dataset = H5Dopen2(group, name, H5P_DEFAULT);
    if (dataset < 0) return NULL;
    const hid_t space = H5Dget_space(dataset);
    if (space >= 0 && H5Sget_simple_extent_ndims(space) == 1 &&
        H5Sget_simple_extent_dims(space, out_rows, NULL) == 1) {
        numbers = calloc(*out_rows + 1, sizeof *numbers);
        if (numbers &&
            H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, numbers) < 0) {
            free(numbers);
            numbers = NULL;
        }
    }
    if (space >= 0) H5Sclose(space);
    H5Dclose(dataset);
    return numbers;
}

/* As read_numbers, for the texts; h5 says how to free them. */
static char **read_texts(hid_t group, hsize_t rows, hid_t *out_type, hid_t *out_space)
{
    char **texts = NULL;
    const hid_t dataset = H5Dopen2(group, column_names[COLUMN_TEXT], H5P_DEFAULT);
    *out_type = *out_space = H5I_INVALID_HID;
    if (dataset < 0) return NULL;
    *out_type = H5Dget_type(dataset);
    *out_space = H5Dget_space(dataset);
    if (H5Tis_variable_str(*out_type) > 0 &&
        H5Sget_simple_extent_npoints(*out_space) == (hssize_t)rows) {
        texts = calloc(rows + 1, sizeof *texts);
        if (texts && H5Dread(dataset, *out_type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) < 0) {
            free(texts);
            texts = NULL;
        }
    }
    H5Dclose(dataset);
    return texts;
}

static void tally_columns(struct tally *tally, hid_t group)
{
    int64_t *numbers[COLUMN_TEXT] = {0};
    hsize_t rows[COLUMN_TEXT];
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    bool whole = true;
    for (unsigned i = 0; i < COLUMN_TEXT; i++) {
        numbers[i] = read_numbers(group, column_names[i], &rows[i]);
        whole = whole && numbers[i] && rows[i] == rows[0];
    }
    char **texts = whole ? read_texts(group, rows[0], &type, &space) : NULL;
    if (!texts) {
        snprintf(tally->fault, sizeof tally->fault,
            "libhdf5 cannot read the columns of %s, or they differ in length",
            family_names[tally->family]);
    } else {
        for (hsize_t row = 0; row < rows[0]; row++) {
            const char *text = texts[row] ? texts[row] : "";
            tally_row(tally, numbers[COLUMN_WRITER][row], numbers[COLUMN_COMMIT][row],
                numbers[COLUMN_ROW][row], numbers[COLUMN_SUM][row], text, strlen(text));
        }
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    }
    free(texts);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    for (unsigned i = 0; i < COLUMN_TEXT; i++) free(numbers[i]);
}

void found_by_libhdf5(const char *path, struct found *out_found)
{
    struct tally tallies[FAMILY_COUNT];
    *out_found = (struct found){0};
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) {
        snprintf(out_found->fault, sizeof out_found->fault, "libhdf5 cannot open it");
        return;
    }
    for (unsigned family = 0; family < FAMILY_COUNT; family++) {
        tally_begin(&tallies[family], family);
        if (H5Lexists(file, family_names[family], H5P_DEFAULT) <= 0) continue;
        const hid_t group = H5Gopen2(file, family_names[family], H5P_DEFAULT);
        if (group < 0) {
            snprintf(tallies[family].fault, sizeof tallies[family].fault,
                "libhdf5 cannot open the group %s", family_names[family]);
            continue;
        }
        tally_columns(&tallies[family], group);
        H5Gclose(group);
        tally_end(&tallies[family]);
    }
    const bool closed = H5Fclose(file) >= 0;
    found_from_tallies(tallies, out_found);
    if (!closed && !out_found->fault[0])
        snprintf(out_found->fault, sizeof out_found->fault, "libhdf5 cannot close it");
}
