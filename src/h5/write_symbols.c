/* write_symbols.c - groups of more than 1,024 links: symbol tables (FF III.A.1, III.B, III.C, III.D).
 *
 *   leaf   "SNOD", version 1, 0, count u16; 8 entries of 40 bytes: name offset u64, header u64,
 *          cache type u32 (0; 2 for a soft link), 0 u32, 16 bytes (soft: offset of the target u32)
 *   node   "TREE", type 0, level, count u16, siblings undefined; keys (name offset u64) and children
 *          in turn; child i has the names above key i, up to key i + 1
 *   heap   "HEAP", version 0, size of the segment u64, free list u64 (1: none), address of it u64
 *   names  NUL-terminated, padded to 8; offset 0 is the empty name
 *
 * Leaves and nodes are path-copied. The heap and its segment are shared by successive versions: a new
 * name goes into slack that no version refers to, so nothing that is committed changes; when there is
 * no slack left, names and heap are written anew, with as much slack again.
 *
 * Between commits nothing is kept sorted here. A commit walks the children once: neighbours that have
 * the same leaf stay together, new ones join the leaf of the neighbour before, one that is too full is
 * split; the same then for leaves under nodes, and nodes under nodes. */
#include "h5/writer_internal.h"

#define LEAF_ENTRIES 8u   /* 2 x the default K of 4 */
#define NODE_CHILDREN 32u /* 2 x the default K of 16 */
#define LEAF_BYTES (8u + LEAF_ENTRIES * 40u)
#define NODE_BYTES (24u + (NODE_CHILDREN + 1) * 8u + NODE_CHILDREN * 8u)
#define HEAP_BYTES 32u
#define NO_FREE_LIST 1u
#define NAMES_SLACK_MIN ((uint64_t)4096)
#define LINK_SOFT 1u
#define MARK 0x80u /* in `level`, for the length of a function */

void bs_symbols_free(struct bs_symbols *symbols)
{
    if (!symbols) return;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(symbols->levels); i++) {
        for (size_t k = 0; k < symbols->levels[i].count; k++) bs_free(symbols->levels[i].nodes[k]);
        bs_free(symbols->levels[i].nodes);
    }
    bs_bytes_free(&symbols->new_names);
    bs_extents_free(&symbols->old);
    bs_free(symbols);
}

basalt_status bs_symbols_create(struct bs_h5_node *group, basalt_error *err)
{
    for (size_t i = 0; i < group->as.group.count; i++) {
        const struct bs_h5_node *child = group->as.group.children[i];
        if (child->kind != BS_NODE_LINK || child->as.link.type == LINK_SOFT) continue;
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "a group with external links (\"%.100s\") cannot have more than %d links", child->name,
            BS_LINK_MESSAGES_MAX);
    }
    struct bs_symbols *symbols = bs_alloc_zeroed(1, sizeof *symbols);
    if (!symbols) return bs_fail_memory(err, sizeof *symbols);
    symbols->heap.address = symbols->next_heap.address = BS_H5_UNDEFINED;
    symbols->names.address = symbols->next_names.address = BS_H5_UNDEFINED;
    symbols->rebuild = true;
    group->as.group.symbols = symbols;
    return BASALT_OK;
}

void bs_symbols_renew(struct bs_symbols *symbols)
{
    symbols->rebuild = true;
}

void bs_symbols_forget(struct bs_h5_node *child)
{
    struct bs_symbol_node *leaf = child->leaf;
    if (!leaf) return;
    leaf->count--;
    leaf->dirty = true;
    child->leaf = NULL;
}

/* ---- sorting into nodes -------------------------------------------------------------------- */

static bool level_add(struct bs_symbol_level *level, struct bs_symbol_node *node)
{
    if ((level->count & (level->count - 1)) == 0) { /* a power of two: full */
        const size_t capacity = level->count ? 2 * level->count : 1;
        void *grown = bs_realloc(level->nodes, capacity * sizeof(void *));
        if (!grown) return false;
        level->nodes = grown;
    }
    level->nodes[level->count++] = node;
    return true;
}

