/* family_write.c - rows from the memtable into the columns of the file.
 *
 * A family is written in slices of a bounded number of batches; within a slice the columns are
 * shared out over the threads, each column by one thread. Everything here is before the flip:
 * after a failure the writer is thrown away and the next attempt begins at the last checkpoint. */
#include "store/store_internal.h"

#define SLICE_BATCHES_MAX ((size_t)4096)
#define SLICE_VIEW_BYTES_MAX ((size_t)8 << 20)   /* of decoded batch views */
#define SLICE_ROWS_MAX ((uint64_t)1 << 20)       /* so that masks and numbers stay small */
#define PARALLEL_BYTES_MIN ((uint64_t)256 << 10) /* less is done by one thread */
#define STRIPES_PER_THREAD 4u

/* ---- compressor memory ------------------------------------------------------------------------ */

void bs_scratch_pool_init(struct bs_scratch_pool *pool)
{
    *pool = (struct bs_scratch_pool){0};
    bs_mutex_init(&pool->lock);
}

void bs_scratch_pool_destroy(struct bs_scratch_pool *pool)
{
    for (size_t i = 0; i < pool->count; i++) bs_codec_scratch_free(pool->idle[i]);
    bs_free(pool->idle);
    bs_mutex_destroy(&pool->lock);
}

basalt_status bs_scratch_take(
    struct bs_scratch_pool *pool, struct bs_codec_scratch **out_scratch, basalt_error *err)
{
    *out_scratch = NULL;
    bs_mutex_lock(&pool->lock);
    if (pool->count) *out_scratch = pool->idle[--pool->count];
    bs_mutex_unlock(&pool->lock);
    return *out_scratch ? BASALT_OK : bs_codec_scratch_create(out_scratch, err);
}

void bs_scratch_give(struct bs_scratch_pool *pool, struct bs_codec_scratch *scratch)
{
    bool kept = false;
    if (!scratch) return;
    bs_mutex_lock(&pool->lock);
    if (pool->count == pool->capacity) {
        const size_t capacity = pool->capacity ? pool->capacity * 2 : 8;
        void *grown = bs_realloc(pool->idle, capacity * sizeof *pool->idle);
        if (grown) {
            pool->idle = grown;
            pool->capacity = capacity;
        }
    }
    if (pool->count < pool->capacity) {
        pool->idle[pool->count++] = scratch;
        kept = true;
    }
    bs_mutex_unlock(&pool->lock);
    if (!kept) bs_codec_scratch_free(scratch);
}

/* ---- a slice of batches ------------------------------------------------------------------------ */

struct slice {
    const struct bs_file_work *work;
    struct bs_family *family;
    struct bs_batch *batches;
    size_t count, capacity;
    uint64_t rows, bytes, first_row;
    const struct bs_family_links *links; /* of the last root, or NULL */
};

static void slice_clear(struct slice *slice)
{
    for (size_t i = 0; i < slice->count; i++) bs_batch_clear(&slice->batches[i]);
    slice->count = 0;
    slice->rows = slice->bytes = 0;
}

static size_t slice_capacity(const struct bs_family *family)
{
    const size_t view_bytes = family->schema->field_count * sizeof(struct bs_column);
    const size_t fit = SLICE_VIEW_BYTES_MAX / view_bytes;
    return BS_MIN(BS_MAX(fit, 1u), SLICE_BATCHES_MAX);
}

/* Decodes batches from *op on until the slice is full; *op is then the first that it lacks. */
static basalt_status slice_fill(
    struct slice *slice, struct bs_op **op, bs_lsn cut, basalt_error *err)
{
    struct bs_family *family = slice->family;
    slice->first_row = family->file->rows;
    while (*op && slice->count < slice->capacity && slice->rows < SLICE_ROWS_MAX) {
        if ((*op)->first_row != slice->first_row + slice->rows) {
            return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
                "the family \"%.60s\" has %llu rows in the file, the log goes on at row %llu",
                family->name, (unsigned long long)(slice->first_row + slice->rows),
                (unsigned long long)(*op)->first_row);
        }
        const basalt_status status = bs_batch_decode(
            family->schema, (*op)->block, (*op)->bytes, &slice->batches[slice->count], err);
        if (status) return status;
        slice->count++;
        slice->rows += (*op)->rows;
        slice->bytes += (*op)->bytes;
        *op = bs_op_next(*op, cut);
    }
    return BASALT_OK;
}

