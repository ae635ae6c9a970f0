/* builder.c - grows one Arrow struct array, column by column.
 *
 * INVARIANTS
 *   (1) A column's buffers belong to it alone, so threads may fill different columns at once. No
 *       field of the builder itself changes between create and finish.
 *   (2) Buffers start on a multiple of 64 bytes and are zero from their last byte to the next one.
 *   (3) The validity map is made by the first null. Its bits are 1 until cleared, also those beyond
 *       the rows that are there; a row that it does not cover is valid.
 *   (4) Everything that finish hands out is allocated by create or by the columns, so that finish
 *       cannot run short of memory half-way. */
#include "arrow/arrow_internal.h"

#define ALIGN_BYTES ((size_t)64)
#define FIRST_BYTES 1024 /* of a buffer, unless less can be enough */

struct buffer {
    uint8_t *data;
    void *memory; /* what to free */
    size_t count;
    size_t capacity;
};

struct column {
    const struct bs_field *field;
    uint64_t rows;
    uint64_t null_count;
    struct buffer validity;
    struct buffer values;
    struct buffer offsets; /* TEXT and BINARY */
    size_t offset_width_bytes;
    struct array_memory *memory;
};

/* What a column hands over to its ArrowArray. */
struct array_memory {
    void *blocks[3];
    const void *buffers[3];
};

/* What the struct array keeps. A child may be moved out of it and live longer. */
struct root_memory {
    const void *buffers[1];
    struct ArrowArray **pointers;
    struct ArrowArray children[];
};

struct bs_array_builder {
    struct bs_schema *schema;
    uint64_t rows_max;
    struct column *columns;
    struct root_memory *root;
};

/* ---- buffers ----------------------------------------------------------------------------------- */

static basalt_status buffer_resize(struct buffer *buffer, size_t capacity, basalt_error *err)
{
    capacity = (capacity + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
    void *memory = bs_alloc(capacity + ALIGN_BYTES);
    if (!memory) return bs_fail_memory(err, capacity + ALIGN_BYTES);
    const size_t skip = ALIGN_BYTES - (uintptr_t)memory % ALIGN_BYTES;
    uint8_t *data = (uint8_t *)memory + skip;
    if (buffer->count) memcpy(data, buffer->data, buffer->count);
    bs_free(buffer->memory);
    buffer->memory = memory;
    buffer->data = data;
    buffer->capacity = capacity;
    return BASALT_OK;
}

/* Lends room for `bytes` more. It never has to hold more than `bytes_max` in all. */
static basalt_status buffer_grow(
    struct buffer *buffer, size_t bytes, size_t bytes_max, uint8_t **out_room, basalt_error *err)
{
    if (bytes > SIZE_MAX / 4 - buffer->count) return bs_fail_memory(err, bytes);
    const size_t needed = buffer->count + bytes;
    if (needed > buffer->capacity || !buffer->memory) {
        const size_t ahead = BS_MIN(BS_MAX(buffer->capacity * 2, FIRST_BYTES), bytes_max);
        const basalt_status status = buffer_resize(buffer, BS_MAX(needed, ahead), err);
        if (status) return status;
    }
    *out_room = buffer->data + buffer->count;
    buffer->count = needed;
    return BASALT_OK;
}

static void buffer_free(struct buffer *buffer)
{
    bs_free(buffer->memory);
    memset(buffer, 0, sizeof *buffer);
}

/* Zeroes from the last byte to the next multiple of 64. */
static void buffer_end(struct buffer *buffer)
{
    if (buffer->memory) memset(buffer->data + buffer->count, 0, -buffer->count % ALIGN_BYTES);
}

/* ---- making and freeing ------------------------------------------------------------------------ */

static basalt_status column_create(
    struct column *column, const struct bs_field *field, basalt_error *err)
{
    const char code = field->format[0];
    column->field = field;
    column->offset_width_bytes = code == 'u' || code == 'z' ? 4 : 8;
    column->memory = bs_alloc_zeroed(1, sizeof *column->memory);
    return column->memory ? BASALT_OK : bs_fail_memory(err, sizeof *column->memory);
}

basalt_status bs_array_builder_create(const struct bs_schema *schema, uint64_t rows_max,
    struct bs_array_builder **out_builder, basalt_error *err)
{
    const size_t count = schema->field_count;
    const size_t root_bytes = sizeof(struct root_memory) + count * sizeof(struct ArrowArray);
    basalt_status status = BASALT_OK;
    *out_builder = NULL;
    struct bs_array_builder *builder = bs_alloc_zeroed(1, sizeof *builder);
    if (!builder) return bs_fail_memory(err, sizeof *builder);
    builder->schema = bs_schema_retain((struct bs_schema *)schema);
    builder->rows_max = rows_max;
    builder->columns = bs_alloc_zeroed(count + 1, sizeof *builder->columns);
    builder->root = bs_alloc_zeroed(1, root_bytes);
    if (builder->root) builder->root->pointers = bs_alloc_zeroed(count + 1, sizeof(void *));
    if (!builder->columns || !builder->root || !builder->root->pointers) {
        status = bs_fail_memory(err, root_bytes);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        BS_TRY(column_create(&builder->columns[i], &schema->fields[i], err));
    }
    *out_builder = builder;
    builder = NULL;
out:
    bs_array_builder_free(builder);
    return status;
}

void bs_array_builder_free(struct bs_array_builder *builder)
{
    if (!builder) return;
    for (size_t i = 0; builder->columns && i < builder->schema->field_count; i++) {
        struct column *column = &builder->columns[i];
        buffer_free(&column->validity);
        buffer_free(&column->values);
        buffer_free(&column->offsets);
        bs_free(column->memory);
    }
    if (builder->root) bs_free(builder->root->pointers);
    bs_free(builder->root);
    bs_free(builder->columns);
    bs_schema_release(builder->schema);
    bs_free(builder);
}

/* ---- rows in ----------------------------------------------------------------------------------- */

static bool is_variable(const struct column *column)
{
    return column->field->width_bytes == 0;
}

static basalt_status check_room(const struct bs_array_builder *builder, const struct column *column,
    uint64_t count, basalt_error *err)
{
    if (count <= builder->rows_max && column->rows <= builder->rows_max - count) return BASALT_OK;
    return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
        "column \"%.*s\" gets more than the %" PRIu64 " rows its array was made for",
        bs_shown(column->field->name), column->field->name, builder->rows_max);
}

