/* h5_chunk_index.c - where the chunks of a dataset are: version-1 B-tree, single, implicit (FF VII);
 * the array and B-tree-2 indexes are in h5_chunk_array.c and h5_btree2.c.
 *
 * The B-tree is walked lazily: only nodes whose keys meet the rows asked for are read. Chunks of an
 * honest tree come in increasing order, so a tree that reaches a leaf twice is caught by its first
 * chunk. */
#include "h5/h5_internal.h"

#include <inttypes.h>

struct chunk_walk {
    struct bs_h5_file *h5;
    const struct bs_h5_object *object;
    struct bs_h5_btree tree;
    unsigned rank;
    uint64_t row_first, row_last; /* inclusive; of chunk offsets in dimension 0 */
    bs_h5_chunk_fn each;
    bs_h5_extent_fn node;         /* or NULL */
    void *context;
    bool any;
    uint64_t previous[BS_H5_RANK_MAX];
};

/* ---- version-1 B-tree ------------------------------------------------------------------------- */

static struct bs_h5_chunk read_key(const struct chunk_walk *walk, struct bs_cursor key)
{
    struct bs_h5_chunk chunk = {0};
    chunk.stored_bytes = bs_cursor_u32(&key);
    chunk.filter_mask = bs_cursor_u32(&key);
    for (unsigned i = 0; i < walk->rank; i++) chunk.offset[i] = bs_cursor_u64(&key);
    return chunk;
}

static int compare_offsets(const uint64_t *a, const uint64_t *b, unsigned rank)
{
    for (unsigned i = 0; i < rank; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static basalt_status check_chunk(struct chunk_walk *walk, const struct bs_h5_chunk *chunk,
    uint64_t node, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walk->object->dataset;
    const uint64_t at = bs_h5_offset(walk->h5, node);

    for (unsigned i = 0; i < walk->rank; i++)
        if (chunk->offset[i] % dataset->chunk_dims[i])
            return bs_fail(err, BASALT_CORRUPT, at,
                "the chunk index node at %" PRIu64 " has a chunk that is not on the grid", node);
    if (walk->any && compare_offsets(walk->previous, chunk->offset, walk->rank) >= 0)
        return bs_fail(err, BASALT_CORRUPT, at,
            "the chunk index node at %" PRIu64 " has its chunks out of order", node);
    walk->any = true;
    memcpy(walk->previous, chunk->offset, walk->rank * sizeof *chunk->offset);
    return bs_h5_check_range(walk->h5, chunk->address, chunk->stored_bytes, "a chunk", err);
}

static basalt_status visit_leaf(struct chunk_walk *walk, const struct bs_h5_btree_node *node,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; !status && i < node->count; i++) {
        struct bs_h5_chunk chunk =
            read_key(walk, bs_h5_btree_key(walk->h5, &walk->tree, node, i));
        chunk.address = bs_h5_btree_child(walk->h5, &walk->tree, node, i);
        status = check_chunk(walk, &chunk, node->address, err);
        if (status || chunk.offset[0] < walk->row_first || chunk.offset[0] > walk->row_last)
            continue;
        if (walk->each) status = walk->each(walk->context, &chunk, err);
    }
    return status;
}

/* Child i holds chunks from key i up to key i + 1. The last key of a node bounds nothing that its
 * parent has not bounded already, and some writers leave it unset. */
static bool child_meets_rows(const struct chunk_walk *walk, const struct bs_h5_btree_node *node,
    unsigned index)
{
    const struct bs_h5_chunk low =
        read_key(walk, bs_h5_btree_key(walk->h5, &walk->tree, node, index));
    if (low.offset[0] > walk->row_last) return false;
    if (index + 1 == node->count) return true;
    const struct bs_h5_chunk high =
        read_key(walk, bs_h5_btree_key(walk->h5, &walk->tree, node, index + 1));
    return high.offset[0] >= walk->row_first;
}

static basalt_status visit_node(struct chunk_walk *walk, uint64_t address, int level,
    basalt_error *err)
{
    struct bs_h5_btree_node node;
    basalt_status status = bs_h5_btree_load(walk->h5, &walk->tree, address, level, &node, err);

    if (status) return status;
    if (walk->node) {
        const struct bs_h5_extent extent = {address,
            bs_h5_btree_node_bytes(walk->h5, &walk->tree)};
        status = walk->node(walk->context, extent, "chunk index", err);
    }
    if (!status && !node.level) status = visit_leaf(walk, &node, err);
    for (unsigned i = 0; !status && node.level && i < node.count; i++)
        if (child_meets_rows(walk, &node, i))
            status = visit_node(walk,
                bs_h5_btree_child(walk->h5, &walk->tree, &node, i), (int)node.level - 1, err);
    bs_h5_btree_unload(&node);
    return status;
}

/* ---- indexes without a structure -------------------------------------------------------------- */

static basalt_status visit_single(struct chunk_walk *walk, basalt_error *err)
{
    const struct bs_h5_object *object = walk->object;
    struct bs_h5_chunk chunk = {.address = object->dataset->address};
    size_t raw_bytes = 0;
    basalt_status status = bs_h5_chunk_raw_bytes(walk->h5, object, &raw_bytes, err);

    if (status) return status;
    chunk.stored_bytes = object->detail.single_bytes ? object->detail.single_bytes : raw_bytes;
    chunk.filter_mask = object->detail.single_mask;
    status = bs_h5_check_range(walk->h5, chunk.address, chunk.stored_bytes, "a chunk", err);
    return status ? status : walk->each(walk->context, &chunk, err);
}

basalt_status bs_h5_chunk_grid(const struct bs_h5_object *object, struct bs_h5_grid *out_grid,
    basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;

    memset(out_grid, 0, sizeof *out_grid);
    out_grid->rank = dataset->space.rank;
    out_grid->chunks = 1;
    for (unsigned i = 0; i < out_grid->rank; i++) {
        const uint64_t limit = dataset->space.max_dims[i] == BS_H5_UNDEFINED
            ? dataset->space.dims[i] : dataset->space.max_dims[i];
        const uint64_t chunk = dataset->chunk_dims[i];
        out_grid->count[i] = limit / chunk + (limit % chunk != 0);
        if (out_grid->count[i] && out_grid->chunks > UINT64_MAX / out_grid->count[i])
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "a dataset has more chunks than 64 bits count");
        out_grid->chunks *= out_grid->count[i];
    }
    return BASALT_OK;
}

