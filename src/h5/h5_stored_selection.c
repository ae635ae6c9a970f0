/* h5_stored_selection.c - selections as files hold them (FF, "Dataspace Selection"), for virtual datasets:
 * decoded, clipped, and asked where their k-th element is.
 *
 * A regular hyperslab is four numbers a dimension. One of its dimensions may have no end, until who
 * knows the extent clips it. An irregular one is a list of blocks, whose elements come in the order of
 * the dataspace and not of the list: so it is cut into rows, which are sorted. */
#include "h5/h5_virtual.h"

#include <inttypes.h>
#include <stdlib.h>

#define SELECT_NONE 0
#define SELECT_POINTS 1
#define SELECT_SLAB 2
#define SELECT_ALL 3
#define FLAG_REGULAR 1
#define PLACE_MAX (UINT64_MAX / 8)
#define ROWS_BYTES_MAX                                                                             \
    ((size_t)12 << 20) /* of an irregular selection; 393,216 rows of two dimensions */

void bs_h5_selected_free(struct bs_h5_selected *selected)
{
    bs_free(selected->rows);
    bs_free(selected->ends);
    memset(selected, 0, sizeof *selected);
}

static basalt_status bad_selection(
    const struct bs_cursor *cursor, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, bs_cursor_offset(cursor), "the selection at %" PRIu64 " %s",
        bs_cursor_offset(cursor), what);
}

/* ---- regular hyperslabs ----------------------------------------------------------------------- */

static basalt_status decode_axis(
    struct bs_cursor *cursor, size_t width_bytes, struct bs_h5_strip *axis, basalt_error *err)
{
    axis->start = bs_cursor_uint(cursor, width_bytes);
    axis->stride = bs_cursor_uint(cursor, width_bytes);
    const uint64_t count = bs_h5_cursor_address(cursor, width_bytes);
    axis->block = bs_h5_cursor_address(cursor, width_bytes);
    if (cursor->failed) return bs_cursor_check(cursor, "a selection", err);
    axis->length = BS_H5_UNDEFINED;
    if (axis->block == BS_H5_UNDEFINED) { /* one block without an end */
        axis->block = axis->stride = 1;
        return axis->start > PLACE_MAX ? bad_selection(cursor, "is larger than any dataset", err)
                                       : BASALT_OK;
    }
    if (count <= 1) axis->stride = BS_MAX(axis->stride, BS_MAX(axis->block, (uint64_t)1));
    if (axis->start > PLACE_MAX || axis->block > PLACE_MAX || axis->stride > PLACE_MAX)
        return bad_selection(cursor, "is larger than any dataset", err);
    if (axis->stride < axis->block || !axis->stride || (!axis->block && count))
        return bad_selection(cursor, "has blocks that overlap", err);
    if (count == BS_H5_UNDEFINED) return BASALT_OK;
    if (count && axis->stride > PLACE_MAX / count)
        return bad_selection(cursor, "is larger than any dataset", err);
    axis->length = count * axis->block;
    return BASALT_OK;
}

static basalt_status decode_regular(struct bs_cursor *cursor, size_t width_bytes,
    struct bs_h5_selected *selected, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; !status && i < selected->rank; i++) {
        status = decode_axis(cursor, width_bytes, &selected->axes[i], err);
        if (status || selected->axes[i].length != BS_H5_UNDEFINED) continue;
        if (selected->unlimited >= 0)
            return bad_selection(cursor, "has no end in two dimensions", err);
        selected->unlimited = (int)i;
    }
    return status;
}

uint64_t bs_h5_strip_clip(const struct bs_h5_strip *axis, uint64_t end)
{
    if (end <= axis->start) return 0;
    const uint64_t blocks = (end - axis->start) / axis->stride;
    const uint64_t rest = (end - axis->start) % axis->stride;
    return BS_MIN(axis->length, blocks * axis->block + BS_MIN(rest, axis->block));
}

uint64_t bs_h5_strip_place(const struct bs_h5_strip *axis, uint64_t index)
{
    const uint64_t blocks = index / axis->block;

    if (blocks > PLACE_MAX / axis->stride) return PLACE_MAX; /* no dataset is that large */
    return axis->start + blocks * axis->stride + index % axis->block;
}

/* ---- lists ------------------------------------------------------------------------------------ */

static int compare_rows(const void *a, const void *b)
{
    const struct bs_h5_listed_row *left = a, *right = b;
    for (uint64_t i = 0; i < left->rank; i++)
        if (left->at[i] != right->at[i]) return left->at[i] < right->at[i] ? -1 : 1;
    return 0;
}

