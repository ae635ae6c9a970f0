/* write_column.c - rows into chunks.
 *
 * A chunk that one call fills is filtered and written at once. Otherwise the last chunk of a column is
 * a raw tail: unfiltered, its filter mask skipping every filter, in an extent with room for the whole
 * raw chunk and 4 bytes. New rows are written behind the rows that are there; the index does not
 * change meanwhile, only the dataspace in the header.
 *
 *   (1) A byte that a committed root reaches is never written. The rows behind the committed ones, and
 *       the 4 bytes, are not reached: the committed dataspace ends before them.
 *   (2) A full tail becomes, with a compressor, a filtered chunk in a new extent; with fletcher32
 *       alone the sum goes into the 4 bytes and the index entry says so; without filters nothing.
 *   (3) A partial last chunk that is filtered (a clean close, or another program, left it) is copied
 *       into a new raw tail before rows are added to it.
 *   (4) A chunk of nothing but fill values is absent from the index.
 *   (5) After a failure the column has the rows that bs_h5_rows says, whole chunks or parts of the
 *       call's rows, and may be appended to again. */
#include "h5/writer_internal.h"

#define SUM_BYTES 4u
#define WRITE_BEHIND_BYTES_MIN ((size_t)256 << 10) /* less is left to the sync */

struct append { /* what the steps of one call share */
    struct bs_h5_node *node;
    struct bs_column *column;
    struct bs_codec_scratch *scratch;
    struct bs_file *file;
    struct bs_space *space;
    basalt_error *err;
};

void bs_column_free(struct bs_column *column)
{
    if (!column) return;
    bs_index_free(&column->index);
    bs_extents_free(&column->collections);
    bs_free(column->fill);
    bs_free(column);
}

/* ---- small predicates ---------------------------------------------------------------------- */

static uint32_t mask_of_all(const struct bs_pipeline *pipeline)
{
    return pipeline->count >= 32 ? UINT32_MAX : (1u << pipeline->count) - 1;
}

static bool only_summed(const struct bs_pipeline *pipeline)
{
    return pipeline->count == 1 && pipeline->filters[0].id == BS_FILTER_FLETCHER32;
}

static bool is_raw(const struct bs_column *column, const struct bs_index_entry *entry)
{
    return entry->mask == mask_of_all(column->pipeline) &&
        entry->bytes == bs_column_chunk_bytes(column);
}

/* The entry of the partial last chunk; NULL if it is absent or the last chunk is full. */
static struct bs_index_entry *partial_entry(struct bs_column *column)
{
    const uint64_t partial = column->rows % column->chunk_rows;
    struct bs_index_entry *last = bs_index_last(&column->index);
    return partial && last && last->first == column->rows - partial ? last : NULL;
}

uint64_t bs_column_extent_bytes(const struct bs_column *column, const struct bs_index_entry *entry)
{
    return entry->bytes + (column->sum_room && is_raw(column, entry) ? SUM_BYTES : 0u);
}

void bs_column_fill(const struct bs_column *column, uint8_t *out, uint64_t rows)
{
    if (!column->fill) {
        memset(out, 0, (size_t)(rows * column->element_bytes));
        return;
    }
    for (uint64_t i = 0; i < rows; i++, out += column->element_bytes) {
        memcpy(out, column->fill, column->element_bytes);
    }
}

/* ---- reading back -------------------------------------------------------------------------- */

