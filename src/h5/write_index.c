/* write_index.c - the chunk index of a column or array: a version-1 B-tree (FF III.A.1), path-copied.
 *
 *   0  "TREE", type 1, level, entries used u16, left and right sibling (always undefined)
 *  24  key, child, key, child, … key   a key is {stored bytes u32, filter mask u32, and for each
 *      dimension the first element u64, then 0 u64}
 *
 * An entry is named by the row that a column's chunk begins at, or by the number of an array's chunk
 * in C order: in both a larger one means a later key. Chunks only come at the end, so only the nodes at
 * the right edge are in memory. The others never change: a node that is full is written at once and
 * stays where it is, and a commit writes the ones at the edge that changed, to new places, as many as
 * the tree has levels. Siblings are undefined because a copied node's neighbour would name the old one.
 *
 *   (1) Level 0 of `levels` is the leaf at the right edge, level `depth` - 1 the root.
 *   (2) A node above the leaves does not list its child at the right edge: that entry is made when
 *       the node is encoded, from the child as it then is.
 *   (3) A node with all its entries (64 listed) is sealed before anything is added below it. If that
 *       fails half-way, the levels below are empty and the next push takes it up again. */
#include "h5/writer_internal.h"

#define HEAD_BYTES 24u
#define KEY_BYTES_OF(rank) (8u + 8u * ((rank) + 1u))
#define NODE_BYTES_OF(rank)                                                                        \
    (HEAD_BYTES + (BS_INDEX_CHILDREN + 1) * (size_t)KEY_BYTES_OF(rank) +                           \
        (size_t)BS_INDEX_CHILDREN * 8)
#define KEY_BYTES KEY_BYTES_OF(1u) /* of a column: only those are read back */
#define NODE_BYTES NODE_BYTES_OF(1u)
#define NODE_BYTES_MAX NODE_BYTES_OF((unsigned)BS_H5_RANK_MAX)

static unsigned rank_of(const struct bs_h5_node *node)
{
    return node->kind == BS_NODE_ARRAY ? node->as.array->rank : 1;
}

static struct bs_index *index_of(const struct bs_h5_node *node)
{
    return node->kind == BS_NODE_ARRAY ? &node->as.array->index : &node->as.column->index;
}

size_t bs_index_node_bytes(const struct bs_h5_node *node)
{
    return NODE_BYTES_OF(rank_of(node));
}

void bs_index_free(struct bs_index *index)
{
    for (unsigned i = 0; i < BS_INDEX_DEPTH_MAX; i++) bs_free(index->levels[i].entries);
    *index = (struct bs_index){.loaded_root = BS_H5_UNDEFINED};
}

struct bs_index_entry *bs_index_last(struct bs_index *index)
{
    struct bs_index_node *leaf = &index->levels[0];
    return index->depth > 0 && leaf->count > 0 ? &leaf->entries[leaf->count - 1] : NULL;
}

void bs_index_replace_last(struct bs_index *index, const struct bs_index_entry *entry)
{
    struct bs_index_entry *last = bs_index_last(index);
    assert(last && last->first == entry->first);
    *last = *entry;
    index->levels[0].dirty = true;
}

static basalt_status entries_reserve(struct bs_index_node *node, basalt_error *err)
{
    if (node->count < node->capacity) return BASALT_OK;
    const unsigned capacity = BS_MIN(BS_MAX(node->capacity * 2, 4u), (unsigned)BS_INDEX_CHILDREN);
    void *grown = bs_realloc(node->entries, capacity * sizeof *node->entries);
    if (!grown) return bs_fail_memory(err, capacity * sizeof *node->entries);
    node->entries = grown;
    node->capacity = capacity;
    return BASALT_OK;
}

/* ---- bytes --------------------------------------------------------------------------------- */

/* `last`: of the element's bytes, the dimension behind all others. */
static void put_key(
    const struct bs_h5_node *node, uint8_t *out, const struct bs_index_entry *entry, uint64_t last)
{
    uint64_t rest = entry->first;
    bs_store_u32(out, entry->bytes);
    bs_store_u32(out + 4, entry->mask);
    out += 8;
    if (node->kind == BS_NODE_ARRAY) {
        const struct bs_array *array = node->as.array;
        for (unsigned i = array->rank; i-- > 1; rest /= array->grid[i]) {
            bs_store_u64(out + 8 * i, rest % array->grid[i] * array->chunk_dims[i]);
        }
        rest *= array->chunk_dims[0]; /* the one behind the last chunk lies beyond dimension 0 */
    }
    bs_store_u64(out, rest);
    bs_store_u64(out + (size_t)8 * rank_of(node), last);
}

