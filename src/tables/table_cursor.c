/* table_cursor.c - rows of a table as Arrow arrays.
 *
 * A table is never changed once it is open, so any number of threads read it at once; what a reader needs
 * of its own, the rows of blocks at hand and where it was in a sparse matrix, is a cursor's, which serves
 * one thread at a time. The one thing that cursors share is a dictionary's values, which whoever needs
 * them first reads and publishes by one exchange of a pointer (table_codes.c).
 *
 * A cursor reads pieces: of every block that its columns are in, the bytes of a row from the first of
 * them to the last. Records and 1-D datasets are one piece. A matrix is cut where columns that are wanted
 * lie so far apart that no chunk has both: what is between them is not read. A column that is the whole
 * of its piece, little-endian numbers, is read straight into the array that is handed out; the others are
 * taken out of the piece's rows.
 * Such columns are read side by side, into blocks that an array of the same cursor gave back if there are
 * any.
 *
 * Memory: one batch of rows of every piece, BS_TABLE_BATCH_BYTES or one row of the dataset, whichever is
 * more. Pieces are kept only where a row of the dataset is many of the table. */
#include "tables/tables_internal.h"

#include <stdlib.h>

#define CHUNK_BYTES_MAX ((uint64_t)64 << 20) /* whole chunks up to this size are read at once */
#define SHARED_ROWS_MIN 4096                 /* fewer are not worth a job */
#define UNKNOWN_BYTES ((uint64_t)32) /* of a text, a sequence, a reference, as an array has it */
#define CHUNK_COPIES 4
#define GAP_BYTES_MAX ((uint64_t)4096) /* read through rather than around, without chunks */

/* ---- pieces ------------------------------------------------------------------------------------ */

/* A matrix whose columns are parts of its rows. */
static bool can_be_cut(const struct bs_block *block)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
    return dataset->space.rank == 2 && block->rows_each == 1 && !dataset->space.null &&
        block->row_bytes > 0;
}

struct wish { /* bytes [low, high) of each row of a block, for one column */
    size_t block;
    uint64_t low, high;
    size_t *piece; /* where the column keeps which piece it is in */
};

static int compare_wishes(const void *a, const void *b)
{
    const struct wish *left = a, *right = b;
    if (left->block != right->block) return left->block < right->block ? -1 : 1;
    if (left->low != right->low) return left->low < right->low ? -1 : 1;
    return left->high < right->high ? -1 : left->high > right->high;
}

static struct wish wish_of(
    const struct bs_table *table, size_t block, uint64_t low, uint64_t bytes, size_t *piece)
{
    const struct bs_block *of = &table->blocks[block];
    const uint64_t item = bs_h5_object_type(of->object)->size_bytes;
    const bool cut = can_be_cut(of) && low % item == 0 && bytes % item == 0 && bytes > 0;
    return (struct wish){block, cut ? low : 0, cut ? low + bytes : of->row_bytes, piece};
}

/* Whether reading from the one to the other costs nothing more than reading both. */
static bool are_near(const struct bs_block *block, uint64_t end, uint64_t low)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
    if (low <= end) return true;
    if (dataset->layout != BS_H5_CHUNKED || !dataset->chunk_dims[1]) {
        return low - end <= GAP_BYTES_MAX;
    }
    const uint64_t chunk = dataset->chunk_dims[1] * dataset->type->size_bytes;
    return low / chunk <= (end - 1) / chunk + 1;
}

static basalt_status join_wishes(
    struct bs_table_cursor *cursor, const struct wish *wishes, size_t count, basalt_error *err)
{
    struct bs_piece *piece = NULL;
    cursor->pieces = bs_alloc_zeroed(count + 1, sizeof *cursor->pieces);
    if (!cursor->pieces) return bs_fail_memory(err, count * sizeof *cursor->pieces);
    for (size_t i = 0; i < count; i++) {
        const struct wish *wish = &wishes[i];
        const struct bs_block *block = &cursor->table->blocks[wish->block];
        if (!piece || piece->block != wish->block || !are_near(block, piece->high, wish->low)) {
            piece = &cursor->pieces[cursor->piece_count++];
            *piece = (struct bs_piece){.block = wish->block, .low = wish->low};
        }
        piece->high = BS_MAX(piece->high, wish->high);
        piece->columns++;
        *wish->piece = cursor->piece_count - 1;
    }
    return BASALT_OK;
}

