/* write_compact.c - moves what lies high in the file down into free space, so that the end can go.
 *
 * With L bytes in use the file could end at L behind the superblock's space; what reaches beyond that
 * line is copied, as it is stored, to the lowest free place that has room, if that is lower: chunks,
 * the strings of a column's partial last chunk, chunk indexes (anew as a whole, their full nodes name
 * chunks), fixed data. Headers, attribute blocks and symbol tables are only marked: the commit writes
 * them anew and finds them places. What moved gives its old place up like any other change, so the
 * commit after the one that moves can end the file lower (bs_space_trim), and then the file itself can
 * be shortened. Strings of full chunks stay: their chunks would have to be compressed again. */
#include "h5/writer_internal.h"

#define NOT_MOVED BS_H5_UNDEFINED

struct compaction {
    struct bs_h5_writer *writer;
    struct bs_codec_scratch *scratch;
    bs_h5_moved_fn moved;
    void *context;
    uint64_t line; /* what reaches beyond it is to move */
    uint64_t moved_bytes;
    bool changed;
};

static bool is_high(const struct compaction *job, uint64_t address, uint64_t bytes)
{
    return address != BS_H5_UNDEFINED && address + bytes > job->line;
}

static basalt_status copy_to(
    struct bs_file *file, uint64_t from, uint64_t to, uint64_t bytes, basalt_error *err)
{
    uint8_t *memory = bs_alloc((size_t)bytes);
    if (!memory) return bs_fail_memory(err, (size_t)bytes);
    basalt_status status = bs_file_read_all_at(file, memory, (size_t)bytes, from, err);
    if (!status) status = bs_file_write_at(file, memory, (size_t)bytes, to, err);
    bs_free(memory);
    return status;
}

basalt_status bs_extent_lower(struct bs_h5_writer *writer, uint64_t address, uint64_t stored_bytes,
    uint64_t extent_bytes, uint64_t *out_address, basalt_error *err)
{
    *out_address = NOT_MOVED;
    if (address > INT64_MAX || stored_bytes > (uint64_t)INT64_MAX - address) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "an extent is outside of the file");
    }
    const uint64_t to = bs_space_take_free(&writer->space, extent_bytes);
    if (to == BS_H5_UNDEFINED) return BASALT_OK;
    basalt_status status = BASALT_OK;
    if (to < address) status = copy_to(writer->file, address, to, stored_bytes, err);
    if (status || to > address) {
        bs_space_untake(&writer->space, to, extent_bytes);
        return status;
    }
    *out_address = to;
    return BASALT_OK;
}

/* ---- columns ------------------------------------------------------------------------------- */

struct column_move {
    struct compaction *job;
    struct bs_h5_node *node;
    struct bs_index fresh;
    struct bs_extents nodes; /* of the index that is replaced */
    bool look;               /* only look whether anything is high */
    bool high;
};

static basalt_status move_chunk(
    void *context, const struct bs_index_entry *entry, basalt_error *err)
{
    struct column_move *move = context;
    struct compaction *job = move->job;
    struct bs_column *column = move->node->as.column;
    struct bs_index_entry moved = *entry;
    uint64_t to = NOT_MOVED;
    const uint64_t bytes = bs_column_extent_bytes(column, entry);
    const bool high = is_high(job, entry->address, bytes);
    if (move->look) {
        move->high |= high;
        return BASALT_OK;
    }
    basalt_status status = BASALT_OK;
    if (high) status = bs_extent_lower(job->writer, entry->address, entry->bytes, bytes, &to, err);
    if (status) return status;
    if (to != NOT_MOVED) {
        const struct bs_h5_moved_chunk told = {.from = entry->address, .to = to};
        if (job->moved) status = job->moved(job->context, &told, err);
        if (status) return status;
        bs_space_give_up(&job->writer->space, entry->address, bytes);
        job->moved_bytes += bytes;
        moved.address = to;
    }
    return bs_index_push(move->node, &move->fresh, &moved, err);
}

static basalt_status move_index_node(void *context, uint64_t address, basalt_error *err)
{
    struct column_move *move = context;
    if (move->look) {
        move->high |= is_high(move->job, address, bs_index_node_bytes(move->node));
        return BASALT_OK;
    }
    return bs_extents_add(&move->nodes, address, bs_index_node_bytes(move->node), err);
}

static basalt_status column_lower(
    struct compaction *job, struct bs_h5_node *node, basalt_error *err)
{
    struct bs_index *index = &node->as.column->index;
    struct column_move move = {
        .job = job, .node = node, .fresh = {.loaded_root = BS_H5_UNDEFINED}, .look = true};
    struct bs_h5_moved_chunk rewritten = {.rewritten = false};
    uint64_t strings = 0;
    basalt_status status = BASALT_OK;
    BS_TRY(bs_column_lower_strings(node, job->scratch, job->line, &strings, &rewritten, err));
    if (rewritten.rewritten && job->moved) BS_TRY(job->moved(job->context, &rewritten, err));
    job->changed |= strings > 0;
    job->moved_bytes += strings;
    BS_TRY(bs_index_each(node, index, move_chunk, move_index_node, &move, err));
    if (!move.high) goto out;
    move.look = false;
    bs_node_dirty(node);
    job->changed = true;
    BS_TRY(bs_index_each(node, index, move_chunk, move_index_node, &move, err));
    for (size_t i = 0; i < move.nodes.count; i++) {
        const struct bs_h5_extent extent = move.nodes.items[i];
        bs_space_give_up(&job->writer->space, extent.address, extent.bytes);
    }
    bs_index_free(index);
    *index = move.fresh;
    move.fresh = (struct bs_index){.loaded_root = BS_H5_UNDEFINED};
    node->as.column->tail_is_new = false;
out:
    bs_index_free(&move.fresh);
    bs_extents_free(&move.nodes);
    return status;
}