/* What rows_max values of `width` bytes take. */
static size_t rows_bytes(const struct bs_array_builder *builder, size_t width)
{
    return (size_t)BS_MIN(builder->rows_max, SIZE_MAX / 4 / width) * width;
}

/* Room for `count` fixed-width values. */
static basalt_status grow_values(const struct bs_array_builder *builder, struct column *column,
    uint64_t count, uint8_t **out_room, basalt_error *err)
{
    const size_t width = column->field->width_bytes;
    const basalt_status status = check_room(builder, column, count, err);
    if (status) return status;
    if (count > SIZE_MAX / 4 / width) return bs_fail_memory(err, SIZE_MAX);
    return buffer_grow(
        &column->values, (size_t)count * width, rows_bytes(builder, width), out_room, err);
}

/* The offsets buffer with its leading 0 is there, and has room for `count` more. */
static basalt_status grow_offsets(const struct bs_array_builder *builder, struct column *column,
    uint64_t count, uint8_t **out_room, basalt_error *err)
{
    const size_t width = column->offset_width_bytes;
    basalt_status status = check_room(builder, column, count, err);
    if (status) return status;
    if (count > SIZE_MAX / 4 / width) return bs_fail_memory(err, SIZE_MAX);
    const size_t bytes_max = rows_bytes(builder, width) + width;
    if (!column->offsets.memory) {
        status = buffer_grow(&column->offsets, width, bytes_max, out_room, err);
        if (status) return status;
        memset(*out_room, 0, width);
    }
    return buffer_grow(&column->offsets, (size_t)count * width, bytes_max, out_room, err);
}

static void put_offset(const struct column *column, uint8_t *room, uint64_t index, uint64_t value)
{
    if (column->offset_width_bytes == 4) {
        const int32_t narrow = (int32_t)value;
        memcpy(room + index * 4, &narrow, sizeof narrow);
    } else {
        memcpy(room + index * 8, &value, sizeof value);
    }
}

static basalt_status check_text_bytes(const struct column *column, uint64_t more, basalt_error *err)
{
    if (column->offset_width_bytes == 8 || column->values.count + more <= INT32_MAX) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the texts of column \"%.*s\" are more than 2 GiB in one array: ask for fewer rows at once",
        bs_shown(column->field->name), column->field->name);
}

/* The validity map exists and covers `rows` rows. */
static basalt_status cover_validity(struct column *column, uint64_t rows, basalt_error *err)
{
    uint8_t *room = NULL;
    const size_t bytes = (size_t)((rows + 7) / 8);
    if (bytes <= column->validity.count) return BASALT_OK;
    const size_t more = bytes - column->validity.count;
    const basalt_status status = buffer_grow(&column->validity, more, SIZE_MAX, &room, err);
    if (status) return status;
    memset(room, 0xFF, more);
    return BASALT_OK;
}

static void clear_bit(struct column *column, uint64_t row)
{
    uint8_t *byte = &column->validity.data[row >> 3];
    const uint8_t bit = (uint8_t)(1u << (row & 7));
    column->null_count += (*byte & bit) != 0;
    *byte = (uint8_t)(*byte & ~bit);
}

