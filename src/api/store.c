/* store.c - basalt/store.h: arguments checked, then the floor below. */
#include "api/api_internal.h"

void basalt_store_options_init(basalt_store_options *options, size_t options_bytes)
{
    basalt_store_options defaults;
    bs_store_options_fill(&defaults, NULL);
    defaults.struct_bytes = options_bytes;
    memset(options, 0, options_bytes);
    memcpy(options, &defaults, BS_MIN(options_bytes, sizeof defaults));
}

static basalt_status open_draft(
    basalt_store *store, const char *path, const basalt_store_options *options, basalt_error *err)
{
    const struct bs_env_parts *parts = &store->env->parts;
    basalt_status status = bs_part_target_check(parts->vfs, path, true, err);
    if (!status) status = bs_draft_open(parts, path, options, &store->draft, err);
    if (!status) store->store = bs_draft_store(store->draft);
    return status;
}

basalt_status basalt_store_open(const char *path, const basalt_store_options *options,
    basalt_store **out_store, basalt_error *err)
{
    basalt_store_options filled;
    basalt_store *opened;
    basalt_status status = BASALT_OK;
    BS_API_NEEDS(out_store);
    *out_store = NULL;
    BS_API_NEEDS(path);
    bs_store_options_fill(&filled, options);
    opened = bs_alloc_zeroed(1, sizeof *opened);
    if (!opened) return bs_fail_memory(err, sizeof *opened);
    BS_TRY(bs_env_enter(filled.env, &opened->env, &opened->owns_env, err));
    if (filled.access == BASALT_REPLACE)
        BS_TRY(open_draft(opened, path, &filled, err));
    else
        BS_TRY(bs_store_open(&opened->env->parts, path, &filled, &opened->store, err));
    *out_store = opened;
    opened = NULL;
out:
    if (opened) bs_env_leave(opened->env, opened->owns_env);
    bs_free(opened);
    return status;
}

basalt_status basalt_store_close(basalt_store **store, basalt_error *err)
{
    BS_API_NEEDS(store);
    if (!*store) return BASALT_OK;
    basalt_store *gone = *store;
    const bool draft = gone->draft != NULL;
    const basalt_status status =
        draft ? bs_draft_place(&gone->draft, true, err) : bs_store_close(&gone->store, err);
    if (draft ? gone->draft != NULL : gone->store != NULL) {
        return status; /* busy, or a forked child's: it stays */
    }
    bs_env_leave(gone->env, gone->owns_env);
    bs_free(gone);
    *store = NULL;
    return status;
}

basalt_status basalt_store_discard(basalt_store **store, basalt_error *err)
{
    BS_API_NEEDS(store);
    if (!*store) return BASALT_OK;
    basalt_store *gone = *store;
    if (!gone->draft) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "only a store that was opened to replace a file can be discarded");
    }
    const basalt_status status = bs_store_may_close(gone->store, err);
    if (status) return status;
    bs_draft_discard(gone->draft);
    bs_env_leave(gone->env, gone->owns_env);
    bs_free(gone);
    *store = NULL;
    return BASALT_OK;
}

basalt_status basalt_store_checkpoint(basalt_store *store, basalt_error *err)
{
    BS_API_NEEDS(store);
    return bs_store_checkpoint(store->store, err);
}

basalt_status basalt_store_sync(basalt_store *store, basalt_error *err)
{
    BS_API_NEEDS(store);
    return bs_store_sync(store->store, err);
}

basalt_status basalt_store_get_stats(
    basalt_store *store, basalt_store_stats *out_stats, basalt_error *err)
{
    BS_API_NEEDS(out_stats);
    memset(out_stats, 0, sizeof *out_stats);
    BS_API_NEEDS(store);
    return bs_store_get_stats(store->store, out_stats, err);
}

/* ---- attributes -------------------------------------------------------------------------------- */

