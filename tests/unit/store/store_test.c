/* store_test.c - the life of a store: rows in, checkpoints, rows out, close, open, crash. */
#include "tests/unit/store/store_help.h"

#include "h5/h5.h"

static struct bs_store *open_store(struct help_env *env, const char *path, basalt_access access)
{
    const basalt_store_options options = help_options(access);
    struct bs_store *store = NULL;
    CHECK_OK(bs_store_open(&env->parts, path, &options, &store, err));
    return store;
}

TEST(store, rows_come_back_from_memory_and_from_the_file)
{
    const int64_t before = test_live_allocations();
    struct help_env env;
    struct help_schema schema;
    help_env_open(&env, NULL, 2);
    help_schema_open(&schema, HELP_ALL_TYPES);
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_READ_WRITE_CREATE);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "all", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "all", &schema, 0, 1000, BASALT_BUFFERED, err));
    help_check_rows(store, NULL, "all", &schema, 1000);
    CHECK_OK(bs_store_checkpoint(store, err));
    help_check_rows(store, NULL, "all", &schema, 1000);
    CHECK_OK(help_append(store, "all", &schema, 1000, 9000, BASALT_SYNC, err));
    help_check_rows(store, NULL, "all", &schema, 10000);
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_OK(help_append(store, "all", &schema, 10000, 1, BASALT_VOLATILE, err));
    help_check_rows(store, NULL, "all", &schema, 10001);
    help_check_rows_from(store, "all", &schema, 9990, 11);
    CHECK_OK(bs_store_close(&store, err));
    CHECK(!store);
    CHECK(!help_exists(env.parts.vfs, "/a.h5-log.1"));
    store = open_store(&env, "/a.h5", BASALT_READ_WRITE);
    REQUIRE(store);
    help_check_rows(store, NULL, "all", &schema, 10001);
    CHECK_OK(help_append(store, "all", &schema, 10001, 500, BASALT_BUFFERED, err));
    CHECK_OK(bs_store_checkpoint(store, err));
    help_check_rows(store, NULL, "all", &schema, 10501);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
    CHECK_EQ(test_live_allocations(), before);
}

static uint64_t size_of(struct bs_vfs *vfs, const char *path)
{
    struct bs_file_info info = {0};
    CHECK_OK(vfs->ops->info(vfs, path, &info, err));
    return info.size_bytes;
}

static uint64_t end_in_superblock(struct bs_vfs *vfs, const char *path)
{
    struct bs_file *file = NULL;
    uint8_t superblock[BS_H5_SUPERBLOCK_BYTES] = {0};
    CHECK_OK(bs_file_open(vfs, path, BS_OPEN_READ, &file, err));
    CHECK_OK(bs_file_read_all_at(file, superblock, sizeof superblock, 0, err));
    bs_file_close(file);
    return bs_load_u64(superblock + 28);
}

