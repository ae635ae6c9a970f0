/* wal_test.h - what the tests of the log share: logs in memory, records made from a number, what
 * replay said, and a file system whose steps fail or are slow on request. */
#ifndef WAL_TEST_H
#define WAL_TEST_H

#include "tests/harness/test.h"
#include "wal/wal_internal.h"

#define SMALL_SEGMENT_BYTES BS_WAL_SEGMENT_BYTES_MIN
#define SMALL_CAPACITY_BYTES (SMALL_SEGMENT_BYTES - BS_WAL_HEADER_BYTES)
#define LOG_PATH "/x.h5"

/* ---- a file system that is patched in place --------------------------------------------------- */

/* One a program at a time. Steps are counted from patch_vfs; 0 fails none. */
struct patch {
    const struct bs_vfs_ops *vfs_ops; /* of the file system underneath */
    const struct bs_file_ops *file_ops;
    struct bs_vfs_ops patched_vfs_ops;
    struct bs_file_ops patched_file_ops;
    atomic_uint syncs, writes, reserves, directory_syncs, removes;
    atomic_uint fail_sync_at, fail_write_at, fail_reserve_at, fail_remove_at;
    atomic_bool reserves_nothing, lends_nothing;
    atomic_bool use_fault_points;  /* every step asks fault_point() too */
    atomic_uint_least64_t sync_ns; /* how long a sync takes */
    atomic_bool hold_syncs;        /* a sync waits until this is false */
    atomic_uint syncs_begun;
    _Atomic(struct bs_wal_writer *) watched; /* syncs note what it had written when they began */
    _Atomic bs_lsn synced;                   /* before this everything has been through a sync */
};
extern struct patch wal_patch;

/* Puts counters and failures between the log and `vfs`, until that is freed. */
void patch_vfs(struct bs_vfs *vfs);

/* ---- logs -------------------------------------------------------------------------------------- */

struct bs_wal_story test_story(uint64_t commit);
struct bs_vfs *test_memory_vfs(void);

struct log_setup {
    const char *path;
    size_t segment_bytes;
    uint32_t mode;
    bs_lsn start;
};
basalt_status open_log(struct bs_vfs *vfs, const struct log_setup *setup,
    struct bs_wal_writer **out_writer, basalt_error *err);

/* Appends one record of `count` bytes made from `seed`, waiting for segments. */
basalt_status append_one(struct bs_wal_writer *writer, uint64_t seed, size_t count, bool commit,
    bs_lsn *out_end, basalt_error *err);
void fill_record(uint8_t *bytes, size_t count, uint64_t seed);

/* ---- what replay said -------------------------------------------------------------------------- */

#define HEARD_MAX 4096
struct heard {
    size_t count;
    struct {
        bs_lsn start, end;
        size_t bytes;
        uint32_t sum;
        bool commit;
    } records[HEARD_MAX];
    bs_lsn out_end;
    size_t stop_after; /* fail with CANCELLED after so many; 0: never */
};
basalt_status hear(
    struct bs_vfs *vfs, const char *path, bs_lsn from, struct heard *out_heard, basalt_error *err);
bool heard_is(const struct heard *heard, size_t at, uint64_t seed, size_t count, bool commit);

/* ---- raw files --------------------------------------------------------------------------------- */

basalt_status read_file(struct bs_vfs *vfs, const char *path, uint8_t **out_bytes,
    size_t *out_count, basalt_error *err);
basalt_status write_file(
    struct bs_vfs *vfs, const char *path, const void *bytes, size_t count, basalt_error *err);
bool file_exists(struct bs_vfs *vfs, const char *path);
unsigned count_segments(struct bs_vfs *vfs, const char *path);

#endif
