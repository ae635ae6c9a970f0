/* table_where.c - the rows of a table whose values are in given ranges.
 *
 * Rows are looked at a block at a time. The first column with a range is read, and the rows marked that are
 * in it; then the next, unless no row is left; then, only if one is left, the cursor's other columns: so
 * of a block that is ruled out no more is read than what rules it out. A column that has a range and is
 * asked for is read once. What is handed out is cut down to the marked rows (table_compact.c).
 *
 * A block is whole chunks, of the largest chunks that the columns have, so that no chunk is decoded for two
 * blocks: BLOCK_ROWS_MIN rows or the least above it. Without chunks it is BLOCK_ROWS_MIN.
 *
 * Each column with a range is a stage: a cursor of its own. Records that several of the columns are in are
 * read by the first stage and passed on (bs_cursor_take_pieces). */
#include "tables/tables_internal.h"

#define BLOCK_ROWS_MIN ((uint64_t)16384)
#define BLOCK_ROWS_MAX ((uint64_t)1 << 20)
#define RANGES_MAX 4096

struct stage {
    size_t column;
    struct bs_table_cursor *cursor; /* of that column */
    size_t range_count;
    struct bs_range *ranges;
    struct bs_known *known;  /* what others found in the column; lent by the table, or NULL */
    enum bs_verdict verdict; /* of the block at hand, before it is read */
    bool wanted;             /* by the cursor */
    struct ArrowArray array; /* of the block at hand; or none */
};

struct given {    /* a column of the cursor */
    size_t stage; /* SIZE_MAX: it is read by `rest`, */
    size_t place; /* as its column so and so */
    struct ArrowSchema schema;
};

struct bs_where {
    size_t stage_count;
    struct stage *stages;
    struct bs_table_cursor *rest;
    size_t given_count;
    struct given *given;
    uint64_t block_rows; /* 0: as the cursors say */
    uint8_t *in;         /* a byte a row of the block: 1, it is wanted */
    uint64_t in_capacity;
    basalt_hdf5_run *runs;
    size_t run_count, run_capacity;
};

void bs_where_free(struct bs_where *where)
{
    if (!where) return;
    for (size_t i = 0; where->stages && i < where->stage_count; i++) {
        struct stage *stage = &where->stages[i];
        if (stage->array.release) stage->array.release(&stage->array);
        bs_cursor_close(stage->cursor);
        bs_free(stage->ranges);
    }
    for (size_t i = 0; where->given && i < where->given_count; i++) {
        if (where->given[i].schema.release) where->given[i].schema.release(&where->given[i].schema);
    }
    bs_cursor_close(where->rest);
    bs_free(where->stages);
    bs_free(where->given);
    bs_free(where->in);
    bs_free(where->runs);
    bs_free(where);
}

/* ---- ranges of a cursor ------------------------------------------------------------------------ */

static const char *format_of(const struct bs_table *table, const struct bs_column_of *column)
{
    if (column->dictionary && !table->options.without_dictionaries) return "a dictionary";
    if (column->dictionary) return column->dictionary->value.format;
    return column->format ? column->format : column->value.format;
}

static basalt_status add_range(const struct bs_table *table, struct bs_where *where,
    const basalt_hdf5_range *range, basalt_error *err)
{
    struct stage *stage = NULL;
    struct bs_range made;
    if (range->column >= table->column_count) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "a range is for column %zu; the table has %zu", range->column, table->column_count);
    }
    const struct bs_column_of *column = &table->columns[range->column];
    const char *format = format_of(table, column);
    if (!bs_range_of(format, range, &made)) {
        return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "column \"%.80s\" has no numbers that a range could be of (Arrow's type of it is %.40s)",
            column->name, format);
    }
    for (size_t i = 0; i < where->stage_count; i++) {
        if (where->stages[i].column == range->column) stage = &where->stages[i];
    }
    if (!stage) stage = &where->stages[where->stage_count++];
    stage->column = range->column;
    struct bs_range *more =
        bs_realloc(stage->ranges, (stage->range_count + 1) * sizeof *stage->ranges);
    if (!more) return bs_fail_memory(err, (stage->range_count + 1) * sizeof *more);
    stage->ranges = more;
    stage->ranges[stage->range_count++] = made;
    return BASALT_OK;
}

static basalt_status open_stages(
    const struct bs_table_cursor *cursor, struct bs_where *where, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < where->stage_count; i++) {
        struct stage *stage = &where->stages[i];
        status =
            bs_cursor_open(cursor->table, &stage->column, 1, &cursor->how, &stage->cursor, err);
        if (status) return status;
        stage->cursor->keeps_pieces = true;
        status =
            bs_table_known(cursor->table, stage->column, stage->ranges[0].code, &stage->known, err);
    }
    return status;
}

