/* scan.h - what scan_bind.c and scan.c know of a query together. */
#ifndef BASALT_DUCKDB_SCAN_H
#define BASALT_DUCKDB_SCAN_H

#include "counters.h"
#include "enums.h"

enum scan_column_kind {
    SCAN_COLUMN, /* of the files */
    SCAN_ROW,    /* the row's number in its file */
    SCAN_FILE    /* the file's name */
};
struct scan_column {
    enum scan_column_kind kind;
    char *name;
    char type[512]; /* as type_text says it, to compare files by */
    bool as_enum;   /* of what the files' dictionaries, or labels, have */
    bool by_label;
    bool is_number;            /* of a row or column of a matrix, without a label */
    struct enum_values values; /* if it is as_enum */
    struct epoch epoch;
};

/* The files of a query, open. `column_of` says of each part and each column of the result which of the
 * part's columns that is: SIZE_MAX if it has none; `maps`, what its codes are in the result's ENUM. */
struct scan_parts {
    size_t count;
    struct scan_part *parts;
    size_t column_count;
    size_t *column_of;
    struct enum_map *maps;
    struct scan_counters *counters; /* held */
};
void parts_free(struct scan_parts *parts); /* NULL is fine */

/* Bind data: what a query is, whichever threads run it. The files that were opened to find out are handed
 * to the first execution; a later one of the same prepared statement opens them anew. */
struct scan_plan {
    struct scan_request *request;
    size_t column_count, column_capacity;
    struct scan_column *columns;
    uint64_t rows; /* of all files */
    _Atomic(struct scan_parts *) opened;
};
void plan_free(void *plan);
/* Opens the files; `plan` has its columns already if this is not the first time. */
bool parts_open(struct scan_plan *plan, struct scan_parts **out_parts, struct failure *failure);

/* The table's rows [first, first + count) that the request's start, stop and step leave. */
void part_window(const struct scan_request *request, const struct scan_part *part,
    uint64_t *out_first, uint64_t *out_count);

/* where.c: the rows of a query by their values. */
struct where;
void where_free(struct where *where); /* NULL is fine */
/* The parameters where_column, min and max. *out_where is NULL if they were not given. */
bool where_take(duckdb_bind_info info, struct where **out_where, struct failure *failure);
/* Which columns they are, and what their bounds are for those. NULL is fine, and true. */
bool where_settle(struct where *where, const struct scan_plan *plan, const struct scan_parts *parts,
    struct failure *failure);
/* False: the file does not have all the columns, so no row of it is wanted. NULL is fine, and true. */
bool where_has_rows(const struct where *where, const struct scan_parts *parts, size_t part);
/* Tells a reader of the part, a cursor. */
bool where_set(const struct where *where, const struct scan_plan *plan,
    const struct scan_parts *parts, size_t part, void *reader, struct failure *failure);

void scan_init(duckdb_init_info info);
void scan_init_thread(duckdb_init_info info);
void scan_rows(duckdb_function_info info, duckdb_data_chunk output);

#endif
