/* h5_batch.c - the task of a read: the tiles of one batch, read, decoded, converted, placed. What calls
 * it, and what keeps it right beside others, is in the essay of h5_read.c. */
#include "h5/read_internal.h"

#define WINDOW_BYTES ((uint64_t)1 << 20) /* read at once, if the chunks in it are neighbours */
#define WINDOW_GAP_BYTES 4096            /* between neighbours */
#define PIECES_MAX 16                    /* that a large one is cut into */
#define SHARED_BYTES_MIN ((uint64_t)4 << 20)
#define SPARSE_BYTES ((uint64_t)64 << 10)
#define SPARSE_RATIO 16 /* tiles with so many times more bytes than wanted are picked from */

/* ---- workspaces --------------------------------------------------------------------------------- */

static basalt_status take_workspace(
    struct bs_h5_reader *reader, struct bs_h5_workspace **out_workspace, basalt_error *err)
{
    bs_mutex_lock(&reader->mutex);
    struct bs_h5_workspace *workspace = reader->idle;
    if (workspace) reader->idle = workspace->next;
    bs_mutex_unlock(&reader->mutex);
    if (!workspace) workspace = bs_alloc_zeroed(1, sizeof *workspace);
    *out_workspace = workspace;
    if (!workspace) return bs_fail_memory(err, sizeof *workspace);
    workspace->window_bytes = 0;
    return BASALT_OK;
}

static void give_workspace(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace)
{
    if (!workspace) return;
    bs_mutex_lock(&reader->mutex);
    workspace->next = reader->idle;
    reader->idle = workspace;
    bs_mutex_unlock(&reader->mutex);
}

static void note_most(_Atomic uint64_t *most, uint64_t bytes)
{
    uint64_t known = atomic_load(most);
    while (known < bytes && !atomic_compare_exchange_weak(most, &known, bytes)) {
    }
}

void bs_h5_free_workspaces(struct bs_h5_reader *reader)
{
    uint64_t bytes = 0;
    while (reader->idle) {
        struct bs_h5_workspace *workspace = reader->idle;
        reader->idle = workspace->next;
        bytes += workspace->stored_capacity + workspace->tile_capacity +
            bs_codec_scratch_bytes(workspace->scratch);
        bs_codec_scratch_free(workspace->scratch);
        bs_free(workspace->stored);
        bs_free(workspace->tile);
        bs_free(workspace);
    }
    if (reader->how->workspace_bytes_max) note_most(reader->how->workspace_bytes_max, bytes);
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
    const struct bs_h5_reader *reader;
    const uint8_t *bytes; /* of the tile from element `skipped` on */
    uint64_t skipped;
};

static basalt_status place_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct placing *placing = context;
    const struct bs_h5_reader *reader = placing->reader;
    const uint64_t element = reader->plan.stored_bytes;

    return bs_h5_convert(&reader->plan, placing->bytes + (run->at - placing->skipped) * element,
        run->step * element, run->count, reader->out + run->out * reader->plan.target_bytes,
        run->out, err);
}

basalt_status bs_h5_tile_place(const struct bs_h5_reader *reader, const struct bs_h5_tile *tile,
    const uint8_t *bytes, uint64_t skipped, basalt_error *err)
{
    struct placing placing = {reader, bytes, skipped};
    return bs_h5_tile_runs(&reader->choice, tile, place_run, &placing, err);
}

static basalt_status fill_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct bs_h5_reader *reader = context;
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

basalt_status bs_h5_make_fill(struct bs_h5_reader *reader, basalt_error *err)
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
    const struct bs_h5_reader *reader, uint64_t at, uint64_t bytes, void *out, basalt_error *err)
{
    if (reader->storage->read_bytes)
        return reader->storage->read_bytes(reader->h5, reader->object, at, bytes, out, err);
    return bs_h5_read_at(reader->h5, at, out, (size_t)bytes, "a chunk", err);
}

struct piece {
    const struct bs_h5_reader *reader;
    uint64_t at, bytes;
    uint8_t *out;
};

static basalt_status read_piece(void *argument, basalt_error *err)
{
    const struct piece *piece = argument;
    return read_raw(piece->reader, piece->at, piece->bytes, piece->out, err);
}

/* One chunk that is as large as many is shared too. */
static basalt_status read_raw_shared(
    const struct bs_h5_reader *reader, uint64_t at, uint64_t bytes, uint8_t *out, basalt_error *err)
{
    struct piece pieces[PIECES_MAX];
    struct bs_job *job = NULL;
    const uint64_t each = bytes / PIECES_MAX;

    if (bytes < SHARED_BYTES_MIN || !reader->how->sched)
        return read_raw(reader, at, bytes, out, err);
    basalt_status status =
        bs_job_create(reader->how->sched, BS_PRIORITY_FOREGROUND, reader->how->cancel, &job, err);
    if (status) return status;
    for (unsigned i = 0; i < PIECES_MAX; i++) {
        const uint64_t first = i * each;
        pieces[i] = (struct piece){
            reader, at + first, i + 1 < PIECES_MAX ? each : bytes - first, out + first};
        bs_job_spawn(job, read_piece, &pieces[i]);
    }
    status = bs_job_wait(job, err);
    bs_job_free(job);
    return status;
}

