/* cat.c - rows of a dataset, or of a table, to standard output. */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cat_options {
    const char *rows, *format;
    bool fresh, wide, plain, missing;
    uint64_t first_row, row_count, chunk_memory_bytes; /* the last: 0, as it is by default */
};

/* "A:B", "A:", ":B": rows A to B - 1. */
static bool parse_rows(const char *text, uint64_t *out_first, uint64_t *out_count)
{
    char first[32] = "0";
    uint64_t end = UINT64_MAX;
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof first) return false;
    if (colon > text) snprintf(first, sizeof first, "%.*s", (int)(colon - text), text);
    if (!parse_number(first, out_first)) return false;
    if (colon[1] && !parse_number(colon + 1, &end)) return false;
    if (end < *out_first) return false;
    *out_count = end == UINT64_MAX ? UINT64_MAX : end - *out_first;
    return true;
}

struct source { /* of either kind */
    basalt_hdf5 *file;
    basalt_store *store;
    basalt_snapshot *snapshot;
    const char *path;
    const struct cat_options *options;
};

static basalt_status source_open(struct source *source, const char *file, basalt_error *err)
{
    basalt_store_options options;
    if (!source->options->fresh) {
        basalt_hdf5_options any;
        basalt_hdf5_options_init(&any, sizeof any);
        if (source->options->chunk_memory_bytes) {
            any.chunk_memory_bytes = source->options->chunk_memory_bytes;
        }
        return basalt_hdf5_open_with(file, &any, &source->file, err);
    }
    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_READ_FRESH;
    basalt_status status = basalt_store_open(file, &options, &source->store, err);
    if (!status) status = basalt_snapshot_create(source->store, &source->snapshot, err);
    return status;
}

/* `family` and `column` (NULL: all columns) by their plain names. */
static basalt_status scan_family(struct source *source, const char *family, const char *column,
    struct ArrowArrayStream *out_stream, basalt_error *err)
{
    basalt_scan_options options;
    basalt_scan_options_init(&options, sizeof options);
    options.first_row = source->options->first_row;
    options.row_count = source->options->row_count;
    if (column) {
        options.columns = &column;
        options.column_count = 1;
    }
    return basalt_scan(source->store, source->snapshot, family, &options, out_stream, err);
}

/* The same, by their plain names or as the file has them. NOT_FOUND: neither. */
static basalt_status scan_either(struct source *source, const char *family, const char *column,
    struct ArrowArrayStream *out_stream, basalt_error *err)
{
    char *plain_family = NULL, *plain_column = NULL;
    basalt_status status = scan_family(source, family, column, out_stream, err);
    if (status != BASALT_NOT_FOUND) return status;
    const bool family_too = !basalt_name_unescape(family, &plain_family, NULL);
    const bool column_too = column && !basalt_name_unescape(column, &plain_column, NULL);
    if (family_too) status = scan_family(source, plain_family, column, out_stream, err);
    if (column_too && status == BASALT_NOT_FOUND) {
        status = scan_family(source, family, plain_column, out_stream, err);
    }
    if (family_too && column_too && status == BASALT_NOT_FOUND) {
        status = scan_family(source, plain_family, plain_column, out_stream, err);
    }
    basalt_free(plain_family);
    basalt_free(plain_column);
    return status;
}

/* PATH as a family, then each of its '/' as what is between a family and a column. */
static basalt_status scan_fresh(
    struct source *source, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    basalt_error why = {.status = BASALT_OK};
    const char *path = source->path + (source->path[0] == '/');
    basalt_status status = scan_either(source, path, NULL, out_stream, err);
    if (status != BASALT_NOT_FOUND) return status;
    char *copy = strdup(path);
    if (!copy) return fail(err, BASALT_NO_MEMORY, "no memory for a path");
    for (size_t i = strlen(copy); i-- > 1 && status == BASALT_NOT_FOUND;) {
        if (path[i] != '/' || !path[i + 1]) continue;
        copy[i] = '\0';
        status = scan_either(source, copy, path + i + 1, out_stream, &why);
        copy[i] = '/';
    }
    free(copy);
    if (status && status != BASALT_NOT_FOUND) *err = why;
    return status ? err->status : BASALT_OK;
}

