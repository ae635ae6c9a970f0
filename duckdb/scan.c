/* scan.c - the rows of a query's files, by as many threads as DuckDB gives.
 *
 * The rows of all files are cut into morsels: the rows that are best read at once, whole chunks. A thread
 * takes the next morsel by adding one to a counter, reads it through a reader of its own, which is that of
 * one file at a time, and hands it to DuckDB a vector at a time. That counter is all that threads share
 * besides the open files, which nobody changes: there is no lock, so none to wait for while another query,
 * or the other half of a UNION, is asked for rows first. A thread that is never asked again holds a
 * morsel that no one else waits for: DuckDB has then ended the query (LIMIT, cancel).
 *
 * A table's row may be many rows of the result (`explode`): those of a dense matrix in long form. Rows are
 * counted in the table's; `flat` is a row of the result counted from the first of the batch at hand.
 *
 * With where_column a reader finds the rows that are wanted (where.c): a batch is then some rows of a
 * morsel, end to end, and runs say which. */
#include "scan.h"

#include <stdlib.h>

/* ---- tables as a source --------------------------------------------------------------------- */

static bool table_open(const struct scan_part *part, const size_t *columns, size_t column_count,
    void **out_reader, struct failure *failure)
{
    basalt_hdf5_cursor *cursor = NULL;
    basalt_error error = {0};
    *out_reader = NULL;
    if (basalt_hdf5_cursor_open(part->table, columns, column_count, &cursor, &error)) {
        return fail_file(failure, part->path, &error);
    }
    *out_reader = cursor;
    return true;
}

static void table_close(void *reader)
{
    basalt_hdf5_cursor *cursor = reader;
    basalt_hdf5_cursor_close(&cursor);
}

static uint64_t table_batch_rows(const void *reader)
{
    return basalt_hdf5_cursor_batch_rows(reader, 0);
}

static basalt_status table_read(
    void *reader, uint64_t first, uint64_t count, struct ArrowArray *out_array, basalt_error *err)
{
    return basalt_hdf5_cursor_read(reader, first, count, out_array, err);
}

static void table_needs(const void *reader, basalt_hdf5_needs *out_needs)
{
    basalt_hdf5_cursor_get_needs(reader, out_needs);
}

const struct scan_source table_source = {
    table_open, table_close, table_batch_rows, table_read, table_needs};

/* ---- a query -------------------------------------------------------------------------------- */

struct part_run {          /* of one file: which rows, in which morsels */
    uint64_t first, count; /* rows of the table that are wanted, `step` apart */
    uint64_t end;          /* behind the last of them */
    uint64_t base, rows;   /* morsel k: rows [base + k * rows, base + (k + 1) * rows) */
    uint64_t first_morsel; /* among those of all files */
};

struct run {
    _Atomic unsigned holders; /* the query and its threads: DuckDB does not say which ends last */
    const struct scan_plan *plan;
    struct scan_parts *parts;
    struct part_run *ranges; /* one more than there are parts: the last says how many morsels */
    size_t wanted_count;
    size_t *wanted; /* columns of the result; SIZE_MAX: one that is only counted */
    _Atomic uint64_t next;
    uint64_t share_bytes;                             /* of the budget, a thread's */
    uint64_t piece_bytes;                             /* that the largest piece takes, about */
    _Atomic uint64_t memory_bytes, memory_peak_bytes; /* of all threads, measured at each read */
};

/* The threads' at its peak, and what the files keep now: that only grows, up to its limit. */
static void note_memory_of_query(const struct run *run)
{
    struct scan_counters *counters = run->parts->counters;
    uint64_t bytes = atomic_load(&run->memory_peak_bytes);
    for (size_t i = 0; i < run->parts->count; i++) {
        basalt_hdf5_stats stats;
        if (!run->parts->parts[i].file) continue;
        basalt_hdf5_get_stats(run->parts->parts[i].file, &stats);
        bytes += stats.cache_bytes;
    }
    atomic_store(&counters->memory_last_bytes, bytes);
    counter_raise(&counters->memory_peak_bytes, bytes);
}

