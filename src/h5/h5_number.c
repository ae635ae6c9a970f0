/* h5_number.c - any integer or floating-point number of at most 16 bytes as any other, bit by bit.
 *
 * A number is taken apart into sign, 128 bits and a power of two, which holds every such type exactly.
 * It is put together rounded to the nearest, ties to even; a float that is too large for its new type
 * does not fit, nor does a fraction in an integer. This is the path of the types that have no loop of
 * their own in h5_convert.c: float16, bfloat16, those of 80 and 128 bits, those with spare bits. */
#include "h5/read_internal.h"

#define NUMBER_BYTES_MAX 16
#define BITS 128

struct wide { /* 128 bits */
    uint64_t low, high;
};

enum form { FINITE, INFINITE, NOT_A_NUMBER };
struct number { /* magnitude x 2^exponent */
    enum form form;
    bool negative;
    struct wide magnitude;
    int64_t exponent;
};

/* ---- 128 bits ----------------------------------------------------------------------------------- */

static bool is_zero(struct wide value)
{
    return !(value.low | value.high);
}

static struct wide shift_left(struct wide value, unsigned by)
{
    if (by >= BITS) return (struct wide){0, 0};
    if (by >= 64) return (struct wide){0, value.low << (by - 64)};
    if (!by) return value;
    return (struct wide){value.low << by, value.high << by | value.low >> (64 - by)};
}

static struct wide shift_right(struct wide value, unsigned by)
{
    if (by >= BITS) return (struct wide){0, 0};
    if (by >= 64) return (struct wide){value.high >> (by - 64), 0};
    if (!by) return value;
    return (struct wide){value.low >> by | value.high << (64 - by), value.high >> by};
}

static struct wide ones(unsigned count) /* the lowest `count` bits */
{
    return shift_right((struct wide){UINT64_MAX, UINT64_MAX}, BITS - count);
}

static struct wide both(struct wide a, struct wide b)
{
    return (struct wide){a.low & b.low, a.high & b.high};
}

static struct wide either(struct wide a, struct wide b)
{
    return (struct wide){a.low | b.low, a.high | b.high};
}

static struct wide add_one(struct wide value)
{
    value.low++;
    value.high += !value.low;
    return value;
}

static struct wide negate(struct wide value)
{
    return add_one((struct wide){~value.low, ~value.high});
}

static bool bit_of(struct wide value, unsigned at)
{
    return shift_right(value, at).low & 1;
}

static unsigned bit_length(struct wide value)
{
    unsigned count = value.high ? 64 : 0;
    for (uint64_t word = value.high ? value.high : value.low; word; word >>= 1) count++;
    return count;
}

/* Where byte `i` of the number, from its low end, lies in memory. */
static unsigned place_of(const struct bs_h5_type *type, unsigned i)
{
    if (type->vax) return type->size_bytes - 2 - (i & ~1u) + (i & 1);
    return type->big_endian ? type->size_bytes - 1 - i : i;
}

static struct wide load(const struct bs_h5_type *type, const uint8_t *bytes)
{
    struct wide value = {0, 0};
    for (unsigned i = 0; i < type->size_bytes; i++) {
        const uint64_t byte = bytes[place_of(type, i)];
        if (i < 8)
            value.low |= byte << (8 * i);
        else
            value.high |= byte << (8 * (i - 8));
    }
    return value;
}

static void store(const struct bs_h5_type *type, struct wide value, uint8_t *bytes)
{
    for (unsigned i = 0; i < type->size_bytes; i++) {
        const uint64_t word = i < 8 ? value.low >> (8 * i) : value.high >> (8 * (i - 8));
        bytes[place_of(type, i)] = (uint8_t)word;
    }
}

/* ---- apart -------------------------------------------------------------------------------------- */

static bool is_float(const struct bs_h5_type *type)
{
    return type->kind == BS_H5_FLOAT;
}

