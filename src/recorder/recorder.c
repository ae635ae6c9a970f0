/* recorder.c - start, resume and stop of a session; its options, its file name, its figures. */
#include "recorder/recorder_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PATH_BYTES_MAX 4096

basalt_status bs_recorder_options_fill(
    basalt_recorder_options *out_filled, const basalt_recorder_options *options, basalt_error *err)
{
    if (options) {
        if (options->struct_bytes != sizeof *options) {
            return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
                "the recorder's options were not made by basalt_recorder_options_init");
        }
        *out_filled = *options;
    } else {
        *out_filled = (basalt_recorder_options){
            .struct_bytes = sizeof *out_filled,
            .durability = BASALT_BUFFERED,
            .overflow = BASALT_OVERFLOW_BLOCK,
            .block_timeout_ms = 5000,
            .mailbox_bytes_max = (uint64_t)64 << 20,
            .mailbox_messages_max = 4096,
        };
        bs_store_options_fill(&out_filled->store, NULL);
        bs_family_options_fill(&out_filled->family, NULL);
    }
    if (!out_filled->mailbox_messages_max || !out_filled->mailbox_bytes_max) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a mailbox of no messages or no bytes takes nothing: set mailbox_messages_max and "
            "mailbox_bytes_max");
    }
    if ((unsigned)out_filled->durability > BASALT_SYNC ||
        (unsigned)out_filled->overflow > BASALT_OVERFLOW_DROP_NEWEST) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the recorder's options name a durability or an overflow rule that there is not");
    }
    return BASALT_OK;
}

/* ---- opening the session's file -------------------------------------------------------------- */

/* DIRECTORY/daq_session_YYYYMMDD_HHMMSS.h5, from the second try on with _2, _3 … before the dot. */
static basalt_status session_path(const char *directory, const struct tm *now, unsigned attempt,
    char *out, size_t out_bytes, basalt_error *err)
{
    char stamp[32], suffix[16] = "";
    strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", now);
    if (attempt > 1) snprintf(suffix, sizeof suffix, "_%u", attempt);
    const char *slash = directory[strlen(directory) - 1] == '/' ? "" : "/";
    const int length =
        snprintf(out, out_bytes, "%s%sdaq_session_%s%s.h5", directory, slash, stamp, suffix);
    if (length < 0 || (size_t)length >= out_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the path of the directory is longer than %d bytes", PATH_BYTES_MAX);
    }
    return BASALT_OK;
}

/* Making a file that must not exist is the store's one exclusive step, so two recorders that start
 * in the same second get different files. */
static basalt_status open_new_session(struct bs_recorder *recorder,
    const struct bs_env_parts *parts, const char *directory, basalt_error *err)
{
    char path[PATH_BYTES_MAX];
    struct tm now;
    const time_t seconds = (time_t)(bs_wall_ns() / 1000000000);
    localtime_r(&seconds, &now);
    for (unsigned attempt = 1; attempt <= BS_RECORDER_SESSIONS_MAX; attempt++) {
        basalt_status status = session_path(directory, &now, attempt, path, sizeof path, err);
        if (!status) {
            status = bs_store_open(parts, path, &recorder->options.store, &recorder->store, err);
        }
        if (status != BASALT_EXISTS) return status;
    }
    return bs_fail(err, BASALT_EXISTS, BASALT_NO_OFFSET,
        "%s has %d sessions of this second already", directory, BS_RECORDER_SESSIONS_MAX);
}

static basalt_status open_store(struct bs_recorder *recorder, const struct bs_env_parts *parts,
    const char *path, basalt_error *err)
{
    struct bs_file_info info = {0};
    const bool is_directory =
        !parts->vfs->ops->info(parts->vfs, path, &info, NULL) && info.directory;
    const bool resume = recorder->options.resume;

    recorder->options.store.access = resume ? BASALT_READ_WRITE_CREATE : BASALT_CREATE_NEW;
    if (!is_directory) {
        return bs_store_open(parts, path, &recorder->options.store, &recorder->store, err);
    }
    if (resume) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "%s is a directory: to resume a session, name its file", path);
    }
    return open_new_session(recorder, parts, path, err);
}

/* ---- what a resumed file has already --------------------------------------------------------- */

static uint64_t read_count(struct bs_store *store, const char *family, const char *name)
{
    char *text = NULL;
    uint64_t count = 0;
    if (bs_store_get_attribute(store, family, name, &text, NULL)) return 0;
    count = strtoull(text, NULL, 10);
    bs_free(text);
    return count;
}

struct family_names {
    struct bs_recorder *recorder;
    basalt_status status;
    basalt_error *err;
};

static bool remember_family(void *context, const basalt_family_info *info)
{
    struct family_names *names = context;
    struct bs_instrument *instrument = NULL;
    names->status =
        bs_instruments_get(&names->recorder->instruments, info->name, &instrument, names->err);
    return !names->status;
}

