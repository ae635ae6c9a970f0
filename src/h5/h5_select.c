/* h5_select.c - selections: checked against a dataset, then divided among its tiles.
 *
 * All, hyperslabs and lists of rows are products: each dimension selects on its own, so an axis a
 * dimension says everything, and the selected part of a tile is a range of each axis. Points have no
 * such form: they are sorted by tile. */
#include "h5/read_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static uint64_t end_of(uint64_t first, uint64_t step)
{
    return first > UINT64_MAX - step ? UINT64_MAX : first + step;
}

/* ---- axes --------------------------------------------------------------------------------------- */

uint64_t bs_h5_axis_place(const struct bs_h5_axis *axis, uint64_t element)
{
    if (axis->places) return axis->places[element];
    if (axis->stride == axis->block) return axis->start + element;
    return axis->start + element / axis->block * axis->stride + element % axis->block;
}

/* How many selected elements lie before place `end`. */
static uint64_t elements_before(const struct bs_h5_axis *axis, uint64_t end)
{
    if (axis->places) {
        uint64_t low = 0, high = axis->count;
        while (low < high) {
            const uint64_t middle = low + (high - low) / 2;
            if (axis->places[middle] < end)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }
    if (end <= axis->start) return 0;
    const uint64_t distance = end - axis->start;
    const uint64_t blocks = distance / axis->stride;
    if (blocks >= axis->count / axis->block) return axis->count;
    return blocks * axis->block + BS_MIN(distance % axis->stride, axis->block);
}

static void set_whole(struct bs_h5_axis *axis, uint64_t count)
{
    axis->start = 0;
    axis->count = count;
    axis->stride = axis->block = BS_MAX(count, 1);
}

static basalt_status outside(const struct bs_h5_object *object, unsigned dimension, uint64_t place,
    uint64_t dim, basalt_error *err)
{
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "place %" PRIu64 " of dimension %u was asked for, but the dataset at %" PRIu64
        " has %" PRIu64,
        place, dimension, object->header->address, dim);
}

static basalt_status set_slab(const struct bs_h5_object *object,
    const struct bs_h5_selection *selection, unsigned dimension, uint64_t dim,
    struct bs_h5_axis *axis, basalt_error *err)
{
    const uint64_t count = selection->count[dimension], block = selection->block[dimension];
    const uint64_t start = selection->start[dimension], stride = selection->stride[dimension];

    if (!count || !block) {
        set_whole(axis, 0);
        return BASALT_OK;
    }
    if (count > 1 && stride < block)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the blocks of dimension %u overlap: stride %" PRIu64 ", block %" PRIu64, dimension,
            stride, block);
    const bool fits = start < dim && block <= dim - start &&
        (count == 1 || (dim - start - block) / stride >= count - 1);
    if (!fits) {
        const uint64_t left = UINT64_MAX - start;
        const bool countable =
            block <= left && (count == 1 || (left - block) / stride >= count - 1);
        return outside(object, dimension,
            countable ? start + (count - 1) * stride + (block - 1) : UINT64_MAX, dim, err);
    }
    axis->start = start;
    axis->count = count * block;
    axis->block = count == 1 || stride == block ? axis->count : block;
    axis->stride = count == 1 || stride == block ? axis->count : stride;
    return BASALT_OK;
}

struct listed {
    uint64_t place, order;
};

