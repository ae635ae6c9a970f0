/* writer_compact_test.c - what lies high moves down, the file is cut off, and nothing is lost. */
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/h5/writer_fixture.h"

#define ROWS 1000u
#define MANY_LINKS 1100u
#define PASSES_MAX 6
#define TEXTS_MAX 40

static basalt_status make_texts(
    struct fixture *fixture, struct bs_h5_node *group, struct bs_h5_node **out, basalt_error *err)
{
    struct bs_h5_type *type = bs_h5_type_variable_string();
    *out = NULL;
    if (!type) return bs_fail_memory(err, 1);
    const struct bs_h5_column_spec spec = {
        .type = type, .chunk_rows = 512, .pipeline = make_pipeline(SHUFFLED, 16)};
    const basalt_status status =
        bs_h5_make_column(fixture->writer, group, "texts", &spec, out, err);
    bs_h5_type_free(type);
    return status;
}

static basalt_status append_texts(
    struct fixture *fixture, struct bs_h5_node *texts, unsigned count, basalt_error *err)
{
    char bytes[32 * TEXTS_MAX];
    uint32_t offsets[TEXTS_MAX + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        const int length = snprintf(bytes + offsets[i], 32, "text %" PRIu64, bs_h5_rows(texts) + i);
        offsets[i + 1] = offsets[i] + (uint32_t)length;
    }
    const struct bs_h5_piece piece = {bytes, offsets, count};
    return bs_h5_append(fixture->writer, texts, fixture->scratch, &piece, 1, err);
}

/* Junk first, then one object of each kind, then the junk goes: the low half of the file is free. */
static basalt_status make_holes(struct fixture *fixture, unsigned links, basalt_error *err)
{
    struct bs_h5_writer *writer = fixture->writer;
    struct bs_h5_node *junk, *group, *many, *column[3], *texts, *fixed, *link;
    struct bs_h5_type *number = bs_h5_type_integer(8, true);
    const struct bs_h5_space space = {.rank = 1, .dims = {ROWS}, .max_dims = {ROWS}};
    int64_t values[ROWS];
    char name[16];
    basalt_status status = number ? BASALT_OK : bs_fail_memory(err, 1);
    if (status) return status;
    for (uint64_t i = 0; i < ROWS; i++) values[i] = value_at(i);
    BS_TRY(make_column(fixture, bs_h5_root(writer), "junk", PLAIN, 4096, &junk, err));
    BS_TRY(append_rows(fixture, junk, 40960, 1, err));
    BS_TRY(fixture_commit(fixture, err));
    BS_TRY(bs_h5_make_group(writer, bs_h5_root(writer), "g", &group, err));
    BS_TRY(bs_h5_set_attribute_text(writer, group, "a", "text", err));
    BS_TRY(bs_h5_make_group(writer, bs_h5_root(writer), "many", &many, err));
    for (unsigned i = 0; i < links; i++) {
        snprintf(name, sizeof name, "link%04u", i);
        BS_TRY(bs_h5_make_group(writer, many, name, &link, err));
    }
    BS_TRY(make_column(fixture, group, "plain", PLAIN, 7, &column[0], err));
    BS_TRY(make_column(fixture, group, "summed", SUMMED, 64, &column[1], err));
    BS_TRY(make_column(fixture, group, "all", ALL_FILTERS, 64, &column[2], err));
    BS_TRY(make_texts(fixture, group, &texts, err));
    BS_TRY(bs_h5_make_fixed(writer, group, "fixed", number, &space, values, &fixed, err));
    for (unsigned i = 0; i < 5; i++) {
        for (unsigned k = 0; k < 3; k++) BS_TRY(append_rows(fixture, column[k], ROWS / 5, 1, err));
        BS_TRY(append_texts(fixture, texts, 20, err));
        BS_TRY(fixture_commit(fixture, err));
    }
    for (unsigned k = 0; k < 3; k++) {
        BS_TRY(bs_h5_finish_tail(writer, column[k], fixture->scratch, err));
    }
    BS_TRY(bs_h5_unlink(writer, bs_h5_root(writer), "junk", err));
    BS_TRY(fixture_commit(fixture, err));
out:
    bs_h5_type_free(number);
    return status;
}

static basalt_status compact(struct fixture *fixture, basalt_error *err)
{
    bool again = true;
    basalt_status status = BASALT_OK;
    bs_h5_set_closed(fixture->writer, true); /* else the file keeps some room behind its end */
    for (unsigned pass = 0; pass < PASSES_MAX && again && !status; pass++) {
        status = bs_h5_compact(fixture->writer, fixture->scratch, NULL, NULL, &again, err);
        if (!status && again) status = fixture_commit(fixture, err);
    }
    return status ? status : bs_h5_shorten(fixture->writer, err);
}

