/* environment.c - threads, memory limit and file system in one handle. */
#include "api/api_internal.h"
#include "codec/codec.h"

#define MEMORY_BYTES_DEFAULT ((uint64_t)1 << 30)

basalt_status bs_api_missing(basalt_error *err, const char *function, const char *argument)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%s needs %s, which is NULL",
        function, argument);
}

void basalt_env_options_init(basalt_env_options *options, size_t options_bytes)
{
    const basalt_env_options defaults = {
        .struct_bytes = options_bytes, .memory_bytes_max = MEMORY_BYTES_DEFAULT};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

static void env_free(basalt_env *env)
{
    if (!env) return;
    if (env->scheduler) {
        atomic_fetch_sub(&env->scheduler->environments, 1);
    } else {
        bs_sched_free(env->parts.sched);
    }
    bs_vfs_free(env->parts.vfs);
    if (env->parts.budget) bs_budget_free(env->parts.budget);
    bs_filter_registry_free(env->filters);
    bs_free(env);
}

basalt_status basalt_env_create(
    const basalt_env_options *options, basalt_env **out_env, basalt_error *err)
{
    basalt_env_options filled;
    basalt_env *env = NULL;
    basalt_status status = BASALT_OK;
    BS_API_NEEDS(out_env);
    *out_env = NULL;
    basalt_env_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    env = bs_alloc_zeroed(1, sizeof *env);
    if (!env) return bs_fail_memory(err, sizeof *env);
    BS_TRY(bs_budget_create(NULL, "environment", filled.memory_bytes_max, &env->parts.budget, err));
    BS_TRY(bs_vfs_local_create(&env->parts.vfs, err));
    BS_TRY(bs_filter_registry_create(&env->filters, err));
    env->parts.filters = env->filters;
    if (filled.scheduler) {
        env->scheduler = filled.scheduler;
        env->parts.sched = filled.scheduler->sched;
        atomic_fetch_add(&filled.scheduler->environments, 1);
    } else {
        BS_TRY(bs_sched_create(filled.threads, &env->parts.sched, err));
    }
    *out_env = env;
    env = NULL;
out:
    env_free(env);
    return status;
}

basalt_status basalt_env_close(basalt_env **env, basalt_error *err)
{
    BS_API_NEEDS(env);
    if (!*env) return BASALT_OK;
    const unsigned open_stores = atomic_load(&(*env)->open_stores);
    const unsigned open_files = atomic_load(&(*env)->open_files);
    if (open_stores || open_files) {
        return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
            "%u stores and %u HDF5 files are still open in this environment", open_stores,
            open_files);
    }
    env_free(*env);
    *env = NULL;
    return BASALT_OK;
}

basalt_status basalt_env_register_filter(basalt_env *env, uint16_t id, const char *name,
    basalt_filter_fn decode, basalt_filter_fn encode, void *context, basalt_error *err)
{
    BS_API_NEEDS(env);
    BS_API_NEEDS(name);
    BS_API_NEEDS(decode);
    if (encode) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "filter %u cannot be registered for encoding: nothing is written with filters of the user",
            (unsigned)id);
    }
    return bs_filter_registry_add(env->filters, id, name, decode, encode, context, err);
}

void basalt_env_get_stats(const basalt_env *env, basalt_env_stats *out_stats)
{
    memset(out_stats, 0, sizeof *out_stats);
    if (!env) return;
    out_stats->memory_bytes = bs_budget_taken(env->parts.budget);
    out_stats->memory_bytes_peak = bs_budget_peak(env->parts.budget);
    out_stats->memory_bytes_max = bs_budget_limit(env->parts.budget);
    out_stats->threads = bs_sched_threads(env->parts.sched);
    out_stats->open_stores = atomic_load(&env->open_stores);
}

basalt_status bs_env_enter(
    basalt_env *given, basalt_env **out_env, bool *out_owned, basalt_error *err)
{
    *out_owned = !given;
    *out_env = given;
    const basalt_status status = given ? BASALT_OK : basalt_env_create(NULL, out_env, err);
    if (!status) atomic_fetch_add(&(*out_env)->open_stores, 1);
    return status;
}

void bs_env_leave(basalt_env *env, bool owned)
{
    if (!env) return;
    atomic_fetch_sub(&env->open_stores, 1);
    if (owned) env_free(env);
}