basalt_status bs_column_read_chunk(struct bs_h5_node *node, const struct bs_index_entry *entry,
    struct bs_codec_scratch *scratch, uint8_t *out, basalt_error *err)
{
    const struct bs_column *column = node->as.column;
    const size_t raw_bytes = (size_t)bs_column_chunk_bytes(column);
    if (!entry) {
        bs_column_fill(column, out, column->chunk_rows);
        return BASALT_OK;
    }
    if (entry->address > INT64_MAX ||
        entry->bytes > bs_pipeline_bound(column->pipeline, raw_bytes)) {
        return bs_fail(err, BASALT_CORRUPT, entry->address,
            "the chunk at row %" PRIu64 " of \"%.100s\" is outside of the file or too large",
            entry->first, node->name);
    }
    if (is_raw(column, entry)) { /* of a tail, no more than its rows need be in the file yet */
        const uint64_t behind = column->rows > entry->first ? column->rows - entry->first : 0;
        const uint64_t rows = BS_MIN(behind, column->chunk_rows);
        const size_t bytes = (size_t)(rows * column->element_bytes);
        bs_column_fill(column, out + bytes, column->chunk_rows - rows);
        return bs_file_read_all_at(node->writer->file, out, bytes, entry->address, err);
    }
    uint8_t *stored = bs_alloc(entry->bytes);
    if (!stored) return bs_fail_memory(err, entry->bytes);
    basalt_status status =
        bs_file_read_all_at(node->writer->file, stored, entry->bytes, entry->address, err);
    if (!status) {
        status = bs_pipeline_decode(
            column->pipeline, entry->mask, scratch, stored, entry->bytes, out, raw_bytes, err);
        if (status) bs_error_prefix(err, "row %" PRIu64 " of %.80s", entry->first, node->name);
    }
    bs_free(stored);
    return status;
}

/* The first `rows` rows of a raw chunk. The rest of its extent may not be in the file yet. */
static basalt_status read_raw_rows(
    const struct append *append, const struct bs_index_entry *entry, uint64_t rows, uint8_t *out)
{
    if (entry->address > INT64_MAX) {
        return bs_fail(append->err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the tail of \"%.100s\" is outside of the file", append->node->name);
    }
    return bs_file_read_all_at(append->file, out, (size_t)(rows * append->column->element_bytes),
        entry->address, append->err);
}

/* ---- storing chunks ------------------------------------------------------------------------ */

/* Replaces the partial chunk's entry and gives its extent up, or adds one. */
static basalt_status entry_put(
    const struct append *append, struct bs_index_entry *partial, const struct bs_index_entry *entry)
{
    if (!partial) return bs_index_push(append->node, &append->column->index, entry, append->err);
    if (partial->address != entry->address) {
        const uint64_t bytes = bs_column_extent_bytes(append->column, partial);
        if (append->column->tail_is_new) {
            bs_space_untake(append->space, partial->address, bytes);
        } else {
            bs_space_give_up(append->space, partial->address, bytes);
        }
    }
    append->column->tail_is_new = false;
    bs_index_replace_last(&append->column->index, entry);
    return BASALT_OK;
}

/* The device begins with what is large while the next chunk is made. */
static basalt_status write_out(
    const struct append *append, const void *bytes, size_t count, uint64_t address)
{
    struct bs_file *file = append->file;
    const basalt_status status = bs_file_write_at(file, bytes, count, address, append->err);
    if (!status && count >= WRITE_BEHIND_BYTES_MIN && file->ops->write_behind) {
        file->ops->write_behind(file, address, count);
    }
    return status;
}

/* The sum of stored bytes costs time, and few ask for it. */
static void crc_begin(struct bs_column *column, const void *bytes, size_t count)
{
    column->crc_known = column->watch != NULL;
    if (column->watch) column->crc = bs_crc32c(0, bytes, count);
}

static void crc_go_on(struct bs_column *column, const void *bytes, size_t count)
{
    column->crc_known &= column->watch != NULL;
    if (column->crc_known) column->crc = bs_crc32c(column->crc, bytes, count);
}

/* Writes a whole chunk of raw bytes, filtered, to a new extent. */
static basalt_status store_full(const struct append *append, struct bs_index_entry *partial,
    uint64_t first_row, const void *raw)
{
    const size_t raw_bytes = (size_t)bs_column_chunk_bytes(append->column);
    const bool summed = only_summed(append->column->pipeline);
    const void *bytes = raw;
    size_t count = raw_bytes;
    uint32_t mask = 0;
    uint8_t sum[SUM_BYTES];
    basalt_status status = BASALT_OK;
    if (summed) { /* beside the chunk, which need not be copied for it */
        bs_store_u32(sum, bs_fletcher32(raw, raw_bytes));
        count += SUM_BYTES;
    } else {
        status = bs_pipeline_encode(append->column->pipeline, append->scratch, raw, raw_bytes,
            &bytes, &count, &mask, append->err);
        if (status) return status;
    }
    const uint64_t address = bs_space_take(append->space, count);
    const struct bs_index_entry entry = {first_row, address, (uint32_t)count, mask};
    status = write_out(append, bytes, summed ? raw_bytes : count, address);
    crc_begin(append->column, bytes, summed ? raw_bytes : count);
    if (summed) crc_go_on(append->column, sum, SUM_BYTES);
    if (!status && summed) {
        status = bs_file_write_at(append->file, sum, SUM_BYTES, address + raw_bytes, append->err);
    }
    if (!status) status = entry_put(append, partial, &entry);
    if (status) bs_space_untake(append->space, address, count);
    return status;
}

