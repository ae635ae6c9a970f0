/* reader.c - opening for reading beside a writer, or what a dead one left.
 *
 * The reader takes the superblock, pins its commit with a shared lock on byte 2^62 + commit, and
 * looks at the superblock again: if it moved meanwhile, the writer may not have seen the pin, so it
 * begins again. With READ_FRESH the log, if it is that of this root (story.c), is replayed into a
 * memtable of the reader's own before that second look. Nothing is written, not even to a crashed
 * store: if the superblock is torn, the root that the log tells of is read in place of it. */
#include "store/store_internal.h"

#include <inttypes.h>

#define RETRY_NS 1000000u

/* Zeros where the file ends. */
static basalt_status read_raw(struct bs_store *store, uint8_t out[BS_H5_SUPERBLOCK_BYTES],
    size_t *out_count, basalt_error *err)
{
    memset(out, 0, BS_H5_SUPERBLOCK_BYTES);
    return store->file->ops->read_at(store->file, out, BS_H5_SUPERBLOCK_BYTES, 0, out_count, err);
}

/* The superblock in force; a torn one is read again, since a writer may be at work. */
static basalt_status current_superblock(struct bs_store *store, basalt_error *err)
{
    struct bs_h5_superblock decoded;
    struct bs_wal_inventory log;
    size_t count = 0;
    bool restored;
    basalt_status status = BASALT_OK;
    for (unsigned tries = 0; tries < BS_READER_TRIES_MAX; tries++) {
        status = read_raw(store, store->superblock, &count, err);
        if (!status) status = bs_superblock_check_ours(store, store->superblock, count, err);
        if (status) return status;
        status = bs_h5_superblock_decode(store->superblock, count, &decoded, err);
        if (status == BASALT_OK) return BASALT_OK;
        bs_sleep_ns(RETRY_NS);
    }
    if (bs_wal_inspect(store->parts.vfs, store->path, &log, NULL) || !log.has_story) return status;
    return bs_superblock_choose(store, &log, store->superblock, &restored, err);
}

static basalt_status pin(struct bs_store *store, uint64_t commit, basalt_error *err)
{
    const basalt_status status =
        store->file->ops->lock(store->file, BS_LOCK_SHARED, BS_LOCK_PIN + commit, 1, err);
    if (status != BASALT_UNSUPPORTED) return status;
    atomic_fetch_add(&store->warnings, 1);
    return BASALT_OK;
}

static void unpin(struct bs_store *store, uint64_t commit)
{
    if (store->file->ops->lock(store->file, BS_LOCK_NONE, BS_LOCK_PIN + commit, 1, NULL)) {
        atomic_fetch_add(&store->warnings, 1);
    }
}

static basalt_status has_moved(struct bs_store *store, bool *out_moved, basalt_error *err)
{
    uint8_t again[BS_H5_SUPERBLOCK_BYTES];
    struct bs_h5_superblock decoded;
    size_t count;
    const basalt_status status = read_raw(store, again, &count, err);
    *out_moved = memcmp(again, store->superblock, sizeof again) != 0 &&
        !bs_h5_superblock_decode(again, sizeof again, &decoded, NULL);
    return status;
}

/* The rows of the log, if it is the one of this root. */
static basalt_status replay_log(struct bs_store *store, bs_lsn from, basalt_error *err)
{
    struct bs_bond_file file = {
        .uuid = store->uuid, .open = atomic_load(&store->mark) == BS_MARK_OPEN};
    struct bs_wal_inventory log;
    enum bs_bond bond;
    bs_lsn end;
    memcpy(file.superblock, store->superblock, sizeof file.superblock);
    basalt_status status = bs_bond_look(store->parts.vfs, store->path, &file, &log, &bond, err);
    if (!status) status = bs_bond_fail(bond, store->path, err);
    if (status || bond == BS_BOND_NONE || log.last <= from) return status;
    return bs_replay(store, from, UINT64_MAX, NULL, &end, err);
}

