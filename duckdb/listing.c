/* listing.c - rows that were made beforehand, handed to DuckDB. */
#include "listing.h"

#include <stdlib.h>

struct listing *listing_new(const struct listing_column *columns, size_t column_count)
{
    struct listing *listing = calloc(1, sizeof *listing);
    if (!listing) return NULL;
    listing->columns = columns;
    listing->column_count = column_count;
    return listing;
}

void listing_free(void *data)
{
    struct listing *listing = data;
    if (!listing) return;
    for (size_t i = 0; i < listing->count; i++) {
        free(listing->cells[i].text);
        free(listing->cells[i].numbers);
    }
    free(listing->cells);
    free(listing);
}

static struct cell *add_cell(struct listing *listing)
{
    static const struct cell empty = {0};
    if (listing->failed) return NULL;
    if (listing->count == listing->capacity) {
        const size_t capacity = MAX_OF(listing->capacity * 2, 256);
        struct cell *larger = realloc(listing->cells, capacity * sizeof *larger);
        listing->failed = !larger;
        if (!larger) return NULL;
        listing->cells = larger;
        listing->capacity = capacity;
    }
    struct cell *cell = &listing->cells[listing->count++];
    *cell = empty;
    return cell;
}

void add_text(struct listing *listing, const char *text)
{
    struct cell *cell = add_cell(listing);
    if (!cell || !text) return;
    cell->text = copy_text(text);
    cell->known = cell->text != NULL;
    listing->failed |= !cell->text;
}

void add_number(struct listing *listing, uint64_t number)
{
    struct cell *cell = add_cell(listing);
    if (!cell) return;
    cell->number = number;
    cell->known = true;
}

void add_flag(struct listing *listing, bool flag)
{
    add_number(listing, flag);
}

void add_null(struct listing *listing)
{
    (void)add_cell(listing);
}

void add_numbers(struct listing *listing, const uint64_t *numbers, size_t count)
{
    struct cell *cell = add_cell(listing);
    if (!cell) return;
    cell->numbers = calloc(count + 1, sizeof *cell->numbers);
    listing->failed |= !cell->numbers;
    if (!cell->numbers) return;
    memcpy(cell->numbers, numbers, count * sizeof *numbers);
    cell->number = count;
    cell->known = true;
}

static duckdb_logical_type cell_type(enum cell_kind kind)
{
    if (kind == CELL_TEXT) return duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    if (kind == CELL_FLAG) return duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_UBIGINT);
    if (kind == CELL_NUMBER) return number;
    duckdb_logical_type list = duckdb_create_list_type(number);
    duckdb_destroy_logical_type(&number);
    return list;
}

void listing_bind(
    duckdb_bind_info info, struct listing *listing, bool fine, struct failure *failure)
{
    if (fine && (!listing || listing->failed)) fine = fail_memory(failure);
    if (!fine) {
        duckdb_bind_set_error(info, failure->message);
        listing_free(listing);
        return;
    }
    for (size_t i = 0; i < listing->column_count; i++) {
        duckdb_logical_type type = cell_type(listing->columns[i].kind);
        duckdb_bind_add_result_column(info, listing->columns[i].name, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_bind_set_cardinality(info, listing->count / listing->column_count, true);
    duckdb_bind_set_bind_data(info, listing, listing_free);
}

void listing_bind_files(duckdb_bind_info info, const struct listing_column *columns, size_t count,
    char *inside, look_fn *look)
{
    struct failure failure = {""};
    struct file_list files;
    struct listing *listing = listing_new(columns, count);
    duckdb_value value = duckdb_bind_get_parameter(info, 0);
    bool fine = files_of(value, &files, &failure);
    for (size_t i = 0; listing && fine && i < files.count; i++) {
        fine = look(listing, files.paths[i], inside, &failure);
    }
    duckdb_destroy_value(&value);
    files_clear(&files);
    free(inside);
    listing_bind(info, listing, fine, &failure);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void listing_init(duckdb_init_info info)
{
    size_t *row = calloc(1, sizeof *row);
    if (!row) {
        duckdb_init_set_error(info, "there is not enough memory");
        return;
    }
    duckdb_init_set_max_threads(info, 1);
    duckdb_init_set_init_data(info, row, free);
}

static void write_numbers(duckdb_vector out, idx_t row, const struct cell *cell)
{
    const idx_t size = duckdb_list_vector_get_size(out);
    duckdb_list_vector_reserve(out, size + cell->number);
    duckdb_list_vector_set_size(out, size + cell->number);
    ((duckdb_list_entry *)duckdb_vector_get_data(out))[row] =
        (duckdb_list_entry){size, cell->number};
    uint64_t *items = duckdb_vector_get_data(duckdb_list_vector_get_child(out));
    if (cell->number) memcpy(items + size, cell->numbers, cell->number * sizeof *items);
}

static void write_cell(duckdb_vector out, idx_t row, enum cell_kind kind, const struct cell *cell)
{
    if (!cell->known) {
        duckdb_vector_ensure_validity_writable(out);
        duckdb_validity_set_row_invalid(duckdb_vector_get_validity(out), row);
        if (kind == CELL_NUMBERS) write_numbers(out, row, cell);
        return;
    }
    switch (kind) {
    case CELL_TEXT: duckdb_vector_assign_string_element(out, row, cell->text); break;
    case CELL_NUMBER: ((uint64_t *)duckdb_vector_get_data(out))[row] = cell->number; break;
    case CELL_FLAG: ((bool *)duckdb_vector_get_data(out))[row] = cell->number != 0; break;
    case CELL_NUMBERS: write_numbers(out, row, cell); break;
    }
}

static void listing_rows(duckdb_function_info info, duckdb_data_chunk output)
{
    const struct listing *listing = duckdb_function_get_bind_data(info);
    size_t *row = duckdb_function_get_init_data(info);
    const size_t rows = listing->count / listing->column_count;
    const size_t count = MIN_OF(rows - *row, (size_t)duckdb_vector_size());
    for (size_t i = 0; i < listing->column_count; i++) {
        duckdb_vector out = duckdb_data_chunk_get_vector(output, i);
        for (size_t k = 0; k < count; k++) {
            write_cell(out, k, listing->columns[i].kind,
                &listing->cells[(*row + k) * listing->column_count + i]);
        }
    }
    duckdb_data_chunk_set_size(output, count);
    *row += count;
}

duckdb_table_function listing_function(
    const char *name, unsigned parameters, duckdb_table_function_bind_t bind)
{
    duckdb_table_function function = make_function(name, parameters, bind);
    duckdb_table_function_set_init(function, listing_init);
    duckdb_table_function_set_function(function, listing_rows);
    return function;
}
