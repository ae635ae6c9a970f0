/* verify.c - a deep check. */
#include "command.h"

#include <stdlib.h>

struct check {
    struct progress progress;
    bool json;
    uint64_t faults, skipped;
    FILE *skipped_json; /* in memory: they come after the faults */
};

static void print_finding(void *context, basalt_finding finding, const char *sentence)
{
    struct check *check = context;
    const bool fault = finding == BASALT_FINDING_FAULT;
    uint64_t *count = fault ? &check->faults : &check->skipped;
    progress_end(&check->progress);
    if (check->json) {
        FILE *out = fault ? stdout : check->skipped_json;
        fputs(*count ? ",\n  " : "\n  ", out);
        json_text(out, sentence);
    } else {
        print_shown(stdout, sentence);
        putchar('\n');
    }
    (*count)++;
}

/* *error: why the check could not be made, status OK if it was. */
static int conclude(const struct check *check, const char *path, const basalt_error *error)
{
    if (check->json)
        return error->status ? report_file(path, error) : check->faults ? EXIT_NO : EXIT_FINE;
    if (error->status) return report_file(path, error);
    if (!check->faults) {
        print_shown(stdout, path);
        printf(": no fault found%s\n", check->skipped ? " in what was checked" : "");
        return EXIT_FINE;
    }
    return report_sentence(
        EXIT_NO, "%s has %" PRIu64 " fault%s", path, check->faults, plural(check->faults));
}

static bool show(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct check *check = context;
    return progress_show(&check->progress, done_bytes, all_bytes);
}

/* Of a file that has none yet too. */
static int rebuild(const char *path, bool json)
{
    basalt_error error = {.status = BASALT_OK};
    uint64_t chunks = 0;
    if (basalt_rebuild_statistics(path, &chunks, &error)) return report_file(path, &error);
    if (json) {
        printf("{\"statistics_rebuilt\":%" PRIu64 "}\n", chunks);
    } else {
        print_shown(stdout, path);
        printf(": statistics of %" PRIu64 " chunk%s rebuilt\n", chunks, plural(chunks));
    }
    return finish_output(EXIT_FINE);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct check check = {.json = false};
    bool anew = false;
    const struct option options[] = {
        {"--json", OPTION_FLAG, &check.json}, {"--rebuild-statistics", OPTION_FLAG, &anew}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    uint64_t faults = 0;
    char *skipped = NULL;
    size_t skipped_bytes = 0;
    basalt_error error = {.status = BASALT_OK};
    if (!parse_arguments(command, argc, argv, options, 2, 1, 1, &arguments, &leave)) return leave;
    if (anew) return rebuild(arguments.values[0], check.json);
    check.skipped_json = open_memstream(&skipped, &skipped_bytes);
    if (!check.skipped_json) {
        return report_sentence(EXIT_BASALT + BASALT_NO_MEMORY, "no memory for the findings");
    }
    progress_begin(&check.progress, "checking");
    if (check.json) fputs("{\"faults\":[", stdout);
    const basalt_status status =
        basalt_verify(arguments.values[0], print_finding, show, &check, &faults, &error);
    progress_end(&check.progress);
    if (status && check.json) print_finding(&check, BASALT_FINDING_FAULT, error.message);
    if (fclose(check.skipped_json)) skipped_bytes = 0;
    if (check.json) {
        printf("],\"not_checked\":[%.*s],\"checked\":%s}\n", (int)skipped_bytes,
            skipped_bytes ? skipped : "", status ? "false" : "true");
    }
    free(skipped);
    return finish_output(conclude(&check, arguments.values[0], &error));
}

const struct command verify_command = {"verify", "check structure, checksums, space and log",
    "usage: basalt verify FILE [--json] [--rebuild-statistics]\n\n"
    "Checks a file deeply: every structure, every checksum, extents that overlap, and the log beside\n"
    "it. One line a fault; exit code 1 if there is any. What cannot be checked, as chunks whose filter is\n"
    "not built in, is a line \"not checked: ...\" and no fault. Changes nothing; works beside a writer.\n\n"
    "  --json   {\"faults\": [...], \"not_checked\": [...], \"checked\": true}; where the check could\n"
    "           not be made, checked is false and the reason is the last of the faults\n"
    "  --rebuild-statistics\n"
    "           checks nothing, but finds nulls, smallest and largest value of every chunk of a Basalt\n"
    "           file anew: what a program that edits in place has left wrong. This writes to FILE\n\n"
    "example: basalt verify session.h5 && echo sound\n",
    run};
