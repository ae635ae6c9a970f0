/* support_test.c - the helpers of wal_test.h, and that they tell the truth. */
#include "tests/unit/wal/wal_test.h"

struct patch wal_patch;

/* ---- the patched file system ------------------------------------------------------------------- */

static bool step_fails(atomic_uint *count, atomic_uint *fail_at)
{
    const unsigned step = atomic_fetch_add(count, 1) + 1;
    const bool asked = step == atomic_load(fail_at);
    return asked || (atomic_load(&wal_patch.use_fault_points) && fault_point());
}

static basalt_status patched_sync(struct bs_file *file, basalt_error *err)
{
    struct bs_wal_writer *watched = atomic_load(&wal_patch.watched);
    const bs_lsn written = watched ? bs_wal_written(watched) : 0;
    atomic_fetch_add(&wal_patch.syncs_begun, 1);
    const uint64_t ns = atomic_load(&wal_patch.sync_ns);
    if (ns) bs_sleep_ns(ns);
    while (atomic_load(&wal_patch.hold_syncs)) bs_sleep_ns(100000);
    if (step_fails(&wal_patch.syncs, &wal_patch.fail_sync_at)) {
        return bs_fail_os(err, 5, BASALT_NO_OFFSET, "the disk was pulled from %s", file->path);
    }
    const basalt_status status = wal_patch.file_ops->sync(file, err);
    if (!status && written > atomic_load(&wal_patch.synced)) {
        atomic_store(&wal_patch.synced, written);
    }
    return status;
}

static basalt_status patched_write_at(
    struct bs_file *file, const void *bytes, size_t count, uint64_t offset, basalt_error *err)
{
    if (step_fails(&wal_patch.writes, &wal_patch.fail_write_at)) {
        return bs_fail_os(err, 5, offset, "the disk refused bytes of %s", file->path);
    }
    return wal_patch.file_ops->write_at(file, bytes, count, offset, err);
}

static basalt_status patched_reserve(struct bs_file *file, uint64_t bytes, basalt_error *err)
{
    if (step_fails(&wal_patch.reserves, &wal_patch.fail_reserve_at)) {
        return bs_fail_os(err, 28, BASALT_NO_OFFSET, "no room for %s", file->path);
    }
    if (atomic_load(&wal_patch.reserves_nothing)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "nothing is reserved here");
    }
    return wal_patch.file_ops->reserve(file, bytes, err);
}

static basalt_status patched_lend_log(struct bs_file *file, size_t capacity_bytes,
    struct bs_log_memory *out_memory, basalt_error *err)
{
    if (atomic_load(&wal_patch.lends_nothing)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET, "nothing is lent here");
    }
    return wal_patch.file_ops->lend_log(file, capacity_bytes, out_memory, err);
}

static basalt_status patched_open(struct bs_vfs *vfs, const char *path, unsigned flags,
    struct bs_file **out_file, basalt_error *err)
{
    *out_file = NULL;
    if (atomic_load(&wal_patch.use_fault_points) && fault_point()) {
        return bs_fail_os(err, 24, BASALT_NO_OFFSET, "no more files than those before %s", path);
    }
    const basalt_status status = wal_patch.vfs_ops->open(vfs, path, flags, out_file, err);
    if (status) return status;
    if (!wal_patch.file_ops) {
        wal_patch.file_ops = (*out_file)->ops;
        wal_patch.patched_file_ops = *wal_patch.file_ops;
        wal_patch.patched_file_ops.sync = patched_sync;
        wal_patch.patched_file_ops.write_at = patched_write_at;
        wal_patch.patched_file_ops.reserve = patched_reserve;
        wal_patch.patched_file_ops.lend_log = patched_lend_log;
    }
    (*out_file)->ops = &wal_patch.patched_file_ops;
    return BASALT_OK;
}

