/* h5_virtual.h - selections as files hold them, which virtual datasets are made of.
 * (h5_stored_selection.c; used by h5_virtual.c) */
#ifndef BS_H5_VIRTUAL_H
#define BS_H5_VIRTUAL_H

#include "h5/h5_internal.h"

struct bs_h5_strip { /* what a hyperslab selects of one dimension */
    uint64_t start, stride, block;
    uint64_t length; /* places in all; undefined: without an end */
};

struct bs_h5_listed_row { /* of an irregular selection */
    uint64_t rank, length;
    uint64_t at[]; /* rank */
};

struct bs_h5_selected {
    unsigned rank;
    bool all;      /* of a dataspace that the selection does not know */
    bool listed;   /* rows; else axes */
    int unlimited; /* the dimension without an end, or -1 */
    struct bs_h5_strip axes[BS_H5_RANK_MAX];
    size_t row_count;
    uint8_t *rows;  /* in the order of their elements; see bs_h5_selected_row */
    uint64_t *ends; /* elements up to the end of each */
};

static inline size_t bs_h5_selected_row_bytes(const struct bs_h5_selected *selected)
{
    return sizeof(struct bs_h5_listed_row) + selected->rank * sizeof(uint64_t);
}

static inline const struct bs_h5_listed_row *bs_h5_selected_row(
    const struct bs_h5_selected *selected, size_t index)
{
    const void *row = selected->rows + index * bs_h5_selected_row_bytes(selected);
    return row;
}

BS_MUST_USE basalt_status bs_h5_selected_decode(
    struct bs_cursor *cursor, struct bs_h5_selected *out_selected, basalt_error *err);
void bs_h5_selected_free(struct bs_h5_selected *selected);
/* Everything of `space`. */
void bs_h5_selected_all(const struct bs_h5_space *space, struct bs_h5_selected *selected);
/* Elements, of one that has an end everywhere. */
uint64_t bs_h5_selected_count(const struct bs_h5_selected *selected);
/* Where the element `index` is; how many from it on lie side by side in the last dimension. */
uint64_t bs_h5_selected_find(
    const struct bs_h5_selected *selected, uint64_t index, uint64_t *out_at);
/* How many places of the axis lie before `end`; where the one of number `index` is. */
uint64_t bs_h5_strip_clip(const struct bs_h5_strip *axis, uint64_t end);
uint64_t bs_h5_strip_place(const struct bs_h5_strip *axis, uint64_t index);

#endif
