/* copy_data.c - the elements of all datasets, as pipelines (sched.h) over the environment's threads.
 *
 * An item is a run of tiles of one dataset: chunks of the copy, or parts of a contiguous array. The
 * source opens one dataset after the other and hands out its items; the stage reads, decodes, turns
 * elements that name places, encodes; the sink stores chunks, in their order. Datasets with small chunks
 * follow each other in one pipeline, so that many small ones keep all threads at work; one with large
 * chunks has its own, with as few items under way as its memory allows.
 *
 *   (1) A dataset is opened by the source and closed by the sink that takes its last item; in between it
 *       does not change, and any number of stages read it. After a failure the end of the run closes it.
 *   (2) Tiles that the source stores nothing of are not listed: a sparse dataset stays sparse. So does
 *       one with other chunks, and a chunk of nothing but fill values is left out.
 *   (3) Memory under way is bounded: items_max x what an item takes, by the largest of the pipeline.
 *   (4) Parts of a contiguous array do not overlap, so stages write them themselves. */
#include "copy/copy_internal.h"

#include <stdlib.h>

#define ITEM_BYTES ((uint64_t)1 << 20) /* of elements, unless one tile has more */
#define ITEM_TILES_MAX 64u
#define FLOW_BYTES_MAX ((uint64_t)512 << 20) /* of all items of a pipeline */
#define SMALL_ITEM_BYTES (4 * ITEM_BYTES)
#define ITEM_COPIES 4u /* memory of an item: elements, turned, encoded, and what codecs need */
#define CACHE_BYTES ((uint64_t)256 << 20) /* of decoded chunks, where the grids differ */

struct tile { /* of the copy; with the same grid also a chunk of the source */
    uint64_t number, address, stored_bytes;
    uint32_t mask;
};

struct dataset { /* that is being copied */
    const struct bs_copy_object *found;
    struct bs_h5_object *object;
    struct bs_copy_plan plan;
    uint8_t *fill;      /* one element of the source */
    struct tile *tiles; /* that are copied, by number; NULL: all */
    uint64_t tile_count, next;
    uint64_t stored_bytes; /* of the chunks so far; over the file's they overlap */
    uint64_t done_bytes;   /* by the sink */
};

struct piece { /* an encoded tile, in the item's bytes */
    uint64_t number;
    size_t at, count;
    uint32_t mask;
};

struct item {
    struct dataset *dataset;
    uint64_t first; /* in the list of tiles */
    unsigned tile_count, piece_count;
    bool last; /* of the dataset */
    uint64_t done_bytes;
    struct bs_bytes bytes;
    struct piece pieces[ITEM_TILES_MAX];
};

struct workspace { /* of one stage at a time */
    struct workspace *next;
    struct bs_codec_scratch *decoder, *encoder;
    struct bs_copy_values values;
    struct bs_bytes elements, turned, whole;
};

struct run {
    struct bs_copy *copy;
    struct bs_h5_cache *cache;
    size_t next_object, end_object; /* of copy->objects */
    struct dataset *open;           /* that the source hands out */
    bs_mutex mutex;                 /* guards idle, and alive */
    struct workspace *idle;
    struct dataset **alive;
    size_t alive_count, alive_capacity;
};

/* ---- datasets ------------------------------------------------------------------------------ */

/* Reading says it by itself. */
static void say_which(const struct bs_copy_object *found, basalt_error *err)
{
    if (!err || strncmp(err->message, found->path, strlen(found->path)) != 0) {
        bs_error_prefix(err, "%.120s", found->path);
    }
}

static void dataset_close(struct dataset *dataset)
{
    if (!dataset) return;
    bs_h5_object_close(dataset->object);
    bs_copy_plan_free(&dataset->plan);
    bs_free(dataset->fill);
    bs_free(dataset->tiles);
    bs_free(dataset);
}

