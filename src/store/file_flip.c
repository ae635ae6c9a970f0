/* file_flip.c - the commit point of a checkpoint, and when space may be used again.
 *
 *   1  prepare    changed metadata into free space, the file grown         fails: try again later
 *   2  sync       the data file                                            fails: poison, no flip
 *   3  story      the old and the new superblock, synced, in the log       fails: poison, no flip
 *   4  look       the path still names our file, it is not shorter than
 *                 its end-of-file address, its superblock is ours          fails: poison, no flip
 *   5  flip       20 bytes of the superblock                               fails: poison
 *   6  sync       the data file                                            fails: poison, both roots
 *                                                                          and all logs stay
 *   7  settle     what the flip freed is retired
 *
 * Retired space is used again when no view of this process, no pin of another Basalt process and no
 * stock reader can see it, and the grace time since the flip that freed it is over. The clock of the
 * grace time is in memory: what is free when a file is opened counts as retired then. A clean close
 * does not wait for it: see shrink.c. */
#include "store/store_internal.h"

#define MARKS_PER_GRACE 32u
#define PIN_PROBES_MAX 1024u

/* ---- the flip ---------------------------------------------------------------------------------- */

static basalt_status fatal(struct bs_store *store, const basalt_error *why, basalt_error *err)
{
    bs_h5_abandon(store->writer);
    bs_mutex_lock(&store->commit_lock);
    bs_store_poison(store, why);
    bs_mutex_unlock(&store->commit_lock);
    if (err) *err = *why;
    return why->status;
}

static basalt_status sync_data(struct bs_store *store, basalt_error *err)
{
#ifdef BASALT_MUTANT_no_data_sync
    (void)store;
    (void)err;
    return BASALT_OK;
#else
    return bs_file_sync(store->file, err);
#endif
}

static basalt_status write_story(
    struct bs_store *store, const uint8_t next[BS_H5_SUPERBLOCK_BYTES], basalt_error *err)
{
    struct bs_wal_story story = {.commit = store->commit};
    memcpy(story.store_uuid, store->uuid, sizeof story.store_uuid);
    memcpy(story.current, store->superblock, sizeof story.current);
    memcpy(story.next, next, sizeof story.next);
    return bs_wal_write_story(store->wal, &story, err);
}

/* Steps 2 to 6; whatever fails here is final. */
static basalt_status commit_point(struct bs_store *store, bs_lsn cut,
    const uint8_t next[BS_H5_SUPERBLOCK_BYTES], basalt_error *why)
{
    basalt_status status = BASALT_OK;
    (void)cut;
#ifdef BASALT_MUTANT_flip_before_sync
    BS_TRY(write_story(store, next, why));
    BS_TRY(bs_h5_flip(store->writer, why));
    BS_TRY(sync_data(store, why));
#else
    BS_TRY(sync_data(store, why));
    BS_TRY(write_story(store, next, why));
    BS_TRY(bs_lock_check_path(store, why));
    BS_TRY(bs_h5_check_unchanged(store->writer, why));
    BS_TRY(bs_h5_flip(store->writer, why));
#ifdef BASALT_MUTANT_log_deleted_early
    BS_TRY(bs_wal_remove_below(store->wal, cut, why));
#endif
    BS_TRY(bs_file_sync(store->file, why));
#endif
out:
    return status;
}

basalt_status bs_file_check_ours(struct bs_store *store, basalt_error *err)
{
    basalt_error why = {0};
    const basalt_status status = bs_h5_check_superblock(store->file, store->superblock, &why);
    if (!status) return BASALT_OK;
    if (status == BASALT_CONFLICT) {
        bs_mutex_lock(&store->commit_lock);
        bs_store_poison(store, &why);
        bs_mutex_unlock(&store->commit_lock);
    }
    if (err) *err = why;
    return status;
}

static void remember_flip(struct bs_store *store)
{
    const uint64_t now = bs_now_ns();
    const uint64_t apart = store->options.grace_ms * 1000000u / MARKS_PER_GRACE;
    struct bs_flip_time *last = &store->flips[BS_FLIPS_REMEMBERED - 1];
    if (last->commit && now - last->at_ns < apart) return; /* waits as long as the next one */
    memmove(store->flips, store->flips + 1, (BS_FLIPS_REMEMBERED - 1) * sizeof *store->flips);
    *last = (struct bs_flip_time){store->commit, now};
}

void bs_file_note_open(struct bs_store *store)
{
    memset(store->flips, 0, sizeof store->flips);
    remember_flip(store);
}

