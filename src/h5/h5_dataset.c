/* h5_dataset.c - elements of a dataset: compact, contiguous, chunked; rows along the first dimension.
 *
 * What is not stored has the fill value. Raw chunks are read slab by slab, filtered ones whole; a
 * chunk whose rows are whole rows of the dataset is decoded where the caller wants it. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define CHUNK_BYTES_FREE_MAX ((uint64_t)16 << 20) /* chunks of this size need no further reason */
#define CHUNK_TO_FILE_MAX 2 /* larger ones are at most so many times the file, see I6 */

/* ---- shapes ----------------------------------------------------------------------------------- */

static bool multiply(uint64_t *value, uint64_t by)
{
    if (by && *value > UINT64_MAX / by) return false;
    *value *= by;
    return true;
}

static uint64_t row_count(const struct bs_h5_dataset *dataset)
{
    if (dataset->space.null) return 0;
    return dataset->space.rank ? dataset->space.dims[0] : 1;
}

basalt_status bs_h5_row_bytes(
    const struct bs_h5_object *object, uint64_t *out_bytes, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    uint64_t bytes = dataset->type->size_bytes;
    bool empty = false;

    *out_bytes = 0;
    for (unsigned i = 1; i < dataset->space.rank; i++) empty |= dataset->space.dims[i] == 0;
    for (unsigned i = 1; !empty && i < dataset->space.rank; i++)
        if (!multiply(&bytes, dataset->space.dims[i]))
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "a row of the dataset at %" PRIu64 " has more bytes than 64 bits count",
                object->header->address);
    *out_bytes = empty ? 0 : bytes;
    return BASALT_OK;
}

basalt_status bs_h5_chunk_raw_bytes(const struct bs_h5_file *h5, const struct bs_h5_object *object,
    size_t *out_bytes, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    uint64_t bytes = dataset->type->size_bytes;
    bool fits = true;

    *out_bytes = 0;
    for (unsigned i = 0; i < dataset->space.rank; i++)
        fits = fits && multiply(&bytes, dataset->chunk_dims[i]);
    if (!fits || (bytes > CHUNK_BYTES_FREE_MAX && bytes / CHUNK_TO_FILE_MAX > h5->bytes))
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the chunks of the dataset at %" PRIu64
            " are over 16 MiB each and more than twice as large as the whole file",
            object->header->address);
    *out_bytes = (size_t)bytes;
    return BASALT_OK;
}

static void put_fill(const struct bs_h5_dataset *dataset, uint8_t *out, uint64_t bytes)
{
    const uint64_t element = dataset->type->size_bytes;

    if (!dataset->fill) {
        memset(out, 0, (size_t)bytes);
        return;
    }
    for (uint64_t at = 0; at < bytes; at += element) memcpy(out + at, dataset->fill, element);
}

/* ---- one chunk -------------------------------------------------------------------------------- */

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

static bool is_raw(const struct bs_h5_object *object, const struct bs_h5_chunk *chunk)
{
    return bs_h5_chunk_mask(object, chunk) == all_filters(&object->dataset->pipeline);
}

static basalt_status check_raw_size(const struct bs_h5_file *h5, const struct bs_h5_chunk *chunk,
    uint64_t raw_bytes, basalt_error *err)
{
    if (chunk->stored_bytes == raw_bytes) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, chunk->address),
        "the unfiltered chunk at %" PRIu64 " has %" PRIu64 " bytes, not %" PRIu64, chunk->address,
        chunk->stored_bytes, raw_bytes);
}

basalt_status bs_h5_chunk_read(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_chunk *chunk, struct bs_codec_scratch **scratch, uint8_t *out,
    size_t raw_bytes, basalt_error *err)
{
    uint8_t *stored = NULL;
    basalt_status status = BASALT_OK;

    if (is_raw(object, chunk)) {
        status = check_raw_size(h5, chunk, raw_bytes, err);
        return status ? status : bs_h5_read_at(h5, chunk->address, out, raw_bytes, "a chunk", err);
    }
    if (!*scratch) {
        status = bs_codec_scratch_create_with(h5->filters, scratch, err);
        if (status) return status;
    }
    status = bs_h5_load(h5, chunk->address, chunk->stored_bytes, "a chunk", &stored, err);
    if (!status)
        status = bs_pipeline_decode(&object->dataset->pipeline, bs_h5_chunk_mask(object, chunk),
            *scratch, stored, (size_t)chunk->stored_bytes, out, raw_bytes, err);
    if (status && status != BASALT_UNSUPPORTED) /* which is about all chunks alike */
        bs_error_prefix(err, "the chunk at %" PRIu64, chunk->address);
    bs_free(stored);
    return status;
}

/* ---- chunks into rows ------------------------------------------------------------------------- */

struct assembly {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    uint64_t first, count; /* rows wanted */
    uint64_t row_bytes;
    size_t raw_bytes;
    uint8_t *out;
    uint8_t *chunk; /* made at the first chunk that needs it */
    struct bs_codec_scratch *scratch;
    uint64_t filled;       /* rank 1: rows of `out` that are done; else all were filled before */
    uint64_t stored_bytes; /* so far; over the file's size the chunks overlap */
};

