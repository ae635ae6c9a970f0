/* h5_storage.c - the kinds of storage that are not chunked, and which dataset has which. */
#include "h5/read_internal.h"

#include <inttypes.h>

void bs_h5_put_fill(const struct bs_h5_dataset *dataset, uint8_t *out, uint64_t bytes)
{
    const uint64_t element = dataset->type->size_bytes;

    if (!dataset->fill) {
        memset(out, 0, (size_t)bytes);
        return;
    }
    for (uint64_t at = 0; at < bytes; at += element) memcpy(out + at, dataset->fill, element);
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
