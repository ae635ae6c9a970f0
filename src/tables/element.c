/* element.c - elements of HDF5 datasets as Arrow values.
 *
 *   integer, bitfield   int8 .. uint64; fewer bits than bytes are shifted down and sign-extended
 *   float               IEEE of 2, 4 and 8 bytes
 *   string              utf8: up to the padding that the type names
 *   variable string     utf8; variable sequence of bytes: binary
 *   opaque              fixed-size binary
 *   enumeration         bool if it is the one of h5py, else its base integer
 *   array               as many elements of its base
 * Both byte orders. All others are UNSUPPORTED, by name. */
#include "tables/tables_internal.h"

#include <stdio.h>

bool bs_is_bool(const struct bs_h5_type *type)
{
    return type->kind == BS_H5_ENUM && type->size_bytes == 1 && type->member_count == 2 &&
        !strcmp(type->members[0].name, "FALSE") && !strcmp(type->members[1].name, "TRUE") &&
        type->members[0].value[0] == 0 && type->members[1].value[0] == 1;
}

static basalt_status unsupported(const struct bs_h5_type *type, basalt_error *err)
{
    struct bs_bytes text = {0};
    basalt_status status = bs_h5_type_text(type, &text, err);
    if (!status) {
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "the type %.*s can't be read as Arrow", (int)BS_MIN(text.count, 120),
            (const char *)text.data);
    }
    bs_bytes_free(&text);
    return status;
}

static bool is_ieee(const struct bs_h5_type *type)
{
    const unsigned bits = type->size_bytes * 8;
    const unsigned exponent = bits == 16 ? 5 : bits == 32 ? 8 : bits == 64 ? 11 : 0;
    return exponent && type->bit_precision == bits && type->bit_offset == 0 &&
        type->mantissa_at == 0 && type->mantissa_bits == bits - 1 - exponent &&
        type->exponent_at == bits - 1 - exponent && type->exponent_bits == exponent &&
        type->sign_at == bits - 1 && type->exponent_bias == (1u << (exponent - 1)) - 1;
}

static bool find_integer(const struct bs_h5_type *type, bool is_signed, struct bs_element *out)
{
    const uint32_t width = type->size_bytes;
    const char *formats = is_signed ? "csil" : "CSIL";
    const int index = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : width == 8 ? 3 : -1;
    if (index < 0 || type->bit_precision == 0 ||
        (uint32_t)type->bit_offset + type->bit_precision > width * 8) {
        return false;
    }
    out->width_bytes = width;
    out->format[0] = formats[index];
    return true;
}

static bool find_format(const struct bs_h5_type *type, struct bs_element *out)
{
    switch (type->kind) {
    case BS_H5_INTEGER: return find_integer(type, type->is_signed, out);
    case BS_H5_BITFIELD: return find_integer(type, false, out);
    case BS_H5_ENUM:
        if (!bs_is_bool(type)) {
            out->type = type->base;
            return type->base->kind == BS_H5_INTEGER &&
                find_integer(type->base, type->base->is_signed, out);
        }
        out->width_bytes = 1;
        out->format[0] = 'b';
        return true;
    case BS_H5_FLOAT:
        out->width_bytes = type->size_bytes;
        out->format[0] = type->size_bytes == 2 ? 'e' : type->size_bytes == 4 ? 'f' : 'g';
        return is_ieee(type);
    case BS_H5_STRING: out->format[0] = 'u'; return true;
    case BS_H5_VARIABLE:
        out->format[0] = type->variable_string ? 'u' : 'z';
        return type->variable_string ||
            (type->base->kind == BS_H5_INTEGER && type->base->size_bytes == 1 &&
                !type->base->is_signed);
    case BS_H5_OPAQUE:
        out->width_bytes = type->size_bytes;
        snprintf(out->format, sizeof out->format, "w:%" PRIu32, type->size_bytes);
        return type->size_bytes > 0 && type->size_bytes <= BS_FIXED_WIDTH_MAX;
    default: return false;
    }
}

