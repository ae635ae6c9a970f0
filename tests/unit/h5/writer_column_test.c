/* writer_column_test.c - columns: fill values, other chunks, many chunks, space that comes back. */
#include "tests/unit/h5/writer_fixture.h"

TEST(writer_column, fill_values_take_no_space)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *columns[4];
    struct bs_h5_space_stats stats;
    static const char *const names[] = {"a", "b", "c", "d"};
    const char *path = test_path("fill.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(
            make_column(&fixture, bs_h5_root(fixture.writer), names[i], i, 1000, &columns[i], err));
        CHECK_OK(append_rows(&fixture, columns[i], 1234, 1, err));
        CHECK_OK(bs_h5_append_fill(fixture.writer, columns[i], fixture.scratch, 50, err));
        CHECK_OK(fixture_commit(&fixture, err));
        CHECK_OK(bs_h5_append_fill(fixture.writer, columns[i], fixture.scratch, 1000000, err));
        CHECK_OK(append_rows(&fixture, columns[i], 3210, 2, err));
    }
    CHECK_OK(fixture_commit(&fixture, err));
    for (unsigned i = 0; i < 4; i++) {
        check_column_with_gap(path, names[i], 1234 + 1000050 + 3210, 1234, 1234 + 1000050);
    }
    check_verified(vfs, path);
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 4 * 8 * 9000);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_OK(bs_h5_rechunk(fixture.writer, columns[i], fixture.scratch, 16000, err));
        CHECK_EQ(bs_h5_chunk_rows(columns[i]), 16000);
    }
    CHECK_OK(fixture_commit(&fixture, err));
    for (unsigned i = 0; i < 4; i++) {
        check_column_with_gap(path, names[i], 1234 + 1000050 + 3210, 1234, 1234 + 1000050);
    }
    check_verified(vfs, path);
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 4 * 8 * 2 * 16100 + 30000);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

TEST(writer_column, a_fill_value_of_its_own)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *column = NULL;
    const double minus_one = -1, one = 1;
    double values[8] = {0};
    const char *path = test_path("nan.h5");
    struct bs_h5_type *type = bs_h5_type_float(8);
    const struct bs_h5_column_spec spec = {.type = type,
        .chunk_rows = 4,
        .pipeline = make_pipeline(ALL_FILTERS, 8),
        .fill = &minus_one};
    const struct bs_h5_piece piece = {&one, NULL, 1};
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(
        bs_h5_make_column(fixture.writer, bs_h5_root(fixture.writer), "x", &spec, &column, err));
    CHECK_OK(bs_h5_append_fill(fixture.writer, column, fixture.scratch, 1, err));
    CHECK_OK(bs_h5_append(fixture.writer, column, fixture.scratch, &piece, 1, err));
    CHECK_OK(bs_h5_append_fill(fixture.writer, column, fixture.scratch, 5, err));
    CHECK_OK(bs_h5_append(fixture.writer, column, fixture.scratch, &piece, 1, err));
    CHECK_OK(fixture_commit(&fixture, err));
    fixture_close(&fixture);
    const hid_t file = hdf5_open(path), dataset = H5Dopen2(file, "x", H5P_DEFAULT);
    CHECK(H5Dread(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    for (unsigned i = 0; i < 8; i++) CHECK((values[i] < 0) == (i != 1 && i != 7));
    H5Dclose(dataset);
    H5Fclose(file);
    bs_h5_type_free(type);
    bs_vfs_free(vfs);
}

/* Behind its rows there is nothing in the file yet. */
TEST(writer_column, a_tail_at_the_end_of_the_file_gets_larger_chunks)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *column;
    const char *path = test_path("tail.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(
        make_column(&fixture, bs_h5_root(fixture.writer), "x", ALL_FILTERS, 1000, &column, err));
    CHECK_OK(append_rows(&fixture, column, 7, 1, err));
    CHECK_OK(bs_h5_rechunk(fixture.writer, column, fixture.scratch, 3000, err));
    CHECK_OK(append_rows(&fixture, column, 3500, 1, err));
    CHECK_OK(fixture_commit(&fixture, err));
    fixture_close(&fixture);
    check_column(path, "x", 3507);
    bs_vfs_free(vfs);
}

