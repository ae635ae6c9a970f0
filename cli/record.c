/* record.c - Arrow IPC streams into a file, one instrument a stream.
 *
 * A thread a stream reads its file or FIFO and hands every batch to the recorder; the recorder's
 * bounded mailbox slows it down when the disk is slower. It sleeps in poll() on two descriptors: its
 * input, and a pipe whose writing end the main thread closes to end all of them. The main thread
 * sleeps in sigtimedwait(): SIGINT, SIGTERM and SIGHUP end the recording cleanly, SIGUSR1 comes from a
 * thread that has ended, a timeout shows the status line. A batch that is larger than the mailbox goes
 * in as slices, which share its memory. */
#include "record.h"
#include "slices.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct session {
    basalt_recorder *recorder;
    int stop_pipe[2]; /* nothing is ever written: its end of file is the sign */
    pthread_t main_thread;
    atomic_uint running;
    atomic_uint_least64_t rows, batches;
    basalt_error
        failure; /* of the first batch that was not stored; written before `failed` is set */
    atomic_bool failed;
};

struct input {
    struct session *session;
    char *name;
    const char *path; /* NULL: standard input */
    int descriptor;
    pthread_t thread;
    bool started, stopped; /* stopped: asked to end, not at its end */
    bool peeked;           /* `peek` is the next byte of the input */
    unsigned char peek;
    basalt_error error;
};

/* ---- status ---------------------------------------------------------------------------------- */

void pace_update(struct pace *pace, const basalt_recorder_stats *stats)
{
    const uint64_t now = now_ns();
    if (pace->at_ns && now > pace->at_ns) {
        const double seconds = (double)(now - pace->at_ns) / 1e9;
        pace->rows_a_second = (double)(stats->rows_written - pace->rows) / seconds;
        pace->bytes_a_second = (double)(stats->bytes_written - pace->bytes) / seconds;
    }
    pace->at_ns = now;
    pace->rows = stats->rows_written;
    pace->bytes = stats->bytes_written;
}

void status_line(char *out, size_t out_bytes, int indent, const struct pace *pace,
    const basalt_recorder_stats *stats)
{
    struct size_texts texts = {.next = 0};
    struct winsize window = {.ws_col = 0};
    char synced[48] = "not synced yet";
    if (stats->store.since_sync_ns != UINT64_MAX) {
        snprintf(synced, sizeof synced, "synced %" PRIu64 " ms ago",
            stats->store.since_sync_ns / 1000000);
    }
    snprintf(out, out_bytes, "%s rows/s  %s/s | file %s  log %s | queue %" PRIu64 " (%s) | %s",
        count_text(&texts, (uint64_t)pace->rows_a_second),
        size_text(&texts, (uint64_t)pace->bytes_a_second), size_text(&texts, stats->file_size),
        size_text(&texts, stats->store.log_bytes), stats->queue_messages,
        size_text(&texts, stats->queue_bytes), synced);
    const bool asked = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > indent;
    if (asked && strlen(out) >= (size_t)(window.ws_col - indent))
        out[window.ws_col - indent - 1] = '\0';
}

void signals_hold(sigset_t *out_set, int extra)
{
    struct sigaction hangup;
    sigemptyset(out_set);
    sigaddset(out_set, SIGINT);
    sigaddset(out_set, SIGTERM);
    /* Under nohup it is ignored, and stays so: a blocked signal would come all the same. */
    if (!sigaction(SIGHUP, NULL, &hangup) && hangup.sa_handler != SIG_IGN)
        sigaddset(out_set, SIGHUP);
    if (extra) sigaddset(out_set, extra);
    pthread_sigmask(SIG_BLOCK, out_set, NULL);
}

/* ---- one stream ------------------------------------------------------------------------------ */

