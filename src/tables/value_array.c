/* value_array.c - elements as they lie in the file become an Arrow array.
 *
 * The elements are `stride` bytes apart, so a member of records and a column of a matrix are taken out
 * of the rows without a copy of them. */
#include "tables/tables_internal.h"

#include <stdlib.h>

static basalt_status make(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err);

size_t bs_text_bytes(const struct bs_h5_type *type, const uint8_t *bytes)
{
    size_t count = type->size_bytes;
    if (type->padding == 0) {
        const uint8_t *end = memchr(bytes, 0, count);
        return end ? (size_t)(end - bytes) : count;
    }
    const uint8_t padding = type->padding == 2 ? ' ' : 0;
    while (count > 0 && bytes[count - 1] == padding) count--;
    return count;
}

/* ---- numbers ----------------------------------------------------------------------------------- */

/* Values whose bits are not all of their bytes' come to the low end. */
static void spread_bits(const struct bs_h5_type *type, uint8_t *values, uint64_t count)
{
    const unsigned width = type->size_bytes, precision = type->bit_precision;
    const bool is_signed = type->kind == BS_H5_INTEGER && type->is_signed;
    if (precision == width * 8) return;
    const uint64_t sign = (uint64_t)1 << (precision - 1);
    for (uint64_t i = 0; i < count; i++, values += width) {
        uint64_t value = 0;
        memcpy(&value, values, width);
        value = (value >> type->bit_offset) & (sign * 2 - 1);
        if (is_signed && (value & sign)) value |= ~(sign * 2 - 1);
        memcpy(values, &value, width);
    }
}

void bs_value_convert(const struct bs_h5_type *type, uint8_t *values, uint64_t count)
{
    bs_h5_type_to_little_endian(type, values, count);
    if (type->kind == BS_H5_INTEGER || type->kind == BS_H5_BITFIELD) {
        spread_bits(type, values, count);
    }
}

int64_t bs_value_integer(const struct bs_h5_type *type, const uint8_t *bytes)
{
    uint8_t copy[8] = {0};
    uint64_t value = 0;
    const unsigned width = (unsigned)BS_MIN(type->size_bytes, 8), bits = width * 8;
    memcpy(copy, bytes, width);
    bs_value_convert(type, copy, 1);
    memcpy(&value, copy, width);
    if (type->kind != BS_H5_INTEGER || !type->is_signed) {
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    return (int64_t)(value << (64 - bits)) >> (64 - bits);
}

static void gather(
    uint8_t *out, const uint8_t *bytes, uint64_t stride, uint64_t width, uint64_t count)
{
    if (stride == width) {
        if (count > 0) memcpy(out, bytes, (size_t)(count * width));
    } else if (width == 8) {
        for (uint64_t i = 0; i < count; i++) memcpy(out + i * 8, bytes + i * stride, 8);
    } else if (width == 4) {
        for (uint64_t i = 0; i < count; i++) memcpy(out + i * 4, bytes + i * stride, 4);
    } else {
        for (uint64_t i = 0; i < count; i++) {
            memcpy(out + i * width, bytes + i * stride, (size_t)width);
        }
    }
}

static basalt_status make_fixed(const struct bs_value *value, const uint8_t *bytes, uint64_t stride,
    uint64_t count, struct ArrowArray *out, basalt_error *err)
{
    uint8_t *data;
    const uint64_t width = value->element_bytes;
    const basalt_status status = bs_array_buffer(out, 1, (size_t)(count * width), &data, err);
    if (status) return status;
    gather(data, bytes, stride, width, count);
    bs_value_convert(value->type, data, count);
    return BASALT_OK;
}

static basalt_status make_bools(const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    uint8_t *data;
    const size_t size = (size_t)(count + 7) / 8;
    const basalt_status status = bs_array_buffer(out, 1, size, &data, err);
    if (status) return status;
    memset(data, 0, size);
    for (uint64_t i = 0; i < count; i++) {
        if (bytes[i * stride]) data[i >> 3] = (uint8_t)(data[i >> 3] | 1u << (i & 7));
    }
    return BASALT_OK;
}

/* ---- texts and lists: offsets ------------------------------------------------------------------ */

struct offsets {
    uint8_t *data;
    bool large;
    uint64_t bytes_max; /* of what they count */
};

static basalt_status make_offsets(
    struct ArrowArray *out, uint64_t count, bool large, struct offsets *offsets, basalt_error *err)
{
    const size_t width = large ? 8 : 4;
    *offsets = (struct offsets){.large = large};
    offsets->bytes_max = BS_TABLE_TEXT_BYTES_MAX;
    const basalt_status status =
        bs_array_buffer(out, 1, (size_t)(count + 1) * width, &offsets->data, err);
    if (!status) memset(offsets->data, 0, width);
    return status;
}

static void put_offset(const struct offsets *offsets, uint64_t index, uint64_t value)
{
    if (offsets->large) {
        memcpy(offsets->data + index * 8, &value, 8);
    } else {
        const int32_t narrow = (int32_t)value;
        memcpy(offsets->data + index * 4, &narrow, 4);
    }
}

/* The end of every array of texts: what was gathered goes to `out`, or is freed with the failure. */
static basalt_status give_text(struct bs_room *room, struct ArrowArray *out, struct bs_bytes *text,
    basalt_status status, basalt_error *err)
{
    if (!status) status = bs_bytes_check(text, err);
    if (!status) status = bs_room_take(room, text->capacity, err);
    if (status) {
        bs_bytes_free(text);
        return status;
    }
    bs_array_give(out, 2, text->data, text->data);
    return BASALT_OK;
}

static basalt_status check_text(
    const struct bs_value *value, const void *text, size_t count, uint64_t index, basalt_error *err)
{
    if (value->format[0] == 'z' || value->format[0] == 'Z' || bs_utf8_valid(text, count)) {
        return BASALT_OK;
    }
    return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
        "a text is not UTF-8, element %" PRIu64 " of those read", index);
}

