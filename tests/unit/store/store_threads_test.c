/* store_threads_test.c - writers, readers and checkpoints at once. Each writer has a family of its
 * own and one that all share; a reader's snapshot shows of every family what the others of the same
 * transaction show. Made for the thread sanitizer; the checks hold without it too. */
#include "tests/unit/store/store_help.h"

#define WRITERS 4
#define READERS 2
#define COMMITS 150

struct shared {
    struct help_env env;
    struct help_schema schema;
    struct bs_store *store;
    atomic_uint writers_left;
    atomic_uint snapshots;
};
struct worker {
    struct shared *shared;
    struct bs_thread *thread;
    unsigned number;
};

static basalt_status commit_pair(struct shared *shared, const char *family, unsigned i,
    basalt_durability durability, basalt_error *err)
{
    struct bs_txn *txn = NULL;
    struct ArrowArray array = {0}, one = {0};
    char twin[32];
    snprintf(twin, sizeof twin, "%s-twin", family);
    basalt_status status = help_array(shared->schema.schema, i * 10u, 10, &array, err);
    if (!status) status = help_array(shared->schema.schema, 0, 1, &one, err);
    if (!status) status = bs_txn_begin(shared->store, &txn, err);
    if (!status) status = bs_txn_append(txn, family, &array, NULL, err);
    if (!status) status = bs_txn_append(txn, twin, &array, NULL, err);
    if (!status) status = bs_txn_append(txn, "all", &one, NULL, err);
    if (!status) status = bs_txn_commit(&txn, durability, err);
    bs_txn_rollback(&txn);
    if (array.release) array.release(&array);
    if (one.release) one.release(&one);
    return status;
}

static void write_body(void *argument)
{
    struct worker *worker = argument;
    struct shared *shared = worker->shared;
    char family[16];
    snprintf(family, sizeof family, "w%u", worker->number);
    for (unsigned i = 0; i < COMMITS; i++) {
        const basalt_durability durability = i % 7 == worker->number ? BASALT_SYNC
            : i % 2                                                  ? BASALT_BUFFERED
                                                                     : BASALT_VOLATILE;
        CHECK_OK(commit_pair(shared, family, i, durability, err));
        uint64_t rows = 0;
        struct bs_snapshot *snapshot = NULL;
        CHECK_OK(bs_snapshot_create(shared->store, &snapshot, err));
        CHECK_OK(bs_snapshot_rows(snapshot, family, &rows, err));
        CHECK_EQ(rows, (i + 1) * 10u); /* its own rows, at once */
        bs_snapshot_close(&snapshot);
        if (i % 50 == 20) CHECK_OK(bs_store_checkpoint(shared->store, err));
    }
    atomic_fetch_sub(&shared->writers_left, 1);
}

static void look(struct shared *shared, unsigned turn)
{
    struct bs_snapshot *snapshot = NULL;
    uint64_t sum = 0, all = 0;
    CHECK_OK(bs_snapshot_create(shared->store, &snapshot, err));
    for (unsigned w = 0; w < WRITERS; w++) {
        uint64_t rows = 0, twin_rows = 0;
        char family[16], twin[32];
        snprintf(family, sizeof family, "w%u", w);
        snprintf(twin, sizeof twin, "w%u-twin", w);
        CHECK_OK(bs_snapshot_rows(snapshot, family, &rows, err));
        CHECK_OK(bs_snapshot_rows(snapshot, twin, &twin_rows, err));
        CHECK_EQ(rows, twin_rows);
        sum += rows;
        if (w == turn % WRITERS) {
            help_check_rows(shared->store, snapshot, family, &shared->schema, rows);
        }
    }
    CHECK_OK(bs_snapshot_rows(snapshot, "all", &all, err));
    CHECK_EQ(all * 10, sum);
    bs_snapshot_close(&snapshot);
    atomic_fetch_add(&shared->snapshots, 1);
}

static void read_body(void *argument)
{
    struct worker *worker = argument;
    for (unsigned i = worker->number; atomic_load(&worker->shared->writers_left); i++) {
        look(worker->shared, i);
    }
}

static void run(struct bs_vfs *vfs, const char *path)
{
    struct shared *shared = calloc(1, sizeof *shared);
    struct worker workers[WRITERS + READERS];
    help_env_open(&shared->env, vfs, 2);
    help_schema_open(&shared->schema, "t:l,x:g?,note:u");
    basalt_store_options options = help_options(BASALT_CREATE_NEW);
    options.checkpoint_age_ms = 5;
    options.memtable_bytes_max = 64 << 10;
    options.log_segment_bytes = 64 << 10;
    options.grace_ms = 1;
    REQUIRE_OK(bs_store_open(&shared->env.parts, path, &options, &shared->store, err));
    CHECK_OK(bs_store_family_create(shared->store, "all", &shared->schema.root, NULL, err));
    for (unsigned w = 0; w < WRITERS; w++) {
        char name[32];
        snprintf(name, sizeof name, "w%u", w);
        CHECK_OK(bs_store_family_create(shared->store, name, &shared->schema.root, NULL, err));
        snprintf(name, sizeof name, "w%u-twin", w);
        CHECK_OK(bs_store_family_create(shared->store, name, &shared->schema.root, NULL, err));
    }
    atomic_store(&shared->writers_left, WRITERS);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (struct worker){shared, NULL, i < WRITERS ? i : i - WRITERS};
        REQUIRE_OK(bs_thread_start(i < WRITERS ? "writer" : "reader",
            i < WRITERS ? write_body : read_body, &workers[i], &workers[i].thread, err));
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) bs_thread_join(workers[i].thread);
    CHECK(atomic_load(&shared->snapshots) > 0);
    basalt_store_stats stats;
    CHECK_OK(bs_store_get_stats(shared->store, &stats, err));
    CHECK(stats.checkpoints > 0);
    CHECK_EQ(stats.rows, WRITERS * COMMITS * 21);
    look(shared, 0);
    CHECK_OK(bs_store_close(&shared->store, err));
    options.access = BASALT_READ_WRITE;
    REQUIRE_OK(bs_store_open(&shared->env.parts, path, &options, &shared->store, err));
    for (unsigned w = 0; w < WRITERS; w++) look(shared, w);
    CHECK_OK(bs_store_close(&shared->store, err));
    help_schema_close(&shared->schema);
    help_env_close(&shared->env);
    free(shared);
}

TEST(store_threads, in_memory)
{
    run(NULL, "/threads.h5");
}

TEST(store_threads, on_disk)
{
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    run(vfs, test_path("threads.h5"));
}