void bs_file_note_space(struct bs_store *store)
{
    struct bs_h5_space_stats space;
    bs_h5_space_stats(store->writer, &space);
    atomic_store(&store->file_bytes, space.file_bytes);
    atomic_store(&store->live_bytes, space.live_bytes);
    atomic_store(&store->free_bytes, space.free_bytes);
    atomic_store(&store->retired_bytes, space.retired_bytes);
}

basalt_status bs_file_flip(
    struct bs_store *store, bs_lsn cut, struct bs_h5_file **out_h5, basalt_error *err)
{
    uint8_t next[BS_H5_SUPERBLOCK_BYTES];
    basalt_error why = {0};
    *out_h5 = NULL;
    bs_h5_set_closed(store->writer, store->finishing);
    basalt_status status = bs_h5_prepare(store->writer, store->commit + 1, cut, next, err);
    if (status) return status;
    /* Readers' view of the new root: after the flip nothing may fail that is not final. */
    status = bs_h5_file_open_at(store->file, next, out_h5, err);
    if (status) {
        bs_h5_abandon(store->writer);
        return status;
    }
    bs_h5_file_set_filters(*out_h5, store->parts.filters);
    if (commit_point(store, cut, next, &why)) {
        bs_h5_file_close(*out_h5);
        *out_h5 = NULL;
        return fatal(store, &why, err);
    }
    bs_h5_settle(store->writer);
    memcpy(store->superblock, next, sizeof store->superblock);
    store->commit++;
    atomic_store(&store->commit_shown, store->commit);
    atomic_store_explicit(
        &store->mark, store->finishing ? BS_MARK_CLOSED : BS_MARK_OPEN, memory_order_release);
    remember_flip(store);
    bs_file_note_space(store);
    return BASALT_OK;
}

/* ---- reuse ------------------------------------------------------------------------------------- */

/* The newest commit whose grace time is over; 0: none. */
static uint64_t rested(const struct bs_store *store)
{
    const uint64_t now = bs_now_ns(), grace = store->options.grace_ms * 1000000u;
    uint64_t commit = 0;
    for (size_t i = 0; i < BS_FLIPS_REMEMBERED; i++) {
        const struct bs_flip_time *flip = &store->flips[i];
        if (flip->commit && now - flip->at_ns >= grace) commit = BS_MAX(commit, flip->commit);
    }
    return commit;
}

/* The oldest commit, up to `commit`, that another Basalt process has pinned. */
static uint64_t oldest_pin(struct bs_store *store, uint64_t commit)
{
    for (unsigned probes = 0; commit && probes < PIN_PROBES_MAX; probes++) {
        struct bs_lock_holder holder = {0};
        const basalt_status status = store->file->ops->probe(
            store->file, BS_LOCK_EXCLUSIVE, BS_LOCK_PIN, commit, &holder, NULL);
        if (status || !holder.held)
            return status == BASALT_OK || status == BASALT_UNSUPPORTED ? commit : 0;
        commit = holder.start > BS_LOCK_PIN ? holder.start - BS_LOCK_PIN : 0;
    }
    return 0;
}

void bs_file_reclaim(struct bs_store *store)
{
    struct bs_h5_space_stats space;
    unsigned sharers = 0;
    uint64_t commit = BS_MIN(rested(store), bs_roots_oldest(store));
    bs_h5_space_stats(store->writer, &space);
    if (!space.oldest_retired || space.oldest_retired > commit) return;
    const basalt_status asked = store->file->ops->count_sharers(store->file, &sharers, NULL);
    atomic_store(&store->readers_known, asked == BASALT_OK);
    if (sharers || (asked && asked != BASALT_UNSUPPORTED)) return;
    commit = oldest_pin(store, commit);
    if (space.oldest_retired <= commit) bs_h5_reclaim(store->writer, commit);
}

bool bs_file_reclaim_at_close(struct bs_store *store)
{
    unsigned sharers = 0;
    const uint64_t commit = store->commit;
    const basalt_status asked = store->file->ops->count_sharers(store->file, &sharers, NULL);
    const bool known =
        asked == BASALT_OK || (asked == BASALT_UNSUPPORTED && store->options.grace_ms == 0);
    if (!known || sharers || bs_roots_oldest(store) < commit) return false;
    if (oldest_pin(store, commit) < commit) return false;
    bs_h5_reclaim(store->writer, commit);
    return true;
}
