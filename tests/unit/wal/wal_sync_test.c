/* wal_sync_test.c - leaders, followers, failures, and the story among them. */
#include "tests/unit/wal/wal_test.h"

#define THREADS 8

struct crowd {
    struct bs_wal_writer *writer;
    bs_mutex append_lock; /* what the store's commit lock is to the log */
    unsigned commits;     /* of each thread */
    size_t record_bytes;
    bool check_synced;
    atomic_uint failed, unsynced, begun;
    _Atomic bs_lsn last_end;
    basalt_error errors[THREADS];
};
struct member {
    struct crowd *crowd;
    unsigned index;
    struct bs_thread *thread;
};

static basalt_status commit(struct crowd *crowd, uint64_t seed, basalt_error *err)
{
    bs_lsn end = 0;
    bs_mutex_lock(&crowd->append_lock);
    basalt_status status = append_one(crowd->writer, seed, crowd->record_bytes, true, &end, err);
    if (!status) atomic_store(&crowd->last_end, end);
    bs_mutex_unlock(&crowd->append_lock);
    atomic_fetch_add(&crowd->begun, 1);
    if (!status) status = bs_wal_sync_to(crowd->writer, end, err);
    if (!status && bs_wal_durable(crowd->writer) < end) atomic_fetch_add(&crowd->unsynced, 1);
    if (!status && crowd->check_synced && atomic_load(&wal_patch.synced) < end) {
        atomic_fetch_add(&crowd->unsynced, 1);
    }
    return status;
}

static void commit_many(void *argument)
{
    struct member *member = argument;
    struct crowd *crowd = member->crowd;
    for (unsigned i = 0; i < crowd->commits; i++) {
        if (commit(crowd, member->index * 100000u + i, &crowd->errors[member->index])) {
            atomic_fetch_add(&crowd->failed, 1);
            return;
        }
    }
}

static void crowd_start(struct crowd *crowd, struct member *members)
{
    bs_mutex_init(&crowd->append_lock);
    for (unsigned i = 0; i < THREADS; i++) {
        members[i] = (struct member){crowd, i, NULL};
        CHECK_OK(bs_thread_start("commit", commit_many, &members[i], &members[i].thread, err));
    }
}

static void crowd_join(struct crowd *crowd, struct member *members)
{
    for (unsigned i = 0; i < THREADS; i++) bs_thread_join(members[i].thread);
    bs_mutex_destroy(&crowd->append_lock);
}

TEST(wal_sync, acknowledged_is_synced)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct crowd crowd = {.commits = 400, .record_bytes = 40, .check_synced = true};
    struct member members[THREADS];
    struct bs_wal_stats stats;
    static struct heard heard;
    const struct log_setup setup = {.segment_bytes = (size_t)4 << 20};
    patch_vfs(vfs);
    REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
    REQUIRE_OK(bs_wal_wait_segment(crowd.writer, 1, err)); /* the maker's syncs are over */
    atomic_store(&wal_patch.watched, crowd.writer);
    atomic_store(&wal_patch.sync_ns, 20000);
    crowd_start(&crowd, members);
    crowd_join(&crowd, members);
    CHECK_EQ(atomic_load(&crowd.failed), 0);
    CHECK_EQ(atomic_load(&crowd.unsynced), 0);
    bs_wal_stats(crowd.writer, &stats);
    CHECK_EQ(stats.appends, THREADS * 400);
    CHECK_EQ(stats.durable, stats.written);
    CHECK(stats.syncs > 0 && stats.syncs < stats.appends); /* some were shared */
    CHECK(stats.sync_waits > 0);
    CHECK(stats.last_sync_ns >= 20000);
    bs_wal_writer_close(crowd.writer);
    REQUIRE_OK(hear(vfs, LOG_PATH, 0, &heard, err));
    CHECK_EQ(heard.count, THREADS * 400);
    bs_vfs_free(vfs);
}

TEST(wal_sync, those_who_wait_share_one_sync)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct crowd crowd = {.commits = 1, .record_bytes = 40};
    struct member members[THREADS];
    struct bs_wal_stats stats;
    const struct log_setup setup = {0};
    patch_vfs(vfs);
    REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
    REQUIRE_OK(bs_wal_wait_segment(crowd.writer, 1, err));
    atomic_store(&wal_patch.hold_syncs, true);
    crowd_start(&crowd, members);
    while (atomic_load(&crowd.begun) < THREADS) bs_thread_yield();
    atomic_store(&wal_patch.hold_syncs, false);
    crowd_join(&crowd, members);
    CHECK_EQ(atomic_load(&crowd.failed), 0);
    bs_wal_stats(crowd.writer, &stats);
    /* The first took some of them, the second all that came during the first. */
    CHECK(stats.syncs <= 2);
    CHECK_EQ(stats.durable, stats.written);
    bs_wal_writer_close(crowd.writer);
    bs_vfs_free(vfs);
}

