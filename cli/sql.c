/* sql.c - SQL over HDF5 files, by DuckDB. */
#include "command.h"

/* Without DuckDB's header the command is there, and says why it can do nothing. */
#ifdef BASALT_WITH_DUCKDB
#include "sql.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SQL_BYTES_MAX ((size_t)64 << 20)

/* Creates *out_sql, to be freed. */
static basalt_status read_sql(const char *path, char **out_sql, struct sql_failure *failure)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *in = standard ? stdin : fopen(path, "r");
    size_t count = 0, capacity = 4096;
    basalt_status status = BASALT_OK;
    if (!in) return sql_fail(failure, BASALT_NOT_FOUND, "%s: %s", path, strerror(errno));
    char *text = malloc(capacity);
    while (text && !status) {
        const size_t got = fread(text + count, 1, capacity - count - 1, in);
        count += got;
        if (!got) break;
        if (count > SQL_BYTES_MAX) {
            status = sql_fail(
                failure, BASALT_TOO_LARGE, "%s: SQL of more than %zu bytes", path, SQL_BYTES_MAX);
        } else if (capacity - count < 4096) {
            char *larger = realloc(text, capacity *= 2);
            if (!larger) free(text);
            text = larger;
        }
    }
    if (!text) status = sql_fail(failure, BASALT_NO_MEMORY, "no memory for the SQL");
    if (!status && ferror(in)) {
        status = sql_fail(failure, BASALT_IO_ERROR, "%s: %s", path, strerror(errno));
    }
    if (!status && memchr(text, '\0', count)) {
        status = sql_fail(failure, BASALT_BAD_ARGUMENT, "%s: SQL with a NUL byte in it", path);
    }
    if (!standard) fclose(in);
    if (status) {
        free(text);
        return status;
    }
    text[count] = '\0';
    *out_sql = text;
    return BASALT_OK;
}

/* Nobody listens any more when the failure has no text: `basalt sql ... | head`. */
static int leave(const struct sql_failure *failure)
{
    if (failure->text && !*failure->text) return EXIT_BASALT + (int)failure->status;
    fflush(stdout);
    const char *text = failure->text ? failure->text : basalt_status_name(failure->status);
    fprintf(stderr, "basalt: %s\n", text);
    return EXIT_BASALT + (int)failure->status;
}

static int run_session(
    const struct sql_options *options, const char *sql, const struct arguments *files, size_t first)
{
    struct sql_session session;
    basalt_status status = session_open(&session, options);
    if (!status) {
        status = session_attach(&session, files->values + first, (size_t)files->count - first);
    }
    if (!status) status = session_run(&session, sql);
    if (!status && fflush(stdout) != 0) status = session_check(&session);
    watch_stop(&session.watch);
    const int code = status ? leave(&session.failure) : EXIT_FINE;
    session_close(&session);
    return code;
}

static int take_format(
    const struct command *command, const char *format, enum sql_format *out_format)
{
    static const char *const formats[] = {"box", "csv", "json", "arrow"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(format, formats[i])) continue;
        *out_format = (enum sql_format)i;
        if (*out_format != SQL_ARROW || !isatty(STDOUT_FILENO)) return EXIT_FINE;
        return usage_error(
            command, "arrow is binary and this is a terminal: send it to a file or a pipe");
    }
    return usage_error(command, "there is no format \"%.120s\"", format);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct sql_options options = {.rows_shown = 40};
    const char *format = "box", *file = NULL;
    const struct option list[] = {{"--format", OPTION_TEXT, &format},
        {"--file", OPTION_TEXT, &file}, {"--duckdb", OPTION_TEXT, &options.library},
        {"--extension", OPTION_TEXT, &options.extension},
        {"--rows", OPTION_NUMBER, &options.rows_shown}, {"--width", OPTION_NUMBER, &options.width},
        {"--quiet", OPTION_FLAG, &options.quiet}};
    struct arguments arguments;
    int code = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, list, 7, 0, ARGUMENTS_MAX, &arguments, &code)) {
        return code;
    }
    if (!file && !arguments.count) return usage_error(command, "an argument is missing: the SQL");
    code = take_format(command, format, &options.format);
    if (code) return code;
    if (!options.rows_shown) options.rows_shown = 1;

    struct sql_failure failure = {BASALT_OK, NULL};
    char *read = NULL;
    const char *source = file ? file : strcmp(arguments.values[0], "-") == 0 ? "-" : NULL;
    if (source && read_sql(source, &read, &failure)) {
        code = leave(&failure);
    } else {
        code = run_session(&options, read ? read : arguments.values[0], &arguments, file ? 0 : 1);
    }
    free(failure.text);
    free(read);
    return code;
}

#else

static int run(const struct command *command, int argc, char **argv)
{
    struct arguments arguments;
    int code = EXIT_FINE;
    if (argc == 1 && argv[0][0] == '-') { /* --help */
        if (!parse_arguments(command, argc, argv, NULL, 0, 0, 1, &arguments, &code)) return code;
    }
    return report_sentence(EXIT_BASALT + BASALT_UNSUPPORTED,
        "this basalt was built without sql, since DuckDB's C header was not there: `tools/setup "
        "test` fetches it, then build again");
}
#endif

const struct command sql_command = {"sql", "run SQL over HDF5 files, by DuckDB",
    "usage: basalt sql SQL [FILE...] [--format box|csv|json|arrow] [--rows N] [--width N] [--quiet]\n"
    "       basalt sql - [FILE...] < SQL\n"
    "       basalt sql --file SQL-FILE [FILE...]\n\n"
    "Runs DuckDB, in memory, with Basalt's extension: every function of docs/duckdb.md, and files by\n"
    "name: FROM 'x.h5'. Of each FILE the tables are views in a schema called as the file is, without\n"
    "its ending (run.1.h5: run_1; of an AnnData file: obs, var, X, X_long ...). Of one FILE they need\n"
    "no schema: FROM obs. Several statements are parted by ';', and each result is printed. Of data\n"
    "that another program writes at the time, a query sees the last checkpoint.\n\n"
    "  --format F     box (default): a table of lines; csv (RFC 4180, a null is an empty cell);\n"
    "                 json (an array of rows; NaN and the infinities are texts);\n"
    "                 arrow (an IPC stream, of the last statement)\n"
    "  --rows N       box: how many rows are shown at most, the first and the last ones (40)\n"
    "  --width N      box: columns of the terminal (its own; 80 where there is none)\n"
    "  --quiet        no progress on the terminal\n"
    "  --duckdb PATH  libduckdb, 1.3 or newer (else BASALT_DUCKDB_LIBRARY, where the system's\n"
    "                 libraries are, beside the command)\n"
    "  --extension PATH  basalt.duckdb_extension (else BASALT_DUCKDB_EXTENSION, beside the command,\n"
    "                 where make install put it)\n\n"
    "Ctrl-C ends the query (exit code 22). DuckDB's errors: 13, unless docs/errors.md has a better.\n\n"
    "example: basalt sql \"SELECT cluster, count(*) FROM obs GROUP BY ALL\" atlas.h5ad\n",
    run};
