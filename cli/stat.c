/* stat.c - families, rows and sizes; who is writing. Of files of other programs: stat_any.c. */
#include "stat_any.h"

#include <stdlib.h>
#include <string.h>

struct family_row {
    char *name;
    char *link; /* in the file */
    uint64_t rows, columns, chunk_rows, stored_bytes;
    int compression_level;
    bool measured; /* stored_bytes is known */
};

struct report_data {
    basalt_inspection found;
    basalt_store_stats stats;
    struct family_row *families;
    size_t count, capacity;
    bool out_of_memory;
};

static bool add_family(void *context, const basalt_family_info *info)
{
    struct report_data *data = context;
    if (data->count == data->capacity) {
        const size_t capacity = data->capacity ? data->capacity * 2 : 64;
        struct family_row *larger = realloc(data->families, capacity * sizeof *larger);
        if (!larger) data->out_of_memory = true;
        if (!larger) return false;
        data->families = larger;
        data->capacity = capacity;
    }
    struct family_row *row = &data->families[data->count];
    *row = (struct family_row){.name = strdup(info->name),
        .rows = info->rows,
        .columns = info->columns,
        .chunk_rows = info->chunk_rows,
        .compression_level = info->compression_level};
    data->out_of_memory = !row->name || basalt_name_escape(info->name, &row->link, NULL);
    if (!data->out_of_memory) data->count++;
    if (data->out_of_memory) free(row->name);
    return !data->out_of_memory;
}

/* Bytes of a dataset to the family whose group holds it: "/NAME/...". */
static bool add_bytes(void *context, const basalt_hdf5_entry *entry)
{
    struct report_data *data = context;
    const char *slash = entry->path[0] == '/' ? strchr(entry->path + 1, '/') : NULL;
    if (!slash) return true;
    const size_t length = (size_t)(slash - entry->path - 1);
    for (size_t i = 0; i < data->count; i++) {
        struct family_row *row = &data->families[i];
        if (strlen(row->link) != length || strncmp(row->link, entry->path + 1, length) != 0)
            continue;
        row->stored_bytes += entry->stored_bytes;
        row->measured = true;
    }
    return true;
}

/* Of the last checkpoint. */
static basalt_status measure(struct report_data *data, const char *path, basalt_error *err)
{
    basalt_hdf5 *file = NULL;
    if (data->count > 1000) return BASALT_OK; /* each walk compares with each family */
    basalt_status status = basalt_hdf5_open(path, &file, err);
    if (!status) status = basalt_hdf5_walk(file, "/", 8, add_bytes, data, err);
    basalt_hdf5_close(&file);
    return status;
}

static basalt_status collect(struct report_data *data, const char *path, basalt_error *err)
{
    basalt_store *store = NULL;
    basalt_store_options options;
    basalt_store_options_init(&options, sizeof options);
    /* Where file and log do not go together, what the file has is told. */
    options.access = data->found.warning[0] ? BASALT_READ_CHECKPOINT : BASALT_READ_FRESH;
    basalt_status status = basalt_store_open(path, &options, &store, err);
    if (status) return status;
    status = basalt_store_get_stats(store, &data->stats, err);
    if (!status) status = basalt_each_family(store, add_family, data, err);
    if (!status && data->out_of_memory)
        status = fail(err, BASALT_NO_MEMORY, "no memory for the list");
    const basalt_status closed = basalt_store_close(&store, status ? NULL : err);
    if (!status) status = closed;
    return status ? status : measure(data, path, err);
}

static const char *state_of(const basalt_inspection *found)
{
    if (found->conflict) return "conflict";
    if (found->writing) return "writing";
    if (found->log_missing) return "log missing";
    return found->crashed ? "crashed" : "closed";
}

static void print_json(const char *path, const struct report_data *data)
{
    const basalt_inspection *found = &data->found;
    const basalt_store_stats *stats = &data->stats;
    fputs("{\"file\":", stdout);
    json_text(stdout, path);
    printf(",\"state\":\"%s\",\"holder\":", state_of(found));
    json_text(stdout, found->holder);
    fputs(",\"warning\":", stdout);
    json_text(stdout, found->warning);
    printf(
        ",\"commit\":%" PRIu64 ",\"file_bytes\":%" PRIu64, found->commit_number, found->file_bytes);
    if (stats->live_bytes) {
        printf(",\"live_bytes\":%" PRIu64 ",\"free_bytes\":%" PRIu64 ",\"retired_bytes\":%" PRIu64,
            stats->live_bytes, stats->free_bytes, stats->retired_bytes);
    } else { /* only a writer has looked at all of the file */
        fputs(",\"live_bytes\":null,\"free_bytes\":null,\"retired_bytes\":null", stdout);
    }
    printf(",\"log_bytes\":%" PRIu64 ",\"log_files\":%u,\"replayable_bytes\":%" PRIu64
           ",\"rows\":%" PRIu64 ",\"readers_known\":%s,\"families\":[",
        found->log_bytes, found->log_files, found->log_records_bytes, stats->rows,
        stats->readers_known ? "true" : "false");
    for (size_t i = 0; i < data->count; i++) {
        const struct family_row *row = &data->families[i];
        printf("%s\n  {\"name\":", i ? "," : "");
        json_text(stdout, row->name);
        printf(",\"rows\":%" PRIu64 ",\"columns\":%" PRIu64 ",\"chunk_rows\":%" PRIu64
               ",\"compression_level\":%d,\"stored_bytes\":",
            row->rows, row->columns, row->chunk_rows, row->compression_level);
        if (row->measured) {
            printf("%" PRIu64 "}", row->stored_bytes);
        } else {
            fputs("null}", stdout);
        }
    }
    fputs("]}\n", stdout);
}