/* libhdf5 asks for the size first and reads the superblock then; flips may come between. */
TEST(store, a_flip_never_passes_the_size_that_a_reader_saw)
{
    struct help_env env;
    struct help_schema schema;
    uint64_t sizes[3] = {0}; /* of now and of the flips before */
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_CREATE_NEW);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    for (uint64_t i = 0; i < 300; i++) {
        CHECK_OK(help_append(store, "a", &schema, i, 500, BASALT_BUFFERED, err));
        CHECK_OK(bs_store_checkpoint(store, err));
        const uint64_t end = end_in_superblock(env.parts.vfs, "/a.h5");
        if (i >= 3) CHECK(sizes[0] >= end && sizes[1] >= end && sizes[2] >= end);
        sizes[2] = sizes[1];
        sizes[1] = sizes[0];
        sizes[0] = size_of(env.parts.vfs, "/a.h5");
    }
    CHECK_OK(bs_store_close(&store, err));
    CHECK_EQ(size_of(env.parts.vfs, "/a.h5"), end_in_superblock(env.parts.vfs, "/a.h5"));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store, a_killed_store_has_every_committed_row)
{
    const int64_t before = test_live_allocations();
    struct help_env env;
    struct help_schema schema;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g?,note:u?");
    for (unsigned checkpoint = 0; checkpoint < 2; checkpoint++) {
        const char *path = checkpoint ? "/with.h5" : "/without.h5";
        struct bs_store *store = open_store(&env, path, BASALT_CREATE_NEW);
        REQUIRE(store);
        CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
        CHECK_OK(help_append(store, "a", &schema, 0, 100, BASALT_BUFFERED, err));
        if (checkpoint) CHECK_OK(bs_store_checkpoint(store, err));
        CHECK_OK(help_append(store, "a", &schema, 100, 50, BASALT_SYNC, err));
        CHECK_OK(bs_store_set_attribute(store, NULL, "who", "me", err));
        CHECK_OK(bs_store_set_attribute(store, "a", "where", "here", err));
        CHECK_OK(bs_store_family_create(store, "b", &schema.root, NULL, err));
        CHECK_OK(help_append(store, "b", &schema, 0, 7, BASALT_BUFFERED, err));
        bs_store_abandon(store);
        basalt_inspection inspection;
        CHECK_OK(bs_store_inspect(env.parts.vfs, path, &inspection, err));
        CHECK(inspection.crashed);
        CHECK(!inspection.writing);
        CHECK(inspection.log_records_bytes > 0);
        basalt_recovery recovery;
        CHECK_OK(bs_store_recover(&env.parts, path, false, &recovery, err));
        CHECK(recovery.needed);
        CHECK_EQ(recovery.rows_replayed, checkpoint ? 57 : 157);
        CHECK_OK(bs_store_inspect(env.parts.vfs, path, &inspection, err));
        CHECK(!inspection.crashed);
        store = open_store(&env, path, BASALT_READ_WRITE);
        REQUIRE(store);
        help_check_rows(store, NULL, "a", &schema, 150);
        help_check_rows(store, NULL, "b", &schema, 7);
        char *text = NULL;
        CHECK_OK(bs_store_get_attribute(store, NULL, "who", &text, err));
        CHECK_TEXT(text, "me");
        bs_free(text);
        CHECK_OK(bs_store_get_attribute(store, "a", "where", &text, err));
        CHECK_TEXT(text, "here");
        bs_free(text);
        CHECK_OK(bs_store_close(&store, err));
    }
    help_schema_close(&schema);
    help_env_close(&env);
    CHECK_EQ(test_live_allocations(), before);
}

