/* turn_test.c - what one turn of the recorder's thread commits, and what it does not. */
#include "tests/unit/recorder/recorder_cases.h"

TEST(turn, commits_all_that_waits_as_one)
{
    struct stage stage;
    struct gate gate;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats before, after;
    gate_init(&gate);
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "one.h5", &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "a", 0, 1, gate_hold, &gate, err));
    gate_wait_reached(&gate);
    CHECK_OK(bs_recorder_get_stats(recorder, &before, err));
    for (uint64_t i = 0; i < 60; i++) {
        CHECK_OK(send_rows(recorder, i % 2 ? "a" : "b", i, 5, gate_count, &gate, err));
    }
    gate_open(&gate);
    CHECK_OK(bs_recorder_flush(recorder, err));
    CHECK_OK(bs_recorder_get_stats(recorder, &after, err));
    CHECK_EQ(after.store.commits - before.store.commits, 1);
    CHECK_EQ(after.rows_written, 301);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(rows_in_file(&stage, "one.h5", "a"), 151);
    CHECK_EQ(rows_in_file(&stage, "one.h5", "b"), 150);
    stage_close(&stage);
    gate_destroy(&gate);
}

TEST(turn, one_bad_batch_harms_no_other)
{
    struct stage stage;
    struct gate gate, bad;
    struct bs_recorder *recorder = NULL;
    struct ArrowArray spoiled;
    struct test_schema schema;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    gate_init(&gate);
    gate_init(&bad);
    test_schema_make(&schema, false);
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "bad.h5", &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "a", 0, 1, gate_hold, &gate, err));
    gate_wait_reached(&gate);
    CHECK_OK(send_rows(recorder, "a", 1, 5, gate_count, &gate, err));
    REQUIRE_OK(make_batch(0, 3, true, &spoiled, err));
    CHECK_OK(bs_recorder_write(recorder, "a", &spoiled, &schema.root, gate_count, &bad, err));
    CHECK(spoiled.release == NULL);
    CHECK_OK(send_rows(recorder, "a", 6, 5, gate_count, &gate, err));
    CHECK_OK(send_rows(recorder, "b", 0, 2, gate_count, &gate, err));
    gate_open(&gate);
    CHECK_OK(bs_recorder_flush(recorder, err));
    CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    CHECK_EQ(stats.errors, 1);
    CHECK_OK(bs_recorder_stop(&recorder, err)); /* the callback was told */
    CHECK_EQ(gate.done, 3);
    CHECK_EQ(gate.failed, 0);
    CHECK_EQ(bad.done, 1);
    CHECK_EQ(bad.failed, 1);
    CHECK_EQ(bad.last_failure, BASALT_BAD_ARGUMENT);
    CHECK_EQ(rows_in_file(&stage, "bad.h5", "a"), 11);
    CHECK_EQ(rows_in_file(&stage, "bad.h5", "b"), 2);
    stage_close(&stage);
    gate_destroy(&gate);
    gate_destroy(&bad);
}

/* A memory file system that can be full. */
static struct {
    atomic_bool is_full;
    atomic_uint refused;
    const struct bs_vfs_ops *vfs_ops;
    struct bs_vfs_ops patched_vfs_ops;
    const struct bs_file_ops *file_ops;
    struct bs_file_ops patched_file_ops;
} disk;

static basalt_status refuse(const struct bs_file *file, basalt_error *err)
{
    atomic_fetch_add(&disk.refused, 1);
    return bs_fail_os(err, 28, BASALT_NO_OFFSET, "no room for %s", file->path);
}

static basalt_status disk_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    if (atomic_load(&disk.is_full)) return refuse(file, err);
    return disk.file_ops->write_at(file, bytes, count, offset, err);
}

static basalt_status disk_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    if (atomic_load(&disk.is_full)) return refuse(file, err);
    return disk.file_ops->reserve(file, bytes, err);
}

static basalt_status disk_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    const basalt_status status = disk.vfs_ops->open(vfs, path, flags, out_file, err);
    if (status) return status;
    if (!disk.file_ops) {
        disk.file_ops = (*out_file)->ops;
        disk.patched_file_ops = *disk.file_ops;
        disk.patched_file_ops.write_at = disk_write_at;
        disk.patched_file_ops.reserve = disk_reserve;
    }
    (*out_file)->ops = &disk.patched_file_ops;
    return BASALT_OK;
}

/* Those that found room are kept, and the others are told without a try each: a try waits for a whole
 * checkpoint. */