static void print_state(const char *path, const basalt_inspection *found)
{
    struct size_texts texts = {.next = 0};
    print_shown(stdout, path);
    fputs(": ", stdout);
    if (found->writing) {
        printf("being written by %s\n", found->holder[0] ? found->holder : "another process");
    } else if (found->log_missing) {
        printf("not closed; its log is missing: rows since the last checkpoint are not here\n");
    } else if (found->conflict) {
        printf("not the file that the log beside it was written for\n");
    } else if (found->crashed) {
        printf("not closed by %s; %s of log to replay: basalt recover\n",
            found->holder[0] ? found->holder : "its last writer",
            size_text(&texts, found->log_records_bytes));
    } else {
        printf("closed cleanly\n");
    }
    if (found->warning[0]) printf("  warning: %s\n", found->warning);
}

static void print_text(const char *path, const struct report_data *data)
{
    struct size_texts texts = {.next = 0};
    const basalt_store_stats *stats = &data->stats;
    print_state(path, &data->found);
    printf("  file  %s, checkpoint %" PRIu64 "\n", size_text(&texts, data->found.file_bytes),
        data->found.commit_number);
    if (stats->live_bytes) { /* found by who has looked at all of the file */
        printf("        %s live, %s free, %s resting until readers are gone\n",
            size_text(&texts, stats->live_bytes), size_text(&texts, stats->free_bytes),
            size_text(&texts, stats->retired_bytes));
    }
    printf("  log   %s in %u file%s\n", size_text(&texts, data->found.log_bytes),
        data->found.log_files, plural(data->found.log_files));
    printf("  rows  %s in %s famil%s\n\n", count_text(&texts, stats->rows),
        count_text(&texts, (uint64_t)data->count), data->count == 1 ? "y" : "ies");
    int width = 6;
    for (size_t i = 0; i < data->count; i++) {
        const int length = shown_columns(data->families[i].name);
        if (length > width && length <= 40) width = length;
    }
    printf("  %-*s %14s %8s %11s %8s %14s\n", width, "family", "rows", "columns", "chunk rows",
        "deflate", "bytes a row");
    for (size_t i = 0; i < data->count; i++) {
        const struct family_row *row = &data->families[i];
        char bytes[32] = "-";
        if (row->measured && row->rows) {
            snprintf(bytes, sizeof bytes, "%.2f", (double)row->stored_bytes / (double)row->rows);
        }
        const int pad = width - shown_columns(row->name);
        fputs("  ", stdout);
        print_shown(stdout, row->name);
        printf("%*s %14s %8" PRIu64 " %11" PRIu64 " %8d %14s\n", pad > 0 ? pad : 0, "",
            count_text(&texts, row->rows), row->columns, row->chunk_rows, row->compression_level,
            bytes);
    }
}

static int answer_live(const char *path, const basalt_inspection *found, bool json)
{
    if (json) {
        printf("{\"live\":%s,\"holder\":", found->writing ? "true" : "false");
        json_text(stdout, found->holder);
        fputs("}\n", stdout);
    } else {
        print_state(path, found);
    }
    return finish_output(found->writing ? EXIT_FINE : EXIT_NO);
}

static void free_data(struct report_data *data)
{
    for (size_t i = 0; i < data->count; i++) {
        free(data->families[i].name);
        basalt_free(data->families[i].link);
    }
    free(data->families);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct report_data data = {.count = 0};
    bool json = false, live = false;
    const struct option options[] = {
        {"--json", OPTION_FLAG, &json}, {"--live", OPTION_FLAG, &live}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    basalt_error error = {.status = BASALT_OK};
    if (!parse_arguments(command, argc, argv, options, 2, 1, 1, &arguments, &leave)) return leave;
    const char *path = arguments.values[0];
    basalt_status status = basalt_inspect(path, &data.found, &error);
    if (!status && live) return answer_live(path, &data.found, json);
    if (!status && !data.found.is_basalt && data.found.conflict) {
        return report_sentence(EXIT_BASALT + BASALT_CONFLICT, "%s", data.found.warning);
    }
    if (!status && !data.found.is_basalt) return stat_any(path, data.found.file_bytes, json);
    if (!status) status = collect(&data, path, &error);
    if (!status && json) {
        print_json(path, &data);
    } else if (!status) {
        print_text(path, &data);
    }
    free_data(&data);
    return finish_output(status ? report_file(path, &error) : EXIT_FINE);
}

const struct command stat_command = {"stat", "families, rows, sizes; who is writing",
    "usage: basalt stat FILE [--live] [--json]\n\n"
    "Says what a store holds, the rows of its log included, and what it costs. Of an HDF5 file of\n"
    "another program: its objects, and the bytes of data by layout and by filters.\n\n"
    "  --live   exit code 0 if a process has it open for writing now (and says which), 1 if not\n"
    "  --json   one object; \"state\" is closed, writing, crashed, \"log missing\", conflict or, of a\n"
    "           file of another program, foreign;\n"
    "           \"warning\" is a sentence where the log is missing or in conflict: then only the\n"
    "           checkpoint's rows count;\n"
    "           live_bytes, free_bytes and retired_bytes are null where nobody has looked at\n"
    "           all of the file, which a writer does\n\n"
    "example: basalt stat --live session.h5 || basalt recover session.h5\n",
    run};
