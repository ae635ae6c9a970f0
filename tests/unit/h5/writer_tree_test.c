/* writer_tree_test.c - groups small and large, attributes, fixed datasets, unlinking. */
#include "tests/unit/h5/writer_fixture.h"

static void name_of(unsigned number, char out[16])
{
    snprintf(out, 16, "g%07u", number);
}

/* Every group is found by name and has the attribute that says its number. */
static void check_groups(const char *path, unsigned from, unsigned to, unsigned step)
{
    char name[16];
    const hid_t file = hdf5_open(path);
    H5G_info_t info;
    REQUIRE(file >= 0);
    CHECK(H5Gget_info(file, &info) >= 0);
    for (unsigned i = from; i < to; i += step) {
        uint64_t number = 0;
        name_of(i, name);
        const hid_t attribute = H5Aopen_by_name(file, name, "number", H5P_DEFAULT, H5P_DEFAULT);
        CHECK(attribute >= 0 && H5Aread(attribute, H5T_NATIVE_UINT64, &number) >= 0);
        if (attribute >= 0) H5Aclose(attribute);
        if (number == i) continue;
        test_fail(__FILE__, __LINE__, "%s has number %" PRIu64, name, number);
        break;
    }
    H5Fclose(file);
}

static uint64_t link_count(const char *path)
{
    const hid_t file = hdf5_open(path);
    H5G_info_t info = {0};
    if (file < 0 || H5Gget_info(file, &info) < 0) return 0;
    H5Fclose(file);
    return info.nlinks;
}

static basalt_status make_groups(
    struct fixture *fixture, unsigned from, unsigned to, unsigned step, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (unsigned i = from; !status && i < to; i += step) {
        struct bs_h5_node *group = NULL;
        char name[16];
        name_of(i, name);
        status = bs_h5_make_group(fixture->writer, bs_h5_root(fixture->writer), name, &group, err);
        if (!status) status = bs_h5_set_attribute_u64(fixture->writer, group, "number", i, err);
    }
    return status;
}