/* Starts a raw tail of `rows` rows in a new extent. */
static basalt_status store_tail(const struct append *append, struct bs_index_entry *partial,
    uint64_t first_row, const uint8_t *raw, uint64_t rows)
{
    struct bs_column *column = append->column;
    const uint64_t chunk_bytes = bs_column_chunk_bytes(column);
    const uint64_t room = column->pipeline->count ? chunk_bytes + SUM_BYTES : chunk_bytes;
    const uint64_t address = bs_space_take(append->space, room);
    const size_t bytes = (size_t)(rows * column->element_bytes);
    const struct bs_index_entry entry = {
        first_row, address, (uint32_t)chunk_bytes, mask_of_all(column->pipeline)};
    basalt_status status = write_out(append, raw, bytes, address);
    if (!status) status = entry_put(append, partial, &entry);
    if (status) {
        bs_space_untake(append->space, address, room);
        return status;
    }
    column->tail_is_new = true;
    column->sum_room = column->pipeline->count > 0;
    column->sum_known = only_summed(column->pipeline);
    column->sum = (struct bs_fletcher){0};
    column->crc_known = false;
    if (!column->sum_known) return BASALT_OK;
    bs_fletcher_update(&column->sum, raw, bytes);
    crc_begin(column, raw, bytes);
    return BASALT_OK;
}

/* ---- collections of the tail's strings ------------------------------------------------------ */

/* Gives back those from `count` on, which no commit has. */
static void collections_untake(
    const struct append *append, struct bs_extents *collections, size_t count)
{
    while (collections->count > count) {
        const struct bs_h5_extent last = collections->items[--collections->count];
        bs_space_untake(append->space, last.address, last.bytes);
    }
}

/* The strings are in `packed` now, which is left empty. */
static void collections_replace(
    const struct append *append, struct bs_extents *packed, uint64_t packed_used)
{
    struct bs_column *column = append->column;
    const struct bs_extents old = column->collections;
    for (size_t i = 0; i < old.count; i++) {
        bs_space_give_up(append->space, old.items[i].address, old.items[i].bytes);
    }
    column->collections = *packed;
    column->collections_used = packed_used;
    *packed = old;
    packed->count = 0;
}

/* Those of a partial chunk that the file had when it was opened. */
static basalt_status collections_load(const struct append *append)
{
    struct bs_column *column = append->column;
    const struct bs_index_entry *partial = partial_entry(column);
    const size_t chunk_bytes = (size_t)bs_column_chunk_bytes(column);
    basalt_status status = BASALT_OK;
    if (!column->variable || column->collections_known) return BASALT_OK;
    if (partial) {
        uint8_t *chunk = bs_alloc(chunk_bytes);
        if (!chunk) return bs_fail_memory(append->err, chunk_bytes);
        const uint64_t rows = column->rows % column->chunk_rows;
        column->collections.count = 0;
        column->collections_used = 0;
        status = is_raw(column, partial)
            ? read_raw_rows(append, partial, rows, chunk)
            : bs_column_read_chunk(append->node, partial, append->scratch, chunk, append->err);
        if (!status) {
            status = bs_strings_collections(append->node->writer, chunk, rows, &column->collections,
                &column->collections_used, append->err);
        }
        bs_free(chunk);
    }
    column->collections_known = !status;
    return status;
}

/* ---- tails --------------------------------------------------------------------------------- */

