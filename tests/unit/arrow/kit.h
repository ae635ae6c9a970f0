/* kit.h - random rows as plain cells, made into Arrow arrays with every liberty that the C data
 * interface allows (offsets of array and columns, garbage under nulls, absent validity), and read
 * back from what Basalt hands out. */
#ifndef BS_TEST_ARROW_KIT_H
#define BS_TEST_ARROW_KIT_H

#include "arrow/arrow_internal.h"
#include "tests/harness/test.h"

#include <stdlib.h>

#define CELL_BYTES_MAX 16

static const char *const kit_formats[] = {
    "b",
    "c",
    "C",
    "s",
    "S",
    "i",
    "I",
    "l",
    "L",
    "e",
    "f",
    "g",
    "u",
    "U",
    "z",
    "Z",
    "w:1",
    "w:5",
    "w:16",
    "tdD",
    "tdm",
    "tts",
    "ttm",
    "ttu",
    "ttn",
    "tss:",
    "tsm:UTC",
    "tsu:Europe/Berlin",
    "tsn:",
    "tDs",
    "tDm",
    "tDu",
    "tDn",
};

struct cell {
    bool null;
    uint8_t count; /* bytes; a bool has one, 0 or 1 */
    uint8_t bytes[CELL_BYTES_MAX];
};

struct rows {
    struct bs_schema *schema;
    uint64_t count;
    struct cell *cells; /* column after column */
};

static inline uint64_t kit_below(uint64_t *seed, uint64_t limit)
{
    return test_random(seed) % limit;
}

/* A schema of `count` fields "f0", "f1" …; `formats` NULL: random ones. */
static inline struct bs_schema *kit_schema(
    const char *const *formats, size_t count, bool nullable, uint64_t *seed)
{
    static char names[64][24];
    struct ArrowSchema children[64], *pointers[64], root;
    struct bs_schema *schema = NULL;
    memset(&root, 0, sizeof root);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "f%zu", i);
        memset(&children[i], 0, sizeof children[i]);
        children[i].format =
            formats ? formats[i] : kit_formats[kit_below(seed, BS_ARRAY_LENGTH(kit_formats))];
        children[i].name = names[i];
        children[i].flags = nullable ? ARROW_FLAG_NULLABLE : 0;
        children[i].release = (void (*)(struct ArrowSchema *))(void (*)(void))abort;
        pointers[i] = &children[i];
    }
    root.format = "+s";
    root.n_children = (int64_t)count;
    root.children = pointers;
    root.release = (void (*)(struct ArrowSchema *))(void (*)(void))abort;
    CHECK_OK(bs_schema_import(&root, &schema, err));
    return schema;
}

static inline void kit_random_cell(
    const struct bs_field *field, bool nulls, uint64_t *seed, struct cell *cell)
{
    static const char *const characters[] = {
        "a", "B", " ", "7", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    memset(cell, 0, sizeof *cell);
    cell->count = (uint8_t)field->width_bytes;
    cell->null = nulls && field->nullable && kit_below(seed, 3) == 0;
    if (cell->null) {
        return;
    } else if (field->kind == BS_KIND_TEXT) {
        for (uint64_t left = kit_below(seed, 4); left > 0; left--) {
            const char *one = characters[kit_below(seed, BS_ARRAY_LENGTH(characters))];
            memcpy(cell->bytes + cell->count, one, strlen(one));
            cell->count = (uint8_t)(cell->count + strlen(one));
        }
    } else if (field->kind == BS_KIND_BOOL) {
        cell->bytes[0] = kit_below(seed, 2) == 1;
    } else {
        if (field->kind == BS_KIND_BINARY) cell->count = (uint8_t)kit_below(seed, 9);
        for (unsigned i = 0; i < cell->count; i++) cell->bytes[i] = (uint8_t)test_random(seed);
    }
}

static inline struct rows kit_rows(
    struct bs_schema *schema, uint64_t count, bool nulls, uint64_t *seed)
{
    struct rows rows = {schema, count, calloc(schema->field_count * count + 1, sizeof *rows.cells)};
    for (size_t i = 0; i < schema->field_count; i++) {
        for (uint64_t row = 0; row < count; row++) {
            kit_random_cell(&schema->fields[i], nulls, seed, &rows.cells[i * count + row]);
        }
    }
    return rows;
}

static inline const struct cell *kit_cell(const struct rows *rows, size_t field, uint64_t row)
{
    return &rows->cells[field * rows->count + row];
}

static inline void kit_release_child(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_buffers; i++) free((void *)array->buffers[i]);
    free(array->buffers);
    array->release = NULL;
}

static inline void kit_release(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        if (array->children[i]->release) array->children[i]->release(array->children[i]);
        free(array->children[i]);
    }
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

static inline uint8_t *kit_garbage(size_t bytes, uint64_t *seed)
{
    uint8_t *memory = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) memory[i] = (uint8_t)test_random(seed);
    return memory;
}

static inline void kit_set_bit(uint8_t *bits, uint64_t at, bool value)
{
    bits[at >> 3] = (uint8_t)((bits[at >> 3] & ~(1u << (at & 7))) | (unsigned)value << (at & 7));
}

static inline void kit_fill_texts(const struct rows *rows, size_t field, uint64_t start,
    uint64_t slots, size_t width, uint64_t *seed, struct ArrowArray *out)
{
    uint8_t *offsets = malloc((slots + 1) * width);
    uint8_t *text = kit_garbage(slots * CELL_BYTES_MAX + 8, seed);
    uint64_t at = kit_below(seed, 4);
    for (uint64_t slot = 0; slot <= slots; slot++) {
        memcpy(offsets + slot * width, &at, width);
        if (slot < start || slot >= start + rows->count) {
            at += kit_below(seed, 3);
            continue;
        }
        const struct cell *cell = kit_cell(rows, field, slot - start);
        if (cell->null) at += kit_below(seed, 3); /* what lies under a null is nobody's business */
        memcpy(text + at, cell->bytes, cell->count);
        at += cell->count;
    }
    out->buffers[1] = offsets;
    out->buffers[2] = text;
}

