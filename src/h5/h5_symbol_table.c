/* h5_symbol_table.c - groups of the old form: a B-tree of symbol table nodes (SNOD), whose names lie
 * in a local heap (FF III.A.1, III.B, III.C, III.D).
 *
 * Looking up one name reads only the names on its way, so that one link of a group of 100,000 costs
 * a few dozen small reads; listing all reads the heap once. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define NAME_PIECE_BYTES 64 /* most names end within one */
#define NAMES_TO_HEAP_MAX 8 /* what one listing gives; an honest heap has each text once */
#define NODE_HEAD_BYTES 8
#define ENTRY_TAIL_BYTES 24 /* cache type, reserved, scratch */
#define CACHED_SOFT_LINK 2

struct table {
    struct bs_h5_file *h5;
    struct bs_h5_btree tree;
    uint64_t heap_at, heap_bytes; /* the data segment */
    uint8_t *heap;                /* all of it, or NULL: names are read one by one */
    uint64_t given_bytes;         /* of texts out of `heap` */
    struct bs_bytes name;         /* of the last lookup, NUL-terminated */
    struct bs_bytes target;
};

struct entry {
    uint64_t name_at, header;
    uint32_t cache, link_at; /* link_at: in the heap, of a soft link's target */
};

typedef basalt_status (*entry_fn)(
    void *context, struct table *table, const struct entry *entry, basalt_error *err);

/* ---- the heap --------------------------------------------------------------------------------- */

static size_t heap_head_bytes(const struct bs_h5_file *h5)
{
    return 8 + 2 * (size_t)h5->superblock.length_bytes + h5->superblock.offset_bytes;
}

basalt_status bs_h5_local_heap_find(
    struct bs_h5_file *h5, uint64_t address, struct bs_h5_extent *out_data, basalt_error *err)
{
    uint8_t head[32];
    const size_t count = heap_head_bytes(h5);

    *out_data = (struct bs_h5_extent){0, 0};
    basalt_status status = bs_h5_read_at(h5, address, head, count, "a local heap", err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, head, count, address);
    status = bs_h5_expect(&cursor, "HEAP", "local heap", err);
    if (status) return status;
    bs_cursor_skip(&cursor, 4); /* version, reserved */
    out_data->bytes = bs_h5_length(h5, &cursor);
    (void)bs_h5_length(h5, &cursor); /* head of the free list */
    out_data->address = bs_h5_address(h5, &cursor);
    return bs_h5_check_range(
        h5, out_data->address, out_data->bytes, "the data of a local heap", err);
}

static basalt_status open_heap(struct table *table, uint64_t address, basalt_error *err)
{
    struct bs_h5_extent data;
    basalt_status status = bs_h5_local_heap_find(table->h5, address, &data, err);

    table->heap_at = data.address;
    table->heap_bytes = data.bytes;
    return status;
}

static basalt_status copy_listed(struct table *table, const uint8_t *start, size_t count,
    struct bs_bytes *text, basalt_error *err)
{
    table->given_bytes += count;
    if (table->given_bytes / NAMES_TO_HEAP_MAX > table->heap_bytes)
        return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(table->h5, table->heap_at),
            "the local heap at %" PRIu64 " is smaller than the names that should be in it",
            table->heap_at);
    bs_bytes_put(text, start, count);
    return bs_bytes_check(text, err);
}

static basalt_status read_text(
    struct table *table, uint64_t at, struct bs_bytes *text, basalt_error *err)
{
    size_t piece_bytes = NAME_PIECE_BYTES;