static struct bs_symbol_node *node_create(unsigned height)
{
    struct bs_symbol_node *node = bs_alloc_zeroed(1, sizeof *node);
    if (!node) return NULL;
    node->level = (uint8_t)height;
    node->address = node->next_address = BS_H5_UNDEFINED;
    node->dirty = true;
    return node;
}

/* The two kinds of things that are sorted: children into leaves, nodes into the nodes above. */
struct items {
    struct bs_h5_node **children; /* or NULL */
    struct bs_symbol_node **nodes;
    size_t count;
};

static struct bs_symbol_node **item_up(const struct items *items, size_t i)
{
    return items->children ? &items->children[i]->leaf : &items->nodes[i]->up;
}

static bool item_changed(const struct items *items, size_t i)
{
    return items->children ? items->children[i]->dirty : items->nodes[i]->dirty;
}

/* Makes items [from, to) those of `node`. */
static void adopt(const struct items *items, size_t from, size_t to, struct bs_symbol_node *node)
{
    if (node->count != to - from) node->dirty = true;
    node->count = (uint32_t)(to - from);
    for (size_t i = from; i < to; i++) {
        if (*item_up(items, i) != node || item_changed(items, i)) node->dirty = true;
        *item_up(items, i) = node;
    }
    if (items->children) {
        node->first.entries = items->children + from;
    } else {
        node->first.children = items->nodes + from;
    }
}

/* A run of neighbours that have `node` (or none yet, NULL) becomes one node, or as many as it
 * takes. */
static basalt_status place_run(const struct items *items, size_t from, size_t to,
    struct bs_symbol_node *node, unsigned height, struct bs_symbol_level *out, basalt_error *err)
{
    const size_t most = height == 0 ? LEAF_ENTRIES : NODE_CHILDREN;
    const size_t parts = (to - from + most - 1) / most;
    for (size_t part = 0; part < parts; part++) {
        /* The first parts are full when a run grew by much, i.e. at its end: names often rise. */
        const size_t end = parts == 2 && to - from == most + 1 && to < items->count
            ? from + (to - from + 1) / 2
            : BS_MIN(to, from + most);
        struct bs_symbol_node *into = part == 0 && node ? node : node_create(height);
        if (!into || !level_add(out, into)) {
            if (into != node) bs_free(into);
            return bs_fail_memory(err, sizeof *into);
        }
        adopt(items, from, part + 1 == parts ? to : end, into);
        from = end;
    }
    return BASALT_OK;
}

/* Children that are new (no leaf) join the run before them, or after, if they are the first. */
static basalt_status group_items(
    const struct items *items, unsigned height, struct bs_symbol_level *out, basalt_error *err)
{
    if (items->count == 0 && height == 1) { /* an empty group has a root all the same */
        struct bs_symbol_node *root = node_create(height);
        if (root && level_add(out, root)) return BASALT_OK;
        bs_free(root);
        return bs_fail_memory(err, sizeof *root);
    }
    for (size_t from = 0; from < items->count;) {
        struct bs_symbol_node *node = *item_up(items, from);
        size_t to = from + 1;
        for (; to < items->count; to++) {
            struct bs_symbol_node *next = *item_up(items, to);
            if (next && node && next != node) break;
            if (next) node = next;
        }
        const basalt_status status = place_run(items, from, to, node, height, out, err);
        if (status) return status;
        from = to;
    }
    return BASALT_OK;
}

static basalt_status plan_node(
    struct bs_symbol_node *node, struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err)
{
    const uint64_t bytes = node->level == 0 ? LEAF_BYTES : NODE_BYTES;
    node->next_address = node->address;
    if (!node->dirty) return BASALT_OK;
    basalt_status status =
        bs_plan_add(plan, BS_BLOCK_SYMBOLS, node, group, BS_H5_UNDEFINED, bytes, err);
    return status ? status : bs_plan_give_up(plan, node->address, bytes, err);
}