/* ---- values of one column ---------------------------------------------------------------------- */

static bool is_null(const struct bs_column *column, uint64_t row)
{
    return !((column->validity[row / 8] >> (row % 8)) & 1);
}

/* What stands in the file where a value is missing. */
static void missing_value(const struct bs_field *field, uint8_t out[8])
{
    const uint64_t lowest = (uint64_t)1 << (field->width_bytes * 8 - 1);
    bs_store_u64(out, lowest); /* of a signed integer, little-endian */
    if (field->kind == BS_KIND_FLOAT) {
        const uint64_t quiet = field->width_bytes == 2 ? 0x7E00u
            : field->width_bytes == 4                  ? 0x7FC00000u
                                                       : 0x7FF8000000000000u;
        bs_store_u64(out, quiet);
    }
}

static bool nulls_need_a_value(const struct bs_field *field)
{
    switch (field->kind) {
    case BS_KIND_FLOAT:
    case BS_KIND_DATE:
    case BS_KIND_TIME:
    case BS_KIND_TIMESTAMP:
    case BS_KIND_DURATION: return true;
    default: return false;
    }
}

/* A copy of the column's values in which nulls are what the file shows for them. */
static void copy_with_missing(
    const struct bs_field *field, const struct bs_column *column, uint64_t rows, uint8_t *out)
{
    uint8_t missing[8];
    const size_t width = field->width_bytes;
    missing_value(field, missing);
    memcpy(out, column->values, (size_t)rows * width);
    for (uint64_t row = 0; row < rows; row++) {
        if (is_null(column, row)) memcpy(out + row * width, missing, width);
    }
}

/* ---- what they are ------------------------------------------------------------------------------ */

struct counting { /* goes through the slice beside the append of a column */
    const struct slice *slice;
    size_t column, batch;
    uint64_t row; /* in the batch */
    basalt_status status;
    basalt_error *err;
};

static void count_up_to(struct counting *counting, uint64_t end)
{
    const struct slice *slice = counting->slice;
    const struct bs_field *field = &slice->family->schema->fields[counting->column];
    struct bs_tally *tally = &slice->family->file->columns[counting->column].tally;
    while (counting->batch < slice->count && tally->first_row + tally->running.rows < end) {
        const struct bs_batch *batch = &slice->batches[counting->batch];
        const struct bs_column *column = &batch->columns[counting->column];
        const uint64_t left = end - tally->first_row - tally->running.rows;
        const uint64_t count = BS_MIN(left, batch->rows - counting->row);
        if (count) {
            const size_t at = (size_t)counting->row * field->width_bytes;
            bs_statistics_add(&tally->running, field, at ? column->values + at : column->values,
                column->null_count ? column->validity : NULL, counting->row, count);
        }
        counting->row += count;
        if (counting->row < batch->rows) continue;
        counting->batch++;
        counting->row = 0;
    }
}

static void count_chunk(void *context, const struct bs_h5_full_chunk *chunk)
{
    struct counting *counting = context;
    struct bs_family *family = counting->slice->family;
    if (counting->status) return;
    count_up_to(counting,
        chunk->first_row + bs_h5_chunk_rows(family->file->columns[counting->column].values));
    counting->status =
        bs_tally_end_chunk(family, counting->column, counting->slice->links, chunk, counting->err);
}

static basalt_status append_counted(const struct slice *slice, size_t index,
    struct bs_codec_scratch *scratch, const struct bs_h5_piece *pieces, basalt_error *err)
{
    struct counting counting = {.slice = slice, .column = index, .err = err};
    struct bs_h5_node *node = slice->family->file->columns[index].values;
    bs_h5_watch(node, count_chunk, &counting);
    const basalt_status status =
        bs_h5_append(slice->work->writer, node, scratch, pieces, slice->count, err);
    bs_h5_watch(node, NULL, NULL);
    if (status || counting.status) return status ? status : counting.status;
    count_up_to(&counting, slice->first_row + slice->rows);
    return BASALT_OK;
}

