/* sql_files.c - the files of the line, each a schema of views.
 *
 * The extension says which statements make the views of a file (hdf5_attach, anndata_attach); they are run
 * here, one by one. */
#include "sql.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- names of schemas ------------------------------------------------------------------------ */

/* What SQL can say without quotes: letters, digits, '_', and all that is not ASCII. To be freed; NULL:
 * no memory. */
static char *schema_name(const char *file)
{
    const char *slash = strrchr(file, '/'), *stem = slash ? slash + 1 : file;
    const char *dot = strrchr(stem, '.');
    const size_t length = dot && dot > stem ? (size_t)(dot - stem) : strlen(stem);
    char *clean = strndup(stem, length), *text = clean ? utf8_text(clean) : NULL, *name = NULL;
    free(clean);
    if (!text) return NULL;
    for (char *at = text; *at; at++) {
        const unsigned char byte = (unsigned char)*at;
        const bool letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (byte < 0x80 && !letter && !(byte >= '0' && byte <= '9')) *at = '_';
    }
    const bool digit = *text >= '0' && *text <= '9';
    if (asprintf(&name, "%s%s", digit ? "_" : "", *text ? text : "file") < 0) name = NULL;
    free(text);
    return name;
}

static bool taken(const char *name, char *const *others, size_t count)
{
    static const char *const own[] = {
        "main", "memory", "system", "temp", "pg_catalog", "information_schema"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcasecmp(name, own[i]) == 0) return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(name, others[i]) == 0) return true;
    }
    return false;
}

/* The second x.h5 is x_1. */
static char *unique_name(const char *file, char *const *others, size_t count)
{
    char *name = schema_name(file), *numbered = NULL;
    for (unsigned number = 1; name && taken(name, others, count); number++) {
        char *stem = schema_name(file);
        if (!stem || asprintf(&numbered, "%s_%u", stem, number) < 0) numbered = NULL;
        free(stem);
        free(name);
        name = numbered;
    }
    return name;
}

/* ---- views ----------------------------------------------------------------------------------- */

struct statements {
    char **list;
    size_t count, capacity;
};

static basalt_status add_statement(
    struct sql_session *session, void *context, const char *text, size_t count)
{
    struct statements *statements = context;
    if (statements->count == statements->capacity) {
        const size_t capacity = statements->capacity ? 2 * statements->capacity : 32;
        char **larger = realloc(statements->list, capacity * sizeof *larger);
        if (!larger) return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for views");
        statements->list = larger;
        statements->capacity = capacity;
    }
    char *copy = strndup(text, count);
    if (!copy) return sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for views");
    statements->list[statements->count++] = copy;
    return BASALT_OK;
}

struct kind {
    bool obs, var;
};

static bool note_frame(void *context, const basalt_hdf5_entry *entry)
{
    struct kind *kind = context;
    kind->obs |= strcmp(entry->path, "/obs") == 0;
    kind->var |= strcmp(entry->path, "/var") == 0;
    return !(kind->obs && kind->var);
}

static basalt_status find_kind(struct sql_session *session, const char *file, struct kind *out_kind)
{
    basalt_error error = {.status = BASALT_OK};
    basalt_hdf5 *opened = NULL;
    *out_kind = (struct kind){false, false};
    basalt_status status = basalt_hdf5_open(file, &opened, &error);
    if (!status) status = basalt_hdf5_walk(opened, "/", 1, note_frame, out_kind, &error);
    basalt_hdf5_close(&opened);
    if (status && strstr(error.message, file)) {
        return sql_fail(&session->failure, status, "%s", error.message);
    }
    return status ? sql_fail(&session->failure, status, "%s: %s", file, error.message) : BASALT_OK;
}

static basalt_status attach_file(struct sql_session *session, const char *file, const char *schema)
{
    struct kind kind;
    struct statements statements = {NULL, 0, 0};
    char *sql = NULL;
    size_t bytes = 0;
    basalt_status status = find_kind(session, file, &kind);
    if (status) return status;
    FILE *out = open_memstream(&sql, &bytes);
    if (out) {
        fprintf(
            out, "SELECT sql FROM %s(", kind.obs && kind.var ? "anndata_attach" : "hdf5_attach");
        put_quoted(out, file, '\'');
        fputs(", ", out);
        put_quoted(out, schema, '\'');
        fputc(')', out);
    }
    if (!out || fclose(out) != 0) {
        status = sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for a statement");
    }
    if (!status) status = session_query(session, sql, add_statement, &statements);
    for (size_t i = 0; i < statements.count; i++) {
        if (!status) status = session_query(session, statements.list[i], NULL, NULL);
        free(statements.list[i]);
    }
    free(statements.list);
    free(sql);
    return status;
}

basalt_status session_attach(struct sql_session *session, const char *const *files, size_t count)
{
    char *names[ARGUMENTS_MAX] = {NULL}, path[1200];
    basalt_status status = BASALT_OK;
    size_t done = 0;
    for (; done < count && !status; done++) {
        names[done] = unique_name(files[done], names, done);
        if (!names[done]) {
            status = sql_fail(&session->failure, BASALT_NO_MEMORY, "no memory for a name");
        } else {
            status = attach_file(session, files[done], names[done]);
        }
    }
    if (!status && count == 1) {
        snprintf(path, sizeof path, "SET search_path = '%.1000s,main'", names[0]);
        status = session_query(session, path, NULL, NULL);
    }
    for (size_t i = 0; i < done; i++) free(names[i]);
    return status;
}