static basalt_status plan_pieces(struct bs_table_cursor *cursor, basalt_error *err)
{
    const struct bs_table *table = cursor->table;
    size_t count = 0;
    struct wish *wishes = bs_alloc_zeroed(cursor->column_count * 2 + 1, sizeof *wishes);
    if (!wishes) return bs_fail_memory(err, cursor->column_count * 2 * sizeof *wishes);
    for (size_t i = 0; i < cursor->column_count; i++) {
        struct bs_taken *taken = &cursor->columns[i];
        const struct bs_column_of *column = &table->columns[taken->column];
        if (column->kind == BS_COLUMN_BLOCK) {
            wishes[count++] = wish_of(
                table, column->block, column->offset, column->value.element_bytes, &taken->piece);
        }
        if (column->mask != SIZE_MAX) {
            wishes[count++] = wish_of(table, column->mask, 0, 1, &taken->mask);
        }
    }
    qsort(wishes, count, sizeof *wishes, compare_wishes);
    const basalt_status status = join_wishes(cursor, wishes, count, err);
    bs_free(wishes);
    return status;
}

/* Numbers whose bytes in the file are those of the array. */
static bool is_as_stored(const struct bs_value *value)
{
    const struct bs_h5_type *type = value->type;
    if (value->kind == BS_VALUE_ARRAY) return is_as_stored(&value->children[0]);
    if (value->kind != BS_VALUE_FIXED) return false;
    if (type->kind == BS_H5_OPAQUE) return true;
    if (type->kind != BS_H5_INTEGER && type->kind != BS_H5_FLOAT) return false;
    return !type->big_endian && !type->vax && type->bit_precision == type->size_bytes * 8;
}

static bool is_direct(const struct bs_table_cursor *cursor, const struct bs_taken *taken)
{
    const struct bs_column_of *column = &cursor->table->columns[taken->column];
    if (taken->piece == SIZE_MAX || column->dictionary) return false;
    const struct bs_piece *piece = &cursor->pieces[taken->piece];
    return piece->columns == 1 && cursor->table->blocks[piece->block].rows_each == 1 &&
        piece->low == column->offset && piece->high - piece->low == column->value.element_bytes &&
        is_as_stored(&column->value);
}

basalt_status bs_cursor_open(const struct bs_table *table, const size_t *columns,
    size_t column_count, const struct bs_h5_read_how *how, struct bs_table_cursor **out_cursor,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;
    struct bs_table_cursor *cursor = bs_alloc_zeroed(1, sizeof *cursor);
    *out_cursor = NULL;
    if (!cursor) return bs_fail_memory(err, sizeof *cursor);
    cursor->table = table;
    cursor->how = *how;
    cursor->how.workspace_bytes_max = &cursor->workspace_bytes;
    cursor->column_count = columns ? column_count : table->column_count;
    cursor->columns = bs_alloc_zeroed(cursor->column_count + 1, sizeof *cursor->columns);
    if (!cursor->columns) {
        status = bs_fail_memory(err, cursor->column_count * sizeof *cursor->columns);
        goto out;
    }
    for (size_t i = 0; i < cursor->column_count; i++) {
        const size_t column = columns ? columns[i] : i;
        assert(column < table->column_count);
        cursor->columns[i] =
            (struct bs_taken){.column = column, .piece = SIZE_MAX, .mask = SIZE_MAX};
    }
    BS_TRY(bs_block_pool_create(&cursor->pool, err));
    BS_TRY(plan_pieces(cursor, err));
    for (size_t i = 0; i < cursor->column_count; i++) {
        cursor->columns[i].direct = is_direct(cursor, &cursor->columns[i]);
    }
    *out_cursor = cursor;
    cursor = NULL;
out:
    bs_cursor_close(cursor);
    return status;
}

void bs_cursor_close(struct bs_table_cursor *cursor)
{
    if (!cursor) return;
    for (size_t i = 0; i < cursor->piece_count; i++) bs_free(cursor->pieces[i].bytes);
    bs_free(cursor->pieces);
    bs_free(cursor->columns);
    bs_paths_free(cursor->paths);
    bs_block_pool_release(cursor->pool);
    bs_where_free(cursor->where);
    bs_free(cursor);
}

