/* h5_btree.c - nodes of version-1 B-trees (FF III.A.1), of groups and of chunks.
 *
 * A walk reads each node of an honest tree once, and a node fills at least its head: so the file's
 * size bounds the visits, whatever the children's addresses say. Levels fall by one a step. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define NODE_HEAD_BYTES 8 /* before the sibling addresses */

void bs_h5_btree_init(
    const struct bs_h5_file *h5, struct bs_h5_btree *tree, uint8_t kind, unsigned rank)
{
    const struct bs_h5_superblock *superblock = &h5->superblock;

    tree->kind = kind;
    /* A chunk's key: size, mask, then 8 bytes a dimension, that of the element included. */
    tree->key_bytes = kind ? 8 + 8 * ((size_t)rank + 1) : superblock->length_bytes;
    tree->entries_max = 2 * (uint64_t)(kind ? superblock->chunk_k : superblock->group_internal_k);
    tree->visits_left = h5->bytes / (NODE_HEAD_BYTES + 2u * superblock->offset_bytes) + 1;
}

uint64_t bs_h5_btree_node_bytes(const struct bs_h5_file *h5, const struct bs_h5_btree *tree)
{
    const uint64_t address_bytes = h5->superblock.offset_bytes;
    return NODE_HEAD_BYTES + 2 * address_bytes +
        tree->entries_max * (tree->key_bytes + address_bytes) + tree->key_bytes;
}

static size_t entries_at(const struct bs_h5_file *h5)
{
    return NODE_HEAD_BYTES + 2 * (size_t)h5->superblock.offset_bytes;
}

static basalt_status bad_node(
    const struct bs_h5_file *h5, uint64_t address, const char *what, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(h5, address),
        "the B-tree node at %" PRIu64 " %s", address, what);
}

static basalt_status check_head(const struct bs_h5_file *h5, const struct bs_h5_btree *tree,
    struct bs_cursor cursor, int level, struct bs_h5_btree_node *node, basalt_error *err)
{
    basalt_status status = bs_h5_expect(&cursor, "TREE", "B-tree node", err);
    if (status) return status;
    const uint8_t kind = bs_cursor_u8(&cursor);
    node->level = bs_cursor_u8(&cursor);
    node->count = bs_cursor_u16(&cursor);
    if (kind != tree->kind) return bad_node(h5, node->address, "is of another kind of tree", err);
    if (level >= 0 && node->level != (unsigned)level)
        return bad_node(h5, node->address, "is not one level below its parent", err);
    if (node->level >= BS_H5_DEPTH_MAX) return bad_node(h5, node->address, "is too deep", err);
    if (node->count > tree->entries_max)
        return bad_node(h5, node->address, "has more entries than the file's nodes hold", err);
    if (!node->count && level >= 0) return bad_node(h5, node->address, "is empty", err);
    return BASALT_OK;
}

basalt_status bs_h5_btree_load(struct bs_h5_file *h5, struct bs_h5_btree *tree, uint64_t address,
    int level, struct bs_h5_btree_node *out_node, basalt_error *err)
{
    uint8_t head[NODE_HEAD_BYTES];
    const size_t before = entries_at(h5);

    memset(out_node, 0, sizeof *out_node);
    out_node->address = address;
    if (!tree->visits_left--) {
        tree->visits_left = 0;
        return bad_node(h5, address, "is reached again and again", err);
    }
    basalt_status status = bs_h5_read_at(h5, address, head, sizeof head, "a B-tree node", err);
    if (status) return status;
    status =
        check_head(h5, tree, bs_h5_cursor(h5, head, sizeof head, address), level, out_node, err);
    if (status) return status;
    const uint64_t bytes = before + tree->key_bytes +
        (uint64_t)out_node->count * (tree->key_bytes + h5->superblock.offset_bytes);
    return bs_h5_load(h5, address, bytes, "a B-tree node", &out_node->bytes, err);
}

void bs_h5_btree_unload(struct bs_h5_btree_node *node)
{
    bs_free(node->bytes);
    node->bytes = NULL;
}

static size_t entry_at(const struct bs_h5_file *h5, const struct bs_h5_btree *tree, unsigned index)
{
    return entries_at(h5) + (size_t)index * (tree->key_bytes + h5->superblock.offset_bytes);
}

struct bs_cursor bs_h5_btree_key(const struct bs_h5_file *h5, const struct bs_h5_btree *tree,
    const struct bs_h5_btree_node *node, unsigned index)
{
    const size_t at = entry_at(h5, tree, index);
    assert(index <= node->count);
    return bs_h5_cursor(h5, node->bytes + at, tree->key_bytes, node->address + at);
}

uint64_t bs_h5_btree_child(const struct bs_h5_file *h5, const struct bs_h5_btree *tree,
    const struct bs_h5_btree_node *node, unsigned index)
{
    const size_t at = entry_at(h5, tree, index) + tree->key_bytes;
    struct bs_cursor cursor =
        bs_h5_cursor(h5, node->bytes + at, h5->superblock.offset_bytes, node->address + at);
    assert(index < node->count);
    return bs_h5_address(h5, &cursor);
}