TEST(store, a_transaction_over_two_families_is_whole_or_not_there)
{
    struct help_env env;
    struct help_schema schema;
    struct ArrowArray array = {0};
    struct bs_txn *txn = NULL;
    help_env_open(&env, NULL, 0);
    help_schema_open(&schema, "t:l,x:g");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_READ_WRITE_CREATE);
    REQUIRE(store);
    REQUIRE_OK(help_array(schema.schema, 0, 10, &array, err));
    CHECK_OK(bs_txn_begin(store, &txn, err));
    CHECK_OK(bs_txn_create_family(txn, "a", &schema.root, NULL, err));
    CHECK_OK(bs_txn_create_family(txn, "b", &schema.root, NULL, err));
    CHECK_EQ(bs_txn_create_family(txn, "b", &schema.root, NULL, NULL), BASALT_EXISTS);
    CHECK_OK(bs_txn_append(txn, "a", &array, NULL, err));
    CHECK_OK(bs_txn_append(txn, "b", &array, &schema.root, err));
    CHECK_EQ(bs_txn_append(txn, "c", &array, NULL, NULL), BASALT_NOT_FOUND);
    struct bs_snapshot *early = NULL;
    CHECK_OK(bs_snapshot_create(store, &early, err));
    CHECK_OK(bs_txn_commit(&txn, BASALT_BUFFERED, err));
    CHECK(!txn);
    uint64_t rows = 1;
    CHECK_EQ(bs_snapshot_rows(early, "a", &rows, NULL), BASALT_NOT_FOUND);
    struct bs_snapshot *late = NULL;
    CHECK_OK(bs_snapshot_create(store, &late, err));
    CHECK_OK(bs_txn_begin(store, &txn, err));
    CHECK_OK(bs_txn_append(txn, "a", &array, NULL, err));
    bs_txn_rollback(&txn);
    CHECK_OK(bs_store_checkpoint(store, err));
    CHECK_OK(bs_snapshot_rows(late, "a", &rows, err));
    CHECK_EQ(rows, 10);
    help_check_rows(store, late, "b", &schema, 10);
    CHECK_EQ(bs_store_close(&store, NULL), BASALT_BUSY);
    REQUIRE(store);
    bs_snapshot_close(&early);
    bs_snapshot_close(&late);
    array.release(&array);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store, batches_over_a_record_are_split_and_stay_one_transaction)
{
    struct help_env env;
    struct help_schema schema;
    help_env_open(&env, NULL, 2);
    help_schema_open(&schema, "t:l,x:g,note:u?");
    basalt_store_options options = help_options(BASALT_READ_WRITE_CREATE);
    options.log_segment_bytes = BS_FIXED_WIDTH_MAX; /* the smallest, 64 KiB */
    struct bs_store *store = NULL;
    REQUIRE_OK(bs_store_open(&env.parts, "/a.h5", &options, &store, err));
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    CHECK_OK(help_append(store, "a", &schema, 0, 20000, BASALT_BUFFERED, err));
    help_check_rows(store, NULL, "a", &schema, 20000);
    basalt_store_stats stats;
    CHECK_OK(bs_store_get_stats(store, &stats, err));
    CHECK_EQ(stats.commits, 2);
    CHECK(stats.batches > 10);
    CHECK_EQ(stats.rows, 20000);
    bs_store_abandon(store);
    REQUIRE_OK(bs_store_open(&env.parts, "/a.h5", &options, &store, err));
    help_check_rows(store, NULL, "a", &schema, 20000);
    CHECK_OK(bs_store_close(&store, err));
    help_schema_close(&schema);
    help_env_close(&env);
}

TEST(store, chunks_grow_and_tails_are_filtered)
{
    struct help_env env;
    struct help_schema schema;
    help_env_open(&env, NULL, 2);
    help_schema_open(&schema, "t:l,x:i?");
    struct bs_store *store = open_store(&env, "/a.h5", BASALT_READ_WRITE_CREATE);
    REQUIRE(store);
    CHECK_OK(bs_store_family_create(store, "a", &schema.root, NULL, err));
    basalt_family_info info;
    uint64_t rows = 0;
    for (unsigned i = 0; i < 11; i++) {
        CHECK_OK(help_append(store, "a", &schema, rows, 50001, BASALT_BUFFERED, err));
        rows += 50001;
        CHECK_OK(bs_store_checkpoint(store, err));
        CHECK_OK(bs_store_family_info(store, "a", &info, err));
        CHECK_EQ(info.rows, rows);
        CHECK_EQ(info.chunk_rows, rows < 8192 * 64 ? 8192 : 131072);
    }
    help_check_rows(store, NULL, "a", &schema, rows);
    CHECK_OK(bs_store_close(&store, err));
    store = open_store(&env, "/a.h5", BASALT_READ_CHECKPOINT);
    REQUIRE(store);
    help_check_rows(store, NULL, "a", &schema, rows);
    CHECK_OK(bs_store_close(&store, err));
    uint64_t faults = 0;
    CHECK_OK(bs_store_verify(&env.parts, "/a.h5", NULL, NULL, NULL, &faults, err));
    CHECK_EQ(faults, 0);
    help_schema_close(&schema);
    help_env_close(&env);
}