/* ---- how many rows ----------------------------------------------------------------------------- */

uint64_t bs_block_chunk_rows(const struct bs_block *block)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
    return dataset->layout == BS_H5_CHUNKED ? dataset->chunk_dims[0] : 0;
}

uint64_t bs_cursor_batch_rows(const struct bs_table_cursor *cursor, uint64_t first)
{
    const struct bs_table *table = cursor->table;
    if (cursor->where) return bs_where_batch_rows(cursor->where, first);
    const uint64_t chunk_bytes_max = BS_MIN(CHUNK_BYTES_MAX, bs_table_room(table) / 3);
    uint64_t bytes = 0, rows_each = 1, chunk = 0;
    for (size_t i = 0; i < cursor->piece_count; i++) {
        bytes += cursor->pieces[i].high - cursor->pieces[i].low;
        rows_each = BS_MAX(rows_each, table->blocks[cursor->pieces[i].block].rows_each);
    }
    for (size_t i = 0; i < cursor->column_count; i++) {
        if (table->columns[cursor->columns[i].column].kind != BS_COLUMN_BLOCK) bytes += 8;
    }
    bytes = BS_MAX(bytes, 1);
    uint64_t rows = BS_MAX(BS_MIN(BS_TABLE_BATCH_BYTES / bytes, BS_TABLE_BATCH_ROWS_MAX), 1);
    if (rows_each > 1) { /* up to the end of a row of the dataset, or of what fits of it */
        return rows < rows_each ? BS_MIN(rows, rows_each - first % rows_each)
                                : rows / rows_each * rows_each - first % rows_each;
    }
    for (size_t i = 0; i < cursor->piece_count;
         i++) { /* the largest chunks that are not too large */
        const uint64_t found = bs_block_chunk_rows(&table->blocks[cursor->pieces[i].block]);
        if (found <= BS_MAX(rows, chunk_bytes_max / bytes)) chunk = BS_MAX(chunk, found);
    }
    if (!chunk) return rows;
    rows = BS_MAX(rows, chunk);
    return rows / chunk * chunk - first % chunk;
}

/* Of a row of an array, about. */
static uint64_t array_bytes(const struct bs_value *value)
{
    uint64_t bytes = 0;
    switch (value->kind) {
    case BS_VALUE_ARRAY: return value->count * array_bytes(&value->children[0]);
    case BS_VALUE_STRUCT:
        for (size_t i = 0; i < value->child_count; i++) bytes += array_bytes(&value->children[i]);
        return bytes;
    case BS_VALUE_FIXED: return value->element_bytes;
    default: return BS_MAX(value->element_bytes, UNKNOWN_BYTES);
    }
}

void bs_cursor_needs(const struct bs_table_cursor *cursor, basalt_hdf5_needs *out_needs)
{
    const struct bs_table *table = cursor->table;
    if (cursor->where) {
        bs_where_needs(cursor->where, out_needs);
        return;
    }
    *out_needs = (basalt_hdf5_needs){.memory_bytes = cursor->memory_bytes};
    for (size_t i = 0; i < cursor->column_count; i++) {
        const struct bs_column_of *column = &table->columns[cursor->columns[i].column];
        out_needs->row_bytes += array_bytes(&column->value);
    }
    for (size_t i = 0; i < cursor->piece_count; i++) {
        const struct bs_piece *piece = &cursor->pieces[i];
        const struct bs_block *block = &table->blocks[piece->block];
        const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
        uint64_t chunk = dataset->type->size_bytes;
        bool direct = false;
        for (size_t k = 0; k < cursor->column_count; k++) {
            direct |= cursor->columns[k].piece == i && cursor->columns[k].direct;
        }
        if (!direct) out_needs->row_bytes += (piece->high - piece->low) / block->rows_each + 1;
        if (dataset->layout != BS_H5_CHUNKED) continue;
        for (unsigned d = 0; d < dataset->space.rank; d++) {
            if (__builtin_mul_overflow(chunk, dataset->chunk_dims[d], &chunk))
                chunk = UINT64_MAX / 8;
        }
        /* The chunk as it is stored, twice between filters, and as it is read of in part. */
        if (dataset->pipeline.count) chunk *= CHUNK_COPIES;
        out_needs->chunk_bytes = BS_MAX(out_needs->chunk_bytes, chunk);
        if (block->rows_each == 1) {
            out_needs->chunk_rows = BS_MAX(out_needs->chunk_rows, dataset->chunk_dims[0]);
        }
    }
}

