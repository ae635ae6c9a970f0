/* h5_read.c - reading a selection: tile by tile, on as many threads as there are, into the caller's
 * memory.
 *
 * A dataset is a grid of tiles: its chunks, or slabs of about a mebibyte of what is not chunked. The
 * calling thread walks the chunk index, as far as the selection needs it, and puts the tiles that it
 * finds into batches of about half a mebibyte. A batch is a task: read (neighbours in the file at once),
 * decode, convert, place. A chunk that is wanted whole, as it is, where the output has it in one piece,
 * is decoded there; an unfiltered one is read there. Other chunks go through memory of the thread.
 *
 * INVARIANTS
 *   (1) Each element of the output belongs to one tile, and each tile to one batch at most (`seen`): no
 *       two tasks write the same bytes, whatever the file says.
 *   (2) All that a read makes lives in its `struct reader` and ends with it; only the cache stays. A
 *       batch is freed by the reader, never by its task: a task that is skipped has nothing to free.
 *   (3) A thread that decodes for the cache waits for nothing (h5_cache.c). A batch that meets a chunk
 *       that somebody else decodes does its other tiles first.
 *   (4) A read of one batch makes no job: small reads touch no lock but the cache's. */
#include "h5/read_internal.h"

#include <inttypes.h>

#define TILE_BYTES ((uint64_t)1 << 20)      /* of a dataset that is one row of bytes */
#define BOX_TILE_BYTES ((uint64_t)16 << 20) /* of one that is made of others */
#define BATCH_BYTES ((uint64_t)512 << 10)
#define BATCH_TILES_MAX 64
#define WINDOW_BYTES ((uint64_t)1 << 20) /* read at once, if the chunks in it are neighbours */
#define WINDOW_GAP_BYTES 4096            /* between neighbours */
#define SPARSE_BYTES ((uint64_t)64 << 10)
#define SPARSE_RATIO                                                                               \
    16 /* an unfiltered tile with so many times more bytes than wanted is picked from */
#define PEEK_TILES_MAX 16

struct entry { /* a tile to be read */
    uint64_t number;
    uint64_t address; /* of a chunk; else byte of the row of bytes; undefined: fill values */
    uint64_t stored_bytes;
    uint32_t mask;
};

struct batch {
    struct reader *reader;
    struct batch *next; /* of those that were given to other threads */
    uint64_t bytes;
    unsigned count;
    struct entry entries[BATCH_TILES_MAX];
};

struct workspace { /* of one task at a time */
    struct workspace *next;
    struct bs_codec_scratch *scratch;
    uint8_t *stored, *tile;
    size_t stored_capacity, tile_capacity;
    uint64_t window_at, window_bytes; /* of the file, in `stored` */
};

struct reader {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    const struct bs_h5_dataset *dataset;
    const struct bs_h5_read_how *how;
    const struct bs_h5_selection *selection;
    const struct bs_h5_storage *storage;
    struct bs_h5_cache *cache; /* NULL: not for this read */
    struct bs_h5_conversion plan;
    struct bs_h5_choice choice;
    uint8_t *out;
    uint64_t tile_bytes;
    bool as_stored;        /* elements go to the output byte by byte */
    uint8_t *fill;         /* one element of the output; NULL until it is needed */
    uint64_t stored_bytes; /* so far; over the file's size the chunks overlap */
    uint64_t *seen;        /* a bit a tile */
    uint64_t few_seen[1];
    struct bs_job *job;
    struct batch *batches; /* given away; main thread only */
    bs_mutex mutex;        /* guards `idle` */
    struct workspace *idle;
    struct batch first; /* being filled */
};

/* ---- workspaces --------------------------------------------------------------------------------- */

static basalt_status take_workspace(
    struct reader *reader, struct workspace **out_workspace, basalt_error *err)
{
    bs_mutex_lock(&reader->mutex);
    struct workspace *workspace = reader->idle;
    if (workspace) reader->idle = workspace->next;
    bs_mutex_unlock(&reader->mutex);
    if (!workspace) workspace = bs_alloc_zeroed(1, sizeof *workspace);
    *out_workspace = workspace;
    if (!workspace) return bs_fail_memory(err, sizeof *workspace);
    workspace->window_bytes = 0;
    return BASALT_OK;
}

static void give_workspace(struct reader *reader, struct workspace *workspace)
{
    if (!workspace) return;
    bs_mutex_lock(&reader->mutex);
    workspace->next = reader->idle;
    reader->idle = workspace;
    bs_mutex_unlock(&reader->mutex);
}