static void run_release(void *data)
{
    struct run *run = data;
    if (!run || atomic_fetch_sub(&run->holders, 1) > 1) return;
    if (run->parts) note_memory_of_query(run);
    parts_free(run->parts);
    free(run->ranges);
    free(run->wanted);
    free(run);
}

/* What a thread has at hand. */
struct thread {
    struct run *run; /* from its first call on */
    size_t part;     /* SIZE_MAX: none yet */
    void *reader;
    size_t *slots;   /* of each wanted column: which of the reader's it is, or SIZE_MAX */
    size_t *columns; /* the reader's, of the table */
    size_t column_count;
    uint64_t row, end;     /* of the morsel, still to be read */
    bool gave_rows;        /* it did, so far */
    uint64_t memory_bytes; /* that the last read took */
    uint64_t rows_max;     /* of a read, since one of more took more than its share; 0: none did */
    struct ArrowArray
        batch; /* rows [batch_first, batch_end); none if no column is wanted of the table */
    uint64_t batch_first, batch_end;
    uint64_t flat;           /* the next row to hand out */
    basalt_hdf5_found found; /* with where_column: which rows the batch is; its array is `batch` */
    size_t run_at;           /* the run that row `flat` is in, or behind it, */
    uint64_t run_flat;       /* and the run's first row */
};

/* Of a read of so many rows, about. */
static uint64_t bytes_of(const basalt_hdf5_needs *needs, uint64_t rows)
{
    uint64_t bytes = 0;
    if (__builtin_mul_overflow(needs->row_bytes, rows, &bytes) ||
        __builtin_add_overflow(bytes, needs->chunk_bytes, &bytes)) {
        return UINT64_MAX / 2;
    }
    return bytes;
}

static void set_memory(struct thread *thread, uint64_t bytes)
{
    struct run *run = thread->run;
    const uint64_t before = atomic_fetch_add(&run->memory_bytes, bytes - thread->memory_bytes);
    counter_raise(&run->memory_peak_bytes, before + bytes - thread->memory_bytes);
    thread->memory_bytes = bytes;
}

/* Behind a read of so many rows. Texts can be longer than anybody said: then the next reads are of fewer,
 * so that what goes with the rows fits the share. */
static void note_read(struct thread *thread, uint64_t rows)
{
    const struct run *run = thread->run;
    const struct scan_source *source = run->parts->parts[thread->part].source;
    basalt_hdf5_needs needs;
    if (!thread->reader) return;
    source->needs(thread->reader, &needs);
    set_memory(thread, needs.memory_bytes);
    if (source != &table_source || needs.memory_bytes <= bytes_of(&needs, rows)) return;
    const uint64_t with_rows = needs.memory_bytes - needs.chunk_bytes;
    if (with_rows <= run->share_bytes) return;
    const double part = (double)run->share_bytes / (double)with_rows;
    thread->rows_max = MAX_OF((uint64_t)((double)rows * part), 1);
}

static void close_reader(struct thread *thread)
{
    if (thread->batch.release) thread->batch.release(&thread->batch);
    if (thread->reader) thread->run->parts->parts[thread->part].source->close(thread->reader);
    if (thread->run) set_memory(thread, 0);
    thread->reader = NULL;
    thread->rows_max = 0;
    thread->part = SIZE_MAX;
}

static void thread_free(void *data)
{
    struct thread *thread = data;
    if (!thread) return;
    close_reader(thread);
    run_release(thread->run);
    free(thread->slots);
    free(thread->columns);
    free(thread);
}

