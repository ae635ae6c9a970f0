/* writer_open_test.c - files that are there: closed well, left behind, or changed by libhdf5. */
#include "tests/unit/h5/writer_fixture.h"

static basalt_status make_file(
    struct fixture *fixture, struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    struct bs_h5_node *group = NULL, *column = NULL, *fixed = NULL;
    const struct bs_h5_space space = {.rank = 1, .dims = {3}, .max_dims = {3}};
    const uint8_t bytes[3] = {7, 8, 9};
    struct bs_h5_type *type = bs_h5_type_integer(1, false);
    basalt_status status = type ? BASALT_OK : bs_fail_memory(err, 1);
    if (!status) status = fixture_create(fixture, vfs, path, err);
    if (!status) {
        status = bs_h5_make_group(fixture->writer, bs_h5_root(fixture->writer), "g", &group, err);
    }
    if (!status) status = bs_h5_set_attribute_text(fixture->writer, group, "who", "us", err);
    for (unsigned i = 0; !status && i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        status = make_column(fixture, group, name, i, 100, &column, err);
        if (!status) status = bs_h5_set_attribute_u64(fixture->writer, column, "n", i, err);
        if (!status) status = append_rows(fixture, column, 1234, 1, err);
    }
    if (!status) {
        status = bs_h5_make_fixed(fixture->writer, group, "f", type, &space, bytes, &fixed, err);
    }
    if (!status) status = fixture_commit(fixture, err);
    bs_h5_type_free(type);
    return status;
}

static basalt_status finish(struct fixture *fixture, basalt_error *err)
{
    struct bs_h5_node *group = NULL, *column = NULL;
    basalt_status status =
        bs_h5_child(fixture->writer, bs_h5_root(fixture->writer), "g", &group, err);
    for (unsigned i = 0; !status && i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        status = bs_h5_child(fixture->writer, group, name, &column, err);
        if (!status) status = bs_h5_finish_tail(fixture->writer, column, fixture->scratch, err);
    }
    return status ? status : fixture_commit(fixture, err);
}

static basalt_status append_all(struct fixture *fixture, uint64_t rows, basalt_error *err)
{
    struct bs_h5_node *group = NULL, *column = NULL;
    basalt_status status =
        bs_h5_child(fixture->writer, bs_h5_root(fixture->writer), "g", &group, err);
    for (unsigned i = 0; !status && i < 4; i++) {
        char name[2] = {(char)('a' + i), 0};
        status = bs_h5_child(fixture->writer, group, name, &column, err);
        if (!status) status = append_rows(fixture, column, rows, 2, err);
    }
    return status ? status : fixture_commit(fixture, err);
}

static void check_all(const char *path, uint64_t rows)
{
    static const char *const names[] = {"/g/a", "/g/b", "/g/c", "/g/d"};
    for (unsigned i = 0; i < 4; i++) check_column(path, names[i], rows);
}

TEST(writer_open, goes_on_where_it_stopped)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    const char *path = test_path("again.h5");
    uint64_t rows = 1234;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(make_file(&fixture, vfs, path, err));
    fixture_close(&fixture);
    for (unsigned round = 0; round < 12; round++) {
        static const uint64_t steps[] = {1, 50, 99, 100, 1000, 16};
        REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
        for (unsigned i = 0; i < 3; i++) {
            const uint64_t more = steps[(round + i) % BS_ARRAY_LENGTH(steps)];
            REQUIRE_OK(append_all(&fixture, more, err));
            rows += more;
            check_all(path, rows);
        }
        if (round % 2) REQUIRE_OK(finish(&fixture, err));
        check_all(path, rows);
        fixture_close(&fixture);
    }
    bs_vfs_free(vfs);
}

TEST(writer_open, a_crash_leaks_no_space)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_space_stats stats, before;
    const char *path = test_path("leak.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(make_file(&fixture, vfs, path, err));
    fixture_close(&fixture);
    REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
    bs_h5_space_stats(fixture.writer, &before);
    for (unsigned round = 0; round < 20; round++) { /* appends and a prepare that come to nothing */
        uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
        struct bs_h5_node *group = NULL, *column = NULL;
        REQUIRE_OK(bs_h5_child(fixture.writer, bs_h5_root(fixture.writer), "g", &group, err));
        REQUIRE_OK(bs_h5_child(fixture.writer, group, "d", &column, err));
        REQUIRE_OK(append_rows(&fixture, column, 5000, 1, err));
        REQUIRE_OK(bs_h5_prepare(fixture.writer, 99, 99, superblock, err));
        fixture_close(&fixture);
        check_all(path, 1234);
        REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
        bs_h5_reclaim(fixture.writer, fixture.commit);
    }
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK_EQ(stats.live_bytes, before.live_bytes);
    CHECK_EQ(fixture.commit, 1);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

static hid_t hdf5_edit(const char *path)
{
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, false, true);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    return file;
}