struct overlap { /* of the chunk with the rows wanted, in elements */
    unsigned rank;
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
};

static bool overlap_of(
    const struct assembly *assembly, const struct bs_h5_chunk *chunk, struct overlap *overlap)
{
    const struct bs_h5_dataset *dataset = assembly->object->dataset;

    overlap->rank = dataset->space.rank;
    overlap->low[0] = overlap->high[0] = 0; /* chunks have a dimension, but the compiler asks */
    for (unsigned i = 0; i < overlap->rank; i++) {
        const uint64_t from = i ? 0 : assembly->first;
        const uint64_t to = i ? dataset->space.dims[i] : assembly->first + assembly->count;
        if (chunk->offset[i] >= to) return false;
        overlap->low[i] = BS_MAX(chunk->offset[i], from);
        overlap->high[i] = to - chunk->offset[i] < dataset->chunk_dims[i]
            ? to
            : chunk->offset[i] + dataset->chunk_dims[i];
        if (overlap->low[i] >= overlap->high[i]) return false;
    }
    return true;
}

/* Rows of the chunk are rows of the dataset: no dimension but the first is divided. */
static bool rows_are_whole(const struct bs_h5_dataset *dataset)
{
    for (unsigned i = 1; i < dataset->space.rank; i++)
        if (dataset->chunk_dims[i] != dataset->space.dims[i]) return false;
    return true;
}

/* Copies the overlap from the chunk's memory, whose row `from_row` is at `bytes`. */
static void copy_overlap(const struct assembly *assembly, const struct bs_h5_chunk *chunk,
    const struct overlap *overlap, const uint8_t *bytes, uint64_t from_row)
{
    const struct bs_h5_dataset *dataset = assembly->object->dataset;
    const uint64_t element = dataset->type->size_bytes;
    const unsigned last = overlap->rank - 1;
    const uint64_t run = (overlap->high[last] - overlap->low[last]) * element;
    uint64_t at[BS_H5_RANK_MAX];

    memcpy(at, overlap->low, sizeof at);
    for (;;) {
        uint64_t from = at[0] - from_row, to = at[0] - assembly->first;
        for (unsigned i = 1; i <= last; i++) {
            from = from * dataset->chunk_dims[i] + at[i] - chunk->offset[i];
            to = to * dataset->space.dims[i] + at[i];
        }
        memcpy(assembly->out + to * element, bytes + from * element, (size_t)run);
        unsigned i = last;
        while (i > 0 && ++at[i - 1] == overlap->high[i - 1]) {
            at[i - 1] = overlap->low[i - 1];
            i--;
        }
        if (!i) return;
    }
}

static basalt_status chunk_memory(struct assembly *assembly, basalt_error *err)
{
    if (!assembly->chunk) assembly->chunk = bs_alloc(assembly->raw_bytes);
    return assembly->chunk ? BASALT_OK : bs_fail_memory(err, assembly->raw_bytes);
}

/* An unfiltered chunk: only the rows wanted are read. */
static basalt_status add_raw(struct assembly *assembly, const struct bs_h5_chunk *chunk,
    const struct overlap *overlap, basalt_error *err)
{
    const uint64_t slab_bytes = assembly->raw_bytes / assembly->object->dataset->chunk_dims[0];
    const uint64_t count = (overlap->high[0] - overlap->low[0]) * slab_bytes;
    const uint64_t at = chunk->address + (overlap->low[0] - chunk->offset[0]) * slab_bytes;

    basalt_status status = check_raw_size(assembly->h5, chunk, assembly->raw_bytes, err);
    if (status) return status;
    if (rows_are_whole(assembly->object->dataset))
        return bs_h5_read_at(assembly->h5, at,
            assembly->out + (overlap->low[0] - assembly->first) * slab_bytes, (size_t)count,
            "a chunk", err);
    status = chunk_memory(assembly, err);
    if (!status)
        status = bs_h5_read_at(assembly->h5, at, assembly->chunk, (size_t)count, "a chunk", err);
    if (!status) copy_overlap(assembly, chunk, overlap, assembly->chunk, overlap->low[0]);
    return status;
}

static basalt_status add_filtered(struct assembly *assembly, const struct bs_h5_chunk *chunk,
    const struct overlap *overlap, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = assembly->object->dataset;
    const bool whole = overlap->high[0] - overlap->low[0] == dataset->chunk_dims[0];

    if (whole && rows_are_whole(dataset))
        return bs_h5_chunk_read(assembly->h5, assembly->object, chunk, &assembly->scratch,
            assembly->out + (overlap->low[0] - assembly->first) * assembly->row_bytes,
            assembly->raw_bytes, err);
    basalt_status status = chunk_memory(assembly, err);
    if (!status)
        status = bs_h5_chunk_read(assembly->h5, assembly->object, chunk, &assembly->scratch,
            assembly->chunk, assembly->raw_bytes, err);
    if (!status) copy_overlap(assembly, chunk, overlap, assembly->chunk, chunk->offset[0]);
    return status;
}

