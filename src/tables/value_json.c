/* value_json.c - the value of an attribute as JSON text.
 *
 * Numbers as numbers (what JSON has none for, "NaN", "Infinity", as text), bool as true and false,
 * other enumerations as the name of the value, texts as texts, compound as an object, arrays and
 * dimensions as arrays, opaque bytes as hexadecimal text, references as the path that they lead to, an
 * empty dataspace as null. */
#include "tables/tables_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct json {
    struct bs_hdf5 *file;
    struct bs_h5_file *h5;
    struct bs_hdf5_paths paths;
    struct bs_bytes *out;
    unsigned depth;
};

static basalt_status put_value(
    struct json *json, const struct bs_h5_type *type, const uint8_t *bytes, basalt_error *err);

static basalt_status too_large(basalt_error *err)
{
    return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
        "the value is more than %zu bytes as text", BS_JSON_BYTES_MAX);
}

static void put_hexadecimal(struct bs_bytes *out, const uint8_t *bytes, size_t count)
{
    bs_bytes_u8(out, '"');
    for (size_t i = 0; i < count; i++) bs_bytes_text(out, "%02x", bytes[i]);
    bs_bytes_u8(out, '"');
}

static uint64_t load_bits(const struct bs_h5_type *type, const uint8_t *bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < type->size_bytes; i++) {
        const unsigned from = type->big_endian ? i : type->size_bytes - 1 - i;
        value = value << 8 | bytes[from];
    }
    return value;
}

static void put_integer(struct bs_bytes *out, const struct bs_h5_type *type, const uint8_t *bytes)
{
    const unsigned precision = type->bit_precision;
    if (type->size_bytes > 8 || precision == 0 || type->bit_offset + precision > 64) {
        put_hexadecimal(out, bytes, type->size_bytes);
        return;
    }
    uint64_t value = load_bits(type, bytes) >> type->bit_offset;
    const uint64_t sign = (uint64_t)1 << (precision - 1);
    value &= sign * 2 - 1;
    if (type->kind == BS_H5_INTEGER && type->is_signed) {
        if (value & sign) value |= ~(sign * 2 - 1);
        bs_bytes_text(out, "%" PRId64, (int64_t)value);
    } else {
        bs_bytes_text(out, "%" PRIu64, value);
    }
}

/* As few digits as give the same number back. */
static void put_number(struct bs_bytes *out, double value, bool single)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        const double back = strtod(text, NULL);
        if (single ? (float)back == (float)value : back == value) break;
    }
    if (!strcmp(text, "-0")) memcpy(text, "-0.0", sizeof "-0.0"); /* an integer has no such sign */
    char *comma = strchr(text, ','); /* the program may have set a locale */
    if (comma) *comma = '.';
    bs_bytes_text(out, "%s", text);
}