TEST(turn, a_full_disk_is_not_tried_for_every_message)
{
    struct stage stage;
    struct gate gate;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    basalt_error why = {0};
    gate_init(&gate);
    REQUIRE_OK(stage_open(&stage, true, err));
    memset(&disk, 0, sizeof disk);
    disk.vfs_ops = stage.vfs->ops;
    disk.patched_vfs_ops = *stage.vfs->ops;
    disk.patched_vfs_ops.open = disk_open;
    stage.vfs->ops = &disk.patched_vfs_ops;
    options.store.checkpoint_age_ms = 0;
    REQUIRE_OK(bs_recorder_start(&stage.parts, "full.h5", &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "a", 0, 1, gate_hold, &gate, err));
    gate_wait_reached(&gate);
    atomic_store(&disk.is_full, true);
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_OK(send_rows(recorder, "a", 1 + i * 1000, 1000, gate_count, &gate, err));
    }
    gate_open(&gate);
    CHECK_EQ(bs_recorder_flush(recorder, &why), BASALT_NO_SPACE);
    CHECK(gate.done == 200 && gate.failed > 0);
    CHECK_EQ(gate.last_failure, BASALT_NO_SPACE);
    CHECK(atomic_load(&disk.refused) < 60);
    atomic_store(&disk.is_full, false);
    CHECK_OK(send_rows(recorder, "a", 7, 1, gate_count, &gate, err)); /* and on it goes */
    CHECK_OK(bs_recorder_flush(recorder, err));
    CHECK_EQ(bs_recorder_stop(&recorder, &why), BASALT_NO_SPACE); /* says that it was so */
    CHECK_EQ(rows_in_file(&stage, "full.h5", "a"), 2 + 1000 * (200 - gate.failed));
    stage_close(&stage);
    gate_destroy(&gate);
}

TEST(turn, flush_puts_everything_into_the_file)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    const char *path = test_path("flush.h5");
    options.store.checkpoint_age_ms = 0;
    REQUIRE_OK(stage_open(&stage, false, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, path, &options, &recorder, err));
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_OK(send_rows(recorder, "a", i * 5, 5, NULL, NULL, err));
        CHECK_OK(bs_recorder_flush(recorder, err));
        CHECK_EQ(rows_in_file(&stage, path, "a"), i * 5);
    }
    CHECK_OK(bs_recorder_stop(&recorder, err));
    stage_close(&stage);
}

TEST(turn, flushes_by_itself)
{
    struct stage stage;
    struct bs_recorder *recorder = NULL;
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats = {0};
    options.store.checkpoint_age_ms = 0;
    options.auto_flush_interval_ms = 5;
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "auto.h5", &options, &recorder, err));
    CHECK_OK(send_rows(recorder, "a", 0, 5, NULL, NULL, err));
    for (int i = 0; i < 10000 && !stats.flushes; i++) {
        bs_sleep_ns(1000000);
        CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    }
    CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    CHECK_EQ(stats.flushes, 1); /* and not again, with nothing new */
    CHECK_EQ(stats.store.checkpoints, 1);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    stage_close(&stage);
}

/* ---- IPC ------------------------------------------------------------------------------------- */

static int collect(void *context, const void *bytes, size_t count)
{
    struct bs_bytes *all = context;
    bs_bytes_put(all, bytes, count);
    return all->failed ? 12 : 0;
}

struct three_batches {
    uint64_t given;
};

static basalt_status next_batch(void *context, struct ArrowArray *out, basalt_error *err)
{
    struct three_batches *batches = context;
    out->release = NULL;
    if (batches->given == 3) return BASALT_OK;
    return make_batch(batches->given++ * 4, 4, false, out, err);
}

static void close_batches(void *context)
{
    (void)context;
}

static basalt_status make_ipc(struct bs_bytes *out, basalt_error *err)
{
    struct three_batches batches = {0};
    const struct bs_stream_source source = {.next = next_batch, .close = close_batches};
    struct ArrowArrayStream stream = {.release = NULL};
    struct bs_schema *schema = NULL;
    struct test_schema arrow;
    basalt_status status = BASALT_OK;
    test_schema_make(&arrow, false);
    BS_TRY(bs_schema_import(&arrow.root, &schema, err));
    BS_TRY(bs_stream_create(schema, &source, &batches, &stream, err));
    BS_TRY(bs_ipc_write(&stream, collect, out, err));
out:
    bs_schema_release(schema);
    return status;
}

TEST(turn, ipc_bytes_are_rows)
{
    struct stage stage;
    struct gate gate;
    struct bs_recorder *recorder = NULL;
    struct bs_bytes ipc = {0};
    basalt_recorder_options options = default_options();
    basalt_recorder_stats stats;
    gate_init(&gate);
    REQUIRE_OK(make_ipc(&ipc, err));
    REQUIRE_OK(stage_open(&stage, true, err));
    REQUIRE_OK(bs_recorder_start(&stage.parts, "ipc.h5", &options, &recorder, err));
    CHECK_OK(bs_recorder_write_ipc(recorder, "a", ipc.data, ipc.count, NULL, NULL, err));
    CHECK_OK(bs_recorder_write_ipc(recorder, "a", ipc.data, ipc.count, gate_count, &gate, err));
    /* Cut in the middle: refused whole. */
    CHECK(bs_recorder_write_ipc(recorder, "a", ipc.data, ipc.count / 2, NULL, NULL, NULL) !=
        BASALT_OK);
    CHECK(
        bs_recorder_write_ipc(recorder, "a", "nonsense", 8, gate_count, &gate, NULL) != BASALT_OK);
    memset(ipc.data, 0xee, ipc.count); /* the bytes were copied */
    CHECK_OK(bs_recorder_flush(recorder, err));
    CHECK_OK(bs_recorder_get_stats(recorder, &stats, err));
    CHECK_EQ(stats.batches_written, 6);
    CHECK_EQ(stats.rows_written, 24);
    CHECK_EQ(gate.done, 1);
    CHECK_OK(bs_recorder_stop(&recorder, err));
    CHECK_EQ(rows_in_file(&stage, "ipc.h5", "a"), 24);
    bs_bytes_free(&ipc);
    stage_close(&stage);
    gate_destroy(&gate);
}
