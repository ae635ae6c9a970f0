/* copy_plan.c - which layout, chunks and filters a dataset of the copy gets.
 *
 * Of what was asked for (options, or the last rule that fits the path) each dataset gets what it can
 * have: one that can grow stays chunked, a scalar or an empty one is never chunked, and one that was not
 * chunked and has less than 4 KiB stays as it is. */
#include "copy/copy_internal.h"

#include <stdlib.h>

#define CHUNK_BYTES_AUTO ((uint64_t)1 << 20)
#define CHUNK_BYTES_MAX ((uint64_t)1 << 30)
#define TILE_BYTES_FREE_MAX ((uint64_t)64 << 20) /* more needs a reason: the size of the file */
#define TILE_TO_FILE_MAX 8
#define WORTH_CHUNKS_BYTES ((uint64_t)4096)
#define PART_BYTES ((uint64_t)2 << 20) /* of a contiguous array */
#define GROWING_ROWS 1024u /* taken for the length of a dimension that is 0 and can grow */

enum chunks_kind { CHUNKS_KEEP, CHUNKS_BYTES, CHUNKS_DIMS, CHUNKS_NONE };
struct wanted {
    enum chunks_kind kind;
    uint64_t bytes;
    unsigned rank;
    uint64_t dims[BS_H5_RANK_MAX];
    const char *filters; /* NULL: keep */
};

/* ---- what was asked for -------------------------------------------------------------------- */

/* "64Ki" */
static bool parse_size(const char *text, uint64_t *out_bytes)
{
    char *end;
    unsigned shift = 0;
    if (*text < '0' || *text > '9') return false;
    *out_bytes = strtoull(text, &end, 10);
    if (!strcmp(end, "Ki")) shift = 10;
    if (!strcmp(end, "Mi")) shift = 20;
    if (!shift || *out_bytes == 0 || *out_bytes > CHUNK_BYTES_MAX >> shift) return false;
    *out_bytes <<= shift;
    return true;
}

static bool parse_dims(const char *text, struct wanted *wanted)
{
    wanted->rank = 0;
    while (true) {
        char *end;
        if (*text < '0' || *text > '9' || wanted->rank == BS_H5_RANK_MAX) return false;
        const uint64_t dim = strtoull(text, &end, 10);
        if (dim == 0 || dim > UINT32_MAX || (*end && *end != ',')) return false;
        wanted->dims[wanted->rank++] = dim;
        if (!*end) return true;
        text = end + 1;
    }
}

static basalt_status parse_chunks(const char *text, struct wanted *wanted, basalt_error *err)
{
    wanted->kind = CHUNKS_KEEP;
    wanted->bytes = CHUNK_BYTES_AUTO;
    if (!text || !strcmp(text, "keep")) return BASALT_OK;
    if (!strcmp(text, "contiguous")) {
        wanted->kind = CHUNKS_NONE;
    } else if (!strcmp(text, "auto") || parse_size(text, &wanted->bytes)) {
        wanted->kind = CHUNKS_BYTES;
    } else if (parse_dims(text, wanted)) {
        wanted->kind = CHUNKS_DIMS;
    } else {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "chunks are keep, auto, contiguous, a size (64Ki, up to 1024Mi) or dimensions "
            "(64,1000), not \"%.60s\"",
            text);
    }
    return BASALT_OK;
}

static basalt_status want(
    const char *chunks, const char *filters, struct wanted *out_wanted, basalt_error *err)
{
    struct bs_pipeline pipeline;
    basalt_status status = parse_chunks(chunks, out_wanted, err);
    out_wanted->filters = filters && strcmp(filters, "keep") != 0 ? filters : NULL;
    if (status || !out_wanted->filters) return status;
    status = bs_pipeline_parse(filters, 1, 1, &pipeline, err);
    if (!status && out_wanted->kind == CHUNKS_NONE && pipeline.count) {
        status = bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a contiguous dataset has no chunks that the filters \"%.60s\" could be for", filters);
    }
    return status;
}

/* `path` is `above` or below it. */
static bool is_under(const char *path, const char *above)
{
    size_t count = strlen(above);
    while (count > 0 && above[count - 1] == '/') count--;
    while (*above == '/' && count > 0) above++, count--;
    while (*path == '/') path++;
    return !strncmp(path, above, count) && (count == 0 || !path[count] || path[count] == '/');
}

