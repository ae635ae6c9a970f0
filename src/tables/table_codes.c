/* table_codes.c - columns of codes: as a dictionary, whose values are read once and lent to every array,
 * or as the values. */
#include "tables/tables_internal.h"

static void release_lent(struct ArrowArray *array)
{
    struct bs_dictionary_values *values = array->private_data;
    array->release = NULL;
    bs_shared_release(&values->shared);
}

static void destroy_values(struct bs_shared *shared)
{
    struct bs_dictionary_values *values = (struct bs_dictionary_values *)(void *)shared;
    if (values->array.release) values->array.release(&values->array);
    bs_free(values);
}

static basalt_status make_dictionary(const struct bs_table_cursor *cursor,
    const struct bs_dictionary *dictionary, struct bs_dictionary_values *values, basalt_error *err)
{
    struct bs_h5_file *h5 = bs_h5_object_file(dictionary->object);
    struct bs_paths *paths = NULL; /* no category is a reference */
    struct bs_room room = {bs_table_room(cursor->table) / 2};
    const struct bs_value_source source = {h5, &paths, &room};
    const uint64_t before = room.left;
    const uint64_t count = bs_dataset_rows(bs_h5_object_dataset(dictionary->object));
    const uint64_t width = bs_h5_object_type(dictionary->object)->size_bytes;
    if (count > BS_TABLE_CATEGORIES_MAX || count > BS_TABLE_TEXT_BYTES_MAX / BS_MAX(width, 1)) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "it has %" PRIu64 " categories; at most %" PRIu64 " are possible", count,
            BS_TABLE_CATEGORIES_MAX);
    }
    basalt_status status = bs_room_take(&room, count * width, err);
    if (status) return status;
    uint8_t *bytes = bs_alloc((size_t)(count * width));
    if (!bytes) return bs_fail_memory(err, (size_t)(count * width));
    status = bs_cursor_read_rows(cursor, dictionary->object, 0, count, bytes, count * width, err);
    if (!status) {
        status = bs_value_array(&source, &dictionary->value,
            bytes + (count ? dictionary->offset : 0), width, count, &values->array, err);
    }
    values->bytes = before - room.left;
    bs_free(bytes);
    return status;
}

/* The first cursor that needs the values reads them for all; if two do so at once, one copy is kept. */
static basalt_status read_dictionary(
    const struct bs_table_cursor *cursor, struct bs_dictionary *dictionary, basalt_error *err)
{
    struct bs_dictionary_values *none = NULL;
    if (atomic_load(&dictionary->values)) return BASALT_OK;
    struct bs_dictionary_values *made = bs_alloc_zeroed(1, sizeof *made);
    if (!made) return bs_fail_memory(err, sizeof *made);
    bs_shared_init(&made->shared, destroy_values);
    const basalt_status status = make_dictionary(cursor, dictionary, made, err);
    if (!status && atomic_compare_exchange_strong(&dictionary->values, &none, made)) {
        return BASALT_OK;
    }
    bs_shared_release(&made->shared);
    return status;
}

static basalt_status wrong_code(
    const struct ArrowArray *values, uint64_t row, int64_t code, basalt_error *err)
{
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "row %" PRIu64 " has the code %" PRId64 ", but there are %" PRId64 " categories", row, code,
        values->length);
}

