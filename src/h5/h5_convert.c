/* h5_convert.c - elements as stored to elements as asked for.
 *
 * Types that are the same are copied. Integers of 1, 2, 4 and 8 whole bytes and IEEE numbers of 4 and
 * 8 go through one of three wide types (int64, uint64, double) that holds them exactly, a block at a
 * time, in loops that a compiler can widen; every other number goes bit by bit (h5_number.c).
 *
 * What does not fit: a number outside the range of an integer, a fraction or a NaN for an integer, a
 * finite number beyond the largest float, a text longer than the new one. That is TOO_LARGE, or with
 * `clip` the nearest value (0 for a NaN, infinity for a float). A float that is rounded to the nearest
 * has what its type can say: that is no failure. */
#include "h5/read_internal.h"

#include <inttypes.h>
#include <math.h>

#define BLOCK 256 /* numbers that pass at a time */

/* ---- what becomes what -------------------------------------------------------------------------- */

static const struct bs_h5_type *scalar_of(const struct bs_h5_type *type, uint64_t *count)
{
    *count = 1;
    for (; type->kind == BS_H5_ARRAY; type = type->base)
        for (unsigned i = 0; i < type->rank; i++) *count *= type->dims[i];
    return type->kind == BS_H5_ENUM ? type->base : type;
}

static enum bs_h5_lane integer_lane(const struct bs_h5_type *type)
{
    const bool is_signed = type->kind == BS_H5_INTEGER && type->is_signed;

    if (type->bit_offset || type->bit_precision != type->size_bytes * 8) return BS_H5_LANE_NONE;
    switch (type->size_bytes) {
    case 1: return is_signed ? BS_H5_LANE_I8 : BS_H5_LANE_U8;
    case 2: return is_signed ? BS_H5_LANE_I16 : BS_H5_LANE_U16;
    case 4: return is_signed ? BS_H5_LANE_I32 : BS_H5_LANE_U32;
    case 8: return is_signed ? BS_H5_LANE_I64 : BS_H5_LANE_U64;
    default: return BS_H5_LANE_NONE;
    }
}

static bool is_ieee(const struct bs_h5_type *type, uint8_t mantissa_bits, uint8_t exponent_bits)
{
    return !type->vax && type->mantissa_at == 0 && type->mantissa_bits == mantissa_bits &&
        type->exponent_at == mantissa_bits && type->exponent_bits == exponent_bits &&
        type->sign_at == mantissa_bits + exponent_bits && type->normalization == 2 &&
        type->exponent_bias == ((uint32_t)1 << (exponent_bits - 1)) - 1 && !type->bit_offset &&
        type->bit_precision == type->size_bytes * 8;
}

static enum bs_h5_lane lane_of(const struct bs_h5_type *type)
{
    if (type->kind == BS_H5_INTEGER || type->kind == BS_H5_BITFIELD) return integer_lane(type);
    if (type->kind != BS_H5_FLOAT) return BS_H5_LANE_NONE;
    if (type->size_bytes == 4 && is_ieee(type, 23, 8)) return BS_H5_LANE_F32;
    if (type->size_bytes == 8 && is_ieee(type, 52, 11)) return BS_H5_LANE_F64;
    return BS_H5_LANE_NONE;
}

basalt_status bs_h5_member_find(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, const struct bs_h5_type **out_type, uint64_t *out_offset,
    basalt_error *err)
{
    const struct bs_h5_type **type = out_type;

    *out_type = dataset->dataset->type;
    *out_offset = 0;
    for (size_t depth = 0; depth < how->member_count; depth++) {
        size_t i = 0;
        if ((*type)->kind != BS_H5_COMPOUND)
            return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
                "member \"%.80s\" was asked for, where the dataset at %" PRIu64 " has no records",
                how->members[depth], dataset->header->address);
        while (i < (*type)->member_count && strcmp((*type)->members[i].name, how->members[depth]))
            i++;
        if (i == (*type)->member_count)
            return bs_fail(err, BASALT_BAD_ARGUMENT, BASALT_NO_OFFSET,
                "the records of the dataset at %" PRIu64 " have no member \"%.80s\"",
                dataset->header->address, how->members[depth]);
        *out_offset += (*type)->members[i].offset;
        *type = (*type)->members[i].type;
    }
    return BASALT_OK;
}