static basalt_status write_values(
    const struct slice *slice, size_t index, struct bs_codec_scratch *scratch, basalt_error *err)
{
    const struct bs_field *field = &slice->family->schema->fields[index];
    const bool replace = nulls_need_a_value(field);
    struct bs_h5_piece *pieces = bs_alloc_zeroed(slice->count, sizeof *pieces);
    uint8_t *copies = NULL;
    size_t copy_bytes = 0, at = 0;
    basalt_status status = BASALT_OK;
    if (!pieces) return bs_fail_memory(err, slice->count * sizeof *pieces);
    for (size_t i = 0; replace && i < slice->count; i++) {
        const struct bs_batch *batch = &slice->batches[i];
        if (batch->columns[index].null_count)
            copy_bytes += (size_t)batch->rows * field->width_bytes;
    }
    if (copy_bytes && !(copies = bs_alloc(copy_bytes))) {
        status = bs_fail_memory(err, copy_bytes);
        goto out;
    }
    for (size_t i = 0; i < slice->count; i++) {
        const struct bs_batch *batch = &slice->batches[i];
        const struct bs_column *column = &batch->columns[index];
        pieces[i] = (struct bs_h5_piece){column->values, column->offsets, batch->rows};
        if (!replace || !column->null_count) continue;
        copy_with_missing(field, column, batch->rows, copies + at);
        pieces[i].values = copies + at;
        at += (size_t)batch->rows * field->width_bytes;
    }
    BS_TRY(append_counted(slice, index, scratch, pieces, err));
out:
    bs_free(copies);
    bs_free(pieces);
    return status;
}

/* ---- which rows are there ------------------------------------------------------------------------ */

/* Appends a byte a row: `null_byte` where the value is missing, else the dataset's fill value, of
 * which stretches without a null cost nothing. */
static basalt_status write_mask(const struct slice *slice, size_t index, struct bs_h5_node *node,
    uint8_t null_byte, uint64_t fill_first, struct bs_codec_scratch *scratch, basalt_error *err)
{
    struct bs_h5_writer *writer = slice->work->writer;
    uint64_t fill = fill_first;
    uint8_t *bytes = NULL;
    basalt_status status = BASALT_OK;
    for (size_t i = 0; i < slice->count; i++) {
        const struct bs_batch *batch = &slice->batches[i];
        const struct bs_column *column = &batch->columns[index];
        if (!column->null_count) {
            fill += batch->rows;
            continue;
        }
        if (fill) BS_TRY(bs_h5_append_fill(writer, node, scratch, fill, err));
        fill = 0;
        bytes = bs_alloc((size_t)batch->rows);
        if (!bytes) {
            status = bs_fail_memory(err, (size_t)batch->rows);
            goto out;
        }
        for (uint64_t row = 0; row < batch->rows; row++) {
            bytes[row] = is_null(column, row) ? null_byte : !null_byte;
        }
        const struct bs_h5_piece piece = {bytes, NULL, batch->rows};
        BS_TRY(bs_h5_append(writer, node, scratch, &piece, 1, err));
        bs_free(bytes);
        bytes = NULL;
    }
    if (fill) BS_TRY(bs_h5_append_fill(writer, node, scratch, fill, err));
out:
    bs_free(bytes);
    return status;
}

static bool has_nulls(const struct slice *slice, size_t index)
{
    for (size_t i = 0; i < slice->count; i++) {
        if (slice->batches[i].columns[index].null_count) return true;
    }
    return false;
}

static basalt_status write_column(
    const struct slice *slice, size_t index, struct bs_codec_scratch *scratch, basalt_error *err)
{
    const struct bs_field *field = &slice->family->schema->fields[index];
    struct bs_h5_node *mask = slice->family->file->columns[index].mask;
    basalt_status status = write_values(slice, index, scratch, err);
    if (status) return status;
    if (bs_field_form(field) == BS_FORM_MASKED) {
        return write_mask(slice, index, mask, 1, 0, scratch, err);
    }
    if (!mask || !has_nulls(slice, index)) return BASALT_OK; /* rows that it lacks are there */
    return write_mask(slice, index, mask, 0, slice->first_row - bs_h5_rows(mask), scratch, err);
}