/* Which columns of the table the part's reader reads. */
static size_t choose_columns(const struct run *run, size_t part, size_t *slots, size_t *columns)
{
    const struct scan_part *of = &run->parts->parts[part];
    const size_t *column_of = run->parts->column_of + part * run->parts->column_count;
    size_t count = 0;
    for (size_t i = 0; i < run->wanted_count; i++) {
        slots[i] = SIZE_MAX;
        if (run->wanted[i] == SIZE_MAX || column_of[run->wanted[i]] == SIZE_MAX) continue;
        const struct part_column *column = &of->columns[column_of[run->wanted[i]]];
        if (!part_column_is_read(column)) continue;
        slots[i] = count;
        columns[count++] = column->table;
    }
    return count;
}

/* ---- the start of a query ------------------------------------------------------------------- */

#define FEW_ROWS ((uint64_t)2048)        /* DuckDB takes so many at once */
#define COUNTED_ROWS ((uint64_t)1 << 20) /* a morsel of rows of which no column is wanted */

static bool open_reader(const struct run *run, size_t part, const size_t *columns, size_t count,
    void **out_reader, struct failure *failure)
{
    const struct scan_part *of = &run->parts->parts[part];
    const struct where *where = run->plan->request->where;
    *out_reader = NULL;
    if (!count && !where) return true;
    if (!of->source->open(of, columns, count, out_reader, failure)) return false;
    if (!where || where_set(where, run->plan, run->parts, part, *out_reader, failure)) return true;
    of->source->close(*out_reader);
    *out_reader = NULL;
    return false;
}

/* Fewer rows where so many would take more than a thread's share of the budget; but whole chunks, however
 * large: then there are fewer threads, and at last one. */
static uint64_t fit_rows(
    struct run *run, const struct scan_part *part, const void *reader, uint64_t rows)
{
    basalt_hdf5_needs needs;
    part->source->needs(reader, &needs);
    if (bytes_of(&needs, rows) > run->share_bytes) {
        const uint64_t least = MIN_OF(rows, needs.chunk_rows ? needs.chunk_rows : FEW_ROWS);
        const uint64_t room =
            run->share_bytes > needs.chunk_bytes ? run->share_bytes - needs.chunk_bytes : 0;
        rows = MIN_OF(rows, room / MAX_OF(needs.row_bytes, 1));
        if (needs.chunk_rows) rows = rows / needs.chunk_rows * needs.chunk_rows;
        rows = MAX_OF(rows, least);
    }
    run->piece_bytes = MAX_OF(run->piece_bytes, bytes_of(&needs, rows));
    return rows;
}

static bool morsel_rows(struct run *run, size_t part, size_t *slots, size_t *columns,
    uint64_t *out_rows, struct failure *failure)
{
    const struct scan_part *of = &run->parts->parts[part];
    void *reader = NULL;
    const size_t count = choose_columns(run, part, slots, columns);
    *out_rows = COUNTED_ROWS;
    if (!open_reader(run, part, columns, count, &reader, failure)) return false;
    if (!reader) return true;
    *out_rows = fit_rows(run, of, reader, MAX_OF(of->source->batch_rows(reader), 1));
    of->source->close(reader);
    return true;
}

static bool cut_morsels(struct run *run, struct failure *failure)
{
    size_t *slots = calloc(run->wanted_count + 1, sizeof *slots);
    size_t *columns = calloc(run->wanted_count + 1, sizeof *columns);
    bool fine = slots && columns ? true : fail_memory(failure);
    for (size_t i = 0; fine && i < run->parts->count; i++) {
        struct part_run *range = &run->ranges[i];
        part_window(run->plan->request, &run->parts->parts[i], &range->first, &range->count);
        if (!where_has_rows(run->plan->request->where, run->parts, i)) range->count = 0;
        range->rows = COUNTED_ROWS;
        if (range->count) fine = morsel_rows(run, i, slots, columns, &range->rows, failure);
        range->end = range->first;
        if (range->count) range->end += (range->count - 1) * run->plan->request->step + 1;
        range->base = range->first / range->rows * range->rows;
        run->ranges[i + 1].first_morsel =
            range->first_morsel + (range->end - range->base + range->rows - 1) / range->rows;
    }
    free(slots);
    free(columns);
    return fine;
}