void bs_h5_chunk_place(const struct bs_h5_object *object, const struct bs_h5_grid *grid,
    uint64_t index, struct bs_h5_chunk *chunk)
{
    for (unsigned i = grid->rank; i-- > 0;) {
        chunk->offset[i] = index % grid->count[i] * object->dataset->chunk_dims[i];
        index /= grid->count[i];
    }
}

/* All chunks lie behind each other in the order of the grid, of the largest shape. */
static basalt_status visit_implicit(struct chunk_walk *walk, basalt_error *err)
{
    const uint64_t start = walk->object->dataset->address;
    struct bs_h5_grid grid;
    size_t raw_bytes = 0;
    basalt_status status = bs_h5_chunk_grid(walk->object, &grid, err);

    if (!status) status = bs_h5_chunk_raw_bytes(walk->h5, walk->object, &raw_bytes, err);
    if (status) return status;
    if (grid.chunks > UINT64_MAX / raw_bytes) grid.chunks = UINT64_MAX / raw_bytes;
    status = bs_h5_check_range(walk->h5, start, grid.chunks * raw_bytes, "the chunks", err);
    for (uint64_t i = 0; !status && i < grid.chunks; i++) {
        struct bs_h5_chunk chunk = {.address = start + i * raw_bytes, .stored_bytes = raw_bytes};
        bs_h5_chunk_place(walk->object, &grid, i, &chunk);
        if (chunk.offset[0] > walk->row_last) break;
        if (chunk.offset[0] >= walk->row_first)
            status = walk->each(walk->context, &chunk, err);
    }
    return status;
}

static basalt_status unsupported(const struct chunk_walk *walk, basalt_error *err)
{
    static const char *const names[] = {"", "", "", "fixed array", "extensible array",
        "version-2 B-tree"};
    return bs_fail(err, BASALT_UNSUPPORTED, bs_h5_offset(walk->h5, walk->object->dataset->address),
        "the chunks of the dataset at %" PRIu64 " are indexed by a %s, which is not read",
        walk->object->header->address, names[walk->object->dataset->chunk_index]);
}

static basalt_status visit_all(struct chunk_walk *walk, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walk->object->dataset;

    switch (dataset->chunk_index) {
    case 0:
        bs_h5_btree_init(walk->h5, &walk->tree, 1, walk->rank);
        return visit_node(walk, dataset->address, -1, err);
    case 1: return walk->each ? visit_single(walk, err) : BASALT_OK;
    case 2: return walk->each ? visit_implicit(walk, err) : BASALT_OK;
    default: return unsupported(walk, err);
    }
}

/* ---- entry points ----------------------------------------------------------------------------- */

basalt_status bs_h5_chunks_in_rows(struct bs_h5_file *h5, const struct bs_h5_object *object,
    uint64_t first, uint64_t count, bs_h5_chunk_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    struct chunk_walk walk = {.h5 = h5, .object = object, .rank = dataset->space.rank,
        .each = each, .context = context};

    if (dataset->layout != BS_H5_CHUNKED || dataset->address == BS_H5_UNDEFINED || !count)
        return BASALT_OK;
    walk.row_first = first - first % dataset->chunk_dims[0];
    walk.row_last = count > UINT64_MAX - first ? UINT64_MAX : first + count - 1;
    return visit_all(&walk, err);
}

basalt_status bs_h5_chunks_each(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    bs_h5_chunk_fn each, void *context, basalt_error *err)
{
    assert(dataset->dataset);
    return bs_h5_chunks_in_rows(h5, dataset, 0, UINT64_MAX, each, context, err);
}

basalt_status bs_h5_chunk_index_extents(struct bs_h5_file *h5, const struct bs_h5_object *object,
    bs_h5_extent_fn each, void *context, bool *out_complete, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    struct chunk_walk walk = {.h5 = h5, .object = object, .rank = dataset->space.rank,
        .row_last = UINT64_MAX, .node = each, .context = context};

    if (dataset->layout != BS_H5_CHUNKED || dataset->address == BS_H5_UNDEFINED) return BASALT_OK;
    if (dataset->chunk_index > 2) *out_complete = false;
    return dataset->chunk_index > 2 ? BASALT_OK : visit_all(&walk, err);
}