static int compare_listed(const void *a, const void *b)
{
    const struct listed *left = a, *right = b;
    if (left->place != right->place) return left->place < right->place ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static basalt_status set_rows(const struct bs_h5_object *object,
    const struct bs_h5_selection *selection, struct bs_h5_choice *choice, basalt_error *err)
{
    struct bs_h5_axis *axis = &choice->axes[0];
    const uint64_t count = selection->coordinate_count;

    for (uint64_t i = 0; i < count; i++)
        if (selection->coordinates[i] >= choice->dims[0])
            return outside(object, 0, selection->coordinates[i], choice->dims[0], err);
    set_whole(axis, 0);
    if (!count) return BASALT_OK;
    struct listed *list = bs_alloc_zeroed((size_t)count, sizeof *list);
    choice->memory = bs_alloc_zeroed((size_t)count, 2 * sizeof *choice->memory);
    if (!list || !choice->memory) {
        bs_free(list);
        return bs_fail_memory(err, (size_t)count * sizeof *list);
    }
    for (uint64_t i = 0; i < count; i++) list[i] = (struct listed){selection->coordinates[i], i};
    qsort(list, (size_t)count, sizeof *list, compare_listed);
    for (uint64_t i = 0; i < count; i++) {
        choice->memory[i] = list[i].place;
        choice->memory[count + i] = list[i].order;
    }
    bs_free(list);
    axis->count = count;
    axis->places = choice->memory;
    axis->order = choice->memory + count;
    return BASALT_OK;
}

static basalt_status check_points(const struct bs_h5_object *object,
    const struct bs_h5_selection *selection, struct bs_h5_choice *choice, basalt_error *err)
{
    const uint64_t *at = selection->coordinates;

    for (uint64_t i = 0; i < selection->coordinate_count; i++, at += choice->rank)
        for (unsigned d = 0; d < choice->rank; d++)
            if (at[d] >= choice->dims[d]) return outside(object, d, at[d], choice->dims[d], err);
    choice->count = selection->coordinate_count;
    return BASALT_OK;
}

/* ---- beginning ---------------------------------------------------------------------------------- */

static basalt_status check_form(
    const struct bs_h5_object *object, const struct bs_h5_selection *selection, basalt_error *err)
{
    const struct bs_h5_space *space = &object->dataset->space;
    const bool of_rank =
        selection->kind == BS_H5_SELECT_HYPERSLAB || selection->kind == BS_H5_SELECT_POINTS;

    if (of_rank && (selection->rank != space->rank || !space->rank))
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the selection has %u dimensions, the dataset at %" PRIu64 " has %u", selection->rank,
            object->header->address, space->rank);
    if (selection->kind == BS_H5_SELECT_ROWS && !space->rank)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "the dataset at %" PRIu64 " is a scalar: it has no rows", object->header->address);
    return BASALT_OK;
}

static basalt_status count_product(struct bs_h5_choice *choice, basalt_error *err)
{
    uint64_t count = 1;

    for (unsigned d = 0; d < choice->rank; d++)
        if (!choice->axes[d].count) return BASALT_OK;
    for (unsigned d = choice->rank; d-- > 0;) {
        choice->out_step[d] = count;
        if (choice->axes[d].count > UINT64_MAX / count)
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "the selection has more elements than 64 bits count");
        count *= choice->axes[d].count;
    }
    choice->count = count;
    return BASALT_OK;
}

basalt_status bs_h5_choice_begin(const struct bs_h5_object *object,
    const struct bs_h5_selection *selection, struct bs_h5_choice *out_choice, basalt_error *err)
{
    const struct bs_h5_space *space = &object->dataset->space;
    struct bs_h5_choice *choice = out_choice;
    uint64_t elements = 0;

    choice->rank = BS_MAX(space->rank, 1u);
    choice->count = choice->tiles = 0;
    choice->points = NULL;
    choice->groups = choice->memory = NULL;
    choice->dims[0] = 1;
    for (unsigned d = 0; d < choice->rank; d++) {
        memset(&choice->axes[d], 0, sizeof choice->axes[d]);
        if (space->rank) choice->dims[d] = space->dims[d];
    }
    basalt_status status = bs_h5_space_count(space, &elements, err);
    if (!status) status = check_form(object, selection, err);
    if (status || (space->null && selection->kind == BS_H5_SELECT_ALL)) return status;
    if (selection->kind == BS_H5_SELECT_POINTS) return check_points(object, selection, choice, err);
    for (unsigned d = 0; !status && d < choice->rank; d++) {
        if (selection->kind == BS_H5_SELECT_HYPERSLAB)
            status = set_slab(object, selection, d, choice->dims[d], &choice->axes[d], err);
        else if (selection->kind == BS_H5_SELECT_ROWS && !d)
            status = set_rows(object, selection, choice, err);
        else
            set_whole(&choice->axes[d], choice->dims[d]);
    }
    return status ? status : count_product(choice, err);
}