/* Room for `more` tiles, which the caller fills in. */
static basalt_status tiles_add(
    struct dataset *dataset, uint64_t *capacity, const struct tile *tile, basalt_error *err)
{
    if (dataset->tile_count == *capacity) {
        const uint64_t room = BS_MAX(*capacity * 2, (uint64_t)64);
        if (room > 2 * BS_COPY_CHUNKS_MAX) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "it would have more than %" PRIu64 " chunks", BS_COPY_CHUNKS_MAX);
        }
        void *grown = bs_realloc(dataset->tiles, (size_t)room * sizeof *dataset->tiles);
        if (!grown) return bs_fail_memory(err, (size_t)room * sizeof *dataset->tiles);
        dataset->tiles = grown;
        *capacity = room;
    }
    dataset->tiles[dataset->tile_count++] = *tile;
    return BASALT_OK;
}

struct gather {
    struct bs_copy *copy;
    struct dataset *dataset;
    uint64_t capacity;
};

/* Every tile that the chunk reaches into. */
static basalt_status gather_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct gather *gather = context;
    struct dataset *dataset = gather->dataset;
    const struct bs_copy_plan *plan = &dataset->plan;
    const uint64_t *chunk_dims = bs_h5_object_dataset(dataset->object)->chunk_dims;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX], at[BS_H5_RANK_MAX];
    for (unsigned i = 0; i < plan->rank; i++) {
        if (chunk->offset[i] >= plan->dims[i]) return BASALT_OK; /* was cut off */
        low[i] = at[i] = chunk->offset[i] / plan->tile_dims[i];
        const uint64_t last =
            BS_MIN(chunk_dims[i], plan->dims[i] - chunk->offset[i]) - 1 + chunk->offset[i];
        high[i] = last / plan->tile_dims[i];
    }
    if (chunk->stored_bytes > gather->copy->from_bytes - dataset->stored_bytes) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "its chunks overlap: together they are larger than the file");
    }
    dataset->stored_bytes += chunk->stored_bytes;
    while (true) {
        struct tile tile = {.address = chunk->address,
            .stored_bytes = chunk->stored_bytes,
            .mask = bs_h5_chunk_mask(dataset->object, chunk)};
        unsigned dimension = plan->rank;
        for (unsigned i = 0; i < plan->rank; i++) {
            tile.number = tile.number * plan->grid[i] + at[i];
        }
        basalt_status status = tiles_add(dataset, &gather->capacity, &tile, err);
        if (!status) status = bs_cancel_check(gather->copy->parts->cancel, err);
        if (status) return status;
        while (dimension > 0 && at[dimension - 1] == high[dimension - 1]) {
            dimension--;
            at[dimension] = low[dimension];
        }
        if (dimension == 0) return BASALT_OK;
        at[dimension - 1]++;
    }
}

static int by_number(const void *a, const void *b)
{
    const uint64_t left = ((const struct tile *)a)->number;
    const uint64_t right = ((const struct tile *)b)->number;
    return left < right ? -1 : left > right;
}

/* Which tiles are copied: all, or those in which the source has something. */
static basalt_status list_tiles(struct bs_copy *copy, struct dataset *dataset, basalt_error *err)
{
    const struct bs_h5_dataset *from = bs_h5_object_dataset(dataset->object);
    struct gather gather = {.copy = copy, .dataset = dataset};
    uint64_t kept = 0;
    if (!dataset->plan.stored || dataset->plan.tiles == 0) return BASALT_OK;
    if (from->layout != BS_H5_CHUNKED || dataset->plan.layout != BS_H5_CHUNKED) {
        dataset->tile_count = dataset->plan.tiles;
        if (dataset->tile_count <= BS_COPY_CHUNKS_MAX) return BASALT_OK;
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "it would have more than %" PRIu64 " chunks or parts", BS_COPY_CHUNKS_MAX);
    }
    const basalt_status status =
        bs_h5_chunks_each(copy->from, dataset->object, gather_chunk, &gather, err);
    if (status) return status;
    if (dataset->tile_count) {
        qsort(dataset->tiles, dataset->tile_count, sizeof *dataset->tiles, by_number);
    }
    for (uint64_t i = 0; i < dataset->tile_count; i++) {
        if (i > 0 && dataset->tiles[i].number == dataset->tiles[i - 1].number) continue;
        dataset->tiles[kept++] = dataset->tiles[i];
    }
    dataset->tile_count = kept;
    return BASALT_OK;
}

