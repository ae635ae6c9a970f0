/* table_compact.c - an array becomes some of its rows, in its own memory.
 *
 * What is kept moves down over what is not: a row's new place is never behind its old one, so rows are
 * moved in their order. Arrays are those of this floor: without offsets, and nobody else has them yet. */
#include "tables/tables_internal.h"

#include <stdlib.h>

/* Rows [first, first + count) for each run, rising; `rows` of them in all. */
struct kept {
    const basalt_hdf5_run *runs;
    size_t count;
    uint64_t base; /* the runs' number of the array's row 0 */
    uint64_t rows;
};

static size_t width_of(const char *format)
{
    switch (format[0]) {
    case 'c':
    case 'C': return 1;
    case 's':
    case 'S':
    case 'e': return 2;
    case 'i':
    case 'I':
    case 'f': return 4;
    case 'w': return (size_t)strtoull(format + 2, NULL, 10);
    case 't': break;
    default: return 8;
    }
    if (format[1] == 'd') return format[2] == 'D' ? 4 : 8;
    return format[1] == 't' && (format[2] == 's' || format[2] == 'm') ? 4 : 8;
}

static void keep_fixed(uint8_t *data, size_t width, const struct kept *kept)
{
    size_t at = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const size_t from = (size_t)(kept->runs[i].first_row - kept->base) * width;
        const size_t bytes = (size_t)kept->runs[i].row_count * width;
        if (from != at) memmove(data + at, data + from, bytes);
        at += bytes;
    }
}

static void keep_bits(uint8_t *bits, const struct kept *kept)
{
    uint64_t at = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const uint64_t from = kept->runs[i].first_row - kept->base;
        for (uint64_t k = 0; k < kept->runs[i].row_count; k++, at++) {
            const bool set = bits[(from + k) >> 3] >> ((from + k) & 7) & 1;
            const uint8_t bit = (uint8_t)(1u << (at & 7));
            bits[at >> 3] = (uint8_t)(set ? bits[at >> 3] | bit : bits[at >> 3] & ~bit);
        }
    }
}

static uint64_t offset_at(const void *offsets, bool large, uint64_t row)
{
    return large ? (uint64_t)((const int64_t *)offsets)[row]
                 : (uint64_t)((const int32_t *)offsets)[row];
}

static void set_offset(void *offsets, bool large, uint64_t row, uint64_t offset)
{
    if (large)
        ((int64_t *)offsets)[row] = (int64_t)offset;
    else
        ((int32_t *)offsets)[row] = (int32_t)offset;
}

/* Offsets of the rows that are kept, and which of the items these have, as runs in `items`. */
static uint64_t keep_offsets(
    void *offsets, bool large, const struct kept *kept, basalt_hdf5_run *items)
{
    uint64_t at = 0, row = 0;
    for (size_t i = 0; i < kept->count; i++) {
        const uint64_t from = kept->runs[i].first_row - kept->base;
        const uint64_t first = offset_at(offsets, large, from);
        uint64_t start = first;
        for (uint64_t k = 0; k < kept->runs[i].row_count; k++) {
            const uint64_t end = offset_at(offsets, large, from + k + 1);
            set_offset(offsets, large, row++, at + start - first);
            start = end;
        }
        items[i] = (basalt_hdf5_run){first, start - first};
        at += start - first;
    }
    set_offset(offsets, large, row, at);
    return at;
}

static basalt_status compact(const struct ArrowSchema *schema, struct ArrowArray *array,
    const struct kept *kept, basalt_error *err);

static basalt_status keep_variable(const struct ArrowSchema *schema, struct ArrowArray *array,
    const struct kept *kept, basalt_error *err)
{
    const bool large =
        schema->format[0] == 'U' || schema->format[0] == 'Z' || !strcmp(schema->format, "+L");
    struct kept inner = {.count = kept->count};
    basalt_hdf5_run *items = bs_alloc_zeroed(kept->count + 1, sizeof *items);
    basalt_status status = BASALT_OK;
    if (!items) return bs_fail_memory(err, kept->count * sizeof *items);
    inner.rows = keep_offsets((void *)array->buffers[1], large, kept, items);
    inner.runs = items;
    if (schema->n_children)
        status = compact(schema->children[0], array->children[0], &inner, err);
    else if (inner.rows)
        keep_fixed((uint8_t *)array->buffers[2], 1, &inner);
    bs_free(items);
    return status;
}

static basalt_status keep_lists(const struct ArrowSchema *schema, struct ArrowArray *array,
    const struct kept *kept, basalt_error *err)
{
    const uint64_t each = strtoull(schema->format + 3, NULL, 10);
    struct kept inner = {.count = kept->count, .rows = kept->rows * each};
    basalt_hdf5_run *items = bs_alloc_zeroed(kept->count + 1, sizeof *items);
    if (!items) return bs_fail_memory(err, kept->count * sizeof *items);
    for (size_t i = 0; i < kept->count; i++) {
        items[i] = (basalt_hdf5_run){
            (kept->runs[i].first_row - kept->base) * each, kept->runs[i].row_count * each};
    }
    inner.runs = items;
    const basalt_status status = compact(schema->children[0], array->children[0], &inner, err);
    bs_free(items);
    return status;
}

static basalt_status keep_members(const struct ArrowSchema *schema, struct ArrowArray *array,
    const struct kept *kept, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (int64_t i = 0; !status && i < schema->n_children; i++) {
        status = compact(schema->children[i], array->children[i], kept, err);
    }
    return status;
}

static uint64_t count_nulls(const uint8_t *map, uint64_t rows)
{
    uint64_t nulls = 0;
    for (uint64_t i = 0; i < rows; i++) nulls += !(map[i >> 3] >> (i & 7) & 1);
    return nulls;
}

static basalt_status compact(const struct ArrowSchema *schema, struct ArrowArray *array,
    const struct kept *kept, basalt_error *err)
{
    const char *format = schema->format;
    basalt_status status = BASALT_OK;
    if (array->n_buffers > 0 && array->buffers[0]) {
        keep_bits((uint8_t *)array->buffers[0], kept);
        array->null_count = (int64_t)count_nulls(array->buffers[0], kept->rows);
    }
    if (format[0] == 'b')
        keep_bits((uint8_t *)array->buffers[1], kept);
    else if (!strcmp(format, "+s"))
        status = keep_members(schema, array, kept, err);
    else if (!strncmp(format, "+w:", 3))
        status = keep_lists(schema, array, kept, err);
    else if (strchr("uUzZ+", format[0]))
        status = keep_variable(schema, array, kept, err);
    else
        keep_fixed((uint8_t *)array->buffers[1], width_of(format), kept);
    array->length = (int64_t)kept->rows;
    return status;
}

basalt_status bs_array_compact(const struct ArrowSchema *schema, struct ArrowArray *array,
    uint64_t first, const basalt_hdf5_run *runs, size_t run_count, basalt_error *err)
{
    struct kept kept = {.runs = runs, .count = run_count, .base = first};
    for (size_t i = 0; i < run_count; i++) kept.rows += runs[i].row_count;
    if (kept.rows == (uint64_t)array->length) return BASALT_OK;
    return compact(schema, array, &kept, err);
}
