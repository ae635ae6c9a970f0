/* table_cursor_test.c - any rows of any columns are those that a scan gives, from any number of threads,
 * and nothing else is read. */
#include "tests/unit/tables/reading_fixture.h"

#include <stdlib.h>

#define MORSEL_ROWS 97
#define THREADS 8

/* ---- a cursor gives what a scan gives ---------------------------------------------------------- */

/* Rows and columns at random, compared with `all`. */
static void check_part(struct bs_hdf5 *file, const struct bs_table *table,
    const struct ArrowSchema *schema, const struct ArrowArray *all, uint64_t *seed)
{
    size_t columns[64], count = 0;
    struct bs_table_cursor *cursor = NULL;
    for (size_t i = 0; i < (size_t)schema->n_children && count < 64; i++)
        if (test_random(seed) % 2) columns[count++] = i;
    if (count && test_random(seed) % 3 == 0) columns[0] = columns[count - 1]; /* any order, twice */
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, columns, count, &cursor, err));
    CHECK(bs_cursor_batch_rows(cursor, 0) > 0);
    for (unsigned run = 0; run < 6; run++) {
        struct ArrowArray part;
        const uint64_t first = test_random(seed) % ((uint64_t)all->length + 1);
        const uint64_t rows = test_random(seed) % ((uint64_t)all->length - first + 1);
        REQUIRE_OK(bs_cursor_read(cursor, first, rows, &part, err));
        CHECK_EQ(part.length, rows);
        CHECK_EQ(part.n_children, count);
        for (size_t i = 0; i < count; i++) {
            CHECK_EQ(part.children[i]->length, rows);
            CHECK(same_range(schema->children[columns[i]], part.children[i], 0,
                all->children[columns[i]], (int64_t)first, (int64_t)rows));
        }
        part.release(&part);
    }
    bs_cursor_close(cursor);
}

static void check_table(struct bs_hdf5 *file, const char *path, bool without, uint64_t *seed)
{
    const basalt_hdf5_scan_options options = {
        .row_count = UINT64_MAX, .missing_as_null = true, .without_dictionaries = without};
    struct bs_table *table = NULL;
    struct ArrowSchema schema;
    struct ArrowArray all;
    basalt_hdf5_table_info info;
    REQUIRE_OK(bs_hdf5_table_open(file, path, &options, &table, err));
    REQUIRE_OK(bs_table_schema(table, &schema, err));
    REQUIRE_OK(whole(file, path, &options, &all, err));
    bs_table_info(table, &info);
    CHECK_EQ(info.rows, all.length);
    CHECK_EQ(info.columns, all.n_children);
    for (unsigned run = 0; run < 20; run++) check_part(file, table, &schema, &all, seed);
    all.release(&all);
    schema.release(&schema);
    bs_table_free(table);
}

TEST(table_cursor, any_part_is_that_of_the_scan)
{
    static const char *const paths[] = {"/nested", "/sparse", "/climate/t", "/climate", "/pandas",
        "/cube", "/chunked", "/texts", "/records", "/frame"};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *files[2] = {NULL, NULL};
    uint64_t seed = 5;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_hdf5_open(vfs, conventions_file(), &files[0], err));
    REQUIRE_OK(bs_hdf5_open(vfs, foreign_file(), &files[1], err));
    for (size_t i = 0; i < BS_ARRAY_LENGTH(paths); i++) {
        check_table(files[i > 4], paths[i], false, &seed);
        check_table(files[i > 4], paths[i], true, &seed);
    }
    bs_hdf5_close(files[0]);
    bs_hdf5_close(files[1]);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

/* ---- larger tables, of which only parts are read ------------------------------------------------ */

/* Columns of the table are the row's number, then those of the matrix. */
static basalt_status read_wide(struct bs_hdf5 *file, const char *path, const size_t *columns,
    size_t count, struct ArrowArray *out, basalt_error *error)
{
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    basalt_status status = bs_hdf5_table_open(file, path, &wide_options, &table, error);
    if (!status) status = bs_hdf5_cursor_open(file, table, columns, count, &cursor, error);
    if (!status) status = bs_cursor_read(cursor, 0, WIDE_ROWS, out, error);
    bs_cursor_close(cursor);
    bs_table_free(table);
    return status;
}