static void copy_nulls(
    struct column *column, const uint8_t *validity, uint64_t first, uint64_t count, uint64_t row)
{
    for (uint64_t i = 0; i < count; i++) {
        if (((first + i) & 7) == 0 && i + 8 <= count && validity[(first + i) >> 3] == 0xFF) {
            i += 7;
            continue;
        }
        if (!bs_bit(validity, first + i)) clear_bit(column, row + i);
    }
}

static basalt_status put_texts(const struct bs_array_builder *builder, struct column *column,
    const struct bs_column *from, uint64_t first, uint64_t count, basalt_error *err)
{
    uint8_t *offsets, *text;
    const uint32_t start = from->offsets[first];
    const size_t bytes = from->offsets[first + count] - start;
    const size_t base = column->values.count;
    basalt_status status = check_text_bytes(column, bytes, err);
    if (status) return status;
    status = grow_offsets(builder, column, count, &offsets, err);
    if (status) return status;
    status = buffer_grow(&column->values, bytes, SIZE_MAX, &text, err);
    if (status) {
        column->offsets.count -= (size_t)count * column->offset_width_bytes;
        return status;
    }
    if (bytes) memcpy(text, from->values + start, bytes);
    for (uint64_t i = 0; i < count; i++) {
        put_offset(column, offsets, i, base + (from->offsets[first + i + 1] - start));
    }
    return BASALT_OK;
}

basalt_status bs_array_builder_put(struct bs_array_builder *builder, size_t field,
    const struct bs_column *from, uint64_t first, uint64_t count, basalt_error *err)
{
    assert(field < builder->schema->field_count);
    struct column *column = &builder->columns[field];
    const size_t width = column->field->width_bytes;
    const uint64_t row = column->rows;
    basalt_status status;
    if (count == 0) return BASALT_OK;
    if (from->validity) {
        status = check_room(builder, column, count, err);
        if (!status) status = cover_validity(column, row + count, err);
        if (status) return status;
    }
    if (is_variable(column)) {
        status = put_texts(builder, column, from, first, count, err);
    } else {
        uint8_t *room;
        status = grow_values(builder, column, count, &room, err);
        if (!status) memcpy(room, from->values + first * width, (size_t)count * width);
    }
    if (status) return status;
    if (from->validity) copy_nulls(column, from->validity, first, count, row);
    column->rows += count;
    return BASALT_OK;
}

basalt_status bs_array_builder_reserve(struct bs_array_builder *builder, size_t field,
    uint64_t count, void **out_values, basalt_error *err)
{
    assert(field < builder->schema->field_count);
    struct column *column = &builder->columns[field];
    uint8_t *room;
    assert(!is_variable(column));
    *out_values = NULL;
    const basalt_status status = grow_values(builder, column, count, &room, err);
    if (status) return status;
    column->rows += count;
    *out_values = room;
    return BASALT_OK;
}

basalt_status bs_array_builder_put_text(struct bs_array_builder *builder, size_t field,
    const void *bytes, size_t count, basalt_error *err)
{
    assert(field < builder->schema->field_count);
    struct column *column = &builder->columns[field];
    uint8_t *offset, *text;
    assert(is_variable(column));
    if (column->field->kind == BS_KIND_TEXT && !bs_utf8_valid(bytes, count)) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "column \"%.*s\" is not UTF-8 at row %" PRIu64, bs_shown(column->field->name),
            column->field->name, column->rows);
    }
    basalt_status status = check_text_bytes(column, count, err);
    if (status) return status;
    status = grow_offsets(builder, column, 1, &offset, err);
    if (status) return status;
    status = buffer_grow(&column->values, count, SIZE_MAX, &text, err);
    if (status) {
        column->offsets.count -= column->offset_width_bytes;
        return status;
    }
    if (count) memcpy(text, bytes, count);
    put_offset(column, offset, 0, column->values.count);
    column->rows++;
    return BASALT_OK;
}

basalt_status bs_array_builder_set_null(
    struct bs_array_builder *builder, size_t field, uint64_t row, basalt_error *err)
{
    assert(field < builder->schema->field_count);
    struct column *column = &builder->columns[field];
    assert(row < column->rows);
    const basalt_status status = cover_validity(column, column->rows, err);
    if (status) return status;
    clear_bit(column, row);
    if (!is_variable(column)) { /* hand out no leftovers */
        const size_t width = column->field->width_bytes;
        memset(column->values.data + row * width, 0, width);
    }
    return BASALT_OK;
}

/* ---- the array out ----------------------------------------------------------------------------- */

static void release_child(struct ArrowArray *array)
{
    struct array_memory *memory = array->private_data;
    for (size_t i = 0; i < BS_ARRAY_LENGTH(memory->blocks); i++) bs_free(memory->blocks[i]);
    bs_free(memory);
    array->release = NULL;
}

