/* demo.c - the main job before your eyes: record, kill, recover, read.
 *
 * This process directs: it starts the recording process (demo_recorder.c), counts what that one says
 * is committed, lets fresh Python processes read the live file with stock h5py, kills the recording
 * process with SIGKILL half-way, has the file read as it lies, recovers it, lets the recording go on,
 * and compares at the end. It exits with 1 if a single acknowledged row is lost. */
#include "demo.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_EVERY_NS ((uint64_t)1800000000)
#define OUTPUT_BYTES 4096

struct demo {
    char file[4096], picture[4096];
    const char *python;
    bool has_h5py, has_h5dump;
    bool terminal, colours, status_shown;
    uint64_t acknowledged[INSTRUMENTS];
    uint64_t failures;
    uint64_t seconds; /* of each half */
    struct pace pace;
    basalt_recorder_stats stats;
    uint64_t started_ns, first_row_ns, killed_ns, shown_ns, looks;
};

/* ---- the screen ------------------------------------------------------------------------------ */

static const char *style(const struct demo *demo, const char *code)
{
    return demo->colours ? code : "";
}
#define BOLD(demo) style(demo, "\033[1m")
#define FAINT(demo) style(demo, "\033[2m")
#define GREEN(demo) style(demo, "\033[32m")
#define RED(demo) style(demo, "\033[31m")
#define PLAIN(demo) style(demo, "\033[0m")

static void clear_status(struct demo *demo)
{
    if (demo->status_shown) fputs("\r\033[K", stdout);
    demo->status_shown = false;
}

static void title(struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void title(struct demo *demo, const char *format, ...)
{
    va_list args;
    clear_status(demo);
    printf("\n%s", BOLD(demo));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("%s\n", PLAIN(demo));
    fflush(stdout);
}

static void show_status(struct demo *demo)
{
    char line[256];
    pace_update(&demo->pace, &demo->stats);
    if (demo->pace.rows_a_second <= 0) return;
    status_line(line, sizeof line, 10, &demo->pace, &demo->stats);
    const double at = (double)(now_ns() - demo->started_ns) / 1e9;
    if (demo->terminal) {
        printf("\r\033[K  %s%4.1f s%s  %s", BOLD(demo), at, PLAIN(demo), line);
        demo->status_shown = true;
    } else if (now_ns() - demo->shown_ns > 950000000) {
        printf("  %4.1f s  %s\n", at, line);
        demo->shown_ns = now_ns();
    }
    fflush(stdout);
}

/* ---- other programs -------------------------------------------------------------------------- */

struct child {
    pid_t process;
    int output; /* what it prints, or -1 */
};

/* `arguments` ends with NULL. Its errors go where ours go, or nowhere with `quiet`. */
static bool start_child(
    const char *const *arguments, int keep_open, bool quiet, struct child *out_child)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return false;
    fflush(stdout);
    out_child->process = fork();
    if (out_child->process == 0) {
        sigset_t none;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGPIPE, SIG_DFL);
        dup2(ends[1], STDOUT_FILENO);
        if (quiet) dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        if (keep_open >= 0) fcntl(keep_open, F_SETFD, 0);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    close(ends[1]);
    out_child->output = ends[0];
    if (out_child->process < 0) close(ends[0]);
    return out_child->process > 0;
}

/* Its exit code; 128 + N after signal N. */
static int end_child(struct child *child)
{
    int outcome = 0;
    if (child->output >= 0) close(child->output);
    while (waitpid(child->process, &outcome, 0) < 0 && errno == EINTR) continue;
    *child = (struct child){.output = -1};
    return WIFEXITED(outcome) ? WEXITSTATUS(outcome) : 128 + WTERMSIG(outcome);
}

/* Reads what is there into the end of `text`; false at the end of file. */
static bool read_output(struct child *child, char *text, size_t text_bytes)
{
    const size_t used = strlen(text);
    char waste[512];
    const bool full = used + 1 >= text_bytes;
    const ssize_t count = full ? read(child->output, waste, sizeof waste)
                               : read(child->output, text + used, text_bytes - used - 1);
    if (count > 0 && !full) text[used + (size_t)count] = '\0';
    return count > 0 || (count < 0 && errno == EINTR);
}