static void free_workspaces(struct reader *reader)
{
    while (reader->idle) {
        struct workspace *workspace = reader->idle;
        reader->idle = workspace->next;
        bs_codec_scratch_free(workspace->scratch);
        bs_free(workspace->stored);
        bs_free(workspace->tile);
        bs_free(workspace);
    }
}

/* At least `bytes`; what was there is lost. */
static basalt_status reserve(uint8_t **memory, size_t *capacity, size_t bytes, basalt_error *err)
{
    if (bytes <= *capacity) return BASALT_OK;
    bs_free(*memory);
    *capacity = 0;
    *memory = bs_alloc(bytes);
    if (!*memory) return bs_fail_memory(err, bytes);
    *capacity = bytes;
    return BASALT_OK;
}

/* ---- placing ------------------------------------------------------------------------------------ */

struct placing {
    const struct reader *reader;
    const uint8_t *bytes; /* of the tile from element `skipped` on */
    uint64_t skipped;
};

static basalt_status place_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct placing *placing = context;
    const struct reader *reader = placing->reader;
    const uint64_t element = reader->plan.stored_bytes;

    return bs_h5_convert(&reader->plan, placing->bytes + (run->at - placing->skipped) * element,
        run->step * element, run->count, reader->out + run->out * reader->plan.target_bytes,
        run->out, err);
}

static basalt_status place(const struct reader *reader, const struct bs_h5_tile *tile,
    const uint8_t *bytes, uint64_t skipped, basalt_error *err)
{
    struct placing placing = {reader, bytes, skipped};
    return bs_h5_tile_runs(&reader->choice, tile, place_run, &placing, err);
}

static basalt_status fill_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct reader *reader = context;
    const uint64_t bytes = reader->plan.target_bytes;
    uint8_t *out = reader->out + run->out * bytes;

    (void)err;
    if (!reader->dataset->fill)
        memset(out, 0, (size_t)(run->count * bytes));
    else
        for (uint64_t i = 0; i < run->count; i++)
            memcpy(out + i * bytes, reader->fill, (size_t)bytes);
    return BASALT_OK;
}

static basalt_status make_fill(struct reader *reader, basalt_error *err)
{
    if (reader->fill || !reader->dataset->fill) return BASALT_OK;
    reader->fill = bs_alloc((size_t)reader->plan.target_bytes);
    if (!reader->fill) return bs_fail_memory(err, (size_t)reader->plan.target_bytes);
    const basalt_status status = bs_h5_convert(
        &reader->plan, reader->dataset->fill, reader->plan.stored_bytes, 1, reader->fill, 0, err);
    if (status) bs_error_prefix(err, "the fill value");
    return status;
}

/* ---- unfiltered tiles --------------------------------------------------------------------------- */

static basalt_status read_raw(
    const struct reader *reader, uint64_t at, uint64_t bytes, void *out, basalt_error *err)
{
    if (reader->storage->read_bytes)
        return reader->storage->read_bytes(reader->h5, reader->object, at, bytes, out, err);
    return bs_h5_read_at(reader->h5, at, out, (size_t)bytes, "a chunk", err);
}

struct picking {
    struct reader *reader;
    struct workspace *workspace;
    uint64_t address;
};

/* Reads what one run needs and no more. */
static basalt_status pick_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct picking *picking = context;
    const struct reader *reader = picking->reader;
    const uint64_t element = reader->plan.stored_bytes;
    const bool apart = run->step * element > WINDOW_GAP_BYTES;
    const uint64_t piece = apart ? 1 : run->count;
    const uint64_t bytes = ((piece - 1) * run->step + 1) * element;
    struct workspace *workspace = picking->workspace;

    basalt_status status = reserve(&workspace->tile, &workspace->tile_capacity, (size_t)bytes, err);
    for (uint64_t i = 0; !status && i < run->count; i += piece) {
        const struct bs_h5_run one = {0, run->step, piece, run->out + i};
        struct placing placing = {reader, workspace->tile, 0};
        const uint64_t at = picking->address + (run->at + i * run->step) * element;
        status = read_raw(reader, at, bytes, workspace->tile, err);
        if (!status) status = place_run(&placing, &one, err);
    }
    return status;
}

