/* slices.h - rows of an Arrow batch as batches of their own, which share its memory. */
#ifndef BASALT_CLI_SLICES_H
#define BASALT_CLI_SLICES_H

#include "command.h"

struct slices_batch;

/* Whether it has several rows, and columns, and no rows that are null as a whole. */
bool slices_possible(const struct ArrowArray *array);
/* Takes the array over, unless there is no memory: NULL. */
struct slices_batch *slices_begin(struct ArrowArray *array);
/* Rows [first, first + count), to be released, by any thread, before or after slices_end. */
bool slices_make(
    struct slices_batch *batch, int64_t first, int64_t count, struct ArrowArray *out_slice);
void slices_end(struct slices_batch *batch);

#endif