static basalt_status make_fixed_texts(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    struct offsets offsets;
    struct bs_bytes text = {0};
    basalt_status status = make_offsets(out, count, value->large, &offsets, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const uint8_t *at = bytes + i * stride;
        const size_t size = bs_text_bytes(value->type, at);
        status = check_text(value, at, size, i, err);
        bs_bytes_put(&text, at, size);
        put_offset(&offsets, i + 1, text.count);
        if (!status) status = bs_room_check_text(source->room, text.count, err);
    }
    return give_text(source->room, out, &text, status, err);
}

struct target { /* of the bytes of variable-length elements */
    struct bs_room *room;
    const struct bs_value *value;
    struct offsets offsets;
    struct bs_bytes bytes;
    uint64_t item_bytes; /* what an offset counts */
};

static basalt_status put_resolved(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct target *target = context;
    const uint8_t *text = bytes;
    if (target->value->kind == BS_VALUE_TEXT) {
        const bool is_text = target->value->type->variable_string;
        while (is_text && count > 0 && text[count - 1] == 0) count--; /* some count the NUL */
        const basalt_status status = check_text(target->value, bytes, count, index, err);
        if (status) return status;
    }
    const basalt_status room =
        bs_room_check_text(target->room, (uint64_t)target->bytes.count + count, err);
    if (room) return room;
    bs_bytes_put(&target->bytes, bytes, count);
    put_offset(&target->offsets, index + 1, target->bytes.count / target->item_bytes);
    return bs_bytes_check(&target->bytes, err);
}

/* Resolves the references of the elements into target->bytes; they may lie apart. */
static basalt_status resolve(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct target *target, basalt_error *err)
{
    uint8_t *together = NULL;
    if (stride != value->element_bytes) {
        const basalt_status room = bs_room_take(source->room, count * value->element_bytes, err);
        if (room) return room;
        together = bs_alloc((size_t)(count * value->element_bytes));
        if (!together) return bs_fail_memory(err, (size_t)(count * value->element_bytes));
        gather(together, bytes, stride, value->element_bytes, count);
        bytes = together;
    }
    const basalt_status status =
        bs_h5_resolve(source->h5, value->type, bytes, count, put_resolved, target, err);
    bs_free(together);
    return status;
}

static basalt_status make_variable_texts(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    struct target target = {.room = source->room, .value = value, .item_bytes = 1};
    basalt_status status = make_offsets(out, count, value->large, &target.offsets, err);
    if (!status && count > 0) status = resolve(source, value, bytes, stride, count, &target, err);
    return give_text(source->room, out, &target.bytes, status, err);
}