static basalt_status dataset_open(struct bs_copy *copy, const struct bs_copy_object *found,
    struct dataset **out_dataset, basalt_error *err)
{
    struct dataset *dataset = bs_alloc_zeroed(1, sizeof *dataset);
    basalt_status status = BASALT_OK;
    *out_dataset = NULL;
    if (!dataset) return bs_fail_memory(err, sizeof *dataset);
    dataset->found = found;
    BS_TRY(bs_h5_object_open(copy->from, found->address, &dataset->object, err));
    const struct bs_h5_dataset *from = bs_h5_object_dataset(dataset->object);
    if (!from) {
        BS_TRY(bs_fail(err, BASALT_CONFLICT, BASALT_NO_OFFSET, "it changed while it was copied"));
    }
    BS_TRY(bs_copy_plan_make(copy, found->path, from, &dataset->plan, err));
    BS_TRY(list_tiles(copy, dataset, err));
    *out_dataset = dataset;
    dataset = NULL;
out:
    if (status) say_which(found, err);
    dataset_close(dataset);
    return status;
}

/* ---- the source ---------------------------------------------------------------------------- */

static basalt_status keep_alive(struct run *run, struct dataset *dataset, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&run->mutex);
    if (run->alive_count == run->alive_capacity) {
        const size_t room = BS_MAX(2 * run->alive_capacity, (size_t)16);
        void *grown = bs_realloc(run->alive, room * sizeof(void *));
        if (grown) {
            run->alive = grown;
            run->alive_capacity = room;
        } else {
            status = bs_fail_memory(err, room * sizeof(void *));
        }
    }
    if (!status) run->alive[run->alive_count++] = dataset;
    bs_mutex_unlock(&run->mutex);
    return status;
}

static void let_go(struct run *run, struct dataset *dataset)
{
    bs_mutex_lock(&run->mutex);
    for (size_t i = 0; i < run->alive_count; i++) {
        if (run->alive[i] != dataset) continue;
        run->alive[i] = run->alive[--run->alive_count];
        break;
    }
    bs_mutex_unlock(&run->mutex);
    dataset_close(dataset);
}

/* The next dataset that has something to copy; run->open stays NULL at the end. */
static basalt_status open_next(struct run *run, basalt_error *err)
{
    struct bs_copy *copy = run->copy;
    while (!run->open && run->next_object < run->end_object) {
        const struct bs_copy_object *found = &copy->objects[run->next_object++];
        struct dataset *dataset;
        if (found->kind != BS_H5_DATASET) continue;
        basalt_status status = bs_cancel_check(copy->parts->cancel, err);
        if (!status) status = dataset_open(copy, found, &dataset, err);
        if (status) return status;
        if (dataset->tile_count == 0) {
            dataset_close(dataset);
            continue;
        }
        status = keep_alive(run, dataset, err);
        if (status) {
            dataset_close(dataset);
            return status;
        }
        run->open = dataset;
    }
    return BASALT_OK;
}

static basalt_status next_item(void *context, void **out_item, basalt_error *err)
{
    struct run *run = context;
    *out_item = NULL;
    const basalt_status status = open_next(run, err);
    struct dataset *dataset = run->open;
    if (status || !dataset) return status;
    struct item *item = bs_alloc_zeroed(1, sizeof *item);
    if (!item) return bs_fail_memory(err, sizeof *item);
    const uint64_t tile_bytes = dataset->plan.tile_elements * dataset->plan.element_bytes;
    const uint64_t fit = BS_MAX(ITEM_BYTES / tile_bytes, (uint64_t)1);
    const uint64_t left = dataset->tile_count - dataset->next;
    item->dataset = dataset;
    item->first = dataset->next;
    item->tile_count = (unsigned)BS_MIN(BS_MIN(fit, left), (uint64_t)ITEM_TILES_MAX);
    dataset->next += item->tile_count;
    item->last = dataset->next == dataset->tile_count;
    if (item->last) run->open = NULL;
    *out_item = item;
    return BASALT_OK;
}

