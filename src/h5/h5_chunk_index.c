/* h5_chunk_index.c - where the chunks of a dataset are: version-1 and version-2 B-trees, a single
 * chunk, implicit places (FF VII); the array indexes are in h5_chunk_array.c.
 *
 * Indexes are walked lazily: only nodes whose keys meet the box asked for are read. Chunks of an
 * honest tree come in increasing order, so a tree that reaches a leaf twice is caught by its first
 * chunk. */
#include "h5/h5_internal.h"

#include <inttypes.h>

struct tree_walk {
    const struct bs_h5_chunk_walk *walk;
    struct bs_h5_btree tree;
    unsigned rank;
    bool any;
    uint64_t previous[BS_H5_RANK_MAX];
};

/* ---- version-1 B-tree ------------------------------------------------------------------------- */

static struct bs_h5_chunk read_key(const struct tree_walk *tree, struct bs_cursor key)
{
    struct bs_h5_chunk chunk = {0};
    chunk.stored_bytes = bs_cursor_u32(&key);
    chunk.filter_mask = bs_cursor_u32(&key);
    for (unsigned i = 0; i < tree->rank; i++) chunk.offset[i] = bs_cursor_u64(&key);
    return chunk;
}

static int compare_offsets(const uint64_t *a, const uint64_t *b, unsigned rank)
{
    for (unsigned i = 0; i < rank; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static basalt_status check_order(
    struct tree_walk *tree, const struct bs_h5_chunk *chunk, uint64_t at, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = tree->walk->object->dataset;

    for (unsigned i = 0; i < tree->rank; i++)
        if (chunk->offset[i] % dataset->chunk_dims[i])
            return bs_fail(err, BASALT_CORRUPT, at,
                "the chunk index at offset %" PRIu64 " has a chunk that is not on the grid", at);
    if (tree->any && compare_offsets(tree->previous, chunk->offset, tree->rank) >= 0)
        return bs_fail(err, BASALT_CORRUPT, at,
            "the chunk index at offset %" PRIu64 " has its chunks out of order", at);
    tree->any = true;
    memcpy(tree->previous, chunk->offset, tree->rank * sizeof *chunk->offset);
    return BASALT_OK;
}

static basalt_status visit_leaf(
    struct tree_walk *tree, const struct bs_h5_btree_node *node, basalt_error *err)
{
    struct bs_h5_file *h5 = tree->walk->h5;
    basalt_status status = BASALT_OK;

    for (unsigned i = 0; !status && i < node->count; i++) {
        struct bs_h5_chunk chunk = read_key(tree, bs_h5_btree_key(h5, &tree->tree, node, i));
        chunk.address = bs_h5_btree_child(h5, &tree->tree, node, i);
        status = check_order(tree, &chunk, bs_h5_offset(h5, node->address), err);
        if (!status) status = bs_h5_chunk_give(tree->walk, &chunk, err);
    }
    return status;
}

/* The first place of the box that does not come before `from`, in the order of the index; false if all
 * of them do. */
static bool first_in_box(
    const struct tree_walk *tree, const uint64_t *from, uint64_t out[BS_H5_RANK_MAX])
{
    const struct bs_h5_box *box = tree->walk->box;

    memcpy(out, from, tree->rank * sizeof *out);
    for (unsigned i = 0; i < tree->rank; i++) {
        if (out[i] >= box->low[i] && out[i] <= box->high[i]) continue;
        if (out[i] > box->high[i]) {
            while (i > 0 && out[i - 1] >= box->high[i - 1]) i--;
            if (!i) return false;
            out[i - 1]++;
        }
        for (; i < tree->rank; i++) out[i] = box->low[i];
    }
    return true;
}

/* Child i holds chunks from key i up to key i + 1. The last key of a node bounds nothing that its
 * parent has not bounded already, and some writers leave it unset. */
static bool child_meets_box(
    const struct tree_walk *tree, const struct bs_h5_btree_node *node, unsigned index)
{
    struct bs_h5_file *h5 = tree->walk->h5;
    const struct bs_h5_chunk low = read_key(tree, bs_h5_btree_key(h5, &tree->tree, node, index));
    uint64_t first[BS_H5_RANK_MAX];

    if (!tree->walk->each) return true;
    if (!first_in_box(tree, low.offset, first)) return false;
    if (index + 1 == node->count) return true;
    const struct bs_h5_chunk high =
        read_key(tree, bs_h5_btree_key(h5, &tree->tree, node, index + 1));
    return compare_offsets(first, high.offset, tree->rank) < 0;
}

static basalt_status visit_node(
    struct tree_walk *tree, uint64_t address, int level, basalt_error *err)
{
    const struct bs_h5_chunk_walk *walk = tree->walk;
    struct bs_h5_btree_node node;
    basalt_status status = bs_h5_btree_load(walk->h5, &tree->tree, address, level, &node, err);

    if (status) return status;
    if (walk->block) {
        const struct bs_h5_extent extent = {address, bs_h5_btree_node_bytes(walk->h5, &tree->tree)};
        status = walk->block(walk->context, extent, "chunk index", err);
    }
    if (!status && !node.level) status = visit_leaf(tree, &node, err);
    for (unsigned i = 0; !status && node.level && i < node.count; i++)
        if (child_meets_box(tree, &node, i))
            status = visit_node(
                tree, bs_h5_btree_child(walk->h5, &tree->tree, &node, i), (int)node.level - 1, err);
    bs_h5_btree_unload(&node);
    return status;
}

/* ---- version-2 B-tree ------------------------------------------------------------------------- */

#define KIND_CHUNK 10          /* address, then the chunk's coordinates in chunks */
#define KIND_FILTERED_CHUNK 11 /* address, stored size, u32 filter mask, coordinates */

static basalt_status read_record(const struct tree_walk *tree, struct bs_cursor *record,
    struct bs_h5_chunk *chunk, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = tree->walk->object->dataset;
    const size_t coordinates = 8 * (size_t)tree->rank;
    size_t raw_bytes = 0;
    basalt_status status = BASALT_OK;

    memset(chunk, 0, sizeof *chunk);
    chunk->address = bs_h5_address(tree->walk->h5, record);
    if (dataset->pipeline.count) {
        const size_t left = bs_cursor_left(record);
        if (left < coordinates + 5 || left > coordinates + 12)
            record->failed = true;
        else
            chunk->stored_bytes = bs_cursor_uint(record, left - coordinates - 4);
        chunk->filter_mask = bs_cursor_u32(record);
    } else {
        status = bs_h5_chunk_raw_bytes(tree->walk->h5, tree->walk->object, &raw_bytes, err);
        chunk->stored_bytes = raw_bytes;
    }
    for (unsigned i = 0; i < tree->rank; i++) {
        const uint64_t at = bs_cursor_u64(record);
        if (at > UINT64_MAX / dataset->chunk_dims[i])
            record->failed = true;
        else
            chunk->offset[i] = at * dataset->chunk_dims[i];
    }
    return status ? status : bs_cursor_check(record, "a chunk's record", err);
}

static basalt_status visit_record(void *context, struct bs_cursor record, basalt_error *err)
{
    struct tree_walk *tree = context;
    struct bs_h5_chunk chunk;
    const uint64_t at = bs_cursor_offset(&record);

    basalt_status status = read_record(tree, &record, &chunk, err);
    if (!status) status = check_order(tree, &chunk, at, err);
    return status ? status : bs_h5_chunk_give(tree->walk, &chunk, err);
}

static int side_of(void *context, struct bs_cursor record)
{
    const struct tree_walk *tree = context;
    struct bs_h5_chunk chunk;

    if (read_record(tree, &record, &chunk, NULL)) return 0; /* the visit will say so */
    if (compare_offsets(chunk.offset, tree->walk->box->low, tree->rank) < 0) return -1;
    return compare_offsets(chunk.offset, tree->walk->box->high, tree->rank) > 0;
}

static basalt_status report_block(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    const struct tree_walk *tree = context;
    (void)purpose;
    return tree->walk->block(tree->walk->context, extent, "chunk index", err);
}

static basalt_status visit_btree2(struct tree_walk *tree, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = tree->walk->object->dataset;
    const struct bs_h5_btree2_visit visit = {
        .kind = dataset->pipeline.count ? KIND_FILTERED_CHUNK : KIND_CHUNK,
        .record = tree->walk->each ? visit_record : NULL,
        .side = tree->walk->each ? side_of : NULL,
        .block = tree->walk->block ? report_block : NULL,
        .context = tree};
    return bs_h5_btree2_each(tree->walk->h5, dataset->address, &visit, err);
}

/* ---- indexes without a structure -------------------------------------------------------------- */

static basalt_status visit_single(const struct bs_h5_chunk_walk *walk, basalt_error *err)
{
    const struct bs_h5_object *object = walk->object;
    struct bs_h5_chunk chunk = {.address = object->dataset->address};
    size_t raw_bytes = 0;
    basalt_status status = bs_h5_chunk_raw_bytes(walk->h5, object, &raw_bytes, err);

    if (status) return status;
    chunk.stored_bytes = object->detail.single_bytes ? object->detail.single_bytes : raw_bytes;
    chunk.filter_mask = object->detail.single_mask;
    return bs_h5_chunk_give(walk, &chunk, err);
}

/* All chunks lie behind each other in the order of the grid, of the largest shape. */
static basalt_status visit_implicit(const struct bs_h5_chunk_walk *walk, basalt_error *err)
{
    const uint64_t start = walk->object->dataset->address;
    struct bs_h5_grid grid;
    size_t raw_bytes = 0;
    uint64_t first = 0, last = 0;
    basalt_status status = bs_h5_chunk_grid(walk->object, &grid, err);

    if (!status) status = bs_h5_chunk_raw_bytes(walk->h5, walk->object, &raw_bytes, err);
    if (status) return status;
    if (grid.chunks > UINT64_MAX / raw_bytes) grid.chunks = UINT64_MAX / raw_bytes;
    status = bs_h5_check_range(walk->h5, start, grid.chunks * raw_bytes, "the chunks", err);
    if (status || !bs_h5_chunk_span(walk->object, &grid, walk->box, &first, &last)) return status;
    for (uint64_t i = first; !status && i <= last && i < grid.chunks; i++) {
        struct bs_h5_chunk chunk = {.address = start + i * raw_bytes, .stored_bytes = raw_bytes};
        if (!bs_h5_chunk_place(walk->object, &grid, i, &chunk)) break;
        status = bs_h5_chunk_give(walk, &chunk, err);
    }
    return status;
}

static basalt_status visit_all(const struct bs_h5_chunk_walk *walk, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = walk->object->dataset;
    struct tree_walk tree = {.walk = walk, .rank = dataset->space.rank};

    switch (dataset->chunk_index) {
    case 0:
        bs_h5_btree_init(walk->h5, &tree.tree, 1, tree.rank);
        return visit_node(&tree, dataset->address, -1, err);
    case 1: return walk->each ? visit_single(walk, err) : BASALT_OK;
    case 2: return walk->each ? visit_implicit(walk, err) : BASALT_OK;
    case 3: return bs_h5_fixed_array_walk(walk, err);
    case 4: return bs_h5_extensible_array_walk(walk, err);
    default: return visit_btree2(&tree, err);
    }
}

/* ---- entry points ----------------------------------------------------------------------------- */

basalt_status bs_h5_chunks_in_box(struct bs_h5_file *h5, const struct bs_h5_object *object,
    const struct bs_h5_box *box, bs_h5_chunk_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    const struct bs_h5_chunk_walk walk = {
        .h5 = h5, .object = object, .box = box, .each = each, .context = context};

    if (dataset->layout != BS_H5_CHUNKED || dataset->address == BS_H5_UNDEFINED) return BASALT_OK;
    return visit_all(&walk, err);
}

static void box_of_all(struct bs_h5_box *box)
{
    memset(box->low, 0, sizeof box->low);
    memset(box->high, 0xff, sizeof box->high);
}

basalt_status bs_h5_chunks_each(struct bs_h5_file *h5, const struct bs_h5_object *dataset,
    bs_h5_chunk_fn each, void *context, basalt_error *err)
{
    struct bs_h5_box box;

    assert(dataset->dataset);
    box_of_all(&box);
    return bs_h5_chunks_in_box(h5, dataset, &box, each, context, err);
}

basalt_status bs_h5_chunk_index_extents(struct bs_h5_file *h5, const struct bs_h5_object *object,
    bs_h5_extent_fn each, void *context, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = object->dataset;
    struct bs_h5_box box;
    const struct bs_h5_chunk_walk walk = {
        .h5 = h5, .object = object, .box = &box, .block = each, .context = context};

    box_of_all(&box);
    if (dataset->layout != BS_H5_CHUNKED || dataset->address == BS_H5_UNDEFINED) return BASALT_OK;
    return visit_all(&walk, err);
}