static basalt_status patched_sync_directory(
    struct bs_vfs *vfs, const char *directory, basalt_error *err)
{
    atomic_fetch_add(&wal_patch.directory_syncs, 1);
    if (atomic_load(&wal_patch.use_fault_points) && fault_point()) {
        return bs_fail_os(err, 5, BASALT_NO_OFFSET, "the directory %s is not synced", directory);
    }
    return wal_patch.vfs_ops->sync_directory(vfs, directory, err);
}

static basalt_status patched_remove(struct bs_vfs *vfs, const char *path, basalt_error *err)
{
    const unsigned step = atomic_fetch_add(&wal_patch.removes, 1) + 1;
    if (step == atomic_load(&wal_patch.fail_remove_at)) {
        return bs_fail_os(err, 13, BASALT_NO_OFFSET, "%s stays", path);
    }
    return wal_patch.vfs_ops->remove(vfs, path, err);
}

void patch_vfs(struct bs_vfs *vfs)
{
    memset(&wal_patch, 0, sizeof wal_patch);
    wal_patch.vfs_ops = vfs->ops;
    wal_patch.patched_vfs_ops = *vfs->ops;
    wal_patch.patched_vfs_ops.open = patched_open;
    wal_patch.patched_vfs_ops.sync_directory = patched_sync_directory;
    wal_patch.patched_vfs_ops.remove = patched_remove;
    vfs->ops = &wal_patch.patched_vfs_ops;
}

/* ---- logs -------------------------------------------------------------------------------------- */

struct bs_wal_story test_story(uint64_t commit)
{
    struct bs_wal_story story = {.commit = commit};
    memcpy(story.store_uuid, "0123456789abcdef", 16);
    memset(story.current, (int)(commit & 0xff), sizeof story.current);
    memset(story.next, (int)(commit & 0xff), sizeof story.next);
    return story;
}

struct bs_vfs *test_memory_vfs(void)
{
    struct bs_vfs *vfs = NULL;
    CHECK_OK(bs_vfs_memory_create(&vfs, err));
    return vfs;
}

basalt_status open_log(struct bs_vfs *vfs, const struct log_setup *setup,
    struct bs_wal_writer **out_writer, basalt_error *err)
{
    struct bs_wal_options options = {.segment_bytes = setup->segment_bytes, .mode = setup->mode};
    if (!options.segment_bytes) options.segment_bytes = SMALL_SEGMENT_BYTES;
    snprintf(options.holder, sizeof options.holder, "process 7 on host: test");
    const struct bs_wal_story story = test_story(1);
    return bs_wal_writer_open(
        vfs, setup->path ? setup->path : LOG_PATH, &options, &story, setup->start, out_writer, err);
}

void fill_record(uint8_t *bytes, size_t count, uint64_t seed)
{
    uint64_t state = seed;
    for (size_t i = 0; i < count; i += 8) {
        const uint64_t word = test_random(&state);
        memcpy(bytes + i, &word, BS_MIN((size_t)8, count - i));
    }
}

basalt_status append_one(struct bs_wal_writer *writer, uint64_t seed, size_t count, bool commit,
    bs_lsn *out_end, basalt_error *err)
{
    basalt_status status;
    *out_end = 0;
    uint8_t *bytes = bs_alloc(count);
    if (!bytes) return bs_fail_memory(err, count);
    fill_record(bytes, count, seed);
    const struct bs_wal_record record = {bytes, count, bs_crc32c(0, bytes, count), commit};
    do {
        status = bs_wal_append(writer, &record, 1, out_end, err);
        if (status != BASALT_BUSY) break;
        status = bs_wal_wait_segment(writer, count, err);
    } while (!status);
    bs_free(bytes);
    return status;
}

/* ---- what replay said -------------------------------------------------------------------------- */