static basalt_status make_list(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    const struct bs_value *item = &value->children[0];
    struct target target = {
        .room = source->room, .value = value, .item_bytes = BS_MAX(item->element_bytes, 1)};
    basalt_status status = make_offsets(out, count, false, &target.offsets, err);
    if (!status && count > 0) status = resolve(source, value, bytes, stride, count, &target, err);
    if (!status) {
        status = make(source, item, target.bytes.data, target.item_bytes,
            target.bytes.count / target.item_bytes, out->children[0], err);
    }
    bs_bytes_free(&target.bytes);
    return status;
}

static basalt_status make_array(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    const struct bs_value *item = &value->children[0];
    const uint64_t row = value->count * item->element_bytes;
    uint8_t *together = NULL;
    if (stride != row) {
        const basalt_status room = bs_room_take(source->room, count * row, err);
        if (room) return room;
        together = bs_alloc((size_t)(count * row));
        if (!together) return bs_fail_memory(err, (size_t)(count * row));
        gather(together, bytes, stride, row, count);
        bytes = together;
    }
    const basalt_status status =
        make(source, item, bytes, item->element_bytes, count * value->count, out->children[0], err);
    bs_free(together);
    return status;
}

/* ---- names of numbers -------------------------------------------------------------------------- */

struct named {
    int64_t number;
    int32_t index;
};

static int compare_numbers(const void *a, const void *b)
{
    const struct named *left = a, *right = b;
    if (left->number != right->number) return left->number < right->number ? -1 : 1;
    return left->index - right->index;
}