static basalt_status wanted_for(const basalt_hdf5_copy_options *options, const char *path,
    struct wanted *out_wanted, basalt_error *err)
{
    const char *chunks = options->chunks, *filters = options->filters;
    for (size_t i = 0; i < options->rule_count; i++) {
        const basalt_hdf5_copy_rule *rule = &options->rules[i];
        if (!is_under(path, rule->path)) continue;
        if (rule->chunks) chunks = rule->chunks;
        if (rule->filters) filters = rule->filters;
    }
    return want(chunks, filters, out_wanted, err);
}

basalt_status bs_copy_options_check(const basalt_hdf5_copy_options *options, basalt_error *err)
{
    struct wanted wanted;
    basalt_status status = want(options->chunks, options->filters, &wanted, err);
    for (size_t i = 0; !status && i < options->rule_count; i++) {
        if (!options->rules[i].path) {
            return bs_fail(
                err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET, "rule %zu has no path", i + 1);
        }
        status = want(options->rules[i].chunks, options->rules[i].filters, &wanted, err);
    }
    return status;
}

/* ---- chunks -------------------------------------------------------------------------------- */

static bool can_grow(const struct bs_h5_space *space)
{
    for (unsigned i = 0; i < space->rank; i++) {
        if (space->max_dims[i] != space->dims[i]) return true;
    }
    return false;
}

/* The largest dimension is halved until a chunk is no larger than was asked for. */
static void chunk_of_bytes(
    const struct bs_h5_space *space, uint64_t element_bytes, uint64_t bytes_max, uint64_t *out_dims)
{
    for (unsigned i = 0; i < space->rank; i++) {
        const uint64_t most = BS_MIN(space->max_dims[i], (uint64_t)UINT32_MAX);
        const uint64_t dim = space->dims[i] ? space->dims[i] : GROWING_ROWS;
        out_dims[i] = BS_MAX(BS_MIN(dim, most), (uint64_t)1);
    }
    while (true) {
        uint64_t bytes = element_bytes;
        unsigned largest = 0;
        bool fits = true;
        for (unsigned i = 0; i < space->rank; i++) {
            fits = fits && out_dims[i] <= bytes_max / BS_MAX(bytes, (uint64_t)1);
            bytes *= fits ? out_dims[i] : 1;
            if (out_dims[i] > out_dims[largest]) largest = i;
        }
        if (fits || out_dims[largest] == 1) return;
        out_dims[largest] -= out_dims[largest] / 2;
    }
}

static void choose_chunks(
    const struct wanted *wanted, const struct bs_h5_dataset *dataset, struct bs_copy_plan *plan)
{
    const struct bs_h5_space *space = &dataset->space;
    const bool keep = wanted->kind != CHUNKS_BYTES && dataset->layout == BS_H5_CHUNKED;
    if (wanted->kind == CHUNKS_DIMS && wanted->rank == space->rank) {
        for (unsigned i = 0; i < space->rank; i++) {
            const uint64_t most = BS_MAX(space->max_dims[i], (uint64_t)1);
            plan->tile_dims[i] = BS_MIN(wanted->dims[i], most);
        }
    } else if (keep) {
        memcpy(plan->tile_dims, dataset->chunk_dims, sizeof plan->tile_dims);
    } else {
        chunk_of_bytes(space, plan->element_bytes, wanted->bytes, plan->tile_dims);
    }
}

static enum bs_h5_layout choose_layout(
    const struct wanted *wanted, const struct bs_h5_dataset *dataset, uint64_t bytes, bool filtered)
{
    const struct bs_h5_space *space = &dataset->space;
    const bool chunked = dataset->layout == BS_H5_CHUNKED;
    const bool asked = filtered || wanted->kind == CHUNKS_BYTES ||
        (wanted->kind == CHUNKS_DIMS && wanted->rank == space->rank);
    if (space->null || space->rank == 0) {
        return dataset->layout == BS_H5_COMPACT ? BS_H5_COMPACT : BS_H5_CONTIGUOUS;
    }
    if (can_grow(space)) return BS_H5_CHUNKED;
    if (wanted->kind == CHUNKS_NONE) {
        return dataset->layout == BS_H5_COMPACT ? BS_H5_COMPACT : BS_H5_CONTIGUOUS;
    }
    if (chunked || (asked && bytes >= WORTH_CHUNKS_BYTES)) return BS_H5_CHUNKED;
    return dataset->layout == BS_H5_COMPACT ? BS_H5_COMPACT : BS_H5_CONTIGUOUS;
}