static basalt_status cannot(
    const struct bs_h5_type *from, const struct bs_h5_type *to, basalt_error *err)
{
    struct bs_bytes text = {0};
    basalt_status status = bs_h5_type_text(from, &text, err);

    bs_bytes_text(&text, " as ");
    if (!status) status = bs_h5_type_text(to, &text, err);
    bs_bytes_u8(&text, 0);
    if (!status) status = bs_bytes_check(&text, err);
    if (!status)
        status = bs_fail(err, BASALT_UNSUPPORTED, BASALT_NO_OFFSET,
            "elements of type %.150s cannot be read", (const char *)text.data);
    bs_bytes_free(&text);
    return status;
}

basalt_status bs_h5_conversion_plan(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, struct bs_h5_conversion *out_conversion, basalt_error *err)
{
    const struct bs_h5_type *type = dataset->dataset->type;
    struct bs_h5_conversion plan = {.stored_bytes = type->size_bytes, .clip = how->clip};
    uint64_t repeat_to = 1;

    basalt_status status = bs_h5_member_find(dataset, how, &type, &plan.offset, err);
    if (status) return status;
    plan.source_bytes = plan.target_bytes = type->size_bytes;
    plan.identity = !how->as || bs_h5_type_equal(type, how->as);
    if (!plan.identity) {
        plan.from = scalar_of(type, &plan.repeat);
        plan.to = scalar_of(how->as, &repeat_to);
        plan.from_lane = lane_of(plan.from);
        plan.to_lane = lane_of(plan.to);
        const bool numbers = bs_h5_is_number(plan.from) && bs_h5_is_number(plan.to);
        const bool texts = plan.from->kind == BS_H5_STRING && plan.to->kind == BS_H5_STRING;
        if ((!numbers && !texts) || (repeat_to != 1 && repeat_to != plan.repeat))
            return cannot(type, how->as, err);
        plan.target_bytes = plan.repeat * plan.to->size_bytes;
        if (bs_h5_type_equal(plan.from, plan.to)) plan.identity = true;
    }
    *out_conversion = plan;
    return BASALT_OK;
}

basalt_status bs_h5_element_bytes(const struct bs_h5_object *dataset,
    const struct bs_h5_read_how *how, uint64_t *out_bytes, basalt_error *err)
{
    struct bs_h5_conversion plan;

    *out_bytes = 0;
    const basalt_status status = bs_h5_conversion_plan(dataset, how, &plan, err);
    if (!status) *out_bytes = plan.target_bytes;
    return status;
}

/* ---- blocks of plain numbers -------------------------------------------------------------------- */

union block {
    int64_t i[BLOCK];
    uint64_t u[BLOCK];
    double f[BLOCK];
};
enum wide { WIDE_SIGNED, WIDE_UNSIGNED, WIDE_FLOAT };

static void gather(
    uint8_t *out, const uint8_t *from, uint64_t step_bytes, size_t bytes, size_t count)
{
    if (step_bytes == bytes) {
        memcpy(out, from, bytes * count);
        return;
    }
    switch (bytes) { /* so that the copies are moves */
    case 4:
        for (size_t i = 0; i < count; i++) memcpy(out + 4 * i, from + i * step_bytes, 4);
        return;
    case 8:
        for (size_t i = 0; i < count; i++) memcpy(out + 8 * i, from + i * step_bytes, 8);
        return;
    default:
        for (size_t i = 0; i < count; i++) memcpy(out + bytes * i, from + i * step_bytes, bytes);
    }
}

#define WIDEN(type_, member_)                                                                      \
    do {                                                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            type_ value;                                                                           \
            memcpy(&value, bytes + i * sizeof value, sizeof value);                                \
            out->member_[i] = value;                                                               \
        }                                                                                          \
    } while (0)