static basalt_status load(
    struct bs_store *store, struct bs_h5_identity *out_identity, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    basalt_status status = bs_h5_file_open_at(store->file, store->superblock, &h5, err);
    if (status) return status;
    bs_h5_file_set_filters(h5, store->parts.filters);
    status = bs_h5_identity_read(h5, out_identity, err);
    if (status == BASALT_NOT_FOUND) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%.120s is an HDF5 file that Basalt did not make: open it as one", store->path);
    }
    if (status) goto out;
    BS_TRY(bs_identity_check(out_identity, false, store->path, err));
    BS_TRY(pin(store, out_identity->commit, err));
    BS_TRY(bs_catalogue_load(h5, &store->catalogue, &store->root_attributes, err));
    struct bs_h5_file *shown = h5;
    h5 = NULL;
    BS_TRY(bs_store_first_view(store, shown, out_identity, err));
    if (store->options.access == BASALT_READ_FRESH) {
        BS_TRY(replay_log(store, out_identity->log_position, err));
    }
out:
    bs_h5_file_close(h5);
    return status;
}

/* Back to an empty struct, for the next try. */
static void unload(struct bs_store *store, uint64_t commit)
{
    if (atomic_load(&store->view.current)) bs_published_set(&store->view, NULL);
    bs_memtable_release(store->active);
    store->active = NULL;
    bs_catalogue_free(&store->catalogue);
    for (size_t i = 0; i < BS_FAMILY_BUCKETS; i++) atomic_store(&store->catalogue.buckets[i], NULL);
    atomic_store(&store->catalogue.count, 0);
    atomic_store(&store->catalogue.id_next, 1);
    bs_name_set_free(&store->root_attributes);
    store->rows_appended = 0;
    store->recovery = (basalt_recovery){0};
    if (commit) unpin(store, commit);
}

static basalt_status check_file(struct bs_store *store, basalt_error *err)
{
    struct bs_file_info info;
    const basalt_status status =
        store->parts.vfs->ops->info(store->parts.vfs, store->path, &info, err);
    if (status || !info.directory) return status;
    return bs_fail(
        err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%.150s is a directory", store->path);
}

/* Says what the file is, if it is nothing that the loop below reads. */
static basalt_status check_kind(struct bs_store *store, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    uint8_t signature[8];
    size_t count = 0;
    basalt_status status =
        store->file->ops->read_at(store->file, signature, sizeof signature, 0, &count, err);
    if (status) return status;
    if (count == sizeof signature && !memcmp(signature, "\x89HDF\r\n\x1a\n", sizeof signature)) {
        return BASALT_OK;
    }
    struct bs_wal_inventory log;
    if (!bs_wal_inspect(store->parts.vfs, store->path, &log, NULL) && log.has_story) {
        return BASALT_OK; /* a torn superblock */
    }
    status = bs_h5_file_open(store->file, &h5, err);
    bs_h5_file_close(h5);
    if (status) return status;
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "%.120s is an HDF5 file that Basalt did not make: open it as one", store->path);
}

basalt_status bs_reader_open(struct bs_store *store, basalt_error *err)
{
    basalt_status status = check_file(store, err);
    if (!status)
        status = bs_file_open(store->parts.vfs, store->path, BS_OPEN_READ, &store->file, err);
    if (!status) status = check_kind(store, err);
    if (status) return status;
    for (unsigned tries = 0; tries < BS_READER_TRIES_MAX; tries++) {
        struct bs_h5_identity identity = {0};
        bool moved = false;
        status = current_superblock(store, err);
        if (status) return status;
        status = load(store, &identity, err);
        if (has_moved(store, &moved, status ? NULL : err) && !status) return BASALT_IO_ERROR;
        if (!moved) return status;
        unload(store, identity.commit);
    }
    return bs_fail(err, BASALT_BUSY, BASALT_NO_OFFSET,
        "%.120s was checkpointed %u times while it was being opened", store->path,
        BS_READER_TRIES_MAX);
}