static basalt_status read_raw_tile(struct reader *reader, struct workspace *workspace,
    const struct entry *entry, const struct bs_h5_tile *tile, basalt_error *err)
{
    const uint64_t element = reader->plan.stored_bytes;
    struct picking picking = {reader, workspace, entry->address};
    uint64_t first, end, count;

    bs_h5_tile_span(&reader->choice, tile, &first, &end, &count);
    const uint64_t bytes = (end - first) * element;
    if (bytes > SPARSE_BYTES && bytes / SPARSE_RATIO > count * element)
        return bs_h5_tile_runs(&reader->choice, tile, pick_run, &picking, err);
    basalt_status status = reserve(&workspace->tile, &workspace->tile_capacity, (size_t)bytes, err);
    if (!status)
        status = read_raw(reader, entry->address + first * element, bytes, workspace->tile, err);
    return status ? status : place(reader, tile, workspace->tile, first, err);
}

/* Is the tile one piece of file and output both? Then it can be read there. */
static bool is_direct(
    const struct reader *reader, const struct entry *entry, struct bs_h5_run *out_run)
{
    struct bs_h5_tile tile;

    if (!reader->as_stored || entry->address == BS_H5_UNDEFINED ||
        !bs_h5_chunk_is_raw(reader->dataset, entry->mask))
        return false;
    bs_h5_choice_tile(&reader->choice, entry->number, &tile);
    return bs_h5_tile_one_run(&reader->choice, &tile, out_run);
}

/* Reads tile `at` of the batch, with those after it that follow it in the file and in the output, where
 * they belong; *out_done is how many. */
static basalt_status read_direct(struct reader *reader, const struct batch *batch, unsigned at,
    const struct bs_h5_run *run, unsigned *out_done, basalt_error *err)
{
    const uint64_t element = reader->plan.stored_bytes;
    const struct entry *entry = &batch->entries[at];
    const uint64_t from = entry->address + run->at * element;
    uint64_t count = run->count;
    struct bs_h5_run next;

    *out_done = 1;
    while (at + *out_done < batch->count) {
        const struct entry *other = &batch->entries[at + *out_done];
        if (!is_direct(reader, other, &next) || next.out != run->out + count ||
            other->address + next.at * element != from + count * element)
            break;
        count += next.count;
        ++*out_done;
    }
    return read_raw(reader, from, count * element, reader->out + run->out * element, err);
}

/* ---- filtered tiles ----------------------------------------------------------------------------- */

/* The stored bytes of tile `at`; they, and those of its neighbours in the file that the batch has, are
 * read if the window does not have them. */
static basalt_status load_stored(struct reader *reader, struct workspace *workspace,
    const struct batch *batch, unsigned at, const uint8_t **out_stored, basalt_error *err)
{
    const struct entry *entry = &batch->entries[at];
    uint64_t end =
        entry->address + entry->stored_bytes; /* inside the file: the index was checked */

    if (entry->address < workspace->window_at ||
        end > workspace->window_at + workspace->window_bytes) {
        for (unsigned i = at + 1; i < batch->count; i++) {
            const struct entry *next = &batch->entries[i];
            if (next->address == BS_H5_UNDEFINED || next->address < end ||
                next->address - end > WINDOW_GAP_BYTES ||
                next->address + next->stored_bytes - entry->address > WINDOW_BYTES)
                break;
            end = next->address + next->stored_bytes;
        }
        const size_t bytes = (size_t)(end - entry->address);
        workspace->window_bytes = 0;
        basalt_status status = reserve(&workspace->stored, &workspace->stored_capacity, bytes, err);
        if (!status)
            status =
                bs_h5_read_at(reader->h5, entry->address, workspace->stored, bytes, "a chunk", err);
        if (status) return status;
        workspace->window_at = entry->address;
        workspace->window_bytes = bytes;
    }
    *out_stored = workspace->stored + (entry->address - workspace->window_at);
    return BASALT_OK;
}

static basalt_status decode(struct reader *reader, struct workspace *workspace,
    const struct batch *batch, unsigned at, uint8_t *out, basalt_error *err)
{
    const struct entry *entry = &batch->entries[at];
    const uint8_t *stored = NULL;
    const basalt_status status = load_stored(reader, workspace, batch, at, &stored, err);

    if (status) return status;
    return bs_h5_chunk_decode(reader->h5, reader->object, entry->address, entry->mask, &workspace->scratch,
        stored, entry->stored_bytes, out, (size_t)reader->tile_bytes, err);
}

static uint64_t tile_key(const struct reader *reader, const struct bs_h5_tile *tile)
{
    uint64_t key = 0;
    for (unsigned d = 0; d < reader->choice.rank; d++)
        key = key * reader->choice.grid[d] + tile->at[d];
    return key;
}

