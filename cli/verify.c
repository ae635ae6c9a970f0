/* verify.c - a deep check. */
#include "command.h"

struct check {
    struct progress progress;
    bool json;
    uint64_t faults;
};

static void print_fault(void *context, const char *sentence)
{
    struct check *check = context;
    progress_end(&check->progress);
    if (check->json) {
        fputs(check->faults ? ",\n  " : "\n  ", stdout);
        json_text(stdout, sentence);
    } else {
        puts(sentence);
    }
    check->faults++;
}

static bool show(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct check *check = context;
    return progress_show(&check->progress, done_bytes, all_bytes);
}

static int run(const struct command *command, int argc, char **argv)
{
    struct check check = {.json = false};
    const struct option options[] = {{"--json", OPTION_FLAG, &check.json}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    uint64_t faults = 0;
    basalt_error error = {.status = BASALT_OK};
    if (!parse_arguments(command, argc, argv, options, 1, 1, 1, &arguments, &leave)) return leave;
    progress_begin(&check.progress, "checking");
    if (check.json) fputs("{\"faults\":[", stdout);
    const basalt_status status =
        basalt_verify(arguments.values[0], print_fault, show, &check, &faults, &error);
    progress_end(&check.progress);
    if (check.json) printf("],\"checked\":%s}\n", status ? "false" : "true");
    if (status) return finish_output(report(&error));
    if (!check.json && !faults) printf("%s: no fault found\n", arguments.values[0]);
    if (!check.json && faults) {
        fflush(stdout);
        fprintf(stderr, "basalt: %s has %" PRIu64 " fault%s\n", arguments.values[0], faults,
            faults == 1 ? "" : "s");
    }
    return finish_output(faults ? EXIT_NO : EXIT_FINE);
}

const struct command verify_command = {"verify", "check structure, checksums, space and log",
    "usage: basalt verify FILE [--json]\n\n"
    "Checks a file deeply: every structure, every checksum, extents that overlap, and the log beside\n"
    "it. One line a fault; exit code 1 if there is any. Changes nothing; works beside a writer.\n\n"
    "  --json   {\"faults\": [...], \"checked\": true}\n\n"
    "example: basalt verify session.h5 && echo sound\n",
    run};
