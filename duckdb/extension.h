/* extension.h - what the files of the DuckDB extension share.
 *
 * The extension is a client of the library: it includes <basalt/...> and nothing of src/. It is written
 * against DuckDB's C API of version 1.2.0, which later versions keep, so that one file serves them all, and
 * uses what 1.5.6 has beyond it where it is there (extension.c).
 *
 * Who frees what: a function that takes `struct failure *` returns false and fills it in; what it was to
 * give is then NULL or empty. DuckDB frees bind data, and the state of a query and of a thread, by the
 * destructors that are handed over with them. */
#ifndef BASALT_DUCKDB_EXTENSION_H
#define BASALT_DUCKDB_EXTENSION_H

#include <basalt/basalt.h>
#include <basalt/hdf5.h>

#include <duckdb_extension.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

DUCKDB_EXTENSION_EXTERN

/* Whether DuckDB has the functions of version 1.5.6 of its C API (copy functions, the client's context and
 * options): they are NULL where not. */
bool host_has_new_functions(void);

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

/* Why something went wrong: one sentence, for the user of SQL. */
struct failure {
    char message[1024];
};
bool fail(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "FILE: SENTENCE" of an error of the library. */
bool fail_file(struct failure *failure, const char *path, const basalt_error *error);
bool fail_memory(struct failure *failure);

char *copy_text(const char *text); /* NULL: no memory */

/* names.c: names that were met before, as DuckDB tells them apart (not by case) or by every byte. Texts are
 * borrowed. */
struct name_set {
    const char **slots;
    size_t capacity, count;
    bool by_case;
};
/* False, with *out_new unset, if there is no memory. */
bool name_set_add(struct name_set *set, const char *name, bool *out_new);
bool name_set_has(const struct name_set *set, const char *name);
void name_set_free(struct name_set *set);
/* Creates "NAME_1", or the first such number that is not in the set. NULL: no memory. */
char *name_numbered(const struct name_set *set, const char *name);

/* ---- files.c: which files a parameter names ------------------------------------------------- */

#define FILES_MAX 100000

struct file_list {
    char **paths;
    size_t count;
};
/* A text, or a list of texts; each a path, or a pattern of *, ?, [] and ** (any folders). */
bool files_of(duckdb_value value, struct file_list *out_files, struct failure *failure);
void files_clear(struct file_list *files);
bool is_file(const char *path);
bool is_pattern(const char *text);

/* ---- memory.c: the host's limits ------------------------------------------------------------- */

/* Bytes that one statement may take here: a quarter of DuckDB's memory_limit; 512 MiB where DuckDB can't be
 * asked for it. `context` may be NULL there. */
uint64_t memory_budget(duckdb_client_context context);
/* The same of a query, and DuckDB's `threads`: as many as there are processors where it can't be asked. */
void memory_of_query(duckdb_bind_info info, uint64_t *out_budget_bytes, uint64_t *out_threads);

/* ---- vector.c: Arrow to DuckDB -------------------------------------------------------------- */

/* DuckDB's word for the type, "STRUCT(a INTEGER, b VARCHAR[])"; the same for columns that can be one. A
 * dictionary is the type of its values. `out` has `out_bytes`. */
bool type_text(
    const struct ArrowSchema *schema, char *out, size_t out_bytes, struct failure *failure);
/* Creates the type; a dictionary is its values'. NULL: `failure` says why not. */
duckdb_logical_type type_make(const struct ArrowSchema *schema, struct failure *failure);

struct values { /* a column of an array, or a part of one */
    const struct ArrowSchema *schema;
    const struct ArrowArray *array;
    size_t enum_count; /* of the ENUM that a dictionary's codes become; 0: they become its values */
    const uint32_t *enum_codes; /* which of the ENUM's they are; NULL: the same */
};
/* Values first, first + step, … into the vector's rows [at, at + count). False: what is there cannot be
 * said in DuckDB's type. */
bool vector_write(const struct values *values, uint64_t first, uint64_t step, idx_t count,
    duckdb_vector out, idx_t at, struct failure *failure);
struct
    clock { /* how times are counted: numbers of so many bytes, * multiply / divide, rounded down */
    size_t width;
    int64_t multiply, divide;
};
/* Arrow's format to microseconds; dates of milliseconds to days. */
struct clock clock_of(const char *format);
bool array_is_valid(const struct ArrowArray *array, uint64_t row);
/* DuckDB numbers the values of an ENUM by the smallest type that does. */
void enum_write(void *out, idx_t row, size_t enum_count, uint64_t code);
/* The code of a row of a column with a dictionary. */
uint64_t array_code(const struct ArrowSchema *schema, const struct ArrowArray *array, uint64_t row);
/* Text `row` of a column of texts. */
const char *array_text(const struct ArrowSchema *schema, const struct ArrowArray *array,
    uint64_t row, size_t *out_bytes);

/* ---- times.c: numbers that count from an epoch, as netCDF's do ------------------------------ */

struct epoch {
    bool known;
    int64_t unit_us, start_us; /* since 1970 */
};
/* Of a column of numbers whose metadata has "units" of "days since 1950-01-01" and the like, in a calendar
 * that DuckDB has; else not known. */
struct epoch epoch_of(const struct ArrowSchema *schema);
bool epoch_write(const struct epoch *epoch, const struct values *values, uint64_t first,
    uint64_t step, idx_t count, duckdb_vector out, struct failure *failure);
/* Microseconds since 1970, as epoch_write gives them; the smallest and largest for what is beyond. */
int64_t epoch_instant(const struct epoch *epoch, double number);
/* The value of `key` in a column's metadata, not NUL-terminated; NULL: there is none. */
const char *metadata_find(const char *metadata, const char *key, size_t *out_bytes);

/* ---- counters.h ------------------------------------------------------------------------------ */

struct scan_counters;

/* ---- scan.c: rows of many files, by many threads -------------------------------------------- */

/* Names for numbers: the rows or columns of a matrix. */
struct labels {
    char **texts; /* each owned */
    size_t count;
    bool unique;
};
void labels_free(struct labels *labels);
/* Sets `unique`; with `number` texts that repeat get "_1", "_2" … and all are unique. */
bool labels_finish(struct labels *labels, bool number, struct failure *failure);

struct scan_part;
/* Where a part's rows come from; the reader is one thread's. */
struct scan_source {
    bool (*open)(const struct scan_part *part, const size_t *columns, size_t column_count,
        void **out_reader, struct failure *failure);
    void (*close)(void *reader); /* NULL is fine */
    uint64_t (*batch_rows)(const void *reader);
    /* BASALT_TOO_LARGE: fewer rows would do. */
    basalt_status (*read)(void *reader, uint64_t first, uint64_t count,
        struct ArrowArray *out_array, basalt_error *err);
    void (*needs)(const void *reader, basalt_hdf5_needs *out_needs);
};
extern const struct scan_source table_source; /* of a basalt_hdf5_table */

enum part_column_kind {
    PART_VALUES, /* a column of the table; as labels if it has some */
    PART_INDEX, /* the same of whole numbers, which count rows or columns: BIGINT, however wide they are */
    PART_MAJOR, /* the row of the table, as its label or number, of an exploded part */
    PART_MINOR  /* which of the row's values it is, likewise */
};
struct part_column {
    enum part_column_kind kind;
    char *name;   /* owned; NULL: not shown */
    size_t table; /* column of the table */
    const struct labels *labels;
};

/* Whether its values, or the numbers of its labels, are in the table; else they count. */
bool part_column_is_read(const struct part_column *column);

struct scan_part { /* one file, open */
    char *path;
    basalt_hdf5 *file;
    basalt_hdf5_table *table;
    struct ArrowSchema schema; /* of the table; of its columns, whatever the source */
    const struct scan_source *source;
    void *context; /* of the source; freed by free_context */
    void (*free_context)(void *context);
    uint64_t rows; /* of the table */
    bool exploded; /* a row of the table is a list of `explode` values, each a row of the result */
    uint64_t explode; /* 1 if it is not */
    size_t column_count;
    struct part_column *columns;
    struct labels major, minor; /* what columns may name */
};

struct scan_request;
typedef bool open_part_fn(
    struct scan_part *part, const struct scan_request *request, struct failure *failure);
struct scan_request {
    struct scan_counters *counters; /* held */
    struct file_list files;
    char *path;        /* in each file */
    char *argument;    /* whatever the function makes of it; or NULL */
    const void *about; /* the same of the function, as scan_function was told; static */
    basalt_hdf5_layout layout;
    basalt_hdf5_units units;
    bool filename, row_number, union_schema, decode_times;
    const char *row_name; /* of the row's number, first, if it is not to be last */
    int64_t start, stop;  /* as Python's; INT64_MAX: the end */
    uint64_t step;
    struct where *where;   /* or NULL: all rows */
    uint64_t budget_bytes; /* of memory, for all threads and what files keep */
    uint64_t threads;      /* that DuckDB has */
    /* Opens part->table (part->file is open) and says what its columns are. */
    open_part_fn *open;
};
void request_free(struct scan_request *request);
/* As read_hdf5 does: request->path, all columns by their names. */
bool open_table(
    struct scan_part *part, const struct scan_request *request, struct failure *failure);
/* part->columns of the part's schema, by its names: they are numbered where they repeat. */
bool name_columns(struct scan_part *part, struct failure *failure);
/* Columns [first, first + labels->count) are called so instead, numbered where they repeat. */
bool rename_columns(
    struct scan_part *part, size_t first, const struct labels *labels, struct failure *failure);
/* The columns of the result, and the bind data. Takes over `request`, made by request_new. */
void scan_bind(duckdb_bind_info info, struct scan_request *request);
/* The parameters that all scans have: files, then request->path and request->argument if there are more;
 * NULL: `info` has been told why. */
struct scan_request *request_new(duckdb_bind_info info);
/* A named parameter; false: `info` has been told why. 0 and NULL if it was not given. */
bool request_word(duckdb_bind_info info, const char *name, const char *const *words, size_t count,
    size_t *out_index);
bool request_text(duckdb_bind_info info, const char *name, char **out_text);
/* Parameter `index`, a text; false: `info` has been told that it is NULL. */
bool request_place(duckdb_bind_info info, idx_t index, char **out_text);

/* A table function of so many texts, the first of them files. */
duckdb_table_function make_function(
    const char *name, unsigned parameters, duckdb_table_function_bind_t bind);
/* The same with the named parameters that all scans have; `bind` begins with request_new and ends in
 * scan_bind. `about`: the request's; or NULL. */
duckdb_table_function scan_function(struct scan_counters *counters, const char *name,
    unsigned parameters, duckdb_table_function_bind_t bind, const void *about);
void add_named_parameter(duckdb_table_function function, const char *name, duckdb_type type);
bool register_and_free(duckdb_connection connection, duckdb_table_function function);

/* ---- the functions, each file its own ------------------------------------------------------- */

bool register_inspect(duckdb_connection connection); /* inspect.c */
bool register_attach(duckdb_connection connection);  /* attach.c */
bool register_anndata_info(duckdb_connection connection);
bool register_copy(duckdb_connection connection);                                 /* copy.c */
bool register_read(duckdb_connection connection, struct scan_counters *counters); /* read_hdf5.c */
bool register_anndata(duckdb_connection connection, struct scan_counters *counters);
bool register_counters(duckdb_connection connection, struct scan_counters *counters);
void register_replacement(duckdb_database database); /* FROM 'x.h5' */

#endif