/* ---- rows of pieces ---------------------------------------------------------------------------- */

/* Columns [low, high) of the second dimension, or all if high is 0. */
static void select_rows(const struct bs_h5_dataset *dataset, uint64_t first, uint64_t count,
    uint64_t low, uint64_t high, struct bs_h5_selection *selection)
{
    memset(selection, 0, sizeof *selection);
    selection->kind = dataset->space.rank ? BS_H5_SELECT_HYPERSLAB : BS_H5_SELECT_ALL;
    selection->rank = dataset->space.rank;
    for (unsigned i = 0; i < dataset->space.rank; i++) {
        selection->count[i] = selection->stride[i] = 1;
        selection->block[i] = i ? dataset->space.dims[i] : count;
    }
    selection->start[0] = dataset->space.rank ? first : 0;
    if (!high) return;
    selection->start[1] = low;
    selection->block[1] = high - low;
}

basalt_status bs_cursor_read_rows(const struct bs_table_cursor *cursor,
    const struct bs_h5_object *dataset, uint64_t first, uint64_t count, void *out,
    uint64_t out_bytes, basalt_error *err)
{
    struct bs_h5_selection selection;
    if (!count || !out_bytes) return BASALT_OK;
    select_rows(bs_h5_object_dataset(dataset), first, count, 0, 0, &selection);
    return bs_h5_read_selection(
        cursor->table->given, dataset, &selection, &cursor->how, out, out_bytes, err);
}

/* The piece's bytes of the dataset's rows [first, first + count) into `out`. */
static basalt_status read_piece(const struct bs_table_cursor *cursor, const struct bs_piece *piece,
    uint64_t first, uint64_t count, uint8_t *out, uint64_t out_bytes, basalt_error *err)
{
    const struct bs_block *block = &cursor->table->blocks[piece->block];
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(block->object);
    struct bs_h5_selection selection;
    if (piece->high - piece->low == block->row_bytes) {
        return bs_cursor_read_rows(cursor, block->object, first, count, out, out_bytes, err);
    }
    if (!count || !out_bytes) return BASALT_OK;
    const uint64_t item = dataset->type->size_bytes;
    select_rows(dataset, first, count, piece->low / item, piece->high / item, &selection);
    return bs_h5_read_selection(
        cursor->table->given, block->object, &selection, &cursor->how, out, out_bytes, err);
}

static basalt_status count_bytes(
    uint64_t rows, uint64_t rows_each, uint64_t row_bytes, size_t *out_bytes, basalt_error *err)
{
    uint64_t bytes = 0;
    if (!__builtin_mul_overflow(rows, rows_each, &bytes) &&
        !__builtin_mul_overflow(bytes, row_bytes, &bytes) && bytes <= SIZE_MAX / 2) {
        *out_bytes = (size_t)bytes;
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "%" PRIu64 " rows of %" PRIu64 " bytes are more than memory can hold: ask for fewer", rows,
        row_bytes);
}

/* The piece holds rows [first, first + count) of the table, as far as its block has them. */
static basalt_status load_piece(struct bs_table_cursor *cursor, struct bs_piece *piece,
    uint64_t first, uint64_t count, basalt_error *err)
{
    const struct bs_block *block = &cursor->table->blocks[piece->block];
    const uint64_t end = BS_MIN(first + count, block->rows);
    size_t bytes = 0;
    if (first >= end) return BASALT_OK;
    const uint64_t low = first / block->rows_each, high = (end - 1) / block->rows_each + 1;
    if (piece->bytes && piece->first <= low && high <= piece->end) return BASALT_OK;
    bs_free(piece->bytes);
    piece->bytes = NULL;
    basalt_status status =
        count_bytes(high - low, block->rows_each, piece->high - piece->low, &bytes, err);
    if (!status) status = bs_room_take(&cursor->room, bytes, err);
    if (status) return status;
    piece->bytes = bs_alloc(bytes);
    if (!piece->bytes) return bs_fail_memory(err, bytes);
    status = read_piece(cursor, piece, low, high - low, piece->bytes, bytes, err);
    piece->first = low;
    piece->end = status ? low : high;
    return status;
}

