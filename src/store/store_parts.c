/* store_parts.c - the struct of a store: made, shown its first view, freed; and the checks that
 * every call begins with. */
#include "store/store_internal.h"

static basalt_status check_options(const basalt_store_options *options, basalt_error *err)
{
    if (options->access > BASALT_READ_FRESH) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "the access %d is unknown",
            (int)options->access);
    }
    if (options->log_segment_bytes < BS_WAL_SEGMENT_BYTES_MIN ||
        options->log_segment_bytes % 4096 || options->log_segment_bytes > (uint64_t)1 << 40) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "log segments of %llu bytes: at least 65,536 and a multiple of 4,096",
            (unsigned long long)options->log_segment_bytes);
    }
    if (!options->memtable_bytes_max || !options->checkpoint_log_bytes) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "memtable_bytes_max and checkpoint_log_bytes must be over 0");
    }
    return BASALT_OK;
}

static basalt_status copy_texts(struct bs_store *store, const char *path, basalt_error *err)
{
    basalt_status status =
        store->parts.vfs->ops->real_path(store->parts.vfs, path, &store->path, err);
    if (status) return status;
    store->directory = bs_path_directory(store->path);
    store->application =
        bs_copy_string(store->options.application ? store->options.application : "");
    store->options.application = store->application;
    return store->directory && store->application ? BASALT_OK
                                                  : bs_fail_memory(err, strlen(store->path));
}

/* A record and its frame fit into one segment. */
static size_t record_bytes_max(uint64_t segment_bytes)
{
    const uint64_t room = segment_bytes - 4096 - 64;
    return (size_t)BS_MIN(room, (uint64_t)BS_WAL_RECORD_BYTES_MAX);
}

basalt_status bs_store_new(const struct bs_env_parts *parts, const char *path,
    const basalt_store_options *options, struct bs_store **out_store, basalt_error *err)
{
    basalt_store_options filled;
    *out_store = NULL;
    bs_store_options_fill(&filled, options);
    basalt_status status = check_options(&filled, err);
    if (status) return status;
    struct bs_store *store = bs_alloc_zeroed(1, sizeof *store);
    if (!store) return bs_fail_memory(err, sizeof *store);
    store->parts = *parts;
    store->options = filled;
    store->process_id = bs_process_id();
    store->read_only =
        filled.access == BASALT_READ_CHECKPOINT || filled.access == BASALT_READ_FRESH;
    store->record_bytes_max = record_bytes_max(filled.log_segment_bytes);
    store->visible_max = UINT64_MAX;
    atomic_store(&store->catalogue.id_next, 1);
    atomic_store(&store->readers_known, true);
    bs_mutex_init(&store->commit_lock);
    bs_mutex_init(&store->roots_lock);
    bs_condition_init(&store->visible_changed);
    bs_condition_init(&store->room);
    bs_condition_init(&store->work);
    bs_condition_init(&store->done);
    bs_scratch_pool_init(&store->scratches);
    BS_TRY(copy_texts(store, path, err));
    *out_store = store;
    store = NULL;
out:
    bs_store_free(store);
    return status;
}

void bs_store_free(struct bs_store *store)
{
    if (!store) return;
    assert(!store->thread);
    bs_wal_writer_close(store->wal);
    bs_h5_writer_close(store->writer);
    if (atomic_load(&store->view.current)) bs_published_set(&store->view, NULL);
    bs_memtable_release(store->frozen);
    bs_memtable_release(store->active);
    assert(!store->roots_oldest);
    bs_catalogue_free(&store->catalogue);
    bs_name_set_free(&store->root_attributes);
    bs_scratch_pool_destroy(&store->scratches);
    bs_file_close(store->file);
    bs_condition_destroy(&store->done);
    bs_condition_destroy(&store->work);
    bs_condition_destroy(&store->room);
    bs_condition_destroy(&store->visible_changed);
    bs_mutex_destroy(&store->roots_lock);
    bs_mutex_destroy(&store->commit_lock);
    bs_free(store->application);
    bs_free(store->directory);
    bs_free(store->path);
    bs_free(store);
}

basalt_status bs_store_first_view(struct bs_store *store, struct bs_h5_file *h5,
    const struct bs_h5_identity *identity, basalt_error *err)
{
    struct bs_root *root = NULL;
    struct bs_view *view = NULL;
    const bs_lsn cut = identity->log_position;
    basalt_status status = bs_root_create(store, h5, identity->commit, cut, &root, err);
    if (status) return status;
    BS_TRY(bs_memtable_create(store->parts.budget, ++store->memtables_made, &store->active, err));
    BS_TRY(bs_view_create(root, NULL, store->active, &view, err));
    bs_published_set(&store->view, &view->shared);
    memcpy(store->uuid, identity->store_uuid, sizeof store->uuid);
    store->commit = identity->commit;
    atomic_store(&store->mark, bs_mark_of(identity));
    store->appended = cut;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        store->rows_appended += family->next_row;
    }
    atomic_store(&store->commit_shown, store->commit);
    atomic_store(&store->cut, cut);
    atomic_store(&store->visible, cut);
    atomic_store(&store->rows_visible, store->rows_appended);
out:
    bs_shared_release(&root->shared);
    return status;
}

basalt_status bs_store_check(struct bs_store *store, bool writing, basalt_error *err)
{
    if (bs_process_id() != store->process_id) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the store was opened by the process that forked this one: open it again here");
    }
    if (writing && store->read_only) {
        return bs_fail(err, BASALT_READ_ONLY, BASALT_NO_OFFSET, "%.150s is open for reading only",
            store->path);
    }
    return BASALT_OK;
}

const char *bs_store_path(const struct bs_store *store)
{
    return store->path;
}