/* A basalt_read_fn: ECANCELED once the session ends. */
static int read_input(void *context, void *out, size_t capacity, size_t *out_count)
{
    struct input *input = context;
    *out_count = 0;
    if (input->peeked && capacity) {
        *(unsigned char *)out = input->peek;
        input->peeked = false;
        *out_count = 1;
    }
    while (*out_count < capacity) {
        struct pollfd wait[2] = {{.fd = input->descriptor, .events = POLLIN},
            {.fd = input->session->stop_pipe[0], .events = POLLIN}};
        if (poll(wait, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        if (wait[1].revents) {
            input->stopped = true;
            return ECANCELED;
        }
        const ssize_t count =
            read(input->descriptor, (char *)out + *out_count, capacity - *out_count);
        if (count == 0) break;
        if (count < 0 && errno != EINTR && errno != EAGAIN) return errno;
        if (count > 0) *out_count += (size_t)count;
    }
    return 0;
}

struct receipt { /* of one batch on its way */
    struct session *session;
    uint64_t rows;
    unsigned batches; /* that end with it */
};

static void batch_done(void *context, const basalt_error *error)
{
    struct receipt *receipt = context;
    if (error->status) { /* all callbacks come from the recorder's one thread */
        if (!atomic_load(&receipt->session->failed)) receipt->session->failure = *error;
        atomic_store(&receipt->session->failed, true);
    } else {
        atomic_fetch_add(&receipt->session->rows, receipt->rows);
        atomic_fetch_add(&receipt->session->batches, receipt->batches);
    }
    free(receipt);
}

/* TOO_LARGE: the array is as it was. After any other failure it is released. */
static basalt_status send_array(struct input *input, struct ArrowArray *array, bool last,
    const struct ArrowSchema *schema, basalt_error *err)
{
    struct receipt *receipt = malloc(sizeof *receipt);
    if (!receipt) {
        array->release(array);
        return fail(err, BASALT_NO_MEMORY, "no memory for a batch");
    }
    *receipt = (struct receipt){input->session, (uint64_t)array->length, last};
    const basalt_status status = basalt_recorder_write(
        input->session->recorder, input->name, array, schema, batch_done, receipt, err);
    if (!status) return BASALT_OK;
    free(receipt);
    if (status != BASALT_TOO_LARGE && array->release) array->release(array);
    return status == BASALT_DROPPED ? BASALT_OK : status; /* counted, in the file too */
}

/* Rows from `first` on, as many as are taken at once but `*rows_max` at most, which becomes so many. */
static basalt_status send_slice(struct input *input, struct slices_batch *batch, int64_t first,
    int64_t length, int64_t *rows_max, const struct ArrowSchema *schema, basalt_error *err)
{
    for (;;) {
        struct ArrowArray slice;
        const int64_t left = length - first, rows = left < *rows_max ? left : *rows_max;
        if (!slices_make(batch, first, rows, &slice)) {
            return fail(err, BASALT_NO_MEMORY, "no memory for a batch");
        }
        const basalt_status status = send_array(input, &slice, rows == left, schema, err);
        if (status == BASALT_TOO_LARGE) slice.release(&slice);
        *rows_max = rows;
        if (status != BASALT_TOO_LARGE || rows == 1) return status;
        *rows_max = rows / 2;
    }
}

/* A batch that is too large for the mailbox goes in as slices. It is released whatever comes. */
static basalt_status send_batch(struct input *input, struct ArrowArray *array,
    const struct ArrowSchema *schema, basalt_error *err)
{
    const int64_t length = array->length;
    int64_t rows_max = length / 2;
    basalt_status status = send_array(input, array, true, schema, err);
    if (status != BASALT_TOO_LARGE) return status;
    struct slices_batch *batch = slices_possible(array) ? slices_begin(array) : NULL;
    if (!batch) {
        array->release(array);
        return status;
    }
    status = BASALT_OK;
    for (int64_t first = 0; !status && first < length; first += rows_max) {
        status = send_slice(input, batch, first, length, &rows_max, schema, err);
    }
    slices_end(batch);
    return status;
}

/* A batch that could not be stored ends the recording: to read on would be to throw away. */
static basalt_status check_stored(struct session *session, basalt_error *err)
{
    if (!atomic_load(&session->failed)) return BASALT_OK;
    *err = session->failure;
    return err->status;
}

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

/* No rows, of the schema: they make the instrument, so that a stream without rows leaves its columns. */
static basalt_status send_no_rows(
    struct input *input, const struct ArrowSchema *schema, basalt_error *err)
{
    static const uint64_t zeros[8];
    static const void *buffers[3] = {NULL, zeros, zeros};
    const size_t count = (size_t)schema->n_children;
    struct ArrowArray *columns = calloc(count + 1, sizeof *columns);
    struct ArrowArray **pointers = calloc(count + 1, sizeof(struct ArrowArray *));
    basalt_status status = BASALT_NO_MEMORY;
    for (size_t i = 0; columns && pointers && i < count; i++) {
        const char kind = schema->children[i]->format[0];
        columns[i] = (struct ArrowArray){.n_buffers = strchr("uUzZ", kind) ? 3 : 2,
            .buffers = buffers,
            .release = release_nothing};
        pointers[i] = &columns[i];
    }
    struct ArrowArray array = {.n_buffers = 1,
        .buffers = buffers,
        .n_children = schema->n_children,
        .children = pointers,
        .release = release_nothing};
    if (columns && pointers) { /* without a callback it returns when it is done, and they can go */
        status = basalt_recorder_write(
            input->session->recorder, input->name, &array, schema, NULL, NULL, err);
    } else {
        status = fail(err, BASALT_NO_MEMORY, "no memory for %zu columns", count);
    }
    free(columns);
    free(pointers);
    return status == BASALT_DROPPED ? BASALT_OK : status;
}

/* One stream, to its end mark. */
static basalt_status pump_stream(struct input *input, basalt_error *err)
{
    struct ArrowArrayStream stream = {.release = NULL};
    struct ArrowSchema schema = {.release = NULL};
    bool any = false;
    basalt_status status = basalt_ipc_read(read_input, input, &stream, err);
    if (!status) status = stream_schema(&stream, &schema, err);
    while (!status) {
        struct ArrowArray array;
        status = stream_next(&stream, &array, err);
        if (status || !array.release) break;
        status = send_batch(input, &array, &schema, err);
        if (!status) status = check_stored(input->session, err);
        any = true;
    }
    if (!status && !any) status = send_no_rows(input, &schema, err);
    if (schema.release) schema.release(&schema);
    if (stream.release) stream.release(&stream);
    return status;
}

/* What `cat a.arrows b.arrows` gives is one stream behind the other, of the same schema. */
static basalt_status pump(struct input *input, basalt_error *err)
{
    for (;;) {
        size_t count = 0;
        basalt_status status = pump_stream(input, err);
        if (status) return status;
        const int code = read_input(input, &input->peek, 1, &count);
        if (code) {
            status = fail(err, BASALT_IO_ERROR, "the input could not be read: %s", strerror(code));
            err->os_errno = code;
            return status;
        }
        if (!count) return BASALT_OK;
        input->peeked = true;
    }
}

static void *run_input(void *argument)
{
    struct input *input = argument;
    if (pump(input, &input->error) == BASALT_OK || input->stopped) {
        input->error.status = BASALT_OK;
    } else {
        report_about(input->name, &input->error);
    }
    atomic_fetch_sub(&input->session->running, 1);
    pthread_kill(input->session->main_thread, SIGUSR1);
    return NULL;
}

/* ---- the session ----------------------------------------------------------------------------- */

struct record_options {
    const char *instrument, *durability, *overflow;
    bool resume, json, quiet;
    uint64_t compression;
};

static void show_status(struct session *session, struct pace *pace)
{
    basalt_recorder_stats stats;
    char line[256];
    if (basalt_recorder_get_stats(session->recorder, &stats, NULL)) return;
    pace_update(pace, &stats);
    status_line(line, sizeof line, 0, pace, &stats);
    fprintf(stderr, "\r\033[K%s", line);
}

static void wait_for_end(struct session *session, const sigset_t *set, bool show)
{
    const struct timespec tick = {.tv_nsec = 250000000};
    struct pace pace = {.at_ns = 0};
    while (atomic_load(&session->running)) {
        const int signal_number = show ? sigtimedwait(set, NULL, &tick) : sigwaitinfo(set, NULL);
        if (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) break;
        if (signal_number < 0 && errno == EAGAIN) show_status(session, &pace);
    }
    if (show) fputs("\r\033[K", stderr);
    close(session->stop_pipe[1]);
    session->stop_pipe[1] = -1;
}

static basalt_status open_inputs(struct input *inputs, size_t count, basalt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        /* Without waiting for the writer of a FIFO: poll() does that, and can be ended. */
        inputs[i].descriptor =
            inputs[i].path ? open(inputs[i].path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : STDIN_FILENO;
        if (inputs[i].descriptor < 0) {
            return fail(err, errno == ENOENT ? BASALT_NOT_FOUND : BASALT_IO_ERROR,
                "%s could not be opened: %s", inputs[i].path, strerror(errno));
        }
    }
    return BASALT_OK;
}

static basalt_status start_inputs(
    struct session *session, struct input *inputs, size_t count, basalt_error *err)
{
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_add(&session->running, 1);
        inputs[i].started = !pthread_create(&inputs[i].thread, NULL, run_input, &inputs[i]);
        if (inputs[i].started) continue;
        atomic_fetch_sub(&session->running, 1);
        return fail(err, BASALT_NO_MEMORY, "no thread for %s", inputs[i].name);
    }
    return BASALT_OK;
}

static basalt_status join_inputs(struct input *inputs, size_t count, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < count; i++) {
        if (!inputs[i].started) continue;
        pthread_join(inputs[i].thread, NULL);
        if (status || !inputs[i].error.status) continue;
        status = inputs[i].error.status;
        *err = inputs[i].error;
    }
    return status;
}