static void check_columns(const struct ArrowArray *array, const size_t *columns, uint64_t first)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        const double *values = array->children[i]->buffers[1];
        int64_t wrong = 0;
        for (int64_t row = 0; row < array->length; row++)
            wrong += values[row] != (double)((first + (uint64_t)row) * 100 + columns[i] - 1);
        CHECK_EQ(wrong, 0);
    }
}

TEST(table_cursor, a_column_not_asked_for_is_not_read)
{
    static const size_t sound[] = {1, 9, 4, 12}, one[] = {3}, bad[] = {2, 5};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct ArrowArray array;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, damaged_file(), &file, err));
    REQUIRE_OK(read_wide(file, "matrix", sound, 4, &array, err));
    check_columns(&array, sound, 0);
    array.release(&array);
    REQUIRE_OK(read_wide(file, "matrix", one, 1, &array, err));
    check_columns(&array, one, 0);
    array.release(&array);
    CHECK_EQ(read_wide(file, "matrix", bad, 2, &array, NULL), BASALT_CORRUPT);
    CHECK(!array.release);
    REQUIRE_OK(read_wide(file, "contiguous", bad, 2, &array, err));
    check_columns(&array, bad, 0);
    array.release(&array);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}

TEST(table_cursor, what_is_read_and_needed_is_counted)
{
    static const size_t one[] = {3};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    struct ArrowArray array;
    basalt_hdf5_stats before, after;
    basalt_hdf5_needs needs;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, wide_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "matrix", &wide_options, &table, err));
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, one, 1, &cursor, err));
    bs_cursor_needs(cursor, &needs);
    CHECK_EQ(needs.chunk_rows, CHUNK_ROWS);
    CHECK_EQ(needs.memory_bytes, 0);
    CHECK(needs.row_bytes >= 8);
    CHECK(needs.chunk_bytes >= CHUNK_ROWS * 2 * 8);
    bs_hdf5_get_stats(file, &before);
    REQUIRE_OK(bs_cursor_read(cursor, 0, CHUNK_ROWS * 2, &array, err));
    array.release(&array);
    bs_hdf5_get_stats(file, &after);
    CHECK_EQ(after.bytes_decoded - before.bytes_decoded, 2 * CHUNK_ROWS * 2 * 8);
    CHECK(after.bytes_read - before.bytes_read >= 2 * CHUNK_ROWS * 2 * 8);
    CHECK(after.bytes_read - before.bytes_read <= 4 * CHUNK_ROWS * 2 * 8);
    bs_cursor_needs(cursor, &needs);
    CHECK(needs.memory_bytes >= CHUNK_ROWS * 2 * 8); /* what it gave */
    CHECK(needs.memory_bytes <= needs.row_bytes * CHUNK_ROWS * 2 + needs.chunk_bytes);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}

TEST(table_cursor, what_is_not_there_is_refused)
{
    static const size_t columns[] = {13};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    struct ArrowArray array;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, wide_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "matrix", &wide_options, &table, err));
    CHECK_EQ(bs_hdf5_cursor_open(file, table, columns, 1, &cursor, NULL), BASALT_BAD_ARGUMENT);
    CHECK(!cursor);
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, columns, 0, &cursor, err));
    CHECK_EQ(bs_cursor_read(cursor, WIDE_ROWS - 1, 2, &array, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_cursor_read(cursor, UINT64_MAX, 2, &array, NULL), BASALT_BAD_ARGUMENT);
    CHECK_OK(bs_cursor_read(cursor, WIDE_ROWS, 0, &array, err));
    CHECK_EQ(array.n_children, 0);
    array.release(&array);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}

/* ---- many threads ------------------------------------------------------------------------------- */

struct puller {
    struct bs_hdf5 *file;
    const struct bs_table *matrix, *level;
    atomic_uint *next; /* the morsel that nobody has */
    uint64_t rows, wrong;
};