/* ---- the stage ----------------------------------------------------------------------------- */

static void workspace_free(struct workspace *work)
{
    if (!work) return;
    bs_codec_scratch_free(work->decoder);
    bs_codec_scratch_free(work->encoder);
    bs_copy_values_close(&work->values);
    bs_bytes_free(&work->elements);
    bs_bytes_free(&work->turned);
    bs_bytes_free(&work->whole);
    bs_free(work);
}

static basalt_status workspace_take(struct run *run, struct workspace **out_work, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    bs_mutex_lock(&run->mutex);
    struct workspace *work = run->idle;
    if (work) run->idle = work->next;
    bs_mutex_unlock(&run->mutex);
    *out_work = work;
    if (work) return BASALT_OK;
    work = bs_alloc_zeroed(1, sizeof *work);
    if (!work) return bs_fail_memory(err, sizeof *work);
    BS_TRY(bs_codec_scratch_create_with(run->copy->parts->filters, &work->decoder, err));
    BS_TRY(bs_codec_scratch_create_with(run->copy->parts->filters, &work->encoder, err));
    BS_TRY(bs_copy_values_open(run->copy, &work->values, err));
    *out_work = work;
    work = NULL;
out:
    workspace_free(work);
    return status;
}

static void workspace_give(struct run *run, struct workspace *work)
{
    bs_mutex_lock(&run->mutex);
    work->next = run->idle;
    run->idle = work;
    bs_mutex_unlock(&run->mutex);
}

static basalt_status room(
    struct bs_bytes *bytes, uint64_t count, uint8_t **out_memory, basalt_error *err)
{
    bytes->count = 0;
    *out_memory = bs_bytes_grow(bytes, (size_t)count);
    return bs_bytes_check(bytes, err);
}

static struct tile tile_at(const struct dataset *dataset, uint64_t index)
{
    return dataset->tiles ? dataset->tiles[index] : (struct tile){.number = index};
}

static struct bs_h5_chunk chunk_of(const struct bs_copy_plan *plan, const struct tile *tile)
{
    struct bs_h5_chunk chunk = {
        .address = tile->address, .stored_bytes = tile->stored_bytes, .filter_mask = tile->mask};
    uint64_t count[BS_H5_RANK_MAX];
    bs_copy_tile(plan, tile->number, chunk.offset, count);
    return chunk;
}

/* Elements of the tile that the dataset has, end to end, as the source has them. */
static basalt_status read_box(struct run *run, const struct dataset *dataset, const uint64_t *start,
    const uint64_t *count, uint8_t *out, uint64_t out_bytes, basalt_error *err)
{
    const struct bs_h5_dataset *from = bs_h5_object_dataset(dataset->object);
    struct bs_h5_selection selection = {.kind = BS_H5_SELECT_ALL};
    const struct bs_h5_read_how how = {.cancel = run->copy->parts->cancel,
        .cache = from->layout == BS_H5_CHUNKED ? run->cache : NULL,
        .path = dataset->found->path};
    if (from->space.rank) {
        selection.kind = BS_H5_SELECT_HYPERSLAB;
        selection.rank = from->space.rank;
        for (unsigned i = 0; i < selection.rank; i++) {
            selection.start[i] = start[i];
            selection.block[i] = count[i];
            selection.count[i] = selection.stride[i] = 1;
            selection.stride[i] = BS_MAX(count[i], (uint64_t)1);
        }
    }
    return bs_h5_read_selection(
        run->copy->from, dataset->object, &selection, &how, out, out_bytes, err);
}