TEST(wal_sync, a_failed_sync_is_final_for_everybody)
{
    for (unsigned fail_at = 1; fail_at <= 3; fail_at++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct crowd crowd = {.commits = 1000000, .record_bytes = 40};
        struct member members[THREADS];
        struct bs_wal_stats before, after;
        basalt_error why = {0};
        const struct log_setup setup = {.segment_bytes = (size_t)1 << 20};
        patch_vfs(vfs);
        REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
        REQUIRE_OK(bs_wal_wait_segment(crowd.writer, 1, err));
        atomic_store(&wal_patch.sync_ns, 100000);
        atomic_store(&wal_patch.fail_sync_at, atomic_load(&wal_patch.syncs) + fail_at);
        crowd_start(&crowd, members);
        crowd_join(&crowd, members); /* nobody hangs */
        CHECK_EQ(atomic_load(&crowd.failed), THREADS);
        CHECK_EQ(atomic_load(&crowd.unsynced), 0);
        for (unsigned i = 0; i < THREADS; i++) {
            CHECK_EQ(crowd.errors[i].status, BASALT_OUTCOME_UNKNOWN);
            CHECK(strstr(crowd.errors[i].message, "the disk was pulled") != NULL);
            CHECK_EQ(crowd.errors[i].os_errno, 5);
        }
        bs_wal_stats(crowd.writer, &before);
        const unsigned syncs = atomic_load(&wal_patch.syncs);
        CHECK(before.durable < before.written);
        CHECK_EQ(bs_wal_sync_to(crowd.writer, before.written, &why), BASALT_OUTCOME_UNKNOWN);
        CHECK_EQ(bs_wal_check(crowd.writer, &why), BASALT_OUTCOME_UNKNOWN);
        CHECK_OK(bs_wal_sync_to(crowd.writer, before.durable, err)); /* that one was kept */
        bs_wal_stats(crowd.writer, &after);
        CHECK_EQ(atomic_load(&wal_patch.syncs), syncs); /* never tried again */
        CHECK_EQ(after.durable, before.durable);
        bs_wal_writer_close(crowd.writer);
        bs_vfs_free(vfs);
    }
}

static void write_stories(void *argument)
{
    struct crowd *crowd = argument;
    basalt_error why = {0};
    for (uint64_t number = 2;; number++) {
        const struct bs_wal_story story = test_story(number);
        const bs_lsn cut = bs_wal_durable(crowd->writer);
        if (bs_wal_write_story(crowd->writer, &story, &why)) break;
        if (bs_wal_remove_below(crowd->writer, cut, &why)) break;
        if (number >= 300) return;
    }
    CHECK_EQ(why.status, BASALT_OUTCOME_UNKNOWN);
}

TEST(wal_sync, stories_rotation_and_removal_beside_commits)
{
    for (int fails = 0; fails < 2; fails++) {
        struct bs_vfs *vfs = test_memory_vfs();
        struct crowd crowd = {.commits = 400, .record_bytes = 1500};
        struct member members[THREADS];
        struct bs_thread *checkpointer = NULL;
        struct bs_wal_inventory inventory;
        struct bs_wal_stats stats;
        static struct heard heard;
        const struct log_setup setup = {.mode = fails ? 1 : 0};
        patch_vfs(vfs);
        REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
        if (fails) atomic_store(&wal_patch.fail_sync_at, 200);
        crowd_start(&crowd, members);
        REQUIRE_OK(bs_thread_start("checkpoint", write_stories, &crowd, &checkpointer, err));
        for (int i = 0; i < 200; i++) {
            bs_wal_stats(crowd.writer, &stats);
            CHECK(stats.durable <= stats.written);
            bs_thread_yield();
        }
        crowd_join(&crowd, members);
        bs_thread_join(checkpointer);
        CHECK(fails || !atomic_load(&crowd.failed));
        CHECK_EQ(atomic_load(&crowd.unsynced), 0);
        const bs_lsn written = bs_wal_written(crowd.writer);
        bs_wal_writer_close(crowd.writer);
        REQUIRE_OK(bs_wal_inspect(vfs, LOG_PATH, &inventory, err));
        CHECK(inventory.has_story);
        CHECK(fails || inventory.story.commit == 300);
        CHECK(fails || inventory.last == written);
        REQUIRE_OK(hear(vfs, LOG_PATH, inventory.first, &heard, err));
        CHECK_EQ(heard.out_end, inventory.last);
        bs_vfs_free(vfs);
    }
}

