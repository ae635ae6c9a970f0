/* wal_crash.h - the log alone, for those who look for one defect. */
#ifndef BS_WAL_CRASH_H
#define BS_WAL_CRASH_H

#include "tests/crash/crash.h"

/* Three threads sync at once; then every image until a promise is broken with a complaint of `wanted`.
 * crash_free the tally. */
BS_MUST_USE basalt_status wal_crash_until_broken(
    const char *wanted, struct crash_tally *out_tally, basalt_error *err);

/* The same threads in a process of their own, again and again: true if they stop for good, because each
 * waits to be woken and nobody is left to do it. */
bool wal_crash_crowd_stops(void);

#endif