static void put_float(struct bs_bytes *out, const struct bs_h5_type *type, const uint8_t *bytes)
{
    if (!bs_is_ieee(type)) {
        put_hexadecimal(out, bytes, type->size_bytes);
        return;
    }
    const uint64_t bits = load_bits(type, bytes);
    const uint32_t low = (uint32_t)bits;
    double value;
    float narrow;
    memcpy(&value, &bits, sizeof value);
    memcpy(&narrow, &low, sizeof narrow);
    if (type->size_bytes == 2) value = bs_half((uint16_t)bits);
    if (type->size_bytes == 4) value = (double)narrow;
    if (isnan(value)) {
        bs_bytes_text(out, "\"NaN\"");
    } else if (isinf(value)) {
        bs_bytes_text(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    } else {
        put_number(out, value, type->size_bytes == 4);
    }
}

static void put_enumeration(
    struct bs_bytes *out, const struct bs_h5_type *type, const uint8_t *bytes)
{
    if (bs_is_bool(type) && bytes[0] <= 1) {
        bs_bytes_text(out, bytes[0] ? "true" : "false");
        return;
    }
    for (size_t i = 0; type->size_bytes <= 16 && i < type->member_count; i++) {
        if (memcmp(type->members[i].value, bytes, type->size_bytes) != 0) continue;
        bs_json_string(out, type->members[i].name, strlen(type->members[i].name));
        return;
    }
    put_integer(out, type->base, bytes);
}

static basalt_status put_compound(
    struct json *json, const struct bs_h5_type *type, const uint8_t *bytes, basalt_error *err)
{
    bs_bytes_u8(json->out, '{');
    for (size_t i = 0; i < type->member_count; i++) {
        const struct bs_h5_member *member = &type->members[i];
        if (i > 0) bs_bytes_u8(json->out, ',');
        bs_json_string(json->out, member->name, strlen(member->name));
        bs_bytes_u8(json->out, ':');
        const basalt_status status = put_value(json, member->type, bytes + member->offset, err);
        if (status) return status;
    }
    bs_bytes_u8(json->out, '}');
    return BASALT_OK;
}

/* Elements as nested arrays: `dims[0]` of what the further dimensions say. */
static basalt_status put_array(struct json *json, const struct bs_h5_type *type,
    const uint64_t *dims, unsigned rank, const uint8_t **bytes, basalt_error *err)
{
    basalt_status status = BASALT_OK;
    if (json->out->count > BS_JSON_BYTES_MAX) return too_large(err); /* arrays of nothing, too */
    if (rank == 0) {
        status = put_value(json, type, *bytes, err);
        *bytes += type->size_bytes;
        return status;
    }
    bs_bytes_u8(json->out, '[');
    for (uint64_t i = 0; !status && i < dims[0]; i++) {
        if (i > 0) bs_bytes_u8(json->out, ',');
        status = put_array(json, type, dims + 1, rank - 1, bytes, err);
    }
    bs_bytes_u8(json->out, ']');
    return status;
}

struct sequence {
    struct json *json;
    const struct bs_h5_type *type;
};

static basalt_status put_sequence(
    void *context, uint64_t index, const void *bytes, size_t count, basalt_error *err)
{
    const struct sequence *sequence = context;
    struct json *json = sequence->json;
    const uint8_t *at = bytes;
    (void)index;
    if (sequence->type->variable_string) {
        while (count > 0 && at[count - 1] == 0) count--;
        bs_json_string(json->out, bytes, count);
        return BASALT_OK;
    }
    const uint64_t items = count / BS_MAX(sequence->type->base->size_bytes, 1);
    return put_array(json, sequence->type->base, &items, 1, &at, err);
}

/* What leads nowhere, or to where no path does, is null; so is all where there are too many paths. */
static basalt_status put_reference(
    void *context, uint64_t index, struct bs_h5_reference *reference, basalt_error *err)
{
    struct json *json = context;
    struct bs_bytes text = {0};
    bool found = false;
    basalt_status status = BASALT_OK;
    (void)index;
    if (!json->paths.paths) status = bs_hdf5_paths(json->file, json->h5, &json->paths, err);
    if (!status) {
        status = bs_reference_text(json->h5, &json->paths.paths, reference, &text, &found, err);
    }
    if (found) {
        bs_json_string(json->out, (const char *)text.data, text.count);
    } else {
        bs_bytes_text(json->out, "null");
    }
    bs_bytes_free(&text);
    return status == BASALT_TOO_LARGE ? BASALT_OK : status;
}

static basalt_status put_value(
    struct json *json, const struct bs_h5_type *type, const uint8_t *bytes, basalt_error *err)
{
    uint64_t dims[BS_H5_RANK_MAX];
    basalt_status status = BASALT_OK;
    if (json->out->count > BS_JSON_BYTES_MAX) return too_large(err);
    if (json->depth >= BS_H5_DEPTH_MAX) {
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the value is nested deeper than %d", BS_H5_DEPTH_MAX);
    }
    json->depth++;
    switch (type->kind) {
    case BS_H5_INTEGER:
    case BS_H5_BITFIELD: put_integer(json->out, type, bytes); break;
    case BS_H5_FLOAT: put_float(json->out, type, bytes); break;
    case BS_H5_STRING:
        bs_json_string(json->out, (const char *)bytes, bs_text_bytes(type, bytes));
        break;
    case BS_H5_ENUM: put_enumeration(json->out, type, bytes); break;
    case BS_H5_COMPOUND: status = put_compound(json, type, bytes, err); break;
    case BS_H5_VARIABLE: {
        struct sequence sequence = {json, type};
        status = bs_h5_resolve(json->h5, type, bytes, 1, put_sequence, &sequence, err);
        break;
    }
    case BS_H5_ARRAY:
        for (unsigned i = 0; i < type->rank; i++) dims[i] = type->dims[i];
        status = put_array(json, type->base, dims, type->rank, &bytes, err);
        break;
    case BS_H5_REFERENCE:
        status = bs_h5_references_each(json->h5, type, bytes, 0, 1, put_reference, json, err);
        break;
    default: put_hexadecimal(json->out, bytes, type->size_bytes); break;
    }
    json->depth--;
    return status;
}

basalt_status bs_attribute_json(struct bs_hdf5 *file, struct bs_h5_file *h5,
    const struct bs_h5_attribute *attribute, struct bs_bytes *out, basalt_error *err)
{
    struct json json = {.file = file, .h5 = h5, .out = out};
    const uint8_t *bytes = attribute->bytes;
    uint64_t count;
    if (attribute->space.null) {
        bs_bytes_text(out, "null");
        return BASALT_OK;
    }
    basalt_status status = bs_h5_space_count(&attribute->space, &count, err);
    if (status) return status;
    if (count > attribute->byte_count / BS_MAX(attribute->type->size_bytes, 1)) {
        return bs_fail(err, BASALT_CORRUPT, BASALT_NO_OFFSET,
            "the attribute \"%.80s\" holds fewer bytes than its type and dimensions say",
            attribute->name);
    }
    status = put_array(
        &json, attribute->type, attribute->space.dims, attribute->space.rank, &bytes, err);
    bs_hdf5_paths_end(&json.paths);
    if (status) bs_error_prefix(err, "attribute \"%.80s\"", attribute->name);
    return status;
}
