/* write.h - rows in: single batches and transactions. */
#ifndef BASALT_WRITE_H
#define BASALT_WRITE_H

#include "basalt/family.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a commit that returned OK survives. */
typedef enum basalt_durability {
    BASALT_VOLATILE = 0, /* the process going on; it is in memory only until the next checkpoint */
    BASALT_BUFFERED = 1, /* kill -9 */
    BASALT_SYNC = 2      /* power loss */
} basalt_durability;

/* Appends the rows of a struct array to a family as one transaction. `array` is only read and stays
 * the caller's. `schema` may be NULL: then the array is taken to have the family's schema; otherwise
 * SCHEMA_MISMATCH names the first field that differs. When it returns, scans see the rows.
 * OUTCOME_UNKNOWN: the log failed; the rows may or may not be there after the next open. */
BASALT_CHECKED basalt_status basalt_append(basalt_store *store, const char *family,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_durability durability,
    basalt_error *err);

/* Appends every array of a stream, one transaction each, and releases it. The family is made with
 * the stream's schema and `options` if it is absent. *out_rows counts those committed, also after a
 * failure. */
BASALT_CHECKED basalt_status basalt_append_stream(basalt_store *store, const char *family,
    struct ArrowArrayStream *stream, const basalt_family_options *options,
    basalt_durability durability, uint64_t *out_rows, basalt_error *err);

/* Changes to one or more families that commit as one. One thread at a time. */
typedef struct basalt_txn basalt_txn;

BASALT_CHECKED basalt_status basalt_txn_begin(
    basalt_store *store, basalt_txn **out_txn, basalt_error *err);
/* Copies the rows into the transaction. After a failure the transaction is as it was before. */
BASALT_CHECKED basalt_status basalt_txn_append(basalt_txn *txn, const char *family,
    const struct ArrowArray *array, const struct ArrowSchema *schema, basalt_error *err);
/* Ends and frees *txn either way, sets NULL. */
BASALT_CHECKED basalt_status basalt_txn_commit(
    basalt_txn **txn, basalt_durability durability, basalt_error *err);
BASALT_API void basalt_txn_rollback(basalt_txn **txn); /* NULL is fine */

#ifdef __cplusplus
}
#endif
#endif
