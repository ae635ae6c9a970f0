/* copy.h - COPY … TO 'x.h5' (FORMAT basalt): what copy_plan.c, copy_rows.c and copy.c know together. */
#ifndef BASALT_DUCKDB_COPY_H
#define BASALT_DUCKDB_COPY_H

#include "extension.h"

struct copy_column {
    char *name;
    const char *format; /* Arrow's */
    duckdb_type type;
    size_t value_bytes; /* of a value of fixed length, in DuckDB's vector; 0: of a text */
    bool not_null;
    char **words; /* of an ENUM */
    size_t word_count;
    duckdb_type code_type;
};

/* What a statement says; made when it is bound and not changed behind that. DuckDB frees it before the
 * state of an execution, or behind it, so both hold it. */
struct copy_plan {
    _Atomic unsigned holders;
    size_t column_count;
    struct copy_column *columns;
    bool is_record; /* the columns are the fields of the query's one column */
    duckdb_logical_type record;
    char *family;
    basalt_family_options options;
    uint64_t memory_bytes; /* for rows on their way */
};
struct copy_plan *copy_plan_new(duckdb_copy_function_bind_info info, struct failure *failure);
struct copy_plan *copy_plan_hold(struct copy_plan *plan); /* gives `plan` */
void copy_plan_release(void *plan);                       /* NULL is fine */

/* Rows of DuckDB's on their way to be an array. */
struct copy_rows;
struct copy_rows *copy_rows_new(const struct copy_plan *plan); /* NULL: no memory */
void copy_rows_free(struct copy_rows *rows);                   /* NULL is fine */
/* A schema of the plan's columns, which lends from `rows`. */
const struct ArrowSchema *copy_rows_schema(const struct copy_rows *rows);
/* Takes rows of the chunk from *row on, as many as there is room for, and moves *row. `vectors`: of the
 * columns; `record`: the validity of what they are fields of, or NULL. */
bool copy_rows_add(struct copy_rows *rows, const duckdb_vector *vectors, const uint64_t *record,
    idx_t count, idx_t *row, struct failure *failure);
bool copy_rows_full(const struct copy_rows *rows);
uint64_t copy_rows_count(const struct copy_rows *rows);
/* Lends the rows at hand as a struct array, until copy_rows_clear. */
const struct ArrowArray *copy_rows_array(struct copy_rows *rows);
void copy_rows_clear(struct copy_rows *rows);

#endif
