/* demo_recorder.c - the recording process of the demo: five instruments, 100 times a second, into
 * one recorder. Every batch that the recorder says is committed is told to the directing process
 * through a pipe, so that what was acknowledged is known outside when this process is killed. */
#include "demo.h"
#include "record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct station {
    basalt_recorder *recorder;
    int pipe_descriptor;
    FILE *sources[INSTRUMENTS];
    struct rows_schema schemas[INSTRUMENTS];
    uint64_t sequence[INSTRUMENTS]; /* number of the next row */
};

struct receipt { /* of one batch on its way */
    struct station *station;
    uint32_t instrument;
    uint64_t rows;
};

static void tell(int descriptor, const struct demo_message *message)
{
    while (write(descriptor, message, sizeof *message) < 0 && errno == EINTR) continue;
}

/* Runs on the recorder's thread, after the commit. */
static void acknowledged(void *context, const basalt_error *error)
{
    struct receipt *receipt = context;
    struct demo_message message = {.kind = error->status ? DEMO_FAILED : DEMO_ACKNOWLEDGED,
        .instrument = receipt->instrument,
        .rows = receipt->rows};
    memcpy(message.text, error->message, sizeof message.text);
    tell(receipt->station->pipe_descriptor, &message);
    free(receipt);
}

static basalt_status send_array(
    struct station *station, uint32_t instrument, struct ArrowArray *array, basalt_error *err)
{
    struct receipt *receipt = malloc(sizeof *receipt);
    basalt_status status = BASALT_NO_MEMORY;
    const uint64_t rows = (uint64_t)array->length;
    if (receipt) {
        *receipt = (struct receipt){station, instrument, rows};
        status = basalt_recorder_write(station->recorder, instrument_names[instrument], array,
            &station->schemas[instrument].root, acknowledged, receipt, err);
    }
    if (status) {
        free(receipt);
        array->release(array);
        return receipt ? status : fail(err, status, "no memory for a batch");
    }
    station->sequence[instrument] += rows;
    return BASALT_OK;
}

static basalt_status send_reading(struct station *station, uint32_t at, basalt_error *err)
{
    static struct rows rows; /* one thread reads all instruments */
    struct ArrowArray array;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    rows.columns = instruments[at].columns;
    rows.column_count = instruments[at].column_count;
    rows.count = 0;
    rewind(station->sources[at]);
    instruments[at].read(station->sources[at], &rows);
    for (size_t i = 0; i < rows.count; i++) {
        rows.cells[i][0].number = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
        rows.cells[i][1].number = (int64_t)(station->sequence[at] + i);
    }
    if (!rows.count) return BASALT_OK; /* a machine without disks */
    const basalt_status status = rows_make_array(&rows, &array, err);
    return status ? status : send_array(station, at, &array, err);
}

static basalt_status send_waveform(struct station *station, basalt_error *err)
{
    struct ArrowArray array;
    double *volts = malloc(SAMPLES_A_TICK * sizeof *volts);
    if (!volts) return fail(err, BASALT_NO_MEMORY, "no memory for the waveform");
    for (size_t i = 0; i < SAMPLES_A_TICK; i++) {
        volts[i] = waveform_sample(station->sequence[WAVEFORM] + i);
    }
    const basalt_status status = rows_make_doubles(volts, SAMPLES_A_TICK, &array, err);
    return status ? status : send_array(station, WAVEFORM, &array, err);
}

static void send_status(struct station *station)
{
    struct demo_message message = {.kind = DEMO_STATUS};
    if (basalt_recorder_get_stats(station->recorder, &message.stats, NULL)) return;
    message.stats.file_path = NULL;
    tell(station->pipe_descriptor, &message);
}

