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
 *   (2) All that a read makes lives in its `struct bs_h5_reader` and ends with it; only the cache stays. A
 *       batch is freed by the reader, never by its task: a task that is skipped has nothing to free.
 *   (3) A thread that decodes for the cache waits for nothing (h5_cache.c). A batch that meets a chunk
 *       that somebody else decodes does its other tiles first.
 *   (4) A read of one batch makes no job: small reads touch no lock but the cache's. */
#include "h5/read_internal.h"

#include <inttypes.h>

#define TILE_BYTES ((uint64_t)1 << 20)      /* of a dataset that is one row of bytes */
#define BOX_TILE_BYTES ((uint64_t)16 << 20) /* of one that is made of others */
#define BATCH_BYTES ((uint64_t)512 << 10)
#define BATCHES_KEPT_MAX                                                                           \
    4096 /* 8 MiB, of which each of a million small chunks would add its part */
#define PEEK_TILES_MAX 16
#define ELEMENT_BYTES_FREE_MAX ((uint64_t)16 << 20) /* larger ones: see check_element */

/* ---- batches ------------------------------------------------------------------------------------ */

static void free_batches(struct bs_h5_reader *reader)
{
    while (reader->batches) {
        struct bs_h5_batch *batch = reader->batches;
        reader->batches = batch->next;
        bs_free(batch);
    }
    reader->batch_count = 0;
}

/* Waits for those that were given away if they are many. */
static basalt_status limit_batches(struct bs_h5_reader *reader, basalt_error *err)
{
    if (reader->batch_count < BATCHES_KEPT_MAX) return BASALT_OK;
    const basalt_status status = bs_job_wait(reader->job, err);
    free_batches(reader);
    return status;
}

/* Gives the tiles that have gathered to whoever comes first. */
static basalt_status send_batch(struct bs_h5_reader *reader, basalt_error *err)
{
    struct bs_h5_batch *batch = NULL;
    basalt_status status = BASALT_OK;

    if (reader->how->sched && !reader->job && !reader->alone)
        status = bs_job_create(
            reader->how->sched, BS_PRIORITY_FOREGROUND, reader->how->cancel, &reader->job, err);
    if (!status) status = limit_batches(reader, err);
    if (status) return status;
    if (reader->job) batch = bs_alloc(sizeof *batch);
    if (batch) {
        memcpy(batch, &reader->first, sizeof *batch);
        batch->next = reader->batches;
        reader->batches = batch;
        reader->batch_count++;
        bs_job_spawn(reader->job, bs_h5_batch_run, batch);
    } else { /* alone, or short of memory */
        status = bs_h5_batch_run(&reader->first, err);
    }
    reader->first.count = 0;
    reader->first.bytes = 0;
    return status;
}

static basalt_status add_tile(
    struct bs_h5_reader *reader, const struct bs_h5_entry *entry, basalt_error *err)
{
    struct bs_h5_batch *batch = &reader->first;

    if (batch->count == BS_H5_BATCH_TILES_MAX || batch->bytes >= BATCH_BYTES) {
        const basalt_status status = send_batch(reader, err);
        if (status) return status;
    }
    batch->entries[batch->count++] = *entry;
    batch->bytes += reader->tile_bytes;
    return BASALT_OK;
}

/* The last batch is this thread's own. */
static basalt_status finish_batches(struct bs_h5_reader *reader, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (reader->first.count) status = bs_h5_batch_run(&reader->first, err);
    if (!status && reader->job) status = bs_job_wait(reader->job, err);
    return status;
}

/* ---- chunks ------------------------------------------------------------------------------------- */

static bool was_seen(const struct bs_h5_reader *reader, uint64_t number)
{
    return reader->seen[number / 64] >> (number % 64) & 1;
}

static void set_seen(struct bs_h5_reader *reader, uint64_t number)
{
    reader->seen[number / 64] |= (uint64_t)1 << (number % 64);
}

static basalt_status add_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct bs_h5_reader *reader = context;
    const struct bs_h5_dataset *dataset = reader->dataset;
    struct bs_h5_entry entry = {.address = chunk->address, .stored_bytes = chunk->stored_bytes};
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
static basalt_status peek_cache(struct bs_h5_reader *reader, bool *out_all, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    uint64_t found = 0;

    for (uint64_t i = 0; !status && i < reader->choice.tiles; i++) {
        struct bs_h5_cached *cached = NULL;
        struct bs_h5_tile tile;
        bs_h5_choice_tile(&reader->choice, i, &tile);
        if (bs_h5_cache_peek(reader->cache, reader->object->header->address,
                bs_h5_tile_key(reader, &tile), &cached) != BS_H5_CACHE_FOUND)
            continue;
        status = bs_h5_tile_place(reader, &tile, bs_h5_cached_bytes(cached), 0, err);
        bs_h5_cache_release(reader->cache, cached);
        set_seen(reader, i);
        found++;
    }
    *out_all = found == reader->choice.tiles;
    return status;
}

