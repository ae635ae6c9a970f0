/* h5_fractal_heap.c - objects of dense groups and attributes. */
#include "h5/h5_internal.h"

basalt_status bs_h5_dense_each(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    bs_h5_dense_fn each, void *context, basalt_error *err)
{
    (void)names, (void)each, (void)context;
    return bs_fail(err, BASALT_UNSUPPORTED, bs_h5_offset(h5, heap),
        "dense links and attributes (a fractal heap) are not read");
}

basalt_status bs_h5_dense_extents(struct bs_h5_file *h5, uint64_t heap, uint64_t names,
    uint64_t order, bs_h5_extent_fn each, void *context, bool *out_complete, basalt_error *err)
{
    (void)h5, (void)heap, (void)names, (void)order, (void)each, (void)context, (void)err;
    *out_complete = false;
    return BASALT_OK;
}
