/* store.c - open, close, and what can be asked of an open store. */
#include "store/store_internal.h"

#include <inttypes.h>

static basalt_status open_store(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, bool without_log, struct bs_store **out_store,
    basalt_error *err)
{
    struct bs_store *store = NULL;
    *out_store = NULL;
    basalt_status status = bs_store_new(parts, path, options, &store, err);
    if (status) return status;
    store->without_log = without_log;
    if (store->read_only) {
        BS_TRY(bs_reader_open(store, err));
    } else {
        BS_TRY(bs_recovery_open(store, err));
        BS_TRY(bs_checkpoint_start(store, err));
    }
    *out_store = store;
    store = NULL;
out:
    bs_store_free(store);
    return status;
}

basalt_status bs_store_open(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, struct bs_store **out_store, basalt_error *err)
{
    return open_store(parts, path, options, false, out_store, err);
}

basalt_status bs_store_open_without_log(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, struct bs_store **out_store, basalt_error *err)
{
    return open_store(parts, path, options, true, out_store, err);
}

static basalt_status close_writer(struct bs_store *store, basalt_error *err)
{
    basalt_status status = bs_checkpoint_run(store, true, err);
    if (!status && store->rebuilt_chunks) status = bs_checkpoint_rebuild(store, err);
    if (!status) status = bs_store_shrink(store, err);
    if (!status) status = bs_lock_unprotect(store, err);
    if (status) return status;
    bs_wal_writer_close(store->wal);
    store->wal = NULL;
    return bs_wal_remove_all(store->parts.vfs, store->path, 0, err);
}

basalt_status bs_store_may_close(struct bs_store *store, basalt_error *err)
{
    const basalt_status status = bs_store_check(store, false, err);
    if (status) return status; /* the parent's: nothing here may be touched */
    const uint64_t handles = atomic_load(&store->handles);
    if (!handles) return BASALT_OK;
    return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
        "%" PRIu64 " snapshots, scans or transactions of %.100s are still open", handles,
        store->path);
}

basalt_status bs_store_close(struct bs_store **store, basalt_error *err)
{
    struct bs_store *gone = *store;
    basalt_status status = bs_store_may_close(gone, err);
    if (status) return status;
    *store = NULL;
    if (!gone->read_only) {
        bs_mutex_lock(&gone->commit_lock);
        gone->closing = true;
        bs_mutex_unlock(&gone->commit_lock);
        bs_checkpoint_stop(gone);
        status = close_writer(gone, err);
    }
    bs_store_free(gone);
    return status;
}

void bs_store_abandon(struct bs_store *store)
{
    if (!store) return;
    assert(!atomic_load(&store->handles));
    if (store->thread) bs_checkpoint_stop(store);
    bs_store_free(store);
}

basalt_status bs_store_checkpoint(struct bs_store *store, basalt_error *err)
{
    const basalt_status status = bs_store_check(store, true, err);
    return status ? status : bs_checkpoint_request(store, err);
}

/* ---- stats ------------------------------------------------------------------------------------- */

static void log_stats(struct bs_store *store, basalt_store_stats *out)
{
    struct bs_wal_stats log = {0};
    out->since_sync_ns = UINT64_MAX;
    if (!store->wal) return;
    bs_wal_stats(store->wal, &log);
    out->syncs = log.syncs;
    out->log_bytes = log.log_bytes;
    out->last_sync_ns = log.last_sync_ns;
    if (log.last_sync_at_ns) out->since_sync_ns = bs_now_ns() - log.last_sync_at_ns;
}

basalt_status bs_store_get_stats(
    struct bs_store *store, basalt_store_stats *out_stats, basalt_error *err)
{
    basalt_store_stats *out = out_stats;
    memset(out, 0, sizeof *out);
    const basalt_status status = bs_store_check(store, false, err);
    if (status) return status;
    out->families = atomic_load(&store->catalogue.count);
    out->rows = atomic_load(&store->rows_visible);
    out->batches = atomic_load(&store->batches);
    out->bytes = atomic_load(&store->bytes);
    out->commits = atomic_load(&store->commits);
    out->checkpoints = atomic_load(&store->checkpoints);
    out->checkpoint_last_ns = atomic_load(&store->checkpoint_last_ns);
    out->checkpoint_max_ns = atomic_load(&store->checkpoint_max_ns);
    out->stalls = atomic_load(&store->stalls);
    out->stall_max_ns = atomic_load(&store->stall_max_ns);
    out->file_bytes = atomic_load(&store->file_bytes);
    out->live_bytes = atomic_load(&store->live_bytes);
    out->free_bytes = atomic_load(&store->free_bytes);
    out->retired_bytes = atomic_load(&store->retired_bytes);
    out->commit_number = atomic_load(&store->commit_shown);
    out->log_position = atomic_load(&store->visible);
    out->cut = atomic_load(&store->cut);
    out->readers_known = atomic_load(&store->readers_known);
    bs_mutex_lock(&store->commit_lock);
    out->memtable_bytes = bs_store_memtable_bytes(store);
    bs_mutex_unlock(&store->commit_lock);
    log_stats(store, out);
    return BASALT_OK;
}

/* ---- families ------------------------------------------------------------------------------------ */

basalt_status bs_store_family_schema(
    struct bs_store *store, const char *name, struct ArrowSchema *out_schema, basalt_error *err)
{
    struct bs_family *family;
    memset(out_schema, 0, sizeof *out_schema);
    basalt_status status = bs_store_check(store, false, err);
    if (!status) {
        status = bs_view_family(store, atomic_load(&store->visible), name, &family, err);
    }
    return status ? status : bs_schema_export(family->schema, out_schema, err);
}

static basalt_status describe(struct bs_view *view, bs_lsn position, struct bs_family *family,
    basalt_family_info *out, basalt_error *err)
{
    *out = (basalt_family_info){.name = family->name,
        .columns = family->schema->field_count,
        .compression_level = family->compression_level};
    out->chunk_rows = atomic_load(&family->chunk_rows_now);
    return bs_view_rows(view, position, family, &out->rows, err);
}

basalt_status bs_store_family_info(
    struct bs_store *store, const char *name, basalt_family_info *out_info, basalt_error *err)
{
    struct bs_family *family;
    struct bs_view *view;
    bs_lsn position;
    memset(out_info, 0, sizeof *out_info);
    basalt_status status = bs_store_check(store, false, err);
    if (status) return status;
    bs_view_take(store, &view, &position);
    status = bs_view_family(store, position, name, &family, err);
    if (!status) status = describe(view, position, family, out_info, err);
    out_info->name = status ? NULL : name;
    bs_view_release(view);
    return status;
}

basalt_status bs_store_each_family(
    struct bs_store *store, basalt_family_fn each, void *context, basalt_error *err)
{
    struct bs_snapshot *snapshot = NULL;
    basalt_status status = bs_snapshot_create(store, &snapshot, err);
    if (status) return status;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family && !status;
         family = atomic_load_explicit(&family->next, memory_order_acquire)) {
        basalt_family_info info;
        if (family->created > snapshot->position) continue;
        status = describe(snapshot->view, snapshot->position, family, &info, err);
        if (!status && !each(context, &info)) break;
    }
    bs_snapshot_close(&snapshot);
    return status;
}
