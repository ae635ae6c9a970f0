/* h5_place.c - the selected elements of one tile, as runs: consecutive in the output, evenly spaced in
 * the tile. Dimensions that tile and output share whole are one with the next; so a slice of whole rows
 * is one run, and what divides every dimension is a run a row. */
#include "h5/read_internal.h"

struct range {
    const struct bs_h5_choice *choice;
    const struct bs_h5_tile *tile;
    unsigned run_dimension; /* its elements make the runs; inner ones are whole */
    uint64_t low[BS_H5_RANK_MAX], high[BS_H5_RANK_MAX];
    uint64_t inner; /* elements of the inner dimensions */
};

static bool is_even(const struct bs_h5_axis *axis)
{
    return !axis->places && axis->stride == axis->block;
}

static void set_range(
    const struct bs_h5_choice *choice, const struct bs_h5_tile *tile, struct range *range)
{
    unsigned d = choice->rank - 1;

    range->choice = choice;
    range->tile = tile;
    range->inner = 1;
    for (unsigned i = 0; i < choice->rank; i++) {
        range->low[i] = tile->cells[i]->first;
        range->high[i] = tile->cells[i][1].first;
    }
    for (; d > 0; d--) {
        const struct bs_h5_axis *axis = &choice->axes[d];
        const uint64_t count = range->high[d] - range->low[d];
        if (!is_even(axis) || count != choice->tile_dims[d] || count != axis->count) break;
        range->inner *= count;
    }
    range->run_dimension = d;
}

static uint64_t at_of(const struct range *range, unsigned d, uint64_t element)
{
    const struct bs_h5_choice *choice = range->choice;
    const uint64_t place = bs_h5_axis_place(&choice->axes[d], element);
    return (place - range->tile->origin[d]) * choice->tile_step[d];
}

static uint64_t out_of(const struct range *range, unsigned d, uint64_t element)
{
    const struct bs_h5_axis *axis = &range->choice->axes[d];
    return (axis->order ? axis->order[element] : element) * range->choice->out_step[d];
}

/* How many elements from `element` on, before `end`, are consecutive in tile and output. */
static uint64_t segment(const struct bs_h5_axis *axis, uint64_t element, uint64_t end)
{
    uint64_t count = 1;

    if (is_even(axis)) return end - element;
    if (!axis->places) return BS_MIN(axis->block - element % axis->block, end - element);
    while (element + count < end &&
        axis->places[element + count] == axis->places[element] + count &&
        axis->order[element + count] == axis->order[element] + count)
        count++;
    return count;
}

/* The runs along the run dimension from these starts on. */
static basalt_status give_line(const struct range *range, uint64_t at, uint64_t out,
    bs_h5_run_fn each, void *context, basalt_error *err)
{
    const unsigned d = range->run_dimension;
    const struct bs_h5_axis *axis = &range->choice->axes[d];
    const uint64_t end = range->high[d];
    basalt_status status = BASALT_OK;

    if (!axis->places && axis->block == 1 && range->inner == 1) {
        const struct bs_h5_run run = {at + at_of(range, d, range->low[d]),
            axis->stride * range->choice->tile_step[d], end - range->low[d],
            out + out_of(range, d, range->low[d])};
        return each(context, &run, err);
    }
    for (uint64_t k = range->low[d]; !status && k < end;) {
        const uint64_t count = segment(axis, k, end);
        const struct bs_h5_run run = {
            at + at_of(range, d, k), 1, count * range->inner, out + out_of(range, d, k)};
        status = each(context, &run, err);
        k += count;
    }
    return status;
}

static basalt_status give_points(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile,
    bs_h5_run_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_point *points = choice->points;
    basalt_status status = BASALT_OK;

    for (uint64_t i = tile->point_first; !status && i < tile->point_end;) {
        struct bs_h5_run run = {points[i].at, 1, 1, points[i].out};
        for (i++; i < tile->point_end && points[i].at == run.at + run.count &&
             points[i].out == run.out + run.count;
             i++)
            run.count++;
        status = each(context, &run, err);
    }
    return status;
}

basalt_status bs_h5_tile_runs(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile,
    bs_h5_run_fn each, void *context, basalt_error *err)
{
    struct range range;
    uint64_t element[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;

    if (choice->points) return give_points(choice, tile, each, context, err);
    set_range(choice, tile, &range);
    memcpy(element, range.low, choice->rank * sizeof *element);
    while (!status) {
        uint64_t at = 0, out = 0;
        for (unsigned d = 0; d < range.run_dimension; d++) {
            at += at_of(&range, d, element[d]);
            out += out_of(&range, d, element[d]);
        }
        status = give_line(&range, at, out, each, context, err);
        unsigned d = range.run_dimension;
        while (d > 0 && ++element[d - 1] == range.high[d - 1]) {
            element[d - 1] = range.low[d - 1];
            d--;
        }
        if (!d) break;
    }
    return status;
}

bool bs_h5_tile_one_run(
    const struct bs_h5_choice *choice, const struct bs_h5_tile *tile, struct bs_h5_run *out_run)
{
    struct range range;

    if (choice->points) {
        const struct bs_h5_point *point = &choice->points[tile->point_first];
        *out_run = (struct bs_h5_run){point->at, 1, 1, point->out};
        return tile->point_end - tile->point_first == 1;
    }
    set_range(choice, tile, &range);
    *out_run = (struct bs_h5_run){0, 1, 0, 0};
    const unsigned run_dimension = range.run_dimension;
    for (unsigned d = 0; d <= run_dimension; d++) {
        if (d < run_dimension && range.high[d] - range.low[d] != 1) return false;
        out_run->at += at_of(&range, d, range.low[d]);
        out_run->out += out_of(&range, d, range.low[d]);
    }
    const uint64_t low = range.low[run_dimension], high = range.high[run_dimension];
    out_run->count = (high - low) * range.inner;
    return segment(&choice->axes[run_dimension], low, high) == high - low;
}

void bs_h5_tile_span(const struct bs_h5_choice *choice, const struct bs_h5_tile *tile,
    uint64_t *out_first, uint64_t *out_end, uint64_t *out_count)
{
    struct range range;

    *out_first = *out_end = 0;
    *out_count = 1;
    if (choice->points) {
        *out_first = choice->points[tile->point_first].at;
        *out_end = choice->points[tile->point_end - 1].at + 1;
        *out_count = tile->point_end - tile->point_first;
        return;
    }
    set_range(choice, tile, &range);
    for (unsigned d = 0; d < choice->rank; d++) {
        *out_first += at_of(&range, d, range.low[d]);
        *out_end += at_of(&range, d, range.high[d] - 1);
        *out_count *= range.high[d] - range.low[d];
    }
    *out_end += 1;
}
