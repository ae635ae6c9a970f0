/* h5_btree2.c - version-2 B-trees (FF III.A.2): of dense links and attributes, of chunks, of the huge
 * objects of a fractal heap.
 *
 * HEADER    "BTHD", version, kind, u32 node size, u16 record size, u16 depth, split, merge,
 *           root address, u16 records in the root, records in all, checksum
 * INTERNAL  "BTIN", version, kind, records, one more child pointer than records, checksum
 * LEAF      "BTLF", version, kind, records, checksum
 *
 * The widths inside a child pointer follow from how many records a subtree of its depth can hold.
 * Each node of an honest tree is read once and fills node-size bytes, which bounds the visits. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define NODE_OVERHEAD_BYTES 10 /* signature, version, kind, checksum */
#define DEPTH_MAX 16           /* 2 records a node reach 2^16 nodes; honest trees have hundreds */

struct tree {
    struct bs_h5_file *h5;
    const struct bs_h5_btree2_visit *visit;
    uint64_t node_bytes, visits_left;
    size_t record_bytes;
    unsigned depth;
    uint64_t root, root_records;
    uint64_t records_max[DEPTH_MAX + 1]; /* of a node at this height; 0: leaf */
    size_t count_bytes;                  /* width of the number of records in a child */
    size_t total_bytes[DEPTH_MAX + 1];   /* width of the number in a subtree of this height */
};

size_t bs_h5_width_of(uint64_t limit)
{
    size_t bytes = 1;
    while (limit >>= 8) bytes++;
    return bytes;
}

static basalt_status bad_tree(
    const struct tree *tree, uint64_t at, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(tree->h5, at),
        "the version-2 B-tree node at %" PRIu64 " %s", at, what);
}

static size_t pointer_bytes(const struct tree *tree, unsigned height)
{
    return tree->h5->superblock.offset_bytes + tree->count_bytes + tree->total_bytes[height - 1];
}

static basalt_status set_widths(struct tree *tree, uint64_t address, basalt_error *err)
{
    if (!tree->record_bytes || tree->node_bytes < NODE_OVERHEAD_BYTES + tree->record_bytes)
        return bad_tree(tree, address, "has nodes that hold no record", err);
    tree->records_max[0] = (tree->node_bytes - NODE_OVERHEAD_BYTES) / tree->record_bytes;
    tree->count_bytes = bs_h5_width_of(tree->records_max[0]);
    uint64_t subtree = tree->records_max[0];
    for (unsigned height = 1; height <= tree->depth; height++) {
        const uint64_t pointer = pointer_bytes(tree, height);
        if (tree->node_bytes < NODE_OVERHEAD_BYTES + 2 * pointer + tree->record_bytes)
            return bad_tree(tree, address, "has nodes that hold no two children", err);
        tree->records_max[height] =
            (tree->node_bytes - NODE_OVERHEAD_BYTES - pointer) / (tree->record_bytes + pointer);
        if (subtree > UINT64_MAX / (tree->records_max[height] + 2))
            return bad_tree(tree, address, "claims more records than 64 bits count", err);
        subtree = (tree->records_max[height] + 1) * subtree + tree->records_max[height];
        tree->total_bytes[height] = bs_h5_width_of(subtree);
    }
    return BASALT_OK;
}

static size_t header_bytes(const struct bs_h5_file *h5)
{
    const size_t address_bytes = h5->superblock.offset_bytes;
    return 4 + 2 + 4 + 2 + 2 + 2 + address_bytes + 2 + h5->superblock.length_bytes + 4;
}

