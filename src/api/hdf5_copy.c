/* hdf5_copy.c - basalt_hdf5_copy of basalt/hdf5.h. */
#include "api/api_internal.h"
#include "copy/copy.h"

void basalt_hdf5_copy_options_init(basalt_hdf5_copy_options *options, size_t options_bytes)
{
    const basalt_hdf5_copy_options defaults = {
        .struct_bytes = options_bytes, .chunk_memory_bytes = BS_H5_CHUNK_MEMORY};
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

static basalt_status lists_check(const basalt_hdf5_copy_options *options, basalt_error *err)
{
    const bool missing =
        (options->path_count && !options->paths) || (options->rule_count && !options->rules);
    for (size_t i = 0; !missing && i < options->path_count; i++) {
        if (!options->paths[i]) return bs_api_missing(err, "basalt_hdf5_copy", "paths");
    }
    return missing ? bs_api_missing(err, "basalt_hdf5_copy", "paths or rules") : BASALT_OK;
}

basalt_status basalt_hdf5_copy(const char *source, const char *target,
    const basalt_hdf5_copy_options *options, basalt_hdf5_copy_report *out_report, basalt_error *err)
{
    basalt_hdf5_copy_options filled;
    basalt_env *env = NULL;
    bool owned = false;
    if (out_report) memset(out_report, 0, sizeof *out_report);
    BS_API_NEEDS(source);
    BS_API_NEEDS(target);
    basalt_hdf5_copy_options_init(&filled, sizeof filled);
    if (options) memcpy(&filled, options, BS_MIN(options->struct_bytes, sizeof filled));
    basalt_status status = lists_check(&filled, err);
    if (!status) status = bs_env_enter(filled.env, &env, &owned, err);
    if (status) return status;
    const struct bs_copy_parts parts = {.vfs = env->parts.vfs,
        .sched = env->parts.sched,
        .budget = env->parts.budget,
        .filters = env->filters,
        .cancel = bs_cancel_of(filled.cancel)};
    status = bs_copy(&parts, source, target, &filled, out_report, err);
    bs_env_leave(env, owned);
    return status;
}
