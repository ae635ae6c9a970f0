/* h5_type_parse.c - types by the names that NumPy has for them. */
#include "h5/h5_internal.h"

#define NAME_BYTES_MAX 16 /* "|S4294967295", and more than any other */

/* bfloat16: the upper half of an IEEE number of 4 bytes. */
static void make_brain_float(struct bs_h5_type *type)
{
    type->mantissa_bits = 7;
    type->exponent_at = 7;
    type->exponent_bits = 8;
    type->exponent_bias = 127;
}

/* What stands behind the kind: a number of bytes, and no more. */
static bool read_size(const char *text, uint64_t *out_bytes)
{
    *out_bytes = 0;
    for (; *text >= '0' && *text <= '9' && *out_bytes <= UINT32_MAX; text++)
        *out_bytes = *out_bytes * 10 + (uint64_t)(*text - '0');
    return !*text && *out_bytes && *out_bytes <= UINT32_MAX;
}

static bool is_one_of(uint64_t bytes, uint64_t low)
{
    return bytes >= low && bytes <= 8 && !(bytes & (bytes - 1));
}

basalt_status bs_h5_type_parse(const char *text, struct bs_h5_type **out_type, basalt_error *err)
{
    const char *at = text;
    uint64_t bytes = 0;
    bool known = true, big_endian = false;

    *out_type = NULL;
    if (*at && strchr("<>=|", *at)) big_endian = *at++ == '>';
    const bool brain = !strcmp(at, "bfloat16");
    const bool sized = *at && !brain && strlen(at) < NAME_BYTES_MAX && read_size(at + 1, &bytes);
    struct bs_h5_type *type = NULL;
    if (brain)
        type = bs_h5_type_float(2);
    else if (sized && (*at == 'i' || *at == 'u') && is_one_of(bytes, 1))
        type = bs_h5_type_integer((uint32_t)bytes, *at == 'i');
    else if (sized && *at == 'f' && is_one_of(bytes, 2))
        type = bs_h5_type_float((uint32_t)bytes);
    else if (sized && *at == 'S')
        type = bs_h5_type_string((uint32_t)bytes);
    else
        known = false;
    if (!known)
        return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
            "\"%.40s\" names no type: <i4, >u2, <f8, bfloat16, |S10 are such names", text);
    if (!type) return bs_fail_memory(err, sizeof *type);
    if (brain) make_brain_float(type);
    type->big_endian = big_endian && *at != 'S';
    *out_type = type;
    return BASALT_OK;
}
