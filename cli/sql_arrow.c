/* sql_arrow.c - a result as an Arrow IPC stream. DuckDB makes the arrays, Basalt the stream. */
#include "sql.h"

#include <errno.h>
#include <string.h>

struct arrow {
    struct sql_session *session;
    struct sql_result *result;
    duckdb_arrow_options options;
};

/* Takes over `problem`, which may be NULL: all is well. */
static basalt_status take_problem(struct sql_session *session, duckdb_error_data problem)
{
    const struct duckdb *duckdb = &session->duckdb;
    basalt_status status = BASALT_OK;
    if (problem && duckdb->error_data_has_error(problem)) {
        status = sql_fail_duckdb(&session->failure, duckdb->error_data_message(problem));
    }
    if (problem) duckdb->destroy_error_data(&problem);
    return status;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct arrow *arrow = stream->private_data;
    struct sql_result *result = arrow->result;
    memset(out, 0, sizeof *out);
    return take_problem(arrow->session,
               arrow->session->duckdb.to_arrow_schema(
                   arrow->options, result->types, result->names, result->column_count, out))
        ? EINVAL
        : 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct arrow *arrow = stream->private_data;
    const struct duckdb *duckdb = &arrow->session->duckdb;
    duckdb_data_chunk chunk = NULL;
    memset(out, 0, sizeof *out);
    if (result_next(arrow->session, arrow->result, &chunk)) return EIO;
    if (!chunk) return 0;
    const basalt_status status =
        take_problem(arrow->session, duckdb->data_chunk_to_arrow(arrow->options, chunk, out));
    duckdb->destroy_data_chunk(&chunk);
    return status ? EIO : 0;
}

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    const struct arrow *arrow = stream->private_data;
    return arrow->session->failure.text;
}

static void release(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

static int write_file(void *context, const void *bytes, size_t count)
{
    errno = EIO;
    return fwrite(bytes, 1, count, context) == count ? 0 : errno;
}

basalt_status print_arrow(struct sql_session *session, struct sql_result *result)
{
    const struct duckdb *duckdb = &session->duckdb;
    if (!duckdb->to_arrow_schema || !duckdb->data_chunk_to_arrow ||
        !duckdb->result_get_arrow_options || !duckdb->error_data_has_error) {
        return sql_fail(&session->failure, BASALT_UNSUPPORTED,
            "--format arrow needs libduckdb 1.4 or newer: this one gives no Arrow arrays");
    }
    struct arrow arrow = {session, result, duckdb->result_get_arrow_options(&result->result)};
    struct ArrowArrayStream stream = {.get_schema = get_schema,
        .get_next = get_next,
        .get_last_error = get_last_error,
        .release = release,
        .private_data = &arrow};
    basalt_error error = {.status = BASALT_OK};
    const basalt_status status = basalt_ipc_write(&stream, write_file, stdout, &error);
    duckdb->destroy_arrow_options(&arrow.options);
    if (!status) return BASALT_OK;
    if (ferror(stdout)) return session_check(session);
    return sql_fail(&session->failure, status, "%s", error.message);
}