/* Which columns the stages read, each once, and a cursor for the others. */
static basalt_status open_rest(
    const struct bs_table_cursor *cursor, struct bs_where *where, basalt_error *err)
{
    size_t *columns = bs_alloc_zeroed(cursor->column_count + 1, sizeof *columns);
    bool *taken = bs_alloc_zeroed(where->stage_count + 1, sizeof *taken);
    size_t count = 0;
    basalt_status status = BASALT_OK;
    where->given = bs_alloc_zeroed(cursor->column_count + 1, sizeof *where->given);
    if (!columns || !taken || !where->given) {
        status = bs_fail_memory(err, cursor->column_count * sizeof *where->given);
        goto out;
    }
    for (size_t i = 0; i < cursor->column_count; i++) {
        struct given *given = &where->given[where->given_count++];
        const size_t column = cursor->columns[i].column;
        given->stage = SIZE_MAX;
        for (size_t k = 0; k < where->stage_count; k++) {
            if (where->stages[k].column != column || taken[k]) continue;
            given->stage = k;
            taken[k] = where->stages[k].wanted = true;
        }
        if (given->stage == SIZE_MAX) {
            given->place = count;
            columns[count++] = column;
        }
        BS_TRY(bs_column_schema(cursor->table, column, &given->schema, err));
    }
    BS_TRY(bs_cursor_open(cursor->table, columns, count, &cursor->how, &where->rest, err));
out:
    bs_free(columns);
    bs_free(taken);
    return status;
}

/* Takes the largest chunks of the cursor's that are not larger than `rows_max`; false: its rows are parts
 * of a dataset's, and it says itself how many are best read. */
static bool fit_chunks(
    const struct bs_table_cursor *cursor, uint64_t rows_max, uint64_t *chunk_rows)
{
    for (size_t i = 0; i < cursor->piece_count; i++) {
        const struct bs_block *block = &cursor->table->blocks[cursor->pieces[i].block];
        const uint64_t rows = bs_block_chunk_rows(block);
        if (block->rows_each > 1) return false;
        if (rows <= rows_max) *chunk_rows = BS_MAX(*chunk_rows, rows);
    }
    return true;
}

static uint64_t choose_block_rows(const struct bs_where *where)
{
    const uint64_t batch = where->rest->column_count ? bs_cursor_batch_rows(where->rest, 0)
                                                     : bs_where_batch_rows(where, 0);
    const uint64_t rows_max = BS_MIN(batch, BLOCK_ROWS_MAX);
    uint64_t chunk = 0;
    bool fits = fit_chunks(where->rest, rows_max, &chunk);
    for (size_t i = 0; i < where->stage_count; i++) {
        fits &= fit_chunks(where->stages[i].cursor, rows_max, &chunk);
    }
    if (!fits) return 0;
    chunk = BS_MAX(chunk, 1);
    const uint64_t rows = BS_MIN(BS_MAX(BLOCK_ROWS_MIN, chunk), rows_max);
    return BS_MIN((rows + chunk - 1) / chunk, rows_max / chunk) * chunk;
}

basalt_status bs_cursor_set_ranges(struct bs_table_cursor *cursor, const basalt_hdf5_range *ranges,
    size_t range_count, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (range_count > RANGES_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "%zu ranges were given; there may be %d", range_count, RANGES_MAX);
    }
    struct bs_where *where = bs_alloc_zeroed(1, sizeof *where);
    if (!where) return bs_fail_memory(err, sizeof *where);
    where->stages = bs_alloc_zeroed(range_count + 1, sizeof *where->stages);
    if (!where->stages) BS_TRY(bs_fail_memory(err, range_count * sizeof *where->stages));
    for (size_t i = 0; i < range_count; i++) {
        BS_TRY(add_range(cursor->table, where, &ranges[i], err));
    }
    BS_TRY(open_stages(cursor, where, err));
    BS_TRY(open_rest(cursor, where, err));
    where->block_rows = choose_block_rows(where);
    bs_where_free(cursor->where);
    cursor->where = where;
    where = NULL;
out:
    bs_where_free(where);
    return status;
}

/* ---- how many rows ----------------------------------------------------------------------------- */

uint64_t bs_where_batch_rows(const struct bs_where *where, uint64_t first)
{
    const bool has_rest = where->rest->column_count || !where->stage_count;
    uint64_t rows = has_rest ? bs_cursor_batch_rows(where->rest, first) : 1;
    for (size_t i = 0; i < where->stage_count; i++) {
        rows = BS_MAX(rows, bs_cursor_batch_rows(where->stages[i].cursor, first));
    }
    return rows;
}

