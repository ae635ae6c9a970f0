/* store.h - one HDF5 file plus its log: open, checkpoint, close, and care of the file.
 *
 * A store has one writing process and any number of reading ones. Between checkpoints rows live in
 * the log (PATH-log.N beside PATH) and in memory; the file always shows the last checkpoint, whole,
 * to any HDF5 reader. After a clean close only the file is left. Any thread may call on a store. */
#ifndef BASALT_STORE_H
#define BASALT_STORE_H

#include "basalt/environment.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_store basalt_store;

typedef enum basalt_access {
    BASALT_READ_WRITE_CREATE = 0, /* default: make the file if it is absent */
    BASALT_READ_WRITE = 1,        /* NOT_FOUND if it is absent */
    BASALT_CREATE_NEW = 2,        /* EXISTS if it is there */
    BASALT_READ_CHECKPOINT = 3,   /* read only, the last checkpoint; never blocks the writer */
    BASALT_READ_FRESH = 4,        /* read only, and the rows that are in the log as well */
    BASALT_REPLACE = 5 /* a new file in place of whatever is there, when it is closed: see below */
} basalt_access;

typedef struct basalt_store_options {
    size_t struct_bytes; /* set by _init */
    basalt_env *env;     /* NULL: one for this store */
    basalt_access access;
    uint64_t memtable_bytes_max;   /* default 64 MiB: checkpoint; up to twice, writers slow down */
    uint64_t log_segment_bytes;    /* default 64 MiB; at least 64 KiB; a power of two times 4 KiB */
    uint64_t checkpoint_log_bytes; /* default 256 MiB of log since the last cut */
    uint64_t checkpoint_age_ms;    /* default 1000 of the oldest row; 0: never by age */
    uint64_t grace_ms;             /* default 5000: freed space rests this long before reuse */
    bool protect;                  /* default true: no write permission bits while a log exists */
    bool allow_hard_links;         /* default false: a file with several names is refused */
    const char *application;       /* root attribute of a new file; default "basalt" */
} basalt_store_options;

BASALT_API void basalt_store_options_init(basalt_store_options *options, size_t options_bytes);

/* Opens `path` and, after a crash, recovers it first. Creates *out_store. BUSY names the process
 * that has it open for writing. CONFLICT: the log belongs to another file, or another program wrote
 * to the file since, or the file was not closed and its log is missing (then BASALT_READ_CHECKPOINT
 * reads what the file has, and basalt_recover_without_log goes on); nothing was changed.
 * UNSUPPORTED: an HDF5 file that Basalt did not make. */
BASALT_CHECKED basalt_status basalt_store_open(const char *path,
    const basalt_store_options *options, basalt_store **out_store, basalt_error *err);

/* Moves every row into the file, filters the tails, removes the log. The handle is gone either way
 * and *store is NULL; after a failure the log stays and the next open recovers. BUSY if snapshots or
 * scans are open, and then the store stays open. */
BASALT_CHECKED basalt_status basalt_store_close(basalt_store **store, basalt_error *err);

/* A store that was opened with BASALT_REPLACE is PATH.part-HEX (16 random digits) until basalt_store_close
 * has all of it on disk and renames it: until then, and after any failure or crash, PATH is absent or what
 * it was. The open is BUSY if somebody writes to PATH, CONFLICT if it has a log, and removes what a kill
 * left of an earlier try. What is no regular file is not replaced.
 * This gives such a store up, removes what it wrote and sets *store NULL. BUSY as for close;
 * BAD_ARGUMENT for any other store. */
BASALT_CHECKED basalt_status basalt_store_discard(basalt_store **store, basalt_error *err);

/* Moves all rows committed before the call into the file. Returns when the file shows them. */
BASALT_CHECKED basalt_status basalt_store_checkpoint(basalt_store *store, basalt_error *err);

/* On OK every commit that returned before the call survives power loss. */
BASALT_CHECKED basalt_status basalt_store_sync(basalt_store *store, basalt_error *err);

typedef struct basalt_store_stats {
    uint64_t families, rows; /* rows: visible, all families */
    uint64_t batches, bytes; /* appended since open; bytes as encoded for the log */
    uint64_t commits, syncs; /* since open */
    uint64_t checkpoints;    /* since open */
    uint64_t checkpoint_last_ns, checkpoint_max_ns;
    uint64_t stalls, stall_max_ns; /* commits that checkpoints or log segments held up */
    uint64_t memtable_bytes;
    uint64_t file_bytes, live_bytes, free_bytes, retired_bytes; /* as of the last flip */
    uint64_t log_bytes;
    uint64_t last_sync_ns;      /* how long the last log sync took */
    uint64_t since_sync_ns;     /* since it ended; UINT64_MAX if there was none */
    uint64_t commit_number;     /* of the last checkpoint */
    uint64_t log_position, cut; /* visible position; position of the last checkpoint */
    bool readers_known;         /* false: stock readers can't be asked for here, the grace
                                           * time alone decides about reuse */
} basalt_store_stats;
BASALT_CHECKED basalt_status basalt_store_get_stats(
    basalt_store *store, basalt_store_stats *out_stats, basalt_error *err);