/* *out_answer BUSY: nothing was done, and `wait` was false. FULL: the cache has no room. */
static basalt_status read_cached(struct reader *reader, struct workspace *workspace,
    const struct batch *batch, unsigned at, const struct bs_h5_tile *tile, bool wait,
    enum bs_h5_cache_answer *out_answer, basalt_error *err)
{
    struct bs_h5_cached *cached = NULL;
    basalt_status status = BASALT_OK;

    *out_answer = bs_h5_cache_get(reader->cache, reader->object->header->address,
        tile_key(reader, tile), reader->tile_bytes, wait, &cached);
    if (*out_answer == BS_H5_CACHE_MINE) {
        status = decode(reader, workspace, batch, at, bs_h5_cached_bytes(cached), err);
        bs_h5_cache_decoded(reader->cache, cached, !status);
    }
    if (!cached) return status;
    if (!status) status = place(reader, tile, bs_h5_cached_bytes(cached), 0, err);
    bs_h5_cache_release(reader->cache, cached);
    return status;
}

/* *out_busy: somebody decodes it just now; it was left out. */
static basalt_status read_filtered(struct reader *reader, struct workspace *workspace,
    const struct batch *batch, unsigned at, bool wait, bool *out_busy, basalt_error *err)
{
    enum bs_h5_cache_answer answer = BS_H5_CACHE_FULL;
    struct bs_h5_tile tile;
    struct bs_h5_run run;
    basalt_status status;

    *out_busy = false;
    bs_h5_choice_tile(&reader->choice, batch->entries[at].number, &tile);
    const bool whole = bs_h5_tile_is_whole(&reader->choice, &tile);
    if (whole && reader->as_stored && bs_h5_tile_one_run(&reader->choice, &tile, &run) &&
        run.count == reader->choice.tile_elements)
        return decode(
            reader, workspace, batch, at, reader->out + run.out * reader->plan.target_bytes, err);
    if (reader->cache && !whole) {
        status = read_cached(reader, workspace, batch, at, &tile, wait, &answer, err);
        *out_busy = answer == BS_H5_CACHE_BUSY;
        if (status || answer != BS_H5_CACHE_FULL) return status;
    }
    status = reserve(&workspace->tile, &workspace->tile_capacity, (size_t)reader->tile_bytes, err);
    if (!status) status = decode(reader, workspace, batch, at, workspace->tile, err);
    return status ? status : place(reader, &tile, workspace->tile, 0, err);
}

/* ---- tiles that are made of other datasets ------------------------------------------------------ */

static basalt_status read_box_point(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct picking *picking = context;
    struct reader *reader = picking->reader;
    const struct bs_h5_read_how how = {.cancel = reader->how->cancel, .path = reader->how->path};
    const uint64_t *coordinates = reader->selection->coordinates + run->out * reader->choice.rank;
    uint64_t ones[BS_H5_RANK_MAX];
    struct bs_h5_run one = {0, 1, 1, run->out};
    struct placing placing = {reader, picking->workspace->tile, 0};
    basalt_status status = BASALT_OK;

    for (unsigned d = 0; d < reader->choice.rank; d++) ones[d] = 1;
    for (uint64_t i = 0; !status && i < run->count; i++, one.out++) {
        status = reader->storage->read_box(
            reader->h5, reader->object, coordinates, ones, &how, picking->workspace->tile, err);
        if (!status) status = place_run(&placing, &one, err);
        coordinates += reader->choice.rank;
    }
    return status;
}

/* The smallest box of the tile that has all of its selected elements, as a tile of its own. */
static uint64_t shrink(struct bs_h5_choice *choice, struct bs_h5_tile *tile)
{
    choice->tile_elements = 1;
    for (unsigned d = choice->rank; d-- > 0;) {
        const struct bs_h5_axis *axis = &choice->axes[d];
        const uint64_t low = bs_h5_axis_place(axis, tile->cells[d]->first);
        const uint64_t high = bs_h5_axis_place(axis, tile->cells[d][1].first - 1);
        tile->origin[d] = low;
        choice->tile_dims[d] = high - low + 1;
        choice->tile_step[d] = choice->tile_elements;
        choice->tile_elements *= choice->tile_dims[d];
    }
    return choice->tile_elements;
}

