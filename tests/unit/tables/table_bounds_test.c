/* table_bounds_test.c - what was learnt of chunks is not read: in one table, and from one opening of a
 * file to the next; never of a file that has been changed. */
#include "tables/tables_internal.h"
#include "tests/unit/tables/reading_fixture.h"

#include <math.h>
#include <unistd.h>

#define ROWS_MANY 60000
#define CHUNK 5000
#define THREADS 8

static basalt_hdf5_bound bound_of(double value)
{
    return (basalt_hdf5_bound){BASALT_HDF5_BOUND_FLOAT, {.as_float = value}};
}

/* Columns "t/rising", the row's number, NaN at 12345, and "t/other". The file is made `age` seconds old. */
static void make_file(const char *path, double first, int age)
{
    static double rising[ROWS_MANY], other[ROWS_MANY];
    const hsize_t rows = ROWS_MANY, chunk = CHUNK;
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), group = make_group(file, "t", NULL);
    H5Pset_chunk(chunked, 1, &chunk);
    H5Pset_fletcher32(chunked);
    for (int i = 0; i < ROWS_MANY; i++) {
        rising[i] = i == 12345 ? (double)NAN : first + i;
        other[i] = -i;
    }
    put(group, "other", H5T_NATIVE_DOUBLE, 1, &rows, other, chunked);
    put(group, "rising", H5T_NATIVE_DOUBLE, 1, &rows, rising, chunked);
    H5Gclose(group);
    H5Pclose(chunked);
    H5Fclose(file);
    if (age) sleep((unsigned)age); /* nothing sets the time of the last change of an inode */
}

static basalt_status find_rows(struct bs_hdf5 *file, struct basalt_hdf5_bounds *bounds,
    const char *path, const basalt_hdf5_range *range, size_t columns, int64_t *out_rows,
    basalt_error *error)
{
    static const size_t other[] = {0};
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX, .bounds = bounds};
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    basalt_hdf5_table_info info = {0};
    *out_rows = 0;
    basalt_status status = bs_hdf5_table_open(file, path, &options, &table, error);
    if (!status) status = bs_hdf5_cursor_open(file, table, other, columns, &cursor, error);
    if (!status) status = bs_cursor_set_ranges(cursor, range, 1, error);
    if (!status) bs_table_info(table, &info);
    for (uint64_t row = 0; !status && row < info.rows;) {
        basalt_hdf5_found found;
        status = bs_cursor_find(cursor, row, info.rows, 1, &found, error);
        *out_rows += found.rows.release ? found.rows.length : 0;
        if (found.rows.release) found.rows.release(&found.rows);
        row = found.next_row;
    }
    bs_cursor_close(cursor);
    bs_table_free(table);
    return status;
}

static uint64_t bytes_read(struct bs_hdf5 *file)
{
    basalt_hdf5_stats stats;
    bs_hdf5_get_stats(file, &stats);
    return stats.bytes_read;
}

/* Opens the file anew: how many rows, and how many bytes of it were read for them. */
static void look(struct bs_vfs *vfs, const char *path, struct basalt_hdf5_bounds *bounds,
    const basalt_hdf5_range *range, size_t columns, int64_t *out_rows, uint64_t *out_bytes)
{
    struct bs_hdf5 *file = NULL;
    REQUIRE_OK(bs_hdf5_open(vfs, path, &file, err));
    CHECK_OK(find_rows(file, bounds, "t", range, columns, out_rows, err));
    *out_bytes = bytes_read(file);
    bs_hdf5_close(file);
}

#define COLUMN_BYTES (ROWS_MANY * sizeof(double))

TEST(table_bounds, what_was_learnt_is_not_read_again)
{
    const char *path = test_path("learnt.h5");
    const basalt_hdf5_range few = {.column = 1, .min = bound_of(100), .max = bound_of(199)};
    const basalt_hdf5_range none = {.column = 1, .min = bound_of(1e6), .max = bound_of(2e6)};
    const basalt_hdf5_range high = {.column = 1, .min = bound_of(58000)}; /* NaN too */
    const basalt_hdf5_range most = {.column = 1, .min = bound_of(-1), .max = bound_of(1e9)};
    struct bs_vfs *vfs = NULL;
    struct basalt_hdf5_bounds *bounds = NULL;
    int64_t rows = 0;
    uint64_t bytes = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    make_file(path, 0, 3);
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_bounds_create(BS_BOUNDS_BYTES, &bounds, err));
    look(vfs, path, bounds, &none, 1, &rows, &bytes); /* looks at all of one column */
    CHECK_EQ(rows, 0);
    CHECK(bytes >= COLUMN_BYTES && bytes < 2 * COLUMN_BYTES);
    look(vfs, path, bounds, &none, 1, &rows, &bytes);
    CHECK_EQ(rows, 0);
    CHECK(bytes < COLUMN_BYTES / 4);
    look(vfs, path, bounds, &few, 1, &rows, &bytes); /* a block of each column */
    CHECK_EQ(rows, 100);
    CHECK(bytes < COLUMN_BYTES);
    look(vfs, path, bounds, &high, 1, &rows, &bytes);
    CHECK_EQ(rows, 2001);
    look(vfs, path, bounds, &most, 0, &rows, &bytes); /* but for the block with NaN all are in it */
    CHECK_EQ(rows, ROWS_MANY - 1);
    CHECK(bytes < COLUMN_BYTES * 2 / 3);
    look(vfs, path, NULL, &none, 1, &rows, &bytes);
    CHECK(bytes >= COLUMN_BYTES);
    bs_bounds_free(bounds);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