/* The box, which begins the tile in every dimension, into the tile; the rest stays. */
static void spread(const struct bs_copy_plan *plan, const uint64_t *count, uint64_t element_bytes,
    const uint8_t *box, uint8_t *tile)
{
    uint64_t at[BS_H5_RANK_MAX] = {0};
    const unsigned last = plan->rank - 1;
    const size_t row_bytes = (size_t)(count[last] * element_bytes);
    while (true) {
        uint64_t place = 0;
        for (unsigned i = 0; i < plan->rank; i++) place = place * plan->tile_dims[i] + at[i];
        memcpy(tile + place * element_bytes, box, row_bytes);
        box += row_bytes;
        unsigned i = last;
        while (i > 0 && ++at[i - 1] == count[i - 1]) at[--i] = 0;
        if (i == 0) return;
    }
}

static void put_fill(const struct bs_h5_dataset *from, uint8_t *out, uint64_t elements)
{
    const size_t bytes = from->type->size_bytes;
    if (!from->fill) {
        memset(out, 0, (size_t)elements * bytes);
        return;
    }
    for (uint64_t i = 0; i < elements; i++) memcpy(out + i * bytes, from->fill, bytes);
}

/* All elements of a tile, as the source has them; where the dataset ends, fill values follow. */
static basalt_status read_tile(struct run *run, struct workspace *work,
    const struct dataset *dataset, const struct tile *tile, uint8_t **out_elements,
    basalt_error *err)
{
    const struct bs_copy_plan *plan = &dataset->plan;
    const struct bs_h5_dataset *from = bs_h5_object_dataset(dataset->object);
    uint64_t start[BS_H5_RANK_MAX], count[BS_H5_RANK_MAX], elements = 1;
    const uint64_t size = from->type->size_bytes, tile_bytes = plan->tile_elements * size;
    uint8_t *box;
    basalt_status status = room(&work->elements, tile_bytes, out_elements, err);
    if (status) return status;
    if (plan->same_grid) {
        const struct bs_h5_chunk chunk = chunk_of(plan, tile);
        return bs_h5_chunk_read(run->copy->from, dataset->object, &chunk, &work->decoder,
            *out_elements, (size_t)tile_bytes, err);
    }
    bs_copy_tile(plan, tile->number, start, count);
    for (unsigned i = 0; i < plan->rank; i++) elements *= count[i];
    if (elements == plan->tile_elements || plan->layout != BS_H5_CHUNKED) {
        return read_box(run, dataset, start, count, *out_elements, elements * size, err);
    }
    status = room(&work->whole, elements * size, &box, err);
    if (!status) status = read_box(run, dataset, start, count, box, elements * size, err);
    if (status) return status;
    put_fill(from, *out_elements, plan->tile_elements);
    spread(plan, count, size, box, *out_elements);
    return BASALT_OK;
}

/* Nothing but the fill value, or zeros where there is none. */
static bool is_fill(const struct bs_h5_dataset *from, const uint8_t *elements, uint64_t bytes)
{
    const uint64_t size = from->type->size_bytes;
    for (uint64_t i = 0; !from->fill && i < BS_MIN(size, bytes); i++) {
        if (elements[i]) return false;
    }
    if (from->fill && memcmp(elements, from->fill, (size_t)size) != 0) return false;
    return bytes <= size || !memcmp(elements, elements + size, (size_t)(bytes - size));
}

static basalt_status add_piece(struct item *item, uint64_t number, const void *bytes, size_t count,
    uint32_t mask, basalt_error *err)
{
    item->pieces[item->piece_count++] =
        (struct piece){.number = number, .at = item->bytes.count, .count = count, .mask = mask};
    if (bytes && count) {
        bs_bytes_put(&item->bytes, bytes, count);
    }
    return bs_bytes_check(&item->bytes, err);
}

static basalt_status copy_as_is(struct run *run, struct workspace *work, struct item *item,
    const struct tile *tile, basalt_error *err)
{
    const struct dataset *dataset = item->dataset;
    const struct bs_h5_chunk chunk = chunk_of(&dataset->plan, tile);
    const size_t at = item->bytes.count, count = (size_t)tile->stored_bytes;
    uint8_t *out = bs_bytes_grow(&item->bytes, count);
    if (!out) return bs_bytes_check(&item->bytes, err);
    item->pieces[item->piece_count++] =
        (struct piece){.number = tile->number, .at = at, .count = count, .mask = tile->mask};
    if (run->copy->options->check) {
        uint8_t *ignored;
        const basalt_status status = read_tile(run, work, dataset, tile, &ignored, err);
        if (status) return status;
    }
    return bs_h5_chunk_read_stored(run->copy->from, dataset->object, &chunk, out, err);
}