static basalt_status add_row(struct bs_h5_selected *selected, size_t *room, const uint64_t *at,
    uint64_t length, basalt_error *err)
{
    const size_t row_bytes = bs_h5_selected_row_bytes(selected);

    if (selected->row_count >= ROWS_BYTES_MAX / row_bytes)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "an irregular selection of over %zu rows is not read", ROWS_BYTES_MAX / row_bytes);
    if (selected->row_count == *room) {
        const size_t wanted = *room ? *room * 2 : 8;
        void *grown = bs_realloc(selected->rows, wanted * row_bytes);
        if (!grown) return bs_fail_memory(err, wanted * row_bytes);
        selected->rows = grown;
        *room = wanted;
    }
    uint8_t *row = selected->rows + row_bytes * selected->row_count++;
    const struct bs_h5_listed_row head = {.rank = selected->rank, .length = length};
    memcpy(row, &head, sizeof head);
    memcpy(row + sizeof head, at, selected->rank * sizeof *at);
    return BASALT_OK;
}

/* The rows of the block from `low` to `high`, both inside. */
static basalt_status add_block(struct bs_h5_selected *selected, size_t *room, const uint64_t *low,
    const uint64_t *high, basalt_error *err)
{
    const unsigned last = selected->rank - 1;
    uint64_t at[BS_H5_RANK_MAX];

    memcpy(at, low, selected->rank * sizeof *at);
    for (;;) {
        basalt_status status = add_row(selected, room, at, high[last] - low[last] + 1, err);
        if (status) return status;
        unsigned i = last;
        while (i > 0 && at[i - 1]++ == high[i - 1]) {
            at[i - 1] = low[i - 1];
            i--;
        }
        if (!i) return BASALT_OK;
    }
}

static basalt_status decode_list(struct bs_cursor *cursor, size_t width_bytes, bool points,
    struct bs_h5_selected *selected, basalt_error *err)
{
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;
    size_t room = 0;
    const unsigned rank = selected->rank;
    const uint64_t count = bs_cursor_uint(cursor, width_bytes);

    selected->listed = true;
    if (count > bs_cursor_left(cursor) / (rank * width_bytes))
        return bad_selection(cursor, "claims more than it holds", err);
    for (uint64_t i = 0; !status && i < count; i++) {
        for (unsigned d = 0; d < rank; d++) low[d] = bs_cursor_uint(cursor, width_bytes);
        for (unsigned d = 0; d < rank; d++)
            high[d] = points ? low[d] : bs_cursor_uint(cursor, width_bytes);
        for (unsigned d = 0; d < rank; d++)
            if (!cursor->failed && (high[d] < low[d] || high[d] > UINT64_MAX / 4))
                return bad_selection(cursor, "has an impossible block", err);
        status = bs_cursor_check(cursor, "a selection", err);
        if (!status) status = add_block(selected, &room, low, high, err);
    }
    if (status || !selected->row_count) return status;
    if (!points)
        qsort(
            selected->rows, selected->row_count, bs_h5_selected_row_bytes(selected), compare_rows);
    selected->ends = bs_alloc(selected->row_count * sizeof *selected->ends);
    if (!selected->ends) return bs_fail_memory(err, selected->row_count * sizeof *selected->ends);
    uint64_t end = 0;
    for (size_t i = 0; i < selected->row_count; i++) {
        const uint64_t length = bs_h5_selected_row(selected, i)->length;
        if (length > UINT64_MAX / 4 - end)
            return bad_selection(cursor, "is larger than any dataset", err);
        selected->ends[i] = end += length;
    }
    return BASALT_OK;
}

/* ---- the selection ---------------------------------------------------------------------------- */

static basalt_status read_rank(
    struct bs_cursor *cursor, struct bs_h5_selected *selected, basalt_error *err)
{
    selected->rank = bs_cursor_u32(cursor);
    if (!cursor->failed && (!selected->rank || selected->rank > BS_H5_RANK_MAX))
        return bad_selection(cursor, "has an impossible rank", err);
    return bs_cursor_check(cursor, "a selection", err);
}

static basalt_status decode_slab(
    struct bs_cursor *cursor, uint32_t version, struct bs_h5_selected *selected, basalt_error *err)
{
    uint8_t flags = 0;
    size_t width_bytes = version == 2 ? 8 : 4;

