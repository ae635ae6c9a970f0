/* value.c - how the types of HDF5 become types of Arrow.
 *
 *   integer, bitfield     int8 .. uint64; fewer bits than bytes are shifted down and sign-extended
 *   float                 IEEE of 2, 4 and 8 bytes
 *   string                utf8, up to the padding that the type names; binary if the character set is
 *                         ASCII and the caller asked for that
 *   variable string       the same; variable sequence of bytes: binary, of anything else: list
 *   opaque                fixed-size binary
 *   enumeration           bool if it is the one of h5py, else a dictionary of the names; a number that
 *                         has no name is null. Too many names, or one twice: the numbers
 *   compound              struct
 *   array                 fixed-size list; several dimensions are one list, whose field says the shape
 *   reference             utf8: a path to the object, with its region or attribute; null if none leads
 *                         there (hdf5_reference.c)
 * Both byte orders. Time and other floats are UNSUPPORTED, by name. */
#include "tables/tables_internal.h"

#include <stdio.h>
#include <stdlib.h>

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

bool bs_is_ieee(const struct bs_h5_type *type)
{
    const unsigned bits = type->size_bytes * 8;
    const unsigned exponent = bits == 16 ? 5 : bits == 32 ? 8 : bits == 64 ? 11 : 0;
    return exponent && type->bit_precision == bits && type->bit_offset == 0 &&
        type->mantissa_at == 0 && type->mantissa_bits == bits - 1 - exponent &&
        type->exponent_at == bits - 1 - exponent && type->exponent_bits == exponent &&
        type->sign_at == bits - 1 && type->exponent_bias == (1u << (exponent - 1)) - 1;
}

bool bs_value_is_integer(const struct bs_value *value)
{
    return value->kind == BS_VALUE_FIXED && !value->format[1] &&
        strchr("csilCSIL", value->format[0]);
}

/* ---- one type ---------------------------------------------------------------------------------- */

struct maker {
    const struct bs_value_options *options;
    unsigned depth;
};

static basalt_status make(
    struct maker *maker, const struct bs_h5_type *type, struct bs_value *out, basalt_error *err);

static bool set_integer(const struct bs_h5_type *type, bool is_signed, struct bs_value *out)
{
    const uint32_t width = type->size_bytes;
    const char *formats = is_signed ? "csil" : "CSIL";
    const int index = width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : width == 8 ? 3 : -1;
    if (index < 0 || type->bit_precision == 0 ||
        (uint32_t)type->bit_offset + type->bit_precision > width * 8) {
        return false;
    }
    out->kind = BS_VALUE_FIXED;
    out->format[0] = formats[index];
    return true;
}

static void set_text(struct bs_value *out, bool binary)
{
    out->kind = BS_VALUE_TEXT;
    out->format[0] = binary ? 'z' : 'u';
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static basalt_status find_duplicates(
    const struct bs_h5_type *type, bool *out_duplicate, basalt_error *err)
{
    const char **names = bs_alloc_zeroed(type->member_count + 1, sizeof *names);
    *out_duplicate = false;
    if (!names) return bs_fail_memory(err, type->member_count * sizeof *names);
    for (size_t i = 0; i < type->member_count; i++) names[i] = type->members[i].name;
    qsort(names, type->member_count, sizeof *names, compare_names);
    for (size_t i = 1; i < type->member_count; i++) {
        if (!strcmp(names[i - 1], names[i])) *out_duplicate = true;
    }
    bs_free(names);
    return BASALT_OK;
}

static basalt_status make_enumeration(const struct maker *maker, const struct bs_h5_type *type,
    struct bs_value *out, basalt_error *err)
{
    const size_t count = type->member_count;
    bool duplicate = false;
    if (bs_is_bool(type)) {
        out->kind = BS_VALUE_BOOL;
        out->format[0] = 'b';
        return BASALT_OK;
    }
    if (type->base->kind != BS_H5_INTEGER || !set_integer(type->base, type->base->is_signed, out)) {
        return unsupported(type, err);
    }
    out->type = type->base; /* the numbers, unless all have names that tell them apart */
    if (count == 0 || count > BS_ENUM_NAMES_MAX) return BASALT_OK;
    basalt_status status = find_duplicates(type, &duplicate, err);
    for (size_t i = 0; !duplicate && i < count; i++) {
        const char *name = type->members[i].name;
        duplicate = !bs_utf8_valid(name, strlen(name));
    }
    if (status || duplicate) return status;
    out->type = type;
    if (maker->options->without_dictionaries) {
        set_text(out, false);
        out->kind = BS_VALUE_NAME;
        return BASALT_OK;
    }
    out->kind = BS_VALUE_ENUM;
    out->format[0] = count <= 128 ? 'c' : count <= 32768 ? 's' : 'i';
    return BASALT_OK;
}

static basalt_status make_children(struct bs_value *out, size_t count, basalt_error *err)
{
    out->children = bs_alloc_zeroed(count + 1, sizeof *out->children);
    if (!out->children) return bs_fail_memory(err, count * sizeof *out->children);
    out->child_count = count;
    return BASALT_OK;
}

static basalt_status make_compound(
    struct maker *maker, const struct bs_h5_type *type, struct bs_value *out, basalt_error *err)
{
    out->kind = BS_VALUE_STRUCT;
    memcpy(out->format, "+s", 3);
    basalt_status status = make_children(out, type->member_count, err);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        const struct bs_h5_member *member = &type->members[i];
        status = make(maker, member->type, &out->children[i], err);
        if (status) {
            bs_error_prefix(err, "member \"%.80s\"", member->name);
            return status;
        }
        out->children[i].offset = member->offset;
        out->children[i].name = bs_copy_string(member->name);
        if (!out->children[i].name) status = bs_fail_memory(err, strlen(member->name));
    }
    return status;
}

