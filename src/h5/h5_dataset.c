/* h5_dataset.c - shapes, single chunks, and the kinds of storage that are not chunked. How elements are
 * picked from them and put together is in h5_read.c. */
#include "h5/read_internal.h"

#include <inttypes.h>

#define CHUNK_BYTES_FREE_MAX ((uint64_t)64 << 20) /* chunks of this size need no further reason */
#define CHUNK_TO_FILE_MAX 8 /* larger ones are at most so many times the file, see I6 */

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
            " are over 64 MiB each and more than 8 times as large as the whole file",
            object->header->address);
    *out_bytes = (size_t)bytes;
    return BASALT_OK;
}

void bs_h5_put_fill(const struct bs_h5_dataset *dataset, uint8_t *out, uint64_t bytes)
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
    return status;
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

/* ---- storage that is not chunked -------------------------------------------------------------- */

static basalt_status read_compact(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t at, uint64_t bytes, void *out, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;

    (void)h5;
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

    if (dataset->address == BS_H5_UNDEFINED) {
        bs_h5_put_fill(dataset, out, bytes);
        return BASALT_OK;
    }
    if (at > dataset->stored_bytes || bytes > dataset->stored_bytes - at)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the contiguous dataset at %" PRIu64 " has fewer bytes than its shape needs",
            object->header->address);
    if (at > UINT64_MAX - dataset->address) at = UINT64_MAX - dataset->address;
    return bs_h5_read_at(h5, dataset->address + at, out, (size_t)bytes, "contiguous data", err);
}

const struct bs_h5_storage *bs_h5_storage_of(const struct bs_h5_object *object)
{
    static const struct bs_h5_storage compact = {.read_bytes = read_compact};
    static const struct bs_h5_storage contiguous = {.read_bytes = read_contiguous};
    static const struct bs_h5_storage external = {.read_bytes = bs_h5_external_read};
    static const struct bs_h5_storage virtual_kind = {.read_box = bs_h5_virtual_read};
    static const struct bs_h5_storage chunked = {NULL, NULL};

    switch (object->dataset->layout) {
    case BS_H5_COMPACT: return &compact;
    case BS_H5_CONTIGUOUS: return object->detail.external ? &external : &contiguous;
    case BS_H5_VIRTUAL: return &virtual_kind;
    case BS_H5_CHUNKED: break;
    }
    return &chunked;
}

basalt_status bs_h5_map(struct bs_h5_file *h5, const struct bs_h5_object *object,
    struct bs_file_map *out_map, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    uint64_t count = 0;

    *out_map = (struct bs_file_map){0};
    basalt_status status = bs_h5_space_count(&dataset->space, &count, err);
    if (status) return status;
    if (dataset->layout != BS_H5_CONTIGUOUS || object->detail.external ||
        dataset->address == BS_H5_UNDEFINED)
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the dataset at %" PRIu64 " is not one row of bytes in the file: it can be read, not "
            "mapped",
            object->header->address);
    if (count > dataset->stored_bytes / dataset->type->size_bytes)
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the contiguous dataset at %" PRIu64 " has fewer bytes than its shape needs",
            object->header->address);
    count *= dataset->type->size_bytes;
    status = bs_h5_check_range(h5, dataset->address, count, "contiguous data", err);
    if (status) return status;
    return bs_file_map(h5->file, bs_h5_offset(h5, dataset->address), count, out_map, err);
}

/* ---- rows --------------------------------------------------------------------------------------- */

void bs_h5_file_set_helpers(
    struct bs_h5_file *h5, struct bs_sched *sched, struct bs_h5_cache *cache)
{
    atomic_store(&h5->sched, sched);
    atomic_store(&h5->cache, cache);
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

static void select_rows(const struct bs_h5_dataset *dataset, uint64_t first, uint64_t count,
    struct bs_h5_selection *selection)
{
    selection->kind = dataset->space.rank ? BS_H5_SELECT_HYPERSLAB : BS_H5_SELECT_ALL;
    selection->rank = dataset->space.rank;
    for (unsigned i = 0; i < dataset->space.rank; i++) {
        selection->start[i] = i ? 0 : first;
        selection->count[i] = selection->stride[i] = 1;
        selection->block[i] = i ? dataset->space.dims[i] : count;
    }
}

basalt_status bs_h5_read(struct bs_h5_file *h5, const struct bs_h5_object *dataset, uint64_t first,
    uint64_t count, void *out, basalt_error *err)
{
    const struct bs_h5_read_how how = {
        .sched = atomic_load(&h5->sched), .cache = atomic_load(&h5->cache)};
    struct bs_h5_selection selection;
    uint64_t row_bytes = 0;

    assert(dataset->dataset);
    basalt_status status = check_rows(dataset, first, count, &row_bytes, err);
    if (status || !count || !row_bytes) return status;
    select_rows(dataset->dataset, first, count, &selection);
    return bs_h5_read_selection(h5, dataset, &selection, &how, out, count * row_bytes, err);
}