/* Until a signal asks to stop. */
static basalt_status record_ticks(struct station *station, const sigset_t *set, basalt_error *err)
{
    const uint64_t tick_ns = 1000000000 / TICKS_A_SECOND;
    uint64_t next_ns = now_ns();
    basalt_status status = BASALT_OK;
    for (uint64_t tick = 0; !status; tick++) {
        for (uint32_t i = 0; i < INSTRUMENTS && !status; i++) {
            if (station->sources[i]) status = send_reading(station, i, err);
        }
        if (!status) status = send_waveform(station, err);
        if (tick % 20 == 0) send_status(station);
        next_ns += tick_ns;
        const uint64_t now = now_ns(), wait_ns = next_ns > now ? next_ns - now : 0;
        const struct timespec wait = {.tv_nsec = (long)wait_ns};
        if (sigtimedwait(set, NULL, &wait) > 0) break;
    }
    return status;
}

static basalt_status describe(struct station *station, basalt_error *err)
{
    basalt_status status = basalt_recorder_set_metadata(station->recorder, "title",
        "four instruments of this machine, and one that is computed", err);
    for (size_t i = 0; i < INSTRUMENTS && !status; i++) {
        status = basalt_recorder_set_instrument_metadata(
            station->recorder, instrument_names[i], "description", instruments[i].description, err);
        if (!status && instruments[i].source) {
            status = basalt_recorder_set_instrument_metadata(
                station->recorder, instrument_names[i], "source", instruments[i].source, err);
        }
    }
    if (!status) {
        status = basalt_recorder_set_instrument_metadata(
            station->recorder, instrument_names[WAVEFORM], "synthetic", "true", err);
    }
    return status;
}

/* Where a resumed recording goes on: the rows that are there. */
static basalt_status find_sequence(struct station *station, const char *path, basalt_error *err)
{
    basalt_store *store = NULL;
    basalt_snapshot *snapshot = NULL;
    basalt_store_options options;
    if (access(path, F_OK) != 0) return BASALT_OK; /* a new file */
    basalt_store_options_init(&options, sizeof options);
    options.access = BASALT_READ_FRESH;
    basalt_status status = basalt_store_open(path, &options, &store, err);
    if (!status) status = basalt_snapshot_create(store, &snapshot, err);
    for (size_t i = 0; i < INSTRUMENTS && !status; i++) {
        status = basalt_snapshot_rows(snapshot, instrument_names[i], &station->sequence[i], err);
        if (status == BASALT_NOT_FOUND) status = BASALT_OK;
    }
    basalt_snapshot_close(&snapshot);
    const basalt_status closed = store ? basalt_store_close(&store, NULL) : BASALT_OK;
    return status ? status : closed;
}

static void open_sources(struct station *station)
{
    for (size_t i = 0; i < INSTRUMENTS; i++) {
        rows_make_schema(instruments[i].columns, instruments[i].column_count, &station->schemas[i]);
        if (instruments[i].source) station->sources[i] = fopen(instruments[i].source, "r");
        if (station->sources[i]) setvbuf(station->sources[i], NULL, _IOFBF, 65536);
    }
}

int demo_record(const char *path, int pipe_descriptor)
{
    static struct station station;
    sigset_t set;
    basalt_recorder_options options;
    basalt_error error = {.status = BASALT_OK};
    station.pipe_descriptor = pipe_descriptor;
    signals_hold(&set, 0);
    open_sources(&station);
    basalt_recorder_options_init(&options, sizeof options);
    options.durability = BASALT_SYNC;
    options.resume = true;
    options.store.application = "basalt demo";
    basalt_status status = find_sequence(&station, path, &error);
    if (!status) status = basalt_recorder_start(path, &options, &station.recorder, &error);
    if (!status) status = describe(&station, &error);
    if (!status) status = record_ticks(&station, &set, &error);
    if (station.recorder) {
        const basalt_status stopped =
            basalt_recorder_stop(&station.recorder, status ? NULL : &error);
        if (!status) status = stopped;
    }
    for (size_t i = 0; i < INSTRUMENTS; i++) {
        if (station.sources[i]) fclose(station.sources[i]);
    }
    return status ? report(&error) : EXIT_FINE;
}