static void set_extent(hid_t file, const char *name, hsize_t rows)
{
    const hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT);
    CHECK(H5Dset_extent(dataset, &rows) >= 0);
    H5Dclose(dataset);
}

static const int values[3] = {1, -2, 3};

/* What a session of h5py might do: extend, shrink, empty, delete, add. */
static void edit(const char *path)
{
    const hsize_t three = 3, seven = 7;
    const hid_t file = hdf5_edit(path);
    REQUIRE(file >= 0);
    set_extent(file, "/g/a", 500);
    set_extent(file, "/g/b", 2000);
    set_extent(file, "/g/c", 0);
    CHECK(H5Ldelete(file, "/g/f", H5P_DEFAULT) >= 0);
    const hid_t space = H5Screate_simple(1, &three, NULL);
    const hid_t other =
        H5Dcreate2(file, "/g/other", H5T_STD_I32BE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Dwrite(other, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
    const hid_t row = H5Screate_simple(1, &seven, NULL);
    const hid_t d = H5Dopen2(file, "/g/d", H5P_DEFAULT);
    for (unsigned i = 0; i < 12; i++) {
        char name[16];
        const double numbers[7] = {i, 1, 2, 3, 4, 5, 6};
        snprintf(name, sizeof name, "attr%u", i);
        const hid_t attribute = H5Acreate2(d, name, H5T_IEEE_F64LE, row, H5P_DEFAULT, H5P_DEFAULT);
        CHECK(H5Awrite(attribute, H5T_NATIVE_DOUBLE, numbers) >= 0);
        H5Aclose(attribute);
    }
    CHECK(H5Lcreate_soft("/g/d", file, "/g/soft", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    CHECK(H5Lcreate_external("x.h5", "/y", file, "/g/ext", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Dclose(d);
    H5Sclose(row);
    H5Sclose(space);
    H5Dclose(other);
    H5Fclose(file);
}

TEST(writer_open, after_another_program_changed_the_file)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *group = NULL, *column = NULL;
    const char *path = test_path("edited.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(make_file(&fixture, vfs, path, err));
    fixture_close(&fixture);
    edit(path);
    REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
    REQUIRE_OK(bs_h5_child(fixture.writer, bs_h5_root(fixture.writer), "g", &group, err));
    CHECK_EQ(bs_h5_child(fixture.writer, group, "other", &column, NULL), BASALT_UNSUPPORTED);
    CHECK_EQ(bs_h5_child(fixture.writer, group, "f", &column, NULL), BASALT_NOT_FOUND);
    static const uint64_t rows[] = {500, 2000, 0, 1234};
    for (unsigned round = 0; round < 5; round++) {
        bs_h5_reclaim(fixture.writer, fixture.commit);
        for (unsigned i = 0; i < 4; i++) {
            char name[2] = {(char)('a' + i), 0};
            REQUIRE_OK(bs_h5_child(fixture.writer, group, name, &column, err));
            CHECK_EQ(bs_h5_rows(column), rows[i] + 333 * round);
            CHECK_OK(append_rows(&fixture, column, 333, 1, err));
        }
        CHECK_OK(fixture_commit(&fixture, err));
    }
    check_column(path, "/g/a", 500 + 5 * 333);
    check_column_with_gap(path, "/g/b", 2000 + 5 * 333, 1234, 2000);
    check_column(path, "/g/c", 5 * 333);
    check_column(path, "/g/d", 1234 + 5 * 333);
    fixture_close(&fixture);
    const hid_t after = hdf5_open(path);
    H5O_info_t info;
    int read_back[3] = {0};
    const hid_t there = H5Dopen2(after, "/g/other", H5P_DEFAULT);
    CHECK(H5Dread(there, H5T_NATIVE_INT, H5S_ALL, H5S_ALL, H5P_DEFAULT, read_back) >= 0);
    CHECK(memcmp(read_back, values, sizeof values) == 0);
    H5Dclose(there);
    CHECK(H5Oget_info_by_name2(after, "/g/soft", &info, H5O_INFO_ALL, H5P_DEFAULT) >= 0);
    CHECK_EQ(info.num_attrs, 13);
    CHECK(H5Lexists(after, "/g/ext", H5P_DEFAULT) > 0);
    H5Fclose(after);
    bs_vfs_free(vfs);
}
