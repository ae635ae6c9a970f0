/* rows.h - small batches made by hand: what a program does that has no Arrow library. */
#ifndef BASALT_CLI_ROWS_H
#define BASALT_CLI_ROWS_H

#include "command.h"

#define ROWS_COLUMNS_MAX 24
#define ROWS_MAX 256
#define ROWS_TEXT_BYTES 32

struct rows_column {
    const char *name;
    const char *format; /* "l" int64, "L" uint64, "tsn:UTC" timestamp, "u" text */
};

/* Up to ROWS_MAX rows of up to ROWS_COLUMNS_MAX columns. Plain data. */
struct rows {
    const struct rows_column *columns;
    size_t column_count, count;
    union {
        int64_t number;
        uint64_t natural;
        char text[ROWS_TEXT_BYTES];
    } cells[ROWS_MAX][ROWS_COLUMNS_MAX];
};

/* The schema lives as long as `out_schema` and `columns` do; its release does nothing. */
struct rows_schema {
    struct ArrowSchema root, fields[ROWS_COLUMNS_MAX], *children[ROWS_COLUMNS_MAX];
};
void rows_make_schema(
    const struct rows_column *columns, size_t count, struct rows_schema *out_schema);
/* Creates *out_array: its release frees it. */
basalt_status rows_make_array(
    const struct rows *rows, struct ArrowArray *out_array, basalt_error *err);
/* One column of doubles, taken over: freed by the release (also after a failure). */
basalt_status rows_make_doubles(
    double *values, size_t count, struct ArrowArray *out_array, basalt_error *err);

#endif