/* The first chunk under the levels below `level`, as the entry that names it; false: there is none. */
static bool edge_entry(const struct bs_index *index, unsigned level, struct bs_index_entry *out)
{
    if (level == 0) return false;
    const struct bs_index_node *child = &index->levels[level - 1];
    if (child->count > 0) {
        *out = child->entries[0];
    } else if (!edge_entry(index, level - 1, out)) {
        return false;
    }
    out->address = child->next_address;
    return true;
}

static void node_encode(
    const struct bs_h5_node *owner, const struct bs_index *index, unsigned level, uint8_t *out)
{
    const size_t key_bytes = KEY_BYTES_OF(rank_of(owner));
    const struct bs_index_node *node = &index->levels[level];
    struct bs_index_entry edge, end = {0};
    const bool has_edge = edge_entry(index, level, &edge);
    const unsigned count = node->count + has_edge;
    assert(count > 0 && count <= BS_INDEX_CHILDREN);
    memset(out, 0, bs_index_node_bytes(owner));
    memcpy(out, "TREE", 4);
    out[4] = 1;
    out[5] = (uint8_t)level;
    bs_store_u16(out + 6, (uint16_t)count);
    bs_store_u64(out + 8, BS_H5_UNDEFINED);
    bs_store_u64(out + 16, BS_H5_UNDEFINED);
    uint8_t *at = out + HEAD_BYTES;
    for (unsigned i = 0; i < count; i++, at += key_bytes + 8) {
        const struct bs_index_entry *entry = i < node->count ? &node->entries[i] : &edge;
        put_key(owner, at, entry, 0);
        bs_store_u64(at + key_bytes, entry->address);
    }
    /* The key behind the last chunk: of a column one chunk on in every dimension, as libhdf5 writes it. */
    const bool array = owner->kind == BS_NODE_ARRAY;
    end.first = index->last + (array ? 1 : owner->as.column->chunk_rows);
    put_key(owner, at, &end, array ? 0 : owner->as.column->element_bytes);
}

void bs_index_encode(
    const struct bs_h5_node *node, const struct bs_index_node *at, struct bs_bytes *out)
{
    uint8_t *bytes = bs_bytes_grow(out, bs_index_node_bytes(node));
    const struct bs_index *index = index_of(node);
    if (bytes) node_encode(node, index, (unsigned)(at - index->levels), bytes);
}

/* ---- growing ------------------------------------------------------------------------------- */

/* Writes a node that has all its entries to its final place and lists it one level up. */
static basalt_status seal(
    struct bs_h5_node *owner, struct bs_index *index, unsigned level, basalt_error *err)
{
    struct bs_h5_writer *writer = owner->writer;
    struct bs_index_node *node = &index->levels[level];
    uint8_t bytes[NODE_BYTES_MAX];
    const size_t node_bytes = bs_index_node_bytes(owner);
    if (level + 1 >= BS_INDEX_DEPTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "\"%.100s\" has more chunks than its index can hold", owner->name);
    }
    if (level + 1 == index->depth) {
        index->levels[level + 1].address = index->levels[level + 1].next_address = BS_H5_UNDEFINED;
    }
    struct bs_index_node *above = &index->levels[level + 1];
    basalt_status status = entries_reserve(above, err);
    if (status) return status;
    uint64_t address = node->address;
    if (node->dirty) {
        address = bs_space_take(&writer->space, node_bytes);
        node_encode(owner, index, level, bytes);
        status = bs_file_write_at(writer->file, bytes, node_bytes, address, err);
        if (status) {
            bs_space_untake(&writer->space, address, node_bytes);
            return status;
        }
        bs_space_give_up(&writer->space, node->address, node_bytes);
    }
    above->entries[above->count] = node->entries[0];
    above->entries[above->count++].address = address;
    above->dirty = true;
    if (level + 1 == index->depth) index->depth++;
    node->count = 0;
    node->address = node->next_address = BS_H5_UNDEFINED;
    node->dirty = false;
    return BASALT_OK;
}

