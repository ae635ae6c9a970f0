/* wal.h - durable, ordered log of opaque records.   floor 5: may include base, sched, codec, vfs
 *
 * One writer per log; any number of threads append. A log is a chain of segment files
 * PATH-log.N beside the data file PATH. A record's position (lsn) is its byte position in the
 * log's whole history, headers not counted, and is never reused. An appended record survives the
 * death of the process; a synced one survives power loss, and one sync serves all who wait.
 *
 * Frame and segment format, invariants and failure rules: top of wal_writer.c, byte by byte in
 * docs/format/log.md. Replay: wal_reader.c. Waiting and leadership: wal_sync.c. */
#ifndef BS_WAL_H
#define BS_WAL_H

#include "base/base.h"
#include "vfs/vfs.h"

#define BS_WAL_RECORD_BYTES_MAX ((size_t)16 << 20)
#define BS_WAL_SEGMENT_BYTES_DEFAULT ((size_t)64 << 20)
#define BS_WAL_SEGMENT_BYTES_MIN ((size_t)64 << 10) /* tests; a record must fit in one segment */
#define BS_WAL_SUPERBLOCK_BYTES 48
#define BS_WAL_HOLDER_BYTES 160

typedef uint64_t bs_lsn;

/* What the data file is, as far as the log must know: written before every flip, so that recovery
 * can tell old, new and foreign apart and restore a superblock that a torn write destroyed. */
struct bs_wal_story {
    uint8_t store_uuid[16];
    uint64_t commit;                          /* number of the checkpoint that `current` shows */
    uint8_t current[BS_WAL_SUPERBLOCK_BYTES]; /* superblock in force */
    uint8_t next[BS_WAL_SUPERBLOCK_BYTES];    /* the one a flip under way writes; else = current */
};

struct bs_wal_options {
    size_t segment_bytes; /* 0: default */
    uint32_t mode;        /* 0 automatic, 1 write, 2 map (BASALT_LOG=write|map) */
    bool older_unsynced;  /* what lies there of older epochs is not synced: the caller promises
                          * nothing about power loss before it has put it somewhere else */
    char holder[BS_WAL_HOLDER_BYTES]; /* "process 123 on host: command", for error messages */
};

/* ---- writing ------------------------------------------------------------------------------ */

struct bs_wal_writer;

/* Starts a log of `data_path` at position `start`, with a fresh epoch, in a segment numbered above
 * every one that exists. The segment is reserved, synced and its directory entry too before this
 * returns. Starts the thread that makes segments ahead of need. */
BS_MUST_USE basalt_status bs_wal_writer_open(struct bs_vfs *vfs, const char *data_path,
    const struct bs_wal_options *options, const struct bs_wal_story *story, bs_lsn start,
    struct bs_wal_writer **out_writer, basalt_error *err);

/* Stops its threads and unmaps. Removes nothing: see bs_wal_remove_below. NULL is fine. */
void bs_wal_writer_close(struct bs_wal_writer *writer);

struct bs_wal_record {
    const void *bytes;
    size_t count; /* 1 .. BS_WAL_RECORD_BYTES_MAX */
    uint32_t sum; /* bs_crc32c(0, bytes, count), computed by the caller outside its locks */
    bool commit;  /* last record of its transaction: what stands before it is real only with it */
};

/* Copies the records, contiguous, into the log; all or none. The caller serialises appends (the
 * store's commit lock); nothing here blocks on I/O when log memory is lent. *out_end is the position
 * that must be durable before they are. BUSY: the next segment is not ready; call
 * bs_wal_wait_segment without the lock, then again. A failed write poisons the log. */
BS_MUST_USE basalt_status bs_wal_append(struct bs_wal_writer *writer,
    const struct bs_wal_record *records, size_t count, bs_lsn *out_end, basalt_error *err);

/* Waits until a segment with room for `bytes` is ready or making one failed (NO_SPACE and such:
 * not poison, a later call tries again). */