    text->count = 0;
    while (!table->heap && at < table->heap_bytes) {
        const size_t count = (size_t)BS_MIN(table->heap_bytes - at, piece_bytes);
        uint8_t *piece = bs_bytes_grow(text, count);
        if (!piece) return bs_fail_memory(err, count);
        basalt_status status = bs_h5_read_at(
            table->h5, table->heap_at + at, piece, count, "a name in a local heap", err);
        if (status) return status;
        if (memchr(piece, 0, count)) return BASALT_OK;
        at += count;
        piece_bytes = text->count; /* a long name is read in few steps */
    }
    const uint64_t room = table->heap && at < table->heap_bytes ? table->heap_bytes - at : 0;
    const uint8_t *end = room ? memchr(table->heap + at, 0, (size_t)room) : NULL;
    if (end)
        return copy_listed(
            table, table->heap + at, (size_t)(end - (table->heap + at)) + 1, text, err);
    return bs_fail(err, BASALT_CORRUPT, bs_h5_offset(table->h5, table->heap_at),
        "a name in the local heap at %" PRIu64 " has no end", table->heap_at);
}

static const char *text_of(const struct bs_bytes *bytes)
{
    return (const char *)bytes->data;
}

/* ---- nodes ------------------------------------------------------------------------------------ */

static size_t entry_bytes(const struct bs_h5_file *h5)
{
    /* FF gives the name's place the width of an address; libhdf5 writes that of a length. */
    return (size_t)h5->superblock.length_bytes + h5->superblock.offset_bytes + ENTRY_TAIL_BYTES;
}

static basalt_status load_symbols(struct table *table, uint64_t address, uint8_t **out_bytes,
    unsigned *out_count, basalt_error *err)
{
    uint8_t head[NODE_HEAD_BYTES];
    struct bs_h5_file *h5 = table->h5;

    *out_bytes = NULL;
    *out_count = 0;
    basalt_status status =
        bs_h5_read_at(h5, address, head, sizeof head, "a symbol table node", err);
    if (status) return status;
    struct bs_cursor cursor = bs_h5_cursor(h5, head, sizeof head, address);
    status = bs_h5_expect(&cursor, "SNOD", "symbol table node", err);
    if (status) return status;
    bs_cursor_skip(&cursor, 2); /* version, reserved */
    const unsigned count = bs_cursor_u16(&cursor);
    if (count > 2u * h5->superblock.group_leaf_k)
        return bs_fail(err, BASALT_CORRUPT, cursor.file_offset,
            "the symbol table node at %" PRIu64 " has more entries than the file's nodes hold",
            address);
    status = bs_h5_load(h5, address + NODE_HEAD_BYTES, count * entry_bytes(h5),
        "a symbol table node", out_bytes, err);
    if (!status) *out_count = count;
    return status;
}

static struct entry entry_at(const struct table *table, const uint8_t *bytes, unsigned index)
{
    const struct bs_h5_file *h5 = table->h5;
    struct bs_cursor cursor =
        bs_cursor_make(bytes + index * entry_bytes(h5), entry_bytes(h5), BASALT_NO_OFFSET);
    struct entry entry = {0};

    entry.name_at = bs_h5_length(h5, &cursor);
    entry.header = bs_h5_address(h5, &cursor);
    entry.cache = bs_cursor_u32(&cursor);
    bs_cursor_skip(&cursor, 4);
    entry.link_at = bs_cursor_u32(&cursor);
    return entry;
}

/* ---- finding one name ------------------------------------------------------------------------- */

static basalt_status compare_at(
    struct table *table, uint64_t name_at, const char *name, int *out_order, basalt_error *err)
{
    *out_order = 0;
    basalt_status status = read_text(table, name_at, &table->name, err);
    if (!status) *out_order = strcmp(name, text_of(&table->name));
    return status;
}