/* Parts that are one row of bytes each: whole in the last dimensions, one in the first ones. */
static void divide_rows(struct bs_copy_plan *plan)
{
    uint64_t elements = BS_MAX(PART_BYTES / plan->element_bytes, (uint64_t)1);
    for (unsigned i = plan->rank; i-- > 0;) {
        plan->tile_dims[i] = BS_MAX(BS_MIN(plan->dims[i], elements), (uint64_t)1);
        elements = plan->tile_dims[i] < plan->dims[i] ? 1 : elements / plan->tile_dims[i];
        elements = BS_MAX(elements, (uint64_t)1);
    }
}

/* ---- filters ------------------------------------------------------------------------------- */

static bool same_pipeline(const struct bs_pipeline *a, const struct bs_pipeline *b)
{
    if (a->count != b->count) return false;
    for (unsigned i = 0; i < a->count; i++) {
        const struct bs_filter *left = &a->filters[i], *right = &b->filters[i];
        if (left->id != right->id || left->flags != right->flags ||
            left->parameter_count != right->parameter_count ||
            memcmp(bs_filter_parameters(left), bs_filter_parameters(right),
                left->parameter_count * sizeof(uint32_t)) != 0) {
            return false;
        }
    }
    return true;
}

/* Some filters note how large the chunks are. And libhdf5 does not tell the shuffle filter of a dataset of
 * variable-length elements how large they are; it leaves the filter out of every chunk instead. */
static void retune(struct bs_pipeline *pipeline, uint64_t element_bytes, uint64_t chunk_bytes)
{
    for (unsigned i = 0; i < pipeline->count; i++) {
        struct bs_filter *filter = &pipeline->filters[i];
        const unsigned at = filter->id == BS_FILTER_LZF ? 2
            : filter->id == BS_FILTER_BLOSC             ? 3
                                                        : BS_FILTER_PARAMETERS_MAX;
        if (filter->id == BS_FILTER_SHUFFLE && filter->parameter_count == 0) {
            filter->parameters[filter->parameter_count++] = (uint32_t)element_bytes;
        }
        if (at < filter->parameter_count && at < BS_FILTER_PARAMETERS_MAX) {
            filter->parameters[at] = (uint32_t)BS_MIN(chunk_bytes, (uint64_t)UINT32_MAX);
        }
    }
}

static basalt_status choose_filters(const struct wanted *wanted,
    const struct bs_h5_dataset *dataset, struct bs_copy_plan *plan, basalt_error *err)
{
    const uint64_t chunk_bytes = plan->tile_elements * plan->element_bytes;
    basalt_status status = BASALT_OK;
    if (wanted->filters) {
        status = bs_pipeline_parse(
            wanted->filters, plan->element_bytes, chunk_bytes, &plan->pipeline, err);
    } else if (dataset->layout == BS_H5_CHUNKED) {
        plan->pipeline = dataset->pipeline; /* long parameters stay the source's */
        if (!plan->same_grid || plan->refers) {
            retune(&plan->pipeline, plan->element_bytes, chunk_bytes);
        }
    }
    return status;
}

/* ---- plans --------------------------------------------------------------------------------- */

static basalt_status count_tiles(struct bs_copy_plan *plan, basalt_error *err)
{
    plan->tiles = plan->tile_elements = 1;
    for (unsigned i = 0; i < plan->rank; i++) {
        const uint64_t dim = plan->dims[i], tile = plan->tile_dims[i];
        plan->grid[i] = dim / tile + (dim % tile != 0);
        if ((plan->grid[i] && plan->tiles > UINT64_MAX / plan->grid[i]) ||
            plan->tile_elements > UINT32_MAX / tile) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "there would be 2^64 chunks, or some of 2^32 elements");
        }
        plan->tiles *= plan->grid[i];
        plan->tile_elements *= tile;
    }
    if (plan->tile_elements <= UINT32_MAX / plan->element_bytes) return BASALT_OK;
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "its chunks would be of 4 GiB or more");
}

