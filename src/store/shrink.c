/* shrink.c - a clean close gives back what the run left unused.
 *
 * While a store runs, freed space rests for the grace time, and tails have room for whole raw chunks:
 * a file that was written in small batches is mostly holes when the last tail is filtered. If more
 * than a tenth of it is unused, close takes a few more commits, ordinary ones in every respect:
 * the first moves what lies high down into the holes (bs_h5_compact), the next ends the file lower.
 * Then the file is cut off at the end that a durable superblock states.
 *
 * Here the grace time is not waited for. It protects readers that nobody can ask for; so this is done
 * only where all can be asked and none is there: no snapshot, no pin, no foreign lock on the file.
 * Where locks cannot be listed (a container, a network) nothing is moved, unless the
 * grace time is 0; what is unused in it is used by the next writer. So it stays too where more would
 * have to be moved than MOVE_BYTES_MAX.
 *
 * A failure that leaves the store healthy is no failure of close: all data was safe before. */
#include "store/store_internal.h"

#define PASSES_MAX 6u
#define UNUSED_BYTES_MIN ((uint64_t)32 << 10)
#define UNUSED_PART 10u /* of the file */
#define MOVE_BYTES_MAX ((uint64_t)256 << 20)

static bool worth_it(const struct bs_h5_space_stats *space)
{
    return space->free_bytes >= UNUSED_BYTES_MIN &&
        space->free_bytes >= space->file_bytes / UNUSED_PART &&
        BS_MIN(space->free_bytes, space->live_bytes) <= MOVE_BYTES_MAX;
}

static basalt_status pass(
    struct bs_store *store, struct bs_codec_scratch *scratch, bool *out_again, basalt_error *err)
{
    struct bs_h5_space_stats space;
    *out_again = false;
    if (!bs_file_reclaim_at_close(store)) return BASALT_OK;
    bs_h5_space_stats(store->writer, &space);
    if (!worth_it(&space)) return BASALT_OK;
    struct bs_moves moves = {0};
    struct bs_view *view = bs_view_current(store);
    const struct bs_file_work work = {store->writer, view->root->h5, NULL, &store->scratches};
    basalt_status status =
        bs_h5_compact(store->writer, scratch, bs_moves_add, &moves, out_again, err);
    if (!status && *out_again) status = bs_statistics_follow(store, &work, &moves, err);
    bs_view_release(view);
    bs_free(moves.items);
    if (status || !*out_again) return status;
    return bs_checkpoint_show(store, atomic_load(&store->cut), err);
}

static basalt_status shrink(struct bs_store *store, basalt_error *err)
{
    struct bs_codec_scratch *scratch = NULL;
    bool again = true;
    basalt_status status = bs_scratch_take(&store->scratches, &scratch, err);
    for (unsigned i = 0; i < PASSES_MAX && again && !status; i++) {
        status = pass(store, scratch, &again, err);
    }
    bs_scratch_give(&store->scratches, scratch);
    if (!status) status = bs_h5_check_unchanged(store->writer, err);
    if (!status) status = bs_h5_shorten(store->writer, err);
    if (!status) bs_file_note_space(store);
    return status;
}

basalt_status bs_store_shrink(struct bs_store *store, basalt_error *err)
{
    if (!store->writer) return BASALT_OK; /* nothing was changed since the last attempt failed */
    const basalt_status status = shrink(store, NULL);
    bs_mutex_lock(&store->commit_lock);
    const bool poisoned = store->poison.status != BASALT_OK;
    const basalt_status final = poisoned ? bs_store_fail_poisoned(store, err) : BASALT_OK;
    bs_mutex_unlock(&store->commit_lock);
    if (status && !poisoned) atomic_fetch_add(&store->warnings, 1);
    return final;
}
