/* recovery.c - opening for writing: a new file, one that was closed cleanly, one that was not.
 *
 * A file without a log beside it is opened as it is, unless it says that it was not closed: then its
 * log is missed, and the opening refused (story.c). With one:
 *   (1) The log must be of this store and tell of the superblock that the file has: `current` of its
 *       newest story, or `next`, if the flip under way came through. A superblock that is garbage (a
 *       torn sector) is restored: to `next` if everything under that root verifies, else to
 *       `current`. Anything else is another story: CONFLICT, and nothing is changed.
 *   (2) The superblock is written again and synced, with its directory, before anything else: what
 *       was read may have come from pages that the dead process never synced.
 *   (3) What is after the cut is replayed into the memtable. A log of a new epoch begins where the
 *       last whole transaction ends. Then the store answers; the rows go into the file as all others.
 *   (4) When the memtable has REPLAY_MEMTABLES times what it may have else, or the budget has no more,
 *       there is a checkpoint during the replay. It needs a place for its story: a pass over the log
 *       then finds its end before the replay does, and the new log is begun.
 *   (5) The old segments go when the cut is behind them. A crash in between finds them and the new
 *       log, which goes on where they end. What lies in them need not have been synced: so until they
 *       are gone no sync commit is taken, and no sync is promised (bs_store_wait_recovered). */
#include "store/store_internal.h"

#include <inttypes.h>
#include <stdio.h>

#define REPLAY_MEMTABLES 8u

/* ---- choosing the superblock -------------------------------------------------------------------- */

static basalt_status ignore_extent(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    (void)context;
    (void)extent;
    (void)purpose;
    (void)err;
    return BASALT_OK;
}

/* Is everything under this root there, and of this store? */
static bool root_verifies(struct bs_store *store, const struct bs_wal_inventory *log,
    const uint8_t superblock[BS_H5_SUPERBLOCK_BYTES])
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    bool complete = false, right = false;
    if (bs_h5_file_open_at(store->file, superblock, &h5, NULL)) return false;
    if (!bs_h5_identity_read(h5, &identity, NULL)) {
        const struct bs_h5_superblock *at = bs_h5_file_superblock(h5);
        right = !memcmp(identity.store_uuid, log->story.store_uuid, sizeof identity.store_uuid) &&
            identity.root == at->root && identity.end_of_file == at->end_of_file &&
            !bs_h5_walk_extents(h5, ignore_extent, NULL, &complete, NULL) && complete;
    }
    bs_h5_file_close(h5);
    return right;
}

static basalt_status from_story(struct bs_store *store, const struct bs_wal_inventory *log,
    uint8_t out[BS_H5_SUPERBLOCK_BYTES], basalt_error *err)
{
    const uint8_t *candidates[] = {log->story.next, log->story.current};
    uint64_t size = 0;
    const basalt_status status = bs_file_size(store->file, &size, err);
    if (status) return status;
    if (!bs_story_allows_torn(&log->story, size)) {
        return bs_bond_fail(BS_BOND_PARTED, store->path, err);
    }
    for (size_t i = 0; i < BS_ARRAY_LENGTH(candidates); i++) {
        if (!root_verifies(store, log, candidates[i])) continue;
        memcpy(out, candidates[i], BS_H5_SUPERBLOCK_BYTES);
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_CORRUPT, 0,
        "the superblock of %.80s is destroyed, and neither root that its log tells of is whole",
        store->path);
}

basalt_status bs_superblock_check_ours(
    const struct bs_store *store, const uint8_t *superblock, size_t count, basalt_error *err)
{
    static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    if (count < 9 || memcmp(superblock, signature, sizeof signature) != 0) return BASALT_OK;
    if (superblock[8] >= 2) return BASALT_OK;
    return bs_fail(err, BASALT_UNSUPPORTED, 8,
        "%.80s is an HDF5 file that Basalt did not make (superblock version %u): it can be read, with"
        " `basalt ls` and `cat`, and not written",
        store->path, superblock[8]);
}

basalt_status bs_superblock_choose(struct bs_store *store, const struct bs_wal_inventory *log,
    uint8_t out[BS_H5_SUPERBLOCK_BYTES], bool *out_restored, basalt_error *err)
{
    struct bs_h5_superblock decoded;
    size_t count = 0;
    *out_restored = false;
    memset(out, 0, BS_H5_SUPERBLOCK_BYTES);
    basalt_status status =
        store->file->ops->read_at(store->file, out, BS_H5_SUPERBLOCK_BYTES, 0, &count, err);
    if (!status) status = bs_superblock_check_ours(store, out, count, err);
    if (status == BASALT_UNSUPPORTED && log->has_story) {
        return bs_bond_fail(BS_BOND_PARTED, store->path, err);
    }
    if (status) return status;
    const bool readable = !bs_h5_superblock_decode(out, count, &decoded, NULL);
    if (!log->has_story) {
        return readable ? BASALT_OK : bs_h5_superblock_decode(out, count, &decoded, err);
    }
    if (!readable) {
        *out_restored = true;
        return from_story(store, log, out, err);
    }
    if (!memcmp(out, log->story.current, BS_H5_SUPERBLOCK_BYTES) ||
        !memcmp(out, log->story.next, BS_H5_SUPERBLOCK_BYTES)) {
        return BASALT_OK;
    }
    return bs_bond_fail(BS_BOND_PARTED, store->path, err);
}

