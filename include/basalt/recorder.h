/* recorder.h - the storage actor: a bounded mailbox in front of a store, for instruments.
 *
 * Messages are taken in order by one thread of the recorder, which commits all that wait (up to
 * 16 MiB of rows) as one transaction with one sync. An instrument is a family, made at its first
 * batch; the first batch that is accepted fixes its schema. Callbacks run on that thread with no lock
 * held; a blocking call from one is BAD_ARGUMENT. Any thread may call. */
#ifndef BASALT_RECORDER_H
#define BASALT_RECORDER_H

#include "basalt/write.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct basalt_recorder basalt_recorder;

typedef enum basalt_overflow {
    BASALT_OVERFLOW_BLOCK = 0,      /* wait up to block_timeout_ms, then TIMED_OUT */
    BASALT_OVERFLOW_DROP_NEWEST = 1 /* DROPPED at once; counted in the stats and in the file */
} basalt_overflow;

typedef struct basalt_recorder_options {
    size_t struct_bytes;             /* set by _init */
    basalt_store_options store;      /* access is always CREATE_NEW for a new session */
    basalt_family_options family;    /* of instruments made by a first batch */
    basalt_durability durability;    /* default BUFFERED */
    basalt_overflow overflow;        /* default BLOCK */
    uint64_t block_timeout_ms;       /* default 5000 */
    uint64_t mailbox_bytes_max;      /* default 64 MiB of rows */
    uint64_t mailbox_messages_max;   /* default 4096 */
    uint64_t auto_flush_interval_ms; /* default 0: only when asked, and by the store's own rules */
    bool resume;                     /* default false: with a file path, go on recording into it */
} basalt_recorder_options;
BASALT_API void basalt_recorder_options_init(
    basalt_recorder_options *options, size_t options_bytes);

/* Starts a session in `path`. A directory gets a file daq_session_YYYYMMDD_HHMMSS.h5 (local time;
 * _2, _3 … if taken): nothing is ever overwritten. A file name must not exist, unless `resume`. */
BASALT_CHECKED basalt_status basalt_recorder_start(const char *path,
    const basalt_recorder_options *options, basalt_recorder **out_recorder, basalt_error *err);

/* Takes what is still in the mailbox, flushes, closes the store; no other call may be running. Its
 * error is the first that any message without a callback met, or that of the close. The handle is
 * gone either way, but for BAD_ARGUMENT: from a callback, or in a forked child. */
BASALT_CHECKED basalt_status basalt_recorder_stop(basalt_recorder **recorder, basalt_error *err);

/* How a message ended. `error` is lent during the call; its status is OK on success. */
typedef void (*basalt_done_fn)(void *context, const basalt_error *error);

/* WriteBatch. On OK the array was moved (release = NULL), on failure it stays the caller's. With
 * `done` NULL the call returns when the rows are committed; else when they are in the mailbox, and
 * `done` is called once, if and only if this returned OK. `schema` NULL: the one of the batch before.
 * SCHEMA_MISMATCH names the first field that differs. TOO_LARGE: over mailbox_bytes_max. TIMED_OUT:
 * it was not taken from the mailbox in time; what is being committed is waited for to its end. */
BASALT_CHECKED basalt_status basalt_recorder_write(basalt_recorder *recorder,
    const char *instrument_id, struct ArrowArray *array, const struct ArrowSchema *schema,
    basalt_done_fn done, void *context, basalt_error *err);

/* WriteBatch with the bytes of an Arrow IPC stream (a schema and any number of batches); copied. */
BASALT_CHECKED basalt_status basalt_recorder_write_ipc(basalt_recorder *recorder,
    const char *instrument_id, const void *bytes, size_t count, basalt_done_fn done, void *context,
    basalt_error *err);

/* SetMetadata: a text attribute of the root. Never dropped. */
BASALT_CHECKED basalt_status basalt_recorder_set_metadata(
    basalt_recorder *recorder, const char *key, const char *value, basalt_error *err);

/* SetInstrumentMetadata: a text attribute of the instrument's group. Before the first batch, when no
 * group can be made because no schema is known, it is kept in the root attribute
 * pending_instrument_metadata (JSON), and moves to the group with the first batch, also of a resumed
 * session. Never dropped. */
BASALT_CHECKED basalt_status basalt_recorder_set_instrument_metadata(basalt_recorder *recorder,
    const char *instrument_id, const char *key, const char *value, basalt_error *err);

/* Flush: when it returns, every message before it is in the file and survives power loss, and its
 * callback has been called. */
BASALT_CHECKED basalt_status basalt_recorder_flush(basalt_recorder *recorder, basalt_error *err);

typedef struct basalt_recorder_stats {
    uint64_t bytes_written; /* of rows, as encoded for the log */
    uint64_t batches_written;
    const char *file_path; /* lent until stop */
    uint64_t file_size;    /* bytes */
    uint64_t num_datasets; /* columns of all instruments */
    uint64_t rows_written;
    uint64_t batches_dropped, rows_dropped;
    uint64_t queue_messages, queue_bytes, queue_bytes_peak;
    uint64_t flushes, errors;
    basalt_store_stats store;
} basalt_recorder_stats;
/* GetStats: answered at once, not through the mailbox. */
BASALT_CHECKED basalt_status basalt_recorder_get_stats(
    basalt_recorder *recorder, basalt_recorder_stats *out_stats, basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