static basalt_status write_index(
    const struct slice *slice, struct bs_codec_scratch *scratch, basalt_error *err)
{
    const size_t bytes = (size_t)slice->rows * 8;
    uint8_t *numbers = bs_alloc(bytes);
    if (!numbers) return bs_fail_memory(err, bytes);
    for (uint64_t row = 0; row < slice->rows; row++) {
        bs_store_u64(numbers + row * 8, slice->first_row + row);
    }
    const struct bs_h5_piece piece = {numbers, NULL, slice->rows};
    const basalt_status status =
        bs_h5_append(slice->work->writer, slice->family->file->index, scratch, &piece, 1, err);
    bs_free(numbers);
    return status;
}

/* ---- sharing the columns out --------------------------------------------------------------------- */

/* What one thread does to a range of columns; column `column_count` is the row numbers. */
struct stripe {
    const struct bs_file_work *work;
    void *what;
    basalt_status (*each)(
        void *what, size_t column, struct bs_codec_scratch *scratch, basalt_error *err);
    size_t first, end;
};

static basalt_status run_stripe(void *argument, basalt_error *err)
{
    const struct stripe *stripe = argument;
    struct bs_codec_scratch *scratch = NULL;
    basalt_status status = bs_scratch_take(stripe->work->scratches, &scratch, err);
    for (size_t i = stripe->first; !status && i < stripe->end; i++) {
        status = stripe->each(stripe->what, i, scratch, err);
    }
    bs_scratch_give(stripe->work->scratches, scratch);
    return status;
}

static basalt_status each_column(const struct bs_file_work *work, const struct bs_family *family,
    uint64_t bytes, void *what,
    basalt_status (*each)(void *, size_t, struct bs_codec_scratch *, basalt_error *),
    basalt_error *err)
{
    const size_t columns = family->schema->field_count + (family->row_index ? 1 : 0);
    const size_t threads = work->sched ? bs_sched_threads(work->sched) : 1;
    const size_t stripe_count =
        bytes < PARALLEL_BYTES_MIN ? 1 : BS_MIN(columns, threads * STRIPES_PER_THREAD);
    struct bs_job *job = NULL;
    struct stripe whole = {work, what, each, 0, columns};
    basalt_status status = BASALT_OK;
    if (stripe_count <= 1) return run_stripe(&whole, err);
    struct stripe *stripes = bs_alloc_zeroed(stripe_count, sizeof *stripes);
    if (!stripes) return bs_fail_memory(err, stripe_count * sizeof *stripes);
    BS_TRY(bs_job_create(work->sched, BS_PRIORITY_BACKGROUND, NULL, &job, err));
    for (size_t i = 0; i < stripe_count; i++) {
        stripes[i] = whole;
        stripes[i].first = columns * i / stripe_count;
        stripes[i].end = columns * (i + 1) / stripe_count;
        bs_job_spawn(job, run_stripe, &stripes[i]);
    }
    status = bs_job_wait(job, err);
out:
    bs_job_free(job);
    bs_free(stripes);
    return status;
}

static basalt_status append_column(
    void *what, size_t column, struct bs_codec_scratch *scratch, basalt_error *err)
{
    const struct slice *slice = what;
    return column < slice->family->schema->field_count ? write_column(slice, column, scratch, err)
                                                       : write_index(slice, scratch, err);
}

/* Structure changes belong to one thread: the datasets of first nulls are made before the columns
 * are shared out. */
static basalt_status make_validities(const struct slice *slice, basalt_error *err)
{
    const struct bs_family *family = slice->family;
    for (size_t i = 0; i < family->schema->field_count; i++) {
        if (family->file->columns[i].mask || !has_nulls(slice, i)) continue;
        const basalt_status status = bs_family_file_validity(slice->work, family, i, err);
        if (status) return status;
    }
    return BASALT_OK;
}

/* Is a chunk that an earlier session began full once the slice is written? All columns are alike. */
static bool ends_old_chunk(const struct slice *slice)
{
    const struct bs_column_file *column = &slice->family->file->columns[0];
    const uint64_t chunk_rows = bs_h5_chunk_rows(column->values);
    const uint64_t begun = column->tally.first_row % chunk_rows;
    return begun && slice->first_row + slice->rows - column->tally.first_row >= chunk_rows - begun;
}