TEST(table_bounds, another_file_of_the_name_is_another)
{
    const char *path = test_path("changed.h5");
    const basalt_hdf5_range range = {.column = 1, .min = bound_of(1e6), .max = bound_of(2e6)};
    struct bs_vfs *vfs = NULL;
    struct basalt_hdf5_bounds *bounds = NULL;
    int64_t rows = 0;
    uint64_t bytes = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_bounds_create(BS_BOUNDS_BYTES, &bounds, err));
    make_file(path, 0, 3);
    look(vfs, path, bounds, &range, 1, &rows, &bytes);
    CHECK_EQ(rows, 0);
    make_file(path, 1e6, 0); /* in place: the same size, the same inode */
    look(vfs, path, bounds, &range, 1, &rows, &bytes);
    CHECK_EQ(rows, ROWS_MANY - 1);
    make_file(path, 0, 0); /* it was too young to be remembered */
    look(vfs, path, bounds, &range, 1, &rows, &bytes);
    CHECK_EQ(rows, 0);
    make_file(path, 1e6, 0);
    look(vfs, path, bounds, &range, 1, &rows, &bytes);
    CHECK_EQ(rows, ROWS_MANY - 1);
    bs_bounds_free(bounds);
    bs_vfs_free(vfs);
}

TEST(table_bounds, what_is_remembered_has_a_limit)
{
    const char *path = test_path("limit.h5");
    const basalt_hdf5_range range = {.column = 1, .min = bound_of(1e6), .max = bound_of(2e6)};
    struct bs_vfs *vfs = NULL;
    struct basalt_hdf5_bounds *bounds = NULL;
    int64_t rows = 0;
    uint64_t bytes = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_bounds_create(64, &bounds, err)); /* less than a column takes */
    make_file(path, 0, 3);
    for (int turn = 0; turn < 2; turn++) {
        look(vfs, path, bounds, &range, 1, &rows, &bytes);
        CHECK_EQ(rows, 0);
        CHECK(bytes >= COLUMN_BYTES);
    }
    bs_bounds_free(bounds);
    bs_vfs_free(vfs);
}

/* ---- many threads -------------------------------------------------------------------------------- */

struct finder {
    struct bs_hdf5 *file;
    struct basalt_hdf5_bounds *bounds;
    int64_t wrong;
};

static void find_often(void *argument)
{
    struct finder *finder = argument;
    for (int turn = 0; turn < 10; turn++) {
        const basalt_hdf5_range range = {
            .column = 1, .min = bound_of(turn * 6000), .max = bound_of(turn * 6000 + 999)};
        int64_t rows = 0;
        CHECK_OK(find_rows(finder->file, finder->bounds, "t", &range, 1, &rows, err));
        finder->wrong += rows != 1000 - (turn == 2);
    }
}

TEST(table_bounds, eight_threads_learn_together)
{
    const char *path = test_path("shared.h5");
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct basalt_hdf5_bounds *bounds = NULL;
    struct bs_thread *threads[THREADS] = {NULL};
    struct finder finders[THREADS];
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    make_file(path, 0, 3);
    REQUIRE_OK(bs_hdf5_open(vfs, path, &file, err));
    REQUIRE_OK(bs_bounds_create(BS_BOUNDS_BYTES, &bounds, err));
    for (unsigned i = 0; i < THREADS; i++) {
        finders[i] = (struct finder){file, bounds, 0};
        CHECK_OK(bs_thread_start("finder", find_often, &finders[i], &threads[i], err));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(finders[i].wrong, 0);
    }
    bs_hdf5_close(file);
    bs_bounds_free(bounds);
    bs_vfs_free(vfs);
}

/* ---- faults -------------------------------------------------------------------------------------- */

TEST(table_bounds, no_memory_is_no_crash)
{
    const char *path = test_path("faults.h5");
    const basalt_hdf5_range range = {.column = 1, .min = bound_of(100), .max = bound_of(199)};
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    make_file(path, 0, 3);
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct basalt_hdf5_bounds *bounds = NULL;
        struct bs_hdf5 *file = NULL;
        int64_t rows = 0;
        basalt_status status = bs_bounds_create(BS_BOUNDS_BYTES, &bounds, NULL);
        if (!status) status = bs_hdf5_open(vfs, path, &file, NULL);
        if (!status) status = find_rows(file, bounds, "t", &range, 1, &rows, NULL);
        if (!status) status = find_rows(file, bounds, "t", &range, 1, &rows, NULL);
        fault_stop();
        CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
        if (!status) CHECK_EQ(rows, 100);
        bs_hdf5_close(file);
        bs_bounds_free(bounds);
        CHECK_EQ(test_live_allocations(), before);
    }
    bs_vfs_free(vfs);
}