static enum wide widen(enum bs_h5_lane lane, const uint8_t *bytes, size_t count, union block *out)
{
    switch (lane) {
    case BS_H5_LANE_I8: WIDEN(int8_t, i); return WIDE_SIGNED;
    case BS_H5_LANE_I16: WIDEN(int16_t, i); return WIDE_SIGNED;
    case BS_H5_LANE_I32: WIDEN(int32_t, i); return WIDE_SIGNED;
    case BS_H5_LANE_I64: WIDEN(int64_t, i); return WIDE_SIGNED;
    case BS_H5_LANE_U8: WIDEN(uint8_t, u); return WIDE_UNSIGNED;
    case BS_H5_LANE_U16: WIDEN(uint16_t, u); return WIDE_UNSIGNED;
    case BS_H5_LANE_U32: WIDEN(uint32_t, u); return WIDE_UNSIGNED;
    case BS_H5_LANE_U64: WIDEN(uint64_t, u); return WIDE_UNSIGNED;
    case BS_H5_LANE_F32: WIDEN(float, f); return WIDE_FLOAT;
    default: WIDEN(double, f); return WIDE_FLOAT;
    }
}

/* Without its fraction. From 2^52 on there is none. */
static double whole_of(double value)
{
    return value > -0x1p53 && value < 0x1p53 ? (double)(int64_t)value : value;
}

/* Each gives the index of the first number that does not fit, or `count`; those are clipped. */
#define TO_INTEGER(name_, type_, low_, high_, beyond_)                                             \
    static size_t signed_to_##name_(const union block *from, uint8_t *out, size_t count)           \
    {                                                                                              \
        size_t bad = count;                                                                        \
        for (size_t i = count; i-- > 0;) {                                                         \
            const int64_t value = from->i[i];                                                      \
            const bool below = value < (int64_t)(low_);                                            \
            const bool above = value > 0 && (uint64_t)value > (uint64_t)(high_);                   \
            const type_ result = below ? (type_)(low_) : above ? (type_)(high_) : (type_)value;    \
            if (below || above) bad = i;                                                           \
            memcpy(out + i * sizeof result, &result, sizeof result);                               \
        }                                                                                          \
        return bad;                                                                                \
    }                                                                                              \
    static size_t unsigned_to_##name_(const union block *from, uint8_t *out, size_t count)         \
    {                                                                                              \
        size_t bad = count;                                                                        \
        for (size_t i = count; i-- > 0;) {                                                         \
            const uint64_t value = from->u[i];                                                     \
            const bool above = value > (uint64_t)(high_);                                          \
            const type_ result = above ? (type_)(high_) : (type_)value;                            \
            if (above) bad = i;                                                                    \
            memcpy(out + i * sizeof result, &result, sizeof result);                               \
        }                                                                                          \
        return bad;                                                                                \
    }                                                                                              \
    static size_t float_to_##name_(const union block *from, uint8_t *out, size_t count)            \
    {                                                                                              \
        size_t bad = count;                                                                        \
        for (size_t i = count; i-- > 0;) {                                                         \
            const double value = from->f[i];                                                       \
            const double whole = whole_of(value);                                                  \
            const bool below = whole < (double)(low_);                                             \
            const bool above = whole >= (beyond_);                                                 \
            const bool inside = whole >= (double)(low_) && !above; /* no NaN */                    \
            type_ result = 0;                                                                      \
            if (inside)                                                                            \
                result = (type_)whole;                                                             \
            else if (below)                                                                        \
                result = (type_)(low_);                                                            \
            else if (above)                                                                        \
                result = (type_)(high_);                                                           \
            if (!inside || whole < value || whole > value) bad = i;                                \
            memcpy(out + i * sizeof result, &result, sizeof result);                               \
        }                                                                                          \
        return bad;                                                                                \
    }
TO_INTEGER(i8, int8_t, INT8_MIN, INT8_MAX, 0x1p7)
TO_INTEGER(i16, int16_t, INT16_MIN, INT16_MAX, 0x1p15)
TO_INTEGER(i32, int32_t, INT32_MIN, INT32_MAX, 0x1p31)
TO_INTEGER(i64, int64_t, INT64_MIN, INT64_MAX, 0x1p63)
TO_INTEGER(u8, uint8_t, 0, UINT8_MAX, 0x1p8)
TO_INTEGER(u16, uint16_t, 0, UINT16_MAX, 0x1p16)
TO_INTEGER(u32, uint32_t, 0, UINT32_MAX, 0x1p32)
TO_INTEGER(u64, uint64_t, 0, UINT64_MAX, 0x1p64)

