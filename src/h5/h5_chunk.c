/* h5_chunk.c - single chunks: how large they are, where the grid has them, which filters they went through,
 * their bytes. Where the file has them is in h5_chunk_index.c. */
#include "h5/read_internal.h"

#include <inttypes.h>

#define CHUNK_BYTES_FREE_MAX ((uint64_t)64 << 20) /* chunks of this size need no further reason */
#define CHUNK_TO_FILE_MAX                                                                          \
    8 /* larger ones are at most so many times the file: docs/format/coverage.md */

#define WORK_TO_FILE_MAX 4 /* of memory to decode a chunk in, beside what is free: likewise */
#define SHARED_WORK_PART 4 /* of that, for chunks that are decoded at the same time */

/* ---- shapes ----------------------------------------------------------------------------------- */

basalt_status bs_h5_chunk_raw_bytes(const struct bs_h5_file *h5, const struct bs_h5_object *object,
    size_t *out_bytes, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    uint64_t bytes = dataset->type->size_bytes;
    bool fits = true;

    *out_bytes = 0;
    for (unsigned i = 0; i < dataset->space.rank; i++)
        fits = fits && bs_h5_multiply(&bytes, dataset->chunk_dims[i]);
    if (!fits ||
        (bytes > BS_MAX(CHUNK_BYTES_FREE_MAX, bs_h5_file_chunk_memory(h5)) &&
            bytes / CHUNK_TO_FILE_MAX > h5->bytes))
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a chunk of the dataset at %" PRIu64
            " has over 64 MiB and 8 times the file; if you trust it, allow more: "
            "chunk_memory_bytes, basalt cat --chunk-memory",
            object->header->address);
    *out_bytes = (size_t)bytes;
    return BASALT_OK;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static uint64_t work_max(const struct bs_h5_file *h5)
{
    return bs_h5_file_chunk_memory(h5) + BS_MIN(h5->bytes, UINT64_MAX / 16) * WORK_TO_FILE_MAX;
}

static uint64_t decode_bytes(const struct bs_h5_object *object, uint32_t mask, uint64_t raw_bytes)
{
    const uint64_t bytes =
        bs_pipeline_work_bytes(&object->dataset->pipeline, mask, NULL, (size_t)raw_bytes);
    return bytes == SIZE_MAX ? 0 : bytes; /* an unknown filter is told of where it is needed */
}

basalt_status bs_h5_chunk_check_work(const struct bs_h5_object *object, uint32_t mask,
    uint64_t raw_bytes, uint64_t beside_bytes, basalt_error *err)
{
    const uint64_t bytes = decode_bytes(object, mask, raw_bytes) + beside_bytes;

    if (bytes <= work_max(object->h5)) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "a chunk of the dataset at %" PRIu64 " takes %" PRIu64
        " bytes to decode, over 32 MiB and 4 times the file (%" PRIu64
        " bytes); if you trust it, allow more: chunk_memory_bytes, basalt cat --chunk-memory",
        object->header->address, bytes, object->h5->bytes);
}

uint64_t bs_h5_work_bytes(const struct bs_h5_object *object)
{
    size_t raw_bytes = 0;

    if (object->dataset->layout != BS_H5_CHUNKED ||
        bs_h5_chunk_raw_bytes(object->h5, object, &raw_bytes, NULL))
        return 0;
    const uint64_t bytes = decode_bytes(object, 0, raw_bytes) + raw_bytes;
    return BS_MIN(BS_MAX(bytes, work_max(object->h5) / SHARED_WORK_PART), work_max(object->h5));
}

bool bs_h5_may_share_work(const struct bs_h5_object *object, uint64_t raw_bytes, unsigned threads)
{
    const uint64_t bytes = decode_bytes(object, 0, raw_bytes) + raw_bytes;
    return bytes <= work_max(object->h5) / SHARED_WORK_PART / (threads + 1);
}

/* ---- the grid --------------------------------------------------------------------------------- */

static void set_order(const struct bs_h5_dataset *dataset, struct bs_h5_grid *grid)
{
    unsigned next = 0;

    for (unsigned i = 0; i < grid->rank && !next; i++)
        if (dataset->space.max_dims[i] == BS_H5_UNDEFINED) grid->order[next++] = i;
    const bool moved = next;
    for (unsigned i = 0; i < grid->rank; i++)
        if (!moved || i != grid->order[0]) grid->order[next++] = i;
}

basalt_status bs_h5_chunk_grid(
    const struct bs_h5_object *object, struct bs_h5_grid *out_grid, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;

    memset(out_grid, 0, sizeof *out_grid);
    out_grid->rank = dataset->space.rank;
    out_grid->chunks = 1;
    for (unsigned i = 0; i < out_grid->rank; i++) {
        const uint64_t limit = dataset->space.max_dims[i] == BS_H5_UNDEFINED
            ? dataset->space.dims[i]
            : dataset->space.max_dims[i];
        const uint64_t chunk = dataset->chunk_dims[i];
        out_grid->count[i] = limit / chunk + (limit % chunk != 0);
        if (out_grid->count[i] && out_grid->chunks > UINT64_MAX / out_grid->count[i])
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "a dataset has more chunks than 64 bits count");
        out_grid->chunks *= out_grid->count[i];
    }
    set_order(dataset, out_grid);
    return BASALT_OK;
}

