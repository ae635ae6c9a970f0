/* recorder.c - basalt/recorder.h: arguments checked, then the floor below. */
#include "api/api_internal.h"
#include "recorder/recorder.h"

struct basalt_recorder {
    struct bs_recorder *recorder;
    basalt_env *env;
    bool owns_env;
};

void basalt_recorder_options_init(basalt_recorder_options *options, size_t options_bytes)
{
    basalt_recorder_options defaults = {0};
    if (bs_recorder_options_fill(&defaults, NULL, NULL)) return; /* the defaults are right */
    defaults.struct_bytes = options_bytes;
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

basalt_status basalt_recorder_start(const char *path, const basalt_recorder_options *options,
    basalt_recorder **out_recorder, basalt_error *err)
{
    basalt_recorder *started;
    basalt_status status = BASALT_OK;
    BS_API_NEEDS(out_recorder);
    *out_recorder = NULL;
    BS_API_NEEDS(path);
    started = bs_alloc_zeroed(1, sizeof *started);
    if (!started) return bs_fail_memory(err, sizeof *started);
    BS_TRY(
        bs_env_enter(options ? options->store.env : NULL, &started->env, &started->owns_env, err));
    BS_TRY(bs_recorder_start(&started->env->parts, path, options, &started->recorder, err));
    *out_recorder = started;
    started = NULL;
out:
    if (started) bs_env_leave(started->env, started->owns_env);
    bs_free(started);
    return status;
}

basalt_status basalt_recorder_stop(basalt_recorder **recorder, basalt_error *err)
{
    BS_API_NEEDS(recorder);
    if (!*recorder) return BASALT_OK;
    basalt_recorder *gone = *recorder;
    const basalt_status status = bs_recorder_stop(&gone->recorder, err);
    if (gone->recorder) return status; /* from a callback, or in a forked child: it stays */
    bs_env_leave(gone->env, gone->owns_env);
    bs_free(gone);
    *recorder = NULL;
    return status;
}

basalt_status basalt_recorder_write(basalt_recorder *recorder, const char *instrument_id,
    struct ArrowArray *array, const struct ArrowSchema *schema, basalt_done_fn done, void *context,
    basalt_error *err)
{
    BS_API_NEEDS(recorder);
    BS_API_NEEDS(instrument_id);
    BS_API_NEEDS(array);
    return bs_recorder_write(recorder->recorder, instrument_id, array, schema, done, context, err);
}

basalt_status basalt_recorder_write_ipc(basalt_recorder *recorder, const char *instrument_id,
    const void *bytes, size_t count, basalt_done_fn done, void *context, basalt_error *err)
{
    BS_API_NEEDS(recorder);
    BS_API_NEEDS(instrument_id);
    BS_API_NEEDS(bytes);
    return bs_recorder_write_ipc(
        recorder->recorder, instrument_id, bytes, count, done, context, err);
}

basalt_status basalt_recorder_set_metadata(
    basalt_recorder *recorder, const char *key, const char *value, basalt_error *err)
{
    BS_API_NEEDS(recorder);
    BS_API_NEEDS(key);
    BS_API_NEEDS(value);
    return bs_recorder_set_metadata(recorder->recorder, NULL, key, value, err);
}

basalt_status basalt_recorder_set_instrument_metadata(basalt_recorder *recorder,
    const char *instrument_id, const char *key, const char *value, basalt_error *err)
{
    BS_API_NEEDS(recorder);
    BS_API_NEEDS(instrument_id);
    BS_API_NEEDS(key);
    BS_API_NEEDS(value);
    return bs_recorder_set_metadata(recorder->recorder, instrument_id, key, value, err);
}

basalt_status basalt_recorder_flush(basalt_recorder *recorder, basalt_error *err)
{
    BS_API_NEEDS(recorder);
    return bs_recorder_flush(recorder->recorder, err);
}

basalt_status basalt_recorder_get_stats(
    basalt_recorder *recorder, basalt_recorder_stats *out_stats, basalt_error *err)
{
    BS_API_NEEDS(out_stats);
    memset(out_stats, 0, sizeof *out_stats);
    BS_API_NEEDS(recorder);
    return bs_recorder_get_stats(recorder->recorder, out_stats, err);
}
