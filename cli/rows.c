/* rows.c - Arrow arrays over memory of our own: one block a batch, freed by its release. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

struct block { /* a struct array and all that it points to */
    struct ArrowArray columns[ROWS_COLUMNS_MAX], *children[ROWS_COLUMNS_MAX];
    const void *buffers[ROWS_COLUMNS_MAX][3];
    const void *no_validity[1];
    void *memory;
};

static void keep_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

void rows_make_schema(
    const struct rows_column *columns, size_t count, struct rows_schema *out_schema)
{
    for (size_t i = 0; i < count; i++) {
        out_schema->fields[i] = (struct ArrowSchema){
            .format = columns[i].format, .name = columns[i].name, .release = keep_schema};
        out_schema->children[i] = &out_schema->fields[i];
    }
    out_schema->root = (struct ArrowSchema){.format = "+s",
        .name = "",
        .n_children = (int64_t)count,
        .children = out_schema->children,
        .release = keep_schema};
}

static void release_child(struct ArrowArray *array)
{
    array->release = NULL; /* the block goes with the parent */
}

static void release_block(struct ArrowArray *array)
{
    struct block *block = array->private_data;
    free(block->memory);
    free(block);
    array->release = NULL;
}

static void add_column(
    struct block *block, size_t at, int64_t rows, const void *offsets, const void *values)
{
    block->buffers[at][1] = offsets ? offsets : values;
    block->buffers[at][2] = offsets ? values : NULL;
    block->columns[at] = (struct ArrowArray){.length = rows,
        .n_buffers = offsets ? 3 : 2,
        .buffers = block->buffers[at],
        .release = release_child};
    block->children[at] = &block->columns[at];
}

static void finish(struct block *block, size_t columns, int64_t rows, struct ArrowArray *out_array)
{
    *out_array = (struct ArrowArray){.length = rows,
        .n_buffers = 1,
        .buffers = block->no_validity,
        .n_children = (int64_t)columns,
        .children = block->children,
        .release = release_block,
        .private_data = block};
}

/* Fills `to` with column `at`; returns the first byte behind it. */
static char *fill_column(struct block *block, const struct rows *rows, size_t at, char *to)
{
    if (rows->columns[at].format[0] != 'u') {
        int64_t *values = (int64_t *)(void *)to;
        for (size_t i = 0; i < rows->count; i++) values[i] = rows->cells[i][at].number;
        add_column(block, at, (int64_t)rows->count, NULL, values);
        return (char *)(values + rows->count);
    }
    int32_t *offsets = (int32_t *)(void *)to;
    char *text = (char *)(offsets + ROWS_MAX + 2); /* keeps what follows on a multiple of 8 */
    int32_t used = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const size_t count = strlen(rows->cells[i][at].text);
        offsets[i] = used;
        memcpy(text + used, rows->cells[i][at].text, count);
        used += (int32_t)count;
    }
    offsets[rows->count] = used;
    add_column(block, at, (int64_t)rows->count, offsets, text);
    return text + ROWS_MAX * ROWS_TEXT_BYTES;
}

basalt_status rows_make_array(
    const struct rows *rows, struct ArrowArray *out_array, basalt_error *err)
{
    size_t bytes = 0;
    out_array->release = NULL;
    for (size_t i = 0; i < rows->column_count; i++) {
        bytes += rows->columns[i].format[0] == 'u'
            ? (ROWS_MAX + 2) * sizeof(int32_t) + ROWS_MAX * ROWS_TEXT_BYTES
            : rows->count * sizeof(int64_t);
    }
    struct block *block = calloc(1, sizeof *block);
    char *memory = block ? malloc(bytes + 1) : NULL;
    if (!memory) {
        free(block);
        return fail(err, BASALT_NO_MEMORY, "no memory for a batch");
    }
    block->memory = memory;
    for (size_t i = 0; i < rows->column_count; i++) memory = fill_column(block, rows, i, memory);
    finish(block, rows->column_count, (int64_t)rows->count, out_array);
    return BASALT_OK;
}

basalt_status rows_make_doubles(
    double *values, size_t count, struct ArrowArray *out_array, basalt_error *err)
{
    struct block *block = calloc(1, sizeof *block);
    out_array->release = NULL;
    if (!block) {
        free(values);
        return fail(err, BASALT_NO_MEMORY, "no memory for a batch");
    }
    block->memory = values;
    add_column(block, 0, (int64_t)count, NULL, values);
    finish(block, 1, (int64_t)count, out_array);
    return BASALT_OK;
}