/* Runs it to its end; 127 if it is not there. */
static int run_child(const char *const *arguments, bool quiet, char *text, size_t text_bytes)
{
    struct child child;
    text[0] = '\0';
    if (!start_child(arguments, -1, quiet, &child)) return 127;
    while (read_output(&child, text, text_bytes)) continue;
    return end_child(&child);
}

static bool look_around(struct demo *demo)
{
    char text[256];
    const char *const probe[] = {demo->python, "-c", demo_script_probe, NULL};
    const char *const h5dump[] = {"h5dump", "--version", NULL};
    demo->has_h5py = run_child(probe, true, text, sizeof text) == 0;
    char *space = strchr(text, ' ');
    if (demo->has_h5py && space) {
        *space = '\0';
        printf("  readers  h5py %s with libhdf5 %s", text, space + 1);
    } else {
        printf("  %s has no h5py and matplotlib: what they show is left out\n", demo->python);
    }
    demo->has_h5dump = run_child(h5dump, true, text, sizeof text) == 0;
    if (!demo->has_h5dump) printf("  h5dump is not there: what it shows is left out\n");
    return true;
}

/* ---- while it records ------------------------------------------------------------------------ */

struct watch {
    struct child recorder, look;
    int messages; /* the recorder's pipe */
    char text[OUTPUT_BYTES];
    uint64_t looked_ns;
};

static void take_message(struct demo *demo, const struct demo_message *message)
{
    switch (message->kind) {
    case DEMO_ACKNOWLEDGED:
        if (message->instrument < INSTRUMENTS)
            demo->acknowledged[message->instrument] += message->rows;
        if (!demo->first_row_ns) demo->first_row_ns = now_ns();
        break;
    case DEMO_STATUS:
        demo->stats = message->stats;
        show_status(demo);
        break;
    case DEMO_FAILED:
        clear_status(demo);
        fprintf(stderr, "basalt demo: %s\n", message->text);
        demo->failures++;
        break;
    }
}

/* False when the recorder's end of the pipe is closed. */
static bool take_messages(struct demo *demo, int descriptor)
{
    struct demo_message message;
    const ssize_t count = read(descriptor, &message, sizeof message);
    if (count == (ssize_t)sizeof message) take_message(demo, &message);
    return count > 0 || (count < 0 && (errno == EINTR || errno == EAGAIN));
}

static bool start_recorder(struct demo *demo, struct watch *watch)
{
    int ends[2];
    char number[16], program[4096];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return false;
    program[length] = '\0';
    *watch = (struct watch){.look = {.output = -1}, .looked_ns = now_ns()};
    if (pipe2(ends, O_CLOEXEC)) return false;
    snprintf(number, sizeof number, "%d", ends[1]);
    const char *const arguments[] = {program, "demo", "--part", number, demo->file, NULL};
    const bool started = start_child(arguments, ends[1], false, &watch->recorder);
    close(ends[1]);
    watch->messages = ends[0];
    demo->pace = (struct pace){.at_ns = 0};
    return started;
}

static void end_look(struct demo *demo, struct watch *watch)
{
    const int code = end_child(&watch->look);
    watch->text[strcspn(watch->text, "\n")] = '\0';
    clear_status(demo);
    if (code == 0) {
        printf("  %sh5py%s  %s\n", GREEN(demo), PLAIN(demo), watch->text);
        demo->looks++;
    } else {
        printf("  %sh5py could not read the live file%s (exit code %d)\n", RED(demo), PLAIN(demo),
            code);
        demo->failures++;
    }
    fflush(stdout);
}

static void look_if_due(struct demo *demo, struct watch *watch)
{
    if (!demo->has_h5py || watch->look.process || now_ns() - watch->looked_ns < LOOK_EVERY_NS)
        return;
    struct stat there;
    if (stat(demo->file, &there) || !demo->first_row_ns) return;
    const char *const arguments[] = {demo->python, "-c", demo_script_look, demo->file, NULL};
    watch->text[0] = '\0';
    watch->looked_ns = now_ns();
    if (!start_child(arguments, -1, false, &watch->look)) watch->look.process = 0;
}