/* Without what the last root has such a chunk has no statistics, and nothing else is lost. */
static basalt_status open_links(const struct bs_file_work *work, struct bs_family *family,
    struct bs_family_links *out_links, basalt_error *err)
{
    basalt_error why = {0};
    const basalt_status status =
        bs_family_links_open(work->committed, family, family->schema->field_count, out_links, &why);
    if (status != BASALT_NO_MEMORY && status != BASALT_IO_ERROR) return BASALT_OK;
    if (err) *err = why;
    return status;
}

basalt_status bs_family_file_append(const struct bs_file_work *work, struct bs_family *family,
    const struct bs_part *part, bs_lsn cut, basalt_error *err)
{
    struct slice slice = {.work = work, .family = family, .capacity = slice_capacity(family)};
    struct bs_family_links links = {0};
    struct bs_op *op = bs_op_first(&part->first, cut);
    basalt_status status = BASALT_OK;
    slice.batches = bs_alloc_zeroed(slice.capacity, sizeof *slice.batches);
    if (!slice.batches) return bs_fail_memory(err, slice.capacity * sizeof *slice.batches);
    while (op) {
        BS_TRY(slice_fill(&slice, &op, cut, err));
        BS_TRY(make_validities(&slice, err));
        if (ends_old_chunk(&slice) && !links.group) {
            BS_TRY(open_links(work, family, &links, err));
            slice.links = links.group ? &links : NULL;
        }
        BS_TRY(each_column(work, family, slice.bytes, &slice, append_column, err));
        family->file->rows += slice.rows;
        slice_clear(&slice);
    }
out:
    bs_family_links_close(&links);
    slice_clear(&slice);
    bs_free(slice.batches);
    return status;
}

/* ---- whole columns ------------------------------------------------------------------------------- */

struct column_work {
    const struct bs_file_work *work;
    struct bs_family *family;
    uint64_t chunk_rows;                 /* 0: finish the tail */
    const struct bs_family_links *links; /* of the last root, or NULL */
};

struct new_chunks { /* what they are is told while they are made */
    const struct column_work *task;
    size_t column;
    uint8_t *validity; /* a bit a row of the column; NULL: all are there */
    basalt_status status;
    basalt_error *err;
};

static void note_mask(void *context, const struct bs_h5_full_chunk *chunk)
{
    struct new_chunks *made = context;
    const struct bs_family *family = made->task->family;
    const uint64_t rows = family->file->rows;
    const size_t bit_bytes = (size_t)(rows / 8 + 1);
    const bool missing = bs_field_form(&family->schema->fields[made->column]) == BS_FORM_MASKED;
    const uint8_t *bytes = chunk->rows;
    if (made->status) return;
    if (!made->validity) {
        made->validity = bs_alloc(bit_bytes);
        if (!made->validity) {
            made->status = bs_fail_memory(made->err, bit_bytes);
            return;
        }
        memset(made->validity, 0xFF, bit_bytes);
    }
    for (uint64_t i = 0; i < made->task->chunk_rows && chunk->first_row + i < rows; i++) {
        const uint64_t row = chunk->first_row + i;
        if ((bytes[i] != 0) != missing) continue;
        made->validity[row / 8] &= (uint8_t) ~(1u << (row % 8));
    }
}

static void note_values(void *context, const struct bs_h5_full_chunk *chunk)
{
    struct new_chunks *made = context;
    const struct bs_family *family = made->task->family;
    struct bs_chunk_statistics values = {0};
    if (made->status) return;
    bs_statistics_add(&values, &family->schema->fields[made->column], chunk->rows, made->validity,
        chunk->first_row, made->task->chunk_rows);
    made->status = bs_tally_put(
        &family->file->columns[made->column].tally, made->column, chunk, &values, made->err);
}

static basalt_status rechunk_watched(const struct column_work *task, struct bs_h5_node *node,
    struct bs_codec_scratch *scratch, bs_h5_full_chunk_fn each, struct new_chunks *made)
{
    bs_h5_watch(node, each, made);
    const basalt_status status =
        bs_h5_rechunk(task->work->writer, node, scratch, task->chunk_rows, made->err);
    bs_h5_watch(node, NULL, NULL);
    return status ? status : made->status;
}