/* The whole sector: what a torn write left in the rest of it goes too. */
static basalt_status rewrite_superblock(struct bs_store *store, basalt_error *err)
{
    uint8_t sector[512] = {0};
    memcpy(sector, store->superblock, BS_H5_SUPERBLOCK_BYTES);
    basalt_status status = bs_file_write_at(store->file, sector, sizeof sector, 0, err);
    if (!status) status = bs_file_sync(store->file, err);
    if (!status) {
        status = store->parts.vfs->ops->sync_directory(store->parts.vfs, store->directory, err);
    }
    return status;
}

/* ---- what the file is ------------------------------------------------------------------------------ */

basalt_status bs_identity_check(
    const struct bs_h5_identity *identity, bool writing, const char *path, basalt_error *err)
{
    if (identity->format_version > BS_FORMAT_VERSION || identity->feature_refuse) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%.120s was written by a newer Basalt (format %" PRIu32 "): update this one", path,
            identity->format_version);
    }
    if (writing && (identity->feature_read_only & ~BS_H5_FEATURES_READ_ONLY)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%.120s uses features of a newer Basalt: this one may read it, not write it", path);
    }
    return BASALT_OK;
}

static basalt_status read_identity(struct bs_store *store, struct bs_h5_file *h5,
    struct bs_h5_identity *out_identity, basalt_error *err)
{
    const basalt_status status = bs_h5_identity_read(h5, out_identity, err);
    if (status == BASALT_NOT_FOUND) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "%.120s is an HDF5 file that Basalt did not make: it can be read, not written",
            store->path);
    }
    if (status) return status;
    return bs_identity_check(out_identity, true, store->path, err);
}

/* ---- opening ------------------------------------------------------------------------------------- */

static basalt_status start_log(struct bs_store *store, bs_lsn at, basalt_error *err)
{
    struct bs_wal_options options = {
        .segment_bytes = (size_t)store->options.log_segment_bytes, .older_unsynced = true};
    struct bs_wal_story story = {.commit = store->commit};
    bs_holder_text(store->parts.vfs, options.holder);
    memcpy(story.store_uuid, store->uuid, sizeof story.store_uuid);
    memcpy(story.current, store->superblock, sizeof story.current);
    memcpy(story.next, store->superblock, sizeof story.next);
    return bs_wal_writer_open(
        store->parts.vfs, store->path, &options, &story, at, &store->wal, err);
}

static basalt_status pass_over(void *context, bs_lsn start, bs_lsn end, const void *bytes,
    size_t count, bool commit, basalt_error *err)
{
    (void)context;
    (void)start;
    (void)end;
    (void)bytes;
    (void)count;
    (void)commit;
    (void)err;
    return BASALT_OK;
}

static basalt_status continue_log(struct bs_store *store, bs_lsn end, basalt_error *err)
{
    store->recovered_end = end;
    store->old_log = true;
    return start_log(store, end, err);
}

static basalt_status full(struct bs_store *store, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (!store->wal) {
        bs_lsn end;
        status = bs_wal_replay(
            store->parts.vfs, store->path, atomic_load(&store->cut), pass_over, NULL, &end, err);
        if (!status) status = continue_log(store, end, err);
    }
    return status ? status : bs_checkpoint_run(store, false, err);
}

static basalt_status replay_log(
    struct bs_store *store, const struct bs_wal_inventory *log, bs_lsn from, basalt_error *err)
{
    const uint64_t bytes_max =
        BS_MIN(store->options.memtable_bytes_max, UINT64_MAX / REPLAY_MEMTABLES) * REPLAY_MEMTABLES;
    bs_lsn end = from;
    basalt_status status = BASALT_OK;
    if (!log->has_story && log->last > from) {
        return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
            "the log beside %.80s has rows, but the file of it that says which store they are of is"
            " missing: put all of %.80s-log.* back",
            store->path, bs_path_name(store->path));
    }
    if (log->last > from) {
        status = bs_replay(store, from, bytes_max, full, &end, err);
    }
    if (!status && !store->wal) status = continue_log(store, end, err);
    if (status) return status;
    for (struct bs_family *family = atomic_load(&store->catalogue.first); family;
         family = atomic_load(&family->next)) {
        family->raw_tails = store->tails_pending = true; /* the dead session's */
    }
    return bs_log_remove_old(store, err);
}

basalt_status bs_log_remove_old(struct bs_store *store, basalt_error *err)
{
    if (!store->old_log || atomic_load(&store->cut) < store->recovered_end) return BASALT_OK;
    const basalt_status status =
        bs_wal_remove_all(store->parts.vfs, store->path, bs_wal_epoch(store->wal), err);
    store->old_log = status != BASALT_OK;
    return status;
}