/* What is left beside the chunks that files keep. */
static uint64_t pieces_budget(const struct scan_plan *plan)
{
    return plan->request->budget_bytes / 4 * 3;
}

static struct run *run_new(duckdb_init_info info, struct scan_plan *plan, struct failure *failure)
{
    struct run *run = calloc(1, sizeof *run);
    bool fine = run ? true : fail_memory(failure);
    if (!run) return NULL;
    run->plan = plan;
    run->share_bytes = pieces_budget(plan) / MAX_OF(plan->request->threads, 1);
    atomic_store(&run->holders, 1);
    run->wanted_count = duckdb_init_get_column_count(info);
    run->wanted = calloc(run->wanted_count + 1, sizeof *run->wanted);
    run->parts = atomic_exchange(&plan->opened, NULL);
    if (!run->wanted) fine = fail_memory(failure);
    if (fine && !run->parts) fine = parts_open(plan, &run->parts, failure);
    for (size_t i = 0; fine && i < run->wanted_count; i++) {
        const idx_t column = duckdb_init_get_column_index(info, i);
        run->wanted[i] = column < plan->column_count ? column : SIZE_MAX;
    }
    if (fine) run->ranges = calloc(run->parts->count + 1, sizeof *run->ranges);
    if (fine && !run->ranges) fine = fail_memory(failure);
    if (fine) fine = cut_morsels(run, failure);
    if (fine) counter_add(&run->parts->counters->scans, 1);
    if (fine) atomic_store(&run->parts->counters->memory_budget_bytes, plan->request->budget_bytes);
    if (fine) return run;
    run_release(run);
    return NULL;
}

void scan_init(duckdb_init_info info)
{
    struct failure failure = {""};
    struct run *run = run_new(info, duckdb_init_get_bind_data(info), &failure);
    if (!run) {
        duckdb_init_set_error(info, failure.message);
        return;
    }
    const uint64_t threads = pieces_budget(run->plan) / MAX_OF(run->piece_bytes, 1);
    const uint64_t morsels = run->ranges[run->parts->count].first_morsel;
    duckdb_init_set_max_threads(info, MAX_OF(MIN_OF(threads, morsels), 1));
    duckdb_init_set_init_data(info, run, run_release);
}

void scan_init_thread(duckdb_init_info info)
{
    struct thread *thread = calloc(1, sizeof *thread);
    if (!thread) {
        duckdb_init_set_error(info, "there is not enough memory");
        return;
    }
    thread->part = SIZE_MAX;
    duckdb_init_set_init_data(info, thread, thread_free);
}

/* ---- batches -------------------------------------------------------------------------------- */

static bool thread_begin(struct thread *thread, struct run *run, struct failure *failure)
{
    if (thread->run) return true;
    thread->slots = calloc(run->wanted_count + 1, sizeof *thread->slots);
    thread->columns = calloc(run->wanted_count + 1, sizeof *thread->columns);
    if (!thread->slots || !thread->columns) return fail_memory(failure);
    atomic_fetch_add(&run->holders, 1);
    thread->run = run;
    return true;
}

