/* read.h - rows out: snapshots and scans. */
#ifndef BASALT_READ_H
#define BASALT_READ_H

#include "basalt/write.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One consistent view of all families. Never waits for a writer. The space it can see is not reused
 * while it is open. */
typedef struct basalt_snapshot basalt_snapshot;

BASALT_CHECKED basalt_status basalt_snapshot_create(
    basalt_store *store, basalt_snapshot **out_snapshot, basalt_error *err);
BASALT_API void basalt_snapshot_close(basalt_snapshot **snapshot); /* NULL is fine */
BASALT_CHECKED basalt_status basalt_snapshot_rows(
    basalt_snapshot *snapshot, const char *family, uint64_t *out_rows, basalt_error *err);

typedef struct basalt_scan_options {
    size_t struct_bytes;        /* set by _init */
    const char *const *columns; /* names, in the order wanted; NULL: all */
    size_t column_count;
    uint64_t first_row;  /* default 0 */
    uint64_t row_count;  /* default UINT64_MAX: to the end */
    uint64_t batch_rows; /* rows an array at most; default 65,536 */
} basalt_scan_options;
BASALT_API void basalt_scan_options_init(basalt_scan_options *options, size_t options_bytes);

/* Creates *out_stream over the rows of one family, in order of arrival. With `snapshot` NULL the scan
 * has one of its own. Each get_next does its own share of work on the calling thread. The stream may
 * outlive `snapshot`, not `store`. */
BASALT_CHECKED basalt_status basalt_scan(basalt_store *store, basalt_snapshot *snapshot,
    const char *family, const basalt_scan_options *options, struct ArrowArrayStream *out_stream,
    basalt_error *err);

#ifdef __cplusplus
}
#endif
#endif
