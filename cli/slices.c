/* slices.c - rows of an Arrow batch as batches of their own, which share its memory. */
#include "slices.h"

#include <stdatomic.h>
#include <stdlib.h>

struct slices_batch {
    atomic_uint references; /* the slices that are not released, and whoever makes them */
    struct ArrowArray array;
};

/* What a slice has of its own: where it begins and ends in each column. */
struct slice {
    struct slices_batch *batch;
    struct ArrowArray **children;
    struct ArrowArray columns[];
};

bool slices_possible(const struct ArrowArray *array)
{
    const bool nulls = array->n_buffers > 0 && array->buffers && array->buffers[0];
    return array->length > 1 && array->n_children > 0 && !nulls;
}

struct slices_batch *slices_begin(struct ArrowArray *array)
{
    struct slices_batch *batch = malloc(sizeof *batch);
    if (!batch) return NULL;
    atomic_init(&batch->references, 1);
    batch->array = *array;
    array->release = NULL;
    return batch;
}

void slices_end(struct slices_batch *batch)
{
    if (atomic_fetch_sub(&batch->references, 1) != 1) return;
    batch->array.release(&batch->array);
    free(batch);
}

static void release_column(struct ArrowArray *column)
{
    column->release = NULL;
}

static void release_slice(struct ArrowArray *array)
{
    struct slice *slice = array->private_data;
    array->release = NULL;
    slices_end(slice->batch);
    free(slice->children);
    free(slice);
}

bool slices_make(
    struct slices_batch *batch, int64_t first, int64_t count, struct ArrowArray *out_slice)
{
    static const void *no_buffer[1];
    const struct ArrowArray *whole = &batch->array;
    const size_t columns = (size_t)whole->n_children;
    struct slice *slice = malloc(sizeof *slice + columns * sizeof slice->columns[0]);
    struct ArrowArray **children = malloc(columns * sizeof(struct ArrowArray *));
    if (!slice || !children) {
        free(slice);
        free(children);
        return false;
    }
    for (size_t i = 0; i < columns; i++) {
        struct ArrowArray *column = &slice->columns[i];
        *column = *whole->children[i];
        column->offset += whole->offset + first;
        column->length = count;
        if (column->null_count > 0) column->null_count = -1; /* not counted */
        column->release = release_column;
        children[i] = column;
    }
    slice->batch = batch;
    slice->children = children;
    atomic_fetch_add(&batch->references, 1);
    *out_slice = (struct ArrowArray){.length = count,
        .n_buffers = 1,
        .n_children = whole->n_children,
        .buffers = no_buffer,
        .children = children,
        .release = release_slice,
        .private_data = slice};
    return true;
}
