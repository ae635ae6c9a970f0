/* backup.c - a consistent copy of a store that may be in use. */
#include "command.h"

static int run(const struct command *command, int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {{"--json", OPTION_FLAG, &json}};
    struct arguments arguments;
    struct progress progress;
    int leave = EXIT_FINE;
    basalt_error error = {.status = BASALT_OK};
    basalt_inspection copy;
    if (!parse_arguments(command, argc, argv, options, 1, 2, 2, &arguments, &leave)) return leave;
    const char *destination = arguments.values[1];
    const uint64_t started_ns = now_ns();
    progress_begin(&progress, "copying");
    basalt_status status =
        basalt_backup(arguments.values[0], destination, progress_show, &progress, &error);
    progress_end(&progress);
    if (!status) status = basalt_inspect(destination, &copy, &error);
    if (status) return report_file(arguments.values[0], &error);
    if (json) {
        fputs("{\"file\":", stdout);
        json_text(stdout, destination);
        printf(",\"bytes\":%" PRIu64 "}\n", copy.file_bytes);
    } else {
        struct size_texts texts = {.next = 0};
        printf("%s: %s in %.1f s\n", destination, size_text(&texts, copy.file_bytes),
            (double)(now_ns() - started_ns) / 1e9);
    }
    return finish_output(EXIT_FINE);
}

const struct command backup_command = {"backup", "copy a store that may be in use",
    "usage: basalt backup LIVE DEST [--json]\n\n"
    "Copies one consistent snapshot of LIVE, the rows of its log included, into the new file DEST,\n"
    "which is closed cleanly and has an identity of its own. A writer may go on meanwhile. DEST must\n"
    "not exist.\n\n"
    "  --json   {\"file\": ..., \"bytes\": ...}\n\n"
    "example: basalt backup session.h5 /backup/session.h5\n",
    run};