/* The child that holds names above its left key, up to and including its right key. */
static basalt_status choose_child(struct table *table, const struct bs_h5_btree_node *node,
    const char *name, unsigned *out_index, basalt_error *err)
{
    unsigned low = 0, high = node->count;

    *out_index = node->count; /* beyond the last key: not there */
    while (low < high) {
        const unsigned middle = (low + high) / 2;
        int order = 0;
        struct bs_cursor key = bs_h5_btree_key(table->h5, &table->tree, node, middle + 1);
        basalt_status status = compare_at(table, bs_h5_length(table->h5, &key), name, &order, err);
        if (status) return status;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_index = low;
    return BASALT_OK;
}

static basalt_status find_leaf(
    struct table *table, uint64_t address, const char *name, uint64_t *out_leaf, basalt_error *err)
{
    int level = -1;

    *out_leaf = BS_H5_UNDEFINED;
    for (;;) {
        struct bs_h5_btree_node node;
        unsigned index = 0;
        basalt_status status =
            bs_h5_btree_load(table->h5, &table->tree, address, level, &node, err);
        if (!status) status = choose_child(table, &node, name, &index, err);
        const bool found = !status && index < node.count;
        if (found) address = bs_h5_btree_child(table->h5, &table->tree, &node, index);
        bs_h5_btree_unload(&node);
        if (status) return status;
        if (!found) return BASALT_NOT_FOUND;
        if (!node.level) break;
        level = (int)node.level - 1;
    }
    *out_leaf = address;
    return BASALT_OK;
}

static basalt_status find_symbol(struct table *table, uint64_t leaf, const char *name,
    struct entry *out_entry, basalt_error *err)
{
    uint8_t *bytes = NULL;
    unsigned low = 0, high = 0;
    basalt_status status = load_symbols(table, leaf, &bytes, &high, err);

    while (!status && low < high) {
        const unsigned middle = (low + high) / 2;
        const struct entry entry = entry_at(table, bytes, middle);
        int order = 0;
        status = compare_at(table, entry.name_at, name, &order, err);
        if (!status && !order) {
            *out_entry = entry;
            bs_free(bytes);
            return BASALT_OK;
        }
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    bs_free(bytes);
    return status ? status : BASALT_NOT_FOUND;
}

static basalt_status table_open(struct bs_h5_file *h5, const struct bs_h5_group_form *form,
    struct table *table, basalt_error *err)
{
    memset(table, 0, sizeof *table);
    table->h5 = h5;
    bs_h5_btree_init(h5, &table->tree, 0, 0);
    return open_heap(table, form->heap, err);
}

static void table_close(struct table *table)
{
    bs_free(table->heap);
    bs_bytes_free(&table->name);
    bs_bytes_free(&table->target);
}

basalt_status bs_h5_symbol_table_find(struct bs_h5_file *h5, const struct bs_h5_group_form *form,
    const char *name, struct bs_h5_found *out_found, basalt_error *err)
{
    struct table table;
    struct entry entry = {0};
    uint64_t leaf = 0;

    memset(out_found, 0, sizeof *out_found);
    basalt_status status = table_open(h5, form, &table, err);
    if (!status) status = find_leaf(&table, form->tree, name, &leaf, err);
    if (!status) status = find_symbol(&table, leaf, name, &entry, err);
    if (!status && entry.cache == CACHED_SOFT_LINK) {
        out_found->kind = BS_H5_LINK_SOFT;
        status = read_text(&table, entry.link_at, &table.target, err);
        if (!status) {
            out_found->target = bs_copy_string(text_of(&table.target));
            if (!out_found->target) status = bs_fail_memory(err, table.target.count);
        }
    } else if (!status) {
        out_found->kind = BS_H5_LINK_HARD;
        out_found->address = entry.header;
    }
    table_close(&table);
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------ */

struct leaves {
    struct table *table;
    basalt_status (*each)(void *context, struct table *table, uint64_t leaf, basalt_error *err);
    bs_h5_extent_fn node; /* or NULL */
    void *context;
};

static basalt_status walk_nodes(
    struct leaves *leaves, uint64_t address, int level, basalt_error *err)
{
    struct table *table = leaves->table;
    struct bs_h5_btree_node node;
    basalt_status status = bs_h5_btree_load(table->h5, &table->tree, address, level, &node, err);

    if (status) return status;
    if (leaves->node) {
        const struct bs_h5_extent extent = {
            address, bs_h5_btree_node_bytes(table->h5, &table->tree)};
        status = leaves->node(leaves->context, extent, "group index", err);
    }
    for (unsigned i = 0; !status && i < node.count; i++) {
        const uint64_t child = bs_h5_btree_child(table->h5, &table->tree, &node, i);
        status = node.level ? walk_nodes(leaves, child, (int)node.level - 1, err)
                            : leaves->each(leaves->context, table, child, err);
    }
    bs_h5_btree_unload(&node);
    return status;
}

struct lister {
    bs_h5_link_fn each;
    void *context;
    uint64_t links_left; /* no more than the file has room for */
};

static basalt_status list_entry(
    struct lister *lister, struct table *table, const struct entry *entry, basalt_error *err)
{
    struct bs_h5_link link = {.kind = BS_H5_LINK_HARD, .address = entry->header};

    basalt_status status = read_text(table, entry->name_at, &table->name, err);
    if (!status && entry->cache == CACHED_SOFT_LINK) {
        status = read_text(table, entry->link_at, &table->target, err);
        link.kind = BS_H5_LINK_SOFT;
        link.address = BS_H5_UNDEFINED;
        link.target = text_of(&table->target);
    }
    if (status) return status;
    link.name = text_of(&table->name);
    return lister->each(lister->context, &link, err);
}

static basalt_status list_leaf(void *context, struct table *table, uint64_t leaf, basalt_error *err)
{
    struct lister *lister = context;
    uint8_t *bytes = NULL;
    unsigned count = 0;
    basalt_status status = load_symbols(table, leaf, &bytes, &count, err);

    if (!status && count > lister->links_left)
        status = bs_fail(err, BASALT_CORRUPT, bs_h5_offset(table->h5, leaf),
            "the symbol table node at %" PRIu64 " is reached again and again", leaf);
    for (unsigned i = 0; !status && i < count; i++) {
        const struct entry entry = entry_at(table, bytes, i);
        lister->links_left--;
        status = list_entry(lister, table, &entry, err);
    }
    bs_free(bytes);
    return status;
}

basalt_status bs_h5_symbol_table_each(struct bs_h5_file *h5, const struct bs_h5_group_form *form,
    bs_h5_link_fn each, void *context, basalt_error *err)
{
    struct table table;
    struct lister lister = {each, context, h5->bytes / entry_bytes(h5) + 1};
    struct leaves leaves = {&table, list_leaf, NULL, &lister};

    basalt_status status = table_open(h5, form, &table, err);
    if (!status)
        status = bs_h5_load(
            h5, table.heap_at, table.heap_bytes, "the data of a local heap", &table.heap, err);
    if (!status) status = walk_nodes(&leaves, form->tree, -1, err);
    table_close(&table);
    return status;
}

/* ---- extents ---------------------------------------------------------------------------------- */

struct reporter {
    bs_h5_extent_fn each;
    void *context;
};

static basalt_status report_leaf(
    void *context, struct table *table, uint64_t leaf, basalt_error *err)
{
    const struct reporter *reporter = context;
    const uint64_t bytes =
        NODE_HEAD_BYTES + 2 * (uint64_t)table->h5->superblock.group_leaf_k * entry_bytes(table->h5);
    return reporter->each(
        reporter->context, (struct bs_h5_extent){leaf, bytes}, "symbol table node", err);
}

static basalt_status report_node(
    void *context, struct bs_h5_extent extent, const char *purpose, basalt_error *err)
{
    const struct reporter *reporter = context;
    return reporter->each(reporter->context, extent, purpose, err);
}

basalt_status bs_h5_symbol_table_extents(struct bs_h5_file *h5, const struct bs_h5_group_form *form,
    bs_h5_extent_fn each, void *context, basalt_error *err)
{
    struct table table;
    struct reporter reporter = {each, context};
    struct leaves leaves = {&table, report_leaf, report_node, &reporter};

    basalt_status status = table_open(h5, form, &table, err);
    if (!status)
        status = each(
            context, (struct bs_h5_extent){form->heap, heap_head_bytes(h5)}, "local heap", err);
    if (!status)
        status = each(context, (struct bs_h5_extent){table.heap_at, table.heap_bytes},
            "local heap data", err);
    if (!status) status = walk_nodes(&leaves, form->tree, -1, err);
    table_close(&table);
    return status;
}