static basalt_status hear_one(void *context, bs_lsn start, bs_lsn end, const void *bytes,
    size_t count, bool commit, basalt_error *err)
{
    struct heard *heard = context;
    if (heard->stop_after && heard->count == heard->stop_after) {
        return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "heard enough");
    }
    CHECK(heard->count < HEARD_MAX);
    if (heard->count == HEARD_MAX) return BASALT_OK;
    heard->records[heard->count].start = start;
    heard->records[heard->count].end = end;
    heard->records[heard->count].bytes = count;
    heard->records[heard->count].sum = bs_crc32c(0, bytes, count);
    heard->records[heard->count].commit = commit;
    heard->count++;
    return BASALT_OK;
}

basalt_status hear(
    struct bs_vfs *vfs, const char *path, bs_lsn from, struct heard *out_heard, basalt_error *err)
{
    out_heard->count = 0;
    return bs_wal_replay(vfs, path, from, hear_one, out_heard, &out_heard->out_end, err);
}

bool heard_is(const struct heard *heard, size_t at, uint64_t seed, size_t count, bool commit)
{
    if (at >= heard->count || heard->records[at].bytes != count ||
        heard->records[at].commit != commit) {
        return false;
    }
    uint8_t *bytes = bs_alloc(count);
    if (!bytes) return false;
    fill_record(bytes, count, seed);
    const bool same = heard->records[at].sum == bs_crc32c(0, bytes, count);
    bs_free(bytes);
    return same;
}

/* ---- raw files --------------------------------------------------------------------------------- */

basalt_status read_file(
    struct bs_vfs *vfs, const char *path, uint8_t **out_bytes, size_t *out_count, basalt_error *err)
{
    struct bs_file *file = NULL;
    uint64_t size = 0;
    *out_bytes = NULL;
    *out_count = 0;
    basalt_status status = bs_file_open(vfs, path, BS_OPEN_READ, &file, err);
    if (!status) status = bs_file_size(file, &size, err);
    if (!status) {
        *out_bytes = bs_alloc((size_t)size);
        *out_count = (size_t)size;
        status = *out_bytes ? bs_file_read_all_at(file, *out_bytes, (size_t)size, 0, err)
                            : bs_fail_memory(err, (size_t)size);
    }
    bs_file_close(file);
    return status;
}

basalt_status write_file(
    struct bs_vfs *vfs, const char *path, const void *bytes, size_t count, basalt_error *err)
{
    struct bs_file *file = NULL;
    basalt_status status =
        bs_file_open(vfs, path, BS_OPEN_WRITE | BS_OPEN_CREATE | BS_OPEN_TRUNCATE, &file, err);
    if (!status && count) status = bs_file_write_at(file, bytes, count, 0, err);
    bs_file_close(file);
    return status;
}

bool file_exists(struct bs_vfs *vfs, const char *path)
{
    struct bs_file_info info;
    return vfs->ops->info(vfs, path, &info, NULL) == BASALT_OK;
}

unsigned count_segments(struct bs_vfs *vfs, const char *path)
{
    struct bs_wal_found_list list;
    if (bs_wal_find_segments(vfs, path, &list, NULL)) return 0;
    const unsigned count = (unsigned)list.count;
    bs_wal_found_list_free(&list);
    return count;
}

TEST(wal_support, the_patched_file_system_counts_and_fails)
{
    struct bs_vfs *vfs = test_memory_vfs();
    struct bs_file *file = NULL;
    basalt_error err = {0};
    patch_vfs(vfs);
    REQUIRE(!bs_file_open(vfs, "/a", BS_OPEN_WRITE | BS_OPEN_CREATE, &file, &err));
    atomic_store(&wal_patch.fail_sync_at, 2);
    CHECK_EQ(bs_file_sync(file, &err), BASALT_OK);
    CHECK_EQ(bs_file_sync(file, &err), BASALT_IO_ERROR);
    CHECK_EQ(err.os_errno, 5);
    CHECK_EQ(bs_file_sync(file, &err), BASALT_OK);
    CHECK_EQ(atomic_load(&wal_patch.syncs), 3);
    bs_file_close(file);
    bs_vfs_free(vfs);
}
