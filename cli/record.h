/* record.h - what `record` and `demo` share: the status line of a recorder, and the signals that end
 * a recording cleanly. */
#ifndef BASALT_CLI_RECORD_H
#define BASALT_CLI_RECORD_H

#include "command.h"

#include <signal.h>

/* Figures between two looks at a recorder. */
struct pace {
    uint64_t at_ns, rows, bytes;
    double rows_a_second, bytes_a_second;
};

void pace_update(struct pace *pace, const basalt_recorder_stats *stats);
/* "1,234 rows/s  8.1 MB/s | file 12 MB  log 64 MB | queue 3 (120 KB) | synced 4 ms ago", cut to a line
 * of the terminal, of which `indent` columns are used. */
void status_line(char *out, size_t out_bytes, int indent, const struct pace *pace,
    const basalt_recorder_stats *stats);

/* Blocks SIGINT, SIGTERM, SIGHUP (unless it is ignored) and `extra` (0: none) in this thread and those
 * it makes. */
void signals_hold(sigset_t *out_set, int extra);

#endif