basalt_status bs_element_find(
    const struct bs_h5_type *type, struct bs_element *out_element, basalt_error *err)
{
    const struct bs_h5_type *whole = type;
    uint64_t count = 1;
    *out_element = (struct bs_element){0};
    while (type->kind == BS_H5_ARRAY) {
        for (unsigned i = 0; i < type->rank; i++) {
            if (!type->dims[i] || count > INT32_MAX / type->dims[i]) return unsupported(whole, err);
            count *= type->dims[i];
        }
        type = type->base;
    }
    out_element->type = type;
    out_element->array_count = count;
    return find_format(type, out_element) ? BASALT_OK : unsupported(whole, err);
}

/* ---- values ------------------------------------------------------------------------------------ */

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

static basalt_status put_fixed_texts(const struct bs_h5_type *type, const uint8_t *bytes,
    uint64_t count, struct bs_array_builder *builder, size_t field, basalt_error *err)
{
    for (uint64_t i = 0; i < count; i++, bytes += type->size_bytes) {
        const basalt_status status =
            bs_array_builder_put_text(builder, field, bytes, bs_text_bytes(type, bytes), err);
        if (status) return status;
    }
    return BASALT_OK;
}

struct target {
    struct bs_array_builder *builder;
    size_t field;
    bool is_text;
    uint64_t bytes; /* so far: many elements may refer to the same bytes of a file */
};

static basalt_status put_resolved(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    struct target *target = context;
    const uint8_t *text = bytes;
    (void)index;
    while (target->is_text && count > 0 && text[count - 1] == 0) count--; /* some count the NUL */
    target->bytes += count;
    if (target->bytes > BS_TABLE_TEXT_BYTES_MAX && target->bytes > count) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the texts are more than %" PRIu64 " bytes in one array", BS_TABLE_TEXT_BYTES_MAX);
    }
    return bs_array_builder_put_text(target->builder, target->field, bytes, count, err);
}

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

void bs_element_convert(const struct bs_element *element, uint8_t *values, uint64_t count)
{
    bs_h5_type_to_little_endian(element->type, values, count);
    if (element->type->kind == BS_H5_INTEGER || element->type->kind == BS_H5_BITFIELD) {
        spread_bits(element->type, values, count);
    }
}

basalt_status bs_element_put_texts(struct bs_h5_file *h5, const struct bs_element *element,
    const uint8_t *bytes, uint64_t count, struct bs_array_builder *builder, size_t field,
    basalt_error *err)
{
    const struct bs_h5_type *type = element->type;
    if (type->kind == BS_H5_STRING) {
        return put_fixed_texts(type, bytes, count, builder, field, err);
    }
    struct target target = {builder, field, type->variable_string, 0};
    return bs_h5_resolve(h5, type, bytes, count, put_resolved, &target, err);
}

basalt_status bs_element_read(struct bs_h5_file *h5, const struct bs_element *element,
    const struct bs_h5_object *dataset, uint64_t first, uint64_t count, uint64_t per_row,
    struct bs_array_builder *builder, size_t field, basalt_error *err)
{
    const uint64_t elements = count * per_row; /* both bounded: see bs_table_batch_rows */
    if (elements == 0) return BASALT_OK;
    if (element->width_bytes > 0) {
        void *values;
        basalt_status status = bs_array_builder_reserve(builder, field, elements, &values, err);
        if (!status) status = bs_h5_read(h5, dataset, first, count, values, err);
        if (!status) bs_element_convert(element, values, elements);
        return status;
    }
    const size_t bytes = (size_t)elements * element->type->size_bytes;
    uint8_t *raw = bs_alloc(bytes);
    if (!raw) return bs_fail_memory(err, bytes);
    basalt_status status = bs_h5_read(h5, dataset, first, count, raw, err);
    if (!status) status = bs_element_put_texts(h5, element, raw, elements, builder, field, err);
    bs_free(raw);
    return status;
}
