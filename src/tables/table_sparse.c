/* table_sparse.c - a sparse matrix as (row, column, value), an entry a row, in the order of the file.
 *
 * AnnData's csr_matrix and csc_matrix, and h5sparse before it: `data` and `indices` have a value for
 * each entry; entries indptr[m] to indptr[m + 1] - 1 are those of row m (CSR) or column m (CSC). Which m
 * an entry belongs to is found by bisection in the file, then followed by windows of indptr. A cursor
 * that goes on where it was begins at the m where it was. */
#include "tables/tables_internal.h"

#define WINDOW_ROWS 4096

static basalt_status check_pointers(const struct bs_h5_object *object, basalt_error *err)
{
    const struct bs_h5_dataset *dataset = bs_h5_object_dataset(object);
    const bool integers = dataset && dataset->type->kind == BS_H5_INTEGER &&
        dataset->type->size_bytes <= 8 && dataset->type->bit_precision > 0 &&
        dataset->type->bit_offset + dataset->type->bit_precision <= dataset->type->size_bytes * 8;
    if (integers && dataset->space.rank == 1 && dataset->space.dims[0] > 0) return BASALT_OK;
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its indptr is not a row of integers");
}

static basalt_status add_major(
    struct bs_table *table, const char *name, const struct bs_h5_object *group, basalt_error *err)
{
    struct bs_h5_object *pointers = NULL;
    basalt_status status = bs_open_child(table->h5, group, "indptr", &pointers, err);
    if (!status) status = check_pointers(pointers, err);
    if (!status) status = bs_table_add_number(table, name, BS_COLUMN_MAJOR, err);
    if (status) {
        bs_h5_object_close(pointers);
        return status;
    }
    struct bs_column_of *column = &table->columns[table->column_count - 1];
    column->object = pointers;
    column->modulo = bs_dataset_rows(bs_h5_object_dataset(pointers));
    return BASALT_OK;
}

static basalt_status add_entries(struct bs_table *table, const char *name,
    const struct bs_h5_object *group, const char *link, basalt_error *err)
{
    struct bs_h5_object *object = NULL;
    basalt_status status = bs_open_child(table->h5, group, link, &object, err);
    if (!status) status = bs_table_add_dataset(table, name, object, NULL, err);
    if (status) bs_error_prefix(err, "its %s", link);
    return status;
}

basalt_status bs_table_open_sparse(
    struct bs_table *table, const struct bs_h5_object *group, bool *out_found, basalt_error *err)
{
    enum bs_encoding encoding;
    const struct bs_h5_attribute *shape = bs_h5_attribute_find(group, "shape");
    struct bs_bytes text = {0};
    *out_found = false;
    basalt_status status = bs_group_encoding(table->h5, group, &encoding, err);
    if (status) return status;
    bool is_csr = false, is_csc = false;
    status = bs_has_text(table->h5, group, "h5sparse_format", "csr", &is_csr, err);
    if (!status) status = bs_has_text(table->h5, group, "h5sparse_format", "csc", &is_csc, err);
    if (status) return status;
    if (is_csr) encoding = BS_ENCODING_CSR;
    if (is_csc) encoding = BS_ENCODING_CSC;
    if (encoding != BS_ENCODING_CSR && encoding != BS_ENCODING_CSC) return BASALT_OK;
    *out_found = true;
    const bool by_row = encoding == BS_ENCODING_CSR;
    table->kind = by_row ? "sparse matrix (CSR)" : "sparse matrix (CSC)";
    status = by_row ? add_major(table, "row", group, err)
                    : add_entries(table, "row", group, "indices", err);
    if (!status) {
        status = by_row ? add_entries(table, "column", group, "indices", err)
                        : add_major(table, "column", group, err);
    }
    if (!status) status = add_entries(table, "value", group, "data", err);
    if (!shape) shape = bs_h5_attribute_find(group, "h5sparse_shape");
    if (!status && shape) {
        status = bs_attribute_json(NULL, table->h5, shape, &text, err);
        bs_metadata_put(&table->metadata, "basalt.matrix_shape", text.data, text.count);
    }
    bs_bytes_free(&text);
    return status ? status : bs_bytes_check(&table->metadata, err);
}

/* ---- reading ----------------------------------------------------------------------------------- */

struct window { /* entries [first, first + count) of indptr */
    const struct bs_table_cursor *cursor;
    const struct bs_column_of *column;
    const struct bs_h5_type *type;
    uint64_t first, count;
    uint8_t bytes[WINDOW_ROWS * 8];
};

static basalt_status load(struct window *window, uint64_t first, uint64_t count, basalt_error *err)
{
    const struct bs_h5_object *pointers = window->column->object;
    window->type = bs_h5_object_type(pointers);
    window->first = first;
    window->count = BS_MIN(BS_MIN(count, WINDOW_ROWS), window->column->modulo - first);
    return bs_cursor_read_rows(window->cursor, pointers, first, window->count, window->bytes,
        window->count * window->type->size_bytes, err);
}

static int64_t pointer_at(const struct window *window, uint64_t index)
{
    return bs_value_integer(
        window->type, window->bytes + (index - window->first) * window->type->size_bytes);
}

/* The last m whose entries begin at `entry` or before; its window begins there. */
static basalt_status find_major(
    struct window *window, uint64_t entry, uint64_t low, basalt_error *err)
{
    uint64_t high = window->column->modulo;
    basalt_status status = BASALT_OK;
    while (!status && high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        status = load(window, middle, 1, err);
        if (!status && pointer_at(window, middle) <= (int64_t)entry) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if (!status) status = load(window, low, WINDOW_ROWS, err);
    if (status || (pointer_at(window, low) <= (int64_t)entry && low + 1 < window->column->modulo)) {
        return status;
    }
    return bs_fail(
        err, BASALT_CORRUPT, BASALT_NO_OFFSET, "its indptr says nothing of entry %" PRIu64, entry);
}

static basalt_status fill(struct window *window, struct bs_taken *taken, uint64_t first,
    uint64_t count, uint8_t *out, basalt_error *err)
{
    const bool goes_on = first == taken->entry && taken->major < window->column->modulo;
    uint64_t major = goes_on ? taken->major : 0;
    basalt_status status = find_major(window, first, major, err);
    major = window->first;
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t entry = (int64_t)(first + i);
        while (
            major + 1 < window->first + window->count && pointer_at(window, major + 1) <= entry) {
            major++;
        }
        if (major + 1 >= window->first + window->count) {
            status = find_major(window, first + i, major, err);
            major = window->first;
        }
        bs_store_u64(out + i * 8, major);
    }
    taken->major = major;
    taken->entry = first + count;
    return status;
}

basalt_status bs_sparse_read_major(const struct bs_table_cursor *cursor, struct bs_taken *taken,
    uint64_t first, uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    uint8_t *data;
    struct window *window = bs_alloc_zeroed(1, sizeof *window);
    if (!window) return bs_fail_memory(err, sizeof *window);
    window->cursor = cursor;
    window->column = &cursor->table->columns[taken->column];
    basalt_status status = bs_array_make(out, 2, 0, false, err);
    if (!status) {
        out->length = (int64_t)count;
        status = bs_array_buffer(out, 1, (size_t)count * 8, &data, err);
        if (!status && count > 0) status = fill(window, taken, first, count, data, err);
        if (status) out->release(out);
    }
    bs_free(window);
    return status;
}