void bs_h5_choice_end(struct bs_h5_choice *choice)
{
    for (unsigned d = 0; d < choice->rank; d++)
        if (choice->axes[d].cells != choice->axes[d].few) bs_free(choice->axes[d].cells);
    bs_free(choice->points);
    bs_free(choice->groups);
    bs_free(choice->memory);
}

/* ---- division among tiles ----------------------------------------------------------------------- */

static basalt_status divide_axis(struct bs_h5_axis *axis, uint64_t tile_dim, basalt_error *err)
{
    const uint64_t first = bs_h5_axis_place(axis, 0) / tile_dim;
    const uint64_t last = bs_h5_axis_place(axis, axis->count - 1) / tile_dim;
    const uint64_t most = BS_MIN(axis->count - 1, last - first) + 1;
    size_t used = 0;

    axis->cells = axis->few;
    if (most > 1) {
        axis->cells = bs_alloc_zeroed((size_t)most + 1, sizeof *axis->cells);
        if (!axis->cells) return bs_fail_memory(err, (size_t)most * sizeof *axis->cells);
    }
    for (uint64_t k = 0; k < axis->count;) {
        const uint64_t tile = bs_h5_axis_place(axis, k) / tile_dim;
        assert(used < most);
        axis->cells[used++] = (struct bs_h5_cell){tile, k};
        k = tile == last ? axis->count : elements_before(axis, end_of(tile * tile_dim, tile_dim));
    }
    axis->cells[used] = (struct bs_h5_cell){UINT64_MAX, axis->count};
    axis->cell_count = used;
    return BASALT_OK;
}

static int compare_points(const void *a, const void *b)
{
    const struct bs_h5_point *left = a, *right = b;
    if (left->tile != right->tile) return left->tile < right->tile ? -1 : 1;
    return left->at < right->at ? -1 : left->at > right->at;
}

static basalt_status divide_points(
    struct bs_h5_choice *choice, const struct bs_h5_selection *selection, basalt_error *err)
{
    const uint64_t *at = selection->coordinates;
    uint64_t tiles = 0;

    choice->points = bs_alloc_zeroed((size_t)choice->count, sizeof *choice->points);
    if (!choice->points) return bs_fail_memory(err, (size_t)choice->count * sizeof *choice->points);
    for (uint64_t i = 0; i < choice->count; i++, at += choice->rank) {
        struct bs_h5_point *point = &choice->points[i];
        point->out = i;
        for (unsigned d = 0; d < choice->rank; d++) {
            point->tile = point->tile * choice->grid[d] + at[d] / choice->tile_dims[d];
            point->at += at[d] % choice->tile_dims[d] * choice->tile_step[d];
        }
    }
    qsort(choice->points, (size_t)choice->count, sizeof *choice->points, compare_points);
    for (uint64_t i = 0; i < choice->count; i++)
        tiles += !i || choice->points[i].tile != choice->points[i - 1].tile;
    choice->groups = bs_alloc_zeroed((size_t)tiles + 1, sizeof *choice->groups);
    if (!choice->groups) return bs_fail_memory(err, (size_t)tiles * sizeof *choice->groups);
    for (uint64_t i = 0; i < choice->count; i++)
        if (!i || choice->points[i].tile != choice->points[i - 1].tile)
            choice->groups[choice->tiles++] = i;
    choice->groups[tiles] = choice->count;
    return BASALT_OK;
}

