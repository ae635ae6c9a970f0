/* sql_session.c - a database in memory with the extension in it, and the statements that it runs. */
#include "sql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- opening --------------------------------------------------------------------------------- */

static basalt_status open_database(struct sql_session *session)
{
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_config config = NULL;
    char *why = NULL;
    if (duckdb->create_config(&config) != DuckDBSuccess) {
        return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for DuckDB's settings");
    }
    bool fine = duckdb->set_config(config, "allow_unsigned_extensions", "true") == DuckDBSuccess &&
        duckdb->open_ext(NULL, &session->database, config, &why) == DuckDBSuccess;
    duckdb->destroy_config(&config);
    fine = fine && duckdb->connect(session->database, &session->query) == DuckDBSuccess &&
        duckdb->connect(session->database, &session->casts) == DuckDBSuccess;
    const basalt_status status = fine ? BASALT_OK : sql_fail_duckdb(&session->failure, why);
    if (why) duckdb->free(why);
    return status;
}

void put_quoted(FILE *out, const char *text, char quote)
{
    fputc(quote, out);
    for (; *text; text++) {
        if (*text == quote) fputc(quote, out);
        fputc(*text, out);
    }
    fputc(quote, out);
}

static basalt_status load_extension(struct sql_session *session)
{
    char *path = NULL, *sql = NULL;
    size_t count = 0;
    basalt_status status = extension_find(&path, session->options->extension, &session->failure);
    FILE *out = status ? NULL : open_memstream(&sql, &count);
    if (out) {
        fputs("LOAD ", out);
        put_quoted(out, path, '\'');
        if (fclose(out) == 0) status = session_query(session, sql, NULL, NULL);
    }
    if (!status && !sql) status = sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory");
    free(path);
    free(sql);
    return status;
}

basalt_status session_open(struct sql_session *session, const struct sql_options *options)
{
    memset(session, 0, sizeof *session);
    session->options = options;
    basalt_status status = duckdb_load(&session->duckdb, options->library, &session->failure);
    if (status) return status;
    struct sql_watch *watch = &session->watch;
    watch->duckdb = &session->duckdb;
    watch->shows_progress = !options->quiet && isatty(STDERR_FILENO) &&
        (options->format == SQL_BOX || !isatty(STDOUT_FILENO));
    watch_hold(watch);
    status = open_database(session);
    if (status) return status;
    watch->connections[0] = session->query;
    watch->connections[1] = session->casts;
    status = watch_start(watch, &session->failure);
    if (!status && watch->shows_progress) {
        status = session_query(session, "SET enable_progress_bar = true", NULL, NULL);
        if (!status) {
            status = session_query(session, "SET enable_progress_bar_print = false", NULL, NULL);
        }
    }
    if (!status) status = text_register(session);
    return status ? status : load_extension(session);
}

void session_close(struct sql_session *session)
{
    const struct duckdb *duckdb = &session->duckdb;
    watch_stop(&session->watch);
    if (session->casts) duckdb->disconnect(&session->casts);
    if (session->query) duckdb->disconnect(&session->query);
    if (session->database) duckdb->close(&session->database);
    free(session->failure.text);
    session->failure.text = NULL;
}

/* ---- queries of the command's own ------------------------------------------------------------ */

static basalt_status visit_texts(
    struct sql_session *session, duckdb_data_chunk chunk, sql_visit_text_fn visit, void *context)
{
    const struct duckdb *duckdb = &session->duckdb;
    const uint64_t rows = duckdb->data_chunk_get_size(chunk);
    duckdb_vector vector = duckdb->data_chunk_get_vector(chunk, 0);
    basalt_status status = BASALT_OK;
    for (uint64_t row = 0; row < rows && !status; row++) {
        size_t count = 0;
        const char *text = vector_text(duckdb, vector, row, &count);
        status = visit(session, context, text, count);
    }
    return status;
}

