/* store_history.h - a store's life over the power-loss file system, and what it was promised.
 *
 * Every value of every family follows from its family and row number, so whatever is read back can
 * be checked without keeping it. A promise is what holds from a mark of the trace on. */
#ifndef BS_STORE_HISTORY_H
#define BS_STORE_HISTORY_H

#include "arrow/arrow.h"
#include "store/store.h"
#include "tests/crash/crash.h"
#include "wal/wal.h"

#define STORE_PATH "/db/x.h5"
#define STORE_DIRECTORY "/db"
#define PROMISES_MAX ((size_t)20000)
#define ROW_TEXT_BYTES 64
#define TURNS_MAX 32

/* Rows of PAIR_A and PAIR_B commit in one transaction, so they are always as many. */
enum { PAIR_A, PAIR_B, SOLO, LATE, FAMILIES };

struct family_sketch {
    const char *name;
    const char *columns[2];
    const char *formats[2];
    bool nullable[2];
    uint64_t chunk_rows;
    int compression_level;
};
extern const struct family_sketch family_sketches[FAMILIES];

int64_t row_sequence(unsigned family, uint64_t row);
double row_value(uint64_t row);                        /* of PAIR_A */
bool row_text(uint64_t row, char out[ROW_TEXT_BYTES]); /* of PAIR_B; false: null */
bool row_flag(uint64_t row);                           /* of SOLO */
bool row_level(uint64_t row, int32_t *out);            /* of LATE; false: null */

struct promise {
    bool store; /* it exists */
    bool made_attempted[FAMILIES], made_buffered[FAMILIES], made_synced[FAMILIES];
    uint64_t attempted[FAMILIES]; /* rows handed over */
    uint64_t buffered[FAMILIES];  /* rows acknowledged: they survive a kill */
    uint64_t synced[FAMILIES];    /* they survive power loss */
    uint64_t shown[FAMILIES];     /* the file shows them to everybody */
    uint64_t step_attempted, step_buffered, step_synced; /* attribute "step" of the root */
};

struct history {
    struct bs_vfs *vfs;
    uint64_t first_event; /* before it there is only the directory */
    struct bs_env_parts parts;
    struct bs_store *store;
    struct bs_schema *schemas[FAMILIES];
    struct promise *promises; /* by mark; the last one is the present */
    size_t promise_count;
    struct turning_point turns[TURNS_MAX];
    size_t turn_count;
    bs_mutex lock; /* guards the promises; several threads live at once */
    uint64_t random;
};

struct history *history_create(uint64_t seed, basalt_error *err);
void history_free(struct history *history); /* NULL is fine */

/* The options of every open, checkpoints by hand apart from `checkpoint_log_bytes`. */
void history_options(basalt_store_options *out_options);
BS_MUST_USE basalt_status history_open(struct history *history, basalt_error *err);
BS_MUST_USE basalt_status history_close(struct history *history, basalt_error *err);
void history_kill(struct history *history); /* the process dies: nothing is synced or removed */
/* A checkpoint whose flip is written but not synced when the process dies. */
BS_MUST_USE basalt_status history_kill_in_flip(struct history *history, basalt_error *err);
/* After an open that followed a failure: goes on from the rows that are there. CORRUPT if fewer are
 * than were acknowledged, or more than were handed over. */
BS_MUST_USE basalt_status history_adopt(struct history *history, basalt_error *err);

/* One thread: transactions, appends, checkpoints, attributes, by chance. */
BS_MUST_USE basalt_status history_live(struct history *history, unsigned steps, basalt_error *err);
/* In each round sync commits fill a segment, and a checkpoint makes those before it needless. */
BS_MUST_USE basalt_status history_rotate(
    struct history *history, unsigned rounds, basalt_error *err);
/* Three threads at once, with syncs that take their time, so that they meet. */
BS_MUST_USE basalt_status history_live_in_a_crowd(
    struct history *history, unsigned steps, uint64_t sync_ns, basalt_error *err);

#endif