static basalt_status read_box_tile(struct reader *reader, struct workspace *workspace,
    const struct entry *entry, basalt_error *err)
{
    const struct bs_h5_read_how how = {
        .sched = reader->how->sched, .cancel = reader->how->cancel, .path = reader->how->path};
    const uint64_t element = reader->plan.stored_bytes;
    struct picking picking = {reader, workspace, 0};
    struct bs_h5_choice choice = reader->choice;
    struct placing placing = {reader, NULL, 0};
    struct bs_h5_tile tile;
    struct bs_h5_run run;

    bs_h5_choice_tile(&choice, entry->number, &tile);
    if (choice.points) {
        const basalt_status status =
            reserve(&workspace->tile, &workspace->tile_capacity, (size_t)element, err);
        return status ? status : bs_h5_tile_runs(&choice, &tile, read_box_point, &picking, err);
    }
    const uint64_t elements = shrink(&choice, &tile);
    if (reader->as_stored && bs_h5_tile_one_run(&choice, &tile, &run) && run.count == elements)
        return reader->storage->read_box(reader->h5, reader->object, tile.origin, choice.tile_dims,
            &how, reader->out + run.out * element, err);
    basalt_status status =
        reserve(&workspace->tile, &workspace->tile_capacity, (size_t)(elements * element), err);
    if (!status)
        status = reader->storage->read_box(
            reader->h5, reader->object, tile.origin, choice.tile_dims, &how, workspace->tile, err);
    placing.bytes = workspace->tile;
    return status ? status : bs_h5_tile_runs(&choice, &tile, place_run, &placing, err);
}

/* ---- batches ------------------------------------------------------------------------------------ */

static basalt_status read_entry(struct reader *reader, struct workspace *workspace,
    const struct batch *batch, unsigned at, bool *out_busy, basalt_error *err)
{
    const struct entry *entry = &batch->entries[at];
    struct bs_h5_tile tile;

    *out_busy = false;
    if (reader->storage->read_box) return read_box_tile(reader, workspace, entry, err);
    if (entry->address != BS_H5_UNDEFINED && !bs_h5_chunk_is_raw(reader->dataset, entry->mask))
        return read_filtered(reader, workspace, batch, at, false, out_busy, err);
    bs_h5_choice_tile(&reader->choice, entry->number, &tile);
    if (entry->address == BS_H5_UNDEFINED)
        return bs_h5_tile_runs(&reader->choice, &tile, fill_run, reader, err);
    return read_raw_tile(reader, workspace, entry, &tile, err);
}

static basalt_status run_batch(void *argument, basalt_error *err)
{
    const struct batch *batch = argument;
    struct reader *reader = batch->reader;
    struct workspace *workspace = NULL;
    uint64_t busy = 0; /* a bit a tile */
    struct bs_h5_run run;
    bool is_busy = false;
    basalt_status status = BASALT_OK;

    BS_TRY(take_workspace(reader, &workspace, err));
    for (unsigned at = 0, done = 1; at < batch->count; at += done) {
        BS_TRY(bs_cancel_check(reader->how->cancel, err));
        done = 1;
        if (!reader->storage->read_box && is_direct(reader, &batch->entries[at], &run)) {
            BS_TRY(read_direct(reader, batch, at, &run, &done, err));
        } else {
            BS_TRY(read_entry(reader, workspace, batch, at, &is_busy, err));
            if (is_busy) busy |= (uint64_t)1 << at;
        }
    }
    for (unsigned at = 0; busy >> at; at++) {
        if (!(busy >> at & 1)) continue;
        BS_TRY(bs_cancel_check(reader->how->cancel, err));
        BS_TRY(read_filtered(reader, workspace, batch, at, true, &is_busy, err));
        if (at == BATCH_TILES_MAX - 1) break;
    }
out:
    give_workspace(reader, workspace);
    return status;
}

/* Gives the tiles that have gathered to whoever comes first. */
static basalt_status send_batch(struct reader *reader, basalt_error *err)
{
    struct batch *batch = NULL;
    basalt_status status = BASALT_OK;

    if (reader->how->sched && !reader->job)
        status = bs_job_create(
            reader->how->sched, BS_PRIORITY_FOREGROUND, reader->how->cancel, &reader->job, err);
    if (status) return status;
    if (reader->job) batch = bs_alloc(sizeof *batch);
    if (batch) {
        memcpy(batch, &reader->first, sizeof *batch);
        batch->next = reader->batches;
        reader->batches = batch;
        bs_job_spawn(reader->job, run_batch, batch);
    } else { /* alone, or short of memory */
        status = run_batch(&reader->first, err);
    }
    reader->first.count = 0;
    reader->first.bytes = 0;
    return status;
}

