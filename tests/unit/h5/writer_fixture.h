/* writer_fixture.h - a file under a writer, the commit as a store does it, and libhdf5 to read it. */
#ifndef BS_WRITER_FIXTURE_H
#define BS_WRITER_FIXTURE_H

#include "h5/h5.h"
#include "tests/harness/test.h"

#include <hdf5.h>

struct fixture {
    struct bs_vfs *vfs;
    struct bs_file *file;
    struct bs_h5_writer *writer;
    struct bs_codec_scratch *scratch;
    const char *path;
    uint64_t commit;
    bool unsynced; /* for tests of many commits, which nothing interrupts */
};

static inline basalt_status fixture_commit(struct fixture *fixture, basalt_error *err)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    basalt_status status = bs_h5_prepare(
        fixture->writer, fixture->commit + 1, 1000 * (fixture->commit + 1), superblock, err);
    if (status) return status;
    if (!fixture->unsynced) status = bs_file_sync(fixture->file, err);
    if (!status) status = bs_h5_check_unchanged(fixture->writer, err);
    if (!status) status = bs_h5_flip(fixture->writer, err);
    if (!status && !fixture->unsynced) status = bs_file_sync(fixture->file, err);
    if (status) {
        bs_h5_abandon(fixture->writer);
        return status;
    }
    bs_h5_settle(fixture->writer);
    fixture->commit++;
    bs_h5_reclaim(fixture->writer, fixture->commit);
    return BASALT_OK;
}

static inline basalt_status fixture_create(
    struct fixture *fixture, struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    const struct bs_h5_identity identity = {.store_uuid = {1, 2, 3}};
    *fixture = (struct fixture){.vfs = vfs, .path = path};
    basalt_status status = bs_file_open(
        vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE, &fixture->file, err);
    if (!status) status = bs_codec_scratch_create(&fixture->scratch, err);
    if (!status) status = bs_h5_writer_create(fixture->file, &identity, &fixture->writer, err);
    return status;
}

static inline basalt_status fixture_open(
    struct fixture *fixture, struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
    *fixture = (struct fixture){.vfs = vfs, .path = path};
    basalt_status status = bs_file_open(vfs, path, BS_OPEN_WRITE, &fixture->file, err);
    if (!status) {
        status = bs_file_read_all_at(fixture->file, superblock, sizeof superblock, 0, err);
    }
    if (!status) status = bs_codec_scratch_create(&fixture->scratch, err);
    if (!status) status = bs_h5_writer_open(fixture->file, superblock, &fixture->writer, err);
    if (!status) fixture->commit = bs_h5_writer_identity(fixture->writer)->commit;
    return status;
}

static inline void fixture_close(struct fixture *fixture)
{
    bs_h5_writer_close(fixture->writer);
    bs_codec_scratch_free(fixture->scratch);
    bs_file_close(fixture->file);
    fixture->writer = NULL;
    fixture->scratch = NULL;
    fixture->file = NULL;
}

enum filters { PLAIN, SUMMED, SHUFFLED, ALL_FILTERS };

static inline struct bs_pipeline make_pipeline(enum filters filters, uint32_t element_bytes)
{
    const struct bs_filter shuffle = {BS_FILTER_SHUFFLE, 1, 1, {{element_bytes}}};
    const struct bs_filter deflate = {BS_FILTER_DEFLATE, 1, 1, {{6}}};
    const struct bs_filter fletcher = {BS_FILTER_FLETCHER32, 0, 0, {{0}}};
    struct bs_pipeline pipeline = {0};
    if (filters == SUMMED) pipeline.filters[pipeline.count++] = fletcher;
    if (filters >= SHUFFLED) {
        pipeline.filters[pipeline.count++] = shuffle;
        pipeline.filters[pipeline.count++] = deflate;
    }
    if (filters == ALL_FILTERS) pipeline.filters[pipeline.count++] = fletcher;
    return pipeline;
}