static basalt_status make_variable(
    struct maker *maker, const struct bs_h5_type *type, struct bs_value *out, basalt_error *err)
{
    const struct bs_h5_type *base = type->base;
    if (type->variable_string) {
        set_text(out, maker->options->ascii_as_binary && !type->utf8);
        return BASALT_OK;
    }
    if (base->kind == BS_H5_INTEGER && base->size_bytes == 1 && !base->is_signed) {
        set_text(out, true);
        return BASALT_OK;
    }
    out->kind = BS_VALUE_LIST;
    memcpy(out->format, "+l", 3);
    const basalt_status status = make_children(out, 1, err);
    return status ? status : make(maker, base, &out->children[0], err);
}

/* Dimensions and those of the arrays in them are one list. */
static basalt_status make_array(struct maker *maker, const struct bs_h5_type *type,
    const uint64_t *dims, unsigned rank, struct bs_value *out, basalt_error *err)
{
    const struct bs_h5_type *whole = type;
    struct bs_bytes shape = {0};
    uint64_t count = 1;
    unsigned all = 0;
    bool fits = true;
    for (unsigned i = 0; fits && i < rank; i++) {
        fits = dims[i] > 0 && dims[i] <= INT32_MAX / count;
        if (fits) count *= dims[i];
        bs_bytes_text(&shape, "%s%" PRIu64, all++ ? "," : "[", dims[i]);
    }
    for (; fits && type->kind == BS_H5_ARRAY; type = type->base) {
        for (unsigned i = 0; fits && i < type->rank; i++) {
            fits = type->dims[i] > 0 && type->dims[i] <= INT32_MAX / count;
            if (fits) count *= type->dims[i];
            bs_bytes_text(&shape, "%s%" PRIu32, all++ ? "," : "[", type->dims[i]);
        }
    }
    bs_bytes_text(&shape, "]");
    bs_bytes_u8(&shape, 0);
    out->kind = BS_VALUE_ARRAY;
    out->count = count;
    snprintf(out->format, sizeof out->format, "+w:%" PRIu64, count);
    basalt_status status = bs_bytes_check(&shape, err);
    if (!status && !fits) status = unsupported(whole, err);
    if (!status) status = make_children(out, 1, err);
    if (!status) status = make(maker, type, &out->children[0], err);
    if (!status && all > 1) {
        out->shape = (char *)shape.data;
        shape.data = NULL;
    }
    out->type = type;
    if (!status) out->element_bytes = count * out->children[0].element_bytes;
    bs_bytes_free(&shape);
    return status;
}

