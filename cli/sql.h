/* sql.h - what the files of `basalt sql` share: DuckDB, a session with it, what a query gives. */
#ifndef BASALT_CLI_SQL_H
#define BASALT_CLI_SQL_H

#include "command.h"

#include <duckdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

/* ---- DuckDB (sql_library.c) ------------------------------------------------------------------ */

#define DUCKDB_FUNCTIONS(X)                                                                        \
    X(open_ext)                                                                                    \
    X(close)                                                                                       \
    X(connect)                                                                                     \
    X(disconnect)                                                                                  \
    X(interrupt)                                                                                   \
    X(query_progress)                                                                              \
    X(create_config)                                                                               \
    X(set_config)                                                                                  \
    X(destroy_config)                                                                              \
    X(free)                                                                                        \
    X(query)                                                                                       \
    X(extract_statements)                                                                          \
    X(extract_statements_error)                                                                    \
    X(prepare_extracted_statement)                                                                 \
    X(destroy_extracted)                                                                           \
    X(prepare)                                                                                     \
    X(prepare_error)                                                                               \
    X(destroy_prepare)                                                                             \
    X(prepared_statement_type)                                                                     \
    X(pending_prepared_streaming)                                                                  \
    X(pending_error)                                                                               \
    X(execute_pending)                                                                             \
    X(destroy_pending)                                                                             \
    X(fetch_chunk)                                                                                 \
    X(result_error)                                                                                \
    X(destroy_result)                                                                              \
    X(result_return_type)                                                                          \
    X(column_count)                                                                                \
    X(column_name)                                                                                 \
    X(column_logical_type)                                                                         \
    X(create_logical_type)                                                                         \
    X(destroy_logical_type)                                                                        \
    X(get_type_id)                                                                                 \
    X(logical_type_get_alias)                                                                      \
    X(list_type_child_type)                                                                        \
    X(array_type_child_type)                                                                       \
    X(map_type_value_type)                                                                         \
    X(struct_type_child_count)                                                                     \
    X(struct_type_child_name)                                                                      \
    X(struct_type_child_type)                                                                      \
    X(union_type_member_count)                                                                     \
    X(union_type_member_name)                                                                      \
    X(union_type_member_type)                                                                      \
    X(create_table_function)                                                                       \
    X(table_function_set_name)                                                                     \
    X(table_function_set_extra_info)                                                               \
    X(table_function_set_bind)                                                                     \
    X(table_function_set_init)                                                                     \
    X(table_function_set_function)                                                                 \
    X(register_table_function)                                                                     \
    X(destroy_table_function)                                                                      \
    X(bind_add_result_column)                                                                      \
    X(bind_get_extra_info)                                                                         \
    X(bind_set_error)                                                                              \
    X(init_get_extra_info)                                                                         \
    X(function_get_extra_info)                                                                     \
    X(init_set_max_threads)                                                                        \
    X(data_chunk_get_size)                                                                         \
    X(data_chunk_set_size)                                                                         \
    X(data_chunk_get_vector)                                                                       \
    X(destroy_data_chunk)                                                                          \
    X(vector_get_data)                                                                             \
    X(vector_get_validity)                                                                         \
    X(vector_reference_vector)                                                                     \
    X(list_vector_get_child)                                                                       \
    X(struct_vector_get_child)

/* Of DuckDB 1.4 and newer: NULL in an older one. */
#define DUCKDB_ARROW_FUNCTIONS(X)                                                                  \
    X(result_get_arrow_options)                                                                    \
    X(destroy_arrow_options)                                                                       \
    X(to_arrow_schema)                                                                             \
    X(data_chunk_to_arrow)                                                                         \
    X(error_data_has_error)                                                                        \
    X(error_data_message)                                                                          \
    X(destroy_error_data)

#define DUCKDB_FIELD(name) __typeof__(duckdb_##name) *name;
struct duckdb { /* the functions of libduckdb */
    DUCKDB_FUNCTIONS(DUCKDB_FIELD)
    DUCKDB_ARROW_FUNCTIONS(DUCKDB_FIELD)
};
#undef DUCKDB_FIELD

/* What went wrong, whole: what DuckDB says is longer than a basalt_error. */
struct sql_failure {
    basalt_status status;
    char *text; /* NULL: none, or no memory for it */
};

/* `path` may be NULL: the environment's, else where libraries are. Never closed again. */
basalt_status duckdb_load(struct duckdb *out_duckdb, const char *path, struct sql_failure *failure);
/* Creates *out_path, to be freed: `path`, or the environment's, or the one beside the command. */
basalt_status extension_find(char **out_path, const char *path, struct sql_failure *failure);

