/* copy.c - a file as a new one, with other chunks and filters. */
#include "command.h"

#include <signal.h>
#include <string.h>

struct copying {
    struct progress progress;
    bool quiet;
};

/* What an interrupt asks to stop: set before the handler is, and as long as it is. */
static basalt_cancel *interrupted;

static void interrupt(int signal_number)
{
    (void)signal_number;
    basalt_cancel_request(interrupted); /* stores one flag */
}

static void handle_interrupts(basalt_cancel *cancel)
{
    struct sigaction action;
    interrupted = cancel;
    memset(&action, 0, sizeof action);
    action.sa_handler = cancel ? interrupt : SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool show(void *context, uint64_t done_bytes, uint64_t all_bytes)
{
    struct copying *copying = context;
    return copying->quiet || progress_show(&copying->progress, done_bytes, all_bytes);
}

static void summarize(
    const char *target, const basalt_hdf5_copy_report *report, uint64_t started_ns)
{
    struct size_texts texts = {.next = 0};
    const double seconds = (double)(now_ns() - started_ns) / 1e9;
    const double from = (double)report->source_bytes, to = (double)report->target_bytes;
    const bool smaller = to <= from;
    print_shown(stdout, target);
    printf(": %s from %s (%.3g times %s), %" PRIu64 " dataset%s, %.1f s",
        size_text(&texts, report->target_bytes), size_text(&texts, report->source_bytes),
        smaller ? from / to : to / from, smaller ? "smaller" : "larger", report->datasets,
        plural(report->datasets), seconds);
    if (report->brought_in) {
        printf(", data of %" PRIu64 " brought in from other files", report->brought_in);
    }
    if (report->references_nulled) {
        printf(", %" PRIu64 " reference%s to what was not copied made null",
            report->references_nulled, plural(report->references_nulled));
    }
    putchar('\n');
}

static basalt_status copy(const char *source, const char *target, basalt_hdf5_copy_options *options,
    uint64_t threads, basalt_hdf5_copy_report *report, basalt_error *error)
{
    basalt_env_options env_options;
    basalt_cancel *cancel = NULL;
    basalt_env_options_init(&env_options, sizeof env_options);
    env_options.threads = threads > BASALT_SCHEDULER_THREADS_MAX
        ? BASALT_SCHEDULER_THREADS_MAX + 1 /* which is refused */
        : (unsigned)threads;
    basalt_status status = basalt_cancel_create(&cancel, error);
    if (!status) status = basalt_env_create(&env_options, &options->env, error);
    if (!status) {
        handle_interrupts(cancel);
        options->cancel = cancel;
        status = basalt_hdf5_copy(source, target, options, report, error);
        handle_interrupts(NULL);
    }
    if (options->env && basalt_env_close(&options->env, NULL) != BASALT_OK) options->env = NULL;
    basalt_cancel_free(&cancel);
    return status;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct copying copying = {.quiet = false};
    struct arguments arguments, paths = {.count = 0};
    basalt_hdf5_copy_options options;
    basalt_hdf5_copy_report report;
    uint64_t threads = 0;
    int leave = EXIT_FINE;
    basalt_error error = {.status = BASALT_OK};
    basalt_hdf5_copy_options_init(&options, sizeof options);
    const struct option named[] = {{"--path", OPTION_LIST, &paths},
        {"--chunks", OPTION_TEXT, &options.chunks}, {"--filters", OPTION_TEXT, &options.filters},
        {"--overwrite", OPTION_FLAG, &options.overwrite}, {"--threads", OPTION_NUMBER, &threads},
        {"--chunk-memory", OPTION_MEBIBYTES, &options.chunk_memory_bytes},
        {"--check", OPTION_FLAG, &options.check}, {"--quiet", OPTION_FLAG, &copying.quiet}};
    if (!parse_arguments(
            command, argc, argv, named, sizeof named / sizeof named[0], 2, 2, &arguments, &leave)) {
        return leave;
    }
    options.paths = paths.values;
    options.path_count = (size_t)paths.count;
    options.progress = show;
    options.context = &copying;
    const uint64_t started_ns = now_ns();
    progress_begin(&copying.progress, "copying");
    const basalt_status status =
        copy(arguments.values[0], arguments.values[1], &options, threads, &report, &error);
    progress_end(&copying.progress);
    if (status) return report_file(arguments.values[0], &error);
    if (!copying.quiet) summarize(arguments.values[1], &report, started_ns);
    return finish_output(EXIT_FINE);
}

const struct command copy_command = {"copy", "repack any HDF5 file, with other chunks and filters",
    "usage: basalt copy SOURCE TARGET [--path P]... [--chunks C] [--filters F] [--overwrite]\n"
    "                   [--check] [--threads N] [--chunk-memory MIB] [--quiet]\n\n"
    "Copies an HDF5 file into the new, plain HDF5 file TARGET, on all threads. Links, types, attributes\n"
    "and references stay what they are; data that lie in other files come in. Of a store in use, what\n"
    "its last checkpoint has. TARGET appears when it is whole; an interrupt leaves nothing.\n\n"
    "  --path P      only this object and all below it; any number of times\n"
    "  --chunks C    keep (default); auto: about 1 MiB; 64Ki: about so many bytes; 64,1000: these, for\n"
    "                datasets of as many dimensions; contiguous: none, where a dataset cannot grow\n"
    "  --filters F   keep (default), none, or any of shuffle, deflate:6, zstd:3, lz4, lzf, bzip2:9,\n"
    "                bitshuffle:lz4, bitshuffle:zstd:3, blosc:lz4:5, fletcher32, with commas between\n"
    "  --check       decode what is copied as it is stored, too, and refuse what is damaged\n"
    "  --overwrite   TARGET may exist, and is replaced\n"
    "  --threads N   instead of one a processor\n"
    "  --chunk-memory MIB\n"
    "                what one chunk may take beside 4 times the file (default 32): more is for files you\n"
    "                trust, since a few KB can hold a chunk of GiBs that are all alike\n"
    "  --quiet       neither progress nor summary\n\n"
    "example: basalt copy old.h5 new.h5 --chunks auto --filters shuffle,zstd:3\n",
    run};