/* For `seconds`, or until the recorder ends by itself: then false. */
static bool watch_recorder(struct demo *demo, struct watch *watch, uint64_t seconds)
{
    const uint64_t end_ns = now_ns() + seconds * 1000000000;
    while (now_ns() < end_ns) {
        struct pollfd wait[2] = {{.fd = watch->messages, .events = POLLIN},
            {.fd = watch->look.process ? watch->look.output : -1, .events = POLLIN}};
        look_if_due(demo, watch);
        if (poll(wait, 2, 50) < 0 && errno != EINTR) return false;
        if (wait[0].revents && !take_messages(demo, watch->messages)) return false;
        if (wait[1].revents && !read_output(&watch->look, watch->text, sizeof watch->text)) {
            end_look(demo, watch);
        }
    }
    return true;
}

/* Ends the recorder by `signal_number` and takes all it has still said; its exit code. */
static int end_recorder(struct demo *demo, struct watch *watch, int signal_number)
{
    kill(watch->recorder.process, signal_number);
    if (signal_number == SIGKILL) demo->killed_ns = now_ns();
    while (take_messages(demo, watch->messages)) continue;
    close(watch->messages);
    const int code = end_child(&watch->recorder);
    while (watch->look.process && read_output(&watch->look, watch->text, sizeof watch->text))
        continue;
    if (watch->look.process) end_look(demo, watch);
    clear_status(demo);
    return code;
}

/* ---- between: as it lies, and recovery ------------------------------------------------------- */