basalt_status bs_h5_choice_divide(
    struct bs_h5_choice *choice, const struct bs_h5_selection *selection, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    choice->tile_elements = 1;
    for (unsigned d = choice->rank; d-- > 0;) {
        choice->tile_step[d] = choice->tile_elements;
        choice->tile_elements *= choice->tile_dims[d];
        choice->grid[d] = (choice->dims[d] - 1) / choice->tile_dims[d] + 1;
    }
    if (selection->kind == BS_H5_SELECT_POINTS) return divide_points(choice, selection, err);
    choice->tiles = 1;
    for (unsigned d = 0; !status && d < choice->rank; d++) {
        status = divide_axis(&choice->axes[d], choice->tile_dims[d], err);
        choice->tiles *= choice->axes[d].cell_count; /* at most as many as elements */
    }
    return status;
}

/* ---- tiles -------------------------------------------------------------------------------------- */

void bs_h5_choice_tile(
    const struct bs_h5_choice *choice, uint64_t number, struct bs_h5_tile *out_tile)
{
    if (choice->points) {
        out_tile->point_first = choice->groups[number];
        out_tile->point_end = choice->groups[number + 1];
        uint64_t tile = choice->points[out_tile->point_first].tile;
        for (unsigned d = choice->rank; d-- > 0; tile /= choice->grid[d]) {
            out_tile->at[d] = tile % choice->grid[d];
            out_tile->origin[d] = out_tile->at[d] * choice->tile_dims[d];
        }
        return;
    }
    for (unsigned d = choice->rank; d-- > 0;) {
        const struct bs_h5_axis *axis = &choice->axes[d];
        out_tile->cells[d] = &axis->cells[number % axis->cell_count];
        out_tile->at[d] = out_tile->cells[d]->tile;
        out_tile->origin[d] = out_tile->at[d] * choice->tile_dims[d];
        number /= axis->cell_count;
    }
}

static uint64_t find_group(const struct bs_h5_choice *choice, const uint64_t *at)
{
    uint64_t tile = 0, low = 0, high = choice->tiles;

    for (unsigned d = 0; d < choice->rank; d++) {
        if (at[d] >= choice->grid[d]) return UINT64_MAX;
        tile = tile * choice->grid[d] + at[d];
    }
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (choice->points[choice->groups[middle]].tile < tile)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < choice->tiles && choice->points[choice->groups[low]].tile == tile;
    return found ? low : UINT64_MAX;
}

static uint64_t find_cell(const struct bs_h5_axis *axis, uint64_t tile)
{
    const uint64_t first = axis->cells[0].tile;
    uint64_t low = 0, high = axis->cell_count;

    if (tile < first || tile > axis->cells[high - 1].tile) return UINT64_MAX;
    if (axis->cells[high - 1].tile - first == high - 1) return tile - first; /* without a gap */
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (axis->cells[middle].tile < tile)
            low = middle + 1;
        else
            high = middle;
    }
    return axis->cells[low].tile == tile ? low : UINT64_MAX;
}

uint64_t bs_h5_choice_find(const struct bs_h5_choice *choice, const uint64_t *at)
{
    uint64_t number = 0;

    if (choice->points) return find_group(choice, at);
    for (unsigned d = 0; d < choice->rank; d++) {
        const uint64_t cell = find_cell(&choice->axes[d], at[d]);
        if (cell == UINT64_MAX) return UINT64_MAX;
        number = number * choice->axes[d].cell_count + cell;
    }
    return number;
}

bool bs_h5_tile_is_whole(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile)
{
    if (choice->points) return false;
    for (unsigned d = 0; d < choice->rank; d++) {
        const uint64_t there = BS_MIN(choice->tile_dims[d], choice->dims[d] - tile->origin[d]);
        if (choice->axes[d].places || tile->cells[d][1].first - tile->cells[d]->first != there)
            return false;
    }
    return true;
}