/* Three levels of index: chunks of one row, and a commit here and there. */
TEST(writer_column, ten_thousand_chunks)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *columns[2];
    struct bs_h5_space_stats stats;
    const char *path = test_path("chunks.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    fixture.unsynced = true;
    REQUIRE_OK(
        make_column(&fixture, bs_h5_root(fixture.writer), "one", SUMMED, 1, &columns[0], err));
    REQUIRE_OK(
        make_column(&fixture, bs_h5_root(fixture.writer), "two", PLAIN, 2, &columns[1], err));
    for (unsigned step = 0; step < 100; step++) {
        CHECK_OK(append_rows(&fixture, columns[0], 101, 1, err));
        CHECK_OK(append_rows(&fixture, columns[1], 101, 1, err));
        CHECK_OK(fixture_commit(&fixture, err));
        if (step % 30 != 29) continue;
        check_column(path, "one", 101 * (step + 1));
        fixture_close(&fixture);
        REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
        fixture.unsynced = true;
        bs_h5_reclaim(fixture.writer, fixture.commit);
        struct bs_h5_node *root = bs_h5_root(fixture.writer);
        REQUIRE_OK(bs_h5_child(fixture.writer, root, "one", &columns[0], err));
        REQUIRE_OK(bs_h5_child(fixture.writer, root, "two", &columns[1], err));
    }
    check_column(path, "one", 10100);
    check_column(path, "two", 10100);
    check_verified(vfs, path);
    CHECK_OK(bs_h5_unlink(fixture.writer, bs_h5_root(fixture.writer), "one", err));
    CHECK_OK(bs_h5_unlink(fixture.writer, bs_h5_root(fixture.writer), "two", err));
    CHECK_OK(fixture_commit(&fixture, err));
    CHECK_OK(fixture_commit(&fixture, err));
    check_verified(vfs, path);
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 4096 + 4096);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

/* A handle that was open before: old values or an error, whatever becomes of the space. */
TEST(writer_column, an_old_handle_never_reads_a_wrong_number)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    static const char *const names[] = {"summed", "shuffled", "all"};
    struct bs_h5_node *columns[3], *root;
    const char *path = test_path("old.h5");
    int64_t *values = bs_alloc(8 * 5000);
    unsigned right = 0, refused = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    root = bs_h5_root(fixture.writer);
    for (unsigned i = 0; i < 3; i++) {
        REQUIRE_OK(make_column(&fixture, root, names[i], i + 1, 1000, &columns[i], err));
        REQUIRE_OK(append_rows(&fixture, columns[i], 5000, 1, err));
    }
    REQUIRE_OK(fixture_commit(&fixture, err));
    hid_t datasets[3];
    const hid_t file = hdf5_open(path);
    for (unsigned i = 0; i < 3; i++) datasets[i] = H5Dopen2(file, names[i], H5P_DEFAULT);
    for (unsigned i = 0; i < 3; i++) REQUIRE_OK(bs_h5_unlink(fixture.writer, root, names[i], err));
    for (unsigned round = 0; round < 6; round++) { /* other numbers into the space of the first */
        char name[16];
        REQUIRE_OK(fixture_commit(&fixture, err));
        snprintf(name, sizeof name, "new%u", round);
        REQUIRE_OK(make_column(&fixture, root, name, SUMMED, 700, &columns[0], err));
        REQUIRE_OK(bs_h5_append_fill(fixture.writer, columns[0], fixture.scratch, round + 1, err));
        REQUIRE_OK(append_rows(&fixture, columns[0], 2500, 1, err));
        for (unsigned i = 0; i < 3; i++) {
            herr_t read;
            H5E_BEGIN_TRY
            {
                read =
                    H5Dread(datasets[i], H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
            }
            H5E_END_TRY;
            refused += read < 0;
            if (read < 0) continue;
            right++;
            for (uint64_t k = 0; k < 5000; k++) CHECK_EQ(values[k], value_at(k));
        }
    }
    CHECK(right > 0 && refused > 0);
    for (unsigned i = 0; i < 3; i++) H5Dclose(datasets[i]);
    H5Fclose(file);
    fixture_close(&fixture);
    bs_free(values);
    bs_vfs_free(vfs);
}

struct appender {
    struct fixture *fixture;
    struct bs_h5_node *column;
    struct bs_codec_scratch *scratch;
    basalt_status status;
};

static void append_many(void *argument)
{
    struct appender *appender = argument;
    struct fixture fixture = *appender->fixture;
    fixture.scratch = appender->scratch;
    for (unsigned i = 0; i < 60 && !appender->status; i++) {
        appender->status = append_rows(&fixture, appender->column, 37 + 11 * (i % 9), 2, NULL);
    }
}

TEST(writer_column, threads_append_to_their_own_columns)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *group = NULL;
    struct appender appenders[4];
    struct bs_thread *threads[4];
    const char *path = test_path("threads.h5");
    char name[16];
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(bs_h5_make_group(fixture.writer, bs_h5_root(fixture.writer), "g", &group, err));
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "c%u", i);
        appenders[i] = (struct appender){&fixture, NULL, NULL, BASALT_OK};
        REQUIRE_OK(make_column(&fixture, group, name, i, 64, &appenders[i].column, err));
        REQUIRE_OK(bs_codec_scratch_create(&appenders[i].scratch, err));
    }
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            REQUIRE_OK(bs_thread_start("append", append_many, &appenders[i], &threads[i], err));
        }
        for (unsigned i = 0; i < 4; i++) bs_thread_join(threads[i]);
        for (unsigned i = 0; i < 4; i++) CHECK_EQ(appenders[i].status, BASALT_OK);
        CHECK_OK(fixture_commit(&fixture, err));
    }
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "/g/c%u", i);
        check_column(path, name, bs_h5_rows(appenders[i].column));
        bs_codec_scratch_free(appenders[i].scratch);
    }
    check_verified(vfs, path);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}