basalt_status session_query(
    struct sql_session *session, const char *sql, sql_visit_text_fn visit, void *context)
{
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_result result;
    basalt_status status = BASALT_OK;
    if (duckdb->query(session->query, sql, &result) != DuckDBSuccess) {
        status = sql_fail_duckdb(&session->failure, duckdb->result_error(&result));
    }
    while (!status && visit) {
        duckdb_data_chunk chunk = duckdb->fetch_chunk(result);
        if (!chunk) break;
        status = visit_texts(session, chunk, visit, context);
        duckdb->destroy_data_chunk(&chunk);
    }
    duckdb->destroy_result(&result);
    return status;
}

/* ---- results --------------------------------------------------------------------------------- */

basalt_status session_check(struct sql_session *session)
{
    if (atomic_load(&session->watch.interrupted)) {
        return sql_fail(&session->failure, BASALT_CANCELLED, "interrupted");
    }
    if (!ferror(stdout)) return BASALT_OK;
    basalt_error error;
    const basalt_status status = fail_write(&error);
    return sql_fail(&session->failure, status, "%s", errno == EPIPE ? "" : error.message);
}

basalt_status result_next(
    struct sql_session *session, struct sql_result *result, duckdb_data_chunk *out_chunk)
{
    const struct duckdb *duckdb = &session->duckdb;
    *out_chunk = result->ended ? NULL : duckdb->fetch_chunk(result->result);
    if (!*out_chunk) {
        if (result->ended) return BASALT_OK;
        result->ended = true; /* DuckDB may call a further fetch an error */
        const char *why = duckdb->result_error(&result->result);
        return why && *why ? sql_fail_duckdb(&session->failure, why) : BASALT_OK;
    }
    const basalt_status status = session_check(session);
    if (status) duckdb->destroy_data_chunk(out_chunk);
    return status;
}

static void result_clear(const struct duckdb *duckdb, struct sql_result *result)
{
    for (size_t i = 0; result->types && i < result->column_count; i++) {
        if (result->types[i]) duckdb->destroy_logical_type(&result->types[i]);
    }
    free(result->types);
    free(result->names);
    duckdb->destroy_result(&result->result);
}

static basalt_status describe(struct sql_session *session, struct sql_result *result)
{
    const struct duckdb *duckdb = &session->duckdb;
    result->column_count = duckdb->column_count(&result->result);
    result->names = calloc(result->column_count + 1, sizeof *result->names);
    result->types = calloc(result->column_count + 1, sizeof *result->types);
    if (!result->names || !result->types) {
        return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for the columns");
    }
    for (size_t i = 0; i < result->column_count; i++) {
        result->names[i] = duckdb->column_name(&result->result, i);
        result->types[i] = duckdb->column_logical_type(&result->result, i);
    }
    return BASALT_OK;
}

/* What gives no rows to be shown is run to its end all the same. */
static basalt_status drain(struct sql_session *session, struct sql_result *result)
{
    for (;;) {
        duckdb_data_chunk chunk = NULL;
        const basalt_status status = result_next(session, result, &chunk);
        if (status || !chunk) return status;
        session->duckdb.destroy_data_chunk(&chunk);
    }
}

static basalt_status print_result(struct sql_session *session, struct sql_result *result, bool last)
{
    basalt_status status = describe(session, result);
    if (status) return status;
    switch (session->options->format) {
    case SQL_CSV: return print_csv(session, result);
    case SQL_JSON: return print_json(session, result);
    case SQL_ARROW:
        if (last) return print_arrow(session, result);
        return sql_fail(&session->failure, BASALT_UNSUPPORTED,
            "an Arrow stream holds one result, and a statement before the last one gives rows");
    default: return print_box(session, result);
    }
}

/* ---- statements ------------------------------------------------------------------------------ */