static basalt_status add_tile(struct reader *reader, const struct entry *entry, basalt_error *err)
{
    struct batch *batch = &reader->first;

    if (batch->count == BATCH_TILES_MAX || batch->bytes >= BATCH_BYTES) {
        const basalt_status status = send_batch(reader, err);
        if (status) return status;
    }
    batch->entries[batch->count++] = *entry;
    batch->bytes += reader->tile_bytes;
    return BASALT_OK;
}

/* The last batch is this thread's own. */
static basalt_status finish_batches(struct reader *reader, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (reader->first.count) status = run_batch(&reader->first, err);
    if (!status && reader->job) status = bs_job_wait(reader->job, err);
    return status;
}

/* ---- chunks ------------------------------------------------------------------------------------- */

static bool was_seen(const struct reader *reader, uint64_t number)
{
    return reader->seen[number / 64] >> (number % 64) & 1;
}

static void set_seen(struct reader *reader, uint64_t number)
{
    reader->seen[number / 64] |= (uint64_t)1 << (number % 64);
}

static basalt_status add_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct reader *reader = context;
    const struct bs_h5_dataset *dataset = reader->dataset;
    struct entry entry = {.address = chunk->address, .stored_bytes = chunk->stored_bytes};
    uint64_t at[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    for (unsigned d = 0; d < reader->choice.rank; d++)
        at[d] = chunk->offset[d] / dataset->chunk_dims[d];
    entry.number = bs_h5_choice_find(&reader->choice, at);
    if (entry.number == UINT64_MAX || was_seen(reader, entry.number)) return BASALT_OK;
    set_seen(reader, entry.number);
    if (chunk->stored_bytes > reader->h5->bytes - reader->stored_bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(reader->h5, chunk->address),
            "the chunks of the dataset at %" PRIu64 " overlap: together they are larger than the "
            "file",
            reader->object->header->address);
    reader->stored_bytes += chunk->stored_bytes;
    entry.mask = bs_h5_chunk_mask(reader->object, chunk);
    if (bs_h5_chunk_is_raw(dataset, entry.mask))
        status = bs_h5_chunk_check_raw(
            reader->h5, chunk->address, chunk->stored_bytes, reader->tile_bytes, err);
    return status ? status : add_tile(reader, &entry, err);
}

/* Places what the cache has, so that a read that finds all there never looks at the index. */
static basalt_status peek_cache(struct reader *reader, bool *out_all, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint64_t found = 0;

    for (uint64_t i = 0; !status && i < reader->choice.tiles; i++) {
        struct bs_h5_cached *cached = NULL;
        struct bs_h5_tile tile;
        bs_h5_choice_tile(&reader->choice, i, &tile);
        if (bs_h5_cache_peek(reader->cache, reader->object->header->address,
                tile_key(reader, &tile), &cached) != BS_H5_CACHE_FOUND)
            continue;
        status = place(reader, &tile, bs_h5_cached_bytes(cached), 0, err);
        bs_h5_cache_release(reader->cache, cached);
        set_seen(reader, i);
        found++;
    }
    *out_all = found == reader->choice.tiles;
    return status;
}

static basalt_status walk_box(
    struct reader *reader, const uint64_t *low_tile, const uint64_t *high_tile, basalt_error *err)
{
    const uint64_t *dims = reader->dataset->chunk_dims;
    struct bs_h5_box box;

    for (unsigned d = 0; d < reader->choice.rank; d++) {
        box.low[d] = low_tile[d] * dims[d];
        box.high[d] = high_tile[d] * dims[d];
    }
    return bs_h5_chunks_in_box(reader->h5, reader->object, &box, add_chunk, reader, err);
}

#define LOOKUP_COST 32 /* finding one chunk costs as much as walking over so many */

static basalt_status walk_points(struct reader *reader, basalt_error *err)
{
    const struct bs_h5_choice *choice = &reader->choice;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX], inside = 1;
    struct bs_h5_tile tile;
    basalt_status status = BASALT_OK;

    bs_h5_choice_tile(choice, 0, &tile);
    memcpy(low, tile.at, sizeof low);
    memcpy(high, tile.at, sizeof high);
    for (uint64_t i = 1; i < choice->tiles; i++) {
        bs_h5_choice_tile(choice, i, &tile);
        for (unsigned d = 0; d < choice->rank; d++) {
            low[d] = BS_MIN(low[d], tile.at[d]);
            high[d] = BS_MAX(high[d], tile.at[d]);
        }
    }
    for (unsigned d = 0; d < choice->rank; d++) inside *= high[d] - low[d] + 1;
    if (choice->tiles >= inside / LOOKUP_COST) return walk_box(reader, low, high, err);
    for (uint64_t i = 0; !status && i < choice->tiles; i++) {
        bs_h5_choice_tile(choice, i, &tile);
        status = walk_box(reader, tile.at, tile.at, err);
    }
    return status;
}