bool bs_h5_chunk_place(const struct bs_h5_object *object, const struct bs_h5_grid *grid,
    uint64_t index, struct bs_h5_chunk *chunk)
{
    const uint64_t *chunk_dims = object->dataset->chunk_dims;

    for (unsigned i = grid->rank; i-- > 1;) {
        const unsigned dimension = grid->order[i];
        if (!grid->count[dimension]) return false;
        chunk->offset[dimension] = index % grid->count[dimension] * chunk_dims[dimension];
        index /= grid->count[dimension];
    }
    const unsigned slowest = grid->order[0];
    if (index > UINT64_MAX / chunk_dims[slowest]) return false;
    chunk->offset[slowest] = index * chunk_dims[slowest];
    return true;
}

bool bs_h5_chunk_span(const struct bs_h5_object *object, const struct bs_h5_grid *grid,
    const struct bs_h5_box *box, uint64_t *out_first, uint64_t *out_last)
{
    const uint64_t *chunk_dims = object->dataset->chunk_dims;

    *out_first = *out_last = 0;
    for (unsigned i = 0; i < grid->rank; i++) {
        const unsigned dimension = grid->order[i];
        const uint64_t count = grid->count[dimension];
        const uint64_t low = box->low[dimension] / chunk_dims[dimension];
        const uint64_t high = box->high[dimension] / chunk_dims[dimension];
        if (!count || low >= count) return false;
        *out_first = *out_first * count + low;
        *out_last = *out_last * count + BS_MIN(high, count - 1);
    }
    return true;
}

basalt_status bs_h5_chunk_give(
    const struct bs_h5_chunk_walk *walk, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    basalt_status status =
        bs_h5_check_range(walk->h5, chunk->address, chunk->stored_bytes, "a chunk", err);
    if (status || !walk->each) return status;
    for (unsigned i = 0; i < walk->object->dataset->space.rank; i++)
        if (chunk->offset[i] < walk->box->low[i] || chunk->offset[i] > walk->box->high[i])
            return BASALT_OK;
    return walk->each(walk->context, chunk, err);
}

/* ---- bytes ------------------------------------------------------------------------------------ */

static uint32_t all_filters(const struct bs_pipeline *pipeline)
{
    return pipeline->count >= 32 ? UINT32_MAX : ((uint32_t)1 << pipeline->count) - 1;
}

uint32_t bs_h5_chunk_mask(const struct bs_h5_object *object, const struct bs_h5_chunk *chunk)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    const uint32_t all = all_filters(&dataset->pipeline);

    for (unsigned i = 0; object->detail.edges_unfiltered && i < dataset->space.rank; i++)
        if (dataset->chunk_dims[i] > dataset->space.dims[i] - chunk->offset[i]) return all;
    return chunk->filter_mask & all;
}

bool bs_h5_chunk_is_raw(const struct bs_h5_dataset *dataset, uint32_t mask)
{
    return mask == all_filters(&dataset->pipeline);
}

basalt_status bs_h5_chunk_check_raw(const struct bs_h5_file *h5, uint64_t address,
    uint64_t stored_bytes, uint64_t raw_bytes, basalt_error *err)
{
    if (stored_bytes == raw_bytes) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
        "the unfiltered chunk at %" PRIu64 " has %" PRIu64 " bytes, not %" PRIu64, address,
        stored_bytes, raw_bytes);
}

basalt_status bs_h5_chunk_decode(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t address, uint32_t mask, struct bs_codec_scratch **scratch, const uint8_t *stored,
    uint64_t stored_bytes, uint8_t *out, size_t raw_bytes, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    if (!*scratch) status = bs_codec_scratch_create_with(h5->filters, scratch, err);
    if (status) return status;
    status = bs_pipeline_decode(&object->dataset->pipeline, mask, *scratch, stored,
        (size_t)stored_bytes, out, raw_bytes, err);
    if (status && status != BASALT_UNSUPPORTED) /* which is about all chunks alike */
        bs_error_prefix(err, "the chunk at %" PRIu64, address);
    bs_h5_count_bytes(h5, 0, raw_bytes);
    return status;
}

basalt_status bs_h5_chunk_read_stored(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_chunk *chunk, uint8_t *out, basalt_error *err)
{
    size_t raw_bytes = 0;
    basalt_status status = BASALT_OK;

    if (bs_h5_chunk_is_raw(object->dataset, bs_h5_chunk_mask(object, chunk))) {
        status = bs_h5_chunk_raw_bytes(h5, object, &raw_bytes, err);
        if (!status)
            status = bs_h5_chunk_check_raw(h5, chunk->address, chunk->stored_bytes, raw_bytes, err);
    }
    if (status) return status;
    return bs_h5_read_at(h5, chunk->address, out, (size_t)chunk->stored_bytes, "a chunk", err);
}

basalt_status bs_h5_chunk_read(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_chunk *chunk, struct bs_codec_scratch **scratch, uint8_t *out,
    size_t raw_bytes, basalt_error *err)
{
    const uint32_t mask = bs_h5_chunk_mask(object, chunk);
    uint8_t *stored = NULL;
    basalt_status status = BASALT_OK;

    if (bs_h5_chunk_is_raw(object->dataset, mask)) {
        status = bs_h5_chunk_check_raw(h5, chunk->address, chunk->stored_bytes, raw_bytes, err);
        return status ? status : bs_h5_read_at(h5, chunk->address, out, raw_bytes, "a chunk", err);
    }
    status = bs_h5_load(h5, chunk->address, chunk->stored_bytes, "a chunk", &stored, err);
    if (!status)
        status = bs_h5_chunk_decode(h5, object, chunk->address, mask, scratch, stored,
            chunk->stored_bytes, out, raw_bytes, err);
    bs_free(stored);
    return status;
}