static void check_level(const struct ArrowArray *array, uint64_t first, uint64_t *wrong)
{
    const struct ArrowArray *level = array->children[0];
    const int8_t *codes = level->buffers[1];
    for (int64_t i = 0; i < array->length; i++) {
        const int expected = (int)((first + (uint64_t)i) % 4) - 1;
        *wrong += expected < 0 ? is_valid(level, i) : codes[i] != expected;
    }
    *wrong += level->dictionary->length != 3;
}

/* As a query's threads do: a cursor each, and whichever morsel is next. */
static void pull(void *argument)
{
    static const size_t columns[] = {2, 7, 11}, only[] = {0};
    struct puller *puller = argument;
    struct bs_table_cursor *matrix = NULL, *level = NULL;
    REQUIRE_OK(bs_hdf5_cursor_open(puller->file, puller->matrix, columns, 3, &matrix, err));
    REQUIRE_OK(bs_hdf5_cursor_open(puller->file, puller->level, only, 1, &level, err));
    for (;;) {
        struct ArrowArray array;
        const uint64_t first = (uint64_t)atomic_fetch_add(puller->next, 1) % 64 * MORSEL_ROWS;
        if (atomic_load(puller->next) > 64 * 20) break;
        const uint64_t rows = BS_MIN(MORSEL_ROWS, first < WIDE_ROWS ? WIDE_ROWS - first : 0);
        if (!rows) continue;
        REQUIRE_OK(bs_cursor_read(matrix, first, rows, &array, err));
        check_columns(&array, columns, first);
        array.release(&array);
        REQUIRE_OK(bs_cursor_read(level, first, rows, &array, err));
        check_level(&array, first, &puller->wrong);
        array.release(&array);
        puller->rows += rows;
    }
    bs_cursor_close(level);
    bs_cursor_close(matrix);
}

TEST(table_cursor, eight_threads_share_a_table)
{
    const basalt_hdf5_scan_options plain = {.row_count = UINT64_MAX};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *matrix = NULL, *level = NULL;
    struct bs_thread *threads[THREADS] = {NULL};
    struct puller pullers[THREADS];
    uint64_t rows = 0;
    atomic_uint next = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_hdf5_open(vfs, wide_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "matrix", &wide_options, &matrix, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "level", &plain, &level, err));
    for (unsigned i = 0; i < THREADS; i++) {
        pullers[i] = (struct puller){file, matrix, level, &next, 0, 0};
        CHECK_OK(bs_thread_start("puller", pull, &pullers[i], &threads[i], err));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        bs_thread_join(threads[i]);
        CHECK_EQ(pullers[i].wrong, 0);
        rows += pullers[i].rows;
    }
    CHECK(rows > 15 * WIDE_ROWS);
    bs_table_free(level);
    bs_table_free(matrix);
    bs_hdf5_close(file);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

/* ---- faults --------------------------------------------------------------------------------------- */

/* The array outlives all that it came from. */
static basalt_status read_and_close(
    struct bs_vfs *vfs, const char *path, struct ArrowArray *out, basalt_error *error)
{
    static const size_t columns[] = {1, 0};
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    basalt_status status = bs_hdf5_open(vfs, foreign_file(), &file, error);
    if (!status) status = bs_hdf5_table_open(file, path, &options, &table, error);
    if (!status) status = bs_hdf5_cursor_open(file, table, columns, 2, &cursor, error);
    if (!status) status = bs_cursor_read(cursor, 3, 20, out, error);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    return status;
}

TEST(table_cursor, no_memory_is_no_crash)
{
    static const char *const paths[] = {"/frame", "/records"};
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    for (size_t i = 0; i < BS_ARRAY_LENGTH(paths); i++) {
        EACH_FAULT (step) {
            struct ArrowArray array = {0};
            const basalt_status status = read_and_close(vfs, paths[i], &array, NULL);
            fault_stop();
            CHECK(status == BASALT_OK || status == BASALT_NO_MEMORY);
            CHECK_EQ(status == BASALT_OK, array.release != NULL);
            if (!status) {
                CHECK_EQ(array.length, 20);
                array.release(&array);
            }
            CHECK_EQ(test_live_allocations(), before);
        }
    }
    bs_vfs_free(vfs);
}

