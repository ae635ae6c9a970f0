/* listing.h - functions that give a few rows: all of them are made when the query is bound. */
#ifndef BASALT_DUCKDB_LISTING_H
#define BASALT_DUCKDB_LISTING_H

#include "extension.h"

enum cell_kind { CELL_TEXT, CELL_NUMBER, CELL_NUMBERS, CELL_FLAG };

struct listing_column {
    const char *name;
    enum cell_kind kind;
};

struct cell {
    char *text;        /* owned; NULL: null, of a text */
    uint64_t *numbers; /* owned */
    uint64_t number;   /* of a list: how many */
    bool known;        /* else null */
};

struct listing {
    const struct listing_column *columns;
    size_t column_count;
    struct cell *cells; /* of row after row */
    size_t count, capacity;
    bool failed; /* no memory */
};

struct listing *listing_new(const struct listing_column *columns, size_t column_count);
void listing_free(void *listing);
/* The next cells of the row at hand, in the order of the columns. */
void add_text(struct listing *listing, const char *text); /* NULL: null */
void add_number(struct listing *listing, uint64_t number);
void add_flag(struct listing *listing, bool flag);
void add_null(struct listing *listing);
void add_numbers(struct listing *listing, const uint64_t *numbers, size_t count);
/* Adds what one file has; true: go on. */
typedef bool look_fn(
    struct listing *listing, const char *path, const char *inside, struct failure *failure);
/* The rows that `look` finds in the files of the first parameter. Takes over `inside`, the second one;
 * NULL: the function has no such parameter. */
void listing_bind_files(duckdb_bind_info info, const struct listing_column *columns, size_t count,
    char *inside, look_fn *look);
/* The columns and the rows. Takes over `listing`; false: `failure` says why there is none. */
void listing_bind(
    duckdb_bind_info info, struct listing *listing, bool fine, struct failure *failure);
/* A function whose bind ends in one of these. */
duckdb_table_function listing_function(
    const char *name, unsigned parameters, duckdb_table_function_bind_t bind);

#endif