static basalt_status walk_box(struct bs_h5_reader *reader, const uint64_t *low_tile,
    const uint64_t *high_tile, basalt_error *err)
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

static basalt_status walk_points(struct bs_h5_reader *reader, basalt_error *err)
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
static basalt_status walk_axes(struct bs_h5_reader *reader, basalt_error *err)
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

static basalt_status add_missing(struct bs_h5_reader *reader, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    for (uint64_t i = 0; !status && i < reader->choice.tiles; i++) {
        const struct bs_h5_entry entry = {.number = i, .address = BS_H5_UNDEFINED};
        if (was_seen(reader, i)) continue;
        status = bs_h5_make_fill(reader, err);
        if (!status) status = add_tile(reader, &entry, err);
    }
    return status;
}

static void choose_cache(struct bs_h5_reader *reader)
{
    const uint64_t tiles = reader->choice.tiles, bytes = reader->tile_bytes;

    if (!reader->how->cache || !reader->dataset->pipeline.count) return;
    /* A read that would push out everything else keeps nothing. */
    if (tiles > bs_h5_cache_limit(reader->how->cache) / bytes) return;
    reader->cache = reader->how->cache;
}

static basalt_status read_chunked(struct bs_h5_reader *reader, basalt_error *err)
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
    reader->alone = reader->how->sched && reader->dataset->pipeline.count &&
        !bs_h5_may_share_work(
            reader->object, reader->tile_bytes, bs_sched_threads(reader->how->sched));
    if (reader->cache && reader->choice.tiles <= PEEK_TILES_MAX)
        status = peek_cache(reader, &all, err);
    if (!status && !all && reader->dataset->address != BS_H5_UNDEFINED)
        status = reader->choice.points ? walk_points(reader, err) : walk_axes(reader, err);
    if (!status && !all) status = add_missing(reader, err);
    return status ? status : finish_batches(reader, err);
}

/* ---- what is not chunked ------------------------------------------------------------------------ */

/* Whole rows, as far as they fit; so a tile is one piece of the row of bytes. */
static void cut_tiles(struct bs_h5_reader *reader, uint64_t bytes_max)
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

static basalt_status read_tiles(struct bs_h5_reader *reader, basalt_error *err)
{
    const struct bs_h5_choice *choice = &reader->choice;
    basalt_status status = BASALT_OK;

    for (uint64_t i = 0; !status && i < choice->tiles; i++) {
        struct bs_h5_entry entry = {.number = i};
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

static basalt_status check_out(
    const struct bs_h5_reader *reader, uint64_t out_bytes, basalt_error *err)
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

/* Where elements do not go straight to the output, one of them at least is in memory. */
static basalt_status check_element(const struct bs_h5_reader *reader, basalt_error *err)
{
    const uint64_t bytes = reader->plan.stored_bytes;

    if (reader->as_stored && !reader->storage->read_box) return BASALT_OK;
    if (bytes <= ELEMENT_BYTES_FREE_MAX || bytes / 2 <= reader->h5->bytes) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "an element of the dataset at %" PRIu64 " has %" PRIu64
        " bytes, over 16 MiB and more than twice as many as the whole file",
        reader->object->header->address, bytes);
}

static basalt_status divide(struct bs_h5_reader *reader, basalt_error *err)
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

static void end_reader(struct bs_h5_reader *reader)
{
    bs_job_free(reader->job); /* waits */
    free_batches(reader);
    bs_h5_free_workspaces(reader);
    bs_mutex_destroy(&reader->mutex);
    if (reader->seen != reader->few_seen) bs_free(reader->seen);
    bs_free(reader->fill);
    bs_h5_choice_end(&reader->choice);
}

static void begin_reader(struct bs_h5_reader *reader, struct bs_h5_file *h5,
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
    reader->alone = false;
    reader->batches = NULL;
    reader->batch_count = 0;
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
    struct bs_h5_read_how own = how ? *how : (struct bs_h5_read_how){0};
    struct bs_h5_reader reader; /* not zeroed: most of it is room for batches and axes */
    basalt_status status = BASALT_OK;

    assert(dataset->dataset);
    if (h5 != dataset->h5) own.cache = NULL; /* of another file than a link led to */
    begin_reader(&reader, dataset->h5, dataset, selection, &own, out);
    BS_TRY(bs_h5_choice_begin(dataset, selection, &reader.choice, err));
    BS_TRY(bs_h5_conversion_plan(dataset, reader.how, &reader.plan, err));
    BS_TRY(check_out(&reader, out_bytes, err));
    reader.as_stored = reader.plan.identity && reader.plan.source_bytes == reader.plan.stored_bytes;
    if (!out_bytes) goto out;
    BS_TRY(check_element(&reader, err));
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