TEST(writer_tree, a_group_grows_from_links_to_a_symbol_table_and_back)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    const char *path = test_path("groups.h5");
    char name[16];
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(make_groups(&fixture, 0, 2000, 2, err)); /* 1,001 links */
    REQUIRE_OK(fixture_commit(&fixture, err));
    check_groups(path, 0, 2000, 2);
    for (unsigned round = 0; round < 20; round++) { /* in between: every other number */
        REQUIRE_OK(make_groups(&fixture, 1 + 100 * round, 101 + 100 * round, 2, err));
        REQUIRE_OK(fixture_commit(&fixture, err));
        CHECK_EQ(link_count(path), 1001 + 50 * (round + 1));
    }
    check_groups(path, 0, 2000, 1);
    check_verified(vfs, path);
    fixture_close(&fixture);
    REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
    REQUIRE_OK(make_groups(&fixture, 2000, 4000, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    check_groups(path, 0, 4000, 1);
    check_verified(vfs, path);
    for (unsigned i = 0; i < 4000; i++) { /* all but a few in the middle */
        if (i >= 2000 && i < 2005) continue;
        name_of(i, name);
        REQUIRE_OK(bs_h5_unlink(fixture.writer, bs_h5_root(fixture.writer), name, err));
        if (i % 700 == 0) REQUIRE_OK(fixture_commit(&fixture, err));
    }
    REQUIRE_OK(fixture_commit(&fixture, err));
    CHECK_EQ(link_count(path), 6);
    check_groups(path, 2000, 2005, 1);
    check_verified(vfs, path);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

TEST(writer_tree, ten_thousand_groups)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    const char *path = test_path("many.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(make_groups(&fixture, 0, 10000, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    REQUIRE_OK(make_groups(&fixture, 10000, 10001, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    check_groups(path, 0, 10001, 1);
    check_verified(vfs, path);
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

TEST(writer_tree, a_symbol_table_that_libhdf5_changed)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    const char *path = test_path("table.h5");
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(make_groups(&fixture, 0, 1500, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    fixture_close(&fixture);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, false, true);
    const hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    H5Pclose(access);
    REQUIRE(file >= 0);
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "h%03u_of_another", i);
        const hid_t group = H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        CHECK(group >= 0);
        H5Gclose(group);
        name_of(i * 3, name);
        CHECK(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    }
    CHECK(H5Lcreate_soft("/g0000001", file, "soft", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    H5Fclose(file);
    REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
    REQUIRE_OK(make_groups(&fixture, 2000, 2100, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    REQUIRE_OK(make_groups(&fixture, 2100, 2101, 1, err));
    REQUIRE_OK(fixture_commit(&fixture, err));
    fixture_close(&fixture);
    CHECK_EQ(link_count(path), 1 + 1500 + 1 + 101);
    check_groups(path, 2000, 2101, 1);
    check_groups(path, 901, 1500, 1);
    check_verified(vfs, path);
    const hid_t after = hdf5_open(path);
    H5O_info_t info;
    CHECK(H5Oget_info_by_name2(after, "/soft", &info, H5O_INFO_ALL, H5P_DEFAULT) >= 0);
    CHECK(H5Lexists(after, "h299_of_another", H5P_DEFAULT) > 0);
    H5Fclose(after);
    bs_vfs_free(vfs);
}

TEST(writer_tree, attributes_of_every_kind)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *root;
    const char *path = test_path("attributes.h5");
    char *large = bs_alloc(64001);
    const struct bs_h5_space row = {.rank = 1, .dims = {3}, .max_dims = {3}};
    const struct bs_h5_space square = {.rank = 2, .dims = {2, 2}, .max_dims = {2, 2}};
    struct bs_h5_type *texts = bs_h5_type_string(4), *variable = bs_h5_type_variable_string();
    REQUIRE(large && texts && variable);
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    root = bs_h5_root(fixture.writer);
    memset(large, 'x', 64000);
    large[64000] = 0;
    CHECK_OK(bs_h5_set_attribute_text(fixture.writer, root, "large", large, err));
    CHECK_OK(bs_h5_set_attribute_text(fixture.writer, root, "empty", "", err));
    CHECK_OK(bs_h5_set_attribute(fixture.writer, root, "row", texts, &row, "ab\0\0cde\0fghi", err));
    CHECK_OK(bs_h5_set_attribute_u64(fixture.writer, root, "number", 1, err));
    CHECK_OK(fixture_commit(&fixture, err));
    CHECK_OK(bs_h5_set_attribute_u64(fixture.writer, root, "number", UINT64_MAX, err));
    CHECK_OK(fixture_commit(&fixture, err));
    CHECK_OK(fixture_commit(&fixture, err)); /* shares the block of the one before */
    large[0] = (char)0xFF;
    CHECK_EQ(
        bs_h5_set_attribute_text(fixture.writer, root, "bad", large, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_set_attribute(fixture.writer, root, "square", texts, &square, large, NULL),
        BASALT_UNSUPPORTED);
    CHECK_EQ(bs_h5_set_attribute(fixture.writer, root, "v", variable, &row, large, NULL),
        BASALT_UNSUPPORTED);
    memset(large, 'x', 64000);
    struct bs_h5_type *over = bs_h5_type_string(64001);
    const struct bs_h5_space scalar = {0};
    CHECK_EQ(bs_h5_set_attribute(fixture.writer, root, "over", over, &scalar, large, NULL),
        BASALT_TOO_LARGE);
    fixture_close(&fixture);
    const hid_t file = hdf5_open(path);
    H5O_info_t info;
    uint64_t number = 0;
    char three[12] = {0};
    CHECK(H5Oget_info2(file, &info, H5O_INFO_ALL) >= 0);
    CHECK_EQ(info.num_attrs, 4);
    hid_t attribute = H5Aopen(file, "number", H5P_DEFAULT);
    CHECK(H5Aread(attribute, H5T_NATIVE_UINT64, &number) >= 0 && number == UINT64_MAX);
    H5Aclose(attribute);
    attribute = H5Aopen(file, "row", H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute);
    CHECK(H5Aread(attribute, type, three) >= 0 && !memcmp(three, "ab\0\0cde\0fghi", 12));
    H5Tclose(type);
    H5Aclose(attribute);
    H5Fclose(file);
    check_verified(vfs, path);
    bs_h5_type_free(over);
    bs_h5_type_free(texts);
    bs_h5_type_free(variable);
    bs_free(large);
    bs_vfs_free(vfs);
}

TEST(writer_tree, names_and_places_that_cannot_be)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_node *group = NULL, *column = NULL, *at;
    char *name = bs_alloc(70000);
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, test_path("names.h5"), err));
    struct bs_h5_writer *writer = fixture.writer;
    at = bs_h5_root(writer);
    CHECK_EQ(bs_h5_make_group(writer, at, "", &group, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_make_group(writer, at, ".", &group, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_make_group(writer, at, "a/b", &group, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_make_group(writer, at, "\xff", &group, NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_make_group(writer, at, ".basalt", &group, NULL), BASALT_EXISTS);
    CHECK_EQ(bs_h5_unlink(writer, at, ".basalt", NULL), BASALT_BAD_ARGUMENT);
    CHECK_EQ(bs_h5_unlink(writer, at, "nothing", NULL), BASALT_NOT_FOUND);
    memset(name, 'n', 69999);
    name[69999] = 0;
    CHECK_EQ(bs_h5_make_group(writer, at, name, &group, NULL), BASALT_TOO_LARGE);
    name[10000] = 0;
    REQUIRE_OK(bs_h5_make_group(writer, at, name, &group, err));
    REQUIRE_OK(make_column(&fixture, group, "c", PLAIN, 10, &column, err));
    CHECK_EQ(bs_h5_make_group(writer, column, "x", &at, NULL), BASALT_BAD_ARGUMENT);
    for (unsigned i = 0; i + 3 < BS_H5_DEPTH_MAX; i++) {
        REQUIRE_OK(bs_h5_make_group(writer, group, "deep", &group, err));
    }
    CHECK_OK(bs_h5_make_group(writer, group, "last", &at, err));
    CHECK_EQ(bs_h5_make_group(writer, at, "over", &group, NULL), BASALT_TOO_LARGE);
    CHECK_OK(fixture_commit(&fixture, err));
    check_verified(vfs, fixture.path);
    fixture_close(&fixture);
    REQUIRE_OK(fixture_open(&fixture, vfs, test_path("names.h5"), err));
    fixture_close(&fixture);
    bs_free(name);
    bs_vfs_free(vfs);
}