/* Where part `number` of an array that is one row of bytes lies in it. */
static uint64_t part_at(const struct bs_copy_plan *plan, const uint64_t *start)
{
    uint64_t at = 0;
    for (unsigned i = 0; i < plan->rank; i++) at = at * plan->dims[i] + start[i];
    return at * plan->element_bytes;
}

static basalt_status copy_tile(struct run *run, struct workspace *work, struct item *item,
    const struct tile *tile, basalt_error *err)
{
    const struct dataset *dataset = item->dataset;
    const struct bs_copy_plan *plan = &dataset->plan;
    const struct bs_h5_dataset *from = bs_h5_object_dataset(dataset->object);
    uint64_t start[BS_H5_RANK_MAX], count[BS_H5_RANK_MAX], elements = plan->tile_elements;
    uint8_t *bytes;
    basalt_status status = read_tile(run, work, dataset, tile, &bytes, err);
    if (status) return status;
    if (plan->layout == BS_H5_CHUNKED) {
        if (is_fill(from, bytes, elements * from->type->size_bytes)) return BASALT_OK;
    } else {
        bs_copy_tile(plan, tile->number, start, count);
        elements = 1;
        for (unsigned i = 0; i < plan->rank; i++) elements *= count[i];
    }
    if (plan->refers) {
        uint8_t *turned;
        status = room(&work->turned, elements * plan->element_bytes, &turned, err);
        if (!status) {
            status = bs_copy_elements(
                &work->values, from->type, plan->type, bytes, turned, elements, err);
        }
        if (status) return status;
        bytes = turned;
    }
    if (plan->layout != BS_H5_CHUNKED) {
        return bs_h5_put_bytes(run->copy->to, dataset->found->node, part_at(plan, start), bytes,
            (size_t)(elements * plan->element_bytes), err);
    }
    const void *encoded;
    size_t encoded_bytes;
    uint32_t mask;
    status = bs_pipeline_encode(&plan->pipeline, work->encoder, bytes,
        (size_t)(elements * plan->element_bytes), &encoded, &encoded_bytes, &mask, err);
    return status ? status : add_piece(item, tile->number, encoded, encoded_bytes, mask, err);
}

static basalt_status stage(void *context, void *taken, basalt_error *err)
{
    struct run *run = context;
    struct item *item = taken;
    const struct dataset *dataset = item->dataset;
    const struct bs_copy_plan *plan = &dataset->plan;
    struct workspace *work;
    basalt_status status = workspace_take(run, &work, err);
    if (status) return status;
    for (unsigned i = 0; i < item->tile_count; i++) {
        const struct tile tile = tile_at(dataset, item->first + i);
        BS_TRY(bs_cancel_check(run->copy->parts->cancel, err));
        if (plan->as_is) {
            BS_TRY(copy_as_is(run, work, item, &tile, err));
        } else {
            BS_TRY(copy_tile(run, work, item, &tile, err));
        }
        item->done_bytes += plan->tile_elements * plan->element_bytes;
    }
out:
    if (status && status != BASALT_CANCELLED) say_which(dataset->found, err);
    workspace_give(run, work);
    return status;
}

/* ---- the sink ------------------------------------------------------------------------------ */

static void item_free(struct item *item)
{
    bs_bytes_free(&item->bytes);
    bs_free(item);
}

static void discard(void *context, void *taken)
{
    (void)context; /* its dataset is closed at the end of the run */
    item_free(taken);
}

static basalt_status tell(struct bs_copy *copy, basalt_error *err)
{
    const basalt_hdf5_copy_options *options = copy->options;
    const uint64_t all = copy->report->element_bytes;
    if (!options->progress ||
        options->progress(options->context, BS_MIN(copy->done_bytes, all), all)) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_CANCELLED, BASALT_NO_OFFSET, "the copy was cancelled");
}

