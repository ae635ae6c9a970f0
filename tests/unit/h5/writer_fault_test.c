/* writer_fault_test.c - every allocation and every file operation fails in turn: right error, no leak,
 * and what the file shows is the last commit, whole. */
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/h5/writer_fixture.h"

/* A workload with all kinds of objects, in three commits; *commits counts those that were done. */
static basalt_status work(
    struct fixture *fixture, struct bs_vfs *vfs, unsigned *commits, basalt_error *err)
{
    struct bs_h5_node *group = NULL, *summed = NULL, *all = NULL, *texts = NULL;
    struct bs_h5_type *text_type = bs_h5_type_variable_string();
    const uint32_t offsets[] = {0, 3, 3, 9};
    const struct bs_h5_piece piece = {"onethreee", offsets, 3};
    const struct bs_h5_column_spec spec = {
        .type = text_type, .chunk_rows = 4, .pipeline = make_pipeline(SHUFFLED, 16)};
    basalt_status status = text_type ? BASALT_OK : bs_fail_memory(err, 1);
    if (status) return status;
    BS_TRY(fixture_create(fixture, vfs, "work.h5", err));
    struct bs_h5_writer *writer = fixture->writer;
    BS_TRY(bs_h5_make_group(writer, bs_h5_root(writer), "g", &group, err));
    BS_TRY(bs_h5_set_attribute_text(writer, group, "a", "text", err));
    BS_TRY(make_column(fixture, group, "s", SUMMED, 20, &summed, err));
    BS_TRY(make_column(fixture, group, "x", ALL_FILTERS, 20, &all, err));
    BS_TRY(bs_h5_make_column(writer, group, "t", &spec, &texts, err));
    BS_TRY(fixture_commit(fixture, err));
    ++*commits;
    for (unsigned i = 0; i < 2; i++) {
        BS_TRY(append_rows(fixture, summed, 33, 2, err));
        BS_TRY(append_rows(fixture, all, 33, 1, err));
        BS_TRY(bs_h5_append(writer, texts, fixture->scratch, &piece, 1, err));
        BS_TRY(fixture_commit(fixture, err));
        ++*commits;
    }
    BS_TRY(bs_h5_finish_tail(writer, all, fixture->scratch, err));
    BS_TRY(bs_h5_rechunk(writer, summed, fixture->scratch, 40, err));
    BS_TRY(bs_h5_unlink(writer, group, "t", err));
    BS_TRY(fixture_commit(fixture, err));
    ++*commits;
    fixture_close(fixture);
    BS_TRY(fixture_open(fixture, vfs, "work.h5", err));
    BS_TRY(bs_h5_child(fixture->writer, bs_h5_root(fixture->writer), "g", &group, err));
    BS_TRY(bs_h5_child(fixture->writer, group, "x", &all, err));
    BS_TRY(append_rows(fixture, all, 10, 1, err));
    BS_TRY(fixture_commit(fixture, err));
    ++*commits;
out:
    bs_h5_type_free(text_type);
    return status;
}

/* Without faults: the file is that of the last commit that was done, or of the one that was not. */
static void check_state(struct bs_vfs *vfs, unsigned commits)
{
    static const uint64_t rows_all[] = {0, 0, 33, 66, 66, 76};
    struct bs_file *file = NULL;
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_object *object = NULL;
    if (commits == 0) return;
    REQUIRE_OK(bs_file_open(vfs, "work.h5", BS_OPEN_READ, &file, err));
    CHECK_OK(bs_h5_file_open(file, &h5, err));
    if (h5) CHECK_OK(bs_h5_object_open_path(h5, "/g/x", &object, err));
    if (object) {
        const uint64_t rows = bs_h5_object_dataset(object)->space.dims[0];
        CHECK(rows == rows_all[commits] || rows == rows_all[BS_MIN(commits + 1, 5u)]);
        int64_t *values = bs_alloc((size_t)rows * 8);
        CHECK_OK(bs_h5_read(h5, object, 0, rows, values, err));
        for (uint64_t i = 0; i < rows; i++) CHECK_EQ(values[i], value_at(i));
        bs_free(values);
    }
    bs_h5_object_close(object);
    bs_h5_file_close(h5);
    bs_file_close(file);
    check_verified(vfs, "work.h5");
}

TEST(writer_fault, nothing_leaks_and_nothing_half_done_is_seen)
{
    const int64_t before = test_live_allocations();
    uint64_t steps = 0;
    EACH_FAULT (step) {
        struct bs_vfs *inner = NULL, *vfs = NULL;
        struct fixture fixture = {0};
        basalt_error err = {0};
        unsigned commits = 0;
        basalt_status status = bs_vfs_memory_create(&inner, &err);
        if (!status) vfs = faulty_create(inner, NULL);
        if (vfs) {
            status = work(&fixture, vfs, &commits, &err);
            CHECK_EQ(status, err.status);
            CHECK(status || commits == 5);
            fixture_close(&fixture);
            fault_stop();
            check_state(inner, commits);
        }
        bs_vfs_free(vfs);
        if (!vfs) bs_vfs_free(inner);
        CHECK_EQ(test_live_allocations(), before);
        steps = step;
    }
    CHECK(steps > 200);
}

/* A failure that passes: the caller tries again, with the rows that are not in yet. */
TEST(writer_fault, goes_on_after_a_failure_that_passes)
{
    EACH_FAULT (step) {
        struct bs_vfs *inner = NULL, *vfs = NULL;
        struct fixture fixture = {0};
        struct bs_h5_node *columns[3] = {NULL};
        const uint64_t seen_at_start = fault_points_seen();
        (void)seen_at_start;
        basalt_status status = bs_vfs_memory_create(&inner, NULL);
        if (!status) vfs = faulty_create(inner, NULL);
        if (vfs) status = fixture_create(&fixture, vfs, "work.h5", NULL);
        for (unsigned i = 0; !status && vfs && i < 3; i++) {
            static const char *const names[] = {"a", "b", "c"};
            status = make_column(
                &fixture, bs_h5_root(fixture.writer), names[i], i + 1, 3, &columns[i], NULL);
        }
        for (unsigned round = 0; vfs && !status && round < 3; round++) {
            for (unsigned i = 0; i < 3; i++) {
                const uint64_t wanted = 70 * (round + 1);
                for (unsigned try = 0; try < 3 && bs_h5_rows(columns[i]) < wanted; try++) {
                    (void)!append_rows(
                        &fixture, columns[i], wanted - bs_h5_rows(columns[i]), 2, NULL);
                }
                CHECK_EQ(bs_h5_rows(columns[i]), wanted);
            }
            uint8_t superblock[BS_H5_SUPERBLOCK_BYTES];
            basalt_status prepared = BASALT_IO_ERROR;
            for (unsigned try = 0; try < 3 && prepared; try++) {
                prepared = bs_h5_prepare(fixture.writer, round + 1, 0, superblock, NULL);
            }
            CHECK_EQ(prepared, BASALT_OK);
            if (bs_h5_flip(fixture.writer, NULL)) {
                bs_h5_abandon(fixture.writer);
                break;
            }
            bs_h5_settle(fixture.writer);
            bs_h5_reclaim(fixture.writer, round + 1);
            fixture.commit = round + 1;
        }
        const uint64_t commits = fixture.commit;
        fixture_close(&fixture);
        fault_stop();
        if (vfs && commits == 3) check_verified(inner, "work.h5");
        bs_vfs_free(vfs);
        if (!vfs) bs_vfs_free(inner);
    }
}
