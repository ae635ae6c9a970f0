/* writer_strings_test.c - variable-length columns, read back by libhdf5. */
#include "tests/unit/h5/writer_fixture.h"

/* The text of a row; every 7th is empty. */
static size_t text_at(uint64_t row, char out[300])
{
    uint64_t seed = row;
    const size_t count = row % 7 == 3 ? 0 : test_random(&seed) % (row % 50 == 0 ? 280 : 20);
    for (size_t i = 0; i < count; i++) out[i] = (char)('a' + (row + i * i) % 26);
    out[count] = 0;
    return count;
}

static basalt_status make_texts(struct fixture *fixture, const char *name, enum filters filters,
    uint64_t chunk_rows, struct bs_h5_node **out, basalt_error *err)
{
    struct bs_h5_type *type = bs_h5_type_variable_string();
    *out = NULL;
    if (!type) return bs_fail_memory(err, 1);
    const struct bs_h5_column_spec spec = {
        .type = type, .chunk_rows = chunk_rows, .pipeline = make_pipeline(filters, 16)};
    const basalt_status status =
        bs_h5_make_column(fixture->writer, bs_h5_root(fixture->writer), name, &spec, out, err);
    bs_h5_type_free(type);
    return status;
}

static basalt_status append_texts(
    struct fixture *fixture, struct bs_h5_node *column, uint64_t rows, basalt_error *err)
{
    char text[300];
    struct bs_bytes values = {0};
    const uint64_t first = bs_h5_rows(column);
    uint32_t *offsets = bs_alloc(((size_t)rows + 1) * sizeof *offsets);
    if (!offsets) return bs_fail_memory(err, (size_t)rows);
    offsets[0] = 0;
    for (uint64_t i = 0; i < rows; i++) {
        bs_bytes_put(&values, text, text_at(first + i, text));
        offsets[i + 1] = (uint32_t)values.count;
    }
    basalt_status status = bs_bytes_check(&values, err);
    const uint64_t half = rows / 2;
    const struct bs_h5_piece pieces[2] = {
        {values.data, offsets, half}, {values.data, offsets + half, rows - half}};
    if (!status) {
        status = bs_h5_append(fixture->writer, column, fixture->scratch, pieces, 2, err);
    }
    bs_bytes_free(&values);
    bs_free(offsets);
    return status;
}

static void check_texts(const char *path, const char *name, uint64_t rows)
{
    char expected[300];
    const hid_t file = hdf5_open(path);
    REQUIRE(file >= 0);
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    char **texts = bs_alloc_zeroed((size_t)rows + 1, sizeof *texts);
    CHECK_EQ(H5Sget_simple_extent_npoints(space), rows);
    CHECK(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) >= 0);
    for (uint64_t i = 0; i < rows; i++) {
        (void)text_at(i, expected);
        if (strcmp(texts[i] ? texts[i] : "", expected) == 0) continue;
        test_fail(__FILE__, __LINE__, "%s[%" PRIu64 "] is \"%s\"", name, i, texts[i]);
        break;
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    bs_free(texts);
    H5Tclose(type);
    H5Sclose(space);
    H5Dclose(dataset);
    H5Fclose(file);
}

TEST(writer_strings, grow_by_any_step)
{
    static const char *const names[] = {"plain", "summed", "shuffled", "all"};
    static const uint64_t steps[] = {1, 10, 300, 5, 2000, 99, 500, 1};
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *columns[4];
    uint64_t rows = 0;
    const char *path = test_path("texts.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(make_texts(&fixture, names[i], i, 500, &columns[i], err));
    }
    for (unsigned step = 0; step < 24; step++) {
        const uint64_t more = steps[step % BS_ARRAY_LENGTH(steps)];
        for (unsigned i = 0; i < 4; i++) {
            CHECK_OK(append_texts(&fixture, columns[i], more, err));
            if (step % 5 != 4) continue;
            CHECK_OK(bs_h5_finish_tail(fixture.writer, columns[i], fixture.scratch, err));
        }
        rows += more;
        if (step % 2) CHECK_OK(fixture_commit(&fixture, err));
        if (step % 8 != 7) continue;
        for (unsigned i = 0; i < 4; i++) check_texts(path, names[i], rows);
        check_verified(vfs, path);
        fixture_close(&fixture);
        REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
        bs_h5_reclaim(fixture.writer, fixture.commit);
        for (unsigned i = 0; i < 4; i++) {
            REQUIRE_OK(bs_h5_child(
                fixture.writer, bs_h5_root(fixture.writer), names[i], &columns[i], err));
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK_OK(bs_h5_rechunk(fixture.writer, columns[i], fixture.scratch, 2000, err));
        CHECK_OK(append_texts(&fixture, columns[i], 100, err));
    }
    CHECK_OK(fixture_commit(&fixture, err));
    for (unsigned i = 0; i < 4; i++) check_texts(path, names[i], rows + 100);
    check_verified(vfs, path);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

/* A row or two a commit: 4 KB a commit, unless the tail's strings are packed now and then. */
TEST(writer_strings, small_steps_do_not_waste_the_file)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *column = NULL;
    struct bs_h5_space_stats stats;
    const char *path = test_path("trickle.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(make_texts(&fixture, "t", SHUFFLED, 4096, &column, err));
    fixture.unsynced = true;
    for (unsigned step = 0; step < 1000; step++) {
        REQUIRE_OK(append_texts(&fixture, column, 2, err));
        REQUIRE_OK(fixture_commit(&fixture, err));
    }
    check_texts(path, "t", 2000);
    check_verified(vfs, path);
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 400000);
    CHECK(stats.file_bytes < 1500000);
    REQUIRE_OK(bs_h5_unlink(fixture.writer, bs_h5_root(fixture.writer), "t", err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 4096 + 4096);
    check_verified(vfs, path);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

TEST(writer_strings, what_cannot_be_is_refused)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *column = NULL;
    const uint32_t falling[] = {5, 3};
    const struct bs_h5_piece bad = {"hello", falling, 1}, none = {"hello", NULL, 1};
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, test_path("refused.h5"), err));
    REQUIRE_OK(make_texts(&fixture, "t", PLAIN, 100, &column, err));
    CHECK_EQ(
        bs_h5_append(fixture.writer, column, fixture.scratch, &bad, 1, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(
        bs_h5_append(fixture.writer, column, fixture.scratch, &none, 1, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_rows(column), 0);
    CHECK_OK(append_texts(&fixture, column, 150, err));
    CHECK_EQ(bs_h5_rechunk(fixture.writer, column, fixture.scratch, 150, NULL), BASALT_UNSUPPORTED);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}