/* Where the table's row lies; `offset` counts from the start of a row of the block. */
static const uint8_t *piece_row(const struct bs_table_cursor *cursor, const struct bs_piece *piece,
    uint64_t row, uint64_t offset)
{
    const struct bs_block *block = &cursor->table->blocks[piece->block];
    if (!piece->bytes) return (const uint8_t *)"";
    return piece->bytes + (row - piece->first * block->rows_each) * (piece->high - piece->low) +
        (offset - piece->low);
}

void bs_cursor_drop_pieces(struct bs_table_cursor *cursor)
{
    for (size_t i = 0; i < cursor->piece_count; i++) {
        if (cursor->table->blocks[cursor->pieces[i].block].rows_each > 1) continue;
        bs_free(cursor->pieces[i].bytes);
        cursor->pieces[i].bytes = NULL;
    }
}

void bs_cursor_take_pieces(struct bs_table_cursor *cursor, struct bs_table_cursor *from)
{
    for (size_t i = 0; i < from->piece_count; i++) {
        struct bs_piece *given = &from->pieces[i];
        if (from->table->blocks[given->block].rows_each > 1) continue; /* it goes on in them */
        for (size_t k = 0; given->bytes && k < cursor->piece_count; k++) {
            struct bs_piece *piece = &cursor->pieces[k];
            if (piece->block != given->block || piece->low != given->low ||
                piece->high != given->high) {
                continue;
            }
            bs_free(piece->bytes);
            piece->bytes = given->bytes;
            piece->first = given->first;
            piece->end = given->end;
            given->bytes = NULL;
        }
    }
}

/* ---- columns ----------------------------------------------------------------------------------- */

/* Rows that the mask does not have are there. */
static basalt_status apply_mask(struct bs_table_cursor *cursor, const struct bs_taken *taken,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    struct bs_piece *piece = &cursor->pieces[taken->mask];
    const uint64_t rows = cursor->table->blocks[piece->block].rows;
    const bool means_missing = cursor->table->columns[taken->column].mask_means_missing;
    basalt_status status = load_piece(cursor, piece, first, count, err);
    const uint64_t end = BS_MIN(count, rows > first ? rows - first : 0);
    for (uint64_t i = 0; !status && i < end; i++) {
        if ((*piece_row(cursor, piece, first + i, 0) != 0) != means_missing) continue;
        status = bs_array_null(out, (int64_t)i, err);
    }
    return status;
}

static basalt_status apply_missing(const struct bs_column_of *column, const uint8_t *bytes,
    uint64_t stride, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const size_t width = (size_t)column->value.element_bytes;
    basalt_status status = BASALT_OK;
    for (uint64_t i = 0; !status && i < count; i++) {
        bool missing = false;
        for (size_t k = 0; k < column->missing_count; k++) {
            missing |= !memcmp(bytes + i * stride, column->missing + k * width, width);
        }
        if (missing) status = bs_array_null(out, (int64_t)i, err);
    }
    return status;
}