/* The nodes of a level that no item has any more. */
static basalt_status drop_empty(struct bs_symbol_level *old, const struct bs_symbol_level *kept,
    struct bs_plan *plan, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < kept->count; i++) kept->nodes[i]->level |= MARK;
    for (size_t i = 0; i < old->count; i++) {
        struct bs_symbol_node *node = old->nodes[i];
        if (node->level & MARK) continue;
        if (!status) {
            status = bs_plan_give_up(
                plan, node->address, node->level == 0 ? LEAF_BYTES : NODE_BYTES, err);
        }
        if (node->up) node->up->dirty = true;
        bs_free(node);
    }
    for (size_t i = 0; i < kept->count; i++) kept->nodes[i]->level &= (uint8_t)~MARK;
    return status;
}

/* Forgets all nodes: the next plan builds the table anew. What it has in the file stays unused until
 * the file is opened again. */
static void table_reset(struct bs_h5_node *group)
{
    struct bs_symbols *symbols = group->as.group.symbols;
    for (size_t i = 0; i < group->as.group.count; i++) group->as.group.children[i]->leaf = NULL;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(symbols->levels); i++) {
        for (size_t k = 0; k < symbols->levels[i].count; k++) bs_free(symbols->levels[i].nodes[k]);
        bs_free(symbols->levels[i].nodes);
        symbols->levels[i] = (struct bs_symbol_level){0};
    }
    symbols->depth = 0;
    symbols->rebuild = true;
}

static basalt_status level_plan(struct bs_h5_node *group, const struct items *items,
    unsigned height, struct bs_plan *plan, basalt_error *err)
{
    struct bs_symbol_level *level = &group->as.group.symbols->levels[height];
    struct bs_symbol_level next = {0};
    basalt_status status = group_items(items, height, &next, err);
    if (status) {
        for (size_t i = 0; i < level->count; i++) level->nodes[i]->level |= MARK;
        for (size_t i = 0; i < next.count; i++) {
            if (!(next.nodes[i]->level & MARK)) bs_free(next.nodes[i]);
        }
        bs_free(next.nodes);
        table_reset(group);
        return status;
    }
    status = drop_empty(level, &next, plan, err);
    bs_free(level->nodes);
    *level = next;
    return status;
}

static basalt_status tree_plan(struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err)
{
    struct bs_symbols *symbols = group->as.group.symbols;
    struct items items = {group->as.group.children, NULL, group->as.group.count};
    basalt_status status = BASALT_OK;
    size_t height = 0;
    do {
        if (height == BS_ARRAY_LENGTH(symbols->levels)) {
            return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET, "the group has too many links");
        }
        status = level_plan(group, &items, (unsigned)height, plan, err);
        if (status) return status;
        items = (struct items){NULL, symbols->levels[height].nodes, symbols->levels[height].count};
        height++;
    } while (items.count > 1 || height < 2);
    const struct items none = {0};
    for (size_t i = height; i < symbols->depth && !status; i++) {
        status = level_plan(group, &none, (unsigned)i, plan, err);
    }
    symbols->depth = height;
    symbols->levels[height - 1].nodes[0]->up = NULL; /* levels above are gone */
    for (size_t i = 0; i < height && !status; i++) {
        for (size_t k = 0; k < symbols->levels[i].count && !status; k++) {
            status = plan_node(symbols->levels[i].nodes[k], group, plan, err);
        }
    }
    return status;
}

/* ---- names --------------------------------------------------------------------------------- */

static uint64_t padded(uint64_t bytes)
{
    return (bytes + 7) & ~(uint64_t)7;
}

static void name_put(struct bs_bytes *out, const void *text, size_t count)
{
    bs_bytes_put(out, text, count);
    bs_bytes_zeros(out, (size_t)(padded(count + 1) - count));
}

static uint64_t name_bytes(const struct bs_h5_node *child)
{
    uint64_t bytes = padded(strlen(child->name) + 1);
    if (child->kind == BS_NODE_LINK) bytes += padded(child->as.link.target.count + 1);
    return bytes;
}

static void child_put(struct bs_bytes *out, struct bs_h5_node *child, uint64_t base)
{
    child->name_offset = base + out->count;
    name_put(out, child->name, strlen(child->name));
    if (child->kind == BS_NODE_LINK) {
        name_put(out, child->as.link.target.data, child->as.link.target.count);
    }
}