static inline void kit_child(const struct rows *rows, size_t field, uint64_t parent_offset,
    uint64_t *seed, struct ArrowArray *out)
{
    const struct bs_field *at = &rows->schema->fields[field];
    const uint64_t offset = kit_below(seed, 12), start = offset + parent_offset;
    const uint64_t slots = start + rows->count + kit_below(seed, 5);
    uint8_t *validity = kit_garbage(slots / 8 + 1, seed);
    uint64_t nulls = 0;
    memset(out, 0, sizeof *out);
    out->buffers = calloc(3, sizeof(void *));
    out->n_buffers = at->width_bytes ? 2 : 3;
    for (uint64_t row = 0; row < rows->count; row++) {
        const struct cell *cell = kit_cell(rows, field, row);
        nulls += cell->null;
        kit_set_bit(validity, start + row, !cell->null);
    }
    if (at->width_bytes == 0) {
        const bool wide = at->format[0] == 'U' || at->format[0] == 'Z';
        kit_fill_texts(rows, field, start, slots, wide ? 8 : 4, seed, out);
    } else {
        uint8_t *values = kit_garbage(slots * at->width_bytes, seed);
        for (uint64_t row = 0; row < rows->count; row++) {
            const struct cell *cell = kit_cell(rows, field, row);
            if (cell->null) continue;
            if (at->kind == BS_KIND_BOOL) {
                kit_set_bit(values, start + row, cell->bytes[0]);
            } else {
                memcpy(values + (start + row) * at->width_bytes, cell->bytes, at->width_bytes);
            }
        }
        out->buffers[1] = values;
    }
    const bool absent = nulls == 0 && kit_below(seed, 2);
    if (absent) free(validity);
    out->buffers[0] = absent ? NULL : validity;
    out->offset = (int64_t)offset;
    out->length = (int64_t)(slots - offset);
    out->null_count = absent ? 0 : kit_below(seed, 2) ? -1 : (int64_t)nulls;
    out->release = kit_release_child;
}

static inline void kit_array(const struct rows *rows, uint64_t *seed, struct ArrowArray *out)
{
    const uint64_t offset = kit_below(seed, 12);
    memset(out, 0, sizeof *out);
    out->length = (int64_t)rows->count;
    out->offset = (int64_t)offset;
    out->n_buffers = 1;
    out->buffers = calloc(1, sizeof(void *));
    out->n_children = (int64_t)rows->schema->field_count;
    out->children = calloc(rows->schema->field_count + 1, sizeof(void *));
    for (size_t i = 0; i < rows->schema->field_count; i++) {
        out->children[i] = malloc(sizeof(struct ArrowArray));
        kit_child(rows, i, offset, seed, out->children[i]);
    }
    out->release = kit_release;
}

/* The cells of an array that Basalt made; it has no offset. */
static inline void kit_read(
    const struct bs_field *field, const struct ArrowArray *child, uint64_t row, struct cell *out)
{
    memset(out, 0, sizeof *out);
    const uint8_t *validity = child->buffers[0], *values = child->buffers[1];
    out->null = validity && !bs_bit(validity, row);
    out->count = (uint8_t)field->width_bytes;
    if (field->kind == BS_KIND_BOOL) {
        out->bytes[0] = bs_bit(values, row);
    } else if (field->width_bytes) {
        memcpy(out->bytes, values + row * field->width_bytes, field->width_bytes);
    } else {
        const size_t width = field->format[0] == 'U' || field->format[0] == 'Z' ? 8 : 4;
        const int64_t from = bs_offset_at(values, width, row);
        const int64_t count = bs_offset_at(values, width, row + 1) - from;
        CHECK(count >= 0 && count <= CELL_BYTES_MAX);
        if (count < 0 || count > CELL_BYTES_MAX) return;
        out->count = (uint8_t)count;
        memcpy(out->bytes, (const uint8_t *)child->buffers[2] + from, (size_t)count);
    }
}

/* Rows [first, first + count) of `rows` are what `array` holds. */
static inline void kit_compare(const struct rows *rows, uint64_t first, uint64_t count,
    const struct ArrowArray *array, size_t alignment)
{
    CHECK_EQ(array->length, count);
    CHECK_EQ(array->n_children, rows->schema->field_count);
    for (size_t i = 0; i < rows->schema->field_count; i++) {
        const struct bs_field *field = &rows->schema->fields[i];
        const struct ArrowArray *child = array->children[i];
        int64_t nulls = 0;
        CHECK_EQ(child->length, count);
        CHECK_EQ(child->offset, 0);
        for (uint64_t row = 0; row < count; row++) {
            const struct cell *expected = kit_cell(rows, i, first + row);
            struct cell found;
            kit_read(field, child, row, &found);
            nulls += expected->null;
            if (memcmp(expected, &found, sizeof found) != 0) {
                test_fail(__FILE__, __LINE__, "field %zu [%s] row %" PRIu64 " differs", i,
                    field->format, row);
                return;
            }
        }
        CHECK_EQ(child->null_count, nulls);
        for (int64_t j = 0; j < child->n_buffers; j++) {
            CHECK_EQ((uintptr_t)child->buffers[j] % alignment, 0);
        }
    }
}

#endif