basalt_status basalt_set_attribute(
    basalt_store *store, const char *family, const char *name, const char *value, basalt_error *err)
{
    BS_API_NEEDS(store);
    BS_API_NEEDS(name);
    BS_API_NEEDS(value);
    return bs_store_set_attribute(store->store, family, name, value, err);
}

basalt_status basalt_get_attribute(
    basalt_store *store, const char *family, const char *name, char **out_value, basalt_error *err)
{
    BS_API_NEEDS(out_value);
    *out_value = NULL;
    BS_API_NEEDS(store);
    BS_API_NEEDS(name);
    return bs_store_get_attribute(store->store, family, name, out_value, err);
}

basalt_status basalt_each_attribute(basalt_store *store, const char *family,
    basalt_attribute_fn each, void *context, basalt_error *err)
{
    BS_API_NEEDS(store);
    BS_API_NEEDS(each);
    return bs_store_each_attribute(store->store, family, each, context, err);
}

void basalt_free(void *memory)
{
    bs_free(memory);
}

/* ---- care -------------------------------------------------------------------------------------- */

basalt_status basalt_inspect(const char *path, basalt_inspection *out_inspection, basalt_error *err)
{
    struct bs_vfs *vfs = NULL;
    BS_API_NEEDS(out_inspection);
    memset(out_inspection, 0, sizeof *out_inspection);
    BS_API_NEEDS(path);
    basalt_status status = bs_vfs_local_create(&vfs, err);
    if (!status) status = bs_store_inspect(vfs, path, out_inspection, err);
    bs_vfs_free(vfs);
    return status;
}

static basalt_status recover(
    const char *path, bool without_log, basalt_recovery *out_recovery, basalt_error *err)
{
    basalt_env *env = NULL;
    bool owned;
    BS_API_NEEDS(out_recovery);
    memset(out_recovery, 0, sizeof *out_recovery);
    BS_API_NEEDS(path);
    basalt_status status = bs_env_enter(NULL, &env, &owned, err);
    if (!status) status = bs_store_recover(&env->parts, path, without_log, out_recovery, err);
    bs_env_leave(env, owned);
    return status;
}

basalt_status basalt_recover(const char *path, basalt_recovery *out_recovery, basalt_error *err)
{
    return recover(path, false, out_recovery, err);
}

basalt_status basalt_recover_without_log(
    const char *path, basalt_recovery *out_recovery, basalt_error *err)
{
    return recover(path, true, out_recovery, err);
}

basalt_status basalt_verify(const char *path, basalt_finding_fn finding,
    basalt_progress_fn progress, void *context, uint64_t *out_faults, basalt_error *err)
{
    basalt_env *env = NULL;
    bool owned;
    BS_API_NEEDS(out_faults);
    *out_faults = 0;
    BS_API_NEEDS(path);
    basalt_status status = bs_env_enter(NULL, &env, &owned, err);
    if (!status) {
        status = bs_store_verify(&env->parts, path, finding, progress, context, out_faults, err);
    }
    bs_env_leave(env, owned);
    return status;
}

basalt_status basalt_rebuild_statistics(const char *path, uint64_t *out_chunks, basalt_error *err)
{
    basalt_env *env = NULL;
    bool owned;
    BS_API_NEEDS(out_chunks);
    *out_chunks = 0;
    BS_API_NEEDS(path);
    basalt_status status = bs_env_enter(NULL, &env, &owned, err);
    if (!status) status = bs_store_rebuild_statistics(&env->parts, path, out_chunks, err);
    bs_env_leave(env, owned);
    return status;
}

basalt_status basalt_backup(const char *path, const char *destination, basalt_progress_fn progress,
    void *context, basalt_error *err)
{
    basalt_env *env = NULL;
    bool owned;
    BS_API_NEEDS(path);
    BS_API_NEEDS(destination);
    basalt_status status = bs_env_enter(NULL, &env, &owned, err);
    if (!status) status = bs_store_backup(&env->parts, path, destination, progress, context, err);
    bs_env_leave(env, owned);
    return status;
}