/* ---- other objects -------------------------------------------------------------------------- */

/* The body of the contiguous layout among the messages that are kept; NULL if it is another. */
static uint8_t *contiguous_layout(struct bs_bytes *kept)
{
    for (size_t at = 0; at + 4 <= kept->count;) {
        const size_t bytes = bs_load_u16(kept->data + at + 1);
        uint8_t *body = kept->data + at + 4;
        if (kept->data[at] == BS_H5_MESSAGE_LAYOUT && at + 4 + bytes <= kept->count) {
            return bytes >= 18 && body[0] == 3 && body[1] == BS_H5_CONTIGUOUS ? body : NULL;
        }
        at += 4 + bytes;
    }
    return NULL;
}

static basalt_status fixed_lower(struct compaction *job, struct bs_h5_node *node, basalt_error *err)
{
    const struct bs_h5_extent old = node->as.fixed;
    uint8_t *layout = contiguous_layout(&node->kept);
    uint64_t to;
    if (old.bytes == 0 || !layout || !is_high(job, old.address, old.bytes)) return BASALT_OK;
    const basalt_status status =
        bs_extent_lower(job->writer, old.address, old.bytes, old.bytes, &to, err);
    if (status || to == NOT_MOVED) return status;
    bs_space_give_up(&job->writer->space, old.address, old.bytes);
    bs_store_u64(layout + 2, to);
    node->as.fixed.address = to;
    job->moved_bytes += old.bytes;
    job->changed = true;
    bs_node_dirty(node);
    return BASALT_OK;
}

static bool any_high(const struct compaction *job, const struct bs_extents *extents)
{
    for (size_t i = 0; i < extents->count; i++) {
        if (is_high(job, extents->items[i].address, extents->items[i].bytes)) return true;
    }
    return false;
}

static basalt_status header_lower(
    struct compaction *job, struct bs_h5_node *node, basalt_error *err)
{
    bool high = is_high(job, node->address, node->header_bytes) || any_high(job, &node->old_blocks);
    if (!node->attributes_inline && is_high(job, node->block.address, node->block.bytes)) {
        node->attributes_dirty = true;
        high = true;
    }
    if (node->kind == BS_NODE_GROUP && node->as.group.symbols) {
        struct bs_extents extents = {0};
        const basalt_status status = bs_symbols_extents(node->as.group.symbols, &extents, err);
        if (!status && any_high(job, &extents)) {
            bs_symbols_renew(node->as.group.symbols);
            high = true;
        }
        bs_extents_free(&extents);
        if (status) return status;
    }
    if (!high) return BASALT_OK;
    bs_node_dirty(node);
    job->changed = true;
    return BASALT_OK;
}

/* Recursion is as deep as groups are nested: BS_H5_DEPTH_MAX. */
static basalt_status node_lower(struct compaction *job, struct bs_h5_node *node, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    switch (node->kind) {
    case BS_NODE_FOREIGN:
    case BS_NODE_LINK:
    case BS_NODE_ALIAS:
    case BS_NODE_ARRAY:
    case BS_NODE_TYPE: return BASALT_OK; /* the latter three: only in files that are written once */
    case BS_NODE_GROUP:
        for (size_t i = 0; !status && i < node->as.group.count; i++) {
            status = node_lower(job, node->as.group.children[i], err);
        }
        break;
    case BS_NODE_COLUMN: status = column_lower(job, node, err); break;
    case BS_NODE_FIXED: status = fixed_lower(job, node, err); break;
    }
    return status ? status : header_lower(job, node, err);
}

/* ---- the call ------------------------------------------------------------------------------- */

basalt_status bs_h5_compact(struct bs_h5_writer *writer, struct bs_codec_scratch *scratch,
    bs_h5_moved_fn moved, void *context, bool *out_worth_a_commit, basalt_error *err)
{
    struct bs_h5_space_stats space;
    struct compaction job = {
        .writer = writer, .scratch = scratch, .moved = moved, .context = context};
    *out_worth_a_commit = false;
    basalt_status status = bs_writer_check(writer, err);
    if (status) return status;
    bs_h5_space_stats(writer, &space);
    job.line = space.live_bytes;
    status = node_lower(&job, writer->root, err);
    if (status) return status;
    const uint64_t end = bs_space_trim(&writer->space);
    *out_worth_a_commit = job.changed || end < writer->identity.end_of_file;
    writer->compacting = true;
    return BASALT_OK;
}