static basalt_status source_scan(
    struct source *source, struct ArrowArrayStream *out_stream, basalt_error *err)
{
    out_stream->release = NULL;
    if (!source->file) return scan_fresh(source, out_stream, err);
    basalt_hdf5_scan_options options;
    basalt_hdf5_scan_options_init(&options, sizeof options);
    options.first_row = source->options->first_row;
    options.row_count = source->options->row_count;
    const char *format = source->options->format;
    options.without_dictionaries = strcmp(format, "arrow") == 0; /* so that `record` takes it */
    options.missing_as_null = source->options->missing;
    /* npy has the dimensions of the dataset, not a row for each element. */
    const bool plain = source->options->plain || strcmp(format, "npy") == 0;
    options.layout = source->options->wide ? BASALT_HDF5_LAYOUT_WIDE
        : plain                            ? BASALT_HDF5_LAYOUT_PLAIN
                                           : BASALT_HDF5_LAYOUT_AUTO;
    return basalt_hdf5_scan_with(source->file, source->path, &options, out_stream, err);
}

static basalt_status source_close(struct source *source, basalt_status status, basalt_error *err)
{
    basalt_hdf5_close(&source->file);
    basalt_snapshot_close(&source->snapshot);
    if (!source->store) return status;
    const basalt_status closed = basalt_store_close(&source->store, status ? NULL : err);
    return status ? status : closed;
}

/* A pass of its own: the header of npy says the rows before the first of them. */
static basalt_status count_rows(struct source *source, uint64_t *out_rows, basalt_error *err)
{
    struct ArrowArrayStream stream;
    *out_rows = 0;
    basalt_status status = source_scan(source, &stream, err);
    while (!status) {
        struct ArrowArray array;
        status = stream_next(&stream, &array, err);
        if (status || !array.release) break;
        *out_rows += (uint64_t)array.length;
        array.release(&array);
    }
    if (stream.release) stream.release(&stream);
    return status;
}

static bool take_shape(void *context, const basalt_hdf5_entry *entry)
{
    struct npy_shape *shape = context;
    if (entry->kind != BASALT_HDF5_DATASET || entry->rank < 2) return true;
    shape->rank = entry->rank - 1;
    memcpy(shape->dims, entry->dims + 1, shape->rank * sizeof shape->dims[0]);
    return true;
}

static basalt_status find_shape(
    struct source *source, struct npy_shape *out_shape, basalt_error *err)
{
    *out_shape = (struct npy_shape){.rank = 0};
    const basalt_status status = count_rows(source, &out_shape->rows, err);
    if (status || !source->file || source->options->wide) return status;
    return basalt_hdf5_walk(source->file, source->path, 0, take_shape, out_shape, err);
}

static int write_file(void *context, const void *bytes, size_t count)
{
    errno = EIO;
    return fwrite(bytes, 1, count, context) == count ? 0 : errno;
}

static basalt_status write_rows(struct source *source, FILE *out, basalt_error *err)
{
    struct ArrowArrayStream stream;
    const char *format = source->options->format;
    struct npy_shape shape;
    basalt_status status = BASALT_OK;
    if (strcmp(format, "npy") == 0) status = find_shape(source, &shape, err);
    if (!status) status = source_scan(source, &stream, err);
    if (status) return status;
    if (strcmp(format, "arrow") == 0) return basalt_ipc_write(&stream, write_file, out, err);
    if (strcmp(format, "npy") == 0) {
        status = write_npy(&stream, &shape, out, err);
    } else if (strcmp(format, "json") == 0) {
        status = write_json(&stream, out, err);
    } else {
        status = write_csv(&stream, out, err);
    }
    stream.release(&stream);
    return status;
}

/* What a file does not have, its log may. */
static void hint_at_log(const char *file, basalt_error *error)
{
    basalt_inspection found;
    if (basalt_inspect(file, &found, NULL) || !found.is_basalt || !found.log_files) return;
    const size_t length = strlen(error->message);
    snprintf(error->message + length, sizeof error->message - length,
        " in the last checkpoint; a log lies beside the file: --fresh reads that too");
}