static basalt_status make_codes(struct bs_room *room, const struct bs_column_of *column,
    const uint8_t *bytes, uint64_t stride, uint64_t first, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    struct bs_dictionary_values *shared = atomic_load(&column->dictionary->values);
    const struct ArrowArray *values = &shared->array;
    const struct bs_h5_type *type = column->value.type;
    uint8_t *data;
    basalt_status status = bs_room_take(room, count * type->size_bytes, err);
    if (!status) status = bs_array_make(out, 2, 0, true, err);
    if (status) return status;
    out->length = (int64_t)count;
    status = bs_array_buffer(out, 1, (size_t)count * type->size_bytes, &data, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t code = bs_value_integer(type, bytes + i * stride);
        const int64_t kept = BS_MAX(code, 0);
        memcpy(data + i * type->size_bytes, &kept, type->size_bytes);
        if (code < 0) {
            status = bs_array_null(out, (int64_t)i, err);
        } else if (code >= values->length) {
            status = wrong_code(values, first + i, code, err);
        }
    }
    if (status) {
        out->release(out);
        return status;
    }
    *out->dictionary = *values;
    out->dictionary->release = release_lent;
    out->dictionary->private_data = shared;
    bs_shared_retain(&shared->shared);
    return BASALT_OK;
}

static void put_fixed(const struct bs_dictionary *dictionary, const struct ArrowArray *array,
    int64_t code, uint64_t row, uint8_t *data)
{
    const uint8_t *values = array->buffers[1];
    const size_t width = (size_t)dictionary->value.element_bytes;
    if (dictionary->value.kind != BS_VALUE_BOOL) {
        memcpy(data + row * width, values + (size_t)code * width, width);
    } else if (values[code >> 3] >> (code & 7) & 1) {
        data[row >> 3] = (uint8_t)(data[row >> 3] | 1u << (row & 7));
    }
}

static void put_text(const struct ArrowArray *values, int64_t code, struct bs_bytes *text)
{
    const int32_t *offsets = values->buffers[1];
    const uint8_t *bytes = values->buffers[2];
    const int32_t size = offsets[code + 1] - offsets[code];
    if (size) bs_bytes_put(text, bytes + offsets[code], (size_t)size);
}

static basalt_status make_values(struct bs_room *room, const struct bs_column_of *column,
    const uint8_t *bytes, uint64_t stride, uint64_t first, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    struct bs_dictionary *dictionary = column->dictionary;
    const struct ArrowArray *values = &atomic_load(&dictionary->values)->array;
    const bool is_text = dictionary->value.kind == BS_VALUE_TEXT;
    const size_t width = is_text ? 4 : (size_t)dictionary->value.element_bytes;
    struct bs_bytes text = {0};
    uint8_t *data;
    basalt_status status = bs_room_take(room, (count + 1) * width, err);
    if (!status) status = bs_array_make(out, is_text ? 3 : 2, 0, false, err);
    if (status) return status;
    out->length = (int64_t)count;
    status = bs_array_buffer(out, 1, (size_t)(count + 1) * width, &data, err);
    if (!status) memset(data, 0, (size_t)(count + 1) * width);
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t code = bs_value_integer(column->value.type, bytes + i * stride);
        if (code >= values->length) {
            status = wrong_code(values, first + i, code, err);
        } else if (code < 0) {
            status = bs_array_null(out, (int64_t)i, err);
        } else if (is_text) {
            put_text(values, code, &text);
        } else {
            put_fixed(dictionary, values, code, i, data);
        }
        if (is_text) bs_store_u32(data + (i + 1) * 4, (uint32_t)text.count);
        if (!status) status = bs_room_check_text(room, text.count, err);
    }
    if (!status) status = bs_bytes_check(&text, err);
    if (!status) status = bs_room_take(room, text.capacity, err);
    if (!status && is_text) bs_array_give(out, 2, text.data, text.data);
    if (status) {
        bs_bytes_free(&text);
        out->release(out);
    }
    return status;
}

basalt_status bs_cursor_read_codes(struct bs_table_cursor *cursor,
    const struct bs_column_of *column, const uint8_t *bytes, uint64_t stride, uint64_t first,
    uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    const basalt_status status = read_dictionary(cursor, column->dictionary, err);
    if (status) return status;
    return cursor->table->options.without_dictionaries
        ? make_values(&cursor->room, column, bytes, stride, first, count, out, err)
        : make_codes(&cursor->room, column, bytes, stride, first, count, out, err);
}