static basalt_status names_rebuild(
    struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err)
{
    struct bs_symbols *symbols = group->as.group.symbols;
    uint64_t used = 8;
    basalt_status status = BASALT_OK;
    symbols->new_names.count = 0;
    bs_bytes_zeros(&symbols->new_names, 8); /* the empty name */
    for (size_t i = 0; i < group->as.group.count; i++) {
        child_put(&symbols->new_names, group->as.group.children[i], 0);
        used += name_bytes(group->as.group.children[i]);
    }
    for (size_t i = 0; i < symbols->depth; i++) { /* every offset has changed */
        for (size_t k = 0; k < symbols->levels[i].count; k++) {
            symbols->levels[i].nodes[k]->dirty = true;
        }
    }
    const uint64_t room = used + BS_MAX(used, NAMES_SLACK_MIN);
    bs_bytes_zeros(&symbols->new_names, (size_t)(room - used));
    BS_TRY(bs_bytes_check(&symbols->new_names, err));
    symbols->names_used = used;
    symbols->next_names = (struct bs_h5_extent){BS_H5_UNDEFINED, room};
    symbols->next_heap = (struct bs_h5_extent){BS_H5_UNDEFINED, HEAP_BYTES};
    BS_TRY(bs_plan_add(plan, BS_BLOCK_NAMES, symbols, group, BS_H5_UNDEFINED, room, err));
    BS_TRY(bs_plan_add(plan, BS_BLOCK_HEAP, symbols, group, BS_H5_UNDEFINED, HEAP_BYTES, err));
    BS_TRY(bs_plan_give_up(plan, symbols->names.address, symbols->names.bytes, err));
    BS_TRY(bs_plan_give_up(plan, symbols->heap.address, symbols->heap.bytes, err));
out:
    return status;
}

/* New names go into the slack of the segment in force, if there is enough. */
static basalt_status names_plan(struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err)
{
    struct bs_symbols *symbols = group->as.group.symbols;
    uint64_t more = 0;
    for (size_t i = 0; i < group->as.group.count; i++) {
        const struct bs_h5_node *child = group->as.group.children[i];
        if (child->name_offset == 0) more += name_bytes(child);
    }
    if (symbols->rebuild || symbols->names_used + more > symbols->names.bytes) {
        symbols->rebuild = true; /* and again, should this commit fail */
        return names_rebuild(group, plan, err);
    }
    symbols->next_names = symbols->names;
    symbols->next_heap = symbols->heap;
    if (more == 0) return BASALT_OK;
    const uint64_t at = symbols->names_used;
    symbols->new_names.count = 0;
    for (size_t i = 0; i < group->as.group.count; i++) {
        struct bs_h5_node *child = group->as.group.children[i];
        if (child->name_offset == 0) child_put(&symbols->new_names, child, at);
    }
    symbols->rebuild = true; /* should this commit fail: the names count as there now */
    symbols->names_used += more;
    const basalt_status status = bs_bytes_check(&symbols->new_names, err);
    return status ? status
                  : bs_plan_add(plan, BS_BLOCK_NEW_NAMES, symbols, group,
                        symbols->names.address + at, more, err);
}

static basalt_status old_extent(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    (void)purpose;
    return bs_extents_add(context, extent.address, extent.bytes, err);
}

basalt_status bs_symbols_note_old(struct bs_h5_node *group, struct bs_h5_file *h5,
    const struct bs_h5_group_form *form, basalt_error *err)
{
    return bs_h5_symbol_table_extents(h5, form, old_extent, &group->as.group.symbols->old, err);
}

basalt_status bs_symbols_plan(struct bs_h5_node *group, struct bs_plan *plan, basalt_error *err)
{
    const struct bs_extents *old = &group->as.group.symbols->old;
    basalt_status status = names_plan(group, plan, err);
    for (size_t i = 0; !status && i < old->count; i++) {
        status = bs_plan_give_up(plan, old->items[i].address, old->items[i].bytes, err);
    }
    return status ? status : tree_plan(group, plan, err);
}