/* Brings the running sum up to `rows`, from the file if need be. */
static basalt_status sum_catch_up(
    const struct append *append, const struct bs_index_entry *partial, uint64_t rows)
{
    struct bs_column *column = append->column;
    if (column->sum_known && (column->crc_known || !column->watch)) return BASALT_OK;
    const size_t bytes = (size_t)(rows * column->element_bytes);
    uint8_t *raw = bs_alloc(bytes);
    if (!raw) return bs_fail_memory(append->err, bytes);
    const basalt_status status = read_raw_rows(append, partial, rows, raw);
    if (!status) {
        column->sum = (struct bs_fletcher){0};
        bs_fletcher_update(&column->sum, raw, bytes);
        column->sum_known = true;
        crc_begin(column, raw, bytes);
    }
    bs_free(raw);
    return status;
}

/* Rows into a raw tail, up to its end, which needs no other place: there are no filters, or the sum
 * fits behind. */
static basalt_status tail_extend(const struct append *append, struct bs_index_entry *partial,
    uint64_t position, const uint8_t *raw, uint64_t rows)
{
    struct bs_column *column = append->column;
    const uint64_t at = partial->address + position * column->element_bytes;
    const size_t bytes = (size_t)(rows * column->element_bytes);
    const bool summed = only_summed(column->pipeline);
    basalt_status status = BASALT_OK;
    if (at > INT64_MAX) {
        return bs_fail(append->err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the tail of \"%.100s\" is outside of the file", append->node->name);
    }
    if (summed) status = sum_catch_up(append, partial, position);
    if (!status) status = write_out(append, raw, bytes, at);
    if (!summed) column->crc_known = false;
    if (status || !summed) return status;
    struct bs_fletcher sum = column->sum;
    bs_fletcher_update(&sum, raw, bytes);
    if (position + rows == column->chunk_rows) {
        uint8_t stored[SUM_BYTES];
        bs_store_u32(stored, bs_fletcher_value(&sum));
        status = bs_file_write_at(append->file, stored, SUM_BYTES, at + bytes, append->err);
        if (status) return status;
        crc_go_on(column, raw, bytes);
        crc_go_on(column, stored, SUM_BYTES);
        struct bs_index_entry entry = *partial;
        entry.bytes += SUM_BYTES;
        entry.mask = 0;
        bs_index_replace_last(&column->index, &entry);
    } else {
        crc_go_on(column, raw, bytes);
    }
    column->sum = sum;
    return BASALT_OK;
}

static bool fits_in_place(
    const struct bs_column *column, const struct bs_index_entry *partial, bool completes)
{
    if (!is_raw(column, partial)) return false;
    if (!completes || column->pipeline->count == 0) return true;
    return only_summed(column->pipeline) && column->sum_room;
}

/* The partial chunk is in the way: gathers it and the new rows, then stores the whole anew. */
static basalt_status tail_rewrite(const struct append *append, struct bs_index_entry *partial,
    uint64_t position, const uint8_t *raw, uint64_t rows)
{
    struct bs_column *column = append->column;
    const size_t chunk_bytes = (size_t)bs_column_chunk_bytes(column);
    const uint64_t first_row = column->rows - position;
    struct bs_extents packed = {0};
    uint64_t packed_used = 0;
    uint8_t *chunk = bs_alloc(chunk_bytes);
    basalt_status status = BASALT_OK;
    if (!chunk) return bs_fail_memory(append->err, chunk_bytes);
    if (partial && is_raw(column, partial)) {
        BS_TRY(read_raw_rows(append, partial, position, chunk));
    } else {
        BS_TRY(bs_column_read_chunk(append->node, partial, append->scratch, chunk, append->err));
    }
    memcpy(chunk + position * column->element_bytes, raw, (size_t)(rows * column->element_bytes));
    if (column->variable && bs_strings_wasteful(column)) {
        BS_TRY(bs_strings_repack(
            append->node, chunk, position + rows, &packed, &packed_used, append->err));
    }
    if (position + rows < column->chunk_rows) {
        BS_TRY(store_tail(append, partial, first_row, chunk, position + rows));
    } else {
        BS_TRY(store_full(append, partial, first_row, chunk));
    }
    if (packed.count > 0) collections_replace(append, &packed, packed_used);
out:
    collections_untake(append, &packed, 0);
    bs_extents_free(&packed);
    bs_free(chunk);
    return status;
}

/* ---- one chunk's share of an append -------------------------------------------------------- */