static int check_options(const struct command *command, struct cat_options *options)
{
    static const char *const formats[] = {"csv", "json", "arrow", "npy"};
    bool known = false;
    for (size_t i = 0; i < 4; i++) known |= strcmp(options->format, formats[i]) == 0;
    if (!known) return usage_error(command, "there is no format \"%.120s\"", options->format);
    if (options->rows && !parse_rows(options->rows, &options->first_row, &options->row_count)) {
        return usage_error(
            command, "--rows takes A:B, A: or :B with A <= B, not \"%.120s\"", options->rows);
    }
    const bool binary = options->format[0] == 'a' || options->format[0] == 'n';
    if (binary && isatty(STDOUT_FILENO)) {
        return usage_error(command,
            "%s is binary and this is a terminal: send it to a file or a pipe", options->format);
    }
    return EXIT_FINE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct cat_options options = {.format = "csv", .row_count = UINT64_MAX};
    bool json = false;
    const struct option list[] = {{"--rows", OPTION_TEXT, &options.rows},
        {"--format", OPTION_TEXT, &options.format}, {"--fresh", OPTION_FLAG, &options.fresh},
        {"--wide", OPTION_FLAG, &options.wide}, {"--plain", OPTION_FLAG, &options.plain},
        {"--missing", OPTION_FLAG, &options.missing}, {"--json", OPTION_FLAG, &json},
        {"--chunk-memory", OPTION_MEBIBYTES, &options.chunk_memory_bytes}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, list, 8, 2, 2, &arguments, &leave)) return leave;
    if (json) options.format = "json";
    leave = check_options(command, &options);
    if (leave) return leave;

    basalt_error error = {.status = BASALT_OK};
    struct source source = {.path = arguments.values[1], .options = &options};
    basalt_status status = source_open(&source, arguments.values[0], &error);
    if (!status) status = write_rows(&source, stdout, &error);
    status = source_close(&source, status, &error);
    if (status == BASALT_NOT_FOUND && !options.fresh) hint_at_log(arguments.values[0], &error);
    return finish_output(status ? report_file(arguments.values[0], &error) : EXIT_FINE);
}

const struct command cat_command = {"cat", "print the rows of a dataset or a table",
    "usage: basalt cat FILE PATH [--rows A:B] [--format csv|json|arrow|npy]\n"
    "                  [--wide | --plain] [--missing] [--fresh] [--chunk-memory MIB]\n\n"
    "Prints rows of a dataset, or of a group that is a table (of Basalt, AnnData, pandas; a sparse\n"
    "matrix; datasets of one length), of any HDF5 file. PATH is as ls prints it,\n"
    "or made of the plain names that stat prints: a family \"a/b\" is a/b or /a%2Fb.\n\n"
    "  --rows A:B     rows A to B - 1, from 0; A: and :B leave one end open\n"
    "  --format F     csv (default; RFC 4180: lines end in CR LF; a null is an empty cell, which alone in\n"
    "                 its row is an empty line; an empty text or binary is \"\"),\n"
    "                 json (an array of rows), arrow (an IPC stream),\n"
    "                 npy (columns of fixed width; several are a structured array)\n"
    "                 json and npy: of columns with one name the second is called NAME_1, the next NAME_2\n"
    "                 (a number that would give a name twice is left out). json: what is not UTF-8 is\n"
    "                 U+FFFD; NaN and the infinities are texts. npy: with some hundred columns the header\n"
    "                 is over 10,000 bytes, and np.load needs max_header_size=N to take it\n"
    "  --json         the same as --format json\n"
    "  --wide         a dataset of two dimensions with a column for each index of the second\n"
    "  --plain        a netCDF variable as the dataset that it is, not a row with coordinates an element\n"
    "  --missing      what _FillValue and missing_value name is null\n"
    "  --fresh        of a Basalt file: also the rows that are in the log and not in the file yet\n"
    "  --chunk-memory MIB  what one chunk may take beside 4 times the file (default 32): more is for\n"
    "                 files you trust, since a few KB can hold a chunk of GiBs that are all alike\n\n"
    "example: basalt cat session.h5 /memory --rows 0:10 --format csv\n",
    run};
