/* h5_type_text.c - a datatype in words, and its elements in little-endian order. */
#include "h5/h5_internal.h"

#include <inttypes.h>

#define NAMES_SHOWN_MAX 8 /* of an enumeration; members of a compound are all shown */

static void put_type(struct bs_bytes *out, const struct bs_h5_type *type);

/* ---- text ------------------------------------------------------------------------------------- */

static bool is_bool(const struct bs_h5_type *type)
{
    return type->kind == BS_H5_ENUM && type->size_bytes == 1 && type->member_count == 2 &&
        !strcmp(type->members[0].name, "FALSE") && !strcmp(type->members[1].name, "TRUE") &&
        type->members[0].value[0] == 0 && type->members[1].value[0] == 1;
}

static char order_mark(const struct bs_h5_type *type)
{
    return type->size_bytes == 1 ? '|' : type->big_endian ? '>' : '<';
}

static void put_number(struct bs_bytes *out, const struct bs_h5_type *type, char letter)
{
    bs_bytes_text(out, "%c%c%" PRIu32, order_mark(type), letter, type->size_bytes);
    if (type->bit_offset)
        bs_bytes_text(
            out, " (bits %u to %u)", type->bit_offset, type->bit_offset + type->bit_precision - 1u);
    else if (type->bit_precision != type->size_bytes * 8)
        bs_bytes_text(out, " (%u bits)", type->bit_precision);
}

static bool is_ieee(const struct bs_h5_type *type)
{
    const unsigned bits = type->size_bytes * 8;
    const unsigned exponent = bits == 16 ? 5 : bits == 32 ? 8 : bits == 64 ? 11 : 0;
    return exponent && type->exponent_bits == exponent && type->mantissa_at == 0 &&
        type->mantissa_bits == bits - 1 - exponent && type->bit_precision == bits;
}

static void put_float(struct bs_bytes *out, const struct bs_h5_type *type)
{
    if (is_ieee(type) && !type->vax) {
        put_number(out, type, 'f');
        return;
    }
    bs_bytes_text(out, "%cf%" PRIu32 " (%sexponent of %u bits, fraction of %u)", order_mark(type),
        type->size_bytes, type->vax ? "VAX, " : "", type->exponent_bits, type->mantissa_bits);
}

static void put_enumeration(struct bs_bytes *out, const struct bs_h5_type *type)
{
    if (is_bool(type)) {
        bs_bytes_text(out, "enum bool");
        return;
    }
    bs_bytes_text(out, "enum ");
    put_type(out, type->base);
    bs_bytes_text(out, " {");
    for (size_t i = 0; i < BS_MIN(type->member_count, NAMES_SHOWN_MAX); i++)
        bs_bytes_text(out, "%s%s", i ? ", " : "", type->members[i].name);
    bs_bytes_text(out, type->member_count > NAMES_SHOWN_MAX ? ", …}" : "}");
}

static void put_compound(struct bs_bytes *out, const struct bs_h5_type *type)
{
    bs_bytes_text(out, "compound {");
    for (size_t i = 0; i < type->member_count; i++) {
        bs_bytes_text(out, "%s%s: ", i ? ", " : "", type->members[i].name);
        put_type(out, type->members[i].type);
    }
    bs_bytes_text(out, "}");
}

static void put_array(struct bs_bytes *out, const struct bs_h5_type *type)
{
    put_type(out, type->base);
    bs_bytes_text(out, " (");
    for (unsigned i = 0; i < type->rank; i++)
        bs_bytes_text(out, "%s%" PRIu32, i ? ", " : "", type->dims[i]);
    bs_bytes_text(out, type->rank == 1 ? ",)" : ")");
}

static const char *reference_text(uint8_t kind)
{
    static const char *const texts[] = {"object reference", "region reference",
        "object reference (1.12)", "region reference (1.12)", "attribute reference"};
    return kind < BS_ARRAY_LENGTH(texts) ? texts[kind] : "reference";
}