basalt_status bs_index_push(struct bs_h5_node *node, struct bs_index *index,
    const struct bs_index_entry *entry, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (index->depth == 0) {
        index->depth = 1;
        index->levels[0].address = index->levels[0].next_address = BS_H5_UNDEFINED;
    }
    for (unsigned level = index->depth; level-- > 0;) {
        if (index->levels[level].count < BS_INDEX_CHILDREN) continue;
        status = seal(node, index, level, err);
        if (status) return status;
        level = index->depth; /* the one above may be full now */
    }
    struct bs_index_node *leaf = &index->levels[0];
    status = entries_reserve(leaf, err);
    if (status) return status;
    leaf->entries[leaf->count++] = *entry;
    leaf->dirty = true;
    index->last = entry->first;
    return BASALT_OK;
}

/* ---- commits ------------------------------------------------------------------------------- */

static bool subtree_empty(const struct bs_index *index, unsigned level)
{
    for (unsigned i = 0; i <= level; i++) {
        if (index->levels[i].count > 0) return false;
    }
    return true;
}

basalt_status bs_index_plan(struct bs_h5_node *node, struct bs_plan *plan, basalt_error *err)
{
    struct bs_index *index = index_of(node);
    const size_t node_bytes = bs_index_node_bytes(node);
    bool changed = false;
    for (unsigned level = 0; level < index->depth; level++) {
        struct bs_index_node *at = &index->levels[level];
        at->next_address = at->address;
        if (subtree_empty(index, level)) continue;
        changed |= at->dirty;
        at->dirty = changed;
        if (!changed) continue;
        basalt_status status =
            bs_plan_add(plan, BS_BLOCK_INDEX, at, node, BS_H5_UNDEFINED, node_bytes, err);
        if (!status) status = bs_plan_give_up(plan, at->address, node_bytes, err);
        if (status) return status;
    }
    return BASALT_OK;
}

uint64_t bs_index_root_next(const struct bs_index *index)
{
    if (index->loaded_root != BS_H5_UNDEFINED) return index->loaded_root;
    return index->depth > 0 ? index->levels[index->depth - 1].next_address : BS_H5_UNDEFINED;
}

void bs_index_settle(struct bs_index *index)
{
    for (unsigned level = 0; level < index->depth; level++) {
        index->levels[level].address = index->levels[level].next_address;
        index->levels[level].dirty = false;
    }
}

/* ---- from the file ------------------------------------------------------------------------- */

struct raw_node {
    unsigned level, count;
    struct bs_index_entry entries[BS_INDEX_CHILDREN];
};

static basalt_status node_read(
    struct bs_h5_writer *writer, uint64_t address, struct raw_node *out, basalt_error *err)
{
    uint8_t bytes[NODE_BYTES];
    if (address > INT64_MAX) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "a chunk index names a node outside of the file");
    }
    basalt_status status = bs_file_read_all_at(writer->file, bytes, NODE_BYTES, address, err);
    if (status) return status;
    out->level = bytes[5];
    out->count = bs_load_u16(bytes + 6);
    if (memcmp(bytes, "TREE\1", 5) != 0 || out->count > BS_INDEX_CHILDREN ||
        out->level >= BS_INDEX_DEPTH_MAX) {
        return bs_fail(
            err, BASALT_CORRUPT, address, "there is no node of a chunk index at %" PRIu64, address);
    }
    const uint8_t *at = bytes + HEAD_BYTES;
    for (unsigned i = 0; i < out->count; i++, at += KEY_BYTES + 8) {
        out->entries[i] = (struct bs_index_entry){
            bs_load_u64(at + 8), bs_load_u64(at + KEY_BYTES), bs_load_u32(at), bs_load_u32(at + 4)};
        if (i > 0 && out->entries[i].first <= out->entries[i - 1].first) {
            return bs_fail(err, BASALT_CORRUPT, address,
                "the keys of the chunk index node at %" PRIu64 " do not rise", address);
        }
    }
    return BASALT_OK;
}

/* The node as one at the right edge (invariant 2). */
static basalt_status edge_load(struct bs_index *index, unsigned level, uint64_t address,
    const struct raw_node *raw, basalt_error *err)
{
    struct bs_index_node *at = &index->levels[level];
    const unsigned listed = level > 0 ? raw->count - 1 : raw->count;
    at->entries = bs_alloc(BS_MAX(listed, 1u) * sizeof *at->entries);
    if (!at->entries) return bs_fail_memory(err, listed * sizeof *at->entries);
    at->capacity = BS_MAX(listed, 1u);
    memcpy(at->entries, raw->entries, listed * sizeof *at->entries);
    at->count = listed;
    at->address = at->next_address = address;
    return BASALT_OK;
}