/* No integer is beyond either type, and no float beyond a double. */
#define TO_FLOAT(name_, type_, word_, member_)                                                     \
    static size_t word_##_to_##name_(const union block *from, uint8_t *out, size_t count)          \
    {                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                       \
            const type_ result = (type_)from->member_[i];                                          \
            memcpy(out + i * sizeof result, &result, sizeof result);                               \
        }                                                                                          \
        return count;                                                                              \
    }
TO_FLOAT(f32, float, signed, i)
TO_FLOAT(f32, float, unsigned, u)
TO_FLOAT(f64, double, signed, i)
TO_FLOAT(f64, double, unsigned, u)
TO_FLOAT(f64, double, float, f)

static size_t float_to_f32(const union block *from, uint8_t *out, size_t count)
{
    unsigned infinite = 0;
    for (size_t i = 0; i < count; i++) {
        const float result = (float)from->f[i];
        infinite |= isinf(result) != 0;
        memcpy(out + i * sizeof result, &result, sizeof result);
    }
    for (size_t i = 0; infinite && i < count; i++) {
        if (isinf((float)from->f[i]) && !isinf(from->f[i])) return i;
    }
    return count;
}

typedef size_t (*narrow_fn)(const union block *from, uint8_t *out, size_t count);
static const narrow_fn narrow[][3] = {
    [BS_H5_LANE_I8] = {signed_to_i8, unsigned_to_i8, float_to_i8},
    [BS_H5_LANE_I16] = {signed_to_i16, unsigned_to_i16, float_to_i16},
    [BS_H5_LANE_I32] = {signed_to_i32, unsigned_to_i32, float_to_i32},
    [BS_H5_LANE_I64] = {signed_to_i64, unsigned_to_i64, float_to_i64},
    [BS_H5_LANE_U8] = {signed_to_u8, unsigned_to_u8, float_to_u8},
    [BS_H5_LANE_U16] = {signed_to_u16, unsigned_to_u16, float_to_u16},
    [BS_H5_LANE_U32] = {signed_to_u32, unsigned_to_u32, float_to_u32},
    [BS_H5_LANE_U64] = {signed_to_u64, unsigned_to_u64, float_to_u64},
    [BS_H5_LANE_F32] = {signed_to_f32, unsigned_to_f32, float_to_f32},
    [BS_H5_LANE_F64] = {signed_to_f64, unsigned_to_f64, float_to_f64},
};

static bool is_foreign(const struct bs_h5_type *type) /* the byte order is not this machine's */
{
    const uint16_t one = 1;
    return type->size_bytes > 1 && type->big_endian == (*(const uint8_t *)&one == 1);
}

#define SWAP(type_, swapped_)                                                                      \
    for (size_t i = 0; i < count; i++) {                                                           \
        type_ value;                                                                               \
        memcpy(&value, bytes + i * sizeof value, sizeof value);                                    \
        value = swapped_(value);                                                                   \
        memcpy(bytes + i * sizeof value, &value, sizeof value);                                    \
    }

static void swap(uint8_t *bytes, size_t width, size_t count) /* of plain numbers */
{
    switch (width) {
    case 2: SWAP(uint16_t, __builtin_bswap16) return;
    case 4: SWAP(uint32_t, __builtin_bswap32) return;
    case 8: SWAP(uint64_t, __builtin_bswap64) return;
    default: return;
    }
}

/* As the narrow functions; at most BLOCK numbers. */
static size_t convert_block(const struct bs_h5_conversion *plan, const uint8_t *from,
    uint64_t step_bytes, size_t count, uint8_t *out)
{
    const size_t from_bytes = plan->from->size_bytes, to_bytes = plan->to->size_bytes;
    uint8_t bytes[BLOCK * 8];
    union block block;

    if (plan->from_lane == plan->to_lane) { /* the order of the bytes is all that differs */
        gather(out, from, step_bytes, from_bytes, count);
        if (is_foreign(plan->from) != is_foreign(plan->to)) swap(out, to_bytes, count);
        return count;
    }
    gather(bytes, from, step_bytes, from_bytes, count);
    if (is_foreign(plan->from)) swap(bytes, from_bytes, count);
    const enum wide wide = widen(plan->from_lane, bytes, count, &block);
    const size_t bad = narrow[plan->to_lane][wide](&block, out, count);
    if (is_foreign(plan->to)) swap(out, to_bytes, count);
    return bad;
}