/* The first failure stays. */
basalt_status sql_fail(struct sql_failure *failure, basalt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What DuckDB says: its first words give the status. NULL: it says nothing. */
basalt_status sql_fail_duckdb(struct sql_failure *failure, const char *message);

/* ---- signals and progress (sql_watch.c) ------------------------------------------------------ */

/* A thread that waits for SIGINT, SIGTERM and SIGHUP, which the others hold: it interrupts both
 * connections until the command ends, and at the second signal ends it there and then. It also says
 * on a terminal how far a query is. */
struct sql_watch {
    const struct duckdb *duckdb;
    duckdb_connection connections[2]; /* the first one's progress is shown */
    sigset_t signals;
    pthread_t thread;
    bool started, shows_progress;
    atomic_bool stopping, interrupted;
    pthread_mutex_t terminal; /* guards what follows, and the line on the terminal */
    uint64_t query_ns;        /* when it began; 0: none runs */
    bool shown;
};

/* Before the database is opened, so that DuckDB's threads hold the signals too. */
void watch_hold(struct sql_watch *watch);
basalt_status watch_start(struct sql_watch *watch, struct sql_failure *failure);
void watch_query(struct sql_watch *watch, bool runs); /* false: its line is wiped away */
void watch_stop(struct sql_watch *watch);

/* ---- a session (sql_session.c) --------------------------------------------------------------- */

enum sql_format { SQL_BOX, SQL_CSV, SQL_JSON, SQL_ARROW };

struct sql_options {
    enum sql_format format;
    const char *library, *extension;
    uint64_t rows_shown, width; /* width 0: the terminal's */
    bool quiet;
};

struct sql_text; /* sql_text.c */

struct sql_session {
    struct duckdb duckdb;
    const struct sql_options *options;
    struct sql_failure failure;
    duckdb_database database;
    duckdb_connection query; /* of the user's statements */
    duckdb_connection casts; /* of the queries that turn their results into text */
    struct sql_watch watch;
    struct sql_text *text; /* what those queries read; NULL: nothing */
};

basalt_status session_open(struct sql_session *session, const struct sql_options *options);
void session_close(struct sql_session *session);
void put_quoted(FILE *out, const char *text, char quote); /* as SQL has it */
/* `visit` (may be NULL) gets the texts of the first column, none of them NULL. */
typedef basalt_status (*sql_visit_text_fn)(
    struct sql_session *session, void *context, const char *text, size_t count);
basalt_status session_query(
    struct sql_session *session, const char *sql, sql_visit_text_fn visit, void *context);
/* Creates *out_result, to be destroyed also after a failure. */
basalt_status sql_execute(
    struct sql_session *session, duckdb_prepared_statement prepared, duckdb_result *out_result);
/* All statements of `sql`, one after the other, each with its result. */
basalt_status session_run(struct sql_session *session, const char *sql);
/* A schema with views for each file; that of a single one comes first when a name is looked up. */
basalt_status session_attach(
    struct sql_session *session, const char *const *files, size_t count); /* sql_files.c */

/* ---- a result -------------------------------------------------------------------------------- */

struct sql_result {
    duckdb_result result;
    size_t column_count;
    const char **names; /* lent by `result` */
    duckdb_logical_type *types;
    bool explains; /* EXPLAIN: texts of several lines */
    bool ended;    /* there is no chunk left */
};

/* *out_chunk is NULL at the end. The caller destroys it. */
basalt_status result_next(
    struct sql_session *session, struct sql_result *result, duckdb_data_chunk *out_chunk);
basalt_status print_box(struct sql_session *session, struct sql_result *result);
basalt_status print_csv(struct sql_session *session, struct sql_result *result);
basalt_status print_json(struct sql_session *session, struct sql_result *result);
basalt_status print_arrow(struct sql_session *session, struct sql_result *result);
/* CANCELLED once a signal has come, IO_ERROR when standard output takes no more. */
basalt_status session_check(struct sql_session *session);

/* ---- values as text (sql_text.c) ------------------------------------------------------------- */

/* How a value is written in JSON. DuckDB casts it: the leaves of lists, structs, maps and unions are
 * texts then, NULL or not. */
enum text_kind {
    SHAPE_TEXT,
    SHAPE_NUMBER,
    SHAPE_RAW,
    SHAPE_LIST,
    SHAPE_STRUCT,
    SHAPE_MAP,
    SHAPE_UNION
};
struct text_shape {
    enum text_kind kind;
    size_t count;
    struct text_shape *children;
    char **names; /* of a struct or a union */
};

/* Once a session: the function that hands results out to be cast. */
basalt_status text_register(struct sql_session *session);
/* Begins with the result's types. `nested`: shapes of JSON, else every value is one text. Creates
 * session->text. */
basalt_status text_begin(struct sql_session *session, const struct sql_result *result, bool nested);
void text_end(struct sql_session *session); /* NULL is fine */
/* All rows of `count` chunks of the result: `visit` gets chunks whose columns are texts, in order. */
typedef basalt_status (*text_visit_fn)(
    struct sql_session *session, void *context, duckdb_data_chunk texts);
basalt_status text_of(struct sql_session *session, const duckdb_data_chunk *chunks, size_t count,
    text_visit_fn visit, void *context);
/* Of those rows, counted from 0, the ones before `head_end` and those from `tail_begin` on. */
basalt_status text_of_edges(struct sql_session *session, const duckdb_data_chunk *chunks,
    size_t count, uint64_t head_end, uint64_t tail_begin, text_visit_fn visit, void *context);
/* The names of the columns' types, as DuckDB has them, and one more: `visit` gets one a row. */
basalt_status text_types(struct sql_session *session, text_visit_fn visit, void *context);
const struct text_shape *text_shapes(const struct sql_session *session);

bool type_is_number(duckdb_type id); /* BOOLEAN is none */
bool vector_is_null(const struct duckdb *duckdb, duckdb_vector vector, uint64_t row);
/* Lent by the vector; it does not end with a NUL byte. */
const char *vector_text(
    const struct duckdb *duckdb, duckdb_vector vector, uint64_t row, size_t *out_count);

#endif