static void add_needs(const struct bs_table_cursor *cursor, basalt_hdf5_needs *needs)
{
    basalt_hdf5_needs more;
    bs_cursor_needs(cursor, &more);
    needs->row_bytes += more.row_bytes;
    needs->memory_bytes += more.memory_bytes;
    needs->chunk_bytes = BS_MAX(needs->chunk_bytes, more.chunk_bytes);
    needs->chunk_rows = BS_MAX(needs->chunk_rows, more.chunk_rows);
}

void bs_where_needs(const struct bs_where *where, basalt_hdf5_needs *out_needs)
{
    *out_needs = (basalt_hdf5_needs){.row_bytes = 1,
        .memory_bytes = where->in_capacity + where->run_capacity * sizeof *where->runs};
    add_needs(where->rest, out_needs);
    for (size_t i = 0; i < where->stage_count; i++) add_needs(where->stages[i].cursor, out_needs);
}

static uint64_t rows_of_block(const struct bs_where *where, uint64_t first)
{
    uint64_t rows = BLOCK_ROWS_MAX;
    if (where->block_rows) return where->block_rows - first % where->block_rows;
    if (where->rest->column_count) rows = bs_cursor_batch_rows(where->rest, first);
    for (size_t i = 0; i < where->stage_count; i++) {
        rows = BS_MIN(rows, bs_cursor_batch_rows(where->stages[i].cursor, first));
    }
    return rows;
}

/* ---- a block ----------------------------------------------------------------------------------- */

static basalt_status mark_all(
    struct bs_where *where, uint64_t count, uint64_t step, basalt_error *err)
{
    if (count > where->in_capacity) {
        bs_free(where->in);
        where->in_capacity = 0;
        where->in = bs_alloc((size_t)count);
        if (!where->in) return bs_fail_memory(err, (size_t)count);
        where->in_capacity = count;
    }
    memset(where->in, step == 1, (size_t)count);
    for (uint64_t i = 0; step > 1 && i < count; i += step) where->in[i] = 1;
    return BASALT_OK;
}

static basalt_status read_stage(
    struct bs_where *where, size_t index, uint64_t first, uint64_t count, basalt_error *err)
{
    struct stage *stage = &where->stages[index];
    for (size_t i = 0; i < index; i++) {
        bs_cursor_take_pieces(stage->cursor, where->stages[i].cursor);
    }
    const basalt_status status = bs_cursor_read(stage->cursor, first, count, &stage->array, err);
    if (status) return status;
    bs_known_learn(stage->known, stage->array.children[0], first);
    for (size_t i = 0; stage->verdict != BS_ALL && i < stage->range_count; i++) {
        bs_range_keep(&stage->ranges[i], stage->array.children[0], where->in);
    }
    return BASALT_OK;
}

/* What is known of rows [first, end) without reading them; false: none is in all ranges. */
static bool ask_stages(struct bs_where *where, uint64_t first, uint64_t end)
{
    for (size_t i = 0; i < where->stage_count; i++) {
        struct stage *stage = &where->stages[i];
        stage->verdict = BS_ALL;
        for (size_t k = 0; k < stage->range_count; k++) {
            const enum bs_verdict verdict = bs_known_ask(
                stage->cursor->table, stage->column, stage->known, &stage->ranges[k], first, end);
            if (verdict == BS_NONE) return false;
            if (verdict == BS_SOME) stage->verdict = BS_SOME;
        }
    }
    return true;
}

static void drop_stages(struct bs_where *where)
{
    for (size_t i = 0; i < where->stage_count; i++) {
        struct stage *stage = &where->stages[i];
        if (stage->array.release) stage->array.release(&stage->array);
        bs_cursor_drop_pieces(stage->cursor);
    }
}

static basalt_status add_run(
    struct bs_where *where, uint64_t first, uint64_t count, basalt_error *err)
{
    if (where->run_count == where->run_capacity) {
        const size_t capacity = BS_MAX(where->run_capacity * 2, 64);
        basalt_hdf5_run *more = bs_realloc(where->runs, capacity * sizeof *more);
        if (!more) return bs_fail_memory(err, capacity * sizeof *more);
        where->runs = more;
        where->run_capacity = capacity;
    }
    where->runs[where->run_count++] = (basalt_hdf5_run){first, count};
    return BASALT_OK;
}

static basalt_status gather_runs(
    struct bs_where *where, uint64_t first, uint64_t count, basalt_error *err)
{
    const uint8_t *in = where->in, *const end = in + count;
    basalt_status status = BASALT_OK;
    where->run_count = 0;
    while (!status && in < end) {
        const uint8_t *from = memchr(in, 1, (size_t)(end - in));
        if (!from) break;
        const uint8_t *to = memchr(from, 0, (size_t)(end - from));
        if (!to) to = end;
        status = add_run(where, first + (uint64_t)(from - where->in), (uint64_t)(to - from), err);
        in = to;
    }
    return status;
}