static void release_root(struct ArrowArray *array)
{
    struct root_memory *root = array->private_data;
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child->release) child->release(child);
    }
    bs_free(root->pointers);
    bs_free(root);
    array->release = NULL;
}

/* Bytes to bits, in place: bit i is written after byte i was read. */
static void pack_bools(struct buffer *values, uint64_t rows)
{
    uint8_t *data = values->data;
    const size_t bytes = (size_t)((rows + 7) / 8);
    for (size_t i = 0; i < bytes; i++) {
        const unsigned count = (unsigned)BS_MIN(rows - (uint64_t)i * 8, 8);
        unsigned packed = 0;
        for (unsigned bit = 0; bit < count; bit++) {
            packed |= (unsigned)(data[i * 8 + bit] != 0) << bit;
        }
        data[i] = (uint8_t)packed;
    }
    values->count = bytes;
}

/* Readers of old expect buffers to be there even when they are empty. */
static basalt_status complete_buffers(
    const struct bs_array_builder *builder, struct column *column, basalt_error *err)
{
    uint8_t *room;
    if (is_variable(column)) {
        const basalt_status status = grow_offsets(builder, column, 0, &room, err);
        if (status) return status;
    }
    return buffer_grow(&column->values, 0, 0, &room, err);
}

/* Nothing beyond the rows is left in the map. */
static void trim_validity(struct column *column)
{
    const unsigned rest = column->rows & 7;
    column->validity.count = (size_t)((column->rows + 7) / 8);
    if (rest) column->validity.data[column->rows >> 3] &= (uint8_t)((1u << rest) - 1);
}

static void *give_away(struct buffer *buffer)
{
    void *memory = buffer->memory;
    memset(buffer, 0, sizeof *buffer);
    return memory;
}

static void finish_column(struct column *column, struct ArrowArray *out)
{
    struct array_memory *memory = column->memory;
    const bool text = is_variable(column);
    if (column->field->kind == BS_KIND_BOOL) pack_bools(&column->values, column->rows);
    if (column->null_count > 0) trim_validity(column);
    if (column->null_count == 0) buffer_free(&column->validity);
    buffer_end(&column->validity);
    buffer_end(&column->values);
    buffer_end(&column->offsets);
    memory->buffers[0] = column->validity.data;
    memory->buffers[1] = text ? column->offsets.data : column->values.data;
    memory->buffers[2] = text ? column->values.data : NULL;
    memory->blocks[0] = give_away(&column->validity);
    memory->blocks[1] = give_away(&column->offsets);
    memory->blocks[2] = give_away(&column->values);
    *out = (struct ArrowArray){
        .length = (int64_t)column->rows,
        .null_count = (int64_t)column->null_count,
        .n_buffers = text ? 3 : 2,
        .buffers = memory->buffers,
        .release = release_child,
        .private_data = memory,
    };
    column->memory = NULL;
}

static basalt_status check_lengths(const struct bs_array_builder *builder, basalt_error *err)
{
    for (size_t i = 1; i < builder->schema->field_count; i++) {
        const struct column *column = &builder->columns[i];
        if (column->rows == builder->columns[0].rows) continue;
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "column \"%.*s\" has %" PRIu64 " rows, the first column %" PRIu64,
            bs_shown(column->field->name), column->field->name, column->rows,
            builder->columns[0].rows);
    }
    return BASALT_OK;
}

basalt_status bs_array_builder_finish(
    struct bs_array_builder **builder_at, struct ArrowArray *out_array, basalt_error *err)
{
    struct bs_array_builder *builder = *builder_at;
    struct root_memory *root = builder->root;
    const size_t count = builder->schema->field_count;
    memset(out_array, 0, sizeof *out_array);
    *builder_at = NULL;
    basalt_status status = check_lengths(builder, err);
    for (size_t i = 0; !status && i < count; i++) {
        struct column *column = &builder->columns[i];
        status = complete_buffers(builder, column, err);
        if (!status && column->null_count > 0) {
            status = cover_validity(column, column->rows, err);
        }
    }
    if (status) goto out;
    const uint64_t rows = count > 0 ? builder->columns[0].rows : builder->rows_max;
    for (size_t i = 0; i < count; i++) {
        root->pointers[i] = &root->children[i];
        finish_column(&builder->columns[i], &root->children[i]);
    }
    *out_array = (struct ArrowArray){
        .length = (int64_t)rows,
        .n_buffers = 1,
        .n_children = (int64_t)count,
        .buffers = root->buffers,
        .children = root->pointers,
        .release = release_root,
        .private_data = root,
    };
    builder->root = NULL;
out:
    bs_array_builder_free(builder);
    return status;
}