struct picking {
    struct bs_h5_reader *reader;
    struct bs_h5_workspace *workspace;
    uint64_t address;
};

/* Reads what one run needs and no more. */
static basalt_status pick_run(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct picking *picking = context;
    const struct bs_h5_reader *reader = picking->reader;
    const uint64_t element = reader->plan.stored_bytes;
    const bool apart = run->step * element > WINDOW_GAP_BYTES;
    const uint64_t piece = apart ? 1 : run->count;
    const uint64_t bytes = ((piece - 1) * run->step + 1) * element;
    struct bs_h5_workspace *workspace = picking->workspace;

    if (reader->as_stored && run->step == 1)
        return read_raw(reader, picking->address + run->at * element, run->count * element,
            reader->out + run->out * element, err);
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

/* Is it cheaper to read what is wanted row by row than all between its first and its last byte? */
static bool is_sparse(const struct bs_h5_reader *reader, const struct bs_h5_tile *tile,
    uint64_t bytes, uint64_t wanted_bytes)
{
    const struct bs_h5_choice *choice = &reader->choice;
    const unsigned last = choice->rank - 1;

    if (bytes <= SPARSE_BYTES) return false;
    if (bytes / SPARSE_RATIO > wanted_bytes) return true;
    if (choice->points || choice->axes[last].places) return false;
    if (choice->axes[last].stride != choice->axes[last].block) return false;
    const struct bs_h5_cell *cell = tile->cells[last];
    const uint64_t row_bytes = (cell[1].first - cell[0].first) * reader->plan.stored_bytes;
    return (bytes - wanted_bytes) / WINDOW_GAP_BYTES > wanted_bytes / row_bytes;
}

static basalt_status read_raw_tile(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_entry *entry, const struct bs_h5_tile *tile, basalt_error *err)
{
    const uint64_t element = reader->plan.stored_bytes;
    struct picking picking = {reader, workspace, entry->address};
    uint64_t first, end, count;

    bs_h5_tile_span(&reader->choice, tile, &first, &end, &count);
    const uint64_t bytes = (end - first) * element;
    if (is_sparse(reader, tile, bytes, count * element))
        return bs_h5_tile_runs(&reader->choice, tile, pick_run, &picking, err);
    basalt_status status = reserve(&workspace->tile, &workspace->tile_capacity, (size_t)bytes, err);
    if (!status)
        status = read_raw(reader, entry->address + first * element, bytes, workspace->tile, err);
    return status ? status : bs_h5_tile_place(reader, tile, workspace->tile, first, err);
}

/* Is the tile one piece of file and output both? Then it can be read there. */
static bool is_direct(
    const struct bs_h5_reader *reader, const struct bs_h5_entry *entry, struct bs_h5_run *out_run)
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
static basalt_status read_direct(struct bs_h5_reader *reader, const struct bs_h5_batch *batch,
    unsigned at, const struct bs_h5_run *run, unsigned *out_done, basalt_error *err)
{
    const uint64_t element = reader->plan.stored_bytes;
    const struct bs_h5_entry *entry = &batch->entries[at];
    const uint64_t from = entry->address + run->at * element;
    uint64_t count = run->count;
    struct bs_h5_run next;

    *out_done = 1;
    while (at + *out_done < batch->count) {
        const struct bs_h5_entry *other = &batch->entries[at + *out_done];
        if (!is_direct(reader, other, &next) || next.out != run->out + count ||
            other->address + next.at * element != from + count * element)
            break;
        count += next.count;
        ++*out_done;
    }
    return read_raw_shared(reader, from, count * element, reader->out + run->out * element, err);
}

/* ---- filtered tiles ----------------------------------------------------------------------------- */

/* The stored bytes of tile `at`; they, and those of its neighbours in the file that the batch has, are
 * read if the window does not have them. */
static basalt_status load_stored(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_batch *batch, unsigned at, const uint8_t **out_stored, basalt_error *err)
{
    const struct bs_h5_entry *entry = &batch->entries[at];
    uint64_t end =
        entry->address + entry->stored_bytes; /* inside the file: the index was checked */

    if (entry->address < workspace->window_at ||
        end > workspace->window_at + workspace->window_bytes) {
        for (unsigned i = at + 1; i < batch->count; i++) {
            const struct bs_h5_entry *next = &batch->entries[i];
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
    *out_stored = workspace->stored /* NULL: a chunk of no bytes */
        ? workspace->stored + (entry->address - workspace->window_at)
        : (const uint8_t *)"";
    return BASALT_OK;
}

static basalt_status decode(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_batch *batch, unsigned at, uint8_t *out, basalt_error *err)
{
    const struct bs_h5_entry *entry = &batch->entries[at];
    const uint8_t *stored = NULL;
    const basalt_status status = load_stored(reader, workspace, batch, at, &stored, err);

    if (status) return status;
    return bs_h5_chunk_decode(reader->h5, reader->object, entry->address, entry->mask,
        &workspace->scratch, stored, entry->stored_bytes, out, (size_t)reader->tile_bytes, err);
}

uint64_t bs_h5_tile_key(const struct bs_h5_reader *reader, const struct bs_h5_tile *tile)
{
    uint64_t key = 0;
    for (unsigned d = 0; d < reader->choice.rank; d++)
        key = key * reader->choice.grid[d] + tile->at[d];
    return key;
}

/* *out_answer BUSY: nothing was done, and `wait` was false. FULL: the cache has no room. */
static basalt_status read_cached(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_batch *batch, unsigned at, const struct bs_h5_tile *tile, bool wait,
    enum bs_h5_cache_answer *out_answer, basalt_error *err)
{
    struct bs_h5_cached *cached = NULL;
    basalt_status status = BASALT_OK;

    *out_answer = bs_h5_cache_get(reader->cache, reader->object->header->address,
        bs_h5_tile_key(reader, tile), reader->tile_bytes, wait, &cached);
    if (*out_answer == BS_H5_CACHE_MINE) {
        status = decode(reader, workspace, batch, at, bs_h5_cached_bytes(cached), err);
        bs_h5_cache_decoded(reader->cache, cached, !status);
    }
    if (!cached) return status;
    if (!status) status = bs_h5_tile_place(reader, tile, bs_h5_cached_bytes(cached), 0, err);
    bs_h5_cache_release(reader->cache, cached);
    return status;
}

/* *out_busy: somebody decodes it just now; it was left out. */
static basalt_status read_filtered(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_batch *batch, unsigned at, bool wait, bool *out_busy, basalt_error *err)
{
    enum bs_h5_cache_answer answer = BS_H5_CACHE_FULL;
    struct bs_h5_tile tile;
    struct bs_h5_run run;
    basalt_status status;

    *out_busy = false;
    const uint32_t mask = batch->entries[at].mask;
    bs_h5_choice_tile(&reader->choice, batch->entries[at].number, &tile);
    const bool whole = bs_h5_tile_is_whole(&reader->choice, &tile);
    if (whole && reader->as_stored && bs_h5_tile_one_run(&reader->choice, &tile, &run) &&
        run.count == reader->choice.tile_elements) {
        status = bs_h5_chunk_check_work(reader->object, mask, reader->tile_bytes, 0, err);
        return status ? status
                      : decode(reader, workspace, batch, at,
                            reader->out + run.out * reader->plan.target_bytes, err);
    }
    if (reader->cache && !whole) {
        status = read_cached(reader, workspace, batch, at, &tile, wait, &answer, err);
        *out_busy = answer == BS_H5_CACHE_BUSY;
        if (status || answer != BS_H5_CACHE_FULL) return status;
    }
    status =
        bs_h5_chunk_check_work(reader->object, mask, reader->tile_bytes, reader->tile_bytes, err);
    if (!status)
        status =
            reserve(&workspace->tile, &workspace->tile_capacity, (size_t)reader->tile_bytes, err);
    if (!status) status = decode(reader, workspace, batch, at, workspace->tile, err);
    return status ? status : bs_h5_tile_place(reader, &tile, workspace->tile, 0, err);
}

/* ---- tiles that are made of other datasets ------------------------------------------------------ */

static basalt_status read_box_point(void *context, const struct bs_h5_run *run, basalt_error *err)
{
    const struct picking *picking = context;
    struct bs_h5_reader *reader = picking->reader;
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

static basalt_status read_box_tile(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_entry *entry, basalt_error *err)
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

static basalt_status read_entry(struct bs_h5_reader *reader, struct bs_h5_workspace *workspace,
    const struct bs_h5_batch *batch, unsigned at, bool *out_busy, basalt_error *err)
{
    const struct bs_h5_entry *entry = &batch->entries[at];
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

basalt_status bs_h5_batch_run(void *argument, basalt_error *err)
{
    const struct bs_h5_batch *batch = argument;
    struct bs_h5_reader *reader = batch->reader;
    struct bs_h5_workspace *workspace = NULL;
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
        if (at == BS_H5_BATCH_TILES_MAX - 1) break;
    }
out:
    give_workspace(reader, workspace);
    return status;
}