bool bs_h5_is_number(const struct bs_h5_type *type)
{
    if (type->size_bytes > NUMBER_BYTES_MAX || !type->size_bytes) return false;
    if (type->kind == BS_H5_INTEGER || type->kind == BS_H5_BITFIELD)
        return type->bit_precision > 0 && type->bit_precision <= BITS;
    return is_float(type) && type->exponent_bits > 1 && type->exponent_bits <= 31 &&
        type->mantissa_bits > 0 && type->mantissa_bits < BITS;
}

static struct number take_integer(const struct bs_h5_type *type, struct wide raw)
{
    const unsigned precision = type->bit_precision;
    struct number number = {.form = FINITE};

    number.magnitude = both(shift_right(raw, type->bit_offset), ones(precision));
    if (type->kind == BS_H5_INTEGER && type->is_signed && bit_of(number.magnitude, precision - 1)) {
        number.negative = true;
        number.magnitude = both(negate(number.magnitude), ones(precision));
    }
    return number;
}

static bool is_implied(const struct bs_h5_type *type)
{
    return type->normalization == 2;
}

/* Bits of the mantissa behind the leading one. */
static unsigned fraction_bits(const struct bs_h5_type *type)
{
    return is_implied(type) ? type->mantissa_bits : type->mantissa_bits - 1u;
}

static struct number take_float(const struct bs_h5_type *type, struct wide raw)
{
    const uint64_t exponent =
        both(shift_right(raw, type->exponent_at), ones(type->exponent_bits)).low;
    const struct wide mantissa =
        both(shift_right(raw, type->mantissa_at), ones(type->mantissa_bits));
    const unsigned fraction = fraction_bits(type);
    struct number number = {.form = FINITE, .negative = bit_of(raw, type->sign_at)};

    number.magnitude = mantissa;
    if (exponent == ones(type->exponent_bits).low) {
        number.form = is_zero(both(mantissa, ones(fraction))) ? INFINITE : NOT_A_NUMBER;
        return number;
    }
    if (exponent && is_implied(type))
        number.magnitude = either(mantissa, shift_left((struct wide){1, 0}, fraction));
    number.exponent =
        (int64_t)(exponent ? exponent : 1) - (int64_t)type->exponent_bias - (int64_t)fraction;
    return number;
}

/* ---- together ----------------------------------------------------------------------------------- */

static struct wide largest(const struct bs_h5_type *type, bool negative)
{
    const bool is_signed = type->kind == BS_H5_INTEGER && type->is_signed;
    const unsigned bits = type->bit_precision;

    if (!is_signed) return negative ? (struct wide){0, 0} : ones(bits);
    return negative ? shift_left((struct wide){1, 0}, bits - 1) : ones(bits - 1);
}

static bool exceeds(struct wide value, struct wide limit)
{
    return value.high != limit.high ? value.high > limit.high : value.low > limit.low;
}

static enum bs_h5_fit put_integer(
    const struct bs_h5_type *type, struct number number, struct wide *raw)
{
    const struct wide limit = largest(type, number.negative);
    struct wide value = number.magnitude;
    enum bs_h5_fit fit = BS_H5_FITS;

    if (number.form == NOT_A_NUMBER) {
        value = (struct wide){0, 0};
        fit = BS_H5_RANGE;
    } else if (number.form == INFINITE ||
        (!is_zero(value) && number.exponent > BITS - (int64_t)bit_length(value))) {
        value = limit;
        fit = BS_H5_RANGE;
    } else if (number.exponent < 0) {
        const unsigned by = number.exponent < -BITS ? BITS : (unsigned)-number.exponent;
        if (!is_zero(both(value, ones(by)))) fit = BS_H5_FRACTION;
        value = shift_right(value, by);
    } else if (!is_zero(value)) {
        value = shift_left(value, (unsigned)number.exponent);
    }
    if (exceeds(value, limit)) {
        value = limit;
        fit = BS_H5_RANGE;
    }
    if (number.negative) value = both(negate(value), ones(type->bit_precision));
    *raw = shift_left(value, type->bit_offset);
    return fit;
}