/* A file that claims more than it can hold gets no memory for it; what is read keeps the same limit. */
static basalt_status check_tile(
    const struct bs_copy *copy, const struct bs_copy_plan *plan, basalt_error *err)
{
    const uint64_t bytes = plan->tile_elements * plan->element_bytes;
    if (!plan->stored || bytes <= TILE_BYTES_FREE_MAX ||
        bytes / TILE_TO_FILE_MAX <= copy->from_bytes) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "chunks or rows of %" PRIu64 " bytes are over 64 MiB and more than 8 times the whole file",
        bytes);
}

static void set_shape(const struct bs_h5_space *space, struct bs_copy_plan *plan)
{
    plan->rank = space->rank;
    memcpy(plan->dims, space->dims, sizeof plan->dims);
    if (space->rank == 0) {
        plan->rank = 1;
        plan->dims[0] = space->null ? 0 : 1;
    }
}

static basalt_status plan_fill_in(const struct bs_copy *copy, const struct wanted *wanted,
    const struct bs_h5_dataset *dataset, struct bs_copy_plan *plan, basalt_error *err)
{
    uint64_t bytes = 0;
    plan->element_bytes = plan->type->size_bytes;
    plan->refers = bs_copy_refers(dataset->type);
    plan->stored = dataset->layout != BS_H5_CONTIGUOUS || dataset->external ||
        dataset->address != BS_H5_UNDEFINED;
    set_shape(&dataset->space, plan);
    basalt_status status = bs_h5_space_count(&dataset->space, &bytes, err);
    if (status) return status;
    bytes = bytes > UINT64_MAX / plan->element_bytes ? UINT64_MAX : bytes * plan->element_bytes;
    const bool filtered = wanted->filters && strcmp(wanted->filters, "none") != 0;
    plan->layout = choose_layout(wanted, dataset, bytes, filtered);
    if (plan->layout == BS_H5_CHUNKED) {
        choose_chunks(wanted, dataset, plan);
    } else {
        divide_rows(plan);
    }
    status = count_tiles(plan, err);
    if (status) return status;
    if (plan->layout != BS_H5_CHUNKED) return check_tile(copy, plan, err);
    plan->same_grid = dataset->layout == BS_H5_CHUNKED &&
        !memcmp(plan->tile_dims, dataset->chunk_dims, plan->rank * sizeof plan->tile_dims[0]);
    status = choose_filters(wanted, dataset, plan, err);
    if (status) return status;
    plan->as_is = plan->same_grid && !plan->refers &&
        same_pipeline(&plan->pipeline, &dataset->pipeline) &&
        plan->element_bytes == dataset->type->size_bytes;
    return plan->as_is ? BASALT_OK : check_tile(copy, plan, err);
}

basalt_status bs_copy_plan_make(const struct bs_copy *copy, const char *path,
    const struct bs_h5_dataset *dataset, struct bs_copy_plan *out_plan, basalt_error *err)
{
    struct wanted wanted;
    memset(out_plan, 0, sizeof *out_plan);
    basalt_status status = wanted_for(copy->options, path, &wanted, err);
    if (!status) status = bs_copy_type(copy, dataset->type, &out_plan->type, err);
    if (!status) status = plan_fill_in(copy, &wanted, dataset, out_plan, err);
    if (status) bs_copy_plan_free(out_plan);
    return status;
}

void bs_copy_plan_free(struct bs_copy_plan *plan)
{
    bs_h5_type_free(plan->type);
    memset(plan, 0, sizeof *plan);
}

void bs_copy_tile(
    const struct bs_copy_plan *plan, uint64_t number, uint64_t *out_start, uint64_t *out_count)
{
    for (unsigned i = plan->rank; i-- > 0; number /= plan->grid[i]) {
        out_start[i] = number % plan->grid[i] * plan->tile_dims[i];
        out_count[i] = BS_MIN(plan->tile_dims[i], plan->dims[i] - out_start[i]);
    }
}
