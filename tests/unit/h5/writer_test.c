/* writer_test.c - the commit: what readers of the file see, before, between and after. */
#include "tests/unit/h5/writer_fixture.h"

TEST(writer, a_new_file_is_hdf5_with_its_first_flip)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES], current[BS_H5_SUPERBLOCK_BYTES];
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, test_path("new.h5"), err));
    REQUIRE_OK(bs_h5_prepare(fixture.writer, 1, 77, superblock, err));
    CHECK(hdf5_open(fixture.path) < 0);
    REQUIRE_OK(bs_h5_flip(fixture.writer, err));
    bs_h5_settle(fixture.writer);
    CHECK_OK(bs_h5_check_unchanged(fixture.writer, err));
    bs_h5_current(fixture.writer, current);
    CHECK(memcmp(current, superblock, sizeof current) == 0);
    CHECK_EQ(bs_h5_writer_identity(fixture.writer)->log_position, 77);
    const hid_t file = hdf5_open(fixture.path);
    REQUIRE(file >= 0);
    uint64_t commit = 0;
    const hid_t attribute = H5Aopen_by_name(file, "/.basalt", "commit", H5P_DEFAULT, H5P_DEFAULT);
    CHECK(H5Aread(attribute, H5T_NATIVE_UINT64, &commit) >= 0);
    CHECK_EQ(commit, 1);
    H5Aclose(attribute);
    H5Fclose(file);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

TEST(writer, columns_of_every_pipeline_grow_by_any_step)
{
    static const uint64_t steps[] = {1, 3, 96, 100, 200, 250, 7, 1000, 93, 100, 5000, 1};
    static const char *const names[] = {"plain", "summed", "shuffled", "all"};
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *columns[4], *group = NULL;
    char path[40];
    uint64_t rows = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, test_path("grow.h5"), err));
    REQUIRE_OK(bs_h5_make_group(fixture.writer, bs_h5_root(fixture.writer), "g", &group, err));
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE_OK(make_column(&fixture, group, names[i], i, 100, &columns[i], err));
    }
    for (unsigned step = 0; step < 60; step++) {
        const uint64_t more = steps[step % BS_ARRAY_LENGTH(steps)];
        rows += more;
        for (unsigned i = 0; i < 4; i++) {
            CHECK_OK(append_rows(&fixture, columns[i], more, 1 + step % 3, err));
            if (step % 17 != 16) continue;
            CHECK_OK(bs_h5_finish_tail(fixture.writer, columns[i], fixture.scratch, err));
        }
        if (step % 3) continue;
        CHECK_OK(fixture_commit(&fixture, err));
        for (unsigned i = 0; i < 4; i++) {
            snprintf(path, sizeof path, "/g/%s", names[i]);
            check_column(fixture.path, path, rows);
        }
    }
    struct bs_h5_space_stats stats;
    bs_h5_space_stats(fixture.writer, &stats);
    CHECK(stats.live_bytes < 4 * 8 * rows);
    CHECK(stats.file_bytes < 2 * 4 * 8 * rows);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}