static basalt_status check_bond(struct bs_store *store, const struct bs_wal_inventory *log,
    const struct bs_h5_identity *identity, basalt_error *err)
{
    struct bs_bond_file file = {
        .uuid = identity->store_uuid, .open = bs_mark_of(identity) == BS_MARK_OPEN};
    memcpy(file.superblock, store->superblock, sizeof file.superblock);
    const enum bs_bond bond = bs_bond_of(&file, log);
    if (bond == BS_BOND_MISSING && store->without_log) return BASALT_OK;
    return bs_bond_fail(bond, store->path, err);
}

/* From a file whose superblock is chosen to a store that takes commits. */
static basalt_status open_chosen(
    struct bs_store *store, const struct bs_wal_inventory *log, bool with_log, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    basalt_status status = bs_h5_file_open_at(store->file, store->superblock, &h5, err);
    if (status) return status;
    bs_h5_file_set_filters(h5, store->parts.filters);
    BS_TRY(read_identity(store, h5, &identity, err));
    BS_TRY(check_bond(store, log, &identity, err));
    BS_TRY(bs_catalogue_load(h5, &store->catalogue, &store->root_attributes, err));
    /* Without a story nothing was flipped since it was synced, and nothing could mend a torn write. */
    if (log->has_story) BS_TRY(rewrite_superblock(store, err));
    if (!store->writer) {
        BS_TRY(bs_h5_writer_open(store->file, store->superblock, &store->writer, err));
    }
    struct bs_h5_file *shown = h5;
    h5 = NULL;
    BS_TRY(bs_store_first_view(store, shown, &identity, err));
    bs_file_note_open(store);
    bs_file_note_space(store);
    status = with_log ? replay_log(store, log, identity.log_position, err)
                      : start_log(store, identity.log_position, err);
out:
    bs_h5_file_close(h5);
    return status;
}

/* For a file of ours; another program's superblock may be of any version and place. */
static basalt_status read_superblock(
    struct bs_store *store, const struct bs_wal_inventory *log, basalt_error *err)
{
    struct bs_h5_file *h5 = NULL;
    struct bs_h5_identity identity;
    basalt_status status = bs_superblock_choose(
        store, log, store->superblock, &store->recovery.superblock_restored, err);
    if (log->has_story || (status != BASALT_CORRUPT && status != BASALT_NOT_HDF5 && status)) {
        return status;
    }
    /* Says what the file is, and meets a superblock that is not where ours are. */
    status = bs_h5_file_open(store->file, &h5, err);
    if (!status) status = read_identity(store, h5, &identity, err);
    if (!status && (bs_h5_file_superblock(h5)->version < 2 || bs_h5_file_superblock(h5)->base)) {
        status = bs_fail(err, BASALT_UNSUPPORTED, 0,
            "%.120s was rewritten by another program: it can be read, not written", store->path);
    }
    bs_h5_file_close(h5);
    return status;
}

static basalt_status check_before_open(struct bs_store *store, bool *out_absent, basalt_error *err)
{
    struct bs_file_info info;
    struct bs_wal_inventory log;
    basalt_status status = store->parts.vfs->ops->info(store->parts.vfs, store->path, &info, err);
    *out_absent = status == BASALT_NOT_FOUND;
    if (!*out_absent) {
        if (status) return status;
        if (info.directory) {
            return bs_fail(
                err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "%.150s is a directory", store->path);
        }
        if (info.links > 1 && !store->options.allow_hard_links) {
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "%.80s has %" PRIu64
                " names (hard links), and a log is found by one only: remove the"
                " others, or use a copy (in C, allow_hard_links opens it all the same)",
                store->path, info.links);
        }
        if (store->options.access == BASALT_CREATE_NEW) {
            return bs_fail(
                err, BASALT_EXISTS, BASALT_NO_OFFSET, "%.150s is there already", store->path);
        }
        return BASALT_OK;
    }
    if (store->options.access == BASALT_READ_WRITE) return status;
    status = bs_wal_inspect(store->parts.vfs, store->path, &log, err);
    if (status == BASALT_NOT_FOUND) return BASALT_OK;
    if (status) return status;
    return bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET,
        "a log lies beside %.100s but the file itself is gone: bring it back, or move the log away",
        store->path);
}

basalt_status bs_recovery_open(struct bs_store *store, basalt_error *err)
{
    struct bs_wal_inventory log;
    bool absent;
    basalt_status status = check_before_open(store, &absent, err);
    if (!status) status = absent ? bs_create_file(store, err) : bs_lock_open(store, err);
    if (!status) status = bs_lock_check_path(store, err);
    if (status) return status;
    status = bs_wal_inspect(store->parts.vfs, store->path, &log, err);
    const bool with_log = status != BASALT_NOT_FOUND;
    if (with_log && status) return status;
    if (!with_log) memset(&log, 0, sizeof log);
    store->recovery.needed = with_log;
    status = read_superblock(store, &log, err);
    if (!status) status = open_chosen(store, &log, with_log, err);
    if (status) return status;
    bs_lock_protect(store);
    bs_create_clean_up(store);
    return BASALT_OK;
}