static basalt_status entries_check(
    const struct bs_h5_node *node, const struct raw_node *raw, uint64_t address, basalt_error *err)
{
    const uint64_t chunk_rows = node->as.column->chunk_rows;
    for (unsigned i = 0; i < raw->count; i++) {
        const uint64_t row = raw->entries[i].first;
        if (row % chunk_rows || row >= node->as.column->rows) {
            return bs_fail(err, BASALT_CORRUPT, address,
                "the chunk index node at %" PRIu64 " has a chunk at row %" PRIu64
                ", outside of the column",
                address, row);
        }
    }
    return BASALT_OK;
}

basalt_status bs_index_load(struct bs_h5_node *node, basalt_error *err)
{
    struct bs_index *index = &node->as.column->index;
    struct bs_index loaded = {.loaded_root = BS_H5_UNDEFINED};
    struct raw_node raw;
    uint64_t address = index->loaded_root;
    unsigned expected = BS_INDEX_DEPTH_MAX;
    basalt_status status = BASALT_OK;
    if (address == BS_H5_UNDEFINED) return BASALT_OK;
    do {
        BS_TRY(node_read(node->writer, address, &raw, err));
        if (expected < BS_INDEX_DEPTH_MAX && raw.level != expected) {
            BS_TRY(bs_fail(err, BASALT_CORRUPT, address,
                "the chunk index node at %" PRIu64 " is of level %u instead of %u", address,
                raw.level, expected));
        }
        if (raw.count == 0) { /* libhdf5 leaves an empty root when it removes the last chunk */
            if (expected == BS_INDEX_DEPTH_MAX) break;
            BS_TRY(bs_fail(err, BASALT_CORRUPT, address,
                "the chunk index node at %" PRIu64 " is empty", address));
        }
        if (expected == BS_INDEX_DEPTH_MAX) loaded.depth = raw.level + 1;
        BS_TRY(entries_check(node, &raw, address, err));
        BS_TRY(edge_load(&loaded, raw.level, address, &raw, err));
        address = raw.entries[raw.count - 1].address;
        expected = raw.level - 1;
    } while (raw.level > 0);
    if (raw.count > 0) {
        loaded.last = raw.entries[raw.count - 1].first;
    } else {
        bs_space_give_up(&node->writer->space, address, NODE_BYTES);
    }
    *index = loaded;
    loaded = (struct bs_index){0};
out:
    bs_index_free(&loaded);
    return status;
}

/* ---- walking ------------------------------------------------------------------------------- */

struct index_walk {
    struct bs_h5_node *node;
    bs_index_chunk_fn chunk;
    bs_index_node_fn each_node;
    void *context;
    basalt_error *err;
};

/* A node that is in the file, and what is below. Levels fall with every step, so it ends. */
static basalt_status walk_stored(const struct index_walk *walk, uint64_t address, unsigned level)
{
    struct raw_node *raw = bs_alloc(sizeof *raw); /* 1.5 KB: too much for a frame per level */
    basalt_status status = BASALT_OK;
    if (!raw) return bs_fail_memory(walk->err, sizeof *raw);
    BS_TRY(node_read(walk->node->writer, address, raw, walk->err));
    if (raw->level != level) {
        BS_TRY(bs_fail(walk->err, BASALT_CORRUPT, address,
            "the chunk index node at %" PRIu64 " is of level %u instead of %u", address, raw->level,
            level));
    }
    for (unsigned i = 0; i < raw->count; i++) {
        if (level > 0) {
            BS_TRY(walk_stored(walk, raw->entries[i].address, level - 1));
        } else if (walk->chunk) {
            BS_TRY(walk->chunk(walk->context, &raw->entries[i], walk->err));
        }
    }
    if (walk->each_node) BS_TRY(walk->each_node(walk->context, address, walk->err));
out:
    bs_free(raw);
    return status;
}

basalt_status bs_index_each(struct bs_h5_node *node, struct bs_index *index,
    bs_index_chunk_fn chunk, bs_index_node_fn each_node, void *context, basalt_error *err)
{
    const struct index_walk walk = {node, chunk, each_node, context, err};
    basalt_status status = bs_index_load(node, err);
    for (unsigned level = index->depth; !status && level-- > 0;) {
        const struct bs_index_node *at = &index->levels[level];
        for (unsigned i = 0; !status && i < at->count; i++) {
            if (level > 0) {
                status = walk_stored(&walk, at->entries[i].address, level - 1);
            } else if (chunk) {
                status = chunk(context, &at->entries[i], err);
            }
        }
        if (!status && each_node && at->address != BS_H5_UNDEFINED) {
            status = each_node(context, at->address, err);
        }
    }
    return status;
}