/* A column of integers of 8 bytes, or NULL. */
static inline basalt_status make_column(struct fixture *fixture, struct bs_h5_node *parent,
    const char *name, enum filters filters, uint64_t chunk_rows, struct bs_h5_node **out,
    basalt_error *err)
{
    struct bs_h5_type *type = bs_h5_type_integer(8, true);
    *out = NULL;
    if (!type) return bs_fail_memory(err, 1);
    const struct bs_h5_column_spec spec = {
        .type = type, .chunk_rows = chunk_rows, .pipeline = make_pipeline(filters, 8)};
    const basalt_status status = bs_h5_make_column(fixture->writer, parent, name, &spec, out, err);
    bs_h5_type_free(type);
    return status;
}

static inline int64_t value_at(uint64_t row)
{
    return (int64_t)(row * 7919 % 1000003);
}

/* Rows with the values that belong to their numbers, in `pieces` pieces. */
static inline basalt_status append_rows(struct fixture *fixture, struct bs_h5_node *column,
    uint64_t rows, size_t pieces, basalt_error *err)
{
    struct bs_h5_piece list[8];
    const uint64_t first = bs_h5_rows(column);
    int64_t *values = bs_alloc((size_t)rows * 8);
    if (!values) return bs_fail_memory(err, (size_t)rows * 8);
    for (uint64_t i = 0; i < rows; i++) values[i] = value_at(first + i);
    uint64_t at = 0;
    for (size_t i = 0; i < pieces; i++) {
        const uint64_t share = i + 1 == pieces ? rows - at : rows / pieces;
        list[i] = (struct bs_h5_piece){values + at, NULL, share};
        at += share;
    }
    const basalt_status status =
        bs_h5_append(fixture->writer, column, fixture->scratch, list, pieces, err);
    bs_free(values);
    return status;
}

static inline hid_t hdf5_open(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, false, true);
    hid_t file;
    H5E_BEGIN_TRY
    {
        file = H5Fopen(path, H5F_ACC_RDONLY, access);
    }
    H5E_END_TRY;
    H5Pclose(access);
    return file;
}

/* What libhdf5 reads of the column: `rows` rows, each the value that belongs to it, or 0 in rows
 * [gap, gap_end). */
static inline void check_column_with_gap(
    const char *path, const char *name, uint64_t rows, uint64_t gap, uint64_t gap_end)
{
    const hid_t file = hdf5_open(path);
    REQUIRE(file >= 0);
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = dataset >= 0 ? H5Dget_space(dataset) : -1;
    hsize_t dims[1] = {0};
    CHECK(dataset >= 0 && H5Sget_simple_extent_dims(space, dims, NULL) == 1);
    CHECK_EQ(dims[0], rows);
    int64_t *values = bs_alloc_zeroed((size_t)dims[0] + 1, 8);
    if (dims[0]) {
        CHECK(H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    }
    for (uint64_t i = 0; i < dims[0]; i++) {
        if (values[i] == (i >= gap && i < gap_end ? 0 : value_at(i))) continue;
        test_fail(__FILE__, __LINE__, "%s[%" PRIu64 "] of %" PRIu64 " is %" PRId64, name, i, rows,
            values[i]);
        break;
    }
    bs_free(values);
    if (space >= 0) H5Sclose(space);
    if (dataset >= 0) H5Dclose(dataset);
    H5Fclose(file);
}

static inline void print_fault(void *context, bool fault, const char *sentence)
{
    (void)fault;
    (void)context;
    test_fail(__FILE__, __LINE__, "%s", sentence);
}

/* Our own reader finds every structure, checksum and chunk right, and no two extents overlap. */
static inline void check_verified(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    uint64_t faults = 0;
    REQUIRE_OK(bs_file_open(vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    if (h5) CHECK_OK(bs_h5_verify(h5, print_fault, NULL, NULL, &faults, err));
    bs_h5_file_close(h5);
    bs_file_close(file);
}

static inline void check_column(const char *path, const char *name, uint64_t rows)
{
    check_column_with_gap(path, name, rows, 0, 0);
}

#endif