static basalt_status make(
    struct maker *maker, const struct bs_h5_type *type, struct bs_value *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    bool known = true;
    out->type = type;
    out->element_bytes = type->size_bytes;
    if (maker->depth >= BS_VALUE_DEPTH_MAX || type->member_count > BS_FIELDS_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "its type is nested deeper than %d, or has more than %d members", BS_VALUE_DEPTH_MAX,
            BS_FIELDS_MAX);
    }
    maker->depth++;
    switch (type->kind) {
    case BS_H5_INTEGER: known = set_integer(type, type->is_signed, out); break;
    case BS_H5_BITFIELD: known = set_integer(type, false, out); break;
    case BS_H5_FLOAT:
        known = bs_is_ieee(type);
        out->format[0] = type->size_bytes == 2 ? 'e' : type->size_bytes == 4 ? 'f' : 'g';
        break;
    case BS_H5_STRING: set_text(out, maker->options->ascii_as_binary && !type->utf8); break;
    case BS_H5_OPAQUE:
        known = type->size_bytes > 0 && type->size_bytes <= BS_FIXED_WIDTH_MAX;
        snprintf(out->format, sizeof out->format, "w:%" PRIu32, type->size_bytes);
        break;
    case BS_H5_REFERENCE:
        out->kind = BS_VALUE_REFERENCE;
        out->format[0] = 'u';
        break;
    case BS_H5_ENUM: status = make_enumeration(maker, type, out, err); break;
    case BS_H5_COMPOUND: status = make_compound(maker, type, out, err); break;
    case BS_H5_VARIABLE: status = make_variable(maker, type, out, err); break;
    case BS_H5_ARRAY: status = make_array(maker, type, NULL, 0, out, err); break;
    default: known = false; break;
    }
    maker->depth--;
    return known ? status : unsupported(type, err);
}

basalt_status bs_value_of(const struct bs_h5_type *type, const struct bs_value_options *options,
    struct bs_value *out_value, basalt_error *err)
{
    struct maker maker = {.options = options};
    memset(out_value, 0, sizeof *out_value);
    const basalt_status status = make(&maker, type, out_value, err);
    if (status) bs_value_clear(out_value);
    return status;
}

basalt_status bs_value_array_of(const struct bs_h5_type *type, const uint64_t *dims, unsigned rank,
    const struct bs_value_options *options, struct bs_value *out_value, basalt_error *err)
{
    struct maker maker = {.options = options};
    memset(out_value, 0, sizeof *out_value);
    const basalt_status status = make_array(&maker, type, dims, rank, out_value, err);
    if (status) bs_value_clear(out_value);
    return status;
}

void bs_value_clear(struct bs_value *value)
{
    for (size_t i = 0; value->children && i < value->child_count; i++) {
        bs_value_clear(&value->children[i]);
    }
    bs_free(value->children);
    bs_free(value->shape);
    bs_free(value->name);
    memset(value, 0, sizeof *value);
}

bool bs_value_has_nulls(const struct bs_value *value)
{
    return value->kind == BS_VALUE_ENUM || value->kind == BS_VALUE_REFERENCE ||
        value->kind == BS_VALUE_NAME;
}

/* ---- schema ------------------------------------------------------------------------------------ */

/* The extension is for numbers; of other items the shape is told alone. */
static void describe_shape(const struct bs_value *value, struct bs_bytes *metadata)
{
    struct bs_bytes text = {0};
    const struct bs_value *item = &value->children[0];
    const bool numbers = item->kind == BS_VALUE_FIXED && !item->format[1];
    if (!numbers && item->kind != BS_VALUE_BOOL) {
        bs_metadata_put(metadata, "basalt.shape", value->shape, strlen(value->shape));
        return;
    }
    bs_bytes_text(&text, "{\"shape\":%s}", value->shape);
    bs_metadata_put(metadata, "ARROW:extension:name", "arrow.fixed_shape_tensor", 24);
    bs_metadata_put(metadata, "ARROW:extension:metadata", text.data, text.count);
    metadata->failed |= text.failed;
    bs_bytes_free(&text);
}

static basalt_status fill_children(
    const struct bs_value *value, struct ArrowSchema *out, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    for (size_t i = 0; !status && i < value->child_count; i++) {
        const struct bs_value *child = &value->children[i];
        status = bs_value_schema(child, child->name ? child->name : "item", NULL,
            bs_value_has_nulls(child), NULL, out->children[i], err);
    }
    if (!status && value->kind == BS_VALUE_ENUM) {
        status = bs_arrow_schema(out->dictionary, "u", "", NULL, 0, false, err);
    }
    return status;
}

basalt_status bs_value_schema(const struct bs_value *value, const char *name, const char *format,
    bool nullable, const struct bs_bytes *metadata, struct ArrowSchema *out, basalt_error *err)
{
    struct bs_bytes all = {0};
    if (metadata) bs_bytes_put(&all, metadata->data, metadata->count);
    if (value->shape) describe_shape(value, &all);
    basalt_status status = bs_bytes_check(&all, err);
    memset(out, 0, sizeof *out);
    if (!status) {
        status = bs_arrow_schema(out, format ? format : value->format, name, &all,
            value->child_count, value->kind == BS_VALUE_ENUM, err);
    }
    bs_bytes_free(&all);
    if (status) return status;
    out->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
    status = fill_children(value, out, err);
    if (status) out->release(out);
    return status;
}