static const struct named *find_number(const struct named *named, size_t count, int64_t number)
{
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (named[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && named[low].number == number ? &named[low] : NULL;
}

static basalt_status make_names(const struct bs_value_source *source, const struct bs_h5_type *type,
    struct ArrowArray *out, basalt_error *err)
{
    struct offsets offsets;
    struct bs_bytes text = {0};
    basalt_status status = bs_array_make(out, 3, 0, false, err);
    if (status) return status;
    out->length = (int64_t)type->member_count;
    status = make_offsets(out, type->member_count, false, &offsets, err);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        bs_bytes_put(&text, type->members[i].name, strlen(type->members[i].name));
        put_offset(&offsets, i + 1, text.count);
    }
    status = give_text(source->room, out, &text, status, err);
    if (status) out->release(out);
    return status;
}

/* The enumeration's numbers, sorted; to be freed. */
static basalt_status sort_numbers(
    const struct bs_h5_type *type, struct named **out_named, basalt_error *err)
{
    const size_t count = type->member_count;
    struct named *named = bs_alloc_zeroed(count, sizeof *named);
    *out_named = named;
    if (!named) return bs_fail_memory(err, count * sizeof *named);
    for (size_t i = 0; i < count; i++) {
        named[i].number = bs_value_integer(type->base, type->members[i].value);
        named[i].index = (int32_t)i;
    }
    qsort(named, count, sizeof *named, compare_numbers);
    return BASALT_OK;
}

static basalt_status make_enumeration(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    const struct bs_h5_type *type = value->type;
    const size_t width = value->format[0] == 'c' ? 1 : value->format[0] == 's' ? 2 : 4;
    uint8_t *data;
    struct named *named;
    basalt_status status = sort_numbers(type, &named, err);
    if (status) return status;
    status = bs_array_buffer(out, 1, (size_t)count * width, &data, err);
    if (!status) status = make_names(source, type, out->dictionary, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t number = bs_value_integer(type->base, bytes + i * stride);
        const struct named *found = find_number(named, type->member_count, number);
        const int32_t index = found ? found->index : 0;
        memcpy(data + i * width, &index, width); /* little-endian, as all of this */
        if (!found) status = bs_array_null(out, (int64_t)i, err);
    }
    bs_free(named);
    return status;
}

/* The same as texts. */
static basalt_status make_name_texts(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    const struct bs_h5_type *type = value->type;
    struct offsets offsets;
    struct bs_bytes text = {0};
    struct named *named;
    basalt_status status = sort_numbers(type, &named, err);
    if (status) return status;
    status = make_offsets(out, count, value->large, &offsets, err);
    for (uint64_t i = 0; !status && i < count; i++) {
        const int64_t number = bs_value_integer(type->base, bytes + i * stride);
        const struct named *found = find_number(named, type->member_count, number);
        const char *name = found ? type->members[found->index].name : "";
        bs_bytes_put(&text, name, strlen(name));
        put_offset(&offsets, i + 1, text.count);
        if (!found) status = bs_array_null(out, (int64_t)i, err);
        if (!status) status = bs_room_check_text(source->room, text.count, err);
    }
    bs_free(named);
    return give_text(source->room, out, &text, status, err);
}

/* ---- references -------------------------------------------------------------------------------- */

struct references {
    const struct bs_value_source *source;
    struct ArrowArray *out;
    struct offsets offsets;
    struct bs_bytes text;
};

static basalt_status put_reference(
    void *context, uint64_t index, struct bs_h5_reference *reference, basalt_error *err)
{
    struct references *references = context;
    const struct bs_value_source *source = references->source;
    bool found = false;
    basalt_status status =
        bs_reference_text(source->h5, source->paths, reference, &references->text, &found, err);
    if (!status && !found) status = bs_array_null(references->out, (int64_t)index, err);
    put_offset(&references->offsets, index + 1, references->text.count);
    return status ? status : bs_room_check_text(source->room, references->text.count, err);
}

static basalt_status make_references(const struct bs_value_source *source,
    const struct bs_value *value, const uint8_t *bytes, uint64_t stride, uint64_t count,
    struct ArrowArray *out, basalt_error *err)
{
    struct references references = {.source = source, .out = out};
    basalt_status status = make_offsets(out, count, value->large, &references.offsets, err);
    if (!status) {
        status = bs_h5_references_each(
            source->h5, value->type, bytes, stride, count, put_reference, &references, err);
    }
    return give_text(source->room, out, &references.text, status, err);
}

/* ---- all of them ------------------------------------------------------------------------------- */

static basalt_status fill(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    basalt_status status = BASALT_OK;
    switch (value->kind) {
    case BS_VALUE_FIXED: return make_fixed(value, bytes, stride, count, out, err);
    case BS_VALUE_BOOL: return make_bools(bytes, stride, count, out, err);
    case BS_VALUE_ENUM: return make_enumeration(source, value, bytes, stride, count, out, err);
    case BS_VALUE_LIST: return make_list(source, value, bytes, stride, count, out, err);
    case BS_VALUE_ARRAY: return make_array(source, value, bytes, stride, count, out, err);
    case BS_VALUE_REFERENCE: return make_references(source, value, bytes, stride, count, out, err);
    case BS_VALUE_NAME: return make_name_texts(source, value, bytes, stride, count, out, err);
    case BS_VALUE_TEXT:
        if (value->type->kind == BS_H5_STRING) {
            return make_fixed_texts(source, value, bytes, stride, count, out, err);
        }
        return make_variable_texts(source, value, bytes, stride, count, out, err);
    case BS_VALUE_STRUCT: break;
    }
    for (size_t i = 0; !status && i < value->child_count; i++) {
        const struct bs_value *child = &value->children[i];
        const uint8_t *first = count ? bytes + child->offset : bytes;
        status = make(source, child, first, stride, count, out->children[i], err);
        if (status) bs_error_prefix(err, "member \"%.80s\"", child->name);
    }
    return status;
}

/* Memory of its own, without that of texts and children. */
static uint64_t bytes_of(const struct bs_value *value, uint64_t count)
{
    switch (value->kind) {
    case BS_VALUE_FIXED: return count * value->element_bytes;
    case BS_VALUE_STRUCT:
    case BS_VALUE_ARRAY: return count / 8;
    case BS_VALUE_ENUM: return count * 4 + value->type->member_count * sizeof(struct named);
    case BS_VALUE_NAME: return count * 8 + value->type->member_count * sizeof(struct named);
    case BS_VALUE_BOOL: return count / 4;
    default: return count * 8;
    }
}

static basalt_status make(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    static const unsigned buffers[] = {2, 2, 3, 1, 1, 2, 2, 3, 3};
    if (count > INT64_MAX / BS_MAX(value->element_bytes, 1)) return bs_fail_memory(err, SIZE_MAX);
    basalt_status status = bs_room_take(source->room, bytes_of(value, count), err);
    if (status) return status;
    status = bs_array_make(
        out, buffers[value->kind], value->child_count, value->kind == BS_VALUE_ENUM, err);
    if (status) return status;
    out->length = (int64_t)count;
    status = fill(source, value, bytes, stride, count, out, err);
    if (status) out->release(out);
    return status;
}

basalt_status bs_value_array(const struct bs_value_source *source, const struct bs_value *value,
    const uint8_t *bytes, uint64_t stride, uint64_t count, struct ArrowArray *out,
    basalt_error *err)
{
    return make(source, value, bytes, stride, count, out, err);
}