/* Tiles that are neighbours along the first dimension are one box. */
static basalt_status walk_axes(struct reader *reader, basalt_error *err)
{
    const struct bs_h5_choice *choice = &reader->choice;
    const struct bs_h5_axis *rows = &choice->axes[0];
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    for (unsigned d = 0; d < choice->rank; d++) {
        low[d] = choice->axes[d].cells[0].tile;
        high[d] = choice->axes[d].cells[choice->axes[d].cell_count - 1].tile;
    }
    for (size_t i = 0; !status && i < rows->cell_count;) {
        size_t end = i + 1;
        while (end < rows->cell_count &&
            rows->cells[end].tile - rows->cells[end - 1].tile < LOOKUP_COST)
            end++;
        low[0] = rows->cells[i].tile;
        high[0] = rows->cells[end - 1].tile;
        status = walk_box(reader, low, high, err);
        i = end;
    }
    return status;
}

static basalt_status add_missing(struct reader *reader, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    for (uint64_t i = 0; !status && i < reader->choice.tiles; i++) {
        const struct entry entry = {.number = i, .address = BS_H5_UNDEFINED};
        if (was_seen(reader, i)) continue;
        status = make_fill(reader, err);
        if (!status) status = add_tile(reader, &entry, err);
    }
    return status;
}

static void choose_cache(struct reader *reader)
{
    const uint64_t tiles = reader->choice.tiles, bytes = reader->tile_bytes;

    if (!reader->how->cache || !reader->dataset->pipeline.count) return;
    /* A read that would push out everything else keeps nothing. */
    if (tiles > bs_h5_cache_limit(reader->how->cache) / bytes) return;
    reader->cache = reader->how->cache;
}

static basalt_status read_chunked(struct reader *reader, basalt_error *err)
{
    const size_t words = (size_t)((reader->choice.tiles + 63) / 64);
    bool all = false;
    basalt_status status = BASALT_OK;

    reader->seen = reader->few_seen;
    if (words > BS_ARRAY_LENGTH(reader->few_seen)) {
        reader->seen = bs_alloc_zeroed(words, sizeof *reader->seen);
        if (!reader->seen) return bs_fail_memory(err, words * sizeof *reader->seen);
    }
    choose_cache(reader);
    if (reader->cache && reader->choice.tiles <= PEEK_TILES_MAX)
        status = peek_cache(reader, &all, err);
    if (!status && !all && reader->dataset->address != BS_H5_UNDEFINED)
        status = reader->choice.points ? walk_points(reader, err) : walk_axes(reader, err);
    if (!status && !all) status = add_missing(reader, err);
    return status ? status : finish_batches(reader, err);
}

/* ---- what is not chunked ------------------------------------------------------------------------ */

/* Whole rows, as far as they fit; so a tile is one piece of the row of bytes. */
static void cut_tiles(struct reader *reader, uint64_t bytes_max)
{
    struct bs_h5_choice *choice = &reader->choice;
    uint64_t room = BS_MAX(bytes_max / BS_MAX(reader->plan.stored_bytes, 1), 1);

    for (unsigned d = choice->rank; d-- > 0;) {
        choice->tile_dims[d] = BS_MIN(choice->dims[d], room);
        room = choice->tile_dims[d] == choice->dims[d] ? room / choice->tile_dims[d] : 1;
        room = BS_MAX(room, 1);
    }
    reader->tile_bytes = bytes_max;
}

static basalt_status read_tiles(struct reader *reader, basalt_error *err)
{
    const struct bs_h5_choice *choice = &reader->choice;
    basalt_status status = BASALT_OK;

    for (uint64_t i = 0; !status && i < choice->tiles; i++) {
        struct entry entry = {.number = i};
        struct bs_h5_tile tile;
        uint64_t origin = 0;
        bs_h5_choice_tile(choice, i, &tile);
        for (unsigned d = 0; d < choice->rank; d++)
            origin = origin * choice->dims[d] + tile.origin[d];
        entry.address = origin * reader->plan.stored_bytes;
        status = add_tile(reader, &entry, err);
    }
    return status ? status : finish_batches(reader, err);
}