/* The file that the morsel is of. */
static size_t part_of(const struct run *run, uint64_t morsel)
{
    size_t low = 0, high = run->parts->count;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (run->ranges[middle].first_morsel <= morsel) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool enter_part(struct thread *thread, size_t part, struct failure *failure)
{
    if (thread->part == part) return true;
    close_reader(thread);
    thread->column_count = choose_columns(thread->run, part, thread->slots, thread->columns);
    thread->part = part;
    return open_reader(
        thread->run, part, thread->columns, thread->column_count, &thread->reader, failure);
}

/* The first wanted row at `row` or behind it. */
static uint64_t next_wanted(const struct run *run, const struct part_run *range, uint64_t row)
{
    const uint64_t step = run->plan->request->step;
    if (row <= range->first) return range->first;
    return range->first + (row - range->first + step - 1) / step * step;
}

/* The next morsel, if there is one: *out_end says that there is not. */
static bool next_morsel(struct thread *thread, bool *out_end, struct failure *failure)
{
    struct run *run = thread->run;
    const uint64_t morsel = atomic_fetch_add(&run->next, 1);
    *out_end = morsel >= run->ranges[run->parts->count].first_morsel;
    if (*out_end) return true;
    if (!run->plan->request->where) counter_add(&run->parts->counters->pieces_read, 1);
    thread->gave_rows = false;
    const size_t part = part_of(run, morsel);
    const struct part_run *range = &run->ranges[part];
    const uint64_t from = range->base + (morsel - range->first_morsel) * range->rows;
    thread->row = MAX_OF(from, range->first);
    thread->end = MIN_OF(from + range->rows, range->end);
    return enter_part(thread, part, failure);
}

/* The next rows of the morsel that are wanted. */
static bool find_batch(struct thread *thread, struct failure *failure)
{
    const struct scan_part *part = &thread->run->parts->parts[thread->part];
    const struct part_run *range = &thread->run->ranges[thread->part];
    const uint64_t first = MIN_OF(next_wanted(thread->run, range, thread->row), thread->end);
    basalt_error error = {0};
    if (thread->batch.release) thread->batch.release(&thread->batch);
    if (basalt_hdf5_cursor_find(thread->reader, first, thread->end,
            thread->run->plan->request->step, &thread->found, &error)) {
        return fail_file(failure, part->path, &error);
    }
    note_read(thread, 0);
    thread->batch = thread->found.rows;
    thread->batch_first = 0;
    thread->batch_end = thread->batch.release ? (uint64_t)thread->batch.length : 0;
    thread->row = thread->found.next_row;
    thread->gave_rows |= thread->batch_end > 0;
    if (thread->row == thread->end) {
        struct scan_counters *counters = thread->run->parts->counters;
        counter_add(thread->gave_rows ? &counters->pieces_read : &counters->pieces_left_out, 1);
    }
    thread->flat = thread->run_flat = 0;
    thread->run_at = 0;
    return true;
}

/* As many of the morsel's rows as one array may have. */
static bool read_batch(struct thread *thread, struct failure *failure)
{
    const struct scan_part *part = &thread->run->parts->parts[thread->part];
    uint64_t rows = thread->end - thread->row;
    basalt_error error = {0};
    basalt_status status = BASALT_OK;
    if (thread->run->plan->request->where) return find_batch(thread, failure);
    if (thread->rows_max) rows = MIN_OF(rows, thread->rows_max);
    if (thread->batch.release) thread->batch.release(&thread->batch);
    while (thread->column_count) {
        status = part->source->read(thread->reader, thread->row, rows, &thread->batch, &error);
        if (status != BASALT_TOO_LARGE || rows == 1) break;
        rows = (rows + 1) / 2;
    }
    if (status) return fail_file(failure, part->path, &error);
    note_read(thread, rows);
    thread->batch_first = thread->row;
    thread->batch_end = thread->row + rows;
    thread->row += rows;
    const struct part_run *range = &thread->run->ranges[thread->part];
    thread->flat = (next_wanted(thread->run, range, thread->batch_first) - thread->batch_first) *
        part->explode;
    return true;
}

/* Makes sure of rows at thread->flat; *out_end: there are no more. */
static bool find_rows(struct thread *thread, bool *out_end, struct failure *failure)
{
    *out_end = false;
    for (;;) {
        if (thread->part != SIZE_MAX) {
            const uint64_t explode = thread->run->parts->parts[thread->part].explode;
            if (thread->flat < (thread->batch_end - thread->batch_first) * explode) return true;
        }
        if (thread->row < thread->end) {
            if (!read_batch(thread, failure)) return false;
            continue;
        }
        thread->flat = 0;
        thread->batch_first = thread->batch_end = 0;
        if (!next_morsel(thread, out_end, failure)) return false;
        if (*out_end) return true;
    }
}

/* ---- vectors -------------------------------------------------------------------------------- */

struct piece { /* rows of the result: flat, flat + step, … of the batch */
    const struct scan_part *part;
    uint64_t flat, step;
    idx_t count;
};

static void write_all_null(duckdb_vector out, idx_t count)
{
    duckdb_vector_ensure_validity_writable(out);
    uint64_t *validity = duckdb_vector_get_validity(out);
    for (idx_t i = 0; i < count; i++) duckdb_validity_set_row_invalid(validity, i);
}

static uint64_t integer_in(const struct values *values, uint64_t row)
{
    const void *data = values->array->buffers[1];
    switch (values->schema->format[0]) {
    case 'c': return (uint64_t)((const int8_t *)data)[row];
    case 'C': return ((const uint8_t *)data)[row];
    case 's': return (uint64_t)((const int16_t *)data)[row];
    case 'S': return ((const uint16_t *)data)[row];
    case 'i': return (uint64_t)((const int32_t *)data)[row];
    case 'I': return ((const uint32_t *)data)[row];
    default: return ((const uint64_t *)data)[row];
    }
}

static bool write_labels(const struct thread *thread, const struct piece *piece,
    const struct part_column *column, const struct values *values, const struct scan_column *of,
    const struct enum_map *map, duckdb_vector out, struct failure *failure)
{
    const uint64_t explode = piece->part->explode;
    const uint64_t before = thread->batch_first * explode;
    for (idx_t i = 0; i < piece->count; i++) {
        const uint64_t flat = piece->flat + i * piece->step;
        const uint64_t label = part_column_is_read(column) ? integer_in(values, flat)
            : column->kind == PART_MAJOR                   ? (before + flat) / explode
                                                           : (before + flat) % explode;
        if (!column->labels) {
            ((int64_t *)duckdb_vector_get_data(out))[i] = (int64_t)label;
            continue;
        }
        if (label >= column->labels->count) {
            return fail(failure,
                "%s: \"%s\" has the number %" PRIu64 ", but there are %zu names for it",
                piece->part->path, column->name, label, column->labels->count);
        }
        if (!of->as_enum) {
            duckdb_vector_assign_string_element(out, i, column->labels->texts[label]);
        } else {
            enum_write(duckdb_vector_get_data(out), i, of->values.count,
                map->codes ? map->codes[label] : label);
        }
    }
    return true;
}

static bool write_column(const struct thread *thread, const struct piece *piece, size_t slot,
    const struct scan_column *column, const struct part_column *of, const struct enum_map *map,
    duckdb_vector out, struct failure *failure)
{
    struct values values = {
        .enum_count = column->as_enum ? column->values.count : 0, .enum_codes = map->codes};
    if (part_column_is_read(of)) {
        values.schema = piece->part->schema.children[of->table];
        values.array = thread->batch.children[slot];
        if (piece->part->exploded) { /* the items of the list that a row is */
            values.schema = values.schema->children[0];
            values.array = values.array->children[0];
        }
    }
    if (of->labels || of->kind != PART_VALUES) {
        return write_labels(thread, piece, of, &values, column, map, out, failure);
    }
    if (column->epoch.known) {
        return epoch_write(
            &column->epoch, &values, piece->flat, piece->step, piece->count, out, failure);
    }
    return vector_write(&values, piece->flat, piece->step, piece->count, out, 0, failure);
}

/* Rows of the table that the piece's are, by the runs of the batch. */
static void write_run_rows(const struct thread *thread, const struct piece *piece, int64_t *out)
{
    size_t at = thread->run_at;
    uint64_t first = thread->run_flat;
    for (idx_t i = 0; i < piece->count; i++) {
        const uint64_t flat = piece->flat + i;
        while (flat - first >= thread->found.runs[at].row_count) {
            first += thread->found.runs[at++].row_count;
        }
        out[i] = (int64_t)(thread->found.runs[at].first_row + (flat - first));
    }
}

static void write_rows(const struct thread *thread, const struct piece *piece, int64_t *out)
{
    if (thread->run->plan->request->where) {
        write_run_rows(thread, piece, out);
        return;
    }
    for (idx_t i = 0; i < piece->count; i++) {
        out[i] =
            (int64_t)(thread->batch_first + (piece->flat + i * piece->step) / piece->part->explode);
    }
}

static bool write_wanted(const struct thread *thread, const struct piece *piece, size_t index,
    duckdb_vector out, struct failure *failure)
{
    const struct run *run = thread->run;
    const size_t wanted = run->wanted[index];
    if (wanted == SIZE_MAX) return true; /* nobody looks at it */
    const struct scan_column *column = &run->plan->columns[wanted];
    const size_t own = run->parts->column_of[thread->part * run->parts->column_count + wanted];
    if (column->kind == SCAN_ROW) {
        write_rows(thread, piece, duckdb_vector_get_data(out));
    } else if (column->kind == SCAN_FILE) {
        for (idx_t i = 0; i < piece->count; i++) {
            duckdb_vector_assign_string_element(out, i, piece->part->path);
        }
    } else if (own == SIZE_MAX) {
        write_all_null(out, piece->count);
    } else {
        const struct part_column *of = &piece->part->columns[own];
        const struct enum_map *map =
            &run->parts->maps[thread->part * run->parts->column_count + wanted];
        if (write_column(thread, piece, thread->slots[index], column, of, map, out, failure)) {
            return true;
        }
        char why[sizeof failure->message];
        memcpy(why, failure->message, sizeof why);
        return fail(failure, "%s: column \"%s\": %.700s", piece->part->path, column->name, why);
    }
    return true;
}

static struct piece next_piece(const struct thread *thread)
{
    const struct scan_part *part = &thread->run->parts->parts[thread->part];
    const struct scan_request *request = thread->run->plan->request;
    const uint64_t step = request->where ? 1 : request->step; /* what was found is apart already */
    struct piece piece = {.part = part, .flat = thread->flat, .step = 1};
    uint64_t left = (thread->batch_end - thread->batch_first) * part->explode - thread->flat;
    if (part->explode == 1) {
        piece.step = step;
        left = (left + step - 1) / step;
    } else if (step > 1) { /* to the end of a row: the next one is not wanted */
        left = part->explode - thread->flat % part->explode;
    }
    piece.count = MIN_OF(left, duckdb_vector_size());
    return piece;
}

static void pass_piece(struct thread *thread, const struct piece *piece)
{
    const uint64_t explode = piece->part->explode, step = thread->run->plan->request->step;
    thread->flat += piece->count * piece->step;
    while (thread->run_at < thread->found.run_count &&
        thread->flat - thread->run_flat >= thread->found.runs[thread->run_at].row_count) {
        thread->run_flat += thread->found.runs[thread->run_at++].row_count;
    }
    if (explode > 1 && step > 1 && thread->flat % explode == 0) {
        thread->flat += (step - 1) * explode;
    }
}

void scan_rows(duckdb_function_info info, duckdb_data_chunk output)
{
    struct failure failure = {""};
    struct thread *thread = duckdb_function_get_local_init_data(info);
    bool end = false;
    bool fine = thread_begin(thread, duckdb_function_get_init_data(info), &failure);
    if (fine) fine = find_rows(thread, &end, &failure);
    if (fine && !end) {
        const struct piece piece = next_piece(thread);
        for (size_t i = 0; fine && i < thread->run->wanted_count; i++) {
            fine =
                write_wanted(thread, &piece, i, duckdb_data_chunk_get_vector(output, i), &failure);
        }
        if (fine) pass_piece(thread, &piece);
        if (fine) duckdb_data_chunk_set_size(output, piece.count);
        if (fine) counter_add(&thread->run->parts->counters->rows, piece.count);
    } else {
        duckdb_data_chunk_set_size(output, 0);
    }
    if (!fine) duckdb_function_set_error(info, failure.message);
}