/* An array whose values are still to be written, at *out_data. */
static basalt_status make_direct(struct bs_block_pool *pool, const struct bs_value *value,
    uint64_t count, struct ArrowArray *out, uint8_t **out_data, basalt_error *err)
{
    const bool is_list = value->kind == BS_VALUE_ARRAY;
    size_t bytes = 0;
    basalt_status status = count_bytes(count, 1, value->element_bytes, &bytes, err);
    if (!status) status = bs_array_make(out, is_list ? 1 : 2, is_list, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    if (is_list) {
        status = make_direct(
            pool, &value->children[0], count * value->count, out->children[0], out_data, err);
    } else {
        status = bs_array_buffer_pooled(pool, out, bytes, out_data, err);
    }
    if (status) out->release(out);
    return status;
}

/* Chunk to array, with nothing between: the array of a direct column, and where its elements go. */
static basalt_status begin_direct(struct bs_table_cursor *cursor, struct bs_taken *taken,
    struct ArrowArray *out, basalt_error *err)
{
    const struct bs_value *value = &cursor->table->columns[taken->column].value;
    size_t bytes = 0;
    basalt_status status = count_bytes(cursor->count, 1, value->element_bytes, &bytes, err);
    if (!status) status = bs_room_take(&cursor->room, bytes, err);
    if (!status) status = make_direct(cursor->pool, value, cursor->count, out, &taken->data, err);
    return status;
}

struct filling {
    const struct bs_table_cursor *cursor;
    const struct bs_taken *taken;
};

static basalt_status fill_direct(void *argument, basalt_error *err)
{
    const struct filling *filling = argument;
    const struct bs_table_cursor *cursor = filling->cursor;
    const struct bs_taken *taken = filling->taken;
    const struct bs_column_of *column = &cursor->table->columns[taken->column];
    const basalt_status status = read_piece(cursor, &cursor->pieces[taken->piece], cursor->first,
        cursor->count, taken->data, cursor->count * column->value.element_bytes, err);
    if (status) bs_error_prefix(err, "column \"%.80s\"", column->name);
    return status;
}

/* All direct columns, side by side if that is worth a job: each is often one chunk of its dataset, which
 * one thread reads. */
static basalt_status read_direct(
    struct bs_table_cursor *cursor, struct ArrowArray *out, basalt_error *err)
{
    struct filling *fillings = bs_alloc_zeroed(cursor->column_count + 1, sizeof *fillings);
    struct bs_job *job = NULL;
    size_t count = 0;
    basalt_status status = BASALT_OK;
    if (!fillings) return bs_fail_memory(err, cursor->column_count * sizeof *fillings);
    for (size_t i = 0; i < cursor->column_count; i++) {
        struct bs_taken *taken = &cursor->columns[i];
        if (!taken->direct) continue;
        fillings[count++] = (struct filling){cursor, taken};
        BS_TRY(begin_direct(cursor, taken, out->children[i], err));
    }
    if (cursor->how.sched && count > 1 && cursor->count >= SHARED_ROWS_MIN)
        BS_TRY(bs_job_create(
            cursor->how.sched, BS_PRIORITY_FOREGROUND, cursor->how.cancel, &job, err));
    for (size_t i = 0; i < count; i++) {
        if (job)
            bs_job_spawn(job, fill_direct, &fillings[i]);
        else
            BS_TRY(fill_direct(&fillings[i], err));
    }
    if (job) BS_TRY(bs_job_wait(job, err));
out:
    bs_job_free(job);
    bs_free(fillings);
    return status;
}

/* The same out of the rows of a piece, `stride` bytes apart. */
static basalt_status read_apart(struct bs_table_cursor *cursor, const struct bs_taken *taken,
    uint64_t first, uint64_t count, struct ArrowArray *out, const uint8_t **out_bytes,
    basalt_error *err)
{
    const struct bs_column_of *column = &cursor->table->columns[taken->column];
    struct bs_piece *piece = &cursor->pieces[taken->piece];
    const struct bs_block *block = &cursor->table->blocks[piece->block];
    const struct bs_value_source source = {
        bs_h5_object_file(block->object), &cursor->paths, &cursor->room};
    const uint64_t stride = piece->high - piece->low;
    const basalt_status status = load_piece(cursor, piece, first, count, err);
    if (status) return status;
    *out_bytes = count ? piece_row(cursor, piece, first, column->offset) : (const uint8_t *)"";
    if (column->dictionary) {
        return bs_cursor_read_codes(cursor, column, *out_bytes, stride, first, count, out, err);
    }
    return bs_value_array(&source, &column->value, *out_bytes, stride, count, out, err);
}

static basalt_status read_elements(struct bs_table_cursor *cursor, const struct bs_taken *taken,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const struct bs_column_of *column = &cursor->table->columns[taken->column];
    const struct bs_piece *piece = &cursor->pieces[taken->piece];
    const uint64_t stride = piece->high - piece->low;
    const uint8_t *bytes = NULL;
    basalt_status status = BASALT_OK;
    if (taken->direct)
        bytes = taken->data; /* read_direct was there */
    else
        status = read_apart(cursor, taken, first, count, out, &bytes, err);
    if (status || column->dictionary) return status;
    if (taken->mask != SIZE_MAX) status = apply_mask(cursor, taken, first, count, out, err);
    if (!status && column->missing_count) {
        status = apply_missing(column, bytes, stride, count, out, err);
    }
    if (status) out->release(out);
    return status;
}

static basalt_status number_rows(struct bs_table_cursor *cursor, const struct bs_column_of *column,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    uint8_t *data;
    basalt_status status = bs_room_take(&cursor->room, count * 8, err);
    if (!status) status = bs_array_make(out, 2, 0, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    status = bs_array_buffer(out, 1, (size_t)count * 8, &data, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        bs_store_u64(data + i * 8, (first + i) / column->divide % column->modulo);
    }
    if (status) out->release(out);
    return status;
}

static basalt_status read_coordinates(struct bs_table_cursor *cursor,
    const struct bs_column_of *column, uint64_t first, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    const struct bs_value_source source = {
        bs_h5_object_file(column->object), &cursor->paths, &cursor->room};
    const uint64_t width = column->value.element_bytes;
    basalt_status status = bs_room_take(&cursor->room, count * width, err);
    if (status) return status;
    uint8_t *bytes = bs_alloc((size_t)(count * width));
    if (!bytes) return bs_fail_memory(err, (size_t)(count * width));
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = (first + i) / column->divide % column->modulo;
        memcpy(bytes + i * width, column->elements + at * width, (size_t)width);
    }
    status = bs_value_array(&source, &column->value, bytes, width, count, out, err);
    bs_free(bytes);
    return status;
}

static basalt_status read_column(struct bs_table_cursor *cursor, struct bs_taken *taken,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const struct bs_column_of *column = &cursor->table->columns[taken->column];
    switch (column->kind) {
    case BS_COLUMN_BLOCK: return read_elements(cursor, taken, first, count, out, err);
    case BS_COLUMN_ROW: return number_rows(cursor, column, first, count, out, err);
    case BS_COLUMN_COORDINATE: return read_coordinates(cursor, column, first, count, out, err);
    case BS_COLUMN_MAJOR: break;
    }
    return bs_sparse_read_major(cursor, taken, first, count, out, err);
}

/* What pieces keep from the rows before is taken already. */
static void set_room(struct bs_table_cursor *cursor)
{
    uint64_t kept = 0;
    for (size_t i = 0; i < cursor->piece_count; i++) {
        const struct bs_piece *piece = &cursor->pieces[i];
        const uint64_t rows_each = cursor->table->blocks[piece->block].rows_each;
        if (piece->bytes)
            kept += (piece->end - piece->first) * rows_each * (piece->high - piece->low);
    }
    cursor->room.left = bs_table_room(cursor->table);
    cursor->room.left -= BS_MIN(kept, cursor->room.left);
}

basalt_status bs_cursor_read(struct bs_table_cursor *cursor, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    const struct bs_table *table = cursor->table;
    memset(out, 0, sizeof *out);
    if (first > table->rows || count > table->rows - first || count > INT64_MAX / 16) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "%" PRIu64 " rows from %" PRIu64 " on were asked for; the table has %" PRIu64, count,
            first, table->rows);
    }
    basalt_status status = bs_array_make(out, 1, cursor->column_count, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    cursor->first = first;
    cursor->count = count;
    set_room(cursor);
    atomic_store(&cursor->workspace_bytes, 0);
    status = read_direct(cursor, out, err);
    for (size_t i = 0; !status && i < cursor->column_count; i++) {
        struct bs_taken *taken = &cursor->columns[i];
        status = read_column(cursor, taken, first, count, out->children[i], err);
        if (status) bs_error_prefix(err, "column \"%.80s\"", table->columns[taken->column].name);
    }
    if (status) out->release(out);
    cursor->memory_bytes = bs_table_room(table) - cursor->room.left +
        atomic_load(&cursor->workspace_bytes) + bs_block_pool_bytes(cursor->pool);
    if (!cursor->keeps_pieces) bs_cursor_drop_pieces(cursor);
    return status;
}
