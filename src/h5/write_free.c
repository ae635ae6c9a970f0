/* write_free.c - gives up all that an object occupies.
 *
 * First everything is listed, which reads the file and may fail, then it is given up, which cannot:
 * an object that keeps its link keeps its space. */
#include "h5/writer_internal.h"

struct listing {
    struct bs_h5_node *node;
    struct bs_codec_scratch *scratch; /* variable-length columns */
    uint8_t *chunk;
    struct bs_extents *extents;
    struct bs_extents collections; /* of one chunk */
};

static basalt_status column_chunk(
    void *context, const struct bs_index_entry *entry, basalt_error *err)
{
    struct listing *job = context;
    const struct bs_column *column = job->node->as.column;
    uint64_t used = 0;
    basalt_status status = bs_extents_add(job->extents, entry->address, entry->bytes, err);
    if (status || !column->variable) return status;
    const uint64_t rows = BS_MIN(column->chunk_rows, column->rows - entry->first);
    status = bs_column_read_chunk(job->node, entry, job->scratch, job->chunk, err);
    job->collections.count = 0;
    if (!status) {
        status = bs_strings_collections(
            job->node->writer, job->chunk, rows, &job->collections, &used, err);
    }
    for (size_t i = 0; !status && i < job->collections.count; i++) {
        const struct bs_h5_extent extent = job->collections.items[i];
        status = bs_extents_add(job->extents, extent.address, extent.bytes, err);
    }
    return status;
}

static basalt_status column_node(void *context, uint64_t address, basalt_error *err)
{
    struct listing *job = context;
    return bs_extents_add(job->extents, address, bs_index_node_bytes(job->node), err);
}

basalt_status bs_column_extents(struct bs_h5_node *node, struct bs_extents *out, basalt_error *err)
{
    struct listing job = {.node = node, .extents = out};
    const size_t chunk_bytes = (size_t)bs_column_chunk_bytes(node->as.column);
    basalt_status status = BASALT_OK;
    if (node->as.column->variable) {
        BS_TRY(bs_codec_scratch_create(&job.scratch, err));
        job.chunk = bs_alloc(chunk_bytes);
        if (!job.chunk) BS_TRY(bs_fail_memory(err, chunk_bytes));
    }
    BS_TRY(bs_index_each(node, &node->as.column->index, column_chunk, column_node, &job, err));
out:
    bs_extents_free(&job.collections);
    bs_free(job.chunk);
    bs_codec_scratch_free(job.scratch);
    return status;
}

static basalt_status add(
    struct bs_extents *out, uint64_t address, uint64_t bytes, basalt_error *err)
{
    if (address == BS_H5_UNDEFINED || bytes == 0) return BASALT_OK;
    return bs_extents_add(out, address, bytes, err);
}

static basalt_status header_extents(
    const struct bs_h5_node *node, struct bs_extents *out, basalt_error *err)
{
    basalt_status status = add(out, node->address, node->header_bytes, err);
    if (!status) status = add(out, node->block.address, node->block.bytes, err);
    for (size_t i = 0; !status && i < node->old_blocks.count; i++) {
        status = add(out, node->old_blocks.items[i].address, node->old_blocks.items[i].bytes, err);
    }
    return status;
}

/* Recursion is as deep as groups are nested: BS_H5_DEPTH_MAX. */
static basalt_status node_extents(
    struct bs_h5_node *node, struct bs_extents *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    switch (node->kind) {
    case BS_NODE_FOREIGN:
    case BS_NODE_LINK:
    case BS_NODE_ALIAS:
    case BS_NODE_ARRAY: return BASALT_OK; /* the latter two: only in files that are written once */
    case BS_NODE_GROUP:
        for (size_t i = 0; !status && i < node->as.group.count; i++) {
            status = node_extents(node->as.group.children[i], out, err);
        }
        if (!status && node->as.group.symbols) {
            status = bs_symbols_extents(node->as.group.symbols, out, err);
        }
        break;
    case BS_NODE_COLUMN: status = bs_column_extents(node, out, err); break;
    case BS_NODE_TYPE: break;
    case BS_NODE_FIXED: status = add(out, node->as.fixed.address, node->as.fixed.bytes, err); break;
    }
    return status ? status : header_extents(node, out, err);
}

/* A link to an object of another program goes; the object's space stays in use until the next open,
 * which finds that nothing reaches it. */
basalt_status bs_node_give_up(struct bs_h5_node *node, basalt_error *err)
{
    struct bs_extents extents = {0};
    const basalt_status status = node_extents(node, &extents, err);
    for (size_t i = 0; !status && i < extents.count; i++) {
        bs_space_give_up(&node->writer->space, extents.items[i].address, extents.items[i].bytes);
    }
    bs_extents_free(&extents);
    return status;
}