/* ---- entry points ------------------------------------------------------------------------------- */

basalt_status bs_h5_selection_count(const struct bs_h5_object *dataset,
    const struct bs_h5_selection *selection, uint64_t *out_count, basalt_error *err)
{
    struct bs_h5_choice choice;

    assert(dataset->dataset);
    *out_count = 0;
    const basalt_status status = bs_h5_choice_begin(dataset, selection, &choice, err);
    if (!status) *out_count = choice.count;
    bs_h5_choice_end(&choice);
    return status;
}

static basalt_status check_out(const struct reader *reader, uint64_t out_bytes, basalt_error *err)
{
    const uint64_t count = reader->choice.count, element = reader->plan.target_bytes;

    if (element && count > SIZE_MAX / element)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the selection has more bytes than 64 bits count");
    if (out_bytes == count * element) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "the selection has %" PRIu64 " elements of %" PRIu64 " bytes, memory was given for %" PRIu64
        " bytes",
        count, element, out_bytes);
}

static basalt_status divide(struct reader *reader, basalt_error *err)
{
    size_t raw_bytes = 0;
    basalt_status status = BASALT_OK;

    if (reader->dataset->layout == BS_H5_CHUNKED) {
        status = bs_h5_chunk_raw_bytes(reader->h5, reader->object, &raw_bytes, err);
        reader->tile_bytes = raw_bytes;
        memcpy(reader->choice.tile_dims, reader->dataset->chunk_dims,
            reader->choice.rank * sizeof *reader->choice.tile_dims);
    } else {
        cut_tiles(reader, reader->storage->read_box ? BOX_TILE_BYTES : TILE_BYTES);
    }
    return status ? status : bs_h5_choice_divide(&reader->choice, reader->selection, err);
}

static void end_reader(struct reader *reader)
{
    bs_job_free(reader->job); /* waits */
    while (reader->batches) {
        struct batch *batch = reader->batches;
        reader->batches = batch->next;
        bs_free(batch);
    }
    free_workspaces(reader);
    bs_mutex_destroy(&reader->mutex);
    if (reader->seen != reader->few_seen) bs_free(reader->seen);
    bs_free(reader->fill);
    bs_h5_choice_end(&reader->choice);
}

static void begin_reader(struct reader *reader, struct bs_h5_file *h5,
    const struct bs_h5_object *dataset, const struct bs_h5_selection *selection,
    const struct bs_h5_read_how *how, void *out)
{
    reader->h5 = h5;
    reader->object = dataset;
    reader->dataset = dataset->dataset;
    reader->selection = selection;
    reader->how = how;
    reader->storage = bs_h5_storage_of(dataset);
    reader->cache = NULL;
    reader->out = out;
    reader->fill = NULL;
    reader->stored_bytes = 0;
    reader->seen = NULL;
    reader->few_seen[0] = 0;
    reader->job = NULL;
    reader->batches = NULL;
    reader->idle = NULL;
    reader->first.reader = reader;
    reader->first.count = 0;
    reader->first.bytes = 0;
    bs_mutex_init(&reader->mutex);
}

basalt_status bs_h5_read_selection(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    const struct bs_h5_selection *selection, const struct bs_h5_read_how *how, void *out,
    uint64_t out_bytes, basalt_error *err)
{
    static const struct bs_h5_read_how plainly;
    struct reader reader; /* not zeroed: most of it is room for batches and axes */
    basalt_status status = BASALT_OK;

    assert(dataset->dataset);
    begin_reader(&reader, h5, dataset, selection, how ? how : &plainly, out);
    BS_TRY(bs_h5_choice_begin(dataset, selection, &reader.choice, err));
    BS_TRY(bs_h5_conversion_plan(dataset, reader.how, &reader.plan, err));
    BS_TRY(check_out(&reader, out_bytes, err));
    reader.as_stored = reader.plan.identity && reader.plan.source_bytes == reader.plan.stored_bytes;
    if (!out_bytes) goto out;
    BS_TRY(bs_cancel_check(reader.how->cancel, err));
    BS_TRY(divide(&reader, err));
    if (dataset->dataset->layout == BS_H5_CHUNKED)
        BS_TRY(read_chunked(&reader, err));
    else
        BS_TRY(read_tiles(&reader, err));
out:
    if (status && status != BASALT_BAD_ARGUMENT && reader.how->path)
        bs_error_prefix(err, "%.100s", reader.how->path);
    end_reader(&reader);
    return status;
}