/* `path` NULL: nothing was stored, and there is no file. */
static void print_summary(struct session *session, const char *path, double seconds, bool json)
{
    struct size_texts texts = {.next = 0};
    const uint64_t rows = atomic_load(&session->rows), batches = atomic_load(&session->batches);
    if (json) {
        fputs("{\"file\":", stdout);
        if (path) json_text(stdout, path);
        if (!path) fputs("null", stdout);
        printf(",\"rows\":%" PRIu64 ",\"batches\":%" PRIu64 ",\"seconds\":%.3f}\n", rows, batches,
            seconds);
    } else if (path) {
        printf("%s: %s row%s in %s batch%s, %.1f s\n", path, count_text(&texts, rows), plural(rows),
            count_text(&texts, batches), batches == 1 ? "" : "es", seconds);
    }
}

/* Until all inputs have ended or a signal comes; then the recorder stops. *out_closed: the store is
 * closed and whole. */
static basalt_status run_session(struct session *session, struct input *inputs, size_t count,
    const sigset_t *set, bool show, bool *out_closed, basalt_error *err)
{
    basalt_error stopping = {.status = BASALT_OK}, first = {.status = BASALT_OK};
    basalt_status status = start_inputs(session, inputs, count, err);
    if (!status) wait_for_end(session, set, show);
    if (session->stop_pipe[1] >= 0) close(session->stop_pipe[1]);
    const basalt_status joined = join_inputs(inputs, count, &first);
    const basalt_status stopped = basalt_recorder_stop(&session->recorder, &stopping);
    *out_closed = !stopped;
    if (!status && stopped) {
        status = stopped;
        *err = stopping;
    } else if (!status && joined) {
        status = joined;
        *err = first;
        err->message[0] = '\0'; /* told already, when it happened */
    } else if (!status) {
        status = check_stored(session, err);
    }
    return status;
}

