/* h5_dataset.c - a dataset as rows. How elements are picked and put together is in h5_read.c. */
#include "h5/read_internal.h"

#include <inttypes.h>

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
        if (!bs_h5_multiply(&bytes, dataset->space.dims[i]))
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "a row of the dataset at %" PRIu64 " has more bytes than 64 bits count",
                object->header->address);
    *out_bytes = empty ? 0 : bytes;
    return BASALT_OK;
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