static void print_indented(const char *text, size_t lines_max)
{
    while (*text && lines_max--) {
        const size_t length = strcspn(text, "\n");
        printf("    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static bool read_as_it_lies(struct demo *demo)
{
    char text[OUTPUT_BYTES];
    if (!demo->has_h5dump) return true;
    const char *const arguments[] = {
        "h5dump", "-d", "/memory/available", "-s", "0", "-c", "4", demo->file, NULL};
    const int code = run_child(arguments, false, text, sizeof text);
    printf("  h5dump -d /memory/available -s 0 -c 4, exit code %d%s\n%s", code,
        code ? "" : ": a killed writer leaves a file that opens", FAINT(demo));
    print_indented(text, 12);
    printf("%s", PLAIN(demo));
    const char *const whole[] = {"h5dump", "-H", "-A", demo->file, NULL};
    const int all = run_child(whole, false, text, 2);
    printf("  h5dump -H -A, every group, dataset and attribute: exit code %d\n", all);
    return code == 0 && all == 0;
}

static bool recover(struct demo *demo)
{
    struct size_texts texts = {.next = 0};
    basalt_inspection found;
    basalt_recovery done;
    basalt_error error = {.status = BASALT_OK};
    if (basalt_inspect(demo->file, &found, &error)) return report(&error) == 0;
    printf("  beside it: %u log file%s, %s to replay, written by %s\n", found.log_files,
        found.log_files == 1 ? "" : "s", size_text(&texts, found.log_records_bytes), found.holder);
    const uint64_t started_ns = now_ns();
    if (basalt_recover(demo->file, &done, &error)) return report(&error) == 0;
    printf(
        "  %srecovered%s in %.0f ms: %s rows in %s transactions moved from the log into the file\n",
        GREEN(demo), PLAIN(demo), (double)(now_ns() - started_ns) / 1e6,
        count_text(&texts, done.rows_replayed), count_text(&texts, done.transactions_replayed));
    return true;
}

/* ---- the end: what is there ------------------------------------------------------------------ */

static bool count_with_basalt(struct demo *demo, uint64_t rows[INSTRUMENTS])
{
    basalt_store *store = NULL;
    basalt_store_options options;
    basalt_error error = {.status = BASALT_OK};
    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_READ_CHECKPOINT;
    if (basalt_store_open(demo->file, &options, &store, &error)) return report(&error) == 0;
    bool right = true;
    for (size_t i = 0; i < INSTRUMENTS; i++) {
        basalt_family_info info;
        rows[i] = 0;
        const basalt_status status =
            basalt_family_get_info(store, instrument_names[i], &info, &error);
        if (!status) rows[i] = info.rows;
        if (status && demo->acknowledged[i]) right = report(&error) == 0;
    }
    if (basalt_store_close(&store, &error)) right = report(&error) == 0;
    return right;
}

/* Rows, and rows whose content is not what it must be, as h5py finds them. */
static bool count_with_h5py(
    struct demo *demo, uint64_t rows[INSTRUMENTS], uint64_t wrong[INSTRUMENTS])
{
    char text[OUTPUT_BYTES];
    const char *const arguments[] = {demo->python, "-c", demo_script_count, demo->file, NULL};
    if (run_child(arguments, false, text, sizeof text) != 0) return false;
    const char *at = text;
    for (size_t i = 0; i < INSTRUMENTS; i++) {
        char name[32];
        if (sscanf(at, "%31s %" SCNu64 " %" SCNu64, name, &rows[i], &wrong[i]) != 3) return false;
        if (strcmp(name, instrument_names[i]) != 0) return false;
        at += strcspn(at, "\n") + 1;
    }
    return true;
}

static bool compare(struct demo *demo)
{
    struct size_texts texts = {.next = 0};
    uint64_t found[INSTRUMENTS], by_h5py[INSTRUMENTS], wrong[INSTRUMENTS] = {0};
    uint64_t all_lost = 0, all_wrong = 0, all[2] = {0};
    bool right = count_with_basalt(demo, found);
    memcpy(by_h5py, found, sizeof found);
    if (demo->has_h5py && !count_with_h5py(demo, by_h5py, wrong)) right = false;
    printf("  %-12s %16s %16s %16s %8s %8s\n", "instrument", "acknowledged", "found",
        demo->has_h5py ? "found by h5py" : "", "wrong", "lost");
    for (size_t i = 0; i < INSTRUMENTS; i++) {
        const uint64_t least = found[i] < by_h5py[i] ? found[i] : by_h5py[i];
        const uint64_t lost = demo->acknowledged[i] > least ? demo->acknowledged[i] - least : 0;
        printf("  %-12s %16s %16s %16s %8s %8s\n", instrument_names[i],
            count_text(&texts, demo->acknowledged[i]), count_text(&texts, found[i]),
            demo->has_h5py ? count_text(&texts, by_h5py[i]) : "", count_text(&texts, wrong[i]),
            count_text(&texts, lost));
        all_lost += lost;
        all_wrong += wrong[i];
        all[0] += demo->acknowledged[i];
        all[1] += found[i];
        right = right && found[i] == by_h5py[i];
    }
    right = right && !all_lost && !all_wrong && all[0] > 0;
    printf("\n  %s%srows acknowledged %s, rows found %s, rows lost %s%s\n", BOLD(demo),
        right ? GREEN(demo) : RED(demo), count_text(&texts, all[0]), count_text(&texts, all[1]),
        count_text(&texts, all_lost), PLAIN(demo));
    if (all[1] > all[0]) {
        printf("  %s%s rows were committed and not yet acknowledged when it was killed%s\n",
            FAINT(demo), count_text(&texts, all[1] - all[0]), PLAIN(demo));
    }
    return right;
}

static bool draw(struct demo *demo)
{
    char text[OUTPUT_BYTES], killed[32] = "-1";
    if (!demo->has_h5py) return true;
    if (demo->killed_ns) {
        snprintf(
            killed, sizeof killed, "%.3f", (double)(demo->killed_ns - demo->first_row_ns) / 1e9);
    }
    const char *const arguments[] = {
        demo->python, "-c", demo_script_plot, demo->file, demo->picture, killed, NULL};
    if (run_child(arguments, false, text, sizeof text) != 0) return false;
    printf("\n  plot  %s\n", demo->picture);
    return true;
}

/* ---- the play -------------------------------------------------------------------------------- */

static bool first_half(struct demo *demo)
{
    struct watch watch;
    title(demo, "1  Recording four instruments of this machine at %d Hz, and a waveform at 1 MHz",
        TICKS_A_SECOND);
    if (!start_recorder(demo, &watch)) return false;
    const bool lasted = watch_recorder(demo, &watch, demo->seconds);
    const int code = end_recorder(demo, &watch, SIGKILL);
    if (!lasted) {
        fprintf(stderr, "basalt demo: the recording process ended by itself, exit code %d\n", code);
        return false;
    }
    title(demo, "2  kill -9: the recording process is gone, the file lies as it was left");
    return read_as_it_lies(demo);
}

static bool second_half(struct demo *demo)
{
    struct watch watch;
    title(demo, "3  Recovery");
    if (!recover(demo)) return false;
    title(demo, "4  The recording goes on");
    if (!start_recorder(demo, &watch)) return false;
    const bool lasted = watch_recorder(demo, &watch, demo->seconds);
    const int code = end_recorder(demo, &watch, SIGTERM);
    if (!lasted || code) {
        fprintf(stderr, "basalt demo: the recording process ended with exit code %d\n", code);
        return false;
    }
    return true;
}

static int play(struct demo *demo)
{
    struct size_texts texts = {.next = 0};
    struct stat file;
    demo->started_ns = now_ns();
    printf("%sBasalt: an embedded database whose file is plain HDF5%s\n  file     %s\n", BOLD(demo),
        PLAIN(demo), demo->file);
    look_around(demo);
    if (!first_half(demo) || !second_half(demo)) return EXIT_NO;
    title(demo, "5  Closed. What is there?");
    bool right = compare(demo);
    if (!draw(demo)) right = false;
    if (stat(demo->file, &file) == 0) {
        printf("  file  %s, %s: any HDF5 tool opens it\n", demo->file,
            size_text(&texts, (uint64_t)file.st_size));
    }
    if (demo->has_h5py) {
        printf("  h5py  read the live file %" PRIu64 " times while it was being written\n",
            demo->looks);
    }
    return right && !demo->failures ? EXIT_FINE : EXIT_NO;
}

static int prepare(struct demo *demo, const char *directory)
{
    if (mkdir(directory, 0777) && errno != EEXIST) {
        return report_sentence(
            EXIT_BASALT + BASALT_IO_ERROR, "%s could not be made: %s", directory, strerror(errno));
    }
    for (unsigned number = 1; number < 10000; number++) { /* never over an older one */
        char name[32] = "demo";
        struct stat there;
        if (number > 1) snprintf(name, sizeof name, "demo_%u", number);
        snprintf(demo->file, sizeof demo->file, "%s/%s.h5", directory, name);
        snprintf(demo->picture, sizeof demo->picture, "%s/%s.png", directory, name);
        if (stat(demo->file, &there)) return EXIT_FINE;
    }
    return report_sentence(EXIT_BASALT + BASALT_EXISTS, "%s is full of demos", directory);
}

static int run(const struct command *command, int argc, char **argv)
{
    static struct demo demo;
    uint64_t part = 0;
    const char *python = getenv("BASALT_PYTHON");
    demo.python = python ? python : "python3";
    demo.seconds = 7;
    const struct option options[] = {{"--python", OPTION_TEXT, &demo.python},
        {"--seconds", OPTION_NUMBER, &demo.seconds}, {"--part", OPTION_NUMBER, &part}};
    struct arguments arguments;
    int leave = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, options, 3, 0, 1, &arguments, &leave)) return leave;
    if (part) {
        if (arguments.count != 1) return usage_error(command, "--part is the demo's own");
        return demo_record(arguments.values[0], (int)part);
    }
    if (demo.seconds < 2 || demo.seconds > 3600)
        return usage_error(command, "--seconds is 2 to 3600");
    demo.terminal = isatty(STDOUT_FILENO);
    demo.colours = demo.terminal && !getenv("NO_COLOR");
    leave = prepare(&demo, arguments.count ? arguments.values[0] : ".");
    return finish_output(leave ? leave : play(&demo));
}

const struct command demo_command = {"demo", "record, kill, recover and read on this machine",
    "usage: basalt demo [DIR] [--seconds N] [--python PYTHON]\n\n"
    "Records four instruments of this machine (processor, memory, disk, network: /proc, 100 Hz) and a\n"
    "waveform of 1,000,000 samples a second, which is computed, into DIR/demo.h5; reads the live file\n"
    "with h5py; kills the recording with SIGKILL half-way; recovers, goes on, and compares what was\n"
    "acknowledged with what is there. Exit code 1 if a row is lost.\n\n"
    "  --seconds N       of each half; default 7\n"
    "  --python PYTHON   one that has h5py and matplotlib; default $BASALT_PYTHON, else python3\n\n"
    "example: basalt demo /tmp\n",
    run};
