/* h5_type_encode.c - the datatype message as every libhdf5 from 1.6 on reads it. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define MEMBERS_MAX 65535 /* the count has 16 bits */
#define TAG_BYTES_MAX 248 /* the length has 8 bits and is a multiple of 8 */

static basalt_status encode_nested(
    const struct bs_h5_type *type, unsigned version, struct bs_bytes *out, basalt_error *err);

/* Arrays came with version 2; one inside makes the types around it version 2, as libhdf5 does. */
static unsigned version_needed(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_ARRAY) return 2;
    for (size_t i = 0; type->kind == BS_H5_COMPOUND && i < type->member_count; i++)
        if (version_needed(type->members[i].type) == 2) return 2;
    return type->base ? version_needed(type->base) : 1;
}

static void put_head(
    struct bs_bytes *out, const struct bs_h5_type *type, unsigned version, uint32_t bits)
{
    bs_bytes_u8(out, (uint8_t)((unsigned)type->kind | version << 4));
    bs_bytes_uint(out, bits, 3);
    bs_bytes_u32(out, type->size_bytes);
}

static void put_name(struct bs_bytes *out, const char *name)
{
    const size_t count = strlen(name) + 1;
    bs_bytes_put(out, name, count);
    bs_bytes_zeros(out, (8 - count % 8) % 8);
}

static void put_bits(struct bs_bytes *out, const struct bs_h5_type *type)
{
    put_head(out, type, 1, (uint32_t)type->big_endian | (type->is_signed ? 8u : 0u));
    bs_bytes_u16(out, type->bit_offset);
    bs_bytes_u16(out, type->bit_precision);
}

static void put_float(struct bs_bytes *out, const struct bs_h5_type *type)
{
    put_head(out, type, type->vax ? 3 : 1, /* the first that knows VAX order */
        (uint32_t)type->big_endian | (type->vax ? 0x41u : 0u) | (uint32_t)type->normalization << 4 |
            (uint32_t)type->sign_at << 8);
    bs_bytes_u16(out, type->bit_offset);
    bs_bytes_u16(out, type->bit_precision);
    bs_bytes_u8(out, type->exponent_at);
    bs_bytes_u8(out, type->exponent_bits);
    bs_bytes_u8(out, type->mantissa_at);
    bs_bytes_u8(out, type->mantissa_bits);
    bs_bytes_u32(out, type->exponent_bias);
}

static basalt_status put_opaque(
    struct bs_bytes *out, const struct bs_h5_type *type, basalt_error *err)
{
    const size_t count = type->tag ? strlen(type->tag) : 0;
    const size_t padded = (count + 7) & ~(size_t)7;

    if (padded > TAG_BYTES_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "the tag of an opaque type has %zu bytes, the format holds %d", count, TAG_BYTES_MAX);
    put_head(out, type, 1, (uint32_t)padded);
    if (count) bs_bytes_put(out, type->tag, count);
    bs_bytes_zeros(out, padded - count);
    return BASALT_OK;
}

static basalt_status put_compound(
    struct bs_bytes *out, const struct bs_h5_type *type, unsigned version, basalt_error *err)
{
    basalt_status status = BASALT_OK;

    put_head(out, type, version, (uint32_t)type->member_count);
    for (size_t i = 0; !status && i < type->member_count; i++) {
        put_name(out, type->members[i].name);
        bs_bytes_u32(out, type->members[i].offset);
        if (version == 1) bs_bytes_zeros(out, 1 + 3 + 4 + 4 + 16); /* no dimensions */
        status = encode_nested(type->members[i].type, version, out, err);
    }
    return status;
}

static basalt_status put_enumeration(
    struct bs_bytes *out, const struct bs_h5_type *type, unsigned version, basalt_error *err)
{
    put_head(out, type, version, (uint32_t)type->member_count);
    basalt_status status = encode_nested(type->base, version, out, err);
    for (size_t i = 0; i < type->member_count; i++) put_name(out, type->members[i].name);
    for (size_t i = 0; i < type->member_count; i++)
        bs_bytes_put(out, type->members[i].value, type->size_bytes);
    return status;
}

static basalt_status put_variable(
    struct bs_bytes *out, const struct bs_h5_type *type, unsigned version, basalt_error *err)
{
    uint32_t bits = 0;
    if (type->variable_string)
        bits = 1u | (uint32_t)type->padding << 4 | (type->utf8 ? 1u << 8 : 0u);
    put_head(out, type, version, bits);
    return encode_nested(type->base, version, out, err);
}

static basalt_status put_array(
    struct bs_bytes *out, const struct bs_h5_type *type, basalt_error *err)
{
    put_head(out, type, 2, 0);
    bs_bytes_u8(out, type->rank);
    bs_bytes_zeros(out, 3);
    for (unsigned i = 0; i < type->rank; i++) bs_bytes_u32(out, type->dims[i]);
    for (unsigned i = 0; i < type->rank; i++) bs_bytes_u32(out, i); /* permutation: none */
    return encode_nested(type->base, 2, out, err);
}

static basalt_status encode_nested(
    const struct bs_h5_type *type, unsigned version, struct bs_bytes *out, basalt_error *err)
{
    if (type->member_count > MEMBERS_MAX)
        return bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "a type has %zu members, the format holds %d", type->member_count, MEMBERS_MAX);
    switch (type->kind) {
    case BS_H5_INTEGER:
    case BS_H5_BITFIELD: put_bits(out, type); break;
    case BS_H5_FLOAT: put_float(out, type); break;
    case BS_H5_TIME:
        put_head(out, type, 1, type->big_endian);
        bs_bytes_u16(out, type->bit_precision);
        break;
    case BS_H5_STRING: put_head(out, type, 1, type->padding | (type->utf8 ? 1u << 4 : 0u)); break;
    case BS_H5_OPAQUE: return put_opaque(out, type, err);
    case BS_H5_COMPOUND: return put_compound(out, type, version, err);
    case BS_H5_REFERENCE:
        if (type->reference_kind > 1)
            return bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
                "references of the kind that HDF5 1.12 brought are not written");
        put_head(out, type, 1, type->reference_kind);
        break;
    case BS_H5_ENUM: return put_enumeration(out, type, version, err);
    case BS_H5_VARIABLE: return put_variable(out, type, version, err);
    case BS_H5_ARRAY: return put_array(out, type, err);
    }
    return BASALT_OK;
}

basalt_status bs_h5_type_encode(
    const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err)
{
    basalt_status status = encode_nested(type, version_needed(type), out, err);
    return status ? status : bs_bytes_check(out, err);
}
