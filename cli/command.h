/* command.h - what the subcommands of `basalt` share. They use the public headers alone. */
#ifndef BASALT_COMMAND_H
#define BASALT_COMMAND_H

#include <basalt/basalt.h>

#include <inttypes.h>
#include <stdio.h>

/* Exit codes, documented in docs/errors.md. A failure of Basalt is EXIT_BASALT + its status. */
enum { EXIT_FINE = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_BASALT = 10 };

struct command {
    const char *name, *summary;
    const char *help; /* usage, options, an example */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0]: first argument */
};

extern const struct command demo_command, record_command, ls_command, cat_command, stat_command,
    verify_command, recover_command, backup_command, copy_command, sql_command;

/* ---- arguments (arguments.c) ----------------------------------------------------------------- */

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_NUMBER, OPTION_MEBIBYTES, OPTION_LIST };
struct option {
    const char *name; /* "--rows" */
    enum option_kind kind;
    void *
        target; /* bool, const char *, uint64_t (MEBIBYTES: bytes), or a list: all that were given */
};

#define ARGUMENTS_MAX 256

/* Of the rest of the line, options are taken out, the others are left, in order. */
struct arguments {
    const char *values[ARGUMENTS_MAX];
    int count;
};

/* False: *out_exit says how to leave, and what is wrong (or --help) has been printed. */
bool parse_arguments(const struct command *command, int argc, char **argv,
    const struct option *options, size_t option_count, int arguments_min, int arguments_max,
    struct arguments *out_arguments, int *out_exit);
int usage_error(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool parse_number(const char *text, uint64_t *out_number);

/* ---- output (output.c) ----------------------------------------------------------------------- */

/* Prints the error's sentence; returns the exit code. */
int report(const basalt_error *error);
/* "SUBJECT: SENTENCE", unless the sentence begins so itself. */
int report_about(const char *subject, const basalt_error *error);
/* The same of a file, unless the sentence names it anywhere. */
int report_file(const char *path, const basalt_error *error);
/* A name for people, on one line: control characters as \n, \t, \x1b. */
void print_shown(FILE *out, const char *text);
int shown_columns(const char *text); /* on the screen: one a code point is near enough */
int report_sentence(int exit_code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What is still buffered goes out; EXIT_BASALT + IO_ERROR if that fails. */
int finish_output(int exit_code);

#define UTF8_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
/* A copy in which every byte that is not UTF-8 is U+FFFD; NULL: no memory. To be freed. */
char *utf8_text(const char *text);
/* The same in quotes, escaped. */
void json_text(FILE *out, const char *text);
void json_bytes(FILE *out, const char *text, size_t count);
/* "12.3 MB"; lends one of 8 buffers of `texts`. */
struct size_texts {
    char text[8][32];
    unsigned next;
};
const char *size_text(struct size_texts *texts, uint64_t bytes);
const char *count_text(struct size_texts *texts, uint64_t count); /* "1,234,567" */
const char *plural(uint64_t count);                               /* "s", but for one */
uint64_t now_ns(void);                                            /* monotonic */

/* A line on standard error, where that is a terminal, from the second second on. */
struct progress {
    const char *what;
    uint64_t started_ns, shown_ns;
};
void progress_begin(struct progress *progress, const char *what);
bool progress_show(
    void *progress, uint64_t done_bytes, uint64_t all_bytes); /* basalt_progress_fn */
void progress_end(struct progress *progress);

/* ---- values of Arrow arrays (values.c) ------------------------------------------------------- */

/* Prints value `row` of a column as JSON, or as the text of a CSV cell. */
void value_json(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row);
void value_csv(
    FILE *out, const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t row);
/* A cell of CSV: quoted where it must be, or where spaces would be lost. */
void csv_cell(FILE *out, const char *text, size_t count);
bool value_is_null(const struct ArrowArray *array, int64_t row);
/* UNSUPPORTED, naming a type in the schema that value_json does not know. */
basalt_status values_check(const struct ArrowSchema *schema, basalt_error *err);

/* ---- formats of `cat` ------------------------------------------------------------------------ */

basalt_status write_csv(struct ArrowArrayStream *stream, FILE *out, basalt_error *err);
basalt_status write_json(struct ArrowArrayStream *stream, FILE *out, basalt_error *err);
/* What the header says first: the rows that the stream will give in all; and of a dataset of several
 * dimensions, whose rows are flat lists in Arrow, the dimensions behind the first. */
struct npy_shape {
    uint64_t rows, dims[BASALT_HDF5_RANK_MAX];
    unsigned rank; /* of `dims`; 0: as the Arrow type says */
};
basalt_status write_npy(
    struct ArrowArrayStream *stream, const struct npy_shape *shape, FILE *out, basalt_error *err);

basalt_status stream_schema(
    struct ArrowArrayStream *stream, struct ArrowSchema *out_schema, basalt_error *err);
/* An array whose release is NULL is the end. */
basalt_status stream_next(
    struct ArrowArrayStream *stream, struct ArrowArray *out_array, basalt_error *err);
basalt_status fail(basalt_error *err, basalt_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
basalt_status fail_write(basalt_error *err); /* errno says why standard output took nothing */

#endif