/* A start that failed half-way, where no log could be made, say, left the empty file that it made. */
static void remove_stillborn(const char *path)
{
    basalt_inspection found;
    if (basalt_inspect(path, &found, NULL)) return;
    if (!found.is_basalt || found.writing || found.log_files || found.commit_number != 1) return;
    unlink(path);
}

static basalt_status record_all(struct session *session, struct input *inputs, size_t count,
    const char *path, const basalt_recorder_options *options, const struct record_options *wishes,
    basalt_error *err)
{
    sigset_t set;
    char file[4096] = "";
    basalt_recorder_stats stats;
    struct stat there;
    bool closed = false;
    const uint64_t started_ns = now_ns();
    const bool absent = stat(path, &there) && errno == ENOENT;
    const bool ours = !options->resume || absent || S_ISDIR(there.st_mode);
    basalt_status status = open_inputs(inputs, count, err);
    if (status) return status;
    signals_hold(&set, SIGUSR1);
    session->main_thread = pthread_self();
    status = basalt_recorder_start(path, options, &session->recorder, err);
    if (status && absent && status != BASALT_EXISTS) remove_stillborn(path);
    if (status) return status;
    if (!basalt_recorder_get_stats(session->recorder, &stats, NULL)) {
        snprintf(file, sizeof file, "%s", stats.file_path);
    }
    status = run_session(
        session, inputs, count, &set, isatty(STDERR_FILENO) && !wishes->quiet, &closed, err);
    /* A file that this run made, and that holds nothing because it failed, is in the way of the next. */
    const bool empty = status && closed && ours && !atomic_load(&session->rows);
    const bool removed = empty && file[0] && !unlink(file);
    print_summary(
        session, removed ? NULL : file, (double)(now_ns() - started_ns) / 1e9, wishes->json);
    return status;
}