static basalt_status read_header(struct tree *tree, uint64_t address, basalt_error *err)
{
    uint8_t bytes[64];
    const size_t count = header_bytes(tree->h5);
    const char *what = "a version-2 B-tree";

    basalt_status status = bs_h5_read_at(tree->h5, address, bytes, count, what, err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(tree->h5, bytes, count, address);
    status = bs_h5_expect(&cursor, "BTHD", "version-2 B-tree", err);
    if (!status) status = bs_h5_check_sum(tree->h5, bytes, count, address, what, err);
    if (status) return status;
    const uint8_t version = bs_cursor_u8(&cursor);
    const uint8_t kind = bs_cursor_u8(&cursor);
    tree->node_bytes = bs_cursor_u32(&cursor);
    tree->record_bytes = bs_cursor_u16(&cursor);
    tree->depth = bs_cursor_u16(&cursor);
    bs_cursor_skip(&cursor, 2); /* when nodes split and merge */
    tree->root = bs_h5_address(tree->h5, &cursor);
    tree->root_records = bs_cursor_u16(&cursor);
    if (version || kind != tree->visit->kind)
        return bad_tree(tree, address, "is of another kind than expected", err);
    if (tree->depth > DEPTH_MAX) return bad_tree(tree, address, "is too deep", err);
    status = set_widths(tree, address, err);
    if (!status) tree->visits_left = tree->h5->bytes / tree->node_bytes + 1;
    return status;
}

/* The node's bytes, its records in *out_records; what follows them is left in *out_rest. */
static basalt_status load_node(struct tree *tree, uint64_t address, unsigned height,
    uint64_t records, uint8_t **out_bytes, struct bs_cursor *out_rest, basalt_error *err)
{
    const char *signature = height ? "BTIN" : "BTLF";
    uint64_t used = NODE_OVERHEAD_BYTES + records * tree->record_bytes;

    *out_bytes = NULL;
    if (!tree->visits_left--) {
        tree->visits_left = 0;
        return bad_tree(tree, address, "is reached again and again", err);
    }
    if (records > tree->records_max[height])
        return bad_tree(tree, address, "has more records than fit", err);
    if (height) used += (records + 1) * pointer_bytes(tree, height);
    basalt_status status =
        bs_h5_check_range(tree->h5, address, tree->node_bytes, "a version-2 B-tree node", err);
    if (!status)
        status = bs_h5_load(tree->h5, address, used, "a version-2 B-tree node", out_bytes, err);
    if (status) return status;
    *out_rest = bs_h5_cursor(tree->h5, *out_bytes, (size_t)used - 4, address);
    status = bs_h5_expect(out_rest, signature, "version-2 B-tree node", err);
    if (!status)
        status = bs_h5_check_sum(
            tree->h5, *out_bytes, (size_t)used, address, "a version-2 B-tree node", err);
    bs_cursor_skip(out_rest, 2); /* version, kind */
    return status;
}

static basalt_status give_record(
    const struct tree *tree, struct bs_cursor *records, basalt_error *err)
{
    const uint64_t offset = bs_cursor_offset(records);
    const uint8_t *bytes = bs_cursor_bytes(records, tree->record_bytes);

    if (!bytes) return bs_cursor_check(records, "a version-2 B-tree node", err);
    if (!tree->visit->record) return BASALT_OK;
    return tree->visit->record(
        tree->visit->context, bs_cursor_make(bytes, tree->record_bytes, offset), err);
}

static int side_of(const struct tree *tree, const struct bs_cursor *records, uint64_t index)
{
    if (!tree->visit->side) return 0;
    return tree->visit->side(tree->visit->context,
        bs_cursor_make(
            records->at + index * tree->record_bytes, tree->record_bytes, BASALT_NO_OFFSET));
}

/* Child i lies between the records i - 1 and i. */
static bool child_is_wanted(
    const struct tree *tree, const struct bs_cursor *first, uint64_t index, uint64_t records)
{
    if (index && side_of(tree, first, index - 1) > 0) return false;
    return index == records || side_of(tree, first, index) >= 0;
}

static basalt_status visit_node(
    struct tree *tree, uint64_t address, unsigned height, uint64_t records, basalt_error *err)
{
    uint8_t *bytes = NULL;
    struct bs_cursor at = {0};
    basalt_status status = load_node(tree, address, height, records, &bytes, &at, err);

    if (!status && tree->visit->block)
        status = tree->visit->block(tree->visit->context,
            (struct bs_h5_extent){address, tree->node_bytes}, "version-2 B-tree node", err);
    const struct bs_cursor first = at;
    struct bs_cursor children = at;
    if (height) bs_cursor_skip(&children, (size_t)records * tree->record_bytes);
    for (uint64_t i = 0; !status && i <= records; i++) {
        if (height) {
            const uint64_t child = bs_h5_address(tree->h5, &children);
            const uint64_t count = bs_cursor_uint(&children, tree->count_bytes);
            bs_cursor_skip(&children, tree->total_bytes[height - 1]);
            if (child_is_wanted(tree, &first, i, records))
                status = visit_node(tree, child, height - 1, count, err);
        }
        if (!status && i < records) status = give_record(tree, &at, err);
    }
    bs_free(bytes);
    return status;
}

basalt_status bs_h5_btree2_each(struct bs_h5_file *h5, uint64_t address,
    const struct bs_h5_btree2_visit *visit, basalt_error *err)
{
    struct tree tree = {.h5 = h5, .visit = visit};
    basalt_status status = read_header(&tree, address, err);

    if (!status && visit->block)
        status = visit->block(visit->context, (struct bs_h5_extent){address, header_bytes(h5)},
            "version-2 B-tree", err);
    if (status || tree.root == BS_H5_UNDEFINED) return status;
    return visit_node(&tree, tree.root, tree.depth, tree.root_records, err);
}