static basalt_status copy_time_zone(
    struct sql_session *session, void *context, const char *text, size_t count)
{
    (void)context;
    char sql[200];
    duckdb_result result;
    if (!text || count > 100 || memchr(text, '\'', count)) return BASALT_OK;
    snprintf(sql, sizeof sql, "SET TimeZone = '%.*s'", (int)count, text);
    session->duckdb.query(session->casts, sql, &result);
    session->duckdb.destroy_result(&result);
    return BASALT_OK;
}

/* Results are turned into text by another connection, which has settings of its own: of those only the
 * time zone shows. Without DuckDB's icu there is none. */
static void follow_settings(struct sql_session *session)
{
    struct sql_failure kept = session->failure;
    const char *sql = "SELECT current_setting('TimeZone')";
    session->failure = (struct sql_failure){BASALT_OK, NULL};
    if (session_query(session, sql, copy_time_zone, NULL)) free(session->failure.text);
    session->failure = kept;
}

basalt_status sql_execute(
    struct sql_session *session, duckdb_prepared_statement prepared, duckdb_result *out_result)
{
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_pending_result pending = NULL;
    basalt_status status = BASALT_OK;
    memset(out_result, 0, sizeof *out_result);
    if (duckdb->pending_prepared_streaming(prepared, &pending) != DuckDBSuccess) {
        status = sql_fail_duckdb(&session->failure, duckdb->pending_error(pending));
    } else if (duckdb->execute_pending(pending, out_result) != DuckDBSuccess) {
        status = sql_fail_duckdb(&session->failure, duckdb->result_error(out_result));
    }
    duckdb->destroy_pending(&pending);
    return status;
}

static basalt_status run_prepared(
    struct sql_session *session, duckdb_prepared_statement prepared, bool last)
{
    const struct duckdb *duckdb = &session->duckdb;
    const duckdb_statement_type type = duckdb->prepared_statement_type(prepared);
    struct sql_result result = {.explains = type == DUCKDB_STATEMENT_TYPE_EXPLAIN};
    watch_query(&session->watch, true);
    basalt_status status = sql_execute(session, prepared, &result.result);
    if (!status) {
        const bool rows =
            duckdb->result_return_type(result.result) == DUCKDB_RESULT_TYPE_QUERY_RESULT;
        status = rows ? print_result(session, &result, last) : drain(session, &result);
    }
    watch_query(&session->watch, false);
    result_clear(duckdb, &result);
    const bool settings = type == DUCKDB_STATEMENT_TYPE_SET ||
        type == DUCKDB_STATEMENT_TYPE_VARIABLE_SET || type == DUCKDB_STATEMENT_TYPE_PRAGMA;
    if (!status && settings) follow_settings(session);
    return status;
}

static basalt_status run_statement(
    struct sql_session *session, duckdb_extracted_statements statements, idx_t index, bool last)
{
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_prepared_statement prepared = NULL;
    basalt_status status = session_check(session);
    if (status) return status;
    if (duckdb->prepare_extracted_statement(session->query, statements, index, &prepared) !=
        DuckDBSuccess) {
        status = sql_fail_duckdb(&session->failure, duckdb->prepare_error(prepared));
    } else {
        status = run_prepared(session, prepared, last);
    }
    duckdb->destroy_prepare(&prepared);
    return status;
}

basalt_status session_run(struct sql_session *session, const char *sql)
{
    const struct duckdb *duckdb = &session->duckdb;
    duckdb_extracted_statements statements = NULL;
    basalt_status status = BASALT_OK;
    const idx_t count = duckdb->extract_statements(session->query, sql, &statements);
    const char *why = count ? NULL : duckdb->extract_statements_error(statements);
    if (why) {
        status = sql_fail_duckdb(&session->failure, why);
    } else if (!count) {
        status =
            sql_fail(&session->failure, BASALT_BAD_ARGUMENT, "there is no statement in the SQL");
    }
    for (idx_t i = 0; i < count && !status; i++) {
        status = run_statement(session, statements, i, i + 1 == count);
    }
    duckdb->destroy_extracted(&statements);
    return status;
}