static void put_type(struct bs_bytes *out, const struct bs_h5_type *type)
{
    switch (type->kind) {
    case BS_H5_INTEGER: put_number(out, type, type->is_signed ? 'i' : 'u'); break;
    case BS_H5_FLOAT: put_float(out, type); break;
    case BS_H5_TIME: bs_bytes_text(out, "time of %u bits", type->bit_precision); break;
    case BS_H5_STRING:
        if (type->utf8)
            bs_bytes_text(out, "utf-8 string of %" PRIu32 " bytes", type->size_bytes);
        else
            bs_bytes_text(out, "|S%" PRIu32, type->size_bytes);
        break;
    case BS_H5_BITFIELD: bs_bytes_text(out, "bitfield of %u bits", type->bit_precision); break;
    case BS_H5_OPAQUE: bs_bytes_text(out, "|V%" PRIu32, type->size_bytes); break;
    case BS_H5_COMPOUND: put_compound(out, type); break;
    case BS_H5_REFERENCE: bs_bytes_text(out, "%s", reference_text(type->reference_kind)); break;
    case BS_H5_ENUM: put_enumeration(out, type); break;
    case BS_H5_VARIABLE:
        if (type->variable_string) {
            bs_bytes_text(out, type->utf8 ? "utf-8 string" : "ascii string");
        } else {
            bs_bytes_text(out, "sequence of ");
            put_type(out, type->base);
        }
        break;
    case BS_H5_ARRAY: put_array(out, type); break;
    }
}

basalt_status bs_h5_type_text(
    const struct bs_h5_type *type, struct bs_bytes *out, basalt_error *err)
{
    put_type(out, type);
    return bs_bytes_check(out, err);
}

/* ---- byte order ------------------------------------------------------------------------------- */

static bool has_big_endian(const struct bs_h5_type *type)
{
    switch (type->kind) {
    case BS_H5_INTEGER:
    case BS_H5_FLOAT:
    case BS_H5_TIME:
    case BS_H5_BITFIELD: return (type->big_endian || type->vax) && type->size_bytes > 1;
    case BS_H5_ENUM:
    case BS_H5_ARRAY: return has_big_endian(type->base);
    case BS_H5_COMPOUND: break;
    default: return false; /* what a variable one refers to is swapped by who resolves it */
    }
    for (size_t i = 0; i < type->member_count; i++)
        if (has_big_endian(type->members[i].type)) return true;
    return false;
}

static void reverse(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count / 2; i++) {
        const uint8_t kept = bytes[i];
        bytes[i] = bytes[count - 1 - i];
        bytes[count - 1 - i] = kept;
    }
}

/* Its 16-bit words in the other order. */
static void swap_words(uint8_t *at, size_t size_bytes)
{
    for (size_t i = 0; i + 2 < size_bytes - i; i += 2) {
        uint8_t kept[2];
        memcpy(kept, at + i, 2);
        memcpy(at + i, at + size_bytes - 2 - i, 2);
        memcpy(at + size_bytes - 2 - i, kept, 2);
    }
}

static void swap_numbers(uint8_t *at, size_t size_bytes, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++, at += size_bytes) reverse(at, size_bytes);
}

static void swap_elements(const struct bs_h5_type *type, uint8_t *at, uint64_t count)
{
    if (type->kind == BS_H5_ARRAY) {
        swap_elements(type->base, at, count * (type->size_bytes / type->base->size_bytes));
        return;
    }
    if (type->vax) {
        for (uint64_t i = 0; i < count; i++)
            swap_words(at + i * type->size_bytes, type->size_bytes);
        return;
    }
    if (type->kind != BS_H5_COMPOUND) {
        swap_numbers(at, type->size_bytes, count);
        return;
    }
    for (size_t m = 0; m < type->member_count; m++) {
        const struct bs_h5_member *member = &type->members[m];
        if (!has_big_endian(member->type)) continue;
        for (uint64_t i = 0; i < count; i++)
            swap_elements(member->type, at + i * type->size_bytes + member->offset, 1);
    }
}

void bs_h5_type_to_little_endian(const struct bs_h5_type *type, void *elements, uint64_t count)
{
    if (has_big_endian(type)) swap_elements(type, elements, count);
}
