/* store_fault_test.c - every allocation and every call of the file system fails in turn.
 *
 * Whatever fails, and in whatever thread: the call that needed it says so or does without, nothing
 * leaks, nothing hangs, and a later open without faults finds every row that was acknowledged, and of
 * the others whole transactions or nothing. */
#include "tests/harness/faulty_vfs.h"
#include "tests/unit/store/store_help.h"

#include <errno.h>

#define BATCH_ROWS 20

struct progress {
    bool family;      /* creation acknowledged */
    uint64_t batches; /* acknowledged */
    uint64_t tried;
    bool attribute;
};

static basalt_status add_batch(struct bs_store *store, const struct help_schema *schema,
    struct progress *progress, basalt_durability durability, basalt_error *err)
{
    progress->tried = BS_MAX(progress->tried, progress->batches + 1);
    const basalt_status status = help_append(
        store, "a", schema, progress->batches * BATCH_ROWS, BATCH_ROWS, durability, err);
    if (!status) progress->batches++;
    return status;
}

static basalt_status look(struct bs_store *store, const struct help_schema *schema,
    uint64_t rows_expected, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    struct ArrowArrayStream stream = {0};
    struct ArrowArray array = {0};
    uint64_t rows = 0, seen = 0;
    bool end = false;
    basalt_status status = bs_snapshot_create(store, &snapshot, err);
    if (!status) status = bs_snapshot_rows(snapshot, "a", &rows, err);
    if (!status) CHECK_EQ(rows, rows_expected);
    if (!status) status = bs_store_scan(store, snapshot, "a", NULL, &stream, err);
    while (!status && !end) {
        status = bs_stream_next(&stream, &array, &end, err);
        if (!status && !end) {
            for (size_t c = 0; c < schema->schema->field_count; c++) {
                for (uint64_t i = 0; i < (uint64_t)array.length; i++) {
                    CHECK(help_value_is(
                        &schema->schema->fields[c], c, array.children[c], i, seen + i));
                }
            }
            seen += (uint64_t)array.length;
        }
        if (array.release) array.release(&array);
    }
    if (!status) CHECK_EQ(seen, rows_expected);
    if (stream.release) stream.release(&stream);
    bs_snapshot_close(&snapshot);
    return status;
}

static basalt_status work(struct bs_store *store, const struct help_schema *schema,
    struct progress *progress, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!progress->family) {
        BS_TRY(bs_store_family_create(store, "a", &schema->root, NULL, err));
        progress->family = true;
    }
    BS_TRY(add_batch(store, schema, progress, BASALT_BUFFERED, err));
    BS_TRY(add_batch(store, schema, progress, BASALT_SYNC, err));
    BS_TRY(bs_store_checkpoint(store, err));
    BS_TRY(bs_store_set_attribute(store, "a", "key", "value", err));
    progress->attribute = true;
    BS_TRY(add_batch(store, schema, progress, BASALT_VOLATILE, err));
    BS_TRY(look(store, schema, progress->batches * BATCH_ROWS, err));
    BS_TRY(bs_store_checkpoint(store, err));
    BS_TRY(add_batch(store, schema, progress, BASALT_BUFFERED, err));
out:
    return status;
}

/* Opens and works until something fails; closes in any case, by `abandon` or cleanly. */
static basalt_status session(struct help_env *env, const struct help_schema *schema, bool abandon,
    struct progress *progress, basalt_error *err)
{
    basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    struct bs_store *store = NULL;
    options.log_segment_bytes = 64 << 10;
    basalt_status status = bs_store_open(&env->parts, "/a.h5", &options, &store, err);
    if (status) {
        CHECK(!store);
        return status;
    }
    status = work(store, schema, progress, err);
    if (status) CHECK_EQ(err->status, status);
    if (abandon) {
        bs_store_abandon(store);
        return status;
    }
    basalt_error close_err = {0};
    const basalt_status closed = bs_store_close(&store, &close_err);
    CHECK_EQ(closed, close_err.status);
    CHECK(!store);
    if (!status && closed && err) *err = close_err;
    return status ? status : closed;
}

static void verify(
    struct help_env *env, const struct help_schema *schema, const struct progress *progress)
{
    const basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    struct bs_store *store = NULL;
    uint64_t rows = 0, faults = 0;
    struct bs_snapshot *snapshot = NULL;
    REQUIRE_OK(bs_store_open(&env->parts, "/a.h5", &options, &store, err));
    CHECK_OK(bs_snapshot_create(store, &snapshot, err));
    const basalt_status status = bs_snapshot_rows(snapshot, "a", &rows, NULL);
    bs_snapshot_close(&snapshot);
    if (progress->family) CHECK_EQ(status, BASALT_OK);
    CHECK_EQ(rows % BATCH_ROWS, 0);
    CHECK(rows >= progress->batches * BATCH_ROWS);
    CHECK(rows <= progress->tried * BATCH_ROWS);
    if (!status) CHECK_OK(look(store, schema, rows, err));
    if (progress->attribute) {
        char *value = NULL;
        CHECK_OK(bs_store_get_attribute(store, "a", "key", &value, err));
        CHECK_TEXT(value, "value");
        bs_free(value);
    }
    CHECK_OK(bs_store_close(&store, err));
    CHECK_OK(bs_store_verify(&env->parts, "/a.h5", NULL, NULL, NULL, &faults, err));
    CHECK_EQ(faults, 0);
}

static basalt_status remove_file(void *context, const char *name, basalt_error *err)
{
    struct bs_vfs *vfs = context;
    char path[256];
    snprintf(path, sizeof path, "/%s", name);
    return vfs->ops->remove(vfs, path, err);
}

/* Runs sessions in which one step fails, each in an empty file system; every second one is killed at
 * its end. */
static void fail_each(const struct faulty_options *options)
{
    uint64_t failed = 0;
    struct bs_vfs *memory = NULL;
    struct help_env env;
    struct help_schema schema;
    REQUIRE_OK(bs_vfs_memory_create(&memory, err));
    help_env_open(&env, faulty_create(memory, options), 0);
    help_schema_open(&schema, "t:l,x:g?,n:i?,note:u");
    EACH_FAULT (step) {
        const int64_t before = test_live_allocations();
        struct progress progress = {0};
        basalt_error why = {0};
        failed += session(&env, &schema, step % 2, &progress, &why) != BASALT_OK;
        fault_stop();
        verify(&env, &schema, &progress);
        CHECK_OK(memory->ops->list(memory, "/", remove_file, memory, err));
        CHECK_EQ(test_live_allocations(), before);
        CHECK_EQ(bs_budget_taken(env.parts.budget), 0);
    }
    CHECK(failed > 50);
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store_fault, each_step_of_a_session)
{
    fail_each(NULL);
}

TEST(store_fault, half_writes_and_a_full_disk)
{
    const struct faulty_options options = {.os_errno = ENOSPC,
        .operations = FAULTY_WRITE | FAULTY_SET_SIZE | FAULTY_RESERVE | FAULTY_SYNC,
        .partial_writes = true,
        .no_log_memory = true};
    fail_each(&options);
}