/* ---- memory used again ------------------------------------------------------------------------- */

#define LONG_ROWS 100000
#define LONG_BATCH 20000

static const char *long_file(void)
{
    static char path[512];
    const hsize_t rows = LONG_ROWS, chunk = 10000;
    double *values = malloc(LONG_ROWS * sizeof *values);
    snprintf(path, sizeof path, "%s", test_path("long.h5"));
    const hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t group = H5Gcreate2(file, "table", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &rows, NULL);
    CHECK(values && H5Pset_chunk(chunked, 1, &chunk) >= 0);
    for (int column = 0; values && column < 3; column++) {
        const char name[] = {(char)('a' + column), 0};
        const hid_t made =
            H5Dcreate2(group, name, H5T_IEEE_F64LE, space, H5P_DEFAULT, chunked, H5P_DEFAULT);
        for (int row = 0; row < LONG_ROWS; row++) values[row] = row * (column + 1.0);
        CHECK(H5Dwrite(made, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
        H5Dclose(made);
    }
    free(values);
    H5Sclose(space);
    H5Pclose(chunked);
    H5Gclose(group);
    H5Fclose(file);
    return path;
}

static void check_long(const struct ArrowArray *array, int64_t first)
{
    CHECK_EQ(array->n_children, 3);
    for (int64_t i = 0; i < array->n_children; i++) {
        const double *values = array->children[i]->buffers[1];
        int64_t wrong = 0;
        for (int64_t row = 0; row < array->length; row++)
            wrong += values[row] != (double)(first + row) * ((double)i + 1.0);
        CHECK_EQ(wrong, 0);
    }
}

TEST(table_cursor, released_memory_is_used_again_and_outlives_the_file)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    struct bs_table *table = NULL;
    struct bs_table_cursor *cursor = NULL;
    struct ArrowArray kept, array;
    const void *first[3];
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const int64_t before = test_live_allocations();
    REQUIRE_OK(bs_hdf5_open(vfs, long_file(), &file, err));
    REQUIRE_OK(bs_hdf5_table_open(file, "table", &options, &table, err));
    REQUIRE_OK(bs_hdf5_cursor_open(file, table, NULL, 0, &cursor, err));
    REQUIRE_OK(bs_cursor_read(cursor, 0, LONG_BATCH, &kept, err));
    REQUIRE_OK(bs_cursor_read(cursor, LONG_BATCH, LONG_BATCH, &array, err));
    for (int i = 0; i < 3; i++) first[i] = array.children[i]->buffers[1];
    array.release(&array);
    REQUIRE_OK(bs_cursor_read(cursor, 2 * LONG_BATCH, LONG_BATCH, &array, err));
    unsigned again = 0;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) again += array.children[i]->buffers[1] == first[k];
    CHECK_EQ(again, 3);
    check_long(&array, 2 * LONG_BATCH);
    bs_cursor_close(cursor);
    bs_table_free(table);
    bs_hdf5_close(file);
    check_long(&kept, 0); /* nobody wrote there meanwhile */
    check_long(&array, 2 * LONG_BATCH);
    kept.release(&kept);
    array.release(&array);
    CHECK_EQ(test_live_allocations(), before);
    bs_vfs_free(vfs);
}

TEST(table_cursor, columns_side_by_side_are_those_of_the_file)
{
    const basalt_hdf5_scan_options options = {.row_count = UINT64_MAX};
    struct ArrowArrayStream stream;
    struct bs_vfs *vfs = NULL;
    struct bs_hdf5 *file = NULL;
    int64_t rows = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(bs_hdf5_open(vfs, long_file(), &file, err));
    REQUIRE_OK(bs_hdf5_scan(file, "table", &options, &stream, err));
    for (bool end = false; !end;) {
        struct ArrowArray batch;
        REQUIRE_OK(bs_stream_next(&stream, &batch, &end, err));
        if (end) break;
        check_long(&batch, rows);
        rows += batch.length;
        batch.release(&batch);
    }
    CHECK_EQ(rows, LONG_ROWS);
    stream.release(&stream);
    bs_hdf5_close(file);
    bs_vfs_free(vfs);
}