TEST(wal_sync, a_failed_write_frees_those_who_wait_for_a_sync)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct crowd crowd = {.commits = 1, .record_bytes = 40};
    struct member members[THREADS];
    basalt_error why = {0};
    bs_lsn end = 0;
    const struct log_setup setup = {.mode = 1};
    patch_vfs(vfs);
    REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
    REQUIRE_OK(bs_wal_wait_segment(crowd.writer, 1, err));
    const unsigned begun = atomic_load(&wal_patch.syncs_begun);
    atomic_store(&wal_patch.hold_syncs, true);
    crowd_start(&crowd, members);
    while (atomic_load(&crowd.begun) < THREADS) bs_thread_yield();
    while (atomic_load(&wal_patch.syncs_begun) == begun) bs_thread_yield();
    atomic_store(&wal_patch.fail_write_at, atomic_load(&wal_patch.writes) + 1);
    CHECK_EQ(append_one(crowd.writer, 9, 40, true, &end, &why), BASALT_OUTCOME_UNKNOWN);
    atomic_store(&wal_patch.hold_syncs, false);
    crowd_join(&crowd, members);
    CHECK_EQ(atomic_load(&crowd.failed), THREADS); /* no mark moves after the first failure */
    CHECK_EQ(bs_wal_durable(crowd.writer), 0);
    bs_wal_writer_close(crowd.writer);
    bs_vfs_free(vfs);
}

/* ---- a figure, not a check --------------------------------------------------------------------- */

static double bare_rate(struct bs_vfs *vfs)
{
    struct bs_file *file = NULL;
    struct bs_log_memory memory = {0};
    const size_t bytes = (size_t)1 << 20;
    const unsigned count = 1000;
    basalt_error why = {0};
    const char *path = test_path("bare");
    basalt_status status =
        bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_EXCLUSIVE, &file, &why);
    if (!status) status = file->ops->reserve(file, bytes, &why);
    if (!status) status = file->ops->lend_log(file, bytes, &memory, &why);
    const uint64_t began = bs_now_ns();
    for (unsigned i = 0; i < count && !status; i++) {
        memset(memory.bytes + i * 128, (int)i | 1, 128);
        status = bs_file_sync(file, &why);
    }
    const double seconds = (double)(bs_now_ns() - began) / 1e9;
    if (memory.bytes) file->ops->return_log(file, &memory);
    bs_file_close(file);
    return status ? 0 : count / seconds;
}

static void measure_threads(struct bs_vfs *vfs, const char *path, unsigned threads, double bare)
{
    struct crowd crowd = {.commits = 8000 / threads, .record_bytes = 104};
    struct member members[THREADS];
    struct bs_wal_stats stats;
    const struct log_setup setup = {.path = path, .segment_bytes = (size_t)4 << 20};
    REQUIRE_OK(open_log(vfs, &setup, &crowd.writer, err));
    REQUIRE_OK(bs_wal_wait_segment(crowd.writer, 1, err));
    bs_mutex_init(&crowd.append_lock);
    const uint64_t began = bs_now_ns();
    for (unsigned i = 0; i < threads; i++) {
        members[i] = (struct member){&crowd, i, NULL};
        REQUIRE_OK(bs_thread_start("commit", commit_many, &members[i], &members[i].thread, err));
    }
    for (unsigned i = 0; i < threads; i++) bs_thread_join(members[i].thread);
    const double seconds = (double)(bs_now_ns() - began) / 1e9;
    bs_mutex_destroy(&crowd.append_lock);
    bs_wal_stats(crowd.writer, &stats);
    bs_wal_writer_close(crowd.writer);
    CHECK_EQ(atomic_load(&crowd.failed), 0);
    printf("sync commits, %u thread%s: %.0f/s, %.2f x bare, %.2f commits a sync\n", threads,
        threads > 1 ? "s" : "", (double)stats.appends / seconds,
        bare > 0 ? (double)stats.appends / seconds / bare : 0.0,
        (double)stats.appends / (double)stats.syncs);
    CHECK_OK(bs_wal_remove_all(vfs, path, 0, err));
}

TEST(wal_sync, figure_of_group_commit)
{
    struct bs_vfs *vfs = NULL;
    REQUIRE_OK(bs_vfs_local_create(&vfs, err));
    const double bare = bare_rate(vfs);
    if (bare > 0) printf("bare fdatasync after 128 bytes: %.0f/s\n", bare);
    measure_threads(vfs, test_path("figure.h5"), 1, bare);
    measure_threads(vfs, test_path("figure.h5"), THREADS, bare);
    bs_vfs_free(vfs);
}