static void fill_gap(struct assembly *assembly, uint64_t to)
{
    const uint64_t element = assembly->row_bytes;
    if (to > assembly->filled)
        put_fill(assembly->object->dataset, assembly->out + assembly->filled * element,
            (to - assembly->filled) * element);
}

static basalt_status add_chunk(void *context, const struct bs_h5_chunk *chunk, basalt_error *err)
{
    struct assembly *assembly = context;
    struct overlap overlap = {.low = {0}};

    if (!overlap_of(assembly, chunk, &overlap)) return BASALT_OK;
    if (chunk->stored_bytes > assembly->h5->bytes - assembly->stored_bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(assembly->h5, chunk->address),
            "the chunks of the dataset at %" PRIu64 " overlap: together they are larger than the "
            "file",
            assembly->object->header->address);
    assembly->stored_bytes += chunk->stored_bytes;
    if (overlap.rank == 1) {
        fill_gap(assembly, overlap.low[0] - assembly->first);
        assembly->filled = overlap.high[0] - assembly->first;
    }
    return is_raw(assembly->object, chunk) ? add_raw(assembly, chunk, &overlap, err)
                                           : add_filtered(assembly, chunk, &overlap, err);
}

static basalt_status read_chunked(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t first, uint64_t count, uint64_t row_bytes, void *out, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    struct assembly assembly = {.h5 = h5,
        .object = object,
        .first = first,
        .count = count,
        .row_bytes = row_bytes,
        .out = out};
    basalt_status status = BASALT_OK;

    if (dataset->space.rank > 1) put_fill(dataset, out, count * row_bytes);
    if (dataset->address != BS_H5_UNDEFINED) {
        status = bs_h5_chunk_raw_bytes(h5, object, &assembly.raw_bytes, err);
        if (!status)
            status = bs_h5_chunks_in_rows(h5, object, first, count, add_chunk, &assembly, err);
    }
    if (!status && dataset->space.rank == 1) fill_gap(&assembly, count);
    bs_free(assembly.chunk);
    bs_codec_scratch_free(assembly.scratch);
    return status;
}

/* ---- the other layouts ------------------------------------------------------------------------ */

static basalt_status read_compact(
    const struct bs_h5_object *object, uint64_t at, uint64_t bytes, void *out, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;

    if (at > dataset->stored_bytes || bytes > dataset->stored_bytes - at)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the compact dataset at %" PRIu64 " has fewer bytes than its shape needs",
            object->header->address);
    memcpy(out, dataset->compact + at, (size_t)bytes);
    return BASALT_OK;
}

static basalt_status read_contiguous(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t at, uint64_t bytes, void *out, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;

    if (object->detail.external)
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the data of the dataset at %" PRIu64 " lie in external files, which are not read",
            object->header->address);
    if (dataset->address == BS_H5_UNDEFINED) {
        put_fill(dataset, out, bytes);
        return BASALT_OK;
    }
    if (at > dataset->stored_bytes || bytes > dataset->stored_bytes - at)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the contiguous dataset at %" PRIu64 " has fewer bytes than its shape needs",
            object->header->address);
    if (at > UINT64_MAX - dataset->address) at = UINT64_MAX - dataset->address;
    return bs_h5_read_at(h5, dataset->address + at, out, (size_t)bytes, "contiguous data", err);
}

static basalt_status check_rows(const struct bs_h5_object *object, uint64_t first, uint64_t count,
    uint64_t *out_row_bytes, basalt_error *err)
{
    const uint64_t rows = row_count(object->dataset);

    if (first > rows || count > rows - first)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "rows %" PRIu64 " to %" PRIu64 " were asked for, the dataset has %" PRIu64, first,
            first + count, rows);
    basalt_status status = bs_h5_row_bytes(object, out_row_bytes, err);
    if (!status && *out_row_bytes && rows > UINT64_MAX / *out_row_bytes)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the dataset at %" PRIu64 " has more bytes than 64 bits count",
            object->header->address);
    return status;
}

basalt_status bs_h5_read(struct bs_h5_file *h5, const struct bs_h5_object *dataset, uint64_t first,
    uint64_t count, void *out, basalt_error *err)
{
    uint64_t row_bytes = 0;

    assert(dataset->dataset);
    basalt_status status = check_rows(dataset, first, count, &row_bytes, err);
    if (status || !count || !row_bytes) return status;
    switch (dataset->dataset->layout) {
    case BS_H5_COMPACT:
        return read_compact(dataset, first * row_bytes, count * row_bytes, out, err);
    case BS_H5_CONTIGUOUS:
        return read_contiguous(h5, dataset, first * row_bytes, count * row_bytes, out, err);
    case BS_H5_CHUNKED: return read_chunked(h5, dataset, first, count, row_bytes, out, err);
    case BS_H5_VIRTUAL: break;
    }
    return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
        "the dataset at %" PRIu64 " is virtual: its data lie in other datasets, which is not read",
        dataset->header->address);
}
