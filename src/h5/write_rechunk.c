/* write_rechunk.c - the same rows in other chunks.
 *
 * A second column is filled beside the first, which is only read, and takes its place at the end; a
 * failure leaves the first as it was. The strings of a variable-length column stay where they are:
 * whole old chunks become one new chunk, which owns what they owned. */
#include "h5/writer_internal.h"

struct rechunk {
    struct bs_h5_writer *writer;
    struct bs_h5_node *node;
    struct bs_codec_scratch *scratch;
    struct bs_column *old, *new;
    uint8_t *chunk;            /* an old one */
    uint8_t *rows;             /* of the new chunk that is being gathered */
    uint64_t count;            /* of `rows` */
    struct bs_extents extents; /* old chunks and index nodes */
};

static basalt_status rechunk_check(
    const struct bs_h5_node *node, uint64_t chunk_rows, basalt_error *err)
{
    if (node->kind != BS_NODE_COLUMN) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "\"%.100s\" is not a column that can grow", node->name);
    }
    const struct bs_column *column = node->as.column;
    if (chunk_rows == 0 || chunk_rows > BS_CHUNK_BYTES_MAX / column->element_bytes) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a chunk of %" PRIu64 " rows of %u bytes is not between 1 row and 256 MiB", chunk_rows,
            (unsigned)column->element_bytes);
    }
    if (column->variable && chunk_rows % column->chunk_rows) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the chunks of the variable-length column \"%.100s\" can only become a multiple of "
            "their %" PRIu64 " rows",
            node->name, column->chunk_rows);
    }
    return BASALT_OK;
}

static basalt_status flush(struct rechunk *job, basalt_error *err)
{
    const struct bs_h5_piece piece = {job->rows, NULL, job->count};
    if (job->count == 0) return BASALT_OK;
    job->node->as.column = job->new;
    const basalt_status status = bs_h5_append(job->writer, job->node, job->scratch, &piece, 1, err);
    job->node->as.column = job->old;
    job->count = 0;
    return status;
}

/* Rows [position, position + rows) of the old chunk; NULL: fill values. */
static basalt_status rows_put(
    struct rechunk *job, const uint8_t *from, uint64_t rows, basalt_error *err)
{
    const size_t element_bytes = job->new->element_bytes;
    basalt_status status = BASALT_OK;
    while (!status && rows > 0) {
        uint64_t part = BS_MIN(rows, job->new->chunk_rows - job->count);
        uint8_t *to = job->rows + job->count * element_bytes;
        if (!from && job->count == 0 && part == job->new->chunk_rows) {
            part = rows - rows % job->new->chunk_rows; /* absent chunks, however many */
            job->node->as.column = job->new;
            status = bs_h5_append_fill(job->writer, job->node, job->scratch, part, err);
            job->node->as.column = job->old;
        } else {
            if (from) {
                memcpy(to, from, (size_t)part * element_bytes);
                from += (size_t)part * element_bytes;
            } else {
                bs_column_fill(job->new, to, part);
            }
            job->count += part;
            if (job->count == job->new->chunk_rows) status = flush(job, err);
        }
        rows -= part;
    }
    return status;
}

static basalt_status old_chunk(void *context, const struct bs_index_entry *entry, basalt_error *err)
{
    struct rechunk *job = context;
    const uint64_t done = job->new->rows + job->count;
    basalt_status status = BASALT_OK;
    if (entry->first < done || entry->first >= job->old->rows) {
        return bs_fail(err, BASALT_CORRUPT, entry->address,
            "the chunk index of \"%.100s\" has a chunk at row %" PRIu64 " where none can be",
            job->node->name, entry->first);
    }
    BS_TRY(bs_extents_add(&job->extents, entry->address, entry->bytes, err));
    BS_TRY(rows_put(job, NULL, entry->first - done, err));
    BS_TRY(bs_column_read_chunk(job->node, entry, job->scratch, job->chunk, err));
    BS_TRY(rows_put(
        job, job->chunk, BS_MIN(job->old->chunk_rows, job->old->rows - entry->first), err));
out:
    return status;
}

static basalt_status old_node(void *context, uint64_t address, basalt_error *err)
{
    struct rechunk *job = context;
    return bs_extents_add(&job->extents, address, bs_index_node_bytes(job->node), err);
}

static basalt_status new_column(struct rechunk *job, uint64_t chunk_rows, basalt_error *err)
{
    const struct bs_column *old = job->old;
    struct bs_column *column = bs_alloc_zeroed(1, sizeof *column);
    if (!column) return bs_fail_memory(err, sizeof *column);
    job->new = column;
    column->chunk_rows = chunk_rows;
    column->element_bytes = old->element_bytes;
    column->pipeline = old->pipeline;
    column->watch = old->watch;
    column->watch_context = old->watch_context;
    column->index.loaded_root = BS_H5_UNDEFINED;
    if (!old->fill) return BASALT_OK;
    column->fill = bs_copy_bytes(old->fill, old->element_bytes);
    return column->fill ? BASALT_OK : bs_fail_memory(err, old->element_bytes);
}

/* What a failed attempt has written; no root ever named it. */
static void new_give_up(struct rechunk *job)
{
    struct bs_extents extents = {0};
    if (!job->new) return;
    job->node->as.column = job->new;
    if (!bs_column_extents(job->node, &extents, NULL)) {
        for (size_t i = 0; i < extents.count; i++) {
            bs_space_give_up(&job->writer->space, extents.items[i].address, extents.items[i].bytes);
        }
    }
    job->node->as.column = job->old;
    bs_extents_free(&extents);
    bs_column_free(job->new);
}

static void take_over(struct rechunk *job)
{
    for (size_t i = 0; i < job->extents.count; i++) {
        bs_space_give_up(
            &job->writer->space, job->extents.items[i].address, job->extents.items[i].bytes);
    }
    job->new->variable = job->old->variable;
    job->node->as.column = job->new;
    bs_column_free(job->old);
}

basalt_status bs_h5_rechunk(struct bs_h5_writer *writer, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, uint64_t chunk_rows, basalt_error *err)
{
    struct rechunk job = {.writer = writer, .node = node, .scratch = scratch};
    basalt_status status = bs_writer_check(writer, err);
    if (!status) status = rechunk_check(node, chunk_rows, err);
    if (status) return status;
    job.old = node->as.column;
    if (job.old->chunk_rows == chunk_rows) return BASALT_OK;
    BS_TRY(new_column(&job, chunk_rows, err));
    job.chunk = bs_alloc((size_t)bs_column_chunk_bytes(job.old));
    job.rows = bs_alloc((size_t)bs_column_chunk_bytes(job.new));
    if (!job.chunk || !job.rows) {
        BS_TRY(bs_fail_memory(err, (size_t)bs_column_chunk_bytes(job.new)));
    }
    BS_TRY(bs_index_each(node, &job.old->index, old_chunk, old_node, &job, err));
    BS_TRY(rows_put(&job, NULL, job.old->rows - job.new->rows - job.count, err));
    BS_TRY(flush(&job, err));
    bs_node_dirty(node);
    take_over(&job);
out:
    if (status) new_give_up(&job);
    bs_extents_free(&job.extents);
    bs_free(job.chunk);
    bs_free(job.rows);
    return status;
}