    if (version >= 2) flags = bs_cursor_u8(cursor);
    if (version == 3)
        width_bytes = bs_cursor_u8(cursor);
    else
        bs_cursor_skip(cursor, version == 1 ? 8 : 4); /* reserved, length */
    if (!cursor->failed && width_bytes != 2 && width_bytes != 4 && width_bytes != 8)
        return bad_selection(cursor, "has numbers of an impossible width", err);
    basalt_status status = read_rank(cursor, selected, err);
    if (status) return status;
    if (flags & FLAG_REGULAR) return decode_regular(cursor, width_bytes, selected, err);
    return decode_list(cursor, width_bytes, false, selected, err);
}

static basalt_status decode_points(
    struct bs_cursor *cursor, uint32_t version, struct bs_h5_selected *selected, basalt_error *err)
{
    size_t width_bytes = 4;

    if (version == 2)
        width_bytes = bs_cursor_u8(cursor);
    else
        bs_cursor_skip(cursor, 8); /* reserved, length */
    if (!cursor->failed && width_bytes != 2 && width_bytes != 4 && width_bytes != 8)
        return bad_selection(cursor, "has numbers of an impossible width", err);
    basalt_status status = read_rank(cursor, selected, err);
    return status ? status : decode_list(cursor, width_bytes, true, selected, err);
}

basalt_status bs_h5_selected_decode(
    struct bs_cursor *cursor, struct bs_h5_selected *out_selected, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    *out_selected = (struct bs_h5_selected){.unlimited = -1};
    const uint32_t kind = bs_cursor_u32(cursor);
    const uint32_t version = bs_cursor_u32(cursor);
    if (!cursor->failed && (version < 1 || version > 3 || kind > SELECT_ALL))
        return bad_selection(cursor, "is of an unknown kind or version", err);
    if (kind == SELECT_SLAB) {
        status = decode_slab(cursor, version, out_selected, err);
    } else if (kind == SELECT_POINTS) {
        status = decode_points(cursor, version, out_selected, err);
    } else {
        bs_cursor_skip(cursor, 8); /* reserved, length */
        out_selected->all = kind == SELECT_ALL;
        out_selected->listed = kind == SELECT_NONE;
    }
    if (!status) status = bs_cursor_check(cursor, "a selection", err);
    if (status) bs_h5_selected_free(out_selected);
    return status;
}

void bs_h5_selected_all(const struct bs_h5_space *space, struct bs_h5_selected *selected)
{
    selected->rank = space->rank;
    for (unsigned i = 0; i < space->rank; i++)
        selected->axes[i] =
            (struct bs_h5_strip){.stride = BS_MAX(space->dims[i], (uint64_t)1), /* one block */
                .block = BS_MAX(space->dims[i], (uint64_t)1),
                .length = space->dims[i]};
}

uint64_t bs_h5_selected_count(const struct bs_h5_selected *selected)
{
    uint64_t count = 1;

    if (selected->listed) return selected->row_count ? selected->ends[selected->row_count - 1] : 0;
    for (unsigned i = 0; i < selected->rank; i++) {
        const uint64_t length = selected->axes[i].length;
        if (length && count > UINT64_MAX / 4 / length) return UINT64_MAX / 4;
        count *= length;
    }
    return count;
}

static uint64_t find_listed(const struct bs_h5_selected *selected, uint64_t index, uint64_t *out_at)
{
    size_t low = 0, high = selected->row_count;

    while (low < high) { /* the first row that ends behind the index */
        const size_t middle = low + (high - low) / 2;
        if (selected->ends[middle] <= index)
            low = middle + 1;
        else
            high = middle;
    }
    const struct bs_h5_listed_row *row = bs_h5_selected_row(selected, low);
    const uint64_t into = index - (selected->ends[low] - row->length);
    memcpy(out_at, row->at, selected->rank * sizeof *out_at);
    out_at[selected->rank - 1] += into;
    return row->length - into;
}

uint64_t bs_h5_selected_find(
    const struct bs_h5_selected *selected, uint64_t index, uint64_t *out_at)
{
    uint64_t run = 1;

    if (selected->listed) return find_listed(selected, index, out_at);
    for (unsigned i = selected->rank; i-- > 0;) {
        const struct bs_h5_strip *axis = &selected->axes[i];
        const uint64_t here = index % axis->length;
        index /= axis->length;
        out_at[i] = bs_h5_strip_place(axis, here);
        if (i + 1 < selected->rank) continue;
        run = axis->stride == axis->block
            ? axis->length - here
            : BS_MIN(axis->block - here % axis->block, axis->length - here);
    }
    return run;
}
