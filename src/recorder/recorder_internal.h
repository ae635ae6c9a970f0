/* recorder_internal.h - what the files of the recorder share. */
#ifndef BS_RECORDER_INTERNAL_H
#define BS_RECORDER_INTERNAL_H

#include "recorder/recorder.h"

/* A piece of metadata of an instrument whose family is not made yet, since its schema is not known. */
struct bs_kept {
    struct bs_kept *next;
    char *key, *value;
    bool committed; /* else part of the transaction that is being put together */
};

/* An instrument is known from its first accepted message, or from the file of a resumed session. */
struct bs_instrument {
    struct bs_instrument *next; /* in its bucket */
    char *name;
    struct bs_schema *schema; /* counted; NULL until a batch was accepted; guarded by the lock */
    bool made;                /* the family is in the store; the thread's own */
    bool making;              /* by the transaction that is being put together; the thread's own */
    struct bs_kept *kept;     /* newest first; the thread's own */
    uint64_t batches_dropped, rows_dropped; /* earlier sessions in the file included; the lock's */
    uint64_t batches_told;                  /* what the file says; the thread's own */
};

struct bs_instruments {
    struct bs_instrument **buckets; /* a power of two of them */
    size_t bucket_count, count;
};

/* NULL if it is not known. */
struct bs_instrument *bs_instruments_find(
    const struct bs_instruments *instruments, const char *name);
/* Finds it or makes it. */
BS_MUST_USE basalt_status bs_instruments_get(struct bs_instruments *instruments, const char *name,
    struct bs_instrument **out_instrument, basalt_error *err);
void bs_instruments_free(struct bs_instruments *instruments);

enum bs_message_kind { BS_MESSAGE_BATCH, BS_MESSAGE_METADATA, BS_MESSAGE_FLUSH };

/* A message that somebody waits for belongs to him; another belongs to the recorder once it is in
 * the mailbox. */
struct bs_message {
    struct bs_message *next;
    enum bs_message_kind kind;
    char *instrument; /* NULL: the root */
    char *key, *value;
    struct bs_schema *schema;  /* of a batch; counted */
    struct ArrowArray *arrays; /* array_count of them */
    size_t array_count;
    uint64_t rows, bytes;
    basalt_done_fn done; /* NULL: somebody waits */
    void *context;
    bool taken;         /* by the thread: it will end; guarded by the lock */
    bool ended;         /* guarded by the lock */
    basalt_error error; /* how; the thread's until `ended` */
    uint64_t encoded_bytes;
};

struct bs_recorder {
    struct bs_store *store;
    basalt_recorder_options options;
    uint64_t process_id; /* a forked child is refused */
    struct bs_thread *thread;

    bs_mutex lock;         /* guards what follows, but for what says otherwise */
    bs_condition work;     /* for the thread: a message, a drop, or the stop */
    bs_condition room;     /* for senders: messages ended */
    bs_condition finished; /* for those who wait: a turn ended */
    struct bs_message *first, **last;
    uint64_t queue_messages, queue_bytes, queue_bytes_peak; /* until they end, not until taken */
    struct bs_instruments instruments;
    bool stopping, drops_untold;
    pthread_t worker; /* set by the thread itself, before it takes anything */
    bool worker_known;
    uint64_t bytes_written, batches_written, rows_written, columns;
    uint64_t batches_dropped, rows_dropped;           /* since the start */
    uint64_t file_batches_dropped, file_rows_dropped; /* earlier sessions in the file included */
    uint64_t flushes, errors;
    basalt_error first_error;

    /* the thread's own */
    uint64_t flushed_at_ns, drops_told_at_ns;
    uint64_t root_batches_told;
    bool unflushed;    /* something was committed since the last flush */
    bool kept_changed; /* in the transaction that is being put together */
};

/* ---- mailbox.c ------------------------------------------------------------------------------- */

/* Puts `message` into the mailbox by the rules of the options and, if it has no callback, waits for
 * its end. On failure it is the caller's and not in the mailbox; on OK it is the caller's only if it
 * has no callback. */
BS_MUST_USE basalt_status bs_mailbox_send(
    struct bs_recorder *recorder, struct bs_message *message, basalt_error *err);
/* Waits for work. A chain of messages, at most a turn's worth, or NULL if there is none but
 * something is due (drops, an automatic flush), or the recorder stops (*out_stopping). */
struct bs_message *bs_mailbox_take(struct bs_recorder *recorder, bool *out_stopping);
/* Ends a chain: counts, wakes, calls back, frees those that nobody waits for. */
void bs_mailbox_end(struct bs_recorder *recorder, struct bs_message *chain);
void bs_message_free(struct bs_message *message, bool release_arrays); /* NULL is fine */
bool bs_recorder_is_worker(struct bs_recorder *recorder);

/* ---- kept.c ---------------------------------------------------------------------------------- */

#define BS_KEPT_ATTRIBUTE "pending_instrument_metadata" /* of the root */

BS_MUST_USE basalt_status bs_kept_add(struct bs_instrument *instrument, const char *key,
    const char *value, bool committed, basalt_error *err);
/* After the transaction: those of it stay, or go. */
void bs_kept_settle(struct bs_instrument *instrument, bool committed);
void bs_kept_free(struct bs_instrument *instrument);
/* As attributes of the family that the transaction makes. */
BS_MUST_USE basalt_status bs_kept_apply(
    struct bs_txn *txn, const struct bs_instrument *instrument, basalt_error *err);
/* Sets the root's attribute to what is kept by instruments that have no family. */
BS_MUST_USE basalt_status bs_kept_write(
    struct bs_recorder *recorder, struct bs_txn *txn, basalt_error *err);
/* Of a resumed session. */
BS_MUST_USE basalt_status bs_kept_read(struct bs_recorder *recorder, basalt_error *err);

/* ---- turn.c ---------------------------------------------------------------------------------- */

#define BS_DROPS_TELL_NS ((uint64_t)1000000000) /* counters go into the file this often at most */

void bs_recorder_run(void *recorder); /* the body of the thread */

#endif