static basalt_status sink(void *context, void *taken, basalt_error *err)
{
    struct run *run = context;
    struct item *item = taken;
    struct dataset *dataset = item->dataset;
    struct bs_copy *copy = run->copy;
    basalt_status status = BASALT_OK;
    for (unsigned i = 0; !status && i < item->piece_count; i++) {
        const struct piece *piece = &item->pieces[i];
        status = bs_h5_put_chunk(copy->to, dataset->found->node, piece->number,
            item->bytes.data + piece->at, piece->count, piece->mask, err);
        copy->report->chunks++;
        copy->report->chunks_as_stored += dataset->plan.as_is;
    }
    if (status) say_which(dataset->found, err);
    dataset->done_bytes += item->done_bytes;
    copy->done_bytes += item->done_bytes;
    if (item->last) { /* what was not stored is done too; the last chunks may reach beyond the end */
        copy->done_bytes += dataset->found->element_bytes - dataset->done_bytes;
        let_go(run, dataset);
    }
    item_free(item);
    return status ? status : tell(copy, err);
}

/* ---- runs ---------------------------------------------------------------------------------- */

static uint64_t item_bytes(const struct bs_copy_object *found)
{
    return BS_MAX(found->item_bytes, ITEM_BYTES);
}

static basalt_status run_flow(struct run *run, uint64_t bytes, basalt_error *err)
{
    const struct bs_copy_parts *parts = run->copy->parts;
    const uint64_t memory = bytes * ITEM_COPIES;
    const unsigned threads = parts->sched ? bs_sched_threads(parts->sched) : 1;
    const uint64_t fit = BS_MAX(FLOW_BYTES_MAX / memory, (uint64_t)1);
    const struct bs_flow flow = {.context = run,
        .next = next_item,
        .stage = stage,
        .sink = sink,
        .discard = discard,
        .items_max = (unsigned)BS_MIN(fit, (uint64_t)threads * 2 + 4),
        .budget = parts->budget,
        .item_bytes = memory};
    return bs_flow_run(parts->sched, BS_PRIORITY_FOREGROUND, parts->cancel, &flow, err);
}

/* The next pipeline: small ones together, a large one alone. */
static uint64_t choose_run(struct run *run)
{
    const struct bs_copy *copy = run->copy;
    uint64_t most = ITEM_BYTES;
    run->end_object = run->next_object;
    for (; run->end_object < copy->object_count; run->end_object++) {
        const struct bs_copy_object *found = &copy->objects[run->end_object];
        if (found->kind != BS_H5_DATASET) continue;
        const uint64_t bytes = item_bytes(found);
        if (bytes > SMALL_ITEM_BYTES) {
            if (run->end_object > run->next_object) break;
            run->end_object++;
            return bytes;
        }
        most = BS_MAX(most, bytes);
    }
    return most;
}

basalt_status bs_copy_data(struct bs_copy *copy, basalt_error *err)
{
    struct run run = {.copy = copy};
    basalt_status status = bs_h5_cache_create(CACHE_BYTES, &run.cache, err);
    if (status) return status;
    bs_mutex_init(&run.mutex);
    while (!status && run.next_object < copy->object_count) {
        const uint64_t bytes = choose_run(&run);
        status = run_flow(&run, bytes, err);
        run.next_object = run.end_object;
        run.open = NULL;
    }
    for (size_t i = 0; i < run.alive_count; i++) dataset_close(run.alive[i]);
    bs_free(run.alive);
    while (run.idle) {
        struct workspace *next = run.idle->next;
        /* Collections are filled across datasets: there are no more of them than workspaces that are not
         * full. */
        if (!status) status = bs_h5_packer_flush(run.idle->values.packer, err);
        workspace_free(run.idle);
        run.idle = next;
    }
    bs_h5_cache_free(run.cache);
    bs_mutex_destroy(&run.mutex);
    return status;
}