/* The mask first: it says which of the values count. It is made as long as they are, so that it has
 * all full chunks that they have. */
static basalt_status rechunk_column(const struct column_work *task, size_t column,
    struct bs_codec_scratch *scratch, basalt_error *err)
{
    struct new_chunks made = {.task = task, .column = column, .err = err};
    struct bs_column_file *file = &task->family->file->columns[column];
    const uint64_t rows = bs_h5_rows(file->values);
    basalt_status status = BASALT_OK;
    if (file->mask && bs_h5_rows(file->mask) < rows) {
        BS_TRY(bs_h5_append_fill(
            task->work->writer, file->mask, scratch, rows - bs_h5_rows(file->mask), err));
    }
    if (file->mask) BS_TRY(rechunk_watched(task, file->mask, scratch, note_mask, &made));
    BS_TRY(rechunk_watched(task, file->values, scratch, note_values, &made));
    bs_tally_begin(&file->tally, rows);
out:
    bs_free(made.validity);
    return status;
}

static void note_tail(void *context, const struct bs_h5_full_chunk *chunk)
{
    struct new_chunks *made = context;
    made->status =
        bs_tally_end_chunk(made->task->family, made->column, made->task->links, chunk, made->err);
}

static basalt_status finish_column(const struct column_work *task, size_t column,
    struct bs_codec_scratch *scratch, basalt_error *err)
{
    struct new_chunks made = {.task = task, .column = column, .err = err};
    const struct bs_column_file *file = &task->family->file->columns[column];
    bs_h5_watch(file->values, note_tail, &made);
    basalt_status status = bs_h5_finish_tail(task->work->writer, file->values, scratch, err);
    bs_h5_watch(file->values, NULL, NULL);
    if (!status) status = made.status;
    if (status || !file->mask) return status;
    return bs_h5_finish_tail(task->work->writer, file->mask, scratch, err);
}

static basalt_status work_on_column(
    void *what, size_t column, struct bs_codec_scratch *scratch, basalt_error *err)
{
    const struct column_work *task = what;
    const struct bs_family_file *file = task->family->file;
    if (column < file->column_count) {
        return task->chunk_rows ? rechunk_column(task, column, scratch, err)
                                : finish_column(task, column, scratch, err);
    }
    return task->chunk_rows
        ? bs_h5_rechunk(task->work->writer, file->index, scratch, task->chunk_rows, err)
        : bs_h5_finish_tail(task->work->writer, file->index, scratch, err);
}

basalt_status bs_family_file_grow(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    const uint64_t grown = bs_family_chunk_rows_grown(family);
    const uint64_t now = atomic_load_explicit(&family->chunk_rows_now, memory_order_relaxed);
    struct column_work task = {work, family, grown, NULL};
    if (now >= grown || family->file->rows < now * BS_CHUNKS_BEFORE_GROWTH) return BASALT_OK;
    basalt_status status = bs_statistics_drop(work, family, err);
    if (status) return status;
    status = each_column(work, family, PARALLEL_BYTES_MIN, &task, work_on_column, err);
    if (!status) atomic_store_explicit(&family->chunk_rows_now, grown, memory_order_relaxed);
    return status;
}

basalt_status bs_family_file_finish(
    const struct bs_file_work *work, struct bs_family *family, basalt_error *err)
{
    struct bs_family_links links = {0};
    struct column_work task = {work, family, 0, NULL};
    const uint64_t chunk = atomic_load_explicit(&family->chunk_rows_now, memory_order_relaxed);
    const uint64_t bytes = family->file->rows % chunk * family->schema->field_count * 8;
    basalt_status status = BASALT_OK;
    if (family->file->columns[0].tally.first_row % chunk) {
        BS_TRY(open_links(work, family, &links, err));
        task.links = links.group ? &links : NULL;
    }
    BS_TRY(each_column(work, family, bytes, &task, work_on_column, err));
    BS_TRY(bs_statistics_flush(work, family, err));
    BS_TRY(bs_statistics_finish(work, family, err));
out:
    bs_family_links_close(&links);
    return status;
}