void bs_symbols_settle(struct bs_symbols *symbols)
{
    for (size_t i = 0; i < symbols->depth; i++) {
        for (size_t k = 0; k < symbols->levels[i].count; k++) {
            symbols->levels[i].nodes[k]->address = symbols->levels[i].nodes[k]->next_address;
            symbols->levels[i].nodes[k]->dirty = false;
        }
    }
    symbols->heap = symbols->next_heap;
    symbols->names = symbols->next_names;
    symbols->old.count = 0;
    symbols->rebuild = false;
}

basalt_status bs_symbols_extents(
    const struct bs_symbols *symbols, struct bs_extents *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < symbols->depth; i++) {
        for (size_t k = 0; k < symbols->levels[i].count && !status; k++) {
            const struct bs_symbol_node *node = symbols->levels[i].nodes[k];
            if (node->address == BS_H5_UNDEFINED) continue;
            status = bs_extents_add(out, node->address, i == 0 ? LEAF_BYTES : NODE_BYTES, err);
        }
    }
    for (size_t i = 0; !status && i < symbols->old.count; i++) {
        status =
            bs_extents_add(out, symbols->old.items[i].address, symbols->old.items[i].bytes, err);
    }
    if (!status && symbols->heap.address != BS_H5_UNDEFINED) {
        status = bs_extents_add(out, symbols->heap.address, symbols->heap.bytes, err);
    }
    if (!status && symbols->names.address != BS_H5_UNDEFINED) {
        status = bs_extents_add(out, symbols->names.address, symbols->names.bytes, err);
    }
    return status;
}

/* ---- bytes --------------------------------------------------------------------------------- */

static uint64_t last_name(const struct bs_symbol_node *node)
{
    while (node->level > 0) node = node->first.children[node->count - 1];
    return node->first.entries[node->count - 1]->name_offset;
}

static void leaf_encode(const struct bs_symbol_node *leaf, struct bs_bytes *out)
{
    bs_bytes_put(out, "SNOD\1\0", 6);
    bs_bytes_u16(out, (uint16_t)leaf->count);
    for (uint32_t i = 0; i < leaf->count; i++) {
        const struct bs_h5_node *child = leaf->first.entries[i];
        const bool soft = child->kind == BS_NODE_LINK;
        bs_bytes_u64(out, child->name_offset);
        bs_bytes_u64(out, soft ? BS_H5_UNDEFINED : bs_node_next(child));
        bs_bytes_u32(out, soft ? 2 : 0);
        bs_bytes_u32(out, 0);
        bs_bytes_u32(
            out, soft ? (uint32_t)(child->name_offset + padded(strlen(child->name) + 1)) : 0);
        bs_bytes_zeros(out, 12);
    }
    bs_bytes_zeros(out, (LEAF_ENTRIES - leaf->count) * 40u);
}

void bs_symbol_node_encode(const struct bs_symbol_node *node, struct bs_bytes *out)
{
    if (node->level == 0) {
        leaf_encode(node, out);
        return;
    }
    bs_bytes_put(out, "TREE", 4);
    bs_bytes_u8(out, 0);
    bs_bytes_u8(out, (uint8_t)(node->level - 1));
    bs_bytes_u16(out, (uint16_t)node->count);
    bs_bytes_u64(out, BS_H5_UNDEFINED);
    bs_bytes_u64(out, BS_H5_UNDEFINED);
    /* Key 0 is below all names here. The empty name is, and no reader asks for more. */
    bs_bytes_u64(out, 0);
    for (uint32_t i = 0; i < node->count; i++) {
        bs_bytes_u64(out, node->first.children[i]->next_address);
        bs_bytes_u64(out, last_name(node->first.children[i]));
    }
    bs_bytes_zeros(out, (NODE_CHILDREN - node->count) * 16u);
}

void bs_symbol_heap_encode(const struct bs_symbols *symbols, struct bs_bytes *out)
{
    bs_bytes_put(out, "HEAP\0\0\0\0", 8);
    bs_bytes_u64(out, symbols->next_names.bytes);
    bs_bytes_u64(out, NO_FREE_LIST);
    bs_bytes_u64(out, symbols->next_names.address);
}

void bs_symbol_names_encode(const struct bs_symbols *symbols, struct bs_bytes *out)
{
    bs_bytes_put(out, symbols->new_names.data, symbols->new_names.count);
}