BS_MUST_USE basalt_status bs_wal_wait_segment(
    struct bs_wal_writer *writer, size_t bytes, basalt_error *err);

/* On OK everything before `end` survives power loss. The caller leads one device flush, or waits
 * for the leader's. After a failed write or sync: OUTCOME_UNKNOWN with the first failure's text. */
BS_MUST_USE basalt_status bs_wal_sync_to(
    struct bs_wal_writer *writer, bs_lsn end, basalt_error *err);

/* The first failure that poisoned the log, or OK. */
BS_MUST_USE basalt_status bs_wal_check(struct bs_wal_writer *writer, basalt_error *err);

/* Writes `story` into the story's own file, in the slot not used last, and syncs it. Beside appends,
 * syncs and removals, but one call of this at a time. A failure poisons the log. */
BS_MUST_USE basalt_status bs_wal_write_story(
    struct bs_wal_writer *writer, const struct bs_wal_story *story, basalt_error *err);

/* Removes the segments that end at or before `cut`; never the active one. Failure to remove is
 * reported and harmless. One call at a time. */
BS_MUST_USE basalt_status bs_wal_remove_below(
    struct bs_wal_writer *writer, bs_lsn cut, basalt_error *err);

struct bs_wal_stats {
    uint64_t log_bytes;                   /* reserved on disk, all segments */
    uint64_t written_bytes, synced_bytes; /* since open */
    uint64_t appends, syncs, sync_waits;
    uint64_t last_sync_ns;    /* how long it took */
    uint64_t last_sync_at_ns; /* bs_now_ns() when it ended; 0 if none */
    bs_lsn written, durable;
    bool mapped;
};
void bs_wal_stats(struct bs_wal_writer *writer, struct bs_wal_stats *out_stats);
bs_lsn bs_wal_written(struct bs_wal_writer *writer);
bs_lsn bs_wal_durable(struct bs_wal_writer *writer);

/* ---- reading: recovery, and live readers in other processes --------------------------------- */

/* What lies beside a data file. */
struct bs_wal_inventory {
    size_t segment_count; /* of this path, made-ahead ones included */
    bool has_story;
    struct bs_wal_story story; /* of the highest commit found whole */
    bs_lsn first, last;        /* positions that the chain covers: [first, last) of whole frames */
    uint64_t log_bytes;
    char holder[BS_WAL_HOLDER_BYTES]; /* of the newest segment */
};

/* Reads every segment header and follows the chain. Logs of another store (UUID) are CONFLICT.
 * NOT_FOUND if there is no segment at all. */
BS_MUST_USE basalt_status bs_wal_inspect(struct bs_vfs *vfs, const char *data_path,
    struct bs_wal_inventory *out_inventory, basalt_error *err);

/* `commit` marks the end of a transaction. `bytes` live until the call returns. */
typedef basalt_status (*bs_wal_replay_fn)(void *context, bs_lsn start, bs_lsn end,
    const void *bytes, size_t count, bool commit, basalt_error *err);

/* Calls `each` for every whole record from `from` on, in order, and stops quietly at the first one
 * that is not whole. CONFLICT if the chain begins after `from`. *out_end: end of the last whole
 * *transaction* (or `from`). Nothing is written. No segment at all is an empty log. Beside a live
 * writer NOT_FOUND says that a segment was removed meanwhile: read the superblock and begin again. */
BS_MUST_USE basalt_status bs_wal_replay(struct bs_vfs *vfs, const char *data_path, bs_lsn from,
    bs_wal_replay_fn each, void *context, bs_lsn *out_end, basalt_error *err);

/* Removes every segment of `data_path` but those of epoch `keep_epoch` (0: keeps none), syncs the
 * directory. Used by recovery after its checkpoint is durable, and by a clean close. */
BS_MUST_USE basalt_status bs_wal_remove_all(
    struct bs_vfs *vfs, const char *data_path, uint32_t keep_epoch, basalt_error *err);
uint32_t bs_wal_epoch(const struct bs_wal_writer *writer);

#endif