/* Text attributes of the root (family NULL) or of a family; they commit like rows, `buffered`.
 * TOO_LARGE over 64,000 bytes or 1,000 attributes. */
BASALT_CHECKED basalt_status basalt_set_attribute(basalt_store *store, const char *family,
    const char *name, const char *value, basalt_error *err);
/* Creates *out_value: free it with basalt_free. NOT_FOUND. */
BASALT_CHECKED basalt_status basalt_get_attribute(
    basalt_store *store, const char *family, const char *name, char **out_value, basalt_error *err);
/* Lends both texts during the call; a false return stops. */
typedef bool (*basalt_attribute_fn)(void *context, const char *name, const char *value);
BASALT_CHECKED basalt_status basalt_each_attribute(basalt_store *store, const char *family,
    basalt_attribute_fn each, void *context, basalt_error *err);
BASALT_API void basalt_free(void *memory);

/* ---- care of files that are not open here ------------------------------------------------------ */

typedef struct basalt_inspection {
    bool is_basalt;   /* Basalt made it */
    bool writing;     /* a living process has it open for writing */
    bool crashed;     /* logs lie beside it and nobody is writing */
    char holder[160]; /* who is writing, or who was: "process 123 on host: command" */
    uint64_t commit_number, cut;
    uint64_t file_bytes, log_bytes;
    unsigned log_files;
    uint64_t log_records_bytes; /* of whole records after the cut: what recovery would replay */
    bool log_missing; /* not closed, nobody is writing, and its log is not beside it: rows since the
                        * last checkpoint may be missing */
    bool conflict; /* the log beside it was written for another file, or the file changed since */
    char warning[240]; /* of those two: one sentence that says what to do; else empty */
} basalt_inspection;
/* Looks without locking or changing anything. */
BASALT_CHECKED basalt_status basalt_inspect(
    const char *path, basalt_inspection *out_inspection, basalt_error *err);

typedef struct basalt_recovery {
    bool needed;              /* false: there was no log */
    bool superblock_restored; /* the file's first sector was torn and came from the log */
    uint64_t rows_replayed, transactions_replayed, bytes_replayed;
} basalt_recovery;
/* Brings file and log together, then closes cleanly, so that only the file is left. */
BASALT_CHECKED basalt_status basalt_recover(
    const char *path, basalt_recovery *out_recovery, basalt_error *err);

/* For a file that was not closed and whose log is lost for good (basalt_inspection.log_missing): gives
 * up the rows since its last checkpoint and closes it. CONFLICT if a log is beside it. */
BASALT_CHECKED basalt_status basalt_recover_without_log(
    const char *path, basalt_recovery *out_recovery, basalt_error *err);

/* Progress of something long: return false to cancel. */
typedef bool (*basalt_progress_fn)(void *context, uint64_t done_bytes, uint64_t all_bytes);
typedef enum basalt_finding {
    BASALT_FINDING_FAULT = 0,
    BASALT_FINDING_NOT_CHECKED =
        1 /* valid as far as it can be read here: a filter not built in … */
} basalt_finding;
typedef void (*basalt_finding_fn)(void *context, basalt_finding finding, const char *sentence);
/* Deep check of structure, checksums, overlapping extents and the log; one sentence a finding, of which
 * *out_faults counts the faults. OK with *out_faults > 0 means: the check ran and found faults. Works
 * beside a writer. */
BASALT_CHECKED basalt_status basalt_verify(const char *path, basalt_finding_fn finding,
    basalt_progress_fn progress, void *context, uint64_t *out_faults, basalt_error *err);

/* Finds the statistics of all chunks (docs/format/families.md) anew, from the rows, as after an edit in
 * place by another program that basalt_verify has told of: recovers the file first if need be, closes
 * it cleanly. *out_chunks: how many chunks have them. BUSY while somebody writes. */
BASALT_CHECKED basalt_status basalt_rebuild_statistics(
    const char *path, uint64_t *out_chunks, basalt_error *err);

/* Copies the store at `path`, live or not, into the new file `destination` (EXISTS if it is there):
 * one snapshot, the rows of the log included, cleanly closed, under a UUID of its own. */
BASALT_CHECKED basalt_status basalt_backup(const char *path, const char *destination,
    basalt_progress_fn progress, void *context, basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