/* To the nearest, ties to even. */
static struct wide round_right(struct wide value, uint64_t by)
{
    if (!by) return value;
    if (by > BITS) return (struct wide){0, 0};
    const struct wide kept = shift_right(value, (unsigned)by);
    const struct wide rest = both(value, ones((unsigned)by));
    const struct wide half = shift_left((struct wide){1, 0}, (unsigned)by - 1);

    if (exceeds(rest, half)) return add_one(kept);
    const bool tie = rest.low == half.low && rest.high == half.high;
    return tie && (kept.low & 1) ? add_one(kept) : kept;
}

static void compose(const struct bs_h5_type *type, bool negative, uint64_t exponent,
    struct wide mantissa, struct wide *raw)
{
    *raw = shift_left(both(mantissa, ones(type->mantissa_bits)), type->mantissa_at);
    *raw = either(*raw, shift_left((struct wide){exponent, 0}, type->exponent_at));
    if (negative) *raw = either(*raw, shift_left((struct wide){1, 0}, type->sign_at));
}

static enum bs_h5_fit put_special(
    const struct bs_h5_type *type, const struct number *number, bool infinite, struct wide *raw)
{
    const unsigned fraction = fraction_bits(type);
    struct wide mantissa = {0, 0};

    if (!is_implied(type)) mantissa = shift_left((struct wide){1, 0}, fraction);
    if (!infinite && fraction)
        mantissa = either(mantissa, shift_left((struct wide){1, 0}, fraction - 1));
    compose(type, number->negative, ones(type->exponent_bits).low, mantissa, raw);
    return BS_H5_FITS;
}

static enum bs_h5_fit put_float(
    const struct bs_h5_type *type, struct number number, struct wide *raw)
{
    const int64_t fraction = fraction_bits(type);
    const int64_t special = (int64_t)ones(type->exponent_bits).low;
    const int64_t bias = (int64_t)type->exponent_bias;

    if (number.form != FINITE) return put_special(type, &number, number.form == INFINITE, raw);
    if (is_zero(number.magnitude)) {
        compose(type, number.negative, 0, number.magnitude, raw);
        return BS_H5_FITS;
    }
    /* The power of two of the leading bit, then of the last bit that is kept. */
    const int64_t top = number.exponent + (int64_t)bit_length(number.magnitude) - 1;
    const int64_t last = BS_MAX(top, 1 - bias) - fraction;
    struct wide mantissa = number.magnitude;
    if (last >= number.exponent)
        mantissa = round_right(mantissa, (uint64_t)(last - number.exponent));
    else
        mantissa = shift_left(mantissa, (unsigned)(number.exponent - last));
    int64_t exponent = last + fraction + bias; /* at least 1 */
    if (bit_length(mantissa) > (unsigned)fraction + 1) {
        mantissa = shift_right(mantissa, 1); /* it was rounded up to a power of two */
        exponent++;
    } else if (bit_length(mantissa) <= (unsigned)fraction) {
        exponent = 0; /* below the smallest normal number */
    }
    if (exponent >= special) {
        (void)put_special(type, &number, true, raw);
        return BS_H5_RANGE;
    }
    compose(type, number.negative, (uint64_t)exponent, mantissa, raw);
    return BS_H5_FITS;
}

enum bs_h5_fit bs_h5_number_convert(const struct bs_h5_type *from, const uint8_t *bytes,
    const struct bs_h5_type *to, uint8_t *out, bool clip)
{
    const struct wide raw = load(from, bytes);
    const struct number number = is_float(from) ? take_float(from, raw) : take_integer(from, raw);
    struct wide result = {0, 0};
    const enum bs_h5_fit fit =
        is_float(to) ? put_float(to, number, &result) : put_integer(to, number, &result);

    store(to, result, out);
    return clip ? BS_H5_FITS : fit;
}