/* The strings of the chunk that has just been filled are its own. */
static void chunk_done(struct bs_column *column)
{
    column->sum_known = false;
    column->crc_known = false;
    column->sum_room = false;
    column->tail_is_new = false;
    column->collections.count = 0;
    column->collections_used = 0;
    column->collections_known = true;
}

static void tell_full(struct bs_column *column, const uint8_t *rows)
{
    const struct bs_index_entry *last = bs_index_last(&column->index);
    if (!column->watch || !column->crc_known) return;
    const struct bs_h5_full_chunk chunk = {
        last->first, last->address, last->bytes, column->crc, rows};
    column->watch(column->watch_context, &chunk);
}

static basalt_status store_rows(const struct append *append, const uint8_t *raw, uint64_t rows)
{
    struct bs_column *column = append->column;
    const uint64_t position = column->rows % column->chunk_rows;
    const bool completes = position + rows == column->chunk_rows;
    struct bs_index_entry *partial = partial_entry(column);
    basalt_status status;
    if (position == 0 && completes) {
        status = store_full(append, NULL, column->rows, raw);
    } else if (position == 0) {
        status = store_tail(append, NULL, column->rows, raw, rows);
    } else if (partial && fits_in_place(column, partial, completes) &&
        !(column->variable && bs_strings_wasteful(column))) {
        status = tail_extend(append, partial, position, raw, rows);
    } else {
        status = tail_rewrite(append, partial, position, raw, rows);
    }
    if (status) return status;
    column->rows += rows;
    if (!completes) return BASALT_OK;
    tell_full(column, position ? NULL : raw);
    chunk_done(column);
    return BASALT_OK;
}

/* The next `rows` rows as one stretch of memory: the caller's, if it is one, else gathered. */
static const uint8_t *rows_take(
    struct bs_row_source *source, uint64_t rows, size_t element_bytes, uint8_t *gather)
{
    const struct bs_h5_piece *piece = &source->pieces[source->piece];
    while (source->row == piece->rows) {
        piece = &source->pieces[++source->piece];
        source->row = 0;
    }
    const uint8_t *direct = (const uint8_t *)piece->values + source->row * element_bytes;
    if (piece->rows - source->row >= rows) {
        source->row += rows;
        return direct;
    }
    for (uint8_t *out = gather; rows > 0;) {
        piece = &source->pieces[source->piece];
        const uint64_t part = BS_MIN(rows, piece->rows - source->row);
        const size_t bytes = (size_t)part * element_bytes;
        if (bytes) {
            memcpy(out, (const uint8_t *)piece->values + source->row * element_bytes, bytes);
        }
        out += bytes;
        rows -= part;
        source->row += part;
        if (source->row == piece->rows && rows > 0) {
            source->piece++;
            source->row = 0;
        }
    }
    return gather;
}

static basalt_status append_part(
    const struct append *append, struct bs_row_source *source, uint64_t rows, uint8_t *gather)
{
    struct bs_column *column = append->column;
    if (!column->variable) {
        return store_rows(append, rows_take(source, rows, column->element_bytes, gather), rows);
    }
    const size_t count = column->collections.count;
    const uint64_t used = column->collections_used;
    basalt_status status = bs_strings_put(append->node, source, rows, gather, append->err);
    if (!status) status = store_rows(append, gather, rows);
    if (status) { /* strings of rows that could not be stored */
        collections_untake(append, &column->collections, count);
        column->collections_used = used;
    }
    return status;
}

/* ---- the calls ----------------------------------------------------------------------------- */

static basalt_status append_begin(struct bs_h5_writer *writer, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, struct append *out, basalt_error *err)
{
    *out = (struct append){node, NULL, scratch, writer->file, &writer->space, err};
    basalt_status status = bs_writer_check(writer, err);
    if (status) return status;
    if (node->kind != BS_NODE_COLUMN) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "\"%.100s\" is not a column that can grow", node->name);
    }
    out->column = node->as.column;
    status = bs_index_load(node, err);
    return status ? status : collections_load(out);
}

static basalt_status rows_check(
    const struct append *append, const struct bs_h5_piece *pieces, size_t count, uint64_t *out_rows)
{
    const uint64_t rows_max = (uint64_t)INT64_MAX / append->column->element_bytes;
    uint64_t rows = append->column->rows;
    for (size_t i = 0; i < count; i++) {
        if (rows > rows_max || pieces[i].rows > rows_max - rows) {
            return bs_fail(append->err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
                "the column \"%.100s\" would have more than 2^63 bytes", append->node->name);
        }
        rows += pieces[i].rows;
    }
    *out_rows = rows - append->column->rows;
    return BASALT_OK;
}