static basalt_status learn_instrument(
    struct bs_recorder *recorder, struct bs_instrument *instrument, basalt_error *err)
{
    struct ArrowSchema arrow = {.release = NULL};
    struct bs_schema *schema = NULL;
    basalt_status status = BASALT_OK;
    BS_TRY(bs_store_family_schema(recorder->store, instrument->name, &arrow, err));
    BS_TRY(bs_schema_import(&arrow, &schema, err));
    instrument->made = true;
    instrument->batches_dropped = read_count(recorder->store, instrument->name, "dropped_batches");
    instrument->rows_dropped = read_count(recorder->store, instrument->name, "dropped_rows");
    instrument->batches_told = instrument->batches_dropped;
    recorder->columns += schema->field_count;
    instrument->schema = schema;
out:
    if (arrow.release) arrow.release(&arrow);
    return status;
}

static basalt_status learn_file(struct bs_recorder *recorder, basalt_error *err)
{
    struct family_names names = {.recorder = recorder, .err = err};
    basalt_status status = bs_store_each_family(recorder->store, remember_family, &names, err);
    if (!status) status = names.status;
    const struct bs_instruments *known = &recorder->instruments;
    for (size_t i = 0; !status && i < known->bucket_count; i++) {
        for (struct bs_instrument *at = known->buckets[i]; at && !status; at = at->next) {
            status = learn_instrument(recorder, at, err);
        }
    }
    if (!status) status = bs_kept_read(recorder, err);
    recorder->file_batches_dropped = read_count(recorder->store, NULL, "dropped_batches");
    recorder->file_rows_dropped = read_count(recorder->store, NULL, "dropped_rows");
    return status;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void recorder_free(struct bs_recorder *recorder)
{
    bs_instruments_free(&recorder->instruments);
    bs_condition_destroy(&recorder->finished);
    bs_condition_destroy(&recorder->room);
    bs_condition_destroy(&recorder->work);
    bs_mutex_destroy(&recorder->lock);
    bs_free(recorder);
}

static struct bs_recorder *recorder_new(void)
{
    struct bs_recorder *recorder = bs_alloc_zeroed(1, sizeof *recorder);
    if (!recorder) return NULL;
    recorder->process_id = bs_process_id();
    recorder->last = &recorder->first;
    recorder->flushed_at_ns = bs_now_ns();
    bs_mutex_init(&recorder->lock);
    bs_condition_init(&recorder->work);
    bs_condition_init(&recorder->room);
    bs_condition_init(&recorder->finished);
    return recorder;
}

basalt_status bs_recorder_start(const struct bs_env_parts *parts, const char *path,
    const basalt_recorder_options *options, struct bs_recorder **out_recorder, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    *out_recorder = NULL;
    struct bs_recorder *recorder = recorder_new();
    if (!recorder) return bs_fail_memory(err, sizeof *recorder);

    BS_TRY(bs_recorder_options_fill(&recorder->options, options, err));
    BS_TRY(open_store(recorder, parts, path, err));
    if (recorder->options.resume) BS_TRY(learn_file(recorder, err));
    BS_TRY(bs_thread_start("basalt-recorder", bs_recorder_run, recorder, &recorder->thread, err));
    *out_recorder = recorder;
    recorder = NULL;
out:
    if (recorder) {
        /* A new file that no session came of stays: an empty one, and right. */
        if (recorder->store && bs_store_close(&recorder->store, NULL)) recorder->store = NULL;
        recorder_free(recorder);
    }
    return status;
}

basalt_status bs_recorder_stop(struct bs_recorder **recorder, basalt_error *err)
{
    struct bs_recorder *gone = *recorder;
    basalt_error first = {0}, closing = {0};

    if (bs_recorder_is_worker(gone)) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a callback can't stop its own recorder: it would wait for itself");
    }
    if (gone->process_id != bs_process_id()) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "this recorder belongs to process %" PRIu64 ", from which this one was forked",
            gone->process_id);
    }
    *recorder = NULL;
    bs_mutex_lock(&gone->lock);
    gone->stopping = true;
    bs_condition_signal(&gone->work);
    bs_mutex_unlock(&gone->lock);
    bs_thread_join(gone->thread);
    first = gone->first_error;
    const basalt_status closed = bs_store_close(&gone->store, &closing);
    if (gone->store) bs_store_abandon(gone->store); /* refused: its log stays, nothing is lost */
    if (!first.status && closed) first = closing;
    recorder_free(gone);
    if (first.status && err) *err = first;
    return first.status;
}

basalt_status bs_recorder_get_stats(
    struct bs_recorder *recorder, basalt_recorder_stats *out_stats, basalt_error *err)
{
    *out_stats = (basalt_recorder_stats){0};
    basalt_store_stats store;
    const basalt_status status = bs_store_get_stats(recorder->store, &store, err);
    if (status) return status;
    bs_mutex_lock(&recorder->lock);
    *out_stats = (basalt_recorder_stats){
        .bytes_written = recorder->bytes_written,
        .batches_written = recorder->batches_written,
        .file_path = bs_store_path(recorder->store),
        .file_size = store.file_bytes,
        .num_datasets = recorder->columns,
        .rows_written = recorder->rows_written,
        .batches_dropped = recorder->batches_dropped,
        .rows_dropped = recorder->rows_dropped,
        .queue_messages = recorder->queue_messages,
        .queue_bytes = recorder->queue_bytes,
        .queue_bytes_peak = recorder->queue_bytes_peak,
        .flushes = recorder->flushes,
        .errors = recorder->errors,
        .store = store,
    };
    bs_mutex_unlock(&recorder->lock);
    return BASALT_OK;
}