static void check_texts(const char *path, unsigned rows)
{
    const hid_t file = hdf5_open(path);
    const hid_t dataset = H5Dopen2(file, "/g/texts", H5P_DEFAULT);
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    char **texts = bs_alloc_zeroed(rows, sizeof *texts);
    char expected[32];
    REQUIRE(texts && H5Sget_simple_extent_npoints(space) == rows);
    CHECK(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, texts) >= 0);
    for (unsigned i = 0; i < rows; i++) {
        snprintf(expected, sizeof expected, "text %u", i);
        CHECK(texts[i] && !strcmp(texts[i], expected));
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    bs_free(texts);
    H5Sclose(space);
    H5Tclose(type);
    H5Dclose(dataset);
    H5Fclose(file);
}

static void check_all(struct bs_vfs *vfs, const char *path, uint64_t rows, unsigned texts)
{
    check_column(path, "/g/plain", rows);
    check_column(path, "/g/summed", rows);
    check_column(path, "/g/all", rows);
    check_column(path, "/g/fixed", ROWS);
    check_texts(path, texts);
    check_verified(vfs, path);
    const hid_t file = hdf5_open(path);
    CHECK(H5Aexists_by_name(file, "g", "a", H5P_DEFAULT) > 0);
    CHECK(H5Lexists(file, "/many/link0000", H5P_DEFAULT) > 0);
    CHECK(H5Lexists(file, "/many/link1099", H5P_DEFAULT) > 0);
    H5Fclose(file);
}

TEST(writer_compact, the_file_is_as_short_as_what_it_has)
{
    struct bs_vfs *vfs = NULL;
    struct fixture fixture;
    struct bs_h5_space_stats before, after;
    struct bs_h5_node *group, *column;
    const char *path = test_path("compact.h5"), *const names[] = {"plain", "summed", "all"};
    uint64_t size = 0;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    REQUIRE_OK(fixture_create(&fixture, vfs, path, err));
    REQUIRE_OK(make_holes(&fixture, MANY_LINKS, err));
    check_all(vfs, path, ROWS, 100);
    bs_h5_space_stats(fixture.writer, &before);
    CHECK(before.free_bytes > before.live_bytes / 2);
    REQUIRE_OK(compact(&fixture, err));
    bs_h5_space_stats(fixture.writer, &after);
    CHECK(after.file_bytes - after.live_bytes < after.live_bytes / 10);
    CHECK(after.live_bytes <= before.live_bytes + 4096);
    CHECK_OK(bs_file_size(fixture.file, &size, err));
    CHECK_EQ(size, after.file_bytes);
    check_all(vfs, path, ROWS, 100);
    for (unsigned reopened = 0; reopened < 2; reopened++) { /* and what moved can grow */
        REQUIRE_OK(bs_h5_child(fixture.writer, bs_h5_root(fixture.writer), "g", &group, err));
        for (unsigned k = 0; k < 3; k++) {
            REQUIRE_OK(bs_h5_child(fixture.writer, group, names[k], &column, err));
            CHECK_OK(append_rows(&fixture, column, 100, 1, err));
        }
        REQUIRE_OK(bs_h5_child(fixture.writer, group, "texts", &column, err));
        CHECK_OK(append_texts(&fixture, column, 30, err));
        CHECK_OK(fixture_commit(&fixture, err));
        check_all(vfs, path, ROWS + 100 * (reopened + 1), 100 + 30 * (reopened + 1));
        fixture_close(&fixture);
        REQUIRE_OK(fixture_open(&fixture, vfs, path, err));
    }
    fixture_close(&fixture);
    bs_vfs_free(vfs);
}

/* A failure anywhere leaves a file that shows the last commit; raw tails are moved too. */
TEST(writer_compact, faults)
{
    const int64_t before = test_live_allocations();
    EACH_FAULT (step) {
        struct bs_vfs *inner = NULL, *vfs = NULL;
        struct fixture fixture = {0};
        basalt_error err = {0};
        basalt_status status = bs_vfs_memory_create(&inner, &err);
        if (!status) vfs = faulty_create(inner, NULL);
        if (vfs) status = fixture_create(&fixture, vfs, "compact.h5", &err);
        if (vfs && !status) status = make_holes(&fixture, 2, &err);
        const bool made = vfs && !status;
        if (made) status = compact(&fixture, &err);
        CHECK_EQ(status, err.status);
        fixture_close(&fixture);
        fault_stop();
        if (made) check_verified(inner, "compact.h5");
        bs_vfs_free(vfs);
        if (!vfs) bs_vfs_free(inner);
        CHECK_EQ(test_live_allocations(), before);
    }
}