/* The child becomes another array's: its memory is a part of its parent's until it is released. */
static void move_child(struct ArrowArray *from, size_t index, struct ArrowArray *out)
{
    *out = *from->children[index];
    from->children[index]->release = NULL;
}

/* The block's marked rows, now that the stages hold theirs. */
static basalt_status take_rows(struct bs_where *where, uint64_t first, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    struct ArrowArray rest = {0};
    basalt_status status = bs_array_make(out, 1, where->given_count, false, err);
    if (status) return status;
    for (size_t i = 0; i < where->stage_count; i++) {
        bs_cursor_take_pieces(where->rest, where->stages[i].cursor);
    }
    BS_TRY(bs_cursor_read(where->rest, first, count, &rest, err));
    for (size_t i = 0; i < where->given_count; i++) {
        const struct given *given = &where->given[i];
        struct ArrowArray *from =
            given->stage == SIZE_MAX ? &rest : &where->stages[given->stage].array;
        move_child(from, given->stage == SIZE_MAX ? given->place : 0, out->children[i]);
        BS_TRY(bs_array_compact(
            &given->schema, out->children[i], first, where->runs, where->run_count, err));
    }
    for (size_t i = 0; i < where->run_count; i++) {
        out->length += (int64_t)where->runs[i].row_count;
    }
out:
    if (rest.release) rest.release(&rest);
    if (status) out->release(out);
    return status;
}

/* Rows [first, first + count), every `step`-th: runs and rows, if there are any. */
static basalt_status find_in_block(struct bs_where *where, uint64_t first, uint64_t count,
    uint64_t step, struct ArrowArray *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    where->run_count = 0;
    if (!ask_stages(where, first, first + count)) return BASALT_OK;
    BS_TRY(mark_all(where, count, step, err));
    for (size_t i = 0; i < where->stage_count; i++) {
        if (where->stages[i].verdict == BS_ALL && !where->stages[i].wanted) continue;
        BS_TRY(read_stage(where, i, first, count, err));
        if (!memchr(where->in, 1, (size_t)count)) goto out;
    }
    BS_TRY(gather_runs(where, first, count, err));
    BS_TRY(take_rows(where, first, count, out, err));
out:
    drop_stages(where);
    if (status) where->run_count = 0;
    return status;
}

/* ---- all of them ------------------------------------------------------------------------------- */

static bool can_be_in(const struct bs_where *where)
{
    for (size_t i = 0; i < where->stage_count; i++) {
        for (size_t k = 0; k < where->stages[i].range_count; k++) {
            const struct bs_range *range = &where->stages[i].ranges[k];
            if (range->nothing && !range->nan) return false;
        }
    }
    return true;
}

static basalt_status search(struct bs_table_cursor *cursor, uint64_t first, uint64_t end,
    uint64_t step, basalt_hdf5_found *out, basalt_error *err)
{
    struct bs_where *where = cursor->where;
    uint64_t row = can_be_in(where) ? first : end;
    while (row < end) {
        uint64_t count = BS_MIN(rows_of_block(where, row), end - row);
        basalt_status status;
        for (;;) { /* fewer rows, if they are too much text */
            status = bs_cancel_check(cursor->how.cancel, err);
            if (!status) status = find_in_block(where, row, count, step, &out->rows, err);
            if (status != BASALT_TOO_LARGE || count == 1) break;
            count = (count + 1) / 2;
        }
        if (status) return status;
        const uint64_t ahead = (count + step - 1) / step;
        row = ahead > (end - row) / step ? end : row + ahead * step;
        if (where->run_count) break;
    }
    out->next_row = row;
    out->runs = where->runs;
    out->run_count = where->run_count;
    return BASALT_OK;
}

basalt_status bs_cursor_find(struct bs_table_cursor *cursor, uint64_t first, uint64_t end,
    uint64_t step, basalt_hdf5_found *out_found, basalt_error *err)
{
    memset(out_found, 0, sizeof *out_found);
    if (first > end || end > cursor->table->rows || !step) {
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "rows %" PRIu64 " to %" PRIu64 ", %" PRIu64
            " apart, were asked for; the table has %" PRIu64,
            first, end, step, cursor->table->rows);
    }
    basalt_status status = BASALT_OK;
    if (!cursor->where) status = bs_cursor_set_ranges(cursor, NULL, 0, err);
    if (!status) {
        cursor->where->run_count = 0;
        status = search(cursor, first, end, step, out_found, err);
    }
    if (status) memset(out_found, 0, sizeof *out_found);
    return status;
}
