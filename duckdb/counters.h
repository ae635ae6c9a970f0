/* counters.h - what all scans of a database have done since the extension was loaded into it.
 *
 * Shared by the functions of one database, by the queries that run and by their threads: a count of holders
 * says when it goes. Every number only grows, but for the two of the query that ended last, and is added to
 * without a lock: whoever looks meanwhile sees each as of some moment. */
#ifndef BASALT_DUCKDB_COUNTERS_H
#define BASALT_DUCKDB_COUNTERS_H

#include "extension.h"

struct scan_counters {
    _Atomic unsigned holders;
    basalt_hdf5_bounds *bounds; /* what scans learnt of chunks, for those that follow */
    _Atomic uint64_t scans;     /* that began to give rows */
    _Atomic uint64_t rows;      /* given to DuckDB */
    _Atomic uint64_t pieces_read, pieces_left_out;
    _Atomic uint64_t bytes_read, bytes_decoded;              /* of files that are closed again */
    _Atomic uint64_t memory_budget_bytes, memory_last_bytes; /* of the query that ended last */
    _Atomic uint64_t memory_peak_bytes;                      /* of any query */
};
struct scan_counters *counters_new(void);                            /* NULL: no memory */
struct scan_counters *counters_hold(struct scan_counters *counters); /* gives `counters` */
void counters_release(void *counters);                               /* NULL is fine */
void counter_add(_Atomic uint64_t *counter, uint64_t number);
void counter_raise(_Atomic uint64_t *counter, uint64_t number); /* to that, if it is less */

#endif