/* ---- the line -------------------------------------------------------------------------------- */

static int fill_options(const struct command *command, const struct record_options *wishes,
    basalt_recorder_options *options)
{
    static const char *const durabilities[] = {"volatile", "buffered", "sync"};
    int durability = -1;
    basalt_recorder_options_init(options, sizeof *options);
    for (int i = 0; i < 3; i++) {
        if (strcmp(wishes->durability, durabilities[i]) == 0) durability = i;
    }
    if (durability < 0) {
        return usage_error(command, "--durability is volatile, buffered or sync, not \"%.120s\"",
            wishes->durability);
    }
    const bool drop = strcmp(wishes->overflow, "drop") == 0;
    if (!drop && strcmp(wishes->overflow, "block") != 0) {
        return usage_error(
            command, "--overflow is block or drop, not \"%.120s\"", wishes->overflow);
    }
    if (wishes->compression > 9) return usage_error(command, "--compression is 0 to 9");
    options->durability = (basalt_durability)durability;
    options->overflow = drop ? BASALT_OVERFLOW_DROP_NEWEST : BASALT_OVERFLOW_BLOCK;
    options->block_timeout_ms = UINT64_MAX; /* a stream can wait: its writer is slowed down */
    options->family.compression_level = (int)wishes->compression;
    options->store.application = "basalt record";
    options->resume = wishes->resume;
    return EXIT_FINE;
}

static bool name_taken(const struct input *inputs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(inputs[i].name, name) == 0) return true;
    }
    return false;
}

static bool uses_standard_input(const struct input *inputs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!inputs[i].path) return true;
    }
    return false;
}

/* "NAME=PATH", where PATH "-" is standard input. */
static int add_input(const struct command *command, const char *argument, struct session *session,
    struct input *inputs, size_t *count)
{
    const char *equals = strchr(argument, '=');
    if (!equals || equals == argument || !equals[1]) {
        return usage_error(command, "\"%.120s\" is not NAME=FILE", argument);
    }
    const bool standard = strcmp(equals + 1, "-") == 0;
    if (standard && uses_standard_input(inputs, *count)) {
        return usage_error(command, "standard input can be read but once");
    }
    char *name = strndup(argument, (size_t)(equals - argument));
    if (!name) return report_sentence(EXIT_BASALT + BASALT_NO_MEMORY, "no memory for a name");
    if (name_taken(inputs, *count, name)) {
        free(name);
        return usage_error(command,
            "\"%.120s\" names two streams: each needs a name of its own, and `cat` makes one of two",
            argument);
    }
    inputs[(*count)++] = (struct input){
        .session = session, .name = name, .path = standard ? NULL : equals + 1, .descriptor = -1};
    return EXIT_FINE;
}