basalt_status bs_h5_append(struct bs_h5_writer *writer, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, const struct bs_h5_piece *pieces, size_t count,
    basalt_error *err)
{
    struct append append;
    struct bs_row_source source = {pieces, count, 0, 0};
    uint64_t left = 0;
    uint8_t *gather = NULL;
    basalt_status status = append_begin(writer, node, scratch, &append, err);
    if (!status) status = rows_check(&append, pieces, count, &left);
    if (status || left == 0) return status;
    struct bs_column *column = append.column;
    bs_node_dirty(node);
    const uint64_t part_max = BS_MIN(left, column->chunk_rows);
    if (count > 1 || column->variable) {
        status = bs_codec_scratch_lend(
            scratch, (size_t)(part_max * column->element_bytes), &gather, err);
    }
    while (!status && left > 0) {
        const uint64_t room = column->chunk_rows - column->rows % column->chunk_rows;
        const uint64_t rows = BS_MIN(left, room);
        status = append_part(&append, &source, rows, gather);
        left -= rows;
    }
    return status;
}

basalt_status bs_h5_append_fill(struct bs_h5_writer *writer, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, uint64_t rows, basalt_error *err)
{
    struct append append;
    uint64_t left = 0;
    uint8_t *filled = NULL;
    const struct bs_h5_piece piece = {NULL, NULL, rows};
    basalt_status status = append_begin(writer, node, scratch, &append, err);
    if (!status) status = rows_check(&append, &piece, 1, &left);
    if (status || left == 0) return status;
    struct bs_column *column = append.column;
    const uint64_t position = column->rows % column->chunk_rows;
    bs_node_dirty(node);
    if (partial_entry(column)) {
        const uint64_t part = BS_MIN(left, column->chunk_rows - position);
        status =
            bs_codec_scratch_lend(scratch, (size_t)(part * column->element_bytes), &filled, err);
        if (status) return status;
        bs_column_fill(column, filled, part);
        status = store_rows(&append, filled, part);
        left -= part;
    }
    if (!status) column->rows += left; /* invariant 4 */
    return status;
}

basalt_status bs_h5_finish_tail(struct bs_h5_writer *writer, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, basalt_error *err)
{
    struct append append;
    basalt_status status = append_begin(writer, node, scratch, &append, err);
    if (status) return status;
    struct bs_column *column = append.column;
    const uint64_t padding = column->chunk_rows - column->rows % column->chunk_rows;
    struct bs_index_entry *partial = partial_entry(column);
    if (!partial || !is_raw(column, partial)) return BASALT_OK;
    bs_node_dirty(node);
    const size_t bytes = (size_t)(padding * column->element_bytes);
    uint8_t *filled = bs_alloc(bytes);
    if (!filled) return bs_fail_memory(err, bytes);
    bs_column_fill(column, filled, padding);
    /* As if the chunk were filled up, but for the rows that the dataspace counts. */
    const uint64_t rows = column->rows;
    if (fits_in_place(column, partial, true) &&
        !(column->variable && bs_strings_wasteful(column))) {
        status = tail_extend(&append, partial, rows % column->chunk_rows, filled, padding);
    } else {
        status = tail_rewrite(&append, partial, rows % column->chunk_rows, filled, padding);
    }
    if (!status) {
        column->sum_known = false;
        tell_full(column, NULL);
    }
    bs_free(filled);
    return status;
}

/* ---- moving the tail's strings --------------------------------------------------------------- */

static void references_change(uint8_t *references, uint64_t rows, uint64_t from, uint64_t to)
{
    for (uint64_t i = 0; i < rows; i++) {
        uint8_t *at = references + i * BS_H5_VARIABLE_BYTES;
        if (bs_load_u32(at) > 0 && bs_load_u64(at + 4) == from) bs_store_u64(at + 4, to);
    }
}