/* ---- the other ways ----------------------------------------------------------------------------- */

static size_t text_length(const struct bs_h5_type *type, const uint8_t *bytes)
{
    size_t count = type->size_bytes;
    if (type->padding == 0) {
        const uint8_t *end = memchr(bytes, 0, count);
        return end ? (size_t)(end - bytes) : count;
    }
    while (count > 0 && bytes[count - 1] == (type->padding == 2 ? ' ' : 0)) count--;
    return count;
}

static bool convert_text(const struct bs_h5_conversion *plan, const uint8_t *from, uint8_t *out)
{
    const size_t length = text_length(plan->from, from);
    /* A text that ends with a NUL needs room for it. */
    const size_t room = plan->to->size_bytes - (plan->to->padding == 0 ? 1u : 0u);
    const size_t kept = BS_MIN(length, room);

    memcpy(out, from, kept);
    memset(out + kept, plan->to->padding == 2 ? ' ' : 0, plan->to->size_bytes - kept);
    return plan->clip || kept == length;
}

static bool is_text(const struct bs_h5_conversion *plan)
{
    return plan->from->kind == BS_H5_STRING;
}

/* Numbers one after the other, or all `step_bytes` apart; the index of the first that does not fit. */
static uint64_t convert_scalars(const struct bs_h5_conversion *plan, const uint8_t *from,
    uint64_t step_bytes, uint64_t count, uint8_t *out)
{
    const size_t to_bytes = plan->to->size_bytes;
    const bool plain = plan->from_lane != BS_H5_LANE_NONE && plan->to_lane != BS_H5_LANE_NONE;

    for (uint64_t i = 0; i < count;) {
        const size_t now = plain ? (size_t)BS_MIN(count - i, (uint64_t)BLOCK) : 1;
        const uint8_t *at = from + i * step_bytes;
        if (plain) {
            const size_t bad = convert_block(plan, at, step_bytes, now, out + i * to_bytes);
            if (bad < now && !plan->clip) return i + bad;
        } else if (is_text(plan)) {
            if (!convert_text(plan, at, out + i * to_bytes)) return i;
        } else if (bs_h5_number_convert(plan->from, at, plan->to, out + i * to_bytes, plan->clip)) {
            return i;
        }
        i += now;
    }
    return count;
}

static basalt_status does_not_fit(
    const struct bs_h5_conversion *plan, uint64_t element, basalt_error *err)
{
    struct bs_bytes text = {0};
    basalt_status status = bs_h5_type_text(plan->to, &text, err);

    bs_bytes_u8(&text, 0);
    if (!status) status = bs_bytes_check(&text, err);
    if (!status)
        status = bs_fail(err, BASALT_TOO_LARGE, BASALT_NO_OFFSET,
            "element %" PRIu64 " of the selection does not fit %.60s; ask for clipping, or for "
            "another type",
            element, (const char *)text.data);
    bs_bytes_free(&text);
    return status;
}

basalt_status bs_h5_convert(const struct bs_h5_conversion *plan, const uint8_t *from,
    uint64_t step_bytes, uint64_t count, uint8_t *out, uint64_t first, basalt_error *err)
{
    uint64_t good;

    from += plan->offset;
    if (plan->identity) {
        if (step_bytes == plan->source_bytes)
            memcpy(out, from, (size_t)(count * step_bytes));
        else
            gather(out, from, step_bytes, (size_t)plan->source_bytes, (size_t)count);
        return BASALT_OK;
    }
    if (plan->repeat == 1) {
        good = convert_scalars(plan, from, step_bytes, count, out);
        return good == count ? BASALT_OK : does_not_fit(plan, first + good, err);
    }
    for (uint64_t i = 0; i < count; i++) {
        good = convert_scalars(plan, from + i * step_bytes, plan->from->size_bytes, plan->repeat,
            out + i * plan->target_bytes);
        if (good != plan->repeat) return does_not_fit(plan, first + i, err);
    }
    return BASALT_OK;
}