/* Without any NAME=PATH, standard input. */
static int make_inputs(const struct command *command, const struct arguments *arguments,
    const char *instrument, struct session *session, struct input *inputs, size_t *out_count)
{
    *out_count = 0;
    if (strcmp(arguments->values[0], "-") == 0) {
        return usage_error(command,
            "the recording goes into a file, and \"-\" is none; standard input is read without a "
            "word, or as NAME=-");
    }
    for (int i = 1; i < arguments->count; i++) {
        const int leave = add_input(command, arguments->values[i], session, inputs, out_count);
        if (leave) return leave;
    }
    if (*out_count && instrument) {
        return usage_error(
            command, "--instrument names standard input, and streams are given by name");
    }
    if (!*out_count) {
        char *name = strdup(instrument ? instrument : "data");
        if (!name) return report_sentence(EXIT_BASALT + BASALT_NO_MEMORY, "no memory for a name");
        inputs[(*out_count)++] = (struct input){.session = session, .name = name, .descriptor = -1};
    }
    if (uses_standard_input(inputs, *out_count) && isatty(STDIN_FILENO)) {
        return usage_error(
            command, "standard input is a terminal, and an Arrow IPC stream is wanted");
    }
    return EXIT_FINE;
}

static int run(const struct command *command, int argc, char **argv)
{
    struct record_options wishes = {
        .durability = "buffered", .overflow = "block", .compression = 4};
    const struct option list[] = {{"--instrument", OPTION_TEXT, &wishes.instrument},
        {"--durability", OPTION_TEXT, &wishes.durability},
        {"--overflow", OPTION_TEXT, &wishes.overflow},
        {"--compression", OPTION_NUMBER, &wishes.compression},
        {"--resume", OPTION_FLAG, &wishes.resume}, {"--quiet", OPTION_FLAG, &wishes.quiet},
        {"--json", OPTION_FLAG, &wishes.json}};
    struct arguments arguments;
    struct session session = {.stop_pipe = {-1, -1}};
    struct input inputs[ARGUMENTS_MAX];
    basalt_recorder_options options;
    basalt_error error = {.status = BASALT_OK};
    size_t count = 0;
    int leave = EXIT_FINE;
    if (!parse_arguments(command, argc, argv, list, 7, 1, ARGUMENTS_MAX, &arguments, &leave)) {
        return leave;
    }
    leave = fill_options(command, &wishes, &options);
    if (!leave)
        leave = make_inputs(command, &arguments, wishes.instrument, &session, inputs, &count);
    if (!leave && pipe2(session.stop_pipe, O_CLOEXEC)) {
        leave = report_sentence(EXIT_BASALT + BASALT_IO_ERROR, "no pipe: %s", strerror(errno));
    }
    if (!leave &&
        record_all(&session, inputs, count, arguments.values[0], &options, &wishes, &error)) {
        leave = error.message[0] ? report(&error) : EXIT_BASALT + (int)error.status;
    }
    for (size_t i = 0; i < count; i++) {
        if (inputs[i].path && inputs[i].descriptor >= 0) close(inputs[i].descriptor);
        free(inputs[i].name);
    }
    if (session.stop_pipe[0] >= 0) close(session.stop_pipe[0]);
    return finish_output(leave);
}

const struct command record_command = {"record", "record Arrow streams into a file",
    "usage: basalt record OUT.h5 [--instrument NAME] [options] < STREAM\n"
    "       basalt record OUT.h5 NAME=FILE-or-FIFO ... [options]\n\n"
    "Records Arrow IPC streams, one instrument each, from standard input or from files and FIFOs, until\n"
    "they end; SIGINT, SIGTERM and SIGHUP (unless nohup ignores it) end it cleanly. OUT.h5 must not\n"
    "exist; in a directory, a file daq_session_YYYYMMDD_HHMMSS.h5 is made. If it fails before a row is\n"
    "stored, no file is left. Batches may be of any size, rows of up to 16 MiB.\n"
    "Streams of one schema may follow one another, as `cat a.arrows b.arrows` gives them. NAME=- is\n"
    "standard input. The IPC file format (.arrow, Feather) is refused: write a stream.\n\n"
    "  --instrument NAME   of standard input; default data\n"
    "  --durability D      volatile, buffered (default: survives kill -9), sync (power loss)\n"
    "  --overflow O        block (default), drop: when the disk is slower; drops are counted\n"
    "  --compression N     deflate 0 to 9; default 4\n"
    "  --resume            go on in OUT.h5 if it is there, recovering it first if need be\n"
    "  --quiet             no status line\n"
    "  --json              the summary as one object\n\n"
    "example: my-instrument | basalt record session.h5 --instrument spectrometer\n",
    run};