/* Copies the collections beyond `line` down, into `moved` (the old ones), and changes references. */
static basalt_status collections_lower(const struct append *append, uint64_t line, uint8_t *chunk,
    struct bs_extents *moved, uint64_t *moved_bytes)
{
    struct bs_column *column = append->column;
    const uint64_t rows = column->rows % column->chunk_rows;
    for (size_t i = 0; i < column->collections.count; i++) {
        struct bs_h5_extent *at = &column->collections.items[i];
        uint64_t to;
        if (at->address + at->bytes <= line) continue;
        basalt_status status = bs_extent_lower(
            append->node->writer, at->address, at->bytes, at->bytes, &to, append->err);
        if (status) return status;
        if (to == BS_H5_UNDEFINED) continue;
        status = bs_extents_add(moved, at->address, at->bytes, append->err);
        if (status) {
            bs_space_untake(append->space, to, at->bytes);
            return status;
        }
        references_change(chunk, rows, at->address, to);
        at->address = to;
        *moved_bytes += at->bytes;
    }
    return BASALT_OK;
}

static void ignore_chunk(void *context, const struct bs_h5_full_chunk *chunk)
{
    (void)context;
    (void)chunk;
}

/* A filtered tail anew, with its sum. */
static basalt_status store_tail_again(const struct append *append, struct bs_index_entry *partial,
    const uint8_t *chunk, struct bs_h5_moved_chunk *out_chunk)
{
    const uint64_t from = partial->address;
    append->column->watch = ignore_chunk;
    const basalt_status status = store_full(append, partial, partial->first, chunk);
    append->column->watch = NULL;
    if (status) return status;
    const struct bs_index_entry *now = bs_index_last(&append->column->index);
    *out_chunk =
        (struct bs_h5_moved_chunk){from, now->address, true, now->bytes, append->column->crc};
    return BASALT_OK;
}

basalt_status bs_column_lower_strings(struct bs_h5_node *node, struct bs_codec_scratch *scratch,
    uint64_t line, uint64_t *out_moved_bytes, struct bs_h5_moved_chunk *out_chunk,
    basalt_error *err)
{
    struct append append;
    struct bs_extents moved = {0};
    uint8_t *chunk = NULL;
    *out_moved_bytes = 0;
    if (!node->as.column->variable) return BASALT_OK;
    basalt_status status = append_begin(node->writer, node, scratch, &append, err);
    if (status) return status;
    struct bs_column *column = append.column;
    struct bs_index_entry *partial = partial_entry(column);
    const size_t chunk_bytes = (size_t)bs_column_chunk_bytes(column);
    bool high = false;
    for (size_t i = 0; partial && i < column->collections.count; i++) {
        const struct bs_h5_extent *at = &column->collections.items[i];
        high |= at->address + at->bytes > line;
    }
    if (!high) return BASALT_OK;
    chunk = bs_alloc(chunk_bytes);
    if (!chunk) return bs_fail_memory(err, chunk_bytes);
    BS_TRY(bs_column_read_chunk(node, partial, scratch, chunk, err));
    BS_TRY(collections_lower(&append, line, chunk, &moved, out_moved_bytes));
    if (moved.count == 0) goto out;
    bs_node_dirty(node);
    if (is_raw(column, partial)) {
        BS_TRY(
            store_tail(&append, partial, partial->first, chunk, column->rows % column->chunk_rows));
    } else {
        BS_TRY(store_tail_again(&append, partial, chunk, out_chunk));
    }
    for (size_t i = 0; i < moved.count; i++) {
        bs_space_give_up(append.space, moved.items[i].address, moved.items[i].bytes);
    }
out:
    if (status) column->collections_known = false; /* the references may be those of before */
    bs_extents_free(&moved);
    bs_free(chunk);
    return status;
}

void bs_h5_watch(struct bs_h5_node *node, bs_h5_full_chunk_fn each, void *context)
{
    assert(node->kind == BS_NODE_COLUMN);
    node->as.column->watch = each;
    node->as.column->watch_context = context;
}

uint64_t bs_h5_rows(const struct bs_h5_node *column)
{
    return column->kind == BS_NODE_COLUMN ? column->as.column->rows : 0;
}

uint64_t bs_h5_chunk_rows(const struct bs_h5_node *column)
{
    return column->kind == BS_NODE_COLUMN ? column->as.column->chunk_rows : 0;
}
